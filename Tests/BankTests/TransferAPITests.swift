import AsyncHTTPClient
import Bank
import Foundation
import Logging
import Postgres
import Synchronization
import TestSupport
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
            #expect(first.json["status"]?.stringValue == "started")
            let id = try #require(first.json["workflow_id"]?.stringValue)
            _ = try await transfer(url, "account_F", "account_B", "7")

            guard case .array(let list) = try await request("GET", "\(url)/api/workflows").json else {
                Issue.record("not a list")
                return
            }
            #expect(list.count == 2)
            let document = try #require(list.last)
            #expect(document["workflow_id"]?.stringValue == id)
            #expect(document["status"]?.stringValue == "RUNNING")
            #expect(document["close_time"] == .null)
            #expect(document["result"] == .null)
            #expect(
                document["input"] == [
                    "from_account": "account_A", "to_account": "account_F", "amount": .number("12.50"),
                ])
            #expect(document["steps"] == ["check_balance_from", "check_balance_to", "withdraw", "deposit"])
            #expect(document["current_step"]?.stringValue == "check_balance_from")
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
            #expect(answer["account_id"]?.stringValue == "account_F")
            #expect(answer["summary"]?["transaction_count"] == .number("2"))
            #expect(answer["summary"]?["running_count"] == .number("2"))
            guard case .array(let list) = answer["workflows"] else { return }
            #expect(list.map { $0["direction"]?.stringValue } == ["sent", "received"])
            #expect(list.map { $0["counterparty"]?.stringValue } == ["account_B", "account_A"])
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
            #expect(started.map { $0["from_account"]?.stringValue } == "ABCDE".map { "account_\($0)" })
            #expect(started.map { $0["to_account"]?.stringValue } == "FGHIJ".map { "account_\($0)" })
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

    /// Transfers of input that the bank would never write stand beside the others, in every list.
    @Test func oneOddTransferIsOneOddRow() async throws {
        try await withAPI { url, database in
            _ = try await transfer(url, "account_A", "account_F", "12.5")
            let odd = [
                #"{"from_account": "account_A", "to_account": "account_F", "amount": "abc"}"#, "null", "[]", "17",
                #""x""#,
                #"{"amount": 1e300}"#, #"{"from_account": 1, "to_account": [], "amount": {}}"#, #"{"amount": -5}"#,
            ]
            for (number, input) in odd.enumerated() {
                _ = try await database.pool.query(
                    """
                    select perdure.start_workflow(workflow_type => 'TransferWorkflow',
                        workflow_id => \("odd-\(number)"),
                        task_queue => 'bank', input => \(input)::text::jsonb,
                        options => '{"searchAttributes": {"from_account": "account_A"}}')
                    """)
            }
            _ = try await database.pool.query(
                """
                select perdure.start_workflow(workflow_type => 'TransferWorkflow', workflow_id => '..',
                    task_queue => 'bank')
                """)
            for path in ["/", "/books", "/compare", "/workers", "/api/workflows/odd-0", "/api/accounts"] {
                #expect(try await request("GET", url + path).status == 200, "\(path)")
            }
            guard case .array(let list) = try await request("GET", "\(url)/api/workflows").json else {
                Issue.record("not a list")
                return
            }
            #expect(list.count == odd.count + 2)
            let ofAccount = try await request("GET", "\(url)/api/accounts/account_A/workflows").json["workflows"]
            guard case .array(let documents) = ofAccount else {
                Issue.record("not a list")
                return
            }
            #expect(documents.count == odd.count + 1)
            try await EventReader(url: "\(url)/api/events").read { event, data in
                guard case .array(let transfers) = data["transfers"] else { return false }
                #expect(event == "snapshot" && transfers.count == odd.count + 2)
                return true
            }
        }
    }

    @Test func balancesAreShownAsTheLedgerHoldsThem() async throws {
        try await withAPI { url, database in
            _ = try await database.pool.query(
                """
                update bank.accounts set balance_cents = 9223372036854775807
                    where account_id in ('account_A', 'account_B')
                """
            )
            let accounts = try await request("GET", "\(url)/api/accounts")
            #expect(accounts.text.contains(#""account_A":{"balance":92233720368547758.07}"#))
            #expect(try await request("GET", "\(url)/").text.contains("92,233,720,368,547,758.07"))
            #expect(try await request("GET", "\(url)/books").status == 200)
            try await EventReader(url: "\(url)/api/events").read { _, data in
                guard case .array(let accounts) = data["accounts"] else { return false }
                #expect(accounts.contains { $0["balance"] == .number("92233720368547758.07") })
                return true
            }
        }
    }

    /// Each reading of the database says when it was, and is told to all who follow.
    @Test func threeHundredViewersCostTheDatabaseWhatOneDoes() async throws {
        try await BankDatabase.with { database in
            let routes = try TransferRoutes.forTests(database)
            try await withServer(routes.router()) { url in
                let http = DirectTransfers.manyConnections()
                let readings = Readings()
                let viewers = (0..<300).map { viewer in
                    Task {
                        // HTTPClient opens no more connections to a host than its pool may have: enough of them here.
                        let response = try await http.execute(
                            HTTPClientRequest(url: "\(url)/api/events"), timeout: .seconds(60))
                        var text = ""
                        for try await chunk in response.body {
                            text += String(buffer: chunk)
                            while let end = text.firstIndex(of: "\n") {
                                readings.note(text[..<end], of: viewer)
                                text.removeSubrange(...end)
                            }
                        }
                    }
                }
                try await eventually("all follow") { await routes.feed.viewerCount >= 250 }
                try await eventually("each has heard of six readings") {
                    readings.viewers(of: 6) >= 250
                }
                // Readings of their own would have been over a thousand.
                #expect(readings.count < 60)
                for viewer in viewers { viewer.cancel() }
                try await eventually("all have left") { await routes.feed.viewerCount == 0 }
                #expect(await !routes.feed.isPolling)
                try await http.shutdown()
            }
        }
    }

    @Test func nothingIsLeftOfAViewerThatLeavesAtOnce() async throws {
        try await BankDatabase.with { database in
            let routes = try TransferRoutes.forTests(database)
            try await withServer(routes.router()) { url in
                // The first reading waits until all have left.
                let isPolling = try await database.pool.withConnection { connection in
                    try await connection.simpleQuery("begin; lock table bank.settings")
                    let viewers = (0..<10).map { _ in
                        Task {
                            let response = try await HTTPClient.shared.execute(
                                HTTPClientRequest(url: "\(url)/api/events"), timeout: .seconds(30))
                            for try await _ in response.body {}
                        }
                    }
                    try await eventually("some follow") { await routes.feed.viewerCount >= 5 }
                    for viewer in viewers { viewer.cancel() }
                    try await eventually("all have left") { await routes.feed.viewerCount == 0 }
                    let isPolling = await routes.feed.isPolling
                    try await connection.simpleQuery("commit")
                    return isPolling
                }
                #expect(!isPolling)
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

/// What the viewers of a page have heard of: readings, told apart by their times.
private final class Readings: Sendable {
    private let heard = Mutex((times: Set<Substring>(), ofViewer: [Int: Int]()))

    var count: Int { heard.withLock { $0.times.count } }

    /// How many viewers have heard of so many.
    func viewers(of count: Int) -> Int { heard.withLock { $0.ofViewer.values.count { $0 >= count } } }

    func note(_ line: Substring, of viewer: Int) {
        guard let time = line.firstMatch(of: /"now":([0-9.]+)/)?.1 else { return }
        heard.withLock { heard in
            // The first is made for this viewer, of what was read last.
            if let known = heard.ofViewer[viewer] {
                heard.times.insert(time)
                heard.ofViewer[viewer] = known + 1
            } else {
                heard.ofViewer[viewer] = 0
            }
        }
    }
}
