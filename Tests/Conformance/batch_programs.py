"""Programs in which one operation is done to all runs that a query chooses (StartBatchOperation)."""

import uuid

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.batch.v1 import (
    BatchOperationCancellation, BatchOperationDeletion, BatchOperationReset, BatchOperationResetActivities,
    BatchOperationSignal, BatchOperationTermination, BatchOperationUnpauseActivities,
    BatchOperationUpdateActivityOptions)
from temporalio.api.common.v1 import Payload, Payloads, ResetOptions, RetryPolicy, WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest, DescribeBatchOperationRequest, ListBatchOperationsRequest,
    StartBatchOperationRequest, StopBatchOperationRequest)
from temporalio.service import RPCError, RPCStatusCode

from activity_programs import ACTIVITIES, Runs, SLOW, Subject
from harness import attempt, eventually, program, result
from resets import Again, Notes, Waits, begin

RUNS = ("a", "b", "c")
# Temporal names the process of its server as who terminates a run, Perdure whoever asked for it: neither is compared.
IDENTITY = "operator"
ONE = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"end"')])


def with_runs(function):
    """Runs a program beside a worker and three runs that wait."""

    async def run(env):
        async with env.worker(Waits):
            handles = [await begin(env, Waits.run, id=id) for id in RUNS]
            # Temporal's list of runs is behind for a moment.
            await listed(env, len(handles))
            return await function(env, handles)

    run.__name__ = function.__name__
    return program(run)


def query(env):
    return f"WorkflowId STARTS_WITH '{env.prefix}'"


async def listed(env, count, more=""):
    async def is_listed():
        answer = await env.client.workflow_service.count_workflow_executions(CountWorkflowExecutionsRequest(
            namespace=env.client.namespace, query=query(env) + more))
        return answer.count == count

    await eventually(is_listed)


async def start(env, job="", **operation):
    job = job or env.id(f"job-{uuid.uuid4().hex[:6]}")
    if "executions" not in operation:
        operation.setdefault("visibility_query", query(env))
    operation.setdefault("reason", "a reason")
    request = StartBatchOperationRequest(namespace=env.client.namespace, job_id=job, **operation)

    async def is_started():
        try:
            await env.client.workflow_service.start_batch_operation(request)
        except RPCError as error:
            # Temporal's development server runs one batch at a time.
            if error.status != RPCStatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        return True

    await eventually(is_started)
    return job


async def described(env, job):
    answer = await env.client.workflow_service.describe_batch_operation(DescribeBatchOperationRequest(
        namespace=env.client.namespace, job_id=job))
    return json_format.MessageToDict(answer)


async def ended(env, job):
    """What a batch tells of itself when it has ended, without what differs each time."""

    async def has_ended():
        return (await described(env, job))["state"] != "BATCH_OPERATION_STATE_RUNNING"

    await eventually(has_ended, 30)
    told = await described(env, job)
    told["times"] = told.pop("startTime") <= told.pop("closeTime")
    told.pop("jobId"), told.pop("query", None)
    for execution in told.get("executions", []):
        execution["businessId"] = execution["businessId"].removeprefix(env.prefix)
        execution.pop("runId", None)
    return told


@with_runs
async def batch_signals_runs(env, handles):
    job = await start(env, signal_operation=BatchOperationSignal(signal="note", identity=IDENTITY, input=ONE))
    return [await ended(env, job)] + [await result(handle) for handle in handles]


@with_runs
async def batch_cancels_runs(env, handles):
    job = await start(env, cancellation_operation=BatchOperationCancellation(identity=IDENTITY))
    return [await ended(env, job)] + [await result(handle) for handle in handles]


@with_runs
async def batch_terminates_runs_that_are_open(env, handles):
    await handles[0].signal(Notes.note, "end")
    seen = [await result(handles[0])]
    await listed(env, 2, " AND ExecutionStatus = 'Running'")
    job = await start(env, termination_operation=BatchOperationTermination(identity=IDENTITY))
    seen.append(await ended(env, job))
    return seen + [await result(handle) for handle in handles]


@with_runs
async def batch_of_runs_that_are_named(env, handles):
    named = [WorkflowExecution(workflow_id=env.id("a")),
             WorkflowExecution(workflow_id=env.id("b"), run_id=handles[1].run_id),
             WorkflowExecution(workflow_id=env.id("nobody"))]
    job = await start(env, executions=named, termination_operation=BatchOperationTermination(identity=IDENTITY))
    seen = [await ended(env, job)]
    await handles[2].signal(Notes.note, "end")
    return seen + [await result(handle) for handle in handles]


@with_runs
async def batch_resets_runs(env, handles):
    for handle in handles:
        await handle.signal(Notes.note, "end")
        await result(handle)
    job = await start(env, reset_operation=BatchOperationReset(
        identity=IDENTITY, options=ResetOptions(first_workflow_task=Empty())))
    seen = [await ended(env, job)]
    for handle in handles:
        new = env.client.get_workflow_handle(handle.id)
        seen.append(await result(new))
        env.started.append((handle.id, (await new.describe()).run_id))
    return seen


