import ConsoleLog
import Foundation
import Logging
import Postgres
import WebCommon

/// The history pages (port 8080), as a program: reads its settings from the environment and serves until told to stop.
public enum HistoryWebProgram {
    public static func run() async {
        await runProgram("history-web") {
            ConsoleLog.bootstrap()
            let logger = Logger(label: "history-web")
            var settings = try WebSettings(portVariable: "HISTORY_WEB_PORT", defaultPort: 8080)
            settings.visitors = try VisitorSettings(environment: ProcessInfo.processInfo.environment)
            var configuration = PostgresConfiguration.fromEnvironment()
            configuration.applicationName = "perdure history-web"
            // A visitor does not wait long for a page that cannot come.
            let pool = PostgresPool(configuration, acquireTimeout: .seconds(3), logger: logger)
            let codec = try CodecServer.fromEnvironment(logger: logger)
            let site = try Site(
                store: HistoryStore(pool, codec: codec),
                namespace: ProcessInfo.processInfo.environment["PERDURE_NAMESPACE"] ?? "default",
                settings: settings)
            let host = settings.host
            try await serve(site.router(), settings: settings, logger: logger) { port in
                logger.notice("the history pages are at http://\(host):\(port)")
            }
            await pool.close()
        }
    }
}
