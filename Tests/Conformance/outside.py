"""The programs about what comes from outside a worker: activities that are completed by their id, histories in reverse,
the older lists, workers that sign off, and namespaces."""

import asyncio
import time
import uuid
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from nexusrpc.handler import StartOperationContext, service_handler, sync_operation
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.filter.v1 import StartTimeFilter, StatusFilter, WorkflowExecutionFilter, WorkflowTypeFilter
from temporalio.api.namespace.v1 import NamespaceConfig, UpdateNamespaceInfo
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest, GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryReverseRequest,
    ListClosedWorkflowExecutionsRequest, ListNamespacesRequest, ListOpenWorkflowExecutionsRequest,
    ListWorkflowExecutionsRequest,
    PollActivityTaskQueueRequest, PollNexusTaskQueueRequest, PollWorkflowTaskQueueRequest, RegisterNamespaceRequest,
    ShutdownWorkerRequest, UpdateNamespaceRequest,
)
from temporalio.client import AsyncActivityCancelledError, Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from harness import IDENTITY, attempt, eventually, program, result
from programs import Large, make

LONG = timedelta(seconds=30)


@activity.defn
async def asks() -> str:
    activity.raise_complete_async()


@activity.defn
async def asks_again() -> list:
    if activity.info().attempt == 1:
        activity.raise_complete_async()
    return list(activity.info().heartbeat_details)


@workflow.defn
class Asks:
    def __init__(self) -> None:
        self.canceled = False

    @workflow.run
    async def run(self, name: str) -> object:
        handle = workflow.start_activity(
            name, activity_id="question", start_to_close_timeout=LONG, heartbeat_timeout=LONG,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=20)),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
        await workflow.wait_condition(lambda: self.canceled or handle.done())
        if self.canceled:
            handle.cancel()
        return await handle

    @workflow.signal
    def cancel_it(self) -> None:
        self.canceled = True


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.seen: list = []

    @workflow.run
    async def run(self) -> list:
        await workflow.wait_condition(lambda: "go" in self.seen)
        return self.seen

    @workflow.signal
    def note(self, text: str) -> None:
        self.seen.append(text)


async def asked(env, name="asks"):
    """A run whose activity waits for somebody outside, and a handle of it by its id."""
    handle = await env.start(Asks.run, name)

    async def waits():
        described = await handle.describe()
        return any(a.state == 2 for a in described.raw_description.pending_activities)  # STARTED

    await eventually(waits)
    return handle, env.client.get_async_activity_handle(
        workflow_id=handle.id, run_id=handle.first_execution_run_id, activity_id="question")


@program
async def completed_by_id(env):
    async with env.worker(Asks, activities=[asks]):
        handle, question = await asked(env)
        seen = [await attempt(question.complete({"answer": 42})), await result(handle)]
        return [*seen, await attempt(question.complete("late"))]


@program
async def failed_by_id(env):
    async with env.worker(Asks, activities=[asks]):
        handle, question = await asked(env)
        error = ApplicationError("nobody knows", {"why": 1}, type="Unknown", non_retryable=True)
        return [await attempt(question.fail(error)), await result(handle)]


@program
async def failed_by_id_and_tried_again(env):
    async with env.worker(Asks, activities=[asks_again]):
        handle, question = await asked(env, "asks_again")
        return [
            await attempt(question.heartbeat("half", 2)),
            await attempt(question.fail(RuntimeError("first"))), await result(handle),
        ]


@program
async def details_come_with_a_failure_by_id(env):
    async with env.worker(Asks, activities=[asks_again]):
        handle, question = await asked(env, "asks_again")
        return [await attempt(question.fail(RuntimeError("first"), last_heartbeat_details=["so", "far"])),
                await result(handle)]


@program
async def canceled_by_id(env):
    async with env.worker(Asks, activities=[asks]):
        handle, question = await asked(env)
        seen = [await attempt(question.report_cancellation("early"))]
        await handle.signal(Asks.cancel_it)

        async def is_told():
            try:
                await question.heartbeat("alive")
            except AsyncActivityCancelledError:
                return True

        await eventually(is_told)
        return [*seen, await attempt(question.report_cancellation("late")), await result(handle)]


