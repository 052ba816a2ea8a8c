-- Hands out workflow tasks: first those that are kept for this worker, which has the run cached, then any. If there are
-- many of both kinds, three quarters are of the first: runs come to their end before new ones begin, but new ones do
-- begin.

create or replace function perdure.limited_since() returns timestamptz
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select a.applied_at from perdure.applied_files a where a.path = 'migrations/0013_limits.sql'),
        'infinity');
end
$$;
comment on function perdure.limited_since() is
    'When documents began to be checked for the length of their text. Documents that were stored before may be many '
    'times longer as text.';

create or replace function perdure.is_longer_as_text(p_event jsonb, p_time timestamptz, p_bytes bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- As in text_bytes, a value of less than 2048 bytes may be made into text whatever it holds.
    return pg_column_size(p_event) >= 2048 and p_time < perdure.limited_since()
        and perdure.text_bytes(p_event, p_bytes) > p_bytes;
end
$$;
comment on function perdure.is_longer_as_text(jsonb, timestamptz, bigint) is
    'Whether an event from before the limits has more than p_bytes of text. No text is made of such an event.';

create or replace function perdure.batch_text(
    p_events jsonb[], p_first_event_id bigint, p_time timestamptz, p_bytes int) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_event jsonb;
    v_text text;
    v_texts text[];
    v_left bigint := p_bytes::bigint;
begin
    if pg_column_size(p_events) < 2048 and pg_column_compression(p_events) is null then
        v_text := array_to_json(p_events)::text;
    else
        -- Each event is made into text by itself, so that of a batch that is too long no more text is made than may be
        -- sent.
        foreach v_event in array p_events loop
            if perdure.is_longer_as_text(v_event, p_time, v_left) then
                return null;
            end if;
            v_text := v_event::text;
            v_left := v_left - octet_length(v_text)::bigint;
            if v_left < 0 then
                return null;
            end if;
            v_texts := v_texts || v_text;
        end loop;
        v_text := '[' || array_to_string(v_texts, ',') || ']';
    end if;
    v_text := '{"firstEventId":' || p_first_event_id || ',"eventTime":"' || perdure.rfc3339(p_time) || '","events":'
        || v_text || '}';
    return case when octet_length(v_text) <= p_bytes then v_text end;
end
$$;
comment on function perdure.batch_text(jsonb[], bigint, timestamptz, int) is
    'A batch of a history as JSON, its events as they are stored; null when it has more than p_bytes.';

create or replace function perdure.small_batches(p_shard smallint, p_run_id uuid, p_from_event_id bigint)
    returns setof text
language sql stable
begin atomic
    select case when pg_column_size(h.events) < 2048 and pg_column_compression(h.events) is null
        then '{"firstEventId":' || h.first_event_id || ',"eventTime":"' || perdure.rfc3339(h.event_time)
            || '","events":' || array_to_json(h.events)::text || '}' end
    from perdure.history h
    where h.shard = p_shard and h.run_id = p_run_id and h.first_event_id >= p_from_event_id
    order by h.first_event_id limit 17;
end;
comment on function perdure.small_batches(smallint, uuid, bigint) is
    'The first 17 batches of a history from an event on, as they are stored and as JSON; null for a batch that is not '
    'certainly small enough to be made into text. The planner puts the query into the statement that calls the '
    'function, without a subtransaction.';

create or replace function perdure.history_page(p_shard smallint, p_run_id uuid, p_from_event_id bigint, p_bytes int)
    returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_batch record;
    v_text text;
    v_page text[];
    v_left int := p_bytes;
begin
    -- The stored sizes limit the batches first, so that nothing long is read in vain; then the size of each text does.
    for v_batch in
        select h.first_event_id, h.event_time, h.events from (
            select n.first_event_id, n.event_time, n.events,
                sum(pg_column_size(n.events)) over (order by n.first_event_id rows unbounded preceding) as stored
            from (
                select h.first_event_id, h.event_time, h.events from perdure.history h
                where h.shard = p_shard and h.run_id = p_run_id and h.first_event_id >= p_from_event_id
                order by h.first_event_id limit 500) n) h
        where h.stored <= p_bytes loop
        if pg_column_size(v_batch.events) < 2048 and pg_column_compression(v_batch.events) is null then
            -- The same as batch_text, without the call.
            v_text := '{"firstEventId":' || v_batch.first_event_id || ',"eventTime":"'
                || to_char(v_batch.event_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","events":'
                || array_to_json(v_batch.events)::text || '}';
        else
            v_text := perdure.batch_text(v_batch.events, v_batch.first_event_id, v_batch.event_time, v_left);
        end if;
        exit when v_text is null or octet_length(v_text) > v_left;
        v_page := v_page || v_text;
        v_left := v_left - octet_length(v_text) - 1;
    end loop;
    return array_to_string(v_page, ',');
exception
    when others then
        if perdure.is_passing(sqlstate) then
            raise;
        end if;
        -- The worker reads the rest with another function, which raises the error.
        return null;
end
$$;
comment on function perdure.history_page(smallint, uuid, bigint, int) is
    'The batches of a history from an event on, as they are stored and as JSON without its brackets: as many as have '
    'no more than p_bytes of text together; null for none. The rest is read with get_histories_as_stored.';

create or replace function perdure.claim_workflow_tasks_as_stored(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int, p_since timestamptz default null)
returns table (run_id uuid, workflow_id text, workflow_type text, attempt int, scheduled_event_id bigint,
    started_event_id bigint,
    started_at timestamptz, previous_started_event_id bigint, history_from bigint, history json, updates jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan set lock_timeout = '500ms'
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock_of_claim();
    v_since timestamptz := coalesce(p_since, '-infinity');
    v_namespace text;
    -- If four does not divide p_limit, the clock decides whether the share is rounded up or down, so that three
    -- quarters is the average.
    v_share int := p_limit - (p_limit + (extract(microseconds from v_now)::bigint % 4)::int) / 4;
    v_rows tid[];
    v_sticky uuid[];
    v_claimed uuid[];
    v_attempts int[];
    v_scheduled bigint[];
    v_row tid;
    v_run_id uuid;
    v_next_event_id bigint;
    v_sticky_event_id bigint;
    v_history_bytes bigint;
    v_undelivered int;
    v_is_unwritten boolean;
    v_run perdure.run_states;
    -- How many bytes of histories are sent for all runs together. The rest is read by pages.
    v_bytes int := 4194304;
    v_event_time text;
    v_batches text[];
    v_page text;
begin
    if current_setting('transaction_isolation') <> 'read committed'
        or current_setting('transaction_read_only') = 'on' then
        perform perdure.require_session();
    end if;
    select w.namespace into v_namespace from perdure.workers w where w.worker_id = p_worker_id and w.lost_at is null;
    if not found then
        -- Raises the error that tells what is wrong.
        perform perdure.require_worker(p_worker_id);
    end if;
    -- Tasks are found and locked through an index, changed by ctid, and then read by key, so that no plan that was made
    -- while there were few tasks can go through the whole queue (docs/decisions/0004-plans-without-statistics.md). Each
    -- priority is a range of the index of its own, which begins at v_since
    -- (docs/decisions/0006-passes-look-back-a-little.md).
    select coalesce(array_agg(c.ctid), '{}'), coalesce(array_agg(c.run_id) filter (where c.is_sticky), '{}')
        into v_rows, v_sticky from (
        select * from (
            select t.ctid, t.run_id, true as is_sticky from generate_series(1, 5) p (priority)
            cross join lateral (
                select t.ctid, t.run_id from perdure.workflow_tasks t
                where t.shard = p_shard and t.sticky_worker = p_worker_id and t.task_queue = p_task_queue
                    and t.state = 'scheduled'
                  and t.priority = p.priority::smallint and t.scheduled_at > v_since
                order by t.scheduled_at for update skip locked) t
            limit v_share) sticky
        union all
        select t.ctid, t.run_id, false from generate_series(1, 5) p (priority)
        cross join lateral (
            select t.ctid, t.run_id from perdure.workflow_tasks t
            where t.shard = p_shard and t.namespace = v_namespace and t.task_queue = p_task_queue
              and t.state = 'scheduled' and t.sticky_worker is null
              and t.priority = p.priority::smallint and t.scheduled_at > v_since
            order by t.scheduled_at for update skip locked) t
        limit p_limit) c;
    if cardinality(v_sticky) = v_share and cardinality(v_rows) < p_limit then
        select v_rows || coalesce(array_agg(c.ctid), '{}'), v_sticky || coalesce(array_agg(c.run_id), '{}') into v_rows,
            v_sticky from (
            select t.ctid, t.run_id from generate_series(1, 5) p (priority)
            cross join lateral (
                select t.ctid, t.run_id from perdure.workflow_tasks t
                where t.shard = p_shard and t.sticky_worker = p_worker_id and t.task_queue = p_task_queue
                    and t.state = 'scheduled'
                  and t.priority = p.priority::smallint and t.scheduled_at > v_since and t.ctid <> all (v_rows)
                order by t.scheduled_at for update skip locked) t
            limit p_limit - cardinality(v_rows)) c;
    end if;
    if cardinality(v_rows) = 0 then
        return;
    end if;
    perform from perdure.workers w where w.worker_id = p_worker_id and w.lost_at is null for key share skip locked;
    if not found and not perdure.may_claim(p_worker_id) then
        return;
    end if;
    v_bytes := v_bytes / cardinality(v_rows);
    v_event_time := perdure.rfc3339(v_now);
    if cardinality(v_rows) < perdure.many() then
        -- The same as below, by small statements for each task: docs/decisions/0007-one-run-or-many.md.
        started_at := v_now;
        foreach v_row in array v_rows loop
            update perdure.workflow_tasks t set state = 'started', worker = p_worker_id, started_at = v_now,
                deadline = v_now + t.start_to_close_timeout
            where t.shard = p_shard and t.ctid = v_row
            returning t.run_id, t.attempt, t.scheduled_event_id into v_run_id, attempt, scheduled_event_id;
            -- A new statement sees every event that was appended before the tasks were locked.
            select r.workflow_id, r.workflow_type, r.next_event_id, r.last_started_event_id, r.sticky_event_id,
                r.history_bytes, r.updates_undelivered
            into workflow_id, workflow_type, v_next_event_id, previous_started_event_id, v_sticky_event_id,
                v_history_bytes, v_undelivered
            from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
            run_id := v_run_id;
            started_event_id := v_next_event_id;
            history_from := case when v_run_id = any (v_sticky) then coalesce(v_sticky_event_id, 1) else 1 end;
            v_is_unwritten := attempt > 1 or scheduled_event_id = 0;
            if v_is_unwritten then
                select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = v_run_id;
                scheduled_event_id := v_next_event_id;
                started_event_id := v_next_event_id + 1;
            end if;
            v_batches := array(select b from perdure.small_batches(p_shard, v_run_id, history_from) b);
            v_page := case when cardinality(v_batches) < 17 and array_position(v_batches, null) is null
                then array_to_string(v_batches, ',') end;
            if v_page is null or octet_length(v_page) > v_bytes then
                v_page := perdure.history_page(p_shard, v_run_id, history_from, v_bytes);
            end if;
            history := ('[' || coalesce(nullif(v_page, '') || ',', '')
                || '{"firstEventId":' || case when v_is_unwritten then scheduled_event_id else started_event_id end
                || ',"eventTime":"' || v_event_time || '","events":['
                || case when v_is_unwritten
                    then perdure.workflow_task_scheduled(v_run, attempt)::text || ',' else '' end
                || perdure.workflow_task_started_text(started_event_id, v_history_bytes) || ']}]')::json;
            updates := case when v_undelivered > 0 then perdure.updates_to_deliver(p_shard, v_run_id) end;
            return next;
        end loop;
        return;
    end if;
    set local enable_indexscan = off;
    with u as (
        update perdure.workflow_tasks t set state = 'started', worker = p_worker_id, started_at = v_now,
            deadline = v_now + t.start_to_close_timeout
        where t.shard = p_shard and t.ctid = any (v_rows) returning t.run_id, t.attempt, t.scheduled_event_id)
    select array_agg(u.run_id), array_agg(u.attempt), array_agg(u.scheduled_event_id) into v_claimed, v_attempts,
        v_scheduled from u;
    set local enable_indexscan = on;

    -- A new statement sees every event that was appended before the tasks were locked.
    return query
    select r.run_id, r.workflow_id, r.workflow_type, mine.attempt, ids.scheduled, ids.started, v_now,
        r.last_started_event_id, seen.from_event_id,
        ('[' || coalesce(nullif(case when cardinality(small.batches) < 17
                    and array_position(small.batches, null) is null
                    and octet_length(array_to_string(small.batches, ',')) <= v_bytes
                then array_to_string(small.batches, ',')
                else perdure.history_page(p_shard, mine.run_id, seen.from_event_id, v_bytes) end, '') || ',', '')
            || '{"firstEventId":' || case when ids.is_unwritten then ids.scheduled else ids.started end
            || ',"eventTime":"' || v_event_time || '","events":['
            || case when ids.is_unwritten
                then perdure.workflow_task_scheduled(r, mine.attempt)::text || ',' else '' end
            || perdure.workflow_task_started_text(ids.started, r.history_bytes) || ']}]')::json,
        case when r.updates_undelivered > 0 then perdure.updates_to_deliver(p_shard, mine.run_id) end
    from unnest(v_claimed, v_attempts, v_scheduled) as mine (run_id, attempt, scheduled_event_id)
    cross join lateral (select * from perdure.run_states r where r.shard = p_shard and r.run_id = mine.run_id limit 1) r
    cross join lateral (select mine.attempt > 1 or mine.scheduled_event_id = 0 as is_unwritten offset 0) u
    cross join lateral (select u.is_unwritten, case when u.is_unwritten then r.next_event_id
        else mine.scheduled_event_id end as scheduled,
        case when u.is_unwritten then r.next_event_id + 1 else r.next_event_id end as started) ids
    cross join lateral (select case when mine.run_id = any (v_sticky) then coalesce(r.sticky_event_id, 1)
        else 1 end as from_event_id) seen
    -- Most histories are read here. A history that may be long is read by history_page, in a subtransaction.
    cross join lateral (select array(
        select b from perdure.small_batches(p_shard, mine.run_id, seen.from_event_id) b) as batches offset 0) small;
end
$$;
comment on function perdure.claim_workflow_tasks_as_stored(smallint, uuid, text, int, timestamptz) is
    'Hands out up to p_limit workflow tasks in priority and age order, each with the events that the worker has not '
    'seen, as they are stored (perdure.whole_event): at most 4 MiB of text for all tasks together. '
    'get_histories_as_stored reads the rest. Updates that wait for a run come with its task, as '
    'temporal.api.update.v1.Request. With p_since only tasks that were scheduled since then are handed out: for a '
    'caller that has left no older ones.';

create or replace function perdure.claim_workflow_tasks(
    p_shard smallint, p_worker_id uuid, p_task_queue text, p_limit int, p_since timestamptz default null)
returns table (run_id uuid, workflow_id text, workflow_type text, attempt int, scheduled_event_id bigint,
    started_event_id bigint,
    started_at timestamptz, previous_started_event_id bigint, history_from bigint, history jsonb, updates jsonb)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_identity text := (perdure.require_worker(p_worker_id)).identity;
    v_bytes int := 4194304 / least(greatest(p_limit, 1), 1000);
    v_last jsonb;
begin
    perform perdure.require_session();
    for run_id, workflow_id, workflow_type, attempt, scheduled_event_id, started_event_id, started_at,
        previous_started_event_id,
        history_from, v_last, updates in
        select c.run_id, c.workflow_id, c.workflow_type, c.attempt, c.scheduled_event_id, c.started_event_id,
            c.started_at,
            c.previous_started_event_id, c.history_from, (c.history -> -1)::jsonb,
            c.updates
        from perdure.claim_workflow_tasks_as_stored(p_shard, p_worker_id, p_task_queue, p_limit, p_since) c loop
        v_last := jsonb_set(v_last, '{events,-1,attributes}', jsonb_build_object(
            'scheduledEventId', scheduled_event_id, 'identity', v_identity, 'requestId', p_worker_id)
            || coalesce(v_last #> '{events,-1,given}', '{}'));
        begin
            history := perdure.get_history(p_shard, run_id, history_from, 500, v_bytes) || v_last;
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                -- The worker reads the rest with another function, which raises the error.
                history := jsonb_build_array(v_last);
        end;
        return next;
    end loop;
end
$$;
comment on function perdure.claim_workflow_tasks(smallint, uuid, text, int, timestamptz) is
    'The same as claim_workflow_tasks_as_stored with whole events, at more than twice the cost: for people, and for '
    'workers that cannot read events as they are stored, such as those of older builds. get_history reads the rest of '
    'a long history.';
