create or replace view perdure.reset_job_progress as
select j.job_id, j.namespace, j.filter, j.options - 'reason' as options, j.options ->> 'reason' as reason,
    j.requested_by, j.created_at, j.stopped_at, p.runs, p.waiting, p.reset, p.failed, p.done_at
from perdure.reset_jobs j
cross join lateral (
    select count(*) as runs, count(*) filter (where r.state = 'waiting') as waiting,
        count(*) filter (where r.state = 'reset') as reset, count(*) filter (where r.state = 'failed') as failed,
        case when bool_and(r.state <> 'waiting') then max(r.done_at) end as done_at
    from perdure.reset_job_runs r where r.job_id = j.job_id) p;
comment on view perdure.reset_job_progress is 'One row is a request to reset all runs that a filter chose.';
comment on column perdure.reset_job_progress.job_id is 'The job: call perdure.run_reset_job(…) goes on with it.';
comment on column perdure.reset_job_progress.namespace is 'The namespace.';
comment on column perdure.reset_job_progress.filter is 'The list filter.';
comment on column perdure.reset_job_progress.options is 'Where each run goes back to, and what is applied again.';
comment on column perdure.reset_job_progress.reason is 'Why the runs are reset.';
comment on column perdure.reset_job_progress.requested_by is 'Who asked for it.';
comment on column perdure.reset_job_progress.created_at is 'When the job was made.';
comment on column perdure.reset_job_progress.stopped_at is 'When it was stopped; null for a job that was not.';
comment on column perdure.reset_job_progress.runs is 'How many runs the filter chose, of each workflow id one.';
comment on column perdure.reset_job_progress.waiting is 'How many are left.';
comment on column perdure.reset_job_progress.reset is 'How many were reset.';
comment on column perdure.reset_job_progress.failed is 'How many could not be reset.';
comment on column perdure.reset_job_progress.done_at is
    'When the last one was reset or failed; null while some are left.';

create or replace view perdure.reset_job_results as
select r.job_id, r.workflow_id, r.run_id, r.state, r.new_run_id, r.error, r.done_at
from perdure.reset_job_runs r;
comment on view perdure.reset_job_results is 'One row is a run that a job resets.';
comment on column perdure.reset_job_results.job_id is 'The job.';
comment on column perdure.reset_job_results.workflow_id is 'The workflow id.';
comment on column perdure.reset_job_results.run_id is 'The run that the filter chose.';
comment on column perdure.reset_job_results.state is 'waiting, reset or failed.';
comment on column perdure.reset_job_results.new_run_id is 'The run that it goes on as.';
comment on column perdure.reset_job_results.error is 'Why it was not reset.';
comment on column perdure.reset_job_results.done_at is 'When it was reset, or failed to be.';
