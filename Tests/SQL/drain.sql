-- perdure.drain_transfers, which commits: over four shards, after a crash, in two sessions at once, and with a transfer
-- that raises an error.
\ir support/engine.psql
select no_plan();
update perdure.settings set value = '4' where name = 'shard_count';
select set_config('perdure.now', '', false) \g /dev/null

create function t.begin_run(p_id text) returns void language sql
as $$ select perdure.start_workflow('T', p_id, 'parents') $$;
-- Completes the task of a run with these commands, on the shard of the run.
create function t.step(p_id text, variadic p_commands jsonb[]) returns text language plpgsql
as $$
declare
    v_shard smallint := perdure.shard_for('default', p_id);
    v_queue text := (select w.task_queue from perdure.workflows w where w.workflow_id = p_id order by w.run_number desc
        limit 1);
begin
    insert into t.workflow_task as k (worker, workflow_id, run_id, attempt, scheduled_event_id)
    select 1, c.workflow_id, c.run_id, c.attempt, c.scheduled_event_id
        from perdure.claim_workflow_tasks(v_shard, t.worker(1), v_queue, 1000) c
    on conflict (worker, workflow_id) do update set run_id = excluded.run_id, attempt = excluded.attempt,
        scheduled_event_id = excluded.scheduled_event_id;
    return (select c.outcome || coalesce(c.failure ->> 'message', '') from t.workflow_task k cross
        join lateral perdure.complete_workflow_tasks(v_shard, t.worker(1),
        jsonb_build_array(jsonb_build_object('runId', k.run_id,
        'scheduledEventId', k.scheduled_event_id, 'attempt', k.attempt, 'commands', to_jsonb(p_commands), 'sticky',
            false))) c where k.workflow_id = p_id);
end
$$;
create function t.child(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select t.command('StartChildWorkflowExecution', jsonb_build_object('workflowId', p_id, 'workflowType',
    '{"name": "C"}'::jsonb,
    'taskQueue', '{"name": "children"}'::jsonb) || p_more) $$;
create function t.shard(p_id text) returns smallint language sql as $$ select perdure.shard_for('default', p_id) $$;
create function t.rest() returns text language sql
as $$ select (select count(*) from perdure.transfers) || ' transfers, '
    || (select count(*) from perdure.received_transfers where finished_at is null) || ' receipts' $$;
create function t.wrong() returns text language sql as $$ select string_agg(v.kind || ': ' || v.what, E'\n')
    from perdure.violations() v $$;

-- Forty children on four shards
select t.begin_run('p') \g /dev/null
select is(t.step('p', variadic array(select t.child('c-' || i) from generate_series(1, 40) i)), 'completed',
    'a run starts forty children');
call perdure.drain_transfers(t.shard('p'), array[t.run('p')]) \gset
select is(:drained, 40, 'one call starts them all');
select is((select count(distinct shard) from perdure.workflows where parent_workflow_id = 'p'), 4::bigint,
    'on every shard');
select is((select count(*) from perdure.pending_children where child_run_id is not null), 40::bigint,
    'and its run knows them');
select is((select array_agg((h.attributes ->> 'initiatedEventId')::int order by h.event_id)
    from perdure.history_events h where h.run_id = t.run('p') and h.event_type = 'ChildWorkflowExecutionStarted'),
    (select array_agg(i) from generate_series(5, 44) i), 'in their order');
select is(t.rest(), '0 transfers, 0 receipts', 'nothing is left');
select is(t.wrong(), null, 'all is well');

-- The children end, each on its own shard, and their parent is told of all of them
select t.step('c-' || i, t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.data(to_jsonb(i)))))
    from generate_series(1, 20) i \g /dev/null
