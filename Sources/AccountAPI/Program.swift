import Bank
import ConsoleLog
import Logging
import Postgres
import WebCommon

/// The account API (port 5000), as a program: reads its settings from the environment and serves until told to stop.
public enum AccountAPIProgram {
    public static func run() async {
        await runProgram("account-api") {
            ConsoleLog.bootstrap()
            let logger = Logger(label: "account-api")
            let settings = try WebSettings(portVariable: "ACCOUNT_API_PORT", defaultPort: 5000)
            var configuration = PostgresConfiguration.fromEnvironment()
            configuration.applicationName = "perdure account-api"
            let pool = PostgresPool(configuration, logger: logger)
            let ledger = Ledger(pool)
            try await waitForDatabase(logger) { _ = try await ledger.realWorldMode() }

            try await serve(
                AccountRoutes(ledger: ledger).router(settings: settings), settings: settings, logger: logger
            ) { port in
                logger.notice("the account API is at http://\(settings.host):\(port)")
            }
            await pool.close()
        }
    }
}
