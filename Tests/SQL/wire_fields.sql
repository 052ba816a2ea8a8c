-- Fields that Temporal's SDKs send along are kept in histories and handed out: headers, summaries, SDK metadata.
\set ON_ERROR_STOP on
\ir support/engine.psql
select no_plan();
select t.at(0), t.register(1) \g /dev/null

create function t.payload(p_text text) returns jsonb language sql
as $$ select jsonb_build_object('encoding', 'json/plain', 'data', p_text, 'metadata', '{"key": "k1"}'::jsonb) $$;

select t.start('w', jsonb_build_object('header', jsonb_build_object('trace', t.payload('h1')),
    'userMetadata', jsonb_build_object('summary', t.payload('s1')))) \g /dev/null
select is(t.event('w', 1) #> '{header,trace}', t.payload('h1'), 'a start keeps its header, with all of the payload');
select is((select h.events[1] #> '{userMetadata,summary}' from perdure.history h where h.run_id = t.run('w')
    and first_event_id = 1),
    t.payload('s1'), 'and its summary');

select is(t.claim(), 'w', 'the run is claimed');
select is(c.outcome, 'completed', 'a task with metadata, a header and a summary completes') from t.workflow_task w
cross join lateral perdure.complete_workflow_tasks(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(
    'runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', w.attempt, 'sticky', false,
    'sdkMetadata', '{"langUsedFlags": [1], "sdkName": "temporal-python"}'::jsonb,
    'commands', jsonb_build_array(jsonb_build_object('commandType', 'ScheduleActivityTask',
        'userMetadata', jsonb_build_object('summary', t.payload('s2')),
        'attributes', jsonb_build_object('activityId', 'a', 'activityType', '{"name": "A"}'::jsonb, 'input',
            '[]'::jsonb,
            'startToCloseTimeout', '5s', 'header', jsonb_build_object('trace', t.payload('h2')))))))) c;
select is(t.event('w', 4) -> 'sdkMetadata', '{"langUsedFlags": [1], "sdkName": "temporal-python"}',
    'SDK metadata stand in WorkflowTaskCompleted');
select is(t.event('w', 5) #> '{header,trace}', t.payload('h2'), 'the header stands in ActivityTaskScheduled');
select is((select e #> '{userMetadata,summary}' from perdure.history h, unnest(h.events) e
    where h.run_id = t.run('w') and e ->> 'eventType' = 'ActivityTaskScheduled'), t.payload('s2'),
        'the summary beside it');
select is((select c.header -> 'trace' from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 1) c),
    t.payload('h2'),
    'who claims the activity gets the header');

select perdure.signal_workflow(0::smallint, 'default', 'w', null, 's', '[]', 'me', 'r1',
    jsonb_build_object('trace', t.payload('h3'))) \g /dev/null
