-- Resets: a run ends, and another one goes on from one of its workflow tasks.
begin;
\ir support/engine.psql
select no_plan();

create function t.reset(p_id text, p_event bigint, p_options jsonb default '{}', p_run uuid default null,
    p_request text default null) returns uuid language sql
as $$ select perdure.reset_workflow(0::smallint, 'default', p_id, p_run, jsonb_build_object('eventId', p_event),
    'a mistake', p_request, 'me', p_options) $$;
create function t.violations() returns text language sql
as $$ select string_agg(v.kind || ': ' || v.what, E'\n') from perdure.violations() v $$;
create function t.decide(p_id text, variadic p_commands jsonb[] default '{}') returns text language plpgsql
as $$
begin
    perform t.claim();
    return t.complete(p_id, to_jsonb(p_commands));
end
$$;
create function t.signal(p_id text, p_name text, p_request text default null) returns void language sql
as $$ select perdure.signal_workflow(0::smallint, 'default', p_id, null, p_name, t.data('1'), 'client', p_request) $$;
create function t.completes() returns jsonb language sql
as $$ select t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.data('"well"'))) $$;
create function t.calls(p_activity text, p_type text, p_input jsonb default '1') returns jsonb language sql
as $$ select t.activity(p_activity, jsonb_build_object('activityType', jsonb_build_object('name', p_type),
    'input', t.data(p_input))) $$;
-- Claims activities, and returns each with its key. In the keys a run is named by its number among those of its id.
create function t.keys(p_id text) returns text language sql
as $$
    with c as (select * from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 100)),
    kept as (
        insert into t.activity_task as a
        select 1, c.workflow_id, c.activity_id, c.run_id, c.attempt, c.scheduled_event_id from c
        on conflict (worker, workflow_id, activity_id) do update set run_id = excluded.run_id,
            attempt = excluded.attempt, scheduled_event_id = excluded.scheduled_event_id)
    select string_agg(c.activity_id || '=' || coalesce((
            select w.run_number || ':' || split_part(c.idempotency_key, ':', 2) from perdure.workflows w
            where w.run_id = split_part(c.idempotency_key, ':', 1)::uuid), c.idempotency_key), ' '
        order by c.scheduled_event_id) from c where c.workflow_id = p_id
$$;
create function t.drain() returns int language plpgsql
as $$
declare
    v_transfer jsonb;
    v_outcome jsonb;
    v_done int := 0;
begin
    loop
        select p into v_transfer from perdure.pending_transfers(0::smallint,
            (select array_agg(w.run_id) from perdure.workflows w)) p limit 1;
        exit when not found;
        v_outcome := perdure.apply_transfer(0::smallint, v_transfer);
        perform perdure.finish_transfers(0::smallint, (v_transfer ->> 'runId')::uuid,
            jsonb_build_array(jsonb_build_object('id', v_transfer -> 'id', 'outcome', v_outcome)));
        v_done := v_done + 1;
    end loop;
    return v_done;
end
$$;

select t.register(2) \g /dev/null

-- A run with two activities goes back to its first workflow task
select t.start('a', '{"requestId": "started", "memo": {"m": {"encoding": "json/plain", "data": 1}},
    "workflowRunTimeout": "500s"}') \g /dev/null
select t.decide('a', t.calls('1', 'A')), t.claim_activities(), t.finish('a', '1'),
    t.decide('a', t.calls('2', 'B')), t.signal('a', 'note', 'r1'), t.run('a') as base \gset
select t.at(10) \g /dev/null
select is(t.reset('a', 4), t.run('a'), 'the new run is the current one');
select is((select string_agg(h.event_id || ' ' || h.event_type, ' ' order by h.event_id)
    from perdure.history_events h where h.run_id = :'base' and h.event_id > 12),
    '13 WorkflowTaskScheduled 14 WorkflowExecutionTerminated', 'the run that was reset is terminated');
select is((select h.attributes from perdure.history_events h where h.run_id = :'base' and h.event_id = 14),
    '{"reason": "a mistake", "identity": "history-resetter"}', 'with the reason, by the resetter, as in Temporal');