@program
async def unknown_activities_by_id(env):
    client = env.client
    async with env.worker(Asks, activities=[asks]):
        handle, question = await asked(env)
        other = client.get_async_activity_handle(workflow_id=handle.id, run_id=None, activity_id="other")
        nobody = client.get_async_activity_handle(workflow_id=env.id("nobody"), run_id=None, activity_id="x")
        seen = []
        for unknown in (other, nobody):
            seen += [
                await attempt(unknown.complete()), await attempt(unknown.fail(RuntimeError("x"))),
                await attempt(unknown.heartbeat()), await attempt(unknown.report_cancellation()),
            ]
        # Without the id of the run it is the current one.
        current = client.get_async_activity_handle(workflow_id=handle.id, run_id=None, activity_id="question")
        return [*seen, await attempt(current.complete("now")), await result(handle)]


@program
async def history_in_reverse(env):
    handle = await env.start(Waits.run)
    for text in ("a", "b", "go"):
        await handle.signal(Waits.note, text)
    async with env.worker(Waits):
        await handle.result()
    pages = {}
    for size in (0, 3, 1):
        events, token = [], b""
        while True:
            page = await env.client.workflow_service.get_workflow_execution_history_reverse(
                GetWorkflowExecutionHistoryReverseRequest(
                    namespace="default", maximum_page_size=size, next_page_token=token,
                    execution=WorkflowExecution(workflow_id=handle.id)))
            events.append([(e.event_id, EventType.Name(e.event_type)) for e in page.history.events])
            token = page.next_page_token
            if not token:
                break
        flat = [event for page in events for event in page]
        assert [number for number, _ in flat] == list(range(len(flat), 0, -1)), flat
        # Temporal's pages end with a batch.
        assert len(events) > 1 if size == 1 else len(events) >= 1, events
        # How signals fall into tasks is chance.
        pages[f"size {size}"] = [flat[0][1], flat[-2][1], flat[-1][1]]
    nobody = env.client.workflow_service.get_workflow_execution_history_reverse(
        GetWorkflowExecutionHistoryReverseRequest(
            namespace="default", execution=WorkflowExecution(workflow_id=env.id("nobody"))))
    env.started.clear()
    return [pages, await attempt(nobody)]


@program
async def large_history(env):
    """Seven megabytes are read by pages: by a worker that has nothing cached, and by clients in each way there is."""
    async with env.worker(Large, activities=[make], max_cached_workflows=0):
        handle = await env.start(Large.run, 5, 1_500_000)
        seen = [await result(handle)]
    service, execution = env.client.workflow_service, WorkflowExecution(workflow_id=handle.id)

    async def pages(call, request, **options):
        events, token = [], b""
        while True:
            page = await call(request(namespace="default", execution=execution, next_page_token=token, **options))
            events += [event.event_id for event in page.history.events]
            token = page.next_page_token
            if not token:
                return events

    forwards = service.get_workflow_execution_history, GetWorkflowExecutionHistoryRequest
    backwards = service.get_workflow_execution_history_reverse, GetWorkflowExecutionHistoryReverseRequest
    for options in ({}, {"maximum_page_size": 5}):
        seen.append(await pages(*forwards, **options))
        seen.append(await pages(*forwards, wait_new_event=True, **options))
        seen.append(await pages(*backwards, **options))
    assert all(sorted(events) == list(range(1, 36)) for events in seen[1:]), seen
    return seen


@program
async def older_lists(env):
    service = env.client.workflow_service
    async with env.worker(Waits):
        closed, opened = await env.start(Waits.run, id="closed"), await env.start(Waits.run, id="open")
        await asyncio.sleep(1.5)
        await closed.signal(Waits.note, "go")
        await closed.result()
        start = (await closed.describe()).start_time
        after_start = Timestamp()
        after_start.FromDatetime(start + timedelta(seconds=1))

        async def opens(**filters):
            found = await service.list_open_workflow_executions(
                ListOpenWorkflowExecutionsRequest(namespace="default", maximum_page_size=100, **filters))
            return sorted(e.execution.workflow_id for e in found.executions if env.prefix in e.execution.workflow_id)

        async def closes(**filters):
            found = await service.list_closed_workflow_executions(
                ListClosedWorkflowExecutionsRequest(namespace="default", maximum_page_size=100, **filters))
            return sorted(e.execution.workflow_id for e in found.executions if env.prefix in e.execution.workflow_id)

        mine = {"execution_filter": WorkflowExecutionFilter(workflow_id=closed.id)}

        async def is_seen():
            return await closes(**mine) and await opens(execution_filter=WorkflowExecutionFilter(workflow_id=opened.id))

        await eventually(is_seen)
        seen = [
            await opens(**mine), await closes(**mine),
            await opens(type_filter=WorkflowTypeFilter(name="Nobodys")),
            await closes(status_filter=StatusFilter(status=2)) == [closed.id],
            await closes(status_filter=StatusFilter(status=3)),
            await closes(**mine, start_time_filter=StartTimeFilter(earliest_time=after_start)),
            await closes(**mine, start_time_filter=StartTimeFilter(latest_time=after_start)),
        ]
        await opened.terminate()
    env.started.clear()
    return seen


