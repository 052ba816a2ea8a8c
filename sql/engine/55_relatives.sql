-- What happens to relatives when a run closes: its children are dealt with by their policies, and its parent is told.

create or replace function perdure.tell_relatives(
    p_shard smallint, p_run_id uuid, p_status perdure.execution_status, p_time timestamptz, p_first_event_id bigint,
    p_events jsonb[])
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
    v_child perdure.child_workflows;
    v_last jsonb := p_events[cardinality(p_events)];
    v_is_reset boolean := p_status = 'Terminated' and v_last #>> '{attributes,identity}' = 'history-resetter';
    v_id bigint := p_first_event_id + cardinality(p_events) - 1;
begin
    select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    -- As in Temporal, effects that the closing task decided never happen.
    delete from perdure.transfers t where t.shard = p_shard and t.run_id = p_run_id and t.id >= p_first_event_id;
    for v_child in select * from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_run_id
        order by c.initiated_event_id loop
        -- A run that is reset keeps its children, for the run that goes on from it.
        if v_child.initiated_event_id < p_first_event_id and v_child.parent_close_policy <> 'Abandon'
            and not (v_is_reset and v_run.reset_run_id is not null) then
            perform perdure.put_transfer(p_shard, p_run_id, v_id, 'parent closed', v_child.namespace,
                v_child.workflow_id, jsonb_build_object('initiatedEventId', v_child.initiated_event_id,
                    'parentClosePolicy', v_child.parent_close_policy,
                    'source', jsonb_build_object('workflowId', v_run.workflow_id, 'runId', p_run_id)), p_time);
            v_id := v_id + 1;
        end if;
    end loop;
    delete from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_run_id;
    -- A run that goes on as another one has not ended for its parent: the last run of the chain tells the parent.
    if v_run.parent_run_id is not null and p_status <> 'ContinuedAsNew' and v_is_reset is not true
        and perdure.stored_attribute(v_last, 'newExecutionRunId') is null then
        perform perdure.put_transfer(p_shard, p_run_id, v_id, 'child closed', v_run.parent_namespace,
            v_run.parent_workflow_id, perdure.present(jsonb_build_object(
                'parentRunId', v_run.parent_run_id, 'initiatedEventId', v_run.parent_initiated_event_id,
                'firstRunId', coalesce(v_run.first_run_id, p_run_id), 'eventType', 'Child' || (v_last ->> 'eventType'),
                'namespace', v_run.namespace, 'workflowType', jsonb_build_object('name', v_run.workflow_type),
                'workflowExecution', jsonb_build_object('workflowId', v_run.workflow_id, 'runId', p_run_id),
                'result', perdure.stored_attribute(v_last, 'result'),
                'failure', perdure.stored_attribute(v_last, 'failure'),
                'details', case when p_status = 'Canceled' then perdure.stored_attribute(v_last, 'details') end,
                'retryState', perdure.stored_attribute(v_last, 'retryState'))), p_time);
    end if;
end
$$;
comment on function perdure.tell_relatives(smallint, uuid, perdure.execution_status, timestamptz, bigint, jsonb[]) is
    'Called when a run with a parent or children closes, with its last events: writes transfers to the children whose '
    'policy asks for it, and to the parent.';

create or replace function perdure.apply_parent_closed(
    p_shard smallint, p_namespace text, p_workflow_id text, p_parent_run_id uuid, p_now timestamptz, p_body jsonb)
returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_child perdure.executions := perdure.current_run(p_shard, p_namespace, p_workflow_id);
    v_run perdure.run_states;
begin
    -- The current run is affected only if it belongs to the chain that began as this child.
    if v_child.parent_run_id is distinct from p_parent_run_id
        or v_child.parent_initiated_event_id is distinct from (p_body ->> 'initiatedEventId')::bigint then
        return jsonb '{}';
    end if;
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_child.run_id for update;
    if v_run.run_id is null then
        if (perdure.current_run(p_shard, p_namespace, p_workflow_id)).run_id <> v_child.run_id then
            -- The child went on as another run at this moment.
            return perdure.apply_parent_closed(p_shard, p_namespace, p_workflow_id, p_parent_run_id, p_now, p_body);
        end if;
        return jsonb '{}';
    end if;
    if p_body ->> 'parentClosePolicy' = 'RequestCancel' then
        perform perdure.cancel_run(p_shard, v_run, p_now, jsonb_build_object(
            'externalWorkflowExecution', p_body -> 'source', 'identity', 'history-service'));
        return jsonb '{}';
    end if;
    perform perdure.end_run(p_shard, v_run, p_now, 'Terminated', perdure.event('WorkflowExecutionTerminated',
        jsonb_build_object('reason', 'by parent close policy', 'identity', 'history-service')));
    return jsonb_build_object('closedRunId', v_run.run_id);
