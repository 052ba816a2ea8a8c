-- Queries have a header, as signals and updates do: what interceptors say beside the arguments.

alter table perdure.queries add column header jsonb;
comment on column perdure.queries.header is 'What was said beside the arguments, payloads by name; null for nothing.';

-- They take and tell it.
drop function if exists perdure.start_query(smallint, text, text, uuid, text, jsonb, interval);
drop function if exists perdure.claim_queries(smallint, uuid, text, int);
