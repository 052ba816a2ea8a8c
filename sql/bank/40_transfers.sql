-- Transfers, as the transfer page and its API show them: what the engine knows of each TransferWorkflow.
--
-- Functions that are called for each row are PL/pgSQL, which keeps the plans of its statements for the session. A SQL
-- function within another one is planned anew at every call, which takes longer than reading the rows.

-- Which steps a transfer has completed, and which one it is at, from its history. The name of a step is the id of its
-- activity.
create or replace function bank.transfer_progress(
    p_shard smallint, p_run_id uuid, out completed_steps text[], out current_step text, out attempts json
)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    with event as materialized (
        select e.event_id, e.event_type, e.attributes
        from perdure.history_events e
        where e.shard = p_shard and e.run_id = p_run_id
          and e.event_type in ('ActivityTaskScheduled', 'ActivityTaskStarted', 'ActivityTaskCompleted',
              'ActivityTaskFailed', 'ActivityTaskTimedOut',
                               'ActivityTaskCanceled')
    ),
    scheduled as (
        select e.event_id, e.attributes ->> 'activityId' as step from event e
            where e.event_type = 'ActivityTaskScheduled'
    ),
    ended as (
        select (e.attributes ->> 'scheduledEventId')::bigint as event_id, e.event_type
        from event e where e.event_type not in ('ActivityTaskScheduled', 'ActivityTaskStarted')
    ),
    tried as (
        select (e.attributes ->> 'scheduledEventId')::bigint as event_id, (e.attributes ->> 'attempt')::int as attempt
        from event e where e.event_type = 'ActivityTaskStarted'
        union all
        select a.scheduled_event_id, a.attempt from perdure.pending_activities a where a.shard = p_shard
            and a.run_id = p_run_id
    ),
    last_tried as (
        select t.event_id, max(t.attempt) as attempt from tried t group by t.event_id
    )
    select coalesce(array_agg(s.step order by s.event_id) filter (where e.event_type = 'ActivityTaskCompleted'), '{}'),
           (array_agg(s.step order by s.event_id desc) filter (where e.event_id is null))[1],
           coalesce(json_object_agg(s.step, coalesce(t.attempt, 1)
               order by s.event_id) filter (where s.step is not null), '{}')
    into completed_steps, current_step, attempts
    from scheduled s left join ended e using (event_id) left join last_tried t using (event_id);
end
$$;
comment on function bank.transfer_progress(smallint, uuid) is
    'The steps that a transfer has completed, in order, the one that is under way, if any, and how often each was '
    'tried.';

create or replace view bank.transfers as
select w.workflow_id, w.run_id,
       upper(regexp_replace(w.status, '([a-z])([A-Z])', '\1_\2', 'g')) as status,
       w.start_time, w.close_time,
       bank.short_text(i.input -> 'from_account', 64) as from_account,
       bank.short_text(i.input -> 'to_account', 64) as to_account,
       bank.amount(i.input -> 'amount')::numeric(20, 2) as amount,
       w.search_attributes, perdure.plain(w.result) as result, w.failure, w.shard, w.run_number
from perdure.workflows w
cross join lateral (select perdure.plain(w.input) as input) i
where w.namespace = 'default' and w.workflow_type = 'TransferWorkflow';
comment on view bank.transfers is 'One row is a transfer, running or ended.';
comment on column bank.transfers.workflow_id is 'The transfer''s workflow.';
comment on column bank.transfers.run_id is 'The transfer''s run.';
comment on column bank.transfers.status is 'RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED or TIMED_OUT.';
comment on column bank.transfers.start_time is 'When it was started.';
comment on column bank.transfers.close_time is 'When it ended; null while it runs.';
comment on column bank.transfers.from_account is 'The account that pays; null if the input names none.';
comment on column bank.transfers.to_account is 'The account that is paid; null if the input names none.';
comment on column bank.transfers.amount is 'How much, in units with two decimals; null if the input holds no amount.';
comment on column bank.transfers.search_attributes is 'from_account and to_account, by which transfers are found.';
comment on column bank.transfers.result is 'What a completed transfer returned.';
comment on column bank.transfers.failure is 'Why a transfer failed.';
comment on column bank.transfers.shard is
    'perdure.shard_for(''default'', workflow_id): look a transfer up by it and the workflow''s or run''s id.';
comment on column bank.transfers.run_number is
    'Which run of its workflow id it is, from 1. The run with the highest number is the current one.';

