"""Shows what the time is spent on, by pg_stat_statements and perf.

Called by Benchmarks/profile, which starts the server.
"""

import collections
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import psycopg

from measuring import ENVIRONMENT, arguments, fresh, machine, measured, quietly

# Threads by their names, which the kernel cuts to the last 15 characters.
THREADS = {
    "postgres": "the server's backends", "oot.default-qos": "worker (and client): Swift's thread pool",
    "workflow-code": "worker: threads for workflow code",
    "perdure-io": "worker (and client): event loop", "swapper": "idle", "<idle>": "idle",
}
# The first that matches a symbol names its group.
SERVER = [
    ("write-ahead log", r"XLog|Wal|xlog|CRC|crc32"), ("JSON", r"[jJ]son|convertTo|compareJsonb|Numeric|numeric"),
    ("B-trees", r"^_?bt|nbt"), ("heap", r"^heap|Heap|visibilitymap|HeapTuple|toast"),
    ("executor and expressions", r"Exec|slot_|tts_|expression|fmgr|Interp"),
    ("PL/pgSQL and plans", r"plpgsql|SPI_|Plan|Portal|ResourceOwner"),
    ("memory", r"AllocSet|palloc|pfree|MemoryContext|malloc|free|memcpy|memmove|memset|memcmp"),
    ("buffers and locks", r"Buffer|LWLock|LockAcquire|LockRelease|hash_search|hash_bytes"),
    ("sorting", r"sort|qsort"),
]
WORKER = [
    ("memory", r"malloc|free|unlink_chunk|memmove|memcpy|swift_slow|swift_alloc|swift_dealloc"
     r"|swift_task_alloc|swift_task_dealloc|StackAllocator"),
    ("reference counting", r"swift_retain|swift_release|RefCount|bridgeObject|isUniquely|swift_arrayDestroy"
     r"|outlined|destroy for|initializeWithCopy|deinit"),
    ("concurrency runtime",
     r"swift_task|AsyncTask|TaskGroup|swift_continuation|dispatch|futex|swift::|pthread|lll_lock"),
    ("JSON, dictionaries, text", r"JSON|Payload|Dictionary|Hasher|String|UTF8|Timestamp|vfprintf|Substring|Character"),
    ("types at run time", r"Metadata|swift_getWitness|swift_conforms|dynamicCast|swift_getType"),
    ("worker and SDK",
     r"Worker|Workflow|Activity|Batcher|Settlement|RunCache|Engine|Command|HistoryEvent|Slots|Wakeup|Fused"),
    ("wire protocol", r"Wire|EventLoop|Postgres"),
]


def start_backlog(options, url: str, count: int, connection) -> subprocess.Popen:
    """Starts a measurement, and returns when its workers begin: what starts the backlog does not count."""
    bench = subprocess.Popen([options.perdure, "bench", "backlog", "--database-url", url, "--workflows", str(count),
                              "--output", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True, env=ENVIRONMENT)
    while bench.poll() is None and not has_workers(connection):
        time.sleep(0.02)
    return bench


def has_workers(connection) -> bool:
    return connection.execute("select exists (select from perdure.workers)").fetchone()[0]


def figures(bench: subprocess.Popen) -> dict:
    output = bench.communicate()[0]
    if bench.returncode != 0:
        sys.exit("Benchmarks/profile: perdure bench backlog failed")
    return json.loads(output.strip().splitlines()[-1])


def statements(options, url: str, count: int) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create extension pg_stat_statements")
        name = url.rsplit("/", 1)[1]
        connection.execute(f"alter database \"{name}\" set pg_stat_statements.track = 'all'")
        bench = start_backlog(options, url, count, connection)
        connection.execute("select pg_stat_statements_reset()")
        figures(bench)
        rows = connection.execute("""
            select s.toplevel, s.query, s.calls, s.rows::float8 / s.calls, s.total_exec_time * 1000 / %(n)s,
                s.wal_bytes::float8 / %(n)s
            from pg_stat_statements s join pg_database d on d.oid = s.dbid
            where d.datname = current_database() and s.query like '%%perdure.%%'
                and s.total_exec_time * 1000 / %(n)s >= 3
            order by s.total_exec_time desc limit 20""", {"n": count}).fetchall()
        connection.execute(f'alter database "{name}" reset pg_stat_statements.track')

    def shown(query: str) -> str:
        text = re.sub(r"\s+", " ", query)
        called = re.search(r"perdure\.(claim_\w+|complete_\w+|finish_\w+|upkeep|renew_\w+)\(", text)
        return f"`{called[1]}`" if called and len(text) < 400 else f"`{text[:90].replace('|', '¦')} …`"
    return ["| statement | calls | rows a call | µs a workflow | WAL bytes a workflow |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(f"| {'' if toplevel else '– '}{shown(query)} | {calls:,} | {per_call:.0f} | {cost:.0f} | {wal:,.0f} |"
              for toplevel, query, calls, per_call, cost, wal in rows)]


