-- What time does: timers fire, tasks time out, backoffs end, lost workers' tasks come back, old runs go.
-- Any worker does a slice; SKIP LOCKED lets several do it at once, and there is no leader.

create or replace function perdure.fire_timer(p_shard smallint, p_run perdure.run_states, p_timer perdure.timers, p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    delete from perdure.timers t where t.shard = p_shard and t.run_id = p_timer.run_id and t.kind = p_timer.kind
        and t.started_event_id = p_timer.started_event_id;
    case p_timer.kind
    when 'timer' then
        perform perdure.record_events(p_shard, p_run, p_now, array[perdure.event('TimerFired', jsonb_build_object(
            'timerId', p_timer.timer_id, 'startedEventId', p_timer.started_event_id))]);
    when 'start_delay' then
        update perdure.run_states r set start_delayed = false where r.shard = p_shard and r.run_id = p_run.run_id;
        p_run.start_delayed := false;
        perform perdure.record_events(p_shard, p_run, p_now, '{}');
    else
        perform perdure.end_run(p_shard, p_run, p_now, 'TimedOut', perdure.event('WorkflowExecutionTimedOut',
            jsonb_build_object('retryState', 'RetryPolicyNotSet')));
    end case;
end
$$;
comment on function perdure.fire_timer(smallint, perdure.run_states, perdure.timers, timestamptz) is 'A timer of a run is due.';

create or replace function perdure.fire_timers_plainly(p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_due uuid[];
    v_runs tid[];
    v_timers tid[];
    v_fired int;
    v_sticky_timeout interval := (select (s.value #>> '{}')::interval from perdure.settings s where s.name = 'sticky_timeout');
begin
    -- As in complete_plainly: all rows are found by their keys and the runs are locked, and then they are changed in their places.
    -- Whoever else fires timers at this moment has locked the runs of the first ones; these are the next.
    select array_agg(distinct mine.run_id) into v_due from (
        select l.run_id from (
            select t.run_id from perdure.timers t
            where t.shard = p_shard and t.fire_at > p_since and t.fire_at <= p_now and t.kind = 'timer' order by t.fire_at) due
        cross join lateral (
            select r.run_id from perdure.run_states r where r.shard = p_shard and r.run_id = due.run_id for update skip locked) l
        limit p_limit) mine;
    if v_due is null then
        return 0;
    end if;
    -- Of each run that waits for nothing else, the timer that was due first. By no expression here can another index serve than the keys.
    select array_agg(r.ctid), array_agg(t.ctid) into v_runs, v_timers
    from unnest(v_due) as mine (run_id)
    cross join lateral (select r.ctid, r.start_delayed from perdure.run_states r where r.shard = p_shard and r.run_id = mine.run_id limit 1) r
    cross join lateral (
        select t.ctid from perdure.timers t
        where t.shard = p_shard and t.run_id = mine.run_id and t.kind = 'timer' and t.fire_at + interval '0' <= p_now
        order by t.fire_at + interval '0', t.started_event_id + 0 limit 1) t
    left join lateral (select k.run_id from perdure.workflow_tasks k where k.shard = p_shard and k.run_id = mine.run_id limit 1) k on true
    where not r.start_delayed and k.run_id is null;
    set local enable_indexscan = off;
    with quiet as materialized (
        select r.run_id, q.run_row, q.timer_row, r.next_event_id as first_event_id, r.namespace, r.task_queue, r.priority, r.workflow_task_timeout,
            w.worker_id as sticky_worker
        from unnest(v_runs, v_timers) as q (run_row, timer_row)
        cross join lateral (select * from perdure.run_states r where r.shard = p_shard and r.ctid = q.run_row limit 1) r
        left join perdure.workers w on w.worker_id = r.sticky_worker and w.lease_until > p_now),
    fired as (
        delete from perdure.timers t using quiet q
        where t.shard = p_shard and t.ctid = q.timer_row and t.run_id = q.run_id
        returning q.*, t.timer_id, t.started_event_id),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, events)
        select p_shard, f.run_id, f.first_event_id, p_now, array[
            jsonb_build_object('eventType', 'TimerFired', 'attributes', jsonb_build_object('timerId', f.timer_id, 'startedEventId', f.started_event_id)),
            perdure.stored_workflow_task_scheduled(f.workflow_task_timeout)]
        from fired f),
    kept as (
        update perdure.run_states r set next_event_id = f.first_event_id + 2 from fired f where r.shard = p_shard and r.ctid = f.run_row),
    queued as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at, scheduled_event_id, sticky_worker, deadline,
            start_to_close_timeout)
        select p_shard, f.run_id, f.namespace, f.task_queue, f.priority, p_now, f.first_event_id + 1, f.sticky_worker,
            case when f.sticky_worker is not null then p_now + v_sticky_timeout end, f.workflow_task_timeout
        from fired f),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'workflow') from (select distinct f.namespace, f.task_queue from fired f) q)
    select (select count(*) from fired)::int into v_fired from (select count(*) from woken) w;
    return v_fired;
