import ArgumentParser
import Foundation
import Perdure
import PerdureEngine
import Postgres

struct BenchSteady: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steady",
        abstract: "Start workflows at a steady rate, and see whether the last minute is as fast as the first.")

    @OptionGroup var options: BenchOptions
    @Option(help: "Workflows a second.")
    var rate = 200
    @Option(help: "How many seconds.")
    var seconds = 60

    func run() async throws {
        let connection = try await PostgresConnection.connect(
            options.database.configuration, logger: options.database.logger)
        let workers = try BenchWorkers(options)
        let before = try await ServerUsage.now(connection)
        let prefix = "bench-\(UUID().uuidString.prefix(8))-"
        let count = try await Self.load(prefix, rate, seconds, options, workers, on: connection)
        let runs = BenchRuns(prefix: prefix, count: count)
        try await runs.waitForAll(workers, on: connection)
        try await Task.sleep(for: .seconds(1.2))
        let used = try await ServerUsage.now(connection) - before
        let processorTime = workers.processorTime
        _ = try await runs.check(options, on: connection)
        let row = try await connection.query(
            """
            with runs as (
                select start_time, close_time, extract(epoch from close_time - start_time)::float8 * 1000 as took,
                    ntile(10) over (order by start_time) as tenth
                from perdure.executions where namespace = 'default' and workflow_id like \(prefix) || '%'),
            tenths as (
                select tenth, percentile_cont(0.5) within group (order by took) as p50, \
            percentile_cont(0.99) within group (order by took) as p99,
                    count(*) / extract(epoch from max(close_time) - min(close_time))::float8 as rate
                from runs group by tenth)
            select (select p50 from tenths where tenth = 1) as first_p50, (select p50 from tenths where tenth = 10) as last_p50,
                (select p99 from tenths where tenth = 1) as first_p99, (select p99 from tenths where tenth = 10) as last_p99,
                (select rate from tenths where tenth = 1) as first_rate, (select rate from tenths where tenth = 10) as last_rate,
                (select sum(n_dead_tup)::float8 from pg_stat_user_tables where schemaname = 'perdure') as dead,
                (pg_total_relation_size('perdure.workflow_tasks') + pg_total_relation_size('perdure.activity_tasks') \
            + pg_total_relation_size('perdure.run_states'))::float8 as queue_bytes
            """)[0]
        options.print([
            "workflows": Double(count), "workflows_per_second": Double(count) / Double(seconds),
            "first_tenth_per_second": try row.decode("first_rate"),
            "last_tenth_per_second": try row.decode("last_rate"),
            "first_tenth_p50_ms": try row.decode("first_p50"), "last_tenth_p50_ms": try row.decode("last_p50"),
            "first_tenth_p99_ms": try row.decode("first_p99"), "last_tenth_p99_ms": try row.decode("last_p99"),
            "dead_rows": try row.decode("dead"), "queue_tables_bytes": try row.decode("queue_bytes"),
            "wal_bytes_per_workflow": used.walBytes / Double(count),
            "transactions_per_workflow": used.transactions / Double(count),
            "server_cpu_us_per_workflow": (used.processorTime ?? 0) * 1e6 / Double(count),
            "worker_cpu_us_per_workflow": processorTime * 1e6 / Double(count),
        ])
        withExtendedLifetime(workers) {}
    }

    /// Starts workflows in twenty small groups a second.
    static func load(
        _ prefix: String, _ rate: Int, _ seconds: Int, _ options: BenchOptions, _ workers: BenchWorkers,
        on connection: PostgresConnection
    ) async throws -> Int {
        let begin = ContinuousClock.now
        var started = 0
        while true {
            let passed = begin.duration(to: .now) / .seconds(1)
            let due = min(Int(passed * Double(rate)), rate * seconds)
            if due > started {
                try await connection.query(
                    """
                    select count(s.run_id) from generate_series(\(Int64(started + 1)), \(Int64(due))) n, \
                    perdure.start_workflow('BenchSteps', \(prefix) || n, \(BenchWorker.taskQueue), \
                    to_jsonb(\(Int64(options.activities)))) s
                    """)
                started = due
            }
            guard started < rate * seconds else { return started }
            try workers.check()
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

struct BenchTimers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "timers",
        abstract: "Let sleeping workflows wake within some seconds, beside a load, and see how late each timer fires.")

    @OptionGroup var options: BenchOptions
    @Option(help: "Workflows a second beside them.")
    var rate = 200
    @Option(help: "Over how many seconds the timers are due.")
    var seconds = 60

    func run() async throws {
        let connection = try await PostgresConnection.connect(
            options.database.configuration, logger: options.database.logger)
        let prefix = "bench-\(UUID().uuidString.prefix(8))-"
        // All must have begun to sleep before the first is due.
        let lead = 5 + options.workflows / 1000
        let workers = try BenchWorkers(options)
        for first in stride(from: 1, through: options.workflows, by: 500) {
            let last = min(first + 499, options.workflows)
            try await connection.query(
                """
                select count(s.run_id) from generate_series(\(Int64(first)), \(Int64(last))) n, \
                perdure.start_workflow('BenchSleep', \(prefix) || 't' || n, \(BenchWorker.taskQueue), \
                to_jsonb((\(Int64(lead * 1000)) + random() * \(Int64(seconds * 1000)))::bigint)) s
                """)
        }
        if rate > 0 {
            let count = try await BenchSteady.load(
                prefix + "w", rate, seconds + lead, options, workers, on: connection)
            let load = BenchRuns(prefix: prefix + "w", count: count)
            try await load.waitForAll(workers, on: connection)
            _ = try await load.check(options, on: connection)
        }
        try await BenchRuns(prefix: prefix + "t", count: options.workflows).waitForAll(workers, on: connection)
        let row = try await connection.query(
            """
            with runs as (
                select shard, run_id from perdure.executions
                where namespace = 'default' and workflow_id like \(prefix) || 't%'),
            late as (
                select extract(epoch from f.event_time - s.event_time - (s.attributes ->> 'startToFireTimeout')::interval)::float8 \
            * 1000 as ms
                from runs
                join perdure.history_events s on s.shard = runs.shard and s.run_id = runs.run_id and s.event_type = 'TimerStarted'
                join perdure.history_events f on f.shard = runs.shard and f.run_id = runs.run_id and f.event_type = 'TimerFired')
            select count(*) as fired, coalesce(percentile_cont(0.5) within group (order by ms), 0) as p50,
                coalesce(percentile_cont(0.99) within group (order by ms), 0) as p99, coalesce(max(ms), 0) as most,
                count(*) filter (where ms < 0) as early
            from late
            """)[0]
        let fired = try row.decode(Int.self, "fired")
        guard fired == options.workflows, try row.decode(Int.self, "early") == 0 else {
            throw BenchError(description: "of \(options.workflows) timers \(fired) fired, or some too early")
        }
        options.print([
            "timers": Double(fired), "p50_ms": try row.decode("p50"), "p99_ms": try row.decode("p99"),
            "most_ms": try row.decode("most"),
        ])
        withExtendedLifetime(workers) {}
    }
}
