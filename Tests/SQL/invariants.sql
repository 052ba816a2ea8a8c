-- perdure.violations() is empty while all is well, and lists each thing that is wrong.
\ir support/engine.psql
select no_plan();
select t.at(0), t.register(1), t.register(2) \g /dev/null
select is_empty('select * from perdure.violations()', 'a new database is sound');

-- Runs in many states
select t.start('new') \g /dev/null
select t.start('delayed', '{"workflowStartDelay": "100s"}'),
    perdure.signal_workflow(0::smallint, 'default', 'delayed', null, 's', '[]', null, 'r') \g /dev/null
select t.start('timed', '{"workflowRunTimeout": "1000s", "workflowExecutionTimeout": "2000s"}') \g /dev/null
select t.start('started'), t.start('waiting'), t.start('closed'), t.start('failing'), t.start('retrying') \g /dev/null
select t.claim() \g /dev/null
select t.complete('timed', jsonb_build_array(t.activity('a'), t.activity('b', '{"requestEagerExecution": true}'),
    t.timer('t', '50s'))) \g /dev/null
select t.complete('waiting', '[]', p_sticky => true) \g /dev/null
select t.complete('closed', jsonb_build_array(t.command('CompleteWorkflowExecution'))), t.fail('failing') \g /dev/null
select t.complete('retrying', jsonb_build_array(t.activity('r'))), t.claim_activities(2) \g /dev/null
select t.finish('retrying', 'r', 'failed', '{"failure": {"message": "no"}}', 2) \g /dev/null
select perdure.signal_workflow('started', 's') \g /dev/null
select is_empty('select * from perdure.violations()', 'and so is one with runs in many states');
select is_empty('select * from perdure.violations(0::smallint)', 'of one shard');
select is((select string_agg(v.kind, ' ') from perdure.find_violations(p_seconds => -1) v), 'cut',
    'a search that was cut says so');
select is((select string_agg(v.kind, ' ') from perdure.find_violations(p_seconds => 100) v), null,
    'and one that was not says nothing');

-- The kinds of violations that a statement causes.
create function t.wrong(p_sql text) returns text language plpgsql as $$
declare
    v_kinds text;
begin
    begin
        execute p_sql;
        select string_agg(distinct v.kind, ', ' order by v.kind) into v_kinds from perdure.violations() v;
        raise exception sqlstate 'T0000';
    exception when sqlstate 'T0000' then return v_kinds; end;
