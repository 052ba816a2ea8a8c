-- Writes what happens to a run into its history.
--
-- Locks are taken in one order everywhere: the current run of a workflow id, then run_states (several runs in order of
-- run_id), then the workflow_tasks, activity_tasks and timers of each run. A function that changes anything of a run
-- first locks its run_states row.
--
-- Claims, heartbeats and the ends of backoffs lock tasks without locking their run, so they use SKIP LOCKED and do not
-- wait. Upkeep takes runs with SKIP LOCKED, too, because due rows come in the order of time: a run that another
-- transaction holds is handled next time. A worker's row is locked with SKIP LOCKED, or as the very first lock by the
-- worker's own calls that register it, renew its lease or stop it, so no transaction waits for a worker's row whose
-- holder waits for another lock. Retention takes closed runs with SKIP LOCKED, and a function that deletes a history
-- has locked the executions row. So transactions do not wait for each other in a cycle.
--
-- SKIP LOCKED alone does not guarantee that. If the transaction that has updated a row ends just when the row is looked
-- at, PostgreSQL locks the newer version of the row, too, and waits for a transaction that has locked that version, in
-- spite of SKIP LOCKED (heap_lock_updated_tuple). So functions that take rows in any order have a lock_timeout of 500
-- ms: they give up before PostgreSQL looks for a deadlock, which it does after a second, and the call is repeated
-- (docs/decisions/0024-skip-locked-can-wait.md).
--
-- A claim reads the history in a second statement. A transaction that appended an event before the claim held the task
-- row, so the claim sees that event; a later transaction finds the task started and buffers its event. A claim also
-- holds its worker's row FOR KEY SHARE until it commits, and the transaction that takes back a lost worker's work holds
-- that row FOR UPDATE, so no task is started for a worker after its work has been taken back. A completion that starts
-- activities needs no such lock: it has locked a run in which the worker has a task, and that run is taken back under
-- the same lock.

create or replace function perdure.bytes_of(p_events jsonb[]) returns bigint
language sql stable parallel safe
return octet_length(json_send(array_to_json(p_events)));
comment on function perdure.bytes_of(jsonb[]) is 'How many bytes events have when they are sent.';

create or replace function perdure.history_excess(p_run perdure.run_states) returns text
language sql stable parallel safe
return case when p_run.next_event_id > p_run.max_history_events + 1 then 'Workflow history count exceeds limit.'
    when p_run.history_bytes > perdure.maximum('history bytes') then 'Workflow history size exceeds limit.' end;
comment on function perdure.history_excess(perdure.run_states) is
    'Why a run must end, in Temporal''s words: its history has more events than its namespace allows, or more than 50 '
    'MiB; null when it may go on.';

create or replace function perdure.end_excess(p_shard smallint, p_run perdure.run_states, p_now timestamptz,
    p_events jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- The new events are kept, because their senders were told that they were taken.
    select b.buffered_count, b.buffered_bytes into p_run.buffered_count, p_run.buffered_bytes
    from perdure.buffer_events(p_shard, p_run.run_id, p_events) b;
    perform perdure.end_run(p_shard, p_run, p_now, 'Terminated', perdure.event('WorkflowExecutionTerminated',
        jsonb_build_object('reason', perdure.history_excess(p_run), 'identity', 'Perdure')));
end
$$;
comment on function perdure.end_excess(smallint, perdure.run_states, timestamptz, jsonb[]) is
    'Ends a run whose history is too long or too large, after writing the events that have just come.';

create or replace function perdure.number_events(p_first_event_id bigint, p_events jsonb[]) returns jsonb[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_started jsonb := '{}'::jsonb;
    v_children jsonb := '{}'::jsonb;
    v_key text;
begin
    -- An activity's end names its ActivityTaskStarted, whose id is known only when the batch is written.
    for i in 1 .. cardinality(p_events) loop
        if p_events[i] ->> 'eventType' = 'ActivityTaskStarted' then
            v_started := v_started || jsonb_build_object(p_events[i] #>> '{attributes,scheduledEventId}',
                p_first_event_id + i - 1);
        elsif p_events[i] ->> 'eventType' in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut',
            'ActivityTaskCanceled') then
            v_key := p_events[i] #>> '{attributes,scheduledEventId}';
            if v_started ? v_key then
                p_events[i] := jsonb_set(p_events[i], '{attributes,startedEventId}', v_started -> v_key);
            end if;
        elsif p_events[i] ->> 'eventType' = 'ChildWorkflowExecutionStarted' then
            v_children := v_children || jsonb_build_object(p_events[i] #>> '{attributes,initiatedEventId}',
                p_first_event_id + i - 1);
        elsif p_events[i] ->> 'eventType' like 'ChildWorkflowExecution%' then
            v_key := p_events[i] #>> '{attributes,initiatedEventId}';
            if v_children ? v_key then
                p_events[i] := jsonb_set(p_events[i], '{attributes,startedEventId}', v_children -> v_key);
            end if;
        end if;
    end loop;
    return p_events;
end
$$;
comment on function perdure.number_events(bigint, jsonb[]) is
    'Sets startedEventId in the ends of activities and of children to the id of their ActivityTaskStarted or '
    'ChildWorkflowExecutionStarted in the same batch.';

create or replace function perdure.in_flush_order(p_events jsonb[]) returns jsonb[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(array_agg(e order by
        (e ->> 'eventType' in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut',
            'ActivityTaskCanceled', 'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed',
            'ChildWorkflowExecutionCanceled', 'ChildWorkflowExecutionTimedOut', 'ChildWorkflowExecutionTerminated')),
        n), '{}')
    from unnest(p_events) with ordinality as buffered (e, n));
