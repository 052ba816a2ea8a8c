import Bank
import Foundation
import PerdureModel
import Synchronization
import TestSupport
import Testing
import WebCommon

@testable import AccountAPI
@testable import TransferWeb

/// Transfers without the engine, against the real account API: what its failures do to the money, as the books have it.
@Suite struct TransferModesTests {
    /// What happens to the calls of one transfer, in turn; after these everything works.
    private enum Fate {
        case works, fails, losesAnswer

        /// What Real World Mode draws for it, when half of all calls fail and half of those lose the answer.
        var draws: [Double] {
            switch self {
            case .works: [0.9]
            case .fails: [0.1, 0.9]
            case .losesAnswer: [0.1, 0.1]
            }
        }
    }

    private func withBank(
        _ fates: [Fate] = [], _ body: @Sendable @escaping (_ accountAPI: String, BankDatabase) async throws -> Void
    ) async throws {
        try await BankDatabase.with { database in
            _ = try await database.pool.query(
                """
                select from bank.set_real_world_mode(true, hang_rate => 0, error_rate => 0.5, lost_answer_share => 0.5)
                """
            )
            let script = Mutex(fates.flatMap(\.draws))
            let routes = AccountRoutes(ledger: Ledger(database.pool)) {
                script.withLock { $0.isEmpty ? 0.9 : $0.removeFirst() }
            }
            try await withServer(routes.router(settings: WebSettings(port: 0))) { try await body($0, database) }
        }
    }

