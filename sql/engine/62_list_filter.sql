-- The list filter: Temporal's language for choosing runs, turned into bound SQL.
--
-- AND, OR, NOT and parentheses mean what they mean in SQL, so they are copied; each comparison is translated. Only
-- expressions from this file are spliced into the statement. Every text that a person wrote, names of search attributes
-- included, becomes an element of one array, $1, and the statement has $1[3] in its place.

create or replace function perdure.list_filter_fields(namespace text default 'default')
    returns table (name text, type text, description text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select f.name, f.type, f.description from (values
        ('WorkflowId', 'Keyword', 'The workflow''s id'),
        ('RunId', 'Keyword', 'The run''s id, a UUID'),
        ('WorkflowType', 'Keyword', 'The workflow''s type'),
        ('ExecutionStatus', 'Keyword', 'Running, Completed, Failed, Canceled, Terminated, ContinuedAsNew or TimedOut'),
        ('StartTime', 'Datetime', 'When the run was started'),
        ('ExecutionTime', 'Datetime', 'When its first workflow task could run: later than StartTime by a start delay'),
        ('CloseTime', 'Datetime', 'When the run ended'),
        ('ExecutionDuration', 'Duration', 'From ExecutionTime to CloseTime, of a run that has ended'),
        ('HistoryLength', 'Int', 'How many events its history has'),
        ('TaskQueue', 'Keyword', 'The task queue of its workflow tasks'),
        ('ParentWorkflowId', 'Keyword', 'The workflow id of the run that started it as its child'),
        ('ParentRunId', 'Keyword', 'The run that started it as its child, a UUID'),
        ('RootWorkflowId', 'Keyword', 'The workflow id of the run at the root of its tree'),
        ('RootRunId', 'Keyword', 'The run at the root of its tree, a UUID'),
        ('Condition', 'KeywordList',
            'What is wrong with an open run: Retrying, CodeFails, NoWorker or Paused; null for nothing'),
        ('Cause', 'KeywordList', 'What fails of an open run, as its verdict names it'),
        ('FailingActivity', 'KeywordList', 'The types of activities that have failed and are tried again'),
        ('FailingBuild', 'KeywordList', 'The builds of workers with which what fails began to'))
        f (name, type, description)
    -- A namespace may have had a search attribute of such a name before this field existed.
    where not exists (select from perdure.search_attributes a where a.namespace = $1 and a.name = f.name)
    union all
    (select a.name, a.type, 'A search attribute' from perdure.search_attributes a where a.namespace = $1
        order by a.name)
$$;
comment on function perdure.list_filter_fields(text) is
    'The names that a list filter can use: the fields of every run, then the namespace''s search attributes. A search '
    'attribute hides the field of its name; the names PerdureCondition, PerdureCause and so on always mean the '
    'fields.';

create or replace function perdure.list_filter_field(p_namespace text, p_name text, out field text, out type text)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case when f.description = 'A search attribute' then '`' || f.name || '`' else f.name end, f.type
    from perdure.list_filter_fields(p_namespace) f where f.name = p_name
    union all
    select substr(p_name, 8), 'KeywordList'
    where p_name in ('PerdureCondition', 'PerdureCause', 'PerdureFailingActivity', 'PerdureFailingBuild')
    limit 1
$$;
comment on function perdure.list_filter_field(text, text) is
    'The field or search attribute that a name of a list filter means. The name of a search attribute is returned in '
    'backticks. Null if the name means nothing.';

create or replace function perdure.refuse_filter(p_message text, p_hint text, p_first int, p_last int) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'list filter: %', p_message using errcode = 'PD003',
        detail = format('characters %s to %s', p_first, p_last), hint = p_hint;
end
$$;
comment on function perdure.refuse_filter(text, text, int, int) is
    'Raises PD003 for a list filter; the detail says which characters are meant, so that a page can point at them.';

create or replace function perdure.list_filter_value(p_field text, p_type text, p_token text, p_first int) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_last int := p_first + greatest(length(p_token), 1) - 1;
    v_quoted boolean := left(p_token, 1) in ('''', '"');
    v_text text := p_token;
    v_name text := btrim(p_field, '`');
    v_given text := case when p_token = '' then 'nothing' else left(p_token, 60) end;
    v_parts text[];
begin
    if v_quoted then
        v_text := replace(substr(p_token, 2, length(p_token) - 2), repeat(left(p_token, 1), 2), left(p_token, 1));
    end if;
    case
    when p_field = 'ExecutionStatus' then
        select s into v_text from unnest(enum_range(null::perdure.execution_status)::text[]) s where v_quoted
            and lower(s) = lower(v_text);
        if v_text is null then
            perform perdure.refuse_filter(format('%s is not a status', v_given),
                'It is ''Running'', ''Completed'', ''Failed'', ''Canceled'', ''Terminated'', ''ContinuedAsNew'' or '
                '''TimedOut'', in quotes.', p_first, v_last);
        end if;
    when p_field = 'Condition' then
        select c into v_text from unnest(array['Retrying', 'CodeFails', 'NoWorker', 'Paused']) c
            where v_quoted and lower(c) = lower(v_text);
        if v_text is null then
            perform perdure.refuse_filter(format('%s is not a condition', v_given),
                'It is ''Retrying'', ''CodeFails'', ''NoWorker'' or ''Paused'', in quotes; Condition IS NULL for none.',
                p_first, v_last);
        end if;
    when p_field in ('RunId', 'ParentRunId', 'RootRunId') then
        if not v_quoted or v_text !~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
            perform perdure.refuse_filter(format('%s is not a run id', v_given),
                'A run id is a UUID in quotes; WorkflowId is what an application chose.',
                p_first, v_last);
        end if;
    when p_type in ('Keyword', 'KeywordList', 'Text') then
        if not v_quoted then
            perform perdure.refuse_filter(format('%s takes a string, not %s', v_name, v_given),
                'Strings stand in single or double quotes.', p_first, v_last);
        end if;
    when p_type in ('Int', 'Double') then
        if v_quoted or v_text !~ '^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,3})?$' or p_type = 'Int'
            and v_text !~ '^[-+]?[0-9]+$' then
            perform perdure.refuse_filter(format('%s takes %s, not %s', v_name, case p_type when 'Int'
                then 'a whole number' else 'a number' end, v_given),
                'Numbers stand without quotes.', p_first, v_last);
        end if;
        if p_type = 'Int' and v_text::numeric not between -9223372036854775808 and 9223372036854775807 then
            perform perdure.refuse_filter(format('%s takes a whole number of 64 bits, not %s', v_name, v_given),
                'It is from -9223372036854775808 to 9223372036854775807.', p_first, v_last);
        end if;
    when p_type = 'Bool' then
        v_text := lower(v_text);
        if v_text not in ('true', 'false') then
            perform perdure.refuse_filter(format('%s takes true or false, not %s', v_name, v_given),
                'They stand without quotes.', p_first, v_last);
        end if;
    when p_type = 'Datetime' then
        begin
            v_text := perdure.rfc3339(case
                when v_quoted then perdure.attribute_time(v_text)
                when v_text ~ '^[0-9]{1,19}$' then to_timestamp(0) + v_text::bigint / 1000 * interval '1 microsecond'
                    end);
        exception when data_exception then
            v_text := null;
        end;
        if v_text is null then
            perform perdure.refuse_filter(format('%s takes a time, not %s', v_name, v_given),
                'Times are RFC 3339 in quotes, such as ''2026-01-31T09:00:00Z'', or Unix nanoseconds.', p_first,
                    v_last);
        end if;
    when p_type = 'Duration' then
        v_parts := regexp_match(v_text,
            '^(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?'
                '(?:([0-9]{1,10}(?:[.][0-9]{1,9})?)s)?(?:([0-9]{1,13}(?:[.][0-9]{1,9})?)ms)?$');
        v_text := case
            when not v_quoted and v_text ~ '^[0-9]{1,18}$' then (v_text::numeric / 1000000000)::text
            when v_quoted and v_text ~ '^[0-9]{1,6}:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?$'
                then extract(epoch from v_text::interval)::text
            when v_quoted and v_text <> '' and v_parts is not null
                then (coalesce(v_parts[1], '0')::numeric * 3600 + coalesce(v_parts[2], '0')::numeric * 60
                + coalesce(v_parts[3], '0')::numeric + coalesce(v_parts[4], '0')::numeric / 1000)::text end
                    || ' seconds';
        if v_text is null then
            perform perdure.refuse_filter(format('%s takes a duration, not %s', v_name, v_given),
                'Durations are such as ''1h30m'', ''90s'', ''250ms'' or ''01:30:00'' in quotes, or nanoseconds.',
                    p_first, v_last);
        end if;
    end case;
    return v_text;
end
$$;
comment on function perdure.list_filter_value(text, text, text, int) is
    'Reads a value of a list filter by the type of the field; raises PD003 at its place.';

create or replace function perdure.parse_list_filter(p_namespace text, p_filter text,
    out parameters text[], out condition text, out order_keys jsonb)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    c_operands constant text := 'A comparison is such as WorkflowType = ''Transfer''.';
    v_tokens text[];
    v_words text[];                 -- the tokens in upper case, quoted ones empty
    v_first int[];                  -- where each begins
    v_count int;
    i int := 1;
    v_open boolean[] := array[]::boolean[];       -- for each parenthesis that is open, whether a NOT stands before it
    v_not boolean := false;         -- a NOT stands right before
    v_name text;
    v_field text;                   -- the name of the field that is meant, in backticks for a search attribute
    v_type text;
    v_expression text;
    v_cast text;
    v_operator text;
    v_place int;
    v_negated boolean;
    v_values text[];
    v_leaf text;
    v_words_of_text text;
    v_chosen record;
begin
    if not exists (select from perdure.namespaces n where n.namespace = p_namespace and n.deleted_at is null) then
        raise exception 'there is no namespace %', coalesce(quote_ident(left(p_namespace, 100)),
            'null') using errcode = 'PD005',
            hint = 'select namespace from perdure.namespaces lists them.';
    end if;
    if length(p_filter) > 10000 then
        perform perdure.refuse_filter('it is longer than 10,000 characters',
            'Split it, or give the runs a search attribute to find them by.', 10001, length(p_filter));
    end if;
    select coalesce(array_agg(t.token order by t.first) filter (where t.token !~ '^[[:space:]]'), '{}'),
        coalesce(array_agg(case when t.token ~ '^[''"`]' then '' else upper(t.token) end
            order by t.first) filter (where t.token !~ '^[[:space:]]'), '{}'),
        coalesce(array_agg(t.first order by t.first) filter (where t.token !~ '^[[:space:]]'), '{}')
    into v_tokens, v_words, v_first
    from (
        select m.match[1] as token, (sum(length(m.match[1])) over (order by m.n) - length(m.match[1]))::int + 1 as first
        from regexp_matches(coalesce(p_filter, ''),
            e'[[:space:]]+|''(?:[^'']|'''')*''|"(?:[^"]|"")*"|`[^`]+`|'
                || e'[[:alpha:]_\\u0080-\\uffff][[:alnum:]_.\\u0080-\\uffff]*'
                '|[-+]?[0-9.][[:alnum:].]*(?:[eE][-+][0-9]+)?|<=|>=|!=|<>|.', 'g')
            with ordinality m (match, n)) t;
    v_count := cardinality(v_tokens);
    v_place := array_position(v_tokens, any_quote) from unnest(array['''', '"', '`']) any_quote
        where any_quote = any (v_tokens) limit 1;
    if v_place is not null then
        perform perdure.refuse_filter(format('the quote %s is not closed', v_tokens[v_place]),
            'A quote within quotes is doubled.', v_first[v_place], length(p_filter));
    end if;
    if v_count > 1000 then
        perform perdure.refuse_filter('it has more than 1,000 words',
            'Split it, or give the runs a search attribute to find them by.',
            v_first[1001], length(p_filter));
    end if;
    -- The end is a token too, right behind the last character.
    v_tokens := v_tokens || ''::text;
    v_words := v_words || ''::text;
    v_first := v_first || length(rtrim(coalesce(p_filter, ''))) + 1;

    parameters := array[p_namespace];
    condition := '';
    order_keys := '[]';
    <<conditions>>
    while i <= v_count and not (v_words[i] = 'ORDER' and condition = '') loop
        -- An operand: NOT, a parenthesis, or a comparison.
        if v_words[i] = 'NOT' then
            condition := condition || 'not ';
            v_not := true;
            i := i + 1;
            continue;
        elsif v_tokens[i] = '(' then
            if cardinality(v_open) >= 50 then
                perform perdure.refuse_filter('more than 50 parentheses are open', 'Most of them can go.', v_first[i],
                    v_first[i]);
            end if;
            condition := condition || '(';
            v_open := v_open || (v_not or coalesce(v_open[cardinality(v_open)], false));
            v_not := false;
            i := i + 1;
            continue;
        end if;

        v_place := i;
        v_name := case when left(v_tokens[i], 1) = '`' then substr(v_tokens[i], 2, length(v_tokens[i]) - 2)
            else v_tokens[i] end;
        if v_tokens[i] !~ e'^[[:alpha:]_`\\u0080-\\uffff]' or v_tokens[i] = '`'
            or v_words[i] in ('AND', 'OR', 'ORDER', 'GROUP', 'IN', 'IS', 'BETWEEN') then
            perform perdure.refuse_filter(case when i > v_count then 'a comparison is missing at the end'
                else format('a comparison was expected, not %s', left(v_tokens[i], 60)) end, c_operands, v_first[i],
                    v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
        end if;
        select f.field, f.type into v_field, v_type from perdure.list_filter_field(p_namespace, v_name) f;
        if v_type is null then
            perform perdure.refuse_filter(format('there is no field or search attribute %s', left(v_name, 60)),
                coalesce((select format('Do you mean %s?', f.name) from perdure.list_filter_fields(p_namespace) f
                    where lower(f.name) = lower(v_name) limit 1),
                    'select name, type from perdure.list_filter_fields() lists them.'), v_first[i],
                        v_first[i] + length(v_tokens[i]) - 1);
        end if;
        i := i + 1;

        -- The operator.
        v_negated := v_words[i] = 'NOT';
        if v_negated then
            i := i + 1;
        end if;
        v_operator := case when v_tokens[i] = '<>' then '!=' else v_words[i] end;
        if not (v_operator in ('IN', 'BETWEEN', 'STARTS_WITH') or not v_negated
            and v_operator in ('=', '!=', '<', '<=', '>', '>=', 'IS')) then
            perform perdure.refuse_filter(case when v_tokens[i] = ''
                then format('an operator is missing after %s', left(v_name, 60))
                else format('%s is not an operator', left(v_tokens[i], 60)) end,
                'Operators are =, !=, <, <=, >, >=, IN, NOT IN, BETWEEN … AND, STARTS_WITH, IS NULL and IS NOT NULL; a '
                'name with other characters stands in backticks.',
                v_first[i], v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
        end if;
        if v_operator = 'STARTS_WITH' and v_type <> 'Keyword' or v_field = 'ExecutionStatus'
            and v_operator not in ('=', '!=', 'IN', 'IS')
            or v_type in ('Bool', 'Text', 'KeywordList') and v_operator not in ('=', '!=', 'IN', 'IS') then
            perform perdure.refuse_filter(format('%s cannot be compared by %s', v_name, v_tokens[i]),
                case when v_operator = 'STARTS_WITH' then 'STARTS_WITH is for fields of type Keyword.'
                    else '=, !=, IN and IS NULL are possible.' end,
                v_first[i], v_first[i] + length(v_tokens[i]) - 1);
        end if;
        i := i + 1;

        -- The values.
        v_values := '{}';
        case v_operator
        when 'IS' then
            v_negated := v_words[i] = 'NOT';
            if v_negated then
                i := i + 1;
            end if;
            if v_words[i] <> 'NULL' then
                perform perdure.refuse_filter('IS takes NULL or NOT NULL', 'For example CloseTime IS NULL.', v_first[i],
                    v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
            end if;
            i := i + 1;
        when 'IN' then
            if v_tokens[i] <> '(' then
                perform perdure.refuse_filter('IN takes a list in parentheses',
                    'For example ExecutionStatus IN (''Failed'', ''TimedOut'').',
                    v_first[i], v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
            end if;
            loop
                i := i + 1;
                v_values := v_values || perdure.list_filter_value(v_field, v_type, v_tokens[i], v_first[i]);
                i := i + 1;
                exit when v_tokens[i] = ')';
                if v_tokens[i] <> ',' then
                    perform perdure.refuse_filter('the list after IN is not closed',
                        'Values are separated by commas, and ) closes the list.',
                        v_first[i], v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
                end if;
            end loop;
            i := i + 1;
        when 'BETWEEN' then
            v_values := array[perdure.list_filter_value(v_field, v_type, v_tokens[i], v_first[i])];
            i := i + 1;
            if v_words[i] <> 'AND' then
                perform perdure.refuse_filter('BETWEEN takes two values with AND between them',
                    'For example HistoryLength BETWEEN 100 AND 200.',
                    v_first[i], v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
            end if;
            i := i + 1;
            v_values := v_values || perdure.list_filter_value(v_field, v_type, v_tokens[i], v_first[i]);
            i := i + 1;
        else
            v_values := array[perdure.list_filter_value(v_field, v_type, v_tokens[i], v_first[i])];
            i := i + 1;
        end case;
        if v_operator = '!=' then
            v_operator := '=';
            v_negated := true;
        end if;
        if v_type = 'Text' then
            for j in 1 .. cardinality(v_values) loop
                select string_agg(quote_literal(lexeme), ' | ') into v_words_of_text
                    from unnest(to_tsvector('pg_catalog.simple', v_values[j]));
                if v_words_of_text is null then
                    perform perdure.refuse_filter(format('%s has no word to look for', left(v_tokens[v_place + 2], 60)),
                        'Text is found by its words.',
                        v_first[v_place + 2], v_first[v_place + 2] + length(v_tokens[v_place + 2]) - 1);
                end if;
                v_values[j] := v_words_of_text;
            end loop;
        end if;

        -- The comparison in SQL.
        select e.expression, e.cast_to into v_expression, v_cast
            from perdure.list_filter_expression(v_field, v_type, cardinality(parameters) + 1) e;
        if v_expression like '%$1[%' then
            parameters := parameters || v_name;
        end if;
        if v_operator = 'IS' then
            v_leaf := v_expression || ' is null';
        elsif v_operator = 'BETWEEN' then
            v_leaf := format('%s between $1[%s]::%s and $1[%s]::%s', v_expression, cardinality(parameters) + 1, v_cast,
                cardinality(parameters) + 2, v_cast);
            parameters := parameters || v_values;
        elsif v_operator = 'STARTS_WITH' then
            v_leaf := format('%s::text ^@ $1[%s]', v_expression, cardinality(parameters) + 1);
            parameters := parameters || v_values;
        elsif v_operator in ('<', '<=', '>', '>=') then
            v_leaf := format('%s %s $1[%s]::%s', v_expression, v_operator, cardinality(parameters) + 1, v_cast);
            parameters := parameters || v_values;
        else
            v_leaf := '';
            for j in 1 .. cardinality(v_values) loop
                if v_field in ('Condition', 'Cause', 'FailingActivity', 'FailingBuild') then
                    v_chosen := perdure.list_filter_condition(p_namespace, v_field, v_values[j],
                        cardinality(parameters) + 1);
                    v_leaf := v_leaf || case when j > 1 then ' or ' else '' end || v_chosen.expression;
                    parameters := parameters || v_chosen.parameters;
                    continue;
                end if;
                v_leaf := v_leaf || case when j > 1 then ' or ' else '' end || case
                    -- The primary key begins with the shard, so a comparison of RunId names the shards.
                    -- `search_attributes <> '{}'` lets the planner use the partial index executions_by_attribute.
                    when v_field = 'RunId' then perdure.list_filter_shards()
                        || format('e.run_id = $1[%s]::uuid', cardinality(parameters) + 1)
                    when v_expression like '%$1[%' and v_type in ('Keyword', 'Int', 'Double', 'Bool', 'KeywordList')
                        then
                        format('(e.search_attributes <> ''{}'' and e.search_attributes @> $1[%s]::jsonb)',
                            cardinality(parameters) + 1)
                    when v_type = 'Text' then format('to_tsvector(''pg_catalog.simple'', %s) @@ $1[%s]::tsquery',
                        v_expression, cardinality(parameters) + 1)
                    else format('%s = $1[%s]::%s', v_expression, cardinality(parameters) + 1, v_cast) end;
                parameters := parameters || case
                    when v_expression like '%$1[%' and v_type in ('Keyword', 'KeywordList')
                        then array[jsonb_build_object(v_name,
                        case v_type when 'Keyword' then to_jsonb(v_values[j])
                            else jsonb_build_array(v_values[j]) end)::text]
                    when v_expression like '%$1[%' and v_type in ('Int', 'Double', 'Bool')
                        then array[jsonb_build_object(v_name,
                        case v_type when 'Bool' then to_jsonb(v_values[j]::boolean)
                            else to_jsonb(v_values[j]::numeric) end)::text]
                    else array[v_values[j]] end;
            end loop;
        end if;
        -- If a run has no value, every comparison with it is not true, and the negation of a comparison is true: as in
        -- Temporal, not as in SQL.
        condition := condition || case
            when v_negated and v_operator = 'IS' then format('(%s is not null)', v_expression)
            when v_negated then format('((%s) is not true)', v_leaf)
            when v_not or coalesce(v_open[cardinality(v_open)], false) then format('((%s) is true)', v_leaf)
            else format('(%s)', v_leaf) end;
        v_not := false;

        -- After a comparison: AND and OR lead to another one, a parenthesis closes, and ORDER BY ends the condition.
        loop
            if v_tokens[i] = ')' and cardinality(v_open) > 0 then
                condition := condition || ')';
                v_open := v_open[:cardinality(v_open) - 1];
                i := i + 1;
            elsif v_words[i] in ('AND', 'OR') then
                condition := condition || ' ' || lower(v_words[i]) || ' ';
                if i = v_count then
                    perform perdure.refuse_filter(format('a comparison is missing after %s', v_tokens[i]), c_operands,
                        v_first[i + 1], v_first[i + 1]);
                end if;
                i := i + 1;
                exit;
            elsif i > v_count or v_words[i] = 'ORDER' then
                exit conditions;
            else
                perform perdure.refuse_filter(format('AND, OR or the end was expected, not %s', left(v_tokens[i], 60)),
                    case v_words[i] when 'GROUP' then 'perdure.count_workflows counts by status without being asked.'
                        else 'Strings with quotes in them double these.' end,
                    v_first[i], v_first[i] + length(v_tokens[i]) - 1);
            end if;
        end loop;
    end loop;
    if cardinality(v_open) > 0 then
        perform perdure.refuse_filter('a parenthesis is not closed', 'Add ).', v_first[i],
            v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
    end if;
    if v_not or condition ~ '(and|or|not) $' then
        perform perdure.refuse_filter('a comparison is missing at the end', c_operands, v_first[i], v_first[i]);
    end if;

    if v_words[i] = 'ORDER' then
        if v_words[i + 1] is distinct from 'BY' then
            perform perdure.refuse_filter('BY is missing after ORDER', 'For example ORDER BY CloseTime DESC.',
                v_first[i], v_first[i] + 4);
        end if;
        i := i + 1;
        loop
            i := i + 1;
            v_name := case when left(v_tokens[i], 1) = '`' then substr(v_tokens[i], 2, length(v_tokens[i]) - 2)
                else v_tokens[i] end;
            select f.field, f.type into v_field, v_type from perdure.list_filter_field(p_namespace, v_name) f;
            if v_type is null or v_type in ('Text', 'KeywordList') then
                perform perdure.refuse_filter(case when v_type is not null
                    then format('the order of %s values means nothing', v_type)
                    when i > v_count then 'a field is missing after ORDER BY'
                        else format('there is no field or search attribute %s', left(v_name, 60)) end,
                    'select name, type from perdure.list_filter_fields() lists them.', v_first[i],
                        v_first[i] + greatest(length(v_tokens[i]), 1) - 1);
            end if;
            select e.expression, e.cast_to into v_expression, v_cast
                from perdure.list_filter_expression(v_field, v_type, cardinality(parameters) + 1) e;
            if v_expression like '%$1[%' then
                parameters := parameters || v_name;
            end if;
            i := i + 1;
            order_keys := order_keys || jsonb_build_object('name', v_name, 'expression', v_expression, 'cast', v_cast,
                'descending', v_words[i] = 'DESC');
            if v_words[i] in ('ASC', 'DESC') then
                i := i + 1;
            end if;
            exit when v_tokens[i] <> ',';
        end loop;
        if i <= v_count then
            perform perdure.refuse_filter(format('the end was expected, not %s', left(v_tokens[i], 60)),
                'ORDER BY takes fields, each with ASC or DESC, separated by commas.',
                v_first[i], v_first[i] + length(v_tokens[i]) - 1);
        end if;
        if jsonb_array_length(order_keys) > 4 then
            perform perdure.refuse_filter('ORDER BY takes at most four fields', 'Leave some out.', v_first[v_count],
                v_first[v_count] + length(v_tokens[v_count]) - 1);
        end if;
    end if;
    if condition = '' then
        condition := 'true';
    end if;
    if order_keys = '[]' then
        order_keys := '[{"name": "StartTime", "expression": "e.start_time", "cast": "timestamptz", '
            '"descending": true}]';
    end if;
    -- In every order, run ids decide between runs that are equal in it, so that the order is total.
    if not order_keys @> '[{"name": "RunId"}]' then
        order_keys := order_keys || jsonb_build_object('name', 'RunId', 'expression', 'e.run_id', 'cast', 'uuid',
            'descending', order_keys -> -1 -> 'descending');
    end if;
end
$$;
comment on function perdure.parse_list_filter(text, text) is
    'A list filter as a condition on perdure.executions e with its values in parameters ($1), and the fields that it '
    'orders by. Raises PD003 or PD005.';

create or replace function perdure.list_filter_expression(p_name text, p_type text, p_parameter int,
    out expression text, out cast_to text)
language sql immutable set search_path = pg_catalog, pg_temp
as $$
    select coalesce(field.expression, case p_type
            when 'Datetime' then format('perdure.attribute_time(e.search_attributes ->> $1[%s])', p_parameter)
            when 'Int' then format('(e.search_attributes ->> $1[%s])::numeric', p_parameter)
            when 'Double' then format('(e.search_attributes ->> $1[%s])::numeric', p_parameter)
            when 'Bool' then format('(e.search_attributes ->> $1[%s])::boolean', p_parameter)
            else format('(e.search_attributes ->> $1[%s])', p_parameter) end),
        coalesce(field.cast_to, case p_type when 'Datetime' then 'timestamptz' when 'Int' then 'numeric' when 'Double'
            then 'numeric'
            when 'Bool' then 'boolean' else 'text' end)
    from (select 1) one
    left join (values
        ('WorkflowId', 'e.workflow_id', 'text'),
        ('RunId', 'e.run_id', 'uuid'),
        ('WorkflowType', 'e.workflow_type', 'text'),
        ('ExecutionStatus', 'e.status', 'perdure.execution_status'),
        ('StartTime', 'e.start_time', 'timestamptz'),
        ('ExecutionTime', 'e.execution_time', 'timestamptz'),
        ('CloseTime', 'e.close_time', 'timestamptz'),
        ('ExecutionDuration', '(e.close_time - e.execution_time)', 'interval'),
        ('HistoryLength', 'coalesce(e.history_length, (select r.next_event_id - 1 from perdure.run_states r where '
            'r.shard = e.shard and r.run_id = e.run_id))', 'bigint'),
        ('TaskQueue', 'e.task_queue', 'text'),
        ('ParentWorkflowId', 'e.parent_workflow_id', 'text'),
        ('ParentRunId', 'e.parent_run_id', 'uuid'),
        ('RootWorkflowId', 'coalesce(e.root_workflow_id, e.workflow_id)', 'text'),
        ('RootRunId', 'coalesce(e.root_run_id, e.run_id)', 'uuid'),
        ('Condition', 'perdure.open_condition(e.shard, e.run_id, e.status)', 'text'),
        ('Cause', 'perdure.open_cause(e.shard, e.run_id, e.status)', 'text'),
        ('FailingActivity', '(select min(a.activity_type) from perdure.activity_tasks a where a.shard = e.shard and '
            'a.run_id = e.run_id and coalesce(a.failure_cause, '''') <> '''')', 'text'),
        ('FailingBuild', 'perdure.open_failing_build(e.shard, e.run_id)', 'text')) as field (name, expression, cast_to)
            on field.name = p_name
$$;
comment on function perdure.list_filter_expression(text, text, int) is
    'The SQL expression of a field of a list filter. The name of a search attribute is bound as the parameter of that '
    'number.';

create or replace function perdure.list_filter_condition(p_namespace text, p_name text, p_value text, p_parameter int,
    out expression text, out parameters text[])
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    -- The number of runs that can be sorted while a person waits for a page.
    c_few constant int := 10000;
    v_runs uuid[] := perdure.runs_in_condition(p_namespace, p_name, p_value, c_few + 1);
    v_task text := 'exists (select from perdure.%s t where t.shard = e.shard and t.run_id = e.run_id and %s offset 0)';
    v_value text := format('$1[%s]', p_parameter);
    v_fails text := 'coalesce(t.failure_cause, '''') <> ''''';
    v_is text := format('coalesce(t.%s, '''') = %s', case p_name when 'FailingBuild' then 'failing_build'
        else 'failure_cause' end, v_value);
    v_queues text := format('t.task_queue = any ($1[%s]::text[]) and t.state = ''scheduled''', p_parameter);
begin
    if cardinality(v_runs) <= c_few then
        expression := format('%se.run_id in (select unnest($1[%s]::uuid[]))', perdure.list_filter_shards(),
            p_parameter);
        parameters := array[v_runs::text];
    elsif p_value = 'NoWorker' or p_name = 'Cause' and p_value ^@ 'no worker on ' then
        expression := format(v_task, 'workflow_tasks', v_queues || ' and t.sticky_worker is null') || ' or '
            || format(v_task, 'activity_tasks', replace(v_queues, p_parameter::text, (p_parameter + 1)::text));
        select array[coalesce(array_agg(q.task_queue) filter (where q.kind = 'workflow'), '{}')::text,
            coalesce(array_agg(q.task_queue) filter (where q.kind = 'activity'), '{}')::text]
        into parameters from perdure.unattended_queues(p_namespace) q
        where p_name = 'Condition' or p_value = 'no worker on ' || q.task_queue;
    else
        -- There are so many runs that some of the newest are among them, so each run is tested in the order of the
        -- list. A run has few tasks, and `coalesce` keeps the planner from using any other index of them than their
        -- primary key.
        expression := case
            when p_value = 'Retrying' and p_name = 'Condition' then format(v_task, 'activity_tasks', v_fails)
            when p_value = 'Paused' and p_name = 'Condition' then format(v_task, 'activity_tasks',
                'coalesce(t.paused_at, ''infinity'') < ''infinity''')
            when p_name = 'Condition' then format(v_task, 'workflow_tasks', v_fails)
            when p_name = 'FailingActivity' then
                format(v_task, 'activity_tasks', v_fails || ' and t.activity_type = ' || v_value)
            else format(v_task, 'activity_tasks', v_is) || ' or ' || format(v_task, 'workflow_tasks', v_is) end;
        parameters := array[p_value];
    end if;
    expression := format('(e.status = ''Running'' and (%s))', expression);
end
$$;
comment on function perdure.list_filter_condition(text, text, text, int) is
    'The condition that a run has a value of Condition, Cause, FailingActivity or FailingBuild. If few runs have it, '
    'the condition names those that partial indexes find; otherwise it looks at the tasks of each run.';

create or replace function perdure.list_filter_shards() returns text
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case (s.value #>> '{}')::int when 1 then 'e.shard = 0 and '
        else format('e.shard = any (%L::smallint[]) and ',
            array(select generate_series(0, (s.value #>> '{}')::int - 1))::text) end
    from perdure.settings s where s.name = 'shard_count'
$$;
comment on function perdure.list_filter_shards() is
    'The condition that a run is on any shard: it lets the planner use indexes that begin with the shard.';

create or replace function perdure.list_filter_after(p_order_keys jsonb, p_after jsonb, p_parameter int,
    out condition text, out parameters text[])
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_key jsonb;
    v_name text;
    v_expression text;
    v_columns text[];
    v_value text;
    v_last text;
    v_nullable boolean;
    v_descending boolean := (p_order_keys -> 0 ->> 'descending')::boolean;
    v_expressions text[] := array[]::text[];
    v_lasts text[] := array[]::text[];
    v_as_row boolean := true;
    v_bound text := '';
    v_equal text := '';
begin
    parameters := '{}';
    condition := '';
    for v_key in select k.value from jsonb_array_elements(p_order_keys) k loop
        v_name := v_key ->> 'name';
        v_expression := v_key ->> 'expression';
        v_columns := case
            when v_name = 'ExecutionDuration' then array['close_time', 'execution_time']
            when v_name = 'HistoryLength' then array['history_length']
            when v_expression like 'e.%' then array[substr(v_expression, 3)]
            else array['search_attributes'] end;
        if not coalesce(p_after ?& v_columns, false) or v_columns = '{search_attributes}'
            and jsonb_typeof(p_after -> 'search_attributes') <> 'object' then
            raise exception 'after has no %', array_to_string(v_columns, ' or ') using errcode = 'PD003',
                hint = 'Pass the last row of the page before as jsonb: the columns that it is ordered by, and run_id.';
        end if;
        begin
            v_value := case
                when v_name = 'ExecutionDuration' then ((p_after ->> 'close_time')::timestamptz -
                    (p_after ->> 'execution_time')::timestamptz)::text
                when v_columns = '{search_attributes}' then p_after -> 'search_attributes' ->> v_name
                else p_after ->> v_columns[1] end;
            execute format('select $1::%s::text', v_key ->> 'cast') into v_value using v_value;
        exception when data_exception then
            raise exception 'after has a wrong %: %', array_to_string(v_columns, ' or '),
                sqlerrm using errcode = 'PD003',
                hint = 'Pass the last row of the page before as jsonb, as it was.';
        end;
        v_nullable := v_name in ('CloseTime', 'ExecutionDuration') or v_columns = '{search_attributes}';
        if v_value is null and not v_nullable then
            raise exception 'after has no %', v_columns[1] using errcode = 'PD003',
                hint = 'Pass the last row of the page before as jsonb, as it was.';
        end if;
        parameters := parameters || v_value;
        v_last := format('$1[%s]::%s', p_parameter + cardinality(parameters) - 1, v_key ->> 'cast');
        v_as_row := v_as_row and (v_key ->> 'descending')::boolean = v_descending and case when v_descending
            then v_value is not null else not v_nullable end;
        v_expressions := v_expressions || v_expression;
        v_lasts := v_lasts || v_last;
        -- Nulls come first in descending order and last in ascending order, as everywhere in PostgreSQL.
        condition := concat_ws(' or ', nullif(condition, ''), format('(%s%s)', v_equal, case
            when v_value is null then case when (v_key ->> 'descending')::boolean then v_expression || ' is not null'
                else 'false' end
            when (v_key ->> 'descending')::boolean then format('%s < %s', v_expression, v_last)
            when v_nullable then format('(%1$s > %2$s or %1$s is null)', v_expression, v_last)
            else format('%s > %s', v_expression, v_last) end));
        if v_equal = '' and v_value is not null and (v_descending or not v_nullable) then
            v_bound := format('%s %s %s and ', v_expression, case when v_descending then '<=' else '>=' end, v_last);
        end if;
        v_equal := v_equal || case when v_value is null then v_expression || ' is null'
            else format('%s = %s', v_expression, v_last) end || ' and ';
    end loop;
    -- With both forms an index scan can begin at the place of p_after.
    condition := case when v_as_row then format('(%s) %s (%s)', array_to_string(v_expressions, ', '), case
        when v_descending then '<' else '>' end,
            array_to_string(v_lasts, ', '))
        else format('%s(%s)', v_bound, condition) end;
end
$$;
comment on function perdure.list_filter_after(jsonb, jsonb, int) is
    'The condition that a run comes after p_after in the order, with its values for the parameters from p_parameter '
    'on. Raises PD003.';
