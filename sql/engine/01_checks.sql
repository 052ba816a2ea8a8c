-- Checks of arguments. Each check raises a Perdure error with a hint before anything has changed.

create or replace function perdure.check_name(p_value text, p_what text, p_maximum int default null) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_maximum int := coalesce(p_maximum, perdure.maximum('name'));
begin
    if p_value is null or p_value = '' or octet_length(p_value) > v_maximum then
        raise exception 'the % must have 1 to % bytes', p_what, v_maximum using errcode = 'PD003',
            hint = case when octet_length(p_value) > v_maximum
                then format('It has %s: give a shorter one.', octet_length(p_value))
                else format('Give a %s that is not empty.', p_what) end;
    end if;
end
$$;
comment on function perdure.check_name(text, text, int) is
    'Raises PD003 unless a name has 1 to p_maximum bytes, 1000 by default.';
drop function if exists perdure.check_name(text, text);

create or replace function perdure.check_task_queue(p_value text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_name(p_value, 'task queue');
    if starts_with(p_value, '/_sys/') then
        raise exception 'task queue name cannot start with reserved prefix /_sys/' using errcode = 'PD003',
            hint = 'Temporal keeps that prefix for partitions of queues: give another name.';
    end if;
end
$$;
comment on function perdure.check_task_queue(text) is
    'Raises PD003 unless a task queue has a name of 1 to 1000 bytes that does not begin with /_sys/.';

create or replace function perdure.check_text(p_value text, p_what text, p_maximum int default null) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(p_value) > coalesce(p_maximum, perdure.maximum('name')) then
        raise exception 'the % is longer than % bytes', p_what,
            coalesce(p_maximum, perdure.maximum('name')) using errcode = 'PD003',
            hint = format('It has %s: give a shorter one.', octet_length(p_value));
    end if;
end
$$;
comment on function perdure.check_text(text, text, int) is
    'Raises PD003 if an identity, a request id, a reason or the like has more than p_maximum bytes, 1000 by default. '
    'Null is valid.';

create or replace function perdure.check_array(p_value jsonb, p_what text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(p_value) is distinct from 'array' then
        raise exception 'the % must be an array', p_what using errcode = 'PD003',
            hint = 'docs/reference/contract.md shows one.';
    end if;
end
$$;
comment on function perdure.check_array(jsonb, text) is
    'Raises PD003 unless the value that a caller passes as a set is an array.';

create or replace function perdure.in_bytes(p_bytes bigint) returns text
language sql immutable parallel safe
return case when p_bytes % 1048576 = 0 then p_bytes / 1048576 || ' MiB' when p_bytes % 1024 = 0 then p_bytes / 1024
    || ' KiB' else p_bytes || ' bytes' end;
comment on function perdure.in_bytes(bigint) is 'A limit in a form for people.';

create or replace function perdure.text_bytes(p_value jsonb, p_maximum bigint, p_level int default 1) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_bytes bigint := bigint '2';
    v_more bigint;
    v_number jsonb;
begin
    -- The number 1e100000 takes twelve bytes as jsonb and 100,001 bytes as text. So a large document is never made into
    -- text as a whole. It is made into text in pieces, so small that no text of one fills the memory, and only until
    -- the bytes exceed the maximum.
    if pg_column_size(p_value) < 2048 or jsonb_typeof(p_value) not in ('array', 'object') then
        return octet_length(p_value::text)::bigint;
    end if;
    if p_level > 10 then
        -- Beyond ten levels the function does not call itself for each level: it looks only for long numbers, one by
        -- one, before it makes the text of the whole value.
        for v_number in select n.value from jsonb_path_query(p_value, 'strict $.** ? (@.type() == "number")') n (value)
            where scale(n.value::numeric) > 40 or abs(n.value::numeric) >= 1e40 loop
            v_bytes := v_bytes + octet_length(v_number::text)::bigint;
            exit when v_bytes > p_maximum;
        end loop;
        return case when v_bytes > p_maximum then v_bytes else octet_length(p_value::text)::bigint end;
    end if;
    if jsonb_typeof(p_value) = 'array' then
        for v_more in select case when pg_column_size(e.value) < 2048 then octet_length(e.value::text)::bigint
                else perdure.text_bytes(e.value, p_maximum, p_level + 1) end
            from jsonb_array_elements(p_value) e loop
            v_bytes := v_bytes + v_more + 2;
            exit when v_bytes > p_maximum;
        end loop;
    else
        for v_more in select octet_length(to_jsonb(m.key)::text) + case when pg_column_size(m.value) < 2048
            then octet_length(m.value::text)::bigint
                else perdure.text_bytes(m.value, p_maximum, p_level + 1) end
            from jsonb_each(p_value) m loop
            v_bytes := v_bytes + v_more + 4;
            exit when v_bytes > p_maximum;
        end loop;
    end if;
    -- No comma follows the last member.
    return v_bytes - 2;
end
$$;
comment on function perdure.text_bytes(jsonb, bigint, int) is
    'How many bytes a document has as text, the form in which it is sent. If it has more than p_maximum, the result '
    'is some number above p_maximum.';

create or replace function perdure.document_problem(p_value jsonb, p_maximum int,
    p_depth int default perdure.maximum('depth')) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_value jsonb := p_value;
    v_size int;
begin
    if v_value is null then
        return null;
    end if;
    -- A value from a table may be compressed, and pg_column_size then gives the compressed size.
    if pg_column_compression(v_value) is not null then
        v_value := jsonb_build_array(v_value) -> 0;
    end if;
    v_size := pg_column_size(v_value);
    -- A level takes at least 8 bytes, so a value of less than 2048 bytes has no more than 256 levels.
    if v_size >= 2048 and jsonb_path_exists(v_value, format('$.**{%s}', p_depth)::jsonpath) then
        return format('is nested deeper than %s levels', p_depth);
    end if;
    -- A jsonb value takes at most four times the bytes of its text, so no text is made of a value that is far too
    -- large.
    if v_size > 8 * p_maximum::bigint or perdure.text_bytes(v_value, p_maximum) > p_maximum then
        return format('is larger than %s', perdure.in_bytes(p_maximum));
    end if;
    return null;
end
$$;
comment on function perdure.document_problem(jsonb, int, int) is
    'Whether a document is nested too deep, or has more bytes of text (the form in which it is sent) than it may: the '
    'end of a message that says so; null for a good document.';

create or replace function perdure.check_document(p_value jsonb, p_what text, p_maximum int) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := perdure.document_problem(p_value, p_maximum);
begin
    if v_problem is not null then
        raise exception 'the % %', p_what, v_problem using errcode = 'PD004', hint = case when v_problem like '%deeper%'
            then 'Pass what is nested so deep as a text, or as bytes.'
                else 'Store large data elsewhere and pass a reference to it.' end;
    end if;
end
$$;
comment on function perdure.check_document(jsonb, text, int) is
    'Raises PD004 for a document that is nested deeper than 256 levels, or whose text has more than p_maximum bytes.';

create or replace function perdure.is_usual_payloads(p_value jsonb) returns boolean
language sql stable parallel safe
return jsonb_typeof(p_value) = 'array'
    and (jsonb_array_length(p_value) = 0 or jsonb_array_length(p_value) = 1
        -- The most common encoding is recognised by its text alone.
        and (p_value #>> '{0,encoding}' = 'json/plain' or jsonb_typeof(p_value #> '{0,encoding}') = 'string'))
    -- A value from a table may be compressed, and pg_column_size then gives the compressed size.
    and pg_column_compression(p_value) is null
    -- The checks of document_problem, with a lower limit: the text of usual payloads is so short that callers may count
    -- the size of the jsonb value instead.
    and case when pg_column_size(p_value) < 2048 then octet_length(jsonb_send(p_value)) < 16384
        else pg_column_size(p_value) < 262144 and perdure.document_problem(p_value, 1048576) is null end;
comment on function perdure.is_usual_payloads(jsonb) is
    'Whether a value is an array of at most one payload, which is neither large nor nested too deep.';

create or replace function perdure.check_payloads(p_payloads jsonb, p_what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_payloads is null or perdure.is_usual_payloads(p_payloads) then
        return;
    end if;
    if jsonb_typeof(p_payloads) <> 'array' then
        raise exception 'the % must be an array of payloads', p_what using errcode = 'PD003',
            hint = 'A payload is {"encoding": "json/plain", "data": …}.';
    end if;
    perform perdure.check_document(p_payloads, p_what, perdure.maximum('payloads'));
    if exists (select from jsonb_array_elements(p_payloads) p
        where jsonb_typeof(p.value) <> 'object' or coalesce(jsonb_typeof(p.value -> 'encoding'), '') <> 'string') then
        raise exception 'the % holds something that is not a payload', p_what using errcode = 'PD003',
            hint = 'A payload is {"encoding": "json/plain", "data": …}.';
    end if;
end
$$;
comment on function perdure.check_payloads(jsonb, text) is
    'Raises PD003 unless a value is an array of payloads, and PD004 if the payloads have more than 2 MiB together or '
    'are nested too deep.';

create or replace function perdure.refused_payloads(p_payloads jsonb, p_what text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_payloads(p_payloads, p_what);
    return null;
exception
    when sqlstate 'PD003' or sqlstate 'PD004' then
        return jsonb_build_object('message', sqlerrm, 'source', 'Perdure',
            'applicationFailureInfo', jsonb_build_object('type', 'PayloadError', 'nonRetryable', true));
end
$$;
comment on function perdure.refused_payloads(jsonb, text) is
    'The error of check_payloads as a failure that takes the place of the payloads; null for good payloads. Functions '
    'that take many members use it, so that a bad member does not stop the others.';

create or replace function perdure.check_memo(p_memo jsonb, p_what text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_memo is null then
        return;
    end if;
    if jsonb_typeof(p_memo) <> 'object' then
        raise exception 'the % must be an object of payloads', p_what using errcode = 'PD003',
            hint = 'For example {"note": {"encoding": "json/plain", "data": "x"}}.';
    end if;
    perform perdure.check_document(p_memo, p_what, perdure.maximum('memo'));
    perform perdure.check_name(m.key, 'name in the ' || p_what) from jsonb_each(p_memo) m;
    -- A null value removes an entry.
    perform perdure.check_payloads(jsonb_agg(m.value), p_what) from jsonb_each(p_memo) m where m.value <> 'null';
end
$$;
comment on function perdure.check_memo(jsonb, text) is
    'Raises PD003 unless a memo is an object of payloads, and PD004 if it has more than 2 MiB or is nested too deep.';

create or replace function perdure.check_links(p_links jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_links is null then
        return;
    end if;
    if jsonb_typeof(p_links) <> 'array' or jsonb_path_exists(p_links, 'strict $[*] ? (@.type() != "object")') then
        raise exception 'the links must be an array of objects' using errcode = 'PD003',
            hint = 'For example [{"workflowEvent": {"namespace": "default", "workflowId": "w", "runId": "r"}}].';
    end if;
    if jsonb_array_length(p_links) > 10 then
        raise exception 'cannot attach more than 10 links per request, got %', jsonb_array_length(p_links)
            using errcode = 'PD004', hint = 'A link tells people where something comes from; leave the oldest out.';
    end if;
    perform perdure.check_document(l.value, 'link', 4000) from jsonb_array_elements(p_links) l;
end
$$;
comment on function perdure.check_links(jsonb) is
    'Raises PD003 unless links are an array of objects, and PD004 if there are more than 10 or one has more than 4000 '
    'bytes.';

create or replace function perdure.with_links(p_event jsonb, p_links jsonb) returns jsonb
language sql immutable parallel safe
return case when p_links is null or p_links = '[]' then p_event
    else p_event || jsonb_build_object('links', p_links) end;
comment on function perdure.with_links(jsonb, jsonb) is 'An event with its links to what caused it elsewhere.';

create or replace function perdure.search_attribute_types(p_namespace text, p_attributes jsonb) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_object_agg(a.name, a.type) from jsonb_object_keys(p_attributes) k
        join perdure.search_attributes a on a.namespace = p_namespace and a.name = k);
end
$$;
comment on function perdure.search_attribute_types(text, jsonb) is
    'The types of search attributes by name, for the history, which keeps them even after the namespace has removed '
    'an attribute. Null for none.';

create or replace function perdure.cut_text(p_value text, p_bytes int) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_bytes bytea;
    v_end int := greatest(p_bytes, 0);
begin
    if p_value is null or octet_length(p_value) <= v_end then
        return p_value;
    end if;
    v_bytes := convert_to(left(p_value, v_end), 'UTF8');
    -- The text is not cut in the middle of a character.
    while v_end > 0 and octet_length(v_bytes) > v_end and get_byte(v_bytes, v_end) & 192 = 128 loop
        v_end := v_end - 1;
    end loop;
    return convert_from(substring(v_bytes for v_end), 'UTF8');
end
$$;
comment on function perdure.cut_text(text, int) is 'The beginning of a text, of at most so many bytes.';

create or replace function perdure.cut_failure(p_failure jsonb, p_maximum int, p_text int) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_chain jsonb[] := array[]::jsonb[];
    v_failure jsonb := p_failure;
    v_cut jsonb;
    v_left int := p_text;
    v_message text;
    v_stack text;
    v_info record;
begin
    if p_failure is null or jsonb_typeof(p_failure) = 'object' and pg_column_size(p_failure) < 1024
        and octet_length(p_failure::text) <= p_maximum
        or jsonb_typeof(p_failure) = 'object' and perdure.document_problem(p_failure, p_maximum) is null then
        return p_failure;
    end if;
    if jsonb_typeof(p_failure) <> 'object' then
        return jsonb_build_object('message', 'the failure that was given is no object: '
            || perdure.cut_text(left(p_failure #>> '{}', 200), 200), 'source', 'Perdure');
    end if;
    -- As in Temporal's server, the fields that decide how to go on stay, and messages and stack traces are cut. The
    -- outer failures get the bytes first, so their causes are cut before they are.
    while jsonb_typeof(v_failure) = 'object' and v_left > 0 and cardinality(v_chain) < 100 loop
        v_message := perdure.cut_text(v_failure ->> 'message', v_left);
        v_left := v_left - octet_length(coalesce(v_message, ''));
        v_stack := perdure.cut_text(v_failure ->> 'stackTrace', v_left);
        v_left := v_left - octet_length(coalesce(v_stack, ''));
        v_cut := jsonb_strip_nulls(jsonb_build_object('message', coalesce(v_message, ''),
            'source', perdure.cut_text(v_failure ->> 'source', 1000), 'stackTrace', nullif(v_stack, '')));
        for v_info in select i.key, i.value from jsonb_each(v_failure) i where i.key like '%FailureInfo'
            and jsonb_typeof(i.value) = 'object' loop
            v_cut := v_cut || jsonb_build_object(v_info.key, coalesce((
                select jsonb_object_agg(f.key, case when jsonb_typeof(f.value) = 'string'
                    then to_jsonb(perdure.cut_text(f.value #>> '{}', 1000)) else f.value end)
                from jsonb_each(v_info.value) f
                where f.key not in ('details', 'lastHeartbeatDetails') and pg_column_size(f.value) < 2048
                    and octet_length(f.value::text) < 4096), '{}'));
        end loop;
        v_chain := v_chain || v_cut;
        v_failure := v_failure -> 'cause';
    end loop;
    v_cut := null;
    for i in reverse cardinality(v_chain) .. 1 loop
        v_cut := case when v_cut is null then v_chain[i] else v_chain[i] || jsonb_build_object('cause', v_cut) end;
    end loop;
    return v_cut;
end
$$;
comment on function perdure.cut_failure(jsonb, int, int) is
    'The failure unchanged, if its text has at most p_maximum bytes and it is not nested too deep. Otherwise the '
    'failure without its details, and with p_text bytes of messages and stack traces, of which the outer failures get '
    'theirs before their causes.';

create or replace function perdure.fit_failure(p_failure jsonb) returns jsonb
language sql stable parallel safe
return case when jsonb_typeof(p_failure) = 'object' and pg_column_compression(p_failure) is null
    and pg_column_size(p_failure) < 2048
        and octet_length(p_failure::text) < 16384 then p_failure
    else perdure.cut_failure(p_failure, perdure.maximum('failure'), perdure.maximum('failure text')) end;
comment on function perdure.fit_failure(jsonb) is
    'A failure as histories store it: cut if it has more than 2 MiB, as in Temporal.';

create or replace function perdure.attribute_time(p_value text) returns timestamptz
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when p_value ~
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})$'
        then p_value::timestamptz end
$$;
comment on function perdure.attribute_time(text) is
    'The time that a Datetime search attribute holds. The function is immutable, so that an index can be made on it: '
    'a time in RFC 3339 names its own zone.';

create or replace function perdure.is_time(p_value text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return perdure.attribute_time(p_value) is not null;
exception
    when data_exception then return false;
end
$$;
comment on function perdure.is_time(text) is 'Whether a text is a time in RFC 3339 on a day that exists.';

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
        raise exception 'search attributes must be an object' using errcode = 'PD003',
            hint = 'For example {"customer": "c-1"}.';
    end if;
    perform perdure.check_document(p_attributes, 'search attributes', perdure.maximum('search attributes'));
    if (select count(*) from jsonb_object_keys(p_attributes)) > perdure.maximum('search attribute count') then
        raise exception 'there are more than % search attributes',
            perdure.maximum('search attribute count') using errcode = 'PD004',
            hint = 'Put what nobody searches for into the memo.';
    end if;
    for v_name, v_value in select key, value from jsonb_each(p_attributes) loop
        if octet_length(v_value::text) > perdure.maximum('search attribute') then
            raise exception 'search attribute % is larger than %', quote_ident(left(v_name, 100)),
                perdure.in_bytes(perdure.maximum('search attribute'))
                using errcode = 'PD004', hint = 'Put what nobody searches for into the memo.';
        end if;
        select a.type into v_type from perdure.search_attributes a where a.namespace = p_namespace and a.name = v_name;
        if v_type is null then
            raise exception 'there is no search attribute %', quote_ident(left(v_name, 100)) using errcode = 'PD008',
                hint = format('Add it: select perdure.add_search_attribute(%L, ''Keyword'', %L);', left(v_name, 100),
                    p_namespace);
        end if;
        if v_value <> 'null' and (case v_type
            when 'Int' then case when jsonb_typeof(v_value) = 'number'
                then v_value::numeric = trunc(v_value::numeric) end
            when 'Double' then jsonb_typeof(v_value) = 'number'
            when 'Bool' then jsonb_typeof(v_value) = 'boolean'
            when 'KeywordList' then jsonb_typeof(v_value) = 'array'
                and not jsonb_path_exists(v_value, '$[*] ? (@.type() != "string")')
            when 'Datetime' then jsonb_typeof(v_value) = 'string' and perdure.is_time(v_value #>> '{}')
            else jsonb_typeof(v_value) = 'string' end) is not true then
            raise exception 'search attribute % takes % values', quote_ident(v_name), v_type using errcode = 'PD008',
                hint = case v_type when 'Datetime' then 'A time is RFC 3339, such as "2026-01-31T09:00:00Z".'
                    when 'KeywordList' then 'It is an array of strings.'
                    else format('It was given a JSON %s.', jsonb_typeof(v_value)) end;
        end if;
    end loop;
end
$$;
comment on function perdure.check_search_attributes(text, jsonb) is
    'Raises PD008 for a search attribute that the namespace does not have or a value of another type, and PD004 for '
    'search attributes that are too large.';

create or replace function perdure.refuse_namespace(p_namespace text) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)),
        'null') using errcode = 'PD005',
        hint = format('Create it: select perdure.create_namespace(%L);', left(p_namespace, 100));
end
$$;
comment on function perdure.refuse_namespace(text) is 'Raises PD005.';

create or replace function perdure.check_shard(p_shard smallint, p_namespace text, p_workflow_id text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
    v_namespace text;
begin
    select (s.value #>> '{}')::bigint, (select n.namespace from perdure.namespaces n
        where n.namespace = p_namespace and n.deleted_at is null)
        into v_count, v_namespace
    from perdure.settings s where s.name = 'shard_count';
    if v_namespace is null then
        perform perdure.refuse_namespace(p_namespace);
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
comment on function perdure.check_shard(smallint, text, text) is
    'Raises an error unless the namespace exists, the workflow id is well formed, and p_shard is the shard of that '
    'workflow id.';

drop function if exists perdure.latest_run(smallint, text, text);
create or replace function perdure.current_run(p_shard smallint, p_namespace text, p_workflow_id text)
returns perdure.executions
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
begin
    -- While the table is new and has no statistics, the planner takes every index that begins with the namespace to be
    -- as good as executions_by_number, and a session keeps that plan while the table grows. `|| ''` keeps the planner
    -- from looking the namespace up in an index; the ORDER BY still fits executions_by_number.
    select * into v_run from perdure.executions e
    where e.shard = p_shard and e.workflow_id = p_workflow_id and e.namespace || '' = p_namespace
    order by e.namespace, e.run_number desc limit 1;
    return v_run;
end
$$;
comment on function perdure.current_run(smallint, text, text) is
    'The current run of a workflow id, open or closed: the one with the highest number. Null when there is none.';

create or replace function perdure.find_run(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid)
    returns perdure.executions
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
begin
    perform perdure.check_shard(p_shard, p_namespace, p_workflow_id);
    if p_run_id is null then
        v_run := perdure.current_run(p_shard, p_namespace, p_workflow_id);
    else
        select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
        if (v_run.namespace, v_run.workflow_id) is distinct from (p_namespace, p_workflow_id) then
            v_run := null;
        end if;
    end if;
    if v_run.run_id is null then
        raise exception 'there is no workflow % in namespace %', quote_literal(left(p_workflow_id, 200))
            || coalesce(' with run ' || p_run_id, ''), p_namespace
            using errcode = 'PD001',
                hint = 'Look it up in perdure.workflows; closed runs are deleted when their retention is over.';
    end if;
    return v_run;
end
$$;
comment on function perdure.find_run(smallint, text, text, uuid) is
    'The named run, or the current one of the workflow id. Raises PD001 if there is none.';

create or replace function perdure.lock_open_run(p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid)
    returns perdure.run_states
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.executions;
    v_state perdure.run_states;
    v_gone uuid;
begin
    loop
        v_run := perdure.find_run(p_shard, p_namespace, p_workflow_id, p_run_id);
        select * into v_state from perdure.run_states r where r.shard = p_shard and r.run_id = v_run.run_id for update;
        exit when v_state.run_id is not null;
        if v_run.status <> 'Running' then
            raise exception 'workflow % is closed', quote_literal(left(p_workflow_id, 200)) using errcode = 'PD006',
                detail = format('Its run %s has ended.', v_run.run_id),
                hint = 'Start it anew, or use signal-with-start.';
        end if;
        -- The run closed after it was found, and the next run may have begun.
        perform perdure.check_still_open(v_run.run_id, v_gone);
        v_gone := v_run.run_id;
    end loop;
    return v_state;
end
$$;
comment on function perdure.lock_open_run(smallint, text, text, uuid) is
    'Locks the working memory of an open run, the named one or the current one. Raises PD001 if there is no such run, '
    'and PD006 if it has closed.';

create or replace function perdure.check_still_open(p_run_id uuid, p_gone uuid) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_run_id = p_gone then
        raise exception 'run % is said to be running, but its working memory is missing', p_run_id
            using errcode = 'PD006',
                hint = 'This should not be: select * from perdure.violations() tells what else is wrong.';
    end if;
end
$$;
comment on function perdure.check_still_open(uuid, uuid) is
    'Raises PD006 if the same run was found open twice and could not be locked. Once is no error, because the run can '
    'have closed meanwhile.';
