import Foundation
import Postgres
import Testing

/// A database of one test's own, with everything that `perdure migrate` would apply. The server is the one that `DATABASE_URL`
/// names.
struct BankDatabase: Sendable {
    let url: String
    let pool: PostgresPool

    /// Makes a database, runs the body, drops it.
    static func with<T: Sendable>(_ body: @Sendable (BankDatabase) async throws -> T) async throws -> T {
        let template = try await Template.shared.name()
        let name = "bank_test_\(UUID().uuidString.lowercased().prefix(13).replacing("-", with: "_"))"
        try psql(server, ["create database \(name) template \(template)"])
        defer { _ = try? psql(server, ["drop database if exists \(name) with (force)"]) }
        return try await open(url(of: name), body)
    }

    /// Runs the body over a database that is there.
    static func open<T: Sendable>(
        _ url: String, _ body: @Sendable (BankDatabase) async throws -> T
    ) async throws -> T {
        let pool = PostgresPool(PostgresConfiguration(url), maximumConnections: 8)
        do {
            let value = try await body(BankDatabase(url: url, pool: pool))
            await pool.close()
            return value
        } catch {
            await pool.close()
            throw error
        }
    }

    /// The cents that every account holds, and whether the books prove it.
    func audit() async throws -> (balances: [String: Int64], isProven: Bool) {
        let rows = try await pool.query("select account_id, balance_cents from bank.balances where kind = 'customer'")
        let balances = try Dictionary(
            uniqueKeysWithValues: rows.map { (try $0.decode(String.self, at: 0), try $0.decode(Int64.self, at: 1)) })
        let proof = try await pool.query(
            """
            select wrong_entries = 0 and wrong_balances = 0 and sum_of_postings = 0 and conserved and in_transit_cents = 0
            from bank.audit
            """)
        return (balances, try proof[0].decode(at: 0))
    }

    static let server =
        ProcessInfo.processInfo.environment["DATABASE_URL"] ?? "postgresql://postgres@127.0.0.1:55432/postgres"

    static func url(of database: String) -> String {
        var url = URLComponents(string: server)!
        url.path = "/\(database)"
        return url.string!
    }

    /// The root of the checkout.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    @discardableResult
    static func psql(_ url: String, _ commands: [String], files: [String] = []) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
            + commands.flatMap { ["-c", $0] } + files.flatMap { ["-f", $0] }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "psql failed: \(text)")
        return text
    }

    /// Applies everything that there is to apply to an empty database.
    static func migrate(_ url: String) throws {
        let files = try ["migrations", "sql/engine", "sql/views", "sql/bank"].flatMap { folder in
            let path = root.appending(path: folder).path
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".sql") }.sorted()
                .map { "\(path)/\($0)" }
        }
        try psql(url, ["set client_min_messages = warning"], files: files)
    }

    /// Migrated once, copied for each test, dropped when the tests end.
    private actor Template {
        static let shared = Template()
        private static let template = "bank_template_\(ProcessInfo.processInfo.processIdentifier)"
        private var made: String?

        func name() throws -> String {
            if let made { return made }
            let name = Self.template
            try psql(server, ["drop database if exists \(name)", "create database \(name)"])
            atexit { _ = try? BankDatabase.psql(server, ["drop database if exists \(Template.template)"]) }
            try migrate(url(of: name))
            made = name
            return name
        }
    }
}
