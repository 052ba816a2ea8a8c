-- What every transition uses: the clock, the shard, errors, events, wake-ups.

create or replace function perdure.clock() returns timestamptz
language sql volatile
return coalesce(nullif(pg_catalog.current_setting('perdure.now', true), '')::timestamptz, pg_catalog.clock_timestamp());
comment on function perdure.clock() is 'The time of a transition: the clock, or what the session sets as perdure.now (tests do).';

create or replace function perdure.many() returns int
language sql stable
return coalesce(nullif(pg_catalog.current_setting('perdure.many', true), '')::int, 8);
comment on function perdure.many() is
    'From how many rows on one large statement takes less time than small ones for each: docs/decisions/0007-one-run-or-many.md. Tests set perdure.many.';

create or replace function perdure.shard_among(p_count bigint, p_namespace text, p_workflow_id text) returns smallint
language sql immutable parallel safe
return case when p_count = 1 then 0::smallint
    else mod(mod(hashtextextended(p_namespace || chr(31) || p_workflow_id, 0), p_count) + p_count, p_count)::smallint end;
comment on function perdure.shard_among(bigint, text, text) is 'The shard of a workflow id among so many: a hash, modulo their count.';

create or replace function perdure.shard_for(p_namespace text, p_workflow_id text) returns smallint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint := (select (s.value #>> '{}')::bigint from perdure.settings s where s.name = 'shard_count');
begin
    return perdure.shard_among(v_count, p_namespace, p_workflow_id);
end
$$;
comment on function perdure.shard_for(text, text) is 'The shard of a workflow id: a hash modulo the shard count fixed at install.';

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

create or replace function perdure.duration(p_value jsonb, p_name text) returns interval
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_text text := p_value #>> '{}';
begin
    if v_text is null then
        return null;
    end if;
    if v_text !~ '^[0-9]{1,10}(\.[0-9]{1,9})?s$' then
        raise exception '% is not a duration: %', p_name, left(v_text, 40) using errcode = 'PD003',
            hint = 'Durations are seconds with an s, such as "10s" or "0.25s".';
    end if;
    return make_interval(secs => rtrim(v_text, 's')::double precision);
end
$$;
comment on function perdure.duration(jsonb, text) is 'Reads a duration of a command or an option; raises PD003 with the name of the field.';

create or replace function perdure.new_run_id(p_now timestamptz) returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    return encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from p_now) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid;
end
$$;
comment on function perdure.new_run_id(timestamptz) is 'A UUID version 7 (RFC 9562): its order is that of the time, which keeps the indexes'' new rows together.';

create or replace function perdure.present(p_object jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select coalesce(jsonb_object_agg(key, value) filter (where value <> 'null'), '{}') from jsonb_each(p_object));
end
$$;
comment on function perdure.present(jsonb) is 'An object without its null members; deeper ones stay, for they may be a person''s data.';

create or replace function perdure.event(p_type text, p_attributes jsonb, p_time timestamptz default null) returns jsonb
language sql stable parallel safe
return case when p_time is null
        then jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes))
        else jsonb_build_object('eventType', p_type, 'attributes', perdure.present(p_attributes), 'eventTime', perdure.rfc3339(p_time))
    end;
comment on function perdure.event(text, jsonb, timestamptz) is 'A stored event; the time only where it is not that of its batch.';

create or replace function perdure.wake_channel(p_namespace text, p_task_queue text) returns text
language sql immutable parallel safe
return 'perdure_' || md5(p_namespace || chr(31) || p_task_queue);
comment on function perdure.wake_channel(text, text) is 'The channel on which the idle workers of a task queue LISTEN.';

create or replace function perdure.wake(p_namespace text, p_task_queue text, p_kind text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- NOTIFY serialises commits, so only a queue whose workers sleep gets one.
    perform pg_notify(perdure.wake_channel(p_namespace, p_task_queue), p_kind)
    from (select from perdure.workers w where w.waiting and w.namespace = p_namespace and w.task_queues @> array[p_task_queue] limit 1) w;
end
$$;
comment on function perdure.wake(text, text, text) is 'Notifies a task queue that has idle listeners; does nothing for a busy one.';

create or replace function perdure.result_channel(p_namespace text) returns text
language sql immutable parallel safe
return 'perdure_results_' || md5(p_namespace);
comment on function perdure.result_channel(text) is 'The channel on which clients that wait for results LISTEN; a message is the id of a run that has closed.';

create or replace function perdure.await_results(p_namespace text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select pg_advisory_lock_shared(1885630053, hashtext(p_namespace))
$$;
comment on function perdure.await_results(text) is
    'Says for as long as this session lasts that it listens on result_channel. A lock is what says it, so that it costs no commit and ends with the session.';

create or replace function perdure.are_results_awaited(p_namespace text) returns boolean
language sql volatile
return case when pg_try_advisory_lock(1885630053, hashtext(p_namespace)) then not pg_advisory_unlock(1885630053, hashtext(p_namespace)) else true end;
comment on function perdure.are_results_awaited(text) is 'Whether a session of this server has called await_results.';

create or replace function perdure.plain(p_payloads jsonb) returns jsonb
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_payloads is null then null
        when jsonb_typeof(p_payloads) <> 'array' then p_payloads
        when jsonb_array_length(p_payloads) = 1 then coalesce(p_payloads #> '{0,data}', 'null')
        else (select coalesce(jsonb_agg(coalesce(value -> 'data', 'null')), '[]') from jsonb_array_elements(p_payloads)) end
$$;
comment on function perdure.plain(jsonb) is 'Payloads as a person reads them: the data without the encoding; one argument stands alone.';
