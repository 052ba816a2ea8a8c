import Bank
import Foundation
import Perdure
import PerdureTesting
import Testing

@Suite("A transfer")
struct TransferExample {
    typealias Steps = TransferActivities.Activities

    let transfer = Transfer(from: "account_A", to: "account_B", amount: Money(cents: 25_00), retrySeconds: 60)
    let options = WorkflowOptions(id: "transfer", taskQueue: "bank")

    // Each step has a mock of its name and types.
    let checkBalance = MockedActivity(Steps.CheckBalance.self, returning: Money(cents: 100_00))
    let withdraw = MockedActivity(Steps.Withdraw.self, returning: Money(cents: 75_00))
    let refund = MockedActivity(Steps.Refund.self, returning: Money(cents: 100_00))

    /// Runs a body beside a worker.
    func withBank(
        _ environment: WorkflowEnvironment, _ deposit: MockedActivity<Steps.Deposit>,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await environment.addSearchAttribute("from_account", type: .keyword)
        try await environment.addSearchAttribute("to_account", type: .keyword)
        try await environment.withWorker(
            taskQueue: "bank", workflows: [TransferWorkflow.self],
            activities: [checkBalance, withdraw, deposit, refund], body)
    }

    @Test("It goes on when the account API is back, eight hours later")
    func waits() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            let evening = try await environment.currentTime()
            let deposit = MockedActivity(Steps.Deposit.self) { _ in
                guard try await environment.currentTime() > evening.addingTimeInterval(8 * 3600) else {
                    throw ApplicationError(message: "down for the night", type: "AccountAPIUnavailable")
                }
                return Money(cents: 125_00)
            }
            try await withBank(environment, deposit) {
                let result = try await environment.client.executeWorkflow(
                    type: TransferWorkflow.self, options: options, input: transfer)
                #expect(result.success)
            }
            #expect(withdraw.inputs.count == 1)
            #expect(deposit.inputs.count > 40)
            #expect(refund.inputs.isEmpty)
        }
    }

    @Test("It gives the money back when the other account is closed")
    func refunds() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            let closed = ApplicationError(message: "closed", type: "ClosedAccount", isNonRetryable: true)
            let deposit = MockedActivity(Steps.Deposit.self, throwing: closed)
            try await withBank(environment, deposit) {
                let error = await #expect(throws: WorkflowFailedError.self) {
                    try await environment.client.executeWorkflow(
                        type: TransferWorkflow.self, options: options, input: transfer)
                }
                #expect(error?.failure.message == "closed")
            }
            #expect(refund.inputs == withdraw.inputs)
        }
    }

    @Test("It tries a deposit again that does not answer")
    func timesOut() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            let deposit = MockedActivity(Steps.Deposit.self) { _ in
                if ActivityExecutionContext.current?.info.attempt == 1 {
                    // Ten seconds later the attempt is given up.
                    try await environment.sleep(for: .seconds(3600))
                }
                return Money(cents: 125_00)
            }
            try await withBank(environment, deposit) {
                let transfer = try await environment.client.startWorkflow(
                    type: TransferWorkflow.self, options: options, input: transfer)
                try await transfer.result()
                // What the code decides today must be what it decides tomorrow: keep such files beside the tests.
                let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                try await transfer.untypedHandle.exportHistory(to: folder)
                try await WorkflowReplayer(workflows: [TransferWorkflow.self]).replayWorkflows(in: folder)
                try FileManager.default.removeItem(at: folder)
            }
            #expect(deposit.inputs.count == 2)
        }
    }

    @Test("A step says whether another attempt may help")
    func step() async throws {
        let activities = TransferActivities(accounts: AccountClient(url: "http://127.0.0.1:1"))
        let environment = try ActivityEnvironment()
        let error = await #expect(throws: ApplicationError.self) {
            try await environment.run(Steps.CheckBalance.self, of: activities, input: "account_A")
        }
        #expect(error?.type == "AccountAPIUnavailable")
        #expect(error?.isNonRetryable == false)
    }
}
