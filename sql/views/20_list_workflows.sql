-- Functions that list and count runs by a list filter. They are in this folder because they return rows of a view.
drop function if exists perdure.list_workflows(text, text, text, text, jsonb, timestamptz, uuid, int),
    perdure.count_workflows(text, text, text, text, jsonb), perdure.check_list_filter(text, text, jsonb);

create or replace function perdure.list_workflows(
    filter text default '', namespace text default 'default', page_size int default 100, after jsonb default null)
returns setof perdure.workflows
-- JIT compilation of a plan takes longer than reading a page.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
-- Only expressions of sql/engine/62_list_filter.sql are spliced into the statement.
-- @plpgsql_check_options: security_warnings = off
declare
    v_parameters text[];
    v_condition text;
    v_keys jsonb;
    v_after record;
    v_order text;
begin
    select p.parameters, p.condition, p.order_keys into v_parameters, v_condition, v_keys
        from perdure.parse_list_filter(namespace collate "C", filter) p;
    if page_size is null or page_size not between 1 and 1000 then
        raise exception 'the page size must be 1 to 1000' using errcode = 'PD003',
            hint = 'For the next page pass the last row of this one as after.';
    end if;
    if after is not null then
        select a.condition, a.parameters into v_after
            from perdure.list_filter_after(v_keys, after, cardinality(v_parameters) + 1) a;
        v_condition := format('(%s) and %s', v_condition, v_after.condition);
        v_parameters := v_parameters || v_after.parameters;
    end if;
    select string_agg((k.value ->> 'expression') || case when (k.value ->> 'descending')::boolean then ' desc'
        else ' asc' end, ', ' order by k.ordinality)
    into v_order from jsonb_array_elements(v_keys) with ordinality k;
    return query execute format(
        'select w.* from ('
        '    select p.shard, p.run_id, row_number() over () as place from ('
        '        select e.shard, e.run_id from perdure.executions e where e.namespace = $1[1] and (%s) order by %s '
        'limit $2) p) page '
        'join perdure.workflows w on w.shard = page.shard and w.run_id = page.run_id order by page.place', v_condition,
            v_order)
    using v_parameters, page_size;
end
$$;
comment on function perdure.list_workflows(text, text, int, jsonb) is
    'Runs that a list filter chooses, newest first unless it says ORDER BY. For the next page pass the last row, '
    'to_jsonb(row), as after. Raises PD003 or PD005.';

create or replace function perdure.count_workflows(filter text default '', namespace text default 'default',
    up_to bigint default null)
returns table (status text, count bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
-- Only expressions of sql/engine/62_list_filter.sql are spliced into the statement.
-- @plpgsql_check_options: security_warnings = off, extra_warnings = off
declare
    v_parameters text[];
    v_condition text;
begin
    select p.parameters, p.condition into v_parameters, v_condition
        from perdure.parse_list_filter(namespace collate "C", filter) p;
    if up_to is null then
        return query execute format(
            'select e.status::text, count(*) from perdure.executions e where e.namespace = $1[1] and (%s) group by '
            'e.status order by e.status', v_condition)
        using v_parameters;
    elsif up_to < 1 then
        raise exception 'up_to must be above zero' using errcode = 'PD003',
            hint = 'It is how far each status is counted; null counts all.';
    else
        -- There is one subselect for each status, because the planner knows how frequent each status is. The ORDER BY
        -- keeps the planner on an index: the rows of one status lie together in the table, and a sequential scan that
        -- expects to come across them soon may read everything else first.
        return query execute (
            select string_agg(format('select %1$L, n.count from (select count(*) from (select from perdure.executions '
                'e where e.namespace = $1[1] and e.status = %1$L and (%2$s) order by e.start_time desc, e.run_id desc '
                'limit $2) counted) n where n.count > 0', s.status, v_condition), ' union all ' order by s.place)
            from unnest(enum_range(null::perdure.execution_status)) with ordinality s (status, place))
        using v_parameters, up_to;
    end if;
end
$$;
comment on function perdure.count_workflows(text, text, bigint) is
    'How many runs a list filter chooses, by status. With up_to each status is counted only up to that number, which '
    'keeps the call fast. Raises PD003 or PD005.';
