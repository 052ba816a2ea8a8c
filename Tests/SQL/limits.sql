-- Limits: each call refuses what is nested too deep, too large or too long, and then nothing has changed.
begin;
\ir support/engine.psql
select no_plan();

-- Documents: what they are, as data of a payload.
create function t.nested(p_levels int, p_kind text default 'arrays') returns jsonb language sql
as $$ select (case p_kind when 'arrays' then repeat('[', p_levels) || repeat(']', p_levels)
    else repeat('{"":', p_levels) || '1' || repeat('}', p_levels) end)::jsonb $$;
create function t.payload(p_data jsonb) returns jsonb language sql as $$ select t.data(p_data) $$;
create temp table document (name text, data jsonb, is_good boolean);
insert into document values
    ('nested 200 arrays deep', t.nested(200), true),
    ('nested 600 arrays deep', t.nested(600), false),
    ('nested 300 arrays deep', t.nested(300), false),
    ('nested 600 objects deep', t.nested(600, 'objects'), false),
    ('nested 5000 arrays deep', t.nested(5000), false),
    ('nested 600 deep behind others', jsonb_build_array(1, 'x', t.nested(600)), false),
    ('of one number of 100,001 digits', '1e100000', true),
    ('of 11,000 numbers that are 1.1 GB as text', (select jsonb_agg(1e100000) from generate_series(1, 11000)), false),
    ('of 30 such numbers', (select jsonb_agg(-1e100000) from generate_series(1, 30)), false),
    ('of 300 numbers with 16,000 zeros behind the point',
        (select jsonb_agg(('0.' || repeat('0', 16000))::numeric) from generate_series(1, 300)), false),
    ('of such numbers as members', (select jsonb_object_agg(n::text, 1e130000) from generate_series(1, 20) n), false),
    ('of 20,000 usual numbers', (select jsonb_agg(n * 1.25) from generate_series(1, 20000) n), true),
    ('of control characters', to_jsonb(repeat(chr(1), 400000)), false),
    ('just below 2 MiB', to_jsonb(repeat('x', 2097100)), true),
    ('of 2 MiB', to_jsonb(repeat('x', 2097152)), false),
    ('of many small texts', (select jsonb_agg(''::text) from generate_series(1, 100000)), true);

-- The size of a document is that of its text, which is sent: the function agrees with the text wherever a text can be
-- made.
select is(perdure.document_problem(data, 2097100) is null, is_good, 'a document ' || name) from document
where name not in ('just below 2 MiB', 'of 2 MiB');
select is(perdure.text_bytes(data, 2000000000), octet_length(data::text)::bigint, 'the size of a document ' || name)
    from document
where name not like 'of 11,000%';
select is(perdure.text_bytes(data, 2000000000), octet_length(data::text)::bigint, 'the size of another') from (
    select jsonb_build_object('a', '[]'::jsonb, 'b"', '{}'::jsonb, 'c',
        jsonb_build_array(1.50, null, repeat('x"', 3000), jsonb_build_object('', repeat('y', 3000)))) as data
    union all select jsonb_build_array(t.nested(200, 'objects'), repeat('z', 9000),
        (select jsonb_object_agg('k' || n, n) from generate_series(1, 1000) n))
    union all select to_jsonb(repeat('x', 9000)) union all select '{}') x;
-- Values from a table are compressed.
create table t.stored as select * from document;
select is(perdure.document_problem(data, 2097152) is null, is_good, 'a stored document ' || name) from t.stored
    where name <> 'of 2 MiB';
