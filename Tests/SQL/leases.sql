-- Trouble with one thing does not affect others: members of sets, due work, lost workers, and histories by pages.
begin;
\ir support/engine.psql
select no_plan();
create function t.now() returns timestamptz language sql as $$ select perdure.clock() $$;
create function t.mend() returns void language sql as $$ update perdure.run_states r set next_event_id = (
    select max(h.first_event_id + cardinality(h.events)) from perdure.history h where h.run_id = r.run_id) $$;
create function t.aside() returns text language sql
as $$ select coalesce(string_agg(format('%s of %s', kind, workflow_id), ', ' order by kind, workflow_id), '')
    from perdure.set_aside_work $$;

-- Upkeep: a timer that raises is set aside, and everything else fires in the same call
select t.start('p-' || i), t.start('poison') from generate_series(1, 1) i \g /dev/null
select t.start('p-' || i) from generate_series(2, 60) i \g /dev/null
select t.claim() \g /dev/null
select t.complete(workflow_id, jsonb_build_array(t.timer('x', '5s'))) from t.workflow_task \g /dev/null
-- The next event of this run gets an id that exists already, which raises an error.
update perdure.run_states set next_event_id = 1 where workflow_id = 'poison';
select t.at(6) \g /dev/null
select is(t.upkeep(), 'timers 60', 'sixty timers fire beside one that cannot');
select is((select array_agg(distinct type) from (select h.event_type as type from perdure.history_events h
    where h.event_id = 6 and h.workflow_id like 'p-%') e), array['TimerFired'],
    'each in its run');
select is(t.aside(), 'timer of poison', 'that one is set aside');
select is((select sqlstate from perdure.set_aside_work), '23505', 'with its error');
select is(t.upkeep(), '', 'and is not tried at once again');
select t.at(7) \g /dev/null
select is((select attempts from perdure.set_aside), 1, 'but');
select is(t.upkeep(), '', 'after a second');
select results_eq('select attempts, next_at - perdure.clock() from perdure.set_aside', $$values (2, interval '2 s')$$,
    'and then after twice as long each time');
select t.at(8), t.start('beside') \g /dev/null
update perdure.run_states set next_event_id = 6 where workflow_id = 'poison';
select t.at(9) \g /dev/null
select is(t.upkeep(), 'timers 1', 'what is repaired fires');
select t.at(30), perdure.delete_expired(0::smallint) \g /dev/null
select is(t.aside(), '', 'and is forgotten');
select t.mend(), t.terminate_all() \g /dev/null

-- A retry policy whose sum overflows, a workflow task that cannot time out, a lost worker's poisoned run
select t.start('act'), t.start('task'), t.start('good'), t.claim() \g /dev/null
select t.complete(w, jsonb_build_array(t.activity('a'))) from unnest(array['act', 'good']) w \g /dev/null
select t.claim_activities() \g /dev/null
update perdure.activity_tasks
    set retry_policy = '{"initialInterval": "nonsense", "backoffCoefficient": 2, "maximumInterval": "100s"}'
    where workflow_id = 'act';
update perdure.run_states set next_event_id = 1 where workflow_id = 'task';
select t.at(50) \g /dev/null
select is(t.upkeep(), 'activities 1', 'of two activities and a workflow task that are due, one can be timed out');
select is(t.aside(), 'activity of act, workflow task of task', 'the others are set aside');
select t.mend(), t.terminate_all() \g /dev/null
select t.at(60), t.register(7, '10 s') \g /dev/null
select t.start('lost-' || i) from generate_series(1, 3) i \g /dev/null
select t.claim(7) \g /dev/null
update perdure.workflow_tasks set deadline = t.now() + interval '1 hour', start_to_close_timeout = '1 hour'
    where worker = t.worker(7);
update perdure.run_states set next_event_id = 1 where workflow_id = 'lost-2';
select t.at(71), t.upkeep(), t.at(82) \g /dev/null
select is(t.upkeep(), 'workers 1', 'a lost worker is taken leave of, although one of its runs cannot be taken back');
select is(t.claim(1), 'lost-1 lost-3', 'others get the others');
select ok(t.aside() like '%lost worker of lost-2%', 'and that one is set aside');
select t.mend(), t.terminate_all() \g /dev/null
delete from perdure.set_aside;

