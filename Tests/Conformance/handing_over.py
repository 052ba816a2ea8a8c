"""Programs about how tasks reach workers: with the answer to the task before, eagerly, with queries, and back from
clients that went."""

import asyncio
import time
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest, QueryWorkflowRequest, ResetStickyTaskQueueRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from harness import attempt, eventually, program, result, unordered
from programs import ACTIVITIES, LONG, Collects, OneActivity, Parallel, Sequence, counts, is_waiting


@activity.defn
async def what_it_knows() -> dict:
    """What an activity is told, without what differs from run to run."""
    info = activity.info()
    return {
        "id": info.activity_id, "type": info.activity_type, "attempt": info.attempt,
        "queue": info.task_queue.split("-")[-1],
        "workflow_type": info.workflow_type, "namespace": info.workflow_namespace,
        "heartbeat": str(info.heartbeat_timeout),
        "start_to_close": str(info.start_to_close_timeout), "schedule_to_close": str(info.schedule_to_close_timeout),
        "details": list(info.heartbeat_details), "started_after_scheduled": info.started_time >= info.scheduled_time,
        "policy": str(info.retry_policy), "priority": info.priority.priority_key,
    }


@workflow.defn
class AsksWhatItKnows:
    @workflow.run
    async def run(self, options: dict) -> dict:
        timeouts = {name: timedelta(seconds=value) for name, value in options.items()}
        return await workflow.execute_activity(what_it_knows, **timeouts)


@workflow.defn
class BusyWithTask:
    """Its first task takes so long that what is sent meanwhile waits for the next."""

    def __init__(self):
        self.got = []

    @workflow.run
    async def run(self, wanted: int) -> list:
        time.sleep(0.6)  # noqa: ASYNC251  The task itself is to take long.
        await workflow.wait_condition(lambda: len(self.got) >= wanted)
        return self.got

    @workflow.signal
    def add(self, value: str) -> None:
        self.got.append(value)

    @workflow.query
    def all(self) -> list:
        return self.got


@program
async def next_task_with_the_answer(env):
    async with env.worker(BusyWithTask):
        handle = await env.start(BusyWithTask.run, 3)
        await asyncio.sleep(0.25)
        for value in ("a", "b", "c"):
            await handle.signal(BusyWithTask.add, value)
        return await result(handle)


@program
async def next_task_after_each_answer(env):
    async with env.worker(BusyWithTask, max_cached_workflows=0, max_concurrent_workflow_tasks=1,
                          max_concurrent_workflow_task_polls=1, nonsticky_to_sticky_poll_ratio=1.0):
        handle = await env.start(BusyWithTask.run, 1)
        await asyncio.sleep(0.25)
        await handle.signal(BusyWithTask.add, "a")
        return await result(handle)


@program
async def eager_activity_knows(env):
    async with env.worker(AsksWhatItKnows, activities=[what_it_knows]):
        return [
            await env.execute(AsksWhatItKnows.run, {"start_to_close_timeout": 30}, id="1"),
            await env.execute(AsksWhatItKnows.run, {"schedule_to_close_timeout": 40, "heartbeat_timeout": 20}, id="2"),
            await env.execute(AsksWhatItKnows.run,
                              {"start_to_close_timeout": 30, "schedule_to_close_timeout": 20}, id="3"),
        ]


@program
async def lazy_activity_knows(env):
    async with env.worker(AsksWhatItKnows, activities=[what_it_knows], disable_eager_activity_execution=True):
        return [
            await env.execute(AsksWhatItKnows.run, {"start_to_close_timeout": 30}, id="1"),
            await env.execute(AsksWhatItKnows.run, {"schedule_to_close_timeout": 40, "heartbeat_timeout": 20}, id="2"),
        ]


@program
async def lazy_sequence(env):
    async with env.worker(Sequence, activities=ACTIVITIES, disable_eager_activity_execution=True):
        return await env.execute(Sequence.run, 3)


@unordered
@program
async def more_activities_than_slots(env):
    async with env.worker(Parallel, activities=ACTIVITIES, max_concurrent_activities=2):
        return await env.execute(Parallel.run, 9)


