-- Starting workflows: policies, request ids, delays, options, and what is refused.
begin;
\ir support/engine.psql
select no_plan();
create function t.try(p_id text, p_options jsonb default '{}') returns text language plpgsql
as $$
declare
    v_started record;
    v_detail text;
begin
    select * into v_started from perdure.start_workflow(0::smallint, 'default', p_id, 'T', 'q', '[]', p_options);
    return case when v_started.started then 'started' else 'found' end || case when v_started.run_id = t.run(p_id)
        then '' else ' another' end;
exception when sqlstate 'PD002' then
    get stacked diagnostics v_detail = pg_exception_detail;
    return 'PD002' || case when v_detail = t.run(p_id)::text then ' with the run' else ' ' || v_detail end;
end
$$;
create function t.close(p_id text, p_how text default 'CompleteWorkflowExecution') returns void language sql
as $$ select t.claim(), t.complete(p_id, jsonb_build_array(t.command(p_how, t.failure('x')))) $$;

-- Conflict policies: a run of that id is open
select is(t.try('c'), 'started', 'a workflow starts');
select is(t.try('c'), 'PD002 with the run', 'once');
select is(t.try('c', '{"workflowIdConflictPolicy": "Fail"}'), 'PD002 with the run', 'Fail says so');
select is(t.try('c', '{"workflowIdConflictPolicy": "UseExisting"}'), 'found', 'UseExisting finds it');
select is(t.try('c', '{"workflowIdConflictPolicy": "UseExisting", "workflowIdReusePolicy": "RejectDuplicate"}'),
    'found', 'whatever the reuse policy');
select is((select count(*) from perdure.workflows where workflow_id = 'c'), 1::bigint, 'and starts none');
select t.at(1) \g /dev/null
select is(t.try('c', '{"workflowIdConflictPolicy": "TerminateExisting"}'), 'started', 'TerminateExisting starts anew');
select results_eq($$select status from perdure.workflows where workflow_id = 'c' order by start_time$$,
    array['Terminated', 'Running'], 'and ends the open one');
select t.at(2) \g /dev/null

-- Reuse policies: the last run of that id is closed
select t.close('c') \g /dev/null
select is(t.try('c', '{"workflowIdReusePolicy": "RejectDuplicate"}'), 'PD002 with the run',
    'RejectDuplicate takes an id once');
select is(t.try('c', '{"workflowIdReusePolicy": "AllowDuplicateFailedOnly"}'), 'PD002 with the run',
    'AllowDuplicateFailedOnly not after success');
select is(t.try('c'), 'started', 'AllowDuplicate takes it again, and is the default');
select t.at(3), t.close('c', 'FailWorkflowExecution') \g /dev/null
select is(t.status('c'), 'Failed', 'a run that failed');
select is(t.try('c', '{"workflowIdReusePolicy": "AllowDuplicateFailedOnly"}'), 'started',
    'AllowDuplicateFailedOnly takes the id after a failure');
select t.at(4), perdure.terminate_workflow('c') \g /dev/null
select is(t.try('c', '{"workflowIdReusePolicy": "RejectDuplicate"}'), 'PD002 with the run',
    'RejectDuplicate not even then');
select is(t.try('c', '{"workflowIdReusePolicy": "AllowDuplicateFailedOnly"}'), 'started', 'after a termination too');
select is((select count(*) from perdure.workflows where workflow_id = 'c' and status = 'Running'), 1::bigint,
    'one run of an id is open at a time');

-- Request ids: a repeat of a request finds what it started
select is(t.try('r', '{"requestId": "1"}'), 'started', 'a request starts a workflow');
select is(t.try('r', '{"requestId": "1"}'), 'found', 'its repeat finds it');
select is(t.try('r', '{"requestId": "2"}'), 'PD002 with the run', 'another request does not');
select t.close('r') \g /dev/null
select is(t.try('r', '{"requestId": "1"}'), 'found', 'a repeat finds it closed, too');
select is(t.try('r', '{"requestId": "1", "workflowIdReusePolicy": "RejectDuplicate"}'), 'found', 'whatever the policy');
select is((select count(*) from perdure.workflows where workflow_id = 'r'), 1::bigint, 'and starts none');

-- What a run starts with
select t.at(100), perdure.add_search_attribute('customer', 'Keyword') \g /dev/null
select t.start('o', '{"workflowExecutionTimeout": "3600s", "workflowRunTimeout": "60.5s", "workflowTaskTimeout": "3s",
    "identity": "me", "priority": 1,
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"customer": "c-1"},
    "retryPolicy": {"maximumAttempts": 3}}') \g /dev/null
