"""The programs about updates: validators, stages, repeats, update-with-start, handlers that are not finished."""

import asyncio
import time
import typing
import uuid
from datetime import timedelta

from google.protobuf import json_format
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.update.v1 import Input, Meta, Request, UpdateRef, WaitPolicy
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest, UpdateWorkflowExecutionRequest
from temporalio.client import WithStartWorkflowOperation, WorkflowUpdateStage
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError

from harness import IDENTITY, attempt, program, result, unordered
from programs import LONG, echo, with_worker

ACCEPTED = WorkflowUpdateStage.ACCEPTED


@workflow.defn
class Counter:
    """Takes updates until it is told to finish."""

    def __init__(self):
        self.log = []
        self.released = False
        self.finished = False

    @workflow.run
    async def run(self, waits_for_handlers: bool = True) -> list:
        await workflow.wait_condition(lambda: self.finished)
        if waits_for_handlers:
            await workflow.wait_condition(workflow.all_handlers_finished)
        return self.log

    @workflow.signal
    def finish(self) -> None:
        self.finished = True

    @workflow.signal
    def release(self) -> None:
        self.released = True

    @workflow.query
    def seen(self) -> list:
        return self.log

    @workflow.update
    async def add(self, value: str) -> str:
        self.log.append(value)
        return f"got {value}"

    @add.validator
    def check(self, value: str) -> None:
        if value.startswith("bad"):
            raise ApplicationError(f"{value} is refused", type="Refused")

    @workflow.update
    async def slowly(self, value: str) -> str:
        await workflow.wait_condition(lambda: self.released)
        self.log.append(value)
        return f"slowly {value}"

    @workflow.update
    async def by_activity(self, value: str) -> str:
        self.log.append(await workflow.execute_activity(echo, value, start_to_close_timeout=LONG))
        return self.log[-1]

    @workflow.update
    async def after_a_while(self, milliseconds: int) -> int:
        await asyncio.sleep(milliseconds / 1000)
        return milliseconds

    @workflow.update
    async def fails(self, value: str) -> None:
        raise ApplicationError(f"failed with {value}", value, type="Failed", non_retryable=True)

    @workflow.update
    def end(self) -> str:
        self.finished = True
        return "ended"

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def abandoned(self) -> None:
        await workflow.wait_condition(lambda: False)


@workflow.defn
class Dynamic:
    """Handles whatever comes."""

    @workflow.init
    def __init__(self, greeting: str):
        self.greeting = greeting
        self.log = []

    @workflow.run
    async def run(self, greeting: str) -> list:
        await workflow.wait_condition(lambda: "end" in self.log)
        return self.log

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, arguments: typing.Sequence[RawValue]) -> None:
        self.log.append(name)

    @workflow.query(dynamic=True)
    def on_query(self, name: str, arguments: typing.Sequence[RawValue]) -> str:
        return f"{self.greeting} {name} {len(arguments)}"

    @workflow.update(dynamic=True)
    async def on_update(self, name: str, arguments: typing.Sequence[RawValue]) -> str:
        self.log.append(name)
        return (f"{self.greeting} {name} "
                f"{[workflow.payload_converter().from_payload(a.payload, str) for a in arguments]}")

    @on_update.validator
    def check(self, name: str, arguments: typing.Sequence[RawValue]) -> None:
        if name == "refused":
            raise ApplicationError("refused", type="Refused")


CRASHES = set()


@workflow.defn
class Crashes:
    """An update that breaks its workflow task the first time."""

    def __init__(self):
        self.finished = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self.finished)

    @workflow.query
    def ready(self) -> bool:
        return True

    @workflow.update
    async def once(self) -> str:
        # Temporal and Perdure each run it in this process.
        key = workflow.info().run_id
        if key not in CRASHES:
            CRASHES.add(key)
            raise RuntimeError("a bug")
        self.finished = True
        return "done"


async def send(env, id, name, *arguments, update_id=None, stage=3, first_run="", timeout=30):
    """An update as it goes over the wire."""
    request = UpdateWorkflowExecutionRequest(
        namespace=env.client.namespace, workflow_execution=WorkflowExecution(workflow_id=env.id(id)),
        first_execution_run_id=first_run, wait_policy=WaitPolicy(lifecycle_stage=stage),
        request=Request(
            meta=Meta(update_id=update_id or "", identity=IDENTITY), input=Input(name=name)))
    request.request.input.args.payloads.extend(await env.client.data_converter.encode(arguments))
    return said(await env.client.workflow_service.update_workflow_execution(
        request, timeout=timedelta(seconds=timeout)))


