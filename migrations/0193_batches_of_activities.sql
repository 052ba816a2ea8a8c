-- Batch jobs can also unpause and reset activities, and change their options.

alter table perdure.batch_jobs drop constraint batch_jobs_operation_check,
    add constraint batch_jobs_operation_check check (operation in ('reset', 'terminate', 'cancel', 'signal', 'delete',
        'unpause_activities', 'reset_activities', 'update_activity_options'));
comment on column perdure.batch_jobs.operation is
    'reset, terminate, cancel, signal, delete, unpause_activities, reset_activities or update_activity_options.';
