"""Programs with local activities: they run in the worker that has the workflow task, and markers keep their results."""

import asyncio
import sys
import typing
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from harness import IDENTITY, eventually, program, result, unordered
from programs import LONG, ONCE, SECOND

QUICK = timedelta(milliseconds=20)
CANCELLATIONS = workflow.ActivityCancellationType

# What the activities of a workflow did, by its id, and the workflows whose activities may end.
CALLS: dict[str, list] = {}
LET_GO: set[str] = set()

# --- activities and workflows ----------------------------------------------------------------------------------------


@activity.defn(name="local_echo")
async def local_echo(value: typing.Any) -> typing.Any:
    CALLS.setdefault(activity.info().workflow_id, []).append(value)
    return value


@activity.defn(name="local_try")
async def local_try(attempts: int, kind: str) -> int:
    info = activity.info()
    CALLS.setdefault(info.workflow_id, []).append(info.attempt)
    if info.attempt < attempts:
        raise ApplicationError(f"attempt {info.attempt}", type=kind, non_retryable=kind == "Final")
    return info.attempt


@activity.defn(name="local_wait")
async def local_wait(seconds: float) -> str:
    info = activity.info()
    CALLS.setdefault(info.workflow_id, []).append(f"attempt {info.attempt}")
    try:
        if seconds > 0:
            await asyncio.sleep(seconds)
        while seconds <= 0 and info.workflow_id not in LET_GO:
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        CALLS[info.workflow_id].append("canceled")
        raise
    return "waited"


async def local(function, *arguments, **options):
    options.setdefault("start_to_close_timeout", LONG)
    return await workflow.execute_local_activity(function, args=arguments, **options)


@workflow.defn
class LocalEchoes:
    @workflow.run
    async def run(self, count: int) -> list:
        return [await local(local_echo, f"{number}") for number in range(count)]


@workflow.defn
class LocalAtOnce:
    @workflow.run
    async def run(self) -> list:
        return list(await asyncio.gather(*(local(local_wait, 0.2 * number) for number in range(1, 4))))


@workflow.defn
class LocalTries:
    @workflow.run
    async def run(self, attempts: int, kind: str, most: int) -> int:
        return await local(
            local_try, attempts, kind, retry_policy=RetryPolicy(
                initial_interval=QUICK, maximum_attempts=most, non_retryable_error_types=["Fatal"]))


@workflow.defn
class LocalWithBackoff:
    """Its attempts are further apart than a worker waits for."""

    @workflow.run
    async def run(self, attempts: int) -> int:
        return await local(
            local_try, attempts, "NotYet", local_retry_threshold=SECOND / 2,
            retry_policy=RetryPolicy(initial_interval=SECOND, backoff_coefficient=1))


@workflow.defn
class LocalMixed:
    """Local and ordinary activities and timers, one after the other and at once."""

    @workflow.run
    async def run(self) -> list:
        first = await local(local_echo, "a")
        ordinary = workflow.start_activity(local_echo, "b", start_to_close_timeout=LONG)
        second = await local(local_echo, "c", activity_id="named")
        await asyncio.sleep(0.05)
        return [first, await ordinary, second, await local(local_echo, "d")]


@workflow.defn
class LocalTimesOut:
    @workflow.run
    async def run(self) -> str:
        return await local(local_wait, 5, start_to_close_timeout=SECOND / 4, retry_policy=ONCE)


@workflow.defn
class LocalCanceled:
    @workflow.run
    async def run(self, kind: str) -> str:
        handle = workflow.start_local_activity(
            local_wait, 0, start_to_close_timeout=LONG, cancellation_type=CANCELLATIONS[kind])
        await local(local_echo, "first")
        handle.cancel()
        try:
            return await handle
        finally:
            await local(local_echo, "cleaned up")


@workflow.defn
class LocalWaits:
    """Has a local activity that takes longer than a workflow task may."""

    def __init__(self):
        self.got: list = []

    @workflow.run
    async def run(self) -> list:
        waited = await local(local_wait, 0)
        return [waited, await local(local_echo, "after"), self.got]

    @workflow.signal
    def note(self, value: str) -> None:
        self.got.append(value)


