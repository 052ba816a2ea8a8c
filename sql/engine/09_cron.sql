-- Cron schedules as Temporal's server reads them, the standard form of robfig/cron: five fields, @daily and the like,
-- @every with a duration, and a time zone in front.

create or replace function perdure.cron_number(p_text text, p_names text[], p_least int) returns int
language sql immutable parallel safe
return case when p_text ~ '^[0-9]{1,4}$' then p_text::int
    else p_least - 1 + array_position(p_names, lower(p_text)) end;
comment on function perdure.cron_number(text, text[], int) is
    'A number of a cron schedule, or the one that a name stands for; null when it is neither.';

create or replace function perdure.cron_field(p_text text, p_least int, p_greatest int, p_names text[] default '{}',
    out numbers int[], out is_any boolean)
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_part text;
    v_range text[];
    v_first int;
    v_last int;
    v_step int;
begin
    numbers := array[]::int[];
    is_any := false;
    foreach v_part in array regexp_split_to_array(p_text, ',') loop
        v_range := regexp_match(v_part, '^([^-/]+)(?:-([^-/]+))?(?:/([0-9]{1,4}))?$');
        v_step := coalesce(v_range[3]::int, 1);
        if v_range[1] in ('*', '?') and v_range[2] is null then
            v_first := p_least;
            v_last := p_greatest;
            -- A step above 1 restricts the days, a step of 1 does not.
            is_any := is_any or v_step = 1;
        else
            v_first := perdure.cron_number(v_range[1], p_names, p_least);
            v_last := case when v_range[2] is not null then perdure.cron_number(v_range[2], p_names, p_least)
                when v_range[3] is not null then p_greatest else v_first end;
        end if;
        if (v_first >= p_least and v_last <= p_greatest and v_first <= v_last and v_step > 0) is not true then
            numbers := null;
            return;
        end if;
        numbers := numbers || array(select generate_series(v_first, v_last, v_step));
    end loop;
end
$$;
comment on function perdure.cron_field(text, int, int, text[]) is
    'The numbers that a field of a cron schedule chooses, and whether it chooses all of them; null for a malformed '
    'field.';

create or replace function perdure.cron_every(p_text text) returns interval
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_seconds numeric;
begin
    if p_text !~ '^[+-]?(0|([0-9]{1,12}([.][0-9]{0,9})?|[.][0-9]{1,9})(ns|us|µs|ms|s|m|h))+$' then
        return null;
    end if;
    select sum((m[1])::numeric * case m[2] when 'h' then 3600 when 'm' then 60 when 's' then 1 when 'ms' then 0.001
        when 'ns' then 0.000000001 else 0.000001 end) into v_seconds
    from regexp_matches(p_text, '([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|ms|s|m|h)', 'g') m;
    -- Whole seconds, at least one.
    v_seconds := greatest(floor(case when p_text like '-%' then 0 else coalesce(v_seconds, 0) end), 1);
    return case when v_seconds <= 3153600000 then make_interval(secs => v_seconds::double precision) end;
end
$$;
comment on function perdure.cron_every(text) is
    'The duration of an @every schedule, in whole seconds and at least one; null for a malformed duration.';

create or replace function perdure.cron_parts(p_schedule text,
    out every interval, out zone text, out minutes int[], out hours int[], out days int[], out months int[],
    out weekdays int[], out is_any_day boolean, out is_any_weekday boolean)
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_zoned text[] := regexp_match(p_schedule, '^(?:CRON_)?TZ=([A-Za-z0-9_+/-]*) +(.*)$');
    v_schedule text := trim(coalesce(v_zoned[2], p_schedule));
    v_fields text[];
begin
    zone := coalesce(nullif(v_zoned[1], ''), 'UTC');
    if v_schedule like '@every %' then
        every := perdure.cron_every(trim(substring(v_schedule from 8)));
        return;
    end if;
    v_schedule := case v_schedule when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *'
        when '@monthly' then '0 0 1 * *' when '@weekly' then '0 0 * * 0' when '@daily' then '0 0 * * *'
        when '@midnight' then '0 0 * * *' when '@hourly' then '0 * * * *' else v_schedule end;
    v_fields := regexp_split_to_array(v_schedule, '[[:space:]]+');
    if cardinality(v_fields) <> 5 then
        return;
    end if;
    minutes := (perdure.cron_field(v_fields[1], 0, 59)).numbers;
    hours := (perdure.cron_field(v_fields[2], 0, 23)).numbers;
    select f.numbers, f.is_any into days, is_any_day from perdure.cron_field(v_fields[3], 1, 31) f;
    months := (perdure.cron_field(v_fields[4], 1, 12,
        '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')).numbers;
    select f.numbers, f.is_any into weekdays, is_any_weekday
    from perdure.cron_field(v_fields[5], 0, 6, '{sun,mon,tue,wed,thu,fri,sat}') f;
    if minutes is null or hours is null or days is null or months is null or weekdays is null then
        minutes := null;
    end if;
