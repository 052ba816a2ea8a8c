import ArgumentParser
import Foundation
import PerdureEngine
import Postgres

struct BenchScale: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract: "Work off one backlog after the other with more and more worker processes, and name what limits them."
    )

    @OptionGroup var options: BenchOptions
    @Option(name: .customLong("processes"), help: "Numbers of worker processes, in turn, separated by commas.")
    var processes = "1,2,4,8"

    private var counts: [Int] { processes.split(separator: ",").compactMap { Int($0) } }

    func validate() throws {
        guard !counts.isEmpty, counts.allSatisfy({ $0 > 0 }), counts.count == processes.split(separator: ",").count
        else {
            throw ValidationError("--processes takes numbers above zero, as in 1,2,4,8")
        }
    }

    func run() async throws {
        try await Bench.run(options) { bench in
            var table = BenchReport.Table(
                name: "scale",
                headings: [
                    "processes", "workflows_per_second", "server_cores", "worker_cores", "machine_busy",
                    "wal_mb_per_second",
                    "server_cpu_us_per_workflow", "waits", "limit",
                ])
            var rates: [Double] = []
            for (number, count) in counts.enumerated() {
                let (measured, waits) = try await BenchWaits.sampled(options) {
                    try await bench.measureBacklog("b\(number)-", workers: count)
                }
                let server = (measured.used.processorTime ?? 0) / measured.seconds
                let workers = measured.workerProcessorTime / measured.seconds
                rates.append(measured.perSecond)
                table.rows.append([
                    .rounded(Double(count)), .rounded(measured.perSecond), .rounded(server), .rounded(workers),
                    .rounded(measured.machineBusy),
                    .rounded(measured.used.walBytes / 1e6 / measured.seconds),
                    .rounded((measured.used.processorTime ?? .nan) * 1e6 / measured.count), .string(waits.shown),
                    .string(limit(server, workers, measured.machineBusy, waits)),
                ])
                Bench.note("\(count) processes: \(Int(measured.perSecond)) workflows/s")
            }
            var report = BenchReport([
                "best_per_second": rates.max() ?? 0, "last_of_best": (rates.last ?? 0) / max(rates.max() ?? 0, 0.001),
            ])
            report.add(table)
            return report
        }
    }

    private func limit(_ server: Double, _ workers: Double, _ busy: Double, _ waits: BenchWaits) -> String {
        let cores = Double(ProcessInfo.processInfo.activeProcessorCount)
        if busy > 0.85 {
            let others = busy * cores - server - workers > 0.3 * cores ? ", the rest others" : ""
            return String(format: "processors (server %.1f and workers %.1f of %.0f\(others))", server, workers, cores)
        }
        if let most = waits.most, most.share > 0.3, most.event != "running" { return most.event }
        return "none of these alone"
    }
}

/// What the workers' statements were waiting for, by looking often.
struct BenchWaits: Sendable {
    private(set) var seen: [String: Int] = [:]

    private var total: Int { seen.values.reduce(0, +) }

    var most: (event: String, share: Double)? {
        seen.max { $0.value < $1.value }.map { ($0.key, Double($0.value) / Double(max(total, 1))) }
    }

    var shown: String {
        seen.sorted { $0.value > $1.value }.prefix(4).map { "\($0.key) \(100 * $0.value / max(total, 1))%" }
            .joined(separator: ", ")
    }

    static func sampled<Value: Sendable>(
        _ options: BenchOptions, _ body: () async throws -> Value
    ) async throws -> (Value, BenchWaits) {
        let connection = try await options.connect()
        let sampler = Task {
            var waits = BenchWaits()
            while !Task.isCancelled {
                do {
                    let rows = try await connection.query(
                        """
                        select coalesce(wait_event_type || ' ' || wait_event, 'running') as event from pg_stat_activity
                        where datname = current_database() and state = 'active'
                            and application_name = \(BenchWorker.applicationName)
                        """)
                    for row in rows { waits.seen[try row.decode("event"), default: 0] += 1 }
                } catch  where Task.isCancelled {
                    // The look that was under way when it was over.
                    break
                }
                // Ends early when it is cancelled, and so does the loop.
                try? await Task.sleep(for: .milliseconds(50))
            }
            return waits
        }
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        sampler.cancel()
        return (try result.get(), try await sampler.value)
    }
}
