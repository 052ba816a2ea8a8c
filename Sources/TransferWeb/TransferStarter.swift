import Bank
import Foundation
import Postgres

/// Starts transfers.
struct TransferStarter: Sendable {
    let pool: PostgresPool
    let taskQueue: String

    /// Returns the id of the workflow, which is durable by then.
    func start(_ transfer: Transfer) async throws -> String {
        let id = "transfer-\(UUID().uuidString.lowercased())"
        let input = PostgresJSON(bytes: Array(try JSONEncoder().encode(transfer)))
        _ = try await pool.query(
            """
            select from perdure.start_workflow(
                workflow_type => 'TransferWorkflow', workflow_id => \(id), task_queue => \(taskQueue), input => \(input),
                options => jsonb_build_object('searchAttributes', jsonb_build_object(
                    'from_account', \(transfer.fromAccount)::text, 'to_account', \(transfer.toAccount)::text)))
            """)
        return id
    }
}
