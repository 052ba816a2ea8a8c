-- What arguments must look like. Each raises a Perdure error with a hint, and nothing has changed by then.

create or replace function perdure.check_name(p_value text, p_what text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_value is null or p_value = '' or octet_length(p_value) > 1000 then
        raise exception 'the % must have 1 to 1000 bytes', p_what using errcode = 'PD003',
            hint = format('Give a %s that is not empty.', p_what);
    end if;
end
$$;
comment on function perdure.check_name(text, text) is 'Raises PD003 unless a name has 1 to 1000 bytes.';

create or replace function perdure.check_payloads(p_payloads jsonb, p_what text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_payload jsonb;
begin
    if p_payloads is null then
        return;
    end if;
    if jsonb_typeof(p_payloads) <> 'array' then
        raise exception 'the % must be an array of payloads', p_what using errcode = 'PD003',
            hint = 'A payload is {"encoding": "json/plain", "data": …}.';
    end if;
    for v_payload in select value from jsonb_array_elements(p_payloads) loop
        if jsonb_typeof(v_payload) <> 'object' or coalesce(jsonb_typeof(v_payload -> 'encoding'), '') <> 'string' then
            raise exception 'the % holds something that is not a payload', p_what using errcode = 'PD003',
                hint = 'A payload is {"encoding": "json/plain", "data": …}.';
        end if;
        if octet_length(v_payload::text) > 2097152 then
            raise exception 'a payload of the % is larger than 2 MiB', p_what using errcode = 'PD004',
                hint = 'Store large data elsewhere and pass a reference to it.';
        end if;
    end loop;
end
$$;
comment on function perdure.check_payloads(jsonb, text) is 'Raises PD003 unless it is an array of payloads, PD004 for one above 2 MiB.';

create or replace function perdure.check_memo(p_memo jsonb, p_what text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_memo is null then
        return;
    end if;
    if jsonb_typeof(p_memo) <> 'object' then
        raise exception 'the % must be an object of payloads', p_what using errcode = 'PD003',
            hint = 'For example {"note": {"encoding": "json/plain", "data": "x"}}.';
    end if;
    -- null takes an entry away.
    perform perdure.check_payloads(jsonb_agg(m.value), p_what) from jsonb_each(p_memo) m where m.value <> 'null';
end
$$;
comment on function perdure.check_memo(jsonb, text) is 'Raises PD003 unless it is an object of payloads, PD004 for one above 2 MiB.';

create or replace function perdure.attribute_time(p_value text) returns timestamptz
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when p_value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})$' then p_value::timestamptz end
$$;
comment on function perdure.attribute_time(text) is
    'The time that a Datetime search attribute holds. Immutable, so that an index can be made on it: RFC 3339 names its own zone.';

create or replace function perdure.is_time(p_value text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return perdure.attribute_time(p_value) is not null;
exception
    when data_exception then return false;
end
$$;
comment on function perdure.is_time(text) is 'Whether a text is a time in RFC 3339, of a day that exists.';

create or replace function perdure.check_search_attributes(p_namespace text, p_attributes jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
    v_value jsonb;
    v_type text;
begin
    if p_attributes is null then
        return;
    end if;
    if jsonb_typeof(p_attributes) <> 'object' then
        raise exception 'search attributes must be an object' using errcode = 'PD003', hint = 'For example {"customer": "c-1"}.';
    end if;
    for v_name, v_value in select key, value from jsonb_each(p_attributes) loop
        select a.type into v_type from perdure.search_attributes a where a.namespace = p_namespace and a.name = v_name;
        if v_type is null then
            raise exception 'there is no search attribute %', quote_ident(left(v_name, 100)) using errcode = 'PD008',
                hint = format('Add it: select perdure.add_search_attribute(%L, ''Keyword'', %L);', left(v_name, 100), p_namespace);
        end if;
        if v_value <> 'null' and not (case v_type
            when 'Int' then jsonb_typeof(v_value) = 'number' and v_value::numeric = trunc(v_value::numeric)
            when 'Double' then jsonb_typeof(v_value) = 'number'
            when 'Bool' then jsonb_typeof(v_value) = 'boolean'
            when 'KeywordList' then jsonb_typeof(v_value) = 'array' and not jsonb_path_exists(v_value, '$[*] ? (@.type() != "string")')
            when 'Datetime' then jsonb_typeof(v_value) = 'string' and perdure.is_time(v_value #>> '{}')
            else jsonb_typeof(v_value) = 'string' end) then
            raise exception 'search attribute % takes % values', quote_ident(v_name), v_type using errcode = 'PD008',
                hint = case v_type when 'Datetime' then 'A time is RFC 3339, such as "2026-01-31T09:00:00Z".' when 'KeywordList' then 'It is an array of strings.'
                    else format('It was given a JSON %s.', jsonb_typeof(v_value)) end;
        end if;
    end loop;
end
$$;
comment on function perdure.check_search_attributes(text, jsonb) is 'Raises PD008 for a search attribute that the namespace does not have, or a value of another type.';

create or replace function perdure.check_shard(p_shard smallint, p_namespace text, p_workflow_id text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
    v_namespace text;
begin
    select (s.value #>> '{}')::bigint, (select n.namespace from perdure.namespaces n where n.namespace = p_namespace) into v_count, v_namespace
    from perdure.settings s where s.name = 'shard_count';
    if v_namespace is null then
        raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)), 'null') using errcode = 'PD005',
            hint = format('Create it: select perdure.create_namespace(%L);', left(p_namespace, 100));
    end if;
    if octet_length(p_workflow_id) between 1 and 1000 is not true then
        perform perdure.check_name(p_workflow_id, 'workflow id');
    end if;
    if p_shard is distinct from perdure.shard_among(v_count, p_namespace, p_workflow_id) then
        raise exception 'shard % is not that of workflow %', p_shard, left(p_workflow_id, 100) using errcode = 'PD003',
            hint = 'Pass perdure.shard_for(namespace, workflow_id).';
    end if;
end
$$;
comment on function perdure.check_shard(smallint, text, text) is 'Raises unless the namespace exists, the workflow id is well formed and the shard is its own.';

create or replace function perdure.latest_run(p_shard smallint, p_namespace text, p_workflow_id text) returns perdure.executions
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
begin
    -- While the table is new and has no statistics, every index that begins with the namespace seems as good as the one that has the id, and
    -- a session keeps the plan that it made then while the table grows. So the namespace is compared in a way that no index serves; the
    -- order is still that of executions_by_workflow_id.
    select * into v_run from perdure.executions e
    where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
    order by e.namespace, e.start_time desc, e.run_id desc limit 1;
    return v_run;
end
$$;
comment on function perdure.latest_run(smallint, text, text) is 'The latest run of a workflow id, open or closed; null when there is none.';

create or replace function perdure.find_run(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid) returns perdure.executions
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
begin
    perform perdure.check_shard(p_shard, p_namespace, p_workflow_id);
    if p_run_id is null then
        v_run := perdure.latest_run(p_shard, p_namespace, p_workflow_id);
    else
        select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
        if (v_run.namespace, v_run.workflow_id) is distinct from (p_namespace, p_workflow_id) then
            v_run := null;
        end if;
    end if;
    if v_run.run_id is null then
        raise exception 'there is no workflow % in namespace %', quote_literal(left(p_workflow_id, 200)) || coalesce(' with run ' || p_run_id, ''), p_namespace
            using errcode = 'PD001', hint = 'Look it up in perdure.workflows; closed runs are deleted when their retention is over.';
    end if;
    return v_run;
end
$$;
comment on function perdure.find_run(smallint, text, text, uuid) is 'The named run, or the latest of the workflow id; raises PD001.';

create or replace function perdure.lock_open_run(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid) returns perdure.run_states
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    v_state perdure.run_states;
begin
    select * into v_state from perdure.run_states r where r.shard = p_shard and r.run_id = v_run.run_id for update;
    if v_state.run_id is null then
        raise exception 'workflow % is closed', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD006',
            detail = format('Its run %s has ended.', v_run.run_id), hint = 'Start it anew, or use signal-with-start.';
    end if;
    return v_state;
end
$$;
comment on function perdure.lock_open_run(smallint, text, text, uuid) is 'Locks the working memory of an open run; raises PD001 or, for a closed one, PD006.';
