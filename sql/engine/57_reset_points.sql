-- Where a run can go back to: right before the end of one of its workflow tasks.

create or replace function perdure.events_of(
    p_shard smallint, p_run perdure.executions, p_from bigint, p_before bigint, p_types text[])
returns table (event_id bigint, event_time timestamptz, event jsonb)
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
begin
    return query
    select h.first_event_id + s.ordinality - 1, coalesce((s.event ->> 'eventTime')::timestamptz, h.event_time),
        perdure.whole_event(s.event, h.first_event_id + s.ordinality - 1, h, p_run)
    from perdure.history h
    cross join lateral unnest(h.events) with ordinality as s (event, ordinality)
    where h.shard = p_shard and h.run_id = p_run.run_id and h.first_event_id < p_before
      and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
        where f.shard = p_shard and f.run_id = p_run.run_id and f.first_event_id <= p_from)
      and s.event ->> 'eventType' = any (p_types)
      and h.first_event_id + s.ordinality - 1 >= p_from and h.first_event_id + s.ordinality - 1 < p_before
    order by 1;
end
$$;
comment on function perdure.events_of(smallint, perdure.executions, bigint, bigint, text[]) is
    'The whole events of some types in a run''s history, from one event on and before another.';

create or replace function perdure.patch_of_marker(p_attributes jsonb) returns text
language sql immutable parallel safe
return case p_attributes ->> 'markerName'
    when 'core_patch' then p_attributes #>> '{details,patch-data,0,data,id}'
    when 'Version' then p_attributes #>> '{details,change-id,0,data}' end;
comment on function perdure.patch_of_marker(jsonb) is
    'The patch that a run took according to a MarkerRecorded, as the SDKs write it; null for another marker.';

create or replace function perdure.first_task_of_build(p_shard smallint, p_run perdure.executions, p_build_id text)
returns bigint
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select min(e.event_id)
    from perdure.events_of(p_shard, p_run, 1, 9223372036854775807, array['WorkflowTaskCompleted']) e
    where perdure.build_of(e.event) = p_build_id
$$;
comment on function perdure.first_task_of_build(smallint, perdure.executions, text) is
    'The first WorkflowTaskCompleted of a run that a build wrote; null if it wrote none.';

create or replace function perdure.run_to_reset(p_shard smallint, p_run perdure.executions, p_to jsonb)
returns perdure.executions
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_build_id text := p_to ->> 'buildId';
    v_run perdure.executions := p_run;
    v_first perdure.executions := p_run;
begin
    if v_build_id is null then
        return p_run;
    end if;
    -- As in Temporal, a build has one place in a chain of runs: where it began.
    loop
        select * into v_run from perdure.executions e
        where e.shard = p_shard
          and e.run_id = (perdure.start_attributes(p_shard, v_run.run_id) ->> 'continuedExecutionRunId')::uuid;
        exit when not found;
        if perdure.first_task_of_build(p_shard, v_run, v_build_id) is not null then
            v_first := v_run;
        end if;
    end loop;
    if v_first.run_id <> p_run.run_id and coalesce(p_to -> 'currentRunOnly' = 'true', false) then
        raise exception 'build % began in run %, before run %', quote_literal(left(v_build_id, 100)), v_first.run_id,
            p_run.run_id using errcode = 'PD003', hint = 'Leave currentRunOnly out to go back to that run.';
    end if;
    return v_first;
end
$$;
comment on function perdure.run_to_reset(smallint, perdure.executions, jsonb) is
    'The run that a reset goes back to: the given one, or with {"buildId"} the run of its chain in which that build '
    'did its first workflow task. Raises PD003 if that is an earlier run and {"currentRunOnly": true} is given.';

create or replace function perdure.reset_point(p_shard smallint, p_run perdure.executions, p_to jsonb) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_type text := p_to ->> 'type';
    v_last bigint := 9223372036854775807;
    v_event_id bigint;
