-- Workers: leases, what becomes of the work of one that is lost, and notifications to those that sleep.
begin;
\ir support/engine.psql
select no_plan();

-- Registration and lease
select t.register(2, '10 s') \g /dev/null
select results_eq($$select identity, build_id, task_queues, registered_at, lease_until, waiting
    from perdure.live_workers where worker_id = t.worker(2)$$,
    $$values ('worker-2', 'build-2', array['q'], timestamptz '2026-01-01 00:00:00Z', timestamptz '2026-01-01 00:00:10Z',
        false)$$, 'a worker is known');
select t.at(5) \g /dev/null
select is(perdure.renew_lease(t.worker(2)), timestamptz '2026-01-01 00:00:15Z', 'renews its lease');
select is(perdure.renew_lease(t.worker(2), true), timestamptz '2026-01-01 00:00:15Z', 'and says that it sleeps');
select is((select waiting from perdure.live_workers where worker_id = t.worker(2)), true, 'as is seen');
select perdure.set_waiting(t.worker(2), false) \g /dev/null
select is((select waiting from perdure.live_workers where worker_id = t.worker(2)), false, 'until it wakes');
select is(t.refusal(sql), code, sql) from (values
    ('select perdure.register_worker(null, ''default'', ''x'', '''', array[''q''], ''1 s'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', array[]::text[], ''1 s'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', null, ''1 s'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', array[''''], ''1 s'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', array[null], ''1 s'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', array[''q''], ''0'')', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''default'', ''x'', '''', array[''q''], null)', 'PD003'),
    ('select perdure.register_worker(t.worker(9), ''none'', ''x'', '''', array[''q''], ''1 s'')', 'PD005'),
    ('select perdure.renew_lease(t.worker(9))', 'PD007'),
    ('select perdure.register_worker(t.worker(9), ''default'', null, null, array[''q''], ''1 s'')', 'accepted'),
    ('select perdure.stop_worker(t.worker(9))', 'accepted'),
    ('select perdure.stop_worker(t.worker(9))', 'accepted'),
    ('select perdure.release_tasks(0::smallint, t.worker(9), ''[]'')', 'accepted')
) r (sql, code);

-- What a worker tells after it has registered
select perdure.register_worker(t.worker(8), 'default', 'late', '', array['q'], '10 s'),
    perdure.register_worker(t.worker(8), 'default', 'late', 'build-8', array['q', 'r'], '10 s') \g /dev/null
select results_eq($$select build_id, task_queues from perdure.live_workers where worker_id = t.worker(8)$$,
    $$values ('build-8', array['q', 'r'])$$, 'its build and its queues are known once it has told them');
select perdure.register_worker(t.worker(8), 'default', 'late', '', array['q', 'r'], '10 s') \g /dev/null
select is((select build_id from perdure.live_workers where worker_id = t.worker(8)), 'build-8',
    'whoever does not tell its build keeps it');
select perdure.stop_worker(t.worker(8)) \g /dev/null

-- Who is busy beside a worker
select t.register(4), perdure.set_waiting(t.worker(1), true), perdure.set_waiting(t.worker(2), true) \g /dev/null
select perdure.register_worker(t.worker(5), 'default', 'activities', '', array['q'], '1 day',
    '{"workflowTypes": [], "activityTypes": ["A"]}'),
    perdure.register_worker(t.worker(6), 'default', 'both', '', array['other'], '10 s', '{"workflowTypes": ["T"]}')
        \g /dev/null
select is(perdure.busy_workers(t.worker(4)), 1,
    'busy are those that run workflows, on any queue, and do not wait for work');
select is(perdure.busy_workers(t.worker(2)), 2,
    'whoever asks is not counted, and who says nothing of its workflows is');
select perdure.set_waiting(t.worker(2), false) \g /dev/null
select is(perdure.busy_workers(t.worker(4)), 2, 'who has woken is busy');
select perdure.renew_lease(t.worker(2), null, '{"slotsInUse": {"workflow": 0, "activity": 0}}') \g /dev/null
select is(perdure.busy_workers(t.worker(4)), 1,
    'who has nothing in its slots is not, even if it cannot listen and so never says that it waits');
select perdure.renew_lease(t.worker(2), null, '{"slotsInUse": {"workflow": 0, "activity": 3}}') \g /dev/null
select is(perdure.busy_workers(t.worker(4)), 2, 'until it has');
select t.at(15.1) \g /dev/null
select is(perdure.busy_workers(t.worker(4)), 0, 'and whoever is silent is not');
select perdure.stop_worker(t.worker(n)) from generate_series(4, 6) n union all
    select perdure.set_waiting(t.worker(1), false) \g /dev/null

-- A worker is lost: a workflow task times out, an activity is tried again, and it can write nothing
select t.at(100), t.register(3, '10 s'), t.start('w', '{"workflowTaskTimeout": "60s"}'), t.start('a'), t.claim(3)
    \g /dev/null
select t.complete('a', jsonb_build_array(t.activity('x', '{"startToCloseTimeout": "3600s"}'),
    t.activity('y', '{"startToCloseTimeout": "3600s", "retryPolicy": {"maximumAttempts": 1}}')), 3, true),
    t.claim_activities(3) \g /dev/null
select t.at(99.8) \g /dev/null
select is(t.upkeep(), '',
    'a worker that is silent for too long (worker 2) has one more lease, while nobody else was heard either');
