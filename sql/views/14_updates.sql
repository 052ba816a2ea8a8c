-- Updates, for people.
create or replace view perdure.workflow_updates as
select e.namespace, e.workflow_id, e.run_id, u.update_id, u.name,
    case when u.state in ('admitted', 'buffered') then case when e.status = 'Running' then 'Admitted' else 'Aborted' end
        when u.state = 'accepted' and e.status <> 'Running' then 'Aborted'
        else initcap(u.state) end as state,
    u.identity, u.admitted_at as admitted_time, u.accepted_event_id, u.completed_event_id,
    u.failure, e.shard
from perdure.executions e join perdure.updates u on u.shard = e.shard and u.run_id = e.run_id;
comment on view perdure.workflow_updates is
    'One row is an update that a run was sent. An update that was rejected can be seen for a minute.';
comment on column perdure.workflow_updates.namespace is 'The namespace.';
comment on column perdure.workflow_updates.workflow_id is 'The id that the application chose.';
comment on column perdure.workflow_updates.run_id is 'The run.';
comment on column perdure.workflow_updates.update_id is
    'The id that the client chose or, without one, the id that the update got.';
comment on column perdure.workflow_updates.name is 'The name of its handler.';
comment on column perdure.workflow_updates.state is
    'Admitted: it waits for a worker. Accepted: its handler runs. Completed: the event completed_event_id has its '
    'outcome. Rejected: failure says why. Aborted: its run closed before its code saw it.';
comment on column perdure.workflow_updates.identity is 'Who sent it.';
comment on column perdure.workflow_updates.admitted_time is 'When it came.';
comment on column perdure.workflow_updates.accepted_event_id is 'Its WorkflowExecutionUpdateAccepted.';
comment on column perdure.workflow_updates.completed_event_id is 'Its WorkflowExecutionUpdateCompleted.';
comment on column perdure.workflow_updates.failure is 'Why it was rejected.';
comment on column perdure.workflow_updates.shard is
    'perdure.shard_for(namespace, workflow_id): select a run by the shard and its run_id or workflow_id.';
