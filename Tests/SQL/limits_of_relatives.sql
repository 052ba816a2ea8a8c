-- Limits of updates, of runs that follow each other and of runs that affect others: a member that is nested too deep,
-- too large or too long fails by itself, and the members beside it are taken.
begin;
\ir support/engine.psql
select no_plan();
create function t.nested(p_levels int) returns jsonb language sql
as $$ select (repeat('[', p_levels) || repeat(']', p_levels))::jsonb $$;
create temp table bad (name text, data jsonb);
insert into bad values
    ('nested 600 deep', t.nested(600)),
    ('of 11,000 numbers that are 1.1 GB as text', (select jsonb_agg(1e100000) from generate_series(1, 11000))),
    ('of 5 MB', to_jsonb(repeat('x', 5000000)));
create function t.payload(p_data jsonb) returns jsonb language sql as $$ select t.data(p_data) $$;
-- Executes a statement with the value for $1, returns what it answers, and rolls it back.
create function t.answer(p_statement text, p_value jsonb) returns text language plpgsql
as $$
declare
    v_hint text;
begin
    execute 'select ' || p_statement using p_value;
    raise exception 'accepted' using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return 'accepted';
    when others then
        get stacked diagnostics v_hint = pg_exception_hint;
        return sqlstate || case when v_hint = '' then ' without a hint: ' || sqlerrm else '' end;
end
$$;
-- The outcome of a workflow task with these commands, and of another run's task in the same call; both are rolled back.
create function t.outcome(p_commands jsonb) returns text language plpgsql
as $$
declare
    v_outcome text;
begin
    select string_agg(case w.workflow_id when 'good' then 'good ' else '' end || c.outcome
        || coalesce(' ' || nullif(left(c.failure ->> 'message', 200), ''), ''), ', ' order by w.workflow_id)
    into v_outcome
    from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id,
            'attempt', w.attempt, 'commands', case w.workflow_id when 'good' then '[]' else p_commands end))
        from t.workflow_task w where w.workflow_id in ('bad', 'good'))) c
    join t.workflow_task w on w.run_id = c.run_id;
    if exists (select from perdure.history h where h.run_id = t.run('bad')
        and octet_length(array_to_string(h.events, '')) > 100000) then
        v_outcome := v_outcome || ', and it is stored';
    end if;
    raise exception '%', v_outcome using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
    when others then return sqlstate || ' ' || left(sqlerrm, 200);
end
$$;
select t.start(id) from (values ('bad'), ('good'), ('busy')) r (id) \g /dev/null
select t.claim() \g /dev/null

-- Updates
create temp table way (name text, statement text, takes text);
insert into way values
    ('update', 'perdure.update_workflow(0::smallint, ''default'', ''busy'', null, ''u'', ''n'', $1)', 'payloads'),
    ('update header', 'perdure.update_workflow(0::smallint, ''default'', ''busy'', null, ''u'', ''n'', ''[]'', null, '
        'jsonb_build_object(''h'', $1 -> 0))', 'payloads'),
    ('header of a start', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''header'', jsonb_build_object(''h'', $1 -> 0)))', 'payloads'),
    ('summary of a start', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''userMetadata'', jsonb_build_object(''summary'', $1 -> 0)))', 'payloads'),
    ('links of a start', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''links'', $1))', 'payloads');
select matches(t.answer(w.statement, t.payload(b.data)), '^PD00[34]$', w.name || ' ' || b.name)
from way w cross join bad b;
create temp table text_way (name text, statement text);
insert into text_way values
    ('update name', 'perdure.update_workflow(0::smallint, ''default'', ''busy'', null, ''u'', $1 #>> ''{}'')'),
    ('update id', 'perdure.update_workflow(0::smallint, ''default'', ''busy'', null, $1 #>> ''{}'', ''n'')'),
    ('identity of an update',
        'perdure.update_workflow(0::smallint, ''default'', ''busy'', null, ''u'', ''n'', ''[]'', $1 #>> ''{}'')'),
    ('cron schedule', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''cronSchedule'', $1))');
select is(t.answer(statement, to_jsonb(repeat('x', 20000))), 'PD003', name || ' of 20,000 characters') from text_way;

