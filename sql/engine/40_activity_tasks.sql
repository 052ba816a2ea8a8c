-- Activity tasks: handed out, kept alive by heartbeats, finished, retried by policy.

create or replace function perdure.activity_deadline(
    p_schedule_to_close interval, p_schedule_to_start interval, p_start_to_close interval, p_heartbeat interval,
    p_scheduled_at timestamptz, p_attempt_scheduled_at timestamptz, p_started_at timestamptz,
        p_heartbeat_at timestamptz)
returns timestamptz
language sql stable parallel safe
return least(p_scheduled_at + p_schedule_to_close,
        case when p_started_at is null then p_attempt_scheduled_at + p_schedule_to_start end,
        p_started_at + p_start_to_close,
        case when p_started_at is not null then greatest(p_started_at, p_heartbeat_at) + p_heartbeat end);
comment on function perdure.activity_deadline(interval, interval, interval, interval, timestamptz, timestamptz,
    timestamptz, timestamptz) is
    'The earliest of an activity''s timeouts in its present state; null if none runs.';

drop function if exists perdure.claim_activity_tasks(smallint, uuid, text, int, timestamptz);
create or replace function perdure.claim_activity_tasks(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int, p_since timestamptz default null)
returns table (run_id uuid, scheduled_event_id bigint, workflow_id text, workflow_type text, activity_id text,
    activity_type text,
    input jsonb, attempt int, scheduled_at timestamptz, current_attempt_scheduled_at timestamptz,
        started_at timestamptz,
    deadline timestamptz, heartbeat_timeout interval, start_to_close_timeout interval,
        schedule_to_close_timeout interval,
    heartbeat_details jsonb, idempotency_key text, header jsonb, retry_policy jsonb, priority smallint,
    given_priority jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock_of_claim();
    v_since timestamptz := coalesce(p_since, '-infinity');
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_rows tid[];
begin
    perform perdure.require_session();
    -- As in claim_workflow_tasks_as_stored: tasks are found and locked through an index, each priority as a range of
    -- its own, and then changed by ctid.
    select array_agg(c.ctid) into v_rows from (
        select t.ctid from generate_series(1, 5) p (priority)
        cross join lateral (
            select t.ctid from perdure.activity_tasks t
            where t.shard = p_shard and t.namespace = v_worker.namespace and t.task_queue = p_task_queue
                and t.state = 'scheduled'
              and t.priority = p.priority::smallint and t.attempt_scheduled_at > v_since
            order by t.attempt_scheduled_at for update skip locked) t
        limit p_limit) c;
    if v_rows is null or not perdure.may_claim(p_worker_id) then
        return;
    end if;
    set local enable_indexscan = off;
    return query
    update perdure.activity_tasks t set state = 'started', worker = p_worker_id, started_at = v_now,
        last_worker_identity = v_worker.identity,
        heartbeat_at = null,
        deadline = perdure.activity_deadline(t.schedule_to_close_timeout, null, t.start_to_close_timeout,
            t.heartbeat_timeout,
            t.scheduled_at, t.attempt_scheduled_at, v_now, null)
    where t.shard = p_shard and t.ctid = any (v_rows)
    returning t.run_id, t.scheduled_event_id, t.workflow_id, t.workflow_type, t.activity_id, t.activity_type, t.input,
        t.attempt,
        t.scheduled_at, t.attempt_scheduled_at, t.started_at, t.deadline, t.heartbeat_timeout, t.start_to_close_timeout,
        t.schedule_to_close_timeout, t.heartbeat_details, coalesce(t.idempotency_key, t.run_id || ':' || t.activity_id),
        t.header, t.retry_policy,
            t.priority, t.given_priority;
end
$$;
comment on function perdure.claim_activity_tasks(smallint, uuid, text, int, timestamptz) is
    'Hands out up to p_limit activity tasks in priority and age order. With p_since only those whose attempt was '
    'scheduled since then: for a caller that has left no older ones.';

drop function if exists perdure.activity_started(perdure.activity_tasks);
create or replace function perdure.activity_started(p_task perdure.activity_tasks, p_build_id text default null)
returns jsonb
language sql stable
return perdure.event('ActivityTaskStarted', jsonb_build_object('scheduledEventId', p_task.scheduled_event_id,
        'identity', p_task.last_worker_identity, 'requestId', p_task.worker, 'attempt', p_task.attempt,
        'lastFailure', case when p_task.attempt > 1 then p_task.last_failure end)
        || perdure.worker_version(p_build_id), p_task.started_at);
comment on function perdure.activity_started(perdure.activity_tasks, text) is
    'The event ActivityTaskStarted of the last attempt, which is written when the activity ends. As in Temporal it '
    'tells the build of the worker that ended the attempt, but none if it was canceled or timed out.';

drop function if exists perdure.fail_activity(
    smallint, perdure.run_states, perdure.activity_tasks, timestamptz, jsonb, text);
create or replace function perdure.fail_activity(
    p_shard smallint, p_run perdure.run_states, p_task perdure.activity_tasks, p_now timestamptz, p_failure jsonb,
    p_timeout_type text default null, p_build_id text default null)
returns text
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text := 'InProgress';
    v_policy jsonb := coalesce(p_task.retry_policy, perdure.retry_policy(null));
    v_wait interval;
    -- The type by which a retry policy names a time-out is Temporal's.
    v_type text := coalesce('TemporalTimeout:' || p_timeout_type, p_failure #>> '{applicationFailureInfo,type}');
    v_events jsonb[] := array[]::jsonb[];
    v_failure jsonb;
    v_cause text;
    v_build text;
begin
    if p_task.reset is not null then
        -- As in Temporal the attempt that ran counts as the first one.
        p_task := perdure.first_attempt_again(p_task, p_task.attempt_scheduled_at);
        if p_task.reset = 'heartbeat' then
            p_task.heartbeat_at := null;
            p_task.heartbeat_details := null;
        end if;
    end if;
    v_wait := perdure.retry_wait(v_policy, p_task.attempt);
    -- A failure may name the delay of the next attempt itself.
    v_wait := coalesce(perdure.duration(p_failure #> '{applicationFailureInfo,nextRetryDelay}', 'nextRetryDelay'),
        v_wait);
    if p_timeout_type in ('ScheduleToStart', 'ScheduleToClose') then
        v_state := 'Timeout';
    elsif p_task.cancel_requested then
        v_state := 'CancelRequested';
    elsif perdure.is_final_failure(p_failure, v_policy, v_type) then
        v_state := 'NonRetryableFailure';
    elsif p_task.paused_at is not null then
        -- A paused activity waits until it is unpaused, however many attempts it has had and however little time is
        -- left.
        v_state := 'InProgress';
    elsif p_task.attempt >= coalesce((v_policy ->> 'maximumAttempts')::int, 2147483647) then
        v_state := 'MaximumAttemptsReached';
    elsif p_now + v_wait > p_task.scheduled_at + p_task.schedule_to_close_timeout then
        v_state := 'Timeout';
    end if;

    if v_state = 'InProgress' then
        -- As in Temporal, a time-out holds the failure before it only when it ends the activity.
        v_failure := perdure.cut_failure(case when p_timeout_type is null then p_failure else p_failure - 'cause' end
            #- '{timeoutFailureInfo,lastHeartbeatDetails}',
            perdure.maximum('last failure'), perdure.maximum('last failure'));
        -- The history will show only the last attempt, so this one is recorded here. The worker was lost if its lease
        -- is over.
        insert into perdure.activity_attempts (shard, run_id, scheduled_event_id, attempt, scheduled_at, started_at,
            ended_at, worker_identity,
            worker_lost, failure)
        values (p_shard, p_task.run_id, p_task.scheduled_event_id, p_task.attempt, p_task.attempt_scheduled_at,
            p_task.started_at, p_now,
            coalesce(p_task.last_worker_identity, ''),
            not exists (select from perdure.workers w where w.worker_id = p_task.worker and w.lease_until > p_now),
                v_failure);
        if p_task.attempt > 100 then
            delete from perdure.activity_attempts t
            where t.shard = p_shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id
                and t.attempt = p_task.attempt - 100;
        end if;
        v_cause := p_task.activity_type || ': ' || perdure.failure_cause(v_failure);
        v_build := (select nullif(w.build_id, '') from perdure.workers w where w.worker_id = p_task.worker);
        update perdure.activity_tasks t set
            state = case when t.paused_at is not null then 'paused' when v_wait > interval '0' then 'backoff'
                else 'scheduled' end,
            attempt = p_task.attempt + 1, worker = null, started_at = null, last_failure = v_failure,
            attempt_ended_at = p_now, reset = null, heartbeat_at = p_task.heartbeat_at,
            heartbeat_details = p_task.heartbeat_details,
            failure_cause = v_cause,
            failing_since = case when t.failure_cause = v_cause then t.failing_since else p_now end,
            failing_build = case when t.failure_cause = v_cause then t.failing_build else v_build end,
            attempt_scheduled_at = p_now + v_wait, deadline = case when t.paused_at is null then least(p_now + v_wait,
                t.scheduled_at + t.schedule_to_close_timeout) end
        where t.shard = p_shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id;
        return 'retrying';
    end if;

    delete from perdure.activity_tasks t
    where t.shard = p_shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id;
    -- As Temporal reports it: the activity ends because there was no time left for another attempt.
    if v_state = 'Timeout' and p_timeout_type <> 'ScheduleToStart' then
        p_failure := jsonb_set(p_failure || jsonb_build_object('message',
            'Not enough time to schedule next retry before '
            'activity ScheduleToClose timeout, giving up retrying'), '{timeoutFailureInfo,timeoutType}',
                '"ScheduleToClose"');
    end if;
    -- A task that waited has no ActivityTaskStarted to write. If it timed out after failed attempts, its failure has
    -- the last of theirs as its cause.
    if p_task.state = 'started' then
        v_events := array[perdure.activity_started(p_task, p_build_id)];
    end if;
    perform perdure.record_events(p_shard, p_run, p_now, v_events || case
        when p_timeout_type is null then perdure.event('ActivityTaskFailed',
            jsonb_build_object('failure', perdure.fit_failure(p_failure),
            'scheduledEventId', p_task.scheduled_event_id, 'startedEventId', case when p_task.state <> 'started'
                then 0 end,
            'identity', p_task.last_worker_identity, 'retryState', v_state))
        else perdure.event('ActivityTaskTimedOut', jsonb_build_object('failure', perdure.fit_failure(p_failure),
            'scheduledEventId', p_task.scheduled_event_id, 'startedEventId', case when p_task.state <> 'started'
                then 0 end,
            'retryState', v_state)) end);
    return 'failed';
end
$$;
comment on function perdure.fail_activity(smallint, perdure.run_states, perdure.activity_tasks, timestamptz, jsonb,
    text, text) is
    'Handles an attempt that failed or timed out: queues the next attempt by the retry policy, or ends the activity. '
    'Returns retrying or failed.';

create or replace function perdure.complete_many_activities(p_shard smallint, p_worker perdure.workers,
    p_now timestamptz, p_results jsonb)
returns table (run_id uuid, scheduled_event_id bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_run_ids uuid[];
    v_event_ids bigint[];
    v_runs tid[];
    v_activities tid[];
    v_is_left boolean[];
    v_count bigint;
    v_sticky_timeout interval := (select (s.value #>> '{}')::interval from perdure.settings s
        where s.name = 'sticky_timeout');
begin
    -- As in complete_many, all rows are found by key and the runs are locked, and then the rows are changed by ctid.
    select array_agg(f.run_id), array_agg(f.scheduled_event_id), array_agg(f.run_row)
    into v_run_ids, v_event_ids, v_runs
    from (
        select i.run_id, i.scheduled_event_id, r.ctid as run_row
        from (
            select c.run_id, c.scheduled_event_id, c.ordinality
            from rows from (jsonb_to_recordset(p_results) as ("runId" uuid, "scheduledEventId" bigint)) with ordinality
                as c (run_id, scheduled_event_id, ordinality)
            order by c.run_id offset 0) i
        left join lateral (select r.ctid from perdure.run_states r where r.shard = p_shard
            and r.run_id = i.run_id for update) r on true
        order by i.ordinality) f;
    v_count := (select count(distinct r) from unnest(v_run_ids) r);
    -- A new statement sees the tasks that others wrote before the runs were locked.
    select array_agg(f.activity_row), array_agg(f.is_left) into v_activities, v_is_left
    from (
        select a.ctid as activity_row,
            exists (select from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = i.run_id) as is_left
        from unnest(v_run_ids, v_event_ids) with ordinality i (run_id, scheduled_event_id, ordinality)
        left join lateral (select a.ctid from perdure.activity_tasks a
            where a.shard = p_shard and a.run_id = i.run_id and a.scheduled_event_id = i.scheduled_event_id limit 1) a
                on true
        order by i.ordinality) f;
    if v_count < cardinality(v_runs) then
        select array_agg(f.is_left order by f.ordinality) into v_is_left from (
            select i.is_left or count(*) over (partition by i.run_id) > 1 as is_left, i.ordinality
            from unnest(v_run_ids, v_is_left) with ordinality i (run_id, is_left, ordinality)) f;
    end if;
    set local enable_indexscan = off;
    return query
    with item as materialized (
        select i.run_id, i.scheduled_event_id, i.attempt, i.result, i.build_id, i.run_row, i.activity_row
        from rows from (
            jsonb_to_recordset(p_results) as (attempt int, outcome text, result jsonb, "buildId" text),
            unnest(v_run_ids), unnest(v_event_ids), unnest(v_runs), unnest(v_activities), unnest(v_is_left))
            as i (attempt, outcome, result, build_id, run_id, scheduled_event_id, run_row, activity_row, is_left)
        -- If the run has a workflow task, the event is buffered, or joins the queued task, by the general rules. They
        -- also take all results of a run that has several in this call.
        where i.outcome = 'completed' and perdure.is_usual_payloads(i.result) and not i.is_left
          and octet_length(i.build_id) <= perdure.maximum('build id') is not false),
    -- Runs that have no workflow task and may begin one.
    quiet as materialized (
        select item.*, r.next_event_id as first_event_id, r.history_bytes, r.namespace, r.task_queue, r.priority,
            r.workflow_task_timeout,
            w.worker_id as sticky_worker
        from item
        cross join lateral (select * from perdure.run_states r where r.shard = p_shard
            and r.ctid = item.run_row limit 1) r
        left join perdure.workers w on w.worker_id = r.sticky_worker and w.lease_until > p_now
        where r.run_id = item.run_id and not r.start_delayed
          and r.next_event_id <= r.max_history_events + 1 and r.history_bytes <= perdure.maximum('history bytes')),
    ended as (
        delete from perdure.activity_tasks t using quiet q
        where t.shard = p_shard and t.ctid = q.activity_row and t.run_id = q.run_id
            and t.scheduled_event_id = q.scheduled_event_id
          and t.state = 'started' and t.worker = p_worker.worker_id and t.attempt = q.attempt
        returning q.*, t.started_at, t.last_failure),
    batch as materialized (
        select e.run_id, e.run_row, e.scheduled_event_id, e.first_event_id, e.namespace, e.task_queue, e.priority,
            e.workflow_task_timeout, e.sticky_worker, e.build_id,
            perdure.stored_activity_end(e.first_event_id, e.scheduled_event_id, e.attempt, e.started_at, e.last_failure,
                e.result)
                || perdure.stored_workflow_task_scheduled(e.workflow_task_timeout) as events
        from ended e),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        select p_shard, b.run_id, b.first_event_id, p_now, p_worker.worker_id, p_worker.identity,
            nullif(coalesce(b.build_id, p_worker.build_id), ''), b.events from batch b),
    kept as (
        update perdure.run_states r set next_event_id = b.first_event_id + 3,
            history_bytes = r.history_bytes + pg_column_size(b.events)
        from batch b where r.shard = p_shard and r.ctid = b.run_row),
    queued as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at,
            scheduled_event_id, sticky_worker, deadline,
            start_to_close_timeout)
        select p_shard, b.run_id, b.namespace, b.task_queue, b.priority, p_now, b.first_event_id + 2, b.sticky_worker,
            case when b.sticky_worker is not null then p_now + v_sticky_timeout end, b.workflow_task_timeout
        from batch b),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'workflow')
            from (select distinct b.namespace, b.task_queue from batch b) q)
    select b.run_id, b.scheduled_event_id from batch b, (select count(*) from woken) w;
