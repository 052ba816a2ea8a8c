-- What transfers are found by. A repeat changes nothing.
do $$
begin
    perform perdure.add_search_attribute('from_account', 'Keyword');
    perform perdure.add_search_attribute('to_account', 'Keyword');
end
$$;
