-- The invariants of the tables, and a list of everything that violates them.
--
-- The functions are STABLE, so that all their statements see one snapshot, and a transaction that commits between them
-- makes nothing look wrong. They go through a table by ranges of run ids, newest first. The ranges cover all ids, so
-- rows of runs that do not exist are seen, too.

create or replace function perdure.range_of_runs(p_shard smallint, p_before uuid, p_limit int, p_open boolean)
    returns uuid
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
begin
    -- The smallest uuid means that there is no further range.
    if p_open then
        return coalesce((select r.run_id from perdure.run_states r where r.shard = p_shard and r.run_id < p_before
            order by r.run_id desc offset p_limit limit 1), '00000000-0000-0000-0000-000000000000');
    end if;
    return coalesce((select e.run_id from perdure.executions e where e.shard = p_shard and e.run_id < p_before
        order by e.run_id desc offset p_limit limit 1), '00000000-0000-0000-0000-000000000000');
end
$$;
comment on function perdure.range_of_runs(smallint, uuid, int, boolean) is
    'The beginning of a range of run ids that ends before p_before and holds about p_limit runs, or open runs.';

create or replace function perdure.violations_of_open_runs(p_shard smallint, p_from uuid, p_before uuid)
returns table (kind text, run_id uuid, what text)
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
    with states as materialized (
        select * from perdure.run_states r where r.shard = p_shard and r.run_id >= p_from and r.run_id < p_before),
    tasks as materialized (
        select * from perdure.workflow_tasks t where t.shard = p_shard and t.run_id >= p_from and t.run_id < p_before),
    activities as materialized (
        select * from perdure.activity_tasks a where a.shard = p_shard and a.run_id >= p_from and a.run_id < p_before),
    due as materialized (
        select * from perdure.timers t where t.shard = p_shard and t.run_id >= p_from and t.run_id < p_before)
    -- Runs
    select 'state without run', s.run_id, format('run_states has a row, and executions says %s',
        coalesce(e.status::text, 'nothing'))
    from states s left join perdure.executions e on e.shard = p_shard and e.run_id = s.run_id
    where e.status is distinct from 'Running'
    union all
    select 'run without state', e.run_id, format('%s is Running and has no row in run_states', e.workflow_id)
    from perdure.executions e left join states s on s.run_id = e.run_id
    where e.shard = p_shard and e.run_id >= p_from and e.run_id < p_before and e.status = 'Running' and s.run_id is null
    union all
    select 'two running runs', e.run_id, format('%s has another run that is Running: %s', e.workflow_id, o.run_id)
    from perdure.executions e join perdure.executions o on o.shard = p_shard and o.namespace = e.namespace
        and o.workflow_id = e.workflow_id
    where e.shard = p_shard and e.run_id >= p_from and e.run_id < p_before and e.status = 'Running'
        and o.status = 'Running'
      and o.run_id <> e.run_id
    union all
    select 'open run is not current', e.run_id, format('%s has run %s, which is closed and comes after it',
        e.workflow_id, o.run_id)
    from perdure.executions e
    join perdure.executions o on o.shard = p_shard and o.namespace = e.namespace and o.workflow_id = e.workflow_id
    where e.shard = p_shard and e.run_id >= p_from and e.run_id < p_before and e.status = 'Running'
      and o.status <> 'Running' and o.run_number > e.run_number
    union all
    select 'state unlike run', s.run_id,
        'run_states and executions differ in namespace, workflow id, workflow type or task queue'
    from states s join perdure.executions e on e.shard = p_shard and e.run_id = s.run_id
    where (e.namespace, e.workflow_id, e.workflow_type, e.task_queue) is distinct
        from (s.namespace, s.workflow_id, s.workflow_type, s.task_queue)
    union all
    select 'buffered events without task', s.run_id,
        format('%s events are buffered, and no workflow task is started that would write them', s.buffered_count)
    from states s left join tasks t on t.run_id = s.run_id
    where s.buffered_count > 0 and t.state is distinct from 'started'
    union all
    select 'wrong number of buffered events', coalesce(s.run_id, b.run_id),
        format('run_states says %s, and buffered_events has %s', coalesce(s.buffered_count::text, 'nothing'),
            coalesce(b.count, 0))
    from states s
    full join (
        select b.run_id, sum(cardinality(b.events)) as count from perdure.buffered_events b
        where b.shard = p_shard and b.run_id >= p_from and b.run_id < p_before group by b.run_id) b
            on b.run_id = s.run_id
    where coalesce(s.buffered_count, 0) <> coalesce(b.count, 0)
    union all
    select 'stuck run', s.run_id, case
        when s.start_delayed then 'it waits for its start delay, and has no timer for it'
        else 'it has never completed a workflow task, and has none' end
    from states s left join tasks t on t.run_id = s.run_id
    where t.run_id is null and case
        when s.start_delayed then not exists (select from due d where d.run_id = s.run_id and d.kind = 'start_delay')
        else s.last_started_event_id = 0 end
    union all
    select 'start delay over', s.run_id, 'it has a workflow task, and still waits for its start delay'
    from states s join tasks t on t.run_id = s.run_id where s.start_delayed
    -- Workflow tasks
    union all
    select 'workflow task without run', t.run_id, format('a %s workflow task of a run that is not open', t.state)
    from tasks t left join states s on s.run_id = t.run_id where s.run_id is null
    union all
    select 'workflow task without worker', t.run_id,
        format('started by worker %s, which does not exist', coalesce(t.worker::text, 'null'))
    from tasks t left join perdure.workers w on w.worker_id = t.worker
    where t.state = 'started' and w.worker_id is null
    union all
    select 'workflow task in no state', t.run_id,
        format('%s, worker %s, started at %s, kept for %s, deadline %s', t.state,
        coalesce(t.worker::text, 'null'), coalesce(t.started_at::text, 'null'), coalesce(t.sticky_worker::text, 'null'),
        coalesce(t.deadline::text, 'null'))
    from tasks t
    where case t.state
        when 'started' then t.worker is null or t.started_at is null or t.deadline is null
        when 'scheduled' then t.worker is not null or t.started_at is not null
            or (t.sticky_worker is null) <> (t.deadline is null)
        when 'backoff' then t.worker is not null or t.started_at is not null or t.deadline is null
            or t.sticky_worker is not null
        else true end
    -- Activities
    union all
    select 'activity without run', a.run_id, format('activity %s, %s, of a run that is not open', a.activity_id,
        a.state)
    from activities a left join states s on s.run_id = a.run_id where s.run_id is null
    union all
    select 'activity without worker', a.run_id,
        format('activity %s started by worker %s, which does not exist', a.activity_id,
            coalesce(a.worker::text, 'null'))
    from activities a left join perdure.workers w on w.worker_id = a.worker
    where a.state = 'started' and w.worker_id is null
    union all
    select 'activity in no state', a.run_id, format('activity %s is %s, worker %s, started at %s, deadline %s',
        a.activity_id, a.state,
        coalesce(a.worker::text, 'null'), coalesce(a.started_at::text, 'null'), coalesce(a.deadline::text, 'null'))
    from activities a
    where case a.state
        when 'started' then a.worker is null or a.started_at is null or a.deadline is null
        when 'scheduled' then a.worker is not null or a.started_at is not null
        when 'backoff' then a.worker is not null or a.started_at is not null or a.deadline is null
        when 'paused' then a.worker is not null or a.started_at is not null or a.deadline is not null
        else true end or a.state <> 'started' and (a.state = 'paused') <> (a.paused_at is not null)
    union all
    select 'two activities with one id', a.run_id, format('%s activities have the id %s', count(*), a.activity_id)
    from activities a group by a.run_id, a.activity_id having count(*) > 1
    -- Timers
    union all
    select 'timer without run', d.run_id, format('%s %s of a run that is not open, due at %s', d.kind,
        coalesce(d.timer_id, ''), d.fire_at)
    from due d left join states s on s.run_id = d.run_id where s.run_id is null
    union all
    select 'timer of no kind', d.run_id, format('a timer of kind %s', d.kind)
    from due d where d.kind not in ('timer', 'execution_timeout', 'run_timeout', 'start_delay')
    union all
    select 'start delay over', s.run_id, 'it has a timer for its start delay, which it no longer waits for'
    from due d join states s on s.run_id = d.run_id where d.kind = 'start_delay' and not s.start_delayed
    -- Updates
    union all
    select 'update without run', u.run_id, format('update %s of a run that does not exist', u.update_id)
    from perdure.updates u
    where u.shard = p_shard and u.run_id >= p_from and u.run_id < p_before and not exists (
        select from perdure.executions e where e.shard = p_shard and e.run_id = u.run_id)
    union all
    select 'wrong number of updates', s.run_id,
        format('run_states says %s, %s open, %s undelivered, and updates has %s, %s, %s', s.updates_total,
            s.updates_open, s.updates_undelivered, coalesce(u.total, 0), coalesce(u.open, 0),
            coalesce(u.undelivered, 0))
    from states s
    left join (
        select u.run_id, count(*) as total, count(*) filter (where u.state <> 'completed') as open,
            count(*) filter (where u.state in ('admitted', 'buffered')) as undelivered
        from perdure.updates u
        where u.shard = p_shard and u.run_id >= p_from and u.run_id < p_before and u.state <> 'rejected'
        group by u.run_id) u on u.run_id = s.run_id
    where (s.updates_total, s.updates_open, s.updates_undelivered) is distinct from
        (coalesce(u.total, 0), coalesce(u.open, 0), coalesce(u.undelivered, 0))
    union all
    select 'update in no state', u.run_id, format('update %s is %s, accepted by event %s, completed by event %s',
        u.update_id, u.state, coalesce(u.accepted_event_id::text, 'null'),
        coalesce(u.completed_event_id::text, 'null'))
    from perdure.updates u
    where u.shard = p_shard and u.run_id >= p_from and u.run_id < p_before and case u.state
        when 'accepted' then u.accepted_event_id is null or u.completed_event_id is not null or u.request is not null
        when 'completed' then u.accepted_event_id is null or u.completed_event_id is null or u.request is not null
        when 'rejected' then u.accepted_event_id is not null or u.failure is null or u.expires_at is null
        else u.accepted_event_id is not null or u.request is null end
    union all
    select 'stuck update', u.run_id, format('update %s is %s, and the run''s workflow task is %s', u.update_id, u.state,
        coalesce(t.state, 'not there'))
    from perdure.updates u join states s on s.run_id = u.run_id left join tasks t on t.run_id = u.run_id
    where u.shard = p_shard and (u.state in ('admitted', 'buffered') and t.run_id is null
        or u.state = 'buffered' and t.state <> 'started')
    union all
    select 'workflow task without update', t.run_id, 'no event tells of the workflow task, and no update waits for it'
    from tasks t join states s on s.run_id = t.run_id
    where t.scheduled_event_id = 0 and (s.updates_undelivered = 0 or t.attempt > 1)
    -- Requests
    union all
    select 'request without run', q.run_id, format('the request id %s of a run that is not open', q.request_id)
    from perdure.request_ids q left join states s on s.run_id = q.run_id
    where q.shard = p_shard and q.run_id >= p_from and q.run_id < p_before and s.run_id is null
