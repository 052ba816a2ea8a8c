"""What the programs here share: their arguments, fresh databases, commands that print JSON, and what the machine is."""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import psycopg

HERE = pathlib.Path(__file__).parent
ENVIRONMENT = os.environ | {"PERDURE_ROOT": str(HERE.parent)}


def arguments(program: str, smaller: str, *given: str) -> argparse.ArgumentParser:
    """The arguments that every program takes. Those that are `given` come from the script that starts the server."""
    parser = argparse.ArgumentParser(prog=f"Benchmarks/{program}")
    for name in ("server", "perdure", "python", "settings", *given):
        parser.add_argument(f"--{name}", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help=smaller)
    parser.add_argument("--results", default=str(HERE / "results"), help="where to write")
    return parser


def fresh(server: str, name: str) -> str:
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'drop database if exists "{name}" with (force)')
        connection.execute(f'create database "{name}"')
        connection.execute("checkpoint")
    return f"{server}/{name}"


def quietly(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)


def measured(title: str, command: list[str], shows_progress: bool = False) -> dict:
    """The object that a command prints last."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None if shows_progress else subprocess.PIPE,
                          text=True, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{title}: exit status {done.returncode}\n{done.stdout[-2000:]}\n{(done.stderr or '')[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def machine(server: str, settings: str, python: str) -> list[str]:
    with psycopg.connect(f"{server}/postgres") as connection:
        version = connection.execute("select version()").fetchone()[0].split(" (")[0]
        durable = ", ".join(f"{name} {connection.execute('select current_setting(%s)', (name,)).fetchone()[0]}"
                            for name in ("fsync", "synchronous_commit", "full_page_writes"))
    information = pathlib.Path("/proc/cpuinfo")
    names = ([line.split(":")[1].strip() for line in information.read_text().splitlines()
              if line.startswith("model name")] if information.exists() else [])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    peers = ", ".join(line.replace("==", " ") for line in packages.splitlines()
                      if line.split("==")[0] in ("absurd-sdk", "dbos"))
    return [f"{os.cpu_count()} cores ({names[0] if names else 'unknown'}), {memory:.0f} GiB, "
            f"{platform.system()} {platform.release()}; server, workers and clients share them",
            f"{version}; {durable}, {settings.replace(' ', ', ')}", f"{peers}, Python {platform.python_version()}",
            f"measured on {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC"]