select ok(not perdure.is_usual_payloads(jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', data))),
    'none of the usual ones is ' || name)
from document where not is_good;

-- Runs of every state, to which the documents are sent
select t.start(id) from (values ('open'), ('fails'), ('busy')) r (id) \g /dev/null
select t.claim() \g /dev/null
select t.complete('open', jsonb_build_array(t.activity('a'), t.activity('b'), t.activity('c'), t.timer('x', '1000s'))),
    t.claim_activities() \g /dev/null
select perdure.start_query(0::smallint, 'default', 'open', null, 'q') as query \gset
select perdure.claim_queries(0::smallint, t.worker(1), 'q', 1) \g /dev/null

-- Every call that takes payloads, as an expression of them, and every call that takes other documents
create temp table way (name text, statement text, takes text);
insert into way values
    ('start', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', $1)', 'payloads'),
    ('start by name', 'perdure.start_workflow(workflow_type => ''T'', workflow_id => ''new'', task_queue => ''q'', '
        'input => $1)', 'data'),
    ('memo', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''memo'', jsonb_build_object(''m'', $1 -> 0)))', 'payloads'),
    ('signal', 'perdure.signal_workflow(0::smallint, ''default'', ''open'', null, ''s'', $1)', 'payloads'),
    ('signal to a run that is busy', 'perdure.signal_workflow(0::smallint, ''default'', ''busy'', null, ''s'', $1)',
        'payloads'),
    ('signal with start, signal',
        'perdure.signal_with_start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', ''s'', $1)',
        'payloads'),
    ('signal with start, input',
        'perdure.signal_with_start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', $1, ''s'', ''[]'')',
        'payloads'),
    ('query', 'perdure.start_query(0::smallint, ''default'', ''open'', null, ''q'', $1)', 'payloads'),
    ('terminate', 'perdure.terminate_workflow(0::smallint, ''default'', ''open'', null, ''r'', $1)', 'payloads'),
    ('worker details', 'perdure.register_worker(t.worker(7), ''default'', ''w'', ''b'', array[''q''], ''10 s'', '
        'jsonb_build_object(''x'', $1))', 'small'),
    ('worker report', 'perdure.renew_lease(t.worker(1), false, jsonb_build_object(''x'', $1))', 'small'),
    ('sources', 'perdure.register_sources(t.worker(1), jsonb_build_array(jsonb_build_object(''kind'', ''workflow'', '
        '''type'', ''T'', ''file'', ''A/B.swift'', '
        '''firstLine'', 1, ''line'', 1, ''text'', ''x'', ''more'', $1)))', 'deep'),
    ('start options', 'perdure.start_workflow(0::smallint, ''default'', ''new'', ''T'', ''q'', ''[]'', '
        'jsonb_build_object(''retryPolicy'', jsonb_build_object(''x'', $1)))', 'small');
create function t.refusal_of(p_statement text, p_value jsonb) returns text language plpgsql as $$
declare
    v_hint text;
begin
    execute 'select ' || p_statement using p_value;
    raise exception 'accepted' using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return 'accepted';
    when others then
        get stacked diagnostics v_hint = pg_exception_hint;
        return sqlstate || case when v_hint = '' then ' without a hint: ' || sqlerrm else '' end;
end
$$;
select is(t.refusal_of(w.statement, case when w.takes = 'payloads' then t.payload(d.data) else d.data end),
    case when d.is_good and not (w.takes = 'small' and octet_length(d.data::text) > 1000000) then 'accepted'
        else 'PD004' end, w.name || ': ' || d.name)
from way w cross join document d
where case w.takes when 'small' then d.name like 'nested%' or d.name like 'of 11,000%' or d.name = 'of 2 MiB'
    when 'deep' then d.name like 'nested%' else true end
  and not (w.takes = 'small' and d.is_good and w.name = 'start options' and octet_length(d.data::text) > 60000);

-- Several payloads count together.
select is(t.refusal_of('perdure.signal_workflow(0::smallint, ''default'', ''open'', null, ''s'', $1)',
    (select jsonb_agg(jsonb_build_object('encoding', 'json/plain', 'data', repeat('x', 300000)))
        from generate_series(1, 10))), 'PD004', 'ten payloads of 300 kB');

-- Reports of a worker: a bad member fails by itself.
create temp table told (name text, data jsonb, problem text);
insert into told select d.name, d.data, case when d.name like 'nested%' then 'nested deeper than 256 levels'
    else 'larger than 2 MiB' end
