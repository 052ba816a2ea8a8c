-- Calls that meet: claims, starts, ends and upkeep in two sessions at the same time.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
set perdure.now = '';
select t.register(1), t.register(2), t.session('a'), t.session('b') \g /dev/null
create table t.pid as select n as session, t.run_in(n, 'select pg_backend_pid()::text')::int as pid
    from unnest(array['a', 'b']) n;
create function t.b_blocks() returns boolean language sql as $$
    select t.blocks('b', (select pid from t.pid where session = 'b')) $$;
create function t.claim_count(p_worker int, p_limit int) returns text language sql
as $$ select count(*)::text from string_to_table(nullif(t.claim(p_worker, p_limit), ''), ' ') $$;

-- Claims
select t.start('c-' || i) from generate_series(1, 100) i \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', 'select t.claim_count(1, 30)'), '30', 'a worker claims thirty of a hundred tasks');
select is(t.run_in('b', 'select t.claim_count(2, 50)'), '50', 'another does not wait for it');
select is((select count(*) from t.workflow_task), 50::bigint, 'and gets others');
select t.run_in('a', 'rollback') \g /dev/null
select is(t.run_in('b', 'select t.claim_count(2, 100)'), '50', 'what the first gave up is there again');
select is((select count(distinct workflow_id) from t.workflow_task), 100::bigint, 'and each task was had once');
select t.terminate_all() \g /dev/null
truncate t.workflow_task;
select t.start('d-' || i) from generate_series(1, 400) i \g /dev/null
create procedure t.claim_all(p_worker int) language plpgsql
as $$ begin while t.claim_count(p_worker, 7) <> '0' loop commit; end loop; end $$;
select t.session('c'), t.session('d'), t.register(3), t.register(4) \g /dev/null
select t.send(s, format('call t.claim_all(%s)', w)) from (values ('a', 1), ('b', 2), ('c', 3), ('d', 4)) v (s, w)
    \g /dev/null
select t.wait(s) from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select is((select (count(*), count(distinct workflow_id))::text from t.workflow_task), '(400,400)',
    'four workers share four hundred tasks, none twice');
select t.terminate_all() \g /dev/null

-- Starts of one workflow id
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.start('s')$$), t.send('b', $$select t.start('s')$$) \g /dev/null
select ok(t.b_blocks(), 'a start waits for another of its id');
select t.run_in('a', 'commit') \g /dev/null
select is(t.wait('b'), 'PD002', 'and is refused when that has started');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.start('s2')$$), t.send('b', $$select t.start('s2')$$), t.b_blocks(),
    t.run_in('a', 'rollback') \g /dev/null
select is(t.wait('b'), t.run('s2')::text, 'or starts when that has not');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.start('s3')$$), t.send('b',
    $$select t.start('s3', '{"workflowIdConflictPolicy": "UseExisting"}')$$), t.b_blocks(), t.run_in('a', 'commit')
    \g /dev/null
select is(t.wait('b'), t.run('s3')::text, 'UseExisting finds the run that was being started');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.start('s4', '{"requestId": "1"}')$$),
    t.send('b', $$select t.start('s4', '{"requestId": "1"}')$$), t.b_blocks(), t.run_in('a', 'commit') \g /dev/null
select is(t.wait('b'), t.run('s4')::text, 'and so does a repeat of the request');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.start('s3', '{"workflowIdConflictPolicy": "TerminateExisting"}')$$),
    t.send('b', $$select t.start('s3', '{"workflowIdConflictPolicy": "TerminateExisting"}')$$),
    t.b_blocks(), t.run_in('a', 'commit') \g /dev/null
select is(t.wait('b'), t.run('s3')::text, 'two that both want to end the open run');
select is((select count(*) from perdure.workflows where workflow_id = 's3' and status = 'Running'), 1::bigint,
    'leave one open');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select perdure.signal_with_start_workflow('T', 's5', 'q', 'x')$$),
    t.send('b', $$select perdure.signal_with_start_workflow('T', 's5', 'q', 'y')$$), t.b_blocks(),
    t.run_in('a', 'commit'),
    t.wait('b') \g /dev/null
select is((select string_agg(attributes ->> 'signalName', ' ' order by event_id) from perdure.history_events
    where workflow_id = 's5' and event_type = 'WorkflowExecutionSignaled'), 'x y',
    'two signals with start start one run, which gets both');
select t.terminate_all() \g /dev/null

