-- Work that raised an error when it was due, and that is tried again.

create or replace view perdure.set_aside_work as
select coalesce(e.namespace, '') as namespace, e.workflow_id, s.run_id, s.kind, s.id as event_id, s.error, s.sqlstate,
    s.since, s.attempts,
    s.next_at as next_attempt_time, s.shard
from perdure.set_aside s left join perdure.executions e on e.shard = s.shard and e.run_id = s.run_id;
comment on view perdure.set_aside_work is
    'One row is work that was due, or was reported, and raised an error. It is tried again; nothing else waits for '
    'it.';
comment on column perdure.set_aside_work.namespace is 'The namespace.';
comment on column perdure.set_aside_work.workflow_id is
    'The id that the application chose; null for a run that is gone.';
comment on column perdure.set_aside_work.run_id is 'The run.';
comment on column perdure.set_aside_work.kind
    is 'timer, activity, workflow task, lost worker, transfer, deletion or result.';
comment on column perdure.set_aside_work.event_id is
    'The event that started the timer or scheduled the activity, or the id of the transfer; 0 for other kinds.';
comment on column perdure.set_aside_work.error is 'The message of the last error.';
comment on column perdure.set_aside_work.sqlstate is 'Its SQLSTATE.';
comment on column perdure.set_aside_work.since is 'When it was set aside first.';
comment on column perdure.set_aside_work.attempts is 'How many times it has been tried.';
comment on column perdure.set_aside_work.next_attempt_time is 'When it is tried again.';
comment on column perdure.set_aside_work.shard is 'perdure.shard_for(namespace, workflow_id).';
