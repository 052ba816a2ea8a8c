-- What every transition uses: the clock, the shard, errors, events, wake-ups.

create or replace function perdure.test_setting(p_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Any role can set perdure.now, so the setting counts only where the owner of the schema has allowed it.
    if p_name not in ('perdure.now', 'perdure.many', 'perdure.general')
        or not exists (select from perdure.settings s where s.name = 'test_settings' and s.value = 'true') then
        return null;
    end if;
    return nullif(current_setting(p_name, true), '');
end
$$;
comment on function perdure.test_setting(text) is
    'The value that the session sets for perdure.now, perdure.many or perdure.general. Null unless the owner has '
    'allowed these settings by a row of perdure.settings, (''test_settings'', ''true''), which only databases of '
    'tests have.';

create or replace function perdure.test_time() returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now text := perdure.test_setting('perdure.now');
begin
    if v_now is distinct from 'shared' then
        return v_now::timestamptz;
    end if;
    -- The lock lasts to the end of the transaction: perdure.skip_time does not move the clock while a transaction
    -- writes.
    perform pg_advisory_xact_lock_shared(1885630054, 0);
    return clock_timestamp() + interval '1 microsecond' * coalesce(
        (select (s.value #>> '{}')::bigint from perdure.settings s where s.name = 'skipped_time'), 0);
end
$$;
comment on function perdure.test_time() is
    'The time of a test: the value of perdure.now in this session or, if that is ''shared'', the clock that all such '
    'sessions share and perdure.skip_time moves. Null if the session sets no time, or is not allowed to.';

-- perdure.clock and perdure.clock_of_claim look only at settings of the session; they read a table only in a session
-- that sets perdure.now or turns synchronous_commit off.
create or replace function perdure.clock_of_session() returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('synchronous_commit') = 'off' then
        -- For the rest of this transaction: a change that is acknowledged must survive a crash.
        perform set_config('synchronous_commit', 'on', true);
    end if;
    return coalesce(perdure.test_time(), clock_timestamp());
end
$$;
comment on function perdure.clock_of_session() is
    'perdure.clock() for a session that sets perdure.now or synchronous_commit = off: returns the time of a test, and '
    'makes the commit of the transaction wait for the disk.';

create or replace function perdure.clock() returns timestamptz
language sql volatile
return case
    when coalesce(pg_catalog.current_setting('perdure.now', true), '') = ''
        and pg_catalog.current_setting('synchronous_commit') <> 'off' then pg_catalog.clock_timestamp()
    else perdure.clock_of_session() end;
comment on function perdure.clock() is
    'The time of a transition: the server''s clock, or the session''s perdure.now where perdure.test_setting allows '
    'it. A transition that calls this function commits durably, even where the session has synchronous_commit = off.';

create or replace function perdure.clock_of_claim() returns timestamptz
language sql volatile
return case when coalesce(pg_catalog.current_setting('perdure.now', true), '') = '' then pg_catalog.clock_timestamp()
    else coalesce(perdure.test_time(), pg_catalog.clock_timestamp()) end;
comment on function perdure.clock_of_claim() is
    'The same time as perdure.clock(), for claims, which may leave synchronous_commit off: if the server crashes '
    'before a claim is on disk, the tasks were never handed out.';

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
    'Raises PD011 in a transaction in which workers cannot share work: a read-only one, or one that does not see rows '
    'that were committed after it began. Clients may start and signal in transactions of any isolation level.';

create or replace function perdure.many() returns int
language sql stable
return case when coalesce(pg_catalog.current_setting('perdure.many', true), '') = '' then 8
    else coalesce(perdure.test_setting('perdure.many')::int, 8) end;
comment on function perdure.many() is
    'The number of rows from which one large statement takes less time than small statements for each row: '
    'docs/decisions/0007-one-run-or-many.md. Tests set perdure.many.';

create or replace function perdure.is_general() returns boolean
language sql stable
return case when coalesce(pg_catalog.current_setting('perdure.general', true), '') = '' then false
    else coalesce(perdure.test_setting('perdure.general')::boolean, false) end;
comment on function perdure.is_general() is
    'Whether every task is handled by the general rules and none by the fast paths. Tests set perdure.general to '
    'compare them.';

create or replace function perdure.shard_among(p_count bigint, p_namespace text, p_workflow_id text) returns smallint
language sql immutable parallel safe
return case when p_count = 1 then 0::smallint
    else mod(mod(hashtextextended(p_namespace || chr(31) || p_workflow_id, 0), p_count) + p_count,
        p_count)::smallint end;
comment on function perdure.shard_among(bigint, text, text) is
    'The shard of a workflow id among p_count shards: a hash modulo p_count.';

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
comment on function perdure.shard_count() is
    'The number of shards, which is fixed at install; 1 for most installations.';

create or replace function perdure.rfc3339(p_time timestamptz) returns text
language sql stable parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function perdure.rfc3339(timestamptz) is 'A time in the form that histories use: UTC with microseconds.';

create or replace function perdure.seconds(p_interval interval) returns text
language sql immutable parallel safe
return trim_scale(extract(epoch from p_interval)::numeric)::text || 's';
comment on function perdure.seconds(interval) is 'A duration in the form that histories use: seconds followed by an s.';

create or replace function perdure.maximum(p_what text) returns int
language sql immutable parallel safe
return case p_what
    -- The depth of a document: its levels of arrays and objects, and one for the value in the innermost. Swift decodes
    -- 512 levels, and a history wraps its documents in a few more.
    when 'depth' then 256
    -- The size of a document is that of its text, because the text is what is sent.
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
    -- How many events, and how many bytes of events, are buffered while a workflow task of a run is started, as in
    -- Temporal. Beyond these limits the task fails, and the next task sees the events.
    when 'buffered events' then 100
    when 'buffered bytes' then 2097152
    -- The updates of a run, as in Temporal: those that are not completed, and all that the run takes.
    when 'open updates' then 10
    when 'updates' then 2000
    -- A run ends when its history exceeds 'history bytes' or 'history events'. From the 'warned' limits on people are
    -- warned, and from the 'suggested' limits on the run's code is told to continue as new.
    when 'history bytes' then 52428800
    when 'history bytes warned' then 10485760
    when 'history bytes suggested' then 4194304
    when 'history events' then 51200
    when 'history events warned' then 10240
    when 'history events suggested' then 4096
    end;
comment on function perdure.maximum(text) is
    'The limits. Each is written only here; docs/reference/contract.md lists them. The planner replaces a call by the '
    'number.';

create or replace function perdure.longest() returns interval
language sql immutable parallel safe
return interval '876000 hours';
comment on function perdure.longest() is
    'The longest duration, as in Temporal: 100 years of 365 days. A longer duration is cut to it.';

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
    'Reads a duration of a command or an option. Raises PD003, with the name of the field, for a malformed one. A '
    'duration of more than 100 years counts as 100 years.';

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
    'A UUID version 7 (RFC 9562). These ids sort by time, so that new rows lie together in the indexes.';

create or replace function perdure.present(p_object jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_object_agg(key, value) filter (where value <> 'null'), '{}') from jsonb_each(p_object));
end
$$;
comment on function perdure.present(jsonb) is
    'An object without its null members. Null members of nested objects stay, because they may be a person''s data.';

create or replace function perdure.event(p_type text, p_attributes jsonb, p_time timestamptz default null) returns jsonb
language sql stable parallel safe
return case when p_time is null
        then jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes))
        else jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes), 'eventTime',
            perdure.rfc3339(p_time))
    end;
