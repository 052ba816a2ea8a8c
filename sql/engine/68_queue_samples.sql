-- The state of the task queues, sampled once a minute.

create or replace function perdure.sample_queues(p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
declare
    v_minute timestamptz := date_bin('1 minute', p_now, timestamptz '2000-01-01 00:00:00Z');
    v_namespace text;
begin
    for v_namespace in select n.namespace from perdure.namespaces n where n.deleted_at is null
        and not exists (select from perdure.queue_samples s where s.namespace = n.namespace and s.minute = v_minute)
        order by n.namespace limit 1000 loop
        with finished as materialized (
            select f.task_queue, f.kind, sum(f.finished)::bigint as finished from perdure.finished_tasks f
            where f.namespace = v_namespace and f.started_at >= v_minute - interval '1 minute'
                and f.started_at < v_minute
            group by f.task_queue, f.kind),
        failing as materialized (
            select a.task_queue, 'activity' as kind, count(*)::int as failing from (
                select t.task_queue from perdure.activity_tasks t
                where t.namespace = v_namespace and t.failure_cause is not null limit 10000) a
            group by a.task_queue
            union all
            select w.task_queue, 'workflow', count(*)::int from (
                select t.task_queue from perdure.workflow_tasks t
                where t.namespace = v_namespace and t.failure_cause is not null limit 10000) w
            group by w.task_queue),
        queues as (
            select q.task_queue, q.kind from (
                select c.task_queue, c.kind from perdure.claimable_queues(v_namespace) c
                union select f.task_queue, f.kind from finished f
                union select f.task_queue, f.kind from failing f) q
            order by 1, 2 limit 400)
        insert into perdure.queue_samples (namespace, minute, task_queue, kind, waiting, oldest_seconds, failing,
            finished)
        select v_namespace, v_minute, q.task_queue, q.kind, b.waiting,
            coalesce(greatest(extract(epoch from p_now - b.oldest), 0), 0), coalesce(g.failing, 0),
            coalesce(f.finished, 0)
        from queues q
        cross join lateral perdure.queue_backlog(v_namespace, q.task_queue, q.kind, 10000) b
        left join failing g on g.task_queue = q.task_queue and g.kind = q.kind
        left join finished f on f.task_queue = q.task_queue and f.kind = q.kind
        on conflict (namespace, minute, task_queue, kind) do nothing;
        delete from perdure.queue_samples s where s.namespace = v_namespace and s.minute < p_now - interval '1 day';
    end loop;
end
$$;
comment on function perdure.sample_queues(timestamptz) is
    'Writes the state of the queues of each namespace, unless it has been written for this minute, and deletes '
    'samples that are older than a day.';

create or replace function perdure.queue_backlog(p_namespace text, p_task_queue text, p_kind text, p_limit int,
    out waiting int, out oldest timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
begin
    -- Reads the index of claimable tasks: each priority by itself, in the order of age.
    select sum(c.waiting)::int, min(c.oldest) into waiting, oldest
    from generate_series(0, perdure.shard_count() - 1) s (shard)
    cross join generate_series(1, 5) p (priority)
    cross join lateral (
        select count(*) as waiting, min(w.since) as oldest from (
            (select t.scheduled_at as since from perdure.workflow_tasks t
            where t.shard = s.shard::smallint and t.namespace = p_namespace and t.task_queue = p_task_queue
                and t.state = 'scheduled' and t.sticky_worker is null and t.priority = p.priority::smallint
                and p_kind = 'workflow'
            order by t.scheduled_at limit p_limit)
            union all
            (select t.attempt_scheduled_at from perdure.activity_tasks t
            where t.shard = s.shard::smallint and t.namespace = p_namespace and t.task_queue = p_task_queue
                and t.state = 'scheduled' and t.priority = p.priority::smallint and p_kind = 'activity'
            order by t.attempt_scheduled_at limit p_limit)) w) c;
    waiting := least(coalesce(waiting, 0), p_limit);
end
$$;
comment on function perdure.queue_backlog(text, text, text, int) is
    'How many tasks of a kind can be claimed from a queue, counted to a limit, and since when the oldest waits.';
