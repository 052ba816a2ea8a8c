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

    /// - Parameter started: the run's first event, `WorkflowExecutionStarted`.
    init(_ run: LiveRunInfo, started: HistoryEvent) {
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
    }
}
