-- Resets all runs that a filter chooses, by a job that can be stopped and that anybody can go on with.

create or replace function perdure.start_reset_job(
    filter text, options jsonb, reason text default null, namespace text default 'default',
    requested_by text default null)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_job_id uuid := perdure.new_run_id(v_now);
    v_to jsonb := start_reset_job.options - array['resetReapplyType', 'resetReapplyExcludeTypes',
        'newIdempotencyKeys'];
    v_after jsonb;
    v_count int;
begin
    perform perdure.check_text(start_reset_job.reason, 'reason');
    perform perdure.check_text(start_reset_job.requested_by, 'requester');
    perform perdure.reset_excludes(start_reset_job.options);
    if (select count(*) from jsonb_object_keys(v_to)) <> 1 or not v_to ?| array['eventId', 'type', 'buildId', 'patch']
        then
        raise exception 'a reset needs one place to go back to' using errcode = 'PD003',
            hint = 'It is one of {"eventId": 10}, {"type": "FirstWorkflowTask"}, {"type": "LastWorkflowTask"}, '
                '{"buildId": "…"} and {"patch": "…"}.';
    end if;
    insert into perdure.reset_jobs (job_id, namespace, filter, options, requested_by, created_at)
    values (v_job_id, start_reset_job.namespace, start_reset_job.filter,
        start_reset_job.options || perdure.present(jsonb_build_object('reason', start_reset_job.reason)),
        coalesce(start_reset_job.requested_by, session_user), v_now);
    loop
        -- The list has the newest runs first, so each workflow id is inserted with its newest run.
        with page as (
            select w.shard, w.workflow_id, w.run_id, w.start_time, w.ordinality
            from perdure.list_workflows(start_reset_job.filter, start_reset_job.namespace, 1000, v_after)
                with ordinality w),
        chosen as (
            insert into perdure.reset_job_runs (shard, job_id, workflow_id, run_id)
            select p.shard, v_job_id, p.workflow_id, p.run_id from page p order by p.ordinality
            on conflict do nothing)
        select count(*)::int, (
            select jsonb_build_object('start_time', p.start_time, 'run_id', p.run_id)
            from page p order by p.ordinality desc limit 1)
        into v_count, v_after from page;
        exit when v_count < 1000;
    end loop;
    return v_job_id;
end
$$;
comment on function perdure.start_reset_job(text, jsonb, text, text, text) is
    'Writes down which runs a list filter chooses (of each workflow id the newest) to be reset. The options are those '
    'of reset_workflow and one of eventId, type, buildId and patch. perdure.run_reset_job resets the runs, and '
    'perdure.reset_job_progress tells how far it is. Returns the job.';

create or replace function perdure.reset_next_of_job(p_shard smallint, p_job_id uuid) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_job perdure.reset_jobs;
    v_next perdure.reset_job_runs;
    v_run_id uuid;
    v_error text;
begin
    select * into v_job from perdure.reset_jobs j where j.job_id = p_job_id;
    if v_job.job_id is null then
        raise exception 'there is no reset job %', p_job_id using errcode = 'PD003',
            hint = 'perdure.reset_job_progress lists them.';
    end if;
    if v_job.stopped_at is not null then
        return null;
    end if;
    select * into v_next from perdure.reset_job_runs r
    where r.shard = p_shard and r.job_id = p_job_id and r.state = 'waiting'
    order by r.workflow_id limit 1 for update skip locked;
    if v_next.job_id is null then
        return null;
    end if;
    begin
        v_run_id := perdure.reset_workflow(p_shard, v_job.namespace, v_next.workflow_id, v_next.run_id,
            v_job.options - array['resetReapplyType', 'resetReapplyExcludeTypes', 'newIdempotencyKeys', 'reason'],
            v_job.options ->> 'reason', p_job_id || ':' || v_next.run_id, v_job.requested_by, v_job.options);
    exception
        when others then
            if perdure.is_passing(sqlstate) then
                raise;
            end if;
            v_error := sqlerrm;
    end;
    update perdure.reset_job_runs r set state = case when v_error is null then 'reset' else 'failed' end,
        new_run_id = v_run_id, error = v_error, done_at = v_now
    where r.shard = p_shard and r.job_id = p_job_id and r.workflow_id = v_next.workflow_id;
    return v_next.workflow_id;
end
$$;
comment on function perdure.reset_next_of_job(smallint, uuid) is
    'Resets one run of a job and records it in the same transaction, so that no run is reset twice after a crash. '
    'Returns its workflow id; null if none is left on the shard, or the job was stopped.';

create or replace function perdure.stop_reset_job(job_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
begin
    update perdure.reset_jobs j set stopped_at = v_now
    where j.job_id = stop_reset_job.job_id and j.stopped_at is null;
    return found;
end
$$;
comment on function perdure.stop_reset_job(uuid) is
    'Stops a job: runs that it has not reset stay as they are. Returns whether the job had not been stopped before.';

-- Procedures that commit can have neither a search path of their own nor their owner's rights.
create or replace procedure perdure.run_reset_job(job_id uuid)
language plpgsql
as $$
declare
    v_shard smallint := smallint '0';
    v_shards smallint := perdure.shard_count();
begin
    while v_shard < v_shards loop
        while perdure.reset_next_of_job(v_shard, job_id) is not null loop
            commit;
        end loop;
        commit;
        v_shard := (v_shard + 1)::smallint;
    end loop;
end
$$;
comment on procedure perdure.run_reset_job(uuid) is
    'Resets the runs of a job that are left, each in a transaction of its own. Call it again to go on after an '
    'interruption. Several sessions may run it at once.';
