public import Foundation
import Postgres

/// Where a run goes back to: right before the end of one of its workflow tasks.
public enum WorkflowResetPoint: Sendable, Hashable {
    /// The event that ends the workflow task, such as its `WorkflowTaskCompleted`.
    case event(Int64)
    case firstWorkflowTask
    case lastWorkflowTask
    /// The first workflow task that a worker of this build did.
    case build(String)
    /// The first workflow task in which the run took this patch.
    case patch(String)

    /// As `perdure.reset_workflow` takes it.
    public var json: JSON {
        switch self {
        case .event(let id): ["eventId": .number(id)]
        case .firstWorkflowTask: ["type": "FirstWorkflowTask"]
        case .lastWorkflowTask: ["type": "LastWorkflowTask"]
        case .build(let id): ["buildId": .string(id)]
        case .patch(let id): ["patch": .string(id)]
        }
    }
}

/// What a reset does not apply again, and with which keys activities are made again.
public struct WorkflowResetOptions: Sendable, Hashable {
    /// What can be left out.
    public enum ReapplyExcludeType: String, Sendable, Hashable, CaseIterable {
        case signal = "Signal"
        case update = "Update"
    }

    public var reapplyExcludeTypes: Set<ReapplyExcludeType>
    /// Whether activities that are made again get new idempotency keys. Otherwise a call of the same activity with the
    /// same arguments has the key that it had.
    public var newIdempotencyKeys: Bool

    public init(reapplyExcludeTypes: Set<ReapplyExcludeType> = [], newIdempotencyKeys: Bool = false) {
        self.reapplyExcludeTypes = reapplyExcludeTypes
        self.newIdempotencyKeys = newIdempotencyKeys
    }

    /// As `perdure.reset_workflow` takes it.
    public var json: JSON {
        [
            "resetReapplyExcludeTypes": .array(reapplyExcludeTypes.map(\.rawValue).sorted().map { .string($0) }),
            "newIdempotencyKeys": .bool(newIdempotencyKeys),
        ]
    }
}

extension Engine {
    /// Ends the open run of a workflow, and lets another one go on from a workflow task of `runID`.
    ///
    /// - Parameter requestID: a repeat under the same id finds the run that the first one made.
    /// - Returns: the new run.
    public func resetWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, to point: WorkflowResetPoint,
        reason: String? = nil, requestID: String? = nil, identity: String? = nil,
        options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> UUID {
        try await row(
            """
            select perdure.reset_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \(workflowID), \(runID), \(point.json), \(reason?.withVisibleNul), \(requestID), \
            \(identity?.withVisibleNul), \(options.json))
            """
        ).decode(at: 0)
    }
}
