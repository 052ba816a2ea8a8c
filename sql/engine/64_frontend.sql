-- Functions that the frontend calls for many workers of other SDKs at once, so that a thousand parked polls cost what
-- one does.

create or replace function perdure.claimable_tasks(
    p_shard smallint, p_namespace text, p_task_queue text, p_kind text, p_workers uuid[], p_limit int)
returns table (sticky_worker uuid, tasks int, queries int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    if p_kind = 'activity' then
        return query select null::uuid, count(*)::int, 0 from (
            select from generate_series(1, 5) p (priority) cross join lateral (
                select from perdure.activity_tasks t
                where t.shard = p_shard and t.namespace = p_namespace and t.task_queue = p_task_queue
                  and t.state = 'scheduled' and t.priority = p.priority::smallint limit p_limit) t limit p_limit) found;
        return;
    end if;
    return query select null::uuid, (
        select count(*)::int from (
            select from generate_series(1, 5) p (priority) cross join lateral (
                select from perdure.workflow_tasks t
                where t.shard = p_shard and t.namespace = p_namespace and t.task_queue = p_task_queue
                  and t.state = 'scheduled' and t.sticky_worker is null and t.priority = p.priority::smallint
                limit p_limit) t limit p_limit) found), (
        select count(*)::int from (
            select from perdure.queries q where q.shard = p_shard and q.namespace = p_namespace
              and q.task_queue = p_task_queue and q.state = 'pending' limit p_limit) asked);
    return query select w.worker_id, found.tasks, 0 from unnest(p_workers) w (worker_id)
    cross join lateral (
        select count(*)::int as tasks from (
            select from generate_series(1, 5) p (priority) cross join lateral (
                select from perdure.workflow_tasks t
                where t.shard = p_shard and t.sticky_worker = w.worker_id and t.task_queue = p_task_queue
                  and t.state = 'scheduled' and t.priority = p.priority::smallint limit p_limit) t limit p_limit) t)
                      found
    where found.tasks > 0;
end
$$;
comment on function perdure.claimable_tasks(smallint, text, text, text, uuid[], int) is
    'How many tasks of a queue could be claimed, p_limit at the most: by any worker (sticky_worker is null, with the '
    'queries that wait), and workflow tasks that are kept for one of these workers. p_kind is workflow or activity.';

create or replace function perdure.renew_leases(p_worker_ids uuid[], p_lease interval) returns setof uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_until timestamptz := perdure.clock() + p_lease;
begin
    return query
    with known as materialized (
        select w.worker_id from perdure.workers w where w.worker_id = any (p_worker_ids)
            order by w.worker_id for no key update),
    renewed as (
        update perdure.workers w set lease_until = v_until from known k where w.worker_id = k.worker_id)
    select asked.worker_id from unnest(p_worker_ids) asked (worker_id)
    where asked.worker_id not in (select k.worker_id from known k);
end
$$;
comment on function perdure.renew_leases(uuid[], interval) is
    'Extends the leases of many workers in one call, and returns those that are gone: they must register again.';

create or replace function perdure.pending_workflow_task_events(p_shard smallint, p_run_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_build_array(jsonb_build_object(
            'firstEventId', r.next_event_id, 'eventTime', perdure.rfc3339(t.started_at),
            'events', case when perdure.is_unwritten(t)
                then jsonb_build_array(perdure.workflow_task_scheduled(r, t.attempt))
                else '[]' end || jsonb_build_object('eventType', 'WorkflowTaskStarted', 'attributes',
                    jsonb_build_object(
                    'scheduledEventId', perdure.told_scheduled_event_id(t, r.next_event_id),
                    'identity', w.identity, 'requestId', t.worker) || perdure.worker_version(w.build_id))))
        from perdure.run_states r
        join perdure.workflow_tasks t on t.shard = r.shard and t.run_id = r.run_id
        left join perdure.workers w on w.worker_id = t.worker
        where r.shard = p_shard and r.run_id = p_run_id and t.shard = p_shard and t.state = 'started');
end
$$;
comment on function perdure.pending_workflow_task_events(smallint, uuid) is
    'The events of a workflow task that is started, which are written when it ends, as a batch like those of '
    'get_history; null when none is started. Workers of other SDKs read them as a part of the history.';

create or replace function perdure.find_activity_task(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text)
returns table (run_id uuid, scheduled_event_id bigint, attempt int, worker uuid, state text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    return query select a.run_id, a.scheduled_event_id, a.attempt, a.worker, a.state from perdure.activity_tasks a
    where a.shard = p_shard and a.run_id = v_run.run_id and a.activity_id = p_activity_id;
end
$$;
comment on function perdure.find_activity_task(smallint, text, text, uuid, text) is
    'An activity that has not ended, by its id, for a client that completes it from outside. Raises PD001 if there is '
    'no such run.';

create or replace function perdure.schedule_another_workflow_task(p_shard smallint, p_run_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id for update;
    -- Events that were buffered may have queued one already.
    if v_run.run_id is not null and not exists (select from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = p_run_id) then
        perform perdure.record_events(p_shard, v_run, v_now, '{}');
    end if;
end
$$;
comment on function perdure.schedule_another_workflow_task(smallint, uuid) is
    'Queues a workflow task for an open run that has none, for a worker that completed one and asks for the next at '
    'once.';

create or replace function perdure.remove_search_attribute(name text, namespace text default 'default') returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from perdure.search_attributes a where a.namespace = $2 and a.name = $1;
    if not found then
        raise exception 'there is no search attribute %', quote_ident(left($1, 100)) using errcode = 'PD008',
            hint = 'select * from perdure.search_attributes shows those that there are.';
    end if;
end
$$;
comment on function perdure.remove_search_attribute(text, text) is
    'Takes a search attribute away from a namespace. Runs keep the values that they have, but no filter finds them.';
