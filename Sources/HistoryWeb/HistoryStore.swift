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

    /// What a list shows of a run. The rest, input and result, can be large.
    private static let listed = """
        jsonb_build_object('namespace', w.namespace, 'workflow_id', w.workflow_id, 'run_id', w.run_id, 'workflow_type', w.workflow_type,
            'status', w.status, 'task_queue', w.task_queue, 'start_time', w.start_time, 'close_time', w.close_time,
            'execution_time', w.execution_time, 'history_length', w.history_length, 'search_attributes', w.search_attributes)
        """

    /// In the order that the filter asks for, newest first if it asks for none.
    ///
    /// - Parameter last: the last run of the page before, as `Run.row` has it.
    func runs(_ namespace: String, _ filter: String, after last: JSONValue?, limit: Int) async throws -> [Run] {
        let rows = try await documents(
            """
            select \(unescaped: Self.listed) from perdure.list_workflows(\(filter), \(namespace), \(limit)::bigint::int,
                \(last?.text)::text::jsonb) w
            """)
        return rows.compactMap(Run.init)
    }

    /// How many runs of each status a filter chooses, each counted up to `limit`.
    func counts(_ namespace: String, _ filter: String, limit: Int) async throws -> [Run.Status: Int] {
        let rows = try await documents(
            """
            select jsonb_build_array(c.status, c.count)
            from perdure.count_workflows(\(filter), \(namespace), \(limit)) c
            """)
        return Dictionary(
            rows.compactMap { row in
                row.elements.first?.string.flatMap(Run.Status.init(rawValue:)).map {
                    ($0, Int(row.elements[1].text) ?? 0)
                }
            }
        ) { first, _ in first }
    }

    /// What a filter can name: name, type and description of each field.
    func filterFields(_ namespace: String) async throws -> [JSONValue] {
        try await documents("select to_jsonb(f) from perdure.list_filter_fields(\(namespace)) f")
    }

    /// The types, or task queues, of the latest thousand runs.
    func recent(_ column: RecentColumn, _ namespace: String) async throws -> [String] {
        let rows = try await documents(
            """
            select to_jsonb(value) from (
                select \(unescaped: column.rawValue) as value from perdure.workflows where namespace = \(namespace)
                order by start_time desc limit 1000) as latest
            group by value order by value
            """)
        return rows.compactMap(\.string)
    }

    enum RecentColumn: String {
        case type = "workflow_type"
        case taskQueue = "task_queue"
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

    /// The event that began what an event goes on with; itself for one that begins something. As `HistoryEvent.leader`.
    private static let leader = """
        coalesce((attributes ->> 'scheduledEventId')::bigint, (attributes ->> 'initiatedEventId')::bigint,
            case when event_type in ('TimerFired', 'TimerCanceled') then (attributes ->> 'startedEventId')::bigint end, event_id)
        """

    /// Events with everything that is in them, in order.
    func events(of run: Run, from first: Int, limit: Int) async throws -> [HistoryEvent] {
        try await events(of: run) { query in
            "and event_id >= $\(query.bind(first)) order by event_id limit $\(query.bind(limit))"
        }
    }

    func events(of run: Run, ids: [Int]) async throws -> [HistoryEvent] {
        guard !ids.isEmpty else { return [] }
        return try await events(of: run) { query in "and event_id = any($\(query.bind(ids)))" }
    }

    private func events(of run: Run, _ rest: (inout PostgresQuery) -> String) async throws -> [HistoryEvent] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = """
            select jsonb_build_object('event_id', event_id, 'event_time', event_time, 'event_type', event_type,
                'attributes', attributes)
            from perdure.history_events where \(conditions) \(rest(&query))
            """
        return try await documents(query).compactMap(HistoryEvent.init).sorted { $0.id < $1.id }
    }

    /// All events of the step that an event belongs to; none if there is no such event.
    func step(of run: Run, holding event: Int) async throws -> [HistoryEvent] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let event = query.bind(event)
        query.sql = """
            with events as materialized (
                select event_id, event_time, event_type, attributes, \(Self.leader) as leader
                from perdure.history_events where \(conditions))
            select jsonb_build_object('event_id', event_id, 'event_time', event_time, 'event_type', event_type,
                'attributes', attributes)
            from events where leader = (select leader from events where event_id = $\(event)) order by event_id
            """
        return try await documents(query).compactMap(HistoryEvent.init)
    }

    /// What a table of events is narrowed down to.
    struct EventFilter: Sendable {
        var kind: EventKind?
        var text: String?
    }

    /// One page of a run's events, each with those that belong to it or alone.
    struct EventPage: Sendable {
        /// The ids of the events, in the order in which they are shown.
        let groups: [[Int]]
        let count: Int
        /// From 1.
        let page: Int
        /// What the whole history holds.
        let kinds: [EventKind]
    }

    /// - Parameters:
    ///   - isGrouped: whether what belongs together is one element of the page.
    ///   - event: the page that holds it is taken, whatever `page` says.
    func eventPage(
        of run: Run, _ filter: EventFilter, isGrouped: Bool, isDescending: Bool, page: Int, size: Int, event: Int?
    ) async throws -> EventPage {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let kind = query.bind(filter.kind?.rawValue)
        let text = query.bind(filter.text)
        let event = query.bind(event)
        let page = query.bind(page)
        let size = query.bind(size)
        query.sql = """
            with events as materialized (
                select event_id, \(EventKind.ofEventType) as kind, \(isGrouped ? Self.leader : "event_id") as leader,
                    $\(text)::text is null or event_id::text = $\(text)
                        or position(lower($\(text)) in lower(event_type || ' ' || attributes::text)) > 0 as fits
                from perdure.history_events where \(conditions)),
            groups as (
                select leader, array_agg(event_id order by event_id) as ids from events
                group by leader
                having bool_or(fits) and ($\(kind)::text is null or bool_or(kind = $\(kind) and event_id = leader))),
            placed as (
                select ids, row_number() over (order by leader \(isDescending ? "desc" : "asc")) as place from groups),
            page as (
                select coalesce((select (place - 1) / $\(size) from placed where $\(event) = any(ids) limit 1),
                    greatest(least($\(page) - 1, (count(*) - 1) / $\(size)), 0)) as number, count(*) as total
                from placed)
            select jsonb_build_object('page', page.number + 1, 'total', page.total,
                'kinds', (select jsonb_agg(distinct kind) from events),
                'groups', (select jsonb_agg(to_jsonb(ids) order by place) from placed
                    where place > page.number * $\(size) and place <= (page.number + 1) * $\(size)))
            from page
            """
        let found = try await documents(query).first ?? .object([])
        let kinds = Set((found["kinds"]?.elements ?? []).compactMap { $0.string.flatMap(EventKind.init(rawValue:)) })
        return EventPage(
            groups: (found["groups"]?.elements ?? []).map { $0.elements.compactMap { Int($0.text) } },
            count: found.integer("total") ?? 0, page: found.integer("page") ?? 1,
            kinds: EventKind.allCases.filter(kinds.contains))
    }

    /// What the timeline's script draws, as JSON: times are milliseconds since the start of the run.
    ///
    /// Passed on as the database wrote it: a history of ten thousand events is a megabyte of it.
    func timeline(of run: Run) async throws -> String {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let start = "$\(query.bind(run.start.rfc3339))::text::timestamptz"
        let close = "$\(query.bind(run.close?.rfc3339))::text::timestamptz"
        let namespace = query.bind(run.namespace)
        let queue = query.bind(run.taskQueue)
        func offset(_ column: String) -> String {
            "round(extract(epoch from \(column) - \(start)) * 1000, 3)"
        }
        query.sql = """
            select json_build_object('now', \(offset("clock_timestamp()")), 'close', \(offset(close)),
            'events', (select json_agg(json_build_array(event_id, \(offset("event_time")), event_type,
                    jsonb_strip_nulls(jsonb_build_object('leader', nullif(\(Self.leader), event_id),
                        'name', coalesce(attributes #>> '{activityType,name}', attributes ->> 'timerId', attributes ->> 'signalName',
                            attributes ->> 'markerName', attributes #>> '{workflowType,name}'),
                        'attempt', attributes -> 'attempt', 'worker', attributes ->> 'identity', 'policy', attributes -> 'retryPolicy',
                        'fires', attributes ->> 'startToFireTimeout', 'cause', attributes ->> 'cause', 'reason', attributes ->> 'reason',
                        'failure', coalesce(attributes #>> '{failure,cause,cause,message}', attributes #>> '{failure,cause,message}',
                            attributes #>> '{failure,message}', attributes #>> '{lastFailure,cause,message}',
                            attributes #>> '{lastFailure,message}')))) order by event_id)
                from perdure.history_events where \(conditions)),
            'attempts', (select json_agg(json_build_object('leader', scheduled_event_id, 'attempt', attempt,
                    'scheduled', \(offset("scheduled_time")), 'started', \(offset("started_time")), 'ended', \(offset("ended_time")),
                    'worker', worker_identity, 'lost', worker_lost, 'failure', failure_message,
                    'timedOut', failure ? 'timeoutFailureInfo') order by scheduled_event_id, attempt)
                from perdure.failed_attempts where \(conditions)),
            'pending', (select json_agg(json_build_object('leader', scheduled_event_id, 'attempt', attempt, 'maximum', maximum_attempts,
                    'state', state, 'started', \(offset("last_started_time")), 'next', \(offset("next_attempt_time")),
                    'failure', last_failure_message, 'worker', worker_identity))
                from perdure.pending_activities where \(conditions)),
            'task', (select json_build_object('attempt', attempt, 'state', state, 'scheduled', \(offset("scheduled_time")),
                    'started', \(offset("started_time")), 'next', \(offset("next_attempt_time")),
                    'failure', coalesce(last_failure #>> '{failure,cause,message}', last_failure #>> '{failure,message}'))
                from perdure.pending_workflow_tasks where \(conditions) limit 1),
            'gaps', (select json_agg(json_build_object('from', \(offset("lower(gap)")), 'to',
                    case when not upper_inf(gap) then \(offset("upper(gap)")) end) order by gap)
                from (select unnest(tstzmultirange(tstzrange(\(start), \(close))) - coalesce(range_agg(tstzrange(registered_at,
                        case when state <> 'Alive' then greatest(last_seen_at, registered_at) end)), '{}')) as gap
                    from perdure.worker_lives
                    where namespace = $\(namespace) and $\(queue) = any(task_queues)
                        and (\(close) is null or registered_at <= \(close)) and (ended_at is null or ended_at >= \(start))) gaps
                where upper_inf(gap) or upper(gap) - lower(gap) >= interval '0.1 s'))
            """
        guard let row = try await pool.query(query).first else { return "{}" }
        return String(decoding: try row.decode(PostgresJSON.self, at: 0).bytes, as: UTF8.self)
    }

    /// The attempts of an activity that its history does not keep, oldest first.
    func failedAttempts(of run: Run, scheduledEvent: Int) async throws -> [FailedAttempt] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = """
            select to_jsonb(a) from perdure.failed_attempts a
            where \(conditions) and scheduled_event_id = $\(query.bind(scheduledEvent)) order by attempt
            """
        return try await documents(query).compactMap(FailedAttempt.init)
    }

    /// The code that the run used: its workflow's first, then its activities', each in the builds that ran it, the latest first.
    func code(of run: Run) async throws -> [RunCode] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let namespace = "$\(query.bind(run.namespace))"
        let type = "$\(query.bind(run.type))"
        query.sql = """
            with events as materialized (
                select event_id, event_type, event_time, attributes ->> 'identity' as identity,
                    (attributes ->> 'scheduledEventId')::bigint as scheduled, attributes #>> '{activityType,name}' as activity
                from perdure.history_events where \(conditions)
                    and event_type in ('WorkflowTaskStarted', 'ActivityTaskScheduled', 'ActivityTaskStarted')),
            activities as (select event_id, activity from events where event_type = 'ActivityTaskScheduled'),
            used (kind, type, worker, at) as (
                select 'workflow', \(type), identity, event_time from events where event_type = 'WorkflowTaskStarted'
                union all
                select 'activity', a.activity, e.identity, e.event_time from events e join activities a on a.event_id = e.scheduled
                    where e.event_type = 'ActivityTaskStarted'
                union all
                select 'activity', a.activity, f.worker_identity, f.started_time from activities a join (
                    select scheduled_event_id, worker_identity, started_time from perdure.failed_attempts where \(conditions)) f
                    on f.scheduled_event_id = a.event_id
                union all
                select 'activity', activity_type, worker_identity, last_started_time from perdure.pending_activities
                    where \(conditions) and last_started_time is not null
                union all
                select 'workflow', workflow_type, worker_identity, started_time from perdure.pending_workflow_tasks
                    where \(conditions) and started_time is not null),
            -- What has not been run yet, too.
            types (kind, type) as (
                select kind, type from used union select 'activity', activity from activities union select 'workflow', \(type)),
            built as (
                select t.kind, t.type, l.build_id, max(u.at) as last, array_agg(distinct u.worker) filter (where u.worker <> '') as workers
                from types t
                left join (select kind, type, worker, max(at) as at from used group by kind, type, worker) u on u.kind = t.kind and u.type = t.type
                left join lateral (
                    select w.build_id from perdure.worker_lives w
                    where w.namespace = \(namespace) and w.identity = u.worker and w.registered_at <= u.at
                    order by w.registered_at desc limit 1) l on true
                group by t.kind, t.type, l.build_id)
            select jsonb_build_object('kind', b.kind, 'type', b.type, 'build', b.build_id, 'last', b.last, 'workers', coalesce(to_jsonb(b.workers), '[]'),
                'source', (
                    select jsonb_build_object('content_hash', s.content_hash, 'file', s.file, 'first_line', s.first_line, 'line', s.line, 'build_id', s.build_id)
                    from perdure.source_code s
                    where s.namespace = \(namespace) and s.kind = b.kind and s.type_name = b.type and (b.build_id is null or s.build_id = b.build_id)
                    -- One build may have had several texts: the one whose worker came last before it was used.
                    order by case when b.last is null or s.last_registered_at <= b.last then s.last_registered_at
                        when s.first_registered_at <= b.last then s.first_registered_at end desc nulls last limit 1))
            from built b order by b.kind desc, b.type, b.last desc nulls last
            """
        return try await documents(query).compactMap(RunCode.init)
    }

    /// A text of code; nil if it is gone, or if there is no hash.
    func sourceText(_ hash: String?) async throws -> String? {
        guard let hash else { return nil }
        return try await documents(
            "select to_jsonb(content) from perdure.source_code where content_hash = \(hash) limit 1"
        )
        .first?.string
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
    func mark(_ namespace: String, _ filter: String, limit: Int) async throws -> String {
        try await runs(namespace, filter, after: nil, limit: limit).map { "\($0.runID)\($0.status.rawValue)" }
            .joined(separator: ",")
    }

    // MARK: Workers and queues

    func backlog(_ namespace: String) async throws -> [JSONValue] {
        try await documents(
            """
            select to_jsonb(q) || jsonb_build_object('oldest_seconds', extract(epoch from q.oldest))
            from perdure.task_queue_backlog q where namespace = \(namespace) order by task_queue, kind limit 500
            """)
    }

    /// How many tasks of each queue and kind ended in each ten seconds of the last minutes, oldest first. The last ten seconds
    /// are not over.
    func throughput(_ namespace: String) async throws -> [JSONValue] {
        try await documents(
            """
            with frame as (select date_bin('10 s', statement_timestamp(), timestamptz '2000-01-01 00:00:00Z') as now),
            queues as (select distinct task_queue, kind from perdure.task_queue_throughput where namespace = \(namespace))
            select jsonb_build_object('task_queue', q.task_queue, 'kind', q.kind,
                'buckets', jsonb_agg(coalesce(t.finished, 0) order by at))
            from queues q cross join frame
            cross join lateral generate_series(frame.now - interval '5 minutes', frame.now, interval '10 s') at
            left join perdure.task_queue_throughput t on t.namespace = \(namespace) and t.task_queue = q.task_queue
                and t.kind = q.kind and t.started_at = at
            group by q.task_queue, q.kind order by q.task_queue, q.kind
            """)
    }

    /// The files of SQL that are applied: path, kind, checksum and time of each.
    func installedFiles() async throws -> [JSONValue] {
        try await documents("select to_jsonb(f) from perdure.installed_files f order by f.path")
    }

    /// How the database does: sizes and dead rows from its statistics, which cost the same whatever is in the tables.
    func health() async throws -> JSONValue {
        let rows = try await documents(
            """
            select jsonb_build_object('size', pg_size_pretty(pg_database_size(current_database())),
                'version', current_setting('server_version'),
                'timer_lag', greatest(extract(epoch from clock_timestamp()
                    - (select t.fire_time from perdure.pending_timers t order by t.fire_time limit 1)), 0),
                'oldest_transaction', (select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0)
                    from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()),
                'workers', (select count(*) from perdure.live_workers w where w.alive),
                'overdue', (select count(*) from perdure.live_workers w where not w.alive),
                'tables', (select jsonb_agg(jsonb_build_object('name', s.relname, 'size', pg_size_pretty(pg_total_relation_size(s.relid)),
                        'live', s.n_live_tup, 'dead', s.n_dead_tup, 'vacuumed', greatest(s.last_vacuum, s.last_autovacuum))
                        order by pg_total_relation_size(s.relid) desc)
                    from pg_stat_user_tables s where s.schemaname = 'perdure'))
            """)
        return rows.first ?? .object([])
    }

    func workers(_ namespace: String) async throws -> [JSONValue] {
        try await documents(
            "select to_jsonb(w) from perdure.live_workers w where namespace = \(namespace) order by identity limit 500")
    }

    // MARK: What a person can do to a run

    /// The id of the run.
    func start(_ start: Start, in namespace: String) async throws -> String {
        let options: JSONValue = ["searchAttributes": start.searchAttributes, "workflowIdConflictPolicy": "Fail"]
        let rows = try await documents(
            """
            select to_jsonb(s.run_id) from perdure.start_workflow(workflow_type => \(start.type),
                workflow_id => \(start.workflowID), task_queue => \(start.taskQueue),
                input => \(start.input)::text::jsonb, namespace => \(namespace), options => \(options.text)::text::jsonb) s
            """)
        return rows.first?.string ?? ""
    }

    /// - Parameter requestID: a signal that comes with the same one again is not written again.
    func signal(_ run: Run, name: String, input: String?, requestID: String? = nil) async throws {
        _ = try await pool.query(
            """
            select perdure.signal_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, \(name), perdure.payloads(\(input)::text::jsonb),
                session_user::text, \(requestID)::text)
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
