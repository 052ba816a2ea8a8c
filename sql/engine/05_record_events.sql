-- How anything that happens to a run gets into its history.
--
-- Locks. Every transition locks the run's run_states row first (a set of runs in run_id order), then its workflow_tasks row, then
-- what else it changes. A claim locks task rows only, with SKIP LOCKED, and never asks for run_states while it holds
-- them. So nobody waits in a cycle. A claim reads the history in a second statement: whoever appended an event held the
-- task row, so the claim sees it, and whoever comes later finds the task started, and buffers.

create or replace function perdure.number_events(p_first_event_id bigint, p_events jsonb[]) returns jsonb[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_started jsonb := '{}'::jsonb;
    v_key text;
begin
    -- An activity's end names its ActivityTaskStarted, whose id is known only when the batch is written.
    for i in 1 .. cardinality(p_events) loop
        if p_events[i] ->> 'eventType' = 'ActivityTaskStarted' then
            v_started := v_started || jsonb_build_object(p_events[i] #>> '{attributes,scheduledEventId}', p_first_event_id + i - 1);
        elsif p_events[i] ->> 'eventType' in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled') then
            v_key := p_events[i] #>> '{attributes,scheduledEventId}';
            if v_started ? v_key then
                p_events[i] := jsonb_set(p_events[i], '{attributes,startedEventId}', v_started -> v_key);
            end if;
        end if;
    end loop;
    return p_events;
end
$$;
comment on function perdure.number_events(bigint, jsonb[]) is 'Gives the ends of activities the ids of their ActivityTaskStarted.';

create or replace function perdure.in_flush_order(p_events jsonb[]) returns jsonb[]
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(array_agg(e order by
        (e ->> 'eventType' in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')), n), '{}')
    from unnest(p_events) with ordinality as buffered (e, n));
end
$$;
comment on function perdure.in_flush_order(jsonb[]) is 'Buffered events as Temporal flushes them: the ends of activities after all others.';

create or replace function perdure.sticky_until(p_worker_id uuid, p_now timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- A worker that has gone, or is about to be found gone, is not worth waiting for.
    return (
        select p_now + (s.value #>> '{}')::interval from perdure.settings s
        where s.name = 'sticky_timeout' and exists (select from perdure.workers w where w.worker_id = p_worker_id and w.lease_until > p_now));
end
$$;
comment on function perdure.sticky_until(uuid, timestamptz) is
    'Until when a workflow task is kept for the worker that has its run cached; null when that worker has gone.';

create or replace function perdure.schedule_workflow_task(p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_scheduled_event_id bigint)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_sticky_until timestamptz;
begin
    if p_run.sticky_worker is not null then
        v_sticky_until := perdure.sticky_until(p_run.sticky_worker, p_now);
    end if;
    insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at, scheduled_event_id, sticky_worker, deadline,
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

create or replace function perdure.append_events(p_shard smallint, p_run_id uuid, p_now timestamptz, p_first_event_id bigint, p_events jsonb[])
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into perdure.history (shard, run_id, first_event_id, event_time, events)
    values (p_shard, p_run_id, p_first_event_id, p_now, p_events);
end
$$;
comment on function perdure.append_events(smallint, uuid, timestamptz, bigint, jsonb[]) is 'Writes one batch of history.';

create or replace function perdure.record_events(p_shard smallint, p_run perdure.run_states, p_now timestamptz, p_events jsonb[]) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_task_state text;
    v_attempt int;
    v_events jsonb[] := p_events;
    v_sticky_until timestamptz;
begin
    select t.state, t.attempt into v_task_state, v_attempt from perdure.workflow_tasks t
    where t.shard = p_shard and t.run_id = p_run.run_id for update;
    if v_task_state = 'started' then
        update perdure.run_states r set buffered_events = r.buffered_events || p_events
        where r.shard = p_shard and r.run_id = p_run.run_id;
        return;
    end if;
    if v_task_state is null and not p_run.start_delayed then
        v_events := v_events || perdure.stored_workflow_task_scheduled(p_run.workflow_task_timeout);
        if cardinality(p_events) > 1 then
            v_events := perdure.number_events(p_run.next_event_id, v_events);
        end if;
        if p_run.sticky_worker is not null then
            v_sticky_until := perdure.sticky_until(p_run.sticky_worker, p_now);
        end if;
        -- What schedule_workflow_task and append_events do, in one statement.
        with queued as (
            insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at, scheduled_event_id, sticky_worker, deadline,
                start_to_close_timeout)
            values (p_shard, p_run.run_id, p_run.namespace, p_run.task_queue, p_run.priority, p_now, p_run.next_event_id + cardinality(v_events) - 1,
                case when v_sticky_until is not null then p_run.sticky_worker end, v_sticky_until, p_run.workflow_task_timeout)),
        written as (
            insert into perdure.history (shard, run_id, first_event_id, event_time, events)
            values (p_shard, p_run.run_id, p_run.next_event_id, p_now, v_events))
        update perdure.run_states r set next_event_id = p_run.next_event_id + cardinality(v_events)
        where r.shard = p_shard and r.run_id = p_run.run_id;
        perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
        return;
    end if;
    if v_attempt > 1 then
        -- A task that keeps failing may be done now: as in Temporal it is no longer transient, and its attempts count from 1 again.
        v_events := v_events || perdure.workflow_task_scheduled(p_run, 1);
        update perdure.workflow_tasks t set state = 'scheduled', deadline = null, attempt = 1, scheduled_at = p_now,
            scheduled_event_id = p_run.next_event_id + cardinality(v_events) - 1
        where t.shard = p_shard and t.run_id = p_run.run_id;
        perform perdure.wake(p_run.namespace, p_run.task_queue, 'workflow');
    end if;
    perform perdure.append_events(p_shard, p_run.run_id, p_now, p_run.next_event_id, perdure.number_events(p_run.next_event_id, v_events));
    update perdure.run_states r set next_event_id = p_run.next_event_id + cardinality(v_events)
    where r.shard = p_shard and r.run_id = p_run.run_id;
end
$$;
comment on function perdure.record_events(smallint, perdure.run_states, timestamptz, jsonb[]) is
    'Something happened to a run, whose run_states row the caller has locked: writes the events and sees to a workflow task, or buffers them while one is started. A task that waits for another attempt becomes a first one, to be tried at once.';

create or replace function perdure.close_run(p_shard smallint, p_run_id uuid, p_status perdure.execution_status, p_now timestamptz, p_history_length bigint)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_namespace text;
begin
    update perdure.executions e set status = p_status, close_time = p_now, history_length = p_history_length
    where e.shard = p_shard and e.run_id = p_run_id
    returning e.namespace into v_namespace;
    delete from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id;
    delete from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id;
    delete from perdure.activity_tasks a where a.shard = p_shard and a.run_id = p_run_id;
    delete from perdure.timers t where t.shard = p_shard and t.run_id = p_run_id;
    delete from perdure.request_ids i where i.shard = p_shard and i.run_id = p_run_id;
    if perdure.are_results_awaited(v_namespace) then
        perform pg_notify(perdure.result_channel(v_namespace), p_run_id::text);
    end if;
end
$$;
comment on function perdure.close_run(smallint, uuid, perdure.execution_status, timestamptz, bigint) is
    'Ends a run: sets its status, takes away its working memory, tasks and timers, and tells who waits for its result.';

create or replace function perdure.workflow_task_started(p_scheduled_event_id bigint, p_identity text, p_request_id uuid, p_started_at timestamptz) returns jsonb
language sql stable
return jsonb_build_object('eventType', 'WorkflowTaskStarted', 'eventTime', perdure.rfc3339(p_started_at), 'attributes',
        jsonb_build_object('scheduledEventId', p_scheduled_event_id, 'identity', coalesce(p_identity, ''), 'requestId', p_request_id));
comment on function perdure.workflow_task_started(bigint, text, uuid, timestamptz) is 'The event WorkflowTaskStarted, which is written when the task ends.';
