-- What clients read of a run.

create or replace function perdure.get_history(p_shard smallint, p_run_id uuid, p_from_event_id bigint default 1, p_limit int default 1000)
returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(jsonb_build_object('firstEventId', b.first_event_id, 'eventTime', perdure.rfc3339(b.event_time),
        'events', to_jsonb(b.events)) order by b.first_event_id), '[]')
    from (
        select h.first_event_id, h.event_time, h.events from perdure.history h
        where h.shard = p_shard and h.run_id = p_run_id
          and h.first_event_id >= (select coalesce(max(f.first_event_id), 1) from perdure.history f
            where f.shard = p_shard and f.run_id = p_run_id and f.first_event_id <= p_from_event_id)
          and h.first_event_id + cardinality(h.events) > p_from_event_id
        order by h.first_event_id limit least(greatest(p_limit, 1), 10000)) b
$$;
comment on function perdure.get_history(smallint, uuid, bigint, int) is
    'A run''s history as batches, from the batch that holds p_from_event_id, at most p_limit batches; empty when there is no more.';

create or replace function perdure.workflow_result(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid default null)
returns table (run_id uuid, status text, result jsonb, failure jsonb, close_time timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    return query
    select v_run.run_id, v_run.status::text, last.event #> '{attributes,result}',
        case v_run.status
            when 'Failed' then last.event #> '{attributes,failure}'
            when 'Canceled' then jsonb_build_object('message', 'the workflow was canceled', 'source', 'Perdure',
                'canceledFailureInfo', jsonb_build_object('details', coalesce(last.event #> '{attributes,details}', '[]')))
            when 'Terminated' then jsonb_build_object('message', coalesce(last.event #>> '{attributes,reason}', 'the workflow was terminated'),
                'source', 'Perdure', 'terminatedFailureInfo', '{}'::jsonb)
            when 'TimedOut' then jsonb_build_object('message', 'the workflow timed out', 'source', 'Perdure',
                'timeoutFailureInfo', jsonb_build_object('timeoutType', 'StartToClose'))
        end,
        v_run.close_time
    from (select 1) one
    left join lateral (
        select h.events[cardinality(h.events)] as event from perdure.history h
        where h.shard = p_shard and h.run_id = v_run.run_id and v_run.status <> 'Running'
        order by h.first_event_id desc limit 1) last on true;
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
                where a.run_id = v_run.run_id), '[]'),
            'pending_timers', coalesce((select jsonb_agg(to_jsonb(t) order by t.fire_time) from perdure.pending_timers t
                where t.run_id = v_run.run_id), '[]'),
            'pending_workflow_task', (select to_jsonb(t) from perdure.pending_workflow_tasks t where t.run_id = v_run.run_id))
        from perdure.workflows w where w.run_id = v_run.run_id and w.workflow_id = v_run.workflow_id and w.namespace = v_run.namespace);
end
$$;
comment on function perdure.describe_workflow(smallint, text, text, uuid) is 'All that is known of a run, with its pending work, as one object. Raises PD001.';

create or replace function perdure.count_workflows(
    p_namespace text default 'default', p_status text default null, p_workflow_type text default null, p_workflow_id text default null,
    p_search_attributes jsonb default null)
returns table (status text, count bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform perdure.check_list_filter(p_namespace, p_status, p_search_attributes);
    return query
    select e.status::text, count(*) from perdure.executions e
    where e.namespace = p_namespace
      and (p_status is null or e.status = p_status::perdure.execution_status)
      and (p_workflow_type is null or e.workflow_type = p_workflow_type)
      and (p_workflow_id is null or e.workflow_id = p_workflow_id)
      and (p_search_attributes is null or (e.search_attributes <> '{}' and e.search_attributes @> p_search_attributes))
    group by e.status order by e.status;
end
$$;
comment on function perdure.count_workflows(text, text, text, text, jsonb) is 'How many runs there are, by status.';

create or replace function perdure.check_list_filter(p_namespace text, p_status text, p_search_attributes jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from perdure.namespaces n where n.namespace = p_namespace) then
        raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)), 'null') using errcode = 'PD005',
            hint = 'select namespace from perdure.namespaces lists them.';
    end if;
    if p_status is not null and p_status <> all (enum_range(null::perdure.execution_status)::text[]) then
        raise exception 'unknown status %', quote_literal(left(p_status, 40)) using errcode = 'PD003',
            hint = 'It is Running, Completed, Failed, Canceled, Terminated, ContinuedAsNew or TimedOut.';
    end if;
    perform perdure.check_search_attributes(p_namespace, p_search_attributes);
end
$$;
comment on function perdure.check_list_filter(text, text, jsonb) is 'Raises PD003, PD005 or PD008 for a filter that cannot be meant.';

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
