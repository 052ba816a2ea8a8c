-- Two ways to stop a run: ask it to cancel itself (its code decides how), or terminate it at once. A caller that names
-- the first run of a chain means the run that is open, if it belongs to that chain, whatever other run the caller
-- names, as in Temporal.

create or replace function perdure.check_first_run(p_shard smallint, p_run_id uuid, p_first_run_id uuid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_first_run_id is not null and not exists (select from perdure.executions e where e.shard = p_shard
        and e.run_id = p_run_id and coalesce(e.first_run_id, e.run_id) = p_first_run_id) then
        raise exception 'workflow execution not found' using errcode = 'PD001',
            detail = format('Run %s does not belong to the chain that began with run %s.', p_run_id, p_first_run_id),
            hint = 'The workflow id has been started again since.';
    end if;
end
$$;
comment on function perdure.check_first_run(smallint, uuid, uuid) is
    'Raises PD001 unless a run belongs to the chain that began with the named one.';

drop function if exists perdure.request_cancel_workflow(smallint, text, text, uuid, text, text, text);
drop function if exists perdure.request_cancel_workflow(smallint, text, text, uuid, text, text, text, uuid);
create or replace function perdure.request_cancel_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid,
    p_reason text default null, p_identity text default null, p_request_id text default null,
    p_first_run_id uuid default null, p_links jsonb default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    perform perdure.check_text(p_reason, 'reason');
    perform perdure.check_text(p_identity, 'identity');
    perform perdure.check_text(p_request_id, 'request id');
    perform perdure.check_links(p_links);
    begin
        v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id,
            case when p_first_run_id is null then p_run_id end);
    exception when sqlstate 'PD006' then
        -- As in Temporal: there is nothing left to cancel.
        return (perdure.find_run(p_shard, p_namespace, p_workflow_id,
            case when p_first_run_id is null then p_run_id end)).run_id;
    end;
    perform perdure.check_first_run(p_shard, v_run.run_id, p_first_run_id);
    if not v_run.cancel_requested then
        update perdure.run_states r set cancel_requested = true where r.shard = p_shard and r.run_id = v_run.run_id;
        if v_run.start_delayed then
            v_run := perdure.end_start_delay(p_shard, v_run);
        end if;
        perform perdure.record_events(p_shard, v_run, v_now, array[perdure.with_links(
            perdure.event('WorkflowExecutionCancelRequested', jsonb_build_object('cause', p_reason,
                'identity', p_identity, 'requestId', p_request_id)), p_links)]);
    end if;
    return v_run.run_id;
end
$$;
comment on function perdure.request_cancel_workflow(smallint, text, text, uuid, text, text, text, uuid, jsonb) is
    'Asks a run to cancel itself, which ends its start delay. A second request, or one to a closed run, changes '
    'nothing. Raises PD001.';

drop function if exists perdure.terminate_workflow(smallint, text, text, uuid, text, jsonb, text);
drop function if exists perdure.terminate_workflow(smallint, text, text, uuid, text, jsonb, text, uuid);
create or replace function perdure.terminate_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid,
    p_reason text default null, p_details jsonb default null, p_identity text default null,
    p_first_run_id uuid default null, p_links jsonb default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    perform perdure.check_payloads(p_details, 'details');
    perform perdure.check_text(p_reason, 'reason');
    perform perdure.check_text(p_identity, 'identity');
    perform perdure.check_links(p_links);
    v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id,
        case when p_first_run_id is null then p_run_id end);
    perform perdure.check_first_run(p_shard, v_run.run_id, p_first_run_id);
    perform perdure.end_run(p_shard, v_run, v_now, 'Terminated', perdure.with_links(
        perdure.event('WorkflowExecutionTerminated',
            jsonb_build_object('reason', p_reason, 'details', p_details, 'identity', p_identity)), p_links));
    return v_run.run_id;
end
$$;
comment on function perdure.terminate_workflow(smallint, text, text, uuid, text, jsonb, text, uuid, jsonb) is
    'Ends a run at once, and with it its chain; its code is not told. Raises PD001 or PD006.';

create or replace function perdure.end_run(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_status perdure.execution_status, p_event jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_task perdure.workflow_tasks;
    v_worker perdure.workers;
    v_started_event_id bigint;
    v_events jsonb[] := array[]::jsonb[];
begin
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id for update;
    -- As in Temporal, a workflow task that is started fails first, so that nothing stays open in the history.
    if v_task.state = 'started' and v_task.attempt = 1 then
        if v_task.scheduled_event_id = 0 then
            v_task.scheduled_event_id := p_run.next_event_id;
            v_events := array[perdure.workflow_task_scheduled(p_run, 1)
                || jsonb_build_object('eventTime', perdure.rfc3339(v_task.scheduled_at))];
        end if;
        select * into v_worker from perdure.workers w where w.worker_id = v_task.worker;
        v_started_event_id := p_run.next_event_id + cardinality(v_events);
        v_events := v_events || array[
            perdure.workflow_task_started(v_task.scheduled_event_id, v_worker.identity, v_worker.build_id,
                v_task.worker, v_task.started_at, v_started_event_id, p_run.history_bytes),
            perdure.event('WorkflowTaskFailed', jsonb_build_object('scheduledEventId', v_task.scheduled_event_id,
                'startedEventId', v_started_event_id, 'cause', 'ForceCloseCommand', 'identity', 'Perdure'))];
    end if;
    v_events := v_events || perdure.in_flush_order(perdure.take_buffered_events(p_shard, p_run)) || p_event;
    perform perdure.close_run(p_shard, p_run.run_id, p_status, p_now, p_run.next_event_id,
        perdure.number_events(p_run.next_event_id, v_events),
        p_run.history_bytes + perdure.bytes_of(v_events));
end
$$;
comment on function perdure.end_run(smallint, perdure.run_states, timestamptz, perdure.execution_status, jsonb) is
    'Ends an open run from outside (terminated, timed out), with the given event as its last.';
