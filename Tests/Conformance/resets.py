"""Programs about going back: a run is reset to one of its workflow tasks, and another one goes on from there."""

import asyncio
import uuid
from datetime import timedelta

from google.protobuf import json_format
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import ResetReapplyExcludeType, ResetReapplyType
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import WorkflowUpdateStage
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from harness import IDENTITY, attempt, eventually, program, result, unordered
from programs import LONG, echo

SIGNAL, UPDATE = (ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
                  ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)


class Notes:
    """What signals and updates tell a workflow."""

    def __init__(self) -> None:
        self.notes: list = []

    async def noted(self, *words: str) -> None:
        await workflow.wait_condition(lambda: all(word in self.notes for word in words))

    @workflow.signal
    def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.query
    def seen(self) -> list:
        return self.notes

    @workflow.update
    async def add(self, text: str) -> str:
        self.notes.append(text)
        return f"got {text}"

    @workflow.update
    async def add_later(self, text: str) -> str:
        await self.noted("release")
        self.notes.append(text)
        return f"later {text}"


FAILING: set = set()


@activity.defn
async def fails_at_first(key: str) -> str:
    if key not in FAILING:
        FAILING.add(key)
        raise ApplicationError("not yet", type="NotYet", non_retryable=True)
    return "well"


LET_GO: set = set()


@activity.defn
async def held(value: str) -> str:
    """Runs until its workflow is let go."""
    while activity.info().workflow_id not in LET_GO:
        await asyncio.sleep(0.02)
    return f"held {value}"


@workflow.defn
class Steps(Notes):
    """Two activities with a wait between them, and one after it."""

    @workflow.run
    async def run(self) -> list:
        self.notes.append(await workflow.execute_activity(echo, "first", start_to_close_timeout=LONG))
        await self.noted("go")
        self.notes.append(await workflow.execute_activity(echo, "second", start_to_close_timeout=LONG))
        await self.noted("end")
        return self.notes


@workflow.defn
class Waits(Notes):
    @workflow.run
    async def run(self) -> list:
        try:
            await self.noted("end")
        except asyncio.CancelledError:
            self.notes.append("cancelled")
        return self.notes


@workflow.defn
class Tries:
    @workflow.run
    async def run(self, key: str) -> str:
        return await workflow.execute_activity(
            fails_at_first, key, start_to_close_timeout=LONG, retry_policy=RetryPolicy(maximum_attempts=1))


@workflow.defn
class Pending(Notes):
    """An activity and a timer that are under way when it goes back."""

    @workflow.run
    async def run(self) -> list:
        running = workflow.start_activity(held, "x", start_to_close_timeout=LONG)
        timer = asyncio.create_task(asyncio.sleep(5))
        await self.noted("go")
        self.notes.append(await running)
        await timer
        return self.notes


@workflow.defn
class Again(Notes):
    """Continues as new when it is told to."""

    @workflow.run
    async def run(self, turn: int) -> list:
        await workflow.wait_condition(lambda: {"next", "end"} & set(self.notes))
        if "end" in self.notes:
            return self.notes
        workflow.continue_as_new(turn + 1)


@workflow.defn
class Below(Notes):
    @workflow.run
    async def run(self) -> str:
        await self.noted("end")
        return "below"


@workflow.defn
class Above(Notes):
    """Starts a child, and waits for it when it is told to go on."""

    @workflow.run
    async def run(self, behind: str) -> list:
        if behind:
            await self.noted(behind)
        child = await workflow.start_child_workflow(Below.run, id=f"{workflow.info().workflow_id}-below")
        self.notes.append("started")
        await self.noted("go")
        if "signal" in self.notes:
            try:
                await child.signal(Below.note, "end")
            except ApplicationError as error:
                return [str(error)]
        if "leave" not in self.notes:
            self.notes.append(await child)
        return self.notes


KINDS = [Steps, Waits, Tries, Pending, Again, Below, Above]
ACTIVITIES = [echo, held, fails_at_first]


def with_worker(function=None, **options):
    """Runs a program beside a worker of this file's workflows."""

    def decorate(function):
        async def run(env):
            async with env.worker(*KINDS, activities=ACTIVITIES, **options):
                return await function(env)

        run.__name__ = function.__name__
        return program(run)

    return decorate if function is None else decorate(function)


