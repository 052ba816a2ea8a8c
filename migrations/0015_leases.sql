-- Leases that outlast an outage of the server, and work that cannot be done and is set aside.
alter table perdure.workers add column in_contact_since timestamptz;
alter table perdure.workers add column grace_until timestamptz;
alter table perdure.workers add column lost_at timestamptz;
alter table perdure.workers add column taken_back smallint[] not null default '{}';
comment on column perdure.workers.in_contact_since is
    'Since when it has renewed its lease without a gap of more than half a lease: for so long the database can be reached.';
comment on column perdure.workers.grace_until is
    'Its lease ran out while nobody was in contact with the database. It counts as lost at this time, unless it renews the lease.';
comment on column perdure.workers.lost_at is
    'When it was found to be lost. The row stays until its work has been taken back on every shard.';
comment on column perdure.workers.taken_back is 'The shards on which all of its work has been taken back.';

create table perdure.set_aside (
    shard smallint not null,
    run_id uuid not null,
    kind text not null,
    id bigint not null default 0,
    error text not null,
    sqlstate text not null,
    since timestamptz not null,
    attempts int not null default 1,
    next_at timestamptz not null,
    primary key (shard, run_id, kind, id)
);
comment on table perdure.set_aside is
    'One row is something that was due, or was reported, and raised an error. Upkeep tries it again at next_at; all else goes on.';
comment on column perdure.set_aside.shard is 'perdure.shard_for(namespace, workflow_id). Every key begins with it.';
comment on column perdure.set_aside.run_id is 'The run, a UUID version 7.';
comment on column perdure.set_aside.kind is
    'timer, activity, workflow task, lost worker (its work could not be taken back), deletion, or result (what a worker reported).';
comment on column perdure.set_aside.id is 'The event that started the timer or scheduled the activity; 0 for other kinds.';
comment on column perdure.set_aside.error is 'The message of the last error.';
comment on column perdure.set_aside.sqlstate is 'Its SQLSTATE.';
comment on column perdure.set_aside.since is 'When it was set aside first.';
comment on column perdure.set_aside.attempts is 'How many times it has been tried.';
comment on column perdure.set_aside.next_at is 'When it is tried again.';

-- Equal timers fire in the order in which they were started.
drop index perdure.timers_due;
create index timers_due on perdure.timers (shard, fire_at, started_event_id);

-- What the functions of this version replace under other arguments or results.
drop function if exists perdure.delete_expired(smallint, timestamptz, int);
drop function if exists perdure.take_back(smallint, uuid, timestamptz);
drop function if exists perdure.get_history(smallint, uuid, bigint, int);
drop function if exists perdure.get_histories_as_stored(smallint, uuid[], bigint[], int);
drop function if exists perdure.get_histories(smallint, uuid[], bigint[], int);
drop function if exists perdure.claim_workflow_tasks_as_stored(smallint, uuid, text, int, timestamptz);
