-- Where the time of a workflow's current run went: a bar for each activity and timer, over the time of the run.
--     \set workflow_id order-7
--     \i sql/inspect/timeline.sql
\if :{?workflow_id}
\else
\prompt 'workflow id: ' workflow_id
\endif
with run as (
    select w.run_id, w.start_time, extract(epoch from coalesce(w.close_time, clock_timestamp()) - w.start_time)
        as seconds
    from perdure.workflows w where w.workflow_id = :'workflow_id' order by w.run_number desc limit 1
), events as (
    select h.* from perdure.history_events h join run using (run_id)
), spans as (
    select s.event_id, coalesce(s.attributes #>> '{activityType,name}', 'timer ' || (s.attributes ->> 'timerId'))
        as what,
        s.event_time as began, e.event_time as ended, coalesce(replace(replace(e.event_type, 'ActivityTask', ''),
            'Timer', ''), 'open') as outcome
    from events s
    left join events e on e.event_type in (
            'ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut', 'ActivityTaskCanceled', 'TimerFired',
                'TimerCanceled')
        and coalesce(e.attributes ->> 'scheduledEventId', e.attributes ->> 'startedEventId') = s.event_id::text
    where s.event_type in ('ActivityTaskScheduled', 'TimerStarted')
)
select p.event_id, p.what, p.outcome,
    round(extract(epoch from p.began - r.start_time), 3) as starts_at,
    round(extract(epoch from coalesce(p.ended, clock_timestamp()) - p.began), 3) as seconds,
    rpad(repeat(' ', (40 * extract(epoch from p.began - r.start_time) / greatest(r.seconds, 0.000001))::int)
        || repeat('#', greatest(1, (40 * extract(epoch
            from coalesce(p.ended, clock_timestamp()) - p.began) / greatest(r.seconds, 0.000001))::int)), 41)
            as timeline
from spans p cross join run r
order by p.event_id;