async def with_three_builds(env):
    """A run that build one began and build two continued as new; its second run was continued by build three."""
    handle = env.client.get_workflow_handle((await env.start(Again.run, 1)).id)
    for build, note in (("one", ""), ("two", "next"), ("three", "more")):
        async with env.worker(Again, build_id=build, max_cached_workflows=0):
            if note:
                await handle.signal(Notes.note, note)

            async def is_taken():
                last = [event async for event in handle.fetch_history_events()][-1]
                return last.workflow_task_completed_event_attributes.worker_version.build_id == build

            await eventually(is_taken)
    return handle


async def reset_to_build(env, build, current_run_only=False):
    handle = await with_three_builds(env)
    await listed(env, 1, " AND ExecutionStatus = 'Running'")
    job = await start(
        env, visibility_query=f"{query(env)} AND ExecutionStatus = 'Running'", reset_operation=BatchOperationReset(
            identity=IDENTITY, options=ResetOptions(build_id=build, current_run_only=current_run_only)))
    seen = [await ended(env, job)]
    await handle.signal(Notes.note, "end")
    async with env.worker(Again, max_cached_workflows=0):
        seen.append(await result(handle))
    env.started.append((handle.id, (await handle.describe()).run_id))
    return seen


@program
async def batch_resets_to_the_build_of_an_earlier_run(env):
    return await reset_to_build(env, "one")


@program
async def batch_resets_to_the_build_of_two_runs(env):
    return await reset_to_build(env, "two")


@program
async def batch_resets_to_the_build_of_this_run(env):
    return await reset_to_build(env, "three", current_run_only=True)


@program
async def batch_does_not_reset_to_the_build_of_an_earlier_run(env):
    return await reset_to_build(env, "two", current_run_only=True)


@program
async def batch_does_not_reset_to_an_unknown_build(env):
    return await reset_to_build(env, "four")


@with_runs
async def batch_deletes_runs(env, handles):
    await handles[0].terminate()
    env.started.clear()
    job = await start(env, deletion_operation=BatchOperationDeletion(identity=IDENTITY))
    # Temporal deletes them later.
    return await ended(env, job)


@program
async def batch_without_runs(env):
    job = await start(env, termination_operation=BatchOperationTermination(identity=IDENTITY))
    return await ended(env, job)


@program
async def batch_whose_query_cannot_be_read(env):
    seen = []
    for given in ("nonsense", f"{query(env)} ORDER BY StartTime", f"{query(env)} AND Unknown = 1"):
        job = await start(env, visibility_query=given,
                          termination_operation=BatchOperationTermination(identity=IDENTITY))
        seen.append(await ended(env, job))
    return seen


@program
async def batches_that_are_refused(env):
    ends = {"termination_operation": BatchOperationTermination(identity=IDENTITY)}
    service, namespace = env.client.workflow_service, env.client.namespace

    async def refusal(**fields):
        request = {"namespace": namespace, "job_id": env.id("job"), "reason": "a reason",
                   "visibility_query": query(env)} | fields
        return await attempt(service.start_batch_operation(StartBatchOperationRequest(**request)))

    job = await start(env, **ends)
    await ended(env, job)
    again = await refusal(job_id=job, **ends)
    return [
        again["error"]["status"], await refusal(job_id="", **ends), await refusal(reason="", **ends), await refusal(),
        await refusal(visibility_query="", **ends), await refusal(signal_operation=BatchOperationSignal()),
        await refusal(executions=[WorkflowExecution(workflow_id="x")], **ends),
        await refusal(namespace="nowhere", **ends),
        await attempt(service.describe_batch_operation(DescribeBatchOperationRequest(namespace=namespace))),
        await attempt(service.describe_batch_operation(
            DescribeBatchOperationRequest(namespace=namespace, job_id="nobody"))),
        await attempt(service.stop_batch_operation(StopBatchOperationRequest(namespace=namespace, job_id=job))),
        await attempt(service.stop_batch_operation(
            StopBatchOperationRequest(namespace=namespace, job_id="nobody", reason="x"))),
        await attempt(service.stop_batch_operation(
            StopBatchOperationRequest(namespace=namespace, job_id=job, reason="x"))),
    ]


@program
async def batches_are_listed(env):
    jobs, found, token = [], [], b""
    for _ in range(3):
        jobs.append(await start(env, termination_operation=BatchOperationTermination(identity=IDENTITY)))
        await ended(env, jobs[-1])

    async def all_are_listed():
        answer = await env.client.workflow_service.list_batch_operations(ListBatchOperationsRequest(
            namespace=env.client.namespace))
        return {job for job in jobs} <= {
            info.job_id for info in answer.operation_info if info.state != 1}

    await eventually(all_are_listed)
    while True:
        answer = await env.client.workflow_service.list_batch_operations(ListBatchOperationsRequest(
            namespace=env.client.namespace, page_size=2, next_page_token=token))
        found += [info for info in answer.operation_info if info.job_id in jobs]
        token = answer.next_page_token
        if not token:
            break
    return [[jobs.index(info.job_id), info.state, info.operation_type] for info in found]


# --- activities ------------------------------------------------------------------------------------------------------


