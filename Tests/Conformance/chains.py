"""Programs of runs that follow each other: continue-as-new, retries of runs, cron schedules."""

import asyncio
import re
import time
from datetime import timedelta

from google.protobuf import json_format
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest, RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)
from temporalio.common import (
    Priority, RetryPolicy, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy,
)
from temporalio.exceptions import ApplicationError

from harness import IDENTITY, attempt, eventually, program, result
from programs import ACTIVITIES, AMOUNT, CUSTOMER, LONG, SECOND, has_started, with_worker

BRIEFLY = timedelta(milliseconds=50)
FEW = RetryPolicy(initial_interval=BRIEFLY, backoff_coefficient=2.0, maximum_attempts=3)

# --- workflows -------------------------------------------------------------------------------------------------------


@workflow.defn
class Countdown:
    """Continues as new until it is at zero."""

    @workflow.run
    async def run(self, count: int) -> dict:
        if count > 0:
            workflow.continue_as_new(count - 1)
        info = workflow.info()
        return {
            "attempt": info.attempt, "is_first": info.first_execution_run_id == info.run_id,
            "continued": info.continued_run_id is not None, "length": info.get_current_history_length(),
        }


@workflow.defn
class Tells:
    """Tells what a run knows of the runs before it."""

    @workflow.run
    async def run(self, note: str) -> dict:
        info = workflow.info()
        return {
            "note": note, "attempt": info.attempt, "type": info.workflow_type, "queue": info.task_queue,
            "run": info.run_timeout.total_seconds() if info.run_timeout else None,
            "task": info.task_timeout.total_seconds(),
            "execution": info.execution_timeout.total_seconds() if info.execution_timeout else None,
            "retry": info.retry_policy and info.retry_policy.maximum_attempts, "memo": dict(workflow.memo()),
            "customer": info.typed_search_attributes.get(CUSTOMER),
            "amount": info.typed_search_attributes.get(AMOUNT), "cron": info.cron_schedule,
            "last": workflow.get_last_completion_result(), "failure": str(workflow.get_last_failure()),
            "priority": info.priority.priority_key,
        }


@workflow.defn
class Changes:
    """Goes on as Tells, with what is named changed."""

    @workflow.run
    async def run(self, changes: dict) -> dict:
        options = {}
        if "upsert" in changes:
            workflow.upsert_memo({"note": "upserted"})
            workflow.upsert_search_attributes([CUSTOMER.value_set("c-9")])
        if "queue" in changes:
            options["task_queue"] = changes["queue"]
        if "run" in changes:
            options["run_timeout"] = timedelta(seconds=changes["run"])
        if "task" in changes:
            options["task_timeout"] = timedelta(seconds=changes["task"])
        if "memo" in changes:
            options["memo"] = changes["memo"]
        if "customer" in changes:
            options["search_attributes"] = TypedSearchAttributes([SearchAttributePair(CUSTOMER, changes["customer"])])
        if "retry" in changes:
            options["retry_policy"] = RetryPolicy(maximum_attempts=changes["retry"])
        if "backoff" in changes:
            options["backoff_start_interval"] = timedelta(seconds=changes["backoff"])
        workflow.continue_as_new("changed", workflow="Tells", **options)


@workflow.defn
class Endless:
    """Continues as new without end, a little later each time."""

    @workflow.run
    async def run(self, seconds: float, count: int) -> None:
        await asyncio.sleep(seconds)
        workflow.continue_as_new(args=[seconds, count + 1])


@workflow.defn
class ContinuesOnSignal:
    """Continues as new at a signal, and ends at another."""

    def __init__(self):
        self.next = None

    @workflow.run
    async def run(self, got: list) -> list:
        if len(got) == 1 and got[0] == "block":
            # While this task is under way, a signal comes.
            time.sleep(1.5)
            workflow.continue_as_new(["went on"])
        await workflow.wait_condition(lambda: self.next is not None)
        if self.next == "end":
            return got
        if self.next == "fail":
            raise ApplicationError("asked to")
        workflow.continue_as_new(got + [self.next])

    @workflow.signal
    def go(self, value: str) -> None:
        self.next = value

    @workflow.query
    def ready(self) -> bool:
        return True


