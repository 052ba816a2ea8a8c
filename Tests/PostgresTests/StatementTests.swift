import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Postgres

@Suite struct StatementTests {
    @Test func `a statement is prepared once for each connection and parameter types`() async throws {
        try await withConnection { connection async throws in
            for number in 0..<10 {
                #expect(try await connection.value("select \(number) + 1", as: Int.self) == number + 1)
            }
            for number in 0..<10 {
                let number = Double(number)
                #expect(try await connection.value("select \(number) + 1", as: Double.self) == number + 1)
            }
            #expect(try await prepared(connection) == 2)
        }
    }

    @Test func `the statement used longest ago makes way`() async throws {
        try await withConnection { connection async throws in
            for round in 0..<2 {
                for number in 0..<700 {
                    let query = PostgresQuery("select \(unescaped: "\(number)") + \(round)")
                    #expect(try await connection.value(query, as: Int.self) == number + round)
                }
            }
            let count = try await prepared(connection)
            #expect(count <= 320)
            #expect(count > 100)
        }
    }

    @Test func `a statement that fails leaves nothing behind in the server`() async throws {
        try await withConnection { connection async throws in
            for _ in 0..<50 {
                let error = try await postgresError { try await connection.query("select 1 / \(0)") }
                #expect(error.sqlState == "22012")
                let syntax = try await postgresError { try await connection.query("selekt \(0)") }
                #expect(syntax.sqlState == "42601")
            }
            #expect(try await prepared(connection) <= 1)
        }
    }