-- A signal meets a claim, and a completion
select t.start('m') \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', 'select t.claim(1)'), t.send('b', $$select perdure.signal_workflow('m', 'x')$$) \g /dev/null
select ok(t.b_blocks(), 'a signal waits for a claim that is under way');
select t.run_in('a', 'commit'), t.wait('b') \g /dev/null
select is(t.history('m'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'and is then buffered: the worker has not seen it');
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select t.complete('m', jsonb_build_array(t.timer('z', '1000s')))$$),
    t.send('b', $$select perdure.signal_workflow('m', 'y')$$) \g /dev/null
select ok(t.b_blocks(), 'a signal waits for a completion');
select t.run_in('a', 'commit'), t.wait('b') \g /dev/null
select is(t.history('m', 4),
    '4 WorkflowTaskCompleted 5 TimerStarted 6 WorkflowExecutionSignaled 7 WorkflowTaskScheduled '
        '8 WorkflowExecutionSignaled', 'and comes behind it');
select t.terminate_all() \g /dev/null

-- Two sessions end one activity
select t.start('e'), t.claim(), t.complete('e', jsonb_build_array(t.activity('a'))), t.claim_activities() \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', $$select t.finish('e', 'a')$$), 'completed', 'an activity is completed');
select t.send('b', $$select t.finish('e', 'a', 'failed', t.failure('x'))$$), t.b_blocks(), t.run_in('a', 'commit')
    \g /dev/null
select is(t.wait('b'), 'lost', 'and lost for whoever comes second');
select is(t.history('e', 6), '6 ActivityTaskStarted 7 ActivityTaskCompleted 8 WorkflowTaskScheduled', 'it ends once');

-- A lease runs out while its worker writes
select t.register(5, '1 second'), t.claim(5), t.start('f'), t.claim(5) \g /dev/null
select pg_sleep(1.1) \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', $$select t.complete('f', p_worker => 5)$$), 'completed',
    'a worker that is late, but not yet found to be gone, completes');
select t.send('b', 'select lost_workers::text from perdure.upkeep(0::smallint)') \g /dev/null
select t.run_in('a', 'commit'), t.wait('b') \g /dev/null
select is(t.history('f'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskCompleted',
    'and that stands');
select t.terminate_all(), t.register(6, '1 second'), t.start('g'), t.claim(6) \g /dev/null
select pg_sleep(1.1), t.upkeep(), pg_sleep(1.1) \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', 'select lost_workers::text from perdure.upkeep(0::smallint)'), '1',
    'a worker is found to be gone');
select t.send('b', $$select t.complete('g', jsonb_build_array(t.command('CompleteWorkflowExecution')), 6)$$)
    \g /dev/null
select ok(t.b_blocks(), 'what it writes at that moment waits');
select t.run_in('a', 'commit') \g /dev/null
select is(t.wait('b'), 'lost', 'and is lost');
select is(t.run_in('b', $$select t.complete('g', '[]', 6)$$), 'PD007', 'then it is told to register anew');
select is(t.claim(1), 'g', 'another has its run');
select is(t.history('g'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskTimedOut',
    'whose history tells what happened');
select t.terminate_all() \g /dev/null

-- Two sessions do upkeep: each timer fires once
select t.start('u-' || i) from generate_series(1, 100) i \g /dev/null
select t.claim() \g /dev/null
select count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1),
    (select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt,
    'commands', jsonb_build_array(t.timer('x', '0.001s')))) from t.workflow_task where workflow_id like 'u-%'
        and worker = 1)) \g /dev/null
select pg_sleep(0.01) \g /dev/null
create table t.fired (timers int);
create procedure t.fire_all() language plpgsql
as $$
begin
    while exists (select from perdure.pending_timers where fire_time < clock_timestamp()) loop
        insert into t.fired select u.fired_timers from perdure.upkeep(0::smallint, 20) u;
        commit;
    end loop;
end
$$;
select t.send(s, 'call t.fire_all()') from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select t.wait(s) from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select is((select sum(timers) from t.fired), 100::bigint, 'four do upkeep and fire a hundred timers');
select is((select count(*) from perdure.history_events where event_type = 'TimerFired'), 100::bigint, 'each once');
select t.terminate_all() \g /dev/null

-- Two sessions do upkeep: backoffs end, and neither session waits for rows that the other has locked
select t.start('v-' || i) from generate_series(1, 60) i \g /dev/null
select t.claim() \g /dev/null
select count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1),
    (select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt,
    'commands', jsonb_build_array(t.activity('a', '{"retryPolicy": {"initialInterval": "0.001s"}}'))))
        from t.workflow_task where workflow_id like 'v-%' and worker = 1)) \g /dev/null
