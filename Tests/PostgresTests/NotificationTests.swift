import Foundation
import Testing

@testable import Postgres

@Suite struct NotificationTests {
    @Test func `notifications come in order, on their channel`() async throws {
        let channel = "c \"q\" \(UUID().uuidString)"
        try await withConnection { listener in
            let notifications = try await listener.listen(channel)
            try await withConnection { notifier in
                for number in 0..<100 {
                    try await notifier.query(
                        "select pg_notify(\(channel), \("\(number) é")), pg_notify(\("other" + channel), '')")
                }
            }
            var numbers: [String] = []
            for try await notification in notifications {
                #expect(notification.channel == channel)
                numbers.append(notification.payload)
                if numbers.count == 100 { break }
            }
            #expect(numbers == (0..<100).map { "\($0) é" })
        }
    }

    @Test func `a connection hears what it says itself, at once`() async throws {
        try await withConnection { connection async throws in
            let channel = "self_\(UUID().uuidString)"
            var iterator = try await connection.listen(channel).makeAsyncIterator()
            for number in 0..<20 {
                // The notification comes in one piece with the result.
                try await connection.query("select pg_notify(\(channel), \("\(number)"))")
                #expect(try await iterator.next()?.payload == "\(number)")
            }
        }
    }

    @Test func `several can listen to one channel, and unlisten ends them all`() async throws {
        try await withConnection { connection async throws in
            let channel = "many_\(UUID().uuidString)"
            let first = try await connection.listen(channel)
            let second = try await connection.listen(channel)
            let counts = Task {
                async let one = count(first)
                async let two = count(second)
                return try await [one, two]
            }
            for _ in 0..<3 { try await connection.query("select pg_notify(\(channel), '')") }
            try await connection.unlisten(channel)
            #expect(try await counts.value == [3, 3])
            try await connection.query("select pg_notify(\(channel), '')")
            #expect(try await connection.query("select pg_listening_channels()").isEmpty)
        }
    }

    @Test func `a lost connection ends the sequence with an error`() async throws {
        try await withConnection { connection async throws in
            let notifications = try await connection.listen("lost_\(UUID().uuidString)")
            let pid = try await connection.value("select pg_backend_pid()", as: Int.self)
            let task = Task { try await count(notifications) }
            try await withConnection { _ = try await $0.query("select pg_terminate_backend(\(Int32(pid)))") }
            let error = try await postgresError { _ = try await task.value }
            #expect(error.kind == .connection)
            #expect(error.isRetryable)
            let later = try await postgresError { _ = try await connection.listen("x") }
            #expect(later.kind == .connection)
        }
    }

    @Test func `closing the connection ends the sequence, and cancelling the task too`() async throws {
        try await withConnection { connection async throws in
            let notifications = try await connection.listen("closed_\(UUID().uuidString)")
            let task = Task { try await count(notifications) }
            await connection.close()
            let error = try await postgresError { _ = try await task.value }
            #expect(error.kind == .closed)
        }
        try await withConnection { connection async throws in
            let notifications = try await connection.listen("cancelled_\(UUID().uuidString)")
            let task = Task { try await count(notifications) }
            task.cancel()
            #expect(try await task.value == 0)
            #expect(try await connection.value("select 1", as: Int.self) == 1)
        }
    }

    @Test func `who listens again after a loss goes on`() async throws {
        let channel = "again_\(UUID().uuidString)"
        var heard: [String] = []
        for round in 0..<3 {
            try await withConnection { listener in
                var iterator = try await listener.listen(channel).makeAsyncIterator()
                let pid = try await listener.value("select pg_backend_pid()", as: Int.self)
                try await withConnection { other in
                    try await other.query("select pg_notify(\(channel), \("\(round)"))")
                    heard.append(try #require(await iterator.next()?.payload))
                    try await other.query("select pg_terminate_backend(\(Int32(pid)))")
                }
                await #expect(throws: PostgresError.self) { while try await iterator.next() != nil {} }
            }
        }
        #expect(heard == ["0", "1", "2"])
    }

    private func count(_ notifications: PostgresNotifications) async throws -> Int {
        var count = 0
        for try await _ in notifications { count += 1 }
        return count
    }
}
