-- Runs of a workflow id have numbers, and the current run is the one with the highest: docs/decisions/0013-current-run.md.
-- Which run is the current one was a comparison of start times before, and a clock that was set back made it a closed one.

alter table perdure.executions
    add column run_number bigint not null default 1,
    add column first_run_id uuid;
comment on column perdure.executions.run_number is
    'Which run of its workflow id it is, from 1. The run with the highest number is the current one.';
comment on column perdure.executions.first_run_id is
    'The first run of the chain that continued as this one; null for a run that is the first itself.';

-- Most ids have one run, and those rows are left alone.
update perdure.executions e set run_number = n.run_number
from (
    select r.shard, r.run_id, row_number() over (partition by r.shard, r.namespace, r.workflow_id
        order by r.status = 'Running', r.start_time, r.run_id) as run_number
    from perdure.executions r) n
where e.shard = n.shard and e.run_id = n.run_id and n.run_number > 1;

-- A start takes the next number while the run before is closed, so this index lets one starter win, and only one run be
-- open. It serves every look-up of a current run, too.
create unique index executions_by_run_number on perdure.executions (shard, workflow_id, namespace, run_number desc);
drop index perdure.executions_one_running;
