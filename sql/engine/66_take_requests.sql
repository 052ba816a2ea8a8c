-- Takes starts and signals of many clients in one statement, for the frontend: one transaction and one commit for all.
-- A request that is refused gets its error, and the others are taken.

create or replace function perdure.take_request(p_shard smallint, p_request jsonb) returns json
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run_id uuid;
    v_started boolean;
    v_task json;
begin
    if p_request ? 'claim' then
        perform set_config('perdure.hands_over', 'on', true);
    end if;
    case p_request ->> 'kind'
    when 'start' then
        select s.run_id, s.started into v_run_id, v_started
        from perdure.start_workflow(p_shard, p_request ->> 'namespace', p_request ->> 'workflowId',
            p_request ->> 'workflowType', p_request ->> 'taskQueue', p_request -> 'input',
            p_request -> 'options') s;
    when 'signalWithStart' then
        select s.run_id, s.started into v_run_id, v_started
        from perdure.signal_with_start_workflow(p_shard, p_request ->> 'namespace', p_request ->> 'workflowId',
            p_request ->> 'workflowType', p_request ->> 'taskQueue', p_request -> 'input',
            p_request ->> 'signalName', p_request -> 'signalInput', p_request -> 'options') s;
    when 'signal' then
        v_run_id := perdure.signal_workflow(p_shard, p_request ->> 'namespace', p_request ->> 'workflowId',
            (p_request ->> 'runId')::uuid, p_request ->> 'signalName', p_request -> 'input',
            p_request ->> 'identity', p_request ->> 'requestId', p_request -> 'header', p_request -> 'links');
        v_started := false;
    else
        raise exception 'unknown request %', coalesce(quote_literal(left(p_request ->> 'kind', 100)), 'null')
            using errcode = 'PD003', hint = 'It is start, signalWithStart or signal.';
    end case;
    if p_request ? 'claim' then
        perform set_config('perdure.hands_over', '', true);
        if v_started then
            v_task := perdure.claim_task_of_run(p_shard, (p_request #>> '{claim,worker}')::uuid,
                p_request #>> '{claim,taskQueue}', v_run_id);
        end if;
        if v_task is null then
            perform perdure.wake(p_request ->> 'namespace', p_request ->> 'taskQueue', 'workflow');
        end if;
    end if;
    return json_build_object('runId', v_run_id, 'started', v_started, 'task', v_task);
end
$$;
comment on function perdure.take_request(smallint, jsonb) is
    'Does what one request of take_requests asks for, and returns the run.';

create or replace function perdure.take_requests(p_shard smallint, p_requests jsonb)
returns table (place int, answer json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_request record;
    v_places int[];
    v_answers json[];
    v_detail text;
    v_hint text;
begin
    if jsonb_typeof(p_requests) is distinct from 'array' then
        raise exception 'the requests must be an array' using errcode = 'PD003',
            hint = 'For example [{"kind": "signal", "namespace": "default", "workflowId": "…", "signalName": "…"}].';
    end if;
    if jsonb_array_length(p_requests) = 1 then
        -- A single request cannot stop others, so the caller gets its error.
        place := 1;
        answer := perdure.take_request(p_shard, p_requests -> 0);
        return next;
        return;
    end if;
    begin
        -- Locks the open runs that are signalled or may be terminated, in order of their ids, as all functions lock
        -- runs.
        perform perdure.lock_runs(p_shard, array(
            select r.run_id from jsonb_array_elements(p_requests) q
            cross join lateral (
                select e.run_id from perdure.executions e
                where e.shard = p_shard and e.workflow_id = q.value ->> 'workflowId'
                  and e.namespace || '' = q.value ->> 'namespace'
                order by e.namespace, e.run_number desc limit 1) r
            where q.value ->> 'kind' <> 'start' or q.value -> 'options' ? 'workflowIdConflictPolicy'));
        -- All requests are handled before the first row is returned, because rows that were returned are not taken back
        -- if a later request raises an error.
        select array_agg(t.place), array_agg(t.answer) into v_places, v_answers
        from (
            select q.place::int as place, perdure.take_request(p_shard, q.request) as answer
            from (
                select q.request, q.place from jsonb_array_elements(p_requests) with ordinality q (request, place)
                order by q.request ->> 'workflowId' collate "C", q.place offset 0) q offset 0) t;
        return query select * from unnest(v_places, v_answers);
        return;
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
    end;
    -- A request raised an error, so each is taken by itself.
    for v_request in
        select q.request, q.place from jsonb_array_elements(p_requests) with ordinality q (request, place)
        order by q.request ->> 'workflowId' collate "C", q.place loop
        place := v_request.place::int;
        begin
            answer := perdure.take_request(p_shard, v_request.request);
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
                answer := json_build_object('error', json_build_object('code', sqlstate, 'message', sqlerrm,
                    'detail', nullif(v_detail, ''), 'hint', nullif(v_hint, '')));
        end;
        return next;
    end loop;
end
$$;
comment on function perdure.take_requests(smallint, jsonb) is
    'Takes starts, signals and signals with start (kind), each with the arguments of the function of its name, and '
    'answers each with its run or its error. With "claim", a worker and its task queue, the first workflow task of a '
    'run that was started is handed to that worker with the answer.';
