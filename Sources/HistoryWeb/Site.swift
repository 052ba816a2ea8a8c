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
    private let settings: WebSettings
    private let templates: PageTemplates
    private let files: StaticFiles

    private static let pages: [any Page] = [
        WorkflowsPage(), StartPage(), BatchPage(), RunPage(), StepPage(), TimelineData(), HistoryDownload(),
        RunActionPage(), QueryPage(), SourcePage(),
        QueuesPage(), WorkersPage(), HealthPage(), ComparePage(), FilePage(),
    ]

    init(store: HistoryStore, namespace: String, settings: WebSettings) throws {
        self.store = store
        self.namespace = namespace
        self.settings = settings
        templates = try PageTemplates(folder: StaticFiles.resources("Templates", of: .module))
        files = try StaticFiles(folder: StaticFiles.resources("Public", of: .module))
    }

    func router() -> SiteRouter {
        let router = SiteRouter()
        router.addStandardMiddleware(settings: settings, errorPage: errorPage, translate: Self.translate)
        router.route("/", [.get: { _, _ in .redirect(to: workflowsPath(namespace), type: .found) }])
        router.route("health", [.get: { _, _ in Response(json: ["status": "ok"]) }])
        router.route(
            "public/:file",
            [.get: { request, context in try files.response(for: context.pathSegment("file"), request: request) }])
        for page in Self.pages { page.addRoutes(to: router, of: self) }
        return router
    }

    func workflowsPath(_ namespace: String) -> String { "/namespaces/\(namespace.escapedForAddress)/workflows" }

    /// - Parameters:
    ///   - template: its name; what it shows besides `values` is what every page has: navigation, style, pictures.
    ///   - section: the entry of the navigation that is marked as the one shown.
    func page(
        _ template: String, title: String, namespace: String, section: Section? = nil,
        status: HTTPResponse.Status = .ok, _ values: [String: Any]
    ) -> Response {
        Response(page: html(template, title: title, namespace: namespace, section: section, values), status: status)
    }

    enum Section: String, CaseIterable {
        case workflows, queues, workers, health, open

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
        values["modules"] = ["bodies", "clocks", "live", "timeline", "steps", "words", "list", "completion", "file"].map
        {
            "/public/\($0).js"
        }
        if values["preload"] == nil { values["preload"] = false }
        values["icons"] = files.address(of: "icons.svg", below: "/public")
        values["favicon"] = files.address(of: "favicon.svg", below: "/public")
        values["navigation"] = Section.allCases.map { entry in
            [
                "label": entry.label, "current": entry == section,
                "href": "/namespaces/\(namespace.escapedForAddress)/\(entry.rawValue)",
            ] as [String: Any]
        }
        return templates.render(template, values)
    }

    private func errorPage(_ error: WebError) -> String {
        let title =
            switch error.status {
            case .notFound: "Not found"
            case .serviceUnavailable: "The database cannot be reached"
            default: error.status.reasonPhrase
            }
        return html(
            "error", title: title, namespace: namespace, section: nil,
            ["code": error.status.code, "message": error.message, "home": workflowsPath(namespace)])
    }

    /// What the database's refusals mean to a visitor. Perdure's own carry a message for people and a hint.
    private static func translate(_ error: any Error) -> WebError? {
        guard let error = error as? PostgresError else { return nil }
        let text = error.hint.map { "\(error.message). \($0)" } ?? error.message
        switch error.sqlState {
        case "PD001", "PD005": return WebError(.notFound, text)
        case "PD002", "PD006": return WebError(.conflict, text)
        case "PD003", "PD008", "PD009": return WebError(.badRequest, text)
        case "PD004": return WebError(.contentTooLarge, text)
        case "PD010", "3F000", "42P01", "42883":
            return WebError(
                .serviceUnavailable, "the database is not migrated to what these pages read: run perdure migrate")
        default:
            return WebError(database: error)
        }
    }
}

extension Site {
    /// The run that an address names. Throws 404 with a text that helps if there is none.
    func run(_ context: BasicRequestContext) async throws -> Run {
        let namespace = try context.pathSegment("namespace")
        let workflowID = try context.pathSegment("workflow")
        let text = try context.pathSegment("run")
        guard let runID = UUID(uuidString: text) else {
            throw WebError(
                .notFound, "\"\(text)\" is no run id: a run id is a UUID; leave it out to see the latest run")
        }
        guard let run = try await store.run(namespace, workflowID, runID) else {
            throw WebError(
                .notFound,
                "there is no run \(text) of a workflow \"\(workflowID)\" in the namespace \"\(namespace)\"; "
                    + "it may have been deleted after its retention")
        }
        return run
    }

    /// Tells a page each time that it would look different, until its reader leaves.
    ///
    /// - Parameter mark: a text that changes when the page would.
    func changes(_ request: Request, _ mark: @escaping @Sendable () async throws -> String) async throws -> Response {
        let first = try await mark()
        let (events, continuation) = AsyncStream.makeStream(
            of: ServerSentEvent.self, bufferingPolicy: .bufferingNewest(1))
        let poll = Task {
            var seen = request.headers[.lastEventID] ?? first
            var next = first
            while !Task.isCancelled {
                if next != seen {
                    seen = next
                    continuation.yield(ServerSentEvent(event: "change", data: "{}", id: next))
                }
                try? await Task.sleep(for: .milliseconds(700))
                // A database that is away for a moment is no reason to end: the next look tells.
                if let mark = try? await mark() { next = mark }
            }
        }
        continuation.onTermination = { _ in poll.cancel() }
        return .events(events, request: request)
    }
}

extension HTTPField.Name {
    static let lastEventID = HTTPField.Name("Last-Event-ID")!
}
