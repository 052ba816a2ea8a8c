#!/usr/bin/env python3
"""Ends a frontend on which polls are parked, and looks how: polls are answered with nothing, and the process is gone
soon.

    Tests/Conformance/drain.py ADDRESS PID
"""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest, PollActivityTaskQueueRequest, PollNexusTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
)
from temporalio.client import Client

from leaving import leave


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def main(address, pid):
    client = await Client.connect(address)
    service, queue = client.workflow_service, TaskQueue(name="drained")
    handle = await client.start_workflow("Nobody", id=f"drained-{time.time()}", task_queue="nobody")
    minute = timedelta(seconds=70)
    calls = [
        asyncio.create_task(poll(request(namespace="default", task_queue=queue, identity=f"w{number}"), timeout=minute))
        for number in range(10) for poll, request in (
            (service.poll_workflow_task_queue, PollWorkflowTaskQueueRequest),
            (service.poll_activity_task_queue, PollActivityTaskQueueRequest),
            (service.poll_nexus_task_queue, PollNexusTaskQueueRequest))
    ]
    calls.append(asyncio.create_task(service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace="default", execution=WorkflowExecution(workflow_id=handle.id, run_id=handle.result_run_id),
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT),
        timeout=minute)))
    await asyncio.sleep(1)
    assert not any(call.done() for call in calls), "a call did not wait"
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    answers = await asyncio.wait_for(asyncio.gather(*calls), 5)
    assert all(not answer.task_token for answer in answers[:-1]), "a poll was answered with a task"
    assert answers[-1].next_page_token, "a wait for a close event must go on elsewhere"
    while not has_ended(pid):
        assert time.monotonic() - began < 8, "the frontend goes on"
        await asyncio.sleep(0.05)
    print(f"ok drained in {time.monotonic() - began:.1f} s")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
leave(False)
