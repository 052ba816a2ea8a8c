-- "Plain" is JSON for people. What takes the usual commands of many runs at once has other names now; those from before go.
drop function if exists perdure.complete_plainly(smallint, perdure.workers, timestamptz, jsonb);
drop function if exists perdure.complete_activities_plainly(smallint, perdure.workers, timestamptz, jsonb);
drop function if exists perdure.fire_timers_plainly(smallint, timestamptz, int, timestamptz);
drop function if exists perdure.are_plain_activities(jsonb);
drop function if exists perdure.is_plain_command(jsonb), perdure.is_plain_retry_policy(jsonb), perdure.is_plain_payloads(jsonb),
    perdure.is_plain_duration(jsonb), perdure.plain_duration(jsonb);
