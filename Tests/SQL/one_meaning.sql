-- The fast paths mean the same as the general rules: from one state, the same call by one large statement, by small
-- ones and by the general rules leaves the same rows in all tables and gives the same answers. States and calls are
-- random; each seed makes its own.
--
--   PERDURE_SEEDS=1-5000 Tests/SQL/run.sh Tests/SQL/one_meaning.sql     more of them, or those that failed
\ir support/engine.psql
\getenv seeds PERDURE_SEEDS
\if :{?seeds}
\else
\set seeds 1-120
\endif
select no_plan();
select t.at(0), t.register(1), t.register(2), t.register(3, '40 s') \g /dev/null

-- Random things
create function t.below(p_number int) returns int language sql as $$ select floor(random() * p_number)::int $$;
create function t.one_of(variadic p_choices text[]) returns text language sql as $$
    select p_choices[1 + t.below(cardinality(p_choices))] $$;
create function t.rarely(p_share double precision default 0.05) returns boolean language sql as $$
    select random() < p_share $$;
create function t.some_payloads() returns jsonb language sql as $$
    select case when t.rarely(0.04) then t.one_of('{}', 'null', '["x"]', '[{"data": 1}]',
        '[{"encoding": 5, "data": 1}]', '1',
            '[{"encoding": "json/plain", "data": 1}, {"data": 1}]')::jsonb
        else t.one_of('[]', '[{"encoding": "json/plain", "data": 1}]',
            '[{"encoding": "json/plain", "data": {"a": [null, "b"]}}]',
            '[{"encoding": "json/plain", "data": 1}, {"encoding": "json/plain", "data": 2}]',
                '[{"encoding": "binary/null"}]',
            '[{"encoding": "binary/plain", "data": "AAE="}]')::jsonb end
$$;
create function t.some_duration() returns jsonb language sql as $$
    select to_jsonb(case when t.rarely(0.03) then t.one_of('', 's', '1', '-1s', '1e3s', ' 1s', '0.1234567891s',
        '99999999999s')
        else t.one_of('0s', '0.0s', '1s', '10s', '10s', '30s', '010s', '2.5s', '2.50s', '0.25s', '0.000001s',
            '0.0000001s', '100000s') end)
$$;
create function t.some_sdk_metadata() returns jsonb language sql as $$
    select case when t.rarely() then t.one_of('[]', 'null', '5')
        else t.one_of('{"sdkName": "s", "langUsedFlags": [1]}', '{}') end::jsonb
$$;
create function t.some_retry_policy() returns jsonb language plpgsql as $$
declare
    v_policy jsonb := '{}';
begin
    if t.below(2) = 0 then v_policy := v_policy || jsonb_build_object('initialInterval', t.some_duration()); end if;
    if t.below(3) = 0 then v_policy := v_policy || jsonb_build_object('maximumInterval', t.some_duration()); end if;
    if t.below(3) = 0 then v_policy := v_policy || jsonb_build_object('backoffCoefficient',
        t.one_of('1', '1', '1.5', '2', '10', '0', '-1', '"2"', '1e3', 'null')::jsonb); end if;
    if t.below(2) = 0 then v_policy := v_policy || jsonb_build_object('maximumAttempts',
        t.one_of('0', '1', '2', '3', '3', '-1', '"2"', '2.0', 'null')::jsonb); end if;
    if t.below(4) = 0 then v_policy := v_policy || jsonb_build_object('nonRetryableErrorTypes',
        t.one_of('[]', '["Bad"]', '["Bad", "Worse"]', 'null', '{}', '[5]', '[null]')::jsonb); end if;
    return v_policy;
end
$$;
create function t.some_activity() returns jsonb language plpgsql as $$
declare
    v_attributes jsonb := jsonb_build_object('activityId', t.one_of('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'),
        'activityType', '{"name": "A"}'::jsonb,
        'input', t.some_payloads());
