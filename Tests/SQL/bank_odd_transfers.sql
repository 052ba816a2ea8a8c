-- Transfers whose input was not written by the bank: each is an odd row, and none keeps the others from being read.
begin;
select plan(20);

create temp table odd (n int, input jsonb, amount numeric, from_account text);
insert into odd values
    (1, '{"from_account": "account_A", "to_account": "account_F", "amount": "abc"}', null, 'account_A'),
    (2, null, null, null),
    (3, '[]', null, null),
    (4, 'null', null, null),
    (5, '"text"', null, null),
    (6, '17', null, null),
    (7, '{"from_account": "account_A", "amount": 12.345}', 12.35, 'account_A'),
    (8, '{"from_account": "account_A", "to_account": "account_F", "amount": -5}', -5, 'account_A'),
    (9, '{"from_account": 5, "to_account": {"a": 1}, "amount": [1]}', null, null),
    (10, '{"amount": 1e300}', null, null),
    (11, '{"amount": 92233720368547758.07}', null, null),
    (12, '{"amount": 92233720368547757.99}', 92233720368547757.99, null),
    (13, '{"amount": "99999999999999999999999999"}', null, null),
    (14, '{"amount": "12.5"}', 12.5, null),
    (15, '{"amount": true, "from_account": null}', null, null),
    (16, '{"amount": 1e-300}', 0, null),
    (17, '{"amount": "Infinity"}', null, null),
    (18, '{"amount": "NaN"}', null, null);
insert into odd select 19, jsonb_build_object('from_account', repeat('x', 1000000), 'amount', 1), 1, repeat('x', 64)
    || '…';
insert into odd select 20, (repeat('[', 50) || repeat(']', 50))::jsonb, null, null;

select lives_ok($$
    select perdure.start_workflow(workflow_type => 'TransferWorkflow', workflow_id => 'odd-' || n, task_queue => 'bank',
        input => input)
    from odd$$, 'the engine starts what it is given');
select results_eq(
    $$select o.n, t.amount::numeric, t.from_account from odd o join bank.transfers t on t.workflow_id = 'odd-' || o.n
        order by o.n$$,
    'select n, amount, from_account from odd order by n', 'what fits is read, and the rest is null');
select is((select count(*) from bank.page_transfers()), 20::bigint, 'the page has a row of each');
select is((select count(*) from bank.page_transfers() p where p.document ->> 'status' = 'RUNNING'), 20::bigint,
    'with a document');
select is((select count(*) from bank.transfers t, lateral bank.account_transfer_document(t, 'account_A') d), 20::bigint,
          'an account''s list has them');

-- A role that may read the views may execute the functions that they call.
select ok(has_function_privilege(role, function, 'execute'), format('%s reads by %s', role, function)) from (values
    ('bank_reader', 'bank.amount(jsonb)'), ('bank_reader', 'bank.cents(numeric)'),
        ('bank_reader', 'bank.short_text(jsonb, int)'),
    ('bank_api', 'bank.cents(numeric)')) r (role, function);

-- The transfers end in every way.
select lives_ok($$select perdure.terminate_workflow('odd-' || n, 'odd') from odd where n % 2 = 0$$,
    'half are terminated');
select is((select count(*) from bank.page_transfers() p where p.document ->> 'status' = 'TERMINATED'), 10::bigint,
    'and are shown');
select is((select count(*) from bank.transfers t where bank.transfer_result(t) is not null), 10::bigint,
    'with a result');
select lives_ok($$select * from bank.account_summary('account_A')$$, 'an account''s sums are made');
select is((select bank.transfer_result(row('w', gen_random_uuid(), 'COMPLETED', now(), now(), null, null, null, '{}',
               '{"from_account_starting_balance": "abc", "to_account_starting_balance": [], "error_message": {}}', null,
                   0, 1)::bank.transfers)
           ->> 'from_account_starting_balance'), null, 'a result of another shape has no balance');

-- Calls of a direct transfer
create temp table direct as select bank.start_direct_transfer('plain', 'account_A', 'account_F', 1000, 'odd') as id;
select throws_ok('select bank.record_direct_calls(id, ''{}'') from direct', 'BK002', null, 'calls are an array');
select throws_ok('select bank.record_direct_calls(id, null) from direct', 'BK002', null, 'and not nothing');
select lives_ok($$select bank.record_direct_calls(id, '[5, null, {"attempt": "x", "step": 3}, {"attempt": 1e99}]')
    from direct$$, 'of anything');
select is((select bank.direct_transfer_document(d) ->> 'status' from bank.direct_transfers d, direct
    where d.transfer_id = direct.id),
          'RUNNING', 'and it is shown');

-- Movements
select throws_ok($$select bank.deposit('account_A', 1, workflow_id => repeat('x', 1001))$$, 'BK002', null,
    'an id has a length');
update bank.accounts set balance_cents = 9223372036854775800 where account_id = 'account_A';
select throws_ok($$select bank.deposit('account_A', 100)$$, 'BK002', 'account account_A cannot hold that much',
    'an account has an end');

select * from finish();
rollback;