-- Equal timers fire in the order in which they were started
select t.at(100), t.start('equal'), t.claim() \g /dev/null
select t.complete('equal', (select jsonb_agg(t.timer('t' || i, '5s') order by i) from generate_series(1, 12) i))
    \g /dev/null
select t.at(106), t.upkeep() \g /dev/null
select is((select string_agg(attributes ->> 'timerId', ' ' order by event_id) from perdure.history_events
    where run_id = t.run('equal') and event_type = 'TimerFired'),
    't1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11 t12', 'in one pass');
select t.mend(), t.terminate_all() \g /dev/null

-- Leases: an outage of the database does not count as silence of the workers
select t.at(1000), t.register(20, '10 s'), t.register(21, '10 s'), t.start('held'), t.claim(20) \g /dev/null
select t.complete('held', jsonb_build_array(t.activity('a',
    '{"startToCloseTimeout": "1000s", "retryPolicy": {"maximumAttempts": 1}}')), 20, true), t.claim_activities(20)
    \g /dev/null
select t.at(1060) \g /dev/null
select is(t.upkeep(), '', 'after a minute in which nobody was heard, nobody is lost');
select is(perdure.renew_lease(t.worker(20)), t.now() + interval '10 s', 'who comes back has its lease');
select t.at(1063), perdure.renew_lease(t.worker(20)) \g /dev/null
select t.at(1066), perdure.renew_lease(t.worker(20)) \g /dev/null
select is(t.upkeep(), '', 'the other has one more lease');
select t.at(1069), perdure.renew_lease(t.worker(20)) \g /dev/null
select t.at(1070.5) \g /dev/null
select is(t.upkeep(), 'workers 1', 'and is lost when that is over');
select is(t.heartbeat('held', 'a', p_worker => 20), '', 'an activity runs on');
-- The clock jumps
select t.at(9000) \g /dev/null
select is(t.upkeep(), 'activities 1', 'a clock that jumps loses no worker');
select is(perdure.renew_lease(t.worker(20)), t.now() + interval '10 s', 'either');
select perdure.stop_worker(t.worker(20)), t.terminate_all() \g /dev/null

-- An outage does not count as a missed heartbeat either
select t.at(9500), t.register(23, '10 s'), t.start('beats'), t.claim(23) \g /dev/null
select t.complete('beats', jsonb_build_array(t.activity('a',
    '{"startToCloseTimeout": "1000s", "heartbeatTimeout": "3s", "retryPolicy": {"maximumAttempts": 1}}')), 23, true),
    t.claim_activities(23), t.heartbeat('beats', 'a', p_worker => 23) \g /dev/null
select t.at(9560) \g /dev/null
select is(t.upkeep(), '', 'after a minute without the database an activity has not timed out');
select t.at(9560.5), perdure.renew_lease(t.worker(23)), t.at(9563.1) \g /dev/null
select is(t.upkeep(), '', 'its worker has the time of a heartbeat from when it came back');
select t.at(9563.6) \g /dev/null
select is(t.upkeep(), 'activities 1', 'and no more');
select perdure.stop_worker(t.worker(23)), t.mend(), t.terminate_all() \g /dev/null

-- The lease is lost, and the activity may have only one attempt
select t.at(10000), t.register(22, '10 s'), t.start('once'), t.claim(22) \g /dev/null
select t.complete('once', jsonb_build_array(t.activity('a',
    '{"startToCloseTimeout": "1000s", "retryPolicy": {"maximumAttempts": 1}}')), 22, true), t.claim_activities(22),
    t.heartbeat('once', 'a', t.data('"half"'), 22) \g /dev/null
