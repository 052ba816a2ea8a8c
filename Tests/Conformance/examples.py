#!/usr/bin/env python3
"""Runs the examples that are written with Temporal's SDK, against the frontend, the account API and a Swift worker.

    DATABASE_URL=… Tests/Conformance/examples.py --perdure 127.0.0.1:7233 --programs .build/debug

DATABASE_URL names a database with the engine and the bank.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import urllib.request
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "Examples/python-transfer"
sys.path.insert(0, str(EXAMPLE))
import transfer  # noqa: E402

from leaving import leave

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Place:
    def __init__(self, address, programs, client, folder):
        self.address, self.programs, self.client, self.folder = address, programs, client, folder
        self.api = free_port()

    @property
    def environment(self):
        return os.environ | {
            "TEMPORAL_ADDRESS": self.address, "ACCOUNT_API_PORT": str(self.api), "PERDURE_HOST": "127.0.0.1",
            "ACCOUNT_API_URL": f"http://127.0.0.1:{self.api}", "LOG_LEVEL": "info", "PYTHONUNBUFFERED": "1"}

    @contextlib.asynccontextmanager
    async def running(self, *command, ready, stdin=asyncio.subprocess.DEVNULL, **environment):
        """A process that runs meanwhile, once it is ready."""
        log = open(self.folder / f"{uuid.uuid4().hex}.log", "w+")
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=stdin, stdout=log, stderr=log, env=self.environment | environment, cwd=ROOT)
        try:
            for _ in range(300):
                assert process.returncode is None, pathlib.Path(log.name).read_text()
                if await ready(pathlib.Path(log.name).read_text()):
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(f"{command} is not ready: {pathlib.Path(log.name).read_text()}")
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            log.close()

    def account_api(self):
        async def ready(_):
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{self.api}/health", timeout=2).status == 200

        return self.running(self.programs / "account-api", ready=ready)

    def swift_worker(self, queue):
        async def ready(_):
            return self.sql(
                f"select count(*) from perdure.live_workers where alive and '{queue}' = any (task_queues)") == "1"

        return self.running(self.programs / "bank-worker", ready=ready, PERDURE_TASK_QUEUE=queue)

    def python_worker(self):
        async def ready(log):
            return "run on the task queue" in log

        return self.running(sys.executable, EXAMPLE / "worker.py", ready=ready)

    def sql(self, query):
        return subprocess.run(
            ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", os.environ["DATABASE_URL"], "-c", query],
            check=True, capture_output=True, text=True).stdout.strip()

    def balance(self, account):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}/accounts/{account}", timeout=5) as answer:
            return round(float(json.load(answer)["balance"]) * 100)

    async def starts(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE / "starter.py"), *arguments, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self.environment)
        out, err = await asyncio.wait_for(process.communicate(), 120)
        status = process.returncode
        # Now and then a thread of the SDK's core takes Python's lock while Python ends, which kills the process by a
        # signal. The program has told its end by then: a result, or an error on its standard error.
        if status in (-signal.SIGABRT, -signal.SIGSEGV) and (b"'success': True" in out or b"failed: " in err):
            status = 1 if b"failed: " in err else 0
        return status, out.decode(), err.decode()


@test
async def the_program_of_the_readme(place):
    program = re.search(r"```python\n(import.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    file = place.folder / "readme.py"
    file.write_text(program.replace("localhost:7233", place.address))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert out == b"Hello, Ada!\n", (out, err)


@test
async def a_transfer_in_python(place):
    async with place.account_api(), place.python_worker():
        before = place.balance("account_A"), place.balance("account_B")
        status, out, err = await place.starts("account_A", "account_B", "12.34", "--id", "python-1")
        assert status == 0 and "'success': True" in out, (status, out, err)
        assert (place.balance("account_A"), place.balance("account_B")) == (before[0] - 1234, before[1] + 1234)
        state = await place.client.get_workflow_handle("python-1").query("get_state")
        assert state["status"] == "COMPLETED", state
        assert state["completed_steps"] == ["check_balance_from", "check_balance_to", "withdraw", "deposit"], state
        # It is found as transfers are found, and each movement carries its key once.
        found = [run.id async for run in place.client.list_workflows(
            "WorkflowType = 'PythonTransfer' AND from_account = 'account_A' AND ExecutionStatus = 'Completed'")]
        assert "python-1" in found, found

        # What is refused moves nothing.
        before = place.balance("account_A")
        for amount, said in (("0.001", "whole cents"), ("-1", "above zero"), ("99999999", "Insufficient funds")):
            status, out, err = await place.starts("account_A", "account_B", amount)
            assert status == 1 and said in err, (status, out, err)
        status, out, err = await place.starts("nobody", "account_B", "1")
        assert status == 1 and "Account not found" in err, (status, out, err)
        assert place.balance("account_A") == before


@test
async def money_that_cannot_be_deposited_goes_back(place):
    """The deposit is refused for good, after the money was taken: the account is closed in between."""
    async with place.account_api():
        calls = []

        class Watched(transfer.Accounts):
            def _call(self, method, account, path, amount):
                info = activity.info()
                calls.append((info.activity_id, path, f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}"))
                if info.activity_id == "deposit":
                    raise transfer.ApplicationError("Account is closed", type="Refused", non_retryable=True)
                answer = super()._call(method, account, path, amount)
                if info.activity_id == "withdraw" and info.attempt == 1:
                    # The money was taken, but the answer is lost: the next attempt must not take it again.
                    raise transfer.ApplicationError("lost", type="AccountAPIUnavailable")
                return answer

        accounts = Watched(f"http://127.0.0.1:{place.api}")
        before = place.balance("account_A"), place.balance("account_B")
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            async with Worker(
                place.client, task_queue=transfer.TASK_QUEUE, workflows=[transfer.PythonTransfer],
                activities=[accounts.check_balance, accounts.withdraw, accounts.deposit, accounts.refund],
                activity_executor=threads,
            ):
                handle = await place.client.start_workflow(
                    transfer.PythonTransfer.run, transfer.Transfer("account_A", "account_B", "5.00", 0.05),
                    id="python-2", task_queue=transfer.TASK_QUEUE)
                try:
                    await asyncio.wait_for(handle.result(), 60)
                    raise AssertionError("it succeeded")
                except WorkflowFailureError as error:
                    assert error.cause.type == "TransferFailed" and "closed" in str(error.cause), error.cause
        assert (place.balance("account_A"), place.balance("account_B")) == before
        steps = [step for step, _, _ in calls]
        assert steps == ["check_balance_from", "check_balance_to", "withdraw", "withdraw", "deposit", "refund"], steps
        keys = [key for step, _, key in calls if step == "withdraw"]
        assert keys[0] == keys[1]
        moved = place.sql("select count(*) from bank.journal_entries where workflow_id = 'python-2'")
        assert moved == "2", moved  # One out, one back.


@workflow.defn(name="PythonAsksSwift")
class PythonAsksSwift:
    """A Python workflow with activities of the bank's Swift worker and one of its own, on two task queues."""

    @workflow.run
    async def run(self, swift_queue: str) -> dict:
        ask = {"start_to_close_timeout": timedelta(seconds=20), "retry_policy": RetryPolicy(maximum_attempts=3)}
        before = await workflow.execute_activity(CHECK, "account_A", task_queue=swift_queue, **ask)
        left = await workflow.execute_activity(
            WITHDRAW, {"account": "account_A", "amount": 1.25}, task_queue=swift_queue, activity_id="take", **ask)
        text = await workflow.execute_activity(describe, args=[before, left], **ask)
        back = await workflow.execute_activity(
            DEPOSIT, {"account": "account_A", "amount": 1.25}, task_queue=swift_queue, activity_id="give", **ask)
        return {"text": text, "back": back, "before": before}


