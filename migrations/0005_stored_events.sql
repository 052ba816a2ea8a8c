-- Batches of history name their worker once, and tasks have no index by worker: docs/decisions/0003-stored-events.md.

alter table perdure.history
    add column worker_id uuid,
    add column worker_identity text,
    add column worker_build_id text;
comment on column perdure.history.worker_id is 'The worker whose work it tells of, if that stands here once for all events.';
comment on column perdure.history.worker_identity is 'What that worker calls itself.';
comment on column perdure.history.worker_build_id is 'The build of its code.';
comment on column perdure.history.events is 'The events, each {"eventType", "attributes"} with Temporal''s names; or {"eventType", "given"} with those attributes alone that do not follow from the rest. perdure.whole_event puts the others back.';

alter table perdure.activity_tasks alter column retry_policy drop not null;
comment on column perdure.activity_tasks.retry_policy is 'Its retry policy, complete; null for Temporal''s defaults.';

drop index perdure.workflow_tasks_held, perdure.activity_tasks_held;
