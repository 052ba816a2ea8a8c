-- Transfers that a process makes by calling the account API itself, without the engine: what is known of them, for
-- people who watch.

create or replace function bank.start_direct_transfer(
    mode text, from_account text, to_account text, amount_cents bigint, process text
) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_id uuid := gen_random_uuid();
begin
    if mode is null or mode not in ('plain', 'retrying') then
        raise exception 'there is no mode %', coalesce(quote_ident(left(mode, 100)), 'null') using errcode = 'BK002',
            hint = 'the modes without the engine are plain and retrying';
    end if;
    if from_account is null or to_account is null or from_account = to_account or amount_cents is null
        or amount_cents <= 0 or process is null then
        raise exception 'a transfer needs two accounts and an amount above zero' using errcode = 'BK002',
            hint = 'amounts are whole cents: 12.50 is 1250';
    end if;
    insert into bank.direct_transfers (transfer_id, mode, from_account, to_account, amount_cents, process, started_at)
    values (v_id, start_direct_transfer.mode, start_direct_transfer.from_account, start_direct_transfer.to_account,
            start_direct_transfer.amount_cents, start_direct_transfer.process, clock_timestamp());
    return v_id;
end
$$;
comment on function bank.start_direct_transfer(text, text, text, bigint, text) is
    'Records that a process begins a transfer of its own, and returns the transfer''s id. Raises BK002 for a bad '
    'argument.';

