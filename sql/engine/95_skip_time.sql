-- Time for tests. All sessions with perdure.now = 'shared' have one clock, which can be moved on while every run waits:
-- docs/decisions/0044-skipped-time.md.

create or replace function perdure.is_served(p_namespace text, p_task_queue text, p_types text, p_worker_id uuid,
    p_now timestamptz)
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from perdure.workers w
        where w.namespace = p_namespace and w.task_queues @> array[p_task_queue] and w.lost_at is null
          and w.lease_until > p_now and w.details -> p_types is distinct from '[]'
          and w.worker_id = coalesce(p_worker_id, w.worker_id));
end
$$;
comment on function perdure.is_served(text, text, text, uuid, timestamptz) is
    'Whether a worker that lives, or this one, takes tasks of a queue; p_types is workflowTypes or activityTypes.';

-- The earlier forms of these functions did not know activities that sleep.
drop function if exists perdure.under_way(timestamptz);
drop function if exists perdure.skip_time(timestamptz, text[], uuid[]);

create or replace function perdure.under_way(p_now timestamptz, p_sleeping jsonb) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        -- A workflow task that backs off keeps time from being skipped, too: it has failed, and needs a person and not
        -- time.
        (select format('a workflow task of %s', r.workflow_id)
        from perdure.workflow_tasks t join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
        where t.state <> 'scheduled'
            or perdure.is_served(t.namespace, t.task_queue, 'workflowTypes', t.sticky_worker, p_now)
        limit 1),
        (select format('the activity %s (%s) of %s', a.activity_id, a.activity_type, a.workflow_id)
        from perdure.activity_tasks a
        where a.state = 'started' and not coalesce(p_sleeping @> jsonb_build_array(jsonb_build_object(
                'runId', a.run_id, 'activityId', a.activity_id, 'attempt', a.attempt)), false)
            or a.state = 'scheduled' and perdure.is_served(a.namespace, a.task_queue, 'activityTypes', null, p_now)
        limit 1),
        (select format('the query %s of %s', q.query_type, q.workflow_id) from perdure.queries q
        where q.state in ('pending', 'claimed') and q.deadline > p_now limit 1),
        (select format('a %s on its way to %s', x.kind, x.target_workflow_id) from perdure.transfers x
        where x.attempts = 0 limit 1));
end
$$;
comment on function perdure.under_way(timestamptz, jsonb) is
    'What is being done at this moment, or will be done by a worker that lives: time is not skipped meanwhile. '
    'Attempts of activities that sleep, given by runId, activityId and attempt, count as waiting for time. Null if '
    'everything that is open waits for time, or for somebody outside.';

create or replace function perdure.skip_time(
    until timestamptz default null, workflow_ids text[] default null, run_ids uuid[] default null,
    sleeping jsonb default null, out clock timestamptz, out skipped boolean, out waits_for text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
    v_due timestamptz;
    v_skip bigint;
begin
    if perdure.test_setting('perdure.now') is distinct from 'shared' then
        raise exception 'time can be skipped in databases of tests alone' using errcode = 'PD003',
            hint = 'Put (''test_settings'', ''true'') into perdure.settings, and set perdure.now = ''shared'' in '
                'every session: options=-c perdure.now=shared in its connection string.';
    end if;
    skipped := false;
    -- While this lock is held, no transaction that has asked for the time is open, and none can ask for it.
    if not pg_try_advisory_xact_lock(1885630054, 0) then
        clock := perdure.clock();
        waits_for := 'a transaction that is open';
        return;
    end if;
    clock := perdure.clock();
    if until <= clock then
        until := null;
    end if;
    if until is null and workflow_ids is not null and not exists (
        select from unnest(workflow_ids, run_ids) a (workflow_id, run_id)
        join perdure.executions e on e.workflow_id = a.workflow_id and e.status = 'Running'
            and e.run_id = coalesce(a.run_id, e.run_id)) then
        waits_for := 'nobody';
        return;
    end if;
    select min(d.due) into v_due from (
        select min(t.fire_at) from perdure.timers t
        union all select min(a.deadline) from perdure.activity_tasks a
        union all select min(w.deadline) from perdure.workflow_tasks w
        union all select min(x.next_at) from perdure.transfers x) d (due);
    waits_for := case when v_due <= clock then 'what is due' else perdure.under_way(clock, sleeping) end;
    if waits_for is not null then
        return;
    end if;
    v_due := least(v_due, until);
    if v_due is null then
        waits_for := 'somebody outside: nothing is due at any time';
        return;
    end if;
    v_skip := (extract(epoch from v_due - clock) * 1000000)::bigint;
    insert into perdure.settings as s (name, value, description)
    values ('skipped_time', to_jsonb(v_skip), 'How far the clock of tests is ahead, in microseconds')
    on conflict (name) do update set value = to_jsonb((s.value #>> '{}')::bigint + v_skip);
    -- Workers live in the time that really passes, so their leases move with the clock. in_contact_since stays, because
    -- they were in contact all the time.
    update perdure.workers w set lease_until = w.lease_until + v_skip * interval '1 microsecond',
        grace_until = w.grace_until + v_skip * interval '1 microsecond';
    update perdure.updates u set expires_at = u.expires_at + v_skip * interval '1 microsecond'
    where u.expires_at is not null;
    clock := v_due;
    skipped := true;
end
$$;
comment on function perdure.skip_time(timestamptz, text[], uuid[], jsonb) is
    'Moves the clock of tests to what is due next, if nothing is under way. Call perdure.upkeep then. With until the '
    'clock moves no further than to that time, which counts as something to wait for. With workflow_ids and run_ids '
    '(null for the current run) it moves only while one of these is open. Attempts of activities that sleep (an array '
    'of runId, activityId and attempt) do not keep it from moving. If the clock was not moved, waits_for says why. '
    'Workers'' leases do not run out by it.';
