-- The worker processes: which are alive, which have fallen silent, and what each works on.
--     \i sql/inspect/workers.sql
select w.namespace, w.identity, w.build_id, array_to_string(w.task_queues, ', ') as task_queues,
    case when not w.alive then 'lost' when w.waiting then 'idle' else 'busy' end as state,
    date_trunc('second', clock_timestamp() - w.registered_at) as up,
        date_trunc('second', w.lease_until - clock_timestamp()) as lease_left,
    (select count(*) from perdure.pending_activities a where a.worker_identity = w.identity and a.state <> 'Scheduled')
        as activities
from perdure.live_workers w order by w.namespace, w.identity;
