import Postgres

/// The bank's books in PostgreSQL: a thin name for the functions of schema `bank`.
public struct Ledger: Sendable {
    private let pool: PostgresPool

    public init(_ pool: PostgresPool) { self.pool = pool }

    /// What is asked of the ledger, and who asks.
    public struct Movement: Sendable {
        public enum Direction: Sendable { case withdraw, deposit }

        public var direction: Direction
        public var account: String
        public var amount: Money
        /// A repeat with the same key gets the first answer.
        public var idempotencyKey: String?
        public var workflowID: String?
        public var runID: String?
        public var activityID: String?
        /// The transfer that it is part of, if that is no run.
        public var transferID: String?

        public init(
            _ direction: Direction, account: String, amount: Money, idempotencyKey: String? = nil,
            workflowID: String? = nil, runID: String? = nil, activityID: String? = nil, transferID: String? = nil
        ) {
            self.direction = direction
            self.account = account
            self.amount = amount
            self.idempotencyKey = idempotencyKey
            self.workflowID = workflowID
            self.runID = runID
            self.activityID = activityID
            self.transferID = transferID
        }
    }

    public struct Answer: Sendable, Hashable {
        /// False: the account holds too little, and nothing has moved.
        public var isPosted: Bool
        public var previousBalance: Money
        public var newBalance: Money
    }

    /// Why the ledger does not do what it was asked. `rawValue` is the SQLSTATE.
    public enum Refusal: String, Error, Sendable {
        case unknownAccount = "BK001"
        case invalidArgument = "BK002"
        case keyOfAnotherMovement = "BK003"
        case closedAccount = "BK004"
    }

    /// Throws a ``Refusal``, or the database's own error when it could not be asked.
    public func move(_ movement: Movement) async throws -> Answer {
        let function = movement.direction == .withdraw ? "withdraw" : "deposit"
        let query = PostgresQuery(
            """
            select outcome = 'posted', previous_cents, new_cents
            from bank.\(function)($1, $2, $3, $4, $5, $6, transfer_id => $7)
            """,
            binds: [
                movement.account, movement.amount.cents, movement.idempotencyKey, movement.workflowID, movement.runID,
                movement.activityID, movement.transferID,
            ])
        let row = try await refusing { try await pool.query(query)[0] }
        return Answer(
            isPosted: try row.decode(at: 0), previousBalance: Money(cents: try row.decode(at: 1)),
            newBalance: Money(cents: try row.decode(at: 2)))
    }

    /// Throws a ``Refusal`` for an unknown or closed account.
    public func balance(of account: String) async throws -> Money {
        try await refusing { Money(cents: try await pool.query("select bank.balance(\(account))")[0].decode(at: 0)) }
    }

    /// The customers' open accounts and what they hold, by name.
    public func balances() async throws -> [(account: String, balance: Money)] {
        let rows = try await pool.query(
            """
            select account_id, balance_cents from bank.balances
            where kind = 'customer' and closed_at is null order by account_id
            """)
        return try rows.map { (try $0.decode(at: 0), Money(cents: try $0.decode(at: 1))) }
    }

    /// What all money adds up to; see the view `bank.totals`.
    public struct Totals: Sendable, Hashable {
        public var customers: Money
        /// Withdrawn and not yet deposited, by whomever.
        public var inTransit: Money
        /// Of what is in transit: withdrawn by transfers that have ended, so that it never arrives.
        public var missing: Money
        /// Deposited by transfers that have ended, and never withdrawn.
        public var surplus: Money
        /// What both must add up to.
        public var expected: Money
        public var isConserved: Bool
    }

    public func totals() async throws -> Totals {
        let row = try await pool.query("select * from bank.totals")[0]
        return Totals(
            customers: Money(cents: try row.decode("customer_cents")),
            inTransit: Money(cents: try row.decode("in_transit_cents")),
            missing: Money(cents: try row.decode("missing_cents")),
            surplus: Money(cents: try row.decode("surplus_cents")),
            expected: Money(cents: try row.decode("equity_cents")), isConserved: try row.decode("conserved"))
    }

    /// Brings all balances back to opening; see `sql/bank/20_reset_balances.sql` for what running transfers see.
    public func resetBalances() async throws {
        _ = try await pool.query("select from bank.reset_balances()")
    }

    public func realWorldMode() async throws -> RealWorldMode {
        try RealWorldMode(try await pool.query("select * from bank.settings")[0])
    }

    @discardableResult
    public func setRealWorldMode(_ isEnabled: Bool) async throws -> RealWorldMode {
        try RealWorldMode(try await pool.query("select * from bank.set_real_world_mode(\(isEnabled))")[0])
    }

    private func refusing<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let error as PostgresError {
            if let refusal = error.sqlState.flatMap(Refusal.init) { throw refusal }
            throw error
        }
    }
}

/// How the account API fails when it behaves like real ones do. It stands in `bank.settings`.
public struct RealWorldMode: Sendable, Hashable {
    public var isEnabled: Bool
    /// The share of calls that hang and then answer 504.
    public var hangRate: Double
    /// The share of calls that answer 500.
    public var errorRate: Double
    /// The share of those 500s that come after the work was done.
    public var lostAnswerShare: Double
    public var hang: Duration

    public init(isEnabled: Bool, hangRate: Double, errorRate: Double, lostAnswerShare: Double, hang: Duration) {
        self.isEnabled = isEnabled
        self.hangRate = hangRate
        self.errorRate = errorRate
        self.lostAnswerShare = lostAnswerShare
        self.hang = hang
    }

    init(_ row: PostgresRow) throws {
        isEnabled = try row.decode("real_world_mode")
        hangRate = try row.decode("hang_rate")
        errorRate = try row.decode("error_rate")
        lostAnswerShare = try row.decode("lost_answer_share")
        hang = .seconds(try row.decode(Double.self, "hang_seconds"))
    }

    /// What happens to one call.
    public enum Fate: Sendable, Hashable {
        case works
        case hangs(Duration)
        case fails
        /// The work is done, the answer says 500.
        case losesAnswer
    }

    /// - Parameter random: gives numbers from 0 up to 1.
    public func fate(random: () -> Double) -> Fate {
        guard isEnabled else { return .works }
        let drawn = random()
        if drawn < hangRate { return .hangs(hang) }
        if drawn < hangRate + errorRate { return random() < lostAnswerShare ? .losesAnswer : .fails }
        return .works
    }
}
