import Bank
import HTTPTypes
import Hummingbird
import PerdureModel
import Postgres
import ServiceLifecycle
import WebCommon

/// The downstream that transfers depend on: three calls over the ledger, which fail the way real ones do when Real
/// World Mode is on. It keeps no state, so any number of them can run.
struct AccountRoutes: Sendable {
    let ledger: Ledger
    /// Numbers from 0 up to 1, from which Real World Mode decides.
    var random: @Sendable () -> Double = { Double.random(in: 0..<1) }

    func router(settings: WebSettings) -> Router<BasicRequestContext> {
        let router = Router()
        router.addStandardMiddleware(settings: settings, translate: WebError.init(database:))
        router.route("health", [.get: { _, _ in Response(json: ["status": "ok"]) }])
        router.route(
            "accounts/:id",
            [.get: { request, context in try await facingTheRealWorld(request) { _ in try await account(context) } }])
        router.route(
            "accounts/:id/withdraw",
            [
                .post: { request, context in
                    try await facingTheRealWorld(request) { try await move(.withdraw, $0, context) }
                }
            ])
        router.route(
            "accounts/:id/deposit",
            [
                .post: { request, context in
                    try await facingTheRealWorld(request) { try await move(.deposit, $0, context) }
                }
            ])
        return router
    }

    private func account(_ context: BasicRequestContext) async throws -> Response {
        let id = try accountID(context)
        let balance = try await refusing { try await ledger.balance(of: id) }
        return Response(json: ["account_number": .string(id), "balance": .number(balance.description)])
    }

    private func move(
        _ direction: Ledger.Movement.Direction, _ request: Request, _ context: BasicRequestContext
    ) async throws -> Response {
        let id = try accountID(context)
        let key = request.headers[HTTPField.Name("Idempotency-Key")!]
        if let key, !(1...255).contains(key.unicodeScalars.count) {
            throw WebError(.badRequest, "the Idempotency-Key must have 1 to 255 characters")
        }
        let amount = try Self.amount(in: try await request.jsonObject())
        let movement = Ledger.Movement(
            direction, account: id, amount: amount, idempotencyKey: key,
            workflowID: request.headers[.workflowID], runID: request.headers[.runID],
            activityID: request.headers[.activityID], transferID: request.headers[.transferID])
        let answer = try await refusing { try await ledger.move(movement) }
        guard answer.isPosted else {
            throw WebError(
                .badRequest, "Insufficient funds",
                members: [
                    "current_balance": .number(answer.previousBalance.description),
                    "requested_amount": .number(amount.description),
                ])
        }
        return Response(json: [
            "account_number": .string(id),
            "previous_balance": .number(answer.previousBalance.description),
            direction == .withdraw ? "amount_withdrawn" : "amount_deposited": .number(amount.description),
            "new_balance": .number(answer.newBalance.description),
        ])
    }

    private static func amount(in body: JSON) throws -> Money {
        do throws(Money.Invalid) {
            switch body["amount"] {
            case .number(let digits): return try Money.requested(digits)
            case nil, .null: throw .missing
            default: throw .notANumber
            }
        } catch {
            throw WebError(.badRequest, error.description)
        }
    }

    /// An id that no account can have is an unknown account, not something to ask the database about.
    private func accountID(_ context: BasicRequestContext) throws -> String {
        let id = try context.pathSegment("id")
        guard AccountID.isWellFormed(id) else { throw WebError(.notFound, "Account not found") }
        return id
    }

    private func refusing<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let refusal as Ledger.Refusal {
            switch refusal {
            case .unknownAccount: throw WebError(.notFound, "Account not found")
            case .closedAccount: throw WebError(.gone, "Account is closed")
            case .invalidArgument:
                throw WebError(
                    .badRequest, "the amount, the Idempotency-Key or an id is not valid, or the account cannot hold it")
            case .keyOfAnotherMovement:
                throw WebError(.unprocessableContent, "this Idempotency-Key was used for another movement")
            }
        }
    }

    /// Decides once what happens to this call, before anything of it is looked at, as a network or a proxy would.
    private func facingTheRealWorld(
        _ request: Request, _ work: (Request) async throws -> Response
    ) async throws -> Response {
        switch try await ledger.realWorldMode().fate(random: random) {
        case .works:
            return try await work(request)
        case .fails:
            throw WebError(.internalServerError, "Internal server error")
        case .losesAnswer:
            _ = try? await work(request)
            throw WebError(.internalServerError, "Internal server error")
        case .hangs(let duration):
            return try await request.body.consumeWithCancellationOnInboundClose { _ in
                // A server that is told to stop does not wait for those that it lets hang.
                try? await cancelWhenGracefulShutdown { try await Task.sleep(for: duration) }
                throw WebError(.gatewayTimeout, "Gateway timeout")
            }
        }
    }
}

extension HTTPField.Name {
    /// Who asks for a movement, for the ledger's books.
    static let workflowID = HTTPField.Name("Workflow-Id")!
    static let runID = HTTPField.Name("Run-Id")!
    static let activityID = HTTPField.Name("Activity-Id")!
    static let transferID = HTTPField.Name("Transfer-Id")!
}
