-- A reset behaves as if it had happened before the running transfers withdrew.
begin;
select plan(15);

create temp table run as
select run_id::text from perdure.start_workflow(
    workflow_type => 'TransferWorkflow', workflow_id => 'bank-reset-test', task_queue => 'nobody-listens',
    input => '{"from_account": "account_A", "to_account": "account_F", "amount": 100}');

select is((select accounts_changed from bank.reset_balances()), 0, 'a reset of untouched books changes nothing');
select is((select entry_id from bank.reset_balances()), null, 'and writes nothing');

select lives_ok($$select bank.withdraw('account_A', 10000, 'running', 'bank-reset-test', (select run_id from run),
    'withdraw')$$,
                'a running transfer has withdrawn');
select lives_ok($$select bank.withdraw('account_B', 500)$$, 'somebody withdrew without a key and went away');
select lives_ok($$select bank.withdraw('account_C', 700, 'ended', 'no-such-workflow', gen_random_uuid()::text,
    'withdraw')$$,
                'a transfer was terminated half way');
select lives_ok($$select bank.deposit('account_D', 900, 'gift')$$, 'somebody deposited out of nowhere');

select results_eq('select accounts_changed, kept_in_transit_cents from bank.reset_balances()',
                  'values (3, 10000::bigint)', 'the reset keeps what the running transfer has under way');
select results_eq($$select account_id, balance_cents from bank.balances where kind = 'customer'
    and balance_cents <> opening_cents$$,
                  $$values ('account_A', 90000::bigint)$$, 'every other account is back to opening');
select results_eq('select customer_cents, in_transit_cents, equity_cents, conserved from bank.totals',
                  'values (785000::bigint, 10000::bigint, 795000::bigint, true)', 'the sum is the opening sum');
select is((select new_cents from bank.deposit('account_F', 10000, 'arrives', 'bank-reset-test',
    (select run_id from run), 'deposit')),
          100000::bigint, 'the running transfer arrives');
select results_eq('select customer_cents, in_transit_cents, conserved from bank.totals',
                  'values (795000::bigint, 0::bigint, true)', 'and the sum is still exact');

select lives_ok('select bank.reset_balances()', 'a second reset');
select is_empty($$select from bank.balances where kind = 'customer' and balance_cents <> opening_cents$$,
    'brings all to opening');

-- Running transfers have taken more than the account opened with
select lives_ok($$
    select bank.deposit('account_E', 50000, 'salary');
    select bank.withdraw('account_E', 80000, 'all of it', 'bank-reset-test', (select run_id from run), 'withdraw2');
    select bank.reset_balances()$$, 'a reset never overdraws');
select results_eq('select wrong_entries, wrong_balances, sum_of_postings, conserved from bank.audit',
                  'values (0::bigint, 0::bigint, 0::bigint, true)', 'the postings prove the balances');

select * from finish();
rollback;
