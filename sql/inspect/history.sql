-- The history of a workflow's current run, one line an event.
--     \set workflow_id order-7
--     \i sql/inspect/history.sql
\if :{?workflow_id}
\else
\prompt 'workflow id: ' workflow_id
\endif
select h.event_id, to_char(h.event_time, 'HH24:MI:SS.US') as at, h.event_type, h.summary,
    left(coalesce(h.failure, h.result::text, h.input::text), 80) as value
from perdure.history_events h
where h.run_id = (
    select w.run_id from perdure.workflows w where w.workflow_id = :'workflow_id' order by w.run_number desc limit 1)
order by h.event_id;
