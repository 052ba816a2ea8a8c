/// What a transfer is asked to do: the input of ``TransferWorkflow``.
public struct Transfer: Codable, Sendable, Hashable {
    public var fromAccount: String
    public var toAccount: String
    public var amount: Money
    /// How long the first retry of a step waits, in seconds; nil is one second. Doubles up to ten times as much.
    public var retrySeconds: Double?

    public init(from fromAccount: String, to toAccount: String, amount: Money, retrySeconds: Double? = nil) {
        self.fromAccount = fromAccount
        self.toAccount = toAccount
        self.amount = amount
        self.retrySeconds = retrySeconds
    }

    enum CodingKeys: String, CodingKey {
        case fromAccount = "from_account"
        case toAccount = "to_account"
        case amount
        case retrySeconds = "retry_seconds"
    }
}

/// How a transfer ended: the result of a completed ``TransferWorkflow``, and the details of a failed one's error.
public struct TransferResult: Codable, Sendable, Hashable {
    public var success: Bool
    public var fromAccount: String
    public var toAccount: String
    public var amount: Money
    /// What the accounts held when the transfer looked; nil when it did not get that far.
    public var fromAccountStartingBalance: Money?
    public var toAccountStartingBalance: Money?
    public var errorMessage: String?

    init(_ transfer: Transfer) {
        success = false
        fromAccount = transfer.fromAccount
        toAccount = transfer.toAccount
        amount = transfer.amount
    }

    enum CodingKeys: String, CodingKey {
        case success
        case fromAccount = "from_account"
        case toAccount = "to_account"
        case amount
        case fromAccountStartingBalance = "from_account_starting_balance"
        case toAccountStartingBalance = "to_account_starting_balance"
        case errorMessage = "error_message"
    }
}

/// The steps of a transfer. A step's name is its activity's id, so that history and idempotency keys show it.
public enum TransferStep: String, Codable, Sendable, CaseIterable {
    case checkBalanceFrom = "check_balance_from"
    case checkBalanceTo = "check_balance_to"
    case withdraw
    case deposit
    /// Gives the money back when it cannot be deposited; most transfers never come here.
    case refund
}

/// Where a transfer stands: the answer of the query `get_state`.
public struct TransferState: Codable, Sendable, Hashable {
    public enum Status: String, Codable, Sendable {
        case running = "RUNNING"
        case completed = "COMPLETED"
        case failed = "FAILED"
        case canceled = "CANCELED"
    }

    public var status = Status.running
    /// Nil between two steps, and at the end.
    public var currentStep: TransferStep?
    public var completedSteps: [TransferStep] = []

    enum CodingKeys: String, CodingKey {
        case status
        case currentStep = "current_step"
        case completedSteps = "completed_steps"
    }
}
