-- Starts a run: one row in executions, and what write_run writes.

create or replace function perdure.check_fairness(p_fairness jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_fairness is null then
        return;
    end if;
    if jsonb_typeof(p_fairness) <> 'object' or p_fairness - array['fairnessKey', 'fairnessWeight'] <> '{}'
        or coalesce(jsonb_typeof(p_fairness -> 'fairnessKey'), 'string') <> 'string'
        or coalesce(jsonb_typeof(p_fairness -> 'fairnessWeight'), 'number') <> 'number' then
        raise exception 'the fairness must have a key and a weight' using errcode = 'PD003',
            hint = 'For example {"fairnessKey": "customer-1", "fairnessWeight": 2.5}.';
    end if;
    if octet_length(p_fairness ->> 'fairnessKey') > 64 then
        raise exception 'fairness key length exceeds limit' using errcode = 'PD004', hint = 'It has 64 bytes at most.';
    end if;
    if (p_fairness ->> 'fairnessWeight')::numeric <= 0 then
        raise exception 'the fairness weight must be greater than zero' using errcode = 'PD003', hint = '1 is usual.';
    end if;
end
$$;
comment on function perdure.check_fairness(jsonb) is
    'Raises PD003 or PD004 unless it is a fairness key of 64 bytes at most, a weight above zero, or both.';

create or replace function perdure.check_priority(p_priority jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(p_priority, 'null') in ('null', '{}') then
        return;
    end if;
    if jsonb_typeof(p_priority) <> 'object' then
        raise exception 'the priority must be an object' using errcode = 'PD003',
            hint = 'For example {"priorityKey": 1}.';
    end if;
    if p_priority ->> 'priorityKey' like '-%' then
        raise exception 'priority key can''t be negative' using errcode = 'PD003',
            hint = '1 is first; 3 is the default; a number above 5 counts as 5.';
    end if;
    if p_priority ->> 'priorityKey' !~ '^[0-9]{1,10}$' or (p_priority ->> 'priorityKey')::numeric >= 2 ^ 31 then
        raise exception 'the priority key must be a whole number below 2147483648' using errcode = 'PD003',
            hint = '1 is first; 3 is the default; a number above 5 counts as 5.';
    end if;
    perform perdure.check_fairness(p_priority - 'priorityKey');
end
$$;
comment on function perdure.check_priority(jsonb) is
    'Raises PD003 or PD004 unless it is temporal.api.common.v1.Priority, {"priorityKey": n, "fairnessKey": text, '
    '"fairnessWeight": n}, or null.';

create or replace function perdure.claim_priority(p_priority jsonb, p_otherwise smallint) returns smallint
language sql immutable parallel safe
return case when coalesce((p_priority ->> 'priorityKey')::int, 0) = 0 then p_otherwise
    else least((p_priority ->> 'priorityKey')::int, 5)::smallint end;
comment on function perdure.claim_priority(jsonb, smallint) is
    'The priority by which a task is claimed, 1 to 5: that of temporal.api.common.v1.Priority, in which a number above '
    '5 counts as 5, as in Temporal; p_otherwise if it names none.';

create or replace function perdure.check_start_options(p_namespace text, p_options jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
begin
    perform perdure.check_document(p_options - array['memo', 'searchAttributes'], 'options',
        perdure.maximum('options'));
    perform perdure.check_retry_policy(p_options -> 'retryPolicy', 'retry policy');
    select left(string_agg(k, ', '), 1000) into v_unknown from jsonb_object_keys(p_options) k
    where k not in ('workflowIdReusePolicy', 'workflowIdConflictPolicy', 'requestId', 'memo', 'searchAttributes',
        'workflowExecutionTimeout',
        'workflowRunTimeout', 'workflowTaskTimeout', 'workflowStartDelay', 'identity', 'priority', 'fairness',
        'retryPolicy', 'header',
        'userMetadata', 'cronSchedule', 'eagerExecutionAccepted', 'links');
    if v_unknown is not null then
        raise exception 'unknown start options: %', v_unknown using errcode = 'PD003',
            hint = 'docs/reference/contract.md lists the options.';
    end if;
    if p_options ? 'priority' then
        perform perdure.check_priority(jsonb_build_object('priorityKey', p_options -> 'priority'));
        if (p_options ->> 'priority')::int = 0 then
            raise exception 'the priority must be above zero' using errcode = 'PD003',
                hint = '1 is first; 3 is the default; a number above 5 counts as 5.';
        end if;
    end if;
    perform perdure.check_fairness(p_options -> 'fairness');
    perform perdure.check_memo(p_options -> 'memo', 'memo');
    perform perdure.check_memo(p_options -> 'header', 'header');
    perform perdure.check_memo(p_options -> 'userMetadata', 'user metadata');
    perform perdure.check_links(p_options -> 'links');
    perform perdure.check_search_attributes(p_namespace, p_options -> 'searchAttributes');
    if coalesce(p_options ->> 'cronSchedule', '') <> '' then
        perform perdure.check_cron_schedule(p_options ->> 'cronSchedule');
        if p_options ? 'workflowStartDelay' then
            raise exception 'CronSchedule and WorkflowStartDelay may not be used together.' using errcode = 'PD003',
                hint = 'A cron schedule says itself when the first run starts.';
        end if;
    end if;
end
$$;
comment on function perdure.check_start_options(text, jsonb) is
    'Raises PD003, PD004 or PD008 unless the options of a start are known and well formed. Durations are checked '
    'where they are read.';

drop function if exists perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb);
drop function if exists perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb, jsonb);
create or replace function perdure.start_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text,
    p_input jsonb default '[]', p_options jsonb default '{}', p_signal jsonb default null, p_parent jsonb default null)
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
    v_given_run_timeout interval;
    v_task_timeout interval := interval '10 s';
    v_delay interval;
    v_cron_schedule text;
    v_execution_due timestamptz;
    v_run_due timestamptz;
    v_priority smallint := smallint '3';
    v_shards bigint;
    v_max_events bigint;
    v_known_namespace text;
    v_current_run_id uuid;
    v_current_number bigint;
    v_current_status perdure.execution_status;
    v_current_request text;
    v_current_state perdure.run_states;
    v_gone uuid;
    v_is_another_turn boolean := false;
    v_is_overtaken boolean;
    v_run_id uuid;
    v_given jsonb;
    v_events jsonb[];
