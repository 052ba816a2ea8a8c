-- Events that come while a workflow task is started are buffered until it ends. The buffer is limited as in Temporal:
-- to 100 events and to 2 MiB.
\ir support/engine.psql
select no_plan();

create function t.signals(p_id text, p_count int, p_from int default 1, p_size int default 0) returns void language sql
as $$ select perdure.signal_workflow(p_id, 's', to_jsonb(n || repeat('x', p_size)))
    from generate_series(p_from, p_from + p_count - 1) n $$;
-- The types of the events from p_from on, with equal ones in a row put together; then the numbers of the signals in
-- their order.
create function t.short_history(p_id text, p_from bigint default 1) returns text language sql
as $$
    select string_agg(g.type || case when g.count > 1 then 'x' || g.count else '' end, ' ' order by g.first) from (
        select replace(h.event_type, 'Workflow', '') || case h.event_type when 'WorkflowTaskScheduled' then '#'
            || (h.attributes ->> 'attempt') else '' end as type,
            count(*) as count, min(h.event_id) as first
        from (select *, row_number() over (order by event_id) - row_number() over (partition by event_type
            order by event_id) as island
            from perdure.history_events where run_id = t.run(p_id) and event_id >= p_from) h
        group by 1, h.island) g
$$;
create function t.signals_seen(p_id text) returns int[] language sql
as $$ select array_agg((h.input #>> '{}')::int order by h.event_id) from perdure.history_events h
    where h.run_id = t.run(p_id) and h.event_type = 'WorkflowExecutionSignaled' $$;
create function t.numbers(p_count int) returns int[] language sql as $$ select array_agg(n)
    from generate_series(1, p_count) n $$;
create function t.pending(p_id text) returns text language sql
as $$ select state || ' ' || attempt || ' ' || buffered_events from perdure.pending_workflow_tasks
    where workflow_id = p_id $$;

-- The events are those of Temporal's development server for the same calls.
select t.start('a'), t.claim(), t.signals('a', 100) \g /dev/null
select is(t.pending('a'), 'Started 1 100', 'a hundred signals wait for the end of the workflow task');
select is(t.short_history('a'), 'ExecutionStarted TaskScheduled#1 TaskStarted', 'and are not in the history');
select t.signals('a', 1, 101) \g /dev/null
select is(t.pending('a'), 'Scheduled 2 0', 'one more, and the task is there for another attempt, at once');
select is(t.short_history('a'), 'ExecutionStarted TaskScheduled#1 TaskStarted TaskFailed ExecutionSignaledx101',
    'behind its failure come the signals');
select is(t.event('a', 4),
    '{"cause": "ForceCloseCommand", "identity": "Perdure", "scheduledEventId": 2, "startedEventId": 3}',
    'whose cause is Temporal''s');
select is((select last_failure #>> '{failure,message}' from perdure.pending_workflow_tasks
    where workflow_id = 'a') ~ '^101 events .* 100 and 2 MiB', true,
    'people read why');
select is(t.complete('a', jsonb_build_array(t.command('CompleteWorkflowExecution'))), 'lost',
    'what its worker completes is lost');
select is(t.claim(), 'a', 'the next attempt');
select is(t.complete('a'), 'completed', 'completes');
select is(t.short_history('a', 106), 'TaskScheduled#2 TaskStarted TaskCompleted', 'and is written as the second');
select is(t.signals_seen('a'), t.numbers(101), 'each signal is there once, in order');

select t.start('b'), t.claim(), t.complete('b', p_sticky => true), perdure.signal_workflow('b', 's', '1'), t.claim()
    \g /dev/null
select t.signals('b', 101, 2) \g /dev/null
select is(t.short_history('b', 5),
    'ExecutionSignaled TaskScheduled#1 TaskStarted TaskFailed ExecutionSignaledx101 TaskScheduled#1',
    'a run that was cached has a first attempt again: any worker may have it, from the whole history');
select is(t.claim(), 'b', 'it is claimed');
select is((select history_from from t.workflow_task where workflow_id = 'b'), 1::bigint, 'from the beginning');
select is(t.complete('b', jsonb_build_array(t.command('CompleteWorkflowExecution'))), 'completed',
    'and completes the run');

select t.start('c'), t.claim(), t.signals('c', 150) \g /dev/null
select is(t.pending('c'), 'Scheduled 1 0', 'what comes after the failure is written at once');
select is(t.signals_seen('c'), t.numbers(150), 'in order');

select t.start('d'), t.claim(), t.signals('d', 101), t.claim() \g /dev/null
select t.signals('d', 101, 102) \g /dev/null
select is(t.short_history('d', 4), 'TaskFailed ExecutionSignaledx202',
    'of a second attempt nothing but what it did not see is written');
select is(t.pending('d'), 'Scheduled 3 0', 'and the third need not wait, for nobody failed');
select t.claim() \g /dev/null
select is(t.complete('d'), 'completed', 'it completes');
select is(t.signals_seen('d'), t.numbers(202), 'with all signals in order');

-- Bytes
select t.start('bytes'), t.claim(), t.signals('bytes', 4, 1, 500000) \g /dev/null
select is(t.pending('bytes'), 'Started 1 4', 'less than 2 MiB waits');
select t.signals('bytes', 1, 5, 500000) \g /dev/null
select is(t.pending('bytes'), 'Scheduled 2 0', 'more does not');
select t.start('large'), t.claim(), t.signals('large', 1, 1, 2090000), t.signals('large', 1, 2, 2090000) \g /dev/null
select is(t.pending('large'), 'Scheduled 2 0', 'nor do two of the largest signals that there are');

-- Ends of activities, timers and a request to cancel count, too. Each activity's end is two events.
select t.start('activities'), t.claim() \g /dev/null
select t.complete('activities', (select jsonb_agg(t.activity('a' || n)) from generate_series(1, 60) n)) \g /dev/null
select t.claim_activities(), perdure.signal_workflow('activities', 'go'), t.claim() \g /dev/null
select is((select count(*)::int from generate_series(1, 60) n
    where t.finish('activities', 'a' || n, case n % 2 when 0 then 'completed' else 'failed' end,
    case n % 2 when 0 then '{}' else t.failure('x', '{"nonRetryable": true}') end) in ('completed', 'failed')), 60,
        'sixty activities end while a workflow task is started');
select is(t.complete('activities'), 'lost', 'which is too much for it');
select is((select count(*)::int from perdure.history_events e join perdure.history_events s on s.run_id = e.run_id
    and s.event_id = (e.attributes ->> 'startedEventId')::bigint
    where e.run_id = t.run('activities') and e.event_type in ('ActivityTaskCompleted', 'ActivityTaskFailed')
      and s.event_type = 'ActivityTaskStarted' and s.attributes -> 'scheduledEventId' = e.attributes ->
          'scheduledEventId'), 60, 'each end names its start');
select t.claim() \g /dev/null
select is(t.complete('activities', jsonb_build_array(t.command('CompleteWorkflowExecution'))), 'completed',
    'the next attempt sees them');
select t.start('timers'), t.claim() \g /dev/null
select t.complete('timers', (select jsonb_agg(t.timer('t' || n, '1s')) from generate_series(1, 120) n)),
    perdure.signal_workflow('timers', 'go'), t.claim(), t.at(2) \g /dev/null
do $$ begin for i in 1 .. 10 loop perform perdure.upkeep(0::smallint); exit when
    not exists (select from perdure.pending_timers where workflow_id = 'timers'); end loop; end $$;
select is((select count(*)::int from perdure.history_events where run_id = t.run('timers')
    and event_type = 'TimerFired'), 120, 'so it is with timers');
select is(t.complete('timers'), 'lost', 'that fire while a workflow task is started');
select t.start('cancel'), t.claim(), t.signals('cancel', 100), perdure.cancel_workflow('cancel') \g /dev/null
select is(t.short_history('cancel', 4), 'TaskFailed ExecutionSignaledx100 ExecutionCancelRequested',
    'and with a request to cancel');
select t.claim() \g /dev/null
select is(t.complete('cancel', jsonb_build_array(t.command('CancelWorkflowExecution'))), 'completed',
    'which the next attempt sees');

-- A timer that is cancelled while its TimerFired is buffered
select t.start('timer'), t.claim(), t.complete('timer', jsonb_build_array(t.timer('x', '1s'))),
    perdure.signal_workflow('timer', 's', '1'), t.claim() \g /dev/null
select t.at(4), t.upkeep(), perdure.signal_workflow('timer', 's', '2') \g /dev/null
select is(t.complete('timer', jsonb_build_array(t.command('CancelTimer', '{"timerId": "x"}'))), 'completed',
    'a timer whose firing waits can be cancelled');
select is(t.short_history('timer', 8), 'TaskStarted TaskCompleted TimerCanceled ExecutionSignaled TaskScheduled#1',
    'and then it has not fired');

-- No events stay buffered for a run that has closed
select t.start('end'), t.claim(), t.signals('end', 50), perdure.terminate_workflow('end') \g /dev/null
select is(t.short_history('end', 4), 'TaskFailed ExecutionSignaledx50 ExecutionTerminated',
    'what waits is written when a run is terminated');
select is((select count(*) from perdure.buffered_events b left join perdure.workflow_tasks w on w.run_id = b.run_id
    and w.state = 'started' where w.run_id is null), 0::bigint,
    'and is gone from where it waited');
select t.terminate_all() \g /dev/null
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');

-- Four times as many signals take four times as long, whether a worker claims their tasks or not.
create table t.took (id text, count int, seconds numeric);
create procedure t.send(p_id text, p_count int, p_claims boolean) language plpgsql
as $$
declare
    v_begin timestamptz;
begin
    perform t.start(p_id), t.claim();
    commit;
    v_begin := clock_timestamp();
    for i in 1 .. p_count loop
        perform t.signals(p_id, 1, i, 5000);
        if p_claims then
            perform perdure.claim_activity_tasks(0::smallint, t.worker(1), 'q', 1);
            update perdure.workflow_tasks set state = 'started', worker = t.worker(1), started_at = perdure.clock(),
                deadline = perdure.clock() + interval '10 s',
                sticky_worker = null where run_id = t.run(p_id) and state = 'scheduled';
        end if;
        commit;
    end loop;
    insert into t.took values (p_id, p_count, extract(epoch from clock_timestamp() - v_begin));
end
$$;
call t.send('warm', 120, true);
call t.send('few', 300, false);
call t.send('many', 1200, false);
call t.send('few-claimed', 300, true);
call t.send('many-claimed', 1200, true);
select cmp_ok((select seconds from t.took where id = 'many' || what), '<',
    (select 10 * seconds + 3 from t.took where id = 'few' || what),
    '1,200 signals of 5 kB take no more than a linear time' || what) from unnest(array['', '-claimed']) what;
select diag(format('%s: %s signals in %s s', id, count, round(seconds, 2))) from t.took;
select cmp_ok((select max(count) from t.took), '=', 1200, 'all were sent');
-- The history of the run has each of them, once and in order.
create function t.sent(p_id text) returns int[] language sql
as $$ select array_agg(rtrim(h.input #>> '{}', 'x')::int order by h.event_id) from perdure.history_events h
    where h.run_id = t.run(p_id) and h.event_type = 'WorkflowExecutionSignaled' $$;
do $$
begin
    for i in 1 .. 20 loop
        perform t.claim();
        perform t.complete('many'), t.complete('many-claimed');
        exit when not exists (select from perdure.pending_workflow_tasks where workflow_id like 'many%');
        -- A claim of which the helper functions of this test do not know times out.
        perform t.at(10 + i * 20), perdure.upkeep(0::smallint);
    end loop;
end
$$;
select is(t.sent(id), t.numbers(1200), 'every signal of ' || id || ' is in the history once, in order')
    from unnest(array['many', 'many-claimed']) id;
select is((select count(*)::int from perdure.pending_workflow_tasks where workflow_id like 'many%'), 0,
    'and every workflow task is done');
select t.terminate_all() \g /dev/null
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');

-- Buffered events of a database from before the migration
select t.start('old'), t.claim() \g /dev/null
drop table perdure.buffered_events;
set perdure.migrates = 'perdure';
\ir ../../sql/before_migration.sql
alter table perdure.run_states drop column buffered_count cascade, drop column buffered_bytes cascade,
    add column buffered_events jsonb[] not null default '{}';
create view perdure.pending_workflow_tasks as select cardinality(buffered_events) as buffered_events
    from perdure.run_states;
update perdure.run_states set buffered_events = array(select perdure.workflow_signaled('s',
    perdure.payloads(to_jsonb(n)), null, null) from generate_series(1, 3) n);
\ir ../../migrations/0024_buffered_events.sql
select perdure.signal_workflow('old', 's', '4') \g /dev/null
select is(t.complete('old'), 'completed', 'what waited before the migration');
select is(t.signals_seen('old'), t.numbers(4), 'is written after it');
select * from finish();
