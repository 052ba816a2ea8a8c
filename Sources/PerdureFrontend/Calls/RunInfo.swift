import Foundation
import PerdureEngine
import Postgres

/// Runs and their pending work as Temporal's API describes them.
enum RunInfo {
    /// - Parameters:
    ///   - run: a row of `perdure.workflows`.
    ///   - isListed: lists tell how long a history is once the run has closed.
    static func json(_ run: PostgresRow, isListed: Bool = false) throws -> JSON {
        let workflowID: String = try run.decode("workflow_id")
        let runID = try run.decode(UUID.self, "run_id").text
        let execution: JSON = ["workflowId": .string(workflowID), "runId": .string(runID)]
        let close: Timestamp? = try run.decode("close_time")
        let begin: Timestamp = try run.decode("execution_time")
        return .compact([
            "execution": execution, "type": ["name": .string(try run.decode("workflow_type"))],
            "startTime": time(try run.decode("start_time")), "closeTime": time(close),
            "executionTime": time(begin), "executionDuration": close.map { $0.duration(since: begin).json },
            "historySizeBytes": close == nil && isListed
                ? nil : .number(try run.decode(Int64?.self, "history_size_bytes") ?? 0),
            "status": .string(try run.decode("status")),
            "historyLength": close == nil && isListed
                ? nil : .number(try run.decode(Int64?.self, "history_length") ?? 0),
            "memo": try run.decode("memo"), "searchAttributes": try run.decode("search_attributes"),
            "taskQueue": .string(try run.decode("task_queue")),
            "rootExecution": [
                "workflowId": .string(try run.decode("root_workflow_id")),
                "runId": .string(try run.decode(UUID.self, "root_run_id").text),
            ],
            "parentExecution": try run.decode(UUID?.self, "parent_run_id").map { parent in
                ["workflowId": .string(try run.decode("parent_workflow_id")), "runId": .string(parent.text)]
            },
            "parentNamespaceId": try run.decode(String?.self, "parent_namespace").map { .string($0) },
        ])
    }

    /// What describe says besides: until when the run, and all runs of its chain together, may take, and what resets
    /// made of it.
    static func extended(_ run: PostgresRow) throws -> JSON {
        .compact([
            "executionExpirationTime": time(try run.decode("execution_expiration_time")),
            "runExpirationTime": time(try run.decode("run_expiration_time")) ?? "0001-01-01T00:00:00Z",
            "cancelRequested": .bool(try run.decode("cancel_requested")),
            "originalStartTime": time(try run.decode("original_start_time")),
            "resetRunId": try run.decode(UUID?.self, "reset_run_id").map { .string($0.text) },
            "lastResetTime": try run.decode(UUID?.self, "reset_from_run_id") == nil
                ? nil : time(try run.decode("start_time")),
        ])
    }

    /// - Parameter child: a row of `perdure.pending_children`.
    static func pendingChild(_ child: PostgresRow) throws -> JSON {
        .compact([
            "workflowId": .string(try child.decode("child_workflow_id")),
            "runId": try child.decode(UUID?.self, "child_run_id").map { .string($0.text) },
            "workflowTypeName": .string(try child.decode("child_workflow_type")),
            "initiatedId": .number(try child.decode(Int64.self, "initiated_event_id")),
            "parentClosePolicy": .string(try child.decode("parent_close_policy")),
        ])
    }

    private static func time(_ time: Timestamp?) -> JSON? { time.map { .string($0.description) } }

    /// - Parameter activity: a row of `perdure.pending_activities`.
    static func pendingActivity(_ activity: PostgresRow) throws -> JSON {
        let pause: Timestamp? = try activity.decode("pause_time")
        let failure: JSON? = try activity.decode("last_failure")
        let next: Timestamp? = try activity.decode("next_attempt_time")
        // Of an attempt that timed out Temporal does not tell when.
        let end: Timestamp? =
            failure?["timeoutFailureInfo"] == nil ? try activity.decode("last_attempt_complete_time") : nil
        return .compact([
            "activityId": .string(try activity.decode("activity_id")),
            "activityType": ["name": .string(try activity.decode("activity_type"))],
            "state": .string(try activity.decode("state")),
            "heartbeatDetails": try activity.decode("heartbeat_details"),
            "lastHeartbeatTime": time(try activity.decode("last_heartbeat_time")),
            "lastStartedTime": time(try activity.decode("last_started_time")),
            "attempt": .number(try activity.decode(Int32.self, "attempt")),
            "maximumAttempts": .number(try activity.decode(Int32?.self, "maximum_attempts") ?? 0),
            "scheduledTime": time(try activity.decode("scheduled_time")),
            "nextAttemptScheduleTime": time(next), "lastAttemptCompleteTime": time(end),
            "currentRetryInterval": end.flatMap { end in next.map { $0.duration(since: end).json } },
            "lastFailure": failure,
            "lastWorkerIdentity": .string(try activity.decode(String?.self, "worker_identity") ?? ""),
            "activityOptions": try options(activity), "paused": .bool(pause != nil),
            "priority": try activity.decode(JSON?.self, "priority"),
            "pauseInfo": try pause.map { try pauseInfo($0, activity) },
        ])
    }

    private static func pauseInfo(_ pause: Timestamp, _ activity: PostgresRow) throws -> JSON {
        [
            "pauseTime": .string(pause.description),
            "manual": [
                "identity": .string(try activity.decode(String?.self, "paused_by") ?? ""),
                "reason": .string(try activity.decode(String?.self, "pause_reason") ?? ""),
            ],
        ]
    }

    private static func options(_ activity: PostgresRow) throws -> JSON {
        let queue: JSON = .string(try activity.decode("task_queue"))
        func timeout(_ name: String) throws -> JSON? { try activity.decode(Duration?.self, name)?.json }
        return .compact([
            "taskQueue": ["name": queue, "normalName": queue],
            "scheduleToCloseTimeout": try timeout("schedule_to_close_timeout"),
            "scheduleToStartTimeout": try timeout("schedule_to_start_timeout"),
            "startToCloseTimeout": try timeout("start_to_close_timeout"),
            "heartbeatTimeout": try timeout("heartbeat_timeout"),
            "retryPolicy": try activity.decode(JSON?.self, "retry_policy") ?? TaskClaims.standardPolicy,
            "priority": try activity.decode(JSON?.self, "priority"),
        ])
    }

    /// - Parameter task: a row of `perdure.pending_workflow_tasks`.
    static func pendingWorkflowTask(_ task: PostgresRow) throws -> JSON {
        .compact([
            "state": try task.decode(String.self, "state") == "Started" ? "Started" : "Scheduled",
            "scheduledTime": time(try task.decode("scheduled_time")),
            "originalScheduledTime": time(try task.decode("scheduled_time")),
            "startedTime": time(try task.decode("started_time")),
            "attempt": .number(try task.decode(Int32.self, "attempt")),
        ])
    }
}
