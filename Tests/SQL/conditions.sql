-- The states of runs in words; how they are found; what needs attention; and how to try at once what failed.
begin;
\ir support/engine.psql
select no_plan();
create function t.verdict(p_id text) returns text language sql as $$
    select v.condition || ': ' || v.verdict from perdure.workflow_verdicts v where v.run_id = t.run(p_id)
$$;
create function t.found(p_filter text) returns text language sql as $$
    select coalesce(string_agg(w.workflow_id, ' ' order by w.workflow_id), '') from perdure.list_workflows(p_filter) w
$$;
create function t.cause(p_failure jsonb) returns text language sql as $$ select perdure.failure_cause(p_failure) $$;

-- The cause of a failure
select is(t.cause(failure::jsonb), cause, cause) from (values
    ('{"message": "x at Bank/Bug.swift:30", "applicationFailureInfo": {"type": "Missing"}}', 'Missing at Bug.swift:30'),
    ('{"message": "x", "stackTrace": "a at A.swift:8\nb at B.swift:9", "applicationFailureInfo": {"type": "T"}}',
        'T at A.swift:8'),
    ('{"message": "outer", "stackTrace": "o at O.swift:1", "applicationFailureInfo": {"type": "O"}, "cause":
        {"message": "inner", "applicationFailureInfo": {"type": "I"}}}', 'I at O.swift:1'),
    ('{"message": "activity StartToClose timeout", "timeoutFailureInfo": {"timeoutType": "StartToClose"}, "cause":
        {"message": "before", "stackTrace": "A.swift:1", "applicationFailureInfo": {"type": "T"}}}',
        'StartToClose timeout'),
    ('{"message": "balance 12.50 of 7f0c0000-0000-4000-8000-000000000001 is 3 short\nmore"}',
        'balance ….… of … is … short'),
    ('{"message": "bad", "applicationFailureInfo": {"type": "KeyError"}, "stackTrace":
        "  File \"/usr/lib/python3.11/asyncio/run.py\", line 7, in run\n'
        '  File \"/app/shop/pay.py\", line 12, in pay\n'
        '  File \"/venv/site-packages/http/client.py\", line 99, in get\n"}',
        'KeyError at pay.py:12'),
    ('{}', 'no message'), ('null', 'no message'), ('"text"', 'no message')
) f (failure, cause);
select is(t.cause(jsonb_build_object('message', repeat('x1', 100000), 'stackTrace', repeat('y', 1000000)))
    ~ '^(x…){75}$', true, 'a long one is cut');
select is(perdure.in_words(words.duration), words.said, words.said) from (values
    (interval '-1 s', '0 ms'), (interval '0.85 s', '850 ms'), ('12.9 s', '12 s'), ('184 s', '3 min 04 s'),
    ('2 h 5 min', '2 h 05 min'), ('76 h', '3 d 4 h'), ('24 h', '1 d 0 h')) words (duration, said);
select is(perdure.moment_in_words(said.at, '2026-01-01 12:00:00Z'), said.so, said.so) from (values
    (timestamptz '2026-01-01 23:59:00Z', '23:59:00 UTC'), ('2026-01-02 09:00:00Z', 'Friday 9:00 UTC'),
    ('2026-01-06 09:00:00Z', 'Tuesday 9:00 UTC'), ('2026-01-09 09:00:00Z', '2026-01-09 09:00 UTC')) said (at, so);

-- What a run waits for
select t.start('waiting') \g /dev/null
select is(t.verdict('waiting'), 'Running: Waits for a worker of the queue q for 0 ms', 'a worker is there');
select t.at(2), t.claim() \g /dev/null
select t.at(3) \g /dev/null
select is(t.verdict('waiting'), 'Running: Its code runs for 1 s on worker-1', 'it runs');
select t.complete('waiting', jsonb_build_array(t.activity('a', '{"activityType": {"name": "Deposit"}}'),
    t.activity('b', '{"activityType": {"name": "Withdraw"}}'))) \g /dev/null
select is(t.verdict('waiting'), 'Running: Deposit waits for a worker for 0 ms, beside 1 more step',
    'steps wait for a worker');
select t.claim_activities(p_limit => 1) \g /dev/null
select t.at(7) \g /dev/null
select is(t.verdict('waiting'), 'Running: Deposit runs for 4 s on worker-1, beside 1 more step', 'one runs');
select is((select v.reason from perdure.workflow_verdicts v where v.workflow_id = 'waiting'),
    'Deposit runs, and 1 more step', 'in few words');

