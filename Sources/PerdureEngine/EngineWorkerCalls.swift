public import Foundation
import Postgres

/// A workflow task that this worker holds.
public struct ClaimedWorkflowTask: Sendable {
    public let shard: Int16
    public let runID: UUID
    public let workflowID: String
    public let workflowType: String
    public let attempt: Int
    public let scheduledEventID: Int64
    /// The id of the last event of `history`, which is not written yet.
    public let startedEventID: Int64
    public let startedAt: Timestamp
    public let previousStartedEventID: Int64
    /// 1 when the whole history is needed, else the first event that the sticky worker has not seen.
    public let historyFrom: Int64
    /// Ends with the `WorkflowTaskStarted` of this attempt. A long one lacks events in between.
    public let history: [HistoryEvent]
    /// Those that wait for the run, in order.
    public var updates: [UpdateRequest] = []
}

/// What a workflow task came to.
public struct WorkflowTaskCompletion: Sendable {
    public var runID: UUID
    public var scheduledEventID: Int64
    public var attempt: Int
    public var commands: [Command]
    /// Whether this worker keeps the run cached and wants its next task.
    public var sticky: Bool
    /// What the event says of the SDK: `temporal.api.sdk.v1.WorkflowTaskCompletedMetadata`.
    public var sdkMetadata: JSON?
    /// The activity whose end made this task, when both are reported together.
    public var fused: FusedActivity?
    /// Whether the run has a parent or children, which are to learn of its end.
    public var hasRelatives = false

    /// Whether other runs are to learn of it once it is committed.
    public var affectsOthers: Bool {
        commands.contains { command in
            switch command.commandType {
            case .startChildWorkflowExecution, .signalExternalWorkflowExecution,
                .requestCancelExternalWorkflowExecution:
                true
            case .completeWorkflowExecution, .failWorkflowExecution, .cancelWorkflowExecution,
                .continueAsNewWorkflowExecution:
                hasRelatives
            default: false
            }
        }
    }

    public init(
        runID: UUID, scheduledEventID: Int64, attempt: Int, commands: [Command], sticky: Bool, sdkMetadata: JSON? = nil
    ) {
        self.runID = runID
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
        self.commands = commands
        self.sticky = sticky
        self.sdkMetadata = sdkMetadata
    }

    /// A fused step: an activity's result, and the workflow task that it makes.
    public init(runID: UUID, fused: FusedActivity, commands: [Command], sticky: Bool, sdkMetadata: JSON? = nil) {
        self.init(
            runID: runID, scheduledEventID: fused.nextEventID + 2, attempt: 1, commands: commands, sticky: sticky,
            sdkMetadata: sdkMetadata)
        self.fused = fused
    }

    var json: JSON {
        var json = withoutMetadata
        if let sdkMetadata { json["sdkMetadata"] = sdkMetadata }
        return json
    }

    private var withoutMetadata: JSON {
        guard let fused else {
            var messages: [JSON] = []
            var sent: [JSON] = []
            sent.reserveCapacity(commands.count)
            for command in commands {
                if let message = command.message {
                    messages.append(message.json)
                    // No event tells of a rejection.
                    if message.isRejection { continue }
                }
                sent.append(command.json)
            }
            var json: JSON = [
                "runId": .string(runID.uuidString), "scheduledEventId": .number(scheduledEventID),
                "attempt": .number(attempt), "commands": .array(sent), "sticky": .bool(sticky),
            ]
            if !messages.isEmpty { json["messages"] = .array(messages) }
            return json
        }
        return [
            "runId": .string(runID.uuidString), "nextEventId": .number(fused.nextEventID),
            "startedAt": .string(fused.startedAt.description),
            "activity": [
                "scheduledEventId": .number(fused.scheduledEventID), "attempt": .number(fused.attempt),
                "result": fused.result.json,
            ],
            "commands": .array(commands.map(\.json)), "sticky": .bool(sticky),
        ]
    }
}