select is(t.history('a'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted '
    '4 WorkflowTaskFailed 5 WorkflowExecutionSignaled 6 WorkflowTaskScheduled',
    'the new one has what was before, the failure of its workflow task, and the signal again');
select is(t.event('a', 1) ->> 'originalExecutionRunId', :'base', 'the copied first event names the original run');
select is(t.event('a', 1) ->> 'firstExecutionRunId', :'base', 'and the first one of the chain');
select is(t.event('a', 4), jsonb_build_object('cause', 'ResetWorkflow', 'identity', 'history-service',
    'scheduledEventId', 2, 'startedEventId', 3, 'baseRunId', :'base', 'newRunId', t.run('a'), 'forkEventVersion', 0,
    'failure', '{"message": "a mistake", "resetWorkflowFailureInfo": {}}'::jsonb),
    'its failure says what was reset to what');
select is(t.event('a', 5), '{"signalName": "note", "input": [{"encoding": "json/plain", "data": 1}],
    "identity": "client", "requestId": "r1"}', 'the signal is as it was');
select is(t.event_second('a', 3), 0::numeric, 'copied events keep their times');
select is(t.event_second('a', 4), 10::numeric, 'new ones have theirs');
select is((select jsonb_build_array(w.run_number, w.reset_from_run_id, w.reset_event_id, w.reset_reason, w.memo,
    w.first_run_id) from perdure.workflows w where w.run_id = t.run('a')),
    jsonb_build_array(2, :'base', 4, 'a mistake', '{"m": {"encoding": "json/plain", "data": 1}}'::jsonb, :'base'),
    'lists tell where it comes from');
select is((select w.reset_run_id from perdure.workflows w where w.run_id = :'base'), t.run('a'),
    'and the run that was reset where it went');
select is((select extract(epoch from m.fire_at - timestamptz '2026-01-01 00:00:00Z') from perdure.timers m
    where m.run_id = t.run('a') and m.kind = 'run_timeout'), 510::numeric, 'the time of the run begins anew');
select is(t.violations(), null, 'no rule is broken');
select t.signal('a', 'note', 'r1') \g /dev/null
select is(t.history('a', 7), null, 'a repeat of the signal''s request changes nothing');
select is((select s.started from perdure.start_workflow(0::smallint, 'default', 'a', 'T', 'q', '[]',
    '{"requestId": "started"}') s), false, 'a repeat of the start''s request finds the workflow');

-- The keys of calls
select is(t.decide('a', t.calls('1', 'A')), 'completed', 'the code runs again');
select is(t.keys('a'), '1=1:1', 'the same call has the same key');
select t.finish('a', '1') \g /dev/null
select is(t.decide('a', t.calls('2', 'New'), t.calls('3', 'B')), 'completed', 'now it makes another call');
select is(t.keys('a'), '2=2:2 3=1:2', 'which has a key of its own; the old one keeps its key under another id');
select is((select r.repeats_calls from perdure.run_states r where r.run_id = t.run('a')), false,
    'nothing is left to repeat');
select is(t.violations(), null, 'no rule is broken');
select t.reset('a', 4) \g /dev/null
select t.decide('a', t.calls('1', 'A'), t.calls('2', 'New'), t.calls('3', 'B'), t.calls('4', 'B')) \g /dev/null
select is(t.keys('a'), '1=1:1 2=2:2 3=1:2 4=3:4',
    'a second reset knows the keys of both runs; one call more has its own');
select t.reset('a', 4, '{"newIdempotencyKeys": true}') \g /dev/null
select t.decide('a', t.calls('1', 'A'), t.calls('2', 'B')) \g /dev/null
select is(t.keys('a'), '1=4:1 2=4:2', 'who asks for it gets new keys');
select is(t.violations(), null, 'no rule is broken');
-- A codec may encrypt the same arguments differently each time, so the activity id decides.
select t.start('secret') \g /dev/null
select t.decide('secret', t.activity('1', '{"input": [{"encoding": "binary/encrypted", "data": "eA=="}]}'),
    t.activity('2', '{"input": [{"encoding": "binary/encrypted", "data": "eQ=="}]}')) \g /dev/null
select t.reset('secret', 4) \g /dev/null
select t.decide('secret', t.activity('2', '{"input": [{"encoding": "binary/encrypted", "data": "eg=="}]}'),
    t.activity('9', '{"input": [{"encoding": "binary/encrypted", "data": "eA=="}]}')) \g /dev/null
select is(t.keys('secret'), '2=1:2 9=2:9', 'encrypted arguments are the same by the id of the activity');

-- Activities and timers that had not ended
select t.at(100), t.start('w') \g /dev/null
select t.decide('w', t.calls('x', 'A'), t.calls('done', 'A'), t.timer('t', '30s'), t.timer('gone', '1s')),
    t.claim_activities(), t.finish('w', 'done'), t.at(102), t.upkeep(), t.decide('w'), t.run('w') as base \gset
select is(t.history('w', 9), '9 ActivityTaskStarted 10 ActivityTaskCompleted 11 WorkflowTaskScheduled 12 TimerFired '
    '13 WorkflowTaskStarted 14 WorkflowTaskCompleted', 'one activity and one timer have ended');
select t.at(110), t.reset('w', 14) \g /dev/null
select is(t.history('w', 13), '13 WorkflowTaskStarted 14 WorkflowTaskFailed 15 WorkflowTaskScheduled',
    'it goes back to its second workflow task');
select is((select jsonb_agg(jsonb_build_array(a.activity_id, a.state, a.attempt,
    extract(epoch from a.scheduled_at - timestamptz '2026-01-01 00:00:00Z')))
    from perdure.activity_tasks a where a.run_id = t.run('w')),
    '[["x", "scheduled", 1, 110]]', 'the activity that had not ended begins anew');
select is((select jsonb_agg(jsonb_build_array(m.timer_id, extract(epoch from m.fire_at - timestamptz
    '2026-01-01 00:00:00Z'))) from perdure.timers m where m.run_id = t.run('w')),
    '[["t", 130]]', 'the timer is due when it was');
select is(t.keys('w'), 'x=1:x', 'with its key');
select is(t.violations(), null, 'no rule is broken');
select is(t.finish('w', 'x'), 'completed', 'it ends');
select t.at(131), t.upkeep() \g /dev/null
select is(t.history('w', 15), '15 WorkflowTaskScheduled 16 ActivityTaskStarted 17 ActivityTaskCompleted 18 TimerFired',
    'and so does the timer');
select is(t.decide('w', t.completes()), 'completed', 'and the workflow');
select is(t.violations(), null, 'no rule is broken');
-- Pending calls with new keys.
select is(t.reset('w', 14, '{"newIdempotencyKeys": true}', :'base'), t.run('w'), 'a run that closed can be reset');
select is(t.keys('w'), 'x=3:x', 'an activity that had not ended has a new key where that is asked for');
select t.reset('w', 14) \g /dev/null
select is(t.keys('w'), 'x=3:x', 'and keeps that when the new run is reset');

-- Where a run can go back to
select t.at(200), t.start('p') \g /dev/null
select is(t.refusal($$select t.reset('p', 1)$$), 'PD003', 'there is no workflow task before event 1');
select is(t.refusal($$select t.reset('p', 2)$$), 'PD003', 'nor is one scheduled before its event');
select is(t.refusal($$select t.reset('p', 3)$$), 'PD003', 'an event that is not there yet');
select is(t.refusal($$select t.reset('none', 3)$$), 'PD001', 'no workflow');
select is(t.refusal($$select t.reset('p', 3, '{"resetReapplyType": "x"}')$$), 'PD003', 'no such type');
select is(t.refusal($$select t.reset('p', 3, '{"resetReapplyExcludeTypes": ["x"]}')$$), 'PD003', 'nor such a one');
select is(t.refusal($$select perdure.reset_workflow('p')$$), 'PD003', 'no place');
select is(t.refusal($$select perdure.reset_workflow('p', reset_type => 'x')$$), 'PD003', 'no such place');
select t.claim() \g /dev/null
select is(t.reset('p', 3), t.run('p'), 'a workflow task that is started can be gone back to');
select is(t.history('p'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted '
    '4 WorkflowTaskFailed 5 WorkflowTaskScheduled', 'the event of its start is written');
select is(t.event('p', 3), '{"scheduledEventId": 2, "identity": "history-service", "requestId": "emptyUuid"}',
    'as Temporal writes it');
select is(t.complete('p', '[]'), 'lost', 'who had the task of the run before has lost it');
select is(t.decide('p', t.command('RecordMarker', '{"markerName": "core_patch", "details":
    {"patch-data": [{"encoding": "json/plain", "data": {"id": "bad", "deprecated": false}}]}}')), 'completed',
    'the run takes a patch');
select t.signal('p', 'on'), t.claim(2), t.complete('p', '[]', 2), t.signal('p', 'more'), t.decide('p'),
    t.run('p') as base \gset
select is(t.history('p', 7), '7 WorkflowTaskCompleted 8 MarkerRecorded 9 WorkflowExecutionSignaled '
    '10 WorkflowTaskScheduled 11 WorkflowTaskStarted 12 WorkflowTaskCompleted 13 WorkflowExecutionSignaled '
    '14 WorkflowTaskScheduled 15 WorkflowTaskStarted 16 WorkflowTaskCompleted', 'and goes on');
create function t.point(p_to jsonb) returns bigint language sql
as $$ select perdure.reset_point(0::smallint, perdure.current_run(0::smallint, 'default', 'p'), p_to) $$;
select is(t.point('{"type": "FirstWorkflowTask"}'), 7::bigint, 'the first workflow task that was completed');
select is(t.point('{"type": "LastWorkflowTask"}'), 16::bigint, 'the last one');
select is(t.point('{"buildId": "build-2"}'), 12::bigint, 'the first one that a build did');
select is(t.point('{"patch": "bad"}'), 7::bigint, 'the first one that took a patch');
select is(t.refusal($$select t.point('{"patch": "good"}')$$), 'PD003', 'a patch that it did not take');
select is(t.refusal($$select t.point('{"buildId": "build-3"}')$$), 'PD003', 'a build that did none');
select is(t.refusal($$select t.reset('p', 9)$$), 'PD003', 'between workflow tasks there is no place');
select is((select string_agg(r.build_id || ' ' || r.event_id, ' ') from perdure.reset_points(0::smallint, :'base') r),
    'build-1 7 build-2 12', 'the builds that did workflow tasks of it');
select is(perdure.reset_workflow('p', build_id => 'build-2', reason => 'build 2 was wrong'), t.run('p'),
    'people reset by name');
select is(t.history('p', 12), '12 WorkflowTaskFailed 13 WorkflowExecutionSignaled 14 WorkflowTaskScheduled',
    'to before what that build did');
select is(t.violations(), null, 'no rule is broken');

-- A build has one place in a chain: where it began
select t.at(250), t.start('chain'), t.decide('chain'), t.run('chain') as first \gset
select t.signal('chain', 'on'), t.claim(2), t.complete('chain', '[]', 2),
    t.signal('chain', 'on'), t.decide('chain', t.command('ContinueAsNewWorkflowExecution',
        '{"workflowType": {"name": "T"}, "taskQueue": {"name": "q"}}')), t.decide('chain'),
    t.run('chain') as second \gset
select t.signal('chain', 'on'), t.claim(2), t.complete('chain', '[]', 2) \g /dev/null
select is((select (perdure.run_to_reset(0::smallint, perdure.current_run(0::smallint, 'default', 'chain'), p)).run_id),
    :'first', format('of %s', p)) from (values (jsonb '{"buildId": "build-1"}'), ('{"buildId": "build-2"}')) v (p);
select is((select (perdure.run_to_reset(0::smallint, perdure.current_run(0::smallint, 'default', 'chain'), p)).run_id),
    :'second', format('the run itself, of %s', p))
from (values (jsonb '{"buildId": "build-3"}'), ('{"type": "FirstWorkflowTask"}'), ('{"patch": "bad"}')) v (p);
select is(t.refusal($$select perdure.reset_workflow(0::smallint, 'default', 'chain', null,
    '{"buildId": "build-2", "currentRunOnly": true}')$$), 'PD003',
    'a build that began in an earlier run, in this run only');
select is(perdure.reset_workflow('chain', build_id => 'build-2'), t.run('chain'),
    'a reset goes back to an earlier run');
select is((
        select array_agg(w.status::text order by w.run_number) from perdure.workflows w where w.workflow_id = 'chain'),
    array['ContinuedAsNew', 'Terminated', 'Running'], 'the run that was open ends');
select is(t.event('chain', 1) ->> 'originalExecutionRunId', :'first', 'the new one goes on from the first');
select is(t.violations(), null, 'no rule is broken');

-- Repeats, and what is not applied again
select is(t.reset('p', 7, '{}', :'base', 'once'), t.run('p'), 'a reset with a request id');
select is(t.reset('p', 7, '{}', :'base', 'once'), t.run('p'), 'and its repeat, which finds the same run');
select is((select max(w.run_number) from perdure.workflows w where w.workflow_id = 'p'), 4::bigint, 'made once');
select is(t.history('p', 8), '8 WorkflowExecutionSignaled 9 WorkflowExecutionSignaled 10 WorkflowTaskScheduled',
    'a closed run is reset with the signals that it had');
select t.reset('p', 7, '{"resetReapplyExcludeTypes": ["Signal"]}', :'base') \g /dev/null
select is(t.history('p', 8), '8 WorkflowTaskScheduled', 'signals may be left out');
select t.reset('p', 7, '{"resetReapplyType": "None"}', :'base') \g /dev/null
select is(t.history('p', 8), '8 WorkflowTaskScheduled', 'or everything');
select is((select w.status from perdure.workflows w where w.run_id = :'base'), 'Terminated',
    'the run that was reset stays as it closed');

-- Memo and search attributes are those at the place of the reset; a request to cancel is known if it came before that
-- place
select t.at(300), perdure.add_search_attribute('Stage', 'Keyword'), t.start('m') \g /dev/null
select t.decide('m', t.command('UpsertWorkflowSearchAttributes', '{"searchAttributes": {"Stage": "one"}}'),
    t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"n": {"encoding": "json/plain", "data": 1}}}')),
    perdure.cancel_workflow('m'),
    t.decide('m', t.command('UpsertWorkflowSearchAttributes', '{"searchAttributes": {"Stage": "two"}}'),
        t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"n": null}}')), t.run('m') as base \gset
select t.reset('m', 10) \g /dev/null
select is((select jsonb_build_array(w.search_attributes, w.memo) from perdure.workflows w where w.run_id = t.run('m')),
    '[{"Stage": "one"}, {"n": {"encoding": "json/plain", "data": 1}}]', 'what was set before the place');
select is((select r.cancel_requested from perdure.run_states r where r.run_id = t.run('m')), true,
    'its cancellation was requested');
select t.reset('m', 4, '{}', :'base') \g /dev/null
select is((select jsonb_build_array(w.search_attributes, w.memo) from perdure.workflows w where w.run_id = t.run('m')),
    '[{}, {}]', 'nothing was set before that one');
select is(t.history('m', 4), '4 WorkflowTaskFailed 5 WorkflowTaskScheduled', 'a request to cancel is not made again');
select is((select r.cancel_requested from perdure.run_states r where r.run_id = t.run('m')), false, 'nor known');
select is(t.violations(), null, 'no rule is broken');

-- The signals of runs that continued as new are applied again, too
select t.at(400), t.start('c', '{"workflowExecutionTimeout": "1000s"}'), t.run('c') as base \gset
select t.decide('c'), t.signal('c', 'one'), t.decide('c', t.command('ContinueAsNewWorkflowExecution')) \g /dev/null
select t.signal('c', 'two'), t.at(420), t.upkeep(), t.run('c') as second \gset
select is(t.reset('c', 4, '{}', :'base'), t.run('c'), 'the first run of a chain is reset');
select is((select w.status from perdure.workflows w where w.run_id = :'second'), 'Terminated',
    'the open run is terminated');
select is((select w.status from perdure.workflows w where w.run_id = :'base'), 'ContinuedAsNew', 'the other stays');
select is((select string_agg(h.attributes ->> 'signalName', ' ' order by h.event_id) from perdure.history_events h
    where h.run_id = t.run('c') and h.event_type = 'WorkflowExecutionSignaled'), 'one two', 'with both signals');
select t.at(430), t.decide('c', t.command('ContinueAsNewWorkflowExecution')) \g /dev/null
select is(t.event('c', 1) ->> 'workflowExecutionExpirationTime', '2026-01-01T00:23:40.000000Z',
    'the time of the execution began anew with the reset');
select is(t.violations(), null, 'no rule is broken');
select t.reset('c', 4, '{}', :'base'), t.reset('c', 4, '{}', :'base') \g /dev/null
select is(t.violations(), null, 'nor by more resets');

-- Updates
select t.at(500), t.start('u'), t.run('u') as base \gset
create function t.message(p_update text, p_kind text, p_body jsonb) returns jsonb language sql
as $$ select jsonb_build_object('id', p_update || '/' || p_kind, 'protocolInstanceId', p_update, 'body',
    jsonb_build_object('@type', 'type.googleapis.com/temporal.api.update.v1.' || p_kind) || p_body) $$;
create function t.says(p_id text, variadic p_messages jsonb[]) returns text language sql
as $$
    select c.outcome || coalesce(' ' || nullif(c.failure ->> 'message', ''), '') from t.workflow_task w
    cross join lateral perdure.complete_workflow_tasks(0::smallint, t.worker(1),
        jsonb_build_array(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id,
            'attempt', w.attempt, 'sticky', false, 'messages', to_jsonb(p_messages), 'commands', (
            select jsonb_agg(t.command('ProtocolMessage', jsonb_build_object('messageId', m ->> 'id')))
            from unnest(p_messages) m)))) c
    where w.worker = 1 and w.workflow_id = p_id
