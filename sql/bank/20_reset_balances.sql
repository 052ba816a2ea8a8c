-- Brings the balances back to opening, as one journal entry.
--
-- A transfer that is under way when the balances are reset goes on, so the reset behaves as if it had happened just
-- before the running transfers withdrew: an account opens again with its opening balance less what running
-- transfers have taken from it and not yet delivered. When they have ended, the sum of all balances is the sum
-- of the opening balances, to the cent. With nothing under way every balance is its opening balance at once.
--
-- Money that is in transit for no running transfer (one that withdrew and never deposited, one that was terminated half
-- way) is written off to equity. Should a balance have to go below zero (more was sent
-- from an account than it opened with), it goes to zero and equity bears the rest.

create or replace function bank.reset_balances(out entry_id bigint, out accounts_changed int,
    out kept_in_transit_cents bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- With every customer account locked, no movement can begin, and none is half way. All money that has moved was
    -- moved by a transfer whose start has committed, so the next statement sees that transfer as running.
    perform from bank.accounts a where a.kind = 'customer' order by a.account_id for no key update;

    perform from bank.accounts a where a.kind = 'equity' for no key update;

    with kept as materialized (
        select t.transfer_id, t.account_id, t.amount_cents
        from bank.in_transit t
        where t.amount_cents > 0 and bank.is_under_way(t.transfer_id, t.workflow_id)
    ),
    written_off as (
        delete from bank.in_transit t
        where not exists (select from kept k where k.transfer_id = t.transfer_id)
        returning t.amount_cents
    ),
    change as materialized (
        select 'in_transit' as account_id, -sum(w.amount_cents)::bigint as cents
        from written_off w
        having sum(w.amount_cents) <> 0
        union all
        select a.account_id, greatest(a.opening_cents - coalesce(k.cents, 0), 0)::bigint - a.balance_cents
        from bank.accounts a
        left join (select kept.account_id, sum(kept.amount_cents) as cents
            from kept group by kept.account_id) k using (account_id)
        where a.kind = 'customer' and a.closed_at is null
          and greatest(a.opening_cents - coalesce(k.cents, 0), 0) <> a.balance_cents
    ),
    side as materialized (
        select c.account_id, c.cents from change c
        union all
        select 'equity', -sum(c.cents)::bigint from change c having sum(c.cents) <> 0
    ),
    entry as (
        insert into bank.journal_entries (kind, memo)
        select 'reset', 'balances back to opening' where exists (select from change)
        returning journal_entries.entry_id
    ),
    posted as (
        insert into bank.postings (entry_id, account_id, amount_cents)
        select e.entry_id, s.account_id, s.cents from entry e cross join side s
    ),
    balanced as (
        update bank.accounts a set balance_cents = a.balance_cents + s.cents
        from side s
        where s.account_id = a.account_id and a.kind <> 'in_transit'
        returning a.kind
    )
    select (select e.entry_id from entry e),
           (select count(*)::int from balanced b where b.kind = 'customer'),
           (select coalesce(sum(k.amount_cents), 0)::bigint from kept k)
    into entry_id, accounts_changed, kept_in_transit_cents;
end
$$;
comment on function bank.reset_balances() is
    'Brings balances back to opening in one balanced entry, less what running transfers have in transit. '
    'Returns the entry (null when nothing had to change), how many accounts changed, and the cents still in transit.';
