-- What clients read of a run.

create or replace function perdure.event_text(
    p_event jsonb, p_event_id bigint, p_batch perdure.history, p_run perdure.executions, p_is_whole boolean)
returns text
language sql stable parallel safe
return case when p_is_whole then perdure.whole_event(p_event, p_event_id, p_batch, p_run)::text else p_event::text end;
comment on function perdure.event_text(jsonb, bigint, perdure.history, perdure.executions, boolean) is
    'An event as JSON, as it is stored or whole.';

create or replace function perdure.history_by_events(
    p_shard smallint, p_run_id uuid, p_from_event_id bigint, p_bytes int, p_is_whole boolean)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
    v_run perdure.executions;
    v_batch perdure.history;
    v_first bigint;
    v_length int;
    v_stored jsonb[];
    v_text text;
    v_events text[];
    v_batches text[] := array[]::text[];
    v_bytes int := 0;
    v_is_full boolean := false;
begin
    select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    for v_first, v_length in select h.first_event_id, cardinality(h.events) from perdure.history h
        where h.shard = p_shard and h.run_id = p_run_id
          and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
            where f.shard = p_shard and f.run_id = p_run_id and f.first_event_id <= p_from_event_id)
          and h.first_event_id + cardinality(h.events) > p_from_event_id
        order by h.first_event_id limit 1000 loop
        v_events := array[]::text[];
        select * into v_batch from perdure.history h where h.shard = p_shard and h.run_id = p_run_id
            and h.first_event_id = v_first;
        v_stored := v_batch.events;
        -- An event needs nothing of its batch but who wrote it.
        v_batch.events := null;
        for v_place in greatest(p_from_event_id - v_first, 0)::int + 1 .. v_length loop
            begin
                if perdure.is_longer_as_text(v_stored[v_place], v_batch.event_time, 134217728) then
                    raise exception 'it has more than 128 MiB of text' using errcode = 'PD004';
                end if;
                v_text := perdure.event_text(v_stored[v_place], v_first + v_place - 1, v_batch, v_run, p_is_whole);
                if octet_length(v_text) > 134217728 then
                    raise exception 'it has % bytes', octet_length(v_text) using errcode = 'PD004',
                        hint = 'No more than 128 MiB can be sent.';
                end if;
            exception
                when others then
                    if perdure.is_passing(sqlstate) then
                        raise;
                    end if;
                    v_is_full := true;
                    if v_bytes = 0 then
                        raise exception 'event % of run % cannot be sent: %', v_first + v_place - 1, p_run_id,
                            sqlerrm using errcode = 'PD004',
                            hint = 'It is larger than anything that can be stored today. Terminate the workflow, and '
                                'start it again.';
                    end if;
            end;
            if v_bytes > 0 and v_bytes + octet_length(v_text) > p_bytes then
                v_is_full := true;
            end if;
            exit when v_is_full;
            v_events := v_events || v_text;
            v_bytes := v_bytes + octet_length(v_text);
        end loop;
        if v_events <> '{}' then
            v_batches := v_batches || ('{"firstEventId":' || greatest(v_first, p_from_event_id) || ',"eventTime":"'
                || perdure.rfc3339(v_batch.event_time) || '","events":[' || array_to_string(v_events, ',') || ']}');
        end if;
        exit when v_is_full;
    end loop;
    return '[' || array_to_string(v_batches, ',') || ']';
end
$$;
comment on function perdure.history_by_events(smallint, uuid, bigint, int, boolean) is
    'A page of a history whose batches are too large for one page: it may begin and end within a batch, and has at '
    'least one event. Raises PD004 if that event cannot be sent.';

create or replace function perdure.whole_batch_text(p_batch perdure.history, p_run perdure.executions) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[] := p_batch.events;
begin
    -- An event needs nothing of its batch but who wrote it.
    p_batch.events := null;
    return '{"firstEventId":' || p_batch.first_event_id || ',"eventTime":"' || perdure.rfc3339(p_batch.event_time)
        || '","events":[' || coalesce((
            select string_agg(perdure.whole_event(s.event, p_batch.first_event_id + s.ordinality - 1, p_batch,
                p_run)::text, ',' order by s.ordinality)
            from unnest(v_events) with ordinality as s (event, ordinality)), '') || ']}';
end
$$;
comment on function perdure.whole_batch_text(perdure.history, perdure.executions) is
    'A batch of a history as JSON, with whole events.';

create or replace function perdure.history_text(
    p_shard smallint, p_run_id uuid, p_from_event_id bigint, p_limit int, p_bytes int, p_is_whole boolean)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_run perdure.executions;
    v_batch perdure.history;
    v_text text;
    v_page text[] := array[]::text[];
    v_left int := p_bytes;
    v_is_empty boolean := true;
