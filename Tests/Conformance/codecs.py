#!/usr/bin/env python3
"""What is encrypted and what is said beside the input, between Swift and Python and for Temporal's command line.

    DATABASE_URL=… Tests/Conformance/codecs.py --perdure 127.0.0.1:7233 --programs .build/debug --temporal TEMPORAL

A worker in Swift (Examples/encryption) runs the workflow, one in Python its activity and its client; both encrypt with
the same key, in the form of the encryption samples of Temporal's SDKs. Temporal's command line reads the run through
the codec server.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import traceback
from datetime import timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, Interceptor, OutboundInterceptor, WorkflowFailureError
from temporalio.converter import DefaultFailureConverterWithEncodedAttributes, PayloadCodec, default
from temporalio.worker import ActivityInboundInterceptor, UnsandboxedWorkflowRunner, Worker
from temporalio.worker import Interceptor as WorkerInterceptor
from temporalio.worker import WorkflowInboundInterceptor, WorkflowOutboundInterceptor

from leaving import leave

KEY, KEY_ID = os.urandom(32), "conformance"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class EncryptionCodec(PayloadCodec):
    """As samples-python has it: nonce, ciphertext and tag of the payload in protobuf."""

    async def encode(self, payloads):
        def seal(payload):
            nonce = os.urandom(12)
            return Payload(
                metadata={"encoding": b"binary/encrypted", "encryption-key-id": KEY_ID.encode()},
                data=nonce + AESGCM(KEY).encrypt(nonce, payload.SerializeToString(), None))

        return [seal(payload) for payload in payloads]

    async def decode(self, payloads):
        def opened(payload):
            if payload.metadata.get("encoding") != b"binary/encrypted":
                return payload
            return Payload.FromString(AESGCM(KEY).decrypt(payload.data[:12], payload.data[12:], None))

        return [opened(payload) for payload in payloads]


CONVERTER = dataclasses.replace(
    default(), payload_codec=EncryptionCodec(), failure_converter_class=DefaultFailureConverterWithEncodedAttributes)


class Customer(Interceptor, WorkerInterceptor):
    """Sends the header `customer`, and remembers those that arrive."""

    def __init__(self):
        self.seen = []

    def intercept_client(self, next):
        return CustomerOut(next)

    def intercept_activity(self, next):
        return CustomerIn(next, self.seen)

    def workflow_interceptor_class(self, input):
        return CustomerWorkflow


def header():
    return {"customer": default().payload_converter.to_payload("Ann")}


class CustomerOut(OutboundInterceptor):
    async def start_workflow(self, input):
        input.headers = header()
        return await super().start_workflow(input)

    async def signal_workflow(self, input):
        input.headers = header()
        return await super().signal_workflow(input)

    async def query_workflow(self, input):
        input.headers = header()
        return await super().query_workflow(input)


class CustomerIn(ActivityInboundInterceptor):
    def __init__(self, next, seen):
        super().__init__(next)
        self.seen = seen

    async def execute_activity(self, input):
        payload = input.headers.get("customer")
        self.seen.append(payload and default().payload_converter.from_payload(payload))
        return await super().execute_activity(input)


QUERIED = []


class CustomerWorkflow(WorkflowInboundInterceptor):
    def init(self, outbound):
        super().init(CustomerWorkflowOut(outbound))

    async def handle_query(self, input):
        payload = input.headers.get("customer")
        QUERIED.append(payload and default().payload_converter.from_payload(payload))
        return await super().handle_query(input)


class CustomerWorkflowOut(WorkflowOutboundInterceptor):
    def start_activity(self, input):
        input.headers = workflow.info().headers
        return super().start_activity(input)


@activity.defn(name="Price")
async def price(name: str) -> int:
    return 0 if name == "stone" else len(name)


@workflow.defn
class Counter:
    """In Python, with an activity in Swift."""

    def __init__(self):
        self.done = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.done)
        return await workflow.execute_activity(
            "Customer", task_queue="appraisals", start_to_close_timeout=timedelta(seconds=20), result_type=str)

    @workflow.signal
    def finish(self):
        self.done = True

    @workflow.query
    def state(self) -> bool:
        return self.done


class Place:
    def __init__(self, arguments):
        self.address, self.programs, self.temporal = arguments.perdure, arguments.programs, arguments.temporal
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **os.environ, "ENCRYPTION_KEY": base64.b64encode(KEY).decode(), "ENCRYPTION_KEY_ID": KEY_ID,
            "CODEC_PORT": str(self.port),
        }
        self.customer = Customer()

    @contextlib.contextmanager
    def running(self):
        processes = [
            subprocess.Popen([self.programs / name], env=self.environment, stdout=sys.stderr)
            for name in ("codec-server", "encryption-worker")]
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()

    async def client(self):
        return await Client.connect(self.address, data_converter=CONVERTER, interceptors=[self.customer])

    def show(self, workflow_id, *arguments):
        return subprocess.run(
            [self.temporal, "workflow", "show", "--address", self.address, "--workflow-id", workflow_id,
             "--output", "json", *arguments], check=True, capture_output=True, text=True).stdout


@test
async def swift_workflow_and_python_activity_share_a_key(place):
    client = await place.client()
    handle = await client.start_workflow(
        "Appraisal", {"name": "violin", "taskQueue": "prices"}, id="appraisal", task_queue="appraisals",
        result_type=str)
    await handle.signal("ask", "the heirs")
    assert await handle.query("asked", result_type=list[str]) == ["the heirs"]
    assert await handle.result() == "violin of Ann for the heirs: 6"
    assert place.customer.seen[-1] == "Ann", place.customer.seen
    stored = place.show("appraisal")
    assert "violin" not in stored and "heirs" not in stored
    assert base64.b64encode(b"binary/encrypted").decode() in stored
    # The header is for whoever is on the way.
    scheduled = [e for e in json.loads(stored)["events"] if e["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"]
    assert all("customer" in e["activityTaskScheduledEventAttributes"]["header"]["fields"] for e in scheduled)


@test
async def a_failure_is_hidden_and_comes_back(place):
    client = await place.client()
    handle = await client.start_workflow(
        "Appraisal", {"name": "stone", "taskQueue": "prices"}, id="worthless", task_queue="appraisals", result_type=str)
    await handle.signal("ask", "me")
    try:
        await handle.result()
        raise AssertionError("it is worth something")
    except WorkflowFailureError as error:
        assert error.cause.message == "stone is worth nothing", error.cause
        assert error.cause.type == "Worthless"
    stored = place.show("worthless")
    assert "Encoded failure" in stored and "worth nothing" not in stored


@test
async def python_workflow_and_swift_activity(place):
    client = await place.client()
    handle = await client.start_workflow(Counter.run, id="counter", task_queue="prices")
    assert await handle.query(Counter.state) is False
    assert QUERIED[-1] == "Ann", QUERIED
    await handle.signal(Counter.finish)
    assert await handle.result() == "Ann"


@test
async def temporals_command_line_reads_through_the_codec_server(place):
    endpoint = f"http://127.0.0.1:{place.port}"
    for workflow_id, texts in {"appraisal": ["violin", "the heirs"], "worthless": ["stone is worth nothing"]}.items():
        shown = place.show(workflow_id, "--codec-endpoint", endpoint)
        decoded = shown + "".join(
            base64.b64decode(text).decode(errors="replace") for text in strings(json.loads(shown)) if is_base64(text))
        for text in texts:
            assert text in decoded, (text, shown)


def strings(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(inner)


def is_base64(text):
    with contextlib.suppress(ValueError):
        base64.b64decode(text, validate=True)
        return len(text) % 4 == 0
    return False


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--perdure", required=True)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--temporal", required=True)
    place = Place(parser.parse_args())
    failed = 0
    with place.running():
        client = await place.client()
        async with Worker(client, task_queue="prices", workflows=[Counter], activities=[price],
                          workflow_runner=UnsandboxedWorkflowRunner()):
            for function in TESTS:
                try:
                    await asyncio.wait_for(function(place), 60)
                    print(f"ok      {function.__name__}")
                except Exception:
                    failed += 1
                    print(f"FAILED  {function.__name__}")
                    traceback.print_exc(file=sys.stdout)
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    leave(asyncio.run(main()))
