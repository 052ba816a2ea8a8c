public import Foundation

// MARK: - Child workflows

extension WorkflowContext {
    /// Starts a child, and waits until it has been started.
    ///
    /// - Throws: ``ChildWorkflowError`` when it was not, because its id is taken (the cause is an ``ApplicationError``
    ///   of type
    ///   `WorkflowExecutionAlreadyStarted`) or because the task that waits was canceled.
    public func startChildWorkflow<Child: WorkflowDefinition>(
        _ workflowType: Child.Type = Child.self, options: ChildWorkflowOptions = ChildWorkflowOptions(),
        input: Child.Input, file: String = #fileID, line: Int = #line
    ) async throws -> ChildWorkflowHandle<Child> {
        ChildWorkflowHandle(
            untypedHandle: try await startChild(
                workflowType.name, options, input, at: CallSite(file: file, line: line)))
    }

    /// Starts a child without input, and waits until it has been started.
    public func startChildWorkflow<Child: WorkflowDefinition>(
        _ workflowType: Child.Type = Child.self, options: ChildWorkflowOptions = ChildWorkflowOptions(),
        file: String = #fileID, line: Int = #line
    ) async throws -> ChildWorkflowHandle<Child> where Child.Input == Void {
        try await startChildWorkflow(workflowType, options: options, input: (), file: file, line: line)
    }

    /// Starts a child by the name of its type, which may be another program's, and waits until it has been started.
    public func startChildWorkflow(
        name: String, options: ChildWorkflowOptions = ChildWorkflowOptions(), input: some Encodable & Sendable,
        file: String = #fileID, line: Int = #line
    ) async throws -> UntypedChildWorkflowHandle {
        try await startChild(name, options, input, at: CallSite(file: file, line: line))
    }

    private func startChild<Input: Sendable>(
        _ name: String, _ options: ChildWorkflowOptions, _ input: Input, at site: CallSite
    ) async throws -> UntypedChildWorkflowHandle {
        func start(_ input: StartChildWorkflowInput<Input>) async throws -> UntypedChildWorkflowHandle {
            let child = try await core.startChild(
                type: input.name, options: input.options, id: input.options.id ?? uuid().uuidString.lowercased(),
                headers: input.headers, input: core.converter.encode(input.input), at: site)
            return UntypedChildWorkflowHandle(child, of: info, core)
        }
        return try await intercept(
            by: core.run.surroundings.workflowOutbound,
            StartChildWorkflowInput(info: info, name: name, options: options, headers: [:], input: input),
            { try await $0.startChildWorkflow(input: $1, next: $2) }, around: start)
    }

    /// Runs a child and waits for its result.
    ///
    /// - Throws: ``ChildWorkflowError`` when it was not started, or did not complete.
    @discardableResult
    public func executeChildWorkflow<Child: WorkflowDefinition>(
        _ workflowType: Child.Type = Child.self, options: ChildWorkflowOptions = ChildWorkflowOptions(),
        input: Child.Input, file: String = #fileID, line: Int = #line
    ) async throws -> Child.Output {
        try await startChildWorkflow(workflowType, options: options, input: input, file: file, line: line)
            .result(file: file, line: line)
    }

    /// Runs a child without input and waits for its result.
    @discardableResult
    public func executeChildWorkflow<Child: WorkflowDefinition>(
        _ workflowType: Child.Type = Child.self, options: ChildWorkflowOptions = ChildWorkflowOptions(),
        file: String = #fileID, line: Int = #line
    ) async throws -> Child.Output where Child.Input == Void {
        try await executeChildWorkflow(workflowType, options: options, input: (), file: file, line: line)
    }

    /// Runs a child by the name of its type, which may be another program's, and waits for its result.
    public func executeChildWorkflow<Output: Sendable>(
        name: String, options: ChildWorkflowOptions = ChildWorkflowOptions(), input: some Encodable & Sendable,
        outputType: Output.Type = Output.self, file: String = #fileID, line: Int = #line
    ) async throws -> Output {
        try await startChildWorkflow(name: name, options: options, input: input, file: file, line: line)
            .result(file: file, line: line)
    }
}

// MARK: - Other workflows

extension WorkflowContext {
    /// A handle of another workflow, to signal it or to ask it to cancel itself.
    ///
    /// - Parameter runID: nil for whichever run is current when the signal arrives.
    public func getExternalWorkflowHandle<Other: WorkflowDefinition>(
        _ workflowType: Other.Type, id: String, runID: UUID? = nil
    ) -> ExternalWorkflowHandle<Other> {
        ExternalWorkflowHandle(untypedHandle: getExternalWorkflowHandle(id: id, runID: runID))
    }

    /// A handle of another workflow of a type that is not known.
    public func getExternalWorkflowHandle(id: String, runID: UUID? = nil) -> UntypedExternalWorkflowHandle {
        UntypedExternalWorkflowHandle(id: id, runID: runID, info: info, core: core)
    }
}
