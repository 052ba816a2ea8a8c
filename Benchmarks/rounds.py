"""Runs the contenders in turn and writes what they did: a table, a chart, and every single figure.

Called by Benchmarks/run, which starts the server. Every measurement begins in a fresh database.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import psycopg

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"


class Contender:
    """A system under test: how its database is made, and the commands that measure it."""

    def __init__(self, name: str, title: str, prepare, commands: dict):
        self.name, self.title, self.prepare, self.commands = name, title, prepare, commands


def contenders(options) -> list[Contender]:
    def database(name):
        return f"{options.server}/{name}"

    def peer(program, mode, name, workflows, *more):
        return [options.python, str(HERE / "peers" / f"{program}_peer.py"), mode, database(name), "--workflows", str(workflows), *more]

    def perdure(mode, workflows, *more):
        return [options.perdure, "bench", mode, "--database-url", database("perdure"), "--workflows", str(workflows), "--output", "json", *more]

    def run(*command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PERDURE_ROOT": str(HERE.parent)})

    return [
        Contender("perdure", "Perdure", lambda: run(options.perdure, "migrate", "--database-url", database("perdure")), {
            "throughput": perdure("backlog", 20_000), "slow path": perdure("backlog", 8_000, "--slow-path"),
            "latency": perdure("latency", 1_000)}),
        Contender("absurd", "absurd (Python SDK)", lambda: run(options.absurdctl, "init", "-d", database("absurd")), {
            "throughput": peer("absurd", "backlog", "absurd", 1_500), "four processes": peer("absurd", "backlog", "absurd", 3_000, "--processes", "4"),
            "latency": peer("absurd", "latency", "absurd", 200)}),
        Contender("dbos", "DBOS Transact (Python)", lambda: None, {
            "throughput": peer("dbos", "backlog", "dbos", 600), "latency": peer("dbos", "latency", "dbos", 150)}),
    ]


def fresh(server: str, name: str) -> None:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'drop database if exists "{name}" with (force)')
        connection.execute(f'create database "{name}"')
        connection.execute("checkpoint")


def limits(options) -> dict:
    """What PostgreSQL itself does here: single-row commits by 32 clients, and rows a second when a hundred share a statement."""
    fresh(options.server, "limits")
    with psycopg.connect(f"{options.server}/limits", autocommit=True) as connection:
        connection.execute("create table item (id bigint generated always as identity primary key, body jsonb)")
    scripts = {
        "single-row insert commits/s": ("insert into item (body) values ('{\"a\": 1}');", 32, 1),
        "rows/s, a hundred a statement": ("insert into item (body) select jsonb_build_object('a', n) from generate_series(1, 100) n;", 8, 100),
    }
    measured = {}
    for name, (sql, clients, rows) in scripts.items():
        command = [options.pgbench, "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", "5", "-f", "/dev/stdin", f"{options.server}/limits"]
        output = subprocess.run(command, input=sql, check=True, capture_output=True, text=True).stdout
        tps = next(float(line.split()[2]) for line in output.splitlines() if line.startswith("tps"))
        measured[name] = tps * rows
    return measured


def measure(contender: Contender, what: str, options) -> dict:
    fresh(options.server, contender.name)
    contender.prepare()
    done = subprocess.run(contender.commands[what], capture_output=True, text=True, timeout=300, env=os.environ | {"PERDURE_ROOT": str(HERE.parent)})
    if done.returncode != 0:
        sys.exit(f"{contender.title}, {what}: exit status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def median(figures: list[float]) -> float:
    return statistics.median(figures)


def chart(rows: list[tuple[str, float, str]], title: str) -> str:
    """Horizontal bars, as SVG that follows the reader's colour scheme."""
    from html import escape

    width, bar, left = 760, 26, 250
    height = 48 + len(rows) * (bar + 14)
    largest = max(value for _, value, _ in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="14">',
        "<style>text{fill:#1f2328}rect{fill:#8c959f}rect.own{fill:#0a7d55}@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#6e7681}rect.own{fill:#3fb68b}}</style>",
        f'<text x="0" y="20" font-weight="600">{escape(title)}</text>',
    ]
    for number, (name, value, label) in enumerate(rows):
        y = 40 + number * (bar + 14)
        length = max(2, (width - left - 130) * value / largest)
        own = ' class="own"' if name.startswith("Perdure") else ""
        parts += [
            f'<text x="{left - 10}" y="{y + 18}" text-anchor="end">{escape(name)}</text>',
            f'<rect{own} x="{left}" y="{y}" width="{length:.1f}" height="{bar}" rx="3"/>',
            f'<text x="{left + length + 8:.1f}" y="{y + 18}">{escape(label)}</text>',
        ]
    return "\n".join(parts + ["</svg>\n"])


