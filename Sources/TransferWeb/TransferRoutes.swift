import Bank
import Foundation
import HTTPTypes
import Hummingbird
import PerdureModel
import Postgres
import WebCommon

/// The transfer page and its API.
struct TransferRoutes: Sendable {
    let settings: TransferSettings
    let ledger: Ledger
    let transfers: Transfers
    let starter: TransferStarter
    let direct: DirectTransfers
    let comparisons: Comparisons
    let books: Books
    let workers: Workers
    let feed: PageFeed
    let site: Site
    /// Pages that are fetched again for a change.
    private let pages = SharedAnswers<Response>(kept: .seconds(1))

    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.addStandardMiddleware(settings: settings.web, translate: WebError.init(database:))
        router.route("", [.get: { _, _ in Response(page: try await TransferPage(site, ledger).html()) }])
        router.route(
            "compare",
            [
                .get: { request, _ in try await pages.response(to: request) { try await comparePage(request) } },
                .post: { _, _ in
                    let id = try await startComparison(size: Comparisons.usualSize)
                    return .redirect(to: "/compare?comparison=\(id)", type: .normal)
                },
            ])
        router.route(
            "workers",
            [
                .get: { request, _ in
                    try await pages.response(to: request) { Response(page: try await workersPage().html()) }
                }
            ])
        router.route("workers/crash", [.post: { request, _ in try await crash(request) }])
        router.route("workers/deploy", [.post: { request, _ in try await deploy(request) }])
        router.route("tour", [.get: { _, _ in Response(page: TourPage(site: site, tour: site.tour).html()) }])
        router.route(
            "books",
            [.get: { request, _ in try await pages.response(to: request) { try await booksPage(request) } }])
        router.route(
            "public/:file",
            [
                .get: { request, context in
                    try site.files.response(for: try context.pathSegment("file"), request: request)
                }
            ])
        router.route("health", [.get: { _, _ in Response(json: ["status": "ok"]) }])

