-- The engine's tables. What changes them is in sql/engine; what people read is in sql/views.
create schema if not exists perdure;
comment on schema perdure is 'Durable workflows: executions, histories, task queues and timers.';

create type perdure.execution_status as enum
    ('Running', 'Completed', 'Failed', 'Canceled', 'Terminated', 'ContinuedAsNew', 'TimedOut');

create table perdure.settings (
    name text primary key,
    value jsonb not null,
    description text not null
);
insert into perdure.settings values
    ('shard_count', '1', 'Number of shards, fixed at install'),
    ('workflow_task_retry_cap', '"10s"', 'Longest wait between attempts of a failing workflow task'),
    ('sticky_timeout', '"5s"', 'How long a workflow task waits for the worker that has the run cached');

create table perdure.namespaces (
    namespace text primary key check (namespace <> '' and octet_length(namespace) <= 255),
    description text not null default '',
    retention interval not null default '30 days',
    max_history_events bigint not null default 51200,
    created_at timestamptz not null default now()
);
insert into perdure.namespaces (namespace, description) values ('default', 'The namespace used when none is named');

create table perdure.search_attributes (
    namespace text not null references perdure.namespaces on delete cascade,
    name text not null,
    type text not null check (type in ('Keyword', 'Text', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList')),
    primary key (namespace, name)
);

create table perdure.executions (
    shard smallint not null,
    run_id uuid not null,
    namespace text not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    task_queue text not null,
    status perdure.execution_status not null default 'Running',
    start_time timestamptz not null,
    execution_time timestamptz not null,
    close_time timestamptz,
    history_length bigint,
    request_id text,
    search_attributes jsonb not null default '{}',
    memo jsonb not null default '{}',
    primary key (shard, run_id)
) with (fillfactor = 80);
create unique index executions_one_running on perdure.executions (shard, namespace, workflow_id) where status = 'Running';
create index executions_by_workflow_id on perdure.executions (shard, namespace, workflow_id, start_time desc, run_id desc);
create index executions_newest on perdure.executions (namespace, start_time desc, run_id desc);
create index executions_by_status on perdure.executions (namespace, status, start_time desc, run_id desc);
create index executions_by_type on perdure.executions (namespace, workflow_type, start_time desc, run_id desc);
create index executions_by_attribute on perdure.executions using gin (search_attributes jsonb_path_ops) where search_attributes <> '{}';
create index executions_closed on perdure.executions (namespace, close_time desc, run_id desc) where close_time is not null;

create table perdure.run_states (
    shard smallint not null,
    run_id uuid not null,
    namespace text not null,
    workflow_id text not null,
    workflow_type text not null,
    task_queue text not null,
    priority smallint not null default 3,
    next_event_id bigint not null,
    last_started_event_id bigint not null default 0,
    sticky_event_id bigint,
    sticky_worker uuid,
    workflow_task_timeout interval not null default '10 s',
    workflow_task_failure jsonb,
    workflow_task_failed_attempts int not null default 0,
    buffered_events jsonb[] not null default '{}',
    start_delayed boolean not null default false,
    cancel_requested boolean not null default false,
    primary key (shard, run_id)
) with (fillfactor = 70);

create table perdure.history (
    shard smallint not null,
    run_id uuid not null,
    first_event_id bigint not null,
    event_time timestamptz not null,
    events jsonb[] not null,
    primary key (shard, run_id, first_event_id)
);

create table perdure.workflow_tasks (
    shard smallint not null,
    run_id uuid not null,
    namespace text not null,
    task_queue text not null,
    priority smallint not null default 3,
    scheduled_at timestamptz not null,
    scheduled_event_id bigint not null,
    attempt int not null default 1,
    state text not null default 'scheduled' check (state in ('scheduled', 'started', 'backoff')),
    sticky_worker uuid,
    worker uuid,
    started_at timestamptz,
    start_to_close_timeout interval not null default '10 s',
    deadline timestamptz,
    primary key (shard, run_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
create index workflow_tasks_claimable on perdure.workflow_tasks (shard, namespace, task_queue, priority, scheduled_at)
    where state = 'scheduled' and sticky_worker is null;
create index workflow_tasks_claimable_sticky on perdure.workflow_tasks (shard, sticky_worker, task_queue, priority, scheduled_at)
    where state = 'scheduled' and sticky_worker is not null;
create index workflow_tasks_due on perdure.workflow_tasks (shard, deadline) where deadline is not null;
create index workflow_tasks_held on perdure.workflow_tasks (shard, worker) where worker is not null;

create table perdure.activity_tasks (
    shard smallint not null,
    run_id uuid not null,
    scheduled_event_id bigint not null,
    namespace text not null,
    task_queue text not null,
    workflow_id text not null,
    workflow_type text not null,
    activity_id text not null,
    activity_type text not null,
    input jsonb not null default '[]',
    priority smallint not null default 3,
    state text not null default 'scheduled' check (state in ('scheduled', 'started', 'backoff')),
    attempt int not null default 1,
    scheduled_at timestamptz not null,
    attempt_scheduled_at timestamptz not null,
    started_at timestamptz,
    worker uuid,
    deadline timestamptz,
    schedule_to_close_timeout interval,
    schedule_to_start_timeout interval,
    start_to_close_timeout interval,
    heartbeat_timeout interval,
    retry_policy jsonb not null,
    last_failure jsonb,
    last_worker_identity text,
    heartbeat_at timestamptz,
    heartbeat_details jsonb,
    cancel_requested boolean not null default false,
    primary key (shard, run_id, scheduled_event_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
create index activity_tasks_claimable on perdure.activity_tasks (shard, namespace, task_queue, priority, attempt_scheduled_at)
    where state = 'scheduled';
create index activity_tasks_due on perdure.activity_tasks (shard, deadline) where deadline is not null;
create index activity_tasks_held on perdure.activity_tasks (shard, worker) where worker is not null;

create table perdure.timers (
    shard smallint not null,
    run_id uuid not null,
    kind text not null check (kind in ('timer', 'execution_timeout', 'run_timeout', 'start_delay')),
    started_event_id bigint not null default 0,
    timer_id text,
    fire_at timestamptz not null,
    primary key (shard, run_id, kind, started_event_id)
);
create index timers_due on perdure.timers (shard, fire_at);

create unlogged table perdure.queries (
    shard smallint not null,
    query_id uuid not null,
    run_id uuid not null,
    namespace text not null,
    workflow_id text not null,
    workflow_type text not null,
    task_queue text not null,
    query_type text not null,
    input jsonb not null default '[]',
    state text not null default 'pending' check (state in ('pending', 'claimed', 'answered', 'failed')),
    worker uuid,
    result jsonb,
    failure jsonb,
    created_at timestamptz not null,
    deadline timestamptz not null,
    primary key (shard, query_id)
);
create index queries_claimable on perdure.queries (shard, namespace, task_queue, created_at) where state = 'pending';
create index queries_due on perdure.queries (shard, deadline);

create table perdure.workers (
    worker_id uuid primary key,
    namespace text not null,
    identity text not null,
    build_id text not null default '',
    task_queues text[] not null,
    lease interval not null,
    lease_until timestamptz not null,
    registered_at timestamptz not null,
    waiting boolean not null default false,
    details jsonb not null default '{}'
) with (fillfactor = 50);

create table perdure.request_ids (
    shard smallint not null,
    run_id uuid not null,
    request_id text not null,
    primary key (shard, run_id, request_id)
);

-- Roles belong to the cluster: another database may be creating them at this moment.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['perdure_worker', 'perdure_reader'] loop
        begin
            if not exists (select from pg_roles where rolname = v_role) then
                execute format('create role %I nologin', v_role);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise notice 'role % was not created: create it to let others use the engine', v_role;
        end;
    end loop;
end
$$;