/// A completed activity, as part of a fused step.
public struct FusedActivity: Sendable {
    /// The id that the run's next event had when the worker last heard of it: that of `ActivityTaskStarted`.
    public var nextEventID: Int64
    /// The time that the workflow's code saw, by the database's clock.
    public var startedAt: Timestamp
    public var scheduledEventID: Int64
    public var attempt: Int
    public var result: [Payload]

    public init(
        nextEventID: Int64, startedAt: Timestamp, scheduledEventID: Int64, attempt: Int, result: [Payload]
    ) {
        self.nextEventID = nextEventID
        self.startedAt = startedAt
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
        self.result = result
    }
}

/// A workflow task that its worker could not complete.
public struct WorkflowTaskFailure: Sendable {
    public var runID: UUID
    public var scheduledEventID: Int64
    public var attempt: Int
    /// Temporal's `WorkflowTaskFailedCause`, such as `NonDeterministicError`.
    public var cause: String
    public var failure: Failure

    public init(runID: UUID, scheduledEventID: Int64, attempt: Int, cause: String, failure: Failure) {
        self.runID = runID
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
        self.cause = cause
        self.failure = failure
    }

    var json: JSON {
        [
            "runId": .string(runID.uuidString), "scheduledEventId": .number(scheduledEventID),
            "attempt": .number(attempt), "cause": .string(cause), "failure": failure.json,
        ]
    }
}

/// What the engine made of a workflow task's end.
public struct WorkflowTaskOutcome: Sendable {
    public enum State: String, Sendable {
        case completed
        /// All updates of a task that only they needed were rejected: it leaves no event, and the worker forgets its
        /// ids.
        case dropped
        /// The worker did not hold the task any more; nothing changed.
        case lost
        /// The engine refused the commands and scheduled the task again; the worker must drop the run.
        case failed
        /// Something else happened to the run before this fused step: nothing changed, and the worker must drop the
        /// run.
        case stale
        /// It could not be written; the task is left to its timeout.
        case refused
    }

    public let runID: UUID
    public let state: State
    /// The id that the run's next event will have, once the task is completed.
    public let nextEventID: Int64?
    public let failure: Failure?
    /// The activities that asked for eager execution, by their scheduled events: this worker holds them.
    public let startedActivities: [Int64]
    public let startedAt: Timestamp
    /// How many bytes the history has now.
    public let historySize: Int64

    public init(
        runID: UUID, state: State, nextEventID: Int64? = nil, failure: Failure? = nil,
        startedActivities: [Int64] = [], startedAt: Timestamp = Timestamp(microseconds: 0), historySize: Int64 = 0
    ) {
        self.runID = runID
        self.state = state
        self.nextEventID = nextEventID
        self.failure = failure
        self.startedActivities = startedActivities
        self.startedAt = startedAt
        self.historySize = historySize
    }
}

/// An activity task that this worker holds.
public struct ClaimedActivityTask: Sendable {
    public var shard: Int16
    public var runID: UUID
    public var scheduledEventID: Int64
    public var workflowID: String
    public var workflowType: String
    public var activityID: String
    public var activityType: String
    public var input: [Payload]
    public let attempt: Int
    public let scheduledAt: Timestamp
    public let currentAttemptScheduledAt: Timestamp
    public let startedAt: Timestamp
    /// When the engine gives this attempt up, by the database's clock.
    public let deadline: Timestamp?
    public let heartbeatTimeout: Duration?
    public let startToCloseTimeout: Duration?
    public let scheduleToCloseTimeout: Duration?
    /// What the attempt before heartbeat last.
    public var heartbeatDetails: [Payload]
    /// The same for every attempt.
    public let idempotencyKey: String
    /// What the workflow said beside the input.
    public var headers: [String: Payload] = [:]
}

