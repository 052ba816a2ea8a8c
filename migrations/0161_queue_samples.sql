-- How the task queues were, minute by minute of the last day: what charts and "falls behind" are made of.
create table perdure.queue_samples (
    namespace text collate "C" not null references perdure.namespaces on delete cascade,
    minute timestamptz not null,
    task_queue text collate "C" not null,
    kind text collate "C" not null check (kind in ('workflow', 'activity')),
    waiting int not null,
    oldest_seconds real not null,
    failing int not null,
    finished bigint not null,
    primary key (namespace, minute, task_queue, kind)
);
comment on table perdure.queue_samples is
    'One row is a task queue and kind of task in a minute, as upkeep saw it. Kept for a day.';
comment on column perdure.queue_samples.namespace is 'The namespace.';
comment on column perdure.queue_samples.minute is 'The minute.';
comment on column perdure.queue_samples.task_queue is 'The task queue.';
comment on column perdure.queue_samples.kind is 'workflow or activity.';
comment on column perdure.queue_samples.waiting is 'How many tasks could be claimed; counted to 10,000.';
comment on column perdure.queue_samples.oldest_seconds is 'How long the oldest of them had waited.';
comment on column perdure.queue_samples.failing is 'How many tasks had failed and were tried again; counted to 10,000.';
comment on column perdure.queue_samples.finished is 'How many tasks workers finished in the minute before.';