select t.at(10011), t.upkeep(), t.at(10022), t.upkeep() \g /dev/null
select is((select attributes #- '{identity}' from perdure.history_events where run_id = t.run('once')
    and event_type = 'ActivityTaskFailed'),
    '{"failure": {"message": "the lease of the worker that ran the activity ran out", "source": "Perdure",
        "applicationFailureInfo": {"type": "WorkerLost", "details": [{"data": "half", "encoding": "json/plain"}]}},
      "scheduledEventId": 5, "startedEventId": 6, "retryState": "MaximumAttemptsReached"}'::jsonb,
          'it says what happened');
select t.mend(), t.terminate_all() \g /dev/null

-- Sets: a member that cannot be taken does not stop the others
select t.at(20000) \g /dev/null
select t.start('s-' || i) from generate_series(1, 4) i \g /dev/null
select t.claim() \g /dev/null
create function t.completion(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', w.attempt,
    'commands', jsonb_build_array(t.activity('a'))) || p_more
    from t.workflow_task w where w.worker = 1 and w.workflow_id = p_id $$;
select results_eq($$select coalesce(w.workflow_id, 'none') collate "default", c.outcome
    from perdure.complete_workflow_tasks(0::smallint, t.worker(1), jsonb_build_array(
        t.completion('s-1'), t.completion('s-2', '{"attempt": 99999999999}'), t.completion('s-3'),
            t.completion('s-4', '{"scheduledEventId": "x"}'), '{"runId": "no"}'::jsonb, '5'::jsonb)) c
    left join perdure.workflows w on w.run_id = c.run_id order by 1, 2$$,
    $$values ('none', 'lost'), ('none', 'refused'), ('s-1', 'completed'), ('s-2', 'failed'), ('s-3', 'completed'),
        ('s-4', 'failed')$$, 'completions');
select is((select last_failure #>> '{failure,message}' from perdure.pending_workflow_tasks where workflow_id = 's-2'),
    'value "99999999999" is out of range for type integer', 'with the true cause');
select t.claim_activities() \g /dev/null
create function t.result(p_id text, p_more jsonb default '{}') returns jsonb language sql
as $$ select jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id, 'attempt', a.attempt,
    'outcome', 'completed', 'result', '[]'::jsonb) || p_more
    from t.activity_task a where a.worker = 1 and a.workflow_id = p_id $$;
select results_eq($$select h.lost, h.kept from perdure.heartbeat_activity_tasks(0::smallint, t.worker(1),
    jsonb_build_array('{"runId": "x"}', '7',
        t.result('s-1'), t.result('s-3', jsonb_build_object('details', t.data(to_jsonb(repeat('x', 3000000))))))) h
            order by 1, 2$$,
    'values (false, true), (true, false), (true, false), (true, false)', 'heartbeats');
select results_eq($$select outcome from perdure.finish_activity_tasks(0::smallint, t.worker(1),
    jsonb_build_array(t.result('s-1', '{"outcome": "what"}'), '{}', '[]',
    t.result('s-3'))) order by 1$$, array['lost', 'lost', 'lost', 'refused'], 'results');
select is(t.finish('s-1', 'a'), 'completed', 'what was refused can still be reported');
select t.claim() \g /dev/null
select results_eq($$select outcome from perdure.fail_workflow_tasks(0::smallint, t.worker(1),
    jsonb_build_array('{}', '{"runId": "5"}', t.completion('s-1', '{"attempt": "x"}'),
    t.completion('s-3', '{"failure": {"message": "m"}}'))) order by 1$$,
        array['failed', 'refused', 'refused', 'refused'], 'failures');
select is(perdure.release_tasks(0::smallint, t.worker(1),
    jsonb_build_array('5', '{"kind": "workflow", "runId": "x"}', '{"kind": "activity", "runId": "x"}',
    jsonb_build_object('kind', 'workflow', 'runId', t.run('s-1')))), 1, 'what is handed back');
select is((select string_agg(outcome, ' ') from perdure.answer_queries(0::smallint, t.worker(1),
    '[{"queryId": "x"}, 5, {}]')), 'refused refused refused', 'answers');
select t.mend(), t.terminate_all() \g /dev/null
delete from perdure.set_aside;

