-- Which run of a workflow id is the current one: the one with the highest number, whatever the clock says.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();

-- The clock steps back between two runs of an id. Every call that names no run still reaches the second run.
create function t.current_is_second(p_id text, p_back numeric) returns setof text language plpgsql
as $$
declare
    v_first uuid;
    v_second uuid;
    v_third uuid;
    v_query uuid;
    c_by constant text := format(' after the clock stepped back %s s', p_back);
begin
    perform t.at(10000000);
    v_first := t.start(p_id, '{"requestId": "1"}');
    perform perdure.terminate_workflow(p_id);
    perform t.at(10000000 - p_back);
    v_second := t.start(p_id, '{"requestId": "2"}');
    return next cmp_ok((select start_time from perdure.workflows where run_id = v_second), '<',
        (select start_time from perdure.workflows where run_id = v_first), 'the second run is the older one by its time'
            || c_by);
    return next is(t.status(p_id), 'Running', 'the view tells which is the current one' || c_by);
    return next is(t.start(p_id, '{"requestId": "2"}'), v_second, 'a start finds what its request started' || c_by);
    return next is(t.refusal(format('select t.start(%L, ''{"requestId": "1"}'')', p_id)), 'PD002',
        'and only of the current run' || c_by);
    return next is(t.start(p_id, '{"workflowIdConflictPolicy": "UseExisting"}'), v_second, 'UseExisting finds it'
        || c_by);
    return next is(perdure.signal_workflow(p_id, 'a'), v_second, 'signal' || c_by);
    return next is(perdure.cancel_workflow(p_id), v_second, 'cancel' || c_by);
    return next is((perdure.signal_with_start_workflow('T', p_id, 'q', 'b')).run_id, v_second, 'signal-with-start'
        || c_by);
    v_query := perdure.start_query(0::smallint, 'default', p_id, null, 'state');
    return next is((select q.run_id from perdure.queries q where q.query_id = v_query), v_second, 'query' || c_by);
    return next is((select r.run_id from perdure.workflow_result(0::smallint, 'default', p_id) r), v_second, 'result'
        || c_by);
    return next is(perdure.describe_workflow(p_id) ->> 'run_id', v_second::text, 'describe' || c_by);
    return next is(t.refusal(format('select perdure.delete_workflow(0::smallint, ''default'', %L, null)', p_id)),
        'PD003',
        'delete sees that it runs' || c_by);
    return next is(t.history(p_id),
        '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowExecutionSignaled '
            '4 WorkflowExecutionCancelRequested '
        '5 WorkflowExecutionSignaled', 'its history has it all' || c_by);
    v_third := t.start(p_id, '{"workflowIdConflictPolicy": "TerminateExisting"}');
    return next is((select string_agg(w.status || w.run_number, ' ' order by w.run_number) from perdure.workflows w
        where w.workflow_id = p_id),
        'Terminated1 Terminated2 Running3', 'TerminateExisting ends it' || c_by);
    return next is((select h.attributes -> 'details' -> 0 ->> 'data' from perdure.history_events h
        where h.run_id = v_second and h.event_type = 'WorkflowExecutionTerminated'), 'terminated by new runID: '
            || v_third, 'and says for which');
    return next is(perdure.terminate_workflow(p_id), v_third, 'terminate' || c_by);
    return next is((perdure.workflow_result(p_id)).status, 'Terminated', 'the result of it' || c_by);
    return next is((perdure.signal_with_start_workflow('T', p_id, 'q', 'c')).started, true,
        'signal-with-start starts the next' || c_by);
    perform perdure.terminate_workflow(p_id);
    return next isnt(t.start(p_id), null, 'and so does start' || c_by);
    perform perdure.terminate_workflow(p_id);
    return next is((select w.run_number from perdure.workflows w where w.run_id = t.run(p_id)), 5::bigint,
        'numbers go up by one' || c_by);
    v_third := t.run(p_id);
    return next is(perdure.delete_workflow(0::smallint, 'default', p_id, null), v_third, 'delete' || c_by);
    return next is((select w.run_number from perdure.workflows w where w.run_id = t.run(p_id)), 4::bigint,
        'then the one before it is the current one');
    return next is(t.refusal(format('select perdure.signal_workflow(%L, ''d'')', p_id)), 'PD006', 'which is closed');
    perform perdure.delete_workflow(0::smallint, 'default', p_id, w.run_id) from perdure.workflows w
        where w.workflow_id = p_id;
    return next is(t.refusal(format('select perdure.signal_workflow(%L, ''d'')', p_id)), 'PD001',
        'without any run there is no workflow');
    perform t.start(p_id);
    return next is((select w.run_number from perdure.workflows w where w.run_id = t.run(p_id)), 1::bigint,
        'and numbers begin again');
    perform perdure.terminate_workflow(p_id);
