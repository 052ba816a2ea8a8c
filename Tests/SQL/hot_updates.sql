-- Typical updates of an open run write no index: a signal, workflow tasks with activities, an activity's end, a failed
-- workflow task. The test has so few runs that one page holds every version of their rows, because other sessions may
-- keep old versions from being pruned.
select no_plan();
select count(*) from generate_series(1, 3) i cross join lateral perdure.start_workflow('T', 'hot-' || i, 'hot')
    \g /dev/null
select perdure.register_worker('00000000-0000-4000-8000-000000000002', 'default', 'me', '', array['hot'], '10 s')
    \g /dev/null
create temp table claimed as select * from perdure.claim_workflow_tasks(0::smallint,
    '00000000-0000-4000-8000-000000000002', 'hot', 3);
select count(perdure.signal_workflow('hot-' || i, 'more')) from generate_series(1, 3) i \g /dev/null
select count(*) from perdure.complete_workflow_tasks(0::smallint, '00000000-0000-4000-8000-000000000002',
    (select jsonb_agg(jsonb_build_object(
    'runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt, 'commands',
        jsonb_build_array(jsonb_build_object('commandType', 'ScheduleActivityTask',
    'attributes', '{"activityId": "a", "activityType": {"name": "A"}, "startToCloseTimeout": "10s"}'::jsonb))))
        from claimed)) \g /dev/null
create temp table activity as select * from perdure.claim_activity_tasks(0::smallint,
    '00000000-0000-4000-8000-000000000002', 'hot', 3);
select count(*) from perdure.finish_activity_tasks(0::smallint, '00000000-0000-4000-8000-000000000002',
    (select jsonb_agg(jsonb_build_object('runId', run_id,
    'scheduledEventId', scheduled_event_id, 'attempt', attempt, 'outcome', 'completed')) from activity)) \g /dev/null
create temp table again as select * from perdure.claim_workflow_tasks(0::smallint,
    '00000000-0000-4000-8000-000000000002', 'hot', 3);
select count(*) from perdure.fail_workflow_tasks(0::smallint, '00000000-0000-4000-8000-000000000002',
    (select jsonb_agg(jsonb_build_object('runId', run_id,
    'scheduledEventId', scheduled_event_id, 'attempt', attempt)) from again)) \g /dev/null
select pg_stat_force_next_flush() \g /dev/null
select cmp_ok(pg_stat_get_tuples_updated('perdure.run_states'::regclass), '>=', 9::bigint, 'open runs were updated');
select cmp_ok(pg_stat_get_tuples_hot_updated('perdure.run_states'::regclass), '>=',
    pg_stat_get_tuples_updated('perdure.run_states'::regclass),
    'and no update wrote an index');

select * from finish();
