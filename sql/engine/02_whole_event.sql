-- Stored events leave out what can be derived from the rest: who wrote a batch, an event's neighbours, and the run's
-- own queue and defaults. That saves half of the bytes of the usual events (docs/decisions/0003-stored-events.md).
-- perdure.whole_event puts it back.

create or replace function perdure.worker_version(p_build_id text) returns jsonb
language sql immutable parallel safe
return case when p_build_id <> ''
    then jsonb_build_object('workerVersion', jsonb_build_object('buildId', p_build_id)) else '{}' end;
comment on function perdure.worker_version(text) is
    'The attribute workerVersion of the events that tell when a worker began or completed a task, in an object; an '
    'empty object for a worker without a build id.';

create or replace function perdure.build_of(p_event jsonb) returns text
language sql immutable parallel safe
-- Histories that were written before workerVersion have the build in binaryChecksum.
return coalesce(p_event #>> '{attributes,workerVersion,buildId}', p_event #>> '{attributes,binaryChecksum}');
comment on function perdure.build_of(jsonb) is
    'The build id of the worker that an event tells of; null if it has none.';

create or replace function perdure.whole_event(p_event jsonb, p_event_id bigint, p_batch perdure.history,
    p_run perdure.executions) returns jsonb
language sql stable parallel safe
return case when p_event ? 'attributes' then p_event
    else (p_event - 'given') || jsonb_build_object('attributes', case p_event ->> 'eventType'
        when 'WorkflowTaskScheduled' then jsonb_build_object(
            'taskQueue', jsonb_build_object('name', p_run.task_queue, 'kind', 'Normal'), 'startToCloseTimeout', '10s',
                'attempt', 1)
        when 'WorkflowTaskStarted' then jsonb_build_object(
            'scheduledEventId', p_event_id - 1, 'identity', p_batch.worker_identity, 'requestId', p_batch.worker_id)
            || perdure.worker_version(p_batch.worker_build_id)
        when 'WorkflowTaskCompleted' then jsonb_build_object(
            'scheduledEventId', p_event_id - 2, 'startedEventId', p_event_id - 1, 'identity', p_batch.worker_identity)
            || perdure.worker_version(p_batch.worker_build_id)
        when 'ActivityTaskScheduled' then jsonb_build_object(
            'taskQueue', jsonb_build_object('name', p_run.task_queue, 'kind', 'Normal'), 'workflowTaskCompletedEventId',
                p_event_id - 1,
            'retryPolicy', jsonb '{"initialInterval": "1s", "backoffCoefficient": 2, "maximumInterval": "100s"}')
        when 'ActivityTaskStarted' then jsonb_build_object(
            'scheduledEventId', p_event_id - 1, 'identity', p_batch.worker_identity, 'requestId', p_batch.worker_id,
                'attempt', 1) || perdure.worker_version(p_batch.worker_build_id)
        when 'ActivityTaskCompleted' then jsonb_build_object(
            'scheduledEventId', p_event_id - 2, 'startedEventId', p_event_id - 1, 'identity', p_batch.worker_identity)
        when 'WorkflowExecutionStarted' then jsonb_build_object(
            'workflowType', jsonb_build_object('name', p_run.workflow_type), 'workflowId', p_run.workflow_id,
            'taskQueue', jsonb_build_object('name', p_run.task_queue, 'kind', 'Normal'), 'workflowTaskTimeout', '10s',
            'originalExecutionRunId', p_run.run_id,
            'firstExecutionRunId', coalesce(p_run.first_run_id, p_run.run_id), 'attempt', 1)
        when 'WorkflowExecutionCompleted' then jsonb_build_object('workflowTaskCompletedEventId', p_event_id - 1)
        else '{}' end || coalesce(p_event -> 'given', '{}')) end;
comment on function perdure.whole_event(jsonb, bigint, perdure.history, perdure.executions) is
    'A stored event with all its attributes: those that are not stored are derived from its id, its batch and its '
    'run.';

-- The functions below build the usual events in the ways that cost least: setting the one member of a constant takes a
-- third of the time of jsonb_build_object, which looks up the types of its arguments at each call
-- (docs/decisions/0023-costs-of-the-hot-path.md).

create or replace function perdure.batch_as_stored(p_batch perdure.history) returns jsonb
language sql stable parallel safe
return jsonb_build_object('firstEventId', p_batch.first_event_id, 'eventTime', perdure.rfc3339(p_batch.event_time),
    'events', p_batch.events);
comment on function perdure.batch_as_stored(perdure.history) is
    'A batch of a history for a worker: its events as they are stored.';

create or replace function perdure.stored_attribute(p_event jsonb, p_name text) returns jsonb
language sql immutable parallel safe
return coalesce(p_event -> 'attributes', p_event -> 'given') -> p_name;
comment on function perdure.stored_attribute(jsonb, text) is
    'An attribute that a stored event itself holds, such as an input or a result; null for one that is derived from '
    'others.';

create or replace function perdure.stored_workflow_task_scheduled(p_timeout interval) returns jsonb
language sql stable parallel safe
return case when p_timeout = interval '10 s' then jsonb '{"eventType": "WorkflowTaskScheduled"}'
    else jsonb_build_object('eventType', 'WorkflowTaskScheduled', 'given',
        jsonb_build_object('startToCloseTimeout', perdure.seconds(p_timeout))) end;
comment on function perdure.stored_workflow_task_scheduled(interval) is
    'The event WorkflowTaskScheduled of a first attempt, as it is stored.';

create or replace function perdure.stored_activity_end(p_first_event_id bigint, p_scheduled_event_id bigint,
    p_attempt int, p_started_at timestamptz,
    p_last_failure jsonb, p_result jsonb) returns jsonb[]
language sql stable parallel safe
return case when p_scheduled_event_id = p_first_event_id - 1 and p_attempt = 1 then array[
        jsonb_object(array['eventType', 'ActivityTaskStarted', 'eventTime', perdure.rfc3339(p_started_at)]),
        jsonb_set('{"eventType": "ActivityTaskCompleted", "given": {"result": null}}', '{given,result}', p_result)]
    else array[
        jsonb_build_object('eventType', 'ActivityTaskStarted', 'eventTime', perdure.rfc3339(p_started_at),
            'given', jsonb_build_object('scheduledEventId', p_scheduled_event_id, 'attempt', p_attempt)
                || case when p_attempt > 1 and p_last_failure is not null
                    then jsonb_build_object('lastFailure', p_last_failure) else '{}' end),
        jsonb_build_object('eventType', 'ActivityTaskCompleted', 'given',
            jsonb_build_object('scheduledEventId', p_scheduled_event_id, 'result', p_result))] end;
comment on function perdure.stored_activity_end(bigint, bigint, int, timestamptz, jsonb, jsonb) is
    'The events ActivityTaskStarted and ActivityTaskCompleted, as they are stored, at the beginning of a batch that '
    'was written by the worker that had the activity.';

create or replace function perdure.history_told(p_started_event_id bigint, p_bytes bigint) returns jsonb
language sql stable parallel safe
-- The event does not tell the size of a small history, so that the usual event stays short. A fused step tells the same
-- as the claim would.
return case when p_bytes < 65536 then '{}' else jsonb_build_object('historySizeBytes', p_bytes / 65536 * 65536) end
    || case when p_started_event_id < perdure.maximum('history events suggested')
        and p_bytes < perdure.maximum('history bytes suggested') then '{}'
        else jsonb_build_object('suggestContinueAsNew', true, 'suggestContinueAsNewReasons', to_jsonb(array_remove(
            array[case when p_bytes >= perdure.maximum('history bytes suggested') then 'HistorySizeTooLarge' end,
                case when p_started_event_id >= perdure.maximum('history events suggested')
                    then 'TooManyHistoryEvents' end], null))) end;
comment on function perdure.history_told(bigint, bigint) is
    'What a WorkflowTaskStarted tells the run''s code about its history: the size in steps of 64 KiB, and whether and '
    'why the run should continue as new.';

create or replace function perdure.stored_workflow_task_started(p_started_event_id bigint, p_bytes bigint) returns jsonb
language sql stable parallel safe
return case when p_bytes < 65536 and p_started_event_id < perdure.maximum('history events suggested')
    then jsonb '{"eventType": "WorkflowTaskStarted"}'
    else jsonb_build_object('eventType', 'WorkflowTaskStarted', 'given',
        perdure.history_told(p_started_event_id, p_bytes)) end;
comment on function perdure.stored_workflow_task_started(bigint, bigint) is
    'The event WorkflowTaskStarted as a claim hands it out, and as a fused step stores it.';

create or replace function perdure.workflow_task_started_text(p_started_event_id bigint, p_bytes bigint) returns text
language sql stable parallel safe
return case when p_bytes < 65536 and p_started_event_id < perdure.maximum('history events suggested')
    then '{"eventType": "WorkflowTaskStarted"}'
    else perdure.stored_workflow_task_started(p_started_event_id, p_bytes)::text end;
comment on function perdure.workflow_task_started_text(bigint, bigint) is
    'The text of stored_workflow_task_started, which for most runs is a constant.';

create or replace function perdure.stored_common_activity(p_attributes jsonb) returns jsonb
language sql immutable parallel safe
return jsonb_set('{"eventType": "ActivityTaskScheduled", "given": null}', '{given}',
    p_attributes - array['requestEagerExecution', 'taskQueue']);
comment on function perdure.stored_common_activity(jsonb) is
    'The event ActivityTaskScheduled, as it is stored, of the one command of a task that is_common_activity accepts: '
    'its attributes as they came.';

create or replace function perdure.stored_completion(p_result jsonb) returns jsonb
language sql immutable parallel safe
return jsonb_set('{"eventType": "WorkflowExecutionCompleted", "given": {"result": null}}', '{given,result}', p_result);
comment on function perdure.stored_completion(jsonb) is
    'The event WorkflowExecutionCompleted of a run that returned usual payloads, as it is stored.';

drop function if exists perdure.stored_workflow_task_end(bigint, bigint, timestamptz);
create or replace function perdure.stored_workflow_task_end(p_first_event_id bigint, p_scheduled_event_id bigint,
    p_started_at timestamptz, p_bytes bigint)
returns jsonb[]
language sql stable parallel safe
return case when p_scheduled_event_id = p_first_event_id - 1 and p_bytes < 65536
    and p_first_event_id < perdure.maximum('history events suggested') then array[
        jsonb_object(array['eventType', 'WorkflowTaskStarted', 'eventTime', perdure.rfc3339(p_started_at)]),
        jsonb '{"eventType": "WorkflowTaskCompleted"}']
    else array[
        jsonb_build_object('eventType', 'WorkflowTaskStarted', 'eventTime', perdure.rfc3339(p_started_at),
            'given', jsonb_build_object('scheduledEventId', p_scheduled_event_id)
                || perdure.history_told(p_first_event_id, p_bytes)),
        jsonb_build_object('eventType', 'WorkflowTaskCompleted', 'given',
            jsonb_build_object('scheduledEventId', p_scheduled_event_id))] end;
comment on function perdure.stored_workflow_task_end(bigint, bigint, timestamptz, bigint) is
    'The events WorkflowTaskStarted and WorkflowTaskCompleted, as they are stored, at the beginning of a batch that '
    'was written by the worker that had the task.';

create or replace function perdure.stored_activity_scheduled(p_is_first boolean, p_completed_event_id bigint,
    p_attributes jsonb, p_start_to_close interval,
    p_to_close interval, p_to_start interval, p_retry_policy jsonb, p_other_queue text) returns jsonb
language sql stable parallel safe
return jsonb_build_object('eventType', 'ActivityTaskScheduled', 'given', case
    when p_is_first and p_other_queue is null and p_retry_policy is null and p_to_close is null and p_to_start is null
        and not p_attributes ?| array['heartbeatTimeout', 'priority', 'header']
        then jsonb_build_object('activityId', p_attributes -> 'activityId', 'activityType',
            p_attributes -> 'activityType', 'input', p_attributes -> 'input',
            'startToCloseTimeout', perdure.seconds(p_start_to_close))
    -- Concatenation takes a quarter of the time that perdure.present takes.
    else jsonb_build_object('activityId', p_attributes -> 'activityId', 'activityType', p_attributes -> 'activityType',
        'input', p_attributes -> 'input',
        'startToCloseTimeout', perdure.seconds(p_start_to_close), 'workflowTaskCompletedEventId', p_completed_event_id)
        || case when p_retry_policy is null then '{}' else jsonb_build_object('retryPolicy', p_retry_policy) end
        || case when p_other_queue is null then '{}' else jsonb_build_object('taskQueue',
            jsonb_build_object('name', p_other_queue, 'kind', 'Normal')) end
        || case when p_to_close is null then '{}' else jsonb_build_object('scheduleToCloseTimeout',
            perdure.seconds(p_to_close)) end
        || case when p_to_start is null then '{}' else jsonb_build_object('scheduleToStartTimeout',
            perdure.seconds(p_to_start)) end
        || case when p_attributes ? 'heartbeatTimeout'
            then jsonb_build_object('heartbeatTimeout', p_attributes -> 'heartbeatTimeout') else '{}' end
        || case when p_attributes ? 'priority' then jsonb_build_object('priority', p_attributes -> 'priority')
            else '{}' end
        || case when p_attributes ? 'header' then jsonb_build_object('header', p_attributes -> 'header')
            else '{}' end end);
comment on function perdure.stored_activity_scheduled(boolean, bigint, jsonb, interval, interval, interval, jsonb,
    text) is
    'The event ActivityTaskScheduled, as it is stored. If it is the first of its batch and has only the usual '
    'attributes, it leaves out workflowTaskCompletedEventId, which is the event before it.';
