-- Workflow tasks: claimed, completed, failed, timed out, kept for the worker that has the run, fenced against all
-- others.
begin;
\ir support/engine.psql
select no_plan();
select t.register(2) \g /dev/null

-- Claiming
select t.start('a'), t.start('b') \g /dev/null
select results_eq($$select workflow_id collate "default", workflow_type collate "default", attempt,
    scheduled_event_id::int, started_event_id::int, previous_started_event_id::int, history_from::int,
        started_at, jsonb_path_query_array(history, '$[*].events[*].eventType')
    from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 1)$$,
    $$values ('a', 'T', 1, 2, 3, 0, 1, timestamptz '2026-01-01 00:00:00Z',
        '["WorkflowExecutionStarted", "WorkflowTaskScheduled", "WorkflowTaskStarted"]'::jsonb)$$,
    'a claim hands out the oldest, with the whole history and the start that is not yet written');
select is(t.claim(2), 'b', 'another worker gets another');
select is(t.claim(2), '', 'and then none');
select is(t.claim(2, p_queue => 'other'), '', 'nor of another queue');
select is(t.claim(2, 0), '', 'a limit of nothing claims nothing');
select results_eq($$select state, attempt, worker_identity from perdure.pending_workflow_tasks
    where workflow_id = 'b'$$, $$values ('Started', 1, 'worker-2')$$, 'people see who has it');
select is((select (history -> -1 ->> 'firstEventId')::int from t.workflow_task where workflow_id = 'b'), 3,
    'the last batch begins with the start');
select is(t.refusal($$select perdure.claim_workflow_tasks(0::smallint, t.worker(9), 'q', 1)$$), 'PD007',
    'an unknown worker');
select is(t.refusal($$select perdure.complete_workflow_tasks(0::smallint, t.worker(9), '[]')$$), 'PD007',
    'completes nothing');
select is(t.refusal($$select perdure.fail_workflow_tasks(0::smallint, t.worker(9), '[]')$$), 'PD007', 'fails nothing');

-- Only the worker that holds a task can complete it
select is(t.complete('b', p_worker => 1), null, 'worker 1 never had it');
insert into t.workflow_task select 1, workflow_id, run_id, attempt, scheduled_event_id, started_event_id, history_from,
    history from t.workflow_task where workflow_id = 'b';
select is(t.complete('b', p_worker => 1), 'lost', 'and cannot complete it');
select is(t.fail('b', p_worker => 1), 'lost', 'nor fail it');
select is(t.history('b'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'which leaves no trace');
select is(t.complete('b', jsonb_build_array(t.timer('x', '1000s')), 2), 'completed', 'worker 2 can');
select is(t.complete('b', p_worker => 2), 'lost', 'once');
select is(t.history('b', 3), '3 WorkflowTaskStarted 4 WorkflowTaskCompleted 5 TimerStarted',
    'and nothing is scheduled while nothing has happened');

-- A completion that is repeated because its answer was lost is not taken for one of the next task
select t.start('again'), t.claim() \g /dev/null
create temp table told as select jsonb_build_array(jsonb_build_object('runId', w.run_id, 'scheduledEventId',
    w.scheduled_event_id, 'attempt', w.attempt,
    'commands', jsonb_build_array(t.timer('x', '1000s')), 'cause', 'WorkflowWorkerUnhandledFailure')) as ends
        from t.workflow_task w where w.worker = 1 and w.workflow_id = 'again';
select is((select c.outcome from told, perdure.complete_workflow_tasks(0::smallint, t.worker(1), told.ends) c),
    'completed', 'told once, the answer lost');
select perdure.signal_workflow('again', 's'), t.claim() \g /dev/null
select is((select c.outcome from told, perdure.complete_workflow_tasks(0::smallint, t.worker(1), told.ends) c), 'lost',
    'told again, while the same worker has the next one');
select is((select f.outcome from told, perdure.fail_workflow_tasks(0::smallint, t.worker(1), told.ends) f), 'lost',
    'nor does it fail that');
select is(t.complete('again'), 'completed', 'which goes on');
select is(t.history('again', 5),
    '5 TimerStarted 6 WorkflowExecutionSignaled 7 WorkflowTaskScheduled 8 WorkflowTaskStarted 9 WorkflowTaskCompleted',
    'as if nothing had been told twice');

-- A set answers for each member
select t.start('s1'), t.start('s2'), t.start('s3'), t.claim() \g /dev/null
select results_eq($$
    select w.workflow_id, c.outcome, c.next_event_id::int, c.failure ->> 'message'
        from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (select jsonb_agg(jsonb_build_object(
        'runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt + case workflow_id when 's2' then 1
            else 0 end,
        'commands', case workflow_id when 's3' then jsonb_build_array(t.command('Nonsense'))
            else jsonb_build_array(t.command('CompleteWorkflowExecution')) end))
        from t.workflow_task where workflow_id like 's_')) c join t.workflow_task w using (run_id)
            order by w.workflow_id$$,
    $$values ('s1', 'completed', 6, null), ('s2', 'lost', null, null),
        ('s3', 'failed', null, 'unknown command type Nonsense')$$, 'completed, lost and failed stand side by side');
