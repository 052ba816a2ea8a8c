-- The attribute workerVersion: which build the events of a worker's tasks name. A report may name the build ("buildId",
-- as the frontend sends it for other SDKs); without it, the build of the registered worker counts.
begin;
\ir support/engine.psql
select no_plan();
create function t.build(p_id text, p_event bigint) returns text language sql
as $$ select coalesce(t.event(p_id, p_event) #>> '{workerVersion,buildId}', 'none') $$;
-- A run whose activity is claimed.
create function t.with_activity(p_id text, p_attributes jsonb default '{}') returns void language plpgsql
as $$
begin
    perform t.start(p_id), t.claim(), t.complete(p_id, jsonb_build_array(t.activity('a', p_attributes))),
        t.claim_activities();
end
$$;

select t.with_activity(w) from unnest(array['plain', 'told', 'empty', 'failed', 'canceled', 'long', 'busy']) w
    \g /dev/null

select t.finish('plain', 'a') \g /dev/null
select is(t.build('plain', 3) || ' ' || t.build('plain', 4) || ' ' || t.build('plain', 6), 'build-1 build-1 build-1',
    'the build of the worker that is registered is told');
select t.finish('told', 'a', p_more => '{"buildId": "build-x"}') \g /dev/null
select is(t.build('told', 6), 'build-x', 'a result tells its own');
select t.finish('empty', 'a', p_more => '{"buildId": ""}') \g /dev/null
select is(t.build('empty', 6), 'none', 'or that there is none');
select is(t.history('empty', 6), '6 ActivityTaskStarted 7 ActivityTaskCompleted 8 WorkflowTaskScheduled',
    'with the same events');
select t.finish('failed', 'a', 'failed', t.failure('no') || jsonb_build_object('buildId', 'build-x')) \g /dev/null
select t.at(2), t.upkeep(), t.claim_activities(), t.finish('failed', 'a', 'failed',
    jsonb_build_object('buildId', 'build-y', 'failure', jsonb_build_object('message', 'no', 'applicationFailureInfo',
        jsonb_build_object('nonRetryable', true)))) \g /dev/null
select is(t.history('failed', 6) || ' ' || t.build('failed', 6),
    '6 ActivityTaskStarted 7 ActivityTaskFailed 8 WorkflowTaskScheduled build-y', 'so does the last failure');
select perdure.signal_workflow('canceled', 's') \g /dev/null
select t.claim(), t.complete('canceled', jsonb_build_array(t.command('RequestCancelActivityTask',
    '{"scheduledEventId": 5}'))), t.finish('canceled', 'a', 'canceled', '{"buildId": "build-x"}') \g /dev/null
select is((select t.build('canceled', h.event_id) from perdure.history_events h
    where h.run_id = t.run('canceled') and h.event_type = 'ActivityTaskStarted'), 'none', 'a cancellation does not');

select throws_ok($$select t.finish('long', 'a', p_more => jsonb_build_object('buildId', repeat('x', 256)))$$, 'PD003',
    'the build id is longer than 255 bytes', 'a build id that is too long is refused');
select is((select a.state from perdure.pending_activities a where a.run_id = t.run('long')), 'Started',
    'and changes nothing');

-- With the set-based statement
select t.with_activity('many-' || i) from generate_series(1, 12) i \g /dev/null
select is((select count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(1), (select jsonb_agg(
    jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id, 'attempt', a.attempt, 'outcome',
        'completed') || case when a.workflow_id like '%1' then jsonb '{"buildId": "build-x"}'
        when a.workflow_id like '%2' then jsonb '{"buildId": ""}' else '{}' end)
    from t.activity_task a where a.workflow_id like 'many-%')) f where f.outcome = 'completed'), 12::bigint,
    'many results at once');
select is((select string_agg(i || ' ' || t.build('many-' || i, 6), ', ' order by i) from generate_series(1, 4) i),
    '1 build-x, 2 none, 3 build-1, 4 build-1', 'each tells its own build, or that of the worker');
select is(t.refusal($$select perdure.finish_set(0::smallint, t.worker(1), (select jsonb_agg(
    jsonb_build_object('runId', t.run('long'), 'scheduledEventId', i, 'attempt', 1, 'outcome', 'completed', 'result',
        '[]'::jsonb, 'buildId', repeat('x', 256))) from generate_series(5, 16) i))$$), 'PD003',
    'and one that is too long is refused there, too');

-- An end that no worker told
select t.with_activity('late', '{"startToCloseTimeout": "5s", "retryPolicy": {"maximumAttempts": 1}}'), t.at(20),
    t.upkeep() \g /dev/null
select is(t.history('late', 6) || ' ' || t.build('late', 6),
    '6 ActivityTaskStarted 7 ActivityTaskTimedOut 8 WorkflowTaskScheduled none',
    'an attempt that timed out tells no build');

-- Workflow tasks
select t.start('task'), t.claim() \g /dev/null
select perdure.complete_workflow_tasks(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(
    'runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', w.attempt, 'commands', '[]'::jsonb,
    'buildId', 'build-x'))) from t.workflow_task w where w.workflow_id = 'task' \g /dev/null
select is(t.build('task', 3) || ' ' || t.build('task', 4), 'build-1 build-x',
    'a completion tells its build, and the start that of the worker that claimed the task');
select throws_ok($$select perdure.complete_set(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(
    'runId', t.run('busy'), 'scheduledEventId', 2, 'attempt', 1, 'commands', '[]'::jsonb, 'buildId',
    repeat('x', 256))))$$, 'PD003', 'the build id is longer than 255 bytes', 'one that is too long is refused');

select is_empty($$select * from perdure.violations()$$, 'nothing is broken');
select * from finish();
rollback;
