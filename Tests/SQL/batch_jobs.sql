-- Batch jobs: one operation on all runs that a filter chooses.
begin;
\ir support/engine.psql
select no_plan();

create function t.violations() returns text language sql
as $$ select string_agg(v.kind || ': ' || v.what, E'\n') from perdure.violations() v $$;
create function t.job(p_operation text, p_filter text, p_options jsonb default '{}', p_name text default null)
returns uuid language sql
as $$ select perdure.start_batch_job(p_operation, p_filter, p_options, 'a reason', 'default', 'me', p_name) $$;
-- Does what is left of a job, as perdure.run_batch_job does with commits between.
create function t.finish(p_job uuid) returns text language plpgsql
as $$
begin
    loop
        while perdure.run_next_of_batch_job(0::smallint, p_job) is not null loop
        end loop;
        exit when not perdure.list_runs_of_batch_job(p_job);
    end loop;
    return (select concat_ws(' ', p.runs, p.done, p.failed, p.closed_at is not null) from perdure.batch_job_progress p
        where p.job_id = p_job);
end
$$;
create function t.last(p_id text) returns text language sql
as $$
    select e.event_type || ' ' || concat_ws(',', e.attributes ->> 'reason', e.attributes ->> 'cause',
        e.attributes ->> 'signalName', e.attributes ->> 'identity', e.attributes -> 'input' -> 0 ->> 'data')
    from (
        select h.event_type, h.attributes from perdure.history_events h
        where h.run_id = t.run(p_id) order by h.event_id desc limit 1) e
$$;

-- What may be asked
select is(t.refusal($$select perdure.start_batch_job('destroy', '')$$), 'PD003', 'an unknown operation is refused');
select is(t.refusal($$select perdure.start_batch_job(null, '')$$), 'PD003', 'so is none');
select is(t.refusal($$select perdure.start_batch_job('cancel', '', '[]')$$), 'PD003', 'options are an object');
select is(t.refusal($$select perdure.start_batch_job('cancel', null)$$), 'PD003', 'something chooses the runs');
select is(t.refusal($$select perdure.start_batch_job('cancel', '', runs => '[]')$$), 'PD003', 'and not two things');
select is(t.refusal($$select perdure.start_batch_job('cancel', null, runs => '{}')$$), 'PD003', 'runs are an array');
select is(t.refusal($$select perdure.start_batch_job('cancel', null, runs => '[1]')$$), 'PD003', 'of objects');
select is(t.refusal($$select perdure.start_batch_job('cancel', null, runs => '[{"runId": "x"}]')$$), 'PD003',
    'with a workflow id');
select is(t.refusal($$select perdure.start_batch_job('cancel', null, runs => '[{"workflowId": "w", "runId": "x"}]')$$),
    'PD003', 'and a run id that is one');
select is(t.refusal(format($$select perdure.start_batch_job('cancel', '', operations_per_second => %L)$$, r)), 'PD003',
    r || ' is no rate') from unnest(array['0', '-1', 'NaN', 'Infinity', '1e-300']) r;
select is(t.refusal($$select perdure.start_batch_job('cancel', 'Nonsense')$$), 'PD003', 'a filter can be read');
select is(t.refusal($$select perdure.start_batch_job('cancel', 'ORDER BY StartTime ASC')$$), 'PD003',
    'without an order');
select is(t.refusal($$select perdure.start_batch_job('cancel', repeat(' ', 10001), check_filter => false)$$), 'PD003',
    'and is not too long, checked or not');
select is(t.refusal($$select perdure.start_batch_job('cancel', '', namespace => 'nowhere')$$), 'PD005',
    'there is a namespace');
select is(t.refusal($$select perdure.start_batch_job('signal', '')$$), 'PD003', 'a signal has a name');
select is(t.refusal($$select perdure.start_batch_job('signal', '', '{"signalName": "s", "input": 1}')$$), 'PD003',
    'and payloads');
select is(t.refusal($$select perdure.start_batch_job('cancel', '', name => repeat('n', 1001))$$), 'PD003',
    'a name is not too long');
select is(t.refusal($$select perdure.start_batch_job('cancel', '', reason => repeat('n', 5000000))$$), 'PD003',
    'nor a reason');
