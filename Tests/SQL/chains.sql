-- Runs that follow each other: continue-as-new, retries of runs, cron schedules.
\set ECHO none
begin;
\ir support/engine.psql
select no_plan();
-- The runs of an id, oldest first: the status of each, and which run follows which.
create function t.chain(p_id text) returns text language sql
as $$
    select string_agg(w.status || case when w.attempt > 1 then '#' || w.attempt else '' end
        || coalesce(' by ' || w.initiator, ''), ', ' order by w.run_number)
    from perdure.workflows w where w.workflow_id = p_id
$$;
create function t.is_linked(p_id text) returns boolean language sql
as $$
    select bool_and(w.next_run_id is not distinct from n.run_id and (n.run_id is null or n.previous_run_id = w.run_id)
        and w.first_run_id = (select f.run_id from perdure.workflows f where f.workflow_id = p_id and f.run_number = 1))
    from perdure.workflows w left join perdure.workflows n on n.workflow_id = p_id and n.run_number = w.run_number + 1
    where w.workflow_id = p_id
$$;
create function t.run_at(p_id text, p_number int) returns uuid language sql
as $$ select w.run_id from perdure.workflows w where w.workflow_id = p_id and w.run_number = p_number $$;
create function t.event_of(p_id text, p_number int, p_event bigint) returns jsonb language sql
as $$ select h.attributes from perdure.history_events h where h.run_id = t.run_at(p_id, p_number)
    and h.event_id = p_event $$;
create function t.last_event(p_id text, p_number int) returns jsonb language sql
as $$ select h.attributes || jsonb_build_object('type', h.event_type) from perdure.history_events h
    where h.run_id = t.run_at(p_id, p_number) order by h.event_id desc limit 1 $$;
create function t.continue(p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('ContinueAsNewWorkflowExecution', '{"input": []}'::jsonb || p_more) $$;
create function t.step(p_id text, variadic p_commands jsonb[]) returns text language sql
as $$ select t.claim() || ': ' || t.complete(p_id, to_jsonb(p_commands)) $$;
create function t.fails(p_message text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('FailWorkflowExecution', t.failure(p_message, p_more)) $$;
select perdure.add_search_attribute('customer', 'Keyword') \g /dev/null

-- Continue-as-new: what is not said stays as it is.
select t.start('kept',
    '{"workflowExecutionTimeout": "3600s", "workflowRunTimeout": "60s", "workflowTaskTimeout": "3s", "priority": 2,
    "requestId": "first", "identity": "me",
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"customer": "c-1"},
    "retryPolicy": {"maximumAttempts": 3}, "header": {"h": {"encoding": "json/plain", "data": 1}},
    "userMetadata": {"summary": {"encoding": "json/plain", "data": "s"}}}') \g /dev/null
select t.at(10) \g /dev/null
select is(t.step('kept', t.continue(jsonb_build_object('input', t.data('5')))), 'kept: completed',
    'a run continues as new');
select is(t.chain('kept'), 'ContinuedAsNew, Running by Workflow', 'one is closed, and one is open');
select ok(t.is_linked('kept'), 'each names the other, and both the first');
select is(t.last_event('kept', 1) - 'newExecutionRunId',
    '{"type": "WorkflowExecutionContinuedAsNew", "workflowType": {"name": "T"},
    "taskQueue": {"name": "q", "kind": "Normal"},
    "input": [{"encoding": "json/plain", "data": 5}], "workflowRunTimeout": "60s", "workflowTaskTimeout": "3s",
    "workflowTaskCompletedEventId": 4,
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"customer": "c-1"}}',
        'its event says what the next run gets');
select is(t.event_of('kept', 2, 1) - array['continuedExecutionRunId', 'firstExecutionRunId', 'originalExecutionRunId'],
    '{"workflowId": "kept", "workflowType": {"name": "T"},
    "taskQueue": {"name": "q", "kind": "Normal"}, "input": [{"encoding": "json/plain", "data": 5}], "attempt": 1,
    "initiator": "Workflow", "workflowExecutionTimeout": "3600s",
    "workflowExecutionExpirationTime": "2026-01-01T01:00:00.000000Z", "workflowRunTimeout": "60s",
    "workflowTaskTimeout": "3s", "priority": {"priorityKey": 2},
    "retryPolicy": {"initialInterval": "1s", "backoffCoefficient": 2, "maximumInterval": "100s", "maximumAttempts": 3},
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"customer": "c-1"}}',
        'the next run starts with it: no identity, header or summary of the one before');
