import Foundation
import PerdureModel
import Postgres
import WebCommon

/// What the pages read and do, through the views and functions of schema `perdure` and nothing else.
///
/// Rows come as JSON, one document a row: the pages show most of what they read as it stands.
struct HistoryStore: Sendable {
    let pool: PostgresPool
    /// Reads payloads that pages cannot read.
    private let codec: CodecServer?

    init(_ pool: PostgresPool, codec: CodecServer? = nil) {
        self.pool = pool
        self.codec = codec
    }

    /// - Parameters:
    ///   - query: selects one column of type jsonb.
    ///   - namespace: whose payloads there are in it, if those that are encoded are to be decoded.
    func documents(_ query: PostgresQuery, decodedFor namespace: String? = nil) async throws -> [JSON] {
        let documents = try await pool.query(query).map { row in
            // What was written before there were limits may be nested deeper.
            try JSON(parsing: try row.decode(PostgresJSON.self, at: 0).bytes, deeper: .keptAsText)
        }
        guard let codec, let namespace else { return documents }
        return await codec.decode(documents, of: namespace)
    }

    func namespaces() async throws -> [String] {
        try await documents(
            "select to_jsonb(n.namespace) from perdure.namespaces n where n.deleted_at is null order by n.namespace"
        ).compactMap(\.stringValue)
    }

    // MARK: Runs

    /// What a list shows of a run. The rest, input and result, can be large.
    private static let listed = """
        jsonb_build_object('namespace', w.namespace, 'workflow_id', w.workflow_id, 'run_id', w.run_id,
            'workflow_type', w.workflow_type,
            'status', w.status, 'task_queue', w.task_queue, 'start_time', w.start_time, 'close_time', w.close_time,
            'execution_time', w.execution_time, 'history_length', w.history_length,
            'search_attributes', w.search_attributes)
        """

    /// In the order that the filter asks for, newest first if it asks for none.
    ///
    /// - Parameter last: the last run of the page before, as `Run.row` has it.
    func runs(
        _ namespace: String, _ filter: String, after last: JSON?, limit: Int, withVerdicts: Bool = false
    ) async throws -> [Run] {
        let rows = try await documents(
            """
            select \(unescaped: Self.listed) || jsonb_build_object('verdict', to_jsonb(v))
            from perdure.list_workflows(\(filter), \(namespace), \(limit)::bigint::int, \(last?.text)::text::jsonb) w
            left join lateral (
                select v.condition, v.reason, v.cause, v.since, v.failed_attempts, v.event_id, v.due_at
                from perdure.run_verdict(w.shard, w.run_id, true) v
                where \(withVerdicts)::boolean and w.status in ('Running', 'Failed', 'Terminated')) v on true
            """)
        return rows.compactMap(Run.init)
    }

    /// A page of runs, and how many runs of each status the filter chooses.
    struct RunList: Sendable {
        /// One more than a page shows if there are more.
        let runs: [Run]
        let counts: [Run.Status: Int]
        /// How many of the open ones are in each condition.
        let conditions: [Run.Condition: Int]

        /// A text that is another one once the list would show something else.
        ///
        /// - Parameter lengths: whether the lengths of histories are shown.
        func mark(lengths: Bool) -> String {
            let rows = runs.map { run in
                [
                    run.runID, run.status.rawValue, run.close?.description ?? "", lengths ? "\(run.historyLength)" : "",
                    JSON.object(run.searchAttributes).text, run.verdict?.mark ?? "",
                ].joined(separator: " ")
            }
            let counts =
                counts.map { "\($0.rawValue) \($1)" }.sorted() + conditions.map { "\($0.rawValue) \($1)" }.sorted()
            return (rows + counts).joined(separator: "\n").mark
        }
    }

    static let pageSize = 50
    /// How far runs are counted.
    static let longestCount = 1000

    func list(_ filter: ListFilter, after last: JSON?) async throws -> RunList {
        let any = filter.ofAnyStatus
        async let counted = counts(filter.namespace, any.expression, limit: Self.longestCount + 1)
        async let conditions = conditions(any)
        let runs = try await runs(
            filter.namespace, filter.expression, after: last, limit: Self.pageSize + 1, withVerdicts: true)
        return RunList(runs: runs, counts: try await counted, conditions: try await conditions)
    }

