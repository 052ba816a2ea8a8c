-- Every PL/pgSQL function and procedure, as plpgsql_check reads it: no error, nothing unused or shadowed, no injection.
begin;
create temp table checked as
select p.oid::regprocedure as routine
from pg_proc p join pg_language l on l.oid = p.prolang
where p.pronamespace in ('perdure'::regnamespace, 'bank'::regnamespace) and l.lanname = 'plpgsql';

select plan((select count(*)::int from checked));
select is(
    (select string_agg(f.level || ' ' || coalesce(f.lineno::text, '') || ' ' || f.message
        || coalesce(': ' || f.detail, ''), E'\n')
     from plpgsql_check_function_tb(c.routine, fatal_errors => false, all_warnings => true) f),
    null, c.routine::text)
from checked c order by c.routine::text;
select * from finish();
rollback;
