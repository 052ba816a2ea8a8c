-- What the transfer page and the supervisor of the workers may do, so that they need not connect as the owner.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['bank_page', 'bank_supervisor'] loop
        begin
            if not exists (select from pg_roles where rolname = v_role) then
                execute format('create role %I nologin', v_role);
            end if;
        exception
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise notice 'role % was not created: create it to grant the bank to others', v_role;
        end;
    end loop;
end
$$;