$$;
comment on function perdure.violations_of_open_runs(smallint, uuid, uuid) is
    'What is wrong with runs of a range of ids that are open, or that have left rows behind: everything but their '
    'histories.';

create or replace function perdure.violations_of_histories(p_shard smallint, p_from uuid, p_before uuid)
returns table (kind text, run_id uuid, what text)
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
    with runs as materialized (
        -- The history of an expired run is deleted from its end on, in as many calls as that takes.
        select e.*, coalesce(e.close_time < perdure.clock() - least(n.retention, interval '1000 years')
            or n.deleted_at is not null, false) as is_expired
        from perdure.executions e left join perdure.namespaces n on n.namespace = e.namespace
        where e.shard = p_shard and e.run_id >= p_from and e.run_id < p_before),
    states as materialized (
        select * from perdure.run_states r where r.shard = p_shard and r.run_id >= p_from and r.run_id < p_before),
    tasks as materialized (
        select * from perdure.workflow_tasks t where t.shard = p_shard and t.run_id >= p_from and t.run_id < p_before),
    batches as materialized (
        select h.run_id, h.first_event_id, cardinality(h.events) as length,
            h.events[cardinality(h.events)] ->> 'eventType' as last_type,
            h.events[1] as first_event, h.events[cardinality(h.events)] as last_event,
            lag(h.first_event_id + cardinality(h.events), 1, 1::bigint) over (partition by h.run_id
                order by h.first_event_id) as expected
        from perdure.history h where h.shard = p_shard and h.run_id >= p_from and h.run_id < p_before),
    whole as materialized (
        select b.run_id, sum(b.length)::bigint as length,
            (array_agg(b.last_type order by b.first_event_id desc))[1] as last_type,
            (array_agg(perdure.stored_attribute(b.last_event, 'newExecutionRunId') #>> '{}'
                order by b.first_event_id desc))[1]::uuid as next_run_id,
            (array_agg(perdure.stored_attribute(b.first_event, 'continuedExecutionRunId') #>> '{}'
                order by b.first_event_id))[1]::uuid as previous_run_id,
            (array_agg(perdure.stored_attribute(b.first_event, 'cronSchedule') #>> '{}'
                order by b.first_event_id))[1] as cron_schedule,
            bool_or(b.first_event_id <> b.expected or b.length = 0) as is_broken
        from batches b group by b.run_id),
    -- What open runs wait for according to their histories. Events that are buffered have happened, too.
    events as materialized (
        select s.run_id, h.first_event_id + e.ordinality - 1 as event_id, e.event ->> 'eventType' as type,
            coalesce(e.event -> 'attributes', e.event -> 'given', '{}') as attributes
        from states s
        cross join lateral (select * from perdure.history h where h.shard = p_shard and h.run_id = s.run_id offset 0) h
        cross join lateral unnest(h.events) with ordinality as e (event, ordinality)
        union all
        select s.run_id, null, e ->> 'eventType', e -> 'attributes'
        from states s
        cross join lateral (select * from perdure.buffered_events b where b.shard = p_shard
            and b.run_id = s.run_id offset 0) b
        cross join lateral unnest(b.events) e),
    ended as materialized (
        select e.run_id, 'timer' as kind, (e.attributes ->> 'startedEventId')::bigint as event_id
        from events e where e.type in ('TimerFired', 'TimerCanceled')
        union all
        select e.run_id, 'activity', coalesce((e.attributes ->> 'scheduledEventId')::bigint, e.event_id - 2)
        from events e
        where e.type in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut',
            'ActivityTaskCanceled')
        union all
        select e.run_id, 'child', (e.attributes ->> 'initiatedEventId')::bigint from events e
        where e.type = 'StartChildWorkflowExecutionFailed'
            or e.type like 'ChildWorkflowExecution%' and e.type <> 'ChildWorkflowExecutionStarted'
        union all
        select e.run_id, 'transfer', (e.attributes ->> 'initiatedEventId')::bigint from events e
        where e.type in ('ExternalWorkflowExecutionSignaled', 'SignalExternalWorkflowExecutionFailed',
            'ExternalWorkflowExecutionCancelRequested', 'RequestCancelExternalWorkflowExecutionFailed')),
    awaited as materialized (
        select b.* from (
            select e.run_id, e.event_id, case e.type when 'TimerStarted' then 'timer'
                    when 'ActivityTaskScheduled' then 'activity' when 'StartChildWorkflowExecutionInitiated'
                        then 'child'
                    else 'transfer' end as kind,
                coalesce(e.attributes ->> 'activityId', e.attributes ->> 'timerId', e.attributes ->> 'workflowId',
                    e.attributes #>> '{workflowExecution,workflowId}') as id
            from events e where e.type in ('ActivityTaskScheduled', 'TimerStarted',
                'StartChildWorkflowExecutionInitiated', 'SignalExternalWorkflowExecutionInitiated',
                'RequestCancelExternalWorkflowExecutionInitiated')) b
        left join ended f on f.run_id = b.run_id and f.kind = b.kind and f.event_id = b.event_id
        where f.run_id is null),
    waiting as materialized (
        select a.run_id, a.scheduled_event_id as event_id, 'activity' as kind, a.activity_id as id
        from perdure.activity_tasks a join states s on s.run_id = a.run_id where a.shard = p_shard
        union all
        select t.run_id, t.started_event_id, 'timer', t.timer_id
        from perdure.timers t join states s on s.run_id = t.run_id where t.shard = p_shard and t.kind = 'timer'
        union all
        select c.run_id, c.initiated_event_id, 'child', c.workflow_id
        from perdure.child_workflows c join states s on s.run_id = c.run_id where c.shard = p_shard
        union all
        select s.run_id, t.id, 'transfer', t.target_workflow_id
        from states s
        cross join lateral (
            select s.run_id, 9223372036854775807 as before
            union all
            -- Transfers of a run that was reset are reported to the run that goes on from it.
            select (f.value ->> 'runId')::uuid, (f.value ->> 'eventId')::bigint
            from runs r cross join lateral jsonb_array_elements(r.reset_from) f where r.run_id = s.run_id) b
        join perdure.transfers t on t.run_id = b.run_id and t.id < b.before
        where t.shard = p_shard and t.kind in ('signal', 'cancel'))
    select 'history without run', w.run_id, 'a history of a run that does not exist'
    from whole w left join runs r on r.run_id = w.run_id where r.run_id is null
    union all
    select 'run without history', r.run_id, format('%s has no history', r.workflow_id)
    from runs r left join whole w on w.run_id = r.run_id where w.run_id is null and not r.is_expired
    union all
    select case when b.first_event_id < b.expected then 'history with an overlap' else 'history with a gap' end,
        b.run_id,
        format('a batch of %s events begins at event %s instead of %s', b.length, b.first_event_id, b.expected)
    from batches b where b.first_event_id <> b.expected or b.length = 0
    union all
    select 'wrong history length', r.run_id, format('%s events are written; %s', w.length, case
        when r.status = 'Running' then format('the next has the id %s', s.next_event_id)
        else format('the run says %s', coalesce(r.history_length::text, 'null')) end)
    from runs r join whole w on w.run_id = r.run_id left join states s on s.run_id = r.run_id
    where not w.is_broken and not r.is_expired and case when r.status = 'Running' then s.next_event_id <> w.length + 1
        else r.history_length is distinct from w.length end
    union all
    select 'status unlike history', r.run_id, format('the run is %s, and its last event is %s', r.status,
        coalesce(w.last_type, 'unknown'))
    from runs r join whole w on w.run_id = r.run_id
    where not r.is_expired and ((r.status = 'Running') = (r.close_time is not null)
       or coalesce(w.last_type in ('WorkflowExecutionCompleted', 'WorkflowExecutionFailed', 'WorkflowExecutionCanceled',
            'WorkflowExecutionTerminated', 'WorkflowExecutionTimedOut', 'WorkflowExecutionContinuedAsNew'), false)
            is distinct from (r.status <> 'Running')
       or r.status <> 'Running' and w.last_type is distinct from 'WorkflowExecution' || r.status::text)
    union all
    -- Runs that follow each other. Either may have been deleted.
    select 'broken chain', r.run_id, format('the run that follows it, %s, is no run of %s after it', n.run_id,
        r.workflow_id)
    from runs r join whole w on w.run_id = r.run_id
    join perdure.executions n on n.shard = p_shard and n.run_id = w.next_run_id
    where r.status = 'Running' or not r.is_expired and ((n.namespace, n.workflow_id) <> (r.namespace, r.workflow_id)
        or n.run_number <= r.run_number or n.first_run_id is distinct from coalesce(r.first_run_id, r.run_id))
    union all
    select 'broken chain', r.run_id, format('it follows run %s, which is %s and says that %s follows', p.run_id,
        p.status, coalesce(l.next_run_id, 'none'))
    from runs r join whole w on w.run_id = r.run_id
    join perdure.executions p on p.shard = p_shard and p.run_id = w.previous_run_id
    left join lateral (
        select perdure.stored_attribute(h.events[cardinality(h.events)], 'newExecutionRunId') #>> '{}' as next_run_id
        from perdure.history h where h.shard = p_shard and h.run_id = p.run_id and h.first_event_id <= p.history_length
        order by h.first_event_id desc limit 1) l on true
    where not r.is_expired and p.status is not null and l.next_run_id is distinct from r.run_id::text
      -- A run that a reset made has the first event of the one that was reset.
      and r.reset_from is null
      -- If the run before is being deleted, the end of its history has gone first.
      and (p.close_time is null or exists (select from perdure.history h where h.shard = p_shard
        and h.run_id = p.run_id and h.first_event_id + cardinality(h.events) > p.history_length))
    union all
    select 'broken chain', r.run_id, 'it is ContinuedAsNew, and its last event names no other run'
    from runs r join whole w on w.run_id = r.run_id
    where r.status = 'ContinuedAsNew' and not r.is_expired and w.next_run_id is null
    union all
    select 'schedule unlike history', s.run_id, format('run_states says %s, and the first event %s',
        coalesce(s.cron_schedule, 'nothing'), coalesce(w.cron_schedule, 'nothing'))
    from states s join whole w on w.run_id = s.run_id where s.cron_schedule is distinct from w.cron_schedule
    union all
    select 'run in another shard', r.run_id, format('%s belongs to shard %s', r.workflow_id,
        perdure.shard_for(r.namespace, r.workflow_id))
    from runs r where perdure.shard_for(r.namespace, r.workflow_id) <> p_shard
    union all
    -- The events that are sent to a sticky worker must begin with a whole batch.
    select 'history from within a batch', s.run_id,
        format('the sticky worker is told events from %s on, and a batch begins at %s', s.sticky_event_id,
        b.first_event_id)
    from states s join batches b on b.run_id = s.run_id and b.first_event_id < s.sticky_event_id
        and b.first_event_id + b.length > s.sticky_event_id
    union all
    select 'stuck run', a.run_id, format('it waits for %s %s of event %s, which does not exist', a.kind, a.id,
        a.event_id)
    from awaited a left join waiting w on w.run_id = a.run_id and w.event_id = a.event_id and w.kind = a.kind
        where w.run_id is null
    union all
    select w.kind || ' without event', w.run_id, format('%s %s of event %s, which its run does not wait for', w.kind,
        w.id, w.event_id)
    from waiting w left join awaited a on w.run_id = a.run_id and w.event_id = a.event_id and w.kind = a.kind
        where a.run_id is null
    union all
    select 'workflow task without event', t.run_id,
        format('the workflow task was scheduled by event %s, which is %s', t.scheduled_event_id,
        coalesce(e.type, 'not there'))
    from tasks t join states s on s.run_id = t.run_id left join events e on e.run_id = t.run_id
        and e.event_id = t.scheduled_event_id
    where t.attempt = 1 and t.scheduled_event_id <> 0 and e.type is distinct from 'WorkflowTaskScheduled'
    union all
    select 'stuck run', s.run_id, 'something has happened to it, and it has no workflow task that would tell it: '
        || string_agg(e.type, ', ')
    from states s join events e on e.run_id = s.run_id
    where not s.start_delayed and e.event_id > s.last_started_event_id + 1
      and e.type in ('WorkflowExecutionSignaled', 'WorkflowExecutionCancelRequested', 'TimerFired',
          'ActivityTaskCompleted',
        'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled', 'StartChildWorkflowExecutionFailed',
        'ExternalWorkflowExecutionSignaled', 'SignalExternalWorkflowExecutionFailed',
        'ExternalWorkflowExecutionCancelRequested', 'RequestCancelExternalWorkflowExecutionFailed',
        'ChildWorkflowExecutionStarted', 'ChildWorkflowExecutionCompleted', 'ChildWorkflowExecutionFailed',
        'ChildWorkflowExecutionCanceled', 'ChildWorkflowExecutionTimedOut', 'ChildWorkflowExecutionTerminated')
      and not exists (select from tasks t where t.run_id = s.run_id)
    group by s.run_id
    union all
    select 'attempt without run', a.run_id,
        format('attempt %s of the activity of event %s, of a run that does not exist', a.attempt,
        a.scheduled_event_id)
    from perdure.activity_attempts a left join runs r on r.run_id = a.run_id
    where a.shard = p_shard and a.run_id >= p_from and a.run_id < p_before and r.run_id is null
$$;
comment on function perdure.violations_of_histories(smallint, uuid, uuid) is
    'What is wrong with the histories of a range of run ids, and with what open runs wait for according to them.';

create or replace function perdure.find_violations(p_shard smallint default null,
    p_seconds double precision default null, p_limit int default null)
returns table (kind text, shard smallint, run_id uuid, what text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_until timestamptz := clock_timestamp() + p_seconds * interval '1 s';
    v_found int := 0;
    v_rows int;
    v_before uuid;
    v_from uuid;
    v_open boolean;
    v_limit int;
begin
    for shard in select s::smallint from generate_series(0, perdure.shard_count() - 1) s where p_shard is null
        or s = p_shard order by s loop
        foreach v_open in array array[true, false] loop
            v_limit := case when v_open then 5000 else 500 end;
            v_before := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
            while v_before > '00000000-0000-0000-0000-000000000000' loop
                if clock_timestamp() > v_until or v_found >= p_limit then
                    kind := 'cut';
                    run_id := v_before;
                    what := format('%s of shard %s were looked at from run %s on; perdure.violations() looks at all',
                        case when v_open then 'open runs' else 'histories' end, shard, v_before);
                    return next;
                    return;
                end if;
                v_from := perdure.range_of_runs(shard, v_before, v_limit, v_open);
                if v_open then
                    return query select v.kind, shard, v.run_id, v.what
                        from perdure.violations_of_open_runs(shard, v_from, v_before) v
                    union all
                    select v.kind, shard, v.run_id, v.what
                        from perdure.violations_of_transfers(shard, v_from, v_before) v;
                else
                    return query select v.kind, shard, v.run_id, v.what
                        from perdure.violations_of_histories(shard, v_from, v_before) v;
                end if;
                get diagnostics v_rows = row_count;
                v_found := v_found + v_rows;
                v_before := v_from;
            end loop;
        end loop;
    end loop;
end
$$;
comment on function perdure.find_violations(smallint, double precision, int) is
    'The same as perdure.violations, for so many seconds or until so many violations are found; then a row of kind '
    'cut says how far the search came.';

create or replace function perdure.violations(p_shard smallint default null)
returns table (kind text, shard smallint, run_id uuid, what text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select v.kind, v.shard, v.run_id, v.what from perdure.find_violations(p_shard) v
$$;
comment on function perdure.violations(smallint) is
    'Every row that breaks a rule of the engine, of one shard or of all: nothing when all is well. It reads all '
    'histories.';