@workflow.defn
class FailsUntil:
    """Fails in its first attempts, in the way that is named."""

    @workflow.run
    async def run(self, attempts: int, kind: str) -> dict:
        info = workflow.info()
        if kind == "upsert":
            workflow.upsert_memo({"note": f"of attempt {info.attempt}"})
            workflow.upsert_search_attributes([CUSTOMER.value_set(f"c-{info.attempt}")])
        if kind == "activity":
            await workflow.execute_activity("fails", "plain", start_to_close_timeout=LONG,
                                            retry_policy=RetryPolicy(maximum_attempts=1))
        if info.attempt < attempts:
            if kind == "final":
                raise ApplicationError("final", non_retryable=True)
            if kind == "delay":
                raise ApplicationError("later", next_retry_delay=timedelta(milliseconds=1200))
            if kind == "hang":
                await asyncio.sleep(60)
            raise ApplicationError(f"attempt {info.attempt}", info.attempt, type=kind)
        return {
            "attempt": info.attempt, "first": info.first_execution_run_id == info.run_id,
            "continued": info.continued_run_id is not None, "failure": str(workflow.get_last_failure()),
            "memo": dict(workflow.memo()), "customer": info.typed_search_attributes.get(CUSTOMER),
        }


@workflow.defn
class Ticks:
    """What a cron schedule runs: fails when asked to, and else adds to what the run before returned."""

    @workflow.run
    async def run(self, fails_at: int, kind: str) -> int:
        last = workflow.get_last_completion_result(int) or 0
        failure = workflow.get_last_failure()
        if last == fails_at and failure is None:
            if kind == "hang":
                await asyncio.sleep(60)
            if kind == "continue":
                workflow.continue_as_new(args=[-1, ""])
            raise ApplicationError("a bad tick")
        return last + (100 if failure else 1)


# --- what is looked at -----------------------------------------------------------------------------------------------


def closing(history):
    return next(value for key, value in history[-1].items() if key.endswith("EventAttributes"))


def waits_a_moment(history):
    """Whether a run waited for the rest of the second since the one before it."""
    backoff = history[0]["workflowExecutionStartedEventAttributes"].get("firstWorkflowTaskBackoff", "0s")
    return 0 < float(backoff.rstrip("s")) < 1


async def follow(env, handle, runs=None):
    """Tracks the runs that follow one: all until there is no other, or so many."""
    workflow_id, run_id = handle.id, handle.first_execution_run_id or handle.run_id
    ids = [run_id]
    while runs is None or len(ids) < runs:
        async def closed():
            events = await env.history(workflow_id, run_id)
            return "EXECUTION_" in events[-1]["eventType"] and len(events) > 1 \
                and "SIGNALED" not in events[-1]["eventType"] and "REQUESTED" not in events[-1]["eventType"]

        await eventually(closed, 30)
        run_id = closing(await env.history(workflow_id, run_id)).get("newExecutionRunId")
        if not run_id:
            break
        ids.append(run_id)
        env.started.append((workflow_id, run_id))
    return ids


async def newest(env, workflow_id, number, known):
    """Waits until a chain has so many runs."""
    async def there():
        ids = await following(env, workflow_id, known)
        return len(ids) >= number

    await eventually(there, 30)
    return await following(env, workflow_id, known)


async def following(env, workflow_id, run_id):
    ids = [run_id]
    while True:
        events = await env.history(workflow_id, ids[-1])
        attributes = closing(events) if len(events) > 1 else {}
        run_id = attributes.get("newExecutionRunId")
        if not run_id:
            return ids
        ids.append(run_id)


async def described(env, workflow_id, run_id=""):
    """What describe says of a run, without its times."""
    answer = await env.client.workflow_service.describe_workflow_execution(DescribeWorkflowExecutionRequest(
        namespace=env.client.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id)))
    seen = json_format.MessageToDict(answer)
    info = seen["workflowExecutionInfo"]
    delay = answer.workflow_execution_info.execution_time.ToDatetime() \
        - answer.workflow_execution_info.start_time.ToDatetime()
    kept = {key: info.get(key) for key in (
        "execution", "type", "status", "historyLength", "memo", "taskQueue", "firstRunId", "rootExecution",
        "parentExecution")}
    kept["searchAttributes"] = {
        key: value for key, value in info.get("searchAttributes", {}).get("indexedFields", {}).items()
        if key.startswith("Conformance")}
    kept["delay"] = delay_that_counts(delay)
    kept["pendingWorkflowTask"] = seen.get("pendingWorkflowTask", {}).get("state")
    extended = seen.get("workflowExtendedInfo", {})
    kept["expires"] = {key: key in extended for key in ("executionExpirationTime", "runExpirationTime")}
    kept["config"] = seen["executionConfig"]
    return kept


