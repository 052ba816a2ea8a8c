-- Workers register, renew their lease, say when they sleep, and leave.

create or replace function perdure.register_worker(
    p_worker_id uuid, p_namespace text, p_identity text, p_build_id text, p_task_queues text[],
    p_lease interval, p_details jsonb default '{}')
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = 0
as $$
declare
    v_now timestamptz := perdure.clock();
    v_shard smallint;
begin
    perform perdure.require_session();
    if p_worker_id is null or p_lease is null or p_lease <= interval '0' or coalesce(cardinality(p_task_queues), 0) = 0
        then
        raise exception 'a worker needs an id, at least one task queue and a lease above zero' using errcode = 'PD003',
            hint = 'For example register_worker(gen_random_uuid(), ''default'', ''me'', ''1'', array[''queue''], '
                '''10 s'').';
    end if;
    perform perdure.check_task_queue(q) from unnest(p_task_queues) q;
    if cardinality(p_task_queues) > perdure.maximum('task queues') then
        raise exception 'a worker has at most % task queues', perdure.maximum('task queues') using errcode = 'PD004',
            hint = 'Start more workers.';
    end if;
    perform perdure.check_text(p_identity, 'identity');
    perform perdure.check_text(p_build_id, 'build id', perdure.maximum('build id'));
    if jsonb_typeof(p_details) <> 'object' then
        raise exception 'the details of a worker must be an object' using errcode = 'PD003',
            hint = 'For example {"workflowTypes": []}.';
    end if;
    perform perdure.check_document(p_details, 'details', perdure.maximum('worker details'));
    if not exists (select from perdure.namespaces n where n.namespace = p_namespace and n.deleted_at is null) then
        raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)),
            'null') using errcode = 'PD005',
            hint = format('Create it: select perdure.create_namespace(%L);', left(p_namespace, 100));
    end if;
    insert into perdure.workers as w (worker_id, namespace, identity, build_id, task_queues, lease, lease_until,
        registered_at,
        in_contact_since, details)
    values (p_worker_id, p_namespace, coalesce(p_identity, ''), coalesce(p_build_id, ''), p_task_queues,
        least(p_lease, perdure.longest()),
        v_now + least(p_lease, perdure.longest()), v_now, v_now, coalesce(p_details, '{}'))
    -- Workers of other SDKs tell their build only when they poll for workflow tasks.
    on conflict (worker_id) do update set lease_until = excluded.lease_until, task_queues = excluded.task_queues,
        lease = excluded.lease, build_id = coalesce(nullif(excluded.build_id, ''), w.build_id),
        in_contact_since = case when v_now - (w.lease_until - w.lease) > w.lease / 2 then v_now
            else w.in_contact_since end,
        grace_until = null
    where w.lost_at is null;
    if not found then
        -- The worker was found lost, and its work is being taken back: that would also take the work of its new life.
        perform perdure.require_worker(p_worker_id);
    end if;
    -- A worker of another build may have the fix that failing workflow tasks wait for, so they are tried at once. One
    -- of the same build, or without a build id, may crash and register again and again, so a task is tried only when a
    -- minute has passed since its last attempt.
    perform set_config('lock_timeout', '500ms', true);
    for v_shard in select generate_series(0, (s.value #>> '{}')::int - 1)::smallint from perdure.settings s
        where s.name = 'shard_count' loop
        with c as materialized (
            select t.run_id, case when p_build_id <> '' and t.failed_build is distinct from p_build_id then v_now
                else t.scheduled_at + interval '1 minute' end as due
            from perdure.workflow_tasks t
            where t.shard = v_shard and t.namespace = p_namespace and t.task_queue = any (p_task_queues)
                and t.state = 'backoff' for update skip locked)
        update perdure.workflow_tasks t set state = case when c.due <= v_now then 'scheduled' else 'backoff' end,
            deadline = case when c.due > v_now then c.due end
        from c where t.shard = v_shard and t.run_id = c.run_id and (c.due < t.deadline or c.due <= v_now);
    end loop;
end
$$;
comment on function perdure.register_worker(uuid, text, text, text, text[], interval, jsonb) is
    'Registers a worker and begins its lease. Failing workflow tasks of its queues become claimable: at once if the '
    'worker has a build id and the last attempt was made by another build, and otherwise a minute after that attempt.';

create or replace function perdure.renew_lease(p_worker_id uuid, p_waiting boolean default null,
    p_report jsonb default null) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_until timestamptz;
    v_namespace text;
begin
    if p_report is not null then
        perform perdure.check_document(p_report, 'report', perdure.maximum('worker report'));
    end if;
    if jsonb_typeof(p_report) not in ('object', 'null')
        or coalesce(jsonb_typeof(p_report -> 'finished'), 'array') not in ('array', 'null')
        or coalesce(jsonb_typeof(p_report -> 'slotsInUse'), 'object') not in ('object', 'null')
        or exists (select from jsonb_each(case when jsonb_typeof(p_report -> 'slotsInUse') = 'object'
            then p_report -> 'slotsInUse' end) s
            where s.key not in ('workflow', 'activity') or s.value::text !~ '^[0-9]{1,9}$')
        or exists (select from jsonb_array_elements(case when jsonb_typeof(p_report -> 'finished') = 'array'
            then p_report -> 'finished' end) r
            where octet_length(coalesce(r ->> 'taskQueue', '')) not between 1 and 1000
                or coalesce(r ->> 'kind' not in ('workflow', 'activity'), true)
                    or coalesce(r ->> 'count' !~ '^[0-9]{1,12}$', true)) then
        raise exception 'a report counts tasks by queue and kind' using errcode = 'PD003',
            hint = 'For example {"finished": [{"taskQueue": "q", "kind": "activity", "count": 3}]}.';
    end if;
    update perdure.workers w set lease_until = v_now + w.lease, waiting = coalesce(p_waiting, w.waiting),
        slots_in_use = coalesce(nullif(p_report -> 'slotsInUse', 'null'), w.slots_in_use), grace_until = null,
        -- A worker renews its lease three times before it ends. A worker that could not for half of the lease could not
        -- reach the database, and its time of contact begins anew.
        in_contact_since = case when v_now - (w.lease_until - w.lease) > w.lease / 2 then v_now
            else w.in_contact_since end
    where w.worker_id = p_worker_id and w.lost_at is null returning w.lease_until, w.namespace into v_until,
        v_namespace;
    if v_until is null then
        raise exception 'worker % is not registered, or its lease ran out', p_worker_id using errcode = 'PD007',
            hint = 'Register under a new id and drop every cached run.';
    end if;
    if jsonb_array_length(nullif(p_report -> 'finished', 'null')) > 0 then
        insert into perdure.finished_tasks as f (worker_id, started_at, namespace, task_queue, kind, finished)
        select p_worker_id, date_bin('10 s', v_now, timestamptz '2000-01-01 00:00:00Z'), v_namespace, r ->> 'taskQueue',
            r ->> 'kind', sum((r ->> 'count')::bigint)
        from jsonb_array_elements(p_report -> 'finished') r
        group by r ->> 'taskQueue', r ->> 'kind'
        on conflict (worker_id, started_at, task_queue, kind) do update set finished = f.finished + excluded.finished;
        delete from perdure.finished_tasks f where f.worker_id = p_worker_id
            and f.started_at < v_now - interval '10 minutes';
    end if;
    return v_until;
end
$$;
comment on function perdure.renew_lease(uuid, boolean, jsonb) is
    'Extends a worker''s lease. Raises PD007 if the worker is gone. The report tells what the worker did since its '
    'last report: {"finished": [{"taskQueue", "kind", "count"}], "slotsInUse": {"workflow", "activity"}}.';

create or replace function perdure.set_waiting(p_worker_id uuid, p_waiting boolean) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    update perdure.workers w set waiting = p_waiting where w.worker_id = p_worker_id and w.waiting <> p_waiting
$$;
comment on function perdure.set_waiting(uuid, boolean) is
    'Records whether a worker sleeps on LISTEN, so that producers notify it.';

create or replace function perdure.busy_workers(p_beside uuid) returns int
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select count(*)::int from perdure.workers w
    where w.worker_id <> p_beside and w.lease_until > perdure.clock() and w.details -> 'workflowTypes' is distinct
        from '[]'
      -- A worker that cannot LISTEN never says that it waits, so its slots tell whether it is idle.
      and not w.waiting and w.slots_in_use is distinct from '{"workflow": 0, "activity": 0}'
$$;
comment on function perdure.busy_workers(uuid) is
    'How many other workers, of any namespace, run workflows and have work to do: they share the server with this '
    'one.';

create or replace function perdure.require_worker(p_worker_id uuid) returns perdure.workers
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker perdure.workers;
begin
    select * into v_worker from perdure.workers w where w.worker_id = p_worker_id and w.lost_at is null;
    if v_worker.worker_id is null then
        raise exception 'worker % is not registered, or its lease ran out', p_worker_id using errcode = 'PD007',
            hint = 'Register under a new id and drop every cached run.';
    end if;
    return v_worker;
end
$$;
comment on function perdure.require_worker(uuid) is 'The worker''s row. Raises PD007 if the worker is gone or lost.';

create or replace function perdure.may_claim(p_worker_id uuid) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Until this transaction ends, nobody can take back the worker's work: taking back locks the row FOR UPDATE, which
    -- conflicts with FOR KEY SHARE; renewals of the lease do not. SKIP LOCKED is needed because a claim has locked
    -- tasks and must not wait.
    perform from perdure.workers w where w.worker_id = p_worker_id and w.lost_at is null for key share skip locked;
    if found then
        return true;
    end if;
    perform perdure.require_worker(p_worker_id);
    return false;
end
$$;
comment on function perdure.may_claim(uuid) is
    'Keeps a worker from being found lost until the end of the transaction. Returns false while upkeep has locked the '
    'worker''s row. Raises PD007 if the worker is lost.';

create or replace function perdure.lock_runs(p_shard smallint, p_run_ids uuid[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    perform from (select distinct u.run_id from unnest(p_run_ids) u (run_id) order by 1) mine
    cross join lateral (select from perdure.run_states r where r.shard = p_shard
        and r.run_id = mine.run_id for update) l;
end
$$;
comment on function perdure.lock_runs(smallint, uuid[]) is
    'Locks open runs in order of their ids, the order in which all functions lock runs.';

create or replace function perdure.lock_free_run(p_shard smallint, p_run_id uuid) returns perdure.run_states
language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
    v_run perdure.run_states;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id
    for update skip locked;
    return v_run;
end
$$;
comment on function perdure.lock_free_run(smallint, uuid) is
    'Locks an open run that no other transaction has locked, for callers that hold other locks already. Returns null '
    'otherwise.';

create or replace function perdure.hand_back_workflow_task(p_shard smallint, p_run_id uuid, p_worker_id uuid,
    p_now timestamptz) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
begin
    v_run := perdure.lock_free_run(p_shard, p_run_id);
    select * into v_task from perdure.workflow_tasks t
    where t.shard = p_shard and t.run_id = p_run_id and t.worker = p_worker_id and t.state = 'started' for update;
    if v_run.run_id is null or v_task.run_id is null then
        return false;
    end if;
    if v_run.buffered_count > 0 then
        -- Events that came while the task was started are written now, before events that come while it waits.
        perform perdure.time_out_workflow_task(p_shard, v_run, v_task, p_now,
            'the worker handed the workflow task back');
    else
        update perdure.workflow_tasks t set state = 'scheduled', worker = null, started_at = null, deadline = null,
            sticky_worker = null
        where t.shard = p_shard and t.run_id = p_run_id;
        if v_run.updates_undelivered > 0 then
            perform perdure.admit_buffered_updates(p_shard, p_run_id);
        end if;
    end if;
    return true;
end
$$;
comment on function perdure.hand_back_workflow_task(smallint, uuid, uuid, timestamptz) is
    'Returns a workflow task of a worker to its queue: as it was or, if events have been buffered since, as a task '
    'that has timed out. Returns false if the task is not the worker''s, or another transaction has locked the run.';

create or replace function perdure.release_tasks(p_shard smallint, p_worker_id uuid, p_tasks jsonb) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = 0
as $$
declare
    v_now timestamptz := perdure.clock();
    v_tasks jsonb[];
    v_workflow int;
    v_activity int;
begin
    if jsonb_typeof(p_tasks) is distinct from 'array' then
        raise exception 'the tasks must be an array' using errcode = 'PD003',
            hint = 'For example [{"kind": "activity", "runId": "…", "scheduledEventId": 5}].';
    end if;
    -- Members that name no task are left out.
    select coalesce(array_agg(t.value), '{}') into v_tasks from jsonb_array_elements(p_tasks) t
    where perdure.is_uuid(t.value ->> 'runId') and (t.value ->> 'kind' = 'workflow'
        or perdure.is_event_id(t.value -> 'scheduledEventId'));
    select (count(*) filter (where perdure.hand_back_workflow_task(p_shard, asked.run_id, p_worker_id, v_now)))::int
        into v_workflow from (
        select distinct (t ->> 'runId')::uuid as run_id from unnest(v_tasks) t where t ->> 'kind' = 'workflow'
            order by 1) asked;
    perform set_config('lock_timeout', '500ms', true);
    with asked as (
        select distinct (t ->> 'runId')::uuid as run_id, (t ->> 'scheduledEventId')::bigint as scheduled_event_id
        from unnest(v_tasks) t where t ->> 'kind' = 'activity'),
    c as materialized (
        select a.run_id, a.scheduled_event_id from asked
        join perdure.activity_tasks a on a.run_id = asked.run_id and a.scheduled_event_id = asked.scheduled_event_id
        where a.shard = p_shard and a.worker = p_worker_id and a.state = 'started' for update of a skip locked)
    update perdure.activity_tasks a set state = case when a.paused_at is null then 'scheduled' else 'paused' end,
        worker = null, started_at = null, attempt_scheduled_at = v_now,
        deadline = case when a.paused_at is null then perdure.activity_deadline(a.schedule_to_close_timeout,
            a.schedule_to_start_timeout, null, null, a.scheduled_at, v_now, null, null) end
    from c where a.shard = p_shard and a.run_id = c.run_id and a.scheduled_event_id = c.scheduled_event_id;
    get diagnostics v_activity = row_count;
    return v_workflow + v_activity;
end
$$;
comment on function perdure.release_tasks(smallint, uuid, jsonb) is
    'Hands back tasks that a worker holds and will not finish; their attempts do not count. A member that names no '
    'task, or a task that is not the worker''s or that another transaction has locked, is left alone. Returns how '
    'many tasks were handed back.';

create or replace function perdure.remove_worker(p_worker_id uuid, p_now timestamptz, p_lost boolean) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into perdure.past_workers (worker_id, namespace, identity, build_id, task_queues, registered_at,
        last_seen_at, ended_at, lost, details)
    select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at,
        case when p_lost then least(w.lease_until - w.lease, p_now) else p_now end, coalesce(w.lost_at, p_now), p_lost,
            w.details
    from perdure.workers w where w.worker_id = p_worker_id
    on conflict (worker_id) do nothing;
    delete from perdure.workers w where w.worker_id = p_worker_id;
end
$$;
comment on function perdure.remove_worker(uuid, timestamptz, boolean) is
    'Deletes a worker that has left or was lost, and records it among the past workers. A lost worker was last seen '
    'at its last renewal.';

create or replace function perdure.tasks_of_worker(p_shard smallint, p_worker_id uuid)
returns table (kind text, run_id uuid, scheduled_event_id bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
begin
    -- A task that is started by a worker or kept for it has a deadline, so workflow_tasks_due and activity_tasks_due
    -- lead to it.
    return query
    select case when t.worker = p_worker_id then 'workflow' else 'sticky' end, t.run_id, t.scheduled_event_id
    from perdure.workflow_tasks t
    where t.shard = p_shard and t.deadline is not null
        and (t.worker = p_worker_id or t.sticky_worker = p_worker_id and t.state = 'scheduled')
    union all
    select 'activity', a.run_id, a.scheduled_event_id
    from perdure.activity_tasks a where a.shard = p_shard and a.deadline is not null and a.worker = p_worker_id;
end
$$;
comment on function perdure.tasks_of_worker(smallint, uuid) is
    'The tasks that a worker holds (kinds workflow and activity), and the tasks that are kept for it because it has '
    'the run cached (sticky).';

create or replace function perdure.stop_worker(p_worker_id uuid) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
declare
    v_now timestamptz := perdure.clock();
    v_shard smallint;
    v_runs uuid[];
begin
    -- The worker is removed first, which waits for claims that are under way: nothing else is locked yet, and no
    -- transaction that holds a lock waits for a worker's row.
    perform perdure.remove_worker(p_worker_id, v_now, false);
    for v_shard in select generate_series(0, (s.value #>> '{}')::int - 1)::smallint from perdure.settings s
        where s.name = 'shard_count' loop
        -- Only a transaction that has locked one of these runs can add to the worker's tasks in it.
        v_runs := array(select distinct h.run_id from perdure.tasks_of_worker(v_shard, p_worker_id) h);
        continue when v_runs = '{}';
        perform perdure.lock_runs(v_shard, v_runs);
        -- The runs are locked now. Another transaction that has locked a task of theirs is a claim or a heartbeat,
        -- which waits for nothing.
        perform perdure.hand_back_workflow_task(v_shard, u.run_id, p_worker_id, v_now) from unnest(v_runs) u (run_id);
        update perdure.activity_tasks a set state = case when a.paused_at is null then 'scheduled' else 'paused' end,
            worker = null, started_at = null, attempt_scheduled_at = v_now,
            deadline = case when a.paused_at is null then perdure.activity_deadline(a.schedule_to_close_timeout,
                a.schedule_to_start_timeout, null, null, a.scheduled_at, v_now, null, null) end
        where a.shard = v_shard and a.run_id = any (v_runs) and a.worker = p_worker_id;
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null
        where t.shard = v_shard and t.run_id = any (v_runs) and t.sticky_worker = p_worker_id and t.state = 'scheduled';
    end loop;
end
$$;
comment on function perdure.stop_worker(uuid) is
    'Removes a worker that leaves: the tasks that it holds go back to their queues, and no task is kept for it.';
