import Foundation
import TestSupport
import Testing

@testable import Postgres

/// What works through PgBouncer in transaction mode, and what does not: docs/guides/operations.md says the same.
@Suite(.enabled(if: PgBouncer.isInstalled, "apt-get install pgbouncer")) struct PgBouncerTests {
    @Test func `statements, pipelines, transactions, COPY and cancellation work without prepared statements`()
        async throws
    {
        try await PgBouncer.with { url in
            var configuration = PostgresConfiguration(url)
            configuration.preparedStatements = false
            try await withPool(configuration, maximumConnections: 8) { pool async throws in
                try await withThrowingTaskGroup { group in
                    for number in 0..<100 {
                        group.addTask {
                            #expect(
                                try await pool.query("select \(number), \("é")")[0].decode(Int.self, at: 0) == number)
                            let results = try await pool.withConnection {
                                try await $0.pipeline(["select \(number)", "select 1/\(0)"])
                            }
                            #expect(try results[0].get()[0].decode(Int.self, at: 0) == number)
                            let same = try await pool.transaction { connection in
                                let first = try await connection.value("select pg_backend_pid()", as: Int.self)
                                return try await connection.value("select pg_backend_pid()", as: Int.self) == first
                            }
                            #expect(same)
                        }
                    }
                    try await group.waitForAll()
                }
                let copied = try await pool.transaction { connection in
                    try await connection.simpleQuery("create temp table copied (a int) on commit drop")
                    return try await connection.copyIn(
                        "copy copied from stdin", rows: (0..<1000).map { Array("\($0)\n".utf8) })
                }
                #expect(copied == 1000)
                let marker = UUID().uuidString
                let task = Task { try await pool.query("select pg_sleep(600) /* \(unescaped: marker) */") }
                try await withConnection { try await untilActive($0, marker) }
                task.cancel()
                #expect(try await postgresError { _ = try await task.value }.kind == .cancelled)
            }
        }
    }

    @Test func `with prepared statements a statement may be missing, but it is never another one`() async throws {
        try await PgBouncer.with { url in
            try await withThrowingTaskGroup { group in
                for client in 0..<8 {
                    group.addTask {
                        try await withConnection(PostgresConfiguration(url)) { connection async throws in
                            for _ in 0..<30 {
                                // Each client's first statement differs from all others' first.
                                let query: PostgresQuery = "select \(client) * 1000 + \(unescaped: "\(client)")"
                                do {
                                    let value = try await connection.value(query, as: Int.self)
                                    #expect(value == client * 1001)
                                } catch let error as PostgresError {
                                    #expect(error.isRetryable)
                                }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