@program
async def activities_of_another_worker(env):
    async with env.worker(Sequence), env.worker(activities=ACTIVITIES, no_remote_activities=False):
        return await env.execute(Sequence.run, 3)


@program
async def activities_on_another_queue(env):
    queue = f"{env.queue}-other"
    async with env.worker(OneActivity), env.worker(activities=ACTIVITIES, queue=queue):
        return await env.execute(OneActivity.run, "echo", ["x"], {"task_queue": queue, "start_to_close": 30.0})


@program
async def eager_start(env):
    async with env.worker(Sequence, activities=ACTIVITIES):
        await env.execute(Sequence.run, 1, id="warm-up")
        handle = await env.start(Sequence.run, 2, id="eager", request_eager_start=True)
        return [handle._WorkflowHandle__temporal_eagerly_started
                if hasattr(handle, "_WorkflowHandle__temporal_eagerly_started")
                else getattr(handle, "__temporal_eagerly_started", None), await result(handle)]


@program
async def eager_start_before_the_first_poll(env):
    """The client's worker has just begun, and takes the first task before it polls; those that follow come at once."""
    async with env.worker(Sequence, activities=ACTIVITIES):
        began = time.monotonic()
        handle = await env.start(Sequence.run, 2, request_eager_start=True)
        return [getattr(handle, "__temporal_eagerly_started", None), await result(handle), time.monotonic() - began < 4]


@program
async def eager_start_without_worker(env):
    handle = await env.start(Sequence.run, 1, request_eager_start=True)
    async with env.worker(Sequence, activities=ACTIVITIES):
        return await result(handle)


@program
async def sticky_queue_reset(env):
    """The worker is handed the whole history, and goes on."""
    service = env.client.workflow_service

    def reset(workflow_id, run_id=""):
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        return attempt(service.reset_sticky_task_queue(
            ResetStickyTaskQueueRequest(namespace="default", execution=execution)))

    async with env.worker(Collects, activities=ACTIVITIES):
        handle = await env.start(Collects.run, 2)
        await eventually(lambda: is_waiting(handle))
        seen = [await reset(handle.id), await reset(handle.id, handle.result_run_id),
                await handle.query(Collects.count)]
        await handle.signal(Collects.add, "a")
        await eventually(lambda: counts(handle, 1))
        seen.append(await reset(handle.id))
        await handle.signal(Collects.add, "b")
        seen.append(await result(handle))
    return [*seen, *[await reset(*which) for which in [
        (handle.id,), (env.id("none"),), ("",), (handle.id, "no-uuid"), (handle.id, str(uuid.uuid4()))]]]


# --- queries that ride -----------------------------------------------------------------------------------------------


@program
async def query_before_the_first_task(env):
    handle = await env.start(Collects.run, 1)
    asked = [asyncio.create_task(attempt(handle.query(*query))) for query in (
        (Collects.count,), (Collects.fails,), ("no_such_query",), (Collects.echo_query, "x"))]
    await asyncio.sleep(0.3)
    async with env.worker(Collects, activities=ACTIVITIES):
        seen = await asyncio.gather(*asked)
        await handle.signal(Collects.add, "a")
        return [*seen, await result(handle)]


@workflow.defn
class Remembers:
    def __init__(self):
        self.number = 0

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.number == 30)

    @workflow.signal
    def remember(self, number: int) -> None:
        self.number = number
        workflow.upsert_memo({"number": number})

    @workflow.query
    def current(self) -> int:
        return self.number


@program
async def what_a_query_tells_is_done(env):
    """Whoever reads the answer to a query that came with a task also sees what the task has done."""
    async with env.worker(Remembers):
        handle = await env.start(Remembers.run)
        seen = []
        for number in range(1, 31):
            await handle.signal(Remembers.remember, number)
            told = await handle.query(Remembers.current)
            seen.append([told, await (await handle.describe()).memo_value("number", 0)])
        # A query may need a workflow task of its own, or not: histories differ.
        env.started.clear()
        return [seen, await result(handle)]