select is(array[t.event_of('kept', 2, 1) ->> 'continuedExecutionRunId',
    t.event_of('kept', 2, 1) ->> 'firstExecutionRunId', t.event_of('kept', 2, 1) ->> 'originalExecutionRunId',
    t.last_event('kept', 1) ->> 'newExecutionRunId'], array[t.run_at('kept', 1), t.run_at('kept', 1),
        t.run_at('kept', 2), t.run_at('kept', 2)]::text[], 'and names the runs of its chain');
select results_eq($$select kind, fire_time from perdure.pending_timers where workflow_id = 'kept' order by kind$$,
    $$values ('execution_timeout', timestamptz '2026-01-01 01:00:00Z'), ('run_timeout', '2026-01-01 00:01:10Z')$$,
        'the time of the execution goes on, that of the run begins anew');
select results_eq($$select start_time, execution_time, memo, search_attributes from perdure.workflows
    where run_id = t.run('kept')$$,
    $$values (timestamptz '2026-01-01 00:00:10Z', timestamptz '2026-01-01 00:00:10Z',
        '{"note": {"encoding": "json/plain", "data": "x"}}'::jsonb, '{"customer": "c-1"}'::jsonb)$$, 'people see it');
select is((select status from perdure.workflow_result('kept', t.run_at('kept', 1))), 'ContinuedAsNew',
    'the result of the first run is that it continued');
select is((select next_run_id from perdure.workflow_result('kept', t.run_at('kept', 1))), t.run_at('kept', 2),
    'as this one');
select throws_ok($$select t.start('kept', '{"requestId": "first"}')$$, 'PD002', 'workflow ''kept'' is already running',
    'as in Temporal, the request that started the chain is known by its first run alone');
select is(t.step('kept',
    t.continue('{"memo": null, "searchAttributes": null, "retryPolicy": null, "workflowRunTimeout": "7200s"}')),
    'kept: completed', 'null stands for none');
select is(t.event_of('kept', 3, 1) ?| array['memo', 'searchAttributes', 'retryPolicy'], false, 'and the run has none');
select is(t.event_of('kept', 3, 1) ->> 'workflowRunTimeout', '3600s', 'a run is no longer than its execution');
select results_eq($$select kind, fire_time from perdure.pending_timers where workflow_id = 'kept' order by kind$$,
    $$values ('execution_timeout', timestamptz '2026-01-01 01:00:00Z'),
        ('start_delay', timestamptz '2026-01-01 00:00:11Z')$$, 'and ends with it');

