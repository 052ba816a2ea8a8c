import AsyncHTTPClient
import Bank
import ConsoleLog
import Foundation
import Logging
import Perdure
import Postgres
import ServiceLifecycle

/// Runs transfers and their activities, until SIGTERM or SIGINT; or, as `bank-worker supervise`, runs several that do.
public enum BankWorkerProgram {
    public static func run() async {
        do {
            let arguments = CommandLine.arguments.dropFirst()
            switch arguments.first {
            case nil: try await work()
            case "supervise": try await Supervisor.run(try Supervisor.Arguments(arguments.dropFirst()))
            case let name?:
                throw StartupFailure("unknown argument \"\(name)\": give none for a worker, or supervise for several")
            }
        } catch {
            FileHandle.standardError.write(Data("bank-worker: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func work() async throws {
        let settings = try BankWorkerSettings()
        ConsoleLog.bootstrap()
        // A supervisor tells its workers apart.
        let name = ProcessInfo.processInfo.environment["PERDURE_WORKER_NAME"] ?? "bank-worker"
        let logger = Logger(label: name)
        if let bug = Bug.shipped { logger.warning("This worker has a bug on purpose: PERDURE_BANK_BUG=\(bug)") }

        var database = PostgresConfiguration.fromEnvironment()
        database.applicationName = "perdure bank-worker"
        let pool = PostgresPool(database, logger: logger)
        // One connection for each activity that may run: a call that hangs holds up no other.
        var connections = HTTPClient.Configuration()
        connections.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = settings.worker.maxConcurrentActivities
        let http = HTTPClient(configuration: connections)

        let accounts = AccountClient(url: settings.accountAPI, timeout: settings.accountAPITimeout, http: http)
        let worker = Worker(
            pool: pool, options: settings.worker, workflows: [TransferWorkflow.self],
            activityContainers: [TransferActivities(accounts: accounts)], logger: logger)
        try await serve(worker, logger: logger)
        try await http.shutdown()
        await pool.close()
    }

    /// Runs a service until SIGTERM or SIGINT.
    static func serve(_ service: any Service, logger: Logger) async throws {
        var quiet = logger
        quiet.logLevel = .critical
        let group = ServiceGroup(
            services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
        do {
            try await group.run()
        } catch let error as PostgresError {
            throw StartupFailure(error)
        }
    }
}