end
$$;
select t.current_is_second('seconds', 2);
select t.current_is_second('month', 2592000);
-- Runs that start in one moment: the order of their ids is random.
select t.at(0) \g /dev/null
select t.start('moment'), perdure.terminate_workflow('moment') from generate_series(1, 20) \g /dev/null
select results_eq($$select status || run_number from perdure.workflows where workflow_id = 'moment'
    order by run_number$$,
    $$select 'Terminated' || n from generate_series(1, 20) n$$, 'runs that are started at one time have an order, too');
select t.start('moment') \g /dev/null
select is((select run_number from perdure.workflows where workflow_id = 'moment' and status = 'Running'), 21::bigint,
    'and the next comes behind them');
select perdure.terminate_workflow('moment') \g /dev/null

-- Retention
select t.at(86400 * 20) \g /dev/null
select t.start('moment') \g /dev/null
select perdure.terminate_workflow('moment'), t.at(86400 * 35) \g /dev/null
do $$ begin for i in 1 .. 100 loop perform perdure.delete_expired(0::smallint); exit when
    not exists (select from perdure.workflows where workflow_id = 'moment' and run_number < 22); end loop; end $$;
select is((select array_agg(run_number) from perdure.workflows where workflow_id = 'moment'), array[22::bigint],
    'retention takes away the old runs');
select t.start('moment') \g /dev/null
select is((select max(run_number) from perdure.workflows where workflow_id = 'moment'), 23::bigint,
    'and the numbers go on');
select t.terminate_all() \g /dev/null

-- A continued run tells the first run of its chain
select t.start('chain') \g /dev/null
update perdure.executions set first_run_id = t.worker(9) where workflow_id = 'chain';
select is(t.event('chain', 1) ->> 'firstExecutionRunId', t.worker(9)::text, 'a run tells the first of its chain');
update perdure.executions set first_run_id = null where workflow_id = 'chain';
select is(t.event('chain', 1) ->> 'firstExecutionRunId', t.run('chain')::text, 'which is itself if it continues none');

-- Reuse and conflict policies of start and signal-with-start, as Temporal's server has them. Columns: what happens to
-- an open run, to a completed one, and to one that failed.
create function t.policy(p_with_signal boolean, p_id text, p_options jsonb) returns text language plpgsql
as $$
declare
    v_number bigint := (select max(w.run_number) from perdure.workflows w where w.workflow_id = p_id);
    v_started record;
begin
    if p_with_signal then
        select * into v_started from perdure.signal_with_start_workflow(0::smallint, 'default', p_id, 'T', 'q', '[]',
            's', '[]', p_options);
    else
        select * into v_started from perdure.start_workflow(0::smallint, 'default', p_id, 'T', 'q', '[]', p_options);
    end if;
    return case when v_started.started then 'started' else 'found' end
        || ' ' || (select w.run_number - v_number from perdure.workflows w where w.run_id = v_started.run_id);
exception when sqlstate 'PD002' or sqlstate 'PD003' then
    return sqlstate;
end
$$;
create function t.try_policies(p_with_signal boolean, p_reuse text, p_conflict text) returns text language plpgsql
as $$
declare
    v_id text := concat_ws('-', 'policy', p_with_signal, p_reuse, p_conflict);
    v_options jsonb := jsonb_strip_nulls(jsonb_build_object('workflowIdReusePolicy', p_reuse,
        'workflowIdConflictPolicy', p_conflict));
    v_open text;
    v_completed text;
begin
    perform t.start(v_id);
    v_open := t.policy(p_with_signal, v_id, v_options);
    perform t.claim(), t.complete(v_id, jsonb_build_array(t.command('CompleteWorkflowExecution')));
    v_completed := t.policy(p_with_signal, v_id, v_options);
    if v_completed not like 'PD%' then
        perform perdure.terminate_workflow(v_id);
    end if;
    perform t.start(v_id);
    perform perdure.terminate_workflow(v_id);
    return concat_ws(', ', v_open, v_completed, t.policy(p_with_signal, v_id, v_options));
