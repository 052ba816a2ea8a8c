-- Namespaces as Temporal's clients register, change and delete them.

create or replace function perdure.check_namespace_details(p_retention interval, p_description text,
    p_owner_email text, p_data jsonb) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    if p_retention <= interval '0' then
        raise exception 'the retention must be above zero' using errcode = 'PD003',
            hint = 'For example interval ''30 days''.';
    end if;
    perform perdure.check_text(p_description, 'description', perdure.maximum('description'));
    perform perdure.check_text(p_owner_email, 'owner email');
    if p_data is not null then
        if jsonb_typeof(p_data) <> 'object'
            or exists (select from jsonb_each(p_data) d where jsonb_typeof(d.value) <> 'string') then
            raise exception 'the data of a namespace must be an object of texts' using errcode = 'PD003',
                hint = 'For example {"team": "blue"}.';
        end if;
        perform perdure.check_document(p_data, 'data of a namespace', perdure.maximum('worker details'));
    end if;
end
$$;
comment on function perdure.check_namespace_details(interval, text, text, jsonb) is
    'Raises PD003 or PD004 for details that a namespace cannot have. Null is valid.';

create or replace function perdure.register_namespace(p_namespace text, p_retention interval,
    p_description text default '', p_owner_email text default '', p_data jsonb default '{}') returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid;
begin
    perform perdure.check_namespace_details(p_retention, p_description, p_owner_email, p_data);
    -- The name of a deleted namespace is free once its runs are gone.
    delete from perdure.namespaces n
    where n.namespace = p_namespace and n.deleted_at is not null
      and not exists (select from perdure.executions e where e.namespace = n.namespace)
      and not exists (select from perdure.batch_jobs j where j.namespace = n.namespace);
    if exists (select from perdure.namespaces n where n.namespace = p_namespace and n.deleted_at is not null) then
        raise exception 'the namespace % is being deleted', quote_ident(left(p_namespace, 100)) using errcode = 'PD003',
            hint = 'Try again once its runs are gone, or choose another name.';
    end if;
    if exists (select from perdure.namespaces n where n.namespace = p_namespace) then
        return null;
    end if;
    perform perdure.create_namespace(p_namespace, p_retention, p_description);
    update perdure.namespaces n set owner_email = coalesce(p_owner_email, ''), data = coalesce(p_data, '{}')
    where n.namespace = p_namespace returning n.namespace_id into v_id;
    return v_id;
end
$$;
comment on function perdure.register_namespace(text, interval, text, text, jsonb) is
    'Creates a namespace and returns its id, or null when it exists already, which changes nothing. Raises PD003 while '
    'one of that name is being deleted.';

create or replace function perdure.update_namespace(p_namespace text, p_retention interval default null,
    p_description text default null, p_owner_email text default null, p_data jsonb default null) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_namespace_details(p_retention, p_description, p_owner_email, p_data);
    update perdure.namespaces n set
        retention = least(coalesce(p_retention, n.retention), perdure.longest()),
        description = coalesce(p_description, n.description),
        owner_email = coalesce(p_owner_email, n.owner_email), data = n.data || coalesce(p_data, '{}')
    where n.namespace = p_namespace and n.deleted_at is null;
    if not found then
        perform perdure.refuse_namespace(p_namespace);
    end if;
end
$$;
comment on function perdure.update_namespace(text, interval, text, text, jsonb) is
    'Changes those details of a namespace that are not null; p_data is added to the data that it has. Raises PD005.';

create or replace function perdure.delete_namespace(p_namespace text) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_id uuid;
begin
    update perdure.namespaces n set deleted_at = v_now
    where n.namespace = p_namespace and n.deleted_at is null returning n.namespace_id into v_id;
    if v_id is null then
        perform perdure.refuse_namespace(p_namespace);
    end if;
    return v_id;
end
$$;
comment on function perdure.delete_namespace(text) is
    'Deletes a namespace: it cannot be seen any more, and perdure.delete_expired terminates and deletes its runs bit '
    'by bit. Returns the id that it had. Raises PD005.';

create or replace function perdure.end_runs_of_deleted_namespaces(p_shard smallint, p_limit int) returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
    v_ended int := 0;
begin
    for v_run in select r.* from perdure.run_states r
        join perdure.executions e on e.shard = r.shard and e.run_id = r.run_id
        where r.shard = p_shard and e.shard = p_shard and e.status = 'Running' and e.namespace in (
            select n.namespace from perdure.namespaces n where n.deleted_at is not null)
        limit p_limit for update of r skip locked loop
        perform perdure.end_run(p_shard, v_run, v_now, 'Terminated', perdure.event('WorkflowExecutionTerminated',
            jsonb_build_object('reason', 'the namespace was deleted', 'identity', 'Perdure')));
        v_ended := v_ended + 1;
    end loop;
    return v_ended;
end
$$;
comment on function perdure.end_runs_of_deleted_namespaces(smallint, int) is
    'Terminates open runs of namespaces that were deleted, at most so many. Returns how many.';
