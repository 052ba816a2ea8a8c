public import Foundation
import Postgres

/// Where a run stands.
public enum WorkflowStatus: String, Sendable, Hashable, CaseIterable {
    case running = "Running"
    case completed = "Completed"
    case failed = "Failed"
    case canceled = "Canceled"
    case terminated = "Terminated"
    case continuedAsNew = "ContinuedAsNew"
    case timedOut = "TimedOut"
}

/// A run that a start made or found.
public struct StartedRun: Sendable, Hashable {
    public let runID: UUID
    /// False when a run with this id was there already, and the conflict policy or the request id chose it.
    public let started: Bool
}

/// How a run ended, if it has.
public struct WorkflowOutcome: Sendable, Hashable {
    public let runID: UUID
    public let status: WorkflowStatus
    public let result: [Payload]
    public let failure: Failure?
    public let closeTime: Timestamp?
    /// The run that follows it: by continue-as-new, a retry or a cron schedule.
    public let nextRunID: UUID?
}

/// What became of a query.
public enum QueryState: Sendable, Hashable {
    case waiting
    case answered([Payload])
    case failed(Failure)
}

/// A row of a list of runs.
public struct WorkflowSummary: Sendable, Hashable {
    public let namespace: String
    public let workflowID: String
    public let runID: UUID
    public let workflowType: String
    public let status: WorkflowStatus
    public let taskQueue: String
    public let startTime: Timestamp
    /// When its first workflow task could run: later than the start by a start delay.
    public let executionTime: Timestamp
    public let closeTime: Timestamp?
    /// How many events its history has.
    public let historyLength: Int64?
    public let searchAttributes: JSON
    public var memo: JSON

    /// What a list can be ordered by, as the SQL function takes it to go on behind this row.
    fileprivate var asCursor: JSON {
        [
            "run_id": .string(runID.uuidString), "workflow_id": .string(workflowID),
            "workflow_type": .string(workflowType),
            "status": .string(status.rawValue), "task_queue": .string(taskQueue),
            "start_time": .string(startTime.description),
            "execution_time": .string(executionTime.description),
            "close_time": closeTime.map { .string($0.description) } ?? .null,
            "history_length": historyLength.map { .number(String($0)) } ?? .null, "search_attributes": searchAttributes,
        ]
    }
}

// The shard of a workflow is known, or found by the statement itself: one round trip.
extension Engine {
    /// - Parameter options: the contract's `p_options`.
    public func startWorkflow(
        namespace: String, workflowID: String, workflowType: String, taskQueue: String, input: [Payload] = [],
        options: JSON = [:]
    ) async throws -> StartedRun {
        let row = try await row(
            """
            select run_id, started \
            from perdure.start_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \(workflowID), \(workflowType), \(taskQueue), \(input.json), \(options))
            """)
        return StartedRun(runID: try row.decode("run_id"), started: try row.decode("started"))
    }

    public func signalWithStartWorkflow(
        namespace: String, workflowID: String, workflowType: String, taskQueue: String, input: [Payload] = [],
        signalName: String, signalInput: [Payload] = [], options: JSON = [:]
    ) async throws -> StartedRun {
        let row = try await row(
            """
            select run_id, started from perdure.signal_with_start_workflow(\
            \(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \(workflowID), \
            \(workflowType), \(taskQueue), \(input.json), \(signalName), \(signalInput.json), \(options))
            """)
        return StartedRun(runID: try row.decode("run_id"), started: try row.decode("started"))
    }

