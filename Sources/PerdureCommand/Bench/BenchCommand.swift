import ArgumentParser
import Foundation
import Postgres

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure what this machine and this database do.",
        discussion: """
            Every figure is of real workflows with their full histories, which are checked afterwards: a run that is \
            missing, or an event too many, fails the command. Each measurement has a namespace of its own and says \
            what it leaves there, so give it a database of its own, and drop that. Ctrl-C stops it and its workers.
            """,
        subcommands: [
            BenchBacklog.self, BenchSteady.self, BenchLatency.self, BenchLocal.self, BenchSignal.self, BenchTimers.self,
            BenchScale.self, BenchSleeping.self, BenchFinished.self, BenchWorker.self,
        ]
    )
}

struct BenchOptions: ParsableArguments {
    @OptionGroup var database: DatabaseOptions
    @Option(help: "How many workflows.")
    var workflows = 1000
    @Option(help: "How many activities each of them runs, one after the other.")
    var activities = 4
    @Option(help: "How many worker processes.")
    var workers = 1
    @Option(help: "How many activities a worker process runs at a time.")
    var slots = 1000
    @Flag(help: "Run workflows and activities in different processes, so that no step can be fused.")
    var slowPath = false
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    func validate() throws {
        guard workflows > 0, activities >= 0, workers > 0, slots > 0 else {
            throw ValidationError("--workflows, --workers and --slots take numbers above zero")
        }
    }

    /// The events of one finished workflow: its start and end, three of each workflow task and each activity.
    var eventsPerWorkflow: Int { 2 + 3 * (activities + 1) + 3 * activities }

    func connect() async throws -> PostgresConnection {
        try await PostgresConnection.connect(database.configuration, logger: database.logger)
    }
}

/// A result that cannot be right.
struct BenchError: Error, CustomStringConvertible {
    let description: String
}

extension [Double] {
    /// The value below which so large a share of the values lies.
    func percentile(_ share: Double) -> Double {
        let sorted = sorted()
        return sorted.isEmpty ? 0 : sorted[Swift.min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}
