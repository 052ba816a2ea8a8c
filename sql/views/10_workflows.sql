-- Views that people read in psql and that the pages select from. All start from executions, so that a workflow id finds
-- its rows by index.

create or replace view perdure.workflows as
select e.namespace, e.workflow_id, e.run_id, e.workflow_type, e.status::text as status, e.task_queue,
    e.start_time, e.close_time, coalesce(e.close_time, statement_timestamp()) - e.start_time as duration,
    coalesce(e.history_length, r.next_event_id - 1) as history_length,
    e.search_attributes, e.memo,
    perdure.stored_attribute(first_event.event, 'input') as input,
    perdure.stored_attribute(last_event.event, 'result') as result,
    last_event.event #> '{attributes,failure}' as failure,
    r.workflow_task_failed_attempts as workflow_task_attempt,
    r.workflow_task_failure,
    e.execution_time, e.shard, e.run_number,
    coalesce(e.history_size_bytes, r.history_bytes) as history_size_bytes,
    case when e.status = 'Running' and (r.next_event_id > least(r.max_history_events / 5,
        perdure.maximum('history events warned'))
            or r.history_bytes > perdure.maximum('history bytes warned'))
        then format('Its history has %s events of at most %s, and %s MiB of at most %s: the run is ended when it has '
            'more. Let its code end, and go on as another run.',
            r.next_event_id - 1, r.max_history_events, round(r.history_bytes / 1048576.0, 1),
                perdure.maximum('history bytes') / 1048576) end as history_warning,
    coalesce(e.first_run_id, e.run_id) as first_run_id,
    (perdure.stored_attribute(first_event.event, 'continuedExecutionRunId') #>> '{}')::uuid as previous_run_id,
    (perdure.stored_attribute(last_event.event, 'newExecutionRunId') #>> '{}')::uuid as next_run_id,
    perdure.stored_attribute(first_event.event, 'initiator') #>> '{}' as initiator,
    coalesce((perdure.stored_attribute(first_event.event, 'attempt'))::int, 1) as attempt,
    perdure.stored_attribute(first_event.event, 'cronSchedule') #>> '{}' as cron_schedule,
    e.parent_namespace, e.parent_workflow_id, e.parent_run_id, e.parent_initiated_event_id,
    coalesce(e.root_workflow_id, e.workflow_id) as root_workflow_id, coalesce(e.root_run_id, e.run_id) as root_run_id,
    e.reset_run_id, (e.reset_from #>> '{0,runId}')::uuid as reset_from_run_id,
    (e.reset_from #>> '{0,eventId}')::bigint as reset_event_id, e.reset_from #>> '{0,reason}' as reset_reason
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
comment on column perdure.workflows.namespace is 'The namespace.';
comment on column perdure.workflows.workflow_id is 'The id that the application chose.';
comment on column perdure.workflows.run_id is 'The run.';
comment on column perdure.workflows.workflow_type is 'The workflow''s type.';
comment on column perdure.workflows.status is
    'Running, Completed, Failed, Canceled, Terminated, ContinuedAsNew or TimedOut.';
comment on column perdure.workflows.task_queue is 'The task queue of its workflow tasks.';
comment on column perdure.workflows.start_time is 'When it was started.';
comment on column perdure.workflows.close_time is 'When it closed; null while it is open.';
comment on column perdure.workflows.duration is 'From its start to its close, or to now.';
comment on column perdure.workflows.history_length is 'How many events its history has.';
comment on column perdure.workflows.search_attributes is
    'The search attributes, as plain JSON by name: list filters find the run by them.';
comment on column perdure.workflows.memo is 'Payloads by name, for people.';
comment on column perdure.workflows.input is
    'What it was started with, an array of payloads; perdure.plain(input) is readable.';
comment on column perdure.workflows.result is 'What it returned, an array of payloads.';
comment on column perdure.workflows.failure is 'Why it failed.';
comment on column perdure.workflows.workflow_task_attempt is
    'How many attempts of its workflow task have failed in a row.';
comment on column perdure.workflows.workflow_task_failure is 'Why the last attempt of its workflow task failed.';
comment on column perdure.workflows.execution_time is
    'When its first workflow task may run: start_time, or later by a start delay.';
comment on column perdure.workflows.history_size_bytes is 'About how many bytes of events its history has.';
comment on column perdure.workflows.history_warning is
    'A warning that its history becomes too long or too large; null while it is well below its limits.';
comment on column perdure.workflows.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';
comment on column perdure.workflows.parent_namespace is
    'The namespace of the run that started it as its child; null for none.';
comment on column perdure.workflows.parent_workflow_id is 'The workflow id of its parent; null for none.';
comment on column perdure.workflows.parent_run_id is 'The run that started it as its child; null for none.';
comment on column perdure.workflows.parent_initiated_event_id is
    'The StartChildWorkflowExecutionInitiated of its parent; null for none.';
comment on column perdure.workflows.root_workflow_id is
    'The workflow id of the run at the root of its tree: its own, if it has no parent.';
comment on column perdure.workflows.root_run_id is
    'The run at the root of its tree: itself, if it has no parent.';
comment on column perdure.workflows.run_number is
    'The number of the run among those of its workflow id, from 1. The run with the highest number is the current '
    'one.';

comment on column perdure.workflows.reset_run_id is 'The run that it was last reset to; null for none.';
comment on column perdure.workflows.reset_from_run_id is 'The run that was reset to it; null for none.';
comment on column perdure.workflows.reset_event_id is
    'The first event that it does not share with the run that was reset to it.';
comment on column perdure.workflows.reset_reason is 'Why the run that was reset to it was reset.';
comment on column perdure.workflows.first_run_id is
    'The first run of the chain that it belongs to. Runs of a chain continue as new, are tried again, or follow a '
    'cron schedule.';
comment on column perdure.workflows.previous_run_id is 'The run that it follows; null for the first.';
comment on column perdure.workflows.next_run_id is 'The run that follows it; null for none.';
comment on column perdure.workflows.initiator is
    'Why it follows another run: Workflow (that run continued as new), Retry or CronSchedule. The first run of a cron '
    'schedule has CronSchedule, too.';
comment on column perdure.workflows.attempt is 'Which attempt by its retry policy the run is, from 1.';
comment on column perdure.workflows.cron_schedule is 'Its cron schedule; null for none.';

create or replace view perdure.history_events as
select e.namespace, e.workflow_id, e.run_id,
    h.first_event_id + stored.ordinality - 1 as event_id,
    coalesce((stored.event ->> 'eventTime')::timestamptz, h.event_time) as event_time,
    stored.event ->> 'eventType' as event_type,
    concat_ws(' ',
        whole.event #>> '{attributes,activityType,name}', whole.event #>> '{attributes,signalName}',
            whole.event #>> '{attributes,timerId}',
        coalesce(whole.event #>> '{attributes,acceptedRequest,input,name}',
            whole.event #>> '{attributes,request,input,name}'),
        coalesce(whole.event #>> '{attributes,protocolInstanceId}', whole.event #>> '{attributes,meta,updateId}',
            whole.event #>> '{attributes,request,meta,updateId}'),
        whole.event #>> '{attributes,markerName}', whole.event #>> '{attributes,cause}',
            whole.event #>> '{attributes,timeoutType}',
        '#' || (whole.event #>> '{attributes,scheduledEventId}')) as summary,
    perdure.plain(coalesce(whole.event #> '{attributes,input}',
        whole.event #> '{attributes,acceptedRequest,input,args}',
        whole.event #> '{attributes,request,input,args}'))
        as input,
    perdure.plain(coalesce(whole.event #> '{attributes,result}', whole.event #> '{attributes,outcome,success}'))
        as result,
    coalesce(whole.event #>> '{attributes,failure,cause,message}', whole.event #>> '{attributes,failure,message}',
        whole.event #>> '{attributes,outcome,failure,message}') as failure,
    whole.event -> 'attributes' as attributes,
    e.shard
from perdure.executions e
join perdure.history h on h.shard = e.shard and h.run_id = e.run_id
cross join lateral unnest(h.events) with ordinality as stored (event, ordinality)
cross join lateral (select perdure.whole_event(stored.event, h.first_event_id + stored.ordinality - 1, h,
    e) as event offset 0) whole
union all
select e.namespace, e.workflow_id, e.run_id, r.next_event_id, t.started_at, 'WorkflowTaskStarted', '#'
    || t.scheduled_event_id, null, null, null,
    jsonb_build_object('scheduledEventId', t.scheduled_event_id, 'identity', w.identity, 'requestId', t.worker)
        || perdure.worker_version(w.build_id) || perdure.history_told(r.next_event_id, r.history_bytes), e.shard
from perdure.executions e
join perdure.run_states r on r.shard = e.shard and r.run_id = e.run_id
join perdure.workflow_tasks t on t.shard = e.shard and t.run_id = e.run_id
left join perdure.workers w on w.worker_id = t.worker
where t.state = 'started' and t.attempt = 1 and t.scheduled_event_id <> 0;
comment on view perdure.history_events is
    'One row is an event of a run; order by event_id. The start of a workflow task that runs is shown although it is '
    'not written yet.';
comment on column perdure.history_events.namespace is 'The namespace.';
comment on column perdure.history_events.workflow_id is 'The id that the application chose.';
comment on column perdure.history_events.run_id is 'The run.';
comment on column perdure.history_events.event_id is 'Its place in the history, from 1.';
comment on column perdure.history_events.event_time is 'When it happened.';
comment on column perdure.history_events.event_type is 'Temporal''s name for it.';
comment on column perdure.history_events.summary is 'What the event is about, in a few words.';
comment on column perdure.history_events.input is 'The input that it carries, as plain JSON.';
comment on column perdure.history_events.result is 'The result that it carries, as plain JSON.';
comment on column perdure.history_events.failure is
    'The message of the failure that it carries, or of that failure''s cause if it has one.';
comment on column perdure.history_events.attributes is 'All its attributes, with Temporal''s names.';
comment on column perdure.history_events.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';

create or replace view perdure.pending_activities as
select e.namespace, e.workflow_id, e.run_id, a.activity_id, a.activity_type,
    case when a.cancel_requested then 'CancelRequested'
        when a.paused_at is not null then case a.state when 'started' then 'PauseRequested' else 'Paused' end
        when a.state = 'started' then 'Started' else 'Scheduled' end as state,
    case when a.reset is null then a.attempt else 1 end as attempt,
    (a.retry_policy ->> 'maximumAttempts')::int as maximum_attempts,
    a.scheduled_at as scheduled_time, a.started_at as last_started_time,
    case when a.state = 'backoff' then a.attempt_scheduled_at end as next_attempt_time,
    a.last_failure, coalesce(a.last_failure #>> '{cause,message}',
        a.last_failure ->> 'message') as last_failure_message,
    a.heartbeat_details, a.heartbeat_at as last_heartbeat_time, a.last_worker_identity as worker_identity,
        a.cancel_requested,
    a.scheduled_event_id, a.task_queue, a.input, a.deadline, e.shard,
    a.schedule_to_close_timeout, a.schedule_to_start_timeout, a.start_to_close_timeout, a.heartbeat_timeout,
    a.retry_policy, a.paused_at as pause_time, a.paused_by, a.pause_reason,
    a.attempt_ended_at as last_attempt_complete_time, a.given_priority as priority
from perdure.executions e join perdure.activity_tasks a on a.shard = e.shard and a.run_id = e.run_id;
comment on view perdure.pending_activities is
    'One row is an activity that has not ended: its attempt, its last failure, and when it is tried next.';
comment on column perdure.pending_activities.namespace is 'The namespace.';
comment on column perdure.pending_activities.workflow_id is 'The id that the application chose.';
comment on column perdure.pending_activities.run_id is 'The run.';
comment on column perdure.pending_activities.activity_id is 'The id that the workflow chose.';
comment on column perdure.pending_activities.activity_type is 'The activity''s type.';
comment on column perdure.pending_activities.state is
    'Scheduled, Started, CancelRequested, Paused, or PauseRequested for one that is paused and still runs.';
comment on column perdure.pending_activities.attempt is 'The number of the present or next attempt, from 1.';
comment on column perdure.pending_activities.maximum_attempts is 'How many attempts it may have; null for any number.';
comment on column perdure.pending_activities.scheduled_time is 'When the activity was scheduled.';
comment on column perdure.pending_activities.last_started_time is 'When the present attempt was claimed.';
comment on column perdure.pending_activities.next_attempt_time is 'When it is tried next, while it backs off.';
comment on column perdure.pending_activities.last_failure is 'Why the attempt before failed.';
comment on column perdure.pending_activities.last_failure_message is
    'The message of last_failure, or of its cause if it has one.';
comment on column perdure.pending_activities.heartbeat_details is
    'The details of the last heartbeat, an array of payloads.';
comment on column perdure.pending_activities.last_heartbeat_time is 'When the attempt last sent a heartbeat.';
comment on column perdure.pending_activities.worker_identity is
    'The identity of the worker that has it or had it last.';
comment on column perdure.pending_activities.cancel_requested is 'Whether the workflow has asked for its cancellation.';
comment on column perdure.pending_activities.scheduled_event_id is 'Its ActivityTaskScheduled.';
comment on column perdure.pending_activities.task_queue is 'The queue that hands it out.';
comment on column perdure.pending_activities.input is 'Its arguments, an array of payloads.';
comment on column perdure.pending_activities.deadline is 'The earliest of its timeouts and the end of its backoff.';
comment on column perdure.pending_activities.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';
comment on column perdure.pending_activities.schedule_to_close_timeout is 'How long it may take with all its attempts.';
comment on column perdure.pending_activities.schedule_to_start_timeout is 'How long an attempt may wait for a worker.';
comment on column perdure.pending_activities.start_to_close_timeout is 'How long an attempt may run.';
comment on column perdure.pending_activities.heartbeat_timeout is 'How long an attempt may be silent.';
comment on column perdure.pending_activities.retry_policy is
    'The policy by which it is tried again; null for the default.';
comment on column perdure.pending_activities.pause_time is 'When somebody paused it; null when it is not paused.';
comment on column perdure.pending_activities.paused_by is 'Who paused it.';
comment on column perdure.pending_activities.pause_reason is 'Why it was paused.';
comment on column perdure.pending_activities.last_attempt_complete_time is 'When the attempt before ended.';
comment on column perdure.pending_activities.priority is
    'The priority that its command named, with fairness key and weight; null if it has the priority of its run.';

create or replace view perdure.pending_timers as
select e.namespace, e.workflow_id, e.run_id, t.kind, t.timer_id, t.started_event_id, t.fire_at as fire_time, e.shard
from perdure.executions e join perdure.timers t on t.shard = e.shard and t.run_id = e.run_id;
comment on view perdure.pending_timers is 'One row is a timer or a timeout of a run that has not fired.';
comment on column perdure.pending_timers.namespace is 'The namespace.';
comment on column perdure.pending_timers.workflow_id is 'The id that the application chose.';
comment on column perdure.pending_timers.run_id is 'The run.';
comment on column perdure.pending_timers.kind is 'timer, execution_timeout, run_timeout or start_delay.';
comment on column perdure.pending_timers.timer_id is 'The id that the workflow chose for a timer.';
comment on column perdure.pending_timers.started_event_id is 'The TimerStarted of a timer; 0 for the others.';
comment on column perdure.pending_timers.fire_time is 'When it is due.';
comment on column perdure.pending_timers.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';

create or replace view perdure.pending_workflow_tasks as
select e.namespace, e.workflow_id, e.run_id, e.workflow_type, t.task_queue, initcap(t.state) as state, t.attempt,
    t.scheduled_at as scheduled_time,
    t.started_at as started_time, case when t.state = 'backoff' then t.deadline end as next_attempt_time,
    w.identity as worker_identity, r.workflow_task_failure as last_failure, r.buffered_count as buffered_events, e.shard
from perdure.executions e
join perdure.workflow_tasks t on t.shard = e.shard and t.run_id = e.run_id
join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
left join perdure.workers w on w.worker_id = coalesce(t.worker, t.sticky_worker);
comment on view perdure.pending_workflow_tasks is
    'One row is a workflow task that has not ended, and why it failed before.';
comment on column perdure.pending_workflow_tasks.namespace is 'The namespace.';
comment on column perdure.pending_workflow_tasks.workflow_id is 'The id that the application chose.';
comment on column perdure.pending_workflow_tasks.run_id is 'The run.';
comment on column perdure.pending_workflow_tasks.workflow_type is 'The workflow''s type.';
comment on column perdure.pending_workflow_tasks.task_queue is 'The queue that hands it out.';
comment on column perdure.pending_workflow_tasks.state is 'Scheduled, Started or Backoff.';
comment on column perdure.pending_workflow_tasks.attempt is 'The number of the present or next attempt, from 1.';
comment on column perdure.pending_workflow_tasks.scheduled_time is 'Since when it waits.';
comment on column perdure.pending_workflow_tasks.started_time is 'When a worker claimed it.';
comment on column perdure.pending_workflow_tasks.next_attempt_time is 'When it is tried next, while it backs off.';
comment on column perdure.pending_workflow_tasks.worker_identity is
    'The identity of the worker that has it, or for which it is kept.';
comment on column perdure.pending_workflow_tasks.last_failure is 'Why the attempt before failed, with its cause.';
comment on column perdure.pending_workflow_tasks.buffered_events is 'How many events wait for it to end.';
comment on column perdure.pending_workflow_tasks.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';

create or replace view perdure.task_queue_backlog as
select backlog.namespace, backlog.task_queue, backlog.kind,
    count(*) filter (where backlog.state = 'scheduled') as waiting,
    count(*) filter (where backlog.state = 'started') as running,
        count(*) filter (where backlog.state = 'backoff') as backing_off,
    statement_timestamp() - min(backlog.since) filter (where backlog.state = 'scheduled') as oldest
from (
    select t.namespace, t.task_queue, 'workflow' as kind, t.state, t.scheduled_at as since from perdure.workflow_tasks t
    union all
    select a.namespace, a.task_queue, 'activity', a.state, a.attempt_scheduled_at from perdure.activity_tasks a) backlog
group by backlog.namespace, backlog.task_queue, backlog.kind;
comment on view perdure.task_queue_backlog is
    'One row is a task queue and kind of task: how many tasks wait, run and back off, and the age of the oldest.';
comment on column perdure.task_queue_backlog.namespace is 'The namespace.';
comment on column perdure.task_queue_backlog.task_queue is 'The task queue.';
comment on column perdure.task_queue_backlog.kind is 'workflow or activity.';
comment on column perdure.task_queue_backlog.waiting is 'How many tasks can be claimed.';
comment on column perdure.task_queue_backlog.running is 'How many tasks workers have.';
comment on column perdure.task_queue_backlog.backing_off is 'How many tasks wait for their next attempt.';
comment on column perdure.task_queue_backlog.oldest is 'How long the oldest has waited to be claimed.';

create or replace view perdure.live_workers as
select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at, w.lease_until,
    w.lease_until > statement_timestamp() as alive,
    w.waiting, w.details, w.lease_until - w.lease as last_seen_at, w.slots_in_use
from perdure.workers w
where w.lost_at is null;
comment on view perdure.live_workers is 'One row is a registered worker and its lease.';
comment on column perdure.live_workers.worker_id is 'The process.';
comment on column perdure.live_workers.namespace is 'The namespace.';
comment on column perdure.live_workers.identity is 'What it calls itself, for people.';
comment on column perdure.live_workers.build_id is 'The build of its code.';
comment on column perdure.live_workers.task_queues is 'The queues that it polls.';
comment on column perdure.live_workers.registered_at is 'When it came.';
comment on column perdure.live_workers.lease_until is 'When it counts as lost, unless it renews its lease.';
comment on column perdure.live_workers.alive is 'Whether its lease runs.';
comment on column perdure.live_workers.waiting is 'Whether it sleeps until a notification.';
comment on column perdure.live_workers.details is
    'What else the worker tells of itself: its types, and how many tasks of each kind it takes at a time.';
comment on column perdure.live_workers.last_seen_at is 'When it last renewed its lease.';
comment on column perdure.live_workers.slots_in_use is
    'How many tasks of each kind it had when it last renewed its lease; null if it does not tell.';
