-- bank.violations() is empty while every cent is where it should be, and lists each thing that is wrong.
begin;
select plan(10);
create function pg_temp.wrong(p_sql text) returns text language plpgsql as $$
declare
    v_kinds text;
begin
    begin
        execute p_sql;
        select string_agg(distinct v.kind, ', ' order by v.kind) into v_kinds from bank.violations() v;
        raise exception sqlstate 'T0000';
    exception when sqlstate 'T0000' then return v_kinds; end;
end
$$;
select is_empty('select * from bank.violations()', 'a new ledger is sound');
select bank.withdraw('account_A', 100, 'w', transfer_id => '00000000-0000-4000-8000-000000000001'),
    bank.deposit('account_B', 100, 'd', transfer_id => '00000000-0000-4000-8000-000000000001'),
    bank.withdraw('account_A', 100000000, 'too much', transfer_id => '00000000-0000-4000-8000-000000000002')
        \g /dev/null
select is_empty('select * from bank.violations()', 'and so is one with a transfer and a refusal');
select is(pg_temp.wrong($$update bank.postings set amount_cents = -99
    where entry_id = (select entry_id from bank.journal_entries
    where idempotency_key = 'w') and account_id = 'account_A'$$),
    'account out of balance, entry out of balance, ledger out of balance', 'a posting that was changed');
select is(pg_temp.wrong($$delete from bank.postings where entry_id = (select entry_id from bank.journal_entries
    where idempotency_key = 'd')$$),
    'account out of balance, entry out of balance', 'an entry without postings');
select is(pg_temp.wrong($$update bank.journal_entries set outcome = 'refused', new_cents = previous_cents
    where idempotency_key = 'd'$$),
    'entry out of balance', 'a refusal with postings');
select is(pg_temp.wrong($$update bank.accounts set balance_cents = balance_cents + 1 where account_id = 'account_C'$$),
    'account out of balance', 'a balance that was changed');
select is(pg_temp.wrong($$delete from bank.postings where account_id = 'account_D'$$),
    'account out of balance, entry out of balance, ledger out of balance', 'money from nowhere');
select is(pg_temp.wrong($$select bank.withdraw('account_A', 100, 'half', workflow_id => 'transfer-x',
    run_id => '00000000-0000-4000-8000-000000000003', activity_id => 'withdraw')$$), 'stranded transfer',
        'a transfer that stopped half way');
select is(pg_temp.wrong($$select bank.withdraw('account_A', 100, k, workflow_id => 'transfer-y',
    run_id => '00000000-0000-4000-8000-000000000004',
    activity_id => 'withdraw') from unnest(array['1', '2']) k$$), 'movement made twice, stranded transfer',
        'a withdrawal that was made twice');
insert into bank.direct_transfers (transfer_id, mode, from_account, to_account, amount_cents, status, process, ended_at)
values ('00000000-0000-4000-8000-000000000005', 'plain', 'account_A', 'account_B', 100, 'LOST', 'p', now());
select bank.withdraw('account_A', 100, 'direct', transfer_id => '00000000-0000-4000-8000-000000000005') \g /dev/null
select is_empty('select * from bank.violations()', 'a transfer without the engine may end half way');
select * from finish();
rollback;
