-- The code that workers run, as they were built, and how much they get done.

create table perdure.source_texts (
    content_hash text collate "C" primary key,
    content text not null,
    last_registered_at timestamptz not null
);
comment on table perdure.source_texts is 'One row is a piece of source code, kept once however many builds hold it.';
comment on column perdure.source_texts.content_hash is 'SHA-256 of the text, in hexadecimal.';
comment on column perdure.source_texts.content is 'The text.';
comment on column perdure.source_texts.last_registered_at is 'When a worker last came with it.';

create table perdure.sources (
    namespace text collate "C" not null,
    build_id text collate "C" not null,
    kind text collate "C" not null check (kind in ('workflow', 'activity')),
    type_name text collate "C" not null,
    content_hash text collate "C" not null references perdure.source_texts,
    file text not null,
    first_line int not null check (first_line > 0),
    line int not null check (line >= first_line),
    first_registered_at timestamptz not null,
    last_registered_at timestamptz not null,
    primary key (namespace, build_id, kind, type_name, content_hash)
);
comment on table perdure.sources is
    'One row is the code of a workflow or activity type in a build. Kept as long as a worker of that build is remembered.';
comment on column perdure.sources.namespace is 'The namespace of the workers.';
comment on column perdure.sources.build_id is 'The build, as its workers name it.';
comment on column perdure.sources.kind is 'workflow or activity.';
comment on column perdure.sources.type_name is 'The type''s name, as histories have it.';
comment on column perdure.sources.content_hash is 'The text. One build has several when different code is deployed under the same build id.';
comment on column perdure.sources.file is 'Module and file, never a path of the machine that built it.';
comment on column perdure.sources.first_line is 'The line of the file at which the text begins, from 1.';
comment on column perdure.sources.line is 'The line of the file at which the type''s own code begins.';
comment on column perdure.sources.first_registered_at is 'When a worker first came with it.';
comment on column perdure.sources.last_registered_at is 'When a worker last came with it.';
create index sources_by_content on perdure.sources (content_hash);

-- Each worker counts for itself, so that no two of them ever wait for one row.
create table perdure.finished_tasks (
    worker_id uuid not null,
    started_at timestamptz not null,
    namespace text collate "C" not null,
    task_queue text collate "C" not null,
    kind text collate "C" not null check (kind in ('workflow', 'activity')),
    finished bigint not null,
    primary key (worker_id, started_at, task_queue, kind)
) with (fillfactor = 50);
comment on table perdure.finished_tasks is 'One row is how many tasks of a queue a worker finished in ten seconds. Rows older than ten minutes go.';
comment on column perdure.finished_tasks.worker_id is 'The worker.';
comment on column perdure.finished_tasks.started_at is 'When the ten seconds began. Tasks count for the time at which the worker reported them, with its lease.';
comment on column perdure.finished_tasks.namespace is 'The namespace.';
comment on column perdure.finished_tasks.task_queue is 'The task queue.';
comment on column perdure.finished_tasks.kind is 'workflow or activity.';
comment on column perdure.finished_tasks.finished is 'How many ended, well or not.';

alter table perdure.workers add column slots_in_use jsonb;
comment on column perdure.workers.slots_in_use is 'How many tasks it had of each kind when it last renewed its lease: {"workflow": 1, "activity": 7}. Null if it does not tell.';

-- The lease's renewal takes a report now.
drop function if exists perdure.renew_lease(uuid, boolean);
