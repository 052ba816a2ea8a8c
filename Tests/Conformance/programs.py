"""The programs: what people do with workflows, activities, timers, signals, queries and policies."""

import asyncio
import typing
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError, WorkflowQueryRejectedError
from temporalio.common import (
    Priority, QueryRejectCondition, RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes,
    WorkflowIDConflictPolicy, WorkflowIDReusePolicy,
)
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from harness import attempt, eventually, program, result, unordered

SECOND = timedelta(seconds=1)
LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=300)
QUICKLY = RetryPolicy(initial_interval=timedelta(milliseconds=20))
ONCE = RetryPolicy(maximum_attempts=1)

# --- activities ------------------------------------------------------------------------------------------------------


@activity.defn
async def echo(value: typing.Any) -> typing.Any:
    return value


@activity.defn
async def nothing() -> None:
    return None


@activity.defn
async def tell_priority() -> int | None:
    return activity.info().priority.priority_key


@activity.defn
async def make(size: int) -> str:
    return "x" * size


@activity.defn
async def add(left: int, right: int) -> int:
    return left + right


@activity.defn
async def fails_until(attempts: int) -> int:
    if activity.info().attempt < attempts:
        raise ApplicationError(f"attempt {activity.info().attempt}", {"n": activity.info().attempt}, type="NotYet")
    return activity.info().attempt


@activity.defn
async def fails(kind: str) -> None:
    if kind == "plain":
        raise ValueError("plain")
    if kind == "final":
        raise ApplicationError("final", "detail", 2, type="Final", non_retryable=True)
    if kind == "delay":
        if activity.info().attempt > 2:
            raise ApplicationError("enough", non_retryable=True)
        raise ApplicationError("later", next_retry_delay=timedelta(milliseconds=30))
    if kind == "chain":
        try:
            raise ValueError("inner")
        except ValueError as error:
            raise ApplicationError("outer", type="Outer") from error
    raise ApplicationError(kind, type=kind)


@activity.defn
async def hangs() -> str:
    await asyncio.sleep(20)
    return "awake"


@activity.defn
async def hangs_later() -> None:
    if activity.info().attempt == 1:
        raise ApplicationError("first")
    await asyncio.sleep(20)


@activity.defn
async def beats_then_hangs() -> None:
    activity.heartbeat("progress", activity.info().attempt)
    await asyncio.sleep(20)


@activity.defn
async def resumes() -> list:
    details = list(activity.info().heartbeat_details)
    if not details:
        activity.heartbeat("step", 3)
        await asyncio.sleep(0.3)
        raise ApplicationError("again")
    return details


@activity.defn
async def waits_for_cancel(then: str) -> str:
    try:
        while True:
            activity.heartbeat("alive")
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        if then == "ignore":
            return "ignored"
        if then == "fail":
            raise ApplicationError("cleanup failed", non_retryable=True) from None
        raise


@activity.defn
async def waits_a_moment(milliseconds: int) -> int:
    await asyncio.sleep(milliseconds / 1000)
    return milliseconds


ACTIVITIES = [
    echo, nothing, tell_priority, make, add, fails_until, fails, hangs, hangs_later, beats_then_hangs, resumes,
    waits_for_cancel, waits_a_moment,
]

# --- workflows -------------------------------------------------------------------------------------------------------


@workflow.defn
class Sequence:
    @workflow.run
    async def run(self, count: int) -> list:
        return [await workflow.execute_activity(echo, f"{i}", start_to_close_timeout=LONG) for i in range(count)]


@workflow.defn
class Parallel:
    @workflow.run
    async def run(self, count: int) -> int:
        return sum(await asyncio.gather(*(
            workflow.execute_activity(add, args=[i, 1], start_to_close_timeout=LONG) for i in range(count))))


@workflow.defn
class Nothing:
    @workflow.run
    async def run(self) -> None:
        return None


@workflow.defn
class HasFairChild:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_child_workflow(
            Nothing.run, id=workflow.info().workflow_id + "-child",
            priority=Priority(priority_key=4, fairness_key="of the child", fairness_weight=1.5))


@workflow.defn
class TellsPriorities:
    """The priorities of the run, of an activity that has its own, and of one that has the run's."""

    @workflow.run
    async def run(self) -> list[int | None]:
        own = await workflow.execute_activity(
            tell_priority, start_to_close_timeout=timedelta(seconds=10), priority=Priority(priority_key=7))
        of_run = await workflow.execute_activity(tell_priority, start_to_close_timeout=timedelta(seconds=10))
        return [workflow.info().priority.priority_key, own, of_run]