select perdure.terminate_workflow('c-' || i) from generate_series(21, 40) i \g /dev/null
select is(t.rest(), '40 transfers, 0 receipts', 'each end waits to be told');
select is(t.wrong(), null, 'which is a good state');
-- What upkeep does on each shard
select pg_sleep(0.25) \g /dev/null
call perdure.drain_transfers(0::smallint) \g /dev/null
call perdure.drain_transfers(1::smallint) \g /dev/null
call perdure.drain_transfers(2::smallint) \g /dev/null
call perdure.drain_transfers(3::smallint) \g /dev/null
select is((select count(*) from perdure.pending_children), 0::bigint, 'upkeep tells the parent');
select is(t.step('p', t.command('CompleteWorkflowExecution', '{}')), 'completed', 'which goes on');
select is((select array_agg(h.event_type || ' ' || n order by h.event_type)
    from (select event_type, count(*) as n from perdure.history_events where run_id = t.run('p')
    and event_type like 'ChildWorkflowExecution%' group by 1) h),
    array['ChildWorkflowExecutionCompleted 20', 'ChildWorkflowExecutionStarted 40',
        'ChildWorkflowExecutionTerminated 20'], 'and knows how each ended');
select is(t.rest(), '0 transfers, 0 receipts', 'nothing is left');
select is(t.wrong(), null, 'all is well');

-- After a crash at any step, another process drains the rest with the same result
create function t.crash(p_id text, p_step text) returns void language plpgsql
as $$
declare
    v_transfer jsonb;
    v_outcome jsonb;
begin
    perform t.begin_run(p_id), t.step(p_id, t.child(p_id || '-child'));
    select p into v_transfer from perdure.pending_transfers(t.shard(p_id), array[t.run(p_id)]) p;
    if p_step in ('applied', 'finished') then
        v_outcome := perdure.apply_transfer((v_transfer ->> 'targetShard')::smallint, v_transfer);
    end if;
    if p_step = 'finished' then
        perform perdure.finish_transfers(t.shard(p_id), t.run(p_id),
            jsonb_build_array(jsonb_build_object('id', v_transfer -> 'id', 'outcome', v_outcome)));
    end if;
end
$$;
select t.crash(step || '-' || i, step) from unnest(array['committed', 'applied', 'finished']) step,
    generate_series(1, 8) i \g /dev/null
select is(t.wrong(), null, 'every state in between is a good one');
select pg_sleep(0.25) \g /dev/null
call perdure.drain_transfers(0::smallint) \g /dev/null
call perdure.drain_transfers(1::smallint) \g /dev/null
call perdure.drain_transfers(2::smallint) \g /dev/null
call perdure.drain_transfers(3::smallint) \g /dev/null
select is((select count(*) from perdure.workflows where parent_workflow_id ~ '^(committed|applied|finished)-'
    and workflow_id ~ '-child$'), 24::bigint, 'each child was started once');
select is((select count(*) from perdure.history_events where workflow_id ~ '^(committed|applied|finished)-.$'
    and event_type = 'ChildWorkflowExecutionStarted'), 24::bigint, 'and told of once');
select is((select count(*) from perdure.transfers), 0::bigint, 'nothing is on its way');
-- Receipts on other shards that were never marked as finished are deleted when they are old.
select cmp_ok((select count(*) from perdure.received_transfers where finished_at is null), '>', 0::bigint,
    'the receipts of whoever stopped before the last step are left');
update perdure.received_transfers set received_at = received_at - interval '2 minutes';
call perdure.drain_transfers(0::smallint) \g /dev/null
call perdure.drain_transfers(1::smallint) \g /dev/null
call perdure.drain_transfers(2::smallint) \g /dev/null
call perdure.drain_transfers(3::smallint) \g /dev/null
select is(t.rest(), '0 transfers, 0 receipts', 'and are marked by upkeep');
select cmp_ok((select count(*) from perdure.received_transfers), '>', 0::bigint, 'but stay for whoever comes late');
update perdure.received_transfers set finished_at = finished_at - interval '2 minutes';
call perdure.drain_transfers(0::smallint) \g /dev/null
call perdure.drain_transfers(1::smallint) \g /dev/null
call perdure.drain_transfers(2::smallint) \g /dev/null
call perdure.drain_transfers(3::smallint) \g /dev/null
select is((select count(*) from perdure.received_transfers), 0::bigint, 'for a minute');

