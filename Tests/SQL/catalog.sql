-- What is always true of the catalog: there are comments, keys fit a sharded database, and roles may do only what they
-- should.
begin;
select no_plan();

create temp view relation as
select c.oid, c.oid::regclass::text as name, c.relkind, c.relnamespace::regnamespace::text as schema, c.reloptions,
    c.relkind in ('r', 'p') and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'run_id')
        and c.relnamespace = 'perdure'::regnamespace as belongs_to_run
from pg_class c where c.relnamespace in ('perdure'::regnamespace, 'bank'::regnamespace) and c.relkind
    in ('r', 'p', 'v', 'm');
create temp view routine as
select p.oid, p.oid::regprocedure::text as name, p.pronamespace::regnamespace::text as schema, p.prokind, p.prosecdef,
    p.provolatile, p.proconfig, p.proacl, p.proowner,
    p.proargnames, l.lanname as language,
    -- Without comments and literals, in lower case.
    lower(regexp_replace(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '''(?:[^'']|'''')*''', '''''', 'g')) as body
from pg_proc p join pg_language l on l.oid = p.prolang where p.pronamespace
    in ('perdure'::regnamespace, 'bank'::regnamespace);

-- Comments
select is_empty($$select nspname from pg_namespace where nspname in ('perdure', 'bank')
    and obj_description(oid, 'pg_namespace') is null$$, 'every schema has a comment');
select is_empty($$select name from relation where obj_description(oid, 'pg_class') is null$$,
    'every table and view has a comment');
select is_empty($$select r.name || '.' || a.attname from relation r join pg_attribute a on a.attrelid = r.oid
    and a.attnum > 0 and not a.attisdropped
    where col_description(r.oid, a.attnum) is null$$, 'every column has a comment');
select is_empty($$select name from routine where obj_description(oid, 'pg_proc') is null$$,
    'every function and procedure has a comment');
select is_empty($$select oid::regtype from pg_type where typnamespace in ('perdure'::regnamespace, 'bank'::regnamespace)
    and typtype in ('e', 'd', 'r')
    and obj_description(oid, 'pg_type') is null$$, 'every type has a comment');

select is_empty($$select r.name || '.' || a.attname from relation r join pg_attribute a on a.attrelid = r.oid
    and a.attnum > 0 and not a.attisdropped
    where r.schema = 'perdure' and r.relkind = 'r' and r.name <> 'perdure.applied_files' and a.attname
        in ('namespace', 'workflow_id', 'workflow_type', 'task_queue', 'activity_id', 'timer_id', 'request_id', 'name')
    and a.attcollation <> '"C"'::regcollation$$,
        'ids and names are compared by bytes, so that no collation of a caller keeps an index from being used');

-- Shards
select cmp_ok((select count(*) from relation where belongs_to_run), '>=', 8::bigint,
    'the tables that belong to a run are found');
select is_empty($$select r.name from relation r where r.belongs_to_run and r.name not in ('perdure.past_workers') and
    not exists (
    select from pg_attribute a where a.attrelid = r.oid and a.attname = 'shard' and a.atttypid = 'smallint'::regtype
        and a.attnotnull)$$,
    'every table that belongs to a run has its shard');
select is_empty($$select i.indexrelid::regclass from relation r join pg_index i on i.indrelid = r.oid
    join pg_attribute a on a.attrelid = r.oid and a.attnum = i.indkey[0]
    where r.belongs_to_run and i.indisprimary and a.attname <> 'shard'$$,
        'every primary key of theirs begins with the shard');
select is_empty($$select i.indexrelid::regclass from relation r join pg_index i on i.indrelid = r.oid
    join pg_attribute a on a.attrelid = r.oid and a.attname = 'shard'
    where r.belongs_to_run and i.indisunique and not a.attnum = any (i.indkey::int2[])$$,
        'and every unique index holds it');
select is_empty($$select c.conrelid::regclass || ' ' || c.conname from pg_constraint c join relation r on r.oid
    in (c.conrelid, c.confrelid) and r.belongs_to_run
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1] where c.contype = 'f'
        and a.attname <> 'shard'$$, 'and every foreign key');
select is_empty($$select r.name from relation r where r.belongs_to_run and
    not exists (select from pg_index i where i.indrelid = r.oid and i.indisprimary)$$, 'each has a primary key');
select is_empty($$select tgname from pg_trigger t join relation r on r.oid = t.tgrelid where not t.tgisinternal$$,
    'no table has a trigger');
select is_empty($$select partrelid::regclass from pg_partitioned_table p join relation r on r.oid = p.partrelid
    where p.partdefid <> 0$$, 'no table has a default partition');
select is_empty($$select a.attrelid::regclass || '.' || a.attname from pg_attribute a join relation r
    on r.oid = a.attrelid
    where not a.attisdropped and (a.attidentity <> '' and a.atttypid <> 'bigint'::regtype
        or pg_get_serial_sequence(r.name, a.attname) is not null and a.attidentity = '')$$,
        'identity columns are bigint');
