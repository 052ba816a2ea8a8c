-- How many tasks wait and run in each task queue, and how many workers poll it.
--     \i sql/inspect/queues.sql
select b.namespace, b.task_queue, b.kind, b.waiting, b.running, b.backing_off, b.oldest,
    (select count(*) from perdure.live_workers w where w.alive and w.namespace = b.namespace
        and b.task_queue = any (w.task_queues)) as workers
from perdure.task_queue_backlog b order by b.namespace, b.task_queue, b.kind;
