-- Two indexes that begin with the shard look the same to a planner that knows no statistics, for a look-up by shard and
-- run id as well, and the newer one wins: a session that made its plans in a quiet minute then read the whole index at
-- each look-up of a run. So the one of run numbers begins with the workflow id
-- (docs/decisions/0023-costs-of-the-hot-path.md).
create unique index executions_by_number on perdure.executions (workflow_id, shard, namespace, run_number desc);
drop index perdure.executions_by_run_number;
alter index perdure.executions_by_number rename to executions_by_run_number;
