-- A workflow task that fails or times out: the first attempt is written, later ones are transient.
--
-- As in Temporal, the next attempt is a first one again, and is written, in two cases: if an event was buffered
-- meanwhile (see record_events for one that comes while the task waits), or if the task was kept for the worker that
-- had the run cached, since another worker may do it from the whole history.

create or replace function perdure.end_workflow_task(
    p_shard smallint, p_run perdure.run_states, p_task perdure.workflow_tasks, p_identity text, p_now timestamptz,
    p_event_type text, p_attributes jsonb, p_failure jsonb, p_is_forced boolean default false)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[] := array[]::jsonb[];
    v_backoff interval := interval '0';
    v_started_event_id bigint;
    v_is_first_again boolean := p_run.buffered_count > 0 and not p_is_forced or p_run.sticky_worker is not null;
    v_next int := case when v_is_first_again then 1 else p_task.attempt + 1 end;
    v_cause text := p_task.failure_cause;
    v_build text := (select nullif(w.build_id, '') from perdure.workers w where w.worker_id = p_task.worker);
begin
    -- A first time-out may come from a lost worker, and a forced end or an UnhandledCommand from an event that came in
    -- between: neither is a failure of the run's code.
    if not p_is_forced and p_failure ->> 'cause' is distinct from 'UnhandledCommand'
        and (p_event_type <> 'WorkflowTaskTimedOut' or p_run.workflow_task_failure is not null) then
        v_cause := perdure.failure_cause(p_failure -> 'failure');
    end if;
    if p_run.updates_undelivered > 0 then
        perform perdure.admit_buffered_updates(p_shard, p_run.run_id);
    end if;
    if p_task.scheduled_event_id = 0 then
        -- Only updates waited for the task. Its failure is written, so its WorkflowTaskScheduled is written, too.
        p_task.scheduled_event_id := p_run.next_event_id;
        v_events := array[perdure.workflow_task_scheduled(p_run, 1)
            || jsonb_build_object('eventTime', perdure.rfc3339(p_task.scheduled_at))];
    end if;
    if p_task.attempt = 1 then
        v_started_event_id := p_run.next_event_id + cardinality(v_events);
        v_events := v_events || array[
            perdure.workflow_task_started(p_task.scheduled_event_id, p_identity, v_build, p_task.worker,
                p_task.started_at, v_started_event_id, p_run.history_bytes),
            perdure.event(p_event_type, p_attributes || jsonb_build_object(
                'scheduledEventId', p_task.scheduled_event_id, 'startedEventId', v_started_event_id))];
    end if;
    v_events := v_events || perdure.in_flush_order(perdure.take_buffered_events(p_shard, p_run));
    if v_is_first_again then
        v_events := v_events || perdure.workflow_task_scheduled(p_run, 1);
    end if;
    if v_next > 2 and not p_is_forced then
        v_backoff := least(interval '1 s' * power(2, least(v_next - 3, 20)),
            (select (s.value #>> '{}')::interval from perdure.settings s where s.name = 'workflow_task_retry_cap'));
    end if;
    if cardinality(v_events) > 0 then
        perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id,
            perdure.number_events(p_run.next_event_id, v_events));
    end if;
    update perdure.run_states r set
        next_event_id = p_run.next_event_id + cardinality(v_events), buffered_count = 0, buffered_bytes = 0,
        history_bytes = r.history_bytes + perdure.bytes_of(v_events),
        sticky_worker = null, sticky_event_id = null,
        workflow_task_failure = p_failure, workflow_task_failed_attempts = p_task.attempt
    where r.shard = p_shard and r.run_id = p_run.run_id;
    update perdure.workflow_tasks t set
        state = case when v_backoff > interval '0' then 'backoff' else 'scheduled' end,
        deadline = case when v_backoff > interval '0' then p_now + v_backoff end,
        attempt = v_next, scheduled_event_id = case when v_is_first_again
            then p_run.next_event_id + cardinality(v_events) - 1 else p_task.scheduled_event_id end,
        worker = null, started_at = null, sticky_worker = null, scheduled_at = p_now,
        failure_cause = v_cause,
        failing_since = case when v_cause is distinct from t.failure_cause then p_now else t.failing_since end,
        failing_build = case when v_cause is distinct from t.failure_cause then v_build else t.failing_build end,
        failed_build = v_build
    where t.shard = p_shard and t.run_id = p_run.run_id;
    perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
end
$$;
comment on function perdure.end_workflow_task(
    smallint, perdure.run_states, perdure.workflow_tasks, text, timestamptz, text, jsonb, jsonb, boolean) is
    'Ends an attempt of a workflow task without commands and lets the task be tried again: at once, then after 1 s, '
    'doubling up to the setting workflow_task_retry_cap. Attempts count from 1 again if events have come meanwhile '
    '(unless they forced the end) or if the task was kept for a worker.';

create or replace function perdure.force_workflow_task_to_end(p_shard smallint, p_run perdure.run_states,
    p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_task perdure.workflow_tasks;
begin
    -- As in Temporal's server (closeTransactionHandleBufferedEventsLimit), nobody failed, so the next attempt need not
    -- wait.
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id for update;
    perform perdure.end_workflow_task(p_shard, p_run, v_task,
        (select w.identity from perdure.workers w where w.worker_id = v_task.worker),
        p_now, 'WorkflowTaskFailed', jsonb_build_object('cause', 'ForceCloseCommand', 'identity', 'Perdure'),
        jsonb_build_object('cause', 'ForceCloseCommand', 'failure',
            jsonb_build_object('source', 'Perdure', 'message', format(
            '%s events of %s bytes came while the workflow task was started; it may be %s and %s', p_run.buffered_count,
            p_run.buffered_bytes, perdure.maximum('buffered events'),
                perdure.in_bytes(perdure.maximum('buffered bytes'))))), true);
end
$$;
comment on function perdure.force_workflow_task_to_end(smallint, perdure.run_states, timestamptz) is
    'Ends the workflow task of a run that has too many buffered events: the task fails, the events are written, and '
    'the task is queued again. What its worker completes then is lost.';

create or replace function perdure.fail_workflow_tasks(p_shard smallint, p_worker_id uuid, p_failures jsonb)
returns table (run_id uuid, outcome text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_item jsonb;
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
begin
    perform perdure.check_array(p_failures, 'failures');
    for v_item in select f.value from jsonb_array_elements(p_failures) f
        order by lower(f.value ->> 'runId') collate "C" loop
        run_id := null;
        outcome := 'refused';
        begin
            if perdure.is_uuid(v_item ->> 'runId') then
                run_id := (v_item ->> 'runId')::uuid;
                select * into v_run from perdure.run_states r
                where r.shard = p_shard and r.run_id = (v_item ->> 'runId')::uuid for update;
                select * into v_task from perdure.workflow_tasks t
                where t.shard = p_shard and t.run_id = (v_item ->> 'runId')::uuid for update;
                if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker_id
                    or v_task.attempt <> (v_item ->> 'attempt')::int
                    -- The ids are those that the claim told: a later attempt gets its event only when it is completed.
                    or perdure.told_scheduled_event_id(v_task, v_run.next_event_id)
                        is distinct from (v_item ->> 'scheduledEventId')::bigint then
                    outcome := 'lost';
                else
                    perform perdure.end_workflow_task(p_shard, v_run, v_task, v_worker.identity, v_now,
                        'WorkflowTaskFailed',
                        jsonb_build_object('cause', perdure.cut_text(coalesce(v_item ->> 'cause',
                            'WorkflowWorkerUnhandledFailure'), 1000),
                            'failure', perdure.fit_failure(v_item -> 'failure'),
                            'identity', v_worker.identity, 'binaryChecksum', nullif(v_worker.build_id, '')),
                        jsonb_build_object('cause', perdure.cut_text(v_item ->> 'cause', 1000),
                            'failure', perdure.cut_failure(v_item -> 'failure', perdure.maximum('last failure'),
                                perdure.maximum('last failure'))));
                    outcome := 'failed';
                end if;
            end if;
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                perform perdure.put_aside(p_shard, run_id, 'result', 0, sqlerrm, sqlstate, v_now);
                outcome := 'refused';
        end;
        return next;
    end loop;
end
$$;
comment on function perdure.fail_workflow_tasks(smallint, uuid, jsonb) is
    'Records that workflow tasks failed (a bug, a non-determinism error). Each is tried again until a worker can '
    'complete it. Answers for each: failed, lost, or refused, which leaves the task to its timeout.';
