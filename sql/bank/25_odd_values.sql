-- Reads what people wrote into a transfer's input and result. Anybody can start a TransferWorkflow with any JSON, so
-- the views read it by these functions: a value that does not fit becomes null, and the row stays in the view.

create or replace function bank.amount(p_value jsonb) returns numeric
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case jsonb_typeof(p_value)
        when 'number' then
            -- What a bigint of cents can hold.
            case when p_value::numeric between -92233720368547758 and 92233720368547758
                then round(p_value::numeric, 2) end
        when 'string' then
            case when p_value #>> '{}' ~ '^-?[0-9]{1,16}([.][0-9]{1,20})?$'
                then round((p_value #>> '{}')::numeric, 2) end
    end
$$;
comment on function bank.amount(jsonb) is
    'An amount in units with two decimals; null for JSON that is no number, and for more than a bigint of cents holds.';

create or replace function bank.cents(p_cents numeric) returns bigint
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select least(greatest(p_cents, -9223372036854775808), 9223372036854775807)::bigint
$$;
comment on function bank.cents(numeric) is
    'A sum of cents, or the end of the range of bigint if the sum is beyond it, so that books that were tampered with '
    'can be read, too.';

create or replace function bank.whole_number(p_value jsonb) returns int
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(p_value) = 'number' then
        case when p_value::numeric between -2147483648 and 2147483647 then p_value::numeric::int end end
$$;
comment on function bank.whole_number(jsonb) is
    'A whole number; null for JSON that is no number, and for more than an int holds.';

create or replace function bank.short_text(p_value jsonb, p_length int) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
    select case when jsonb_typeof(p_value) = 'string' then
        case when length(p_value #>> '{}') > p_length then left(p_value #>> '{}', p_length) || '…'
            else p_value #>> '{}' end end
$$;
comment on function bank.short_text(jsonb, int) is
    'A JSON string, cut after p_length characters; null for JSON that is no string.';
