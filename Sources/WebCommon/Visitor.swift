import Foundation
import HTTPTypes
import Hummingbird

/// Who asks for a page or does something with it, for the time in which that is answered.
public struct Visitor: Sendable {
    /// What the proxy in front says of who it is; nil if it says nothing or nobody asks it. It stands in the
    /// histories as the identity of whoever did something.
    public var name: String?
    /// What is wrong with what the proxy says.
    var problem: WebError?

    @TaskLocal public static var current = Visitor()
}

/// What a server does for its visitors, and how it knows who they are.
public struct VisitorSettings: Sendable {
    /// The header in which the proxy in front names the person; nil if no proxy is asked.
    public var userHeader: HTTPField.Name?
    /// Whether nothing can be changed.
    public var isReadOnly: Bool
    /// Where things can be posted that change nothing but what the visitor's own browser keeps.
    public var harmlessPaths: Set<String> = []

    /// In bytes.
    static let longestName = 200

    public init(userHeader: HTTPField.Name? = nil, isReadOnly: Bool = false) {
        self.userHeader = userHeader
        self.isReadOnly = isReadOnly
    }

    /// Reads `PERDURE_WEB_USER_HEADER`, the name of a header, and `PERDURE_WEB_READ_ONLY`, 1 or 0.
    public init(environment: [String: String]) throws(StartupFailure) {
        func setting(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        var header: HTTPField.Name?
        if let text = setting("PERDURE_WEB_USER_HEADER") {
            header = HTTPField.Name(text)
            guard header != nil else {
                throw StartupFailure(
                    "PERDURE_WEB_USER_HEADER is \"\(text)\", which is no name of a header: "
                        + "X-Forwarded-User, for example"
                )
            }
        }
        let readOnly = setting("PERDURE_WEB_READ_ONLY") ?? "0"
        guard readOnly == "0" || readOnly == "1" else {
            throw StartupFailure("PERDURE_WEB_READ_ONLY is \"\(readOnly)\": it is 1 or 0")
        }
        self.init(userHeader: header, isReadOnly: readOnly == "1")
    }

    /// - Throws: 400 for more than one name, one that is too long, or one with control characters.
    func name(in headers: HTTPFields) throws(WebError) -> String? {
        guard let userHeader else { return nil }
        let names = headers[values: userHeader]
        guard names.count < 2 else {
            throw WebError(
                .badRequest, "the header \(userHeader) comes more than once: the proxy in front must replace it")
        }
        guard let name = names.first?.trimmingCharacters(in: .whitespaces), !name.isEmpty else { return nil }
        guard name.utf8.count <= Self.longestName else {
            throw WebError(.badRequest, "the header \(userHeader) is longer than \(Self.longestName) bytes")
        }
        guard name.unicodeScalars.allSatisfy({ ![.control, .format].contains($0.properties.generalCategory) }) else {
            throw WebError(.badRequest, "the header \(userHeader) holds a control character")
        }
        return name
    }
}

/// Lets all that answers a request know who asks.
struct VisitorMiddleware<Context: RequestContext>: RouterMiddleware {
    let settings: VisitorSettings

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var visitor = Visitor()
        do { visitor.name = try settings.name(in: request.headers) } catch { visitor.problem = error }
        return try await Visitor.$current.withValue(visitor) { try await next(request, context) }
    }
}

/// Refuses requests that change something: all of them in read-only mode, else those with a user header that cannot
/// be an identity.
struct AllowedWritesOnly<Context: RequestContext>: RouterMiddleware {
    let settings: VisitorSettings

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if ![.get, .head, .options].contains(request.method), !settings.harmlessPaths.contains(request.uri.path) {
            guard !settings.isReadOnly else { throw WebError.readOnly }
            if let problem = Visitor.current.problem { throw problem }
        }
        return try await next(request, context)
    }
}

extension WebError {
    /// Of a server that only shows.
    public static var readOnly: WebError {
        WebError(
            .forbidden,
            "this server is read-only: it shows and changes nothing; whoever runs it has set PERDURE_WEB_READ_ONLY=1")
    }
}
