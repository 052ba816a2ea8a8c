-- Tries again at once what failed, for a person who has mended the cause.

create or replace function perdure.retry_now(p_shard smallint, p_namespace text, p_workflow_id text,
    p_run_id uuid default null)
returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
    v_activities int;
    v_workflow_tasks int;
begin
    v_run := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
    update perdure.activity_tasks t set state = 'scheduled', attempt_scheduled_at = v_now,
        deadline = perdure.activity_deadline(t.schedule_to_close_timeout, t.schedule_to_start_timeout, null, null,
            t.scheduled_at, v_now, null, null)
    where t.shard = p_shard and t.run_id = v_run.run_id and t.state = 'backoff';
    get diagnostics v_activities = row_count;
    update perdure.workflow_tasks t set state = 'scheduled', deadline = null
    where t.shard = p_shard and t.run_id = v_run.run_id and t.state = 'backoff';
    get diagnostics v_workflow_tasks = row_count;
    perform perdure.wake(q.namespace, q.task_queue, 'activity') from (
        select distinct t.namespace, t.task_queue from perdure.activity_tasks t
        where t.shard = p_shard and t.run_id = v_run.run_id and t.state = 'scheduled') q
    where v_activities > 0;
    perform perdure.wake(v_run.namespace, v_run.task_queue, 'workflow') where v_workflow_tasks > 0;
    return v_activities + v_workflow_tasks;
end
$$;
comment on function perdure.retry_now(smallint, text, text, uuid) is
    'Ends the waits of a run for its next attempts: activities that failed, and a workflow task whose code failed, '
    'can be claimed at once. Attempts are counted on. Returns how many waits ended. Raises PD001, or PD006 for a run '
    'that has closed.';
