-- The settings that a database, a role or a pooler gives a session change no result. The same workflow is run under
-- each setting, with one statement in each transaction as workers do, and its history, its answers and the rows that it
-- leaves are compared with those under the usual settings.
\ir support/engine.psql
\ir support/sessions.psql
select no_plan();
select perdure.add_search_attribute(name, type) from (values ('price', 'Double'), ('due', 'Datetime'), ('note', 'Text'),
    ('tags', 'KeywordList')) a (name, type)
    \g /dev/null

-- A case is a setting, or several, as `alter database … set` takes them.
create table t.setting (number int generated always as identity, name text, value text);
insert into t.setting (name, value) values
    ('application_name', 'the usual'),
    ('DateStyle', 'SQL, DMY'), ('DateStyle', 'German'), ('DateStyle', 'Postgres, MDY'),
    ('IntervalStyle', 'sql_standard'), ('IntervalStyle', 'iso_8601'), ('IntervalStyle', 'postgres_verbose'),
    ('TimeZone', 'America/St_Johns'), ('TimeZone', 'Asia/Kathmandu'), ('TimeZone', 'Europe/Berlin'),
        ('timezone_abbreviations', 'India'),
    ('bytea_output', 'escape'), ('extra_float_digits', '-15'), ('extra_float_digits', '3'),
    ('client_encoding', 'LATIN1'), ('client_encoding', 'WIN1252'),
    ('search_path', 'nowhere'), ('search_path', 't, perdure, pg_catalog'),
    ('standard_conforming_strings', 'off'), ('escape_string_warning', 'on'), ('backslash_quote', 'off'),
        ('quote_all_identifiers', 'on'),
    ('array_nulls', 'off'), ('transform_null_equals', 'on'), ('row_security', 'off'), ('xmloption', 'document'),
        ('xmlbinary', 'hex'),
    ('plpgsql.variable_conflict', 'use_variable'), ('plpgsql.variable_conflict', 'use_column'),
        ('plpgsql.extra_errors', 'strict_multi_assignment'),
    ('check_function_bodies', 'off'), ('session_replication_role', 'replica'), ('default_toast_compression', 'pglz'),
    ('lc_messages', 'C'), ('lc_numeric', 'C'), ('lc_monetary', 'C'), ('lc_time', 'C'),
        ('default_text_search_config', 'simple'),
    ('enable_seqscan', 'off'), ('enable_indexscan', 'off'), ('enable_indexonlyscan', 'off'),
        ('enable_bitmapscan', 'off'), ('enable_nestloop', 'off'),
    ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_sort', 'off'), ('enable_hashagg', 'off'),
        ('enable_material', 'off'),
    ('enable_incremental_sort', 'off'), ('enable_memoize', 'off'), ('enable_tidscan', 'off'),
        ('enable_partition_pruning', 'off'),
    ('jit_above_cost', '0'), ('jit', 'off'), ('plan_cache_mode', 'force_custom_plan'),
        ('plan_cache_mode', 'force_generic_plan'),
    ('join_collapse_limit', '1'), ('from_collapse_limit', '1'), ('geqo_threshold', '2'), ('constraint_exclusion', 'on'),
        ('cursor_tuple_fraction', '0'),
    ('debug_parallel_query', 'on'), ('force_parallel_mode', 'on'), ('max_parallel_workers_per_gather', '0'),
        ('work_mem', '64kB'),
    ('hash_mem_multiplier', '1'), ('temp_buffers', '800kB'), ('synchronous_commit', 'off'),
        ('synchronous_commit', 'local'),
    ('commit_delay', '1000'), ('default_statistics_target', '1'), ('gin_fuzzy_search_limit', '1'),
        ('gin_pending_list_limit', '64kB'),
    ('synchronize_seqscans', 'off'), ('lo_compat_privileges', 'on'), ('client_min_messages', 'debug5'),
    ('default_transaction_deferrable', 'on'), ('idle_in_transaction_session_timeout', '1s'),
        ('transaction_timeout', '30s'),
    ('lock_timeout', '2s'), ('statement_timeout', '30s'), ('vacuum_cost_delay', '10');
-- Settings that this server does not know, or that cannot be set for a database, are left out.
delete from t.setting s where s.name not like 'plpgsql.%' and not exists (
    select from pg_settings p where lower(p.name) = lower(s.name) and p.context
        in ('user', 'superuser', 'backend', 'superuser-backend'));

