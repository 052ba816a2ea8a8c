-- Events that are stored without what can be derived are read whole. The fast paths store events without it, the
-- general rules write everything, and readers see no difference.
begin;
\ir support/engine.psql
select no_plan();

create function t.content(p_id text) returns jsonb language sql
as $$
    select jsonb_agg(jsonb_build_array(h.event_id, h.event_type, h.event_time, h.input, h.result, h.summary,
        h.attributes - 'originalExecutionRunId' - 'firstExecutionRunId' - 'workflowId') order by h.event_id)
    from perdure.history_events h where h.run_id = t.run(p_id)
$$;
create function t.stored(p_id text) returns text language sql
as $$
    select count(*) filter (where e ? 'attributes') || ' whole, ' || count(*) filter (where not e ? 'attributes')
        || ' short'
    from perdure.history h, unnest(h.events) e where h.run_id = t.run(p_id)
$$;
-- Completes a task by the general rules, whatever the commands are.
create function t.complete_generally(p_id text, p_commands jsonb) returns text language sql
as $$
    select c.outcome from t.workflow_task k
    cross join lateral perdure.complete_workflow_task(0::smallint,
        (select w from perdure.workers w where w.worker_id = t.worker(1)), perdure.clock(),
        jsonb_build_object('runId', k.run_id, 'scheduledEventId', k.scheduled_event_id, 'attempt', k.attempt,
            'commands', p_commands)) c
    where k.worker = 1 and k.workflow_id = p_id
$$;
-- A result that comes twice in one call is left to the general rules.
create function t.finish_generally(p_id text, p_activity text, p_more jsonb) returns text language sql
as $$
    select min(f.outcome) from t.activity_task a
    cross join lateral (select jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id,
        'attempt', a.attempt, 'outcome', 'completed') || p_more as item) i
    cross join lateral perdure.finish_activity_tasks(0::smallint, t.worker(1), jsonb_build_array(i.item, i.item)) f
    where a.worker = 1 and a.workflow_id = p_id and a.activity_id = p_activity
$$;
-- The usual way, as this file is run: by the statements for few, or by those for many.
create table t.usual as select coalesce(current_setting('perdure.many', true), '') as many;
create function t.walk(p_id text, p_second int, p_general boolean, p_options jsonb, p_commands jsonb) returns setof text
    language plpgsql
as $$
begin
    perform set_config('perdure.many', case when p_general then '1' else (select u.many from t.usual u) end, true);
    perform t.at(p_second), t.start(p_id, p_options);
    -- With an event between the scheduled workflow task and its start, the start cannot be derived from the event
    -- before it.
    if p_options ? 'memo' then
        perform perdure.signal_workflow(p_id, 's');
    end if;
    perform t.at(p_second + 1), t.claim();
    return next case when p_general then t.complete_generally(p_id, p_commands) else t.complete(p_id, p_commands) end;
    perform t.at(p_second + 2), t.claim_activities(), t.claim_activities(p_queue => 'elsewhere');
    return next t.finish(p_id, 'b', 'failed', t.failure('first'));
    perform t.at(p_second + 4), t.upkeep(), t.claim_activities();
    perform t.at(p_second + 5);
    return next case when p_general then t.finish_generally(p_id, 'b', jsonb_build_object('result', t.data('1')))
        else t.finish(p_id, 'b', 'completed', jsonb_build_object('result', t.data('1'))) end;
    perform t.at(p_second + 6), t.claim();
    return next case when p_general then t.complete_generally(p_id, '[]') else t.complete(p_id, '[]') end;
    return next case when p_general then t.finish_generally(p_id, 'a', jsonb_build_object('result', t.data('"x"')))
        else t.finish(p_id, 'a', 'completed', jsonb_build_object('result', t.data('"x"'))) end;
    perform t.claim();
    return next case when p_general then t.complete_generally(p_id,
        jsonb_build_array(t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.data('7')))))
        else t.complete(p_id, jsonb_build_array(t.command('CompleteWorkflowExecution',
            jsonb_build_object('result', t.data('7'))))) end;
end
$$;
create table t.program (name text, options jsonb, commands jsonb);
insert into t.program values
    ('usual', '{}', jsonb_build_array(t.activity('a', '{"input": []}'),
        t.activity('b', '{"input": [{"encoding": "json/plain", "data": 1}]}'))),
    ('unusual', '{"workflowTaskTimeout": "20s", "workflowRunTimeout": "1000s", "identity": "me", '
        '"memo": {"m": {"encoding": "json/plain", "data": null}}}', jsonb_build_array(
        t.activity('a', '{"input": [], "taskQueue": {"name": "elsewhere"}, "scheduleToCloseTimeout": "100.500s", '
            '"startToCloseTimeout": "060s"}'),
        t.activity('b', '{"input": [], "heartbeatTimeout": "30s", "scheduleToStartTimeout": "50s", '
            '"retryPolicy": {"initialInterval": "0.5s", "maximumAttempts": 3, "nonRetryableErrorTypes": ["Never"]}}')));
select bag_eq(
    format('select t.walk(%L, %s, false, options, commands) from t.program where name = %L', name || '-short', n * 100,
        name),
    format('select t.walk(%L, %s, true, options, commands) from t.program where name = %L', name || '-whole', n * 100,
        name),
    name || ': both ways go through')
from (select name, row_number() over (order by name) as n from t.program) p;
select is(t.content(name || '-short'), t.content(name || '-whole'), name
    || ': every event, id, time and attribute is the same') from t.program order by name;
select is(t.stored('usual-short'), '0 whole, 17 short',
    'though the usual ones are stored without what follows from the rest');
