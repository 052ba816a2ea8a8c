import ArgumentParser
import Foundation
import Postgres

struct BenchBacklog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backlog",
        abstract: "Start workflows, then see how fast worker processes work them off.")

    @OptionGroup var options: BenchOptions

    func run() async throws {
        try await Bench.run(options) { bench in
            let measured = try await bench.measureBacklog("b-", workers: options.workers)
            var report = BenchReport(["workflows": Double(options.workflows)])
            report.add(measured.figures)
            return report
        }
    }
}

/// What working off a backlog took.
struct BenchThroughput: Sendable {
    let count: Double
    let activities: Double
    let seconds: Double
    let used: ServerUsage
    let workerProcessorTime: Double
    /// The share of this machine's processors that was busy, with whatever.
    let machineBusy: Double

    var perSecond: Double { count / seconds }

    var figures: KeyValuePairs<String, Double> {
        [
            "seconds": seconds, "workflows_per_second": perSecond, "activities_per_second": activities * perSecond,
            "wal_bytes_per_workflow": used.walBytes / count,
            "transactions_per_workflow": used.transactions / count,
            "server_cpu_us_per_workflow": (used.processorTime ?? .nan) * 1e6 / count,
            "worker_cpu_us_per_workflow": workerProcessorTime * 1e6 / count,
        ]
    }
}

extension Bench {
    /// Starts a backlog and has it worked off. The clock runs from before the worker processes start until the last
    /// workflow has closed.
    ///
    /// - Parameter prefix: what the workflow ids begin with; another one for each backlog.
    func measureBacklog(_ prefix: String, workers: Int) async throws -> BenchThroughput {
        let runs = try await startBacklog(prefix, options.workflows)
        // So that none falls into the measurement.
        try await connection.simpleQuery("checkpoint")
        let before = try await ServerUsage.settled(connection)
        let begin = try await now()
        let machineBefore = Processor.machine
        let (used, machine, processorTime) = try await withWorkers(workers) { workers in
            try await runs.waitForAll(workers)
            let machine = Processor.machine
            let processorTime = workers.processorTime
            return (try await ServerUsage.settled(connection) - before, machine, processorTime)
        }
        let end = try await runs.check()
        return BenchThroughput(
            count: Double(options.workflows), activities: Double(options.activities),
            seconds: end.timeIntervalSince(begin), used: used, workerProcessorTime: processorTime,
            machineBusy: (machine.busy - machineBefore.busy) / Swift.max(machine.total - machineBefore.total, 0.001))
    }
}