begin
    if p_is_whole then
        select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    end if;
    begin
        for v_batch in
            select h.shard, h.run_id, h.first_event_id, h.event_time, h.events, h.worker_id, h.worker_identity,
                h.worker_build_id
            from (
                select n.*, sum(pg_column_size(n.events)) over (order by n.first_event_id rows unbounded preceding)
                    as stored
                from (
                    select h.* from perdure.history h
                    where h.shard = p_shard and h.run_id = p_run_id
                      and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
                        where f.shard = p_shard and f.run_id = p_run_id and f.first_event_id <= p_from_event_id)
                      and h.first_event_id + cardinality(h.events) > p_from_event_id
                    order by h.first_event_id limit least(greatest(p_limit, 1), 10000)) n) h
            where h.stored <= p_bytes or h.stored = pg_column_size(h.events) loop
            v_is_empty := false;
            v_text := perdure.batch_text(v_batch.events, v_batch.first_event_id, v_batch.event_time, v_left);
            exit when v_text is null;
            if p_is_whole then
                v_text := perdure.whole_batch_text(v_batch, v_run);
                exit when octet_length(v_text) > v_left;
            end if;
            v_page := v_page || v_text;
            v_left := v_left - octet_length(v_text) - 1;
        end loop;
        if v_is_empty or v_page <> '{}' then
            return '[' || array_to_string(v_page, ',') || ']';
        end if;
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
    end;
    return perdure.history_by_events(p_shard, p_run_id, p_from_event_id, p_bytes, p_is_whole);
end
$$;
comment on function perdure.history_text(smallint, uuid, bigint, int, int, boolean) is
    'A page of a history as JSON: from the batch that holds p_from_event_id on, at most p_limit batches, and p_bytes '
    'of text unless one event has more. Its events are whole, or as they are stored.';

create or replace function perdure.get_histories_as_stored(
    p_shard smallint, p_run_ids uuid[], p_from_event_ids bigint[], p_limit int default 100, p_bytes int default null)
