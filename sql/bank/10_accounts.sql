-- Opens, closes and reads accounts.

create or replace function bank.balance(account_id text) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account bank.accounts;
begin
    select * into v_account from bank.accounts a where a.account_id = balance.account_id and a.kind = 'customer';
    if not found then
        raise exception 'there is no account %', account_id using errcode = 'BK001',
            hint = 'select account_id from bank.balances lists them';
    end if;
    if v_account.closed_at is not null then
        raise exception 'account % is closed', account_id using errcode = 'BK004',
            hint = 'a closed account moves no money: send it to another one';
    end if;
    return v_account.balance_cents;
end
$$;
comment on function bank.balance(text) is
    'The balance of a customer''s account in cents. Raises BK001 for an unknown account and BK004 for a closed one.';

create or replace function bank.open_account(account_id text, opening_cents bigint default 0) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_entry_id bigint;
begin
    if account_id is null or account_id !~ '^[A-Za-z0-9_]{1,64}$' then
        raise exception 'an account id is 1 to 64 letters, digits and underscores' using errcode = 'BK002',
            hint = 'for example account_K';
    end if;
    if opening_cents is null or opening_cents not between 0 and 100000000000000 then
        raise exception 'the opening balance must be from 0.00 to 1000000000000.00' using errcode = 'BK002',
            hint = 'amounts are whole cents: 12.50 is 1250';
    end if;
    insert into bank.accounts (account_id, kind, opening_cents, balance_cents)
    values (open_account.account_id, 'customer', open_account.opening_cents, open_account.opening_cents)
    on conflict do nothing;
    if not found then
        raise exception 'account % exists', account_id using errcode = 'BK005', hint = 'choose another id';
    end if;
    if opening_cents > 0 then
        insert into bank.journal_entries (kind, memo) values ('opening', open_account.account_id) returning entry_id
            into v_entry_id;
        insert into bank.postings (entry_id, account_id, amount_cents)
        values (v_entry_id, open_account.account_id, open_account.opening_cents),
            (v_entry_id, 'equity', -open_account.opening_cents);
        update bank.accounts a set balance_cents = a.balance_cents - open_account.opening_cents
            where a.account_id = 'equity';
    end if;
end
$$;
comment on function bank.open_account(text, bigint) is
    'Opens a customer''s account with money from equity. Raises BK002 for a bad argument and BK005 when it exists.';

create or replace function bank.close_account(account_id text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_account bank.accounts;
begin
    select * into v_account from bank.accounts a
    where a.account_id = close_account.account_id and a.kind = 'customer'
    for no key update;
    if not found then
        raise exception 'there is no account %', account_id using errcode = 'BK001',
            hint = 'select account_id from bank.balances lists them';
    end if;
    if v_account.balance_cents <> 0 then
        raise exception 'account % still holds % cents', account_id, v_account.balance_cents using errcode = 'BK006',
            hint = 'transfer the money to another account first';
    end if;
    update bank.accounts a set closed_at = now()
    where a.account_id = close_account.account_id and a.closed_at is null;
end
$$;
comment on function bank.close_account(text) is
    'Closes an empty account: from now on it moves no money. Raises BK001 for an unknown account and BK006 while it '
    'holds money.';