select t.claim_activities(1, 100) \g /dev/null
select count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(1),
    (select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt,
    'outcome', 'failed', 'failure', t.failure('x'))) from t.activity_task where workflow_id like 'v-%' and worker = 1))
        \g /dev/null
select pg_sleep(0.01) \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', 'select retried_activities::text from perdure.upkeep(0::smallint, 20)'), '20',
    'a slice of upkeep ends twenty backoffs');
select t.run_in('b', $$set lock_timeout = '5s'$$) \g /dev/null
select is(t.run_in('b', 'select retried_activities::text from perdure.upkeep(0::smallint, 20)'), '20',
    'another does not wait for it');
select t.run_in('a', 'commit'), t.run_in('b', 'reset lock_timeout') \g /dev/null
select is((select count(*) from perdure.pending_activities where state = 'Scheduled' and next_attempt_time is null
    and attempt = 2), 40::bigint, 'and each ends others');
select t.terminate_all() \g /dev/null

-- A call that takes rows in an order of its own gives up before PostgreSQL would look for a deadlock, if it has to wait
select t.start('w'), t.claim(), t.complete('w', jsonb_build_array(t.activity('a', '{"heartbeatTimeout": "100s"}')))
    \g /dev/null
select t.claim_activities(), t.start('w2') \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', 'lock table perdure.run_states, perdure.workflow_tasks, perdure.activity_tasks in exclusive mode')
    \g /dev/null
create table t.waiter (what text, sql text);
insert into t.waiter values
    ('a claim of workflow tasks', 'select t.claim_count(1, 5)'),
    ('a claim of activity tasks', 'select t.claim_activities()'),
    ('a heartbeat', $$select t.heartbeat('w', 'a')$$),
    ('a task that is handed back', $$select perdure.release_tasks(0::smallint, t.worker(1), jsonb_build_array(
        jsonb_build_object('kind', 'activity', 'runId', t.run('w'), 'scheduledEventId', 5)))$$),
    ('a lock of upkeep on a run', $$select run_id from perdure.lock_free_run(0::smallint, t.run('w'))$$),
    ('what upkeep fires at once',
        'select perdure.fire_many_timers(0::smallint, now(), 10, now() - interval ''1 day'')'),
    ('the sticky waits that it ends',
        'select perdure.end_sticky_waits(0::smallint, now(), 10, now() - interval ''1 day'')'),
    ('the backoffs that it ends', 'select perdure.end_backoffs(0::smallint, now(), 10, now() - interval ''1 day'')');
select is(t.run_in('b', w.sql), '55P03', w.what || ' ends') from t.waiter w;
select t.run_in('a', 'rollback') \g /dev/null
select is(t.run_in('b', 'show lock_timeout'), '0', 'and the session has its own limit again');
select is(t.run_in('b', 'select t.claim_count(1, 5)'), '1', 'the next call does what it did not');
select t.terminate_all() \g /dev/null

-- A query from psql waits for its answer
select t.start('query'), t.claim(), t.complete('query', jsonb_build_array(t.timer('x', '1000s'))) \g /dev/null
create procedure t.answer_one(p_answer jsonb) language plpgsql
as $$
declare
    v_query uuid;
begin
    for i in 1 .. 3000 loop
        commit;
        select q.query_id into v_query from perdure.claim_queries(0::smallint, t.worker(1), 'q', 1) q;
        exit when found;
        perform pg_sleep(0.01);
    end loop;
    perform perdure.answer_queries(0::smallint, t.worker(1),
        jsonb_build_array(jsonb_build_object('queryId', v_query) || p_answer));
end
$$;
select t.send('b', $$call perdure.query_workflow('query', 'state', input => '"x"')$$) \g /dev/null
call t.answer_one(jsonb_build_object('result', t.data('{"balance": 5}')));
select is(t.wait('b'), '{"balance": 5}', 'a query from psql waits for its answer');
select t.send('b', $$call perdure.query_workflow('query', 'state')$$) \g /dev/null
call t.answer_one('{"failure": {"message": "no such query"}}');
select is(t.wait('b'), 'PD009', 'or for its failure');
select is(t.run_in('b', $$call perdure.query_workflow('query', 'state', timeout => '0.2 s')$$), 'PD009',
    'or until it was long enough');

-- Notifications are sent only to workers that sleep
create function t.notified(p_session text) returns text language sql as $$ select coalesce(string_agg(extra, ' '), '')
    from dblink_get_notify(p_session) $$;
