-- The code that workers run, and how much they finish.
begin;
\ir support/engine.psql
select no_plan();

create function t.source(p_kind text, p_type text, p_text text, p_line int default 12) returns jsonb language sql
as $$ select jsonb_build_object('kind', p_kind, 'type', p_type, 'file', 'Shop/Order.swift', 'firstLine', 10, 'line',
    p_line, 'text', p_text) $$;
create function t.texts() returns bigint language sql as $$ select count(*) from perdure.source_texts $$;

-- Registration
select t.at(0), t.register(2), t.register(3) \g /dev/null
select perdure.register_sources(t.worker(2), jsonb_build_array(t.source('workflow', 'Order', 'one'),
    t.source('activity', 'Pay', 'container'), t.source('activity', 'Ship', 'container', 20))) \g /dev/null
select results_eq($$select build_id collate "default", kind collate "default", type_name collate "default", file,
    first_line, line, content from perdure.source_code order by kind, type_name$$,
    $$values ('build-2', 'activity', 'Pay', 'Shop/Order.swift', 10, 12, 'container'),
        ('build-2', 'activity', 'Ship', 'Shop/Order.swift', 10, 20, 'container'),
        ('build-2', 'workflow', 'Order', 'Shop/Order.swift', 10, 12, 'one')$$, 'a worker''s code is kept by its build');
select is(t.texts(), 2::bigint, 'the same text once');
select is((select content_hash from perdure.source_code where kind = 'workflow'), encode(sha256('one'), 'hex'),
    'under its hash');
select t.at(5) \g /dev/null
select perdure.register_sources(t.worker(3), jsonb_build_array(t.source('workflow', 'Order', 'two'),
    t.source('activity', 'Pay', 'container'))) \g /dev/null
select results_eq($$select build_id collate "default", content from perdure.source_code where type_name = 'Order'
    order by build_id$$, $$values ('build-2', 'one'), ('build-3', 'two')$$,
    'each of two builds has its own');
select is(t.texts(), 3::bigint, 'and shares what is the same');
select t.at(6) \g /dev/null
select perdure.register_sources(t.worker(2), jsonb_build_array(t.source('workflow', 'Order', 'one', 13))) \g /dev/null
select results_eq($$select line, first_registered_at, last_registered_at from perdure.source_code
    where build_id = 'build-2' and type_name = 'Order'$$,
    $$values (13, timestamptz '2026-01-01 00:00:00Z', timestamptz '2026-01-01 00:00:06Z')$$,
        'what comes again is the same row');
