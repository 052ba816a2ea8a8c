-- The members of one call go to the runs that they name, in whatever order the runs come. From PostgreSQL 16 on a
-- distinct aggregate sorts the input of all aggregates beside it.
begin;
\ir support/engine.psql
select no_plan();

select t.start('run-' || n) from generate_series(1, 60) n \g /dev/null
create table t.batch (workflow_id text primary key, run_id uuid, place int);
insert into t.batch select w.workflow_id, w.run_id, row_number() over (order by md5(w.workflow_id))
from perdure.workflows w;
select isnt((select array_agg(b.workflow_id order by b.place) from t.batch b),
    (select array_agg(b.workflow_id order by b.run_id) from t.batch b), 'the order of a call is not that of the runs');

-- Each run schedules an activity of its own name.
select t.claim() \g /dev/null
select results_eq($$
    select c.outcome, count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', 1,
            'commands', jsonb_build_array(t.activity(w.workflow_id))) order by b.place)
        from t.workflow_task w join t.batch b using (workflow_id))) c
    group by c.outcome$$, $$values ('completed', 60::bigint)$$, 'sixty completions in a call');
select is_empty($$select h.workflow_id, h.attributes ->> 'activityId' from perdure.history_events h
    where h.event_type = 'ActivityTaskScheduled' and h.attributes ->> 'activityId' <> h.workflow_id$$,
    'each run has the activity that it asked for');

-- Each activity answers with its name.
select t.claim_activities() \g /dev/null
select results_eq($$
    select f.outcome, count(*) from perdure.finish_activity_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', a.run_id, 'scheduledEventId', a.scheduled_event_id, 'attempt', 1,
            'outcome', 'completed', 'result', t.data(to_jsonb(a.workflow_id))) order by b.place)
        from t.activity_task a join t.batch b using (workflow_id))) f
    group by f.outcome$$, $$values ('completed', 60::bigint)$$, 'sixty results in a call');
select is_empty($$select h.workflow_id, h.attributes #>> '{result,0,data}' from perdure.history_events h
    where h.event_type = 'ActivityTaskCompleted'
      and h.attributes #>> '{result,0,data}' is distinct from h.workflow_id$$,
    'each activity has its result');

-- Each run ends with its name.
select t.claim() \g /dev/null
select results_eq($$
    select c.outcome, count(*) from perdure.complete_workflow_tasks(0::smallint, t.worker(1), (
        select jsonb_agg(jsonb_build_object('runId', w.run_id, 'scheduledEventId', w.scheduled_event_id, 'attempt', 1,
            'commands', jsonb_build_array(t.command('CompleteWorkflowExecution', jsonb_build_object(
                'result', t.data(to_jsonb(w.workflow_id)))))) order by b.place)
        from t.workflow_task w join t.batch b using (workflow_id))) c
    group by c.outcome$$, $$values ('completed', 60::bigint)$$, 'sixty ends in a call');
select is_empty($$select h.workflow_id, h.attributes #>> '{result,0,data}' from perdure.history_events h
    where h.event_type = 'WorkflowExecutionCompleted'
      and h.attributes #>> '{result,0,data}' is distinct from h.workflow_id$$, 'each run has its result');
select is((select count(*) from perdure.history_events h where h.event_type = 'WorkflowExecutionCompleted'),
    60::bigint, 'and all have ended');
select is_empty('select * from perdure.violations()', 'nothing is broken');
select * from finish();
rollback;
