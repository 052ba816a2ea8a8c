"""Programs about what is stored beside the events' own attributes: links, types, categories, versions; and about id
policies."""

import asyncio
import dataclasses
import uuid
from datetime import datetime, timezone

import temporalio.api.common.v1 as common
import temporalio.api.workflowservice.v1 as service
import temporalio.converter
from google.protobuf import json_format
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy, WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from harness import attempt, program, result
from programs import ACTIVITIES, LONG, ONCE, with_worker

# --- ids -------------------------------------------------------------------------------------------------------------


@program
async def id_policies(env):
    """Each pair of policies, for an id that is taken and for one that was."""
    seen = {}

    async def start_again(conflict, reuse, is_open, signal):
        name = " ".join([conflict.name, reuse.name, "open" if is_open else "closed", "signal" if signal else "start"])
        first = await env.client.start_workflow("Nobody", id=env.id(name), task_queue=env.queue)
        if not is_open:
            await first.terminate()
        signals = {"start_signal": "s"} if signal else {}
        try:
            second = await env.client.start_workflow(
                "Nobody", id=env.id(name), task_queue=env.queue, id_conflict_policy=conflict, id_reuse_policy=reuse,
                **signals)
            same = second.first_execution_run_id == first.first_execution_run_id
            seen[name] = ["the same" if same else "another", (await first.describe()).status.name]
        except Exception as error:  # noqa: BLE001
            seen[name] = [type(error).__name__, str(error)]

    await asyncio.gather(*(
        start_again(conflict, reuse, is_open, signal)
        for conflict in WorkflowIDConflictPolicy for reuse in WorkflowIDReusePolicy
        for is_open in (True, False) for signal in (True, False)))
    return seen


# --- versions --------------------------------------------------------------------------------------------------------


@workflow.defn
class Patches:
    @workflow.run
    async def run(self) -> list:
        seen = [workflow.patched("zeta"), workflow.patched("alpha"), workflow.patched("zeta")]
        workflow.deprecate_patch("old")
        await asyncio.sleep(0.05)
        for number in range(20):
            workflow.patched("x" * 100 + str(number))
        return seen


@with_worker([Patches])
async def patches(env):
    """A list that gets longer than a search attribute may be."""
    return await env.execute(Patches.run)


# --- failures --------------------------------------------------------------------------------------------------------


@activity.defn
async def benign(category: str) -> None:
    raise ApplicationError("as expected", type="Benign", category=ApplicationErrorCategory[category])


@workflow.defn
class Categories:
    @workflow.run
    async def run(self, category: str, where: str) -> None:
        if where == "activity":
            await workflow.execute_activity(benign, category, start_to_close_timeout=LONG, retry_policy=ONCE)
        raise ApplicationError("as expected", category=ApplicationErrorCategory[category])


def categories(where):
    async def run(env):
        async with env.worker(Categories, activities=[benign]):
            return [
                await env.execute(Categories.run, category, where, id=category)
                for category in ["UNSPECIFIED", "BENIGN"]]

    run.__name__ = f"{where}_failure_category"
    program(run)


categories("activity")
categories("workflow")


@workflow.defn
class FailsInside:
    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.execute_activity("fails", "chain", start_to_close_timeout=LONG, retry_policy=ONCE)
        except Exception as error:
            raise ApplicationError("around it", {"detail": 1}, type="Around") from error


@program
async def encoded_failures(env):
    """Messages and stack traces travel as payloads, which a codec could encrypt."""
    converter = dataclasses.replace(
        temporalio.converter.default(),
        failure_converter_class=temporalio.converter.DefaultFailureConverterWithEncodedAttributes)
    config = env.client.config()
    config["data_converter"] = converter
    env.client = Client(**config)
    async with env.worker(FailsInside, activities=ACTIVITIES):
        handle = await env.start(FailsInside.run)
        await result(handle)
        kinds = []
        async for event in handle.fetch_history_events():
            for attributes in (event.activity_task_failed_event_attributes,
                               event.workflow_execution_failed_event_attributes):
                failure = attributes.failure
                while failure.message:
                    kinds.append([failure.message, failure.encoded_attributes.metadata["encoding"].decode()])
                    failure = failure.cause
        # The stack traces, which are encoded too, hold paths of the machine.
        env.started.clear()
        return kinds