end
$$;
comment on function perdure.complete_many_activities(smallint, perdure.workers, timestamptz, jsonb) is
    'The fast path of finish_activity_tasks: takes results of activities whose runs have no workflow task. Returns '
    'those that it took; leaves the others alone.';

create or replace function perdure.complete_activity(p_shard smallint, p_worker_id uuid, p_identity text,
    p_build_id text, p_now timestamptz, p_item jsonb)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run_id uuid := (p_item ->> 'runId')::uuid;
    v_event_id bigint := (p_item ->> 'scheduledEventId')::bigint;
    v_attempt int := (p_item ->> 'attempt')::int;
    v_first_event_id bigint;
    v_namespace text;
    v_task_queue text;
    v_priority smallint;
    v_task_timeout interval;
    v_sticky_worker uuid;
    v_is_delayed boolean;
    v_events jsonb[];
    v_started_at timestamptz;
    v_last_failure jsonb;
begin
    if perdure.is_usual_payloads(p_item -> 'result') is not true then
        return false;
    end if;
    select r.next_event_id, r.namespace, r.task_queue, r.priority, r.workflow_task_timeout, r.sticky_worker,
        r.start_delayed or r.next_event_id > r.max_history_events + 1
            or r.history_bytes > perdure.maximum('history bytes')
    into v_first_event_id, v_namespace, v_task_queue, v_priority, v_task_timeout, v_sticky_worker, v_is_delayed
    from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id for update;
    -- If the run has a workflow task, the event is buffered, or joins the queued task, by the general rules.
    if v_is_delayed is not false or exists (select from perdure.workflow_tasks t where t.shard = p_shard
        and t.run_id = v_run_id) then
        return false;
    end if;
    delete from perdure.activity_tasks t
    where t.shard = p_shard and t.run_id = v_run_id and t.scheduled_event_id = v_event_id
      and t.state = 'started' and t.worker = p_worker_id and t.attempt = v_attempt
    returning t.started_at, t.last_failure into v_started_at, v_last_failure;
    if not found then
        return false;
    end if;
    v_events := perdure.stored_activity_end(v_first_event_id, v_event_id, v_attempt, v_started_at, v_last_failure,
        p_item -> 'result')
        || perdure.stored_workflow_task_scheduled(v_task_timeout);
    return perdure.write_news(p_shard, v_run_id, p_now, v_first_event_id, v_events, pg_column_size(v_events),
        v_namespace, v_task_queue, v_priority,
        v_task_timeout, v_sticky_worker, p_worker_id, p_identity, p_build_id);