-- What is said changes.
select t.at(100), t.start('changed') \g /dev/null
select t.at(100.25) \g /dev/null
select is(t.step('changed',
    t.continue('{"workflowType": {"name": "U"}, "taskQueue": {"name": "r"}, "workflowRunTimeout": "5s",
    "workflowTaskTimeout": "8s", "retryPolicy": {"maximumAttempts": 2},
    "memo": {"m": {"encoding": "json/plain", "data": 1}}, "searchAttributes": {"customer": "c-2"},
    "header": {"h": {"encoding": "json/plain", "data": 2}},
    "lastCompletionResult": [{"encoding": "json/plain", "data": 3}], "failure": {"message": "f"},
    "inheritBuildId": true}')), 'changed: completed', 'type, queue, time-outs and all else may change');
select is(t.event_of('changed', 2, 1) - array['continuedExecutionRunId', 'firstExecutionRunId',
    'originalExecutionRunId'], '{"workflowId": "changed", "workflowType": {"name": "U"},
    "taskQueue": {"name": "r", "kind": "Normal"}, "input": [], "attempt": 1, "initiator": "Workflow",
    "workflowRunTimeout": "5s", "workflowTaskTimeout": "5s", "firstWorkflowTaskBackoff": "0.75s",
    "retryPolicy": {"initialInterval": "1s", "backoffCoefficient": 2, "maximumInterval": "100s", "maximumAttempts": 2},
    "memo": {"m": {"encoding": "json/plain", "data": 1}},
    "searchAttributes": {"customer": "c-2"}, "header": {"h": {"encoding": "json/plain", "data": 2}},
    "lastCompletionResult": [{"encoding": "json/plain", "data": 3}],
    "continuedFailure": {"message": "f"}}', 'and the next run has it');
select is(t.last_event('changed', 1) ->> 'inheritBuildId', 'true', 'what concerns versions stands in the history');
select results_eq($$select workflow_type collate "default", task_queue collate "default" from perdure.workflows
    where run_id = t.run('changed')$$, $$values ('U', 'r')$$, 'people see it');

-- A chain must not take the time of others: its next run waits until a second has passed since the present one could
-- begin.
select is((select execution_time from perdure.workflows where run_id = t.run('changed')),
    timestamptz '2026-01-01 00:01:41Z', 'the next run waits');
select is(t.claim(p_queue => 'r'), '', 'nobody has it yet');
select perdure.signal_workflow('changed', 's') \g /dev/null
select is(t.claim(p_queue => 'r'), '', 'a signal does not wake it');
select t.at(101), t.upkeep() \g /dev/null
select is(t.history('changed'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled',
    'then it runs');
select is(t.claim(p_queue => 'r'), 'changed', 'on its queue');
select t.at(102) \g /dev/null
select is(t.complete('changed', jsonb_build_array(t.continue('{"backoffStartInterval": "30s"}'))), 'completed',
    'a run may say how long the next one waits');
select is((select execution_time from perdure.workflows where run_id = t.run('changed')),
    timestamptz '2026-01-01 00:02:12Z', 'and that waits so long');
select is(t.last_event('changed', 2) ->> 'backoffStartInterval', '30s', 'as the event says');
select perdure.cancel_workflow('changed') \g /dev/null
select is(t.claim(p_queue => 'r'), 'changed', 'a request to cancel does not wait, as in Temporal');
select t.complete('changed', jsonb_build_array(t.command('CancelWorkflowExecution'))) \g /dev/null
select is(t.chain('changed'), 'ContinuedAsNew, ContinuedAsNew by Workflow, Canceled by Workflow', 'and ends the chain');
update perdure.settings set value = '"0s"' where name = 'run_interval';
select t.terminate_all(), t.start('fast') \g /dev/null
select is(t.step('fast', t.continue()), 'fast: completed', 'where the setting run_interval is zero');
select is(t.step('fast', t.continue()), 'fast: completed', 'no run waits');
update perdure.settings set value = '"1s"' where name = 'run_interval';

-- A command that cannot continue the run fails the task.
select t.terminate_all(), t.at(200) \g /dev/null
select t.start('wrong ' || n) from generate_series(1, 6) n \g /dev/null
select t.claim() \g /dev/null
select is(t.complete('wrong ' || n, jsonb_build_array(t.continue(attributes))), 'failed ' || message, message)
    from (values
    (1, '{"workflowRunTimeout": "soon"}'::jsonb, 'workflowRunTimeout is not a duration: soon'),
    (2, '{"input": {}}', 'the input must be an array of payloads'),
    (3, '{"searchAttributes": {"unknown": 1}}', 'there is no search attribute unknown'),
    (4, '{"memo": []}', 'the memo must be an object of payloads'),
    (5, '{"retryPolicy": {"backoffCoefficient": 0.5}}', 'the retry policy has a coefficient that is not 1 to 1000000'),
    (6, jsonb_build_object('workflowType', jsonb_build_object('name', repeat('x', 1001))),
        'the workflow type must have 1 to 1000 bytes')
) w (n, attributes, message);
select is(t.event('wrong 1', 4) ->> 'cause', 'BadContinueAsNewAttributes', 'with Temporal''s cause');
select is(t.chain('wrong 1'), 'Running', 'and the run is as it was');
select t.terminate_all() \g /dev/null

-- A signal that comes while the run closes is handled by its code first.
select t.at(1000), t.start('signaled'), t.claim(), perdure.signal_workflow('signaled', 's') \g /dev/null
select is(t.complete('signaled', jsonb_build_array(t.continue())), 'failed UnhandledCommand',
    'a signal that came meanwhile is not lost');
select is(t.history('signaled', 4), '4 WorkflowTaskFailed 5 WorkflowExecutionSignaled 6 WorkflowTaskScheduled',
    'the run sees it');
select t.at(1001) \g /dev/null
select is(t.step('signaled', t.continue()), 'signaled: completed', 'and then continues');
select is(t.claim(), 'signaled', 'a run that lasted a second is followed at once');
select t.complete('signaled', jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))) \g /dev/null

-- Clients name a run, the first run of a chain, or neither.
select t.start('named') \g /dev/null
select t.at(1010), t.step('named', t.continue()) \g /dev/null
select throws_ok($$select perdure.signal_workflow('named', 's', run_id => t.run_at('named', 1))$$, 'PD006', null,
    'a run that has continued takes no signal');
select is(perdure.signal_workflow('named', 's'), t.run_at('named', 2), 'whoever names no run reaches the open one');
select is(perdure.request_cancel_workflow(0::smallint, 'default', 'named', t.run_at('named', 1)), t.run_at('named', 1),
    'to cancel a run that has continued does nothing');
select throws_ok($$select perdure.terminate_workflow(0::smallint, 'default', 'named', t.run_at('named', 1))$$, 'PD006',
    null, 'and it cannot be terminated');
select throws_ok($$select perdure.terminate_workflow(0::smallint, 'default', 'named', null,
    p_first_run_id => t.run('signaled'))$$, 'PD001', 'workflow execution not found',
    'a chain that the open run does not belong to is left alone');
select throws_ok($$select perdure.request_cancel_workflow(0::smallint, 'default', 'named', t.run_at('named', 2),
    p_first_run_id => t.run('signaled'))$$, 'PD001',
    'workflow execution not found', 'by a request to cancel, too');
select is(perdure.request_cancel_workflow(0::smallint, 'default', 'named', null,
    p_first_run_id => t.run_at('named', 1)), t.run_at('named', 2), 'the first run stands for its chain');
select is(perdure.terminate_workflow(0::smallint, 'default', 'named', t.run_at('named', 1),
    p_first_run_id => t.run_at('named', 1)), t.run_at('named', 2), 'whatever run is named besides');
select is(t.chain('named'), 'ContinuedAsNew, Terminated by Workflow', 'a termination ends the chain');
select is((select started from perdure.start_workflow('T', 'named', 'q')), true, 'and the id is free');
select is((select array[first_run_id = run_id, previous_run_id is null] from perdure.workflows
    where run_id = t.run('named')), array[true, true], 'for a chain of its own');
select t.terminate_all() \g /dev/null

-- Retries of runs
select t.at(2000), t.start('retried',
    '{"retryPolicy": {"initialInterval": "2s", "maximumAttempts": 3}, "workflowRunTimeout": "60s",
    "header": {"h": {"encoding": "json/plain", "data": 1}},
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}}') \g /dev/null
select is(t.step('retried', t.command('ModifyWorkflowProperties',
    '{"upsertedMemo": {"note": {"encoding": "json/plain", "data": "y"}}}'), t.fails('one')), 'retried: completed',
    'a run fails');
