-- perdure.health_checks(): what doctor and the health page say.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
set perdure.now = '';
create function t.said(p_name text) returns text language sql as $$
    select concat_ws(': ', h.status, h.message) from perdure.health_checks() h where h.name = p_name
$$;
select set_eq('select name from perdure.health_checks()',
    array['PostgreSQL', 'Roles', 'Connections', 'Oldest transaction', 'Vacuum', 'Workers',
    'Task queues', 'Timers', 'Workflow tasks', 'Histories', 'Set aside', 'Settings', 'Invariants'], 'the checks');
select is_empty($$select * from perdure.health_checks() where status not in ('well', 'warning', 'wrong') or message
    is null$$, 'each has a status and a message');
select is_empty($$select * from perdure.health_checks() where status <> 'well' and hint is null$$,
    'and says what to do');
select is_empty($$select * from perdure.health_checks() where status = 'wrong'$$, 'a new database is well');
select matches(t.said('PostgreSQL'), '^well: PostgreSQL [0-9.]+( .*)?, database ' || current_database() || '$',
    'the version');
select is(t.said('Roles'), 'warning: connected as the superuser ' || session_user, 'the role');
select is(t.said('Workers'), 'well: 1 worker is alive', 'the first worker');
select is(t.said('Timers'), 'well: timers fire in time', 'nothing is due');
select is(t.said('Invariants'), 'well: no row breaks a rule of the engine', 'no rule is broken');

select t.register(1), t.register(2, '1 hour', 'other') \g /dev/null
select is(t.said('Workers'), 'well: 2 workers are alive', 'two do');
select t.session('a') \g /dev/null
select t.run_in('a', 'begin'), t.run_in('a', 'select 1::text') \g /dev/null
select matches(t.said('Oldest transaction'),
    '^well: the oldest transaction is [0-9]+ s old: process [0-9]+ of .*, idle in transaction$',
    'the oldest transaction');
select dblink_disconnect('a') \g /dev/null

-- Tasks that nobody takes, and work that is late
set perdure.now = '2026-01-01 00:00:00Z';
select t.start('lonely-1'), t.start('lonely-2') \g /dev/null
select perdure.start_workflow(0::smallint, 'default', 'lonely-3', 'T', 'nobody', '[]') \g /dev/null
select is(t.said('Task queues'), 'wrong: 1 task waits in queue nobody of namespace default, and no worker polls it',
    'a queue without a worker');
delete from perdure.workers where worker_id = t.worker(1);
select is(t.said('Task queues'),
    'wrong: 2 tasks wait in queue q of namespace default, and no worker polls it; 1 more queue has none', 'and two');
select t.register(1) \g /dev/null
update perdure.workers set lease_until = now() - interval '1 s' where worker_id = t.worker(1);
select is(t.said('Workers'), 'warning: 1 worker has let its lease run out, 1 is alive',
    'a worker that is not heard of');
select t.register(1, '100000 days') \g /dev/null
select t.claim() \g /dev/null
select matches(t.said('Timers'), '^wrong: 2 timers or timeouts are due and late, the oldest by [0-9]+ s$',
    'timeouts that are late');
select t.complete('lonely-1', jsonb_build_array(t.timer('x', '1s'))), t.complete('lonely-2') \g /dev/null
select matches(t.said('Timers'), '^wrong: 1 timer or timeout is due and late, the oldest by [0-9]+ s$',
    'a timer that is late');

-- A bug in workflow code, at a high attempt
select t.start('buggy'), t.claim() \g /dev/null
select t.fail('buggy') \g /dev/null
update perdure.workflow_tasks set attempt = 51 where run_id = t.run('buggy');
select is(t.said('Workflow tasks'),
    'wrong: 1 workflow task fails again and again; that of buggy is at attempt 51: a bug',
    'a workflow task that fails again and again');

-- What raised an error, and settings that only tests have
select is(t.said('Set aside'), 'well: nothing was set aside', 'nothing was set aside');
select perdure.put_aside(0::smallint, t.run('buggy'), 'timer', 5, 'interval out of range', '22008', now()) \g /dev/null
select is(t.said('Set aside'),
    format('wrong: 1 thing raised an error and was set aside, first a timer of run %s: interval out of range',
    t.run('buggy')),
    'something that raised an error');
delete from perdure.set_aside;
select is(t.said('Settings'),
    'warning: any session may set the time of the engine, and so delete histories: this is a database of tests',
    'settings of tests');
update perdure.settings set value = 'false' where name = 'test_settings';
select is(t.said('Settings'), 'well: no session may set the time or the way of the engine', 'which others have not');
update perdure.settings set value = 'true' where name = 'test_settings';

-- What breaks a rule
delete from perdure.workflow_tasks where run_id = t.run('lonely-3');
select is(t.said('Invariants'), format('wrong: 1 row breaks a rule of the engine (stuck run), first of run %s',
    t.run('lonely-3')), 'a broken rule');
select is((select h.message from perdure.health_checks(-1) h
    where h.name = 'Invariants') ~ '^no row breaks a rule of the engine as far as was looked in -1 s: ',
    true, 'a check that was cut says so');

-- A check that cannot be made
alter table perdure.timers rename to timers_away;
select is(t.said('Timers'), 'warning: this could not be checked: relation "perdure.timers" does not exist',
    'one check that fails says so');
select isnt(t.said('Workers'), null, 'and stops no other');
alter table perdure.timers_away rename to timers;

-- Who may ask
set role perdure_reader;
select count(*)::int as readers from perdure.health_checks() \gset
set role perdure_worker;
select count(*)::int as workers from perdure.health_checks() \gset
reset role;
select is((:readers, :workers)::text, '(13,13)', 'readers and workers may ask');
create role perdure_health_nobody;
select is(has_function_privilege('perdure_health_nobody', 'perdure.health_checks(double precision)', 'execute'), false,
    'others may not');
drop role perdure_health_nobody;
select * from finish();
