-- What a memo holds: null and the empty list say that a key has no entry, wherever a memo comes from.
begin;
\ir support/engine.psql
select no_plan();
create function t.memo(p_id text) returns jsonb language sql
as $$ select w.memo from perdure.workflows w where w.run_id = t.run(p_id) $$;

select results_eq($$select perdure.memo_entries(memo) from (values (null::jsonb), ('{}'), ('{"a": 1}'),
        ('{"a": null}'), ('{"a": {"encoding": "binary/null"}, "b": {"encoding": "json/plain", "data": []}}'),
        ('{"a": {"encoding": "json/plain", "data": null}, "b": {"encoding": "json/plain", "data": [0]},
            "c": {"encoding": "json/plain", "data": {}}, "d": {"encoding": "binary/plain", "data": ""}}')) m (memo)$$,
    $$values (null::jsonb), ('{}'), ('{"a": 1}'), ('{}'), ('{}'),
        ('{"a": {"encoding": "json/plain", "data": null}, "b": {"encoding": "json/plain", "data": [0]},
            "c": {"encoding": "json/plain", "data": {}}, "d": {"encoding": "binary/plain", "data": ""}}')$$,
    'only null and the empty list are no entries');

select '{"a": {"encoding": "json/plain", "data": 1}, "b": null, "c": {"encoding": "binary/null"},
    "d": {"encoding": "json/plain", "data": []}}' as memo \gset
\set kept '{"a": {"encoding": "json/plain", "data": 1}}'
select t.start('r', jsonb_build_object('memo', :'memo'::jsonb)) \g /dev/null
select is(t.memo('r'), :'kept', 'a run starts without what is no entry');
select is(t.event('r', 1) -> 'memo', :'kept', 'and its first event says so');

select t.claim(), t.complete('r', jsonb_build_array(
    t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"a": {"encoding": "json/plain", "data": 2},
        "n": {"encoding": "json/plain", "data": [0]}}}'),
    t.timer('x', '1s'))) \g /dev/null
select is(t.memo('r'), '{"a": {"encoding": "json/plain", "data": 2}, "n": {"encoding": "json/plain", "data": [0]}}',
    'its code changes entries');
select t.at(1), t.upkeep(), t.claim(), t.complete('r', jsonb_build_array(
    t.command('ModifyWorkflowProperties', '{"upsertedMemo": {"a": {"encoding": "binary/null"},
        "n": {"encoding": "json/plain", "data": []}, "z": null}}'),
    t.command('StartChildWorkflowExecution', jsonb_build_object('workflowId', 'child', 'workflowType',
        '{"name": "T"}'::jsonb, 'memo', :'memo'::jsonb)), t.timer('y', '1s'))) \g /dev/null
select is(t.memo('r'), '{}', 'and takes them away');
select is(e.attributes -> 'upsertedMemo', '{"a": {"encoding": "binary/null"},
    "n": {"encoding": "json/plain", "data": []}, "z": null}', 'as the history says')
from perdure.history_events e where e.run_id = t.run('r') and e.event_type = 'WorkflowPropertiesModified'
order by e.event_id desc limit 1;
select is(e.attributes -> 'memo', :'kept', 'a child is started without what is no entry')
from perdure.history_events e
where e.run_id = t.run('r') and e.event_type = 'StartChildWorkflowExecutionInitiated';
select is(perdure.child_options(jsonb_build_object('memo', :'memo'::jsonb)) -> 'memo', :'kept', 'and has none of it');

select t.at(2), t.upkeep(), t.claim(), t.complete('r', jsonb_build_array(
    t.command('ContinueAsNewWorkflowExecution', jsonb_build_object('memo', :'memo'::jsonb)))) \g /dev/null
select is(t.memo('r'), :'kept', 'nor has the run that follows');
select is(t.event('r', 1) -> 'memo', :'kept', 'as its first event says');
select is_empty('select kind, what from perdure.violations()', 'no rule is broken');
select * from finish();
rollback;
