-- What the hot path and the lists read, with a million executions and hundreds of thousands of pending tasks around
-- them: which indexes, and how many pages. No setting influences the planner: it chooses by the statistics, as in
-- production.
\set executions 1000000
\getenv executions SQL_TEST_EXECUTIONS
\set pending 100000
\getenv pending SQL_TEST_PENDING
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
-- This test uses the real clock.
set perdure.now = '';
set synchronous_commit = off;
set maintenance_work_mem = '256MB';

-- Loading. Indexes are made afterwards: that is how a million rows come in seconds.
select perdure.add_search_attribute('customer', 'Keyword'), perdure.add_search_attribute('amount', 'Int') \g /dev/null
create table t.index as select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
    from pg_index i
where i.indrelid in ('perdure.executions'::regclass) and
    not exists (select from pg_constraint c where c.conindid = i.indexrelid);
do $$ declare v text; begin for v in select name from t.index loop execute 'drop index ' || v; end loop; end $$;
create function t.id(p_kind int, p_n int) returns uuid language sql immutable
as $$ select (lpad(to_hex(p_kind), 8, '0') || '-0000-7000-8000-' || lpad(to_hex(p_n), 12, '0'))::uuid $$;
insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, status, start_time,
    execution_time, close_time, history_length, search_attributes)
select 0, t.id(1, n), 'default', 'closed-' || n, case when n % 10000 = 0 then 'Rare' else 'Type' || n % 7 end, 'busy',
    (case when n % 20 = 0 then 'Failed' when n % 1000 = 1 then 'TimedOut' else 'Completed'
        end)::perdure.execution_status,
    s.start, s.start, s.start + interval '5 s' + n % 60 * interval '1 s', 11, case when n % 2 = 0
        then jsonb_build_object('customer', 'c-' || n % 100000, 'amount', n % 1000) else '{}' end
from generate_series(1, :executions) n cross join lateral (select now() - interval '20 days' + n * interval '1 s'
    as start) s;
insert into perdure.executions (shard, run_id, namespace, workflow_id, workflow_type, task_queue, start_time,
    execution_time)
select 0, t.id(2, n), 'default', 'open-' || n, 'Type' || n % 7, 'busy', now() - n * interval '1 ms', now()
    from generate_series(1, :pending) n;
insert into perdure.history (shard, run_id, first_event_id, event_time, events)
select 0, t.id(k, n), 1, now() - interval '20 days',
    array['{"eventType": "WorkflowExecutionStarted", "attributes": {"input": [{"encoding": "json/plain", "data": 1}]}}',
    '{"eventType": "WorkflowTaskScheduled", "attributes": {}}']::jsonb[]
from (values (1, :executions), (2, :pending)) size (k, rows) cross join lateral generate_series(1, rows) n;
insert into perdure.run_states (shard, run_id, namespace, workflow_id, workflow_type, task_queue, next_event_id)
select 0, t.id(2, n), 'default', 'open-' || n, 'Type' || n % 7, 'busy', 3 from generate_series(1, :pending) n;
-- Of the tasks most can be claimed; some are started, back off, or wait for a worker that has the run.
insert into perdure.workflow_tasks (shard, run_id, namespace, task_queue, scheduled_at, scheduled_event_id, state,
    worker, started_at, sticky_worker, deadline)
select 0, t.id(2, n), 'default', case n % 10 when 9 then 'small' else 'busy' end, now() - n * interval '1 ms', 2,
    case n % 20 when 0 then 'started' when 1 then 'backoff' else 'scheduled' end,
    case n % 20 when 0 then t.worker(n % 100 + 1000) end, case n % 20 when 0 then now() end, case n % 20 when 2
        then t.worker(n % 100 + 1000) end,
    case when n % 20 < 3 then now() + interval '1 hour' + n * interval '1 s' end
from generate_series(1, :pending) n;
insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id,
    workflow_type, activity_id, activity_type, state, scheduled_at, attempt_scheduled_at,
    worker, started_at, deadline, start_to_close_timeout, retry_policy)
