import Foundation
import Perdure
import PerdureEngine
import Postgres
import TestSupport
import Testing

@Suite struct MigrateTests {
    /// Those of the tests' server: a pg_dump that is older refuses it.
    private let serverPrograms = ProcessInfo.processInfo.environment["PERDURE_PG_BIN"] ?? "/usr/bin"

    @Test func `psql alone and perdure migrate leave the same database`() async throws {
        try await EmptyDatabase.with { first in
            try await EmptyDatabase.with { second in
                let applied = try await first.migrator().migrate()
                #expect(applied.count > 20)
                let psql = try await outcome(of: "/usr/bin/psql", ["-X", second.url, "-f", "sql/install.psql"])
                #expect(psql.status == 0, "\(psql.errors)")
                let dumps = try await [first, second].asyncMap { database in
                    let dump = try await outcome(
                        of: serverPrograms + "/pg_dump", ["--schema-only", "--no-comments", database.url])
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

    // MARK: - The bank apart

    /// How a database was installed while the bank was a part of the engine: its migrations stood among the others.
    private func installTogether(_ database: EmptyDatabase) async throws {
        for part in ["engine", "bank"] {
            #expect(try await install(part, by: "psql", database).status == 0)
        }
        let moved = try await database.connected {
            try await $0.query(
                """
                update perdure.applied_files set path = replace(path, '/bank', '')
                where path ~ '^migrations/bank/001[012]_' returning path
                """
            ).count
        }
        #expect(moved == 3)
    }

    private func bankTables(_ database: EmptyDatabase) async throws -> Int? {
        try await database.connected {
            try await $0.query(
                """
                select (select count(*) from pg_class where relnamespace = n.oid and relkind = 'r')
                from pg_namespace n where nspname = 'bank'
                """
            ).first?.decode(Int.self, at: 0)
        }
    }

    private func install(_ part: String, by program: String, _ database: EmptyDatabase) async throws -> Outcome {
        switch (program, part) {
        case ("psql", "engine"): try await outcome(of: "/usr/bin/psql", ["-X", database.url, "-f", "sql/install.psql"])
        case ("psql", _): try await outcome(of: "/usr/bin/psql", ["-X", database.url, "-f", "sql/install_bank.psql"])
        case (_, "engine"): try await perdure(["migrate"], database: database)
        default:
            try await outcome(
                of: try builtProgram("bank-worker").path, ["migrate"], environment: ["DATABASE_URL": database.url])
        }
    }

    @Test(arguments: ["perdure", "psql"])
    func `the engine is installed alone, and the bank by the example`(_ program: String) async throws {
        try await EmptyDatabase.with { database in
            let early = try await install("bank", by: program, database)
            #expect(early.status != 0)
            #expect(early.errors.contains("the engine is not installed here"), "\(early.errors)")
            #expect(try await install("engine", by: program, database).status == 0)
            #expect(try await bankTables(database) == nil)
            let bank = try await install("bank", by: program, database)
            #expect(bank.status == 0, "\(bank.errors)")
            #expect(bank.output.contains("migrations/bank/0010_bank.sql"))
            #expect(!bank.output.contains("engine"))
            #expect(try await bankTables(database) ?? 0 > 5)
            // Neither has anything to say of the other.
            #expect(try await database.migrator().migrate().isEmpty)
            #expect(try await database.migrator().status().allSatisfy { $0.state == .applied })
            #expect(try await install("bank", by: program, database).output.split(separator: "\n").count <= 1)
        }
    }

    @Test(arguments: ["perdure", "psql"])
    func `a database that had the bank among the engine's files goes on`(_ program: String) async throws {
        try await EmptyDatabase.with { database in
            try await installTogether(database)
            _ = try await database.connected {
                try await $0.query("update bank.accounts set opened_at = '2001-01-01' where account_id = 'account_A'")
            }
            // Who only looks sees nothing newer than the code.
            #expect(try await !database.migrator().status().contains { $0.state == .unknown })
            #expect(try await perdure(["migrate", "--dry-run"], database: database).status == 0)
            for part in ["engine", "bank"] {
                let installed = try await install(part, by: program, database)
                #expect(installed.status == 0, "\(installed.errors)")
                #expect(!installed.output.contains("migrations/"), "\(installed.output)")
            }
            let kept = try await database.connected {
                try await $0.query(
                    "select opened_at = '2001-01-01' from bank.accounts where account_id = 'account_A'")[0]
                    .decode(Bool.self, at: 0)
            }
            #expect(kept)
        }
    }

    @Test(arguments: ["perdure", "psql"], [true, false])
    func `where schema bank was dropped the engine goes on, and the example makes it anew`(
        _ program: String, together: Bool
    ) async throws {
        try await EmptyDatabase.with { database in
            if together {
                try await installTogether(database)
            } else {
                for part in ["engine", "bank"] {
                    #expect(try await install(part, by: program, database).status == 0)
                }
            }
            try await database.connected { _ = try await $0.query("drop schema bank cascade") }
            // Something is to be done, as after an upgrade.
            _ = try await database.connected {
                try await $0.query("update perdure.applied_files set checksum = '' where kind = 'definition'")
            }
            let engine = try await install("engine", by: program, database)
            #expect(engine.status == 0, "\(engine.errors)")
            #expect(engine.output.contains("sql/views/90_grants.sql"))
            #expect(try await bankTables(database) == nil)
            let bank = try await install("bank", by: program, database)
            #expect(bank.status == 0, "\(bank.errors)")
            #expect(try await bankTables(database) ?? 0 > 5)
        }
    }

    // MARK: - Without a checkout

    @Test func `a program migrates with the files that it was built with, from any folder`() async throws {
        try await EmptyDatabase.with { database in
            let folder = FileManager.default.temporaryDirectory
                .appending(path: "perdure-elsewhere-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            // By another process: a program cannot be started while somebody holds it open for writing, and a process
            // that another test starts at this moment would inherit that.
            let program = try builtProgram("perdure").resolvingSymlinksInPath().path
            #expect(try await outcome(of: "/bin/cp", [program, folder.appending(path: "perdure").path]).status == 0)
            func run(_ arguments: String) async throws -> Outcome {
                try await outcome(
                    of: "/bin/sh", ["-c", "cd '\(folder.path)' && exec ./perdure \(arguments)"],
                    environment: ["DATABASE_URL": database.url])
            }
            #expect(try await run("migrate --dry-run").output.hasPrefix("would apply migrations/0001_engine.sql\n"))
            let migrated = try await run("migrate")
            #expect(migrated.status == 0, "\(migrated.errors)")
            #expect(try await run("migrate").output == "the database is up to date\n")
            #expect(try await run("migrate status").status == 0)
            #expect(try await run("doctor").output.contains("migrated: all"))
            // They are the files of this checkout, byte for byte.
            #expect(try await database.migrator(root: checkout).status().allSatisfy { $0.state == .applied })
            let wrong = try await outcome(
                of: folder.appending(path: "perdure").path, ["migrate"],
                environment: ["DATABASE_URL": database.url, "PERDURE_ROOT": folder.path])
            #expect(wrong.status == 1)
            #expect(wrong.errors.contains("PERDURE_ROOT"), "\(wrong.errors)")
        }
    }

    @Test func `a package that depends on Perdure migrates from Swift`() async throws {
        try await EmptyDatabase.with { database in
            let applied = try await PerdureClient.migrate(database.configuration, logger: quiet)
            #expect(applied.first == "migrations/0001_engine.sql")
            let again = try await PerdureClient.migrate(database.configuration, logger: quiet)
            #expect(again.isEmpty)
            let files = try await database.migrator(root: checkout).status()
            #expect(files.allSatisfy { $0.state == .applied })
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
