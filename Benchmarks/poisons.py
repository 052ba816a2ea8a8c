"""What Benchmarks/chaos gives to the engine beside good transfers: the one table of it. A kind that is missing is added
here.

A kind is SQL as a person would write it, for psql, where :id is the workflow's id. Code that it needs is in
Benchmarks/ChaosWorker.
"""

from dataclasses import dataclass, field

REFUSED = "refused"
"""Nothing was started: the engine said no, with an error of its own and a hint."""
COMPLETED, FAILED = "Completed", "Failed"
ENDED = "ended by the engine"
"""Terminated or timed out by the engine itself, with a reason."""
TASK_FAILS = "workflow task fails"
"""The run is open, and people see why its code cannot go on."""
RETRIES = "activity is tried again"
"""The run is open, and people see why its activity failed."""
WAITS = "waits"
"""The run is open and waits for what may still come."""
GONE = "deleted"


@dataclass
class Poison:
    """A kind of trouble."""

    name: str
    section: int
    """Of the promises: 1 one bad member of a set, 2 limits, 3 successes, 4 workers and code, 6 what people type."""
    sql: str
    outcomes: set[str]
    """What may become of the run itself; the others must not notice."""
    says: str = ""
    """What the cause that people see must hold."""
    every: int = 100
    """One of so many runs is of this kind."""
    then: str = ""
    """Given a second later: to a run that a worker has begun."""
    afterwards: str = ""
    """Given after the load, when no worker is killed any more, to a run that does not show its trouble."""
    ids: list[str] = field(default_factory=list)


def start(workflow_type: str, given: str = "null", options: str = "") -> str:
    """A start that is told again, because the database went away, is one start."""
    more = [options if "(" in options else f"'{options}'::jsonb"] if options else []
    more += [] if "requestId" in options else ["jsonb_build_object('requestId', :'id')"]
    return f"select perdure.start_workflow('{workflow_type}', :'id', 'bank', {given}, options => {' || '.join(more)});"


def signal(name: str, given: str = "null") -> str:
    return f"select perdure.signal_workflow(:'id', '{name}', {given});"


def update(name: str, given: str = "null") -> str:
    return f"select perdure.update_workflow(:'id', '{name}', {given});"


def deep(levels: int) -> str:
    return f"(repeat('[', {levels}) || repeat(']', {levels}))::jsonb"


def large(bytes_: int) -> str:
    return f"to_jsonb(repeat('x', {bytes_}))"


def transfer(amount: str) -> str:
    return f"jsonb_build_object('from_account', 'chaos_1', 'to_account', 'chaos_2', 'amount', {amount})"


def activity(name: str, more: str = "") -> str:
    return start("CallsActivity", f"""'{{"activity": "{name}"{more}}}'""")


HUGE_NUMBERS = "(select jsonb_agg(('1e' || 100000)::jsonb) from generate_series(1, 11000))"

