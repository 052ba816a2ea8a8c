public import Perdure

/// Moves money from one account to another, whatever fails on the way.
@Workflow
public struct TransferWorkflow {
    private var state = TransferState()

    public func run(context: WorkflowContext<Self>, input transfer: Transfer) async throws -> TransferResult {
        if context.searchAttributes["from_account"] == nil {
            context.upsertSearchAttributes([
                "from_account": .string(transfer.fromAccount), "to_account": .string(transfer.toAccount),
            ])
        }
        context.logger.info("Transfer of \(transfer.amount) from \(transfer.fromAccount) to \(transfer.toAccount)")
        var result = TransferResult(transfer)
        do {
            result.fromAccountStartingBalance = try await perform(
                .checkBalanceFrom, Activities.CheckBalance.self, transfer.fromAccount, transfer, context)
            result.toAccountStartingBalance = try await perform(
                .checkBalanceTo, Activities.CheckBalance.self, transfer.toAccount, transfer, context)
            try Bug.inWorkflow(result)
            // Money that is on its way arrives or goes back: a request to cancel must not stop it in between.
            try await context.withCancellationShield { try await move(transfer, context) }
        } catch let error as ActivityError where !error.failure.isCancellation {
            state.status = .failed
            let reason = error.cause.map { "\($0)" } ?? "\(error)"
            context.logger.warning("Transfer failed: \(reason)")
            result.errorMessage = reason
            var failure = ApplicationError(message: reason, type: "TransferFailed", isNonRetryable: true)
            failure.details = [try Payload(encoding: result)]
            failure.cause = error.failure
            throw failure
        } catch  where context.isCancelRequested {
            state.status = .canceled
            context.logger.notice("Transfer canceled")
            throw error
        }
        state.status = .completed
        context.logger.info("Transfer completed")
        result.success = true
        return result
    }

    /// Where the transfer stands.
    @WorkflowQuery(name: "get_state")
    public func getState() -> TransferState { state }

    private func move(_ transfer: Transfer, _ context: WorkflowContext<Self>) async throws {
        let withdrawal = TransferActivities.Movement(account: transfer.fromAccount, amount: transfer.amount)
        let deposit = TransferActivities.Movement(account: transfer.toAccount, amount: transfer.amount)
        _ = try await perform(.withdraw, Activities.Withdraw.self, withdrawal, transfer, context)
        do {
            if context.isCancelRequested { throw CanceledError(message: "the transfer was canceled") }
            _ = try await perform(.deposit, Activities.Deposit.self, deposit, transfer, context)
        } catch {
            context.logger.warning("The money goes back to \(transfer.fromAccount): \(error)")
            _ = try await perform(.refund, Activities.Refund.self, withdrawal, transfer, context)
            throw error
        }
    }

    private typealias Activities = TransferActivities.Activities

    /// Runs a step's activity through all its attempts. There is no limit to them: what fails for good says so.
    private func perform<Activity: ActivityDefinition>(
        _ step: TransferStep, _ activity: Activity.Type, _ input: Activity.Input, _ transfer: Transfer,
        _ context: WorkflowContext<Self>
    ) async throws -> Activity.Output {
        let firstRetry = Duration.seconds(transfer.retrySeconds ?? 1)
        state.currentStep = step
        defer { state.currentStep = nil }
        let output = try await context.executeActivity(
            activity,
            options: ActivityOptions(
                startToCloseTimeout: .seconds(10),
                retryPolicy: RetryPolicy(initialInterval: firstRetry, maximumInterval: firstRetry * 10),
                activityID: step.rawValue),
            input: input)
        state.completedSteps.append(step)
        return output
    }
}
