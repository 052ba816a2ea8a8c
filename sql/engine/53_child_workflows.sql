-- Children: what a command says, how a child is started, and what its parent learns of that.

create or replace function perdure.check_start_child(p_run perdure.run_states, p_a jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_namespace text := coalesce(nullif(p_a ->> 'namespace', ''), p_run.namespace);
begin
    perform perdure.check_name(p_a #>> '{workflowType,name}', 'workflow type of the child');
    perform perdure.check_name(p_a ->> 'workflowId', 'workflow id of the child');
    perform perdure.check_name(v_namespace, 'namespace of the child', perdure.maximum('namespace'));
    perform perdure.check_task_queue(coalesce(nullif(p_a #>> '{taskQueue,name}', ''), p_run.task_queue));
    perform perdure.check_payloads(nullif(p_a -> 'input', 'null'), 'input of the child');
    perform perdure.check_text(p_a ->> 'control', 'control');
    if coalesce(p_a ->> 'parentClosePolicy', 'Unspecified')
        not in ('Unspecified', 'Terminate', 'Abandon', 'RequestCancel') then
        raise exception 'unknown parentClosePolicy %', quote_literal(left(p_a ->> 'parentClosePolicy', 100))
            using errcode = 'PD003', hint = 'It is Terminate, Abandon or RequestCancel.';
    end if;
    if coalesce(p_a ->> 'workflowIdReusePolicy', 'Unspecified') not in ('Unspecified', 'AllowDuplicate',
        'AllowDuplicateFailedOnly', 'RejectDuplicate', 'TerminateIfRunning') then
        raise exception 'unknown workflowIdReusePolicy %', quote_literal(left(p_a ->> 'workflowIdReusePolicy', 100))
            using errcode = 'PD003',
            hint = 'It is AllowDuplicate, AllowDuplicateFailedOnly, RejectDuplicate or TerminateIfRunning.';
    end if;
    perform perdure.duration(p_a -> t.name, t.name)
    from unnest(array['workflowExecutionTimeout', 'workflowRunTimeout', 'workflowTaskTimeout']) t (name);
    perform perdure.check_priority(p_a -> 'priority');
    perform perdure.check_start_options(v_namespace, perdure.child_options(p_a));
end
$$;
comment on function perdure.check_start_child(perdure.run_states, jsonb) is
    'Raises PD003, PD004 or PD008 unless a command can start a child.';

create or replace function perdure.child_options(p_a jsonb) returns jsonb
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
    -- TerminateIfRunning is the older form of a conflict policy.
    select perdure.present(jsonb_build_object(
        'workflowIdReusePolicy', case coalesce(p_a ->> 'workflowIdReusePolicy', 'Unspecified')
            when 'Unspecified' then 'AllowDuplicate' when 'TerminateIfRunning' then 'AllowDuplicate'
            else p_a ->> 'workflowIdReusePolicy' end,
        'workflowIdConflictPolicy',
            case when p_a ->> 'workflowIdReusePolicy' = 'TerminateIfRunning' then 'TerminateExisting' end,
        'workflowExecutionTimeout', p_a -> 'workflowExecutionTimeout',
        'workflowRunTimeout', p_a -> 'workflowRunTimeout', 'workflowTaskTimeout', p_a -> 'workflowTaskTimeout',
        'retryPolicy', p_a -> 'retryPolicy', 'cronSchedule', nullif(p_a ->> 'cronSchedule', ''),
        'header', p_a -> 'header', 'memo', perdure.memo_entries(p_a -> 'memo'),
        'searchAttributes', p_a -> 'searchAttributes',
        'priority', case when coalesce((p_a #>> '{priority,priorityKey}')::int, 0) > 0
            then (p_a #>> '{priority,priorityKey}')::int end,
        'fairness', nullif(coalesce(p_a -> 'priority', '{}') - 'priorityKey', '{}')))
$$;
comment on function perdure.child_options(jsonb) is
    'The options of start_workflow that a command to start a child sets.';

create or replace function perdure.initiate_child(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_event_id bigint, p_completed_event_id bigint,
    p_command jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_a jsonb := coalesce(p_command -> 'attributes', '{}');
    v_namespace text := coalesce(nullif(v_a ->> 'namespace', ''), p_run.namespace);
    v_type text := v_a #>> '{workflowType,name}';
    v_queue text := coalesce(nullif(v_a #>> '{taskQueue,name}', ''), p_run.task_queue);
    v_close text := coalesce(nullif(v_a ->> 'parentClosePolicy', 'Unspecified'), 'Terminate');
    v_execution_timeout interval := nullif(perdure.duration(v_a -> 'workflowExecutionTimeout',
        'workflowExecutionTimeout'), interval '0');
    v_run_timeout interval := least(nullif(perdure.duration(v_a -> 'workflowRunTimeout', 'workflowRunTimeout'),
        interval '0'), v_execution_timeout);
    v_options jsonb := perdure.child_options(v_a);
    v_parent perdure.executions;
begin
    select * into v_parent from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
    if not p_run.is_related then
        update perdure.run_states r set is_related = true where r.shard = p_shard and r.run_id = p_run.run_id;
    end if;
    insert into perdure.child_workflows (shard, run_id, initiated_event_id, namespace, workflow_id, workflow_type,
        parent_close_policy)
    values (p_shard, p_run.run_id, p_event_id, v_namespace, v_a ->> 'workflowId', v_type, v_close);
    if p_command ? 'userMetadata' then
        v_options := v_options || jsonb_build_object('userMetadata', p_command -> 'userMetadata');
    end if;
    perform perdure.put_transfer(p_shard, p_run.run_id, p_event_id, 'start child', v_namespace, v_a ->> 'workflowId',
        jsonb_build_object('workflowType', v_type, 'taskQueue', v_queue, 'input', coalesce(v_a -> 'input', '[]'),
            'control', v_a -> 'control', 'options', v_options || jsonb_build_object('requestId',
                p_run.run_id || ':' || p_event_id),
            'parent', jsonb_build_object('parentWorkflowNamespace', p_run.namespace,
                'parentWorkflowNamespaceId', p_run.namespace,
                'parentWorkflowExecution', jsonb_build_object('workflowId', p_run.workflow_id, 'runId', p_run.run_id),
                'parentInitiatedEventId', p_event_id,
                'rootWorkflowExecution', jsonb_build_object(
                    'workflowId', coalesce(v_parent.root_workflow_id, p_run.workflow_id),
                    'runId', coalesce(v_parent.root_run_id, p_run.run_id)))), p_now);
    return perdure.event('StartChildWorkflowExecutionInitiated', jsonb_build_object(
        'namespace', v_namespace, 'namespaceId', v_namespace, 'workflowId', v_a ->> 'workflowId',
        'workflowType', jsonb_build_object('name', v_type),
        'taskQueue', jsonb_build_object('name', v_queue, 'kind', 'Normal'), 'input', v_a -> 'input',
        'workflowExecutionTimeout', perdure.seconds(v_execution_timeout),
        'workflowRunTimeout', perdure.seconds(v_run_timeout),
        'workflowTaskTimeout', perdure.seconds(least(coalesce(nullif(perdure.duration(v_a -> 'workflowTaskTimeout',
            'workflowTaskTimeout'), interval '0'), interval '10 s'), interval '120 s', v_run_timeout)),
        'parentClosePolicy', v_close, 'control', nullif(v_a ->> 'control', ''),
        'workflowTaskCompletedEventId', p_completed_event_id,
        'workflowIdReusePolicy', coalesce(nullif(v_a ->> 'workflowIdReusePolicy', 'Unspecified'), 'AllowDuplicate'),
        'retryPolicy', case when coalesce(v_a -> 'retryPolicy', 'null') <> 'null'
            then perdure.retry_policy(v_a -> 'retryPolicy') end,
        'cronSchedule', nullif(v_a ->> 'cronSchedule', ''), 'header', v_a -> 'header',
        'memo', perdure.memo_entries(v_a -> 'memo'),
        'searchAttributes', v_a -> 'searchAttributes', 'inheritBuildId', v_a -> 'inheritBuildId',
        'priority', v_a -> 'priority'));
end
$$;
comment on function perdure.initiate_child(smallint, perdure.run_states, timestamptz, bigint, bigint, jsonb) is
    'Starts a child of a run: writes the transfer and what the run remembers of the child, and returns the event '
    'StartChildWorkflowExecutionInitiated, which has the given id.';

create or replace function perdure.apply_start_child(
    p_shard smallint, p_namespace text, p_workflow_id text, p_parent_run_id uuid, p_body jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run_id uuid;
    v_parent_run_id uuid;
begin
    begin
        select s.run_id into v_run_id from perdure.start_workflow(p_shard, p_namespace, p_workflow_id,
            p_body ->> 'workflowType', p_body ->> 'taskQueue', p_body -> 'input', p_body -> 'options', null,
            p_body -> 'parent') s;
    exception
        when sqlstate 'PD002' then
            return jsonb_build_object('cause', 'WorkflowAlreadyExists');
        when sqlstate 'PD005' then
            return jsonb_build_object('cause', 'NamespaceNotFound');
    end;
    select e.parent_run_id into v_parent_run_id from perdure.executions e
    where e.shard = p_shard and e.run_id = v_run_id;
    if v_parent_run_id is distinct from p_parent_run_id then
        return jsonb_build_object('cause', 'WorkflowAlreadyExists');
    end if;
    return jsonb_build_object('runId', v_run_id);
end
$$;
comment on function perdure.apply_start_child(smallint, text, text, uuid, jsonb) is
    'Starts a child on its shard. Returns its run, or the cause why there is none.';

create or replace function perdure.child_started(p_child perdure.child_workflows) returns jsonb
language sql stable parallel safe
return jsonb_build_object('eventType', 'ChildWorkflowExecutionStarted', 'attributes', jsonb_build_object(
    'namespace', p_child.namespace, 'namespaceId', p_child.namespace, 'initiatedEventId', p_child.initiated_event_id,
    'workflowExecution', jsonb_build_object('workflowId', p_child.workflow_id, 'runId', p_child.child_run_id),
    'workflowType', jsonb_build_object('name', p_child.workflow_type)));
comment on function perdure.child_started(perdure.child_workflows) is 'The event ChildWorkflowExecutionStarted.';

create or replace function perdure.child_start_reported(p_shard smallint, p_transfer perdure.transfers, p_outcome jsonb)
    returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_child perdure.child_workflows;
begin
    if p_outcome ? 'cause' then
        delete from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_transfer.run_id
            and c.initiated_event_id = p_transfer.id;
        return perdure.event('StartChildWorkflowExecutionFailed', jsonb_build_object(
            'namespace', p_transfer.target_namespace, 'namespaceId', p_transfer.target_namespace,
            'workflowId', p_transfer.target_workflow_id,
            'workflowType', jsonb_build_object('name', p_transfer.body ->> 'workflowType'),
            'cause', p_outcome -> 'cause', 'control', nullif(p_transfer.body ->> 'control', ''),
            'initiatedEventId', p_transfer.id));
    end if;
    update perdure.child_workflows c set child_run_id = (p_outcome ->> 'runId')::uuid
    where c.shard = p_shard and c.run_id = p_transfer.run_id and c.initiated_event_id = p_transfer.id
      and c.child_run_id is null
    returning * into v_child;
    -- If the child has closed already, its end has told the parent of the start, too.
    return case when found then perdure.child_started(v_child) end;
end
$$;
comment on function perdure.child_start_reported(smallint, perdure.transfers, jsonb) is
    'What a parent is told about the start of a child: the event ChildWorkflowExecutionStarted or '
    'StartChildWorkflowExecutionFailed; null if the parent knows it already.';
