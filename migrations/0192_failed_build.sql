-- A workflow task that keeps failing is tried less and less often, at least every ten minutes instead of every ten
-- seconds, and at once when a worker of another build registers
-- (docs/decisions/0053-retries-of-failing-workflow-tasks.md).

alter table perdure.workflow_tasks add column failed_build text collate "C";
comment on column perdure.workflow_tasks.failed_build is
    'The build of the worker whose attempt failed last; null for one that has no build id.';

update perdure.settings set value = '"600s"' where name = 'workflow_task_retry_cap' and value = '"10s"';
