-- What happens to a run while a workflow task of it is started waits in rows of its own. It was an array in run_states, which
-- each event wrote anew, so that events cost the square of their number.

create table perdure.buffered_events (
    shard smallint not null,
    run_id uuid not null,
    first_place int not null,
    events jsonb[] not null,
    primary key (shard, run_id, first_place)
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
comment on table perdure.buffered_events is
    'One row is what happened to a run at once while a workflow task of it is started. It goes into the history when that task ends.';
comment on column perdure.buffered_events.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.buffered_events.run_id is 'The run, a UUID version 7.';
comment on column perdure.buffered_events.first_place is 'The place of the first of these events among those that wait, from 1.';
comment on column perdure.buffered_events.events is 'The events, each {"eventType", "attributes"} with Temporal''s names.';

alter table perdure.run_states
    add column buffered_count int not null default 0,
    add column buffered_bytes bigint not null default 0;
comment on column perdure.run_states.buffered_count is 'How many events wait in buffered_events.';
comment on column perdure.run_states.buffered_bytes is 'How many bytes these have.';

insert into perdure.buffered_events (shard, run_id, first_place, events)
select r.shard, r.run_id, 1, r.buffered_events from perdure.run_states r where r.buffered_events <> '{}';
update perdure.run_states r set buffered_count = cardinality(r.buffered_events), buffered_bytes = pg_column_size(r.buffered_events)
where r.buffered_events <> '{}';

-- It counts them, and is made anew with the other views.
drop view if exists perdure.pending_workflow_tasks;
alter table perdure.run_states drop column buffered_events;

-- It got an argument.
drop function if exists perdure.end_workflow_task(smallint, perdure.run_states, perdure.workflow_tasks, text, timestamptz, text, jsonb, jsonb);
