-- The idempotency keys of activities in runs that resets made: a call that is repeated has the key that it had
-- (docs/decisions/0038-resets.md).

create or replace function perdure.input_hash(p_input jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    -- A codec may encrypt the same data differently each time.
    if exists (select from jsonb_array_elements(coalesce(nullif(p_input, 'null'), '[]')) p
        where p.value ->> 'encoding' not in ('json/plain', 'json/protobuf', 'json/base64', 'binary/plain',
            'binary/protobuf', 'binary/null')) then
        return null;
    end if;
    return md5(coalesce(nullif(p_input, 'null'), '[]')::text);
end
$$;
comment on function perdure.input_hash(jsonb) is
    'A hash by which the arguments of two calls are compared; null if they cannot be compared.';

create or replace function perdure.call_key(p_shard smallint, p_run perdure.executions, p_event_id bigint,
    p_activity_id text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
    v_run_id uuid := p_run.run_id;
    v_from jsonb;
begin
    select c.idempotency_key into v_key from perdure.repeated_calls c
    where c.shard = p_shard and c.run_id = p_run.run_id and c.scheduled_event_id = p_event_id;
    if v_key is not null then
        return v_key;
    end if;
    -- Finds the run in which the event was written.
    for v_from in select f.value from jsonb_array_elements(p_run.reset_from) f loop
        exit when p_event_id >= (v_from ->> 'eventId')::bigint;
        v_run_id := (v_from ->> 'runId')::uuid;
    end loop;
    return v_run_id || ':' || p_activity_id;
end
$$;
comment on function perdure.call_key(smallint, perdure.executions, bigint, text) is
    'The idempotency key of the activity that a run scheduled by this event.';

create or replace function perdure.remember_calls(
    p_shard smallint, p_base perdure.executions, p_run_id uuid, p_event_id bigint, p_has_new_keys boolean)
returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Calls that the run shares with the one that was reset keep their keys, whatever they are.
    insert into perdure.repeated_calls (shard, run_id, place, activity_id, activity_type, input_hash, idempotency_key,
        scheduled_event_id)
    select p_shard, p_run_id, c.scheduled_event_id, c.activity_id, c.activity_type, c.input_hash, c.idempotency_key,
        c.scheduled_event_id
    from perdure.repeated_calls c
    where c.shard = p_shard and c.run_id = p_base.run_id and c.scheduled_event_id < p_event_id;
    if p_has_new_keys then
        return false;
    end if;
    insert into perdure.repeated_calls (shard, run_id, place, activity_id, activity_type, input_hash, idempotency_key)
    select p_shard, p_run_id, e.event_id, e.event #>> '{attributes,activityId}',
        e.event #>> '{attributes,activityType,name}', perdure.input_hash(e.event #> '{attributes,input}'),
        perdure.call_key(p_shard, p_base, e.event_id, e.event #>> '{attributes,activityId}')
    from perdure.events_of(p_shard, p_base, p_event_id, 9223372036854775807, array['ActivityTaskScheduled']) e;
    return found;
end
$$;
comment on function perdure.remember_calls(smallint, perdure.executions, uuid, bigint, boolean) is
    'Records the calls of a run that was reset, for the run that the reset made. Returns whether that run may repeat '
    'any of them.';

create or replace function perdure.repeat_call(
    p_shard smallint, p_run_id uuid, p_event_id bigint, p_activity_id text, p_activity_type text, p_input jsonb)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_hash text := perdure.input_hash(p_input);
    v_place bigint;
    v_key text;
begin
    select c.place, c.idempotency_key into v_place, v_key from perdure.repeated_calls c
    where c.shard = p_shard and c.run_id = p_run_id and c.scheduled_event_id is null
      and c.activity_type = p_activity_type
      and (c.input_hash = v_hash or v_hash is null and c.input_hash is null and c.activity_id = p_activity_id)
    order by c.activity_id = p_activity_id desc, c.place limit 1;
    if v_place is null then
        return;
    end if;
    update perdure.repeated_calls c set scheduled_event_id = p_event_id
    where c.shard = p_shard and c.run_id = p_run_id and c.place = v_place;
    update perdure.activity_tasks a set idempotency_key = v_key
    where a.shard = p_shard and a.run_id = p_run_id and a.scheduled_event_id = p_event_id;
    if not exists (select from perdure.repeated_calls c where c.shard = p_shard and c.run_id = p_run_id
        and c.scheduled_event_id is null) then
        update perdure.run_states r set repeats_calls = false where r.shard = p_shard and r.run_id = p_run_id;
    end if;
end
$$;
comment on function perdure.repeat_call(smallint, uuid, bigint, text, text, jsonb) is
    'Called when a run that a reset made schedules an activity: if the run that was reset had made the same call, the '
    'activity gets the idempotency key of that call. A call is the same if type and arguments are the same. Among '
    'several, one with the same activity id comes first, then the oldest.';
