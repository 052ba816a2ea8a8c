-- The states of runs, in words.

create or replace view perdure.workflow_verdicts as
select e.namespace, e.workflow_id, e.run_id, e.workflow_type, e.status::text as status, v.condition, v.verdict,
    v.reason,
    v.cause, v.since, v.due_at as due_time, v.failed_attempts, v.event_id, v.task_queue, e.shard
from perdure.executions e cross join lateral perdure.run_verdict(e.shard, e.run_id) v;
comment on view perdure.workflow_verdicts is
    'One row is a run and its state: what it waits for, what fails, and since when.';
comment on column perdure.workflow_verdicts.namespace is 'The namespace.';
comment on column perdure.workflow_verdicts.workflow_id is 'The id that the application chose.';
comment on column perdure.workflow_verdicts.run_id is 'The run.';
comment on column perdure.workflow_verdicts.workflow_type is 'The workflow''s type.';
comment on column perdure.workflow_verdicts.status is
    'Running, Completed, Failed, Canceled, Terminated, ContinuedAsNew or TimedOut.';
comment on column perdure.workflow_verdicts.condition is
    'For an open run the worst of Running, Retrying, CodeFails, NoWorker and Paused that is true of it; else its '
    'status.';
comment on column perdure.workflow_verdicts.verdict is 'The state of the run, as a sentence.';
comment on column perdure.workflow_verdicts.reason is 'The same in few words.';
comment on column perdure.workflow_verdicts.cause is 'What fails, as list filters find it; null for nothing.';
comment on column perdure.workflow_verdicts.since is 'When this state began.';
comment on column perdure.workflow_verdicts.due_time is
    'When what the run waits for is due; null if there is no such time.';
comment on column perdure.workflow_verdicts.failed_attempts is 'How many attempts of the failing step have failed.';
comment on column perdure.workflow_verdicts.event_id is 'The event that began the step that the verdict is about.';
comment on column perdure.workflow_verdicts.task_queue is 'The task queue of that step.';
comment on column perdure.workflow_verdicts.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';

create or replace view perdure.task_queue_minutes as
select s.namespace, s.minute, s.task_queue, s.kind, s.waiting, s.oldest_seconds, s.failing, s.finished
from perdure.queue_samples s;
comment on view perdure.task_queue_minutes is
    'One row is a task queue and kind of task in a minute of the last day, as upkeep saw it.';
comment on column perdure.task_queue_minutes.namespace is 'The namespace.';
comment on column perdure.task_queue_minutes.minute is 'The minute.';
comment on column perdure.task_queue_minutes.task_queue is 'The task queue.';
comment on column perdure.task_queue_minutes.kind is 'workflow or activity.';
comment on column perdure.task_queue_minutes.waiting is 'How many tasks could be claimed; counted to 10,000.';
comment on column perdure.task_queue_minutes.oldest_seconds is 'How long the oldest of them had waited.';
comment on column perdure.task_queue_minutes.failing is
    'How many tasks had failed and were tried again; counted to 10,000.';
comment on column perdure.task_queue_minutes.finished is 'How many tasks workers finished in the minute before.';

create or replace view perdure.list_views as
select v.namespace, v.name, v.address, v.saved_by, v.saved_at as saved_time from perdure.saved_views v;
comment on view perdure.list_views is
    'One row is a list of runs that the history pages show under a name: perdure.save_view, perdure.delete_view.';
comment on column perdure.list_views.namespace is 'The namespace.';
comment on column perdure.list_views.name is 'What it is called.';
comment on column perdure.list_views.address is 'The query of the list''s address.';
comment on column perdure.list_views.saved_by is 'Who saved it last.';
comment on column perdure.list_views.saved_time is 'When that was.';
