-- The runs that closed badly of late, and why.
--     \i sql/inspect/failures.sql
select w.close_time, w.status, w.workflow_type, w.workflow_id,
    left(coalesce(w.failure #>> '{cause,message}', w.failure ->> 'message'), 120) as why
from perdure.workflows w
where w.status in ('Failed', 'TimedOut', 'Terminated') and w.close_time > clock_timestamp() - interval '1 day'
order by w.close_time desc limit 50;