@workflow.defn
class OneActivity:
    """One activity with the options that are named."""

    @workflow.run
    async def run(self, name: str, args: list, options: dict) -> object:
        policy = options.pop("retry", None)
        if policy is not None:
            policy = RetryPolicy(
                initial_interval=timedelta(seconds=policy.get("initial", 0.02)),
                backoff_coefficient=policy.get("coefficient", 2.0),
                maximum_interval=timedelta(seconds=policy["maximum"]) if "maximum" in policy else None,
                maximum_attempts=policy.get("attempts", 0), non_retryable_error_types=policy.get("final"))
        timeouts = {
            f"{key}_timeout": timedelta(seconds=value) for key, value in options.items() if isinstance(value, float)}
        others = {key: value for key, value in options.items() if not isinstance(value, float)}
        return await workflow.execute_activity(name, args=args, retry_policy=policy, **timeouts, **others)


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "awake"


@workflow.defn
class TimerRace:
    @workflow.run
    async def run(self) -> list:
        order = []

        async def wait(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(wait(1.5), wait(0.1), wait(0.8))
        return order


@workflow.defn
class TimerCanceled:
    @workflow.run
    async def run(self) -> str:
        timer = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0.05)
        timer.cancel()
        try:
            await timer
        except asyncio.CancelledError:
            pass
        return await workflow.execute_activity(echo, "after", start_to_close_timeout=LONG)


@workflow.defn
class Collects:
    """Collects signals until it has enough, and tells how far it is."""

    def __init__(self):
        self.got = []
        self.enough = None

    @workflow.run
    async def run(self, enough: int) -> list:
        self.enough = enough
        await workflow.wait_condition(lambda: len(self.got) >= enough)
        return self.got

    @workflow.signal
    def add(self, value: str) -> None:
        self.got.append(value)

    @workflow.signal
    async def slowly(self, value: str) -> None:
        self.got.append(await workflow.execute_activity(echo, value, start_to_close_timeout=LONG))

    @workflow.query
    def count(self) -> int:
        return len(self.got)

    @workflow.query
    def fails(self) -> int:
        raise ValueError("the query is wrong")

    @workflow.query
    def echo_query(self, value: str) -> str:
        return f"{value} {len(self.got)}"


@workflow.defn
class WaitsWithTimeout:
    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.wait_condition(lambda: False, timeout=0.1)
        except asyncio.TimeoutError:
            return "timed out"
        return "impossible"


@workflow.defn
class Fails:
    @workflow.run
    async def run(self, kind: str) -> None:
        if kind == "application":
            raise ApplicationError("no money", {"cents": 5}, type="Insufficient")
        if kind == "final":
            raise ApplicationError("never", type="Never", non_retryable=True)
        if kind == "cause":
            try:
                raise ApplicationError("inner", type="Inner")
            except ApplicationError as error:
                raise ApplicationError("outer", type="Outer") from error
        await workflow.execute_activity(fails, kind, start_to_close_timeout=LONG, retry_policy=ONCE)


@workflow.defn
class Cancelable:
    """Waits for cancellation in one of several ways."""

    @workflow.run
    async def run(self, how: str) -> str:
        if how == "sleep":
            await asyncio.sleep(60)
        elif how == "condition":
            await workflow.wait_condition(lambda: False)
        elif how == "cleanup":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await workflow.execute_activity(echo, "cleaned", start_to_close_timeout=LONG)
                raise
        elif how == "ignore":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "stayed"
        elif how == "shield":
            return await asyncio.shield(asyncio.sleep(0.2, "shielded"))
        return "not canceled"


@workflow.defn
class CancelsActivity:
    @workflow.run
    async def run(self, kind: str, then: str, name: str) -> str:
        handle = workflow.start_activity(
            name, then, start_to_close_timeout=LONG, heartbeat_timeout=timedelta(seconds=5), retry_policy=ONCE,
            cancellation_type=workflow.ActivityCancellationType[kind])
        await asyncio.sleep(0.3)
        handle.cancel()
        try:
            return f"returned {await handle}"
        except ActivityError as error:
            return f"{type(error.cause).__name__}: {error.cause}"


