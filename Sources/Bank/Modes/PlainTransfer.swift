/// The transfer as a first version has it: four calls, one after the other.
///
/// When a call fails, or the process dies, whatever was done until then stays done.
public struct PlainTransfer: Sendable {
    private let accounts: AccountClient

    public init(accounts: AccountClient) { self.accounts = accounts }

    /// - Parameter id: stands in the bank's journal beside every movement.
    /// - Throws: ``AccountClient/Failure``
    public func run(_ transfer: Transfer, id: String) async throws {
        let reference = AccountClient.Reference(transferID: id)
        let balance = try await accounts.balance(of: transfer.fromAccount)
        _ = try await accounts.balance(of: transfer.toAccount)
        guard balance >= transfer.amount else {
            throw AccountClient.Failure.insufficientFunds(
                account: transfer.fromAccount, balance: balance, amount: transfer.amount)
        }
        try await accounts.withdraw(transfer.amount, from: transfer.fromAccount, for: reference)
        try await accounts.deposit(transfer.amount, to: transfer.toAccount, for: reference)
    }
}