-- Two sessions drain the same signal to another shard, and one applies it after the other has finished it
select workflow_id as target from (select 'target-' || i as workflow_id from generate_series(1, 100) i) c
    where t.shard(workflow_id) <> t.shard('late asks') limit 1 \gset
select t.begin_run(:'target'), t.begin_run('late asks') \g /dev/null
select t.step('late asks', t.command('SignalExternalWorkflowExecution', jsonb_build_object('execution',
    jsonb_build_object('workflowId', :'target'), 'signalName', 's'))) \g /dev/null
create temp table late as select p from perdure.pending_transfers(t.shard('late asks'), array[t.run('late asks')]) p;
call perdure.drain_transfers(t.shard('late asks'), array[t.run('late asks')]) \g /dev/null
select is(t.rest(), '0 transfers, 0 receipts', 'a signal to another shard is finished');
select is((select perdure.apply_transfer(t.shard(:'target'), p) from late), '{}', 'who comes late finds the receipt');
select is((select count(*) from perdure.history_events h where h.run_id = t.run(:'target')
    and h.event_type = 'WorkflowExecutionSignaled'), 1::bigint, 'and signals no second time');
delete from perdure.received_transfers;
select throws_ok(format($$select perdure.apply_transfer(%s::smallint, %L)$$, t.shard(:'target'),
    (select p || jsonb_build_object('seenAt', clock_timestamp() - interval '31 s') from late)), '40001', null,
    'who comes when the receipt may be gone has to look again');
select throws_ok(format($$select perdure.apply_transfer(%s::smallint, %L)$$, t.shard(:'target'),
    (select p - 'seenAt' from late)), '40001', null, 'as who does not say when he has seen it');
select is((select count(*) from perdure.history_events h where h.run_id = t.run(:'target')
    and h.event_type = 'WorkflowExecutionSignaled'), 1::bigint, 'and does nothing');
select is(t.rest(), '0 transfers, 0 receipts', 'and leaves no receipt');

-- One transfer raises an error; everything else goes on, and the call does not fail
select t.begin_run('sick'), t.begin_run('well') \g /dev/null
select t.step('sick', t.child('sick-1'), t.child('sick-2')), t.step('well', t.child('well-1')) \g /dev/null
update perdure.transfers set body = body || '{"options": {"requestId": 7, "priority": "high"}}'
    where run_id = t.run('sick') and id = 5;
call perdure.drain_transfers(t.shard('sick'), array[t.run('sick')]) \gset
select is(:drained, 1, 'one is set aside, the other one is not');
select is((select count(*) from perdure.set_aside_work where workflow_id = 'sick' and kind = 'transfer' and error is
    not null), 1::bigint, 'with its error');
call perdure.drain_transfers(t.shard('well'), array[t.run('well')]) \g /dev/null
select is((select string_agg(w.workflow_id, ' ' order by w.workflow_id) from perdure.workflows w
    where w.parent_workflow_id in ('sick', 'well')), 'sick-2 well-1', 'nothing else waits');
update perdure.transfers set body = body || '{"options": {}}' where run_id = t.run('sick') and id = 5;
select pg_sleep(1) \g /dev/null
call perdure.drain_transfers(t.shard('sick')) \g /dev/null
select is((select count(*) from perdure.workflows w where w.parent_workflow_id = 'sick'), 2::bigint,
    'and later it is done');

-- Two other sessions drain the same transfers at once
\ir support/sessions.psql
select t.begin_run('crowd') \g /dev/null
select t.step('crowd', variadic array(select t.child('m-' || i) from generate_series(1, 100) i)) \g /dev/null
select t.session('a'), t.session('b') \g /dev/null
select dblink_send_query(s, format('call perdure.drain_transfers(%s::smallint, array[%L]::uuid[])', t.shard('crowd'),
    t.run('crowd'))) from unnest(array['a', 'b']) s \g /dev/null
