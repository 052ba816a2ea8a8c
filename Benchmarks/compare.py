"""Two versions of Perdure in turn. Called by Benchmarks/compare, which says what it does."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from chaos import Problem, Server

# How a figure is measured, what counts of it, and whether more is better.
MEASURES = {
    "throughput": (["backlog"], "workflows_per_second", True),
    "slow-path": (["backlog", "--slow-path"], "workflows_per_second", True),
    "latency": (["latency"], "p50_ms", False),
}


class Version:
    def __init__(self, name: str, given: str):
        path = pathlib.Path(given).resolve()
        self.name = name
        self.program = path / ".build/release/perdure" if path.is_dir() else path
        if not os.access(self.program, os.X_OK):
            sys.exit(
                f"Benchmarks/compare: there is no program {self.program}: swift build -c release --product perdure")
        root = path if path.is_dir() else next(
            (parent for parent in path.parents if (parent / "sql").is_dir()), path.parent)
        self.environment = os.environ | {"PERDURE_ROOT": str(root)}
        self.root = root

    def run(self, *arguments: str) -> str:
        done = subprocess.run([str(self.program), *arguments], env=self.environment, cwd=self.root, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Problem(
                f"{self.name}: perdure {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    def measure(self, server: Server, what: str, workflows: int) -> float:
        database = f"compare_{self.name}"
        server.sql("postgres",
                   f'drop database if exists {database} with (force); create database {database}; checkpoint;')
        self.run("migrate", "--database-url", server.url(database))
        command, figure, _ = MEASURES[what]
        size = {"throughput": workflows, "slow-path": workflows // 3, "latency": max(50, workflows // 20)}[what]
        shown = self.run("bench", command[0], "--database-url", server.url(database), *command[1:],
                         "--workflows", str(size), "--output", "json")
        return json.loads(shown.strip().splitlines()[-1])[figure]


def main() -> int:
    parser = argparse.ArgumentParser(prog="Benchmarks/compare")
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--pg-bin", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workflows", type=int, default=10_000)
    parser.add_argument("--only", default="throughput,slow-path,latency")
    options = parser.parse_args()
    versions = [Version("old", options.old), Version("new", options.new)]
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(MEASURES):
        sys.exit(f"Benchmarks/compare: there is no measure {sorted(unknown)[0]}; there are {', '.join(MEASURES)}")
    for how in (signal.SIGTERM, signal.SIGINT):
        signal.signal(how, lambda *_: sys.exit(130))
    work = pathlib.Path(tempfile.mkdtemp(prefix="perdure-compare-"))
    work.chmod(0o755)
    server = None
    figures: dict[str, dict[str, list[float]]] = {what: {"old": [], "new": []} for what in wanted}
    try:
        server = Server(options.pg_bin, work, shared_buffers="1GB", max_wal_size="8GB", checkpoint_timeout="15min",
                        wal_compression="lz4")
        for number in range(options.rounds):
            for what in wanted:
                # Who comes first, changes.
                for version in versions if number % 2 == 0 else versions[::-1]:
                    figures[what][version.name].append(version.measure(server, what, options.workflows))
                old, new = figures[what]["old"][-1], figures[what]["new"][-1]
                print(f"[{number + 1}/{options.rounds}] {what}: "
                      f"old {old:,.1f}, new {new:,.1f}, {100 * new / old:.1f} %", flush=True)
    except Problem as problem:
        sys.exit(f"Benchmarks/compare: {problem}")
    finally:
        if server:
            server.stop_at_once()
        shutil.rmtree(work, ignore_errors=True)
    print("| measure | old, median | new, median | new of old, median of the rounds |\n| --- | ---: | ---: | ---: |")
    is_slower = False
    for what in wanted:
        ratio = statistics.median(new / old for old, new in zip(figures[what]["old"], figures[what]["new"]))
        _, figure, more_is_better = MEASURES[what]
        is_slower = is_slower or (more_is_better and ratio < 0.95)
        print(f"| {what}, {figure.replace('_', ' ')} | {statistics.median(figures[what]['old']):,.1f} | "
              f"{statistics.median(figures[what]['new']):,.1f} | {100 * ratio:.1f} % |")
    return 1 if is_slower else 0


if __name__ == "__main__":
    sys.exit(main())
