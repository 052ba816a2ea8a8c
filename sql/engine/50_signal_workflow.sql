-- Signals: a message to a running workflow, delivered once a request id.

create or replace function perdure.workflow_signaled(p_signal_name text, p_input jsonb, p_identity text, p_request_id text) returns jsonb
language sql stable parallel safe
-- Put together, which takes a quarter of the time that perdure.present does.
return jsonb_build_object('eventType', 'WorkflowExecutionSignaled', 'attributes', jsonb_build_object('signalName', p_signal_name)
    || case when p_input is null then '{}' else jsonb_build_object('input', p_input) end
    || case when p_identity is null then '{}' else jsonb_build_object('identity', p_identity) end
    || case when p_request_id is null then '{}' else jsonb_build_object('requestId', p_request_id) end);
comment on function perdure.workflow_signaled(text, jsonb, text, text) is 'The event WorkflowExecutionSignaled.';

create or replace function perdure.signal_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_signal_name text,
    p_input jsonb default '[]', p_identity text default null, p_request_id text default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    if (octet_length(p_signal_name) between 1 and 1000 and perdure.is_plain_payloads(p_input)) is not true then
        perform perdure.check_name(p_signal_name, 'signal name');
        perform perdure.check_payloads(p_input, 'signal input');
    end if;
    -- The latest run, found as by latest_run, if it is open; anything else is for the general way to tell.
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = (
        select e.run_id from perdure.executions e where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
        order by e.namespace, e.start_time desc, e.run_id desc limit 1)
      and (p_run_id is null or r.run_id = p_run_id) for update;
    if v_run.run_id is null then
        v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    end if;
    if p_request_id is not null then
        insert into perdure.request_ids (shard, run_id, request_id) values (p_shard, v_run.run_id, p_request_id) on conflict do nothing;
        if not found then
            return v_run.run_id;
        end if;
    end if;
    perform perdure.record_events(p_shard, v_run, v_now, array[perdure.workflow_signaled(p_signal_name, p_input, p_identity, p_request_id)]);
    return v_run.run_id;
end
$$;
comment on function perdure.signal_workflow(smallint, text, text, uuid, text, jsonb, text, text) is
    'Signals a run; a repeat with the same request id does nothing. Raises PD001 or, for a closed run, PD006.';

create or replace function perdure.signal_with_start_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text, p_input jsonb,
    p_signal_name text, p_signal_input jsonb default '[]', p_options jsonb default '{}')
returns table (run_id uuid, started boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_started record;
    v_run perdure.run_states;
begin
    perform perdure.check_name(p_signal_name, 'signal name');
    perform perdure.check_payloads(p_signal_input, 'signal input');
    for i in 1 .. 5 loop
        select s.run_id, s.started into v_started from perdure.start_workflow(p_shard, p_namespace, p_workflow_id, p_workflow_type, p_task_queue,
            p_input, jsonb_build_object('workflowIdConflictPolicy', 'UseExisting') || p_options) s;
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_started.run_id for update;
        exit when v_run.run_id is not null;
    end loop;
    if v_run.run_id is null then
        raise exception 'workflow % closes as fast as it is started', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD006', hint = 'Try again.';
    end if;
    -- The start knows its own repeat; the signal must, too.
    if p_options ? 'requestId' then
        insert into perdure.request_ids (shard, run_id, request_id) values (p_shard, v_run.run_id, p_options ->> 'requestId') on conflict do nothing;
        if not found then
            return query select v_run.run_id, false;
            return;
        end if;
    end if;
    if v_started.started then
        -- Temporal writes the signal before the first workflow task is scheduled.
        update perdure.history h set events = array[h.events[1], perdure.workflow_signaled(p_signal_name, p_signal_input, p_options ->> 'identity', null)] || h.events[2:]
        where h.shard = p_shard and h.run_id = v_run.run_id and h.first_event_id = 1;
        update perdure.workflow_tasks t set scheduled_event_id = 3 where t.shard = p_shard and t.run_id = v_run.run_id;
        update perdure.run_states r set next_event_id = r.next_event_id + 1 where r.shard = p_shard and r.run_id = v_run.run_id;
    else
        perform perdure.record_events(p_shard, v_run, v_now, array[perdure.workflow_signaled(p_signal_name, p_signal_input, p_options ->> 'identity', null)]);
    end if;
    return query select v_run.run_id, v_started.started;
end
$$;
comment on function perdure.signal_with_start_workflow(smallint, text, text, text, text, jsonb, text, jsonb, jsonb) is
    'Signals the running workflow of that id, or starts one with the signal as its first event, in one transaction; a repeat with the same request id does nothing.';
