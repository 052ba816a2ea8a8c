-- Updates: delivered with a workflow task, accepted, completed or rejected; a rejected one leaves no event.
begin;
\ir support/engine.psql
select no_plan();

-- The updates that a worker was given, and the messages that it sends.
create table t.delivered (workflow_id text primary key, updates jsonb);
create function t.take(p_worker int default 1) returns text language sql
as $$
    with c as (select * from perdure.claim_workflow_tasks(0::smallint, t.worker(p_worker), 'q', 100)),
    kept as (
        insert into t.workflow_task as w select p_worker, c.workflow_id, c.run_id, c.attempt, c.scheduled_event_id,
            c.started_event_id, c.history_from, c.history from c
        on conflict (worker, workflow_id) do update set run_id = excluded.run_id, attempt = excluded.attempt,
            scheduled_event_id = excluded.scheduled_event_id,
            started_event_id = excluded.started_event_id, history_from = excluded.history_from,
                history = excluded.history),
    told as (insert into t.delivered as d select c.workflow_id, c.updates from c on conflict (workflow_id) do update
        set updates = excluded.updates)
    select coalesce(string_agg(c.workflow_id || coalesce(':'
        || (select string_agg(u.value #>> '{meta,updateId}', ',' order by u.ordinality)
        from jsonb_array_elements(c.updates) with ordinality u), ''), ' ' order by c.workflow_id), '') from c
$$;
create function t.accepts(p_update text) returns jsonb language sql immutable
as $$ select jsonb_build_object('id', p_update || '/accept', 'protocolInstanceId', p_update, 'body', jsonb_build_object(
    '@type', 'type.googleapis.com/temporal.api.update.v1.Acceptance', 'acceptedRequestMessageId', p_update
        || '/request', 'acceptedRequestSequencingEventId', 2)) $$;
create function t.rejects(p_update text, p_message text default 'no') returns jsonb language sql immutable
as $$ select jsonb_build_object('id', p_update || '/reject', 'protocolInstanceId', p_update, 'body', jsonb_build_object(
    '@type', 'type.googleapis.com/temporal.api.update.v1.Rejection', 'failure',
        jsonb_build_object('message', p_message))) $$;
create function t.responds(p_update text, p_outcome jsonb default
    '{"success": [{"encoding": "json/plain", "data": "done"}]}') returns jsonb language sql immutable
as $$ select jsonb_build_object('id', p_update || '/complete', 'protocolInstanceId', p_update, 'body',
    jsonb_build_object(
    '@type', 'type.googleapis.com/temporal.api.update.v1.Response', 'outcome', p_outcome)) $$;
create function t.says(p_id text, p_messages jsonb, p_commands jsonb default null, p_worker int default 1,
    p_sticky boolean default false) returns text language sql
as $$
    select c.outcome || coalesce(' ' || nullif(c.failure ->> 'message', ''), '') from t.workflow_task w
    cross join lateral perdure.complete_workflow_tasks(0::smallint, t.worker(p_worker),
        jsonb_build_array(jsonb_build_object('runId', w.run_id,
        'scheduledEventId', w.scheduled_event_id, 'attempt', w.attempt, 'sticky', p_sticky, 'messages', p_messages,
            'commands', coalesce(p_commands, (
            select coalesce(jsonb_agg(jsonb_build_object('commandType', 'ProtocolMessage', 'attributes',
                jsonb_build_object('messageId', m.value ->> 'id')) order by m.ordinality), '[]')
            from jsonb_array_elements(p_messages) with ordinality m where m.value #>> '{body,@type}'
                not like '%Rejection'))))) c
    where w.worker = p_worker and w.workflow_id = p_id
$$;
create function t.outcome(p_id text, p_update text) returns text language sql
as $$ select concat_ws(' ', r.state, r.result, r.failure ->> 'message') from perdure.update_result(p_id, p_update) r $$;
create function t.update(p_id text, p_update text, p_name text default 'add') returns text language sql
as $$ select u.state from perdure.update_workflow(0::smallint, 'default', p_id, null, p_update, p_name, t.data('1'),
    'client') u $$;
create function t.sound() returns setof text language sql
as $$ select is_empty('select kind, what from perdure.violations()', 'and no rule is broken') $$;
create function t.ready(p_id text) returns void language plpgsql
as $$ begin perform t.start(p_id); perform t.take(); perform t.complete(p_id); end $$;
select t.at(0), t.register(1), t.register(2) \g /dev/null

-- An update of a run that is idle
select t.ready('idle') \g /dev/null
select is(perdure.update_workflow('idle', 'add', '{"n": 1}', 'u1'), 'u1', 'an update has an id');
select is(t.history('idle', 4), '4 WorkflowTaskCompleted', 'and no event');
select is(t.outcome('idle', 'u1'), 'admitted', 'it waits for a worker');
select t.sound();
select is(t.take(), 'idle:u1', 'which gets it with a workflow task');
select is((select updates from t.delivered where workflow_id = 'idle'),
    '[{"meta": {"updateId": "u1", "identity": "postgres"},
    "input": {"name": "add", "args": [{"encoding": "json/plain", "data": {"n": 1}}]}}]', 'as it was sent');
