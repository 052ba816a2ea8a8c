-- The same transfers in every mode at once, to look at side by side.

drop function if exists bank.start_comparison(int, bigint, text, text);
create or replace function bank.start_comparison(
    size int, amount_cents bigint, task_queue text, process text, identity text default null,
    out comparison_id bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_accounts text[] := array(select b.account_id from bank.balances b where b.kind = 'customer'
        and b.closed_at is null order by b.account_id);
    v_from     text;
    v_to       text;
    v_id       text;
    v_run_id   uuid;
begin
    if size is null or size not between 1 and 500 then
        raise exception 'a comparison makes from 1 to 500 transfers a mode' using errcode = 'BK002',
            hint = 'for example 50';
    end if;
    if amount_cents is null or amount_cents not between 1 and 100000000000000 then
        raise exception 'the amount must be from 0.01 to 1000000000000.00' using errcode = 'BK002',
            hint = 'amounts are whole cents: 12.50 is 1250';
    end if;
    if cardinality(v_accounts) < 2 then
        raise exception 'a comparison needs two open accounts' using errcode = 'BK002',
            hint = 'open them by bank.open_account';
    end if;
    insert into bank.comparisons (size, amount_cents, started_at)
    values (start_comparison.size, start_comparison.amount_cents, clock_timestamp())
    returning comparisons.comparison_id into comparison_id;
    for v_number in 1 .. size loop
        -- The accounts are taken in turn, so that each also receives what it sends and none runs dry.
        v_from := v_accounts[1 + (v_number - 1) % cardinality(v_accounts)];
        v_to := v_accounts[1 + (v_number - 1 + greatest(cardinality(v_accounts) / 3, 1)) % cardinality(v_accounts)];
        insert into bank.comparison_transfers (comparison_id, mode, number, transfer_id)
        select start_comparison.comparison_id, m.mode, v_number,
               bank.start_direct_transfer(m.mode, v_from, v_to, start_comparison.amount_cents, start_comparison.process)
        from unnest(array['plain', 'retrying']) as m (mode);
        v_id := format('comparison-%s-%s', start_comparison.comparison_id, v_number);
        select s.run_id into v_run_id
        from perdure.start_workflow(
            workflow_type => 'TransferWorkflow', workflow_id => v_id, task_queue => start_comparison.task_queue,
            input => jsonb_build_object('from_account', v_from, 'to_account', v_to, 'amount',
                (start_comparison.amount_cents * 0.01)::numeric(20, 2)),
            options => jsonb_build_object('searchAttributes',
                jsonb_build_object('from_account', v_from, 'to_account', v_to), 'identity',
                coalesce(start_comparison.identity, session_user))) s;
        insert into bank.comparison_transfers (comparison_id, mode, number, transfer_id, workflow_id)
        values (start_comparison.comparison_id, 'durable', v_number, v_run_id, v_id);
    end loop;
end
$$;
comment on function bank.start_comparison(int, bigint, text, text, text) is
    'Starts the same transfers in every mode: the durable ones are running when it returns, the direct ones wait for '
    'the process to make them. Returns the comparison''s number. Raises BK002 for a bad argument.';

create or replace view bank.compared_transfers as
select c.comparison_id, c.mode, c.number, c.transfer_id, c.workflow_id, k.amount_cents,
       a.from_account, a.to_account, s.status, s.started_at, s.ended_at, m.withdrawn_cents, m.deposited_cents,
       bank.verdict(s.status, k.amount_cents, m.withdrawn_cents, m.deposited_cents, m.received_cents) as verdict
from bank.comparison_transfers c
join bank.comparisons k using (comparison_id)
left join bank.direct_transfers d on d.transfer_id = c.transfer_id
left join perdure.executions e on e.shard = perdure.shard_for('default', c.workflow_id) and e.run_id = c.transfer_id
cross join lateral (
    select coalesce(d.from_account, e.search_attributes ->> 'from_account') as from_account,
           coalesce(d.to_account, e.search_attributes ->> 'to_account') as to_account) a
cross join lateral (
    select coalesce(d.status, upper(regexp_replace(e.status::text, '([a-z])([A-Z])', '\1_\2', 'g')), 'LOST') as status,
           coalesce(d.started_at, e.start_time) as started_at, coalesce(d.ended_at, e.close_time) as ended_at) s
cross join lateral (
    select coalesce(sum(j.amount_cents) filter (where j.kind = 'withdrawal'), 0)::bigint as withdrawn_cents,
           coalesce(sum(j.amount_cents) filter (where j.kind = 'deposit'), 0)::bigint as deposited_cents,
           coalesce(sum(case j.kind when 'deposit' then j.amount_cents else -j.amount_cents end)
                        filter (where j.account_id = a.to_account), 0)::bigint as received_cents
    from bank.journal_entries j
    where j.transfer_id = c.transfer_id::text and j.outcome = 'posted') m;
comment on view bank.compared_transfers is
    'One row is a transfer of a comparison, how it ended, and what the books say of it.';
comment on column bank.compared_transfers.comparison_id is 'The comparison.';
comment on column bank.compared_transfers.mode is 'plain, retrying or durable.';
comment on column bank.compared_transfers.number is
    'The number of the transfer, from 1; the same number means the same two accounts in every mode.';
comment on column bank.compared_transfers.transfer_id is
    'The id that every movement of the transfer has in the journal; for a durable transfer, its run.';
comment on column bank.compared_transfers.workflow_id is 'The workflow of a durable transfer.';
comment on column bank.compared_transfers.amount_cents is 'How much it was to move, in cents.';
comment on column bank.compared_transfers.from_account is 'The account that pays.';
comment on column bank.compared_transfers.to_account is 'The account that is paid.';
comment on column bank.compared_transfers.status is
    'RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED, TIMED_OUT or LOST.';
comment on column bank.compared_transfers.started_at is 'When it was started.';
comment on column bank.compared_transfers.ended_at is 'When it ended; null while it runs.';
comment on column bank.compared_transfers.withdrawn_cents is 'What it took out of accounts, in cents.';
comment on column bank.compared_transfers.deposited_cents is 'What it put into accounts, in cents.';
comment on column bank.compared_transfers.verdict is
    'correct, missing, doubled, repeated or unreported (see bank.verdict); null while it runs.';

create or replace view bank.comparison_results as
select c.comparison_id, c.mode,
       count(*) as transfers,
       count(*) filter (where c.status = 'RUNNING') as running,
       count(*) filter (where c.status = 'COMPLETED') as completed,
       count(*) filter (where c.status not in ('RUNNING', 'COMPLETED')) as failed,
       count(*) filter (where c.verdict = 'correct') as correct,
       count(*) filter (where c.verdict = 'missing') as missing,
       count(*) filter (where c.verdict = 'doubled') as doubled,
       count(*) filter (where c.verdict = 'repeated') as repeated,
       count(*) filter (where c.verdict = 'unreported') as unreported,
       coalesce(sum(c.withdrawn_cents - c.deposited_cents) filter (where c.verdict = 'missing'),
           0)::bigint as missing_cents,
       coalesce(sum(c.deposited_cents - c.withdrawn_cents) filter (where c.verdict = 'doubled'),
           0)::bigint as doubled_cents,
       coalesce(sum(c.deposited_cents - c.amount_cents) filter (where c.verdict = 'repeated'),
           0)::bigint as repeated_cents,
       case when bool_or(c.status = 'RUNNING') then clock_timestamp()
           else max(c.ended_at) end - min(c.started_at) as duration
from bank.compared_transfers c
group by c.comparison_id, c.mode;
comment on view bank.comparison_results is
    'One row is a mode of a comparison: how its transfers ended, and what they did to the money.';
comment on column bank.comparison_results.comparison_id is 'The comparison.';
comment on column bank.comparison_results.mode is 'plain, retrying or durable.';
comment on column bank.comparison_results.transfers is 'How many transfers it has.';
comment on column bank.comparison_results.running is 'How many still run.';
comment on column bank.comparison_results.completed is 'How many callers were told that their transfer succeeded.';
comment on column bank.comparison_results.failed is
    'How many callers were told that their transfer failed, or were lost with their process.';
comment on column bank.comparison_results.correct is 'How many did what their callers were told.';
comment on column bank.comparison_results.missing is 'How many withdrew more than they deposited.';
comment on column bank.comparison_results.doubled is 'How many deposited more than they withdrew.';
comment on column bank.comparison_results.repeated is 'How many moved all of their money more than once.';
comment on column bank.comparison_results.unreported is
    'How many moved their money while their caller was told otherwise.';
comment on column bank.comparison_results.missing_cents is 'What is missing, in cents.';
comment on column bank.comparison_results.doubled_cents is 'What came from nowhere, in cents.';
comment on column bank.comparison_results.repeated_cents is 'What moved once too often, in cents.';
comment on column bank.comparison_results.duration is 'From the first start to the last end, or to now.';