def machine(options) -> list[str]:
    with psycopg.connect(f"{options.server}/postgres") as connection:
        version = connection.execute("select version()").fetchone()[0].split(" (")[0]
    processor = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    packages = subprocess.run([options.python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    peers = ", ".join(line for line in packages.splitlines() if line.split("==")[0] in ("absurd-sdk", "dbos"))
    return [f"{os.cpu_count()} cores ({processor}), {platform.system()} {platform.release()}", f"{version}; {options.settings}; fsync and synchronous_commit on", peers]


def write(figures: dict, limit: dict, options) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "figures.json").write_text(json.dumps({"figures": figures, "limits": limit, "machine": machine(options)}, indent=1) + "\n")
    by_title = {contender.name: contender.title for contender in contenders(options)}
    lines = ["# Results", "", "The workflow has four trivial activities, one after the other; server and worker share the machine. Medians of "
             f"{options.rounds} round{'s' if options.rounds != 1 else ''}, the contenders in turn; the ratio is the median of the rounds' own ratios.", "",
             "| | workflows/s | Perdure is | start to result, p50 | p99 |", "| --- | ---: | ---: | ---: | ---: |"]
    bars = []
    for name, measured in figures.items():
        for what, values in measured.items():
            if what == "latency":
                continue
            rates = [value["workflows_per_second"] for value in values]
            ratio = ""
            if name != "perdure" and "perdure" in figures:
                own = [value["workflows_per_second"] for value in figures["perdure"]["throughput"]]
                ratio = f"{median([a / b for a, b in zip(own, rates)]):.1f} times as fast"
            label = by_title[name] + ("" if what == "throughput" else f", {what}")
            latency = measured.get("latency", []) if what == "throughput" else []
            p50, p99 = ([f"{median([value[key] for value in latency]):.1f} ms" for key in ("p50_ms", "p99_ms")] if latency else ("", ""))
            lines.append(f"| {label} | {median(rates):,.0f} | {ratio} | {p50} | {p99} |")
            bars.append((label, median(rates), f"{median(rates):,.0f} /s"))
    extras = [value for value in figures.get("perdure", {}).get("throughput", []) if "wal_bytes_per_workflow" in value]
    if extras:
        lines += ["", "One of Perdure's workflows under that load takes "
                  f"{median([value['wal_bytes_per_workflow'] for value in extras]) / 1000:.1f} kB of WAL, "
                  f"{median([value['transactions_per_workflow'] for value in extras]):.2f} transactions and "
                  f"{median([value['server_cpu_us_per_workflow'] for value in extras]):.0f} µs of the server's CPU."]
    lines += ["", "PostgreSQL itself, by pgbench: " + "; ".join(f"{value:,.0f} {name}" for name, value in limit.items()) + "."] if limit else []
    lines += ["", "Machine and settings:", ""] + [f"- {line}" for line in machine(options)] + [f"- {time.strftime('%Y-%m-%d', time.gmtime())}", ""]
    (RESULTS / "README.md").write_text("\n".join(lines))
    if bars:
        (RESULTS / "throughput.svg").write_text(chart(bars, "Four-activity workflows a second"))
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("server", "perdure", "python", "absurdctl", "pgbench", "settings"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="perdure,absurd,dbos", help="contenders, separated by commas")
    options = parser.parse_args()
    chosen = [contender for contender in contenders(options) if contender.name in options.only.split(",")]
    if not chosen or options.rounds < 1:
        sys.exit("Benchmarks/run: --only takes perdure, absurd and dbos; --rounds a number above zero")
    total = options.rounds * sum(len(contender.commands) for contender in chosen)
    figures: dict = {contender.name: {what: [] for what in contender.commands} for contender in chosen}
    print(f"{total} measurements, about {total * 14 // 60 + 1} minutes", flush=True)
    limit = limits(options)
    number = 0
    for _ in range(options.rounds):
        # In turn within a round, one kind of measurement after the other.
        for what in dict.fromkeys(what for contender in chosen for what in contender.commands):
            for contender in chosen:
                if what not in contender.commands:
                    continue
                number += 1
                value = measure(contender, what, options)
                figures[contender.name][what].append(value)
                print(f"[{number}/{total}] {contender.title}, {what}: " + ", ".join(f"{key} {number_:,.2f}" for key, number_ in value.items() if isinstance(number_, (int, float))), flush=True)
    write(figures, limit, options)


if __name__ == "__main__":
    main()
