public import Foundation
public import PerdureEngine

extension PerdureClient {
    /// Sends a workflow an update, starts it first if it does not run, and waits until the update has come so far. Both
    /// happen in one transaction, or neither. A lost connection does neither twice.
    ///
    /// ```swift
    /// let total = try await client.executeUpdateWithStartWorkflow(
    ///     input: .init(), options: WorkflowOptions(id: "cart-7", taskQueue: "carts"),
    ///     updateType: Cart.AddItem.self, updateInput: item)
    /// ```
    ///
    /// - Parameters:
    ///   - options: a run that is there is used, as with ``WorkflowOptions/IDConflictPolicy/useExisting``, unless it is
    ///     to be terminated.
    ///   - updateID: a repeat with the same id finds the first.
    /// - Throws: ``WorkflowAlreadyStartedError`` when a closed run stands in the way, ``WorkflowUpdateFailedError``
    ///   when the workflow's code rejects the update, and what
    ///   ``WorkflowHandle/startUpdate(updateType:updateID:waitForStage:input:)`` throws.
    public func startUpdateWithStartWorkflow<Workflow: WorkflowDefinition, Update: WorkflowUpdateDefinition>(
        type: Workflow.Type = Workflow.self, input: Workflow.Input, options: WorkflowOptions,
        updateType: Update.Type = Update.self, updateID: String = UUID().uuidString, updateInput: Update.Input,
        waitForStage stage: WorkflowUpdateStage
    ) async throws -> WorkflowUpdateHandle<Update> where Update.Workflow == Workflow {
        WorkflowUpdateHandle(
            untypedHandle: try await updateWithStart(
                StartUpdateWithStartWorkflowInput(
                    name: type.name, options: options, headers: [:], input: input, updateID: updateID,
                    updateName: updateType.name, updateInput: updateInput, waitForStage: stage)))
    }

    /// Sends a workflow an update, starts it first if it does not run, and waits for the update's result.
    ///
    /// - Throws: ``WorkflowUpdateFailedError`` when the update fails or is rejected, and what
    ///   ``startUpdateWithStartWorkflow(type:input:options:updateType:updateID:updateInput:waitForStage:)`` throws.
    @discardableResult
    public func executeUpdateWithStartWorkflow<Workflow: WorkflowDefinition, Update: WorkflowUpdateDefinition>(
        type: Workflow.Type = Workflow.self, input: Workflow.Input, options: WorkflowOptions,
        updateType: Update.Type = Update.self, updateID: String = UUID().uuidString, updateInput: Update.Input
    ) async throws -> Update.Output where Update.Workflow == Workflow {
        try await startUpdateWithStartWorkflow(
            type: type, input: input, options: options, updateType: updateType, updateID: updateID,
            updateInput: updateInput, waitForStage: .completed
        ).result()
    }

    /// Sends a workflow an update by the names of their types, and starts the workflow first if it does not run.
    public func startUpdateWithStartWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = [], updateName: String,
        updateID: String = UUID().uuidString, updatePayloads: [Payload] = [], waitForStage stage: WorkflowUpdateStage
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await updateWithStart(
            StartUpdateWithStartWorkflowInput(
                name: name, options: options, headers: [:], input: payloads, updateID: updateID,
                updateName: updateName, updateInput: updatePayloads, waitForStage: stage))
    }

    private func updateWithStart<Input: Sendable, UpdateInput: Sendable>(
        _ input: StartUpdateWithStartWorkflowInput<Input, UpdateInput>
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await intercept(by: interceptors, input) {
            try await $0.startUpdateWithStartWorkflow(input: $1, next: $2)
        } around: { start in
            var options = start.options
            // It exists to find the run.
            if options.idConflictPolicy == .fail { options.idConflictPolicy = .useExisting }
            let input = try await dataConverter.encoded(dataConverter.encode(start.input))
            let updateInput = try await dataConverter.encoded(dataConverter.encode(start.updateInput))
            let wire = try await wire(options, start.headers)
            while true {
                let run = try await translating(options.id, nil) {
                    try await retrying(.executeMultiOperation) {
                        try await engine.updateWithStartWorkflow(
                            namespace: namespace, workflowID: options.id, workflowType: start.name,
                            taskQueue: options.taskQueue, input: input, options: wire, updateID: start.updateID,
                            updateName: start.updateName, updateInput: updateInput, identity: identity,
                            headers: start.headers)
                    }
                }
                let handle = UntypedWorkflowUpdateHandle(
                    client: self, id: start.updateID, workflowID: options.id, workflowRunID: run.runID)
                do {
                    try await handle.wait(for: start.waitForStage)
                } catch let error as WorkflowUpdateFailedError where !error.isRejected {
                    // Its result is that it failed.
                } catch let error as WorkflowClosedError {
                    // A run that goes on as another one hands on what it did not see.
                    guard try await status(of: options.id, run.runID) == .continuedAsNew else { throw error }
                    continue
                }
                return handle
            }
        }
    }
}