select results_eq($$select scheduled_event_id, started_event_id,
    jsonb_path_query_array(history, '$[*].events[*].eventType') from t.workflow_task where workflow_id = 'idle'$$,
    $$values (5::bigint, 6::bigint,
        '["WorkflowExecutionStarted", "WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskCompleted", '
            '"WorkflowTaskScheduled", "WorkflowTaskStarted"]'::jsonb)$$,
    'whose events it is told');
select is(t.history('idle', 4), '4 WorkflowTaskCompleted', 'though nothing is written yet');
select t.sound();
select is(t.says('idle', jsonb_build_array(t.accepts('u1'), t.responds('u1'))), 'completed',
    'it accepts and completes it');
select is(t.history('idle', 4),
    '4 WorkflowTaskCompleted 5 WorkflowTaskScheduled 6 WorkflowTaskStarted 7 WorkflowTaskCompleted '
    || '8 WorkflowExecutionUpdateAccepted 9 WorkflowExecutionUpdateCompleted', 'and now all is written');
select is(t.event('idle', 8),
    '{"protocolInstanceId": "u1", "acceptedRequestMessageId": "u1/request", "acceptedRequestSequencingEventId": 2,
    "acceptedRequest": {"meta": {"updateId": "u1", "identity": "postgres"},
    "input": {"name": "add", "args": [{"encoding": "json/plain", "data": {"n": 1}}]}}}', 'the request');
select is(t.event('idle', 9),
    '{"meta": {"updateId": "u1", "identity": "postgres"}, "acceptedEventId": 8, '
        '"outcome": {"success": [{"encoding": "json/plain", "data": "done"}]}}', 'and the outcome');
select is(t.outcome('idle', 'u1'), 'completed "done"', 'which the client reads');
select is(t.update('idle', 'u1'), 'completed', 'a repeat finds it');
select is(t.take(), '', 'and makes no workflow task');
select t.sound();

-- A rejected one
select is(t.update('idle', 'bad'), 'admitted', 'another one');
select is(t.take(), 'idle:bad', 'comes to the worker');
select is(t.says('idle', jsonb_build_array(t.rejects('bad', 'not now'))), 'dropped', 'which rejects it');
select is(t.history('idle', 9), '9 WorkflowExecutionUpdateCompleted', 'and that leaves no event');
select is(t.outcome('idle', 'bad'), 'rejected not now', 'the client learns why');
select t.sound();
select is(t.update('idle', 'bad'), 'admitted', 'its id can be used again');
select is(t.take(2), 'idle:bad', 'for another worker');
select results_eq($$select scheduled_event_id, started_event_id, history_from from t.workflow_task
    where workflow_id = 'idle' and worker = 2$$, 'values (10::bigint, 11::bigint, 1::bigint)', 'with the same ids');
select is(t.says('idle', jsonb_build_array(t.rejects('bad')), null, 2, true), 'dropped', 'which rejects it, too');
select t.update('idle', 'u2') \g /dev/null
select is(t.take(1), '', 'the next one is kept for the worker that has the run cached');
select is(t.take(2), 'idle:u2', 'and comes to it');
select is((select history_from from t.workflow_task where workflow_id = 'idle' and worker = 2), 10::bigint,
    'with what is new alone');
