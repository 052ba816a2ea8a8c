-- A worker's session makes its plans while there are few runs, in tables that have been vacuumed and never analysed.
-- The planner then takes every index that begins with the shard to be as good as the primary key, and the session keeps
-- these plans when there are many runs.
\ir support/engine.psql
select no_plan();
set perdure.now = '';
select t.register(1, p_queue => 'busy') \g /dev/null
create procedure t.close(p_count int) language plpgsql
as $$
begin
    if (select count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', c.run_id, 'scheduledEventId', c.scheduled_event_id,
            'attempt', c.attempt, 'commands',
            jsonb '[{"commandType": "CompleteWorkflowExecution", "attributes": {"result": []}}]'))
        from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'busy', p_count) c))
        where outcome = 'completed') <> p_count then
        raise exception 'not all were completed';
    end if;
end
$$;
create function t.rows_read(p_table regclass) returns numeric language sql
return pg_stat_get_xact_tuples_returned(p_table) + pg_stat_get_xact_tuples_fetched(p_table)
    + (select sum(pg_stat_get_xact_tuples_returned(i.indexrelid) + pg_stat_get_xact_tuples_fetched(i.indexrelid))
        from pg_index i where i.indrelid = p_table);

select count(*) from generate_series(1, 28) n, perdure.start_workflow('T', 'quiet-' || n, 'busy') \g /dev/null
select count(*) from generate_series(1, 28) n,
    perdure.start_workflow('T', 'asleep-' || n, 'q', options => '{"workflowStartDelay": "1000s"}') \g /dev/null
vacuum perdure.executions, perdure.run_states, perdure.workflow_tasks, perdure.activity_tasks, perdure.timers,
    perdure.request_ids;
call t.close(10);
call t.close(1);
begin;
select count(*) from generate_series(1, 500) n, perdure.start_workflow('T', 'busy-' || n, 'busy') \g /dev/null
select count(*) from generate_series(1, 500) n,
    perdure.start_workflow('T', 'late-' || n, 'q', options => '{"workflowStartDelay": "1000s"}') \g /dev/null
select t.rows_read('perdure.executions') + t.rows_read('perdure.timers') as before \gset
call t.close(20);
select cmp_ok(t.rows_read('perdure.executions') + t.rows_read('perdure.timers') - :before, '<=', 400::numeric,
    'to close 20 of a thousand runs at once reads neither other runs nor the timers of others');
select t.rows_read('perdure.executions') + t.rows_read('perdure.timers') as before \gset
call t.close(1);
select cmp_ok(t.rows_read('perdure.executions') + t.rows_read('perdure.timers') - :before, '<=', 40::numeric,
    'nor to close one');
select * from finish();
rollback;