-- An activity that fails
select t.finish('waiting', 'a', 'failed', t.failure('the API answered 500')) \g /dev/null
select is(t.verdict('waiting'), 'Retrying: Waits for attempt 2 of Deposit in 1 s: the API answered 500',
    'it waits for the next attempt');
select results_eq($$select cause collate "default", failed_attempts, event_id, since, due_time
    from perdure.workflow_verdicts where workflow_id = 'waiting'$$,
    $$values ('Deposit: Error', 1, 5::bigint, timestamptz '2026-01-01 00:00:07Z', timestamptz '2026-01-01 00:00:08Z')$$,
    'what fails, how often, where, since when');
select t.at(8.5), t.upkeep() \g /dev/null
select is(t.verdict('waiting'),
    'Retrying: Attempt 2 of Deposit waits for a worker for 500 ms; attempt 1 failed: the API answered 500',
    'the next attempt waits for a worker');
select t.claim_activities() \g /dev/null
select t.at(10.5) \g /dev/null
select is(t.verdict('waiting'),
    'Retrying: Attempt 2 of Deposit runs for 2 s; attempt 1 failed: the API answered 500', 'and runs');
select is(t.found(filter), found, filter) from (values
    ('Condition = "Retrying"', 'waiting'), ('Condition = ''retrying''', 'waiting'), ('Condition = "CodeFails"', ''),
    ('Condition IN ("CodeFails", "Retrying")', 'waiting'), ('Condition != "Retrying"', ''),
    ('Condition IS NULL', ''), ('Condition IS NOT NULL', 'waiting'), ('not Condition = "CodeFails"', 'waiting'),
    ('Cause = "Deposit: Error"', 'waiting'), ('Cause = "Deposit"', ''), ('FailingActivity = "Deposit"', 'waiting'),
    ('FailingActivity = "Withdraw"', ''), ('FailingActivity IS NOT NULL', 'waiting'),
    ('FailingBuild = "build-1"', 'waiting'), ('FailingBuild = "build-2"', ''),
    ('Condition = "Retrying" AND WorkflowType = "T" ORDER BY StartTime', 'waiting'),
    ('Condition = "Retrying" OR WorkflowType = "None"', 'waiting')) f (filter, found);
select t.finish('waiting', 'a', 'failed', '{"failure": {"message": "late", "timeoutFailureInfo":
    {"timeoutType": "StartToClose"}}}') \g /dev/null
select results_eq($$select cause collate "default", since from perdure.workflow_verdicts
    where workflow_id = 'waiting'$$,
    $$values ('Deposit: StartToClose timeout', timestamptz '2026-01-01 00:00:10.5Z')$$,
    'another cause begins anew');
select t.finish('waiting', 'b') \g /dev/null
select is(perdure.retry_now('waiting'), 1, 'it need not wait');
select is(t.claim_activities(), 'waiting/a#3', 'and is claimed at once');
select is(perdure.retry_now('waiting'), 0, 'what runs is left alone');
select t.finish('waiting', 'a') \g /dev/null
select is(t.found('Condition = "Retrying"'), '', 'what has succeeded fails no more');
select is_empty('select from perdure.attention()', 'and needs no attention');

-- Code that fails
select t.claim(), t.fail('waiting') \g /dev/null
select is(t.verdict('waiting'), 'CodeFails: Its code fails since build-1: a bug', 'code that fails');
select t.claim(), t.fail('waiting') \g /dev/null
select is(t.verdict('waiting'), 'CodeFails: Its code fails since build-1: a bug. It is tried again in 1 s',
    'is tried again');
select t.at(15), perdure.signal_workflow('waiting', 's') \g /dev/null
select is(t.found('Condition = "CodeFails" AND Cause = "a bug" AND FailingBuild = "build-1"'), 'waiting',
    'an event that comes in between changes nothing of that');
select t.claim(), t.fail('waiting'), t.claim(), t.fail('waiting') \g /dev/null
select is(perdure.retry_now('waiting'), 1, 'it, too, can be tried at once');
select results_eq($$select kind, cause collate "default", what, is_urgent, runs, since, builds, task_queues,
    workflow_id collate "default", message, filter from perdure.attention()$$,
    $$values ('code', 'a bug', 'Workflow code fails: a bug', true, 1::bigint, timestamptz '2026-01-01 00:00:10.5Z',
        array['build-1'], array['q'], 'waiting', 'a bug', 'Cause = ''a bug''')$$, 'needs attention');
select t.claim(), t.complete('waiting', jsonb_build_array(t.timer('x', '3600s'))) \g /dev/null
select is(t.verdict('waiting'), 'Running: Sleeps until 1:00:15 UTC', 'the fix has come, and it sleeps');
select is(t.found('Condition IS NULL and ExecutionStatus = "Running"'), 'waiting', 'nothing is wrong');

