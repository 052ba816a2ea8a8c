-- The hot path for few runs: one run's workflow task, by statements so small that nothing is spent on planning ahead.
--
-- A worker that has little to do completes one task at a time, and then the one large statement of 33_complete_plainly.sql takes twice
-- as long as these: docs/decisions/0007-one-run-or-many.md. The rules, and what is usual, are the same.

create or replace function perdure.are_plain_activities(p_commands jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_command jsonb;
    v_activity_ids text[] := array[]::text[];
begin
    for v_command in select c.value from jsonb_array_elements(p_commands) c loop
        -- Of two activities with one id the second must be refused.
        if v_command ->> 'commandType' is distinct from 'ScheduleActivityTask' or not coalesce(perdure.is_plain_command(v_command), false)
            or v_command #>> '{attributes,activityId}' = any (v_activity_ids) then
            return false;
        end if;
        v_activity_ids := v_activity_ids || (v_command #>> '{attributes,activityId}');
    end loop;
    return true;
end
$$;
comment on function perdure.are_plain_activities(jsonb) is 'Whether each command of an array schedules an activity in the usual way, good beyond doubt.';

create or replace function perdure.complete_one(p_shard smallint, p_worker_id uuid, p_identity text, p_build_id text, p_now timestamptz, p_item jsonb,
    out next_event_id bigint, out started_activities bigint[])
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run_id uuid := (p_item ->> 'runId')::uuid;
    v_commands jsonb := p_item -> 'commands';
    v_a jsonb := v_commands #> '{0,attributes}';
    v_type text;
    v_is_common boolean;
    v_closes boolean := false;
    v_ended jsonb := p_item -> 'activity';
    v_ended_id bigint;
    v_ended_attempt int;
    v_time timestamptz := p_now;
    v_run_row tid;
    v_first_event_id bigint;
    v_namespace text;
    v_workflow_id text;
    v_workflow_type text;
    v_task_queue text;
    v_priority smallint;
    v_task_timeout interval;
    v_is_quiet boolean;
    v_scheduled_event_id bigint;
    v_started_at timestamptz;
    v_last_failure jsonb;
    v_events jsonb[];
    v_completed_id bigint;
    v_event_id bigint;
    v_is_eager boolean;
    v_to_close interval;
    v_to_start interval;
    v_start_to_close interval;
    v_heartbeat interval;
    v_policy jsonb;
    v_queue text;
begin
    -- What is not usual is left alone before anything is changed. An expression costs by its size, even where it is not evaluated, so the most
    -- common case is told apart by a small one: one activity with no more than it needs.
    if jsonb_typeof(v_commands) is distinct from 'array' then
        return;
    end if;
    if jsonb_array_length(v_commands) = 1 then
        v_type := v_commands #>> '{0,commandType}';
    end if;
    if v_type = 'ScheduleActivityTask' then
        v_is_common := v_a - array['activityId', 'activityType', 'input', 'startToCloseTimeout', 'requestEagerExecution', 'taskQueue'] = '{}'
            and octet_length(v_a ->> 'activityId') between 1 and 1000 and octet_length(v_a #>> '{activityType,name}') between 1 and 1000
            and perdure.is_plain_payloads(v_a -> 'input')
            -- As perdure.seconds writes it, so that it can be stored as it came.
            and v_a ->> 'startToCloseTimeout' ~ '^([1-9][0-9]{0,8}|0(?=\.))(\.[0-9]{0,5}[1-9])?s$';
    elsif v_type = 'CompleteWorkflowExecution' then
        v_closes := perdure.is_plain_payloads(v_a -> 'result') is true;
    end if;
    if v_is_common is not true and not v_closes and not perdure.are_plain_activities(v_commands) then
        return;
    end if;

    select r.ctid, r.next_event_id, r.namespace, r.workflow_id, r.workflow_type, r.task_queue, r.priority, r.workflow_task_timeout, r.buffered_events = '{}'
    into v_run_row, v_first_event_id, v_namespace, v_workflow_id, v_workflow_type, v_task_queue, v_priority, v_task_timeout, v_is_quiet
    from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
    if v_is_quiet is not true then
        return;
    end if;
    if v_ended is not null then
        v_ended_id := (v_ended ->> 'scheduledEventId')::bigint;
        v_ended_attempt := (v_ended ->> 'attempt')::int;
        v_time := (p_item ->> 'startedAt')::timestamptz;
        if v_first_event_id is distinct from (p_item ->> 'nextEventId')::bigint or not coalesce(perdure.is_plain_payloads(v_ended -> 'result'), false) then
            return;
        end if;
    end if;
    if v_is_common and v_a #>> '{taskQueue,name}' <> v_task_queue then
        v_is_common := false;
    end if;
    -- An activity id that is in use is refused, by the general rules.
    if v_is_common then
        if exists (select from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_run_id and a.activity_id = v_a ->> 'activityId'
            and a.scheduled_event_id is distinct from v_ended_id) then
            return;
        end if;
    elsif not v_closes and exists (select from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_run_id
        and a.activity_id in (select c.value #>> '{attributes,activityId}' from jsonb_array_elements(v_commands) c)
        and a.scheduled_event_id is distinct from v_ended_id) then
        return;
    end if;
    if v_ended is not null then
        delete from perdure.activity_tasks t
        where t.shard = p_shard and t.run_id = v_run_id and t.scheduled_event_id = v_ended_id
          and t.state = 'started' and t.worker = p_worker_id and t.attempt = v_ended_attempt and v_time between t.started_at and p_now
        returning t.started_at, t.last_failure into v_started_at, v_last_failure;
        if not found then
            return;
        end if;
        -- What the functions below give for the usual step, in a small expression again.
        if v_ended_id = v_first_event_id - 1 and v_ended_attempt = 1 and v_task_timeout = interval '10 s' then
            v_events := array[
                jsonb_build_object('eventType', 'ActivityTaskStarted', 'eventTime', perdure.rfc3339(v_started_at)),
                jsonb_build_object('eventType', 'ActivityTaskCompleted', 'given', jsonb_build_object('result', v_ended -> 'result')),
                jsonb '{"eventType": "WorkflowTaskScheduled"}', jsonb '{"eventType": "WorkflowTaskStarted"}', jsonb '{"eventType": "WorkflowTaskCompleted"}'];
        else
            v_events := perdure.stored_activity_end(v_first_event_id, v_ended_id, v_ended_attempt, v_started_at, v_last_failure, v_ended -> 'result')
                || perdure.stored_workflow_task_scheduled(v_task_timeout)
                || array[jsonb '{"eventType": "WorkflowTaskStarted"}', jsonb '{"eventType": "WorkflowTaskCompleted"}'];
        end if;
    else
        delete from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = v_run_id
          and t.state = 'started' and t.worker = p_worker_id and t.attempt = (p_item ->> 'attempt')::int and t.attempt = 1
          and t.scheduled_event_id = (p_item ->> 'scheduledEventId')::bigint
        returning t.scheduled_event_id, t.started_at into v_scheduled_event_id, v_started_at;
        if not found then
            return;
        end if;
        v_events := perdure.stored_workflow_task_end(v_first_event_id, v_scheduled_event_id, v_started_at);
    end if;
    v_completed_id := v_first_event_id + cardinality(v_events) - 1;

    if v_is_common then
        v_event_id := v_completed_id + 1;
        next_event_id := v_completed_id + 2;
        v_is_eager := v_a -> 'requestEagerExecution' is not distinct from 'true';
        v_start_to_close := (v_a ->> 'startToCloseTimeout')::interval;
        with activity as (
            insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id, workflow_type, activity_id, activity_type,
                input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker, last_worker_identity, start_to_close_timeout, deadline)
            values (p_shard, v_run_id, v_event_id, v_namespace, v_task_queue, v_workflow_id, v_workflow_type, v_a ->> 'activityId', v_a #>> '{activityType,name}',
                v_a -> 'input', v_priority, case when v_is_eager then 'started' else 'scheduled' end, v_time, v_time, case when v_is_eager then p_now end,
                case when v_is_eager then p_worker_id end, case when v_is_eager then p_identity end, v_start_to_close,
                case when v_is_eager then p_now + v_start_to_close end)),
        written as (
            insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity, worker_build_id, events)
            values (p_shard, v_run_id, v_first_event_id, v_time, p_worker_id, p_identity, p_build_id, v_events || jsonb_build_object(
                'eventType', 'ActivityTaskScheduled', 'given', v_a - array['requestEagerExecution', 'taskQueue'])))
        update perdure.run_states r set next_event_id = v_event_id + 1, last_started_event_id = v_completed_id - 1,
            sticky_worker = case when coalesce((p_item ->> 'sticky')::boolean, true) then p_worker_id end, sticky_event_id = v_event_id + 1,
            workflow_task_failure = null, workflow_task_failed_attempts = 0
        where r.shard = p_shard and r.ctid = v_run_row;
        if v_is_eager then
            started_activities := array[v_event_id];
        else
            perform perdure.wake(v_namespace, v_task_queue, 'activity');
        end if;
        return;
    end if;

    if v_closes then
        v_events := v_events || jsonb_build_object('eventType', 'WorkflowExecutionCompleted', 'given', jsonb_build_object('result', v_a -> 'result'));
        next_event_id := v_completed_id + 2;
        with written as (
            insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity, worker_build_id, events)
            values (p_shard, v_run_id, v_first_event_id, v_time, p_worker_id, p_identity, p_build_id, v_events)),
        closed as (
            update perdure.executions e set status = 'Completed', close_time = v_time, history_length = v_completed_id + 1
            where e.shard = p_shard and e.run_id = v_run_id)
        delete from perdure.run_states r where r.shard = p_shard and r.ctid = v_run_row;
        if perdure.are_results_awaited(v_namespace) then
            perform pg_notify(perdure.result_channel(v_namespace), v_run_id::text);
        end if;
        if exists (select from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_run_id)
            or exists (select from perdure.timers t where t.shard = p_shard and t.run_id = v_run_id)
            or exists (select from perdure.request_ids q where q.shard = p_shard and q.run_id = v_run_id) then
            delete from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_run_id;
            delete from perdure.timers t where t.shard = p_shard and t.run_id = v_run_id;
            delete from perdure.request_ids q where q.shard = p_shard and q.run_id = v_run_id;
        end if;
        return;
    end if;

    for v_i in 0 .. jsonb_array_length(v_commands) - 1 loop
        v_event_id := v_completed_id + 1 + v_i;
        v_a := v_commands -> v_i -> 'attributes';
        v_queue := coalesce(v_a #>> '{taskQueue,name}', v_task_queue);
        v_to_close := perdure.plain_duration(v_a -> 'scheduleToCloseTimeout');
        v_to_start := perdure.plain_duration(v_a -> 'scheduleToStartTimeout');
        v_start_to_close := coalesce(perdure.plain_duration(v_a -> 'startToCloseTimeout'), v_to_close);
        v_heartbeat := perdure.plain_duration(v_a -> 'heartbeatTimeout');
        v_policy := case when v_a -> 'retryPolicy' is not null then perdure.retry_policy(v_a -> 'retryPolicy') end;
        v_events := v_events || perdure.stored_activity_scheduled(v_i = 0, v_completed_id, v_a, v_start_to_close, v_to_close, v_to_start, v_policy,
            nullif(v_queue, v_task_queue));
        v_is_eager := v_a -> 'requestEagerExecution' is not distinct from 'true';
        insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id, workflow_type, activity_id, activity_type,
            input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker, last_worker_identity, schedule_to_close_timeout,
            schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy, deadline)
        values (p_shard, v_run_id, v_event_id, v_namespace, v_queue, v_workflow_id, v_workflow_type, v_a ->> 'activityId', v_a #>> '{activityType,name}',
            v_a -> 'input', v_priority, case when v_is_eager then 'started' else 'scheduled' end, v_time, v_time,
            case when v_is_eager then p_now end, case when v_is_eager then p_worker_id end, case when v_is_eager then p_identity end,
            v_to_close, v_to_start, v_start_to_close, v_heartbeat, v_policy,
            case when v_is_eager then least(v_time + v_to_close, p_now + v_start_to_close, p_now + v_heartbeat)
                else least(v_time + v_to_close, v_time + v_to_start) end);
        if v_is_eager then
            started_activities := started_activities || v_event_id;
        else
            perform perdure.wake(v_namespace, v_queue, 'activity');
        end if;
    end loop;
    next_event_id := v_first_event_id + cardinality(v_events);
    insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity, worker_build_id, events)
    values (p_shard, v_run_id, v_first_event_id, v_time, p_worker_id, p_identity, p_build_id, v_events);
    update perdure.run_states r set next_event_id = v_first_event_id + cardinality(v_events), last_started_event_id = v_completed_id - 1,
        sticky_worker = case when coalesce((p_item ->> 'sticky')::boolean, true) then p_worker_id end, sticky_event_id = v_first_event_id + cardinality(v_events),
        workflow_task_failure = null, workflow_task_failed_attempts = 0
    where r.shard = p_shard and r.ctid = v_run_row;
