import Bank
import Foundation
import HTTPTypes
import Hummingbird
import WebCommon

/// The transfer page and its API.
struct TransferRoutes: Sendable {
    let settings: TransferSettings
    let ledger: Ledger
    let transfers: Transfers
    let starter: TransferStarter
    let feed: PageFeed
    let page: TransferPage

    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.addStandardMiddleware(settings: settings.web, translate: WebError.init(database:))
        router.route("", [.get: { _, _ in Response(page: try await page.html()) }])
        router.route(
            "public/:file",
            [
                .get: { request, context in
                    try page.files.response(for: try context.pathSegment("file"), request: request)
                }
            ])
        router.route("health", [.get: { _, _ in Response(json: ["status": "ok"]) }])

        let api = router.group("api")
        api.route("accounts", [.get: { _, _ in try await accounts() }])
        api.route("accounts/:id/workflows", [.get: { try await accountWorkflows($0, $1) }])
        api.route("transfer", [.post: { request, _ in try await transfer(request) }])
        api.route("batch", [.post: { _, _ in try await batch() }])
        api.route("workflows", [.get: { request, _ in try await workflows(request) }])
        api.route("workflows/:id", [.get: { _, context in try await workflow(context) }])
        api.route(
            "real-world-mode",
            [.get: { _, _ in try await realWorldMode() }, .post: { request, _ in try await setRealWorldMode(request) }])
        api.route("reset", [.post: { _, _ in try await reset() }])
        api.route("events", [.get: { request, _ in .events(feed.events(), request: request) }])
        return router
    }

    // MARK: Accounts

    private func accounts() async throws -> Response {
        let members = try await ledger.balances().map { account, balance in
            JSONValue.Member(name: account, value: ["balance": .number(balance.description)])
        }
        return Response(json: .object(members))
    }

    private func accountWorkflows(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
        let limit = try request.queryInteger("limit", default: 100, in: 1...1000)
        let id = try context.pathSegment("id")
        guard AccountID.isWellFormed(id), try await isKnown(id) else {
            throw WebError(.notFound, "there is no account \(id)")
        }
        let (summary, documents) = try await transfers.ofAccount(id, limit: limit)
        return Response(json: [
            "account_id": .string(id), "summary": .raw(summary), "workflows": .array(documents.map(JSONValue.raw)),
        ])
    }

    private func isKnown(_ account: String) async throws -> Bool {
        do {
            _ = try await ledger.balance(of: account)
            return true
        } catch Ledger.Refusal.closedAccount {
            return true
        } catch Ledger.Refusal.unknownAccount {
            return false
        }
    }

    // MARK: Transfers

    private func transfer(_ request: Request) async throws -> Response {
        let transfer = try Transfer(try await request.jsonObject())
        for account in [transfer.fromAccount, transfer.toAccount] {
            guard AccountID.isWellFormed(account), try await isKnown(account) else {
                throw WebError(.badRequest, "there is no account \(account.prefix(64))")
            }
        }
        let id = try await starter.start(transfer)
        await feed.nudge()
        return Response(json: ["workflow_id": .string(id), "status": "started"])
    }

    /// The five transfers that the bank makes at the end of every day.
    private func batch() async throws -> Response {
        var started: [JSONValue] = []
        for (from, to) in zip("ABCDE", "FGHIJ") {
            let transfer = Transfer(from: "account_\(from)", to: "account_\(to)", amount: Money(cents: 100_00))
            let id = try await starter.start(transfer)
            started.append([
                "workflow_id": .string(id), "from_account": .string(transfer.fromAccount),
                "to_account": .string(transfer.toAccount), "amount": .number(transfer.amount.description),
            ])
        }
        await feed.nudge()
        return Response(json: ["status": "started", "started": .array(started)])
    }

    private func workflows(_ request: Request) async throws -> Response {
        let limit = try request.queryInteger("limit", default: 100, in: 1...1000)
        var before: UUID?
        if let text = request.uri.queryParameters.get("before") {
            guard let id = UUID(uuidString: text) else { throw WebError(.badRequest, "before must be a run id") }
            before = id
        }
        let entries = try await transfers.list(limit: limit, before: before)
        var headers = HTTPFields()
        if entries.count == limit, let last = entries.last {
            let next = "/api/workflows?limit=\(limit)&before=\(last.runID.uuidString.lowercased())"
            headers[HTTPField.Name("Link")!] = "<\(next)>; rel=\"next\""
        }
        return Response(json: .array(entries.compactMap { $0.document.map(JSONValue.raw) }), headers: headers)
    }

    private func workflow(_ context: BasicRequestContext) async throws -> Response {
        let id = try context.pathSegment("id")
        guard let entry = try await transfers.newest(id), let document = entry.document else {
            throw WebError(.notFound, "there is no transfer \(id.prefix(255))")
        }
        return Response(json: .raw(document))
    }

    // MARK: The bank as a whole

    private func realWorldMode() async throws -> Response {
        Response(json: ["enabled": .bool(try await ledger.realWorldMode().isEnabled)])
    }

    private func setRealWorldMode(_ request: Request) async throws -> Response {
        guard case .bool(let isEnabled) = try await request.jsonObject()["enabled"] else {
            throw WebError(.badRequest, "enabled must be true or false")
        }
        let mode = try await ledger.setRealWorldMode(isEnabled)
        await feed.nudge()
        return Response(json: ["enabled": .bool(mode.isEnabled)])
    }

    private func reset() async throws -> Response {
        try await ledger.resetBalances()
        await feed.nudge()
        return Response(json: ["status": "reset"])
    }
}

extension Transfer {
    /// What the body of `POST /api/transfer` asks for. Throws 400 that names the first thing wrong.
    fileprivate init(_ body: JSONValue) throws(WebError) {
        func account(_ name: String) throws(WebError) -> String {
            switch body[name] {
            case nil, .null, .string(""): throw WebError(.badRequest, "\(name) is missing")
            case .string(let account): return account
            default: throw WebError(.badRequest, "\(name) must be a string")
            }
        }
        let from = try account("from_account")
        let to = try account("to_account")
        let amount = try Money.requested(in: body)
        guard from != to else { throw WebError(.badRequest, "from_account and to_account must be two accounts") }
        self.init(from: from, to: to, amount: amount)
    }
}

extension Money {
    fileprivate static func requested(in body: JSONValue) throws(WebError) -> Money {
        do throws(Invalid) {
            switch body["amount"] {
            case .number(let digits): return try Money.requested(digits)
            case nil, .null: throw Invalid.missing
            default: throw Invalid.notANumber
            }
        } catch {
            throw WebError(.badRequest, error.description)
        }
    }
}
