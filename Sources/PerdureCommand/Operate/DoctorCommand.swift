import ArgumentParser
import PerdureEngine
import Postgres

/// What an operator should know of the database, each with advice.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check the database and what runs in it, and say what to do.",
        discussion: "Exit code 1 if something is wrong.")
    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    func run() async throws {
        let findings = try await database.withPool { pool in
            try await pool.withConnection { try await Examination(connection: $0, database: database).findings() }
        }
        switch output {
        case .json: JSON.printed(findings.map(\.json))
        case .text:
            for finding in findings {
                print("\(finding.status.mark)  \(finding.message.withoutControls)")
                if let hint = finding.hint { print("         \(hint.withoutControls)") }
            }
        }
        if findings.contains(where: { $0.status == .wrong }) { throw ExitCode(1) }
    }
}

/// One check: those of `perdure.health_checks()`, which the health page shows too, and one that needs the migration
/// files.
struct Finding {
    enum Status: String {
        case well, warning, wrong
        var mark: String {
            switch self {
            case .well: "ok     "
            case .warning: "warning"
            case .wrong: "WRONG  "
            }
        }
    }
    let name: String
    let status: Status
    let message: String
    let hint: String?

    var json: JSON {
        .compact([
            "name": .string(name), "status": .string(status.rawValue), "message": .string(message),
            "hint": hint.map { .string($0) },
        ])
    }
}

private struct Examination {
    let connection: PostgresConnection
    let database: DatabaseOptions

    func findings() async throws -> [Finding] {
        let migration = try await migration()
        let isThere = try await connection.query(
            "select to_regprocedure('perdure.health_checks(double precision)') is not null")[0]
        guard try isThere.decode(Bool.self, at: 0) else { return [migration] }
        let rows = try await connection.query("select name, status, message, hint from perdure.health_checks()")
        return [migration]
            + (try rows.map { row in
                Finding(
                    name: try row.decode("name"), status: Finding.Status(rawValue: try row.decode("status")) ?? .wrong,
                    message: try row.decode("message"), hint: try row.decode("hint"))
            })
    }

    private func migration() async throws -> Finding {
        let name = "Migrations"
        let files: [Migrator.File]
        do {
            files = try await database.migrator().status()
        } catch let error as MigrationError {
            return Finding(
                name: name, status: .warning, message: "cannot tell whether the database is migrated: \(error)",
                hint: nil)
        } catch let error as PostgresError where error.sqlState == "42501" {
            return Finding(
                name: name, status: .warning, message: "only the owner can tell whether all migrations are applied",
                hint: "Let the owner run perdure migrate status.")
        }
        let check = Migrator.check(files)
        return Finding(
            name: name, status: Finding.Status(rawValue: check.status) ?? .wrong, message: check.message,
            hint: check.hint)
    }
}