extension ClaimedActivityTask {
    /// An activity that the engine started as the workflow task which schedules it was completed. What it lacks to be
    /// run stands in its command.
    public init(
        eager command: Command, shard: Int16, runID: UUID, scheduledEventID: Int64, workflowID: String,
        workflowType: String, startedAt: Timestamp
    ) throws {
        let attributes = command.attributes
        func duration(_ name: String) -> Duration? {
            attributes[name]?.stringValue.flatMap { Duration(wire: $0) }.flatMap { $0 > .zero ? $0 : nil }
        }
        let id = attributes["activityId"]?.stringValue ?? ""
        self.init(
            shard: shard, runID: runID, scheduledEventID: scheduledEventID, workflowID: workflowID,
            workflowType: workflowType, activityID: id,
            activityType: attributes["activityType"]?["name"]?.stringValue ?? "",
            input: try [Payload](json: attributes["input"]), attempt: 1, scheduledAt: startedAt,
            currentAttemptScheduledAt: startedAt, startedAt: startedAt, deadline: nil,
            heartbeatTimeout: duration("heartbeatTimeout"),
            startToCloseTimeout: duration("startToCloseTimeout") ?? duration("scheduleToCloseTimeout"),
            scheduleToCloseTimeout: duration("scheduleToCloseTimeout"), heartbeatDetails: [],
            idempotencyKey: "\(runID.uuidString.lowercased()):\(id)",
            headers: try [String: Payload](json: attributes["header"]))
    }
}

extension ClaimedActivityTask {
    /// An attempt of a local activity, of which the engine does not know.
    package init(
        localAttempt attempt: Int, runID: UUID, workflowID: String, workflowType: String, activityID: String,
        activityType: String, input: [Payload], headers: [String: Payload], scheduledAt: Timestamp,
        startedAt: Timestamp, startToCloseTimeout: Duration?, scheduleToCloseTimeout: Duration?,
        idempotencyKey: String
    ) {
        self.init(
            shard: 0, runID: runID, scheduledEventID: 0, workflowID: workflowID, workflowType: workflowType,
            activityID: activityID, activityType: activityType, input: input, attempt: attempt,
            scheduledAt: scheduledAt, currentAttemptScheduledAt: startedAt, startedAt: startedAt, deadline: nil,
            heartbeatTimeout: nil, startToCloseTimeout: startToCloseTimeout,
            scheduleToCloseTimeout: scheduleToCloseTimeout, heartbeatDetails: [], idempotencyKey: idempotencyKey,
            headers: headers)
    }
}

/// How an attempt of an activity ended.
public struct ActivityTaskResult: Sendable {
    public enum Outcome: Sendable {
        case completed([Payload])
        case failed(Failure)
        case canceled(details: [Payload])
    }

    public var runID: UUID
    public var scheduledEventID: Int64
    public var attempt: Int
    public var outcome: Outcome

    public init(runID: UUID, scheduledEventID: Int64, attempt: Int, outcome: Outcome) {
        self.runID = runID
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
        self.outcome = outcome
    }

    var json: JSON {
        var json: JSON = [
            "runId": .string(runID.uuidString), "scheduledEventId": .number(scheduledEventID),
            "attempt": .number(attempt),
        ]
        switch outcome {
        case .completed(let result):
            json["outcome"] = "completed"
            json["result"] = result.json
        case .failed(let failure):
            json["outcome"] = "failed"
            json["failure"] = failure.json
        case .canceled(let details):
            json["outcome"] = "canceled"
            json["details"] = details.json
        }
        return json
    }
}

/// What the engine made of an attempt's end.
public struct ActivityTaskOutcome: Sendable {
    public enum State: String, Sendable {
        case completed, failed, retrying, canceled, lost
        /// It could not be written, and the attempt is left as it is: `perdure.set_aside_work` says why.
        case refused
    }

    public let runID: UUID
    public let scheduledEventID: Int64
    public let state: State
}

/// A sign of life of a running activity.
public struct ActivityHeartbeat: Sendable {
    public var runID: UUID
    public var scheduledEventID: Int64
    public var attempt: Int
    public var details: [Payload]

    public init(runID: UUID, scheduledEventID: Int64, attempt: Int, details: [Payload]) {
        self.runID = runID
        self.scheduledEventID = scheduledEventID
        self.attempt = attempt
        self.details = details
    }

    var json: JSON {
        [
            "runId": .string(runID.uuidString), "scheduledEventId": .number(scheduledEventID),
            "attempt": .number(attempt), "details": details.json,
        ]
    }
}

