/// A workflow: plain Swift whose every decision is an event in the database.
///
/// Attach ``Workflow(name:)`` to a struct with a `run` method rather than conforming by hand; the macro also gives
/// stored variables a home that outlives copies of the struct, so that handlers and `run` see the same state.
public protocol WorkflowDefinition: Sendable {
    associatedtype Input: Sendable
    associatedtype Output: Sendable

    /// The workflow type, by which clients start it. The type's name by default.
    static var name: String { get }
    static var signals: [any WorkflowSignalDefinition<Self>] { get }
    static var queries: [any WorkflowQueryDefinition<Self>] { get }
    static var updates: [any WorkflowUpdateDefinition<Self>] { get }
    /// The code as it was built, for people who look at a run; nil if it is not to be shown. `@Workflow` knows it.
    static var sourceCode: SourceCode? { get }

    /// Made once a run, before its first line of code.
    init(input: Input)

    /// The workflow's code. It must be deterministic: given the same history it takes the same decisions. Time,
    /// randomness and the outside world come from `context`.
    ///
    /// - Returns: the run's result.
    /// - Throws: a ``FailureError`` fails the run, or ends it as canceled if it is a ``CanceledError`` or a
    ///   `CancellationError` and somebody asked the run to cancel itself. Any other error is taken for a bug: it fails
    ///   the workflow task, which is tried again until fixed code comes.
    mutating func run(context: WorkflowContext<Self>, input: Input) async throws -> Output
}

extension WorkflowDefinition {
    public static var name: String { String(describing: self) }
    public static var signals: [any WorkflowSignalDefinition<Self>] { [] }
    public static var queries: [any WorkflowQueryDefinition<Self>] { [] }
    public static var updates: [any WorkflowUpdateDefinition<Self>] { [] }
    public static var sourceCode: SourceCode? { nil }
}

/// A signal that a workflow handles. `@WorkflowSignal` makes one of a method.
public protocol WorkflowSignalDefinition<Workflow>: Sendable {
    associatedtype Workflow: WorkflowDefinition
    associatedtype Input: Sendable
    static var name: String { get }
    /// What it does, for people who look at a run.
    static var description: String? { get }
    static var unfinishedPolicy: HandlerUnfinishedPolicy { get }
    init()
    /// The handler. It runs beside the workflow's code, and may wait as that does.
    ///
    /// - Throws: a ``FailureError`` fails the run; any other error is taken for a bug and fails the workflow task.
    func run(workflow: inout Workflow, context: WorkflowContext<Workflow>, input: Input) async throws
}

extension WorkflowSignalDefinition {
    public static var description: String? { nil }
    public static var unfinishedPolicy: HandlerUnfinishedPolicy { .warnAndAbandon }
}

/// What becomes of a handler that still waits when its workflow ends. It is always abandoned; the question is whether
/// that was meant.
public enum HandlerUnfinishedPolicy: Sendable, Hashable {
    /// The worker logs a warning.
    case warnAndAbandon
    case abandon
}

/// A query that a workflow answers. `@WorkflowQuery` makes one of a method.
public protocol WorkflowQueryDefinition<Workflow>: Sendable {
    associatedtype Workflow: WorkflowDefinition
    associatedtype Input: Sendable
    associatedtype Output: Sendable
    static var name: String { get }
    /// What it answers, for people who look at a run.
    static var description: String? { get }
    init()
    /// Answers from the workflow's state, which it must not change.
    func run(workflow: Workflow, input: Input) throws -> Output
}

extension WorkflowQueryDefinition {
    public static var description: String? { nil }
}