async def reset(env, id, event, run="", reason="a mistake", request="", reapply=0, exclude=()):
    """Resets a workflow, and lets its new run be compared."""
    answer = await env.client.workflow_service.reset_workflow_execution(ResetWorkflowExecutionRequest(
        namespace=env.client.namespace, workflow_execution=WorkflowExecution(workflow_id=env.id(id), run_id=run),
        reason=reason, workflow_task_finish_event_id=event, request_id=request or str(uuid.uuid4()),
        reset_reapply_type=reapply, reset_reapply_exclude_types=exclude, identity=IDENTITY))
    env.started.append((env.id(id), answer.run_id))
    return env.client.get_workflow_handle(env.id(id), run_id=answer.run_id)


async def events(env, handle):
    return [event["eventType"].removeprefix("EVENT_TYPE_") for event in await env.history(handle.id, handle.run_id)]


async def settled(env, handle, kind, count=1):
    """Waits until a history has so many events of a kind, and no workflow task is under way."""

    async def is_settled():
        found = await events(env, handle)
        tasks = [event for event in found if event.startswith("WORKFLOW_TASK")]
        return found.count(kind) >= count and (
            tasks[-1] == "WORKFLOW_TASK_COMPLETED" or found[-1].startswith("WORKFLOW_EXECUTION_"))

    await eventually(is_settled)


async def begin(env, kind, *arguments, id="workflow", tasks=1, **options):
    """A run, by its own handle, that has completed so many workflow tasks."""
    handle = await env.start(kind, *arguments, id=id, **options)
    run = env.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    await settled(env, run, "WORKFLOW_TASK_COMPLETED", tasks)
    return run


async def tell(env, handle, text):
    count = (await events(env, handle)).count("WORKFLOW_TASK_COMPLETED")
    await handle.signal(Notes.note, text)
    await settled(env, handle, "WORKFLOW_TASK_COMPLETED", count + 1)


async def at(env, handle, kind, place=1):
    """The id of the so-manyth event of a kind."""
    found = [number for number, event in enumerate(await events(env, handle), 1) if event == kind]
    return found[place - 1]


async def described(env, handle):
    answer = json_format.MessageToDict(await env.client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(namespace=env.client.namespace, execution=WorkflowExecution(
            workflow_id=handle.id, run_id=handle.run_id or ""))))
    info, more = answer["workflowExecutionInfo"], answer["workflowExtendedInfo"]
    return {
        "status": info["status"], "first": info["firstRunId"], "root": info["rootExecution"],
        "reset to": more.get("resetRunId"), "was reset": "lastResetTime" in more,
        "begins as it was": more["originalStartTime"] == info["startTime"],
        "activities": [pending["activityId"] for pending in answer.get("pendingActivities", [])],
        "children": [child["workflowId"] for child in answer.get("pendingChildren", [])],
    }


async def stepping(env):
    """A run that has done all but end."""
    handle = await begin(env, Steps.run, tasks=2)
    await handle.signal(Notes.note, "go")
    await settled(env, handle, "ACTIVITY_TASK_COMPLETED", 2)
    return handle


# --- where it goes back to -------------------------------------------------------------------------------------------


@with_worker
async def reset_to_the_first_task(env):
    base = await stepping(env)
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "ACTIVITY_TASK_COMPLETED", 2)
    seen = [await described(env, base), await described(env, new)]
    await tell_end(new)
    return [seen, await result(new)]


async def tell_end(handle):
    await handle.signal(Notes.note, "end")


@with_worker
async def reset_to_a_task_in_the_middle(env):
    base = await stepping(env)
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2))
    await settled(env, new, "ACTIVITY_TASK_COMPLETED", 2)
    await tell_end(new)
    return await result(new)


@with_worker
async def reset_to_a_task_that_was_scheduled(env):
    base = await stepping(env)
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_STARTED", 3), reason="")
    await settled(env, new, "ACTIVITY_TASK_COMPLETED", 2)
    await tell_end(new)
    return await result(new)


@with_worker(max_cached_workflows=0)
async def reset_without_a_cache(env):
    base = await stepping(env)
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2))
    await settled(env, new, "ACTIVITY_TASK_COMPLETED", 2)
    again = await reset(env, "workflow", await at(env, new, "WORKFLOW_TASK_COMPLETED", 2))
    await settled(env, again, "ACTIVITY_TASK_COMPLETED", 2)
    seen = [await described(env, new), await described(env, again)]
    await tell_end(again)
    return seen + [await result(again)]


@with_worker
async def reset_of_a_completed_run(env):
    base = await stepping(env)
    await tell_end(base)
    seen = [await result(base)]
    tasks = (await events(env, base)).count("WORKFLOW_TASK_COMPLETED")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", tasks))
    return seen + [await result(new), await described(env, base)]


