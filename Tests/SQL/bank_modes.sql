-- Transfers without the engine, and what the books say of them.
begin;
select plan(35);

select throws_ok($$select bank.start_direct_transfer('durable', 'account_A', 'account_F', 100, 'p')$$, 'BK002', null,
    'a durable one is the engine''s');
select throws_ok($$select bank.start_direct_transfer(null, 'account_A', 'account_F', 100, 'p')$$, 'BK002', null,
    'no mode');
select throws_ok($$select bank.start_direct_transfer('plain', 'account_A', 'account_A', 100, 'p')$$, 'BK002', null,
    'one account twice');
select throws_ok($$select bank.start_direct_transfer('plain', 'account_A', 'account_F', 0, 'p')$$, 'BK002', null,
    'nothing to move');

create temp table direct as
select n, bank.start_direct_transfer('retrying', 'account_A', 'account_F', 1000, 'p') as id
    from generate_series(1, 5) n;
create function pg_temp.id(n int) returns text language sql as $$ select d.id::text from direct d where d.n = $1 $$;

-- Transfer 1 is correct, 2 lost money, 3 doubled it, 4 moved it twice, 5 moved it and said that it failed.
select lives_ok($$
    select bank.withdraw('account_A', 1000, transfer_id => pg_temp.id(n)) from unnest(array[1, 2, 3, 4, 4, 5]) n;
    select bank.deposit('account_F', 1000, transfer_id => pg_temp.id(n)) from unnest(array[1, 3, 3, 4, 4, 5]) n$$,
    'a transfer id makes nothing unique');
select results_eq('select missing_cents, surplus_cents, conserved from bank.totals',
    'values (0::bigint, 0::bigint, true)',
                  'while they run, nothing is missing');
select lives_ok($$select bank.end_direct_transfer(id, case n when 5 then 'FAILED' else 'COMPLETED' end, case n when 5
    then 'no answer' end) from direct$$,
                'they end');
select results_eq('select in_transit_cents, missing_cents, surplus_cents, conserved from bank.totals',
                  'values (0::bigint, 1000::bigint, 1000::bigint, true)',
                      'then one is missing and one came from nowhere, though the sum is right');
select results_eq($$select d.n, bank.direct_transfer_document(t) ->> 'verdict' from direct d
    join bank.direct_transfers t on t.transfer_id = d.id order by d.n$$,
                  $$values (1, 'correct'), (2, 'missing'), (3, 'doubled'), (4, 'repeated'), (5, 'unreported')$$,
                      'the books judge each');
select results_eq('select transfer_id, amount_cents from bank.stranded order by amount_cents',
                  'values (pg_temp.id(3), -1000::bigint), (pg_temp.id(2), 1000::bigint)', 'and name them');
select is((select count(*) from bank.journal where mode = 'retrying' and cause = 'none'), 12::bigint,
    'no event caused their entries');

-- Verdicts
select is(bank.verdict('RUNNING', 100, 100, 0, 0), null, 'nobody judges what runs');
select is(bank.verdict('FAILED', 100, 0, 0, 0), 'correct', 'failed, and nothing moved');
select is(bank.verdict('FAILED', 100, 100, 100, 0), 'correct', 'failed, and the money went back');
select is(bank.verdict('COMPLETED', 100, 0, 0, 0), 'unreported', 'completed, and nothing moved');

-- A transfer whose process died
select is(bank.lose_direct_transfers('p'), 0, 'nothing of that process runs');
create temp table lost as select bank.start_direct_transfer('plain', 'account_B', 'account_G', 500, 'dead') as id;
select is(bank.lose_direct_transfers('dead'), 1, 'a dead process loses what it was at');
select results_eq('select status, ended_at is not null from bank.direct_transfers d '
    'join lost on lost.id = d.transfer_id', $$values ('LOST', true)$$, 'and says so');
select lives_ok($$select bank.end_direct_transfer((select id from lost), 'COMPLETED')$$, 'one that lives after all');
select is((select status from bank.direct_transfers d join lost on lost.id = d.transfer_id), 'COMPLETED',
    'has the last word');

-- Reset
create temp table under_way as select bank.start_direct_transfer('plain', 'account_C', 'account_H', 700, 'p') as id;
select lives_ok($$select bank.withdraw('account_C', 700, transfer_id => (select id::text from under_way))$$,
    'one more is half way');
select is((select kept_in_transit_cents from bank.reset_balances()), 700::bigint,
    'a reset keeps what it has under way');
select results_eq('select missing_cents, surplus_cents from bank.totals', 'values (0::bigint, 0::bigint)',
    'and writes off what is missing');
select lives_ok($$select bank.deposit('account_H', 700, transfer_id => (select id::text from under_way))$$,
    'it arrives');
select is((select customer_cents from bank.totals), 795000::bigint, 'and the sum is exact');

-- Comparisons
select throws_ok($$select bank.start_comparison(0, 100, 'q', 'p')$$, 'BK002', null, 'none');
select throws_ok($$select bank.start_comparison(501, 100, 'q', 'p')$$, 'BK002', null, 'too many');
select throws_ok($$select bank.start_comparison(5, 0, 'q', 'p')$$, 'BK002', null, 'of nothing');
select is(bank.start_comparison(12, 100, 'nobody-listens', 'p', 'ada'), 1::bigint, 'a comparison starts');
select is(array_agg(distinct attributes ->> 'identity'), array['ada'], 'in the name of whoever asked for it')
from perdure.history_events where event_type = 'WorkflowExecutionStarted' and workflow_id like 'comparison-1-%';
select results_eq('select mode, transfers, running from bank.comparison_results order by mode',
                  $$values ('durable', 12::bigint, 12::bigint), ('plain', 12, 12), ('retrying', 12, 12)$$,
                      'in every mode');
select is((select count(*) from (select distinct number, from_account, to_account from bank.compared_transfers) t),
    12::bigint,
          'the same accounts in every mode');
select is((select count(*) from bank.compared_transfers where from_account = to_account), 0::bigint,
    'never one account twice');
select is((select count(*) from perdure.workflows where workflow_type = 'TransferWorkflow' and status = 'Running'),
    12::bigint, 'the durable ones run');

select results_eq('select wrong_entries, wrong_balances, sum_of_postings, conserved from bank.audit',
                  'values (0::bigint, 0::bigint, 0::bigint, true)', 'the postings prove the balances');
select * from finish();
rollback;
