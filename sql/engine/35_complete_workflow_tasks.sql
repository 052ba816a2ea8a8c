-- Takes completed workflow tasks from a worker: by the large statement for many runs, by small statements for few, or
-- by the general rules. All three write the same (Tests/SQL/one_meaning.sql).

drop function if exists perdure.complete_workflow_tasks(smallint, uuid, jsonb);
create or replace function perdure.complete_workflow_tasks(p_shard smallint, p_worker_id uuid, p_completions jsonb)
returns table (run_id uuid, outcome text, next_event_id bigint, failure jsonb, started_activities bigint[],
    started_at timestamptz, history_size bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz;
    v_item jsonb;
begin
    perform perdure.check_array(p_completions, 'completions');
    if jsonb_array_length(p_completions) = 1 then
        -- A single completion cannot stop others, so the caller gets its error.
        return query select * from perdure.complete_set(p_shard, p_worker_id, p_completions);
        return;
    end if;
    begin
        return query select * from perdure.complete_set(p_shard, p_worker_id, p_completions);
        return;
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
    end;
    -- A completion raised an error, so each is taken by itself, in the order of their runs.
    v_now := perdure.clock();
    for v_item in select c.value from jsonb_array_elements(p_completions) c
        order by lower(c.value ->> 'runId') collate "C" loop
        begin
            return query select * from perdure.complete_set(p_shard, p_worker_id, jsonb_build_array(v_item));
        exception
            when others then
                if perdure.is_passing(sqlstate) then
                    raise;
                end if;
                return query select r.run_id, r.outcome, null::bigint, r.failure, null::bigint[], v_now, null::bigint
                from perdure.refuse_completion(p_shard, p_worker_id, v_now, v_item, sqlstate, sqlerrm) r;
        end;
    end loop;
end
$$;
comment on function perdure.complete_workflow_tasks(smallint, uuid, jsonb) is
    'Takes what workflows decided and answers for each run: completed, dropped (all updates were rejected and the '
    'task leaves no event, so that its worker forgets it), lost (another worker has the task), failed (the task will '
    'be tried again), stale (a fused step that came too late) or refused (the member is no completion, or could not '
    'be written). Activities that asked for it are already started.';
