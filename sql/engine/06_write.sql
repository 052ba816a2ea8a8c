-- The functions here write the rows and events of one run, for the general rules and for the small statements for few
-- runs. The large statements for many runs (complete_many, complete_many_activities, fire_many_timers,
-- end_sticky_waits) write the same rows in forms of their own, because inserting each row by a statement of its own
-- costs three times as much. The functions of 02_whole_event.sql build the events for all of them
-- (docs/decisions/0001-sets-instead-of-rows.md, 0014-one-writer.md).
--
-- The caller has locked the run's run_states row. Rows that belong together are written by one statement, because a
-- statement costs more than the rows that it writes.

create or replace function perdure.write_run(
    p_shard smallint, p_run_id uuid, p_namespace text, p_workflow_id text, p_workflow_type text, p_task_queue text,
    p_priority smallint, p_task_timeout interval, p_max_events bigint, p_cron_schedule text, p_now timestamptz,
    p_delay interval, p_execution_due timestamptz, p_run_due timestamptz, p_is_first boolean, p_events jsonb[])
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_events jsonb[] := p_events;
    v_is_overtaken boolean;
begin
    if p_delay is null then
        v_events := v_events || perdure.stored_workflow_task_scheduled(p_task_timeout);
    end if;
    with state as (
        insert into perdure.run_states (shard, run_id, namespace, workflow_id, workflow_type, task_queue, priority,
            next_event_id, workflow_task_timeout, start_delayed, max_history_events, history_bytes, cron_schedule,
            is_related)
        values (p_shard, p_run_id, p_namespace, p_workflow_id, p_workflow_type, p_task_queue, p_priority,
            1 + cardinality(v_events), p_task_timeout, p_delay is not null, p_max_events,
            case when pg_column_size(v_events) < 2048 then pg_column_size(v_events)
                else perdure.bytes_of(v_events) end, p_cron_schedule,
            coalesce(v_events[1] -> 'given' ? 'parentWorkflowExecution', false))),
    task as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at,
            scheduled_event_id, start_to_close_timeout)
        select p_shard, p_run_id, p_namespace, p_task_queue, p_priority, p_now, cardinality(v_events), p_task_timeout
        where p_delay is null)
    insert into perdure.history (shard, run_id, first_event_id, event_time, events)
        values (p_shard, p_run_id, 1, p_now, v_events)
    returning p_is_first and exists (
        select from perdure.executions e
        where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
            and e.run_number > 1)
    into v_is_overtaken;
    if v_is_overtaken then
        return true;
    end if;
    if p_delay is null then
        perform perdure.wake(p_namespace, p_task_queue, 'workflow');
    end if;
    if p_delay is not null or p_execution_due is not null or p_run_due is not null then
        insert into perdure.timers (shard, run_id, kind, fire_at)
        select p_shard, p_run_id, due.kind, due.at
        from (values ('start_delay', p_now + p_delay), ('execution_timeout', p_execution_due),
            -- After the execution timeout there is no other attempt, so a run timeout that is due at the same time or
            -- later is left out.
            ('run_timeout', case when p_execution_due <= p_run_due then null else p_run_due end)) as due (kind, at)
        where due.at is not null;
    end if;
    return false;
end
$$;
comment on function perdure.write_run(smallint, uuid, text, text, text, text, smallint, interval, bigint, text,
    timestamptz, interval, timestamptz, timestamptz, boolean, jsonb[]) is
    'Writes the working memory of a new run, its first batch of events, its time-outs, and its first workflow task '
    'unless the run is delayed. Returns true if the run was to be the first of its workflow id and is not: other '
    'transactions have started runs meanwhile and deleted the first of them. The caller then takes everything back.';

create or replace function perdure.write_news(
    p_shard smallint, p_run_id uuid, p_now timestamptz, p_first_event_id bigint, p_events jsonb[], p_bytes bigint,
    p_namespace text, p_task_queue text, p_priority smallint, p_task_timeout interval, p_sticky_worker uuid,
    p_worker_id uuid default null, p_worker_identity text default null, p_worker_build_id text default null)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_sticky_until timestamptz;
begin
    if p_sticky_worker is not null then
        v_sticky_until := perdure.sticky_until(p_sticky_worker, p_now);
    end if;
    with written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        values (p_shard, p_run_id, p_first_event_id, p_now, p_worker_id, p_worker_identity, p_worker_build_id,
            p_events)),
    queued as (
        insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, priority, scheduled_at,
            scheduled_event_id, sticky_worker,
            deadline, start_to_close_timeout)
        values (p_shard, p_run_id, p_namespace, p_task_queue, p_priority, p_now,
            p_first_event_id + cardinality(p_events) - 1,
            case when v_sticky_until is not null then p_sticky_worker end, v_sticky_until, p_task_timeout))
    update perdure.run_states r set next_event_id = p_first_event_id + cardinality(p_events),
        history_bytes = r.history_bytes + p_bytes
    where r.shard = p_shard and r.run_id = p_run_id;
    perform perdure.wake(p_namespace, p_task_queue, 'workflow');
    return true;
end
$$;
comment on function perdure.write_news(smallint, uuid, timestamptz, bigint, jsonb[], bigint, text, text, smallint,
    interval, uuid, uuid, text, text) is
    'Writes a batch of events that ends with WorkflowTaskScheduled, and queues that task, first for the worker that '
    'has the run cached.';