end
$$;
select is(t.try_policies(false, reuse, conflict), outcome, format('start, %s and %s', reuse, conflict)) from (values
    ('AllowDuplicate', null, 'PD002, started 1, started 1'),
    ('AllowDuplicate', 'UseExisting', 'found 0, started 1, started 1'),
    ('AllowDuplicate', 'TerminateExisting', 'started 1, started 1, started 1'),
    ('AllowDuplicateFailedOnly', 'Fail', 'PD002, PD002, started 1'),
    ('AllowDuplicateFailedOnly', 'UseExisting', 'found 0, PD002, started 1'),
    ('AllowDuplicateFailedOnly', 'TerminateExisting', 'started 1, PD002, started 1'),
    ('RejectDuplicate', 'Fail', 'PD002, PD002, PD002'),
    ('RejectDuplicate', 'UseExisting', 'found 0, PD002, PD002'),
    ('RejectDuplicate', 'TerminateExisting', 'PD003, PD003, PD003')) p (reuse, conflict, outcome);
select is(t.try_policies(true, reuse, conflict), outcome, format('signal-with-start, %s and %s', reuse, conflict))
    from (values
    ('AllowDuplicate', null, 'found 0, started 1, started 1'),
    ('AllowDuplicate', 'Fail', 'PD003, PD003, PD003'),
    ('AllowDuplicate', 'UseExisting', 'found 0, started 1, started 1'),
    ('AllowDuplicate', 'TerminateExisting', 'started 1, started 1, started 1'),
    ('AllowDuplicateFailedOnly', 'Fail', 'PD003, PD003, PD003'),
    ('AllowDuplicateFailedOnly', 'UseExisting', 'found 0, PD002, started 1'),
    ('AllowDuplicateFailedOnly', 'TerminateExisting', 'started 1, PD002, started 1'),
    ('RejectDuplicate', null, 'found 0, PD002, PD002'),
    ('RejectDuplicate', 'TerminateExisting', 'PD003, PD003, PD003')) p (reuse, conflict, outcome);
select t.terminate_all() \g /dev/null

-- Request ids, as Temporal's server has them
create function t.signal_with_start(p_id text, p_options jsonb) returns text language sql as $$
    select t.policy(true, p_id, p_options) $$;
select t.start('r', '{"requestId": "1"}') \g /dev/null
select is(t.signal_with_start('r', '{"requestId": "1"}'), 'found 0', 'a signal-with-start knows a start''s request');
select is(t.history('r', 3), '3 WorkflowExecutionSignaled', 'and signals all the same');
select is(t.signal_with_start('r', '{"requestId": "1"}'), 'found 0', 'its own repeat');
select is(t.history('r', 3), '3 WorkflowExecutionSignaled', 'does nothing');
select is(t.signal_with_start('r', '{"requestId": "1", "workflowIdConflictPolicy": "TerminateExisting"}'), 'started 1',
    'TerminateExisting comes before that');
