-- Deploys builds of the workers, with or without a bug, and crashes workers. The rows say what is wanted; bank-worker
-- supervise, which alone knows its processes, carries it out.

create or replace function bank.deploy(bug text default null, out deployment_id bigint, out build_id text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    if bug not in ('workflow', 'activity') then
        raise exception 'there is no bug %', quote_ident(left(bug, 100)) using errcode = 'BK002',
            hint = 'a bug is in the workflow or in an activity; null deploys the fix';
    end if;
    -- Deployments are made one at a time, so that builds are numbered in the order in which they are deployed.
    lock table bank.deployments in share row exclusive mode;
    deployment_id := (select coalesce(max(d.deployment_id), 0) + 1 from bank.deployments d);
    build_id := format('v%s', deployment_id);
    insert into bank.deployments (deployment_id, build_id, bug, deployed_at) overriding system value
    values (deploy.deployment_id, deploy.build_id, deploy.bug, clock_timestamp());
end
$$;
comment on function bank.deploy(text) is
    'Deploys the next build of the workers: with a bug in the workflow''s code (workflow), in an activity (activity), '
    'or with neither (null). '
    'Raises BK002 for any other bug.';

create or replace view bank.current_deployment as
select d.deployment_id, d.build_id, d.bug, d.deployed_at
from bank.deployments d
order by d.deployment_id desc
limit 1;
comment on view bank.current_deployment is 'One row: the build that the workers should run.';
comment on column bank.current_deployment.deployment_id is 'Grows with every deployment.';
comment on column bank.current_deployment.build_id is 'The version that the workers register under.';
comment on column bank.current_deployment.bug is 'workflow, activity, or null for none.';
comment on column bank.current_deployment.deployed_at is 'When it was deployed.';

create or replace function bank.crash_worker(worker_identity text default null, out request_id bigint, out crashed text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    select w.identity into crashed
    from perdure.live_workers w
    where w.alive and (crash_worker.worker_identity is null or w.identity = crash_worker.worker_identity)
      and not exists (select from bank.crash_requests r where r.worker_identity = w.identity and r.killed_at is null)
    -- The busiest worker comes first, because a crash is of most interest where it interrupts something.
    order by (select count(*) from perdure.activity_tasks a where a.worker = w.worker_id) desc, w.registered_at
    limit 1;
    if crashed is null then
        raise exception 'there is no live worker %', coalesce(quote_ident(left(crash_worker.worker_identity, 255)),
            'to crash') using errcode = 'BK007',
            hint = 'select identity from perdure.live_workers where alive lists them';
    end if;
    insert into bank.crash_requests (worker_identity, requested_at) values (crashed, clock_timestamp())
    returning crash_requests.request_id into request_id;
end
$$;
comment on function bank.crash_worker(text) is
    'Asks for the crash (kill -9) of a worker, by default of the busiest one, and returns which. Raises BK007 when '
    'there is none such.';

create or replace view bank.held_tasks as
select a.worker as worker_id, count(*) as tasks from perdure.activity_tasks a
    where a.worker is not null group by a.worker
union all
select t.worker, count(*) from perdure.workflow_tasks t where t.worker is not null group by t.worker;
comment on view bank.held_tasks is 'One row is a worker and how many tasks of one kind it has started.';
comment on column bank.held_tasks.worker_id is 'The worker.';
comment on column bank.held_tasks.tasks is
    'How many activity tasks the worker has started or, in another row, how many workflow tasks.';

create or replace function bank.record_crash(worker_identity text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    insert into bank.crash_requests (worker_identity, requested_at, killed_at)
    select $1, now.t, now.t from (select clock_timestamp() as t) now
    where not exists (select from bank.crash_requests r where r.worker_identity = $1
        and r.killed_at > now.t - interval '1 minute')
$$;
comment on function bank.record_crash(text) is
    'For the supervisor: records that one of its workers was killed by somebody who did not ask here. A crash that '
    'was asked for is not recorded again.';

create or replace function bank.take_crash_requests(identities text[]) returns setof text
language sql security definer set search_path = pg_catalog, pg_temp
as $$
    update bank.crash_requests r set killed_at = clock_timestamp()
    where r.killed_at is null and r.worker_identity = any ($1)
    returning r.worker_identity
$$;
comment on function bank.take_crash_requests(text[]) is
    'For the supervisor: returns which of its workers are to be killed. Each request is given out once.';