select is(t.says('idle', jsonb_build_array(t.accepts('u2')), null, 2, true), 'completed', 'accepted alone');
select is(t.outcome('idle', 'u2'), 'accepted', 'is a stage');
select perdure.signal_workflow('idle', 'go') \g /dev/null
select is(t.take(2), 'idle', 'a later task');
select is(t.says('idle', jsonb_build_array(t.responds('u2', '{"failure": {"message": "broken"}}')), null, 2, true),
    'completed', 'completes it');
select is(t.outcome('idle', 'u2'), 'completed broken', 'with a failure');
select is(t.history('idle', 10),
    '10 WorkflowTaskScheduled 11 WorkflowTaskStarted 12 WorkflowTaskCompleted 13 WorkflowExecutionUpdateAccepted '
        '14 WorkflowExecutionSignaled '
    || '15 WorkflowTaskScheduled 16 WorkflowTaskStarted 17 WorkflowTaskCompleted 18 WorkflowExecutionUpdateCompleted',
        'as Temporal writes it');
select t.sound();
select t.at(100) \g /dev/null
select perdure.delete_expired(0::smallint) \g /dev/null
select is(t.refusal($$select * from perdure.update_result('idle', 'bad')$$), 'PD012',
    'a rejection is forgotten after a minute');
select is(t.outcome('idle', 'u1'), 'completed "done"', 'an outcome is not');

-- Updates and signals that come while a task is started
select t.ready('busy'), t.update('busy', 'a'), perdure.signal_workflow('busy', 'go') \g /dev/null
select is(t.history('busy', 4), '4 WorkflowTaskCompleted 5 WorkflowTaskScheduled 6 WorkflowExecutionSignaled',
    'a signal makes a task one that is written');
select is(t.take(), 'busy:a', 'it delivers both');
select is(t.update('busy', 'b'), 'buffered', 'an update that comes while a task is started');
select t.sound();
select is(t.says('busy', jsonb_build_array(t.rejects('a'))), 'completed', 'that task counts');
select is(t.history('busy', 5),
    '5 WorkflowTaskScheduled 6 WorkflowExecutionSignaled 7 WorkflowTaskStarted 8 WorkflowTaskCompleted',
    'and is written, though it rejects');
select is(t.take(), 'busy:b', 'waits for the next');
select t.update('busy', 'c'), perdure.signal_workflow('busy', 'again') \g /dev/null
select is(t.says('busy', jsonb_build_array(t.rejects('b'))), 'completed', 'a signal that came while it ran keeps it');
select is(t.history('busy', 9),
    '9 WorkflowTaskScheduled 10 WorkflowTaskStarted 11 WorkflowTaskCompleted 12 WorkflowExecutionSignaled '
        '13 WorkflowTaskScheduled', 'written');
select is(t.take(), 'busy:c', 'the next one delivers what else came');
select is(t.says('busy', '[]'), 'completed', 'a worker that says nothing');
select is(t.outcome('busy', 'c'),
    'rejected Workflow Update is rejected because it wasn''t processed by worker. Probably, '
        'Workflow Update is not supported by the worker.', 'rejects');
select t.update('busy', 'd') \g /dev/null
select is(t.take() || t.says('busy', '[]'), 'busy:ddropped', 'an update that it does not know, too');
select t.sound();

-- Tasks that fail, time out, are handed back, or lose their worker
select t.ready('ill'), t.update('ill', 'a') \g /dev/null
select is(t.take(), 'ill:a', 'a task');
select t.update('ill', 'b'), t.fail('ill') \g /dev/null
select is(t.history('ill', 4),
    '4 WorkflowTaskCompleted 5 WorkflowTaskScheduled 6 WorkflowTaskStarted 7 WorkflowTaskFailed',
    'that fails is written');
