-- A database that is filled within one session before anybody analyses it: the plans that the session made while the tables were empty must
-- serve them full.
\ir support/engine.psql
select no_plan();
set perdure.now = '';
begin;
-- How many rows of a table the statements of this transaction have read so far, by any way.
create function t.rows_read(p_table regclass) returns numeric language sql
return pg_stat_get_xact_tuples_returned(p_table) + pg_stat_get_xact_tuples_fetched(p_table)
    + (select sum(pg_stat_get_xact_tuples_fetched(i.indexrelid)) from pg_index i where i.indrelid = p_table);

select count(*) from generate_series(1, 3000) n, perdure.start_workflow('T', 'new-' || n, 'q') \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(*) from generate_series(3001, 3010) n, perdure.start_workflow('T', 'new-' || n, 'q') \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 20::numeric, 'ten starts among three thousand runs read no rows of others');

select count(perdure.signal_workflow('new-' || n, 's')) from generate_series(1, 10) n \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(perdure.signal_workflow('new-' || n, 's')) from generate_series(11, 20) n \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 20::numeric, 'nor do ten signals');

create temp table run as select run_id, workflow_id from perdure.executions limit 20;
select count(perdure.describe_workflow(workflow_id, run_id)) from run \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(perdure.signal_workflow(workflow_id, 's', run_id => run_id)) from run \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 40::numeric, 'nor do twenty signals of named runs');

select is(array(select relname::text from pg_class where oid in ('perdure.executions'::regclass, 'perdure.run_states'::regclass) and reltuples >= 0), '{}',
    'nobody has analysed it');
commit;
select * from finish();