end
$$;
select is(t.wrong(format(w.sql, t.run(w.id))), w.kinds, w.sql) from (values
    ('waiting', 'delete from perdure.executions where run_id = %L', 'history without run, state without run'),
    ('closed', 'delete from perdure.history where run_id = %L', 'run without history'),
    ('waiting', 'delete from perdure.run_states where run_id = %L', 'run without state'),
    ('waiting', $$update perdure.executions set status = 'Failed', close_time = now() where run_id = %L$$,
        'state without run, status unlike history, wrong history length'),
    ('closed', $$update perdure.executions set status = 'Failed' where run_id = %L$$, 'status unlike history'),
    ('closed', 'update perdure.executions set close_time = null where run_id = %L', 'status unlike history'),
    ('closed', 'update perdure.executions set history_length = 99 where run_id = %L', 'wrong history length'),
    ('waiting', 'update perdure.run_states set next_event_id = 99 where run_id = %L', 'wrong history length'),
    ('waiting', $$update perdure.run_states set task_queue = 'other' where run_id = %L$$, 'state unlike run'),
    ('waiting', $$with s as (update perdure.run_states set buffered_count = 1 where run_id = %1$L)
        insert into perdure.buffered_events values (0, %1$L, 1, array[jsonb '{"eventType": "MarkerRecorded"}'])$$,
        'buffered events without task'),
    ('started', 'delete from perdure.buffered_events where run_id = %L', 'wrong number of buffered events'),
    ('closed', $$insert into perdure.buffered_events values (0, %L, 1,
        array[jsonb '{"eventType": "MarkerRecorded"}'])$$,
        'wrong number of buffered events'),
    ('waiting', 'update perdure.history set first_event_id = 4 where run_id = %L and first_event_id > 1',
        'history from within a batch, history with a gap'),
    ('waiting', 'update perdure.history set first_event_id = 2 where run_id = %L and first_event_id > 1',
        'history with an overlap'),
    ('closed', 'update perdure.history set first_event_id = 0 where run_id = %L and first_event_id = 1',
        'history with a gap, history with an overlap'),
    ('closed', $$update perdure.history set events = '{}' where run_id = %L and first_event_id = 1$$,
        'history with a gap'),
    ('new', 'delete from perdure.workflow_tasks where run_id = %L', 'stuck run'),
    ('waiting', 'update perdure.run_states set sticky_event_id = 2 where run_id = %L', 'history from within a batch'),
    ('delayed', 'delete from perdure.timers where run_id = %L', 'stuck run'),
    ('delayed', 'update perdure.run_states set start_delayed = false where run_id = %L', 'start delay over, stuck run'),
    ('new', 'update perdure.run_states set start_delayed = true where run_id = %L', 'start delay over'),
    ('timed', $$delete from perdure.timers where run_id = %L and kind = 'timer'$$, 'stuck run'),
    ('timed', $$delete from perdure.activity_tasks where run_id = %L and activity_id = 'a'$$, 'stuck run'),
    ('timed', $$update perdure.activity_tasks set scheduled_event_id = 100 where run_id = %L and activity_id = 'a'$$,
        'activity without event, stuck run'),
    ('timed', $$update perdure.activity_tasks set activity_id = 'a' where run_id = %L$$, 'two activities with one id'),
    ('timed', $$update perdure.activity_tasks set run_id = gen_random_uuid() where run_id = %L$$,
        'activity without run, stuck run'),
    ('timed', $$update perdure.activity_tasks set worker = gen_random_uuid() where run_id = %L and state = 'started'$$,
        'activity without worker'),
    ('timed', $$update perdure.activity_tasks set deadline = null where run_id = %L and state = 'started'$$,
        'activity in no state'),
    ('retrying', 'update perdure.activity_tasks set deadline = null where run_id = %L', 'activity in no state'),
    ('timed', $$update perdure.activity_tasks set state = 'lost' where run_id = %L and state = 'started'$$,
        'activity in no state'),
    ('timed', $$update perdure.timers set started_event_id = 1 where run_id = %L and kind = 'timer'$$,
        'stuck run, timer without event'),
    ('timed', $$update perdure.timers set kind = 'alarm' where run_id = %L and kind = 'run_timeout'$$,
        'timer of no kind'),
    ('closed', $$insert into perdure.timers (shard, run_id, kind, fire_at) values (0, %L, 'run_timeout', now())$$,
        'timer without run'),
    ('closed', $$insert into perdure.request_ids (shard, run_id, request_id) values (0, %L, 'r')$$,
        'request without run'),
    ('closed', $$insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, scheduled_at,
        scheduled_event_id)
        values (0, %L, 'default', 'q', now(), 2)$$, 'workflow task without run'),
    ('started', 'update perdure.workflow_tasks set worker = gen_random_uuid() where run_id = %L',
        'workflow task without worker'),
    ('started', 'update perdure.workflow_tasks set deadline = null where run_id = %L', 'workflow task in no state'),
    ('started', $$update perdure.workflow_tasks set state = 'scheduled' where run_id = %L$$,
        'buffered events without task, workflow task in no state'),
    ('new', 'update perdure.workflow_tasks set scheduled_event_id = 1 where run_id = %L',
        'workflow task without event'),
    ('started', 'delete from perdure.workflow_tasks where run_id = %L', 'buffered events without task, stuck run'),
    ('closed', $$update perdure.executions set workflow_id = 'waiting', run_number = 2 where run_id = %L$$,
        'open run is not current'),
    ('new', $$update perdure.executions set workflow_id = 'waiting', run_number = 2 where run_id = %L$$,
        'state unlike run, two running runs'),
    ('retrying', 'update perdure.activity_attempts set run_id = gen_random_uuid() where run_id = %L',
        'attempt without run'))
    as w (id, sql, kinds);
select t.at(60), t.upkeep() \g /dev/null
select is(t.wrong(format('delete from perdure.workflow_tasks where run_id = %L', t.run('timed'))), 'stuck run',
    'a timer has fired and nobody learns of it');

-- Retention deletes a long history from its end on, in several calls.
select t.at(200 * 86400) \g /dev/null
select is(t.wrong(format('delete from perdure.history where run_id = %L and first_event_id > 1', t.run('closed'))),
    null, 'a history that is being deleted is not wrong');
select is(t.wrong(format('delete from perdure.history where run_id = %L and first_event_id = 1', t.run('closed'))),
    'history with a gap', 'but one that begins late is');

-- Who may ask
set role perdure_reader;
select count(*)::int as readers from perdure.violations() \gset
set role perdure_worker;
select count(*)::int as workers from perdure.violations() \gset
reset role;
select is(:readers, 0, 'readers may ask');
select is(:workers, 0, 'and so may workers');
create role perdure_invariants_nobody;
select is(has_function_privilege('perdure_invariants_nobody', 'perdure.violations(smallint)', 'execute'), false,
    'others may not');
drop role perdure_invariants_nobody;
select * from finish();
