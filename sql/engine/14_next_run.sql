-- Runs that follow each other: a run that continues as new, another attempt of one that failed, the next one of a cron
-- schedule. The new run is written in the transaction that closes the one before it, whose run_states row the caller
-- has locked: until then no other run can take the next number. The events are those of Temporal's server.

create or replace function perdure.start_attributes(p_shard smallint, p_run_id uuid) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select s.said || case when s.said ? 'workflowExecutionExpirationTime' and exists (
                select from perdure.executions e
                where e.shard = p_shard and e.run_id = p_run_id and e.reset_from is not null)
            -- A reset begins the execution timeout anew.
            then perdure.present(jsonb_build_object('workflowExecutionExpirationTime', perdure.rfc3339((
                select t.fire_at from perdure.timers t
                where t.shard = p_shard and t.run_id = p_run_id and t.kind = 'execution_timeout'))))
            else '{}' end
        from (
            select coalesce(h.events[1] -> 'attributes', h.events[1] -> 'given', '{}') as said from perdure.history h
            where h.shard = p_shard and h.run_id = p_run_id and h.first_event_id = 1) s);
end
$$;
comment on function perdure.start_attributes(smallint, uuid) is
    'The attributes that the first event of a run stores: its options, and what it knows of the runs before it. For a '
    'run that a reset made, with the time at which its execution timeout ends now.';

