-- Completes a workflow task: its commands become events, activities, timers or the run's end, in one batch of history.
--
-- These are the general rules, one run at a time. 33_complete_many.sql completes many runs in one statement if their
-- commands are the usual ones, and must write what these rules would write.

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
    v_search_attributes jsonb;
    v_memo jsonb;
begin
    if jsonb_typeof(p_commands) is distinct from 'array' then
        cause := 'BadBinary'; message := 'the commands must be an array'; return;
    end if;
    for v_command in select c.value from jsonb_array_elements(p_commands) c loop
        v_type := v_command ->> 'commandType';
        v_a := coalesce(v_command -> 'attributes', '{}');
        if v_closed then
            cause := 'UnhandledCommand'; message := format('%s comes after the command that closes the run',
                v_type); return;
        end if;
        begin
            cause := 'BadBinary';
            if jsonb_typeof(v_a) <> 'object' then
                message := format('the attributes of %s must be an object', v_type); return;
            end if;
            perform perdure.check_memo(v_command -> 'userMetadata', 'user metadata');
            perform perdure.check_memo(v_a #> '{header}', 'header');
            perform perdure.check_document(v_command -> 'eventGroupMarkers', 'event group markers',
                perdure.maximum('options'));
            case v_type
            when 'ScheduleActivityTask' then
                cause := 'BadScheduleActivityAttributes';
                perform perdure.check_name(v_a ->> 'activityId', 'activity id');
                perform perdure.check_name(v_a #>> '{activityType,name}', 'activity type');
                perform perdure.check_payloads(v_a -> 'input', 'activity input');
                perform perdure.duration(v_a -> 'scheduleToStartTimeout', 'scheduleToStartTimeout');
                perform perdure.duration(v_a -> 'heartbeatTimeout', 'heartbeatTimeout');
                perform perdure.check_retry_policy(v_a -> 'retryPolicy',
                    format('retry policy of activity %s', v_a ->> 'activityId'));
                if coalesce(perdure.duration(v_a -> 'startToCloseTimeout', 'startToCloseTimeout'),
                    interval '0') = interval '0'
                    and coalesce(perdure.duration(v_a -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'),
                        interval '0') = interval '0' then
                    message := format('activity %s has neither a startToCloseTimeout nor a scheduleToCloseTimeout',
                        v_a ->> 'activityId'); return;
                end if;
                perform perdure.check_priority(v_a -> 'priority');
                perform perdure.check_task_queue(coalesce(v_a #>> '{taskQueue,name}', p_run.task_queue));
                if v_a ->> 'activityId' = any (v_activity_ids) or exists (
                    select from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id
                        and t.activity_id = v_a ->> 'activityId') then
                    cause := 'ScheduleActivityDuplicateId'; message := format('activity id %s is already in use',
                        v_a ->> 'activityId'); return;
                end if;
                v_activity_ids := v_activity_ids || (v_a ->> 'activityId');
            when 'RequestCancelActivityTask' then
                cause := 'BadRequestCancelActivityAttributes';
                if coalesce((v_a ->> 'scheduledEventId')::bigint, 0) <= 0
                    or (v_a ->> 'scheduledEventId')::bigint >= p_run.next_event_id then
                    message := format('no activity was scheduled by event %s', v_a ->> 'scheduledEventId'); return;
                end if;
            when 'StartTimer' then
                cause := 'BadStartTimerAttributes';
                perform perdure.check_name(v_a ->> 'timerId', 'timer id');
                if perdure.duration(v_a -> 'startToFireTimeout', 'startToFireTimeout') is null then
                    message := 'a timer needs a startToFireTimeout'; return;
                end if;
                if v_a ->> 'timerId' = any (v_timer_ids) or exists (select from perdure.timers t
                    where t.shard = p_shard and t.run_id = p_run.run_id and t.kind = 'timer'
                        and t.timer_id = v_a ->> 'timerId') then
                    cause := 'StartTimerDuplicateId'; message := format('timer id %s is already in use',
                        v_a ->> 'timerId'); return;
                end if;
                v_timer_ids := v_timer_ids || (v_a ->> 'timerId');
            when 'CancelTimer' then
                cause := 'BadCancelTimerAttributes';
                if not (v_a ->> 'timerId' = any (v_timer_ids)) and not exists (select from perdure.timers t
                        where t.shard = p_shard and t.run_id = p_run.run_id and t.kind = 'timer'
                            and t.timer_id = v_a ->> 'timerId')
                    and not exists (select from perdure.buffered_events b cross join lateral unnest(b.events) e
                        where b.shard = p_shard and b.run_id = p_run.run_id
                          and e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId')
                              then
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
                cause := 'BadCancelWorkflowExecutionAttributes';
                perform perdure.check_payloads(nullif(v_a -> 'details', 'null'), 'details');
                v_closed := true;
            when 'ContinueAsNewWorkflowExecution' then
                cause := 'BadContinueAsNewAttributes';
                perform perdure.check_continue_as_new(p_run, v_a);
                v_closed := true;
            when 'UpsertWorkflowSearchAttributes' then
                cause := 'BadSearchAttributes';
                if jsonb_typeof(v_a -> 'searchAttributes') is distinct from 'object' then
                    message := 'searchAttributes must be an object'; return;
                end if;
                perform perdure.check_search_attributes(p_run.namespace, v_a -> 'searchAttributes');
                select perdure.present(coalesce(v_search_attributes, e.search_attributes)
                    || (v_a -> 'searchAttributes')) into v_search_attributes
                from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
                perform perdure.check_search_attributes(p_run.namespace, v_search_attributes);
            when 'ModifyWorkflowProperties' then
                cause := 'BadModifyWorkflowPropertiesAttributes';
                if jsonb_typeof(v_a -> 'upsertedMemo') is distinct from 'object' then
                    message := 'upsertedMemo must be an object of payloads'; return;
                end if;
                perform perdure.check_memo(v_a -> 'upsertedMemo', 'upsertedMemo');
                select perdure.memo_entries(coalesce(v_memo, e.memo) || (v_a -> 'upsertedMemo')) into v_memo
                from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
                perform perdure.check_document(v_memo, 'memo', perdure.maximum('memo'));
            when 'RecordMarker' then
                cause := 'BadRecordMarkerAttributes';
                perform perdure.check_name(v_a ->> 'markerName', 'marker name');
                perform perdure.check_document(v_a -> 'details', 'details of the marker', perdure.maximum('payloads'));
            when 'StartChildWorkflowExecution' then
                cause := 'BadStartChildExecutionAttributes';
                perform perdure.check_start_child(p_run, v_a);
            when 'SignalExternalWorkflowExecution' then
                cause := 'BadSignalWorkflowExecutionAttributes';
                perform perdure.check_external(p_run, perdure.external_attributes(v_command));
            when 'RequestCancelExternalWorkflowExecution' then
                cause := 'BadRequestCancelExternalWorkflowExecutionAttributes';
                perform perdure.check_external(p_run, perdure.external_attributes(v_command));
            when 'ProtocolMessage' then
                -- check_messages checks the message.
                null;
            else
                cause := 'BadBinary'; message := format('unknown command type %s', coalesce(v_type, 'null')); return;
            end case;
        exception
            when sqlstate 'PD003' or sqlstate 'PD004' or sqlstate 'PD008' or data_exception then
                message := sqlerrm; return;
        end;
    end loop;
    -- The failure of a FailWorkflowExecution is left out here, because it is cut when it is written.
    cause := perdure.document_problem(case when v_type = 'FailWorkflowExecution' then p_commands - -1
        else p_commands end, perdure.maximum('commands'),
        perdure.maximum('depth') + 8);
    if cause is not null then
        message := format('what the workflow task decided %s', cause); cause := 'GrpcMessageTooLarge'; return;
    end if;
    if v_closed and p_run.buffered_count > 0 then
        -- An event came while the run was closing; the run's code must see it first.
        cause := 'UnhandledCommand'; message := 'UnhandledCommand'; return;
    end if;
    cause := null;
end
$$;
comment on function perdure.check_commands(smallint, perdure.run_states, jsonb) is
    'Why a workflow task with these commands must fail, as Temporal''s cause and a message; null when they are good.';

create or replace function perdure.check_retry_policy(p_policy jsonb, p_what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_types jsonb := nullif(p_policy -> 'nonRetryableErrorTypes', 'null');
begin
    if p_policy is null or p_policy = 'null' then
        return;
    end if;
    if jsonb_typeof(p_policy) <> 'object' then
        raise exception 'the % is no object', p_what using errcode = 'PD003',
            hint = 'For example {"maximumAttempts": 3}.';
    end if;
    perform perdure.check_document(p_policy, p_what, perdure.maximum('options'));
    perform perdure.duration(p_policy -> 'initialInterval', 'initialInterval');
    perform perdure.duration(p_policy -> 'maximumInterval', 'maximumInterval');
    if coalesce(jsonb_typeof(nullif(p_policy -> 'backoffCoefficient', 'null')), 'number') <> 'number'
        or not coalesce((p_policy ->> 'backoffCoefficient')::numeric, 2) between 1 and 1000000 then
        raise exception 'the % has a coefficient that is not 1 to 1000000', p_what using errcode = 'PD003',
            hint = '2 is the default.';
    end if;
    if coalesce(jsonb_typeof(nullif(p_policy -> 'maximumAttempts', 'null')), 'number') <> 'number'
        or not coalesce((p_policy ->> 'maximumAttempts')::numeric, 0) between 0 and 2147483647
        or (p_policy ->> 'maximumAttempts')::numeric <> trunc((p_policy ->> 'maximumAttempts')::numeric) then
        raise exception 'the % has maximumAttempts that are no whole number from 0', p_what using errcode = 'PD003',
            hint = '0 is without limit.';
    end if;
    if jsonb_typeof(v_types) <> 'array' or jsonb_path_exists(v_types, 'strict $[*] ? (@.type() != "string")') then
        raise exception 'the nonRetryableErrorTypes of the % are no array of texts', p_what using errcode = 'PD003',
            hint = 'For example ["InvalidAccount"].';
    end if;
end
$$;
comment on function perdure.check_retry_policy(jsonb, text) is
    'Raises PD003 or PD004 unless a retry policy is absent or valid: its attempts can be counted and their times '
    'computed.';

create or replace function perdure.retry_policy(p_policy jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_build_object('initialInterval', perdure.seconds(f.initial),
            'backoffCoefficient', coalesce((p_policy ->> 'backoffCoefficient')::numeric, 2),
            'maximumInterval', perdure.seconds(coalesce(nullif(perdure.duration(p_policy -> 'maximumInterval',
                'maximumInterval'), interval '0'),
                least(100 * f.initial, perdure.longest()))))
        || case when coalesce((p_policy ->> 'maximumAttempts')::numeric, 0) > 0
            then jsonb_build_object('maximumAttempts', (p_policy ->> 'maximumAttempts')::numeric::int) else '{}' end
        || case when jsonb_array_length(coalesce(nullif(p_policy -> 'nonRetryableErrorTypes', 'null'), '[]')) > 0
            then jsonb_build_object('nonRetryableErrorTypes', p_policy -> 'nonRetryableErrorTypes') else '{}' end
    from (select coalesce(nullif(perdure.duration(p_policy -> 'initialInterval', 'initialInterval'), interval '0'),
        interval '1 s') as initial) f);
end
$$;
comment on function perdure.retry_policy(jsonb) is
    'A retry policy with Temporal''s defaults filled in: 1 s, times 2, at most 100 times the first.';

create or replace function perdure.begin_fused_step(p_shard smallint, p_worker perdure.workers,
    p_run perdure.run_states, p_now timestamptz, p_item jsonb)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_time timestamptz := (p_item ->> 'startedAt')::timestamptz;
    v_activity perdure.activity_tasks;
begin
    -- Any other event of the run has changed its next event id or is buffered.
    if p_run.next_event_id <> (p_item ->> 'nextEventId')::bigint or p_run.buffered_count > 0
        or exists (select from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id) then
        return false;
    end if;
    select * into v_activity from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id
        and t.scheduled_event_id = (p_item #>> '{activity,scheduledEventId}')::bigint for update;
    if v_activity.state is distinct from 'started' or v_activity.worker <> p_worker.worker_id
        or v_activity.attempt <> (p_item #>> '{activity,attempt}')::int or v_time not between v_activity.started_at
            and p_now then
        return false;
    end if;
    begin
        perform perdure.check_payloads(p_item #> '{activity,result}', 'activity result');
    exception when sqlstate 'PD003' or sqlstate 'PD004' then
        return false;
    end;
    delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run.run_id
        and t.scheduled_event_id = v_activity.scheduled_event_id;
    perform perdure.record_events(p_shard, p_run, v_time, array[perdure.activity_started(v_activity, p_worker.build_id),
        perdure.event('ActivityTaskCompleted', jsonb_build_object('result', p_item #> '{activity,result}',
            'scheduledEventId', v_activity.scheduled_event_id, 'identity', v_activity.last_worker_identity))]);
    update perdure.workflow_tasks t set state = 'started', worker = p_worker.worker_id, started_at = v_time,
        sticky_worker = null,
        deadline = p_now + t.start_to_close_timeout
    where t.shard = p_shard and t.run_id = p_run.run_id;
    return true;
end
$$;
comment on function perdure.begin_fused_step(smallint, perdure.workers, perdure.run_states, timestamptz, jsonb) is
    'The first half of a fused step: completes the activity and starts the workflow task that this makes. Returns '
    'false, and changes nothing, if the run is not in the state that the worker knew.';

drop function if exists perdure.complete_workflow_task(smallint, perdure.workers, timestamptz, jsonb);
create or replace function perdure.complete_workflow_task(p_shard smallint, p_worker perdure.workers, p_now timestamptz,
    p_item jsonb,
    out outcome text, out next_event_id bigint, out failure jsonb, out started_activities bigint[],
        out history_size bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- The time of the events. A fused step happened when the worker took it, and the run's code saw that time.
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
    v_is_eager boolean;
    v_event jsonb;
    v_bytes_told bigint;
    v_excess text;
    v_affects_others boolean := false;
    v_next perdure.next_run;
begin
    if p_item ? 'buildId' then
        perform perdure.check_text(p_item ->> 'buildId', 'build id', perdure.maximum('build id'));
    end if;
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
    -- The size of the history that the run's code was told; for a fused step, the size before the step.
    v_bytes_told := v_run.history_bytes;
    v_excess := perdure.history_excess(v_run);
    if p_item ? 'activity' then
        v_now := (p_item ->> 'startedAt')::timestamptz;
        if v_run.run_id is null or v_excess is not null
            or not perdure.begin_fused_step(p_shard, p_worker, v_run, p_now, p_item) then
            outcome := 'stale';
            return;
        end if;
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
    end if;
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_run_id for update;
    if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker.worker_id
        -- The ids are those that the claim told: a later attempt gets its event only when it is completed.
        or not p_item ? 'activity' and (v_task.attempt <> (p_item ->> 'attempt')::int
            or perdure.told_scheduled_event_id(v_task, v_run.next_event_id) is distinct
                from (p_item ->> 'scheduledEventId')::bigint) then
        outcome := 'lost';
        return;
    end if;

    if v_excess is not null
        and not jsonb_path_exists(p_item -> 'commands',
            '$[*] ? (@.commandType like_regex "^(Complete|Fail|Cancel|ContinueAsNew)WorkflowExecution$")') then
        perform perdure.end_excess(p_shard, v_run, v_now, '{}');
        outcome := 'failed';
        failure := jsonb_build_object('message', v_excess, 'source', 'Perdure', 'terminatedFailureInfo', '{}'::jsonb);
        return;
    end if;
    select c.cause, c.message into v_cause, v_message
        from perdure.check_commands(p_shard, v_run, p_item -> 'commands') c;
    if v_cause is null then
        v_message := perdure.check_messages(p_shard, v_run_id, p_item -> 'commands', p_item -> 'messages');
        v_cause := case when v_message is not null then 'BadUpdateWorkflowExecutionMessage' end;
    end if;
    if v_cause is null and p_item ? 'sdkMetadata' then
        v_message := 'the SDK metadata ' || perdure.document_problem(p_item -> 'sdkMetadata',
            perdure.maximum('options'));
        v_cause := case when v_message is not null then 'BadBinary' end;
    end if;
    if v_cause is not null then
        failure := jsonb_build_object('message', v_message, 'serverFailureInfo',
            jsonb_build_object('nonRetryable', false)) || case when v_cause = 'UnhandledCommand' then '{}'
                else jsonb '{"source": "Perdure"}' end;
        perform perdure.end_workflow_task(p_shard, v_run, v_task, p_worker.identity, v_now, 'WorkflowTaskFailed',
            jsonb_build_object('cause', v_cause, 'failure', failure, 'identity', p_worker.identity),
            jsonb_build_object('cause', v_cause, 'failure', failure));
        outcome := 'failed';
        return;
    end if;

    if v_task.scheduled_event_id = 0 and v_run.buffered_count = 0 and p_item -> 'commands' = '[]'
        and perdure.are_only_rejections(nullif(p_item -> 'messages', 'null')) then
        perform perdure.drop_workflow_task(p_shard, p_worker, v_run, v_now, p_item);
        outcome := 'dropped';
        next_event_id := v_run.next_event_id;
        history_size := v_run.history_bytes;
        return;
    end if;

    v_events := '{}';
    v_scheduled := v_task.scheduled_event_id;
    if perdure.is_unwritten(v_task) then
        v_scheduled := v_run.next_event_id;
        v_events := array[perdure.workflow_task_scheduled(v_run, v_task.attempt)
            || jsonb_build_object('eventTime', perdure.rfc3339(v_task.scheduled_at))];
    end if;
    v_completed := v_run.next_event_id + cardinality(v_events) + 1;
    v_events := v_events
        || perdure.workflow_task_started(v_scheduled, p_worker.identity, p_worker.build_id, p_worker.worker_id,
            v_task.started_at, v_completed - 1, v_bytes_told)
        || perdure.event('WorkflowTaskCompleted', jsonb_build_object('scheduledEventId', v_scheduled, 'startedEventId',
            v_completed - 1,
            'identity', p_worker.identity, 'sdkMetadata', p_item -> 'sdkMetadata')
            || perdure.worker_version(coalesce(p_item ->> 'buildId', p_worker.build_id)));
    v_status := null;
    v_again := false;
    v_buffered := '{}';
    if v_run.buffered_count > 0 then
        v_buffered := perdure.take_buffered_events(p_shard, v_run);
    end if;

    if coalesce(p_item -> 'messages', 'null') not in ('null', '[]') then
        for v_a in select m.message from perdure.messages_in_order(p_item -> 'commands', p_item -> 'messages') m
            where not m.has_command loop
            v_event := perdure.apply_message(p_shard, v_run, v_now, v_a, v_run.next_event_id + cardinality(v_events));
            v_events := case when v_event is null then v_events else v_events || v_event end;
        end loop;
    end if;
    for v_command in select c.value from jsonb_array_elements(p_item -> 'commands') c loop
        v_a := coalesce(v_command -> 'attributes', '{}');
        v_id := v_run.next_event_id + cardinality(v_events);
        case v_command ->> 'commandType'
        when 'ScheduleActivityTask' then
            v_to_close := nullif(perdure.duration(v_a -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'),
                interval '0');
            -- As in Temporal, the other timeouts are at most the schedule-to-close timeout.
            v_to_start := least(nullif(perdure.duration(v_a -> 'scheduleToStartTimeout', 'scheduleToStartTimeout'),
                interval '0'),
                v_to_close);
            v_start_to_close := least(nullif(perdure.duration(v_a -> 'startToCloseTimeout', 'startToCloseTimeout'),
                interval '0'),
                v_to_close);
            v_policy := case when coalesce(v_a -> 'retryPolicy', 'null') <> 'null'
                then perdure.retry_policy(v_a -> 'retryPolicy') end;
            v_queue := coalesce(v_a #>> '{taskQueue,name}', v_run.task_queue);
            -- An eager worker would not know the idempotency key of a call that is repeated after a reset.
            v_is_eager := v_a -> 'requestEagerExecution' is not distinct from 'true' and not v_run.repeats_calls;
            v_a := perdure.present(v_a) || jsonb_build_object('activityId', v_a ->> 'activityId',
                'activityType', jsonb_build_object('name', v_a #>> '{activityType,name}'));
            v_event := perdure.stored_activity_scheduled(v_id = v_completed + 1, v_completed, v_a, v_start_to_close,
                v_to_close, v_to_start,
                v_policy, nullif(v_queue, v_run.task_queue));
            v_events := v_events || case when v_a ? 'input' then v_event else v_event #- '{given,input}' end;
            perform perdure.write_activity(p_shard, v_run.run_id, v_id, v_run.namespace, v_queue, v_run.workflow_id,
                v_run.workflow_type, v_a,
                perdure.claim_priority(v_a -> 'priority', v_run.priority), v_now, v_to_close, v_to_start,
                v_start_to_close,
                nullif(perdure.duration(v_a -> 'heartbeatTimeout', 'heartbeatTimeout'), interval '0'), v_policy,
                case when v_is_eager then p_worker.worker_id end, case when v_is_eager then p_worker.identity end, case
                    when v_is_eager then p_now end);
            if v_is_eager then
                started_activities := started_activities || v_id;
            end if;
            if v_run.repeats_calls then
                perform perdure.repeat_call(p_shard, v_run.run_id, v_id, v_a ->> 'activityId',
                    v_a #>> '{activityType,name}', v_a -> 'input');
            end if;
        when 'RequestCancelActivityTask' then
            v_events := v_events || perdure.event('ActivityTaskCancelRequested', jsonb_build_object(
                'scheduledEventId', (v_a ->> 'scheduledEventId')::bigint, 'workflowTaskCompletedEventId', v_completed));
            delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_run.run_id
                and t.scheduled_event_id = (v_a ->> 'scheduledEventId')::bigint and t.state <> 'started';
            if found then
                -- As in Temporal, this event comes after the events of the commands, and is left out if these close the
                -- run.
                v_buffered := v_buffered || perdure.event('ActivityTaskCanceled', jsonb_build_object(
                    'details', perdure.payloads('"ACTIVITY_ID_NOT_STARTED"'), 'latestCancelRequestedEventId', v_id,
                    'scheduledEventId', (v_a ->> 'scheduledEventId')::bigint, 'startedEventId', 0,
                    'identity', p_worker.identity));
            else
                update perdure.activity_tasks t set cancel_requested = true, cancel_requested_event_id = v_id
                    where t.shard = p_shard and t.run_id = v_run.run_id
                    and t.scheduled_event_id = (v_a ->> 'scheduledEventId')::bigint;
            end if;
        when 'StartTimer' then
            v_events := v_events || perdure.event('TimerStarted', jsonb_build_object('timerId', v_a ->> 'timerId',
                'startToFireTimeout', v_a ->> 'startToFireTimeout', 'workflowTaskCompletedEventId', v_completed));
            insert into perdure.timers (shard, run_id, kind, started_event_id, timer_id, fire_at)
            values (p_shard, v_run.run_id, 'timer', v_id, v_a ->> 'timerId',
                v_now + perdure.duration(v_a -> 'startToFireTimeout', 'startToFireTimeout'));
        when 'CancelTimer' then
            delete from perdure.timers t where t.shard = p_shard and t.run_id = v_run.run_id and t.kind = 'timer'
                and t.timer_id = v_a ->> 'timerId'
            returning t.started_event_id into v_started_event_id;
            if not found then
                select (e #>> '{attributes,startedEventId}')::bigint into v_started_event_id from unnest(v_buffered) e
                where e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId';
                select coalesce(array_agg(e order by n), '{}') into v_buffered
                    from unnest(v_buffered) with ordinality b (e, n)
                where not (e ->> 'eventType' = 'TimerFired' and e #>> '{attributes,timerId}' = v_a ->> 'timerId');
            end if;
            v_events := v_events || perdure.event('TimerCanceled', jsonb_build_object('timerId', v_a ->> 'timerId',
                'startedEventId', v_started_event_id, 'workflowTaskCompletedEventId', v_completed, 'identity',
                    p_worker.identity));
        when 'UpsertWorkflowSearchAttributes' then
            v_events := v_events || perdure.event('UpsertWorkflowSearchAttributes', jsonb_build_object(
                'workflowTaskCompletedEventId', v_completed, 'searchAttributes', v_a -> 'searchAttributes',
                'searchAttributeTypes', perdure.search_attribute_types(v_run.namespace, v_a -> 'searchAttributes')));
            update perdure.executions e set search_attributes = perdure.present(e.search_attributes
                || (v_a -> 'searchAttributes'))
            where e.shard = p_shard and e.run_id = v_run.run_id;
        when 'ModifyWorkflowProperties' then
            v_events := v_events || perdure.event('WorkflowPropertiesModified', jsonb_build_object(
                'workflowTaskCompletedEventId', v_completed, 'upsertedMemo', v_a -> 'upsertedMemo'));
            update perdure.executions e set memo = perdure.memo_entries(e.memo || (v_a -> 'upsertedMemo'))
            where e.shard = p_shard and e.run_id = v_run.run_id;
        when 'RecordMarker' then
            v_events := v_events || perdure.event('MarkerRecorded',
                jsonb_build_object('markerName', v_a ->> 'markerName',
                'details', v_a -> 'details', 'workflowTaskCompletedEventId', v_completed, 'failure',
                    perdure.fit_failure(v_a -> 'failure'),
                'header', v_a -> 'header'));
        when 'StartChildWorkflowExecution' then
            v_events := v_events || perdure.initiate_child(p_shard, v_run, v_now, v_id, v_completed, v_command);
            v_run.is_related := true;
        when 'SignalExternalWorkflowExecution', 'RequestCancelExternalWorkflowExecution' then
            v_events := v_events || perdure.initiate_external(p_shard, v_run, v_now, v_id, v_completed, v_command);
            v_affects_others := true;
        when 'ProtocolMessage' then
            select perdure.apply_message(p_shard, v_run, v_now, m.value, v_id) into v_event
            from jsonb_array_elements(p_item -> 'messages') m where m.value ->> 'id' = v_a ->> 'messageId';
            continue when v_event is null;
            v_events := v_events || v_event;
        when 'CompleteWorkflowExecution' then
            v_status := 'Completed';
            if v_run.cron_schedule is not null then
                v_next := perdure.run_after(p_shard, v_run, v_now, null, v_a -> 'result');
            end if;
            v_events := v_events || perdure.event('WorkflowExecutionCompleted',
                jsonb_build_object('result', v_a -> 'result',
                'workflowTaskCompletedEventId', v_completed, 'newExecutionRunId', v_next.run_id));
        when 'FailWorkflowExecution' then
            v_status := 'Failed';
            v_next := perdure.run_after(p_shard, v_run, v_now, perdure.fit_failure(v_a -> 'failure'), null);
            v_events := v_events || perdure.event('WorkflowExecutionFailed',
                jsonb_build_object('failure', perdure.fit_failure(v_a -> 'failure'),
                'retryState', v_next.retry_state, 'workflowTaskCompletedEventId', v_completed,
                'newExecutionRunId', v_next.run_id));
        when 'ContinueAsNewWorkflowExecution' then
            v_status := 'ContinuedAsNew';
            v_next := perdure.run_continued_as_new(p_shard, v_run, v_now, v_a);
            v_events := v_events || perdure.workflow_continued_as_new(v_next, v_a, v_completed);
        when 'CancelWorkflowExecution' then
            v_status := 'Canceled';
            v_events := v_events || perdure.event('WorkflowExecutionCanceled',
                jsonb_build_object('details', v_a -> 'details',
                'workflowTaskCompletedEventId', v_completed));
        end case;
        if v_command ? 'userMetadata' then
            v_events[cardinality(v_events)] := v_events[cardinality(v_events)]
                || jsonb_build_object('userMetadata', v_command -> 'userMetadata');
        end if;
        if v_command ? 'eventGroupMarkers' then
            v_events[cardinality(v_events)] := v_events[cardinality(v_events)]
                || jsonb_build_object('eventGroupMarkers', v_command -> 'eventGroupMarkers');
        end if;
    end loop;

    if v_status is not null then
        if v_affects_others then
            -- As in Temporal, effects that the closing task decided never happen. tell_relatives sees to its children.
            delete from perdure.transfers t where t.shard = p_shard and t.run_id = v_run.run_id
                and t.id >= v_run.next_event_id;
        end if;
        next_event_id := perdure.close_run(p_shard, v_run.run_id, v_status, v_now, v_run.next_event_id, v_events,
            v_run.history_bytes + perdure.bytes_of(v_events));
        perform perdure.begin_next_run(p_shard, v_run, v_now, v_next);
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
    if v_run.updates_undelivered > 0 and perdure.settle_updates(p_shard, v_run, v_now) and not v_again then
        perform perdure.schedule_workflow_task(p_shard, v_run, v_now, 0);
    end if;
    -- The worker has seen the events of new activities and timers, because they follow from its own commands. After
    -- other commands it reads the whole batch.
    if v_again or jsonb_path_exists(p_item -> 'commands',
        '$[*] ? (@.commandType != "ScheduleActivityTask" && @.commandType != "StartTimer")') then
        v_sticky_event_id := v_run.next_event_id;
    end if;
    history_size := v_run.history_bytes + perdure.bytes_of(v_events);
    perform perdure.write_step(p_shard, v_run.run_id, v_now, v_run.next_event_id, v_events, history_size,
        v_completed - 1, v_run.sticky_worker,
        v_sticky_event_id);
    outcome := 'completed';
end
$$;
comment on function perdure.complete_workflow_task(smallint, perdure.workers, timestamptz, jsonb) is
    'Completes the workflow task of one run by the general rules; see complete_workflow_tasks.';
