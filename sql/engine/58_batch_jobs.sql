-- Changes all runs that a filter chooses, one transaction a run, by a job that can be stopped and that anybody can go
-- on with.

create or replace function perdure.check_batch_options(p_operation text, p_options jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_to jsonb := p_options - array['resetReapplyType', 'resetReapplyExcludeTypes', 'newIdempotencyKeys',
        'currentRunOnly'];
begin
    if jsonb_typeof(p_options) is distinct from 'object' then
        raise exception 'the options of a batch job must be an object' using errcode = 'PD003',
            hint = 'For example {"signalName": "stop"}.';
    end if;
    if p_operation like '%activit%' and (coalesce(p_options ->> 'activityType', '') = '')
        = (p_options -> 'matchAll' is distinct from 'true') then
        raise exception 'a batch job that changes activities needs a type of activities, or changes all'
            using errcode = 'PD003', hint = 'The options hold {"activityType": "…"} or {"matchAll": true}.';
    end if;
    case p_operation
    when 'reset' then
        perform perdure.reset_excludes(p_options);
        if (select count(*) from jsonb_object_keys(v_to)) <> 1
            or not v_to ?| array['eventId', 'type', 'buildId', 'patch'] then
            raise exception 'a reset needs one place to go back to' using errcode = 'PD003',
                hint = 'It is one of {"eventId": 10}, {"type": "FirstWorkflowTask"}, {"type": "LastWorkflowTask"}, '
                    '{"buildId": "…"} and {"patch": "…"}.';
        end if;
    when 'signal' then
        perform perdure.check_name(p_options ->> 'signalName', 'signal name');
        perform perdure.check_payloads(coalesce(p_options -> 'input', '[]'), 'signal input');
        if p_options ? 'header' then
            perform perdure.check_memo(p_options -> 'header', 'header');
        end if;
    when 'terminate' then
        perform perdure.check_payloads(coalesce(p_options -> 'details', '[]'), 'details');
    when 'unpause_activities', 'reset_activities' then
        perform perdure.duration(p_options -> 'jitter', 'jitter');
    when 'update_activity_options' then
        if p_options -> 'restoreOriginal' is not distinct from 'true' then
            if p_options ?| array['activityOptions', 'paths'] then
                raise exception 'options of activities are either restored or changed' using errcode = 'PD003',
                    hint = 'Leave restoreOriginal out, or activityOptions and paths.';
            end if;
        elsif jsonb_typeof(p_options -> 'activityOptions') is distinct from 'object'
            or jsonb_typeof(p_options -> 'paths') is distinct from 'array' then
            raise exception 'there are no options of activities to change' using errcode = 'PD003',
                hint = 'For example {"activityOptions": {"startToCloseTimeout": "60s"}, '
                    '"paths": ["startToCloseTimeout"]}, or {"restoreOriginal": true}.';
        end if;
    when 'cancel', 'delete' then
        null;
    else
        raise exception 'a batch job cannot %', coalesce(quote_literal(left(p_operation, 100)), 'do nothing')
            using errcode = 'PD003', hint = 'It can reset, terminate, cancel, signal, delete, unpause_activities, '
                'reset_activities or update_activity_options.';
    end case;
end
$$;
comment on function perdure.check_batch_options(text, jsonb) is
    'Raises PD003 or PD004 unless a batch job can have that operation with those options.';

create or replace function perdure.check_batch_filter(p_namespace text, p_filter text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- In another order a run that starts meanwhile, or that a reset makes, would be chosen too, and the newest run of a
    -- workflow id would not come first.
    if (select p.order_keys from perdure.parse_list_filter(p_namespace, p_filter) p)
        is distinct from (select p.order_keys from perdure.parse_list_filter(p_namespace, '') p) then
        raise exception 'the filter of a batch job cannot have ORDER BY' using errcode = 'PD003',
            hint = 'Leave ORDER BY out: the job lists the newest runs first.';
    end if;
end
$$;
comment on function perdure.check_batch_filter(text, text) is
    'Raises PD003 for a filter that cannot be read or that orders runs, and PD005 without the namespace.';

create or replace function perdure.start_batch_job(
    operation text, filter text, options jsonb default '{}', reason text default null,
    namespace text default 'default', requested_by text default null, name text default null,
    operations_per_second double precision default null, runs jsonb default null, check_filter boolean default true)
returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_now timestamptz := perdure.clock();
    v_job_id uuid := perdure.new_run_id(v_now);
    v_namespace text collate "C" := namespace;
begin
    perform perdure.check_text(reason, 'reason');
    perform perdure.check_text(requested_by, 'requester');
    perform perdure.check_batch_options(operation, options);
    if (filter is null) = (runs is null) then
        raise exception 'a batch job needs a filter or runs' using errcode = 'PD003',
            hint = 'The filter is that of list_workflows; runs is [{"workflowId": "…", "runId": "…"}], where runId '
                'may be left out.';
    end if;
    if runs is not null then
        perform perdure.check_array(runs, 'runs of a batch job');
        perform perdure.check_document(runs, 'runs of a batch job', perdure.maximum('payloads'));
        if exists (select from jsonb_array_elements(runs) r
            where jsonb_typeof(r) <> 'object' or coalesce(r ->> 'workflowId', '') = ''
              or coalesce(r ->> 'runId', '') !~ '^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$') then
            raise exception 'a run of a batch job is not named' using errcode = 'PD003',
                hint = 'A run is {"workflowId": "…", "runId": "…"}, where runId may be left out.';
        end if;
    end if;
    if operations_per_second not between 0.001 and 1000000 then
        raise exception 'operations_per_second must be 0.001 to 1000000' using errcode = 'PD003',
            hint = 'Leave it out to change runs as fast as possible.';
    end if;
    -- The namespace and the length of the filter are checked in each case.
    perform perdure.check_batch_filter(v_namespace,
        case when check_filter or length(filter) > 10000 then coalesce(filter, '') else '' end);
    if name is not null then
        perform perdure.check_name(name, 'name of a batch job');
    end if;
    insert into perdure.batch_jobs (job_id, namespace, name, operation, filter, options, requested_by, created_at,
        named_runs, operations_per_second, is_listed)
    values (v_job_id, v_namespace, coalesce(name, v_job_id::text), operation, filter,
        options || perdure.present(jsonb_build_object('reason', reason)), coalesce(requested_by, session_user), v_now,
        runs, operations_per_second, runs is not null)
    on conflict do nothing;
    if not found then
        raise exception 'there is a batch job named % already', quote_literal(left(name, 200)) using errcode = 'PD002',
            hint = 'Names are not used again.';
    end if;
    if runs is not null then
        insert into perdure.batch_job_runs (shard, job_id, workflow_id, run_id)
        select distinct s.shard, v_job_id, r.workflow_id, found.run_id
        from jsonb_array_elements(runs) as given
        cross join lateral (
            select (given ->> 'workflowId') collate "C" as workflow_id,
                nullif(given ->> 'runId', '')::uuid as run_id) r
        cross join lateral (select perdure.shard_for(v_namespace, r.workflow_id) as shard) s
        -- A run that does not exist has nothing to be changed.
        cross join lateral (
            select e.run_id from perdure.executions e
            where e.shard = s.shard and e.workflow_id = r.workflow_id and e.namespace || '' = v_namespace
              and (r.run_id is null or e.run_id = r.run_id)
            order by e.namespace, e.run_number desc limit 1) found;
    end if;
    return v_job_id;
end
$$;
comment on function perdure.start_batch_job(text, text, jsonb, text, text, text, text, double precision, jsonb,
    boolean) is
    'Asks for an operation (reset, terminate, cancel, signal, delete, unpause_activities, reset_activities or '
    'update_activity_options) on all runs that a list filter chooses, or that are named. Options of a reset are those '
    'of reset_workflow and one of eventId, type, buildId and patch; of a signal signalName, input (payloads) and '
    'header; of a termination details (payloads). An operation on activities has activityType or matchAll; to unpause '
    'has resetAttempts, resetHeartbeat and jitter; to reset resetHeartbeat, keepPaused, jitter and '
    'restoreOriginalOptions; to change options activityOptions and paths, or restoreOriginal. A running '
    'perdure-frontend changes the runs, or else perdure.run_batch_job; perdure.batch_job_progress tells how far it is. '
    'Returns the job. Raises PD002, PD003, PD004 or PD005.';

create or replace function perdure.list_runs_of_batch_job(p_job_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_job perdure.batch_jobs;
    v_last jsonb;
    v_count int;
begin
    -- Who else lists runs of this job waits here, and then reads how far the first has come.
    select * into v_job from perdure.batch_jobs j where j.job_id = p_job_id for update;
    if v_job.job_id is null then
        raise exception 'there is no batch job %', p_job_id using errcode = 'PD003',
            hint = 'perdure.batch_job_progress lists them.';
    elsif v_job.closed_at is not null then
        return false;
    elsif v_job.is_listed then
        -- A run that another session is changing still waits here; that session comes here after it.
        update perdure.batch_jobs j set closed_at = v_now
        where j.job_id = p_job_id and not exists (
            select from generate_series(0, perdure.shard_count() - 1) s
            join perdure.batch_job_runs r on r.shard = s and r.job_id = p_job_id and r.state = 'waiting');
        return false;
    end if;
    begin
        perform perdure.check_batch_filter(v_job.namespace, v_job.filter);
        -- The list has the newest runs first, so a run that starts now, such as one that this job makes, is not chosen.
        with page as materialized (
            select w.shard, w.workflow_id, w.run_id, w.status, w.ordinality,
                to_jsonb(w) - array['input', 'result', 'failure', 'memo', 'workflow_task_failure'] as place
            from perdure.list_workflows(v_job.filter, v_job.namespace, 1000, v_job.listed_up_to) with ordinality w),
        chosen as (
            insert into perdure.batch_job_runs (shard, job_id, workflow_id, run_id)
            select p.shard, p_job_id, p.workflow_id, p.run_id from page p
            where case v_job.operation when 'delete' then true
                -- Of each workflow id the newest run.
                when 'reset' then not exists (
                        select from page newer
                        where newer.workflow_id = p.workflow_id and newer.ordinality < p.ordinality)
                    and not exists (
                        select from perdure.batch_job_runs r
                        where r.shard = p.shard and r.job_id = p_job_id and r.workflow_id = p.workflow_id)
                -- As in Temporal, runs in which an activity of the type is paused.
                when 'unpause_activities' then p.status = 'Running'
                    and (v_job.options -> 'matchAll' is not distinct from 'true' or exists (
                        select from perdure.activity_tasks a
                        where a.shard = p.shard and a.run_id = p.run_id and a.paused_at is not null
                          and a.activity_type = v_job.options ->> 'activityType'))
                else p.status = 'Running' end
            on conflict do nothing)
        select count(*)::int, (select p.place from page p order by p.ordinality desc limit 1)
        into v_count, v_last from page;
    exception
        when sqlstate 'PD003' or sqlstate 'PD005' or sqlstate 'PD008' then
            update perdure.batch_jobs j set failure = sqlerrm, closed_at = v_now where j.job_id = p_job_id;
            return false;
    end;
    update perdure.batch_jobs j set listed_up_to = coalesce(v_last, j.listed_up_to), is_listed = v_count < 1000,
        list_tries = 0, failure = null
    where j.job_id = p_job_id;
    return true;
end
$$;
comment on function perdure.list_runs_of_batch_job(uuid) is
    'Writes down the next thousand runs that the filter of a job chooses. Returns false when there is nothing more to '
    'write down: then the job is closed, unless other sessions still change its runs.';

create or replace function perdure.change_run_of_batch_job(p_shard smallint, p_job perdure.batch_jobs,
    p_workflow_id text, p_run_id uuid)
returns uuid
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_reason text := p_job.options ->> 'reason';
    v_request_id text := p_job.job_id || ':' || p_run_id;
begin
    case p_job.operation
    when 'reset' then
        return perdure.reset_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id,
            p_job.options - array['resetReapplyType', 'resetReapplyExcludeTypes', 'newIdempotencyKeys', 'reason'],
            v_reason, v_request_id, p_job.requested_by, p_job.options);
    when 'terminate' then
        perform perdure.terminate_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id, v_reason,
            p_job.options -> 'details', p_job.requested_by);
    when 'cancel' then
        -- As in Temporal, the reason stays with the job.
        perform perdure.request_cancel_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id, null,
            p_job.requested_by, v_request_id);
    when 'signal' then
        perform perdure.signal_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id,
            p_job.options ->> 'signalName', coalesce(p_job.options -> 'input', '[]'), p_job.requested_by,
            v_request_id, p_job.options -> 'header');
    when 'unpause_activities' then
        perform perdure.unpause_activities(p_shard, p_job.namespace, p_workflow_id, p_run_id, null,
            p_job.options ->> 'activityType', (p_job.options ->> 'matchAll')::boolean is true,
            (p_job.options ->> 'resetAttempts')::boolean is true, (p_job.options ->> 'resetHeartbeat')::boolean is true,
            perdure.duration(p_job.options -> 'jitter', 'jitter'));
    when 'reset_activities' then
        perform perdure.reset_activities(p_shard, p_job.namespace, p_workflow_id, p_run_id, null,
            p_job.options ->> 'activityType', (p_job.options ->> 'matchAll')::boolean is true,
            (p_job.options ->> 'resetHeartbeat')::boolean is true, (p_job.options ->> 'keepPaused')::boolean is true,
            perdure.duration(p_job.options -> 'jitter', 'jitter'),
            (p_job.options ->> 'restoreOriginalOptions')::boolean is true);
    when 'update_activity_options' then
        perform perdure.update_activity_options(p_shard, p_job.namespace, p_workflow_id, p_run_id, null,
            p_job.options -> 'activityOptions',
            array(select jsonb_array_elements_text(coalesce(p_job.options -> 'paths', '[]'))),
            p_job.options ->> 'activityType', (p_job.options ->> 'matchAll')::boolean is true,
            (p_job.options ->> 'restoreOriginal')::boolean is true);
    when 'delete' then
        begin
            perform perdure.terminate_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id,
                'Delete workflow execution', null, p_job.requested_by);
        exception
            when sqlstate 'PD006' then
                -- It has ended. It is deleted all the same.
                null;
        end;
        perform perdure.delete_workflow(p_shard, p_job.namespace, p_workflow_id, p_run_id);
    end case;
    return null;
