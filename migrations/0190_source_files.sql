-- Workers register whole files, too: what a failure names often stands in a function beside the workflow.

alter table perdure.sources drop constraint sources_kind_check;
alter table perdure.sources add constraint sources_kind_check check (kind in ('workflow', 'activity', 'file'));
comment on table perdure.sources is
    'One row is the code of a workflow or activity type, or a file, in a build. Kept as long as a worker of that build '
    'is remembered.';
comment on column perdure.sources.kind is 'workflow, activity or file.';
comment on column perdure.sources.type_name is 'The type''s name, as histories have it; of a file, module and file.';
comment on column perdure.sources.line is
    'The line of the file at which the type''s own code begins; of a file, its first.';
