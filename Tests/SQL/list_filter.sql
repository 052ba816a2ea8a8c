-- The list filter: which runs it chooses, in which order, page by page, and the place at which it cannot be read.
begin;
select no_plan();
insert into perdure.settings values ('test_settings', 'true',
    'Sessions may set perdure.now, perdure.many and perdure.general');

-- Twenty runs, a second apart: three types, five terminated, one workflow id started twice.
select perdure.add_search_attribute(name, type)
from (values ('customer', 'Keyword'), ('amount', 'Int'), ('price', 'Double'), ('vip', 'Bool'), ('due', 'Datetime'),
    ('tags', 'KeywordList'),
    ('note', 'Text'), ('customer-id', 'Keyword')) a (name, type) \g /dev/null
create function pg_temp.at(p_second numeric) returns void language sql
as $$ select set_config('perdure.now', (timestamptz '2026-01-01 00:00:00Z' + p_second * interval '1 s')::text, true) $$;
do $$
begin
    for i in 1 .. 20 loop
        perform pg_temp.at(i);
        perform perdure.start_workflow('T' || i % 3, 'w-' || i, 'q' || i % 2,
            options => jsonb_build_object('searchAttributes',
            jsonb_build_object('customer', 'c-' || i % 4, 'amount', i, 'price', i * 1.5, 'vip', i % 2 = 0, 'tags',
                jsonb_build_array('a' || i % 2, 'b' || i % 5),
                'due', perdure.rfc3339(timestamptz '2026-02-01 00:00:00Z' + i * interval '1 day'), 'note',
                    'The quick fox, number ' || i)));
    end loop;
    for i in 1 .. 5 loop
        perform pg_temp.at(30 + 10 * i);
        perform perdure.terminate_workflow('w-' || i);
    end loop;
    perform pg_temp.at(100);
    perform perdure.start_workflow('Late', 'w-1', 'q1', options => '{"workflowStartDelay": "60s"}');
    perform pg_temp.at(101);
    perform perdure.start_workflow('Odd', $id$it's "odd"$id$, 'q1',
        options => '{"searchAttributes": {"customer-id": "x"}}');
end
$$;
create function pg_temp.found(p_filter text, p_size int default 100) returns text language sql
as $$ select coalesce(string_agg(workflow_id, ' '), '') from perdure.list_workflows(p_filter, page_size => p_size) $$;
create function pg_temp.first(p_first int, p_last int) returns text language sql
as $$ select string_agg('w-' || i, ' ' order by i desc) from generate_series(p_first, p_last) i $$;

