-- What clients read of a run.

create or replace function perdure.get_histories_as_stored(p_shard smallint, p_run_ids uuid[], p_from_event_ids bigint[], p_limit int default 100)
returns table (run_id uuid, history jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    select asked.run_id, to_jsonb(array(
        select perdure.batch_as_stored(h)
        from perdure.history h
        where h.shard = p_shard and h.run_id = asked.run_id
          and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
            where f.shard = p_shard and f.run_id = asked.run_id and f.first_event_id <= asked.from_event_id)
          and h.first_event_id + cardinality(h.events) > asked.from_event_id
        order by h.first_event_id limit least(greatest(p_limit, 1), 10000)))
    from unnest(p_run_ids, p_from_event_ids) as asked (run_id, from_event_id);
end
$$;
comment on function perdure.get_histories_as_stored(smallint, uuid[], bigint[], int) is
    'The histories of several runs as batches, each from the batch that holds an event of its own, at most p_limit batches, with events as they are stored (perdure.whole_event): what a worker reads of runs that it has not cached any more.';

create or replace function perdure.get_history(p_shard smallint, p_run_id uuid, p_from_event_id bigint default 1, p_limit int default 1000)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
begin
    return to_jsonb(array(
        select jsonb_build_object('firstEventId', h.first_event_id, 'eventTime', perdure.rfc3339(h.event_time), 'events', array(
            select perdure.whole_event(stored.event, h.first_event_id + stored.ordinality - 1, h, e)
            from unnest(h.events) with ordinality as stored (event, ordinality) order by stored.ordinality))
        from perdure.executions e join perdure.history h on h.shard = e.shard and h.run_id = e.run_id
        where e.shard = p_shard and e.run_id = p_run_id and h.shard = p_shard
          and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
            where f.shard = p_shard and f.run_id = p_run_id and f.first_event_id <= p_from_event_id)
          and h.first_event_id + cardinality(h.events) > p_from_event_id
        order by h.first_event_id limit least(greatest(p_limit, 1), 10000)));
end
$$;
comment on function perdure.get_history(smallint, uuid, bigint, int) is
    'A run''s history as batches of whole events, from the batch that holds p_from_event_id, at most p_limit batches; empty when there is no more.';

create or replace function perdure.get_histories(p_shard smallint, p_run_ids uuid[], p_from_event_ids bigint[], p_limit int default 100)
returns table (run_id uuid, history jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select asked.run_id, perdure.get_history(p_shard, asked.run_id, asked.from_event_id, p_limit)
    from unnest(p_run_ids, p_from_event_ids) as asked (run_id, from_event_id)
$$;
comment on function perdure.get_histories(smallint, uuid[], bigint[], int) is
    'The histories of several runs as get_history gives them, for workers that cannot read events as they are stored, such as those of older builds.';

create or replace function perdure.workflow_result(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid default null)
returns table (run_id uuid, status text, result jsonb, failure jsonb, close_time timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_last jsonb;
begin
    -- Whoever waits for a result asks again and again: of an open run nothing is read but its status.
    if p_run_id is not null then
        select e.run_id, e.status::text, e.close_time into run_id, status, close_time
        from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id and e.workflow_id || '' = p_workflow_id and e.namespace || '' = p_namespace;
    else
        -- As in latest_run.
        select e.run_id, e.status::text, e.close_time into run_id, status, close_time
        from perdure.executions e where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
        order by e.namespace, e.start_time desc, e.run_id desc limit 1;
    end if;
    if run_id is null then
        -- Says what is wrong.
        perform perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
        return;
    end if;
    if status <> 'Running' then
        select h.events[cardinality(h.events)] into v_last from perdure.history h
        where h.shard = p_shard and h.run_id = workflow_result.run_id order by h.first_event_id desc limit 1;
        result := perdure.stored_attribute(v_last, 'result');
        failure := case status
            when 'Failed' then v_last #> '{attributes,failure}'
            when 'Canceled' then jsonb_build_object('message', 'the workflow was canceled', 'source', 'Perdure',
                'canceledFailureInfo', jsonb_build_object('details', coalesce(v_last #> '{attributes,details}', '[]')))
            when 'Terminated' then jsonb_build_object('message', coalesce(v_last #>> '{attributes,reason}', 'the workflow was terminated'),
                'source', 'Perdure', 'terminatedFailureInfo', '{}'::jsonb)
            when 'TimedOut' then jsonb_build_object('message', 'the workflow timed out', 'source', 'Perdure',
                'timeoutFailureInfo', jsonb_build_object('timeoutType', 'StartToClose'))
        end;
    end if;
    return next;
end
$$;
comment on function perdure.workflow_result(smallint, text, text, uuid) is
    'How a run ended: its result or failure; status Running while it has not. Raises PD001.';

create or replace function perdure.describe_workflow(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid default null)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    return (
        select to_jsonb(w) || jsonb_build_object(
            'pending_activities', coalesce((select jsonb_agg(to_jsonb(a) order by a.scheduled_event_id) from perdure.pending_activities a
                where a.shard = p_shard and a.run_id = v_run.run_id), '[]'),
            'pending_timers', coalesce((select jsonb_agg(to_jsonb(t) order by t.fire_time) from perdure.pending_timers t
                where t.shard = p_shard and t.run_id = v_run.run_id), '[]'),
            'pending_workflow_task', (select to_jsonb(t) from perdure.pending_workflow_tasks t where t.shard = p_shard and t.run_id = v_run.run_id))
        from perdure.workflows w where w.shard = p_shard and w.run_id = v_run.run_id);
end
$$;
comment on function perdure.describe_workflow(smallint, text, text, uuid) is 'All that is known of a run, with its pending work, as one object. Raises PD001.';

create or replace function perdure.delete_workflow(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    if v_run.status = 'Running' then
        raise exception 'workflow % is running', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD003', hint = 'Terminate it first.';
    end if;
    delete from perdure.history h where h.shard = p_shard and h.run_id = v_run.run_id;
    delete from perdure.activity_attempts a where a.shard = p_shard and a.run_id = v_run.run_id;
    delete from perdure.executions e where e.shard = p_shard and e.run_id = v_run.run_id;
    return v_run.run_id;
end
$$;
comment on function perdure.delete_workflow(smallint, text, text, uuid) is 'Deletes a closed run and its history. Raises PD001, or PD003 for a running one.';
