import Foundation
import Postgres

/// Runs of a measurement, known by the beginning of their workflow ids.
struct BenchRuns: Sendable {
    let bench: Bench
    let prefix: String
    let count: Int

    /// All ids with the prefix come before this one.
    private var end: String { prefix + "~" }

    /// How many are open, counted up to a number.
    func open(upTo limit: Int, on connection: PostgresConnection? = nil) async throws -> Int {
        try await (connection ?? bench.connection).query(
            """
            select count(*) from (
                select from generate_series(0, perdure.shard_count() - 1) s
                cross join lateral (
                    select from perdure.executions e
                    where e.shard = s::smallint and e.namespace = \(bench.namespace) and e.status = 'Running'
                        and e.workflow_id >= \(prefix) and e.workflow_id < \(end) limit \(Int64(limit))) e
                limit \(Int64(limit))) o
            """)[0].decode(Int.self, at: 0)
    }

    func waitForAll(_ workers: BenchWorkers) async throws {
        while try await open(upTo: 1) > 0 {
            try workers.check()
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    /// Whether all have completed, with the histories that they must have.
    ///
    /// - Returns: when the last one closed.
    @discardableResult
    func check() async throws -> Date {
        let events = Int64(bench.options.eventsPerWorkflow)
        let row = try await bench.connection.query(
            """
            with runs as (
                select shard, run_id, status, history_length, close_time from perdure.executions
                where namespace = \(bench.namespace) and workflow_id >= \(prefix) and workflow_id < \(end)),
            counted as (
                select run_id, (select count(*) from perdure.history_events e
                    where e.shard = r.shard and e.run_id = r.run_id) as events,
                    (select count(*) from perdure.history_events e where e.shard = r.shard and e.run_id = r.run_id
                        and e.event_type = 'ActivityTaskCompleted') as completed
                from (select * from runs order by run_id limit 2000) r)
            select (select count(*) from runs where status = 'Completed') as completed,
                (select count(*) from runs where history_length is distinct from \(events)) as odd,
                (select count(*) from counted where events <> \(events)
                    or completed <> \(Int64(bench.options.activities))) as wrong,
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
        return try row.decode(Date.self, "last")
    }

    /// How long they took from their start to their end, and how many closed a second, interval by interval.
    func intervals(of seconds: Double, since begin: Date, _ count: Int) async throws -> [Interval] {
        let rows = try await bench.connection.query(
            """
            with runs as (
                select floor(extract(epoch from close_time - \(begin))::float8 / \(seconds))::bigint as number,
                    extract(epoch from close_time - start_time)::float8 * 1000 as took
                from perdure.executions
                where namespace = \(bench.namespace) and workflow_id >= \(prefix) and workflow_id < \(end)
                    and close_time >= \(begin))
            select number, count(*) as closed, percentile_cont(0.5) within group (order by took) as p50,
                percentile_cont(0.99) within group (order by took) as p99
            from runs where number < \(Int64(count)) group by number
            """)
        var intervals = (0..<count).map { _ in Interval(perSecond: 0, p50: 0, p99: 0) }
        for row in rows {
            intervals[try row.decode(Int.self, "number")] = Interval(
                perSecond: Double(try row.decode(Int.self, "closed")) / seconds, p50: try row.decode("p50"),
                p99: try row.decode("p99"))
        }
        return intervals
    }

    struct Interval: Sendable {
        let perSecond: Double
        /// Milliseconds from start to end of those that closed in it.
        let p50: Double
        let p99: Double
    }
}
