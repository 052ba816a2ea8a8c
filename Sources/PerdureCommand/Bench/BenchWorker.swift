import ArgumentParser
import Foundation
import Perdure
import Postgres

/// A worker process of a measurement.
struct BenchWorker: AsyncParsableCommand {
    enum Kind: String, ExpressibleByArgument { case both, workflows, activities }

    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Run a measurement's worker process.", shouldDisplay: false)

    static let taskQueue = "bench"

    @OptionGroup var options: BenchOptions
    @Option var kind = Kind.both

    func run() async throws {
        var settings = WorkerOptions(taskQueue: Self.taskQueue)
        settings.maxConcurrentActivities = options.slots
        settings.maxConcurrentWorkflowTasks = 500
        settings.maxCachedWorkflows = 20_000
        let worker = Worker(
            pool: options.pool(8), options: settings,
            workflows: kind == .activities ? [] : [BenchSteps.self, BenchSleep.self, BenchSignals.self],
            activities: kind == .workflows ? [] : [BenchStep()], logger: options.database.logger)
        try await worker.run()
    }
}

/// The worker processes of a measurement.
final class BenchWorkers {
    private(set) var processes: [Process] = []

    init(_ options: BenchOptions) throws {
        let kinds: [BenchWorker.Kind] = options.slowPath ? [.workflows, .activities] : [.both]
        for _ in 0..<options.workers {
            for kind in kinds {
                let process = Process()
                process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
                process.arguments = ["bench", "worker", "--kind", kind.rawValue, "--slots", "\(options.slots)"]
                // Not as an argument, which others can see.
                var environment = ProcessInfo.processInfo.environment
                if let url = options.database.databaseURL { environment["DATABASE_URL"] = url }
                process.environment = environment
                process.standardOutput = FileHandle.standardError
                try process.run()
                processes.append(process)
            }
        }
    }

    /// What they have used of the processors, in seconds.
    var processorTime: Double { processes.reduce(0) { $0 + Processor.time(of: $1.processIdentifier) } }

    func check() throws {
        for process in processes where !process.isRunning {
            throw BenchError(description: "a worker process ended with status \(process.terminationStatus)")
        }
    }

    deinit { for process in processes where process.isRunning { process.terminate() } }
}
