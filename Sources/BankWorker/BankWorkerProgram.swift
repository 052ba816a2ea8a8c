import AsyncHTTPClient
import Bank
import ConsoleLog
import Foundation
import Logging
import Perdure
import PerdureEngine
import Postgres
import ServiceLifecycle

/// Runs transfers and their activities, until SIGTERM or SIGINT; or, as `bank-worker supervise`, runs several that do;
/// or, as `bank-worker migrate`, brings the bank's schema to the state of the checkout.
public enum BankWorkerProgram {
    public static func run() async {
        do {
            let arguments = CommandLine.arguments.dropFirst()
            switch arguments.first {
            case nil: try await work()
            case "migrate" where arguments.count == 1: try await migrate()
            case "supervise": try await Supervisor.run(try Supervisor.Arguments(arguments.dropFirst()))
            case let name?:
                throw StartupFailure(
                    "unknown argument \"\(name)\": give none for a worker, supervise for several, or migrate")
            }
        } catch {
            FileHandle.standardError.write(Data("bank-worker: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func migrate() async throws {
        let database = PostgresConfiguration.fromEnvironment()
        let logger = Logger(label: "bank-worker") { _ in SwiftLogNoOpLogHandler() }
        guard let root = try Migrator.findRoot() else {
            throw StartupFailure(
                "there is no migrations/bank at or above this folder: run this in a checkout, or set PERDURE_ROOT")
        }
        do {
            let connection = try await PostgresConnection.connect(database, logger: logger)
            let isThere = try await connection.query("select to_regclass('perdure.applied_files') is not null")[0]
                .decode(Bool.self, at: 0)
            await connection.close()
            guard isThere else { throw StartupFailure("the engine is not installed here: run perdure migrate first") }
            let paths = try await BankSchema.migrator(root: root, configuration: database, logger: logger).migrate {
                print("applied \($0)")
            }
            if paths.isEmpty { print("the bank is up to date") }
        } catch let error as PostgresError {
            throw StartupFailure(error)
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
            services: [Patient(service: service, logger: logger)], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: quiet)
        do {
            try await group.run()
        } catch let error as PostgresError {
            throw StartupFailure(error)
        }
    }
}

/// Begins a service again and again while the database is not migrated: somebody migrates it, and nobody restarts the
/// programs.
private struct Patient: Service {
    let service: any Service
    let logger: Logger

    func run() async throws {
        var said = ""
        while true {
            do {
                return try await service.run()
            } catch let error where error.saysNotMigrated {
                let text = (error as? PostgresError).map { StartupFailure($0).description } ?? "\(error)"
                if text != said { logger.warning("\(text); waiting for that") }
                said = text
            }
            // Nothing comes of it when the program is told to stop meanwhile.
            do {
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
            } catch is CancellationError { return }
        }
    }
}

extension Error {
    fileprivate var saysNotMigrated: Bool {
        (self as? PostgresError)?.cause == .missingObject || (self as? EngineError)?.code == .incompatibleDatabase
    }
}
