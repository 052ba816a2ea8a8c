-- What happens when its time comes: timers fire, tasks time out, backoffs end, tasks of lost workers come back, old
-- runs are deleted. Each worker does a part of it; SKIP LOCKED lets several do it at once, without a leader.

create or replace function perdure.fire_timer(p_shard smallint, p_run perdure.run_states, p_timer perdure.timers,
    p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_next perdure.next_run;
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
    when 'run_timeout' then
        v_next := perdure.run_after(p_shard, p_run, p_now, jsonb_build_object('message', 'workflow timeout',
            'source', 'Server', 'timeoutFailureInfo', jsonb_build_object('timeoutType', 'StartToClose')), null);
        perform perdure.end_run(p_shard, p_run, p_now, 'TimedOut', perdure.event('WorkflowExecutionTimedOut',
            jsonb_build_object('retryState', v_next.retry_state, 'newExecutionRunId', v_next.run_id)));
        perform perdure.begin_next_run(p_shard, p_run, p_now, v_next);
    else
        -- The execution timeout is the time of all runs of the chain together.
        perform perdure.end_run(p_shard, p_run, p_now, 'TimedOut', perdure.event('WorkflowExecutionTimedOut',
            jsonb_build_object('retryState', 'Timeout')));
    end case;
end
$$;
comment on function perdure.fire_timer(smallint, perdure.run_states, perdure.timers, timestamptz) is
    'Fires a timer of a run that is due.';

create or replace function perdure.fire_many_timers(p_shard smallint, p_now timestamptz, p_limit int,
    p_since timestamptz) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan set lock_timeout = '500ms'
as $$
declare
    v_due uuid[];
    v_runs tid[];
    v_timers tid[];
    v_fired int;
    v_sticky_timeout interval := (select (s.value #>> '{}')::interval from perdure.settings s
        where s.name = 'sticky_timeout');
begin
    -- As in complete_many, all rows are found by key and the runs are locked, and then the rows are changed by ctid.
    -- SKIP LOCKED passes over runs that another transaction has locked to fire their timers, and takes the next ones.
    select array_agg(distinct mine.run_id) into v_due from (
        select l.run_id from (
            select t.run_id from perdure.timers t
            where t.shard = p_shard and t.fire_at > p_since and t.fire_at <= p_now and t.kind = 'timer'
                order by t.fire_at) due
        cross join lateral (
            select r.run_id from perdure.run_states r where r.shard = p_shard
                and r.run_id = due.run_id for update skip locked) l
        limit p_limit) mine;
    if v_due is null then
        return 0;
    end if;
    -- For each run that has no workflow task, the timer that was due first. `+ interval '0'` and `+ 0` keep the planner
    -- from using timers_due, so that it looks the timers up by their primary key.
    select array_agg(r.ctid), array_agg(t.ctid) into v_runs, v_timers
    from unnest(v_due) as mine (run_id)
    cross join lateral (select r.ctid, r.start_delayed or r.next_event_id > r.max_history_events + 1
        or r.history_bytes > perdure.maximum('history bytes') as is_special
        from perdure.run_states r where r.shard = p_shard and r.run_id = mine.run_id limit 1) r
    cross join lateral (
        select t.ctid from perdure.timers t
        where t.shard = p_shard and t.run_id = mine.run_id and t.kind = 'timer' and t.fire_at + interval '0' <= p_now
        order by t.fire_at + interval '0', t.started_event_id + 0 limit 1) t
    left join lateral (select k.run_id from perdure.workflow_tasks k where k.shard = p_shard
        and k.run_id = mine.run_id limit 1) k on true
    where not r.is_special and k.run_id is null;
    set local enable_indexscan = off;
    with quiet as materialized (
        select r.run_id, q.run_row, q.timer_row, r.next_event_id as first_event_id, r.namespace, r.task_queue,
            r.priority, r.workflow_task_timeout,
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
            jsonb_build_object('eventType', 'TimerFired', 'attributes',
                jsonb_build_object('timerId', f.timer_id, 'startedEventId', f.started_event_id)),
            perdure.stored_workflow_task_scheduled(f.workflow_task_timeout)]
        from fired f),
    kept as (
        update perdure.run_states r set next_event_id = f.first_event_id + 2, history_bytes = r.history_bytes + 200
            from fired f where r.shard = p_shard and r.ctid = f.run_row),
    queued as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at,
            scheduled_event_id, sticky_worker, deadline,
            start_to_close_timeout)
        select p_shard, f.run_id, f.namespace, f.task_queue, f.priority, p_now, f.first_event_id + 1, f.sticky_worker,
            case when f.sticky_worker is not null then p_now + v_sticky_timeout end, f.workflow_task_timeout
        from fired f),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'workflow')
            from (select distinct f.namespace, f.task_queue from fired f) q)
    select (select count(*) from fired)::int into v_fired from (select count(*) from woken) w;
    return v_fired;
end
$$;
comment on function perdure.fire_many_timers(smallint, timestamptz, int, timestamptz) is
    'Fires timers that came due since p_since and whose runs have no workflow task, all in one statement; leaves the '
    'others to fire_timer. Returns how many it fired.';

