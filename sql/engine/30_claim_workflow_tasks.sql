-- Hands out workflow tasks: first those that wait for this worker, which has the run cached, then any. Three quarters are for the first if there
-- are many of both: runs are brought to their end before new ones begin, and yet new ones do begin.

create or replace function perdure.claim_workflow_tasks_as_stored(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int, p_since timestamptz default null)
returns table (run_id uuid, workflow_id text, workflow_type text, attempt int, scheduled_event_id bigint, started_event_id bigint,
    started_at timestamptz, previous_started_event_id bigint, history_from bigint, history jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_since timestamptz := coalesce(p_since, '-infinity');
    v_namespace text;
    -- Of one or two or three a quarter at times, which the clock decides.
    v_share int := p_limit - (p_limit + (extract(microseconds from v_now)::bigint % 4)::int) / 4;
    v_rows tid[];
    v_sticky uuid[];
    v_claimed uuid[];
    v_attempts int[];
    v_scheduled bigint[];
    v_row tid;
    v_run_id uuid;
    v_next_event_id bigint;
    v_sticky_event_id bigint;
    v_run perdure.run_states;
begin
    select w.namespace into v_namespace from perdure.workers w where w.worker_id = p_worker_id;
    if not found then
        -- Says what is wrong.
        perform perdure.require_worker(p_worker_id);
    end if;
    -- Found and locked by an index, changed in their places, then read by key: no plan that a quiet minute made can go through the queue
    -- (docs/decisions/0004-plans-without-statistics.md). Each priority is a range of its own, which begins where the time does that is looked
    -- at (docs/decisions/0006-passes-look-back-a-little.md).
    select coalesce(array_agg(c.ctid), '{}'), coalesce(array_agg(c.run_id) filter (where c.is_sticky), '{}') into v_rows, v_sticky from (
        select * from (
            select t.ctid, t.run_id, true as is_sticky from generate_series(1, 5) p (priority)
            cross join lateral (
                select t.ctid, t.run_id from perdure.workflow_tasks t
                where t.shard = p_shard and t.sticky_worker = p_worker_id and t.task_queue = p_task_queue and t.state = 'scheduled'
                  and t.priority = p.priority::smallint and t.scheduled_at > v_since
                order by t.scheduled_at for update skip locked) t
            limit v_share) sticky
        union all
        select t.ctid, t.run_id, false from generate_series(1, 5) p (priority)
        cross join lateral (
            select t.ctid, t.run_id from perdure.workflow_tasks t
            where t.shard = p_shard and t.namespace = v_namespace and t.task_queue = p_task_queue
              and t.state = 'scheduled' and t.sticky_worker is null
              and t.priority = p.priority::smallint and t.scheduled_at > v_since
            order by t.scheduled_at for update skip locked) t
        limit p_limit) c;
    if cardinality(v_sticky) = v_share and cardinality(v_rows) < p_limit then
        select v_rows || coalesce(array_agg(c.ctid), '{}'), v_sticky || coalesce(array_agg(c.run_id), '{}') into v_rows, v_sticky from (
            select t.ctid, t.run_id from generate_series(1, 5) p (priority)
            cross join lateral (
                select t.ctid, t.run_id from perdure.workflow_tasks t
                where t.shard = p_shard and t.sticky_worker = p_worker_id and t.task_queue = p_task_queue and t.state = 'scheduled'
                  and t.priority = p.priority::smallint and t.scheduled_at > v_since and t.ctid <> all (v_rows)
                order by t.scheduled_at for update skip locked) t
            limit p_limit - cardinality(v_rows)) c;
    end if;
    if cardinality(v_rows) = 0 then
        return;
    end if;
    if cardinality(v_rows) < perdure.many() then
        -- As below, by small statements for each: docs/decisions/0007-one-run-or-many.md.
        started_at := v_now;
        foreach v_row in array v_rows loop
            update perdure.workflow_tasks t set state = 'started', worker = p_worker_id, started_at = v_now, deadline = v_now + t.start_to_close_timeout
            where t.shard = p_shard and t.ctid = v_row
            returning t.run_id, t.attempt, t.scheduled_event_id into v_run_id, attempt, scheduled_event_id;
            -- A new statement sees whatever was appended before the row was ours.
            select r.workflow_id, r.workflow_type, r.next_event_id, r.last_started_event_id, r.sticky_event_id
            into workflow_id, workflow_type, v_next_event_id, previous_started_event_id, v_sticky_event_id
            from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
            run_id := v_run_id;
            started_event_id := v_next_event_id;
            history_from := case when v_run_id = any (v_sticky) then coalesce(v_sticky_event_id, 1) else 1 end;
            if attempt > 1 then
                select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
                scheduled_event_id := v_next_event_id;
                started_event_id := v_next_event_id + 1;
            end if;
            history := to_jsonb(array(
                select perdure.batch_as_stored(h)
                from perdure.history h where h.shard = p_shard and h.run_id = v_run_id and h.first_event_id >= history_from
                order by h.first_event_id limit 500))
                || jsonb_build_object(
                    'firstEventId', case when attempt = 1 then started_event_id else scheduled_event_id end, 'eventTime', perdure.rfc3339(v_now),
                    'events', case when attempt > 1 then jsonb_build_array(perdure.workflow_task_scheduled(v_run, attempt)) else '[]' end
                        || jsonb '{"eventType": "WorkflowTaskStarted"}');
            return next;
        end loop;
        return;
    end if;
    set local enable_indexscan = off;
    with u as (
        update perdure.workflow_tasks t set state = 'started', worker = p_worker_id, started_at = v_now, deadline = v_now + t.start_to_close_timeout
        where t.shard = p_shard and t.ctid = any (v_rows) returning t.run_id, t.attempt, t.scheduled_event_id)
    select array_agg(u.run_id), array_agg(u.attempt), array_agg(u.scheduled_event_id) into v_claimed, v_attempts, v_scheduled from u;
    set local enable_indexscan = on;

    -- A new statement sees whatever was appended before the rows were ours.
    return query
    select r.run_id, r.workflow_id, r.workflow_type, mine.attempt, ids.scheduled, ids.started, v_now, r.last_started_event_id, seen.from_event_id,
        to_jsonb(array(
            select perdure.batch_as_stored(h)
            from perdure.history h where h.shard = p_shard and h.run_id = mine.run_id and h.first_event_id >= seen.from_event_id
            order by h.first_event_id limit 500))
        || jsonb_build_object(
            'firstEventId', case when mine.attempt = 1 then ids.started else ids.scheduled end, 'eventTime', perdure.rfc3339(v_now),
            'events', case when mine.attempt > 1 then jsonb_build_array(perdure.workflow_task_scheduled(r, mine.attempt)) else '[]' end
                || jsonb '{"eventType": "WorkflowTaskStarted"}')
    from unnest(v_claimed, v_attempts, v_scheduled) as mine (run_id, attempt, scheduled_event_id)
    cross join lateral (select * from perdure.run_states r where r.shard = p_shard and r.run_id = mine.run_id limit 1) r
    cross join lateral (select case when mine.attempt = 1 then mine.scheduled_event_id else r.next_event_id end as scheduled,
        case when mine.attempt = 1 then r.next_event_id else r.next_event_id + 1 end as started) ids
    cross join lateral (select case when mine.run_id = any (v_sticky) then coalesce(r.sticky_event_id, 1) else 1 end as from_event_id) seen;
end
$$;
comment on function perdure.claim_workflow_tasks_as_stored(smallint, uuid, text, int, timestamptz) is
    'Hands out up to p_limit workflow tasks in priority and age order, each with the events that the worker has not seen, as they are stored (perdure.whole_event). With p_since only those scheduled since then: for whoever has left none that is older.';

create or replace function perdure.claim_workflow_tasks(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int, p_since timestamptz default null)
returns table (run_id uuid, workflow_id text, workflow_type text, attempt int, scheduled_event_id bigint, started_event_id bigint,
    started_at timestamptz, previous_started_event_id bigint, history_from bigint, history jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_identity text := (perdure.require_worker(p_worker_id)).identity;
begin
    for run_id, workflow_id, workflow_type, attempt, scheduled_event_id, started_event_id, started_at, previous_started_event_id, history_from, history in
        select * from perdure.claim_workflow_tasks_as_stored(p_shard, p_worker_id, p_task_queue, p_limit, p_since) loop
        history := perdure.get_history(p_shard, run_id, history_from, 500) || jsonb_set(history -> -1, '{events,-1,attributes}', jsonb_build_object(
            'scheduledEventId', scheduled_event_id, 'identity', v_identity, 'requestId', p_worker_id));
        return next;
    end loop;
end
$$;
comment on function perdure.claim_workflow_tasks(smallint, uuid, text, int, timestamptz) is
    'The same with whole events, at twice the cost and more: for people, and for workers that cannot read events as they are stored, such as those of older builds.';
