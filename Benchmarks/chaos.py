"""Transfers while everything fails, with and without bad runs beside them. Called by Benchmarks/chaos, which says what
it does."""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from poisons import COMPLETED, ENDED, FAILED, GONE, POISONS, REFUSED, RETRIES, TASK_FAILS, WAITS, Poison

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
ACCOUNTS = 50
OPENING = 100_000_000
LEASE = 4.0
# The database is away for a moment, and for longer than a worker's lease, in turn.
OUTAGES = (1.0, 1.5 * LEASE)


class Problem(Exception):
    """What the run found, in one line."""


class Refusal(Exception):
    """An error that the database raised by itself."""

    def __init__(self, code: str, message: str, has_hint: bool):
        super().__init__(f"{code} {message}")
        self.code, self.has_hint = code, has_hint


class SessionEnded(Exception):
    """What psql said at its end."""


class Session:
    """A psql that goes on: to start one and its backend for each statement took as much processor time as the
    workers."""

    MARK = "--- the end of a script ---"

    def __init__(self, command: list[str], folder: pathlib.Path):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
        self.script, self.errors = self.folder / "script", self.folder / "errors"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env=os.environ | {"PGCONNECT_TIMEOUT": "3"})
        self.output = self.process.stdout.fileno()
        self.read = 0

    def run(self, script: str, variables: dict[str, str]) -> tuple[str, str]:
        """What the script prints, and its errors."""
        set_ = "".join(f"\\set {name} '" + value.replace("'", "''") + "'\n" for name, value in variables.items())
        # From a file: psql must not wait for us to read while we wait for it to read.
        self.script.write_text(f"{set_}{script}\n;\n")
        try:
            # The mark comes from here and not from the file, which psql reads until it comes.
            self.process.stdin.write(f"\\i {self.script}\n\\echo {self.MARK}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            raise SessionEnded(self.told()) from None
        output, end = b"", time.monotonic() + 120
        while not output.endswith(f"{self.MARK}\n".encode()):
            if not select.select([self.output], [], [], max(0, end - time.monotonic()))[0]:
                self.process.kill()
                raise Problem(f"a statement took more than two minutes: {script[:200]}")
            part = os.read(self.output, 1 << 20)
            if not part:
                raise SessionEnded(self.told())
            output += part
        return output.decode()[:-len(self.MARK) - 1].rstrip("\n"), self.told()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        shutil.rmtree(self.folder)

    def told(self) -> str:
        """What psql has written to its error output since it was asked last."""
        with self.errors.open("rb") as errors:
            errors.seek(self.read)
            new = errors.read()
        self.read += len(new)
        return new.decode(errors="replace")


class Server:
    """A PostgreSQL server of its own, which can be stopped at once and started again."""

    def __init__(self, pg_bin: str, work: pathlib.Path, **settings: str):
        self.settings = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "200"} | settings
        self.pg_bin, self.work, self.data, self.port = pathlib.Path(pg_bin), work, work / "data", free_port()
        self.sessions = threading.local()
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self.user:
            os.chown(work, self.user.pw_uid, self.user.pw_gid)
        self.command("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-instructions")
        self.start()

    def command(self, program: str, *arguments: str) -> None:
        done = subprocess.run([str(self.pg_bin / program), *arguments], cwd=self.work, stdout=subprocess.DEVNULL,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120,
                              **({"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
                                 if self.user else {}))
        if done.returncode != 0:
            raise Problem(
                f"{program} {' '.join(arguments)}: exit status {done.returncode}; see {self.work}/postgres.log")

    def start(self) -> None:
        settings = self.settings | {"port": str(self.port), "listen_addresses": "127.0.0.1",
                                    "unix_socket_directories": "''"}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.command("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.work / "postgres.log"),
                     "-o", options, "start")

    def stop_at_once(self) -> None:
        self.command("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def sql(self, database: str, script: str, patience: float = 60, **variables: str) -> str:
        """What psql prints; tried again while the database is away.

        Statements stand alone: an error undoes no other statement. The first error counts.
        """
        end = time.monotonic() + patience
        sessions = self.sessions.__dict__
        while True:
            try:
                if database not in sessions:
                    sessions[database] = Session(
                        [str(self.pg_bin / "psql"), "-XAtq", "-v", "VERBOSITY=verbose", self.url(database)], self.work)
                output, errors = sessions[database].run(script, variables)
                found = [line for line in errors.splitlines() if "ERROR:  " in line or "FATAL:  " in line]
                if not found:
                    return output
                code, _, message = found[0].split(":  ", 1)[1].partition(": ")
                if code[:2] not in ("08", "57"):
                    raise Refusal(code, message[:200], "HINT:  " in errors)
            except SessionEnded as ended:
                sessions.pop(database).close()
                errors = str(ended)
            if time.monotonic() > end:
                raise Problem(f"the database does not answer: {errors.strip()[:300]}")
            time.sleep(0.2)

    def rows(self, database: str, query: str) -> list[dict]:
        return [json.loads(line) for line in self.sql(database, f"select to_json(r) from ({query}) r;").splitlines()]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """A process of ours, which writes its log to a file."""

    def __init__(self, name: str, path: pathlib.Path, log: pathlib.Path, environment: dict):
        self.name = name
        with log.open("ab") as file:
            self.process = subprocess.Popen([str(path)], stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                                            env=os.environ | environment, cwd=ROOT)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()




class Round:
    """So many transfers, with what fails meanwhile, in a database of its own."""

    def __init__(self, name: str, server: Server, options: argparse.Namespace, poisons: list[Poison],
                 work: pathlib.Path):
        self.name, self.server, self.options, self.poisons, self.work = name, server, options, poisons, work
        self.database = f"chaos_{name}"
        self.random = random.Random(20_240_229)
        self.workers: list[Program] = []
        self.programs: list[Program] = []
        self.kills = self.outages = 0
        self.problems: list[str] = []
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        # What was given: the kind by the workflow's id, what was refused, and what it looked like before it was taken
        # away.
        self.given: dict[str, Poison] = {}
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.p50 = self.p99 = self.most = 0.0
        self.health: list[dict] = []

    # What is prepared

    def prepare(self) -> None:
        self.server.sql("postgres", f'create database "{self.database}"')
        url = self.server.url(self.database)
        environment = {"DATABASE_URL": url, "PERDURE_ROOT": str(ROOT), "LOG_LEVEL": "info"}
        migrated = subprocess.run([str(self.options.programs / "perdure"), "migrate"], env=os.environ | environment,
                                  cwd=ROOT, capture_output=True, text=True)
        if migrated.returncode != 0:
            raise Problem(f"perdure migrate: {migrated.stderr or migrated.stdout}")
        # The example's own, as its start applies it.
        installed = subprocess.run([str(self.server.pg_bin / "psql"), "-XqAt", url, "-f", "sql/install_bank.psql"],
                                   cwd=ROOT, capture_output=True, text=True)
        if installed.returncode != 0:
            raise Problem(f"sql/install_bank.psql: {installed.stderr}")
        self.server.sql(self.database, f"""
            select bank.open_account('chaos_' || n, {OPENING}) from generate_series(1, {ACCOUNTS}) n;
            select bank.open_account('chaos_closed'); select bank.close_account('chaos_closed');
            select bank.set_real_world_mode(true, hang_rate => 0.01, error_rate => 0.15, lost_answer_share => 0.5,
                hang_seconds => 2);""")
        port = free_port()
        self.environment = environment | {
            "ACCOUNT_API_PORT": str(port), "ACCOUNT_API_URL": f"http://127.0.0.1:{port}", "PERDURE_HOST": "127.0.0.1",
            "ACCOUNT_API_TIMEOUT_SECONDS": "5", "PERDURE_LEASE_SECONDS": f"{LEASE:g}"}
        self.programs.append(Program("account-api", self.options.programs / "account-api",
                                     self.work / f"{self.name}-account-api.log", self.environment))
        self.workers = [self.worker(number) for number in range(self.options.workers)]
        end = time.monotonic() + 30
        while int(self.server.sql(self.database, "select count(*) from perdure.workers")) < self.options.workers:
            if time.monotonic() > end:
                raise Problem("the workers did not register within 30 seconds")
            time.sleep(0.1)

    def worker(self, number: int) -> Program:
        return Program(f"worker-{number + 1}", self.options.programs / "chaos-worker",
                       self.work / f"{self.name}-worker-{number + 1}.log",
                       self.environment | {"PERDURE_WORKER_NAME": f"worker-{number + 1}"})

    # What happens

    def run(self) -> None:
        seconds = self.options.minutes * 60
        self.begin = time.monotonic()
        threads = [threading.Thread(target=self.guarded, args=(body,)) for body in (
            lambda: self.start_transfers(seconds), lambda: self.kill_workers(seconds),
            lambda: self.stop_server(seconds), *self.poisoners(seconds))]
        for thread in threads:
            thread.start()
        told = 0.0
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(timeout=0.2)
            if time.monotonic() - told > 20:
                told = time.monotonic()
                print(f"  {self.name}: {told - self.begin:.0f} of {seconds:.0f} s, {self.kills} kills, "
                      f"{self.outages} outages, {len(self.given)} bad runs", flush=True)

    def guarded(self, body) -> None:
        try:
            body()
        except Exception as error:  # What one of them found must not stop the others.
            self.problem(f"{type(error).__name__}: {error}")

    def problem(self, what: str) -> None:
        with self.lock:
            self.problems.append(what)

    def wait_until(self, seconds: float) -> None:
        time.sleep(max(0.0, self.begin + seconds - time.monotonic()))

    def start_transfers(self, seconds: float) -> None:
        count, done = self.options.transfers, 0
        chosen = random.Random(7)
        while done < count:
            due = min(count, int((time.monotonic() - self.begin) / seconds * count) + 1)
            if due > done:
                values = []
                for number in range(done, due):
                    source, target = chosen.sample(range(1, ACCOUNTS + 1), 2)
                    # Of each fifty one goes to a closed account: its money must come back.
                    target_name = "chaos_closed" if number % 50 == 49 else f"chaos_{target}"
                    values.append(
                        f"('innocent-{number}', 'chaos_{source}', '{target_name}', {chosen.randint(1, 5000) / 100})")
                # A start that is told twice, because its answer was lost, is one start.
                self.server.sql(self.database, f"""
                    select count(*) from (values {", ".join(values)}) v (id, source, target, amount)
                    cross join lateral perdure.start_workflow('TransferWorkflow', v.id, 'bank',
                        jsonb_build_object('from_account', v.source, 'to_account', v.target, 'amount', v.amount,
                        'retry_seconds', 0.2), options => jsonb_build_object('requestId', v.id));""", patience=120)
                done = due
            time.sleep(0.1)

    def kill_workers(self, seconds: float) -> None:
        number = 0
        while (number + 1) * self.options.kill_every < seconds:
            self.wait_until((number + 1) * self.options.kill_every)
            place = number % len(self.workers)
            self.workers[place].stop(signal.SIGKILL)
            self.workers[place] = self.worker(place)
            number += 1
            self.kills = number

    def stop_server(self, seconds: float) -> None:
        for number in range(self.options.outages):
            self.wait_until(seconds * (number + 1) / (self.options.outages + 1))
            self.server.stop_at_once()
            time.sleep(OUTAGES[number % len(OUTAGES)])
            self.server.start()
            self.outages = number + 1

    def poisoners(self, seconds: float) -> list:
        given = [(poison, number) for poison in self.poisons
                 for number in range(max(1, self.options.transfers // poison.every))]
        self.random.shuffle(given)
        # The first tenth of the time is the others' alone, and what comes in the last tenth must still show.
        times = [seconds * (0.1 + 0.7 * place / len(given)) for place in range(len(given))]
        lanes = 4
        return ([lambda lane=lane: self.give(list(zip(given, times))[lane::lanes]) for lane in range(lanes)]
                if given else [])

    def give(self, poisons: list) -> None:
        later: list[tuple[float, str, Poison]] = []

        def catch_up() -> None:
            now = time.monotonic()
            while later and later[0][0] <= now:
                _, name, poison = later.pop(0)
                self.submit(name, poison, poison.then)

        for (poison, number), when in poisons:
            while self.begin + when > time.monotonic():
                catch_up()
                time.sleep(0.05)
            name = f"bad {poison.name} {number}"
            with self.lock:
                self.given[name] = poison
            if self.submit(name, poison, poison.sql) and poison.then:
                later.append((time.monotonic() + 0.5, name, poison))
        while later:
            time.sleep(0.05)
            catch_up()

    def submit(self, name: str, poison: Poison, script: str) -> bool:
        try:
            self.server.sql(self.database, script, id=name)
            return True
        except Refusal as refusal:
            with self.lock:
                self.outcomes[name] = (REFUSED, str(refusal))
            if not (refusal.code.startswith("PD") and refusal.has_hint):
                self.problem(f"{poison.name}: refused without an error of the engine's own and a hint: {refusal}")
            return False

    # What came of it

    def settle(self) -> None:
        """Waits for the good ones; looks at the bad ones, then takes them away."""
        end = time.monotonic() + self.options.patience
        while (left := int(self.server.sql(self.database, """
                select count(*) from perdure.workflows
                where workflow_id like 'innocent-%' and status = 'Running'"""))) > 0:
            if time.monotonic() > end:
                ids = self.server.sql(self.database, """select string_agg(workflow_id, ' ') from (
                    select workflow_id from perdure.workflows
                    where workflow_id like 'innocent-%' and status = 'Running' order by start_time limit 5) w""")
                self.problem(
                    f"{left} innocent transfers are stuck, {self.options.patience:.0f} s after the load: {ids}")
                break
            time.sleep(0.5)
        # What a bad run is to show, it may show late: its task was held by a worker that was killed, and waits out its
        # retries.
        self.look_at_poisons()
        for name, poison in self.given.items():
            if poison.afterwards and self.outcomes[name][0] not in poison.outcomes:
                self.submit(name, poison, poison.afterwards)
        end = time.monotonic() + 60
        while self.look_at_poisons() and time.monotonic() < end:
            time.sleep(1)
        for name, poison in self.given.items():
            outcome, cause = self.outcomes.get(name, ("nothing", ""))
            if outcome not in poison.outcomes:
                self.problem(f"{poison.name}: {outcome} ({cause[:160]}), not {' or '.join(sorted(poison.outcomes))}")
            # A worker that was killed is a cause, too; what is tried again in a hundred years does not replace it.
            elif poison.says not in cause and "the lease of the worker" not in cause:
                self.problem(f"{poison.name}: its cause does not say “{poison.says}”: {cause[:200]}")
        self.server.sql(self.database, """
            select count(perdure.terminate_workflow(workflow_id, 'chaos', run_id, namespace)) from perdure.workflows
            where workflow_id like 'bad %' and status = 'Running';""", patience=120)

    def look_at_poisons(self) -> int:
        """Reads what the bad runs show; how many do not show what they are to show."""
        if not self.given:
            return 0
        seen = {row["workflow_id"]: row for row in self.server.rows(self.database, """
            select w.workflow_id, w.status::text,
                left(coalesce(w.failure, w.workflow_task_failure -> 'failure')::text, 4000) as failure,
                w.workflow_task_failure is not null as fails,
                (select left(a.last_failure_message, 1000) from perdure.pending_activities a
                    where a.run_id = w.run_id and a.last_failure_message is not null
                    limit 1) as retries
            from perdure.workflows w where w.workflow_id like 'bad %'""")}
        wrong = 0
        for name, poison in self.given.items():
            row = seen.get(name)
            if self.outcomes.get(name, ("", ""))[0] == REFUSED:
                continue
            if row is None:
                outcome = (GONE, "")
            elif row["status"] in (COMPLETED, FAILED):
                outcome = (row["status"], row["failure"] or "")
            elif row["status"] != "Running":
                outcome = (ENDED, row["failure"] or "")
            elif row["fails"]:
                outcome = (TASK_FAILS, row["failure"] or "")
            elif row["retries"]:
                outcome = (RETRIES, row["retries"])
            else:
                outcome = (WAITS, "")
            self.outcomes[name] = outcome
            wrong += outcome[0] not in poison.outcomes or poison.says not in outcome[1]
        return wrong

    def check(self) -> None:
        """Asserts what must hold, whatever has failed."""
        for row in self.server.rows(self.database, """
            with moved as (
                select e.run_id, count(*) filter (where e.kind = 'withdrawal') as withdrawals,
                    count(*) filter (where e.activity_id = 'deposit') as deposits,
                    count(*) filter (where e.activity_id = 'refund') as refunds,
                    count(*) - count(distinct e.activity_id) as doubled,
                    coalesce(sum(e.amount_cents) filter (where e.kind = 'withdrawal'), 0) as withdrawn,
                    coalesce(sum(e.amount_cents) filter (where e.kind = 'deposit'), 0) as deposited
                from bank.journal_entries e where e.outcome = 'posted' and e.workflow_id like 'innocent-%'
                group by e.run_id)
            select w.workflow_id, w.status::text, perdure.plain(w.input) ->> 'to_account' as target,
                perdure.plain(w.input) ->> 'amount' as amount, coalesce(m.withdrawals, 0) as withdrawals,
                coalesce(m.deposits, 0) as deposits, coalesce(m.refunds, 0) as refunds,
                coalesce(m.doubled, 0) as doubled, coalesce(m.withdrawn, 0) as withdrawn,
                coalesce(m.deposited, 0) as deposited
            from perdure.workflows w left join moved m on m.run_id = w.run_id::text
            where w.workflow_id like 'innocent-%' and w.status <> 'Running'"""):
            refused = row["target"] == "chaos_closed"
            expected = (("Failed", 0, 0, 0, 0), ("Failed", 1, 0, 1, 0)) if refused else (("Completed", 1, 1, 0, 0),)
            shown = (row["status"], row["withdrawals"], row["deposits"], row["refunds"], row["doubled"])
            cents = round(float(row["amount"]) * 100)
            if shown not in expected or row["withdrawn"] != row["deposited"] or row["withdrawn"] not in (0, cents):
                self.problem(f"{row['workflow_id']} to {row['target']} of {row['amount']}: "
                             f"{shown[0]} with {shown[1]} withdrawals, {shown[2]} deposits, "
                             f"{shown[3]} refunds ({row['withdrawn']} cents out, {row['deposited']} in)")
        known = int(self.server.sql(self.database,
                                    "select count(*) from perdure.workflows where workflow_id like 'innocent-%'"))
        if known != self.options.transfers:
            self.problem(f"{self.options.transfers} transfers were started, and {known} are known")
        for row in self.server.rows(self.database, """
                select wrong_entries, wrong_balances, conserved from bank.audit
                where not conserved or wrong_entries <> 0 or wrong_balances <> 0"""):
            self.problem(f"the ledger is out of balance: {row}")
        for schema in ("perdure", "bank"):
            if self.server.sql(
                    self.database, f"select to_regprocedure('{schema}.violations()') is null "
                    f"and to_regprocedure('{schema}.violations(smallint)') is null") == "t":
                continue
            # What was under way when the bad runs were taken away may take an upkeep to go.
            end = time.monotonic() + 30
            while ((violations := self.server.rows(self.database, f"select * from {schema}.violations()"))
                   and time.monotonic() < end):
                time.sleep(1)
            for violation in violations[:10]:
                self.problem(f"{schema}.violations(): {violation}")
        row = self.server.rows(self.database, """
            select coalesce(percentile_cont(0.5) within group (order by s), 0) as p50,
                coalesce(percentile_cont(0.99) within group (order by s), 0) as p99,
                coalesce(max(s), 0) as most
            from (select extract(epoch from close_time - start_time) as s from perdure.workflows
                where workflow_id like 'innocent-%' and close_time is not null) w""")[0]
        self.p50, self.p99, self.most = row["p50"], row["p99"], row["most"]

    def stop(self) -> None:
        for program in self.workers + self.programs:
            program.stop()


def report(rounds: list[Round], options: argparse.Namespace) -> list[str]:
    lines = ["| round | transfers | kills | outages | bad runs | p50 s | p99 s | longest s | problems |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    lines += [f"| {r.name} | {options.transfers:,} | {r.kills} | {r.outages} | {len(r.given):,} | {r.p50:.2f} | "
              f"{r.p99:.2f} | {r.most:.2f} | {len(r.problems)} |"
              for r in rounds]
    for r in rounds:
        if r.given:
            lines += ["", "| bad run | section | given | what became of them |", "| --- | ---: | ---: | --- |"]
            kinds = collections.defaultdict(collections.Counter)
            for name, poison in r.given.items():
                kinds[poison.name][r.outcomes.get(name, ("nothing", ""))[0]] += 1
            lines += [f"| {poison.name} | {poison.section} | {sum(kinds[poison.name].values())} | "
                      f"{', '.join(f'{outcome} {count}' for outcome, count in kinds[poison.name].most_common())} |"
                      for poison in POISONS if poison.name in kinds]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="Benchmarks/chaos")
    parser.add_argument("--pg-bin", help=argparse.SUPPRESS)
    parser.add_argument("--programs", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--transfers", type=int, help="good transfers a round")
    parser.add_argument("--minutes", type=float, help="how long each round's load lasts")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kill-every", type=float, default=5, help="seconds between two kills of a worker")
    parser.add_argument("--outages", type=int, help="how often PostgreSQL is stopped at once, in each round")
    parser.add_argument("--patience", type=float, help="seconds until what has not ended after the load is stuck")
    parser.add_argument("--poisons", help="kinds of bad runs, separated by semicolons")
    parser.add_argument("--only", choices=["plain", "poisoned"])
    parser.add_argument("--quick", action="store_true", help="a small form")
    parser.add_argument("--keep", type=pathlib.Path, help="where logs stay")
    parser.add_argument("--results", type=pathlib.Path, help="a file for the figures")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{poison.section}  {poison.name}" for poison in POISONS))
        return 0
    options.transfers = options.transfers or (150 if options.quick else 10_000)
    options.minutes = options.minutes or (0.3 if options.quick else 15)
    options.outages = options.outages if options.outages is not None else (2 if options.quick else 6)
    options.patience = options.patience or (120 if options.quick else 300)
    wanted = ([name.strip() for name in options.poisons.split(";")] if options.poisons
              else [poison.name for poison in POISONS])
    if unknown := set(wanted) - {poison.name for poison in POISONS}:
        print(f"Benchmarks/chaos: there is no bad run “{sorted(unknown)[0]}”; --list names them", file=sys.stderr)
        return 2
    poisons = [poison for poison in POISONS
               if poison.name in wanted and not (options.quick and poison.every >= 1000 and not options.poisons)]
    for how in (signal.SIGTERM, signal.SIGINT):
        signal.signal(how, lambda *_: sys.exit(130))
    work = pathlib.Path(tempfile.mkdtemp(prefix="perdure-chaos-"))
    work.chmod(0o755)
    rounds: list[Round] = []
    server = None
    try:
        server = Server(options.pg_bin, work)
        for name, kinds in (("plain", []), ("poisoned", poisons)):
            if options.only not in (None, name):
                continue
            print(f"{name}: {options.transfers:,} transfers in {options.minutes * 60:.0f} s, "
                  f"a worker of {options.workers} killed every {options.kill_every:g} s, "
                  f"PostgreSQL stopped {options.outages} times"
                  + (f", {len(kinds)} kinds of bad runs" if kinds else ""), flush=True)
            round_ = Round(name, server, options, kinds, work)
            rounds.append(round_)
            try:
                round_.prepare()
                round_.run()
                round_.settle()
                round_.check()
            except (Problem, Refusal) as problem:
                round_.problem(str(problem))
            finally:
                round_.stop()
        problems = [f"{r.name}: {problem}" for r in rounds for problem in r.problems]
        if len(rounds) == 2:
            plain, poisoned = rounds
            # In a small form the p99 is the one slowest transfer, which a kill in the wrong moment decides.
            limit = 2 * plain.p99 + (3 if options.quick else 0)
            if poisoned.p99 > limit:
                problems.append(f"beside bad runs the p99 is {poisoned.p99:.2f} s, and {plain.p99:.2f} s without them: "
                                "more than twice")
        lines = report(rounds, options)
        print("\n".join(lines))
        if options.results:
            options.results.write_text("\n".join([
                "# Chaos", "", *lines, "", *(f"- {problem}" for problem in problems or ["No problem was found."]), ""]))
        shown = collections.Counter(problems)
        for problem, count in list(shown.items())[:60]:
            print(f"PROBLEM: {problem}" + (f" ({count} times)" if count > 1 else ""))
        print(f"{0 if problems else 1} passed, {1 if problems else 0} failed")
        return 1 if problems else 0
    finally:
        for round_ in rounds:
            round_.stop()
        if server:
            try:
                server.stop_at_once()
            except (Problem, subprocess.TimeoutExpired):
                pass
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for log in work.glob("*.log"):
                shutil.copy(log, options.keep)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
