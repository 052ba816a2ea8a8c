"""Programs in which somebody pauses, unpauses and resets activities, and changes their options."""

import asyncio
import typing
from datetime import timedelta

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio import activity, workflow
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Priority as PriorityMessage, RetryPolicy as RetryPolicyMessage, WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest, PauseActivityRequest, ResetActivityRequest, UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ApplicationError

from harness import attempt, eventually, program, result, unordered
from programs import LONG

WAITS = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED

# --- activities and workflows ----------------------------------------------------------------------------------------

# Of each workflow the attempt that may succeed; of those that are let go, their ids.
SUCCEEDS: dict[str, int] = {}
LET_GO: set[str] = set()
SEEN: dict[str, list] = {}


@activity.defn(name="tries")
async def tries() -> list:
    """Fails until its workflow's turn has come, and returns what it knows of itself."""
    info = activity.info()
    if info.workflow_id not in LET_GO:
        raise ApplicationError(f"attempt {info.attempt}", type="NotYet")
    return [info.attempt, list(info.heartbeat_details)]


@activity.defn(name="beats")
async def beats(then: str) -> list:
    """Beats until it is let go or told to end, and notes what it was told."""
    info = activity.info()
    seen = SEEN.setdefault(info.workflow_id, [])
    seen.append(["begins", info.attempt, list(info.heartbeat_details)])
    try:
        while info.workflow_id not in LET_GO:
            activity.heartbeat("beat", info.attempt)
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        seen.append(["told", info.attempt, [name for name in (
            "not_found", "cancel_requested", "paused", "timed_out", "worker_shutdown", "reset")
            if getattr(details, name)]])
        if then == "return":
            return ["ended", info.attempt]
        if then == "fail":
            raise ApplicationError("for good", non_retryable=True) from None
        raise
    return ["let go", info.attempt]


@activity.defn(name="hangs_quietly")
async def hangs_quietly() -> list:
    info = activity.info()
    SEEN.setdefault(info.workflow_id, []).append(["begins", info.attempt])
    while info.workflow_id not in LET_GO:
        await asyncio.sleep(0.02)
    return [info.attempt]


@workflow.defn
class Runs:
    """Runs one activity, and more beside it of the same type."""

    @workflow.run
    async def run(self, name: str, arguments: list, options: dict) -> typing.Any:
        policy = {
            key: timedelta(seconds=value) if key.endswith("interval") else value
            for key, value in options.pop("retry", {}).items()}
        times = {key: timedelta(seconds=value) for key, value in options.items() if key.endswith("timeout")}
        if not {"start_to_close_timeout", "schedule_to_close_timeout"} & times.keys():
            times["start_to_close_timeout"] = LONG
        more = options.get("more", 0)
        ids = ["the-activity"] + [f"another-{number}" for number in range(1, more + 1)]
        handles = [
            workflow.start_activity(
                name, args=arguments, activity_id=id, task_queue=options.get("queue"),
                retry_policy=RetryPolicy(**policy), priority=Priority(priority_key=options.get("priority")),
                cancellation_type=WAITS if options.get("waits") else workflow.ActivityCancellationType.TRY_CANCEL,
                **times)
            for id in ids]
        if options.get("cancels"):
            await workflow.wait_condition(lambda: self.is_asked)
            handles[0].cancel()
        results = [await handle for handle in handles]
        return results if more else results[0]

    def __init__(self):
        self.is_asked = False

    @workflow.signal
    def cancel(self) -> None:
        self.is_asked = True


ACTIVITIES = [tries, beats, hangs_quietly]
SLOW = {"retry": {"initial_interval": 600}}
SOON = {"retry": {"initial_interval": 1, "backoff_coefficient": 1.0}}
# A worker sends heartbeats as often as their time-out asks for.
BEATS = {"heartbeat_timeout": 1, **SOON}
BEATS_SLOWLY = {"heartbeat_timeout": 1, **SLOW}


# --- calls -----------------------------------------------------------------------------------------------------------


