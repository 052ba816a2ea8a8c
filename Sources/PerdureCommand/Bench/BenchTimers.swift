import ArgumentParser
import Foundation
import Postgres

struct BenchTimers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "timers",
        abstract: "Let sleeping workflows wake within some seconds, beside a load, and see how late each timer fires.",
        discussion: """
            A timer's lateness is the time of its TimerFired event less that at which it was due; that of the wake-up \
            is when the workflow, which ends with its sleep, had closed.
            """)

    @OptionGroup var options: BenchOptions
    @Option(help: "Workflows a second beside them; 0 for none.")
    var rate = 200
    @Option(help: "Over how many seconds the timers are due.")
    var seconds = 60
    @Option(
        help:
            "How many seconds there are to start them all before the first is due. By default enough for 500 a second.")
    var lead: Int?

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.withWorkers { workers in
                try await bench.waitUntilReady(workers)
                return try await measure(bench, workers)
            }
        }
    }

    private func measure(_ bench: Bench, _ workers: BenchWorkers) async throws -> BenchReport {
        let starter = try await options.connect()
        let lead = lead ?? 10 + options.workflows / 500
        let first = try await bench.now().addingTimeInterval(Double(lead))
        Bench.note("Starting \(options.workflows) workflows that sleep, within \(lead) s")
        for number in stride(from: 0, to: options.workflows, by: 500) {
            // Each is to wake at a random moment of the time from the first to the last.
            try await starter.query(
                """
                select count(s.run_id)
                    from generate_series(\(Int64(number)), \(Int64(min(number + 500, options.workflows) - 1))) n,
                    perdure.start_workflow(workflow_type => 'BenchSleep', workflow_id => 't-' || n,
                        task_queue => \(Bench.taskQueue),
                        input => to_jsonb((extract(epoch from \(first) - clock_timestamp()) * 1000
                            + random() * \(Int64(seconds * 1000)))::bigint),
                        namespace => \(bench.namespace)) s
                """)
            try workers.check()
        }
        let sleepers = BenchRuns(bench: bench, prefix: "t-", count: options.workflows)
        while try await asleep(bench) < options.workflows {
            guard try await bench.now() < first else {
                throw BenchError(
                    description:
                        "the first timers were due before all workflows slept: give them more than --lead \(lead)")
            }
            try workers.check()
            try await Task.sleep(for: .milliseconds(500))
        }
        let wait = first.timeIntervalSince(try await bench.now()) - 2
        if wait > 0 { try await Task.sleep(for: .seconds(wait)) }
        Bench.note("All sleep; \(rate) workflows/s beside them for \(seconds + 2) s")
        let before = try await ServerUsage.now(bench.connection)
        var report = BenchReport()
        if rate > 0 {
            let load = try await bench.load("w-", rate: rate, seconds: seconds + 2, workers, on: starter)
            try await load.waitForAll(workers)
            try await load.check()
            let begin = first.addingTimeInterval(-2)
            let interval = try await load.intervals(of: Double(seconds + 2), since: begin, 1)[0]
            report.add([
                "load_per_second": interval.perSecond, "load_p50_ms": interval.p50, "load_p99_ms": interval.p99,
            ])
        }
        try await sleepers.waitForAll(workers)
        let used = try await ServerUsage.now(bench.connection) - before
        let row = try await bench.connection.query(
            """
            with runs as (
                select shard, run_id, close_time from perdure.executions
                where namespace = \(bench.namespace) and workflow_id >= 't-' and workflow_id < 't-~'
                    and status = 'Completed'),
            events as (
                select runs.run_id, runs.close_time,
                    max(e.event_time + (e.attributes ->> 'startToFireTimeout')::interval)
                        filter (where e.event_type = 'TimerStarted') as due,
                    max(e.event_time) filter (where e.event_type = 'TimerFired') as fired,
                    count(*) filter (where e.event_type = 'TimerFired') as times
                from runs join perdure.history_events e on e.shard = runs.shard and e.run_id = runs.run_id
                group by runs.run_id, runs.close_time),
            late as (
                select extract(epoch from fired - due)::float8 * 1000 as ms,
                    extract(epoch from close_time - due)::float8 * 1000 as woken_ms, times
                from events)
            select count(*) filter (where times = 1) as fired, count(*) filter (where ms < 0) as early,
                percentile_cont(array[0.5, 0.99, 1]) within group (order by ms) as late,
                percentile_cont(array[0.5, 0.99, 1]) within group (order by woken_ms) as woken
            from late
            """)[0]
        let fired = try row.decode(Int.self, "fired")
        let early = try row.decode(Int.self, "early")
        guard fired == options.workflows, early == 0 else {
            throw BenchError(description: "of \(options.workflows) timers \(fired) fired once, and \(early) too early")
        }
        let late = try row.decode([Double].self, "late")
        let woken = try row.decode([Double].self, "woken")
        report.add([
            "timers": Double(fired), "per_second": Double(fired) / Double(seconds), "late_p50_ms": late[0],
            "late_p99_ms": late[1], "late_most_ms": late[2], "woken_p50_ms": woken[0], "woken_p99_ms": woken[1],
            "woken_most_ms": woken[2], "machine_busy": used.machineBusy / max(used.machineTotal, 0.001),
        ])
        return report
    }

    private func asleep(_ bench: Bench) async throws -> Int {
        try await bench.connection.query(
            """
            select count(*) from perdure.timers t
            join perdure.run_states r on r.shard = t.shard and r.run_id = t.run_id
                where r.namespace = \(bench.namespace)
            """)[0].decode(Int.self, at: 0)
    }
}