def delay_that_counts(delay):
    # What is left of a second is a matter of time, and nothing when the run before took longer.
    return round(delay.total_seconds(), 1) if delay >= SECOND else 0


async def listed(env, workflow_id, number):
    """The runs of a workflow id as a list shows them, newest first."""
    request = ListWorkflowExecutionsRequest(namespace=env.client.namespace, query=f"WorkflowId = '{workflow_id}'")

    async def found():
        answer = await env.client.workflow_service.list_workflow_executions(request)
        return len(answer.executions) == number

    await eventually(found)
    answer = await env.client.workflow_service.list_workflow_executions(request)
    runs = sorted(answer.executions, key=lambda run: run.start_time.ToDatetime())
    return [[run.execution.run_id, run.first_run_id, run.status, run.type.name] for run in runs]


# --- continue-as-new -------------------------------------------------------------------------------------------------


@with_worker([Countdown])
async def continued_as_new(env):
    handle = await env.start(Countdown.run, 2)
    seen = await result(handle)
    runs = await follow(env, handle)
    waits = [waits_a_moment(await env.history(handle.id, run)) for run in runs]
    return [seen, len(runs), [await described(env, handle.id, run) for run in runs],
            await listed(env, handle.id, 3), waits]


@with_worker([Countdown], max_cached_workflows=0)
async def continued_without_cache(env):
    handle = await env.start(Countdown.run, 2)
    seen = await result(handle)
    await follow(env, handle)
    return seen


def continued(name, changes, **options):
    async def run(env):
        changed = {**changes}
        if "queue" in changed:
            changed["queue"] = f"{env.queue}-2"
        async with env.worker(Changes, Tells), env.worker(Tells, queue=f"{env.queue}-2"):
            handle = await env.start(Changes.run, changed, **options)
            seen = await result(handle)
            await follow(env, handle)
            return [seen, await described(env, handle.id)]

    run.__name__ = name
    program(run)


FULL = {
    "memo": {"note": "first", "kept": 1}, "run_timeout": timedelta(seconds=40), "task_timeout": timedelta(seconds=7),
    "execution_timeout": timedelta(seconds=60), "retry_policy": FEW, "static_summary": "a summary",
    "priority": Priority(priority_key=2),
    "search_attributes": TypedSearchAttributes([SearchAttributePair(CUSTOMER, "c-1"), SearchAttributePair(AMOUNT, 7)]),
}
continued("continued_keeps", {}, **FULL)
continued("continued_keeps_upserts", {"upsert": True}, **FULL)
continued("continued_changes", {
    "queue": True, "run": 30, "task": 5, "memo": {"other": "memo"}, "customer": "c-2", "retry": 7}, **FULL)
continued("continued_beyond_execution", {"run": 100}, **FULL)
continued("continued_with_backoff", {"backoff": 1})
continued("continued_without_options", {})


@with_worker([Endless])
async def continued_until_execution_timeout(env):
    handle = await env.start(Endless.run, 0.6, 0, execution_timeout=timedelta(seconds=4))
    seen = await result(handle)
    runs = await following(env, handle.id, handle.first_execution_run_id)
    env.started.clear()
    env.started.append((handle.id, runs[-1]))
    last = closing(await env.history(handle.id, runs[-1]))
    env.started.clear()
    return [seen, len(runs) > 2, last.get("retryState")]


@with_worker([Endless])
async def continued_until_terminated(env):
    handle = await env.start(Endless.run, 0.3, 0)
    await newest(env, handle.id, 3, handle.first_execution_run_id)
    current = env.client.get_workflow_handle(
        handle.id, first_execution_run_id=handle.first_execution_run_id)
    seen = [await attempt(handle.terminate()), await attempt(env.client.get_workflow_handle(
        handle.id, run_id=handle.first_execution_run_id).terminate())]
    seen.append(await result(current))
    runs = await following(env, handle.id, handle.first_execution_run_id)
    env.started.clear()
    return seen + [(await env.history(handle.id, runs[-1]))[-1]["eventType"]]


