"""Runs programs against Temporal's development server and against Perdure, and compares what they saw and their
histories.

A program is an async function with the decorator @program. It gets an Env, starts workflows through it, and returns
what a client saw. The harness reads the histories of these workflows, makes ids and times comparable, and compares.
"""

import asyncio
import base64
import collections
import contextlib
import dataclasses
import json
import pathlib
import re
import sys
import traceback
import uuid
from datetime import timedelta

from google.protobuf import json_format
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio import workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

PROGRAMS = {}
IDENTITY = "conformance"
JSON_PLAIN = base64.b64encode(b"json/plain").decode()
LIMIT = 60


UNORDERED = set()


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def unordered(function):
    """A program of which chance decides the order of events."""
    UNORDERED.add(function.__name__)
    return function


class Env:
    """One run of a program against one server."""

    def __init__(self, client: Client, name: str):
        self.client = client
        self.name = name
        self.prefix = f"{name}-{uuid.uuid4().hex[:8]}"
        self.queue = f"{self.prefix}-queue"
        self.started: list[tuple[str, str]] = []

    def id(self, name: str = "workflow") -> str:
        return f"{self.prefix}-{name}"

    @contextlib.asynccontextmanager
    async def worker(self, *workflows, activities=(), queue=None, **options):
        options.setdefault("graceful_shutdown_timeout", timedelta(seconds=1))
        async with Worker(
            self.client, task_queue=queue or self.queue, workflows=list(workflows), activities=list(activities),
            workflow_runner=UnsandboxedWorkflowRunner(), identity=IDENTITY, **options,
        ) as worker:
            yield worker

    async def start(self, workflow, *args, id="workflow", **options):
        options.setdefault("task_queue", self.queue)
        handle = await self.client.start_workflow(workflow, args=list(args), id=self.id(id), **options)
        self.track(handle)
        return handle

    def track(self, handle):
        self.started.append((handle.id, handle.first_execution_run_id or handle.result_run_id or handle.run_id))

    async def execute(self, workflow, *args, **options):
        handle = await self.start(workflow, *args, **options)
        return await result(handle)

    async def history(self, workflow_id, run_id):
        events, token = [], b""
        while True:
            answer = await self.client.workflow_service.get_workflow_execution_history(
                GetWorkflowExecutionHistoryRequest(
                    namespace=self.client.namespace, next_page_token=token,
                    execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id or "")))
            events += answer.history.events
            token = answer.next_page_token
            if not token:
                return [json_format.MessageToDict(event) for event in events]


async def result(handle):
    """The result of a workflow, or the failure with its causes, as a client sees them."""
    try:
        return {"result": await handle.result()}
    except Exception as error:  # noqa: BLE001  Whatever it is, it is what the client saw.
        return {"failure": failure(error)}


def failure(error):
    seen = {"kind": type(error).__name__, "message": str(error)}
    for name in ("type", "non_retryable", "retry_state", "activity_type", "activity_id", "status"):
        if getattr(error, name, None) is not None:
            seen[name] = str(getattr(error, name))
    if getattr(error, "details", None):
        seen["details"] = [str(detail) for detail in error.details]
    if getattr(error, "__cause__", None) is not None:
        seen["cause"] = failure(error.__cause__)
    return seen


async def attempt(awaitable):
    """What a call of a client returns or raises."""
    try:
        value = await awaitable
        return {"value": value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else "done"}
    except Exception as error:  # noqa: BLE001
        return {"error": failure(error)}


async def eventually(condition, limit=15):
    async def wait():
        while not await condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(wait(), limit)


# --- comparing -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Observation:
    seen: object
    histories: list
    runs: list

    def comparable(self, in_order):
        """Where chance decides the order, the kinds of events are compared and how many of each there are."""
        if in_order:
            return self.histories
        return [
            dict(collections.Counter(
                event["eventType"] for event in history if "WORKFLOW_TASK" not in event["eventType"]))
            for history in self.histories
        ]


