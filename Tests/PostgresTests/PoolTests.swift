import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct PoolTests {
    @Test func `one after another share one connection`() async throws {
        try await withPool { pool async throws in
            var pids: Set<Int> = []
            for _ in 0..<20 { pids.insert(try await pool.query("select pg_backend_pid()")[0].decode(Int.self, at: 0)) }
            #expect(pids.count == 1)
        }
    }

    @Test func `there are never more connections than allowed, and everybody gets one`() async throws {
        let name = "pool_\(UUID().uuidString.prefix(8))"
        var configuration = PostgresConfiguration(serverURL)
        configuration.applicationName = name
        try await withPool(configuration, maximumConnections: 3, acquireTimeout: .seconds(120)) { pool async throws in
            let most = Tally()
            try await withThrowingTaskGroup { group in
                for _ in 0..<300 {
                    group.addTask {
                        let count = try await pool.query(
                            "select count(*) from pg_stat_activity where application_name = \(name)")[0].decode(
                                Int.self, at: 0)
                        most.raise(to: count)
                    }
                }
                try await group.waitForAll()
            }
            #expect(most.value <= 3)
        }
        try await withConnection { connection async throws in
            try await eventually("the pool's connections are gone") {
                try await connection.value(
                    "select count(*) from pg_stat_activity where application_name = \(name)", as: Int.self) == 0
            }
        }
    }

    @Test func `nobody waits longer than the limit`() async throws {
        try await withPool(maximumConnections: 1, acquireTimeout: .seconds(2)) { pool async throws in
            try await pool.withConnection { _ in
                let start = ContinuousClock.now
                let error = try await postgresError { try await pool.query("select 1") }
                #expect(error.kind == .poolTimeout)
                #expect(error.isRetryable)
                #expect(error.message.contains("1 connection"))
                #expect(ContinuousClock.now - start >= .milliseconds(1900))
            }
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `a server that does not answer is not waited for longer than the limit either`() async throws {
        let deaf = try DeafServer()
        defer { deaf.close() }
        var configuration = PostgresConfiguration("postgresql://u@127.0.0.1:\(deaf.port)/d?sslmode=disable")
        configuration.connectTimeout = .seconds(600)
        try await withPool(configuration, acquireTimeout: .milliseconds(300)) { pool async throws in
            let start = ContinuousClock.now
            let error = try await postgresError { try await pool.query("select 1") }
            #expect(error.kind == .connection)
            #expect(ContinuousClock.now - start < .seconds(60))
        }
    }

    @Test func `who is cancelled while waiting leaves the queue`() async throws {
        try await withPool(maximumConnections: 1) { pool async throws in
            try await pool.withConnection { _ in
                let tasks = (0..<10).map { _ in Task { try await pool.query("select 1") } }
                for task in tasks { task.cancel() }
                for task in tasks {
                    guard case .failure(let error) = await task.result else {
                        Issue.record("it got a connection")
                        continue
                    }
                    #expect(error is CancellationError || (error as? PostgresError)?.kind == .cancelled)
                }
            }
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `a connection that the server ended is replaced`() async throws {
        try await withPool(maximumConnections: 2) { pool async throws in
            for _ in 0..<5 {
                let pid = try await pool.query("select pg_backend_pid()")[0].decode(Int32.self, at: 0)
                try await withConnection { other in
                    try await other.query("select pg_terminate_backend(\(pid), 10000)")
                }
                try await eventually("the pool works again") {
                    (try? await pool.query("select 1").count) == 1
                }
            }
            let error = try await postgresError {
                try await pool.query("select pg_terminate_backend(pg_backend_pid())")
            }
            #expect(error.kind == .connection)
            #expect(error.sqlState == "57P01")
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    /// libpq closes the socket of a lost connection by itself, and the next connection gets the same descriptor.
    @Test(.timeLimit(.minutes(5)))
    func `connections that are made while others are lost hear their server`() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<12 {
                group.addTask {
                    for _ in 0..<50 {
                        try await withConnection { connection in
                            _ = try await connection.query("select 1")
                            _ = try? await connection.query("select pg_terminate_backend(pg_backend_pid())")
                            #expect(connection.isClosed)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `a closed pool refuses, and ends whoever waits`() async throws {
        let pool = PostgresPool(PostgresConfiguration(serverURL), maximumConnections: 1, logger: quiet)
        let (started, start) = AsyncStream<Void>.makeStream()
        let (released, release) = AsyncStream<Void>.makeStream()
        let holder = Task {
            try await pool.withConnection { connection in
                start.finish()
                for await _ in released {}
                return try await connection.value("select 1", as: Int.self)
            }
        }
        for await _ in started {}
        let waiter = Task { try await pool.query("select 1") }
        try await eventually("it waits") { pool.waiting == 1 }
        await pool.close()
        #expect(try await postgresError { _ = try await waiter.value }.kind == .closed)
        #expect(try await postgresError { try await pool.query("select 1") }.kind == .closed)
        // Who holds one may finish.
        release.finish()
        #expect(try await holder.value == 1)
    }

    @Test func `tasks that come and go at the same moment always find their turn`() async throws {
        try await withPool(maximumConnections: 2, acquireTimeout: .seconds(60)) { pool async throws in
            try await withThrowingTaskGroup { group in
                for round in 0..<2000 {
                    group.addTask {
                        let task = Task { try await pool.withConnection { _ in await Task.yield() } }
                        if round.isMultiple(of: 3) { task.cancel() }
                        _ = await task.result
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `waiting for the server blocks no thread`() async throws {
        // Many more statements wait in the server than there are threads, until a lock is released; meanwhile this very
        // process can still count them and release it.
        let key = Int.random(in: 1...Int(Int32.max))
        try await withConnection { holder in
            try await holder.query("select pg_advisory_lock(\(key))")
            try await withPool(maximumConnections: 64, acquireTimeout: .seconds(120)) { pool async throws in
                try await withThrowingTaskGroup { group in
                    for _ in 0..<64 {
                        group.addTask {
                            _ = try await pool.query(
                                "select pg_advisory_lock_shared(\(key)), pg_advisory_unlock_shared(\(key))")
                        }
                    }
                    try await eventually("all 64 wait", within: .seconds(120)) {
                        try await holder.value(
                            """
                            select count(*) from pg_locks where locktype = 'advisory' and not granted
                            and objid = \(key)::oid
                            and database = (select oid from pg_database where datname = current_database())
                            """, as: Int.self) == 64
                    }
                    try await holder.query("select pg_advisory_unlock(\(key))")
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test func `connections that nobody holds any more are freed`() async throws {
        let name = "freed_\(UUID().uuidString.prefix(8))"
        var configuration = PostgresConfiguration(serverURL)
        configuration.applicationName = name
        final class Weak: Sendable {
            let wires = Mutex<[WeakWire]>([])
        }
        struct WeakWire: Sendable { weak var wire: Wire? }
        let weak = Weak()
        for round in 0..<10 {
            let connection = try await PostgresConnection.connect(configuration, logger: quiet)
            weak.wires.withLock { $0.append(WeakWire(wire: connection.wire)) }
            try await connection.query("select \(round)")
            _ = try await connection.pipeline(["select 1", "selekt"])
            _ = try await connection.listen("freed")
            _ = try? await connection.copyIn("copy nowhere from stdin", rows: [])
            if round.isMultiple(of: 2) { await connection.close() }
        }
        do {
            let pool = PostgresPool(configuration, maximumConnections: 4, logger: quiet)
            try await pool.withConnection { connection in
                weak.wires.withLock { $0.append(WeakWire(wire: connection.wire)) }
            }
        }
        try await withConnection { connection async throws in
            try await eventually("the server lost sight of them") {
                try await connection.value(
                    "select count(*) from pg_stat_activity where application_name = \(name)", as: Int.self) == 0
            }
        }
        try await eventually("they are freed") { weak.wires.withLock { $0.allSatisfy { $0.wire == nil } } }
    }
}

@Suite struct WaitListTests {
    @Test func `first come, first served`() {
        var list = WaitList<String>()
        let tickets = (0..<4).map { _ in list.ticket() }
        for (ticket, name) in zip(tickets, ["a", "b", "c", "d"]) { list.append(name, ticket: ticket) }
        #expect(list.remove(tickets[1]) == "b")
        #expect(list.remove(tickets[1]) == nil)
        #expect(list.popFirst()?.waiter == "a")
        #expect(list.popFirst()?.waiter == "c")
        #expect(list.count == 1)
        #expect(list.removeAll() == ["d"])
        #expect(list.popFirst() == nil)
    }

    @Test(.timeLimit(.minutes(5))) func `who took a ticket early and comes late is still found`() {
        var list = WaitList<String>()
        let early = list.ticket()
        #expect(list.popFirst() == nil)
        list.append("late", ticket: early)
        #expect(list.popFirst()?.waiter == "late")
        let late = list.ticket()
        list.append("next", ticket: late)
        #expect(list.popFirst()?.waiter == "next")
        #expect(list.isEmpty)
    }
}