-- How a transfer ended, always in one shape: its own result, the result in the details of a business failure, or what
-- is known of a transfer that was ended from outside.
create or replace function bank.transfer_result(t bank.transfers) returns json
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_result jsonb := coalesce(t.result, t.failure #> '{applicationFailureInfo,details,0,data}');
begin
    if t.status = 'RUNNING' then
        return null;
    end if;
    return json_build_object(
        'success', t.status = 'COMPLETED',
        'from_account', t.from_account,
        'to_account', t.to_account,
        'amount', t.amount,
        'from_account_starting_balance', bank.amount(v_result -> 'from_account_starting_balance'),
        'to_account_starting_balance', bank.amount(v_result -> 'to_account_starting_balance'),
        'error_message', case when t.status <> 'COMPLETED' then coalesce(
            bank.short_text(v_result -> 'error_message', 1000), bank.short_text(t.failure -> 'message', 1000),
            'the transfer ' || case t.status
                when 'FAILED' then 'failed' when 'TIMED_OUT' then 'timed out' else 'was ' || lower(t.status) end) end);
end
$$;
comment on function bank.transfer_result(bank.transfers) is
    'How a transfer ended, as the transfer API writes it; null while it runs.';

create or replace function bank.transfer_document(t bank.transfers) returns json
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_steps     text[] := array['check_balance_from', 'check_balance_to', 'withdraw', 'deposit'];
    v_completed text[];
    v_current   text;
    v_attempts  json;
    v_pending   record;
    v_stuck     record;
    v_books     record;
begin
    select p.completed_steps, p.current_step, p.attempts into v_completed, v_current, v_attempts
        from bank.transfer_progress(t.shard, t.run_id) p;
    if t.status = 'COMPLETED' then
        v_completed := v_steps;
    end if;
    if t.status = 'RUNNING' then
        -- Between two steps the transfer is at the first step that it has not completed.
        v_current := coalesce(v_current, (
            select step.name from unnest(v_steps) with ordinality as step (name, place)
            where step.name <> all (v_completed) order by step.place limit 1));
    else
        v_current := null;
    end if;
    select a.attempt, left(a.last_failure_message, 1000) as last_failure_message, a.next_attempt_time into v_pending
    from perdure.pending_activities a
    where t.status = 'RUNNING' and a.shard = t.shard and a.run_id = t.run_id
    order by a.scheduled_time desc
    limit 1;
    -- A workflow task that keeps failing is a bug in the workflow's code: it waits for a worker with the fix.
    select w.workflow_task_attempt as attempt, bank.short_text(w.workflow_task_failure #> '{failure,message}',
        1000) as message
    into v_stuck
    from perdure.workflows w
    where t.status = 'RUNNING' and w.shard = t.shard and w.run_id = t.run_id and w.workflow_task_failure is not null;
    select * into v_books from bank.transfer_movements(t.run_id::text, t.to_account);
    return json_build_object(
        'mode', 'durable',
        'workflow_id', t.workflow_id,
        'run_id', t.run_id,
        'status', t.status,
        'start_time', extract(epoch from t.start_time),
        'close_time', extract(epoch from t.close_time),
        'input', json_build_object('from_account', t.from_account, 'to_account', t.to_account, 'amount', t.amount),
        'result', bank.transfer_result(t),
        'steps', case when v_current = 'refund' or 'refund' = any (v_completed) then v_steps || 'refund'::text
            else v_steps end,
        'current_step', v_current,
        'completed_steps', v_completed,
        'attempt', v_pending.attempt,
        'attempts', v_attempts,
        'last_failure', v_pending.last_failure_message,
        'next_attempt_time', extract(epoch from v_pending.next_attempt_time),
        'task_attempt', v_stuck.attempt,
        'task_failure', v_stuck.message,
        'entries', v_books.entries,
        'verdict', bank.verdict(t.status, (t.amount * 100)::bigint, v_books.withdrawn_cents, v_books.deposited_cents,
            v_books.received_cents));
end
$$;
comment on function bank.transfer_document(bank.transfers) is 'A transfer as the transfer API writes it.';

create or replace function bank.account_transfer_document(t bank.transfers, account text) returns json
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
begin
    -- The two objects are joined as text, because jsonb would lose the order of the members.
    return (left(bank.transfer_document(t)::text, -1) || ', ' || substr(json_build_object(
        'direction', case account when t.from_account then 'sent' else 'received' end,
        'counterparty', case account when t.from_account then t.to_account else t.from_account end)::text, 2))::json;
end
$$;
comment on function bank.account_transfer_document(bank.transfers, text) is
    'A transfer as one account''s list shows it: whether the account sent or received it, and who the other one is.';

create or replace function bank.account_summary(p_account text) returns json
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select json_build_object(
        'total_sent', coalesce(sum(t.amount) filter (where t.sent and t.status = 'COMPLETED'), 0.00),
        'total_received', coalesce(sum(t.amount) filter (where not t.sent and t.status = 'COMPLETED'), 0.00),
        'net_change', coalesce(sum(case when t.sent then -t.amount
            else t.amount end) filter (where t.status = 'COMPLETED'), 0.00),
        'transaction_count', count(*),
        'completed_count', count(*) filter (where t.status = 'COMPLETED'),
        'failed_count', count(*) filter (where t.status not in ('COMPLETED', 'RUNNING')),
        'running_count', count(*) filter (where t.status = 'RUNNING'))
    from (
        select true as sent, s.amount, s.status
        from bank.transfers s
        where s.search_attributes @> jsonb_build_object('from_account', p_account)
        union all
        select false, r.amount, r.status
        from bank.transfers r
        where r.search_attributes @> jsonb_build_object('to_account', p_account)
    ) t
$$;
comment on function bank.account_summary(text) is
    'What all of an account''s transfers, found by their search attributes, add up to.';