        let api = router.group("api")
        api.route("accounts", [.get: { _, _ in try await accounts() }])
        api.route("accounts/:id/workflows", [.get: { try await accountWorkflows($0, $1) }])
        api.route("transfer", [.post: { request, _ in try await transfer(request) }])
        api.route("batch", [.post: { _, _ in try await batch() }])
        api.route("comparisons", [.post: { request, _ in try await comparison(request) }])
        api.route("comparisons/:id", [.get: { _, context in try await comparison(context) }])
        api.route("workflows", [.get: { request, _ in try await workflows(request) }])
        api.route("workflows/:id", [.get: { _, context in try await workflow(context) }])
        api.route(
            "real-world-mode",
            [.get: { _, _ in try await realWorldMode() }, .post: { request, _ in try await setRealWorldMode(request) }])
        api.route("reset", [.post: { _, _ in try await reset() }])
        api.route("events", [.get: { request, _ in .events(request: request) { await feed.events() } }])
        return router
    }

    // MARK: Accounts

    private func accounts() async throws -> Response {
        var accounts: JSON.Members = [:]
        for (account, balance) in try await ledger.balances() {
            accounts[account] = ["balance": .number(balance.description)]
        }
        return Response(json: .object(accounts))
    }

    private func accountWorkflows(_ request: Request, _ context: BasicRequestContext) async throws -> Response {
        let limit = try request.queryInteger("limit", default: 100, in: 1...1000)
        let id = try context.pathSegment("id")
        guard AccountID.isWellFormed(id), try await isKnown(id) else {
            throw WebError(.notFound, "there is no account \(id)")
        }
        let (summary, documents) = try await transfers.ofAccount(id, limit: limit)
        return Response(
            jsonText: """
                {"account_id":\(JSON.string(id).text),"summary":\(summary),"workflows":\(documents.jsonArray)}
                """)
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
        let body = try await request.jsonObject()
        let transfer = try Transfer(body)
        let mode = try TransferMode(body)
        for account in [transfer.fromAccount, transfer.toAccount] {
            guard AccountID.isWellFormed(account), try await isKnown(account) else {
                throw WebError(.badRequest, "there is no account \(account.prefix(64))")
            }
        }
        switch mode {
        case .durable:
            let id = try await starter.start(transfer)
            await feed.nudge()
            return Response(json: ["workflow_id": .string(id), "status": "started"])
        case .plain, .retrying:
            let id = try await direct.start(transfer, mode)
            await feed.nudge()
            return Response(json: ["transfer_id": .string(id.uuidString.lowercased()), "status": "started"])
        }
    }

    /// The five transfers that the bank makes at the end of every day.
    private func batch() async throws -> Response {
        var started: [JSON] = []
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

    // MARK: Comparisons

    private func startComparison(size: Int) async throws -> Int64 {
        let id = try await comparisons.start(
            size: size, amount: Comparisons.usualAmount, taskQueue: settings.taskQueue, process: direct.process)
        try await direct.start(comparison: id)
        await feed.nudge()
        return id
    }

    private func comparison(_ request: Request) async throws -> Response {
        let size: Int
        switch try await request.jsonObject()["size"] {
        case nil: size = Comparisons.usualSize
        case .number(let digits):
            guard let number = Int(digits), (1...500).contains(number) else {
                throw WebError(.badRequest, "size must be a whole number from 1 to 500")
            }
            size = number
        default: throw WebError(.badRequest, "size must be a whole number from 1 to 500")
        }
        let id = try await startComparison(size: size)
        return Response(json: ["comparison_id": .number("\(id)"), "status": "started"])
    }

    private func comparison(_ context: BasicRequestContext) async throws -> Response {
        guard let id = Int64(try context.pathSegment("id")), let comparison = try await comparisons.find(id) else {
            throw WebError(.notFound, "there is no such comparison")
        }
        return Response(json: comparison.json)
    }

    private func comparePage(_ request: Request) async throws -> Response {
        let fields = try request.queryFields()
        var comparison: Comparisons.Comparison?
        if let text = fields["comparison"] {
            guard let id = Int64(text), let found = try await comparisons.find(id) else {
                throw WebError(.notFound, "there is no such comparison")
            }
            comparison = found
        } else {
            comparison = try await comparisons.newest()
        }
        let page = ComparePage(site: site, comparison: comparison, mode: try await ledger.realWorldMode())
        return Response(page: page.html())
    }

    private func booksPage(_ request: Request) async throws -> Response {
        let fields = try request.queryFields()
        var before: Int64?
        if let text = fields["before"] {
            guard let entry = Int64(text), entry > 0 else {
                throw WebError(.badRequest, "before must be the number of a journal entry")
            }
            before = entry
        }
        let filter = Books.Filter(account: fields["account"], transfer: fields["transfer"])
        return Response(page: try await BooksPage(site: site, books: books, filter: filter, before: before).html())
    }

    // MARK: Workers

    private func workersPage(_ outcome: String? = nil) async throws -> WorkersPage {
        WorkersPage(site: site, state: try await workers.state(window: WorkersPage.window), outcome: outcome)
    }

    /// Throws 403 where nobody is to break anything.
    private func requireWorkshop() throws(WebError) {
        guard site.isWorkshop else {
            throw WebError(.forbidden, "only a workshop may do this: start the page with BANK_WORKSHOP=on")
        }
    }

    private func crash(_ request: Request) async throws -> Response {
        try requireWorkshop()
        do {
            let crashed = try await workers.crash(try await request.formFields()["worker"])
            await feed.nudge()
            return Response(page: try await workersPage("Asked for kill -9 of \(crashed).").html())
        } catch let error as PostgresError where error.sqlState == "BK007" {
            throw WebError(.notFound, error.message)
        }
    }

    private func deploy(_ request: Request) async throws -> Response {
        try requireWorkshop()
        let bug: Workers.Bug?
        switch try await request.formFields()["bug"] {
        case "none": bug = nil
        case let name?:
            guard let known = Workers.Bug(rawValue: name) else { fallthrough }
            bug = known
        default: throw WebError(.badRequest, "bug must be workflow, activity or none")
        }
        let build = try await workers.deploy(bug)
        await feed.nudge()
        let words = bug.map { ", \(WorkersPage.inWords($0))" } ?? ""
        return Response(page: try await workersPage("Deploying \(build)\(words).").html())
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
        return Response(jsonText: entries.compactMap(\.document).jsonArray, headers: headers)
    }

    private func workflow(_ context: BasicRequestContext) async throws -> Response {
        let id = try context.pathSegment("id")
        guard let entry = try await transfers.newest(id), let document = entry.document else {
            throw WebError(.notFound, "there is no transfer \(id.prefix(255))")
        }
        return Response(jsonText: document)
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
    fileprivate init(_ body: JSON) throws(WebError) {
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

extension TransferMode {
    /// How the body of `POST /api/transfer` wants it made; durably unless it says otherwise.
    fileprivate init(_ body: JSON) throws(WebError) {
        switch body["mode"] {
        case nil: self = .durable
        case .string(let name):
            guard let mode = TransferMode(rawValue: name) else { fallthrough }
            self = mode
        default: throw WebError(.badRequest, "mode must be plain, retrying or durable")
        }
    }
}

extension Money {
    fileprivate static func requested(in body: JSON) throws(WebError) -> Money {
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
