public import Foundation
import Postgres

extension Engine {
    /// Sends a run an update. A repeat with the same id finds the first.
    ///
    /// - Returns: the run that got it.
    /// - Throws: ``EngineError``; with ``EngineError/Code/workflowTasksFail`` the run has forgotten the updates that it
    ///   had not accepted, for one of them may be why its workflow tasks fail.
    public func updateWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, updateID: String, name: String,
        input: [Payload] = [], identity: String? = nil, headers: [String: Payload] = [:]
    ) async throws -> UUID {
        try await forgettingUpdates(namespace, workflowID, runID) {
            try await row(
                """
                select run_id from perdure.update_workflow(\
                \(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \(workflowID), \(runID), \
                \(updateID), \(name), \(input.json), \(identity), \(headers.orLeftOut))
                """
            ).decode(at: 0)
        }
    }

    /// Starts a workflow, or finds the one that its policies say to use, and sends it an update: both or neither. A
    /// repeat with the same ids finds the first.
    ///
    /// - Parameter options: the contract's `p_options` of the start.
    /// - Throws: what starts and ``updateWorkflow(namespace:workflowID:runID:updateID:name:input:identity:headers:)``
    ///   throw.
    public func updateWithStartWorkflow(
        namespace: String, workflowID: String, workflowType: String, taskQueue: String, input: [Payload] = [],
        options: JSON = [:], updateID: String, updateName: String, updateInput: [Payload] = [],
        identity: String? = nil, headers: [String: Payload] = [:]
    ) async throws -> StartedRun {
        let run = try await forgettingUpdates(namespace, workflowID, nil) {
            try await row(
                """
                select run_id, started from perdure.update_with_start_workflow(\
                \(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \(workflowID), \
                \(workflowType), \(taskQueue), \(input.json), \(options), \(updateID), \(updateName), \
                \(updateInput.json), \(identity), \(headers.orLeftOut))
                """)
        }
        return StartedRun(runID: try run.decode("run_id"), started: try run.decode("started"))
    }

    private func forgettingUpdates<Value>(
        _ namespace: String, _ workflowID: String, _ runID: UUID?, _ update: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await update()
        } catch let error as EngineError where error.code == .workflowTasksFail {
            _ = try await row(
                """
                select perdure.forget_updates(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
                \(namespace), \(workflowID), \(runID))
                """)
            throw error
        }
    }

    /// Where an update stands.
    public func updateState(
        namespace: String, workflowID: String, runID: UUID? = nil, updateID: String
    ) async throws -> UpdateState {
        let row = try await row(
            """
            select state, result, failure from perdure.update_outcome(\
            \(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \(workflowID), \
            \(runID), \(updateID))
            """)
        let failure = try row.decode(JSON?.self, "failure").map { try Failure(json: $0) }
        switch try row.decode(String.self, "state") {
        case "admitted": return .admitted
        case "accepted": return .accepted
        case "aborted": return .aborted
        case "rejected": return .rejected(failure ?? .application("the update was rejected"))
        default:
            if let failure { return .completed(.failure(failure)) }
            return .completed(.success(try [Payload](json: row.decode(JSON?.self, "result"))))
        }
    }
}
