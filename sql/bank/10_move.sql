-- Moves money between a customer's account and what is in transit. No other function does.
--
-- Locks are taken in one order everywhere: customer accounts by id, then the idempotency key, then the row in
-- bank.in_transit, then equity. A movement locks one customer account, so movements cannot deadlock.
--
-- A refusal for want of funds is an answer, not an error: an error would roll back the row that remembers it, and
-- a repeat under the same key must get the first answer whatever has happened to the balance since.

create or replace function bank.move(
    p_kind text, p_account_id text, p_cents bigint, p_key text,
    p_workflow_id text, p_run_id text, p_activity_id text, p_memo text, p_transfer_id text,
    out entry_id bigint, out outcome text, out previous_cents bigint, out new_cents bigint, out repeated boolean
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account  bank.accounts;
    v_first    bank.journal_entries;
    v_transfer text := coalesce(p_transfer_id, p_run_id);
    v_change   bigint := case p_kind when 'withdrawal' then -p_cents else p_cents end;
begin
    if p_cents is null or p_cents <= 0 or p_cents > 100000000000000 then
        raise exception 'the amount must be from 0.01 to 1000000000000.00' using errcode = 'BK002',
            hint = 'amounts are whole cents: 12.50 is 1250';
    end if;
    if length(p_key) not between 1 and 255 then
        raise exception 'an idempotency key has 1 to 255 characters' using errcode = 'BK002',
            hint = 'use the activity''s own key, or a UUID';
    end if;
    if length(v_transfer) not between 1 and 255 then
        raise exception 'the id of a transfer has 1 to 255 characters' using errcode = 'BK002',
            hint = 'leave it out, or use a UUID';
    end if;
    if greatest(length(p_workflow_id), length(p_run_id), length(p_activity_id)) > 1000 then
        raise exception 'the ids of a workflow, a run and an activity have at most 1,000 characters' using errcode =
            'BK002',
            hint = 'they stand in the journal, for those who look up what caused a movement';
    end if;

    select * into v_account from bank.accounts a
    where a.account_id = p_account_id and a.kind = 'customer'
    for no key update;
    if not found then
        raise exception 'there is no account %', p_account_id using errcode = 'BK001',
            hint = 'select account_id from bank.balances lists them';
    end if;

    select * into v_first from bank.journal_entries e where e.idempotency_key = p_key;
    if not found then
        if v_account.closed_at is not null then
            raise exception 'account % is closed', p_account_id using errcode = 'BK004',
                hint = 'a closed account moves no money: send it to another one';
        end if;
        if v_account.balance_cents > 9223372036854775807 - greatest(v_change, 0) then
            raise exception 'account % cannot hold that much', p_account_id using errcode = 'BK002',
                hint = 'an account holds up to 92233720368547758.07';
        end if;
        outcome := case when v_account.balance_cents + v_change < 0 then 'refused' else 'posted' end;
        previous_cents := v_account.balance_cents;
        new_cents := previous_cents + case outcome when 'posted' then v_change else 0 end;
        repeated := false;

        -- A refusal without a key leaves nothing behind, because nobody can ask for it again.
        if outcome = 'refused' and p_key is null then
            return;
        end if;
        insert into bank.journal_entries (
            kind, outcome, account_id, amount_cents, previous_cents, new_cents, idempotency_key,
            workflow_id, run_id, activity_id, memo, transfer_id)
        values (
            p_kind, outcome, p_account_id, p_cents, previous_cents, new_cents, p_key,
            p_workflow_id, p_run_id, p_activity_id, p_memo, v_transfer)
        on conflict (idempotency_key) do nothing
        returning journal_entries.entry_id into entry_id;

        if entry_id is not null then
            if outcome = 'posted' then
                insert into bank.postings (entry_id, account_id, amount_cents)
                values (move.entry_id, p_account_id, v_change), (move.entry_id, 'in_transit', -v_change);
                update bank.accounts a set balance_cents = new_cents where a.account_id = p_account_id;
                perform bank.change_in_transit(coalesce(v_transfer, ''), p_workflow_id, p_account_id, -v_change);
            end if;
            return;
        end if;
        -- Another transaction used the same key on another account at this moment. It has committed, so its entry is
        -- visible now.
        select * into strict v_first from bank.journal_entries e where e.idempotency_key = p_key;
    end if;

    if (v_first.kind, v_first.account_id, v_first.amount_cents) is distinct from (p_kind, p_account_id, p_cents) then
        raise exception 'the idempotency key % was used for another movement', p_key using errcode = 'BK003',
            detail = format('it was a %s of %s cents on %s', v_first.kind, v_first.amount_cents, v_first.account_id),
            hint = 'use a new key for a new movement, and the same arguments for a repeat';
    end if;
    entry_id := v_first.entry_id;
    outcome := v_first.outcome;
    previous_cents := v_first.previous_cents;
    new_cents := v_first.new_cents;
    repeated := true;
end
$$;
comment on function bank.move(text, text, bigint, text, text, text, text, text, text) is
    'Withdraws from or deposits into a customer''s account, once per key; bank.withdraw and bank.deposit call it.';

create or replace function bank.change_in_transit(p_transfer_id text, p_workflow_id text, p_account_id text,
    p_cents bigint)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    -- Most changes are a withdrawal, which makes the row, or its deposit, which deletes it.
    delete from bank.in_transit t where t.transfer_id = p_transfer_id and t.amount_cents = -p_cents;
    if found then
        return;
    end if;
    insert into bank.in_transit as t (transfer_id, workflow_id, account_id, amount_cents)
    values (p_transfer_id, p_workflow_id, p_account_id, p_cents)
    on conflict (transfer_id) do update set amount_cents = t.amount_cents + excluded.amount_cents;
end
$$;
comment on function bank.change_in_transit(text, text, text, bigint) is
    'Adds to the money that a transfer has in transit. The row is deleted when nothing is left.';

create or replace function bank.withdraw(
    account_id text, amount_cents bigint, idempotency_key text default null,
    workflow_id text default null, run_id text default null, activity_id text default null, memo text default null,
    transfer_id text default null,
    out entry_id bigint, out outcome text, out previous_cents bigint, out new_cents bigint, out repeated boolean
)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select * from bank.move('withdrawal', $1, $2, $3, $4, $5, $6, $7, $8)
$$;
comment on function bank.withdraw(text, bigint, text, text, text, text, text, text) is
    'Takes cents out of an account and puts them in transit. The outcome is posted or, for want of funds, refused. '
    'Raises BK001 (no such account), BK002 (bad argument), BK003 (the key belongs to another movement), BK004 '
    '(closed).';

create or replace function bank.deposit(
    account_id text, amount_cents bigint, idempotency_key text default null,
    workflow_id text default null, run_id text default null, activity_id text default null, memo text default null,
    transfer_id text default null,
    out entry_id bigint, out outcome text, out previous_cents bigint, out new_cents bigint, out repeated boolean
)
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    select * from bank.move('deposit', $1, $2, $3, $4, $5, $6, $7, $8)
$$;
comment on function bank.deposit(text, bigint, text, text, text, text, text, text) is
    'Puts cents that were in transit into an account. Raises BK001, BK002, BK003 and BK004 like bank.withdraw.';

