import Foundation
import TestSupport
import Testing

@testable import Postgres

/// Waits until another connection than this one runs a statement with that text.
func untilActive(
    _ connection: PostgresConnection, _ text: String,
    on server: PostgresConfiguration = PostgresConfiguration(serverURL),
    of pool: PostgresPool? = nil, count: Int = 1
) async throws {
    // A connection of its own: the one that is given may be busy with the very statement.
    try await withConnection(server) { watcher in
        try await eventually("\(text) runs") {
            try await watcher.value(
                """
                select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
                and position(\(text) in query) > 0
                """, as: Int.self) >= count
        }
    }
}

@Suite struct CancellationTests {
    @Test func `a cancelled task cancels its statement in the server, and the connection goes on`() async throws {
        try await withConnection { connection async throws in
            for _ in 0..<5 {
                let marker = UUID().uuidString
                let task = Task { try await connection.query("select pg_sleep(600) /* \(unescaped: marker) */") }
                try await untilActive(connection, marker)
                task.cancel()
                let error = try await postgresError { _ = try await task.value }
                #expect(error.kind == .cancelled)
                #expect(try await connection.value("select 1", as: Int.self) == 1)
            }
        }
    }

    @Test func `a cancelled task that waits for its turn never starts`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int)")
            let marker = UUID().uuidString
            let first = Task { try await connection.query("select pg_sleep(600) /* \(unescaped: marker) */") }
            try await untilActive(connection, marker)
            let second = Task { try await connection.query("insert into t values (1)") }
            second.cancel()
            #expect(try await postgresError { _ = try await second.value }.kind == .cancelled)
            first.cancel()
            _ = await first.result
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
        }
    }

    @Test func `a late cancellation does not hit the next statement`() async throws {
        try await withConnection { connection async throws in
            for round in 0..<200 {
                let task = Task { try await connection.query("select pg_sleep(0.0005)") }
                // Not a wait: the cancellation is to come at any moment of the statement.
                if round.isMultiple(of: 2) { try await Task.sleep(for: .microseconds(Int.random(in: 0..<1500))) }
                task.cancel()
                _ = await task.result
                #expect(try await connection.value("select \(round)", as: Int.self) == round)
            }
        }
    }

    @Test func `a statement that somebody else cancels is the server's error`() async throws {
        try await withConnection { connection async throws in
            let pid = try await connection.value("select pg_backend_pid()", as: Int.self)
            let marker = UUID().uuidString
            let task = Task { try await connection.query("select pg_sleep(600) /* \(unescaped: marker) */") }
            try await untilActive(connection, marker)
            try await withConnection { _ = try await $0.query("select pg_cancel_backend(\(Int32(pid)))") }
            let error = try await postgresError { _ = try await task.value }
            #expect(error.kind == .server)
            #expect(error.sqlState == "57014")
        }
    }

    @Test func `closing ends whoever waits`() async throws {
        try await withConnection { connection async throws in
            let marker = UUID().uuidString
            let running = Task { try await connection.query("select pg_sleep(600) /* \(unescaped: marker) */") }
            try await untilActive(connection, marker)
            let waiting = Task { try await connection.query("select 1") }
            await connection.close()
            for task in [running, waiting] {
                #expect(try await postgresError { _ = try await task.value }.kind == .closed)
            }
            #expect(try await postgresError { try await connection.query("select 1") }.kind == .closed)
            // The server notices too, and does not sleep on.
            try await withConnection { other in
                try await other.query(
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity where position(\(marker) in query) > 0
                        and pid <> pg_backend_pid()
                    """
                )
            }
        }
    }
}