end
$$;
comment on function perdure.complete_one(smallint, uuid, text, text, timestamptz, jsonb) is
    'Completes one run''s workflow task if its commands are the usual ones, and returns its next event id; null, and nothing changed, if they are not.';

drop function if exists perdure.complete_workflow_tasks(smallint, uuid, jsonb);
create or replace function perdure.complete_workflow_tasks(p_shard smallint, p_worker_id uuid, p_completions jsonb)
returns table (run_id uuid, outcome text, next_event_id bigint, failure jsonb, started_activities bigint[], started_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    -- From here on the one large statement takes less time than many small ones.
    v_many int := perdure.many();
    v_count int;
    v_worker perdure.workers;
    v_identity text;
    v_build_id text;
    v_done uuid[] := array[]::uuid[];
    v_plain record;
    v_items jsonb[];
    v_item jsonb;
    v_result record;
begin
    if jsonb_typeof(p_completions) is distinct from 'array' then
        raise exception 'the completions must be an array' using errcode = 'PD003', hint = 'docs/reference/contract.md shows one.';
    end if;
    started_at := v_now;
    v_count := jsonb_array_length(p_completions);
    if v_count >= v_many then
        v_worker := perdure.require_worker(p_worker_id);
        outcome := 'completed';
        for v_plain in select * from perdure.complete_plainly(p_shard, v_worker, v_now, p_completions) loop
            v_done := v_done || v_plain.run_id;
            run_id := v_plain.run_id;
            next_event_id := v_plain.next_event_id;
            started_activities := v_plain.started_activities;
            return next;
        end loop;
        if cardinality(v_done) = v_count then
            return;
        end if;
    else
        select w.identity, nullif(w.build_id, '') into v_identity, v_build_id from perdure.workers w where w.worker_id = p_worker_id;
        if not found then
            v_worker := perdure.require_worker(p_worker_id);
        end if;
    end if;
    if v_count = 1 then
        v_items := array[p_completions -> 0];
    else
        select array_agg(c.value order by (c.value ->> 'runId')::uuid) into v_items from jsonb_array_elements(p_completions) c
        where (c.value ->> 'runId')::uuid <> all (v_done);
    end if;
    foreach v_item in array coalesce(v_items, '{}') loop
        run_id := (v_item ->> 'runId')::uuid;
        if v_count < v_many then
            v_plain := perdure.complete_one(p_shard, p_worker_id, v_identity, v_build_id, v_now, v_item);
            if v_plain.next_event_id is not null then
                outcome := 'completed';
                next_event_id := v_plain.next_event_id;
                failure := null;
                started_activities := v_plain.started_activities;
                return next;
                continue;
            end if;
        end if;
        v_worker := perdure.require_worker(p_worker_id);
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
