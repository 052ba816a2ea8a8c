#!/usr/bin/env python3
"""Records histories of Temporal's development server, as its tools export them, \
for Tests/PerdureTests/TemporalHistoryTests.swift.

    Tests/Conformance/record_histories.py --oracle 127.0.0.1:7333

The programs of programs.py that have an equal Swift workflow there are replayed by it. The others, \
and the workflows of this file,
hold events and attributes of every kind, so that nothing is lost between Temporal's JSON and ours.
"""

import argparse
import asyncio
import json
import pathlib
import re
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import WorkflowUpdateStage
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

import harness
import programs
from conformance import connect
from programs import LONG, ONCE

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "PerdureTests" / "TemporalHistories"
PROGRAMS = [
    "sequence", "parallel", "timers_in_order", "timer_canceled", "condition_with_timeout", "signals",
    "signal_that_awaits", "signal_with_start", "workflow_fails", "workflow_fails_with_cause", "retried",
    "heartbeat_timeout", "schedule_to_close", "canceled_in_sleep", "canceled_with_cleanup", "cancellation_ignored",
    "activity_canceled_try_cancel_obey", "activity_canceled_wait_cancellation_completed_fail",
    "queued_activity_canceled_try_cancel", "patched", "bug_then_fix", "typed_values", "search_attributes_and_memo",
    "execution_timeout", "terminated", "priority", "headers",
]


@workflow.defn
class Child:
    @workflow.run
    async def run(self, fails: bool) -> str:
        if fails:
            raise ApplicationError("child", type="Child")
        return "child"


@activity.defn
async def local() -> str:
    return "local"


@activity.defn
async def benign() -> None:
    raise ApplicationError(
        "benign", {"a": 1}, type="Benign", category=ApplicationErrorCategory.BENIGN,
        next_retry_delay=timedelta(milliseconds=10))


@workflow.defn
class Family:
    """Events that programs.py has not."""

    def __init__(self):
        self.is_done = False

    @workflow.run
    async def run(self, again: bool) -> str:
        if not again:
            return "the end"
        await workflow.execute_child_workflow(
            Child.run, False, id=f"{workflow.info().workflow_id}-child", static_summary="a child", memo={"m": 1},
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL, retry_policy=RetryPolicy(maximum_attempts=2))
        try:
            await workflow.execute_child_workflow(Child.run, True, id=f"{workflow.info().workflow_id}-failing")
        except Exception as error:
            workflow.logger.info("expected: %s", error)
        for call in ("signal", "cancel"):
            other = workflow.get_external_workflow_handle("nobody")
            try:
                await (other.signal("s", 1) if call == "signal" else other.cancel())
            except Exception as error:
                workflow.logger.info("expected: %s", error)
        await workflow.execute_local_activity(local, start_to_close_timeout=LONG)
        try:
            await workflow.execute_activity(benign, start_to_close_timeout=LONG, retry_policy=ONCE, summary="benign")
        except Exception as error:
            workflow.logger.info("expected: %s", error)
        await workflow.wait_condition(lambda: self.is_done)
        workflow.continue_as_new(False)

    @workflow.update
    def finish(self, fails: bool) -> str:
        if fails:
            raise ApplicationError("update")
        self.is_done = True
        return "done"

    @finish.validator
    def check(self, fails: bool) -> None:
        pass


@harness.program
async def family(env):
    async with env.worker(Family, Child, activities=[benign, local]):
        handle = await env.start(Family.run, True)
        try:
            await handle.execute_update(Family.finish, True)
        except Exception as error:
            print(f"expected: {error}")
        await env.start(Family.run, True, id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING)
        await handle.start_update(Family.finish, False, wait_for_stage=WorkflowUpdateStage.COMPLETED)
        await handle.result()
        last = env.client.get_workflow_handle(handle.id)
        env.started.append((handle.id, (await last.describe()).run_id))


async def record(client, name):
    env = harness.Env(client, name)
    await harness.PROGRAMS[name](env)
    runs = list(dict.fromkeys(env.started))
    for place, (workflow_id, run_id) in enumerate(runs):
        history = json.loads((await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()).to_json())
        path = FOLDER / f"{name}{f'-{place + 1}' if len(runs) > 1 else ''}.json"
        path.write_text(json.dumps(shared(history, env), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        print(path.name)


def shared(value, env):
    """Without what is of this machine."""
    if isinstance(value, dict):
        return {key: shared(item, env) for key, item in value.items() if key != "stackTrace"}
    if isinstance(value, list):
        return [shared(item, env) for item in value]
    if isinstance(value, str):
        return re.sub(r"^\d+@.*", "sticky", value.replace(env.prefix, env.name))
    return value


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True, help="address of Temporal's development server")
    parser.add_argument("programs", nargs="*", help="only these")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    client = await connect(arguments.oracle)
    for name in arguments.programs or [*(name for name in PROGRAMS if name in harness.PROGRAMS), "family"]:
        await record(client, name)


if __name__ == "__main__":
    asyncio.run(main())
