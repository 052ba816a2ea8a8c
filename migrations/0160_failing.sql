-- Why a task fails, in few words, so that runs can be counted and found by it (docs/decisions/0046-conditions-of-runs.md).
-- Null for a task that has not failed: what succeeds at once has no entry in these indexes.

alter table perdure.activity_tasks
    add column failure_cause text collate "C",
    add column failing_since timestamptz,
    add column failing_build text collate "C";
comment on column perdure.activity_tasks.failure_cause is
    'What the last attempt failed of, in few words: perdure.failure_cause. Null before an attempt has failed.';
comment on column perdure.activity_tasks.failing_since is 'Since when attempts fail of that.';
comment on column perdure.activity_tasks.failing_build is
    'The build of the worker whose attempt first failed of that; null for a worker that is gone.';
create index activity_tasks_failing on perdure.activity_tasks (namespace, failure_cause, failing_since)
    where failure_cause is not null;
create index activity_tasks_failing_build on perdure.activity_tasks (namespace, failing_build)
    where failing_build is not null;

alter table perdure.workflow_tasks
    add column failure_cause text collate "C",
    add column failing_since timestamptz,
    add column failing_build text collate "C";
comment on column perdure.workflow_tasks.failure_cause is
    'What the run''s code failed of, in few words: perdure.failure_cause. Null before an attempt has failed.';
comment on column perdure.workflow_tasks.failing_since is 'Since when attempts fail of that.';
comment on column perdure.workflow_tasks.failing_build is
    'The build of the worker whose attempt first failed of that; null for a worker that is gone.';
create index workflow_tasks_failing on perdure.workflow_tasks (namespace, failure_cause, failing_since)
    where failure_cause is not null;
create index workflow_tasks_failing_build on perdure.workflow_tasks (namespace, failing_build)
    where failing_build is not null;
