"""Runs the contenders in turn and writes what they did: a table, charts, and every single figure.

Called by Benchmarks/run, which starts the server. Every measurement begins in a fresh database.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import time

import chart
import psycopg
from measuring import HERE, arguments, fresh, machine, measured, quietly

# How many workflows: for about ten seconds each, whoever it is.
SIZES = {"perdure": 20_000, "slow path": 8_000, "perdure latency": 1_000, "absurd": 1_500, "absurd processes": 3_000,
         "absurd latency": 200, "dbos": 600, "dbos latency": 150}


class Contender:
    """A system under test: how its database is made, and the commands that measure it."""

    def __init__(self, name: str, title: str, prepare, commands: dict):
        self.name, self.title, self.prepare, self.commands = name, title, prepare, commands


def contenders(options) -> list[Contender]:
    def size(what: str) -> str:
        return str(max(SIZES[what] // (10 if options.quick else 1), 50))

    def database(name: str) -> str:
        return f"{options.server}/{name}"

    def peer(name: str, mode: str, what: str, *more: str) -> list[str]:
        return [options.python, str(HERE / "peers" / f"{name}_peer.py"), mode, database(name),
                "--workflows", size(what), *more]

    def perdure(mode: str, what: str, *more: str) -> list[str]:
        return [options.perdure, "bench", mode, "--database-url", database("perdure"), "--workflows", size(what),
                "--output", "json", *more]

    return [
        Contender("perdure", "Perdure", lambda: quietly(
            options.perdure, "migrate", "--database-url", database("perdure")), {
            "throughput": perdure("backlog", "perdure"), "slow path": perdure("backlog", "slow path", "--slow-path"),
            "latency": perdure("latency", "perdure latency")}),
        Contender("absurd", "absurd (Python SDK)", lambda: quietly(
            options.absurdctl, "init", "-d", database("absurd")), {
            "throughput": peer("absurd", "backlog", "absurd"),
            "four processes": peer("absurd", "backlog", "absurd processes", "--processes", "4"),
            "latency": peer("absurd", "latency", "absurd latency")}),
        Contender("dbos", "DBOS Transact (Python)", lambda: None, {
            "throughput": peer("dbos", "backlog", "dbos"), "latency": peer("dbos", "latency", "dbos latency")}),
    ]


# What PostgreSQL itself does here: commits a second, and rows a second when a hundred share a statement.
LIMITS = {
    "single-row insert commits/s, 32 clients": ("insert into item (body) values ('{\"a\": 1}');", 32, 1),
    "rows/s inserted, 100 a statement": (
        "insert into item (body) select jsonb_build_object('a', n) from generate_series(1, 100) n;", 8, 100),
    "rows/s claimed with skip locked, 100 a statement": (
        "with c as (select ctid as row from queue order by id limit 100 for update skip locked) "
        "delete from queue q using c where q.ctid = c.row;", 4, 100),
}


def limit(name: str, options) -> float:
    url = fresh(options.server, "limits")
    seconds = 1 if options.quick else 4
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table item (id bigint generated always as identity primary key, body jsonb)")
        if "claimed" in name:
            connection.execute("create table queue (id bigint primary key, body jsonb)")
            connection.execute("insert into queue select n, '{\"a\": 1}' from generate_series(1, %s) n",
                               (250_000 * seconds,))
            connection.execute("vacuum analyze queue")
    sql, clients, rows = LIMITS[name]
    command = [options.pgbench, "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds),
               "-f", "/dev/stdin", url]
    output = subprocess.run(command, input=sql, check=True, capture_output=True, text=True).stdout
    if "claimed" in name:
        # The queue may have run dry: what counts is what was claimed.
        with psycopg.connect(url) as connection:
            claimed = 250_000 * seconds - connection.execute("select count(*) from queue").fetchone()[0]
            if claimed == 250_000 * seconds:
                print("  (all rows were claimed: the true figure is higher)", flush=True)
            return claimed / seconds
    return next(float(line.split()[2]) for line in output.splitlines() if line.startswith("tps")) * rows


median = statistics.median


def label(contender: Contender, what: str) -> str:
    return {"throughput": contender.title, "slow path": "Perdure, no fused steps",
            "four processes": "absurd, four processes"}[what]


def write(chosen: list[Contender], figures: dict, limits: dict, options) -> None:
    results = pathlib.Path(options.results)
    results.mkdir(parents=True, exist_ok=True)
    about = machine(options.server, options.settings, options.python)
    (results / "figures.json").write_text(
        json.dumps({"rounds": options.rounds, "machine": about, "figures": figures, "limits": limits}, indent=1) + "\n")
    lines = ["# Results", ""]
    if options.quick:
        lines += ["**A quick run, a tenth of the size: it shows that the benchmark works, and no more.**", ""]
    lines += ["A workflow has four trivial activities, one after the other. "
              "Server, workers and clients share the machine, and commits are durable. Medians of "
              f"{options.rounds} round{'s' if options.rounds != 1 else ''}, the contenders in turn; "
              "the ratio is the median of the rounds' own ratios.", "",
              "| | workflows/s | Perdure is | start to result, p50 | p99 |", "| --- | ---: | ---: | ---: | ---: |"]
    rates, latencies = [], []
    own = [value["workflows_per_second"] for value in figures.get("perdure", {}).get("throughput", [])]
    for contender in chosen:
        latency = figures[contender.name]["latency"]
        for what, values in figures[contender.name].items():
            if what == "latency":
                continue
            rate = [value["workflows_per_second"] for value in values]
            ratio = (f"{median([a / b for a, b in zip(own, rate)]):.1f} times as fast"
                     if own and contender.name != "perdure" else "")
            p50, p99 = (f"{median([value[key] for value in latency]):.1f} ms" if what == "throughput" else ""
                        for key in ("p50_ms", "p99_ms"))
            lines.append(f"| {label(contender, what)} | {median(rate):,.0f} | {ratio} | {p50} | {p99} |")
            rates.append({"name": label(contender, what), "value": median(rate), "low": min(rate), "high": max(rate),
                          "label": f"{median(rate):,.0f} /s", "own": contender.name == "perdure"})
        p50 = [value["p50_ms"] for value in latency]
        latencies.append({"name": contender.title, "value": median(p50), "low": min(p50), "high": max(p50),
                          "label": f"{median(p50):.1f} ms", "own": contender.name == "perdure"})
    for what, title in (("throughput", "under that load"), ("slow path", "without fused steps")):
        values = figures.get("perdure", {}).get(what, [])
        if values:
            lines += ["", f"One of Perdure's workflows {title} takes "
                      f"{median([v['wal_bytes_per_workflow'] for v in values]) / 1000:.1f} kB of WAL, "
                      f"{median([v['transactions_per_workflow'] for v in values]):.2f} transactions, "
                      f"{median([v['server_cpu_us_per_workflow'] for v in values]):.0f} µs "
                      "of the server's processor time and "
                      f"{median([v['worker_cpu_us_per_workflow'] for v in values]):.0f} µs of the workers'."]
    if limits:
        lines += ["", "PostgreSQL itself, by pgbench: "
                  + "; ".join(f"{median(values):,.0f} {name}" for name, values in limits.items()) + "."]
    lines += ["", "Machine and settings:", "", *(f"- {line}" for line in about), ""]
    (results / "README.md").write_text("\n".join(lines))
    note = (f"Medians of {options.rounds} round{'s' if options.rounds > 1 else ''} on {about[0].split(' (')[0]}, "
            "durable commits; lines show the lowest and the highest round")
    (results / "throughput.svg").write_text(chart.bars(
        "Workflows of four activities, completed per second", note + "; longer is better", "workflows/s", rates))
    (results / "latency.svg").write_text(chart.bars(
        "From start to result on an idle system", note + "; shorter is better", "milliseconds (median)", latencies))
    print("\n".join(lines))


def main() -> None:
    parser = arguments("run", "a tenth of the size", "absurdctl", "pgbench")
    parser.add_argument("--rounds", type=int, help="five, or three with --quick")
    parser.add_argument("--only", default="perdure,absurd,dbos,limits",
                        help="what to measure, separated by commas: perdure, absurd, dbos, limits")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    only = set(options.only.split(","))
    chosen = [contender for contender in contenders(options) if contender.name in only]
    if not chosen or only - {"perdure", "absurd", "dbos", "limits"} or options.rounds < 1:
        sys.exit("Benchmarks/run: --only takes perdure, absurd, dbos and limits, one of the first three at least; "
                 "--rounds a number above zero")
    limits: dict = {name: [] for name in LIMITS} if "limits" in only else {}
    figures: dict = {contender.name: {what: [] for what in contender.commands} for contender in chosen}
    total = options.rounds * (sum(len(contender.commands) for contender in chosen) + len(limits))
    print(f"{total} measurements, about {max(1, round(total * (4 if options.quick else 14) / 60))} minutes", flush=True)
    begin = time.monotonic()
    number = 0

    def tell(what: str, value: str) -> None:
        nonlocal number
        number += 1
        left = (time.monotonic() - begin) / number * (total - number) / 60
        print(f"[{number}/{total}, {left:.0f} min left] {what}: {value}", flush=True)

    for _ in range(options.rounds):
        for name in limits:
            limits[name].append(limit(name, options))
            tell("PostgreSQL", f"{limits[name][-1]:,.0f} {name}")
        # In turn within a round, one kind of measurement after the other.
        for what in dict.fromkeys(what for contender in chosen for what in contender.commands):
            for contender in chosen:
                if what not in contender.commands:
                    continue
                fresh(options.server, contender.name)
                contender.prepare()
                value = measured(f"{contender.title}, {what}", contender.commands[what])
                figures[contender.name][what].append(value)
                shown = [key for key in ("workflows_per_second", "p50_ms", "p99_ms") if key in value]
                tell(f"{contender.title}, {what}",
                     ", ".join(f"{key.replace('_', ' ')} {value[key]:,.1f}" for key in shown))
    write(chosen, figures, limits, options)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Benchmarks/run: stopped")