select is(t.history('r'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled 3 WorkflowTaskScheduled',
    'the signal comes before the first workflow task');
select is(t.policy(false, 'r', '{"requestId": "1"}'), 'found 0', 'a start knows a signal-with-start''s request');
select t.claim(), t.complete('r', jsonb_build_array(t.command('CompleteWorkflowExecution'))) \g /dev/null
select is(t.policy(false, 'r', '{"requestId": "1", "workflowIdReusePolicy": "RejectDuplicate"}'), 'found 0',
    'after its end, too, whatever the policy');
select is(t.signal_with_start('r', '{"requestId": "1"}'), 'started 1',
    'a signal-with-start then starts the next run: the signal must reach one');
select is(t.signal_with_start('r', '{"requestId": "1"}'), 'found 0', 'which knows its repeat');
select is((select count(*)::int from perdure.history_events where run_id = t.run('r')
    and event_type = 'WorkflowExecutionSignaled'), 1, 'and has the signal once');
select is(t.policy(false, 'r', '{"requestId": "3"}'), 'PD002', 'another request is refused');
select perdure.terminate_workflow('r') \g /dev/null
select is(t.policy(false, 'r', '{"requestId": "3"}'), 'started 1', 'and starts the next when that has ended');
select is(t.policy(false, 'r', '{"requestId": "1"}'), 'PD002', 'the request of a run before is not known any more');
select is(t.refusal($$select perdure.start_workflow(0::smallint, 'default', 'r', 'T', 'q', '[]', '{}', '5')$$), 'PD003',
    'a signal must be one');
select is(t.refusal($$select perdure.signal_with_start_workflow('T', 'r', 'q', '')$$), 'PD003', 'with a name');
select t.terminate_all() \g /dev/null

-- As in Temporal's server, a signal-with-start and a request to cancel end a start delay, and a signal does not.
select t.start(id, '{"workflowStartDelay": "60s"}'), perdure.signal_workflow(id, 's')
    from unnest(array['delay-s', 'delay-c']) id \g /dev/null
select is(t.history('delay-s'), '1 WorkflowExecutionStarted 2 WorkflowExecutionSignaled',
    'a signal does not end a start delay');
select perdure.signal_with_start_workflow('T', 'delay-s', 'q', 's'), perdure.cancel_workflow('delay-c') \g /dev/null
select is(t.history('delay-s', 3), '3 WorkflowExecutionSignaled 4 WorkflowTaskScheduled', 'a signal-with-start does');
select is(t.history('delay-c', 3), '3 WorkflowExecutionCancelRequested 4 WorkflowTaskScheduled',
    'and so does a request to cancel');
select is((select count(*)::int from perdure.pending_timers where workflow_id like 'delay-%'), 0,
    'which nobody waits for any more');
select is(t.claim(), 'delay-c delay-s', 'their first workflow tasks can be claimed');
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');
select t.terminate_all() \g /dev/null

-- Two calls at one time. Each ends without an error, and one run is open.
set perdure.now = '';
select t.session(n) from unnest(array['a', 'b', 'c']) n \g /dev/null
create table t.pid as select n as session, t.run_in(n, 'select pg_backend_pid()::text')::int as pid
    from unnest(array['a', 'b', 'c']) n;
create function t.meet(p_id text, p_first text, p_second text) returns text language plpgsql
as $$
declare
    v_answers text[] := array[]::text[];
    v_sql text;
begin
    -- The second session waits for the first, which has not committed yet.
    perform t.run_in('a', 'begin');
    v_answers := v_answers || t.run_in('a', format(p_first, p_id));
    perform t.send('b', format(p_second, p_id));
    if not t.blocks('b', (select pid from t.pid where session = 'b')) then
        return 'the second did not wait';
    end if;
    perform t.run_in('a', 'commit');
    v_answers := v_answers || t.wait('b');
    return (select string_agg(coalesce((select w.run_number::text from perdure.workflows w where w.run_id::text = a),
        a), ' ' order by n)
        from unnest(v_answers) with ordinality s (a, n))
        || ': ' || (select string_agg(w.status || coalesce((select ' +' || count(*) from perdure.history_events h
            where h.run_id = w.run_id
            and h.event_type in ('WorkflowExecutionSignaled', 'WorkflowExecutionCancelRequested') having count(*) > 0),
                ''), ', ' order by w.run_number)
        from perdure.workflows w where w.workflow_id = p_id);
end
$$;
create table t.call as select * from (values
    ('start', $$select t.start(%L, '{"workflowIdConflictPolicy": "TerminateExisting"}')$$),
    ('signal and start', $$select run_id from perdure.signal_with_start_workflow('T', %L, 'q', 's')$$),
    ('signal and restart', $$select run_id from perdure.signal_with_start_workflow('T', %L, 'q', 's',
        options => '{"workflowIdConflictPolicy": "TerminateExisting"}')$$),
    ('signal', $$select perdure.signal_workflow(%L, 's')$$),
    ('cancel', $$select perdure.cancel_workflow(%L)$$),
    ('terminate', $$select perdure.terminate_workflow(%L)$$)) c (name, sql);
select t.start('open-' || f.name || s.name) from t.call f cross join t.call s \g /dev/null
select is(t.meet('open-' || m.first || m.second, (select sql from t.call where name = m.first),
    (select sql from t.call where name = m.second)), outcome,
    format('of an open run: %s meets %s', m.first, m.second)) from (values
    ('start', 'start', '2 3: Terminated, Terminated, Running'),
    ('start', 'signal and start', '2 2: Terminated, Running +1'),
    ('start', 'signal and restart', '2 3: Terminated, Terminated, Running +1'),
    ('start', 'signal', '2 2: Terminated, Running +1'),
    ('start', 'cancel', '2 2: Terminated, Running +1'),
    ('start', 'terminate', '2 2: Terminated, Terminated'),
    ('signal and start', 'start', '1 2: Terminated +1, Running'),
    ('signal and start', 'signal and start', '1 1: Running +2'),
    ('signal and start', 'signal and restart', '1 2: Terminated +1, Running +1'),
    ('signal and restart', 'signal and restart', '2 3: Terminated, Terminated +1, Running +1'),
    ('signal and restart', 'signal and start', '2 2: Terminated, Running +2'),
    ('signal and restart', 'signal', '2 2: Terminated, Running +2'),
    ('signal', 'start', '1 2: Terminated +1, Running'),
    ('terminate', 'start', '1 2: Terminated, Running'),
    ('terminate', 'signal and start', '1 2: Terminated, Running +1'),
    ('terminate', 'signal and restart', '1 2: Terminated, Running +1'),
    ('terminate', 'signal', '1 PD006: Terminated')) m (first, second, outcome);
select is(t.meet('new-' || m.first || m.second, (select sql from t.call where name = m.first),
    (select sql from t.call where name = m.second)), outcome,
    format('of a new id: %s meets %s', m.first, m.second)) from (values
    ('start', 'start', '1 2: Terminated, Running'),
    ('start', 'signal and start', '1 1: Running +1'),
    ('start', 'signal and restart', '1 2: Terminated, Running +1'),
    ('signal and start', 'start', '1 2: Terminated +1, Running'),
    ('signal and start', 'signal and start', '1 1: Running +2'),
    ('signal and restart', 'signal and start', '1 1: Running +2'),
    ('signal and restart', 'signal and restart', '1 2: Terminated +1, Running +1')) m (first, second, outcome);
-- Runs that are deleted while others start the next
create function t.delete_closed(p_id text) returns void language sql
as $$ select perdure.delete_workflow(0::smallint, 'default', p_id, w.run_id) from perdure.workflows w
    where w.workflow_id = p_id and w.status <> 'Running' $$;
select t.start('gone-' || i), perdure.terminate_workflow('gone-' || i) from generate_series(1, 3) i \g /dev/null
select is(t.meet('gone-1', $$select t.delete_closed(%L)::text$$, (select sql from t.call where name = 'start')),
    '1: Running',
    'a start waits for the current run to be deleted, and is then the first');
select is(t.meet('gone-2', (select sql from t.call where name = 'start'), $$select t.delete_closed(%L)::text$$),
    '2: Running',
    'who deletes the run before waits for the start');
select is(t.meet('gone-3', $$with d as (select t.delete_closed(%1$L)) select t.start(%1$L) from d$$,
    (select sql from t.call where name = 'signal and restart')),
    '1 2: Terminated, Running +1', 'who deletes and starts anew is the first, and who waits is the second');
create function t.first_is_deleted(p_id text) returns uuid language plpgsql
as $$
begin
    perform t.start(p_id), perdure.terminate_workflow(p_id);
    perform t.start(p_id);
    perform t.delete_closed(p_id);
    return t.run(p_id);
end
$$;
select is(t.meet('hole-' || m.second, 'select t.first_is_deleted(%L)', (select sql from t.call where name = m.second)),
    outcome,
    'a start that had seen no run finds the second: ' || m.second) from (values
    ('start', '2 3: Terminated, Running'), ('signal and start', '2 2: Running +1')) m (second, outcome);
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');
select t.terminate_all() \g /dev/null

-- Many calls at one time, each by many transactions: there is no error at all, and every signal is in one history.
create procedure t.starts(p_seed double precision) language plpgsql
as $$
begin
    perform setseed(p_seed);
    for i in 1 .. 60 loop
        perform set_config('perdure.now', (clock_timestamp() - random() * interval '5 s')::text, true);
        case floor(random() * 4)
        when 0 then perform t.start('many-' || i % 2, '{"workflowIdConflictPolicy": "TerminateExisting"}');
        when 1 then perform t.start('many-' || i % 2, '{"workflowIdConflictPolicy": "UseExisting"}');
        when 2 then perform perdure.signal_with_start_workflow('T', 'many-' || i % 2, 'q', 'stay');
        else perform perdure.signal_with_start_workflow('T', 'many-' || i % 2, 'q', 'anew',
            options => '{"workflowIdConflictPolicy": "TerminateExisting"}');
        end case;
        insert into t.started values (i);
        commit;
    end loop;
end
$$;
create table t.started (n int);
select t.send(s, format('call t.starts(%s)', w / 10.0)) from (values ('a', 1), ('b', 2), ('c', 3)) v (s, w) \g /dev/null
select is(t.wait(s), 'CALL', 'a storm of starts: session ' || s) from unnest(array['a', 'b', 'c']) s;
select is((select count(*) from t.started), 180::bigint, 'all of them started or found a run');
select results_eq($$select count(*) filter (where status = 'Running'), count(*) = max(run_number) from perdure.workflows
    where workflow_id like 'many-%' group by workflow_id$$,
    $$values (1::bigint, true), (1, true)$$, 'one run of each id is open, and the numbers have no gap');
select is_empty($$select w.run_id from perdure.workflows w join perdure.workflows o using (workflow_id)
    where w.workflow_id like 'many-%' and w.status = 'Running' and o.run_number > w.run_number$$, 'the last of them');
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');
select dblink_disconnect(s) from unnest(array['a', 'b', 'c']) s \g /dev/null
set perdure.now = '2026-01-01';

-- The clock stepped back between two runs, so the second closed before the first. Retention deletes the first run first
-- all the same.
select perdure.create_namespace('kept', '1 day') \g /dev/null
create function t.run_once(p_second numeric) returns void language sql as $$
    select t.at(p_second);
    select perdure.start_workflow(0::smallint, 'kept', 'back', 'T', 'q', '[]');
    select perdure.terminate_workflow('back', namespace => 'kept');
$$;
create function t.left_of_it() returns text language sql as $$
    select perdure.delete_expired(0::smallint);
    select string_agg(e.run_number::text, ' ' order by e.run_number) from perdure.executions e
        where e.namespace = 'kept'
$$;
select t.run_once(20), t.run_once(10), t.run_once(30) \g /dev/null
select t.at(86400 + 15) \g /dev/null
select is(t.left_of_it(), '1 2 3', 'a run is kept while one with a lower number is');
select t.at(86400 + 25) \g /dev/null
select is(t.left_of_it(), '2 3', 'that one goes when its time has come');
select is(t.left_of_it(), '3', 'and the other with the next call');
select perdure.start_workflow(0::smallint, 'kept', 'back', 'T', 'q', '[]') \g /dev/null
select is((select max(e.run_number) from perdure.executions e where e.namespace = 'kept'), 4::bigint,
    'numbers go on from the last');
select perdure.terminate_workflow('back', namespace => 'kept') \g /dev/null

-- A migration numbers the runs of an old database by their times; an open run is the last, whatever its time.
alter table perdure.executions drop column run_number cascade, drop column first_run_id cascade;
create unique index executions_one_running on perdure.executions (shard, namespace, workflow_id)
    where status = 'Running';
truncate perdure.executions;
insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, status, start_time,
    execution_time) values
    (0, t.worker(1), 'default', 'x', 'T', 'q', 'Completed', '2026-01-03', '2026-01-03'),
        (0, t.worker(2), 'default', 'x', 'T', 'q', 'Failed', '2026-01-02', '2026-01-02'),
    (0, t.worker(4), 'default', 'x', 'T', 'q', 'Failed', '2026-01-02', '2026-01-02'),
        (0, t.worker(3), 'default', 'x', 'T', 'q', 'Running', '2026-01-01', '2026-01-01'),
    (0, t.worker(5), 'default', 'y', 'T', 'q', 'Running', '2026-01-01', '2026-01-01');
\ir ../../migrations/0014_run_numbers.sql
select results_eq('select (workflow_id || run_number) collate "default", run_id from perdure.executions order by 1',
    $$values ('x1', t.worker(2)), ('x2', t.worker(4)), ('x3', t.worker(1)), ('x4', t.worker(3)), ('y1', t.worker(5))$$,
        'the migration numbers the runs that there are');
select * from finish();