@workflow.defn
class CancelsQueued:
    """Cancels an activity that no worker has taken."""

    @workflow.run
    async def run(self, kind: str) -> str:
        handle = workflow.start_activity(
            echo, "never", start_to_close_timeout=LONG, task_queue="nobody-polls-this",
            cancellation_type=workflow.ActivityCancellationType[kind])
        await asyncio.sleep(0.1)
        handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            return type(error.cause).__name__


@workflow.defn
class Attributes:
    @workflow.run
    async def run(self) -> dict:
        workflow.upsert_search_attributes([CUSTOMER.value_set("c-2"), AMOUNT.value_set(7)])
        workflow.upsert_memo({"note": "changed", "old": None})
        await asyncio.sleep(0.05)
        workflow.upsert_search_attributes([CUSTOMER.value_unset()])
        return {"amount": workflow.info().typed_search_attributes.get(AMOUNT), "memo": dict(workflow.memo())}


CUSTOMER = SearchAttributeKey.for_keyword("ConformanceCustomer")
AMOUNT = SearchAttributeKey.for_int("ConformanceAmount")
PAID = SearchAttributeKey.for_bool("ConformancePaid")
RATE = SearchAttributeKey.for_float("ConformanceRate")
TAGS = SearchAttributeKey.for_keyword_list("ConformanceTags")
SEARCH_ATTRIBUTES = [CUSTOMER, AMOUNT, PAID, RATE, TAGS]


@workflow.defn
class Patched:
    @workflow.run
    async def run(self) -> str:
        if workflow.patched("new-way"):
            return await workflow.execute_activity(echo, "new", start_to_close_timeout=LONG)
        return await workflow.execute_activity(echo, "old", start_to_close_timeout=LONG)


@workflow.defn
class Grows:
    """Goes on until it is told to continue as new, and says at which step."""

    @workflow.run
    async def run(self, size: int, timers: int) -> int:
        for step in range(100):
            if workflow.info().is_continue_as_new_suggested():
                return step
            await workflow.execute_activity(make, size, start_to_close_timeout=LONG)
            for _ in range(timers):
                asyncio.ensure_future(workflow.sleep(3600))
        return -1


@workflow.defn
class Large:
    """So many results of a size."""

    @workflow.run
    async def run(self, count: int, size: int) -> int:
        for _ in range(count):
            await workflow.execute_activity(make, size, start_to_close_timeout=LONG)
        return count


@workflow.defn
class Information:
    @workflow.run
    async def run(self) -> dict:
        info = workflow.info()
        return {
            "attempt": info.attempt, "type": info.workflow_type, "namespace": info.namespace,
            "cron": info.cron_schedule, "length": info.get_current_history_length(),
            "continue": info.is_continue_as_new_suggested(), "task": info.task_timeout.total_seconds(),
            "run": info.run_timeout and info.run_timeout.total_seconds(),
            "execution": info.execution_timeout and info.execution_timeout.total_seconds(),
            "first": info.run_id == info.first_execution_run_id,
            "retry": info.retry_policy and info.retry_policy.maximum_attempts,
        }


BROKEN = {"times": 0}


@workflow.defn
class BrokenOnce:
    @workflow.run
    async def run(self, times: int, key: str) -> str:
        BROKEN[key] = BROKEN.get(key, 0) + 1
        if BROKEN[key] <= times:
            raise RuntimeError("a bug")
        return await workflow.execute_activity(echo, "repaired", start_to_close_timeout=LONG)


@dataclass
class Order:
    name: str
    cents: int
    tags: list


@workflow.defn
class Typed:
    @workflow.run
    async def run(self, order: Order) -> Order:
        return Order(order.name.upper(), order.cents * 2, order.tags + [None, 1.5, {"a": [True]}])


@workflow.defn
class Bytes:
    @workflow.run
    async def run(self, data: bytes) -> bytes:
        return data + b"\xff"


@workflow.defn
class AnyValue:
    @workflow.run
    async def run(self, value: typing.Any) -> typing.Any:
        return await workflow.execute_activity("echo", value, start_to_close_timeout=LONG)


# --- activities and their options ------------------------------------------------------------------------------------


def with_worker(workflows, **options):
    """Runs the rest of a program beside a worker."""

    def decorate(function):
        async def run(env):
            async with env.worker(*workflows, activities=ACTIVITIES, **options):
                return await function(env)

        run.__name__ = function.__name__
        return program(run)

    return decorate


@with_worker([Sequence])
async def sequence(env):
    return await env.execute(Sequence.run, 4)


