-- Resets a run: the run ends, and another one goes on from one of its workflow tasks. The events that are written and
-- kept are those of Temporal's server (docs/decisions/0038-resets.md).

create or replace function perdure.reset_excludes(p_options jsonb) returns text[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_type text := coalesce(nullif(p_options ->> 'resetReapplyType', 'Unspecified'), 'AllEligible');
    v_excludes text[];
begin
    if jsonb_typeof(p_options) is distinct from 'object'
        or jsonb_typeof(coalesce(nullif(p_options -> 'resetReapplyExcludeTypes', 'null'), '[]')) <> 'array' then
        raise exception 'the options of a reset must be an object' using errcode = 'PD003',
            hint = 'For example {"resetReapplyExcludeTypes": ["Signal"]}.';
    end if;
    select coalesce(array_agg(t.value #>> '{}'), '{}') into v_excludes
    from jsonb_array_elements(coalesce(nullif(p_options -> 'resetReapplyExcludeTypes', 'null'), '[]')) t;
    if not v_excludes <@ array['Signal', 'Update', 'Nexus', 'CancelRequest', 'Unspecified'] then
        raise exception 'unknown resetReapplyExcludeTypes: %', left(p_options ->> 'resetReapplyExcludeTypes', 200)
            using errcode = 'PD003', hint = 'They are Signal and Update.';
    end if;
    case v_type
    when 'AllEligible' then
        return v_excludes;
    when 'Signal' then
        return v_excludes || text 'Update';
    when 'None' then
        return v_excludes || array['Signal', 'Update'];
    else
        raise exception 'unknown resetReapplyType %', quote_literal(left(v_type, 100)) using errcode = 'PD003',
            hint = 'It is AllEligible, Signal or None.';
    end case;
end
$$;
comment on function perdure.reset_excludes(jsonb) is
    'The kinds of events that a reset does not apply again, of Signal, Update, Nexus and CancelRequest.';

create or replace function perdure.reapplied_events(
    p_shard smallint, p_base perdure.executions, p_run_id uuid, p_event_id bigint, p_excludes text[])
returns jsonb[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := p_base;
    v_from bigint := p_event_id;
    v_new perdure.executions;
    v_next uuid;
    v_id bigint;
    v_event jsonb;
    v_a jsonb;
    v_type text;
    v_key text;
    v_events jsonb[] := array[]::jsonb[];
    -- Updates that the run knows already.
    v_updates text[];
    -- Events of the run that still wait for their outcome: of children, and of effects on other workflows.
    v_awaited bigint[];
    v_started bigint[];
begin
    if p_excludes @> array['Signal', 'Update', 'Nexus', 'CancelRequest'] then
        return v_events;
    end if;
    select * into v_new from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    select coalesce(array_agg(u.update_id), '{}') into v_updates from perdure.updates u
    where u.shard = p_shard and u.run_id = p_run_id;
    select coalesce(array_agg(c.initiated_event_id), '{}'),
        coalesce(array_agg(c.initiated_event_id) filter (where c.child_run_id is not null), '{}')
    into v_awaited, v_started
    from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_run_id;
    v_awaited := v_awaited || array(select perdure.awaited_effects(p_shard, v_new, p_event_id));
    loop
        v_next := null;
        for v_id, v_event in select e.event_id, e.event
            from perdure.events_of(p_shard, v_run, v_from, 9223372036854775807, array['WorkflowExecutionSignaled',
                'WorkflowExecutionUpdateAdmitted', 'WorkflowExecutionUpdateAccepted',
                'WorkflowExecutionContinuedAsNew', 'StartChildWorkflowExecutionFailed',
                'ChildWorkflowExecutionStarted', 'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed',
                'ChildWorkflowExecutionCanceled', 'ChildWorkflowExecutionTimedOut',
                'ChildWorkflowExecutionTerminated', 'ExternalWorkflowExecutionSignaled',
                'SignalExternalWorkflowExecutionFailed', 'ExternalWorkflowExecutionCancelRequested',
                'RequestCancelExternalWorkflowExecutionFailed']) e loop
            v_a := v_event -> 'attributes';
            v_type := v_event ->> 'eventType';
            case
            when v_type = 'WorkflowExecutionContinuedAsNew' then
                v_next := (v_a ->> 'newExecutionRunId')::uuid;
            when v_type = 'WorkflowExecutionSignaled' then
                if not 'Signal' = any (p_excludes) then
                    v_events := v_events || perdure.workflow_signaled(v_a ->> 'signalName', v_a -> 'input',
                        v_a ->> 'identity', v_a ->> 'requestId', v_a -> 'header', v_event -> 'links');
                end if;
            when v_type in ('WorkflowExecutionUpdateAdmitted', 'WorkflowExecutionUpdateAccepted') then
                v_a := coalesce(v_a -> 'request', v_a -> 'acceptedRequest');
                v_key := v_a #>> '{meta,updateId}';
                if v_key is not null and not 'Update' = any (p_excludes) and not v_key = any (v_updates) then
                    v_updates := v_updates || v_key;
                    v_events := v_events || perdure.event('WorkflowExecutionUpdateAdmitted',
                        jsonb_build_object('request', v_a, 'origin', 'Reapply'));
                end if;
            -- The events below refer to event ids, which mean something only in the run that was reset.
            when v_run.run_id <> p_base.run_id then
                null;
            when v_type = 'ChildWorkflowExecutionStarted' then
                v_id := (v_a ->> 'initiatedEventId')::bigint;
                if v_id = any (v_awaited) and not v_id = any (v_started) then
                    v_started := v_started || v_id;
                    v_events := v_events || (v_event - 'eventTime');
                end if;
            else
                v_id := (v_a ->> 'initiatedEventId')::bigint;
                if v_id = any (v_awaited) then
                    v_awaited := array_remove(v_awaited, v_id);
                    v_events := v_events || (v_event - 'eventTime');
                end if;
            end case;
        end loop;
        exit when v_next is null;
        select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = v_next;
        -- The rest of the chain has been deleted.
        exit when v_run.run_id is null;
        v_from := 1;
    end loop;
    return v_events;
end
$$;
comment on function perdure.reapplied_events(smallint, perdure.executions, uuid, bigint, text[]) is
    'The events of a run from an event on, and of the runs that it continued as, that happen again to the run that a '
    'reset made: signals, updates, and outcomes of children and effects that both runs know.';

create or replace function perdure.awaited_effects(p_shard smallint, p_run perdure.executions, p_before bigint)
    returns setof bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select e.event_id from perdure.events_of(p_shard, p_run, 1, p_before,
        array['SignalExternalWorkflowExecutionInitiated', 'RequestCancelExternalWorkflowExecutionInitiated']) e
    except
    select (e.event #>> '{attributes,initiatedEventId}')::bigint from perdure.events_of(p_shard, p_run, 1, p_before,
        array['ExternalWorkflowExecutionSignaled', 'SignalExternalWorkflowExecutionFailed',
            'ExternalWorkflowExecutionCancelRequested', 'RequestCancelExternalWorkflowExecutionFailed']) e;
end
$$;
comment on function perdure.awaited_effects(smallint, perdure.executions, bigint) is
    'The signals and requests to cancel that a run had sent to other workflows before an event, and whose outcome it '
    'did not know then.';

create or replace function perdure.copy_history(
    p_shard smallint, p_base perdure.executions, p_run_id uuid, p_event_id bigint)
returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
    v_original text;
    v_bytes bigint;
begin
    v_original := coalesce(perdure.start_attributes(p_shard, p_base.run_id) ->> 'originalExecutionRunId',
        p_base.run_id::text);
    with copied as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        select p_shard, p_run_id, h.first_event_id, h.event_time, h.worker_id, h.worker_identity, h.worker_build_id,
            case when h.first_event_id = 1 and not h.events[1] ? 'attributes'
                then jsonb_set(h.events[1], '{given}', coalesce(h.events[1] -> 'given', '{}')
                    || jsonb_build_object('originalExecutionRunId', v_original))
                    || h.events[2 : (p_event_id - 1)::int]
                else h.events[1 : (p_event_id - h.first_event_id)::int] end
        from perdure.history h
        where h.shard = p_shard and h.run_id = p_base.run_id and h.first_event_id < p_event_id
        returning events)
    select sum(perdure.bytes_of(c.events))::bigint into v_bytes from copied c;
    return v_bytes;
end
$$;
comment on function perdure.copy_history(smallint, perdure.executions, uuid, bigint) is
    'Copies the events of a run before an event into the history of another run. Returns how many bytes they have.';

create or replace function perdure.restore_run(
    p_shard smallint, p_base perdure.executions, p_run perdure.run_states, p_now timestamptz, p_event_id bigint,
    p_has_new_keys boolean)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_copy perdure.executions;
    v_id bigint;
    v_event jsonb;
    v_a jsonb;
    v_time timestamptz;
    v_to_close interval;
    v_key text;
begin
    select * into v_copy from perdure.executions e where e.shard = p_shard and e.run_id = p_run.run_id;
    -- Activities that had not ended begin anew, as in Temporal.
    for v_id, v_event in
        select e.event_id, e.event from perdure.events_of(p_shard, v_copy, 1, p_event_id,
            array['ActivityTaskScheduled']) e
        where e.event_id not in (
            select (f.event #>> '{attributes,scheduledEventId}')::bigint
            from perdure.events_of(p_shard, v_copy, 1, p_event_id, array['ActivityTaskCompleted',
                'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled']) f) loop
        v_a := v_event -> 'attributes';
        v_to_close := nullif(perdure.duration(v_a -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'),
            interval '0');
        perform perdure.write_activity(p_shard, p_run.run_id, v_id, p_run.namespace,
            coalesce(v_a #>> '{taskQueue,name}', p_run.task_queue), p_run.workflow_id, p_run.workflow_type, v_a,
            perdure.claim_priority(v_a -> 'priority', p_run.priority), p_now, v_to_close,
            nullif(perdure.duration(v_a -> 'scheduleToStartTimeout', 'scheduleToStartTimeout'), interval '0'),
            nullif(perdure.duration(v_a -> 'startToCloseTimeout', 'startToCloseTimeout'), interval '0'),
            nullif(perdure.duration(v_a -> 'heartbeatTimeout', 'heartbeatTimeout'), interval '0'),
            case when not perdure.has_usual_policy(v_a) then v_a -> 'retryPolicy' end, null, null, null);
        v_key := case when p_has_new_keys then p_run.run_id || ':' || (v_a ->> 'activityId')
            else perdure.call_key(p_shard, p_base, v_id, v_a ->> 'activityId') end;
        update perdure.activity_tasks a set idempotency_key = v_key
        where a.shard = p_shard and a.run_id = p_run.run_id and a.scheduled_event_id = v_id;
        insert into perdure.repeated_calls (shard, run_id, place, activity_id, activity_type, idempotency_key,
            scheduled_event_id)
        values (p_shard, p_run.run_id, v_id, v_a ->> 'activityId', v_a #>> '{activityType,name}', v_key, v_id)
        on conflict (shard, run_id, place) do update set idempotency_key = excluded.idempotency_key;
    end loop;
    for v_id, v_event in
        select e.event_id, e.event from perdure.events_of(p_shard, v_copy, 1, p_event_id,
            array['ActivityTaskCancelRequested']) e loop
        update perdure.activity_tasks a set cancel_requested = true, cancel_requested_event_id = v_id
        where a.shard = p_shard and a.run_id = p_run.run_id
          and a.scheduled_event_id = (v_event #>> '{attributes,scheduledEventId}')::bigint;
    end loop;
    -- Timers keep the times at which they are due.
    for v_id, v_time, v_event in
        select e.event_id, e.event_time, e.event from perdure.events_of(p_shard, v_copy, 1, p_event_id,
            array['TimerStarted']) e
        where e.event_id not in (
            select (f.event #>> '{attributes,startedEventId}')::bigint
            from perdure.events_of(p_shard, v_copy, 1, p_event_id, array['TimerFired', 'TimerCanceled']) f) loop
        insert into perdure.timers (shard, run_id, kind, started_event_id, timer_id, fire_at)
        values (p_shard, p_run.run_id, 'timer', v_id, v_event #>> '{attributes,timerId}',
            v_time + perdure.duration(v_event #> '{attributes,startToFireTimeout}', 'startToFireTimeout'));
    end loop;
    insert into perdure.child_workflows (shard, run_id, initiated_event_id, namespace, workflow_id, workflow_type,
        parent_close_policy, child_run_id)
    select p_shard, p_run.run_id, e.event_id, e.event #>> '{attributes,namespace}',
        e.event #>> '{attributes,workflowId}', e.event #>> '{attributes,workflowType,name}',
        e.event #>> '{attributes,parentClosePolicy}', (
            select (s.event #>> '{attributes,workflowExecution,runId}')::uuid
            from perdure.events_of(p_shard, v_copy, e.event_id, p_event_id, array['ChildWorkflowExecutionStarted']) s
            where (s.event #>> '{attributes,initiatedEventId}')::bigint = e.event_id)
    from perdure.events_of(p_shard, v_copy, 1, p_event_id, array['StartChildWorkflowExecutionInitiated']) e
    where e.event_id not in (
        select (f.event #>> '{attributes,initiatedEventId}')::bigint
        from perdure.events_of(p_shard, v_copy, 1, p_event_id, array['StartChildWorkflowExecutionFailed',
            'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed', 'ChildWorkflowExecutionCanceled',
            'ChildWorkflowExecutionTimedOut', 'ChildWorkflowExecutionTerminated']) f);
    -- The new run knows the updates that were accepted; one that was not completed goes on.
    for v_id, v_event in
        select e.event_id, e.event from perdure.events_of(p_shard, v_copy, 1, p_event_id,
            array['WorkflowExecutionUpdateAdmitted', 'WorkflowExecutionUpdateAccepted',
                'WorkflowExecutionUpdateCompleted']) e loop
        perform perdure.restore_update(p_shard, p_run.run_id, p_now, v_id, v_event);
    end loop;
    insert into perdure.request_ids (shard, run_id, request_id)
    select distinct p_shard, p_run.run_id, e.event #>> '{attributes,requestId}'
    from perdure.events_of(p_shard, v_copy, 1, p_event_id, array['WorkflowExecutionSignaled']) e
    where e.event #>> '{attributes,requestId}' is not null;
end
$$;
comment on function perdure.restore_run(smallint, perdure.executions, perdure.run_states, timestamptz, bigint,
    boolean) is
    'Restores what a run waits for from its history before an event: activities, timers, children and updates. Also '
    'restores the request ids that the run has seen.';

create or replace function perdure.has_usual_policy(p_attributes jsonb) returns boolean
language sql immutable parallel safe
return coalesce(p_attributes -> 'retryPolicy', 'null') in ('null',
    '{"initialInterval": "1s", "backoffCoefficient": 2, "maximumInterval": "100s"}');
comment on function perdure.has_usual_policy(jsonb) is
    'Whether an ActivityTaskScheduled has the retry policy of an activity that names none.';

create or replace function perdure.restore_update(
    p_shard smallint, p_run_id uuid, p_now timestamptz, p_event_id bigint, p_event jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_a jsonb := p_event -> 'attributes';
    v_id text := coalesce(v_a #>> '{request,meta,updateId}', v_a ->> 'protocolInstanceId', v_a #>> '{meta,updateId}');
begin
    case p_event ->> 'eventType'
    when 'WorkflowExecutionUpdateAdmitted' then
        insert into perdure.updates (shard, run_id, update_id, place, name, identity, request, state, admitted_at,
            admitted_event_id)
        values (p_shard, p_run_id, v_id, p_event_id, v_a #>> '{request,input,name}',
            coalesce(v_a #>> '{request,meta,identity}', ''), v_a -> 'request', 'admitted', p_now, p_event_id)
        on conflict (shard, run_id, update_id) do nothing;
    when 'WorkflowExecutionUpdateAccepted' then
        insert into perdure.updates as u (shard, run_id, update_id, place, name, identity, state, admitted_at,
            accepted_event_id)
        values (p_shard, p_run_id, v_id, p_event_id, coalesce(v_a #>> '{acceptedRequest,input,name}', ''),
            coalesce(v_a #>> '{acceptedRequest,meta,identity}', ''), 'accepted', p_now, p_event_id)
        on conflict (shard, run_id, update_id)
            do update set state = 'accepted', accepted_event_id = excluded.accepted_event_id, request = null;
    else
        update perdure.updates u set state = 'completed', completed_event_id = p_event_id
        where u.shard = p_shard and u.run_id = p_run_id and u.update_id = v_id;
    end case;
end
$$;
comment on function perdure.restore_update(smallint, uuid, timestamptz, bigint, jsonb) is
    'Writes the row of an update from an event.';

create or replace function perdure.apply_again(
    p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_first_event_id bigint, p_events jsonb[])
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_event jsonb;
    v_a jsonb;
begin
    for v_i in 1 .. cardinality(p_events) loop
        v_event := p_events[v_i];
        v_a := v_event -> 'attributes';
        if v_event ->> 'eventType' = 'WorkflowExecutionSignaled' then
            insert into perdure.request_ids (shard, run_id, request_id)
            select p_shard, p_run.run_id, v_a ->> 'requestId' where v_a ->> 'requestId' is not null
            on conflict do nothing;
        elsif v_event ->> 'eventType' = 'WorkflowExecutionUpdateAdmitted' then
            perform perdure.restore_update(p_shard, p_run.run_id, p_now, p_first_event_id + v_i - 1, v_event);
        elsif v_event ->> 'eventType' = 'ChildWorkflowExecutionStarted' then
            update perdure.child_workflows c set child_run_id = (v_a #>> '{workflowExecution,runId}')::uuid
            where c.shard = p_shard and c.run_id = p_run.run_id
              and c.initiated_event_id = (v_a ->> 'initiatedEventId')::bigint;
        elsif v_a ? 'initiatedEventId' then
            delete from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_run.run_id
                and c.initiated_event_id = (v_a ->> 'initiatedEventId')::bigint;
        end if;
    end loop;
    update perdure.run_states r set updates_total = u.total, updates_open = u.open, updates_undelivered = u.undelivered
    from (
        select count(*) as total, count(*) filter (where u.state <> 'completed') as open,
            count(*) filter (where u.state in ('admitted', 'buffered')) as undelivered
        from perdure.updates u where u.shard = p_shard and u.run_id = p_run.run_id) u
    where r.shard = p_shard and r.run_id = p_run.run_id;
end
$$;
comment on function perdure.apply_again(smallint, perdure.run_states, timestamptz, bigint, jsonb[]) is
    'Writes what follows from the events of reapplied_events: request ids that were seen, updates that wait, and '
    'children that have started or ended.';

create or replace function perdure.open_workflow_task(
    p_shard smallint, p_base perdure.executions, p_event_id bigint, p_last_event_id bigint,
    out scheduled_event_id bigint, out started_event_id bigint, out last_started_event_id bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_id bigint;
    v_event jsonb;
begin
    if p_event_id <= 1 or p_event_id > p_last_event_id then
        raise exception 'Workflow task finish ID must be > 1 && <= workflow last event ID.' using errcode = 'PD003',
            hint = format('Run %s has %s events.', p_base.run_id, p_last_event_id);
    end if;
    last_started_event_id := 0;
    for v_id, v_event in select e.event_id, e.event from perdure.events_of(p_shard, p_base, 1, p_event_id,
        array['WorkflowTaskScheduled', 'WorkflowTaskStarted', 'WorkflowTaskCompleted', 'WorkflowTaskFailed',
            'WorkflowTaskTimedOut']) e loop
        case v_event ->> 'eventType'
        when 'WorkflowTaskScheduled' then
            scheduled_event_id := v_id;
        when 'WorkflowTaskStarted' then
            started_event_id := v_id;
        else
            if v_event ->> 'eventType' = 'WorkflowTaskCompleted' then
                last_started_event_id := started_event_id;
            end if;
            scheduled_event_id := null;
            started_event_id := null;
        end case;
    end loop;
    if scheduled_event_id is null then
        raise exception
            'Can only reset workflow to event ID in range [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: %',
            p_event_id using errcode = 'PD003',
            hint = 'Name the event that ends a workflow task, such as its WorkflowTaskCompleted.';
    end if;
end
$$;
comment on function perdure.open_workflow_task(smallint, perdure.executions, bigint, bigint) is
    'The workflow task of a run that had not ended before an event, and the WorkflowTaskStarted of the last task that '
    'was completed before it. Raises PD003 if there was no such task.';

create or replace function perdure.reset_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_to jsonb, p_reason text default null,
    p_request_id text default null, p_identity text default null, p_options jsonb default '{}')
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_excludes text[];
    v_has_new_keys boolean := coalesce(p_options -> 'newIdempotencyKeys' = 'true', false);
    v_base perdure.executions;
    v_current perdure.executions;
    v_state perdure.run_states;
    v_gone uuid;
    v_known uuid;
    v_event_id bigint;
    v_last_event_id bigint;
    v_task record;
    v_start jsonb;
    v_memo jsonb;
    v_attributes jsonb;
    v_event jsonb;
    v_new perdure.run_states;
    v_execution_due timestamptz;
    v_run_due timestamptz;
    v_head jsonb[] := array[]::jsonb[];
    v_again jsonb[];
    v_events jsonb[];
    v_from jsonb;
begin
    perform perdure.check_text(p_reason, 'reason');
    perform perdure.check_text(p_request_id, 'request id');
    perform perdure.check_text(p_identity, 'identity');
    v_excludes := perdure.reset_excludes(p_options);
    v_base := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    loop
        v_state := null;
        v_current := perdure.current_run(p_shard, p_namespace, p_workflow_id);
        if p_request_id is not null then
            select e.run_id into v_known from perdure.executions e
            where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
              and e.reset_request_id = p_request_id
            order by e.run_number desc limit 1;
            if found then
                return v_known;
            end if;
        end if;
        if v_current.status = 'Running' then
            -- While this row is locked the run cannot close, and so it stays the current one.
            select * into v_state from perdure.run_states r
            where r.shard = p_shard and r.run_id = v_current.run_id for update;
            if v_state.run_id is null then
                perform perdure.check_still_open(v_current.run_id, v_gone);
                v_gone := v_current.run_id;
                continue;
            end if;
        else
            -- FOR KEY SHARE keeps others from deleting the current run, so its number stays the highest, except for the
            -- number that is taken now.
            perform from perdure.executions e where e.shard = p_shard and e.run_id = v_current.run_id for key share;
            continue when not found;
        end if;
        v_now := greatest(v_now, perdure.clock());
        -- The run is read again, now that nobody else can change the runs of the id.
        v_base := perdure.run_to_reset(p_shard,
            perdure.find_run(p_shard, p_namespace, p_workflow_id, coalesce(p_run_id, v_current.run_id)), p_to);
        v_last_event_id := coalesce(v_base.history_length, v_state.next_event_id - 1);
        if v_base.status = 'Running' and exists (select from perdure.workflow_tasks t
            where t.shard = p_shard and t.run_id = v_base.run_id and t.state = 'started') then
            -- This is the id of the WorkflowTaskStarted that the end of the task will write.
            v_last_event_id := v_last_event_id + 1;
        end if;
        v_event_id := perdure.reset_point(p_shard, v_base, p_to);
        select * into v_task from perdure.open_workflow_task(p_shard, v_base, v_event_id, v_last_event_id);

        v_start := perdure.start_attributes(p_shard, v_base.run_id);
        v_memo := coalesce(v_start -> 'memo', '{}');
        v_attributes := perdure.present(coalesce(v_start -> 'searchAttributes', '{}'));
        for v_event in select e.event -> 'attributes' from perdure.events_of(p_shard, v_base, 1, v_event_id,
            array['WorkflowPropertiesModified', 'UpsertWorkflowSearchAttributes']) e loop
            v_memo := perdure.memo_entries(v_memo || coalesce(v_event -> 'upsertedMemo', '{}'));
            v_attributes := perdure.present(v_attributes || coalesce(v_event -> 'searchAttributes', '{}'));
        end loop;
        -- The runs before the new one, each with the first event that the new run does not share with it.
        select jsonb_build_array(perdure.present(jsonb_build_object('runId', v_base.run_id, 'eventId', v_event_id,
                'reason', p_reason, 'identity', p_identity)))
            || coalesce(jsonb_agg(f.value || jsonb_build_object('eventId',
                least((f.value ->> 'eventId')::bigint, v_event_id)) order by f.ordinality), '[]')
        into v_from
        from jsonb_array_elements(v_base.reset_from) with ordinality f;

        v_new.run_id := perdure.new_run_id(v_now);
        update perdure.executions e set reset_run_id = v_new.run_id
        where e.shard = p_shard and e.run_id = v_base.run_id;
        if v_state.run_id is not null then
            perform perdure.end_run(p_shard, v_state, v_now, 'Terminated', perdure.event(
                'WorkflowExecutionTerminated', jsonb_build_object('reason', nullif(p_reason, ''), 'identity',
                    'history-resetter')));
        end if;
        insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time,
            execution_time, request_id, search_attributes, memo, run_number, first_run_id, parent_namespace,
            parent_workflow_id, parent_run_id, parent_initiated_event_id, root_workflow_id, root_run_id, reset_from,
            reset_request_id)
        values (p_shard, v_new.run_id, p_namespace, p_workflow_id, v_base.workflow_type, v_base.task_queue, v_now,
            v_now, v_base.request_id, v_attributes, v_memo, v_current.run_number + 1,
            coalesce(v_base.first_run_id, v_base.run_id), v_base.parent_namespace, v_base.parent_workflow_id,
            v_base.parent_run_id, v_base.parent_initiated_event_id,
            v_base.root_workflow_id, v_base.root_run_id, v_from, p_request_id)
        on conflict (shard, workflow_id, namespace, run_number) do nothing;
        exit when found;
        update perdure.executions e set reset_run_id = v_base.reset_run_id
        where e.shard = p_shard and e.run_id = v_base.run_id;
    end loop;

    v_new.shard := p_shard;
    v_new.namespace := p_namespace;
    v_new.workflow_id := p_workflow_id;
    v_new.workflow_type := v_base.workflow_type;
    v_new.task_queue := v_base.task_queue;
    v_new.priority := perdure.claim_priority(v_start -> 'priority', smallint '3');
    v_new.workflow_task_timeout := coalesce(perdure.duration(v_start -> 'workflowTaskTimeout', 'workflowTaskTimeout'),
        interval '10 s');
    v_new.history_bytes := perdure.copy_history(p_shard, v_base, v_new.run_id, v_event_id);
    if v_task.started_event_id is null then
        v_head := array[perdure.event('WorkflowTaskStarted', jsonb_build_object(
            'scheduledEventId', v_task.scheduled_event_id, 'identity', 'history-service', 'requestId', 'emptyUuid'))];
    end if;
    v_head := v_head || perdure.event('WorkflowTaskFailed', jsonb_build_object(
        'scheduledEventId', v_task.scheduled_event_id,
        'startedEventId', coalesce(v_task.started_event_id, v_event_id), 'cause', 'ResetWorkflow',
        'failure', jsonb_build_object('message', coalesce(p_reason, ''), 'resetWorkflowFailureInfo', '{}'::jsonb),
        'identity', 'history-service', 'baseRunId', v_base.run_id, 'newRunId', v_new.run_id, 'forkEventVersion', 0));
    insert into perdure.run_states (shard, run_id, namespace, workflow_id, workflow_type, task_queue, priority,
        next_event_id, last_started_event_id, workflow_task_timeout, cancel_requested, max_history_events,
        cron_schedule, is_related, repeats_calls)
    values (p_shard, v_new.run_id, p_namespace, p_workflow_id, v_new.workflow_type, v_new.task_queue, v_new.priority,
        v_event_id, v_task.last_started_event_id, v_new.workflow_task_timeout, exists (
            select from perdure.events_of(p_shard, v_base, 1, v_event_id, array['WorkflowExecutionCancelRequested'])),
        (select n.max_history_events from perdure.namespaces n where n.namespace = p_namespace),
        nullif(v_start ->> 'cronSchedule', ''), v_base.parent_run_id is not null or exists (
            select from perdure.events_of(p_shard, v_base, 1, v_event_id,
                array['StartChildWorkflowExecutionInitiated'])),
        perdure.remember_calls(p_shard, v_base, v_new.run_id, v_event_id, v_has_new_keys));
    perform perdure.restore_run(p_shard, v_base, v_new, v_now, v_event_id, v_has_new_keys);
    v_again := perdure.reapplied_events(p_shard, v_base, v_new.run_id, v_event_id, v_excludes);
    perform perdure.apply_again(p_shard, v_new, v_now, v_event_id + cardinality(v_head), v_again);

    -- As in Temporal, the timeouts of the execution and of the run begin anew.
    v_execution_due := v_now + nullif(perdure.duration(v_start -> 'workflowExecutionTimeout',
        'workflowExecutionTimeout'), interval '0');
    v_run_due := v_now + nullif(perdure.duration(v_start -> 'workflowRunTimeout', 'workflowRunTimeout'), interval '0');
    insert into perdure.timers (shard, run_id, kind, fire_at)
    select p_shard, v_new.run_id, due.kind, due.at
    from (values ('execution_timeout', v_execution_due),
        ('run_timeout', case when v_execution_due <= v_run_due then null else v_run_due end)) as due (kind, at)
    where due.at is not null;

    v_events := v_head || v_again || perdure.stored_workflow_task_scheduled(v_new.workflow_task_timeout);
    perform perdure.write_news(p_shard, v_new.run_id, v_now, v_event_id,
        perdure.number_events(v_event_id, v_events), v_new.history_bytes + perdure.bytes_of(v_events), p_namespace,
        v_new.task_queue, v_new.priority, v_new.workflow_task_timeout, null);
    return v_new.run_id;
end
$$;
comment on function perdure.reset_workflow(smallint, text, text, uuid, jsonb, text, text, text, jsonb) is
    'Resets a workflow: its open run is terminated, and a new run goes on from the workflow task of p_run_id, or of '
    'the current run, that p_to names: {"eventId"}, {"type": "FirstWorkflowTask" or "LastWorkflowTask"}, {"patch"}, or '
    '{"buildId"}, which means the first workflow task of that build in the whole chain of runs, unless '
    '{"currentRunOnly": true} is added. Options: resetReapplyType, resetReapplyExcludeTypes, and newIdempotencyKeys, '
    'with which activities that are repeated have keys of the new run. A repeat with the same request id finds the run '
    'that the first call made. Returns the new run. Raises PD001 or PD003.';
