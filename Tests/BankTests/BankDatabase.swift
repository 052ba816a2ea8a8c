import Bank
import Foundation
import PerdureEngine
import Postgres
import TestSupport
import Testing

/// A database of one test's own, with everything that `perdure migrate` and `bank-worker migrate` would apply. The
/// server is the one that `PERDURE_TEST_DATABASE_URL` names.
struct BankDatabase: Sendable {
    let url: String
    let pool: PostgresPool

    /// Makes a database, runs the body, drops it.
    static func with<T: Sendable>(_ body: @Sendable (BankDatabase) async throws -> T) async throws -> T {
        let template = try await Template.shared.name()
        return try await withDatabase("bank_test", "template \(template)") { try await open(databaseURL($0), body) }
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
            select wrong_entries = 0 and wrong_balances = 0 and sum_of_postings = 0 and conserved
                and in_transit_cents = 0
            from bank.audit
            """)
        return (balances, try proof[0].decode(at: 0))
    }

    /// Applies the engine and the bank to an empty database.
    static func migrate(_ url: String) async throws {
        let configuration = PostgresConfiguration(url)
        try await Migrator(root: checkout, configuration: configuration, logger: quiet).migrate()
        try await BankSchema.migrator(root: checkout, configuration: configuration, logger: quiet).migrate()
    }

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
                let isDropped = DispatchSemaphore(value: 0)
                Task.detached {
                    try? await administer("drop database if exists \(Template.template)")
                    isDropped.signal()
                }
                // The tests are over: nobody needs this thread.
                isDropped.wait()
            }
            try await migrate(databaseURL(template))
            return template
        }
    }
}