select is(array[t.status('s1'), t.status('s2'), t.status('s3')], array['Completed', 'Running', 'Running'],
    'each for itself');
select is(t.refusal($$select perdure.complete_workflow_tasks(0::smallint, t.worker(1), '{}')$$), 'PD003',
    'a set is an array');
select is(t.refusal($$select perdure.complete_workflow_tasks(0::smallint, t.worker(1), null)$$), 'PD003',
    'and not null');
select is((select count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1), '[]')), 0::bigint,
    'an empty set is fine');
select perdure.terminate_workflow(w.workflow_id) from perdure.workflows w where w.status = 'Running' \g /dev/null

-- Attempts and backoff: at once, then after 1 s, 2 s, 4 s, 8 s, 10 s, 10 s
select t.at(100), t.start('f') \g /dev/null
select t.claim(), t.fail('f') \g /dev/null
select results_eq($$select state, attempt, next_attempt_time, last_failure -> 'failure' ->> 'message',
    last_failure ->> 'cause' from perdure.pending_workflow_tasks where workflow_id = 'f'$$,
    $$values ('Scheduled', 2, null::timestamptz, 'a bug', 'WorkflowWorkerUnhandledFailure')$$,
        'the second attempt comes at once');
create function t.backoff(out seconds numeric) language plpgsql
as $$
declare
    v_next timestamptz;
begin
    perform t.claim(), t.fail('f');
    select w.next_attempt_time, extract(epoch from w.next_attempt_time - perdure.clock()) into v_next, seconds
        from perdure.pending_workflow_tasks w where w.workflow_id = 'f';
    perform set_config('perdure.now', (v_next - interval '1 ms')::text, false), t.upkeep();
    if t.claim() <> '' then
        raise exception 'it could be claimed before its time';
    end if;
    perform set_config('perdure.now', v_next::text, false), t.upkeep();
end
$$;
select is((select array_agg(t.backoff()) from generate_series(1, 12)),
    array[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]::numeric[],
    'later ones after a backoff that doubles up to ten minutes');
select is((select workflow_task_attempt from perdure.workflows where workflow_id = 'f'), 13,
    'the list tells how often');
select is((select workflow_task_failure -> 'failure' ->> 'message' from perdure.workflows where workflow_id = 'f'),
    'a bug', 'and why');
select is((select jsonb_path_query_array(history, '$[last].events[*].eventType')
    from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 1)),
    '["WorkflowTaskScheduled", "WorkflowTaskStarted"]',
        'a later attempt is handed out with both events that it will write');
