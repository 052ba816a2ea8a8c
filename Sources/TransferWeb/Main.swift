import Bank
import Foundation
import Logging
import Postgres
import WebCommon

/// The transfer page (port 5001): in a browser, and as an API for other front ends.
@main
struct TransferWebMain {
    static func main() async {
        await runProgram("transfer-web") {
            let settings = try TransferSettings()
            let logger = Logger(label: "transfer-web")
            let pool = PostgresPool(ProcessInfo.processInfo.environment["DATABASE_URL"]!)
            let ledger = Ledger(pool)
            let transfers = Transfers(pool: pool)
            let routes = TransferRoutes(
                settings: settings, ledger: ledger, transfers: transfers,
                starter: TransferStarter(pool: pool, taskQueue: settings.taskQueue),
                feed: PageFeed(transfers, logger: logger),
                page: try TransferPage(
                    resources: TransferPage.resources, ledger: ledger, historyURL: settings.historyURL))
            try await serve(routes.router(), settings: settings.web, logger: logger) { port in
                logger.info("the transfer page is at http://\(settings.web.host):\(port)")
            }
        }
    }
}
