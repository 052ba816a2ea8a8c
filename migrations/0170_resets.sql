-- Resets: a run that goes back to one of its workflow tasks goes on as another run
-- (docs/decisions/0038-resets.md).

alter table perdure.executions
    add column reset_run_id uuid,
    add column reset_from jsonb,
    add column reset_request_id text collate "C";
comment on column perdure.executions.reset_run_id is
    'The run that it was last reset to; null for one that was never reset.';
comment on column perdure.executions.reset_from is
    'The runs that it was made of by resets, newest first, each with the first event that it does not share with it: '
    '[{"runId", "eventId", "reason", "identity"}]; null for a run that no reset made.';
comment on column perdure.executions.reset_request_id is
    'The request of the reset that made it: a repeat finds this run.';

alter table perdure.run_states add column repeats_calls boolean not null default false;
comment on column perdure.run_states.repeats_calls is
    'Whether repeated_calls has calls that it has not made again.';

alter table perdure.activity_tasks add column idempotency_key text collate "C";
comment on column perdure.activity_tasks.idempotency_key is
    'The key of the call that it repeats; null for the usual one, the run id and the activity id.';

alter table perdure.updates add column admitted_event_id bigint;
comment on column perdure.updates.admitted_event_id is
    'Its WorkflowExecutionUpdateAdmitted, which only an update has that a reset took over; null for any other.';

create table perdure.repeated_calls (
    shard smallint not null,
    run_id uuid not null,
    place bigint not null,
    activity_id text collate "C" not null,
    activity_type text collate "C" not null,
    input_hash text collate "C",
    idempotency_key text collate "C" not null,
    scheduled_event_id bigint,
    primary key (shard, run_id, place)
);
comment on table perdure.repeated_calls is
    'One row is a call of an activity that the run made before it was reset: made again, it has the same key.';
comment on column perdure.repeated_calls.shard is
    'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.repeated_calls.run_id is 'The run that the reset made.';
comment on column perdure.repeated_calls.place is 'The ActivityTaskScheduled of the call in the run that was reset.';
comment on column perdure.repeated_calls.activity_id is 'The id that it had there.';
comment on column perdure.repeated_calls.activity_type is 'The activity''s type.';
comment on column perdure.repeated_calls.input_hash is
    'What tells whether another call has the same arguments; null where they are encrypted.';
comment on column perdure.repeated_calls.idempotency_key is 'The key that it had.';
comment on column perdure.repeated_calls.scheduled_event_id is
    'The ActivityTaskScheduled by which this run makes the call; null while it has not.';
create index repeated_calls_not_made on perdure.repeated_calls (shard, run_id, activity_type, input_hash)
    where scheduled_event_id is null;

create table perdure.reset_jobs (
    job_id uuid primary key,
    namespace text collate "C" not null references perdure.namespaces on delete cascade,
    filter text not null,
    options jsonb not null,
    requested_by text not null,
    created_at timestamptz not null,
    stopped_at timestamptz
);
comment on table perdure.reset_jobs is 'One row is a request to reset all runs that a filter chose.';
comment on column perdure.reset_jobs.job_id is 'The job.';
comment on column perdure.reset_jobs.namespace is 'The namespace.';
comment on column perdure.reset_jobs.filter is 'The list filter that chose the runs.';
comment on column perdure.reset_jobs.options is 'Where each run goes back to, and the other options of reset_workflow.';
comment on column perdure.reset_jobs.requested_by is 'Who asked for it.';
comment on column perdure.reset_jobs.created_at is 'When.';
comment on column perdure.reset_jobs.stopped_at is 'When somebody stopped it; null for a job that was not stopped.';

create table perdure.reset_job_runs (
    shard smallint not null,
    job_id uuid not null,
    workflow_id text collate "C" not null,
    run_id uuid not null,
    state text not null default 'waiting' check (state in ('waiting', 'reset', 'failed')),
    new_run_id uuid,
    error text,
    done_at timestamptz,
    primary key (shard, job_id, workflow_id)
) with (fillfactor = 70);
comment on table perdure.reset_job_runs is 'One row is a run that a job resets.';
comment on column perdure.reset_job_runs.shard is
    'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.reset_job_runs.job_id is 'The job.';
comment on column perdure.reset_job_runs.workflow_id is 'The workflow id of the run.';
comment on column perdure.reset_job_runs.run_id is 'The run: the newest one of its id that the filter chose.';
comment on column perdure.reset_job_runs.state is 'waiting, reset or failed.';
comment on column perdure.reset_job_runs.new_run_id is 'The run that it goes on as.';
comment on column perdure.reset_job_runs.error is 'Why it was not reset.';
comment on column perdure.reset_job_runs.done_at is 'When it was reset, or failed to be.';
create index reset_job_runs_waiting on perdure.reset_job_runs (shard, job_id, workflow_id) where state = 'waiting';
