-- Workers register, renew their lease, say when they sleep, and leave.

create or replace function perdure.register_worker(
    p_worker_id uuid, p_namespace text, p_identity text, p_build_id text, p_task_queues text[],
    p_lease interval, p_details jsonb default '{}')
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_shard smallint;
begin
    if p_worker_id is null or p_lease is null or p_lease <= interval '0' or coalesce(cardinality(p_task_queues), 0) = 0 then
        raise exception 'a worker needs an id, at least one task queue and a lease above zero' using errcode = 'PD003',
            hint = 'For example register_worker(gen_random_uuid(), ''default'', ''me'', ''1'', array[''queue''], ''10 s'').';
    end if;
    perform perdure.check_name(q, 'task queue') from unnest(p_task_queues) q;
    if not exists (select from perdure.namespaces n where n.namespace = p_namespace) then
        raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)), 'null') using errcode = 'PD005',
            hint = format('Create it: select perdure.create_namespace(%L);', left(p_namespace, 100));
    end if;
    insert into perdure.workers (worker_id, namespace, identity, build_id, task_queues, lease, lease_until, registered_at, details)
    values (p_worker_id, p_namespace, coalesce(p_identity, ''), coalesce(p_build_id, ''), p_task_queues, p_lease, v_now + p_lease, v_now,
        coalesce(p_details, '{}'))
    on conflict (worker_id) do update set lease_until = excluded.lease_until, task_queues = excluded.task_queues, lease = excluded.lease;
    -- What workers that are gone counted.
    delete from perdure.finished_tasks f where f.started_at < v_now - interval '15 minutes';
    -- A worker that comes may carry the fix that failing workflow tasks wait for.
    for v_shard in select generate_series(0, (s.value #>> '{}')::int - 1)::smallint from perdure.settings s where s.name = 'shard_count' loop
        with c as materialized (
            select t.run_id from perdure.workflow_tasks t
            where t.shard = v_shard and t.namespace = p_namespace and t.task_queue = any (p_task_queues) and t.state = 'backoff' for update skip locked)
        update perdure.workflow_tasks t set state = 'scheduled', deadline = null from c where t.shard = v_shard and t.run_id = c.run_id;
    end loop;
end
$$;
comment on function perdure.register_worker(uuid, text, text, text, text[], interval, jsonb) is
    'Makes a worker known and its lease run; failing workflow tasks of its queues become claimable at once.';

create or replace function perdure.renew_lease(p_worker_id uuid, p_waiting boolean default null, p_report jsonb default null) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_until timestamptz;
    v_namespace text;
begin
    if exists (select from jsonb_array_elements(p_report -> 'finished') r where coalesce(r ->> 'taskQueue', '') = ''
        or coalesce(r ->> 'kind' not in ('workflow', 'activity'), true) or coalesce((r ->> 'count')::bigint < 0, true)) then
        raise exception 'a report counts tasks by queue and kind' using errcode = 'PD003',
            hint = 'For example {"finished": [{"taskQueue": "q", "kind": "activity", "count": 3}]}.';
    end if;
    update perdure.workers w set lease_until = v_now + w.lease, waiting = coalesce(p_waiting, w.waiting),
        slots_in_use = coalesce(p_report -> 'slotsInUse', w.slots_in_use)
    where w.worker_id = p_worker_id returning w.lease_until, w.namespace into v_until, v_namespace;
    if v_until is null then
        raise exception 'worker % is not registered, or its lease ran out', p_worker_id using errcode = 'PD007',
            hint = 'Register under a new id and drop every cached run.';
    end if;
    if jsonb_array_length(p_report -> 'finished') > 0 then
        insert into perdure.finished_tasks as f (worker_id, started_at, namespace, task_queue, kind, finished)
        select p_worker_id, date_bin('10 s', v_now, timestamptz '2000-01-01 00:00:00Z'), v_namespace, r ->> 'taskQueue', r ->> 'kind', sum((r ->> 'count')::bigint)
        from jsonb_array_elements(p_report -> 'finished') r
        group by r ->> 'taskQueue', r ->> 'kind'
        on conflict (worker_id, started_at, task_queue, kind) do update set finished = f.finished + excluded.finished;
        delete from perdure.finished_tasks f where f.worker_id = p_worker_id and f.started_at < v_now - interval '10 minutes';
    end if;
    return v_until;
end
$$;
comment on function perdure.renew_lease(uuid, boolean, jsonb) is
    'Extends a worker''s lease; raises PD007 when it is gone. The report tells what it did since the last one: {"finished": [{"taskQueue", "kind", "count"}], "slotsInUse": {"workflow", "activity"}}.';

create or replace function perdure.set_waiting(p_worker_id uuid, p_waiting boolean) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update perdure.workers w set waiting = p_waiting where w.worker_id = p_worker_id and w.waiting <> p_waiting
$$;
comment on function perdure.set_waiting(uuid, boolean) is 'Says whether a worker sleeps on LISTEN, so that producers notify it.';

create or replace function perdure.busy_workers(p_beside uuid) returns int
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select count(*)::int from perdure.workers w
    where w.worker_id <> p_beside and w.lease_until > perdure.clock() and w.details -> 'workflowTypes' is distinct from '[]'
      -- Who cannot listen never says that it waits.
      and not w.waiting and w.slots_in_use is distinct from '{"workflow": 0, "activity": 0}'
$$;
comment on function perdure.busy_workers(uuid) is
    'How many other workers, of any namespace, run workflows and do not lack work: they share the server with this one.';

create or replace function perdure.require_worker(p_worker_id uuid) returns perdure.workers
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker perdure.workers;
begin
    select * into v_worker from perdure.workers w where w.worker_id = p_worker_id;
    if v_worker.worker_id is null then
        raise exception 'worker % is not registered, or its lease ran out', p_worker_id using errcode = 'PD007',
            hint = 'Register under a new id and drop every cached run.';
    end if;
    return v_worker;
end
$$;
comment on function perdure.require_worker(uuid) is 'The worker''s row; raises PD007 when it is gone.';

create or replace function perdure.release_tasks(p_shard smallint, p_worker_id uuid, p_tasks jsonb) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_workflow int;
    v_activity int;
begin
    with asked as (
        select (t ->> 'runId')::uuid as run_id from jsonb_array_elements(p_tasks) t where t ->> 'kind' = 'workflow')
    update perdure.workflow_tasks t set state = 'scheduled', worker = null, started_at = null, deadline = null, sticky_worker = null
    from asked where t.shard = p_shard and t.run_id = asked.run_id and t.worker = p_worker_id and t.state = 'started';
    get diagnostics v_workflow = row_count;
    with asked as (
        select (t ->> 'runId')::uuid as run_id, (t ->> 'scheduledEventId')::bigint as scheduled_event_id
        from jsonb_array_elements(p_tasks) t where t ->> 'kind' = 'activity')
    update perdure.activity_tasks a set state = 'scheduled', worker = null, started_at = null, attempt_scheduled_at = v_now,
        deadline = perdure.activity_deadline(a.schedule_to_close_timeout, a.schedule_to_start_timeout, null, null, a.scheduled_at, v_now, null, null)
    from asked where a.shard = p_shard and a.run_id = asked.run_id and a.scheduled_event_id = asked.scheduled_event_id
      and a.worker = p_worker_id and a.state = 'started';
    get diagnostics v_activity = row_count;
    return v_workflow + v_activity;
end
$$;
comment on function perdure.release_tasks(smallint, uuid, jsonb) is 'Hands back tasks that a worker holds and will not finish; their attempt does not count.';

create or replace function perdure.remove_worker(p_worker_id uuid, p_now timestamptz, p_lost boolean) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into perdure.past_workers (worker_id, namespace, identity, build_id, task_queues, registered_at, last_seen_at, ended_at, lost, details)
    select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at,
        case when p_lost then least(w.lease_until - w.lease, p_now) else p_now end, p_now, p_lost, w.details
    from perdure.workers w where w.worker_id = p_worker_id
    on conflict (worker_id) do nothing;
    delete from perdure.past_workers o using perdure.workers w, perdure.namespaces n
    where w.worker_id = p_worker_id and n.namespace = w.namespace and o.namespace = w.namespace and o.ended_at < p_now - n.retention;
    delete from perdure.workers w where w.worker_id = p_worker_id;
end
$$;
comment on function perdure.remove_worker(uuid, timestamptz, boolean) is
    'A worker has left, or was lost and last seen at its last renewal: remembers it among the past ones, and forgets those that are too old.';

create or replace function perdure.stop_worker(p_worker_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
declare
    v_shard smallint;
    v_held jsonb;
begin
    perform perdure.remove_worker(p_worker_id, perdure.clock(), false);
    for v_shard in select generate_series(0, (s.value #>> '{}')::int - 1)::smallint from perdure.settings s where s.name = 'shard_count' loop
        select coalesce(jsonb_agg(held.task), '[]') into v_held from (
            select jsonb_build_object('kind', 'workflow', 'runId', t.run_id) as task
            from perdure.workflow_tasks t where t.shard = v_shard and t.deadline is not null and t.worker = p_worker_id
            union all
            select jsonb_build_object('kind', 'activity', 'runId', a.run_id, 'scheduledEventId', a.scheduled_event_id)
            from perdure.activity_tasks a where a.shard = v_shard and a.deadline is not null and a.worker = p_worker_id) held;
        perform perdure.release_tasks(v_shard, p_worker_id, v_held);
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null
        where t.shard = v_shard and t.sticky_worker = p_worker_id and t.state = 'scheduled';
    end loop;
end
$$;
comment on function perdure.stop_worker(uuid) is 'A worker leaves: what it still holds goes back to the queue, and no task waits for it.';
