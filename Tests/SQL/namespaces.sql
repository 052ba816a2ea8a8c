-- Namespaces are registered, changed and deleted with all that is in them; task queues and runs are described.
\set ON_ERROR_STOP on
\ir support/engine.psql
select no_plan();
select t.at(0), t.register(1) \g /dev/null

-- Registering
select isnt(perdure.register_namespace('sales', '5 days', 'for sales', 'a@example.com', '{"team": "blue"}'), null,
    'a namespace is registered, and has an id');
select is(perdure.register_namespace('sales', '9 days', 'another'), null, 'a second time nothing is registered');
select is((retention, description, owner_email, data)::text,
    '("5 days","for sales",a@example.com,"{""team"": ""blue""}")',
    'nor changed') from perdure.namespaces where namespace = 'sales';
select is(t.refusal($$select perdure.register_namespace('', '1 day')$$), 'PD003', 'it has a name');
select is(t.refusal($$select perdure.register_namespace('x', '0')$$), 'PD003', 'it keeps runs for a time');
select is(t.refusal($$select perdure.register_namespace('x', '1 day', p_data => '[]')$$), 'PD003',
    'its data are an object');
select is(t.refusal($$select perdure.register_namespace('x', '1 day', p_data => '{"n": 1}')$$), 'PD003', 'of texts');
select is(t.refusal($$select perdure.register_namespace('x', '1 day', repeat('x', 100000))$$), 'PD003',
    'its texts are short');
select is_empty($$select from perdure.namespaces where namespace in ('', 'x')$$, 'and nothing was left of these');

-- Changing
select perdure.update_namespace('sales', p_description => 'for all', p_data => '{"floor": "3"}') \g /dev/null
select is((retention, description, owner_email, data)::text,
    '("5 days","for all",a@example.com,"{""team"": ""blue"", ""floor"": ""3""}")',
    'what is not named stays, data are added')
    from perdure.namespaces where namespace = 'sales';
select perdure.update_namespace('sales', '10 days', p_owner_email => '') \g /dev/null
select is((retention, owner_email)::text, '("10 days","")', 'the rest changes') from perdure.namespaces
    where namespace = 'sales';
select is(t.refusal($$select perdure.update_namespace('nowhere')$$), 'PD005', 'one that is not there is not changed');
select is(t.refusal($$select perdure.update_namespace('sales', '0')$$), 'PD003', 'nor to nonsense');

-- Deleting
select perdure.start_workflow('T', 'open', 'q', namespace => 'sales'),
    perdure.start_workflow('T', 'closed', 'q', namespace => 'sales'),
    perdure.terminate_workflow('closed', namespace => 'sales'), t.start('stays') \g /dev/null
select is(perdure.delete_namespace('sales'), (select namespace_id from perdure.namespaces where namespace = 'sales'),
    'a namespace is deleted');
select is(t.refusal($$select perdure.delete_namespace('sales')$$), 'PD005', 'once');
select is(t.refusal($$select perdure.start_workflow('T', 'late', 'q', namespace => 'sales')$$), 'PD005',
    'nothing starts in it');
select is(t.refusal($$select perdure.describe_workflow('open', namespace => 'sales')$$), 'PD005',
    'nobody sees its runs');
select is(t.refusal($$select * from perdure.list_workflows('', 'sales')$$), 'PD005', 'nor lists them');
select is(t.refusal($$select perdure.add_search_attribute('Colour', 'Keyword', 'sales')$$), 'PD005',
    'it takes no search attribute');
select is(t.refusal($$select perdure.register_worker(t.worker(2), 'sales', 'me', '', '{q}', '10 s', '{}')$$),
    'PD005', 'no worker');
select is(t.refusal($$select perdure.register_namespace('sales', '1 day')$$), 'PD003',
    'and is not made anew while it has runs');
select is(t.refusal($$select perdure.create_namespace('sales')$$), 'PD003', 'in no way');
select t.at(1) \g /dev/null
select is((select is_more from perdure.delete_expired(0::smallint)), true,
    'open runs are terminated, then there is more');
select is(e.event #>> '{attributes,reason}', 'the namespace was deleted', 'and their histories say why')
    from perdure.executions x join perdure.history h on h.run_id = x.run_id, unnest(h.events) e (event)
    where x.workflow_id = 'open' and e.event ->> 'eventType' = 'WorkflowExecutionTerminated';
select t.at(2), perdure.delete_expired(0::smallint) \g /dev/null
select is_empty($$select from perdure.workflows where namespace = 'sales'$$, 'the next time all are gone');
select is((select count(*) from perdure.workflows where workflow_id = 'stays'), 1::bigint, 'others stay');
select isnt(perdure.register_namespace('sales', '1 day'), null, 'then the name is free');
select is(data, '{}'::jsonb, 'and nothing is left of the old one') from perdure.namespaces where namespace = 'sales';
select perdure.start_workflow('T', 'open', 'q', namespace => 'sales') \g /dev/null
select is_empty($$select * from perdure.violations(0::smallint)$$, 'nothing is out of order');

-- Task queues
select t.at(100), t.start('a'), t.at(110), t.start('b'), t.at(135) \g /dev/null
select is((s.waiting, s.oldest_at, s.lately)::text, (3, timestamptz '2026-01-01 00:00:00Z', 1)::text,
    'what waits is counted, its age is told')
    from perdure.task_queue_statistics(0::smallint, 'default', 'q', 'workflow') s;
select is(s.waiting, 2, 'no further than asked')
    from perdure.task_queue_statistics(0::smallint, 'default', 'q', 'workflow', 2) s;
select is((s.waiting, s.lately)::text, '(0,0)', 'of each kind')
    from perdure.task_queue_statistics(0::smallint, 'default', 'q', 'activity') s;

-- Runs
select is(perdure.is_cancel_requested(0::smallint, t.run('a')), false, 'nobody asked for the cancellation of a run');
select perdure.cancel_workflow('a') \g /dev/null
select is(perdure.is_cancel_requested(0::smallint, t.run('a')), true, 'now somebody has');
select perdure.terminate_workflow('a') \g /dev/null
select is(perdure.is_cancel_requested(0::smallint, t.run('a')), true, 'and it is known when the run has closed');
select perdure.terminate_workflow('b') \g /dev/null
select is(perdure.is_cancel_requested(0::smallint, t.run('b')), false, 'of one that was not asked too');
select * from finish();
