import WebCommon
import Bank
import Postgres
@main
struct AccountAPIMain {
    static func main() async throws {
        let pool = PostgresPool("postgresql://postgres@127.0.0.1:55432/bank_dev")
        let routes = AccountRoutes(ledger: Ledger(pool))
        try await WebServer(name: "account-api", host: "127.0.0.1", port: 15000, portVariable: "ACCOUNT_API_PORT", logger: .init(label: "a")).run(routes.router()) { print("ready", $0) }
    }
}
