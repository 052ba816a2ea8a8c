-- Four shards on one server: the forms by name find the shard, engine forms keep to theirs, and lists read all.
begin;
\ir support/engine.psql
select no_plan();
update perdure.settings set value = '4' where name = 'shard_count';

select perdure.start_workflow('T', 'w-' || i, 'q') from generate_series(1, 40) i \g /dev/null
select set_eq('select distinct shard from perdure.workflows', 'select generate_series(0, 3)::smallint',
    'workflows are spread over the shards');
select is_empty($$select workflow_id from perdure.workflows where shard <> perdure.shard_for(namespace, workflow_id)$$,
    'each by its id');
select is(t.refusal(format('select perdure.signal_workflow(%s::smallint, %L, %L, null, %L)',
    (perdure.shard_for('default', 'w-1') + 1) % 4, 'default', 'w-1', 's')), 'PD003',
    'another shard than its own is refused');

-- By name
select perdure.signal_workflow('w-' || i, 's'), perdure.cancel_workflow('w-' || i) from generate_series(1, 40) i
    \g /dev/null
select is((select count(*) from generate_series(1, 40) i
    where perdure.describe_workflow('w-' || i) ->> 'workflow_id' = 'w-' || i), 40::bigint,
    'every workflow is found by its id');
select is((select count(*) from perdure.history_events where event_type = 'WorkflowExecutionSignaled'), 40::bigint,
    'and signalled');

-- A worker goes from shard to shard
create temp table claimed as select shard.n as shard, c.run_id, c.scheduled_event_id, c.attempt
from generate_series(0, 3) shard (n) cross join lateral perdure.claim_workflow_tasks(shard.n::smallint, t.worker(1),
    'q', 100) c;
select is((select count(*) from claimed), 40::bigint, 'a worker claims on every shard');
select is_empty($$select from claimed c join perdure.workflows w using (run_id) where w.shard <> c.shard$$,
    'what is there');
select is((select count(*) from claimed c cross join lateral
    perdure.complete_workflow_tasks(((c.shard + 1) % 4)::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(
    'runId', c.run_id, 'scheduledEventId', c.scheduled_event_id, 'attempt', c.attempt, 'commands', '[]'::jsonb))) d
        where d.outcome = 'lost'), 40::bigint, 'nothing is completed on another shard');
select is((select count(*) from claimed c cross join lateral perdure.complete_workflow_tasks(c.shard::smallint,
    t.worker(1), jsonb_build_array(jsonb_build_object(
    'runId', c.run_id, 'scheduledEventId', c.scheduled_event_id, 'attempt', c.attempt, 'commands',
        jsonb_build_array(t.timer('x', '10s'))))) d where d.outcome = 'completed'), 40::bigint, 'all on its own');
select t.at(10) \g /dev/null
select is((select u.fired_timers from perdure.upkeep(2::smallint) u)::bigint,
    (select count(*) from perdure.workflows where shard = 2), 'upkeep of a shard fires its timers');
select is((select count(*) from perdure.pending_timers), (select count(*) from perdure.workflows where shard <> 2),
    'and no other''s');
select perdure.stop_worker(t.worker(1)) \g /dev/null
select is_empty($$select from perdure.pending_workflow_tasks where worker_identity is not null$$,
    'a worker that leaves is waited for on no shard');

-- Lists
select is((select count(*) from perdure.list_workflows()), 40::bigint, 'a list has the workflows of every shard');
select is((select sum(count) from perdure.count_workflows('', up_to => 1000)), 40::numeric, 'and so has a count');
select is((select string_agg(l.workflow_id, ' ') from perdure.list_workflows(format('RunId = "%s"', t.run('w-7'))) l),
    'w-7', 'a run is found by its id alone');
select is((select string_agg(l.workflow_id, ' ' order by l.workflow_id)
    from perdure.list_workflows('WorkflowId IN ("w-7", "w-8", "w-9")') l), 'w-7 w-8 w-9', 'workflows by theirs');
create function pg_temp.paged() returns setof text language plpgsql
as $$
declare
    v_row perdure.workflows;
    v_last jsonb;
begin
    loop
        select * into v_row from perdure.list_workflows('ORDER BY WorkflowId', page_size => 1, after => v_last);
        exit when not found;
        v_last := to_jsonb(v_row);
        return next v_row.workflow_id;
    end loop;
end
$$;
select is((select count(distinct id) from pg_temp.paged() id), 40::bigint, 'pages cross shards');

-- The work of a lost worker comes back on every shard, by upkeep of that shard
select t.terminate_all(), t.at(1000), t.register(5, '10 s'), t.register(6) \g /dev/null
select perdure.start_workflow('T', 'l-' || i, 'q') from generate_series(1, 40) i \g /dev/null
select t.claim(5, 100), perdure.claim_workflow_tasks(n::smallint, t.worker(5), 'q', 100) from generate_series(1, 3) n
    \g /dev/null
select is((select count(*) from perdure.pending_workflow_tasks where worker_identity = 'worker-5'), 40::bigint,
    'a worker holds tasks on four shards');
update perdure.workflow_tasks set deadline = perdure.clock() + interval '1 hour' where worker = t.worker(5);
select t.at(1011), perdure.upkeep(3::smallint), t.at(1022), perdure.upkeep(1::smallint) \g /dev/null
select is(t.refusal('select perdure.claim_workflow_tasks(2::smallint, t.worker(5), ''q'', 1)'), 'PD007',
    'once it is found lost on one shard it can claim on none');
select is(t.refusal('select perdure.renew_lease(t.worker(5))'), 'PD007', 'nor renew its lease');
select is(t.refusal('select t.register(5)'), 'PD007', 'nor come back under its id');
select is((select count(distinct w.shard) from perdure.workflow_tasks w where w.worker = t.worker(5)), 3::bigint,
    'its work on that shard has come back');
select perdure.upkeep(n::smallint) from generate_series(0, 3) n \g /dev/null
select is((select count(*) from perdure.workflow_tasks w where w.worker = t.worker(5)), 0::bigint,
    'and on the others, each in its turn');
select is((select state from perdure.worker_lives where worker_id = t.worker(5)), 'Lost',
    'then it is remembered as lost');
select is_empty('select * from perdure.violations()', 'nothing is amiss');

select * from finish();
rollback;
