-- Signals: messages to a running workflow. Each is delivered once for each request id.

drop function if exists perdure.workflow_signaled(text, jsonb, text, text);
drop function if exists perdure.signal_workflow(smallint, text, text, uuid, text, jsonb, text, text);
drop function if exists perdure.workflow_signaled(text, jsonb, text, text, jsonb);
drop function if exists perdure.signal_workflow(smallint, text, text, uuid, text, jsonb, text, text, jsonb);
create or replace function perdure.workflow_signaled(
    p_signal_name text, p_input jsonb, p_identity text, p_request_id text, p_header jsonb default null,
    p_links jsonb default null) returns jsonb
language sql stable parallel safe
-- Concatenation takes a quarter of the time that perdure.present takes.
return perdure.with_links(jsonb_build_object('eventType', 'WorkflowExecutionSignaled', 'attributes',
    jsonb_build_object('signalName', p_signal_name)
    || case when p_input is null then '{}' else jsonb_build_object('input', p_input) end
    || case when p_identity is null then '{}' else jsonb_build_object('identity', p_identity) end
    || case when p_request_id is null then '{}' else jsonb_build_object('requestId', p_request_id) end
    || case when p_header is null then '{}' else jsonb_build_object('header', p_header) end), p_links);
comment on function perdure.workflow_signaled(text, jsonb, text, text, jsonb, jsonb) is
    'The event WorkflowExecutionSignaled.';

create or replace function perdure.signal_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_signal_name text,
    p_input jsonb default '[]', p_identity text default null, p_request_id text default null,
    p_header jsonb default null, p_links jsonb default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    if (octet_length(p_signal_name) between 1 and 1000 and perdure.is_usual_payloads(p_input)) is not true then
        perform perdure.check_name(p_signal_name, 'signal name');
        perform perdure.check_payloads(p_input, 'signal input');
    end if;
    if octet_length(p_identity) > perdure.maximum('name') or octet_length(p_request_id) > perdure.maximum('name') then
        perform perdure.check_text(p_identity, 'identity');
        perform perdure.check_text(p_request_id, 'request id');
    end if;
    if p_header is not null then
        perform perdure.check_memo(p_header, 'header');
    end if;
    if p_links is not null then
        perform perdure.check_links(p_links);
    end if;
    -- The current run, found as by current_run, if it is open. In any other case the general way below raises the
    -- error.
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = (
        select e.run_id from perdure.executions e where e.shard = p_shard and e.workflow_id = p_workflow_id
            and e.namespace || '' = p_namespace
        order by e.namespace, e.run_number desc limit 1)
      and (p_run_id is null or r.run_id = p_run_id) for update;
    if v_run.run_id is null then
        v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    end if;
    if p_request_id is not null then
        insert into perdure.request_ids (shard, run_id, request_id) values (p_shard, v_run.run_id, p_request_id)
            on conflict do nothing;
        if not found then
            return v_run.run_id;
        end if;
    end if;
    perform perdure.record_events(p_shard, v_run, v_now,
        array[perdure.workflow_signaled(p_signal_name, p_input, p_identity, p_request_id, p_header, p_links)]);
    return v_run.run_id;
end
$$;
comment on function perdure.signal_workflow(smallint, text, text, uuid, text, jsonb, text, text, jsonb, jsonb) is
    'Signals a run. A repeat with the same request id does nothing. Raises PD001 or, for a closed run, PD006.';

create or replace function perdure.record_signal(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_signal jsonb, p_options jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if p_options ->> 'requestId' is not null then
        insert into perdure.request_ids (shard, run_id, request_id)
        values (p_shard, p_run.run_id, p_options ->> 'requestId') on conflict do nothing;
        if not found then
            return;
        end if;
    end if;
    if p_run.start_delayed then
        p_run := perdure.end_start_delay(p_shard, p_run);
    end if;
    perform perdure.record_events(p_shard, p_run, p_now, array[
        perdure.workflow_signaled(p_signal ->> 'signalName', p_signal -> 'input', p_options ->> 'identity',
            p_options ->> 'requestId', p_options -> 'header', p_options -> 'links')]);
end
$$;
comment on function perdure.record_signal(smallint, perdure.run_states, timestamptz, jsonb, jsonb) is
    'Records the signal of a signal-with-start in an open run, whose run_states row the caller has locked, and ends '
    'its start delay. A repeat of the request does nothing.';

create or replace function perdure.signal_with_start_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text, p_input jsonb,
    p_signal_name text, p_signal_input jsonb default '[]', p_options jsonb default '{}')
returns table (run_id uuid, started boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return query select s.run_id, s.started
    from perdure.start_workflow(p_shard, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, p_input,
        jsonb_build_object('workflowIdConflictPolicy', 'UseExisting') || p_options,
        jsonb_build_object('signalName', p_signal_name)
            || case when p_signal_input is null then '{}' else jsonb_build_object('input', p_signal_input) end) s;
end
$$;
comment on function perdure.signal_with_start_workflow(smallint, text, text, text, text, jsonb, text, jsonb, jsonb) is
    'Signals the running workflow of that id, or starts one with the signal in its first batch of events, in one '
    'transaction. While that run is open, a repeat with the same request id does nothing.';