LOCALS = [
    LocalEchoes, LocalAtOnce, LocalTries, LocalWithBackoff, LocalMixed, LocalTimesOut, LocalCanceled, LocalWaits]
ACTIVITIES = [local_echo, local_try, local_wait]


def with_locals(**options):
    """Runs the rest of a program beside a worker."""

    def decorate(function):
        async def run(env):
            async with env.worker(*LOCALS, activities=ACTIVITIES, **options):
                return await function(env)

        run.__name__ = function.__name__
        return program(run)

    return decorate


# --- programs --------------------------------------------------------------------------------------------------------


@with_locals()
async def local_activities_in_sequence(env):
    return await env.execute(LocalEchoes.run, 4)


@with_locals(max_cached_workflows=0)
async def local_activities_without_cache(env):
    return [await env.execute(LocalEchoes.run, 3, id="echoes"), await env.execute(LocalMixed.run, id="mixed")]


@with_locals()
async def local_activities_at_once(env):
    return await env.execute(LocalAtOnce.run)


@with_locals()
async def local_activity_with_others(env):
    return await env.execute(LocalMixed.run)


@with_locals()
async def local_activity_tried_again(env):
    seen = await env.execute(LocalTries.run, 3, "NotYet", 0)
    return [seen, CALLS[env.id()]]


@with_locals()
async def local_activity_that_fails(env):
    return [
        await env.execute(LocalTries.run, 9, "NotYet", 2, id="often"),
        await env.execute(LocalTries.run, 9, "Final", 0, id="final"),
        await env.execute(LocalTries.run, 9, "Fatal", 0, id="fatal"),
    ]


@with_locals()
async def local_activity_with_a_long_backoff(env):
    return [await env.execute(LocalWithBackoff.run, 3), CALLS[env.id()]]


@with_locals(max_cached_workflows=0)
async def local_activity_with_a_long_backoff_without_cache(env):
    return [await env.execute(LocalWithBackoff.run, 2), CALLS[env.id()]]


@with_locals()
async def local_activity_that_times_out(env):
    return await env.execute(LocalTimesOut.run)


def canceled(name, kind):
    async def run(env):
        seen = await env.execute(LocalCanceled.run, kind)
        LET_GO.add(env.id())
        return seen

    run.__name__ = name
    with_locals()(run)


canceled("local_activity_canceled", "TRY_CANCEL")
canceled("local_activity_canceled_and_waited_for", "WAIT_CANCELLATION_COMPLETED")
canceled("local_activity_abandoned", "ABANDON")


@unordered
@with_locals()
async def local_activity_longer_than_a_workflow_task(env):
    handle = await env.start(LocalWaits.run, task_timeout=SECOND * 2)
    await has_called(env)
    await handle.signal(LocalWaits.note, "a signal")
    await has_events(env, handle, "WORKFLOW_TASK_COMPLETED", 2)
    LET_GO.add(env.id())
    return [await result(handle), CALLS[env.id()]]


@unordered
@program
async def local_activity_of_a_worker_that_dies(env):
    """Another worker begins it again."""
    handle = await env.start(LocalWaits.run, task_timeout=SECOND * 2)
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, env.client.service_client.config.target_host, env.queue)
    try:
        await has_events(env, handle, "WORKFLOW_TASK_COMPLETED", 1)
    finally:
        process.kill()
        await process.wait()
    LET_GO.add(env.id())
    async with env.worker(*LOCALS, activities=ACTIVITIES):
        return [await result(handle), CALLS[env.id()]]


async def has_called(env):
    async def has():
        return env.id() in CALLS

    await eventually(has)


async def has_events(env, handle, kind, count):
    async def has():
        events = await env.history(handle.id, handle.first_execution_run_id)
        return sum(event["eventType"] == f"EVENT_TYPE_{kind}" for event in events) >= count

    await eventually(has, 30)


async def work(address, queue):
    """A worker that somebody will kill."""
    client = await Client.connect(address, identity=IDENTITY)
    await Worker(
        client, task_queue=queue, workflows=LOCALS, activities=ACTIVITIES, identity=IDENTITY,
        workflow_runner=UnsandboxedWorkflowRunner()).run()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