create or replace function perdure.run_backoff(p_shard smallint, p_run_id uuid, p_now timestamptz, p_backoff interval)
    returns interval
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_least interval := coalesce((select (s.value #>> '{}')::interval from perdure.settings s
        where s.name = 'run_interval'), interval '1 s');
    v_lived interval := (select greatest(p_now - e.execution_time, interval '0') from perdure.executions e
        where e.shard = p_shard and e.run_id = p_run_id);
begin
    return nullif(case when v_lived + coalesce(p_backoff, interval '0') < v_least then v_least - v_lived
        else p_backoff end, interval '0');
end
$$;
comment on function perdure.run_backoff(smallint, uuid, timestamptz, interval) is
    'How long the next run of a chain waits: p_backoff, but at least until the setting run_interval has passed since '
    'the present run could begin, so that no chain takes the time of others. Null for no wait.';

create or replace function perdure.run_after(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_failure jsonb, p_result jsonb)
returns perdure.next_run
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_next perdure.next_run;
    v_start jsonb := perdure.start_attributes(p_shard, p_run.run_id);
    v_attempt int := coalesce((v_start ->> 'attempt')::int, 1);
    v_policy jsonb;
    v_wait interval;
    v_initiator text;
begin
    if p_failure is not null then
        v_next.retry_state := 'RetryPolicyNotSet';
        if nullif(v_start -> 'retryPolicy', 'null') is not null then
            -- Runs that started before policies were completed have theirs as it was given.
            v_policy := perdure.retry_policy(v_start -> 'retryPolicy');
            v_wait := coalesce(perdure.duration(p_failure #> '{applicationFailureInfo,nextRetryDelay}',
                'nextRetryDelay'), perdure.retry_wait(v_policy, v_attempt));
            v_next.retry_state := case
                when perdure.is_final_failure(p_failure, v_policy, case when p_failure ? 'timeoutFailureInfo'
                    then 'TemporalTimeout:' || (p_failure #>> '{timeoutFailureInfo,timeoutType}')
                    else p_failure #>> '{applicationFailureInfo,type}' end) then 'NonRetryableFailure'
                when v_attempt >= coalesce((v_policy ->> 'maximumAttempts')::int, 2147483647)
                    then 'MaximumAttemptsReached'
                when p_now + v_wait > (v_start ->> 'workflowExecutionExpirationTime')::timestamptz then 'Timeout'
                else 'InProgress' end;
        end if;
    end if;
    if v_next.retry_state = 'InProgress' then
        v_initiator := 'Retry';
    elsif p_run.cron_schedule is not null then
        v_initiator := 'CronSchedule';
        v_wait := perdure.cron_backoff(p_run.cron_schedule, (select e.execution_time from perdure.executions e
            where e.shard = p_shard and e.run_id = p_run.run_id), p_now);
    end if;
    if v_initiator is null or v_wait is null then
        return v_next;
    end if;
    v_next.run_id := perdure.new_run_id(p_now);
    v_next.backoff := perdure.run_backoff(p_shard, p_run.run_id, p_now, v_wait);
    v_next.start := (v_start - array['identity', 'attempt', 'continuedFailure', 'firstWorkflowTaskBackoff',
            'workflowId', 'originalExecutionRunId', 'firstExecutionRunId'])
        || perdure.present(jsonb_build_object('initiator', v_initiator, 'continuedFailure', p_failure,
            'attempt', case when v_initiator = 'Retry' then v_attempt + 1 end,
            'lastCompletionResult', coalesce(p_result, v_start -> 'lastCompletionResult')));
    return v_next;
end
$$;
comment on function perdure.run_after(smallint, perdure.run_states, timestamptz, jsonb, jsonb) is
    'The run that follows one that failed or timed out (p_failure), or one that completed (p_result): another attempt '
    'by its retry policy, else the next run of its cron schedule, else none.';

create or replace function perdure.check_continue_as_new(p_run perdure.run_states, p_a jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_name(coalesce(nullif(p_a #>> '{workflowType,name}', ''), p_run.workflow_type),
        'workflow type');
    perform perdure.check_task_queue(coalesce(nullif(p_a #>> '{taskQueue,name}', ''), p_run.task_queue));
    perform perdure.check_payloads(nullif(p_a -> 'input', 'null'), 'input');
    perform perdure.check_payloads(nullif(p_a -> 'lastCompletionResult', 'null'), 'last completion result');
    perform perdure.duration(p_a -> 'workflowRunTimeout', 'workflowRunTimeout');
    perform perdure.duration(p_a -> 'workflowTaskTimeout', 'workflowTaskTimeout');
    perform perdure.duration(p_a -> 'backoffStartInterval', 'backoffStartInterval');
    perform perdure.check_retry_policy(p_a -> 'retryPolicy', 'retry policy');
    perform perdure.check_memo(nullif(p_a -> 'memo', 'null'), 'memo');
    perform perdure.check_search_attributes(p_run.namespace, nullif(p_a -> 'searchAttributes', 'null'));
end
$$;
comment on function perdure.check_continue_as_new(perdure.run_states, jsonb) is
    'Raises PD003, PD004 or PD008 unless a run can continue as new with these attributes.';

create or replace function perdure.run_continued_as_new(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_a jsonb)
returns perdure.next_run
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_next perdure.next_run;
    v_before jsonb := perdure.start_attributes(p_shard, p_run.run_id);
    v_execution_timeout interval := nullif(perdure.duration(v_before -> 'workflowExecutionTimeout',
        'workflowExecutionTimeout'), interval '0');
    v_run_timeout interval;
    v_task_timeout interval;
    v_memo jsonb;
    v_search_attributes jsonb;
begin
    -- An attribute that the command leaves out stays as it is, and a null one is removed.
    select case when p_a ? 'memo' then perdure.memo_entries(nullif(p_a -> 'memo', 'null'))
            else nullif(e.memo, '{}') end,
        case when p_a ? 'searchAttributes' then nullif(p_a -> 'searchAttributes', 'null')
            else nullif(e.search_attributes, '{}') end
    into v_memo, v_search_attributes
    from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
    v_run_timeout := least(coalesce(
        nullif(perdure.duration(p_a -> 'workflowRunTimeout', 'workflowRunTimeout'), interval '0'),
        nullif(perdure.duration(v_before -> 'workflowRunTimeout', 'workflowRunTimeout'), interval '0')),
        v_execution_timeout);
    v_task_timeout := least(coalesce(
        nullif(perdure.duration(p_a -> 'workflowTaskTimeout', 'workflowTaskTimeout'), interval '0'),
        p_run.workflow_task_timeout), interval '120 s', v_run_timeout);
    v_next.run_id := perdure.new_run_id(p_now);
    v_next.backoff := perdure.run_backoff(p_shard, p_run.run_id, p_now,
        perdure.duration(p_a -> 'backoffStartInterval', 'backoffStartInterval'));
    -- A cron schedule ends here, as in Temporal.
    v_next.start := perdure.present(jsonb_build_object(
        'workflowType', jsonb_build_object('name', coalesce(nullif(p_a #>> '{workflowType,name}', ''),
            p_run.workflow_type)),
        'taskQueue', jsonb_build_object('name', coalesce(nullif(p_a #>> '{taskQueue,name}', ''), p_run.task_queue),
            'kind', 'Normal'),
        'input', p_a -> 'input', 'header', p_a -> 'header', 'memo', v_memo, 'searchAttributes', v_search_attributes,
        'workflowExecutionTimeout', v_before -> 'workflowExecutionTimeout',
        'workflowExecutionExpirationTime', v_before -> 'workflowExecutionExpirationTime',
        'workflowRunTimeout', perdure.seconds(v_run_timeout), 'workflowTaskTimeout', perdure.seconds(v_task_timeout),
        'retryPolicy', case when not p_a ? 'retryPolicy' then v_before -> 'retryPolicy'
            when p_a -> 'retryPolicy' <> 'null' then perdure.retry_policy(p_a -> 'retryPolicy') end,
        'priority', v_before -> 'priority', 'initiator', 'Workflow',
        'continuedFailure', perdure.fit_failure(nullif(p_a -> 'failure', 'null')),
        'lastCompletionResult', p_a -> 'lastCompletionResult',
        'parentWorkflowNamespace', v_before -> 'parentWorkflowNamespace',
        'parentWorkflowNamespaceId', v_before -> 'parentWorkflowNamespaceId',
        'parentWorkflowExecution', v_before -> 'parentWorkflowExecution',
        'parentInitiatedEventId', v_before -> 'parentInitiatedEventId',
        'rootWorkflowExecution', v_before -> 'rootWorkflowExecution'));
    return v_next;
end
$$;
comment on function perdure.run_continued_as_new(smallint, perdure.run_states, timestamptz, jsonb) is
    'The run that follows one that continues as new, from the attributes of its command. Attributes that the command '
    'leaves out are those of the run before: type, queue, time-outs, retry policy, memo and search attributes.';

create or replace function perdure.workflow_continued_as_new(
    p_next perdure.next_run, p_a jsonb, p_completed_event_id bigint)
returns jsonb
language sql stable parallel safe
return perdure.event('WorkflowExecutionContinuedAsNew', jsonb_build_object(
    'newExecutionRunId', p_next.run_id, 'workflowType', p_next.start -> 'workflowType',
    'taskQueue', p_next.start -> 'taskQueue', 'input', p_next.start -> 'input',
    'workflowRunTimeout', p_next.start -> 'workflowRunTimeout',
    'workflowTaskTimeout', p_next.start -> 'workflowTaskTimeout',
    'workflowTaskCompletedEventId', p_completed_event_id, 'backoffStartInterval', p_a -> 'backoffStartInterval',
    'initiator', nullif(p_a ->> 'initiator', 'Unspecified'), 'failure', p_next.start -> 'continuedFailure',
    'lastCompletionResult', p_next.start -> 'lastCompletionResult', 'header', p_next.start -> 'header',
    'memo', p_next.start -> 'memo', 'searchAttributes', p_next.start -> 'searchAttributes',
    'inheritBuildId', p_a -> 'inheritBuildId'));
comment on function perdure.workflow_continued_as_new(perdure.next_run, jsonb, bigint) is
    'The event WorkflowExecutionContinuedAsNew.';

create or replace function perdure.begin_next_run(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_next perdure.next_run) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_given jsonb := p_next.start - array['workflowType', 'taskQueue', 'workflowTaskTimeout'];
    v_type text := coalesce(p_next.start #>> '{workflowType,name}', p_run.workflow_type);
    v_queue text := coalesce(p_next.start #>> '{taskQueue,name}', p_run.task_queue);
    v_task_timeout interval := coalesce(perdure.duration(p_next.start -> 'workflowTaskTimeout', 'workflowTaskTimeout'),
        interval '10 s');
    v_execution_due timestamptz := (v_given ->> 'workflowExecutionExpirationTime')::timestamptz;
    v_run_due timestamptz := p_now + coalesce(p_next.backoff, interval '0')
        + nullif(perdure.duration(v_given -> 'workflowRunTimeout', 'workflowRunTimeout'), interval '0');
    v_max_events bigint := (select n.max_history_events from perdure.namespaces n where n.namespace = p_run.namespace);
begin
    if p_next.run_id is null then
        return;
    end if;
    v_given := v_given || perdure.present(jsonb_build_object('continuedExecutionRunId', p_run.run_id,
        'firstWorkflowTaskBackoff', perdure.seconds(p_next.backoff),
        'workflowTaskTimeout', case when v_task_timeout <> interval '10 s' then perdure.seconds(v_task_timeout) end));
    insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time,
        execution_time, search_attributes, memo, run_number, first_run_id, parent_namespace, parent_workflow_id,
        parent_run_id, parent_initiated_event_id, root_workflow_id, root_run_id)
    select p_shard, p_next.run_id, e.namespace, e.workflow_id, v_type, v_queue, p_now,
        p_now + coalesce(p_next.backoff, interval '0'), perdure.present(coalesce(v_given -> 'searchAttributes', '{}')),
        coalesce(v_given -> 'memo', '{}'), e.run_number + 1, coalesce(e.first_run_id, e.run_id), e.parent_namespace,
        e.parent_workflow_id, e.parent_run_id, e.parent_initiated_event_id, e.root_workflow_id, e.root_run_id
    from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
    perform perdure.write_run(p_shard, p_next.run_id, p_run.namespace, p_run.workflow_id, v_type, v_queue,
        p_run.priority, v_task_timeout, coalesce(v_max_events, p_run.max_history_events), v_given ->> 'cronSchedule',
        p_now, p_next.backoff, v_execution_due, v_run_due, false,
        array[jsonb_build_object('eventType', 'WorkflowExecutionStarted', 'given', v_given)]);
end
$$;
comment on function perdure.begin_next_run(smallint, perdure.run_states, timestamptz, perdure.next_run) is
    'Writes the run that follows one that has just been closed. Does nothing if no run follows.';
