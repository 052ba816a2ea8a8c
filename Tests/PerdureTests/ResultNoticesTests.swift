import Foundation
import PerdureEngine
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

@Suite("Notices of results", .serialized)
struct ResultNoticesTests {
    /// Runs `body` with notices that come, and how to start a run and to close it.
    private func withNotices(
        _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            client.notices.listen()
            try await eventually("notices come") { client.notices.areComing }
            try await body(client, database)
        }
    }

    private func start(_ client: PerdureClient, _ id: String) async throws -> UntypedWorkflowHandle {
        try await client.startWorkflow(name: "Nobodys", options: WorkflowOptions(id: id, taskQueue: "nowhere"))
    }

    private func listeners(_ database: TestDatabase) async throws -> Int {
        try await database.pool.query(
            """
            select count(*) from pg_locks l join pg_database d on d.oid = l.database
            where l.locktype = 'advisory' and d.datname = current_database()
            """)[0].decode(Int.self, at: 0)
    }

    @Test("Whoever waits for a run is woken when it closes, and nobody else")
    func wakes() async throws {
        try await withNotices { client, _ in
            let one = try await start(client, "one")
            let other = try await start(client, "other")
            let (woken, asleep) = (Wakeup(), Wakeup())
            let wasWoken = try await client.notices.of(one.resultRunID, to: woken) {
                try await client.notices.of(other.resultRunID, to: asleep) {
                    try await one.terminate()
                    return (await woken.sleep(atMost: .seconds(30)), await asleep.sleep(atMost: .milliseconds(20)))
                }
            }
            #expect(wasWoken == (true, false))
            // Nobody waits any more.
            try await other.terminate()
            #expect(await !asleep.sleep(atMost: .milliseconds(20)))
        }
    }

    @Test("All who wait for a run learn its end, one of them cancelled before")
    func manyWait() async throws {
        try await withNotices { client, _ in
            let handle = try await start(client, "one")
            try await withThrowingTaskGroup(of: Void.self) { group in
                let cancelled = Task { try await handle.resultPayloads() }
                for _ in 0..<8 {
                    group.addTask {
                        await #expect(throws: WorkflowFailedError.self) { try await handle.resultPayloads() }
                    }
                }
                cancelled.cancel()
                await #expect(throws: (any Error).self) { try await cancelled.value }
                try await handle.terminate()
                try await group.waitForAll()
            }
        }
    }

    @Test("When its connection is lost, results are learnt all the same")
    func connectionLost() async throws {
        try await withNotices { client, database in
            let handle = try await start(client, "one")
            let result = Task { try await handle.resultPayloads() }
            _ = try await database.pool.query(
                """
                select pg_terminate_backend(l.pid) from pg_locks l join pg_database d on d.oid = l.database
                where l.locktype = 'advisory' and d.datname = current_database()
                """)
            try await eventually("the loss is noticed") { !client.notices.areComing }
            try await handle.terminate()
            await #expect(throws: WorkflowFailedError.self) { _ = try await result.value }
        }
    }

    @Test("The connection is opened when waiting is worth it, and closed a while after")
    func opensAndCloses() async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            let first = try await start(client, "first")
            try await first.terminate()
            await #expect(throws: WorkflowFailedError.self) { try await first.resultPayloads() }
            #expect(try await listeners(database) == 0)
            let second = try await start(client, "second")
            let result = Task { try await second.resultPayloads() }
            try await eventually("there is one") { try await listeners(database) == 1 }
            try await second.terminate()
            await #expect(throws: WorkflowFailedError.self) { _ = try await result.value }
            try await eventually("it is closed") { try await listeners(database) == 0 }
            #expect(!client.notices.areComing)
        }
    }

    @Test("With the last copy of a client its connection goes")
    func clientGoes() async throws {
        try await TestDatabase.with { database in
            var client: PerdureClient? = PerdureClient(pool: database.pool)
            client?.notices.listen()
            try await eventually("there is one") { try await listeners(database) == 1 }
            client = nil
            try await eventually("it is closed") { try await listeners(database) == 0 }
        }
    }

    @Test(
        "Through a pooler in transaction mode none come, and no lock stays behind there",
        .enabled(if: PgBouncer.isInstalled, "apt-get install pgbouncer"))
    func pooler() async throws {
        try await TestDatabase.with { database in
            try await PgBouncer.with(database: database.name) { url in
                var configuration = PostgresConfiguration(url)
                configuration.preparedStatements = false
                let pool = PostgresPool(configuration, maximumConnections: 4)
                let client = PerdureClient(pool: pool)
                client.notices.listen()
                let begin = ContinuousClock.now
                let handle = try await start(client, "one")
                let result = Task { try await handle.resultPayloads() }
                try await eventually("it has given up") { client.notices.hasGivenUp }
                // It had a connection, and waited for a notice.
                #expect(begin.duration(to: .now) > .milliseconds(900))
                #expect(!client.notices.areComing)
                #expect(try await listeners(database) == 0)
                try await handle.terminate()
                await #expect(throws: WorkflowFailedError.self) { _ = try await result.value }
                await pool.close()
            }
        }
    }
}