create function t.run_case(p_id text, p_number int) returns text language plpgsql
as $$
declare
    v_queue text := 'q' || 100 + p_number;
    v_statement text;
    v_answer text;
    v_answers text := '';
    v_statements text[] := array[
        'select t.at(0)',
        'select t.register(%2$s, ''1000 days'', %3$L)',
        -- Text, bytes, numbers and times of every kind.
        'select run_id is not null from perdure.start_workflow(0::smallint, ''default'', %1$L, ''T'', %3$L,
            ''[{"encoding": "json/plain",
            "data": {"text": "a ü € 漢", "n": 0.1, "big": 123456789012345678901234567890.5}},
            {"encoding": "binary/plain", "data": "AP9c"}]'',
            ''{"memo": {"m": {"encoding": "json/plain", "data": "d"}},
            "searchAttributes": {"price": 0.1234567890123456789,
            "due": "2026-03-29T01:30:00.5+02:00", "note": "a.b", "tags": ["x", "NULL", ""]},
            "workflowRunTimeout": "10000000s", "requestId": "r"}'')',
        'select t.claim(%2$s, 10, %3$L)',
        'select (select history::text from t.workflow_task where workflow_id = %1$L)',
        'select t.complete(%1$L, jsonb_build_array(t.activity(''a'',
            ''{"input": [{"encoding": "json/plain", "data": "s"}], "taskQueue": {"name": "%3$s"},
            "heartbeatTimeout": "7.5s", "retryPolicy": {"initialInterval": "1.5s", "backoffCoefficient": 1.1,
            "maximumAttempts": 3}}''),
            t.timer(''soon'', ''90.000001s''), t.timer(''months'', ''6912000s''),
            t.command(''UpsertWorkflowSearchAttributes'',
            ''{"searchAttributes": {"price": 2.675}}'')), %2$s, true)',
        'select t.claim_activities(%2$s, 10, %3$L)',
        'select t.heartbeat(%1$L, ''a'', ''[{"encoding": "json/plain", "data": "."}]'', %2$s)',
        'select t.at(1)',
        'select t.finish(%1$L, ''a'', ''failed'', t.failure(''bad '' || chr(92) || ''thing''), %2$s)',
        'select t.at(2.4), t.upkeep(), t.claim_activities(%2$s, 10, %3$L)',
        'select t.at(2.6), t.upkeep()',
        'select t.claim_activities(%2$s, 10, %3$L)',
        'select t.at(20)',
        'select t.upkeep()',
        'select t.at(22), t.upkeep(), t.claim_activities(%2$s, 10, %3$L)',
        'select t.finish(%1$L, ''a'', ''completed'', jsonb_build_object(''result'', '
            't.data(''{"balance": 0.30000000000000004}'')), %2$s)',
        'select perdure.signal_workflow(%1$L, ''s ü'', ''{"x": 1e-7}'')',
        'select t.claim(%2$s, 10, %3$L)',
        'select (select history::text from t.workflow_task where workflow_id = %1$L)',
        'select t.complete(%1$L, ''[]'', %2$s, true)',
        'select t.at(100), t.upkeep()',
        'select t.claim(%2$s, 10, %3$L)',
        'select t.fail(%1$L, ''WorkflowWorkerUnhandledFailure'', %2$s)',
        'select t.at(120), t.upkeep(), t.claim(%2$s, 10, %3$L), t.complete(%1$L, ''[]'', %2$s, true)',
        'select query_id is not null from (select perdure.start_query(0::smallint, ''default'', %1$L, null, ''state'', '
            '''[]'', ''10 s'') as query_id) q',
        'select workflow_id, query_type from perdure.claim_queries(0::smallint, t.worker(%2$s), %3$L, 10)',
        'select workflow_id from perdure.list_workflows(''price >= 2.675 AND price < 2.6750001 AND '
            'TaskQueue = "%3$s"'')',
        'select workflow_id from perdure.list_workflows(''due = "2026-03-28T23:30:00.5Z" AND WorkflowId = "%1$s"'')',
        'select workflow_id from perdure.list_workflows(''note = "a.b" AND WorkflowId = "%1$s" ORDER BY due DESC'')',
        'select workflow_id from perdure.list_workflows(''StartTime >= "2026-01-01T00:00:00Z"
            AND StartTime < "2026-01-01T00:00:00.000001Z"
            AND WorkflowId = "%1$s"'')',
        't.refusals',
        'select t.at(6912050), t.upkeep()',
        'select t.claim(%2$s, 10, %3$L), t.complete(%1$L, jsonb_build_array(t.command(''CompleteWorkflowExecution'',
            jsonb_build_object(''result'', t.data(''{"ok": 1.10}'')))), %2$s)',
        'select (to_jsonb(w) - ''{run_id,duration,start_time,close_time,execution_time}''::text[])::text,
            extract(epoch from duration),
            extract(epoch from start_time),
            extract(epoch from close_time) from perdure.workflows w where workflow_id = %1$L',
        'select count(*) from perdure.list_workflows(''ExecutionDuration > "6912000s" '
            'AND WorkflowId = "%1$s" ORDER BY ExecutionDuration'')',
        -- The retention of 30 days ends on the second.
        'select t.at(6912050 + 30 * 86400 - 0.5), t.upkeep()',
        'select count(*) from perdure.workflows where workflow_id = %1$L'];
begin
    perform t.session(p_id);
    foreach v_statement in array v_statements loop
        if v_statement = 't.refusals' then
            v_statement := 'select string_agg(t.refusal(sql), '' '' order by n) from (values
                (1, ''select perdure.duration(to_jsonb(text ''''1x5s''''), ''''d'''')''),
                (2, ''select perdure.list_workflows(''''price = 1x5'''')''),
                (3, ''select perdure.start_workflow(workflow_type => null, workflow_id => ''''n'''',
                task_queue => ''''q'''')'')) r (n, sql)';
        end if;
        begin
            select r.value into v_answer from dblink(p_id, format('select row_to_json(x)::text from (%s) x',
                format(v_statement, p_id, p_number + 100, v_queue))) r (value text);
        exception when others then
            v_answer := sqlstate || ' ' || sqlerrm;
        end;
        v_answers := v_answers || coalesce(v_answer, 'null') || e'\n';
    end loop;
    perform dblink_disconnect(p_id);
    return v_answers;
end
$$;

-- The history as it is stored, and the answers, without what differs from run to run.
create function t.told(p_text text, p_id text) returns text language sql
as $$ select regexp_replace(regexp_replace(replace(p_text, p_id, 'ID'), '\m(q|worker-|build-)[0-9]+\M', '\1N', 'g'),
    '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', 'U', 'g') $$;
create table t.outcome (number int primary key, answers text);

\pset tuples_only on
-- Each statement is a transaction of its own, because other sessions see a setting of the database once it is
-- committed.
select format('alter database %I set %s = %s', current_database(), s.name, case when s.name = 'search_path' then s.value
    else quote_literal(s.value) end),
    format('insert into t.outcome select %s, t.told(t.run_case(%L, %1$s), %2$L)', s.number, 'case-' || 100 + s.number),
    format('alter database %I reset %s', current_database(), s.name)
from t.setting s order by s.number \gexec
-- The usual case, with which the others are compared, did all of it.
select is(regexp_replace(o.answers,
    '.*"complete":"completed".*"complete":"completed".*"fail":"failed".*"complete":"completed".*', 'all', 's'), 'all')
from t.outcome o where o.number = 1;
select o.answers from t.outcome o where o.number = 1 and current_setting('t.shown', true) = 'on';
select is(first.difference, null, format('%s = %s changes nothing', s.name, s.value))
from t.outcome o join t.setting s using (number) join t.outcome u on u.number = 1
left join lateral (
    select l.answer || ' instead of ' || l.usual as difference
    from unnest(string_to_array(o.answers, e'\n'), string_to_array(u.answers, e'\n'))
        with ordinality l (answer, usual, place)
    where l.answer is distinct from l.usual order by l.place limit 1) first on true
where o.number > 1 order by o.number;

-- Settings that would lose an event, or keep workers from sharing work, are corrected, or refused with a hint.
begin;
set local synchronous_commit = off;
select perdure.start_workflow('T', 'durable', 'q') \g /dev/null
select is(current_setting('synchronous_commit'), 'on', 'a transaction that changes a run waits for the disk');
commit;
begin;
set local synchronous_commit = remote_apply;
select perdure.signal_workflow('durable', 's') \g /dev/null
select is(current_setting('synchronous_commit'), 'remote_apply', 'and asks for no less than it was told to');
commit;
begin isolation level repeatable read;
select is(t.refusal(sql), 'PD011', sql || ': not at repeatable read')
    from (values ('select t.register(1)'), ('select t.claim()'),
    ('select t.claim_activities()'), ('select perdure.upkeep(0::smallint)'),
        ('select perdure.delete_expired(0::smallint)')) s (sql);
select is(t.refusal($$select perdure.start_workflow('T', 'repeatable', 'q')$$), 'accepted',
    'an application may start in such a transaction');
commit;
begin isolation level serializable;
select is(t.refusal('select t.claim()'), 'PD011', 'not at serializable');
select is(t.refusal($$select perdure.signal_workflow('repeatable', 's')$$), 'accepted',
    'an application may signal in such a transaction');
commit;
begin;
create function t.read_only(p_sql text) returns text language plpgsql
as $$ begin set local transaction_read_only = on; execute p_sql; return 'accepted'; exception when others
    then return sqlstate; end $$;
select is(t.read_only(sql), 'PD011', sql || ': not in a transaction that reads')
    from (values ('select t.register(1)'), ($$select perdure.claim_workflow_tasks(0::smallint, t.worker(1), 'q', 1)$$),
    ('select perdure.upkeep(0::smallint)')) s (sql);
commit;
select is(t.claim(1, 100), 'durable repeatable', 'and nothing of it is lost');
select is_empty('select * from perdure.violations()', 'no rule of the engine is broken');
select finish();
