-- The limits of a history: near them the run's code is told, later people are warned, and then the run is ended.
begin;
\ir support/engine.psql
select no_plan();
select perdure.create_namespace('default') \g /dev/null
-- Adds so many events and bytes to the history of a run, all signals, as if they had come.
create function t.lengthen(p_id text, p_events int, p_bytes bigint default 0) returns void language plpgsql as $$
begin
    insert into perdure.history (shard, run_id, first_event_id, event_time, events)
    select 0, r.run_id, r.next_event_id, perdure.clock(),
        array(select perdure.workflow_signaled('s', '[]', null, null) from generate_series(1, p_events))
    from perdure.run_states r where r.workflow_id = p_id;
    update perdure.run_states r set next_event_id = r.next_event_id + p_events,
        history_bytes = r.history_bytes + p_bytes where r.workflow_id = p_id;
    update perdure.workflow_tasks k set scheduled_event_id = r.next_event_id, scheduled_at = perdure.clock()
        from perdure.run_states r
    where r.workflow_id = p_id and k.run_id = r.run_id;
    insert into perdure.history (shard, run_id, first_event_id, event_time, events)
    select 0, r.run_id, r.next_event_id, perdure.clock(), array[perdure.workflow_task_scheduled(r, 1)]
        from perdure.run_states r
    where r.workflow_id = p_id and exists (select from perdure.workflow_tasks k where k.run_id = r.run_id);
    update perdure.run_states r set next_event_id = r.next_event_id + 1 where r.workflow_id = p_id
        and exists (select from perdure.workflow_tasks k where k.run_id = r.run_id);
