import Foundation
import HTTPTypes
import Hummingbird
import Postgres
import WebCommon

typealias SiteRouter = Router<BasicRequestContext>

/// An address, or a few that belong together, and what is shown there.
///
/// A new page is a file with a type that conforms, a template, and a line in `Site.pages`.
protocol Page: Sendable {
    func addRoutes(to router: SiteRouter, of site: Site)
}

/// The history pages: what all of them share.
struct Site: Sendable {
    let store: HistoryStore
    /// Where `/` leads.
    let namespace: String
    let feed: ViewFeed
    /// Pages that are fetched again for a change.
    let pages = SharedAnswers<Response>(kept: .seconds(1))
    /// What runs say of where they stand, by their addresses: asked once for all who look.
    let details = SharedAnswers<String?>(kept: .seconds(5))
    private let marks = SharedAnswers<String>(kept: .seconds(1))
    private let settings: WebSettings
    private let templates: PageTemplates
    private let files: StaticFiles

    private static let modules = [
        "bodies", "clocks", "live", "follow", "timeline", "steps", "words", "list", "completion", "file", "keys", "go",
        "zone", "builder",
    ]

    /// New ones for each site: some keep answers.
    private static var all: [any Page] {
        [
            AttentionPage(), WorkflowsPage(), StartPage(), BatchPage(), RunPage(), StepPage(), TimelineData(),
            HistoryDownload(), RunActionPage(), ActivityActionPage(), ResetPage(), QueryPage(), SourcePage(),
            QueuesPage(), WorkersPage(),
            HealthPage(), ComparePage(), FilePage(), GoPage(),
        ]
    }

    init(store: HistoryStore, namespace: String, settings: WebSettings) throws {
        self.store = store
        self.namespace = namespace
        var settings = settings
        settings.visitors.harmlessPaths = [Frame.zonePath]
        self.settings = settings
        feed = ViewFeed { try await $0.mark(store) }
        templates = try PageTemplates(folder: StaticFiles.resources("Templates", of: .module))
        files = try StaticFiles(folder: StaticFiles.resources("Public", of: .module))
    }

    func router() -> SiteRouter {
        let router = SiteRouter()
        router.add(middleware: FrameMiddleware(store: store))
        router.addStandardMiddleware(settings: settings, errorPage: errorPage, translate: Self.translate)
        router.route("/", [.get: { _, _ in .redirect(to: AttentionPage.path(namespace), type: .found) }])
        router.route(.init(Prefetching.path), [.get: { _, _ in Prefetching.rules }])
        router.route(.init(Frame.zonePath), [.post: { request, _ in try await Frame.chooseZone(request) }])
        router.route("health", [.get: { _, _ in Response(json: ["status": "ok"]) }])
        router.route(
            "public/:file",
            [.get: { request, context in try files.response(for: context.pathSegment("file"), request: request) }])
        router.route(
            "changes",
            [
                .get: { request, _ in
                    let views = try request.queryFields().all("view").map { try LiveView(address: $0) }
                    guard !views.isEmpty else { throw WebError(.badRequest, "name the views: changes?view=…") }
                    return .events(request: request) { await feed.looks(at: views) }
                }
            ])
        for page in Self.all { page.addRoutes(to: router, of: self) }
        return router
    }

    /// Whether anything can be changed here.
    var mayWrite: Bool { !settings.visitors.isReadOnly }

    /// Throws 403 for a page that is there to change something, where nothing can be.
    func requireWrites() throws(WebError) { if !mayWrite { throw .readOnly } }

    func workflowsPath(_ namespace: String) -> String { "/namespaces/\(namespace.segmentOfAddress)/workflows" }

    /// - Parameters:
    ///   - template: its name; what it shows besides `values` is what every page has: navigation, style, pictures.
    ///   - section: the entry of the navigation that is marked as the one shown.
    func page(
        _ template: String, title: String, namespace: String, section: Section? = nil,
        status: HTTPResponse.Status = .ok, _ values: [String: Any]
    ) -> Response {
        Response(page: html(template, title: title, namespace: namespace, section: section, values), status: status)
    }

    /// How many namespaces the head lists. The others are found by their names.
    private static let mostNamespaces = 100

    enum Section: String, CaseIterable {
        case attention, workflows, queues, workers, health, open

        var label: String {
            self == .open ? "Open a file" : rawValue.prefix(1).uppercased() + rawValue.dropFirst()
        }
    }

