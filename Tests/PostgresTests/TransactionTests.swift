import Foundation
import Testing

@testable import Postgres

@Suite struct TransactionTests {
    @Test func `what the body did is there after it, and gone after an error`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int unique)")
            let value = try await connection.transaction {
                try await $0.value("insert into t values (1) returning a", as: Int.self)
            }
            #expect(value == 1)
            struct Refused: Error {}
            await #expect(throws: Refused.self) {
                try await connection.transaction {
                    try await $0.query("insert into t values (2)")
                    throw Refused()
                }
            }
            let duplicate = try await postgresError {
                try await connection.transaction {
                    try await $0.query("insert into t values (3)")
                    try await $0.query("insert into t values (1)")
                }
            }
            #expect(duplicate.sqlState == "23505")
            #expect(try await connection.value("select array_agg(a) from t", as: [Int].self) == [1])
        }
    }

    @Test func `a transaction that was lost to a swallowed error does not say that it was committed`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int unique)")
            let error = try await postgresError {
                try await connection.transaction {
                    try await $0.query("insert into t values (1)")
                    _ = try? await $0.query("selekt")
                }
            }
            #expect(error.message.contains("rolled back"))
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
        }
    }

    @Test func `one inside of another is refused, and nothing of either is committed`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int)")
            #expect(connection.transactionStatus == .none)
            let error = try await postgresError {
                try await connection.transaction { outer in
                    try await outer.query("insert into t values (1)")
                    #expect(connection.transactionStatus == .open)
                    try await outer.transaction { try await $0.query("insert into t values (2)") }
                }
            }
            #expect(error.sqlState == "25001")
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
        }
    }

    @Test func `after an error the status is failed until a savepoint or the end`() async throws {
        try await withConnection { connection async throws in
            try await connection.transaction { connection in
                try await connection.simpleQuery("savepoint here")
                _ = try? await connection.query("selekt")
                #expect(connection.transactionStatus == .failed)
                try await connection.simpleQuery("rollback to here")
                #expect(connection.transactionStatus == .open)
            }
            #expect(connection.transactionStatus == .none)
        }
    }

    @Test func `an error at commit is thrown`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int unique deferrable initially deferred)")
            let error = try await postgresError {
                try await connection.transaction { try await $0.simpleQuery("insert into t values (1), (1)") }
            }
            #expect(error.sqlState == "23505")
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
        }
    }

    @Test(arguments: [PostgresIsolation.readCommitted, .repeatableRead, .serializable])
    func isolation(level: PostgresIsolation) async throws {
        try await withConnection { connection async throws in
            let shown = try await connection.transaction(isolation: level) {
                try await $0.value("select current_setting('transaction_isolation')", as: String.self)
            }
            #expect(shown == level.rawValue)
        }
    }

    @Test func `cancellation in the middle rolls back, and the connection goes on`() async throws {
        try await withPool(maximumConnections: 1) { pool async throws in
            let name = "cancelled_\(UUID().uuidString.prefix(8).lowercased())"
            try await withConnection { watcher in
                try await watcher.simpleQuery("create table \(name) (a int)")
                let task = Task {
                    try await pool.transaction { connection in
                        try await connection.simpleQuery("insert into \(name) values (1)")
                        try await connection.query("select pg_sleep(600)")
                    }
                }
                try await untilActive(watcher, "pg_sleep", of: pool)
                task.cancel()
                let error = try await postgresError { try await task.value }
                #expect(error.kind == .cancelled)
                #expect(try await pool.query("select count(*) from \(unescaped: name)")[0].decode(Int.self, at: 0) == 0)
                try await watcher.simpleQuery("drop table \(name)")
            }
        }
    }

    @Test func `cancellation before the commit rolls back`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int)")
            let task = Task {
                try await connection.transaction {
                    try await $0.query("insert into t values (1)")
                    withUnsafeCurrentTask { $0?.cancel() }
                }
            }
            let error = try await postgresError { try await task.value }
            #expect(error.kind == .cancelled)
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
        }
    }

    @Test func `a borrower who leaves a transaction open does not leave it to the next`() async throws {
        try await withPool(maximumConnections: 1) { pool async throws in
            try await pool.withConnection { try await $0.simpleQuery("begin; create temp table left_behind (a int)") }
            let row = try await pool.query("select to_regclass('left_behind') is null")[0]
            #expect(try row.decode(Bool.self, at: 0))
        }
    }

    @Test func `serialization failures and deadlocks can be repeated`() async throws {
        let name = "serial_\(UUID().uuidString.prefix(8).lowercased())"
        try await withConnection { first in
            try await first.simpleQuery("create table \(name) as select 1 as a")
            try await withConnection { second in
                let error = try await postgresError {
                    try await first.transaction(isolation: .repeatableRead) { first in
                        try await first.query("select * from \(unescaped: name)")
                        try await second.simpleQuery("update \(name) set a = 2")
                        try await first.simpleQuery("update \(name) set a = 3")
                    }
                }
                #expect(error.sqlState == "40001")
                #expect(error.isRetryable)
            }
            try await first.simpleQuery("drop table \(name)")
        }
    }
}
