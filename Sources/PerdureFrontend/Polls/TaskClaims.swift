import Foundation
import Logging
import PerdureEngine
import Postgres

/// A task that was claimed, as the response of a poll.
struct ClaimedTask: Sendable {
    let response: JSON
    let token: TaskToken
    let kind: PollQueue.Kind
}

/// Claims tasks and makes the responses of polls from them.
struct TaskClaims: Sendable {
    /// Batches of history that come with a task; a client reads on with the page token.
    static let historyBatches = 500
    /// What an activity without a retry policy of its own has.
    static let standardPolicy: JSON = [
        "initialInterval": "1s", "backoffCoefficient": 2, "maximumInterval": "100s",
    ]

    let database: FrontendDatabase
    let workers: SDKWorkers
    let logger: Logger

    func claim(
        _ queue: PollQueue, _ shard: Int16, _ worker: UUID, _ limit: Int, queries: Int
    ) async throws -> [ClaimedTask] {
        switch queue.kind {
        case .activity: return try await activityTasks(queue, shard, worker, limit)
        case .workflow:
            var claimed = limit > 0 ? try await workflowTasks(queue, shard, worker, limit) : []
            if claimed.isEmpty, queries > 0 { claimed += try await self.queries(queue, shard, worker, queries) }
            return claimed
        }
    }

    /// The response that hands a task to its client, unless that has gone: then the task goes back to its queue.
    func response(handing task: ClaimedTask) async throws -> JSON {
        guard Task.isCancelled else { return task.response }
        // In a task that is not cancelled.
        await Task { await handBack(task) }.value
        throw CancellationError()
    }

    /// Returns what was claimed for a client that has gone to its queue.
    func handBack(_ task: ClaimedTask) async {
        workers.release(task.token)
        guard task.token.queryID == nil else { return }
        do {
            _ = try await database.rows(
                """
                select perdure.release_tasks(\(task.token.shard), \(task.token.worker), \
                \([task.token.held(task.kind)] as JSON))
                """)
        } catch {
            // It times out.
            logger.warning("A task could not be handed back", metadata: ["error": "\(error)"])
        }
    }

    // MARK: Workflow tasks

    private func workflowTasks(
        _ queue: PollQueue, _ shard: Int16, _ worker: UUID, _ limit: Int
    ) async throws -> [ClaimedTask] {
        try await database.rows(
            """
            select t from perdure.claim_workflow_tasks_with_queries(\(shard), \(worker), \(queue.name), \
            \(Int32(limit))) t
            """
        ).map { row in workflowTask(try row.decode(at: 0), queue, shard, worker) }
    }

    /// The workflow task that the engine handed over with its answer, if it did.
    func workflowTask(in answer: JSON, for poll: PollReservation, _ shard: Int16) -> ClaimedTask? {
        guard let task = answer["task"], !task.isNull else { return nil }
        return workflowTask(task, poll.queue, shard, poll.worker)
    }

    /// - Parameter task: as `perdure.workflow_task_to_hand_out` says it.
    func workflowTask(_ task: JSON, _ queue: PollQueue, _ shard: Int16, _ worker: UUID) -> ClaimedTask {
        let workflowID = task["workflowId"] ?? .null
        let startedEventID = task["startedEventId"]?.int64Value ?? 0
        let attempt = Int32(clamping: task.integer("attempt"))
        let runID = UUID(uuidString: task.text("runId")) ?? UUID()
        let queries = task["queries"]?.objectValue ?? [:]
        let token = TaskToken(
            namespace: queue.namespace, shard: shard, worker: worker, queue: queue.name,
            workflowID: workflowID.stringValue ?? "", workflowType: task.text("workflowType"), runID: runID,
            scheduledEventID: task["scheduledEventId"]?.int64Value ?? 0, attempt: attempt,
            previous: task["previousStartedEventId"]?.int64Value ?? 0,
            queries: queries.keys.compactMap { UUID(uuidString: $0) })
        let started: JSON = [
            "firstEventId": .number(startedEventID - Int64((task["started"]?.arrayValue ?? []).count - 1)),
            "eventTime": task["startedAt"] ?? .null, "events": task["started"] ?? [],
        ]
        let events = HistoryEvents.events(
            in: .array((task["history"]?.arrayValue ?? []) + [started]), from: task["from"]?.int64Value ?? 1)
        var response: JSON = [
            "taskToken": token.json, "workflowExecution": ["workflowId": workflowID, "runId": .string(runID.text)],
            "workflowType": ["name": task["workflowType"] ?? .null],
            "previousStartedEventId": task["previousStartedEventId"] ?? 0, "startedEventId": .number(startedEventID),
            "attempt": .number(attempt), "history": ["events": .array(events)],
            "workflowExecutionTaskQueue": ["name": .string(queue.name), "kind": "Normal"],
            "startedTime": task["startedAt"] ?? .null,
            "scheduledTime": events.last { $0.text("eventType") == "WorkflowTaskScheduled" }?["eventTime"]
                ?? task["startedAt"] ?? .null,
        ]
        if !queries.isEmpty { response["queries"] = .object(queries) }
        if let updates = task["updates"], !updates.isNull {
            response["messages"] = UpdateMessages.messages(of: updates, startedEventID: startedEventID)
        }
        // More than came with the claim: the client reads it page by page.
        if let gap = Self.gap(in: events) {
            response["history"] = ["events": .array(Array(events[..<gap]))]
            response["nextPageToken"] =
                HistoryPage(runID: runID, next: events[gap - 1].eventID + 1, last: startedEventID).token
        }
        workers.hold(token, for: .seconds(60))
        return ClaimedTask(response: response, token: token, kind: .workflow)
    }

