import ArgumentParser
import Foundation
import Perdure
import PerdureEngine
import Postgres

struct BenchLatency: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "Start one workflow at a time on an idle system and wait for its result.",
        discussion: "The client is this process; workers are others.")

    @OptionGroup var options: BenchOptions

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.withWorkers { workers in
                try await bench.waitUntilReady(workers)
                let times = try await bench.withClient { client in try await measure(bench, client, workers) }
                try await BenchRuns(bench: bench, prefix: "l", count: options.workflows + Self.warmUp).check()
                return BenchReport([
                    "workflows": Double(times.count), "p50_ms": times.percentile(0.5), "p90_ms": times.percentile(0.9),
                    "p99_ms": times.percentile(0.99), "most_ms": times.max() ?? 0,
                ])
            }
        }
    }

    /// The first ones prepare statements and fill caches.
    private static let warmUp = 20

    private func measure(_ bench: Bench, _ client: PerdureClient, _ workers: BenchWorkers) async throws -> [Double] {
        var times: [Double] = []
        for number in 0..<(options.workflows + Self.warmUp) {
            let begin = ContinuousClock.now
            let handle = try await client.startWorkflow(
                name: "BenchSteps", options: WorkflowOptions(id: "l\(number)", taskQueue: Bench.taskQueue),
                input: options.activities)
            let sum = try await handle.result(as: Int.self)
            guard sum == (0..<options.activities).reduce(0, +) else {
                throw BenchError(description: "a workflow's result is \(sum)")
            }
            if number >= Self.warmUp { times.append(begin.duration(to: .now) / .milliseconds(1)) }
            try workers.check()
        }
        return times
    }
}

struct BenchSignal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "signal",
        abstract: "Signal a waiting run on an idle system.",
        discussion: """
            The time is that from before the call, by this machine's clock, to the start of the activity that the \
            signal leads to, by the server's: they should be one machine.
            """)

    @OptionGroup var options: BenchOptions

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.withWorkers { workers in
                try await bench.waitUntilReady(workers)
                let times = try await bench.withClient { client in try await measure(bench, client, workers) }
                return BenchReport([
                    "signals": Double(times.count), "p50_ms": times.percentile(0.5), "p90_ms": times.percentile(0.9),
                    "p99_ms": times.percentile(0.99), "most_ms": times.max() ?? 0,
                ])
            }
        }
    }

    private static let warmUp = 10

    private func measure(_ bench: Bench, _ client: PerdureClient, _ workers: BenchWorkers) async throws -> [Double] {
        let count = options.workflows + Self.warmUp
        let handle = try await client.startWorkflow(
            name: "BenchSignals", options: WorkflowOptions(id: "signals", taskQueue: Bench.taskQueue), input: count)
        var events = 0
        try await waitUntilIdle(bench, after: &events)
        var sent: [Timestamp] = []
        for number in 0..<count {
            sent.append(Timestamp(Date()))
            try await handle.signal(signalName: "Go", input: number)
            try await waitUntilIdle(bench, after: &events)
            try workers.check()
        }
        _ = try await handle.resultPayloads()
        let started = try await handle.fetchHistory().filter { $0.eventType == .activityTaskStarted }
        guard started.count == sent.count else {
            throw BenchError(description: "\(sent.count) signals started \(started.count) activities")
        }
        return zip(sent, started).dropFirst(Self.warmUp).map { $1.eventTime.duration(since: $0) / .milliseconds(1) }
    }

    /// Until the run has gone on and waits for nothing but a signal, or has closed; and then a while.
    private func waitUntilIdle(_ bench: Bench, after events: inout Int) async throws {
        while true {
            let row = try await bench.connection.query(
                """
                select coalesce(max(r.next_event_id), \(Int64.max)) as events,
                    count(t.run_id) + count(a.run_id) as tasks
                from perdure.run_states r left join perdure.workflow_tasks t using (shard, run_id)
                left join perdure.activity_tasks a using (shard, run_id) where r.namespace = \(bench.namespace)
                """)[0]
            let now = try row.decode(Int.self, "events")
            if now > events, now > 3, try row.decode(Int.self, "tasks") == 0 {
                events = now
                return try await Task.sleep(for: .milliseconds(15))
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

extension Bench {
    func withClient<Value: Sendable>(_ body: (PerdureClient) async throws -> Value) async throws -> Value {
        try await options.database.withPool { pool in
            try await body(PerdureClient(pool: pool, namespace: namespace))
        }
    }
}
