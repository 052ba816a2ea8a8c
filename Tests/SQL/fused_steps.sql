-- Eager activities and fused steps write the same history as the separate calls, and nothing at all when they come too
-- late.
begin;
\ir support/engine.psql
select no_plan();
select t.register(2), perdure.add_search_attribute('customer', 'Keyword') \g /dev/null

create function t.eager(p_activity text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.activity(p_activity, '{"requestEagerExecution": true, "input": []}'::jsonb || p_more) $$;
-- What the worker knows of each run: its next event id, and the activity that it has started.
create table t.known (workflow_id text primary key, run_id uuid, next_event_id bigint, scheduled_event_id bigint,
    outcome text);
create function t.first_step(p_id text, p_commands jsonb, p_sticky boolean default true) returns text language sql
as $$
    insert into t.known as k
    select p_id, c.run_id, c.next_event_id, c.started_activities[1], c.outcome from t.workflow_task w
    cross join lateral perdure.complete_workflow_tasks(0::smallint, t.worker(1),
        jsonb_build_array(jsonb_build_object('runId', w.run_id,
        'scheduledEventId', w.scheduled_event_id, 'attempt', w.attempt, 'commands', p_commands, 'sticky', p_sticky))) c
    where w.worker = 1 and w.workflow_id = p_id
    on conflict (workflow_id) do update set run_id = excluded.run_id, next_event_id = excluded.next_event_id,
        scheduled_event_id = excluded.scheduled_event_id, outcome = excluded.outcome
    returning k.outcome || ' ' || coalesce(k.scheduled_event_id::text, 'none')
$$;
create function t.fused_item(p_id text, p_commands jsonb, p_more jsonb default '{}') returns jsonb language sql
as $$
    select jsonb_build_object('runId', k.run_id, 'nextEventId', k.next_event_id, 'startedAt',
        perdure.rfc3339(perdure.clock()),
        'activity', jsonb_build_object('scheduledEventId', k.scheduled_event_id, 'attempt', 1, 'result',
            t.data('"done"')), 'commands', p_commands, 'sticky', true) || p_more
    from t.known k where k.workflow_id = p_id
$$;
create function t.fused(p_id text, p_commands jsonb, p_more jsonb default '{}', p_worker int default 1) returns text
    language sql
as $$
    with c as (select * from perdure.complete_workflow_tasks(0::smallint, t.worker(p_worker),
        jsonb_build_array(t.fused_item(p_id, p_commands, p_more)))),
    kept as (update t.known k set next_event_id = c.next_event_id, scheduled_event_id = c.started_activities[1] from c
        where k.workflow_id = p_id and c.outcome = 'completed')
    select c.outcome || ' ' || coalesce(c.started_activities[1]::text, 'none') from c
$$;
create function t.content(p_id text) returns jsonb language sql
as $$
    select jsonb_agg(jsonb_build_array(h.event_id, h.event_type,
        h.attributes - 'originalExecutionRunId' - 'firstExecutionRunId' - 'workflowId', h.event_time)
        order by h.event_id)
    from perdure.history_events h where h.run_id = t.run(p_id)
$$;

-- The same program with separate calls and with fused steps, at the same times: two activities one after the other, in
-- the usual form and in an unusual one
create function t.slowly(p_id text, p_second int, p_extra jsonb) returns void language sql
as $$
    select t.at(p_second), t.start(p_id), t.claim(), t.at(p_second + 1),
        t.complete(p_id, p_extra || jsonb_build_array(t.activity('a', '{"input": []}')), p_sticky => true),
        t.claim_activities();
    select t.at(p_second + 2), t.finish(p_id, 'a', 'completed', jsonb_build_object('result', t.data('"done"'))),
        t.claim(),
        t.complete(p_id, p_extra || jsonb_build_array(t.activity('b', '{"input": []}')), p_sticky => true),
            t.claim_activities();
    select t.at(p_second + 3), t.finish(p_id, 'b', 'completed', jsonb_build_object('result', t.data('"done"'))),
        t.claim(),
        t.complete(p_id, p_extra || jsonb_build_array(t.command('CompleteWorkflowExecution',
            jsonb_build_object('result', t.data('5')))));
$$;
create function t.fast(p_id text, p_second int, p_extra jsonb) returns text language sql
as $$
    select t.at(p_second), t.start(p_id), t.claim(), t.at(p_second + 1),
        t.first_step(p_id, p_extra || jsonb_build_array(t.eager('a'))), t.at(p_second + 2);
    select t.fused(p_id, p_extra || jsonb_build_array(t.eager('b'))), t.at(p_second + 3);
    select t.fused(p_id, p_extra || jsonb_build_array(t.command('CompleteWorkflowExecution',
        jsonb_build_object('result', t.data('5')))));
$$;
select t.slowly('slow', 100, '[]') \g /dev/null
select is(t.fast('fast', 100, '[]'), 'completed none', 'a workflow of fused steps completes');
select is(t.content('fast'), t.content('slow'),
    'its history is that of the separate calls: every event, id, time and attribute');
select t.slowly('slow2', 200, jsonb_build_array(t.command('RecordMarker', '{"markerName": "m"}'))) \g /dev/null
select is(t.fast('fast2', 200, jsonb_build_array(t.command('RecordMarker', '{"markerName": "m"}'))), 'completed none',
    'with other commands, too');
select is(t.content('fast2'), t.content('slow2'), 'by the general rules the same');
select is((select (w.status, w.close_time, w.history_length, w.result)::text from perdure.workflows w
    where workflow_id = 'fast'),
    (select (w.status, w.close_time, w.history_length, w.result)::text from perdure.workflows w
        where workflow_id = 'slow'), 'and so is what people see');
select is_empty($$select from perdure.pending_activities$$, 'nothing is left pending');
select is_empty($$select from perdure.pending_workflow_tasks$$, 'no workflow task either');

-- A worker holds an eager activity like one that it has claimed
select t.at(300), t.start('eager'), t.claim() \g /dev/null
select is(t.first_step('eager', jsonb_build_array(t.eager('a',
    '{"heartbeatTimeout": "5s", "startToCloseTimeout": "60s"}'), t.activity('b', '{"input": []}'))), 'completed 5',
    'an eager activity is started at once');
select results_eq($$select activity_id collate "default", state, worker_identity, last_started_time
    from perdure.pending_activities where workflow_id = 'eager' order by 1$$,
    $$values ('a', 'Started', 'worker-1', timestamptz '2026-01-01 00:05:00Z'), ('b', 'Scheduled', null, null)$$,
        'by the worker, and the other waits');
select is(t.claim_activities(2), 'eager/b#1', 'nobody else can claim it');
insert into t.activity_task select w, 'eager', 'a', t.run('eager'), 1, 5 from unnest(array[1, 2]) w;
select is(t.heartbeat('eager', 'a', p_worker => 2), 'lost', 'nor keep it alive');
select t.at(304) \g /dev/null
select is(t.heartbeat('eager', 'a'), '', 'its worker can');
select t.at(309), t.upkeep() \g /dev/null
select is((select attempt from perdure.pending_activities where workflow_id = 'eager' and activity_id = 'a'), 2,
    'it times out like any other');
select is(t.fused('eager', '[]'), 'stale none', 'and then no fused step ends it');
select is(t.history('eager', 6), '6 ActivityTaskScheduled', 'nor writes anything');

-- Too late: something else has happened
create function t.stale_after(p_id text, p_what text) returns text language plpgsql
as $$
declare
    v_before text;
    v_outcome text;
begin
    perform t.start(p_id), t.claim(), t.first_step(p_id,
        jsonb_build_array(t.eager('a'), t.timer('x', '1s'), t.activity('b', '{"input": []}')));
    execute p_what;
    v_before := t.content(p_id)::text || (select jsonb_agg(to_jsonb(a) order by activity_id)
        from perdure.pending_activities a where a.run_id = t.run(p_id))::text;
    v_outcome := t.fused(p_id, jsonb_build_array(t.command('CompleteWorkflowExecution',
        jsonb_build_object('result', '[]'::jsonb))));
    if v_before is distinct from t.content(p_id)::text
        || (select jsonb_agg(to_jsonb(a) order by activity_id) from perdure.pending_activities a
        where a.run_id = t.run(p_id))::text then
        return v_outcome || ', but something changed';
    end if;
    return v_outcome;
end
$$;
select is(t.stale_after('late-' || n, what), 'stale none', 'a fused step is stale after ' || name) from (values
    (1, 'a signal', 'select perdure.signal_workflow(''late-1'', ''s'')'),
    (2, 'a cancellation', 'select perdure.cancel_workflow(''late-2'')'),
    (3, 'a timer', 'select t.at(1000), t.upkeep()'),
    (4, 'the end of another activity', 'select t.claim_activities(1), t.finish(''late-4'', ''b'')'),
    (5, 'a termination', 'select perdure.terminate_workflow(''late-5'')'),
    (6, 'its activity was finished already',
        'insert into t.activity_task values (1, ''late-6'', ''a'', t.run(''late-6''), 1, 5); '
            'select t.finish(''late-6'', ''a'')'),
    (7, 'its activity was handed back',
        'select perdure.release_tasks(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(''kind'', '
            '''activity'', ''runId'', t.run(''late-7''), ''scheduledEventId'', 5)))'),
    (8, 'a signal that another workflow task took in',
        'select perdure.signal_workflow(''late-8'', ''s''), t.claim(1), t.complete(''late-8'', ''[]'')'),
    (9, 'a signal that a workflow task takes in', 'select perdure.signal_workflow(''late-9'', ''s''), t.claim(1)')
) l (n, name, what);
select t.at(2000), t.start('wrong'), t.claim(), t.first_step('wrong', jsonb_build_array(t.eager('a'))), t.at(2001)
    \g /dev/null
select is(t.fused('wrong', '[]', '{}', 2), 'stale none', 'another worker''s step is stale');
select is(t.fused('wrong', '[]', '{"nextEventId": 4}'), 'stale none', 'and one that knows another history');
select is(t.fused('wrong', '[]', '{"activity": {"scheduledEventId": 5, "attempt": 2, "result": []}}'), 'stale none',
    'or another attempt');
select is(t.fused('wrong', '[]', '{"activity": {"scheduledEventId": 4, "attempt": 1, "result": []}}'), 'stale none',
    'or another activity');
select is(t.fused('wrong', '[]', '{"startedAt": "2026-01-01T00:33:19Z"}'), 'stale none',
    'or claims to be older than its activity');
select is(t.fused('wrong', '[]', '{"startedAt": "2026-01-01T00:33:22Z"}'), 'stale none', 'or younger than now');
select is(t.fused('wrong', '[]', '{"activity": {"scheduledEventId": 5, "attempt": 1, "result": 5}}'), 'stale none',
    'or has a result that is no payload');
select is(t.history('wrong', 6), null, 'none of which leaves a trace');
select is(t.refusal($$select t.fused('wrong', '[]', '{}', 9)$$), 'PD007', 'an unknown worker has no steps at all');

-- Bad commands: the activity has ended all the same, and the workflow task that its end made fails
select matches(t.fused('wrong', jsonb_build_array(t.command('Nonsense'))), '^failed',
    'a fused step with a command that cannot be fails');
select is(t.history('wrong', 6),
    '6 ActivityTaskStarted 7 ActivityTaskCompleted 8 WorkflowTaskScheduled 9 WorkflowTaskStarted 10 WorkflowTaskFailed '
        '11 WorkflowTaskScheduled', 'with the events of the separate calls');
select is(t.claim(2) || ' ' || t.complete('wrong', jsonb_build_array(t.command('CompleteWorkflowExecution')), 2),
    'wrong completed', 'and is tried again');

-- A set of everything
select t.at(3000), t.terminate_all() \g /dev/null
select t.start('set-' || i) from generate_series(1, 6) i \g /dev/null
select t.claim(), t.first_step('set-1', jsonb_build_array(t.eager('a'))),
    t.first_step('set-2', jsonb_build_array(t.eager('a'))), perdure.signal_workflow('set-2', 's'),
    perdure.signal_workflow('set-5', 's') \g /dev/null
create function t.task_item(p_id text, p_commands jsonb, p_attempt int default 1) returns jsonb language sql
as $$ select jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', p_attempt,
    'commands', p_commands) from t.workflow_task w where w.worker = 1 and w.workflow_id = p_id $$;
select results_eq($$
    select w.workflow_id, c.outcome, c.next_event_id::int
        from perdure.complete_workflow_tasks(0::smallint, t.worker(1), jsonb_build_array(
        t.fused_item('set-1', jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))),
            t.fused_item('set-2', '[]'),
        t.task_item('set-3', jsonb_build_array(t.activity('a', '{"input": []}'), t.activity('b', '{"input": []}'))),
            t.task_item('set-4', '[]', 2),
        t.task_item('set-5', jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))),
        t.task_item('set-6', jsonb_build_array(t.activity('a', '{"input": []}'), t.activity('a', '{"input": []}'))))) c
    join t.workflow_task w using (run_id) order by w.workflow_id$$,
    $$values ('set-1', 'completed', 12), ('set-2', 'stale', null), ('set-3', 'completed', 7), ('set-4', 'lost', null),
        ('set-5', 'failed', null), ('set-6', 'failed', null)$$,
    'fast and slow, good and bad stand side by side');
select is_empty($$select workflow_id from perdure.history_events group by workflow_id, run_id
    having count(*) <> max(event_id) or min(event_id) <> 1$$, 'events are numbered without gaps');

select * from finish();
rollback;
