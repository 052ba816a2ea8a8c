public import Foundation
public import PerdureEngine

/// Facts about a run. They do not change while it lasts.
public struct WorkflowInfo: Sendable {
    public let namespace: String
    public let taskQueue: String
    public let workflowID: String
    public let runID: UUID
    public let workflowType: String
    /// 1 for the first; more when the workflow's own retry policy made this run.
    public let attempt: Int
    /// When the run was started.
    public let startTime: Date
    /// The first run of the chain that continue-as-new, a retry or cron make.
    public let firstExecutionRunID: UUID
    /// The run that this one continues.
    public let continuedRunID: UUID?
    public let cronSchedule: String?
    public let executionTimeout: Duration?
    public let runTimeout: Duration?
    public let taskTimeout: Duration?
    public let retryPolicy: RetryPolicy?
    /// 1, first, to 5, if the start said so.
    public let priority: Int?
    /// Why the run before failed, if this one is another attempt, or the next of a cron schedule.
    public let lastFailure: (any FailureError)?
    private let lastResult: [Payload]?
    /// What the start said beside the input; interceptors write and read it.
    public let headers: [String: Payload]
    /// The run that started this one as its child; nil for none.
    public let parent: Relative?
    /// The run at the root of its tree: itself, if it has no parent.
    public let root: Relative

    /// Another run, by its ids.
    public struct Relative: Sendable, Hashable {
        public let namespace: String
        public let workflowID: String
        public let runID: UUID
    }

    private let core: WorkflowCore

    /// - Parameter started: the run's first event, `WorkflowExecutionStarted`.
    init(_ core: WorkflowCore, started: HistoryEvent) {
        self.core = core
        let run = core.run
        let attributes = started.attributes
        func id(_ key: String) -> UUID? { attributes[key]?.stringValue.flatMap(UUID.init(uuidString:)) }
        func duration(_ key: String) -> Duration? { attributes[key]?.stringValue.flatMap { Duration(wire: $0) } }
        namespace = run.namespace
        taskQueue = run.taskQueue
        workflowID = run.workflowID
        runID = run.runID
        workflowType = run.workflowType
        attempt = attributes["attempt"]?.intValue ?? 1
        startTime = started.eventTime.date
        firstExecutionRunID = id("firstExecutionRunId") ?? run.runID
        continuedRunID = id("continuedExecutionRunId")
        cronSchedule = attributes["cronSchedule"]?.stringValue
        executionTimeout = duration("workflowExecutionTimeout")
        runTimeout = duration("workflowRunTimeout")
        taskTimeout = duration("workflowTaskTimeout")
        retryPolicy = attributes["retryPolicy"].map { RetryPolicy(json: $0) }
        priority = attributes["priority"]?["priorityKey"]?.intValue
        lastFailure = attributes["continuedFailure"].flatMap { try? Failure(json: $0) }.map { core.converter.error($0) }
        lastResult = attributes["lastCompletionResult"].flatMap { try? [Payload](json: $0) }
        headers = (try? [String: Payload](json: attributes["header"])) ?? [:]
        func relative(_ key: String) -> Relative? {
            guard let execution = attributes[key], let id = execution["workflowId"]?.stringValue,
                let runID = execution["runId"]?.stringValue.flatMap(UUID.init(uuidString:))
            else { return nil }
            return Relative(
                namespace: attributes["parentWorkflowNamespace"]?.stringValue ?? run.namespace, workflowID: id,
                runID: runID)
        }
        parent = relative("parentWorkflowExecution")
        root =
            relative("rootWorkflowExecution")
            ?? Relative(namespace: run.namespace, workflowID: run.workflowID, runID: run.runID)
    }

    /// What the last run of the cron schedule returned that completed; nil before the first.
    ///
    /// - Throws: `DecodingError` if it is of another type.
    public func lastCompletionResult<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value? {
        try lastResult?.first.map { try core.converter.decode(type, from: [$0]) }
    }

    /// Whether the code repeats at this moment what it has decided before: for interceptors, which have no context.
    public var isReplaying: Bool { core.moment.isReplaying }

    /// The time that the code sees at this moment.
    var now: Timestamp { core.moment.time }
}
