import WebCommon

/// One run of a workflow, as the view `perdure.workflows` shows it.
struct Run: Sendable {
    let namespace: String
    let workflowID: String
    let runID: String
    let type: String
    let status: Status
    let taskQueue: String
    let start: Instant
    let close: Instant?
    /// Later than `start` by a start delay.
    let execution: Instant?
    let searchAttributes: [JSONValue.Member]
    // Only where one run is looked at:
    let historyLength: Int
    let memo: [JSONValue.Member]
    let input: [Payload]
    /// How many attempts of the workflow task under way have failed.
    let workflowTaskAttempt: Int
    let workflowTaskFailure: Failure?
    /// Temporal's name of the kind of failure, `NonDeterministicError` for example.
    let workflowTaskCause: String?

    init?(_ row: JSONValue) {
        guard let namespace = row.text("namespace"), let workflowID = row.text("workflow_id"),
            let runID = row.text("run_id"), let type = row.text("workflow_type"),
            let status = row.text("status").flatMap(Status.init(rawValue:)), let start = row.time("start_time")
        else { return nil }
        self.namespace = namespace
        self.workflowID = workflowID
        self.runID = runID
        self.type = type
        self.status = status
        self.start = start
        taskQueue = row.text("task_queue") ?? ""
        close = row.time("close_time")
        execution = row.time("execution_time")
        searchAttributes = row["search_attributes"]?.members ?? []
        historyLength = row.integer("history_length") ?? 0
        memo = row["memo"]?.members ?? []
        input = Payload.list(row["input"])
        workflowTaskAttempt = row.integer("workflow_task_attempt") ?? 0
        // Why the task failed stands beside the failure itself.
        let taskFailure = row.member("workflow_task_failure")
        workflowTaskFailure = taskFailure?.member("failure").map { Failure($0) }
        workflowTaskCause = taskFailure?.text("cause")
    }

    enum Status: String, CaseIterable, Sendable {
        case running = "Running"
        case completed = "Completed"
        case failed = "Failed"
        case canceled = "Canceled"
        case terminated = "Terminated"
        case continuedAsNew = "ContinuedAsNew"
        case timedOut = "TimedOut"

        var label: String {
            switch self {
            case .continuedAsNew: "Continued as new"
            case .timedOut: "Timed out"
            default: rawValue
            }
        }

        /// The name of its picture and of its colour.
        var look: String {
            switch self {
            case .running: "running"
            case .completed: "completed"
            case .failed: "failed"
            case .canceled: "canceled"
            case .terminated: "terminated"
            case .continuedAsNew: "continued"
            case .timedOut: "timed-out"
            }
        }
    }

    var path: String { Self.path(namespace, workflowID) + "/\(runID.escapedForAddress)" }

    static func path(_ namespace: String, _ workflowID: String) -> String {
        "/namespaces/\(namespace.escapedForAddress)/workflows/\(workflowID.escapedForAddress)"
    }
}

/// An activity that has not come to its end, as the view `perdure.pending_activities` shows it.
struct PendingActivity: Sendable {
    let scheduledEvent: Int
    let activityID: String
    let type: String
    let state: String
    let attempt: Int
    /// 0: as many as it takes.
    let maximumAttempts: Int
    let scheduled: Instant?
    let lastStarted: Instant?
    let nextAttempt: Instant?
    let lastFailure: Failure?
    let heartbeat: [Payload]
    let lastHeartbeat: Instant?
    let worker: String?
    let cancelRequested: Bool

    init?(_ row: JSONValue) {
        guard let activityID = row.text("activity_id"), let type = row.text("activity_type") else { return nil }
        scheduledEvent = row.integer("scheduled_event_id") ?? 0
        self.activityID = activityID
        self.type = type
        state = row.text("state") ?? "Scheduled"
        attempt = row.integer("attempt") ?? 1
        maximumAttempts = row.integer("maximum_attempts") ?? 0
        scheduled = row.time("scheduled_time")
        lastStarted = row.time("last_started_time")
        nextAttempt = row.time("next_attempt_time")
        lastFailure = row.member("last_failure").map { Failure($0) }
        heartbeat = Payload.list(row["heartbeat_details"])
        lastHeartbeat = row.time("last_heartbeat_time")
        worker = row.text("worker_identity")
        cancelRequested = row.flag("cancel_requested")
    }

    var isStarted: Bool { state != "Scheduled" && lastStarted != nil }
}

/// An attempt of an activity that failed and was followed by another, as the view `perdure.failed_attempts` shows it.
struct FailedAttempt: Sendable {
    let number: Int
    let scheduled: Instant
    let started: Instant
    let ended: Instant
    let worker: String
    let isWorkerLost: Bool
    let failure: Failure

    init?(_ row: JSONValue) {
        guard let number = row.integer("attempt"), let scheduled = row.time("scheduled_time"),
            let started = row.time("started_time"), let ended = row.time("ended_time")
        else { return nil }
        self.number = number
        self.scheduled = scheduled
        self.started = started
        self.ended = ended
        worker = row.text("worker_identity") ?? ""
        isWorkerLost = row.flag("worker_lost")
        failure = Failure(row.member("failure") ?? .object([]))
    }
}
