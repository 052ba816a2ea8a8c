-- The invariants of children and transfers: a part of 90_invariants.sql.

create or replace function perdure.violations_of_transfers(p_shard smallint, p_from uuid, p_before uuid)
returns table (kind text, run_id uuid, what text)
language sql stable set search_path = pg_catalog, pg_temp set jit = off
as $$
    with states as materialized (
        select * from perdure.run_states r where r.shard = p_shard and r.run_id >= p_from and r.run_id < p_before),
    children as materialized (
        select * from perdure.child_workflows c where c.shard = p_shard and c.run_id >= p_from and c.run_id < p_before),
    pending as materialized (
        select * from perdure.transfers t where t.shard = p_shard and t.run_id >= p_from and t.run_id < p_before)
    select 'child without parent', c.run_id, format('child %s of a run that is not open', c.workflow_id)
    from children c left join states s on s.run_id = c.run_id where s.run_id is null
    union all
    select 'child not started', c.run_id, format('nothing starts child %s of event %s', c.workflow_id,
        c.initiated_event_id)
    from children c left join pending t on t.run_id = c.run_id and t.id = c.initiated_event_id
        and t.kind = 'start child'
    where c.child_run_id is null and t.run_id is null
      -- The start of a child of a run that was reset is reported to the run that goes on from it.
      and not exists (
        select from perdure.executions e cross join lateral jsonb_array_elements(e.reset_from) f
        join perdure.transfers b on b.run_id = (f.value ->> 'runId')::uuid and b.id = c.initiated_event_id
        where e.shard = p_shard and e.run_id = c.run_id and b.shard = p_shard and b.kind = 'start child')
    union all
    select 'child unknown to parent', t.run_id,
        format('%s was to be started by event %s, and its parent does not wait for it', t.target_workflow_id, t.id)
    from pending t join states s on s.run_id = t.run_id
    left join children c on c.run_id = t.run_id and c.initiated_event_id = t.id
    -- A child that has closed already has told its parent, and only the report of its start is under way.
    where t.kind = 'start child' and c.run_id is null
      and not exists (select from perdure.received_transfers r
        where r.shard = p_shard and r.run_id = t.run_id and r.id = t.id)
      and t.target_shard = p_shard
    union all
    select 'lost end of child', c.run_id,
        format('child %s has closed with run %s, and nothing tells its parent', c.workflow_id, e.run_id)
    from children c
    cross join lateral (
        select * from perdure.executions e where e.shard = p_shard and e.workflow_id = c.workflow_id
            and e.namespace = c.namespace and e.parent_run_id = c.run_id
            and e.parent_initiated_event_id = c.initiated_event_id
        order by e.run_number desc limit 1) e
    where e.status not in ('Running', 'ContinuedAsNew')
      and not exists (select from perdure.transfers t where t.shard = p_shard and t.run_id = e.run_id
        and t.kind = 'child closed')
    union all
    select 'unrelated run', s.run_id, 'it has a parent or children, and run_states does not say so'
    from states s
    where not s.is_related and (exists (select from children c where c.run_id = s.run_id)
        or exists (select from perdure.executions e where e.shard = p_shard and e.run_id = s.run_id
            and e.parent_run_id is not null))
    union all
    select 'transfer in no state', t.run_id, format('a transfer of kind %s to shard %s, attempt %s', t.kind,
        t.target_shard, t.attempts)
    from pending t
    where t.kind not in ('start child', 'signal', 'cancel', 'parent closed', 'child closed')
        or t.target_shard <> perdure.shard_for(t.target_namespace, t.target_workflow_id)
        or t.attempts > 0 and not exists (select from perdure.set_aside s where s.shard = p_shard
            and s.run_id = t.run_id and s.kind = 'transfer' and s.id = t.id)
        or t.kind in ('parent closed', 'child closed') and exists (select from states s where s.run_id = t.run_id)
$$;
comment on function perdure.violations_of_transfers(smallint, uuid, uuid) is
    'What is wrong with the children of a range of run ids, and with what is on its way from these runs to others.';