class Subject:
    """A workflow of which activities are paused, reset or changed."""

    def __init__(self, env, handle):
        self.env, self.handle = env, handle
        self.service = env.client.workflow_service
        self.seen: list = []
        self.notes: list = []

    @classmethod
    async def start(cls, env, name, arguments=(), options=None, **more):
        handle = await env.start(Runs.run, name, list(arguments), options or {}, **more)
        return cls(env, handle)

    @property
    def execution(self):
        return WorkflowExecution(workflow_id=self.handle.id)

    def target(self, options):
        """The activity, unless another or a type is named."""
        given = {"namespace": self.env.client.namespace, "execution": self.execution, "identity": "somebody"}
        if not {"id", "type", "match_all", "unpause_all", "nothing"} & options.keys():
            given["id"] = "the-activity"
        options.pop("nothing", None)
        if "jitter" in options:
            options["jitter"] = Duration(seconds=options["jitter"])
        return given | options

    async def call(self, method, request):
        self.seen.append(await attempt(answered(method, request)))

    async def pause(self, **options):
        await self.call(self.service.pause_activity, PauseActivityRequest(**self.target(options)))

    async def unpause(self, **options):
        await self.call(self.service.unpause_activity, UnpauseActivityRequest(**self.target(options)))

    async def reset(self, **options):
        await self.call(self.service.reset_activity, ResetActivityRequest(**self.target(options)))

    async def change(self, mask, options=None, **more):
        request = UpdateActivityOptionsRequest(
            activity_options=ActivityOptions(**(options or {})), update_mask=FieldMask(paths=mask), **self.target(more))
        if mask is None:
            request.ClearField("update_mask")
        if options is None:
            request.ClearField("activity_options")
        await self.call(self.service.update_activity_options, request)

    async def pending(self):
        answer = await self.service.describe_workflow_execution(DescribeWorkflowExecutionRequest(
            namespace=self.env.client.namespace, execution=self.execution))
        return [pending(json_format.MessageToDict(item)) for item in answer.pending_activities]

    async def look(self):
        """Notes what describe says of the activities."""
        self.seen.append(sorted(await self.pending(), key=lambda item: item["activityId"]))

    async def until(self, **members):
        """Waits until describe says so of the activity."""
        last = []

        async def is_so():
            last[:] = [item for item in await self.pending() if item["activityId"] == "the-activity"]
            return bool(last) and all(last[0].get(key) == value for key, value in members.items())

        try:
            await eventually(is_so, 20)
        except asyncio.TimeoutError:
            raise AssertionError(f"{self.env.name}: never {members}, but {last}") from None

    async def backs_off(self, attempt=2):
        await self.until(attempt=attempt, state="PENDING_ACTIVITY_STATE_SCHEDULED")

    async def stays(self, seconds, **members):
        """Looks for some time that it does not change."""
        for _ in range(int(seconds / 0.1)):
            found = [item for item in await self.pending() if item["activityId"] == "the-activity"]
            if not found or any(found[0].get(key) != value for key, value in members.items()):
                self.seen.append(["changed", found])
                return
            await asyncio.sleep(0.1)
        self.seen.append("stays")

    async def told(self, count):
        async def has():
            return len(SEEN.get(self.handle.id, [])) >= count

        await eventually(has, 20)

    def let_go(self):
        LET_GO.add(self.handle.id)

    async def end(self):
        """All that was seen, with the result."""
        return [*self.seen, await result(self.handle)]


async def answered(method, request):
    return json_format.MessageToDict(await method(request))


def pending(item):
    """Of times, that they are there."""
    seen = {key: "a time" if key.endswith("Time") else value for key, value in item.items()}
    if "pauseInfo" in seen:
        seen["pauseInfo"] = {
            key: "a time" if key.endswith("Time") else value for key, value in seen["pauseInfo"].items()}
    if "currentRetryInterval" in seen:
        # In whole seconds; of an attempt that timed out Temporal counts from the year 1970.
        seconds = round(float(seen.pop("currentRetryInterval").rstrip("s")))
        if seconds < 1_000_000_000:
            seen["currentRetryInterval"] = seconds
    if "lastFailure" in seen:
        seen["lastFailure"] = {"message": seen["lastFailure"].get("message")}
    return seen