end
$$;
comment on function perdure.fire_timers_plainly(smallint, timestamptz, int, timestamptz) is
    'Fires timers that came due since then, of runs that wait for nothing but them, all in one statement; the others it leaves to fire_timer. Returns how many.';

create or replace function perdure.end_sticky_waits(p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_due uuid[];
    v_runs tid[];
    v_tasks tid[];
    v_ended int;
begin
    -- As in fire_timers_plainly. A claim that has a task at this moment is not waited for.
    select array_agg(mine.run_id) into v_due from (
        select l.run_id from (
            select t.run_id from perdure.workflow_tasks t
            where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_now and t.state = 'scheduled' order by t.deadline) due
        cross join lateral (
            select r.run_id from perdure.run_states r where r.shard = p_shard and r.run_id = due.run_id for update skip locked) l
        limit p_limit) mine;
    if v_due is null then
        return 0;
    end if;
    select array_agg(r.ctid), array_agg(t.ctid) into v_runs, v_tasks
    from unnest(v_due) as mine (run_id)
    cross join lateral (select r.ctid from perdure.run_states r where r.shard = p_shard and r.run_id = mine.run_id limit 1) r
    cross join lateral (select t.ctid, t.state, t.deadline from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = mine.run_id for update skip locked) t
    where t.state = 'scheduled' and t.deadline <= p_now;
    set local enable_indexscan = off;
    with waited as materialized (
        select r.run_id, q.run_row, q.task_row, r.next_event_id as first_event_id, r.namespace, r.task_queue, t.scheduled_event_id,
            perdure.workflow_task_scheduled(r, 1) as scheduled_again
        from unnest(v_runs, v_tasks) as q (run_row, task_row)
        cross join lateral (select * from perdure.run_states r where r.shard = p_shard and r.ctid = q.run_row limit 1) r
        cross join lateral (select * from perdure.workflow_tasks t where t.shard = p_shard and t.ctid = q.task_row limit 1) t),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, events)
        select p_shard, w.run_id, w.first_event_id, p_now, array[
            jsonb_build_object('eventType', 'WorkflowTaskTimedOut', 'attributes', jsonb_build_object(
                'scheduledEventId', w.scheduled_event_id, 'startedEventId', 0, 'timeoutType', 'ScheduleToStart')),
            w.scheduled_again]
        from waited w),
    kept as (
        update perdure.run_states r set next_event_id = w.first_event_id + 2, sticky_worker = null, sticky_event_id = null
        from waited w where r.shard = p_shard and r.ctid = w.run_row),
    freed as (
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null, scheduled_event_id = w.first_event_id + 1, scheduled_at = p_now
        from waited w where t.shard = p_shard and t.ctid = w.task_row),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'workflow') from (select distinct w.namespace, w.task_queue from waited w) q)
    select (select count(*) from waited)::int into v_ended from (select count(*) from woken) w;
    return v_ended;
end
$$;
comment on function perdure.end_sticky_waits(smallint, timestamptz, int, timestamptz) is
    'Workflow tasks for which the worker that has the run cached did not come since then: any may have them. All in one statement, as time_out_workflow_task would one by one. Returns how many.';