comment on function perdure.event(text, jsonb, timestamptz) is
    'An event as it is stored. It has a time of its own only if that differs from the time of its batch.';

create or replace function perdure.wake_channel(p_namespace text, p_task_queue text) returns text
language sql immutable parallel safe
return 'perdure_' || md5(p_namespace || chr(31) || p_task_queue);
comment on function perdure.wake_channel(text, text) is 'The channel on which the idle workers of a task queue LISTEN.';

create or replace function perdure.wake(p_namespace text, p_task_queue text, p_kind text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- NOTIFY serialises commits, so a queue is notified only if its workers sleep, and not by a caller that hands the
    -- task over itself.
    if coalesce(current_setting('perdure.hands_over', true), '') <> '' then
        return;
    end if;
    perform pg_notify(perdure.wake_channel(p_namespace, p_task_queue), p_kind)
    from (select from perdure.workers w where w.waiting and w.namespace = p_namespace
        and w.task_queues @> array[p_task_queue] limit 1) w;
end
$$;
comment on function perdure.wake(text, text, text) is
    'Notifies a task queue that has idle listeners. Does nothing for a busy queue, nor while perdure.hands_over is '
    'set (by take_reports and take_requests).';

create or replace function perdure.result_channel(p_namespace text) returns text
language sql immutable parallel safe
return 'perdure_results_' || md5(p_namespace);
comment on function perdure.result_channel(text) is
    'The channel on which clients that wait for results LISTEN. A message is the id of a run that has closed or of a '
    'query that has been answered, or a run id and the id of an update that has reached another stage.';

create or replace function perdure.await_results(p_namespace text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select pg_advisory_lock_shared(1885630053, hashtext(p_namespace))
$$;
comment on function perdure.await_results(text) is
    'Announces, for as long as this session lasts, that it listens on result_channel. The announcement is an advisory '
    'lock, so that it costs no commit and ends with the session.';

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
    'Payloads in a form for people: the data without the encoding. A single payload is returned without an array '
    'around it.';
