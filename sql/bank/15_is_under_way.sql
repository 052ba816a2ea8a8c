-- Whether a transfer is still being made, so that the money that it has in transit will arrive.
create or replace function bank.is_under_way(p_transfer_id text, p_workflow_id text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid;
begin
    if p_transfer_id !~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then
        return false;
    end if;
    v_id := p_transfer_id::uuid;
    if p_workflow_id is null then
        return exists (select from bank.direct_transfers d where d.transfer_id = v_id and d.status = 'RUNNING');
    end if;
    return exists (
        select from perdure.executions e
        where e.shard = perdure.shard_for('default', p_workflow_id) and e.run_id = v_id
          and e.namespace = 'default' and e.workflow_id = p_workflow_id and e.status = 'Running');
end
$$;
comment on function bank.is_under_way(text, text) is
    'Whether a transfer, known by its run or the id that its caller named, and by its workflow if it has one, is '
    'running.';