create or replace function perdure.time_out_workflow_task(
    p_shard smallint, p_run perdure.run_states, p_task perdure.workflow_tasks, p_now timestamptz, p_message text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[];
begin
    if p_task.state = 'backoff' then
        update perdure.workflow_tasks t set state = 'scheduled', deadline = null where t.shard = p_shard and t.run_id = p_task.run_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'workflow');
    elsif p_task.state = 'started' then
        perform perdure.end_workflow_task(p_shard, p_run, p_task,
            (select w.identity from perdure.workers w where w.worker_id = p_task.worker), p_now, 'WorkflowTaskTimedOut',
            jsonb_build_object('timeoutType', 'StartToClose'), jsonb_build_object('cause', 'Timeout',
                'failure', jsonb_build_object('message', p_message, 'source', 'Perdure', 'timeoutFailureInfo', jsonb_build_object('timeoutType', 'StartToClose'))));
    else
        -- The worker that has the run cached did not come for it: any may.
        v_events := array[
            perdure.event('WorkflowTaskTimedOut', jsonb_build_object('scheduledEventId', p_task.scheduled_event_id, 'startedEventId', 0,
                'timeoutType', 'ScheduleToStart')),
            perdure.workflow_task_scheduled(p_run, 1)];
        perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id, v_events);
        update perdure.run_states r set next_event_id = p_run.next_event_id + 2, sticky_worker = null, sticky_event_id = null
        where r.shard = p_shard and r.run_id = p_run.run_id;
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null, scheduled_event_id = p_run.next_event_id + 1, scheduled_at = p_now
        where t.shard = p_shard and t.run_id = p_run.run_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'workflow');
    end if;
end
$$;
comment on function perdure.time_out_workflow_task(smallint, perdure.run_states, perdure.workflow_tasks, timestamptz, text) is
    'A workflow task''s deadline has passed: its backoff is over, its attempt timed out, or its sticky worker did not come.';

create or replace function perdure.time_out_activity(
    p_shard smallint, p_run perdure.run_states, p_task perdure.activity_tasks, p_now timestamptz, p_lost boolean) returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_type text;
    v_message text;
begin
    if not p_lost and p_now >= p_task.scheduled_at + p_task.schedule_to_close_timeout then
        v_type := 'ScheduleToClose';
    elsif p_task.state = 'backoff' then
        update perdure.activity_tasks t set state = 'scheduled',
            deadline = perdure.activity_deadline(t.schedule_to_close_timeout, t.schedule_to_start_timeout, null, null, t.scheduled_at, t.attempt_scheduled_at, null, null)
        where t.shard = p_shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'activity');
        return 'retried';
    elsif p_task.state = 'scheduled' then
        v_type := 'ScheduleToStart';
    elsif not p_lost and p_now < p_task.started_at + p_task.start_to_close_timeout then
        v_type := 'Heartbeat';
    else
        v_type := 'StartToClose';
    end if;
    v_message := case when p_lost then 'the lease of the worker that ran the activity ran out'
        else format('activity %s timeout', v_type) end;
    perform perdure.fail_activity(p_shard, p_run, p_task, p_now, jsonb_strip_nulls(jsonb_build_object('message', v_message, 'source', 'Perdure',
        'cause', case when v_type in ('ScheduleToClose') then p_task.last_failure end,
        'timeoutFailureInfo', jsonb_build_object('timeoutType', v_type, 'lastHeartbeatDetails', p_task.heartbeat_details))), v_type);
    return 'timed_out';
end
$$;
comment on function perdure.time_out_activity(smallint, perdure.run_states, perdure.activity_tasks, timestamptz, boolean) is
    'An activity''s deadline has passed, or its worker is lost: its backoff is over, or the attempt timed out.';

