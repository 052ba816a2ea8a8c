-- Activity tasks: the whole retry policy, the four timeouts, heartbeats, cancellation, and the fence that keeps the
-- worker of an earlier attempt from ending a later one.
begin;
\ir support/engine.psql
select no_plan();
select t.register(2) \g /dev/null

-- Starts a workflow with one activity, which worker 1 claims unless p_claim is false.
create function t.with_activity(p_id text, p_second numeric, p_attributes jsonb default '{}',
    p_claim boolean default true) returns void language plpgsql
as $$
begin
    perform t.at(p_second), t.start(p_id), t.claim(), t.complete(p_id,
        jsonb_build_array(t.activity('a', p_attributes)));
    if p_claim then
        perform t.claim_activities();
    end if;
end
$$;
-- The state of an activity, its attempt, and the seconds until it is tried next.
create function t.pending(p_id text) returns text language sql
as $$
    select concat_ws(' ', a.state, a.attempt, extract(epoch
        from a.next_attempt_time - perdure.clock())::double precision) from perdure.pending_activities a
        where a.run_id = t.run(p_id)
$$;
-- How it ended: the event, its retry state and timeout.
create function t.ended(p_id text) returns text language sql
as $$
    select concat_ws(' ', h.event_type, h.attributes ->> 'retryState',
        h.attributes #>> '{failure,timeoutFailureInfo,timeoutType}') from perdure.history_events h
    where h.run_id = t.run(p_id) and h.event_type in ('ActivityTaskCompleted', 'ActivityTaskFailed',
        'ActivityTaskTimedOut', 'ActivityTaskCanceled')
$$;

-- What a worker gets
select t.with_activity('c', 0,
    '{"input": [{"encoding": "json/plain", "data": 5}], "scheduleToCloseTimeout": "60s", "startToCloseTimeout": "20s", '
        '"heartbeatTimeout": "5s"}', false), t.at(1) \g /dev/null
select results_eq($$select run_id = t.run('c'), scheduled_event_id::int, workflow_id collate "default",
    workflow_type collate "default", activity_id collate "default", activity_type, input, attempt, scheduled_at,
    current_attempt_scheduled_at,
    started_at, deadline, heartbeat_timeout, start_to_close_timeout, schedule_to_close_timeout, heartbeat_details,
        idempotency_key = t.run('c') || ':a'
    from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 10)$$,
    $$values (true, 5, 'c', 'T', 'a', 'A', '[{"encoding": "json/plain", "data": 5}]'::jsonb, 1,
        timestamptz '2026-01-01 00:00:00Z', timestamptz '2026-01-01 00:00:00Z',
    timestamptz '2026-01-01 00:00:01Z', timestamptz '2026-01-01 00:00:06Z', interval '5 s', interval '20 s',
        interval '60 s', null::jsonb, true)$$,
    'a claim hands out all that an attempt needs, its idempotency key and its first deadline included');
select is(t.claim_activities(2), '', 'once');
select results_eq($$select state, attempt, maximum_attempts, worker_identity, last_started_time
    from perdure.pending_activities$$,
    $$values ('Started', 1, null::int, 'worker-1', timestamptz '2026-01-01 00:00:01Z')$$, 'people see who has it');
select is(t.refusal($$select perdure.claim_activity_tasks(0::smallint, t.worker(9), 'q', 1)$$), 'PD007',
    'an unknown worker gets nothing');
select is(t.refusal($$select perdure.finish_activity_tasks(0::smallint, t.worker(9), '[]')$$), 'PD007',
    'finishes nothing');
select is(t.refusal($$select perdure.heartbeat_activity_tasks(0::smallint, t.worker(9), '[]')$$), 'PD007',
    'and keeps nothing alive');
select is(t.refusal($$select perdure.finish_activity_tasks(0::smallint, t.worker(1), '{}')$$), 'PD003',
    'a set is an array');