select perdure.terminate_workflow('f') \g /dev/null
select is(t.history('f'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskFailed '
        '5 WorkflowExecutionTerminated', 'but a termination writes neither');

-- A worker with a fixed build registers: tasks in backoff can be claimed at once
select t.start('g'), t.claim(), t.fail('g'), t.claim(), t.fail('g') \g /dev/null
select is(t.claim(), '', 'a failing task backs off');
select t.register(3, p_queue => 'other') \g /dev/null
select is(t.claim(), '', 'a worker of another queue changes nothing');
select t.register(4) \g /dev/null
select is(t.claim(4), 'g', 'a worker of another build gets it at once');
select is(t.complete('g', jsonb_build_array(t.command('CompleteWorkflowExecution')), 4), 'completed',
    'and can complete it');
select is((select workflow_task_failure from perdure.workflows where workflow_id = 'g'), null,
    'then nothing is wrong with the run');

-- Workers that crash again and again do not keep failing tasks busy
create function t.register_build(p_number int, p_build text) returns void language sql
as $$ select perdure.register_worker(t.worker(p_number), 'default', 'me', p_build, array['q'], '1000 days') $$;
create function t.fail_by(p_number int) returns text language sql
as $$ select t.fail('k', p_worker => p_number) $$;
create function t.next_attempt() returns numeric language sql
as $$ select extract(epoch from next_attempt_time - timestamptz '2026-01-01 00:00:00Z')
    from perdure.pending_workflow_tasks where workflow_id = 'k' $$;
select t.at(1000), t.start('k') \g /dev/null
select t.claim(), t.fail_by(1), perdure.retry_now('k') from generate_series(1, 12) \g /dev/null
select t.claim(), t.fail_by(1) \g /dev/null
select is(t.next_attempt(), 1600::numeric, 'the wait grows to ten minutes');
select t.register_build(5, 'build-1') \g /dev/null
select is(t.next_attempt(), 1060::numeric, 'a worker of the same build shortens it to a minute');
select t.at(1059), t.register_build(6, 'build-1') \g /dev/null
select is(t.claim(6), '', 'which begins with the attempt, however often workers register');
select t.at(1060), t.register_build(7, 'build-1') \g /dev/null
select is(t.claim(7), 'k', 'then it is tried');
select t.fail_by(7), t.register_build(8, '') \g /dev/null
select is(t.claim(8), '', 'a worker without a build id has the same code, for all that is known');
select is(t.next_attempt(), 1120::numeric, 'so the task waits a minute');
select t.at(1120), t.register_build(8, '') \g /dev/null
select is(t.claim(8), 'k', 'and is tried then');
select t.fail_by(8), t.register_build(9, '') \g /dev/null
select is(t.claim(9), '', 'another one without does not wake it');
select t.register_build(10, 'build-1') \g /dev/null
select is(t.claim(10), 'k', 'a build id after none is another build');
select perdure.terminate_workflow('k') \g /dev/null

-- As in Temporal, an event between two attempts makes the next attempt a first one, which is written
select t.start('h'), t.claim(), perdure.signal_workflow('h', 's1'), t.fail('h') \g /dev/null
select is(t.history('h', 3),
    '3 WorkflowTaskStarted 4 WorkflowTaskFailed 5 WorkflowExecutionSignaled 6 WorkflowTaskScheduled',
    'what was buffered when a task failed comes behind the failure, and is told to the next task');
select results_eq($$select state, attempt, next_attempt_time from perdure.pending_workflow_tasks
    where workflow_id = 'h'$$, $$values ('Scheduled', 1, null::timestamptz)$$,
    'which is a first attempt');
select is((select workflow_task_failure -> 'failure' ->> 'message' from perdure.workflows where workflow_id = 'h'),
    'a bug', 'of a run that is still known to fail');
select perdure.signal_workflow('h', 's2'), t.claim(), t.fail('h') \g /dev/null
select is(t.history('h', 7), '7 WorkflowExecutionSignaled 8 WorkflowTaskStarted 9 WorkflowTaskFailed',
    'whose failure is written, too');
select t.claim(), t.fail('h') \g /dev/null
select results_eq($$select state, attempt, next_attempt_time is not null from perdure.pending_workflow_tasks
    where workflow_id = 'h'$$, $$values ('Backoff', 3, true)$$,
    'without news the attempts are transient, and back off');
select is(t.history('h', 10), null, 'and leave no trace');
select is(t.claim(), '', 'it waits');
select perdure.signal_workflow('h', 's3') \g /dev/null
select is(t.history('h', 10), '10 WorkflowExecutionSignaled 11 WorkflowTaskScheduled',
    'a signal while it waits makes it a task like any other');
select is(t.claim(), 'h', 'to be tried at once');
select is((select jsonb_path_query_array(jsonb_path_query_array(history, '$[*].events[*].eventType'),
    '$[last - 3 to last]') from t.workflow_task where workflow_id = 'h'),
    '["WorkflowTaskFailed", "WorkflowExecutionSignaled", "WorkflowTaskScheduled", "WorkflowTaskStarted"]',
        'by whoever sees all of it');
select is((select array[attempt, scheduled_event_id, started_event_id] from t.workflow_task where workflow_id = 'h'),
    array[1, 11, 12]::bigint[], 'and knows the ids');
select t.fail('h'), t.claim(), perdure.signal_workflow('h', 's4'), t.fail('h') \g /dev/null
select is(t.history('h', 12),
    '12 WorkflowTaskStarted 13 WorkflowTaskFailed 14 WorkflowExecutionSignaled 15 WorkflowTaskScheduled',
    'a transient attempt leaves nothing of itself, but what was buffered meanwhile is told');
select is(t.claim() || ' ' || t.complete('h'), 'h completed', 'a fixed worker');
select is(t.history('h', 16), '16 WorkflowTaskStarted 17 WorkflowTaskCompleted', 'goes on from there');
select is((select workflow_task_attempt from perdure.workflows where workflow_id = 'h'), 0,
    'and nothing is wrong with the run');
select perdure.terminate_workflow('h') \g /dev/null

-- The same for the end of an activity, while the task waits and while an attempt runs
select t.start('ha'), t.claim(), t.complete('ha', jsonb_build_array(t.activity('a'), t.activity('b'))),
    t.claim_activities(), perdure.signal_workflow('ha', 's'),
    t.claim(), t.fail('ha'), t.claim(), t.fail('ha') \g /dev/null
select is((select state from perdure.pending_workflow_tasks where workflow_id = 'ha'), 'Backoff', 'a task waits');
select t.finish('ha', 'a') \g /dev/null
select is(t.history('ha', 11), '11 ActivityTaskStarted 12 ActivityTaskCompleted 13 WorkflowTaskScheduled',
    'an activity ends meanwhile');
select is((t.event('ha', 12) ->> 'startedEventId')::int, 11, 'and names its start');
select t.claim(), t.fail('ha'), t.claim(), t.finish('ha', 'b'), t.fail('ha') \g /dev/null
select is(t.history('ha', 14),
    '14 WorkflowTaskStarted 15 WorkflowTaskFailed 16 ActivityTaskStarted 17 ActivityTaskCompleted '
        '18 WorkflowTaskScheduled', 'another during an attempt');
select is((t.event('ha', 17) ->> 'startedEventId')::int, 16, 'which names its start');
select perdure.terminate_workflow('ha') \g /dev/null

-- As in Temporal, a task that was kept for the worker with the run in its cache is tried once more before its attempts
-- are transient
select t.start('hs'), t.claim(), t.complete('hs', jsonb_build_array(t.timer('x', '1000s')), p_sticky => true),
    perdure.signal_workflow('hs', 's'), t.claim(), t.fail('hs') \g /dev/null
select is(t.history('hs', 6),
    '6 WorkflowExecutionSignaled 7 WorkflowTaskScheduled 8 WorkflowTaskStarted 9 WorkflowTaskFailed '
        '10 WorkflowTaskScheduled', 'the cached run fails: the next task is a first one');
select is(t.claim(2), 'hs', 'for any worker');
select t.fail('hs', p_worker => 2), t.claim(), t.fail('hs') \g /dev/null
select is(t.history('hs', 11), '11 WorkflowTaskStarted 12 WorkflowTaskFailed',
    'it fails there too, and from then on attempts leave no trace');
select perdure.terminate_workflow('hs') \g /dev/null

-- Timeouts: the first is written, the next is not, and the worker that lost the task cannot write
select t.at(1000), t.start('i'), t.claim(), t.at(1009.999), t.upkeep() \g /dev/null
select is((select attempt from perdure.pending_workflow_tasks where workflow_id = 'i'), 1,
    'ten seconds are a task''s time');
select t.at(1010) \g /dev/null
select is(t.upkeep(), 'workflow tasks 1', 'then it has timed out');
select is(t.complete('i'), 'lost', 'and whoever had it has lost it');
select is(t.claim(2), 'i', 'another worker tries');
select is(t.complete('i'), 'lost', 'which does not give it back to the first');
select t.at(1020), t.upkeep() \g /dev/null
select is(t.history('i'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskTimedOut',
    'a second timeout leaves no event');
select is((select attempt from perdure.pending_workflow_tasks where workflow_id = 'i'), 3, 'but counts');
select is((select last_failure ->> 'cause' from perdure.pending_workflow_tasks where workflow_id = 'i'), 'Timeout',
    'and is shown');
select perdure.terminate_workflow('i') \g /dev/null

-- Stickiness
select t.at(2000), t.start('k'), t.claim(), t.complete('k', jsonb_build_array(t.timer('x', '1000s')), p_sticky => true),
    perdure.signal_workflow('k', 's') \g /dev/null
select is(t.claim(2), '', 'a workflow task is kept for the worker that has the run');
select is((select worker_identity from perdure.pending_workflow_tasks where workflow_id = 'k'), 'worker-1',
    'as people can see');
select is(t.claim(1), 'k', 'which gets it');
select is((select history_from from t.workflow_task where workflow_id = 'k' and worker = 1), 6::bigint,
    'with what has happened since what it wrote last');
select is((select jsonb_path_query_array(history, '$[*].events[*].eventType') from t.workflow_task
    where workflow_id = 'k' and worker = 1),
    '["WorkflowExecutionSignaled", "WorkflowTaskScheduled", "WorkflowTaskStarted"]', 'and no more');
select t.complete('k', '[{"commandType": "RecordMarker", "attributes": {"markerName": "m"}}]', p_sticky => true),
    perdure.signal_workflow('k', 's'), t.claim(1) \g /dev/null
select is((select jsonb_path_query_array(history, '$[*].events[*].eventType') from t.workflow_task
    where workflow_id = 'k' and worker = 1),
    '["WorkflowTaskStarted", "WorkflowTaskCompleted", "MarkerRecorded", "WorkflowExecutionSignaled", '
        '"WorkflowTaskScheduled", "WorkflowTaskStarted"]',
    'but for events that hold more than their commands');
select perdure.signal_workflow('k', 'between'), t.complete('k', p_sticky => true), t.claim(1) \g /dev/null
select is((select jsonb_path_query_array(history, '$[*].events[*].eventType') from t.workflow_task
    where workflow_id = 'k' and worker = 1),
    '["WorkflowTaskStarted", "WorkflowTaskCompleted", "WorkflowExecutionSignaled", "WorkflowTaskScheduled", '
        '"WorkflowTaskStarted"]',
    'and for a batch with news');
select t.complete('k', p_sticky => true), perdure.signal_workflow('k', 's') \g /dev/null
select t.at(2004.9), t.upkeep() \g /dev/null
select is(t.claim(2), '', 'it is kept for five seconds');
select t.at(2005), t.upkeep() \g /dev/null
select is(t.claim(2), 'k', 'then anybody gets it');
select is((select history_from from t.workflow_task where workflow_id = 'k' and worker = 2), 1::bigint,
    'with the whole history');
select t.complete('k', p_worker => 2, p_sticky => false), perdure.signal_workflow('k', 's') \g /dev/null
select is(t.claim(1), 'k', 'and is not kept for a worker that does not want it');
select t.complete('k', p_sticky => true) \g /dev/null
select t.claim(), perdure.signal_workflow('k', 's'), perdure.stop_worker(t.worker(1)) \g /dev/null
select is(t.claim(2), 'k', 'nor for one that has stopped');
select t.register(1), perdure.terminate_workflow('k') \g /dev/null

-- Many tasks that are kept for a worker do not keep it from others
select t.at(2500), t.start('old-' || i) from generate_series(1, 12) i \g /dev/null
select t.claim() \g /dev/null
select t.complete('old-' || i, jsonb_build_array(t.timer('x', '1000s')), p_sticky => true),
    perdure.signal_workflow('old-' || i, 's') from generate_series(1, 12) i \g /dev/null
select t.at(2501), t.start('new-' || i) from generate_series(1, 4) i \g /dev/null
create function t.claimed(p_limit int) returns text language sql
as $$ select string_agg(kind || ' ' || count, ', ' order by kind desc) from (
    select substring(c.workflow_id from '^...') as kind, count(*) as count
        from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', p_limit) c group by 1) k $$;
select is(t.claimed(8), 'old 6, new 2', 'a quarter of what is claimed is new');
select is(t.claimed(4), 'old 3, new 1', 'again');
select is(t.claimed(1), 'old 1', 'of few what waits for the worker goes first');
select t.at(2501.000003) \g /dev/null
select is(t.claimed(1), 'new 1', 'but not at all times');
select is(t.claimed(8), 'old 2', 'without any that is new, all are of the worker''s own');
select is(t.claimed(8), null, 'until there is none');
select perdure.terminate_workflow('old-' || i) from generate_series(1, 12) i \g /dev/null
select perdure.terminate_workflow('new-' || i) from generate_series(1, 4) i \g /dev/null
select t.at(2502), t.start('old-' || i) from generate_series(1, 12) i \g /dev/null
select t.claim() \g /dev/null
select t.complete('old-' || i, jsonb_build_array(t.timer('x', '1000s')), p_sticky => true),
    perdure.signal_workflow('old-' || i, 's') from generate_series(1, 12) i \g /dev/null
select is(t.claimed(9), 'old 9', 'even if these alone are more than their share');
select perdure.terminate_workflow('old-' || i) from generate_series(1, 12) i \g /dev/null

-- Handing back
select t.at(3000), t.start('l'), t.start('m'), t.claim() \g /dev/null
select is(perdure.release_tasks(0::smallint, t.worker(1),
    jsonb_build_array(jsonb_build_object('kind', 'workflow', 'runId', t.run('l'), 'scheduledEventId', 2))), 1,
    'a worker hands a task back');
select is(perdure.release_tasks(0::smallint, t.worker(2),
    jsonb_build_array(jsonb_build_object('kind', 'workflow', 'runId', t.run('m'), 'scheduledEventId', 2))), 0,
    'its own alone');
select is(t.complete('l'), 'lost', 'it can no longer complete that');
select is(t.claim(2), 'l', 'another can have it');
select is((select attempt from t.workflow_task where worker = 2 and workflow_id = 'l'), 1, 'at the same attempt');
select is(t.history('l'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'and nothing in the history');
select perdure.terminate_workflow('l'), perdure.terminate_workflow('m') \g /dev/null

-- Invalid commands: the task fails with Temporal's cause, and is tried again
select t.at(4000) \g /dev/null
create sequence t.bad;
create function t.cause(p_commands jsonb) returns text language plpgsql
as $$
declare
    v_id text := 'bad-' || nextval('t.bad');
    v_outcome text;
begin
    perform t.start(v_id), t.claim();
    v_outcome := t.complete(v_id, p_commands);
    v_outcome := case when v_outcome like 'failed %' then t.event(v_id, 4) ->> 'cause' else v_outcome end;
    if t.status(v_id) <> 'Running' then
        return 'it closed';
    end if;
    perform perdure.terminate_workflow(v_id);
    return v_outcome;
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
select is(t.cause(commands), cause, what) from (values
    ('{}'::jsonb, 'BadBinary', 'commands that are no array'),
    ('[5]', 'BadBinary', 'a command that is no object'),
    (jsonb_build_array(t.command('DoNothing')), 'BadBinary', 'an unknown command'),
    (jsonb_build_array(t.command('CompleteWorkflowExecution'), t.timer('x', '1s')), 'UnhandledCommand',
        'a command behind the last'),
    (jsonb_build_array(t.activity('')), 'BadScheduleActivityAttributes', 'an activity without an id'),
    (jsonb_build_array(t.activity('a', '{"activityType": {}}')), 'BadScheduleActivityAttributes', 'without a type'),
    (jsonb_build_array(t.activity('a', '{"startToCloseTimeout": null}')), 'BadScheduleActivityAttributes',
        'without a timeout'),
    (jsonb_build_array(t.activity('a', '{"startToCloseTimeout": "0s"}')), 'BadScheduleActivityAttributes',
        'with a timeout of nothing'),
    (jsonb_build_array(t.activity('a', '{"startToCloseTimeout": 10}')), 'BadScheduleActivityAttributes',
        'with a timeout that is a number'),
    (jsonb_build_array(t.activity('a', '{"heartbeatTimeout": "soon"}')), 'BadScheduleActivityAttributes',
        'with a heartbeat timeout that is none'),
    (jsonb_build_array(t.activity('a', '{"input": {}}')), 'BadScheduleActivityAttributes',
        'with an input that is no array'),
    (jsonb_build_array(t.activity('a', '{"taskQueue": {"name": ""}}')), 'BadScheduleActivityAttributes',
        'on a queue without a name'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"backoffCoefficient": 0.5}}')),
        'BadScheduleActivityAttributes', 'with a coefficient below one'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"backoffCoefficient": "NaN"}}')),
        'BadScheduleActivityAttributes', 'with a coefficient that is no number'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"maximumAttempts": -1}}')), 'BadScheduleActivityAttributes',
        'with attempts below zero'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"maximumAttempts": "x"}}')), 'BadScheduleActivityAttributes',
        'with attempts that are no number'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"initialInterval": "x"}}')), 'BadScheduleActivityAttributes',
        'with an interval that is none'),
    (jsonb_build_array(t.activity('a', '{"retryPolicy": {"nonRetryableErrorTypes": "x"}}')),
        'BadScheduleActivityAttributes', 'with error types that are no array'),
    (jsonb_build_array(t.activity('a', '{"priority": {"priorityKey": "x"}}')), 'BadScheduleActivityAttributes',
        'with a priority that is no number'),
    (jsonb_build_array(t.activity('a', '{"priority": {"priorityKey": -1}}')), 'BadScheduleActivityAttributes',
        'with a priority below zero'),
    (jsonb_build_array(t.activity('a', '{"priority": {"fairnessKey": 5}}')), 'BadScheduleActivityAttributes',
        'with a fairness key that is no text'),
    (jsonb_build_array(t.activity('a'), t.activity('a')), 'ScheduleActivityDuplicateId', 'two activities of one id'),
    (jsonb_build_array(t.command('RequestCancelActivityTask', '{"scheduledEventId": 99}')),
        'BadRequestCancelActivityAttributes', 'the cancellation of nothing'),
    (jsonb_build_array(t.command('RequestCancelActivityTask')), 'BadRequestCancelActivityAttributes', 'of no event'),
    (jsonb_build_array(t.command('StartTimer', '{"startToFireTimeout": "1s"}')), 'BadStartTimerAttributes',
        'a timer without an id'),
    (jsonb_build_array(t.command('StartTimer', '{"timerId": "x"}')), 'BadStartTimerAttributes', 'without a time'),
    (jsonb_build_array(t.timer('x', 'soon')), 'BadStartTimerAttributes', 'with a time that is none'),
    (jsonb_build_array(t.timer('x', '1s'), t.timer('x', '2s')), 'StartTimerDuplicateId', 'two timers of one id'),
    (jsonb_build_array(t.command('CancelTimer', '{"timerId": "x"}')), 'BadCancelTimerAttributes',
        'the cancellation of no timer'),
    (jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": 5}')),
        'BadCompleteWorkflowExecutionAttributes', 'a result that is no payload'),
    (jsonb_build_array(t.command('FailWorkflowExecution')), 'BadFailWorkflowExecutionAttributes',
        'a failure without a failure'),
    (jsonb_build_array(t.command('UpsertWorkflowSearchAttributes', '{"searchAttributes": {"nothing": 1}}')),
        'BadSearchAttributes', 'an unknown search attribute'),
    (jsonb_build_array(t.command('UpsertWorkflowSearchAttributes')), 'BadSearchAttributes', 'no search attributes'),
    (jsonb_build_array(t.command('ModifyWorkflowProperties', '{"upsertedMemo": []}')),
        'BadModifyWorkflowPropertiesAttributes', 'a memo that is no object'),
    (jsonb_build_array(t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"x": 5}}')),
        'BadModifyWorkflowPropertiesAttributes', 'a memo of no payloads'),
    (jsonb_build_array(t.command('RecordMarker')), 'BadRecordMarkerAttributes', 'a marker without a name'),
    (jsonb_build_array(t.activity('a', jsonb_build_object('input', t.data(to_jsonb(repeat('x', 2097152)))))),
        'BadScheduleActivityAttributes', 'an input of more than 2 MiB'),
    (jsonb_build_array(t.command('CompleteWorkflowExecution',
        jsonb_build_object('result', t.data(to_jsonb(repeat('x', 2097152)))))),
        'BadCompleteWorkflowExecutionAttributes',
        'a result of more than 2 MiB'),
    (jsonb_build_array(t.activity('a', '{"startToCloseTimeout": null, "scheduleToCloseTimeout": "1s"}'),
        t.activity('b', '{"retryPolicy": {"nonRetryableErrorTypes": null}}'), t.activity('c', '{"retryPolicy": null}'),
        t.timer('x', '0s')), 'completed', 'but this is fine')
) c (commands, cause, what);