@unordered
@with_worker([Parallel])
async def parallel(env):
    return await env.execute(Parallel.run, 5)


@with_worker([Nothing])
async def no_result(env):
    return await env.execute(Nothing.run)


@with_worker([Sequence], max_cached_workflows=0)
async def without_cache(env):
    return await env.execute(Sequence.run, 3)


def one_activity(name, activity_name, args, **options):
    async def run(env):
        async with env.worker(OneActivity, activities=ACTIVITIES):
            return await env.execute(OneActivity.run, activity_name, args, options)

    run.__name__ = name
    program(run)


one_activity("activity_without_result", "nothing", [], start_to_close=30.0)
one_activity("retried", "fails_until", [3], start_to_close=30.0, retry={})
one_activity("retried_with_coefficient", "fails_until", [3], start_to_close=30.0, retry={"coefficient": 1.0})
one_activity("retried_to_maximum_interval", "fails_until", [3], start_to_close=30.0, retry={"maximum": 0.03})
one_activity("maximum_attempts", "fails", ["plain"], start_to_close=30.0, retry={"attempts": 2})
one_activity("one_attempt", "fails", ["plain"], start_to_close=30.0, retry={"attempts": 1})
one_activity("non_retryable", "fails", ["final"], start_to_close=30.0)
one_activity("non_retryable_type", "fails", ["Special"], start_to_close=30.0, retry={"final": ["Special"]})
one_activity("failure_with_cause", "fails", ["chain"], start_to_close=30.0, retry={"attempts": 1})
one_activity("next_retry_delay", "fails", ["delay"], start_to_close=30.0, retry={"initial": 5.0})
one_activity("start_to_close", "hangs", [], start_to_close=0.3, retry={"attempts": 1})
one_activity("start_to_close_retried", "hangs", [], start_to_close=0.2, retry={"attempts": 2})
one_activity("schedule_to_close", "hangs", [], schedule_to_close=0.4)
one_activity("schedule_to_close_between_attempts", "fails", ["plain"], schedule_to_close=2.5, retry={"initial": 1.0})
one_activity("schedule_to_close_while_queued", "echo", ["x"], schedule_to_close=0.5, task_queue="nobody-polls")
one_activity("schedule_to_close_of_second_attempt", "hangs_later", [], schedule_to_close=2.0, start_to_close=30.0,
             retry={"initial": 0.2})
one_activity("time_out_is_final", "hangs", [], start_to_close=0.3, retry={"final": ["TemporalTimeout:StartToClose"]})
one_activity("heartbeat_timeout_retried", "beats_then_hangs", [], start_to_close=30.0, heartbeat=1.0,
             retry={"attempts": 2})
one_activity("no_time_for_another_attempt", "fails", ["plain"], schedule_to_close=0.5, retry={"initial": 2.0})
one_activity("schedule_to_start", "echo", ["x"], schedule_to_start=0.2, start_to_close=5.0, task_queue="nobody-polls")
one_activity("heartbeat_timeout", "beats_then_hangs", [], start_to_close=30.0, heartbeat=1.0, retry={"attempts": 1})
one_activity("heartbeat_details", "resumes", [], start_to_close=30.0, heartbeat=5.0, retry={})
one_activity("unknown_activity", "no_such_activity", [], start_to_close=5.0, retry={"attempts": 1})


@with_worker([AnyValue])
async def json_values(env):
    seen = []
    for place, value in enumerate(
        [None, True, 0, -5, 1.5, 1e22, "", "ü💸\n\t\\\"", [], {}, [[1], {"k": None}], "nul \0"]):
        seen.append(await env.execute(AnyValue.run, value, id=f"value-{place}"))
    return seen


@with_worker([Typed, Bytes])
async def typed_values(env):
    order = Order("tea", 250, ["hot"])
    first = await (await env.start(Typed.run, order, id="typed", result_type=Order)).result()
    data = await (await env.start(Bytes.run, b"\x00\x01", id="bytes", result_type=bytes)).result()
    return [first.name, first.cents, first.tags, list(data)]


@with_worker([AnyValue])
async def large_payload(env):
    seen = await env.execute(AnyValue.run, "x" * 300_000)
    return len(seen["result"])


# --- timers and conditions -------------------------------------------------------------------------------------------


@with_worker([Sleeps])
async def timer(env):
    return await env.execute(Sleeps.run, 0.1)