CHECK, WITHDRAW, DEPOSIT = "CheckBalance", "Withdraw", "Deposit"


@activity.defn
async def describe(before: float, left: float) -> str:
    return f"{before:.2f} became {left:.2f}"


@test
async def a_python_workflow_with_swift_activities(place):
    async with place.account_api(), place.swift_worker("swift-bank"):
        async with Worker(
            place.client, task_queue="python-side", workflows=[PythonAsksSwift], activities=[describe],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            seen = await asyncio.wait_for(
                place.client.execute_workflow(
                    PythonAsksSwift.run, "swift-bank", id="python-asks-swift", task_queue="python-side"), 60)
        assert seen["back"] == seen["before"], seen
        assert seen["text"] == f"{seen['before']:.2f} became {seen['before'] - 1.25:.2f}", seen
        queues = place.sql(
            "select string_agg(attributes #>> '{taskQueue,name}', ' ' order by event_id) from perdure.history_events "
            "where workflow_id = 'python-asks-swift' and event_type = 'ActivityTaskScheduled'")
        assert queues == "swift-bank swift-bank python-side swift-bank", queues


@activity.defn(name="BenchStep")
async def step(number: int) -> int:
    return number


@test
async def a_swift_workflow_with_python_activities(place):
    """The Swift worker has the workflow and no activity; the Python worker, on the same queue, the activity and no
    workflow."""
    async def ready(_):
        return place.sql("select count(*) from perdure.live_workers where alive and 'bench' = any (task_queues)") == "1"

    # It works until its standard input ends.
    read, write = os.pipe()
    try:
        async with place.running(
            place.programs / "perdure", "bench", "worker", "--namespace", "default", "--slots", "4",
            "--kind", "workflows", ready=ready, stdin=read,
        ):
            async with Worker(place.client, task_queue="bench", activities=[step], identity="a Python worker"):
                seen = await asyncio.wait_for(
                    place.client.execute_workflow("BenchSteps", 4, id="swift-asks-python", task_queue="bench"), 60)
    finally:
        os.close(read)
        os.close(write)
    assert seen == 6, seen
    workers = place.sql(
        "select string_agg(distinct event_type || ' ' || (attributes ->> 'identity' = 'a Python worker'), ', ') "
        "from perdure.history_events where workflow_id = 'swift-asks-python' and event_type like '%TaskStarted'")
    assert workers == "ActivityTaskStarted true, WorkflowTaskStarted false", workers


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perdure", required=True)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("tests", nargs="*", help="only these")
    arguments = parser.parse_args()
    client = await Client.connect(arguments.perdure)
    failed = total = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(arguments.perdure, arguments.programs.resolve(), client, pathlib.Path(folder))
        for function in TESTS:
            if arguments.tests and function.__name__ not in arguments.tests:
                continue
            total += 1
            try:
                await function(place)
                print(f"ok example: {function.__name__}")
            except Exception:  # noqa: BLE001
                failed += 1
                print(f"not ok example: {function.__name__}")
                print("".join(f"    {line}\n" for line in traceback.format_exc().splitlines()))
    print(f"{total - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    leave(asyncio.run(main()))