async def poll(env, id, update_id, stage=3):
    return said(await env.client.workflow_service.poll_workflow_execution_update(PollWorkflowExecutionUpdateRequest(
        namespace=env.client.namespace, identity=IDENTITY, wait_policy=WaitPolicy(lifecycle_stage=stage),
        update_ref=UpdateRef(workflow_execution=WorkflowExecution(workflow_id=env.id(id)), update_id=update_id))))


def said(response):
    """Without links, which Perdure does not have, and where the SDK's own code stands."""
    answer = json_format.MessageToDict(response)
    answer.pop("link", None)
    return answer


async def begin(env, *arguments):
    """A run that has completed its first workflow task."""
    handle = await env.start(Counter.run, *arguments)
    await handle.query(Counter.seen)
    return handle


async def finish(handle):
    await handle.signal(Counter.finish)
    return await result(handle)


@with_worker([Counter])
async def update_completes(env):
    handle = await begin(env)
    first = await handle.execute_update(Counter.add, "one")
    second = await handle.execute_update(Counter.by_activity, "two", id="second")
    third = await handle.execute_update(Counter.after_a_while, 50, id="third")
    return [first, second, third, await finish(handle)]


@with_worker([Counter])
async def update_rejected(env):
    handle = await begin(env)
    await handle.execute_update(Counter.add, "one")
    seen = [await attempt(handle.execute_update(Counter.add, f"bad {n}", id=f"bad-{n}")) for n in range(3)]
    seen.append(await attempt(handle.execute_update("nothing", 1)))
    await handle.execute_update(Counter.add, "two")
    return [seen, await finish(handle)]


@with_worker([Counter], max_cached_workflows=0)
async def update_rejected_without_cache(env):
    handle = await begin(env)
    await handle.execute_update(Counter.by_activity, "one")
    seen = [await attempt(handle.execute_update(Counter.add, f"bad {n}", id=f"bad-{n}")) for n in range(2)]
    await handle.execute_update(Counter.add, "two")
    return [seen, await finish(handle)]


@with_worker([Counter])
async def update_fails(env):
    handle = await begin(env)
    seen = await attempt(handle.execute_update(Counter.fails, "it", id="u"))
    return [seen, await poll(env, "workflow", "u"), await finish(handle)]


@with_worker([Counter])
async def update_stages(env):
    handle = await begin(env)
    update = await handle.start_update(Counter.slowly, "one", id="u", wait_for_stage=ACCEPTED)
    seen = [await send(env, "workflow", "slowly", "one", update_id="u", stage=2), await poll(env, "workflow", "u", 0)]
    seen.append(await attempt(send(env, "workflow", "slowly", "one", update_id="u", stage=1)))
    await handle.signal(Counter.release)
    seen.append(await update.result())
    seen += [await poll(env, "workflow", "u", 2), await send(env, "workflow", "slowly", "x", update_id="u", stage=2)]
    return [seen, await finish(handle)]


@with_worker([Counter])
async def update_repeated(env):
    handle = await begin(env)
    seen = [await handle.execute_update(Counter.add, value, id="same") for value in ("one", "two")]
    seen += await asyncio.gather(*(handle.execute_update(Counter.add, "three", id="third") for _ in range(3)))
    seen.append(await attempt(handle.execute_update(Counter.add, "bad", id="again")))
    seen.append(await attempt(handle.execute_update(Counter.add, "good", id="again")))
    return [seen, await finish(handle)]


@with_worker([Counter])
async def update_of_closed_run(env):
    handle = await begin(env)
    await handle.execute_update(Counter.add, "one", id="known")
    await finish(handle)
    return [
        await attempt(handle.execute_update(Counter.add, "two", id="known")),
        await attempt(handle.execute_update(Counter.add, "two", id="new")),
        await attempt(handle.get_update_handle("known").result()),
        await attempt(handle.get_update_handle("new").result()),
        await attempt(send(env, "nowhere", "add", "one")),
        await attempt(send(env, "workflow", "", update_id="x")),
        (await attempt(
            send(env, "workflow", "add", "x", update_id="x", first_run=str(uuid.uuid4()))))["error"]["status"],
    ]


@with_worker([Counter])
async def update_ends_run(env):
    handle = await begin(env)
    return [await handle.execute_update(Counter.end), await result(handle)]


@with_worker([Counter])
async def updates_unfinished(env):
    handle = await begin(env, False)
    accepted = await handle.start_update(Counter.slowly, "one", id="slow", wait_for_stage=ACCEPTED)
    abandoned = await handle.start_update(Counter.abandoned, id="abandoned", wait_for_stage=ACCEPTED)
    await handle.execute_update(Counter.end, id="end")
    return [await attempt(accepted.result()), await attempt(abandoned.result()), await result(handle)]