select is((select count(*) from perdure.batch_jobs), 0::bigint, 'what is refused leaves nothing');

-- Signal
select t.start('a' || i) from generate_series(1, 3) i \g /dev/null
select t.start('other') \g /dev/null
select is(t.finish(t.job('signal', 'WorkflowId STARTS_WITH "a"', jsonb_build_object('signalName', 's',
    'input', t.data('7')), 'first')), '3 3 0 t', 'all running runs of a filter are signalled');
select is(t.last('a' || i), 'WorkflowExecutionSignaled s,me,' || (t.data('7') -> 0 ->> 'data'), 'run ' || i)
from generate_series(1, 3) i;
select isnt(t.last('other'), t.last('a1'), 'no other one is');
select is(t.refusal($$select t.job('cancel', '', '{}', 'first')$$), 'PD002', 'a name is used once');
select perdure.create_namespace('elsewhere') \g /dev/null
select isnt(perdure.start_batch_job('cancel', '', namespace => 'elsewhere', name => 'first'), null,
    'in each namespace');

-- A run that is changed by a job that did not get to record it is not signalled again
update perdure.batch_job_runs set state = 'waiting' where workflow_id = 'a2';
update perdure.batch_jobs set closed_at = null where name = 'first' and namespace = 'default';
select is(t.finish((select j.job_id from perdure.batch_jobs j where j.name = 'first' and j.namespace = 'default')),
    '3 3 0 t', 'a job that is taken up again');
select is((select count(*) from perdure.history_events h
    where h.run_id = t.run('a2') and h.event_type = 'WorkflowExecutionSignaled'), 1::bigint, 'signals no run twice');

-- Cancel and terminate
select is(t.finish(t.job('cancel', 'WorkflowId STARTS_WITH "a"')), '3 3 0 t', 'they are cancelled');
select is(t.last('a1'), 'WorkflowExecutionCancelRequested me', 'as in Temporal without the reason');
select t.job('terminate', 'WorkflowId STARTS_WITH "a"', jsonb_build_object('details', t.data('1'))) as job \gset
select is(perdure.list_runs_of_batch_job(:'job'), true, 'runs to be terminated');
select perdure.terminate_workflow('a2', 'earlier') \g /dev/null
select t.start('a4') \g /dev/null
select is(t.finish(:'job'), '3 3 0 t', 'a run that has ended since is no failure');
select is(t.last('a1'), 'WorkflowExecutionTerminated a reason,me', 'the others are terminated');
select is(t.last('a2'), 'WorkflowExecutionTerminated earlier,' || session_user, 'that one as it was');
select is(t.status('a4'), 'Running', 'a run that has started since is not chosen');
select is(t.finish(t.job('terminate', 'WorkflowId STARTS_WITH "a"')), '1 1 0 t', 'closed runs are passed over');

-- Runs by name
select t.start('b' || i) from generate_series(1, 3) i \g /dev/null
select is(t.finish(perdure.start_batch_job('terminate', null, runs => jsonb_build_array(
    jsonb_build_object('workflowId', 'b1'), jsonb_build_object('workflowId', 'b2', 'runId', t.run('b2')),
    jsonb_build_object('workflowId', 'nobody'), jsonb_build_object('workflowId', 'b3', 'runId', t.run('b1'))))),
    '2 2 0 t', 'runs that are named are terminated');
select is(t.status('b1') || t.status('b2') || t.status('b3'), 'TerminatedTerminatedRunning', 'and no others');

-- Delete
select perdure.start_workflow('W', 'b1', 'q') \g /dev/null
select is(t.finish(t.job('delete', 'WorkflowId STARTS_WITH "b"')), '4 4 0 t', 'open and closed runs are deleted');
select is((select count(*) from perdure.workflows w where w.workflow_id like 'b%'), 0::bigint, 'each run of an id');