-- The fence
insert into t.activity_task values (1, 'c', 'a', t.run('c'), 1, 5), (2, 'c', 'a', t.run('c'), 1, 5);
select is(t.finish('c', 'a', p_worker => 2), 'lost', 'another worker cannot finish it');
select is(t.finish('c', 'a', 'failed', t.failure('x'), p_worker => 2), 'lost', 'nor fail it');
select is(t.heartbeat('c', 'a', p_worker => 2), 'lost', 'nor keep it alive');
select is((select outcome from perdure.finish_activity_tasks(0::smallint, t.worker(1),
    jsonb_build_array(jsonb_build_object('runId', t.run('c'), 'scheduledEventId', 5, 'attempt', 2,
    'outcome', 'completed')))), 'lost', 'nor can its own worker under another attempt');
select is(t.refusal($$select t.finish('c', 'a', 'perhaps')$$), 'PD003', 'an unknown outcome');
select is(t.finish('c', 'a'), 'completed', 'its worker finishes it');
select is(t.finish('c', 'a'), 'lost', 'once');
select is(t.ended('c'), 'ActivityTaskCompleted', 'which the history tells');

-- Retries: 1 s, doubled, at most a hundred times the first
select t.with_activity('r', 100) \g /dev/null
create function t.retries(p_id text, p_times int) returns numeric[] language plpgsql
as $$
declare
    v_waits numeric[] := '{}';
    v_next timestamptz;
begin
    for i in 1 .. p_times loop
        if t.finish(p_id, 'a', 'failed', t.failure('no ' || i)) <> 'retrying' then
            return v_waits;
        end if;
        select a.next_attempt_time into v_next from perdure.pending_activities a where a.run_id = t.run(p_id);
        v_waits := v_waits || trim_scale(extract(epoch from v_next - perdure.clock()));
        perform set_config('perdure.now', (v_next - interval '1 ms')::text, false), t.upkeep();
        if t.claim_activities() ~ (p_id || '/') then
            raise exception 'it could be claimed before its time';
        end if;
        perform set_config('perdure.now', v_next::text, false), t.upkeep(), t.claim_activities();
    end loop;
    return v_waits;
end
$$;
select is(t.retries('r', 9), array[1, 2, 4, 8, 16, 32, 64, 100, 100]::numeric[],
    'the default policy: 1 s, twice as long each time, 100 s at most');
select is(t.pending('r'), 'Started 10', 'without end');
select results_eq($$select last_failure_message, last_failure #>> '{applicationFailureInfo,type}'
    from perdure.pending_activities where workflow_id = 'r'$$, $$values ('no 9', 'Error')$$,
    'people see why it failed last');
select is(t.finish('r', 'a'), 'completed', 'and it can still succeed');
select t.with_activity('r2', 1000,
    '{"retryPolicy": {"initialInterval": "0.1s", "backoffCoefficient": 3, "maximumInterval": "2s"}}') \g /dev/null
select is(t.retries('r2', 5), array[0.1, 0.3, 0.9, 2, 2]::numeric[], 'a policy of its own');
select t.with_activity('r3', 1100, '{"retryPolicy": {"backoffCoefficient": 1, "maximumAttempts": 3}}') \g /dev/null
select is(t.retries('r3', 9), array[1, 1]::numeric[], 'three attempts');
select is(t.ended('r3'), 'ActivityTaskFailed MaximumAttemptsReached', 'and no more');
select is((select attributes #>> '{failure,message}' from perdure.history_events where run_id = t.run('r3')
    and event_type = 'ActivityTaskFailed'), 'no 3', 'with the last failure');
select t.with_activity('r4', 1200, '{"retryPolicy": {"initialInterval": "10s", "maximumInterval": "1s"}}') \g /dev/null
select is(t.retries('r4', 2), array[1, 1]::numeric[], 'the maximum bounds the first, too');
select t.with_activity('r5', 1300, '{"scheduleToCloseTimeout": "10s", "startToCloseTimeout": null}') \g /dev/null
select is(t.retries('r5', 9), array[1, 2, 4]::numeric[], 'no attempt is made that would begin after schedule-to-close');
select is(t.ended('r5'), 'ActivityTaskFailed Timeout', 'then it fails');
select t.with_activity('r6', 1400,
    '{"retryPolicy": {"initialInterval": "1s", "backoffCoefficient": 1000, "maximumInterval": "86400s"}}') \g /dev/null