begin
    if t.below(10) > 0 then v_attributes := v_attributes
        || jsonb_build_object('startToCloseTimeout', t.some_duration()); end if;
    if t.below(5) = 0 then v_attributes := v_attributes
        || jsonb_build_object('scheduleToCloseTimeout', t.some_duration()); end if;
    if t.below(6) = 0 then v_attributes := v_attributes
        || jsonb_build_object('scheduleToStartTimeout', t.some_duration()); end if;
    if t.below(6) = 0 then v_attributes := v_attributes || jsonb_build_object('heartbeatTimeout', t.some_duration());
        end if;
    if t.below(3) = 0 then v_attributes := v_attributes || jsonb_build_object('retryPolicy', t.some_retry_policy());
        end if;
    if t.below(2) = 0 then v_attributes := v_attributes || '{"requestEagerExecution": true}'; end if;
    if t.below(4) = 0 then v_attributes := v_attributes
        || t.one_of('{"taskQueue": {"name": "q"}}', '{"taskQueue": {"name": "r"}}',
        '{"taskQueue": {}}', '{"taskQueue": {"name": "q", "kind": "Normal"}}')::jsonb; end if;
    if t.rarely() then v_attributes := v_attributes || t.one_of('{"priority": {"priorityKey": 2}}',
        '{"priority": {"priorityKey": 9}}', '{"priority": {}}',
        '{"header": {"fields": {}}}', '{"activityId": ""}', '{"activityId": null}', '{"activityId": 5}',
            '{"activityType": {}}', '{"activityType": "A"}',
        '{"requestEagerExecution": "true"}', '{"requestEagerExecution": false}', '{"retryPolicy": null}',
            '{"heartbeatTimeout": null}',
        '{"scheduleToCloseTimeout": null}', '{"taskQueue": null}', '{"taskQueue": {"name": ""}}', '{"input": null}',
            '{"userMetadata": {}}',
        '{"activityType": {"name": "A", "more": 1}}', '{"activityType": {"name": 5}}', '{"activityType": null}',
            '{"retryPolicy": 5}', '{"retryPolicy": []}',
        '{"taskQueue": {"name": 5}}', '{"taskQueue": "q"}', '{"startToCloseTimeout": 10}',
            '{"startToCloseTimeout": null, "scheduleToCloseTimeout": "5s"}',
        '{"requestEagerExecution": null}', '{"priority": null}', '{"activityId": "\ud83d\ude00"}')::jsonb; end if;
    return t.command('ScheduleActivityTask', v_attributes);
end
$$;
create function t.some_command(p_run_id uuid) returns jsonb language plpgsql as $$
begin
    return case t.below(12)
        when 0 then t.command('StartTimer', jsonb_build_object('timerId', t.one_of('t', 'u', 'v'), 'startToFireTimeout',
            t.some_duration()))
        when 1 then t.command('StartTimer', jsonb_build_object('timerId', t.one_of('w', 'x', 'y'), 'startToFireTimeout',
            '"5s"'::jsonb))
        when 2 then t.command('CancelTimer', jsonb_build_object('timerId', t.one_of('t', 'u', 'v')))
        when 3 then t.command('RequestCancelActivityTask', jsonb_build_object('scheduledEventId', coalesce(
            (select a.scheduled_event_id from perdure.activity_tasks a where a.run_id = p_run_id order by random()
                limit 1), 3)))
        when 4 then t.command('RecordMarker', '{"markerName": "m", "details": {}}')
        when 5 then t.command('ModifyWorkflowProperties',
            '{"upsertedMemo": {"m": {"encoding": "json/plain", "data": 1}}}')
        when 6 then t.one_of('{"commandType": "Nonsense"}', '{}', 'null', '1',
            '{"commandType": "CompleteWorkflowExecution"}',
            '{"commandType": "ScheduleActivityTask"}', '{"commandType": "ScheduleActivityTask", "attributes": null}',
            '{"commandType": "CompleteWorkflowExecution", "attributes": 5}')::jsonb
        else t.some_activity() end;
end
$$;
create function t.some_commands(p_run_id uuid) returns jsonb language plpgsql as $$
declare
    v_commands jsonb := '[]';
    v_closing jsonb := case t.below(8) when 0 then t.command('FailWorkflowExecution', '{"failure": {"message": "no"}}')
        when 1 then t.command('CancelWorkflowExecution')
            else t.command('CompleteWorkflowExecution', jsonb_build_object('result', t.some_payloads())) end;