@with_worker([Endless])
async def continued_until_canceled(env):
    handle = await env.start(Endless.run, 0.5, 0)
    await newest(env, handle.id, 2, handle.first_execution_run_id)
    seen = [await attempt(handle.cancel()), await result(handle)]
    env.started.clear()
    return seen


@with_worker([ContinuesOnSignal])
async def calls_follow_the_chain(env):
    """What a client may name: the run, the first run of the chain, or neither."""
    handle = await env.start(ContinuesOnSignal.run, ["a"])
    first = handle.first_execution_run_id
    await eventually(lambda: has_started(env, handle))
    await handle.signal("go", "b")
    second = (await newest(env, handle.id, 2, first))[1]
    await eventually(lambda: has_started(env, env.client.get_workflow_handle(handle.id, first_execution_run_id=second)))
    service, namespace = env.client.workflow_service, env.client.namespace
    other = "00000000-0000-7000-8000-000000000000"

    def target(run_id):
        return WorkflowExecution(workflow_id=handle.id, run_id=run_id)

    seen = [
        await attempt(env.client.get_workflow_handle(handle.id, run_id=first).signal("go", "late")),
        await attempt(env.client.get_workflow_handle(handle.id, run_id=first).query("ready")),
        await attempt(env.client.get_workflow_handle(handle.id, run_id=first).result(follow_runs=False)),
        await attempt(env.client.get_workflow_handle(handle.id, run_id=first).cancel()),
        await attempt(service.request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(""), first_execution_run_id=other))),
        await attempt(service.terminate_workflow_execution(TerminateWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(""), first_execution_run_id=other))),
        await attempt(service.request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(second), first_execution_run_id=other))),
        await attempt(service.terminate_workflow_execution(TerminateWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(second), first_execution_run_id=other))),
        await attempt(service.terminate_workflow_execution(TerminateWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(first), first_execution_run_id=first,
            identity=IDENTITY))),
        await attempt(env.start(ContinuesOnSignal.run, [])),
        (await env.client.start_workflow(
            ContinuesOnSignal.run, [], id=handle.id, task_queue=env.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)).first_execution_run_id == second,
        await attempt(service.request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest(
            namespace=namespace, workflow_execution=target(""), first_execution_run_id=first, request_id="one"))),
        await result(handle),
    ]
    await follow(env, handle)
    return seen


@with_worker([ContinuesOnSignal])
async def signal_while_continuing(env):
    handle = await env.start(ContinuesOnSignal.run, ["block"])

    async def under_way():
        answer = await env.client.workflow_service.describe_workflow_execution(DescribeWorkflowExecutionRequest(
            namespace=env.client.namespace, execution=WorkflowExecution(workflow_id=handle.id)))
        return answer.pending_workflow_task.state == 2

    await eventually(under_way)
    await handle.signal("go", "while it closed")
    await newest(env, handle.id, 2, handle.first_execution_run_id)
    await handle.signal("go", "end")
    seen = await result(handle)
    await follow(env, handle)
    return seen


@program
async def worker_replaced_between_runs(env):
    handle = await env.start(ContinuesOnSignal.run, ["a"])
    await handle.signal("go", "b")
    async with env.worker(ContinuesOnSignal):
        await newest(env, handle.id, 2, handle.first_execution_run_id)
    await handle.signal("go", "end")
    async with env.worker(ContinuesOnSignal):
        seen = await result(handle)
    # How long the first worker is waited for differs.
    env.started.clear()
    return seen


@with_worker([ContinuesOnSignal, FailsUntil])
async def continued_then_retried(env):
    handle = await env.start(ContinuesOnSignal.run, ["a"], retry_policy=FEW)
    await eventually(lambda: has_started(env, handle))
    await handle.signal("go", "b")
    second = (await newest(env, handle.id, 2, handle.first_execution_run_id))[1]
    await eventually(lambda: has_started(env, env.client.get_workflow_handle(handle.id, first_execution_run_id=second)))
    await handle.signal("go", "fail")
    third = (await newest(env, handle.id, 2, second))[1]
    await eventually(lambda: has_started(env, env.client.get_workflow_handle(handle.id, first_execution_run_id=third)))
    await handle.signal("go", "c")
    fourth = (await newest(env, handle.id, 2, third))[1]
    await eventually(lambda: has_started(env, env.client.get_workflow_handle(handle.id, first_execution_run_id=fourth)))
    await handle.signal("go", "end")
    seen = await result(handle)
    runs = await follow(env, handle)
    return [seen, await described(env, handle.id, runs[2])]