select is_empty($$select c.oid::regclass from pg_class c where c.relnamespace = 'perdure'::regnamespace and c.relkind
    in ('S', 'm', 'f')$$,
    'the engine has no sequence, no materialized view, no foreign table');

-- Statements. Textual checks: a statement is what stands between semicolons.
create temp view statement as
select r.oid, r.name, r.proargnames, s.n, s.sql from routine r cross join lateral regexp_split_to_table(r.body, ';')
    with ordinality s (sql, n) where r.schema = 'perdure';
select is_empty($$select name, sql from statement where sql ~ '\m(update\s+perdure\.|delete\s+from\s|on\s+conflict)'
    and sql ~ '\m(clock_timestamp|statement_timestamp|transaction_timestamp|now|timeofday|random|gen_random_uuid|'
        'nextval|new_run_id|clock)\s*\('$$,
    'no statement that changes rows calls what is volatile: times and ids are taken before');
select is_empty($$select name, sql from statement where sql ~
    '\m(current_timestamp|current_date|current_time|localtime|localtimestamp)\M'$$, 'times come from the clock');
select is_empty($$
    select s.name, m.ref[2] as "table", m.ref[3] as alias
    from statement s cross join lateral regexp_matches(s.sql, '\m(from|join|update)\s+perdure\.(\w+)\s+(?:as\s+)?(\w+)',
        'g') m (ref)
    join relation r on r.name = 'perdure.' || m.ref[2] and r.belongs_to_run
    where s.proargnames[1] = 'p_shard' and s.sql !~ ('\m' || m.ref[3] || '\.shard\M')$$,
    'a function of one shard names it for every table of runs');
select is_empty($$select name, sql from statement where sql ~ 'shard = any' and sql ~ 'for (no key )?update'$$,
    'rows of many shards are never locked at once');
select is_empty($$select name from routine where schema = 'perdure'
    and body ~ '\m(pg_advisory_\w+|lock\s+table|truncate)\M' and name not in ('perdure.await_results(text)',
        'perdure.test_time()', 'perdure.skip_time(timestamp with time zone,text[],uuid[])')$$,
    'no transition takes a lock on more than rows, outside of tests');
select is_empty($$select r.name from routine r join relation t on t.belongs_to_run
    and r.body ~ ('\m(insert into|update|delete from)\s+' || replace(t.name, '.', '\.') || '\M')
    where r.provolatile <> 'v' or r.schema <> 'perdure'$$, 'only volatile functions of the engine write its tables');

-- Functions
select is_empty($$select name from routine where prokind = 'f' and oid not
    in (select p.oid from pg_proc p where p.prosqlbody is not null) and
    not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)$$,
    'every function whose names are not bound when it is made has a search path of its own: nobody can put another '
        'table or operator before it');
select is_empty($$select r.name from routine r cross join lateral aclexplode(coalesce(r.proacl,
    acldefault('f', r.proowner))) a where a.grantee = 0$$, 'the public may call nothing');
select is_empty($$select r.name from relation r cross join lateral aclexplode((select relacl from pg_class c
    where c.oid = r.oid)) a where a.grantee = 0$$, 'nor read or write anything');
select is_empty($$select nspname from pg_namespace n cross join lateral aclexplode(n.nspacl) a where n.nspname
    in ('perdure', 'bank') and a.grantee = 0$$, 'nor look into the schemas');
-- Each session parses the bodies of functions anew, so they must not depend on its standard_conforming_strings.
select is_empty($$select r.name from routine r join pg_proc p on p.oid = r.oid
    where strpos(regexp_replace(p.prosrc, '\me''(?:[^''\\]|''''|\\.)*''', '', 'gi'), chr(92)) > 0$$,
        'a literal with a backslash says so: e''...''');
select is_empty($$select name from routine where schema = 'perdure' and language not in ('sql', 'plpgsql')$$,
    'SQL and PL/pgSQL are all that it takes');
select is_empty($$select extname from pg_extension e where e.extnamespace not
    in ('pg_catalog'::regnamespace, 'tap'::regnamespace)$$, 'and no extension');

-- Roles
select is_empty($$select r.name, o.rolname, p.privilege from relation r cross
    join (values ('perdure_worker'), ('perdure_reader')) o (rolname)
    cross join (values ('insert'), ('update'), ('delete'), ('truncate'), ('references'), ('trigger')) p (privilege)
    where r.schema = 'perdure' and has_table_privilege(o.rolname, r.oid, p.privilege)$$,
        'workers and readers write no table');
select set_eq($$select r.name from relation r where r.schema = 'perdure' and r.relkind = 'r'
    and has_table_privilege('perdure_worker', r.oid, 'select')$$,
    array['perdure.namespaces', 'perdure.search_attributes'], 'workers read two tables');
