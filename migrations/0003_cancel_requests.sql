-- An activity that was cancelled names the request in its last event, as in Temporal.
alter table perdure.activity_tasks add column cancel_requested_event_id bigint;
comment on column perdure.activity_tasks.cancel_requested_event_id is 'The latest ActivityTaskCancelRequested, if its cancellation was asked for.';
