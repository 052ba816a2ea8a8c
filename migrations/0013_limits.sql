-- Limits: how large a history has become, how many events it may have, and a retention that a time can be counted with.

alter table perdure.run_states
    add column history_bytes bigint not null default 0,
    add column max_history_events bigint not null default 51200;
comment on column perdure.run_states.history_bytes is 'How many bytes of events its history has, as they are sent, or nearly so.';
comment on column perdure.run_states.max_history_events is 'How many events its history may have: that of its namespace when it was started.';
-- Histories that are short count from now on.
update perdure.run_states r set history_bytes = (
    select coalesce(sum(pg_column_size(h.events)), 0) from perdure.history h where h.shard = r.shard and h.run_id = r.run_id)
where r.next_event_id > 500;

alter table perdure.executions add column history_size_bytes bigint;
comment on column perdure.executions.history_size_bytes is 'How many bytes of events its history has; null while it is open, and for runs that closed before this was counted.';

update perdure.namespaces set retention = interval '876000 hours' where retention > interval '876000 hours';
update perdure.namespaces set max_history_events = 51200 where max_history_events < 10;
alter table perdure.namespaces
    add constraint namespaces_retention check (retention <= interval '876000 hours'),
    add constraint namespaces_max_history_events check (max_history_events >= 10);
comment on column perdure.namespaces.max_history_events is
    'How many events a history may have: a run that has more is ended. A change holds for runs that start after it.';
