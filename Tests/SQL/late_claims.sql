-- Claims at the moment when a lease ends, and a storm of all calls that lock: no task stays with a worker that is gone,
-- and there is no deadlock.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
set perdure.now = '';
select t.register(1), t.session('a'), t.session('b') \g /dev/null
create table t.pid as select n as session, t.run_in(n, 'select pg_backend_pid()::text')::int as pid
    from unnest(array['a', 'b']) n;

-- A claim is still under way when the lease of its worker is over
create function t.lose(p_worker int) returns void language sql
as $$ update perdure.workers set lease_until = clock_timestamp() - interval '10 s',
    grace_until = clock_timestamp() - interval '1 s' where worker_id = t.worker(p_worker) $$;
select t.register(5, '10 s'), t.start('w'), t.start('x'), t.lose(5) \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', 'select t.claim(5, 1)'), 'w', 'a worker that is late claims');
select is(t.run_in('b', 'select t.upkeep()'), '', 'meanwhile it is not found lost');
select t.run_in('a', 'commit') \g /dev/null
select is(t.run_in('b', 'select t.upkeep()'), 'workers 1', 'but then');
select is((select count(*) from perdure.workflow_tasks where worker = t.worker(5)), 0::bigint, 'with what it claimed');
select t.register(6, '10 s'), t.lose(6) \g /dev/null
select t.run_in('a', 'begin') \g /dev/null
select is(t.run_in('a', 'select t.upkeep()'), 'workers 1', 'a worker is being found lost');
select is(t.run_in('b', 'select t.claim(6, 1)'), '', 'its claim at that moment gets nothing');
select is(t.run_in('b', 'select t.claim_activities(6, 1)'), '', 'of any kind');
select t.run_in('a', 'commit') \g /dev/null
select is(t.run_in('b', 'select t.claim(6, 1)'), 'PD007', 'and later it is told why');
select t.terminate_all() \g /dev/null

-- A heartbeat does not wait for a session that ends another activity
select t.start('h-1'), t.start('h-2'), t.claim() \g /dev/null
select t.complete(w, jsonb_build_array(t.activity('a', '{"heartbeatTimeout": "100s"}')))
    from unnest(array['h-1', 'h-2']) w \g /dev/null
select t.claim_activities() \g /dev/null
select t.run_in('a', 'begin'), t.run_in('a', $$select t.finish('h-1', 'a')$$) \g /dev/null
select t.run_in('b', $$set lock_timeout = '5s'$$) \g /dev/null
select is(t.run_in('b', $$select (array_agg((h.lost, h.kept)::text order by a.workflow_id))::text
    from t.activity_task a, perdure.heartbeat_activity_tasks(0::smallint, t.worker(1),
    jsonb_build_array(jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id, 'attempt',
        a.attempt))) h$$), '{"(f,f)","(f,t)"}',
    'of two heartbeats one is kept, and one is to be sent again');
select t.run_in('a', 'rollback'), t.run_in('b', 'reset lock_timeout'), t.terminate_all() \g /dev/null

-- The storm: claims, completions, ends of activities, heartbeats, releases, signals, upkeep and lost workers
truncate t.workflow_task, t.activity_task;
create table t.storm (session text, calls int not null default 0, deadlocks int not null default 0, others text,
    deadlock_at text);
create procedure t.storm(p_session text, p_worker int, p_seed double precision, p_seconds double precision)
    language plpgsql as $$
declare
    v_until timestamptz := clock_timestamp() + p_seconds * interval '1 s';
    v_worker int := p_worker;
    v_calls int := 0;
    v_deadlocks int := 0;
    v_others text;
    v_where text;