create or replace function perdure.end_sticky_waits(p_shard smallint, p_now timestamptz, p_limit int,
    p_since timestamptz) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan set lock_timeout = '500ms'
as $$
declare
    v_due uuid[];
    v_runs tid[];
    v_tasks tid[];
    v_ended int;
begin
    -- As in fire_many_timers. SKIP LOCKED also passes over a task that a claim has locked.
    select array_agg(mine.run_id) into v_due from (
        select l.run_id from (
            select t.run_id from perdure.workflow_tasks t
            where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_now and t.state = 'scheduled'
                order by t.deadline) due
        cross join lateral (
            select r.run_id from perdure.run_states r where r.shard = p_shard
                and r.run_id = due.run_id for update skip locked) l
        limit p_limit) mine;
    if v_due is null then
        return 0;
    end if;
    select array_agg(r.ctid), array_agg(t.ctid) into v_runs, v_tasks
    from unnest(v_due) as mine (run_id)
    cross join lateral (select r.ctid from perdure.run_states r where r.shard = p_shard
        and r.run_id = mine.run_id limit 1) r
    cross join lateral (select t.ctid, t.state, t.deadline from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = mine.run_id for update skip locked) t
    where t.state = 'scheduled' and t.deadline <= p_now;
    set local enable_indexscan = off;
    with waited as materialized (
        select r.run_id, q.run_row, q.task_row, r.namespace, r.task_queue,
            -- The WorkflowTaskScheduled of a task for which only updates wait is written now.
            r.next_event_id + case t.scheduled_event_id when 0 then 1 else 0 end as first_event_id,
            t.scheduled_event_id = 0 as is_unwritten,
            case t.scheduled_event_id when 0 then r.next_event_id else t.scheduled_event_id end as scheduled_event_id,
            perdure.workflow_task_scheduled(r, 1) as scheduled_again
        from unnest(v_runs, v_tasks) as q (run_row, task_row)
        cross join lateral (select * from perdure.run_states r where r.shard = p_shard and r.ctid = q.run_row limit 1) r
        cross join lateral (select * from perdure.workflow_tasks t where t.shard = p_shard
            and t.ctid = q.task_row limit 1) t),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, events)
        select p_shard, w.run_id, case when w.is_unwritten then w.scheduled_event_id else w.first_event_id end, p_now,
            case when w.is_unwritten then array[w.scheduled_again] else '{}' end || array[
            jsonb_build_object('eventType', 'WorkflowTaskTimedOut', 'attributes', jsonb_build_object(
                'scheduledEventId', w.scheduled_event_id, 'startedEventId', 0, 'timeoutType', 'ScheduleToStart')),
            w.scheduled_again]
        from waited w),
    kept as (
        update perdure.run_states r set next_event_id = w.first_event_id + 2, history_bytes = r.history_bytes + 300,
            sticky_worker = null, sticky_event_id = null
        from waited w where r.shard = p_shard and r.ctid = w.run_row),
    freed as (
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null,
            scheduled_event_id = w.first_event_id + 1, scheduled_at = p_now
        from waited w where t.shard = p_shard and t.ctid = w.task_row),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'workflow')
            from (select distinct w.namespace, w.task_queue from waited w) q)
    select (select count(*) from waited)::int into v_ended from (select count(*) from woken) w;
    return v_ended;
end
$$;
comment on function perdure.end_sticky_waits(smallint, timestamptz, int, timestamptz) is
    'Lets any worker have the workflow tasks that were kept for a worker which did not come for them, if that time '
    'ended since p_since. Writes in one statement what time_out_workflow_task would write for each. Returns how many.';

create or replace function perdure.time_out_workflow_task(
    p_shard smallint, p_run perdure.run_states, p_task perdure.workflow_tasks, p_now timestamptz, p_message text)
        returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[];
begin
    if p_task.state = 'backoff' then
        update perdure.workflow_tasks t set state = 'scheduled', deadline = null where t.shard = p_shard
            and t.run_id = p_task.run_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'workflow');
    elsif p_task.state = 'started' then
        -- Queries that came with the task are asked again.
        update perdure.queries q set state = 'pending', worker = null
        where q.shard = p_shard and q.run_id = p_task.run_id and q.worker = p_task.worker and q.state = 'claimed'
            and q.deadline > p_now;
        perform perdure.end_workflow_task(p_shard, p_run, p_task,
            (select w.identity from perdure.workers w where w.worker_id = p_task.worker), p_now, 'WorkflowTaskTimedOut',
            jsonb_build_object('timeoutType', 'StartToClose'), jsonb_build_object('cause', 'Timeout',
                'failure', jsonb_build_object('message', p_message, 'source', 'Perdure', 'timeoutFailureInfo',
                    jsonb_build_object('timeoutType', 'StartToClose'))));
    else
        -- The worker that has the run cached did not come for the task, so any worker may have it.
        if p_task.scheduled_event_id = 0 then
            -- Only updates waited for the task, so its WorkflowTaskScheduled is written now.
            p_task.scheduled_event_id := p_run.next_event_id;
            perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id,
                array[perdure.workflow_task_scheduled(p_run, 1)]);
            p_run.next_event_id := p_run.next_event_id + 1;
        end if;
        v_events := array[
            perdure.event('WorkflowTaskTimedOut', jsonb_build_object('scheduledEventId', p_task.scheduled_event_id,
                'startedEventId', 0,
                'timeoutType', 'ScheduleToStart')),
            perdure.workflow_task_scheduled(p_run, 1)];
        perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id, v_events);
        update perdure.run_states r set next_event_id = p_run.next_event_id + 2, history_bytes = r.history_bytes + 300,
            sticky_worker = null, sticky_event_id = null
        where r.shard = p_shard and r.run_id = p_run.run_id;
        update perdure.workflow_tasks t set sticky_worker = null, deadline = null,
            scheduled_event_id = p_run.next_event_id + 1, scheduled_at = p_now
        where t.shard = p_shard and t.run_id = p_run.run_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'workflow');
    end if;