def sampled(options, url: str, count: int, directory: pathlib.Path) -> tuple[list[str], dict]:
    data = directory / "load.data"
    with psycopg.connect(url, autocommit=True) as connection:
        bench = start_backlog(options, url, count, connection)
        perf = subprocess.Popen(["perf", "record", "--quiet", "--all-cpus", "--event", "cpu-clock", "--freq", "1999",
                                 "--output", str(data)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while bench.poll() is None and has_workers(connection):
            time.sleep(0.1)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        result = figures(bench)
    report = subprocess.run(["perf", "report", "--input", str(data), "--sort", "comm,dso,sym",
                             "--stdio", "--field-separator", "\t", "--show-nr-samples"],
                            capture_output=True, text=True, check=True).stdout
    lines = []
    for line in report.splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and not line.startswith("#"):
            lines.append((int(fields[1]), *(field.strip() for field in fields[2:])))
    symbols = [symbol for *_, symbol in lines]
    demangled = subprocess.run(["swift", "demangle", "--simplified"], input="\n".join(symbols), capture_output=True,
                               text=True, check=False).stdout.splitlines()
    samples = [(*line[:3], symbol)
               for line, symbol in zip(lines, demangled if len(demangled) == len(lines) else symbols)]
    busy = collections.Counter()
    groups = {"server": collections.Counter(), "worker": collections.Counter()}
    for number, thread, library, symbol in samples:
        busy[THREADS.get(thread, "everything else")] += number
        side = ("server" if thread == "postgres"
                else "worker" if thread in ("oot.default-qos", "workflow-code", "perdure-io") else None)
        if side is None:
            continue
        name = symbol.split("] ", 1)[-1]
        if "[k]" in symbol:
            group = "kernel"
        elif library.startswith("plpgsql"):
            group = "PL/pgSQL and plans"
        elif name.startswith("0x") or name == "[unknown]":
            group = "functions without a name here"
        else:
            group = next((group for group, pattern in (SERVER if side == "server" else WORKER)
                          if re.search(pattern, name)), "everything else")
        groups[side][group] += number
    total = sum(busy.values())
    out = ["| who | share of both processors |", "| --- | ---: |",
           *(f"| {who} | {100 * number / total:.1f} % |" for who, number in busy.most_common())]
    for side, title in (("server", "The server's backends"), ("worker", "The worker")):
        own = sum(groups[side].values())
        out += ["", f"| {title} | share of its samples |", "| --- | ---: |",
                *(f"| {group} | {100 * number / own:.1f} % |" for group, number in groups[side].most_common())]
    return out, result


def one_by_one(options, url: str, count: int, directory: pathlib.Path) -> list[str]:
    data = directory / "idle.data"
    result = measured("latency", ["perf", "sched", "record", "--output", str(data), "--", options.perdure, "bench",
                                  "latency", "--database-url", url, "--workflows", str(count), "--output", "json"])
    history = subprocess.run(["perf", "sched", "timehist", "--input", str(data)], capture_output=True, text=True,
                             check=True).stdout
    runs = []
    for line in history.splitlines():
        found = re.match(r"\s*([\d.]+) \[(\d+)\]\s+(.+?)(?:\[\d+(?:/\d+)?\])?\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s*$",
                         line)
        if found:
            runs.append((float(found[1]), found[3], float(found[5]), float(found[6])))
    # Neither the beginning, when everything is read for the first time, nor the end.
    first, last = runs[0][0], runs[-1][0]
    window = [run for run in runs if first + 0.4 * (last - first) <= run[0] <= first + 0.9 * (last - first)]
    workflows = 1000 * 0.5 * (last - first) / result["p50_ms"]
    ran, woke, waited = collections.Counter(), collections.Counter(), collections.Counter()
    for _, thread, delay, run in window:
        who = THREADS.get(thread, "everything else")
        ran[who] += run
        woke[who] += 1
        waited[who] += delay
    out = [f"From start to result: p50 {result['p50_ms']:.2f} ms, p99 {result['p99_ms']:.2f} ms; "
           "perf, which follows each change of threads, makes it slower.", "",
           "| of one workflow | runs, ms | times it began to run | waited for a processor, ms |",
           "| --- | ---: | ---: | ---: |"]
    out += [f"| {who} | {ran[who] / workflows:.2f} | {woke[who] / workflows:.0f} | {waited[who] / workflows:.2f} |"
            for who, _ in ran.most_common()]
    return out


def main() -> None:
    options = arguments("profile", "a tenth of the size").parse_args()
    count = 2_000 if options.quick else 20_000
    url = fresh(options.server, "perdure")
    quietly(options.perdure, "migrate", "--database-url", url)
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        print("[1/3] a backlog, by statement", flush=True)
        by_statement = statements(options, url, count)
        print("[2/3] a backlog, by function", flush=True)
        by_function, load = sampled(options, url, count, directory)
        print("[3/3] one workflow after the other, by thread", flush=True)
        by_thread = one_by_one(options, url, count // 50, directory)
    text = ["# What the time is spent on", "",
            "Made by `Benchmarks/profile`. A workflow has four trivial activities, one after the other.", "",
            "## Under load, by statement", "",
            f"{count:,} workflows; pg_stat_statements with the statements inside of functions, which are marked –. "
            "Times are by the clock: a statement that waits for a processor takes longer.", "",
            *by_statement, "", "## Under load, by function", "",
            f"{load['workflows_per_second']:,.0f} workflows/s, {load['server_cpu_us_per_workflow']:.0f} µs "
            f"of the server's and {load['worker_cpu_us_per_workflow']:.0f} µs of the worker's processor time a "
            "workflow; "
            "sampled by perf on all processors while the workers ran. "
            "Debian's server has no names for its static functions.", "",
            *by_function, "", "## On an idle system, by thread", "", *by_thread, "", "Machine and settings:", "",
            *(f"- {line}" for line in machine(options.server, options.settings, options.python)), ""]
    directory = pathlib.Path(options.results)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "profile.md").write_text("\n".join(text))
    print(f"Written to {options.results}/profile.md")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Benchmarks/profile: stopped")