    @Test func `a table that changed its shape is read in the new one`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t as select 1 as a")
            for _ in 0..<3 { #expect(try await connection.query("select * from t").columns == ["a"]) }
            try await connection.simpleQuery("alter table t add b int")
            #expect(try await connection.query("select * from t").columns == ["a", "b"])
            try await connection.simpleQuery("alter table t alter a type text")
            #expect(try await connection.query("select * from t")[0].decode(String.self, "a") == "1")
            #expect(try await prepared(connection) < 40)
        }
    }

    @Test func `in a transaction a stale plan fails, and the transaction can be repeated`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t as select 1 as a")
            try await connection.query("select * from t")
            try await connection.simpleQuery("alter table t add b int")
            let error = try await postgresError {
                try await connection.transaction { _ = try await $0.query("select * from t") }
            }
            #expect(error.isRetryable)
            let columns = try await connection.transaction { try await $0.query("select * from t").columns }
            #expect(columns == ["a", "b"])
        }
    }

    @Test func `a pipeline recovers from a stale plan`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t as select 1 as a")
            _ = try await connection.pipeline(["select * from t", "select 2"])
            try await connection.simpleQuery("alter table t add b int")
            let first = try await connection.pipeline(["select * from t", "select 2"])
            #expect(try first[1].get().count == 1)
            if case .failure(let error) = first[0] { #expect(error.isRetryable) }
            let second = try await connection.pipeline(["select * from t"])
            #expect(try second[0].get().columns == ["a", "b"])
        }
    }

    @Test(arguments: ["discard all", "deallocate all"])
    func `statements that somebody else dropped are prepared again`(sql: String) async throws {
        try await withConnection { connection async throws in
            for _ in 0..<2 {
                #expect(try await connection.value("select \(1)", as: Int.self) == 1)
                #expect(try await connection.value("select \(2) * 2", as: Int.self) == 4)
                try await connection.simpleQuery(sql)
            }
            // The first of them tells about all.
            #expect(try await connection.value("select \(1)", as: Int.self) == 1)
            let value = try await connection.transaction { try await $0.value("select \(2) * 2", as: Int.self) }
            #expect(value == 4)
        }
    }

    @Test func `no two connections give a statement the same name`() async throws {
        // Behind a pooler in transaction mode the name of another client's statement must not be found.
        let query: PostgresQuery = "select name from pg_prepared_statements"
        let first = try await withConnection { try await $0.value(query, as: String.self) }
        let second = try await withConnection { try await $0.value(query, as: String.self) }
        #expect(first != second)
    }

    @Test func `without prepared statements everything works, and none is prepared`() async throws {
        var configuration = PostgresConfiguration(serverURL)
        configuration.preparedStatements = false
        try await withConnection(configuration) { connection async throws in
            for number in 0..<3 { #expect(try await connection.value("select \(number)", as: Int.self) == number) }
            let results = try await connection.pipeline(["select \(1)", "select \("x")"])
            #expect(try results[1].get()[0].decode(String.self, at: 0) == "x")
            #expect(try await prepared(connection) == 0)
        }
    }

    @Test func `an error carries what the server said`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery(
                """
                create temp table t (a int constraint positive check (a > 0));
                create function pg_temp.fail() returns void language plpgsql as $$
                begin raise exception 'no' using errcode = 'PD003', detail = 'the detail', hint = 'the hint'; end $$
                """)
            let raised = try await postgresError { try await connection.query("select pg_temp.fail()") }
            #expect(raised.kind == .server)
            #expect(raised.sqlState == "PD003")
            #expect(raised.detail == "the detail")
            #expect(raised.hint == "the hint")
            #expect(raised.context?.contains("fail()") == true)
            let check = try await postgresError { try await connection.query("insert into t values (\(-1))") }
            #expect(check.constraint == "positive")
            #expect(check.table == "t")
            let syntax = try await postgresError { try await connection.query("select é from") }
            #expect(syntax.position == 14 || syntax.position == 8)
            #expect(!raised.isRetryable)
        }
    }

    @Test func `parameters and statements that cannot be sent are refused, and the connection stays`() async throws {
        try await withConnection { connection async throws in
            let many = PostgresQuery(
                "select " + (1...70_000).map { "$\($0)" }.joined(separator: ","),
                binds: (1...70_000).map { Int32($0) })
            let tooMany = try await postgresError { try await connection.query(many) }
            #expect(tooMany.sqlState == "54011")
            let zero = try await postgresError { try await connection.query("select 1 \(unescaped: "\u{0}") - 2") }
            #expect(zero.sqlState == "22021")
            #expect(
                await (try postgresError { try await connection.simpleQuery("select 1; \u{0}drop") }).sqlState
                    == "22021")
            // Of a pipeline nothing is sent.
            try await connection.simpleQuery("create temp table t (a int)")
            let whole = try await postgresError {
                _ = try await connection.pipeline(["insert into t values (1)", many])
            }
            #expect(whole.sqlState == "54011")
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
            #expect(try await connection.value("select 1", as: Int.self) == 1)
        }
    }

    @Test func `COPY in the wrong place is an error, and the connection stays`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t as select generate_series(1, 200000) as a")
            for sql in ["copy t to stdout", "copy t from stdin", "select 1; copy t to stdout; select 2"] {
                let error = try await postgresError { try await connection.simpleQuery(sql) }
                #expect(error.sqlState == "0A000")
                #expect(try await connection.value("select 1", as: Int.self) == 1)
            }
            let query = try await postgresError { try await connection.query("copy t to stdout") }
            #expect(query.sqlState == "0A000")
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 200_000)
        }
    }

    @Test func `large results and large parameters pass`() async throws {
        try await withConnection { connection async throws in
            let text = String(repeating: "abcdefghij", count: 2_000_000)
            #expect(try await connection.value("select \(text)", as: String.self) == text)
            let rows = try await connection.query("select x, repeat('y', 100) from generate_series(1, \(50_000)) x")
            #expect(rows.count == 50_000)
            #expect(try rows[49_999].decode(Int.self, at: 0) == 50_000)
        }
    }

    @Test func `statements of many tasks run one after another`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int)")
            try await withThrowingTaskGroup { group in
                for number in 0..<200 {
                    group.addTask { try await connection.query("insert into t values (\(number))") }
                }
                try await group.waitForAll()
            }
            #expect(try await connection.value("select count(distinct a) from t", as: Int.self) == 200)
        }
    }

    @Test func `warnings are logged`() async throws {
        let lines = LogLines()
        let connection = try await PostgresConnection.connect(PostgresConfiguration(serverURL), logger: lines.logger)
        try await connection.simpleQuery("do $$ begin raise warning 'look here'; raise notice 'detail'; end $$")
        await connection.close()
        #expect(lines.all.contains { $0.hasPrefix("warning") && $0.contains("look here") })
        #expect(lines.all.contains { $0.hasPrefix("debug") && $0.contains("detail") })
    }

    private func prepared(_ connection: PostgresConnection) async throws -> Int {
        // By the simple protocol: the question itself would be prepared too.
        try await connection.simpleQuery("create temp table if not exists counted (n int)")
        try await connection.simpleQuery("insert into counted select count(*) from pg_prepared_statements")
        let count = try await connection.value("select max(n) from counted", as: Int.self)
        try await connection.simpleQuery("drop table counted")
        return count
    }
}
