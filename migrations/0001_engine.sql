-- The engine's tables. What changes them is in sql/engine; what people read is in sql/views.
-- Ids and names are compared by bytes (collate "C"): they are no prose, it is faster, a prefix is found by its index, and an index never
-- goes unused because a caller's text had another collation than the column's.
create schema if not exists perdure;
comment on schema perdure is 'Durable workflows: executions, histories, task queues and timers.';

create type perdure.execution_status as enum
    ('Running', 'Completed', 'Failed', 'Canceled', 'Terminated', 'ContinuedAsNew', 'TimedOut');
comment on type perdure.execution_status is 'Running until a run closes; then how it did.';

create table perdure.settings (
    name text collate "C" primary key,
    value jsonb not null,
    description text not null
);
comment on table perdure.settings is
    'One row is a setting of this installation.';
comment on column perdure.settings.name is 'What it is called.';
comment on column perdure.settings.value is 'Its value, as JSON.';
comment on column perdure.settings.description is 'What it does.';
insert into perdure.settings values
    ('shard_count', '1', 'Number of shards, fixed at install'),
    ('workflow_task_retry_cap', '"10s"', 'Longest wait between attempts of a failing workflow task'),
    ('sticky_timeout', '"5s"', 'How long a workflow task waits for the worker that has the run cached');

create table perdure.namespaces (
    namespace text collate "C" primary key check (namespace <> '' and octet_length(namespace) <= 255),
    description text not null default '',
    retention interval not null default '30 days',
    max_history_events bigint not null default 51200,
    created_at timestamptz not null default now()
);
comment on table perdure.namespaces is
    'One row is a namespace: workflow ids, task queues and search attributes of one do not meet those of another.';
comment on column perdure.namespaces.namespace is 'Its name.';
comment on column perdure.namespaces.description is 'A few words for people.';
comment on column perdure.namespaces.retention is 'How long closed runs are kept.';
comment on column perdure.namespaces.max_history_events is 'How many events a history may have.';
comment on column perdure.namespaces.created_at is 'When it was created.';
insert into perdure.namespaces (namespace, description) values ('default', 'The namespace used when none is named');

