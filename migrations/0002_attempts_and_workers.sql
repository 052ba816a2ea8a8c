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

create table perdure.past_workers (
    worker_id uuid primary key,
    namespace text not null,
    identity text not null,
    build_id text not null,
    task_queues text[] not null,
    registered_at timestamptz not null,
    last_seen_at timestamptz not null,
    ended_at timestamptz not null,
    lost boolean not null,
    details jsonb not null
);
create index past_workers_by_end on perdure.past_workers (namespace, ended_at);

comment on table perdure.activity_attempts is
    'One row is a failed attempt of an activity that was tried again. The last attempt stands in the history; of the others the latest 100 are kept.';
comment on table perdure.past_workers is
    'One row is a worker that left or was lost. Kept as long as its namespace keeps closed runs.';
