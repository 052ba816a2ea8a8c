import PerdureModel
import WebCommon

/// One run of a workflow, as the view `perdure.workflows` shows it.
struct Run: Sendable {
    let namespace: String
    let workflowID: String
    let runID: String
    let type: String
    let status: Status
    let taskQueue: String
    let start: Timestamp
    let close: Timestamp?
    /// Later than `start` by a start delay.
    let execution: Timestamp?
    let searchAttributes: JSON.Members
    // Only where one run is looked at:
    /// The runs before and after it: by continue-as-new, a retry or a cron schedule.
    let previousRunID: String?
    let nextRunID: String?
    /// The first run of its chain; nil for itself.
    let firstRunID: String?
    /// The run that was reset to this one, and the one that this was reset to.
    let resetFromRunID: String?
    let resetRunID: String?
    let attempt: Int
    let cronSchedule: String?
    let historyLength: Int
    let memo: JSON.Members
    let input: [Payload]
    /// How many attempts of the workflow task under way have failed.
    let workflowTaskAttempt: Int
    let workflowTaskFailure: Failure?
    /// Temporal's name of the kind of failure, `NonDeterministicError` for example.
    let workflowTaskCause: String?
    /// How it is: of lists, and of one run that is looked at.
    let verdict: Verdict?
    /// The run that started this one as its child.
    let parent: Relative?
    /// The run at the root of its tree, unless that is this one or its parent.
    let root: Relative?

    /// Another run, by its ids.
    struct Relative: Sendable, Hashable {
        let namespace: String
        let workflowID: String
        let runID: String

        var path: String { Run.path(namespace, workflowID) + "/\(runID.escapedForAddress)" }
    }

    init?(_ row: JSON) {
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
        searchAttributes = row["search_attributes"]?.members ?? [:]
        previousRunID = row.text("previous_run_id")
        nextRunID = row.text("next_run_id")
        firstRunID = row.text("first_run_id").flatMap { $0 == runID ? nil : $0 }
        resetFromRunID = row.text("reset_from_run_id")
        resetRunID = row.text("reset_run_id")
        attempt = row.integer("attempt") ?? 1
        cronSchedule = row.text("cron_schedule")
        historyLength = row.integer("history_length") ?? 0
        memo = row["memo"]?.members ?? [:]
        input = [Payload](shown: row["input"])
        workflowTaskAttempt = row.integer("workflow_task_attempt") ?? 0
        // Why the task failed stands beside the failure itself.
        let taskFailure = row.member("workflow_task_failure")
        workflowTaskFailure = taskFailure?.member("failure").map { Failure(shown: $0) }
        workflowTaskCause = taskFailure?.text("cause")
        verdict = row.member("verdict").flatMap(Verdict.init)
        let above = row.text("parent_namespace")
        func relative(_ kind: String) -> Relative? {
            guard let above, let id = row.text("\(kind)_workflow_id"), let run = row.text("\(kind)_run_id") else {
                return nil
            }
            return Relative(namespace: above, workflowID: id, runID: run)
        }
        parent = relative("parent")
        let root = relative("root")
        self.root = root == parent ? nil : root
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

    /// Where another run of the same workflow id is.
    func path(of runID: String) -> String { Self.path(namespace, workflowID) + "/\(runID.escapedForAddress)" }

    static func path(_ namespace: String, _ workflowID: String) -> String {
        "/namespaces/\(namespace.segmentOfAddress)/workflows/\(workflowID.segmentOfAddress)"
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
    let scheduled: Timestamp?
    let lastStarted: Timestamp?
    let nextAttempt: Timestamp?
    let lastFailure: Failure?
    let heartbeat: [Payload]
    let lastHeartbeat: Timestamp?
    let worker: String?
    let cancelRequested: Bool
    /// Since when somebody has paused it; nil if it is not paused.
    let paused: Timestamp?
    let pausedBy: String?
    let pauseReason: String?

    init?(_ row: JSON) {
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
        lastFailure = row.member("last_failure").map { Failure(shown: $0) }
        heartbeat = [Payload](shown: row["heartbeat_details"])
        lastHeartbeat = row.time("last_heartbeat_time")
        worker = row.text("worker_identity")
        cancelRequested = row.flag("cancel_requested")
        paused = row.time("pause_time")
        pausedBy = row.text("paused_by")
        pauseReason = row.text("pause_reason")
    }

    var isStarted: Bool { state != "Scheduled" && state != "Paused" && lastStarted != nil }
}

/// An attempt of an activity that failed and was followed by another, as the view `perdure.failed_attempts` shows it.
struct FailedAttempt: Sendable {
    let number: Int
    /// The event that scheduled its activity.
    let event: Int
    let scheduled: Timestamp
    let started: Timestamp
    let ended: Timestamp
    let worker: String
    let isWorkerLost: Bool
    let failure: Failure

    init?(_ row: JSON) {
        guard let number = row.integer("attempt"), let scheduled = row.time("scheduled_time"),
            let started = row.time("started_time"), let ended = row.time("ended_time")
        else { return nil }
        self.number = number
        event = row.integer("scheduled_event_id") ?? 0
        self.scheduled = scheduled
        self.started = started
        self.ended = ended
        worker = row.text("worker_identity") ?? ""
        isWorkerLost = row.flag("worker_lost")
        failure = Failure(shown: row.member("failure") ?? [:])
    }
}