select 0, t.id(2, n), 5, 'default', case n % 10 when 9 then 'small' else 'busy' end, 'open-' || n, 'Type' || n % 7, 'a',
    'A', case n % 20 when 0 then 'started' when 1 then 'backoff' else 'scheduled' end,
    now() - n * interval '1 ms', now() - n * interval '1 ms', case n % 20 when 0 then t.worker(n % 100 + 1000) end,
        case n % 20 when 0 then now() end,
    case when n % 20 < 2 then now() + interval '1 hour' + n * interval '1 s' end, '10 s',
        '{"initialInterval": "1s", "maximumInterval": "100s", "backoffCoefficient": 2}'
from generate_series(1, :pending) n;
insert into perdure.timers (shard, run_id, kind, started_event_id, timer_id, fire_at) select 0, t.id(2, n), 'timer', 7,
    'x', now() + interval '1 hour' + n * interval '1 s' from generate_series(1, :pending) n;
insert into perdure.workers (worker_id, namespace, identity, task_queues, lease, lease_until, registered_at)
select t.worker(n + 1000), 'default', 'w', array['busy'], '1 day', now() + interval '1 day', now()
    from generate_series(0, 99) n;
do $$ declare v text; begin for v in select definition from t.index loop execute v; end loop; end $$;
vacuum analyze;

-- What a statement reads: pages, the indexes that it scans, and the tables that it reads from end to end, together with
-- all that the functions read that it calls.
create type t.cost as (pages bigint, indexes text, seq_scans text, milliseconds numeric);
create function t.cost(p_sql text, p_times int default 3) returns t.cost language plpgsql
as $$
declare
    v_before jsonb;
    v_plan json;
    v_cost t.cost;
begin
    -- The first times are not counted: they read the catalog, plan, and clean up.
    for i in 1 .. p_times loop
        select jsonb_object_agg(c.oid, pg_stat_get_xact_numscans(c.oid)) into v_before from pg_class c
            where c.relnamespace = 'perdure'::regnamespace and c.relkind in ('r', 'i');
        execute 'explain (analyze, buffers, format json) ' || p_sql into v_plan;
    end loop;
    v_cost.pages := (v_plan #>> '{0,Plan,Shared Hit Blocks}')::bigint +
        (v_plan #>> '{0,Plan,Shared Read Blocks}')::bigint;
    v_cost.milliseconds := (v_plan #>> '{0,Execution Time}')::numeric;
    select string_agg(case c.relkind when 'i' then c.relname end, ' ' order by c.relname),
        string_agg(case c.relkind when 'r' then c.relname end, ' ' order by c.relname)
    into v_cost.indexes, v_cost.seq_scans
    from pg_class c where c.relnamespace = 'perdure'::regnamespace and c.relkind in ('r', 'i') and c.reltuples >= 1000
        and pg_stat_get_xact_numscans(c.oid) > (v_before ->> c.oid::text)::bigint;
    return v_cost;
end
$$;
create table t.measured (what text, pages bigint, bound bigint, indexes text, seq_scans text, milliseconds numeric);
create function t.measure(p_what text, p_bound bigint, p_indexes text, p_sql text,
    p_times int default 3) returns setof text language plpgsql
as $$
declare
    v_cost t.cost := t.cost(p_sql, p_times);
begin
    insert into t.measured values (p_what, v_cost.pages, p_bound, v_cost.indexes, v_cost.seq_scans,
        v_cost.milliseconds);
    return next ok(v_cost.pages <= p_bound, format('%s: %s pages of at most %s', p_what, v_cost.pages, p_bound));
    return next is(v_cost.seq_scans, null, p_what || ': reads no large table from end to end');
    if p_indexes is not null then
        return next ok(string_to_array(v_cost.indexes, ' ') @> string_to_array(p_indexes, ' '),
            format('%s: scans %s (%s)', p_what, p_indexes, v_cost.indexes));
    end if;
end
$$;
select t.register(1, p_queue => 'small') \g /dev/null
select t.register(2, p_queue => 'busy') \g /dev/null

-- The hot path
select t.measure('claim 20 workflow tasks', 1500, 'workflow_tasks_claimable history_pkey run_states_pkey', $$select *
    from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(1), 'small', 20)$$);
select t.measure('claim 20 of a long queue', 1500, 'workflow_tasks_claimable', $$select *
    from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(2), 'busy', 20)$$);
select t.measure('claim of an empty queue', 50, null, $$select *
    from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(1), 'empty', 20)$$);
