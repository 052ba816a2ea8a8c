-- Updates: messages to a running workflow that its code may reject, and that have an outcome.
--
-- As in Temporal, an update that was not accepted has no event: it waits in perdure.updates, and the workflow task that
-- it makes is written only when its worker decides something (docs/decisions/0036-updates.md).

create or replace function perdure.update_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_update_id text, p_name text,
    p_input jsonb default '[]', p_identity text default null, p_header jsonb default null,
    p_first_run_id uuid default null)
returns table (run_id uuid, update_id text, state text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_found perdure.executions;
    v_run perdure.run_states;
    v_task_state text;
begin
    perform perdure.check_name(p_name, 'update name');
    perform perdure.check_payloads(p_input, 'update input');
    perform perdure.check_text(p_identity, 'identity');
    if p_header is not null then
        perform perdure.check_memo(p_header, 'header');
    end if;
    update_id := coalesce(nullif(p_update_id, ''), gen_random_uuid()::text);
    perform perdure.check_name(update_id, 'update id');
    -- A run that has closed knows the updates that it took.
    v_found := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    if v_found.status <> 'Running' then
        select u.state into state from perdure.updates u
        where u.shard = p_shard and u.run_id = v_found.run_id and u.update_id = update_workflow.update_id
          and u.state in ('accepted', 'completed');
        if found then
            run_id := v_found.run_id;
            return next;
            return;
        end if;
    end if;
    v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    run_id := v_run.run_id;
    perform perdure.check_first_run(p_shard, v_run.run_id, p_first_run_id);
    select u.state into state from perdure.updates u
    where u.shard = p_shard and u.run_id = v_run.run_id and u.update_id = update_workflow.update_id;
    if state in ('accepted', 'completed')
        or state in ('admitted', 'buffered') and v_run.workflow_task_failed_attempts < 2
    then
        return next;
        return;
    end if;
    if v_run.workflow_task_failed_attempts >= 2 then
        raise exception 'the workflow tasks of workflow % fail, so it can take no update',
            quote_literal(left(p_workflow_id, 200)) using errcode = 'PD017',
            hint = 'Deploy fixed code; sql/inspect/stuck.sql shows the failure. If an update makes them fail, '
                'perdure.forget_updates takes it back.';
    end if;
    if v_run.updates_open >= perdure.maximum('open updates') then
        raise exception 'limit on number of concurrent in-flight updates has been reached (%)',
            perdure.maximum('open updates') using errcode = 'PD013',
            hint = 'Send it again when one of them has been completed.';
    end if;
    if v_run.updates_total >= perdure.maximum('updates') then
        raise exception 'the limit on the total number of distinct updates in this workflow has been reached (%)',
            perdure.maximum('updates') using errcode = 'PD014',
            hint = 'Send a repeat of an update with its id, reject what is not to be done, and continue as new.';
    end if;
    if state = 'rejected' then
        delete from perdure.updates u
        where u.shard = p_shard and u.run_id = v_run.run_id and u.update_id = update_workflow.update_id;
    end if;
    select t.state into v_task_state from perdure.workflow_tasks t
    where t.shard = p_shard and t.run_id = v_run.run_id for update;
    state := case when v_task_state = 'started' then 'buffered' else 'admitted' end;
    insert into perdure.updates (shard, run_id, update_id, place, name, identity, request, state, admitted_at)
    values (p_shard, v_run.run_id, update_id, (
            select coalesce(max(u.place), 0) + 1 from perdure.updates u
            where u.shard = p_shard and u.run_id = v_run.run_id and u.state in ('admitted', 'buffered')),
        p_name, coalesce(p_identity, ''),
        jsonb_build_object('meta', jsonb_build_object('updateId', update_id, 'identity', coalesce(p_identity, '')),
            'input', jsonb_build_object('name', p_name, 'args', coalesce(p_input, '[]'))
                || case when p_header is null then '{}' else jsonb_build_object('header', p_header) end),
        state, v_now);
    update perdure.run_states r set updates_total = r.updates_total + 1, updates_open = r.updates_open + 1,
        updates_undelivered = r.updates_undelivered + 1
    where r.shard = p_shard and r.run_id = v_run.run_id;
    if v_run.start_delayed then
        v_run := perdure.end_start_delay(p_shard, v_run);
        perform perdure.record_events(p_shard, v_run, v_now, '{}');
    elsif v_task_state is null then
        perform perdure.schedule_workflow_task(p_shard, v_run, v_now, 0);
    end if;
    return next;
end
$$;
comment on function perdure.update_workflow(smallint, text, text, uuid, text, text, jsonb, text, jsonb, uuid) is
    'Sends a run an update. A repeat with the same update id finds the first one; without an id the update gets one. '
    'perdure.update_outcome tells what becomes of it. Ends a start delay. With p_first_run_id the run must belong to '
    'the chain that began with that run. Raises PD001, for a closed run PD006, PD013 when too many updates are open, '
    'PD014 when the run has taken as many as it may, and PD017 when its workflow tasks have failed twice in a row.';

create or replace function perdure.forget_updates(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    v_forgotten text[];
begin
    if v_run.workflow_task_failed_attempts < 2 then
        return 0;
    end if;
    with forgotten as (
        delete from perdure.updates u
        where u.shard = p_shard and u.run_id = v_run.run_id and u.state in ('admitted', 'buffered')
          -- An update that a reset took over is in the history, so every worker sees it.
          and u.admitted_event_id is null
        returning u.update_id)
    select coalesce(array_agg(f.update_id), '{}') into v_forgotten from forgotten f;
    update perdure.run_states r set updates_total = r.updates_total - cardinality(v_forgotten),
        updates_open = r.updates_open - cardinality(v_forgotten),
        updates_undelivered = r.updates_undelivered - cardinality(v_forgotten)
    where r.shard = p_shard and r.run_id = v_run.run_id and v_forgotten <> '{}';
    perform perdure.tell_of_update(p_namespace, v_run.run_id, f) from unnest(v_forgotten) f;
    return cardinality(v_forgotten);
end
$$;
comment on function perdure.forget_updates(smallint, text, text, uuid) is
    'Takes back the updates that a run has not accepted, if its workflow tasks have failed twice in a row: one of '
    'them may be why. Returns how many. Temporal forgets them as well when it refuses an update of such a run. Raises '
    'PD001, and PD006 for a closed run.';

create or replace function perdure.update_with_start_workflow(
    p_shard smallint, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text, p_input jsonb,
    p_options jsonb, p_update_id text, p_name text, p_update_input jsonb default '[]',
    p_update_identity text default null, p_update_header jsonb default null)
returns table (run_id uuid, started boolean, update_id text, state text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- As in Temporal, an update that the current run knows is found, whatever the policies say. If that run has closed,
    -- only updates that it completed are found.
    select c.run_id, false, u.update_id, u.state into run_id, started, update_id, state
    from perdure.current_run(p_shard, p_namespace, p_workflow_id) c
    join perdure.updates u on u.run_id = c.run_id
    where u.shard = p_shard and u.update_id = p_update_id and (u.state = 'completed'
        or c.status = 'Running' and (u.state = 'accepted' or u.state <> 'rejected' and not exists (
            select from perdure.run_states r where r.shard = p_shard and r.run_id = c.run_id
              and r.workflow_task_failed_attempts >= 2)));
    if not found then
        select s.run_id, s.started into run_id, started
        from perdure.start_workflow(p_shard, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, p_input,
            p_options) s;
        select u.update_id, u.state into update_id, state
        from perdure.update_workflow(p_shard, p_namespace, p_workflow_id, run_id, p_update_id, p_name, p_update_input,
            p_update_identity, p_update_header) u;
    end if;
    return next;
end
$$;
comment on function perdure.update_with_start_workflow(smallint, text, text, text, text, jsonb, jsonb, text, text,
    jsonb, text, jsonb) is
    'Starts a workflow, or finds the run that its policies say to use, and sends it an update, in one transaction: '
    'both or neither.';

create or replace function perdure.update_outcome(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_update_id text)
returns table (run_id uuid, state text, result jsonb, failure jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    v_update perdure.updates;
    v_outcome jsonb;
begin
    select * into v_update from perdure.updates u
    where u.shard = p_shard and u.run_id = v_run.run_id and u.update_id = p_update_id;
    if v_update.run_id is null then
        raise exception 'update % not found', to_json(left(p_update_id, 200)) using errcode = 'PD012',
            hint = 'An update that was rejected is forgotten after a minute.';
    end if;
    run_id := v_run.run_id;
    state := case v_update.state when 'buffered' then 'admitted' else v_update.state end;
    if v_update.state = 'completed' then
        select h.events[v_update.completed_event_id - h.first_event_id + 1] #> '{attributes,outcome}' into v_outcome
        from perdure.history h
        where h.shard = p_shard and h.run_id = v_run.run_id and h.first_event_id <= v_update.completed_event_id
        order by h.first_event_id desc limit 1;
        result := v_outcome -> 'success';
        failure := v_outcome -> 'failure';
    elsif v_update.state = 'rejected' then
        failure := v_update.failure;
    elsif v_run.status <> 'Running' and v_update.state = 'accepted' then
        state := 'completed';
        failure := jsonb_build_object('message',
            'Workflow Update failed because the Workflow completed before the Update completed.', 'source', 'Server',
            'applicationFailureInfo', jsonb_build_object('type', 'AcceptedUpdateCompletedWorkflow', 'nonRetryable',
                true));
    elsif v_run.status <> 'Running' then
        state := 'aborted';
    end if;
    return next;
end
$$;
comment on function perdure.update_outcome(smallint, text, text, uuid, text) is
    'Where an update stands: admitted, accepted, completed or rejected, with its result or failure; aborted if its '
    'run closed before its code saw it. Raises PD001, or PD012 for an update that the run does not know.';
