-- Who may do what: workers execute functions, readers select views, nobody else touches anything.
revoke all on all functions in schema perdure from public;
revoke all on all procedures in schema perdure from public;
do $$
declare
    v_role text;
    v_object regclass;
    v_function regprocedure;
begin
    foreach v_role in array array['perdure_worker', 'perdure_reader'] loop
        if not exists (select from pg_roles where rolname = v_role) then
            raise warning 'there is no role %: without it only the owner can use the engine', v_role
                using hint = format('create role %I nologin; then: psql -f sql/views/90_grants.sql', v_role);
            continue;
        end if;
        execute format('grant usage on schema perdure to %I', v_role);
        for v_object in select c.oid::regclass from pg_class c where c.relnamespace = 'perdure'::regnamespace
            and c.relkind = 'v' loop
            execute format('grant select on %s to %I', v_object, v_role);
        end loop;
        execute format('grant select on perdure.namespaces, perdure.search_attributes to %I', v_role);
        execute format('grant execute on function perdure.plain(jsonb), perdure.whole_event(jsonb, bigint, '
            'perdure.history, perdure.executions), '
            'perdure.stored_attribute(jsonb, text), perdure.worker_version(text), '
            'perdure.list_workflows(text, text, int, jsonb), '
            'perdure.count_workflows(text, text, bigint), '
            'perdure.list_filter_fields(text), perdure.violations(smallint), perdure.find_violations(smallint, double '
            'precision, int), '
            'perdure.health_checks(double precision), perdure.maximum(text), perdure.history_told(bigint, bigint), '
            'perdure.get_history(smallint, uuid, bigint, int, int), '
            'perdure.run_verdict(smallint, uuid, boolean), perdure.verdict(text, uuid, text), perdure.attention(text), '
            'perdure.workflow_result(smallint, text, text, uuid), perdure.shard_for(text, text) '
            'to %I', v_role);
    end loop;
    if exists (select from pg_roles where rolname = 'perdure_worker') then
        -- perdure_worker may execute functions that have their owner's rights, pure functions, and the clock. The parts
        -- of transitions are none of these, and no role may execute them.
        revoke all on all functions in schema perdure from perdure_worker;
        for v_function in select p.oid::regprocedure from pg_proc p
            where p.pronamespace = 'perdure'::regnamespace and p.prokind = 'f'
                and (p.prosecdef or p.provolatile = 'i' or p.proname = 'clock') loop
            execute format('grant execute on function %s to perdure_worker', v_function);
        end loop;
        for v_function in select p.oid::regprocedure from pg_proc p
            where p.pronamespace = 'perdure'::regnamespace and p.proname in (
                'whole_event', 'stored_attribute', 'plain', 'payloads', 'maximum', 'history_told') loop
            execute format('grant execute on function %s to perdure_worker', v_function);
        end loop;
        grant execute on all procedures in schema perdure to perdure_worker;
    end if;
end
$$;