end
$$;
comment on function perdure.cron_parts(text) is
    'The parts of a cron schedule. For a malformed one both every and minutes are null.';

create or replace function perdure.cron_next(p_schedule text, p_after timestamptz) returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_parts record := perdure.cron_parts(p_schedule);
    v_day date;
    v_first timestamptz;
    v_next timestamptz;
begin
    if v_parts.every is not null then
        return date_trunc('second', p_after) + v_parts.every;
    end if;
    v_day := (p_after at time zone v_parts.zone)::date;
    v_first := date_trunc('minute', p_after) + interval '1 minute';
    for v_passed in 0 .. 2200 loop
        if extract(month from v_day)::int = any (v_parts.months) and (
            case when v_parts.is_any_day or v_parts.is_any_weekday
                then extract(day from v_day)::int = any (v_parts.days)
                    and extract(dow from v_day)::int = any (v_parts.weekdays)
                else extract(day from v_day)::int = any (v_parts.days)
                    or extract(dow from v_day)::int = any (v_parts.weekdays) end) then
            -- The search goes minute by minute through the day as it passes: where clocks change, a local time comes
            -- twice or never.
            select min(m.minute) into v_next
            from generate_series(greatest(v_first, v_day::timestamp at time zone v_parts.zone),
                (v_day + 1)::timestamp at time zone v_parts.zone - interval '1 minute', interval '1 minute') m (minute)
            where extract(hour from m.minute at time zone v_parts.zone)::int = any (v_parts.hours)
              and extract(minute from m.minute at time zone v_parts.zone)::int = any (v_parts.minutes);
            if v_next is not null then
                return v_next;
            end if;
        end if;
        v_day := v_day + 1;
    end loop;
    return null;
end
$$;
comment on function perdure.cron_next(text, timestamptz) is
    'The first time after p_after that a cron schedule names; null if there is none within six years.';

create or replace function perdure.cron_backoff(p_schedule text, p_since timestamptz, p_now timestamptz)
    returns interval
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_every interval := (perdure.cron_parts(p_schedule)).every;
    v_next timestamptz := perdure.cron_next(p_schedule, p_since);
begin
    if v_next < p_now then
        -- Times that have passed meanwhile are left out.
        v_next := case when v_every is null then perdure.cron_next(p_schedule, p_now - interval '1 microsecond')
            else v_next + v_every
                * ceil(extract(epoch from p_now - v_next) / extract(epoch from v_every))::double precision end;
    end if;
    return make_interval(secs => ceil(extract(epoch from v_next - p_now))::double precision);
end
$$;
comment on function perdure.cron_backoff(text, timestamptz, timestamptz) is
    'How long after p_now the next run of a cron schedule begins if the run before it began at p_since: whole '
    'seconds, as in Temporal.';

create or replace function perdure.check_cron_schedule(p_schedule text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_parts record;
begin
    perform perdure.check_text(p_schedule, 'cron schedule');
    v_parts := perdure.cron_parts(p_schedule);
    if v_parts.every is null and v_parts.minutes is null or v_parts.zone <> 'UTC'
        and not exists (select from pg_timezone_names z where z.name = v_parts.zone) then
        raise exception 'invalid CronSchedule.' using errcode = 'PD003',
            hint = 'For example "0 9 * * MON-FRI", "@daily", "@every 90s" or "CRON_TZ=Europe/Berlin 0 9 * * *".';
    end if;
    if perdure.cron_next(p_schedule, perdure.clock_of_claim()) is null then
        raise exception 'invalid CronSchedule, no time can be found to satisfy the schedule' using errcode = 'PD003',
            hint = 'There is no 30th of February.';
    end if;
end
$$;
comment on function perdure.check_cron_schedule(text) is
    'Raises PD003 unless a text is a cron schedule, and one that names a time that comes.';
