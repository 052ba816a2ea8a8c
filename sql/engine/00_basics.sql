-- What every transition uses: the clock, the shard, errors, events, wake-ups.

create or replace function perdure.test_setting(p_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Any role can set perdure.now, so that what it says counts only where the owner of the schema has said so.
    if p_name not in ('perdure.now', 'perdure.many', 'perdure.general')
        or not exists (select from perdure.settings s where s.name = 'test_settings' and s.value = 'true') then
        return null;
    end if;
    return nullif(current_setting(p_name, true), '');
end
$$;
comment on function perdure.test_setting(text) is
    'What the session sets as perdure.now, perdure.many or perdure.general: null where the owner has not allowed it by '
    'a row of perdure.settings: (''test_settings'', ''true''). Only databases of tests have that row.';

create or replace function perdure.test_time() returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now text := perdure.test_setting('perdure.now');
begin
    if v_now is distinct from 'shared' then
        return v_now::timestamptz;
    end if;
    -- To the end of the transaction: no time is skipped while something is being written.
    perform pg_advisory_xact_lock_shared(1885630054, 0);
    return clock_timestamp() + interval '1 microsecond' * coalesce(
        (select (s.value #>> '{}')::bigint from perdure.settings s where s.name = 'skipped_time'), 0);
end
$$;
comment on function perdure.test_time() is
    'The time of a test: what the session sets as perdure.now, or with ''shared'' the clock of all sessions that say '
    'so, which perdure.skip_time moves on. Null where it sets none, or may not.';

-- The next three cost one look at a session's setting; only a session that has one asks whether it may.
create or replace function perdure.clock_of_session() returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('synchronous_commit') = 'off' then
        -- To the end of this transaction: what is acknowledged survives a crash.
        perform set_config('synchronous_commit', 'on', true);
    end if;
    return coalesce(perdure.test_time(), clock_timestamp());
end
$$;
comment on function perdure.clock_of_session() is
    'perdure.clock() in a session that sets what concerns it: the time of a test, or a commit that does not wait for '
    'the disk.';

create or replace function perdure.clock() returns timestamptz
language sql volatile
return case
    when coalesce(pg_catalog.current_setting('perdure.now', true), '') = ''
        and pg_catalog.current_setting('synchronous_commit') <> 'off' then pg_catalog.clock_timestamp()
    else perdure.clock_of_session() end;
comment on function perdure.clock() is
    'The time of a transition: the clock, or what the session sets as perdure.now where perdure.test_setting reads '
    'it. A transition that '
    'asks for the time commits durably, even where the session has synchronous_commit = off.';

create or replace function perdure.clock_of_claim() returns timestamptz
language sql volatile
return case when coalesce(pg_catalog.current_setting('perdure.now', true), '') = '' then pg_catalog.clock_timestamp()
    else coalesce(perdure.test_time(), pg_catalog.clock_timestamp()) end;
comment on function perdure.clock_of_claim() is
    'The time as perdure.clock() tells it, but whoever claims may leave synchronous_commit off: should the server '
    'crash before the '
    'disk has a claim, the tasks were never handed out.';

create or replace function perdure.require_session() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_read_only') = 'on' then
        raise exception 'workers cannot work in a transaction that only reads' using errcode = 'PD011',
            hint = case when pg_is_in_recovery() then 'This is a replica: connect to the primary server.'
                else 'alter role … set default_transaction_read_only = off, or the same of the database.' end;
    end if;
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'workers need transactions of isolation read committed, not %',
            current_setting('transaction_isolation')
            using errcode = 'PD011',
            hint = 'alter role … set default_transaction_isolation = ''read committed'', or the same of the database.';
    end if;
end
$$;
comment on function perdure.require_session() is
    'Raises PD011 in a transaction in which workers cannot share work: one that only reads, or one that sees no row '
    'that was committed '
    'after its beginning. Clients may start and signal in transactions of any isolation.';

create or replace function perdure.many() returns int
language sql stable
return case when coalesce(pg_catalog.current_setting('perdure.many', true), '') = '' then 8
    else coalesce(perdure.test_setting('perdure.many')::int, 8) end;
comment on function perdure.many() is
    'From how many rows on one large statement takes less time than small ones for each: '
    'docs/decisions/0007-one-run-or-many.md. Tests set perdure.many.';

create or replace function perdure.is_general() returns boolean
language sql stable
return case when coalesce(pg_catalog.current_setting('perdure.general', true), '') = '' then false
    else coalesce(perdure.test_setting('perdure.general')::boolean, false) end;
comment on function perdure.is_general() is
    'Whether every task takes the general way and none of the fast ones. Tests set perdure.general, to compare them.';

create or replace function perdure.shard_among(p_count bigint, p_namespace text, p_workflow_id text) returns smallint
language sql immutable parallel safe
return case when p_count = 1 then 0::smallint
    else mod(mod(hashtextextended(p_namespace || chr(31) || p_workflow_id, 0), p_count) + p_count,
        p_count)::smallint end;
comment on function perdure.shard_among(bigint, text, text) is
    'The shard of a workflow id among so many: a hash, modulo their count.';

create or replace function perdure.shard_for(p_namespace text, p_workflow_id text) returns smallint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint := (select (s.value #>> '{}')::bigint from perdure.settings s where s.name = 'shard_count');
begin
    return perdure.shard_among(v_count, p_namespace, p_workflow_id);
end
$$;
comment on function perdure.shard_for(text, text) is
    'The shard of a workflow id: a hash modulo the shard count fixed at install.';

create or replace function perdure.shard_count() returns smallint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (select (s.value #>> '{}')::smallint from perdure.settings s where s.name = 'shard_count');
end
$$;
comment on function perdure.shard_count() is 'How many shards there are: fixed at install, and 1 for most.';

create or replace function perdure.rfc3339(p_time timestamptz) returns text
language sql stable parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function perdure.rfc3339(timestamptz) is 'A time as histories write it: UTC, microseconds.';

create or replace function perdure.seconds(p_interval interval) returns text
language sql immutable parallel safe
return trim_scale(extract(epoch from p_interval)::numeric)::text || 's';
comment on function perdure.seconds(interval) is 'A duration as histories write it: seconds and an s.';

create or replace function perdure.maximum(p_what text) returns int
language sql immutable parallel safe
return case p_what
    -- Of a document: levels of arrays and objects, with what stands in the innermost. Swift reads 512, and a history is
    -- a few more.
    when 'depth' then 256
    -- The sizes of documents are those of their text, which is what is sent.
    when 'payloads' then 2097152
    when 'memo' then 2097152
    when 'commands' then 4194304
    when 'failure' then 2097152
    when 'failure text' then 524288
    when 'last failure' then 4096
    when 'search attribute' then 2048
    when 'search attributes' then 40960
    when 'search attribute count' then 100
    when 'options' then 65536
    when 'worker details' then 1048576
    when 'worker report' then 1048576
    when 'source' then 1048576
    when 'sources' then 16777216
    -- Names, ids and reasons, in bytes.
    when 'name' then 1000
    when 'namespace' then 255
    when 'build id' then 255
    when 'description' then 10000
    when 'task queues' then 1000
    -- What may happen to a run while a workflow task of it is started, as in Temporal; then that task fails, and the
    -- next one sees it.
    when 'buffered events' then 100
    when 'buffered bytes' then 2097152
    -- Of updates, as in Temporal: those that are not completed, and all that a run takes.
    when 'open updates' then 10
    when 'updates' then 2000
    -- A history that is longer ends its run; one that is larger does, too. From the others on people are told, and code
    -- is.
    when 'history bytes' then 52428800
    when 'history bytes warned' then 10485760
    when 'history bytes suggested' then 4194304
    when 'history events' then 51200
    when 'history events warned' then 10240
    when 'history events suggested' then 4096
    end;
comment on function perdure.maximum(text) is
    'The limits, each in this one place: docs/reference/contract.md lists them. The planner puts the number in the '
    'place of the call.';

create or replace function perdure.longest() returns interval
language sql immutable parallel safe
return interval '876000 hours';
comment on function perdure.longest() is
    'The longest duration, which is Temporal''s: 100 years of 365 days. What is longer is cut to it.';

create or replace function perdure.duration(p_value jsonb, p_name text) returns interval
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_text text := p_value #>> '{}';
begin
    if v_text is null then
        return null;
    end if;
    if jsonb_typeof(p_value) <> 'string' or v_text !~ '^[0-9]{1,18}([.][0-9]{1,9})?s$' then
        raise exception '% is not a duration: %', p_name, left(v_text, 40) using errcode = 'PD003',
            hint = 'Durations are seconds with an s, such as "10s" or "0.25s".';
    end if;
    return make_interval(secs => least(rtrim(v_text, 's')::double precision, 3153600000));
end
$$;
comment on function perdure.duration(jsonb, text) is
    'Reads a duration of a command or an option; raises PD003 with the name of the field. One above 100 years is 100 '
    'years.';

create or replace function perdure.new_run_id(p_now timestamptz) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from p_now) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1),
            'hex')::uuid;
end
$$;
comment on function perdure.new_run_id(timestamptz) is
    'A UUID version 7 (RFC 9562): its order is that of the time, which keeps the indexes'' new rows together.';

create or replace function perdure.present(p_object jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_object_agg(key, value) filter (where value <> 'null'), '{}') from jsonb_each(p_object));
end
$$;
comment on function perdure.present(jsonb) is
    'An object without its null members; deeper ones stay, for they may be a person''s data.';

create or replace function perdure.event(p_type text, p_attributes jsonb, p_time timestamptz default null) returns jsonb
language sql stable parallel safe
return case when p_time is null
        then jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes))
        else jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes), 'eventTime',
            perdure.rfc3339(p_time))
    end;
