import Bank
import Foundation
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import AccountAPI

extension EndToEnd {
    @Suite struct CrashTests {
        /// Promise: an acknowledged start and every completion survive an immediate stop of the database.
        @Test func theDatabaseStopsAtOnceUnderLoad() async throws {
            try await PrivateServer.with { server in
                try await BankDatabase.migrate(server.url)
                try await BankDatabase.open(server.url) { database in
                    let routes = AccountRoutes(ledger: Ledger(database.pool))
                    try await withServer(routes.router(settings: WebSettings(port: 0))) { url in
                        let setting = TransferSetting(database: database, accountAPI: url, gate: Gate())
                        try await withWorkers(2, database: database, accountAPI: url) { _ in
                            var expected: [String: Int64] = [:]
                            var acknowledged: [String] = []
                            for number in 0..<60 {
                                let letters = Array("ABCDEFGHIJ")
                                let (from, to) = (
                                    "account_\(letters[number % 10])", "account_\(letters[(number + 3) % 10])"
                                )
                                let id = "t-\(number)"
                                try await startSurely { try await setting.start(from, to, Int64(number + 1), id: id) }
                                acknowledged.append(id)
                                expected[from, default: 0] -= Int64(number + 1)
                                expected[to, default: 0] += Int64(number + 1)
                                if number == 20 || number == 40 {
                                    try await server.crash()
                                    try await server.start()
                                }
                            }
                            try await setting.waitUntilAllHaveEnded()
                            for id in acknowledged {
                                #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED")
                            }
                            let audit = try await database.audit()
                            #expect(audit.isProven)
                            let opening = try await database.pool.query(
                                "select account_id, opening_cents from bank.accounts where kind = 'customer'")
                            for row in opening {
                                let account = try row.decode(String.self, at: 0)
                                #expect(
                                    audit.balances[account] == (try row.decode(Int64.self, at: 1))
                                        + expected[account, default: 0])
                            }
                            try await setting.expectNoViolations()
                        }
                    }
                }
            }
        }

        /// Starts again until the start is acknowledged. The id makes that safe: a start that was made and not
        /// acknowledged is found as already running (PD002).
        private func startSurely(_ start: () async throws -> String) async throws {
            try await eventually("the database comes back") {
                do {
                    _ = try await start()
                    return true
                } catch let error as PostgresError where error.sqlState == "PD002" {
                    return true
                } catch let error as PostgresError where error.isRetryable {
                    return false
                }
            }
        }
    }
}