from document d where not d.is_good and d.name in ('nested 600 arrays deep', 'nested 600 objects deep',
    'of 11,000 numbers that are 1.1 GB as text', 'of 2 MiB');

create function t.outcome(p_commands jsonb, p_id text default 'fails') returns text language plpgsql as $$
declare
    v_outcome text;
begin
    v_outcome := t.complete(p_id, p_commands);
    raise exception '%', v_outcome using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
end
$$;
select is(t.outcome(jsonb_build_array(t.activity('z', jsonb_build_object('input', t.payload(data))))),
    'failed the activity input is ' || problem, 'an activity: ' || name) from told;
select is(t.outcome(jsonb_build_array(t.activity('y'), t.activity('z', jsonb_build_object('input', t.payload(data))))),
    'failed the activity input is ' || problem,
    'one of two activities: ' || name) from told;
select is(t.outcome(jsonb_build_array(t.command('CompleteWorkflowExecution',
    jsonb_build_object('result', t.payload(data))))), 'failed the result is ' || problem,
    'a result: ' || name) from told;
select is(t.outcome(jsonb_build_array(t.command('CancelWorkflowExecution',
    jsonb_build_object('details', t.payload(data))))), 'failed the details is ' || problem,
    'details: ' || name) from told;
select is(t.outcome(jsonb_build_array(t.command('ModifyWorkflowProperties',
    jsonb_build_object('upsertedMemo', jsonb_build_object('m', t.payload(data) -> 0))))),
    'failed the upsertedMemo is ' || problem, 'a memo: ' || name) from told;
select is(t.outcome(jsonb_build_array(t.command('RecordMarker',
    jsonb_build_object('markerName', 'm', 'details', jsonb_build_object('d', t.payload(data)))))),
    'failed the details of the marker is ' || problem, 'a marker: ' || name) from told;
select matches(t.outcome(jsonb_build_array(t.activity('z',
    jsonb_build_object('priority', jsonb_build_object('x', data))))), '^failed', 'a priority: ' || name) from told;
select matches(t.outcome(jsonb_build_array(t.activity('z',
    jsonb_build_object('activityType', jsonb_build_object('name', 'A', 'x', data))))),
    case when problem like 'nested%' then '^failed.*nested deeper' else '^completed|^failed.*larger than' end,
        'an activity type: ' || name) from told;
select matches(t.outcome(jsonb_build_array(t.activity('z',
    jsonb_build_object('retryPolicy', jsonb_build_object('x', data))))), '^failed the retry policy',
    'a retry policy: ' || name) from told;
select is(t.outcome((select jsonb_agg(t.activity('z' || n,
    jsonb_build_object('input', t.payload(to_jsonb(repeat('x', 1000000)))))) from generate_series(1, 5) n)),
    'failed what the workflow task decided is larger than 4 MiB', 'five activities of 1 MB');
select is(t.outcome((select jsonb_agg(t.activity('z' || n,
    jsonb_build_object('input', t.payload(to_jsonb(repeat('x', 1000000)))))) from generate_series(1, 3) n)),
    'completed', 'three activities of 1 MB');

create function t.rolled_back(p_statement text) returns text language plpgsql as $$
declare
    v_result text;
begin
    execute p_statement into v_result;
    raise exception '%', v_result using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
end
$$;
create function t.finished(p_result jsonb) returns text language plpgsql as $$
declare
    v_failure text;
begin
    v_failure := t.finish('open', 'a', 'completed', jsonb_build_object('result', p_result));
    select v_failure || ' ' || h.failure into v_failure from perdure.history_events h where h.run_id = t.run('open')
        order by h.event_id desc limit 1 offset 1;
    raise exception '%', v_failure using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
end
$$;
select is(t.finished(t.payload(data)), 'failed the result of activity a is ' || problem, 'an activity''s result: '
    || name) from told;
select t.finish('open', 'b', 'canceled', jsonb_build_object('details', t.payload(data))) from told
    where name = 'nested 600 arrays deep' \g /dev/null
