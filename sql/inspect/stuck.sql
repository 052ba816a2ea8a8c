-- Work that does not go on by itself, and why.
--     \i sql/inspect/stuck.sql
\echo Workflow tasks that fail again and again: a bug in workflow code. Deploy fixed code.
select t.namespace, t.workflow_id, t.workflow_type, t.attempt, t.next_attempt_time,
    left(t.last_failure ->> 'message', 100) as last_failure
from perdure.pending_workflow_tasks t where t.attempt > 1 or t.last_failure is not null order by t.attempt desc
    limit 50;

\echo Activities that have failed three times or more: something that they call is away, or they have a bug.
select a.namespace, a.workflow_id, a.activity_type, a.attempt, a.maximum_attempts, a.next_attempt_time,
    left(a.last_failure_message, 100) as last_failure
from perdure.pending_activities a where a.attempt > 3 order by a.attempt desc limit 50;

\echo Queues with work and no worker: start one, or correct the name of the queue.
select b.namespace, b.task_queue, b.kind, b.waiting, b.oldest from perdure.task_queue_backlog b
where b.waiting > 0 and not exists (
    select from perdure.live_workers w where w.alive and w.namespace = b.namespace
        and b.task_queue = any (w.task_queues))
order by b.waiting desc limit 50;

\echo Timers that are due and have not fired: no worker does the upkeep.
select t.namespace, t.workflow_id, t.kind, t.timer_id, clock_timestamp() - t.fire_time as late
from perdure.pending_timers t where t.fire_time < clock_timestamp() - interval '10 s' order by t.fire_time limit 50;