    /// Where ids do not follow each other.
    private static func gap(in events: [JSON]) -> Int? {
        events.indices.dropFirst().first { events[$0].eventID != events[$0 - 1].eventID + 1 }
    }

    private func history(_ shard: Int16, _ runID: UUID, from first: Int64) async throws -> JSON {
        try await database.row(
            "select perdure.get_history(\(shard), \(runID), \(first), \(Int32(Self.historyBatches)))"
        ).decode(at: 0)
    }

    // MARK: Queries

    /// A query comes with the whole history, unless its worker has the run cached.
    private func queries(
        _ queue: PollQueue, _ shard: Int16, _ worker: UUID, _ limit: Int
    ) async throws -> [ClaimedTask] {
        let rows = try await database.rows(
            "select * from perdure.claim_queries(\(shard), \(worker), \(queue.name), \(Int32(limit)))")
        if rows.isEmpty { return [] }
        let runs: [UUID] = try rows.map { try $0.decode("run_id") }
        let cached = Set(
            try await database.rows("select r from perdure.cached_runs(\(shard), \(worker), \(runs)) r")
                .map { try $0.decode(UUID.self, at: 0) })
        var claimed: [ClaimedTask] = []
        for row in rows {
            let runID: UUID = try row.decode("run_id")
            let workflowID: String = try row.decode("workflow_id")
            let token = TaskToken(
                namespace: queue.namespace, shard: shard, worker: worker, queue: queue.name, workflowID: workflowID,
                runID: runID, scheduledEventID: 0, attempt: 0, queryID: try row.decode("query_id"))
            // A worker that has the run cached gets the question alone, as from Temporal.
            let isCached = cached.contains(runID)
            let events = isCached ? [] : HistoryEvents.events(in: try await history(shard, runID, from: 1))
            let started =
                isCached ? 0 : events.last { $0.text("eventType") == "WorkflowTaskStarted" }?.eventID ?? 3
            var response: JSON = [
                "taskToken": token.json,
                "workflowExecution": ["workflowId": .string(workflowID), "runId": .string(runID.text)],
                "workflowType": ["name": .string(try row.decode("workflow_type"))],
                "previousStartedEventId": .number(started), "startedEventId": .number(started), "attempt": 1,
                "history": ["events": .array(events)],
                "workflowExecutionTaskQueue": ["name": .string(queue.name), "kind": "Normal"],
                "query": [
                    "queryType": .string(try row.decode("query_type")),
                    "queryArgs": try row.decode(JSON?.self, "input") ?? [],
                    "header": try row.decode(JSON?.self, "header") ?? [:],
                ],
            ]
            let last = try row.decode(Int64?.self, "last_event_id") ?? 0
            if let read = events.last?.eventID, read < last {
                response["nextPageToken"] = HistoryPage(runID: runID, next: read + 1, last: last).token
            }
            claimed.append(ClaimedTask(response: response, token: token, kind: .workflow))
        }
        return claimed
    }

    // MARK: Activity tasks

