import ConsoleLog
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// The frontend (port 7233), as a program: reads its settings from the environment and serves until told to stop.
public enum FrontendProgram {
    public static func run() async {
        do {
            try await serve()
        } catch {
            FileHandle.standardError.write(Data("perdure-frontend: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func serve() async throws {
        let settings = try FrontendSettings(environment: ProcessInfo.processInfo.environment)
        ConsoleLog.bootstrap()
        let logger = Logger(label: "frontend")
        var configuration = PostgresConfiguration.fromEnvironment()
        configuration.applicationName = "perdure frontend"
        let pool = PostgresPool(configuration, maximumConnections: 16, logger: logger)
        let server = FrontendServer(pool: pool, settings: settings, logger: logger)
        var quiet = logger
        quiet.logLevel = .critical
        let group = ServiceGroup(services: [server], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet)
        try await group.run()
        await pool.close()
    }
}