select t.measure('claim 20 activity tasks', 1000, 'activity_tasks_claimable', $$select *
    from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'small', 20)$$);
select t.measure('claim of an empty activity queue', 50, null, $$select *
    from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'empty', 20)$$);
select t.measure('claim of no query', 50, null, $$select *
    from perdure.claim_queries(0::smallint, t.worker(1), 'busy', 20)$$);
-- Runs from their start to their end, with an activity each; every statement is one that a worker sends. Twenty go by
-- the large statements, three by the small ones.
set t.runs = 20;
select t.register(3, p_queue => 'q') \g /dev/null
create temp table task (run_id uuid, scheduled_event_id bigint, attempt int);
create function t.items(p_more jsonb) returns jsonb language sql
as $$ select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt)
    || p_more) from task $$;
create function t.step(p_step text) returns void language plpgsql
as $$
begin
    case p_step
    when 'start' then perform t.start('steps-' || gen_random_uuid())
        from generate_series(1, current_setting('t.runs')::int);
    when 'claim' then insert into task select c.run_id, c.scheduled_event_id, c.attempt
        from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(3), 'q', current_setting('t.runs')::int) c;
    when 'schedule' then perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(3),
        t.items(jsonb_build_object('commands', jsonb_build_array(t.activity('a')))));
    when 'claim activities' then insert into task select c.run_id, c.scheduled_event_id, c.attempt
        from perdure.claim_activity_tasks(0::smallint, t.worker(3), 'q', current_setting('t.runs')::int) c;
    when 'heartbeat' then perform count(*) from perdure.heartbeat_activity_tasks(0::smallint, t.worker(3),
        t.items('{}'));
    when 'finish' then perform count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(3),
        t.items('{"outcome": "completed"}'));
    when 'close' then perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(3),
        t.items(jsonb_build_object('commands', jsonb_build_array(t.command('CompleteWorkflowExecution')))));
    end case;
end
$$;
create function t.measure_step(p_what text, p_bound bigint, p_step text) returns setof text language plpgsql
as $$
declare
    v_cost t.cost;
begin
    if p_step like 'claim%' then
        truncate task;
    end if;
    v_cost := t.cost(format('select t.step(%L)', p_step), 1);
    insert into t.measured values (p_what, v_cost.pages, p_bound, v_cost.indexes, v_cost.seq_scans,
        v_cost.milliseconds);
    if p_step like 'claim%' and (select count(*) from task) <> current_setting('t.runs')::int then
        return next fail(p_what || ': did not get them all');
    end if;
    return next ok(v_cost.pages <= p_bound, format('%s: %s pages of at most %s', p_what, v_cost.pages, p_bound));
    return next is(v_cost.seq_scans, null, p_what || ': reads no large table from end to end');
end
$$;
-- The first round is not measured: it reads the catalog and makes the plans.
create temp table step as select * from (values (1, 'start', 2000, 'start'), (2, 'claim', 1500, 'claim'),
    (3, 'complete with an activity', 3000, 'schedule'), (4, 'claim activities', 1000, 'claim activities'),
    (5, 'heartbeat', 600, 'heartbeat'), (6, 'finish', 3000, 'finish'), (7, 'claim again', 1500, 'claim'),
        (8, 'close', 3000, 'close')) s (place, what, bound, step);
