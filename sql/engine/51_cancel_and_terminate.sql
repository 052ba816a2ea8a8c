-- Two ways to stop a run: ask it to (its code decides how), or end it at once.

create or replace function perdure.request_cancel_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid,
    p_reason text default null, p_identity text default null, p_request_id text default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    if not v_run.cancel_requested then
        update perdure.run_states r set cancel_requested = true where r.shard = p_shard and r.run_id = v_run.run_id;
        perform perdure.record_events(p_shard, v_run, v_now, array[perdure.event('WorkflowExecutionCancelRequested',
            jsonb_build_object('cause', p_reason, 'identity', p_identity, 'requestId', p_request_id))]);
    end if;
    return v_run.run_id;
end
$$;
comment on function perdure.request_cancel_workflow(smallint, text, text, uuid, text, text, text) is
    'Asks a run to cancel itself; a second request changes nothing. Raises PD001 or PD006.';

create or replace function perdure.terminate_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid,
    p_reason text default null, p_details jsonb default null, p_identity text default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    perform perdure.check_payloads(p_details, 'details');
    v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    perform perdure.end_run(p_shard, v_run, v_now, 'Terminated', perdure.event('WorkflowExecutionTerminated',
        jsonb_build_object('reason', p_reason, 'details', p_details, 'identity', p_identity)));
    return v_run.run_id;
end
$$;
comment on function perdure.terminate_workflow(smallint, text, text, uuid, text, jsonb, text) is
    'Ends a run at once; its code learns nothing. Raises PD001 or PD006.';

create or replace function perdure.end_run(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_status perdure.execution_status, p_event jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_task perdure.workflow_tasks;
    v_events jsonb[] := array[]::jsonb[];
begin
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id for update;
    -- As Temporal does: a workflow task that runs is failed first, so that nothing stays open in the history.
    if v_task.state = 'started' and v_task.attempt = 1 then
        v_events := array[
            perdure.workflow_task_started(v_task.scheduled_event_id, (select w.identity from perdure.workers w where w.worker_id = v_task.worker),
                v_task.worker, v_task.started_at),
            perdure.event('WorkflowTaskFailed', jsonb_build_object('scheduledEventId', v_task.scheduled_event_id,
                'startedEventId', p_run.next_event_id, 'cause', 'ForceCloseCommand', 'identity', 'Perdure'))];
    end if;
    v_events := v_events || perdure.in_flush_order(p_run.buffered_events) || p_event;
    perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id, perdure.number_events(p_run.next_event_id, v_events));
    perform perdure.close_run(p_shard, p_run.run_id, p_status, p_now, p_run.next_event_id + cardinality(v_events) - 1);
end
$$;
comment on function perdure.end_run(smallint, perdure.run_states, timestamptz, perdure.execution_status, jsonb) is
    'Ends an open run from outside (terminated, timed out) with that event as its last.';
