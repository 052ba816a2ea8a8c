public import PerdureEngine

/// Thrown by a workflow's `run` to end the run and go on as a new one, with an empty history. Made by
/// ``WorkflowContext/makeContinueAsNewError(options:input:)``.
public struct ContinueAsNewError: Error, Sendable, CustomStringConvertible {
    /// Of the command `ContinueAsNewWorkflowExecution`.
    let attributes: JSON

    public var description: String {
        "the run continues as new: \(attributes["workflowType"]?["name"]?.stringValue ?? "")"
    }
}

/// What is different in the run that follows. What is nil stays as it is.
public struct ContinueAsNewOptions: Sendable {
    public var taskQueue: String?
    /// How long a worker may take over one workflow task.
    public var taskTimeout: Duration?
    /// How long the run may take. No run takes longer than what is left of the execution's own timeout.
    public var runTimeout: Duration?
    /// When a run that failed is tried again.
    public var retryPolicy: RetryPolicy?
    /// In place of the notes that there are.
    public var memo: [String: any Encodable & Sendable]?
    /// Put over the search attributes that there are; null takes one away.
    public var searchAttributes: [String: JSON]?
    /// How long until the first workflow task. Between those of two runs there is a second at least.
    public var startDelay: Duration?

    public init(
        taskQueue: String? = nil, taskTimeout: Duration? = nil, runTimeout: Duration? = nil,
        retryPolicy: RetryPolicy? = nil, memo: [String: any Encodable & Sendable]? = nil,
        searchAttributes: [String: JSON]? = nil, startDelay: Duration? = nil
    ) {
        self.taskQueue = taskQueue
        self.taskTimeout = taskTimeout
        self.runTimeout = runTimeout
        self.retryPolicy = retryPolicy
        self.memo = memo
        self.searchAttributes = searchAttributes
        self.startDelay = startDelay
    }
}

extension ContinueAsNewError {
    init<Input>(_ core: WorkflowCore, _ next: MakeContinueAsNewErrorInput<Input>) throws {
        let options = next.options
        let input = try core.converter.encode(next.input)
        try Limits.check(input, "input of the run that follows")
        func wire(_ duration: Duration?) -> JSON? { duration.map { .string($0.wire) } }
        attributes = .compact([
            "workflowType": ["name": .string(next.workflowName)],
            "taskQueue": options.taskQueue.map { ["name": .string($0)] },
            "input": input.json, "header": next.headers.orLeftOut,
            "workflowRunTimeout": wire(options.runTimeout),
            "workflowTaskTimeout": wire(options.taskTimeout),
            "backoffStartInterval": wire(options.startDelay),
            "retryPolicy": options.retryPolicy?.json,
            "memo": try options.memo.map { try core.converter.encode(memo: $0) ?? [:] },
            "searchAttributes": options.searchAttributes.map { .object(core.searchAttributes.upserting($0)) },
        ])
    }
}

extension WorkflowContext {
    /// Makes the error that ends this run and goes on as a new one, with the same workflow id and type:
    ///
    /// ```swift
    /// throw try await context.makeContinueAsNewError(input: state)
    /// ```
    ///
    /// Nothing has happened until `run` throws it. Signals that come before that are not lost: the workflow task is
    /// then done once more, with them. Wait for ``allHandlersFinished`` before, if handlers wait for anything.
    ///
    /// - Throws: what encoding the input throws; ``EngineError`` if it is too large.
    public func makeContinueAsNewError(
        options: ContinueAsNewOptions = ContinueAsNewOptions(), input: Workflow.Input
    ) async throws -> ContinueAsNewError {
        try await makeContinueAsNewError(info.workflowType, options, input)
    }

    /// The same for a workflow without input.
    public func makeContinueAsNewError(
        options: ContinueAsNewOptions = ContinueAsNewOptions()
    ) async throws -> ContinueAsNewError where Workflow.Input == Void {
        try await makeContinueAsNewError(options: options, input: ())
    }

    /// Makes the error that ends this run and goes on as another type of workflow.
    public func makeContinueAsNewError<Other: WorkflowDefinition>(
        workflowType: Other.Type, options: ContinueAsNewOptions = ContinueAsNewOptions(), input: Other.Input
    ) async throws -> ContinueAsNewError {
        try await makeContinueAsNewError(Other.name, options, input)
    }

    /// Makes the error that ends this run and goes on as another type of workflow, which may be another program's.
    public func makeContinueAsNewError(
        workflowName: String, options: ContinueAsNewOptions = ContinueAsNewOptions(), input: some Encodable & Sendable
    ) async throws -> ContinueAsNewError {
        try await makeContinueAsNewError(workflowName, options, input)
    }

    private func makeContinueAsNewError<Input: Sendable>(
        _ name: String, _ options: ContinueAsNewOptions, _ input: Input
    ) async throws -> ContinueAsNewError {
        try await intercept(
            by: core.run.surroundings.workflowOutbound,
            MakeContinueAsNewErrorInput(
                info: info, workflowName: name, options: options, headers: [:], input: input),
            { try await $0.makeContinueAsNewError(input: $1, next: $2) }, around: { try ContinueAsNewError(core, $0) })
    }
}