create procedure t.rounds(p_times int) language plpgsql
as $$
declare
    v_step text;
begin
    for i in 1 .. p_times loop
        for v_step in select step from step order by place loop
            if v_step like 'claim%' then
                truncate task;
            end if;
            perform t.step(v_step);
        end loop;
    end loop;
end
$$;
call t.rounds(2);
select t.measure_step('20 runs: ' || what, bound, step) from step order by place;
set t.runs = 3;
call t.rounds(2);
select t.measure_step('3 runs: ' || what, bound / 5, step) from step order by place;

-- What is due among a hundred thousand that are not
select t.start('due-' || i) from generate_series(1, 20) i \g /dev/null
update perdure.timers set fire_at = now() where started_event_id = 7 and run_id
    in (select t.id(2, n) from generate_series(4, 80, 20) n);
update perdure.activity_tasks set deadline = now() where run_id
    in (select t.id(2, n) from generate_series(20, 400, 20) n);
update perdure.workflow_tasks set deadline = now() where run_id
    in (select t.id(2, n) from generate_series(40, 800, 40) n);
select t.measure('upkeep of what is due', 6000, 'timers_due activity_tasks_due workflow_tasks_due',
    'select * from perdure.upkeep(0::smallint)', 1);
select t.measure('upkeep of nothing', 300, 'timers_due activity_tasks_due workflow_tasks_due',
    'select * from perdure.upkeep(0::smallint)');
select t.measure('nothing that is too old', 300, 'executions_closed',
    'select * from perdure.delete_expired(0::smallint)');
select t.measure('a worker comes', 100, null, $$select t.register(4, p_queue => 'empty')$$);
-- The tasks that the worker may hold are looked for among all that have a deadline: there is no index by worker,
-- because it would slow down every task.
select t.measure('a worker leaves', 20000, 'workflow_tasks_due activity_tasks_due',
    'select perdure.stop_worker(t.worker(4))');
update perdure.workers set lease_until = now() where worker_id
    in (select t.worker(1000 + n) from generate_series(80, 81) n);
select t.measure('upkeep of a lost worker that held two thousand tasks', 200000,
    'workflow_tasks_due activity_tasks_due', 'select * from perdure.upkeep(0::smallint)', 1);

-- A client's calls
select t.measure('signal', 200, null, $$select perdure.signal_workflow('open-502', 's')$$);
select t.measure('signal by somebody whose columns have a collation', 200, null,
    $$select perdure.signal_workflow(id collate "C", 's', namespace => 'default' collate "C")
    from (values ('open-503')) v (id)$$);
select t.measure('cancel', 200, null, $$select perdure.cancel_workflow('open-504')$$);
select t.measure('describe', 200, null, $$select perdure.describe_workflow('open-505')$$);
select t.measure('result', 50, null, $$select * from perdure.workflow_result('closed-506')$$);
select t.measure('result of an open run', 20, null, $$select *
    from perdure.workflow_result(0::smallint, 'default', 'open-506')$$);
select t.measure('result of a named run', 30, null, $$select *
    from perdure.workflow_result(0::smallint, 'default', 'closed-506', t.id(1, 506))$$);
select t.measure('query', 100, null, $$select perdure.start_query(0::smallint, 'default', 'open-507', null, 'state')$$);
select t.measure('history', 50, 'history_pkey', $$select perdure.get_history(0::smallint, t.id(1, 508))$$);
select t.measure('histories of twenty', 500, 'history_pkey', $$select *
    from perdure.get_histories_as_stored(0::smallint, array(select t.id(1, n) from generate_series(508, 527) n),
    array_fill(1::bigint, array[20]))$$);
select t.measure('a start that is refused', 100, null, $$select *
    from perdure.start_workflow('T', 'open-509', 'q', options => '{"workflowIdConflictPolicy": "UseExisting"}')$$);

