-- Claims and upkeep can be told since when to look: docs/decisions/0006-passes-look-back-a-little.md. The functions without that argument
-- would make calls ambiguous.
drop function if exists perdure.claim_workflow_tasks(smallint, uuid, text, int);
drop function if exists perdure.claim_activity_tasks(smallint, uuid, text, int);
drop function if exists perdure.upkeep(smallint, int);
drop function if exists perdure.fire_timers_plainly(smallint, timestamptz, int);
