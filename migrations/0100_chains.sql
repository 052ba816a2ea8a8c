-- Runs that follow each other: continue-as-new, retries, cron schedules (docs/decisions/0032-chains-of-runs.md).

alter table perdure.run_states add column cron_schedule text;
comment on column perdure.run_states.cron_schedule is
    'When the run after this one starts; null for a run without a cron schedule.';

insert into perdure.settings (name, value, description) values
    ('run_interval', '"1s"', 'The least time between the first workflow tasks of two runs that follow each other')
on conflict do nothing;

-- What a closed run is followed by, as the functions hand it to each other.
create type perdure.next_run as (run_id uuid, retry_state text, backoff interval, start jsonb);
comment on type perdure.next_run is
    'The run that follows one that closes: its id, when its first workflow task may run, and what it starts with. '
    'Without an id none follows, and retry_state says why there is no other attempt.';

-- They take the first run of a chain as well.
drop function if exists perdure.request_cancel_workflow(smallint, text, text, uuid, text, text, text);
drop function if exists perdure.terminate_workflow(smallint, text, text, uuid, text, jsonb, text);
-- They tell which run follows.
drop function if exists perdure.workflow_result(text, uuid, text);
drop function if exists perdure.workflow_result(smallint, text, text, uuid);