@with_worker
async def reset_of_a_failed_run(env):
    base = await begin(env, Tries.run, env.id("key"))
    seen = [await result(base)]
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    return seen + [await result(new)]


@with_worker
async def reset_of_a_run_that_timed_out(env):
    base = await begin(env, Waits.run, run_timeout=timedelta(seconds=2))
    seen = [await result(base)]
    # The time of the run begins anew.
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    return seen + [await result(new)]


@with_worker
async def reset_of_a_terminated_run(env):
    base = await begin(env, Waits.run)
    await tell(env, base, "x")
    await base.terminate("enough")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED")
    await tell_end(new)
    return await result(new)


@program
async def reset_while_no_worker_is_there(env):
    async with env.worker(*KINDS, activities=ACTIVITIES):
        base = await stepping(env)
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2))
    await new.signal(Notes.note, "between")
    async with env.worker(*KINDS, activities=ACTIVITIES):
        await settled(env, new, "ACTIVITY_TASK_COMPLETED", 2)
        await tell_end(new)
        return await result(new)


@unordered
@program
async def reset_while_a_worker_dies(env):
    async with env.worker(*KINDS, activities=ACTIVITIES):
        base = await begin(env, Pending.run)
        await tell(env, base, "go")
        new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2))
        await settled(env, new, "WORKFLOW_TASK_COMPLETED", 2)
    # Another one goes on, from the history alone.
    LET_GO.add(base.id)
    async with env.worker(*KINDS, activities=ACTIVITIES):
        return await result(new)


@with_worker
async def reset_where_it_cannot_be(env):
    base = await stepping(env)
    length = len(await events(env, base))
    no_tasks = [await at(env, base, "ACTIVITY_TASK_COMPLETED"), 2]
    seen = [await attempt(reset(env, "workflow", event)) for event in (0, 1, length + 1, 1000)]
    # The words for these depend on how a server stores a history.
    for event in no_tasks:
        answer = await attempt(reset(env, "workflow", event))
        seen.append(answer["error"]["kind"] if "error" in answer else answer)
    seen += [await attempt(reset(env, "nobody", 4)),
             await attempt(reset(env, "workflow", 4, run=str(uuid.UUID(int=7))))]
    await tell_end(base)
    return [seen, await result(base)]


# --- what is applied again -------------------------------------------------------------------------------------------


@with_worker
async def reset_applies_signals_and_updates(env):
    base = await begin(env, Waits.run)
    await tell(env, base, "one")
    seen = [await base.execute_update(Notes.add, "two", id="two")]
    await tell(env, base, "three")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "WORKFLOW_EXECUTION_UPDATE_COMPLETED")
    seen += [await new.query(Notes.seen), await new.execute_update(Notes.add, "other", id="two")]
    await tell_end(new)
    return seen + [await result(new)]


@with_worker
async def reset_applies_what_it_is_told_to(env):
    base = await begin(env, Waits.run)
    await tell(env, base, "one")
    await base.execute_update(Notes.add, "two", id="two")
    await tell(env, base, "three")
    event = await at(env, base, "WORKFLOW_TASK_COMPLETED")
    seen = []
    for reapply, exclude in (
        (ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL, ()), (ResetReapplyType.RESET_REAPPLY_TYPE_NONE, ()),
        (0, (SIGNAL,)), (0, (UPDATE,)), (ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE, (SIGNAL, UPDATE)),
    ):
        new = await reset(env, "workflow", event, run=base.run_id, reapply=reapply, exclude=exclude)
        await settled(env, new, "WORKFLOW_TASK_COMPLETED")
        seen.append(await new.query(Notes.seen))
    await tell_end(new)
    return [seen, await result(new)]


@with_worker(max_cached_workflows=0)
async def reset_with_an_update_under_way(env):
    base = await begin(env, Waits.run)
    update = await base.start_update(
        Notes.add_later, "early", id="early", wait_for_stage=WorkflowUpdateStage.ACCEPTED)
    await tell(env, base, "x")
    # It was accepted before the place that the run goes back to, so it goes on there.
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 3))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED", 3)
    await tell(env, new, "release")
    known = new.get_update_handle("early", result_type=str)
    seen = [await attempt(known.result()), type(await attempt(update.result())).__name__]
    # Of that a second reset takes over the whole.
    again = await reset(env, "workflow", await at(env, new, "WORKFLOW_TASK_COMPLETED", 1))
    await settled(env, again, "WORKFLOW_EXECUTION_UPDATE_COMPLETED")
    await tell_end(again)
    return seen + [await result(again)]