select is(t.chain('retried'), 'Failed, Running#2 by Retry', 'and is tried again');
select ok(t.is_linked('retried'), 'each names the other');
select is(t.last_event('retried', 1) - array['newExecutionRunId', 'failure'],
    '{"type": "WorkflowExecutionFailed", "retryState": "InProgress", "workflowTaskCompletedEventId": 4}',
    'as the event says');
select is(t.event_of('retried', 2, 1) - array['continuedExecutionRunId', 'firstExecutionRunId',
    'originalExecutionRunId'], '{"workflowId": "retried", "workflowType": {"name": "T"},
    "taskQueue": {"name": "q", "kind": "Normal"}, "input": [], "attempt": 2, "initiator": "Retry",
    "workflowRunTimeout": "60s", "workflowTaskTimeout": "10s", "firstWorkflowTaskBackoff": "2s",
    "retryPolicy": {"initialInterval": "2s", "backoffCoefficient": 2, "maximumInterval": "200s", "maximumAttempts": 3},
    "header": {"h": {"encoding": "json/plain", "data": 1}},
    "memo": {"note": {"encoding": "json/plain", "data": "x"}},
    "continuedFailure": {"message": "one", "applicationFailureInfo": {"type": "Error"}}}',
    'the next attempt starts as the first did');
