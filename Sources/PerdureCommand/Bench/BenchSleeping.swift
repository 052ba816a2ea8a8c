import ArgumentParser
import Foundation
import PerdureEngine
import Postgres

struct BenchSleeping: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sleeping",
        abstract:
            "Compare a few open runs that sleep with very many: "
            + "claims, a worker's memory, and new workflows beside them.",
        discussion: """
            The runs are copies of one that a worker has put to sleep, row by row; some of them wake up in the end, \
            and must finish as that would. They sleep on for thirty days.
            """)

    @OptionGroup var options: BenchOptions
    @Option(help: "The few.")
    var few = 1000
    @Option(help: "The many.")
    var many = 1_000_000
    @Option(help: "Workflows a second beside them.")
    var rate = 200
    @Option(help: "For how many seconds.")
    var seconds = 30

    func validate() throws {
        guard few >= 100, many > few, rate > 0, seconds > 0 else {
            throw ValidationError(
                "--few takes at least 100, --many more than --few, --rate and --seconds numbers above zero")
        }
    }

    func run() async throws {
        try await Bench.run(options) { bench in
            let template = BenchRuns(bench: bench, prefix: "template", count: 1)
            try await bench.withWorkers { workers in
                try await bench.start("BenchSleep", "template", 0..<1, input: 30 * 86_400_000)
                while try await bench.connection.query(
                    """
                    select exists (select from perdure.timers t join perdure.run_states r using (shard, run_id)
                        where r.namespace = \(bench.namespace))
                    """
                )[0].decode(Bool.self, at: 0) == false {
                    try workers.check()
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            guard try await template.open(upTo: 2) == 1 else {
                throw BenchError(description: "the template is not open")
            }
            // Work that nobody does, to be claimed by SQL.
            try await bench.startUnclaimed(200)
            try await bench.clone("template0", "c-", 0..<few, wakeSoon: Self.wakeSoon)
            let small = try await measure(bench, "a-", few)
            Bench.note("Making \(many) sleeping runs")
            try await bench.clone("template0", "c-", few..<many)
            let large = try await measure(bench, "b-", many)
            try await bench.withWorkers { workers in try await waitForAwoken(bench, workers) }
            try await checkAwoken(bench)

            var report = BenchReport([
                "claim_pages_ratio": large.cost.pages / max(small.cost.pages, 1),
                "claim_time_ratio": large.cost.milliseconds / max(small.cost.milliseconds, 0.001),
                "idle_poll_ms": large.cost.idlePoll, "worker_mb_ratio": large.memory / small.memory,
                "p50_ratio": large.interval.p50 / max(small.interval.p50, 0.001),
            ])
            report.add(
                BenchReport.Table(
                    name: "sleeping",
                    headings: [
                        "asleep", "claim_pages", "claim_ms", "idle_poll_ms", "started_per_second", "p50_ms", "p99_ms",
                        "worker_mb_idle", "worker_mb",
                    ],
                    rows: [small, large].map { state in
                        [
                            Double(state.asleep), state.cost.pages, state.cost.milliseconds, state.cost.idlePoll,
                            state.interval.perSecond, state.interval.p50, state.interval.p99, state.idleMemory / 1e6,
                            state.memory / 1e6,
                        ].map(JSON.rounded)
                    }))
            report.add("claim_plan_with_few", small.cost.plan)
            report.add("claim_plan_with_many", large.cost.plan)
            return report
        }
    }

    private static let wakeSoon = 20

    private struct State: Sendable {
        let asleep: Int
        let cost: Bench.ClaimCost
        let interval: BenchRuns.Interval
        /// Bytes of the worker processes, before and after the load.
        let idleMemory: Double
        let memory: Double
    }

    private func measure(_ bench: Bench, _ prefix: String, _ asleep: Int) async throws -> State {
        try await bench.settle()
        let cost = try await bench.claimCost(of: "unclaimed")
        return try await bench.withWorkers { workers in
            try await bench.waitUntilReady(workers)
            try await Task.sleep(for: .seconds(2))
            let idleMemory = workers.residentBytes
            Bench.note("\(asleep) asleep; \(rate) workflows/s beside them for \(seconds) s")
            let starter = try await options.connect()
            let begin = try await bench.now()
            let runs = try await bench.load(prefix, rate: rate, seconds: seconds, workers, on: starter)
            try await runs.waitForAll(workers)
            let memory = workers.residentBytes
            try await runs.check()
            return State(
                asleep: asleep, cost: cost, interval: try await runs.intervals(of: Double(seconds), since: begin, 1)[0],
                idleMemory: idleMemory, memory: memory)
        }
    }

    private func waitForAwoken(_ bench: Bench, _ workers: BenchWorkers) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            let closed = try await bench.connection.query(
                """
                select count(*) from perdure.executions where namespace = \(bench.namespace)
                    and workflow_type = 'BenchSleep' and status = 'Completed'
                """)[0].decode(Int.self, at: 0)
            if closed >= Self.wakeSoon { return }
            try workers.check()
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// The copies whose timers were due have the history of a run that slept, and no other has.
    private func checkAwoken(_ bench: Bench) async throws {
        let row = try await bench.connection.query(
            """
            select count(*) as closed, count(*) filter (where e.status = 'Completed' and (
                select array_agg(h.event_type order by h.event_id) from perdure.history_events h
                    where h.shard = e.shard and h.run_id = e.run_id)
                = array['WorkflowExecutionStarted', 'WorkflowTaskScheduled', 'WorkflowTaskStarted',
                    'WorkflowTaskCompleted', 'TimerStarted',
                    'TimerFired', 'WorkflowTaskScheduled', 'WorkflowTaskStarted', 'WorkflowTaskCompleted',
                    'WorkflowExecutionCompleted']) as good
            from perdure.executions e where e.namespace = \(bench.namespace) and e.workflow_id >= 'c-'
                and e.workflow_id < 'c-~' and e.status <> 'Running'
            """)[0]
        let closed = try row.decode(Int.self, "closed")
        let good = try row.decode(Int.self, "good")
        guard closed == Self.wakeSoon, good == closed else {
            throw BenchError(
                description:
                    "of \(Self.wakeSoon) copies that should wake up, \(closed) closed, and \(good) as a real run does")
        }
    }
}

extension Bench {
    /// Workflows on a queue that has no worker.
    func startUnclaimed(_ count: Int) async throws {
        try await connection.query(
            """
            select count(s.run_id) from generate_series(1, \(Int64(count))) n,
                perdure.start_workflow(workflow_type => 'BenchSteps', workflow_id => 'unclaimed-' || n,
                    task_queue => 'unclaimed',
                    input => to_jsonb(\(Int64(options.activities))), namespace => \(namespace)) s
            """)
    }
}
