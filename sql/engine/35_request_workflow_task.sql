-- A workflow task that a worker asks for.
--
-- Workflow code that waits for something outside of its history goes on when that happens, perhaps while the run has no
-- workflow task that could fail. The worker that sees this requests a task, and fails it with the cause.

create or replace function perdure.request_workflow_task(p_shard smallint, p_worker_id uuid, p_run_id uuid)
    returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
begin
    perform perdure.require_worker(p_worker_id);
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id for update;
    if v_run.run_id is null or v_run.start_delayed
        or exists (select from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id) then
        return false;
    end if;
    perform perdure.record_events(p_shard, v_run, v_now, array[]::jsonb[]);
    return true;
end
$$;
comment on function perdure.request_workflow_task(smallint, uuid, uuid) is
    'Schedules a workflow task for an open run that has none, because the run''s code broke a rule meanwhile. Returns '
    'whether it did. If the run has a task already, the worker is to fail that one.';