-- Fields and operators
select is(pg_temp.found(filter), chosen, regexp_replace(left(filter, 100), '\s+', ' ', 'g')) from (values
    ('', $e$it's "odd" w-1 $e$ || pg_temp.first(1, 20)),
    ('   ', $e$it's "odd" w-1 $e$ || pg_temp.first(1, 20)),
    ('WorkflowId = ''w-7''', 'w-7'),
    ('WorkflowId = "w-7"', 'w-7'),
    ('`WorkflowId` = "w-7"', 'w-7'),
    ('WorkflowId="w-7"or WorkflowId="w-8"', 'w-8 w-7'),
    ('WorkflowId IN (''w-7'', "w-9", "none")', 'w-9 w-7'),
    ('WorkflowId != "w-7" and WorkflowId starts_with "w-" and StartTime <= "2026-01-01T00:00:08Z" '
        'and StartTime > "2026-01-01T00:00:06Z"', 'w-8'),
    ('WorkflowId STARTS_WITH "w-1"', 'w-1 ' || pg_temp.first(10, 19) || ' w-1'),
    ('WorkflowId NOT STARTS_WITH "w-"', $e$it's "odd"$e$),
    ('WorkflowId STARTS_WITH "w_1"', ''),
    ('WorkflowId STARTS_WITH "%"', ''),
    ($f$WorkflowId = 'it''s "odd"'$f$, $e$it's "odd"$e$),
    ($f$WorkflowId = "it's ""odd"""$f$, $e$it's "odd"$e$),
    ($f$WorkflowId = "'; drop table perdure.executions; --"$f$, ''),
    ($f$WorkflowId = "$1[1]" or WorkflowId = "%s"$f$, ''),
    ('WorkflowId > "w-5" and WorkflowId <= "w-7"', 'w-7 w-6'),
    ('WorkflowType = "T1" AND ExecutionStatus = "Running"', 'w-19 w-16 w-13 w-10 w-7'),
    ('WorkflowType = ''T1'' AND ExecutionStatus = ''running''', 'w-19 w-16 w-13 w-10 w-7'),
    ('ExecutionStatus != "Running"', pg_temp.first(1, 5)),
    ('ExecutionStatus IN ("Terminated", "Failed") and TaskQueue = "q0"', 'w-4 w-2'),
    ('ExecutionStatus NOT IN ("Terminated", "Failed") and amount < 8', 'w-7 w-6'),
    ('CloseTime IS NULL and amount between 4 and 7', 'w-7 w-6'),
    ('CloseTime IS NOT NULL', pg_temp.first(1, 5)),
    ('NOT CloseTime IS NULL', pg_temp.first(1, 5)),
    ('CloseTime between "2026-01-01T00:00:50Z" and "2026-01-01T01:01:10+01:00"', 'w-4 w-3 w-2'),
    ('StartTime = 1767225603000000000', 'w-3'),
    ('StartTime > "2026-01-01t00:00:18.5z"', $e$it's "odd" w-1 w-20 w-19$e$),
    ('ExecutionTime > "2026-01-01T00:02:00Z"', 'w-1'),
    ('ExecutionDuration >= "66s"', 'w-5 w-4'),
    ('ExecutionDuration < "1m" and ExecutionDuration > "00:00:45"', 'w-3 w-2'),
    ('ExecutionDuration = 75000000000', 'w-5'),
    ('ExecutionDuration > "1h30m10.5s250ms"', ''),
    ('HistoryLength = 1', 'w-1'),
    ('HistoryLength = 3', pg_temp.first(1, 5)),
    ('customer = "c-1"', 'w-17 w-13 w-9 w-5 w-1'),
    ('customer != "c-1" and amount <= 6', 'w-6 w-4 w-3 w-2'),
    ('customer IN ("c-1", "c-2") and amount >= 17', 'w-18 w-17'),
    ('customer STARTS_WITH "c-" and amount = 3', 'w-3'),
    ('customer IS NULL', $e$it's "odd" w-1$e$),
    ('customer != "c-1" and amount is null', $e$it's "odd" w-1$e$),
    ('not customer = "c-1" and amount is null', $e$it's "odd" w-1$e$),
    ('not amount > 3', $e$it's "odd" w-1 $e$ || pg_temp.first(1, 3)),
    ('not (amount > 3 or customer = "c-1")', $e$it's "odd" w-1 w-3 w-2$e$),
    ('not not amount > 18', 'w-20 w-19'),
    ('not (not (amount > 18))', 'w-20 w-19'),
    ('amount = 3 or price = 3', 'w-3 w-2'),
    ('price = 4.5', 'w-3'),
    ('price > -1 and price < .2e1', 'w-1'),
    ('vip = true and amount > 17', 'w-20 w-18'),
    ('vip != TRUE and amount > 17', 'w-19'),
    ('vip = false and amount > 17', 'w-19'),
    ('due < "2026-02-03T12:00:00Z"', 'w-2 w-1'),
    ('due = "2026-02-03T01:00:00+01:00"', 'w-2'),
    ('tags = "b3"', 'w-18 w-13 w-8 w-3'),
    ('tags = "b3" and tags = "a0"', 'w-18 w-8'),
    ('tags in ("b3", "b4") and tags != "a0"', 'w-19 w-13 w-9 w-3'),
    ('note = "NUMBER" and note = "7"', 'w-7'),
    ('note = "eight 8"', 'w-8'),
    ('note != "fox"', $e$it's "odd" w-1$e$),
    ('`customer-id` = "x"', $e$it's "odd"$e$),
    ('amount = 1 or amount = 2 and vip = true or amount = 3', 'w-3 w-2 w-1'),
    ('(amount = 1 or amount = 2) and (vip = true or amount = 3)', 'w-2'),
    (repeat('(', 50) || 'amount = 1' || repeat(')', 50), 'w-1'),
    (E'amount\n=\t1', 'w-1')
) f (filter, chosen);
select is(pg_temp.found(format('RunId = "%s" or RunId in ("%s")', run_id, upper(run_id::text))), 'w-7',
    'a run id in any case')
from perdure.workflows where workflow_id = 'w-7';

-- Order
select is(pg_temp.found(filter), chosen, regexp_replace(left(filter, 100), '\s+', ' ', 'g')) from (values
    ('amount <= 3 ORDER BY StartTime', 'w-1 w-2 w-3'),
    ('amount <= 3 order by StartTime asc', 'w-1 w-2 w-3'),
    ('ORDER BY amount DESC', $e$it's "odd" w-1 $e$ || pg_temp.first(1, 20)),
    ('amount < 7 ORDER BY customer DESC, amount', 'w-3 w-2 w-6 w-1 w-5 w-4'),
    ('amount > 3 and amount < 7 ORDER BY CloseTime', 'w-4 w-5 w-6'),
    ('amount > 3 and amount < 7 ORDER BY CloseTime DESC', 'w-6 w-5 w-4'),
    ('amount < 4 ORDER BY WorkflowType, `price` desc', 'w-3 w-1 w-2'),
    ('CloseTime is not null ORDER BY ExecutionDuration desc', 'w-5 w-4 w-3 w-2 w-1'),
    ('amount < 7 and amount > 4 ORDER BY HistoryLength, RunId desc', 'w-6 w-5')
) f (filter, chosen);

-- Pages: together they are the list, in whatever order
create function pg_temp.paged(p_filter text, p_size int) returns text language plpgsql
as $$
declare
    v_last jsonb;
    v_ids text := '';
    v_row perdure.workflows;
    v_rows int;
begin
    for i in 1 .. 40 loop
        v_rows := 0;
        for v_row in select * from perdure.list_workflows(p_filter, page_size => p_size, after => v_last) loop
            v_rows := v_rows + 1;
            v_last := to_jsonb(v_row);
            v_ids := concat_ws(' ', nullif(v_ids, ''), v_row.workflow_id);
        end loop;
        exit when v_rows = 0;
    end loop;
    return v_ids;
end
$$;
select is(pg_temp.paged(filter, size), pg_temp.found(filter), format('pages of %s: %s', size, filter))
from unnest(array['', 'ORDER BY StartTime', 'ORDER BY CloseTime', 'ORDER BY CloseTime DESC', 'ORDER BY amount',
    'ORDER BY amount DESC', 'ORDER BY customer, amount DESC',
    'ORDER BY customer DESC, price', 'ORDER BY WorkflowType, StartTime',
        'ORDER BY WorkflowType DESC, CloseTime, amount DESC', 'ORDER BY HistoryLength DESC',
    'ORDER BY ExecutionDuration', 'ORDER BY ExecutionDuration DESC', 'ORDER BY due', 'ORDER BY vip',
        'ORDER BY vip DESC', 'ORDER BY ExecutionStatus', 'ORDER BY RunId',
    'ORDER BY TaskQueue, RunId DESC', 'amount > 4 ORDER BY ExecutionTime DESC', 'vip = true',
        'ExecutionStatus = "Terminated" or customer = "c-1"']) filter,
    (values (1), (3), (22)) sizes (size);
select is((select string_agg(workflow_id, ' ') from perdure.list_workflows('', page_size => 2, after =>
    (select jsonb_build_object('start_time', perdure.rfc3339(start_time), 'run_id', run_id) from perdure.workflows
        where workflow_id = 'w-9'))),
    'w-8 w-7', 'start time and run id are enough for newest first');
-- All runs that one transaction starts may have the same time.
select pg_temp.at(200) \g /dev/null
do $$ begin for i in 1 .. 30 loop perform perdure.start_workflow('Same', 'same-' || i, 'q'); end loop; end $$;
select is((select count(distinct id) from string_to_table(pg_temp.paged('WorkflowType = "Same"', 7), ' ') id),
    30::bigint, 'equal start times lose no run between pages');

-- Counts
select results_eq('select * from perdure.count_workflows()', $$values ('Running', 47::bigint), ('Terminated', 5)$$,
    'counts by status');
select results_eq($$select * from perdure.count_workflows('customer = "c-1"')$$, $$values ('Running', 3::bigint),
    ('Terminated', 2)$$, 'counts what a filter chooses');
select results_eq($$select * from perdure.count_workflows('', up_to => 10)$$, $$values ('Running', 10::bigint),
    ('Terminated', 5)$$, 'no status is counted further');
select results_eq($$select * from perdure.count_workflows('amount > 1 ORDER BY amount', up_to => 2)$$,
    $$values ('Running', 2::bigint), ('Terminated', 2)$$, 'an order does not matter');
select is_empty($$select * from perdure.count_workflows('amount > 100')$$, 'what does not occur has no row');

-- A namespace sees only its own runs
select perdure.create_namespace('other') \g /dev/null
select perdure.start_workflow('T1', 'w-7', 'q', namespace => 'other') \g /dev/null
select is((select count(*) from perdure.list_workflows('WorkflowId = "w-7"', 'other')), 1::bigint,
    'a namespace lists its own');
select is((select count(*) from perdure.list_workflows('WorkflowId = "w-7"')), 1::bigint, 'and no other''s');
select throws_ok($$select perdure.list_workflows('customer = "x"', 'other')$$, 'PD003', null,
    'nor has it another''s search attributes');
select throws_ok($$select perdure.list_workflows('', 'none')$$, 'PD005', null, 'an unknown namespace');
select throws_ok($$select perdure.list_workflows('', null)$$, 'PD005', null, 'no namespace');
select throws_ok($$select perdure.count_workflows('', 'none')$$, 'PD005', null, 'nor counts it');

-- What is wrong, and where
create function pg_temp.refusal(p_filter text) returns text language plpgsql
as $$
declare
    v_detail text;
    v_hint text;
begin
    perform perdure.list_workflows(p_filter);
    return 'accepted';
exception when sqlstate 'PD003' then
    get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
    if v_hint = '' then
        return 'no hint';
    end if;
    return v_detail || ': ' || sqlerrm;
end
$$;
select is(pg_temp.refusal(filter), refusal, regexp_replace(left(filter, 100), '\s+', ' ', 'g')) from (values
    ('WorkflowType = Transfer', 'characters 16 to 23: list filter: WorkflowType takes a string, not Transfer'),
    ('workflowType = "x"', 'characters 1 to 12: list filter: there is no field or search attribute workflowType'),
    ('ExecutionStatus = "Runing"', 'characters 19 to 26: list filter: "Runing" is not a status'),
    ('ExecutionStatus = Running', 'characters 19 to 25: list filter: Running is not a status'),
    ('ExecutionStatus > "Running"', 'characters 17 to 17: list filter: ExecutionStatus cannot be compared by >'),
    ('amount > "5"', 'characters 10 to 12: list filter: amount takes a whole number, not "5"'),
    ('amount > 5.5', 'characters 10 to 12: list filter: amount takes a whole number, not 5.5'),
    ('price > NaN', 'characters 9 to 11: list filter: price takes a number, not NaN'),
    ('price > 1e9999', 'characters 9 to 14: list filter: price takes a number, not 1e9999'),
    ('price > 1.2.3', 'characters 9 to 13: list filter: price takes a number, not 1.2.3'),
    ('vip = 1', 'characters 7 to 7: list filter: vip takes true or false, not 1'),
    ('vip > true', 'characters 5 to 5: list filter: vip cannot be compared by >'),
    ('StartTime > "yesterday"', 'characters 13 to 23: list filter: StartTime takes a time, not "yesterday"'),
    ('StartTime > "2026-02-30T00:00:00Z"',
        'characters 13 to 34: list filter: StartTime takes a time, not "2026-02-30T00:00:00Z"'),
    ('StartTime > "2026-02-20T00:00:00"',
        'characters 13 to 33: list filter: StartTime takes a time, not "2026-02-20T00:00:00"'),
    ('StartTime > 99999999999999999999',
        'characters 13 to 32: list filter: StartTime takes a time, not 99999999999999999999'),
    ('ExecutionDuration > "long"', 'characters 21 to 26: list filter: ExecutionDuration takes a duration, not "long"'),
    ('ExecutionDuration > ""', 'characters 21 to 22: list filter: ExecutionDuration takes a duration, not ""'),
    ('RunId = "x"', 'characters 9 to 11: list filter: "x" is not a run id'),
    ('note STARTS_WITH "x"', 'characters 6 to 16: list filter: note cannot be compared by STARTS_WITH'),
    ('tags > "x"', 'characters 6 to 6: list filter: tags cannot be compared by >'),
    ('note = "!"', 'characters 8 to 10: list filter: "!" has no word to look for'),
    ('WorkflowId', 'characters 11 to 11: list filter: an operator is missing after WorkflowId'),
    ('WorkflowId =', 'characters 13 to 13: list filter: WorkflowId takes a string, not nothing'),
    ('WorkflowId LIKE "x%"', 'characters 12 to 15: list filter: LIKE is not an operator'),
    ('WorkflowId NOT = "x"', 'characters 16 to 16: list filter: = is not an operator'),
    ('WorkflowId = "x', 'characters 14 to 15: list filter: the quote " is not closed'),
    ('WorkflowId = ''x''''', 'characters 17 to 17: list filter: the quote '' is not closed'),
    ('customer-id = "x"', 'characters 9 to 9: list filter: - is not an operator'),
    ('WorkflowId = "x" AND', 'characters 21 to 21: list filter: a comparison is missing after AND'),
    ('AND WorkflowId = "x"', 'characters 1 to 3: list filter: a comparison was expected, not AND'),
    ('WorkflowId = "x" OR OR WorkflowId = "x"', 'characters 21 to 22: list filter: a comparison was expected, not OR'),
    ('NOT', 'characters 4 to 4: list filter: a comparison is missing at the end'),
    ('(WorkflowId = "x"', 'characters 18 to 18: list filter: a parenthesis is not closed'),
    ('(', 'characters 2 to 2: list filter: a parenthesis is not closed'),
    ('()', 'characters 2 to 2: list filter: a comparison was expected, not )'),
    ('WorkflowId = "x")', 'characters 17 to 17: list filter: AND, OR or the end was expected, not )'),
    ('WorkflowId = "x" WorkflowType = "y"',
        'characters 18 to 29: list filter: AND, OR or the end was expected, not WorkflowType'),
    ('WorkflowId = "x"; drop table x', 'characters 17 to 17: list filter: AND, OR or the end was expected, not ;'),
    ('WorkflowId IN "x"', 'characters 15 to 17: list filter: IN takes a list in parentheses'),
    ('WorkflowId IN ()', 'characters 16 to 16: list filter: WorkflowId takes a string, not )'),
    ('WorkflowId IN ("x"', 'characters 19 to 19: list filter: the list after IN is not closed'),
    ('WorkflowId IN ("x" "y")', 'characters 20 to 22: list filter: the list after IN is not closed'),
    ('amount BETWEEN 1', 'characters 17 to 17: list filter: BETWEEN takes two values with AND between them'),
    ('amount BETWEEN 1 AND', 'characters 21 to 21: list filter: amount takes a whole number, not nothing'),
    ('CloseTime IS 5', 'characters 14 to 14: list filter: IS takes NULL or NOT NULL'),
    ('"WorkflowId" = "x"', 'characters 1 to 12: list filter: a comparison was expected, not "WorkflowId"'),
    ('1 = 1', 'characters 1 to 1: list filter: a comparison was expected, not 1'),
    ('vip = true GROUP BY ExecutionStatus',
        'characters 12 to 16: list filter: AND, OR or the end was expected, not GROUP'),
    ('ORDER', 'characters 1 to 5: list filter: BY is missing after ORDER'),
    ('ORDER BY', 'characters 9 to 9: list filter: a field is missing after ORDER BY'),
    ('ORDER BY tags', 'characters 10 to 13: list filter: the order of KeywordList values means nothing'),
    ('ORDER BY nothing', 'characters 10 to 16: list filter: there is no field or search attribute nothing'),
    ('ORDER BY StartTime DOWN', 'characters 20 to 23: list filter: the end was expected, not DOWN'),
    ('ORDER BY vip, due, price, amount, customer',
        'characters 35 to 42: list filter: ORDER BY takes at most four fields'),
    ('(vip = true ORDER BY vip', 'characters 13 to 17: list filter: a parenthesis is not closed'),
    (repeat('(', 51) || 'amount = 1' || repeat(')', 51),
        'characters 51 to 51: list filter: more than 50 parentheses are open'),
    ('amount in (' || repeat('1,', 1000) || '1)', 'characters 1009 to 2013: list filter: it has more than 1,000 words'),
    (repeat('x', 10001), 'characters 10001 to 10001: list filter: it is longer than 10,000 characters'),
    ('HistoryLength > 99999999999999999999',
        'characters 17 to 36: list filter: HistoryLength takes a whole number of 64 bits, not 99999999999999999999'),
    ('vip = true AND HistoryLength IN (1, -9223372036854775809)',
        'characters 37 to 56: list filter: HistoryLength takes a whole number of 64 bits, not -9223372036854775809'),
    ('Ünïcode = "x"', 'characters 1 to 7: list filter: there is no field or search attribute Ünïcode')
) f (filter, refusal);

-- Any value is compared with any field by any operator: the filter is answered, or refused at its place.
create function pg_temp.outcome(p_filter text) returns text language plpgsql as $$
begin
    perform perdure.list_workflows(p_filter), perdure.count_workflows(p_filter, up_to => 10);
    return 'answered';
exception
    when sqlstate 'PD003' then return 'refused';
    when others then return format('%s %s: %s', sqlstate, sqlerrm, left(p_filter, 200));
end
$$;
select is_empty($$
    select o.outcome
    from perdure.list_filter_fields() f
    cross join unnest(array['=', '!=', '<', '>=', 'IN (', 'BETWEEN', 'STARTS_WITH', 'IS']) operator
    cross join unnest(array['99999999999999999999', '-99999999999999999999', '9223372036854775807', '1e400', '1e999',
        '1e1000', '.', '1.', '-',
        '+1', repeat('9', 9000), '''''', '''x''', '''infinity''', '''-infinity''', '''epoch''', '''now''', '''NaN''',
        '''9999-12-31T23:59:59.999999999Z''', '''0000-01-01T00:00:00Z''', '''2026-02-30T00:00:00Z''',
            '''2026-01-01T00:00:00+99:99''',
        '''9999-12-31T23:59:59-15:59''', '9999999999999999999', '0', '''999999h''', '''99999999m''', '''9999999999s''',
            '''999999:59:59.999999999''',
        '999999999999999999', 'NULL', 'NOT NULL', 'true', '''%''', '''\''', '''' || repeat('x', 9000) || '''',
            '''a'' AND ''b''', '"\u0000"',
        '''Running''', '''0197f7e5-0000-7000-8000-000000000000''']) value
    cross join lateral pg_temp.outcome(format('`%s` %s %s%s', f.name, operator, value, case operator when 'IN ('
        then ')' when 'BETWEEN' then ' AND ' || value end)) o (outcome)
    where o.outcome not in ('answered', 'refused')$$, 'no value raises anything else');

select throws_ok(format('select perdure.list_workflows(%L, page_size => 0)', ''), 'PD003', null, 'a page of nothing');
select throws_ok(format('select perdure.list_workflows(%L, page_size => 1001)', ''), 'PD003', null,
    'a page of too much');
select throws_ok($$select perdure.list_workflows('', after => '[]')$$, 'PD003', null, 'after is an object');
select throws_ok($$select perdure.list_workflows('', after => '"x"')$$, 'PD003', null, 'and not a text');
select throws_ok($$select perdure.list_workflows('', after => '{"run_id": "0197f7e5-0000-7000-8000-000000000000"}')$$,
    'PD003', 'after has no start_time', 'with the column of the order');
select throws_ok($$select perdure.list_workflows('', after =>
    '{"start_time": "x", "run_id": "0197f7e5-0000-7000-8000-000000000000"}')$$, 'PD003', null,
    'and a value of its type');
select throws_ok($$select perdure.list_workflows('', after =>
    '{"start_time": "2026-01-01T00:00:00Z", "run_id": null}')$$, 'PD003', 'after has no run_id', 'and a run');
select throws_ok($$select perdure.list_workflows('ORDER BY amount',
    after => '{"search_attributes": 5, "run_id": "0197f7e5-0000-7000-8000-000000000000"}')$$, 'PD003', null,
    'and attributes');
select throws_ok($$select perdure.count_workflows('', up_to => 0)$$, 'PD003', null, 'a bound of nothing');

-- The names that a filter can use
select is((select count(*) from perdure.list_filter_fields()), 29::bigint,
    'the eighteen fields, the search attributes, the versions'' and the bank''s two');
select throws_ok($$select perdure.add_search_attribute('WorkflowId', 'Keyword')$$, 'PD003', null,
    'no search attribute takes the name of a field');

select * from finish();
rollback;
