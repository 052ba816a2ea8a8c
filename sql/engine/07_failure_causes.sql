-- The cause of a failure in few words. Runs that fail for one cause are counted and found by it.

create or replace function perdure.failure_place(p_failure jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_link jsonb := p_failure;
    v_text text;
    v_found text[];
    v_place text;
begin
    for v_depth in 1 .. 20 loop
        exit when jsonb_typeof(v_link) is distinct from 'object';
        v_text := left(concat_ws(chr(10), v_link ->> 'stackTrace', v_link ->> 'message'), 20000);
        -- Python prints the innermost call last, and most of its lines belong to libraries.
        select m.match into v_found
        from regexp_matches(v_text, 'File "([^"]*/)?([^"/]+)", line ([0-9]{1,7})', 'g') with ordinality m (match, n)
        order by coalesce(m.match[1], '') ~ '/(site-packages|lib/python[0-9.]*|temporalio)/', m.n desc limit 1;
        if v_found is not null then
            v_place := v_found[2] || ':' || v_found[3];
        else
            v_found := regexp_match(v_text,
                '([[:alnum:]_+-][[:alnum:]_+.-]*[.](?:swift|py|go|ts|js|java|kt|rb|cs|php|rs)):([0-9]{1,7})(?![0-9])');
            v_place := coalesce(v_found[1] || ':' || v_found[2], v_place);
        end if;
        v_link := v_link -> 'cause';
    end loop;
    return v_place;
end
$$;
comment on function perdure.failure_place(jsonb) is
    'The line of code that a failure names, such as Bug.swift:30. If several of its causes name one, the line of the '
    'innermost. Null for none.';

create or replace function perdure.failure_root(p_failure jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_link jsonb := p_failure;
begin
    for v_depth in 1 .. 20 loop
        -- The cause of a time-out is only the failure of the attempt before it.
        exit when v_link ? 'timeoutFailureInfo' or jsonb_typeof(v_link -> 'cause') is distinct from 'object';
        v_link := v_link -> 'cause';
    end loop;
    return v_link;
end
$$;
comment on function perdure.failure_root(jsonb) is
    'The innermost cause of a failure, without the failures around it. A time-out counts as its own cause.';

create or replace function perdure.failure_message(p_failure jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return left(coalesce(nullif(perdure.failure_root(p_failure) ->> 'message', ''), nullif(p_failure ->> 'message', ''),
        'no message'), 1000);
end
$$;
comment on function perdure.failure_message(jsonb) is
    'The message of the innermost cause of a failure, cut at 1,000 characters.';

create or replace function perdure.failure_cause(p_failure jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_root jsonb := perdure.failure_root(p_failure);
    v_type text := coalesce(v_root #>> '{timeoutFailureInfo,timeoutType}' || ' timeout',
        nullif(v_root #>> '{applicationFailureInfo,type}', ''));
begin
    if v_type is null then
        -- A failure without a type is told apart by its message. Numbers and ids are taken out of it, because each run
        -- has its own.
        v_type := regexp_replace(split_part(left(perdure.failure_message(p_failure), 200), chr(10), 1),
            '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]+', '…', 'g');
    end if;
    return left(v_type, 150) || coalesce(' at ' || case when v_root ? 'timeoutFailureInfo' then null
        else left(perdure.failure_place(p_failure), 100) end, '');
end
$$;
comment on function perdure.failure_cause(jsonb) is
    'The cause of a failure in few words, which is the same for all failures of one kind: the type and the line of '
    'code that the failure names, such as MissingReceiptNumber at Bug.swift:30. For a failure without a type, its '
    'message without numbers.';
