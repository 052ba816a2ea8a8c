-- Takes a run from the worker that has it cached and to which its next tasks go first.

create or replace function perdure.reset_sticky(p_shard smallint, p_namespace text, p_workflow_id text,
    p_run_id uuid default null)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states;
begin
    v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    update perdure.run_states r set sticky_worker = null, sticky_event_id = null
    where r.shard = p_shard and r.run_id = v_run.run_id;
    update perdure.workflow_tasks t set sticky_worker = null, deadline = null
    where t.shard = p_shard and t.run_id = v_run.run_id and t.state = 'scheduled' and t.sticky_worker is not null;
    if found then
        perform perdure.wake(v_run.namespace, v_run.task_queue, 'workflow');
    end if;
end
$$;
comment on function perdure.reset_sticky(smallint, text, text, uuid) is
    'Lets no worker keep the run any more: its next workflow task, and queries, go to any worker, with the whole '
    'history. Raises PD001, or PD006 for a run that has closed.';