-- Commands: each place of a command that holds a document
create temp table command (name text, type text, attributes jsonb, path text[]);
insert into command values
    ('input of a child', 'StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": {"name": "C"}}',
        '{input,0}'),
    ('memo of a child', 'StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "memo": {}}', '{memo,m}'),
    ('header of a child', 'StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "header": {}}', '{header,h}'),
    ('priority of a child', 'StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "priority": {}}', '{priority,x}'),
    ('type of a child', 'StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": {"name": "C"}}',
        '{workflowType,x}'),
    ('inheritBuildId of a child', 'StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}}', '{inheritBuildId}'),
    ('input of a signal', 'SignalExternalWorkflowExecution',
        '{"execution": {"workflowId": "busy"}, "signalName": "s", "input": []}', '{input,0}'),
    ('header of a signal', 'SignalExternalWorkflowExecution',
        '{"execution": {"workflowId": "busy"}, "signalName": "s", "header": {}}', '{header,h}'),
    ('childWorkflowOnly of a signal', 'SignalExternalWorkflowExecution',
        '{"execution": {"workflowId": "busy"}, "signalName": "s"}', '{childWorkflowOnly}'),
    ('childWorkflowOnly of a cancel', 'RequestCancelExternalWorkflowExecution', '{"workflowId": "busy"}',
        '{childWorkflowOnly}'),
    ('input of the next run', 'ContinueAsNewWorkflowExecution', '{"input": []}', '{input,0}'),
    ('memo of the next run', 'ContinueAsNewWorkflowExecution', '{"memo": {}}', '{memo,m}'),
    ('header of the next run', 'ContinueAsNewWorkflowExecution', '{"header": {}}', '{header,h}'),
    ('last result for the next run', 'ContinueAsNewWorkflowExecution', '{"lastCompletionResult": []}',
        '{lastCompletionResult,0}'),
    ('type of the next run', 'ContinueAsNewWorkflowExecution', '{"workflowType": {"name": "T"}}', '{workflowType,x}'),
    ('queue of the next run', 'ContinueAsNewWorkflowExecution', '{"taskQueue": {"name": "q"}}', '{taskQueue,x}'),
    ('inheritBuildId of the next run', 'ContinueAsNewWorkflowExecution', '{"input": []}', '{inheritBuildId}'),
    ('header of an activity', 'ScheduleActivityTask',
        '{"activityId": "a", "activityType": {"name": "A"}, "startToCloseTimeout": "10s", "header": {}}', '{header,h}');
select matches(
    t.outcome(jsonb_build_array(t.command(c.type, case
        when jsonb_typeof(c.attributes -> c.path[1]) = 'object' then c.attributes || jsonb_build_object(c.path[1],
            (c.attributes -> c.path[1]) || jsonb_build_object(c.path[2], p.value))
        when cardinality(c.path) > 1 then c.attributes || jsonb_build_object(c.path[1], jsonb_build_array(p.value))
        else c.attributes || jsonb_build_object(c.path[1], p.value) end))),
    '^failed .*, good completed$', c.name || ' ' || b.name)
from command c cross join bad b
cross join lateral (values (case when c.path[1] in ('input', 'memo', 'header', 'lastCompletionResult')
    then t.payload(b.data) -> 0 else b.data end)) p (value);

-- Values that are no document of that kind
select matches(t.outcome(jsonb_build_array(t.command(type, attributes))), '^failed .*, good completed$',
    type || ' ' || attributes)
from (values
    ('StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "priority": {"priorityKey": "abc"}}'::jsonb),
    ('StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "priority": {"priorityKey": 99999999999}}'),
    ('StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": "C"}'),
    ('StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": {"name": "C"}, "header": 7}'),
    ('StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": {"name": "C"}, "memo": [1]}'),
    ('StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "retryPolicy": {"initialInterval": "x"}}'),
    ('StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "cronSchedule": "nonsense"}'),
    ('StartChildWorkflowExecution',
        '{"workflowId": "c", "workflowType": {"name": "C"}, "workflowRunTimeout": "1e400s"}'),
    ('StartChildWorkflowExecution', '{"workflowType": {"name": "C"}}'),
    ('StartChildWorkflowExecution', '[]'),
    ('SignalExternalWorkflowExecution', '{"execution": {"workflowId": "busy"}}'),
    ('SignalExternalWorkflowExecution', '{"execution": "busy", "signalName": "s"}'),
    ('SignalExternalWorkflowExecution',
        '{"execution": {"workflowId": "busy", "runId": "x"}, "signalName": "s"}'),
    ('SignalExternalWorkflowExecution', '{"execution": {"workflowId": "busy"}, "signalName": "s", "input": 7}'),
    ('SignalExternalWorkflowExecution', '{"execution": {"workflowId": "busy"}, "signalName": "s", "header": "x"}'),
    ('RequestCancelExternalWorkflowExecution', '{"workflowId": ""}'),
    ('ContinueAsNewWorkflowExecution', '{"header": 7}'),
    ('ContinueAsNewWorkflowExecution', '{"input": 7}'),
    ('ContinueAsNewWorkflowExecution', '{"lastCompletionResult": "x"}'),
    ('ContinueAsNewWorkflowExecution', '{"backoffStartInterval": "soon"}'),
    ('ContinueAsNewWorkflowExecution', '{"backoffStartInterval": {}}'),
    ('ContinueAsNewWorkflowExecution', '"x"'),
    ('CompleteWorkflowExecution', '"x"'), ('FailWorkflowExecution', '7'), ('StartTimer', '[]'),
    ('ProtocolMessage', '{}'), ('ProtocolMessage', '{"messageId": 7}'), ('ProtocolMessage', '7')) c (type, attributes);

-- Durations beyond a hundred years are capped, in whatever follows a run.
select matches(t.outcome(jsonb_build_array(t.command(type, attributes))), '^completed, good completed$',
    type || ' ' || attributes)
from (values
    ('StartChildWorkflowExecution', '{"workflowId": "c", "workflowType": {"name": "C"},
        "retryPolicy": {"initialInterval": "100000000000s", "maximumInterval": "100000000000s"},
        "workflowRunTimeout": "1000000000000s", "workflowExecutionTimeout": "1000000000000s"}'::jsonb),
    ('ContinueAsNewWorkflowExecution', '{"backoffStartInterval": "1000000000000s"}'),
    ('ContinueAsNewWorkflowExecution', '{"workflowRunTimeout": "1000000000000s",
        "retryPolicy": {"initialInterval": "100000000000s", "maximumInterval": "100000000000s"}}'))
    c (type, attributes);
select * from finish();
rollback;
