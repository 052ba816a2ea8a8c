-- Views that people read, and that the transfer page selects from.

create or replace view bank.balances as
select a.account_id, a.kind,
       bank.cents(coalesce(a.balance_cents, (select sum(t.amount_cents) from bank.in_transit t), 0)) as balance_cents,
       a.opening_cents, a.closed_at
from bank.accounts a;
comment on view bank.balances is 'One row is an account and what it holds, in cents; in_transit and equity included.';
comment on column bank.balances.account_id is 'The account.';
comment on column bank.balances.kind is 'customer, in_transit or equity.';
comment on column bank.balances.balance_cents is 'What it holds, in cents.';
comment on column bank.balances.opening_cents is 'What it holds when it opens and after a reset.';
comment on column bank.balances.closed_at is 'When it was closed.';

create or replace view bank.stranded as
select t.transfer_id, t.workflow_id, t.account_id, t.amount_cents
from bank.in_transit t
where not bank.is_under_way(t.transfer_id, t.workflow_id);
comment on view bank.stranded is
    'One row is a transfer that has ended with money on its way: nobody will deliver an amount above zero, and an '
    'amount below zero came from nowhere.';
comment on column bank.stranded.transfer_id is 'The transfer; empty for movements that named none.';
comment on column bank.stranded.workflow_id is 'Its workflow, if it had one.';
comment on column bank.stranded.account_id is 'The account that its first movement changed.';
comment on column bank.stranded.amount_cents is
    'Above zero: cents that were withdrawn and not deposited. Below zero: cents that were deposited and not '
    'withdrawn.';

create or replace view bank.totals as
select bank.cents(sum(b.balance_cents) filter (where b.kind = 'customer')) as customer_cents,
       bank.cents(sum(b.balance_cents) filter (where b.kind = 'in_transit')) as in_transit_cents,
       bank.cents(-sum(b.balance_cents) filter (where b.kind = 'equity')) as equity_cents,
       sum(b.balance_cents) = 0 as conserved,
       bank.cents(coalesce((select sum(s.amount_cents) from bank.stranded s where s.amount_cents > 0),
           0)) as missing_cents,
       bank.cents(coalesce((select -sum(s.amount_cents) from bank.stranded s where s.amount_cents < 0),
           0)) as surplus_cents
from bank.balances b;
comment on view bank.totals is
    'One row: what customers hold, what is in transit, and what both must add up to. It is cheap to read; bank.audit '
    'proves the same from the postings.';
comment on column bank.totals.customer_cents is 'The sum of the customers'' balances.';
comment on column bank.totals.in_transit_cents is 'What was withdrawn and not yet deposited.';
comment on column bank.totals.equity_cents is 'What was ever put into the accounts: the sum that must not change.';
comment on column bank.totals.conserved is 'Whether customer_cents and in_transit_cents add up to equity_cents.';
comment on column bank.totals.missing_cents is
    'The part of in_transit_cents that was withdrawn by transfers that have ended, so that it never arrives.';
comment on column bank.totals.surplus_cents is 'What was deposited by transfers that have ended, and never withdrawn.';

create or replace view bank.audit as
select (select count(*) from (
            select e.entry_id
            from bank.journal_entries e left join bank.postings p using (entry_id)
            group by e.entry_id, e.outcome
            having coalesce(sum(p.amount_cents), 0) <> 0
                or count(p.amount_cents) < case e.outcome when 'posted' then 2 else 0 end
                or (e.outcome = 'refused' and count(p.amount_cents) > 0)) wrong)::bigint as wrong_entries,
       (select count(*) from (
            select b.account_id
            from bank.balances b left join bank.postings p using (account_id)
            group by b.account_id, b.balance_cents
            having coalesce(sum(p.amount_cents), 0) <> b.balance_cents) wrong)::bigint as wrong_balances,
       bank.cents((select coalesce(sum(p.amount_cents), 0) from bank.postings p)) as sum_of_postings,
       t.customer_cents, t.in_transit_cents, t.equity_cents, t.conserved
from bank.totals t;
comment on view bank.audit is
    'One row that proves the ledger from its postings: in a correct ledger the first three columns are zero and '
    'conserved is true. The view reads all postings.';
comment on column bank.audit.wrong_entries is 'Entries whose sides do not add up to zero, or that lack a side.';
comment on column bank.audit.wrong_balances is 'Accounts whose balance is not the sum of their postings.';
comment on column bank.audit.sum_of_postings is 'The sum of all postings.';
comment on column bank.audit.customer_cents is 'The sum of the customers'' balances.';
comment on column bank.audit.in_transit_cents is 'What was withdrawn and not yet deposited.';
comment on column bank.audit.equity_cents is 'What was ever put into the accounts.';
comment on column bank.audit.conserved is 'Whether customer_cents and in_transit_cents add up to equity_cents.';

create or replace view bank.statement as
select p.account_id, e.entry_id, e.created_at, e.kind,
       (p.amount_cents * 0.01)::numeric(20, 2) as amount,
       (sum(p.amount_cents) over (partition by p.account_id order by p.entry_id) * 0.01)::numeric(20, 2) as balance,
       e.workflow_id, e.run_id, e.activity_id, e.memo, e.idempotency_key
from bank.postings p join bank.journal_entries e using (entry_id);
comment on view bank.statement is
    'One row is a posting, as on a bank statement: select * from bank.statement where account_id = ''account_A''.';
comment on column bank.statement.account_id is 'The account.';
comment on column bank.statement.entry_id is 'The journal entry.';
comment on column bank.statement.created_at is 'When it was written.';
comment on column bank.statement.kind is 'opening, withdrawal, deposit or reset.';
comment on column bank.statement.amount is 'By how much the account changed; negative for money that left it.';
comment on column bank.statement.balance is 'What the account''s postings up to this one add up to.';
comment on column bank.statement.workflow_id is 'The workflow that asked for the movement.';
comment on column bank.statement.run_id is 'The run that asked for the movement.';
comment on column bank.statement.activity_id is 'The activity that asked for the movement.';
comment on column bank.statement.memo is 'A few words for people.';
comment on column bank.statement.idempotency_key is 'The idempotency key of the movement.';