select is((select max(length(h.attributes::text)) < 10000 from perdure.history_events h where h.run_id = t.run('open')),
    true, 'details that are nested too deep are not kept');
create function t.answered(p_query uuid, p_result jsonb) returns text language plpgsql as $$
declare
    v_answer text;
begin
    perform perdure.answer_queries(0::smallint, t.worker(1),
        jsonb_build_array(jsonb_build_object('queryId', p_query, 'result', p_result)));
    select a.state || ' ' || (a.failure ->> 'message') into v_answer from perdure.query_answer(0::smallint, p_query) a;
    raise exception '%', v_answer using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
end
$$;
select is(t.answered(:'query', t.payload(data)), 'failed the answer is ' || problem, 'an answer: ' || name) from told;

-- Names, ids and reasons
create temp table text_way (name text, statement text, empty text);
insert into text_way values
    ('workflow id', 'perdure.start_workflow(''T'', $1, ''q'')', 'PD003'),
    ('workflow type', 'perdure.start_workflow($1, ''new'', ''q'')', 'PD003'),
    ('task queue', 'perdure.start_workflow(''T'', ''new'', $1)', 'PD003'),
    ('request id', 'perdure.start_workflow(''T'', ''new'', ''q'', options => jsonb_build_object(''requestId'', $1))',
        'accepted'),
    ('identity', 'perdure.start_workflow(''T'', ''new'', ''q'', options => jsonb_build_object(''identity'', $1))',
        'accepted'),
    ('memo key', 'perdure.start_workflow(''T'', ''new'', ''q'', options => jsonb_build_object(''memo'', '
        'jsonb_build_object($1, ''{"encoding": "binary/null"}''::jsonb)))', 'PD003'),
    ('signal name', 'perdure.signal_workflow(''open'', $1)', 'PD003'),
    ('signal identity', 'perdure.signal_workflow(0::smallint, ''default'', ''open'', null, ''s'', ''[]'', $1)',
        'accepted'),
    ('signal request id', 'perdure.signal_workflow(0::smallint, ''default'', ''open'', null, ''s'', ''[]'', null, $1)',
        'accepted'),
    ('query type', 'perdure.start_query(0::smallint, ''default'', ''open'', null, $1)', 'PD003'),
    ('cancel reason', 'perdure.request_cancel_workflow(0::smallint, ''default'', ''open'', null, $1)', 'accepted'),
    ('cancel identity', 'perdure.request_cancel_workflow(0::smallint, ''default'', ''open'', null, null, $1)',
        'accepted'),
    ('cancel request id', 'perdure.request_cancel_workflow(0::smallint, ''default'', ''open'', null, null, null, $1)',
        'accepted'),
    ('terminate reason', 'perdure.terminate_workflow(''open'', $1)', 'accepted'),
    ('terminate identity', 'perdure.terminate_workflow(0::smallint, ''default'', ''open'', null, null, null, $1)',
        'accepted'),
    ('worker identity', 'perdure.register_worker(t.worker(7), ''default'', $1, '''', array[''q''], ''10 s'')',
        'accepted'),
    ('worker queue', 'perdure.register_worker(t.worker(7), ''default'', ''w'', '''', array[$1], ''10 s'')', 'PD003'),
    ('search attribute', 'perdure.add_search_attribute($1, ''Keyword'')', 'PD003'),
    ('build id', 'perdure.register_worker(t.worker(7), ''default'', ''w'', left($1, 300), array[''q''], ''10 s'')',
        'accepted'),
    ('namespace', 'perdure.create_namespace(left($1, 300))', 'PD003'),
    ('description', 'perdure.create_namespace(''n'', description => repeat($1, 20))', 'accepted');
create function t.refusal_of_text(p_statement text, p_value text) returns text language plpgsql as $$
begin
    return t.refusal_of(replace(p_statement, '$1', quote_nullable(p_value)), null);
