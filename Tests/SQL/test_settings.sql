-- The settings of tests (perdure.now, perdure.many, perdure.general) count only where the owner has allowed them.
begin;
select no_plan();
create function pg_temp.as_worker(p_sql text) returns text language plpgsql
as $$
declare
    v_text text;
begin
    set local role perdure_worker;
    execute p_sql into v_text;
    reset role;
    return coalesce(v_text, 'null');
exception when others then
    reset role;
    return sqlstate;
end
$$;

create function pg_temp.set_all(p_now text default '2226-01-01 00:00:00Z') returns text language sql
as $$ select concat_ws(' ', set_config('perdure.now', p_now, true), set_config('perdure.many', '1', true),
    set_config('perdure.general', 'on', true)) $$;

select is_empty($$select from perdure.settings where name = 'test_settings'$$, 'no installation allows it by itself');
select isnt(pg_temp.set_all(), '', 'any session can set them');
select cmp_ok(perdure.clock(), '<=', clock_timestamp(), 'but not the time');
select is(perdure.many(), 8, 'nor from when on rows are many');
select is(perdure.is_general(), false, 'nor the way that tasks take');

-- This once deleted every history: a worker's role calls upkeep with a date beyond all retention.
select perdure.start_workflow('T', 'kept', 'q') \g /dev/null
select perdure.terminate_workflow('kept') \g /dev/null
select is(pg_temp.as_worker('select count(*) from perdure.upkeep(0::smallint)'), '1',
    'a worker that sets another time');
select is((select count(*) from perdure.workflows where workflow_id = 'kept'), 1::bigint, 'deletes no history');
select is(pg_temp.as_worker($$insert into perdure.settings values ('test_settings', 'true', '')$$), '42501',
    'and cannot allow it to itself');
select pg_temp.set_all('nonsense') \g /dev/null
select lives_ok($$select perdure.start_workflow('T', 'other', 'q')$$, 'nothing asks whether it is a time');
select is(pg_temp.as_worker($$select perdure.test_setting('is_superuser')$$), 'null',
    'no other setting can be read by it');

select pg_temp.set_all() \g /dev/null
insert into perdure.settings values ('test_settings', 'false', '');
select cmp_ok(perdure.clock(), '<=', clock_timestamp(), 'a row that says false allows nothing');
update perdure.settings set value = 'true' where name = 'test_settings';
select is(perdure.clock(), timestamptz '2226-01-01 00:00:00Z', 'where the owner says so, the session sets the time');
select is(perdure.many(), 1, 'and from when on rows are many');
select is(perdure.is_general(), true, 'and the general way');
select is(pg_temp.as_worker('select perdure.clock() > clock_timestamp()'), 'true',
    'for every role that calls the functions');
select pg_temp.set_all('') \g /dev/null
select cmp_ok(perdure.clock(), '<=', clock_timestamp(), 'an empty value is none');
select finish();
rollback;
