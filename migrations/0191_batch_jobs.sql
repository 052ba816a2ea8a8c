-- Resets of many runs become batch jobs, which also terminate, cancel, signal and delete
-- (docs/decisions/0052-batch-jobs.md).

drop view if exists perdure.reset_job_progress;
drop view if exists perdure.reset_job_results;
drop function if exists perdure.start_reset_job(text, jsonb, text, text, text);
drop function if exists perdure.reset_next_of_job(smallint, uuid);
drop function if exists perdure.stop_reset_job(uuid);
drop procedure if exists perdure.run_reset_job(uuid);

alter table perdure.reset_jobs rename to batch_jobs;
alter table perdure.batch_jobs rename constraint reset_jobs_pkey to batch_jobs_pkey;
alter table perdure.batch_jobs rename constraint reset_jobs_namespace_fkey to batch_jobs_namespace_fkey;
alter table perdure.batch_jobs
    add column operation text not null default 'reset'
        check (operation in ('reset', 'terminate', 'cancel', 'signal', 'delete')),
    add column name text collate "C",
    add column named_runs jsonb,
    add column operations_per_second double precision
        check (operations_per_second between 0.001 and 1000000),
    add column listed_up_to jsonb,
    add column is_listed boolean not null default true,
    add column closed_at timestamptz,
    add column list_tries int not null default 0,
    add column failure text,
    alter column filter drop not null;
alter table perdure.reset_job_runs rename to batch_job_runs;
alter table perdure.batch_job_runs drop constraint reset_job_runs_pkey;
alter table perdure.batch_job_runs add constraint batch_job_runs_pkey
    primary key (shard, job_id, workflow_id, run_id);
alter table perdure.batch_job_runs drop constraint reset_job_runs_state_check;
alter table perdure.batch_job_runs
    add column tries int not null default 0,
    add column next_at timestamptz;
alter index perdure.reset_job_runs_waiting rename to batch_job_runs_waiting;

update perdure.batch_job_runs set state = 'done' where state = 'reset';
update perdure.batch_jobs j set name = j.job_id::text, closed_at = coalesce(j.stopped_at, (
    select max(r.done_at) from perdure.batch_job_runs r
    where r.job_id = j.job_id having bool_and(r.state <> 'waiting')));
-- Until now a job went on only when somebody called for it. What was interrupted does not begin again by itself.
update perdure.batch_jobs j set stopped_at = clock_timestamp(), closed_at = clock_timestamp()
where j.closed_at is null;

alter table perdure.batch_job_runs add constraint batch_job_runs_state_check
    check (state in ('waiting', 'done', 'failed'));
alter table perdure.batch_jobs
    alter column operation drop default,
    alter column is_listed set default false,
    alter column name set not null,
    add constraint batch_jobs_name_key unique (namespace, name);
create index batch_jobs_open on perdure.batch_jobs (created_at) where closed_at is null;

comment on table perdure.batch_jobs is
    'One row is a request to reset, terminate, cancel, signal or delete all runs that a filter chose.';
comment on column perdure.batch_jobs.operation is 'reset, terminate, cancel, signal or delete.';
comment on column perdure.batch_jobs.name is
    'The name that whoever asked gave it. No other job of the namespace has it.';
comment on column perdure.batch_jobs.filter is
    'The list filter that chooses the runs; null if they were named one by one.';
comment on column perdure.batch_jobs.named_runs is
    'The runs that were named: [{"workflowId", "runId"}]; null for those that a filter chooses.';
comment on column perdure.batch_jobs.options is
    'Of a reset: where each run goes back to, and the other options of reset_workflow. Of a signal: signalName, input '
    'and header. Of a termination: details.';
comment on column perdure.batch_jobs.operations_per_second is
    'How many runs it may change in a second; null for as many as it can.';
comment on column perdure.batch_jobs.listed_up_to is
    'The last run that was written down, as list_workflows takes it; null before the first.';
comment on column perdure.batch_jobs.is_listed is 'Whether all runs that the filter chooses have been written down.';
comment on column perdure.batch_jobs.closed_at is
    'When nothing was left to do, or somebody stopped it, or it failed; null for an open job.';
comment on column perdure.batch_jobs.list_tries is
    'How often in a row the runs that the filter chooses could not be listed. After ten times the job has failed.';
comment on column perdure.batch_jobs.failure is
    'Why the runs that the filter chooses could not be listed; null if they could.';
comment on table perdure.batch_job_runs is 'One row is a run that a batch job changes.';
comment on column perdure.batch_job_runs.run_id is
    'The run. Of a job that resets: the newest one of its workflow id that the filter chose.';
comment on column perdure.batch_job_runs.state is 'waiting, done or failed.';
comment on column perdure.batch_job_runs.new_run_id is 'The run that a reset made.';
comment on column perdure.batch_job_runs.error is 'Why it was not changed.';
comment on column perdure.batch_job_runs.done_at is 'When it was changed, or failed to be.';
comment on column perdure.batch_job_runs.tries is
    'How often it could not be changed for a reason that may pass, such as a lock. After ten times it has failed.';
comment on column perdure.batch_job_runs.next_at is 'When it is tried again; null for a run that was not tried.';
