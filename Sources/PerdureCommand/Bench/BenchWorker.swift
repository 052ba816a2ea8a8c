import ArgumentParser
import Foundation
import Perdure
import Postgres
import ServiceLifecycle

/// A worker process of a measurement. It works until its standard input ends.
struct BenchWorker: AsyncParsableCommand {
    enum Kind: String, ExpressibleByArgument { case both, workflows, activities }

    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Run a measurement's worker process.", shouldDisplay: false)
    static let applicationName = "perdure bench worker"

    @OptionGroup var database: DatabaseOptions
    @Option var namespace: String
    @Option var slots: Int
    @Option var kind = Kind.both

    func run() async throws {
        var settings = WorkerOptions(namespace: namespace, taskQueue: Bench.taskQueue)
        settings.maxConcurrentActivities = slots
        settings.maxConcurrentWorkflowTasks = 500
        settings.maxCachedWorkflows = 20_000
        var configuration = database.configuration
        configuration.applicationName = Self.applicationName
        let pool = PostgresPool(configuration, maximumConnections: 8, logger: database.logger)
        let worker = Worker(
            pool: pool, options: settings,
            workflows: kind == .activities
                ? [] : [BenchSteps.self, BenchLocalSteps.self, BenchSleep.self, BenchSignals.self],
            activities: kind == .workflows ? [] : [BenchStep()], logger: database.logger)
        let group = ServiceGroup(
            services: [worker], gracefulShutdownSignals: [.sigterm, .sigint], logger: database.logger)
        // A thread, because reading blocks it until the parent is gone or wants this process to end.
        Thread.detachNewThread {
            _ = try? FileHandle.standardInput.readToEnd()
            Task { await group.triggerGracefulShutdown() }
        }
        try await group.run()
        await pool.close()
    }
}

/// The worker processes of a measurement.
struct BenchWorkers: Sendable {
    let processes: [BenchProcess]

    /// What they have used of the processors, in seconds.
    var processorTime: Double { processes.reduce(0) { $0 + Processor.time(of: $1.identifier) } }

    /// The memory that they hold now, in bytes.
    var residentBytes: Double { processes.reduce(0) { $0 + Processor.residentBytes(of: $1.identifier) } }

    func check() throws {
        for process in processes {
            if let status = process.exitStatus {
                throw BenchError(description: "a worker process ended with status \(status)")
            }
        }
    }
}

extension Bench {
    /// Runs the body beside worker processes, which have stopped when this returns, whatever happens.
    func withWorkers<Value: Sendable>(
        _ count: Int? = nil, _ body: (BenchWorkers) async throws -> Value
    ) async throws -> Value {
        let kinds: [BenchWorker.Kind] = options.slowPath ? [.workflows, .activities] : [.both]
        // Not as an argument, which others can see.
        var environment = ProcessInfo.processInfo.environment
        if let url = options.database.databaseURL { environment["DATABASE_URL"] = url }
        var processes: [BenchProcess] = []
        let result: Result<Value, any Error>
        do {
            for _ in 0..<(count ?? options.workers) {
                for kind in kinds {
                    processes.append(
                        try BenchProcess(
                            [
                                "bench", "worker", "--namespace", namespace, "--slots", "\(options.slots)", "--kind",
                                kind.rawValue,
                            ],
                            environment: environment))
                }
            }
            result = .success(try await body(BenchWorkers(processes: processes)))
        } catch {
            result = .failure(error)
        }
        // In a task of its own, which an interrupt has not cancelled.
        let all = processes
        await Task {
            await withTaskGroup(of: Void.self) { group in
                for process in all { group.addTask { await process.stop() } }
            }
        }.value
        return try result.get()
    }

    /// Waits until the processes have all registered.
    func waitUntilReady(_ workers: BenchWorkers) async throws {
        while true {
            let ready = try await connection.query(
                "select count(*) from perdure.live_workers where namespace = \(namespace)")[0].decode(Int.self, at: 0)
            if ready >= workers.processes.count { return }
            try workers.check()
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}