def with_activities(function):
    """A program whose worker has the workflow and the activities."""
    async def run(env):
        async with env.worker(Runs, activities=ACTIVITIES):
            return await function(env)

    run.__name__ = function.__name__
    return program(run)


# --- pausing ---------------------------------------------------------------------------------------------------------


@with_activities
async def activity_paused_while_backing_off(env):
    it = await Subject.start(env, "tries", options=SOON)
    await it.backs_off()
    await it.pause(reason="under repair")
    await it.look()
    await it.stays(1.5, paused=True)
    await it.pause(reason="a second time", identity="another")
    await it.look()
    it.let_go()
    await it.unpause()
    return await it.end()


@with_activities
async def activity_paused_and_unpaused_in_a_long_backoff(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.pause()
    it.let_go()
    await it.unpause()
    return await it.end()


@with_activities
async def activity_paused_while_it_runs(env):
    it = await Subject.start(env, "beats", ["raise"], BEATS)
    await it.told(1)
    await it.pause(reason="stop")
    await it.look()
    await it.told(2)
    await it.until(state="PENDING_ACTIVITY_STATE_PAUSED")
    await it.look()
    it.let_go()
    await it.unpause()
    seen = await it.end()
    return [SEEN[it.handle.id], seen]


@with_activities
async def activity_that_returns_though_paused(env):
    it = await Subject.start(env, "beats", ["return"], BEATS)
    await it.told(1)
    await it.pause()
    return [await it.end(), SEEN[it.handle.id]]


@with_activities
async def activity_unpaused_while_it_runs(env):
    it = await Subject.start(env, "hangs_quietly", [])
    await it.told(1)
    await it.pause()
    await it.look()
    await it.unpause()
    await it.look()
    it.let_go()
    return await it.end()


@program
async def activity_paused_before_it_starts(env):
    async with env.worker(Runs):
        it = await Subject.start(env, "tries", options={**SOON, "queue": f"{env.queue}-2"})
        await it.until(attempt=1)
        await it.pause()
        await it.look()
        it.let_go()
        async with env.worker(activities=ACTIVITIES, queue=f"{env.queue}-2"):
            await it.stays(1)
            await it.unpause()
            return await it.end()


@with_activities
async def last_attempt_of_an_activity_fails_though_paused(env):
    it = await Subject.start(env, "beats", ["raise"], {
        "heartbeat_timeout": 1, "retry": {"maximum_attempts": 1, "initial_interval": 1}})
    await it.told(1)
    await it.pause()
    await it.until(state="PENDING_ACTIVITY_STATE_PAUSED")
    await it.look()
    it.let_go()
    await it.unpause()
    return await it.end()


@with_activities
async def activity_that_fails_for_good_though_paused(env):
    it = await Subject.start(env, "beats", ["fail"], BEATS)
    await it.told(1)
    await it.pause()
    return await it.end()


@with_activities
async def activity_canceled_while_paused_and_waited_for(env):
    it = await Subject.start(env, "tries", options={**SLOW, "cancels": True, "waits": True})
    await it.backs_off()
    await it.pause()
    await it.handle.signal(Runs.cancel)
    return await it.end()


@with_activities
async def activity_canceled_and_paused_while_it_runs(env):
    it = await Subject.start(env, "beats", ["raise"], {**BEATS, "cancels": True, "waits": True})
    await it.told(1)
    await it.pause()
    await it.handle.signal(Runs.cancel)
    return await it.end()


@unordered
@with_activities
async def activities_paused_by_type(env):
    it = await Subject.start(env, "tries", options={**SLOW, "more": 2})
    await it.backs_off()

    async def all_back_off():
        return all(item["attempt"] == 2 for item in await it.pending())

    await eventually(all_back_off)
    await it.pause(type="tries")
    await it.look()
    await it.unpause(type="tries", reset_attempts=True)
    await it.backs_off()
    await eventually(all_back_off)
    await it.look()
    await it.pause(id="another-1")
    await it.pause(id="the-activity")
    await it.look()
    it.let_go()
    await it.unpause(unpause_all=True, reset_attempts=True)
    await it.reset(match_all=True)
    return await it.end()


@with_activities
async def activity_unpaused_with_attempts_and_heartbeat_reset(env):
    it = await Subject.start(env, "beats", ["raise"], BEATS_SLOWLY)
    await it.told(1)
    await it.until(heartbeatDetails=await beaten(it))
    await it.pause()
    await it.told(2)
    await it.until(state="PENDING_ACTIVITY_STATE_PAUSED")
    await it.look()
    it.let_go()
    await it.unpause(reset_attempts=True, reset_heartbeat=True)
    return [await it.end(), SEEN[it.handle.id]]


async def beaten(it):
    async def has():
        return any("heartbeatDetails" in item for item in await it.pending())

    await eventually(has)
    return (await it.pending())[0]["heartbeatDetails"]


@with_activities
async def activity_unpaused_with_jitter(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.pause()
    it.let_go()
    await it.unpause(jitter=1, reset_attempts=True)
    return await it.end()


@with_activities
async def activity_paused_by_several(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    for request in ("one", "two", "one", ""):
        await it.pause(request_id=request)
    it.let_go()
    await it.unpause()
    return await it.end()


# --- resetting -------------------------------------------------------------------------------------------------------


@with_activities
async def activity_reset_while_backing_off(env):
    it = await Subject.start(
        env, "tries", options={"retry": {"initial_interval": 0.1, "maximum_interval": 600, "backoff_coefficient": 50}})
    await it.backs_off(3)
    await it.look()
    it.let_go()
    await it.reset()
    return await it.end()


@with_activities
async def activity_reset_that_fails_again(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.reset()
    await it.backs_off()
    await it.look()
    it.let_go()
    await it.reset(jitter=1)
    return await it.end()


@with_activities
async def activity_reset_while_it_runs(env):
    it = await Subject.start(env, "beats", ["raise"], BEATS)
    await it.told(1)
    await it.reset()
    await it.look()
    await it.told(3)
    await it.look()
    it.let_go()
    return [await it.end(), SEEN[it.handle.id]]


@with_activities
async def activity_reset_with_its_heartbeat_while_it_runs(env):
    it = await Subject.start(env, "beats", ["raise"], BEATS)
    await it.told(1)
    await it.until(heartbeatDetails=await beaten(it))
    await it.reset(reset_heartbeat=True)
    await it.told(3)
    it.let_go()
    return [await it.end(), SEEN[it.handle.id]]


@with_activities
async def activity_reset_while_paused(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.pause(reason="kept")
    await it.reset(keep_paused=True)
    await it.look()
    await it.stays(0.5)
    it.let_go()
    await it.reset()
    return await it.end()


@with_activities
async def activity_reset_while_it_runs_paused(env):
    # The first heartbeat has been answered, and the next is six seconds away.
    it = await Subject.start(env, "beats", ["raise"], {"heartbeat_timeout": 8, **SLOW})
    await it.until(heartbeatDetails=await beaten(it))
    await it.pause()
    await it.reset(keep_paused=True)
    await it.look()
    await it.until(state="PENDING_ACTIVITY_STATE_PAUSED")
    await it.look()
    it.let_go()
    await it.unpause()
    return [await it.end(), SEEN[it.handle.id]]


# --- changing options ------------------------------------------------------------------------------------------------


@with_activities
async def activity_options_changed(env):
    it = await Subject.start(env, "tries", options={**SLOW, "priority": 2})
    await it.backs_off()
    await it.change(["startToCloseTimeout", "retryPolicy.maximumAttempts"], {
        "start_to_close_timeout": Duration(seconds=7), "retry_policy": RetryPolicyMessage(maximum_attempts=9)})
    await it.look()
    await it.change(
        ["schedule_to_close_timeout", "schedule_to_start_timeout", "heartbeat_timeout", "retry_policy.initial_interval",
         "retry_policy.maximum_interval", "retry_policy.backoff_coefficient", "priority"], {
            "schedule_to_close_timeout": Duration(seconds=500), "schedule_to_start_timeout": Duration(seconds=400),
            "heartbeat_timeout": Duration(seconds=3), "priority": PriorityMessage(priority_key=4),
            "retry_policy": RetryPolicyMessage(
                initial_interval=Duration(seconds=300), maximum_interval=Duration(seconds=301),
                backoff_coefficient=3)})
    await it.look()
    await it.change([], restore_original=True)
    await it.look()
    await it.change(["retryPolicy"], {"retry_policy": RetryPolicyMessage(
        initial_interval=Duration(seconds=1), backoff_coefficient=1, maximum_interval=Duration(seconds=2))})
    await it.look()
    it.let_go()
    return await it.end()


@with_activities
async def activity_moved_to_another_queue(env):
    it = await Subject.start(env, "tries", options={**SLOW, "queue": f"{env.queue}-nobody"})
    await it.until(attempt=1)
    it.let_go()
    await it.change(["taskQueue.name"], {"task_queue": TaskQueue(name=env.queue)})
    return await it.end()


@with_activities
async def activity_options_changed_while_it_runs(env):
    it = await Subject.start(env, "hangs_quietly", [], SLOW)
    await it.told(1)
    await it.change(["startToCloseTimeout", "retryPolicy.initialInterval"], {
        "start_to_close_timeout": Duration(seconds=2), "retry_policy": RetryPolicyMessage(
            initial_interval=Duration(seconds=1))})
    await it.look()
    await it.backs_off()
    await it.look()
    it.let_go()
    return await it.end()


@unordered
@with_activities
async def activity_options_changed_by_type(env):
    it = await Subject.start(env, "tries", options={**SLOW, "more": 1})
    await it.backs_off()
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)}, type="tries")
    await it.look()
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=12)}, match_all=True)
    await it.change([], restore_original=True, type="tries")
    await it.look()
    it.let_go()
    await it.reset(type="tries", restore_original_options=True)
    return await it.end()