begin
    case t.below(10)
    when 0 then return '[]';
    when 1, 2 then return jsonb_build_array(v_closing);
    when 3, 4 then return jsonb_build_array(t.some_activity());
    when 5, 6 then
        for i in 0 .. t.below(4) loop v_commands := v_commands || t.some_activity(); end loop;
    when 7, 8 then
        for i in 0 .. t.below(4) loop v_commands := v_commands || jsonb_build_array(t.some_command(p_run_id)); end loop;
        if t.rarely(0.2) then v_commands := v_commands || v_closing; end if;
    else
        return t.one_of('[]', '{}', 'null', '"x"', '[[]]')::jsonb;
    end case;
    return v_commands;
end
$$;

-- Random calls of a worker, as text that can be repeated
create function t.some_completions(p_worker int) returns jsonb language plpgsql as $$
declare
    v_items jsonb := '[]';
    v_task record;
    v_item jsonb;
begin
    -- Fused steps come first, because a run has either a workflow task or a fused step.
    for v_task in select a.*, r.next_event_id from perdure.activity_tasks a join perdure.run_states r
        using (shard, run_id)
        where a.state = 'started' and (a.worker = t.worker(p_worker) or t.rarely())
          and (t.rarely() or not exists (select from perdure.workflow_tasks w where w.run_id = a.run_id))
        order by a.workflow_id, a.scheduled_event_id loop
        continue when t.rarely(0.3) or not t.rarely(0.1)
            and v_items @> jsonb_build_array(jsonb_build_object('runId', v_task.run_id));
        v_item := jsonb_build_object('runId', v_task.run_id, 'commands', t.some_commands(v_task.run_id),
            'nextEventId', v_task.next_event_id + case when t.rarely() then 1 else 0 end,
            'startedAt', case when t.rarely() then v_task.started_at - interval '1 s'
                else greatest(v_task.started_at, perdure.clock() - interval '0.5 s') end,
            'activity', jsonb_build_object('scheduledEventId', v_task.scheduled_event_id, 'attempt',
                v_task.attempt + case when t.rarely() then 1 else 0 end,
                'result', t.some_payloads()));
        if t.below(3) > 0 then v_item := v_item || jsonb_build_object('sticky', t.below(2) = 0); end if;
        if t.below(3) = 0 then v_item := v_item || jsonb_build_object('sdkMetadata', t.some_sdk_metadata()); end if;
        v_items := v_items || v_item;
    end loop;
    for v_task in select w.*, r.next_event_id from perdure.workflow_tasks w join perdure.run_states r
        using (shard, run_id)
        where w.state = 'started' and w.worker = t.worker(p_worker) or t.rarely() order by r.workflow_id loop
        continue when t.rarely(0.2);
        v_item := jsonb_build_object('runId', v_task.run_id, 'commands', t.some_commands(v_task.run_id),
            'attempt', v_task.attempt + case when t.rarely() then 1 else 0 end,
            'scheduledEventId', case v_task.attempt when 1 then v_task.scheduled_event_id else v_task.next_event_id
                end + case when t.rarely() then 1 else 0 end);
        if t.below(3) > 0 then v_item := v_item || jsonb_build_object('sticky', t.below(2) = 0); end if;
        if t.below(3) = 0 then v_item := v_item || jsonb_build_object('sdkMetadata', t.some_sdk_metadata()); end if;
        v_items := v_items || v_item;
        if t.rarely(0.03) then v_items := v_items || v_item; end if;
    end loop;
    if t.rarely() then v_items := v_items || jsonb_build_object('runId', t.worker(9), 'attempt', 1, 'scheduledEventId',
        2, 'commands', '[]'::jsonb); end if;
    return v_items;
end
$$;
create function t.some_results(p_worker int) returns jsonb language plpgsql as $$
declare
    v_items jsonb := '[]';
    v_task record;
    v_item jsonb;
