-- What histories do not tell: the attempts of an activity before its last one, and the workers that have gone.

create table perdure.activity_attempts (
    shard smallint not null,
    run_id uuid not null,
    scheduled_event_id bigint not null,
    attempt int not null,
    scheduled_at timestamptz not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    worker_identity text not null,
    worker_lost boolean not null,
    failure jsonb not null,
    primary key (shard, run_id, scheduled_event_id, attempt)
);
comment on column perdure.activity_attempts.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.activity_attempts.run_id is 'The run, a UUID version 7.';
comment on column perdure.activity_attempts.scheduled_event_id is 'The activity''s ActivityTaskScheduled.';
comment on column perdure.activity_attempts.attempt is 'Which attempt it was, from 1.';
comment on column perdure.activity_attempts.scheduled_at is 'From when it could be claimed.';
comment on column perdure.activity_attempts.started_at is 'When a worker claimed it.';
comment on column perdure.activity_attempts.ended_at is 'When it failed.';
comment on column perdure.activity_attempts.worker_identity is 'Who had it.';
comment on column perdure.activity_attempts.worker_lost is 'Whether it failed because the lease of its worker ran out.';
comment on column perdure.activity_attempts.failure is 'Why it failed.';

create table perdure.past_workers (
    worker_id uuid primary key,
    namespace text collate "C" not null,
    identity text not null,
    build_id text not null,
    task_queues text[] not null,
    registered_at timestamptz not null,
    last_seen_at timestamptz not null,
    ended_at timestamptz not null,
    lost boolean not null,
    details jsonb not null
);
comment on column perdure.past_workers.worker_id is 'The process.';
comment on column perdure.past_workers.namespace is 'Whose tasks it took.';
comment on column perdure.past_workers.identity is 'What it called itself.';
comment on column perdure.past_workers.build_id is 'The build of its code.';
comment on column perdure.past_workers.task_queues is 'The queues that it polled.';
comment on column perdure.past_workers.registered_at is 'When it came.';
comment on column perdure.past_workers.last_seen_at is 'When it last renewed its lease.';
comment on column perdure.past_workers.ended_at is 'When it left, or when it was found that its lease had run out.';
comment on column perdure.past_workers.lost is 'Whether it was lost, rather than stopped.';
comment on column perdure.past_workers.details is 'What else it told of itself.';
create index past_workers_by_end on perdure.past_workers (namespace, ended_at);

comment on table perdure.activity_attempts is
    'One row is a failed attempt of an activity that was tried again. The last attempt stands in the history; of the others the latest 100 are kept.';
comment on table perdure.past_workers is
    'One row is a worker that left or was lost. Kept as long as its namespace keeps closed runs.';
