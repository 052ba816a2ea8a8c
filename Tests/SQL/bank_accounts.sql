-- Accounts open and close; Real World Mode is a row; only the functions write the books.
begin;
select plan(23);

select lives_ok($$select bank.open_account('account_K', 12345)$$, 'an account opens');
select is(bank.balance('account_K'), 12345::bigint, 'with its money');
select throws_ok($$select bank.open_account('account_K')$$, 'BK005', null, 'once');
select throws_ok($$select bank.open_account('no/such id')$$, 'BK002', null, 'under a name that fits');
select throws_ok($$select bank.open_account('account_L', -1)$$, 'BK002', null, 'and not in debt');
select throws_ok($$select bank.close_account('account_K')$$, 'BK006', null, 'an account with money does not close');
select is((select outcome from bank.withdraw('account_K', 12345, 'empty it')), 'posted', 'it is emptied');
select lives_ok($$select bank.close_account('account_K')$$, 'and closed');
select lives_ok($$select bank.close_account('account_K')$$, 'a second time changes nothing');
select throws_ok($$select bank.deposit('account_K', 1)$$, 'BK004', 'account account_K is closed', 'it takes no money');
select throws_ok($$select bank.balance('account_K')$$, 'BK004', null, 'and has no balance to ask for');
select is((select repeated from bank.withdraw('account_K', 12345, 'empty it')), true,
    'but a repeat still gets its first answer');

select results_eq('select real_world_mode, hang_rate, error_rate, hang_seconds from bank.settings',
                  'values (false, 0.1::float8, 0.4::float8, 30::float8)', 'the real world is off, with its rates set');
select is((select real_world_mode from bank.set_real_world_mode(true)), true, 'it turns on');
select is((select error_rate from bank.set_real_world_mode(null, error_rate => 0.5)), 0.5::float8,
    'a rate changes alone');
select is((select real_world_mode from bank.settings), true, 'and leaves the switch');
select throws_ok($$select bank.set_real_world_mode(true, hang_rate => 0.6, error_rate => 0.6)$$, 'BK002', null,
    'rates above one');
select throws_ok($$select bank.set_real_world_mode(true, hang_rate => 'NaN')$$, 'BK002', null,
    'a rate that is no number');
select throws_ok($$select bank.set_real_world_mode(true, hang_seconds => -1)$$, 'BK002', null,
    'a hang of less than nothing');

select is(has_function_privilege('bank_api', 'bank.withdraw(text, bigint, text, text, text, text, text, text)',
    'execute'), true,
          'bank_api moves money');
select is(has_table_privilege('bank_api', 'bank.postings', 'insert'), false, 'but only through the functions');
select is((select count(*) from pg_proc p cross join lateral aclexplode(coalesce(p.proacl,
    acldefault('f', p.proowner))) a
           where p.pronamespace = 'bank'::regnamespace and a.grantee = 0), 0::bigint, 'the public may call nothing');
select is((select count(*)
           from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           where c.relnamespace = 'bank'::regnamespace and c.relkind in ('r', 'v')
             and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)), 0::bigint,
          'every table, view and column is commented');

select * from finish();
rollback;
