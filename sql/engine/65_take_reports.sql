-- Takes the reports of many workers of other SDKs, of every kind, in one statement, hence one transaction and one
-- commit. Each kind is written by the function that a single worker calls.

create or replace function perdure.ride_along_queries(
    p_shard smallint, p_worker_id uuid, p_namespace text, p_task_queue text, p_run_id uuid, p_now timestamptz)
returns json
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_queries json;
begin
    -- There is nearly always no such query, and then nothing is written.
    if not exists (select from perdure.queries q where q.shard = p_shard and q.namespace = p_namespace
        and q.task_queue = p_task_queue and q.state = 'pending' and q.run_id = p_run_id) then
        return null;
    end if;
    with c as materialized (
        select q.query_id from perdure.queries q
        where q.shard = p_shard and q.namespace = p_namespace and q.task_queue = p_task_queue
          and q.state = 'pending' and q.run_id = p_run_id and q.deadline > p_now
        order by q.created_at limit 100 for update skip locked),
    claimed as (
        update perdure.queries q set state = 'claimed', worker = p_worker_id
        from c where q.shard = p_shard and q.query_id = c.query_id
        returning q.query_id, q.query_type, q.input, q.header)
    select json_object_agg(q.query_id, json_build_object('queryType', q.query_type,
        'queryArgs', q.input, 'header', coalesce(q.header, '{}')))
    into v_queries from claimed q;
    return v_queries;
end
$$;
comment on function perdure.ride_along_queries(smallint, uuid, text, text, uuid, timestamptz) is
    'Claims the queries that wait for a run whose workflow task a worker has just got, so that the worker answers '
    'them with the task. Returns an object by their ids; null for none.';