begin
    for v_task in select a.* from perdure.activity_tasks a where a.state = 'started' and a.worker = t.worker(p_worker)
        or t.rarely()
        order by a.workflow_id, a.scheduled_event_id loop
        continue when t.rarely(0.2);
        v_item := jsonb_build_object('runId', v_task.run_id, 'scheduledEventId', v_task.scheduled_event_id, 'attempt',
            v_task.attempt + case when t.rarely() then 1 else 0 end)
            || case t.below(8)
                when 0 then jsonb_build_object('outcome', 'failed', 'failure', t.one_of('{"message": "no"}',
                    '{"message": "no", "applicationFailureInfo": {"type": "Bad", "nonRetryable": true}}',
                        '{"message": "no", "applicationFailureInfo": {"type": "Bad"}}')::jsonb)
                when 1 then jsonb_build_object('outcome', 'canceled', 'details', t.some_payloads())
                else jsonb_build_object('outcome', 'completed', 'result', t.some_payloads()) end;
        if t.rarely(0.01) then v_item := v_item || '{"outcome": "nonsense"}'; end if;
        if t.rarely(0.01) then v_item := v_item - 'result'; end if;
        v_items := v_items || v_item;
        if t.rarely(0.03) then v_items := v_items || v_item; end if;
    end loop;
    if t.rarely() then v_items := v_items || jsonb_build_object('runId', t.worker(9), 'attempt', 1, 'scheduledEventId',
        2, 'outcome', 'completed', 'result', '[]'::jsonb); end if;
    return v_items;
end
$$;
create function t.some_call(p_worker int) returns text language plpgsql as $$
declare
    v_items jsonb;
begin
    -- Prefers a call for which there is something to do.
    for i in 1 .. 3 loop
        if t.below(2) = 0 then
            v_items := t.some_completions(p_worker);
            if v_items <> '[]' then
                return format('perdure.complete_workflow_tasks(0::smallint, %L, %L)', t.worker(p_worker), v_items);
            end if;
        else
            v_items := t.some_results(p_worker);
            if v_items <> '[]' then
                return format('perdure.finish_activity_tasks(0::smallint, %L, %L)', t.worker(p_worker), v_items);
            end if;
        end if;
        exit when t.below(3) = 0;
    end loop;
    return case t.one_of('workflow', 'activity', 'upkeep', 'upkeep')
        when 'workflow' then format('perdure.claim_workflow_tasks_as_stored(0::smallint, %L, %L, %s)',
            t.worker(p_worker), 'q', 1 + t.below(20))
        when 'activity' then format('perdure.claim_activity_tasks(0::smallint, %L, %L, %s)', t.worker(p_worker),
            t.one_of('q', 'q', 'r'), 1 + t.below(20))
        else 'perdure.upkeep(0::smallint)' end;
end
$$;

-- A random state: runs, and what happens to them, by functions that anybody may call
create function t.make_state() returns void language plpgsql as $$
declare
    v_second numeric := 0;
    v_id text;
    v_worker int;
