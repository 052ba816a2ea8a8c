-- Updates: what clients ask a run to do, and wait for (docs/decisions/0036-updates.md).

create table perdure.updates (
    shard smallint not null,
    run_id uuid not null,
    update_id text collate "C" not null,
    place bigint not null,
    name text collate "C" not null,
    identity text not null,
    request jsonb,
    state text not null check (state in ('admitted', 'buffered', 'accepted', 'completed', 'rejected')),
    admitted_at timestamptz not null,
    accepted_event_id bigint,
    completed_event_id bigint,
    failure jsonb,
    expires_at timestamptz,
    primary key (shard, run_id, update_id)
) with (fillfactor = 70);
comment on table perdure.updates is
    'One row is an update that a run was sent. It stays as long as the run, so that a repeat with its id finds it; '
    'one that was rejected stays for a minute.';
comment on column perdure.updates.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.updates.run_id is 'The run, a UUID version 7.';
comment on column perdure.updates.update_id is 'The id that the client chose, or was given.';
comment on column perdure.updates.place is 'Its place among those of the run that no worker has answered: workers get them in this order.';
comment on column perdure.updates.name is 'The name of its handler.';
comment on column perdure.updates.identity is 'Who sent it.';
comment on column perdure.updates.request is
    'What was sent, as temporal.api.update.v1.Request, until it is accepted: then the event has it.';
comment on column perdure.updates.state is
    'admitted: the next workflow task that is claimed delivers it, or has delivered it. buffered: it came while a '
    'workflow task was started, and is delivered with the next. Then accepted, completed or rejected.';
comment on column perdure.updates.admitted_at is 'When it came.';
comment on column perdure.updates.accepted_event_id is 'Its WorkflowExecutionUpdateAccepted.';
comment on column perdure.updates.completed_event_id is 'Its WorkflowExecutionUpdateCompleted, which has the outcome.';
comment on column perdure.updates.failure is 'Why it was rejected.';
comment on column perdure.updates.expires_at is 'Until when whoever waits can learn that it was rejected.';
create index updates_undelivered on perdure.updates (shard, run_id, place) where state in ('admitted', 'buffered');
create index updates_expired on perdure.updates (shard, expires_at) where expires_at is not null;

alter table perdure.run_states
    add column updates_total bigint not null default 0,
    add column updates_open int not null default 0,
    add column updates_undelivered int not null default 0;
comment on column perdure.run_states.updates_total is 'How many updates it was sent, without those that were rejected.';
comment on column perdure.run_states.updates_open is 'How many of them have not been completed.';
comment on column perdure.run_states.updates_undelivered is 'How many of these no workflow task has answered.';

comment on column perdure.workflow_tasks.scheduled_event_id is
    'Its WorkflowTaskScheduled; 0 while that is not written, because only updates wait for the task: should all of '
    'them be rejected, it leaves no event.';

-- They tell of updates, too.
drop function if exists perdure.claim_workflow_tasks(smallint, uuid, text, int, timestamptz);
drop function if exists perdure.claim_workflow_tasks_as_stored(smallint, uuid, text, int, timestamptz);
