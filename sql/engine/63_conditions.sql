-- The state of an open run, in the words that lists, its page, the command line and psql share.
--
-- Conditions are facts, of which a run may have several: its code fails, a step is tried again, a task waits in a queue
-- that nobody polls. A verdict names the worst of them or, if there is none, what the run waits for.

create or replace function perdure.in_words(p_time interval) returns text
language sql immutable parallel safe
return case
    when p_time < interval '1 s' then greatest(floor(extract(epoch from p_time) * 1000), 0)::int || ' ms'
    when p_time < interval '1 minute' then floor(extract(epoch from p_time))::int || ' s'
    when p_time < interval '1 hour' then floor(extract(epoch from p_time) / 60)::int || ' min '
        || lpad((floor(extract(epoch from p_time))::int % 60)::text, 2, '0') || ' s'
    when p_time < interval '24 hours' then floor(extract(epoch from p_time) / 3600)::int || ' h '
        || lpad((floor(extract(epoch from p_time) / 60)::int % 60)::text, 2, '0') || ' min'
    else floor(extract(epoch from p_time) / 86400)::bigint || ' d '
        || (floor(extract(epoch from p_time) / 3600)::bigint % 24) || ' h' end;
comment on function perdure.in_words(interval) is 'A duration for people: 850 ms, 12 s, 3 min 04 s, 2 h 05 min, '
    '3 d 4 h.';

create or replace function perdure.moment_in_words(p_time timestamptz, p_now timestamptz) returns text
language sql stable parallel safe
return case
    when p_time at time zone 'UTC' < date_trunc('day', p_now at time zone 'UTC') + interval '1 day'
        then to_char(p_time at time zone 'UTC', 'FMHH24:MI:SS')
    when p_time at time zone 'UTC' < date_trunc('day', p_now at time zone 'UTC') + interval '7 days'
        then to_char(p_time at time zone 'UTC', 'FMDay FMHH24:MI')
    else to_char(p_time at time zone 'UTC', 'YYYY-MM-DD HH24:MI') end || ' UTC';
comment on function perdure.moment_in_words(timestamptz, timestamptz) is
    'A future moment in a form for people, in UTC: 9:00:00 UTC today, Tuesday 9:00 UTC this week, else with its date.';

create or replace function perdure.is_polled(p_namespace text, p_task_queue text, p_kind text, p_now timestamptz)
    returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- A worker that says that it has no code of a kind does not poll for tasks of that kind.
    return exists (select from perdure.workers w
        where w.namespace = p_namespace and w.task_queues @> array[p_task_queue] and w.lease_until > p_now
          and w.lost_at is null
          and w.details -> case p_kind when 'workflow' then 'workflowTypes' else 'activityTypes' end
              is distinct from '[]');
end
$$;
comment on function perdure.is_polled(text, text, text, timestamptz) is
    'Whether a worker that is alive takes tasks of a kind, workflow or activity, from a queue.';

create or replace function perdure.claimable_queues(p_namespace text) returns table (kind text, task_queue text)
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
begin
    -- Each step reads the next queue from the index of claimable tasks, however many tasks wait in each queue.
    return query
    with recursive shards as (
        select s.shard::smallint as shard from generate_series(0, perdure.shard_count() - 1) s (shard)),
    workflow_queues as (
        select s.shard, q.task_queue from shards s cross join lateral (
            select t.task_queue from perdure.workflow_tasks t
            where t.shard = s.shard and t.namespace = p_namespace and t.state = 'scheduled' and t.sticky_worker is null
            order by t.task_queue limit 1) q
        union all
        select s.shard, q.task_queue from workflow_queues s cross join lateral (
            select t.task_queue from perdure.workflow_tasks t
            where t.shard = s.shard and t.namespace = p_namespace and t.state = 'scheduled' and t.sticky_worker is null
              and t.task_queue > s.task_queue
            order by t.task_queue limit 1) q),
    activity_queues as (
        select s.shard, q.task_queue from shards s cross join lateral (
            select t.task_queue from perdure.activity_tasks t
            where t.shard = s.shard and t.namespace = p_namespace and t.state = 'scheduled'
            order by t.task_queue limit 1) q
        union all
        select s.shard, q.task_queue from activity_queues s cross join lateral (
            select t.task_queue from perdure.activity_tasks t
            where t.shard = s.shard and t.namespace = p_namespace and t.state = 'scheduled'
              and t.task_queue > s.task_queue
            order by t.task_queue limit 1) q)
    select distinct f.kind, f.task_queue from (
        select 'workflow' as kind, w.task_queue from workflow_queues w
        union all select 'activity', a.task_queue from activity_queues a) f;
