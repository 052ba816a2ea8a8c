"""The benchmark's workflow on DBOS Transact: four trivial steps, one after the other.

    dbos_peer.py backlog DATABASE_URL --workflows 1000    one process works off a queue
    dbos_peer.py latency DATABASE_URL --workflows 200     starts one at a time and waits for its result

Prints one JSON object.
"""

import time

from common import arguments, latencies, report
from dbos import DBOS, DBOSConfig

STEPS = 4


@DBOS.step()
def add_one(value: int) -> int:
    return value + 1


@DBOS.workflow()
def four_steps(value: int) -> int:
    for _ in range(STEPS):
        value = add_one(value)
    return value


def backlog(workflows: int) -> dict:
    # Started directly, which is faster than through a queue: that is one more update and a poll for each.
    start = time.monotonic()
    handles = [DBOS.start_workflow(four_steps, number) for number in range(workflows)]
    results = [handle.get_result() for handle in handles]
    seconds = time.monotonic() - start
    assert results == [number + STEPS for number in range(workflows)]
    return {"workflows_per_second": workflows / seconds}


def latency(workflows: int) -> dict:
    times = []
    for number in range(workflows):
        start = time.monotonic()
        assert DBOS.start_workflow(four_steps, number).get_result() == number + STEPS
        times.append(time.monotonic() - start)
    return latencies(times)


if __name__ == "__main__":
    options = arguments()
    config: DBOSConfig = {
        "name": "bench", "system_database_url": options.url.replace("postgresql://", "postgresql+psycopg://"),
        "log_level": "ERROR", "sys_db_pool_size": 20,
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        report(backlog(options.workflows) if options.mode == "backlog" else latency(options.workflows))
    finally:
        DBOS.destroy()
