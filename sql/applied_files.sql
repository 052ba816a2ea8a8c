-- The ledger of what has been applied. `perdure migrate` and `psql -f sql/install.psql` make it before anything else.
create schema if not exists perdure;
create table if not exists perdure.applied_files (
    path text primary key,
    kind text not null check (kind in ('migration', 'definition')),
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default session_user,
    duration_ms bigint not null
);
comment on table perdure.applied_files is 'One row is a file of SQL that has been applied to this database.';
comment on column perdure.applied_files.path is 'The file, relative to the checkout.';
comment on column perdure.applied_files.kind
    is 'migration: applied once, never edited. definition: functions and views, applied again when they change.';
comment on column perdure.applied_files.checksum is 'SHA-256 of the file as it was applied, in hexadecimal.';
comment on column perdure.applied_files.applied_at is 'When it was applied last.';
comment on column perdure.applied_files.applied_by is 'The role that applied it.';
comment on column perdure.applied_files.duration_ms is 'How long that took, in milliseconds.';

-- Migration 0007 was published with two wordings of its comment. It does the same with both, so a database with the
-- first has the second.
update perdure.applied_files set checksum = '26a5578b7085a434c436123bfa533e76f0af0316ac9dc6cf6829fcc164471b4d'
where path = 'migrations/0007_unchecked_states.sql' and checksum =
    '9e2e2c20a5a052e01d9e7a2b36e00a9bedcf303c84df0a0b7b6f1ab465bd2666';

-- The example's migrations stood among the engine's until the engine came to be installed alone.
update perdure.applied_files set path = replace(path, 'migrations/', 'migrations/bank/')
where path in ('migrations/0010_bank.sql', 'migrations/0011_bank_transfer_modes.sql',
    'migrations/0012_bank_deployments.sql');
