-- Which build of the workers is deployed, and which worker somebody wants to see crash. bank-worker supervise follows both.

create table bank.deployments (
    deployment_id bigint generated always as identity primary key,
    build_id      text not null unique check (length(build_id) between 1 and 100),
    bug           text check (bug in ('workflow', 'activity')),
    deployed_at   timestamptz not null default now()
);
comment on table bank.deployments is 'One row is a build of the workers that was deployed; the newest is what they run.';
comment on column bank.deployments.deployment_id is 'Grows with every deployment.';
comment on column bank.deployments.build_id is 'The version that the workers register under and that histories show.';
comment on column bank.deployments.bug is 'The mistake that a less careful colleague shipped with it: in the workflow''s code, in an activity, or none.';
comment on column bank.deployments.deployed_at is 'When it was deployed.';
insert into bank.deployments (build_id) values ('v1');

create table bank.crash_requests (
    request_id      bigint generated always as identity primary key,
    worker_identity text not null,
    requested_at    timestamptz not null default now(),
    killed_at       timestamptz
);
create index crash_requests_open on bank.crash_requests (worker_identity) where killed_at is null;
comment on table bank.crash_requests is 'One row is a worker that somebody wants to see crash; its supervisor kills it.';
comment on column bank.crash_requests.request_id is 'Grows with every request.';
comment on column bank.crash_requests.worker_identity is 'The worker, as it is registered.';
comment on column bank.crash_requests.requested_at is 'When somebody asked for it.';
comment on column bank.crash_requests.killed_at is 'When the supervisor killed it; null until then, and for a worker that no supervisor knows.';
