-- What code a worker runs, so that people can read it beside what it did.

create or replace function perdure.register_sources(p_worker_id uuid, p_sources jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_worker perdure.workers := perdure.require_worker(p_worker_id);
begin
    if jsonb_typeof(p_sources) is distinct from 'array' then
        raise exception 'sources are an array' using errcode = 'PD003',
            hint = 'For example [{"kind": "workflow", "type": "Order", "file": "Shop/Order.swift", "firstLine": 1, '
                '"line": 3, "text": "…"}].';
    end if;
    perform perdure.check_document(p_sources, 'sources', perdure.maximum('sources'));
    if exists (select from jsonb_array_elements(p_sources) s
        where coalesce(s ->> 'kind' not in ('workflow', 'activity', 'file'), true)
        or coalesce(s ->> 'type', '') = '' or s ->> 'text' is null or coalesce(s ->> 'file', '') = ''
            or s ->> 'file' like '/%'
        or coalesce(s ->> 'firstLine' !~ '^[1-9][0-9]{0,8}$' or s ->> 'line' !~ '^[1-9][0-9]{0,8}$', true)
        or octet_length(s ->> 'file') > 1000
        or case when s ->> 'firstLine' ~ '^[1-9][0-9]{0,8}$' and s ->> 'line' ~ '^[1-9][0-9]{0,8}$'
            then (s ->> 'line')::int < (s ->> 'firstLine')::int end) then
        raise exception 'a source has a kind (workflow, activity or file), type, file, firstLine, line and text'
            using errcode = 'PD003',
            hint = 'The file is named by its module, as Bank/Transfer.swift, never by a path of a machine; lines count '
                'from 1.';
    end if;
    if exists (select from jsonb_array_elements(p_sources) s
        where octet_length(s ->> 'text') > perdure.maximum('source')) then
        raise exception 'a source is larger than 1 MiB' using errcode = 'PD004',
            hint = 'Leave it out: it is only shown to people.';
    end if;
    perform perdure.check_name(s ->> 'type', 'type') from jsonb_array_elements(p_sources) s;
    -- The texts are inserted in one order, so that workers that register at the same time do not deadlock.
    insert into perdure.source_texts as t (content_hash, content, last_registered_at)
    select encode(sha256(convert_to(given.content, 'UTF8')), 'hex') as content_hash, given.content, v_now
    from (select distinct s ->> 'text' as content from jsonb_array_elements(p_sources) s) given
    order by content_hash
    on conflict (content_hash) do update set last_registered_at = greatest(t.last_registered_at,
        excluded.last_registered_at);
    insert into perdure.sources as o (namespace, build_id, kind, type_name, content_hash, file, first_line, line,
        first_registered_at, last_registered_at)
    select distinct on (s ->> 'kind', s ->> 'type') v_worker.namespace, v_worker.build_id, s ->> 'kind', s ->> 'type',
        encode(sha256(convert_to(s ->> 'text', 'UTF8')), 'hex'), s ->> 'file', (s ->> 'firstLine')::int,
            (s ->> 'line')::int, v_now, v_now
    from jsonb_array_elements(p_sources) s
    order by s ->> 'kind', s ->> 'type'
    on conflict (namespace, build_id, kind, type_name, content_hash) do update set file = excluded.file,
        first_line = excluded.first_line,
        line = excluded.line, last_registered_at = greatest(o.last_registered_at, excluded.last_registered_at);
    -- Deletes code that no worker can have run, among the present and the past ones.
    delete from perdure.sources o
    where o.namespace = v_worker.namespace
      and not exists (select from perdure.workers w
        where w.namespace = o.namespace and w.build_id = o.build_id and w.registered_at <= o.last_registered_at)
      and not exists (select from perdure.past_workers w
        where w.namespace = o.namespace and w.build_id = o.build_id and w.registered_at <= o.last_registered_at);
    delete from perdure.source_texts t
    where t.last_registered_at < v_now - interval '1 hour'
        and not exists (select from perdure.sources o where o.content_hash = t.content_hash);
end
$$;
comment on function perdure.register_sources(uuid, jsonb) is
    'Stores the code of the workflow and activity types that a worker runs, and of the files around them, by its '
    'build: [{"kind", "type", "file", "firstLine", "line", "text"}]. The type of a file is its name.';
