import ArgumentParser
import Foundation
import Perdure
import PerdureEngine
import Postgres

struct BenchBacklog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backlog",
        abstract: "Start workflows, then see how fast worker processes work them off.")

    @OptionGroup var options: BenchOptions

    func run() async throws {
        let connection = try await PostgresConnection.connect(
            options.database.configuration, logger: options.database.logger)
        let runs = try await BenchRuns.start(options, on: connection)
        try await connection.simpleQuery("checkpoint")
        let before = try await ServerUsage.now(connection)
        let begin = Timestamp(Date())
        let workers = try BenchWorkers(options)
        try await runs.waitForAll(workers, on: connection)
        // The server adds up what a backend did once that is idle.
        try await Task.sleep(for: .seconds(1.2))
        let used = try await ServerUsage.now(connection) - before
        let processorTime = workers.processorTime
        let end = try await runs.check(options, on: connection)
        let seconds = end.duration(since: begin) / .seconds(1)
        let count = Double(options.workflows)
        options.print([
            "workflows": count, "seconds": seconds, "workflows_per_second": count / seconds,
            "activities_per_second": count * Double(options.activities) / seconds,
            "wal_bytes_per_workflow": used.walBytes / count,
            "transactions_per_workflow": used.transactions / count,
            "server_cpu_us_per_workflow": (used.processorTime ?? 0) * 1e6 / count,
            "worker_cpu_us_per_workflow": processorTime * 1e6 / count,
        ])
        withExtendedLifetime(workers) {}
    }
}

/// The runs of a measurement, known by the beginning of their workflow ids.
struct BenchRuns {
    let prefix: String
    let count: Int

    /// Starts runs as a client does, but many in a statement.
    static func start(_ options: BenchOptions, on connection: PostgresConnection) async throws -> BenchRuns {
        let runs = BenchRuns(prefix: "bench-\(UUID().uuidString.prefix(8))-", count: options.workflows)
        var started = 0
        while started < options.workflows {
            let next = min(started + 500, options.workflows)
            try await connection.query(
                """
                select count(s.run_id) from generate_series(\(Int64(started + 1)), \(Int64(next))) n, \
                perdure.start_workflow('BenchSteps', \(runs.prefix) || n, \(BenchWorker.taskQueue), \
                to_jsonb(\(Int64(options.activities)))) s
                """)
            started = next
        }
        return runs
    }

    func waitForAll(_ workers: BenchWorkers, on connection: PostgresConnection) async throws {
        while true {
            let rows = try await connection.query(
                "select exists (select from perdure.run_states where workflow_id like \(prefix) || '%')")
            guard try rows[0].decode(Bool.self, at: 0) else { return }
            try workers.check()
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Whether all have completed, with the histories that they must have.
    ///
    /// - Returns: when the last one closed.
    func check(_ options: BenchOptions, on connection: PostgresConnection) async throws -> Timestamp {
        let row = try await connection.query(
            """
            with runs as (
                select shard, run_id, status, history_length, close_time from perdure.executions
                where namespace = 'default' and workflow_id like \(prefix) || '%'),
            counted as (
                select run_id, (select count(*) from perdure.history_events e where e.shard = r.shard and e.run_id = r.run_id) \
            as events,
                (select count(*) from perdure.history_events e where e.shard = r.shard and e.run_id = r.run_id
                    and e.event_type = 'ActivityTaskCompleted') as completed
                from (select * from runs order by run_id limit 2000) r)
            select (select count(*) from runs where status = 'Completed') as completed,
                (select count(*) from runs where history_length <> \(Int64(options.eventsPerWorkflow))) as odd,
                (select count(*) from counted where events <> \(Int64(options.eventsPerWorkflow))
                    or completed <> \(Int64(options.activities))) as wrong,
                (select max(close_time) from runs) as last
            """)[0]
        let completed = try row.decode(Int.self, "completed")
        let odd = try row.decode(Int.self, "odd")
        let wrong = try row.decode(Int.self, "wrong")
        guard completed == count, odd == 0, wrong == 0 else {
            throw BenchError(
                description:
                    "of \(count) workflows \(completed) completed; \(odd + wrong) have not the history they must have")
        }
        return Timestamp(try row.decode(Date.self, "last"))
    }
}
