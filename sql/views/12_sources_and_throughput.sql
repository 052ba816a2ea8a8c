-- Views of the code that workers run, of how many tasks they finish, and of the files that are installed.

create or replace view perdure.source_code as
select s.namespace, s.build_id, s.kind, s.type_name, s.file, s.first_line, s.line, t.content, s.content_hash,
    s.first_registered_at, s.last_registered_at
from perdure.sources s
join perdure.source_texts t on t.content_hash = s.content_hash;
comment on view perdure.source_code is
    'One row is the code of a workflow or activity type, or a file, as a build of a worker has it.';
comment on column perdure.source_code.namespace is 'The namespace of the workers.';
comment on column perdure.source_code.build_id is 'The build, as its workers name it.';
comment on column perdure.source_code.kind is 'workflow, activity or file.';
comment on column perdure.source_code.type_name is
    'The type''s name, as histories have it; for a file, its module and file.';
comment on column perdure.source_code.file is 'Module and file.';
comment on column perdure.source_code.first_line is 'The line of the file at which the text begins, from 1.';
comment on column perdure.source_code.line is 'The line of the file at which the type''s own code begins.';
comment on column perdure.source_code.content is 'The text.';
comment on column perdure.source_code.content_hash is 'SHA-256 of the text, in hexadecimal.';
comment on column perdure.source_code.first_registered_at is 'When a worker first came with it.';
comment on column perdure.source_code.last_registered_at is 'When a worker last came with it.';

create or replace view perdure.task_queue_throughput as
select f.namespace, f.task_queue, f.kind, f.started_at, sum(f.finished)::bigint as finished, count(*) as workers
from perdure.finished_tasks f
where f.started_at >= statement_timestamp() - interval '10 minutes'
group by f.namespace, f.task_queue, f.kind, f.started_at;
comment on view perdure.task_queue_throughput is
    'One row is how many tasks of a queue its workers finished in ten seconds of the last ten minutes, as they '
    'reported it when they renewed their leases.';
comment on column perdure.task_queue_throughput.namespace is 'The namespace.';
comment on column perdure.task_queue_throughput.task_queue is 'The task queue.';
comment on column perdure.task_queue_throughput.kind is 'workflow or activity.';
comment on column perdure.task_queue_throughput.started_at is 'When the ten seconds began.';
comment on column perdure.task_queue_throughput.finished is 'How many tasks ended, well or not.';
comment on column perdure.task_queue_throughput.workers is 'How many workers had a part in it.';

-- If the files were applied by hand, there is no ledger and the view has no row.
create table if not exists perdure.applied_files (
    path text primary key,
    kind text not null check (kind in ('migration', 'definition')),
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default session_user,
    duration_ms bigint not null
);
create or replace view perdure.installed_files as
select f.path, f.kind, f.checksum, f.applied_at, f.applied_by
from perdure.applied_files f;
comment on view perdure.installed_files is 'One row is a file of SQL that has been applied to this database.';
comment on column perdure.installed_files.path is 'The file, relative to the checkout.';
comment on column perdure.installed_files.kind is 'migration or definition.';
comment on column perdure.installed_files.checksum is 'SHA-256 of the file as it was applied, in hexadecimal.';
comment on column perdure.installed_files.applied_at is 'When it was applied last.';
comment on column perdure.installed_files.applied_by is 'The role that applied it.';
