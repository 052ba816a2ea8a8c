public import Foundation
import Postgres

/// What one poll of a worker claimed.
public struct ClaimedWork: Sendable {
    public var workflowTasks: [ClaimedWorkflowTask] = []
    public var activityTasks: [ClaimedActivityTask] = []
    public var queries: [ClaimedQuery] = []
    /// When workflow tasks were asked for, by the database's clock; nil if none were, or the claim failed. What waited
    /// then and was not claimed is more than was asked for, or another's, or was not visible yet. So with
    /// `activityTasksAskedAt`.
    public var workflowTasksAskedAt: Date?
    public var activityTasksAskedAt: Date?
    /// What was claimed and cannot be read: it is this worker's, like the others, and has to be failed.
    public var unreadable: [UnreadableTask] = []

    public init() {}

    public var isEmpty: Bool {
        workflowTasks.isEmpty && activityTasks.isEmpty && queries.isEmpty && unreadable.isEmpty
    }

    /// How many workflow tasks were claimed, those included that cannot be read.
    public var workflowTaskCount: Int { workflowTasks.count + unreadable.count { $0.kind == .workflow } }
    public var activityTaskCount: Int { activityTasks.count + unreadable.count { $0.kind == .activity } }
    public var queryCount: Int { queries.count + unreadable.count { $0.kind == .query } }
}

/// A task or query of which the database holds something that this worker cannot read.
public struct UnreadableTask: Sendable {
    public enum Kind: Sendable { case workflow, activity, query }

    public let kind: Kind
    public let shard: Int16
    /// The run of a task, or the id of a query.
    public let id: UUID
    public let scheduledEventID: Int64
    public let attempt: Int
    /// What could not be read, and why.
    public let problem: String

    init(_ kind: Kind, _ shard: Int16, _ row: PostgresRow, _ error: any Error) throws {
        self.kind = kind
        self.shard = shard
        id = try row.decode(kind == .query ? "query_id" : "run_id")
        scheduledEventID = kind == .query ? 0 : try row.decode("scheduled_event_id")
        attempt = kind == .query ? 1 : try row.decode("attempt")
        let what =
            switch kind {
            case .workflow: "the history of the run"
            case .activity: "the input or the heartbeat details of the activity"
            case .query: "the input of the query"
            }
        problem = "\(what) cannot be read: \(error)"
    }
}

extension Engine {
    /// Claims all kinds of work in one round trip, at most so many of each; 0 asks for none of a kind.
    ///
    /// What one kind claimed is not lost when another cannot be: it is returned, and the error comes again next time.
    ///
    /// - Parameter workflowTasksSince: only those that were scheduled since then, by the database's clock; nil for all.
    ///   It is for whoever has left none that is older, and saves the steps over what was there before. So with
    ///   `activityTasksSince`.
    public func claim(
        shard: Int16, workerID: UUID, taskQueue: String, workflowTasks: Int, activityTasks: Int, queries: Int,
        workflowTasksSince: Date? = nil, activityTasksSince: Date? = nil
    ) async throws -> ClaimedWork {
        var statements: [PostgresQuery] = []
        var readers: [(PostgresRows, inout ClaimedWork) throws -> Void] = []
        if workflowTasks > 0 {
            statements.append(
                Self.claimOfWorkflowTasks(shard, workerID, taskQueue, workflowTasks, workflowTasksSince))
            readers.append { rows, work in
                work.workflowTasksAskedAt = try rows.first?.decode("asked_at")
                for row in rows where try row.decode(UUID?.self, "run_id") != nil {
                    do {
                        work.workflowTasks.append(try ClaimedWorkflowTask(row, shard))
                    } catch {
                        work.unreadable.append(try UnreadableTask(.workflow, shard, row, error))
                    }
                }
            }
        }
        if activityTasks > 0 {
            statements.append(
                Self.claimOfActivityTasks(shard, workerID, taskQueue, activityTasks, activityTasksSince))
            readers.append { rows, work in
                work.activityTasksAskedAt = try rows.first?.decode("asked_at")
                for row in rows where try row.decode(UUID?.self, "run_id") != nil {
                    do {
                        work.activityTasks.append(try ClaimedActivityTask(row, shard))
                    } catch {
                        work.unreadable.append(try UnreadableTask(.activity, shard, row, error))
                    }
                }
            }
        }
        if queries > 0 {
            statements.append(Self.claimOfQueries(shard, workerID, taskQueue, queries))
            readers.append { rows, work in
                for row in rows {
                    do {
                        work.queries.append(try ClaimedQuery(row, shard))
                    } catch {
                        work.unreadable.append(try UnreadableTask(.query, shard, row, error))
                    }
                }
            }
        }
        let results = try await pool.withConnection { [statements] in try await $0.pipeline(statements) }
        var work = ClaimedWork()
        var failure: (any Error)?
        for (result, read) in zip(results, readers) {
            do {
                try read(result.get(), &work)
            } catch {
                failure = (error as? PostgresError).map(Self.meaning) ?? error
            }
        }
        if let failure, work.isEmpty { throw failure }
        return work
    }