comment on function perdure.event(text, jsonb, timestamptz) is
    'A stored event; the time only where it is not that of its batch.';

create or replace function perdure.wake_channel(p_namespace text, p_task_queue text) returns text
language sql immutable parallel safe
return 'perdure_' || md5(p_namespace || chr(31) || p_task_queue);
comment on function perdure.wake_channel(text, text) is 'The channel on which the idle workers of a task queue LISTEN.';

create or replace function perdure.wake(p_namespace text, p_task_queue text, p_kind text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- NOTIFY serialises commits, so only a queue whose workers sleep gets one, and none who hands the task over
    -- himself.
    if coalesce(current_setting('perdure.hands_over', true), '') <> '' then
        return;
    end if;
    perform pg_notify(perdure.wake_channel(p_namespace, p_task_queue), p_kind)
    from (select from perdure.workers w where w.waiting and w.namespace = p_namespace
        and w.task_queues @> array[p_task_queue] limit 1) w;
end
$$;
comment on function perdure.wake(text, text, text) is
    'Notifies a task queue that has idle listeners; does nothing for a busy one, nor while perdure.hands_over is set '
    '(take_reports, take_requests).';

create or replace function perdure.result_channel(p_namespace text) returns text
language sql immutable parallel safe
return 'perdure_results_' || md5(p_namespace);
comment on function perdure.result_channel(text) is
    'The channel on which clients that wait for results LISTEN; a message is the id of a run that has closed, or '
    'of a query that has been answered.';

create or replace function perdure.await_results(p_namespace text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select pg_advisory_lock_shared(1885630053, hashtext(p_namespace))
$$;
comment on function perdure.await_results(text) is
    'Says for as long as this session lasts that it listens on result_channel. A lock is what says it, so that it '
    'costs no commit and ends with the session.';

create or replace function perdure.are_results_awaited(p_namespace text) returns boolean
language sql volatile
return case when pg_try_advisory_lock(1885630053, hashtext(p_namespace))
    then not pg_advisory_unlock(1885630053, hashtext(p_namespace)) else true end;
comment on function perdure.are_results_awaited(text) is 'Whether a session of this server has called await_results.';

create or replace function perdure.plain(p_payloads jsonb) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_payloads is null then null
        when jsonb_typeof(p_payloads) <> 'array' then p_payloads
        when jsonb_array_length(p_payloads) = 1 then coalesce(p_payloads #> '{0,data}', 'null')
        else (select coalesce(jsonb_agg(coalesce(value -> 'data', 'null')), '[]')
            from jsonb_array_elements(p_payloads)) end
$$;
comment on function perdure.plain(jsonb) is
    'Payloads as a person reads them: the data without the encoding; one argument stands alone.';
