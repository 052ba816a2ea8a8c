"""Measures what Perdure promises of its speed, part by part, and sets the results beside the goals.

Called by Benchmarks/endurance, which starts the server. Every part begins in a fresh database.
"""

import json
import pathlib
import sys
import time

from measuring import arguments, fresh, machine, measured, quietly


class Part:
    """A part: its command, about how many minutes it takes, and its rows of the table: measure, goal, result, and
    whether it is met."""

    def __init__(self, minutes: float, command: list[str], rows):
        self.minutes, self.command, self.rows = minutes, command, rows


def medians(rows: list[dict]) -> list[dict]:
    """Of each number of processes, which come in turn several times, the row with the middle rate."""
    def middle(processes):
        mine = sorted((row for row in rows if row["processes"] == processes),
                      key=lambda row: row["workflows_per_second"])
        return mine[(len(mine) - 1) // 2]
    return [middle(processes) for processes in dict.fromkeys(row["processes"] for row in rows)]


def parts(options) -> dict[str, Part]:
    def size(full: int, quick: int) -> str:
        return str(quick if options.quick else full)

    seconds = 12 if options.quick else options.seconds
    peak = size(20, 4)
    steady = ["steady", "--seconds", str(seconds), "--peak-seconds", peak]
    minutes = seconds / 60 + (0.3 if options.quick else 1.2)

    def throughput(goal):
        return lambda r: [(f"{goal:,} workflows/s", f"{r['workflows_per_second']:,.0f} workflows/s, "
                           f"{r['activities_per_second']:,.0f} activities/s "
                           f"({costs(r)})", r["workflows_per_second"] >= goal)]

    def costs(r):
        return (f"{r['wal_bytes_per_workflow'] / 1000:.1f} kB of WAL, "
                f"{r['transactions_per_workflow']:.2f} transactions, "
                f"{r['server_cpu_us_per_workflow']:.0f} µs of server CPU a workflow")

    def cheap(r):
        return [("under 10 kB WAL, 1.0 transactions, 500 µs of server CPU a workflow",
                 costs(r),
                 r["wal_bytes_per_workflow"] < 10_000 and r["transactions_per_workflow"] < 1
                 and r["server_cpu_us_per_workflow"] < 500)]

    def latency(p50, p99):
        return lambda r: [
            (f"p50 under {p50} ms, p99 under {p99} ms", f"p50 {r['p50_ms']:.2f} ms, p99 {r['p99_ms']:.2f} ms",
             r["p50_ms"] < p50 and r["p99_ms"] < p99)]

    def undisturbed(r):
        dead = sum(relation["dead_after"] for relation in r["relations"])
        return [(f"the last part at least 95 % of the first, {seconds} s at 70 % of the peak",
                 f"{100 * r['last_of_first']:.0f} % at {r['rate_per_second']:,.0f}/s; "
                 f"peak {r['peak_per_second']:,.0f}/s before, {r['peak_after_per_second']:,.0f}/s after; "
                 f"{dead:,.0f} dead rows", r["last_of_first"] >= 0.95)]

    def disturbed(r):
        return [(f"at least 80 % of the undisturbed throughput after {seconds} s",
                 f"{100 * r['last_of_first']:.0f} % at {r['rate_per_second']:,.0f}/s; "
                 f"peak {r['peak_per_second']:,.0f}/s before, {r['peak_after_per_second']:,.0f}/s after "
                 f"({100 * r['peak_after_of_before']:.0f} %)",
                 r["last_of_first"] >= 0.8 and r["peak_after_of_before"] >= 0.8)]

    def sleeping(r):
        few, many = r["sleeping"]
        return [("a worker's memory does not grow, claims cost the same, starts go on",
                 f"{many['asleep']:,.0f} asleep against {few['asleep']:,.0f}: {many['worker_mb']:.0f} MB "
                 f"against {few['worker_mb']:.0f}; a claim {many['claim_pages']:.0f} pages and "
                 f"{many['claim_ms']:.2f} ms against {few['claim_pages']:.0f} and {few['claim_ms']:.2f}; "
                 f"started {many['started_per_second']:.0f}/s with p50 {many['p50_ms']:.1f} ms "
                 f"against {few['p50_ms']:.1f}",
                 many["worker_mb"] < 1.2 * few["worker_mb"] and many["claim_ms"] < 1.2 * few["claim_ms"] + 0.2
                 and many["p50_ms"] < 1.5 * few["p50_ms"] + 1)]

    def finished(r):
        few, many = r["databases"]
        return [("as fast as with 1,000, within 20 %; an idle poll under 0.5 ms",
                 f"{many['finished']:,.0f} finished and {many['pending']:,.0f} pending "
                 f"against {few['finished']:,.0f} and {few['pending']:,.0f}: "
                 f"{100 * r['throughput_ratio']:.0f} % of the throughput, a claim {many['claim_ms']:.2f} ms against "
                 f"{few['claim_ms']:.2f}; idle poll {r['idle_poll_ms']:.2f} ms",
                 r["throughput_ratio"] >= 0.8 and r["idle_poll_ms"] < 0.5)]

    def scale(r):
        rows = medians(r["scale"])
        rates = [row["workflows_per_second"] for row in rows]
        return [(f"the total never falls (5 % is noise; medians of {len(r['scale']) // len(rows)}); the limit is named",
                 "; ".join(f"{row['processes']:.0f}: {row['workflows_per_second']:,.0f}/s, {row['limit']}"
                           for row in rows),
                 all(later >= 0.95 * max(rates[:number + 1]) for number, later in enumerate(rates[1:])))]

    def timers(r):
        return [("each fires within 100 ms at p99 beside 200 workflows/s",
                 f"{r['timers']:,.0f} over {r['timers'] / r['per_second']:.0f} s: late p50 {r['late_p50_ms']:.1f} ms, "
                 f"p99 {r['late_p99_ms']:.1f} ms, at most {r['late_most_ms']:.0f} ms; "
                 f"the workflow had closed p99 {r['woken_p99_ms']:.0f} ms after", r["late_p99_ms"] < 100)]

    return {
        "throughput": Part(0.6, ["backlog", "--workflows", size(20_000, 500)],
                           lambda r: throughput(2000)(r) + cheap(r)),
        "slow-path": Part(0.6, ["backlog", "--slow-path", "--workflows", size(8_000, 200)], throughput(800)),
        "latency": Part(0.3, ["latency", "--workflows", size(1_000, 50)], latency(4, 12)),
        "signal": Part(0.7, ["signal", "--workflows", size(1_000, 50)], latency(2, 12)),
        "scale": Part(9, ["scale", "--workflows", size(20_000, 300),
                          "--processes", ",".join(["1,2,4,8"] * (1 if options.quick else 5))], scale),
        "timers": Part(5, ["timers", "--workflows", size(100_000, 500), "--seconds", size(60, 5),
                           "--rate", size(200, 20), "--lead", size(210, 15)], timers),
        "sleeping": Part(6, ["sleeping", "--many", size(1_000_000, 10_000), "--rate", size(200, 20),
                             "--seconds", size(30, 5)], sleeping),
        "finished": Part(9, ["finished", "--workflows", size(5_000, 300), "--finished", size(2_000_000, 10_000),
                             "--pending", size(1_000_000, 5_000)], finished),
        "steady": Part(minutes, steady, undisturbed),
        "held-xmin": Part(minutes, [*steady, "--held-xmin"], disturbed),
        "readers": Part(minutes, [*steady, "--readers", "10"], disturbed),
    }


def write(results: dict, table: list[tuple], options) -> None:
    directory = pathlib.Path(options.results)
    directory.mkdir(parents=True, exist_ok=True)
    about = machine(options.server, options.settings, options.python)
    (directory / "endurance.json").write_text(json.dumps({"machine": about, "parts": results}, indent=1) + "\n")
    lines = ["# Goals and results", ""]
    if options.quick:
        lines += ["**A quick run, a hundredth of the size: it shows that the benchmark works, and no more.**", ""]
    lines += ["| measure | goal | result | met |", "| --- | --- | --- | --- |",
              *(f"| {name} | {goal} | {result} | {'yes' if met else '**no**'} |" for name, goal, result, met in table)]
    for name in ("steady", "held-xmin", "readers"):
        if name in results:
            key = "minutes" if "minutes" in results[name] else "parts"
            lines += ["", f"{name}, {'minute' if key == 'minutes' else 'part'} "
                      f"by {'minute' if key == 'minutes' else 'part'}: "
                      + ", ".join(f"{part['per_second']:,.0f}/s (p99 {part['p99_ms']:,.0f} ms)"
                                  for part in results[name][key]) + ".", "",
                      "| table | dead rows before | after | table MB before | after | index MB before | after |",
                      "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
                      *(f"| {r['relation']} | {r['dead_before']:,.0f} | {r['dead_after']:,.0f} | "
                        f"{r['table_mb_before']:.1f} | {r['table_mb_after']:.1f} | {r['index_mb_before']:.1f} | "
                        f"{r['index_mb_after']:.1f} |" for r in results[name]["relations"])]
    for name in ("sleeping", "finished"):
        if name in results:
            lines += ["", f"The plan of a claim, {name} many:", "", "```", results[name]["claim_plan_with_many"], "```"]
    if "scale" in results:
        lines += ["",
                  "| worker processes | workflows/s | server cores | worker cores | WAL MB/s | what statements did |",
                  "| ---: | ---: | ---: | ---: | ---: | --- |",
                  *(f"| {r['processes']:.0f} | {r['workflows_per_second']:,.0f} | {r['server_cores']:.2f} | "
                    f"{r['worker_cores']:.2f} | {r['wal_mb_per_second']:.1f} | {r['waits']} |"
                    for r in medians(results["scale"]["scale"]))]
    lines += ["", "Machine and settings:", "", *(f"- {line}" for line in about), ""]
    (directory / "endurance.md").write_text("\n".join(lines))


def main() -> None:
    parser = arguments("endurance", "a hundredth of the size")
    parser.add_argument("--only", help="parts, separated by commas")
    parser.add_argument("--seconds", type=int, default=600, help="how long a steady load lasts")
    options = parser.parse_args()
    everything = parts(options)
    chosen = options.only.split(",") if options.only else list(everything)
    if unknown := [name for name in chosen if name not in everything]:
        sys.exit(f"Benchmarks/endurance: there is no part {unknown[0]}; the parts are {', '.join(everything)}")
    if options.seconds < 12:
        sys.exit("Benchmarks/endurance: --seconds takes at least 12")
    total = sum(0.3 if options.quick else everything[name].minutes for name in chosen)
    print(f"{len(chosen)} parts, about {max(1, round(total))} minutes", flush=True)
    results: dict = {}
    table: list[tuple] = []
    for number, name in enumerate(chosen, 1):
        part = everything[name]
        print(f"[{number}/{len(chosen)}] {name}, about {0.3 if options.quick else part.minutes:.1f} minutes",
              flush=True)
        url = fresh(options.server, "perdure")
        quietly(options.perdure, "migrate", "--database-url", url)
        begin = time.monotonic()
        command, *more = part.command
        results[name] = measured(name, [options.perdure, "bench", command, "--database-url", url, "--output", "json",
                                        *more], shows_progress=True)
        for goal, result, met in part.rows(results[name]):
            table.append((name, goal, result, met))
            print(f"  {'met' if met else 'NOT MET'}: {result} (goal: {goal}; took {time.monotonic() - begin:.0f} s)",
                  flush=True)
        # After each part, so that an interrupted run leaves what it has.
        write(results, table, options)
    print(f"Written to {options.results}/endurance.md")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Benchmarks/endurance: stopped")
