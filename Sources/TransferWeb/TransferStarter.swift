import Bank
import Foundation
import Postgres
import WebCommon

/// Starts transfers.
struct TransferStarter: Sendable {
    let pool: PostgresPool
    let taskQueue: String

    /// Returns the id of the workflow, which is durable by then. A start whose answer was lost is made again under its
    /// request id, so that nobody is told that a transfer failed which was started.
    func start(_ transfer: Transfer) async throws -> String {
        let id = "transfer-\(UUID().uuidString.lowercased())"
        let person = Visitor.current.name
        let input = PostgresJSON(bytes: Array(try JSONEncoder().encode(transfer)))
        let end = ContinuousClock.now + .seconds(10)
        var pause = Duration.milliseconds(50)
        while true {
            do {
                _ = try await pool.query(
                    """
                    select from perdure.start_workflow(
                        workflow_type => 'TransferWorkflow', workflow_id => \(id), task_queue => \(taskQueue),
                        input => \(input), options => jsonb_build_object('requestId', \(id)::text,
                            'identity', coalesce(\(person)::text, session_user::text),
                            'searchAttributes', jsonb_build_object(
                                'from_account', \(transfer.fromAccount)::text,
                                'to_account', \(transfer.toAccount)::text)))
                    """)
                return id
            } catch let error as PostgresError where error.mayPass && ContinuousClock.now < end {
                try await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        }
    }
}
