-- Runs that affect others: docs/decisions/0034-transfers.md.

alter table perdure.executions
    add column parent_namespace text collate "C",
    add column parent_workflow_id text collate "C",
    add column parent_run_id uuid,
    add column parent_initiated_event_id bigint,
    add column root_workflow_id text collate "C",
    add column root_run_id uuid;
comment on column perdure.executions.parent_namespace is
    'The namespace of the run that started it as its child; null for none.';
comment on column perdure.executions.parent_workflow_id is 'The workflow id of its parent; null for none.';
comment on column perdure.executions.parent_run_id is 'The run that started it as its child; null for none.';
comment on column perdure.executions.parent_initiated_event_id is
    'The StartChildWorkflowExecutionInitiated of its parent; null for none.';
comment on column perdure.executions.root_workflow_id is
    'The workflow id of the run at the root of its tree; null for a run that is the root itself.';
comment on column perdure.executions.root_run_id is
    'The run at the root of its tree, which has no parent; null for a run that is the root itself.';
create index executions_by_parent on perdure.executions (parent_workflow_id, parent_run_id)
    where parent_workflow_id is not null;
create index executions_by_root on perdure.executions (root_workflow_id, root_run_id)
    where root_workflow_id is not null;

alter table perdure.run_states add column is_related boolean not null default false;
comment on column perdure.run_states.is_related is
    'Whether it has a parent, or has started children: somebody is to be told when it closes.';

create table perdure.child_workflows (
    shard smallint not null,
    run_id uuid not null,
    initiated_event_id bigint not null,
    namespace text collate "C" not null,
    workflow_id text collate "C" not null,
    workflow_type text collate "C" not null,
    parent_close_policy text not null,
    child_run_id uuid,
    primary key (shard, run_id, initiated_event_id)
) with (fillfactor = 70);
comment on table perdure.child_workflows is
    'One row is a child of an open run that has not closed, as far as the run knows.';
comment on column perdure.child_workflows.shard is 'perdure.shard_for of the parent. Every key begins with it.';
comment on column perdure.child_workflows.run_id is 'The parent''s run.';
comment on column perdure.child_workflows.initiated_event_id is 'The parent''s StartChildWorkflowExecutionInitiated.';
comment on column perdure.child_workflows.namespace is 'The child''s namespace.';
comment on column perdure.child_workflows.workflow_id is 'The child''s workflow id.';
comment on column perdure.child_workflows.workflow_type is 'The child''s type.';
comment on column perdure.child_workflows.parent_close_policy is
    'What becomes of it when its parent closes: Terminate, Abandon or RequestCancel.';
comment on column perdure.child_workflows.child_run_id is
    'Its first run; null until the parent knows that it was started.';

create table perdure.transfers (
    shard smallint not null,
    run_id uuid not null,
    id bigint not null,
    kind text not null,
    target_shard smallint not null,
    target_namespace text collate "C" not null,
    target_workflow_id text collate "C" not null,
    body jsonb not null,
    created_at timestamptz not null,
    attempts int not null default 0,
    next_at timestamptz not null,
    primary key (shard, run_id, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);
comment on table perdure.transfers is
    'One row is an effect of a run on another one that has not been reported back: the outbox. Written in the '
    'transaction that decides it.';
comment on column perdure.transfers.shard is
    'perdure.shard_for of the run that it comes from. Every key begins with it.';
comment on column perdure.transfers.run_id is 'The run that it comes from.';
comment on column perdure.transfers.id is
    'The event of that run that it comes from; or, of a run that has closed, the id of its last event and those after '
    'it.';
comment on column perdure.transfers.kind is 'start child, signal, cancel, parent closed or child closed.';
comment on column perdure.transfers.target_shard is 'perdure.shard_for of the workflow that it goes to.';
comment on column perdure.transfers.target_namespace is 'The namespace of the workflow that it goes to.';
comment on column perdure.transfers.target_workflow_id is
    'The workflow that it goes to. What goes from a run to one workflow arrives in the order of the ids.';
comment on column perdure.transfers.body is
    'What it says: the attributes of the event that it comes from, or what has become of a run.';
comment on column perdure.transfers.created_at is 'When it was decided.';
comment on column perdure.transfers.attempts is 'How many times it has raised an error.';
comment on column perdure.transfers.next_at is
    'When upkeep sees to it, if whoever committed it has not: soon, or when what raised an error is tried again.';
create index transfers_due on perdure.transfers (shard, next_at);

create table perdure.received_transfers (
    shard smallint not null,
    run_id uuid not null,
    id bigint not null,
    source_shard smallint not null,
    outcome jsonb not null,
    received_at timestamptz not null,
    primary key (shard, run_id, id)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
comment on table perdure.received_transfers is
    'One row is a transfer that has taken effect, until that is reported back: it takes effect once.';
comment on column perdure.received_transfers.shard is 'The shard on which it took effect. Every key begins with it.';
comment on column perdure.received_transfers.run_id is 'The run that it came from.';
comment on column perdure.received_transfers.id is 'Its id in perdure.transfers.';
comment on column perdure.received_transfers.source_shard is 'The shard that it came from.';
comment on column perdure.received_transfers.outcome is 'What became of it, which is what a repeat answers.';
comment on column perdure.received_transfers.received_at is 'When it took effect.';
create index received_transfers_by_age on perdure.received_transfers (shard, received_at);

-- It takes the parent of a child as well.
drop function if exists perdure.start_workflow(smallint, text, text, text, text, jsonb, jsonb, jsonb);