# --- retries of runs -------------------------------------------------------------------------------------------------


def retried_run(name, attempts, kind, policy=FEW, runs=None, **options):
    async def run(env):
        async with env.worker(FailsUntil, activities=ACTIVITIES):
            handle = await env.start(FailsUntil.run, attempts, kind, retry_policy=policy, **options)
            seen = await result(handle)
            ids = await follow(env, handle)
            return [seen, len(ids), await described(env, handle.id), await listed(env, handle.id, len(ids))]

    run.__name__ = name
    program(run)


retried_run("run_retried", 3, "NotYet")
retried_run("run_retried_in_vain", 9, "NotYet")
retried_run("run_not_retried", 3, "final")
retried_run("run_not_retried_type", 3, "Special", RetryPolicy(
    initial_interval=BRIEFLY, non_retryable_error_types=["Special"]))
retried_run("run_retried_with_delay", 2, "delay")
retried_run("run_retried_after_activity", 9, "activity", RetryPolicy(initial_interval=BRIEFLY, maximum_attempts=2))
retried_run("run_retried_keeps", 2, "upsert", FEW, **{key: FULL[key] for key in FULL if key != "retry_policy"})
retried_run("run_retried_after_timeout", 2, "hang", run_timeout=timedelta(seconds=2))
retried_run("run_timeout_is_final", 9, "hang", RetryPolicy(
    initial_interval=BRIEFLY, non_retryable_error_types=["TemporalTimeout:StartToClose"]),
    run_timeout=timedelta(seconds=2))
retried_run("run_without_time_for_another", 9, "NotYet", RetryPolicy(initial_interval=timedelta(seconds=10)),
            execution_timeout=timedelta(seconds=5))
retried_run("run_retried_to_maximum_interval", 3, "NotYet", RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=10.0, maximum_interval=timedelta(seconds=1.5)))


@with_worker([FailsUntil], max_cached_workflows=0)
async def run_retried_without_cache(env):
    handle = await env.start(FailsUntil.run, 3, "NotYet", retry_policy=FEW)
    seen = await result(handle)
    await follow(env, handle)
    return seen


@with_worker([FailsUntil])
async def execution_timeout_is_not_retried(env):
    handle = await env.start(FailsUntil.run, 9, "hang", retry_policy=FEW, execution_timeout=timedelta(seconds=3))
    seen = await result(handle)
    await follow(env, handle)
    return seen


def in_backoff(name, act):
    async def run(env):
        async with env.worker(FailsUntil):
            handle = await env.start(
                FailsUntil.run, 2, "NotYet", retry_policy=RetryPolicy(initial_interval=timedelta(seconds=8)))
            await newest(env, handle.id, 2, handle.first_execution_run_id)
            before = time.monotonic()
            seen = [await described(env, handle.id), await attempt(act(handle))]
            seen += [await result(handle), time.monotonic() - before < 6]
            await follow(env, handle)
            return seen

    run.__name__ = name
    program(run)


in_backoff("retry_canceled_in_backoff", lambda handle: handle.cancel())
in_backoff("retry_terminated_in_backoff", lambda handle: handle.terminate())
in_backoff("retry_signaled_in_backoff", lambda handle: handle.signal("x", 1))


# --- cron schedules --------------------------------------------------------------------------------------------------


@with_worker([Ticks])
async def cron(env):
    handle = await env.start(Ticks.run, -1, "", cron_schedule="@every 1s", memo={"note": "kept"})
    first = await described(env, handle.id)
    runs = await newest(env, handle.id, 3, handle.first_execution_run_id)
    await handle.terminate(reason="enough")
    env.started += [(handle.id, run) for run in runs[1:3]]
    seen = [await attempt(env.client.get_workflow_handle(handle.id, run_id=run).result(follow_runs=False))
            for run in runs[:2]]
    ended = await described(env, handle.id, runs[1])
    return [first, seen, ended, await result(handle)]


