-- A call that closed several runs at once could leave an activity behind that was claimed at that moment, and which then took the turns of
-- others when timeouts were looked for. What belongs to no open run goes.
delete from perdure.activity_tasks t
where not exists (select from perdure.run_states r where r.shard = t.shard and r.run_id = t.run_id);
delete from perdure.workflow_tasks t
where not exists (select from perdure.run_states r where r.shard = t.shard and r.run_id = t.run_id);
delete from perdure.timers t
where not exists (select from perdure.run_states r where r.shard = t.shard and r.run_id = t.run_id);
delete from perdure.request_ids t
where not exists (select from perdure.run_states r where r.shard = t.shard and r.run_id = t.run_id);
