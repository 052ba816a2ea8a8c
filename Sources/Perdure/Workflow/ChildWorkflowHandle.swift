import PerdureEngine

/// A child that a workflow has started. It belongs to the run's own code, as its context does.
public struct ChildWorkflowHandle<Workflow: WorkflowDefinition>: Sendable {
    /// The same without its type.
    public let untypedHandle: UntypedChildWorkflowHandle

    public var id: String { untypedHandle.id }
    /// The first run of the child's chain.
    public var firstExecutionRunID: String { untypedHandle.firstExecutionRunID }

    /// Waits for the child to end; of one that continued as new, for the last run.
    ///
    /// - Throws: ``ChildWorkflowError`` when it did not complete. Cancelling the task that waits does what
    ///   ``ChildWorkflowOptions/cancellationType`` says.
    @discardableResult
    public func result(file: String = #fileID, line: Int = #line) async throws -> Workflow.Output {
        try await untypedHandle.result(resultType: Workflow.Output.self, file: file, line: line)
    }

    /// Sends the child a signal, and waits until it has it.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when the child has ended.
    public func signalWorkflow<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type, input: Signal.Input, file: String = #fileID, line: Int = #line
    ) async throws where Signal.Workflow == Workflow {
        try await untypedHandle.signal(signalType.name, input, at: CallSite(file: file, line: line))
    }

    /// Sends the child a signal without input.
    public func signalWorkflow<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type, file: String = #fileID, line: Int = #line
    ) async throws where Signal.Workflow == Workflow, Signal.Input == Void {
        try await signalWorkflow(signalType: signalType, input: (), file: file, line: line)
    }
}

/// A child that a workflow has started by the name of its type.
public struct UntypedChildWorkflowHandle: Sendable {
    public let id: String
    /// The first run of the child's chain.
    public let firstExecutionRunID: String
    private let number: Int
    private let info: WorkflowInfo
    private let core: WorkflowCore

    init(_ child: WorkflowCore.StartedChild, of info: WorkflowInfo, _ core: WorkflowCore) {
        id = child.id
        firstExecutionRunID = child.runID
        number = child.number
        self.info = info
        self.core = core
    }

    /// Waits for the child to end; of one that continued as new, for the last run.
    ///
    /// - Throws: ``ChildWorkflowError`` when it did not complete.
    public func result<Output: Sendable>(
        resultType: Output.Type = Output.self, file: String = #fileID, line: Int = #line
    ) async throws -> Output {
        try core.converter.decode(from: await core.childResult(number, at: CallSite(file: file, line: line)))
    }

    /// Sends the child a signal, and waits until it has it.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when the child has ended.
    public func signalWorkflow(
        signalName: String, input: some Encodable & Sendable, file: String = #fileID, line: Int = #line
    ) async throws {
        try await signal(signalName, input, at: CallSite(file: file, line: line))
    }

    /// Sends the child a signal without input.
    public func signalWorkflow(signalName: String, file: String = #fileID, line: Int = #line) async throws {
        try await signal(signalName, (), at: CallSite(file: file, line: line))
    }

    func signal<Input: Sendable>(_ name: String, _ input: Input, at site: CallSite) async throws {
        func send(_ input: SignalChildWorkflowInput<Input>) async throws {
            try await core.signalExternal(
                input.name, headers: input.headers, input: core.converter.encode(input.input), workflowID: input.id,
                runID: nil, isChild: true, at: site)
        }
        try await intercept(
            by: core.run.surroundings.workflowOutbound,
            SignalChildWorkflowInput(info: info, id: id, name: name, headers: [:], input: input),
            { try await $0.signalWorkflow(input: $1, next: $2) }, around: send)
    }
}
