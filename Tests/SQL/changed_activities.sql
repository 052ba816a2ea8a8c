-- Activities that somebody pauses, unpauses, resets or gives other options.
\ir support/engine.psql
begin;
select * from no_plan();

create function t.pending(p_id text) returns text language sql
as $$
    select string_agg(concat_ws(' ', p.activity_id || '#' || p.attempt, p.state,
        extract(epoch from p.next_attempt_time - timestamptz '2026-01-01 00:00:00Z')::numeric::float8::text,
        p.last_failure_message), ', ' order by p.activity_id)
    from perdure.pending_activities p where p.run_id = t.run(p_id)
$$;
create function t.condition(p_id text) returns text language sql
as $$ select v.condition || ': ' || v.verdict from perdure.run_verdict(0::smallint, t.run(p_id)) v $$;
-- Starts a run with an activity that fails once at p_second and then waits for its next attempt.
create function t.with_failed(p_id text, p_second numeric, p_more jsonb default '{}') returns void language sql
as $$
    select t.at(p_second), t.start(p_id), t.claim(), t.complete(p_id, jsonb_build_array(t.activity('a',
        '{"retryPolicy": {"initialInterval": "100s"}}'::jsonb || p_more))), t.claim_activities(),
        t.finish(p_id, 'a', 'failed', t.failure('no luck'))
$$;
create function t.beat_tells(p_id text, p_details jsonb default null) returns text language sql
as $$
    select concat_ws(' ', case when h.cancel_requested then 'cancel' end, case when h.lost then 'lost' end,
        case when h.paused then 'paused' end, case when h.reset then 'reset' end)
    from t.activity_task a
    cross join lateral perdure.heartbeat_activity_tasks(0::smallint, t.worker(1), jsonb_build_array(jsonb_strip_nulls(
        jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id, 'attempt', a.attempt,
        'details', p_details)))) h
    where a.worker = 1 and a.workflow_id = p_id and a.activity_id = 'a'
$$;

-- What upkeep does about activities.
create function t.seen_to() returns text language sql
as $$
    select concat_ws(', ', 'timed out ' || nullif(u.timed_out_activities, 0),
        'retried ' || nullif(u.retried_activities, 0)) from perdure.upkeep(0::smallint) u
$$;

-- Paused while it waits
select t.with_failed('w', 0) \g /dev/null
select is(t.pending('w'), 'a#2 Scheduled 100 no luck', 'one that failed waits for its next attempt');
select t.at(1), perdure.pause_activity('w', 'a', 'under repair') \g /dev/null
select is(t.pending('w'), 'a#2 Paused no luck', 'paused, it waits for nothing');
select is((select p.paused_by || ': ' || p.pause_reason || ' at ' || extract(second from p.pause_time)::int
    from perdure.pending_activities p where p.run_id = t.run('w')), session_user || ': under repair at 1',
    'and it is known who paused it, why and when');
select t.at(2), perdure.pause_activity('w', 'a', 'again') \g /dev/null
select is((select p.pause_reason from perdure.pending_activities p where p.run_id = t.run('w')), 'under repair',
    'a second pause changes nothing');
select is(t.condition('w'), 'Paused: A is paused by ' || session_user || ': under repair, for 1 s',
    'its run says so');
select results_eq($$select workflow_id collate "default" from perdure.list_workflows('Condition = "Paused"')$$,
    $$values ('w')$$,
    'and lists find it');
select t.at(500) \g /dev/null
select is(t.seen_to() || t.claim_activities(), '', 'upkeep and workers leave it alone');
select is(perdure.retry_now('w'), 0, 'and so does who retries what waits');
select is_empty('select * from perdure.violations()', 'it violates nothing');
select perdure.unpause_activity('w', 'a') \g /dev/null
select is(t.pending('w'), 'a#2 Scheduled', 'unpaused, it can be tried at once, and its failure is forgotten');
select is(t.claim_activities(), 'w/a#2', 'as the second attempt');
select is(t.finish('w', 'a'), 'completed', 'and it succeeds');
select is(t.event('w', 6) ->> 'attempt', '2', 'its start tells of attempt 2');

