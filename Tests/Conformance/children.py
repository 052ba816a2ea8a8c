"""Programs about runs that affect others: child workflows, and signals to and cancellation of external workflows."""

import asyncio
import typing
from datetime import timedelta

from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from harness import attempt, eventually, failure, program, result, unordered
from programs import ACTIVITIES

Close = workflow.ParentClosePolicy
Cancellation = workflow.ChildWorkflowCancellationType


# --- children --------------------------------------------------------------------------------------------------------


@workflow.defn
class Echoing:
    @workflow.run
    async def run(self, value: typing.Any) -> typing.Any:
        return value


@workflow.defn
class Failing:
    """Fails with a cause; deeper by as many children."""

    @workflow.run
    async def run(self, levels: int) -> None:
        if levels > 0:
            await workflow.execute_child_workflow(
                Failing.run, levels - 1, id=f"{workflow.info().workflow_id}-{levels - 1}")
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise ApplicationError("outer", "detail", 7, type="Outer", non_retryable=True) from error


@workflow.defn
class Waiting:
    """Waits for a signal; cancelled it does as it is told."""

    def __init__(self) -> None:
        self.got: list = []

    @workflow.run
    async def run(self, then: str) -> list:
        try:
            await workflow.wait_condition(lambda: "end" in self.got)
        except asyncio.CancelledError:
            if then == "ignore":
                return ["ignored"]
            if then == "fail":
                raise ApplicationError("cleanup failed") from None
            if then == "clean":
                await workflow.sleep(0.05)
            raise
        return self.got

    @workflow.signal
    async def add(self, value: str) -> None:
        self.got.append(value)

    @workflow.query
    def all(self) -> list:
        return self.got


@workflow.defn
class Inside:
    """What a child knows of where it is."""

    @workflow.run
    async def run(self) -> list:
        info = workflow.info()
        return [
            info.parent.workflow_id, info.parent.run_id, info.parent.namespace,
            info.root.workflow_id, info.root.run_id, workflow.memo_value("note", default="none"),
        ]


# --- parents ---------------------------------------------------------------------------------------------------------

def options(given: dict) -> dict:
    """Options of a child as JSON has them."""
    made = dict(given)
    if "close" in made:
        made["parent_close_policy"] = Close[made.pop("close")]
    if "cancel" in made:
        made["cancellation_type"] = Cancellation[made.pop("cancel")]
    if "reuse" in made:
        made["id_reuse_policy"] = WorkflowIDReusePolicy[made.pop("reuse")]
    if "attempts" in made:
        made["retry_policy"] = RetryPolicy(
            initial_interval=timedelta(milliseconds=20), maximum_attempts=made.pop("attempts"))
    for name in ("execution_timeout", "run_timeout", "task_timeout"):
        if name in made:
            made[name] = timedelta(seconds=made[name])
    return made


@workflow.defn
class Parent:
    """Runs one child to its end."""

    @workflow.run
    async def run(self, child: str, args: list, given: dict) -> typing.Any:
        given.setdefault("id", f"{workflow.info().workflow_id}-child")
        try:
            return await workflow.execute_child_workflow(child, args=args, **options(given))
        except ChildWorkflowError as error:
            if given.get("id", "").endswith("raise"):
                raise
            return failure(error) | {
                "workflow_type": error.workflow_type, "workflow_id": error.workflow_id, "namespace": error.namespace,
                "started": error.started_event_id, "initiated": error.initiated_event_id}
        except Exception as error:
            return failure(error)


@workflow.defn
class Starter:
    """Starts a child, waits for the start alone, and ends as it is told."""

    def __init__(self) -> None:
        self.started = False
        self.ending = ""

    @workflow.run
    async def run(self, args: list, given: dict) -> str:
        given.setdefault("id", f"{workflow.info().workflow_id}-child")
        handle = await workflow.start_child_workflow("Waiting", args=args, **options(given))
        self.started = True
        await workflow.wait_condition(lambda: self.ending != "")
        if self.ending == "fail":
            raise ApplicationError("the parent fails")
        return handle.id

    @workflow.signal
    def end(self, how: str) -> None:
        self.ending = how

    @workflow.query
    def has_started(self) -> bool:
        return self.started


