"""What the peers' programs share: their command line and how they report."""

import argparse
import json


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["backlog", "latency"])
    parser.add_argument("url")
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    return parser.parse_args()


def latencies(times: list[float]) -> dict:
    """The first tenth warms up connections and plans; it does not count."""
    counted = sorted(times[len(times) // 10:])
    return {"p50_ms": 1000 * counted[len(counted) // 2], "p99_ms": 1000 * counted[int(len(counted) * 0.99)]}


def report(values: dict) -> None:
    print(json.dumps(values), flush=True)
