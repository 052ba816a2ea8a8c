-- The rows that a run has left when it closes are deleted with it, even if a claim, a heartbeat or a signal comes at
-- that moment.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
set perdure.now = '';
select t.register(1), t.register(2), t.session('a'), t.session('b'), t.session('c') \g /dev/null
create table t.pid as select n as session, t.run_in(n, 'select pg_backend_pid()::text')::int as pid
    from unnest(array['a', 'b', 'c']) n;

-- A run closes while it has an activity, a timer and a request id. Another session has locked its row in executions,
-- which the closing call must change; while that call waits, the activity is claimed, or sends a heartbeat.
create function t.leave(p_id text) returns void language plpgsql as $$
begin
    perform t.start(p_id, '{"workflowRunTimeout": "3600s"}');
    perform t.claim();
    perform t.complete(p_id, jsonb_build_array(t.activity('left', '{"taskQueue": {"name": "elsewhere"}}'),
        t.timer('timer', '100s')));
    perform perdure.signal_workflow(0::smallint, 'default', p_id, null, 's', '[]', null, 'request');
    perform t.claim();
end
$$;
create function t.close(p_id text, p_command text default 'CompleteWorkflowExecution') returns text language sql as $$
    select string_agg(c.outcome, ' ') from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt',
            w.attempt, 'commands',
            jsonb_build_array(t.command(p_command, '{"result": [], "failure": {"message": "no"}}')))
                order by w.workflow_id)
        from t.workflow_task w where w.worker = 1 and w.workflow_id = p_id)) c
$$;
create function t.meet(p_id text, p_close text, p_meanwhile text) returns text language plpgsql as $$
declare
    v_answer text;
begin
    perform t.run_in('c', 'begin');
    perform t.run_in('c', format('select 1::text from perdure.executions where run_id = %L for update', t.run(p_id)));
    perform t.send('a', p_close);
    if not t.blocks('a', (select pid from t.pid where session = 'a')) then
        return 'the call did not wait';
    end if;
    v_answer := t.run_in('b', p_meanwhile);
    perform t.run_in('c', 'commit');
    return concat_ws(', ', v_answer, t.wait('a'), t.status(p_id),
        (select string_agg(v.kind, ' ') from perdure.violations() v));
end
$$;
create function t.many(p_many int) returns void language sql
as $$ select t.run_in('a', format('select set_config(''perdure.many'', %L, false)', p_many)) $$;

create function t.release(p_id text) returns text language sql as $$
    select perdure.release_tasks(0::smallint, t.worker(2),
        jsonb_build_array(jsonb_build_object('kind', 'activity', 'runId', a.run_id,
        'scheduledEventId', a.scheduled_event_id)))::text from t.activity_task a where a.worker = 2
            and a.workflow_id = p_id
$$;
create table t.way (id int generated always as identity, name text, many int, sql text, answer text);
insert into t.way (name, many, sql, answer) values
    ('a large statement completes it', 1, $$select t.close('%s')$$, 'completed, Completed'),
    ('small statements complete it', 100, $$select t.close('%s')$$, 'completed, Completed'),
    ('the general rules close it', 1, $$select t.close('%s', 'FailWorkflowExecution')$$, 'completed, Failed'),
    ('it is terminated', 1, $$select (perdure.terminate_workflow('%s') is not null)::text$$, 'true, Terminated'),
    ('it times out', 1, $$select (t.at_once('1 day', '%s') is not null)::text$$, 'true, TimedOut');
-- Upkeep at a later time.
create function t.at_once(p_later interval, p_id text) returns text language sql as $$
    select set_config('perdure.now', (clock_timestamp() + p_later)::text, true);
    select t.upkeep();
$$;
create procedure t.try_all(p_what text, p_meanwhile text, p_answer text) language plpgsql as $$
declare
    v_way t.way;
    v_id text;
begin
    foreach v_way in array array(select w from t.way w order by w.id) loop
        v_id := p_what || '-' || v_way.id;
        perform t.leave(v_id), t.many(v_way.many);
        commit;
        insert into t.met values (p_what || ' while ' || v_way.name,
            t.meet(v_id, format(v_way.sql, v_id), format(p_meanwhile, v_id)),
            concat_ws(', ', format(p_answer, v_id), v_way.answer));
        commit;
    end loop;
end
$$;
create table t.met (what text, answer text, expected text);
call t.try_all('claimed', $$select t.claim_activities(2, 10, 'elsewhere')$$, '%s/left#1');
select is(answer, expected, what) from t.met;
truncate t.met;

-- An activity that runs sends a heartbeat, and one fails and is tried again.
alter function t.leave(text) rename to leave_waiting;
create function t.leave(p_id text) returns void language sql as $$ select t.leave_waiting(p_id),
    t.claim_activities(2, 10, 'elsewhere') $$;
call t.try_all('heard of', $$select t.heartbeat('%s', 'left', p_worker => 2)$$, '');
select is(answer, expected, what) from t.met;
truncate t.met;
call t.try_all('released', $$select t.release('%s')$$, '1');
select is(answer, expected, what) from t.met;

-- The migration deletes orphans that databases have from before.
select t.leave('open'), t.leave('closed'), perdure.terminate_workflow('closed') \g /dev/null
insert into perdure.activity_tasks select (a).* from (select jsonb_populate_record(a,
    jsonb_build_object('run_id', t.run('closed'))) as a
    from perdure.activity_tasks a where a.run_id = t.run('open')) a;
insert into perdure.timers select (t).* from (select jsonb_populate_record(t,
    jsonb_build_object('run_id', t.run('closed'))) as t
    from perdure.timers t where t.run_id = t.run('open')) t;
insert into perdure.workflow_tasks select (t).* from (select jsonb_populate_record(t,
    jsonb_build_object('run_id', t.run('closed'))) as t
    from perdure.workflow_tasks t where t.run_id = t.run('open')) t;
insert into perdure.request_ids values (0, t.run('closed'), 'r');
select is((select string_agg(v.kind, ', ' order by v.kind) from perdure.violations() v),
    'activity without run, request without run, timer without run, timer without run, workflow task without run',
        'orphans');
\ir ../../migrations/0016_orphans.sql
select is_empty('select * from perdure.violations()', 'are deleted by a migration, and nothing else is');

select dblink_disconnect(s) from unnest(array['a', 'b', 'c']) s \g /dev/null
select * from finish();