create or replace function perdure.give_back_queries(p_shard smallint, p_worker_id uuid, p_query_ids jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    update perdure.queries q set state = 'pending', worker = null
    from jsonb_array_elements_text(p_query_ids) g (query_id)
    where q.shard = p_shard and q.query_id = g.query_id::uuid and q.worker = p_worker_id and q.state = 'claimed';
end
$$;
comment on function perdure.give_back_queries(smallint, uuid, jsonb) is
    'Makes queries that came with a workflow task and were not answered with it claimable again.';

drop function if exists perdure.workflow_task_to_hand_out(
    smallint, uuid, text, uuid, int, timestamptz, bigint, boolean);
create or replace function perdure.workflow_task_to_hand_out(
    p_shard smallint, p_worker perdure.workers, p_run_id uuid, p_attempt int, p_started_at timestamptz,
    p_scheduled_event_id bigint, p_is_cached boolean) returns json
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_from bigint;
    v_scheduled_event_id bigint := p_scheduled_event_id;
    v_started_event_id bigint;
    v_history text;
    v_is_unwritten boolean;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id;
    -- A worker of another SDK expects all events after the start of the last task.
    v_from := case when p_is_cached then coalesce(v_run.last_started_event_id, 0) + 1 else 1 end;
    v_started_event_id := v_run.next_event_id;
    -- The same as is_unwritten, except that the claim may have put the event's id into p_scheduled_event_id already.
    v_is_unwritten := p_attempt > 1 or p_scheduled_event_id = 0 or p_scheduled_event_id >= v_run.next_event_id;
    if v_is_unwritten then
        v_scheduled_event_id := v_run.next_event_id;
        v_started_event_id := v_run.next_event_id + 1;
    end if;
    begin
        v_history := perdure.history_text(p_shard, p_run_id, v_from, 500, 2097152, true);
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
            -- The caller reads the history itself then, and gets the error.
            v_history := '[]';
    end;
    return json_build_object('runId', p_run_id, 'workflowId', v_run.workflow_id, 'workflowType', v_run.workflow_type,
        'attempt', p_attempt, 'scheduledEventId', v_scheduled_event_id, 'startedEventId', v_started_event_id,
        'startedAt', perdure.rfc3339(p_started_at), 'previousStartedEventId', coalesce(v_run.last_started_event_id, 0),
        'from', v_from, 'history', v_history::json,
        'started', case when v_is_unwritten
            then jsonb_build_array(perdure.workflow_task_scheduled(v_run, p_attempt)) else '[]' end
            || jsonb_build_object('eventType', 'WorkflowTaskStarted', 'attributes', jsonb_build_object(
                'scheduledEventId', v_scheduled_event_id, 'identity', p_worker.identity,
                'requestId', p_worker.worker_id)
                || perdure.worker_version(p_worker.build_id)
                || coalesce(perdure.stored_workflow_task_started(v_started_event_id, v_run.history_bytes) -> 'given',
                    '{}')),
        'updates', case when v_run.updates_undelivered > 0
            then perdure.updates_to_deliver(p_shard, p_run_id) end,
        'queries', perdure.ride_along_queries(p_shard, p_worker.worker_id, v_run.namespace, v_run.task_queue, p_run_id,
            p_started_at));
end
$$;
comment on function perdure.workflow_task_to_hand_out(
    smallint, perdure.workers, uuid, int, timestamptz, bigint, boolean) is
    'A workflow task that was just started for a worker of another SDK: with whole events, those after the start of '
    'the last task if the worker has the run cached, or all, and with the updates and queries that wait for the run.';

create or replace function perdure.claim_task_of_run(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_run_id uuid) returns json
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers;
    v_task perdure.workflow_tasks;
begin
    select * into v_task from perdure.workflow_tasks t
    where t.shard = p_shard and t.run_id = p_run_id and t.state = 'scheduled' and t.task_queue = p_task_queue
      and (t.sticky_worker is null or t.sticky_worker = p_worker_id)
    for update skip locked;
    if not found then
        return null;
    end if;
    -- Keeps the worker from being found lost until this is committed, as in may_claim.
    select * into v_worker from perdure.workers w
    where w.worker_id = p_worker_id and w.lost_at is null for key share skip locked;
    if not found then
        return null;
    end if;
    update perdure.workflow_tasks t set state = 'started', worker = p_worker_id, started_at = v_now,
        deadline = v_now + t.start_to_close_timeout
    where t.shard = p_shard and t.run_id = p_run_id;
    return perdure.workflow_task_to_hand_out(p_shard, v_worker, p_run_id, v_task.attempt, v_now,
        v_task.scheduled_event_id, v_task.sticky_worker is not null);
end
$$;
comment on function perdure.claim_task_of_run(smallint, uuid, text, uuid) is
    'Hands the workflow task of one run to a worker of another SDK; null when there is none for it.';

create or replace function perdure.claim_workflow_tasks_with_queries(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int) returns setof json
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_task record;
begin
    perform perdure.require_session();
    for v_task in
        select c.run_id, c.attempt, c.started_at, c.scheduled_event_id, c.history_from
        from perdure.claim_workflow_tasks_as_stored(p_shard, p_worker_id, p_task_queue, p_limit) c loop
        return next perdure.workflow_task_to_hand_out(p_shard, v_worker, v_task.run_id, v_task.attempt,
            v_task.started_at, v_task.scheduled_event_id, v_task.history_from > 1);
    end loop;
end
$$;
comment on function perdure.claim_workflow_tasks_with_queries(smallint, uuid, text, int) is
    'Hands out up to p_limit workflow tasks of a queue to a worker of another SDK, each as Temporal''s server does: '
    'with whole events, those after the start of the last task or, if the worker has not cached the run, all, and '
    'with queries.';

create or replace function perdure.take_reports(p_shard smallint, p_reports jsonb)
returns table (place int, answer json)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_group record;
    v_answer record;
    v_gone uuid[];
    v_task json;
    v_kept uuid[] := array[]::uuid[];
begin
    if jsonb_typeof(p_reports) is distinct from 'array' then
        raise exception 'the reports must be an array' using errcode = 'PD003',
            hint = 'For example [{"worker": "…", "kind": "result", "item": {…}}].';
    end if;
    if jsonb_array_length(p_reports) > 1 then
        -- The runs of all reports are locked in order of their ids, as all functions lock runs, whichever worker
        -- reports.
        perform perdure.lock_runs(p_shard, array(
            select (r.value #>> '{item,runId}')::uuid from jsonb_array_elements(p_reports) r
            where r.value ->> 'kind' in ('completion', 'failure', 'result')
              and perdure.is_uuid(r.value #>> '{item,runId}')));
        v_gone := array(
            select r.worker from jsonb_to_recordset(p_reports) as r (worker uuid)
            where not exists (select from perdure.workers w where w.worker_id = r.worker and w.lost_at is null));
    end if;
    -- No exception is caught here, because the rollback would release the locks that were taken above. A caller whose
    -- set is refused sends its halves.
    for v_group in
        select r.kind, r.worker, jsonb_agg(r.item order by r.place) as items,
            array_agg(r.place::int order by r.place) as places,
            case when r.kind = 'result' and r.item ? 'claim' then 'on' else '' end as hands_over
        from rows from (jsonb_to_recordset(p_reports) as (kind text, worker uuid, item jsonb))
            with ordinality as r (kind, worker, item, place)
        group by r.kind, r.worker, hands_over order by r.kind, r.worker loop
        if v_group.worker = any (v_gone) then
            return query select p.place, json_build_object('outcome', 'lost')
            from unnest(v_group.places) p (place);
            continue;
        end if;
        case v_group.kind
        when 'completion' then
            for v_answer in
                select distinct on (i.place) i.place::int, i.item, c.*
                from (select * from perdure.complete_set(p_shard, v_group.worker, v_group.items)) c
                right join rows from (unnest(v_group.places), jsonb_array_elements(v_group.items)) i (place, item)
                    on c.run_id = (i.item ->> 'runId')::uuid
                order by i.place, c.outcome = 'completed' desc loop
                place := v_answer.place;
                if v_answer.item ? 'queries' then
                    perform perdure.give_back_queries(p_shard, v_group.worker, v_answer.item -> 'queries');
                end if;
                if v_answer.outcome in ('completed', 'dropped') and v_answer.item ? 'another' then
                    perform perdure.schedule_another_workflow_task(p_shard, v_answer.run_id);
                end if;
                answer := json_build_object('outcome', coalesce(v_answer.outcome, 'lost'),
                    'failure', v_answer.failure, 'startedActivities', v_answer.started_activities,
                    'startedAt', perdure.rfc3339(v_answer.started_at),
                    'closed', v_answer.outcome = 'completed' and v_answer.next_event_id is null,
                    'task', case when v_answer.outcome in ('completed', 'dropped') and v_answer.item ? 'next'
                        then perdure.claim_task_of_run(p_shard, v_group.worker, v_answer.item ->> 'next',
                            v_answer.run_id) end);
                return next;
            end loop;
        when 'failure' then
            perform perdure.give_back_queries(p_shard, v_group.worker, i.value -> 'queries')
            from jsonb_array_elements(v_group.items) i where i.value ? 'queries';
            return query
            select distinct on (i.place) i.place::int, json_build_object('outcome', coalesce(c.outcome, 'lost'))
            from (select * from perdure.fail_workflow_tasks(p_shard, v_group.worker, v_group.items)) c
            right join rows from (unnest(v_group.places), jsonb_array_elements(v_group.items)) i (place, item)
                on c.run_id = (i.item ->> 'runId')::uuid
            order by i.place, c.outcome <> 'lost' desc;
        when 'result' then
            if v_group.hands_over <> '' then
                perform set_config('perdure.hands_over', 'on', true);
            end if;
            for v_answer in
                select distinct on (i.place) i.place::int, i.item, c.*
                from (select * from perdure.finish_set(p_shard, v_group.worker, v_group.items)) c
                right join rows from (unnest(v_group.places), jsonb_array_elements(v_group.items)) i (place, item)
                    on c.run_id = (i.item ->> 'runId')::uuid
                    and c.scheduled_event_id = (i.item ->> 'scheduledEventId')::bigint
                order by i.place, c.outcome <> 'lost' desc loop
                place := v_answer.place;
                v_task := case when v_answer.outcome <> 'lost' and v_answer.item ? 'claim'
                    then perdure.claim_task_of_run(p_shard, (v_answer.item #>> '{claim,worker}')::uuid,
                        v_answer.item #>> '{claim,taskQueue}', v_answer.run_id) end;
                answer := json_build_object('outcome', coalesce(v_answer.outcome, 'lost'), 'task', v_task,
                    'taskQueue', case when v_task is null then (select r.task_queue from perdure.run_states r
                        where r.shard = p_shard and r.run_id = v_answer.run_id) end);
                if v_task is null and v_group.hands_over <> '' then
                    v_kept := v_kept || v_answer.run_id;
                end if;
                return next;
            end loop;
            if v_group.hands_over <> '' then
                perform set_config('perdure.hands_over', '', true);
            end if;
            if cardinality(v_kept) > 0 then
                -- Notifies the queues of tasks that could not be handed over after all.
                perform perdure.wake(q.namespace, q.task_queue, 'workflow') from (
                    select distinct r.namespace, r.task_queue from unnest(v_kept) k (run_id)
                    cross join lateral (select r.namespace, r.task_queue from perdure.run_states r
                        where r.shard = p_shard and r.run_id = k.run_id limit 1) r) q;
                v_kept := array[]::uuid[];
            end if;
        when 'heartbeat' then
            return query
            select distinct on (i.place) i.place::int, json_build_object('outcome', case when c.lost then 'lost'
                when c.kept then 'kept' else 'again' end, 'cancelRequested', c.cancel_requested,
                'activityPaused', c.paused, 'activityReset', c.reset)
            from (select * from perdure.heartbeat_activity_tasks(p_shard, v_group.worker, v_group.items)) c
            right join rows from (unnest(v_group.places), jsonb_array_elements(v_group.items)) i (place, item)
                on c.run_id = (i.item ->> 'runId')::uuid
                and c.scheduled_event_id = (i.item ->> 'scheduledEventId')::bigint
            order by i.place, c.kept desc;
        when 'answer' then
            return query
            select distinct on (i.place) i.place::int, json_build_object('outcome', coalesce(c.outcome, 'lost'))
            from (select * from perdure.answer_queries(p_shard, v_group.worker, v_group.items)) c
            right join rows from (unnest(v_group.places), jsonb_array_elements(v_group.items)) i (place, item)
                on c.query_id = (i.item ->> 'queryId')::uuid
            order by i.place, c.outcome <> 'lost' desc;
        else
            raise exception 'unknown report %', coalesce(quote_literal(left(v_group.kind, 100)), 'null')
                using errcode = 'PD003', hint = 'It is completion, failure, result, heartbeat or answer.';
        end case;
    end loop;
end
$$;
comment on function perdure.take_reports(smallint, jsonb) is
    'Takes what workers report through the frontend, for every worker and kind in one call: completion (with '
    '"another" a further workflow task is queued; with "next", a task queue, a waiting task of the run is handed out '
    'with the answer), failure, result (with "claim", a worker and its task queue, the workflow task that follows is '
    'handed to that worker), heartbeat and answer. Each item is an argument for the function of its kind. If the call '
    'raises an error, it has taken nothing.';