select is(t.retries('r6', 3), array[1, 1000, 86400]::numeric[], 'a steep policy');
select t.terminate_all() \g /dev/null

-- What is not tried again
select t.with_activity('n' || n, 2000 + n, policy) from (values (1, '{}'::jsonb),
    (2, '{"retryPolicy": {"nonRetryableErrorTypes": ["Fatal", "Error"]}}'),
    (3, '{"retryPolicy": {"nonRetryableErrorTypes": ["Fatal"]}}'), (4, '{}')) p (n, policy) \g /dev/null
select is(t.finish('n1', 'a', 'failed', t.failure('x', '{"nonRetryable": true}')), 'failed', 'a failure that says so');
select is(t.ended('n1'), 'ActivityTaskFailed NonRetryableFailure', 'as its event tells');
select is(t.finish('n2', 'a', 'failed', t.failure('x')), 'failed', 'an error type that the policy names');
select is(t.finish('n3', 'a', 'failed', t.failure('x')), 'retrying', 'another is');
select is(t.finish('n4', 'a', 'failed', '{"failure": {"message": "x", "canceledFailureInfo": {}}}'), 'failed',
    'a cancellation that is thrown');
select t.with_activity('n5', 2010), t.with_activity('n6', 2011) \g /dev/null
select is(t.finish('n5', 'a', 'failed'), 'retrying', 'a failure without a failure is tried again');
select is((select last_failure_message from perdure.pending_activities where workflow_id = 'n5'),
    'the activity failed and gave no failure', 'and said to be none');
select is(t.finish('n6', 'a', 'completed', '{"result": 5}'), 'failed', 'a result that is no payload');
select is(t.ended('n6'), 'ActivityTaskFailed NonRetryableFailure', 'would be the same again');
select t.with_activity('n7', 2012) \g /dev/null
select is(t.finish('n7', 'a', 'completed', jsonb_build_object('result', t.data(to_jsonb(repeat('x', 2097152))))),
    'failed', 'a result of more than 2 MiB');
select is((select failure from perdure.history_events where run_id = t.run('n7') and event_type = 'ActivityTaskFailed'),
    'the result of activity a is larger than 2 MiB', 'tells the workflow');
select t.terminate_all() \g /dev/null

-- Start-to-close: an attempt takes too long, and the next one begins
select t.with_activity('t1', 3000, '{"startToCloseTimeout": "10s"}') \g /dev/null
select t.at(3009.999) \g /dev/null
select is(t.upkeep(), '', 'before its time nothing happens');
select t.at(3010) \g /dev/null
select is(t.upkeep(), 'activities 1', 'an attempt times out');
select is(t.pending('t1'), 'Scheduled 2 1', 'and another will be made');
select is((select last_failure from perdure.pending_activities where run_id = t.run('t1')),
    '{"source": "Server", "message": "activity StartToClose timeout", '
        '"timeoutFailureInfo": {"timeoutType": "StartToClose"}}',
    'with the timeout as the failure');
select is(t.finish('t1', 'a'), 'lost', 'the attempt that timed out cannot finish any more');
select t.at(3011), t.upkeep(), t.claim_activities(2) \g /dev/null
select is(t.finish('t1', 'a'), 'lost', 'not while another runs');
select is(t.finish('t1', 'a', p_worker => 2), 'completed', 'which can');
select t.with_activity('t2', 3100, '{"startToCloseTimeout": "10s", "retryPolicy": {"maximumAttempts": 1}}'), t.at(3110),
    t.upkeep() \g /dev/null
select is(t.ended('t2'), 'ActivityTaskTimedOut MaximumAttemptsReached StartToClose',
    'the last attempt times out for good');
select is(t.history('t2', 5),
    '5 ActivityTaskScheduled 6 ActivityTaskStarted 7 ActivityTaskTimedOut 8 WorkflowTaskScheduled', 'with its start');