@unordered
@with_worker([TimerRace])
async def timers_in_order(env):
    return await env.execute(TimerRace.run)


@with_worker([TimerCanceled])
async def timer_canceled(env):
    return await env.execute(TimerCanceled.run)


@with_worker([WaitsWithTimeout])
async def condition_with_timeout(env):
    return await env.execute(WaitsWithTimeout.run)


# --- signals and queries ---------------------------------------------------------------------------------------------


@with_worker([Collects])
async def signals(env):
    handle = await env.start(Collects.run, 2)
    await eventually(lambda: is_waiting(handle))
    await handle.signal(Collects.add, "a")
    await eventually(lambda: counts(handle, 1))
    await handle.signal(Collects.add, "b")
    return await result(handle)


async def is_waiting(handle):
    return await counts(handle, 0)


async def counts(handle, number):
    return await handle.query(Collects.count) == number


@program
async def signal_before_worker(env):
    handle = await env.start(Collects.run, 1)
    await handle.signal(Collects.add, "early")
    async with env.worker(Collects, activities=ACTIVITIES):
        return await result(handle)


@program
async def signal_with_start(env):
    handle = await env.client.start_workflow(
        Collects.run, 2, id=env.id(), task_queue=env.queue, start_signal="add", start_signal_args=["first"])
    env.track(handle)
    again = await env.client.start_workflow(
        Collects.run, 2, id=env.id(), task_queue=env.queue, start_signal="add", start_signal_args=["second"])
    async with env.worker(Collects, activities=ACTIVITIES):
        return [await result(handle), again.first_execution_run_id == handle.first_execution_run_id]


@with_worker([Collects])
async def signal_that_awaits(env):
    handle = await env.start(Collects.run, 1)
    await eventually(lambda: is_waiting(handle))
    await handle.signal(Collects.slowly, "x")
    return await result(handle)


@unordered
@with_worker([Collects])
async def unknown_signal(env):
    handle = await env.start(Collects.run, 1)
    await eventually(lambda: is_waiting(handle))
    await handle.signal("no_such_signal", "x")
    await handle.signal(Collects.add, "known")
    return await result(handle)


@with_worker([Collects])
async def signal_flood(env):
    handle = await env.start(Collects.run, 40)
    await asyncio.gather(*(handle.signal(Collects.add, "same") for _ in range(40)))
    seen = await result(handle)
    # How many tasks took the signals is a matter of time.
    env.started.clear()
    return seen


@with_worker([Nothing])
async def signal_to_closed(env):
    handle = await env.start(Nothing.run)
    await handle.result()
    return await attempt(handle.signal("add", "late"))


@program
async def calls_to_nobody(env):
    handle = env.client.get_workflow_handle(env.id("nobody"))
    return [
        await attempt(handle.signal("x")), await attempt(handle.query("x")), await attempt(handle.cancel()),
        await attempt(handle.terminate()), await attempt(handle.describe()), await attempt(handle.result()),
    ]


@with_worker([Collects])
async def queries(env):
    handle = await env.start(Collects.run, 1)
    seen = [
        await attempt(handle.query(Collects.count)), await attempt(handle.query(Collects.echo_query, "x")),
        await attempt(handle.query(Collects.fails)), await attempt(handle.query("no_such_query")),
    ]
    await handle.signal(Collects.add, "x")
    seen.append(await result(handle))
    seen.append(await attempt(handle.query(Collects.count)))
    return seen


@with_worker([Collects], max_cached_workflows=0)
async def query_without_cache(env):
    handle = await env.start(Collects.run, 2)
    await eventually(lambda: is_waiting(handle))
    await handle.signal(Collects.add, "x")
    await eventually(lambda: counts(handle, 1))
    await handle.signal(Collects.add, "y")
    return [await result(handle), await attempt(handle.query(Collects.count))]


@with_worker([Collects, Fails])
async def query_rejected(env):
    handle = await env.start(Collects.run, 1, id="completed")
    open_ = await attempt(handle.query(Collects.count, reject_condition=QueryRejectCondition.NOT_OPEN))
    await handle.signal(Collects.add, "x")
    await handle.result()
    failed = await env.start(Fails.run, "application", id="failed")
    await result(failed)
    return [
        open_,
        await attempt(handle.query(Collects.count, reject_condition=QueryRejectCondition.NOT_OPEN)),
        await attempt(handle.query(Collects.count, reject_condition=QueryRejectCondition.NOT_COMPLETED_CLEANLY)),
        await attempt(failed.query("x", reject_condition=QueryRejectCondition.NOT_COMPLETED_CLEANLY)),
    ]