end
$$;
select is(t.refusal_of_text(statement, repeat('ä', 501)), 'PD003', name || ' of 1,002 bytes') from text_way;
select is(t.refusal_of_text(statement, repeat('x', 100)), 'accepted', name || ' of 100 bytes') from text_way;
select is(t.refusal_of_text(statement, repeat('x', 1000)), 'accepted', name || ' of 1,000 bytes') from text_way
    where name not in ('build id', 'namespace', 'description');
select is(t.refusal_of_text(statement, ''), empty, name || ' that is empty') from text_way;
select matches(t.outcome(jsonb_build_array(c.command)), '^failed the ' || c.name || ' must have 1 to 1000 bytes',
    'a command: ' || c.name || ' of 1,001 bytes')
from (values ('activity id', t.activity(repeat('x', 1001))),
    ('activity type', t.activity('z', jsonb_build_object('activityType',
    jsonb_build_object('name', repeat('x', 1001))))),
    ('task queue', t.activity('z', jsonb_build_object('taskQueue', jsonb_build_object('name', repeat('x', 1001))))),
    ('timer id', t.timer(repeat('x', 1001), '1s')), ('marker name',
        t.command('RecordMarker', jsonb_build_object('markerName', repeat('x', 1001))))) c (name, command);

-- The names of queues that Temporal keeps for their partitions
select is(t.refusal_of_text('perdure.start_workflow(''T'', ''reserved'', $1)', queue), code,
    'a run on the queue ' || queue)
from (values ('/_sys/q', 'PD003'), ('/_sys/q/1', 'PD003'), ('/_sys', 'accepted'),
    ('/_sysq', 'accepted')) q (queue, code);
select matches(t.outcome(jsonb_build_array(t.activity('z', '{"taskQueue": {"name": "/_sys/q"}}'))),
    '^failed task queue name cannot start with reserved prefix /_sys/', 'a command: an activity on such a queue');
select is(t.refusal_of_text($$perdure.register_worker(gen_random_uuid(), 'default', 'w', '', array[$1], '1 hour')$$,
    '/_sys/q'), 'PD003', 'a worker of such a queue');

-- Search attributes
select perdure.add_search_attribute('k' || n, 'Keyword') from generate_series(1, 101) n \g /dev/null
select perdure.add_search_attribute('list', 'KeywordList'), perdure.add_search_attribute('number', 'Double')
    \g /dev/null
create temp table attributes (name text, value jsonb, outcome text);
insert into attributes values
    ('a value of 2,000 bytes', jsonb_build_object('k1', repeat('x', 2000)), 'accepted'),
    ('a value of 2,100 bytes', jsonb_build_object('k1', repeat('x', 2100)), 'PD004'),
    ('a list of 2,100 bytes', jsonb_build_object('list', jsonb_build_array(repeat('x', 1050), repeat('x', 1050))),
        'PD004'),
    ('a number of 3,000 digits', '{"number": 1e3000}', 'PD004'),
    ('100 of them', (select jsonb_object_agg('k' || n, 'x') from generate_series(1, 100) n), 'accepted'),
    ('101 of them', (select jsonb_object_agg('k' || n, 'x') from generate_series(1, 101) n), 'PD004'),
    ('45 kB in all', (select jsonb_object_agg('k' || n, repeat('x', 1500)) from generate_series(1, 30) n), 'PD004'),
    ('nested ones', jsonb_build_object('k1', t.nested(600)), 'PD004');
select is(t.refusal_of('perdure.start_workflow(''T'', ''new'', ''q'', '
    'options => jsonb_build_object(''searchAttributes'', $1))', value), outcome, 'search attributes: ' || name)
from attributes;
select is(left(t.outcome(jsonb_build_array(t.command('UpsertWorkflowSearchAttributes',
    jsonb_build_object('searchAttributes', value)))), 6),
    case outcome when 'accepted' then 'comple' else 'failed' end, 'search attributes that code changes: ' || name)
        from attributes;
