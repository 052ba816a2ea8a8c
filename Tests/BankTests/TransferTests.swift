import Bank
import Foundation
import Postgres
import TestSupport
import Testing
import WebCommon

@testable import AccountAPI
@testable import TransferWeb

/// Transfers end to end: real workers in processes of their own, a real account API, a real database.
extension EndToEnd {
    @Suite struct TransferTests {
        @Test func movesMoney() async throws {
            try await TransferSetting.with { setting in
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    let id = try await setting.start("account_A", "account_F", 12_34)
                    try await setting.waitUntilAllHaveEnded()
                    let transfer = try await setting.transfer(id)
                    #expect(transfer["status"]?.stringValue == "COMPLETED")
                    #expect(
                        transfer["result"] == [
                            "success": true, "from_account": "account_A", "to_account": "account_F",
                            "amount": .number("12.34"), "from_account_starting_balance": .number("1000.00"),
                            "to_account_starting_balance": .number("900.00"), "error_message": nil,
                        ])
                    let audit = try await setting.database.audit()
                    #expect(
                        audit.isProven && audit.balances["account_A"] == 98_766 && audit.balances["account_F"] == 91_234
                    )
                }
            }
        }

        @Test(arguments: [
            ("account_E", "account_F", 30_001, "Insufficient funds"),
            ("account_A", "account_Z", 100, "There is no account account_Z"),
            ("account_Z", "account_A", 100, "There is no account account_Z"),
        ])
        func businessFailuresDoNotRetry(from: String, to: String, cents: Int64, message: String) async throws {
            try await TransferSetting.with { setting in
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    let id = try await setting.start(from, to, cents)
                    try await setting.waitUntilAllHaveEnded()
                    let transfer = try await setting.transfer(id)
                    #expect(transfer["status"]?.stringValue == "FAILED")
                    #expect(transfer["result"]?["success"] == false)
                    #expect(transfer["result"]?["error_message"]?.stringValue?.contains(message) == true)
                    let audit = try await setting.database.audit()
                    #expect(audit.isProven && audit.balances == TransferSetting.opening)
                }
            }
        }

        /// The account is closed after it was checked: the deposit can never succeed, so the money goes back.
        @Test func aDepositThatCannotSucceedGivesTheMoneyBack() async throws {
            try await TransferSetting.with { setting in
                _ = try await setting.database.pool.query("select from bank.open_account('account_K')")
                await setting.gate.hold("POST", "/accounts/account_K/deposit", .before)
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI, timeout: 30) { _ in
                    let id = try await setting.start("account_A", "account_K", 100_00)
                    try await setting.gate.arrived()
                    #expect(try await setting.database.audit().balances["account_A"] == 90_000)
                    _ = try await setting.database.pool.query("select from bank.close_account('account_K')")
                    await setting.gate.open()
                    try await setting.waitUntilAllHaveEnded()

                    let transfer = try await setting.transfer(id)
                    #expect(transfer["status"]?.stringValue == "FAILED")
                    #expect(transfer["result"]?["error_message"]?.stringValue?.contains("closed") == true)
                    #expect(
                        transfer["completed_steps"] == ["check_balance_from", "check_balance_to", "withdraw", "refund"])
                    let audit = try await setting.database.audit()
                    #expect(audit.isProven && audit.balances["account_A"] == 100_000)
                    let refunds = try await setting.database.pool.query(
                        """
                        select count(*) from perdure.history_events
                        where workflow_id = \(id) and event_type = 'ActivityTaskScheduled'
                            and attributes ->> 'activityId' = 'refund'
                        """)
                    #expect(try refunds[0].decode(Int.self, at: 0) == 1)
                }
            }
        }

        /// Promise: money is conserved whatever fails, and to the cent on every single account.
        @Test func twoHundredTransfersInTheRealWorld() async throws {
            try await TransferSetting.with { setting in
                try await setting.realWorld(hang: 0.1, error: 0.4, lost: 0.5, seconds: 5)
                var expected = TransferSetting.opening
                for number in 0..<200 {
                    let from = "account_\(Array("ABCDEFGHIJ")[number % 10])"
                    let to = "account_\(Array("ABCDEFGHIJ")[(number * 3 + 1 + number / 10) % 10])"
                    guard from != to else { continue }
                    let cents = Int64(number % 17 + 1) * 11
                    expected[from, default: 0] -= cents
                    expected[to, default: 0] += cents
                    _ = try await setting.start(from, to, cents)
                }
                // A request that does not hang takes less than two seconds on a busy machine too.
                try await withWorkers(2, database: setting.database, accountAPI: setting.accountAPI, timeout: 2) { _ in
                    try await setting.waitUntilAllHaveEnded(within: .seconds(300))
                }
                let audit = try await setting.database.audit()
                #expect(audit.isProven)
                #expect(audit.balances == expected)
                let lost = try await setting.database.pool.query(
                    "select count(*) from perdure.workflows where status <> 'Completed'")
                #expect(try lost[0].decode(Int.self, at: 0) == 0)
            }
        }

        @Test func aResetWhileTransfersRunKeepsTheSum() async throws {
            try await TransferSetting.with { setting in
                try await setting.realWorld(hang: 0, error: 0.3, lost: 0.5)
                for number in 0..<40 {
                    let letters = Array("ABCDEFGHIJ")
                    _ = try await setting.start(
                        "account_\(letters[number % 10])", "account_\(letters[(number + 5) % 10])", 1_00)
                }
                try await withWorkers(2, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    for number in 0..<10 {
                        try await eventually("some more transfers end") {
                            try await setting.count(
                                "select count(*) from perdure.workflows where status <> 'Running'") >= number * 3
                        }
                        _ = try await setting.database.pool.query("select from bank.reset_balances()")
                        let totals = try await Ledger(setting.database.pool).totals()
                        #expect(totals.isConserved && totals.expected == Money(cents: 795_000))
                    }
                    try await setting.waitUntilAllHaveEnded()
                }
                let audit = try await setting.database.audit()
                #expect(audit.isProven && audit.balances.values.reduce(0, +) == 795_000)
                _ = try await setting.database.pool.query("select from bank.reset_balances()")
                #expect(try await setting.database.audit().balances == TransferSetting.opening)
            }
        }

        /// Promise: `kill -9` of a worker in the middle of any step, before its work or after it, and another worker
        /// ends the transfer, once. The killed worker's call arrives late, too, and moves nothing.
        @Test(
            arguments: [
                ("GET", "/accounts/account_A"), ("GET", "/accounts/account_F"),
                ("POST", "/accounts/account_A/withdraw"),
                ("POST", "/accounts/account_F/deposit"),
            ], Gate.Side.allCases)
        func killingAWorkerLosesNothing(call: (method: String, path: String), side: Gate.Side) async throws {
            try await TransferSetting.with { setting in
                await setting.gate.hold(call.method, call.path, side)
                let first = try WorkerProcess(database: setting.database, accountAPI: setting.accountAPI, timeout: 30)
                let id = try await setting.start("account_A", "account_F", 100_00)
                try await setting.gate.arrived()
                await first.kill()
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    try await setting.waitUntilAllHaveEnded()
                    await setting.gate.open()
                    #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED")
                    try await eventually("the books settle") { try await setting.database.audit().isProven }
                    let audit = try await setting.database.audit()
                    #expect(audit.balances["account_A"] == 90_000 && audit.balances["account_F"] == 100_000)
                    #expect(audit.balances.values.reduce(0, +) == 795_000)
                }
            }
        }

        /// Promise: the same for the step that gives the money back when the deposit can never succeed: it comes back
        /// once.
        @Test(arguments: Gate.Side.allCases)
        func killingAWorkerGivesTheMoneyBackOnce(side: Gate.Side) async throws {
            try await TransferSetting.with { setting in
                _ = try await setting.database.pool.query("select from bank.open_account('account_K')")
                await setting.gate.hold("POST", "/accounts/account_K/deposit", .before)
                let first = try WorkerProcess(database: setting.database, accountAPI: setting.accountAPI, timeout: 30)
                let id = try await setting.start("account_A", "account_K", 100_00)
                try await setting.gate.arrived()
                _ = try await setting.database.pool.query("select from bank.close_account('account_K')")
                await setting.gate.open(andHold: "POST", "/accounts/account_A/deposit", side)
                try await setting.gate.arrived()
                let heldBack = try await setting.database.audit().balances["account_A"]
                #expect(heldBack == (side == .before ? 90_000 : 100_000))
                await first.kill()
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    try await setting.waitUntilAllHaveEnded()
                    await setting.gate.open()
                    let transfer = try await setting.transfer(id)
                    #expect(transfer["status"]?.stringValue == "FAILED")
                    #expect(
                        transfer["completed_steps"] == ["check_balance_from", "check_balance_to", "withdraw", "refund"])
                    #expect(
                        try await setting.count(
                            "select count(*) from perdure.failed_attempts where workflow_id = \(id) and worker_lost")
                            == 1,
                        "the attempt that was killed")
                    try await eventually("the books settle") { try await setting.database.audit().isProven }
                    #expect(
                        try await setting.database.audit().balances
                            == TransferSetting.opening.merging(
                                ["account_K": 0]) { $1 })
                    let entries = try await setting.database.pool.query(
                        "select kind from bank.journal where workflow_id = \(id) order by entry_id")
                    #expect(try entries.map { try $0.decode(String.self, at: 0) } == ["withdrawal", "deposit"])
                }
            }
        }

        /// The page follows what a worker does, step by step.
        @Test func aRunningTransferShowsItsStepAndItsRetries() async throws {
            try await TransferSetting.with { setting in
                try await setting.realWorld(hang: 0, error: 1, lost: 0)
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI) { _ in
                    let id = try await setting.start("account_A", "account_F", 100_00)
                    try await eventually("a retry shows") {
                        let transfer = try await setting.transfer(id)
                        guard case .number(let attempt) = transfer["attempt"],
                            let failure = transfer["last_failure"]?.stringValue
                        else { return false }
                        return (Int(attempt) ?? 0) > 2 && failure.contains("500")
                            && transfer["current_step"]?.stringValue == "check_balance_from"
                    }
                    _ = try await setting.database.pool.query("select from bank.set_real_world_mode(false)")
                    try await setting.waitUntilAllHaveEnded()
                    #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED")
                }
            }
        }
    }
}