@workflow.defn
class Canceling:
    """Cancels its child after the start, and tells what comes of it."""

    @workflow.run
    async def run(self, then: str, given: dict) -> typing.Any:
        handle = await workflow.start_child_workflow(
            Waiting.run, then, id=f"{workflow.info().workflow_id}-child", **options(given))
        await workflow.sleep(0.05)
        handle.cancel()
        try:
            return await handle
        except ChildWorkflowError as error:
            return failure(error)
        except asyncio.CancelledError:
            return "cancelled"


@workflow.defn
class CancelingAtOnce:
    """Cancels its child before it is started."""

    @workflow.run
    async def run(self) -> typing.Any:
        task = asyncio.create_task(workflow.execute_child_workflow(
            Waiting.run, "raise", id=f"{workflow.info().workflow_id}-child"))
        await asyncio.sleep(0)
        task.cancel()
        try:
            return await task
        except ChildWorkflowError as error:
            return failure(error)
        except asyncio.CancelledError:
            return "cancelled"


@workflow.defn
class SignalingChild:
    @workflow.run
    async def run(self) -> typing.Any:
        handle = await workflow.start_child_workflow(
            Waiting.run, "raise", id=f"{workflow.info().workflow_id}-child")
        await handle.signal(Waiting.add, "one")
        await handle.signal(Waiting.add, "two")
        await handle.signal(Waiting.add, "end")
        return await handle


@workflow.defn
class SignalingAfterEnd:
    @workflow.run
    async def run(self) -> typing.Any:
        handle = await workflow.start_child_workflow(
            Echoing.run, "done", id=f"{workflow.info().workflow_id}-child")
        seen = [await handle]
        try:
            await handle.signal("add", "late")
        except Exception as error:
            seen.append(failure(error))
        return seen


@workflow.defn
class External:
    """Signals or cancels a workflow that is not its child."""

    @workflow.run
    async def run(self, what: str, workflow_id: str, run_id: str | None, values: list) -> typing.Any:
        handle = workflow.get_external_workflow_handle(workflow_id, run_id=run_id)
        try:
            if what == "cancel":
                await handle.cancel()
            for value in values:
                await handle.signal("add", value)
        except Exception as error:
            return failure(error)
        return "done"


@workflow.defn
class Many:
    @workflow.run
    async def run(self, count: int) -> list:
        return await asyncio.gather(*(
            workflow.execute_child_workflow(Echoing.run, i, id=f"{workflow.info().workflow_id}-{i}")
            for i in range(count)))


@workflow.defn
class Nested:
    @workflow.run
    async def run(self) -> typing.Any:
        return await workflow.execute_child_workflow(
            Parent.run, args=["Inside", [], {}], id=f"{workflow.info().workflow_id}-middle")


@workflow.defn
class Decides:
    """Decides on an effect on another workflow, and ends in the same task."""

    @workflow.run
    async def run(self, what: str, workflow_id: str, close: str) -> str:
        if what == "signal":
            effect = workflow.get_external_workflow_handle(workflow_id).signal("add", "end")
        else:
            effect = workflow.execute_child_workflow(
                "Waiting", "clean", id=workflow_id, parent_close_policy=Close[close])
        task = asyncio.create_task(effect)
        await asyncio.sleep(0)
        return f"{task.done()}"


@workflow.defn
class Again:
    """Continues as new, so many times."""

    @workflow.run
    async def run(self, times: int) -> int:
        if times > 0:
            workflow.continue_as_new(times - 1)
        return times


@workflow.defn
class OnceMore:
    @workflow.run
    async def run(self) -> int:
        if workflow.info().attempt < 2:
            raise ApplicationError("once")
        return workflow.info().attempt


@workflow.defn
class ParentAgain:
    """Starts a child and continues as new."""

    @workflow.run
    async def run(self, times: int) -> str:
        if times > 0:
            await workflow.start_child_workflow(
                "Waiting", "clean", id=f"{workflow.info().workflow_id}-child")
            workflow.continue_as_new(times - 1)
        return "alone"


KINDS = [
    Echoing, Failing, Waiting, Inside, Parent, Starter, Canceling, CancelingAtOnce, SignalingChild, SignalingAfterEnd,
    External, Many, Nested, Decides, Again, OnceMore, ParentAgain,
]


