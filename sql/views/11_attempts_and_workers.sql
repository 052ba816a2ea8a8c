-- What lies behind the histories: failed attempts, and which workers lived when.

create or replace view perdure.failed_attempts as
select e.namespace, e.workflow_id, a.run_id, a.scheduled_event_id, a.attempt, a.scheduled_at as scheduled_time, a.started_at as started_time,
    a.ended_at as ended_time, a.worker_identity, a.worker_lost, coalesce(a.failure #>> '{cause,message}', a.failure ->> 'message') as failure_message,
    a.failure, a.shard
from perdure.activity_attempts a
join perdure.executions e on e.shard = a.shard and e.run_id = a.run_id;
comment on view perdure.failed_attempts is
    'One row is an attempt of an activity that failed and was followed by another, with its times, worker and failure: at most the latest 100 of an activity.';

create or replace view perdure.worker_lives as
select w.worker_id, w.namespace, w.identity, w.build_id, w.task_queues, w.registered_at,
    case when w.lease_until > clock_timestamp() then 'Alive' else 'Overdue' end as state,
    w.lease_until - w.lease as last_seen_at, null::timestamptz as ended_at, w.details
from perdure.workers w
union all
select p.worker_id, p.namespace, p.identity, p.build_id, p.task_queues, p.registered_at, case when p.lost then 'Lost' else 'Stopped' end,
    p.last_seen_at, p.ended_at, p.details
from perdure.past_workers p;
comment on view perdure.worker_lives is
    'One row is a worker process, alive or gone: a lost one was last seen when it renewed its lease, and ended when that was found to be over.';