@program
async def runs_that_end_before_they_begin(env):
    """How long they took is less than nothing, because it is counted from the end of the delay."""
    service = env.client.workflow_service
    seen = []
    for name, options in [("delayed", {"start_delay": timedelta(hours=1)}), ("cron", {"cron_schedule": "0 0 29 2 *"})]:
        handle = await env.start("Nobodys", id=name, **options)
        await handle.terminate()
        request = ListWorkflowExecutionsRequest(
            namespace="default", query=f"WorkflowId = '{handle.id}' AND ExecutionDuration < '0s'")

        async def listed():
            return (await service.list_workflow_executions(request)).executions

        await eventually(listed)
        described = (await handle.describe()).raw_description.workflow_execution_info
        for info in [described, *await listed()]:
            taken = info.close_time.ToDatetime() - info.execution_time.ToDatetime()
            seen.append(abs(info.execution_duration.ToTimedelta() - taken) < timedelta(milliseconds=1))
            seen.append(info.execution_duration.ToTimedelta() < timedelta(seconds=-10))
    return seen


@program
async def calls_of_a_namespace_that_is_not_there(env):
    """They are refused at once, and nobody waits for them."""
    nowhere = Client(env.client.service_client, namespace=f"{env.prefix}-nowhere")
    begun = asyncio.get_running_loop().time()

    async def start(client, number):
        await client.start_workflow(Waits.run, id=env.id(f"start-{number}"), task_queue=env.queue)

    async def signal(client, number):
        await client.get_workflow_handle(env.id(f"signal-{number}")).signal("note", "x")

    seen = await asyncio.gather(*(
        attempt(call(client, number))
        for number in range(5) for call in (start, signal) for client in (nowhere, env.client)))
    for number in range(5):
        await env.client.get_workflow_handle(env.id(f"start-{number}")).terminate()
    return [seen, asyncio.get_running_loop().time() - begun < 5]


@program
async def a_worker_that_signs_off_keeps_no_run(env):
    """The next task of a run that a worker had in its cache goes to another at once, not when its time is over."""
    async with env.worker(Waits):
        handle = await env.start(Waits.run)

        async def is_cached():
            return any([
                event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
                async for event in handle.fetch_history_events()])

        await eventually(is_cached)
    async with env.worker(Waits):
        began = time.monotonic()
        await handle.signal(Waits.note, "go")
        return [await result(handle), time.monotonic() - began < 4]


@service_handler
class Greetings:
    @sync_operation
    async def greet(self, context: StartOperationContext, name: str) -> str:
        return f"hello {name}"


@program
async def a_worker_with_nexus_handlers(env):
    """It runs workflows like any other, and its polls for Nexus tasks end with nothing when it signs off."""
    handle = await env.start(Waits.run)
    await handle.signal(Waits.note, "go")
    async with env.worker(Waits, nexus_service_handlers=[Greetings()]):
        seen = await result(handle)
        # A poll for a Nexus task is surely under way.
        await asyncio.sleep(0.5)
        began = time.monotonic()
    return [seen, time.monotonic() - began < 4]