def with_failing_activities(function):
    """Runs a program beside a worker and runs with an activity each, which fails until it is let go."""

    async def run(env):
        async with env.worker(Runs, Waits, activities=ACTIVITIES):
            runs = [await Subject.start(env, "tries", options=dict(SLOW), id=id) for id in RUNS]
            for it in runs:
                await it.backs_off()
            await listed(env, len(runs))
            return await function(env, runs)

    run.__name__ = function.__name__
    return program(run)


async def seen_of(runs):
    seen = []
    for it in runs:
        await it.look()
        seen.append(it.seen)
    return seen


@with_failing_activities
async def batch_unpauses_activities_of_a_type(env, runs):
    for it in runs:
        await it.pause(type="tries")
    for it in runs:
        it.let_go()
    job = await start(env, unpause_activities_operation=BatchOperationUnpauseActivities(
        identity=IDENTITY, type="tries", reset_attempts=True))
    return [await ended(env, job)] + [await result(it.handle) for it in runs]


@with_failing_activities
async def batch_unpauses_every_activity(env, runs):
    for it in runs[:2]:
        await it.pause()
    job = await start(env, unpause_activities_operation=BatchOperationUnpauseActivities(
        identity=IDENTITY, match_all=True, jitter=Duration(seconds=600)))
    seen = await seen_of(runs)
    for run in seen:
        # The jitter decides.
        run[-1][0].pop("currentRetryInterval", None)
    return [await ended(env, job), seen]


@with_failing_activities
async def batch_resets_activities(env, runs):
    for it in runs:
        it.let_go()
    job = await start(env, reset_activities_operation=BatchOperationResetActivities(
        identity=IDENTITY, match_all=True, reset_attempts=True, reset_heartbeat=True))
    return [await ended(env, job)] + [await result(it.handle) for it in runs]


@with_failing_activities
async def batch_resets_activities_that_stay_paused(env, runs):
    for it in runs:
        await it.pause(type="tries")
    job = await start(env, reset_activities_operation=BatchOperationResetActivities(
        identity=IDENTITY, type="tries", keep_paused=True))
    return [await ended(env, job), await seen_of(runs)]


@with_failing_activities
async def batch_changes_options_of_activities(env, runs):
    options = ActivityOptions(
        start_to_close_timeout=Duration(seconds=77), retry_policy=RetryPolicy(maximum_attempts=5))
    job = await start(env, update_activity_options_operation=BatchOperationUpdateActivityOptions(
        identity=IDENTITY, type="tries", activity_options=options,
        update_mask=FieldMask(paths=["start_to_close_timeout", "retry_policy.maximum_attempts"])))
    # Temporal's server crashes if original options are to be restored.
    return [await ended(env, job), await seen_of(runs)]


@with_failing_activities
async def batch_of_activities_that_are_not_there(env, runs):
    """Of a type that no run has; and beside a run without activities."""
    handle = await begin(env, Waits.run, id="without")
    await listed(env, len(runs) + 1)
    operations = {
        "unpause_activities_operation": BatchOperationUnpauseActivities,
        "reset_activities_operation": BatchOperationResetActivities,
    }
    seen = []
    for field, operation in operations.items():
        for which in ({"type": "other"}, {"match_all": True}):
            job = await start(env, **{field: operation(identity=IDENTITY, **which)})
            seen.append(await ended(env, job))
    job = await start(env, update_activity_options_operation=BatchOperationUpdateActivityOptions(
        identity=IDENTITY, type="other", activity_options=ActivityOptions(heartbeat_timeout=Duration(seconds=3)),
        update_mask=FieldMask(paths=["heartbeat_timeout"])))
    seen.append(await ended(env, job))
    await handle.signal(Notes.note, "end")
    return [*seen, await result(handle)]


@program
async def batches_of_activities_that_are_refused(env):
    async def refusal(**operation):
        return await attempt(env.client.workflow_service.start_batch_operation(StartBatchOperationRequest(
            namespace=env.client.namespace, job_id=env.id("job"), reason="a reason", visibility_query=query(env),
            **operation)))

    options = ActivityOptions(heartbeat_timeout=Duration(seconds=3))
    mask = FieldMask(paths=["heartbeat_timeout"])
    seen = []
    # Temporal's server takes changes of options without a mask or without a choice of activities; some crash it.
    for operation in (BatchOperationUnpauseActivities, BatchOperationResetActivities):
        name = "unpause_activities_operation" if operation is BatchOperationUnpauseActivities \
            else "reset_activities_operation"
        for which in ({}, {"type": ""}, {"match_all": False}):
            seen.append([name, which, await refusal(**{name: operation(identity=IDENTITY, **which)})])
    for fields in ({}, {"type": ""}, {"type": "tries"}, {"type": "tries", "update_mask": mask},
                   {"match_all": False, "activity_options": options, "update_mask": mask},
                   {"type": "tries", "restore_original": True, "activity_options": options}):
        seen.append([str(fields), await refusal(
            update_activity_options_operation=BatchOperationUpdateActivityOptions(identity=IDENTITY, **fields))])
    return seen
