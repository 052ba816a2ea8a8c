#!/usr/bin/env python3
"""Runs Temporal's command line against Temporal's development server and against Perdure, and compares what it prints.

    Tests/Conformance/commands.py --temporal TEMPORAL --oracle 127.0.0.1:7333 --perdure 127.0.0.1:7233 [SCENE …]
    Tests/Conformance/commands.py --temporal TEMPORAL --oracle 127.0.0.1:7333 --show [SCENE …]    what one server prints

A scene is an async function with the decorator @scene. It gives the command line one command after the other; \
each, with its
status and what it printed, must be the same against both servers, once ids, times and sizes are made comparable.
"""

import argparse
import asyncio
import difflib
import json
import os
import re
import shlex
import tempfile
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from harness import Normalizer as HistoryNormalizer, differences as structural
from leaving import leave

SCENES = {}
LIMIT = 120
LONG = timedelta(seconds=60)

# What may differ: of which commands, what is taken out of what both servers print, and why. This list may only shrink.
# "sorted" puts lines, or the members of a list, in order.
INTENDED = [
    (r"workflow list", "sorted", "Perdure lists the newest start first; Temporal open runs, then the latest end"),
    (r"workflow describe", r"BuildIds:.*?data:\"\[.*?\]\" ?", "Perdure has no search attribute for build ids"),
    (r"workflow describe", r"TemporalPauseInfo:.*?data:\"\[.*?\]\" ?", "nor for paused activities: it is a Condition"),
    (r"workflow describe", r"^ +SearchAttributes  map\[\]$", "so that there may be none"),
    (r"workflow stack", r".*Stack for.*", "Temporal's server asks within a workflow task, Perdure behind it"),
    (r"asked-2", r".*dentity: .*",
     "in Perdure the worker that has an activity is told to have completed it, whoever did"),
    (r"(Nonsense =|WorkflowId =\"|'soon'|'Sleeping')", r"(invalid query|list filter): .*",
     "Perdure says what to write instead"),
    (r"task-queue describe", r"(?<=  )[-+\d.e]+  [-+\d.e]+  [-+\d.e]+$|(?<=  )[\d.dhms ]+s(?=  )", "rates and ages"),
    (r"task-queue describe", "sorted", "Temporal's command line prints them in any order"),
    (r"task-queue describe .*--legacy-mode", r"^Versioning Info:$", "Perdure has no versions of task queues"),
    (r"task-queue list-partition", r"^  /_sys/.*|(?<=  )(127\.0\.0\.1:\d+|perdure)$",
     "a queue of Perdure's has one partition"),
    (r"operator cluster", r"^  (active|perdure) .*|^  1\.\d+\.0 .*", "names, versions and addresses of the servers"),
    (r"search-attribute list", r"^  (B|HistorySize|Parent|Root|State|Temporal(?!Change)).*",
     "those of features that Perdure does not have"),
    (r"search-attribute create", r"allowed values are: .*", "Temporal's command line prints them in any order"),
    (r"namespace describe", r"^  (ReplicationConfig|Config.CustomSearch|NamespaceInfo.Description  The name"
     r"|NamespaceInfo.Description$|Config.Workflow).*",
     "names of clusters, where Temporal keeps search attributes, and what the namespaces that come with a server keep"),
]
# The same for JSON: the names that are taken out.
INTENDED_NAMES = [
    (r"workflow (describe|list)", {
        "BuildIds", "TemporalPauseInfo", "mostRecentWorkerVersionStamp", "stateTransitionCount", "requestIdInfos"},
     "build ids, paused activities, the number of transactions, and request ids, which Perdure does not keep there"),
    (r"task-queue describe", {
        "approximateBacklogAge", "backlogIncreaseRate", "tasksAddRate", "tasksDispatchRate", "nanos", "seconds",
        "task_id_block", "read_level", "ack_level", "rate_per_second", "versioning_info",
        "worker_version_capabilities"},
     "rates, ages, where Temporal keeps tasks, and builds of workers, which SDKs tell with their deployments"),
    (r"workflow stack", {"queryResult"}, "Temporal's server asks within a workflow task, Perdure behind it"),
    (r"operator cluster", {
        "clusterName", "serverVersion", "persistenceStore", "visibilityStore", "address", "httpAddress", "nexus",
        "eagerWorkflowStart", "serverScaledDeployments", "supportsSchedules"},
     "names, versions and capabilities of the servers"),
    (r"search-attribute list", {
        "BatcherNamespace", "BatcherUser", "BinaryChecksums", "BuildIds", "HistorySizeBytes", "ParentRunId",
        "ParentWorkflowId", "RootRunId", "RootWorkflowId", "StateTransitionCount", "TemporalExternalPayloadCount",
        "TemporalExternalPayloadSizeBytes", "TemporalNamespaceDivision", "TemporalPauseInfo",
        "TemporalReportedProblems", "TemporalSchedulePaused", "TemporalScheduledById", "TemporalScheduledStartTime",
        "TemporalUsedWorkerDeploymentVersions", "TemporalWorkerDeployment", "TemporalWorkerDeploymentVersion",
        "TemporalWorkflowVersioningBehavior"},
     "those of features that Perdure does not have"),
    (r"operator namespace", {
        "capabilities", "limits", "supportsSchedules", "replicationConfig", "customSearchAttributeAliases"},
     "capabilities, and names of clusters"),
]