select t.terminate_all() \g /dev/null

-- Schedule-to-start: no worker came in time, and there is no other attempt
select t.with_activity('t3', 3200, '{"scheduleToStartTimeout": "5s"}', false), t.at(3205), t.upkeep() \g /dev/null
select is(t.ended('t3'), 'ActivityTaskTimedOut Timeout ScheduleToStart',
    'an activity that nobody starts in time is not tried again');
select is(t.history('t3', 5), '5 ActivityTaskScheduled 6 ActivityTaskTimedOut 7 WorkflowTaskScheduled',
    'nor said to have started');
select is(t.event('t3', 6) ->> 'startedEventId', '0', 'its event names no start');
select t.with_activity('t4', 3300, '{"scheduleToStartTimeout": "5s"}'), t.at(3304),
    t.finish('t4', 'a', 'failed', t.failure('x')), t.at(3305), t.upkeep(), t.at(3309), t.upkeep() \g /dev/null
select is(t.pending('t4'), 'Scheduled 2', 'each attempt may wait as long');
select t.at(3310), t.upkeep() \g /dev/null
select is(t.ended('t4'), 'ActivityTaskTimedOut Timeout ScheduleToStart', 'and no longer');

-- Schedule-to-close: over all attempts
select t.with_activity('t5', 3400, '{"scheduleToCloseTimeout": "30s", "startToCloseTimeout": "20s"}'), t.at(3420),
    t.upkeep(), t.at(3421), t.upkeep(), t.claim_activities() \g /dev/null
select is(t.pending('t5'), 'Started 2', 'a second attempt runs');
select t.at(3430), t.upkeep() \g /dev/null
select is(t.ended('t5'), 'ActivityTaskTimedOut Timeout ScheduleToClose', 'until all together took too long');
select is((select attributes #>> '{failure,cause,timeoutFailureInfo,timeoutType}' from perdure.history_events
    where run_id = t.run('t5') and event_type = 'ActivityTaskTimedOut'), 'StartToClose',
    'the failure before is the cause');
select t.with_activity('t6', 3500, '{"scheduleToCloseTimeout": "30s"}', false), t.at(3530), t.upkeep() \g /dev/null
select is(t.ended('t6'), 'ActivityTaskTimedOut Timeout ScheduleToStart',
    'it counts while the task waits, as a schedule-to-start timeout');
select t.with_activity('t7', 3600,
    '{"scheduleToCloseTimeout": "5s", "retryPolicy": {"initialInterval": "4s", "backoffCoefficient": 1}}'),
    t.finish('t7', 'a', 'failed', t.failure('x')) \g /dev/null
select is(t.pending('t7'), 'Scheduled 2 4', 'and while it backs off');
select t.at(3605), t.upkeep() \g /dev/null
select is(t.ended('t7'), 'ActivityTaskTimedOut Timeout ScheduleToClose', 'whatever upkeep missed');
select t.terminate_all() \g /dev/null

-- Heartbeats
select t.with_activity('h1', 4000, '{"heartbeatTimeout": "5s", "startToCloseTimeout": "60s"}'), t.at(4004) \g /dev/null
select is(t.heartbeat('h1', 'a', t.data('{"done": 10}')), '', 'a heartbeat');
select t.at(4008.9), t.upkeep() \g /dev/null
select results_eq($$select state, heartbeat_details, last_heartbeat_time from perdure.pending_activities
    where run_id = t.run('h1')$$,
    $$values ('Started', '[{"encoding": "json/plain", "data": {"done": 10}}]'::jsonb,
        timestamptz '2026-01-01 01:06:44Z')$$, 'gives it five more seconds, and its details are seen');