$$;
create function t.update(p_id text, p_update text) returns text language sql
as $$ select u.state from perdure.update_workflow(0::smallint, 'default', p_id, null, p_update, 'add', t.data('1'),
    'client') u $$;
select t.decide('u'), t.update('u', 'early'), t.claim(), t.says('u', t.message('early', 'Acceptance', '{}')),
    t.update('u', 'late'), t.claim(), t.says('u', t.message('early', 'Response', '{"outcome": {"success": []}}'),
        t.message('late', 'Acceptance', '{}')) \g /dev/null
select is(t.history('u', 5), '5 WorkflowTaskScheduled 6 WorkflowTaskStarted 7 WorkflowTaskCompleted '
    '8 WorkflowExecutionUpdateAccepted 9 WorkflowTaskScheduled 10 WorkflowTaskStarted 11 WorkflowTaskCompleted '
    '12 WorkflowExecutionUpdateCompleted 13 WorkflowExecutionUpdateAccepted', 'two updates, one of them completed');
select t.reset('u', 11) \g /dev/null
select is(t.history('u', 11), '11 WorkflowTaskFailed 12 WorkflowExecutionUpdateAdmitted 13 WorkflowTaskScheduled',
    'the one that was accepted behind the place comes again');
select is(t.event('u', 12), jsonb_build_object('origin', 'Reapply', 'request', jsonb_build_object(
    'meta', '{"updateId": "late", "identity": "client"}'::jsonb, 'input', jsonb_build_object('name', 'add',
        'args', t.data('1')))), 'as Temporal says it');
