-- Migrates a database that is in use: PostgreSQL does not let a table be changed while a parsed function body uses its
-- row type.
begin;
\ir support/engine.psql
select no_plan();
select perdure.create_namespace('default') \g /dev/null
select t.start('a'), t.claim() \g /dev/null
select is((select count(*) > 3 from pg_proc where pronamespace = 'perdure'::regnamespace and prosqlbody is not null),
    true,
    'there are functions that are parsed');
create temp table before as
select pg_get_function_identity_arguments(oid) as arguments, proname, prorettype, provolatile, proparallel, proconfig,
    proisstrict, proacl::text, obj_description(oid, 'pg_proc') as comment
from pg_proc where pronamespace = 'perdure'::regnamespace;
create temp table seen as
select h.event_id, to_jsonb(h) as event from perdure.history_events h where h.workflow_id = 'a';
set local perdure.migrates = 'perdure';
-- This is the search path of an owner whose role has the name of the schema.
set local search_path = perdure, public, tap;
\ir ../../sql/before_migration.sql
select is(current_setting('search_path'), 'perdure, public, tap', 'the search path stays');
set local search_path = public, tap;
select lives_ok(format('alter table %s add column before_migration int not null default 1', c.oid::regclass),
    c.relname::text)
from pg_class c where c.relnamespace = 'perdure'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
order by c.relname;
select is_empty($$
    select pg_get_function_identity_arguments(oid), proname, prorettype, provolatile, proparallel, proconfig,
        proisstrict,
        proacl::text, obj_description(oid, 'pg_proc')
    from pg_proc where pronamespace = 'perdure'::regnamespace except table before$$, 'functions are what they were');
select is((select count(*) from perdure.history_events h where h.workflow_id = 'a'), (select count(*) from seen),
    'and work until the definitions are applied again');
select is(t.complete('a'), 'completed', 'as those that use them do');
select * from finish();
rollback;