select matches(t.outcome((select jsonb_agg(t.command('UpsertWorkflowSearchAttributes',
    jsonb_build_object('searchAttributes', jsonb_build_object('k' || n, repeat('x', 1900)))))
    from generate_series(1, 30) n)), '^failed the search attributes is larger than 40 KiB',
        'changes count together with what there is');
select matches(t.outcome((select jsonb_agg(t.command('ModifyWorkflowProperties', jsonb_build_object('upsertedMemo',
    jsonb_build_object('k' || n, t.payload(to_jsonb(repeat('x', 900000))) -> 0)))) from generate_series(1, 3) n)),
        '^failed the memo is larger than 2 MiB', 'so do those of the memo');

-- Failures are cut, and keep what is needed all the same.
create function t.causes(p_depth int, p_message text) returns jsonb language sql as $$
    select (repeat(format('{"message": %s, "stackTrace": "s", "applicationFailureInfo": {"type": "E", '
        '"nonRetryable": false}, "cause": ', to_jsonb(p_message)), p_depth)
        || '{"message": "the root"}' || repeat('}', p_depth))::jsonb $$;
create temp table failure (name text, failure jsonb);
insert into failure values
    ('of 5 MB', jsonb_build_object('message', repeat('ä', 2500000), 'stackTrace', 's', 'applicationFailureInfo',
        '{"type": "E", "nonRetryable": true, "details": [{"encoding": "binary/null"}]}'::jsonb)),
    ('with a stack trace of 5 MB', jsonb_build_object('message', 'm', 'stackTrace', repeat('x', 5000000),
        'applicationFailureInfo', '{"type": "E", "nonRetryable": true}'::jsonb)),
    ('with details of 5 MB', jsonb_build_object('message', 'm', 'applicationFailureInfo',
        jsonb_build_object('type', 'E', 'nonRetryable', true, 'details', t.payload(to_jsonb(repeat('x', 5000000)))))),
    ('with details nested 600 deep', jsonb_build_object('message', 'm', 'applicationFailureInfo',
        jsonb_build_object('type', 'E', 'nonRetryable', true, 'details', t.payload(t.nested(600))))),
    ('with 400 causes', t.causes(400, 'm') || '{"applicationFailureInfo": {"type": "E", "nonRetryable": true}}'),
    ('with 50 causes of 100 kB', t.causes(50, repeat('x', 100000))
        || '{"applicationFailureInfo": {"type": "E", "nonRetryable": true}}'),
    ('with a type of 5 MB', jsonb_build_object('message', 'm', 'applicationFailureInfo',
        jsonb_build_object('type', repeat('E', 5000000), 'nonRetryable', true))),
    ('that is a text', '"oops"'),
    ('that is an array', t.nested(600));
select ok(octet_length(perdure.fit_failure(failure)::text) <= 600000
    and perdure.document_problem(perdure.fit_failure(failure), 2097152) is null
        and jsonb_typeof(perdure.fit_failure(failure)) = 'object' and perdure.fit_failure(failure) ->> 'message' <> '',
            'a failure ' || name || ' is cut') from failure;
select is(perdure.fit_failure(failure) #>> '{applicationFailureInfo,nonRetryable}', 'true', 'a failure ' || name
    || ' says whether it may be tried again')
from failure where jsonb_typeof(failure) = 'object';
select ok(octet_length(perdure.cut_failure(failure, 4096, 4096)::text) <= 30000,
    'and once more when it is kept for the next attempt: ' || name) from failure;
select is(perdure.fit_failure(f), f, 'others stay as they are')
    from (values (t.causes(20, 'm')), (jsonb_build_object('message', repeat('x', 1000000), 'more', '[1]'::jsonb)),
    (null::jsonb)) x (f);
select is(perdure.cut_text('aäb', 2), 'a', 'no character is cut in two');
select is(perdure.cut_text('aäb', 3), 'aä', 'nor left out');

create function t.kept(p_statement text, p_of text) returns bigint language plpgsql as $$
declare
    v_kept bigint;
