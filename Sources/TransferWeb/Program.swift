import Bank
import ConsoleLog
import Logging
import Postgres
import WebCommon

/// The transfer page (port 5001), as a program: reads its settings from the environment and serves until told to stop.
public enum TransferWebProgram {
    public static func run() async {
        await runProgram("transfer-web") {
            ConsoleLog.bootstrap()
            let logger = Logger(label: "transfer-web")
            let settings = try TransferSettings()
            var configuration = PostgresConfiguration.fromEnvironment()
            configuration.applicationName = "perdure transfer-web"
            let pool = PostgresPool(configuration, logger: logger)
            let ledger = Ledger(pool)
            let transfers = Transfers(pool: pool)
            try await waitForDatabase(logger) { _ = try await transfers.pageState() }

            let http = DirectTransfers.manyConnections()
            let direct = DirectTransfers(
                pool: pool, accountAPI: settings.accountAPI, timeout: settings.accountAPITimeout, http: http,
                logger: logger)
            try await direct.loseThoseOfDeadProcesses()
            let routes = TransferRoutes(
                settings: settings, ledger: ledger, transfers: transfers,
                starter: TransferStarter(pool: pool, taskQueue: settings.taskQueue), direct: direct,
                comparisons: Comparisons(pool: pool), books: Books(pool: pool),
                workers: Workers(pool: pool, taskQueue: settings.taskQueue),
                feed: PageFeed(transfers, logger: logger),
                site: try Site(resources: Site.resources, settings: settings))
            try await serve(routes.router(), settings: settings.web, logger: logger) { port in
                logger.notice("the transfer page is at http://\(settings.web.host):\(port)")
            }
            try await http.shutdown()
            await pool.close()
        }
    }
}