select perdure.register_sources(t.worker(2), '[]') \g /dev/null
select is(t.refusal(sql), code, sql) from (values
    ('select perdure.register_sources(t.worker(9), ''[]'')', 'PD007'),
    ('select perdure.register_sources(t.worker(2), null)', 'PD003'),
    ('select perdure.register_sources(t.worker(2), ''{}'')', 'PD003'),
    ('select perdure.register_sources(t.worker(2), ''[{}]'')', 'PD003'),
    ('select perdure.register_sources(t.worker(2), jsonb_build_array(t.source(''query'', ''Order'', ''x'')))', 'PD003'),
    ('select perdure.register_sources(t.worker(2), jsonb_build_array(t.source(''workflow'', '''', ''x'')))', 'PD003'),
    ('select perdure.register_sources(t.worker(2), jsonb_build_array(t.source(''workflow'', ''Order'', null)))',
        'PD003'),
    ('select perdure.register_sources(t.worker(2), jsonb_build_array(t.source(''workflow'', ''Order'', ''x'', 9)))',
        'PD003'),
    ('select perdure.register_sources(t.worker(2), '
        'jsonb_build_array(t.source(''workflow'', ''Order'', ''x'') || ''{"file": "/home/me/Order.swift"}''))',
        'PD003'),
    ('select perdure.register_sources(t.worker(2), '
        'jsonb_build_array(t.source(''workflow'', ''Order'', repeat(''x'', 1048577))))', 'PD004')
) r (sql, code);

-- The code is kept as long as a worker of its build is among the present or past workers
select t.at(10), perdure.stop_worker(t.worker(3)), perdure.register_sources(t.worker(2), '[]') \g /dev/null
select is((select count(*) from perdure.source_code where build_id = 'build-3'), 2::bigint,
    'the code of a worker that left is kept');
select t.at(20), perdure.register_worker(t.worker(4), 'default', 'worker-4', 'build-3', array['q'], '1000 days'),
    perdure.stop_worker(t.worker(4)),
    perdure.register_sources(t.worker(2), '[]') \g /dev/null
select is((select count(*) from perdure.source_code where build_id = 'build-3'), 2::bigint,
    'and stays while it is remembered');
select t.at(86400 * 400), perdure.register_worker(t.worker(5), 'default', 'worker-5', 'build-5', array['q'],
    '1000 days'), perdure.stop_worker(t.worker(5)),
    perdure.delete_expired(0::smallint), perdure.register_sources(t.worker(2), '[]') \g /dev/null
select is((select count(*) from perdure.source_code where build_id = 'build-3'), 0::bigint, 'then it goes');
select is((select count(*) from perdure.source_code where build_id = 'build-2'), 3::bigint,
    'that of a living worker does not, however old');
select is((select array_agg(content order by content) from perdure.source_texts), array['container', 'one'],
    'a text goes with the last who had it');

-- Whole files
select t.at(86400 * 400 + 1), perdure.register_sources(t.worker(2), jsonb_build_array(t.source('file',
    'Shop/Order.swift', 'all', 10))) \g /dev/null
select is((select content from perdure.source_code where kind = 'file' and build_id = 'build-2'), 'all',
    'a file is kept beside the types');

-- Throughput
select t.at(1000), perdure.renew_lease(t.worker(2), null,
    '{"finished": [{"taskQueue": "q", "kind": "workflow", "count": 3}, {"taskQueue": "q", "kind": "activity", '
        '"count": 5}], "slotsInUse": {"workflow": 1, "activity": 2}}') \g /dev/null
select t.at(1004), perdure.renew_lease(t.worker(2), null,
    '{"finished": [{"taskQueue": "q", "kind": "workflow", "count": 4}]}'), perdure.renew_lease(t.worker(2)) \g /dev/null
select results_eq($$select kind collate "default", started_at, finished from perdure.finished_tasks order by kind$$,
    $$values ('activity', timestamptz '2026-01-01 00:16:40Z', 5::bigint), ('workflow', '2026-01-01 00:16:40Z', 7)$$,
        'what a worker finished is counted in tens of seconds');
select is((select slots_in_use from perdure.live_workers where worker_id = t.worker(2)),
    '{"workflow": 1, "activity": 2}', 'its slots are what it said last');
select is((select last_seen_at from perdure.live_workers where worker_id = t.worker(2)),
    timestamptz '2026-01-01 00:16:44Z', 'and when it was last heard of is known');
select t.at(1700), perdure.renew_lease(t.worker(2), null,
    '{"finished": [{"taskQueue": "q", "kind": "workflow", "count": 1}]}') \g /dev/null
select is((select sum(finished) from perdure.finished_tasks), 1::numeric, 'what is older than ten minutes is gone');
select t.at(9999), perdure.delete_expired(0::smallint) \g /dev/null
select is_empty('select from perdure.finished_tasks', 'also that of workers that are gone');
select is(t.refusal($$select perdure.renew_lease(t.worker(2), null,
    '{"finished": [{"taskQueue": "q", "kind": "query", "count": 1}]}')$$), 'PD003', 'a kind is one of two');
reset "perdure.now";
select t.register(7), perdure.renew_lease(t.worker(7), null,
    '{"finished": [{"taskQueue": "r", "kind": "activity", "count": 2}]}') \g /dev/null
select results_eq($$select namespace collate "default", task_queue collate "default", kind collate "default", finished,
    workers from perdure.task_queue_throughput$$, $$values ('default', 'r', 'activity', 2::bigint, 1::bigint)$$,
    'people read it by queue');
select isnt_empty($$select from perdure.installed_files where path = 'migrations/0004_sources.sql'
    and kind = 'migration'$$, 'and what is installed');
select * from finish();
rollback;