-- Activities
select is(t.refusal(format('select perdure.start_batch_job(%L, '''', %L)', o, p)), 'PD003', o || ' takes no ' || p)
from (values ('unpause_activities', '{}'), ('unpause_activities', '{"activityType": ""}'),
    ('unpause_activities', '{"matchAll": false}'), ('reset_activities', '{"activityType": "A", "matchAll": true}'),
    ('reset_activities', '{"matchAll": true, "jitter": "soon"}'), ('update_activity_options', '{"matchAll": true}'),
    ('update_activity_options', '{"matchAll": true, "activityOptions": {}}'),
    ('update_activity_options', '{"matchAll": true, "restoreOriginal": true, "paths": []}')) v (o, p);
create function t.activities(p_id text) returns text language sql
as $$
    select string_agg(concat_ws(' ', a.activity_id, a.state, a.attempt,
        extract(epoch from a.start_to_close_timeout)::int), ', ' order by a.activity_id)
    from perdure.activity_tasks a where a.run_id = t.run(p_id)
$$;
-- Runs with two activities, of the types A and B.
create function t.with_two(p_id text) returns void language sql
as $$
    select t.start(p_id), t.claim(p_limit => 1000);
    select t.complete(p_id, jsonb_build_array(t.activity('a'), t.activity('b', '{"activityType": {"name": "B"}}')));
$$;
select t.with_two(w) from unnest(array['act-1', 'act-2', 'act-3', 'act-4']) w \g /dev/null
select t.start('act-none'), t.claim(p_limit => 1000), t.complete('act-none') \g /dev/null
select perdure.pause_activities(0::smallint, 'default', w, null, null, 'A') from unnest(array['act-1', 'act-2']) w
    \g /dev/null
select perdure.pause_activities(0::smallint, 'default', 'act-3', null, 'b') \g /dev/null
select is(t.activities('act-1'), 'a paused 1 10, b scheduled 1 10', 'activities are paused');
select is(t.finish(t.job('unpause_activities', 'WorkflowId STARTS_WITH "act-"', '{"activityType": "A"}')), '2 2 0 t',
    'runs with a paused activity of the type are chosen');
select is((select array_agg(t.activities('act-' || i) order by i) from generate_series(1, 3) i),
    array['a scheduled 1 10, b scheduled 1 10', 'a scheduled 1 10, b scheduled 1 10',
        'a scheduled 1 10, b paused 1 10'],
    'and these activities go on');
select is(t.finish(t.job('update_activity_options', 'WorkflowId STARTS_WITH "act-"',
    '{"activityType": "B", "activityOptions": {"startToCloseTimeout": "77s"}, "paths": ["startToCloseTimeout"]}')),
    '5 5 0 t', 'options of a type are changed; a run that has none is no failure');
select is(t.activities('act-1') || '; ' || t.activities('act-3'),
    'a scheduled 1 10, b scheduled 1 77; a scheduled 1 10, b paused 1 77', 'of these activities alone');
select is(t.finish(t.job('update_activity_options', 'WorkflowId STARTS_WITH "act-"',
    '{"matchAll": true, "restoreOriginal": true}')), '5 5 0 t', 'options are restored');
select is(t.activities('act-1'), 'a scheduled 1 10, b scheduled 1 10', 'to those of the start');
select is(t.finish(t.job('update_activity_options', 'WorkflowId = "act-1"',
    '{"activityType": "A", "activityOptions": {"startToCloseTimeout": "-1s"}, "paths": ["startToCloseTimeout"]}')),
    '1 0 1 t', 'an option that cannot be fails with the run');
select is(t.finish(t.job('reset_activities', 'WorkflowId = "act-3"', '{"matchAll": true}')), '1 1 0 t', 'a reset');
select is(t.activities('act-3'), 'a scheduled 1 10, b scheduled 1 10', 'ends the pause, too');
select is(t.finish(t.job('unpause_activities', 'WorkflowId STARTS_WITH "act-"', '{"matchAll": true}')), '5 5 0 t',
    'all activities of all runs');
select t.job('cancel', 'WorkflowId STARTS_WITH "act-"') as job \gset
select t.finish(:'job') \g /dev/null

-- A run that cannot be changed for now
select t.start('l' || i) from generate_series(1, 3) i \g /dev/null
select t.job('signal', 'WorkflowId STARTS_WITH "l"', '{"signalName": "s"}') as job \gset
select perdure.list_runs_of_batch_job(:'job') \g /dev/null
select perdure.postpone_batch_job(0::smallint, :'job', 'canceling statement due to statement timeout') \g /dev/null
select is((select concat_ws(' ', r.workflow_id, r.state, r.tries, r.error) from perdure.batch_job_results r
    where r.job_id = :'job' and r.tries > 0), 'l1 waiting 1 canceling statement due to statement timeout',
    'a run that raised an error is postponed, and people see why');
select is(t.finish(:'job'), '3 2 0 f', 'the others are changed meanwhile');
select t.at(2) \g /dev/null
select is(t.finish(:'job'), '3 3 0 t', 'and it is later');
select t.job('cancel', 'WorkflowId = "l1"') as job \gset
select perdure.list_runs_of_batch_job(:'job') \g /dev/null
select t.at(100 * i), perdure.postpone_batch_job(0::smallint, :'job', 'again') from generate_series(1, 10) i
    \g /dev/null
select is(t.finish(:'job'), '1 0 1 t', 'after ten times it has failed');
select t.job('cancel', 'WorkflowId = "l1"') as job \gset
select perdure.postpone_batch_job(0::smallint, :'job', 'too slow') from generate_series(1, 9) \g /dev/null
select is((select p.failure || (p.closed_at is null) from perdure.batch_job_progress p where p.job_id = :'job'),
    'too slowtrue', 'a list that fails is tried again');
select perdure.postpone_batch_job(0::smallint, :'job', 'too slow') \g /dev/null
select is(t.finish(:'job'), '0 0 0 t', 'and after ten times the job has failed');

-- A filter that cannot be read fails a job that was not checked
select perdure.start_batch_job('terminate', 'Nonsense', check_filter => false) as job \gset
select is(t.finish(:'job'), '0 0 0 t', 'it ends');
select is((select p.failure like '%Nonsense%' from perdure.batch_job_progress p where p.job_id = :'job'), true,
    'and says why');
select is((select count(*) from perdure.open_batch_jobs()), 1::bigint, 'that of the other namespace is still open');

-- More runs than one page of the list
select t.start('m' || i) from generate_series(1, 1203) i \g /dev/null
select t.job('terminate', 'WorkflowId STARTS_WITH "m"') as job \gset
select is(perdure.list_runs_of_batch_job(:'job'), true, 'a page');
select is((select p.runs || ' ' || p.is_listed from perdure.batch_job_progress p where p.job_id = :'job'),
    '1000 false', 'has a thousand runs');
select is(t.finish(:'job'), '1203 1203 0 t', 'the next page has the rest');

-- A run whose change fails is set apart
select t.start('f' || i) from generate_series(1, 2) i \g /dev/null
select is(t.finish(t.job('reset', 'WorkflowId STARTS_WITH "f"', '{"type": "LastWorkflowTask"}')), '2 0 2 t',
    'runs that have no workflow task cannot be reset');
select is((select string_agg(r.workflow_id, ' ' order by r.workflow_id) from perdure.batch_job_results r
    where r.error like 'Workflow task finish ID%'), 'f1 f2', 'each says why');

select is(t.refusal($$select perdure.run_next_of_batch_job(0::smallint, t.run('f1'))$$), 'PD003',
    'there is no such job');
select is(t.refusal($$select perdure.list_runs_of_batch_job(t.run('f1'))$$), 'PD003', 'for the list neither');
select is(perdure.stop_batch_job(t.run('f1')), false, 'nor to stop');
select is(t.violations(), null, 'no rule is broken');

-- Retention
select t.terminate_all() \g /dev/null
select t.job('cancel', '', '{}', 'still open') \g /dev/null
select t.at(40 * 86400) \g /dev/null
select perdure.delete_expired(0::smallint, 10000) from generate_series(1, 3) \g /dev/null
select is((select string_agg(j.name, ' ' order by j.name) from perdure.batch_jobs j), 'first still open',
    'a closed job is kept as long as histories, an open one until it is closed');
select is((select count(*) from perdure.batch_job_runs), 0::bigint, 'the runs of closed jobs go with them');
select * from finish();