create or replace function perdure.write_activity(
    p_shard smallint, p_run_id uuid, p_event_id bigint, p_namespace text, p_task_queue text, p_workflow_id text,
        p_workflow_type text,
    p_attributes jsonb, p_priority smallint, p_time timestamptz, p_to_close interval, p_to_start interval,
        p_start_to_close interval,
    p_heartbeat interval, p_retry_policy jsonb, p_worker_id uuid, p_worker_identity text, p_started_at timestamptz)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id,
        workflow_type, activity_id,
        activity_type, input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker,
            last_worker_identity,
        schedule_to_close_timeout, schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy,
            header, given_priority,
        deadline)
    values (p_shard, p_run_id, p_event_id, p_namespace, p_task_queue, p_workflow_id, p_workflow_type,
        p_attributes ->> 'activityId',
        p_attributes #>> '{activityType,name}', coalesce(p_attributes -> 'input', '[]'), p_priority,
        case when p_started_at is null then 'scheduled' else 'started' end, p_time, p_time, p_started_at, p_worker_id,
            p_worker_identity,
        p_to_close, p_to_start, p_start_to_close, p_heartbeat, p_retry_policy, nullif(p_attributes -> 'header', 'null'),
            nullif(p_attributes -> 'priority', 'null'),
        perdure.activity_deadline(p_to_close, p_to_start, p_start_to_close, p_heartbeat, p_time, p_time, p_started_at,
            null));
    if p_started_at is null then
        perform perdure.wake(p_namespace, p_task_queue, 'activity');
    end if;
end
$$;
comment on function perdure.write_activity(smallint, uuid, bigint, text, text, text, text, jsonb, smallint, timestamptz,
    interval, interval, interval,
    interval, jsonb, uuid, text, timestamptz) is
    'Queues a new activity; or gives it to the worker that is named, started.';

create or replace function perdure.write_step(
    p_shard smallint, p_run_id uuid, p_time timestamptz, p_first_event_id bigint, p_events jsonb[],
        p_history_bytes bigint, p_started_event_id bigint,
    p_sticky_worker uuid, p_sticky_event_id bigint,
    p_worker_id uuid default null, p_worker_identity text default null, p_worker_build_id text default null)
returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    with written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        values (p_shard, p_run_id, p_first_event_id, p_time, p_worker_id, p_worker_identity, p_worker_build_id,
            p_events))
    update perdure.run_states r set next_event_id = p_first_event_id + cardinality(p_events),
        history_bytes = p_history_bytes,
        last_started_event_id = p_started_event_id,
        buffered_count = 0, buffered_bytes = 0, sticky_worker = p_sticky_worker, sticky_event_id = p_sticky_event_id,
        workflow_task_failure = null, workflow_task_failed_attempts = 0
    where r.shard = p_shard and r.run_id = p_run_id;
    return p_first_event_id + cardinality(p_events);
end
$$;
comment on function perdure.write_step(smallint, uuid, timestamptz, bigint, jsonb[], bigint, bigint, uuid, bigint, uuid,
    text, text) is
    'Writes the batch of events that a completed workflow task makes of a run that stays open. Returns the id of the '
    'next event.';

drop function if exists perdure.close_run(smallint, uuid, perdure.execution_status, timestamptz, bigint);
drop function if exists perdure.close_run(smallint, uuid, perdure.execution_status, timestamptz, bigint, bigint);
create or replace function perdure.close_run(
    p_shard smallint, p_run_id uuid, p_status perdure.execution_status, p_time timestamptz, p_first_event_id bigint,
        p_events jsonb[],
    p_history_bytes bigint, p_worker_id uuid default null, p_worker_identity text default null,
        p_worker_build_id text default null)
returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_namespace text;
    v_is_related boolean;
begin
    with written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        values (p_shard, p_run_id, p_first_event_id, p_time, p_worker_id, p_worker_identity, p_worker_build_id,
            p_events)),
    gone as (
        delete from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id returning r.is_related)
    update perdure.executions e set status = p_status, close_time = p_time,
        history_length = p_first_event_id + cardinality(p_events) - 1,
        history_size_bytes = p_history_bytes
    where e.shard = p_shard and e.run_id = p_run_id
    returning e.namespace, (select g.is_related from gone g) into v_namespace, v_is_related;
    -- The rows are looked up by key, because a claim may have changed their ctid meanwhile.
    if exists (select from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id)
        or exists (select from perdure.activity_tasks a where a.shard = p_shard and a.run_id = p_run_id)
        -- ORDER BY the primary key keeps a plan that was made for an empty table from using timers_due.
        or (select t.run_id from perdure.timers t where t.shard = p_shard and t.run_id = p_run_id
            order by t.kind, t.started_event_id limit 1) is not null
        or exists (select from perdure.request_ids q where q.shard = p_shard and q.run_id = p_run_id) then
        delete from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id;
        delete from perdure.activity_tasks a where a.shard = p_shard and a.run_id = p_run_id;
        delete from perdure.timers t where t.shard = p_shard and t.run_id = p_run_id;
        delete from perdure.request_ids q where q.shard = p_shard and q.run_id = p_run_id;
    end if;
    if v_is_related then
        perform perdure.tell_relatives(p_shard, p_run_id, p_status, p_time, p_first_event_id, p_events);
    end if;
    if perdure.are_results_awaited(v_namespace) then
        perform pg_notify(perdure.result_channel(v_namespace), p_run_id::text);
    end if;
    return p_first_event_id + cardinality(p_events);
end
$$;
comment on function perdure.close_run(smallint, uuid, perdure.execution_status, timestamptz, bigint, jsonb[], bigint,
    uuid, text, text) is
    'Ends a run: writes its last batch of events and its status, deletes its working memory, tasks and timers, and '
    'notifies clients that wait for its result. Returns the id that the next event would have.';
