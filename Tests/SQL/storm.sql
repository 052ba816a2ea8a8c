-- A storm: several workers with short leases, one transaction a call, large and small sets at once. There is no
-- deadlock, nothing is left behind, and no rule of the engine is broken, neither between two calls nor at the end.
--
--   PERDURE_STORM_SECONDS=60 Tests/SQL/run.sh Tests/SQL/storm.sql       a longer one
\ir support/engine.psql
\ir support/sessions.psql
\getenv seconds PERDURE_STORM_SECONDS
\if :{?seconds}
\else
\set seconds 6
\endif
select no_plan();
set perdure.now = '';
select t.session(s) from unnest(array['a', 'b', 'c', 'd', 'e']) s \g /dev/null

create function t.below(p_number int) returns int language sql as $$ select floor(random() * p_number)::int $$;
create function t.some_commands() returns jsonb language sql as $$
    select case (array['nothing', 'timer', 'end', 'end', 'end', 'fail', 'work', 'work', 'work',
        'work'])[1 + t.below(10)]
        when 'nothing' then '[]'::jsonb
        when 'timer' then jsonb_build_array(t.timer('t' || t.below(1000000), (0.001 * t.below(100))::text || 's'))
        when 'end' then jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}'))
        when 'fail' then jsonb_build_array(t.command('FailWorkflowExecution', '{"failure": {"message": "no"}}'))
        else (select jsonb_agg(t.activity('a' || t.below(1000000), '{"input": []}'::jsonb || case t.below(3) when 0
            then '{"requestEagerExecution": true}'
            when 1 then '{"startToCloseTimeout": "0.2s"}'
                else '{"retryPolicy": {"initialInterval": "0.01s", "maximumAttempts": 3}}' end::jsonb))
            from generate_series(1, 1 + t.below(3))) end
