-- The bank: a double-entry ledger. It is the world outside of the workflows: they reach it over HTTP, through
-- the account API, and it knows nothing of them but the reference that a movement may carry.
--
-- Money is a bigint of cents. Every entry's postings add up to zero, and so does the whole ledger: what
-- customers hold, plus what is in transit, plus equity (where the opening balances came from) is zero.

create schema bank;
comment on schema bank is 'A double-entry ledger in cents, and the accounts of the transfer example.';

create table bank.accounts (
    account_id    text primary key check (account_id ~ '^[A-Za-z0-9_]{1,64}$'),
    kind          text not null check (kind in ('customer', 'in_transit', 'equity')),
    opening_cents bigint not null default 0,
    balance_cents bigint,
    opened_at     timestamptz not null default now(),
    closed_at     timestamptz,
    constraint accounts_no_overdraft check (kind <> 'customer' or (balance_cents >= 0 and opening_cents >= 0)),
    constraint accounts_in_transit_has_no_row check ((kind = 'in_transit') = (balance_cents is null)),
    constraint accounts_closed_when_empty check (closed_at is null or balance_cents = 0)
) with (fillfactor = 50);
comment on table bank.accounts is 'One row is an account: a customer''s, or one of the two that balance the customers''.';
comment on column bank.accounts.account_id is 'The name that people and the account API use.';
comment on column bank.accounts.kind is 'customer; in_transit (withdrawn, not yet deposited); equity (where opening balances come from).';
comment on column bank.accounts.opening_cents is 'What the account holds when it opens and after a reset.';
comment on column bank.accounts.balance_cents is
    'The sum of the account''s postings, kept in the transaction that posts. Null for in_transit: bank.in_transit holds it, '
    'one row a transfer, because a row that every movement updates is a queue of one.';
comment on column bank.accounts.opened_at is 'When the account was opened.';
comment on column bank.accounts.closed_at is 'When the account was closed; a closed account is empty and moves no money.';

create table bank.journal_entries (
    entry_id        bigint generated always as identity primary key,
    kind            text not null check (kind in ('opening', 'withdrawal', 'deposit', 'reset')),
    outcome         text not null default 'posted' check (outcome in ('posted', 'refused')),
    account_id      text references bank.accounts,
    amount_cents    bigint check (amount_cents > 0),
    previous_cents  bigint,
    new_cents       bigint,
    idempotency_key text unique check (length(idempotency_key) between 1 and 255),
    workflow_id     text,
    run_id          text,
    activity_id     text,
    memo            text,
    created_at      timestamptz not null default now(),
    constraint journal_movement_is_whole check (
        (kind in ('withdrawal', 'deposit')) = (account_id is not null)
        and (account_id is null) = (amount_cents is null)
        and (account_id is null) = (previous_cents is null)
        and (account_id is null) = (new_cents is null)
    ),
    constraint journal_arithmetic check (
        case when outcome = 'refused' then new_cents = previous_cents
             when kind = 'withdrawal' then new_cents = previous_cents - amount_cents
             when kind = 'deposit' then new_cents = previous_cents + amount_cents
             else true end
    )
);
create index journal_entries_by_account on bank.journal_entries (account_id, entry_id desc) where account_id is not null;
create index journal_entries_by_run on bank.journal_entries (run_id) where run_id is not null;
comment on table bank.journal_entries is
    'One row is what was asked of the ledger and answered: a movement with its postings, or a refusal remembered under its key. Append-only.';
comment on column bank.journal_entries.entry_id is 'Grows in the order of writing, not of commit.';
comment on column bank.journal_entries.kind is 'opening, withdrawal, deposit or reset.';
comment on column bank.journal_entries.outcome is 'posted, or refused for insufficient funds (an entry without postings).';
comment on column bank.journal_entries.account_id is 'The customer account of a withdrawal or deposit.';
comment on column bank.journal_entries.amount_cents is 'What was asked for, in cents.';
comment on column bank.journal_entries.previous_cents is 'The account''s balance before.';
comment on column bank.journal_entries.new_cents is 'The account''s balance after.';
comment on column bank.journal_entries.idempotency_key is 'A repeat with this key gets the first answer. Null: the caller sent none.';
comment on column bank.journal_entries.workflow_id is 'The workflow that asked, when it said so.';
comment on column bank.journal_entries.run_id is 'The run that asked, when it said so: money in transit is kept apart by it.';
comment on column bank.journal_entries.activity_id is 'The activity that asked, when it said so.';
comment on column bank.journal_entries.memo is 'A few words for people.';
comment on column bank.journal_entries.created_at is 'When the transaction that wrote the entry began.';

