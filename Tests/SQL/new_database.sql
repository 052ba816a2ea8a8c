-- One session fills a database before anybody analyses it: the plans that the session made while the tables were empty
-- must also serve the full tables.
\ir support/engine.psql
select no_plan();
set perdure.now = '';
begin;
-- How many rows of a table this transaction has read so far, with any kind of scan.
create function t.rows_read(p_table regclass) returns numeric language sql
return pg_stat_get_xact_tuples_returned(p_table) + pg_stat_get_xact_tuples_fetched(p_table)
    + (select sum(pg_stat_get_xact_tuples_fetched(i.indexrelid)) from pg_index i where i.indrelid = p_table);

select count(*) from generate_series(1, 3000) n, perdure.start_workflow('T', 'new-' || n, 'q') \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(*) from generate_series(3001, 3010) n, perdure.start_workflow('T', 'new-' || n, 'q') \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 20::numeric,
    'ten starts among three thousand runs read no rows of others');

select count(perdure.signal_workflow('new-' || n, 's')) from generate_series(1, 10) n \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(perdure.signal_workflow('new-' || n, 's')) from generate_series(11, 20) n \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 20::numeric, 'nor do ten signals');

create temp table run as select run_id, workflow_id from perdure.executions limit 20;
select count(perdure.describe_workflow(workflow_id, run_id)) from run \g /dev/null
select t.rows_read('perdure.executions') as before \gset
select count(perdure.signal_workflow(workflow_id, 's', run_id => run_id)) from run \g /dev/null
select cmp_ok(t.rows_read('perdure.executions') - :before, '<=', 40::numeric, 'nor do twenty signals of named runs');

-- A worker polls while there is nothing to do, and then has much to do.
select t.register(1, p_queue => 'busy') \g /dev/null
select t.claim(1, 20, 'busy'), t.claim_activities(1, 20, 'busy') from generate_series(1, 20) \g /dev/null
select count(*) from generate_series(1, 1000) n, perdure.start_workflow('T', 'busy-' || n, 'busy') \g /dev/null
create temp table task (run_id uuid, scheduled_event_id bigint, attempt int);
create function t.items(p_more jsonb) returns jsonb language sql
as $$ select jsonb_agg(jsonb_build_object('runId', run_id, 'scheduledEventId', scheduled_event_id, 'attempt', attempt)
    || p_more) from task $$;
create function t.step(p_step text) returns void language plpgsql
as $$
begin
    case p_step
    when 'claim' then insert into task select c.run_id, c.scheduled_event_id, c.attempt
        from perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'busy', 20) c;
    when 'complete' then perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1),
        t.items(jsonb_build_object('commands', jsonb_build_array(t.activity('a')))));
    when 'claim activities' then insert into task select c.run_id, c.scheduled_event_id, c.attempt
        from perdure.claim_activity_tasks(0::smallint, t.worker(1), 'busy', 20) c;
    when 'finish' then perform count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(1),
        t.items('{"outcome": "completed"}'));
    end case;
end
$$;
-- The most that one of twenty rounds read of some tables.
create function t.most_read(p_step text, p_after text, variadic p_tables regclass[]) returns numeric language plpgsql
as $$
declare
    v_most numeric := 0;
    v_before numeric;
begin
    for i in 1 .. 20 loop
        delete from task;
        v_before := (select sum(t.rows_read(o)) from unnest(p_tables) o);
        perform t.step(p_step);
        if (select count(*) from task) <> 20 then
            raise exception '% of 20 were handed out', (select count(*) from task);
        end if;
        perform t.step(p_after);
        v_most := greatest(v_most, (select sum(t.rows_read(o)) from unnest(p_tables) o) - v_before);
    end loop;
    return v_most;
end
$$;
select t.most_read('claim', 'complete', 'perdure.workflow_tasks', 'perdure.run_states') as most \gset
select cmp_ok(:most::numeric, '<=', 300::numeric,
    'to claim and to complete 20 of a thousand workflow tasks reads few others');
select t.most_read('claim activities', 'finish', 'perdure.activity_tasks', 'perdure.run_states') as most \gset
select cmp_ok(:most::numeric, '<=', 300::numeric, 'nor to claim and to finish 20 of four hundred activities');

select is(array(select relname::text from pg_class where oid
    in ('perdure.executions'::regclass, 'perdure.run_states'::regclass) and reltuples >= 0), '{}',
    'nobody has analysed it');
commit;
select * from finish();