select t.wait('a'), t.wait('b') \g /dev/null
select is((select count(*) from perdure.workflows where parent_workflow_id = 'crowd'), 100::bigint,
    'each child is started once by either');
select is((select count(*) from perdure.history_events where workflow_id = 'crowd'
    and event_type = 'ChildWorkflowExecutionStarted'), 100::bigint, 'and told of once');
select is((select count(*) from perdure.transfers), 0::bigint, 'nothing is left');
select is(t.wrong(), null, 'all is well');

-- How soon a child's first task can be claimed: on one shard, with nothing else to do
update perdure.settings set value = '1' where name = 'shard_count';
delete from perdure.workflow_tasks; delete from perdure.child_workflows; delete from perdure.run_states; delete
    from perdure.history; delete from perdure.executions;
create temp table latency (ms numeric);
create procedure t.measure() language plpgsql as $$
declare
    v_start timestamptz;
    v_drained int;
begin
    for v_i in 1 .. 50 loop
        perform t.begin_run('f-' || v_i), t.step('f-' || v_i, t.child('f-' || v_i || '-c'));
        commit;
        v_start := clock_timestamp();
        call perdure.drain_transfers(0::smallint, array[t.run('f-' || v_i)], drained => v_drained);
        insert into latency select extract(epoch from w.start_time - v_start) * 1000 from perdure.workflows w
            where w.workflow_id = 'f-' || v_i || '-c';
        commit;
    end loop;
end
$$;
call t.measure();
select diag(format('from the commit of the parent to the start of the child: median %s ms, worst of 50 %s ms',
    round(percentile_cont(0.5) within group (order by ms)::numeric, 2), round(max(ms), 2))) from latency;
select cmp_ok((select percentile_cont(0.5) within group (order by ms) from latency), '<', 50::double precision,
    'a child is started at once');
-- A signal and a request to cancel that wait while their target continues as another run reach that other run
select t.session('goes on'), t.session('applies') \g /dev/null
select t.run_in('applies', 'select pg_backend_pid()::text') as pid \gset
create function t.meets(p_id text) returns text language plpgsql
as $$
declare
    v_shard smallint := t.shard(p_id);
    v_transfer jsonb;
    v_blocks boolean;
begin
    select p into v_transfer from perdure.pending_transfers(t.shard(p_id || ' asks'), array[t.run(p_id || ' asks')]) p;
    perform t.run_in('goes on', 'begin'), t.run_in('goes on', format($s$select t.step(%L,
        t.command('ContinueAsNewWorkflowExecution', '{"input": []}'))$s$, p_id));
    perform t.send('applies', format('select perdure.apply_transfer(%s::smallint, %L)::text', v_shard, v_transfer));
    v_blocks := t.blocks('applies', current_setting('t.pid')::int);
    perform t.run_in('goes on', 'commit');
    return v_blocks || ' ' || t.wait('applies');
end
$$;
select set_config('t.pid', :'pid', false) \g /dev/null
select t.begin_run('goes'), t.begin_run('goes asks'), t.begin_run('ends'), t.begin_run('ends asks') \g /dev/null
select t.step('goes asks', t.command('SignalExternalWorkflowExecution',
    '{"execution": {"workflowId": "goes"}, "signalName": "s"}')), t.step('ends asks',
    t.command('RequestCancelExternalWorkflowExecution', '{"workflowId": "ends"}')) \g /dev/null
select is(t.meets('goes'), 'true {}', 'a signal waits for the run that is about to go on');
select is((select string_agg(h.event_type, ' ' order by h.event_id) from perdure.history_events h
    where h.run_id = t.run('goes')), 'WorkflowExecutionStarted WorkflowExecutionSignaled',
    'and reaches the one that follows');
select is(t.meets('ends'), 'true {}', 'a request to cancel waits too');
select is((select string_agg(h.event_type, ' ' order by h.event_id) from perdure.history_events h
    where h.run_id = t.run('ends')), 'WorkflowExecutionStarted WorkflowExecutionCancelRequested WorkflowTaskScheduled',
    'and is not lost');

select * from finish();