end
$$;
comment on function perdure.change_run_of_batch_job(smallint, perdure.batch_jobs, text, uuid) is
    'Does the operation of a job to one run. Returns the run that a reset made.';

create or replace function perdure.postpone_run_of_batch_job(p_next perdure.batch_job_runs, p_error text,
    p_now timestamptz) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$
update perdure.batch_job_runs r set tries = r.tries + 1, error = left($2, 4000),
    state = case when r.tries < 9 then 'waiting' else 'failed' end,
    next_at = $3 + make_interval(secs => least(2 ^ r.tries, 60)),
    done_at = case when r.tries < 9 then null else $3 end
where r.shard = $1.shard and r.job_id = $1.job_id and r.workflow_id = $1.workflow_id and r.run_id = $1.run_id
$$;
comment on function perdure.postpone_run_of_batch_job(perdure.batch_job_runs, text, timestamptz) is
    'Notes that a run could not be changed for now, so that the job goes on with the others. It is tried again after '
    '1, 2, 4 … 60 seconds, and has failed after ten times.';

create or replace function perdure.next_of_batch_job(p_shard smallint, p_job_id uuid, p_now timestamptz)
returns perdure.batch_job_runs
language sql volatile set search_path = pg_catalog, pg_temp
as $$
select r.* from perdure.batch_job_runs r
where r.shard = $1 and r.job_id = $2 and r.state = 'waiting' and (r.next_at is null or r.next_at <= $3)
order by r.workflow_id, r.run_id limit 1 for update skip locked
$$;
comment on function perdure.next_of_batch_job(smallint, uuid, timestamptz) is
    'Locks the next run of a job that nobody else is changing; null if there is none.';

