import TestSupport
import Testing

extension EndToEnd {
    /// Promise: no transfer is lost to a bug. It waits, shows why, and goes on under fixed code.
    @Suite struct BugTests {
        @Test func twentyTransfersOutliveABugInTheWorkflow() async throws {
            try await TransferSetting.with { setting in
                try await startTwenty(setting)
                try await withWorkers(
                    1, database: setting.database, accountAPI: setting.accountAPI, bug: "workflow", build: "1"
                ) { workers in
                    try await eventually("the bug stops all transfers") {
                        try await setting.count(
                            """
                            select count(*) from perdure.pending_workflow_tasks
                            where attempt > 1 and last_failure #>> '{failure,stackTrace}' like 'Bank/Bug.swift:%'
                                and last_failure -> 'failure' ->> 'message' like '%receipt number%Bank/Bug.swift:%'
                            """) == 20
                    }
                    #expect(
                        try await setting.count(
                            """
                            select count(*) from perdure.workflows
                            where status = 'Running' and workflow_task_attempt >= 1
                                and workflow_task_failure is not null
                            """) == 20)
                    #expect(await workers[0].stop() == 0)
                }
                // Nothing has moved yet: the bug comes before the withdrawal.
                #expect(try await setting.database.audit().balances == TransferSetting.opening)
                try await finishUnderFixedCode(setting)
            }
        }

        @Test func twentyTransfersOutliveABugInAnActivity() async throws {
            try await TransferSetting.with { setting in
                try await startTwenty(setting)
                try await withWorkers(
                    1, database: setting.database, accountAPI: setting.accountAPI, bug: "activity", build: "1"
                ) { workers in
                    try await eventually("the bug stops all transfers") {
                        try await setting.count(
                            """
                            select count(*) from perdure.pending_activities
                            where activity_id = 'deposit' and attempt > 1 and last_failure_message like '%whole number%'
                            """) == 20
                    }
                    #expect(await workers[0].stop() == 0)
                }
                try await finishUnderFixedCode(setting)
            }
        }

        private func startTwenty(_ setting: TransferSetting) async throws {
            for number in 0..<20 {
                let from = Array("ABCDE")[number % 5]
                let to = Array("FGHIJ")[number % 5]
                try await setting.start("account_\(from)", "account_\(to)", Int64(number + 1))
            }
        }

        private func finishUnderFixedCode(_ setting: TransferSetting) async throws {
            try await withWorkers(1, database: setting.database, accountAPI: setting.accountAPI, build: "2") { _ in
                try await setting.waitUntilAllHaveEnded()
            }
            #expect(
                try await setting.count("select count(*) from perdure.workflows where status = 'Completed'") == 20)
            var expected = TransferSetting.opening
            for number in 0..<20 {
                expected["account_\(Array("ABCDE")[number % 5])", default: 0] -= Int64(number + 1)
                expected["account_\(Array("FGHIJ")[number % 5])", default: 0] += Int64(number + 1)
            }
            let audit = try await setting.database.audit()
            #expect(audit.isProven && audit.balances == expected)
        }
    }
}
