import Foundation
import PerdureEngine
import Postgres

/// Resets, and what describe tells of them.
extension WorkflowCalls {
    func reset(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, runID) = try request.execution("workflowExecution")
        guard let requestID = request.given("requestId") else {
            throw CallError.invalidArgument("RequestId is not set on request.")
        }
        if let operations = request["postResetOperations"]?.arrayValue, !operations.isEmpty {
            throw CallError.notYet("operations after a reset (postResetOperations)")
        }
        let shard = try await database.shard(of: workflowID, in: namespace)
        let (current, made): (UUID, UUID) = try await found(workflowID, runID) {
            let current = try await database.runID(of: workflowID, nil, in: namespace).run
            do {
                let made: UUID = try await database.row(
                    """
                    select perdure.reset_workflow(\(shard), \(namespace), \(workflowID), \(runID), \
                    \(["eventId": request["workflowTaskFinishEventId"] ?? 0] as JSON), \(request.text("reason")), \
                    \(requestID), \(request.given("identity")), \(Self.options(reset: request)))
                    """
                ).decode(at: 0)
                return (current, made)
            } catch let error as EngineError where error.code == .invalidArgument {
                throw CallError.invalidArgument(error.message)
            }
        }
        // Relatives of the run that was terminated, if it is another one than that which was reset.
        database.transfers.drain([current], of: shard)
        agents.nudgeAll(.workflow, in: namespace)
        return ["runId": .string(made.text)]
    }

    /// Lets no worker keep a run: the next task goes to any.
    func resetSticky(_ request: JSON) async throws -> JSON {
        let namespace = request.text("namespace")
        let (workflowID, runID) = try request.execution("execution")
        let shard = try await database.shard(of: workflowID, in: namespace)
        try await found(workflowID, runID) {
            _ = try await database.rows(
                "select perdure.reset_sticky(\(shard), \(namespace), \(workflowID), \(runID))")
        }
        agents.nudgeAll(.workflow, in: namespace)
        return [:]
    }

    private static func options(reset request: JSON) -> JSON {
        [
            "resetReapplyType": .string(request.given("resetReapplyType") ?? "Unspecified"),
            "resetReapplyExcludeTypes": request["resetReapplyExcludeTypes"] ?? [],
        ]
    }

    /// Where the builds of workers began: `temporal.api.workflow.v1.ResetPoints`; nil for a run without any.
    func resetPoints(_ shard: Int16, _ runID: UUID) async throws -> JSON? {
        let points = try await database.rows(
            "select p.build_id, p.event_id, p.event_time from perdure.reset_points(\(shard), \(runID)) p")
        guard !points.isEmpty else { return nil }
        return [
            "points": .array(
                try points.map { point in
                    [
                        "runId": .string(runID.text), "resettable": true,
                        "buildId": .string(try point.decode("build_id")),
                        "firstWorkflowTaskCompletedId": .number(try point.decode(Int64.self, "event_id")),
                        "createTime": .string(try point.decode(Timestamp.self, "event_time").description),
                    ]
                })
        ]
    }
}
