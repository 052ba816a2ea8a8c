-- The messages about updates with which a worker completes a workflow task: Acceptance, Rejection and Response of
-- temporal.api.update.v1. A command ProtocolMessage gives the place of a message's event among those of the other
-- commands.

create or replace function perdure.is_unwritten(p_task perdure.workflow_tasks) returns boolean
language sql immutable parallel safe
return p_task.attempt > 1 or p_task.scheduled_event_id = 0;
comment on function perdure.is_unwritten(perdure.workflow_tasks) is
    'Whether the WorkflowTaskScheduled of a task is written only when it ends: that of another attempt, or of a task '
    'that only updates wait for.';

create or replace function perdure.told_scheduled_event_id(p_task perdure.workflow_tasks, p_next_event_id bigint)
    returns bigint
language sql immutable parallel safe
return case when perdure.is_unwritten(p_task) then p_next_event_id else p_task.scheduled_event_id end;
comment on function perdure.told_scheduled_event_id(perdure.workflow_tasks, bigint) is
    'The id of a task''s WorkflowTaskScheduled that its worker was told.';

create or replace function perdure.message_kind(p_message jsonb) returns text
language sql immutable parallel safe
return substring(p_message #>> '{body,@type}' from 'temporal[.]api[.]update[.]v1[.](Acceptance|Rejection|Response)$');
comment on function perdure.message_kind(jsonb) is
    'The kind of a worker''s message about an update: Acceptance, Rejection or Response; null for anything else.';

create or replace function perdure.are_only_rejections(p_messages jsonb) returns boolean
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce((select bool_and(perdure.message_kind(m.value) is not distinct from 'Rejection')
        from jsonb_array_elements(p_messages) m), true);
end
$$;
comment on function perdure.are_only_rejections(jsonb) is 'Whether messages accept and complete nothing.';

create or replace function perdure.messages_in_order(p_commands jsonb, p_messages jsonb)
    returns table (message jsonb, has_command boolean)
language plpgsql immutable set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select m.value, c.place is not null
    from jsonb_array_elements(p_messages) with ordinality as m (value, place)
    left join lateral (
        select min(c.place) as place from jsonb_array_elements(p_commands) with ordinality as c (value, place)
        where c.value ->> 'commandType' = 'ProtocolMessage'
          and c.value #>> '{attributes,messageId}' = m.value ->> 'id') c on true
    order by coalesce(c.place, 0), m.place;
end
$$;
comment on function perdure.messages_in_order(jsonb, jsonb) is
    'Messages in the order in which they take effect: first those that no command names, then the others in the order '
    'of the commands.';

create or replace function perdure.check_messages(p_shard smallint, p_run_id uuid, p_commands jsonb, p_messages jsonb)
    returns text
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_messages jsonb := coalesce(nullif(p_messages, 'null'), '[]');
    v_message jsonb;
    v_id text;
    v_state text;
    v_states jsonb := '{}'::jsonb;
    v_kind text;
begin
    if jsonb_typeof(v_messages) <> 'array' or jsonb_path_exists(v_messages, 'strict $[*] ? (@.type() != "object")') then
        return 'the messages must be an array of objects';
    end if;
    v_kind := perdure.document_problem(v_messages, perdure.maximum('commands'), perdure.maximum('depth') + 8);
    if v_kind is not null then
        return format('the messages of the workflow task %s', v_kind);
    end if;
    select c.value #>> '{attributes,messageId}' into v_id from jsonb_array_elements(p_commands) c
    where c.value ->> 'commandType' = 'ProtocolMessage' and (
        select count(*) from jsonb_array_elements(v_messages) m
        where m.value ->> 'id' = c.value #>> '{attributes,messageId}') <> 1
    limit 1;
    if found then
        return format('there is no one message %s that a command names', coalesce(v_id, 'null'));
    end if;
    select c.value #>> '{attributes,messageId}' into v_id from jsonb_array_elements(p_commands) c
    where c.value ->> 'commandType' = 'ProtocolMessage' group by 1 having count(*) > 1 limit 1;
    if found then
        return format('two commands name message %s', v_id);
    end if;
    for v_message in select m.message from perdure.messages_in_order(p_commands, v_messages) m loop
        v_id := v_message ->> 'protocolInstanceId';
        v_kind := perdure.message_kind(v_message);
        if v_kind is null then
            return format('message %s is no Acceptance, Rejection or Response', coalesce(v_message ->> 'id', 'null'));
        end if;
        v_state := v_states ->> v_id;
        if v_state is null then
            select u.state into v_state from perdure.updates u
            where u.shard = p_shard and u.run_id = p_run_id and u.update_id = v_id;
        end if;
        if v_state is distinct from (case v_kind when 'Response' then 'accepted' else 'admitted' end) then
            return format('%s of update %s, which is %s', v_kind, coalesce(left(v_id, 200), 'null'), case
                when v_state is null then 'not there' when v_state = 'buffered' then 'not delivered' else v_state end);
        end if;
        if v_kind = 'Acceptance' and v_message #> '{body,acceptedRequestSequencingEventId}' is not null
            and not perdure.is_event_id(v_message #> '{body,acceptedRequestSequencingEventId}') then
            return format('the sequencing event of update %s is no event id', left(v_id, 200));
        end if;
        if v_kind = 'Response' then
            if (v_message #> '{body,outcome,success}' is null) = (v_message #> '{body,outcome,failure}' is null)
                or jsonb_typeof(v_message #> '{body,outcome,failure}') <> 'object' then
                return format('the outcome of update %s is neither a success nor a failure', left(v_id, 200));
            end if;
            begin
                perform perdure.check_payloads(v_message #> '{body,outcome,success}', 'result of an update');
            exception when sqlstate 'PD003' or sqlstate 'PD004' then
                return sqlerrm;
            end;
        end if;
        v_states := v_states || jsonb_build_object(v_id, case v_kind when 'Acceptance' then 'accepted'
            when 'Response' then 'completed' else 'rejected' end);
    end loop;
    return null;
end
$$;
comment on function perdure.check_messages(smallint, uuid, jsonb, jsonb) is
    'Why a workflow task with these messages must fail; null when they are good.';

create or replace function perdure.reject_update(p_shard smallint, p_run perdure.run_states, p_now timestamptz,
    p_update_id text, p_failure jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    update perdure.updates u set state = 'rejected', failure = p_failure, request = null,
        expires_at = p_now + interval '1 minute'
    where u.shard = p_shard and u.run_id = p_run.run_id and u.update_id = p_update_id;
    update perdure.run_states r set updates_total = r.updates_total - 1, updates_open = r.updates_open - 1,
        updates_undelivered = r.updates_undelivered - 1
    where r.shard = p_shard and r.run_id = p_run.run_id;
    perform perdure.tell_of_update(p_run.namespace, p_run.run_id, p_update_id);
end
$$;
comment on function perdure.reject_update(smallint, perdure.run_states, timestamptz, text, jsonb) is
    'Rejects an update: writes no event, and clients that wait for the update learn the reason.';

create or replace function perdure.tell_of_update(p_namespace text, p_run_id uuid, p_update_id text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    if perdure.are_results_awaited(p_namespace) then
        perform pg_notify(perdure.result_channel(p_namespace), p_run_id || ' ' || p_update_id);
    end if;
end
$$;
comment on function perdure.tell_of_update(text, uuid, text) is
    'Notifies clients that wait that an update has reached another stage. The message, on the channel of results, is '
    'the id of the run and that of the update.';

create or replace function perdure.apply_message(p_shard smallint, p_run perdure.run_states, p_now timestamptz,
    p_message jsonb, p_event_id bigint) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_body jsonb := p_message -> 'body';
    v_id text := p_message ->> 'protocolInstanceId';
    v_update perdure.updates;
begin
    select * into v_update from perdure.updates u
    where u.shard = p_shard and u.run_id = p_run.run_id and u.update_id = v_id for update;
    case perdure.message_kind(p_message)
    when 'Rejection' then
        perform perdure.reject_update(p_shard, p_run, p_now, v_id,
            perdure.fit_failure(coalesce(nullif(v_body -> 'failure', 'null'),
                '{"message": "the update was rejected"}')));
    when 'Acceptance' then
        update perdure.updates u set state = 'accepted', accepted_event_id = p_event_id, request = null
        where u.shard = p_shard and u.run_id = p_run.run_id and u.update_id = v_id;
        update perdure.run_states r set updates_undelivered = r.updates_undelivered - 1
        where r.shard = p_shard and r.run_id = p_run.run_id;
        perform perdure.tell_of_update(p_run.namespace, p_run.run_id, v_id);
        return perdure.event('WorkflowExecutionUpdateAccepted', jsonb_build_object(
            'protocolInstanceId', v_id,
            'acceptedRequestMessageId', coalesce(nullif(perdure.cut_text(v_body ->> 'acceptedRequestMessageId', 1000),
                ''), v_id || '/request'),
            'acceptedRequestSequencingEventId', (v_body ->> 'acceptedRequestSequencingEventId')::bigint,
            -- The event by which an update was admitted has its request, which is not written twice.
            'acceptedRequest', case when v_update.admitted_event_id is null then v_update.request end));
    when 'Response' then
        update perdure.updates u set state = 'completed', completed_event_id = p_event_id
        where u.shard = p_shard and u.run_id = p_run.run_id and u.update_id = v_id;
        update perdure.run_states r set updates_open = r.updates_open - 1
        where r.shard = p_shard and r.run_id = p_run.run_id;
        perform perdure.tell_of_update(p_run.namespace, p_run.run_id, v_id);
        return perdure.event('WorkflowExecutionUpdateCompleted', jsonb_build_object(
            'meta', jsonb_build_object('updateId', v_id, 'identity', v_update.identity),
            'acceptedEventId', v_update.accepted_event_id,
            'outcome', case when v_body #> '{outcome,failure}' is null
                then jsonb_build_object('success', v_body #> '{outcome,success}')
                else jsonb_build_object('failure', perdure.fit_failure(v_body #> '{outcome,failure}')) end));
    end case;
    return null;
end
$$;
comment on function perdure.apply_message(smallint, perdure.run_states, timestamptz, jsonb, bigint) is
    'Applies a message to its update. Returns the event that tells of it, which has the given id; null for a '
    'rejection.';

create or replace function perdure.updates_to_deliver(p_shard smallint, p_run_id uuid) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select jsonb_agg(case when u.admitted_event_id is null then u.request
            else u.request || jsonb_build_object('admittedEventId', u.admitted_event_id) end order by u.place)
        from perdure.updates u
        where u.shard = p_shard and u.run_id = p_run_id and u.state = 'admitted');
end
$$;
comment on function perdure.updates_to_deliver(smallint, uuid) is
    'The updates that are delivered with a run''s workflow task, in order; null for none. An update that a reset took '
    'over has its event as admittedEventId.';

create or replace function perdure.admit_buffered_updates(p_shard smallint, p_run_id uuid) returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
    update perdure.updates u set state = 'admitted'
    where u.shard = p_shard and u.run_id = p_run_id and u.state = 'buffered';
    return found;
end
$$;
comment on function perdure.admit_buffered_updates(smallint, uuid) is
    'Lets the next workflow task deliver the updates that came while one was started. Returns whether there are any.';

create or replace function perdure.settle_updates(p_shard smallint, p_run perdure.run_states, p_now timestamptz)
    returns boolean
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_id text;
begin
    for v_id in select u.update_id from perdure.updates u
        where u.shard = p_shard and u.run_id = p_run.run_id and u.state = 'admitted' order by u.place loop
        perform perdure.reject_update(p_shard, p_run, p_now, v_id, jsonb_build_object('message',
            'Workflow Update is rejected because it wasn''t processed by worker. Probably, Workflow Update is not '
            'supported by the worker.', 'source', 'Server', 'applicationFailureInfo',
            jsonb_build_object('type', 'UnprocessedUpdate', 'nonRetryable', true)));
    end loop;
    return perdure.admit_buffered_updates(p_shard, p_run.run_id);
end
$$;
comment on function perdure.settle_updates(smallint, perdure.run_states, timestamptz) is
    'Called when a workflow task was completed: rejects updates that it delivered and that its worker did not '
    'mention, as in Temporal. Returns whether other updates came meanwhile, for which the run needs another task.';

create or replace function perdure.drop_workflow_task(p_shard smallint, p_worker perdure.workers,
    p_run perdure.run_states, p_now timestamptz, p_item jsonb) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
declare
    v_message jsonb;
begin
    for v_message in
        select m.value from jsonb_array_elements(coalesce(nullif(p_item -> 'messages', 'null'), '[]')) m loop
        perform perdure.apply_message(p_shard, p_run, p_now, v_message, null);
    end loop;
    delete from perdure.workflow_tasks t where t.shard = p_shard and t.run_id = p_run.run_id;
    p_run.sticky_worker := case when coalesce((p_item ->> 'sticky')::boolean, true) then p_worker.worker_id end;
    update perdure.run_states r set sticky_worker = p_run.sticky_worker, sticky_event_id = p_run.next_event_id,
        workflow_task_failure = null, workflow_task_failed_attempts = 0
    where r.shard = p_shard and r.run_id = p_run.run_id;
    if perdure.settle_updates(p_shard, p_run, p_now) then
        perform perdure.schedule_workflow_task(p_shard, p_run, p_now, 0);
    end if;
end
$$;
comment on function perdure.drop_workflow_task(smallint, perdure.workers, perdure.run_states, timestamptz, jsonb) is
    'Ends a workflow task for which only updates waited and which rejected all of them: it leaves no event, and its '
    'worker forgets it.';