select is(t.event('o', 1) - 'originalExecutionRunId' - 'firstExecutionRunId',
    '{"workflowExecutionExpirationTime": "2026-01-01T01:01:40.000000Z", "input": [], "attempt": 1, "identity": "me",
    "taskQueue": {"kind": "Normal", "name": "q"},
    "workflowId": "o", "workflowType": {"name": "T"}, "workflowTaskTimeout": "3s", "workflowExecutionTimeout": "3600s",
    "workflowRunTimeout": "60.5s", "priority": {"priorityKey": 1},
    "memo": {"note": {"encoding": "json/plain", "data": "x"}}, "searchAttributes": {"customer": "c-1"},
    "searchAttributeTypes": {"customer": "Keyword"},
    "retryPolicy": {"initialInterval": "1s", "maximumAttempts": 3, "maximumInterval": "100s",
    "backoffCoefficient": 2}}', 'its first event tells its options');
select t.start('fair', '{"fairness": {"fairnessKey": "k", "fairnessWeight": 2.5}}'),
    t.start('both', '{"priority": 2, "fairness": {"fairnessKey": "k"}}') \g /dev/null
select is(array[t.event('fair', 1) -> 'priority', t.event('both', 1) -> 'priority'],
    array[jsonb '{"fairnessKey": "k", "fairnessWeight": 2.5}', '{"priorityKey": 2, "fairnessKey": "k"}'],
    'as well as its fairness');
select is(array[t.event('o', 1) ->> 'originalExecutionRunId', t.event('o', 1) ->> 'firstExecutionRunId'],
    array[t.run('o')::text, t.run('o')::text], 'and that it is the first of its chain');
select results_eq($$select workflow_type collate "default", status, task_queue collate "default", search_attributes,
    memo, history_length::int, start_time from perdure.workflows where workflow_id = 'o'$$,
    $$values ('T', 'Running', 'q', '{"customer": "c-1"}'::jsonb,
        '{"note": {"encoding": "json/plain", "data": "x"}}'::jsonb, 2, timestamptz '2026-01-01 00:01:40Z')$$,
        'people see it');
select results_eq($$select kind, fire_time from perdure.pending_timers where workflow_id = 'o' order by kind$$,
    $$values ('execution_timeout', timestamptz '2026-01-01 01:01:40Z'), ('run_timeout', '2026-01-01 00:02:40.5Z')$$,
        'its timeouts run');
select matches(t.run('o')::text, '^019b7', 'its run id is of its time');
select is(t.event('o', 2) ->> 'startToCloseTimeout', '3s', 'its workflow tasks have its timeout');
select results_eq($$select * from perdure.workflow_result('o')$$,
    $$values ('Running', null::jsonb, null::jsonb, null::timestamptz, null::uuid)$$, 'it has no result yet');

-- Priority and age decide who is first
select t.claim() \g /dev/null
select t.at(100), t.start('p3'), t.at(101), t.start('p5', '{"priority": 5}'), t.at(102),
    t.start('p1', '{"priority": 1}'), t.at(103), t.start('p3b'), t.start('p9', '{"priority": 2147483647}'), t.at(104),
    t.start('p5b', '{"priority": 5}') \g /dev/null
select is(array[t.claim(p_limit => 1), t.claim(p_limit => 1), t.claim(p_limit => 1), t.claim(p_limit => 1),
    t.claim(p_limit => 1), t.claim(p_limit => 1)],
    array['p1', 'p3', 'p3b', 'p5', 'p9', 'p5b'], 'priority first, then age; a number above 5 counts as 5');
select is(t.event('p9', 1) -> 'priority', '{"priorityKey": 2147483647}', 'and is kept as it was given');

-- A delay
select perdure.terminate_workflow(workflow_id) from perdure.list_workflows('ExecutionStatus = "Running"') \g /dev/null
select t.at(200), t.start('d', '{"workflowStartDelay": "30s", "workflowRunTimeout": "10s"}') \g /dev/null
select is(t.history('d'), '1 WorkflowExecutionStarted', 'a delayed start has no workflow task');
select is(t.event('d', 1) ->> 'firstWorkflowTaskBackoff', '30s', 'and says so');
select results_eq($$select start_time, execution_time from perdure.workflows where workflow_id = 'd'$$,
    $$values (timestamptz '2026-01-01 00:03:20Z', timestamptz '2026-01-01 00:03:50Z')$$,
    'its execution time is later');
