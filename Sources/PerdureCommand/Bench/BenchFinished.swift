import ArgumentParser
import Foundation
import PerdureEngine
import Postgres

struct BenchFinished: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finished",
        abstract: "Compare claims and throughput in a database with few runs and in one with very many.",
        discussion: """
            The many are copies of runs that the engine has made, row by row: finished ones of a workflow without \
            activities, and started ones that nobody has claimed, which the workers then work off.
            """)

    @OptionGroup var options: BenchOptions
    @Option(help: "Finished runs, and pending ones besides those that are worked off, in the small database.")
    var few = 1000
    @Option(help: "Finished runs in the large one.")
    var finished = 2_000_000
    @Option(help: "Pending workflow tasks in the large one.")
    var pending = 1_000_000

    func validate() throws {
        guard few >= 200, finished > few, pending >= options.workflows + few else {
            throw ValidationError(
                "--few takes at least 200, --finished more than --few, --pending more than --workflows and --few")
        }
    }

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.start("BenchSteps", "finished", 0..<1, input: 0)
            try await bench.withWorkers { workers in
                try await BenchRuns(bench: bench, prefix: "finished", count: 1).waitForAll(workers)
            }
            try await bench.start("BenchSteps", "pending", 0..<1, input: options.activities)
            try await bench.clone("finished0", "f-", 0..<few)
            try await bench.clone("pending0", "p-", 0..<(options.workflows + few))
            let small = try await measure(bench, pending: options.workflows + few, finished: few)
            Bench.note("Making \(finished) finished and \(pending) pending runs")
            try await bench.drain()
            try await bench.start("BenchSteps", "again", 0..<1, input: options.activities)
            try await bench.clone("finished0", "f-", few..<finished)
            try await bench.clone("again0", "q-", 0..<pending)
            let large = try await measure(bench, pending: pending, finished: finished)

            var report = BenchReport([
                "throughput_ratio": large.perSecond / small.perSecond,
                "claim_pages_ratio": large.cost.pages / max(small.cost.pages, 1),
                "claim_time_ratio": large.cost.milliseconds / max(small.cost.milliseconds, 0.001),
                "idle_poll_ms": large.cost.idlePoll,
            ])
            report.add(
                BenchReport.Table(
                    name: "databases",
                    headings: [
                        "finished", "pending", "workflows_per_second", "claim_pages", "claim_ms", "idle_poll_ms",
                    ],
                    rows: [small, large].map { state in
                        [
                            Double(state.finished), Double(state.pending), state.perSecond, state.cost.pages,
                            state.cost.milliseconds, state.cost.idlePoll,
                        ].map(JSON.rounded)
                    }))
            report.add("claim_plan_with_few", small.cost.plan)
            report.add("claim_plan_with_many", large.cost.plan)
            return report
        }
    }

    private struct State: Sendable {
        let finished: Int
        let pending: Int
        let perSecond: Double
        let cost: Bench.ClaimCost
    }

    private func measure(_ bench: Bench, pending: Int, finished: Int) async throws -> State {
        try await bench.settle()
        let cost = try await bench.claimCost(of: Bench.taskQueue)
        // What that made of the rows and their indexes is not to be paid by one of the two.
        try await bench.settle()
        Bench.note("\(finished) finished and \(pending) pending; working off \(options.workflows)")
        let begin = try await bench.now()
        let last = try await bench.withWorkers { workers in
            while true {
                let row = try await bench.connection.query(
                    """
                    select count(*) as count, max(close_time) as last from (
                        select close_time from perdure.executions
                        where namespace = \(bench.namespace) and close_time >= \(begin) order by close_time
                            limit \(Int64(options.workflows))) c
                    """)[0]
                if try row.decode(Int.self, "count") >= options.workflows { return try row.decode(Date.self, "last") }
                try workers.check()
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        let wrong = try await bench.connection.query(
            """
            select count(*) from perdure.executions where namespace = \(bench.namespace) and close_time >= \(begin)
                and (status <> 'Completed' or history_length <> \(Int64(options.eventsPerWorkflow)))
            """)[0].decode(Int.self, at: 0)
        guard wrong == 0 else {
            throw BenchError(
                description: "\(wrong) of the workflows that were worked off have not the history they must have")
        }
        return State(
            finished: finished, pending: pending, perSecond: Double(options.workflows) / last.timeIntervalSince(begin),
            cost: cost)
    }
}

extension Bench {
    /// Has all open runs worked off.
    func drain() async throws {
        try await withWorkers { workers in try await BenchRuns(bench: self, prefix: "", count: 0).waitForAll(workers) }
    }
}
