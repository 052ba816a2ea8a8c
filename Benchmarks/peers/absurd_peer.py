"""The benchmark's workflow on absurd: four trivial steps, one after the other.

    absurd_peer.py backlog DATABASE_URL --workflows 2000    a worker process works off a backlog
    absurd_peer.py latency DATABASE_URL --workflows 200     a client starts one at a time and waits for its result

Prints one JSON object. The database must have been initialised with `absurdctl init`.
"""

import multiprocessing
import time

import psycopg
from absurd_sdk import Absurd
from common import arguments, latencies, report

QUEUE = "bench"
STEPS = 4


def worker(url: str, threads: int, poll_interval: float) -> None:
    app = Absurd(url, queue_name=QUEUE)

    @app.register_task("four_steps")
    def four_steps(params, context):
        value = params["value"]
        for step in range(STEPS):
            value = context.step(f"step-{step}", lambda value=value: value + 1)
        return value

    app.start_worker(concurrency=threads, batch_size=max(threads, 10), poll_interval=poll_interval)


def start_workers(url: str, processes: int, poll_interval: float):
    started = [multiprocessing.Process(target=worker, args=(url, 1, poll_interval), daemon=True)
               for _ in range(processes)]
    for process in started:
        process.start()
    return started


def backlog(url: str, workflows: int, processes: int) -> dict:
    app = Absurd(url, queue_name=QUEUE)
    app.create_queue()
    with psycopg.connect(url) as connection:
        connection.execute(
            "select absurd.spawn_task(%s, 'four_steps', jsonb_build_object('value', n)) from generate_series(1, %s) n",
            (QUEUE, workflows))
    with psycopg.connect(url, autocommit=True) as watch:
        count = "select count(*) from absurd.t_bench where state = 'completed'"
        before = watch.execute(count).fetchone()[0]
        start = time.monotonic()
        started = start_workers(url, processes, 0.05)
        while (done := watch.execute(count).fetchone()[0] - before) < workflows:
            time.sleep(0.02)
        seconds = time.monotonic() - start
        steps = watch.execute("select count(*) from absurd.c_bench").fetchone()[0]
    for process in started:
        process.terminate()
    assert done == workflows and steps >= workflows * STEPS, (done, steps)
    return {"workflows_per_second": workflows / seconds}


def latency(url: str, workflows: int) -> dict:
    app = Absurd(url, queue_name=QUEUE)
    app.create_queue()
    started = start_workers(url, 1, 0.001)
    times = []
    with psycopg.connect(url, autocommit=True) as watch:
        for number in range(workflows):
            start = time.monotonic()
            task = app.spawn("four_steps", {"value": number}, queue=QUEUE)
            while True:
                row = watch.execute(
                    "select state, completed_payload from absurd.t_bench where task_id = %s",
                    (task["task_id"],)).fetchone()
                if row[0] == "completed":
                    break
                time.sleep(0.0002)
            times.append(time.monotonic() - start)
            assert row[1] == number + STEPS
    for process in started:
        process.terminate()
    return latencies(times)


if __name__ == "__main__":
    options = arguments()
    report(backlog(options.url, options.workflows, options.processes) if options.mode == "backlog"
           else latency(options.url, options.workflows))