def with_children(function):
    """A program with one worker that has all of these."""
    async def run(env):
        async with env.worker(*KINDS, activities=ACTIVITIES):
            return await function(env)

    run.__name__ = function.__name__
    return program(run)


def track(env, *names):
    env.started.extend((env.id(name), None) for name in names)


async def ended(env, name):
    """The status of a workflow that ends."""
    handle = env.client.get_workflow_handle(env.id(name))

    async def has_ended():
        return (await handle.describe()).status != WorkflowExecutionStatus.RUNNING

    await eventually(has_ended)
    return (await handle.describe()).status.name


async def has_started(handle):
    async def asked():
        return await handle.query(Starter.has_started)

    await eventually(asked)


@with_children
async def child_completes(env):
    seen = await env.execute(Parent.run, "Echoing", [{"a": 1}], {})
    track(env, "workflow-child")
    return seen


@with_children
async def child_with_options(env):
    handle = await env.start(
        Parent.run, "Inside", [], {
            "memo": {"note": "kept"}, "execution_timeout": 50, "run_timeout": 40, "task_timeout": 7,
            "static_summary": "a child", "static_details": "of its parent", "attempts": 2},
        memo={"note": "of the parent"})
    seen = await result(handle)
    track(env, "workflow-child")
    run = (await env.client.get_workflow_handle(env.id("workflow-child")).describe()).raw_description
    info = run.workflow_execution_info
    return [seen, info.parent_execution.workflow_id, info.parent_execution.run_id, info.root_execution.workflow_id,
            info.root_execution.run_id]


@with_children
async def children_of_children(env):
    seen = await env.execute(Nested.run)
    track(env, "workflow-middle", "workflow-middle-child")
    return seen


@with_children
async def child_fails(env):
    seen = await env.execute(Parent.run, "Failing", [0], {})
    track(env, "workflow-child")
    return seen


@with_children
async def child_failure_ends_parent(env):
    seen = await env.execute(Failing.run, 2)
    track(env, "workflow-1", "workflow-1-0")
    return seen


@with_children
async def child_times_out(env):
    seen = await env.execute(Parent.run, "Waiting", ["raise"], {"run_timeout": 1.2})
    track(env, "workflow-child")
    return seen


@with_children
async def child_execution_times_out(env):
    seen = await env.execute(Parent.run, "Waiting", ["raise"], {"execution_timeout": 1.2})
    track(env, "workflow-child")
    return seen


@with_children
async def child_terminated(env):
    handle = await env.start(Parent.run, "Waiting", ["raise"], {})
    child = env.client.get_workflow_handle(env.id("workflow-child"))

    async def there():
        return "value" in await attempt(child.query(Waiting.all))

    await eventually(there)
    await child.terminate("enough", "a detail")
    seen = await result(handle)
    track(env, "workflow-child")
    return seen


@with_children
async def child_canceled_from_outside(env):
    handle = await env.start(Parent.run, "Waiting", ["clean"], {})
    child = env.client.get_workflow_handle(env.id("workflow-child"))

    async def there():
        return "value" in await attempt(child.query(Waiting.all))

    await eventually(there)
    await child.cancel()
    seen = await result(handle)
    track(env, "workflow-child")
    return seen


def canceling(name, then, given):
    async def function(env):
        seen = await env.execute(Canceling.run, then, given)
        status = "left" if given.get("cancel") in ("ABANDON", "TRY_CANCEL") else await ended(env, "workflow-child")
        track(env, "workflow-child")
        return [seen, status]

    function.__name__ = name
    return with_children(function)


canceling("cancel_child_and_wait", "clean", {"cancel": "WAIT_CANCELLATION_COMPLETED"})
canceling("cancel_child_that_ignores", "ignore", {"cancel": "WAIT_CANCELLATION_COMPLETED"})
canceling("cancel_child_that_fails", "fail", {"cancel": "WAIT_CANCELLATION_COMPLETED"})
canceling("cancel_child_and_wait_for_request", "clean", {
    "cancel": "WAIT_CANCELLATION_REQUESTED", "close": "ABANDON"})
