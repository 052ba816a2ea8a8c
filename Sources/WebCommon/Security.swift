import HTTPTypes
import Hummingbird

/// The headers that keep a page to itself: our own scripts, styles and connections, no inline code, no frames.
public struct SecurityHeaders<Context: RequestContext>: RouterMiddleware {
    private static var headers: HTTPFields {
        [
            .contentSecurityPolicy: """
            default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
            font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
            """,
            .xContentTypeOptions: "nosniff",
            HTTPField.Name("Referrer-Policy")!: "same-origin",
            HTTPField.Name("Cross-Origin-Opener-Policy")!: "same-origin",
            HTTPField.Name("Cross-Origin-Resource-Policy")!: "same-origin",
        ]
    }

    public init() {}

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        for field in Self.headers { response.headers[field.name] = field.value }
        return response
    }
}

/// Refuses what another site's page sends in a visitor's name: a browser tells where a request that changes something
/// comes from. Programs that are no browsers send no `Origin` and pass.
public struct SameOriginOnly<Context: RequestContext>: RouterMiddleware {
    public init() {}

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        if ![.get, .head, .options].contains(request.method), !isOurs(request) {
            throw WebError(.forbidden, "a page of another site may not do this")
        }
        return try await next(request, context)
    }

    private func isOurs(_ request: Request) -> Bool {
        guard let origin = request.headers[HTTPField.Name("Origin")!] else {
            let site = request.headers[HTTPField.Name("Sec-Fetch-Site")!]
            return site == nil || site == "same-origin" || site == "none"
        }
        // A proxy in front may speak TLS, so the scheme does not count.
        guard let host = request.head.authority, let slashes = origin.range(of: "://") else { return false }
        return origin[slashes.upperBound...].lowercased() == host.lowercased()
    }
}