-- Paused before a worker has it
select t.at(1000), t.start('s'), t.claim(), t.complete('s', jsonb_build_array(t.activity('a',
    '{"scheduleToStartTimeout": "5s"}'))), perdure.pause_activity('s', 'a') \g /dev/null
select t.at(1010) \g /dev/null
select is(t.seen_to() || t.claim_activities(), '', 'one that was not started is not handed out and does not time out');
select perdure.unpause_activity('s', 'a') \g /dev/null
select is(t.claim_activities(), 's/a#1', 'until it is unpaused');
select t.finish('s', 'a') \g /dev/null

-- Paused while it runs
select t.at(2000), t.start('r'), t.claim(), t.complete('r', jsonb_build_array(t.activity('a',
    '{"heartbeatTimeout": "3s", "retryPolicy": {"maximumAttempts": 1, "initialInterval": "10s"}}'))),
    t.claim_activities() \g /dev/null
select is(t.beat_tells('r', t.data('"beat"')), '', 'a heartbeat tells nothing');
select perdure.pause_activity('r', 'a') \g /dev/null
select is(t.beat_tells('r'), 'paused', 'until the activity is paused');
select is(t.pending('r'), 'a#1 PauseRequested', 'it runs on');
select t.at(2100) \g /dev/null
select is(t.seen_to(), '', 'and does not time out');
select matches(t.condition('r'), '^Paused: A is paused by .*; its attempt runs for 1 min 40 s$', 'as its run says');
select is(t.finish('r', 'a', 'failed', t.failure('stopped')), 'retrying', 'its last attempt may fail');
select is(t.pending('r'), 'a#2 Paused stopped', 'and it waits all the same');
select perdure.unpause_activity('r', 'a', reset_attempts => true, reset_heartbeat => true) \g /dev/null
select is((select p.heartbeat_details from perdure.pending_activities p where p.run_id = t.run('r')), null,
    'unpaused with its heartbeat reset, it has no details');
select is(t.claim_activities(), 'r/a#1', 'and with its attempts reset it begins anew');
select perdure.pause_activity('r', 'a') \g /dev/null
select is(t.finish('r', 'a', 'failed', t.failure('for good', '{"nonRetryable": true}')), 'failed',
    'what must not be tried again ends, paused or not');

-- A worker that leaves or is lost
select t.at(3000), t.register(2), t.start('l'), t.claim(), t.complete('l', jsonb_build_array(t.activity('a'))),
    t.claim_activities(2), perdure.pause_activity('l', 'a'), perdure.stop_worker(t.worker(2)) \g /dev/null
select is(t.pending('l'), 'a#1 Paused', 'what a worker leaves behind stays paused');
select t.register(3, '10 s'), perdure.unpause_activity('l', 'a'), t.claim_activities(3),
    perdure.pause_activity('l', 'a') \g /dev/null
select t.at(3030), t.register(1), t.seen_to(), t.at(3045), t.seen_to(), t.at(3060), t.seen_to() \g /dev/null
select is(t.pending('l'), 'a#2 Paused the lease of the worker that ran the activity ran out',
    'and so does that of a lost one');
select is_empty('select * from perdure.violations()', 'which violates nothing');
select perdure.unpause_activity('l', 'a'), t.claim_activities(), t.finish('l', 'a') \g /dev/null
select is(t.status('l'), 'Running', 'another takes it');

-- Time that runs out while it is paused
select t.with_failed('o', 4000, '{"scheduleToCloseTimeout": "200s"}'), perdure.pause_activity('o', 'a'),
    t.at(4300) \g /dev/null