select results_eq($$select kind, fire_time from perdure.pending_timers where workflow_id = 'retried' order by kind$$,
    $$values ('run_timeout', timestamptz '2026-01-01 00:34:22Z'), ('start_delay', '2026-01-01 00:33:22Z')$$,
        'when its wait is over');
select t.at(2002), t.upkeep() \g /dev/null
select is(t.step('retried', t.fails('two')), 'retried: completed', 'it fails again');
select is(t.event('retried', 1) ->> 'firstWorkflowTaskBackoff', '4s', 'and waits longer');
select t.at(2006), t.upkeep() \g /dev/null
select is(t.step('retried', t.fails('three')), 'retried: completed', 'and again');
select is(t.chain('retried'), 'Failed, Failed#2 by Retry, Failed#3 by Retry', 'three attempts are all');
select is(t.last_event('retried', 3) ->> 'retryState', 'MaximumAttemptsReached', 'as the event says');
select is((select failure ->> 'message' from perdure.workflow_result('retried')), 'three',
    'the result is that of the last');

select t.at(3000), t.start(id, jsonb_build_object('retryPolicy', policy) || more) from (values
    ('final', '{}'::jsonb, '{}'::jsonb), ('named type', '{"nonRetryableErrorTypes": ["Error"]}', '{}'),
        ('delay', '{"initialInterval": "50s"}', '{}'),
    ('no time', '{"initialInterval": "50s"}', '{"workflowExecutionTimeout": "40s"}')) r (id, policy, more) \g /dev/null
select t.claim() \g /dev/null
select is(t.complete(id, jsonb_build_array(t.fails('x', info))), 'completed', id)
    from (values ('final', '{"nonRetryable": true}'::jsonb), ('named type', '{}'),
    ('delay', '{"nextRetryDelay": "7s"}'),
    ('no time', '{}')) f (id, info);
select is(t.last_event(id, 1) ->> 'retryState', state, id || ' is ' || state)
    from (values ('final', 'NonRetryableFailure'), ('named type', 'NonRetryableFailure'), ('delay', 'InProgress'),
    ('no time', 'Timeout')) f (id, state);
select is(t.event('delay', 1) ->> 'firstWorkflowTaskBackoff', '7s',
    'a failure may say itself when another attempt is worth while');
select t.terminate_all() \g /dev/null

-- Time-outs over a chain
select t.at(4000), t.start('timed out',
    '{"retryPolicy": {"maximumAttempts": 2}, "workflowRunTimeout": "10s", "workflowExecutionTimeout": "60s"}'),
    t.start('over', '{"retryPolicy": {}, "workflowExecutionTimeout": "5s"}'),
        t.start('both', '{"retryPolicy": {}, "workflowRunTimeout": "5s", "workflowExecutionTimeout": "5s"}'),
    t.start('final time-out',
        '{"retryPolicy": {"nonRetryableErrorTypes": ["TemporalTimeout:StartToClose"]}, "workflowRunTimeout": "5s"}')
        \g /dev/null
select t.at(4005), t.upkeep() \g /dev/null
select is(array[t.chain('over'), t.chain('both'), t.chain('final time-out')], array['TimedOut', 'TimedOut', 'TimedOut'],
    'an execution whose time is over has no other attempt');
select is(array[t.last_event('over', 1) ->> 'retryState', t.last_event('both', 1) ->> 'retryState',
    t.last_event('final time-out', 1) ->> 'retryState'], array['Timeout', 'Timeout', 'NonRetryableFailure'],
    'as the event says');
select t.at(4010), t.upkeep() \g /dev/null
select is(t.chain('timed out'), 'TimedOut, Running#2 by Retry', 'a run whose time is over is tried again');
select is(t.last_event('timed out', 1) - 'newExecutionRunId',
    '{"type": "WorkflowExecutionTimedOut", "retryState": "InProgress"}', 'as the event says');
select is(t.event('timed out', 1) -> 'continuedFailure',
    '{"message": "workflow timeout", "source": "Server", "timeoutFailureInfo": {"timeoutType": "StartToClose"}}',
    'the next attempt is told');
select t.at(4011), t.upkeep(), t.at(4021), t.upkeep() \g /dev/null
select is(t.chain('timed out'), 'TimedOut, TimedOut#2 by Retry', 'as often as its policy says');
select t.at(4100), t.start('without end', '{"workflowExecutionTimeout": "30s"}') \g /dev/null
do $$ begin for i in 1 .. 5 loop perform t.at(4100 + i * 5), t.upkeep(), t.step('without end', t.continue()); end loop;
    end $$;
