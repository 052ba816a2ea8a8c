-- Signals, cancellation, termination, and what becomes of a run that has ended.
begin;
\ir support/engine.psql
select no_plan();

-- Signals
select t.start('s') \g /dev/null
select is(perdure.signal_workflow('s', 'go'), t.run('s'), 'a signal answers with the run');
select is(perdure.signal_workflow('s', 'go', '[1, 2]', t.run('s')), t.run('s'), 'which can be named');
select is(t.history('s'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowExecutionSignaled 4 WorkflowExecutionSignaled',
    'the task that is scheduled is told of both');
select is(t.event('s', 4),
    '{"input": [{"data": [1, 2], "encoding": "json/plain"}], "identity": "postgres", "signalName": "go"}',
    'plain JSON is one argument');
select perdure.signal_workflow(0::smallint, 'default', 's', null, 'exact',
    '[{"encoding": "binary/plain", "data": "AAEC"}, {"encoding": "json/plain", "data": 2}]', 'me', 'request-1')
    \g /dev/null
select is(t.event('s', 5),
    '{"input": [{"data": "AAEC", "encoding": "binary/plain"}, {"data": 2, "encoding": "json/plain"}], '
        '"identity": "me", "requestId": "request-1", "signalName": "exact"}',
    'the engine form takes payloads as they are');
select perdure.signal_workflow(0::smallint, 'default', 's', null, 'exact', '[]', 'me', 'request-1') \g /dev/null
select is(t.history('s', 6), null, 'a repeat of a request does nothing');
select t.claim(), perdure.signal_workflow(0::smallint, 'default', 's', null, 'x', '[]', 'me', 'request-2'),
    perdure.signal_workflow(0::smallint, 'default', 's', null, 'x', '[]', 'me', 'request-2'),
    t.complete('s') \g /dev/null
select is(t.history('s', 6),
    '6 WorkflowTaskStarted 7 WorkflowTaskCompleted 8 WorkflowExecutionSignaled 9 WorkflowTaskScheduled',
    'nor while it is buffered');

-- Signal with start
create function t.signal_with_start(p_id text, p_options jsonb default '{}') returns text language sql
as $$ select case when s.started then 'started' else 'found' end || case when s.run_id = t.run(p_id) then ''
    else ' another' end
    from perdure.signal_with_start_workflow(0::smallint, 'default', p_id, 'T', 'q', '[]', 'go', '[]', p_options) s $$;
select is(t.signal_with_start('b'), 'started', 'signal-with-start starts');
select is(t.signal_with_start('b'), 'found', 'and signals what runs');
select is(t.history('b'),
    '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled 4 WorkflowExecutionSignaled',
    'both times');
select is(t.signal_with_start('once', '{"requestId": "first"}')
    || t.signal_with_start('once', '{"requestId": "first"}'), 'startedfound', 'a repeat of what started it');
select is(t.signal_with_start('once', '{"requestId": "second"}')
    || t.signal_with_start('once', '{"requestId": "second"}'), 'foundfound', 'or only signalled');
select is(t.history('once'),
    '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled 4 WorkflowExecutionSignaled',
    'signals once');
select perdure.terminate_workflow('b'), t.at(1) \g /dev/null
select is(t.signal_with_start('b'), 'started', 'starts anew after the end');
select is(t.refusal($$select t.signal_with_start('b', '{"workflowIdConflictPolicy": "Fail"}')$$), 'PD003',
    'the policy Fail is none for it, as in Temporal');
select t.at(2) \g /dev/null
select is(t.refusal($$select t.signal_with_start('b', '{"workflowIdReusePolicy": "Never"}')$$), 'PD003',
    'checks the policies');
select perdure.terminate_workflow('b') \g /dev/null
select is(t.refusal($$select t.signal_with_start('b', '{"workflowIdReusePolicy": "RejectDuplicate"}')$$), 'PD002',
    'keeps to them');
select is(t.signal_with_start('delayed', '{"workflowStartDelay": "60s"}'), 'started', 'with a delay');
select is(t.history('delayed'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled', 'has no workflow task yet');
select t.at(62), t.upkeep() \g /dev/null
select is(t.history('delayed'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled',
    'and then one');
select is(t.claim() ~ 'delayed', true, 'that can be claimed');
select is(t.complete('delayed'), 'completed', 'and completed');
select is_empty($$select h.run_id from perdure.history_events h group by h.run_id having count(*) <> max(h.event_id)$$,
    'without a gap');

-- Cancellation
select t.start('c') \g /dev/null
select is(perdure.cancel_workflow('c', 'enough'), t.run('c'), 'a cancellation answers with the run');
select is(perdure.cancel_workflow('c', 'really'), t.run('c'), 'a second one, too');
select is(t.history('c', 3), '3 WorkflowExecutionCancelRequested', 'and changes nothing');
select is(t.status('c'), 'Running', 'it is up to the run''s code');
select is(t.event('c', 3), '{"cause": "enough", "identity": "postgres"}', 'which learns the reason');
select t.claim(), t.complete('c', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.status('c'), 'Completed', 'and may complete all the same');

-- How runs end: results, failures, and nothing pending
select t.at(100), t.start(id) from unnest(array['completed', 'failed', 'canceled', 'terminated', 'timed-out']) id
    \g /dev/null
select t.claim(), t.complete('completed', jsonb_build_array(t.command('CompleteWorkflowExecution',
    jsonb_build_object('result', t.data('{"a": [1]}'))))),
    t.complete('failed', jsonb_build_array(t.command('FailWorkflowExecution', t.failure('no')))),
    t.complete('canceled', jsonb_build_array(t.activity('a'), t.timer('x', '60s'),
        t.command('CancelWorkflowExecution', jsonb_build_object('details', t.data('1'))))),
    perdure.terminate_workflow('terminated', 'because', t.run('terminated')) \g /dev/null
select t.start('ended', '{"workflowExecutionTimeout": "10s"}'), t.at(110), t.upkeep() \g /dev/null
select results_eq($$select r.status, r.result, r.failure, r.close_time
    from unnest(array['completed', 'failed', 'canceled', 'terminated', 'ended']) with ordinality i (id, n)
    cross join lateral perdure.workflow_result(i.id) r order by n$$, $$values
    ('Completed', '{"a": [1]}'::jsonb, null::jsonb, timestamptz '2026-01-01 00:01:40Z'),
    ('Failed', null, '{"message": "no", "applicationFailureInfo": {"type": "Error"}}', '2026-01-01 00:01:40Z'),
    ('Canceled', null, '{"source": "Perdure", "message": "the workflow was canceled", '
        '"canceledFailureInfo": {"details": [{"data": 1, "encoding": "json/plain"}]}}', '2026-01-01 00:01:40Z'),
    ('Terminated', null, '{"source": "Perdure", "message": "because", "terminatedFailureInfo": {}}',
        '2026-01-01 00:01:40Z'),
    ('TimedOut', null, '{"source": "Perdure", "message": "the workflow timed out", '
        '"timeoutFailureInfo": {"timeoutType": "StartToClose"}}', '2026-01-01 00:01:50Z')$$,
    'a result for each way to end');
select is_empty($$select from perdure.pending_activities where workflow_id = 'canceled'$$,
    'with a run end its activities');
select is_empty($$select from perdure.pending_timers where workflow_id in ('canceled', 'ended')$$, 'its timers');
select is_empty($$select from perdure.pending_workflow_tasks where workflow_id
    in ('completed', 'failed', 'canceled', 'terminated', 'ended')$$, 'and its workflow tasks');
select results_eq($$select history_length::int, close_time, duration from perdure.workflows
    where workflow_id = 'ended'$$,
    $$values (3, timestamptz '2026-01-01 00:01:50Z', interval '10 s')$$, 'its length, end and duration are kept');

-- Other calls report that the run has closed
select is(t.refusal(sql), code, sql) from (values
    ('select perdure.signal_workflow(''ended'', ''x'')', 'PD006'),
    ('select perdure.terminate_workflow(''ended'')', 'PD006'),
    ('select perdure.terminate_workflow(''completed'', run_id => t.run(''completed''))', 'PD006'),
    ('select perdure.signal_workflow(''none'', ''x'')', 'PD001'),
    ('select perdure.cancel_workflow(''none'')', 'PD001'),
    ('select perdure.terminate_workflow(''none'')', 'PD001'),
    ('select perdure.describe_workflow(''none'')', 'PD001'),
    ('select perdure.workflow_result(''none'')', 'PD001'),
    ('select perdure.signal_workflow(''s'', ''x'', run_id => t.run(''c''))', 'PD001'),
    ('select perdure.describe_workflow(''s'', gen_random_uuid())', 'PD001'),
    ('select perdure.signal_workflow(''s'', '''')', 'PD003'),
    ('select perdure.signal_workflow(''s'', null)', 'PD003'),
    ('select perdure.signal_workflow('''', ''x'')', 'PD003'),
    ('select perdure.signal_workflow(''s'', ''x'', namespace => ''none'')', 'PD005'),
    ('select perdure.terminate_workflow(''s'', namespace => null)', 'PD005'),
    ('select perdure.signal_workflow(0::smallint, ''default'', ''s'', null, ''x'', ''{}'')', 'PD003'),
    ('select perdure.signal_workflow(1::smallint, ''default'', ''s'', null, ''x'')', 'PD003'),
    ('select perdure.signal_workflow(''s'', ''x'', to_jsonb(repeat(''x'', 2097152)))', 'PD004'),
    ('select perdure.terminate_workflow(0::smallint, ''default'', ''s'', null, ''x'', ''5'')', 'PD003'),
    ('select perdure.signal_with_start_workflow(''T'', ''s'', ''q'', '''')', 'PD003')
) r (sql, code);

select is(perdure.cancel_workflow('ended'), t.run('ended'), 'to cancel a closed run changes nothing, as in Temporal');

-- A workflow id that was started again: a call without a run id means the latest run
select t.at(200), t.start('again'), perdure.terminate_workflow('again'), t.at(201), t.start('again') \g /dev/null
create function t.runs(p_id text) returns uuid[] language sql as $$ select array_agg(run_id order by start_time)
    from perdure.workflows where workflow_id = p_id $$;
select is(perdure.signal_workflow('again', 'x'), (t.runs('again'))[2], 'a signal goes to the latest run');
select is(t.refusal(format('select perdure.signal_workflow(%L, %L, run_id => %L)', 'again', 'x', (t.runs('again'))[1])),
    'PD006', 'or to the one that is named');
select is((perdure.describe_workflow('again', (t.runs('again'))[1])) ->> 'status', 'Terminated',
    'and so it is described');

-- Deletion
select t.start('delete') \g /dev/null
select is(t.refusal($$select perdure.delete_workflow(0::smallint, 'default', 'delete', null)$$), 'PD003',
    'a running workflow is not deleted');
select perdure.terminate_workflow('delete') \g /dev/null
create temp table first as select (t.runs('again'))[1] as run_id;
select is(perdure.delete_workflow(0::smallint, 'default', 'again', run_id), run_id, 'one run is deleted') from first;
select is(cardinality(t.runs('again')), 1, 'and no other');
select isnt(perdure.delete_workflow(0::smallint, 'default', 'delete', null), null, 'a closed workflow is deleted');
select is_empty($$select from perdure.history_events where workflow_id = 'delete'$$, 'with its history');
select is(t.refusal($$select perdure.describe_workflow('delete')$$), 'PD001', 'and is no more');
select is(t.refusal($$select perdure.delete_workflow(0::smallint, 'default', 'delete', null)$$), 'PD001',
    'nor can be deleted again');

-- Retention: closed runs go when their namespace no longer keeps them
select t.terminate_all(), perdure.create_namespace('brief', '1 day'),
    perdure.start_workflow('T', 'r', 'q', namespace => 'brief') \g /dev/null
select perdure.terminate_workflow('r', namespace => 'brief'),
    perdure.start_workflow('T', 'open', 'q', namespace => 'brief') \g /dev/null
select t.at(201 + 86400), t.upkeep(), perdure.delete_expired(0::smallint) \g /dev/null
select is((select count(*) from perdure.workflows where namespace = 'brief'), 2::bigint,
    'a run is kept for its namespace''s time');
select t.at(201.001 + 86400) \g /dev/null
select is(t.upkeep(), '', 'upkeep deletes nothing');
select is((select (deleted_executions, is_more)::text from perdure.delete_expired(0::smallint)), '(1,f)',
    'and then it is deleted, by a call of its own');
select results_eq($$select workflow_id collate "default" from perdure.workflows where namespace = 'brief'$$,
    array['open'], 'open runs never are');
select is_empty($$select from perdure.history_events where namespace = 'brief' and workflow_id = 'r'$$,
    'its history goes with it');
select cmp_ok((select count(*) from perdure.workflows where namespace = 'default'), '>', 5::bigint,
    'other namespaces keep theirs');
select perdure.create_namespace('brief', '2 days') \g /dev/null
select is((select retention from perdure.namespaces where namespace = 'brief'), interval '2 days',
    'the time can be changed');
select is(t.refusal($$select perdure.create_namespace('')$$), 'PD003', 'a namespace has a name');
select is(t.refusal($$select perdure.create_namespace(repeat('x', 256))$$), 'PD003', 'which is not too long');
select is(t.refusal($$select perdure.create_namespace('x', '0')$$), 'PD003', 'and keeps runs for some time');
select is(t.refusal($$select perdure.create_namespace('x', null)$$), 'PD003', 'that is known');

-- Search attributes
select is(t.refusal(sql), code, regexp_replace(sql, '\s+', ' ', 'g')) from (values
    ('select perdure.add_search_attribute(''a'', ''Keyword'')', 'accepted'),
    ('select perdure.add_search_attribute(''a'', ''Keyword'')', 'accepted'),
    ('select perdure.add_search_attribute(''a'', ''Int'')', 'PD008'),
    ('select perdure.add_search_attribute(''b'', ''text'')', 'PD003'),
    ('select perdure.add_search_attribute('''', ''Text'')', 'PD003'),
    ('select perdure.add_search_attribute(''b'', ''Text'', ''none'')', 'PD005'),
    ('select perdure.add_search_attribute(''i'', ''Int''), perdure.add_search_attribute(''d'', ''Double''),
        perdure.add_search_attribute(''b'', ''Bool''), perdure.add_search_attribute(''t'', ''Datetime''),
        perdure.add_search_attribute(''l'', ''KeywordList''), perdure.add_search_attribute(''x'', ''Text'')',
            'accepted')
) r (sql, code);
select is(t.refusal(format('select t.start(%L, %L)', 'attribute-' || n,
    jsonb_build_object('searchAttributes', attributes))), code, attributes::text) from (values
    (0, '{"i": 5, "d": 1.5, "b": true, "t": "2026-01-31T09:00:00Z", "l": ["x", "y"], "x": "some words", '
        '"a": "k"}'::jsonb, 'accepted'),
    (1, '{"i": 5.0}', 'accepted'),
    (2, '{"i": 5.5}', 'PD008'),
    (3, '{"i": "5"}', 'PD008'),
    (4, '{"d": "NaN"}', 'PD008'),
    (5, '{"b": "true"}', 'PD008'),
    (6, '{"b": 1}', 'PD008'),
    (7, '{"t": "today"}', 'PD008'),
    (8, '{"t": "2026-02-30T00:00:00Z"}', 'PD008'),
    (9, '{"t": "2026-01-31T09:00:00"}', 'PD008'),
    (10, '{"t": 5}', 'PD008'),
    (11, '{"l": "x"}', 'PD008'),
    (12, '{"l": [1]}', 'PD008'),
    (13, '{"l": []}', 'accepted'),
    (14, '{"x": ["x"]}', 'PD008'),
    (15, '{"a": null}', 'accepted'),
    (16, '{"a": {}}', 'PD008')
) r (n, attributes, code);
select is((select search_attributes from perdure.workflows where workflow_id = 'attribute-15'), '{}',
    'null is no value');
select perdure.start_workflow('T', 'keep', 'q', options => '{"searchAttributes": {"a": "1", "i": 1}}'), t.claim(),
    t.complete('keep', jsonb_build_array(t.command('UpsertWorkflowSearchAttributes',
        '{"searchAttributes": {"i": null, "d": 2}}'))) \g /dev/null
select is((select search_attributes from perdure.workflows where workflow_id = 'keep'), '{"a": "1", "d": 2}',
    'an upsert changes some, and null takes one away');

-- Describing: all in one
select t.start('describe'), t.claim(), t.complete('describe', jsonb_build_array(t.activity('a'), t.timer('x', '60s'))),
    perdure.signal_workflow('describe', 's') \g /dev/null
select is((select jsonb_build_array(d ->> 'status', d #>> '{pending_activities,0,activity_id}',
    d #>> '{pending_timers,0,timer_id}', d #>> '{pending_workflow_task,state}', d -> 'history_length')
    from perdure.describe_workflow('describe') d), '["Running", "a", "x", "Scheduled", 8]',
        'a description has the run and all that is pending');
select is((select d -> 'pending_workflow_task' from perdure.describe_workflow('ended') d), 'null',
    'and nothing where nothing is');

-- History by pages
select is(jsonb_path_query_array(perdure.get_history(0::smallint, t.run('describe')), '$[*].firstEventId'), '[1, 3, 7]',
    'a history comes in batches');
select is(jsonb_path_query_array(perdure.get_history(0::smallint, t.run('describe'), 4), '$[*].firstEventId'), '[3, 7]',
    'from the one that holds an event');
select is(jsonb_path_query_array(perdure.get_history(0::smallint, t.run('describe'), 3, 1), '$[*].firstEventId'), '[3]',
    'so many');
select is(perdure.get_history(0::smallint, t.run('describe'), 9), '[]', 'and none behind the last');
select is(perdure.get_history(0::smallint, gen_random_uuid()), '[]', 'nor of no run');
select results_eq($$select h.history from perdure.get_histories(0::smallint,
    array[t.run('describe'), t.run('keep'), gen_random_uuid()], array[4, 1, 1]) with ordinality h
    order by h.ordinality$$,
    $$values (perdure.get_history(0::smallint, t.run('describe'), 4)),
        (perdure.get_history(0::smallint, t.run('keep'))), ('[]')$$,
    'histories read together are what they are alone');
select results_eq($$select jsonb_path_query_array(h.history, '$[*].firstEventId'),
    jsonb_path_query_array(h.history, '$[*].eventTime'), jsonb_path_query_array(h.history, '$[*].events[*].eventType')
        from (select g.history::jsonb as history, g.ordinality
            from perdure.get_histories_as_stored(0::smallint,
                array[t.run('describe'), t.run('keep'), gen_random_uuid()], array[4, 1, 1]) with ordinality g) h
                order by h.ordinality$$,
    $$select jsonb_path_query_array(h.history, '$[*].firstEventId'),
        jsonb_path_query_array(h.history, '$[*].eventTime'),
        jsonb_path_query_array(h.history, '$[*].events[*].eventType')
        from perdure.get_histories(0::smallint, array[t.run('describe'), t.run('keep'), gen_random_uuid()],
            array[4, 1, 1]) with ordinality h order by h.ordinality$$,
    'nor are there other events in them as they are stored');

select * from finish();
rollback;
