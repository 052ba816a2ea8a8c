import Bank
import Foundation
import PerdureModel
import Testing
import WebCommon

@testable import AccountAPI

@Suite struct AccountAPITests {
    /// Runs the API over a database of its own.
    /// - Parameter random: what Real World Mode draws.
    private func withAPI(
        random: Double = 0.999,
        _ body: @Sendable @escaping (String, BankDatabase) async throws -> Void
    ) async throws {
        try await BankDatabase.with { database in
            let routes = AccountRoutes(ledger: Ledger(database.pool), random: { random })
            try await withServer(routes.router(settings: WebSettings(port: 0))) { url in try await body(url, database) }
        }
    }

    @Test func answersAsDocumented() async throws {
        try await withAPI { url, database in
            let account = try await request("GET", "\(url)/accounts/account_A")
            #expect(account.status == 200)
            #expect(account.text == #"{"account_number":"account_A","balance":1000.0}"#)

            let withdrawn = try await request("POST", "\(url)/accounts/account_A/withdraw", body: #"{"amount":0.29}"#)
            #expect(withdrawn.status == 200)
            #expect(
                withdrawn.text == #"""
                    {"account_number":"account_A","previous_balance":1000.0,"amount_withdrawn":0.29,\#
                    "new_balance":999.71}
                    """#)
            let deposited = try await request("POST", "\(url)/accounts/account_F/deposit", body: #"{"amount":0.29}"#)
            #expect(
                deposited.text == #"""
                    {"account_number":"account_F","previous_balance":900.0,"amount_deposited":0.29,"new_balance":900.29}
                    """#)
            #expect(try await database.audit().isProven)

            let missing = try await request("GET", "\(url)/accounts/account_Z")
            #expect(missing.status == 404 && missing.text == #"{"error":"Account not found"}"#)
            let short = try await request("POST", "\(url)/accounts/account_E/withdraw", body: #"{"amount":300.01}"#)
            #expect(short.status == 400)
            #expect(short.text == #"{"error":"Insufficient funds","current_balance":300.0,"requested_amount":300.01}"#)
            #expect(try await request("GET", "\(url)/health").status == 200)
            #expect(try await request("HEAD", "\(url)/accounts/account_A").status == 200)
            let wrongMethod = try await request("DELETE", "\(url)/accounts/account_A")
            #expect(wrongMethod.status == 405 && wrongMethod.headers["allow"] == "GET, HEAD")
        }
    }

    /// A balance may be above what one movement may have, up to the end of the ledger.
    @Test(arguments: [100_000_000_000_001, 9_007_199_254_740_993, Int64.max]) func tellsEveryBalance(cents: Int64)
        async throws
    {
        try await withAPI { url, database in
            _ = try await database.pool.query(
                "update bank.accounts set balance_cents = \(cents) where account_id = 'account_A'")
            let client = AccountClient(url: url)
            #expect(try await client.balance(of: "account_A") == Money(cents: cents))
            let left = try await client.withdraw(
                Money(cents: 1), from: "account_A",
                for: .init(idempotencyKey: "k", workflowID: "w", runID: "r", activityID: "a"))
            #expect(left == Money(cents: cents - 1))
            // What is more than an account can hold is refused, and is no failure of the API.
            _ = try await database.pool.query(
                "update bank.accounts set balance_cents = \(Int64.max) where account_id = 'account_B'")
            await #expect(throws: AccountClient.Failure.self) {
                try await client.deposit(Money(cents: 1), to: "account_B", for: .init(transferID: "t"))
            }
        }
    }

    @Test func aRepeatGetsTheFirstAnswer() async throws {
        try await withAPI { url, _ in
            let withdraw = { @Sendable (amount: String, key: String) in
                try await request(
                    "POST", "\(url)/accounts/account_A/withdraw", body: "{\"amount\":\(amount)}",
                    headers: ["Idempotency-Key": key])
            }
            let first = try await withdraw("100", "one")
            #expect(try await withdraw("100", "one").text == first.text)
            #expect(try await withdraw("100.01", "one").status == 422)

            let refused = try await withdraw("5000", "two")
            #expect(refused.status == 400)
            _ = try await request("POST", "\(url)/accounts/account_A/deposit", body: #"{"amount":9000}"#)
            #expect(try await withdraw("5000", "two").text == refused.text)
            #expect(try await withdraw("5000", "three").status == 200)

            // All at once: one of them moves the money.
            let answers = try await withThrowingTaskGroup { group in
                for _ in 0..<20 { group.addTask { try await withdraw("10", "four").text } }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(answers.count == 1)
            #expect(try await request("GET", "\(url)/accounts/account_A").text.hasSuffix(#""balance":4890.0}"#))
        }
    }

    static let badBodies: [(String, Int)] = [
        ("", 400), ("not json", 400), ("[1]", 400), ("\"x\"", 400), ("{}", 400), (#"{"amount":null}"#, 400),
        (#"{"amount":"10"}"#, 400), (#"{"amount":true}"#, 400), (#"{"amount":[1]}"#, 400), (#"{"amount":{}}"#, 400),
        (#"{"amount":0}"#, 400), (#"{"amount":-1}"#, 400), (#"{"amount":-0.0}"#, 400), (#"{"amount":1.001}"#, 400),
        (#"{"amount":NaN}"#, 400), (#"{"amount":Infinity}"#, 400), (#"{"amount":1e400}"#, 400),
        (#"{"amount":1e-400}"#, 400),
        (#"{"amount":99999999999999999999999}"#, 400), (#"{"amount":1}x"#, 400), (#"{"amount":1"#, 400),
        (#"{"amount":"\u0000"}"#, 400), (String(repeating: "[", count: 100_000), 400),
        (#"{"pad":""# + String(repeating: "x", count: 1 << 20) + #"","amount":1}"#, 413),
    ]

    @Test func badBodiesChangeNothing() async throws {
        try await withAPI { url, database in
            for (body, status) in Self.badBodies {
                for action in ["withdraw", "deposit"] {
                    let answer = try await request("POST", "\(url)/accounts/account_A/\(action)", body: body)
                    #expect(answer.status == status, "\(body.prefix(40))")
                    #expect(answer.error?.isEmpty == false, "\(body.prefix(40))")
                }
            }
            let audit = try await database.audit()
            #expect(audit.isProven && audit.balances["account_A"] == 100_000)
            let entries = try await database.pool.query(
                "select count(*) from bank.journal_entries where kind <> 'opening'")
            #expect(try entries[0].decode(Int.self, at: 0) == 0)
        }
    }

    @Test func badAddressesAreNotFound() async throws {
        let addresses = [
            "%00", "%FF", "%", "..%2F..%2Fetc", "account%20A", "equity", "in_transit", "'%3B--",
            String(repeating: "a", count: 4000),
        ]
        try await withAPI { url, _ in
            for id in addresses {
                for (method, path, body) in [("GET", "", nil), ("POST", "/withdraw", #"{"amount":1}"#)] {
                    let answer = try await request(method, "\(url)/accounts/\(id)\(path)", body: body)
                    #expect(answer.status == 404 || answer.status == 400, "\(method) \(id.prefix(40))")
                    #expect(answer.error != nil)
                }
            }
        }
    }

    @Test func aKeyMustFit() async throws {
        try await withAPI { url, _ in
            for key in ["", String(repeating: "k", count: 256)] {
                let answer = try await request(
                    "POST", "\(url)/accounts/account_A/withdraw", body: #"{"amount":1}"#,
                    headers: ["Idempotency-Key": key])
                #expect(answer.status == 400)
            }
        }
    }

    // MARK: Real World Mode

    @Test func aLostAnswerIsAfterTheWork() async throws {
        try await withAPI(random: 0) { url, database in
            _ = try await database.pool.query(
                "select from bank.set_real_world_mode(true, hang_rate => 0, error_rate => 1, lost_answer_share => 1)")
            let withdraw = { @Sendable (headers: [String: String]) in
                try await request(
                    "POST", "\(url)/accounts/account_A/withdraw", body: #"{"amount":100}"#, headers: headers)
            }
            #expect(try await withdraw(["Idempotency-Key": "k"]).status == 500)
            #expect(try await withdraw(["Idempotency-Key": "k"]).status == 500)
            #expect(try await database.audit().balances["account_A"] == 90_000)
            // Without a key every repeat moves money, as in life.
            #expect(try await withdraw([:]).status == 500)
            #expect(try await withdraw([:]).status == 500)
            #expect(try await database.audit().balances["account_A"] == 70_000)
            #expect(try await request("GET", "\(url)/accounts/account_A").status == 500)
            #expect(try await request("GET", "\(url)/health").status == 200)
        }
    }

    @Test func anErrorBeforeTheWorkDoesNothing() async throws {
        try await withAPI(random: 0.5) { url, database in
            _ = try await database.pool.query(
                "select from bank.set_real_world_mode(true, hang_rate => 0, error_rate => 1, lost_answer_share => 0)")
            let answer = try await request("POST", "\(url)/accounts/account_A/withdraw", body: #"{"amount":100}"#)
            #expect(answer.status == 500)
            #expect(try await database.audit().balances["account_A"] == 100_000)
            // The switch works while the API runs.
            _ = try await database.pool.query("select from bank.set_real_world_mode(false)")
            #expect(try await request("GET", "\(url)/accounts/account_A").status == 200)
        }
    }

    @Test func aHangEndsWith504AndDoesNothing() async throws {
        try await withAPI(random: 0) { url, database in
            _ = try await database.pool.query(
                "select from bank.set_real_world_mode(true, hang_rate => 1, error_rate => 0, hang_seconds => 0.3)")
            let start = ContinuousClock.now
            let answer = try await request("POST", "\(url)/accounts/account_A/withdraw", body: #"{"amount":100}"#)
            #expect(answer.status == 504)
            #expect(ContinuousClock.now - start >= .milliseconds(300))
            #expect(try await database.audit().balances["account_A"] == 100_000)
        }
    }

    @Test func ratesDecide() throws {
        var mode = RealWorldMode(
            isEnabled: true, hangRate: 0.1, errorRate: 0.4, lostAnswerShare: 0.25, hang: .seconds(30))
        #expect(mode.fate(random: { 0.05 }) == .hangs(.seconds(30)))
        #expect(mode.fate(random: { 0.3 }) == .fails)
        #expect(mode.fate(random: { 0.2 }) == .losesAnswer)
        #expect(mode.fate(random: { 0.5 }) == .works)
        mode.isEnabled = false
        #expect(mode.fate(random: { 0 }) == .works)
    }
}