select t.run_in('c', format('listen %I', perdure.wake_channel('default', 'sleepy'))) \g /dev/null
select t.register(7, p_queue => 'sleepy') \g /dev/null
select perdure.start_workflow('T', 'wake-1', 'sleepy') \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.notified('c'), '', 'nobody is notified while no worker sleeps');
select perdure.set_waiting(t.worker(7), true) \g /dev/null
select perdure.start_workflow('T', 'wake-2', 'sleepy') \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.notified('c'), 'workflow', 'a worker that sleeps is told of a workflow task');
select perdure.start_workflow('T', 'wake-3', 'other') \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.notified('c'), '', 'of its own queue');
select t.claim(7, p_queue => 'sleepy') \g /dev/null
select t.complete('wake-1', jsonb_build_array(t.activity('a'), t.activity('b')), 7) \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.notified('c'), 'activity', 'of activities once a transaction');
select t.complete('wake-2', '[]', 7) \g /dev/null
select perdure.start_query(0::smallint, 'default', 'wake-2', null, 'state') \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.notified('c'), 'query', 'and of queries');
select perdure.stop_worker(t.worker(7)), t.terminate_all() \g /dev/null

-- Results are sent only to sessions that wait for some
select t.run_in('c', format('listen %I', perdure.result_channel('default'))) \g /dev/null
create function t.told() returns text language sql
as $$
    select coalesce(string_agg(w.workflow_id, ' ' order by w.workflow_id), '') from dblink_get_notify('c') n
        join perdure.workflows w on w.run_id::text = n.extra
$$;
create procedure t.close_one(p_id text, p_command jsonb) language plpgsql
as $$
begin
    perform t.start(p_id);
    perform t.claim();
    perform t.complete(p_id, jsonb_build_array(p_command));
    commit;
    perform t.run_in('c', 'select 1::text');
end
$$;
call t.close_one('told-1', t.command('CompleteWorkflowExecution', '{"result": []}'));
select is(t.told(), '', 'nobody is told of a result while nobody waits');
select t.run_in('c', $$select perdure.await_results('other')::text$$) \g /dev/null
call t.close_one('told-2', t.command('CompleteWorkflowExecution', '{"result": []}'));
select is(t.told(), '', 'or waits in another namespace');
select t.run_in('c', $$select perdure.await_results('default')::text$$) \g /dev/null
call t.close_one('told-3', t.command('CompleteWorkflowExecution', '{"result": []}'));
select is(t.told(), 'told-3', 'a session that waits is told of a run that completes');
call t.close_one('told-4', t.command('FailWorkflowExecution', '{"failure": {"message": "no"}}'));
select is(t.told(), 'told-4', 'of one that fails');
select t.start('told-5'), perdure.terminate_workflow('told-5') \g /dev/null
select t.run_in('c', 'select 1::text') \g /dev/null
select is(t.told(), 'told-5', 'and of one that is terminated');
select set_config('perdure.many', '1', false) \g /dev/null
call t.close_one('told-among-many', t.command('CompleteWorkflowExecution', '{"result": []}'));
select is(t.status('told-among-many') || t.told(), 'Completed',
    'but not of those that close among many, where a notification would cost all of them');
select set_config('perdure.many', '', false) \g /dev/null
select t.run_in('c', 'select pg_advisory_unlock_all()::text') \g /dev/null
call t.close_one('told-6', t.command('CompleteWorkflowExecution', '{"result": []}'));
select is(t.told(), '', 'no more than it wants to know');
select is((select count(*)::int from pg_locks where locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())), 0, 'and no lock stays behind');

-- Random calls meet: there is no deadlock and no gap, and an id has one open run. A worker completes what it has and
-- then claims, in one transaction.
create procedure t.storm(p_worker int, p_seed double precision) language plpgsql
as $$
declare
    v_id text;
