-- What the transfer page follows. One call reads it for all viewers.

create or replace function bank.page_state(out accounts json, out totals json, out real_world_mode json)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select (select json_agg(json_build_object(
                'account_id', b.account_id, 'balance', (b.balance_cents / 100.0)::numeric(20, 2)) order by b.account_id)
            from bank.balances b where b.kind = 'customer' and b.closed_at is null),
           (select json_build_object(
                'customers', (t.customer_cents / 100.0)::numeric(20, 2),
                'in_transit', (t.in_transit_cents / 100.0)::numeric(20, 2),
                'all', ((t.customer_cents + t.in_transit_cents) / 100.0)::numeric(20, 2),
                'expected', (t.equity_cents / 100.0)::numeric(20, 2),
                'conserved', t.conserved)
            from bank.totals t),
           (select json_build_object(
                'enabled', s.real_world_mode, 'hang_rate', s.hang_rate, 'error_rate', s.error_rate,
                'lost_answer_share', s.lost_answer_share, 'hang_seconds', s.hang_seconds)
            from bank.settings s)
$$;
comment on function bank.page_state() is 'Balances, the sums that prove them, and Real World Mode, as the transfer page takes them.';

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
    select t.run_id, t.status = 'RUNNING',
           case when t.status = 'RUNNING' or t.run_id <> all (known_closed) then bank.transfer_document(t) end
    from shown s
    join bank.transfers t on t.shard = s.shard and t.run_id = s.run_id
    order by s.start_time desc, s.run_id desc
$$;
comment on function bank.page_transfers(uuid[]) is
    'The newest hundred transfers and the newest hundred that run. An ended transfer never changes, so the document of one that '
    'the caller knows is left out.';