end
$$;
comment on function perdure.claimable_queues(text) is 'Queues of a namespace in which tasks can be claimed, by kind.';

create or replace function perdure.unattended_queues(p_namespace text) returns table (kind text, task_queue text)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
begin
    return query select q.kind, q.task_queue from perdure.claimable_queues(p_namespace) q
    where not perdure.is_polled(p_namespace, q.task_queue, q.kind, v_now);
end
$$;
comment on function perdure.unattended_queues(text) is
    'Queues of a namespace in which tasks can be claimed and for which no worker polls.';

create or replace function perdure.runs_that_wait(p_namespace text, p_kind text, p_task_queue text, p_limit int)
    returns setof uuid
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off
as $$
    select t.run_id from generate_series(0, perdure.shard_count() - 1) s (shard)
    join perdure.workflow_tasks t on t.shard = s.shard::smallint and t.namespace = p_namespace
        and t.task_queue = p_task_queue and t.state = 'scheduled' and t.sticky_worker is null and p_kind = 'workflow'
    union all
    select t.run_id from generate_series(0, perdure.shard_count() - 1) s (shard)
    join perdure.activity_tasks t on t.shard = s.shard::smallint and t.namespace = p_namespace
        and t.task_queue = p_task_queue and t.state = 'scheduled' and p_kind = 'activity'
    limit p_limit
$$;
comment on function perdure.runs_that_wait(text, text, text, int) is
    'Runs with a task of a kind that can be claimed from a queue: at most p_limit, and a run once for each such task.';

create or replace function perdure.runs_in_condition(p_namespace text, p_field text, p_value text, p_limit int)
    returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
begin
    case
    when p_field = 'Condition' and p_value = 'Retrying' then
        return array(select t.run_id from perdure.activity_tasks t
            where t.namespace = p_namespace and t.failure_cause is not null limit p_limit);
    when p_field = 'Condition' and p_value = 'CodeFails' then
        return array(select t.run_id from perdure.workflow_tasks t
            where t.namespace = p_namespace and t.failure_cause is not null limit p_limit);
    when p_field = 'Condition' and p_value = 'Paused' then
        return array(select t.run_id from perdure.activity_tasks t
            where t.namespace = p_namespace and t.paused_at is not null limit p_limit);
    when p_value = 'NoWorker' or p_field = 'Cause' and p_value ^@ 'no worker on ' then
        return array(select r.run_id from perdure.unattended_queues(p_namespace) q
            cross join lateral perdure.runs_that_wait(p_namespace, q.kind, q.task_queue, p_limit) r (run_id)
            where p_field = 'Condition' or p_value = 'no worker on ' || q.task_queue limit p_limit);
    when p_field = 'Cause' then
        return array((select t.run_id from perdure.activity_tasks t
            where t.namespace = p_namespace and t.failure_cause = p_value limit p_limit)
            union all (select t.run_id from perdure.workflow_tasks t
            where t.namespace = p_namespace and t.failure_cause = p_value limit p_limit) limit p_limit);
    when p_field = 'FailingActivity' then
        -- A cause of an activity begins with its type and a colon. The semicolon is the character after the colon, so
        -- this range holds every cause of the type.
        return array(select t.run_id from perdure.activity_tasks t
            where t.namespace = p_namespace and t.failure_cause >= p_value || ': ' and t.failure_cause < p_value || ';'
                and t.activity_type = p_value limit p_limit);
    when p_field = 'FailingBuild' then
        return array((select t.run_id from perdure.activity_tasks t
            where t.namespace = p_namespace and t.failing_build = p_value limit p_limit)
            union all (select t.run_id from perdure.workflow_tasks t
            where t.namespace = p_namespace and t.failing_build = p_value limit p_limit) limit p_limit);
    else
        return array[]::uuid[];
    end case;
end
$$;
comment on function perdure.runs_in_condition(text, text, text, int) is
    'Runs for which a field of the list filter (Condition, Cause, FailingActivity, FailingBuild) has a value, found '
    'by partial indexes: at most p_limit, and a run once for each of its tasks to which this applies.';

