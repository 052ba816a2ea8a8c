import Foundation
import Perdure
import PerdureEngine
import Postgres
import Synchronization

/// People who look at the history pages: a list of runs, how many there are, one run with its history, and a while to
/// think.
final class BenchReaders: Sendable {
    private let bench: Bench
    private let times = Mutex<[Double]>([])

    init(bench: Bench) { self.bench = bench }

    func whileReading<Value: Sendable>(_ count: Int, _ body: () async throws -> Value) async throws -> Value {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count { group.addTask { try await self.read(number) } }
            let value = try await body()
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {} catch let error as PostgresError
                where error.kind == .cancelled
            {}
            return value
        }
    }

    var figures: KeyValuePairs<String, Double> {
        let times = times.withLock { $0 }
        return [
            "reads": Double(times.count), "read_p50_ms": times.percentile(0.5), "read_p99_ms": times.percentile(0.99),
        ]
    }

    private func read(_ number: Int) async throws {
        let filters = [
            "", "ExecutionStatus = \"Running\"", "WorkflowType = \"BenchSteps\" AND ExecutionStatus = \"Completed\"",
        ]
        let connection = try await bench.options.connect()
        var round = number
        while true {
            try Task.checkCancellation()
            let filter = filters[round % filters.count]
            let runs = try await timed {
                try await connection.query(
                    "select shard, run_id, workflow_id from perdure.list_workflows(\(filter), \(bench.namespace), 50)")
            }
            _ = try await timed {
                try await connection.query(
                    "select status, count from perdure.count_workflows(\(filter), \(bench.namespace), 1000)")
            }
            if let run = runs.first {
                let shard = try run.decode(Int16.self, "shard")
                let runID = try run.decode(UUID.self, "run_id")
                let workflowID = try run.decode(String.self, "workflow_id")
                _ = try await timed {
                    try await connection.query(
                        """
                        select event_id, event_time, event_type, attributes from perdure.history_events
                        where shard = \(shard) and run_id = \(runID) and namespace = \(bench.namespace)
                            and workflow_id = \(workflowID)
                        order by event_id limit 100
                        """)
                }
            }
            round += 1
            try await Task.sleep(for: .milliseconds(Int.random(in: 500...1500)))
        }
    }

    private func timed<Value>(_ body: () async throws -> Value) async throws -> Value {
        let begin = ContinuousClock.now
        let value = try await body()
        let took = begin.duration(to: .now) / .milliseconds(1)
        times.withLock { $0.append(took) }
        return value
    }
}