-- A run cannot close before its code has seen every event
select t.start('u'), t.claim(), perdure.signal_workflow('u', 'late') \g /dev/null
select is(t.complete('u', jsonb_build_array(t.command('CompleteWorkflowExecution'))), 'failed UnhandledCommand',
    'a run that closes sees its last signal first');
select is(t.history('u', 3),
    '3 WorkflowTaskStarted 4 WorkflowTaskFailed 5 WorkflowExecutionSignaled 6 WorkflowTaskScheduled',
    'which is recorded');
select is(t.event('u', 4) ->> 'cause', 'UnhandledCommand', 'as Temporal does');
select is(t.claim() || ' ' || t.complete('u', jsonb_build_array(t.command('CompleteWorkflowExecution'))), 'u completed',
    'then it closes');

-- A timer that fires while its cancellation is decided is cancelled: the workflow never sees it fire.
select t.at(5000), t.start('v'), t.claim(), t.complete('v', jsonb_build_array(t.timer('x', '1s'))),
    perdure.signal_workflow('v', 's'), t.claim(), t.at(5001), t.upkeep() \g /dev/null
select is(t.complete('v', jsonb_build_array(t.command('CancelTimer', '{"timerId": "x"}'))), 'completed',
    'a timer is cancelled that has just fired');
select is(t.history('v', 8), '8 WorkflowTaskStarted 9 WorkflowTaskCompleted 10 TimerCanceled',
    'and its firing is not told');
select is(t.event('v', 10) ->> 'startedEventId', '5', 'by its start');

-- A thousand commands in one task
select t.start('many'), t.claim(), t.complete('many', (select jsonb_agg(t.activity('a' || i))
    from generate_series(1, 1000) i)) \g /dev/null
select is((select count(*) from perdure.pending_activities where workflow_id = 'many'), 1000::bigint,
    'a thousand activities at once');
select is_empty($$select workflow_id from perdure.history_events group by workflow_id, run_id
    having count(*) <> max(event_id) or min(event_id) <> 1$$, 'events are numbered without gaps');

select * from finish();
rollback;