begin
    execute p_statement;
    execute p_of into v_kept;
    raise exception '%', v_kept using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then return sqlerrm;
end
$$;
create temp table large_failure as select jsonb_build_object('message', repeat('x', 8000000)) as failure;
select is((select t.kept('select t.finish(''open'', ''c'', ''failed'', jsonb_build_object(''failure'', failure)) '
    'from large_failure',
    'select max(octet_length(a.last_failure::text)) + max(octet_length(t.failure::text)) from perdure.activity_tasks a '
        'join perdure.activity_attempts t using (run_id, scheduled_event_id)'))
    between 4096 and 20000, true, 'an attempt that is tried again keeps 4 kB of its failure');
select is((select t.kept('select t.finish(''open'', ''c'', ''failed'', jsonb_build_object(''failure'', '
    'failure || ''{"applicationFailureInfo": {"nonRetryable": true}}'')) from large_failure',
    'select max(octet_length(h.attributes::text)) from perdure.history_events h where h.workflow_id = ''open'''))
        between 524288 and 540000, true,
    'an activity that fails keeps 512 kB of it');
select is((select t.kept('select t.complete(''fails'', jsonb_build_array(t.command(''FailWorkflowExecution'', '
    'jsonb_build_object(''failure'', failure)))) from large_failure',
    'select max(octet_length(h.attributes::text)) from perdure.history_events h where h.workflow_id = ''fails'''))
        between 524288 and 540000, true, 'so does a run that fails');
select is((select t.kept('select perdure.fail_workflow_tasks(0::smallint, t.worker(1), '
    'jsonb_build_array(jsonb_build_object(''runId'', w.run_id, '
        '''scheduledEventId'', w.scheduled_event_id, ''attempt'', 1, ''cause'', repeat(''c'', 5000), ''failure'', '
            'f.failure))) from large_failure f, t.workflow_task w where w.workflow_id = ''fails''',
    'select octet_length(r.workflow_task_failure::text) + octet_length((select max(h.attributes::text) '
        'from perdure.history_events h where h.run_id = r.run_id and h.event_type = ''WorkflowTaskFailed'')) '
    'from perdure.run_states r where r.workflow_id = ''fails''')) between 500000 and 560000, true,
        'and a workflow task that fails');

-- None of these calls has changed anything.
select is(t.history('fails'), '1 WorkflowExecutionStarted 2 WorkflowTaskScheduled 3 WorkflowTaskStarted',
    'a run that was refused everything has the history that it had');
select is((select count(*) from perdure.executions e where e.workflow_id = 'new'), 0::bigint, 'and none was started');

-- Durations
select is(perdure.duration(to_jsonb(d.text), 'd'), d.is, d.text)
    from (values ('10s', interval '10 s'), ('3153600000s', interval '876000 hours'),
    ('3153600001s', interval '876000 hours'), ('99999999999s', interval '876000 hours'),
        ('999999999999999999.999999999s', interval '876000 hours')) d (text, "is");
select is(t.refusal_of('perdure.start_workflow(''T'', ''new'', ''q'', options => $1)', jsonb_build_object(name, value)),
    'accepted', name || ' of ' || value)
from unnest(array['workflowExecutionTimeout', 'workflowRunTimeout', 'workflowTaskTimeout', 'workflowStartDelay']) name,
    unnest(array['100000000s', '9999999999s', '999999999999999s']) value;
select is(t.refusal_of('perdure.start_workflow(''T'', ''new'', ''q'', options => $1)',
    jsonb_build_object('workflowRunTimeout', value)), 'PD003', 'a duration ' || value::text)
