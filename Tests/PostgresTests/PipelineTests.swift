import Foundation
import Testing

@testable import Postgres

@Suite struct PipelineTests {
    @Test func `results come in the order of the statements`() async throws {
        try await withConnection { connection async throws in
            for _ in 0..<2 {
                let results = try await connection.pipeline(
                    (0..<600).map { "select \($0), \(unescaped: "\($0 % 300)")" })
                #expect(results.count == 600)
                for (number, result) in results.enumerated() {
                    let row = try result.get()[0]
                    #expect(try row.decode(Int.self, at: 0) == number)
                    #expect(try row.decode(Int.self, at: 1) == number % 300)
                }
            }
            #expect(try await connection.pipeline([]).isEmpty)
        }
    }

    @Test func `an error in the middle leaves the others alone`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int primary key)")
            for round in 0..<3 {
                let results = try await connection.pipeline([
                    "insert into t values (\(3 * round))", "select 1 / \(0)", "insert into t values (\(3 * round))",
                    "selekt", "selekt", "insert into t values (\(3 * round + 1))",
                ])
                var states: [String?] = []
                for result in results {
                    switch result {
                    case .success: states.append(nil)
                    case .failure(let error): states.append(error.sqlState)
                    }
                }
                #expect(states == [nil, "22012", "23505", "42601", "42601", nil])
            }
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 6)
        }
    }

    @Test func `many large statements do not wait for each other forever`() async throws {
        // Both sides have more to say than the socket holds.
        try await withConnection { connection async throws in
            let text = String(repeating: "x", count: 1_000_000)
            let results = try await connection.pipeline((0..<20).map { "select \($0), \(text)" })
            for (number, result) in results.enumerated() {
                #expect(try result.get()[0].decode(Int.self, at: 0) == number)
                #expect(try result.get()[0].decode(String.self, at: 1).count == 1_000_000)
            }
        }
    }

    @Test func `COPY in a pipeline is an error`() async throws {
        try await withPool { pool async throws in
            await #expect(throws: PostgresError.self) {
                let results = try await pool.withConnection {
                    try await $0.pipeline(["select 1", "copy (select 1) to stdout", "select 2"])
                }
                _ = try results[1].get()
            }
            let after = try await pool.query("select 1")
            #expect(after.count == 1)
        }
    }

    @Test func `cancelling the task cancels the statement that runs`() async throws {
        try await withConnection { connection async throws in
            let task = Task { try await connection.pipeline(["select 1", "select pg_sleep(600)", "select 3"]) }
            try await untilActive(connection, "pg_sleep")
            task.cancel()
            let results = try await task.value
            #expect(try results[0].get().count == 1)
            guard case .failure(let error) = results[1] else {
                Issue.record("it slept on")
                return
            }
            #expect(error.kind == .cancelled)
            #expect(try results[2].get()[0].decode(Int.self, at: 0) == 3)
            #expect(try await connection.value("select 1", as: Int.self) == 1)
        }
    }

    @Test func `a lost connection is an error of the whole`() async throws {
        try await withConnection { connection async throws in
            let error = try await postgresError {
                _ = try await connection.pipeline([
                    "select 1", "select pg_terminate_backend(pg_backend_pid())", "select 3",
                ])
            }
            #expect(error.kind == .connection)
            #expect(error.isRetryable)
            #expect(connection.isClosed)
        }
    }
}
