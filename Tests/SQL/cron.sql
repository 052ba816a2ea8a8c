-- Cron schedules: what Temporal's development server answered for the same schedules (and the rules of robfig/cron).
\set ECHO none
begin;
select no_plan();
create schema t;
create function t.next(p_schedule text, p_after timestamptz) returns text language sql
as $$ select to_char(perdure.cron_next(p_schedule, p_after) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') $$;
create function t.refusal(p_schedule text) returns text language plpgsql
as $$
begin
    perform perdure.check_cron_schedule(p_schedule);
    return 'accepted';
exception when sqlstate 'PD003' then return sqlerrm;
end
$$;

-- Each schedule was started on Temporal at 22:56:38.24 of Saturday, 28 November 2026, and got this execution time.
select is(t.next(schedule, '2026-11-28 22:56:38.24Z'), expected, schedule) from (values
    ('0 9 * * MON-FRI', '2026-11-30 09:00:00'),
    ('30 8-17/2 1,15 * *', '2026-12-01 08:30:00'),
    ('CRON_TZ=America/New_York 0 9 * * *', '2026-11-29 14:00:00'),
    ('@daily', '2026-11-29 00:00:00'),
    ('@monthly', '2026-12-01 00:00:00'),
    ('@weekly', '2026-11-29 00:00:00'),
    ('@yearly', '2027-01-01 00:00:00'),
    ('*/7 * * * *', '2026-11-28 23:00:00'),
    ('0 0 29 2 *', '2028-02-29 00:00:00'),
    ('0 0 13 * 5', '2026-12-04 00:00:00'),
    ('TZ=Asia/Tokyo 15 3 * JAN-MAR ?', '2026-12-31 18:15:00'),
    ('@every 1h30m10s', '2026-11-29 00:26:48'),
    ('@every 90s', '2026-11-28 22:58:08'),
    ('0 0 1 * SUN', '2026-11-29 00:00:00'),
    ('@every 1h', '2026-11-28 23:56:38'),
    ('CRON_TZ=Europe/Berlin @every 50s', '2026-11-28 22:57:28'),
    ('1-59/2 * * * *', '2026-11-28 22:57:00'),
    ('0 12 ? * SAT', '2026-12-05 12:00:00'),
    ('0 0 * * 0-6', '2026-11-29 00:00:00'),
    ('@every 0s', '2026-11-28 22:56:39'),
    ('@every -1s', '2026-11-28 22:56:39'),
    ('@every 1.9s', '2026-11-28 22:56:39'),
    ('@every 500ms', '2026-11-28 22:56:39'),
    -- These follow from the rules.
    ('59 23 31 12 *', '2026-12-31 23:59:00'),
    ('5/20 * * * *', '2026-11-28 23:05:00'),
    ('0 0 */10 * MON', '2026-11-30 00:00:00'),
    ('0 0 1-31 * MON', '2026-11-29 00:00:00'),
    ('56 22 * * *', '2026-11-29 22:56:00')
) s (schedule, expected);

-- Where clocks change, a time comes twice or never.
select is(t.next('CRON_TZ=Europe/Berlin 30 2 * * *', '2026-03-28 02:00Z'), '2026-03-30 00:30:00',
    'half past two does not come that day');
select is(t.next('CRON_TZ=Europe/Berlin 30 2 * * *', '2026-10-25 00:00Z'), '2026-10-25 00:30:00', 'it comes');
select is(t.next('CRON_TZ=Europe/Berlin 30 2 * * *', '2026-10-25 00:30Z'), '2026-10-25 01:30:00', 'and comes again');
set local timezone = 'Pacific/Apia';
select is(t.next('0 9 * * *', '2026-11-28 22:56:38.24Z'), '2026-11-29 09:00:00',
    'the zone of the session says nothing');

-- How long a run waits: whole seconds. Times that passed while the run before was open are left out.
select is(perdure.cron_backoff('@every 3s', '2026-01-01 00:00:00.25Z', '2026-01-01 00:00:00.5Z'), interval '3 s',
    'rounded up');
select is(perdure.cron_backoff('@every 3s', '2026-01-01 00:00:00Z', '2026-01-01 00:00:10Z'), interval '2 s',
    'in step with when the run before began');
select is(perdure.cron_backoff('@every 3s', '2026-01-01 00:00:00Z', '2026-01-01 00:00:09Z'), interval '0',
    'at once if it is due');
select is(perdure.cron_backoff('0 9 * * *', '2026-01-01 09:00Z', '2026-01-03 08:59:30Z'), interval '30 s',
    'days later');
select is(perdure.cron_backoff('@every 1s', '2020-01-01 00:00Z', '2026-01-01 00:00:00.5Z'), interval '1 s',
    'six years of seconds are passed over at once');

-- What Temporal refuses, in its words
select is(t.refusal(schedule), 'invalid CronSchedule.', schedule)
    from unnest(array['nonsense', '* * * *', '61 * * * *', '* * * * * *', '@every', '@every soon', '@every 1',
    '@sometimes', 'CRON_TZ=Nowhere/At_All * * * * *', '*/0 * * * *', '5-1 * * * *', '0 0 * * 7', '0 0 0 * *',
        '0 0 * 13 *', '0 0 * FOO *', '1-2-3 * * * *', ',1 * * * *',
    '@every 999999999999h', '; select 1', '* * * * MON-', '-1 * * * *']) schedule;
select is(t.refusal('0 0 30 2 *'), 'invalid CronSchedule, no time can be found to satisfy the schedule',
    'there is no 30th of February');
select is(t.refusal(repeat('* ', 600)), 'the cron schedule is longer than 1000 bytes', 'one that is too long');
select is(t.refusal(schedule), 'accepted', schedule) from unnest(array['* * * * *', '0 0 29 2 *',
    '0,30 8-17 * * mon,Wed', '@hourly', '@midnight', '@annually', 'TZ=UTC * * * * *']) schedule;
select * from finish();
rollback;
