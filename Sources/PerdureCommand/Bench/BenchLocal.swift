import ArgumentParser
import Foundation
import Perdure
import PerdureEngine

/// Trivial local activities, one after the other.
@Workflow
struct BenchLocalSteps {
    mutating func run(context: WorkflowContext<BenchLocalSteps>, input: Int) async throws -> Int {
        var sum = 0
        for step in 0..<input {
            sum += try await context.executeLocalActivity(
                BenchStep.self, options: LocalActivityOptions(startToCloseTimeout: .seconds(60)), input: step)
        }
        return sum
    }
}

struct BenchLocal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "local",
        abstract: "Start workflows of local activities and of ordinary ones in turn, one at a time on an idle system.",
        discussion: "The time is that from the start to the result. The client is this process; workers are others.")

    @OptionGroup var options: BenchOptions

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.withWorkers { workers in
                try await bench.waitUntilReady(workers)
                let (local, ordinary) = try await bench.withClient { client in
                    try await measure(bench, client, workers)
                }
                return BenchReport([
                    "workflows": Double(local.count), "local_p50_ms": local.percentile(0.5),
                    "local_p99_ms": local.percentile(0.99), "ordinary_p50_ms": ordinary.percentile(0.5),
                    "ordinary_p99_ms": ordinary.percentile(0.99),
                ])
            }
        }
    }

    /// The first ones prepare statements and fill caches.
    private static let warmUp = 20

    private func measure(
        _ bench: Bench, _ client: PerdureClient, _ workers: BenchWorkers
    ) async throws -> (local: [Double], ordinary: [Double]) {
        var local: [Double] = []
        var ordinary: [Double] = []
        for number in 0..<(options.workflows + Self.warmUp) {
            let first = try await time(of: "BenchLocalSteps", "local-\(number)", client)
            let second = try await time(of: "BenchSteps", "ordinary-\(number)", client)
            if number >= Self.warmUp {
                local.append(first)
                ordinary.append(second)
            }
            try workers.check()
        }
        return (local, ordinary)
    }

    private func time(of name: String, _ id: String, _ client: PerdureClient) async throws -> Double {
        let begin = ContinuousClock.now
        let handle = try await client.startWorkflow(
            name: name, options: WorkflowOptions(id: id, taskQueue: Bench.taskQueue), input: options.activities)
        let sum = try await handle.result(as: Int.self)
        guard sum == (0..<options.activities).reduce(0, +) else {
            throw BenchError(description: "a workflow's result is \(sum)")
        }
        return begin.duration(to: .now) / .milliseconds(1)
    }
}
