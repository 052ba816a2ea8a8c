-- What the frontend takes for many workers and clients at once: take_reports, take_requests, and what waits for news.
\set ON_ERROR_STOP on
\ir support/engine.psql
select no_plan();
select t.at(0), t.register(1), t.register(2) \g /dev/null

create function t.report(p_kind text, p_item jsonb, p_worker int default 1) returns jsonb language sql
as $$ select jsonb_build_object('kind', p_kind, 'worker', t.worker(p_worker), 'item', p_item) $$;
create function t.ask(p_id text, p_kind text default 'start', p_more jsonb default '{}') returns jsonb language sql
as $$
    select jsonb_build_object('kind', p_kind, 'namespace', 'default', 'workflowId', p_id, 'workflowType', 'T',
        'taskQueue', 'q',
        'input', '[]'::jsonb, 'options', '{}'::jsonb) || p_more
$$;
create function t.claiming(p_worker int default 1) returns jsonb language sql
as $$ select jsonb_build_object('claim', jsonb_build_object('worker', t.worker(p_worker), 'taskQueue', 'q')) $$;
create function t.take(variadic p_reports jsonb[]) returns jsonb language sql
as $$ select jsonb_agg(r.answer::jsonb order by r.place)
    from perdure.take_reports(0::smallint, to_jsonb(p_reports)) r $$;
create function t.request(variadic p_requests jsonb[]) returns jsonb language sql
as $$ select jsonb_agg(r.answer::jsonb order by r.place)
    from perdure.take_requests(0::smallint, to_jsonb(p_requests)) r $$;
create function t.end_of(p_id text, p_event bigint, p_more jsonb default '{}', p_attempt int default 1)
    returns jsonb language sql
as $$ select jsonb_build_object('runId', t.run(p_id), 'scheduledEventId', p_event, 'attempt', p_attempt) || p_more $$;
create function t.ids(p_task jsonb) returns text language sql
as $$
    select string_agg(e.value ->> 'eventType', ' ' order by b.place, e.place)
    from jsonb_array_elements(p_task -> 'history'
        || jsonb_build_array(jsonb_build_object('events', p_task -> 'started')))
        with ordinality b (value, place)
    cross join lateral jsonb_array_elements(b.value -> 'events') with ordinality e (value, place)
$$;

-- Requests
create temp table answer as select t.request(t.ask('a', p_more => t.claiming(1)), t.ask('a'),
    t.ask('a', 'signal', '{"signalName": "s"}'),
    t.ask('b', 'signalWithStart', '{"signalName": "s", "signalInput": []}' || t.claiming(2)),
    t.ask('nobody', 'signal', '{"signalName": "s"}')) as it;
