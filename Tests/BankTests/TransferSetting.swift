import Bank
import Foundation
import PerdureModel
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import AccountAPI
@testable import TransferWeb

/// Tests of the whole: real workers in processes of their own, a real account API, a real database. One at a time,
/// since each keeps the machine busy by itself.
@Suite(.serialized, .timeLimit(.minutes(5))) enum EndToEnd {}

/// What a test of transfers has at hand.
struct TransferSetting: Sendable {
    let database: BankDatabase
    let accountAPI: String
    let gate: Gate

    static func with(_ body: @Sendable @escaping (TransferSetting) async throws -> Void) async throws {
        try await BankDatabase.with { database in
            let gate = Gate()
            let routes = AccountRoutes(ledger: Ledger(database.pool))
            try await withServer(routes.router(settings: WebSettings(port: 0)), gate: gate) { url in
                let setting = TransferSetting(database: database, accountAPI: url, gate: gate)
                try await body(setting)
                try await setting.expectNoViolations()
            }
        }
    }

    /// Whatever has happened, no rule of the engine is broken and no cent is lost.
    func expectNoViolations(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let broken = try await database.pool.query(
            """
            select to_jsonb(v)::text from perdure.violations() v union all select to_jsonb(b)::text
                from bank.violations() b
            """
        ).map { try $0.decode(String.self, at: 0) }
        #expect(broken.isEmpty, sourceLocation: sourceLocation)
    }

    /// What the accounts hold at first, in cents.
    static let opening: [String: Int64] = [
        "account_A": 100_000, "account_B": 50_000, "account_C": 75_000, "account_D": 120_000, "account_E": 30_000,
        "account_F": 90_000, "account_G": 60_000, "account_H": 150_000, "account_I": 40_000, "account_J": 80_000,
    ]

    /// Starts a transfer that retries quickly, and returns its workflow's id.
    @discardableResult
    func start(
        _ from: String, _ to: String, _ cents: Int64, id: String = "t-\(UUID().uuidString)",
        withSearchAttributes: Bool = true
    ) async throws -> String {
        let transfer = Transfer(from: from, to: to, amount: Money(cents: cents), retrySeconds: 0.05)
        let attributes = withSearchAttributes ? ["from_account": from, "to_account": to] : [:]
        let input = PostgresJSON(bytes: Array(try JSONEncoder().encode(transfer)))
        let options = PostgresJSON(bytes: Array(try JSONEncoder().encode(["searchAttributes": attributes])))
        _ = try await database.pool.query(
            """
            select from perdure.start_workflow(workflow_type => 'TransferWorkflow', workflow_id => \(id),
                task_queue => 'bank', input => \(input), options => \(options))
            """)
        return id
    }

    /// The transfer as the API shows it.
    func transfer(_ id: String) async throws -> JSON {
        let entry = try #require(try await Transfers(pool: database.pool).newest(id))
        return try JSON(parsing: try #require(entry.document).utf8)
    }

    func count(_ query: PostgresQuery) async throws -> Int { try await database.pool.query(query)[0].decode(at: 0) }

    func waitUntilAllHaveEnded(
        within limit: Duration = .seconds(60), sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await eventually("all transfers end", within: limit, sourceLocation: sourceLocation) {
            try await count("select count(*) from perdure.workflows where status = 'Running'") == 0
        }
    }

    func realWorld(hang: Double, error: Double, lost: Double, seconds: Double = 1) async throws {
        _ = try await database.pool.query(
            "select from bank.set_real_world_mode(true, \(hang), \(error), \(lost), \(seconds))")
    }
}
