import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

@Suite struct MigrateTests {
    @Test func `psql alone and perdure migrate leave the same database`() async throws {
        try await EmptyDatabase.with { first in
            try await EmptyDatabase.with { second in
                let applied = try await first.migrator().migrate()
                #expect(applied.count > 20)
                let psql = try await outcome(of: "/usr/bin/psql", ["-X", second.url, "-f", "sql/install.psql"])
                #expect(psql.status == 0, "\(psql.errors)")
                let dumps = try await [first, second].asyncMap { database in
                    let dump = try await outcome(
                        of: "/usr/bin/pg_dump", ["--schema-only", "--no-comments", database.url])
                    #expect(dump.status == 0, "\(dump.errors)")
                    // A token that is new in each dump.
                    return dump.output.split(separator: "\n").filter { !$0.hasPrefix("\\") }
                }
                #expect(dumps[0] == dumps[1])
                let ledgers = try await [first, second].asyncMap { database in
                    try await database.connected {
                        try await $0.query(
                            "select path || ' ' || kind || ' ' || checksum from perdure.applied_files order by path"
                        )
                        .map { try $0.decode(String.self, at: 0) }
                    }
                }
                #expect(ledgers[0] == ledgers[1])
                #expect(ledgers[0].count == applied.count)
                // Each finds nothing left to do after the other.
                #expect(try await second.migrator().migrate().isEmpty)
                let again = try await outcome(of: "/usr/bin/psql", ["-X", first.url, "-f", "sql/install.psql"])
                #expect(again.status == 0)
                #expect(again.output.isEmpty, "\(again.output)")
            }
        }
    }