/// What a heartbeat learns.
public struct ActivityHeartbeatOutcome: Sendable {
    public let runID: UUID
    public let scheduledEventID: Int64
    public let cancelRequested: Bool
    /// The attempt is not this worker's any more.
    public let lost: Bool
    /// Whether the heartbeat was taken. One that was not, of an attempt that is not lost, is to be sent again.
    public let kept: Bool
    /// Somebody has paused the activity.
    public let isPaused: Bool
    /// Somebody has reset it.
    public let isReset: Bool
}

/// A query for this worker to answer.
public struct ClaimedQuery: Sendable {
    public let shard: Int16
    public let queryID: UUID
    public let runID: UUID
    public let workflowID: String
    public let workflowType: String
    public let queryType: String
    public var input: [Payload]
    /// What was said beside the input.
    public let headers: [String: Payload]
    /// The answer must have seen this event.
    public let lastEventID: Int64
}

/// What a worker says to a query.
public struct QueryAnswer: Sendable {
    public var queryID: UUID
    public var answer: Result<[Payload], Failure>

    public init(queryID: UUID, answer: Result<[Payload], Failure>) {
        self.queryID = queryID
        self.answer = answer
    }

    var json: JSON {
        var json: JSON = ["queryId": .string(queryID.uuidString)]
        switch answer {
        case .success(let result): json["result"] = result.json
        case .failure(let failure): json["failure"] = failure.json
        }
        return json
    }
}

/// A task that a worker hands back.
public struct HeldTask: Sendable {
    public enum Kind: String, Sendable { case workflow, activity }

    public var kind: Kind
    public var runID: UUID
    public var scheduledEventID: Int64

    public init(_ kind: Kind, runID: UUID, scheduledEventID: Int64) {
        self.kind = kind
        self.runID = runID
        self.scheduledEventID = scheduledEventID
    }

    var json: JSON {
        [
            "kind": .string(kind.rawValue), "runId": .string(runID.uuidString),
            "scheduledEventId": .number(scheduledEventID),
        ]
    }
}

/// What a slice of upkeep did.
public struct UpkeepReport: Sendable {
    /// Everything that was due and got done.
    public let actions: Int
    public let lostWorkers: Int
    /// How long until something is due again, by the database's clock; nil when nothing is foreseen.
    public let nextDue: Duration?
    /// When it was asked for, by the database's clock.
    public let askedAt: Date
}

// MARK: - Leases

extension Engine {
    /// Makes a worker known and its lease run.
    ///
    /// - Returns: how many other workers are busy with workflows; see `perdure.busy_workers`.
    @discardableResult
    public func registerWorker(
        workerID: UUID, namespace: String, identity: String, buildID: String, taskQueues: [String], lease: Duration,
        details: JSON = [:]
    ) async throws -> Int {
        try await row(
            """
            select perdure.busy_workers(\(workerID)) as busy, perdure.register_worker(\(workerID), \(namespace), \
            \(identity), \(buildID), \(taskQueues), \(lease), \(details))
            """
        ).decode("busy")
    }

    /// - Parameter report: what the worker did since the last one; see `perdure.renew_lease`.
    /// - Returns: how many other workers are busy with workflows; see `perdure.busy_workers`.
    /// - Throws: ``EngineError/Code/leaseLost`` when it ran out and the worker's tasks were taken back.
    @discardableResult
    public func renewLease(workerID: UUID, waiting: Bool, report: JSON? = nil) async throws -> Int {
        try await row(
            """
            select perdure.busy_workers(\(workerID)) as busy, perdure.renew_lease(\(workerID), \(waiting), \(report))
            """
        ).decode("busy")
    }

    /// Keeps the code that a worker runs, for people who look at a run; see `perdure.register_sources`.
    public func registerSources(workerID: UUID, sources: JSON) async throws {
        _ = try await query("select perdure.register_sources(\(workerID), \(sources))")
    }

    /// Whether producers should notify: the worker is idle and listens.
    public func setWaiting(workerID: UUID, waiting: Bool) async throws {
        _ = try await query("select perdure.set_waiting(\(workerID), \(waiting))")
    }

