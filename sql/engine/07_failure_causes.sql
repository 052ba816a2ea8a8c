-- What a failure is of, in few words: runs that fail of one thing are counted and found by it.

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
        -- Python tells the innermost call last, and most of its lines are of libraries.
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
    'The line of code that a failure names, of its innermost cause that names one, as Bug.swift:30; null for none.';

create or replace function perdure.failure_root(p_failure jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_link jsonb := p_failure;
begin
    for v_depth in 1 .. 20 loop
        -- A time-out tells of the failure before it as its cause.
        exit when v_link ? 'timeoutFailureInfo' or jsonb_typeof(v_link -> 'cause') is distinct from 'object';
        v_link := v_link -> 'cause';
    end loop;
    return v_link;
end
$$;
comment on function perdure.failure_root(jsonb) is
    'The innermost cause of a failure, without its effects; a time-out is its own.';

create or replace function perdure.failure_message(p_failure jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return left(coalesce(nullif(perdure.failure_root(p_failure) ->> 'message', ''), nullif(p_failure ->> 'message', ''),
        'no message'), 1000);
end
$$;
comment on function perdure.failure_message(jsonb) is 'What a failure says, of its innermost cause; cut at 1,000.';

create or replace function perdure.failure_cause(p_failure jsonb) returns text
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    v_root jsonb := perdure.failure_root(p_failure);
    v_type text := coalesce(v_root #>> '{timeoutFailureInfo,timeoutType}' || ' timeout',
        nullif(v_root #>> '{applicationFailureInfo,type}', ''));
begin
    if v_type is null then
        -- What has no type is told apart by its message, whose numbers and ids are each run's own.
        v_type := regexp_replace(split_part(left(perdure.failure_message(p_failure), 200), chr(10), 1),
            '[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9]+', '…', 'g');
    end if;
    return left(v_type, 150) || coalesce(' at ' || case when v_root ? 'timeoutFailureInfo' then null
        else left(perdure.failure_place(p_failure), 100) end, '');
end
$$;
comment on function perdure.failure_cause(jsonb) is
    'What a failure is of, the same for all that fail of one thing: its type and the line of code that it names, as '
    'MissingReceiptNumber at Bug.swift:30; of one without a type its message without numbers.';