@with_activities
async def activity_reset_with_its_options(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.change(["startToCloseTimeout"], {"start_to_close_timeout": Duration(seconds=7)})
    await it.reset(restore_original_options=True)
    await it.backs_off()
    await it.look()
    it.let_go()
    await it.reset()
    return await it.end()


@with_activities
async def activity_options_refused(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    await it.change(["nonsense"], {"heartbeat_timeout": Duration(seconds=11)})
    await it.change([], {"heartbeat_timeout": Duration(seconds=11)})
    await it.change(None, {"heartbeat_timeout": Duration(seconds=11)})
    await it.change(["heartbeatTimeout"], None)
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=-1)})
    await it.change(["retryPolicy.maximumAttempts"], {"retry_policy": RetryPolicyMessage(maximum_attempts=-1)})
    await it.change(["retryPolicy.backoffCoefficient"], {"retry_policy": RetryPolicyMessage(backoff_coefficient=0.5)})
    await it.change(["startToCloseTimeout"], {})
    await it.change(["taskQueue.name"], {})
    await it.change(["taskQueue"], {"task_queue": TaskQueue(name="x")})
    await it.change(["priority"], {"priority": PriorityMessage(priority_key=-1)})
    await it.change(["startDelay"], {"start_delay": Duration(seconds=1)})
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)}, restore_original=True)
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)}, id="nobody")
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)}, type="nobody")
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)}, nothing=True)
    await it.look()
    it.let_go()
    await it.reset()
    return await it.end()