    /// How many open runs of a filter are in each condition that occurs.
    private func conditions(_ filter: ListFilter) async throws -> [Run.Condition: Int] {
        var query = PostgresQuery("")
        let namespace = query.bind(filter.namespace)
        let limit = query.bind(Self.longestCount + 1)
        let parts = Run.Condition.allCases.map { condition in
            var chosen = filter
            chosen.condition = condition
            let expression = query.bind(chosen.expression)
            return """
                select jsonb_build_array('\(condition.rawValue)', sum(c.count))
                from perdure.count_workflows($\(expression), $\(namespace), $\(limit)) c
                """
        }
        query.sql = parts.joined(separator: " union all ")
        let rows = try await documents(query)
        return Dictionary(
            rows.compactMap { row in
                guard let condition = row.elements.first?.stringValue.flatMap(Run.Condition.init(rawValue:)),
                    let count = Int(row.elements[1].text), count > 0
                else { return nil }
                return (condition, count)
            }
        ) { first, _ in first }
    }

    /// How a run is, as a sentence and its parts.
    func verdict(of run: Run) async throws -> Verdict? {
        try await documents(
            """
            select to_jsonb(v) from perdure.run_verdict(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.runID)::text::uuid) v
            """
        ).first.flatMap(Verdict.init)
    }

    // MARK: Views

    /// The lists that a namespace keeps: `name`, and `address`, which is a query.
    func views(_ namespace: String) async throws -> [JSON] {
        try await documents(
            """
            select jsonb_build_object('name', v.name, 'address', v.address, 'saved_by', v.saved_by)
            from perdure.list_views v where v.namespace = \(namespace) order by v.name
            """)
    }

    func saveView(_ namespace: String, name: String, address: String) async throws {
        _ = try await pool.query(
            """
            select perdure.save_view(\(namespace), \(name), \(address),
                coalesce(\(Visitor.current.name)::text, session_user::text))
            """)
    }

