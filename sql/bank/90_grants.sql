revoke all on all functions in schema bank from public;

-- bank_api moves money and reads balances; bank_reader reads everything. Skipped where the roles could not be made.
do $$
begin
    if exists (select from pg_roles where rolname = 'bank_api') then
        grant usage on schema bank to bank_api;
        grant select on bank.settings, bank.balances, bank.totals to bank_api;
        grant execute on function
            bank.withdraw(text, bigint, text, text, text, text, text, text),
            bank.deposit(text, bigint, text, text, text, text, text, text),
            bank.balance(text), bank.is_under_way(text, text)
        to bank_api;
    end if;
    if exists (select from pg_roles where rolname = 'bank_reader') then
        grant usage on schema bank to bank_reader;
        grant select on all tables in schema bank to bank_reader;
        grant execute on function bank.balance(text), bank.is_under_way(text, text),
            bank.verdict(text, bigint, bigint, bigint, bigint) to bank_reader;
    end if;
end
$$;