select is(it #>> '{0,runId}', t.run('a')::text, 'a start answers with the run') from answer;
select is(it #> '{0,started}', 'true', 'that it started') from answer;
select is(t.ids(it #> '{0,task}'), 'WorkflowExecutionStarted WorkflowTaskScheduled WorkflowTaskStarted',
    'and hands its first task to the worker that waits') from answer;
select is(it #>> '{1,error,code}', 'PD002', 'a second start of the id falls out') from answer;
select is(it #>> '{1,error,detail}', t.run('a')::text, 'and names the run that is in the way') from answer;
select is(it #>> '{2,runId}', t.run('a')::text, 'a signal answers with its run') from answer;
select is(t.ids(it #> '{3,task}'),
    'WorkflowExecutionStarted WorkflowExecutionSignaled WorkflowTaskScheduled WorkflowTaskStarted',
    'a signal with start does both and hands over') from answer;
select is(it #>> '{4,error,code}', 'PD001', 'a signal to nobody falls out') from answer;
select is((select string_agg(k.worker::text, ' ' order by r.workflow_id) from perdure.workflow_tasks k
    join perdure.run_states r using (shard, run_id)),
    t.worker(1) || ' ' || t.worker(2), 'each task is held by the worker that it was handed to');
select is(t.refusal($$select t.request(t.ask('a'))$$), 'PD002', 'who asks for one thing gets its error');
select is(t.refusal($$select t.request(t.ask('z', 'dance'))$$), 'PD003', 'an unknown kind is refused');
select is(t.refusal($$select * from perdure.take_requests(0::smallint, '{}')$$), 'PD003', 'requests are an array');
select is(t.request(t.ask('e', p_more => '{"options": {"eagerExecutionAccepted": true}}')) #>> '{0,started}', 'true',
    'an eager start');
select is(t.event('e', 1) -> 'eagerExecutionAccepted', 'true', 'is told apart in its first event');
select is(t.claim(2), 'e', 'it waits in the queue if nobody claims it');
select is(t.complete('e', jsonb_build_array(t.command('CompleteWorkflowExecution')), 2), 'completed',
    'and goes on from there');

-- Completions: of two workers, and of one that is gone
select t.at(1) \g /dev/null
truncate answer;
insert into answer select t.take(
    t.report('completion',
        t.end_of('a', 2, jsonb_build_object('next', 'q', 'commands',
        jsonb_build_array(t.activity('1', '{"requestEagerExecution": true}'))))),
    t.report('completion',
        t.end_of('b', 3, jsonb_build_object('next', 'q', 'commands',
        jsonb_build_array(t.activity('1', '{"requestEagerExecution": true}')))), 2),
    t.report('completion', t.end_of('b', 3, '{"commands": []}'), 9),
    t.report('completion', t.end_of('a', 2, '{"commands": []}'), 2));
select is((select string_agg(a.value ->> 'outcome', ' ' order by place)
    from jsonb_array_elements(it) with ordinality a (value, place)),
    'completed completed lost lost', 'each is answered for itself') from answer;
select is(it #>> '{0,startedActivities}', '[5]', 'an eager activity is started') from answer;
select is(t.ids(it #> '{0,task}'),
    'WorkflowTaskStarted WorkflowTaskCompleted ActivityTaskScheduled WorkflowExecutionSignaled WorkflowTaskScheduled '
        'WorkflowTaskStarted',
    'a signal that came meanwhile gives the next task at once, with what is behind the last start') from answer;
select is(it #> '{1,task}', 'null', 'without one there is no next task') from answer;

-- Results, heartbeats
truncate answer;
insert into answer select t.take(
    t.report('heartbeat', t.end_of('b', 6, jsonb_build_object('details', t.data('1'))), 2),
    t.report('result', t.end_of('b', 6, '{"outcome": "completed", "result": []}' || t.claiming(2)), 2),
    t.report('result', t.end_of('b', 6, '{"outcome": "completed", "result": []}'), 1));
select is(it #>> '{0,outcome}', 'kept', 'a heartbeat is kept') from answer;
select is(it #>> '{1,outcome}', 'completed', 'a result is taken') from answer;
select is(t.ids(it #> '{1,task}'),
    'WorkflowTaskStarted WorkflowTaskCompleted ActivityTaskScheduled ActivityTaskStarted ActivityTaskCompleted '
    'WorkflowTaskScheduled WorkflowTaskStarted', 'and the task that follows handed over') from answer;
select is(it #>> '{2,outcome}', 'lost', 'another worker''s is not') from answer;

select is(t.take(t.report('completion',
    t.end_of('a', 7, jsonb_build_object('another', true, 'next', 'q', 'commands', '[]'::jsonb))))
    #>> '{0,task,attempt}', '1',
    'who asks for another task gets it with the answer');
select is(t.take(t.report('failure',
    t.end_of('a', 10, '{"cause": "NonDeterministicError", "failure": {"message": "x"}}'))) #>> '{0,outcome}', 'failed',
    'a failure is taken');

-- Queries come with a workflow task
select t.at(2) \g /dev/null
select is(t.take(t.report('completion', t.end_of('b', 9, '{"commands": []}'), 2)) #>> '{0,outcome}', 'completed',
    'the run has no task');
select perdure.signal_workflow(0::smallint, 'default', 'b', null, 's') \g /dev/null
select perdure.start_query(0::smallint, 'default', 'b', null, 'q1') as q1 \gset
select perdure.start_query(0::smallint, 'default', 'b', null, 'q2') as q2 \gset
truncate answer;
insert into answer select jsonb_agg(c::jsonb)
    from perdure.claim_workflow_tasks_with_queries(0::smallint, t.worker(2), 'q', 10) c
    where c ->> 'workflowId' = 'b';
select is(it #>> array['0', 'queries', :'q1', 'queryType'], 'q1', 'a query comes with the task') from answer;
select is((select count(*) from jsonb_object_keys(it #> '{0,queries}')), 2::bigint, 'so does the other') from answer;
select t.take(t.report('answer', jsonb_build_object('queryId', :'q1', 'result', t.data('7')), 2),
    t.report('completion', t.end_of('b', 13, jsonb_build_object('commands', '[]'::jsonb, 'sticky', true, 'queries',
        jsonb_build_array(:'q2'))), 2)) \g /dev/null
select is((select state || ' ' || result::text from perdure.query_answer(0::smallint, :'q1')),
    'answered ' || t.data('7')::text, 'what the worker answered is taken');
select is((select state from perdure.query_answer(0::smallint, :'q2')), 'pending', 'what it did not is asked again');
select is(array(select * from perdure.answered_queries(0::smallint, array[:'q1', :'q2', t.worker(8)]::uuid[])),
    array[:'q1', t.worker(8)]::uuid[],
    'who waits learns which are answered, or gone');

-- Waits
select is((select status from perdure.close_event(0::smallint, 'default', 'b')), 'Running',
    'an open run has no close event');
select is((select history from perdure.close_event(0::smallint, 'default', 'b'))::text, null, 'yet');
select is((select history #>> '{0,events,-1,eventType}' from perdure.close_event(0::smallint, 'default', 'e')),
    'WorkflowExecutionCompleted',
    'a closed one has');
select is(t.refusal($$select * from perdure.close_event(0::smallint, 'default', 'none')$$), 'PD001',
    'there must be a run');
select is(array(select * from perdure.runs_with_news(0::smallint,
    array[t.run('b'), t.run('e'), t.run('a'), t.worker(7)],
    array[null, null, 1, null])), array[t.run('e'), t.run('a'), t.worker(7)],
    'news: it has closed, has more events, or is gone');
select is(array(select * from perdure.cached_runs(0::smallint, t.worker(2), array[t.run('b'), t.run('a')])),
    array[t.run('b')],
    'a worker has cached what it completed last');
select is(t.refusal($$select t.take(t.report('song', '{}'))$$), 'PD003', 'an unknown report is refused');
select is_empty('select * from perdure.violations(0::smallint)', 'the engine is in order');
select * from finish();