create or replace function perdure.next_due(p_shard smallint, p_since timestamptz, p_until timestamptz,
    out timer timestamptz, out activity timestamptz, out workflow_task timestamptz, out lease timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    select
        (select min(t.fire_at) from perdure.timers t where t.shard = p_shard and t.fire_at > p_since and t.fire_at <= p_until),
        (select min(t.deadline) from perdure.activity_tasks t where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_until),
        (select min(t.deadline) from perdure.workflow_tasks t where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_until),
        (select min(w.lease_until) from perdure.workers w)
    into timer, activity, workflow_task, lease;
end
$$;
comment on function perdure.next_due(smallint, timestamptz, timestamptz) is
    'When the first timer, activity, workflow task and lease of a time are due; null for none.';

create or replace function perdure.upkeep(p_shard smallint, p_limit int default 200, p_since timestamptz default null)
returns table (fired_timers int, timed_out_activities int, retried_activities int, timed_out_workflow_tasks int,
    lost_workers int, deleted_executions int, next_due_at timestamptz)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_since timestamptz := coalesce(p_since, '-infinity');
    v_until timestamptz := case when p_since is null then 'infinity' else v_now + interval '1 s' end;
    -- What has to be done one by one takes about a millisecond each: few, lest timers that come due meanwhile wait for them.
    v_slowly constant int := 50;
    v_next record;
    v_due record;
    v_run perdure.run_states;
    v_timer perdure.timers;
    v_task perdure.workflow_tasks;
    v_activity perdure.activity_tasks;
    v_worker uuid;
begin
    fired_timers := 0; timed_out_activities := 0; retried_activities := 0; timed_out_workflow_tasks := 0; lost_workers := 0; deleted_executions := 0;
    v_next := perdure.next_due(p_shard, v_since, v_until);

    if v_next.timer <= v_now then
        fired_timers := perdure.fire_timers_plainly(p_shard, v_now, p_limit, v_since);
        -- What is left of these; of a crowd the next call fires more, and not one by one. Each due row is looked at again under the run's
        -- lock: somebody else may have been here first.
        for v_due in select t.run_id, t.kind, t.started_event_id from perdure.timers t
            where t.shard = p_shard and t.fire_at > v_since and t.fire_at <= v_now order by t.fire_at limit least(v_slowly, p_limit - fired_timers) loop
            select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_due.run_id for update skip locked;
            continue when v_run.run_id is null;
            select * into v_timer from perdure.timers t where t.shard = p_shard and t.run_id = v_due.run_id and t.kind = v_due.kind
                and t.started_event_id = v_due.started_event_id and t.fire_at <= v_now for update;
            continue when v_timer.run_id is null;
            perform perdure.fire_timer(p_shard, v_run, v_timer, v_now);
            fired_timers := fired_timers + 1;
        end loop;
    end if;

    if v_next.activity <= v_now then
        for v_due in select t.run_id, t.scheduled_event_id from perdure.activity_tasks t
            where t.shard = p_shard and t.deadline > v_since and t.deadline <= v_now
              and (t.state <> 'backoff' or t.scheduled_at + t.schedule_to_close_timeout <= v_now)
            order by t.deadline limit least(v_slowly, p_limit) loop
            select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_due.run_id for update skip locked;
            continue when v_run.run_id is null;
            select * into v_activity from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_due.run_id
                and t.scheduled_event_id = v_due.scheduled_event_id and t.deadline <= v_now for update;
            continue when v_activity.run_id is null;
            if perdure.time_out_activity(p_shard, v_run, v_activity, v_now, false) = 'retried' then
                retried_activities := retried_activities + 1;
            else
                timed_out_activities := timed_out_activities + 1;
            end if;
        end loop;
    end if;

    if v_next.workflow_task <= v_now then
        timed_out_workflow_tasks := perdure.end_sticky_waits(p_shard, v_now, p_limit, v_since);
        for v_due in select t.run_id from perdure.workflow_tasks t
            where t.shard = p_shard and t.deadline > v_since and t.deadline <= v_now order by t.deadline
            limit least(v_slowly, p_limit - timed_out_workflow_tasks) loop
            select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_due.run_id for update skip locked;
            continue when v_run.run_id is null;
            select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_due.run_id and t.deadline <= v_now for update;
            continue when v_task.run_id is null;
            perform perdure.time_out_workflow_task(p_shard, v_run, v_task, v_now, 'the workflow task was not completed in time');
            timed_out_workflow_tasks := timed_out_workflow_tasks + 1;
        end loop;
    end if;

    if v_next.lease <= v_now then
        for v_worker in select w.worker_id from perdure.workers w where w.lease_until <= v_now
            order by w.lease_until limit 10 for update skip locked loop
            perform perdure.take_back(p_shard, v_worker, v_now);
            perform perdure.remove_worker(v_worker, v_now, true);
            lost_workers := lost_workers + 1;
        end loop;
    end if;

    -- What nobody waits for.
    if p_since is null then
        delete from perdure.queries q where q.shard = p_shard and q.deadline < v_now - interval '1 minute';
        deleted_executions := perdure.delete_expired(p_shard, v_now, p_limit);
    end if;

    -- Backoffs that are over need nothing of the run: they go back to the queue in one statement. It comes last, since it locks
    -- activities without their runs, and whoever holds such a lock must not wait for another.
    if v_next.activity <= v_now then
        with c as materialized (
            select t.run_id, t.scheduled_event_id from perdure.activity_tasks t
            where t.shard = p_shard and t.deadline > v_since and t.deadline <= v_now and t.state = 'backoff'
              and (t.schedule_to_close_timeout is null or t.scheduled_at + t.schedule_to_close_timeout > v_now)
            order by t.deadline limit p_limit for update skip locked),
        u as (
            update perdure.activity_tasks t set state = 'scheduled',
                deadline = perdure.activity_deadline(t.schedule_to_close_timeout, t.schedule_to_start_timeout, null, null, t.scheduled_at, t.attempt_scheduled_at, null, null)
            from c where t.shard = p_shard and t.run_id = c.run_id and t.scheduled_event_id = c.scheduled_event_id
            returning t.namespace, t.task_queue),
        woken as (select perdure.wake(q.namespace, q.task_queue, 'activity') from (select distinct u.namespace, u.task_queue from u) q)
        select retried_activities + (select count(*) from u)::int into retried_activities from (select count(*) from woken) w;
    end if;

    if least(v_next.timer, v_next.activity, v_next.workflow_task, v_next.lease) <= v_now then
        v_next := perdure.next_due(p_shard, v_since, v_until);
    end if;
    next_due_at := least(v_next.timer, v_next.activity, v_next.workflow_task, v_next.lease);
    return next;
end
$$;
comment on function perdure.upkeep(smallint, int, timestamptz) is
    'Does what is due, at most p_limit of each kind, and tells when the next thing is; call it again at once if that has passed. With p_since it looks only at what came due since then or does within the next second: for whoever has left nothing older.';

create or replace function perdure.take_back(p_shard smallint, p_worker_id uuid, p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
declare
    v_held record;
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
    v_activity perdure.activity_tasks;
begin
    for v_held in
        -- Whatever is started has a deadline, by whose index it is found.
        select t.run_id from perdure.workflow_tasks t where t.shard = p_shard and t.deadline is not null and t.worker = p_worker_id
        union select a.run_id from perdure.activity_tasks a where a.shard = p_shard and a.deadline is not null and a.worker = p_worker_id
        union select t.run_id from perdure.workflow_tasks t where t.shard = p_shard and t.sticky_worker = p_worker_id and t.state = 'scheduled'
        order by run_id loop
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_held.run_id for update;
        continue when v_run.run_id is null;
        select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = v_held.run_id
            and (t.worker = p_worker_id or t.sticky_worker = p_worker_id and t.state = 'scheduled') for update;
        if v_task.run_id is not null then
            perform perdure.time_out_workflow_task(p_shard, v_run, v_task, p_now, 'the lease of the worker that ran the workflow task ran out');
        end if;
        for v_activity in select * from perdure.activity_tasks a where a.shard = p_shard and a.run_id = v_held.run_id and a.worker = p_worker_id
            order by a.scheduled_event_id for update loop
            select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_held.run_id;
            perform perdure.time_out_activity(p_shard, v_run, v_activity, p_now, true);
        end loop;
    end loop;
end
$$;
comment on function perdure.take_back(smallint, uuid, timestamptz) is 'Returns what a lost worker held to the queues, by the rules of a timeout.';

create or replace function perdure.delete_expired(p_shard smallint, p_now timestamptz, p_limit int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_runs uuid[];
begin
    select coalesce(array_agg(old.run_id), '{}') into v_runs from (
        select e.run_id from perdure.namespaces n
        cross join lateral (
            select e.run_id from perdure.executions e
            where e.shard = p_shard and e.namespace = n.namespace and e.close_time < p_now - n.retention
            order by e.close_time limit p_limit for update skip locked) e) old;
    if cardinality(v_runs) = 0 then
        return 0;
    end if;
    delete from perdure.history h where h.shard = p_shard and h.run_id = any (v_runs);
    delete from perdure.activity_attempts a where a.shard = p_shard and a.run_id = any (v_runs);
    delete from perdure.executions e where e.shard = p_shard and e.run_id = any (v_runs);
    return cardinality(v_runs);
end
$$;
comment on function perdure.delete_expired(smallint, timestamptz, int) is 'Deletes closed runs that are older than their namespace keeps them.';