select is(t.seen_to(), '', 'no time-out comes while it is paused');
select perdure.unpause_activity('o', 'a') \g /dev/null
select is(t.claim_activities(), '', 'one whose time is over is not tried again');
select is(t.seen_to(), 'timed out 1', 'but times out');
select is(t.event('o', 6) #>> '{failure,timeoutFailureInfo,timeoutType}', 'ScheduleToClose', 'for that reason');

-- Reset
select t.with_failed('x', 5000) \g /dev/null
select is((select count(*) from perdure.failed_attempts f where f.run_id = t.run('x')), 1::bigint,
    'an attempt has failed');
select is(t.condition('x'), 'Retrying: Waits for attempt 2 of A in 1 min 40 s: no luck', 'and its run retries');
select perdure.reset_activity('x', 'a') \g /dev/null
select is(t.pending('x'), 'a#1 Scheduled', 'reset, it is at its first attempt, at once');
select is((select count(*) from perdure.failed_attempts f where f.run_id = t.run('x')), 0::bigint,
    'its failed attempts are forgotten');
select is((select count(*) from perdure.activity_tasks a where a.run_id = t.run('x') and num_nonnulls(a.failure_cause,
    a.failing_since, a.failing_build) > 0), 0::bigint, 'and it does not fail any more');
select t.claim_activities(), t.finish('x', 'a', 'failed', t.failure('again')) \g /dev/null
select is(t.pending('x'), 'a#2 Scheduled 5100 again', 'it may fail again');
select perdure.pause_activity('x', 'a'), perdure.reset_activity('x', 'a', keep_paused => true) \g /dev/null
select is(t.pending('x'), 'a#1 Paused again', 'reset with its pause kept it stays paused');
select perdure.reset_activity('x', 'a') \g /dev/null
select is(t.claim_activities(), 'x/a#1', 'and without it is unpaused');
select t.finish('x', 'a') \g /dev/null

-- Reset while it runs
select t.at(6000), t.start('y'), t.claim(), t.complete('y', jsonb_build_array(t.activity('a',
    '{"retryPolicy": {"initialInterval": "1s", "backoffCoefficient": 1, "maximumAttempts": 2}}'))),
    t.claim_activities(), t.finish('y', 'a', 'failed', t.failure('one')), t.at(6002), t.seen_to(),
    t.claim_activities(), t.beat_tells('y', t.data('"kept"')) \g /dev/null
select perdure.reset_activity('y', 'a', reset_heartbeat => true) \g /dev/null
select is(t.beat_tells('y'), 'reset', 'an attempt that runs is told that it was reset');
select is(t.pending('y'), 'a#1 Started one', 'and counts as the first');
select is(t.finish('y', 'a', 'failed', t.failure('two')), 'retrying', 'so that it may be tried once more');
select is((select p.attempt || coalesce(p.heartbeat_details::text, ' without details')
    from perdure.pending_activities p where p.run_id = t.run('y')), '2 without details', 'without its heartbeat');
select t.at(6004), t.seen_to() \g /dev/null
select is(t.claim_activities(), 'y/a#2', 'as the second attempt');
select is(t.finish('y', 'a'), 'completed', 'which succeeds');

-- Of a type, and of every type
select t.at(7000), t.start('m'), t.claim(), t.complete('m', jsonb_build_array(t.activity('a'), t.activity('b'),
    t.activity('c', '{"activityType": {"name": "C"}}'))) \g /dev/null
select is(perdure.pause_activities(0::smallint, 'default', 'm', null, null, 'A'), 2, 'those of a type are paused');
select is(t.pending('m'), 'a#1 Paused, b#1 Paused, c#1 Scheduled', 'and no other');
select is(perdure.unpause_activities(0::smallint, 'default', 'm', null, null, null, true), 2,
    'all that are paused can be unpaused');
select is(perdure.reset_activities(0::smallint, 'default', 'm', null, null, null, true), 3, 'and all reset');
select t.at(7001) \g /dev/null
select perdure.pause_activity('m', 'a'), perdure.unpause_activities(0::smallint, 'default', 'm', null, 'a',
    p_jitter => '10 s') \g /dev/null
select is((select p.next_attempt_time between timestamptz '2026-01-01 01:56:41Z'
    and timestamptz '2026-01-01 01:56:51Z' from perdure.pending_activities p where p.run_id = t.run('m')
    and p.activity_id = 'a'), true, 'with jitter one waits for a part of it');

select t.terminate_all() \g /dev/null

-- Other options
select t.with_failed('c', 8000, '{"priority": {"priorityKey": 2}}') \g /dev/null
select is(perdure.update_activity_options('c', 'a', '{"startToCloseTimeout": "7s", "taskQueue": {"name": "other"},
    "retryPolicy": {"maximumAttempts": 9, "initialInterval": "10s"}, "priority": {"priorityKey": 4}}'),
    '{"taskQueue": {"name": "other", "kind": "Normal"}, "startToCloseTimeout": "7s", "priority": {"priorityKey": 4},
    "retryPolicy": {"initialInterval": "10s", "backoffCoefficient": 2, "maximumInterval": "10000s",
    "maximumAttempts": 9}}', 'options are changed one by one');
select is(t.pending('c'), 'a#2 Scheduled 8020', 'and its next attempt is due by them');
select t.at(8020), t.seen_to(), t.register(4, p_queue => 'other') \g /dev/null
select is(t.claim_activities(4, p_queue => 'other'), 'c/a#2', 'on the other queue');
select is(perdure.update_activity_options('c', 'a', '{"heartbeatTimeout": "2s"}') ->> 'heartbeatTimeout', '2s',
    'those of one that runs are changed, too');
select t.at(8023) \g /dev/null
select is(t.seen_to(), 'timed out 1', 'and hold at once');
select is(perdure.update_activity_options(0::smallint, 'default', 'c', null, 'a', '{}', '{}', p_restores => true),
    '{"taskQueue": {"name": "q", "kind": "Normal"}, "startToCloseTimeout": "10s", "priority": {"priorityKey": 2},
    "retryPolicy": {"initialInterval": "100s", "backoffCoefficient": 2, "maximumInterval": "10000s"}}',
    'the original ones come back');