begin
    perform setseed(p_seed);
    while clock_timestamp() < v_until loop
        begin
            case floor(random() * 11)::int
            when 0 then perform t.start('storm-' || floor(random() * 40),
                '{"workflowIdConflictPolicy": "UseExisting"}');
            when 1, 2 then perform * from perdure.claim_workflow_tasks(0::smallint, t.worker(v_worker), 'q', 12);
            when 3, 4 then
                perform * from perdure.complete_workflow_tasks(0::smallint, t.worker(v_worker), (
                    select coalesce(jsonb_agg(jsonb_build_object('runId', k.run_id, 'scheduledEventId',
                        k.scheduled_event_id, 'attempt', 1,
                        'commands', case when random() < 0.2
                            then jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))
                            else jsonb_build_array(
                            t.activity('a' || floor(random() * 1e9),
                                '{"heartbeatTimeout": "1s", "requestEagerExecution": true}'),
                            t.activity('b' || floor(random() * 1e9)),
                            t.timer('t' || floor(random() * 1e9), '0.01s')) end) order by random()), '[]')
                    from perdure.workflow_tasks k where k.worker = t.worker(v_worker)));
            when 5 then perform * from perdure.claim_activity_tasks(0::smallint, t.worker(v_worker), 'q', 12);
            when 6 then
                perform * from perdure.finish_activity_tasks(0::smallint, t.worker(v_worker), (
                    select coalesce(jsonb_agg(jsonb_build_object('runId', k.run_id, 'scheduledEventId',
                        k.scheduled_event_id, 'attempt', k.attempt,
                        'outcome', 'completed', 'result', '[]'::jsonb) order by random()), '[]')
                    from perdure.activity_tasks k where k.worker = t.worker(v_worker) and random() < 0.7));
            when 7 then
                perform * from perdure.heartbeat_activity_tasks(0::smallint, t.worker(v_worker), (
                    select coalesce(jsonb_agg(jsonb_build_object('runId', k.run_id, 'scheduledEventId',
                        k.scheduled_event_id, 'attempt', k.attempt) order by random()), '[]')
                    from perdure.activity_tasks k where k.worker = t.worker(v_worker)));
            when 8 then
                perform perdure.release_tasks(0::smallint, t.worker(v_worker), (
                    select coalesce(jsonb_agg(jsonb_build_object('kind', 'activity', 'runId', k.run_id,
                        'scheduledEventId', k.scheduled_event_id) order by random()), '[]')
                    from perdure.activity_tasks k where k.worker = t.worker(v_worker) and random() < 0.3));
            when 9 then perform perdure.upkeep(0::smallint, 50);
            when 10 then
                if random() < 0.5 then
                    perform perdure.signal_workflow('storm-' || floor(random() * 40), 's');
                elsif random() < 0.5 then
                    perform perdure.stop_worker(t.worker(v_worker)), t.register(v_worker, '1 s');
                else
                    -- The worker dies without leaving.
                    perform t.lose(v_worker);
                    v_worker := v_worker + 100;
                    perform t.register(v_worker, '1 s');
                end if;
            end case;
        exception
            when deadlock_detected then
                v_deadlocks := v_deadlocks + 1;
                get stacked diagnostics v_where = pg_exception_context;
            when sqlstate 'PD001' or sqlstate 'PD006' then null;
            when sqlstate 'PD007' then v_worker := v_worker + 100; perform t.register(v_worker, '1 s');
            when others then v_others := sqlstate || ' ' || sqlerrm;
        end;
        commit;
        v_calls := v_calls + 1;
    end loop;
    insert into t.storm values (p_session, v_calls, v_deadlocks, v_others, v_where);
    commit;
end
$$;
select t.session(s) from unnest(array['c', 'd']) s \g /dev/null
select t.register(n, '1 s') from generate_series(11, 14) n \g /dev/null
select t.send(s, format('call t.storm(%L, %s, %s, 5)', s, 10 + n, n * 0.13)) from unnest(array['a', 'b', 'c', 'd'])
    with ordinality u (s, n) \g /dev/null
select t.wait(s) from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select cmp_ok((select sum(calls) from t.storm), '>', 100::bigint, 'a storm');
select is((select string_agg(deadlock_at, '; ') from t.storm), null, 'in which nobody waits in a circle');
select is((select string_agg(others, '; ') from t.storm), null, 'nothing fails');
select is((select string_agg(kind || ' ' || error, '; ') from perdure.set_aside), null, 'nor is set aside');
select is((select string_agg(v.kind || ': ' || v.what, '; ') from perdure.violations() v), null,
    'and nothing is amiss');

select dblink_disconnect(s) from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select * from finish();
