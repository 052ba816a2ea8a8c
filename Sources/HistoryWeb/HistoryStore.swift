import Foundation
import Postgres
import WebCommon

/// What the pages read and do, through the views and functions of schema `perdure` and nothing else.
///
/// Rows come as JSON, one document a row: the pages show most of what they read as it stands.
struct HistoryStore: Sendable {
    let pool: PostgresPool

    init(_ pool: PostgresPool) { self.pool = pool }

    /// - Parameter query: selects one column of type jsonb.
    func documents(_ query: PostgresQuery) async throws -> [JSONValue] {
        try await pool.query(query).map { row in
            // Payloads may be nested deeper than what a stranger may send.
            try JSONValue(parsing: try row.decode(PostgresJSON.self, at: 0).bytes, maximumDepth: 500)
        }
    }

    // MARK: Runs

    /// What a list is narrowed down to.
    struct Filter: Sendable, Hashable {
        var namespace: String
        var status: Run.Status?
        var type: String?
        var idPrefix: String?

        /// The conditions, their values bound to the query.
        func conditions(in query: inout PostgresQuery, status: Run.Status?) -> String {
            var conditions = ["namespace = $\(query.bind(namespace))"]
            // A literal of ours: the column may be an enumeration, which no text parameter fits.
            if let status { conditions.append("status = '\(status.rawValue)'") }
            if let type { conditions.append("workflow_type = $\(query.bind(type))") }
            if let idPrefix { conditions.append("starts_with(workflow_id, $\(query.bind(idPrefix)))") }
            return conditions.joined(separator: " and ")
        }
    }

    /// Where a page of a list begins: after this run.
    struct Cursor: Sendable, Hashable {
        var start: Instant
        var runID: UUID
    }

    /// Newest first.
    func runs(_ filter: Filter, after cursor: Cursor?, limit: Int) async throws -> [Run] {
        var query = PostgresQuery("")
        var conditions = filter.conditions(in: &query, status: filter.status)
        if let cursor {
            let start = query.bind(cursor.start.rfc3339)
            let runID = query.bind(cursor.runID)
            conditions += " and (start_time, run_id) < ($\(start)::text::timestamptz, $\(runID))"
        }
        let limit = query.bind(limit)
        query.sql = """
            select jsonb_build_object('namespace', namespace, 'workflow_id', workflow_id, 'run_id', run_id,
                'workflow_type', workflow_type, 'status', status, 'task_queue', task_queue,
                'start_time', start_time, 'close_time', close_time, 'search_attributes', search_attributes)
            from perdure.workflows where \(conditions) order by start_time desc, run_id desc limit $\(limit)
            """
        return try await documents(query).compactMap(Run.init)
    }

    /// How many runs of each status the filter leaves, whichever of them it asks for; each counted up to `limit`.
    func counts(_ filter: Filter, limit: Int) async throws -> [Run.Status: Int] {
        var query = PostgresQuery("")
        let limit = query.bind(limit)
        let counts = Run.Status.allCases.map { status in
            let conditions = filter.conditions(in: &query, status: status)
            return "'\(status.rawValue)', (select count(*) from "
                + "(select from perdure.workflows where \(conditions) limit $\(limit)) as counted)"
        }
        query.sql = "select jsonb_build_object(\(counts.joined(separator: ", ")))"
        let counted = try await documents(query)
        return Dictionary(
            uniqueKeysWithValues: Run.Status.allCases.map { ($0, counted.first?.integer($0.rawValue) ?? 0) })
    }

    /// The types of the latest thousand runs.
    func workflowTypes(_ namespace: String) async throws -> [String] {
        let rows = try await documents(
            """
            select to_jsonb(workflow_type) from (
                select workflow_type from perdure.workflows where namespace = \(namespace)
                order by start_time desc limit 1000) as latest
            group by workflow_type order by workflow_type
            """)
        return rows.compactMap(\.string)
    }

    /// - Parameter runID: nil for the latest run of the workflow.
    func run(_ namespace: String, _ workflowID: String, _ runID: UUID?) async throws -> Run? {
        let rows = try await documents(
            """
            select to_jsonb(w) from perdure.workflows w
            where shard = perdure.shard_for(\(namespace), \(workflowID)) and namespace = \(namespace)
                and workflow_id = \(workflowID) and (\(runID as UUID?)::uuid is null or run_id = \(runID as UUID?)::uuid)
            order by start_time desc limit 1
            """)
        return rows.first.flatMap(Run.init)
    }

    // MARK: One run

    /// What can be large in an event, and is not needed to tell the events of a step from another's.
    private static let large =
        "array['input', 'result', 'details', 'header', 'memo', 'searchAttributes', 'lastCompletionResult']"

    /// All events of a run, without what can be large in them.
    func outline(of run: Run) async throws -> [HistoryEvent] {
        try await events(of: run, "attributes - \(Self.large)") { _ in "" }
    }

    /// Events with everything that is in them, in order.
    func events(of run: Run, from first: Int, limit: Int) async throws -> [HistoryEvent] {
        try await events(of: run, "attributes") { query in
            "and event_id >= $\(query.bind(first)) order by event_id limit $\(query.bind(limit))"
        }
    }

    func events(of run: Run, ids: [Int]) async throws -> [HistoryEvent] {
        try await events(of: run, "attributes") { query in "and event_id = any($\(query.bind(ids)))" }
    }