select is((select jsonb_object_agg(u.update_id, u.state) from perdure.updates u where u.run_id = t.run('u')),
    '{"early": "accepted", "late": "admitted"}', 'the other goes on');
select is(t.violations(), null, 'no rule is broken');
select is((select c.updates from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 1) c)
    #>> '{0,admittedEventId}', '12', 'the worker is told which event it is');
select t.at(511), t.upkeep(), t.claim() \g /dev/null
select is(t.says('u', t.message('early', 'Response', '{"outcome": {"success": []}}'),
    t.message('late', 'Acceptance', '{"acceptedRequestSequencingEventId": 12}'),
    t.message('late', 'Response', '{"outcome": {"success": []}}')), 'completed', 'both are completed');
select is((select jsonb_agg(h.attributes - 'outcome' - 'meta' order by h.event_id) from perdure.history_events h
    where h.run_id = t.run('u') and h.event_type like '%UpdateAccepted' and h.event_id > 10),
    '[{"protocolInstanceId": "late", "acceptedRequestMessageId": "late/request",
    "acceptedRequestSequencingEventId": 12}]', 'a request that stands in an event is not told twice');
select is(t.violations(), null, 'no rule is broken');
select t.reset('u', 4) \g /dev/null
select is((select string_agg(h.event_type || ' ' || coalesce(h.attributes #>> '{request,meta,updateId}', ''), ', '
    order by h.event_id) from perdure.history_events h where h.run_id = t.run('u') and h.event_id > 4),
    'WorkflowExecutionUpdateAdmitted early, WorkflowExecutionUpdateAdmitted late, WorkflowTaskScheduled ',
    'an update that was taken over once is taken over again');
select is((select u.state from perdure.update_workflow(0::smallint, 'default', 'u', null, 'late', 'add') u),
    'admitted', 'a repeat of its id finds it');
select t.claim(), t.fail('u'), t.claim(), t.fail('u') \g /dev/null
select is(perdure.forget_updates('u'), 0, 'what stands in the history is not forgotten when workflow tasks fail');
select is(t.violations(), null, 'no rule is broken');
select t.reset('u', 4, '{"resetReapplyType": "Signal"}') \g /dev/null
select is(t.history('u', 5), '5 WorkflowTaskScheduled', 'updates may be left out');
select is(t.violations(), null, 'no rule is broken');

-- Children are kept
create function t.child(p_id text) returns jsonb language sql
as $$ select t.command('StartChildWorkflowExecution', jsonb_build_object('workflowId', p_id,
    'workflowType', '{"name": "C"}'::jsonb)) $$;
select t.at(600), t.start('parent'), t.run('parent') as base \gset
select t.decide('parent', t.child('kept')), t.drain(), t.decide('parent'), t.decide('kept'),
    t.signal('parent', 'x'), t.decide('parent') \g /dev/null
select is(t.history('parent', 5), '5 StartChildWorkflowExecutionInitiated 6 ChildWorkflowExecutionStarted '
    '7 WorkflowTaskScheduled 8 WorkflowTaskStarted 9 WorkflowTaskCompleted 10 WorkflowExecutionSignaled '
    '11 WorkflowTaskScheduled 12 WorkflowTaskStarted 13 WorkflowTaskCompleted', 'a run with a child');
select t.reset('parent', 13) \g /dev/null
select is(t.drain(), 0, 'its reset has nothing to tell');
select is(t.status('kept'), 'Running', 'the child goes on');
select is((select jsonb_build_array(p.child_workflow_id, p.child_run_id) from perdure.pending_children p
    where p.run_id = t.run('parent')), jsonb_build_array('kept', t.run('kept')), 'the new run waits for it');
select is(t.violations(), null, 'no rule is broken');
select t.signal('kept', 'x'), t.decide('kept', t.completes()), t.complete('parent'), t.drain() \g /dev/null
select is(t.history('parent', 16), '16 WorkflowTaskCompleted 17 ChildWorkflowExecutionCompleted '
    '18 WorkflowTaskScheduled', 'and learns of its end');
select is(t.event('parent', 17) -> 'startedEventId', '6', 'with the event of its start');
select t.decide('parent'), t.reset('parent', 13) \g /dev/null
select is(t.history('parent', 13), '13 WorkflowTaskFailed 14 ChildWorkflowExecutionCompleted 15 WorkflowTaskScheduled',
    'an end behind the place is known again');
select t.reset('parent', 4) \g /dev/null
select is(t.history('parent', 4), '4 WorkflowTaskFailed 5 WorkflowExecutionSignaled 6 WorkflowTaskScheduled',
    'of a child that was started behind the place nothing is known');
select is(t.violations(), null, 'no rule is broken');
-- A child whose start has not been reported, and a signal on its way.
select t.start('target'), t.decide('target'), t.start('sender') \g /dev/null
select t.decide('sender', t.child('slow'), t.command('SignalExternalWorkflowExecution',
    '{"execution": {"workflowId": "target"}, "signalName": "go"}')), t.signal('sender', 'x'), t.decide('sender'),
    t.reset('sender', 10) \g /dev/null
select is(t.history('sender', 9), '9 WorkflowTaskStarted 10 WorkflowTaskFailed 11 WorkflowTaskScheduled',
    'a run is reset while its effects are on their way');
select is(t.violations(), null, 'that is a good state');
select is(t.drain(), 2, 'they arrive once');
select is(t.history('sender', 12), '12 ChildWorkflowExecutionStarted 13 ExternalWorkflowExecutionSignaled',
    'and the new run learns of both');
select is((select count(*) from perdure.history_events h where h.run_id = t.run('target')
    and h.event_type = 'WorkflowExecutionSignaled'), 1::bigint, 'the signal came once');
select is(t.violations(), null, 'no rule is broken');
select t.decide('sender'), t.reset('sender', 10) \g /dev/null
select is(t.history('sender', 10), '10 WorkflowTaskFailed 11 ChildWorkflowExecutionStarted '
    '12 ExternalWorkflowExecutionSignaled 13 WorkflowTaskScheduled', 'what became of them is known again');
select is(t.violations(), null, 'no rule is broken');
-- The reset of a child: its parent waits for the run that goes on.
select t.start('above') \g /dev/null
select t.decide('above', t.child('below')), t.drain(), t.decide('below'), t.complete('above'),
    t.reset('below', 4), t.drain() \g /dev/null
select is(t.history('above', 9), '9 WorkflowTaskCompleted',
    'the parent is not told that its child was terminated');
select t.decide('below', t.completes()), t.drain() \g /dev/null
select is(t.history('above', 10), '10 ChildWorkflowExecutionCompleted 11 WorkflowTaskScheduled',
    'but how the new run ends');
select is(t.violations(), null, 'no rule is broken');

-- A run is reset, and goes on to its end
select t.at(700), t.start('end'), t.run('end') as base \gset
select t.decide('end', t.completes()) \g /dev/null
select is(t.status('end'), 'Completed', 'a workflow is completed');
select is(perdure.reset_workflow('end', reset_type => 'LastWorkflowTask'), t.run('end'), 'and goes back');
select is(t.decide('end', t.completes()), 'completed', 'and completes again');
select is((select r.status from perdure.workflow_result('end') r), 'Completed', 'with a result');
select is(t.violations(), null, 'no rule is broken');
select perdure.delete_workflow(0::smallint, 'default', 'end', :'base') \g /dev/null
select is(t.violations(), null, 'nor after the first run is deleted');
select is(t.reset('end', 4), t.run('end'), 'the second one can be reset without it');
select is(t.violations(), null, 'no rule is broken');
-- All runs that a filter chooses are reset
select t.at(800), t.start('j' || i), t.decide('j' || i) from generate_series(1, 5) i \g /dev/null
select t.reset('j3', 4), t.decide('j3'), t.start('j6') \g /dev/null
select is(t.refusal($$select perdure.start_batch_job('reset', '', '{}')$$), 'PD003',
    'a job needs a place to go back to');
select is(t.refusal($$select perdure.start_batch_job('reset', 'Nonsense', '{"type": "LastWorkflowTask"}')$$), 'PD003',
    'and a filter that can be read');
select perdure.start_batch_job('reset', 'WorkflowId STARTS_WITH "j"', '{"buildId": "build-1"}', 'it was wrong')
    as job \gset
create function t.progress() returns text language sql
as $$ select concat_ws(' ', p.runs, p.waiting, p.done, p.failed, p.closed_at is not null, p.reason)
    from perdure.batch_job_progress p $$;
select is(t.progress(), '0 0 0 0 f it was wrong', 'a job begins with nothing');
select is(perdure.run_next_of_batch_job(0::smallint, :'job'), null, 'before its runs are listed it does nothing');
select is(perdure.list_runs_of_batch_job(:'job'), true, 'its runs are listed');
select is(t.progress(), '6 6 0 0 f it was wrong', 'of each workflow id one run is to be reset');
select is(perdure.run_next_of_batch_job(0::smallint, :'job'), 'j1', 'one a call');
select is((select w.reset_reason from perdure.workflows w where w.run_id = t.run('j1')), 'it was wrong', 'is reset');
select is(perdure.run_next_of_batch_job(0::smallint, :'job'), 'j2', 'then the next');
select is(t.progress(), '6 4 2 0 f it was wrong', 'people see how far it is');
select is(perdure.stop_batch_job(:'job'), true, 'it is stopped');
select is(perdure.stop_batch_job(:'job'), false, 'once');
select is(perdure.run_next_of_batch_job(0::smallint, :'job'), null, 'and does no more');
update perdure.batch_jobs set stopped_at = null, closed_at = null;
select perdure.run_next_of_batch_job(0::smallint, :'job') from generate_series(1, 4) \g /dev/null
select is(t.progress(), '6 0 5 1 f it was wrong', 'in the end all are reset but one');
select is(perdure.list_runs_of_batch_job(:'job'), false, 'nothing is left');
select is(t.progress(), '6 0 5 1 t it was wrong', 'and the job is closed');
select is((select r.workflow_id || ': ' || (r.error like '%has no workflow task to go back to%')
    from perdure.batch_job_results r where r.state = 'failed'), 'j6: true',
    'which no worker of that build has worked on');
select is((select max(w.run_number) from perdure.workflows w where w.workflow_id = 'j3'), 3::bigint,
    'of a workflow with several runs the newest was reset, once');
select is(perdure.reset_preview(0::smallint, :'base', 7), '{"again": [], "anew": [], "signals": 0, "updates": 0,
    "cancelRequests": 0, "children": [], "messages": 0}', 'nothing is told of a run that is gone');
select is(perdure.reset_preview(0::smallint, (select w.run_id from perdure.workflows w
    where w.workflow_id = 'w' and w.run_number = 1), 14), '{"again": [], "anew": ["A"], "signals": 0, "updates": 0,
    "cancelRequests": 0, "children": [], "messages": 0}', 'what would begin anew is told before');
select is(perdure.reset_preview(0::smallint, (select w.run_id from perdure.workflows w
    where w.workflow_id = 'a' and w.run_number = 1), 4), '{"again": [{"type": "A", "count": 1},
    {"type": "B", "count": 1}], "anew": [], "signals": 1, "updates": 0, "cancelRequests": 0, "children": [],
    "messages": 0}', 'and what would be made again');
select is(t.refusal($$select perdure.run_next_of_batch_job(0::smallint, t.run('j1'))$$), 'PD003',
    'there is no other job');
select is(t.violations(), null, 'no rule is broken');
select t.terminate_all() \g /dev/null
select is(t.violations(), null, 'nor when all has ended');
select t.at(32 * 86400) \g /dev/null
select perdure.delete_expired(0::smallint) from generate_series(1, 8) \g /dev/null
select is((select count(*) from perdure.repeated_calls) + (select count(*) from perdure.batch_job_runs)
    + (select count(*) from perdure.batch_jobs) + (select count(*) from perdure.workflows), 0::bigint,
    'retention leaves nothing');
select * from finish();
rollback;