select set_eq($$select r.name from relation r where r.schema = 'perdure' and r.relkind = 'r'
    and has_table_privilege('perdure_reader', r.oid, 'select')$$,
    array['perdure.namespaces', 'perdure.search_attributes'], 'and so do readers');
select is_empty($$select r.name, o.rolname from relation r cross
    join (values ('perdure_worker'), ('perdure_reader')) o (rolname)
    where r.schema = 'perdure' and r.relkind = 'v' and not has_table_privilege(o.rolname, r.oid, 'select')$$,
        'both read every view');
select is_empty($$select name from routine where schema = 'perdure' and prosecdef and
    not has_function_privilege('perdure_worker', oid, 'execute')$$,
    'workers call every function that acts for them');
select is_empty($$select name from routine where schema = 'perdure' and not prosecdef and prokind = 'f'
    and provolatile <> 'i' and name not in ('perdure.clock()', 'perdure.payloads(jsonb)')
    and not has_function_privilege('perdure_reader', oid, 'execute')
    and has_function_privilege('perdure_worker', oid, 'execute')$$, 'and no piece of a transition');
select is_empty($$select name from routine where schema = 'perdure' and provolatile = 'v'
    and has_function_privilege('perdure_reader', oid, 'execute')$$, 'readers change nothing');

-- The roles can do their work with the privileges that they were granted.
create function pg_temp.as_role(p_role text, p_sql text) returns text language plpgsql
as $$
declare
    v_count int;
begin
    execute format('set local role %I', p_role);
    execute p_sql;
    get diagnostics v_count = row_count;
    reset role;
    return v_count || ' rows';
exception when others then
    reset role;
    return sqlstate;
end
$$;
select is(pg_temp.as_role('perdure_' || role, sql), expected, role || ': ' || sql) from (values
    ('worker', 'select perdure.start_workflow(''T'', ''granted'', ''q'')', '1 rows'),
    ('worker', 'select perdure.register_worker(''00000000-0000-4000-8000-000000000001'', ''default'', ''me'', '''', '
        'array[''q''], ''10 s'')', '1 rows'),
    ('worker', 'select perdure.claim_workflow_tasks(0::smallint, ''00000000-0000-4000-8000-000000000001'', ''q'', 10)',
        '1 rows'),
    ('worker', 'select perdure.upkeep(0::smallint)', '1 rows'),
    ('worker', 'select perdure.clock()', '1 rows'),
    ('worker', 'select event_id from perdure.history_events where workflow_id = ''granted''', '3 rows'),
    ('worker', 'select run_id from perdure.executions', '42501'),
    ('reader', 'select run_id from perdure.list_workflows(''WorkflowId = "granted"'')', '1 rows'),
    ('reader', 'select status from perdure.count_workflows()', '1 rows'),
    ('reader', 'select name from perdure.list_filter_fields(''none'')', '18 rows'),
    ('reader', 'select from perdure.workflows, perdure.history_events', '3 rows'),
    ('reader', 'select perdure.terminate_workflow(''granted'')', '42501'),
    ('reader', 'select run_id from perdure.executions', '42501')
) c (role, sql, expected);
select is_empty($$select r.name from relation r where r.schema = 'perdure' and r.relkind = 'v'
    and pg_temp.as_role('perdure_reader', 'select * from ' || r.name) !~ 'rows$'$$,
    'a reader can read every view, whatever functions it calls');

-- Storage
select is_empty($$select t.name from (values ('perdure.executions'), ('perdure.run_states'), ('perdure.workflow_tasks'),
    ('perdure.activity_tasks'), ('perdure.workers')) t (name)
    join relation r using (name) where not exists (select from unnest(r.reloptions) o
        where o ~ '^fillfactor=[5-9][0-9]$')$$, 'what is updated often leaves room in its pages');
select is_empty($$select t.name from (values ('perdure.run_states'), ('perdure.workflow_tasks'),
    ('perdure.activity_tasks')) t (name) join relation r using (name)
    where not (r.reloptions @> array['autovacuum_vacuum_cost_delay=0']
        and exists (select from unnest(r.reloptions) o where o ~ '^autovacuum_vacuum_threshold=')
    and exists (select from unnest(r.reloptions) o where o ~ '^autovacuum_vacuum_scale_factor=0'))$$,
        'queues are vacuumed by how much is dead, not by a share of them');
select set_eq($$select indexrelid::regclass::text from pg_index where indrelid = 'perdure.run_states'::regclass$$,
    array['perdure.run_states_pkey'],
    'run_states has no index on what changes');
select is((select relpersistence from pg_class where oid = 'perdure.queries'::regclass), 'u',
    'questions are not logged');
select is_empty($$select name from relation r join pg_class c using (oid) where r.relkind = 'r'
    and c.relpersistence <> 'p' and name <> 'perdure.queries'$$, 'all else is');

select * from finish();
rollback;
