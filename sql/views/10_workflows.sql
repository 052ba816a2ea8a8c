-- What people read in psql and what the pages select from.

create or replace view perdure.workflows as
select e.namespace, e.workflow_id, e.run_id, e.workflow_type, e.status::text as status, e.task_queue,
    e.start_time, e.close_time, coalesce(e.close_time, clock_timestamp()) - e.start_time as duration,
    coalesce(e.history_length, r.next_event_id - 1) as history_length,
    e.search_attributes, e.memo,
    first_event.event #> '{attributes,input}' as input,
    last_event.event #> '{attributes,result}' as result,
    last_event.event #> '{attributes,failure}' as failure,
    r.workflow_task_failed_attempts as workflow_task_attempt,
    r.workflow_task_failure,
    e.execution_time, e.shard
from perdure.executions e
left join perdure.run_states r on r.shard = e.shard and r.run_id = e.run_id
left join lateral (
    select h.events[1] as event from perdure.history h
    where h.shard = e.shard and h.run_id = e.run_id and h.first_event_id = 1) first_event on true
left join lateral (
    select h.events[cardinality(h.events)] as event from perdure.history h
    where h.shard = e.shard and h.run_id = e.run_id and e.status <> 'Running'
    order by h.first_event_id desc limit 1) last_event on true;
comment on view perdure.workflows is 'One row is a run, with its input and how it ended.';

create or replace view perdure.history_events as
select e.namespace, e.workflow_id, e.run_id,
    h.first_event_id + stored.ordinality - 1 as event_id,
    coalesce((stored.event ->> 'eventTime')::timestamptz, h.event_time) as event_time,
    stored.event ->> 'eventType' as event_type,
    concat_ws(' ',
        stored.event #>> '{attributes,activityType,name}', stored.event #>> '{attributes,signalName}', stored.event #>> '{attributes,timerId}',
        stored.event #>> '{attributes,markerName}', stored.event #>> '{attributes,cause}', stored.event #>> '{attributes,timeoutType}',
        '#' || (stored.event #>> '{attributes,scheduledEventId}')) as summary,
    perdure.plain(stored.event #> '{attributes,input}') as input,
    perdure.plain(stored.event #> '{attributes,result}') as result,
    coalesce(stored.event #>> '{attributes,failure,cause,message}', stored.event #>> '{attributes,failure,message}') as failure,
    stored.event -> 'attributes' as attributes,
    e.shard
from perdure.executions e
join perdure.history h on h.shard = e.shard and h.run_id = e.run_id
cross join lateral unnest(h.events) with ordinality as stored (event, ordinality)
union all
select r.namespace, r.workflow_id, r.run_id, r.next_event_id, t.started_at, 'WorkflowTaskStarted', '#' || t.scheduled_event_id, null, null, null,
    jsonb_build_object('scheduledEventId', t.scheduled_event_id, 'identity', w.identity, 'requestId', t.worker), r.shard
from perdure.workflow_tasks t
join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
left join perdure.workers w on w.worker_id = t.worker
where t.state = 'started' and t.attempt = 1;
comment on view perdure.history_events is 'One row is an event of a run; order by event_id. A workflow task that runs shows its start before it is written.';

create or replace view perdure.pending_activities as
select a.namespace, a.workflow_id, a.run_id, a.activity_id, a.activity_type,
    case when a.cancel_requested then 'CancelRequested' when a.state = 'started' then 'Started' else 'Scheduled' end as state,
    a.attempt, (a.retry_policy ->> 'maximumAttempts')::int as maximum_attempts,
    a.scheduled_at as scheduled_time, a.started_at as last_started_time,
    case when a.state = 'backoff' then a.attempt_scheduled_at end as next_attempt_time,
    a.last_failure, coalesce(a.last_failure #>> '{cause,message}', a.last_failure ->> 'message') as last_failure_message,
    a.heartbeat_details, a.heartbeat_at as last_heartbeat_time, a.last_worker_identity as worker_identity, a.cancel_requested,
    a.scheduled_event_id, a.task_queue, a.input, a.deadline, a.shard
from perdure.activity_tasks a;
comment on view perdure.pending_activities is 'One row is an activity that has not ended: attempt, last failure, when it is tried next.';

create or replace view perdure.pending_timers as
select r.namespace, r.workflow_id, t.run_id, t.kind, t.timer_id, t.started_event_id, t.fire_at as fire_time, t.shard
from perdure.timers t join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id;
comment on view perdure.pending_timers is 'One row is a timer or a timeout of a run that has not fired.';

create or replace view perdure.pending_workflow_tasks as
select t.namespace, r.workflow_id, t.run_id, r.workflow_type, t.task_queue, initcap(t.state) as state, t.attempt, t.scheduled_at as scheduled_time,
    t.started_at as started_time, case when t.state = 'backoff' then t.deadline end as next_attempt_time,
    w.identity as worker_identity, r.workflow_task_failure as last_failure, cardinality(r.buffered_events) as buffered_events, t.shard
from perdure.workflow_tasks t
join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
left join perdure.workers w on w.worker_id = coalesce(t.worker, t.sticky_worker);
comment on view perdure.pending_workflow_tasks is 'One row is a workflow task that has not ended, with why it failed before.';

create or replace view perdure.task_queue_backlog as
select backlog.namespace, backlog.task_queue, backlog.kind, count(*) filter (where backlog.state = 'scheduled') as waiting,
    count(*) filter (where backlog.state = 'started') as running, count(*) filter (where backlog.state = 'backoff') as backing_off,
    clock_timestamp() - min(backlog.since) filter (where backlog.state = 'scheduled') as oldest
from (
    select t.namespace, t.task_queue, 'workflow' as kind, t.state, t.scheduled_at as since from perdure.workflow_tasks t
    union all
    select a.namespace, a.task_queue, 'activity', a.state, a.attempt_scheduled_at from perdure.activity_tasks a) backlog
group by backlog.namespace, backlog.task_queue, backlog.kind;
comment on view perdure.task_queue_backlog is 'One row is a task queue and kind of task: how much waits, runs and backs off, and the age of the oldest.';

create or replace view perdure.live_workers as
select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at, w.lease_until, w.lease_until > clock_timestamp() as alive,
    w.waiting, w.details
from perdure.workers w;
comment on view perdure.live_workers is 'One row is a registered worker and its lease.';
