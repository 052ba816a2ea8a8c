-- Signals to other workflows and requests to cancel them: to a run's own children, or to any workflow.

create or replace function perdure.check_external(p_run perdure.run_states, p_a jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_name(p_a ->> 'workflowId', 'workflow id');
    perform perdure.check_name(coalesce(nullif(p_a ->> 'namespace', ''), p_run.namespace), 'namespace',
        perdure.maximum('namespace'));
    if nullif(p_a ->> 'runId', '') is not null and not perdure.is_uuid(p_a ->> 'runId') then
        raise exception 'the run id % is no UUID', quote_literal(left(p_a ->> 'runId', 100)) using errcode = 'PD003',
            hint = 'Leave it out for the current run of the workflow.';
    end if;
    perform perdure.check_text(p_a ->> 'control', 'control');
    perform perdure.check_text(p_a ->> 'reason', 'reason');
    perform perdure.check_payloads(nullif(p_a -> 'input', 'null'), 'signal input');
    if p_a ? 'signalName' then
        perform perdure.check_name(p_a ->> 'signalName', 'signal name');
    end if;
end
$$;
comment on function perdure.check_external(perdure.run_states, jsonb) is
    'Raises PD003 or PD004 unless a command can signal or cancel another workflow. The attributes are flat, as '
    'perdure.external_attributes returns them.';

create or replace function perdure.external_attributes(p_command jsonb) returns jsonb
language sql immutable parallel safe
return case p_command ->> 'commandType'
    when 'SignalExternalWorkflowExecution' then
        jsonb_build_object('signalName', '') || coalesce(p_command -> 'attributes', '{}') || jsonb_build_object(
            'workflowId', p_command #>> '{attributes,execution,workflowId}',
            'runId', p_command #>> '{attributes,execution,runId}')
    else coalesce(p_command -> 'attributes', '{}') end;
comment on function perdure.external_attributes(jsonb) is
    'The attributes of a command that signals or cancels another workflow, both with workflowId and runId.';

create or replace function perdure.initiate_external(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_event_id bigint, p_completed_event_id bigint,
    p_command jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_a jsonb := perdure.external_attributes(p_command);
    v_is_signal boolean := p_command ->> 'commandType' = 'SignalExternalWorkflowExecution';
    v_namespace text := coalesce(nullif(v_a ->> 'namespace', ''), p_run.namespace);
    v_attributes jsonb := perdure.present(jsonb_build_object('namespace', v_namespace, 'namespaceId', v_namespace,
        'workflowExecution', jsonb_build_object('workflowId', v_a -> 'workflowId')
            || case when nullif(v_a ->> 'runId', '') is null then '{}'
                else jsonb_build_object('runId', v_a -> 'runId') end,
        'control', nullif(v_a ->> 'control', ''), 'reason', nullif(v_a ->> 'reason', ''),
        'childWorkflowOnly', nullif(v_a -> 'childWorkflowOnly', 'false'),
        'signalName', v_a -> 'signalName', 'input', v_a -> 'input', 'header', v_a -> 'header'));
begin
    perform perdure.put_transfer(p_shard, p_run.run_id, p_event_id,
        case when v_is_signal then 'signal' else 'cancel' end, v_namespace, v_a ->> 'workflowId', v_attributes
            || jsonb_build_object('initiatedEventId', p_event_id,
            'source', jsonb_build_object('workflowId', p_run.workflow_id, 'runId', p_run.run_id)), p_now);
    return perdure.event(case when v_is_signal then 'SignalExternalWorkflowExecutionInitiated'
        else 'RequestCancelExternalWorkflowExecutionInitiated' end,
        v_attributes || jsonb_build_object('workflowTaskCompletedEventId', p_completed_event_id));
end
$$;
comment on function perdure.initiate_external(smallint, perdure.run_states, timestamptz, bigint, bigint, jsonb) is
    'Signals another workflow, or asks it to cancel itself: writes the transfer, and returns the event …Initiated, '
    'which has the given id.';

create or replace function perdure.lock_external(
    p_shard smallint, p_namespace text, p_workflow_id text, p_source_run_id uuid, p_body jsonb,
    out run_id uuid, out cause text, out is_closed boolean)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_found perdure.executions;
    v_closed uuid;
begin
    is_closed := false;
    loop
        begin
            v_found := perdure.find_run(p_shard, p_namespace, p_workflow_id,
                (p_body #>> '{workflowExecution,runId}')::uuid);
            -- As in Temporal, a run cannot signal or cancel itself in this way.
            if v_found.run_id = p_source_run_id
                or (p_body -> 'childWorkflowOnly' = 'true'
                    and v_found.parent_run_id is distinct from p_source_run_id) then
                cause := 'ExternalWorkflowExecutionNotFound';
                return;
            end if;
            run_id := (perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, v_found.run_id)).run_id;
            return;
        exception
            when sqlstate 'PD001' then
                cause := 'ExternalWorkflowExecutionNotFound';
                return;
            when sqlstate 'PD005' then
                cause := 'NamespaceNotFound';
                return;
            when sqlstate 'PD006' then
                -- The run may have gone on as another run while this call waited for its lock: then the other run is
                -- meant.
                if v_found.run_id = v_closed then
                    is_closed := true;
                    return;
                end if;
                v_closed := v_found.run_id;
        end;
    end loop;
end
$$;
comment on function perdure.lock_external(smallint, text, text, uuid, jsonb) is
    'Locks the run that a signal or a request to cancel is for. Otherwise tells why there is none, or that it has '
    'closed.';

create or replace function perdure.apply_signal(
    p_shard smallint, p_namespace text, p_workflow_id text, p_source_run_id uuid, p_id bigint, p_now timestamptz,
    p_body jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_target record;
    v_run perdure.run_states;
begin
    select * into v_target from perdure.lock_external(p_shard, p_namespace, p_workflow_id, p_source_run_id, p_body);
    if v_target.cause is not null or v_target.is_closed then
        return jsonb_build_object('cause', coalesce(v_target.cause, 'ExternalWorkflowExecutionNotFound'));
    end if;
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_target.run_id;
    perform perdure.record_events(p_shard, v_run, p_now, array[jsonb_build_object(
        'eventType', 'WorkflowExecutionSignaled', 'attributes', perdure.present(jsonb_build_object(
            'signalName', p_body -> 'signalName', 'input', p_body -> 'input', 'header', p_body -> 'header',
            'identity', 'history-service', 'requestId', p_source_run_id || ':' || p_id,
            'externalWorkflowExecution', p_body -> 'source')))]);
    return jsonb '{}';
end
$$;
comment on function perdure.apply_signal(smallint, text, text, uuid, bigint, timestamptz, jsonb) is
    'Delivers a signal of one workflow to another. Returns the cause if that has no run to take it.';

create or replace function perdure.apply_cancel(
    p_shard smallint, p_namespace text, p_workflow_id text, p_source_run_id uuid, p_now timestamptz, p_body jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_target record;
    v_run perdure.run_states;
begin
    select * into v_target from perdure.lock_external(p_shard, p_namespace, p_workflow_id, p_source_run_id, p_body);
    if v_target.cause is not null then
        return jsonb_build_object('cause', v_target.cause);
    end if;
    -- As in Temporal: there is nothing left to cancel.
    if not v_target.is_closed then
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_target.run_id;
        perform perdure.cancel_run(p_shard, v_run, p_now, perdure.present(jsonb_build_object(
            'cause', p_body -> 'reason', 'externalInitiatedEventId', p_body -> 'initiatedEventId',
            'externalWorkflowExecution', p_body -> 'source', 'identity', 'history-service')));
    end if;
    return jsonb '{}';
end
$$;
comment on function perdure.apply_cancel(smallint, text, text, uuid, timestamptz, jsonb) is
    'Delivers a request of one workflow to another to cancel itself. Returns the cause if that has no run to take it.';

create or replace function perdure.cancel_run(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_attributes jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if p_run.cancel_requested then
        return;
    end if;
    update perdure.run_states r set cancel_requested = true where r.shard = p_shard and r.run_id = p_run.run_id;
    if p_run.start_delayed then
        p_run := perdure.end_start_delay(p_shard, p_run);
    end if;
    perform perdure.record_events(p_shard, p_run, p_now,
        array[perdure.event('WorkflowExecutionCancelRequested', p_attributes)]);
end
$$;
comment on function perdure.cancel_run(smallint, perdure.run_states, timestamptz, jsonb) is
    'Asks an open run, whose run_states row the caller has locked, to cancel itself. A second request changes nothing.';

create or replace function perdure.external_reported(p_transfer perdure.transfers, p_outcome jsonb) returns jsonb
language sql stable parallel safe
return perdure.event(case when p_transfer.kind = 'signal'
        then case when p_outcome ? 'cause' then 'SignalExternalWorkflowExecutionFailed'
            else 'ExternalWorkflowExecutionSignaled' end
        else case when p_outcome ? 'cause' then 'RequestCancelExternalWorkflowExecutionFailed'
            else 'ExternalWorkflowExecutionCancelRequested' end end,
    jsonb_build_object('namespace', p_transfer.target_namespace, 'namespaceId', p_transfer.target_namespace,
        'workflowExecution', p_transfer.body -> 'workflowExecution', 'cause', p_outcome -> 'cause',
        'control', p_transfer.body -> 'control', 'initiatedEventId', p_transfer.id));
comment on function perdure.external_reported(perdure.transfers, jsonb) is
    'What a run is told about its signal or its request to cancel: that it arrived, or why not.';
