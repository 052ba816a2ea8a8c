public import Perdure

/// The steps of a transfer, which the account API does.
///
/// Each call carries the activity's idempotency key, the same on every attempt: an attempt that follows a lost answer
/// gets that answer, and the money moves once.
@ActivityContainer
public struct TransferActivities {
    private let accounts: AccountClient

    public init(accounts: AccountClient) { self.accounts = accounts }

    /// One movement of money: how much, and the account that it leaves or reaches.
    public struct Movement: Codable, Sendable, Hashable {
        public var account: String
        public var amount: Money
    }

    /// What the account holds.
    @Activity
    public func checkBalance(account: String) async throws -> Money {
        try await asking { try await accounts.balance(of: account) }
    }

    /// Takes money out of an account, and returns what is left.
    @Activity
    public func withdraw(_ movement: Movement) async throws -> Money {
        try await asking {
            try await accounts.withdraw(movement.amount, from: movement.account, for: try reference())
        }
    }

    /// Puts money into an account, and returns what it holds then.
    @Activity
    public func deposit(_ movement: Movement) async throws -> Money {
        let balance = try await asking {
            try await accounts.deposit(movement.amount, to: movement.account, for: try reference())
        }
        try Bug.inActivity(balance)
        return balance
    }

    /// Gives money back. It never gives up: the money has left its account and must not stay nowhere. Should the
    /// account be gone, the attempts go on, for people to see, until there is one.
    @Activity
    public func refund(_ movement: Movement) async throws -> Money {
        do {
            return try await deposit(movement)
        } catch var error as ApplicationError {
            error.isNonRetryable = false
            throw error
        }
    }

    private func reference() throws -> AccountClient.Reference {
        guard let attempt = ActivityExecutionContext.current?.info else {
            throw ApplicationError(message: "money moves in activities only", type: "NoActivity", isNonRetryable: true)
        }
        return AccountClient.Reference(
            idempotencyKey: attempt.idempotencyKey, workflowID: attempt.workflowID,
            runID: attempt.workflowRunID.uuidString.lowercased(), activityID: attempt.activityID)
    }

    /// What the account API says of an account or an amount is final; when it fails, another attempt may succeed.
    private func asking<Answer>(_ call: () async throws -> Answer) async throws -> Answer {
        do {
            return try await call()
        } catch let failure as AccountClient.Failure {
            throw ApplicationError(message: "\(failure)", type: failure.type, isNonRetryable: failure.isFinal)
        }
    }
}

extension AccountClient.Failure {
    fileprivate var type: String {
        switch self {
        case .unknownAccount: "UnknownAccount"
        case .closedAccount: "ClosedAccount"
        case .insufficientFunds: "InsufficientFunds"
        case .refused: "Refused"
        case .unavailable: "AccountAPIUnavailable"
        }
    }

    fileprivate var isFinal: Bool {
        if case .unavailable = self { false } else { true }
    }
}