begin
    perform setseed(p_seed);
    for i in 1 .. 120 loop
        v_id := 'storm-' || floor(random() * 4);
        begin
            case floor(random() * 11)
            when 0 then perform t.start(v_id, '{"workflowIdConflictPolicy": "UseExisting"}');
            when 1 then perform t.start(v_id, '{"workflowIdConflictPolicy": "TerminateExisting"}');
            when 2 then perform perdure.signal_workflow(v_id, 's');
            when 3 then perform perdure.signal_with_start_workflow('T', v_id, 'q', 's');
            when 4 then perform perdure.cancel_workflow(v_id);
            when 5 then perform perdure.upkeep(0::smallint);
            when 6 then
                perform count(*) from perdure.heartbeat_activity_tasks(0::smallint, t.worker(p_worker),
                    (select coalesce(jsonb_agg(jsonb_build_object('runId', run_id,
                    'scheduledEventId', scheduled_event_id, 'attempt', attempt)), '[]') from t.activity_task
                        where worker = p_worker));
            when 7 then perform perdure.terminate_workflow(v_id);
            when 8 then
                perform count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(p_worker),
                    (select coalesce(jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId',
                    scheduled_event_id,
                    'attempt', attempt, 'outcome', case when random() < 0.5 then 'completed' else 'failed' end)), '[]')
                        from t.activity_task where worker = p_worker));
                delete from t.activity_task where worker = p_worker;
                perform t.claim_activities(p_worker);
            else
                perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(p_worker),
                    (select coalesce(jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId',
                    scheduled_event_id,
                    'attempt', attempt, 'commands', case when random() < 0.7
                        then jsonb_build_array(t.activity('a' || i, '{"retryPolicy": {"initialInterval": "0.001s"}}'),
                        t.timer('t' || i, '0.001s'))
                        else jsonb_build_array(t.command('CompleteWorkflowExecution')) end)), '[]') from t.workflow_task
                            where worker = p_worker));
                delete from t.workflow_task where worker = p_worker;
                perform t.claim(p_worker);
            end case;
        exception
            when sqlstate 'PD001' or sqlstate 'PD002' or sqlstate 'PD006' then null;
        end;
        commit;
    end loop;
end
$$;
truncate t.workflow_task, t.activity_task;
select t.send(s, format('call t.storm(%s, %s)', w, w / 10.0))
    from (values ('a', 1), ('b', 2), ('c', 3), ('d', 4)) v (s, w) \g /dev/null
select is(t.wait(s), 'CALL', 'a storm of everything at once: session ' || s) from unnest(array['a', 'b', 'c', 'd']) s;
select is_empty($$select workflow_id, run_id from perdure.history_events group by workflow_id, run_id
    having count(*) <> max(event_id) or min(event_id) <> 1$$, 'histories are without gaps');
select is_empty($$select workflow_id from perdure.workflows where status = 'Running' group by workflow_id
    having count(*) > 1$$, 'one run of an id is open');
select cmp_ok((select count(*) from perdure.history_events where workflow_id like 'storm-%'), '>', 300::bigint,
    'and much happened');
select is_empty($$select w.run_id from perdure.workflows w where w.status = 'Running' and w.workflow_task_attempt = 0
    and not exists (select from perdure.pending_workflow_tasks t where t.run_id = w.run_id)
    and exists (select from perdure.history_events h where h.run_id = w.run_id
        and h.event_id > (select max(c.event_id) from perdure.history_events c where c.run_id = w.run_id
        and c.event_type = 'WorkflowTaskCompleted')
        and h.event_type in ('WorkflowExecutionSignaled', 'TimerFired', 'ActivityTaskCompleted', 'ActivityTaskFailed',
            'WorkflowExecutionCancelRequested'))$$,
    'no run has news that no workflow task will tell it');

-- Batch jobs
select t.start('batch-' || i) from generate_series(1, 3) i \g /dev/null
select perdure.start_batch_job('signal', 'WorkflowId STARTS_WITH "batch-"', '{"signalName": "s"}') as job \gset
select perdure.list_runs_of_batch_job(:'job') \g /dev/null
select format('select perdure.run_next_of_batch_job(0::smallint, %L)', :'job') as next \gset
select t.run_in('a', 'begin') \g /dev/null
select t.run_in('a', $$select run_id::text from perdure.run_states where run_id = t.run('batch-1') for update$$)
    \g /dev/null
select is(t.run_in('b', :'next'), 'batch-1', 'a batch job waits half a second for a run that is locked');
select is((select r.state || r.tries from perdure.batch_job_results r where r.workflow_id = 'batch-1'), 'waiting1',
    'postpones it');
select is(t.run_in('b', :'next') || ' ' || t.run_in('b', :'next'), 'batch-2 batch-3', 'and goes on with the others');
select t.run_in('a', 'commit') \g /dev/null
update perdure.batch_job_runs set next_at = null;
select is(t.run_in('b', :'next'), 'batch-1', 'later it is changed too');
select is((select string_agg(r.state, ' ') from perdure.batch_job_results r), 'done done done', 'as all are');
select t.terminate_all() \g /dev/null

select is_empty('select * from perdure.violations()', 'and no rule of the engine is broken');

select dblink_disconnect(s) from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select * from finish();