end
$$;
comment on function perdure.in_flush_order(jsonb[]) is
    'Buffered events in the order in which Temporal flushes them: the ends of activities and children after all '
    'others.';

create or replace function perdure.end_start_delay(p_shard smallint, p_run perdure.run_states)
    returns perdure.run_states
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    delete from perdure.timers t where t.shard = p_shard and t.run_id = p_run.run_id and t.kind = 'start_delay';
    update perdure.run_states r set start_delayed = false where r.shard = p_shard and r.run_id = p_run.run_id;
    p_run.start_delayed := false;
    return p_run;
end
$$;
comment on function perdure.end_start_delay(smallint, perdure.run_states) is
    'Ends the start delay of a run, as a signal-with-start and a request to cancel do in Temporal. The next event '
    'that is recorded schedules the first workflow task.';

create or replace function perdure.buffer_events(p_shard smallint, p_run_id uuid, p_events jsonb[],
    out buffered_count int, out buffered_bytes bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with counted as (
        update perdure.run_states r set buffered_count = r.buffered_count + cardinality(p_events),
            buffered_bytes = r.buffered_bytes + pg_column_size(p_events)
        where r.shard = p_shard and r.run_id = p_run_id
        returning r.buffered_count, r.buffered_bytes),
    kept as (
        insert into perdure.buffered_events (shard, run_id, first_place, events)
        select p_shard, p_run_id, c.buffered_count - cardinality(p_events) + 1, p_events from counted c
        where cardinality(p_events) > 0)
    select c.buffered_count, c.buffered_bytes into buffered_count, buffered_bytes from counted c;
end
$$;
comment on function perdure.buffer_events(smallint, uuid, jsonb[]) is
    'Buffers events until the workflow task ends. Returns how many events are buffered then, and how large they are.';

create or replace function perdure.take_buffered_events(p_shard smallint, p_run perdure.run_states) returns jsonb[]
language plpgsql volatile set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off
as $$
declare
    v_events jsonb[] := array[]::jsonb[];
begin
    if p_run.buffered_count > 0 then
        with taken as (
            delete from perdure.buffered_events b where b.shard = p_shard and b.run_id = p_run.run_id
            returning b.first_place, b.events)
        select array_agg(e.event order by t.first_place, e.ordinality) into v_events
        from taken t cross join lateral unnest(t.events) with ordinality as e (event, ordinality);
    end if;
    return v_events;
end
$$;
comment on function perdure.take_buffered_events(smallint, perdure.run_states) is
    'Removes and returns the buffered events of a run, in order, for the history. The caller sets the counts of the '
    'run_states row to zero.';

create or replace function perdure.sticky_until(p_worker_id uuid, p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- No task is kept for a worker that has gone, or that is about to be found lost because its lease has run out.
    return (
        select p_now + (s.value #>> '{}')::interval from perdure.settings s
        where s.name = 'sticky_timeout' and exists (select from perdure.workers w where w.worker_id = p_worker_id
            and w.lease_until > p_now));
end
$$;
comment on function perdure.sticky_until(uuid, timestamptz) is
    'Until when a workflow task is kept for the worker that has its run cached; null if that worker has gone or its '
    'lease has run out.';

create or replace function perdure.schedule_workflow_task(p_shard smallint, p_run perdure.run_states, p_now timestamptz,
    p_scheduled_event_id bigint)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_sticky_until timestamptz;
begin
    if p_run.sticky_worker is not null then
        v_sticky_until := perdure.sticky_until(p_run.sticky_worker, p_now);
    end if;
    insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at,
        scheduled_event_id, sticky_worker, deadline,
        start_to_close_timeout)
    values (p_shard, p_run.run_id, p_run.namespace, p_run.task_queue, p_run.priority, p_now, p_scheduled_event_id,
        case when v_sticky_until is not null then p_run.sticky_worker end, v_sticky_until,
        p_run.workflow_task_timeout);
    perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
end
$$;
comment on function perdure.schedule_workflow_task(smallint, perdure.run_states, timestamptz, bigint) is
    'Queues a run''s next workflow task, first for the worker that has the run cached.';

create or replace function perdure.workflow_task_scheduled(p_run perdure.run_states, p_attempt int) returns jsonb
language sql stable
return jsonb_build_object('eventType', 'WorkflowTaskScheduled', 'attributes', jsonb_build_object(
        'taskQueue', jsonb_build_object('name', p_run.task_queue, 'kind', 'Normal'),
        'startToCloseTimeout', perdure.seconds(p_run.workflow_task_timeout), 'attempt', p_attempt));
comment on function perdure.workflow_task_scheduled(perdure.run_states, int) is 'The event WorkflowTaskScheduled.';

create or replace function perdure.append_events(p_shard smallint, p_run_id uuid, p_now timestamptz,
    p_first_event_id bigint, p_events jsonb[])
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into perdure.history (shard, run_id, first_event_id, event_time, events)
    values (p_shard, p_run_id, p_first_event_id, p_now, p_events);
end
$$;
comment on function perdure.append_events(smallint, uuid, timestamptz, bigint, jsonb[]) is
    'Writes one batch of history.';

create or replace function perdure.record_events(p_shard smallint, p_run perdure.run_states, p_now timestamptz,
    p_events jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_task_state text;
    v_attempt int;
    v_scheduled_event_id bigint;
    v_events jsonb[] := p_events;
begin
    if perdure.history_excess(p_run) is not null then
        perform perdure.end_excess(p_shard, p_run, p_now, p_events);
        return;
    end if;
    select t.state, t.attempt, t.scheduled_event_id into v_task_state, v_attempt, v_scheduled_event_id
    from perdure.workflow_tasks t
    where t.shard = p_shard and t.run_id = p_run.run_id for update;
    if v_task_state = 'started' then
        select b.buffered_count, b.buffered_bytes into p_run.buffered_count, p_run.buffered_bytes
        from perdure.buffer_events(p_shard, p_run.run_id, p_events) b;
        if p_run.buffered_count > perdure.maximum('buffered events')
            or p_run.buffered_bytes > perdure.maximum('buffered bytes') then
            perform perdure.force_workflow_task_to_end(p_shard, p_run, p_now);
        end if;
        return;
    end if;
    if v_task_state is null and not p_run.start_delayed then
        v_events := v_events || perdure.stored_workflow_task_scheduled(p_run.workflow_task_timeout);
        if cardinality(p_events) > 1 then
            v_events := perdure.number_events(p_run.next_event_id, v_events);
        end if;
        perform perdure.write_news(p_shard, p_run.run_id, p_now, p_run.next_event_id, v_events,
            perdure.bytes_of(v_events), p_run.namespace,
            p_run.task_queue, p_run.priority, p_run.workflow_task_timeout, p_run.sticky_worker);
        return;
    end if;
    if v_attempt > 1 then
        -- With the new event a failing task may succeed: as in Temporal it is no longer transient, and its attempts
        -- count from 1 again.
        v_events := v_events || perdure.workflow_task_scheduled(p_run, 1);
        update perdure.workflow_tasks t set state = 'scheduled', deadline = null, attempt = 1, scheduled_at = p_now,
            scheduled_event_id = p_run.next_event_id + cardinality(v_events) - 1
        where t.shard = p_shard and t.run_id = p_run.run_id;
        perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
    elsif v_scheduled_event_id = 0 then
        -- Only updates waited for the task until now, so its WorkflowTaskScheduled has not been written yet.
        v_events := perdure.workflow_task_scheduled(p_run, 1) || v_events;
        update perdure.workflow_tasks t set scheduled_event_id = p_run.next_event_id
        where t.shard = p_shard and t.run_id = p_run.run_id;
    end if;
    perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id,
        perdure.number_events(p_run.next_event_id, v_events));
    update perdure.run_states r set next_event_id = p_run.next_event_id + cardinality(v_events),
        history_bytes = r.history_bytes + perdure.bytes_of(v_events)
    where r.shard = p_shard and r.run_id = p_run.run_id;
end
$$;
comment on function perdure.record_events(smallint, perdure.run_states, timestamptz, jsonb[]) is
    'Records events of a run whose run_states row the caller has locked. While a workflow task is started, the events '
    'are buffered, and the task fails if there are too many of them. Otherwise the events are written, and a workflow '
    'task is queued if there is none; a task that waits for another attempt becomes a first attempt, to be tried at '
    'once.';

drop function if exists perdure.workflow_task_started(bigint, text, uuid, timestamptz);
drop function if exists perdure.workflow_task_started(bigint, text, uuid, timestamptz, bigint, bigint);
create or replace function perdure.workflow_task_started(p_scheduled_event_id bigint, p_identity text,
    p_build_id text, p_request_id uuid, p_started_at timestamptz, p_event_id bigint, p_bytes bigint) returns jsonb
language sql stable
return jsonb_build_object('eventType', 'WorkflowTaskStarted', 'eventTime', perdure.rfc3339(p_started_at), 'attributes',
        jsonb_build_object('scheduledEventId', p_scheduled_event_id, 'identity', coalesce(p_identity, ''), 'requestId',
            p_request_id)
            || perdure.worker_version(p_build_id) || perdure.history_told(p_event_id, p_bytes));
comment on function perdure.workflow_task_started(bigint, text, text, uuid, timestamptz, bigint, bigint) is
    'The event WorkflowTaskStarted, which is written when the task ends.';