select perdure.update_activity_options('c', 'a', '{"startToCloseTimeout": "8s"}'),
    perdure.reset_activity('c', 'a', restore_options => true) \g /dev/null
select is((select p.start_to_close_timeout from perdure.pending_activities p where p.run_id = t.run('c')),
    interval '10 s', 'with a reset as well');
select is(t.claim_activities(), 'c/a#1', 'and it is tried at once');

-- What is refused
select is(perdure.pause_activities(0::smallint, 'default', 'c', null, 'a', p_request_id => 'one'), 1, 'a request');
select is(perdure.pause_activities(0::smallint, 'default', 'c', null, 'a', p_request_id => 'one'), 0, 'its repeat');
select is(t.refusal($$select perdure.pause_activities(0::smallint, 'default', 'c', null, 'a', p_request_id => 'two')$$),
    'PD019', 'another request does not pause what is paused');
select is(t.refusal($$select perdure.pause_activity('c', 'nobody')$$), 'PD018', 'there is no such activity');
select is(t.refusal($$select perdure.unpause_activity('c', 'nobody')$$), 'PD018', 'nor to unpause');
select is(t.refusal($$select perdure.reset_activity('nobody', 'a')$$), 'PD001', 'there is no such workflow');
select is(t.refusal($$select perdure.pause_activities(0::smallint, 'default', 'c', null, null)$$), 'PD003',
    'an activity is to be named');
select is(t.refusal($$select perdure.update_activity_options('c', 'a', '{"startToCloseTimeout": null}')$$), 'PD003',
    'one time-out must be there');
select is(t.refusal($$select perdure.update_activity_options('c', 'a', '{"retryPolicy": {"maximumAttempts": -1}}')$$),
    'PD003', 'and the retry policy be one');
select is(t.refusal($$select perdure.update_activity_options('c', 'a', '{"priority": {"priorityKey": -6}}')$$),
    'PD003', 'as the priority');
select is(t.refusal($$select perdure.update_activity_options('c', 'a', '{"taskQueue": {"name": ""}}')$$),
    'PD003', 'and the queue');
select perdure.terminate_workflow('c') \g /dev/null
select is(t.refusal($$select perdure.pause_activity('c', 'a')$$), 'PD006', 'a closed run has no activities');
select is_empty('select * from perdure.violations()', 'nothing was left in a state that is none');

select * from finish();
rollback;