select t.sound();
select is(t.take(), 'ill:a,b', 'the next attempt delivers all');
select is(t.says('ill', jsonb_build_array(t.rejects('a'), t.accepts('b'), t.responds('b'))), 'completed', 'and counts');
select is(t.history('ill', 8),
    '8 WorkflowTaskScheduled 9 WorkflowTaskStarted 10 WorkflowTaskCompleted 11 WorkflowExecutionUpdateAccepted '
        '12 WorkflowExecutionUpdateCompleted', 'as ever');
select t.update('ill', 'c'), t.take() \g /dev/null
select t.update('ill', 'd') \g /dev/null
select is(perdure.release_tasks(0::smallint, t.worker(1),
    jsonb_build_array(jsonb_build_object('kind', 'workflow', 'runId', t.run('ill')))), 1, 'a task that is handed back');
select t.sound();
select is(t.take(2), 'ill:c,d', 'delivers all to another worker');
select is(t.says('ill', jsonb_build_array(t.rejects('c'), t.rejects('d')), null, 2, true), 'dropped',
    'and leaves nothing');
select t.update('ill', 'e'), t.at(110), t.upkeep() \g /dev/null
select is(t.history('ill', 13), '13 WorkflowTaskScheduled 14 WorkflowTaskTimedOut 15 WorkflowTaskScheduled',
    'a worker that has the run cached and does not come is not waited for');
select t.sound();
select is(t.take(), 'ill:e', 'so that another one');
select t.at(130), t.upkeep() \g /dev/null
select is(t.history('ill', 16), '16 WorkflowTaskStarted 17 WorkflowTaskTimedOut', 'or none');
select is(t.take() || t.says('ill', jsonb_build_array(t.rejects('e'))), 'ill:ecompleted', 'does it');
select t.sound();
select t.ready('broken'), t.update('broken', 'a') \g /dev/null
select is(t.take() || t.says('broken', jsonb_build_array(t.accepts('nothing'))),
    'broken:afailed Acceptance of update nothing, which is not there', 'an answer to what was not asked');
select is(t.take() || t.says('broken', jsonb_build_array(t.responds('a'))),
    'broken:afailed Response of update a, which is admitted', 'or out of order');
select t.at(140), t.upkeep() \g /dev/null
select is(t.take() || t.says('broken', jsonb_build_array(t.accepts('a')),
    '[{"commandType": "ProtocolMessage", "attributes": {"messageId": "x"}}]'),
    'broken:afailed there is no one message x that a command names', 'or of a message that is not there');
select is(t.refusal($$select t.update('broken', 'z')$$), 'PD017', 'a run whose tasks fail takes no more');
select is(t.refusal($$select t.update('broken', 'a')$$), 'PD017', 'nor a repeat of what it has not accepted');
select t.at(150), t.upkeep(), t.take() \g /dev/null
select is(t.says('broken', jsonb_build_array(t.accepts('a'), t.responds('a'))), 'completed', 'until they do not');
select is(t.outcome('broken', 'a'), 'completed "done"', 'then all is well');
select t.sound();
-- An update that makes the tasks fail
select t.ready('poisoned'), t.update('poisoned', 'accepted'), t.take(),
    t.says('poisoned', jsonb_build_array(t.accepts('accepted'))), t.update('poisoned', 'bad') \g /dev/null
select is(t.take() || t.says('poisoned', jsonb_build_array(t.accepts('nothing'))),
    'poisoned:badfailed Acceptance of update nothing, which is not there', 'its task fails');
select is(perdure.forget_updates('poisoned'), 0, 'after one failure nothing is forgotten');
select is(t.take() || t.says('poisoned', jsonb_build_array(t.accepts('nothing'))),
    'poisoned:badfailed Acceptance of update nothing, which is not there', 'and fails again');
select is(t.refusal($$select t.update('poisoned', 'good')$$), 'PD017', 'two failures: it takes no update');
select is(perdure.forget_updates('poisoned'), 1, 'after two what is not accepted is forgotten');
select is(t.refusal($$select t.outcome('poisoned', 'bad')$$), 'PD012', 'it is not there any more');
select is(t.outcome('poisoned', 'accepted'), 'accepted', 'what was accepted stays');
select is(t.refusal($$select perdure.forget_updates('nobody')$$), 'PD001', 'of a run that there is');
select t.sound();
select t.at(160), t.upkeep() \g /dev/null
select is(t.take() || t.says('poisoned', jsonb_build_array(t.responds('accepted'))), 'poisonedcompleted',
    'the next task has no update, and the run goes on');
