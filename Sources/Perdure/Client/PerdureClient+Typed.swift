public import Foundation

extension PerdureClient {
    /// Starts a workflow.
    ///
    /// A lost connection does not start it twice: the start is repeated under its request id.
    ///
    /// - Throws: ``WorkflowAlreadyStartedError``.
    @discardableResult
    public func startWorkflow<Workflow: WorkflowDefinition>(
        type: Workflow.Type = Workflow.self, options: WorkflowOptions, input: Workflow.Input
    ) async throws -> WorkflowHandle<Workflow> {
        WorkflowHandle(
            untypedHandle: try await start(type.name, options, input))
    }

    /// Starts a workflow without input.
    @discardableResult
    public func startWorkflow<Workflow: WorkflowDefinition>(
        type: Workflow.Type = Workflow.self, options: WorkflowOptions
    ) async throws -> WorkflowHandle<Workflow> where Workflow.Input == Void {
        try await startWorkflow(type: type, options: options, input: ())
    }

    /// Starts a workflow and waits for its result.
    ///
    /// - Throws: ``WorkflowAlreadyStartedError``, ``WorkflowFailedError`` when it did not complete.
    @discardableResult
    public func executeWorkflow<Workflow: WorkflowDefinition>(
        type: Workflow.Type = Workflow.self, options: WorkflowOptions, input: Workflow.Input
    ) async throws -> Workflow.Output {
        try await startWorkflow(type: type, options: options, input: input).result()
    }

    /// Starts a workflow without input and waits for its result.
    @discardableResult
    public func executeWorkflow<Workflow: WorkflowDefinition>(
        type: Workflow.Type = Workflow.self, options: WorkflowOptions
    ) async throws -> Workflow.Output where Workflow.Input == Void {
        try await executeWorkflow(type: type, options: options, input: ())
    }

    /// Signals a workflow, and starts it first if it does not run: the signal is handled before `run` begins.
    ///
    /// - Throws: ``WorkflowAlreadyStartedError`` when a closed run stands in the way.
    @discardableResult
    public func signalWithStartWorkflow<Workflow: WorkflowDefinition, Signal: WorkflowSignalDefinition>(
        type: Workflow.Type = Workflow.self, input: Workflow.Input, options: WorkflowOptions,
        signalType: Signal.Type = Signal.self, signalInput: Signal.Input
    ) async throws -> WorkflowHandle<Workflow> where Signal.Workflow == Workflow {
        WorkflowHandle(
            untypedHandle: try await signalWithStart(type.name, options, input, signalType.name, signalInput))
    }

    /// Signals a workflow without input, and starts it first if it does not run.
    @discardableResult
    public func signalWithStartWorkflow<Workflow: WorkflowDefinition, Signal: WorkflowSignalDefinition>(
        type: Workflow.Type = Workflow.self, options: WorkflowOptions, signalType: Signal.Type = Signal.self,
        signalInput: Signal.Input
    ) async throws -> WorkflowHandle<Workflow> where Signal.Workflow == Workflow, Workflow.Input == Void {
        try await signalWithStartWorkflow(
            type: type, input: (), options: options, signalType: signalType, signalInput: signalInput)
    }

    /// Signals a workflow with a signal without input, and starts it first if it does not run.
    @discardableResult
    public func signalWithStartWorkflow<Workflow: WorkflowDefinition, Signal: WorkflowSignalDefinition>(
        type: Workflow.Type = Workflow.self, input: Workflow.Input, options: WorkflowOptions,
        signalType: Signal.Type = Signal.self
    ) async throws -> WorkflowHandle<Workflow> where Signal.Workflow == Workflow, Signal.Input == Void {
        try await signalWithStartWorkflow(
            type: type, input: input, options: options, signalType: signalType, signalInput: ())
    }

    /// A handle of a workflow that was started elsewhere; nothing is asked of the database yet.
    ///
    /// - Parameters:
    ///   - runID: nil for whichever run is the latest.
    ///   - firstExecutionRunID: the first run of its chain, if only that chain is to be canceled or terminated.
    public func workflowHandle<Workflow: WorkflowDefinition>(
        type: Workflow.Type = Workflow.self, id: String, runID: UUID? = nil, firstExecutionRunID: UUID? = nil
    ) -> WorkflowHandle<Workflow> {
        WorkflowHandle(
            untypedHandle: untypedWorkflowHandle(id: id, runID: runID, firstExecutionRunID: firstExecutionRunID))
    }
}