    // These commit without waiting for the disk: nothing else is written in their transactions. Should the server crash
    // before the disk has it, the tasks were never handed out: another claim gets them, and what the worker does with
    // this one is refused, as after a timeout.

    static func claimOfWorkflowTasks(
        _ shard: Int16, _ worker: UUID, _ queue: String, _ limit: Int, _ since: Date?
    ) -> PostgresQuery {
        """
        select asked.asked_at, asked.commit, c.* \
        from (select perdure.clock() as asked_at, set_config('synchronous_commit', 'off', true) as commit) asked \
        left join lateral perdure.claim_workflow_tasks_as_stored(\(shard), \(worker), \(queue), \
        \(Int32(clamping: limit)), \(since)) c on true
        """
    }

    static func claimOfActivityTasks(
        _ shard: Int16, _ worker: UUID, _ queue: String, _ limit: Int, _ since: Date?
    ) -> PostgresQuery {
        """
        select asked.asked_at, asked.commit, c.* \
        from (select perdure.clock() as asked_at, set_config('synchronous_commit', 'off', true) as commit) asked \
        left join lateral perdure.claim_activity_tasks(\(shard), \(worker), \(queue), \(Int32(clamping: limit)), \
        \(since)) c on true
        """
    }

    static func claimOfQueries(_ shard: Int16, _ worker: UUID, _ queue: String, _ limit: Int) -> PostgresQuery {
        "select * from perdure.claim_queries(\(shard), \(worker), \(queue), \(Int32(clamping: limit)))"
    }
}

extension ClaimedWorkflowTask {
    /// A claim that got nothing has one row all the same, which tells when it was asked.
    static func all(in rows: PostgresRows, _ shard: Int16) throws -> [ClaimedWorkflowTask] {
        try rows.filter { row in try row.decode(UUID?.self, "run_id") != nil }
            .map { row in try ClaimedWorkflowTask(row, shard) }
    }

    init(_ row: PostgresRow, _ shard: Int16) throws {
        self.init(
            shard: shard, runID: try row.decode("run_id"), workflowID: try row.decode("workflow_id"),
            workflowType: try row.decode("workflow_type"), attempt: try row.decode("attempt"),
            scheduledEventID: try row.decode("scheduled_event_id"),
            startedEventID: try row.decode("started_event_id"), startedAt: try row.decode("started_at"),
            previousStartedEventID: try row.decode(Int64?.self, "previous_started_event_id") ?? 0,
            historyFrom: try row.decode("history_from"), history: try [HistoryEvent](wire: row.decode("history")))
        if let updates = try row.decode(JSON?.self, "updates")?.arrayValue {
            self.updates = try updates.map { try UpdateRequest(json: $0) }
        }
    }
}

extension ClaimedActivityTask {
    /// A claim that got nothing has one row all the same, which tells when it was asked.
    static func all(in rows: PostgresRows, _ shard: Int16) throws -> [ClaimedActivityTask] {
        try rows.filter { row in try row.decode(UUID?.self, "run_id") != nil }
            .map { row in try ClaimedActivityTask(row, shard) }
    }

    init(_ row: PostgresRow, _ shard: Int16) throws {
        self.init(
            shard: shard, runID: try row.decode("run_id"), scheduledEventID: try row.decode("scheduled_event_id"),
            workflowID: try row.decode("workflow_id"), workflowType: try row.decode("workflow_type"),
            activityID: try row.decode("activity_id"), activityType: try row.decode("activity_type"),
            input: try [Payload](json: row.decode(JSON?.self, "input")), attempt: try row.decode("attempt"),
            scheduledAt: try row.decode("scheduled_at"),
            currentAttemptScheduledAt: try row.decode("current_attempt_scheduled_at"),
            startedAt: try row.decode("started_at"), deadline: try row.decode("deadline"),
            heartbeatTimeout: try row.decode("heartbeat_timeout"),
            startToCloseTimeout: try row.decode("start_to_close_timeout"),
            scheduleToCloseTimeout: try row.decode("schedule_to_close_timeout"),
            heartbeatDetails: try [Payload](json: row.decode(JSON?.self, "heartbeat_details")),
            idempotencyKey: try row.decode("idempotency_key"),
            headers: try [String: Payload](json: row.decode(JSON?.self, "header")))
    }
}

extension ClaimedQuery {
    init(_ row: PostgresRow, _ shard: Int16) throws {
        self.init(
            shard: shard, queryID: try row.decode("query_id"), runID: try row.decode("run_id"),
            workflowID: try row.decode("workflow_id"), workflowType: try row.decode("workflow_type"),
            queryType: try row.decode("query_type"), input: try [Payload](json: row.decode(JSON?.self, "input")),
            headers: try [String: Payload](json: row.decode(JSON?.self, "header")),
            lastEventID: try row.decode("last_event_id"))
    }
}