select t.at(229), t.upkeep() \g /dev/null
select is(t.claim(), '', 'nobody can have it yet');
select perdure.signal_workflow('d', 'early') \g /dev/null
select is(t.claim(), '', 'a signal does not wake it');
select t.at(230), t.upkeep() \g /dev/null
select is(t.history('d'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled',
    'then it has one');
select is(t.claim(), 'd', 'and can be had');
select t.at(239.9), t.upkeep() \g /dev/null
select is(t.status('d'), 'Running', 'its timeouts begin after the delay');
select t.at(240), t.upkeep() \g /dev/null
select is(t.status('d'), 'TimedOut', 'and end it');

-- By name, for people
select results_eq($$select started from perdure.start_workflow(workflow_type => 'T', workflow_id => 'n',
    task_queue => 'q', input => '{"amount": 5}')$$, 'values (true)', 'by name, with plain JSON');
select is(t.event('n', 1) -> 'input', '[{"data": {"amount": 5}, "encoding": "json/plain"}]', 'which becomes a payload');
select is(t.event('n', 1) ->> 'identity', 'postgres', 'under the name of the session''s user');
select is((select started from perdure.start_workflow('T', 'n', 'q',
    options => '{"workflowIdConflictPolicy": "UseExisting"}')), false, 'options are the same');
select perdure.start_workflow('T', 'null', 'q', 'null'), perdure.start_workflow('T', 'none', 'q') \g /dev/null
select is(array[t.event('null', 1) -> 'input', t.event('none', 1) -> 'input'],
    array['[{"data": null, "encoding": "json/plain"}]', '[]']::jsonb[], 'JSON null is an argument, SQL null is none');

-- In the application's own transaction: both or neither
savepoint application;
create table t.invoice (id int);
insert into t.invoice values (1);
select perdure.start_workflow('T', 'invoice-1', 'q') \g /dev/null
rollback to application;
select is_empty($$select from perdure.workflows where workflow_id = 'invoice-1'$$,
    'a start is part of the transaction that it is made in');

-- Refusals. Each has a hint; an error leaves nothing, as the counts below show.
create temp table before as select (select count(*) from perdure.workflows) as workflows,
    (select count(*) from perdure.history_events) as events,
    (select count(*) from perdure.pending_timers) as timers, (select count(*) from perdure.pending_workflow_tasks)
        as tasks;
select is(t.refusal(format('select perdure.start_workflow(%s)', arguments)), code, what) from (values
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''{}''', 'PD003', 'an input that is no array'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''[1]''', 'PD003', 'an input of what is no payload'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''[{"data": 1}]''', 'PD003', 'a payload without encoding'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''[{"encoding": 1}]''', 'PD003', 'an encoding that is no text'),
    ('0::smallint, ''default'', '''', ''T'', ''q''', 'PD003', 'an empty workflow id'),
    ('0::smallint, ''default'', null, ''T'', ''q''', 'PD003', 'no workflow id'),
    ('0::smallint, ''default'', repeat(''x'', 1001), ''T'', ''q''', 'PD003', 'a workflow id that is too long'),
    ('0::smallint, ''default'', ''x'', '''', ''q''', 'PD003', 'an empty type'),
    ('0::smallint, ''default'', ''x'', ''T'', null', 'PD003', 'no task queue'),
    ('1::smallint, ''default'', ''x'', ''T'', ''q''', 'PD003', 'another''s shard'),
    ('null::smallint, ''default'', ''x'', ''T'', ''q''', 'PD003', 'no shard'),
    ('0::smallint, ''none'', ''x'', ''T'', ''q''', 'PD005', 'an unknown namespace'),
    ('0::smallint, null, ''x'', ''T'', ''q''', 'PD005', 'no namespace'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''[]'', null', 'PD003', 'no options'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', ''[]'', ''[]''', 'PD003', 'options that are an array'),
    ('0::smallint, ''default'', ''x'', ''T'', ''q'', jsonb_build_array(jsonb_build_object(''encoding'', '
        '''json/plain'', ''data'', repeat(''x'', 2097152)))', 'PD004', 'more than 2 MiB'),
    ('''T'', ''x'', ''q'', namespace => ''none''', 'PD005', 'an unknown namespace by name'),
    ('''T'', '''', ''q''', 'PD003', 'an empty workflow id by name')
) r (arguments, code, what);
select is(t.refusal(format('select perdure.start_workflow(0::smallint, ''default'', ''x'', ''T'', ''q'', ''[]'', %L)',
    options)), code, options) from (values
    ('{"workflowIdReusePolicy": "Sometimes"}', 'PD003'),
    ('{"workflowIdConflictPolicy": "Sometimes"}', 'PD003'),
    ('{"workflowIDReusePolicy": "AllowDuplicate"}', 'PD003'),
    ('{"workflowRunTimeout": "60"}', 'PD003'),
    ('{"workflowRunTimeout": 60}', 'PD003'),
    ('{"workflowRunTimeout": "-60s"}', 'PD003'),
    ('{"workflowRunTimeout": "NaNs"}', 'PD003'),
    ('{"workflowRunTimeout": "Infinitys"}', 'PD003'),
    ('{"workflowRunTimeout": {}}', 'PD003'),
    ('{"workflowTaskTimeout": "1m"}', 'PD003'),
    ('{"workflowStartDelay": "soon"}', 'PD003'),
    ('{"priority": 0}', 'PD003'),
    ('{"priority": -1}', 'PD003'),
    ('{"priority": 2147483648}', 'PD003'),
    ('{"priority": {"priorityKey": 1}}', 'PD003'),
    ('{"priority": "high"}', 'PD003'),
    ('{"priority": 2.5}', 'PD003'),
    ('{"memo": []}', 'PD003'),
    ('{"fairness": 1}', 'PD003'),
    ('{"fairness": {"key": "x"}}', 'PD003'),
    ('{"fairness": {"fairnessKey": 1}}', 'PD003'),
    ('{"fairness": {"fairnessWeight": "1"}}', 'PD003'),
    ('{"fairness": {"fairnessWeight": 0}}', 'PD003'),
    ('{"fairness": {"fairnessWeight": -1}}', 'PD003'),
    ('{"fairness": {"fairnessKey": "12345678901234567890123456789012345678901234567890123456789012345"}}', 'PD004'),
    ('{"memo": {"note": "not a payload"}}', 'PD003'),
    ('{"searchAttributes": []}', 'PD003'),
    ('{"searchAttributes": {"nothing": 1}}', 'PD008'),
    ('{"searchAttributes": {"customer": 1}}', 'PD008'),
    ('{"searchAttributes": {"customer": ["x"]}}', 'PD008')
) r (options, code);
select results_eq('select (select count(*) from perdure.workflows), (select count(*) from perdure.history_events),
    (select count(*) from perdure.pending_timers),
    (select count(*) from perdure.pending_workflow_tasks)', 'select * from before', 'nothing changed');

-- Ids and options that look odd but are valid
select is(t.refusal(format('select perdure.start_workflow(0::smallint, ''default'', %L, ''T'', ''q'', %s)', id, input)),
    'accepted', what) from (values
    (repeat('x', 1000), '''[]''', 'a workflow id of 1000 bytes'),
    ($i$'; drop table perdure.executions; --$i$, '''[]''', 'one that looks like SQL'),
    (E'line\nbreak\ttab', '''[]''', 'one with control characters'),
    ('日本語 ✓', '''[]''', 'one in another script'),
    ('two mebibytes', 'jsonb_build_array(jsonb_build_object(''encoding'', ''json/plain'', ''data'', '
        'repeat(''x'', 2097100)))', 'a payload just below 2 MiB'),
    ('deep', 'jsonb_build_array(jsonb_build_object(''encoding'', ''json/plain'', ''data'', '
        '(repeat(''['', 200) || repeat('']'', 200))::jsonb))', 'JSON two hundred arrays deep'),
    ('numbers', '''[{"encoding": "json/plain", "data": [1e400, 0.1, 12345678901234567890, -0]}]''',
        'numbers that a double cannot hold'),
    ('binary', '''[{"encoding": "binary/plain", "data": "AAEC"}, {"encoding": "binary/null"}]''', 'binary and no data')
) r (id, input, what);
select is(t.event('numbers', 1) #>> '{input,0,data,2}', '12345678901234567890', 'numbers stay exact');
-- jsonb has no NUL: the error is Postgres's own, before any function of ours.
select is(t.refusal($$select perdure.start_workflow('T', 'nul', 'q', '"\u0000"')$$),
    '22P05 without a hint: unsupported Unicode escape sequence', 'a NUL in JSON is refused by Postgres');

select * from finish();
rollback;
