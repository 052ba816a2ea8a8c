import Bank
import Foundation
import PerdureModel
import Postgres
import WebCommon

/// The transfers that the engine knows, as JSON that PostgreSQL wrote; see `sql/bank/40_transfers.sql`.
struct Transfers: Sendable {
    let pool: PostgresPool

    /// A transfer and what stands for it in JSON.
    struct Entry: Sendable, Hashable {
        var runID: UUID
        var isRunning: Bool
        /// Nil for one that has ended and that the caller knows already.
        var document: String?
    }

    /// Newest first.
    /// - Parameter before: the run after which to go on, for the next page.
    func list(limit: Int, before: UUID?) async throws -> [Entry] {
        let query = PostgresQuery(
            """
            select t.run_id, t.status = 'RUNNING' as is_running, bank.transfer_document(t) as document
            from bank.transfers t
            where $1::uuid is null or (t.start_time, t.run_id) < (
                select b.start_time, b.run_id from bank.transfers b where b.run_id = $1)
            order by t.start_time desc, t.run_id desc
            limit $2
            """, binds: [before, limit])
        return try await pool.query(query).map(Entry.init)
    }

    /// The current run of a workflow; nil if there is no such transfer.
    func newest(_ workflowID: String) async throws -> Entry? {
        try await pool.query(
            """
            select t.run_id, t.status = 'RUNNING' as is_running, bank.transfer_document(t) as document
            from bank.transfers t
            where t.shard = perdure.shard_for('default', \(workflowID)) and t.workflow_id = \(workflowID)
            order by t.run_number desc limit 1
            """
        ).first.map(Entry.init)
    }

    /// An account's transfers, found by their search attributes: what all add up to, and the newest of them.
    func ofAccount(_ account: String, limit: Int) async throws -> (summary: String, documents: [String]) {
        let summary = try await pool.query("select bank.account_summary(\(account))")[0].decode(String.self, at: 0)
        let rows = try await pool.query(
            """
            select bank.account_transfer_document(t, \(account)) as document
            from bank.transfers t
            where t.search_attributes @> jsonb_build_object('from_account', \(account))
               or t.search_attributes @> jsonb_build_object('to_account', \(account))
            order by t.start_time desc, t.run_id desc
            limit \(limit)
            """)
        return (summary, try rows.map { try $0.decode(String.self, at: 0) })
    }

    /// What the page shows: see `bank.page_transfers`.
    func shown(knownClosed: [UUID]) async throws -> [Entry] {
        try await pool.query("select * from bank.page_transfers(\(knownClosed))").map(Entry.init)
    }

    /// Balances, sums, Real World Mode and marks, each as JSON, by name: see `bank.page_state`.
    func pageState() async throws -> [String: String] {
        let row = try await pool.query("select * from bank.page_state()")[0]
        var state: [String: String] = [:]
        for part in ["accounts", "totals", "real_world_mode", "marks"] { state[part] = try row.decode(part) }
        return state
    }
}

extension Transfers.Entry {
    fileprivate init(_ row: PostgresRow) throws {
        runID = try row.decode("run_id")
        isRunning = try row.decode("is_running")
        document = try row.decode("document")
    }
}