-- A worker leaves while events are buffered for its workflow task: they come before events that happen later
select t.at(25000), t.register(24), t.start('left'), t.claim(24), perdure.signal_workflow('left', 'one'),
    perdure.stop_worker(t.worker(24)),
    perdure.signal_workflow('left', 'two') \g /dev/null
select is((select string_agg(attributes ->> 'signalName', ' ' order by event_id) from perdure.history_events
    where run_id = t.run('left') and event_type = 'WorkflowExecutionSignaled'),
    'one two', 'signals keep their order when a worker leaves between them');
select is_empty($$select * from perdure.violations() where kind = 'buffered events without task'$$,
    'and wait for nobody');
select t.mend(), t.terminate_all() \g /dev/null

-- Histories by pages
select t.at(30000), t.start('long'), t.start('short') \g /dev/null
select perdure.signal_workflow('long', 's', t.data(to_jsonb(repeat(md5(i::text), 8000)))) from generate_series(1, 6) i
    \g /dev/null
insert into perdure.history (shard, run_id, first_event_id, event_time, events)
select 0, t.run('long'), 9, t.now(), array(select jsonb_build_object('eventType', 'WorkflowExecutionSignaled',
    'attributes', jsonb_build_object('signalName', 's', 'input',
    t.data(to_jsonb(repeat(md5(i::text), 8000))))) from generate_series(1, 8) i);
update perdure.run_states set next_event_id = 17 where run_id = t.run('long');
create temporary table page as select c.* from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(1), 'q',
    10) c;
select is((select count(*) from page), 2::bigint, 'a long history does not keep a claim from what it asks for');
select cmp_ok((select sum(octet_length(history::text)) from page), '<', 2600000::bigint, 'which has a bounded size');
create function t.read(p_bytes int) returns text language plpgsql as $$
declare
    v_next bigint := 1;
    v_page json;
    v_ids bigint[] := '{}';
    v_sizes int[] := '{}';
begin
    loop
        select h.history into v_page from perdure.get_histories_as_stored(0::smallint, array[t.run('long')],
            array[v_next], 100, p_bytes) h;
        exit when json_array_length(v_page) = 0;
        v_sizes := v_sizes || octet_length(v_page::text);
        v_ids := v_ids || array(select (b ->> 'firstEventId')::bigint + n - 1 from json_array_elements(v_page)
            with ordinality a (b, o),
            json_array_elements(b -> 'events') with ordinality e (e, n)
                where (b ->> 'firstEventId')::bigint + n - 1 >= v_next order by 1);
        v_next := v_ids[cardinality(v_ids)] + 1;
    end loop;
    return format('%s events%s, %s', cardinality(v_ids), case
        when v_ids = array(select i::bigint from generate_series(1, cardinality(v_ids)) i) then '' else ' out of order'
        end,
        case when (select max(s) from unnest(v_sizes) s) < greatest(p_bytes, 260000) + 1000 then 'in bounds'
            else 'too large' end);
end
$$;
select is(t.read(400000), '16 events, in bounds', 'it is read by pages');
select is(t.read(600000), '16 events, in bounds', 'of any size');
select is(t.read(1), '16 events, in bounds', 'with one event at least, though its batch has more');
select is((select jsonb_array_length(perdure.get_history(0::smallint, t.run('long'), 1, 1000, 600000)) between 1 and 4),
    true, 'whole events, too');
select is((select count(*) from perdure.get_histories_as_stored(0::smallint, array[t.run('long'), t.run('short')],
    array[9, 1], 100, 1000)), 1::bigint, 'one call for many has the same bound');
select is((select count(*) from perdure.get_histories_as_stored(0::smallint, array[t.run('long'), t.run('short')],
    array[1, 1], 100)), 2::bigint, 'and without one, each gets something');
-- Numbers from before there were limits, which are small as they are stored and have 1.1 GB as text: to make that would
-- take many seconds. The clock of these tests stands before the migration.
update perdure.history set events[1] = jsonb_set(events[1], '{given,input}', ('['
    || repeat('{"encoding": "json/plain", "data": 1e100000}, ', 11000)
        || '{"encoding": "json/plain", "data": 1}]')::jsonb)