select is(t.heartbeat('h1', 'a'), '', 'one without details');
select t.at(4013.8), t.upkeep() \g /dev/null
select is((select heartbeat_details #>> '{0,data,done}' from perdure.pending_activities where run_id = t.run('h1')),
    '10', 'leaves them');
select t.at(4013.9) \g /dev/null
select is(t.upkeep(), 'activities 1', 'silence times out');
select is((select last_failure -> 'timeoutFailureInfo' from perdure.pending_activities where run_id = t.run('h1')),
    '{"timeoutType": "Heartbeat"}', 'as a heartbeat timeout');
select is(t.heartbeat('h1', 'a'), 'lost', 'and whoever comes then has lost it');
select t.at(4014.9), t.upkeep() \g /dev/null
select is((select heartbeat_details #>> '{0,data,done}'
    from perdure.claim_activity_tasks(0::smallint, t.worker(2), 'q', 1)), '10', 'the next attempt gets the details');
select t.with_activity('h0', 4050, '{"heartbeatTimeout": "5s"}') \g /dev/null
select is(t.heartbeat('h0', 'a', t.data(to_jsonb(repeat('x', 2097152)))), 'cancel lost',
    'details of 2 MiB at most are kept: a larger heartbeat ends its activity');
select is((select attributes #>> '{failure,message}' from perdure.history_events where run_id = t.run('h0')
    and event_type = 'ActivityTaskFailed'),
    'the heartbeat details is larger than 2 MiB', 'and the run is told why');
select t.with_activity('h2', 4100,
    '{"heartbeatTimeout": "5s", "startToCloseTimeout": "8s", "retryPolicy": {"maximumAttempts": 1}}'), t.at(4104),
    t.heartbeat('h2', 'a'), t.at(4108), t.upkeep() \g /dev/null
select is(t.ended('h2'), 'ActivityTaskTimedOut MaximumAttemptsReached StartToClose',
    'heartbeats do not extend start-to-close');
select is((select array_agg(lost order by lost) from perdure.heartbeat_activity_tasks(0::smallint, t.worker(1),
    jsonb_build_array(
    jsonb_build_object('runId', t.run('h2'), 'scheduledEventId', 5, 'attempt', 1),
        jsonb_build_object('runId', gen_random_uuid(), 'scheduledEventId', 1, 'attempt', 1)))), array[true, true],
    'a set answers for each');

-- Cancellation
create function t.cancel_activity(p_id text) returns text language sql
as $$ select perdure.signal_workflow(p_id, 's'), t.claim();
    select t.complete(p_id, jsonb_build_array(t.command('RequestCancelActivityTask', '{"scheduledEventId": 5}'))) $$;
select t.with_activity('x1', 5000), t.cancel_activity('x1') \g /dev/null
select is(t.pending('x1'), 'CancelRequested 1', 'a running activity is asked');
select is(t.heartbeat('x1', 'a'), 'cancel', 'and learns it from its heartbeat');
select is(t.finish('x1', 'a', 'canceled', jsonb_build_object('details', t.data('"half"'))), 'canceled', 'it stops');
select is(t.ended('x1'), 'ActivityTaskCanceled', 'and the history tells');
select t.with_activity('x2', 5010), t.cancel_activity('x2') \g /dev/null
select is(t.finish('x2', 'a', 'failed', t.failure('x')), 'failed',
    'one that fails after it was asked is not tried again');
select is(t.ended('x2'), 'ActivityTaskFailed CancelRequested', 'for that reason');
select t.with_activity('x3', 5020), t.cancel_activity('x3') \g /dev/null
select is(t.finish('x3', 'a', 'completed'), 'completed', 'or it succeeds all the same');
select t.with_activity('x4', 5030, p_claim => false), t.cancel_activity('x4') \g /dev/null
select is(t.ended('x4'), 'ActivityTaskCanceled', 'one that waits is cancelled at once');
select is(t.claim_activities(), '', 'and not handed out');
select t.with_activity('x5', 5040), t.finish('x5', 'a', 'failed', t.failure('x')), t.cancel_activity('x5') \g /dev/null
select is(t.ended('x5'), 'ActivityTaskCanceled', 'one that backs off, too');
select t.with_activity('x6', 5050) \g /dev/null
select is(t.finish('x6', 'a', 'canceled'), 'retrying', 'one that cancels itself unasked has failed');
select t.with_activity('x7', 5060), t.finish('x7', 'a'), t.claim(), t.complete('x7', '[]'), t.cancel_activity('x7')
    \g /dev/null
select is(t.history('x7', 14), '14 WorkflowTaskCompleted 15 ActivityTaskCancelRequested',
    'the cancellation of one that has ended is noted and does nothing');

-- Priority, age and queues
select t.at(6000), t.start('p'), t.claim(), t.complete('p',
    jsonb_build_array(t.activity('a'), t.activity('b', '{"priority": {"priorityKey": 5}}'),
    t.activity('c', '{"priority": {"priorityKey": 1}}'),
    t.activity('d', '{"taskQueue": {"name": "other"}}'))) \g /dev/null
select t.at(6001), t.start('p2', '{"priority": 2}'), t.claim(), t.complete('p2', jsonb_build_array(t.activity('a')))
    \g /dev/null
select is(array[t.claim_activities(p_limit => 1), t.claim_activities(p_limit => 1), t.claim_activities(p_limit => 1),
    t.claim_activities(p_limit => 1), t.claim_activities(p_limit => 1)],
    array['p/c#1', 'p2/a#1', 'p/a#1', 'p/b#1', ''], 'priority first, its run''s unless it has one; then age');
select is(t.claim_activities(p_queue => 'other'), 'p/d#1', 'each queue has its own');
select is((select count(*) from t.activity_task a cross
    join lateral perdure.finish_activity_tasks(0::smallint, t.worker(1),
    (select jsonb_agg(jsonb_build_object('runId', b.run_id,
    'scheduledEventId', b.scheduled_event_id, 'attempt', b.attempt, 'outcome', 'completed')) from t.activity_task b
        where b.workflow_id = 'p')) f where a.workflow_id = 'p' and a.activity_id = 'a'
    and f.outcome = 'completed'), 4::bigint, 'one call finishes four');
select is(t.history('p', 9),
    '9 ActivityTaskStarted 10 ActivityTaskCompleted 11 WorkflowTaskScheduled 12 ActivityTaskStarted '
        '13 ActivityTaskCompleted 14 ActivityTaskStarted 15 ActivityTaskCompleted '
    '16 ActivityTaskStarted 17 ActivityTaskCompleted', 'for which the workflow gets one task');

select t.at(6100), t.start('p5', '{"priority": 9}'), t.claim(), t.complete('p5', jsonb_build_array(
    t.activity('a'), t.activity('b', '{"priority": {"priorityKey": 2147483647}}'),
    t.activity('c', '{"priority": {"priorityKey": 4}}'), t.activity('d', '{"priority": {"priorityKey": 0}}')))
    \g /dev/null
select is(array[t.claim_activities(p_limit => 1), t.claim_activities(p_limit => 1), t.claim_activities(p_limit => 2)],
    array['p5/c#1', 'p5/a#1', 'p5/b#1 p5/d#1'], 'a priority above 5 counts as 5; 0 is that of the run');

-- Handing back
select t.with_activity('b', 7000), t.at(7005) \g /dev/null
select is(perdure.release_tasks(0::smallint, t.worker(1),
    jsonb_build_array(jsonb_build_object('kind', 'activity', 'runId', t.run('b'), 'scheduledEventId', 5))), 1,
    'a worker hands an activity back');
select is(t.finish('b', 'a'), 'lost', 'which it can no longer finish');
select is(t.claim_activities(2), 'b/a#1', 'another can have it at the same attempt');
select is(t.finish('b', 'a', p_worker => 2), 'completed', 'and finish it');

-- The run ends: so do its activities
select t.with_activity('z', 8000), perdure.terminate_workflow('z') \g /dev/null
select is(t.finish('z', 'a'), 'lost', 'an activity of a closed run is lost');
select is(t.heartbeat('z', 'a'), 'lost', 'as its heartbeat tells');
select is_empty($$select from perdure.pending_activities where workflow_id = 'z'$$, 'and not pending');
select is_empty($$select workflow_id from perdure.history_events group by workflow_id, run_id
    having count(*) <> max(event_id) or min(event_id) <> 1$$, 'events are numbered without gaps');

select * from finish();
rollback;