end
$$;
comment on function perdure.complete_activity(smallint, uuid, text, text, timestamptz, jsonb) is
    'Takes the result of one activity whose run has no workflow task, as complete_many_activities takes many. Returns '
    'false, and changes nothing, if the general rules must take it.';

create or replace function perdure.finish_set(p_shard smallint, p_worker_id uuid, p_results jsonb)
returns table (run_id uuid, scheduled_event_id bigint, outcome text)
language plpgsql volatile set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_is_many boolean;
    v_is_general boolean := perdure.is_general();
    v_done uuid[] := array[]::uuid[];
    v_items jsonb[];
    v_item jsonb;
    v_run perdure.run_states;
    v_task perdure.activity_tasks;
    v_failure jsonb;
    v_outcome text;
    v_build_id text;
begin
    perform perdure.check_array(p_results, 'results');
    v_is_many := jsonb_array_length(p_results) >= perdure.many();
    if v_is_many and not v_is_general then
        outcome := 'completed';
        for run_id, scheduled_event_id in select * from perdure.complete_many_activities(p_shard, v_worker, v_now,
            p_results) loop
            -- complete_many_activities takes at most one result of a run.
            v_done := v_done || run_id;
            return next;
        end loop;
        if cardinality(v_done) = jsonb_array_length(p_results) then
            return;
        end if;
    end if;
    select array_agg(f.value order by (f.value ->> 'runId')::uuid, (f.value ->> 'scheduledEventId')::bigint)
        into v_items
    from jsonb_array_elements(p_results) f where (f.value ->> 'runId')::uuid <> all (v_done);
    foreach v_item in array coalesce(v_items, '{}') loop
        run_id := (v_item ->> 'runId')::uuid;
        scheduled_event_id := (v_item ->> 'scheduledEventId')::bigint;
        v_outcome := v_item ->> 'outcome';
        v_build_id := nullif(v_worker.build_id, '');
        if v_item ? 'buildId' then
            perform perdure.check_text(v_item ->> 'buildId', 'build id', perdure.maximum('build id'));
            v_build_id := nullif(v_item ->> 'buildId', '');
        end if;
        if not v_is_many and not v_is_general and v_outcome = 'completed' then
            if perdure.complete_activity(p_shard, p_worker_id, v_worker.identity, v_build_id, v_now, v_item) then
                outcome := 'completed';
                return next;
                continue;
            end if;
        end if;
        select * into v_run from perdure.run_states r where r.shard = p_shard
            and r.run_id = (v_item ->> 'runId')::uuid for update;
        select * into v_task from perdure.activity_tasks t where t.shard = p_shard
            and t.run_id = (v_item ->> 'runId')::uuid
            and t.scheduled_event_id = (v_item ->> 'scheduledEventId')::bigint for update;
        if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker_id
            or v_task.attempt <> (v_item ->> 'attempt')::int then
            outcome := 'lost';
            return next;
            continue;
        end if;
        v_failure := v_item -> 'failure';
        if v_outcome = 'completed' then
            if perdure.refused_payloads(v_item -> 'result', 'activity result') is not null then
                v_outcome := 'failed';
                v_failure := perdure.refused_payloads(v_item -> 'result', 'result of activity ' || v_task.activity_id);
            end if;
        elsif v_outcome = 'canceled' and not v_task.cancel_requested then
            v_outcome := 'failed';
            v_failure := coalesce(v_failure, jsonb_build_object('message',
                'the activity said that it was canceled, but nobody had asked for it',
                'source', 'Perdure', 'applicationFailureInfo', jsonb_build_object('type', 'CanceledError')));
        elsif v_outcome not in ('failed', 'canceled') or v_outcome is null then
            raise exception 'unknown outcome %', coalesce(quote_literal(v_outcome), 'null') using errcode = 'PD003',
                hint = 'It is completed, failed or canceled.';
        end if;
        case v_outcome
        when 'completed' then
            delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_task.run_id
                and t.scheduled_event_id = v_task.scheduled_event_id;
            perform perdure.record_events(p_shard, v_run, v_now, array[perdure.activity_started(v_task, v_build_id),
                perdure.event('ActivityTaskCompleted', jsonb_build_object('result', v_item -> 'result',
                    'scheduledEventId', v_task.scheduled_event_id, 'identity', v_task.last_worker_identity))]);
            outcome := 'completed';
        when 'canceled' then
            delete from perdure.activity_tasks t where t.shard = p_shard and t.run_id = v_task.run_id
                and t.scheduled_event_id = v_task.scheduled_event_id;
            perform perdure.record_events(p_shard, v_run, v_now, array[perdure.activity_started(v_task),
                perdure.event('ActivityTaskCanceled', jsonb_build_object(
                    'details', case when perdure.refused_payloads(v_item -> 'details', 'details') is null
                        then v_item -> 'details' end, 'latestCancelRequestedEventId', v_task.cancel_requested_event_id,
                    'scheduledEventId', v_task.scheduled_event_id, 'identity', v_task.last_worker_identity))]);
            outcome := 'canceled';
        when 'failed' then
            outcome := perdure.fail_activity(p_shard, v_run, v_task, v_now,
                coalesce(v_failure, '{"message": "the activity failed and gave no failure"}'), null, v_build_id);
        end case;
        return next;
    end loop;
