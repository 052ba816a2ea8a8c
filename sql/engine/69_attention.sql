-- What needs attention in a namespace: a row for each cause of trouble, with the filter that finds its runs and what to
-- do.

create or replace function perdure.failing_causes(p_namespace text, p_kind text, p_limit int)
returns table (cause text, runs bigint, since timestamptz, builds text[], task_queues text[], most_attempts int,
    activity_type text, example uuid, message text)
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
    -- Each step reads the next cause from the index, and of each cause no more tasks than are counted.
    if p_kind = 'activity' then
        return query
        with recursive causes (cause) as (
            (select t.failure_cause from perdure.activity_tasks t
            where t.namespace = p_namespace and t.failure_cause is not null order by t.failure_cause limit 1)
            union all
            select n.failure_cause from causes c cross join lateral (
                select t.failure_cause from perdure.activity_tasks t
                where t.namespace = p_namespace and t.failure_cause > c.cause order by t.failure_cause limit 1) n),
        listed as (select c.cause from causes c limit p_limit)
        select c.cause, f.runs, f.since, f.builds, f.task_queues, f.most_attempts, f.first ->> 'activity_type',
            (f.first ->> 'run_id')::uuid, perdure.failure_message(f.first -> 'failure')
        from listed c cross join lateral (
            select count(distinct t.run_id) as runs, min(t.failing_since) as since,
                array_agg(distinct t.failing_build) filter (where t.failing_build is not null) as builds,
                array_agg(distinct t.task_queue) as task_queues, max(t.attempt) - 1 as most_attempts,
                (array_agg(jsonb_build_object('activity_type', t.activity_type, 'run_id', t.run_id,
                    'failure', t.last_failure) order by t.failing_since))[1] as first
            from (select t.run_id, t.failing_since, t.failing_build, t.task_queue, t.attempt, t.activity_type,
                    t.last_failure
                from perdure.activity_tasks t where t.namespace = p_namespace and t.failure_cause = c.cause
                order by t.failing_since limit 1001) t) f;
    else
        return query
        with recursive causes (cause) as (
            (select t.failure_cause from perdure.workflow_tasks t
            where t.namespace = p_namespace and t.failure_cause is not null order by t.failure_cause limit 1)
            union all
            select n.failure_cause from causes c cross join lateral (
                select t.failure_cause from perdure.workflow_tasks t
                where t.namespace = p_namespace and t.failure_cause > c.cause order by t.failure_cause limit 1) n),
        listed as (select c.cause from causes c limit p_limit)
        select c.cause, f.runs, f.since, f.builds, f.task_queues, r.workflow_task_failed_attempts, null::text,
            f.example, perdure.failure_message(r.workflow_task_failure -> 'failure')
        from listed c cross join lateral (
            select count(*) as runs, min(t.failing_since) as since,
                array_agg(distinct t.failing_build) filter (where t.failing_build is not null) as builds,
                array_agg(distinct t.task_queue) as task_queues,
                (array_agg(t.shard order by t.failing_since))[1] as shard,
                (array_agg(t.run_id order by t.failing_since))[1] as example
            from (select t.shard, t.run_id, t.failing_since, t.failing_build, t.task_queue
                from perdure.workflow_tasks t where t.namespace = p_namespace and t.failure_cause = c.cause
                order by t.failing_since limit 1001) t) f
        left join perdure.run_states r on r.shard = f.shard and r.run_id = f.example;
    end if;
end
$$;
comment on function perdure.failing_causes(text, text, int) is
    'The causes for which activities (kind activity) or workflow code (workflow) fail in a namespace: each with its '
    'runs, counted to 1,001, and the run that has failed longest.';

