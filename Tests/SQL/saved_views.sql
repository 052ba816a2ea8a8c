-- Lists of runs that a namespace shares under a name.
begin;
\ir support/engine.psql
select no_plan();
select perdure.save_view('default', 'Refunds <b>', 'query=Refund', 'ada') \g /dev/null
select t.at(5), perdure.save_view('default', 'Refunds <b>', 'query=Refund&status=Failed', 'bob'),
    perdure.save_view('default', 'All', '', null) \g /dev/null
select results_eq($$select name collate "default", address, saved_by collate "default", saved_time
    from perdure.list_views order by name
    $$, $$values ('All', '', session_user::text collate "default", timestamptz '2026-01-01 00:00:05Z'),
        ('Refunds <b>', 'query=Refund&status=Failed', 'bob', '2026-01-01 00:00:05Z')$$, 'kept, and kept anew');
select is(perdure.delete_view('default', 'All'), true, 'one is forgotten');
select is(perdure.delete_view('default', 'All'), false, 'once');
select is(t.refusal(sql), code, sql) from (values
    ('select perdure.save_view(''default'', '' '', '''', null)', 'PD003'),
    ('select perdure.save_view(''default'', null, '''', null)', 'PD003'),
    ('select perdure.save_view(''default'', repeat(''x'', 61), '''', null)', 'PD003'),
    ('select perdure.save_view(''default'', ''x'', repeat(''x'', 20001), null)', 'PD003'),
    ('select perdure.save_view(''none'', ''x'', '''', null)', 'PD005')) r (sql, code);
select perdure.save_view('default', 'v' || n, '', null) from generate_series(1, 99) n \g /dev/null
select is(t.refusal('select perdure.save_view(''default'', ''one more'', '''', null)'), 'PD004', 'a hundred');
select is(t.refusal('select perdure.save_view(''default'', ''v1'', ''x'', null)'),
    'accepted', 'may be kept anew');
select * from finish();
rollback;
