import Bank
import Foundation
import Logging
import Testing
import WebCommon

@testable import TransferWeb

/// The transfer page's API, without any worker: what is started stays where it is.
@Suite struct TransferAPITests {
    private func withAPI(_ body: @Sendable @escaping (String, BankDatabase) async throws -> Void) async throws {
        try await BankDatabase.with { database in
            let routes = try TransferRoutes.forTests(database)
            try await withServer(routes.router()) { url in try await body(url, database) }
        }
    }

    private func transfer(_ url: String, _ from: String, _ to: String, _ amount: String) async throws -> Answer {
        try await request(
            "POST", "\(url)/api/transfer",
            body: #"{"from_account":"\#(from)","to_account":"\#(to)","amount":\#(amount)}"#)
    }

    @Test func showsAccounts() async throws {
        try await withAPI { url, _ in
            let accounts = try await request("GET", "\(url)/api/accounts")
            #expect(accounts.text.hasPrefix(#"{"account_A":{"balance":1000.0},"account_B":{"balance":500.0}"#))
        }
    }

    @Test func startsAndListsTransfers() async throws {
        try await withAPI { url, _ in
            let first = try await transfer(url, "account_A", "account_F", "12.5")
            #expect(first.status == 200)
            #expect(first.json["status"]?.string == "started")
            let id = try #require(first.json["workflow_id"]?.string)
            _ = try await transfer(url, "account_F", "account_B", "7")

            guard case .array(let list) = try await request("GET", "\(url)/api/workflows").json else {
                Issue.record("not a list")
                return
            }
            #expect(list.count == 2)
            let document = try #require(list.last)
            #expect(document["workflow_id"]?.string == id)
            #expect(document["status"]?.string == "RUNNING")
            #expect(document["close_time"] == .null)
            #expect(document["result"] == .null)
            #expect(
                document["input"] == [
                    "from_account": "account_A", "to_account": "account_F", "amount": .number("12.50"),
                ])
            #expect(document["steps"] == ["check_balance_from", "check_balance_to", "withdraw", "deposit"])
            #expect(document["current_step"]?.string == "check_balance_from")
            #expect(document["completed_steps"] == [])
            #expect(try await request("GET", "\(url)/api/workflows/\(id)").json == document)

            // A page at a time.
            let page = try await request("GET", "\(url)/api/workflows?limit=1")
            let next = try #require(page.headers["link"]?.split(separator: ">").first?.dropFirst())
            guard case .array(let rest) = try await request("GET", "\(url)\(next)").json else { return }
            #expect(rest == [document])
        }
    }

    @Test func findsAnAccountsTransfers() async throws {
        try await withAPI { url, _ in
            _ = try await transfer(url, "account_A", "account_F", "12.5")
            _ = try await transfer(url, "account_F", "account_B", "7")
            let answer = try await request("GET", "\(url)/api/accounts/account_F/workflows").json
            #expect(answer["account_id"]?.string == "account_F")
            #expect(answer["summary"]?["transaction_count"] == .number("2"))
            #expect(answer["summary"]?["running_count"] == .number("2"))
            guard case .array(let list) = answer["workflows"] else { return }
            #expect(list.map { $0["direction"]?.string } == ["sent", "received"])
            #expect(list.map { $0["counterparty"]?.string } == ["account_B", "account_A"])
            for id in ["account_Z", "%00", "equity", "a%2Fb"] {
                let missing = try await request("GET", "\(url)/api/accounts/\(id)/workflows")
                #expect(missing.status == 404 || missing.status == 400)
                #expect(missing.error != nil)
            }
        }
    }

    @Test func badTransfersStartNothing() async throws {
        let bodies =
            [
                "", "{", "[]", "{}", #"{"from_account":"account_A"}"#,
                #"{"from_account":"account_A","to_account":"account_B"}"#,
                #"{"from_account":1,"to_account":"account_B","amount":1}"#,
                #"{"from_account":"account_A","to_account":null,"amount":1}"#,
                #"{"from_account":"","to_account":"account_B","amount":1}"#,
                #"{"from_account":"account_A","to_account":"account_A","amount":1}"#,
                #"{"from_account":"account_A","to_account":"account_Z","amount":1}"#,
                #"{"from_account":"equity","to_account":"account_B","amount":1}"#,
                #"{"from_account":"account_A\u0000","to_account":"account_B","amount":1}"#,
            ]
            + ["0", "-1", "1.001", "\"5\"", "NaN", "1e400", "null", "true", "[5]", "99999999999999999999"].map {
                #"{"from_account":"account_A","to_account":"account_B","amount":\#($0)}"#
            }
        try await withAPI { url, database in
            for body in bodies {
                let answer = try await request("POST", "\(url)/api/transfer", body: body)
                #expect(answer.status == 400, "\(body)")
                #expect(answer.error?.isEmpty == false, "\(body)")
            }
            let large = try await request(
                "POST", "\(url)/api/transfer", body: String(repeating: " ", count: 1 << 20 + 1))
            #expect(large.status == 413)
            #expect(try await request("GET", "\(url)/api/workflows").text == "[]")
        }
    }

