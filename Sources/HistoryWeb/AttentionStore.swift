import PerdureModel
import Postgres

/// What the first page reads: what is stuck, and how the task queues were.
extension HistoryStore {
    /// What is stuck in a namespace, a row for each cause.
    func troubles(_ namespace: String) async throws -> [Trouble] {
        try await documents("select to_jsonb(a) from perdure.attention(\(namespace)) a")
            .compactMap { Trouble($0, in: namespace) }
    }

    /// Throughput, failures and ages of a namespace's queues over some time, from what upkeep writes once a minute.
    func queueHours(_ namespace: String, _ span: QueueHours.Span) async throws -> QueueHours {
        let rows = try await documents(
            """
            with frame as (
                select \(span.bucket) as bucket,
                    date_bin(\(span.bucket), statement_timestamp(), timestamptz '2000-01-01 00:00:00Z') as last),
            slots as (
                select at from frame cross join lateral
                    generate_series(frame.last - \(span.count - 1)::bigint * frame.bucket,
                        frame.last, frame.bucket) at),
            -- A minute's queues together, then the minutes of a slot.
            minutes as (
                select m.task_queue, m.kind, grouping(m.task_queue) = 1 as is_all, m.minute,
                    sum(m.finished) as finished,
                    sum(m.failing) as failing, sum(m.waiting) as waiting, max(m.oldest_seconds) as oldest
                from perdure.task_queue_minutes m cross join frame
                where m.namespace = \(namespace) and m.minute >= frame.last - \(span.count - 1)::bigint * frame.bucket
                group by grouping sets ((m.minute), (m.minute, m.task_queue, m.kind))),
            binned as (
                select m.task_queue, m.kind, m.is_all,
                    date_bin(frame.bucket, m.minute, timestamptz '2000-01-01 00:00:00Z') as at,
                    sum(m.finished) as finished, max(m.failing) as failing, max(m.oldest) as oldest
                from minutes m cross join frame group by 1, 2, 3, 4),
            queues as (
                select task_queue, kind, is_all, (array_agg(waiting order by minute desc))[1] as waiting
                from minutes group by 1, 2, 3)
            select jsonb_build_object('task_queue', q.task_queue, 'kind', q.kind, 'waiting', q.waiting,
                'slots', (select jsonb_agg(jsonb_build_array(s.at, coalesce(b.finished, 0), coalesce(b.failing, 0),
                        round(coalesce(b.oldest, 0)::numeric, 1)) order by s.at)
                    from slots s left join binned b on b.at = s.at and b.is_all = q.is_all
                        and b.task_queue is not distinct from q.task_queue and b.kind is not distinct from q.kind))
            from queues q order by q.is_all desc, q.task_queue, q.kind limit 201
            """)
        return QueueHours(rows, span)
    }
}
