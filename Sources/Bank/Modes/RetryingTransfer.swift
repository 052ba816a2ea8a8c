/// The transfer as the second version has it: every call is tried up to three times, with a longer wait each time.
///
/// The count and the wait live in memory, so they die with the process. And a call that failed may have worked: the
/// repeat then moves the money once more.
public struct RetryingTransfer: Sendable {
    private let accounts: AccountClient
    private let attempts: Int
    private let initialDelay: Duration

    /// - Parameter initialDelay: the wait before the second attempt; it doubles after each.
    public init(accounts: AccountClient, attempts: Int = 3, initialDelay: Duration = .milliseconds(500)) {
        self.accounts = accounts
        self.attempts = attempts
        self.initialDelay = initialDelay
    }

    /// - Parameter id: stands in the bank's journal beside every movement.
    /// - Throws: ``AccountClient/Failure`` of the last attempt.
    public func run(_ transfer: Transfer, id: String) async throws {
        let reference = AccountClient.Reference(transferID: id)
        let balance = try await retrying { try await accounts.balance(of: transfer.fromAccount) }
        _ = try await retrying { try await accounts.balance(of: transfer.toAccount) }
        guard balance >= transfer.amount else {
            throw AccountClient.Failure.insufficientFunds(
                account: transfer.fromAccount, balance: balance, amount: transfer.amount)
        }
        try await retrying {
            try await accounts.withdraw(transfer.amount, from: transfer.fromAccount, for: reference)
        }
        try await retrying {
            try await accounts.deposit(transfer.amount, to: transfer.toAccount, for: reference)
        }
    }

    @discardableResult
    private func retrying<Value>(_ call: () async throws -> Value) async throws -> Value {
        var delay = initialDelay
        for _ in 1..<attempts {
            do {
                return try await call()
            } catch AccountClient.Failure.unavailable {
                try await Task.sleep(for: delay)
                delay *= 2
            }
        }
        return try await call()
    }
}