    /// Has a run get a workflow task, if it has none, so that it fails: its code broke a rule while it had none.
    public func requestWorkflowTask(shard: Int16, workerID: UUID, runID: UUID) async throws {
        _ = try await query("select perdure.request_workflow_task(\(shard), \(workerID), \(runID))")
    }

    /// Ends a worker: hands back what it holds and clears its stickiness.
    public func stopWorker(workerID: UUID) async throws {
        _ = try await query("select perdure.stop_worker(\(workerID))")
    }

    /// The channel on which producers wake idle workers of a queue.
    public func wakeChannel(namespace: String, taskQueue: String) async throws -> String {
        try await row("select perdure.wake_channel(\(namespace), \(taskQueue))").decode(at: 0)
    }
}

// MARK: - Tasks

extension Engine {
    public func claimWorkflowTasks(
        shard: Int16, workerID: UUID, taskQueue: String, limit: Int
    ) async throws -> [ClaimedWorkflowTask] {
        try await ClaimedWorkflowTask.all(
            in: query(Self.claimOfWorkflowTasks(shard, workerID, taskQueue, limit, nil)), shard)
    }

    public func completeWorkflowTasks(
        shard: Int16, workerID: UUID, completions: [WorkflowTaskCompletion]
    ) async throws -> [WorkflowTaskOutcome] {
        try await query(
            """
            select run_id, outcome, next_event_id, failure, started_activities, started_at, history_size \
            from perdure.complete_workflow_tasks(\(shard), \(workerID), \(JSON.array(completions.map(\.json))))
            """
        ).map { row in
            WorkflowTaskOutcome(
                runID: try row.decode(at: 0), state: try row.state("outcome"),
                nextEventID: try row.decode(at: 2),
                failure: try row.decode(JSON?.self, at: 3).map { json in try Failure(json: json) },
                startedActivities: try row.decode([Int64]?.self, at: 4) ?? [], startedAt: try row.decode(at: 5),
                historySize: try row.decode(Int64?.self, at: 6) ?? 0)
        }
    }

    /// Completes a workflow task, and queues the run's next one in the same transaction though nothing has happened:
    /// for whoever still does something as a part of it.
    public func completeAndRequestWorkflowTask(
        shard: Int16, workerID: UUID, _ completion: WorkflowTaskCompletion
    ) async throws -> WorkflowTaskOutcome.State {
        var item = completion.json
        item["another"] = true
        let report: JSON = ["worker": .string(workerID.uuidString), "kind": "completion", "item": item]
        let answer: JSON = try await row(
            "select answer::jsonb from perdure.take_reports(\(shard), \(JSON.array([report])))"
        ).decode(at: 0)
        return answer["outcome"]?.stringValue.flatMap(WorkflowTaskOutcome.State.init) ?? .lost
    }

    public func failWorkflowTasks(
        shard: Int16, workerID: UUID, failures: [WorkflowTaskFailure]
    ) async throws -> [WorkflowTaskOutcome] {
        try await query(
            """
            select run_id, outcome from perdure.fail_workflow_tasks(\(shard), \(workerID), \
            \(JSON.array(failures.map(\.json))))
            """
        ).map { row in
            WorkflowTaskOutcome(runID: try row.decode("run_id"), state: try row.state("outcome"))
        }
    }

    /// Events of a run from one on; empty when there is no more.
    ///
    /// - Parameters:
    ///   - shard: the shard of the run, as its claim said.
    ///   - limit: batches of events, at most.
    public func history(
        shard: Int16, runID: UUID, from eventID: Int64 = 1, limit: Int = 1000
    ) async throws -> [HistoryEvent] {
        let wire: JSON = try await row(
            "select perdure.get_history(\(shard), \(runID), \(eventID), \(Int32(clamping: limit)))"
        ).decode(at: 0)
        return try [HistoryEvent](wire: wire).filter { $0.eventId >= eventID }
    }