select is(t.stored('usual-whole'), '11 whole, 6 short',
    'which the general rules write, all but the start and what schedules workflow tasks and activities');
select is((select jsonb_agg(e) from jsonb_array_elements(perdure.get_history(0::smallint, t.run('unusual-short'))) b,
    jsonb_array_elements(b -> 'events') e where not e ? 'attributes'),
    null, 'and whoever reads a history gets whole events');
select is_empty('select from perdure.timers', 'nor is anything left of what they waited for');
-- One activity, as workers send it: this most common command has a path of its own. The differences here decide whether
-- a command takes that path.
create table t.difference (n serial, more jsonb, is_short boolean);
insert into t.difference (more, is_short) values
    ('{}', true), ('{"taskQueue": {"name": "q"}}', true), ('{"taskQueue": {"name": "elsewhere"}}', true),
        ('{"taskQueue": {"name": "q", "kind": "Normal"}}', true),
    ('{"startToCloseTimeout": "0.25s"}', true), ('{"startToCloseTimeout": "60.5s", "taskQueue": {"name": "q"}}', true),
        ('{"startToCloseTimeout": "60.50s"}', true),
    ('{"startToCloseTimeout": "007s"}', true), ('{"startToCloseTimeout": "1.000001s"}', true),
        ('{"startToCloseTimeout": "0.0000001s"}', false),
    ('{"startToCloseTimeout": "1.0000001s"}', true), ('{"startToCloseTimeout": "999999999s"}', true),
        ('{"startToCloseTimeout": "9999999999s"}', false),
    ('{"startToCloseTimeout": "30s", "scheduleToCloseTimeout": "60s"}', true), ('{"heartbeatTimeout": "3s"}', true),
        ('{"retryPolicy": {"maximumAttempts": 2}}', true);
-- The ways are: the statements for few, with the activity waiting or started at once; the statement for many; and the
-- general rules.
create function t.one(p_way text, p_n int, p_more jsonb) returns text language plpgsql
as $$
declare
    v_id text := p_way || '-' || p_n;
    v_commands jsonb := jsonb_build_array(t.activity('one',
        '{"input": [{"encoding": "json/plain", "data": {"a": [1, null]}}]}'::jsonb || p_more
        || case when p_way = 'eager' then '{"requestEagerExecution": true}' else '{}' end::jsonb));
begin
    perform set_config('perdure.many', case p_way when 'many' then '1' else '8' end, true);
    perform t.at(1000 + 10 * p_n), t.start(v_id), t.claim(), t.at(1001 + 10 * p_n);
    return case p_way when 'general' then t.complete_generally(v_id, v_commands)
        else split_part(t.complete(v_id, v_commands), ' ', 1) end;
end
$$;
create function t.row_of(p_id text) returns jsonb language sql
as $$
    select jsonb_set(to_jsonb(a), '{retry_policy}', coalesce(a.retry_policy,
        perdure.retry_policy(null))) - array['run_id', 'workflow_id', 'state', 'started_at', 'worker',
        'last_worker_identity', 'deadline']
    from perdure.activity_tasks a where a.run_id = t.run(p_id)
$$;
create table t.outcome as select n, way, more, is_short, t.one(way, n, more) as outcome from t.difference,
    unnest(array['general', 'few', 'eager', 'many']) way order by n;
select unnest(array[is(o.outcome, g.outcome, o.way || ': one activity with ' || o.more::text),
    is(t.content(o.way || '-' || n), t.content('general-' || n), 'the same events'),
    is(t.row_of(o.way || '-' || n), t.row_of('general-' || n), 'the same activity'),
        is(t.stored(o.way || '-' || n) ~ '^0 whole', o.is_short, 'and whether it is stored short')])
from t.outcome o join t.outcome g using (n) where o.way <> 'general' and g.way = 'general' order by n, o.way;
select is((select bool_and(a.deadline = a.started_at + least(a.start_to_close_timeout, a.schedule_to_close_timeout,
    a.heartbeat_timeout)) from perdure.activity_tasks a where a.state = 'started'), true,
    'each that is started has its deadline');

create function t.event_types(p_history jsonb, p_are_whole boolean) returns text[] language sql
as $$
    select array_agg(e ->> 'eventType' order by b.n, e.n) from jsonb_array_elements(p_history)
        with ordinality b (batch, n), jsonb_array_elements(b.batch -> 'events') with ordinality e (e, n)
    where (e ? 'attributes') = p_are_whole
$$;
select t.start('again'), t.start('once-more') \g /dev/null
select is(t.event_types(c.history, true), array['WorkflowExecutionStarted', 'WorkflowTaskScheduled',
    'WorkflowTaskStarted'], 'and so does who claims a run')
from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 1) c;
select is(t.event_types(c.history::jsonb, false), array['WorkflowExecutionStarted', 'WorkflowTaskScheduled',
    'WorkflowTaskStarted'], 'if not as they are stored')
from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(1), 'q', 1) c;
select is((select jsonb_agg(e order by b.n, e.n) from perdure.get_histories_as_stored(0::smallint,
    array[t.run('usual-short')], array[1]) h,
        jsonb_array_elements(h.history::jsonb) with ordinality b (batch, n), jsonb_array_elements(b.batch -> 'events')
            with ordinality e (e, n)),
    (select to_jsonb(array_agg(e order by h.first_event_id, n)) from perdure.history h, unnest(h.events)
        with ordinality u (e, n) where h.run_id = t.run('usual-short')),
    'and so does a worker that reads what it has not cached any more');
select * from finish();
rollback;
