-- The forms for people and applications: they have names with defaults, take plain JSON, and find the shard. A caller's
-- columns may have any collation; the functions below, like the tables, compare ids by bytes.

-- The function is STABLE because those that it calls are; declared IMMUTABLE it could not be inlined.
create or replace function perdure.payloads(p_value jsonb) returns jsonb
language sql stable parallel safe
return case when p_value is null then '[]'::jsonb
    else jsonb_build_array(jsonb_build_object('encoding', 'json/plain', 'data', p_value)) end;
comment on function perdure.payloads(jsonb) is 'Plain JSON as the one argument that an SDK would send.';

create or replace function perdure.start_workflow(
    workflow_type text, workflow_id text, task_queue text, input jsonb default null, namespace text default 'default',
        options jsonb default '{}',
    out run_id uuid, out started boolean)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select s.run_id, s.started from perdure.start_workflow(perdure.shard_for($5 collate "C", $2), $5 collate "C", $2,
        $1, $3, perdure.payloads($4),
        jsonb_build_object('identity', session_user) || $6) s
$$;
comment on function perdure.start_workflow(text, text, text, jsonb, text, jsonb) is
    'Starts a workflow with plain JSON as its input, in the caller''s transaction.';

create or replace function perdure.signal_workflow(
    workflow_id text, signal_name text, input jsonb default null, run_id uuid default null,
        namespace text default 'default') returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.signal_workflow(perdure.shard_for($5 collate "C", $1), $5 collate "C", $1, $4, $2,
    perdure.payloads($3), session_user::text, null) $$;
comment on function perdure.signal_workflow(text, text, jsonb, uuid, text) is
    'Signals a running workflow with plain JSON.';

create or replace function perdure.signal_with_start_workflow(
    workflow_type text, workflow_id text, task_queue text, signal_name text, signal_input jsonb default null,
        input jsonb default null,
    namespace text default 'default', options jsonb default '{}', out run_id uuid, out started boolean)
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select s.run_id, s.started from perdure.signal_with_start_workflow(perdure.shard_for($7 collate "C", $2),
        $7 collate "C", $2, $1, $3, perdure.payloads($6),
        $4, perdure.payloads($5), jsonb_build_object('identity', session_user) || $8) s
$$;
comment on function perdure.signal_with_start_workflow(text, text, text, text, jsonb, jsonb, text, jsonb) is
    'Signals the running workflow of that id, or starts it with the signal.';

create or replace function perdure.cancel_workflow(workflow_id text, reason text default null, run_id uuid default null,
    namespace text default 'default')
returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.request_cancel_workflow(perdure.shard_for($4 collate "C", $1), $4 collate "C", $1, $3, $2,
    session_user::text, null) $$;
comment on function perdure.cancel_workflow(text, text, uuid, text) is 'Asks a workflow to cancel itself.';

create or replace function perdure.terminate_workflow(workflow_id text, reason text default null,
    run_id uuid default null, namespace text default 'default')
returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.terminate_workflow(perdure.shard_for($4 collate "C", $1), $4 collate "C", $1, $3, $2, null,
    session_user::text) $$;
comment on function perdure.terminate_workflow(text, text, uuid, text) is 'Ends a workflow at once.';

create or replace function perdure.reset_workflow(
    workflow_id text, event_id bigint default null, reset_type text default null, build_id text default null,
    patch text default null, reason text default null, run_id uuid default null, namespace text default 'default',
    options jsonb default '{}') returns uuid
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select perdure.reset_workflow(perdure.shard_for($8 collate "C", $1), $8 collate "C", $1, $7,
        perdure.present(jsonb_build_object('eventId', $2, 'type', $3, 'buildId', $4, 'patch', $5)), $6, null,
        session_user::text, $9)
$$;
comment on function perdure.reset_workflow(text, bigint, text, text, text, text, uuid, text, jsonb) is
    'Resets a workflow to the end of a workflow task: the one that event_id ends, the first or the last (reset_type '
    '=> ''FirstWorkflowTask'' or ''LastWorkflowTask''), the first one of a build, or the first one that took a patch. '
    'Returns the run that goes on from there.';

create or replace function perdure.describe_workflow(workflow_id text, run_id uuid default null,
    namespace text default 'default') returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.describe_workflow(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) $$;
comment on function perdure.describe_workflow(text, uuid, text) is
    'Everything that is known of a workflow, as one object.';

