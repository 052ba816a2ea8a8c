import Testing

extension EndToEnd {
    /// Promise: whoever cancels a transfer, and when, no money stays on the way.
    @Suite struct CancellationTests {
        private func cancel(_ id: String, in setting: TransferSetting) async throws {
            _ = try await setting.database.pool.query("select perdure.cancel_workflow(\(id), 'changed my mind')")
        }

        @Test func beforeTheWithdrawalNothingMoves() async throws {
            try await TransferSetting.with { setting in
                await setting.gate.hold("GET", "/accounts/account_F", .before)
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI, timeout: 30) { _ in
                    let id = try await setting.start("account_A", "account_F", 100_00)
                    try await setting.gate.arrived()
                    try await cancel(id, in: setting)
                    try await setting.waitUntilAllHaveEnded()
                    await setting.gate.open()
                    #expect(try await setting.transfer(id)["status"]?.stringValue == "CANCELED")
                    let audit = try await setting.database.audit()
                    #expect(audit.isProven && audit.balances == TransferSetting.opening)
                }
            }
        }

        @Test(arguments: Gate.Side.allCases)
        func duringTheWithdrawalTheMoneyGoesBack(side: Gate.Side) async throws {
            try await TransferSetting.with { setting in
                await setting.gate.hold("POST", "/accounts/account_A/withdraw", side)
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI, timeout: 30) { _ in
                    let id = try await setting.start("account_A", "account_F", 100_00)
                    try await setting.gate.arrived()
                    try await cancel(id, in: setting)
                    await setting.gate.open()
                    try await setting.waitUntilAllHaveEnded()
                    let transfer = try await setting.transfer(id)
                    #expect(transfer["status"]?.stringValue == "CANCELED")
                    #expect(
                        transfer["completed_steps"]
                            == ["check_balance_from", "check_balance_to", "withdraw", "refund"])
                    let audit = try await setting.database.audit()
                    #expect(audit.isProven && audit.balances == TransferSetting.opening)
                }
            }
        }

        @Test(arguments: Gate.Side.allCases)
        func duringTheDepositTheMoneyArrives(side: Gate.Side) async throws {
            try await TransferSetting.with { setting in
                await setting.gate.hold("POST", "/accounts/account_F/deposit", side)
                try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI, timeout: 30) { _ in
                    let id = try await setting.start("account_A", "account_F", 100_00)
                    try await setting.gate.arrived()
                    try await cancel(id, in: setting)
                    await setting.gate.open()
                    try await setting.waitUntilAllHaveEnded()
                    #expect(try await setting.transfer(id)["status"]?.stringValue == "COMPLETED")
                    let audit = try await setting.database.audit()
                    #expect(
                        audit.isProven && audit.balances["account_A"] == 90_000
                            && audit.balances["account_F"] == 100_000)
                }
            }
        }
    }
}