# --- links -----------------------------------------------------------------------------------------------------------


@program
async def links(env):
    """What caused something elsewhere stands in its event, and the caller learns what it caused."""
    calls = env.client.workflow_service
    reference = common.Link.WorkflowEvent.EventReference(
        event_id=3, event_type=EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
    event = common.Link(workflow_event=common.Link.WorkflowEvent(
        namespace="default", workflow_id="other", run_id="r", event_ref=reference))
    job = common.Link(batch_job=common.Link.BatchJob(job_id="j"))
    execution = common.WorkflowExecution(workflow_id=env.id())
    start = dict(
        namespace="default", workflow_id=env.id(), workflow_type=common.WorkflowType(name="Nobody"),
        task_queue=TaskQueue(name=env.queue))
    on_run = dict(namespace="default", workflow_execution=execution)
    seen = []

    async def say(call):
        answer = json_format.MessageToDict(await call)
        seen.append({name: answer[name] for name in ("link", "signalLink") if name in answer})
        return answer

    started = await say(calls.start_workflow_execution(service.StartWorkflowExecutionRequest(
        **start, request_id=str(uuid.uuid4()), links=[event, job])))
    env.started.append((env.id(), started["runId"]))
    await say(calls.signal_workflow_execution(service.SignalWorkflowExecutionRequest(
        **on_run, signal_name="s", request_id="first", links=[event])))
    await say(calls.signal_with_start_workflow_execution(service.SignalWithStartWorkflowExecutionRequest(
        **start, signal_name="s", request_id="second", links=[job])))
    await say(calls.request_cancel_workflow_execution(service.RequestCancelWorkflowExecutionRequest(
        **on_run, links=[event])))
    for wrong in ([event] * 11, [common.Link(batch_job=common.Link.BatchJob(job_id="j" * 5000))]):
        refused = await attempt(calls.signal_workflow_execution(service.SignalWorkflowExecutionRequest(
            **on_run, signal_name="s", links=wrong)))
        seen.append(refused["error"]["status"])
    await say(calls.terminate_workflow_execution(service.TerminateWorkflowExecutionRequest(
        **on_run, reason="enough", identity="conformance", links=[event])))
    second = dict(start, workflow_id=env.id("second"))
    started = await say(calls.signal_with_start_workflow_execution(service.SignalWithStartWorkflowExecutionRequest(
        **second, signal_name="s", request_id="third", links=[event])))
    env.started.append((env.id("second"), started["runId"]))
    return seen


# --- search attributes -----------------------------------------------------------------------------------------------

TEXT = SearchAttributeKey.for_text("ConformanceText")
TIME = SearchAttributeKey.for_datetime("ConformanceTime")
MORE_SEARCH_ATTRIBUTES = [TEXT, TIME]


@workflow.defn
class Typed:
    @workflow.run
    async def run(self) -> list:
        workflow.upsert_search_attributes([
            TEXT.value_set("some other words"), TIME.value_set(datetime(2021, 2, 3, tzinfo=timezone.utc))])
        return [str(workflow.info().typed_search_attributes.get(key)) for key in (TEXT, TIME)]


@with_worker([Typed])
async def search_attribute_types(env):
    handle = await env.start(Typed.run, search_attributes=TypedSearchAttributes([
        SearchAttributePair(TEXT, "some words"),
        SearchAttributePair(TIME, datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc))]))
    return await result(handle)


# --- size ------------------------------------------------------------------------------------------------------------


@workflow.defn
class Measures:
    @workflow.run
    async def run(self, data: str) -> list:
        before = workflow.info().get_current_history_size()
        await workflow.execute_activity("echo", data, start_to_close_timeout=LONG)
        after = workflow.info().get_current_history_size()
        return [before > 100_000, before < 200_000, after > 300_000, after < 600_000]


@with_worker([Measures])
async def history_size(env):
    handle = await env.start(Measures.run, "x" * 131_072)
    seen = await result(handle)
    size = (await handle.describe()).raw_description.workflow_execution_info.history_size_bytes
    return [seen, 350_000 < size < 800_000]