@with_worker([Ticks])
async def cron_after_failure(env):
    handle = await env.start(Ticks.run, 1, "fail", cron_schedule="@every 1s")
    runs = await newest(env, handle.id, 5, handle.first_execution_run_id)
    await handle.terminate()
    env.started += [(handle.id, run) for run in runs[1:4]]
    return [await attempt(env.client.get_workflow_handle(handle.id, run_id=run).result(follow_runs=False))
            for run in runs[:4]]


@with_worker([Ticks])
async def cron_with_retries(env):
    handle = await env.start(
        Ticks.run, 0, "fail", cron_schedule="@every 3s", retry_policy=RetryPolicy(
            initial_interval=BRIEFLY, maximum_attempts=2))
    runs = await newest(env, handle.id, 4, handle.first_execution_run_id)
    await handle.terminate()
    env.started += [(handle.id, run) for run in runs[1:3]]
    return [await attempt(env.client.get_workflow_handle(handle.id, run_id=run).result(follow_runs=False))
            for run in runs[:3]]


@with_worker([Ticks])
async def cron_after_timeout(env):
    handle = await env.start(Ticks.run, 0, "hang", cron_schedule="@every 1s", run_timeout=timedelta(seconds=2))
    runs = await newest(env, handle.id, 3, handle.first_execution_run_id)
    await handle.terminate()
    env.started += [(handle.id, run) for run in runs[1:2]]
    return [await attempt(env.client.get_workflow_handle(handle.id, run_id=run).result(follow_runs=False))
            for run in runs[:2]]


@with_worker([Ticks])
async def cron_continued_as_new(env):
    handle = await env.start(Ticks.run, 0, "continue", cron_schedule="@every 2s")
    seen = await result(handle)
    return [seen, [await described(env, handle.id, run) for run in await follow(env, handle)]]


@with_worker([Ticks], max_cached_workflows=0)
async def cron_without_cache(env):
    handle = await env.start(Ticks.run, -1, "", cron_schedule="@every 1s")
    runs = await newest(env, handle.id, 3, handle.first_execution_run_id)
    await handle.terminate()
    env.started += [(handle.id, run) for run in runs[1:2]]
    return len(runs) >= 3


@with_worker([Ticks])
async def cron_canceled_between_runs(env):
    handle = await env.start(Ticks.run, 0, "hang", cron_schedule="@every 30s")
    seen = [await attempt(handle.cancel()), await result(handle)]
    await follow(env, handle)
    return seen


@with_worker([Ticks])
async def cron_canceled_while_running(env):
    handle = await env.start(Ticks.run, 0, "hang", cron_schedule="@every 1s")
    await eventually(lambda: has_started(env, handle))
    seen = [await attempt(handle.cancel()), await result(handle)]
    await follow(env, handle)
    return seen


@with_worker([Ticks])
async def cron_until_execution_timeout(env):
    handle = await env.start(Ticks.run, -1, "", cron_schedule="@every 2s", execution_timeout=timedelta(seconds=5))
    seen = await result(handle)
    await follow(env, handle)
    return seen


@program
async def wrong_cron_schedules(env):
    seen = []
    for schedule in ["nonsense", "* * * *", "61 * * * *", "* * * * * *", "0 0 30 2 *", "@every", "@every 0s",
                     "@every -1s",
                     "@sometimes", "CRON_TZ=Nowhere/At_All * * * * *", "*/0 * * * *", "5-1 * * * *"]:
        seen.append(await attempt(env.start("Any", id=f"wrong-{len(seen)}", cron_schedule=schedule)))
    seen.append(await attempt(env.start("Any", cron_schedule="@hourly", start_delay=SECOND)))
    # Perdure says behind Temporal's words what a schedule looks like.
    return [
        {**answer, "error": {**answer["error"], "message": re.split("[.;]", answer["error"]["message"])[0]}}
        if "error" in answer else answer for answer in seen
    ]


@program
async def cron_worker_replaced(env):
    async with env.worker(Ticks):
        handle = await env.start(Ticks.run, -1, "", cron_schedule="@every 1s")
        await newest(env, handle.id, 2, handle.first_execution_run_id)
    async with env.worker(Ticks):
        runs = await newest(env, handle.id, 4, handle.first_execution_run_id)
        await handle.terminate()
    env.started.clear()
    return len(runs) >= 4