@with_activities
async def activity_calls_refused(env):
    it = await Subject.start(env, "tries", options=SLOW)
    await it.backs_off()
    for call in (it.pause, it.unpause, it.reset):
        await call(id="nobody")
        await call(type="nobody")
        await call(nothing=True)
        await call(id="")
        await call(execution=WorkflowExecution(workflow_id=env.id("nobody")))
        await call(execution=WorkflowExecution())
        await call(execution=WorkflowExecution(workflow_id=it.handle.id, run_id="nonsense"))
    await it.unpause()
    it.let_go()
    await it.reset()
    it.seen.append(await result(it.handle))
    for call in (it.pause, it.unpause, it.reset):
        await call()
    await it.change(["heartbeatTimeout"], {"heartbeat_timeout": Duration(seconds=11)})
    return it.seen


# --- with cancellation, time-outs and dead workers -------------------------------------------------------------------


@with_activities
async def activity_canceled_while_paused(env):
    it = await Subject.start(env, "tries", options={**SLOW, "cancels": True})
    await it.backs_off()
    await it.pause()
    await it.handle.signal(Runs.cancel)
    return await it.end()


@with_activities
async def activity_canceled_while_it_runs_paused(env):
    it = await Subject.start(env, "beats", ["raise"], {**SLOW, "cancels": True, "heartbeat_timeout": 1})
    await it.told(1)
    await it.handle.signal(Runs.cancel)
    await it.pause()
    return await it.end()


