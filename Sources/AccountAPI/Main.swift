import Bank
import Foundation
import Logging
import Postgres
import WebCommon

/// The account API (port 5000).
@main
struct AccountAPIMain {
    static func main() async {
        await runProgram("account-api") {
            let settings = try WebSettings(portVariable: "ACCOUNT_API_PORT", defaultPort: 5000)
            let logger = Logger(label: "account-api")
            let pool = PostgresPool(ProcessInfo.processInfo.environment["DATABASE_URL"]!)
            let routes = AccountRoutes(ledger: Ledger(pool))
            try await serve(routes.router(settings: settings), settings: settings, logger: logger) { port in
                logger.info("the account API is at http://\(settings.host):\(port)")
            }
        }
    }
}