    func html(
        _ template: String, title: String, namespace: String, section: Section?, _ values: [String: Any]
    ) -> String {
        var values = values
        values["title"] = title
        values["namespace"] = namespace
        values["workflowsPath"] = workflowsPath(namespace)
        values["style"] = files.address(of: "perdure.css", below: "/public")
        values["script"] = files.address(of: "main.js", below: "/public")
        // What the script imports, so that a browser asks for all of it at once.
        values["modules"] = Self.modules.map { "/public/\($0).js" }
        // Whatever a template asks for that a page has not set, it finds here.
        for name in ["preload", "problem", "ways", "verdict"] where values[name] == nil { values[name] = false }
        values["icons"] = files.address(of: "icons.svg", below: "/public")
        values["favicon"] = files.address(of: "favicon.svg", below: "/public")
        values["mayWrite"] = mayWrite
        values["goPath"] = GoPage.path(namespace)
        let frame = Frame.current
        values["zone"] = frame.zone.rawValue
        values["isLocal"] = frame.zone == .local
        values["zonePath"] = Frame.zonePath
        let others = frame.namespaces.filter { $0 != namespace }
        values["hasNamespaces"] = !others.isEmpty
        values["namespaces"] = ([namespace] + others).sorted().prefix(Self.mostNamespaces).map { name in
            [
                "name": name, "isThis": name == namespace,
                "place": "/namespaces/\(name.segmentOfAddress)/\((section ?? .attention).rawValue)",
            ] as [String: Any]
        }
        values["navigation"] = Section.allCases.map { entry in
            [
                "label": entry.label, "current": entry == section,
                "href": "/namespaces/\(namespace.segmentOfAddress)/\(entry.rawValue)",
            ] as [String: Any]
        }
        return templates.render(template, values)
    }

    private func errorPage(_ error: WebError, _ form: FormFields?) -> String {
        let title =
            switch error.status {
            case .notFound: "Not found"
            case .serviceUnavailable: "The database is not available"
            case .forbidden where !mayWrite: "This server only shows"
            default: error.status.reasonPhrase
            }
        return html(
            "error", title: title, namespace: namespace, section: nil,
            [
                "code": error.status.code, "message": error.message, "home": workflowsPath(namespace),
                "form": form.map { ["fields": $0.fields.map { ["name": $0.name, "value": $0.value] }] } ?? false as Any,
            ])
    }

    /// What the database's refusals mean to a visitor. Perdure's own carry a message for people and a hint.
    private static func translate(_ error: any Error) -> WebError? {
        guard let error = error as? PostgresError else { return nil }
        let text = error.hint.map { "\(error.message). \($0)" } ?? error.message
        switch error.sqlState {
        case "PD001", "PD005": return WebError(.notFound, text)
        case "PD002", "PD006", "PD018", "PD019": return WebError(.conflict, text)
        case "PD003", "PD008", "PD009": return WebError(.badRequest, text)
        case "PD004": return WebError(.contentTooLarge, text)
        case "PD010": return WebError(.serviceUnavailable, text)
        default:
            return WebError(database: error)
        }
    }

    /// What is wrong with what was sent, as a sentence of a page.
    static func sentence(_ error: WebError) -> String {
        error.message.prefix(1).uppercased() + error.message.dropFirst() + (error.message.hasSuffix(".") ? "" : ".")
    }

    /// What is wrong with what a person sent, so that the form can be shown again with it; nil for an error that has
    /// another cause.
    static func problem(with error: any Error) -> WebError? {
        if let error = error as? PostgresError, error.isOfData {
            switch error.sqlState {
            case "22P05":
                return WebError(.badRequest, "the database has no text for the character \\u0000: leave it out")
            case "22003":
                return WebError(.badRequest, "a number is larger than the database can hold: \(error.message)")
            default: return WebError(.badRequest, "the database cannot take it: \(error.message)")
            }
        }
        let answer = error as? WebError ?? translate(error)
        return answer?.status.kind == .clientError ? answer : nil
    }
}

extension PostgresError {
    /// Whether it is of the values that a statement met, and not of the database: what is too large, too deep or of the
    /// wrong form.
    var isOfData: Bool {
        guard kind != .connection, let sqlState else { return kind == .decoding }
        return sqlState.hasPrefix("22") || sqlState.hasPrefix("54") || sqlState == "XX000" || sqlState == "53200"
    }
}

extension Site {
    /// The run that an address names. Throws 404 with a text that helps if there is none.
    func run(_ context: BasicRequestContext) async throws -> Run { try await run(RunAddress(context)) }

    func run(_ address: RunAddress) async throws -> Run {
        guard let run = try await store.run(address.namespace, address.workflowID, address.runID) else {
            throw WebError(
                .notFound,
                "there is no run \(address.runID.uuidString.lowercased()) of a workflow \"\(address.workflowID)\" "
                    + "in the namespace \"\(address.namespace)\"; it may have been deleted after its retention")
        }
        return run
    }

    /// Tells a page each time that it would look different, until its reader leaves.
    func changes(_ request: Request) async throws -> Response {
        let view = try LiveView(address: request.uri.string)
        // What cannot be looked at is refused. The first look is shared, too.
        _ = try await marks.answer(view.address) { try await view.mark(store) }
        return .events(request: request) { await feed.changes(of: view, since: request.headers[.lastEventID]) }
    }
}

/// What the address of a run's page names.
struct RunAddress: Sendable {
    let namespace: String
    let workflowID: String
    let runID: UUID

    /// Throws 404 with a text that helps for what is no run id.
    init(_ context: BasicRequestContext) throws {
        namespace = try context.pathSegment("namespace")
        workflowID = try context.pathSegment("workflow")
        let text = try context.pathSegment("run")
        guard let runID = UUID(uuidString: text) else {
            throw WebError(
                .notFound, "\"\(text)\" is no run id: a run id is a UUID; leave it out to see the latest run")
        }
        self.runID = runID
    }
}

extension HTTPField.Name {
    static let lastEventID = HTTPField.Name("Last-Event-ID")!
}
