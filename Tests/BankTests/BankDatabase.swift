import Foundation
import Logging
import PerdureEngine
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
        try await administer("create database \(name) template \(template)")
        let result: Result<T, any Error>
        do { result = .success(try await open(url(of: name), body)) } catch { result = .failure(error) }
        try await administer("drop database if exists \(name) with (force)")
        return try result.get()
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
        ProcessInfo.processInfo.environment["PERDURE_TEST_DATABASE_URL"]
        ?? "postgresql://postgres@127.0.0.1:55432/postgres"

    static func url(of database: String) -> String {
        var url = URLComponents(string: server)!
        url.path = "/\(database)"
        return url.string!
    }

    /// The root of the checkout.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Runs a command on the server's own database.
    private static func administer(_ command: String) async throws {
        let connection = try await PostgresConnection.connect(PostgresConfiguration(server), logger: logger)
        let result: Result<Void, any Error>
        do { result = .success(try await connection.simpleQuery(command)) } catch { result = .failure(error) }
        await connection.close()
        try result.get()
    }

    /// Applies everything that there is to apply to an empty database.
    static func migrate(_ url: String) async throws {
        try await Migrator(root: root, configuration: PostgresConfiguration(url), logger: logger).migrate()
    }

    private static let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    /// Migrated once, copied for each test, dropped when the tests end.
    private actor Template {
        static let shared = Template()
        private static let template = "bank_template_\(ProcessInfo.processInfo.processIdentifier)"
        private var making: Task<String, any Error>?

        func name() async throws -> String {
            let making = making ?? Task { try await Self.make() }
            self.making = making
            return try await making.value
        }

        private static func make() async throws -> String {
            try await administer("drop database if exists \(template)")
            try await administer("create database \(template)")
            atexit {
                let psql = Process()
                psql.executableURL = URL(filePath: "/usr/bin/env")
                psql.arguments = ["psql", "-Xq", "-d", server, "-c", "drop database if exists \(Template.template)"]
                try? psql.run()
                psql.waitUntilExit()
            }
            try await migrate(url(of: template))
            return template
        }
    }
}
