-- The search attributes by which transfers are found. Running this again changes nothing.
do $$
begin
    perform perdure.add_search_attribute('from_account', 'Keyword');
    perform perdure.add_search_attribute('to_account', 'Keyword');
end
$$;