-- Views, by what people ask: a workflow's id
select t.measure('view ' || v, 100, null, format('select * from perdure.%I where workflow_id = %L', v, 'open-510'))
from unnest(array['workflows', 'history_events', 'pending_activities', 'pending_timers', 'pending_workflow_tasks',
    'failed_attempts']) v;

-- Lists of a hundred: three rows a run and their indexes
select t.measure('list ' || filter, bound, index, format('select * from perdure.list_workflows(%L)', filter))
    from (values
    ('', 3000, 'executions_newest'),
    ('WorkflowId = "closed-5000"', 50, 'executions_by_workflow_id'),
    -- Two indexes begin with the workflow id.
    ('WorkflowId IN ("closed-5000", "open-5", "none")', 100, null),
    ('WorkflowId STARTS_WITH "closed-5000"', 3000, null),
    ('RunId = "00000001-0000-7000-8000-000000000500"', 50, 'executions_pkey'),
    ('WorkflowType = "Rare"', 3000, 'executions_by_type'),
    ('WorkflowType = "Nothing"', 50, 'executions_by_type'),
    ('WorkflowType = "Type3" AND ExecutionStatus = "TimedOut"', 5000, 'executions_by_status'),
    ('ExecutionStatus = "Failed"', 3000, 'executions_by_status'),
    ('ExecutionStatus = "Terminated"', 50, 'executions_by_status'),
    ('ExecutionStatus IN ("Failed", "TimedOut") ORDER BY StartTime', 5000, null),
    ('customer = "c-500"', 1000, 'executions_by_attribute'),
    ('customer = "c-500" AND ExecutionStatus = "Completed" AND WorkflowType = "Type3"', 1000,
        'executions_by_attribute'),
    ('customer = "nobody"', 50, 'executions_by_attribute'),
    ('customer IN ("c-500", "c-700") OR WorkflowId = "open-5"', 1000, 'executions_by_attribute'),
    ('amount = 500', 20000, null),
    ('CloseTime IS NOT NULL ORDER BY CloseTime DESC', 3000, 'executions_closed'),
    ('ORDER BY StartTime', 3000, 'executions_newest')) l (filter, bound, index);
select t.measure('list a span of time', 3000, 'executions_newest',
    format('select * from perdure.list_workflows(%L)', format('StartTime BETWEEN "%s" AND "%s"',
    perdure.rfc3339(now() - interval '19 days'), perdure.rfc3339(now() - interval '19 days' + interval '10 minutes'))));
select t.measure('list what closed in a span of time', 3000, 'executions_closed',
    format('select * from perdure.list_workflows(%L)', format('CloseTime BETWEEN "%s" AND "%s"',
    perdure.rfc3339(now() - interval '19 days'), perdure.rfc3339(now() - interval '19 days' + interval '1 minute'))));
select t.measure('list the five thousandth page', 3000, 'executions_newest',
    format('select * from perdure.list_workflows(%L, after => %L)', '',
    jsonb_build_object('start_time', perdure.rfc3339(now() - interval '15 days'), 'run_id', t.id(1, 1))));
select t.measure('list the five thousandth page of one type by its end', 3000, null,
    format('select * from perdure.list_workflows(%L, after => %L)',
    'WorkflowType = "Type3" AND CloseTime IS NOT NULL ORDER BY CloseTime DESC',
    jsonb_build_object('close_time', perdure.rfc3339(now() - interval '15 days'), 'run_id', t.id(1, 1))));
select t.measure('count by status up to 1000', 1000, 'executions_by_status', $$select *
    from perdure.count_workflows('', up_to => 1000)$$);
select t.measure('count one type up to 1000', 20000, null, $$select *
    from perdure.count_workflows('WorkflowType = "Type3"', up_to => 1000)$$);
select t.measure('count one customer', 1000, 'executions_by_attribute', $$select *
    from perdure.count_workflows('customer = "c-500"')$$);