# --- failures of workflows -------------------------------------------------------------------------------------------


def fails_with(name, kind):
    async def run(env):
        async with env.worker(Fails, activities=ACTIVITIES):
            return await env.execute(Fails.run, kind)

    run.__name__ = name
    program(run)


fails_with("workflow_fails", "application")
fails_with("workflow_fails_for_good", "final")
fails_with("workflow_fails_with_cause", "cause")
fails_with("workflow_fails_by_activity", "plain")


@with_worker([BrokenOnce])
async def bug_then_fix(env):
    return await env.execute(BrokenOnce.run, 1, env.prefix)


@with_worker([BrokenOnce], max_cached_workflows=0)
async def bug_twice_then_fix(env):
    return await env.execute(BrokenOnce.run, 2, env.prefix)


@program
async def queue_with_the_reserved_prefix(env):
    """Temporal keeps it for partitions of queues. The name before its last slash is free."""
    refused = await attempt(env.client.start_workflow("X", id=env.id("reserved"), task_queue=f"/_sys/{env.queue}"))
    free = await env.client.start_workflow("X", id=env.id("free"), task_queue="/_sys")
    await free.terminate()
    # Perdure adds what to do.
    refused["error"]["message"] = refused["error"]["message"].partition(";")[0]
    return refused


@program
async def unknown_workflow_type(env):
    handle = await env.start("NoSuchWorkflow", result_type=str)
    async with env.worker(Nothing):
        async def failed():
            return any(
                event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED"
                for event in await env.history(handle.id, handle.first_execution_run_id))

        await eventually(failed)
    await handle.terminate("enough")
    return await result(handle)


# --- ending from outside ---------------------------------------------------------------------------------------------


def canceled(name, how):
    async def run(env):
        async with env.worker(Cancelable, activities=ACTIVITIES):
            handle = await env.start(Cancelable.run, how)
            await eventually(lambda: has_started(env, handle))
            await handle.cancel()
            return await result(handle)

    run.__name__ = name
    program(run)