create table bank.postings (
    entry_id     bigint not null references bank.journal_entries,
    account_id   text not null references bank.accounts,
    amount_cents bigint not null check (amount_cents <> 0),
    primary key (entry_id, account_id)
);
create index postings_by_account on bank.postings (account_id, entry_id desc) include (amount_cents);
comment on table bank.postings is
    'One row is one side of an entry. The sides of an entry add up to zero: only bank.move, bank.open_account and '
    'bank.reset_balances write here, and bank.audit proves it.';
comment on column bank.postings.entry_id is 'The entry that this is a side of.';
comment on column bank.postings.account_id is 'The account that it changes.';
comment on column bank.postings.amount_cents is 'By how much, in cents; negative is out of the account.';

create table bank.in_transit (
    run_id       text primary key,
    workflow_id  text,
    account_id   text references bank.accounts,
    amount_cents bigint not null check (amount_cents <> 0)
) with (fillfactor = 70);
comment on table bank.in_transit is
    'One row is the money that one transfer has withdrawn and not yet deposited. Together the rows are the balance of the account in_transit.';
comment on column bank.in_transit.run_id is 'The transfer''s run; the empty string gathers movements that named none.';
comment on column bank.in_transit.workflow_id is 'The transfer''s workflow.';
comment on column bank.in_transit.account_id is 'The account that the money left first.';
comment on column bank.in_transit.amount_cents is 'How much is under way, in cents; negative when more was deposited than withdrawn.';

create table bank.settings (
    only_row          boolean primary key default true check (only_row),
    real_world_mode   boolean not null default false,
    hang_rate         double precision not null default 0.10 check (hang_rate between 0 and 1),
    error_rate        double precision not null default 0.40 check (error_rate between 0 and 1),
    lost_answer_share double precision not null default 0.25 check (lost_answer_share between 0 and 1),
    hang_seconds      double precision not null default 30 check (hang_seconds between 0 and 300),
    updated_at        timestamptz not null default now(),
    constraint settings_rates_fit check (hang_rate + error_rate <= 1)
);
comment on table bank.settings is 'The one row of settings that the account API reads on every call.';
comment on column bank.settings.only_row is 'Always true: there is one row.';
comment on column bank.settings.real_world_mode is 'Whether the account API fails the way real ones do.';
comment on column bank.settings.hang_rate is 'The share of calls that hang and then answer 504, having done nothing.';
comment on column bank.settings.error_rate is 'The share of calls that answer 500.';
comment on column bank.settings.lost_answer_share is 'The share of those 500s that come after the work was committed: the answer is lost, not the money.';
comment on column bank.settings.hang_seconds is 'How long a call hangs, in seconds.';
comment on column bank.settings.updated_at is 'When a setting last changed.';
insert into bank.settings default values;

-- The ten accounts open with money from equity, one entry each.
insert into bank.accounts (account_id, kind, balance_cents) values ('in_transit', 'in_transit', null), ('equity', 'equity', 0);
insert into bank.accounts (account_id, kind, opening_cents, balance_cents)
select 'account_' || letter, 'customer', cents, cents
from (values ('A', 100000), ('B', 50000), ('C', 75000), ('D', 120000), ('E', 30000),
             ('F', 90000), ('G', 60000), ('H', 150000), ('I', 40000), ('J', 80000)) as opening (letter, cents);
with entry as (
    insert into bank.journal_entries (kind, memo)
    select 'opening', account_id from bank.accounts where kind = 'customer' order by account_id
    returning entry_id, memo
)
insert into bank.postings (entry_id, account_id, amount_cents)
select entry.entry_id, side.account_id, side.amount_cents
from entry
join bank.accounts account on account.account_id = entry.memo
cross join lateral (values (account.account_id, account.opening_cents), ('equity', -account.opening_cents)) as side (account_id, amount_cents);
update bank.accounts set balance_cents = -(select sum(opening_cents) from bank.accounts where kind = 'customer') where account_id = 'equity';

-- Roles belong to the whole cluster: another database may be creating them at this moment, and on a managed
-- server we may not be allowed to. Without them the owner of the schema does everything.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['bank_api', 'bank_reader'] loop
        begin
            if not exists (select from pg_roles where rolname = v_role) then
                execute format('create role %I nologin', v_role);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise notice 'role % was not created: create it to grant the bank to others', v_role;
        end;
    end loop;
end
$$;