canceling("try_to_cancel_child", "clean", {"cancel": "TRY_CANCEL", "close": "ABANDON"})
canceling("abandon_cancelled_child", "clean", {"cancel": "ABANDON", "close": "TERMINATE"})


@with_children
async def cancel_child_before_start(env):
    return await env.execute(CancelingAtOnce.run)


@with_children
async def cancel_parent(env):
    handle = await env.start(Parent.run, "Waiting", ["clean"], {"id": env.id("workflow-child-raise")})
    child = env.client.get_workflow_handle(env.id("workflow-child-raise"))

    async def there():
        return "value" in await attempt(child.query(Waiting.all))

    await eventually(there)
    await handle.cancel()
    seen = await result(handle)
    track(env, "workflow-child-raise")
    return seen


def closing(name, how, close, expected):
    async def function(env):
        handle = await env.start(Starter.run, ["raise"], {"close": close})
        await has_started(handle)
        if how == "terminate":
            await handle.terminate("stop")
        elif how == "cancel":
            await handle.cancel()
        else:
            await handle.signal(Starter.end, how)
        seen = await result(handle)
        child = env.client.get_workflow_handle(env.id("workflow-child"))
        if expected == "left":
            await child.signal(Waiting.add, "end")
        status = await ended(env, "workflow-child")
        track(env, "workflow-child")
        return [seen, status, await result(child)]

    function.__name__ = name
    return with_children(function)


closing("parent_completes_and_terminates_child", "complete", "TERMINATE", "ended")
closing("parent_fails_and_terminates_child", "fail", "TERMINATE", "ended")
closing("parent_terminated_and_terminates_child", "terminate", "TERMINATE", "ended")
closing("parent_completes_and_cancels_child", "complete", "REQUEST_CANCEL", "ended")
closing("parent_terminated_and_cancels_child", "terminate", "REQUEST_CANCEL", "ended")
closing("parent_completes_and_abandons_child", "complete", "ABANDON", "left")
closing("parent_canceled_and_abandons_child", "cancel", "ABANDON", "left")


@with_children
async def child_id_in_use(env):
    await env.start(Waiting.run, "raise", id="taken")
    seen = await env.execute(Parent.run, "Echoing", [1], {"id": env.id("taken")})
    await env.client.get_workflow_handle(env.id("taken")).signal(Waiting.add, "end")
    return [seen, await ended(env, "taken")]


@with_children
async def child_id_used_before(env):
    await env.execute(Echoing.run, 1, id="taken")
    return [
        await env.execute(Parent.run, "Echoing", [2], {"id": env.id("taken"), "reuse": "REJECT_DUPLICATE"}),
        await env.execute(
            Parent.run, "Echoing", [3], {"id": env.id("taken"), "reuse": "ALLOW_DUPLICATE_FAILED_ONLY"}, id="second"),
        await env.execute(Parent.run, "Echoing", [4], {"id": env.id("taken")}, id="third"),
    ]


@with_children
async def child_signaled_by_parent(env):
    seen = await env.execute(SignalingChild.run)
    track(env, "workflow-child")
    return seen


@with_children
async def child_signaled_after_its_end(env):
    return await env.execute(SignalingAfterEnd.run)


@unordered
@with_children
async def many_children(env):
    return await env.execute(Many.run, 8)


# Whether the child has a task for each of its signals or one for several depends on how fast its worker is.
@unordered
@program
async def child_without_cache(env):
    async with env.worker(*KINDS, activities=ACTIVITIES, max_cached_workflows=0):
        seen = await env.execute(SignalingChild.run)
        track(env, "workflow-child")
        return seen


@program
async def child_and_worker_replaced(env):
    async with env.worker(*KINDS, activities=ACTIVITIES):
        handle = await env.start(Parent.run, "Waiting", ["raise"], {})
        child = env.client.get_workflow_handle(env.id("workflow-child"))

        async def there():
            return "value" in await attempt(child.query(Waiting.all))

        await eventually(there)
    await child.signal(Waiting.add, "between")
    async with env.worker(*KINDS, activities=ACTIVITIES):
        await child.signal(Waiting.add, "end")
        seen = await result(handle)
    # How long the first worker is waited for differs.
    env.started.clear()
    return seen