end
$$;
comment on function perdure.time_out_workflow_task(smallint, perdure.run_states, perdure.workflow_tasks, timestamptz,
    text) is
    'Handles the deadline of a workflow task: its backoff is over, its attempt timed out, or the worker for which it '
    'was kept did not come.';

create or replace function perdure.time_out_activity(
    p_shard smallint, p_run perdure.run_states, p_task perdure.activity_tasks, p_now timestamptz, p_lost boolean)
        returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_type text;
begin
    if p_lost then
        -- Temporal has no timeout for a lost worker. This failure tells the workflow what happened, and a retry policy
        -- can name its type.
        perform perdure.fail_activity(p_shard, p_run, p_task, p_now, jsonb_build_object(
            'message', 'the lease of the worker that ran the activity ran out', 'source', 'Perdure',
            'applicationFailureInfo', jsonb_strip_nulls(jsonb_build_object('type', 'WorkerLost'))
                || case when p_task.heartbeat_details is null then '{}'
                    else jsonb_build_object('details', p_task.heartbeat_details) end));
        return 'timed_out';
    end if;
    if p_now >= p_task.scheduled_at + p_task.schedule_to_close_timeout then
        -- If two timeouts run out at one time, the one that Temporal reports.
        v_type := case when p_task.state = 'scheduled'
            and p_task.attempt_scheduled_at + p_task.schedule_to_start_timeout
            <= p_task.scheduled_at + p_task.schedule_to_close_timeout then 'ScheduleToStart' else 'ScheduleToClose' end;
    elsif p_task.state = 'backoff' then
        update perdure.activity_tasks t set state = 'scheduled',
            deadline = perdure.activity_deadline(t.schedule_to_close_timeout, t.schedule_to_start_timeout, null, null,
                t.scheduled_at, t.attempt_scheduled_at, null, null)
        where t.shard = p_shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id;
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'activity');
        return 'retried';
    elsif p_task.state = 'scheduled' then
        v_type := 'ScheduleToStart';
    elsif p_now < p_task.started_at + p_task.start_to_close_timeout then
        v_type := 'Heartbeat';
    else
        v_type := 'StartToClose';
    end if;
    perform perdure.fail_activity(p_shard, p_run, p_task, p_now, jsonb_strip_nulls(jsonb_build_object(
        'message', format('activity %s timeout', v_type), 'source', 'Server',
        'cause', p_task.last_failure,
        'timeoutFailureInfo', jsonb_build_object('timeoutType', v_type, 'lastHeartbeatDetails',
            p_task.heartbeat_details))), v_type);
    return 'timed_out';
end
$$;
comment on function perdure.time_out_activity(smallint, perdure.run_states, perdure.activity_tasks, timestamptz,
    boolean) is
    'Handles the deadline of an activity: its backoff is over, or the attempt timed out. With p_lost, the attempt '
    'fails because its worker is lost.';

create or replace function perdure.was_in_contact(p_worker perdure.workers, p_now timestamptz) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- A worker renews its lease every third of it, so an outage that silences a worker for a whole lease lasts at least
    -- two thirds of that lease. Another worker has seen no such outage if its last renewal is not older than half its
    -- lease, and if it has renewed without such a gap since before the last third of this worker's lease.
    return exists (
        select from perdure.workers w
        where w.worker_id <> p_worker.worker_id and w.lost_at is null and w.lease <= p_worker.lease
          and w.lease_until - w.lease > p_now - w.lease / 2
          and w.in_contact_since <= p_worker.lease_until - p_worker.lease / 3);
end
$$;
comment on function perdure.was_in_contact(perdure.workers, timestamptz) is
    'Whether another worker could renew its lease all the time that this one did not, which shows that the database '
    'could be reached.';