create table perdure.search_attributes (
    namespace text collate "C" not null references perdure.namespaces on delete cascade,
    name text collate "C" not null,
    type text not null check (type in ('Keyword', 'Text', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList')),
    primary key (namespace, name)
);
comment on table perdure.search_attributes is
    'One row is a search attribute that runs of a namespace may carry.';
comment on column perdure.search_attributes.namespace is 'The namespace.';
comment on column perdure.search_attributes.name is 'What list filters call it.';
comment on column perdure.search_attributes.type is 'Keyword, Text, Int, Double, Bool, Datetime or KeywordList.';

create table perdure.executions (
    shard smallint not null,
    run_id uuid not null,
    namespace text collate "C" not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    task_queue text collate "C" not null,
    status perdure.execution_status not null default 'Running',
    start_time timestamptz not null,
    execution_time timestamptz not null,
    close_time timestamptz,
    history_length bigint,
    request_id text collate "C",
    search_attributes jsonb not null default '{}',
    memo jsonb not null default '{}',
    primary key (shard, run_id)
) with (fillfactor = 80);
comment on table perdure.executions is
    'One row is a run, as people see it: what lists, filters and counts read. Written when it starts, when its search attributes or memo change, and when it closes.';
comment on column perdure.executions.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.executions.run_id is 'The run, a UUID version 7.';
comment on column perdure.executions.namespace is 'The namespace.';
comment on column perdure.executions.workflow_id is 'The id that the application chose.';
comment on column perdure.executions.workflow_type is 'The workflow''s type.';
comment on column perdure.executions.task_queue is 'The task queue of its workflow tasks.';
comment on column perdure.executions.status is 'Running until it closes.';
comment on column perdure.executions.start_time is 'When it was started.';
comment on column perdure.executions.execution_time is 'When its first workflow task may run: later than start_time by a start delay.';
comment on column perdure.executions.close_time is 'When it closed; null while it is open.';
comment on column perdure.executions.history_length is 'How many events its history has; null while it is open.';
comment on column perdure.executions.request_id is 'The request that started it: a repeat finds this run.';
comment on column perdure.executions.search_attributes is 'Plain JSON by name; what list filters find it by.';
comment on column perdure.executions.memo is 'Payloads by name, for people.';
create unique index executions_one_running on perdure.executions (shard, namespace, workflow_id) where status = 'Running';
create index executions_by_workflow_id on perdure.executions (workflow_id, namespace, start_time desc, run_id desc);
create index executions_newest on perdure.executions (namespace, start_time desc, run_id desc);
create index executions_by_status on perdure.executions (namespace, status, start_time desc, run_id desc);
create index executions_by_type on perdure.executions (namespace, workflow_type, start_time desc, run_id desc);
create index executions_by_attribute on perdure.executions using gin (search_attributes jsonb_path_ops) where search_attributes <> '{}';
create index executions_closed on perdure.executions (namespace, close_time desc, run_id desc) where close_time is not null;

create table perdure.run_states (
    shard smallint not null,
    run_id uuid not null,
    namespace text collate "C" not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    task_queue text collate "C" not null,
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
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
comment on table perdure.run_states is
    'One row is an open run''s working memory. Locking it is how a transition has the run to itself. It goes when the run closes. No column that changes is indexed, so updates are HOT.';
comment on column perdure.run_states.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.run_states.run_id is 'The run, a UUID version 7.';
comment on column perdure.run_states.namespace is 'The namespace.';
comment on column perdure.run_states.workflow_id is 'The id that the application chose.';
comment on column perdure.run_states.workflow_type is 'The workflow''s type.';
comment on column perdure.run_states.task_queue is 'The task queue of its workflow tasks.';
comment on column perdure.run_states.priority is '1 is first, 5 last.';
comment on column perdure.run_states.next_event_id is 'The id of the next event that is written.';
comment on column perdure.run_states.last_started_event_id is 'The WorkflowTaskStarted of the last workflow task that completed; 0 before the first.';
comment on column perdure.run_states.sticky_event_id is 'The first event that the sticky worker has not seen.';
comment on column perdure.run_states.sticky_worker is 'The worker that has the run cached, and is offered its workflow tasks first.';
comment on column perdure.run_states.workflow_task_timeout is 'How long an attempt of a workflow task may take.';
comment on column perdure.run_states.workflow_task_failure is 'Why the last attempt of a workflow task failed, with its cause; null once one completes.';
comment on column perdure.run_states.workflow_task_failed_attempts is 'How many attempts have failed since one completed.';
comment on column perdure.run_states.buffered_events is 'What has happened while a workflow task is started; written when that ends.';
comment on column perdure.run_states.start_delayed is 'Whether the run still waits out its start delay.';
comment on column perdure.run_states.cancel_requested is 'Whether its cancellation was requested.';

create table perdure.history (
    shard smallint not null,
    run_id uuid not null,
    first_event_id bigint not null,
    event_time timestamptz not null,
    events jsonb[] not null,
    primary key (shard, run_id, first_event_id)
);
comment on table perdure.history is
    'One row is a batch of events: what one transition wrote. Append-only. The view history_events shows one row an event.';
comment on column perdure.history.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.history.run_id is 'The run, a UUID version 7.';
comment on column perdure.history.first_event_id is 'The id of the batch''s first event; the others follow by one.';
comment on column perdure.history.event_time is 'When they happened, unless an event says so itself.';
comment on column perdure.history.events is 'The events, each {"eventType", "attributes"} with Temporal''s names.';

create table perdure.workflow_tasks (
    shard smallint not null,
    run_id uuid not null,
    namespace text collate "C" not null,
    task_queue text collate "C" not null,
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
comment on table perdure.workflow_tasks is
    'One row is a run''s workflow task that has not ended. A run has at most one.';
comment on column perdure.workflow_tasks.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.workflow_tasks.run_id is 'The run, a UUID version 7.';
comment on column perdure.workflow_tasks.namespace is 'The namespace.';
comment on column perdure.workflow_tasks.task_queue is 'The queue that hands it out.';
comment on column perdure.workflow_tasks.priority is '1 is first, 5 last.';
comment on column perdure.workflow_tasks.scheduled_at is 'Since when it waits; older ones go first.';
comment on column perdure.workflow_tasks.scheduled_event_id is 'Its WorkflowTaskScheduled.';
comment on column perdure.workflow_tasks.attempt is 'From 1. Later attempts are transient: their events are written when one completes.';
comment on column perdure.workflow_tasks.state is 'scheduled: it can be claimed. started: a worker has it. backoff: it waits until deadline.';
comment on column perdure.workflow_tasks.sticky_worker is 'The worker that it is kept for until deadline; null when any may have it.';
comment on column perdure.workflow_tasks.worker is 'The worker that has it.';
comment on column perdure.workflow_tasks.started_at is 'When that worker claimed it.';
comment on column perdure.workflow_tasks.start_to_close_timeout is 'How long an attempt may take.';
comment on column perdure.workflow_tasks.deadline is 'When upkeep must see to it: the attempt times out, the backoff or the wait for the sticky worker is over.';
create index workflow_tasks_claimable on perdure.workflow_tasks (shard, namespace, task_queue, priority, scheduled_at)
    where state = 'scheduled' and sticky_worker is null;
create index workflow_tasks_claimable_sticky on perdure.workflow_tasks (shard, sticky_worker, task_queue, priority, scheduled_at)
    where state = 'scheduled' and sticky_worker is not null;
create index workflow_tasks_due on perdure.workflow_tasks (shard, deadline) where deadline is not null;
create index workflow_tasks_backing_off on perdure.workflow_tasks (shard, namespace, task_queue) where state = 'backoff';
create index workflow_tasks_held on perdure.workflow_tasks (shard, worker) where worker is not null;

create table perdure.activity_tasks (
    shard smallint not null,
    run_id uuid not null,
    scheduled_event_id bigint not null,
    namespace text collate "C" not null,
    task_queue text collate "C" not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    activity_id text collate "C" not null,
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
comment on table perdure.activity_tasks is
    'One row is an activity that has not ended, with the attempt that it is at.';
comment on column perdure.activity_tasks.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.activity_tasks.run_id is 'The run, a UUID version 7.';
comment on column perdure.activity_tasks.scheduled_event_id is 'Its ActivityTaskScheduled.';
comment on column perdure.activity_tasks.namespace is 'The namespace.';
comment on column perdure.activity_tasks.task_queue is 'The queue that hands it out.';
comment on column perdure.activity_tasks.workflow_id is 'The id that the application chose.';
comment on column perdure.activity_tasks.workflow_type is 'The workflow''s type.';
comment on column perdure.activity_tasks.activity_id is 'The id that the workflow chose; with the run id it is the idempotency key.';
comment on column perdure.activity_tasks.activity_type is 'The activity''s type.';
comment on column perdure.activity_tasks.input is 'Its arguments, an array of payloads.';
comment on column perdure.activity_tasks.priority is '1 is first, 5 last.';
comment on column perdure.activity_tasks.state is 'scheduled: it can be claimed. started: a worker has it. backoff: it waits until deadline for its next attempt.';
comment on column perdure.activity_tasks.attempt is 'From 1.';
comment on column perdure.activity_tasks.scheduled_at is 'When the activity was scheduled.';
comment on column perdure.activity_tasks.attempt_scheduled_at is 'From when this attempt can be claimed; older ones go first.';
comment on column perdure.activity_tasks.started_at is 'When a worker claimed this attempt.';
comment on column perdure.activity_tasks.worker is 'The worker that has it.';
comment on column perdure.activity_tasks.deadline is 'The earliest of what ends its present state: a timeout, or its backoff.';
comment on column perdure.activity_tasks.schedule_to_close_timeout is 'How long all attempts together may take.';
comment on column perdure.activity_tasks.schedule_to_start_timeout is 'How long an attempt may wait for a worker.';
comment on column perdure.activity_tasks.start_to_close_timeout is 'How long an attempt may take.';
comment on column perdure.activity_tasks.heartbeat_timeout is 'How long an attempt may be silent.';
comment on column perdure.activity_tasks.retry_policy is 'Temporal''s retry policy with its defaults filled in.';
comment on column perdure.activity_tasks.last_failure is 'Why the attempt before failed.';
comment on column perdure.activity_tasks.last_worker_identity is 'Who has it or had it last.';
comment on column perdure.activity_tasks.heartbeat_at is 'When this attempt was heard of last.';
comment on column perdure.activity_tasks.heartbeat_details is 'What the last heartbeat told, an array of payloads; the next attempt gets it.';
comment on column perdure.activity_tasks.cancel_requested is 'Whether the workflow has asked for its cancellation.';
create index activity_tasks_claimable on perdure.activity_tasks (shard, namespace, task_queue, priority, attempt_scheduled_at)
    where state = 'scheduled';
create index activity_tasks_due on perdure.activity_tasks (shard, deadline) where deadline is not null;
create index activity_tasks_held on perdure.activity_tasks (shard, worker) where worker is not null;

create table perdure.timers (
    shard smallint not null,
    run_id uuid not null,
    kind text not null check (kind in ('timer', 'execution_timeout', 'run_timeout', 'start_delay')),
    started_event_id bigint not null default 0,
    timer_id text collate "C",
    fire_at timestamptz not null,
    primary key (shard, run_id, kind, started_event_id)
);
comment on table perdure.timers is
    'One row is something that is due for a run: a timer of its code, a timeout of the run, or the end of its start delay.';
comment on column perdure.timers.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.timers.run_id is 'The run, a UUID version 7.';
comment on column perdure.timers.kind is 'timer, execution_timeout, run_timeout or start_delay.';
comment on column perdure.timers.started_event_id is 'The TimerStarted of a timer; 0 for the others.';
comment on column perdure.timers.timer_id is 'The id that the workflow chose for a timer.';
comment on column perdure.timers.fire_at is 'When it is due.';
create index timers_due on perdure.timers (shard, fire_at);

create unlogged table perdure.queries (
    shard smallint not null,
    query_id uuid not null,
    run_id uuid not null,
    namespace text collate "C" not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    task_queue text collate "C" not null,
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
comment on table perdure.queries is
    'One row is a question to a run. Unlogged: whoever asked has gone when the server crashes.';
comment on column perdure.queries.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.queries.query_id is 'The question.';
comment on column perdure.queries.run_id is 'The run, a UUID version 7.';
comment on column perdure.queries.namespace is 'The namespace.';
comment on column perdure.queries.workflow_id is 'The id that the application chose.';
comment on column perdure.queries.workflow_type is 'The workflow''s type.';
comment on column perdure.queries.task_queue is 'The queue whose workers may answer.';
comment on column perdure.queries.query_type is 'What is asked.';
comment on column perdure.queries.input is 'Its arguments, an array of payloads.';
comment on column perdure.queries.state is 'pending, claimed by a worker, answered or failed.';
comment on column perdure.queries.worker is 'The worker that answers.';
comment on column perdure.queries.result is 'The answer, an array of payloads.';
comment on column perdure.queries.failure is 'Why there is none.';
comment on column perdure.queries.created_at is 'When it was asked.';
comment on column perdure.queries.deadline is 'Until when it can be answered.';
create index queries_claimable on perdure.queries (shard, namespace, task_queue, created_at) where state = 'pending';
create index queries_due on perdure.queries (shard, deadline);

create table perdure.workers (
    worker_id uuid primary key,
    namespace text collate "C" not null,
    identity text not null,
    build_id text not null default '',
    task_queues text[] not null,
    lease interval not null,
    lease_until timestamptz not null,
    registered_at timestamptz not null,
    waiting boolean not null default false,
    details jsonb not null default '{}'
) with (fillfactor = 50);
comment on table perdure.workers is
    'One row is a worker process that is alive, or was until its lease ran out.';
comment on column perdure.workers.worker_id is 'The process; a new one each time it starts.';
comment on column perdure.workers.namespace is 'Whose tasks it takes.';
comment on column perdure.workers.identity is 'What it calls itself, for people.';
comment on column perdure.workers.build_id is 'The build of its code.';
comment on column perdure.workers.task_queues is 'The queues that it polls.';
comment on column perdure.workers.lease is 'After how long a silence it counts as lost.';
comment on column perdure.workers.lease_until is 'When that is, unless it renews its lease.';
comment on column perdure.workers.registered_at is 'When it came.';
comment on column perdure.workers.waiting is 'Whether it sleeps until a notification.';
comment on column perdure.workers.details is 'What else it tells of itself.';

create table perdure.request_ids (
    shard smallint not null,
    run_id uuid not null,
    request_id text collate "C" not null,
    primary key (shard, run_id, request_id)
);
comment on table perdure.request_ids is
    'One row is a signal that a run has taken, by the id of its request: a repeat does nothing.';
comment on column perdure.request_ids.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.request_ids.run_id is 'The run, a UUID version 7.';
comment on column perdure.request_ids.request_id is 'The request.';

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