select t.at(4129), t.upkeep() \g /dev/null
select is(t.status('without end'), 'Running', 'the time of an execution');
select t.at(4130), t.upkeep() \g /dev/null
select is(t.status('without end'), 'TimedOut', 'is that of all its runs');
select is((select count(*) from perdure.workflows where workflow_id = 'without end'), 6::bigint, 'six of them');

-- Cron schedules
select t.at(5000), t.start('cron',
    '{"cronSchedule": "@every 10s", "workflowExecutionTimeout": "600s", "memo": {"note": {"encoding": "json/plain", '
        '"data": "x"}}}') \g /dev/null
select is(t.event('cron', 1) - array['firstExecutionRunId', 'originalExecutionRunId'],
    '{"workflowId": "cron", "workflowType": {"name": "T"}, "taskQueue": {"name": "q", "kind": "Normal"}, "input": [],
    "attempt": 1, "workflowTaskTimeout": "10s", "cronSchedule": "@every 10s", "initiator": "CronSchedule",
    "firstWorkflowTaskBackoff": "10s", "workflowExecutionTimeout": "600s",
    "workflowRunTimeout": "600s", "workflowExecutionExpirationTime": "2026-01-01T01:33:20.000000Z",
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}}', 'a schedule''s first run waits for its time');
select is(t.claim(), '', 'nobody has it yet');
select t.at(5010), t.upkeep() \g /dev/null
select is(t.claim(), 'cron', 'then it runs');
select t.at(5013) \g /dev/null
select is(t.complete('cron', jsonb_build_array(t.command('CompleteWorkflowExecution',
    jsonb_build_object('result', t.data('1'))))), 'completed', 'and completes');
select is(t.chain('cron'), 'Completed by CronSchedule, Running by CronSchedule', 'and is followed by the next');
select ok(t.is_linked('cron'), 'each names the other');
select is(t.event('cron', 1) - array['firstExecutionRunId', 'originalExecutionRunId', 'continuedExecutionRunId'],
    '{"workflowId": "cron", "workflowType": {"name": "T"},
    "taskQueue": {"name": "q", "kind": "Normal"}, "input": [],
    "attempt": 1, "workflowTaskTimeout": "10s", "cronSchedule": "@every 10s", "initiator": "CronSchedule",
    "firstWorkflowTaskBackoff": "7s", "workflowExecutionTimeout": "600s",
    "workflowRunTimeout": "600s", "workflowExecutionExpirationTime": "2026-01-01T01:33:20.000000Z",
    "memo": {"note": {"encoding": "json/plain", "data": "x"}},
    "lastCompletionResult": [{"encoding": "json/plain", "data": 1}]}', 'which knows the result');
select t.at(5020), t.upkeep() \g /dev/null
select is(t.step('cron', t.fails('bad')), 'cron: completed', 'a run that fails');
select is(array[t.last_event('cron', 2) ->> 'retryState', t.chain('cron')],
    array['RetryPolicyNotSet', 'Completed by CronSchedule, Failed by CronSchedule, Running by CronSchedule'],
    'is followed, too');
select is(array[t.event('cron', 1) #>> '{continuedFailure,message}',
    t.event('cron', 1) #>> '{lastCompletionResult,0,data}'], array['bad', '1'],
    'by one that knows the failure and the last result');
select t.at(5030), t.upkeep() \g /dev/null
select is(t.step('cron', t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.data('2')))),
    'cron: completed', 'a run that completes');
