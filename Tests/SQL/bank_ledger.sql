-- The ledger: balanced entries, no overdraft, one answer per key.
begin;
select plan(35);

select is((select balance_cents from bank.balances where account_id = 'account_' || letter), cents,
          'account_' || letter || ' opens with its balance')
from (values ('A', 100000::bigint), ('B', 50000), ('C', 75000), ('D', 120000), ('E', 30000),
             ('F', 90000), ('G', 60000), ('H', 150000), ('I', 40000), ('J', 80000)) as opening (letter, cents);
select results_eq('select customer_cents, in_transit_cents, equity_cents, conserved from bank.totals',
                  'values (795000::bigint, 0::bigint, 795000::bigint, true)', 'the books open balanced');

-- Movements
select results_eq($$select outcome, previous_cents, new_cents, repeated
    from bank.withdraw('account_A', 1250, 'k-1', 'w', 'r', 'withdraw')$$,
                  $$values ('posted', 100000::bigint, 98750::bigint, false)$$,
                      'a withdrawal answers with both balances');
select results_eq('select transfer_id, workflow_id, account_id, amount_cents from bank.in_transit',
                  $$values ('r', 'w', 'account_A', 1250::bigint)$$, 'what was withdrawn is in transit');
select results_eq($$select outcome, previous_cents, new_cents, repeated
    from bank.withdraw('account_A', 1250, 'k-1', 'w', 'r', 'withdraw')$$,
                  $$values ('posted', 100000::bigint, 98750::bigint, true)$$, 'a repeat gets the first answer');
select is(bank.balance('account_A'), 98750::bigint, 'and moves nothing');
select is((select new_cents from bank.deposit('account_F', 1250, 'k-2', 'w', 'r', 'deposit')), 91250::bigint,
    'a deposit arrives');
select is_empty('select from bank.in_transit', 'and nothing is in transit any more');

-- Refusals
select results_eq($$select outcome, previous_cents, new_cents from bank.withdraw('account_E', 30001, 'k-3')$$,
                  $$values ('refused', 30000::bigint, 30000::bigint)$$, 'an overdraft is refused');
select lives_ok($$select bank.deposit('account_E', 1, 'k-4')$$, 'even when money comes later');
select results_eq($$select outcome, previous_cents, new_cents, repeated from bank.withdraw('account_E', 30001, 'k-3')$$,
                  $$values ('refused', 30000::bigint, 30000::bigint, true)$$, 'the same key gets the same refusal');
select is((select outcome from bank.withdraw('account_E', 30001, 'k-5')), 'posted', 'a new key is a new question');
select is(bank.balance('account_E'), 0::bigint, 'an account can be emptied');

-- Errors change nothing and say what to do
select throws_ok($$select bank.withdraw('account_Z', 1)$$, 'BK001', 'there is no account account_Z',
    'an unknown account');
select throws_ok($$select bank.withdraw('equity', 1)$$, 'BK001', 'there is no account equity',
    'the bank''s own accounts move no money by themselves');
select throws_ok($$select bank.balance(null)$$, 'BK001', null, 'no account');
select throws_ok($$select bank.withdraw('account_A', 0)$$, 'BK002', null, 'zero');
select throws_ok($$select bank.withdraw('account_A', -1)$$, 'BK002', null, 'less than zero');
select throws_ok($$select bank.withdraw('account_A', null)$$, 'BK002', null, 'no amount');
select throws_ok($$select bank.deposit('account_A', 9223372036854775807)$$, 'BK002', null, 'too much');
select throws_ok($$select bank.withdraw('account_A', 1, '')$$, 'BK002', null, 'an empty key');
select throws_ok($$select bank.withdraw('account_A', 1251, 'k-1')$$, 'BK003', null, 'a key with another amount');
select throws_ok($$select bank.deposit('account_A', 1250, 'k-1')$$, 'BK003', null, 'a key with another direction');
select throws_ok($$select bank.withdraw('account_B', 1250, 'k-1')$$, 'BK003', null, 'a key with another account');

-- The constraints hold even for statements that bypass the functions
select throws_ok($$update bank.accounts set balance_cents = -1 where account_id = 'account_A'$$, '23514', null,
                 'no customer account goes below zero');

select results_eq('select wrong_entries, wrong_balances, sum_of_postings, conserved from bank.audit',
                  'values (0::bigint, 0::bigint, 0::bigint, true)', 'the postings prove the balances');

select * from finish();
rollback;
