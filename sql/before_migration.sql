-- Before each migration. Since its updates of November 2026 PostgreSQL refuses to add a column with a default, or to
-- change the type of one, while a function whose body it has parsed uses the row type of the table. Such functions get
-- the same body as a text, which is parsed when they are called. Behind the migrations all definitions of the schema
-- are applied again. perdure.migrates names the schema.
do $$
declare
    v_function record;
    v_path text := pg_catalog.current_setting('search_path');
begin
    -- So that the bodies name each thing with its schema.
    perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    for v_function in
        select pg_catalog.pg_get_functiondef(p.oid) as definition, pg_catalog.pg_get_function_sqlbody(p.oid) as body
        from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where n.nspname = pg_catalog.current_setting('perdure.migrates') and p.prosqlbody is not null
          and pg_catalog.pg_get_function_sqlbody(p.oid) like 'RETURN %'
          and exists (
            select from pg_catalog.pg_depend d
            join pg_catalog.pg_type t on t.oid = d.refobjid
            join pg_catalog.pg_class c on c.oid = t.typrelid and c.relkind in ('r', 'p')
            where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid
              and d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass) loop
        execute pg_catalog.replace(v_function.definition, v_function.body,
            'as ' || pg_catalog.quote_literal('select ' || pg_catalog.substr(v_function.body, 8)));
    end loop;
    perform pg_catalog.set_config('search_path', v_path, true);
end
$$;