begin
    for i in 1 .. 2 + t.below(10) loop
        perform t.start('w-' || i, (case when t.rarely(0.1) then '{"workflowStartDelay": "20s"}'::jsonb else '{}'::jsonb
            end)
            || case when t.rarely(0.15) then jsonb_build_object('workflowTaskTimeout', t.one_of('10s', '3s', '10.0s'))
                else '{}'::jsonb end
            || case when t.rarely(0.15) then jsonb_build_object('workflowRunTimeout', t.one_of('30s', '100s'))
                else '{}'::jsonb end
            || case when t.rarely(0.1) then '{"priority": 1}'::jsonb else '{}' end);
    end loop;
    for i in 1 .. 8 + t.below(40) loop
        v_second := v_second + case when t.rarely(0.15) then 11 when t.rarely(0.3) then 1 else 0.001 end;
        perform t.at(v_second);
        perform set_config('perdure.many', t.one_of('', '1', '1000'), true);
        v_id := 'w-' || 1 + t.below(12);
        v_worker := 1 + t.below(3);
        begin
            case t.below(20)
            when 0 then perform perdure.signal_workflow(0::smallint, 'default', v_id, null, 's', t.some_payloads(),
                null, t.one_of(null, 'r1', 'r2'));
            when 1 then perform perdure.cancel_workflow(v_id);
            when 2 then if t.rarely(0.3) then perform perdure.terminate_workflow(v_id); end if;
            when 3, 4, 5 then execute
                format('select count(*) from perdure.claim_workflow_tasks_as_stored(0::smallint, %L, %L, %s)',
                t.worker(v_worker), 'q', 1 + t.below(20));
            when 6, 16, 17 then execute
                format('select count(*) from perdure.claim_activity_tasks(0::smallint, %L, %L, %s)', t.worker(v_worker),
                t.one_of('q', 'q', 'r'), 1 + t.below(20));
            when 18, 19 then
                -- What most workers do: good commands.
                perform count(*) from perdure.claim_workflow_tasks_as_stored(0::smallint, t.worker(v_worker), 'q', 20);
                perform count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(v_worker),
                    coalesce((select jsonb_agg(jsonb_build_object(
                        'runId', w.run_id, 'attempt', w.attempt, 'sticky', t.below(2) = 0,
                        'scheduledEventId', case w.attempt when 1 then w.scheduled_event_id else r.next_event_id end,
                            'commands',
                        (select coalesce(jsonb_agg(case t.below(6) when 0
                            then t.timer('timer-' || i || '-' || n, t.one_of('1s', '10s'))
                            else t.activity('activity-' || i || '-' || n,
                                jsonb_build_object('requestEagerExecution', t.below(3) = 0)) end), '[]')
                        from generate_series(1, 1 + t.below(3)) n)))
                    from perdure.workflow_tasks w join perdure.run_states r using (shard, run_id)
                    where w.state = 'started' and w.worker = t.worker(v_worker)), '[]'));
            when 7 then
                perform perdure.fail_workflow_tasks(0::smallint, t.worker(v_worker),
                    coalesce((select jsonb_agg(jsonb_build_object('runId', w.run_id, 'attempt', w.attempt,
                    'scheduledEventId', case w.attempt when 1 then w.scheduled_event_id else r.next_event_id end,
                        'failure', '{"message": "bug"}'::jsonb))
                    from perdure.workflow_tasks w join perdure.run_states r using (shard, run_id)
                        where w.worker = t.worker(v_worker) and t.below(2) = 0), '[]'));
            when 8 then
                perform perdure.heartbeat_activity_tasks(0::smallint, t.worker(v_worker),
                    coalesce((select jsonb_agg(jsonb_build_object('runId', a.run_id, 'attempt', a.attempt,
                    'scheduledEventId', a.scheduled_event_id, 'details',
                        '[{"encoding": "json/plain", "data": 5}]'::jsonb))
                    from perdure.activity_tasks a where a.worker = t.worker(v_worker)), '[]'));
            else execute 'select count(*) from ' || t.some_call(v_worker);
            end case;
        exception
            when sqlstate 'PD001' or sqlstate 'PD002' or sqlstate 'PD003' or sqlstate 'PD006' or sqlstate 'PD007'
                then null;
        end;
    end loop;
    perform t.at(v_second + t.one_of('0', '0', '0.3', '2', '6', '12', '45')::numeric);
end
$$;

-- All tables, with everything put back that may be left out: whole events, and default retry policies. The size of a
-- history depends on the form in which its events are stored, so it may differ.
create function t.snapshot() returns jsonb language plpgsql as $$
declare
    v_tables jsonb;
    v_rows jsonb;
    v_table text;
begin
    select jsonb_build_object('history', coalesce(jsonb_agg(jsonb_build_object('run', x.workflow_id, 'id',
        h.first_event_id + e.ordinality - 1, 'time', coalesce(e.event ->> 'eventTime', perdure.rfc3339(h.event_time)),
            'event', perdure.whole_event(e.event, h.first_event_id + e.ordinality - 1, h, x) - 'eventTime')
        order by x.workflow_id, x.run_id, h.first_event_id, e.ordinality), '[]')) into v_tables
    from perdure.history h join perdure.executions x using (shard, run_id)
    cross join lateral unnest(h.events) with ordinality as e (event, ordinality);
    foreach v_table in array array(select c.relname from pg_class c where c.relnamespace = 'perdure'::regnamespace
        and c.relkind in ('r', 'p')
        and not c.relispartition and c.relname <> 'history' order by 1) loop
        execute format($q$select coalesce(jsonb_agg(r.r order by r.r), '[]')
            from (select to_jsonb(x) - array['history_bytes', 'history_size_bytes'] %s as r from perdure.%I x) r$q$,
            case v_table when 'activity_tasks'
                then $q$|| jsonb_build_object('retry_policy', coalesce(x.retry_policy, perdure.retry_policy(null)))$q$
                else '' end,
            v_table) into v_rows;
        v_tables := v_tables || jsonb_build_object(v_table, v_rows);
    end loop;
    return v_tables;
end
$$;
create function t.outcome(p_call text, p_way text) returns jsonb language plpgsql as $$
declare
    v_outcome jsonb;
    v_state text;
