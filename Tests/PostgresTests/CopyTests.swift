import Foundation
import Testing

@testable import Postgres

@Suite struct CopyTests {
    private func lines(_ numbers: Range<Int>, _ text: String = "x") -> some Sequence<[UInt8]> {
        numbers.lazy.map { Array("\($0)\t\(text)\n".utf8) }
    }

    @Test func `rows come in`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int, b text)")
            #expect(try await connection.copyIn("copy t from stdin", rows: lines(0..<1000)) == 1000)
            #expect(try await connection.copyIn("copy t from stdin", rows: []) == 0)
            #expect(
                try await connection.copyIn("copy t from stdin (format csv)", rows: [Array("5,\"a,b\"\n".utf8)]) == 1)
            #expect(try await connection.value("select count(*) from t", as: Int.self) == 1001)
            #expect(try await connection.value("select b from t where b like '%,%'", as: String.self) == "a,b")
        }
    }

    @Test func `much more than the socket holds comes in`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int, b text)")
            let text = String(repeating: "y", count: 1000)
            #expect(try await connection.copyIn("copy t from stdin", rows: lines(0..<40_000, text)) == 40_000)
            #expect(try await connection.value("select sum(length(b)) from t", as: Int.self) == 40_000_000)
        }
    }

    @Test func `a bad row fails the whole, and the connection goes on`() async throws {
        try await withConnection { connection async throws in
            try await connection.simpleQuery("create temp table t (a int, b text)")
            for bad in [0, 20_000, 39_999] {
                let rows = lines(0..<40_000, String(repeating: "z", count: 200)).enumerated().map { place, row in
                    place == bad ? Array("no number\n".utf8) : row
                }
                let error = try await postgresError { try await connection.copyIn("copy t from stdin", rows: rows) }
                #expect(error.sqlState == "22P02" || error.sqlState == "22P04")
                #expect(error.context?.contains("line \(bad + 1)") == true)
                #expect(try await connection.value("select count(*) from t", as: Int.self) == 0)
            }
        }
    }

    @Test func `a statement that is no COPY in is refused or just runs`() async throws {
        try await withConnection { connection async throws in
            let missing = try await postgresError {
                try await connection.copyIn("copy nowhere from stdin", rows: lines(0..<9))
            }
            #expect(missing.sqlState == "42P01")
            let out = try await postgresError { try await connection.copyIn("copy (select 1) to stdout", rows: []) }
            #expect(out.sqlState == "0A000")
            #expect(try await connection.value("select 1", as: Int.self) == 1)
        }
    }

    @Test func `cancelling the task stops it, and nothing came in`() async throws {
        let name = "copied_\(UUID().uuidString.prefix(8).lowercased())"
        try await withConnection { watcher in
            try await watcher.simpleQuery("create table \(name) (a int, b text)")
            try await withConnection { connection async throws in
                // Another transaction's lock holds the COPY up before it asks for data.
                try await watcher.simpleQuery("begin; lock table \(name)")
                let rows = lines(0..<1000)
                let task = Task { try await connection.copyIn("copy \(name) from stdin", rows: Array(rows)) }
                try await untilActive(watcher, "copy \(name)")
                task.cancel()
                let error = try await postgresError { _ = try await task.value }
                #expect(error.kind == .cancelled)
                try await watcher.simpleQuery("commit")
                #expect(try await connection.value("select count(*) from \(unescaped: name)", as: Int.self) == 0)
            }
            try await watcher.simpleQuery("drop table \(name)")
        }
    }
}