-- Time-outs of a workflow task are reported from the second on: the first may come from a worker that died
select t.at(20), t.start('slow'), t.claim(), t.at(31), t.upkeep() \g /dev/null
select is(t.verdict('slow'), 'Running: Waits for a worker of the queue q for 0 ms', 'a first time-out');
select t.claim(), t.at(42), t.upkeep() \g /dev/null
select is(t.verdict('slow'), 'CodeFails: Its code fails since build-1: StartToClose timeout. It is tried again in 1 s',
    'a second one');
select perdure.terminate_workflow('slow', 'stuck') \g /dev/null
select is(t.verdict('slow'), 'Terminated: Terminated after 22 s: stuck', 'one that was terminated');

-- Nobody polls
select perdure.start_workflow('T', 'lonely', 'nowhere') \g /dev/null
select is(t.verdict('lonely'), 'NoWorker: Nobody polls the queue nowhere', 'a queue that nobody polls');
select is(t.found(filter), found, filter) from (values ('Condition = "NoWorker"', 'lonely'),
    ('Cause = "no worker on nowhere"', 'lonely'), ('Cause = "no worker on q"', '')) f (filter, found);
select is((select is_urgent from perdure.attention() where kind = 'queue'), false, 'for a moment');
select t.at(60) \g /dev/null
select results_eq($$select what, is_urgent, runs, filter from perdure.attention() where kind = 'queue'$$,
    $$values ('Nobody polls the queue nowhere', true, 1::bigint, 'Cause = ''no worker on nowhere''')$$, 'and longer');
select perdure.register_worker(t.worker(7), 'default', 'activities', '', array['nowhere'], '1000 days',
    '{"workflowTypes": []}') \g /dev/null
select is(t.found('Condition = "NoWorker"'), 'lonely', 'a worker without workflows polls for none');
select t.register(8, p_queue => 'nowhere'), t.claim(8, p_queue => 'nowhere'),
    t.complete('lonely', jsonb_build_array(t.activity('a', '{"taskQueue": {"name": "else"}}')), 8) \g /dev/null
select is(t.verdict('lonely'), 'NoWorker: A waits, and nobody polls the queue else', 'for an activity');
select is(t.found('Cause = "no worker on else"'), 'lonely', 'which is found, too');
select perdure.terminate_workflow('lonely') \g /dev/null