where run_id = t.run('short') and first_event_id = 1;
select is(pg_column_size(events) < 1000000, true, 'a small row') from perdure.history
where run_id = t.run('short') and first_event_id = 1;
select is((select event_time < perdure.limited_since() from perdure.history
    where run_id = t.run('short') and first_event_id = 1), true, 'from before there were limits');
set local statement_timeout = '4s';
select is((select failure from perdure.get_histories_as_stored(0::smallint, array[t.run('short')], array[1], 100,
    1000000)) ~ '^event 1 of run .* cannot be sent: it has more than 128 MiB', true, 'what cannot be sent says so');
select is(perdure.history_page(0::smallint, t.run('short'), 1, 4000000), null, 'a claim leaves it to that');
select is(perdure.batch_text(events, 1, event_time, 4000000), null, 'and makes no text of it') from perdure.history
where run_id = t.run('short') and first_event_id = 1;
reset statement_timeout;
-- A claim does not send a part of a batch whose second event is too long for a page
select is(perdure.batch_text(array['{"a": 1}', to_jsonb(repeat('x', 3000))], 1, t.now(), 2000), null,
    'nor of the rest of a batch');
select is(perdure.batch_text(array['{"a": 1}', to_jsonb(repeat('x', 3000))], 1, t.now(), 4000)::jsonb -> 'events' -> 0,
    '{"a": 1}', 'which fits into a larger one');
select is(perdure.history_page(0::smallint, t.run('long'), 1, 1), null, 'no batch fits into a byte');
select is(jsonb_array_length(('[' || perdure.history_page(0::smallint, t.run('long'), 1, 300000) || ']')::jsonb), 2,
    'and those that fit are sent, though the next does not');
select t.at(30100), t.upkeep() \g /dev/null
select is((select count(*) from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(1), 'q', 10)), 2::bigint,
    'and does not keep a claim from the rest');

-- Retention: one call deletes a bounded number of rows
select t.mend(), t.terminate_all(), t.at(40000) \g /dev/null
select perdure.create_namespace('old', '1 day') \g /dev/null
insert into perdure.executions select (e).* from (select jsonb_populate_record(e,
    jsonb_build_object('namespace', 'old', 'run_id', gen_random_uuid(), 'workflow_id', 'old-' || i,
    'close_time', t.now())) as e from perdure.executions e, generate_series(1, 3) i where e.run_id = t.run('long')) e;
insert into perdure.history select h.shard, e.run_id, n, h.event_time, array['{"eventType": "MarkerRecorded"}'::jsonb],
    null, null, null
from perdure.executions e, perdure.history h, generate_series(1, 250) n where e.namespace = 'old'
    and h.run_id = t.run('long') and h.first_event_id = 1;
select t.at(40000 + 86401) \g /dev/null
select is(t.upkeep(), '', 'upkeep deletes nothing');
create function t.delete_all() returns text language plpgsql as $$
declare
    v_calls int := 0;
    v record;
    v_most int := 0;
    v_runs int := 0;
begin
    loop
        select * into v from perdure.delete_expired(0::smallint, 100);
        v_calls := v_calls + 1;
        v_most := greatest(v_most, v.deleted_rows);
        v_runs := v_runs + v.deleted_executions;
        exit when not v.is_more;
    end loop;
    return format('%s runs in %s calls of %s rows at most', v_runs, v_calls, v_most);
end
$$;
select matches(t.delete_all(), '^3 runs in (8|9) calls of 10[0-2] rows at most', 'old histories go bit by bit');
select is((select count(*) from perdure.history h where
    not exists (select from perdure.executions e where e.run_id = h.run_id)), 0::bigint, 'and wholly');
-- A very long retention, which a database may have from before the limit
alter table perdure.namespaces drop constraint namespaces_retention;
update perdure.namespaces set retention = '10000 years' where namespace = 'old';
select lives_ok('select perdure.delete_expired(0::smallint)', 'does not keep others from theirs');
select is(t.refusal('select perdure.upkeep(0::smallint)'), 'accepted', 'nor upkeep from its work');

select * from finish();
rollback;
