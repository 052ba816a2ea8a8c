import Bank
import Foundation
import PerdureModel
import Postgres
import WebCommon

/// The same transfers in every mode at once; see `sql/bank/42_comparisons.sql`.
struct Comparisons: Sendable {
    let pool: PostgresPool

    static let usualSize = 50
    static let usualAmount = Money(cents: 10_00)

    struct Comparison: Sendable {
        var id: Int64
        var size: Int
        var amount: Money
        var startedAt: Date
        var results: [Result]
        var transfers: [ComparedTransfer]

        var isRunning: Bool { results.contains { $0.running > 0 } }
    }

    /// How one mode fares.
    struct Result: Sendable {
        var mode: TransferMode
        var transfers: Int64
        var running: Int64
        var completed: Int64
        var failed: Int64
        var counts: [Verdict: Int64]
        var missing: Money
        var doubled: Money
        var repeated: Money
        var seconds: Double
    }

    struct ComparedTransfer: Sendable {
        var mode: TransferMode
        var number: Int32
        var transferID: String
        var workflowID: String?
        var fromAccount: String
        var toAccount: String
        var status: String
        var withdrawn: Money
        var deposited: Money
        /// Nil while it runs.
        var verdict: Verdict?
    }

    /// What the books say of a transfer that has ended: see `bank.verdict`.
    enum Verdict: String, Sendable, CaseIterable {
        case correct, missing, doubled, repeated, unreported
    }

    /// Starts the durable ones, and notes the others for ``DirectTransfers`` to begin; returns the comparison's number.
    func start(size: Int, amount: Money, taskQueue: String, process: String) async throws -> Int64 {
        try await pool.query(
            """
            select bank.start_comparison(\(Int32(size)), \(amount.cents), \(taskQueue), \(process),
                \(Visitor.current.name)::text)
            """)[0].decode(at: 0)
    }

    func newest() async throws -> Comparison? {
        guard let row = try await pool.query("select max(comparison_id) from bank.comparisons").first,
            let id = try row.decode(Int64?.self, at: 0)
        else { return nil }
        return try await find(id)
    }

    func find(_ id: Int64) async throws -> Comparison? {
        let found = try await pool.query(
            "select size, amount_cents, started_at from bank.comparisons where comparison_id = \(id)")
        guard let row = found.first else { return nil }
        let results = try await pool.query(
            """
            select r.*, extract(epoch from r.duration)::double precision as seconds
            from bank.comparison_results r where r.comparison_id = \(id)
            """)
        let transfers = try await pool.query(
            "select * from bank.compared_transfers where comparison_id = \(id) order by mode, number")
        let byMode = try results.map(Result.init)
        return Comparison(
            id: id, size: Int(try row.decode(Int32.self, at: 0)), amount: Money(cents: try row.decode(at: 1)),
            startedAt: try row.decode(at: 2),
            results: TransferMode.allCases.compactMap { mode in byMode.first { $0.mode == mode } },
            transfers: try transfers.map(ComparedTransfer.init))
    }
}

extension Comparisons.Result {
    fileprivate init(_ row: PostgresRow) throws {
        mode = try TransferMode(column: row.decode("mode"))
        transfers = try row.decode("transfers")
        running = try row.decode("running")
        completed = try row.decode("completed")
        failed = try row.decode("failed")
        counts = [:]
        for verdict in Comparisons.Verdict.allCases { counts[verdict] = try row.decode(verdict.rawValue) }
        missing = Money(cents: try row.decode("missing_cents"))
        doubled = Money(cents: try row.decode("doubled_cents"))
        repeated = Money(cents: try row.decode("repeated_cents"))
        seconds = try row.decode("seconds")
    }
}

extension Comparisons.ComparedTransfer {
    fileprivate init(_ row: PostgresRow) throws {
        mode = try TransferMode(column: row.decode("mode"))
        number = try row.decode("number")
        transferID = try row.decode(UUID.self, "transfer_id").uuidString.lowercased()
        workflowID = try row.decode("workflow_id")
        fromAccount = try row.decode(String?.self, "from_account") ?? ""
        toAccount = try row.decode(String?.self, "to_account") ?? ""
        status = try row.decode("status")
        withdrawn = Money(cents: try row.decode("withdrawn_cents"))
        deposited = Money(cents: try row.decode("deposited_cents"))
        verdict = try row.decode(String?.self, "verdict").flatMap(Comparisons.Verdict.init)
    }
}

extension TransferMode {
    /// A column that a constraint keeps to the modes.
    fileprivate init(column: String) throws {
        guard let mode = TransferMode(rawValue: column) else {
            throw WebError(.internalServerError, "the database knows a mode that this page does not")
        }
        self = mode
    }
}

extension Comparisons.Comparison {
    /// As `GET /api/comparisons/{id}` answers it.
    var json: JSON {
        let modes = results.map { result in
            var members: JSON.Members = [
                "mode": .string(result.mode.rawValue), "transfers": .number(result.transfers),
                "running": .number(result.running), "completed": .number(result.completed),
                "failed": .number(result.failed),
            ]
            for verdict in Comparisons.Verdict.allCases {
                members[verdict.rawValue] = .number(result.counts[verdict] ?? 0)
            }
            members["money_missing"] = .number(result.missing.description)
            members["money_doubled"] = .number(result.doubled.description)
            members["money_repeated"] = .number(result.repeated.description)
            members["seconds"] = .number("\(result.seconds)")
            return JSON.object(members)
        }
        return [
            "comparison_id": .number("\(id)"), "size": .number("\(size)"), "amount": .number(amount.description),
            "start_time": .number("\(startedAt.timeIntervalSince1970)"), "running": .bool(isRunning),
            "modes": .array(modes),
        ]
    }
}