create or replace function perdure.attention(namespace text default 'default')
returns table (kind text, cause text, what text, is_urgent boolean, runs bigint, since timestamptz, builds text[],
    task_queues text[], workflow_id text, run_id uuid, message text, filter text, hint text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now timestamptz := perdure.clock();
    v_namespace text := $1 collate "C";
    v_field text := case when exists (select from perdure.search_attributes a where a.namespace = v_namespace
        and a.name = 'Cause') then 'PerdureCause' else 'Cause' end;
begin
    if not exists (select from perdure.namespaces n where n.namespace = v_namespace and n.deleted_at is null) then
        perform perdure.refuse_namespace(v_namespace);
    end if;
    return query
    with found as (
        select 'code' as kind, c.cause, 'Workflow code fails: ' || c.cause as what, true as is_urgent, c.runs, c.since,
            c.builds, c.task_queues, c.example, c.message,
            'Start workers with fixed code: the runs go on from where they were.' as hint, 1 as place
        from perdure.failing_causes(v_namespace, 'workflow', 100) c
        union all
        select 'activity', c.cause,
            c.activity_type || ' fails: ' || substr(c.cause, length(c.activity_type) + 3),
            c.most_attempts >= 3 or c.since < v_now - interval '1 minute', c.runs, c.since, c.builds, c.task_queues,
            c.example, c.message,
            'It is tried again by its retry policy. Mend what it calls, or start workers with fixed code.', 3
        from perdure.failing_causes(v_namespace, 'activity', 100) c
        union all
        select 'queue', 'no worker on ' || q.task_queue, 'Nobody polls the queue ' || q.task_queue,
            min(b.oldest) < v_now - interval '10 s', sum(b.waiting)::bigint, min(b.oldest), null, array[q.task_queue],
            null, null, 'Start a worker for it, or correct its name where the workflows are started.', 2
        from perdure.unattended_queues(v_namespace) q
        cross join lateral perdure.queue_backlog(v_namespace, q.task_queue, q.kind, 1001) b
        group by q.task_queue
        union all
        -- The oldest task was older in each of the last five minutes than in the one before.
        select 'queue', null, format('The queue %s falls behind: its oldest %s task has waited %s', s.task_queue,
            s.kind, perdure.in_words(s.oldest[1] * interval '1 s')), true, s.waiting, v_now - s.oldest[1]
            * interval '1 s', null, array[s.task_queue], null, null,
            'Start more workers for it, or give them more slots.', 4
        from (
            select s.task_queue, s.kind, (array_agg(s.waiting order by s.minute desc))[1]::bigint as waiting,
                array_agg(s.oldest_seconds order by s.minute desc) as oldest
            from perdure.queue_samples s
            where s.namespace = v_namespace and s.minute > v_now - interval '6 minutes'
            group by s.task_queue, s.kind) s
        where cardinality(s.oldest) >= 5 and s.oldest[1] > 30 and s.oldest[1] > s.oldest[2]
            and s.oldest[2] > s.oldest[3]
            and s.oldest[3] > s.oldest[4] and s.oldest[4] > s.oldest[5]
            and perdure.is_polled(v_namespace, s.task_queue, s.kind, v_now))
    select f.kind, f.cause, f.what, f.is_urgent, f.runs, f.since, coalesce(f.builds, '{}'), f.task_queues,
        e.workflow_id, e.run_id, f.message,
        case when f.cause is not null
            then v_field || ' = ''' || replace(f.cause, '''', '''''') || '''' end, f.hint
    from found f
    left join lateral (select e.workflow_id, e.run_id from perdure.executions e
        where e.run_id = f.example and e.shard in (
            select s.shard::smallint from generate_series(0, perdure.shard_count() - 1) s (shard)) limit 1) e on true
    order by not f.is_urgent, f.place, f.runs desc, f.what;
end
$$;
comment on function perdure.attention(text) is
    'What is stuck in a namespace, a row for each cause: code that fails, activities that are tried again, queues '
    'that nobody polls or that fall behind. is_urgent: the trouble does not pass by itself, as far as can be told. '
    'runs: how many runs have it, counted to 1,001; for a queue, how many tasks. filter: the list filter that chooses '
    'these runs. Raises PD005.';