    /// - Parameters:
    ///   - runID: nil is the current run; so below.
    ///   - requestID: the same signal, sent twice under one request id, arrives once.
    /// - Returns: the run that got it.
    @discardableResult
    public func signalWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, signalName: String, input: [Payload] = [],
        identity: String? = nil, requestID: String? = nil, headers: [String: Payload] = [:]
    ) async throws -> UUID {
        try await row(
            """
            select perdure.signal_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \
            \(workflowID), \(runID), \(signalName), \(input.json), \(identity?.withVisibleNul), \(requestID), \
            \(headers.orLeftOut))
            """
        ).decode(at: 0)
    }

    @discardableResult
    public func requestCancelWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, reason: String? = nil, identity: String? = nil,
        requestID: String? = nil, firstRunID: UUID? = nil
    ) async throws -> UUID {
        try await row(
            """
            select perdure.request_cancel_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \
            \(workflowID), \(runID), \(reason?.withVisibleNul), \(identity?.withVisibleNul), \(requestID), \
            \(firstRunID))
            """
        ).decode(at: 0)
    }

    @discardableResult
    public func terminateWorkflow(
        namespace: String, workflowID: String, runID: UUID? = nil, reason: String? = nil, details: [Payload] = [],
        identity: String? = nil, firstRunID: UUID? = nil
    ) async throws -> UUID {
        let ended: UUID = try await row(
            """
            select perdure.terminate_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \
            \(workflowID), \(runID), \(reason?.withVisibleNul), \(details.json), \(identity?.withVisibleNul), \
            \(firstRunID))
            """
        ).decode(at: 0)
        // Its relatives learn of it at once; if that fails, upkeep tells them. In a transaction that is open there is
        // nothing to tell.
        if !isInTransaction {
            _ = try? await query(
                """
                call perdure.drain_transfers(\(shard: try await onlyShard(), of: workflowID, in: namespace), \([ended]))
                """)
        }
        return ended
    }

    /// Asks a run's worker; the answer comes to ``queryAnswer(namespace:workflowID:queryID:)``.
    ///
    /// - Returns: the id of the query.
    public func startQuery(
        namespace: String, workflowID: String, runID: UUID? = nil, queryType: String, input: [Payload] = [],
        timeout: Duration, headers: [String: Payload] = [:]
    ) async throws -> UUID {
        try await row(
            """
            select perdure.start_query(\(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \
            \(workflowID), \(runID), \(queryType), \(input.json), \(timeout), \(headers.orLeftOut))
            """
        ).decode(at: 0)
    }

    public func queryAnswer(namespace: String, workflowID: String, queryID: UUID) async throws -> QueryState {
        let row = try await row(
            """
            select state, result, failure from perdure.query_answer(\
            \(shard: try await onlyShard(), of: workflowID, in: namespace), \(queryID))
            """)
        switch try row.decode(String.self, "state") {
        case "answered": return .answered(try [Payload](json: row.decode(JSON?.self, "result")))
        case "failed":
            let failure = try row.decode(JSON?.self, "failure")
            return .failed(try Failure(json: failure ?? ["message": "the query failed"]))
        default: return .waiting
        }
    }

    /// What is known of a run, pending activities and timers included.
    public func describeWorkflow(namespace: String, workflowID: String, runID: UUID? = nil) async throws -> JSON {
        try await row(
            """
            select perdure.describe_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \(workflowID), \(runID))
            """
        ).decode(at: 0)
    }

    public func workflowResult(
        namespace: String, workflowID: String, runID: UUID? = nil
    ) async throws -> WorkflowOutcome {
        let row = try await row(
            """
            select run_id, status::text, result, failure, close_time, next_run_id from perdure.workflow_result(\
            \(shard: try await onlyShard(), of: workflowID, in: namespace), \(namespace), \(workflowID), \(runID))
            """)
        return WorkflowOutcome(
            runID: try row.decode("run_id"), status: try row.status(),
            result: try [Payload](json: row.decode(JSON?.self, "result")),
            failure: try row.decode(JSON?.self, "failure").map { json in try Failure(json: json) },
            closeTime: try row.decode("close_time"), nextRunID: try row.decode("next_run_id"))
    }

    /// The channel on which runs give notice when they close, if somebody awaits results and the server is not busy.
    public func resultChannel(namespace: String) async throws -> String {
        try await row("select perdure.result_channel(\(namespace))").decode(at: 0)
    }

    /// Says that a connection listens on ``resultChannel(namespace:)``, for as long as it lasts. Made ``on(_:)`` it.
    public func awaitResults(namespace: String) async throws {
        _ = try await query("select perdure.await_results(\(namespace))")
    }

    /// Sends an empty notification.
    public func notify(_ channel: String) async throws {
        _ = try await query("select pg_notify(\(channel), '')")
    }

    /// Events of a run from one on, of at most `limit` batches; empty when there is no more.
    public func history(
        namespace: String, workflowID: String, runID: UUID, from eventID: Int64 = 1, limit: Int = 1000
    ) async throws -> [HistoryEvent] {
        let wire: JSON = try await row(
            """
            select perdure.get_history(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(runID), \(eventID), \(Int32(clamping: limit)))
            """
        ).decode(at: 0)
        return try [HistoryEvent](wire: wire).filter { $0.eventId >= eventID }
    }

    /// The runs that a list filter chooses, newest first unless it says `ORDER BY`.
    ///
    /// - Parameters:
    ///   - filter: Temporal's list filter, such as `WorkflowType = 'Transfer' AND ExecutionStatus = 'Running'`; see
    ///     docs/reference/list-filter.md. Empty for all runs.
    ///   - last: the last run of the page before.
    ///   - limit: at most 1000.
    public func listWorkflows(
        namespace: String, filter: String = "", after last: WorkflowSummary? = nil, limit: Int = 100
    ) async throws -> [WorkflowSummary] {
        try await query(
            """
            select namespace, workflow_id, run_id, workflow_type, status::text, task_queue, \
            start_time, execution_time, close_time, history_length::bigint as history_length, search_attributes, memo \
            from perdure.list_workflows(\(filter), \(namespace), \(Int32(clamping: limit)), \(last?.asCursor))
            """
        ).map { row in
            WorkflowSummary(
                namespace: try row.decode("namespace"), workflowID: try row.decode("workflow_id"),
                runID: try row.decode("run_id"), workflowType: try row.decode("workflow_type"),
                status: try row.status(), taskQueue: try row.decode("task_queue"),
                startTime: try row.decode("start_time"), executionTime: try row.decode("execution_time"),
                closeTime: try row.decode("close_time"),
                historyLength: try row.decode("history_length"),
                searchAttributes: try row.decode(JSON?.self, "search_attributes") ?? [:],
                memo: try row.decode(JSON?.self, "memo") ?? [:])
        }
    }

    /// How many runs a list filter chooses, by status.
    ///
    /// - Parameter bound: how far each status is counted; nil counts all, which takes long when there are millions.
    public func countWorkflows(
        namespace: String, filter: String = "", upTo bound: Int? = nil
    ) async throws -> [WorkflowStatus: Int] {
        let rows = try await query(
            """
            select status, count from perdure.count_workflows(\(filter), \(namespace), \(bound.map(Int64.init)))
            """)
        var counts: [WorkflowStatus: Int] = [:]
        for row in rows { counts[try row.status()] = try row.decode(Int.self, "count") }
        return counts
    }

    /// Deletes a closed run and its history.
    @discardableResult
    public func deleteWorkflow(namespace: String, workflowID: String, runID: UUID? = nil) async throws -> UUID {
        try await row(
            """
            select perdure.delete_workflow(\(shard: try await onlyShard(), of: workflowID, in: namespace), \
            \(namespace), \(workflowID), \(runID))
            """
        ).decode(at: 0)
    }
}

extension PostgresRow {
    fileprivate func status() throws -> WorkflowStatus {
        let name = try decode(String.self, "status")
        guard let status = WorkflowStatus(rawValue: name) else {
            throw PostgresError(.decoding, "the status \(name) is not known to this version")
        }
        return status
    }
}