create or replace function perdure.next_due(p_shard smallint, p_since timestamptz, p_until timestamptz,
    out timer timestamptz, out activity timestamptz, out workflow_task timestamptz, out lease timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    select
        (select min(t.fire_at) from perdure.timers t where t.shard = p_shard and t.fire_at > p_since
            and t.fire_at <= p_until),
        (select min(t.deadline) from perdure.activity_tasks t where t.shard = p_shard and t.deadline > p_since
            and t.deadline <= p_until),
        (select min(t.deadline) from perdure.workflow_tasks t where t.shard = p_shard and t.deadline > p_since
            and t.deadline <= p_until),
        (select min(case when w.lost_at is null then greatest(w.lease_until, w.grace_until)
            when p_shard <> all (w.taken_back) then w.lost_at end) from perdure.workers w)
    into timer, activity, workflow_task, lease;
end
$$;
comment on function perdure.next_due(smallint, timestamptz, timestamptz) is
    'When the first timer, activity and workflow task between two times are due, and when the first lease runs out; '
    'null for none.';

create or replace function perdure.fire_due_timers(p_shard smallint, p_now timestamptz, p_limit int,
    p_since timestamptz, p_singly boolean)
returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_fired int := 0;
    v_due record;
    v_run perdure.run_states;
    v_timer perdure.timers;
    v_skipped uuid[] := array[]::uuid[];
begin
    if not p_singly then
        v_fired := perdure.fire_many_timers(p_shard, p_now, p_limit, p_since);
        -- A timer that is fired singly takes about a millisecond, so only few are: otherwise timers that come due
        -- meanwhile would wait for them.
        p_limit := least(50, p_limit - v_fired);
    end if;
    -- The rest is fired singly; if there are many timers, the next call fires more of them in one statement. Each due
    -- row is read again under the run's lock, because another transaction may have handled it.
    for v_due in select t.run_id, t.kind, t.started_event_id from perdure.timers t
        where t.shard = p_shard and t.fire_at > p_since and t.fire_at <= p_now order by t.fire_at,
            t.started_event_id limit p_limit loop
        -- If another transaction has locked a run, none of its timers is fired: a later timer might fire before an
        -- earlier one.
        continue when v_due.run_id = any (v_skipped);
        v_run := perdure.lock_free_run(p_shard, v_due.run_id);
        if v_run.run_id is null then
            v_skipped := v_skipped || v_due.run_id;
            continue;
        end if;
        select * into v_timer from perdure.timers t where t.shard = p_shard and t.run_id = v_due.run_id
            and t.kind = v_due.kind
            and t.started_event_id = v_due.started_event_id and t.fire_at <= p_now for update;
        continue when v_timer.run_id is null;
        if p_singly then
            begin
                perform perdure.fire_timer(p_shard, v_run, v_timer, p_now);
                v_fired := v_fired + 1;
            exception
                when others then
                    if perdure.is_passing(sqlstate) then
                        raise;
                    end if;
                    update perdure.timers t
                    set fire_at = perdure.put_aside(p_shard, t.run_id, 'timer', t.started_event_id, sqlerrm, sqlstate,
                        p_now)
                    where t.shard = p_shard and t.run_id = v_timer.run_id and t.kind = v_timer.kind
                      and t.started_event_id = v_timer.started_event_id;
            end;
        else
            perform perdure.fire_timer(p_shard, v_run, v_timer, p_now);
            v_fired := v_fired + 1;
        end if;
    end loop;
    return v_fired;
end
$$;
comment on function perdure.fire_due_timers(smallint, timestamptz, int, timestamptz, boolean) is
    'Fires timers that came due since p_since, those of one time in the order in which they were started. With '
    'p_singly, a timer that raises an error is set aside.';

create or replace function perdure.time_out_due_activities(
    p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz, p_singly boolean, out timed_out int,
        out retried int)
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_due record;
    v_run perdure.run_states;
    v_activity perdure.activity_tasks;
    v_lost boolean;
    v_seen_at timestamptz;
    v_lease interval;
    v_contact_since timestamptz;
    v_what text;
    v_next timestamptz;
begin
    timed_out := 0;
    retried := 0;
    for v_due in select t.run_id, t.scheduled_event_id from perdure.activity_tasks t
        where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_now
          and (t.state <> 'backoff' or t.scheduled_at + t.schedule_to_close_timeout <= p_now)
        order by t.deadline limit case when p_singly then p_limit else least(50, p_limit) end loop
        v_run := perdure.lock_free_run(p_shard, v_due.run_id);
        continue when v_run.run_id is null;
        select * into v_activity from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_due.run_id
            and t.scheduled_event_id = v_due.scheduled_event_id and t.deadline <= p_now for update;
        continue when v_activity.run_id is null;
        v_lost := false;
        if v_activity.state = 'started' then
            select w.lease_until - w.lease, w.lease, w.in_contact_since into v_seen_at, v_lease, v_contact_since
            from perdure.workers w where w.worker_id = v_activity.worker;
            -- The worker is gone, and its work could not be taken back when it was found lost.
            v_lost := not found;
            if not v_lost and v_activity.paused_at is not null then
                -- A paused activity does not time out. It keeps a deadline by which upkeep finds it.
                update perdure.activity_tasks t set deadline = p_now + interval '1 hour'
                where t.shard = p_shard and t.run_id = v_activity.run_id
                    and t.scheduled_event_id = v_activity.scheduled_event_id;
                continue;
            end if;
            -- A worker that cannot reach the database cannot send a heartbeat either. The activity waits until the
            -- worker is found lost or, if the worker is in contact again, for one heartbeat timeout from then on.
            if not v_lost and p_now < v_activity.started_at + v_activity.start_to_close_timeout
                and (p_now < v_activity.scheduled_at + v_activity.schedule_to_close_timeout) is not false then
                v_next := case when v_seen_at < p_now - v_lease / 2
                    then p_now + least(v_activity.heartbeat_timeout, v_lease / 2)
                    when v_contact_since > coalesce(v_activity.heartbeat_at, v_activity.started_at)
                        then v_contact_since + v_activity.heartbeat_timeout end;
                if v_next > p_now then
                    update perdure.activity_tasks t set deadline = least(v_next,
                        t.started_at + t.start_to_close_timeout,
                        t.scheduled_at + t.schedule_to_close_timeout)
                    where t.shard = p_shard and t.run_id = v_activity.run_id
                        and t.scheduled_event_id = v_activity.scheduled_event_id;
                    continue;
                end if;
            end if;
        end if;
        if p_singly then
            begin
                v_what := perdure.time_out_activity(p_shard, v_run, v_activity, p_now, v_lost);
            exception
                when others then
                    if perdure.is_passing(sqlstate) then
                        raise;
                    end if;
                    v_what := 'set aside';
                    v_next := perdure.put_aside(p_shard, v_activity.run_id, 'activity', v_activity.scheduled_event_id,
                        sqlerrm, sqlstate, p_now);
                    update perdure.activity_tasks t set deadline = v_next
                    where t.shard = p_shard and t.run_id = v_activity.run_id
                        and t.scheduled_event_id = v_activity.scheduled_event_id;
            end;
        else
            v_what := perdure.time_out_activity(p_shard, v_run, v_activity, p_now, v_lost);
        end if;
        if v_what = 'retried' then
            retried := retried + 1;
        elsif v_what = 'timed_out' then
            timed_out := timed_out + 1;
        end if;
    end loop;
end
$$;
comment on function perdure.time_out_due_activities(smallint, timestamptz, int, timestamptz, boolean) is
    'Handles activities whose deadlines passed since p_since. With p_singly, an activity that raises an error is set '
    'aside.';

create or replace function perdure.time_out_due_workflow_tasks(
    p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz, p_singly boolean) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_count int := 0;
    v_due record;
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
    v_next timestamptz;
begin
    if not p_singly then
        v_count := perdure.end_sticky_waits(p_shard, p_now, p_limit, p_since);
        p_limit := least(50, p_limit - v_count);
    end if;
    for v_due in select t.run_id from perdure.workflow_tasks t
        where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_now order by t.deadline limit p_limit loop
        v_run := perdure.lock_free_run(p_shard, v_due.run_id);
        continue when v_run.run_id is null;
        select * into v_task from perdure.workflow_tasks t
        where t.shard = p_shard and t.run_id = v_due.run_id and t.deadline <= p_now for update;
        continue when v_task.run_id is null;
        if p_singly then
            begin
                perform perdure.time_out_workflow_task(p_shard, v_run, v_task, p_now,
                    'the workflow task was not completed in time');
                v_count := v_count + 1;
            exception
                when others then
                    if perdure.is_passing(sqlstate) then
                        raise;
                    end if;
                    v_next := perdure.put_aside(p_shard, v_task.run_id, 'workflow task', 0, sqlerrm, sqlstate, p_now);
                    update perdure.workflow_tasks t set deadline = v_next where t.shard = p_shard
                        and t.run_id = v_task.run_id;
            end;
        else
            perform perdure.time_out_workflow_task(p_shard, v_run, v_task, p_now,
                'the workflow task was not completed in time');
            v_count := v_count + 1;
        end if;
    end loop;
    return v_count;
end
$$;
comment on function perdure.time_out_due_workflow_tasks(smallint, timestamptz, int, timestamptz, boolean) is
    'Handles workflow tasks whose deadlines passed since p_since. With p_singly, a task that raises an error is set '
    'aside.';

create or replace function perdure.end_backoffs(p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz)
    returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
    set lock_timeout = '500ms'
as $$
declare
    v_retried int;
begin
    with c as materialized (
        select t.run_id, t.scheduled_event_id from perdure.activity_tasks t
        where t.shard = p_shard and t.deadline > p_since and t.deadline <= p_now and t.state = 'backoff'
          and (t.schedule_to_close_timeout is null or t.scheduled_at + t.schedule_to_close_timeout > p_now)
        order by t.deadline limit p_limit for update skip locked),
    u as (
        update perdure.activity_tasks t set state = 'scheduled',
            deadline = perdure.activity_deadline(t.schedule_to_close_timeout, t.schedule_to_start_timeout, null, null,
                t.scheduled_at, t.attempt_scheduled_at, null, null)
        from c where t.shard = p_shard and t.run_id = c.run_id and t.scheduled_event_id = c.scheduled_event_id
        returning t.namespace, t.task_queue),
    woken as (select perdure.wake(q.namespace, q.task_queue, 'activity')
        from (select distinct u.namespace, u.task_queue from u) q)
    select (select count(*) from u)::int into v_retried from (select count(*) from woken) w;
    return v_retried;
end
$$;
comment on function perdure.end_backoffs(smallint, timestamptz, int, timestamptz) is
    'Returns activities whose backoffs ended since p_since to their queues, in one statement, because that needs '
    'nothing of the run.';

create or replace function perdure.take_back(p_shard smallint, p_worker_id uuid, p_now timestamptz, p_limit int,
    p_singly boolean)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run_id uuid;
    v_is_all boolean := true;
    v_done int := 0;
    v_next timestamptz;
begin
    for v_run_id in select distinct h.run_id from perdure.tasks_of_worker(p_shard, p_worker_id) h order by 1 loop
        if v_done >= p_limit then
            return false;
        end if;
        v_done := v_done + 1;
        if p_singly then
            begin
                v_is_all := perdure.take_back_run(p_shard, v_run_id, p_worker_id, p_now) and v_is_all;
            exception
                when others then
                    if perdure.is_passing(sqlstate) then
                        raise;
                    end if;
                    -- The run's tasks are ended by their deadlines, which become the time of the next attempt.
                    v_next := perdure.put_aside(p_shard, v_run_id, 'lost worker', 0, sqlerrm, sqlstate, p_now);
                    update perdure.workflow_tasks t set deadline = v_next where t.shard = p_shard
                        and t.run_id = v_run_id;
                    update perdure.activity_tasks t set deadline = v_next
                    where t.shard = p_shard and t.run_id = v_run_id and t.worker = p_worker_id;
            end;
        else
            v_is_all := perdure.take_back_run(p_shard, v_run_id, p_worker_id, p_now) and v_is_all;
        end if;
    end loop;
    return v_is_all;
end
$$;
comment on function perdure.take_back(smallint, uuid, timestamptz, int, boolean) is
    'Returns what a lost worker held on a shard to the queues, for at most p_limit runs. Returns whether that was '
    'all: runs that another transaction has locked are left for the next time.';

create or replace function perdure.take_back_run(p_shard smallint, p_run_id uuid, p_worker_id uuid, p_now timestamptz)
    returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_task perdure.workflow_tasks;
    v_activity perdure.activity_tasks;
begin
    v_run := perdure.lock_free_run(p_shard, p_run_id);
    if v_run.run_id is null then
        return not exists (select from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id);
    end if;
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id
        and (t.worker = p_worker_id or t.sticky_worker = p_worker_id and t.state = 'scheduled') for update;
    if v_task.run_id is not null then
        perform perdure.time_out_workflow_task(p_shard, v_run, v_task, p_now,
            'the lease of the worker that ran the workflow task ran out');
    end if;
    for v_activity in select * from perdure.activity_tasks a where a.shard = p_shard and a.run_id = p_run_id
        and a.worker = p_worker_id
        order by a.scheduled_event_id for update loop
        select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id;
        -- The activity before has made the history too long, and the run has ended.
        exit when v_run.run_id is null;
        perform perdure.time_out_activity(p_shard, v_run, v_activity, p_now, true);
    end loop;
    return true;
end
$$;
comment on function perdure.take_back_run(smallint, uuid, uuid, timestamptz) is
    'Returns what a lost worker held of one run to the queues. Returns false, and changes nothing, if another '
    'transaction has locked the run.';

create or replace function perdure.take_back_lost(p_shard smallint, p_now timestamptz, p_singly boolean) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker perdure.workers;
    v_count int := 0;
begin
    -- SKIP LOCKED passes over a worker whose row a claim has locked: that worker is looked at next time.
    for v_worker in select * from perdure.workers w
        where case when w.lost_at is null then greatest(w.lease_until, w.grace_until) <= p_now
            else p_shard <> all (w.taken_back) end
        order by w.lease_until limit 10 for update skip locked loop
        if v_worker.lost_at is null then
            if v_worker.grace_until is null and not perdure.was_in_contact(v_worker, p_now) then
                -- Perhaps the database could not be reached. So the worker gets one more lease, in which it renews its
                -- lease if it lives.
                update perdure.workers w set grace_until = p_now + w.lease where w.worker_id = v_worker.worker_id;
                continue;
            end if;
            update perdure.workers w set lost_at = p_now where w.worker_id = v_worker.worker_id;
        end if;
        if perdure.take_back(p_shard, v_worker.worker_id, p_now, 200, p_singly) then
            v_count := v_count + 1;
            if cardinality(v_worker.taken_back) + 1 >= perdure.shard_count() then
                perform perdure.remove_worker(v_worker.worker_id, p_now, true);
            else
                update perdure.workers w set taken_back = w.taken_back || p_shard
                    where w.worker_id = v_worker.worker_id;
            end if;
        end if;
    end loop;
    return v_count;
end
$$;
comment on function perdure.take_back_lost(smallint, timestamptz, boolean) is
    'Finds workers that are lost, and takes their work on a shard back. Returns for how many workers all work was '
    'taken back.';

create or replace function perdure.do_due(p_shard smallint, p_now timestamptz, p_limit int, p_since timestamptz,
    p_singly boolean,
    p_timers boolean, p_activities boolean, p_workflow_tasks boolean, p_leases boolean,
    out fired_timers int, out timed_out_activities int, out retried_activities int, out timed_out_workflow_tasks int,
        out lost_workers int)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    fired_timers := 0;
    timed_out_activities := 0;
    retried_activities := 0;
    timed_out_workflow_tasks := 0;
    lost_workers := 0;
    if p_timers then
        fired_timers := perdure.fire_due_timers(p_shard, p_now, p_limit, p_since, p_singly);
    end if;
    if p_activities then
        select t.timed_out, t.retried into timed_out_activities, retried_activities
        from perdure.time_out_due_activities(p_shard, p_now, p_limit, p_since, p_singly) t;
    end if;
    if p_workflow_tasks then
        timed_out_workflow_tasks := perdure.time_out_due_workflow_tasks(p_shard, p_now, p_limit, p_since, p_singly);
    end if;
    if p_leases then
        lost_workers := perdure.take_back_lost(p_shard, p_now, p_singly);
    end if;
    -- end_backoffs comes last, because it locks activities without their runs, and a transaction that holds such a lock
    -- must not wait for another one.
    if p_activities then
        retried_activities := retried_activities + perdure.end_backoffs(p_shard, p_now, p_limit, p_since);
    end if;
end
$$;
comment on function perdure.do_due(smallint, timestamptz, int, timestamptz, boolean, boolean, boolean, boolean,
    boolean) is
    'Does what perdure.next_due has found to be due.';

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
    v_next record;
begin
    perform perdure.require_session();
    fired_timers := 0; timed_out_activities := 0; retried_activities := 0; timed_out_workflow_tasks := 0; lost_workers
        := 0; deleted_executions := 0;
    v_next := perdure.next_due(p_shard, v_since, v_until);
    if least(v_next.timer, v_next.activity, v_next.workflow_task, v_next.lease) <= v_now then
        begin
            select d.fired_timers, d.timed_out_activities, d.retried_activities, d.timed_out_workflow_tasks,
                d.lost_workers
            into fired_timers, timed_out_activities, retried_activities, timed_out_workflow_tasks, lost_workers
            from perdure.do_due(p_shard, v_now, p_limit, v_since, false, v_next.timer <= v_now,
                v_next.activity <= v_now,
                v_next.workflow_task <= v_now, v_next.lease <= v_now) d;
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                -- A member raised an error, so everything is done again one by one, and nothing else has to wait.
                select d.fired_timers, d.timed_out_activities, d.retried_activities, d.timed_out_workflow_tasks,
                    d.lost_workers
                into fired_timers, timed_out_activities, retried_activities, timed_out_workflow_tasks, lost_workers
                from perdure.do_due(p_shard, v_now, p_limit, v_since, true, v_next.timer <= v_now,
                    v_next.activity <= v_now,
                    v_next.workflow_task <= v_now, v_next.lease <= v_now) d;
        end;
        v_next := perdure.next_due(p_shard, v_since, v_until);
    end if;
    next_due_at := least(v_next.timer, v_next.activity, v_next.workflow_task, v_next.lease);
    return next;
end
$$;
comment on function perdure.upkeep(smallint, int, timestamptz) is
    'Does what is due, at most p_limit of each kind, and returns when the next thing is due. Call it again at once if '
    'that time has passed. With p_since it looks only at what came due since then or comes due within the next '
    'second: for a caller that has left nothing older. Work that raises an error is set aside '
    '(perdure.set_aside_work), tried again later, and keeps nothing else waiting. deleted_executions is always 0: '
    'perdure.delete_expired deletes.';

create or replace function perdure.delete_expired(p_shard smallint, p_limit int default 1000)
returns table (deleted_executions int, deleted_rows int, is_more boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
    set plan_cache_mode = force_generic_plan
as $$
declare
    v_now timestamptz := perdure.clock();
    v_limit int := least(greatest(coalesce(p_limit, 1000), 1), 100000);
    v_run record;
    v_rows int;
    v_first bigint;
begin
    perform perdure.require_session();
    deleted_executions := 0;
    deleted_rows := 0;
    is_more := false;
    if exists (select from perdure.namespaces n where n.deleted_at is not null) then
        is_more := perdure.end_runs_of_deleted_namespaces(p_shard, least(v_limit, 100)) > 0;
    end if;
    <<runs>>
    for v_run in select old.run_id, old.namespace, old.workflow_id, old.run_number from perdure.namespaces n
        cross join lateral (
            select e.run_id, e.namespace, e.workflow_id, e.run_number from perdure.executions e
            where e.shard = p_shard and e.namespace = n.namespace
              -- A retention of more than a thousand years counts as a thousand years, because a time minus a longer
              -- interval may be out of range. It is subtracted in seconds, because the length of a day in an interval
              -- depends on the time zone of the session.
              and e.close_time < v_now - make_interval(
                  secs => case when n.deleted_at is null
                      then least(extract(epoch from n.retention), 31557600000) else 0 end::double precision)
            order by e.close_time limit v_limit) old loop
        if deleted_rows >= v_limit then
            is_more := true;
            exit;
        end if;
        -- The runs of an id are deleted in the order of their numbers, whatever the clock said when they closed: the
        -- highest is the current run, and the next start counts on from it.
        continue when exists (
            select from perdure.executions e where e.shard = p_shard and e.workflow_id = v_run.workflow_id
                and e.namespace = v_run.namespace and e.run_number < v_run.run_number);
        perform from perdure.executions e where e.shard = p_shard and e.run_id = v_run.run_id for update skip locked;
        continue when not found;
        begin
            -- A history is deleted from its end on, and at most as many rows as are left of the limit: a long history
            -- takes several calls.
            select h.first_event_id into v_first from perdure.history h
            where h.shard = p_shard and h.run_id = v_run.run_id
            order by h.first_event_id desc offset v_limit - deleted_rows limit 1;
            delete from perdure.history h where h.shard = p_shard and h.run_id = v_run.run_id
                and h.first_event_id > coalesce(v_first, -1);
            get diagnostics v_rows = row_count;
            deleted_rows := deleted_rows + v_rows;
            if v_first is not null then
                is_more := true;
                exit runs;
            end if;
            delete from perdure.activity_attempts a
            where a.shard = p_shard and a.run_id = v_run.run_id and (a.scheduled_event_id, a.attempt) in (
                select t.scheduled_event_id, t.attempt from perdure.activity_attempts t where t.shard = p_shard
                    and t.run_id = v_run.run_id
                order by t.scheduled_event_id, t.attempt limit v_limit - deleted_rows + 1);
            get diagnostics v_rows = row_count;
            deleted_rows := deleted_rows + v_rows;
            if exists (select from perdure.activity_attempts a where a.shard = p_shard and a.run_id = v_run.run_id) then
                is_more := true;
                exit runs;
            end if;
            delete from perdure.repeated_calls c where c.shard = p_shard and c.run_id = v_run.run_id and c.place in (
                select t.place from perdure.repeated_calls t where t.shard = p_shard and t.run_id = v_run.run_id
                order by t.place limit v_limit - deleted_rows + 1);
            get diagnostics v_rows = row_count;
            deleted_rows := deleted_rows + v_rows;
            if exists (select from perdure.repeated_calls c where c.shard = p_shard and c.run_id = v_run.run_id) then
                is_more := true;
                exit runs;
            end if;
            -- A run has no more updates than its limit allows.
            delete from perdure.updates u where u.shard = p_shard and u.run_id = v_run.run_id;
            get diagnostics v_rows = row_count;
            deleted_rows := deleted_rows + v_rows;
            delete from perdure.executions e where e.shard = p_shard and e.run_id = v_run.run_id;
            deleted_rows := deleted_rows + 1;
            deleted_executions := deleted_executions + 1;
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                perform perdure.put_aside(p_shard, v_run.run_id, 'deletion', 0, sqlerrm, sqlstate, v_now);
        end;
    end loop;

    -- Updates that were rejected are no part of any history.
    delete from perdure.updates u where u.shard = p_shard and u.ctid in (
        select old.ctid from perdure.updates old where old.shard = p_shard and old.expires_at < v_now
        order by old.expires_at limit v_limit for update skip locked);
    delete from perdure.queries q where q.shard = p_shard and q.query_id in (
        select old.query_id from perdure.queries old where old.shard = p_shard
            and old.deadline < v_now - interval '1 minute'
        order by old.deadline limit v_limit for update skip locked);
    -- Deletes entries whose work has been done since, or whose run is gone.
    delete from perdure.set_aside s where s.shard = p_shard and s.ctid in (
        select old.ctid from perdure.set_aside old where old.shard = p_shard
          and old.next_at < v_now - case when old.kind in ('result', 'deletion') then interval '1 day'
              else interval '10 s' end
        limit v_limit for update skip locked);
    delete from perdure.batch_job_runs r where r.shard = p_shard and r.ctid in (
        select old.ctid from perdure.batch_jobs j
        join perdure.namespaces n on n.namespace = j.namespace
        join perdure.batch_job_runs old on old.job_id = j.job_id
        where old.shard = p_shard
          and case when n.deleted_at is null then j.closed_at else j.created_at end
              < v_now - make_interval(secs => case when n.deleted_at is null
                  then least(extract(epoch from n.retention), 31557600000) else 0 end::double precision)
        limit v_limit for update of old skip locked);
    get diagnostics v_rows = row_count;
    is_more := is_more or v_rows = v_limit;
    if p_shard = 0 then
        -- A job is deleted after its runs on each shard.
        delete from perdure.batch_jobs j using perdure.namespaces n
        where n.namespace = j.namespace
          and (n.deleted_at is not null or j.closed_at < v_now - make_interval(
              secs => least(extract(epoch from n.retention), 31557600000)::double precision))
          and not exists (
            select from generate_series(0, perdure.shard_count() - 1) s
            join perdure.batch_job_runs r on r.shard = s and r.job_id = j.job_id);
        delete from perdure.past_workers o where o.worker_id in (
            select old.worker_id from perdure.namespaces n
            cross join lateral (
                select p.worker_id from perdure.past_workers p
                where p.namespace = n.namespace and p.ended_at < v_now - make_interval(
                  secs => least(extract(epoch from n.retention), 31557600000)::double precision)
                order by p.ended_at limit v_limit for update skip locked) old);
        -- Deletes the counts of workers that are gone.
        delete from perdure.finished_tasks f where f.ctid in (
            select old.ctid from perdure.finished_tasks old where old.started_at < v_now - interval '15 minutes'
            limit v_limit for update skip locked);
        perform perdure.sample_queues(v_now);
    end if;
    return next;
end
$$;
comment on function perdure.delete_expired(smallint, int) is
    'Deletes what is no longer kept, about p_limit rows at most: closed runs that are older than the retention of '
    'their namespace, with their histories, and old queries and workers. Returns whether there is more. It is a call '
    'of its own, so that nothing that is due waits for it.';