def scene(function):
    SCENES[function.__name__] = function
    return function


# --- what the commands work on ----------------------------------------------------------------------------------------


@activity.defn
async def compose(name: str) -> str:
    return f"Hello, {name}!"


@activity.defn
async def fails() -> None:
    raise ApplicationError("no luck", "a detail", type="Unlucky", non_retryable=True)


@activity.defn
async def asks() -> str:
    activity.raise_complete_async()


@workflow.defn
class Greet:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(compose, name, start_to_close_timeout=LONG, summary="says hello")


@workflow.defn
class Waits:
    def __init__(self) -> None:
        self.seen: list = []

    @workflow.run
    async def run(self) -> list:
        workflow.set_current_details("it waits")
        await workflow.wait_condition(lambda: "go" in self.seen)
        return self.seen

    @workflow.signal(description="what to note")
    def note(self, text: str) -> None:
        self.seen.append(text)

    @workflow.query(description="what was noted")
    def noted(self) -> list:
        return self.seen

    @workflow.query
    def breaks(self) -> list:
        raise ValueError("no answer")


@workflow.defn
class Fails:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            fails, start_to_close_timeout=LONG, retry_policy=RetryPolicy(maximum_attempts=1))


@workflow.defn
class Asks:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            asks, activity_id="question", start_to_close_timeout=LONG, retry_policy=RetryPolicy(maximum_attempts=1))


@activity.defn
async def tries() -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("not yet", type="NotYet")
    return activity.info().attempt


@workflow.defn
class Tries:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(
            tries, activity_id="attempts", start_to_close_timeout=LONG,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=600)))


WORKFLOWS = [Greet, Waits, Fails, Asks, Tries]
ACTIVITIES = [compose, fails, asks, tries]


# --- running them -----------------------------------------------------------------------------------------------------


class Terminal:
    """One server, as a scene sees it."""

    def __init__(self, temporal: str, address: str, client: Client, name: str):
        self.temporal, self.address, self.client, self.name = temporal, address, client, name
        self.queue = f"{name}-queue"
        self.normal = Normalizer()
        self.printed: list[tuple[str, dict]] = []

    def worker(self, **options):
        return Worker(
            self.client, task_queue=self.queue, workflows=WORKFLOWS, activities=ACTIVITIES,
            workflow_runner=UnsandboxedWorkflowRunner(), graceful_shutdown_timeout=timedelta(seconds=1), **options)

    async def run(self, command: str, given: str = ""):
        words = [word.replace("QUEUE", self.queue) for word in shlex.split(command)]
        with tempfile.TemporaryDirectory() as home:
            process = await asyncio.create_subprocess_exec(
                self.temporal, *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "HOME": home, "TEMPORAL_ADDRESS": self.address, "NO_COLOR": "1"})
            try:
                out, err = await asyncio.wait_for(process.communicate(given.encode()), 40)
            except asyncio.TimeoutError:
                process.kill()
                out, err = await process.communicate()
                err += b"\n(killed: it did not end)"
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, command: str, given: str = "") -> str:
        """Runs a command, notes what it did, and gives what it printed."""
        status, out, err = await self.run(command, given)
        self.printed.append((command, {"status": status, "out": out, "err": err}))
        return out

    async def until(self, command: str, text: str):
        """Runs a command, unnoted, until what it prints has the text in it."""
        async def look():
            while text not in (printed := await self.run(command))[1]:
                self.last = printed
                await asyncio.sleep(0.2)

        try:
            await asyncio.wait_for(look(), 30)
        except asyncio.TimeoutError:
            raise AssertionError(f"{command} never printed {text!r}, but {self.last}") from None


