import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Talks to the account API, and says of every bad answer whether asking again can help.
public struct AccountClient: Sendable {
    private let url: String
    private let timeout: Duration
    private let http: HTTPClient
    private var observer: (@Sendable (Call, Call.Phase) async -> Void)?

    /// - Parameters:
    ///   - url: where the account API is, for example `http://127.0.0.1:5000`.
    ///   - timeout: how long one call may take before it counts as failed.
    public init(url: String, timeout: Duration = .seconds(5), http: HTTPClient = .shared) {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.timeout = timeout
        self.http = http
    }

    /// Why a call has no result.
    public enum Failure: Error, Sendable, Hashable, CustomStringConvertible {
        case unknownAccount(String)
        case closedAccount(String)
        case insufficientFunds(account: String, balance: Money, amount: Money)
        /// The request itself is wrong, in a way that no repeat mends.
        case refused(status: Int, message: String)
        /// The API failed, did not answer in time or cannot be reached: whether it did the work is unknown.
        case unavailable(String)

        public var description: String {
            switch self {
            case .unknownAccount(let id): "There is no account \(id)"
            case .closedAccount(let id): "Account \(id) is closed"
            case .insufficientFunds(let account, let balance, let amount):
                "Insufficient funds: \(account) holds \(balance.grouped), and \(amount.grouped) was asked for"
            case .refused(let status, let message): "The account API refused the request (\(status)): \(message)"
            case .unavailable(let why): why
            }
        }
    }

    /// Whose movement it is: the key makes a repeat safe, the ids stand in the ledger's journal.
    public struct Reference: Sendable {
        public var idempotencyKey: String?
        public var workflowID: String?
        public var runID: String?
        public var activityID: String?
        public var transferID: String?

        public init(idempotencyKey: String, workflowID: String, runID: String, activityID: String) {
            self.idempotencyKey = idempotencyKey
            self.workflowID = workflowID
            self.runID = runID
            self.activityID = activityID
        }

        /// Names the transfer in the journal, and makes no repeat safe: asked twice, the account API moves the money
        /// twice.
        public init(transferID: String) { self.transferID = transferID }
    }

    /// One call of the account API, for who watches.
    public struct Call: Sendable, Hashable {
        public enum Kind: Sendable { case balance, withdraw, deposit }
        public enum Phase: Sendable, Hashable {
            case began
            /// With what went wrong, if anything did.
            case ended(String?)
        }

        public var kind: Kind
        public var account: String
    }

    /// The same client, which tells of every call when it begins and when it has ended. A call waits for being told of.
    public func observed(by observer: @escaping @Sendable (Call, Call.Phase) async -> Void) -> AccountClient {
        var client = self
        client.observer = observer
        return client
    }

    /// What the account holds. Throws ``Failure``.
    public func balance(of account: String) async throws -> Money {
        try await observed(.balance, account) {
            try await call(.GET, account, "", nil, nil, answer: BalanceAnswer.self).balance
        }
    }

    /// Takes money out of the account, and returns what is left. Throws ``Failure``.
    @discardableResult
    public func withdraw(_ amount: Money, from account: String, for reference: Reference) async throws -> Money {
        try await observed(.withdraw, account) {
            try await call(.POST, account, "/withdraw", amount, reference, answer: MovementAnswer.self).newBalance
        }
    }

    /// Puts money into the account, and returns what it holds then. Throws ``Failure``.
    @discardableResult
    public func deposit(_ amount: Money, to account: String, for reference: Reference) async throws -> Money {
        try await observed(.deposit, account) {
            try await call(.POST, account, "/deposit", amount, reference, answer: MovementAnswer.self).newBalance
        }
    }

    private func observed(_ kind: Call.Kind, _ account: String, _ body: () async throws -> Money) async throws -> Money
    {
        guard let observer else { return try await body() }
        let call = Call(kind: kind, account: account)
        await observer(call, .began)
        do {
            let money = try await body()
            await observer(call, .ended(nil))
            return money
        } catch {
            await observer(call, .ended("\(error)"))
            throw error
        }
    }

    private func call<Answer: Decodable>(
        _ method: HTTPMethod, _ account: String, _ path: String, _ amount: Money?, _ reference: Reference?,
        answer: Answer.Type
    ) async throws -> Answer {
        guard AccountID.isWellFormed(account) else { throw Failure.unknownAccount(account) }
        var request = HTTPClientRequest(url: "\(url)/accounts/\(account)\(path)")
        request.method = method
        if let amount {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: "{\"amount\":\(amount)}"))
        }
        if let reference {
            let fields = [
                ("Idempotency-Key", reference.idempotencyKey), ("Workflow-Id", reference.workflowID),
                ("Run-Id", reference.runID), ("Activity-Id", reference.activityID),
                ("Transfer-Id", reference.transferID),
            ]
            for (name, value) in fields {
                if let value { request.headers.add(name: name, value: value) }
            }
        }
        let status: Int
        let body: ByteBuffer
        do {
            let response = try await http.execute(request, timeout: TimeAmount(timeout))
            status = Int(response.status.code)
            body = try await response.body.collect(upTo: 1 << 16)
        } catch let error
            where Task.isCancelled && (error is CancellationError || error as? HTTPClientError == .cancelled)
        {
            // By whoever waits for the answer. A call that ends so by itself has failed, and its work may be done.
            throw CancellationError()
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .readTimeout {
            throw Failure.unavailable("The account API did not answer within \(timeout)")
        } catch {
            throw Failure.unavailable("The account API cannot be reached: \(error)")
        }
        guard status != 200 else {
            do {
                return try JSONDecoder().decode(Answer.self, from: Data(body.readableBytesView))
            } catch {
                throw Failure.unavailable("The account API answered something that cannot be read")
            }
        }
        throw Self.failure(status: status, body: body, account: account)
    }

    private static func failure(status: Int, body: ByteBuffer, account: String) -> Failure {
        // Only the account API itself may say no: what a proxy answers, or another server at its address, tells nothing
        // of the money.
        guard let answer = try? JSONDecoder().decode(ErrorAnswer.self, from: Data(body.readableBytesView)) else {
            return .unavailable("The account API answered \(status) and not why")
        }
        switch status {
        case 404: return .unknownAccount(account)
        case 410: return .closedAccount(account)
        case 400:
            if let balance = answer.currentBalance, let amount = answer.requestedAmount {
                return .insufficientFunds(account: account, balance: balance, amount: amount)
            }
            return .refused(status: status, message: answer.error)
        case 413, 422: return .refused(status: status, message: answer.error)
        default: return .unavailable("The account API answered \(status): \(answer.error)")
        }
    }
}

private struct BalanceAnswer: Decodable {
    var balance: Money
}

private struct MovementAnswer: Decodable {
    var newBalance: Money
    enum CodingKeys: String, CodingKey { case newBalance = "new_balance" }
}

private struct ErrorAnswer: Decodable {
    var error: String
    var currentBalance: Money?
    var requestedAmount: Money?
    enum CodingKeys: String, CodingKey {
        case error
        case currentBalance = "current_balance"
        case requestedAmount = "requested_amount"
    }
}
