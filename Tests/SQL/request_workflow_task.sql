-- A workflow task that a worker asks for, to fail it: its code broke a rule while the run had none.
begin;
\ir support/engine.psql
select no_plan();
create function t.request(p_id text, p_worker int default 1) returns boolean language sql
as $$ select perdure.request_workflow_task(0::smallint, t.worker(p_worker), t.run(p_id)) $$;

select t.start('a') \g /dev/null
select is(t.request('a'), false, 'a run whose task waits needs no other');
select t.claim() \g /dev/null
select is(t.request('a'), false, 'nor one whose task is under way');
select is(t.complete('a', jsonb_build_array(t.timer('x', '1000s'))), 'completed', 'it ends as it would have');
select is(t.refusal($$select t.request('a', 9)$$), 'PD007', 'an unknown worker asks in vain');
select is(t.request('a'), true, 'an idle run gets one');
select is(t.request('a'), false, 'once');
select is(t.history('a', 5), '5 TimerStarted 6 WorkflowTaskScheduled', 'its history says so');
select is(t.claim(), 'a', 'a worker gets it');
select is(t.fail('a'), 'failed', 'and fails it');
select is(t.request('a'), false, 'the next attempt is on its way already');
select is(t.history('a', 6), '6 WorkflowTaskScheduled 7 WorkflowTaskStarted 8 WorkflowTaskFailed',
    'one failure is written');
select perdure.terminate_workflow('a') \g /dev/null
select is(t.request('a'), false, 'a closed run gets none');
select is(perdure.request_workflow_task(0::smallint, t.worker(1), gen_random_uuid()), false,
    'nor one that is not there');
select is_empty('select * from perdure.violations()', 'nothing is out of order');
select * from finish();
rollback;