create or replace function perdure.postpone_batch_job(p_shard smallint, p_job_id uuid, p_error text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
    v_now timestamptz := perdure.clock();
    v_next perdure.batch_job_runs := perdure.next_of_batch_job(p_shard, p_job_id, v_now);
begin
    if v_next.job_id is not null then
        perform perdure.postpone_run_of_batch_job(v_next, p_error, v_now);
        return;
    end if;
    update perdure.batch_jobs j set list_tries = j.list_tries + 1, failure = left(p_error, 4000),
        closed_at = case when j.list_tries < 9 then null else v_now end
    where j.job_id = p_job_id and j.closed_at is null and not j.is_listed;
end
$$;
comment on function perdure.postpone_batch_job(smallint, uuid, text) is
    'After run_next_of_batch_job or list_runs_of_batch_job raised an error: postpones the next run of a job, or counts '
    'that its runs could not be listed, which may happen ten times in a row.';

create or replace function perdure.run_next_of_batch_job(p_shard smallint, p_job_id uuid) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms'
as $$
declare
    v_now timestamptz := perdure.clock();
    v_job perdure.batch_jobs;
    v_next perdure.batch_job_runs;
    v_new_run_id uuid;
    v_error text;
begin
    select * into v_job from perdure.batch_jobs j where j.job_id = p_job_id;
    if v_job.job_id is null then
        raise exception 'there is no batch job %', p_job_id using errcode = 'PD003',
            hint = 'perdure.batch_job_progress lists them.';
    end if;
    if v_job.closed_at is not null then
        return null;
    end if;
    v_next := perdure.next_of_batch_job(p_shard, p_job_id, v_now);
    if v_next.job_id is null then
        return null;
    end if;
    begin
        v_new_run_id := perdure.change_run_of_batch_job(p_shard, v_job, v_next.workflow_id, v_next.run_id);
    exception
        when sqlstate 'PD001' or sqlstate 'PD006' or sqlstate 'PD018' then
            -- The run has ended or was deleted since it was written down, or has no such activity. As in Temporal that
            -- is no failure.
            null;
        when others then
            if perdure.is_passing(sqlstate) then
                perform perdure.postpone_run_of_batch_job(v_next, sqlerrm, v_now);
                return v_next.workflow_id;
            end if;
            v_error := left(sqlerrm, 4000);
    end;
    update perdure.batch_job_runs r set state = case when v_error is null then 'done' else 'failed' end,
        new_run_id = v_new_run_id, error = v_error, done_at = v_now
    where r.shard = p_shard and r.job_id = p_job_id and r.workflow_id = v_next.workflow_id
      and r.run_id = v_next.run_id;
    return v_next.workflow_id;
end
$$;
comment on function perdure.run_next_of_batch_job(smallint, uuid) is
    'Changes one run of a job and records it in the same transaction, so that no run is changed twice after a crash. '
    'Returns its workflow id; null if none that is written down is left on the shard, or the job is closed.';

create or replace function perdure.stop_batch_job(job_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
begin
    update perdure.batch_jobs j set stopped_at = v_now, closed_at = v_now
    where j.job_id = stop_batch_job.job_id and j.closed_at is null;
    return found;
end
$$;
comment on function perdure.stop_batch_job(uuid) is
    'Stops a job: runs that it has not changed stay as they are. Returns whether the job was open.';

create or replace function perdure.open_batch_jobs()
returns table (job_id uuid, operations_per_second double precision)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
select j.job_id, j.operations_per_second from perdure.batch_jobs j where j.closed_at is null order by j.created_at
$$;
comment on function perdure.open_batch_jobs() is 'The jobs that have something left to do, the oldest first.';

-- Procedures that commit can have neither a search path of their own nor their owner's rights.
create or replace procedure perdure.run_batch_job(job_id uuid)
language plpgsql
as $$
declare
    v_shard smallint;
    v_shards smallint := perdure.shard_count();
begin
    loop
        v_shard := smallint '0';
        while v_shard < v_shards loop
            while perdure.run_next_of_batch_job(v_shard, job_id) is not null loop
                commit;
            end loop;
            commit;
            v_shard := (v_shard + 1)::smallint;
        end loop;
        exit when not perdure.list_runs_of_batch_job(job_id);
        commit;
    end loop;
end
$$;
comment on procedure perdure.run_batch_job(uuid) is
    'Changes the runs of a job that are left, each in a transaction of its own, as fast as it can. Call it again to go '
    'on after an interruption, or with runs that were locked. Several sessions may run it at once.';
