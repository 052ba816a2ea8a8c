-- What a workflow decided: its commands become events, activities, timers or the run's end, in one batch of history.
--
-- Here are the general rules, one run at a time. 33_complete_plainly.sql does the same for many runs in one statement when
-- their commands are the usual ones, and must write what this would write.

create or replace function perdure.check_commands(p_shard smallint, p_run perdure.run_states, p_commands jsonb,
    out cause text, out message text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_command jsonb;
    v_type text;
    v_a jsonb;
    v_activity_ids text[] := array[]::text[];
    v_timer_ids text[] := array[]::text[];
    v_closed boolean := false;
begin
    if jsonb_typeof(p_commands) is distinct from 'array' then
        cause := 'BadBinary'; message := 'the commands must be an array'; return;
    end if;
    for v_command in select c.value from jsonb_array_elements(p_commands) c loop
        v_type := v_command ->> 'commandType';
        v_a := coalesce(v_command -> 'attributes', '{}');
        if v_closed then
            cause := 'UnhandledCommand'; message := format('%s comes after the command that closes the run', v_type); return;
        end if;
        begin
            case v_type
            when 'ScheduleActivityTask' then
                cause := 'BadScheduleActivityAttributes';
                perform perdure.check_name(v_a ->> 'activityId', 'activity id');
                perform perdure.check_name(v_a #>> '{activityType,name}', 'activity type');
                perform perdure.check_payloads(v_a -> 'input', 'activity input');
                perform perdure.duration(v_a -> 'scheduleToStartTimeout', 'scheduleToStartTimeout');
                perform perdure.duration(v_a -> 'heartbeatTimeout', 'heartbeatTimeout');
                perform perdure.duration(v_a #> '{retryPolicy,initialInterval}', 'initialInterval');
                perform perdure.duration(v_a #> '{retryPolicy,maximumInterval}', 'maximumInterval');
                if coalesce(perdure.duration(v_a -> 'startToCloseTimeout', 'startToCloseTimeout'), interval '0') = interval '0'
                    and coalesce(perdure.duration(v_a -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'), interval '0') = interval '0' then
                    message := format('activity %s has neither a startToCloseTimeout nor a scheduleToCloseTimeout', v_a ->> 'activityId'); return;
                end if;
                -- NaN counts as above every number.
                if not coalesce((v_a #>> '{retryPolicy,backoffCoefficient}')::double precision, 2) between 1 and 1e6
                    or coalesce((v_a #>> '{retryPolicy,maximumAttempts}')::int, 0) < 0 then
                    message := format('activity %s has a retry policy with a coefficient below 1 or negative attempts', v_a ->> 'activityId'); return;
                end if;
                if coalesce(jsonb_typeof(v_a #> '{retryPolicy,nonRetryableErrorTypes}'), 'array') not in ('array', 'null') then
                    message := format('the nonRetryableErrorTypes of activity %s are no array', v_a ->> 'activityId'); return;
                end if;
                if coalesce((v_a #>> '{priority,priorityKey}')::smallint, 3) not between 1 and 5 then
                    message := format('activity %s has a priority that is not 1 to 5', v_a ->> 'activityId'); return;
                end if;
                perform perdure.check_name(coalesce(v_a #>> '{taskQueue,name}', p_run.task_queue), 'task queue');
                if v_a ->> 'activityId' = any (v_activity_ids) or exists (
                    select from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id and t.activity_id = v_a ->> 'activityId') then
                    cause := 'ScheduleActivityDuplicateId'; message := format('activity id %s is already in use', v_a ->> 'activityId'); return;
                end if;
                v_activity_ids := v_activity_ids || (v_a ->> 'activityId');
            when 'RequestCancelActivityTask' then
                cause := 'BadRequestCancelActivityAttributes';
                if coalesce((v_a ->> 'scheduledEventId')::bigint, 0) <= 0 or (v_a ->> 'scheduledEventId')::bigint >= p_run.next_event_id then
                    message := format('no activity was scheduled by event %s', v_a ->> 'scheduledEventId'); return;
                end if;
            when 'StartTimer' then
                cause := 'BadStartTimerAttributes';
                perform perdure.check_name(v_a ->> 'timerId', 'timer id');
                if perdure.duration(v_a -> 'startToFireTimeout', 'startToFireTimeout') is null then
                    message := 'a timer needs a startToFireTimeout'; return;
                end if;
                if v_a ->> 'timerId' = any (v_timer_ids) or exists (select from perdure.timers t
                    where t.shard = p_shard and t.run_id = p_run.run_id and t.kind = 'timer' and t.timer_id = v_a ->> 'timerId') then
                    cause := 'StartTimerDuplicateId'; message := format('timer id %s is already in use', v_a ->> 'timerId'); return;
                end if;
                v_timer_ids := v_timer_ids || (v_a ->> 'timerId');
            when 'CancelTimer' then
                cause := 'BadCancelTimerAttributes';
                if not (v_a ->> 'timerId' = any (v_timer_ids)) and not exists (select from perdure.timers t
                        where t.shard = p_shard and t.run_id = p_run.run_id and t.kind = 'timer' and t.timer_id = v_a ->> 'timerId')
                    and not exists (select from unnest(p_run.buffered_events) e
                        where e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId') then
                    message := format('there is no timer %s', v_a ->> 'timerId'); return;
                end if;
                v_timer_ids := array_remove(v_timer_ids, v_a ->> 'timerId');
            when 'CompleteWorkflowExecution' then
                cause := 'BadCompleteWorkflowExecutionAttributes';
                perform perdure.check_payloads(v_a -> 'result', 'result');
                v_closed := true;
            when 'FailWorkflowExecution' then
                cause := 'BadFailWorkflowExecutionAttributes';
                if jsonb_typeof(v_a -> 'failure') is distinct from 'object' then
                    message := 'FailWorkflowExecution needs a failure'; return;
                end if;
                v_closed := true;
            when 'CancelWorkflowExecution' then
                v_closed := true;
            when 'UpsertWorkflowSearchAttributes' then
                cause := 'BadSearchAttributes';
                if jsonb_typeof(v_a -> 'searchAttributes') is distinct from 'object' then
                    message := 'searchAttributes must be an object'; return;
                end if;
                perform perdure.check_search_attributes(p_run.namespace, v_a -> 'searchAttributes');
            when 'ModifyWorkflowProperties' then
                cause := 'BadModifyWorkflowPropertiesAttributes';
                if jsonb_typeof(v_a -> 'upsertedMemo') is distinct from 'object' then
                    message := 'upsertedMemo must be an object of payloads'; return;
                end if;
                perform perdure.check_memo(v_a -> 'upsertedMemo', 'upsertedMemo');
            when 'RecordMarker' then
                cause := 'BadRecordMarkerAttributes';
                perform perdure.check_name(v_a ->> 'markerName', 'marker name');
            else
                cause := 'BadBinary'; message := format('unknown command type %s', coalesce(v_type, 'null')); return;
            end case;
        exception
            when sqlstate 'PD003' or sqlstate 'PD004' or sqlstate 'PD008' or data_exception then
                message := sqlerrm; return;
        end;
        if octet_length(v_command::text) > 4194304 then
            message := format('%s is larger than 4 MiB', v_type); return;
        end if;
    end loop;
    if v_closed and cardinality(p_run.buffered_events) > 0 then
        cause := 'UnhandledCommand'; message := 'something happened to the run while it was closing: it must see that first'; return;
    end if;
    cause := null;
end
$$;
comment on function perdure.check_commands(smallint, perdure.run_states, jsonb) is
    'Why a workflow task with these commands must fail, as Temporal''s cause and a message; null when they are good.';

create or replace function perdure.retry_policy(p_policy jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_build_object('initialInterval', perdure.seconds(f.initial), 'backoffCoefficient', coalesce((p_policy ->> 'backoffCoefficient')::numeric, 2),
        'maximumInterval', perdure.seconds(coalesce(nullif(perdure.duration(p_policy -> 'maximumInterval', 'maximumInterval'), interval '0'), 100 * f.initial)))
        || case when coalesce((p_policy ->> 'maximumAttempts')::int, 0) > 0 then jsonb_build_object('maximumAttempts', (p_policy ->> 'maximumAttempts')::int) else '{}' end
        || case when jsonb_array_length(coalesce(nullif(p_policy -> 'nonRetryableErrorTypes', 'null'), '[]')) > 0
            then jsonb_build_object('nonRetryableErrorTypes', p_policy -> 'nonRetryableErrorTypes') else '{}' end
    from (select coalesce(nullif(perdure.duration(p_policy -> 'initialInterval', 'initialInterval'), interval '0'), interval '1 s') as initial) f);
end
$$;
comment on function perdure.retry_policy(jsonb) is 'A retry policy with Temporal''s defaults filled in: 1 s, times 2, at most 100 times the first.';

create or replace function perdure.begin_fused_step(p_shard smallint, p_worker perdure.workers, p_run perdure.run_states, p_now timestamptz, p_item jsonb)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_time timestamptz := (p_item ->> 'startedAt')::timestamptz;
    v_activity perdure.activity_tasks;
begin
    -- Whatever else happened to the run gave it another next event id, or is buffered.
    if p_run.next_event_id <> (p_item ->> 'nextEventId')::bigint or p_run.buffered_events <> '{}'
        or exists (select from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id) then
        return false;
    end if;
    select * into v_activity from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id
        and t.scheduled_event_id = (p_item #>> '{activity,scheduledEventId}')::bigint for update;
    if v_activity.state is distinct from 'started' or v_activity.worker <> p_worker.worker_id
        or v_activity.attempt <> (p_item #>> '{activity,attempt}')::int or v_time not between v_activity.started_at and p_now then
        return false;
    end if;
    begin
        perform perdure.check_payloads(p_item #> '{activity,result}', 'activity result');
    exception when sqlstate 'PD003' or sqlstate 'PD004' then
        return false;
    end;
    delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id and t.scheduled_event_id = v_activity.scheduled_event_id;
    perform perdure.record_events(p_shard, p_run, v_time, array[perdure.activity_started(v_activity),
        perdure.event('ActivityTaskCompleted', jsonb_build_object('result', p_item #> '{activity,result}',
            'scheduledEventId', v_activity.scheduled_event_id, 'identity', v_activity.last_worker_identity))]);
    update perdure.workflow_tasks t set state = 'started', worker = p_worker.worker_id, started_at = v_time, sticky_worker = null,
        deadline = p_now + t.start_to_close_timeout
    where t.shard = p_shard and t.run_id = p_run.run_id;
    return true;
end
$$;
comment on function perdure.begin_fused_step(smallint, perdure.workers, perdure.run_states, timestamptz, jsonb) is
    'The first half of a fused step: the activity is completed and the workflow task that this makes is started. False, and nothing changed, when the run is not as the worker knew it.';

create or replace function perdure.complete_workflow_task(p_shard smallint, p_worker perdure.workers, p_now timestamptz, p_item jsonb,
    out outcome text, out next_event_id bigint, out failure jsonb, out started_activities bigint[])
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- The time of the events: a fused step happened when the worker took it, and its code saw that time.
    v_now timestamptz := p_now;
    v_run_id uuid := (p_item ->> 'runId')::uuid;
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
    v_cause text;
    v_message text;
    v_events jsonb[];
    v_completed bigint;
    v_sticky_event_id bigint;
    v_scheduled bigint;
    v_command jsonb;
    v_a jsonb;
    v_status perdure.execution_status;
    v_again boolean;
    v_buffered jsonb[];
    v_id bigint;
    v_policy jsonb;
    v_to_close interval;
    v_to_start interval;
    v_start_to_close interval;
    v_queue text;
    v_started_event_id bigint;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
    if p_item ? 'activity' then
        v_now := (p_item ->> 'startedAt')::timestamptz;
        if v_run.run_id is null or not perdure.begin_fused_step(p_shard, p_worker, v_run, p_now, p_item) then
            outcome := 'stale';
            return;
        end if;
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
    end if;
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_run_id for update;
    if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker.worker_id
        -- As the claim told it: an attempt that is not the first gets its event when it is completed.
        or not p_item ? 'activity' and (v_task.attempt <> (p_item ->> 'attempt')::int
            or (case v_task.attempt when 1 then v_task.scheduled_event_id else v_run.next_event_id end) is distinct from (p_item ->> 'scheduledEventId')::bigint) then
        outcome := 'lost';
        return;
    end if;

    select c.cause, c.message into v_cause, v_message from perdure.check_commands(p_shard, v_run, p_item -> 'commands') c;
    if v_cause is not null then
        failure := jsonb_build_object('message', v_message, 'source', 'Perdure', 'serverFailureInfo', jsonb_build_object('nonRetryable', false));
        perform perdure.end_workflow_task(p_shard, v_run, v_task, p_worker.identity, v_now, 'WorkflowTaskFailed',
            jsonb_build_object('cause', v_cause, 'failure', failure, 'identity', p_worker.identity),
            jsonb_build_object('cause', v_cause, 'failure', failure));
        outcome := 'failed';
        return;
    end if;

    v_events := '{}';
    v_scheduled := v_task.scheduled_event_id;
    if v_task.attempt > 1 then
        v_scheduled := v_run.next_event_id;
        v_events := array[perdure.workflow_task_scheduled(v_run, v_task.attempt)
            || jsonb_build_object('eventTime', perdure.rfc3339(v_task.scheduled_at))];
    end if;
    v_completed := v_run.next_event_id + cardinality(v_events) + 1;
    v_events := v_events
        || perdure.workflow_task_started(v_scheduled, p_worker.identity, p_worker.worker_id, v_task.started_at)
        || perdure.event('WorkflowTaskCompleted', jsonb_build_object('scheduledEventId', v_scheduled, 'startedEventId', v_completed - 1,
            'identity', p_worker.identity, 'binaryChecksum', nullif(p_worker.build_id, '')));
    v_status := null;
    v_again := false;
    v_buffered := v_run.buffered_events;

    for v_command in select c.value from jsonb_array_elements(p_item -> 'commands') c loop
        v_a := coalesce(v_command -> 'attributes', '{}');
        v_id := v_run.next_event_id + cardinality(v_events);
        case v_command ->> 'commandType'
        when 'ScheduleActivityTask' then
            v_to_close := nullif(perdure.duration(v_a -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'), interval '0');
            v_to_start := nullif(perdure.duration(v_a -> 'scheduleToStartTimeout', 'scheduleToStartTimeout'), interval '0');
            v_start_to_close := coalesce(nullif(perdure.duration(v_a -> 'startToCloseTimeout', 'startToCloseTimeout'), interval '0'), v_to_close);
            v_policy := perdure.retry_policy(v_a -> 'retryPolicy');
            v_queue := coalesce(v_a #>> '{taskQueue,name}', v_run.task_queue);
            v_events := v_events || perdure.event('ActivityTaskScheduled', jsonb_build_object(
                'activityId', v_a ->> 'activityId', 'activityType', v_a -> 'activityType',
                'taskQueue', jsonb_build_object('name', v_queue, 'kind', 'Normal'), 'input', v_a -> 'input',
                'scheduleToCloseTimeout', perdure.seconds(v_to_close), 'scheduleToStartTimeout', perdure.seconds(v_to_start),
                'startToCloseTimeout', perdure.seconds(v_start_to_close), 'heartbeatTimeout', v_a ->> 'heartbeatTimeout',
                'workflowTaskCompletedEventId', v_completed, 'retryPolicy', v_policy, 'priority', v_a -> 'priority'));
            insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id, workflow_type,
                activity_id, activity_type, input, priority, scheduled_at, attempt_scheduled_at, schedule_to_close_timeout,
                schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy, deadline)
            values (p_shard, v_run.run_id, v_id, v_run.namespace, v_queue, v_run.workflow_id, v_run.workflow_type,
                v_a ->> 'activityId', v_a #>> '{activityType,name}', coalesce(v_a -> 'input', '[]'),
                coalesce((v_a #>> '{priority,priorityKey}')::smallint, v_run.priority), v_now, v_now, v_to_close, v_to_start, v_start_to_close,
                nullif(perdure.duration(v_a -> 'heartbeatTimeout', 'heartbeatTimeout'), interval '0'), v_policy,
                perdure.activity_deadline(v_to_close, v_to_start, null, null, v_now, v_now, null, null));
            if (v_a -> 'requestEagerExecution') = 'true' then
                update perdure.activity_tasks t set state = 'started', worker = p_worker.worker_id, started_at = p_now,
                    last_worker_identity = p_worker.identity,
                    deadline = perdure.activity_deadline(t.schedule_to_close_timeout, null, t.start_to_close_timeout, t.heartbeat_timeout,
                        t.scheduled_at, t.attempt_scheduled_at, p_now, null)
                where t.shard = p_shard and t.run_id = v_run.run_id and t.scheduled_event_id = v_id;
                started_activities := started_activities || v_id;
            else
                perform perdure.wake(v_run.namespace, v_queue, 'activity');
            end if;
        when 'RequestCancelActivityTask' then
            v_events := v_events || perdure.event('ActivityTaskCancelRequested', jsonb_build_object(
                'scheduledEventId', (v_a ->> 'scheduledEventId')::bigint, 'workflowTaskCompletedEventId', v_completed));
            delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_run.run_id
                and t.scheduled_event_id = (v_a ->> 'scheduledEventId')::bigint and t.state <> 'started';
            if found then
                v_events := v_events || perdure.event('ActivityTaskCanceled', jsonb_build_object('latestCancelRequestedEventId', v_id,
                    'scheduledEventId', (v_a ->> 'scheduledEventId')::bigint, 'startedEventId', 0, 'identity', p_worker.identity));
                v_again := true;
            else
                update perdure.activity_tasks t set cancel_requested = true, cancel_requested_event_id = v_id where t.shard = p_shard and t.run_id = v_run.run_id
                    and t.scheduled_event_id = (v_a ->> 'scheduledEventId')::bigint;
            end if;
        when 'StartTimer' then
            v_events := v_events || perdure.event('TimerStarted', jsonb_build_object('timerId', v_a ->> 'timerId',
                'startToFireTimeout', v_a ->> 'startToFireTimeout', 'workflowTaskCompletedEventId', v_completed));
            insert into perdure.timers (shard, run_id, kind, started_event_id, timer_id, fire_at)
            values (p_shard, v_run.run_id, 'timer', v_id, v_a ->> 'timerId', v_now + perdure.duration(v_a -> 'startToFireTimeout', 'startToFireTimeout'));
        when 'CancelTimer' then
            delete from perdure.timers t where t.shard = p_shard and t.run_id = v_run.run_id and t.kind = 'timer' and t.timer_id = v_a ->> 'timerId'
            returning t.started_event_id into v_started_event_id;
            if not found then
                select (e #>> '{attributes,startedEventId}')::bigint into v_started_event_id from unnest(v_buffered) e
                where e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId';
                select coalesce(array_agg(e order by n), '{}') into v_buffered from unnest(v_buffered) with ordinality b (e, n)
                where not (e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId');
            end if;
            v_events := v_events || perdure.event('TimerCanceled', jsonb_build_object('timerId', v_a ->> 'timerId',
                'startedEventId', v_started_event_id, 'workflowTaskCompletedEventId', v_completed, 'identity', p_worker.identity));
        when 'UpsertWorkflowSearchAttributes' then
            v_events := v_events || perdure.event('UpsertWorkflowSearchAttributes', jsonb_build_object(
                'workflowTaskCompletedEventId', v_completed, 'searchAttributes', v_a -> 'searchAttributes'));
            update perdure.executions e set search_attributes = perdure.present(e.search_attributes || (v_a -> 'searchAttributes'))
            where e.shard = p_shard and e.run_id = v_run.run_id;
        when 'ModifyWorkflowProperties' then
            v_events := v_events || perdure.event('WorkflowPropertiesModified', jsonb_build_object(
                'workflowTaskCompletedEventId', v_completed, 'upsertedMemo', v_a -> 'upsertedMemo'));
            update perdure.executions e set memo = perdure.present(e.memo || (v_a -> 'upsertedMemo'))
            where e.shard = p_shard and e.run_id = v_run.run_id;
        when 'RecordMarker' then
            v_events := v_events || perdure.event('MarkerRecorded', jsonb_build_object('markerName', v_a ->> 'markerName',
                'details', v_a -> 'details', 'workflowTaskCompletedEventId', v_completed, 'failure', v_a -> 'failure'));
        when 'CompleteWorkflowExecution' then
            v_status := 'Completed';
            v_events := v_events || perdure.event('WorkflowExecutionCompleted', jsonb_build_object('result', v_a -> 'result',
                'workflowTaskCompletedEventId', v_completed));
        when 'FailWorkflowExecution' then
            v_status := 'Failed';
            v_events := v_events || perdure.event('WorkflowExecutionFailed', jsonb_build_object('failure', v_a -> 'failure',
                'retryState', 'RetryPolicyNotSet', 'workflowTaskCompletedEventId', v_completed));
        when 'CancelWorkflowExecution' then
            v_status := 'Canceled';
            v_events := v_events || perdure.event('WorkflowExecutionCanceled', jsonb_build_object('details', v_a -> 'details',
                'workflowTaskCompletedEventId', v_completed));
        end case;
    end loop;

    if v_status is not null then
        perform perdure.append_events(p_shard, v_run.run_id, v_now, v_run.next_event_id, v_events);
        next_event_id := v_run.next_event_id + cardinality(v_events);
        perform perdure.close_run(p_shard, v_run.run_id, v_status, v_now, next_event_id - 1);
        outcome := 'completed';
        return;
    end if;

    next_event_id := v_run.next_event_id + cardinality(v_events);
    v_sticky_event_id := next_event_id;
    delete from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_run.run_id;
    if cardinality(v_buffered) > 0 then
        v_events := v_events || perdure.in_flush_order(v_buffered);
        v_again := true;
    end if;
    v_run.sticky_worker := case when coalesce((p_item ->> 'sticky')::boolean, true) then p_worker.worker_id end;
    if v_again then
        v_events := v_events || perdure.workflow_task_scheduled(v_run, 1);
        perform perdure.schedule_workflow_task(p_shard, v_run, v_now, v_run.next_event_id + cardinality(v_events) - 1);
        v_events := perdure.number_events(v_run.next_event_id, v_events);
    end if;
    perform perdure.append_events(p_shard, v_run.run_id, v_now, v_run.next_event_id, v_events);
    -- What became of activities and timers follows from their commands, so the worker has seen it. A batch is read whole.
    if v_again or jsonb_path_exists(p_item -> 'commands', '$[*] ? (@.commandType != "ScheduleActivityTask" && @.commandType != "StartTimer")') then
        v_sticky_event_id := v_run.next_event_id;
    end if;
    update perdure.run_states r set next_event_id = v_run.next_event_id + cardinality(v_events),
        last_started_event_id = v_completed - 1, buffered_events = '{}',
        sticky_worker = v_run.sticky_worker, sticky_event_id = v_sticky_event_id,
        workflow_task_failure = null, workflow_task_failed_attempts = 0
    where r.shard = p_shard and r.run_id = v_run.run_id;
    outcome := 'completed';
end
$$;
comment on function perdure.complete_workflow_task(smallint, perdure.workers, timestamptz, jsonb) is
    'One run''s workflow task, by the general rules; see complete_workflow_tasks.';