select t.sound();

-- Runs that end
select t.ready('over'), t.update('over', 'done'), t.take(),
    t.says('over', jsonb_build_array(t.accepts('done'), t.responds('done'))), t.update('over', 'open'), t.take(),
    t.says('over', jsonb_build_array(t.accepts('open'))), t.update('over', 'late'), t.take() \g /dev/null
select t.update('over', 'later'), perdure.terminate_workflow('over') \g /dev/null
select is(t.history('over', 14),
    '14 WorkflowTaskScheduled 15 WorkflowTaskStarted 16 WorkflowTaskFailed 17 WorkflowExecutionTerminated',
    'the task is written when its run is terminated');
select is(t.outcome('over', 'done'), 'completed "done"', 'an outcome stays');
select is(t.outcome('over', 'open'),
    'completed Workflow Update failed because the Workflow completed before the Update completed.',
    'what was accepted has failed');
select is(t.outcome('over', 'late') || t.outcome('over', 'later'), 'abortedaborted', 'what was not, is aborted');
select is(t.update('over', 'done'), 'completed', 'a repeat finds it');
select is(t.refusal($$select t.update('over', 'new')$$), 'PD006', 'a closed run takes nothing else');
select is(t.refusal($$select t.update('over', 'late')$$), 'PD006', 'nor what it did not see');
select is(t.refusal($$select t.update('nowhere', 'x')$$), 'PD001', 'no run, no update');
select t.sound();
select t.ready('ends'), t.update('ends', 'a'), t.take() \g /dev/null
select is(t.says('ends', jsonb_build_array(t.accepts('a'), t.responds('a')), jsonb_build_array(
    '{"commandType": "ProtocolMessage", "attributes": {"messageId": "a/accept"}}'::jsonb, t.activity('x'),
        '{"commandType": "ProtocolMessage", "attributes": {"messageId": "a/complete"}}'::jsonb,
    t.command('CompleteWorkflowExecution'))), 'completed', 'an update that ends its run');
select is(t.history('ends', 7),
    '7 WorkflowTaskCompleted 8 WorkflowExecutionUpdateAccepted 9 ActivityTaskScheduled '
        '10 WorkflowExecutionUpdateCompleted 11 WorkflowExecutionCompleted', 'its events stand where the commands say');
select is(t.outcome('ends', 'a'), 'completed "done"', 'and it has its outcome');
select perdure.delete_workflow(0::smallint, 'default', 'ends', t.run('ends')) \g /dev/null
select is_empty($$select from perdure.workflow_updates where workflow_id = 'ends'$$, 'which goes with the run');
select t.sound();