    private func events(
        of run: Run, _ attributes: String, _ rest: (inout PostgresQuery) -> String
    ) async throws -> [HistoryEvent] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = """
            select jsonb_build_object('event_id', event_id, 'event_time', event_time, 'event_type', event_type,
                'attributes', \(attributes))
            from perdure.history_events where \(conditions) \(rest(&query))
            """
        return try await documents(query).compactMap(HistoryEvent.init).sorted { $0.id < $1.id }
    }

    /// How a closed run ended: its result, or a failure, also for ends that are no event with a failure.
    func end(of run: Run) async throws -> (result: [Payload]?, failure: Failure?) {
        let rows = try await documents(
            """
            select to_jsonb(r) from perdure.workflow_result(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid) r
            """)
        return (
            rows.first?.member("result").map { Payload.list($0) }, rows.first?.member("failure").map { Failure($0) }
        )
    }

    func pendingActivities(of run: Run) async throws -> [PendingActivity] {
        try await rows(of: "pending_activities", run).compactMap(PendingActivity.init)
    }

    func pendingTimers(of run: Run) async throws -> [JSONValue] { try await rows(of: "pending_timers", run) }

    private func rows(of view: String, _ run: Run) async throws -> [JSONValue] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = "select to_jsonb(v) from perdure.\(view) v where \(conditions) limit 1000"
        return try await documents(query)
    }

    private static func conditions(on run: Run, in query: inout PostgresQuery) -> String {
        // The shard follows from the rest; saying it lets the indexes, which all begin with it, be used.
        let namespace = "$\(query.bind(run.namespace))"
        let workflowID = "$\(query.bind(run.workflowID))"
        return """
            shard = perdure.shard_for(\(namespace), \(workflowID)) and namespace = \(namespace)
            and workflow_id = \(workflowID) and run_id = $\(query.bind(run.runID))::text::uuid
            """
    }

    // MARK: Changes

    /// A text that is another one once the run's pages would show something else.
    func mark(of run: Run) async throws -> String {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = """
            select jsonb_build_object('mark', md5(concat(
                (select (w.status, w.history_length, w.workflow_task_attempt, w.workflow_task_failure, w.search_attributes)::text
                    from perdure.workflows w where \(conditions)),
                (select string_agg((a.activity_id, a.state, a.attempt, a.last_heartbeat_time, a.cancel_requested)::text, ','
                    order by a.activity_id) from perdure.pending_activities a where \(conditions)))))
            """
        return try await documents(query).first?.text("mark") ?? ""
    }

    /// A text that is another one once the first page of the list would show something else.
    func mark(of filter: Filter, limit: Int) async throws -> String {
        try await runs(filter, after: nil, limit: limit).map { "\($0.runID)\($0.status.rawValue)" }.joined(
            separator: ",")
    }

    // MARK: Workers and queues

    func backlog(_ namespace: String) async throws -> [JSONValue] {
        try await documents(
            """
            select to_jsonb(q) || jsonb_build_object('oldest', date_trunc('second', q.oldest)::text)
            from perdure.task_queue_backlog q where namespace = \(namespace) order by task_queue, kind limit 500
            """)
    }

    func workers(_ namespace: String) async throws -> [JSONValue] {
        try await documents(
            "select to_jsonb(w) from perdure.live_workers w where namespace = \(namespace) order by identity limit 500")
    }

    // MARK: What a person can do to a run

    func signal(_ run: Run, name: String, input: String?) async throws {
        _ = try await pool.query(
            """
            select perdure.signal_workflow(workflow_id => \(run.workflowID), signal_name => \(name),
                input => \(input as String?)::text::jsonb, run_id => \(run.runID)::text::uuid, namespace => \(run.namespace))
            """)
    }

    func cancel(_ run: Run, reason: String?) async throws {
        _ = try await pool.query(
            """
            select perdure.cancel_workflow(workflow_id => \(run.workflowID), reason => \(reason as String?),
                run_id => \(run.runID)::text::uuid, namespace => \(run.namespace))
            """)
    }

    func terminate(_ run: Run, reason: String?) async throws {
        _ = try await pool.query(
            """
            select perdure.terminate_workflow(workflow_id => \(run.workflowID), reason => \(reason as String?),
                run_id => \(run.runID)::text::uuid, namespace => \(run.namespace))
            """)
    }

    /// The id under which the answer will be found.
    func startQuery(_ run: Run, type: String, input: [JSONValue], timeout: Duration) async throws -> UUID {
        let rows = try await pool.query(
            """
            select perdure.start_query(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, \(type), \(JSONValue.array(input).text)::text::jsonb,
                \(timeout))
            """)
        return try rows[0].decode(at: 0)
    }

    /// Nil while nobody has answered.
    func queryAnswer(_ run: Run, _ id: UUID) async throws -> Result<[Payload], QueryFailure>? {
        let rows = try await documents(
            """
            select to_jsonb(a) from perdure.query_answer(
                perdure.shard_for(\(run.namespace), \(run.workflowID)), \(id)) a
            """)
        return switch rows.first?.text("state") {
        case "answered": .success(Payload.list(rows[0]["result"]))
        case "failed", nil: .failure(QueryFailure(failure: Failure(rows.first?.member("failure") ?? .object([]))))
        default: nil
        }
    }
}

struct QueryFailure: Error {
    let failure: Failure
}
