"""The load: a worker with a workflow of four trivial activities, clients that start it, and polls that park.

    load.py worker ADDRESS                          runs until it is terminated; says ready when it polls
    load.py client ADDRESS SECONDS OUTSTANDING      starts workflows and waits for their results; prints a JSON object
    load.py park ADDRESS POLLS                      \
parks so many polls; says how many were not refused, and runs until it
                                                    is terminated
"""

import asyncio
import json
import os
import sys
import time
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client

QUEUE = "benchmark"


@activity.defn
async def add(total: int) -> int:
    return total + 1


@workflow.defn
class FourActivities:
    @workflow.run
    async def run(self, total: int) -> int:
        for _ in range(4):
            total = await workflow.execute_activity(add, total, start_to_close_timeout=timedelta(seconds=60))
        return total


async def work(address: str) -> None:
    from temporalio.worker import Worker

    client = await Client.connect(address)
    async with Worker(client, task_queue=QUEUE, workflows=[FourActivities], activities=[add]):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def load(address: str, seconds: float, outstanding: int) -> None:
    client = await Client.connect(address)
    prefix = uuid.uuid4().hex
    latencies: list[float] = []
    began = time.perf_counter()

    async def one_after_the_other(lane: int) -> None:
        number = 0
        while time.perf_counter() - began < seconds:
            number += 1
            start = time.perf_counter()
            result = await client.execute_workflow(
                FourActivities.run, 10, id=f"{prefix}-{lane}-{number}", task_queue=QUEUE)
            latencies.append(time.perf_counter() - start)
            assert result == 14, result

    await asyncio.gather(*(one_after_the_other(lane) for lane in range(outstanding)))
    usage = os.times()
    print(json.dumps({
        "seconds": time.perf_counter() - began, "latencies": latencies, "processor": usage.user + usage.system,
    }))


async def park(address: str, polls: int) -> None:
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest
    from temporalio.service import RPCStatusCode

    async def forever(client: Client, number: int) -> None:
        while True:
            await client.workflow_service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace="default", task_queue=TaskQueue(name="parked"), identity=f"worker-{number // 5}"),
                timeout=timedelta(seconds=70))

    clients = [await Client.connect(address) for _ in range(max(1, polls // 100))]
    tasks = [asyncio.create_task(forever(clients[number % len(clients)], number)) for number in range(polls)]
    await asyncio.sleep(5)
    # A server may park fewer: Temporal's development server refuses more than 1,200 of a namespace.
    for task in tasks:
        if task.done() and getattr(task.exception(), "status", None) != RPCStatusCode.RESOURCE_EXHAUSTED:
            raise task.exception() or AssertionError("a poll ended")
    print(sum(not task.done() for task in tasks), flush=True)
    await asyncio.gather(*(task for task in tasks if not task.done()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", address]: asyncio.run(work(address))
        case ["client", address, seconds, outstanding]: asyncio.run(load(address, float(seconds), int(outstanding)))
        case ["park", address, polls]: asyncio.run(park(address, int(polls)))
        case _: sys.exit(__doc__)
