-- Pauses, unpauses and resets activities of an open run, and changes their options. As in Temporal, no event tells of
-- it. An activity that waits is changed at once. An attempt that runs goes on: its worker is told with the next
-- heartbeat, and the change takes effect when the attempt ends.

create or replace function perdure.lock_pending_activities(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text, p_activity_type text,
    p_is_every boolean default false) returns setof perdure.activity_tasks
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_run perdure.run_states := perdure.lock_open_run(p_shard, p_namespace, p_workflow_id, p_run_id);
begin
    if p_activity_id is null and p_activity_type is null and not p_is_every then
        raise exception 'Either Activity.Id or Activity.Type should be set on request.' using errcode = 'PD003',
            hint = 'Name an activity by its id, or all of a type.';
    end if;
    return query select * from perdure.activity_tasks t
    where t.shard = p_shard and t.run_id = v_run.run_id and (p_is_every
        or case when p_activity_id is null then t.activity_type = p_activity_type
            else t.activity_id = p_activity_id end)
    order by t.scheduled_event_id for update;
    if not found and not p_is_every then
        raise exception 'Can''t find pending activity with such ID. Invalid activityID or activity already completed'
            using errcode = 'PD018', hint = 'select * from perdure.pending_activities shows those that have not ended.';
    end if;
end
$$;
comment on function perdure.lock_pending_activities(smallint, text, text, uuid, text, text, boolean) is
    'Locks an open run and activities of it that have not ended: one by its id, those of a type, or every one. Raises '
    'PD001 or PD006 for the run, PD018 if there is no such activity, and PD003 if none is named.';

create or replace function perdure.deadline_of(p_task perdure.activity_tasks, p_now timestamptz) returns timestamptz
language sql stable parallel safe
-- No deadline is before p_now, because upkeep may have looked at earlier times already.
return case p_task.state
    -- The activity of a lost worker is found by its deadline, so a started activity has one even while it is paused.
    when 'started' then case when p_task.paused_at is not null then p_now + interval '1 hour'
        else greatest(p_now, perdure.activity_deadline(p_task.schedule_to_close_timeout, null,
            p_task.start_to_close_timeout, p_task.heartbeat_timeout, p_task.scheduled_at, p_task.attempt_scheduled_at,
            p_task.started_at, p_task.heartbeat_at)) end
    when 'backoff' then greatest(p_now, least(p_task.attempt_scheduled_at,
        p_task.scheduled_at + p_task.schedule_to_close_timeout))
    when 'scheduled' then perdure.activity_deadline(p_task.schedule_to_close_timeout,
        p_task.schedule_to_start_timeout, null, null, p_task.scheduled_at, p_task.attempt_scheduled_at, null, null)
    end;
comment on function perdure.deadline_of(perdure.activity_tasks, timestamptz) is
    'When upkeep must look at an activity: at its earliest time-out, or at the end of its backoff. A paused activity '
    'has no deadline, but one that is paused and still runs is looked at after an hour.';

create or replace function perdure.keep_activity(p_task perdure.activity_tasks, p_now timestamptz) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if p_task.state <> 'started' then
        p_task.state := case when p_task.paused_at is not null then 'paused'
            -- An activity whose schedule-to-close timeout is over waits for that time-out, and not for a worker.
            when p_task.attempt_scheduled_at > p_now
                or p_task.scheduled_at + p_task.schedule_to_close_timeout <= p_now then 'backoff'
            else 'scheduled' end;
    end if;
    update perdure.activity_tasks t set state = p_task.state, attempt = p_task.attempt, task_queue = p_task.task_queue,
        priority = p_task.priority, given_priority = p_task.given_priority,
        attempt_scheduled_at = p_task.attempt_scheduled_at,
        deadline = perdure.deadline_of(p_task, p_now), schedule_to_close_timeout = p_task.schedule_to_close_timeout,
        schedule_to_start_timeout = p_task.schedule_to_start_timeout,
        start_to_close_timeout = p_task.start_to_close_timeout, heartbeat_timeout = p_task.heartbeat_timeout,
        retry_policy = p_task.retry_policy, last_failure = p_task.last_failure,
        failure_cause = case when p_task.last_failure is not null then t.failure_cause end,
        failing_since = case when p_task.last_failure is not null then t.failing_since end,
        failing_build = case when p_task.last_failure is not null then t.failing_build end,
        heartbeat_at = p_task.heartbeat_at, heartbeat_details = p_task.heartbeat_details,
        paused_at = p_task.paused_at, paused_by = p_task.paused_by, pause_reason = p_task.pause_reason,
        pause_request_id = p_task.pause_request_id,
        reset = p_task.reset
    where t.shard = p_task.shard and t.run_id = p_task.run_id and t.scheduled_event_id = p_task.scheduled_event_id;
    if p_task.state = 'scheduled' then
        perform perdure.wake(p_task.namespace, p_task.task_queue, 'activity');
    end if;
