-- A workflow task that fails or times out: the first attempt is written, later ones are transient.
--
-- As in Temporal, what comes in between makes the next attempt a first one again, which is written: an event that was buffered (see
-- record_events for one that comes while the task waits), or that the task was kept for the worker that had the run cached,
-- since another worker may do it from the whole history.

create or replace function perdure.end_workflow_task(
    p_shard smallint, p_run perdure.run_states, p_task perdure.workflow_tasks, p_identity text, p_now timestamptz,
    p_event_type text, p_attributes jsonb, p_failure jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[] := array[]::jsonb[];
    v_backoff interval := interval '0';
    v_is_first_again boolean := p_run.buffered_events <> '{}' or p_run.sticky_worker is not null;
    v_next int := case when v_is_first_again then 1 else p_task.attempt + 1 end;
begin
    if p_task.attempt = 1 then
        v_events := array[
            perdure.workflow_task_started(p_task.scheduled_event_id, p_identity, p_task.worker, p_task.started_at),
            perdure.event(p_event_type, p_attributes || jsonb_build_object(
                'scheduledEventId', p_task.scheduled_event_id, 'startedEventId', p_run.next_event_id))];
    end if;
    v_events := v_events || perdure.in_flush_order(p_run.buffered_events);
    if v_is_first_again then
        v_events := v_events || perdure.workflow_task_scheduled(p_run, 1);
    end if;
    if v_next > 2 then
        v_backoff := least(interval '1 s' * power(2, least(v_next - 3, 20)),
            (select (s.value #>> '{}')::interval from perdure.settings s where s.name = 'workflow_task_retry_cap'));
    end if;
    if cardinality(v_events) > 0 then
        perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id, perdure.number_events(p_run.next_event_id, v_events));
    end if;
    update perdure.run_states r set
        next_event_id = p_run.next_event_id + cardinality(v_events), buffered_events = '{}',
        sticky_worker = null, sticky_event_id = null,
        workflow_task_failure = p_failure, workflow_task_failed_attempts = p_task.attempt
    where r.shard = p_shard and r.run_id = p_run.run_id;
    update perdure.workflow_tasks t set
        state = case when v_backoff > interval '0' then 'backoff' else 'scheduled' end,
        deadline = case when v_backoff > interval '0' then p_now + v_backoff end,
        attempt = v_next, scheduled_event_id = case when v_is_first_again then p_run.next_event_id + cardinality(v_events) - 1 else t.scheduled_event_id end,
        worker = null, started_at = null, sticky_worker = null, scheduled_at = p_now
    where t.shard = p_shard and t.run_id = p_run.run_id;
    perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
end
$$;
comment on function perdure.end_workflow_task(smallint, perdure.run_states, perdure.workflow_tasks, text, timestamptz, text, jsonb, jsonb) is
    'Ends an attempt of a workflow task without commands and lets it be tried again: at once, then after 1 s, doubling to the cap in settings. Attempts count from 1 again when something has happened to the run meanwhile.';

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
    for v_item in select f.value from jsonb_array_elements(p_failures) f order by (f.value ->> 'runId')::uuid loop
        run_id := (v_item ->> 'runId')::uuid;
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = (v_item ->> 'runId')::uuid for update;
        select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = (v_item ->> 'runId')::uuid for update;
        if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker_id
            or v_task.attempt <> (v_item ->> 'attempt')::int
            -- As the claim told it: an attempt that is not the first gets its event when it is completed.
            or (case v_task.attempt when 1 then v_task.scheduled_event_id else v_run.next_event_id end) is distinct from (v_item ->> 'scheduledEventId')::bigint then
            outcome := 'lost';
        else
            perform perdure.end_workflow_task(p_shard, v_run, v_task, v_worker.identity, v_now, 'WorkflowTaskFailed',
                jsonb_build_object('cause', coalesce(v_item ->> 'cause', 'WorkflowWorkerUnhandledFailure'), 'failure', v_item -> 'failure',
                    'identity', v_worker.identity, 'binaryChecksum', nullif(v_worker.build_id, '')),
                jsonb_build_object('cause', v_item ->> 'cause', 'failure', v_item -> 'failure'));
            outcome := 'failed';
        end if;
        return next;
    end loop;
end
$$;
comment on function perdure.fail_workflow_tasks(smallint, uuid, jsonb) is
    'Records that workflow tasks failed (a bug, a non-determinism error); each is tried again until a worker can do it.';
