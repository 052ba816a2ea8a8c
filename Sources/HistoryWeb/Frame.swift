import Foundation
import HTTPTypes
import Hummingbird
import WebCommon

/// What the frame around every page shows of the visitor's choices, for the time in which a page is made.
struct Frame: Sendable {
    /// How a browser with scripts shows times. Without scripts they are UTC, as the server writes them.
    var zone = Zone.utc
    /// All there are, by name.
    var namespaces: [String] = []

    @TaskLocal static var current = Frame()

    enum Zone: String, Sendable { case utc, local }

    static let zonePath = "/time-zone"
    private static let cookieName = "perdure-zone"

    init() {}

    init(_ request: Request, namespaces: [String]) {
        zone = request.cookie(Self.cookieName).flatMap(Zone.init(rawValue:)) ?? .utc
        self.namespaces = namespaces
    }

    /// Keeps the chosen zone in a cookie, and leads back to where that was chosen.
    static func chooseZone(_ request: Request) async throws -> Response {
        guard let zone = try await request.formFields()["zone"].flatMap(Zone.init(rawValue:)) else {
            throw WebError(.badRequest, "zone is utc or local")
        }
        var response = Response.redirect(to: place(request.headers[.referer] ?? ""), type: .normal)
        response.headers[.setCookie] =
            "\(cookieName)=\(zone.rawValue); Path=/; Max-Age=31536000; SameSite=Lax"
        return response
    }

    /// Where on this server an address is; the first page for one that names no place.
    private static func place(_ address: String) -> String {
        guard let slashes = address.range(of: "://"),
            let path = address[slashes.upperBound...].firstIndex(of: "/"),
            !address[path...].hasPrefix("//"), !address[path...].contains("\\")
        else { return "/" }
        return String(address[path...])
    }
}

struct FrameMiddleware<Context: RequestContext>: RouterMiddleware {
    let store: HistoryStore
    private let namespaces = SharedAnswers<[String]>(kept: .seconds(10))

    init(store: HistoryStore) { self.store = store }

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var names: [String] = []
        if request.uri.path.hasPrefix("/namespaces/"), request.headers[.accept]?.contains("text/html") == true {
            // Without the database the page says so itself.
            names = (try? await namespaces.answer("") { [store] in try await store.namespaces() }.value) ?? []
        }
        let frame = Frame(request, namespaces: names)
        return try await Frame.$current.withValue(frame) { try await next(request, context) }
    }
}

extension Request {
    /// The value of a cookie; nil if there is none of that name.
    func cookie(_ name: String) -> String? {
        headers[values: .cookie].flatMap { $0.split(separator: ";") }.map { $0.drop { $0 == " " } }
            .first { $0.hasPrefix(name + "=") }
            .flatMap { FormFields.text($0.dropFirst(name.count + 1)) }
    }
}