@program
async def polls_for_nexus_tasks(env):
    """They wait. A poll of any kind that names no queue is refused."""
    service = env.client.workflow_service

    def poll(**options):
        return service.poll_nexus_task_queue(
            PollNexusTaskQueueRequest(identity=IDENTITY, **options), timeout=timedelta(seconds=20))

    queue = TaskQueue(name=env.queue)
    waiting = asyncio.create_task(poll(namespace="default", task_queue=queue, worker_instance_key=str(uuid.uuid4())))
    await asyncio.sleep(1)
    seen = [waiting.done()]
    waiting.cancel()
    refused = [{"namespace": "nowhere", "task_queue": queue}, {"namespace": "default"}]
    for options in [*refused, {"namespace": "default", "task_queue": TaskQueue()}, {"task_queue": queue}]:
        seen.append(await attempt(poll(**options)))
    for kind, method in ((PollWorkflowTaskQueueRequest, service.poll_workflow_task_queue),
                         (PollActivityTaskQueueRequest, service.poll_activity_task_queue)):
        for name in ({}, {"task_queue": TaskQueue()}):
            seen.append(await attempt(method(kind(namespace="default", **name))))
    return seen


@program
async def signing_off_by_hand(env):
    """Polls of the worker that signs off end with nothing, and nobody minds one that is not known."""
    service = env.client.workflow_service
    request = ShutdownWorkerRequest(
        namespace="default", identity=IDENTITY, sticky_task_queue=f"{env.prefix}-sticky", reason="the end")
    seen = [await attempt(service.shutdown_worker(request)), await attempt(service.shutdown_worker(request))]
    request.namespace = "nowhere"
    return [*seen, await attempt(service.shutdown_worker(request))]


@program
async def health(env):
    """Of each service, of all, and of one that is not there."""
    names = ["WorkflowService", "OperatorService"]
    services = [f"temporal.api.{name.lower()}.v1.{name}" for name in names]
    check = env.client.service_client.check_health
    return [await attempt(check(service=service)) for service in [*services, "", "grpc.health.v1.Health", "whatever"]]


@program
async def namespaces(env):
    service = env.client.workflow_service
    name = f"{env.prefix}-space"
    day = Duration(seconds=86400)

    async def register(**options):
        return await attempt(service.register_namespace(RegisterNamespaceRequest(**options)))

    async def described(namespace=name):
        answer = await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
        info = answer.namespace_info
        return [
            info.name, info.state, info.description, info.owner_email, dict(info.data),
            answer.config.workflow_execution_retention_ttl.seconds]

    async def is_there():
        return "value" in await attempt(described())

    seen = [
        await register(namespace=name), await register(namespace=""),
        await register(namespace=name + "-2", workflow_execution_retention_period=Duration(seconds=60)),
        await register(
            namespace=name, description="for tests", owner_email="me@example.com", data={"team": "blue"},
            workflow_execution_retention_period=day),
        await register(namespace=name, workflow_execution_retention_period=day),
    ]
    await eventually(is_there)
    seen.append(await described())
    listed = await service.list_namespaces(ListNamespacesRequest(page_size=100))
    seen.append(name in [n.namespace_info.name for n in listed.namespaces])
    for change in (
        {"update_info": UpdateNamespaceInfo(description="for all", data={"floor": "3"})},
        {"update_info": UpdateNamespaceInfo(owner_email="you@example.com")},
        {"config": NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=5 * 86400))},
        {"config": NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=5))},
    ):
        seen.append(await attempt(service.update_namespace(UpdateNamespaceRequest(namespace=name, **change))))
        info = (await service.describe_namespace(DescribeNamespaceRequest(namespace=name)))
        seen.append([dict(info.namespace_info.data), info.namespace_info.description, info.namespace_info.owner_email])
    seen.append(await attempt(service.update_namespace(UpdateNamespaceRequest(namespace="nowhere"))))
    seen.append(await attempt(described("nowhere")))

    # A run of it stays in it.
    client = await Client.connect(env.client.service_client.config.target_host, namespace=name, identity=IDENTITY)

    async def starts():
        return "value" in await attempt(client.start_workflow(
            "Waits", id=env.id(), task_queue=env.queue, id_conflict_policy=2))  # USE_EXISTING

    await eventually(starts, 30)
    seen.append(await attempt(client.get_workflow_handle(env.id()).signal("note", "x")))
    seen.append(await attempt(env.client.get_workflow_handle(env.id()).describe()))

    deleted = await env.client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace=name))
    seen.append(deleted.deleted_namespace.startswith(f"{name}-deleted-"))

    async def is_gone():
        return "error" in await attempt(described())

    await eventually(is_gone)
    seen.append(await attempt(described()))
    seen.append(
        await attempt(env.client.operator_service.delete_namespace(DeleteNamespaceRequest(namespace="nowhere"))))
    return seen