-- Before the first task, and in a start delay
select t.start('new'), t.update('new', 'a') \g /dev/null
select is(t.take() || t.says('new', jsonb_build_array(t.rejects('a'))), 'new:acompleted', 'a first task is written');
select is(t.history('new'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskCompleted',
    'whatever it decides');
select t.start('delayed', '{"workflowStartDelay": "60s"}'), t.update('delayed', 'a') \g /dev/null
select is(t.take(), 'delayed:a', 'an update ends a start delay');
select t.complete('delayed') \g /dev/null
select t.sound();

-- With start
create function t.update_with_start(p_id text, p_update text,
    p_options jsonb default '{"workflowIdConflictPolicy": "UseExisting"}') returns text language sql
as $$ select case when u.started then 'started ' else 'found ' end || u.state
    from perdure.update_with_start_workflow(0::smallint, 'default', p_id, 'T', 'q', '[]', p_options, p_update, 'add',
    '[]', 'me') u $$;
select is(t.update_with_start('both', 'a'), 'started admitted', 'update-with-start starts');
select is(t.update_with_start('both', 'a'), 'found admitted', 'and finds');
select is(t.take() || t.says('both', jsonb_build_array(t.accepts('a'), t.responds('a'))), 'both:acompleted',
    'in one task');
select is(t.history('both'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskCompleted '
        '5 WorkflowExecutionUpdateAccepted 6 WorkflowExecutionUpdateCompleted', 'as Temporal writes it');
select is(t.update_with_start('both', 'b'), 'found admitted', 'another update of the run that there is');
select is(t.refusal($$select t.update_with_start('both', 'c', '{"workflowIdConflictPolicy": "Fail"}')$$), 'PD002',
    'if the policy allows');
select is(t.update_with_start('both', 'a', '{"workflowIdConflictPolicy": "Fail"}'), 'found completed',
    'unless it is a repeat');
select perdure.terminate_workflow('both') \g /dev/null
select is(t.update_with_start('both', 'a'), 'found completed', 'also of a run that is closed');
select is(t.update_with_start('both', 'b'), 'started admitted', 'else that starts anew');
select is(t.refusal($$select t.update_with_start('none', 'x', '{"workflowIdReusePolicy": "Never"}')$$), 'PD003',
    'what cannot start');
select is_empty($$select from perdure.workflows where workflow_id = 'none'$$, 'leaves nothing');
select t.take(), t.says('both', jsonb_build_array(t.rejects('b'))) \g /dev/null
select t.update('both', 'open'), t.take(), t.says('both', jsonb_build_array(t.accepts('open'))) \g /dev/null
select is(t.update_with_start('both', 'open'), 'found accepted', 'an accepted update of an open run is found');
select perdure.terminate_workflow('both') \g /dev/null
select is(t.update_with_start('both', 'open'), 'started admitted',
    'of a closed run one that it did not complete is not');
select t.sound();

-- Limits
select t.ready('many') \g /dev/null
select t.update('many', 'u' || n) from generate_series(1, 10) n \g /dev/null
select is(t.refusal($$select t.update('many', 'u11')$$), 'PD013', 'ten updates may be open');
select is(t.update('many', 'u3'), 'admitted', 'a repeat is none more');
select is(t.take(), 'many:u1,u2,u3,u4,u5,u6,u7,u8,u9,u10', 'all come together, in order');
select is(t.says('many', (select jsonb_agg(m) from generate_series(1, 9) n cross
    join lateral unnest(array[t.accepts('u' || n), t.responds('u' || n)]) m) || t.rejects('u10')), 'completed',
    'and are answered together');
select is(t.update('many', 'u11'), 'admitted', 'then there is room');
select t.take(), t.says('many', jsonb_build_array(t.rejects('u11'))) \g /dev/null
update perdure.run_states set updates_total = 2000 where run_id = t.run('many');
select is(t.refusal($$select t.update('many', 'u12')$$), 'PD014', 'a run takes 2000 at most');
update perdure.run_states set updates_total = 9 where run_id = t.run('many');
select is(t.refusal(sql), code, sql) from (values
    ($$select t.update('many', 'x', '')$$, 'PD003'),
    ($$select t.update('many', repeat('x', 1001))$$, 'PD003'),
    ($$select perdure.update_workflow(0::smallint, 'default', 'many', null, 'x', 'add', '{}')$$, 'PD003'),
    ($$select perdure.update_workflow(0::smallint, 'default', 'many', null, 'x', 'add',
        jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', repeat('x', 3000000))))$$, 'PD004'),
    ($$select * from perdure.update_result('many', 'nope')$$, 'PD012'),
    ($$select * from perdure.update_result('nowhere', 'nope')$$, 'PD001')) bad (sql, code);
select isnt(perdure.update_workflow('many', 'add'), '', 'an update without an id gets one');
select t.take() \g /dev/null
select t.sound();

-- Violations of the rules of updates are found
update perdure.run_states set updates_open = 7 where run_id = t.run('many');
delete from perdure.workflow_tasks where run_id = t.run('many');
update perdure.updates set state = 'accepted' where run_id = t.run('idle') and update_id = 'u1';
select results_eq($$select distinct kind from perdure.violations() order by kind$$, $$values ('stuck update'),
    ('update in no state'), ('wrong number of updates')$$, 'violations knows them');
select * from finish();
rollback;
