public import PerdureEngine

/// Surrounds what comes to workflows. It is a part of the workflow's code: done again on replay, where it has to decide
/// the same. What is to happen once, such as a line of a log, asks ``WorkflowInfo/isReplaying``.
public protocol WorkflowInboundInterceptor: Sendable {
    /// Surrounds the workflow's `run`.
    func executeWorkflow<Workflow: WorkflowDefinition>(
        input: ExecuteWorkflowInput<Workflow>,
        next: (ExecuteWorkflowInput<Workflow>) async throws -> Workflow.Output
    ) async throws -> Workflow.Output

    /// Surrounds a handler of signals.
    func handleSignal<Signal: WorkflowSignalDefinition>(
        input: HandleSignalInput<Signal>, next: (HandleSignalInput<Signal>) async throws -> Void
    ) async throws

    /// Surrounds a handler of queries. It may not change anything.
    func handleQuery<Query: WorkflowQueryDefinition>(
        input: HandleQueryInput<Query>, next: (HandleQueryInput<Query>) throws -> Query.Output
    ) throws -> Query.Output

    /// Surrounds the validator of an update, which is not asked again on replay. It may not change anything.
    func validateUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) throws -> Void
    ) throws

    /// Surrounds a handler of updates.
    func handleUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) async throws -> Update.Output
    ) async throws -> Update.Output
}

extension WorkflowInboundInterceptor {
    public func executeWorkflow<Workflow: WorkflowDefinition>(
        input: ExecuteWorkflowInput<Workflow>,
        next: (ExecuteWorkflowInput<Workflow>) async throws -> Workflow.Output
    ) async throws -> Workflow.Output {
        try await next(input)
    }

    public func handleSignal<Signal: WorkflowSignalDefinition>(
        input: HandleSignalInput<Signal>, next: (HandleSignalInput<Signal>) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func handleQuery<Query: WorkflowQueryDefinition>(
        input: HandleQueryInput<Query>, next: (HandleQueryInput<Query>) throws -> Query.Output
    ) throws -> Query.Output {
        try next(input)
    }

    public func validateUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) throws -> Void
    ) throws {
        try next(input)
    }

    public func handleUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) async throws -> Update.Output
    ) async throws -> Update.Output {
        try await next(input)
    }
}

/// A run whose code is about to begin.
public struct ExecuteWorkflowInput<Workflow: WorkflowDefinition>: Sendable {
    public var info: WorkflowInfo
    public var headers: [String: Payload]
    public var input: Workflow.Input
}

/// A signal that is about to be handled.
public struct HandleSignalInput<Signal: WorkflowSignalDefinition>: Sendable {
    public var info: WorkflowInfo
    public var name: String
    public var definition: Signal
    public var headers: [String: Payload]
    public var input: Signal.Input
}

/// A query that is about to be answered.
public struct HandleQueryInput<Query: WorkflowQueryDefinition>: Sendable {
    public var info: WorkflowInfo
    public var name: String
    public var definition: Query
    public var headers: [String: Payload]
    public var input: Query.Input
}

/// An update that is about to be validated or handled.
public struct HandleUpdateInput<Update: WorkflowUpdateDefinition>: Sendable {
    public var info: WorkflowInfo
    public var id: String
    public var name: String
    public var definition: Update
    public var headers: [String: Payload]
    public var input: Update.Input
}