    private func activityTasks(
        _ queue: PollQueue, _ shard: Int16, _ worker: UUID, _ limit: Int
    ) async throws -> [ClaimedTask] {
        let rows = try await database.rows(
            "select * from perdure.claim_activity_tasks(\(shard), \(worker), \(queue.name), \(Int32(limit)))")
        return try rows.map { row in
            let runID: UUID = try row.decode("run_id")
            let workflowID: String = try row.decode("workflow_id")
            let attempt: Int32 = try row.decode("attempt")
            let token = TaskToken(
                namespace: queue.namespace, shard: shard, worker: worker, queue: queue.name, workflowID: workflowID,
                runID: runID, scheduledEventID: try row.decode("scheduled_event_id"), attempt: attempt)
            let startToClose = try row.decode(Duration?.self, "start_to_close_timeout")
            let scheduleToClose = try row.decode(Duration?.self, "schedule_to_close_timeout")
            let heartbeat = try row.decode(Duration?.self, "heartbeat_timeout")
            workers.hold(token, for: startToClose ?? scheduleToClose ?? .seconds(3600))
            return ClaimedTask(
                response: [
                    "taskToken": token.json, "workflowNamespace": .string(queue.namespace),
                    "workflowType": ["name": .string(try row.decode("workflow_type"))],
                    "workflowExecution": ["workflowId": .string(workflowID), "runId": .string(runID.text)],
                    "activityType": ["name": .string(try row.decode("activity_type"))],
                    "activityId": .string(try row.decode("activity_id")),
                    "input": try row.decode(JSON?.self, "input") ?? [],
                    "heartbeatDetails": try row.decode(JSON?.self, "heartbeat_details") ?? .null,
                    "scheduledTime": .string(try row.decode(Timestamp.self, "scheduled_at").description),
                    "currentAttemptScheduledTime": .string(
                        try row.decode(Timestamp.self, "current_attempt_scheduled_at").description),
                    "startedTime": .string(try row.decode(Timestamp.self, "started_at").description),
                    "attempt": .number(attempt), "startToCloseTimeout": (startToClose ?? .zero).json,
                    "scheduleToCloseTimeout": (scheduleToClose ?? .zero).json,
                    "heartbeatTimeout": (heartbeat ?? .zero).json,
                    "header": try row.decode(JSON?.self, "header") ?? .null,
                    "retryPolicy": try row.decode(JSON?.self, "retry_policy") ?? Self.standardPolicy,
                    "priority": try row.decode(JSON?.self, "given_priority")
                        ?? Self.priority(try row.decode("priority")),
                ], token: token, kind: .activity)
        }
    }

    /// An activity that the engine started as it took the workflow task that schedules it. What the client wants to
    /// know stands in the command.
    func activityTask(_ command: JSON, _ id: Int64, _ startedAt: JSON, of task: TaskToken) -> ClaimedTask {
        let given = command["attributes"] ?? [:]
        let token = TaskToken(
            namespace: task.namespace, shard: task.shard, worker: task.worker, queue: task.queue,
            workflowID: task.workflowID, runID: task.runID, scheduledEventID: id, attempt: 1)
        func time(_ name: String) -> Duration? {
            given.given(name).flatMap { Duration(wire: $0) }.flatMap { $0 > .zero ? $0 : nil }
        }
        let scheduleToClose = time("scheduleToCloseTimeout")
        let limits = [time("startToCloseTimeout"), scheduleToClose].compactMap(\.self)
        let startToClose = limits.min() ?? .zero
        workers.hold(token, for: limits.min() ?? .seconds(3600))
        return ClaimedTask(
            response: .compact([
                "taskToken": token.json, "workflowNamespace": .string(task.namespace),
                "workflowExecution": [
                    "workflowId": .string(task.workflowID), "runId": .string(task.runID.text),
                ],
                "workflowType": ["name": .string(task.workflowType)],
                "activityType": given["activityType"], "activityId": given["activityId"],
                "input": given["input"] ?? [], "attempt": 1, "scheduledTime": startedAt,
                "currentAttemptScheduledTime": startedAt, "startedTime": startedAt,
                "startToCloseTimeout": startToClose.json, "scheduleToCloseTimeout": (scheduleToClose ?? .zero).json,
                "heartbeatTimeout": (time("heartbeatTimeout") ?? .zero).json, "header": given["header"],
                "retryPolicy": Self.policy(given["retryPolicy"]), "priority": given["priority"],
            ]), token: token, kind: .activity)
    }

    /// Temporal says nothing of an activity that has the usual priority.
    private static func priority(_ number: Int16) -> JSON { number == 3 ? .null : ["priorityKey": .number(number)] }

    /// A retry policy with what the engine fills in.
    private static func policy(_ given: JSON?) -> JSON {
        guard let given = given?.objectValue else { return standardPolicy }
        var policy = standardPolicy
        if let initial = given["initialInterval"], let interval = initial.stringValue.flatMap({ Duration(wire: $0) }),
            interval > .zero
        {
            policy["initialInterval"] = initial
            policy["maximumInterval"] = (interval * 100).json
        }
        for (name, value) in given where name != "initialInterval" && value != "0s" && value != 0 {
            policy[name] = value
        }
        return policy
    }
}

extension JSON {
    var eventID: Int64 { self["eventId"]?.int64Value ?? 0 }
}