@with_worker
async def reset_with_a_request_to_cancel(env):
    base = await begin(env, Waits.run)
    await base.cancel()
    seen = [await result(base)]
    # A request that came behind the place is not made again, one that came before it is known.
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED")
    seen += [await described(env, new)]
    again = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2), run=base.run_id)
    return seen + [await result(again)]


# --- what goes on ----------------------------------------------------------------------------------------------------


@unordered
@with_worker
async def reset_with_an_activity_and_a_timer(env):
    base = await begin(env, Pending.run)
    await tell(env, base, "go")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 2))
    seen = [await described(env, new)]
    LET_GO.add(base.id)
    return seen + [await result(new)]


@with_worker
async def reset_of_a_chain(env):
    base = await begin(env, Again.run, 1)
    await tell(env, base, "one")
    await base.signal(Notes.note, "next")
    await settled(env, base, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW")
    current = env.client.get_workflow_handle(base.id)
    await current.signal(Notes.note, "two")
    current = env.client.get_workflow_handle(base.id, run_id=(await current.describe()).run_id)
    await settled(env, current, "WORKFLOW_TASK_COMPLETED")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"), run=base.run_id)
    await settled(env, new, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW")
    seen = [await described(env, base), await described(env, current)]
    env.started.append((base.id, current.run_id))
    last = env.client.get_workflow_handle(base.id)
    await last.signal(Notes.note, "end")
    last = env.client.get_workflow_handle(base.id, run_id=(await last.describe()).run_id)
    env.started.append((base.id, last.run_id))
    return seen + [await result(last)]


async def with_child(env, *arguments):
    base = await begin(env, Above.run, *(arguments or ("",)), tasks=1 if arguments else 2)
    if arguments:
        await tell(env, base, arguments[0])
        await settled(env, base, "WORKFLOW_TASK_COMPLETED", 3)
    return base, env.client.get_workflow_handle(f"{base.id}-below")


@with_worker
async def reset_keeps_a_child(env):
    base, child = await with_child(env)
    await tell(env, base, "x")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 3))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED", 3)
    seen = [await described(env, new), (await child.describe()).status.name]
    await tell(env, new, "go")
    await child.signal(Notes.note, "end")
    return seen + [await result(new)]


@with_worker
async def reset_knows_how_a_child_ended(env):
    base, child = await with_child(env)
    await tell(env, base, "x")
    await child.signal(Notes.note, "end")
    await settled(env, base, "CHILD_WORKFLOW_EXECUTION_COMPLETED")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 3))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED", 3)
    await tell(env, new, "go")
    return await result(new)


@with_worker
async def reset_meets_its_child(env):
    base, child = await with_child(env, "begin")
    # The child was started behind the place, and is still there.
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    seen = [await result(new), (await child.describe()).status.name]
    await child.signal(Notes.note, "end")
    return seen + [await result(child)]


@with_worker
async def reset_starts_a_child_again(env):
    base, child = await with_child(env, "begin")
    await child.signal(Notes.note, "end")
    await settled(env, base, "CHILD_WORKFLOW_EXECUTION_COMPLETED")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "CHILD_WORKFLOW_EXECUTION_STARTED")
    second = env.client.get_workflow_handle(child.id)
    second = env.client.get_workflow_handle(child.id, run_id=(await second.describe()).run_id)
    env.started.append((child.id, second.run_id))
    await settled(env, second, "WORKFLOW_TASK_COMPLETED")
    await tell(env, new, "go")
    await second.signal(Notes.note, "end")
    return await result(new)


@with_worker
async def reset_leaves_a_kept_child_alone(env):
    base, child = await with_child(env)
    await tell(env, base, "x")
    new = await reset(env, "workflow", await at(env, base, "WORKFLOW_TASK_COMPLETED", 3))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED", 3)
    await tell(env, new, "leave")
    await new.signal(Notes.note, "go")
    # Its parent close policy names the run that started it.
    seen = [await result(new), (await child.describe()).status.name]
    await child.signal(Notes.note, "end")
    return seen + [await result(child)]


@with_worker
async def reset_of_a_child(env):
    base, child = await with_child(env)
    child = env.client.get_workflow_handle(child.id, run_id=(await child.describe()).run_id)
    await settled(env, child, "WORKFLOW_TASK_COMPLETED")
    new = await reset(env, "workflow-below", await at(env, child, "WORKFLOW_TASK_COMPLETED"))
    await settled(env, new, "WORKFLOW_TASK_COMPLETED")
    seen = [await events(env, base)]
    await tell(env, base, "go")
    await new.signal(Notes.note, "end")
    return seen + [await result(base), await described(env, child)]