@with_worker([Counter])
async def updates_finished_first(env):
    handle = await begin(env)
    update = await handle.start_update(Counter.after_a_while, 200, id="u", wait_for_stage=ACCEPTED)
    await handle.signal(Counter.finish)
    return [await update.result(), await result(handle)]


@program
async def update_of_terminated_run(env):
    async with env.worker(Counter):
        handle = await begin(env)
        accepted = await handle.start_update(Counter.slowly, "one", id="u", wait_for_stage=ACCEPTED)
    await handle.terminate("enough")
    return [await attempt(accepted.result()), await poll(env, "workflow", "u")]


@unordered
@with_worker([Counter])
async def updates_at_once(env):
    handle = await begin(env)
    answers = await asyncio.gather(*(handle.execute_update(Counter.add, f"{n}", id=f"u{n}") for n in range(8)))
    seen = await finish(handle)
    return [answers, sorted(seen["result"])]


@with_worker([Counter])
async def updates_too_many(env):
    handle = await begin(env)
    for n in range(10):
        await send(env, "workflow", "slowly", f"{n}", update_id=f"u{n}", stage=2)
    # The SDK tries again and again.
    request = UpdateWorkflowExecutionRequest(
        namespace=env.client.namespace, workflow_execution=WorkflowExecution(workflow_id=env.id()),
        wait_policy=WaitPolicy(lifecycle_stage=2),
        request=Request(meta=Meta(update_id="more", identity=IDENTITY), input=Input(name="add")))
    seen = await attempt(env.client.workflow_service.update_workflow_execution(request, retry=False))
    await handle.signal(Counter.release)
    answers = [await handle.get_update_handle(f"u{n}").result() for n in range(10)]
    return [seen, answers, await handle.execute_update(Counter.add, "more", id="more"), await finish(handle)]


@program
async def update_before_worker(env):
    handle = await env.start(Counter.run)
    updates = [asyncio.create_task(attempt(handle.execute_update(Counter.add, value, id=value)))
               for value in ("one",)]
    await asyncio.sleep(0.3)
    updates.append(asyncio.create_task(attempt(handle.execute_update(Counter.add, "bad", id="bad"))))
    await asyncio.sleep(0.3)
    async with env.worker(Counter):
        return [await asyncio.gather(*updates), await finish(handle)]


@program
async def update_waits_for_worker(env):
    async with env.worker(Counter):
        handle = await begin(env)
        await handle.execute_update(Counter.add, "one")
    update = asyncio.create_task(handle.execute_update(Counter.add, "two", id="second"))
    await asyncio.sleep(0.5)
    async with env.worker(Counter):
        seen = [await update, await finish(handle)]
    # How long the first worker is waited for differs.
    env.started.clear()
    return seen


@program
async def update_outlives_worker(env):
    async with env.worker(Counter):
        handle = await begin(env)
        update = await handle.start_update(Counter.slowly, "one", id="u", wait_for_stage=ACCEPTED)
    await handle.signal(Counter.release)
    async with env.worker(Counter):
        seen = [await update.result(), await handle.execute_update(Counter.add, "two"), await finish(handle)]
    # How long the first worker is waited for differs.
    env.started.clear()
    return seen


@program
async def update_and_signal(env):
    """A signal makes a workflow task one that is written, whatever becomes of the update."""
    async with env.worker(Counter):
        handle = await begin(env)
        await handle.execute_update(Counter.add, "one")
    await asyncio.sleep(0.3)
    update = asyncio.create_task(attempt(handle.execute_update(Counter.add, "bad", id="bad")))
    await asyncio.sleep(0.3)
    await handle.signal(Counter.release)
    async with env.worker(Counter):
        return [await update, await finish(handle)]


@with_worker([Crashes])
async def update_breaks_task(env):
    handle = await env.start(Crashes.run)
    await handle.query(Crashes.ready)
    return [await handle.execute_update(Crashes.once, id="u"), await result(handle)]


@with_worker([Crashes], max_cached_workflows=0)
async def update_breaks_task_without_cache(env):
    handle = await env.start(Crashes.run)
    await handle.query(Crashes.ready)
    return [await handle.execute_update(Crashes.once, id="u"), await result(handle)]


@with_worker([Counter], max_cached_workflows=0)
async def update_without_cache(env):
    handle = await begin(env)
    await handle.execute_update(Counter.by_activity, "one", id="u1")
    update = await handle.start_update(Counter.slowly, "two", id="u2", wait_for_stage=ACCEPTED)
    await handle.signal(Counter.release)
    return [await update.result(), await handle.query(Counter.seen), await finish(handle)]