from jsonb_array_elements('["10", 10, "-1s", "1e9s", "NaNs", {}, "9999999999999999999s"]') value;
create temp table policy (name text, policy jsonb, is_good boolean);
insert into policy values
    ('initial interval of 100,000,000 s', '{"initialInterval": "100000000s"}', true),
        ('initial interval of 317 years', '{"initialInterval": "9999999999s"}', true),
    ('initial interval of ages', '{"initialInterval": "999999999999999999s"}', true),
        ('maximum interval of ages', '{"initialInterval": "1s", "maximumInterval": "999999999999999999s"}', true),
    ('coefficient of a million', '{"initialInterval": "99999999s", "backoffCoefficient": 1000000}', true),
        ('coefficient above', '{"backoffCoefficient": 1e7}', false),
    ('coefficient of 1e100000', '{"backoffCoefficient": 1e100000}', false),
        ('coefficient below', '{"backoffCoefficient": 0.5}', false),
    ('coefficient that is a text', '{"backoffCoefficient": "NaN"}', false),
        ('attempts', '{"maximumAttempts": 2147483647}', true), ('attempts above', '{"maximumAttempts": 1e30}', false),
    ('attempts below', '{"maximumAttempts": -1}', false), ('half an attempt', '{"maximumAttempts": 1.5}', false),
        ('types', '{"nonRetryableErrorTypes": ["a"]}', true),
    ('types that are numbers', '{"nonRetryableErrorTypes": [1]}', false),
        ('types that are none', '{"nonRetryableErrorTypes": "a"}', false), ('a text', '"x"', false),
        ('null', 'null', true);
select matches(t.refusal_of('perdure.start_workflow(''T'', ''new'', ''q'', options => $1)',
    jsonb_build_object('retryPolicy', policy)),
    case when is_good then '^accepted$' else '^PD00[34]$' end, 'start: retry policy: ' || name) from policy;
select matches(t.outcome(jsonb_build_array(t.activity('z', jsonb_build_object('retryPolicy', policy)))),
    case when is_good then '^completed$' else '^failed the (retry policy|nonRetryable)' end, 'activity: retry policy: '
        || name) from policy;

-- An activity with any of them fails and is tried again, and upkeep goes on.
create function t.retried(p_policy jsonb) returns text language plpgsql as $$
declare
    v_result text;
begin
    perform t.complete('busy', jsonb_build_array(t.activity('z', jsonb_build_object('retryPolicy', p_policy)),
        t.timer('y', '1s')));
    perform t.claim_activities();
    v_result := t.finish('busy', 'z', 'failed', t.failure('no'));
    perform t.at(5);
    v_result := concat_ws(' ', v_result, t.upkeep());
    perform t.at(4000000000);
    perform t.upkeep();
    raise exception '%', v_result using errcode = 'ZZ000';
exception
    when sqlstate 'ZZ000' then perform t.at(0); return sqlerrm;
end
$$;
select matches(t.retried(policy), '^retrying timers 1', 'a retry with ' || name) from policy where is_good;
select is(perdure.retry_policy('{"initialInterval": "100000000s"}') ->> 'maximumInterval', '3153600000s',
    'the longest wait is 100 years');
-- Rows that an older version wrote
select t.complete('busy', jsonb_build_array(t.activity('z'), t.timer('y', '1s'))), t.claim_activities() \g /dev/null
update perdure.activity_tasks
    set retry_policy = '{"initialInterval": "100000000s", "backoffCoefficient": 2, "maximumInterval": "10000000000s"}'
    where workflow_id = 'busy';
select is(t.finish('busy', 'z', 'failed', t.failure('no')), 'retrying', 'a policy that is stored already');

select perdure.create_namespace('long', '10000 years'), perdure.create_namespace('longest', '178000000 years')
    \g /dev/null
select is(retention, interval '876000 hours', 'a retention is at most 100 years') from perdure.namespaces
    where namespace like 'long%';
select throws_ok($$update perdure.namespaces set retention = '10000 years'$$, '23514', null,
    'for whoever writes the table, too');
select t.at(5) \g /dev/null
select matches(t.upkeep(), 'timers 1', 'upkeep goes on');
select lives_ok($$select perdure.register_worker(t.worker(9), 'default', 'w', 'b', array['q'], '178000000 years')$$,
    'a lease of ages');
select lives_ok($$select perdure.stop_worker(t.worker(9))$$, 'ends');

select finish();
rollback;