class Normalizer:
    """Takes out what must differ: ids, times, sizes, and what harness.Normalizer leaves out of histories."""

    TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})")
    AGO = re.compile(r"\b(now|less than a second ago|an? \w+ (ago|from now)|\d+ \w+ (ago|from now))\b")
    PROCESS = re.compile(r"\b\d+@[\w.-]+")
    # How long something took, and how large it is in the server's own format.
    AMOUNT = re.compile(
        r"^( *(?:RunTime|HistorySize|StateTransitionCount) +).*|^( +(?:\"[a-z]+Millis\"): ).*|(\()[0-9.]+[mµ]?s(?=\)$)")
    # In --detailed, what does not count: a duration of zero is none, and the SDK names its flags in any order.
    DETAIL = re.compile(r"^(?:.*\.)?({})(?:\..*)?: |^[\w.]+: 0s$|^sdkMetadata.coreUsedFlags".format(
        "|".join([*HistoryNormalizer.IGNORED, "requestId"]).replace("eventTime|", "")))
    STICKY = re.compile(
        r"^taskQueue.kind: TASK_QUEUE_KIND_STICKY\ntaskQueue.name: .*\ntaskQueue.normalName: (.*)$", re.MULTILINE)

    def __init__(self):
        self.ids = {}
        self.history = HistoryNormalizer("")

    def text(self, text):
        text = HistoryNormalizer.UUID.sub(lambda match: self.ids.setdefault(match[0], f"id-{len(self.ids) + 1}"), text)
        text = self.TIME.sub("TIME", text)
        text = self.AGO.sub("TIME", text)
        return self.PROCESS.sub("PROCESS", text)

    def printed(self, command, text):
        """Lines; columns are as wide as what stands in them, so their width does not count. JSON as what it says."""
        documents = self.documents(text)
        if documents is not None:
            names = {name for pattern, names, _ in INTENDED_NAMES if re.search(pattern, command) for name in names}
            documents = [without(self.json(document), names) for document in documents]
            if any(what == "sorted" and re.search(pattern, command) for pattern, what, _ in INTENDED):
                documents = in_order(documents)
            return documents
        lines = self.lines(text)
        for pattern, what, _ in INTENDED:
            if not re.search(pattern, command):
                continue
            if what == "sorted":
                lines = sorted(lines)
            else:
                lines = [line for line in (re.sub(what, "", line).rstrip() for line in lines) if line]
        return lines

    @staticmethod
    def documents(text):
        """JSON, or JSON line by line; None for anything else."""
        if text[:1] not in ("{", "["):
            return None
        try:
            return [json.loads(text)]
        except ValueError:
            return [json.loads(line) for line in text.splitlines()]

    def lines(self, text):
        text = self.STICKY.sub(r"taskQueue.kind: TASK_QUEUE_KIND_NORMAL\ntaskQueue.name: \1", text)
        lines = [line for line in text.splitlines() if not self.DETAIL.match(line)]
        lines = [self.AMOUNT.sub(lambda match: "".join(filter(None, match.groups())) + "AMOUNT", line)
                 for line in lines]
        return [re.sub(r"  +", "  ", self.text(line).rstrip()) for line in lines]

    def json(self, value, key=""):
        """As a history's, with what is not set left out."""
        if key in self.AMOUNTS:
            return "AMOUNT"
        if key == "requestId":
            return "request"
        if isinstance(value, dict) and value.get("kind") == "TASK_QUEUE_KIND_STICKY":
            value = {"name": value["normalName"], "kind": "TASK_QUEUE_KIND_NORMAL"}
        if isinstance(value, dict):
            return {
                k: normal for k, v in sorted(value.items())
                if k not in HistoryNormalizer.IGNORED or k == "eventTime"
                if not HistoryNormalizer.is_empty(normal := self.json(v, k)) or k == "stackTrace"
            }
        if isinstance(value, list):
            return sorted(value) if key.endswith("UsedFlags") else [self.json(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    AMOUNTS = {"durationMillis", "executionDuration", "stateTransitionCount", "historySizeBytes"}


def without(value, names):
    if isinstance(value, dict):
        kept = {key: without(member, names) for key, member in value.items() if key not in names}
        # What is empty without them is not there where they are not.
        return {key: member for key, member in kept.items() if member not in ({}, [])}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def in_order(value):
    if isinstance(value, dict):
        return {key: in_order(member) for key, member in value.items()}
    if isinstance(value, list):
        return sorted((in_order(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def differences(expected, actual):
    for key in ("status", "out", "err"):
        left, right = expected[key], actual[key]
        if left == right:
            continue
        yield f"  {key}:"
        if all(isinstance(line, str) for line in [*left, *right]) if isinstance(left, list) else False:
            yield from ("    " + line
                        for line in difflib.unified_diff(left, right, "Temporal", "Perdure", lineterm="", n=1))
        else:
            yield from ("    " + line for line in structural(left, right))


# --- scenes -----------------------------------------------------------------------------------------------------------


@scene
async def starting(t):
    async with t.worker():
        await t("workflow start --type Greet --task-queue QUEUE --workflow-id greet-1 --input '\"Ada\"'")
        await t("workflow result --workflow-id greet-1")
        await t("workflow result --workflow-id greet-1 -o json")
        await t("workflow start --type Greet --task-queue QUEUE --workflow-id greet-2 --input '\"Bob\"' -o json")
        await t("workflow result --workflow-id greet-2")
        await t("workflow start --type Greet --task-queue QUEUE --workflow-id greet-1 --input '\"Ada\"' "
                "--id-reuse-policy RejectDuplicate")
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id greet-3 --input '\"Cleo\"'")
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id greet-4 --input '\"Dan\"' -o json")
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id greet-5 --input '\"Eve\"' --detailed")
        await t("workflow execute --type Fails --task-queue QUEUE --workflow-id fails-1")
        await t("workflow execute --type Fails --task-queue QUEUE --workflow-id fails-2 -o json")
        await t("workflow result --workflow-id fails-1")
        await t("workflow result --workflow-id fails-1 -o json")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id waits-1")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id waits-1 --id-conflict-policy UseExisting")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id waits-1 "
                "--id-conflict-policy TerminateExisting")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id waits-1 --fail-existing")
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id bare-1 --input Ada")


@scene
async def histories(t):
    async with t.worker():
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id shown-1 --input '\"Ada\"'")
        await t("workflow show --workflow-id shown-1")
        await t("workflow show --workflow-id shown-1 --detailed")
        await t("workflow show --workflow-id shown-1 --follow")
        await t("workflow show --workflow-id shown-1 --reverse")
        await t("workflow show --workflow-id shown-1 -o json")
        await t("workflow show --workflow-id shown-1 -o jsonl")
        await t("workflow execute --type Fails --task-queue QUEUE --workflow-id shown-2")
        await t("workflow show --workflow-id shown-2")
        await t("workflow show --workflow-id shown-2 --detailed")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id shown-3")
        await t.until("workflow show --workflow-id shown-3", "WorkflowTaskCompleted")
        await t("workflow show --workflow-id shown-3")
        following = asyncio.create_task(t.run("workflow show --workflow-id shown-3 --follow"))
        await t("workflow signal --workflow-id shown-3 --name note --input '\"go\"'")
        status, out, err = await following
        t.printed.append(("workflow show --follow", {"status": status, "out": out, "err": err}))
        await t("workflow trace --workflow-id shown-1")
        await t("workflow trace --workflow-id shown-2")
        await t("workflow trace --workflow-id shown-3 --no-fold")


@scene
async def describing(t):
    await t("operator search-attribute create --name Colour --type Keyword --name Weight --type Int")
    await t.until("operator search-attribute list", "Colour")
    await t("workflow start --type Waits --task-queue QUEUE --workflow-id described-1 --memo 'why=\"because\"' "
            "--search-attribute 'Colour=\"red\"' --search-attribute Weight=3 --execution-timeout 1h --run-timeout 30m "
            "--task-timeout 20s --static-summary 'a summary' --static-details 'some details'")
    await t("workflow describe --workflow-id described-1")
    async with t.worker():
        await t.until("workflow show --workflow-id described-1", "WorkflowTaskCompleted")
        await t("workflow describe --workflow-id described-1")
        await t("workflow describe --workflow-id described-1 --raw")
        await t("workflow describe --workflow-id described-1 -o json")
        await t("workflow describe --workflow-id described-1 --reset-points")
        await t("workflow metadata --workflow-id described-1")
        await t("workflow metadata --workflow-id described-1 -o json")
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id described-2 --input '\"Ada\"'")
        await t("workflow describe --workflow-id described-2")
        await t("workflow describe --workflow-id described-2 -o json")
        await t("workflow execute --type Fails --task-queue QUEUE --workflow-id described-3")
        await t("workflow describe --workflow-id described-3")
        await t("workflow start --type Asks --task-queue QUEUE --workflow-id described-4")
        await t.until("workflow describe --workflow-id described-4", " Started")
        await t("workflow describe --workflow-id described-4")
        await t("workflow describe --workflow-id described-4 -o json")


@scene
async def messages(t):
    async with t.worker():
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id told-1")
        await t("workflow signal --workflow-id told-1 --name note --input '\"one\"'")
        await t("workflow signal --workflow-id told-1 --name note --input '\"two\"' -o json")
        await t.until("workflow query --workflow-id told-1 --type noted", "two")
        await t("workflow query --workflow-id told-1 --type noted")
        await t("workflow query --workflow-id told-1 --type noted -o json")
        await t("workflow query --workflow-id told-1 --type breaks")
        await t("workflow query --workflow-id told-1 --type nothing")
        await t("workflow stack --workflow-id told-1 -o json")
        await t("workflow signal-with-start --signal-name note --signal-input '\"three\"' --workflow-id told-1 "
                "--type Waits --task-queue QUEUE")
        await t("workflow signal-with-start --signal-name note --signal-input '\"go\"' --workflow-id told-2 "
                "--type Waits --task-queue QUEUE")
        await t("workflow result --workflow-id told-2")
        await t("workflow signal-with-start --signal-name note --signal-input '\"go\"' --workflow-id told-3 "
                "--type Waits --task-queue QUEUE -o json")
        await t("workflow result --workflow-id told-3")
        await t("workflow query --workflow-id told-3 --type noted")
        await t("workflow query --workflow-id told-3 --type noted --reject-condition not_open")
        await t("workflow query --workflow-id told-3 --type noted --reject-condition not_open -o json")
        await t("workflow cancel --workflow-id told-1")
        await t("workflow result --workflow-id told-1")
        await t("workflow describe --workflow-id told-1")
        await t("workflow cancel --workflow-id told-1")
        await t("workflow signal --workflow-id told-1 --name note --input '\"late\"'")
        await t("workflow terminate --workflow-id told-1")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id told-4")
        await t("workflow terminate --workflow-id told-4")
        await t("workflow result --workflow-id told-4")
        await t("workflow show --workflow-id told-4")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id told-5")
        await t("workflow terminate --workflow-id told-5 --reason 'enough'")
        await t("workflow result --workflow-id told-5 -o json")
        await t("workflow describe --workflow-id told-5 -o json")
        await t("workflow delete --workflow-id told-5 --yes")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id told-6")
        await t("workflow delete --workflow-id told-6 --yes")


@scene
async def resetting(t):
    async with t.worker(build_id="build-1"):
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id reset-1")
        await t.until("workflow show --workflow-id reset-1", "WorkflowTaskCompleted")
        await t("workflow signal --workflow-id reset-1 --name note --input '\"one\"'")
        await t.until("workflow query --workflow-id reset-1 --type noted", "one")
        await t("workflow reset --workflow-id reset-1 --event-id 1 --reason 'too early'")
        await t("workflow reset --workflow-id reset-1 --event-id 1000 --reason 'too late'")
        await t("workflow reset --workflow-id reset-1 --reason nowhere")
        await t("workflow reset --workflow-id nobody --event-id 4 --reason nobody")
        for options in (
            "--event-id 4 --reason 'a mistake'", "--type FirstWorkflowTask --reason first -o json",
            "--type LastWorkflowTask --reason last", "--type BuildId --build-id build-1 --reason 'a bad build'",
            "--type BuildId --build-id build-2 --reason 'an unknown build'",
            "--type FirstWorkflowTask --reason 'without signals' --reapply-exclude Signal",
        ):
            await t(f"workflow reset --workflow-id reset-1 {options}")
            # Before the place that it goes back to no workflow task was completed.
            await t.until("workflow show --workflow-id reset-1", "WorkflowTaskCompleted")
            await t("workflow query --workflow-id reset-1 --type noted")
        await t("workflow show --workflow-id reset-1")
        await t("workflow describe --workflow-id reset-1 -o json")
        await t("workflow signal --workflow-id reset-1 --name note --input '\"go\"'")
        await t("workflow result --workflow-id reset-1")
        await t("workflow reset --workflow-id reset-1 --type LastWorkflowTask --reason 'it is done'")
        await t("workflow result --workflow-id reset-1")


@scene
async def batches(t):
    chosen = "--query \"WorkflowId STARTS_WITH 'many-'\" --yes"
    async with t.worker():
        for number in (1, 2):
            await t(f"workflow start --type Waits --task-queue QUEUE --workflow-id many-{number}")
        await t.until("workflow count --query \"WorkflowId STARTS_WITH 'many-'\"", "2")
        await t(f"workflow signal {chosen} --name note --input '\"one\"' --reason told")
        for number in (1, 2):
            await t.until(f"workflow query --workflow-id many-{number} --type noted", "one")
        await t(f"workflow reset {chosen} --type FirstWorkflowTask --reason again")
        for number in (1, 2):
            await t.until(f"workflow show --workflow-id many-{number} --detailed", "again")
            await t.until(f"workflow query --workflow-id many-{number} --type noted", "one")
        # Temporal's list is behind for a moment: until the new runs are in it, and the old ones have ended there.
        await t.until("workflow count --query \"WorkflowId STARTS_WITH 'many-'\"", "4")
        await t.until("workflow count --query \"WorkflowId STARTS_WITH 'many-' AND ExecutionStatus = 'Running'\"", "2")
        await t(f"workflow cancel {chosen} --reason stop")
        for number in (1, 2):
            await t.until(f"workflow describe --workflow-id many-{number}", "CANCELED")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id many-3")
        await t.until("workflow show --workflow-id many-3", "WorkflowTaskCompleted")
        await t.until("workflow count --query \"WorkflowId = 'many-3'\"", "1")
        job = (await t(f"workflow terminate {chosen} --reason enough")).split()[-1]
        await t.until(f"batch describe --job-id {job}", "Completed")
        await t.until("workflow describe --workflow-id many-3", "CloseTime")
        await t("workflow show --workflow-id many-3")
        await t(f"workflow delete {chosen} --reason away")
    await t("batch describe --job-id nobody")
    await t("batch terminate --job-id nobody --reason why")


@scene
async def changing_activities(t):
    async with t.worker(build_id="build-1"):
        await t("workflow start --type Tries --task-queue QUEUE --workflow-id tries-1")
        await t.until("workflow describe --workflow-id tries-1", "not yet")
        await t("activity pause --workflow-id tries-1 --activity-id attempts --reason 'under repair' --identity me")
        await t("workflow describe --workflow-id tries-1")
        await t("workflow describe --workflow-id tries-1 -o json")
        await t("activity pause --workflow-id tries-1 --activity-id attempts")
        await t("activity pause --workflow-id tries-1 --activity-id nothing")
        await t("activity update-options --workflow-id tries-1 --activity-id attempts --start-to-close-timeout 7s "
                "--retry-maximum-attempts 9 --retry-initial-interval 500s")
        await t("activity update-options --workflow-id tries-1 --activity-id attempts --heartbeat-timeout 30s -o json")
        await t("activity update-options --workflow-id tries-1 --activity-id nothing --heartbeat-timeout 30s")
        await t("activity reset --workflow-id tries-1 --activity-id attempts --keep-paused")
        await t("workflow describe --workflow-id tries-1 -o json")
        await t("activity reset --workflow-id tries-1 --activity-id attempts")
        await t.until("workflow describe --workflow-id tries-1", "not yet")
        await t("activity pause --workflow-id tries-1 --activity-id attempts")
        await t("activity unpause --workflow-id tries-1 --activity-id attempts")
        await t.until("workflow describe --workflow-id tries-1 -o json", '"attempt": 3')
        await t("activity unpause --workflow-id tries-1 --activity-id attempts")
        await t("activity reset --workflow-id tries-1 --activity-id attempts --clear-heartbeat-details "
                "--restore-original-options")
        await t("activity unpause --workflow-id tries-1 --activity-id nothing")
        await t("activity reset --workflow-id nobody --activity-id attempts")
        await t("workflow terminate --workflow-id tries-1")
        await t("activity pause --workflow-id tries-1 --activity-id attempts")


@scene
async def lists(t):
    filters = [
        "WorkflowType = 'Waits'", "ExecutionStatus = 'Running'", "ExecutionStatus != 'Running'",
        "WorkflowId = 'listed-2'",
        "WorkflowId IN ('listed-1', 'listed-3')", "WorkflowId STARTS_WITH 'listed-'", "CloseTime IS NULL",
        "StartTime > '2020-01-01T00:00:00Z' AND ExecutionStatus = 'Failed'",
        "(WorkflowType = 'Fails' OR WorkflowType = 'Greet') AND CloseTime IS NOT NULL",
        "StartTime BETWEEN '2020-01-01T00:00:00Z' AND '2120-01-01T00:00:00Z'", "HistoryLength > 8",
        "ExecutionStatus IN ('Completed', 'Failed')", "NOT ExecutionStatus = 'Running'",
    ]
    async with t.worker():
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id listed-1 --input '\"Ada\"'")
        await t("workflow execute --type Fails --task-queue QUEUE --workflow-id listed-2")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id listed-3")
        await t("workflow start --type Waits --task-queue QUEUE --workflow-id listed-4")
        await t("workflow terminate --workflow-id listed-4")
        ours = "TaskQueue = 'QUEUE'"
        await t.until(f"workflow count --query \"{ours}\"", "Total: 4")
        await t.until(f"workflow count --query \"{ours} AND ExecutionStatus = 'Running'\"", "Total: 1")
        await t(f"workflow list --query \"{ours}\"")
        await t(f"workflow list --query \"{ours}\" -o json")
        await t(f"workflow list --query \"{ours}\" -o jsonl")
        await t(f"workflow list --query \"{ours}\" --limit 2")
        await t(f"workflow list --query \"{ours}\" --limit 3 --page-size 2")
        await t(f"workflow count --query \"{ours}\"")
        await t(f"workflow count --query \"{ours}\" -o json")
        await t(f"workflow count --query \"{ours} GROUP BY ExecutionStatus\"")
        await t(f"workflow count --query \"{ours} GROUP BY ExecutionStatus\" -o json")
        await t(f"workflow count --query \"{ours} GROUP BY WorkflowType\"")
        for text in filters:
            await t(f"workflow list --query \"{ours} AND ({text})\"")
        await t("workflow list --query \"WorkflowId = 'none'\"")
        await t("workflow list --query \"WorkflowId = 'none'\" -o json")
        await t("workflow list --query \"Nonsense = 'x'\"")
        await t("workflow list --query \"WorkflowId =\"")
        await t("workflow count --query \"StartTime > 'soon'\"")
        await t("workflow list --query \"ExecutionStatus = 'Sleeping'\"")
        await t("workflow list --archived")


@scene
async def changing_many_activities(t):
    chosen = "--query \"WorkflowId STARTS_WITH 'tried-'\" --yes"
    async with t.worker():
        for number in (1, 2):
            await t(f"workflow start --type Tries --task-queue QUEUE --workflow-id tried-{number}")
            await t.until(f"workflow describe --workflow-id tried-{number}", "not yet")
        await t.until("workflow count --query \"WorkflowId STARTS_WITH 'tried-'\"", "2")
        await t(f"activity update-options {chosen} --start-to-close-timeout 7s --reason 'it is slow'")
        for number in (1, 2):
            await t.until(f"workflow describe --workflow-id tried-{number} -o json", '"startToCloseTimeout": "7s"')
            await t(f"activity pause --workflow-id tried-{number} --activity-id attempts")
        job = (await t(f"activity reset {chosen} --keep-paused --reason again")).split()[-1]
        await t.until(f"batch describe --job-id {job}", "Completed")
        for number in (1, 2):
            await t.until(f"workflow describe --workflow-id tried-{number} -o json", '"attempt": 1')
        job = (await t(f"activity unpause {chosen} --jitter 1s")).split()[-1]
        await t.until(f"batch describe --job-id {job}", "Completed")
        for number in (1, 2):
            await t.until(f"workflow describe --workflow-id tried-{number} -o json", '"attempt": 2')
            await t(f"workflow terminate --workflow-id tried-{number}")


@scene
async def activities(t):
    async with t.worker():
        for number in (1, 2, 3):
            await t(f"workflow start --type Asks --task-queue QUEUE --workflow-id asked-{number}")
            await t.until(f"workflow describe --workflow-id asked-{number}", " Started")
        await t("activity complete --workflow-id asked-1 --activity-id question --result '\"yes\"'")
        await t("workflow result --workflow-id asked-1")
        await t("workflow show --workflow-id asked-1")
        await t("activity complete --workflow-id asked-1 --activity-id question --result '\"yes\"'")
        await t(
            "activity fail --workflow-id asked-2 --activity-id question --reason 'nobody knows' --detail '\"truly\"'")
        await t("workflow result --workflow-id asked-2")
        await t("workflow show --workflow-id asked-2 --detailed")
        await t("activity fail --workflow-id asked-3 --activity-id other")
        await t("activity complete --workflow-id asked-3 --activity-id question --result nonsense")
        await t("activity complete --workflow-id nobody --activity-id question --result 1")


@scene
async def task_queues(t):
    async with t.worker(identity="a worker", build_id="build-1"):
        await t("workflow execute --type Greet --task-queue QUEUE --workflow-id queued-1 --input '\"Ada\"'")
        await t("task-queue describe --task-queue QUEUE")
        await t("task-queue describe --task-queue QUEUE -o json")
        await t("task-queue describe --task-queue QUEUE --legacy-mode")
        await t("task-queue describe --task-queue QUEUE --legacy-mode --task-queue-type-legacy activity -o json")
        await t("task-queue describe --task-queue QUEUE --task-queue-type activity")
        await t("task-queue describe --task-queue QUEUE --disable-stats")
        await t("task-queue describe --task-queue QUEUE --report-reachability")
        await t("task-queue describe --task-queue QUEUE --report-config")
        await t("task-queue describe --task-queue QUEUE --select-build-id build-1")
        await t("task-queue list-partition --task-queue QUEUE")
        await t("task-queue get-build-ids --task-queue QUEUE")
        await t("task-queue get-build-id-reachability --task-queue QUEUE --build-id build-1")
        await t("task-queue versioning get-rules --task-queue QUEUE")
        await t("task-queue config get --task-queue QUEUE --task-queue-type workflow")
    await t("task-queue describe --task-queue nobodys-queue")
    await t("task-queue describe --task-queue nobodys-queue -o json")
    for number in range(3):
        await t(
            f"workflow start --type Greet --task-queue backlog-queue --workflow-id backlog-{number} --input '\"Ada\"'")
    await t("task-queue describe --task-queue backlog-queue")


@scene
async def operators(t):
    await t("operator cluster health")
    await t("operator cluster health -o json")
    await t("operator cluster describe")
    await t("operator cluster describe --detail")
    await t("operator cluster describe -o json")
    await t("operator cluster system")
    await t("operator cluster system -o json")
    await t("operator cluster list")
    await t("operator cluster list -o json")
    await t("operator search-attribute list")
    await t("operator search-attribute list -o json")
    await t("operator search-attribute create --name Size --type Double --name Kind --type KeywordList")
    await t.until("operator search-attribute list", "Kind")
    await t("operator search-attribute create --name Size --type Double")
    await t("operator search-attribute create --name Size --type Text")
    await t("operator search-attribute create --name Other --type Colour")
    await t("operator search-attribute create --name WorkflowId --type Keyword")
    await t("operator search-attribute list")
    await t("operator search-attribute remove --name Kind", "y\n")
    await t("operator search-attribute remove --name Size --yes")
    await t("operator search-attribute remove --name Size --yes")
    await t("operator search-attribute remove --name WorkflowId --yes")
    await t("operator search-attribute list --namespace nowhere")


@scene
async def namespaces(t):
    await t("operator namespace create --namespace sales --description 'for sales' --retention 5d "
            "--email sales@example.com --data 'team=\"blue\"'")
    await t.until("operator namespace describe --namespace sales", "sales")
    await t("operator namespace create --namespace sales")
    await t("operator namespace create --namespace bare -o json")
    await t.until("operator namespace list", "bare")
    await t("operator namespace describe --namespace sales")
    await t("operator namespace describe --namespace sales -o json")
    await t("operator namespace describe --namespace default")
    await t("operator namespace describe --namespace nowhere")
    await t("operator namespace describe --namespace nowhere -o json")
    await t(
        "operator namespace update --namespace sales --description 'for all' --retention 10d --email all@example.com")
    await t.until("operator namespace describe --namespace sales", "240h")
    await t("operator namespace describe --namespace sales")
    await t("operator namespace update --namespace sales --data 'floor=3'")
    await t.until("operator namespace describe --namespace sales", "floor")
    await t("operator namespace describe --namespace sales -o json")
    await t("operator namespace update --namespace nowhere --description x")
    await t("operator namespace update --namespace sales --retention 1s")
    await t("operator namespace create --namespace short --retention 1m")
    await t.until("operator namespace list", "all@example.com")
    await t("workflow start --namespace sales --type Greet --task-queue QUEUE --workflow-id sold-1 --input '\"Ada\"'")
    await t("workflow list --namespace bare")
    await t("workflow list --namespace nowhere")
    await t("operator namespace delete --namespace bare --yes")
    await t("operator namespace delete --namespace sales", "sales\n")
    await t("operator namespace delete --namespace nowhere --yes")


@scene
async def mistakes(t):
    await t("workflow describe --workflow-id nobody")
    await t("workflow describe --workflow-id nobody -o json")
    await t("workflow describe --workflow-id nobody --run-id 01234567-89ab-4def-8123-456789abcdef")
    await t("workflow describe --workflow-id nobody --run-id nonsense")
    await t("workflow show --workflow-id nobody")
    await t("workflow result --workflow-id nobody")
    await t("workflow trace --workflow-id nobody")
    await t("workflow signal --workflow-id nobody --name note")
    await t("workflow query --workflow-id nobody --type noted")
    await t("workflow stack --workflow-id nobody")
    await t("workflow metadata --workflow-id nobody")
    await t("workflow cancel --workflow-id nobody")
    await t("workflow terminate --workflow-id nobody")
    await t("workflow delete --workflow-id nobody --yes")
    await t("workflow start --type Greet --task-queue QUEUE --namespace nowhere --workflow-id lost")
    await t("workflow start --type Greet --task-queue QUEUE --workflow-id wrong --search-attribute 'Nonsense=1'")
    await t("workflow start --type Greet --task-queue QUEUE --workflow-id wrong --execution-timeout -1s")
    await t("workflow start --type Greet --task-queue '' --workflow-id wrong")


# --- comparing --------------------------------------------------------------------------------------------------------


async def play(temporal, address, name):
    client = await Client.connect(address)
    terminal = Terminal(temporal, address, client, name)
    try:
        await asyncio.wait_for(SCENES[name](terminal), LIMIT)
    except Exception as error:  # noqa: BLE001
        terminal.printed.append(("(the scene)", {"status": 1, "out": "", "err": f"{type(error).__name__}: {error}"}))
    for command, printed in terminal.printed:
        for stream in ("out", "err"):
            printed[stream] = terminal.normal.printed(command, printed[stream])
    return terminal.printed


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--temporal", required=True)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--perdure")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("scenes", nargs="*")
    arguments = parser.parse_args()
    failed = total = 0
    for name in arguments.scenes or SCENES:
        if arguments.show:
            for command, printed in await play(arguments.temporal, arguments.oracle, name):
                print(f"$ temporal {command}   [{printed['status']}]")
                lines = [*printed["out"], *("! " + line for line in printed["err"])]
                print("\n".join(line if isinstance(line, str) else json.dumps(line, indent=2) for line in lines))
            continue
        expected, actual = await asyncio.gather(
            play(arguments.temporal, arguments.oracle, name), play(arguments.temporal, arguments.perdure, name))
        for (command, left), (_, right) in zip(expected, actual):
            total += 1
            found = list(differences(left, right))
            if found:
                failed += 1
                print(f"not ok {name}: temporal {command}")
                print("\n".join(found))
            else:
                print(f"ok {name}: temporal {command}")
        if len(expected) != len(actual):
            failed += 1
            print(f"not ok {name}: {len(expected)} commands of Temporal, {len(actual)} of Perdure")
    print(f"{total - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    leave(asyncio.run(main()))
