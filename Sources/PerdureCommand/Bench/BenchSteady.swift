import ArgumentParser
import Foundation
import Perdure
import PerdureEngine
import Postgres

struct BenchSteady: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steady",
        abstract: "Start workflows at a steady rate, and see whether the last minute is as fast as the first.",
        discussion: """
            First it finds the peak: workflows are started as fast as they are worked off, so that starts count too. \
            Then they are started at a share of that, in twenty small groups a second, and at the end the peak is \
            measured again. A system that suffers shows lower throughput, longer latency, or a lower peak.
            """)

    @OptionGroup var options: BenchOptions
    @Option(help: "Workflows a second, instead of a share of the peak.")
    var rate: Int?
    @Option(help: "The share of the peak, in percent.")
    var percent = 70
    @Option(help: "How many seconds.")
    var seconds = 600
    @Option(help: "How many seconds the peak is measured, before and after.")
    var peakSeconds = 20
    @Flag(help: "Leave a transaction with a snapshot open for the whole run, so that vacuum can clean nothing up.")
    var heldXmin = false
    @Option(help: "How many people look at the history pages all the time: lists, counts and single runs.")
    var readers = 0

    func validate() throws {
        guard rate ?? 1 > 0, (1...100).contains(percent), seconds > 0, peakSeconds > 0, readers >= 0 else {
            throw ValidationError("--rate, --seconds and --peak-seconds take numbers above zero, --percent 1 to 100")
        }
    }

    func run() async throws {
        try await Bench.run(options) { bench in
            try await bench.withWorkers { workers in
                try await bench.waitUntilReady(workers)
                let starter = try await options.connect()
                let peak = try await bench.peak("p-", peakSeconds, workers, starter)
                Bench.note("The peak is \(Int(peak)) workflows/s")
                return try await bench.whileXminIsHeld(heldXmin) {
                    try await measure(bench, workers, starter, peak: peak)
                }
            }
        }
    }

    private func measure(
        _ bench: Bench, _ workers: BenchWorkers, _ starter: PostgresConnection, peak: Double
    ) async throws -> BenchReport {
        let rate = rate ?? max(1, Int(peak * Double(percent) / 100))
        let relationsBefore = try await bench.relations()
        let before = try await ServerUsage.settled(bench.connection)
        let processorTimeBefore = workers.processorTime
        let memoryBefore = workers.residentBytes
        let begin = try await bench.now()
        let reads = BenchReaders(bench: bench)
        let runs = try await reads.whileReading(readers) {
            try await bench.load("s-", rate: rate, seconds: seconds, workers, on: starter)
        }
        try await runs.waitForAll(workers)
        let drained = try await bench.now().timeIntervalSince(begin) - Double(seconds)
        let used = try await ServerUsage.settled(bench.connection) - before
        let processorTime = workers.processorTime - processorTimeBefore
        let relationsAfter = try await bench.relations()
        let memoryAfter = workers.residentBytes
        let peakAfter = try await reads.whileReading(readers) {
            try await bench.peak("q-", peakSeconds, workers, starter)
        }
        try await runs.check()

        // Minutes, or six parts of less.
        let length = seconds >= 120 ? 60.0 : Double(seconds) / 6
        let intervals = try await runs.intervals(of: length, since: begin, Int(Double(seconds) / length))
        let first = intervals[0]
        let last = intervals[intervals.count - 1]
        let count = Double(runs.count)
        var report = BenchReport([
            "held_xmin": heldXmin ? 1 : 0, "readers": Double(readers), "peak_per_second": peak,
            "rate_per_second": Double(rate), "seconds": Double(seconds), "workflows": count,
            "first_per_second": first.perSecond, "last_per_second": last.perSecond,
            "last_of_first": last.perSecond / max(first.perSecond, 0.001), "first_p50_ms": first.p50,
            "last_p50_ms": last.p50, "first_p99_ms": first.p99, "last_p99_ms": last.p99,
            "seconds_behind_at_the_end": drained, "peak_after_per_second": peakAfter,
            "peak_after_of_before": peakAfter / peak,
            "wal_bytes_per_workflow": used.walBytes / count, "transactions_per_workflow": used.transactions / count,
            "server_cpu_us_per_workflow": (used.processorTime ?? .nan) * 1e6 / count,
            "worker_cpu_us_per_workflow": processorTime * 1e6 / count,
            "worker_mb_before": memoryBefore / 1e6, "worker_mb_after": memoryAfter / 1e6,
        ])
        if readers > 0 { report.add(reads.figures) }
        report.add(
            BenchReport.Table(
                name: length == 60 ? "minutes" : "parts", headings: ["part", "per_second", "p50_ms", "p99_ms"],
                rows: intervals.enumerated().map { number, interval in
                    [
                        .rounded(Double(number + 1)), .rounded(interval.perSecond), .rounded(interval.p50),
                        .rounded(interval.p99),
                    ]
                }))
        report.add(
            BenchReport.Table(
                name: "relations",
                headings: [
                    "relation", "dead_before", "dead_after", "table_mb_before", "table_mb_after", "index_mb_before",
                    "index_mb_after",
                ],
                rows: zip(relationsBefore, relationsAfter).map { before, after in
                    [
                        .string(before.name), .rounded(before.dead), .rounded(after.dead),
                        .rounded(before.tableBytes / 1e6),
                        .rounded(after.tableBytes / 1e6), .rounded(before.indexBytes / 1e6),
                        .rounded(after.indexBytes / 1e6),
                    ]
                }))
        return report
    }
}