    /// Makes a transfer of 10.00 by the page's API, waits for its end, and returns it as the page shows it.
    private func transfer(_ mode: String, _ fates: [Fate]) async throws -> (JSON, Ledger.Totals) {
        let result = Mutex<(JSON, Ledger.Totals)?>(nil)
        try await withBank(fates) { accountAPI, database in
            let routes = try TransferRoutes.forTests(database, accountAPI: accountAPI)
            try await withServer(routes.router()) { url in
                let answer = try await request(
                    "POST", "\(url)/api/transfer",
                    body: #"{"from_account":"account_A","to_account":"account_F","amount":10,"mode":"\#(mode)"}"#)
                #expect(answer.status == 200)
                #expect(answer.json["transfer_id"]?.stringValue != nil)
                var document = JSON.null
                try await eventually("the transfer ends") {
                    let shown = try await routes.transfers.shown(knownClosed: [])
                    guard let entry = shown.first, !entry.isRunning, let text = entry.document else { return false }
                    document = try JSON(parsing: text.utf8)
                    return true
                }
                let totals = try await routes.ledger.totals()
                #expect(totals.isConserved)
                result.withLock { [document] in $0 = (document, totals) }
            }
        }
        return try #require(result.withLock { $0 })
    }

    private func entries(_ document: JSON) -> [String?] {
        guard case .array(let entries) = document["entries"] else { return [] }
        return entries.map { $0["kind"]?.stringValue }
    }

    @Test(arguments: ["plain", "retrying"]) func worksWhenNothingFails(mode: String) async throws {
        let (document, totals) = try await transfer(mode, [])
        #expect(document["status"]?.stringValue == "COMPLETED")
        #expect(document["mode"]?.stringValue == mode)
        #expect(document["verdict"]?.stringValue == "correct")
        #expect(document["completed_steps"] == ["check_balance_from", "check_balance_to", "withdraw", "deposit"])
        #expect(entries(document) == ["withdrawal", "deposit"])
        #expect(totals.missing.cents == 0 && totals.surplus.cents == 0)
    }

    @Test func aPlainTransferGivesUpAtTheFirstFailure() async throws {
        let (document, totals) = try await transfer("plain", [.works, .fails])
        #expect(document["status"]?.stringValue == "FAILED")
        #expect(document["verdict"]?.stringValue == "correct")
        #expect(document["result"]?["error_message"]?.stringValue?.contains("500") == true)
        #expect(totals.missing.cents == 0)
    }

    @Test func aPlainTransferLosesMoneyWithAnAnswer() async throws {
        let (document, totals) = try await transfer("plain", [.works, .works, .losesAnswer])
        #expect(document["status"]?.stringValue == "FAILED")
        #expect(document["verdict"]?.stringValue == "missing")
        #expect(entries(document) == ["withdrawal"])
        #expect(totals.missing == Money(cents: 10_00))
    }

    @Test func retriesHelpAgainstFailuresThatDidNothing() async throws {
        let (document, totals) = try await transfer("retrying", [.fails, .works, .fails, .fails])
        #expect(document["status"]?.stringValue == "COMPLETED")
        #expect(document["verdict"]?.stringValue == "correct")
        #expect(document["attempts"]?["check_balance_from"] == .number("2"))
        #expect(document["attempts"]?["check_balance_to"] == .number("3"))
        #expect(totals.missing.cents == 0)
    }

    @Test func retriesEndAfterThree() async throws {
        let (document, totals) = try await transfer("retrying", [.works, .works, .works, .fails, .fails, .fails])
        #expect(document["status"]?.stringValue == "FAILED")
        #expect(document["verdict"]?.stringValue == "missing")
        #expect(totals.missing == Money(cents: 10_00))
    }

    @Test func retriesWithdrawTwice() async throws {
        let (document, totals) = try await transfer("retrying", [.works, .works, .losesAnswer])
        #expect(document["status"]?.stringValue == "COMPLETED")
        #expect(document["verdict"]?.stringValue == "missing")
        #expect(entries(document) == ["withdrawal", "withdrawal", "deposit"])
        #expect(totals.missing == Money(cents: 10_00))
    }

    @Test func retriesDepositTwice() async throws {
        let (document, totals) = try await transfer("retrying", [.works, .works, .works, .losesAnswer])
        #expect(document["verdict"]?.stringValue == "doubled")
        #expect(entries(document) == ["withdrawal", "deposit", "deposit"])
        #expect(totals.surplus == Money(cents: 10_00))
    }

    @Test func insufficientFundsAreNotRetried() async throws {
        try await withBank { accountAPI, database in
            let transfer = Transfer(from: "account_E", to: "account_A", amount: Money(cents: 300_01))
            let accounts = AccountClient(url: accountAPI)
            await #expect(throws: AccountClient.Failure.self) {
                try await RetryingTransfer(accounts: accounts).run(transfer, id: "t-1")
            }
            await #expect(throws: AccountClient.Failure.self) {
                try await PlainTransfer(accounts: accounts).run(transfer, id: "t-2")
            }
            let audit = try await database.audit()
            #expect(audit.isProven)
        }
    }

    /// A process dies with a transfer half way: the next one says so, and the books say what is missing.
    @Test func whatADeadProcessWasMakingIsLost() async throws {
        try await withBank { accountAPI, database in
            let host = ProcessInfo.processInfo.hostName
            func start(_ process: String) async throws -> UUID {
                try await database.pool.query(
                    "select bank.start_direct_transfer('plain', 'account_A', 'account_F', 1000, \(process))")[0]
                    .decode(at: 0)
            }
            // No process has an id beyond the largest that Linux gives out.
            let dead = try await start("4194305@\(host)")
            let foreign = try await start("1@elsewhere")
            let living = try await start("\(getppid())@\(host)")
            _ = try await database.pool.query(
                "select from bank.withdraw('account_A', 1000, transfer_id => \(dead.uuidString.lowercased()))")
            let routes = try TransferRoutes.forTests(database, accountAPI: accountAPI)
            #expect(try await routes.ledger.totals().missing.cents == 0)
            try await routes.direct.loseThoseOfDeadProcesses()
            let rows = try await database.pool.query("select transfer_id, status from bank.direct_transfers")
            let statuses = try Dictionary(
                uniqueKeysWithValues: rows.map { (try $0.decode(UUID.self, at: 0), try $0.decode(String.self, at: 1)) })
            #expect(statuses == [dead: "LOST", foreign: "RUNNING", living: "RUNNING"])
            #expect(try await routes.ledger.totals().missing == Money(cents: 10_00))
        }
    }

    @Test func comparesTheModesSideBySide() async throws {
        try await withBank { accountAPI, database in
            let routes = try TransferRoutes.forTests(database, taskQueue: "nobody-listens", accountAPI: accountAPI)
            try await withServer(routes.router()) { url in
                #expect(try await request("GET", "\(url)/compare").text.contains("Nothing has been compared yet"))
                let started = try await request("POST", "\(url)/api/comparisons", body: #"{"size":4}"#).json
                #expect(started["comparison_id"] == .number("1"))
                var document = JSON.null
                try await eventually("the comparison ends") {
                    document = try await request("GET", "\(url)/api/comparisons/1").json
                    guard case .array(let modes) = document["modes"], modes.count == 3 else { return false }
                    return modes[0]["running"] == 0 && modes[1]["running"] == 0
                }
                guard case .array(let modes) = document["modes"] else { return }
                #expect(modes.map { $0["mode"]?.stringValue } == ["plain", "retrying", "durable"])
                #expect(modes[0]["correct"] == 4 && modes[1]["correct"] == 4)
                #expect(modes[2]["running"] == 4, "no worker listens")
                let page = try await request("GET", "\(url)/compare?comparison=1")
                #expect(page.status == 200 && page.text.contains("Retries in memory"))
                let list = try await request("GET", "\(url)/api/workflows").json
                guard case .array(let workflows) = list else { return }
                #expect(workflows.count == 4)
                #expect(workflows.last?["workflow_id"]?.stringValue == "comparison-1-1")

                for body in [#"{"size":0}"#, #"{"size":501}"#, #"{"size":"5"}"#, #"{"size":1.5}"#, "[]", ""] {
                    #expect(try await request("POST", "\(url)/api/comparisons", body: body).status == 400, "\(body)")
                }
                for path in ["api/comparisons/2", "api/comparisons/x", "compare?comparison=9", "compare?comparison=%"] {
                    let answer = try await request("GET", "\(url)/\(path)")
                    #expect([400, 404].contains(answer.status), "\(path)")
                }
                let foreign = try await request("POST", "\(url)/compare", headers: ["Origin": "https://example.org"])
                #expect(foreign.status == 403)
            }
        }
    }

    @Test func refusesAnUnknownMode() async throws {
        try await withBank { accountAPI, database in
            let routes = try TransferRoutes.forTests(database, accountAPI: accountAPI)
            try await withServer(routes.router()) { url in
                for mode in [#""quick""#, "null", "1", #""""#] {
                    let body = #"{"from_account":"account_A","to_account":"account_F","amount":10,"mode":\#(mode)}"#
                    let answer = try await request("POST", "\(url)/api/transfer", body: body)
                    #expect(answer.status == 400, "\(mode)")
                }
                let shown = try await routes.transfers.shown(knownClosed: [])
                #expect(shown.isEmpty)
            }
        }
    }

    @Test func theBooksShowEveryEntryAndThatTheyBalance() async throws {
        try await withBank { accountAPI, database in
            let routes = try TransferRoutes.forTests(database, accountAPI: accountAPI)
            _ = try await database.pool.query(
                "select from bank.withdraw('account_A', 1234, transfer_id => '<script>alert(1)</script>')")
            try await withServer(routes.router()) { url in
                let page = try await request("GET", "\(url)/books")
                #expect(page.status == 200)
                #expect(page.text.contains("Proven: debits equal credits"))
                #expect(page.text.contains("12.34") && page.text.contains("withdrawn, never deposited"))
                #expect(!page.text.contains("<script>alert"))
                let filtered = try await request("GET", "\(url)/books?account=account_B")
                #expect(filtered.text.contains("id=\"entry-2\"") && !filtered.text.contains("id=\"entry-1\""))
                for query in ["before=x", "before=0", "account=%00"] {
                    #expect(try await request("GET", "\(url)/books?\(query)").status == 400, "\(query)")
                }
                #expect(try await request("GET", "\(url)/books?account=%27%3B--").text.contains("No entries."))
            }
        }
    }
}
