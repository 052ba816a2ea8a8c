-- The hot path: many workflow tasks completed in one statement, those whose commands are the usual ones.
--
-- The usual commands are any number of activities, or one command that closes the run, or none. A completion that is
-- unusual in any way is left to complete_workflow_task, and this statement writes the same rows and events as
-- complete_workflow_task would. It builds jsonb in place, without the functions of 00_basics.sql, because a call costs
-- more than what it does.

create or replace function perdure.is_usual_duration(p_value jsonb) returns boolean
language sql immutable parallel safe
return p_value is null or jsonb_typeof(p_value) = 'string' and p_value #>> '{}' ~ '^[0-9]{1,9}([.][0-9]{1,9})?s$';
comment on function perdure.is_usual_duration(jsonb) is
    'Whether a duration of a command is absent, or well formed and far below the longest.';

create or replace function perdure.usual_duration(p_value jsonb) returns interval
language sql immutable parallel safe
return nullif(make_interval(secs => rtrim(p_value #>> '{}', 's')::double precision), interval '0');
comment on function perdure.usual_duration(jsonb) is 'A well-formed duration; null for none and for zero.';

-- The function is STABLE because those that it calls are; declared IMMUTABLE it could not be inlined.
create or replace function perdure.is_usual_retry_policy(p_value jsonb) returns boolean
language sql stable parallel safe
return p_value is null or jsonb_typeof(p_value) = 'object' and pg_column_size(p_value) < 2048
    and perdure.is_usual_duration(p_value -> 'initialInterval')
        and perdure.is_usual_duration(p_value -> 'maximumInterval')
    and case when p_value ? 'backoffCoefficient' then jsonb_typeof(p_value -> 'backoffCoefficient') = 'number'
        and p_value #>> '{backoffCoefficient}' ~ '^[1-9][0-9]{0,3}([.][0-9]{1,9})?$' else true end
    and case when p_value ? 'maximumAttempts' then jsonb_typeof(p_value -> 'maximumAttempts') = 'number'
        and p_value #>> '{maximumAttempts}' ~ '^[0-9]{1,8}$' else true end
    and case when p_value ? 'nonRetryableErrorTypes' then jsonb_typeof(p_value -> 'nonRetryableErrorTypes') = 'array'
        and not jsonb_path_exists(p_value, 'strict $.nonRetryableErrorTypes[*] ? (@.type() != "string")') else true end;
comment on function perdure.is_usual_retry_policy(jsonb) is 'Whether a retry policy is absent or well formed.';

create or replace function perdure.is_usual_command(p_command jsonb) returns boolean
language sql stable parallel safe
return case p_command ->> 'commandType'
    when 'ScheduleActivityTask' then
        octet_length(p_command #>> '{attributes,activityId}') between 1 and 1000
        and octet_length(p_command #>> '{attributes,activityType,name}') between 1 and 1000
        and jsonb_typeof(p_command #> '{attributes,activityId}') = 'string'
        and p_command #> '{attributes,activityType}' = jsonb_build_object('name',
            p_command #>> '{attributes,activityType,name}')
        and perdure.is_usual_payloads(p_command #> '{attributes,input}')
        and perdure.is_usual_duration(p_command #> '{attributes,scheduleToCloseTimeout}')
        and perdure.is_usual_duration(p_command #> '{attributes,scheduleToStartTimeout}')
        and perdure.is_usual_duration(p_command #> '{attributes,startToCloseTimeout}')
        and perdure.is_usual_duration(p_command #> '{attributes,heartbeatTimeout}')
        and coalesce(perdure.usual_duration(p_command #> '{attributes,startToCloseTimeout}'),
            perdure.usual_duration(p_command #> '{attributes,scheduleToCloseTimeout}')) is not null
        and perdure.is_usual_retry_policy(p_command #> '{attributes,retryPolicy}')
        and not p_command -> 'attributes' ?| array['priority', 'header']
        and not p_command ?| array['userMetadata', 'eventGroupMarkers']
        and case when p_command #> '{attributes,taskQueue,name}' is null then true
            else octet_length(p_command #>> '{attributes,taskQueue,name}') between 1 and 1000 end
    when 'CompleteWorkflowExecution' then perdure.is_usual_payloads(p_command #> '{attributes,result}')
        and not p_command ?| array['userMetadata', 'eventGroupMarkers']
    else false end;
comment on function perdure.is_usual_command(jsonb) is
    'Whether a command is one of the usual ones and certainly valid.';

create or replace function perdure.is_common_activity(p_attributes jsonb) returns boolean
language sql stable parallel safe
return case when jsonb_typeof(p_attributes) = 'object' then
    p_attributes - array['activityId', 'activityType', 'input', 'startToCloseTimeout', 'requestEagerExecution',
        'taskQueue'] = '{}'
    and octet_length(p_attributes ->> 'activityId') between 1 and 1000
    and jsonb_typeof(p_attributes -> 'activityId') = 'string'
    and octet_length(p_attributes #>> '{activityType,name}') between 1 and 1000
    and p_attributes -> 'activityType' = jsonb_object(array['name', p_attributes #>> '{activityType,name}'])
    and perdure.is_usual_payloads(p_attributes -> 'input')
    -- The duration must have the form that perdure.seconds writes, because it is stored as it came. Whole seconds are
    -- recognised without a regular expression, which would cost more.
    and case when ltrim(p_attributes ->> 'startToCloseTimeout', '0123456789') = 's'
        then octet_length(p_attributes ->> 'startToCloseTimeout') between 2 and 10
            and left(p_attributes ->> 'startToCloseTimeout', 1) <> '0'
        else p_attributes ->> 'startToCloseTimeout' ~ '^([1-9][0-9]{0,8}|0(?=[.]))([.][0-9]{0,5}[1-9])?s$' end
    end;
comment on function perdure.is_common_activity(jsonb) is
    'Whether these attributes of a command describe an activity with no more than it needs and are certainly valid, '
    'so that they are stored as they came. The caller checks the task queue.';

create or replace function perdure.is_usual_sdk_metadata(p_value jsonb) returns boolean
language sql immutable parallel safe
return p_value is null or jsonb_typeof(p_value) = 'object' and pg_column_size(p_value) < 1000;
comment on function perdure.is_usual_sdk_metadata(jsonb) is
    'Whether the SDK metadata of a completion is absent or a small object.';

create or replace function perdure.with_sdk_metadata(p_events jsonb[], p_metadata jsonb) returns jsonb[]
language sql immutable parallel safe
return case when p_metadata is null then p_events
    else trim_array(p_events, 1) || (p_events[cardinality(p_events)] || jsonb_build_object('given',
        coalesce(p_events[cardinality(p_events)] -> 'given', '{}')
            || jsonb_build_object('sdkMetadata', p_metadata))) end;
comment on function perdure.with_sdk_metadata(jsonb[], jsonb) is
    'Stored events, the last of which is WorkflowTaskCompleted and gets the SDK metadata.';

drop function if exists perdure.complete_many(smallint, perdure.workers, timestamptz, jsonb);
create or replace function perdure.complete_many(p_shard smallint, p_worker perdure.workers, p_now timestamptz,
    p_completions jsonb)
returns table (run_id uuid, next_event_id bigint, started_activities bigint[], history_size bigint)
language plpgsql volatile set search_path = pg_catalog, pg_temp
-- The queue tables are empty most of the time, and a plan that was made then must also serve a busy time, so nothing is
-- left to the planner's estimates (docs/decisions/0004-plans-without-statistics.md). Before PostgreSQL 18 a disabled
-- scan seems to cost ten billion, for which the planner would compile the plan, so jit is off.
set enable_seqscan = off set enable_bitmapscan = off set enable_indexscan = on set jit = off
    set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_run_ids uuid[];
    v_runs tid[];
    v_tasks tid[];
    v_activities tid[];
    v_executions tid[];
    v_in_use boolean[];
    v_closing uuid[];
    v_ended bigint[];
    v_left uuid[];
    v_count bigint;
begin
    -- First all rows are found by key, one look-up each, and the runs are locked. If another transaction changed
    -- something before that, the next statement finds no row at the ctid, or another next event id, and leaves the run
    -- to the general rules.
    select array_agg(f.run_id), array_agg(f.run_row), array_agg(f.task_row), array_agg(f.activity_row),
        array_agg(f.execution_row),
        array_agg(f.in_use),
        array_agg(f.run_id) filter (where f.closes), array_agg(f.activity_id) filter (where f.closes)
    into v_run_ids, v_runs, v_tasks, v_activities, v_executions, v_in_use, v_closing, v_ended
    from (
        select i.run_id, i.closes, i.activity_id, r.ctid as run_row, t.ctid as task_row, a.ctid as activity_row,
            e.ctid as execution_row,
            jsonb_typeof(i.commands) = 'array' and jsonb_array_length(i.commands) > 0 and exists (
                select from perdure.activity_tasks a
                where a.shard = p_shard and a.run_id = i.run_id and a.scheduled_event_id is distinct from i.activity_id
                  and a.activity_id in (select c.value #>> '{attributes,activityId}'
                      from jsonb_array_elements(i.commands) c)) as in_use
        from (
            select c.run_id, c.commands, (c.activity ->> 'scheduledEventId')::bigint as activity_id, c.ordinality,
                c.commands #>> '{0,commandType}' is not distinct from 'CompleteWorkflowExecution' as closes
            from rows from (jsonb_to_recordset(p_completions) as ("runId" uuid, commands jsonb,
                activity jsonb)) with ordinality
                as c (run_id, commands, activity, ordinality)
            order by c.run_id offset 0) i
        left join lateral (select r.ctid from perdure.run_states r where r.shard = p_shard
            and r.run_id = i.run_id for update) r on true
        left join lateral (select t.ctid from perdure.workflow_tasks t
            where t.shard = p_shard and t.run_id = i.run_id limit 1) t on true
        left join lateral (select a.ctid from perdure.activity_tasks a
            where a.shard = p_shard and a.run_id = i.run_id and a.scheduled_event_id = i.activity_id limit 1) a on true
        left join lateral (select e.ctid from perdure.executions e where e.shard = p_shard and e.run_id = i.run_id
            and i.closes limit 1) e on true
        order by i.ordinality) f;
    -- This is a statement of its own, because from PostgreSQL 16 on a distinct aggregate sorts the input of all
    -- aggregates beside it, and the arrays would no longer be in the order of the completions.
    v_count := (select count(distinct r) from unnest(v_run_ids) r);
    if v_count < cardinality(v_runs) then
        -- If two completions name one run, both go to the general rules, which refuse the second.
        select array_agg(f.is_left order by f.ordinality) into v_in_use from (
            select i.in_use or count(*) over (partition by i.run_id) > 1 as is_left, i.ordinality
            from unnest(v_run_ids, v_in_use) with ordinality i (run_id, in_use, ordinality)) f;
    end if;
    if v_closing is not null then
        -- Looks for rows that are deleted with a closing run: nobody can add to them now. This comes before the
        -- deletions, because an index still leads to deleted rows for a while.
        select array_agg(c.run_id) into v_left from unnest(v_closing, v_ended) c (run_id, activity_id)
        left join lateral (select a.run_id from perdure.activity_tasks a where a.shard = p_shard
            and a.run_id = c.run_id and a.scheduled_event_id is distinct from c.activity_id limit 1) a on true
        left join lateral (select t.run_id from perdure.timers t where t.shard = p_shard
            -- ORDER BY the primary key keeps the planner from using timers_due.
            and t.run_id = c.run_id order by t.kind, t.started_event_id limit 1) t on true
        left join lateral (select q.run_id from perdure.request_ids q where q.shard = p_shard
            and q.run_id = c.run_id limit 1) q on true
        where a.run_id is not null or t.run_id is not null or q.run_id is not null;
    end if;
    -- The rows are then changed by ctid, so that no plan can go through a table.
    set local enable_indexscan = off;
    return query
    with item as materialized (
        select i.run_id, i.scheduled_event_id, i.attempt, i.commands, coalesce(i.sticky, true) as sticky,
            i.next_event_id as expected_event_id,
            i.started_at, i.activity is not null as is_fused,
                (i.activity ->> 'scheduledEventId')::bigint as activity_id,
            (i.activity ->> 'attempt')::int as activity_attempt, i.result,
            i.run_row, i.task_row, i.activity_row, i.execution_row, i.attributes, i.is_common, i.sdk_metadata,
            i.command_type is not distinct from 'CompleteWorkflowExecution' as closes
        from (
            -- Most tasks decide on one activity with no more than it needs. That is recognised first, by a cheaper test
            -- than the one that tells whether any command is usual.
            select c.*, case when c.is_alone and c.command_type = 'ScheduleActivityTask'
                then perdure.is_common_activity(c.attributes) is true else false end as is_common
            from (
                select c.run_id, c.scheduled_event_id, c.attempt, c.commands, c.sticky, c.activity, c.next_event_id,
                    c.started_at, c.run_row, c.task_row, c.activity_row, c.execution_row, c.sdk_metadata,
                    c.activity -> 'result' as result, c.commands #>> '{0,commandType}' as command_type,
                    c.commands #> '{0,attributes}' as attributes,
                    jsonb_array_length(c.commands) = 1
                        and not c.commands -> 0 ?| array['userMetadata', 'eventGroupMarkers'] as is_alone
                from rows from (
                    jsonb_to_recordset(p_completions) as ("scheduledEventId" bigint, attempt int,
                        commands jsonb, sticky boolean,
                        activity jsonb, "nextEventId" bigint, "startedAt" timestamptz, "sdkMetadata" jsonb,
                        messages jsonb, "buildId" text),
                    unnest(v_run_ids), unnest(v_runs), unnest(v_tasks), unnest(v_activities), unnest(v_executions),
                    unnest(v_in_use))
                    as c (scheduled_event_id, attempt, commands, sticky, activity, next_event_id, started_at,
                        sdk_metadata, messages, build_id,
                        run_id, run_row, task_row, activity_row, execution_row, in_use)
                -- The general rules refuse an activity id that is in use.
                where c.run_row is not null and not c.in_use
                  -- The test for null is made here, because a function call costs more and most completions have no SDK
                  -- metadata.
                  and (c.sdk_metadata is null or perdure.is_usual_sdk_metadata(c.sdk_metadata))
                  and c.messages is null and c.build_id is null
                  and jsonb_typeof(c.commands) = 'array' offset 0) c offset 0) i
        where (i.activity is null or perdure.is_usual_payloads(i.result))
          and case when i.is_common then true
            when i.is_alone and i.command_type = 'CompleteWorkflowExecution'
                then perdure.is_usual_payloads(i.attributes -> 'result')
            -- A command that closes a run must be the only one, and the second of two activities with one id must be
            -- refused.
            else (select coalesce(bool_and(coalesce(perdure.is_usual_command(c.value), false)), true)
                and (count(*) < 2 or bool_and(c.value ->> 'commandType' = 'ScheduleActivityTask')
                    and count(distinct c.value #>> '{attributes,activityId}') = count(*))
            from jsonb_array_elements(i.commands) c) end),
    known as materialized (
        select item.run_id, item.scheduled_event_id, item.attempt, item.commands, item.attributes, item.sticky,
            item.started_at, item.is_fused, item.activity_id, item.activity_attempt, item.result, item.run_row,
            item.task_row, item.activity_row, item.execution_row, item.sdk_metadata, item.closes,
            item.is_common and coalesce(item.attributes #>> '{taskQueue,name}' = r.task_queue, true) as is_common,
            r.next_event_id as first_event_id, r.history_bytes, r.namespace, r.workflow_id, r.workflow_type,
            r.task_queue, r.priority, r.workflow_task_timeout
        from item cross join lateral (
            select * from perdure.run_states r where r.shard = p_shard and r.ctid = item.run_row limit 1) r
        where r.run_id = item.run_id and r.buffered_count = 0 and r.updates_undelivered = 0 and not r.repeats_calls
          and (r.cron_schedule is null and not r.is_related or not item.closes)
          and r.next_event_id <= r.max_history_events + 1 and r.history_bytes <= perdure.maximum('history bytes')
          and (not item.is_fused or r.next_event_id = item.expected_event_id and item.task_row is null)
          and (not item.is_common or item.attributes #>> '{taskQueue,name}' = r.task_queue
              or octet_length(item.attributes #>> '{taskQueue,name}') between 1 and 1000 is not false)),
    ended_task as (
        delete from perdure.workflow_tasks t using known k
        where t.shard = p_shard and t.ctid = k.task_row and t.run_id = k.run_id and not k.is_fused
          and t.state = 'started' and t.worker = p_worker.worker_id and t.attempt = k.attempt and t.attempt = 1
          and t.scheduled_event_id = k.scheduled_event_id
        returning k.*, t.scheduled_event_id as task_scheduled_id, t.started_at as task_started_at),
    ended_activity as (
        delete from perdure.activity_tasks t using known k
        where t.shard = p_shard and t.ctid = k.activity_row and t.run_id = k.run_id
            and t.scheduled_event_id = k.activity_id and k.is_fused
          and t.state = 'started' and t.worker = p_worker.worker_id and t.attempt = k.activity_attempt
          and k.started_at between t.started_at and p_now
        returning k.*, t.started_at as activity_started_at, t.last_failure),
    step as materialized (
        select e.run_id, e.commands, e.attributes, e.is_common, e.sticky, e.first_event_id, e.namespace,
            e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            e.history_bytes, e.run_row, e.execution_row, e.sdk_metadata, p_now as event_time,
            e.first_event_id + 1 as completed_id,
            -- The events leave out what can be derived: perdure.whole_event.
            perdure.stored_workflow_task_end(e.first_event_id, e.task_scheduled_id, e.task_started_at,
                e.history_bytes) as events
        from ended_task e
        union all
        select e.run_id, e.commands, e.attributes, e.is_common, e.sticky, e.first_event_id, e.namespace,
            e.workflow_id, e.workflow_type, e.task_queue, e.priority, e.closes,
            e.history_bytes, e.run_row, e.execution_row, e.sdk_metadata, e.started_at, e.first_event_id + 4,
            perdure.stored_activity_end(e.first_event_id, e.activity_id, e.activity_attempt, e.activity_started_at,
                e.last_failure, e.result)
                || array[perdure.stored_workflow_task_scheduled(e.workflow_task_timeout),
                    perdure.stored_workflow_task_started(e.first_event_id + 3, e.history_bytes),
                    jsonb '{"eventType": "WorkflowTaskCompleted"}']
        from ended_activity e),
    scheduled as materialized (
        select s.run_id, s.completed_id + 1 as event_id, s.completed_id, s.event_time, s.namespace, s.workflow_id,
            s.workflow_type, s.priority, 1::bigint as ordinality, s.attributes, true as is_common, s.task_queue,
            s.attributes -> 'input' as input,
            null::interval as to_close, null::interval as to_start,
            (s.attributes ->> 'startToCloseTimeout')::interval as start_to_close, null::interval as heartbeat,
            null::jsonb as retry_policy, null::text as other_queue,
            s.attributes -> 'requestEagerExecution' is not distinct from 'true' as is_eager
        from step s where s.is_common
        union all
        select s.run_id, s.completed_id + c.ordinality, s.completed_id, s.event_time, s.namespace, s.workflow_id,
            s.workflow_type, s.priority, c.ordinality, c.attributes, false,
            coalesce(c.attributes #>> '{taskQueue,name}', s.task_queue), c.attributes -> 'input',
            a.to_close, least(a.to_start, a.to_close), least(a.start_to_close, a.to_close), a.heartbeat,
            case when c.attributes -> 'retryPolicy' is not null
                then perdure.retry_policy(c.attributes -> 'retryPolicy') end,
            nullif(c.attributes #>> '{taskQueue,name}', s.task_queue),
            c.attributes -> 'requestEagerExecution' is not distinct from 'true'
        from step s
        cross join lateral (select c.value -> 'attributes' as attributes, c.ordinality
            from jsonb_array_elements(s.commands) with ordinality as c (value, ordinality) offset 0) c
        cross join lateral (select perdure.usual_duration(c.attributes -> 'scheduleToCloseTimeout') as to_close,
            perdure.usual_duration(c.attributes -> 'scheduleToStartTimeout') as to_start,
            perdure.usual_duration(c.attributes -> 'startToCloseTimeout') as start_to_close,
            perdure.usual_duration(c.attributes -> 'heartbeatTimeout') as heartbeat offset 0) a
        where not s.closes and not s.is_common),
    new_activity as (
        insert into perdure.activity_tasks (shard, run_id, scheduled_event_id, namespace, task_queue, workflow_id,
            workflow_type, activity_id, activity_type,
            input, priority, state, scheduled_at, attempt_scheduled_at, started_at, worker, last_worker_identity,
                schedule_to_close_timeout,
            schedule_to_start_timeout, start_to_close_timeout, heartbeat_timeout, retry_policy, deadline)
        select p_shard, n.run_id, n.event_id, n.namespace, n.task_queue, n.workflow_id, n.workflow_type,
            n.attributes ->> 'activityId', n.attributes #>> '{activityType,name}',
            n.input, n.priority, case when n.is_eager then 'started' else 'scheduled' end, n.event_time, n.event_time,
            case when n.is_eager then p_now end, case when n.is_eager then p_worker.worker_id end, case when n.is_eager
                then p_worker.identity end,
            n.to_close, n.to_start, n.start_to_close, n.heartbeat, n.retry_policy,
            case when n.is_eager then least(n.event_time + n.to_close, p_now + n.start_to_close, p_now + n.heartbeat)
                else least(n.event_time + n.to_close, n.event_time + n.to_start) end
        from scheduled n),
    made as (
        select n.run_id, array_agg(n.event_id order by n.ordinality) filter (where n.is_eager) as started,
            array_agg(perdure.stored_activity_scheduled(n.ordinality = 1, n.completed_id, n.attributes,
                n.start_to_close, n.to_close, n.to_start,
                n.retry_policy, n.other_queue) order by n.ordinality) as events
        from scheduled n where not n.is_common
        group by n.run_id),
    batch as materialized (
        select s.run_id, s.run_row, s.execution_row, s.history_bytes, s.first_event_id, s.event_time, s.completed_id,
            s.sticky, s.closes,
            case when not s.is_common then m.started
                when s.attributes -> 'requestEagerExecution' is not distinct from 'true'
                then array[s.completed_id + 1] end as started,
            case when s.sdk_metadata is null then s.events
                else perdure.with_sdk_metadata(s.events, s.sdk_metadata) end
                || case when s.is_common then array[perdure.stored_common_activity(s.attributes)]
                when s.closes then array[perdure.stored_completion(s.attributes -> 'result')]
                else coalesce(m.events, '{}') end as events
        from step s left join made m on m.run_id = s.run_id),
    written as (
        insert into perdure.history (shard, run_id, first_event_id, event_time, worker_id, worker_identity,
            worker_build_id, events)
        select p_shard, b.run_id, b.first_event_id, b.event_time, p_worker.worker_id, p_worker.identity,
            nullif(p_worker.build_id, ''), b.events
        from batch b),
    kept as (
        update perdure.run_states r set next_event_id = b.first_event_id + cardinality(b.events),
            history_bytes = b.history_bytes + pg_column_size(b.events), last_started_event_id = b.completed_id - 1,
            sticky_worker = case when b.sticky then p_worker.worker_id end,
                sticky_event_id = b.first_event_id + cardinality(b.events),
            workflow_task_failure = null, workflow_task_failed_attempts = 0
        from batch b where r.shard = p_shard and r.ctid = b.run_row and not b.closes),
    closed_run as (
        delete from perdure.run_states r using batch b where r.shard = p_shard and r.ctid = b.run_row and b.closes),
    closed_execution as (
        update perdure.executions e set status = 'Completed', close_time = b.event_time,
            history_length = b.first_event_id + cardinality(b.events) - 1,
            history_size_bytes = b.history_bytes + pg_column_size(b.events)
        from batch b where e.shard = p_shard and e.ctid = b.execution_row and e.run_id = b.run_id and b.closes),
    woken as (
        select perdure.wake(q.namespace, q.task_queue, 'activity')
            from (select distinct n.namespace, n.task_queue from scheduled n where not n.is_eager) q)
    select b.run_id, b.first_event_id + cardinality(b.events), b.started, b.history_bytes + pg_column_size(b.events)
        from batch b, (select count(*) from woken) w;

    -- The remaining rows of closed runs are deleted by key, because a claim or a heartbeat may have changed their ctid
    -- since the runs were locked.
    if v_left is not null then
        set local enable_indexscan = on;
        select array_agg(c.run_id) into v_left from unnest(v_left) c (run_id)
        left join lateral (select r.run_id from perdure.run_states r where r.shard = p_shard
            and r.run_id = c.run_id limit 1) open on true
        where open.run_id is null;
        delete from perdure.activity_tasks a where a.shard = p_shard and a.run_id = any (v_left);
        delete from perdure.timers t where t.shard = p_shard and t.run_id = any (v_left);
        delete from perdure.request_ids q where q.shard = p_shard and q.run_id = any (v_left);
    end if;
end
$$;
comment on function perdure.complete_many(smallint, perdure.workers, timestamptz, jsonb) is
    'The fast path of complete_workflow_tasks: completes the runs whose commands are the usual ones, and returns '
    'them; leaves the others alone.';
