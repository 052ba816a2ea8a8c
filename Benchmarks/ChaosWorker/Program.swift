import AsyncHTTPClient
import Bank
import ConsoleLog
import Foundation
import Logging
import Perdure
import Postgres
import ServiceLifecycle

/// A worker of the bank that also runs the code of `Benchmarks/chaos`, which breaks every rule: in one process, so that
/// what one thing's trouble does to the others is seen.
@main
struct Main {
    static func main() async throws {
        ConsoleLog.bootstrap()
        let environment = ProcessInfo.processInfo.environment
        let logger = Logger(label: environment["PERDURE_WORKER_NAME"] ?? "chaos-worker")
        var database = PostgresConfiguration.fromEnvironment()
        database.applicationName = "perdure chaos-worker"
        let pool = PostgresPool(database, logger: logger)
        var options = WorkerOptions(taskQueue: "bank")
        options.lease = .seconds(environment["PERDURE_LEASE_SECONDS"].flatMap(Double.init) ?? 10)
        var connections = HTTPClient.Configuration()
        connections.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = options.maxConcurrentActivities
        let http = HTTPClient(configuration: connections)
        let accounts = AccountClient(
            url: environment["ACCOUNT_API_URL"] ?? "http://127.0.0.1:5000",
            timeout: .seconds(environment["ACCOUNT_API_TIMEOUT_SECONDS"].flatMap(Double.init) ?? 5), http: http)
        let worker = Worker(
            pool: pool, options: options, workflows: [TransferWorkflow.self] + Misuse.workflows,
            activityContainers: [TransferActivities(accounts: accounts), BadActivities()], logger: logger)
        var quiet = logger
        quiet.logLevel = .critical
        try await ServiceGroup(services: [worker], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet).run()
        try await http.shutdown()
        await pool.close()
    }
}
