-- Queries of open and closed runs: a worker that can answers them, once its cached run has everything that has
-- happened.
begin;
\ir support/engine.psql
select no_plan();
select t.register(2) \g /dev/null
create function t.ask(p_id text, p_timeout interval default '10 s') returns uuid language sql
as $$ select perdure.start_query(0::smallint, 'default', p_id, null, 'state', '[]', p_timeout) $$;
create function t.claim_queries(p_worker int default 1, p_limit int default 10) returns text language sql
as $$ select coalesce(string_agg(q.workflow_id || '@' || q.last_event_id, ' ' order by q.workflow_id), '')
    from perdure.claim_queries(0::smallint, t.worker(p_worker), 'q', p_limit) q $$;
create function t.answer(p_query uuid, p_more jsonb, p_worker int default 1) returns text language sql
as $$ select a.outcome from perdure.answer_queries(0::smallint, t.worker(p_worker),
    jsonb_build_array(jsonb_build_object('queryId', p_query) || p_more)) a $$;
create function t.answered(p_query uuid) returns text language sql
as $$ select concat_ws(' ', a.state, a.result, a.failure ->> 'message')
    from perdure.query_answer(0::smallint, p_query) a $$;

-- A run that has begun and waits for a timer
select t.start('a'), t.claim(), t.complete('a', jsonb_build_array(t.timer('x', '1000s')), p_sticky => true) \g /dev/null
create temp table asked as select 'a' as id, t.ask('a') as query;
select is(t.answered(query), 'pending', 'a question waits') from asked;
select is(t.claim_queries(2), '', 'first for the worker that has the run cached');
select is(t.claim_queries(1), 'a@5', 'which gets it, with the last event that the answer must know');
select is(t.answered(query), 'claimed', 'then it is being answered') from asked;
select is(t.claim_queries(1), '', 'by one');
select is(t.answer(query, jsonb_build_object('result', t.data('5')), 2), 'lost', 'another has no answer to give')
    from asked;
select is(t.answer(query, jsonb_build_object('result', t.data('5'))), 'answered', 'that one has') from asked;
select is(t.answered(query), 'answered [{"data": 5, "encoding": "json/plain"}]', 'and whoever asked reads it')
    from asked;
select is(t.answer(query, jsonb_build_object('result', t.data('6'))), 'lost', 'an answer is given once') from asked;
select is(t.history('a', 6), null, 'the history knows nothing of it');

-- The header, which interceptors set, comes with the query
select perdure.start_query(0::smallint, 'default', 'a', null, 'state',
    p_header => '{"who": {"encoding": "json/plain", "data": "me"}}')
    \g /dev/null
select is(q.header, '{"who": {"encoding": "json/plain", "data": "me"}}', 'a question has a header')
    from perdure.claim_queries(0::smallint, t.worker(1), 'q', 1) q;
select is(t.refusal($$select perdure.start_query(0::smallint, 'default', 'a', null, 'state',
    p_header => '{"who": 5}')$$), 'PD003', 'of payloads');

-- A failure is an answer
update asked set query = t.ask('a');
select t.claim_queries() \g /dev/null
select is(t.answer(query, '{"failure": {"message": "unknown query type"}}'), 'failed', 'a query can fail') from asked;
select is(t.answered(query), 'failed unknown query type', 'and says why') from asked;

-- While a workflow task is under way a question waits for it
select perdure.signal_workflow('a', 's') \g /dev/null
update asked set query = t.ask('a');
select is(t.claim_queries(), '', 'a question waits while the run has something to take in');
select t.claim() \g /dev/null
select is(t.claim_queries(), '', 'and while it does so');
select t.complete('a', p_sticky => true) \g /dev/null
select is(t.claim_queries(), 'a@9', 'then it is asked');
-- A query does not wait for a task that keeps failing
select perdure.signal_workflow('a', 's'), t.claim(), t.fail('a') \g /dev/null
update asked set query = t.ask('a');
select matches(t.claim_queries(2), '^a@', 'a run whose workflow task fails can be asked, by any worker');

-- If the worker that has the run cached does not come, another may answer after a second
select t.at(100), t.start('b'), t.claim(), t.complete('b', jsonb_build_array(t.timer('x', '1000s')), p_sticky => true)
    \g /dev/null
update asked set query = t.ask('b');
select is(t.claim_queries(2), '', 'a question is kept for the worker that has the run');
select t.at(101.1) \g /dev/null
select is(t.claim_queries(2), 'b@5', 'for a second');

-- Closed runs
select t.start('c'), t.claim(), t.complete('c', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
update asked set query = t.ask('c');
select is(t.claim_queries(2), 'c@5', 'a closed run can be asked');
select is(t.answer(query, jsonb_build_object('result', t.data('1')), 2), 'answered', 'and answers') from asked;

-- Nobody answers in time
update asked set query = t.ask('c', '5 s');
select t.at(106.2) \g /dev/null
select matches(t.answered(query), '^failed no worker answered in time', 'a question that nobody answers fails')
    from asked;
select is(t.claim_queries(), '', 'and is not asked any more');
select t.at(170), perdure.delete_expired(0::smallint) \g /dev/null
select is(t.refusal(format('select perdure.query_answer(0::smallint, %L)', query)), 'PD009',
    'in the end it is forgotten') from asked;

-- Refusals
select is(t.refusal($$select perdure.start_query(0::smallint, 'default', 'none', null, 'state')$$), 'PD001',
    'no such workflow');
select is(t.refusal($$select perdure.start_query(0::smallint, 'default', 'a', null, '')$$), 'PD003', 'no question');
select is(t.refusal($$select perdure.start_query(0::smallint, 'default', 'a', null, 'state', '5')$$), 'PD003',
    'no payloads');
select is(t.refusal($$select perdure.query_answer(0::smallint, gen_random_uuid())$$), 'PD009', 'no such query');
select is(t.refusal($$select perdure.claim_queries(0::smallint, t.worker(9), 'q', 1)$$), 'PD007', 'no such worker');
select is(t.refusal($$select perdure.answer_queries(0::smallint, t.worker(9), '[]')$$), 'PD007', 'nor may it answer');

-- A query that came with a workflow task whose time runs out
select t.at(1000), t.terminate_all(), t.start('late'), t.claim(), t.ask('late', '30 s') as late \gset
select isnt(perdure.ride_along_queries(0::smallint, t.worker(1), 'default', 'q', t.run('late'), perdure.clock())::text,
    null,
    'a question comes with the task');
select is(t.answered(:'late'), 'claimed', 'and is being answered');
select t.at(1011), t.upkeep() \g /dev/null
select is(t.history('late', 4), '4 WorkflowTaskTimedOut', 'the task times out');
select is(t.answered(:'late'), 'pending', 'and the question waits for the next');

select * from finish();
rollback;
