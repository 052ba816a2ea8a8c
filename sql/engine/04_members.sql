-- Checks of the members of a set, and of the errors that a member raises, for functions that take sets.

create or replace function perdure.is_uuid(p_text text) returns boolean
language sql immutable parallel safe
return coalesce(p_text ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$', false);
comment on function perdure.is_uuid(text) is 'Whether a text is a uuid in the usual form.';

create or replace function perdure.is_event_id(p_value jsonb) returns boolean
language sql immutable parallel safe
return coalesce(p_value #>> '{}' ~ '^[0-9]{1,18}$', false);
comment on function perdure.is_event_id(jsonb) is 'Whether a value is a number that can be the id of an event.';

create or replace function perdure.is_attempt(p_value jsonb) returns boolean
language sql immutable parallel safe
return coalesce(p_value #>> '{}' ~ '^[0-9]{1,9}$', false);
comment on function perdure.is_attempt(jsonb) is 'Whether a value is a number that can be that of an attempt.';

create or replace function perdure.is_passing(p_sqlstate text) returns boolean
language sql immutable parallel safe
return left(p_sqlstate, 2) in ('08', '40', '57', '58')
    or p_sqlstate in ('25006', '53000', '53100', '53300', '55006', '55P03', 'PD007');
comment on function perdure.is_passing(text) is
    'Whether an error comes from the moment and not from the data: a conflict, a lock, a full disk, a server that '
    'stops, a lost lease. The caller must then repeat the whole call.';

create or replace function perdure.put_aside(p_shard smallint, p_run_id uuid, p_kind text, p_id bigint, p_error text,
    p_sqlstate text,
    p_now timestamptz)
returns timestamptz
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_next_at timestamptz;
begin
    -- The first retry comes after 1 s, each later one after twice the time of the one before, up to an hour.
    insert into perdure.set_aside as s (shard, run_id, kind, id, error, sqlstate, since, next_at)
    values (p_shard, p_run_id, p_kind, p_id, left(p_error, 4000), p_sqlstate, p_now, p_now + interval '1 s')
    on conflict (shard, run_id, kind, id) do update set error = excluded.error, sqlstate = excluded.sqlstate,
        attempts = s.attempts + 1,
        next_at = p_now + least(interval '1 s' * power(2, least(s.attempts, 20)), interval '1 hour')
    returning next_at into v_next_at;
    return v_next_at;
end
$$;
comment on function perdure.put_aside(smallint, uuid, text, bigint, text, text, timestamptz) is
    'Records, for people, that something raised an error, and returns when it is to be tried again.';
