import ArgumentParser
import Foundation
import Perdure
import PerdureEngine
import Postgres

struct BenchLatency: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "Start one workflow at a time on an idle system and wait for its result.")

    @OptionGroup var options: BenchOptions

    func run() async throws {
        let client = PerdureClient(pool: options.pool())
        let workers = try BenchWorkers(options)
        var times: [Double] = []
        let prefix = "bench-\(UUID().uuidString.prefix(8))-"
        for number in -10..<options.workflows {
            let begin = ContinuousClock.now
            let handle = try await client.startWorkflow(
                name: "BenchSteps",
                options: WorkflowOptions(id: prefix + "\(number)", taskQueue: BenchWorker.taskQueue),
                input: options.activities)
            let sum = try await handle.result(as: Int.self)
            guard sum == (0..<options.activities).reduce(0, +) else {
                throw BenchError(description: "a workflow's result is \(sum)")
            }
            // The first ones prepare statements and fill caches.
            if number >= 0 { times.append(begin.duration(to: .now) / .milliseconds(1)) }
            try workers.check()
        }
        options.print([
            "workflows": Double(options.workflows), "p50_ms": times.percentile(0.5), "p90_ms": times.percentile(0.9),
            "p99_ms": times.percentile(0.99),
        ])
        withExtendedLifetime(workers) {}
    }
}

struct BenchSignal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signal",
        abstract: "Signal a waiting run on an idle system; the time is that from the call to the start of its activity."
    )

    @OptionGroup var options: BenchOptions

    func run() async throws {
        let client = PerdureClient(pool: options.pool())
        let workers = try BenchWorkers(options)
        let handle = try await client.startWorkflow(
            name: "BenchSignals",
            options: WorkflowOptions(
                id: "bench-\(UUID().uuidString.prefix(8))-signals", taskQueue: BenchWorker.taskQueue),
            input: options.workflows)
        var sent: [Timestamp] = []
        for number in 0..<options.workflows {
            sent.append(Timestamp(Date()))
            try await handle.signal(signalName: "Go", input: number)
            try await Task.sleep(for: .milliseconds(25))
            try workers.check()
        }
        _ = try await handle.resultPayloads()
        let started = try await handle.fetchHistory().filter { $0.eventType == .activityTaskStarted }
        guard started.count == sent.count else {
            throw BenchError(description: "\(sent.count) signals started \(started.count) activities")
        }
        let times = zip(sent, started).dropFirst(10).map { $1.eventTime.duration(since: $0) / .milliseconds(1) }
        options.print([
            "signals": Double(times.count), "p50_ms": times.percentile(0.5), "p90_ms": times.percentile(0.9),
            "p99_ms": times.percentile(0.99),
        ])
        withExtendedLifetime(workers) {}
    }
}