create or replace function bank.record_direct_calls(transfer_id uuid, calls jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(record_direct_calls.calls) is distinct from 'array' then
        raise exception 'calls must be an array' using errcode = 'BK002',
            hint = 'an object for each call that was made';
    end if;
    update bank.direct_transfers d set calls = record_direct_calls.calls
    where d.transfer_id = record_direct_calls.transfer_id and d.status = 'RUNNING';
end
$$;
comment on function bank.record_direct_calls(uuid, jsonb) is
    'Records which calls a direct transfer has made so far. Raises BK002 for a value that is not an array.';

create or replace function bank.end_direct_transfer(transfer_id uuid, status text, error_message text default null)
    returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    -- The end of a transfer that was given up as lost replaces the status LOST.
    update bank.direct_transfers d set status = $2, error_message = $3, ended_at = clock_timestamp()
    where d.transfer_id = $1 and d.status in ('RUNNING', 'LOST')
$$;
comment on function bank.end_direct_transfer(uuid, text, text) is
    'Records how a direct transfer ended: COMPLETED or FAILED, and why.';

create or replace function bank.lose_direct_transfers(process text) returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_lost int;
begin
    update bank.direct_transfers d
    set status = 'LOST', ended_at = clock_timestamp(),
        error_message = 'the process that ran it is gone, and nobody else knows of it'
    where d.status = 'RUNNING' and d.process = lose_direct_transfers.process;
    get diagnostics v_lost = row_count;
    return v_lost;
end
$$;
comment on function bank.lose_direct_transfers(text) is
    'Marks the transfers that a process was making when it died as lost, and returns how many. The money that they '
    'had withdrawn is missing.';

-- What the books say of one transfer: what left accounts, what came in, and what the payee has of it.
create or replace function bank.transfer_movements(
    p_transfer_id text, p_to_account text, out withdrawn_cents bigint, out deposited_cents bigint,
        out received_cents bigint, out entries json
)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    select coalesce(sum(e.amount_cents) filter (where e.kind = 'withdrawal'), 0)::bigint,
           coalesce(sum(e.amount_cents) filter (where e.kind = 'deposit'), 0)::bigint,
           coalesce(sum(case e.kind when 'deposit' then e.amount_cents
               else -e.amount_cents end) filter (where e.account_id = p_to_account), 0)::bigint,
           coalesce(json_agg(json_build_object(
               'entry_id', e.entry_id, 'kind', e.kind, 'account_id', e.account_id, 'amount',
                   (e.amount_cents * 0.01)::numeric(20, 2),
               'time', extract(epoch from e.created_at), 'activity_id', e.activity_id) order by e.entry_id), '[]')
    into withdrawn_cents, deposited_cents, received_cents, entries
    from bank.journal_entries e
    where e.transfer_id = p_transfer_id and e.outcome = 'posted';
end
$$;
comment on function bank.transfer_movements(text, text) is
    'What a transfer took out of accounts, put into them, and left with the payee, in cents, and its journal entries.';

-- Judges a transfer by the books alone, against what its caller was told.
create or replace function bank.verdict(
    p_status text, p_amount_cents bigint, p_withdrawn_cents bigint, p_deposited_cents bigint, p_received_cents bigint
) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_status = 'RUNNING' then null
        when p_withdrawn_cents > p_deposited_cents then 'missing'
        when p_withdrawn_cents < p_deposited_cents then 'doubled'
        when p_received_cents > p_amount_cents then 'repeated'
        when (p_status = 'COMPLETED') <> (p_received_cents = p_amount_cents) then 'unreported'
        else 'correct'
    end
$$;
comment on function bank.verdict(text, bigint, bigint, bigint, bigint) is
    'correct; missing (more was withdrawn than deposited); doubled (more was deposited than withdrawn); repeated (all '
    'of it moved more than once); unreported (it moved although its caller was told that it had failed, or the other '
    'way round); null while it runs.';

create or replace function bank.direct_transfer_document(d bank.direct_transfers) returns json
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_steps     text[] := array['check_balance_from', 'check_balance_to', 'withdraw', 'deposit'];
    v_completed text[];
    v_calls     jsonb := case jsonb_typeof(d.calls) when 'array' then d.calls else '[]' end;
    v_last      jsonb := v_calls -> -1;
    v_failed    jsonb;
    v_books     record;
begin
    select * into v_books from bank.transfer_movements(d.transfer_id::text, d.to_account);
    select coalesce(array_agg(c ->> 'step' order by n), '{}') into v_completed
    from jsonb_array_elements(v_calls) with ordinality as call (c, n)
    where c ->> 'step' is not null and c ->> 'failure' is null and c ->> 'ended_at' is not null;
    select c into v_failed
    from jsonb_array_elements(v_calls) with ordinality as call (c, n)
    where d.status = 'RUNNING' and c ->> 'failure' is not null and c ->> 'step' = v_last ->> 'step'
    order by n desc limit 1;
    return json_build_object(
        'mode', d.mode,
        'workflow_id', null,
        'run_id', d.transfer_id,
        'status', d.status,
        'start_time', extract(epoch from d.started_at),
        'close_time', extract(epoch from d.ended_at),
        'input', json_build_object('from_account', d.from_account, 'to_account', d.to_account, 'amount',
            (d.amount_cents * 0.01)::numeric(20, 2)),
        'result', case when d.status <> 'RUNNING' then json_build_object(
            'success', d.status = 'COMPLETED', 'from_account', d.from_account, 'to_account', d.to_account,
            'amount', (d.amount_cents * 0.01)::numeric(20, 2), 'error_message', d.error_message) end,
        'steps', v_steps,
        'current_step', case when d.status = 'RUNNING' then coalesce(
            case when v_last ->> 'ended_at' is null or v_last ->> 'failure' is not null then v_last ->> 'step' end,
            (select step.name from unnest(v_steps) with ordinality as step (name, place)
             where step.name <> all (v_completed) order by step.place limit 1)) end,
        'completed_steps', v_completed,
        'attempt', bank.whole_number(v_last -> 'attempt'),
        'attempts', (
            select coalesce(json_object_agg(a.step, a.attempt), '{}'::json)
            from (select c ->> 'step' as step, max(bank.whole_number(c -> 'attempt')) as attempt
                  from jsonb_array_elements(v_calls) as call (c)
                      where c ->> 'step' is not null group by c ->> 'step') a),
        'last_failure', v_failed ->> 'failure',
        'next_attempt_time', null,
        'entries', v_books.entries,
        'verdict', bank.verdict(d.status, d.amount_cents, v_books.withdrawn_cents, v_books.deposited_cents,
            v_books.received_cents));
end
$$;
comment on function bank.direct_transfer_document(bank.direct_transfers) is
    'A direct transfer in the shape of bank.transfer_document, with the mode and what the books say of it.';
