import ArgumentParser
import Logging
import Postgres

/// Where the database is.
struct DatabaseOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A connection string. Other users of the machine can see it: prefer DATABASE_URL or PGPASSFILE for passwords.",
            valueName: "url"))
    var databaseURL: String?

    var configuration: PostgresConfiguration {
        var configuration = databaseURL.map { PostgresConfiguration($0) } ?? .fromEnvironment()
        if configuration.applicationName == nil { configuration.applicationName = "perdure" }
        return configuration
    }

    /// Warnings go to standard error; what the commands have to say, they print.
    var logger: Logger {
        var logger = Logger(label: "perdure") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        return logger
    }
}