create or replace function perdure.signals_of(p_namespace text, p_workflow_type text) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select coalesce(m.match[1], m.match[2]) from (
            select t.content from perdure.sources s join perdure.source_texts t on t.content_hash = s.content_hash
            where s.namespace = p_namespace and s.kind = 'workflow' and s.type_name = p_workflow_type
            order by s.last_registered_at desc limit 1) code
        cross join lateral regexp_matches(code.content,
            '@WorkflowSignal(?:[[:space:]]*[(][[:space:]]*name:[[:space:]]*"([^"]+)"[^)]*[)])?[[:space:]]+'
                '(?:[a-z@]+[[:space:]]+)*func[[:space:]]+([[:alnum:]_]+)',
            'g') with ordinality m (match, n)
        order by m.n limit 10);
end
$$;
comment on function perdure.signals_of(text, text) is
    'The names of the signals that the newest registered code of a workflow type handles; none if the code is not '
    'known.';

create or replace function perdure.run_verdict(
    p_shard smallint, p_run_id uuid, p_is_brief boolean default false,
    out condition text, out verdict text, out verdict_before text, out verdict_time timestamptz,
    out verdict_after text, out reason text, out cause text, out since timestamptz, out failed_attempts int,
    out event_id bigint,
    out task_queue text, out due_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.executions;
    v_state perdure.run_states;
    v_task perdure.workflow_tasks;
    v_failing perdure.activity_tasks;
    v_paused perdure.activity_tasks;
    v_step record;
    v_kind text;
    v_last jsonb;
    v_failure jsonb;
    v_signals text[];
    v_when text;
    v_word text;
    v_is_countdown boolean := false;
begin
    select * into v_run from perdure.executions e where e.shard = p_shard and e.run_id = p_run_id;
    if v_run.run_id is null then
        return;
    end if;
    failed_attempts := 0;
    verdict_after := '';
    if v_run.status <> 'Running' then
        condition := v_run.status::text;
        since := v_run.close_time;
        select h.events[cardinality(h.events)] into v_last from perdure.history h
        where h.shard = p_shard and h.run_id = p_run_id order by h.first_event_id desc limit 1;
        v_failure := v_last #> '{attributes,failure}';
        reason := case v_run.status
            when 'Failed' then perdure.failure_message(v_failure)
            when 'Terminated' then left(nullif(v_last #>> '{attributes,reason}', ''), 1000)
            when 'Canceled' then 'it was asked to cancel'
            when 'TimedOut' then 'its time was over' end;
        cause := case v_run.status when 'Failed' then perdure.failure_cause(v_failure) end;
        verdict_before := format('%s after %s%s', case v_run.status
            when 'ContinuedAsNew' then 'Went on as a new run' when 'TimedOut' then 'Timed out'
            else v_run.status::text end, perdure.in_words(v_run.close_time - v_run.start_time),
            case when v_run.status in ('Failed', 'Terminated') then coalesce(': ' || reason, '') else '' end);
        verdict := verdict_before;
        return;
    end if;

    condition := 'Running';
    select * into v_state from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id;
    select * into v_task from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id;
    select * into v_failing from perdure.activity_tasks t
    -- `coalesce` keeps the planner from using any other index than the primary key: a run has few tasks.
    where t.shard = p_shard and t.run_id = p_run_id and coalesce(t.failure_cause, '') <> ''
    order by t.attempt desc, t.scheduled_event_id limit 1;
    select * into v_paused from perdure.activity_tasks t
    where t.shard = p_shard and t.run_id = p_run_id and coalesce(t.paused_at, 'infinity') < 'infinity'
    order by t.paused_at, t.scheduled_event_id limit 1;
    if v_task.failure_cause is not null then
        condition := 'CodeFails';
        cause := v_task.failure_cause;
        since := v_task.failing_since;
        failed_attempts := v_state.workflow_task_failed_attempts;
        task_queue := v_task.task_queue;
        reason := perdure.failure_message(v_state.workflow_task_failure -> 'failure');
        if v_task.state = 'backoff' and v_task.deadline > v_now then
            due_at := v_task.deadline;
            v_is_countdown := true;
        end if;
        verdict_before := format('Its code fails%s: %s%s',
            ' since ' || case when v_task.failing_build ^@ 'build' then '' else 'build ' end || v_task.failing_build,
            cause, case when due_at is not null then '. It is tried again ' else '' end);
    elsif v_task.state = 'scheduled' and v_task.sticky_worker is null
        and not perdure.is_polled(v_task.namespace, v_task.task_queue, 'workflow', v_now) then
        condition := 'NoWorker';
        task_queue := v_task.task_queue;
        since := v_task.scheduled_at;
        reason := 'no worker polls the queue ' || task_queue;
        cause := 'no worker on ' || task_queue;
        verdict_before := 'Nobody polls the queue ' || task_queue;
    else
        select a.task_queue, a.activity_type, a.attempt_scheduled_at, a.scheduled_event_id into v_step
        from perdure.activity_tasks a
        where a.shard = p_shard and a.run_id = p_run_id and a.state = 'scheduled'
            and not perdure.is_polled(a.namespace, a.task_queue, 'activity', v_now)
        order by a.scheduled_event_id limit 1;
        if v_step.task_queue is not null then
            condition := 'NoWorker';
            task_queue := v_step.task_queue;
            since := v_step.attempt_scheduled_at;
            event_id := v_step.scheduled_event_id;
            reason := format('%s: no worker polls the queue %s', v_step.activity_type, task_queue);
            cause := 'no worker on ' || task_queue;
            verdict_before := format('%s waits, and nobody polls the queue %s', v_step.activity_type, task_queue);
        elsif v_paused.run_id is not null then
            condition := 'Paused';
            since := v_paused.paused_at;
            event_id := v_paused.scheduled_event_id;
            task_queue := v_paused.task_queue;
            reason := v_paused.activity_type || ' is paused'
                || coalesce(' by ' || nullif(left(v_paused.paused_by, 200), ''), '')
                || coalesce(': ' || nullif(left(v_paused.pause_reason, 200), ''), '');
            verdict_before := reason || case v_paused.state when 'started' then '; its attempt runs for '
                else ', for ' end;
            verdict_time := coalesce(v_paused.started_at, v_paused.paused_at);
        elsif v_failing.run_id is not null then
            condition := 'Retrying';
            cause := v_failing.failure_cause;
            since := v_failing.failing_since;
            failed_attempts := v_failing.attempt - 1;
            event_id := v_failing.scheduled_event_id;
            task_queue := v_failing.task_queue;
            reason := v_failing.activity_type || ': ' || perdure.failure_message(v_failing.last_failure);
            verdict_after := ': ' || perdure.failure_message(v_failing.last_failure);
            if v_failing.state = 'backoff' then
                verdict_before := format('Waits for attempt %s of %s ', v_failing.attempt, v_failing.activity_type);
                due_at := v_failing.attempt_scheduled_at;
                v_is_countdown := due_at < v_now + interval '1 hour';
            else
                verdict_before := format(case v_failing.state when 'started' then 'Attempt %s of %s runs for '
                    else 'Attempt %s of %s waits for a worker for ' end, v_failing.attempt, v_failing.activity_type);
                verdict_time := coalesce(v_failing.started_at, v_failing.attempt_scheduled_at);
                verdict_after := format('; attempt %s failed', v_failing.attempt - 1) || verdict_after;
            end if;
        end if;
    end if;

    if verdict_before is null and v_task.run_id is not null then
        task_queue := v_task.task_queue;
        since := coalesce(v_task.started_at, v_task.scheduled_at);
        verdict_time := since;
        verdict_before := case v_task.state when 'started' then 'Its code runs for '
            else format('Waits for a worker of the queue %s for ', task_queue) end;
        verdict_after := case v_task.state when 'started' then coalesce(' on ' || (
            select w.identity from perdure.workers w where w.worker_id = v_task.worker), '') else '' end;
        reason := case v_task.state when 'started' then 'its code runs' else 'waits for a worker' end;
    end if;
    if verdict_before is null then
        select count(*), (array_agg(a order by a.state <> 'started', a.scheduled_event_id))[1] as first
        into v_step from perdure.activity_tasks a where a.shard = p_shard and a.run_id = p_run_id;
        if v_step.count > 0 then
            v_failing := v_step.first;
            event_id := v_failing.scheduled_event_id;
            task_queue := v_failing.task_queue;
            since := coalesce(v_failing.started_at, v_failing.attempt_scheduled_at);
            reason := v_failing.activity_type || case v_failing.state when 'started' then ' runs'
                else ' waits for a worker' end;
            verdict_before := reason || ' for ';
            verdict_time := since;
            verdict_after := case v_failing.state when 'started'
                then coalesce(' on ' || v_failing.last_worker_identity, '') else '' end;
            if v_step.count > 1 then
                reason := reason || ', and ' || perdure.counted(v_step.count - 1, 'more step', 'more steps');
                verdict_after := verdict_after || ', beside '
                    || perdure.counted(v_step.count - 1, 'more step', 'more steps');
            end if;
        end if;
    end if;
    if verdict_before is null then
        select count(*), min(c.workflow_id) as first into v_step
        from perdure.child_workflows c where c.shard = p_shard and c.run_id = p_run_id;
        if v_step.count > 0 then
            reason := case when v_step.count = 1 then 'waits for the child ' || v_step.first
                else format('waits for %s children', v_step.count) end;
            verdict_before := case when v_step.count = 1 then 'Waits for the child workflow ' || v_step.first
                else format('Waits for %s child workflows', v_step.count) end;
        end if;
    end if;
    if verdict_before is null then
        select t.kind, t.fire_at, nullif(t.started_event_id, 0) into v_kind, due_at, event_id from perdure.timers t
        where t.shard = p_shard and t.run_id = p_run_id and t.kind in ('timer', 'start_delay')
        order by t.fire_at, t.started_event_id limit 1;
        v_signals := case when p_is_brief or v_kind = 'start_delay' then '{}'
            else perdure.signals_of(v_run.namespace, v_run.workflow_type) end;
        verdict_before := case
            when v_kind = 'start_delay' then 'Starts '
            when cardinality(v_signals) > 0 then format('Waits for the signal%s %s%s',
                case when cardinality(v_signals) > 1 then 's' else '' end,
                case when cardinality(v_signals) > 1 then array_to_string(v_signals[:cardinality(v_signals) - 1], ', ')
                    || ' or ' else '' end || v_signals[cardinality(v_signals)],
                case when due_at is not null then ', at most ' else '' end)
            when due_at is not null then 'Sleeps '
            else 'Waits for a signal or an update' end;
        reason := case when v_kind = 'start_delay' then 'starts later' when due_at is not null then 'sleeps'
            else 'waits for a signal' end;
    end if;
    if due_at is not null then
        v_is_countdown := v_is_countdown or due_at < v_now + interval '1 minute' and v_kind = 'start_delay';
        v_word := case when v_is_countdown then 'in ' when v_kind = 'start_delay' then 'at ' else 'until ' end;
        v_when := case when v_is_countdown then perdure.in_words(due_at - v_now)
            else perdure.moment_in_words(due_at, v_now) end;
        verdict_before := verdict_before || v_word;
        verdict_time := due_at;
        if condition = 'Running' then
            reason := concat_ws(' ', reason, rtrim(v_word), v_when);
        end if;
    elsif verdict_time is not null then
        v_when := perdure.in_words(v_now - verdict_time);
    end if;
    verdict := left(verdict_before || coalesce(v_when, '') || verdict_after, 2000);
end
$$;
comment on function perdure.run_verdict(smallint, uuid, boolean) is
    'The state of a run in words. condition: Running, Retrying, CodeFails, NoWorker or Paused; the status of a closed '
    'run. verdict: a sentence. It consists of verdict_before, then verdict_time if that is set (as its distance from '
    'now after "in" and "for", else as a time), then verdict_after. reason: the same in few words. cause: the text by '
    'which list filters find it. since: when this state began. failed_attempts, event_id and task_queue: of the step '
    'that the verdict is about. due_at: when what the run waits for is due. With p_is_brief the function does not '
    'read the code for the signals that it handles. Null for no run.';

create or replace function perdure.open_condition(p_shard smallint, p_run_id uuid, p_status perdure.execution_status)
    returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return case when p_status = 'Running' then (
        select nullif(v.condition, 'Running') from perdure.run_verdict(p_shard, p_run_id, true) v) end;
end
$$;
comment on function perdure.open_condition(smallint, uuid, perdure.execution_status) is
    'The worst condition of an open run: CodeFails, NoWorker, Retrying or Paused; null for none.';

create or replace function perdure.open_cause(p_shard smallint, p_run_id uuid, p_status perdure.execution_status)
    returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return case when p_status = 'Running' then (
        select v.cause from perdure.run_verdict(p_shard, p_run_id, true) v) end;
end
$$;
comment on function perdure.open_cause(smallint, uuid, perdure.execution_status) is
    'The cause of what fails in an open run; null if nothing fails.';

create or replace function perdure.open_failing_build(p_shard smallint, p_run_id uuid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return (select min(b.build) from (
        select t.failing_build as build from perdure.activity_tasks t where t.shard = p_shard and t.run_id = p_run_id
        union all
        select t.failing_build from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run_id) b);
end
$$;
comment on function perdure.open_failing_build(smallint, uuid) is
    'A build with which the failure of an open run began; null if nothing fails.';
