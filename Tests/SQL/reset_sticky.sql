-- perdure.reset_sticky lets no worker keep a run any more.
begin;
\ir support/engine.psql
select no_plan();
select t.register(2) \g /dev/null
create function t.reset_sticky(p_id text) returns void language sql
as $$ select perdure.reset_sticky(0::smallint, 'default', p_id) $$;

select t.start('a'), t.claim(), t.complete('a', jsonb_build_array(t.timer('x', '1000s')), p_sticky => true),
    perdure.signal_workflow('a', 's') \g /dev/null
select is(t.claim(2), '', 'a task waits for the worker that has the run cached');
select t.reset_sticky('a') \g /dev/null
select isnt(t.claim(2), '', 'then it goes to any');
select t.complete('a', p_worker => 2, p_sticky => true) \g /dev/null

select t.reset_sticky('a') \g /dev/null
select is((select r.sticky_event_id from perdure.run_states r where r.run_id = t.run('a')), null,
    'so does the next, with the whole history');
select perdure.signal_workflow('a', 's') \g /dev/null
select isnt(t.claim(), '', 'whoever asks');
select t.complete('a', p_sticky => true) \g /dev/null
select t.reset_sticky('a'), perdure.start_query(0::smallint, 'default', 'a', null, 'state', '[]') \g /dev/null
select is((select count(*) from perdure.claim_queries(0::smallint, t.worker(2), 'q', 1)), 1::bigint, 'and a query');

-- A task that is started stays with its worker
select perdure.signal_workflow('a', 's'), t.claim(2), t.reset_sticky('a') \g /dev/null
select is(t.complete('a', jsonb_build_array(t.command('CompleteWorkflowExecution')), 2), 'completed',
    'a task that has begun ends');
select is(t.refusal($$select t.reset_sticky('a')$$), 'PD006', 'a run that has closed is kept by nobody');
select is(t.refusal($$select t.reset_sticky('none')$$), 'PD001', 'nor is one that is not there');
select is_empty('select kind, what from perdure.violations()', 'no rule is broken');
select * from finish();
rollback;
