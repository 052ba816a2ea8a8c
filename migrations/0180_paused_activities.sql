-- Somebody pauses, resets or changes an activity (docs/decisions/0047-paused-activities.md).

alter table perdure.activity_tasks
    add column paused_at timestamptz,
    add column paused_by text,
    add column pause_reason text,
    add column pause_request_id text collate "C",
    add column reset text collate "C",
    add column attempt_ended_at timestamptz,
    add column given_priority jsonb;
comment on column perdure.activity_tasks.paused_at is
    'When somebody paused it; null for one that is not paused. One that is started runs on, and is not tried again.';
comment on column perdure.activity_tasks.paused_by is 'Who paused it.';
comment on column perdure.activity_tasks.pause_reason is 'Why, in the words of whoever paused it.';
comment on column perdure.activity_tasks.pause_request_id is 'The request that paused it: a repeat changes nothing.';
comment on column perdure.activity_tasks.reset is
    'What somebody reset while it was started, for the next attempt: attempts, or heartbeat for its details as well.';
comment on column perdure.activity_tasks.attempt_ended_at is 'When the attempt before ended.';
comment on column perdure.activity_tasks.given_priority is
    'The priority that its command named, with fairness key and weight; null when it has that of its run.';

comment on column perdure.activity_tasks.state is
    'scheduled: it can be claimed. started: a worker has it. backoff: it waits until deadline for its next attempt. '
    'paused: it waits until somebody unpauses it.';
create index activity_tasks_paused on perdure.activity_tasks (namespace) where paused_at is not null;
