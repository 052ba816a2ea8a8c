"""Runs the load of load.py against each server in turn, and writes what it measured. Benchmarks/frontend starts it."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
LOAD = [sys.executable, str(HERE / "load.py")]
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
NAMES = {
    "memory": "Temporal's development server, in memory", "file": "Temporal's development server, with --db-filename",
    "perdure": "Perdure, durable commits",
}


class Processes:
    """Process ids of a server: one process, or a postmaster with all that it has started."""

    def __init__(self, *roots: int):
        self.roots = roots

    def all(self) -> list[int]:
        parents: dict[int, list[int]] = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    parents.setdefault(int(fields[1]), []).append(int(entry.name))
        found = list(self.roots)
        for pid in found:
            found += parents.get(pid, [])
        return found

    def processor(self) -> float:
        """Seconds, with those of children that have ended."""
        total = 0
        for pid in self.all():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += sum(int(field) for field in fields[11:15])
        return total / TICK

    def memory(self) -> float:
        """MiB that are theirs alone, or their share of what they share."""
        total = 0
        for pid in self.all():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total / 1024


class Server:
    def __init__(self, kind: str, arguments):
        self.kind = kind
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
        self.port = next(port for port in random.sample(range(20000, 32000), 100) if self.is_free(port))
        self.address = f"127.0.0.1:{self.port}"
        environment = dict(os.environ)
        if kind == "perdure":
            command = [arguments.frontend]
            environment |= {"DATABASE_URL": arguments.database, "PERDURE_FRONTEND_PORT": str(self.port),
                            "LOG_LEVEL": "error"}
        else:
            command = [
                arguments.temporal, "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port), "--headless",
                "--log-level", "error",
            ]
            if kind == "file":
                file = pathlib.Path(arguments.work) / f"temporal-{self.port}.db"
                command += ["--db-filename", str(file)]
        self.log = open(pathlib.Path(arguments.work) / f"{kind}-{self.port}.log", "wb")
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        self.parts = {"server": Processes(self.process.pid)}
        if kind == "perdure":
            self.parts = {"frontend": Processes(self.process.pid), "PostgreSQL": Processes(int(arguments.postmaster))}

    @staticmethod
    def is_free(port: int) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", port)) != 0

    def __enter__(self):
        for _ in range(600):
            if not self.is_free(self.port):
                time.sleep(1)
                return self
            time.sleep(0.1)
        sys.exit(f"nothing listens at {self.address}: {self.log.name}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def processor(self) -> dict[str, float]:
        return {name: part.processor() for name, part in self.parts.items()}

    def memory(self) -> dict[str, float]:
        return {name: part.memory() for name, part in self.parts.items()}


@contextlib.contextmanager
def running(*arguments: str):
    process = subprocess.Popen([*LOAD, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        process.said = process.stdout.readline().strip()
        if not process.said:
            sys.exit(f"load.py {' '.join(arguments)} ended")
        yield process
    finally:
        process.terminate()
        process.wait()


def clients(count: int, address: str, seconds: float, outstanding: int) -> list[dict]:
    processes = [
        subprocess.Popen([*LOAD, "client", address, str(seconds), str(outstanding // count)],
                         stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]


def measure(server: Server, seconds: float, outstanding: int, count: int = 1) -> dict:
    """Workflows for some seconds, so many at a time."""
    before = server.processor()
    results = clients(count, server.address, seconds, outstanding)
    after = server.processor()
    latencies = sorted(latency for result in results for latency in result["latencies"])
    done = len(latencies)
    return {
        "workflows/s": done / max(result["seconds"] for result in results),
        "p50": statistics.median(latencies) * 1000, "p99": latencies[int(done * 0.99)] * 1000,
        "processor": {name: (after[name] - before[name]) / done * 1000 for name in after},
        "client": sum(result["processor"] for result in results) / done * 1000, "count": done,
    }


def one_round(kind: str, arguments) -> dict:
    with Server(kind, arguments) as server, running("worker", server.address) as worker:
        clients(1, server.address, arguments.seconds / 5, 20)  # to warm up
        idle = measure(server, arguments.seconds, 1)
        before = Processes(worker.pid).processor()
        busy = measure(server, arguments.seconds, arguments.outstanding, arguments.clients)
        busy["worker"] = (Processes(worker.pid).processor() - before) / busy["count"] * 1000
    print(f"  {kind}: {busy['workflows/s']:.1f} workflows/s, server {sum(busy['processor'].values()):.1f} ms; "
          f"alone p50 {idle['p50']:.1f} ms", flush=True)
    return {"idle": idle, "busy": busy}


def parked(kind: str, arguments) -> dict:
    with Server(kind, arguments) as server:
        clear = server.memory()
        with running("park", server.address, str(arguments.polls)) as polls:
            time.sleep(5)
            memory = server.memory()
            before, began = server.processor(), time.monotonic()
            time.sleep(arguments.seconds)
            load = {name: (value - before[name]) / (time.monotonic() - began) * 100
                    for name, value in server.processor().items()}
    return {"polls": int(polls.said), "memory": {name: memory[name] - clear[name] for name in memory}, "total": memory,
            "load": load}


def median(rounds: list[dict], *path: str) -> float:
    def at(value):
        for key in path:
            value = value[key]
        return sum(value.values()) if isinstance(value, dict) else value

    return statistics.median(at(value) for value in rounds)


def report(measured: dict[str, list[dict]], polls: dict[str, dict], arguments) -> str:
    processor = pathlib.Path("/proc/cpuinfo").read_text()
    name = next((line.split(":")[1].strip() for line in processor.splitlines() if line.startswith("model name")),
                "unknown")
    versions = subprocess.run([arguments.temporal, "--version"], capture_output=True, text=True).stdout.strip()
    import temporalio
    lines = [
        "# Temporal's Python SDK against Temporal's server and against Perdure", "",
        f"Written by `Benchmarks/frontend` on {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC: "
        f"{os.cpu_count()} cores ({name}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, temporalio {temporalio.__version__}, {versions}. "
        "PostgreSQL with fsync and synchronous_commit on. Servers, worker and clients share the cores.", "",
        "A workflow has four trivial activities, one after the other; "
        "one worker process with the SDK's default settings. Medians of "
        f"{arguments.rounds} rounds of {arguments.seconds:.0f} s each, in turn.", "",
        f"| {arguments.outstanding} workflows at a time | workflows/s | p50, ms | p99, ms | "
        "server's processor, ms a workflow | worker's | client's |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind, rounds in measured.items():
        parts = rounds[0]["busy"]["processor"]
        detail = " + ".join(f"{median(rounds, 'busy', 'processor', part):.2f}" for part in parts)
        if len(parts) > 1:
            detail = f"{median(rounds, 'busy', 'processor'):.2f} ({detail})"
        lines.append(f"| {NAMES[kind]} | {median(rounds, 'busy', 'workflows/s'):.1f} | "
                     f"{median(rounds, 'busy', 'p50'):.0f} | "
                     f"{median(rounds, 'busy', 'p99'):.0f} | {detail} | {median(rounds, 'busy', 'worker'):.1f} | "
                     f"{median(rounds, 'busy', 'client'):.1f} |")
    lines += ["", "Perdure's processor time is that of the frontend and of PostgreSQL, in brackets.", "",
              "| one workflow at a time | p50, ms | p99, ms | server's processor, ms a workflow |",
              "| --- | ---: | ---: | ---: |"]
    for kind, rounds in measured.items():
        lines.append(f"| {NAMES[kind]} | {median(rounds, 'idle', 'p50'):.1f} | {median(rounds, 'idle', 'p99'):.1f} | "
                     f"{median(rounds, 'idle', 'processor'):.2f} |")
    if "memory" in measured and "perdure" in measured:
        oracle, ours = measured["memory"], measured["perdure"]
        lines += ["", "Perdure against the server in memory: "
                  f"{median(ours, 'busy', 'workflows/s') / median(oracle, 'busy', 'workflows/s'):.2f} "
                  "times its workflows/s, "
                  f"1/{median(oracle, 'busy', 'processor') / median(ours, 'busy', 'processor'):.1f} "
                  "of its processor time, "
                  f"{median(ours, 'idle', 'p50') / median(oracle, 'idle', 'p50'):.2f} of its p50."]
        sdk = median(ours, "busy", "worker") + median(ours, "busy", "client")
        lines += ["", f"The SDK itself, worker and client, takes {sdk:.1f} ms of processor time a workflow: "
                  "with a server that takes none, "
                  f"these {os.cpu_count()} cores would do {os.cpu_count() * 1000 / sdk:.0f} workflows/s."]
    if polls:
        lines += ["", f"| of {arguments.polls} polls | parked | memory for them, MiB | kB a poll | "
                  "idle load, % of one core |",
                  "| --- | ---: | ---: | ---: | ---: |"]
        for kind, found in polls.items():
            for part in found["load"]:
                more = found["memory"][part]
                lines.append(f"| {NAMES[kind]}: {part} | {found['polls']} | {more:.0f} | "
                             f"{more * 1024 / max(1, found['polls']):.1f} | {found['load'][part]:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="Benchmarks/frontend")
    for name in ("database", "frontend", "temporal", "postmaster", "work"):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement")
    parser.add_argument("--outstanding", type=int, default=60, help="workflows at a time")
    parser.add_argument("--clients", type=int, default=1, help="client processes")
    parser.add_argument("--polls", type=int, default=2000, help="polls that park; 0 for none")
    parser.add_argument("--only", default="memory,file,perdure")
    parser.add_argument("--results", default=str(HERE.parent / "results"), help="where to write")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, 4
    kinds = arguments.only.split(",")
    measured: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for number in range(arguments.rounds):
        print(f"Round {number + 1} of {arguments.rounds}", flush=True)
        for kind in kinds:
            measured[kind].append(one_round(kind, arguments))
    polls = {}
    if arguments.polls:
        print(f"{arguments.polls} parked polls", flush=True)
        polls = {kind: parked(kind, arguments) for kind in kinds if kind != "file"}
    text = report(measured, polls, arguments)
    print(text)
    if not arguments.quick:
        pathlib.Path(arguments.results, "frontend.md").write_text(text)


if __name__ == "__main__":
    main()