select is(array[t.event('cron', 1) ? 'continuedFailure', t.event('cron', 1) #>> '{lastCompletionResult,0,data}' = '2'],
    array[false, true], 'leaves no failure behind');
select t.at(5040), t.upkeep() \g /dev/null
select is(t.step('cron', t.continue()), 'cron: completed', 'a run that continues as new');
select is(array[t.event('cron', 1) ->> 'cronSchedule', t.event('cron', 1) ->> 'initiator'], array[null, 'Workflow'],
    'leaves the schedule, as in Temporal');
select t.at(5050), t.upkeep() \g /dev/null
select is(t.step('cron', t.command('CompleteWorkflowExecution', '{"result": []}')), 'cron: completed', 'and ends');
select is(t.status('cron'), 'Completed', 'for good');
select is((select count(*) from perdure.workflows where workflow_id = 'cron' and status = 'Running'), 0::bigint,
    'with all its chain');

select t.at(6000), t.start('both kinds',
    '{"cronSchedule": "@every 60s", "retryPolicy": {"initialInterval": "2s", "maximumAttempts": 2}}') \g /dev/null
select t.at(6060), t.upkeep(), t.step('both kinds', t.fails('one')) \g /dev/null
select is(t.event('both kinds', 1) ->> 'firstWorkflowTaskBackoff', '2s', 'a run of a schedule is tried again first');
select t.at(6062), t.upkeep(), t.step('both kinds', t.fails('two')) \g /dev/null
select is(array[t.last_event('both kinds', 2) ->> 'retryState', t.chain('both kinds')],
    array['MaximumAttemptsReached', 'Failed by CronSchedule, Failed#2 by Retry, Running by CronSchedule'],
        'and then at the next time of the schedule');
select is(t.event('both kinds', 1) ->> 'attempt', '1', 'as a first attempt');
select perdure.terminate_workflow('both kinds') \g /dev/null
select is(t.status('both kinds'), 'Terminated', 'a termination ends a schedule');
select t.start('canceled', '{"cronSchedule": "@every 60s"}'), perdure.cancel_workflow('canceled') \g /dev/null
select is(t.step('canceled', t.command('CancelWorkflowExecution')), 'canceled: completed',
    'a cancellation reaches a run that waits');
select is(t.chain('canceled'), 'Canceled by CronSchedule', 'and ends the schedule');
select t.at(7000), t.start('cron time-out', '{"cronSchedule": "@every 10s", "workflowRunTimeout": "5s"}') \g /dev/null
select t.at(7010), t.upkeep(), t.at(7015), t.upkeep() \g /dev/null
select is(array[t.chain('cron time-out'), t.last_event('cron time-out', 1) ->> 'retryState'],
    array['TimedOut by CronSchedule, Running by CronSchedule', 'RetryPolicyNotSet'],
    'a run whose time is over is followed');
select t.terminate_all() \g /dev/null

-- Many at once take the same way.
select t.at(8000), t.start('many ' || n, case when n % 3 = 0 then '{"cronSchedule": "@every 10s"}'::jsonb else '{}' end)
    from generate_series(1, 12) n \g /dev/null
select t.at(8010), t.upkeep() \g /dev/null
select t.claim() \g /dev/null
select results_eq($$
    select c.outcome, count(*)::int from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt',
            w.attempt, 'sticky', true,
            'commands', jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))))
                from t.workflow_task w where w.workflow_id like 'many %')) c group by c.outcome$$,
    $$values ('completed', 12)$$, 'twelve runs complete in one call');
select results_eq($$select w.status, count(*)::int from perdure.workflows w where w.workflow_id like 'many %'
    group by w.status order by w.status$$,
    $$values ('Completed', 12), ('Running', 4)$$, 'those of schedules are followed');
select t.terminate_all() \g /dev/null

-- No other run starts between two runs of a chain, and a run that does not exist cannot be continued.
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');
savepoint broken;
update perdure.executions e set first_run_id = null where e.run_id = t.run_at('retried', 2);
update perdure.history h set events[1] = jsonb_set(h.events[1], '{given,continuedExecutionRunId}',
    to_jsonb(t.run_at('kept', 1))) where h.run_id = t.run_at('named', 2) and h.first_event_id = 1;
select results_eq($$select distinct v.kind from perdure.violations() v$$, $$values ('broken chain')$$,
    'a chain that does not fit is found');
select is((select count(*) from perdure.violations()), 3::bigint, 'from each of its sides');
rollback to broken;

-- Retention takes runs of a chain one by one.
update perdure.namespaces set retention = '1 hour';
select t.at(2003 + 3600) \g /dev/null
select perdure.delete_expired(0::smallint) \g /dev/null
select is(t.chain('retried'), 'Failed#3 by Retry', 'the first run of a chain that is over may go');
select is_empty('select * from perdure.violations()', 'and no rule is broken by that');
select isnt((select previous_run_id from perdure.workflows where run_id = t.run('retried')), null,
    'the run that followed it still names it');
select * from finish();
rollback;
