-- Lists of runs that the history pages keep under a name.

create or replace function perdure.save_view(p_namespace text, p_name text, p_address text, p_identity text)
    returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
begin
    perform perdure.check_text(p_identity, 'identity');
    if coalesce(btrim(p_name), '') = '' or length(p_name) > 60 or octet_length(p_address) > 20000 then
        raise exception 'a view has a name of at most 60 characters, and an address of at most 20,000 bytes'
            using errcode = 'PD003', hint = 'For example ''Refunds that fail'', ''query=FailingActivity+%3D+…''.';
    end if;
    perform from perdure.namespaces n where n.namespace = p_namespace and n.deleted_at is null for share;
    if not found then
        perform perdure.refuse_namespace(p_namespace);
    end if;
    if (select count(*) from perdure.saved_views v where v.namespace = p_namespace and v.name <> p_name) >= 100 then
        raise exception 'the namespace % has 100 views', quote_ident(left(p_namespace, 100)) using errcode = 'PD004',
            hint = 'Remove one that nobody needs.';
    end if;
    insert into perdure.saved_views as v (namespace, name, address, saved_by, saved_at)
    values (p_namespace, p_name, coalesce(p_address, ''), coalesce(p_identity, session_user), v_now)
    on conflict (namespace, name) do update set address = excluded.address, saved_by = excluded.saved_by,
        saved_at = excluded.saved_at;
end
$$;
comment on function perdure.save_view(text, text, text, text) is
    'Saves a list of runs of the history pages under a name, in the place of a list of that name. Raises PD003, PD004 '
    'or PD005.';

create or replace function perdure.delete_view(p_namespace text, p_name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    delete from perdure.saved_views v where v.namespace = p_namespace and v.name = p_name;
    return found;
end
$$;
comment on function perdure.delete_view(text, text) is
    'Deletes a list of runs that the history pages saved. Returns whether there was one.';
