import Foundation
import Postgres

extension Bench {
    /// Fills the database with copies of a run that the engine has made: every row of it, with another run id, workflow
    /// id and times. So they have the shape of real ones, and are: a worker goes on with an open one.
    ///
    /// - Parameters:
    ///   - template: the workflow id of a run that no worker holds.
    ///   - wakeSoon: of how many the timer is due in a while, instead of after the template's.
    func clone(_ template: String, _ prefix: String, _ numbers: Range<Int>, wakeSoon: Int = 0) async throws {
        var told = ContinuousClock.now
        for first in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 20_000) {
            let last = min(first + 20_000, numbers.upperBound) - 1
            try await connection.query(
                """
                with template as materialized (
                    select e.shard, e.run_id, e.start_time, e.close_time, k.scheduled_at, t.fire_at
                        from perdure.executions e
                    left join perdure.workflow_tasks k on k.shard = e.shard and k.run_id = e.run_id
                    left join perdure.timers t on t.shard = e.shard and t.run_id = e.run_id
                    where e.shard = perdure.shard_for(\(namespace), \(template)) and e.namespace = \(namespace)
                        and e.workflow_id = \(template)),
                clone as materialized (
                    select t.shard as of_shard, t.run_id as of_run, jsonb_strip_nulls(jsonb_build_object(
                        'run_id', perdure.new_run_id(clock_timestamp()), 'workflow_id', \(prefix) || n,
                        'shard', perdure.shard_for(\(namespace), \(prefix) || n),
                        'start_time', t.start_time - age, 'execution_time', t.start_time - age,
                        'close_time', t.close_time - age,
                        'scheduled_at', t.scheduled_at - age,
                        'fire_at', case when n < \(Int64(wakeSoon)) then clock_timestamp() + interval '20 s'
                            else t.fire_at + n * interval '1 ms' end)) as changes
                    from template t, generate_series(\(Int64(first)), \(Int64(last))) n,
                        lateral (select (\(Int64(numbers.upperBound)) - n) * interval '1 ms' as age) a),
                executions as (
                    insert into perdure.executions select r.* from clone c
                    join perdure.executions t on t.shard = c.of_shard and t.run_id = c.of_run,
                        lateral jsonb_populate_record(t, c.changes) r),
                run_states as (
                    insert into perdure.run_states select r.* from clone c
                    join perdure.run_states t on t.shard = c.of_shard and t.run_id = c.of_run,
                        lateral jsonb_populate_record(t, c.changes) r),
                history as (
                    insert into perdure.history select r.* from clone c
                    join perdure.history t on t.shard = c.of_shard and t.run_id = c.of_run,
                        lateral jsonb_populate_record(t, c.changes) r),
                workflow_tasks as (
                    insert into perdure.workflow_tasks select r.* from clone c
                    join perdure.workflow_tasks t on t.shard = c.of_shard and t.run_id = c.of_run,
                        lateral jsonb_populate_record(t, c.changes) r)
                insert into perdure.timers select r.* from clone c
                join perdure.timers t on t.shard = c.of_shard and t.run_id = c.of_run,
                    lateral jsonb_populate_record(t, c.changes) r
                """)
            if told.duration(to: .now) > .seconds(5) {
                told = .now
                Self.note("  \(last + 1) of \(numbers.upperBound)")
            }
        }
    }

    /// As autovacuum would have done by and by, so that it does not do it in the middle of a measurement.
    func settle() async throws {
        Self.note("Vacuuming")
        for table in ["executions", "run_states", "history", "workflow_tasks", "activity_tasks", "timers"] {
            try await connection.simpleQuery("vacuum (analyze) perdure.\(table)")
        }
        try await connection.simpleQuery("checkpoint")
    }

    /// What claims cost, by SQL alone: of a queue with work, and of one without.
    struct ClaimCost: Sendable {
        /// Pages and milliseconds of one that hands out twenty tasks.
        let pages: Double
        let milliseconds: Double
        /// Milliseconds from call to answer of one that finds nothing.
        let idlePoll: Double
        let plan: String
    }

    /// - Parameter queue: one with at least two hundred tasks; they are handed back.
    func claimCost(of queue: String) async throws -> ClaimCost {
        let shard: Int16 =
            try await connection.query("select min(shard) from perdure.workflow_tasks")[0]
            .decode(Int16?.self, at: 0) ?? 0
        let worker = UUID()
        try await connection.query(
            """
            select perdure.register_worker(\(worker), \(namespace), 'perdure bench', '',
                array[\(queue), 'nothing here'], interval '1 hour', '{}')
            """)
        var idle: [Double] = []
        for _ in 0..<300 {
            let begin = ContinuousClock.now
            try await connection.query(
                "select run_id from perdure.claim_workflow_tasks_as_stored(\(shard), \(worker), 'nothing here', 20)")
            idle.append(begin.duration(to: .now) / .milliseconds(1))
        }
        var pages: [Double] = []
        var times: [Double] = []
        for _ in 0..<9 {
            let lines = try await connection.query(
                """
                explain (analyze, buffers, timing off, summary on)
                    select run_id from perdure.claim_workflow_tasks_as_stored(\(shard), \(worker), \(queue), 20)
                """
            ).map { try $0.decode(String.self, at: 0) }
            pages.append(lines.first { $0.contains("Buffers:") }.map(Self.pages) ?? 0)
            times.append(
                lines.first { $0.hasPrefix("Execution Time:") }.flatMap {
                    $0.split(separator: " ").compactMap { Double($0) }.first
                }
                    ?? 0)
        }
        try await connection.query("select perdure.stop_worker(\(worker))")
        let plan = try await connection.query(
            """
            explain (analyze, buffers, costs off, timing off, summary off)
                select t.run_id from perdure.workflow_tasks t
                where t.shard = \(shard) and t.namespace = \(namespace) and t.task_queue = \(queue)
                    and t.state = 'scheduled' and t.sticky_worker is null
                order by t.priority, t.scheduled_at limit 20
            """
        ).map { try $0.decode(String.self, at: 0) }.joined(separator: "\n")
        return ClaimCost(
            pages: pages.percentile(0.5), milliseconds: times.percentile(0.5), idlePoll: idle.percentile(0.5),
            plan: plan)
    }

    /// Of "Buffers: shared hit=3 read=4 dirtied=1" the pages that were looked at.
    private static func pages(_ line: String) -> Double {
        line.split(separator: " ").reduce(0) { sum, word in
            guard word.hasPrefix("hit=") || word.hasPrefix("read=") else { return sum }
            return sum + (Double(word.drop { $0 != "=" }.dropFirst()) ?? 0)
        }
    }
}
