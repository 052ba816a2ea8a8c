-- The journal with what caused each entry, for audits and for the books page.

create or replace function bank.entry_cause(
    p_workflow_id text, p_run_id text, p_activity_id text,
    out cause text, out scheduled_event_id bigint, out ended_event_id bigint, out attempt int
)
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
    v_shard  smallint;
    v_run_id uuid;
begin
    if p_workflow_id is null or p_run_id is null or p_activity_id is null then
        cause := 'none';
        return;
    end if;
    cause := 'unknown';
    if p_run_id !~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then
        return;
    end if;
    v_shard := perdure.shard_for('default', p_workflow_id);
    v_run_id := p_run_id::uuid;
    select h.event_id into scheduled_event_id
    from perdure.history_events h
    where h.shard = v_shard and h.run_id = v_run_id and h.workflow_id = p_workflow_id
      and h.event_type = 'ActivityTaskScheduled' and h.attributes ->> 'activityId' = p_activity_id
    order by h.event_id desc limit 1;
    if scheduled_event_id is null then
        return;
    end if;
    cause := 'pending';
    select case h.event_type when 'ActivityTaskCompleted' then 'completed' else 'failed' end, h.event_id
    into cause, ended_event_id
    from perdure.history_events h
    where h.shard = v_shard and h.run_id = v_run_id
      and h.event_type in ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut',
          'ActivityTaskCanceled')
      and (h.attributes ->> 'scheduledEventId')::bigint = entry_cause.scheduled_event_id
    limit 1;
    cause := coalesce(cause, 'pending');
    select max((h.attributes ->> 'attempt')::int) into attempt
    from perdure.history_events h
    where h.shard = v_shard and h.run_id = v_run_id and h.event_type = 'ActivityTaskStarted'
      and (h.attributes ->> 'scheduledEventId')::bigint = entry_cause.scheduled_event_id;
    if attempt is null then
        select a.attempt into attempt from perdure.pending_activities a
        where a.shard = v_shard and a.run_id = v_run_id and a.scheduled_event_id = entry_cause.scheduled_event_id;
    end if;
end
$$;
comment on function bank.entry_cause(text, text, text) is
    'The event of a history that caused a journal entry. cause is completed, pending (the activity still runs), '
    'failed (the activity moved money, but its workflow was told that it had failed), unknown (no history has such an '
    'activity) or none (the entry names no workflow).';

create or replace view bank.journal as
select e.entry_id, e.created_at, e.kind, e.outcome, e.account_id,
       (e.amount_cents * 0.01)::numeric(20, 2) as amount, (e.new_cents * 0.01)::numeric(20, 2) as balance,
       e.transfer_id, coalesce(d.mode, case when e.workflow_id is not null then 'durable' end) as mode,
       e.workflow_id, e.run_id, e.activity_id, c.cause, c.scheduled_event_id, c.ended_event_id, c.attempt,
       e.idempotency_key, e.memo
from bank.journal_entries e
cross join lateral bank.entry_cause(e.workflow_id, e.run_id, e.activity_id) c
left join bank.direct_transfers d on d.transfer_id = case
    when e.transfer_id ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$' then e.transfer_id::uuid end;
comment on view bank.journal is
    'One row is a journal entry and the event that caused it: select * from bank.journal order by entry_id desc limit '
    '20.';
comment on column bank.journal.entry_id is 'The entry.';
comment on column bank.journal.created_at is 'When it was written.';
comment on column bank.journal.kind is 'opening, withdrawal, deposit or reset.';
comment on column bank.journal.outcome is 'posted or refused.';
comment on column bank.journal.account_id is 'The customer''s account, of a withdrawal or deposit.';
comment on column bank.journal.amount is 'How much, in units with two decimals.';
comment on column bank.journal.balance is 'What the account held afterwards.';
comment on column bank.journal.transfer_id is 'The transfer that it is part of.';
comment on column bank.journal.mode is 'plain, retrying or durable; null when no transfer is known.';
comment on column bank.journal.workflow_id is 'The workflow that asked.';
comment on column bank.journal.run_id is 'The run that asked.';
comment on column bank.journal.activity_id is 'The activity that asked.';
comment on column bank.journal.cause is 'completed, pending, failed, unknown or none: see bank.entry_cause.';
comment on column bank.journal.scheduled_event_id is 'The event by which the workflow decided on the movement.';
comment on column bank.journal.ended_event_id is 'The event by which the workflow knows of the movement.';
comment on column bank.journal.attempt is 'Which attempt of the activity was the last.';
comment on column bank.journal.idempotency_key is
    'The idempotency key of the movement: a repeat with this key got the first answer.';
comment on column bank.journal.memo is 'A few words for people.';