select t.at(109.9) \g /dev/null
select is(t.upkeep(), 'workers 1', 'then it is lost, and one whose lease runs is not');
select is(perdure.renew_lease(t.worker(3)), timestamptz '2026-01-01 00:01:59.9Z', 'this one renews in time');
-- Another worker that renews its lease all the time shows that the database could be reached.
select t.register(9, '10 s') \g /dev/null
select t.at(113), perdure.renew_lease(t.worker(9)) \g /dev/null
select t.at(116), perdure.renew_lease(t.worker(9)) \g /dev/null
select t.at(119), perdure.renew_lease(t.worker(9)) \g /dev/null
select t.at(119.9) \g /dev/null
select is(t.upkeep(), 'workers 1', 'and is lost at once when it does not, though another can');
select perdure.stop_worker(t.worker(9)) \g /dev/null
select is(t.refusal($$select perdure.renew_lease(t.worker(3))$$), 'PD007', 'it learns so from its next renewal');
select is(t.refusal($$select t.claim(3)$$), 'PD007', 'and from its next claim');
select is(t.refusal($$select t.complete('w', p_worker => 3)$$), 'PD007', 'it can complete nothing');
select is(t.refusal($$select t.finish('a', 'x', p_worker => 3)$$), 'PD007', 'finish nothing');
select is(t.refusal($$select t.heartbeat('a', 'x', p_worker => 3)$$), 'PD007', 'and keep nothing alive');
select is(t.history('w'),
    '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted 4 WorkflowTaskTimedOut',
    'its workflow task has timed out');
select is((select last_failure #>> '{failure,message}' from perdure.pending_workflow_tasks where workflow_id = 'w'),
    'the lease of the worker that ran the workflow task ran out', 'people see why');
select results_eq($$select activity_id collate "default", state, attempt, last_failure_message
    from perdure.pending_activities$$,
    $$values ('x', 'Scheduled', 2, 'the lease of the worker that ran the activity ran out')$$,
        'an activity that may be tried again will be');
select is((select concat_ws(' ', event_type, attributes #>> '{failure,applicationFailureInfo,type}',
    attributes #>> '{failure,message}')
    from perdure.history_events where run_id = t.run('a') and event_id > 6 order by event_id desc offset 1 limit 1),
    'ActivityTaskFailed WorkerLost the lease of the worker that ran the activity ran out',
        'another has failed, and its run is told by what');
select is(t.claim(1), 'a w', 'other workers get all of it: what it had, and what was kept for it');
select t.at(121), t.upkeep() \g /dev/null
select is(t.claim_activities(1), 'a/x#2', 'activities, too');
select is_empty($$select from perdure.live_workers where worker_id = t.worker(3)$$, 'it is no longer listed');

-- Registering under the same id, as a process that was thought dead may do, gives nothing back
select t.register(3, '10 s') \g /dev/null
select is(t.complete('w', p_worker => 3), 'lost', 'what was taken back stays lost');
select is(t.finish('a', 'x', p_worker => 3), 'lost', 'for the new life of a worker');
select is(t.complete('w', p_worker => 1), 'completed', 'and belongs to whoever has it now');

-- A worker that leaves in order hands back all its tasks, which keep their attempts
select t.at(200), t.terminate_all(), t.register(4), t.start('l'), t.start('m') \g /dev/null
select t.claim(4), t.complete('l', jsonb_build_array(t.activity('x')), 4, true), t.claim_activities(4),
    perdure.signal_workflow('l', 's'), perdure.stop_worker(t.worker(4)) \g /dev/null
select is(t.claim(1), 'l m', 'what a worker held when it left can be had at once');
select is((select array_agg(attempt) from t.workflow_task where worker = 1 and workflow_id in ('l', 'm')), array[1, 1],
    'at the same attempt');
select is(t.claim_activities(1), 'l/x#1', 'activities, too');
select is(t.history('m'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'and no history tells of it');

-- Upkeep says when it is needed next
select t.at(300), t.terminate_all(), perdure.stop_worker(t.worker(3)) \g /dev/null
select t.start('n', '{"workflowRunTimeout": "1000s"}'), t.claim() \g /dev/null
select is((select next_due_at from perdure.upkeep(0::smallint)), timestamptz '2026-01-01 00:05:10Z',
    'a workflow task is due next');
select t.complete('n', jsonb_build_array(t.timer('x', '500s'), t.activity('a', '{"startToCloseTimeout": "100s"}'))),
    t.claim_activities() \g /dev/null
select is((select next_due_at from perdure.upkeep(0::smallint)), timestamptz '2026-01-01 00:06:40Z',
    'then an activity''s timeout');
select t.finish('n', 'a') \g /dev/null
select is((select next_due_at from perdure.upkeep(0::smallint)), timestamptz '2026-01-01 00:13:20Z', 'then the timer');
-- A limit bounds what one call does
select t.at(400), t.terminate_all() \g /dev/null
select t.start('p-' || i, '{"workflowRunTimeout": "1s"}') from generate_series(1, 10) i \g /dev/null
select t.at(402) \g /dev/null
select is((select array[fired_timers, (next_due_at <= perdure.clock())::int] from perdure.upkeep(0::smallint, 4)),
    array[4, 1], 'at most so many of a kind, and it says that more is due');
select is((select array[fired_timers, (next_due_at <= perdure.clock())::int] from perdure.upkeep(0::smallint, 100)),
    array[6, 0], 'until no more is');

select * from finish();
rollback;