@with_children
async def signal_external(env):
    await env.start(Waiting.run, "raise", id="other")
    seen = await env.execute(External.run, "signal", env.id("other"), None, ["one", "end"])
    return [seen, await result(env.client.get_workflow_handle(env.id("other")))]


@with_children
async def signal_external_run(env):
    other = await env.start(Waiting.run, "raise", id="other")
    seen = await env.execute(External.run, "signal", env.id("other"), other.result_run_id, ["end"])
    return [seen, await result(env.client.get_workflow_handle(env.id("other")))]


@with_children
async def signal_external_not_found(env):
    return await env.execute(External.run, "signal", env.id("nobody"), None, ["x"])


@with_children
async def signal_external_closed(env):
    await env.execute(Echoing.run, 1, id="other")
    return await env.execute(External.run, "signal", env.id("other"), None, ["x"])


@with_children
async def cancel_external(env):
    await env.start(Waiting.run, "clean", id="other")
    seen = await env.execute(External.run, "cancel", env.id("other"), None, [])
    return [seen, await result(env.client.get_workflow_handle(env.id("other")))]


@with_children
async def cancel_external_not_found(env):
    return await env.execute(External.run, "cancel", env.id("nobody"), None, [])


@with_children
async def cancel_external_closed(env):
    await env.execute(Echoing.run, 1, id="other")
    return await env.execute(External.run, "cancel", env.id("other"), None, [])


@with_children
async def signal_itself(env):
    return await env.execute(External.run, "signal", env.id("workflow"), None, ["x"])


@with_children
async def cancel_itself(env):
    return await env.execute(External.run, "cancel", env.id("workflow"), None, [])


def deciding(name, what, close):
    """What is decided by the task that closes the run never happens."""
    async def function(env):
        await env.start(Waiting.run, "raise", id="other")
        seen = await env.execute(Decides.run, what, env.id("other" if what == "signal" else "child"), close)
        # Another workflow that begins after it has ended shows that nothing is under way.
        await env.execute(Echoing.run, 1, id="later")
        other = env.client.get_workflow_handle(env.id("other"))
        got = await other.query(Waiting.all)
        await other.signal(Waiting.add, "end")
        child = await attempt(env.client.get_workflow_handle(env.id("child")).describe())
        return [seen, got, await result(other), "error" in child]

    function.__name__ = name
    return with_children(function)


deciding("last_task_signals", "signal", "")
deciding("last_task_starts_child", "child", "TERMINATE")
deciding("last_task_starts_abandoned_child", "child", "ABANDON")


@with_children
async def child_continues_as_new(env):
    seen = await env.execute(Parent.run, "Again", [2], {})
    track(env, "workflow-child")
    return seen


@with_children
async def child_is_tried_again(env):
    seen = await env.execute(Parent.run, "OnceMore", [], {"attempts": 3})
    track(env, "workflow-child")
    return seen


@with_children
async def parent_continues_as_new(env):
    seen = await env.execute(ParentAgain.run, 1)
    status = await ended(env, "workflow-child")
    track(env, "workflow-child")
    return [seen, status]


@with_children
async def parent_and_children_described(env):
    handle = await env.start(Starter.run, ["raise"], {})
    await has_started(handle)
    parent = (await handle.describe()).raw_description
    child = (await env.client.get_workflow_handle(env.id("workflow-child")).describe()).raw_description
    query = f"ParentWorkflowId = '{handle.id}'"
    tree = f"RootWorkflowId = '{handle.id}'"

    async def is_listed():
        return ((await env.client.count_workflows(query)).count == 1
                and (await env.client.count_workflows(tree)).count == 2)

    await eventually(is_listed)
    listed = [run async for run in env.client.list_workflows(query)]
    env.started.clear()
    info = child.workflow_execution_info
    return [
        [[pending.workflow_id, pending.run_id == info.execution.run_id, pending.workflow_type_name,
          pending.initiated_id, pending.parent_close_policy] for pending in parent.pending_children],
        info.parent_execution.workflow_id, info.parent_execution.run_id == handle.result_run_id,
        info.root_execution.workflow_id, parent.workflow_execution_info.root_execution.workflow_id,
        parent.workflow_execution_info.HasField("parent_execution"),
        [[run.id, run.parent_id, run.parent_run_id == handle.result_run_id, run.root_id] for run in listed],
    ]
