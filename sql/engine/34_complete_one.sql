-- The hot path for few runs: completes one run's workflow task by small statements, whose plans take no time.
--
-- A worker that has little to do completes one task at a time, and then the one large statement of 33_complete_many.sql
-- takes twice as long as these: docs/decisions/0007-one-run-or-many.md. The rules, and what is usual, are the same.

create or replace function perdure.are_usual_activities(p_commands jsonb) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_command jsonb;
    v_activity_ids text[] := array[]::text[];
begin
    for v_command in select c.value from jsonb_array_elements(p_commands) c loop
        -- The second of two activities with one id must be refused.
        if v_command ->> 'commandType' is distinct from 'ScheduleActivityTask'
            or not coalesce(perdure.is_usual_command(v_command), false)
            or v_command #>> '{attributes,activityId}' = any (v_activity_ids) then
            return false;
        end if;
        v_activity_ids := v_activity_ids || (v_command #>> '{attributes,activityId}');
    end loop;
    return true;
end
$$;
comment on function perdure.are_usual_activities(jsonb) is
    'Whether each command of an array schedules an activity in the usual way and is certainly valid.';

drop function if exists perdure.complete_one(smallint, uuid, text, text, timestamptz, jsonb);
create or replace function perdure.complete_one(p_shard smallint, p_worker_id uuid, p_identity text, p_build_id text,
    p_now timestamptz, p_item jsonb,
    out next_event_id bigint, out started_activities bigint[], out history_size bigint)
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
    v_first_event_id bigint;
    v_namespace text;
    v_workflow_id text;
    v_workflow_type text;
    v_task_queue text;
    v_priority smallint;
    v_task_timeout interval;
    v_is_quiet boolean;
    v_bytes bigint;
    v_scheduled_event_id bigint;
    v_started_at timestamptz;
    v_last_failure jsonb;
    v_events jsonb[];
    v_completed_id bigint;
    v_sticky_worker uuid;
    v_event_id bigint;
    v_is_eager boolean;
    v_to_close interval;
    v_to_start interval;
    v_start_to_close interval;
    v_heartbeat interval;
    v_policy jsonb;
    v_queue text;
begin
    -- An unusual completion is left alone before anything is changed. The cost of an expression grows with its size,
    -- even where it is not evaluated, so a small expression recognises the most common case: one activity with no more
    -- than it needs.
    if jsonb_typeof(v_commands) is distinct from 'array' or p_item ?| array['messages', 'buildId']
        or perdure.is_usual_sdk_metadata(p_item -> 'sdkMetadata') is not true then
        return;
    end if;
    if jsonb_array_length(v_commands) = 1 then
        v_type := v_commands #>> '{0,commandType}';
    end if;
    if v_type = 'ScheduleActivityTask' then
        v_is_common := not v_commands -> 0 ?| array['userMetadata', 'eventGroupMarkers']
            and perdure.is_common_activity(v_a);
    elsif v_type = 'CompleteWorkflowExecution' then
        v_closes := perdure.is_usual_payloads(v_a -> 'result') is true
            and not v_commands -> 0 ?| array['userMetadata', 'eventGroupMarkers'];
    end if;
    if v_is_common is not true and not v_closes and not perdure.are_usual_activities(v_commands) then
        return;
    end if;

    select r.next_event_id, r.namespace, r.workflow_id, r.workflow_type, r.task_queue, r.priority,
        r.workflow_task_timeout,
        r.buffered_count = 0 and r.updates_undelivered = 0 and not r.repeats_calls
            and r.next_event_id <= r.max_history_events + 1
            and (r.cron_schedule is null or not v_closes)
            and (v_ended is null or not exists (select from perdure.workflow_tasks t where t.shard = p_shard
                and t.run_id = v_run_id)),
        r.history_bytes
    into v_first_event_id, v_namespace, v_workflow_id, v_workflow_type, v_task_queue, v_priority, v_task_timeout,
        v_is_quiet, v_bytes
    from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
    if v_is_quiet is not true or v_bytes > perdure.maximum('history bytes') then
        return;
    end if;
    if v_ended is not null then
        v_ended_id := (v_ended ->> 'scheduledEventId')::bigint;
        v_ended_attempt := (v_ended ->> 'attempt')::int;
        v_time := (p_item ->> 'startedAt')::timestamptz;
        if v_first_event_id is distinct from (p_item ->> 'nextEventId')::bigint
            or not coalesce(perdure.is_usual_payloads(v_ended -> 'result'), false) then
            return;
        end if;
    end if;
    if v_is_common and v_a #>> '{taskQueue,name}' <> v_task_queue then
        if octet_length(v_a #>> '{taskQueue,name}') between 1 and 1000 is not true then
            return;
        end if;
        v_is_common := false;
    end if;
    -- The general rules refuse an activity id that is in use.
    if v_is_common then
        if exists (select from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_run_id
            and a.activity_id = v_a ->> 'activityId'
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
          and t.state = 'started' and t.worker = p_worker_id and t.attempt = v_ended_attempt
              and v_time between t.started_at and p_now
        returning t.started_at, t.last_failure into v_started_at, v_last_failure;
        if not found then
            return;
        end if;
        -- The result of the functions below for the usual step, again in a small expression.
        if v_ended_id = v_first_event_id - 1 and v_ended_attempt = 1 and v_task_timeout = interval '10 s' then
            v_events := array[
                jsonb_object(array['eventType', 'ActivityTaskStarted', 'eventTime', perdure.rfc3339(v_started_at)]),
                jsonb_set('{"eventType": "ActivityTaskCompleted", "given": {"result": null}}', '{given,result}',
                    v_ended -> 'result'),
                jsonb '{"eventType": "WorkflowTaskScheduled"}',
                    perdure.stored_workflow_task_started(v_first_event_id + 3, v_bytes),
                    jsonb '{"eventType": "WorkflowTaskCompleted"}'];
        else
            v_events := perdure.stored_activity_end(v_first_event_id, v_ended_id, v_ended_attempt, v_started_at,
                v_last_failure, v_ended -> 'result')
                || perdure.stored_workflow_task_scheduled(v_task_timeout)
                || array[perdure.stored_workflow_task_started(v_first_event_id + 3, v_bytes),
                    jsonb '{"eventType": "WorkflowTaskCompleted"}'];
        end if;
    else
        delete from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = v_run_id
          and t.state = 'started' and t.worker = p_worker_id and t.attempt = (p_item ->> 'attempt')::int
              and t.attempt = 1
          and t.scheduled_event_id = (p_item ->> 'scheduledEventId')::bigint
        returning t.scheduled_event_id, t.started_at into v_scheduled_event_id, v_started_at;
        if not found then
            return;
        end if;
        v_events := perdure.stored_workflow_task_end(v_first_event_id, v_scheduled_event_id, v_started_at, v_bytes);
    end if;
    v_completed_id := v_first_event_id + cardinality(v_events) - 1;
    if p_item ? 'sdkMetadata' then
        v_events := perdure.with_sdk_metadata(v_events, p_item -> 'sdkMetadata');
    end if;

    if v_closes then
        v_events := v_events || perdure.stored_completion(v_a -> 'result');
        next_event_id := perdure.close_run(p_shard, v_run_id, 'Completed', v_time, v_first_event_id, v_events,
            v_bytes + pg_column_size(v_events),
            p_worker_id, p_identity, p_build_id);
        return;
    end if;
    v_sticky_worker := case when coalesce((p_item ->> 'sticky')::boolean, true) then p_worker_id end;
    if v_is_common then
        -- This does what write_activity and write_step do in one statement, which saves 5 percent of the step
        -- (docs/decisions/0014-one-writer.md).
        next_event_id := v_completed_id + 2;
        history_size := v_bytes + pg_column_size(v_events) + pg_column_size(v_a);
        v_is_eager := v_a -> 'requestEagerExecution' is not distinct from 'true';
        v_start_to_close := (v_a ->> 'startToCloseTimeout')::interval;
        with activity as (
            insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id,
                workflow_type, activity_id,
                activity_type, input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker,
                    last_worker_identity,
                start_to_close_timeout, deadline)
            values (p_shard, v_run_id, v_completed_id + 1, v_namespace, v_task_queue, v_workflow_id, v_workflow_type,
                v_a ->> 'activityId',
                v_a #>> '{activityType,name}', v_a -> 'input', v_priority, case when v_is_eager then 'started'
                    else 'scheduled' end, v_time, v_time,
                case when v_is_eager then p_now end, case when v_is_eager then p_worker_id end, case when v_is_eager
                    then p_identity end,
                v_start_to_close, case when v_is_eager then p_now + v_start_to_close end)),
        written as (
            insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
                worker_build_id, events)
            values (p_shard, v_run_id, v_first_event_id, v_time, p_worker_id, p_identity, p_build_id, v_events
                || perdure.stored_common_activity(v_a)))
        update perdure.run_states r set next_event_id = v_completed_id + 2, history_bytes = history_size,
            last_started_event_id = v_completed_id - 1,
            sticky_worker = v_sticky_worker, sticky_event_id = v_completed_id + 2, workflow_task_failure = null,
                workflow_task_failed_attempts = 0
        where r.shard = p_shard and r.run_id = v_run_id;
        if v_is_eager then
            started_activities := array[v_completed_id + 1];
        else
            perform perdure.wake(v_namespace, v_task_queue, 'activity');
        end if;
        return;
    end if;
    for v_i in 1 .. jsonb_array_length(v_commands) loop
        v_event_id := v_completed_id + v_i;
        v_a := v_commands -> v_i - 1 -> 'attributes';
        v_queue := coalesce(v_a #>> '{taskQueue,name}', v_task_queue);
        v_to_close := perdure.usual_duration(v_a -> 'scheduleToCloseTimeout');
        v_to_start := least(perdure.usual_duration(v_a -> 'scheduleToStartTimeout'), v_to_close);
        v_start_to_close := least(perdure.usual_duration(v_a -> 'startToCloseTimeout'), v_to_close);
        v_heartbeat := perdure.usual_duration(v_a -> 'heartbeatTimeout');
        v_policy := case when v_a -> 'retryPolicy' is not null then perdure.retry_policy(v_a -> 'retryPolicy') end;
        v_events := v_events || perdure.stored_activity_scheduled(v_i = 1, v_completed_id, v_a, v_start_to_close,
            v_to_close, v_to_start, v_policy,
            nullif(v_queue, v_task_queue));
        v_is_eager := v_a -> 'requestEagerExecution' is not distinct from 'true';
        perform perdure.write_activity(p_shard, v_run_id, v_event_id, v_namespace, v_queue, v_workflow_id,
            v_workflow_type, v_a, v_priority, v_time,
            v_to_close, v_to_start, v_start_to_close, v_heartbeat, v_policy, case when v_is_eager then p_worker_id end,
            case when v_is_eager then p_identity end, case when v_is_eager then p_now end);
        if v_is_eager then
            started_activities := started_activities || v_event_id;
        end if;
    end loop;
    history_size := v_bytes + pg_column_size(v_events);
    next_event_id := perdure.write_step(p_shard, v_run_id, v_time, v_first_event_id, v_events, history_size,
        v_completed_id - 1, v_sticky_worker,
        v_first_event_id + cardinality(v_events), p_worker_id, p_identity, p_build_id);
end
$$;
comment on function perdure.complete_one(smallint, uuid, text, text, timestamptz, jsonb) is
    'Completes one run''s workflow task if its commands are the usual ones, and returns its next event id. Otherwise '
    'returns null and changes nothing.';

create or replace function perdure.complete_set(p_shard smallint, p_worker_id uuid, p_completions jsonb)
returns table (run_id uuid, outcome text, next_event_id bigint, failure jsonb, started_activities bigint[],
    started_at timestamptz, history_size bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    -- From this number of completions on, one large statement takes less time than many small ones.
    v_many int := perdure.many();
    v_is_general boolean := perdure.is_general();
    v_count int;
    v_worker perdure.workers;
    v_identity text;
    v_build_id text;
    v_done uuid[] := array[]::uuid[];
    v_usual record;
    v_items jsonb[];
    v_item jsonb;
    v_result record;
begin
    perform perdure.check_array(p_completions, 'completions');
    started_at := v_now;
    v_count := jsonb_array_length(p_completions);
    if v_count >= v_many and not v_is_general then
        v_worker := perdure.require_worker(p_worker_id);
        outcome := 'completed';
        for v_usual in select * from perdure.complete_many(p_shard, v_worker, v_now, p_completions) loop
            v_done := v_done || v_usual.run_id;
            run_id := v_usual.run_id;
            next_event_id := v_usual.next_event_id;
            started_activities := v_usual.started_activities;
            history_size := v_usual.history_size;
            return next;
        end loop;
        if cardinality(v_done) = v_count then
            return;
        end if;
    else
        select w.identity, nullif(w.build_id, '') into v_identity, v_build_id from perdure.workers w
            where w.worker_id = p_worker_id and w.lost_at is null;
        if not found then
            v_worker := perdure.require_worker(p_worker_id);
        end if;
    end if;
    if v_count = 1 then
        v_items := array[p_completions -> 0];
    else
        select array_agg(c.value order by (c.value ->> 'runId')::uuid) into v_items
            from jsonb_array_elements(p_completions) c
        where (c.value ->> 'runId')::uuid <> all (v_done);
    end if;
    foreach v_item in array coalesce(v_items, '{}') loop
        run_id := (v_item ->> 'runId')::uuid;
        if v_count < v_many and not v_is_general then
            v_usual := perdure.complete_one(p_shard, p_worker_id, v_identity, v_build_id, v_now, v_item);
            if v_usual.next_event_id is not null then
                outcome := 'completed';
                next_event_id := v_usual.next_event_id;
                failure := null;
                started_activities := v_usual.started_activities;
                history_size := v_usual.history_size;
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
        history_size := v_result.history_size;
        return next;
    end loop;
end
$$;
comment on function perdure.complete_set(smallint, uuid, jsonb) is
    'Completes workflow tasks as long as no member of the set raises an error; see complete_workflow_tasks.';

create or replace function perdure.refuse_completion(
    p_shard smallint, p_worker_id uuid, p_now timestamptz, p_item jsonb, p_sqlstate text, p_message text,
    out run_id uuid, out outcome text, out failure jsonb)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
begin
    outcome := 'refused';
    failure := jsonb_build_object('message', p_message, 'source', 'Perdure', 'serverFailureInfo',
        '{"nonRetryable": false}'::jsonb);
    if not perdure.is_uuid(p_item ->> 'runId') then
        return;
    end if;
    run_id := (p_item ->> 'runId')::uuid;
    begin
        select * into v_run from perdure.run_states r
        where r.shard = p_shard and r.run_id = (p_item ->> 'runId')::uuid for update;
        select * into v_task from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = (p_item ->> 'runId')::uuid for update;
        if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker_id
            or p_item ? 'activity' then
            outcome := case when p_item ? 'activity' then 'stale' else 'lost' end;
            return;
        end if;
        perform perdure.end_workflow_task(p_shard, v_run, v_task, v_worker.identity, p_now, 'WorkflowTaskFailed',
            jsonb_build_object('cause', 'BadBinary', 'failure', failure, 'identity', v_worker.identity),
            jsonb_build_object('cause', 'BadBinary', 'failure', failure));
        outcome := 'failed';
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
            perform perdure.put_aside(p_shard, (p_item ->> 'runId')::uuid, 'result', 0, p_message, p_sqlstate, p_now);
    end;
end
$$;
comment on function perdure.refuse_completion(smallint, uuid, timestamptz, jsonb, text, text) is
    'Handles a completion that raised an error: its workflow task fails with that error. If that cannot be written '
    'either, the completion is set aside and the task left to its timeout.';