    /// Events of several runs of a shard, each from one on: a page of them, empty when there is no more.
    ///
    /// - Parameters:
    ///   - limit: batches of events, at most, of each run.
    ///   - bytes: how much text, at most, of all runs together, unless a single event has more.
    /// - Returns: a page each for the first requests, at least one, in their order; the others are to be asked for
    ///   again. A history that cannot be read has an error, and keeps the others from nothing.
    public func histories(
        shard: Int16, of requests: [HistoryRequest], limit: Int = 100, bytes: Int = 2 << 20
    ) async throws -> [Result<[HistoryEvent], UnreadableHistory>] {
        let rows = try await query(
            """
            select run_id, history, failure from perdure.get_histories_as_stored(\(shard), \(requests.map(\.runID)), \
            \(requests.map(\.from)), \(Int32(clamping: limit)), \(Int32(clamping: bytes)))
            """)
        return try zip(requests, rows).map { request, row in
            if let problem = try row.decode(String?.self, "failure") {
                return .failure(UnreadableHistory(problem: problem))
            }
            do {
                return .success(
                    try [HistoryEvent](wire: row.decode("history")).filter { $0.eventId >= request.from })
            } catch {
                return .failure(UnreadableHistory(problem: "event \(request.from) or one after it: \(error)"))
            }
        }
    }

    public func claimActivityTasks(
        shard: Int16, workerID: UUID, taskQueue: String, limit: Int
    ) async throws -> [ClaimedActivityTask] {
        try await ClaimedActivityTask.all(
            in: query(Self.claimOfActivityTasks(shard, workerID, taskQueue, limit, nil)), shard)
    }

    public func finishActivityTasks(
        shard: Int16, workerID: UUID, results: [ActivityTaskResult]
    ) async throws -> [ActivityTaskOutcome] {
        try await query(
            """
            select run_id, scheduled_event_id, outcome from perdure.finish_activity_tasks(\(shard), \(workerID), \
            \(JSON.array(results.map(\.json))))
            """
        ).map { row in
            ActivityTaskOutcome(
                runID: try row.decode("run_id"), scheduledEventID: try row.decode("scheduled_event_id"),
                state: try row.state("outcome"))
        }
    }

    public func heartbeatActivityTasks(
        shard: Int16, workerID: UUID, heartbeats: [ActivityHeartbeat]
    ) async throws -> [ActivityHeartbeatOutcome] {
        try await query(
            """
            select * from perdure.heartbeat_activity_tasks(\(shard), \(workerID), \
            \(JSON.array(heartbeats.map(\.json))))
            """
        ).map { row in
            ActivityHeartbeatOutcome(
                runID: try row.decode("run_id"), scheduledEventID: try row.decode("scheduled_event_id"),
                cancelRequested: try row.decode("cancel_requested"), lost: try row.decode("lost"),
                kept: try row.decode("kept"), isPaused: try row.decode("paused"), isReset: try row.decode("reset"))
        }
    }

    /// Whether an attempt of an activity is still this worker's; nil when a transaction has it at this moment, which
    /// may end it.
    public func holdsActivity(
        shard: Int16, workerID: UUID, runID: UUID, scheduledEventID: Int64, attempt: Int
    ) async throws -> Bool? {
        // A heartbeat without details, which keeps those that there are.
        let heartbeat: JSON = [
            "runId": .string(runID.uuidString), "scheduledEventId": .number(scheduledEventID),
            "attempt": .number(attempt),
        ]
        return try await row(
            """
            select case when kept then true when lost then false end \
            from perdure.heartbeat_activity_tasks(\(shard), \(workerID), \(JSON.array([heartbeat])))
            """
        ).decode(at: 0)
    }

    /// Has the database read what an attempt ended with, and nothing else.
    ///
    /// - Throws: what is wrong with it, or with the database.
    public func read(_ result: ActivityTaskResult) async throws {
        _ = try await query("select \(result.json) is null")
    }

    /// Hands back tasks at once, without waiting for a timeout; their attempts do not count.
    public func releaseTasks(shard: Int16, workerID: UUID, tasks: [HeldTask]) async throws {
        _ = try await query(
            "select perdure.release_tasks(\(shard), \(workerID), \(JSON.array(tasks.map(\.json))))")
    }
}

// MARK: - Queries and upkeep