-- The signals that a workflow handles are known from its code
select t.start('confirmed'), t.claim(), t.complete('confirmed') \g /dev/null
select is(t.verdict('confirmed'), 'Running: Waits for a signal or an update', 'nothing else is under way');
select perdure.register_sources(t.worker(1), jsonb_build_array(jsonb_build_object('kind', 'workflow', 'type', 'T',
    'file', 'T/T.swift', 'firstLine', 1, 'line', 1, 'text', '@WorkflowSignal
    func confirm() { isConfirmed = true }
    @WorkflowSignal(name: "set-limit") public mutating func setLimit(_ limit: Int) {}'))) \g /dev/null
select is(t.verdict('confirmed'), 'Running: Waits for the signals confirm or set-limit', 'its signals');
select is((select r.verdict from perdure.run_verdict(0::smallint, t.run('confirmed'), true) r),
    'Waits for a signal or an update', 'which a list does not look up');
select is(t.verdict('waiting'), 'Running: Waits for the signals confirm or set-limit, at most until 1:00:15 UTC',
    'for a time');
select t.start('later', '{"workflowStartDelay": "90s"}'), t.start('soon', '{"workflowStartDelay": "30s"}')
    \g /dev/null
select is(t.verdict('later'), 'Running: Starts at 0:02:30 UTC', 'a start that is delayed');
select is(t.verdict('soon'), 'Running: Starts in 30 s', 'and not for long');
select t.start('parent'), t.claim(), t.complete('parent', jsonb_build_array(t.command('StartChildWorkflowExecution',
    '{"workflowId": "child", "workflowType": {"name": "T"}, "taskQueue": {"name": "q"}}'))) \g /dev/null
select is(t.verdict('parent'), 'Running: Waits for the child workflow child', 'a child');

-- Queues that fall behind
select t.at(120), t.start('piled-' || n) from generate_series(1, 3) n \g /dev/null
select t.at(120 + 60 * n), perdure.delete_expired(0::smallint) from generate_series(1, 6) n \g /dev/null
select is((select count(*) from perdure.queue_samples s where s.task_queue = 'q' and s.kind = 'workflow'), 6::bigint,
    'a sample a minute');
select perdure.delete_expired(0::smallint) \g /dev/null
select is((select count(*) from perdure.queue_samples s where s.task_queue = 'q' and s.kind = 'workflow'), 6::bigint,
    'and no second one');
select results_eq($$select what, is_urgent, runs from perdure.attention() where kind = 'queue' and cause is null$$,
    $$values ('The queue q falls behind: its oldest workflow task has waited 6 min 00 s', true, 3::bigint)$$,
    'a queue whose oldest task grows older and older');
select t.at(100000), perdure.delete_expired(0::smallint) \g /dev/null
select is((select count(*) from perdure.queue_samples s where s.minute < perdure.clock() - interval '1 day'), 0::bigint,
    'a day is kept');

-- A search attribute hides the field of the same name
select perdure.create_namespace('own') \g /dev/null
select perdure.add_search_attribute('Condition', 'Keyword', 'own'), perdure.add_search_attribute('Cause', 'Keyword',
    'own'), perdure.add_search_attribute('FailingBuild', 'Int', 'own') \g /dev/null
select perdure.start_workflow('T', 'sick', 'nobody', namespace => 'own',
    options => '{"searchAttributes": {"Condition": "Retrying", "Cause": "flu", "FailingBuild": 7}}'),
    perdure.start_workflow('T', 'sound', 'nobody', namespace => 'own', options =>
    '{"searchAttributes": {"Condition": "none"}}') \g /dev/null
create function t.own(p_filter text) returns text language sql as $$
    select coalesce(string_agg(w.workflow_id, ' ' order by w.workflow_id), '')
    from perdure.list_workflows(p_filter, 'own') w
$$;
select is(t.own(filter), found, filter) from (values
    ('Condition = "Retrying"', 'sick'), ('Condition = "none"', 'sound'), ('Condition STARTS_WITH "n"', 'sound'),
    ('Condition IN ("Retrying", "none") AND Cause = ''flu''', 'sick'), ('Cause IS NULL', 'sound'),
    ('`Cause` >= "f"', 'sick'), ('FailingBuild = 7', 'sick'), ('FailingBuild > 6', 'sick'),
    ('Condition != "none"', 'sick'), ('FailingActivity IS NOT NULL', ''), ('PerdureCondition = "Retrying"', ''),
    ('PerdureCondition = "NoWorker"', 'sick sound'), ('PerdureCause = "no worker on nobody"', 'sick sound'),
    ('PerdureFailingBuild = "7"', '')) f (filter, found);
select is((select string_agg(w.workflow_id, ' ') from perdure.list_workflows('ORDER BY Condition', 'own') w),
    'sick sound', 'and are ordered by');
select is((select string_agg(w.workflow_id, ' ') from perdure.list_workflows('ORDER BY Condition', 'own', 1,
    '{"search_attributes": {"Condition": "Retrying"}, "run_id": "ffffffff-ffff-4fff-bfff-ffffffffffff"}') w),
    'sound', 'page by page');
select is((select string_agg(f.type, ' ' order by f.name collate "C") from perdure.list_filter_fields('own') f
    where f.name in ('Condition', 'Cause', 'FailingActivity', 'FailingBuild')), 'Keyword Keyword KeywordList Int',
    'each name stands once in the list');
select is((select a.filter from perdure.attention('own') a), 'PerdureCause = ''no worker on nobody''',
    'what needs attention is found all the same');
select is(t.own(a.filter), 'sick sound', 'by its filter') from perdure.attention('own') a;
select throws_ok($$select perdure.list_workflows('FailingBuild = "x"', 'own')$$, 'PD003',
    'list filter: FailingBuild takes a whole number, not "x"', 'the type is the attribute''s');

-- What is wrong
select is(t.refusal(sql), code, sql) from (values
    ('select perdure.list_workflows(''Condition = "Broken"'')', 'PD003'),
    ('select perdure.list_workflows(''Condition > "Retrying"'')', 'PD003'),
    ('select perdure.list_workflows(''ORDER BY Condition'')', 'PD003'),
    ('select perdure.attention(''none'')', 'PD005'), ('select perdure.attention(null)', 'PD005'),
    ('select perdure.retry_now(''none'')', 'PD001'), ('select perdure.retry_now(''slow'')', 'PD006'),
    ('select perdure.verdict(''none'')', 'PD001')) r (sql, code);
select is((select v.verdict from perdure.run_verdict(0::smallint, gen_random_uuid()) v), null, 'no run, no verdict');
select is((select count(*) from perdure.violations()), 0::bigint, 'no rule is broken');
select * from finish();
rollback;
