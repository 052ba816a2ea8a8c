public import Foundation
public import PerdureEngine

extension UntypedWorkflowHandle {
    /// Lets the workflow go back: its open run is terminated, and a new one goes on from a workflow task of this
    /// handle's run, or of the current one, with the code that its worker has now.
    ///
    /// What happened to the run since is applied again if it came from outside: signals, updates, and how children
    /// that it had started before have ended. Activities are made again; see ``WorkflowResetOptions``.
    ///
    /// - Returns: a handle of the new run.
    /// - Throws: ``WorkflowNotFoundError``, `EngineError` for a place that the run cannot go back to.
    @discardableResult
    public func reset(
        to point: WorkflowResetPoint, reason: String? = nil, options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> UntypedWorkflowHandle {
        try await intercept(
            by: client.interceptors,
            ResetWorkflowInput(id: id, runID: runID, point: point, reason: reason, options: options)
        ) {
            try await $0.resetWorkflow(input: $1, next: $2)
        } around: { reset in
            let requestID = UUID().uuidString
            let made = try await client.translating(reset.id, reset.runID) {
                try await client.retrying(.resetWorkflowExecution) {
                    try await client.engine.resetWorkflow(
                        namespace: client.namespace, workflowID: reset.id, runID: reset.runID, to: reset.point,
                        reason: reset.reason, requestID: requestID, identity: client.identity,
                        options: reset.options)
                }
            }
            return UntypedWorkflowHandle(
                client: client, id: reset.id, runID: made, firstExecutionRunID: nil, resultRunID: made)
        }
    }
}

extension WorkflowHandle {
    /// Lets the workflow go back; see ``UntypedWorkflowHandle/reset(to:reason:options:)``.
    @discardableResult
    public func reset(
        to point: WorkflowResetPoint, reason: String? = nil, options: WorkflowResetOptions = WorkflowResetOptions()
    ) async throws -> WorkflowHandle {
        WorkflowHandle(untypedHandle: try await untypedHandle.reset(to: point, reason: reason, options: options))
    }
}

/// A workflow that is about to be reset.
public struct ResetWorkflowInput: Sendable {
    public var id: String
    public var runID: UUID?
    public var point: WorkflowResetPoint
    public var reason: String?
    public var options: WorkflowResetOptions
}
