-- Whole histories, event for event what Temporal writes for the same program.
begin;
\ir support/engine.psql
select no_plan();

-- One activity
select t.start('one') \g /dev/null
select t.at(1), t.claim(), t.at(2), t.complete('one', jsonb_build_array(t.activity('a',
    '{"input": [{"encoding": "json/plain", "data": 5}]}'))) \g /dev/null
select t.at(3), t.claim_activities(), t.at(4), t.finish('one', 'a', 'completed',
    jsonb_build_object('result', t.data('"done"'))) \g /dev/null
select t.at(5), t.claim(), t.at(6), t.complete('one', jsonb_build_array(t.command('CompleteWorkflowExecution',
    jsonb_build_object('result', t.data('7'))))) \g /dev/null
select is(t.history('one'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskCompleted '
        '5 ActivityTaskScheduled 6 ActivityTaskStarted '
    '7 ActivityTaskCompleted 8 WorkflowTaskScheduled 9 WorkflowTaskStarted 10 WorkflowTaskCompleted '
        '11 WorkflowExecutionCompleted', 'one activity');
select is((select array_agg(t.event_second('one', e) order by e) from generate_series(1, 11) e),
    array[0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6]::numeric[],
    'each event has the time at which it happened, starts included');
select results_eq(
    $$select h.event_id::int, h.attributes - 'originalExecutionRunId' - 'firstExecutionRunId'
        from perdure.history_events h where h.run_id = t.run('one') order by 1$$,
    $$values (1, '{"input": [], "attempt": 1, "taskQueue": {"kind": "Normal", "name": "q"}, "workflowId": "one", '
        '"workflowType": {"name": "T"}, "workflowTaskTimeout": "10s"}'::jsonb),
        (2, '{"attempt": 1, "taskQueue": {"kind": "Normal", "name": "q"}, "startToCloseTimeout": "10s"}'),
        (3, '{"identity": "worker-1", "requestId": "00000000-0000-4000-8000-000000000001", "scheduledEventId": 2,
            "workerVersion": {"buildId": "build-1"}}'),
        (4, '{"identity": "worker-1", "workerVersion": {"buildId": "build-1"}, "startedEventId": 3,
            "scheduledEventId": 2}'),
        (5, '{"input": [{"data": 5, "encoding": "json/plain"}], "taskQueue": {"kind": "Normal", "name": "q"},
            "activityId": "a", "activityType": {"name": "A"},
            "retryPolicy": {"initialInterval": "1s", "maximumInterval": "100s", "backoffCoefficient": 2},
            "startToCloseTimeout": "10s", "workflowTaskCompletedEventId": 4}'),
        (6, '{"attempt": 1, "identity": "worker-1", "requestId": "00000000-0000-4000-8000-000000000001", '
            '"scheduledEventId": 5, "workerVersion": {"buildId": "build-1"}}'),
        (7, '{"result": [{"data": "done", "encoding": "json/plain"}], "identity": "worker-1", "startedEventId": 6, '
            '"scheduledEventId": 5}'),
        (8, '{"attempt": 1, "taskQueue": {"kind": "Normal", "name": "q"}, "startToCloseTimeout": "10s"}'),
        (9, '{"identity": "worker-1", "requestId": "00000000-0000-4000-8000-000000000001", "scheduledEventId": 8,
            "workerVersion": {"buildId": "build-1"}}'),
        (10, '{"identity": "worker-1", "workerVersion": {"buildId": "build-1"}, "startedEventId": 9,
            "scheduledEventId": 8}'),
        (11, '{"result": [{"data": 7, "encoding": "json/plain"}], "workflowTaskCompletedEventId": 10}')$$,
            'and says what Temporal''s says');
select results_eq($$select status, result, failure from perdure.workflow_result('one')$$,
    $$values ('Completed', '7'::jsonb, null::jsonb)$$, 'and the result is there');

-- An activity that fails twice and then succeeds: the attempts before the last leave no event.
select t.at(100), t.start('retry'), t.claim(), t.complete('retry', jsonb_build_array(t.activity('a'))) \g /dev/null
select t.claim_activities(), t.at(101), t.finish('retry', 'a', 'failed', t.failure('first')) \g /dev/null
select t.at(102), t.upkeep(), t.claim_activities(), t.finish('retry', 'a', 'failed', t.failure('second')) \g /dev/null
select t.at(104), t.upkeep(), t.claim_activities(), t.at(105), t.finish('retry', 'a') \g /dev/null
select is(t.history('retry'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskCompleted '
        '5 ActivityTaskScheduled 6 ActivityTaskStarted '
    '7 ActivityTaskCompleted 8 WorkflowTaskScheduled', 'an activity that fails twice and then succeeds');
select is(t.event('retry', 6) - 'requestId', '{"attempt": 3, "identity": "worker-1", "scheduledEventId": 5,
    "workerVersion": {"buildId": "build-1"},
    "lastFailure": {"message": "second", "applicationFailureInfo": {"type": "Error"}}}',
        'its start tells the attempt and the failure before');
select is(t.event_second('retry', 6), 104::numeric, 'and the time of the last start');

-- An activity that fails for good
select t.at(200), t.start('fails'), t.claim(), t.complete('fails',
    jsonb_build_array(t.activity('a', '{"retryPolicy": {"maximumAttempts": 1}}'))) \g /dev/null
select t.claim_activities(), t.finish('fails', 'a', 'failed', t.failure('no')), t.claim(), t.complete('fails',
    jsonb_build_array(t.command('FailWorkflowExecution', t.failure('it failed')))) \g /dev/null
select is(t.history('fails', 5),
    '5 ActivityTaskScheduled 6 ActivityTaskStarted 7 ActivityTaskFailed 8 WorkflowTaskScheduled 9 WorkflowTaskStarted '
        '10 WorkflowTaskCompleted '
    '11 WorkflowExecutionFailed', 'an activity that fails for good, and its workflow with it');
select is(t.event('fails', 7),
    '{"failure": {"message": "no", "applicationFailureInfo": {"type": "Error"}}, "identity": "worker-1",
    "retryState": "MaximumAttemptsReached",
    "startedEventId": 6, "scheduledEventId": 5}', 'the event tells why it was not tried again');
select is(t.event('fails', 11),
    '{"failure": {"message": "it failed", "applicationFailureInfo": {"type": "Error"}}, '
        '"retryState": "RetryPolicyNotSet", "workflowTaskCompletedEventId": 10}',
    'and the workflow''s its failure');

-- A timer
select t.at(300), t.start('timer'), t.claim(), t.complete('timer', jsonb_build_array(t.timer('sleep', '60s')))
    \g /dev/null
select t.at(359.999), t.upkeep() \g /dev/null
select is(t.history('timer', 5), '5 TimerStarted', 'a timer runs');
select t.at(360), t.upkeep(), t.claim(), t.complete('timer', jsonb_build_array(t.command('CompleteWorkflowExecution')))
    \g /dev/null
select is(t.history('timer', 5),
    '5 TimerStarted 6 TimerFired 7 WorkflowTaskScheduled 8 WorkflowTaskStarted 9 WorkflowTaskCompleted '
        '10 WorkflowExecutionCompleted', 'and fires');
select is(t.event('timer', 5), '{"timerId": "sleep", "startToFireTimeout": "60s", "workflowTaskCompletedEventId": 4}',
    'as it was started');
select is(t.event('timer', 6), '{"timerId": "sleep", "startedEventId": 5}', 'by the id of its start');

-- A signal while a workflow task is started: it waits until the task has ended, and comes before the next one.
select t.at(400), t.start('signal'), t.claim(), t.at(401), perdure.signal_workflow('signal', 'go', '{"x": 1}')
    \g /dev/null
select is(t.history('signal'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'a signal during a workflow task waits');
select t.at(402), t.complete('signal', jsonb_build_array(t.timer('sleep', '3600s'))) \g /dev/null
select is(t.history('signal', 3),
    '3 WorkflowTaskStarted 4 WorkflowTaskCompleted 5 TimerStarted 6 WorkflowExecutionSignaled 7 WorkflowTaskScheduled',
    'until the task has ended, behind its commands and before the next task');
select is(t.event('signal', 6),
    '{"input": [{"data": {"x": 1}, "encoding": "json/plain"}], "identity": "postgres", "signalName": "go"}',
    'with what it carries');
select t.claim(), t.complete('signal', jsonb_build_array(t.command('CancelTimer', '{"timerId": "sleep"}'),
    t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.history('signal', 8),
    '8 WorkflowTaskStarted 9 WorkflowTaskCompleted 10 TimerCanceled 11 WorkflowExecutionCompleted',
    'a timer is cancelled');
select is(t.event('signal', 10) - 'identity',
    '{"timerId": "sleep", "startedEventId": 5, "workflowTaskCompletedEventId": 9}', 'by the id of its start');

-- Buffered events: an activity's end comes after all others.
select t.at(500), t.start('buffer'), t.claim(), t.complete('buffer',
    jsonb_build_array(t.activity('a'), t.activity('b'), t.timer('sleep', '1s'))) \g /dev/null
select t.claim_activities(), perdure.signal_workflow('buffer', 's0'), t.claim() \g /dev/null
select t.finish('buffer', 'b'), perdure.signal_workflow('buffer', 's1'),
    t.finish('buffer', 'a', 'failed', t.failure('x', '{"nonRetryable": true}')), t.at(501), t.upkeep(),
    perdure.signal_workflow('buffer', 's2'), perdure.cancel_workflow('buffer', 'enough') \g /dev/null
select is(t.history('buffer', 8), '8 WorkflowExecutionSignaled 9 WorkflowTaskScheduled 10 WorkflowTaskStarted',
    'all that happens during a workflow task waits');
select is((select buffered_events from perdure.pending_workflow_tasks where workflow_id = 'buffer'), 8,
    'and is counted');
select t.complete('buffer', jsonb_build_array(t.activity('c'))) \g /dev/null
select is(t.history('buffer', 10),
    '10 WorkflowTaskStarted 11 WorkflowTaskCompleted 12 ActivityTaskScheduled 13 ActivityTaskStarted '
        '14 WorkflowExecutionSignaled '
    '15 ActivityTaskStarted 16 TimerFired 17 WorkflowExecutionSignaled 18 WorkflowExecutionCancelRequested '
        '19 ActivityTaskCompleted 20 ActivityTaskFailed 21 WorkflowTaskScheduled',
    'then comes in the order in which it happened, but for the ends of activities, which come last');
select is(t.event('buffer', 19) - 'identity', '{"startedEventId": 13, "scheduledEventId": 6}',
    'an activity''s end points at its own start');
select is(t.event('buffer', 20) -> 'startedEventId', '15'::jsonb, 'and another''s at its own');

-- Cancellation: the code decides how.
select t.at(600), t.start('cancel'), t.claim(), t.complete('cancel', jsonb_build_array(t.activity('a'))),
    t.claim_activities() \g /dev/null
select perdure.cancel_workflow('cancel', 'enough'), t.claim(),
    t.complete('cancel', jsonb_build_array(t.command('RequestCancelActivityTask', '{"scheduledEventId": 5}')))
    \g /dev/null
select t.finish('cancel', 'a', 'canceled', jsonb_build_object('details', t.data('"half"'))), t.claim(),
    t.complete('cancel', jsonb_build_array(t.command('CancelWorkflowExecution',
        jsonb_build_object('details', t.data('"so far"'))))) \g /dev/null
select is(t.history('cancel', 5),
    '5 ActivityTaskScheduled 6 WorkflowExecutionCancelRequested 7 WorkflowTaskScheduled 8 WorkflowTaskStarted '
        '9 WorkflowTaskCompleted '
    '10 ActivityTaskCancelRequested 11 ActivityTaskStarted 12 ActivityTaskCanceled 13 WorkflowTaskScheduled '
        '14 WorkflowTaskStarted 15 WorkflowTaskCompleted 16 WorkflowExecutionCanceled',
    'a cancelled workflow cancels its activity and itself');
select is(t.event('cancel', 6), '{"cause": "enough", "identity": "postgres"}', 'for the reason given');
select is(t.event('cancel', 12) - 'identity',
    '{"details": [{"data": "half", "encoding": "json/plain"}], "startedEventId": 11, "scheduledEventId": 5,
    "latestCancelRequestedEventId": 10}', 'the activity tells what it had done');
select is(t.event('cancel', 16),
    '{"details": [{"data": "so far", "encoding": "json/plain"}], "workflowTaskCompletedEventId": 15}',
    'and so does the workflow');

-- Termination during a workflow task: that fails first, so that nothing is left open.
select t.at(700), t.start('terminate'), t.claim(), perdure.signal_workflow('terminate', 'unseen'),
    perdure.terminate_workflow('terminate', 'because') \g /dev/null
select is(t.history('terminate'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskFailed '
        '5 WorkflowExecutionSignaled 6 WorkflowExecutionTerminated',
    'a termination during a workflow task');
select is(t.event('terminate', 4) - 'identity',
    '{"cause": "ForceCloseCommand", "startedEventId": 3, "scheduledEventId": 2}', 'fails it by force');
select is(t.event('terminate', 6), '{"reason": "because", "identity": "postgres"}', 'and tells why');
select is(t.complete('terminate'), 'lost', 'whoever ran the task has lost it');
select t.start('terminate2'), perdure.terminate_workflow('terminate2') \g /dev/null
select is(t.history('terminate2'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowExecutionTerminated',
    'a termination before any workflow task');

-- A workflow task that fails and then succeeds: later attempts leave their events when one completes.
select t.at(800), t.start('bug'), t.claim(), t.at(801), t.fail('bug', 'NonDeterministicError') \g /dev/null
select is(t.history('bug'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskFailed',
    'a workflow task that fails');
select is(t.event('bug', 4),
    '{"cause": "NonDeterministicError", "failure": {"source": "Swift", "message": "a bug"}, "identity": "worker-1",
    "binaryChecksum": "build-1",
    "startedEventId": 3, "scheduledEventId": 2}', 'tells why');
select t.at(802), t.claim(), t.fail('bug'), t.at(803), t.upkeep(), t.claim(), t.at(804),
    t.complete('bug', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.history('bug', 5),
    '5 WorkflowTaskScheduled 6 WorkflowTaskStarted 7 WorkflowTaskCompleted 8 WorkflowExecutionCompleted',
    'fails again without an event, and succeeds');
select is(t.event('bug', 5) -> 'attempt', '3'::jsonb, 'at the third attempt');
select is(t.event('bug', 7) - 'identity' - 'workerVersion', '{"startedEventId": 6, "scheduledEventId": 5}',
    'whose events are one after the other');
select is(array[t.event_second('bug', 5), t.event_second('bug', 6), t.event_second('bug', 7)],
    array[802, 803, 804]::numeric[], 'each at its time');

-- A workflow task that times out
select t.at(900), t.start('slow', '{"workflowTaskTimeout": "5s"}'), t.claim(), t.at(905), t.upkeep() \g /dev/null
select is(t.history('slow'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskTimedOut',
    'a workflow task that times out');
select is(t.event('slow', 4), '{"timeoutType": "StartToClose", "startedEventId": 3, "scheduledEventId": 2}',
    'by its start-to-close timeout');
select t.claim(), t.complete('slow', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.history('slow', 5),
    '5 WorkflowTaskScheduled 6 WorkflowTaskStarted 7 WorkflowTaskCompleted 8 WorkflowExecutionCompleted',
    'is done by the next attempt');
select is(t.event('slow', 5) -> 'attempt', '2'::jsonb, 'the second');

-- A worker that has the run cached does not come for its task
select t.at(1000), t.start('sticky'), t.claim(), t.complete('sticky', jsonb_build_array(t.activity('a')),
    p_sticky => true), t.claim_activities(), t.finish('sticky', 'a') \g /dev/null
select t.at(1005), t.upkeep() \g /dev/null
select is(t.history('sticky', 7),
    '7 ActivityTaskCompleted 8 WorkflowTaskScheduled 9 WorkflowTaskTimedOut 10 WorkflowTaskScheduled',
    'a workflow task whose sticky worker does not come');
select is(t.event('sticky', 9), '{"timeoutType": "ScheduleToStart", "startedEventId": 0, "scheduledEventId": 8}',
    'times out before its start');
select is(t.event('sticky', 10) -> 'attempt', '1'::jsonb, 'which is no attempt');

-- A signal with the start
select t.at(1100), perdure.signal_with_start_workflow('T', 'both', 'q', 'go', '1', '2') \g /dev/null
select is(t.history('both'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled',
    'a signal with the start comes before the first workflow task');
select t.claim(), t.complete('both', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.history('both', 3),
    '3 WorkflowTaskScheduled 4 WorkflowTaskStarted 5 WorkflowTaskCompleted 6 WorkflowExecutionCompleted',
    'and is part of it');

-- Timeouts of the run
select t.at(1200), t.start('late', '{"workflowRunTimeout": "60s"}'), t.claim(), t.at(1260), t.upkeep() \g /dev/null
select is(t.history('late'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskFailed '
        '5 WorkflowExecutionTimedOut', 'a run that times out');
select is(t.event('late', 5), '{"retryState": "RetryPolicyNotSet"}', 'is not tried again');

-- Other commands
select t.at(1300), perdure.add_search_attribute('customer', 'Keyword'), t.start('commands'), t.claim(),
    t.complete('commands', jsonb_build_array(
    t.command('RecordMarker', jsonb_build_object('markerName', 'version', 'details',
        jsonb_build_object('data', t.data('1')))),
    t.command('UpsertWorkflowSearchAttributes', '{"searchAttributes": {"customer": "c-1"}}'),
    t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"note": {"encoding": "json/plain", "data": "x"}}}'),
    t.activity('a'), t.timer('b', '1s'), t.command('CancelTimer', '{"timerId": "b"}'))) \g /dev/null
select perdure.signal_workflow('commands', 'go'), t.claim(),
    t.complete('commands', jsonb_build_array(t.command('RequestCancelActivityTask', '{"scheduledEventId": 8}')))
    \g /dev/null
select is(t.history('commands', 4),
    '4 WorkflowTaskCompleted 5 MarkerRecorded 6 UpsertWorkflowSearchAttributes 7 WorkflowPropertiesModified '
        '8 ActivityTaskScheduled 9 TimerStarted '
    '10 TimerCanceled 11 WorkflowExecutionSignaled 12 WorkflowTaskScheduled 13 WorkflowTaskStarted '
        '14 WorkflowTaskCompleted 15 ActivityTaskCancelRequested 16 ActivityTaskCanceled '
    '17 WorkflowTaskScheduled', 'every command, in the order given');
select is(t.event('commands', 5),
    '{"details": {"data": [{"data": 1, "encoding": "json/plain"}]}, "markerName": "version", '
        '"workflowTaskCompletedEventId": 4}', 'a marker');
select is(t.event('commands', 6),
    '{"searchAttributes": {"customer": "c-1"}, "searchAttributeTypes": {"customer": "Keyword"}, '
    '"workflowTaskCompletedEventId": 4}',
    'search attributes');
select is(t.event('commands', 7),
    '{"upsertedMemo": {"note": {"data": "x", "encoding": "json/plain"}}, "workflowTaskCompletedEventId": 4}', 'a memo');
select is(t.event('commands', 16) - 'identity',
    '{"details": [{"data": "ACTIVITY_ID_NOT_STARTED", "encoding": "json/plain"}],
    "startedEventId": 0, "scheduledEventId": 8, "latestCancelRequestedEventId": 15}',
        'an activity that nobody had started is cancelled at once');
select results_eq($$select search_attributes, memo from perdure.workflows where workflow_id = 'commands'$$,
    $$values ('{"customer": "c-1"}'::jsonb, '{"note": {"data": "x", "encoding": "json/plain"}}'::jsonb)$$,
        'and the run carries them');

-- Ids never have gaps, whatever happened.
select is_empty($$select workflow_id from perdure.history_events group by workflow_id, run_id
    having count(*) <> max(event_id) or min(event_id) <> 1$$, 'events are numbered without gaps');

select * from finish();
rollback;