class Normalizer:
    """Takes out what must differ: ids, times, sizes, and what one server says more."""

    # Attributes that do not count, with the reason. This list may only shrink.
    IGNORED = {
        "eventTime": "the time",
        "taskId": "a number of Temporal's own storage",
        "version": "a number of Temporal's replication",
        "historySizeBytes": "the size in the server's own format",
        "meteringMetadata": "for billing",
        "workflowExecutionExpirationTime": "the time",
        "prevAutoResetPoints": "for resets by build id",
        "stackTrace": "paths of the machine",
        "useWorkflowBuildId": "for versioning by deployments, which Perdure does not have",
    }
    UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

    def __init__(self, prefix):
        self.prefix = prefix
        self.ids = {}

    def __call__(self, value, key=""):
        if isinstance(value, dict) and value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            # Perdure keeps tasks for the worker that has the run in its cache on the same queue.
            value = {"name": value["normalName"], "kind": "TASK_QUEUE_KIND_NORMAL"}
        if isinstance(value, dict) and value.get("metadata", {}).get("encoding") == JSON_PLAIN and "data" in value:
            # The order of members says nothing.
            value = {**value, "data": {"json": json.loads(base64.b64decode(value["data"]))}}
        if key in ("complete_time", "original_schedule_time") and value:
            # When a local activity ended, and when it was scheduled.
            return "a time"
        if (isinstance(value, dict) and "cronSchedule" in value
                and value.get("firstWorkflowTaskBackoff", "0.")[:2] != "0."):
            # Which second of the schedule comes next depends on how long the run before took.
            value = {**value, "firstWorkflowTaskBackoff": "until the next time of the schedule"}
        if isinstance(value, dict):
            return {
                k: normal for k, v in sorted(value.items())
                if k not in self.IGNORED and not self.is_empty(normal := self(v, k)) or k in ("attempt",)
            }
        if isinstance(value, list):
            # The SDK names the flags that it uses in any order.
            return sorted(value) if key.endswith("UsedFlags") else [self(item, key) for item in value]
        if isinstance(value, str):
            if key in ("requestId", "workflowTaskRequestId"):
                return "request"
            if key == "firstWorkflowTaskBackoff" and value.startswith("0."):
                # What is left of the second between two runs is a matter of time.
                return ""
            if key in ("namespaceId", "parentWorkflowNamespaceId"):
                # Perdure's namespaces have no other id than their name.
                return "namespace"
            if key == "identity" and value not in (IDENTITY, ""):
                return "client"
            text = value.replace(self.prefix, "PREFIX")
            # Sticky queues are named by the worker.
            text = re.sub(r"^\d+@[^ ]*|[0-9]+@[\w.-]+-[0-9a-f]{32}", "WORKER", text)
            return self.UUID.sub(lambda match: self.ids.setdefault(match[0], f"id-{len(self.ids) + 1}"), text)
        return value

    def history(self, events):
        if events and events[0].get("workflowExecutionStartedEventAttributes", {}).get("eagerExecutionAccepted"):
            # Temporal names no build where a task began that came with the answer to a start; Perdure the worker's.
            for event in events[:3]:
                event.get("workflowTaskStartedEventAttributes", {}).pop("workerVersion", None)
        return self(events)

    @staticmethod
    def is_empty(value):
        # A duration of zero is none.
        return value in ({}, [], "", "0s", None) or value == 0 and not isinstance(value, bool)


async def observe(client, name, function) -> Observation:
    env = Env(client, name)
    normalize = Normalizer(env.prefix)
    try:
        seen = await asyncio.wait_for(function(env), LIMIT)
        histories = [await env.history(*run) for run in env.started]
    except Exception:  # noqa: BLE001
        return Observation({"crash": traceback.format_exc()}, [], [])
    return Observation(
        normalize(seen), [normalize.history(history) for history in histories],
        [WorkflowHistory.from_json(run[0], {"events": history}) for run, history in zip(env.started, histories)])


# --- replaying -------------------------------------------------------------------------------------------------------


def workflows():
    """The workflows of all programs, by their types."""
    folder = pathlib.Path(__file__).resolve().parent
    classes = {
        value for name, module in list(sys.modules.items())
        if pathlib.Path(getattr(module, "__file__", None) or "/").resolve().parent == folder
        for value in vars(module).values() if isinstance(value, type) and value.__module__ == name
    }
    known = {}
    for value in classes:
        definition = workflow._Definition.from_class(value)
        if definition is not None and definition.name:
            known.setdefault(definition.name, []).append(value)
    return known


async def replayed(runs):
    """What Temporal's replayer says of histories, a line each that it does not take."""
    known, problems = workflows(), []
    for place, history in enumerate(runs):
        started = history.events[0].workflow_execution_started_event_attributes
        if not any(event.HasField("workflow_task_completed_event_attributes") for event in history.events):
            continue
        failures = []
        for value in known.get(started.workflow_type.name, []):
            replayer = Replayer(workflows=[value], workflow_runner=UnsandboxedWorkflowRunner())
            replay = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            failures.append(replay.replay_failure)
        # Of two workflows of one name one is right.
        if failures and all(failures):
            problems.append(f"replay[{place}]: {str(failures[0])[:300]}")
    return problems


def differences(expected, actual, path=""):
    """Where two values differ, a line each."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            if key not in actual:
                yield f"{path}.{key}: Temporal has {expected[key]!r}, Perdure nothing"
            elif key not in expected:
                yield f"{path}.{key}: Perdure has {actual[key]!r}, Temporal nothing"
            else:
                yield from differences(expected[key], actual[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: {len(expected)} of Temporal, {len(actual)} of Perdure"
            yield f"    Temporal: {[brief(item) for item in expected]}"
            yield f"    Perdure:  {[brief(item) for item in actual]}"
        for place, (left, right) in enumerate(zip(expected, actual)):
            yield from differences(left, right, f"{path}[{brief(left) or place}]")
    elif expected != actual:
        yield f"{path}: Temporal has {expected!r}, Perdure {actual!r}"


def brief(item):
    if isinstance(item, dict) and "eventType" in item:
        return f"{item.get('eventId')} {item['eventType'].removeprefix('EVENT_TYPE_')}"
    return str(item)[:40] if isinstance(item, (str, int)) else ""


async def compare(oracle: Client, perdure: Client, names, at_once=8):
    """Runs programs against both, and gives the differences of each by its name."""
    slots = asyncio.Semaphore(at_once)

    async def one(name):
        async with slots:
            expected, actual = await asyncio.gather(
                observe(oracle, name, PROGRAMS[name]), observe(perdure, name, PROGRAMS[name]))
        found = list(differences(expected.seen, actual.seen, "seen"))
        if isinstance(expected.seen, dict) and "crash" in expected.seen:
            found.insert(0, "the program failed against Temporal: " + expected.seen["crash"])
        # Whoever takes Temporal's history must take ours.
        if not await replayed(expected.runs):
            found += await replayed(actual.runs)
        in_order = name not in UNORDERED
        found += differences(expected.comparable(in_order), actual.comparable(in_order), "history")
        return name, found

    return dict(await asyncio.gather(*(one(name) for name in names)))
