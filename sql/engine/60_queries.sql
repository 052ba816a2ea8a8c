-- Queries: a question to a run, open or closed, answered by a worker from the run's code and history.

create or replace function perdure.start_query(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_query_type text,
    p_input jsonb default '[]', p_timeout interval default '10 s', p_header jsonb default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    v_query uuid := gen_random_uuid();
begin
    perform perdure.check_name(p_query_type, 'query type');
    perform perdure.check_payloads(p_input, 'query input');
    perform perdure.check_memo(p_header, 'header');
    insert into perdure.queries (shard, query_id, run_id, namespace, workflow_id, workflow_type, task_queue, query_type,
        input, header, created_at, deadline)
    values (p_shard, v_query, v_run.run_id, p_namespace, p_workflow_id, v_run.workflow_type, v_run.task_queue,
        p_query_type, p_input, p_header, v_now,
        v_now + least(greatest(coalesce(p_timeout, interval '10 s'), interval '0.1 s'), interval '10 minutes'));
    perform perdure.wake(p_namespace, v_run.task_queue, 'query');
    return v_query;
end
$$;
comment on function perdure.start_query(smallint, text, text, uuid, text, jsonb, interval, jsonb) is
    'Asks a run a question; query_answer tells when a worker has answered. Raises PD001.';

create or replace function perdure.query_answer(p_shard smallint, p_query_id uuid)
returns table (state text, result jsonb, failure jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query select case when q.state in ('pending', 'claimed') and q.deadline <= perdure.clock() then 'failed'
        else q.state end,
        q.result,
        case when q.state in ('pending', 'claimed') and q.deadline <= perdure.clock()
            then '{"message": "no worker answered in time: is one running for this task queue?", "source": '
                '"Perdure"}'::jsonb else q.failure end
    from perdure.queries q where q.shard = p_shard and q.query_id = p_query_id;
    if not found then
        raise exception 'there is no query %', p_query_id using errcode = 'PD009',
            hint = 'Queries do not outlive a crash of the server: ask again.';
    end if;
end
$$;
comment on function perdure.query_answer(smallint, uuid) is
    'The state of a query, and its answer. Raises PD009 for a query that is gone.';

create or replace function perdure.claim_queries(p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int)
returns table (query_id uuid, run_id uuid, workflow_id text, workflow_type text, query_type text, input jsonb,
    last_event_id bigint, header jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
begin
    return query
    with c as materialized (
        select q.query_id from perdure.queries q
        where q.shard = p_shard and q.namespace = v_worker.namespace and q.task_queue = p_task_queue
            and q.state = 'pending' and q.deadline > v_now
          -- An answer reflects everything that has happened to the run, so a query waits for a workflow task that is
          -- under way, but not for one that keeps failing.
          and not exists (select from perdure.workflow_tasks t join perdure.run_states r on r.shard = t.shard
              and r.run_id = t.run_id
            where t.shard = p_shard and t.run_id = q.run_id and r.shard = p_shard
                and r.workflow_task_failed_attempts = 0)
          -- The worker that has the run cached comes first, while it lives.
          and not exists (select from perdure.run_states r join perdure.workers w on w.worker_id = r.sticky_worker
            where r.shard = p_shard and r.run_id = q.run_id and r.sticky_worker <> p_worker_id and w.lease_until > v_now
              and q.created_at > v_now - interval '1 s')
        order by q.created_at limit p_limit for update skip locked)
    update perdure.queries q set state = 'claimed', worker = p_worker_id
    from c where q.shard = p_shard and q.query_id = c.query_id
    returning q.query_id, q.run_id, q.workflow_id, q.workflow_type, q.query_type, q.input,
        coalesce((select r.next_event_id - 1 from perdure.run_states r where r.shard = p_shard and r.run_id = q.run_id),
            (select e.history_length from perdure.executions e where e.shard = p_shard and e.run_id = q.run_id)),
        q.header;
end
$$;
comment on function perdure.claim_queries(smallint, uuid, text, int) is 'Hands out queries that can be answered now.';

create or replace function perdure.answer_queries(p_shard smallint, p_worker_id uuid, p_answers jsonb)
returns table (query_id uuid, outcome text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
begin
    perform perdure.check_array(p_answers, 'answers');
    return query
    with answer as (
        select (a.value ->> 'queryId')::uuid as query_id, case when w.problem is null
            then a.value -> 'result' end as result,
            case when w.problem is null then perdure.fit_failure(a.value -> 'failure') else w.problem end as failure
        from (
            select a.value from jsonb_array_elements(p_answers) a
                where perdure.is_uuid(a.value ->> 'queryId') offset 0) a
        cross join lateral (select perdure.refused_payloads(a.value -> 'result', 'answer') as problem) w),
    taken as (
        update perdure.queries q set state = case when answer.failure is null then 'answered' else 'failed' end,
            result = answer.result, failure = answer.failure
        from answer where q.shard = p_shard and q.query_id = answer.query_id and q.worker = p_worker_id
            and q.state = 'claimed'
        returning q.query_id, q.state)
    select answer.query_id, coalesce(taken.state, 'lost') from answer left join taken
        on taken.query_id = answer.query_id
    union all
    select null, 'refused' from jsonb_array_elements(p_answers) a where not perdure.is_uuid(a.value ->> 'queryId');
    -- A frontend that waits for many answers listens on the channel of results, as clients that wait for results do.
    if perdure.are_results_awaited(v_worker.namespace) then
        perform pg_notify(perdure.result_channel(v_worker.namespace), a.value ->> 'queryId')
        from jsonb_array_elements(p_answers) a where perdure.is_uuid(a.value ->> 'queryId');
    end if;
end
$$;
comment on function perdure.answer_queries(smallint, uuid, jsonb) is
    'Takes the answers to queries. A result that cannot be stored fails its query.';
