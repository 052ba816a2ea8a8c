-- Lists of runs that a namespace shares under a name.
create table perdure.saved_views (
    namespace text collate "C" not null references perdure.namespaces on delete cascade,
    name text collate "C" not null,
    address text not null,
    saved_by text not null,
    saved_at timestamptz not null,
    primary key (namespace, name)
);
comment on table perdure.saved_views is
    'One row is a list of runs that the history pages show under a name, to all who look at the namespace.';
comment on column perdure.saved_views.namespace is 'The namespace.';
comment on column perdure.saved_views.name is 'What it is called.';
comment on column perdure.saved_views.address is
    'The query of the list''s address: its filter, order and columns, as query=…&column=….';
comment on column perdure.saved_views.saved_by is 'Who saved it last.';
comment on column perdure.saved_views.saved_at is 'When that was.';
