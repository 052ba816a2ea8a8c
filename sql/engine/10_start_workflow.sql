-- Starts a run: one row in executions, one in run_states, the first batch of history and the first workflow task.

create or replace function perdure.start_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text,
    p_input jsonb default '[]', p_options jsonb default '{}')
returns table (run_id uuid, started boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_reuse text := coalesce(p_options ->> 'workflowIdReusePolicy', 'AllowDuplicate');
    v_conflict text := coalesce(p_options ->> 'workflowIdConflictPolicy', 'Fail');
    v_request text := p_options ->> 'requestId';
    v_execution_timeout interval;
    v_run_timeout interval;
    v_task_timeout interval;
    v_delay interval;
    v_priority smallint;
    v_latest perdure.executions;
    v_state perdure.run_states;
    v_events jsonb[];
    v_unknown text;
begin
    perform perdure.check_shard(p_shard, p_namespace, p_workflow_id);
    perform perdure.check_name(p_workflow_type, 'workflow type');
    perform perdure.check_name(p_task_queue, 'task queue');
    perform perdure.check_payloads(p_input, 'input');
    if jsonb_typeof(p_options) is distinct from 'object' then
        raise exception 'the options must be an object' using errcode = 'PD003', hint = 'For example {"workflowIdReusePolicy": "RejectDuplicate"}.';
    end if;
    select string_agg(k, ', ') into v_unknown from jsonb_object_keys(p_options) k
    where k not in ('workflowIdReusePolicy', 'workflowIdConflictPolicy', 'requestId', 'memo', 'searchAttributes', 'workflowExecutionTimeout',
        'workflowRunTimeout', 'workflowTaskTimeout', 'workflowStartDelay', 'identity', 'priority', 'retryPolicy');
    if v_unknown is not null then
        raise exception 'unknown start options: %', v_unknown using errcode = 'PD003', hint = 'docs/reference/contract.md lists the options.';
    end if;
    if v_reuse not in ('AllowDuplicate', 'AllowDuplicateFailedOnly', 'RejectDuplicate') then
        raise exception 'unknown workflowIdReusePolicy %', quote_literal(v_reuse) using errcode = 'PD003',
            hint = 'It is AllowDuplicate, AllowDuplicateFailedOnly or RejectDuplicate.';
    end if;
    if v_conflict not in ('Fail', 'UseExisting', 'TerminateExisting') then
        raise exception 'unknown workflowIdConflictPolicy %', quote_literal(v_conflict) using errcode = 'PD003',
            hint = 'It is Fail, UseExisting or TerminateExisting.';
    end if;
    if coalesce(p_options ->> 'priority', '3') !~ '^[1-5]$' then
        raise exception 'the priority must be 1 to 5' using errcode = 'PD003', hint = '1 is first; 3 is the default.';
    end if;
    v_priority := coalesce(p_options ->> 'priority', '3')::smallint;
    v_execution_timeout := perdure.duration(p_options -> 'workflowExecutionTimeout', 'workflowExecutionTimeout');
    v_run_timeout := perdure.duration(p_options -> 'workflowRunTimeout', 'workflowRunTimeout');
    v_task_timeout := coalesce(nullif(perdure.duration(p_options -> 'workflowTaskTimeout', 'workflowTaskTimeout'), interval '0'), interval '10 s');
    v_delay := nullif(perdure.duration(p_options -> 'workflowStartDelay', 'workflowStartDelay'), interval '0');
    perform perdure.check_memo(p_options -> 'memo', 'memo');
    perform perdure.check_search_attributes(p_namespace, p_options -> 'searchAttributes');

    -- Two tries: a run that another transaction is starting at this moment is seen as such on the second.
    for i in 1 .. 2 loop
        v_latest := perdure.latest_run(p_shard, p_namespace, p_workflow_id);

        if v_latest.run_id is not null and v_latest.request_id = v_request then
            return query select v_latest.run_id, false;
            return;
        end if;
        if v_latest.status = 'Running' then
            if v_conflict = 'UseExisting' then
                return query select v_latest.run_id, false;
                return;
            elsif v_conflict = 'Fail' then
                raise exception 'workflow % is already running', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002',
                    detail = v_latest.run_id::text, hint = 'Choose another workflow id, or the conflict policy UseExisting or TerminateExisting.';
            end if;
            perform perdure.terminate_workflow(p_shard, p_namespace, p_workflow_id, v_latest.run_id,
                'TerminateIfRunning WorkflowIdReusePolicy', null, p_options ->> 'identity');
            v_now := greatest(v_now, perdure.clock());
        elsif v_latest.run_id is not null and (v_reuse = 'RejectDuplicate'
            or v_reuse = 'AllowDuplicateFailedOnly' and v_latest.status = 'Completed') then
            raise exception 'workflow % has already run', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002',
                detail = v_latest.run_id::text, hint = format('The reuse policy is %s, and that run is %s.', v_reuse, v_latest.status);
        end if;

        v_state.run_id := perdure.new_run_id(v_now);
        insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time, execution_time,
            request_id, search_attributes, memo)
        values (p_shard, v_state.run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, v_now,
            v_now + coalesce(v_delay, interval '0'), v_request,
            perdure.present(coalesce(p_options -> 'searchAttributes', '{}')), coalesce(p_options -> 'memo', '{}'))
        on conflict (shard, namespace, workflow_id) where status = 'Running' do nothing;
        exit when found;
        v_state.run_id := null;
    end loop;
    if v_state.run_id is null then
        raise exception 'workflow % is being started by others', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002', hint = 'Try again.';
    end if;

    v_state.shard := p_shard;
    v_state.namespace := p_namespace;
    v_state.workflow_id := p_workflow_id;
    v_state.workflow_type := p_workflow_type;
    v_state.task_queue := p_task_queue;
    v_state.priority := v_priority;
    v_state.workflow_task_timeout := v_task_timeout;
    v_state.start_delayed := v_delay is not null;

    v_events := array[perdure.event('WorkflowExecutionStarted', jsonb_build_object(
        'workflowType', jsonb_build_object('name', p_workflow_type),
        'taskQueue', jsonb_build_object('name', p_task_queue, 'kind', 'Normal'),
        'input', p_input,
        'workflowExecutionTimeout', perdure.seconds(v_execution_timeout),
        'workflowRunTimeout', perdure.seconds(v_run_timeout),
        'workflowTaskTimeout', perdure.seconds(v_task_timeout),
        'originalExecutionRunId', v_state.run_id, 'firstExecutionRunId', v_state.run_id,
        'identity', p_options ->> 'identity', 'attempt', 1, 'workflowId', p_workflow_id,
        'retryPolicy', p_options -> 'retryPolicy',
        'firstWorkflowTaskBackoff', perdure.seconds(v_delay),
        'priority', case when p_options ? 'priority' then jsonb_build_object('priorityKey', v_priority) end,
        'memo', p_options -> 'memo', 'searchAttributes', p_options -> 'searchAttributes'))];
    if v_delay is null then
        v_events := v_events || perdure.workflow_task_scheduled(v_state, 1);
        perform perdure.schedule_workflow_task(p_shard, v_state, v_now, 2);
    else
        insert into perdure.timers (shard, run_id, kind, fire_at) values (p_shard, v_state.run_id, 'start_delay', v_now + v_delay);
    end if;
    insert into perdure.timers (shard, run_id, kind, fire_at)
    select p_shard, v_state.run_id, limits.kind, v_now + coalesce(v_delay, interval '0') + limits.timeout
    from (values ('execution_timeout', v_execution_timeout), ('run_timeout', v_run_timeout)) as limits (kind, timeout)
    where limits.timeout > interval '0';
    insert into perdure.run_states (shard, run_id, namespace, workflow_id, workflow_type, task_queue, priority, next_event_id,
        workflow_task_timeout, start_delayed)
    values (p_shard, v_state.run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, v_priority, 1 + cardinality(v_events),
        v_task_timeout, v_state.start_delayed);
    perform perdure.append_events(p_shard, v_state.run_id, v_now, 1, v_events);
    return query select v_state.run_id, true;
end
$$;
comment on function perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb) is
    'Starts a workflow, or finds the one that its policies say to use. Raises PD002, PD003, PD004, PD005 or PD008.';
