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

create or replace function perdure.plain_seconds(p_interval interval) returns text
language sql immutable parallel safe
return trim_scale(extract(epoch from p_interval)::numeric)::text || 's';
comment on function perdure.plain_seconds(interval) is 'As seconds(interval), but inlined into the statement that calls it.';

create or replace function perdure.plain_rfc3339(p_time timestamptz) returns text
language sql stable parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function perdure.plain_rfc3339(timestamptz) is 'As rfc3339(timestamptz), but inlined into the statement that calls it.';

create or replace function perdure.is_plain_payloads(p_value jsonb) returns boolean
language sql immutable parallel safe
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
language sql immutable parallel safe
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
-- The queue tables are small or empty most of the time, and a plan that a quiet minute made must serve a busy one. What has no index seems
-- to cost ten billions then, which is no reason to compile it.
set enable_seqscan = off set jit = off
as $$
#variable_conflict use_column
declare
    v_policy jsonb := perdure.retry_policy(null);
    -- What ends every WorkflowTaskCompleted of this batch.
    v_who jsonb := perdure.present(jsonb_build_object('identity', p_worker.identity, 'binaryChecksum', nullif(p_worker.build_id, '')));
begin
    return query
    with item as materialized (
        select i."runId" as run_id, i."scheduledEventId" as scheduled_event_id, i.attempt, i.commands, coalesce(i.sticky, true) as sticky,
            i."nextEventId" as next_event_id, i."startedAt" as started_at, i.activity is not null as is_fused,
            (i.activity ->> 'scheduledEventId')::bigint as activity_id, (i.activity ->> 'attempt')::int as activity_attempt,
            i.activity -> 'result' as result
        from jsonb_to_recordset(p_completions) as i ("runId" uuid, "scheduledEventId" bigint, attempt int, commands jsonb, sticky boolean,
            activity jsonb, "nextEventId" bigint, "startedAt" timestamptz)
        where jsonb_typeof(i.commands) = 'array' and (i.activity is null or perdure.is_plain_payloads(i.activity -> 'result'))
          -- What closes a run stands alone, and of two activities with one id the second must be refused.
          and (select coalesce(bool_and(coalesce(perdure.is_plain_command(c.value), false)), true)
                and (count(*) < 2 or bool_and(c.value ->> 'commandType' = 'ScheduleActivityTask')
                    and count(distinct c.value #>> '{attributes,activityId}') = count(*))
            from jsonb_array_elements(i.commands) c)),
    locked as materialized (
        select item.*, r.next_event_id as first_event_id, r.namespace, r.workflow_id, r.workflow_type, r.task_queue, r.priority, r.workflow_task_timeout,
            item.commands #>> '{0,commandType}' is not distinct from 'CompleteWorkflowExecution' as closes
        from item join perdure.run_states r on r.shard = p_shard and r.run_id = item.run_id
        where r.buffered_events = '{}' and (not item.is_fused or r.next_event_id = item.next_event_id)
          -- An id that is in use is refused, by the general rules.
          and (jsonb_array_length(item.commands) = 0 or not exists (
            select from perdure.activity_tasks a
            where a.shard = p_shard and a.run_id = item.run_id and a.scheduled_event_id is distinct from item.activity_id
              and a.activity_id in (select c.value #>> '{attributes,activityId}' from jsonb_array_elements(item.commands) c)))
        order by r.run_id for update of r),
    -- "Is not distinct from", so that the plan goes by the primary key and not through all that the worker holds.
    ended_task as (
        delete from perdure.workflow_tasks t using locked l
        where t.shard = p_shard and t.run_id = l.run_id and not l.is_fused
          and t.state = 'started' and t.worker is not distinct from p_worker.worker_id and t.attempt = l.attempt and t.attempt = 1
          and t.scheduled_event_id = l.scheduled_event_id
        returning l.*, t.scheduled_event_id as task_scheduled_id, t.started_at as task_started_at),
    ended_activity as (
        delete from perdure.activity_tasks t using locked l
        where t.shard = p_shard and t.run_id = l.run_id and t.scheduled_event_id = l.activity_id and l.is_fused
          and t.state = 'started' and t.worker is not distinct from p_worker.worker_id and t.attempt = l.activity_attempt
          and l.started_at between t.started_at and p_now
        returning l.*, t.started_at as activity_started_at, t.last_failure, t.last_worker_identity),
    step as materialized (
        select e.run_id, e.commands, e.sticky, e.first_event_id, e.namespace, e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            p_now as event_time, e.first_event_id + 1 as completed_id, null::bigint as ended_activity_id,
            array[
                jsonb_build_object('eventType', 'WorkflowTaskStarted',
                    'eventTime', perdure.plain_rfc3339(e.task_started_at),
                    'attributes', jsonb_build_object('scheduledEventId', e.task_scheduled_id, 'identity', p_worker.identity, 'requestId', p_worker.worker_id)),
                jsonb_build_object('eventType', 'WorkflowTaskCompleted', 'attributes',
                    jsonb_build_object('scheduledEventId', e.task_scheduled_id, 'startedEventId', e.first_event_id) || v_who)] as events
        from ended_task e
        union all
        select e.run_id, e.commands, e.sticky, e.first_event_id, e.namespace, e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            e.started_at, e.first_event_id + 4, e.activity_id,
            array[
                jsonb_build_object('eventType', 'ActivityTaskStarted',
                    'eventTime', perdure.plain_rfc3339(e.activity_started_at),
                    'attributes', jsonb_build_object('scheduledEventId', e.activity_id, 'identity', e.last_worker_identity, 'requestId', p_worker.worker_id,
                        'attempt', e.activity_attempt)
                        || case when e.activity_attempt > 1 and e.last_failure is not null then jsonb_build_object('lastFailure', e.last_failure) else '{}' end),
                jsonb_build_object('eventType', 'ActivityTaskCompleted', 'attributes', jsonb_build_object('result', e.result,
                    'scheduledEventId', e.activity_id, 'startedEventId', e.first_event_id, 'identity', e.last_worker_identity)),
                jsonb_build_object('eventType', 'WorkflowTaskScheduled', 'attributes', jsonb_build_object(
                    'taskQueue', jsonb_build_object('name', e.task_queue, 'kind', 'Normal'),
                    'startToCloseTimeout', perdure.plain_seconds(e.workflow_task_timeout), 'attempt', 1)),
                jsonb_build_object('eventType', 'WorkflowTaskStarted', 'attributes',
                    jsonb_build_object('scheduledEventId', e.first_event_id + 2, 'identity', p_worker.identity, 'requestId', p_worker.worker_id)),
                jsonb_build_object('eventType', 'WorkflowTaskCompleted', 'attributes',
                    jsonb_build_object('scheduledEventId', e.first_event_id + 2, 'startedEventId', e.first_event_id + 3) || v_who)]
        from ended_activity e),
    scheduled as materialized (
        select s.run_id, s.completed_id + c.ordinality as event_id, s.completed_id, s.event_time, s.namespace, s.workflow_id, s.workflow_type,
            s.priority, c.ordinality, a.activity_id, c.value #> '{attributes,activityType}' as activity_type,
            coalesce(c.value #>> '{attributes,taskQueue,name}', s.task_queue) as task_queue, c.value #> '{attributes,input}' as input,
            a.to_close, a.to_start, coalesce(a.start_to_close, a.to_close) as start_to_close, a.heartbeat, c.value #>> '{attributes,heartbeatTimeout}' as heartbeat_text,
            case when c.value #> '{attributes,retryPolicy}' is null then v_policy else perdure.retry_policy(c.value #> '{attributes,retryPolicy}') end as retry_policy,
            c.value #> '{attributes,requestEagerExecution}' is not distinct from 'true' as is_eager
        from step s
        cross join lateral jsonb_array_elements(s.commands) with ordinality as c (value, ordinality)
        cross join lateral (select c.value #>> '{attributes,activityId}' as activity_id,
            perdure.plain_duration(c.value #> '{attributes,scheduleToCloseTimeout}') as to_close,
            perdure.plain_duration(c.value #> '{attributes,scheduleToStartTimeout}') as to_start,
            perdure.plain_duration(c.value #> '{attributes,startToCloseTimeout}') as start_to_close,
            perdure.plain_duration(c.value #> '{attributes,heartbeatTimeout}') as heartbeat) a
        where not s.closes),
    new_activity as (
        insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id, workflow_type, activity_id, activity_type,
            input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker, last_worker_identity, schedule_to_close_timeout,
            schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy, deadline)
        select p_shard, n.run_id, n.event_id, n.namespace, n.task_queue, n.workflow_id, n.workflow_type, n.activity_id, n.activity_type ->> 'name',
            n.input, n.priority, case when n.is_eager then 'started' else 'scheduled' end, n.event_time, n.event_time,
            case when n.is_eager then p_now end, case when n.is_eager then p_worker.worker_id end, case when n.is_eager then p_worker.identity end,
            n.to_close, n.to_start, n.start_to_close, n.heartbeat, n.retry_policy,
            case when n.is_eager then least(n.event_time + n.to_close, p_now + n.start_to_close, p_now + n.heartbeat)
                else least(n.event_time + n.to_close, n.event_time + n.to_start) end
        from scheduled n),
    made as (
        select n.run_id, array_agg(n.event_id order by n.ordinality) filter (where n.is_eager) as started,
            array_agg(jsonb_build_object('eventType', 'ActivityTaskScheduled', 'attributes', jsonb_build_object(
                'activityId', n.activity_id, 'activityType', n.activity_type, 'taskQueue', jsonb_build_object('name', n.task_queue, 'kind', 'Normal'),
                'input', n.input, 'startToCloseTimeout', perdure.plain_seconds(n.start_to_close), 'workflowTaskCompletedEventId', n.completed_id,
                'retryPolicy', n.retry_policy)
                || case when n.to_close is null and n.to_start is null and n.heartbeat_text is null then '{}' else perdure.present(jsonb_build_object(
                    'scheduleToCloseTimeout', perdure.plain_seconds(n.to_close), 'scheduleToStartTimeout', perdure.plain_seconds(n.to_start),
                    'heartbeatTimeout', n.heartbeat_text)) end) order by n.ordinality) as events
        from scheduled n group by n.run_id),
    batch as materialized (
        select s.run_id, s.first_event_id, s.event_time, s.completed_id, s.sticky, s.closes, s.ended_activity_id, m.started,
            case when s.closes then s.events || jsonb_build_object('eventType', 'WorkflowExecutionCompleted', 'attributes', jsonb_build_object(
                    'result', s.commands #> '{0,attributes,result}', 'workflowTaskCompletedEventId', s.completed_id))
                else s.events || m.events end as events
        from step s left join made m on m.run_id = s.run_id),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, events)
        select p_shard, b.run_id, b.first_event_id, b.event_time, b.events from batch b),
    kept as (
        update perdure.run_states r set next_event_id = b.first_event_id + cardinality(b.events), last_started_event_id = b.completed_id - 1,
            sticky_worker = case when b.sticky then p_worker.worker_id end, sticky_event_id = b.first_event_id,
            workflow_task_failure = null, workflow_task_failed_attempts = 0
        from batch b where r.shard = p_shard and r.run_id = b.run_id and not b.closes),
    closed_run as (
        delete from perdure.run_states r using batch b where r.shard = p_shard and r.run_id = b.run_id and b.closes),
    closed_execution as (
        update perdure.executions e set status = 'Completed', close_time = b.event_time, history_length = b.first_event_id + cardinality(b.events) - 1
        from batch b where e.shard = p_shard and e.run_id = b.run_id and b.closes),
    closed_activity as (
        delete from perdure.activity_tasks a using batch b where a.shard = p_shard and a.run_id = b.run_id and b.closes
          and a.scheduled_event_id is distinct from b.ended_activity_id),
    closed_timer as (
        delete from perdure.timers t using batch b where t.shard = p_shard and t.run_id = b.run_id and b.closes),
    closed_request as (
        delete from perdure.request_ids i using batch b where i.shard = p_shard and i.run_id = b.run_id and b.closes),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'activity') from (select distinct n.namespace, n.task_queue from scheduled n where not n.is_eager) q)
    select b.run_id, b.first_event_id + cardinality(b.events), b.started from batch b, (select count(*) from woken) w;
end
$$;
comment on function perdure.complete_plainly(smallint, perdure.workers, timestamptz, jsonb) is
    'The fast path of complete_workflow_tasks: completes those runs whose commands are the usual ones, and returns them; the others it leaves alone.';

drop function if exists perdure.complete_workflow_tasks(smallint, uuid, jsonb);
create or replace function perdure.complete_workflow_tasks(p_shard smallint, p_worker_id uuid, p_completions jsonb)
returns table (run_id uuid, outcome text, next_event_id bigint, failure jsonb, started_activities bigint[], started_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_done uuid[] := array[]::uuid[];
    v_plain record;
    v_item jsonb;
    v_result record;
begin
    if jsonb_typeof(p_completions) is distinct from 'array' then
        raise exception 'the completions must be an array' using errcode = 'PD003', hint = 'docs/reference/contract.md shows one.';
    end if;
    started_at := v_now;
    for v_plain in select * from perdure.complete_plainly(p_shard, v_worker, v_now, p_completions) loop
        v_done := v_done || v_plain.run_id;
        run_id := v_plain.run_id;
        outcome := 'completed';
        next_event_id := v_plain.next_event_id;
        started_activities := v_plain.started_activities;
        return next;
    end loop;
    if cardinality(v_done) = jsonb_array_length(p_completions) then
        return;
    end if;
    for v_item in select c.value from jsonb_array_elements(p_completions) c
        where (c.value ->> 'runId')::uuid <> all (v_done) order by (c.value ->> 'runId')::uuid loop
        run_id := (v_item ->> 'runId')::uuid;
        select * into v_result from perdure.complete_workflow_task(p_shard, v_worker, v_now, v_item);
        outcome := v_result.outcome;
        next_event_id := v_result.next_event_id;
        failure := v_result.failure;
        started_activities := v_result.started_activities;
        return next;
    end loop;
end
$$;
comment on function perdure.complete_workflow_tasks(smallint, uuid, jsonb) is
    'Takes what workflows decided and answers for each run: completed, lost (another worker has it), failed (and will be tried again) or stale (a fused step that came too late). Activities that asked for it are already started.';
