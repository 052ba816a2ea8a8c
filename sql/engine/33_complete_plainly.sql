-- The hot path: many workflow tasks completed in one statement, those whose commands are the usual ones.
--
-- The usual ones are: any number of activities, or one that closes the run, or none. What is unusual in the least is left
-- to complete_workflow_task, whose rules these are: it would write the same rows and the same events. Jsonb is built
-- in place, without the functions of 00_basics.sql, because a call costs more than what it does.

create or replace function perdure.is_plain_duration(p_value jsonb) returns boolean
language sql immutable parallel safe
return p_value is null or jsonb_typeof(p_value) = 'string' and p_value #>> '{}' ~ '^[0-9]{1,10}(\.[0-9]{1,9})?s$';
comment on function perdure.is_plain_duration(jsonb) is 'Whether a duration of a command is absent or well formed.';

create or replace function perdure.plain_duration(p_value jsonb) returns interval
language sql immutable parallel safe
return nullif(make_interval(secs => rtrim(p_value #>> '{}', 's')::double precision), interval '0');
comment on function perdure.plain_duration(jsonb) is 'A well-formed duration; null for none and for zero.';

create or replace function perdure.is_plain_payloads(p_value jsonb) returns boolean
language sql stable parallel safe
return jsonb_typeof(p_value) = 'array'
    and (jsonb_array_length(p_value) = 0 or jsonb_array_length(p_value) = 1 and jsonb_typeof(p_value #> '{0,encoding}') = 'string')
    -- Far enough below 2 MiB that no text of it can be longer.
    and pg_column_size(p_value) < 262144;
comment on function perdure.is_plain_payloads(jsonb) is 'Whether it is an array of at most one payload, and not a large one.';

create or replace function perdure.is_plain_retry_policy(p_value jsonb) returns boolean
language sql immutable parallel safe
return p_value is null or perdure.is_plain_duration(p_value -> 'initialInterval') and perdure.is_plain_duration(p_value -> 'maximumInterval')
    and case when p_value ? 'backoffCoefficient' then coalesce(p_value #>> '{backoffCoefficient}' ~ '^[1-9][0-9]{0,3}(\.[0-9]{1,9})?$', false) else true end
    and case when p_value ? 'maximumAttempts' then coalesce(p_value #>> '{maximumAttempts}' ~ '^[0-9]{1,8}$', false) else true end
    and coalesce(jsonb_typeof(p_value -> 'nonRetryableErrorTypes'), 'array') = 'array';
comment on function perdure.is_plain_retry_policy(jsonb) is 'Whether a retry policy is absent or well formed.';

create or replace function perdure.is_plain_command(p_command jsonb) returns boolean
language sql stable parallel safe
return case p_command ->> 'commandType'
    when 'ScheduleActivityTask' then
        octet_length(p_command #>> '{attributes,activityId}') between 1 and 1000
        and octet_length(p_command #>> '{attributes,activityType,name}') between 1 and 1000
        and perdure.is_plain_payloads(p_command #> '{attributes,input}')
        and perdure.is_plain_duration(p_command #> '{attributes,scheduleToCloseTimeout}')
        and perdure.is_plain_duration(p_command #> '{attributes,scheduleToStartTimeout}')
        and perdure.is_plain_duration(p_command #> '{attributes,startToCloseTimeout}')
        and perdure.is_plain_duration(p_command #> '{attributes,heartbeatTimeout}')
        and coalesce(perdure.plain_duration(p_command #> '{attributes,startToCloseTimeout}'),
            perdure.plain_duration(p_command #> '{attributes,scheduleToCloseTimeout}')) is not null
        and perdure.is_plain_retry_policy(p_command #> '{attributes,retryPolicy}')
        and not p_command -> 'attributes' ? 'priority'
    when 'CompleteWorkflowExecution' then perdure.is_plain_payloads(p_command #> '{attributes,result}')
    else false end;
comment on function perdure.is_plain_command(jsonb) is 'Whether a command is one of the usual ones, and good beyond doubt.';

create or replace function perdure.complete_plainly(p_shard smallint, p_worker perdure.workers, p_now timestamptz, p_completions jsonb)
returns table (run_id uuid, next_event_id bigint, started_activities bigint[])
language plpgsql volatile set search_path = pg_catalog, pg_temp
-- The queue tables are empty most of the time, and a plan that a quiet minute made must serve a busy one, so nothing is left to the
-- planner's estimates (docs/decisions/0004-plans-without-statistics.md). What is forbidden seems to cost ten billions, which is no reason
-- to compile it.
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_runs tid[];
    v_tasks tid[];
    v_activities tid[];
    v_executions tid[];
    v_in_use boolean[];
    v_closing uuid[];
    v_left tid[] := array[]::tid[];
    v_timers tid[] := array[]::tid[];
    v_requests tid[] := array[]::tid[];
begin
    -- First all rows are found by their keys, one look-up each, and the runs are locked. Who changed something before that is seen by the next
    -- statement, which finds no row in its place, or another next event, and leaves the run to the general rules.
    select array_agg(f.run_row), array_agg(f.task_row), array_agg(f.activity_row), array_agg(f.execution_row), array_agg(f.in_use),
        array_agg(f.run_id) filter (where f.closes)
    into v_runs, v_tasks, v_activities, v_executions, v_in_use, v_closing
    from (
        select i.run_id, i.closes, r.ctid as run_row, t.ctid as task_row, a.ctid as activity_row, e.ctid as execution_row,
            jsonb_typeof(i.commands) = 'array' and jsonb_array_length(i.commands) > 0 and exists (
                select from perdure.activity_tasks a
                where a.shard = p_shard and a.run_id = i.run_id and a.scheduled_event_id is distinct from i.activity_id
                  and a.activity_id in (select c.value #>> '{attributes,activityId}' from jsonb_array_elements(i.commands) c)) as in_use
        from (
            select c.run_id, c.commands, (c.activity ->> 'scheduledEventId')::bigint as activity_id, c.ordinality,
                c.commands #>> '{0,commandType}' is not distinct from 'CompleteWorkflowExecution' as closes
            from rows from (jsonb_to_recordset(p_completions) as ("runId" uuid, commands jsonb, activity jsonb)) with ordinality
                as c (run_id, commands, activity, ordinality)
            order by c.run_id offset 0) i
        left join lateral (select r.ctid from perdure.run_states r where r.shard = p_shard and r.run_id = i.run_id for update) r on true
        left join lateral (select t.ctid from perdure.workflow_tasks t
            where t.shard = p_shard and t.run_id = i.run_id and i.activity_id is null limit 1) t on true
        left join lateral (select a.ctid from perdure.activity_tasks a
            where a.shard = p_shard and a.run_id = i.run_id and a.scheduled_event_id = i.activity_id limit 1) a on true
        left join lateral (select e.ctid from perdure.executions e where e.shard = p_shard and e.run_id = i.run_id and i.closes limit 1) e on true
        order by i.ordinality) f;
    if v_closing is not null then
        -- What goes with a run that closes, if there is any; the activity that it closes with has gone by then.
        select coalesce(array_agg(a.ctid), '{}') into v_left from unnest(v_closing) c (run_id)
        cross join lateral (select a.ctid from perdure.activity_tasks a where a.shard = p_shard and a.run_id = c.run_id offset 0) a
        where a.ctid <> all (array_remove(v_activities, null));
        select coalesce(array_agg(t.ctid), '{}') into v_timers from unnest(v_closing) c (run_id)
        cross join lateral (select t.ctid from perdure.timers t where t.shard = p_shard and t.run_id = c.run_id offset 0) t;
        select coalesce(array_agg(q.ctid), '{}') into v_requests from unnest(v_closing) c (run_id)
        cross join lateral (select q.ctid from perdure.request_ids q where q.shard = p_shard and q.run_id = c.run_id offset 0) q;
    end if;

    -- Then they are changed in their places, so that no plan can go through a table.
    set local enable_indexscan = off;
    return query
    with item as materialized (
        select i.run_id, i.scheduled_event_id, i.attempt, i.commands, coalesce(i.sticky, true) as sticky, i.next_event_id as expected_event_id,
            i.started_at, i.activity is not null as is_fused, (i.activity ->> 'scheduledEventId')::bigint as activity_id,
            (i.activity ->> 'attempt')::int as activity_attempt, i.activity -> 'result' as result,
            i.run_row, i.task_row, i.activity_row, i.execution_row,
            i.commands #>> '{0,commandType}' is not distinct from 'CompleteWorkflowExecution' as closes
        from rows from (
            jsonb_to_recordset(p_completions) as ("runId" uuid, "scheduledEventId" bigint, attempt int, commands jsonb, sticky boolean,
                activity jsonb, "nextEventId" bigint, "startedAt" timestamptz),
            unnest(v_runs), unnest(v_tasks), unnest(v_activities), unnest(v_executions), unnest(v_in_use))
            as i (run_id, scheduled_event_id, attempt, commands, sticky, activity, next_event_id, started_at,
                run_row, task_row, activity_row, execution_row, in_use)
        -- An activity id that is in use is refused, by the general rules.
        where i.run_row is not null and not i.in_use
          and jsonb_typeof(i.commands) = 'array' and (i.activity is null or perdure.is_plain_payloads(i.activity -> 'result'))
          -- What closes a run stands alone, and of two activities with one id the second must be refused.
          and (select coalesce(bool_and(coalesce(perdure.is_plain_command(c.value), false)), true)
                and (count(*) < 2 or bool_and(c.value ->> 'commandType' = 'ScheduleActivityTask')
                    and count(distinct c.value #>> '{attributes,activityId}') = count(*))
            from jsonb_array_elements(i.commands) c)),
    known as materialized (
        select item.*, r.next_event_id as first_event_id, r.namespace, r.workflow_id, r.workflow_type, r.task_queue, r.priority, r.workflow_task_timeout
        from item cross join lateral (
            select * from perdure.run_states r where r.shard = p_shard and r.ctid = item.run_row limit 1) r
        where r.run_id = item.run_id and r.buffered_events = '{}' and (not item.is_fused or r.next_event_id = item.expected_event_id)),
    ended_task as (
        delete from perdure.workflow_tasks t using known k
        where t.shard = p_shard and t.ctid = k.task_row and t.run_id = k.run_id and not k.is_fused
          and t.state = 'started' and t.worker = p_worker.worker_id and t.attempt = k.attempt and t.attempt = 1
          and t.scheduled_event_id = k.scheduled_event_id
        returning k.*, t.scheduled_event_id as task_scheduled_id, t.started_at as task_started_at),
    ended_activity as (
        delete from perdure.activity_tasks t using known k
        where t.shard = p_shard and t.ctid = k.activity_row and t.run_id = k.run_id and t.scheduled_event_id = k.activity_id and k.is_fused
          and t.state = 'started' and t.worker = p_worker.worker_id and t.attempt = k.activity_attempt
          and k.started_at between t.started_at and p_now
        returning k.*, t.started_at as activity_started_at, t.last_failure),
    step as materialized (
        select e.run_id, e.commands, e.sticky, e.first_event_id, e.namespace, e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            e.run_row, e.execution_row, p_now as event_time, e.first_event_id + 1 as completed_id,
            -- What follows from the rest is left out: perdure.whole_event.
            perdure.stored_workflow_task_end(e.first_event_id, e.task_scheduled_id, e.task_started_at) as events
        from ended_task e
        union all
        select e.run_id, e.commands, e.sticky, e.first_event_id, e.namespace, e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            e.run_row, e.execution_row, e.started_at, e.first_event_id + 4,
            perdure.stored_activity_end(e.first_event_id, e.activity_id, e.activity_attempt, e.activity_started_at, e.last_failure, e.result)
                || perdure.stored_workflow_task_scheduled(e.workflow_task_timeout)
                || array[jsonb '{"eventType": "WorkflowTaskStarted"}', jsonb '{"eventType": "WorkflowTaskCompleted"}']
        from ended_activity e),
    scheduled as materialized (
        select s.run_id, s.completed_id + c.ordinality as event_id, s.completed_id, s.event_time, s.namespace, s.workflow_id, s.workflow_type,
            s.priority, c.ordinality, c.value -> 'attributes' as attributes,
            coalesce(c.value #>> '{attributes,taskQueue,name}', s.task_queue) as task_queue, c.value #> '{attributes,input}' as input,
            a.to_close, a.to_start, coalesce(a.start_to_close, a.to_close) as start_to_close, a.heartbeat,
            case when c.value #> '{attributes,retryPolicy}' is not null then perdure.retry_policy(c.value #> '{attributes,retryPolicy}') end as retry_policy,
            nullif(c.value #>> '{attributes,taskQueue,name}', s.task_queue) as other_queue,
            c.value #> '{attributes,requestEagerExecution}' is not distinct from 'true' as is_eager
        from step s
        cross join lateral jsonb_array_elements(s.commands) with ordinality as c (value, ordinality)
        cross join lateral (select perdure.plain_duration(c.value #> '{attributes,scheduleToCloseTimeout}') as to_close,
            perdure.plain_duration(c.value #> '{attributes,scheduleToStartTimeout}') as to_start,
            perdure.plain_duration(c.value #> '{attributes,startToCloseTimeout}') as start_to_close,
            perdure.plain_duration(c.value #> '{attributes,heartbeatTimeout}') as heartbeat) a
        where not s.closes),
    new_activity as (
        insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id, workflow_type, activity_id, activity_type,
            input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker, last_worker_identity, schedule_to_close_timeout,
            schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy, deadline)
        select p_shard, n.run_id, n.event_id, n.namespace, n.task_queue, n.workflow_id, n.workflow_type, n.attributes ->> 'activityId', n.attributes #>> '{activityType,name}',
            n.input, n.priority, case when n.is_eager then 'started' else 'scheduled' end, n.event_time, n.event_time,
            case when n.is_eager then p_now end, case when n.is_eager then p_worker.worker_id end, case when n.is_eager then p_worker.identity end,
            n.to_close, n.to_start, n.start_to_close, n.heartbeat, n.retry_policy,
            case when n.is_eager then least(n.event_time + n.to_close, p_now + n.start_to_close, p_now + n.heartbeat)
                else least(n.event_time + n.to_close, n.event_time + n.to_start) end
        from scheduled n),
    made as (
        select n.run_id, array_agg(n.event_id order by n.ordinality) filter (where n.is_eager) as started,
            array_agg(perdure.stored_activity_scheduled(n.ordinality = 1, n.completed_id, n.attributes, n.start_to_close, n.to_close, n.to_start,
                n.retry_policy, n.other_queue) order by n.ordinality) as events
        from scheduled n
        group by n.run_id),
    batch as materialized (
        select s.run_id, s.run_row, s.execution_row, s.first_event_id, s.event_time, s.completed_id, s.sticky, s.closes, m.started,
            case when s.closes then s.events || jsonb_build_object('eventType', 'WorkflowExecutionCompleted', 'given', jsonb_build_object(
                    'result', s.commands #> '{0,attributes,result}'))
                else s.events || m.events end as events
        from step s left join made m on m.run_id = s.run_id),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity, worker_build_id, events)
        select p_shard, b.run_id, b.first_event_id, b.event_time, p_worker.worker_id, p_worker.identity, nullif(p_worker.build_id, ''), b.events
        from batch b),
    kept as (
        update perdure.run_states r set next_event_id = b.first_event_id + cardinality(b.events), last_started_event_id = b.completed_id - 1,
            sticky_worker = case when b.sticky then p_worker.worker_id end, sticky_event_id = b.first_event_id + cardinality(b.events),
            workflow_task_failure = null, workflow_task_failed_attempts = 0
        from batch b where r.shard = p_shard and r.ctid = b.run_row and not b.closes),
    closed_run as (
        delete from perdure.run_states r using batch b where r.shard = p_shard and r.ctid = b.run_row and b.closes),
    closed_execution as (
        update perdure.executions e set status = 'Completed', close_time = b.event_time, history_length = b.first_event_id + cardinality(b.events) - 1
        from batch b where e.shard = p_shard and e.ctid = b.execution_row and b.closes),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'activity') from (select distinct n.namespace, n.task_queue from scheduled n where not n.is_eager) q)
    select b.run_id, b.first_event_id + cardinality(b.events), b.started from batch b, (select count(*) from woken) w;

    if cardinality(v_left) + cardinality(v_timers) + cardinality(v_requests) > 0 then
        set local enable_indexscan = on;
        select array_agg(c.run_id) into v_closing from unnest(v_closing) c (run_id)
        left join lateral (select r.run_id from perdure.run_states r where r.shard = p_shard and r.run_id = c.run_id limit 1) open on true
        where open.run_id is null;
        set local enable_indexscan = off;
        delete from perdure.activity_tasks a where a.shard = p_shard and a.ctid = any (v_left) and a.run_id = any (v_closing);
        delete from perdure.timers t where t.shard = p_shard and t.ctid = any (v_timers) and t.run_id = any (v_closing);
        delete from perdure.request_ids q where q.shard = p_shard and q.ctid = any (v_requests) and q.run_id = any (v_closing);
    end if;
end
$$;
comment on function perdure.complete_plainly(smallint, perdure.workers, timestamptz, jsonb) is
    'The fast path of complete_workflow_tasks: completes those runs whose commands are the usual ones, and returns them; the others it leaves alone.';
