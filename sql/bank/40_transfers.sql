-- Transfers, as the transfer page and its API show them: what the engine knows of each TransferWorkflow.

-- Which steps a transfer has behind it, and which one it is at, from its history. A step's name is its activity's id.
create or replace function bank.transfer_progress(
    p_workflow_id text, p_run_id uuid, out completed_steps text[], out current_step text
)
language sql stable set search_path = pg_catalog, pg_temp
as $$
    with scheduled as (
        select e.event_id, e.attributes ->> 'activityId' as step
        from perdure.history_events e
        where e.workflow_id = p_workflow_id and e.run_id = p_run_id and e.event_type = 'ActivityTaskScheduled'
    ),
    ended as (
        select (e.attributes ->> 'scheduledEventId')::bigint as event_id, e.event_type
        from perdure.history_events e
        where e.workflow_id = p_workflow_id and e.run_id = p_run_id
          and e.event_type in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled')
    )
    select coalesce(array_agg(s.step order by s.event_id) filter (where e.event_type = 'ActivityTaskCompleted'), '{}'),
           (array_agg(s.step order by s.event_id desc) filter (where e.event_id is null))[1]
    from scheduled s left join ended e using (event_id)
$$;
comment on function bank.transfer_progress(text, uuid) is
    'The steps that a transfer has completed, in order, and the one that is under way, if any.';

create or replace view bank.transfers as
select w.workflow_id, w.run_id,
       upper(regexp_replace(w.status, '([a-z])([A-Z])', '\1_\2', 'g')) as status,
       w.start_time, w.close_time,
       i.input ->> 'from_account' as from_account,
       i.input ->> 'to_account' as to_account,
       (i.input ->> 'amount')::numeric(20, 2) as amount,
       w.search_attributes, perdure.plain(w.result) as result, w.failure
from perdure.workflows w
cross join lateral (select perdure.plain(w.input) as input) i
where w.namespace = 'default' and w.workflow_type = 'TransferWorkflow';
comment on view bank.transfers is 'One row is a transfer, running or ended.';
comment on column bank.transfers.workflow_id is 'The transfer''s workflow.';
comment on column bank.transfers.run_id is 'The transfer''s run.';
comment on column bank.transfers.status is 'RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED or TIMED_OUT.';
comment on column bank.transfers.start_time is 'When it was started.';
comment on column bank.transfers.close_time is 'When it ended; null while it runs.';
comment on column bank.transfers.from_account is 'The account that pays.';
comment on column bank.transfers.to_account is 'The account that is paid.';
comment on column bank.transfers.amount is 'How much, in units with two decimals.';
comment on column bank.transfers.search_attributes is 'from_account and to_account, by which transfers are found.';
comment on column bank.transfers.result is 'What a completed transfer returned.';
comment on column bank.transfers.failure is 'Why a transfer failed.';

-- How a transfer ended, in one shape whatever ended it: its own result, the result that a business failure carries as its
-- details, or what is known of a transfer that was ended from outside.
create or replace function bank.transfer_result(t bank.transfers) returns json
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select case when t.status = 'RUNNING' then null else json_build_object(
        'success', t.status = 'COMPLETED',
        'from_account', t.from_account,
        'to_account', t.to_account,
        'amount', t.amount,
        'from_account_starting_balance', (r ->> 'from_account_starting_balance')::numeric(20, 2),
        'to_account_starting_balance', (r ->> 'to_account_starting_balance')::numeric(20, 2),
        'error_message', case when t.status <> 'COMPLETED' then
            coalesce(r ->> 'error_message', t.failure ->> 'message', 'the transfer was ' || lower(replace(t.status, '_', ' '))) end)
    end
    from coalesce(t.result, t.failure -> 'applicationFailureInfo' -> 'details' -> 0 -> 'data') r
$$;
comment on function bank.transfer_result(bank.transfers) is 'How a transfer ended, as the transfer API writes it; null while it runs.';

create or replace function bank.transfer_document(t bank.transfers) returns json
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select json_build_object(
        'workflow_id', t.workflow_id,
        'run_id', t.run_id,
        'status', t.status,
        'start_time', extract(epoch from t.start_time),
        'close_time', extract(epoch from t.close_time),
        'input', json_build_object('from_account', t.from_account, 'to_account', t.to_account, 'amount', t.amount),
        'result', bank.transfer_result(t),
        'steps', case when 'refund' = any (p.completed_steps) or p.current_step = 'refund'
            then '["check_balance_from","check_balance_to","withdraw","deposit","refund"]'::json
            else '["check_balance_from","check_balance_to","withdraw","deposit"]'::json end,
        'current_step', case when t.status = 'RUNNING' then coalesce(p.current_step, (
            select s from unnest('{check_balance_from,check_balance_to,withdraw,deposit}'::text[]) with ordinality as step (s, n)
            where s <> all (p.completed_steps) order by n limit 1)) end,
        'completed_steps', p.completed_steps,
        'attempt', a.attempt,
        'last_failure', a.last_failure_message,
        'next_attempt_time', extract(epoch from a.next_attempt_time))
    from (
        select '{check_balance_from,check_balance_to,withdraw,deposit}'::text[] as completed_steps, null::text as current_step
        where t.status = 'COMPLETED'
        union all
        select h.completed_steps, h.current_step
        from bank.transfer_progress(t.workflow_id, t.run_id) h
        where t.status <> 'COMPLETED'
    ) p
    left join lateral (
        select pa.attempt, pa.last_failure_message, pa.next_attempt_time
        from perdure.pending_activities pa
        where t.status = 'RUNNING' and pa.workflow_id = t.workflow_id and pa.run_id = t.run_id
        order by pa.scheduled_time desc
        limit 1
    ) a on true
$$;
comment on function bank.transfer_document(bank.transfers) is 'A transfer as the transfer API writes it.';

create or replace function bank.account_transfer_document(t bank.transfers, account text) returns json
language sql stable set search_path = pg_catalog, pg_temp
as $$
    -- Joined as text: jsonb would lose the order of the members.
    select (left(bank.transfer_document(t)::text, -1) || ', ' || substr(json_build_object(
        'direction', case account when t.from_account then 'sent' else 'received' end,
        'counterparty', case account when t.from_account then t.to_account else t.from_account end)::text, 2))::json
$$;
comment on function bank.account_transfer_document(bank.transfers, text) is
    'A transfer as one account''s list shows it: whether the account sent or received it, and who the other one is.';

create or replace function bank.account_summary(p_account text) returns json
language sql stable set search_path = pg_catalog, pg_temp
as $$
    select json_build_object(
        'total_sent', coalesce(sum(t.amount) filter (where t.sent and t.status = 'COMPLETED'), 0.00),
        'total_received', coalesce(sum(t.amount) filter (where not t.sent and t.status = 'COMPLETED'), 0.00),
        'net_change', coalesce(sum(case when t.sent then -t.amount else t.amount end) filter (where t.status = 'COMPLETED'), 0.00),
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
comment on function bank.account_summary(text) is 'What all of an account''s transfers, found by their search attributes, add up to.';