@with_activities
async def activity_times_out_while_paused(env):
    it = await Subject.start(env, "tries", options={"schedule_to_close_timeout": 3, "retry": {
        "initial_interval": 1, "backoff_coefficient": 1}})
    await it.backs_off()
    await it.pause()
    await it.stays(3, paused=True)
    await it.unpause()
    return await it.end()


@program
async def activity_waits_for_a_start_while_paused(env):
    async with env.worker(Runs):
        it = await Subject.start(env, "tries", options={"schedule_to_start_timeout": 2, "queue": f"{env.queue}-2"})
        await it.until(attempt=1)
        await it.pause()
        await it.stays(3, paused=True)
        await it.unpause()
        return await it.end()


@with_activities
async def activity_attempt_times_out_while_paused(env):
    it = await Subject.start(env, "hangs_quietly", [], {"start_to_close_timeout": 2, **SOON})
    await it.told(1)
    await it.pause()
    await it.stays(3, paused=True)
    await it.look()
    await it.unpause()
    await it.backs_off()
    it.let_go()
    return await it.end()


@with_activities
async def second_attempt_of_an_activity_reset_while_it_runs(env):
    it = await Subject.start(env, "hangs_quietly", [], {"start_to_close_timeout": 2, "retry": {
        "initial_interval": 0.2, "backoff_coefficient": 1, "maximum_attempts": 2}})
    await it.until(attempt=2, state="PENDING_ACTIVITY_STATE_STARTED")
    await it.reset()
    await it.look()
    await it.told(3)
    await it.look()
    it.let_go()
    return await it.end()


@program
async def paused_activity_of_a_worker_that_dies(env):
    async with env.worker(Runs):
        queue = f"{env.queue}-2"
        options = {"heartbeat_timeout": 2, "queue": queue, **SOON}
        async with env.worker(activities=ACTIVITIES, queue=queue):
            it = await Subject.start(env, "hangs_quietly", [], options)
            await it.told(1)
            await it.pause()
        await it.until(state="PENDING_ACTIVITY_STATE_PAUSED")
        await it.look()
        it.let_go()
        async with env.worker(activities=ACTIVITIES, queue=queue):
            await it.stays(1)
            await it.unpause()
            return await it.end()


@program
async def paused_activity_without_cache(env):
    async with env.worker(Runs, activities=ACTIVITIES, max_cached_workflows=0):
        it = await Subject.start(env, "tries", options=SOON)
        await it.backs_off()
        await it.pause()
        it.let_go()
        await it.unpause(reset_attempts=True)
        return await it.end()
