import ArgumentParser
import Foundation
import Logging
import Perdure
import PerdureEngine
import Postgres

/// Where the database is.
struct DatabaseOptions: ParsableArguments {
    @Option(
        name: [.customLong("database-url")],
        help: ArgumentHelp(
            "A connection string. Other users of the machine can see it: prefer DATABASE_URL, or a password file.",
            valueName: "url"))
    var databaseURL: String?

    var configuration: PostgresConfiguration {
        var configuration = PostgresConfiguration.fromEnvironment()
        if let databaseURL {
            let preparedStatements = configuration.preparedStatements
            configuration = PostgresConfiguration(databaseURL)
            configuration.preparedStatements = preparedStatements
        }
        configuration.applicationName = "perdure command"
        return configuration
    }

    /// Warnings go to standard error; what the commands have to say, they print.
    var logger: Logger {
        Logger(label: "perdure") { _ in WarningLog() }
    }

    /// Fails at once when there is no such database, instead of waiting for it.
    func withPool<T: Sendable>(_ body: (PostgresPool) async throws -> T) async throws -> T {
        try await PostgresConnection.connect(configuration, logger: logger).close()
        let pool = PostgresPool(configuration, maximumConnections: 4, logger: logger)
        do {
            let value = try await body(pool)
            await pool.close()
            return value
        } catch {
            await pool.close()
            throw error
        }
    }
}

/// The database and a namespace in it.
struct ClientOptions: ParsableArguments {
    @OptionGroup var database: DatabaseOptions
    @Option(name: [.customShort("n"), .long], help: "The namespace. [env: PERDURE_NAMESPACE] (default: default)")
    var namespace: String?
    @Option(name: [.customShort("o"), .long], help: "text or json.")
    var output = OutputFormat.text

    var namespaceName: String { namespace ?? environment("PERDURE_NAMESPACE") ?? "default" }

    func withClient<T: Sendable>(_ body: (PerdureClient, Engine) async throws -> T) async throws -> T {
        try await database.withPool { pool in
            try await body(PerdureClient(pool: pool, namespace: namespaceName), Engine(pool: pool))
        }
    }
}

/// One line a warning, as commands write them.
private struct WarningLog: LogHandler {
    var logLevel = Logger.Level.warning
    var metadata = Logger.Metadata()
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let hint = event.metadata?["hint"].map { " (\($0))" } ?? ""
        FileHandle.standardError.write(Data("Warning: \(event.message)\(hint)\n".utf8))
    }
}