end
$$;
create function t.told(p_id text) returns text language sql
as $$ select concat_ws(' ', w.history #>> '{-1,events,-1,attributes,historySizeBytes}',
    w.history #>> '{-1,events,-1,attributes,suggestContinueAsNew}',
    w.history #>> '{-1,events,-1,attributes,suggestContinueAsNewReasons}')
    from t.workflow_task w where w.workflow_id = p_id $$;
create function t.written(p_id text) returns text language sql
as $$ select concat_ws(' ', h.attributes ->> 'historySizeBytes', h.attributes ->> 'suggestContinueAsNew',
    h.attributes ->> 'suggestContinueAsNewReasons')
    from perdure.history_events h
    where h.run_id = t.run(p_id) and h.event_type = 'WorkflowTaskStarted' order by h.event_id desc limit 1 $$;
create temp table way (way text, many text);
insert into way values ('few', '8'), ('many', '1');
create temp table history (name text, events int, bytes bigint, told text);
insert into history values ('short', 10, 0, ''), ('large', 10, 300000, '262144'),
    ('long', 4100, 0, 'true ["TooManyHistoryEvents"]'),
    ('of 4 MiB', 10, 4300000, '4259840 true ["HistorySizeTooLarge"]'),
    ('both', 4100, 4300000, '4259840 true ["HistorySizeTooLarge", "TooManyHistoryEvents"]');

-- The size that the code is told is that of the history, in whatever way the history is written.
create function t.step(p_way text, p_name text, p_events int, p_bytes bigint, p_end text) returns text language plpgsql
    as $$
declare
    v_id text := concat_ws('-', p_way, p_name, p_end);
    v_told text;
    v_size bigint;
    v_outcome record;
begin
    perform set_config('perdure.many', case p_way when 'many' then '1' else '8' end, true);
    perform t.start(v_id), t.lengthen(v_id, p_events, p_bytes), t.claim();
    v_told := t.told(v_id);
    case p_end
    when 'activity' then perform t.complete(v_id, jsonb_build_array(t.activity('a', '{"requestEagerExecution": true}')),
        p_sticky => true);
    when 'closes' then perform t.complete(v_id, jsonb_build_array(t.command('CompleteWorkflowExecution',
        '{"result": []}')));
    when 'generally' then perform t.complete(v_id, jsonb_build_array(t.timer('x', '10s')));
    when 'fails' then perform t.fail(v_id);
    when 'terminated' then perform perdure.terminate_workflow(v_id);
    when 'fused', 'fused generally' then
        select c.* into v_outcome from t.workflow_task w cross
            join lateral perdure.complete_workflow_tasks(0::smallint, t.worker(1), jsonb_build_array(jsonb_build_object(
            'runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', 1, 'commands',
                jsonb_build_array(t.activity('a', '{"requestEagerExecution": true}'))))) c
        where w.workflow_id = v_id;
        select c.* into v_outcome from perdure.complete_workflow_tasks(0::smallint, t.worker(1),
            jsonb_build_array(jsonb_build_object(
            'runId', v_outcome.run_id, 'nextEventId', v_outcome.next_event_id, 'startedAt',
                perdure.rfc3339(perdure.clock()),
            'activity', jsonb_build_object('scheduledEventId', v_outcome.started_activities[1], 'attempt', 1, 'result',
                '[]'::jsonb),
            'commands', case p_end when 'fused' then '[]'::jsonb else jsonb_build_array(t.timer('x', '10s')) end))) c;
        if v_outcome.history_size is distinct from (select r.history_bytes from perdure.run_states r
            where r.workflow_id = v_id) then
            return 'the worker was told ' || v_outcome.history_size;
        end if;
    end case;
    return concat_ws(' / ', v_told, t.written(v_id));
end
$$;
select is(t.step(way, name, events, bytes, ending), told || ' / ' || told, concat_ws(', ', way, name, ending))
from way, history, unnest(array['activity', 'closes', 'generally', 'fails', 'terminated', 'fused',
    'fused generally']) ending;
select is((select count(*) from perdure.workflows w where w.status <> 'Running'
    and (w.history_size_bytes is null or w.history_size_bytes < 100)), 0::bigint,
    'a run that has closed tells how large its history was');
-- The size that is counted is near to the size that is sent.
select ok(w.history_size_bytes between 0.3 * sent.bytes and 3 * sent.bytes, 'the size of ' || w.workflow_id || ': '
    || w.history_size_bytes || ' of ' || sent.bytes)
from perdure.workflows w
cross join lateral (select sum(octet_length(array_to_json(h.events)::text)) as bytes from perdure.history h
    where h.run_id = w.run_id) sent
where w.workflow_id like '%-short-%';

-- People are warned.
select t.start('warned'), t.start('w2') \g /dev/null
select is((select history_warning from perdure.workflows where workflow_id = 'warned'), null,
    'no warning of a short history');
select t.lengthen('warned', 10240), t.lengthen('w2', 1, 11000000) \g /dev/null
select matches((select history_warning from perdure.workflows where workflow_id = 'warned'),
    '^Its history has 10243 events of at most 51200', 'one of a long history');
select matches((select history_warning from perdure.workflows where workflow_id = 'w2'), '10.5 MiB of at most 50',
    'and of a large one');
select matches((select h.status || ': ' || h.message from perdure.health_checks() h where h.name = 'Histories'),
    '^warning: .* have a long history; that of w2 has [0-9]+ events of at most 51200, and 10.5 MiB of at most 50$',
        'doctor says so, of the worst');

-- Then the run ends.
create function t.ending(p_id text) returns text language sql
as $$ select concat_ws(' ', w.status, h.attributes ->> 'reason') from perdure.workflows w left
    join perdure.history_events h
    on h.run_id = w.run_id and h.event_id = w.history_length where w.run_id = t.run(p_id) $$;
create temp table excess (name text, events int, bytes bigint, reason text);
update perdure.namespaces set max_history_events = 300 where namespace = 'default';
insert into excess values ('count', 300, 0, 'Workflow history count exceeds limit.'),
    ('size', 5, 53000000, 'Workflow history size exceeds limit.');
create function t.exceed(p_way text, p_name text, p_events int, p_bytes bigint, p_by text) returns text language plpgsql
    as $$
declare
    v_id text := concat_ws('-', 'x', p_way, p_name, p_by);
    v_outcome text;
begin
    perform set_config('perdure.many', case p_way when 'many' then '1' else '8' end, true);
    perform t.start(v_id), t.claim();
    perform t.complete(v_id, jsonb_build_array(t.activity('a'), t.activity('b'), t.timer('x', '1s'))),
        t.claim_activities();
    case p_by
    when 'signal' then
        perform t.lengthen(v_id, p_events, p_bytes), perdure.signal_workflow(v_id, 'last');
    when 'activity' then
        perform t.lengthen(v_id, p_events, p_bytes), t.finish(v_id, 'a', 'completed', '{"result": []}');
    when 'failed activity' then
        perform t.lengthen(v_id, p_events, p_bytes), t.finish(v_id, 'a', 'failed',
            t.failure('no', '{"nonRetryable": true}'));
    when 'timer' then
        perform t.lengthen(v_id, p_events, p_bytes), t.at(extract(epoch
            from perdure.clock() - timestamptz '2026-01-01 00:00:00Z') + 2), t.upkeep();
    when 'cancel request' then
        perform t.lengthen(v_id, p_events, p_bytes), perdure.cancel_workflow(v_id);
    when 'commands' then
        perform perdure.signal_workflow(v_id, 's'), t.lengthen(v_id, p_events, p_bytes), t.claim();
        v_outcome := t.complete(v_id, jsonb_build_array(t.activity('c')));
    when 'unusual commands' then
        perform perdure.signal_workflow(v_id, 's'), t.lengthen(v_id, p_events, p_bytes), t.claim();
        v_outcome := t.complete(v_id, jsonb_build_array(t.timer('c', '5s')));
    when 'closing commands' then
        perform perdure.signal_workflow(v_id, 's'), t.lengthen(v_id, p_events, p_bytes), t.claim();
        v_outcome := t.complete(v_id, jsonb_build_array(t.command('CompleteWorkflowExecution', '{"result": []}')));
    when 'failing' then
        perform perdure.signal_workflow(v_id, 's'), t.lengthen(v_id, p_events, p_bytes), t.claim();
        v_outcome := t.complete(v_id, jsonb_build_array(t.command('FailWorkflowExecution', t.failure('no'))));
    end case;
    return concat_ws(': ', t.ending(v_id), v_outcome);
end
$$;
select is(t.exceed(way, name, events, bytes, by), 'Terminated ' || reason || case when by like '%commands'
    then ': failed ' || reason else '' end, concat_ws(', ', way, name, by))
from way, excess, unnest(array['signal', 'activity', 'failed activity', 'timer', 'cancel request', 'commands',
    'unusual commands']) by;
select is(t.exceed(way, name, events, bytes, 'closing commands'), 'Completed: completed',
    concat_ws(', ', way, name, 'a run that closes may')) from way, excess;
select is(t.exceed('few', name, events, bytes, 'failing'), 'Failed: completed', name || ', or fails') from excess;
select is((select event_type from perdure.history_events h where h.workflow_id = 'x-few-count-signal'
    order by event_id desc limit 1 offset 1), 'WorkflowExecutionSignaled',
    'what was taken last is in the history');
select is((select count(*) from perdure.activity_tasks a where a.workflow_id like 'x-%'), 0::bigint,
    'no activity is left');
select is(t.refusal($$select perdure.signal_workflow('x-few-count-signal', 's')$$), 'PD006', 'then it is closed');

-- A namespace may allow fewer.
select perdure.create_namespace('few') \g /dev/null
update perdure.namespaces set max_history_events = 20 where namespace = 'few';
select perdure.start_workflow('T', 'f', 'q', namespace => 'few') \g /dev/null
select perdure.signal_workflow('f', 's', namespace => 'few') from generate_series(1, 19) \g /dev/null
select is((select status || ' ' || history_length || left(history_warning, 31) from perdure.workflows
    where workflow_id = 'f'), 'Running 21Its history has 21 events of at', 'of 20 events');
select perdure.signal_workflow('f', 's', namespace => 'few') \g /dev/null
select is((select status || ' ' || history_length from perdure.workflows where workflow_id = 'f'), 'Terminated 23',
    'the next one ends it');
select throws_ok($$update perdure.namespaces set max_history_events = 1$$, '23514', null,
    'but not so few that nothing could be done');
select t.at(1000000), perdure.start_workflow('T', 'f', 'q', namespace => 'few') \g /dev/null
select is((select status from perdure.workflows where workflow_id = 'f' order by start_time desc, run_id desc limit 1),
    'Running', 'and it can be started anew');

select finish();
rollback;
