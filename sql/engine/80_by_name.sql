-- The forms for people and applications: names with defaults, plain JSON, the shard found for you. A caller's columns may have any
-- collation; below, as in the tables, ids are compared by bytes.

create or replace function perdure.payloads(p_value jsonb) returns jsonb
language sql stable parallel safe
return case when p_value is null then '[]'::jsonb else jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', p_value)) end;
comment on function perdure.payloads(jsonb) is 'Plain JSON as the one argument that an SDK would send.';

create or replace function perdure.start_workflow(
    workflow_type text, workflow_id text, task_queue text, input jsonb default null, namespace text default 'default', options jsonb default '{}',
    out run_id uuid, out started boolean)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select s.run_id, s.started from perdure.start_workflow(perdure.shard_for($5 collate "C", $2), $5 collate "C", $2, $1, $3, perdure.payloads($4),
        jsonb_build_object('identity', session_user) || $6) s
$$;
comment on function perdure.start_workflow(text, text, text, jsonb, text, jsonb) is
    'Starts a workflow with plain JSON as its input, in the caller''s transaction.';

create or replace function perdure.signal_workflow(
    workflow_id text, signal_name text, input jsonb default null, run_id uuid default null, namespace text default 'default') returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.signal_workflow(perdure.shard_for($5 collate "C", $1), $5 collate "C", $1, $4, $2, perdure.payloads($3), session_user::text, null) $$;
comment on function perdure.signal_workflow(text, text, jsonb, uuid, text) is 'Signals a running workflow with plain JSON.';

create or replace function perdure.signal_with_start_workflow(
    workflow_type text, workflow_id text, task_queue text, signal_name text, signal_input jsonb default null, input jsonb default null,
    namespace text default 'default', options jsonb default '{}', out run_id uuid, out started boolean)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select s.run_id, s.started from perdure.signal_with_start_workflow(perdure.shard_for($7 collate "C", $2), $7 collate "C", $2, $1, $3, perdure.payloads($6),
        $4, perdure.payloads($5), jsonb_build_object('identity', session_user) || $8) s
$$;
comment on function perdure.signal_with_start_workflow(text, text, text, text, jsonb, jsonb, text, jsonb) is
    'Signals the running workflow of that id, or starts it with the signal.';

create or replace function perdure.cancel_workflow(workflow_id text, reason text default null, run_id uuid default null, namespace text default 'default')
returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.request_cancel_workflow(perdure.shard_for($4 collate "C", $1), $4 collate "C", $1, $3, $2, session_user::text, null) $$;
comment on function perdure.cancel_workflow(text, text, uuid, text) is 'Asks a workflow to cancel itself.';

create or replace function perdure.terminate_workflow(workflow_id text, reason text default null, run_id uuid default null, namespace text default 'default')
returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.terminate_workflow(perdure.shard_for($4 collate "C", $1), $4 collate "C", $1, $3, $2, null, session_user::text) $$;
comment on function perdure.terminate_workflow(text, text, uuid, text) is 'Ends a workflow at once.';

create or replace function perdure.describe_workflow(workflow_id text, run_id uuid default null, namespace text default 'default') returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.describe_workflow(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) $$;
comment on function perdure.describe_workflow(text, uuid, text) is 'All that is known of a workflow, as one object.';

create or replace function perdure.workflow_result(
    workflow_id text, run_id uuid default null, namespace text default 'default',
    out status text, out result jsonb, out failure jsonb, out close_time timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select r.status, perdure.plain(r.result), r.failure, r.close_time from perdure.workflow_result(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) r
$$;
comment on function perdure.workflow_result(text, uuid, text) is 'How a workflow ended, its result as plain JSON.';

-- A procedure, because it commits the question before it waits for the answer.
create or replace procedure perdure.query_workflow(
    workflow_id text, query_type text, inout answer jsonb default null, input jsonb default null, run_id uuid default null, namespace text default 'default', timeout interval default '10 s')
language plpgsql
as $$
declare
    v_shard smallint := perdure.shard_for(namespace collate "C", workflow_id);
    v_query uuid;
    v_answer record;
begin
    v_query := perdure.start_query(v_shard, namespace collate "C", workflow_id, run_id, query_type, perdure.payloads(input), timeout);
    loop
        commit;
        select a.* into v_answer from perdure.query_answer(v_shard, v_query) a;
        exit when v_answer.state in ('answered', 'failed');
        perform pg_catalog.pg_sleep(0.02);
    end loop;
    if v_answer.state = 'failed' then
        raise exception 'the query failed: %', v_answer.failure ->> 'message' using errcode = 'PD009', hint = 'perdure.live_workers shows who could answer.';
    end if;
    answer := perdure.plain(v_answer.result);
end
$$;
comment on procedure perdure.query_workflow(text, text, jsonb, jsonb, uuid, text, interval) is
    'Asks a workflow and waits for the answer: call perdure.query_workflow(''id'', ''get_state'');';

create or replace function perdure.create_namespace(namespace text, retention interval default '30 days', description text default '') returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_name($1, 'namespace');
    if octet_length($1) > 255 then
        raise exception 'the namespace must have at most 255 bytes' using errcode = 'PD003', hint = 'Give it a shorter name.';
    end if;
    if $2 is null or $2 <= interval '0' then
        raise exception 'the retention must be above zero' using errcode = 'PD003', hint = 'For example interval ''30 days''.';
    end if;
    insert into perdure.namespaces as n (namespace, retention, description) values ($1, $2, coalesce($3, ''))
    on conflict on constraint namespaces_pkey do update set retention = excluded.retention, description = excluded.description;
end
$$;
comment on function perdure.create_namespace(text, interval, text) is 'Creates a namespace, or changes how long it keeps closed runs.';

create or replace function perdure.add_search_attribute(name text, type text, namespace text default 'default') returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_type text;
begin
    perform perdure.check_name($1, 'search attribute');
    if $2 is null or $2 not in ('Keyword', 'Text', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList') then
        raise exception 'unknown search attribute type %', coalesce(quote_literal($2), 'null') using errcode = 'PD003',
            hint = 'It is Keyword, Text, Int, Double, Bool, Datetime or KeywordList.';
    end if;
    if exists (select from perdure.list_filter_fields(null) f where f.name = $1) then
        raise exception 'search attribute % is one that every run has', $1 using errcode = 'PD003', hint = 'Choose another name.';
    end if;
    if not exists (select from perdure.namespaces n where n.namespace = $3) then
        raise exception 'there is no namespace %', coalesce(quote_ident($3), 'null') using errcode = 'PD005', hint = 'Create it with perdure.create_namespace.';
    end if;
    insert into perdure.search_attributes as a (namespace, name, type) values ($3, $1, $2) on conflict on constraint search_attributes_pkey do nothing;
    select a.type into v_type from perdure.search_attributes a where a.namespace = $3 and a.name = $1;
    if v_type <> $2 then
        raise exception 'search attribute % has type %', quote_ident($1), v_type using errcode = 'PD008', hint = 'A type cannot be changed: add one with another name.';
    end if;
end
$$;
comment on function perdure.add_search_attribute(text, text, text) is 'Lets runs of a namespace carry a search attribute of that type.';