@with_worker([Counter])
async def update_in_start_delay(env):
    handle = await env.start(Counter.run, start_delay=timedelta(seconds=40))
    return [await handle.execute_update(Counter.add, "one", id="u"), await finish(handle)]


# Whether the second signal comes before the task of the first has begun.
@unordered
@with_worker([Dynamic])
async def dynamic_handlers(env):
    handle = await env.start(Dynamic.run, "hello")
    seen = [
        await handle.execute_update("anything", args=["a", "b"], id="u1"),
        await attempt(handle.execute_update("refused", id="u2")),
        await handle.query("whatever", args=[1, 2, 3]),
    ]
    await handle.signal("some")
    await handle.signal("end")
    return [seen, await result(handle)]


async def with_start(env, update, value, id, conflict=WorkflowIDConflictPolicy.USE_EXISTING, **options):
    start = WithStartWorkflowOperation(
        Counter.run, id=env.id(), task_queue=env.queue, id_conflict_policy=conflict, **options)
    seen = await attempt(env.client.execute_update_with_start_workflow(
        update, value, id=id, start_workflow_operation=start))
    return seen, start


@with_worker([Counter])
async def update_with_start(env):
    seen, start = await with_start(env, Counter.add, "one", "u1")
    handle = await start.workflow_handle()
    env.track(handle)
    again, found = await with_start(env, Counter.add, "two", "u2")
    same = (await found.workflow_handle()).first_execution_run_id == handle.first_execution_run_id
    bad, _ = await with_start(env, Counter.add, "bad", "u3")
    fails, _ = await with_start(env, Counter.fails, "it", "u4")
    return [seen, again, same, bad, fails, await finish(handle)]


@with_worker([Counter])
async def update_with_start_after_an_open_one(env):
    """The run closed before it completed the update: a repeat starts another run."""
    handle = await begin(env)
    await handle.start_update(Counter.slowly, "one", id="u", wait_for_stage=ACCEPTED)
    await handle.terminate("enough")
    seen, start = await with_start(env, Counter.add, "two", "u")
    second = await start.workflow_handle()
    env.track(second)
    return [seen, second.first_execution_run_id == handle.first_execution_run_id, await finish(second)]


@with_worker([Counter])
async def update_with_start_policies(env):
    first, start = await with_start(env, Counter.add, "one", "u1")
    handle = await start.workflow_handle()
    env.track(handle)
    taken, refused = await with_start(env, Counter.add, "two", "u2", WorkflowIDConflictPolicy.FAIL)
    why = await attempt(refused.workflow_handle())
    repeat, _ = await with_start(env, Counter.add, "two", "u1", WorkflowIDConflictPolicy.FAIL)
    await finish(handle)
    closed, found = await with_start(env, Counter.add, "two", "u1")
    same = (await found.workflow_handle()).first_execution_run_id == handle.first_execution_run_id
    never, _ = await with_start(
        env, Counter.add, "two", "u5", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
    anew, start = await with_start(env, Counter.add, "bad", "u6")
    second = await start.workflow_handle()
    env.track(second)
    return [first, taken, why, repeat, closed, same, never, anew, await finish(second)]


@with_worker([Counter])
async def update_with_start_stage(env):
    start = WithStartWorkflowOperation(
        Counter.run, id=env.id(), task_queue=env.queue, id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING)
    update = await env.client.start_update_with_start_workflow(
        Counter.slowly, "one", id="u", wait_for_stage=ACCEPTED, start_workflow_operation=start)
    handle = await start.workflow_handle()
    env.track(handle)
    await handle.signal(Counter.release)
    return [await update.result(), await finish(handle)]


@workflow.defn
class Continues:
    """Continues as new while an update is on its way."""

    def __init__(self):
        self.goes = False
        self.log = []

    @workflow.run
    async def run(self, times: int) -> list:
        await workflow.wait_condition(lambda: self.goes)
        if times == 0:
            # The task takes so long that the update comes while it is started.
            time.sleep(0.8)
            workflow.continue_as_new(1)
        return self.log

    @workflow.signal
    def go(self) -> None:
        self.goes = True

    @workflow.query
    def seen(self) -> list:
        return self.log

    @workflow.update
    async def add(self, value: str) -> str:
        self.log.append(value)
        return f"got {value} in run {'two' if workflow.info().continued_run_id else 'one'}"


@with_worker([Continues])
async def update_follows_continued_run(env):
    handle = await env.start(Continues.run, 0)
    await handle.query(Continues.seen)
    await handle.signal(Continues.go)
    await asyncio.sleep(0.3)
    current = env.client.get_workflow_handle(env.id())
    seen = [await attempt(current.execute_update(Continues.add, "one", id="u"))]
    await current.signal(Continues.go)
    return [seen, await result(handle)]