create or replace function perdure.workflow_result(
    workflow_id text, run_id uuid default null, namespace text default 'default',
    out status text, out result jsonb, out failure jsonb, out close_time timestamptz, out next_run_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select r.status, perdure.plain(r.result), r.failure, r.close_time, r.next_run_id
        from perdure.workflow_result(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) r
$$;
comment on function perdure.workflow_result(text, uuid, text) is 'How a workflow ended, its result as plain JSON.';

-- A procedure, because it commits the question before it waits for the answer.
create or replace procedure perdure.query_workflow(
    workflow_id text, query_type text, inout answer jsonb default null, input jsonb default null,
        run_id uuid default null, namespace text default 'default', timeout interval default '10 s')
language plpgsql
as $$
declare
    v_shard smallint := perdure.shard_for(namespace collate "C", workflow_id);
    v_query uuid;
    v_answer record;
begin
    v_query := perdure.start_query(v_shard, namespace collate "C", workflow_id, run_id, query_type,
        perdure.payloads(input), timeout);
    loop
        commit;
        select a.* into v_answer from perdure.query_answer(v_shard, v_query) a;
        exit when v_answer.state in ('answered', 'failed');
        perform pg_catalog.pg_sleep(0.02);
    end loop;
    if v_answer.state = 'failed' then
        raise exception 'the query failed: %', v_answer.failure ->> 'message' using errcode = 'PD009',
            hint = 'perdure.live_workers shows who could answer.';
    end if;
    answer := perdure.plain(v_answer.result);
end
$$;
comment on procedure perdure.query_workflow(text, text, jsonb, jsonb, uuid, text, interval) is
    'Asks a workflow and waits for the answer: call perdure.query_workflow(''id'', ''get_state'');';

create or replace function perdure.update_workflow(
    workflow_id text, update_name text, input jsonb default null, update_id text default null,
        run_id uuid default null, namespace text default 'default') returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select u.update_id from perdure.update_workflow(perdure.shard_for($6 collate "C", $1), $6 collate "C", $1, $5,
    $4, $2, perdure.payloads($3), session_user::text) u $$;
comment on function perdure.update_workflow(text, text, jsonb, text, uuid, text) is
    'Sends a running workflow an update with plain JSON, in the caller''s transaction. Returns the update''s id, by '
    'which perdure.update_result tells what became of it.';

create or replace function perdure.update_result(
    workflow_id text, update_id text, run_id uuid default null, namespace text default 'default',
    out state text, out result jsonb, out failure jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select u.state, perdure.plain(u.result), u.failure
    from perdure.update_outcome(perdure.shard_for($4 collate "C", $1), $4 collate "C", $1, $3, $2) u
$$;
comment on function perdure.update_result(text, text, uuid, text) is
    'The state of an update, and its result as plain JSON: admitted, accepted, completed, rejected, or aborted when '
    'its run closed before its code saw it.';

create or replace function perdure.forget_updates(
    workflow_id text, run_id uuid default null, namespace text default 'default') returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.forget_updates(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) $$;
comment on function perdure.forget_updates(text, uuid, text) is
    'Takes back the updates that a workflow has not accepted, if its workflow tasks have failed twice in a row: one of '
    'them may be why. Returns how many.';

-- A procedure, because it commits the update before it waits for its end.
create or replace procedure perdure.execute_update(
    workflow_id text, update_name text, inout result jsonb default null, input jsonb default null,
        update_id text default null, run_id uuid default null, namespace text default 'default',
        timeout interval default '10 s')
language plpgsql
as $$
declare
    v_until timestamptz := pg_catalog.clock_timestamp() + timeout;
    v_update text := perdure.update_workflow(workflow_id, update_name, input, update_id, run_id, namespace);
    v_outcome record;
begin
    loop
        commit;
        select o.* into v_outcome from perdure.update_result(workflow_id, v_update, run_id, namespace) o;
        exit when v_outcome.state not in ('admitted', 'accepted');
        if pg_catalog.clock_timestamp() > v_until then
            raise exception 'the update % is not completed yet, but %', v_update, v_outcome.state
                using errcode = 'PD013', hint = 'select * from perdure.update_result(…) tells of it later.';
        end if;
        perform pg_catalog.pg_sleep(0.02);
    end loop;
    if v_outcome.state = 'aborted' then
        raise exception 'the workflow closed before it saw the update' using errcode = 'PD006',
            hint = 'Start it anew.';
    elsif v_outcome.failure is not null then
        raise exception 'the update failed: %', v_outcome.failure ->> 'message' using errcode = 'PD015',
            detail = pg_catalog.format('It is %s.', v_outcome.state);
    end if;
    result := v_outcome.result;
end
$$;
comment on procedure perdure.execute_update(text, text, jsonb, jsonb, text, uuid, text, interval) is
    'Sends a workflow an update and waits for its outcome: '
    'call perdure.execute_update(''id'', ''add'', input => ''1'').';

create or replace function perdure.create_namespace(namespace text, retention interval default '30 days',
    description text default '') returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform perdure.check_name($1, 'namespace', perdure.maximum('namespace'));
    perform perdure.check_text($3, 'description', perdure.maximum('description'));
    if $2 is null or $2 <= interval '0' then
        raise exception 'the retention must be above zero' using errcode = 'PD003',
            hint = 'For example interval ''30 days''.';
    end if;
    if exists (select from perdure.namespaces n where n.namespace = $1 and n.deleted_at is not null) then
        raise exception 'the namespace % is being deleted', quote_ident(left($1, 100)) using errcode = 'PD003',
            hint = 'Choose another name.';
    end if;
    insert into perdure.namespaces as n (namespace, retention, description)
        values ($1, least($2, perdure.longest()), coalesce($3, ''))
    on conflict on constraint namespaces_pkey do update set retention = excluded.retention,
        description = excluded.description;
    -- Temporal's SDKs keep the versions that a workflow has taken in it.
    insert into perdure.search_attributes (namespace, name, type) values ($1, 'TemporalChangeVersion', 'KeywordList')
    on conflict do nothing;
end
$$;
comment on function perdure.create_namespace(text, interval, text) is
    'Creates a namespace, or changes how long it keeps closed runs: at most 100 years.';

create or replace function perdure.add_search_attribute(name text, type text, namespace text default 'default')
    returns void
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
    -- Programs may have search attributes with the names of these fields; then the search attributes win.
    if exists (select from perdure.list_filter_fields(null) f where f.name = $1
        and f.name not in ('Condition', 'Cause', 'FailingActivity', 'FailingBuild')) then
        raise exception 'search attribute % is one that every run has', $1 using errcode = 'PD003',
            hint = 'Choose another name.';
    end if;
    if not exists (select from perdure.namespaces n where n.namespace = $3 and n.deleted_at is null) then
        raise exception 'there is no namespace %', coalesce(quote_ident($3), 'null') using errcode = 'PD005',
            hint = 'Create it with perdure.create_namespace.';
    end if;
    insert into perdure.search_attributes as a (namespace, name, type) values ($3, $1, $2) on conflict
        on constraint search_attributes_pkey do nothing;
    select a.type into v_type from perdure.search_attributes a where a.namespace = $3 and a.name = $1;
    if v_type <> $2 then
        raise exception 'search attribute % has type %', quote_ident($1), v_type using errcode = 'PD008',
            hint = 'A type cannot be changed: add one with another name.';
    end if;
end
$$;
comment on function perdure.add_search_attribute(text, text, text) is
    'Adds a search attribute of that type to a namespace: its runs can have it from now on.';

create or replace function perdure.retry_now(workflow_id text, run_id uuid default null,
    namespace text default 'default') returns int
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select perdure.retry_now(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) $$;
comment on function perdure.retry_now(text, uuid, text) is
    'Tries at once what a workflow waits to try again: activities that failed, and its code. Returns how many waits '
    'ended.';

create or replace function perdure.verdict(workflow_id text, run_id uuid default null,
    namespace text default 'default') returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
    select v.verdict from perdure.find_run(perdure.shard_for($3 collate "C", $1), $3 collate "C", $1, $2) r
    cross join lateral perdure.run_verdict(r.shard, r.run_id) v
$$;
comment on function perdure.verdict(text, uuid, text) is
    'The state of a workflow as a sentence: what it waits for, or what fails. perdure.workflow_verdicts has more. '
    'Raises PD001.';

create or replace function perdure.pause_activity(workflow_id text, activity_id text, reason text default null,
    run_id uuid default null, namespace text default 'default') returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select from perdure.pause_activities(perdure.shard_for($5 collate "C", $1), $5 collate "C", $1, $4, $2, null,
    session_user::text, $3) $$;
comment on function perdure.pause_activity(text, text, text, uuid, text) is
    'Pauses an activity of a workflow: it is not tried until it is unpaused. If an attempt runs, its worker is told '
    'with the next heartbeat.';

create or replace function perdure.unpause_activity(workflow_id text, activity_id text,
    reset_attempts boolean default false, reset_heartbeat boolean default false, run_id uuid default null,
    namespace text default 'default') returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select from perdure.unpause_activities(perdure.shard_for($6 collate "C", $1), $6 collate "C", $1, $5, $2, null,
    false, $3, $4) $$;
comment on function perdure.unpause_activity(text, text, boolean, boolean, uuid, text) is
    'Lets a paused activity of a workflow go on.';

create or replace function perdure.reset_activity(workflow_id text, activity_id text,
    reset_heartbeat boolean default false, keep_paused boolean default false, restore_options boolean default false,
    run_id uuid default null, namespace text default 'default') returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select from perdure.reset_activities(perdure.shard_for($7 collate "C", $1), $7 collate "C", $1, $6, $2, null,
    false, $3, $4, null, $5) $$;
comment on function perdure.reset_activity(text, text, boolean, boolean, boolean, uuid, text) is
    'Begins an activity of a workflow anew, at attempt 1 and at once.';

create or replace function perdure.update_activity_options(workflow_id text, activity_id text, options jsonb,
    run_id uuid default null, namespace text default 'default') returns jsonb
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
    select perdure.update_activity_options(perdure.shard_for($5 collate "C", $1), $5 collate "C", $1, $4, $2, $3,
        array(select case when k.key = 'taskQueue' then 'taskQueue.name'
            when k.key in ('retryPolicy', 'priority') then k.key || '.' || m.key else k.key end
            from jsonb_each($3) k cross join lateral jsonb_object_keys(case when k.key in ('retryPolicy', 'priority')
                then k.value else '{"": null}' end) m (key)))
$$;
comment on function perdure.update_activity_options(text, text, jsonb, uuid, text) is
    'Changes those options of an activity of a workflow that are named, such as {"startToCloseTimeout": "60s", '
    '"retryPolicy": {"maximumAttempts": 5}}. Returns all its options.';
