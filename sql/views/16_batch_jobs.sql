create or replace view perdure.batch_job_progress as
select j.job_id, j.namespace, j.name, j.operation, j.filter, j.options - 'reason' as options,
    j.options ->> 'reason' as reason, j.requested_by, j.created_at, j.stopped_at, j.closed_at, j.failure,
    (select count(*) from perdure.batch_job_runs r where r.job_id = j.job_id) as runs,
    (select count(*) from perdure.batch_job_runs r where r.job_id = j.job_id and r.state = 'waiting') as waiting,
    (select count(*) from perdure.batch_job_runs r where r.job_id = j.job_id and r.state = 'done') as done,
    (select count(*) from perdure.batch_job_runs r where r.job_id = j.job_id and r.state = 'failed') as failed,
    j.is_listed, j.named_runs
from perdure.batch_jobs j;
comment on view perdure.batch_job_progress is
    'One row is a request to change all runs that a filter chose. A count is read only when it is selected.';
comment on column perdure.batch_job_progress.job_id is 'The job: call perdure.run_batch_job(…) goes on with it.';
comment on column perdure.batch_job_progress.namespace is 'The namespace.';
comment on column perdure.batch_job_progress.name is 'Its name in the namespace.';
comment on column perdure.batch_job_progress.operation is 'reset, terminate, cancel, signal or delete.';
comment on column perdure.batch_job_progress.filter is 'The list filter; null if the runs were named.';
comment on column perdure.batch_job_progress.options is
    'Of a reset where each run goes back to, and what is applied again; of a signal its name and input.';
comment on column perdure.batch_job_progress.reason is 'Why the runs are changed.';
comment on column perdure.batch_job_progress.requested_by is 'Who asked for it.';
comment on column perdure.batch_job_progress.created_at is 'When the job was made.';
comment on column perdure.batch_job_progress.stopped_at is 'When it was stopped; null for a job that was not.';
comment on column perdure.batch_job_progress.closed_at is
    'When nothing was left, or it was stopped, or it failed; null for an open job.';
comment on column perdure.batch_job_progress.failure is
    'Why the runs that the filter chooses could not be listed.';
comment on column perdure.batch_job_progress.runs is 'How many runs have been written down so far.';
comment on column perdure.batch_job_progress.waiting is 'How many of them are left.';
comment on column perdure.batch_job_progress.done is 'How many were changed, or had gone before.';
comment on column perdure.batch_job_progress.failed is 'How many could not be changed.';
comment on column perdure.batch_job_progress.is_listed is
    'Whether all runs that the filter chooses have been written down.';
comment on column perdure.batch_job_progress.named_runs is
    'The runs that were named: [{"workflowId", "runId"}]; null for those that a filter chooses.';

create or replace view perdure.batch_job_results as
select r.job_id, r.workflow_id, r.run_id, r.state, r.new_run_id, r.error, r.done_at, r.tries, r.next_at
from perdure.batch_job_runs r;
comment on view perdure.batch_job_results is 'One row is a run that a batch job changes.';
comment on column perdure.batch_job_results.job_id is 'The job.';
comment on column perdure.batch_job_results.workflow_id is 'The workflow id.';
comment on column perdure.batch_job_results.run_id is 'The run that the filter chose.';
comment on column perdure.batch_job_results.state is 'waiting, done or failed.';
comment on column perdure.batch_job_results.new_run_id is 'The run that a reset made.';
comment on column perdure.batch_job_results.error is 'Why it was not changed, or could not be changed the last time.';
comment on column perdure.batch_job_results.tries is
    'How often it could not be changed for a reason that may pass, such as a lock.';
comment on column perdure.batch_job_results.next_at is 'When it is tried again; null for a run that was not tried.';
comment on column perdure.batch_job_results.done_at is 'When it was changed, or failed to be.';
