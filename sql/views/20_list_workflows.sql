-- Lists runs for clients and pages. It stands with the views because it returns rows of one.

create or replace function perdure.list_workflows(
    p_namespace text default 'default', p_status text default null, p_workflow_type text default null, p_workflow_id text default null,
    p_search_attributes jsonb default null, p_before timestamptz default null, p_before_run_id uuid default null, p_limit int default 100)
returns setof perdure.workflows
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_list_filter(p_namespace, p_status, p_search_attributes);
    return query
    select w.* from (
        select e.shard, e.run_id from perdure.executions e
        where e.namespace = p_namespace
          and (p_status is null or e.status = p_status::perdure.execution_status)
          and (p_workflow_type is null or e.workflow_type = p_workflow_type)
          and (p_workflow_id is null or e.workflow_id = p_workflow_id)
          and (p_search_attributes is null or (e.search_attributes <> '{}' and e.search_attributes @> p_search_attributes))
          and (p_before is null or (e.start_time, e.run_id) < (p_before, coalesce(p_before_run_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')))
        order by e.start_time desc, e.run_id desc
        limit least(greatest(coalesce(p_limit, 100), 1), 1000)) page
    join perdure.workflows w on w.shard = page.shard and w.run_id = page.run_id
    order by w.start_time desc, w.run_id desc;
end
$$;
comment on function perdure.list_workflows(text, text, text, text, jsonb, timestamptz, uuid, int) is
    'Runs, newest first; for the next page pass the last row''s start_time and run_id.';

