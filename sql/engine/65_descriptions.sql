-- What Temporal's clients want to know of a task queue and of a run.

create or replace function perdure.task_queue_statistics(
    p_shard smallint, p_namespace text, p_task_queue text, p_kind text, p_limit int default 10000,
    out waiting int, out oldest_at timestamptz, out lately int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_since timestamptz := perdure.clock() - interval '30 s';
begin
    if p_kind = 'activity' then
        select count(*)::int, min(found.since), (count(*) filter (where found.since > v_since))::int
        into waiting, oldest_at, lately
        from (
            select t.since from generate_series(1, 5) p (priority) cross join lateral (
                select t.attempt_scheduled_at as since from perdure.activity_tasks t
                where t.shard = p_shard and t.namespace = p_namespace and t.task_queue = p_task_queue
                  and t.state = 'scheduled' and t.priority = p.priority::smallint
                order by t.attempt_scheduled_at limit p_limit) t limit p_limit) found;
    else
        select count(*)::int, min(found.since), (count(*) filter (where found.since > v_since))::int
        into waiting, oldest_at, lately
        from (
            select t.since from generate_series(1, 5) p (priority) cross join lateral (
                select t.scheduled_at as since from perdure.workflow_tasks t
                where t.shard = p_shard and t.namespace = p_namespace and t.task_queue = p_task_queue
                  and t.state = 'scheduled' and t.sticky_worker is null and t.priority = p.priority::smallint
                order by t.scheduled_at limit p_limit) t limit p_limit) found;
    end if;
end
$$;
comment on function perdure.task_queue_statistics(smallint, text, text, text, int) is
    'How many tasks of a queue can be claimed by any worker, p_limit at the most; since when the oldest of them waits; '
    'and how many of them came within 30 seconds. p_kind is workflow or activity.';

create or replace function perdure.is_cancel_requested(p_shard smallint, p_run_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_requested boolean;
begin
    select r.cancel_requested into v_requested from perdure.run_states r
    where r.shard = p_shard and r.run_id = p_run_id;
    -- For a closed run its history tells.
    return coalesce(v_requested, exists (
        select from perdure.history h cross join lateral unnest(h.events) e (event)
        where h.shard = p_shard and h.run_id = p_run_id
          and e.event ->> 'eventType' = 'WorkflowExecutionCancelRequested'));
end
$$;
comment on function perdure.is_cancel_requested(smallint, uuid) is
    'Whether the cancellation of a run was requested. Also answers for a closed run.';
