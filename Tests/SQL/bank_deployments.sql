-- Deploying builds with and without a bug, and asking for a worker's crash.
begin;
select plan(18);

select results_eq('select build_id, bug from bank.current_deployment', $$values ('v1', null::text)$$,
    'the first build has no bug');
select is((select build_id from bank.deploy('workflow')), 'v2', 'a deployment is the next build');
select results_eq('select build_id, bug from bank.current_deployment', $$values ('v2', 'workflow')$$, 'with the bug');
select is((select build_id from bank.deploy('activity')), 'v3', 'another');
select is((select build_id from bank.deploy()), 'v4', 'and the fix');
select is((select bug from bank.current_deployment), null, 'has none');
select throws_ok($$select bank.deploy('database')$$, 'BK002', 'there is no bug database', 'an unknown bug is refused');
select throws_ok($$select bank.deploy('')$$, 'BK002', null, 'an empty one too');

select throws_ok($$select bank.crash_worker()$$, 'BK007', 'there is no live worker to crash', 'nothing to crash');
select lives_ok($$
    select perdure.register_worker('00000000-0000-0000-0000-000000000001', 'default', '1@here', 'v4', array['bank'],
        '10 s');
    select perdure.register_worker('00000000-0000-0000-0000-000000000002', 'default', '2@here', 'v4', array['bank'],
        '10 s')$$, 'two workers come');
select throws_ok($$select bank.crash_worker('3@here')$$, 'BK007', null, 'a worker that is not there');
select is((select crashed from bank.crash_worker('2@here')), '2@here', 'a worker by name');
select is((select crashed from bank.crash_worker()), '1@here', 'the other one by default');
select set_eq($$select bank.take_crash_requests(array['2@here', '7@here'])$$, array['2@here'],
    'a supervisor takes what is its own');
select is_empty($$select bank.take_crash_requests(array['2@here'])$$, 'and only once');


select lives_ok($$select bank.record_crash('2@here'), bank.record_crash('1@here')$$,
    'a supervisor tells of workers that somebody killed');
select is((select count(*) from bank.crash_requests where worker_identity = '2@here'), 1::bigint,
    'what it was asked for is there already');
select is((select count(*) from bank.crash_requests where worker_identity = '1@here' and killed_at is not null),
    1::bigint, 'what it was not is new');

select * from finish();
rollback;