POISONS = [
    # 1. One bad member of a set
    Poison("payload 600 deep, start", 1, start("Listens", deep(600)), {REFUSED, TASK_FAILS}),
    Poison("payload 600 deep, transfer", 1, start("TransferWorkflow", transfer(deep(600))), {REFUSED, TASK_FAILS}),
    Poison("payload 600 deep, signal", 1, start("Listens") + signal("Over", deep(600)),
           {REFUSED, TASK_FAILS, COMPLETED}),
    Poison("payload 6,000 deep, signal", 1, start("Listens") + signal("Over", deep(6000)),
           {REFUSED, TASK_FAILS, COMPLETED}),
    Poison("payload 600 deep, update", 1, start("Listens") + update("unknown", deep(600)), {REFUSED, WAITS}),
    Poison("1,000 updates that no code takes", 1,
           start("Listens") + "select count(perdure.update_workflow(:'id', 'unknown', '1')) "
           "from generate_series(1, 1000);", {REFUSED, WAITS}, every=500),
    Poison("memo 600 deep", 1,
           start("Listens", options="jsonb_build_object('memo', jsonb_build_object('note', "
                 f"jsonb_build_object('data', {deep(600)})))"),
           {REFUSED, WAITS}),
    Poison("history of 285 MB", 1, start("Listens") + "".join(signal("More", large(1_900_000)) for _ in range(150)),
           {REFUSED, ENDED, WAITS, TASK_FAILS}, every=1000),
    Poison("11,000 numbers of 100 kB as text, start", 1, start("Listens", HUGE_NUMBERS), {REFUSED, TASK_FAILS}),
    Poison("11,000 numbers of 100 kB as text, signal", 1, start("Listens") + signal("More", HUGE_NUMBERS),
           {REFUSED, ENDED, WAITS}),
    Poison("retry interval of 100,000,000 s", 1, activity("Fails", ', "retry_seconds": 100000000'), {RETRIES, FAILED},
           says="it always does"),
    Poison("workflow retry interval of 100,000,000 s", 1,
           start("LargeFailure", "'1'", '{"retryPolicy": {"initialInterval": "100000000s", "maximumAttempts": 3}}'),
           {REFUSED, FAILED, WAITS}),
    Poison("retention of 10,000 years", 1, "select perdure.create_namespace(:'id', retention => '10000 years');"
           "select perdure.start_workflow('Listens', :'id', 'bank', namespace => :'id'); "
           "select perdure.terminate_workflow(:'id', 'chaos', namespace => :'id');",
           {REFUSED, ENDED}, every=1000),
    Poison("retention of a second, long history", 1, "select perdure.create_namespace(:'id', retention => '1 s');"
           "select perdure.start_workflow('Listens', :'id', 'bank', namespace => :'id');"
           "select count(perdure.signal_workflow(:'id', 'More', namespace => :'id')) from generate_series(1, 2000);"
           "select perdure.terminate_workflow(:'id', 'chaos', namespace => :'id');",
           {REFUSED, ENDED, GONE}, every=1000),
    Poison("heartbeat of 3 MB", 1, activity("LargeHeartbeat", ', "heartbeat_seconds": 4, "maximum_attempts": 2'),
           {FAILED, COMPLETED, RETRIES}),
    Poison("1,200 signals during a task", 1, start("Busy"), {WAITS, TASK_FAILS, COMPLETED},
           then="".join(signal("More", "'1'") for _ in range(1200)), every=500),
    Poison("500 signals of 20 kB during a task", 1, start("Busy"), {WAITS, TASK_FAILS, COMPLETED, REFUSED},
           then="".join(signal("More", large(20_000)) for _ in range(500)), every=500),
    # 2. Limits at the door
    Poison("id of 20,000 characters", 2,
           "select perdure.start_workflow('Listens', repeat('x', 20000), 'bank');", {REFUSED}),
    Poison("signal name of 20,000 characters", 2,
           start("Listens") + "select perdure.signal_workflow(:'id', repeat('x', 20000));", {REFUSED}),
    Poison("memo of 5 MB", 2,
           start("Listens", options="jsonb_build_object('memo', jsonb_build_object('note', "
                 f"perdure.payloads({large(5_000_000)}) -> 0))"),
           {REFUSED}),
    Poison("update name of 20,000 characters", 2,
           start("Listens") + "select perdure.update_workflow(:'id', repeat('x', 20000));", {REFUSED}),
    Poison("cron schedule of 5,000 characters", 2,
           start("Listens", options="jsonb_build_object('cronSchedule', repeat('* ', 2500))"), {REFUSED}),
    Poison("input of 50 MB", 2, start("Listens", large(50_000_000)), {REFUSED}, every=500),
    Poison("identity of 1 MB", 2, start("Listens", options="jsonb_build_object('identity', repeat('x', 1000000))"),
           {REFUSED, WAITS}),
    Poison("request id of 1 MB", 2, start("Listens", options="jsonb_build_object('requestId', repeat('x', 1000000))"),
           {REFUSED, WAITS}),
    Poison("result of an activity of 5 MB", 2, activity("LargeOutput", ', "maximum_attempts": 2'), {FAILED, RETRIES}),
    Poison("result of 5 MB", 2, start("LargeResult", "'5000000'"), {FAILED, TASK_FAILS, ENDED}),
    Poison("failure with a message of 16 MB", 2, start("LargeFailure", "'16000000'"), {FAILED}),
    Poison("failure of an activity with a message of 16 MB", 2,
           activity("LargeError", ', "maximum_attempts": 2'), {FAILED}),
    Poison("failure with a null character", 2, activity("NullCharacter", ', "maximum_attempts": 1'), {FAILED}),
    Poison("timer of 30,000 years", 2, start("LongTimer", "'1e12'"), {WAITS}),
    Poison("timeout of 30,000 years", 2, start("Listens", options='{"workflowExecutionTimeout": "1000000000000s"}'),
           {REFUSED, WAITS}),
    Poison("start delay of 30,000 years", 2, start("Listens", options='{"workflowStartDelay": "1000000000000s"}'),
           {REFUSED, WAITS}),
    # 4. Code that breaks the rule
    Poison("CancellationError", 4, start("ThrowsCancellation"), {TASK_FAILS}, says="CancellationError"),
    Poison("CancellationError of an activity", 4, activity("ThrowsCancellation", ', "maximum_attempts": 2'),
           {FAILED, RETRIES}),
    Poison("Task.sleep", 4, start("Sleeps"), {TASK_FAILS}, says="Task.sleep"),
    Poison("Task.sleep in a signal handler", 4, start("HandlerSleeps") + signal("Over"), {TASK_FAILS},
           says="Task.sleep"),
    Poison("a callback of another thread", 4, start("WaitsOutside"), {TASK_FAILS}, says="outside of the workflow",
           # A worker notices the callback when it comes, after the task. One that is killed before that notices
           # nothing, and the run is silent until something happens to it.
           afterwards=signal("More", "'1'")),
    Poison("Task.yield for ever", 4, start("Yields"), {TASK_FAILS}, says="loops without end", every=1000),
    Poison("a thread that is blocked", 4, start("Blocks"), {TASK_FAILS}, says="blocks a thread", every=1000),
    # 6. What people type
    Poison("amount abc", 6, start("TransferWorkflow", transfer("'abc'::text")), {TASK_FAILS, FAILED},
           says="cannot be read"),
    Poison("amount 1e400", 6, start("TransferWorkflow", transfer("1e400::numeric")), {TASK_FAILS, FAILED, REFUSED}),
    Poison("amount -1", 6, start("TransferWorkflow", transfer("-1")), {TASK_FAILS, FAILED, REFUSED}),
    Poison("no input", 6, start("TransferWorkflow"), {TASK_FAILS, FAILED}, says="cannot be read"),
    Poison("a text for an input", 6, start("TransferWorkflow", """'"abc"'"""), {TASK_FAILS, FAILED},
           says="cannot be read"),
    Poison("an account that does not exist", 6,
           start("TransferWorkflow", """'{"from_account": "nobody", "to_account": "chaos_1", "amount": 1}'"""),
           {FAILED}, says="nobody"),
    Poison("unknown workflow type", 6, start("Unknown"), {TASK_FAILS}, says="no workflow of type Unknown"),
    Poison("unknown activity type", 6, activity("Unknown"), {RETRIES, FAILED, WAITS}),
    Poison("unknown query", 6, start("Listens")
           + "select perdure.start_query(perdure.shard_for('default', :'id'), 'default', :'id', null, 'unknown');",
           {WAITS}),
]
