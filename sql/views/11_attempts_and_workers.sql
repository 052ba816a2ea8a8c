-- What histories do not tell: failed attempts, and which workers lived when.

create or replace view perdure.failed_attempts as
select e.namespace, e.workflow_id, a.run_id, a.scheduled_event_id, a.attempt, a.scheduled_at as scheduled_time,
    a.started_at as started_time,
    a.ended_at as ended_time, a.worker_identity, a.worker_lost,
        coalesce(a.failure #>> '{cause,message}', a.failure ->> 'message') as failure_message,
    a.failure, a.shard
from perdure.activity_attempts a
join perdure.executions e on e.shard = a.shard and e.run_id = a.run_id;
comment on view perdure.failed_attempts is
    'One row is an attempt of an activity that failed and was followed by another, with its times, worker and '
    'failure: at most the latest 100 of each activity.';
comment on column perdure.failed_attempts.namespace is 'The namespace.';
comment on column perdure.failed_attempts.workflow_id is 'The id that the application chose.';
comment on column perdure.failed_attempts.run_id is 'The run.';
comment on column perdure.failed_attempts.scheduled_event_id is 'The activity''s ActivityTaskScheduled.';
comment on column perdure.failed_attempts.attempt is 'Which attempt it was, from 1.';
comment on column perdure.failed_attempts.scheduled_time is 'The time from which it could be claimed.';
comment on column perdure.failed_attempts.started_time is 'When a worker claimed it.';
comment on column perdure.failed_attempts.ended_time is 'When it failed.';
comment on column perdure.failed_attempts.worker_identity is 'Who had it.';
comment on column perdure.failed_attempts.worker_lost is 'Whether it failed because the lease of its worker ran out.';
comment on column perdure.failed_attempts.failure_message is
    'The message of the failure, or of its cause if it has one.';
comment on column perdure.failed_attempts.failure is 'Why it failed.';
comment on column perdure.failed_attempts.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';

create or replace view perdure.worker_lives as
select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at,
    case when w.lease_until > statement_timestamp() then 'Alive' else 'Overdue' end as state,
    w.lease_until - w.lease as last_seen_at, null::timestamptz as ended_at, w.details
from perdure.workers w
union all
select p.worker_id, p.namespace, p.identity, p.build_id, p.task_queues, p.registered_at, case when p.lost then 'Lost'
    else 'Stopped' end,
    p.last_seen_at, p.ended_at, p.details
from perdure.past_workers p;
comment on view perdure.worker_lives is
    'One row is a worker process, alive or gone. A lost worker was last seen when it last renewed its lease, and '
    'ended when upkeep found that its lease was over.';
comment on column perdure.worker_lives.worker_id is 'The process.';
comment on column perdure.worker_lives.namespace is 'The namespace.';
comment on column perdure.worker_lives.identity is 'What it calls itself, for people.';
comment on column perdure.worker_lives.build_id is 'The build of its code.';
comment on column perdure.worker_lives.task_queues is 'The queues that it polls.';
comment on column perdure.worker_lives.registered_at is 'When it came.';
comment on column perdure.worker_lives.state is 'Alive, Overdue (not heard of in time), Lost or Stopped.';
comment on column perdure.worker_lives.last_seen_at is 'When it last renewed its lease.';
comment on column perdure.worker_lives.ended_at is 'When it stopped or was found to be lost; null while it is alive.';
comment on column perdure.worker_lives.details is 'What else it tells of itself.';
