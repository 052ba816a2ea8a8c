-- The invariants of the ledger, and a list of everything that violates them.

create or replace function bank.violations()
returns table (kind text, account_id text, transfer_id text, what text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select 'entry out of balance', min(e.account_id), min(e.transfer_id),
        format('the sides of entry %s, a %s %s, are %s and add up to %s cents',
        e.entry_id, e.outcome, e.kind, count(p.amount_cents), coalesce(sum(p.amount_cents), 0))
    from bank.journal_entries e left join bank.postings p on p.entry_id = e.entry_id
    group by e.entry_id, e.outcome, e.kind
    having coalesce(sum(p.amount_cents), 0) <> 0
        or count(p.amount_cents) < case e.outcome when 'posted' then 2 else 0 end
        or (e.outcome = 'refused' and count(p.amount_cents) > 0)
    union all
    select 'account out of balance', b.account_id, null,
        format('it holds %s cents, and its postings add up to %s', b.balance_cents,
        coalesce(p.cents, 0))
    from bank.balances b left join (select q.account_id, sum(q.amount_cents) as cents
        from bank.postings q group by q.account_id) p
        on p.account_id = b.account_id
    where coalesce(p.cents, 0) <> b.balance_cents
    union all
    select 'overdraft', a.account_id, null, format('it holds %s cents', a.balance_cents)
    from bank.accounts a where a.kind = 'customer' and a.balance_cents < 0
    union all
    select 'ledger out of balance', null, null, format('all postings add up to %s cents', sum(p.amount_cents))
    from bank.postings p having sum(p.amount_cents) <> 0
    union all
    -- A transfer that calls the account API without the engine may end half way: the example shows just that.
    select 'stranded transfer', s.account_id, s.transfer_id,
        format('%s has ended with %s cents %s', coalesce(s.workflow_id, s.transfer_id),
        abs(s.amount_cents), case when s.amount_cents > 0 then 'withdrawn and not deposited'
            else 'deposited and not withdrawn' end)
    from bank.stranded s
    where s.transfer_id <> '' and not exists (select from bank.direct_transfers d
        where d.transfer_id::text = s.transfer_id)
    union all
    select 'movement made twice', min(e.account_id), e.transfer_id,
        format('%s %ss of activity %s', count(*), e.kind, e.activity_id)
    from bank.journal_entries e
    where e.outcome = 'posted' and e.run_id is not null and e.activity_id is not null
    group by e.transfer_id, e.run_id, e.activity_id, e.kind having count(*) > 1
$$;
comment on function bank.violations() is
    'Everything that breaks a rule of the ledger: nothing when all is well. It reads the whole ledger. Transfers that '
    'were made without the engine may end half way, and are not listed for that.';