select is(t.event('w', 6) #> '{header,trace}', t.payload('h3'), 'a signal keeps its header');

-- Links to what caused an event elsewhere
\set links '[{"workflowEvent": {"namespace": "default", "workflowId": "other", "runId": "r", "eventRef": {"eventId": 3}}}]'
create function t.links(p_workflow_id text, p_type text) returns setof jsonb language sql as $$
    select e -> 'links' from perdure.history h cross join unnest(h.events) e
    where h.run_id = t.run(p_workflow_id) and e ->> 'eventType' = p_type order by h.first_event_id $$;
select t.start('linked', jsonb_build_object('links', :'links'::jsonb)) \g /dev/null
select perdure.signal_workflow(0::smallint, 'default', 'linked', null, 's', p_links => :'links') \g /dev/null
select * from perdure.signal_with_start_workflow(0::smallint, 'default', 'linked', 'T', 'q', '[]', 's', '[]',
    jsonb_build_object('links', :'links'::jsonb)) \g /dev/null
select perdure.request_cancel_workflow(0::smallint, 'default', 'linked', null, p_links => :'links') \g /dev/null
select perdure.terminate_workflow(0::smallint, 'default', 'linked', null, p_links => :'links') \g /dev/null
select results_eq(format('select t.links(%L, %L)', 'linked', type),
    format('select %L::jsonb from generate_series(1, %s)', :'links', n),
    type || ' keeps its links')
from (values ('WorkflowExecutionStarted', 1), ('WorkflowExecutionSignaled', 2), ('WorkflowExecutionCancelRequested', 1),
    ('WorkflowExecutionTerminated', 1)) v (type, n);
select t.start('unlinked', '{"links": []}') \g /dev/null
select results_eq($$select t.links('unlinked', 'WorkflowExecutionStarted')$$, $$values (null::jsonb)$$,
    'no links are not kept');
select throws_ok($$select t.start('x', '{"links": {}}')$$, 'PD003', null, 'links are an array');
select throws_ok($$select t.start('x', '{"links": [5]}')$$, 'PD003', null, 'of objects');
select throws_ok($$select perdure.signal_workflow(0::smallint, 'default', 'w', null, 's', p_links =>
    (select jsonb_agg('{}'::jsonb) from generate_series(1, 11)))$$, 'PD004', null, 'ten at most');
select throws_ok($$select perdure.signal_workflow(0::smallint, 'default', 'w', null, 's', p_links =>
    jsonb_build_array(jsonb_build_object('batchJob', repeat('x', 4000))))$$, 'PD004', null, 'and none is large');

-- The history keeps the types of search attributes that the namespace has removed.
select perdure.add_search_attribute('colour', 'Keyword') \g /dev/null
select t.start('typed', '{"searchAttributes": {"colour": "red"}}') \g /dev/null
select perdure.remove_search_attribute('colour') \g /dev/null
select is(t.event('typed', 1) -> 'searchAttributeTypes', '{"colour": "Keyword"}',
    'the event of the start says their types');

-- Limits
select throws_ok($$select t.start('x', '{"header": {"trace": 5}}')$$, 'PD003', null, 'a header holds payloads');
select throws_ok($$select t.start('x', '{"userMetadata": []}')$$, 'PD003', null, 'so does user metadata');
select throws_ok($$select perdure.signal_workflow(0::smallint, 'default', 'w', null, 's', '[]', null, null, '[]')$$,
    'PD003', null,
    'and the header of a signal');

-- As in Temporal, a timeout is at most the one that contains it.
select t.start('timeouts', '{"workflowExecutionTimeout": "30s", "workflowTaskTimeout": "60s"}') \g /dev/null
select is(t.event('timeouts', 1) - array['workflowType', 'taskQueue', 'workflowId', 'originalExecutionRunId',
    'firstExecutionRunId', 'input', 'attempt', 'workflowExecutionExpirationTime'],
    '{"workflowExecutionTimeout": "30s", "workflowRunTimeout": "30s", "workflowTaskTimeout": "30s"}',
    'a run is no longer than its execution, a task no longer than its run');

-- Functions that the frontend calls for many workers
select t.register(2), t.start('c1'), t.start('c2') \g /dev/null
select results_eq($$select * from perdure.claimable_tasks(0::smallint, 'default', 'q', 'workflow',
    array[t.worker(1), t.worker(2)], 10)$$,
    $$values (null::uuid, 6, 0)$$, 'what any worker may claim is counted once');
select is((select sum(tasks) from perdure.claimable_tasks(0::smallint, 'default', 'q', 'workflow', '{}', 2)), 2::bigint,
    'no further than is asked');
select is((select array_agg(w) from perdure.renew_leases(array[t.worker(1), t.worker(9)], '1 hour') w),
    array[t.worker(9)],
    'leases are renewed, and a worker that is gone is named');
select t.claim(1, 1) as claimed \gset
select is((select jsonb_agg(e ->> 'eventType')
    from jsonb_array_elements(perdure.pending_workflow_task_events(0::smallint, t.run(:'claimed')) #> '{0,events}') e),
    '["WorkflowTaskStarted"]', 'the start of a task under way is told');
select results_eq($$select attempt, state from perdure.find_activity_task(0::smallint, 'default', 'w', null, 'a')$$,
    $$values (1, 'started')$$, 'an activity is found by its id');
select throws_ok($$select perdure.remove_search_attribute('none')$$, 'PD008', null,
    'an attribute that there is not cannot go');
select perdure.add_search_attribute('gone', 'Keyword'), perdure.remove_search_attribute('gone') \g /dev/null
select is((select count(*) from perdure.search_attributes where name = 'gone'), 0::bigint, 'another goes');

select is_empty($$select * from perdure.violations()$$, 'nothing is broken');
select * from finish();
