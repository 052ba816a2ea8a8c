#!/usr/bin/env python3
"""Calls every method of WorkflowService and OperatorService, \
and compares what comes with the tables in docs/guides/temporal.md.

    Tests/Conformance/calls.py --perdure 127.0.0.1:7233

A method that the guide says is not there answers UNIMPLEMENTED, with a message that names it; any other answers \
something else. None
hangs: polls may wait, all others answer at once.
"""

import argparse
import asyncio
import pathlib
import re
from datetime import timedelta

from google.protobuf import message_factory
from temporalio.api.common.v1 import WorkerVersionCapabilities
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import WorkerVersioningMode
from temporalio.api.operatorservice.v1 import service_pb2 as operator
from temporalio.api.workflowservice.v1 import service_pb2 as workflow
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from leaving import leave

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs/guides/temporal.md"
ROW = re.compile(r"^\| `(\w+)` \| (works|partly|not yet)\b(.*) \|$", re.MULTILINE)


def methods():
    for module, service in ((workflow, "workflow_service"), (operator, "operator_service")):
        for descriptor in module.DESCRIPTOR.services_by_name.values():
            for method in descriptor.methods:
                yield service, method


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


# Polls of workers that ask for versioning, in the older way and in the present one.
VERSIONED = [
    {"worker_version_capabilities": WorkerVersionCapabilities(build_id="1.0", use_versioning=True)},
    {"deployment_options": WorkerDeploymentOptions(
        deployment_name="payments", build_id="1.0",
        worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED)},
]


async def answer(client, service, method, **options):
    """OK, the name of a status, or waits; and the message of an error."""
    request = message_factory.GetMessageClass(method.input_type)(**options)
    if "namespace" in method.input_type.fields_by_name:
        request.namespace = "nowhere" if method.name == "DeleteNamespace" else "default"
    if method.name.startswith("Poll") and "task_queue" in method.input_type.fields_by_name:
        request.task_queue.name = "nobodys-queue"
    call = getattr(getattr(client, service), snake(method.name))
    try:
        await asyncio.wait_for(call(request, timeout=timedelta(seconds=5)), 15)
        return "OK", ""
    except asyncio.TimeoutError:
        return "hangs", ""
    except RPCError as error:
        waits = error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
        return "waits" if waits else RPCStatusCode(error.status).name, error.message


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perdure", required=True)
    arguments = parser.parse_args()
    told = {name: state for name, state, _ in ROW.findall(GUIDE.read_text())}
    client = await Client.connect(arguments.perdure)
    passed = failed = 0
    known = set()
    for service, method in methods():
        known.add(method.name)
        state = told.get(method.name)
        status, message = await answer(client, service, method)
        problem = None
        if state is None:
            problem = "the guide does not name it"
        elif status == "hangs" or status == "waits" and not method.name.startswith("Poll"):
            problem = "it hangs"
        elif state == "not yet" and status != "UNIMPLEMENTED":
            problem = f"the guide says that it is not there, but it answers {status}"
        elif state == "not yet" and method.name not in message:
            problem = f"UNIMPLEMENTED does not say what is missing: {message}"
        elif state != "not yet" and status == "UNIMPLEMENTED":
            problem = f"the guide says that it {state}, but it answers UNIMPLEMENTED: {message}"
        elif status in ("INTERNAL", "UNKNOWN"):
            problem = f"an empty request gets {status}: {message}"
        passed, failed = (passed, failed + 1) if problem else (passed + 1, failed)
        print(f"{'not ok' if problem else 'ok'} call {method.name}{': ' + problem if problem else f' ({status})'}")
    for service, method in methods():
        for options in VERSIONED if method.name in ("PollWorkflowTaskQueue", "PollActivityTaskQueue") else []:
            status, message = await answer(client, service, method, **options)
            is_refused = status == "UNIMPLEMENTED" and "worker versioning" in message
            passed, failed = (passed + 1, failed) if is_refused else (passed, failed + 1)
            outcome = "ok" if is_refused else "not ok"
            kind = ", ".join(options)
            print(f"{outcome} call {method.name} with {kind}: {status}, {message}")
    for name in told.keys() - known:
        failed += 1
        print(f"not ok call {name}: the guide names it, Temporal does not have it")
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    leave(asyncio.run(main()))