end
$$;
comment on function perdure.keep_activity(perdure.activity_tasks, timestamptz) is
    'Stores an activity that somebody has changed, in the state that follows from its pause and the time of its next '
    'attempt. A started activity stays started.';

create or replace function perdure.jittered(p_jitter interval) returns interval
language sql volatile parallel safe
return coalesce(p_jitter, '0') * random();
comment on function perdure.jittered(interval) is 'A random part of an interval; zero for null.';

create or replace function perdure.pause_activities(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text,
    p_activity_type text default null, p_identity text default null, p_reason text default null,
    p_request_id text default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_task perdure.activity_tasks;
    v_count int := 0;
begin
    perform perdure.check_text(p_identity, 'identity');
    perform perdure.check_text(p_reason, 'reason');
    perform perdure.check_text(p_request_id, 'request id');
    for v_task in select * from perdure.lock_pending_activities(p_shard, p_namespace, p_workflow_id, p_run_id,
        p_activity_id, p_activity_type) loop
        if v_task.paused_at is not null and p_activity_id is not null
            and coalesce(v_task.pause_request_id, '') <> coalesce(p_request_id, '') then
            raise exception 'activity is already paused' using errcode = 'PD019',
                hint = 'Unpause it first to pause it for another reason.';
        end if;
        continue when v_task.paused_at is not null;
        v_task.paused_at := v_now;
        v_task.paused_by := p_identity;
        v_task.pause_reason := p_reason;
        v_task.pause_request_id := p_request_id;
        perform perdure.keep_activity(v_task, v_now);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function perdure.pause_activities(smallint, text, text, uuid, text, text, text, text, text) is
    'Pauses an activity of an open run by its id, or those of a type: an activity that waits is not handed out, and '
    'an attempt that runs is told with its next heartbeat and not followed by another. A paused activity does not '
    'time out. Returns how many were not paused before. Raises the errors of perdure.lock_pending_activities, and '
    'PD019 for an activity that another request has paused.';

create or replace function perdure.unpause_activities(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text,
    p_activity_type text default null, p_is_every boolean default false, p_resets_attempts boolean default false,
    p_resets_heartbeat boolean default false, p_jitter interval default null) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_task perdure.activity_tasks;
    v_count int := 0;
begin
    for v_task in select * from perdure.lock_pending_activities(p_shard, p_namespace, p_workflow_id, p_run_id,
        p_activity_id, p_activity_type, p_is_every) loop
        continue when v_task.paused_at is null;
        v_task.paused_at := null;
        v_task.paused_by := null;
        v_task.pause_reason := null;
        if p_resets_heartbeat then
            v_task.heartbeat_at := null;
            v_task.heartbeat_details := null;
        end if;
        if v_task.state = 'started' then
            if p_resets_attempts and v_task.attempt > 1 then
                v_task.reset := coalesce(v_task.reset, 'attempts');
            end if;
        else
            if p_resets_attempts then
                v_task := perdure.first_attempt_again(v_task, v_now);
            end if;
            -- As in Temporal the next attempt does not know of the failure of the one before.
            v_task.last_failure := null;
            v_task.attempt_scheduled_at := v_now + perdure.jittered(p_jitter);
        end if;
        perform perdure.keep_activity(v_task, v_now);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function perdure.unpause_activities(
    smallint, text, text, uuid, text, text, boolean, boolean, boolean, interval) is
    'Lets paused activities of an open run go on: one by its id, those of a type, or every one. An activity that '
    'waits is tried at once, or at a random time within the jitter. Returns how many were paused. Raises the errors '
    'of perdure.lock_pending_activities.';

create or replace function perdure.first_attempt_again(p_task perdure.activity_tasks, p_at timestamptz)
returns perdure.activity_tasks
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Attempts are counted from 1 again, so the records of earlier attempts would be taken for those of later ones.
    delete from perdure.activity_attempts a
    where a.shard = p_task.shard and a.run_id = p_task.run_id and a.scheduled_event_id = p_task.scheduled_event_id;
    p_task.attempt := 1;
    p_task.attempt_scheduled_at := p_at;
    return p_task;
end
$$;
comment on function perdure.first_attempt_again(perdure.activity_tasks, timestamptz) is
    'The activity with its attempts counted from 1 again, the first one scheduled at p_at. Deletes the records of its '
    'failed attempts.';

create or replace function perdure.reset_activities(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text,
    p_activity_type text default null, p_is_every boolean default false, p_resets_heartbeat boolean default false,
    p_keeps_pause boolean default false, p_jitter interval default null, p_restores_options boolean default false)
    returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_task perdure.activity_tasks;
    v_count int := 0;
begin
    for v_task in select * from perdure.lock_pending_activities(p_shard, p_namespace, p_workflow_id, p_run_id,
        p_activity_id, p_activity_type, p_is_every) loop
        if p_restores_options then
            v_task := perdure.with_original_options(v_task);
        end if;
        if not p_keeps_pause then
            v_task.paused_at := null;
            v_task.paused_by := null;
            v_task.pause_reason := null;
        end if;
        if v_task.state = 'started' then
            v_task.reset := case when p_resets_heartbeat then 'heartbeat' else coalesce(v_task.reset, 'attempts') end;
        else
            if p_resets_heartbeat then
                v_task.heartbeat_at := null;
                v_task.heartbeat_details := null;
            end if;
            v_task := perdure.first_attempt_again(v_task, v_now + perdure.jittered(p_jitter));
            if v_task.paused_at is null then
                v_task.last_failure := null;
            end if;
        end if;
        perform perdure.keep_activity(v_task, v_now);
        v_count := v_count + 1;
    end loop;
    return v_count;
end
$$;
comment on function perdure.reset_activities(
    smallint, text, text, uuid, text, text, boolean, boolean, boolean, interval, boolean) is
    'Begins activities of an open run anew: one by its id, those of a type, or every one. An activity that waits is '
    'tried at once as attempt 1, and unpaused unless its pause is kept. An attempt that runs is told with its next '
    'heartbeat, and counts as attempt 1. Returns how many were reset. Raises the errors of '
    'perdure.lock_pending_activities.';

create or replace function perdure.options_of(p_task perdure.activity_tasks) returns jsonb
language sql stable
return perdure.present(jsonb_build_object('taskQueue', jsonb_build_object('name', p_task.task_queue, 'kind', 'Normal'),
    'scheduleToCloseTimeout', perdure.seconds(p_task.schedule_to_close_timeout),
    'scheduleToStartTimeout', perdure.seconds(p_task.schedule_to_start_timeout),
    'startToCloseTimeout', perdure.seconds(p_task.start_to_close_timeout),
    'heartbeatTimeout', perdure.seconds(p_task.heartbeat_timeout),
    'retryPolicy', coalesce(p_task.retry_policy, perdure.retry_policy(null)), 'priority', p_task.given_priority));
comment on function perdure.options_of(perdure.activity_tasks) is
    'The options of an activity: temporal.api.activity.v1.ActivityOptions.';

create or replace function perdure.with_options(p_task perdure.activity_tasks, p_options jsonb)
returns perdure.activity_tasks
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_to_close interval := nullif(perdure.duration(p_options -> 'scheduleToCloseTimeout', 'scheduleToCloseTimeout'),
        interval '0');
    v_start_to_close interval := nullif(perdure.duration(p_options -> 'startToCloseTimeout', 'startToCloseTimeout'),
        interval '0');
begin
    if v_to_close is null and v_start_to_close is null then
        raise exception '%', format('a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the '
            'activity. ActivityId=%s ActivityType=%s', p_task.activity_id, p_task.activity_type)
            using errcode = 'PD003', hint = 'For example "10s".';
    end if;
    perform perdure.check_retry_policy(p_options -> 'retryPolicy', 'retry policy');
    perform perdure.check_task_queue(p_options #>> '{taskQueue,name}');
    perform perdure.check_priority(p_options -> 'priority');
    p_task.task_queue := p_options #>> '{taskQueue,name}';
    -- As in Temporal, the other timeouts are at most the schedule-to-close timeout.
    p_task.schedule_to_close_timeout := v_to_close;
    p_task.schedule_to_start_timeout := least(nullif(perdure.duration(p_options -> 'scheduleToStartTimeout',
        'scheduleToStartTimeout'), interval '0'), v_to_close);
    p_task.start_to_close_timeout := least(v_start_to_close, v_to_close);
    p_task.heartbeat_timeout := nullif(perdure.duration(p_options -> 'heartbeatTimeout', 'heartbeatTimeout'),
        interval '0');
    if p_task.heartbeat_timeout > p_task.start_to_close_timeout then
        p_task.heartbeat_timeout := p_task.start_to_close_timeout;
    end if;
    p_task.retry_policy := perdure.retry_policy(p_options -> 'retryPolicy');
    p_task.given_priority := nullif(p_options -> 'priority', 'null');
    p_task.priority := perdure.claim_priority(p_options -> 'priority', (
        select r.priority from perdure.run_states r where r.shard = p_task.shard and r.run_id = p_task.run_id));
    return p_task;
end
$$;
comment on function perdure.with_options(perdure.activity_tasks, jsonb) is
    'The activity with these options in the place of all that it has. Raises PD003 for an invalid option.';

create or replace function perdure.with_original_options(p_task perdure.activity_tasks)
returns perdure.activity_tasks
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_options jsonb;
begin
    select perdure.whole_event(h.events[p_task.scheduled_event_id - h.first_event_id + 1],
        p_task.scheduled_event_id, h, e) -> 'attributes' into v_options
    from perdure.history h join perdure.executions e on e.shard = p_task.shard and e.run_id = h.run_id
    where h.shard = p_task.shard and h.run_id = p_task.run_id and h.first_event_id <= p_task.scheduled_event_id
    order by h.first_event_id desc limit 1;
    return perdure.with_options(p_task, v_options);
end
$$;
comment on function perdure.with_original_options(perdure.activity_tasks) is
    'The activity with the options with which it was scheduled, which its ActivityTaskScheduled tells.';

create or replace function perdure.changed_options(p_options jsonb, p_changes jsonb, p_paths text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
declare
    v_path text;
    v_steps text[];
begin
    foreach v_path in array p_paths loop
        v_steps := string_to_array(v_path, '.');
        -- As in Temporal, a path that names no option is left out.
        continue when v_path not in ('taskQueue.name', 'scheduleToCloseTimeout', 'scheduleToStartTimeout',
            'startToCloseTimeout', 'heartbeatTimeout', 'retryPolicy', 'retryPolicy.initialInterval',
            'retryPolicy.backoffCoefficient', 'retryPolicy.maximumInterval', 'retryPolicy.maximumAttempts', 'priority',
            'priority.priorityKey', 'priority.fairnessKey', 'priority.fairnessWeight');
        if v_path = 'taskQueue.name' and coalesce(p_changes #>> v_steps, '') = '' then
            raise exception 'TaskQueue is not provided' using errcode = 'PD003', hint = 'Name the queue.';
        end if;
        if cardinality(v_steps) > 1 and not p_options ? v_steps[1] then
            p_options := p_options || jsonb_build_object(v_steps[1], '{}'::jsonb);
        end if;
        p_options := case when p_changes #> v_steps is null then p_options #- v_steps
            else jsonb_set(p_options, v_steps, p_changes #> v_steps) end;
    end loop;
    return p_options;
end
$$;
comment on function perdure.changed_options(jsonb, jsonb, text[]) is
    'Options of an activity in which those that the paths name (such as retryPolicy.maximumAttempts) are replaced by '
    'those of the changes.';

create or replace function perdure.update_activity_options(
    p_shard smallint, p_namespace text, p_workflow_id text, p_run_id uuid, p_activity_id text, p_options jsonb,
    p_paths text[], p_activity_type text default null, p_is_every boolean default false,
    p_restores boolean default false) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_task perdure.activity_tasks;
    v_options jsonb;
begin
    for v_task in select * from perdure.lock_pending_activities(p_shard, p_namespace, p_workflow_id, p_run_id,
        p_activity_id, p_activity_type, p_is_every) loop
        if p_restores then
            v_task := perdure.with_original_options(v_task);
        else
            v_task := perdure.with_options(v_task,
                perdure.changed_options(perdure.options_of(v_task), p_options, p_paths));
        end if;
        if v_task.state <> 'started' then
            -- As in Temporal: the new options count from the end of the attempt before, whose failure is forgotten.
            v_task.last_failure := null;
            v_task.attempt_scheduled_at := case when v_task.attempt = 1 then v_now
                else greatest(v_now, v_task.attempt_ended_at + perdure.retry_wait(
                    coalesce(v_task.retry_policy, perdure.retry_policy(null)), v_task.attempt)) end;
        end if;
        perform perdure.keep_activity(v_task, v_now);
        v_options := perdure.options_of(v_task);
    end loop;
    return v_options;
end
$$;
comment on function perdure.update_activity_options(
    smallint, text, text, uuid, text, jsonb, text[], text, boolean, boolean) is
    'Changes options of activities of an open run: one by its id, those of a type, or every one. Changes the options '
    'that the paths name, such as startToCloseTimeout or retryPolicy.maximumAttempts, or sets all back to those with '
    'which the activity was scheduled. An activity that waits for its next attempt waits by the new options. Returns '
    'the options of the last activity. Raises the errors of perdure.lock_pending_activities, and PD003 for an invalid '
    'option.';
