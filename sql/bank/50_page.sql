-- What the transfer page follows. One call reads it for all viewers.

create or replace function bank.page_state(
    out accounts json, out totals json, out real_world_mode json, out marks json
)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select (select json_agg(json_build_object(
                'account_id', b.account_id, 'balance', (b.balance_cents * 0.01)::numeric(20, 2)) order by b.account_id)
            from bank.balances b where b.kind = 'customer' and b.closed_at is null),
           (select json_build_object(
                'customers', (t.customer_cents * 0.01)::numeric(20, 2),
                'in_transit', ((t.in_transit_cents::numeric - t.missing_cents + t.surplus_cents) * 0.01)::numeric(20,
                    2),
                'missing', (t.missing_cents * 0.01)::numeric(20, 2),
                'surplus', (t.surplus_cents * 0.01)::numeric(20, 2),
                'all', ((t.customer_cents::numeric + t.in_transit_cents) * 0.01)::numeric(20, 2),
                'expected', (t.equity_cents * 0.01)::numeric(20, 2),
                'conserved', t.conserved)
            from bank.totals t),
           (select json_build_object(
                'enabled', s.real_world_mode, 'hang_rate', s.hang_rate, 'error_rate', s.error_rate,
                'lost_answer_share', s.lost_answer_share, 'hang_seconds', s.hang_seconds)
            from bank.settings s),
           (select json_build_object(
                'entry', (select max(e.entry_id) from bank.journal_entries e),
                'deployment', (select max(d.deployment_id) from bank.deployments d),
                'workers', (
                    select json_agg(json_build_array(w.identity, w.build_id, w.alive) order by w.identity)
                    from perdure.live_workers w where w.namespace = 'default'),
                'comparison', (
                    select json_agg(json_build_array(r.comparison_id, r.mode, r.completed, r.failed, r.missing_cents,
                        r.doubled_cents) order by r.mode)
                    from bank.comparison_results r
                    where r.comparison_id = (select max(c.comparison_id) from bank.comparisons c))))
$$;
comment on function bank.page_state() is
    'Balances, the sums that prove them, Real World Mode, and marks that change when the data of the other pages '
    'changes.';

create or replace function bank.page_transfers(known_closed uuid[] default '{}')
returns table (run_id uuid, is_running boolean, document json)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with shown as (
        (select w.shard, w.run_id, w.start_time
         from perdure.workflows w
         where w.namespace = 'default' and w.workflow_type = 'TransferWorkflow'
         order by w.start_time desc, w.run_id desc limit 100)
        union
        (select w.shard, w.run_id, w.start_time
         from perdure.workflows w
         where w.namespace = 'default' and w.workflow_type = 'TransferWorkflow' and w.status = 'Running'
         order by w.start_time desc, w.run_id desc limit 100)
    )
    (select t.run_id, t.status = 'RUNNING',
            case when t.status = 'RUNNING' or t.run_id <> all (known_closed) then bank.transfer_document(t) end
     from shown s
     join bank.transfers t on t.shard = s.shard and t.run_id = s.run_id
     order by s.start_time desc, s.run_id desc)
    union all
    (select d.transfer_id, d.status = 'RUNNING',
            -- The account API may still be working on a call that the transfer has given up on.
            case when d.status = 'RUNNING' or d.transfer_id <> all (known_closed)
                or d.ended_at > clock_timestamp() - interval '20 s'
                 then bank.direct_transfer_document(d) end
     from bank.direct_transfers d
     order by d.started_at desc, d.transfer_id desc limit 100)
$$;
comment on function bank.page_transfers(uuid[]) is
    'The newest hundred transfers, the newest hundred that run, and the newest hundred direct ones. An ended transfer '
    'never changes, so its document is left out if the caller knows it.';
