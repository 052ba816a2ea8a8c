-- Claims and upkeep with p_since: what they find, that nothing stays unseen, and what they read while an old snapshot
-- is held.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
create function t.claim_since(p_second numeric, p_limit int default 100) returns text language sql
as $$
    select coalesce(string_agg(c.workflow_id, ' ' order by c.workflow_id), '')
    from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', p_limit,
        timestamptz '2026-01-01 00:00:00Z' + p_second * interval '1 s') c
$$;
create function t.claim_activities_since(p_second numeric) returns text language sql
as $$
    select coalesce(string_agg(c.workflow_id, ' ' order by c.workflow_id), '')
    from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 100,
        timestamptz '2026-01-01 00:00:00Z' + p_second * interval '1 s') c
$$;
select t.at(0);
select t.register(1) \g /dev/null

-- Each priority by itself
select t.start('old'), t.start('old-first', '{"priority": "1"}') \g /dev/null
select t.at(10) \g /dev/null
select t.start('new-' || p, jsonb_build_object('priority', p::text)) from generate_series(1, 5) p \g /dev/null
select is(t.claim_since(20), '', 'nothing was scheduled since then');
select is(t.claim_since(5, 2), 'new-1 new-2', 'the first by priority of those that were');
select is(t.claim_since(5), 'new-3 new-4 new-5', 'then those of all others');
select is(t.claim(), 'old old-first', 'a claim of everything finds what is older');
select t.terminate_all() \g /dev/null

-- A task that becomes visible late was scheduled before p_since. A claim without p_since finds it.
select t.session('late') \g /dev/null
select t.run_in('late', 'select t.at(30)'), t.run_in('late', 'begin'), t.run_in('late', $$select t.start('late')$$)
    \g /dev/null
select t.at(40) \g /dev/null
select is(t.claim(), '', 'a start that is not committed is not seen');
select t.run_in('late', 'commit'), dblink_disconnect('late') \g /dev/null
select is(t.claim_since(35), '', 'nor, once it is, by a claim that looks back less far');
select is(t.claim_since(29), 'late', 'but by one that looks back far enough');
select t.terminate_all() \g /dev/null

-- Activities
select t.at(50) \g /dev/null
select t.start('a') \g /dev/null
select t.claim() \g /dev/null
select t.complete('a', jsonb_build_array(t.activity('x'))) \g /dev/null
select is(t.claim_activities_since(50), '', 'an activity is older than what it is looked for since');
select is(t.claim_activities_since(49), 'a', 'or is not');
select t.terminate_all() \g /dev/null

-- Upkeep
select t.at(100) \g /dev/null
select t.start('s-' || i) from generate_series(1, 3) i \g /dev/null
select t.claim() \g /dev/null
select t.complete('s-' || i, jsonb_build_array(t.timer('x', i * 10 || 's'))) from generate_series(1, 3) i \g /dev/null
create function t.upkeep_since(p_second numeric) returns text language sql
as $$
    -- The end of the worker's lease is always the last thing that is due.
    select concat_ws(' ', fired_timers, 'next', nullif(extract(epoch
        from next_due_at - timestamptz '2026-01-01 00:00:00Z')::int, 1000 * 86400))
    from perdure.upkeep(0::smallint, 100, timestamptz '2026-01-01 00:00:00Z' + p_second * interval '1 s')
$$;
select is(t.upkeep_since(99), '0 next', 'nothing is due within the next second');
select t.at(119.5) \g /dev/null
select is(t.upkeep_since(115), '0 next 120', 'one will be');
select t.at(120) \g /dev/null
select is(t.upkeep_since(115), '1 next', 'it fires, and the older one is not looked at');
select t.at(131) \g /dev/null
select is(t.upkeep(), 'timers 2', 'upkeep of everything fires that too');
select t.terminate_all() \g /dev/null

-- Many timers are fired in one statement, as many as were asked for. Waits for sticky workers that do not come end in
-- one statement, too.
select t.at(200) \g /dev/null
select t.start('c-' || i) from generate_series(1, 300) i \g /dev/null
select t.claim(1, 1000) \g /dev/null
select t.complete('c-' || i, jsonb_build_array(t.timer('x', '1s')), p_sticky => true) from generate_series(1, 300) i
    \g /dev/null
select t.at(201) \g /dev/null
select is((select fired_timers from perdure.upkeep(0::smallint, 200)), 200, 'two hundred of three hundred');
select is((select array[fired_timers, (next_due_at > perdure.clock())::int] from perdure.upkeep(0::smallint, 200)),
    array[100, 1], 'then the others');
select t.at(207) \g /dev/null
select is((select array[timed_out_workflow_tasks, (next_due_at is not null)::int]
    from perdure.upkeep(0::smallint, 200)), array[200, 1], 'waits for a sticky worker end');
select is((select timed_out_workflow_tasks from perdure.upkeep(0::smallint, 200)), 100, 'all of them');
select is((select count(*)::int from perdure.workflow_tasks where sticky_worker is null and state = 'scheduled'
    and deadline is null), 300, 'any worker may have the tasks');
select is((select string_agg(e.event_id || ' ' || e.event_type, ' ' order by e.event_id) from perdure.history_events e
    where e.workflow_id = 'c-7' and e.event_id > 5),
    '6 TimerFired 7 WorkflowTaskScheduled 8 WorkflowTaskTimedOut 9 WorkflowTaskScheduled',
        'and the history says what happened');
select is((select attributes from perdure.history_events where workflow_id = 'c-7' and event_id = 8),
    '{"scheduledEventId": 7, "startedEventId": 0, "timeoutType": "ScheduleToStart"}', 'in Temporal''s words');
select t.terminate_all() \g /dev/null

-- What a call reads while an old snapshot is held
set perdure.now = '';
select t.session('old'), t.run_in('old', 'begin isolation level repeatable read'),
    t.run_in('old', 'select count(*)::text from perdure.workers') \g /dev/null
create function t.pages(p_sql text) returns bigint language plpgsql
as $$
declare
    v_plan json;
begin
    for i in 1 .. 3 loop
        execute 'explain (analyze, buffers, format json) ' || p_sql into v_plan;
    end loop;
    return (v_plan #>> '{0,Plan,Shared Hit Blocks}')::bigint + (v_plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
end
$$;
create function t.run_through(p_count int) returns void language plpgsql
as $$
begin
    perform t.start('h-' || gen_random_uuid()) from generate_series(1, p_count);
    perform t.claim(1, p_count);
    perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1),
        (select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id,
        'attempt', attempt, 'commands', jsonb_build_array(t.command('CompleteWorkflowExecution')))) from t.workflow_task
            where workflow_id like 'h-%'));
    delete from t.workflow_task;
end
$$;
select t.run_through(2000) \g /dev/null
select cmp_ok(t.pages($$select * from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 100)$$), '>',
    60::bigint, 'a claim steps over what an old snapshot keeps');
select clock_timestamp() as since \gset
select cmp_ok(t.pages(format($$select * from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 100, %L)$$,
    :'since')), '<', 40::bigint, 'one since then does not');
select cmp_ok(t.pages(format($$select * from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 100, %L)$$,
    :'since')), '<', 40::bigint, 'nor one of activities');
select cmp_ok(t.pages(format($$select * from perdure.upkeep(0::smallint, 100, %L)$$, :'since')), '<', 90::bigint,
    'nor upkeep');
select dblink_disconnect('old') \g /dev/null
select * from finish();