    @Test func `runs at the same time wait for each other`() async throws {
        try await EmptyDatabase.with { database in
            let counts = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<6 { group.addTask { try await database.migrator().migrate().count } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            // Every file was applied once, by whichever came first.
            let rows = try await database.connected { try await $0.query("select count(*) from perdure.applied_files") }
            #expect(counts.reduce(0, +) == (try rows[0].decode(Int.self, at: 0)))
        }
    }

    @Test func `a dry run changes nothing, and status tells what there is to do`() async throws {
        try await EmptyDatabase.with { database in
            let dry = try await perdure(["migrate", "--dry-run"], database: database)
            #expect(dry.status == 0)
            #expect(dry.output.hasPrefix("would apply migrations/0001_engine.sql\n"))
            let schemas = try await database.connected {
                try await $0.query("select from pg_namespace where nspname = 'perdure'")
            }
            #expect(schemas.isEmpty)
            let before = try await perdure(["migrate", "status"], database: database)
            #expect(before.status == 1)
            #expect(before.output.contains("pending"))
            #expect(try await perdure(["migrate"], database: database).status == 0)
            let after = try await perdure(["migrate", "status", "-o", "json"], database: database)
            #expect(after.status == 0)
            let files = try JSON(parsing: after.output).arrayValue ?? []
            #expect(files.count > 20)
            #expect(files.allSatisfy { $0["state"] == "applied" && $0["appliedAt"] != nil })
            #expect(try await perdure(["migrate"], database: database).output == "the database is up to date\n")
        }
    }

    @Test func `an edited migration is refused by name, a changed definition applied again`() async throws {
        try await EmptyDatabase.with { database in
            let root = try copyOfSQL()
            defer { try? FileManager.default.removeItem(at: root) }
            try await database.migrator(root: root).migrate()
            try append("\n-- changed\n", to: root.appending(path: "sql/views/10_workflows.sql"))
            let again = try await database.migrator(root: root).migrate()
            #expect(again.contains("sql/views/10_workflows.sql"))
            #expect(!again.contains("migrations/0001_engine.sql"))
            #expect(try await database.migrator(root: root).migrate().isEmpty)

            try append("\n-- edited\n", to: root.appending(path: "migrations/0001_engine.sql"))
            let environment = ["PERDURE_ROOT": root.path]
            for arguments in [["migrate"], ["migrate", "--dry-run"]] {
                let refused = try await perdure(arguments, database: database, environment: environment)
                #expect(refused.status == 1)
                #expect(refused.errors.contains("migrations/0001_engine.sql was edited"))
                #expect(refused.errors.split(separator: "\n").count == 1)
            }
            #expect(try await database.migrator(root: root).status().first?.state == .edited)
            let psql = try await outcome(
                of: "/bin/sh", ["-c", "cd '\(root.path)' && psql -X '\(database.url)' -f sql/install.psql"])
            #expect(psql.status != 0)
            #expect(psql.errors.contains("migrations/0001_engine.sql was edited"))
        }
    }

    @Test(arguments: ["perdure", "psql"])
    func `a database that has migration 0007 in its first wording goes on`(_ program: String) async throws {
        let first = "9e2e2c20a5a052e01d9e7a2b36e00a9bedcf303c84df0a0b7b6f1ab465bd2666"
        try await EmptyDatabase.with { database in
            try await database.migrator().migrate()
            _ = try await database.connected { connection in
                try await connection.query(
                    """
                    update perdure.applied_files set checksum = \(first)
                    where path = 'migrations/0007_unchecked_states.sql'
                    """)
            }
            #expect(try await database.migrator().status().contains { $0.state == .edited })
            if program == "perdure" {
                #expect(try await perdure(["migrate"], database: database).status == 0)
            } else {
                let psql = try await outcome(
                    of: "/bin/sh", ["-c", "cd '\(checkout.path)' && psql -X '\(database.url)' -f sql/install.psql"])
                #expect(psql.status == 0, "\(psql.errors)")
            }
            #expect(try await database.migrator().status().allSatisfy { $0.state == .applied })
        }
    }

    @Test func `a database that is newer than the code is refused in one line`() async throws {
        try await EmptyDatabase.with { database in
            let root = try copyOfSQL()
            defer { try? FileManager.default.removeItem(at: root) }
            try Data("create table perdure.from_the_future ();".utf8)
                .write(to: root.appending(path: "migrations/9999_future.sql"))
            try await database.migrator(root: root).migrate()
            let refused = try await perdure(["migrate"], database: database)
            #expect(refused.status == 1)
            #expect(refused.errors.contains("newer than this code"))
            #expect(refused.errors.contains("9999_future.sql"))
            #expect(refused.errors.split(separator: "\n").count == 1)
            let psql = try await outcome(of: "/usr/bin/psql", ["-X", database.url, "-f", "sql/install.psql"])
            #expect(psql.status != 0)
            #expect(psql.errors.contains("newer than this code"))
        }
    }

    @Test func `a migration that fails says where, and leaves nothing of itself`() async throws {
        try await EmptyDatabase.with { database in
            let root = try copyOfSQL()
            defer { try? FileManager.default.removeItem(at: root) }
            try Data("create table perdure.half_way ();\n\nselect 1 / 0;\nselekt;".utf8)
                .write(to: root.appending(path: "migrations/0500_bad.sql"))
            let failed = try await perdure(["migrate"], database: database, environment: ["PERDURE_ROOT": root.path])
            #expect(failed.status == 1)
            #expect(failed.errors.contains("migrations/0500_bad.sql:4"), "\(failed.errors)")
            let row = try await database.connected {
                try await $0.query(
                    "select to_regclass('perdure.half_way') is null, to_regclass('perdure.executions') is not null")[0]
            }
            #expect(try row.decode(Bool.self, at: 0))
            #expect(try row.decode(Bool.self, at: 1))
            try FileManager.default.removeItem(at: root.appending(path: "migrations/0500_bad.sql"))
            #expect(try await !database.migrator(root: root).migrate().isEmpty)
        }
    }

    @Test func `waiting for another migration ends in time`() async throws {
        try await EmptyDatabase.with { database in
            try await database.connected { holder in
                try await holder.query("select pg_advisory_lock(hashtext('perdure.migrate'))")
                let busy = try await perdure(["migrate", "--lock-timeout", "1"], database: database)
                #expect(busy.status == 1)
                #expect(busy.errors.contains("another migration"))
            }
        }
    }

    @Test func `wrong command lines and databases that are not there are told in one line`() async throws {
        #expect(try await perdure(["migrate", "--lock-timeout", "0"]).status == 64)
        #expect(try await perdure(["nonsense"]).status == 64)
        let away = try await perdure(
            ["workflow", "list"], database: nil, environment: ["DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"])
        #expect(away.status == 1)
        #expect(away.errors.contains("refused"))
        #expect(away.errors.contains("DATABASE_URL"))
        #expect(!away.errors.contains("hunter2"))
        #expect(away.errors.split(separator: "\n").count == 1)
        try await EmptyDatabase.with { database in
            let bare = try await perdure(["workflow", "list"], database: database)
            #expect(bare.status == 1)
            #expect(bare.errors.contains("perdure migrate"))
            let doctor = try await perdure(["doctor"], database: database)
            #expect(doctor.status == 1)
            #expect(doctor.output.contains("perdure migrate"))
        }
    }

    // MARK: -

    private func copyOfSQL() throws -> URL {
        let root = FileManager.default.temporaryDirectory.appending(path: "perdure-sql-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        for folder in ["migrations", "sql"] {
            try FileManager.default.copyItem(at: checkout.appending(path: folder), to: root.appending(path: folder))
        }
        return root
    }

    private func append(_ text: String, to file: URL) throws {
        try (try String(contentsOf: file, encoding: .utf8) + text).write(to: file, atomically: true, encoding: .utf8)
    }
}

extension Array {
    func asyncMap<T>(_ body: (Element) async throws -> T) async rethrows -> [T] {
        var values: [T] = []
        for element in self { values.append(try await body(element)) }
        return values
    }
}