begin
    -- The same reads as in check_shard and current_run, in one statement.
    select (s.value #>> '{}')::bigint, n.namespace, n.max_history_events, c.run_id, c.run_number, c.status, c.request_id
    into v_shards, v_known_namespace, v_max_events, v_current_run_id, v_current_number, v_current_status,
        v_current_request
    from perdure.settings s
    left join perdure.namespaces n on n.namespace = p_namespace and n.deleted_at is null
    left join lateral (
        select e.run_id, e.run_number, e.status, e.request_id from perdure.executions e
        where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
        order by e.namespace, e.run_number desc limit 1) c on true
    where s.name = 'shard_count';
    if (v_known_namespace is not null and octet_length(p_workflow_id) between 1 and 1000
        and p_shard = perdure.shard_among(v_shards, p_namespace, p_workflow_id)) is not true then
        perform perdure.check_shard(p_shard, p_namespace, p_workflow_id);
    end if;
    -- Calling a check costs more than seeing that it is not needed.
    if (octet_length(p_workflow_type) between 1 and 1000 and octet_length(p_task_queue) between 1 and 1000
        and not starts_with(p_task_queue, '/_sys/')) is not true then
        perform perdure.check_name(p_workflow_type, 'workflow type');
        perform perdure.check_task_queue(p_task_queue);
    end if;
    if perdure.is_usual_payloads(p_input) is not true then
        perform perdure.check_payloads(p_input, 'input');
    end if;
    if jsonb_typeof(p_options) is distinct from 'object' then
        raise exception 'the options must be an object' using errcode = 'PD003',
            hint = 'For example {"workflowIdReusePolicy": "RejectDuplicate"}.';
    end if;
    if octet_length(p_options ->> 'requestId') > perdure.maximum('name')
        or octet_length(p_options ->> 'identity') > perdure.maximum('name') then
        perform perdure.check_text(p_options ->> 'requestId', 'request id');
        perform perdure.check_text(p_options ->> 'identity', 'identity');
    end if;
    if v_reuse not in ('AllowDuplicate', 'AllowDuplicateFailedOnly', 'RejectDuplicate') then
        raise exception 'unknown workflowIdReusePolicy %', quote_literal(left(v_reuse, 100)) using errcode = 'PD003',
            hint = 'It is AllowDuplicate, AllowDuplicateFailedOnly or RejectDuplicate.';
    end if;
    if v_conflict not in ('Fail', 'UseExisting', 'TerminateExisting') then
        raise exception 'unknown workflowIdConflictPolicy %',
            quote_literal(left(v_conflict, 100)) using errcode = 'PD003',
            hint = 'It is Fail, UseExisting or TerminateExisting.';
    end if;
    if v_conflict = 'TerminateExisting' and v_reuse = 'RejectDuplicate' then
        raise exception 'RejectDuplicate cannot be used together with TerminateExisting' using errcode = 'PD003',
            hint = 'An id that is taken once has no run that could be terminated for another: choose one of them.';
    end if;
    if p_signal is not null then
        perform perdure.check_name(p_signal ->> 'signalName', 'signal name');
        perform perdure.check_payloads(p_signal -> 'input', 'signal input');
        if v_conflict = 'Fail' then
            raise exception 'a signal-with-start cannot have the conflict policy Fail' using errcode = 'PD003',
                hint = 'It is UseExisting, which is the default, or TerminateExisting.';
        end if;
    end if;
    -- The event leaves out what can be derived from the run: perdure.whole_event.
    v_given := case when p_input is null then '{}' else jsonb_build_object('input', p_input) end
        || case when p_options ->> 'identity' is null then '{}'
            else jsonb_build_object('identity', p_options ->> 'identity') end;
    if p_options - array['workflowIdReusePolicy', 'workflowIdConflictPolicy', 'requestId', 'identity'] <> '{}' then
        perform perdure.check_start_options(p_namespace, p_options);
        v_priority := least(coalesce(p_options ->> 'priority', '3')::int, 5)::smallint;
        v_execution_timeout := perdure.duration(p_options -> 'workflowExecutionTimeout', 'workflowExecutionTimeout');
        v_run_timeout := perdure.duration(p_options -> 'workflowRunTimeout', 'workflowRunTimeout');
        -- As in Temporal, the timeout of a run is at most that of its execution, and that of a workflow task at most
        -- that of its run.
        v_given_run_timeout := nullif(v_run_timeout, interval '0');
        v_run_timeout := least(v_given_run_timeout, nullif(v_execution_timeout, interval '0'));
        v_task_timeout := least(coalesce(nullif(perdure.duration(p_options -> 'workflowTaskTimeout',
            'workflowTaskTimeout'), interval '0'),
            interval '10 s'), interval '120 s', v_run_timeout);
        v_cron_schedule := nullif(p_options ->> 'cronSchedule', '');
        v_delay := nullif(case when v_cron_schedule is not null then perdure.cron_backoff(v_cron_schedule, v_now, v_now)
            else perdure.duration(p_options -> 'workflowStartDelay', 'workflowStartDelay') end, interval '0');
        v_execution_due := v_now + nullif(v_execution_timeout, interval '0');
        v_run_due := v_now + coalesce(v_delay, interval '0') + v_given_run_timeout;
        v_given := v_given || perdure.present(jsonb_build_object(
            'workflowExecutionTimeout', perdure.seconds(v_execution_timeout),
            'workflowExecutionExpirationTime', perdure.rfc3339(v_execution_due),
            'workflowRunTimeout', perdure.seconds(v_run_timeout),
            'workflowTaskTimeout', case when v_task_timeout <> interval '10 s' then perdure.seconds(v_task_timeout) end,
            'retryPolicy', case when nullif(p_options -> 'retryPolicy', 'null') is not null
                then perdure.retry_policy(p_options -> 'retryPolicy') end,
            'cronSchedule', v_cron_schedule,
            'initiator', case when v_cron_schedule is not null then 'CronSchedule' end,
            'firstWorkflowTaskBackoff', perdure.seconds(v_delay),
            'priority', case when p_options ?| array['priority', 'fairness']
                then case when p_options ? 'priority'
                    then jsonb_build_object('priorityKey', (p_options ->> 'priority')::int) else '{}' end
                    || coalesce(p_options -> 'fairness', '{}') end,
            'memo', perdure.memo_entries(p_options -> 'memo'), 'searchAttributes', p_options -> 'searchAttributes',
            'searchAttributeTypes', case when p_options ? 'searchAttributes'
                then perdure.search_attribute_types(p_namespace, p_options -> 'searchAttributes') end,
            'header', p_options -> 'header',
            -- The client that starts the run gets its first workflow task with the answer.
            'eagerExecutionAccepted', case when p_options -> 'eagerExecutionAccepted' = 'true' then true end));
    end if;

    -- The new run takes the number after that of the current run, which is closed by then. The transaction that takes a
    -- number first has it, and the others look again: each turn of this loop means that another transaction has started
    -- or closed a run meanwhile.
    loop
        if v_is_another_turn then
            select c.run_id, c.run_number, c.status, c.request_id
            into v_current_run_id, v_current_number, v_current_status, v_current_request
            from perdure.current_run(p_shard, p_namespace, p_workflow_id) c;
        end if;
        v_is_another_turn := true;
        -- As in Temporal, a signal-with-start recognises its repeat by the request id of the signal, which
        -- record_signal checks.
        if v_current_request = v_request and p_signal is null then
            run_id := v_current_run_id;
            started := false;
            return next;
            return;
        end if;
        if v_current_status = 'Running' then
            if v_conflict = 'Fail' then
                raise exception 'workflow % is already running', quote_literal(left(p_workflow_id, 200))
                    using errcode = 'PD002', detail = v_current_run_id::text,
                    hint = 'Choose another workflow id, or the conflict policy UseExisting or TerminateExisting.';
            elsif v_conflict = 'UseExisting' and p_signal is null then
                run_id := v_current_run_id;
                started := false;
                return next;
                return;
            end if;
            -- While this row is locked the run cannot close, and so it stays the current one.
            select * into v_current_state from perdure.run_states r
            where r.shard = p_shard and r.run_id = v_current_run_id for update;
            if v_current_state.run_id is not null and v_conflict = 'UseExisting' then
                run_id := v_current_run_id;
                started := false;
                return next;
                perform perdure.record_signal(p_shard, v_current_state, v_now, p_signal, p_options);
                return;
            elsif v_current_state.run_id is not null then
                v_now := greatest(v_now, perdure.clock());
                v_run_id := perdure.new_run_id(v_now);
                perform perdure.end_run(p_shard, v_current_state, v_now, 'Terminated', perdure.event(
                    'WorkflowExecutionTerminated', jsonb_build_object(
                        'reason', 'TerminateIfRunning WorkflowIdReusePolicy', 'identity', 'history-service',
                        'details', perdure.payloads(to_jsonb('terminated by new runID: ' || v_run_id)))));
            else
                perform perdure.check_still_open(v_current_run_id, v_gone);
                v_gone := v_current_run_id;
                continue;
            end if;
        elsif v_current_run_id is not null and (v_reuse = 'RejectDuplicate'
            or v_reuse = 'AllowDuplicateFailedOnly' and v_current_status = 'Completed') then
            raise exception 'workflow % has already run',
                quote_literal(left(p_workflow_id, 200)) using errcode = 'PD002',
                detail = v_current_run_id::text,
                hint = format('The reuse policy is %s, and that run is %s.', v_reuse, v_current_status);
        elsif v_current_run_id is not null then
            -- FOR KEY SHARE keeps others from deleting the current run, so its number stays the highest, except for the
            -- number that is taken now.
            perform from perdure.executions e where e.shard = p_shard and e.run_id = v_current_run_id for key share;
            continue when not found;
        end if;

        v_run_id := coalesce(v_run_id, perdure.new_run_id(v_now));
        insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time,
            execution_time,
            request_id, search_attributes, memo, run_number, parent_namespace, parent_workflow_id, parent_run_id,
            parent_initiated_event_id, root_workflow_id, root_run_id)
        values (p_shard, v_run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, v_now,
            v_now + coalesce(v_delay, interval '0'), v_request,
            case when p_options ? 'searchAttributes' then perdure.present(p_options -> 'searchAttributes')
                else '{}' end,
            coalesce(perdure.memo_entries(p_options -> 'memo'), '{}'), coalesce(v_current_number, 0) + 1,
            p_parent ->> 'parentWorkflowNamespace', p_parent #>> '{parentWorkflowExecution,workflowId}',
            (p_parent #>> '{parentWorkflowExecution,runId}')::uuid, (p_parent ->> 'parentInitiatedEventId')::bigint,
            p_parent #>> '{rootWorkflowExecution,workflowId}',
            (p_parent #>> '{rootWorkflowExecution,runId}')::uuid)
        on conflict (shard, workflow_id, namespace, run_number) do nothing;
        exit when found;
    end loop;

    if p_parent is not null then
        v_given := v_given || p_parent;
    end if;
    v_events := array[perdure.with_links(jsonb_build_object('eventType', 'WorkflowExecutionStarted', 'given', v_given)
        || case when p_options ? 'userMetadata' then jsonb_build_object('userMetadata', p_options -> 'userMetadata')
            else '{}' end, p_options -> 'links')];
    if p_signal is not null then
        v_events := v_events
            || perdure.workflow_signaled(p_signal ->> 'signalName', p_signal -> 'input', p_options ->> 'identity',
                v_request, p_options -> 'header', p_options -> 'links');
        if v_request is not null then
            insert into perdure.request_ids (shard, run_id, request_id) values (p_shard, v_run_id, v_request);
        end if;
    end if;
    v_is_overtaken := perdure.write_run(p_shard, v_run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue,
        v_priority, v_task_timeout, v_max_events, v_cron_schedule, v_now, v_delay, v_execution_due, v_run_due,
        v_current_run_id is null, v_events);
    if v_is_overtaken then
        -- There was no run when this call began, and now there is one with a higher number: other transactions have
        -- started runs and deleted the first of them.
        delete from perdure.request_ids i where i.shard = p_shard and i.run_id = v_run_id;
        delete from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_run_id;
        delete from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
        delete from perdure.history h where h.shard = p_shard and h.run_id = v_run_id;
        delete from perdure.executions e where e.shard = p_shard and e.run_id = v_run_id;
        return query select s.run_id, s.started
        from perdure.start_workflow(p_shard, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, p_input,
            p_options, p_signal, p_parent) s;
        return;
    end if;
    run_id := v_run_id;
    started := true;
    return next;
end
$$;
comment on function perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb, jsonb, jsonb) is
    'Starts a workflow, or finds the run that its policies say to use. With p_signal, {"signalName", "input"}, it '
    'does what signal_with_start_workflow does. With p_parent, the parent''s part of the first event, the run is a '
    'child of that parent. Raises PD002, PD003, PD004, PD005 or PD008.';
