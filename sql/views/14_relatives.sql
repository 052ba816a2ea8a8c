-- What open runs wait for from other runs: their children, and effects that are on their way to other runs.

create or replace view perdure.pending_children as
select e.namespace, e.workflow_id, e.run_id, c.initiated_event_id, c.namespace as child_namespace,
    c.workflow_id as child_workflow_id, c.child_run_id, c.workflow_type as child_workflow_type, c.parent_close_policy,
    c.shard
from perdure.executions e join perdure.child_workflows c on c.shard = e.shard and c.run_id = e.run_id;
comment on view perdure.pending_children is
    'One row is a child of an open run that has not closed, as far as the run knows.';
comment on column perdure.pending_children.namespace is 'The namespace of the parent.';
comment on column perdure.pending_children.workflow_id is 'The parent''s workflow id.';
comment on column perdure.pending_children.run_id is 'The parent''s run.';
comment on column perdure.pending_children.initiated_event_id is
    'The parent''s StartChildWorkflowExecutionInitiated.';
comment on column perdure.pending_children.child_namespace is 'The child''s namespace.';
comment on column perdure.pending_children.child_workflow_id is 'The child''s workflow id.';
comment on column perdure.pending_children.child_run_id is
    'The first run of the child; null until the parent knows that it was started.';
comment on column perdure.pending_children.child_workflow_type is 'The child''s type.';
comment on column perdure.pending_children.parent_close_policy is
    'What becomes of it when its parent closes: Terminate, Abandon or RequestCancel.';
comment on column perdure.pending_children.shard is 'perdure.shard_for(namespace, workflow_id) of the parent.';

create or replace view perdure.pending_transfers as
select coalesce(e.namespace, '') as namespace, e.workflow_id, t.run_id, t.id as event_id, t.kind,
    t.target_namespace, t.target_workflow_id, t.created_at, t.attempts, t.next_at as next_attempt_time, s.error,
    t.shard
from perdure.transfers t
left join perdure.executions e on e.shard = t.shard and e.run_id = t.run_id
left join perdure.set_aside s on s.shard = t.shard and s.run_id = t.run_id and s.kind = 'transfer' and s.id = t.id;
comment on view perdure.pending_transfers is
    'One row is an effect of a run on another one that has not been reported back yet. A row is there only for '
    'milliseconds, unless something raised an error.';
comment on column perdure.pending_transfers.namespace is 'The namespace of the run that it comes from.';
comment on column perdure.pending_transfers.workflow_id is
    'The workflow id of the run that it comes from; null for a run that is gone.';
comment on column perdure.pending_transfers.run_id is 'The run that it comes from.';
comment on column perdure.pending_transfers.event_id is
    'The event of that run that it comes from. For an effect of the close of a run, the id of its last event or one '
    'of those after it.';
comment on column perdure.pending_transfers.kind is 'start child, signal, cancel, parent closed or child closed.';
comment on column perdure.pending_transfers.target_namespace is 'The namespace of the workflow that it goes to.';
comment on column perdure.pending_transfers.target_workflow_id is 'The workflow that it goes to.';
comment on column perdure.pending_transfers.created_at is 'When it was decided.';
comment on column perdure.pending_transfers.attempts is 'How many times it has raised an error.';
comment on column perdure.pending_transfers.next_attempt_time is
    'When upkeep applies it, unless another process has done so.';
comment on column perdure.pending_transfers.error is 'The last error; null for none.';
comment on column perdure.pending_transfers.shard is 'perdure.shard_for of the run that it comes from.';
