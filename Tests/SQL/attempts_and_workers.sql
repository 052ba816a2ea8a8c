-- Failed attempts and past workers are recorded: histories do not hold them, and the timeline draws them.
begin;
select plan(12);
insert into perdure.settings values ('test_settings', 'true',
    'Sessions may set perdure.now, perdure.many and perdure.general');

select set_config('perdure.now', '2026-01-01 10:00:00+00', true);
select perdure.create_namespace('attempts');
select perdure.register_worker('00000000-0000-4000-8000-000000000001', 'attempts', 'first@host', 'a', array['q'],
    interval '10 s');
select perdure.register_worker('00000000-0000-4000-8000-000000000002', 'attempts', 'second@host', 'b', array['q'],
    interval '10 s');
create temporary table run on commit drop as
    select perdure.shard_for('attempts', 'w') as shard, s.run_id
    from perdure.start_workflow(workflow_type => 'W', workflow_id => 'w', task_queue => 'q', namespace => 'attempts') s;
select perdure.claim_workflow_tasks(shard, '00000000-0000-4000-8000-000000000002', 'q', 1) from run;
select perdure.complete_workflow_tasks(shard, '00000000-0000-4000-8000-000000000002',
    jsonb_build_array(jsonb_build_object('runId', run_id,
    'scheduledEventId', 2, 'attempt', 1, 'sticky', false, 'commands',
        '[{"commandType": "ScheduleActivityTask", "attributes": {"activityId": "1",
        "activityType": {"name": "a"}, "startToCloseTimeout": "600s"}}]'::jsonb))) from run;

select perdure.claim_activity_tasks(shard, '00000000-0000-4000-8000-000000000001', 'q', 1) from run;
select is((select count(*) from perdure.failed_attempts where namespace = 'attempts'), 0::bigint,
    'a running attempt is no failed one');

-- The first worker is killed; the second finds that its lease is over.
select set_config('perdure.now', '2026-01-01 10:00:0' || s || '+00', true),
    perdure.renew_lease('00000000-0000-4000-8000-000000000002')
from unnest(array[4, 8]) s;
select set_config('perdure.now', '2026-01-01 10:00:12+00', true),
    perdure.renew_lease('00000000-0000-4000-8000-000000000002');
select set_config('perdure.now', '2026-01-01 10:00:15+00', true);
select perdure.upkeep(shard) from run;
select results_eq(
    $$select attempt, started_time, ended_time, worker_identity, worker_lost from perdure.failed_attempts
        where namespace = 'attempts'$$,
    $$values (1, '2026-01-01 10:00:00+00'::timestamptz, '2026-01-01 10:00:15+00'::timestamptz, 'first@host', true)$$,
    'an attempt that was lost with its worker is remembered as such');
select results_eq(
    $$select state, registered_at, last_seen_at, ended_at from perdure.worker_lives where identity = 'first@host'$$,
    $$values ('Lost', '2026-01-01 10:00:00+00'::timestamptz, '2026-01-01 10:00:00+00'::timestamptz,
        '2026-01-01 10:00:15+00'::timestamptz)$$,
    'and so is the worker, with when it was last seen');

select set_config('perdure.now', '2026-01-01 10:00:20+00', true);
select perdure.upkeep(shard) from run;
select perdure.claim_activity_tasks(shard, '00000000-0000-4000-8000-000000000002', 'q', 1) from run;
select perdure.finish_activity_tasks(shard, '00000000-0000-4000-8000-000000000002',
    jsonb_build_array(jsonb_build_object('runId', run_id,
    'scheduledEventId', 5, 'attempt', 2, 'outcome', 'failed', 'failure',
        '{"message": "outer", "cause": {"message": "inner"}}'::jsonb))) from run;
select results_eq(
    $$select attempt, scheduled_time, started_time, worker_lost, failure_message from perdure.failed_attempts
        where namespace = 'attempts' and attempt = 2$$,
    $$values (2, '2026-01-01 10:00:16+00'::timestamptz, '2026-01-01 10:00:20+00'::timestamptz, false, 'inner')$$,
    'the next attempt has its own times and failure');

select is((select count(*) from perdure.worker_lives where namespace = 'attempts' and state <> 'Lost'), 1::bigint,
    'one worker is left');
select perdure.stop_worker('00000000-0000-4000-8000-000000000002');
select results_eq($$select state, last_seen_at from perdure.worker_lives where identity = 'second@host'$$,
    $$values ('Stopped', '2026-01-01 10:00:20+00'::timestamptz)$$, 'a worker that leaves is seen until it does');
select lives_ok($$select perdure.stop_worker('00000000-0000-4000-8000-000000000002')$$,
    'leaving twice changes nothing');
select is((select count(*) from perdure.worker_lives where identity = 'second@host'), 1::bigint, 'and is one life');

-- The records are bounded: attempts by their number, workers by the retention.
insert into perdure.activity_attempts select r.shard, r.run_id, 99, n, now(), now(), now(), 'x', false,
    '{"message": "m"}' from run r, generate_series(1, 100) n;
select perdure.fail_activity(r.shard, null::perdure.run_states,
    jsonb_populate_record(null::perdure.activity_tasks, jsonb_build_object('shard', r.shard,
    'run_id', r.run_id, 'scheduled_event_id', 99, 'attempt', 101, 'state', 'started', 'scheduled_at', now(),
        'attempt_scheduled_at', now(), 'started_at', now(),
    'cancel_requested', false, 'retry_policy', perdure.retry_policy('{}'))), now(), '{"message": "m"}') from run r;
select results_eq($$select min(attempt), max(attempt), count(*) from perdure.failed_attempts
    where scheduled_event_id = 99$$,
    $$values (2, 101, 100::bigint)$$,
        'of one activity the latest hundred are kept, and the hundredth power of a backoff is a wait like any other');
select set_config('perdure.now', '2026-03-01 10:00:00+00', true);
select perdure.register_worker('00000000-0000-4000-8000-000000000003', 'attempts', 'third@host', 'c', array['q'],
    interval '10 s');
select perdure.stop_worker('00000000-0000-4000-8000-000000000003');
select perdure.delete_expired(0::smallint);
select results_eq($$select identity from perdure.worker_lives where namespace = 'attempts'$$, $$values ('third@host')$$,
    'workers that are gone for longer than runs are kept are forgotten');

select perdure.terminate_workflow(workflow_id => 'w', namespace => 'attempts');
select perdure.delete_workflow(shard, 'attempts', 'w', run_id) from run;
select is((select count(*) from perdure.activity_attempts a join run r on r.run_id = a.run_id), 0::bigint,
    'attempts go with their run');
select is(has_function_privilege('perdure_worker', 'perdure.remove_worker(uuid, timestamptz, boolean)', 'execute'),
    false,
    'no worker removes another');

select * from finish();
rollback;