begin
    if jsonb_typeof(p_to) is distinct from 'object' or (
        select count(*) from jsonb_object_keys(p_to) k
        where k in ('eventId', 'type', 'buildId', 'patch') and p_to -> k <> 'null') <> 1 then
        raise exception 'a reset needs one place to go back to' using errcode = 'PD003',
            hint = 'It is one of {"eventId": 10}, {"type": "FirstWorkflowTask"}, {"type": "LastWorkflowTask"}, '
                '{"buildId": "…"} and {"patch": "…"}.';
    end if;
    if p_to ? 'eventId' then
        if not perdure.is_event_id(p_to -> 'eventId') then
            raise exception 'the place to go back to is no event id' using errcode = 'PD003',
                hint = 'It is the id of an event that ends a workflow task, such as WorkflowTaskCompleted.';
        end if;
        return (p_to ->> 'eventId')::bigint;
    elsif v_type in ('FirstWorkflowTask', 'LastWorkflowTask') then
        -- The choice is that of Temporal's command line and batch operations.
        select case v_type when 'FirstWorkflowTask' then min(e.event_id) else max(e.event_id) end into v_event_id
        from perdure.events_of(p_shard, p_run, 1, v_last, array['WorkflowTaskCompleted']) e;
        if v_event_id is null then
            select min(e.event_id) + 1 into v_event_id
            from perdure.events_of(p_shard, p_run, 1, v_last, array['WorkflowTaskScheduled']) e;
        end if;
    elsif p_to ? 'buildId' then
        v_event_id := perdure.first_task_of_build(p_shard, p_run, p_to ->> 'buildId');
    elsif p_to ? 'patch' then
        select min((e.event #>> '{attributes,workflowTaskCompletedEventId}')::bigint) into v_event_id
        from perdure.events_of(p_shard, p_run, 1, v_last, array['MarkerRecorded']) e
        where perdure.patch_of_marker(e.event -> 'attributes') = p_to ->> 'patch';
    else
        raise exception 'unknown type of place to go back to: %', quote_literal(left(v_type, 100))
            using errcode = 'PD003', hint = 'It is FirstWorkflowTask or LastWorkflowTask.';
    end if;
    if v_event_id is null then
        raise exception 'run % has no workflow task to go back to that fits %', p_run.run_id, left(p_to::text, 200)
            using errcode = 'PD003',
            hint = 'Look at its history in perdure.history_events, and name an event.';
    end if;
    return v_event_id;
end
$$;
comment on function perdure.reset_point(smallint, perdure.executions, jsonb) is
    'The event that a reset does not keep: that of {"eventId"}, or the end of the run''s first or last workflow task, '
    'of the first one that a build did, or of the first one that took a patch. Raises PD003 if there is none.';

create or replace function perdure.reset_points(p_shard smallint, p_run_id uuid)
returns table (build_id text, event_id bigint, event_time timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run perdure.executions;
begin
    select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    return query
    select f.build_id, f.event_id, f.event_time from (
        select distinct on (perdure.build_of(e.event)) perdure.build_of(e.event) as build_id, e.event_id, e.event_time
        from perdure.events_of(p_shard, v_run, 1, 9223372036854775807, array['WorkflowTaskCompleted']) e
        where perdure.build_of(e.event) <> ''
        order by perdure.build_of(e.event), e.event_id) f
    order by f.event_id;
end
$$;
comment on function perdure.reset_points(smallint, uuid) is
    'The builds of workers that did workflow tasks of a run, each with the first WorkflowTaskCompleted of it.';

create or replace function perdure.reset_preview(p_shard smallint, p_run_id uuid, p_event_id bigint) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
    v_last bigint := 9223372036854775807;
begin
    select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    return jsonb_build_object(
        'again', (
            select coalesce(jsonb_agg(jsonb_build_object('type', a.type, 'count', a.count) order by a.first), '[]')
            from (
                select e.event #>> '{attributes,activityType,name}' as type, count(*) as count,
                    min(e.event_id) as first
                from perdure.events_of(p_shard, v_run, p_event_id, v_last, array['ActivityTaskScheduled']) e
                group by 1) a),
        'anew', (
            select coalesce(jsonb_agg(e.event #>> '{attributes,activityType,name}' order by e.event_id), '[]')
            from perdure.events_of(p_shard, v_run, 1, p_event_id, array['ActivityTaskScheduled']) e
            where e.event_id not in (
                select (f.event #>> '{attributes,scheduledEventId}')::bigint
                from perdure.events_of(p_shard, v_run, 1, p_event_id, array['ActivityTaskCompleted',
                    'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled']) f)),
        'signals', (
            select count(*) from perdure.events_of(p_shard, v_run, p_event_id, v_last,
                array['WorkflowExecutionSignaled'])),
        'updates', (
            select count(*) from perdure.events_of(p_shard, v_run, p_event_id, v_last,
                array['WorkflowExecutionUpdateAccepted', 'WorkflowExecutionUpdateAdmitted']) e
            where e.event #> '{attributes,acceptedRequest}' is not null
                or e.event #> '{attributes,request}' is not null),
        'cancelRequests', (
            select count(*) from perdure.events_of(p_shard, v_run, p_event_id, v_last,
                array['WorkflowExecutionCancelRequested'])),
        'children', (
            select coalesce(jsonb_agg(e.event #>> '{attributes,workflowId}' order by e.event_id), '[]')
            from perdure.events_of(p_shard, v_run, p_event_id, v_last,
                array['StartChildWorkflowExecutionInitiated']) e),
        'messages', (
            select count(*) from perdure.events_of(p_shard, v_run, p_event_id, v_last,
                array['SignalExternalWorkflowExecutionInitiated', 'RequestCancelExternalWorkflowExecutionInitiated'])));
end
$$;
comment on function perdure.reset_preview(smallint, uuid, bigint) is
    'What a reset to an event would do to a run: activities that are repeated or begin anew, signals and updates that '
    'are applied again, requests to cancel that are not, and children and messages to others after that place.';