    func deleteView(_ namespace: String, name: String) async throws {
        _ = try await pool.query("select perdure.delete_view(\(namespace), \(name))")
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
                row.elements.first?.stringValue.flatMap(Run.Status.init(rawValue:)).map {
                    ($0, Int(row.elements[1].text) ?? 0)
                }
            }
        ) { first, _ in first }
    }

    /// What a filter can name: name, type and description of each field.
    func filterFields(_ namespace: String) async throws -> [JSON] {
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
        return rows.compactMap(\.stringValue)
    }

    enum RecentColumn: String {
        case type = "workflow_type"
        case taskQueue = "task_queue"
    }

    /// - Parameter runID: nil for the current run of the workflow id.
    func run(_ namespace: String, _ workflowID: String, _ runID: UUID?) async throws -> Run? {
        func read(_ document: String) async throws -> Run? {
            try await documents(
                """
                select \(unescaped: document) from perdure.workflows w
                where shard = perdure.shard_for(\(namespace), \(workflowID)) and namespace = \(namespace)
                    and workflow_id = \(workflowID)
                    and (\(runID as UUID?)::uuid is null or run_id = \(runID as UUID?)::uuid)
                order by run_number desc limit 1
                """, decodedFor: namespace
            ).first.flatMap(Run.init)
        }
        do {
            return try await read("to_jsonb(w)")
        } catch let error as PostgresError where error.isOfData {
            // What it holds cannot be read. That it is there can.
            return try await read(Self.listed)
        }
    }

    // MARK: One run

    /// The event that began what an event goes on with; itself for one that begins something. As `HistoryEvent.leader`.
    private static let leader = """
        coalesce((attributes ->> 'scheduledEventId')::bigint, (attributes ->> 'initiatedEventId')::bigint,
            (attributes ->> 'acceptedEventId')::bigint,
            case when event_type in ('TimerFired', 'TimerCanceled') then (attributes ->> 'startedEventId')::bigint end,
            event_id)
        """

    /// What one event can be: its attributes as they are or, for tables of events, large ones cut.
    enum Detail: String {
        case whole = "attributes"
        case cut = """
            case when pg_column_size(attributes) > 65536 and jsonb_typeof(attributes) = 'object' then (
                select jsonb_object_agg(a.key, case
                    when pg_column_size(a.value) < 16384 then a.value
                    when jsonb_typeof(a.value) = 'array' then jsonb_build_array(jsonb_build_object(
                        'encoding', 'json/plain',
                        'data', format('about %s kB: open the event to see it', pg_column_size(a.value) / 1000)))
                    when jsonb_typeof(a.value) = 'object' then jsonb_build_object('message', coalesce(
                        left(a.value ->> 'message', 1000),
                        format('about %s kB: open the event to see it', pg_column_size(a.value) / 1000)))
                    when jsonb_typeof(a.value) = 'string' then to_jsonb(left(a.value #>> '{}', 1000) || '…')
                    else a.value end)
                from jsonb_each(attributes) a) else attributes end
            """
    }

    /// Events in order.
    func events(
        of run: Run, from first: Int, limit: Int, _ detail: Detail = .whole
    ) async throws -> [HistoryEvent] {
        try await events(of: run, detail) { query in
            "and event_id >= $\(query.bind(first)) order by event_id limit $\(query.bind(limit))"
        }
    }

    /// Events in order from one on, about so many bytes of them: one at least, unless there is none.
    func events(of run: Run, from first: Int, bytes: Int) async throws -> [HistoryEvent] {
        let query: PostgresQuery = """
            select perdure.get_history(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.runID)::text::uuid,
                \(first), 1000, \(Int32(bytes)))
            """
        do {
            let batches = try await documents(query).first?.elements ?? []
            let events = batches.flatMap(HistoryEvent.inBatch).filter { $0.id >= first }
            if !events.isEmpty || run.close != nil { return events }
        } catch let error as PostgresError where error.isOfData || error.sqlState == "PD004" {
            // The next one cannot be read, which is said in its place.
        }
        // The start of a workflow task that runs is not written yet.
        return try await events(of: run, from: first, limit: 1)
    }

    func events(of run: Run, ids: [Int], _ detail: Detail = .whole) async throws -> [HistoryEvent] {
        guard !ids.isEmpty else { return [] }
        return try await events(of: run, detail) { query in "and event_id = any($\(query.bind(ids)))" }
    }

    private func events(
        of run: Run, _ detail: Detail, _ rest: (inout PostgresQuery) -> String
    ) async throws -> [HistoryEvent] {
        do {
            return try await eventRows(
                of: run,
                """
                jsonb_build_object('event_id', event_id, 'event_time', event_time, 'event_type', event_type,
                    'attributes', \(detail.rawValue))
                """, rest
            ).compactMap(HistoryEvent.init(row:)).sorted { $0.id < $1.id }
        } catch let error as PostgresError where error.isOfData {
            // One that cannot be read does not keep the others from being shown.
            let ids = try await eventRows(of: run, "to_jsonb(event_id)", rest).compactMap { Int($0.text) }.sorted()
            guard ids.count > 1 else { return ids.map { Self.unreadable($0, run, error) } }
            var events: [HistoryEvent] = []
            for id in ids {
                events += try await self.events(of: run, detail) { query in "and event_id = $\(query.bind(id))" }
            }
            return events
        }
    }

    private static func unreadable(_ id: Int, _ run: Run, _ error: PostgresError) -> HistoryEvent {
        HistoryEvent(
            eventId: Int64(id), eventTime: run.start, eventType: EventType(rawValue: "Unreadable"),
            attributes: ["problem": .string("the database cannot show this event: \(error.message)")])
    }

    private func eventRows(
        of run: Run, _ document: String, _ rest: (inout PostgresQuery) -> String
    ) async throws -> [JSON] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = "select \(document) from perdure.history_events where \(conditions) \(rest(&query))"
        return try await documents(query, decodedFor: run.namespace)
    }

    /// All events of the step that an event belongs to; none if there is no such event.
    func step(of run: Run, holding: Int) async throws -> [HistoryEvent] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let event = query.bind(holding)
        query.sql = """
            with events as materialized (
                select event_id, \(Self.leader) as leader from perdure.history_events where \(conditions))
            select to_jsonb(event_id) from events where leader = (select leader from events where event_id = $\(event))
            """
        do {
            return try await events(of: run, ids: try await documents(query).compactMap { Int($0.text) })
        } catch let error as PostgresError where error.isOfData {
            // What belongs to it cannot be found in a history that cannot be read.
            return (1...max(run.historyLength, 1)).contains(holding) ? [Self.unreadable(holding, run, error)] : []
        }
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
        /// How many workflow tasks succeeded.
        let tasks: Int
    }

    /// - Parameters:
    ///   - isGrouped: whether what belongs together is one element of the page.
    ///   - foldsTasks: whether workflow tasks that succeeded are left out.
    ///   - event: the page that holds it is taken, whatever `page` says.
    func eventPage(
        of run: Run, _ filter: EventFilter, isGrouped: Bool, foldsTasks: Bool, isDescending: Bool, page: Int, size: Int,
        event: Int?
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
                select event_id, event_type, \(EventKind.ofEventType) as kind,
                    \(isGrouped ? Self.leader : "event_id") as leader,
                    $\(text)::text is null or event_id::text = $\(text)
                        or position(lower($\(text)) in lower(event_type || ' ' || attributes::text)) > 0 as fits
                from perdure.history_events where \(conditions)),
            groups as (
                select leader, array_agg(event_id order by event_id) as ids from events
                group by leader
                having bool_or(fits) and ($\(kind)::text is null or bool_or(kind = $\(kind) and event_id = leader))
                    \(foldsTasks ? "and not bool_or(event_type = 'WorkflowTaskCompleted')" : "")),
            placed as (
                select ids, row_number() over (order by leader \(isDescending ? "desc" : "asc")) as place from groups),
            page as (
                select coalesce((select (place - 1) / $\(size) from placed where $\(event) = any(ids) limit 1),
                    greatest(least($\(page) - 1, (count(*) - 1) / $\(size)), 0)) as number, count(*) as total
                from placed)
            select jsonb_build_object('page', page.number + 1, 'total', page.total,
                'tasks', (select count(*) from events where event_type = 'WorkflowTaskCompleted'),
                'kinds', (select jsonb_agg(distinct kind) from events),
                'groups', (select jsonb_agg(to_jsonb(ids) order by place) from placed
                    where place > page.number * $\(size) and place <= (page.number + 1) * $\(size)))
            from page
            """
        let found = try await documents(query).first ?? [:]
        let kinds = Set(
            (found["kinds"]?.elements ?? []).compactMap { $0.stringValue.flatMap(EventKind.init(rawValue:)) })
        return EventPage(
            groups: (found["groups"]?.elements ?? []).map { $0.elements.compactMap { Int($0.text) } },
            count: found.integer("total") ?? 0, page: found.integer("page") ?? 1,
            kinds: EventKind.allCases.filter(kinds.contains), tasks: found.integer("tasks") ?? 0)
    }

    /// What the timeline's script draws, as JSON: times are milliseconds since the start of the run.
    ///
    /// Passed on as the database wrote it: a history of ten thousand events is a megabyte of it.
    func timeline(of run: Run) async throws -> String {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let start = "$\(query.bind(run.start.description))::text::timestamptz"
        let close = "$\(query.bind(run.close?.description))::text::timestamptz"
        let namespace = query.bind(run.namespace)
        let queue = query.bind(run.taskQueue)
        func offset(_ column: String) -> String {
            "round(extract(epoch from \(column) - \(start)) * 1000, 3)"
        }
        query.sql = """
            select json_build_object('now', \(offset("clock_timestamp()")), 'close', \(offset(close)),
            'events', (select json_agg(json_build_array(event_id, \(offset("event_time")), event_type,
                    jsonb_strip_nulls(jsonb_build_object('leader', nullif(\(Self.leader), event_id),
                        'name', coalesce(attributes #>> '{activityType,name}',
                            attributes ->> 'timerId', attributes ->> 'signalName',
                            attributes ->> 'markerName', attributes #>> '{acceptedRequest,input,name}',
                            attributes #>> '{meta,updateId}',
                            attributes #>> '{workflowType,name}'),
                        'attempt', attributes -> 'attempt', 'worker', attributes ->> 'identity',
                        'policy', attributes -> 'retryPolicy',
                        'fires', attributes ->> 'startToFireTimeout', 'cause', attributes ->> 'cause',
                        'reason', attributes ->> 'reason',
                        'failure', left(coalesce(attributes #>> '{failure,cause,cause,message}',
                            attributes #>> '{failure,cause,message}',
                            attributes #>> '{failure,message}', attributes #>> '{outcome,failure,message}',
                            attributes #>> '{lastFailure,cause,message}',
                            attributes #>> '{lastFailure,message}'), 1000)))) order by event_id)
                from perdure.history_events where \(conditions)),
            'attempts', (select json_agg(json_build_object('leader', scheduled_event_id, 'attempt', attempt,
                    'scheduled', \(offset("scheduled_time")), 'started', \(offset("started_time")),
                    'ended', \(offset("ended_time")),
                    'worker', worker_identity, 'lost', worker_lost, 'failure', failure_message,
                    'timedOut', failure ? 'timeoutFailureInfo') order by scheduled_event_id, attempt)
                from perdure.failed_attempts where \(conditions)),
            'pending', (select json_agg(json_build_object('leader', scheduled_event_id, 'attempt', attempt,
                    'maximum', maximum_attempts,
                    'state', state, 'started', \(offset("last_started_time")), 'next', \(offset("next_attempt_time")),
                    'failure', last_failure_message, 'worker', worker_identity))
                from perdure.pending_activities where \(conditions)),
            'task', (select json_build_object('attempt', attempt, 'state', state,
                    'scheduled', \(offset("scheduled_time")),
                    'started', \(offset("started_time")), 'next', \(offset("next_attempt_time")),
                    'failure', coalesce(last_failure #>> '{failure,cause,message}',
                        last_failure #>> '{failure,message}'))
                from perdure.pending_workflow_tasks where \(conditions) limit 1),
            'gaps', (select json_agg(json_build_object('from', \(offset("lower(gap)")), 'to',
                    case when not upper_inf(gap) then \(offset("upper(gap)")) end) order by gap)
                from (select unnest(tstzmultirange(tstzrange(\(start), \(close))) - coalesce(range_agg(tstzrange(
                        registered_at,
                        case when state <> 'Alive' then greatest(last_seen_at, registered_at) end)), '{}')) as gap
                    from perdure.worker_lives
                    where namespace = $\(namespace) and $\(queue) = any(task_queues)
                        and (\(close) is null or registered_at <= \(close))
                        and (ended_at is null or ended_at >= \(start))) gaps
                where upper_inf(gap) or upper(gap) - lower(gap) >= interval '0.1 s'))
            """
        let rows: PostgresRows
        do { rows = try await pool.query(query) } catch let error as PostgresError where error.isOfData {
            // The table of events tells which of them cannot be read.
            return "{}"
        }
        guard let row = rows.first else { return "{}" }
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
        return try await documents(query, decodedFor: run.namespace).compactMap(FailedAttempt.init)
    }

    /// The attempts of all activities that have not come to their end, oldest first: the last thousand.
    func failedAttemptsOfPending(_ run: Run) async throws -> [FailedAttempt] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        query.sql = """
            select to_jsonb(a) from (
                select f.* from perdure.failed_attempts f where \(conditions) and f.scheduled_event_id in (
                    select p.scheduled_event_id from perdure.pending_activities p where \(conditions) and p.attempt > 1)
                order by f.started_time desc limit 1000) a
            order by a.scheduled_event_id, a.attempt
            """
        do {
            return try await documents(query, decodedFor: run.namespace).compactMap(FailedAttempt.init)
        } catch let error as PostgresError where error.isOfData {
            // They are told of without what they failed of.
            return []
        }
    }

    /// The code that the run used: its workflow's first, then the files around it, then its activities', each in the
    /// builds that ran it, the latest first.
    func code(of run: Run) async throws -> [RunCode] {
        var query = PostgresQuery("")
        let conditions = Self.conditions(on: run, in: &query)
        let namespace = "$\(query.bind(run.namespace))"
        let type = "$\(query.bind(run.type))"
        query.sql = """
            with events as materialized (
                select event_id, event_type, event_time, attributes ->> 'identity' as identity,
                    (attributes ->> 'scheduledEventId')::bigint as scheduled,
                    attributes #>> '{activityType,name}' as activity
                from perdure.history_events where \(conditions)
                    and event_type in ('WorkflowTaskStarted', 'ActivityTaskScheduled', 'ActivityTaskStarted')),
            activities as (select event_id, activity from events where event_type = 'ActivityTaskScheduled'),
            used (kind, type, worker, at) as (
                select 'workflow', \(type), identity, event_time from events where event_type = 'WorkflowTaskStarted'
                union all
                select 'activity', a.activity, e.identity, e.event_time from events e
                    join activities a on a.event_id = e.scheduled
                    where e.event_type = 'ActivityTaskStarted'
                union all
                select 'activity', a.activity, f.worker_identity, f.started_time from activities a join (
                    select scheduled_event_id, worker_identity, started_time from perdure.failed_attempts
                        where \(conditions)) f
                    on f.scheduled_event_id = a.event_id
                union all
                select 'activity', activity_type, worker_identity, last_started_time from perdure.pending_activities
                    where \(conditions) and last_started_time is not null
                union all
                select 'workflow', workflow_type, worker_identity, started_time from perdure.pending_workflow_tasks
                    where \(conditions) and started_time is not null),
            -- What has not been run yet, too.
            types (kind, type) as (
                select kind, type from used union select 'activity', activity from activities
                    union select 'workflow', \(type)),
            run_types (kind, type, build_id, last, workers) as (
                select t.kind, t.type, l.build_id, max(u.at), array_agg(distinct u.worker) filter (where u.worker <> '')
                from types t
                left join (select kind, type, worker, max(at) as at from used group by kind, type, worker) u
                    on u.kind = t.kind and u.type = t.type
                left join lateral (
                    select w.build_id from perdure.worker_lives w
                    where w.namespace = \(namespace) and w.identity = u.worker and w.registered_at <= u.at
                    order by w.registered_at desc limit 1) l on true
                group by t.kind, t.type, l.build_id),
            built (kind, type, build_id, last, workers) as (
                table run_types
                union all
                select 'file', s.type_name, s.build_id, max(r.last), array[]::text[]
                from run_types r
                join perdure.source_code s on s.namespace = \(namespace) and s.kind = 'file' and s.build_id = r.build_id
                group by s.type_name, s.build_id)
            select jsonb_build_object('kind', b.kind, 'type', b.type, 'build', b.build_id, 'last', b.last,
                'workers', coalesce(to_jsonb(b.workers), '[]'),
                'source', (
                    select jsonb_build_object('content_hash', s.content_hash, 'file', s.file,
                        'first_line', s.first_line, 'line', s.line, 'build_id', s.build_id)
                    from perdure.source_code s
                    where s.namespace = \(namespace) and s.kind = b.kind and s.type_name = b.type
                        and (b.build_id is null or s.build_id = b.build_id)
                    -- One build may have had several texts: the one whose worker came last before it was used.
                    order by case when b.last is null or s.last_registered_at <= b.last then s.last_registered_at
                        when s.first_registered_at <= b.last then s.first_registered_at end desc nulls last limit 1))
            from built b order by b.kind desc, b.type, b.last desc nulls last
            """
        do {
            return try await documents(query).compactMap(RunCode.init)
        } catch let error as PostgresError where error.isOfData {
            // The history cannot be read, which the run's page says.
            return []
        }
    }

    /// A text of code; nil if it is gone, or if there is no hash.
    func sourceText(_ hash: String?) async throws -> String? {
        guard let hash else { return nil }
        return try await documents(
            "select to_jsonb(content) from perdure.source_code where content_hash = \(hash) limit 1"
        )
        .first?.stringValue
    }

    /// How a closed run ended: its result, or a failure, also for ends that are no event with a failure.
    func end(of run: Run) async throws -> (result: [Payload]?, failure: Failure?) {
        let rows: [JSON]
        do {
            rows = try await documents(
                """
                select to_jsonb(r) from perdure.workflow_result(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                    \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid) r
                """, decodedFor: run.namespace)
        } catch let error as PostgresError where error.isOfData {
            return (nil, .application("The database cannot show how it ended: \(error.message)"))
        }
        return (
            rows.first?.member("result").map { [Payload](shown: $0) },
            rows.first?.member("failure").map { Failure(shown: $0) }
        )
    }

    func pendingActivities(of run: Run) async throws -> [PendingActivity] {
        try await rows(of: "pending_activities", run).compactMap(PendingActivity.init)
    }

    /// Runs that this one has started as its children, open and closed: the first hundred and one.
    func children(of run: Run) async throws -> [Run] {
        try await documents(
            """
            select to_jsonb(w) - '{input,result,failure,memo,workflow_task_failure}'::text[] from perdure.workflows w
            where w.parent_workflow_id = \(run.workflowID) and w.parent_run_id = \(run.runID)::text::uuid
            order by w.start_time, w.run_id limit 101
            """
        ).compactMap(Run.init)
    }

    func pendingTimers(of run: Run) async throws -> [JSON] { try await rows(of: "pending_timers", run) }

    private func rows(of view: String, _ run: Run) async throws -> [JSON] {
        func read(_ document: String) async throws -> [JSON] {
            var query = PostgresQuery("")
            let conditions = Self.conditions(on: run, in: &query)
            query.sql = "select \(document) from perdure.\(view) v where \(conditions) limit 1000"
            return try await documents(query, decodedFor: run.namespace)
        }
        do {
            return try await read("to_jsonb(v) - 'input'")
        } catch let error as PostgresError where error.isOfData {
            return try await read("to_jsonb(v) - '{input,heartbeat_details,last_failure,last_failure_message}'::text[]")
        }
    }

    private static func conditions(on run: Run, in query: inout PostgresQuery) -> String {
        conditions(run.namespace, run.workflowID, run.runID, in: &query)
    }

    private static func conditions(
        _ namespace: String, _ workflowID: String, _ runID: String, in query: inout PostgresQuery
    ) -> String {
        // The shard follows from the rest; saying it lets the indexes, which all begin with it, be used.
        let namespace = "$\(query.bind(namespace))"
        let workflowID = "$\(query.bind(workflowID))"
        return """
            shard = perdure.shard_for(\(namespace), \(workflowID)) and namespace = \(namespace)
            and workflow_id = \(workflowID) and run_id = $\(query.bind(runID))::text::uuid
            """
    }

    // MARK: Changes

    /// A text that is another one once the run's pages would show something else.
    func mark(_ namespace: String, _ workflowID: String, _ runID: String) async throws -> String {
        var query = PostgresQuery("")
        let conditions = Self.conditions(namespace, workflowID, runID, in: &query)
        query.sql = """
            select jsonb_build_object('mark', md5(concat(
                (select (w.status, w.history_length, w.workflow_task_attempt, w.workflow_task_failure,
                    w.search_attributes)::text
                    from perdure.workflows w where \(conditions)),
                (select string_agg((a.activity_id, a.state, a.attempt, a.last_heartbeat_time, a.cancel_requested,
                    a.pause_time)::text, ','
                    order by a.activity_id) from perdure.pending_activities a where \(conditions)),
                -- A worker that comes or goes writes nothing to the run.
                (select (v.condition, v.cause, v.event_id)::text from perdure.workflows w
                    cross join lateral perdure.run_verdict(w.shard, w.run_id, true) v where \(conditions)))))
            """
        return try await documents(query).first?.text("mark") ?? ""
    }

    /// What the page of the task queues shows.
    struct Queues: Sendable {
        let backlog: [JSON]
        let throughput: [JSON]
        let workers: [JSON]

        var mark: String {
            // Ages grow: they alone are no change.
            let backlog = backlog.map { row in
                ["task_queue", "kind", "waiting", "running", "backing_off"].map { row.text($0) ?? "" }
            }
            let workers = workers.map { row in ["worker_id", "alive", "slots_in_use"].map { row[$0]?.text ?? "" } }
            return "\([backlog, [throughput.map(\.text)], workers])".mark
        }
    }

    func queues(_ namespace: String) async throws -> Queues {
        async let backlog = backlog(namespace)
        async let throughput = throughput(namespace)
        let workers = try await workers(namespace)
        return Queues(backlog: try await backlog, throughput: try await throughput, workers: workers)
    }

    // MARK: Workers and queues

    func backlog(_ namespace: String) async throws -> [JSON] {
        try await documents(
            """
            select to_jsonb(q) || jsonb_build_object('oldest_seconds', extract(epoch from q.oldest))
            from perdure.task_queue_backlog q where namespace = \(namespace) order by task_queue, kind limit 500
            """)
    }

    /// How many tasks of each queue and kind ended in each ten seconds of the last minutes, oldest first. The last ten
    /// seconds are not over.
    func throughput(_ namespace: String) async throws -> [JSON] {
        try await documents(
            """
            with frame as (select date_bin('10 s', statement_timestamp(), timestamptz '2000-01-01 00:00:00Z') as now),
            queues as (select distinct task_queue, kind from perdure.task_queue_throughput
                where namespace = \(namespace))
            select jsonb_build_object('task_queue', q.task_queue, 'kind', q.kind,
                'buckets', jsonb_agg(coalesce(t.finished, 0) order by at))
            from queues q cross join frame
            cross join lateral generate_series(frame.now - interval '5 minutes', frame.now, interval '10 s') at
            left join perdure.task_queue_throughput t on t.namespace = \(namespace) and t.task_queue = q.task_queue
                and t.kind = q.kind and t.started_at = at
            group by q.task_queue, q.kind order by q.task_queue, q.kind
            """)
    }

    /// What `perdure doctor` says.
    func healthChecks() async throws -> [JSON] {
        try await documents("select to_jsonb(c) from perdure.health_checks() c")
    }

    /// Sizes and dead rows from the database's statistics, which cost the same whatever is in the tables.
    func health() async throws -> JSON {
        let rows = try await documents(
            """
            select jsonb_build_object('size', pg_size_pretty(pg_database_size(current_database())),
                'tables', (select jsonb_agg(jsonb_build_object('name', s.relname,
                        'size', pg_size_pretty(pg_total_relation_size(s.relid)),
                        'live', s.n_live_tup, 'dead', s.n_dead_tup,
                        'vacuumed', greatest(s.last_vacuum, s.last_autovacuum))
                        order by pg_total_relation_size(s.relid) desc)
                    from pg_stat_user_tables s where s.schemaname = 'perdure'))
            """)
        return rows.first ?? [:]
    }

    func workers(_ namespace: String) async throws -> [JSON] {
        try await documents(
            "select to_jsonb(w) from perdure.live_workers w where namespace = \(namespace) order by identity limit 500")
    }

    // MARK: What a person can do to a run

    /// The id of the run.
    func start(_ start: Start, in namespace: String) async throws -> String {
        var options: JSON.Members = [
            "searchAttributes": start.searchAttributes, "workflowIdConflictPolicy": "Fail",
        ]
        if let person = Visitor.current.name { options["identity"] = .string(person) }
        let rows = try await documents(
            """
            select to_jsonb(s.run_id) from perdure.start_workflow(workflow_type => \(start.type),
                workflow_id => \(start.workflowID), task_queue => \(start.taskQueue),
                input => \(start.input)::text::jsonb, namespace => \(namespace),
                options => \(JSON.object(options).text)::text::jsonb) s
            """)
        return rows.first?.stringValue ?? ""
    }

    /// - Parameter requestID: a signal that comes with the same one again is not written again.
    func signal(_ run: Run, name: String, input: String?, requestID: String? = nil) async throws {
        _ = try await pool.query(
            """
            select perdure.signal_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, \(name), perdure.payloads(\(input)::text::jsonb),
                coalesce(\(Visitor.current.name)::text, session_user::text), \(requestID)::text)
            """)
    }

    /// - Returns: The id of the update.
    func update(_ run: Run, name: String, input: String?) async throws -> String {
        try await pool.query(
            """
            select u.update_id from perdure.update_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, null, \(name),
                perdure.payloads(\(input)::text::jsonb),
                coalesce(\(Visitor.current.name)::text, session_user::text)) u
            """)[0].decode(at: 0)
    }

    /// Where an update stands: its `state`, and the `failure` if it has one.
    func updateOutcome(_ run: Run, _ id: String) async throws -> JSON {
        let rows = try await documents(
            """
            select to_jsonb(o) from perdure.update_outcome(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, \(id)) o
            """, decodedFor: run.namespace)
        return rows.first ?? [:]
    }

    func cancel(_ run: Run, reason: String?) async throws {
        _ = try await pool.query(
            """
            select perdure.request_cancel_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, \(reason)::text,
                coalesce(\(Visitor.current.name)::text, session_user::text))
            """)
    }

    func terminate(_ run: Run, reason: String?) async throws {
        _ = try await pool.query(
            """
            select perdure.terminate_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, \(reason)::text, null,
                coalesce(\(Visitor.current.name)::text, session_user::text))
            """)
        // Its relatives learn of it at once; should that fail, upkeep tells them.
        _ = try? await pool.query(
            """
            call perdure.drain_transfers(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                array[\(run.runID)::text::uuid])
            """)
    }

    /// What a reset to an event would do, as `perdure.reset_preview` says it.
    func resetPreview(of run: Run, _ event: Int64) async throws -> JSON {
        try await documents(
            """
            select perdure.reset_preview(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                \(run.runID)::text::uuid, \(event))
            """
        ).first ?? [:]
    }

    /// - Returns: The new run.
    func reset(
        _ run: Run, to event: Int64, reason: String?, leavesOut: [String], newKeys: Bool
    ) async throws -> String {
        let options: JSON = [
            "resetReapplyExcludeTypes": .array(leavesOut.map { .string($0) }), "newIdempotencyKeys": .bool(newKeys),
        ]
        let rows = try await pool.query(
            """
            select perdure.reset_workflow(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, jsonb_build_object('eventId', \(event)::bigint),
                \(reason)::text, null, coalesce(\(Visitor.current.name)::text, session_user::text),
                \(options.text)::text::jsonb)::text
            """)
        return try rows[0].decode(at: 0)
    }

    /// - Returns: How many tasks of the run need not wait any longer.
    func retryNow(_ run: Run) async throws -> Int {
        try await pool.query(
            """
            select perdure.retry_now(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid)::bigint
            """)[0].decode(at: 0)
    }

    func change(_ activity: String, of run: Run, _ change: ActivityActionPage.Action, reason: String?) async throws {
        switch change {
        case .pause:
            _ = try await pool.query(
                """
                select perdure.pause_activities(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                    \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, \(activity), null,
                    coalesce(\(Visitor.current.name)::text, session_user::text), \(reason)::text)
                """)
        case .unpause:
            _ = try await pool.query(
                """
                select perdure.unpause_activities(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                    \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, \(activity))
                """)
        case .reset:
            _ = try await pool.query(
                """
                select perdure.reset_activities(perdure.shard_for(\(run.namespace), \(run.workflowID)),
                    \(run.namespace), \(run.workflowID), \(run.runID)::text::uuid, \(activity))
                """)
        }
    }

    /// The id under which the answer will be found.
    func startQuery(_ run: Run, type: String, input: [JSON], timeout: Duration) async throws -> UUID {
        let rows = try await pool.query(
            """
            select perdure.start_query(perdure.shard_for(\(run.namespace), \(run.workflowID)), \(run.namespace),
                \(run.workflowID), \(run.runID)::text::uuid, \(type), \(JSON.array(input).text)::text::jsonb,
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
            """, decodedFor: run.namespace)
        return switch rows.first?.text("state") {
        case "answered": .success([Payload](shown: rows[0]["result"]))
        case "failed", nil: .failure(QueryFailure(failure: Failure(shown: rows.first?.member("failure") ?? [:])))
        default: nil
        }
    }
}

struct QueryFailure: Error {
    let failure: Failure
}