extension Engine {
    public func claimQueries(
        shard: Int16, workerID: UUID, taskQueue: String, limit: Int
    ) async throws -> [ClaimedQuery] {
        try await query(Self.claimOfQueries(shard, workerID, taskQueue, limit))
            .map { row in try ClaimedQuery(row, shard) }
    }

    public func answerQueries(shard: Int16, workerID: UUID, answers: [QueryAnswer]) async throws {
        _ = try await query(
            """
            select query_id, outcome from perdure.answer_queries(\(shard), \(workerID), \
            \(JSON.array(answers.map(\.json))))
            """)
    }

    /// Deletes what is kept no longer, about `limit` rows at most: closed runs with their histories, old queries and
    /// workers.
    ///
    /// - Returns: whether there is more.
    public func deleteExpired(shard: Int16, limit: Int = 1000) async throws -> Bool {
        try await row("select is_more from perdure.delete_expired(\(shard), \(Int32(clamping: limit)))")
            .decode("is_more")
    }

    /// A slice of what is due: timers, timeouts, retries, lost workers. Any number of workers may call it.
    ///
    /// - Parameter since: only what came due since then, by the database's clock, and does within a second; nil for
    ///   all. It is for whoever has left nothing older, and saves the steps over what was due before.
    public func upkeep(shard: Int16, limit: Int = 200, since: Date? = nil) async throws -> UpkeepReport {
        let row = try await row(
            """
            select asked_at, fired_timers + timed_out_activities + retried_activities + timed_out_workflow_tasks \
            + lost_workers + deleted_executions as actions, lost_workers, \
            extract(epoch from next_due_at - perdure.clock())::float8 as next_due \
            from (select perdure.clock() as asked_at) asked \
            cross join lateral perdure.upkeep(\(shard), \(Int32(clamping: limit)), \(since))
            """)
        return UpkeepReport(
            actions: try row.decode("actions"), lostWorkers: try row.decode("lost_workers"),
            nextDue: try row.decode(Double?.self, "next_due").map { .seconds(max(0, $0)) },
            askedAt: try row.decode("asked_at"))
    }
}

extension PostgresRow {
    fileprivate func state<State: RawRepresentable<String>>(_ column: String) throws -> State {
        let name = try decode(String.self, column)
        guard let state = State(rawValue: name) else {
            throw PostgresError(.decoding, "the outcome \(name) is not known to this version")
        }
        return state
    }
}

/// A history with an event that cannot be sent or read.
public struct UnreadableHistory: Error, Sendable, Hashable, CustomStringConvertible {
    public let problem: String
    public init(problem: String) { self.problem = problem }
    public var description: String { "the history cannot be read: \(problem)" }
}

/// The part of a run's history from one event on.
public struct HistoryRequest: Sendable, Hashable {
    public let runID: UUID
    /// An event id; 1 is the first.
    public let from: Int64

    public init(runID: UUID, from: Int64 = 1) {
        self.runID = runID
        self.from = from
    }
}

extension ClaimedActivityTask {
    /// The first or a later attempt of an activity that no database knows, for tests.
    package init(
        runID: UUID, workflowID: String, workflowType: String, activityID: String, activityType: String,
        attempt: Int, heartbeatDetails: [Payload], idempotencyKey: String?, heartbeatTimeout: Duration?,
        startToCloseTimeout: Duration?, scheduleToCloseTimeout: Duration?, headers: [String: Payload]
    ) {
        let now = Timestamp(Date())
        self.init(
            shard: 0, runID: runID, scheduledEventID: 5, workflowID: workflowID, workflowType: workflowType,
            activityID: activityID, activityType: activityType, input: [], attempt: attempt, scheduledAt: now,
            currentAttemptScheduledAt: now, startedAt: now, deadline: nil, heartbeatTimeout: heartbeatTimeout,
            startToCloseTimeout: startToCloseTimeout, scheduleToCloseTimeout: scheduleToCloseTimeout,
            heartbeatDetails: heartbeatDetails,
            idempotencyKey: idempotencyKey ?? "\(runID.uuidString.lowercased()):\(activityID)", headers: headers)
    }
}