begin
    begin
        perform set_config('perdure.many', case p_way when 'large' then '1' else '1000' end, true),
            set_config('perdure.general', case p_way when 'general' then 'true' else '' end, true);
        begin
            execute format($q$select jsonb_build_object('answer',
                coalesce(jsonb_agg(to_jsonb(r) - 'history_size' order by to_jsonb(r) - 'history_size'), '[]'))
                from %s r$q$, p_call) into v_outcome;
        exception when others then
            get stacked diagnostics v_state = returned_sqlstate;
            v_outcome := jsonb_build_object('answer', v_state);
        end;
        v_outcome := v_outcome || t.snapshot();
        if p_way = 'large' then
            v_outcome := v_outcome || jsonb_build_object('violations',
                (select coalesce(jsonb_agg(to_jsonb(v)), '[]') from perdure.violations() v));
        end if;
        raise exception sqlstate 'T0000';
    exception when sqlstate 'T0000' then return v_outcome; end;
end
$$;
-- The differences of the two: the first rows that only one of them has.
create function t.difference(p_one jsonb, p_other jsonb) returns text language sql as $$
    select string_agg(format(E'%s:\n    %s\n    %s', k.key, left(a.rows::text, 1500), left(b.rows::text, 1500)), E'\n')
    from jsonb_object_keys(p_one) k (key)
    cross join lateral (select jsonb_agg(x) as rows from jsonb_array_elements(case jsonb_typeof(p_one -> k.key)
        when 'array' then p_one -> k.key else jsonb_build_array(p_one -> k.key) end) x
        where not coalesce(p_other -> k.key, '[]') @> jsonb_build_array(x) or jsonb_typeof(p_one -> k.key) <> 'array') a
    cross join lateral (select jsonb_agg(x) as rows from jsonb_array_elements(case jsonb_typeof(p_other -> k.key)
        when 'array' then p_other -> k.key else jsonb_build_array(p_other -> k.key) end) x
        where not coalesce(p_one -> k.key, '[]') @> jsonb_build_array(x) or jsonb_typeof(p_other -> k.key) <> 'array') b
    where p_one -> k.key is distinct from p_other -> k.key and k.key <> 'violations'
$$;

create table t.seed (seed int primary key, call text, rows_changed int, difference text, violations jsonb);
create function t.try(p_seed int) returns void language plpgsql as $$
declare
    v_call text;
    v_large jsonb;
    v_small jsonb;
    v_general jsonb;
    v_before jsonb;
    v_difference text;
    v_changed int;
begin
    begin
        perform setseed(p_seed / 1000003.0);
        perform t.make_state();
        v_call := t.some_call(1 + t.below(2));
        v_before := t.snapshot();
        v_large := t.outcome(v_call, 'large');
        v_small := t.outcome(v_call, 'small');
        v_general := t.outcome(v_call, 'general');
        v_changed := (select count(*) from jsonb_each(v_before) b where b.value <> v_large -> b.key);
        v_difference := concat_ws(E'\n', 'large and general: ' || t.difference(v_large, v_general),
            'small and general: ' || t.difference(v_small, v_general));
        raise exception sqlstate 'T0001';
    exception
        when sqlstate 'T0001' then null;
        when others then v_difference := sqlstate || ' '
            || sqlerrm; v_call := coalesce(v_call, 'while the state was made');
    end;
    insert into t.seed values (p_seed, left(v_call, 6000), v_changed, nullif(v_difference, ''),
        nullif(v_large -> 'violations', '[]'));
end
$$;
\pset tuples_only on
\o /dev/null
select format('select t.try(%s)', s) from generate_series(split_part(:'seeds', '-', 1)::int,
    split_part(:'seeds', '-', 2)::int) s \gexec
\o
select is_empty('select seed, difference, call from t.seed where difference is not null order by seed limit 3',
    'every speed writes and answers the same');
select is((select count(*)::int from t.seed where difference is not null), 0, 'for every seed');
select is_empty('select seed, violations, call from t.seed where violations is not null order by seed limit 3',
    'and no call breaks a rule of the engine');
-- Enough must have happened.
select cmp_ok((select count(*)::int from t.seed where rows_changed > 0), '>', (select count(*)::int / 3 from t.seed),
    'many calls changed something');
select * from finish();
