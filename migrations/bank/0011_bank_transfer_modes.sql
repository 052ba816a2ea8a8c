-- Three ways to make the same transfer. Two of them know nothing of the engine: a process calls the account API itself, and
-- what becomes of the money when it fails is what the books show.

-- A movement may say which transfer it is part of. Nothing is unique about that: it makes no repeat safe, as little as the
-- reference on a bank statement does.
alter table bank.journal_entries add column transfer_id text check (length(transfer_id) between 1 and 255);
update bank.journal_entries set transfer_id = run_id where run_id is not null;
create index journal_entries_by_transfer on bank.journal_entries (transfer_id) where transfer_id is not null;
comment on column bank.journal_entries.transfer_id is
    'The transfer that the movement is part of: what the caller named, or else its run. For people and audits; only idempotency_key makes repeats safe.';

alter table bank.in_transit rename column run_id to transfer_id;
comment on column bank.in_transit.transfer_id is
    'The transfer: its run, or what its caller named; the empty string gathers movements that named none.';

-- These functions take or return more than they did, so that the old ones have to go.
drop function if exists bank.withdraw(text, bigint, text, text, text, text, text);
drop function if exists bank.deposit(text, bigint, text, text, text, text, text);
drop function if exists bank.move(text, text, bigint, text, text, text, text, text);
drop function if exists bank.change_in_transit(text, text, text, bigint);
drop function if exists bank.transfer_progress(smallint, uuid);
drop function if exists bank.page_state();

create table bank.direct_transfers (
    transfer_id   uuid primary key,
    mode          text not null check (mode in ('plain', 'retrying')),
    from_account  text not null,
    to_account    text not null,
    amount_cents  bigint not null check (amount_cents > 0),
    status        text not null default 'RUNNING' check (status in ('RUNNING', 'COMPLETED', 'FAILED', 'LOST')),
    calls         jsonb not null default '[]' check (jsonb_typeof(calls) = 'array'),
    error_message text,
    process       text not null,
    started_at    timestamptz not null default now(),
    ended_at      timestamptz,
    constraint direct_transfers_end check ((status = 'RUNNING') = (ended_at is null))
) with (fillfactor = 50);
create index direct_transfers_by_start on bank.direct_transfers (started_at desc, transfer_id desc);
create index direct_transfers_running on bank.direct_transfers (process) where status = 'RUNNING';
comment on table bank.direct_transfers is
    'One row is a transfer that a process makes by calling the account API itself. The row is for those who watch; the transfer does not read it.';
comment on column bank.direct_transfers.transfer_id is 'Stands in the journal with every movement of it.';
comment on column bank.direct_transfers.mode is 'plain: every call once; retrying: a call up to three times, counted in memory.';
comment on column bank.direct_transfers.from_account is 'The account that pays.';
comment on column bank.direct_transfers.to_account is 'The account that is paid.';
comment on column bank.direct_transfers.amount_cents is 'How much, in cents.';
comment on column bank.direct_transfers.status is 'RUNNING, COMPLETED, FAILED, or LOST with the process that ran it.';
comment on column bank.direct_transfers.calls is 'Its calls of the account API in order: step, attempt, started_at and ended_at in Unix seconds, failure.';
comment on column bank.direct_transfers.error_message is 'Why it failed.';
comment on column bank.direct_transfers.process is 'The process that runs it, as pid@host.';
comment on column bank.direct_transfers.started_at is 'When it was started.';
comment on column bank.direct_transfers.ended_at is 'When it ended; null while it runs.';

create table bank.comparisons (
    comparison_id bigint generated always as identity primary key,
    size          int not null check (size between 1 and 500),
    amount_cents  bigint not null check (amount_cents > 0),
    started_at    timestamptz not null default now()
);
comment on table bank.comparisons is 'One row is a batch of the same transfers, made in every mode at once.';
comment on column bank.comparisons.comparison_id is 'Its number.';
comment on column bank.comparisons.size is 'How many transfers each mode makes.';
comment on column bank.comparisons.amount_cents is 'How much each moves, in cents.';
comment on column bank.comparisons.started_at is 'When it was started.';

create table bank.comparison_transfers (
    comparison_id bigint not null references bank.comparisons,
    mode          text not null check (mode in ('plain', 'retrying', 'durable')),
    number        int not null,
    transfer_id   uuid not null,
    workflow_id   text,
    primary key (comparison_id, mode, number),
    constraint comparison_transfers_workflow check ((mode = 'durable') = (workflow_id is not null))
);
comment on table bank.comparison_transfers is 'One row is one transfer of a comparison.';
comment on column bank.comparison_transfers.comparison_id is 'The comparison.';
comment on column bank.comparison_transfers.mode is 'plain, retrying or durable.';
comment on column bank.comparison_transfers.number is 'From 1; the same number is the same two accounts in every mode.';
comment on column bank.comparison_transfers.transfer_id is 'The direct transfer, or the durable one''s run.';
comment on column bank.comparison_transfers.workflow_id is 'The durable one''s workflow; null for the others.';
