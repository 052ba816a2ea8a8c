-- Effects of a run on another one: docs/decisions/0034-transfers.md.
--
-- A transfer is written in the transaction that decides it (put_transfer). The process that commits that transaction
-- then drains the transfer, in transactions of their own: one takes effect on the target and leaves a receipt there
-- (apply_transfer), and one reports back to the run that the transfer came from and deletes the transfer
-- (finish_transfers). No transaction touches two runs or two shards. Each step can be repeated: a second effect finds
-- the receipt, and a second report finds no transfer. So two processes may drain at once, and upkeep does what a
-- process that stops in the middle leaves undone.
--
-- On the shard of the transfer the receipt is deleted with it, because apply_transfer can look there whether the
-- transfer is finished. On another shard the receipt stays for a minute after that (finish_receipts, delete_receipts),
-- and apply_transfer refuses a transfer that was read more than half a minute ago.

create or replace function perdure.put_transfer(
    p_shard smallint, p_run_id uuid, p_id bigint, p_kind text, p_namespace text, p_workflow_id text, p_body jsonb,
    p_now timestamptz)
returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    -- Upkeep looks at the transfer later than the process that commits it.
    insert into perdure.transfers (shard, run_id, id, kind, target_shard, target_namespace, target_workflow_id, body,
        created_at, next_at)
    values (p_shard, p_run_id, p_id, p_kind, perdure.shard_for(p_namespace, p_workflow_id), p_namespace, p_workflow_id,
        p_body, p_now, p_now + interval '200 ms');
end
$$;
comment on function perdure.put_transfer(smallint, uuid, bigint, text, text, text, jsonb, timestamptz) is
    'Writes a transfer: an effect on another run, which takes place after the commit.';

create or replace function perdure.pending_transfers(
    p_shard smallint, p_run_ids uuid[] default null, p_limit int default 100)
returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
declare
    v_now timestamptz := perdure.clock_of_claim();
    v_run_ids uuid[] := p_run_ids;
begin
    if v_run_ids is null then
        select array_agg(distinct due.run_id) into v_run_ids from (
            select t.run_id from perdure.transfers t where t.shard = p_shard and t.next_at <= v_now
            order by t.next_at limit p_limit) due;
    end if;
    return query
    select jsonb_build_object('shard', t.shard, 'runId', t.run_id, 'id', t.id, 'kind', t.kind,
        'targetShard', t.target_shard, 'namespace', t.target_namespace, 'workflowId', t.target_workflow_id,
        'body', t.body, 'seenAt', v_now)
    from unnest(v_run_ids) as asked (run_id)
    cross join lateral (
        select * from perdure.transfers t where t.shard = p_shard and t.run_id = asked.run_id
        order by t.id limit p_limit) t
    where (t.attempts = 0 or t.next_at <= v_now)
      -- Transfers from one run to one workflow keep their order: none overtakes one that was set aside.
      and not exists (
        select from perdure.transfers b
        where b.shard = p_shard and b.run_id = t.run_id and b.id < t.id and b.attempts > 0 and b.next_at > v_now
          and b.target_workflow_id = t.target_workflow_id and b.target_namespace = t.target_namespace)
    order by t.run_id, t.id limit p_limit;
end
$$;
comment on function perdure.pending_transfers(smallint, uuid[], int) is
    'Transfers that can be drained, of these runs or, for upkeep, of all runs that have one due: in order, and '
    'without those that must wait for one that was set aside. Each is an argument for apply_transfer; seenAt is a '
    'time at which the transfer was not yet finished.';

