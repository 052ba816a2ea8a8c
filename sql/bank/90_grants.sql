revoke all on all functions in schema bank from public;

-- bank_api moves money and reads balances; bank_reader reads everything; bank_page does what the transfer page offers,
-- which moves no money except by a reset; bank_supervisor reads what to deploy and which workers to crash. Grant each
-- of the last two together with perdure_worker. The block skips roles that could not be created.
do $$
begin
    if exists (select from pg_roles where rolname = 'bank_api') then
        grant usage on schema bank to bank_api;
        grant select on bank.settings, bank.balances, bank.totals to bank_api;
        grant execute on function
            bank.withdraw(text, bigint, text, text, text, text, text, text),
            bank.deposit(text, bigint, text, text, text, text, text, text),
            bank.balance(text), bank.is_under_way(text, text), bank.cents(numeric)
        to bank_api;
    end if;
    if exists (select from pg_roles where rolname = 'bank_reader') then
        grant usage on schema bank to bank_reader;
        grant select on all tables in schema bank to bank_reader;
        grant execute on function bank.balance(text), bank.is_under_way(text, text), bank.violations(),
            bank.verdict(text, bigint, bigint, bigint, bigint),
            bank.amount(jsonb), bank.cents(numeric), bank.short_text(jsonb, int), bank.whole_number(jsonb)
        to bank_reader;
    end if;
    if exists (select from pg_roles where rolname = 'bank_page') then
        grant usage on schema bank to bank_page;
        grant select on all tables in schema bank to bank_page;
        grant execute on all functions in schema bank to bank_page;
        revoke execute on function
            bank.move(text, text, bigint, text, text, text, text, text, text),
            bank.change_in_transit(text, text, text, bigint),
            bank.withdraw(text, bigint, text, text, text, text, text, text),
            bank.deposit(text, bigint, text, text, text, text, text, text),
            bank.open_account(text, bigint), bank.close_account(text),
            bank.take_crash_requests(text[]), bank.record_crash(text)
        from bank_page;
    end if;
    if exists (select from pg_roles where rolname = 'bank_supervisor') then
        grant usage on schema bank to bank_supervisor;
        grant select on bank.current_deployment to bank_supervisor;
        grant execute on function bank.take_crash_requests(text[]), bank.record_crash(text) to bank_supervisor;
    end if;
end
$$;