$$;
-- A worker's messages about the updates that came with a task: accepted at once and completed now or never, rejected,
-- or none.
create function t.some_answers(p_task jsonb) returns jsonb language sql as $$
    select p_task - 'updates' || jsonb_build_object(
        'commands', coalesce(jsonb_agg(jsonb_build_object('commandType', 'ProtocolMessage', 'attributes',
                jsonb_build_object('messageId', m.message -> 'id')) order by u.ordinality, m.n)
            filter (where m.message #>> '{body,@type}' not like '%Rejection'), '[]')
            || case t.below(3) when 0 then '[]' else t.some_commands() end,
        'messages', coalesce(jsonb_agg(m.message order by u.ordinality, m.n)
            filter (where m.message is not null), '[]'))
    from jsonb_array_elements(nullif(p_task -> 'updates', 'null')) with ordinality u
    cross join lateral (select t.below(6) as choice, u.value #>> '{meta,updateId}' as id offset 0) c
    left join lateral (
        select k.n, jsonb_build_object('id', c.id || k.n, 'protocolInstanceId', c.id, 'body', k.body) as message
        from (values
            (1, jsonb_build_object('@type', 'temporal.api.update.v1.Acceptance'), c.choice < 4),
            (2, jsonb_build_object('@type', 'temporal.api.update.v1.Response', 'outcome', '{"success": []}'::jsonb),
                c.choice < 3),
            (3, jsonb_build_object('@type', 'temporal.api.update.v1.Rejection', 'failure', '{"message": "no"}'::jsonb),
                c.choice = 4)) k (n, body, is_said)
        where k.is_said) m on true
$$;
create table t.seen (at timestamptz, kind text, run_id uuid, what text);
-- A worker that dies now and then with all that it holds, and comes back as another one. It keeps the tasks that it was
-- given in variables.
create procedure t.storm(p_name text, p_seed double precision, p_seconds double precision) language plpgsql as $$
declare
    v_end timestamptz := clock_timestamp() + p_seconds * interval '1 s';
    v_worker uuid;
    v_tasks jsonb := '[]';
    v_activities jsonb := '[]';
    v_done jsonb;
    v_calls int := 0;
    v_message text;
    v_detail text;
    v_context text;
begin
    perform setseed(p_seed);
    while clock_timestamp() < v_end loop
        v_calls := v_calls + 1;
        if v_worker is null or t.below(60) = 0 then
            v_worker := gen_random_uuid();
            v_tasks := '[]';
            v_activities := '[]';
            perform perdure.register_worker(v_worker, 'default', p_name, 'build', array['q'], interval '0.3 s');
            commit;
        end if;
        perform set_config('perdure.many', (array['', '1', '3', '1000'])[1 + t.below(4)], false);
        begin
            case t.below(13)
            when 0 then perform t.start(p_name || '-' || v_calls || '-' || i) from generate_series(1, t.below(12)) i;
            when 1 then perform perdure.signal_workflow(0::smallint, 'default', w.workflow_id, null, 's', '[]', null,
                'r' || t.below(3))
                from (select e.workflow_id from perdure.executions e where e.status = 'Running'
                    order by e.run_id desc offset t.below(20) limit 1) w;
            when 2 then perform perdure.upkeep(0::smallint);
            when 12 then
                perform perdure.update_workflow(0::smallint, 'default', w.workflow_id, null, 'u' || t.below(30), 'u')
                from (select e.workflow_id from perdure.executions e where e.status = 'Running'
                    order by e.run_id desc offset t.below(20) limit 1) w;
            when 3 then
                if t.below(4) = 0 then
                    perform perdure.terminate_workflow(w.workflow_id)
                    from (select e.workflow_id from perdure.executions e where e.status = 'Running'
                        order by e.run_id desc offset t.below(20) limit 1) w;
                else
                    perform perdure.renew_lease(v_worker, false);
                end if;
            when 4, 5 then
                v_tasks := v_tasks || coalesce((select jsonb_agg(jsonb_build_object('runId', c.run_id, 'attempt',
                    c.attempt,
                    'scheduledEventId', c.scheduled_event_id, 'updates', c.updates))
                        from perdure.claim_workflow_tasks_as_stored(0::smallint, v_worker, 'q', 1 + t.below(20)) c),
                        '[]');
            when 6 then
                v_activities := v_activities || coalesce((select jsonb_agg(jsonb_build_object('runId', c.run_id,
                    'attempt', c.attempt,
                    'scheduledEventId', c.scheduled_event_id))
                        from perdure.claim_activity_tasks(0::smallint, v_worker, 'q', 1 + t.below(20)) c), '[]');
            when 7 then
                perform perdure.heartbeat_activity_tasks(0::smallint, v_worker, v_activities);
            when 8 then
                v_done := v_activities;
                v_activities := '[]';
                perform perdure.finish_activity_tasks(0::smallint, v_worker,
                    (select coalesce(jsonb_agg(a || case t.below(4)
                    when 0 then '{"outcome": "failed", "failure": {"message": "no"}}'
                        else '{"outcome": "completed", "result": []}' end::jsonb), '[]')
                    from jsonb_array_elements(v_done) a));
            when 9 then
                -- At most one activity of each run, as a worker has it: a fused step.
                v_done := v_activities;
                v_activities := '[]';
                v_tasks := v_tasks || (select coalesce(jsonb_agg(x.item), '[]') from (
                    select distinct on (a ->> 'runId') jsonb_build_object('runId', a ->> 'runId', 'nextEventId',
                        r.next_event_id, 'startedAt', c.started_at,
                        'activity', (a - 'runId') || '{"result": []}') as item
                    from jsonb_array_elements(v_done) a
                    join perdure.run_states r on r.run_id = (a ->> 'runId')::uuid
                    join perdure.activity_tasks c on c.run_id = r.run_id
                        and c.scheduled_event_id = (a ->> 'scheduledEventId')::bigint
                    where c.started_at is not null) x);
            else
                v_done := v_tasks;
                v_tasks := '[]';
                select v_activities || coalesce(jsonb_agg(jsonb_build_object('runId', c.run_id, 'attempt', 1,
                    'scheduledEventId', s)), '[]') into v_activities
                from perdure.complete_workflow_tasks(0::smallint, v_worker,
                    (select coalesce(jsonb_agg(case when jsonb_typeof(w -> 'updates') = 'array' then t.some_answers(w)
                        else w - 'updates' || jsonb_build_object('commands', t.some_commands()) end
                        || jsonb_build_object('sticky', t.below(2) = 0)), '[]') from jsonb_array_elements(v_done) w)) c
                cross join lateral unnest(c.started_activities) s;
            end case;
        exception
            when sqlstate 'PD001' or sqlstate 'PD002' or sqlstate 'PD006' or sqlstate 'PD013' or sqlstate 'PD014' then
                null;
            when sqlstate 'PD007' then v_worker := null;
            when others then
                get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail,
                    v_context = pg_exception_context;
                insert into t.seen values (clock_timestamp(), sqlstate, null,
                    concat_ws(E'\n', v_message, v_detail, v_context));
        end;
        commit;
    end loop;
end
$$;
-- Checks one snapshot after the other while the workers run.
create procedure t.watch(p_seconds double precision) language plpgsql as $$
declare
    v_end timestamptz := clock_timestamp() + p_seconds * interval '1 s';
    v_looks int := 0;
begin
    while clock_timestamp() < v_end loop
        insert into t.seen select clock_timestamp(), v.kind, v.run_id, v.what from perdure.violations() v;
        commit;
        v_looks := v_looks + 1;
    end loop;
    insert into t.seen select clock_timestamp(), 'looks', null, v_looks::text;
end
$$;
select extract(epoch from clock_timestamp())::int % 100000 as seed \gset
select t.send(s, format('call t.storm(%L, %s, %s)', s, (:seed + ascii(s)) / 200000.0, :seconds))
    from unnest(array['a', 'b', 'c', 'd']) s \g /dev/null
select t.send('e', format('call t.watch(%s)', :seconds)) \g /dev/null
select is(t.wait(s), 'CALL', format('session %s ends well; the seed is %s', s, :seed))
    from unnest(array['a', 'b', 'c', 'd', 'e']) s;
select is_empty($$select kind, run_id, min(what) from t.seen where kind <> 'looks' group by kind, run_id limit 10$$,
    'no rule was broken at any moment');
select cmp_ok((select what::int from t.seen where kind = 'looks'), '>', 2, 'of several');
select cmp_ok((select count(*)::int from perdure.executions where status <> 'Running'), '>', 100, 'runs have closed');
select is((select array_agg(distinct u.state order by u.state) from perdure.updates u
    where u.state in ('accepted', 'completed', 'rejected')), '{accepted,completed,rejected}',
    'updates have been accepted, completed and rejected');
select is_empty('select * from perdure.violations()', 'no rule is broken at the end');

-- Everything that is still open comes to its end: leases run out, and a worker that lives does the rest.
create procedure t.drain() language plpgsql as $$
declare
    v_worker uuid := gen_random_uuid();
    v_end timestamptz := clock_timestamp() + interval '60 s';
begin
    perform perdure.register_worker(v_worker, 'default', 'last', 'build', array['q'], interval '1 hour');
    perform set_config('perdure.many', '', false);
    while exists (select from perdure.executions where status = 'Running') and clock_timestamp() < v_end loop
        perform perdure.upkeep(0::smallint);
        commit;
        -- A run that waits for nothing gets a signal.
        perform perdure.signal_workflow(0::smallint, 'default', r.workflow_id, null, 's') from perdure.run_states r
        where not exists (select from perdure.workflow_tasks w where w.run_id = r.run_id)
          and not exists (select from perdure.activity_tasks a where a.run_id = r.run_id)
          and not exists (select from perdure.timers i where i.run_id = r.run_id);
        commit;
        perform perdure.finish_activity_tasks(0::smallint, v_worker,
            (select coalesce(jsonb_agg(jsonb_build_object('runId', c.run_id, 'attempt', c.attempt,
            'scheduledEventId', c.scheduled_event_id, 'outcome', 'completed', 'result', '[]'::jsonb)), '[]')
            from perdure.claim_activity_tasks(0::smallint, v_worker, 'q', 100) c));
        commit;
        perform perdure.complete_workflow_tasks(0::smallint, v_worker,
            (select coalesce(jsonb_agg(jsonb_build_object('runId', c.run_id, 'attempt', c.attempt,
            'scheduledEventId', c.scheduled_event_id, 'commands',
                '[{"commandType": "CompleteWorkflowExecution", "attributes": {"result": []}}]'::jsonb)), '[]')
            from perdure.claim_workflow_tasks_as_stored(0::smallint, v_worker, 'q', 100) c));
        commit;
    end loop;
end
$$;
call t.drain();
select is_empty($$select workflow_id from perdure.executions where status = 'Running'$$, 'every run comes to its end');
select is((select (select count(*) from perdure.activity_tasks) + (select count(*)
    from perdure.workflow_tasks) + (select count(*) from perdure.timers)
    + (select count(*) from perdure.request_ids) + (select count(*) from perdure.run_states)), 0::bigint,
        'and leaves nothing but its history');
select is_empty('select * from perdure.violations()', 'and no rule is broken');
select dblink_disconnect(s) from unnest(array['a', 'b', 'c', 'd', 'e']) s \g /dev/null
select * from finish();