@program
async def query_that_nobody_answers(env):
    """It fails otherwise than a query that a worker has refused, and is waited for as long."""
    async with env.worker(Collects, activities=ACTIVITIES):
        handle = await env.start(Collects.run, 2)
        await eventually(lambda: is_waiting(handle))
    began = time.monotonic()
    query = QueryWorkflowRequest(
        namespace="default", execution=WorkflowExecution(workflow_id=handle.id),
        query=WorkflowQuery(query_type="count"))
    seen = await attempt(env.client.workflow_service.query_workflow(query))
    return [seen, 25 < time.monotonic() - began < 31]


@program
async def query_while_a_task_runs(env):
    async with env.worker(BusyWithTask):
        handle = await env.start(BusyWithTask.run, 2)
        await asyncio.sleep(0.25)
        await handle.signal(BusyWithTask.add, "a")
        # It is answered after the task that is under way, and has seen the signal.
        seen = await attempt(handle.query(BusyWithTask.all))
        await handle.signal(BusyWithTask.add, "b")
        return [seen, await result(handle)]


@program
async def query_after_signals(env):
    async with env.worker(Collects, activities=ACTIVITIES):
        handle = await env.start(Collects.run, 20)
        await eventually(lambda: is_waiting(handle))
        seen = []
        for number in range(19):
            await handle.signal(Collects.add, f"{number}")
            seen.append(await attempt(handle.query(Collects.count)))
        await handle.signal(Collects.add, "last")
        return [seen, len((await result(handle))["result"])]


@program
async def query_of_a_closing_run(env):
    handle = await env.start(Collects.run, 0)
    asked = asyncio.create_task(attempt(handle.query(Collects.count)))
    await asyncio.sleep(0.3)
    async with env.worker(Collects, activities=ACTIVITIES):
        return [await asked, await result(handle)]


# --- clients that go -------------------------------------------------------------------------------------------------


async def poll_and_go(env, kind, request):
    """A poll whose client does not wait for its end. Temporal answers with nothing just before the client gives up."""
    service = env.client.workflow_service
    call = service.poll_workflow_task_queue if kind == "workflow" else service.poll_activity_task_queue
    try:
        await call(request(namespace=env.client.namespace, task_queue=TaskQueue(name=env.queue), identity="goes"),
                   timeout=timedelta(seconds=3))
    except RPCError as error:
        assert error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED), error


@program
async def workflow_poll_of_a_client_that_went(env):
    await poll_and_go(env, "workflow", PollWorkflowTaskQueueRequest)
    handle = await env.start(Collects.run, 0)
    async with env.worker(Collects):
        return await result(handle)


@program
async def activity_poll_of_a_client_that_went(env):
    async with env.worker(Sequence):
        await poll_and_go(env, "activity", PollActivityTaskQueueRequest)
        handle = await env.start(Sequence.run, 1)
        await asyncio.sleep(0.2)
        async with env.worker(activities=ACTIVITIES):
            return await result(handle)


@program
async def many_polls_that_went(env):
    """What was claimed while clients went away is there for the next worker, soon, as a first attempt."""
    async def come_and_go(number):
        await asyncio.sleep(number * 0.03)
        return await poll_and_go(env, "workflow", PollWorkflowTaskQueueRequest)

    polls = [asyncio.create_task(come_and_go(number)) for number in range(10)]
    handles = []
    await asyncio.gather(*polls)
    for number in range(4):
        handles.append(await env.start(Collects.run, 0, id=f"{number}"))
    async with env.worker(Collects):
        return [await result(handle) for handle in handles]


# Whether a signal comes before the task of the one before has begun.
@unordered
@program
async def answer_to_a_query_is_counted_once(env):
    async with env.worker(Collects, activities=ACTIVITIES):
        handle = await env.start(Collects.run, 3)
        await eventually(lambda: is_waiting(handle))
        answers = await asyncio.gather(
            *(attempt(handle.query(Collects.echo_query, f"{number}")) for number in range(12)))
        for value in "abc":
            await handle.signal(Collects.add, value)
        await eventually(lambda: counts(handle, 3))
        return [answers, await result(handle)]
