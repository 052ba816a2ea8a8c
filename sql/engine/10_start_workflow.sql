-- Starts a run: one row in executions, one in run_states, the first batch of history and the first workflow task.

create or replace function perdure.check_start_options(p_namespace text, p_options jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
begin
    select string_agg(k, ', ') into v_unknown from jsonb_object_keys(p_options) k
    where k not in ('workflowIdReusePolicy', 'workflowIdConflictPolicy', 'requestId', 'memo', 'searchAttributes', 'workflowExecutionTimeout',
        'workflowRunTimeout', 'workflowTaskTimeout', 'workflowStartDelay', 'identity', 'priority', 'retryPolicy');
    if v_unknown is not null then
        raise exception 'unknown start options: %', v_unknown using errcode = 'PD003', hint = 'docs/reference/contract.md lists the options.';
    end if;
    if coalesce(p_options ->> 'priority', '3') !~ '^[1-5]$' then
        raise exception 'the priority must be 1 to 5' using errcode = 'PD003', hint = '1 is first; 3 is the default.';
    end if;
    perform perdure.check_memo(p_options -> 'memo', 'memo');
    perform perdure.check_search_attributes(p_namespace, p_options -> 'searchAttributes');
end
$$;
comment on function perdure.check_start_options(text, jsonb) is 'Raises PD003, PD004 or PD008 unless the options of a start are known and well formed. Durations are checked where they are read.';

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
    v_task_timeout interval := interval '10 s';
    v_delay interval;
    v_priority smallint := smallint '3';
    v_shards bigint;
    v_known_namespace text;
    v_latest_run_id uuid;
    v_latest_status perdure.execution_status;
    v_latest_request text;
    v_run_id uuid;
    v_given jsonb;
    v_events jsonb[];
begin
    -- As check_shard and latest_run read it, in one statement.
    select (s.value #>> '{}')::bigint, (select n.namespace from perdure.namespaces n where n.namespace = p_namespace), l.run_id, l.status, l.request_id
    into v_shards, v_known_namespace, v_latest_run_id, v_latest_status, v_latest_request
    from perdure.settings s
    left join lateral (
        select e.run_id, e.status, e.request_id from perdure.executions e
        where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
        order by e.namespace, e.start_time desc, e.run_id desc limit 1) l on true
    where s.name = 'shard_count';
    if (v_known_namespace is not null and octet_length(p_workflow_id) between 1 and 1000
        and p_shard = perdure.shard_among(v_shards, p_namespace, p_workflow_id)) is not true then
        perform perdure.check_shard(p_shard, p_namespace, p_workflow_id);
    end if;
    -- To call a check costs more than to see that there is no need.
    if (octet_length(p_workflow_type) between 1 and 1000 and octet_length(p_task_queue) between 1 and 1000) is not true then
        perform perdure.check_name(p_workflow_type, 'workflow type');
        perform perdure.check_name(p_task_queue, 'task queue');
    end if;
    if perdure.is_plain_payloads(p_input) is not true then
        perform perdure.check_payloads(p_input, 'input');
    end if;
    if jsonb_typeof(p_options) is distinct from 'object' then
        raise exception 'the options must be an object' using errcode = 'PD003', hint = 'For example {"workflowIdReusePolicy": "RejectDuplicate"}.';
    end if;
    if v_reuse not in ('AllowDuplicate', 'AllowDuplicateFailedOnly', 'RejectDuplicate') then
        raise exception 'unknown workflowIdReusePolicy %', quote_literal(v_reuse) using errcode = 'PD003',
            hint = 'It is AllowDuplicate, AllowDuplicateFailedOnly or RejectDuplicate.';
    end if;
    if v_conflict not in ('Fail', 'UseExisting', 'TerminateExisting') then
        raise exception 'unknown workflowIdConflictPolicy %', quote_literal(v_conflict) using errcode = 'PD003',
            hint = 'It is Fail, UseExisting or TerminateExisting.';
    end if;
    -- What follows from the run itself is left out of the event: perdure.whole_event.
    v_given := case when p_input is null then '{}' else jsonb_build_object('input', p_input) end
        || case when p_options ->> 'identity' is null then '{}' else jsonb_build_object('identity', p_options ->> 'identity') end;
    if p_options - array['workflowIdReusePolicy', 'workflowIdConflictPolicy', 'requestId', 'identity'] <> '{}' then
        perform perdure.check_start_options(p_namespace, p_options);
        v_priority := coalesce(p_options ->> 'priority', '3')::smallint;
        v_execution_timeout := perdure.duration(p_options -> 'workflowExecutionTimeout', 'workflowExecutionTimeout');
        v_run_timeout := perdure.duration(p_options -> 'workflowRunTimeout', 'workflowRunTimeout');
        v_task_timeout := coalesce(nullif(perdure.duration(p_options -> 'workflowTaskTimeout', 'workflowTaskTimeout'), interval '0'), interval '10 s');
        v_delay := nullif(perdure.duration(p_options -> 'workflowStartDelay', 'workflowStartDelay'), interval '0');
        v_given := v_given || perdure.present(jsonb_build_object(
            'workflowExecutionTimeout', perdure.seconds(v_execution_timeout),
            'workflowRunTimeout', perdure.seconds(v_run_timeout),
            'workflowTaskTimeout', case when v_task_timeout <> interval '10 s' then perdure.seconds(v_task_timeout) end,
            'retryPolicy', p_options -> 'retryPolicy',
            'firstWorkflowTaskBackoff', perdure.seconds(v_delay),
            'priority', case when p_options ? 'priority' then jsonb_build_object('priorityKey', v_priority) end,
            'memo', p_options -> 'memo', 'searchAttributes', p_options -> 'searchAttributes'));
    end if;

    -- Two tries: a run that another transaction is starting at this moment is seen as such on the second.
    for i in 1 .. 2 loop
        if i > 1 then
            select l.run_id, l.status, l.request_id into v_latest_run_id, v_latest_status, v_latest_request
            from perdure.latest_run(p_shard, p_namespace, p_workflow_id) l;
        end if;
        if v_latest_run_id is not null and v_latest_request = v_request then
            run_id := v_latest_run_id;
            started := false;
            return next;
            return;
        end if;
        if v_latest_status = 'Running' then
            if v_conflict = 'UseExisting' then
                run_id := v_latest_run_id;
                started := false;
                return next;
                return;
            elsif v_conflict = 'Fail' then
                raise exception 'workflow % is already running', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002',
                    detail = v_latest_run_id::text, hint = 'Choose another workflow id, or the conflict policy UseExisting or TerminateExisting.';
            end if;
            perform perdure.terminate_workflow(p_shard, p_namespace, p_workflow_id, v_latest_run_id,
                'TerminateIfRunning WorkflowIdReusePolicy', null, p_options ->> 'identity');
            v_now := greatest(v_now, perdure.clock());
        elsif v_latest_run_id is not null and (v_reuse = 'RejectDuplicate'
            or v_reuse = 'AllowDuplicateFailedOnly' and v_latest_status = 'Completed') then
            raise exception 'workflow % has already run', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002',
                detail = v_latest_run_id::text, hint = format('The reuse policy is %s, and that run is %s.', v_reuse, v_latest_status);
        end if;

        v_run_id := perdure.new_run_id(v_now);
        insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time, execution_time,
            request_id, search_attributes, memo)
        values (p_shard, v_run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, v_now,
            v_now + coalesce(v_delay, interval '0'), v_request,
            case when p_options ? 'searchAttributes' then perdure.present(p_options -> 'searchAttributes') else '{}' end,
            coalesce(p_options -> 'memo', '{}'))
        on conflict (shard, namespace, workflow_id) where status = 'Running' do nothing;
        exit when found;
        v_run_id := null;
    end loop;
    if v_run_id is null then
        raise exception 'workflow % is being started by others', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002', hint = 'Try again.';
    end if;

    v_events := array[jsonb_build_object('eventType', 'WorkflowExecutionStarted', 'given', v_given)];
    if v_delay is null then
        v_events := v_events || perdure.stored_workflow_task_scheduled(v_task_timeout);
    end if;
    with state as (
        insert into perdure.run_states (shard, run_id, namespace, workflow_id, workflow_type, task_queue, priority, next_event_id,
            workflow_task_timeout, start_delayed)
        values (p_shard, v_run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, v_priority, 1 + cardinality(v_events),
            v_task_timeout, v_delay is not null)),
    task as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at, scheduled_event_id, start_to_close_timeout)
        select p_shard, v_run_id, p_namespace, p_task_queue, v_priority, v_now, 2, v_task_timeout where v_delay is null)
    insert into perdure.history (shard, run_id, first_event_id, event_time, events) values (p_shard, v_run_id, 1, v_now, v_events);
    if v_delay is null then
        perform perdure.wake(p_namespace, p_task_queue, 'workflow');
    end if;
    if v_delay is not null or v_execution_timeout > interval '0' or v_run_timeout > interval '0' then
        insert into perdure.timers (shard, run_id, kind, fire_at)
        select p_shard, v_run_id, due.kind, v_now + coalesce(v_delay, interval '0') + due.after
        from (values ('start_delay', case when v_delay is not null then interval '0' end), ('execution_timeout', nullif(v_execution_timeout, interval '0')),
            ('run_timeout', nullif(v_run_timeout, interval '0'))) as due (kind, after)
        where due.after is not null;
    end if;
    run_id := v_run_id;
    started := true;
    return next;
end
$$;
comment on function perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb) is
    'Starts a workflow, or finds the one that its policies say to use. Raises PD002, PD003, PD004, PD005 or PD008.';