end
$$;
comment on function perdure.finish_set(smallint, uuid, jsonb) is
    'Takes the ends of activity attempts as long as no member of the set raises an error; see finish_activity_tasks.';

create or replace function perdure.finish_activity_tasks(p_shard smallint, p_worker_id uuid, p_results jsonb)
returns table (run_id uuid, scheduled_event_id bigint, outcome text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_item jsonb;
begin
    perform perdure.check_array(p_results, 'results');
    if jsonb_array_length(p_results) = 1 then
        -- A single result cannot stop others, so the caller gets its error.
        return query select * from perdure.finish_set(p_shard, p_worker_id, p_results);
        return;
    end if;
    begin
        return query select * from perdure.finish_set(p_shard, p_worker_id, p_results);
        return;
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
    end;
    -- A result raised an error, so each is taken by itself, in the order of their runs. A result that cannot be taken
    -- is left to the timeouts of its activity: it may be a success.
    for v_item in select r.value from jsonb_array_elements(p_results) r
        order by lower(r.value ->> 'runId') collate "C" loop
        begin
            return query select * from perdure.finish_set(p_shard, p_worker_id, jsonb_build_array(v_item));
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                run_id := case when perdure.is_uuid(v_item ->> 'runId') then (v_item ->> 'runId')::uuid end;
                scheduled_event_id := case when perdure.is_event_id(v_item -> 'scheduledEventId')
                    then (v_item ->> 'scheduledEventId')::bigint end;
                outcome := 'refused';
                -- A result that names no activity of this worker is not set aside.
                perform perdure.put_aside(p_shard, a.run_id, 'result', a.scheduled_event_id, sqlerrm, sqlstate,
                    perdure.clock())
                from perdure.activity_tasks a
                where a.shard = p_shard and a.worker = p_worker_id
                  and a.run_id = case when perdure.is_uuid(v_item ->> 'runId') then (v_item ->> 'runId')::uuid end
                  and a.scheduled_event_id = case when perdure.is_event_id(v_item -> 'scheduledEventId')
                    then (v_item ->> 'scheduledEventId')::bigint end;
                return next;
        end;
    end loop;
end
$$;
comment on function perdure.finish_activity_tasks(smallint, uuid, jsonb) is
    'Takes the ends of activity attempts and answers for each: completed, failed, retrying, canceled, lost (another '
    'attempt holds the activity) or refused (the member is no result, or could not be written: the attempt is left as '
    'it is, and perdure.set_aside_work says why).';

create or replace function perdure.refuse_heartbeat(
    p_shard smallint, p_worker perdure.workers, p_now timestamptz, p_beat jsonb, p_message text) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
    v_task perdure.activity_tasks;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard
        and r.run_id = (p_beat ->> 'runId')::uuid for update;
    select * into v_task from perdure.activity_tasks t where t.shard = p_shard and t.run_id = (p_beat ->> 'runId')::uuid
        and t.scheduled_event_id = (p_beat ->> 'scheduledEventId')::bigint for update;
    if v_run.run_id is null or v_task.state is distinct from 'started' or v_task.worker <> p_worker.worker_id
        or v_task.attempt <> (p_beat ->> 'attempt')::int then
        return false;
    end if;
    perform perdure.fail_activity(p_shard, v_run, v_task, p_now,
        jsonb_build_object('message', p_message, 'source', 'Perdure',
        'serverFailureInfo', jsonb_build_object('nonRetryable', true)));
    return true;
end
$$;
comment on function perdure.refuse_heartbeat(smallint, perdure.workers, timestamptz, jsonb, text) is
    'Fails the activity whose heartbeat cannot be stored, as in Temporal. Returns false if the attempt is not the '
    'worker''s any more.';

drop function if exists perdure.heartbeat_activity_tasks(smallint, uuid, jsonb);
create or replace function perdure.heartbeat_activity_tasks(p_shard smallint, p_worker_id uuid, p_heartbeats jsonb)
returns table (run_id uuid, scheduled_event_id bigint, cancel_requested boolean, lost boolean, kept boolean,
    paused boolean, reset boolean)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = 0
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
    v_beats jsonb := p_heartbeats;
    v_item jsonb;
begin
    perform perdure.check_array(p_heartbeats, 'heartbeats');
    begin
        perform (b.value ->> 'runId')::uuid, (b.value ->> 'scheduledEventId')::bigint, (b.value ->> 'attempt')::int,
            perdure.check_payloads(b.value -> 'details', 'heartbeat details') from jsonb_array_elements(p_heartbeats) b;
    exception
        when sqlstate 'PD003' or sqlstate 'PD004' or data_exception or program_limit_exceeded then
            v_beats := '[]';
            -- Heartbeats that cannot be stored are handled before the others, because they lock runs, and a transaction
            -- that has locked an activity must not wait for a run.
            for v_item in select b.value from jsonb_array_elements(p_heartbeats) b
                order by lower(b.value ->> 'runId') collate "C" loop
                if not perdure.is_uuid(v_item ->> 'runId') or not perdure.is_event_id(v_item -> 'scheduledEventId')
                    or not perdure.is_attempt(v_item -> 'attempt') then
                    run_id := null; scheduled_event_id := null; cancel_requested := false; lost := true; kept := false;
                    paused := false; reset := false;
                    return next;
                    continue;
                end if;
                begin
                    perform perdure.check_payloads(v_item -> 'details', 'heartbeat details');
                    v_beats := v_beats || v_item;
                exception
                    when sqlstate 'PD003' or sqlstate 'PD004' or data_exception or program_limit_exceeded then
                        run_id := (v_item ->> 'runId')::uuid;
                        scheduled_event_id := (v_item ->> 'scheduledEventId')::bigint;
                        cancel_requested := perdure.refuse_heartbeat(p_shard, v_worker, v_now, v_item, sqlerrm);
                        lost := true;
                        kept := false;
                        paused := false;
                        reset := false;
                        return next;
                end;
            end loop;
    end;
    perform set_config('lock_timeout', '500ms', true);
    return query
    with beat as (
        select (b.value ->> 'runId')::uuid as run_id, (b.value ->> 'scheduledEventId')::bigint as scheduled_event_id,
            (b.value ->> 'attempt')::int as attempt, b.value -> 'details' as details
        from jsonb_array_elements(v_beats) b),
    -- SKIP LOCKED, because a transaction that has locked one of these activities could be waiting for another of them.
    mine as materialized (
        select t.run_id, t.scheduled_event_id, beat.details from perdure.activity_tasks t
        join beat on t.run_id = beat.run_id and t.scheduled_event_id = beat.scheduled_event_id
            and t.attempt = beat.attempt
        where t.shard = p_shard and t.worker = p_worker_id and t.state = 'started'
        order by t.run_id, t.scheduled_event_id for update of t skip locked),
    updated as (
        update perdure.activity_tasks t set heartbeat_at = v_now,
            heartbeat_details = coalesce(mine.details, t.heartbeat_details),
            deadline = case when t.paused_at is null
                then perdure.activity_deadline(t.schedule_to_close_timeout, null, t.start_to_close_timeout,
                    t.heartbeat_timeout, t.scheduled_at, t.attempt_scheduled_at, t.started_at, v_now)
                else t.deadline end
        from mine where t.shard = p_shard and t.run_id = mine.run_id and t.scheduled_event_id = mine.scheduled_event_id
        returning t.run_id, t.scheduled_event_id, t.cancel_requested, t.paused_at is not null as paused,
            t.reset is not null as reset)
    select beat.run_id, beat.scheduled_event_id, coalesce(u.cancel_requested, h.cancel_requested, false),
        u.run_id is null and h.run_id is null, u.run_id is not null,
        coalesce(u.paused, h.paused_at is not null), coalesce(u.reset, h.reset is not null)
    from beat
    left join updated u on u.run_id = beat.run_id and u.scheduled_event_id = beat.scheduled_event_id
    left join perdure.activity_tasks h on h.shard = p_shard and h.run_id = beat.run_id
        and h.scheduled_event_id = beat.scheduled_event_id
        and h.attempt = beat.attempt and h.worker = p_worker_id and h.state = 'started';
end
$$;
comment on function perdure.heartbeat_activity_tasks(smallint, uuid, jsonb) is
    'Keeps running activities alive, stores their details, and tells which were asked to cancel, which are lost, and '
    'which were paused or reset. A heartbeat that is neither kept nor lost must be sent again: another transaction '
    'had locked the activity. A heartbeat that cannot be stored fails its activity.';
