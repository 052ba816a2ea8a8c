-- What many clients wait for through the frontend: the close event of a run, or events after those that they have read.

create or replace function perdure.close_event(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid default null)
returns table (run_id uuid, status text, history_length bigint, history json)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    run_id := v_run.run_id;
    status := v_run.status::text;
    if v_run.status <> 'Running' then
        history_length := v_run.history_length;
        history := perdure.history_text(p_shard, v_run.run_id, v_run.history_length, 1, 4194304, true)::json;
    end if;
    return next;
end
$$;
comment on function perdure.close_event(smallint, text, text, uuid) is
    'A run, or the current one of the workflow id, with its last event (as the batch that holds it) once it has '
    'closed. Raises PD001 when there is no such run.';

create or replace function perdure.runs_with_news(p_shard smallint, p_run_ids uuid[], p_next_event_ids bigint[])
returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off
as $$
begin
    return query
    select asked.run_id from unnest(p_run_ids, p_next_event_ids) as asked (run_id, next_event_id)
    left join lateral (
        select r.next_event_id from perdure.run_states r
        where r.shard = p_shard and r.run_id = asked.run_id limit 1) r on true
    where r.next_event_id is null or r.next_event_id > asked.next_event_id;
end
$$;
comment on function perdure.runs_with_news(smallint, uuid[], bigint[]) is
    'Which of these runs have closed, or have an event with the given id or a later one; a null id waits only for the '
    'close. One call looks for all clients that wait.';

create or replace function perdure.answered_queries(p_shard smallint, p_query_ids uuid[]) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off
as $$
declare
    v_now timestamptz := perdure.clock();
begin
    return query
    select asked.query_id from unnest(p_query_ids) as asked (query_id)
    left join lateral (
        select q.state, q.deadline from perdure.queries q
        where q.shard = p_shard and q.query_id = asked.query_id limit 1) q on true
    where q.state is null or q.state in ('answered', 'failed') or q.deadline <= v_now;
end
$$;
comment on function perdure.answered_queries(smallint, uuid[]) is
    'Which of these queries wait no longer: answered, failed, too late or gone. One call looks for all clients that '
    'wait.';

create or replace function perdure.cached_runs(p_shard smallint, p_worker_id uuid, p_run_ids uuid[]) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off
as $$
begin
    return query
    select r.run_id from unnest(p_run_ids) as asked (run_id)
    cross join lateral (
        select r.run_id from perdure.run_states r
        where r.shard = p_shard and r.run_id = asked.run_id and r.sticky_worker = p_worker_id limit 1) r;
end
$$;
comment on function perdure.cached_runs(smallint, uuid, uuid[]) is
    'Which of these open runs a worker has cached, so that it needs no history to answer a query.';