-- What is wrong with runs: with one in two hundred, and then with half of them
update perdure.activity_tasks set failure_cause = 'A: Error', failing_since = now(), failing_build = 'b', attempt = 2
where run_id in (select t.id(2, n) from generate_series(1, :pending, 200) n);
update perdure.workflow_tasks set failure_cause = 'Bug at T.swift:1', failing_since = now(), failing_build = 'b'
where run_id in (select t.id(2, n) from generate_series(2, :pending, 200) n);
select t.measure('list ' || filter || ' of few', bound, index, format('select * from perdure.list_workflows(%L)',
    filter)) from (values
    ('Condition = "Retrying"', 12000, 'executions_pkey'),
    ('Condition = "CodeFails"', 12000, 'executions_pkey'),
    ('Cause = "A: Error" AND WorkflowType = "Type3"', 12000, 'executions_pkey'),
    ('FailingActivity = "A"', 12000, 'executions_pkey'),
    ('FailingBuild = "b"', 20000, 'executions_pkey'),
    ('Condition = "Paused"', 50, null),
    ('Condition = "NoWorker"', 500, null)) l (filter, bound, index);
select t.measure('count what is tried again', 20000, null, $$select *
    from perdure.count_workflows('Condition = "Retrying"', up_to => 1001)$$);
select t.measure('what needs attention', 20000, null,
    'select * from perdure.attention()');
update perdure.activity_tasks set failure_cause = 'A: Error ' || mod(scheduled_event_id, 7), failing_since = now(),
    failing_build = 'b', attempt = 2 where run_id in (select t.id(2, n) from generate_series(3, :pending, 2) n);
update perdure.workers set task_queues = '{elsewhere}' where task_queues = '{busy}';
select t.measure('list ' || filter || ' of many', bound, null, format('select * from perdure.list_workflows(%L)',
    filter)) from (values
    ('Condition = "Retrying"', 20000), ('FailingActivity = "A"', 20000), ('FailingBuild = "b"', 40000),
    ('Condition = "NoWorker"', 40000), ('Condition IS NULL AND ExecutionStatus = "Running"', 400000)) l (filter, bound);
select t.measure('what needs attention of many', 20000, null,
    'select * from perdure.attention()');
select t.measure('a minute of the queues', 60000, null, 'select perdure.sample_queues(clock_timestamp())', 1);
select t.measure('how a run is', 100, null, $$select v.* from perdure.run_verdict(0::smallint, t.id(2, 503)) v$$);

-- A range of a search attribute, with the index that docs/reference/list-filter.md tells to make
create index executions_by_amount on perdure.executions (namespace, ((search_attributes ->> 'amount')::numeric));
analyze perdure.executions;
select t.measure('list a range of a search attribute', 6000, 'executions_by_amount', $$select *
    from perdure.list_workflows('amount > 990 AND amount < 993')$$);

-- A forgotten transaction: the old versions of tasks that were claimed since it began cannot be removed, and claims
-- have to step over them.
select t.session('old'), t.run_in('old', 'begin isolation level repeatable read'),
    t.run_in('old', 'select count(*)::text from perdure.workers') \g /dev/null
with c as (select run_id from perdure.workflow_tasks where task_queue = 'busy' and state = 'scheduled' and sticky_worker
    is null order by scheduled_at limit 5000)
update perdure.workflow_tasks t set state = 'started', worker = t.worker(2), started_at = now(),
    deadline = now() + interval '1 hour' from c where t.run_id = c.run_id;
select t.measure('claim 20 past five thousand that an old snapshot keeps', 12000, 'workflow_tasks_claimable', $$select *
    from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(2), 'busy', 20)$$);
select dblink_disconnect('old') \g /dev/null

-- The numbers, when they are asked for.
\getenv verbose SQL_TEST_VERBOSE
\if :{?verbose}
select diag(format('%s pages, %s ms: %s', lpad(pages::text, 6), lpad(round(milliseconds, 1)::text, 7), what))
    from t.measured;
\endif
select * from finish();