extension Bench {
    /// Starts workflows in twenty small groups a second, in step with a clock that does not wait for them.
    func load(
        _ prefix: String, rate: Int, seconds: Int, _ workers: BenchWorkers, on connection: PostgresConnection
    ) async throws -> BenchRuns {
        let begin = ContinuousClock.now
        var started = 0
        while started < rate * seconds {
            let passed = begin.duration(to: .now) / .seconds(1)
            let due = min(Int(passed * Double(rate)), rate * seconds)
            // Far behind, a statement must not become a long one.
            let next = min(due, started + 500)
            try await start("BenchSteps", prefix, started..<next, input: options.activities, on: connection)
            started = next
            if next == due {
                try workers.check()
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        return BenchRuns(bench: self, prefix: prefix, count: started)
    }

    /// How many workflows a second are started and worked off when there is always enough to do.
    func peak(_ prefix: String, _ seconds: Int, _ workers: BenchWorkers, _ starter: PostgresConnection) async throws
        -> Double
    {
        let runs = BenchRuns(bench: self, prefix: prefix, count: 0)
        // Enough for full batches, and few at a time, so that the runs are at different places and do not end all at
        // once.
        let most = 500 * workers.processes.count
        let warmUp = 5
        let begin = ContinuousClock.now
        var started = 0
        while begin.duration(to: .now) < .seconds(warmUp + seconds) {
            let wanted = min(most - (try await runs.open(upTo: most)), 100)
            if wanted > 0 {
                try await start(
                    "BenchSteps", prefix, started..<(started + wanted), input: options.activities, on: starter)
                started += wanted
            } else {
                try await Task.sleep(for: .milliseconds(10))
            }
            try workers.check()
        }
        let end = try await now()
        let all = BenchRuns(bench: self, prefix: prefix, count: started)
        try await all.waitForAll(workers)
        try await all.check()
        let measured = try await all.intervals(of: Double(seconds), since: end.addingTimeInterval(-Double(seconds)), 1)
        return measured[0].perSecond
    }

    /// Runs the body beside a transaction whose snapshot is as old as the call.
    func whileXminIsHeld<Value: Sendable>(_ held: Bool, _ body: () async throws -> Value) async throws -> Value {
        guard held else { return try await body() }
        let holder = try await options.connect()
        return try await holder.transaction(isolation: .repeatableRead) { transaction in
            try await transaction.query("select count(*) from perdure.namespaces")
            return try await body()
        }
    }

    struct Relation: Sendable {
        let name: String
        let dead: Double
        let tableBytes: Double
        let indexBytes: Double
    }

    /// The engine's tables that grow and shrink with the load, and what they hold.
    func relations() async throws -> [Relation] {
        try await connection.query(
            """
            select relname::text, n_dead_tup::float8 as dead, pg_table_size(relid)::float8 as table,
                pg_indexes_size(relid)::float8 as index
            from pg_stat_user_tables where schemaname = 'perdure'
                and relname in ('executions', 'history', 'run_states', 'workflow_tasks', 'activity_tasks', 'timers',
                    'workers') order by relname
            """
        ).map { row in
            Relation(
                name: try row.decode("relname"), dead: try row.decode("dead"), tableBytes: try row.decode("table"),
                indexBytes: try row.decode("index"))
        }
    }
}