returns table (run_id uuid, history json, failure text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_from_event_id bigint;
    -- A caller that gives no limit expects some batches of each history.
    v_left int := greatest(coalesce(p_bytes, 16777216), 1);
    v_share int := v_left / greatest(cardinality(p_run_ids), 1);
    v_page text;
begin
    for run_id, v_from_event_id in select * from unnest(p_run_ids, p_from_event_ids) loop
        history := null;
        failure := null;
        begin
            v_page := perdure.history_text(p_shard, run_id, v_from_event_id, p_limit,
                case when p_bytes is null then greatest(v_share, 65536) else greatest(v_left, 1) end, false);
            history := v_page::json;
            v_left := v_left - octet_length(v_page);
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                failure := sqlerrm;
        end;
        return next;
        -- The caller asks for the other runs again.
        exit when p_bytes is not null and v_left <= 0;
    end loop;
end
$$;
comment on function perdure.get_histories_as_stored(smallint, uuid[], bigint[], int, int) is
    'The histories of several runs as batches with events as they are stored (perdure.whole_event): each from the '
    'batch that holds its own event of p_from_event_ids on, and at most p_limit batches. A worker reads runs with it '
    'that it no longer has cached. With p_bytes all histories together have at most that much text, unless the first '
    'event has more; ask again for a run without a row. A history that cannot be read has a failure instead, which '
    'says why.';

create or replace function perdure.get_history(
    p_shard smallint, p_run_id uuid, p_from_event_id bigint default 1, p_limit int default 1000,
        p_bytes int default 4194304)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return perdure.history_text(p_shard, p_run_id, p_from_event_id, p_limit, greatest(p_bytes, 1), true)::jsonb;
end
$$;
comment on function perdure.get_history(smallint, uuid, bigint, int, int) is
    'A run''s history as batches of whole events, from the batch that holds p_from_event_id, at most p_limit batches, '
    'and p_bytes of text unless '
    'one event has more; empty when there is no more. A batch that has more is given in parts.';

create or replace function perdure.get_histories(p_shard smallint, p_run_ids uuid[], p_from_event_ids bigint[],
    p_limit int default 100)
returns table (run_id uuid, history jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select asked.run_id, perdure.get_history(p_shard, asked.run_id, asked.from_event_id, p_limit,
        greatest(16777216 / greatest(cardinality(p_run_ids), 1), 65536))
    from unnest(p_run_ids, p_from_event_ids) as asked (run_id, from_event_id)
$$;
comment on function perdure.get_histories(smallint, uuid[], bigint[], int) is
    'The histories of several runs as get_history gives them, for workers that cannot read events as they are stored, '
    'such as those of older builds.';

create or replace function perdure.workflow_result(p_shard smallint, p_namespace text, p_workflow_id text,
    p_run_id uuid default null)
returns table (run_id uuid, status text, result jsonb, failure jsonb, close_time timestamptz, next_run_id uuid)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_last jsonb;
begin
    -- Clients that wait for a result ask again and again, so nothing is read of an open run but its status.
    if p_run_id is not null then
        select e.run_id, e.status::text, e.close_time into run_id, status, close_time
        from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id and e.workflow_id
            || '' = p_workflow_id and e.namespace || '' = p_namespace;
    else
        -- The same query as in current_run.
        select e.run_id, e.status::text, e.close_time into run_id, status, close_time
        from perdure.executions e where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace
            || '' = p_namespace
        order by e.namespace, e.run_number desc limit 1;
    end if;
    if run_id is null then
        -- Raises the error that tells what is wrong.
        perform perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
        return;
    end if;
    if status <> 'Running' then
        select h.events[cardinality(h.events)] into v_last from perdure.history h
        where h.shard = p_shard and h.run_id = workflow_result.run_id order by h.first_event_id desc limit 1;
        result := perdure.stored_attribute(v_last, 'result');
        next_run_id := (perdure.stored_attribute(v_last, 'newExecutionRunId') #>> '{}')::uuid;
        failure := case status
            when 'Failed' then v_last #> '{attributes,failure}'
            when 'Canceled' then jsonb_build_object('message', 'the workflow was canceled', 'source', 'Perdure',
                'canceledFailureInfo', jsonb_build_object('details', coalesce(v_last #> '{attributes,details}', '[]')))
            when 'Terminated' then jsonb_build_object('message',
                coalesce(v_last #>> '{attributes,reason}', 'the workflow was terminated'),
                'source', 'Perdure', 'terminatedFailureInfo', '{}'::jsonb)
            when 'TimedOut' then jsonb_build_object('message', 'the workflow timed out', 'source', 'Perdure',
                'timeoutFailureInfo', jsonb_build_object('timeoutType', 'StartToClose'))
        end;
    end if;
    return next;
end
$$;
comment on function perdure.workflow_result(smallint, text, text, uuid) is
    'How a run ended: its result or failure, and the run that follows it; status Running while it has not. Raises '
    'PD001.';

create or replace function perdure.describe_workflow(p_shard smallint, p_namespace text, p_workflow_id text,
    p_run_id uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    return (
        select to_jsonb(w) || jsonb_build_object(
            'pending_activities', coalesce((select jsonb_agg(to_jsonb(a) order by a.scheduled_event_id)
                from perdure.pending_activities a
                where a.shard = p_shard and a.run_id = v_run.run_id), '[]'),
            'pending_timers', coalesce((select jsonb_agg(to_jsonb(t) order by t.fire_time) from perdure.pending_timers t
                where t.shard = p_shard and t.run_id = v_run.run_id), '[]'),
            'pending_children', coalesce((select jsonb_agg(to_jsonb(c) order by c.initiated_event_id)
                from perdure.pending_children c where c.shard = p_shard and c.run_id = v_run.run_id), '[]'),
            'pending_workflow_task', (select to_jsonb(t) from perdure.pending_workflow_tasks t where t.shard = p_shard
                and t.run_id = v_run.run_id))
        from perdure.workflows w where w.shard = p_shard and w.run_id = v_run.run_id);
end
$$;
comment on function perdure.describe_workflow(smallint, text, text, uuid) is
    'Everything that is known of a run, with its pending work, as one object. Raises PD001.';

create or replace function perdure.delete_workflow(p_shard smallint, p_namespace text, p_workflow_id text,
    p_run_id uuid)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    if v_run.status = 'Running' then
        raise exception 'workflow % is running', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD003',
            hint = 'Terminate it first.';
    end if;
    -- The executions row is locked first, as retention does, so that neither waits for the other.
    perform from perdure.executions e where e.shard = p_shard and e.run_id = v_run.run_id for update;
    delete from perdure.history h where h.shard = p_shard and h.run_id = v_run.run_id;
    delete from perdure.activity_attempts a where a.shard = p_shard and a.run_id = v_run.run_id;
    delete from perdure.updates u where u.shard = p_shard and u.run_id = v_run.run_id;
    delete from perdure.repeated_calls c where c.shard = p_shard and c.run_id = v_run.run_id;
    delete from perdure.executions e where e.shard = p_shard and e.run_id = v_run.run_id;
    return v_run.run_id;
end
$$;
comment on function perdure.delete_workflow(smallint, text, text, uuid) is
    'Deletes a closed run and its history. Raises PD001, or PD003 for a running one.';
