import Foundation
import Logging
import PerdureEngine
import Postgres

/// The SQL contract with JSON as it is: payloads keep all that they hold, for the frontend passes them on unread.
struct FrontendDatabase: Sendable {
    let pool: PostgresPool
    private let engine: Engine
    /// Lets what runs decide about others take effect once it is committed.
    let transfers: TransferDrain

    init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        engine = Engine(pool: pool)
        transfers = TransferDrain(engine: engine, logger: logger)
    }

    func rows(_ query: PostgresQuery) async throws -> PostgresRows {
        do {
            return try await pool.query(query)
        } catch let error as PostgresError {
            throw EngineError(error) ?? error
        }
    }

    /// The one row of a function that returns one.
    func row(_ query: PostgresQuery) async throws -> PostgresRow {
        guard let row = try await rows(query).first else {
            throw PostgresError(.decoding, "a function that returns one row returned none")
        }
        return row
    }

    func shards() async throws -> [Int16] { try await engine.shards() }

    func shard(of workflowID: String, in namespace: String) async throws -> Int16 {
        let shards = try await shards()
        guard shards.count > 1 else { return shards[0] }
        return try await row("select perdure.shard_for(\(namespace), \(workflowID))").decode(at: 0)
    }

    /// A run by its id, or the current one of the workflow id.
    func runID(of workflowID: String, _ runID: UUID?, in namespace: String) async throws -> (run: UUID, isOpen: Bool) {
        let shard = try await shard(of: workflowID, in: namespace)
        let row = try await row(
            """
            select run_id, status::text from perdure.workflow_result(\(shard), \(namespace), \(workflowID), \(runID))
            """)
        return (try row.decode("run_id"), try row.decode(String.self, "status") == "Running")
    }

    /// Running, Completed and so on.
    func runStatus(of workflowID: String, _ runID: UUID, in namespace: String) async throws -> String {
        let shard = try await shard(of: workflowID, in: namespace)
        return try await row(
            "select status::text from perdure.workflow_result(\(shard), \(namespace), \(workflowID), \(runID))"
        ).decode(at: 0)
    }

    /// - Throws: NOT_FOUND unless there is such a namespace.
    func requireNamespace(_ name: String) async throws {
        guard !name.isEmpty else { throw CallError.invalidArgument("Namespace is empty.") }
        let isKnown: Bool = try await row(
            """
            select exists (select from perdure.namespaces n where n.namespace = \(name) and n.deleted_at is null)
            """
        ).decode(at: 0)
        guard isKnown else { throw CallError.noNamespace(name) }
    }

    /// The types of a namespace's search attributes, which Temporal's clients want with the values.
    func searchAttributeTypes(in namespace: String) async throws -> [String: String] {
        let rows = try await rows("select name, type from perdure.list_filter_fields(\(namespace))")
        return Dictionary(
            try rows.map {
                // Durations are numbers to Temporal's clients.
                let type = try $0.decode(String.self, "type")
                return (try $0.decode(String.self, "name"), type == "Duration" ? "Int" : type)
            },
            uniquingKeysWith: { first, _ in first })
    }
}
