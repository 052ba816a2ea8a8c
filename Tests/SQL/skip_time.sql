-- The clock that sessions of a test share, and how it moves on.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
select set_config('perdure.now', 'shared', false) \g /dev/null
create function t.skip(p_until interval default null, p_ids text[] default null) returns text language sql
as $$ select case when s.skipped then 'skipped' else s.waits_for end
    from perdure.skip_time(perdure.clock() + p_until, p_ids, case when p_ids is not null then '{}'::uuid[] end) s $$;
create function t.hours_skipped() returns numeric language sql
as $$ select round(extract(epoch from perdure.clock() - clock_timestamp()) / 3600) $$;
-- The workers of the tests were registered by another clock.
delete from perdure.workers;
select t.register(1, '10 s') \g /dev/null

select cmp_ok(perdure.clock(), '<', clock_timestamp() + interval '1 s', 'the shared clock is the real one at first');
select is(t.skip(), 'somebody outside: nothing is due at any time', 'nothing to wait for, nothing to skip');
select t.start('w') \g /dev/null
select is(t.skip(), 'a workflow task of w', 'no time passes for a workflow task that a worker will claim');
select t.claim() \g /dev/null
select is(t.skip(), 'a workflow task of w', 'nor for one that it has');
select t.complete('w', jsonb_build_array(t.timer('year', '31536000s'))) \g /dev/null
select is(t.skip(p_ids => array['other']), 'nobody', 'nor when nobody waits for a run that is open');
select is(t.skip(interval '1 hour'), 'skipped', 'it goes as far as it is asked to');
select is(t.hours_skipped(), 1::numeric, 'and no further');
select is(t.skip(p_ids => array['other', 'w']), 'skipped', 'a year passes at once');
select is(t.hours_skipped(), 8760::numeric, 'all of it');
select cmp_ok(clock, '>=', max(h.event_time) + interval '31536000 s', 'the timer is due')
from perdure.skip_time(), perdure.history_events h where h.workflow_id = 'w' group by clock;
select is(t.skip(), 'what is due', 'what is due comes first');
select is(t.upkeep(), 'timers 1', 'the timer fires, and no lease has run out');
select is((select count(*) from perdure.live_workers), 1::bigint, 'the worker lives');
select lives_ok($$select perdure.renew_lease(t.worker(1))$$, 'and renews its lease');

select t.claim() \g /dev/null
select t.complete('w', jsonb_build_array(t.activity('a'))) \g /dev/null
select is(t.skip(), 'the activity a (A) of w', 'no time passes for an activity that a worker will claim');
select t.claim_activities() \g /dev/null
select is(t.skip(), 'the activity a (A) of w', 'nor for one that runs');
select is((select s.waits_for from perdure.skip_time(sleeping => jsonb_build_array(jsonb_build_object('runId',
    t.run('w'), 'activityId', 'a', 'attempt', 2))) s), 'the activity a (A) of w', 'nor while another attempt sleeps');
select is((select s.skipped from perdure.skip_time(perdure.clock() + interval '1 ms', sleeping => jsonb_build_array(
    jsonb_build_object('runId', t.run('w'), 'activityId', 'a', 'attempt', 1))) s), true, 'but while it sleeps itself');
-- The heartbeat timeout applies to an attempt that sleeps, although its worker is in contact.
update perdure.activity_tasks set heartbeat_timeout = interval '30 s', deadline = perdure.clock() + interval '30 s'
where activity_id = 'a';
select is((select s.skipped from perdure.skip_time(sleeping => jsonb_build_array(jsonb_build_object('runId',
    t.run('w'), 'activityId', 'a', 'attempt', 1))) s), true, 'the clock goes to that time');
select is(t.upkeep(), 'activities 1', 'and it times out');
select is(t.skip(), 'skipped', 'then it is tried again');
select t.upkeep(), t.claim_activities() \g /dev/null
select t.finish('w', 'a', 'failed', t.failure('no')) \g /dev/null
select is(t.skip(), 'skipped', 'its backoff passes at once');
select is(t.upkeep(), 'retried 1', 'and it is tried again');
select t.claim_activities() \g /dev/null
select t.finish('w', 'a') \g /dev/null
select t.claim() \g /dev/null
select t.complete('w', jsonb_build_array(
    t.activity('b', '{"taskQueue": {"name": "nobody"}, "scheduleToStartTimeout": "60s"}'))) \g /dev/null
select is(t.skip(), 'skipped', 'time passes for what no worker is there for');
select is(t.upkeep(), 'activities 1', 'until it times out');

-- Time is not skipped while a query or an effect on another run is on its way.
select t.claim() \g /dev/null
select t.complete('w', jsonb_build_array(t.timer('long', '100s'))) \g /dev/null
select perdure.start_query(0::smallint, 'default', 'w', null, 'state') \g /dev/null
select is(t.skip(), 'the query state of w', 'no time passes while a query waits for its answer');
select perdure.answer_queries(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object('queryId', q.query_id,
    'result', '[]'::jsonb))) from perdure.claim_queries(0::smallint, t.worker(1), 'q', 10) q \g /dev/null
select t.start('u'), t.claim() \g /dev/null
select t.complete('u', jsonb_build_array(t.command('SignalExternalWorkflowExecution',
    '{"execution": {"workflowId": "w"}, "signalName": "s"}'))) \g /dev/null
select is(t.skip(), 'a signal on its way to w', 'nor while a signal is on its way');
call perdure.drain_transfers(0::smallint, array[t.run('u')]);
select is(t.skip() like 'a workflow task of _', true, 'whoever gets it goes on first');
select t.claim() \g /dev/null
select t.complete('w'), t.complete('u') \g /dev/null

-- A transaction that has asked for the time keeps it from moving.
select t.session('other') \g /dev/null
select t.run_in('other', $$select set_config('perdure.now', 'shared', false)$$) \g /dev/null
select t.run_in('other', 'begin'), t.run_in('other', $$select perdure.signal_workflow('u', 'tell')::text$$) \g /dev/null
select is(t.skip(), 'a transaction that is open', 'what somebody writes at this moment comes before');
select t.run_in('other', 'rollback') \g /dev/null
select is(t.skip(), 'skipped', 'then it moves on');
select is(t.run_in('other', $$select (perdure.clock() - clock_timestamp() > interval '365 days')::text$$), 'true',
    'for every session');

-- Time can be skipped only in a session with perdure.now = 'shared', and where the owner has allowed it.
select set_config('perdure.now', '', false) \g /dev/null
select is(t.refusal('select * from perdure.skip_time()'), 'PD003', 'a session with the real time cannot');
select cmp_ok(perdure.clock(), '<', clock_timestamp() + interval '1 s', 'and has it');
select set_config('perdure.now', 'shared', false) \g /dev/null
delete from perdure.settings where name = 'test_settings';
select is(t.refusal('select * from perdure.skip_time()'), 'PD003', 'nor any where the owner has not allowed it');
select cmp_ok(perdure.clock(), '<', clock_timestamp() + interval '1 s', 'for which the real time counts');
select is_empty($$select * from perdure.violations()$$, 'no rule is broken');
select finish();