end
$$;
comment on function perdure.apply_parent_closed(smallint, text, text, uuid, timestamptz, jsonb) is
    'Tells an open child that its parent has closed: the child is terminated or asked to cancel itself.';

create or replace function perdure.child_started_event_id(p_shard smallint, p_run_id uuid, p_initiated_event_id bigint)
    returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$
begin
    -- The event is near the beginning of this scan, because a child is started soon after the command.
    return (
        select h.first_event_id + e.ordinality - 1 from (
            select * from perdure.history h where h.shard = p_shard and h.run_id = p_run_id
                and h.first_event_id > p_initiated_event_id order by h.first_event_id) h
        cross join lateral unnest(h.events) with ordinality e (event, ordinality)
        where e.event ->> 'eventType' = 'ChildWorkflowExecutionStarted'
          and (e.event #>> '{attributes,initiatedEventId}')::bigint = p_initiated_event_id
        limit 1);
end
$$;
comment on function perdure.child_started_event_id(smallint, uuid, bigint) is
    'The id of the ChildWorkflowExecutionStarted of a child in the history of its parent; null if the event waits to '
    'be written.';

create or replace function perdure.lock_run_reset_from(p_shard smallint, p_run_id uuid, p_event_id bigint)
    returns perdure.run_states
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_run_id uuid := p_run_id;
begin
    loop
        select e.run_id into v_run_id from perdure.executions p
        join perdure.executions e on e.shard = p.shard and e.run_id = p.reset_run_id
        where p.shard = p_shard and p.run_id = v_run_id and e.shard = p_shard
          -- The run that the reset made shares only the events before the place to which it went back.
          and p_event_id < (e.reset_from #>> '{0,eventId}')::bigint;
        exit when not found;
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
        exit when found;
    end loop;
    return v_run;
end
$$;
comment on function perdure.lock_run_reset_from(smallint, uuid, bigint) is
    'Locks the open run that goes on from a closed one by resets, if it shares an event with it; null if there is '
    'none.';

create or replace function perdure.apply_child_closed(p_shard smallint, p_now timestamptz, p_body jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_child perdure.child_workflows;
    v_events jsonb[] := array[]::jsonb[];
begin
    select * into v_run from perdure.run_states r
    where r.shard = p_shard and r.run_id = (p_body ->> 'parentRunId')::uuid for update;
    if v_run.run_id is null then
        v_run := perdure.lock_run_reset_from(p_shard, (p_body ->> 'parentRunId')::uuid,
            (p_body ->> 'initiatedEventId')::bigint);
    end if;
    if v_run.run_id is null then
        return jsonb '{}';
    end if;
    delete from perdure.child_workflows c where c.shard = p_shard and c.run_id = v_run.run_id
        and c.initiated_event_id = (p_body ->> 'initiatedEventId')::bigint
    returning * into v_child;
    if not found then
        return jsonb '{}';
    end if;
    if v_child.child_run_id is null then
        -- The child closed before its start was reported.
        v_child.child_run_id := (p_body ->> 'firstRunId')::uuid;
        v_events := array[perdure.child_started(v_child)];
    end if;
    v_events := v_events || perdure.event(p_body ->> 'eventType',
        (p_body - array['parentRunId', 'firstRunId', 'eventType']) || jsonb_build_object(
            'namespaceId', p_body -> 'namespace', 'startedEventId', case when v_events = '{}' then
                perdure.child_started_event_id(p_shard, v_run.run_id, v_child.initiated_event_id) end));
    perform perdure.record_events(p_shard, v_run, p_now, v_events);
    return jsonb '{}';
end
$$;
comment on function perdure.apply_child_closed(smallint, timestamptz, jsonb) is
    'Tells an open parent how its child has ended, and that the child was started if the parent does not know that '
    'yet.';