async def has_started(env, handle):
    events = await env.history(handle.id, handle.first_execution_run_id)
    return any(event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED" for event in events)


canceled("canceled_in_sleep", "sleep")
canceled("canceled_in_condition", "condition")
canceled("canceled_with_cleanup", "cleanup")
canceled("cancellation_ignored", "ignore")


@program
async def canceled_before_worker(env):
    handle = await env.start(Cancelable.run, "sleep")
    await handle.cancel()
    second = await attempt(handle.cancel())
    async with env.worker(Cancelable):
        return [second, await result(handle)]


@with_worker([Nothing])
async def cancel_of_closed(env):
    handle = await env.start(Nothing.run)
    await handle.result()
    return [await attempt(handle.cancel()), await attempt(handle.terminate())]


@with_worker([Cancelable])
async def terminated(env):
    handle = await env.start(Cancelable.run, "sleep")
    await eventually(lambda: has_started(env, handle))
    await handle.terminate("detail", 5, reason="enough")
    return await result(handle)


@program
async def terminated_before_worker(env):
    handle = await env.start(Nothing.run)
    await handle.terminate(reason="never mind")
    return await result(handle)


def cancels_activity(kind, then):
    async def run(env):
        async with env.worker(CancelsActivity, activities=ACTIVITIES):
            return await env.execute(CancelsActivity.run, kind, then, "waits_for_cancel")

    run.__name__ = f"activity_canceled_{kind.lower()}_{then}"
    program(run)


for kind in ["TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED"]:
    for then in ["obey", "ignore", "fail"]:
        if kind != "TRY_CANCEL" or then == "obey":
            cancels_activity(kind, then)


def cancels_queued(kind):
    async def run(env):
        async with env.worker(CancelsQueued, activities=ACTIVITIES):
            return await env.execute(CancelsQueued.run, kind)

    run.__name__ = f"queued_activity_canceled_{kind.lower()}"
    program(run)


for kind in ["TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "ABANDON"]:
    cancels_queued(kind)


# --- ids and time-outs -----------------------------------------------------------------------------------------------


@with_worker([Nothing])
async def id_reuse(env):
    await (await env.start(Nothing.run)).result()
    seen = []
    for policy in [WorkflowIDReusePolicy.ALLOW_DUPLICATE, WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                   WorkflowIDReusePolicy.REJECT_DUPLICATE]:
        seen.append(await attempt(env.execute(Nothing.run, id_reuse_policy=policy)))
    return seen


@with_worker([Fails])
async def id_reuse_after_failure(env):
    await result(await env.start(Fails.run, "application"))
    return [
        await attempt(env.execute(
            Fails.run, "application", id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY)),
        await attempt(env.execute(Fails.run, "application", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)),
    ]


@program
async def id_conflict(env):
    first = await env.start(Nothing.run)
    seen = [await attempt(env.start(Nothing.run))]
    same = await env.client.start_workflow(
        Nothing.run, id=env.id(), task_queue=env.queue, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)
    seen.append(same.first_execution_run_id == first.first_execution_run_id)
    await env.start(Nothing.run, id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING)
    seen.append(await result(first))
    async with env.worker(Nothing):
        seen.append(await result(env.client.get_workflow_handle(env.id())))
    return seen


@with_worker([Sleeps])
async def start_delay(env):
    return await env.execute(Sleeps.run, 0.01, start_delay=timedelta(milliseconds=400))


@program
async def signal_in_start_delay(env):
    handle = await env.start(Collects.run, 1, start_delay=timedelta(seconds=1))
    await handle.signal(Collects.add, "early")
    async with env.worker(Collects):
        return await result(handle)


@program
async def cancel_in_start_delay(env):
    handle = await env.start(Cancelable.run, "sleep", start_delay=timedelta(seconds=1))
    await handle.cancel()
    async with env.worker(Cancelable):
        return await result(handle)


@program
async def run_timeout(env):
    return await env.execute(Nothing.run, run_timeout=timedelta(milliseconds=1200))


@with_worker([Sleeps])
async def execution_timeout(env):
    return await env.execute(Sleeps.run, 60.0, execution_timeout=timedelta(milliseconds=3000))


@with_worker([Information])
async def information(env):
    return await env.execute(
        Information.run, run_timeout=timedelta(seconds=50), execution_timeout=timedelta(seconds=60),
        task_timeout=timedelta(seconds=7))


@with_worker([Grows])
async def suggested_by_size(env):
    return await env.execute(Grows.run, 1_500_000, 0)


@with_worker([Grows])
async def suggested_by_length(env):
    return await env.execute(Grows.run, 1, 1_100)


@with_worker([Nothing])
async def priority(env):
    return await env.execute(Nothing.run, priority=Priority(priority_key=2))


@with_worker([TellsPriorities])
async def priorities_above_five(env):
    """They are kept as they were given; a server with five levels claims them as 5."""
    return [await env.execute(TellsPriorities.run, priority=Priority(priority_key=number)) for number in (6, 2**31 - 1)]


@with_worker([Nothing, HasFairChild])
async def fairness(env):
    """A run and its child keep the key and the weight, and describe tells them."""
    seen = []
    for number, options in enumerate([
        {"priority_key": 2, "fairness_key": "one", "fairness_weight": 2.5}, {"fairness_key": "two"},
        {"fairness_weight": 0.5}, {"fairness_key": "k" * 64},
    ]):
        handle = await env.start(HasFairChild.run, id=str(number), priority=Priority(**options))
        await result(handle)
        for run in (handle, env.client.get_workflow_handle(f"{handle.id}-child")):
            priority = (await run.describe()).raw_description.workflow_execution_info.priority
            seen.append([priority.priority_key, priority.fairness_key, priority.fairness_weight])
    long = attempt(env.start(Nothing.run, priority=Priority(fairness_key="k" * 65)))
    return [*seen, "error" in await long]


# --- attributes, memo, versions --------------------------------------------------------------------------------------


@with_worker([Attributes])
async def search_attributes_and_memo(env):
    handle = await env.start(
        Attributes.run, memo={"note": "first", "old": 1},
        search_attributes=TypedSearchAttributes([
            SearchAttributePair(CUSTOMER, "c-1"), SearchAttributePair(PAID, True), SearchAttributePair(RATE, 0.5),
            SearchAttributePair(TAGS, ["a", "b"])]))
    seen = await result(handle)
    described = await handle.describe()
    values = {pair.key.name: pair.value for pair in described.typed_search_attributes if "Conformance" in pair.key.name}
    return [seen, values, await described.memo()]


@workflow.defn
class HasNoEntries:
    """Gives memos with null and the empty list, which are no entries."""

    @workflow.run
    async def run(self, step: str) -> None:
        memo = {"old": 1, "null": None, "empty": []}
        if step == "first":
            workflow.upsert_memo({"old": None, "list": [], "new": [0], "text": "", "never": None})
            await workflow.execute_child_workflow(HasNoEntries.run, "child",
                                                  id=workflow.info().workflow_id + "-child", memo=memo)
            workflow.continue_as_new("second", memo=memo)


@with_worker([HasNoEntries])
async def memo_without_entries(env):
    memo = {"old": 1, "list": [1], "text": "x", "null": None, "empty": []}
    seen = []
    for name, options in [("1", {}), ("2", {"start_signal": "go"})]:
        handle = await env.start(HasNoEntries.run, "first", id=name, memo=memo, **options)
        await result(handle)
        child = env.client.get_workflow_handle(f"{handle.id}-child")
        for run in (handle, env.client.get_workflow_handle(handle.id), child):
            seen.append(sorted((await run.describe()).raw_description.workflow_execution_info.memo.fields))
            seen.append([
                sorted(event.workflow_execution_started_event_attributes.memo.fields)
                async for event in run.fetch_history_events() if event.event_id == 1])
    return seen


@with_worker([Patched])
async def patched(env):
    return await env.execute(Patched.run)


@with_worker([Nothing])
async def unknown_search_attribute(env):
    key = SearchAttributeKey.for_keyword("ConformanceUnknown")
    seen = await attempt(env.start(
        Nothing.run, search_attributes=TypedSearchAttributes([SearchAttributePair(key, "x")])))
    return list(seen)


# --- visibility ------------------------------------------------------------------------------------------------------


@with_worker([Nothing, Fails])
async def listing(env):
    for number in range(3):
        await result(await env.start(Nothing.run, id=f"list-{number}"))
    await result(await env.start(Fails.run, "application", id="list-failed"))
    query = f"TaskQueue = '{env.queue}'"

    async def found(filter, number):
        return len([run async for run in env.client.list_workflows(f"{query} AND {filter}")]) == number

    await eventually(lambda: found("ExecutionStatus = 'Completed'", 3))
    await eventually(lambda: found("ExecutionStatus = 'Failed'", 1))
    runs = [run async for run in env.client.list_workflows(f"{query} AND WorkflowType = 'Nothing'", page_size=2)]
    count = await env.client.count_workflows(query)
    groups = await env.client.count_workflows(f"{query} GROUP BY ExecutionStatus")
    return {
        "runs": [[run.id, run.workflow_type, run.status.name, run.history_length] for run in runs],
        "count": count.count,
        "groups": sorted([list(group.group_values), group.count] for group in groups.groups),
        "wrong": list(await attempt(env.client.count_workflows("Nonsense ="))),
    }


@with_worker([Collects])
async def described(env):
    handle = await env.start(Collects.run, 1, memo={"k": "v"})
    await eventually(lambda: is_waiting(handle))
    now = await handle.describe()
    await handle.signal(Collects.add, "x")
    await handle.result()
    then = await handle.describe()
    return [
        [run.id, run.status.name, run.workflow_type, run.task_queue, run.history_length, run.close_time is None]
        for run in (now, then)
    ]


@with_worker([Sequence])
async def long_history(env):
    return len((await env.execute(Sequence.run, 60))["result"])


@program
async def two_queues(env):
    async with env.worker(OneActivity, activities=[]), env.worker(queue=f"{env.queue}-2", activities=ACTIVITIES):
        return await env.execute(
            OneActivity.run, "echo", ["there"], {"start_to_close": 30.0, "task_queue": f"{env.queue}-2"})


@program
async def worker_replaced(env):
    handle = await env.start(Collects.run, 2)
    await handle.signal(Collects.add, "first")
    async with env.worker(Collects, activities=ACTIVITIES):
        await eventually(lambda: counts(handle, 1))
    async with env.worker(Collects, activities=ACTIVITIES):
        await handle.signal(Collects.add, "second")
        seen = await result(handle)
    # How long the first worker is waited for differs.
    env.started.clear()
    return seen


@with_worker([Sleeps])
async def result_while_waiting(env):
    handle = await env.start(Sleeps.run, 0.5)
    seen = await asyncio.gather(result(handle), result(handle), result(handle))
    return seen