create or replace function perdure.apply_transfer(p_shard smallint, p_transfer jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run_id uuid := (p_transfer ->> 'runId')::uuid;
    v_id bigint := (p_transfer ->> 'id')::bigint;
    v_namespace text := p_transfer ->> 'namespace';
    v_workflow_id text := p_transfer ->> 'workflowId';
    v_body jsonb := p_transfer -> 'body';
    v_outcome jsonb;
begin
    -- The insert waits for a transaction that applies the same transfer at this moment.
    insert into perdure.received_transfers (shard, run_id, id, source_shard, outcome, received_at)
    values (p_shard, v_run_id, v_id, (p_transfer ->> 'shard')::smallint, '{}', v_now) on conflict do nothing;
    if not found then
        select r.outcome into v_outcome from perdure.received_transfers r
        where r.shard = p_shard and r.run_id = v_run_id and r.id = v_id;
        return coalesce(v_outcome, '{}');
    end if;
    -- The transfer was read before another process finished it, and the receipt was deleted with it.
    if (p_transfer ->> 'shard')::smallint = p_shard and not exists (select from perdure.transfers t
            where t.shard = p_shard and t.run_id = v_run_id and t.id = v_id) then
        delete from perdure.received_transfers r where r.shard = p_shard and r.run_id = v_run_id and r.id = v_id;
        return jsonb '{}';
    end if;
    -- This comes after the insert, from which on others wait: a receipt that was there when the transfer was read is
    -- still there.
    if (p_transfer ->> 'shard')::smallint <> p_shard and ((p_transfer ->> 'seenAt') is null
        or (p_transfer ->> 'seenAt')::timestamptz < perdure.clock() - interval '30 s') then
        raise exception 'transfer % of run % was seen too long ago', v_id, v_run_id using errcode = '40001',
            hint = 'Read it again with pending_transfers: somebody else may have finished it.';
    end if;
    case p_transfer ->> 'kind'
    when 'start child' then
        v_outcome := perdure.apply_start_child(p_shard, v_namespace, v_workflow_id, v_run_id, v_body);
    when 'signal' then
        v_outcome := perdure.apply_signal(p_shard, v_namespace, v_workflow_id, v_run_id, v_id, v_now, v_body);
    when 'cancel' then
        v_outcome := perdure.apply_cancel(p_shard, v_namespace, v_workflow_id, v_run_id, v_now, v_body);
    when 'parent closed' then
        v_outcome := perdure.apply_parent_closed(p_shard, v_namespace, v_workflow_id, v_run_id, v_now, v_body);
    when 'child closed' then
        v_outcome := perdure.apply_child_closed(p_shard, v_now, v_body);
    else
        raise exception 'there is no transfer of kind %', p_transfer ->> 'kind' using errcode = 'PD003',
            hint = 'docs/reference/contract.md lists the kinds.';
    end case;
    if v_outcome <> '{}' then
        update perdure.received_transfers r set outcome = v_outcome
        where r.shard = p_shard and r.run_id = v_run_id and r.id = v_id;
    end if;
    return v_outcome;
end
$$;
comment on function perdure.apply_transfer(smallint, jsonb) is
    'Applies a transfer on the shard that it goes to, once: a repeat returns what the first call returned. The '
    'outcome is for finish_transfers; its closedRunId is a run that this call has closed, whose own transfers are to '
    'be drained.';

create or replace function perdure.finish_transfers(p_shard smallint, p_run_id uuid, p_outcomes jsonb) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_run perdure.run_states;
    v_transfer perdure.transfers;
    v_id bigint;
    v_outcome jsonb;
    v_event jsonb;
    v_events jsonb[] := array[]::jsonb[];
    v_finished int := 0;
    v_is_open boolean;
begin
    select * into v_run from perdure.run_states r where r.shard = p_shard and r.run_id = p_run_id for update;
    v_is_open := v_run.run_id is not null;
    for v_id, v_outcome in select (o.value ->> 'id')::bigint, o.value -> 'outcome'
        from jsonb_array_elements(p_outcomes) o order by 1 loop
        delete from perdure.transfers t where t.shard = p_shard and t.run_id = p_run_id and t.id = v_id
        returning * into v_transfer;
        -- Somebody else has reported it.
        continue when not found;
        v_finished := v_finished + 1;
        if v_transfer.target_shard = p_shard then
            delete from perdure.received_transfers r where r.shard = p_shard and r.run_id = p_run_id and r.id = v_id;
        end if;
        if not v_is_open then
            -- A closed run is told nothing more, but the run that goes on from it by a reset is.
            v_run := perdure.lock_run_reset_from(p_shard, p_run_id, v_id);
            continue when v_run.run_id is null;
            v_transfer.run_id := v_run.run_id;
        end if;
        v_event := case v_transfer.kind
            when 'start child' then perdure.child_start_reported(p_shard, v_transfer, v_outcome)
            when 'signal' then perdure.external_reported(v_transfer, v_outcome)
            when 'cancel' then perdure.external_reported(v_transfer, v_outcome) end;
        if v_event is not null and v_is_open then
            v_events := v_events || v_event;
        elsif v_event is not null then
            perform perdure.record_events(p_shard, v_run, v_now, array[v_event]);
        end if;
    end loop;
    if v_events <> '{}' then
        perform perdure.record_events(p_shard, v_run, v_now, v_events);
    end if;
    return v_finished;
end
$$;
comment on function perdure.finish_transfers(smallint, uuid, jsonb) is
    'Reports transfers of a run back to it, an array of {"id", "outcome"}, and deletes them: what was started, '
    'signalled or asked to cancel becomes an event if the run is open. A repeat does nothing. Returns how many it '
    'finished.';

create or replace function perdure.finish_receipts(p_shard smallint, p_run_id uuid, p_ids bigint[]) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_count int;
begin
    update perdure.received_transfers r set finished_at = v_now
    where r.shard = p_shard and r.run_id = p_run_id and r.id = any (p_ids) and r.finished_at is null;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function perdure.finish_receipts(smallint, uuid, bigint[]) is
    'Marks the receipts of transfers from another shard, once finish_transfers has committed there: delete_receipts '
    'deletes them a minute later. Returns how many it marked.';

create or replace function perdure.delete_receipts(p_shard smallint, p_limit int default 1000) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
    v_before timestamptz := perdure.clock() - interval '1 minute';
    v_count int;
begin
    delete from perdure.received_transfers r using (
        select d.run_id, d.id from perdure.received_transfers d
        where d.shard = p_shard and d.finished_at < v_before
        order by d.finished_at limit p_limit for update skip locked) old
    where r.shard = p_shard and r.run_id = old.run_id and r.id = old.id;
    get diagnostics v_count = row_count;
    return v_count;
end
$$;
comment on function perdure.delete_receipts(smallint, int) is
    'Deletes receipts of transfers that were finished more than a minute ago. Returns how many.';

create or replace function perdure.old_receipts(p_shard smallint, p_limit int default 100)
returns table (source_shard smallint, run_id uuid, ids bigint[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_before timestamptz := perdure.clock_of_claim() - interval '1 minute';
begin
    return query
    select old.source_shard, old.run_id, array_agg(old.id) from (
        select * from perdure.received_transfers r
        where r.shard = p_shard and r.finished_at is null and r.received_at < v_before
        order by r.received_at limit p_limit) old
    group by old.source_shard, old.run_id;
end
$$;
comment on function perdure.old_receipts(smallint, int) is
    'Receipts that are older than a minute and not marked as finished. Either a process stopped before '
    'finish_receipts, or the transfer is not finished: finished_among tells which.';

create or replace function perdure.finished_among(p_shard smallint, p_run_id uuid, p_ids bigint[]) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select array_agg(asked.id) from unnest(p_ids) as asked (id)
        where not exists (select from perdure.transfers t
            where t.shard = p_shard and t.run_id = p_run_id and t.id = asked.id));
end
$$;
comment on function perdure.finished_among(smallint, uuid, bigint[]) is
    'Which of these transfers of a run are finished; null for none.';

create or replace function perdure.set_transfer_aside(
    p_shard smallint, p_run_id uuid, p_id bigint, p_error text, p_sqlstate text)
returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := perdure.clock();
    v_next timestamptz;
begin
    perform from perdure.transfers t where t.shard = p_shard and t.run_id = p_run_id and t.id = p_id for update;
    if found then
        v_next := perdure.put_aside(p_shard, p_run_id, 'transfer', p_id, p_error, p_sqlstate, v_now);
        update perdure.transfers t set attempts = t.attempts + 1, next_at = v_next
        where t.shard = p_shard and t.run_id = p_run_id and t.id = p_id;
    end if;
end
$$;
comment on function perdure.set_transfer_aside(smallint, uuid, bigint, text, text) is
    'Sets aside a transfer that raised an error: it is tried again later, and until then only other transfers from '
    'the same run to the same workflow wait for it.';

-- Procedures that commit can have neither a search path of their own nor their owner's rights. What they call has both.
create or replace procedure perdure.drain_transfers(
    p_shard smallint, p_run_ids uuid[] default null, p_limit int default 1000, inout drained int default 0)
language plpgsql
as $$
declare
    v_shards smallint[] := array[p_shard];
    v_runs jsonb[] := array[pg_catalog.to_jsonb(p_run_ids)];
    v_place int := 0;
    v_transfers jsonb[];
    v_transfer jsonb;
    v_outcome jsonb;
    v_outcomes jsonb;
    v_stuck jsonb;
    v_error text;
    v_sqlstate text;
    v_target smallint;
    v_ids pg_catalog.int8[];
    v_is_open boolean;
begin
    drained := 0;
    while v_place < pg_catalog.cardinality(v_shards) and drained < p_limit loop
        v_place := v_place + 1;
        v_transfers := array(select t from perdure.pending_transfers(v_shards[v_place],
            case when pg_catalog.jsonb_typeof(v_runs[v_place]) = 'array' then
                array(select e::pg_catalog.uuid from pg_catalog.jsonb_array_elements_text(v_runs[v_place]) e) end,
            p_limit) t);
        v_stuck := '{}';
        v_outcomes := '[]';
        for v_i in 1 .. pg_catalog.cardinality(v_transfers) loop
            commit;
            v_transfer := v_transfers[v_i];
            v_target := (v_transfer ->> 'targetShard')::pg_catalog.int2;
            v_error := null;
            -- A transfer that has waited behind a long list is looked at again before it is applied.
            v_is_open := true;
            if v_target <> v_shards[v_place] and (v_transfer ->> 'seenAt')::pg_catalog.timestamptz
                < perdure.clock_of_claim() - interval '10 s' then
                v_transfer := v_transfer || pg_catalog.jsonb_build_object('seenAt', perdure.clock_of_claim());
                v_is_open := perdure.finished_among(v_shards[v_place], (v_transfer ->> 'runId')::pg_catalog.uuid,
                    array[(v_transfer ->> 'id')::pg_catalog.int8]) is null;
                commit;
            end if;
            -- No transfer overtakes one that could not be applied.
            if v_is_open and not v_stuck ? ((v_transfer ->> 'runId') || (v_transfer ->> 'namespace') || chr(31)
                || (v_transfer ->> 'workflowId')) then
                begin
                    v_outcome := perdure.apply_transfer(v_target, v_transfer);
                exception
                    when others then
                        if perdure.is_passing(sqlstate) then
                            raise;
                        end if;
                        v_error := sqlerrm;
                        v_sqlstate := sqlstate;
                end;
                commit;
                if v_error is null then
                    drained := drained + 1;
                    v_outcomes := v_outcomes || pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
                        'id', v_transfer -> 'id', 'outcome', v_outcome, 'targetShard', v_target));
                    -- A run that this transfer has closed affects other runs in turn.
                    if v_outcome ? 'closedRunId' then
                        v_shards := v_shards || v_target;
                        v_runs := v_runs || pg_catalog.jsonb_build_array(v_outcome -> 'closedRunId');
                    end if;
                else
                    v_stuck := v_stuck || pg_catalog.jsonb_build_object((v_transfer ->> 'runId')
                        || (v_transfer ->> 'namespace') || chr(31) || (v_transfer ->> 'workflowId'), true);
                    perform perdure.set_transfer_aside(v_shards[v_place], (v_transfer ->> 'runId')::pg_catalog.uuid,
                        (v_transfer ->> 'id')::pg_catalog.int8, v_error, v_sqlstate);
                    commit;
                end if;
            end if;
            -- One transaction reports many outcomes to a run, so that the run has one workflow task for them.
            if pg_catalog.jsonb_array_length(v_outcomes) > 0 and (pg_catalog.jsonb_array_length(v_outcomes) >= 20
                or v_i = pg_catalog.cardinality(v_transfers)
                or v_transfers[v_i + 1] ->> 'runId' <> v_transfer ->> 'runId') then
                begin
                    perform perdure.finish_transfers(v_shards[v_place], (v_transfer ->> 'runId')::pg_catalog.uuid,
                        v_outcomes);
                exception
                    when others then
                        if perdure.is_passing(sqlstate) then
                            raise;
                        end if;
                        v_error := sqlerrm;
                        perform perdure.set_transfer_aside(v_shards[v_place],
                            (v_transfer ->> 'runId')::pg_catalog.uuid, (o.value ->> 'id')::pg_catalog.int8, v_error,
                            sqlstate)
                        from pg_catalog.jsonb_array_elements(v_outcomes) o;
                end;
                commit;
                -- The receipts on other shards are marked after that commit.
                for v_target, v_ids in select (o.value ->> 'targetShard')::pg_catalog.int2,
                        pg_catalog.array_agg((o.value ->> 'id')::pg_catalog.int8)
                    from pg_catalog.jsonb_array_elements(v_outcomes) o
                    where (o.value ->> 'targetShard')::pg_catalog.int2 <> v_shards[v_place] group by 1 loop
                    v_ids := perdure.finished_among(v_shards[v_place], (v_transfer ->> 'runId')::pg_catalog.uuid,
                        v_ids);
                    commit;
                    perform perdure.finish_receipts(v_target, (v_transfer ->> 'runId')::pg_catalog.uuid, v_ids);
                    commit;
                end loop;
                v_outcomes := '[]';
            end if;
        end loop;
    end loop;
    commit;
    if p_run_ids is null then
        perform perdure.delete_receipts(p_shard);
        commit;
        for v_transfer in select pg_catalog.to_jsonb(r) from perdure.old_receipts(p_shard) r loop
            v_ids := perdure.finished_among((v_transfer ->> 'source_shard')::pg_catalog.int2,
                (v_transfer ->> 'run_id')::pg_catalog.uuid,
                array(select e::pg_catalog.int8 from pg_catalog.jsonb_array_elements_text(v_transfer -> 'ids') e));
            commit;
            if v_ids is not null then
                perform perdure.finish_receipts(p_shard, (v_transfer ->> 'run_id')::pg_catalog.uuid, v_ids);
                commit;
            end if;
        end loop;
    end if;
end
$$;
comment on procedure perdure.drain_transfers(smallint, uuid[], int, int) is
    'Applies the transfers of runs, and those of runs that close by that. A process that has committed something that '
    'affects other runs calls it; upkeep calls it without runs, for all transfers that are due. It commits between '
    'its steps, so it cannot be called inside a transaction block. A transfer that raises an error is set aside, and '
    'keeps nothing else waiting.';