    @Test func badAddressesAndQuestions() async throws {
        try await withAPI { url, _ in
            for path in [
                "nope", "api/nope", "api/workflows/nope", "api/workflows/%00", "public/..%2FTemplates%2Fpage.mustache",
            ] {
                let answer = try await request("GET", "\(url)/\(path)")
                #expect(answer.status == 404 || answer.status == 400, "\(path)")
                #expect(answer.error != nil, "\(path)")
            }
            for query in ["limit=0", "limit=x", "limit=100000", "before=x"] {
                #expect(try await request("GET", "\(url)/api/workflows?\(query)").status == 400)
            }
            #expect(try await request("DELETE", "\(url)/api/workflows").status == 405)
            #expect(try await request("HEAD", "\(url)/api/accounts").status == 200)
            let foreign = try await request("POST", "\(url)/api/reset", headers: ["Origin": "https://example.org"])
            #expect(foreign.status == 403)
        }
    }

    @Test func switchesRealWorldModeAndResets() async throws {
        try await withAPI { url, database in
            #expect(try await request("GET", "\(url)/api/real-world-mode").text == #"{"enabled":false}"#)
            #expect(
                try await request("POST", "\(url)/api/real-world-mode", body: #"{"enabled":true}"#).text
                    == #"{"enabled":true}"#)
            #expect(try await request("GET", "\(url)/api/real-world-mode").text == #"{"enabled":true}"#)
            for body in ["{}", #"{"enabled":"true"}"#, #"{"enabled":1}"#, #"{"enabled":null}"#, ""] {
                #expect(try await request("POST", "\(url)/api/real-world-mode", body: body).status == 400)
            }
            _ = try await database.pool.query("select from bank.withdraw('account_A', 5000)")
            #expect(try await request("POST", "\(url)/api/reset").status == 200)
            let audit = try await database.audit()
            #expect(audit.isProven && audit.balances["account_A"] == 100_000)
        }
    }

    @Test func theBatchIsFiveTransfers() async throws {
        try await withAPI { url, _ in
            guard case .array(let started) = try await request("POST", "\(url)/api/batch").json["started"] else {
                return
            }
            #expect(started.map { $0["from_account"]?.string } == "ABCDE".map { "account_\($0)" })
            #expect(started.map { $0["to_account"]?.string } == "FGHIJ".map { "account_\($0)" })
            guard case .array(let list) = try await request("GET", "\(url)/api/workflows").json else { return }
            #expect(list.count == 5)
        }
    }

    // MARK: The page

    @Test func thePageIsWholeWithoutItsScript() async throws {
        try await withAPI { url, _ in
            let page = try await request("GET", "\(url)/")
            #expect(page.status == 200)
            #expect(page.headers["content-security-policy"]?.contains("script-src 'self'") == true)
            #expect(page.text.contains("1,000.00") && page.text.contains("Account J"))
            #expect(!page.text.contains("style=") && !page.text.contains("onclick") && !page.text.contains("<script>"))
            for file in ["page.css", "page.js", "icon.svg"] {
                let asset = try await request("GET", "\(url)/public/\(file)")
                #expect(asset.status == 200)
                let again = try await request(
                    "GET", "\(url)/public/\(file)", headers: ["If-None-Match": asset.headers["etag"] ?? ""])
                #expect(again.status == 304)
            }
        }
    }

    @Test func theStreamTellsEverythingAndThenWhatChanged() async throws {
        try await withAPI { url, database in
            let events = EventReader(url: "\(url)/api/events")
            try await events.read { event, data in
                switch event {
                case "snapshot":
                    #expect(data["totals"]?["conserved"] == true)
                    #expect(data["transfers"] == [])
                    _ = try await transfer(url, "account_A", "account_F", "12.5")
                    return false
                default:
                    guard case .array(let transfers) = data["transfers"], !transfers.isEmpty else { return false }
                    #expect(transfers.count == 1)
                    #expect(transfers[0]["input"]?["amount"] == .number("12.50"))
                    #expect(data["accounts"] == nil, "what has not changed is not told again")
                    return true
                }
            }
        }
    }
}

extension TransferRoutes {
    /// - Parameter accountAPI: where transfers without the engine make their calls; by default nowhere.
    static func forTests(
        _ database: BankDatabase, taskQueue: String = "bank", accountAPI: String = "http://127.0.0.1:1",
        isWorkshop: Bool = true
    ) throws -> TransferRoutes {
        var settings = try TransferSettings(environment: [
            "PERDURE_TASK_QUEUE": taskQueue, "BANK_WORKSHOP": isWorkshop ? "on" : "off",
        ])
        settings.web.port = 0
        let ledger = Ledger(database.pool)
        let transfers = Transfers(pool: database.pool)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return TransferRoutes(
            settings: settings, ledger: ledger, transfers: transfers,
            starter: TransferStarter(pool: database.pool, taskQueue: taskQueue),
            direct: DirectTransfers(
                pool: database.pool, accountAPI: accountAPI, timeout: .seconds(20), http: .shared, logger: logger),
            comparisons: Comparisons(pool: database.pool), books: Books(pool: database.pool),
            workers: Workers(pool: database.pool, taskQueue: taskQueue),
            feed: PageFeed(transfers, logger: logger), site: try Site(resources: Site.resources, settings: settings))
    }
}
