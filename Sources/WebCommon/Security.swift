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

/// Refuses a request that was sent to another name than ours: a site could point its own name at this machine and have
/// a visitor's browser read our pages for it (DNS rebinding).
///
/// An address in digits cannot be rebound, and `localhost` means this machine everywhere, so both pass, as do the names
/// that the settings allow.
public struct KnownHostsOnly<Context: RequestContext>: RouterMiddleware {
    private let names: Set<String>

    public init(names: Set<String> = []) { self.names = Set(names.map { $0.lowercased() }) }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        // Only programs that are no browsers leave the host out.
        if let authority = request.head.authority, !isKnown(authority) {
            throw WebError(
                .misdirectedRequest,
                "this server does not answer to that name; allow it with PERDURE_ALLOWED_HOSTS")
        }
        return try await next(request, context)
    }

    func isKnown(_ authority: String) -> Bool {
        if authority.hasPrefix("[") { return true }
        let host = authority.prefix { $0 != ":" }.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") || names.contains(host) { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

/// Refuses addresses that cannot be decoded, so that no handler has to: a broken percent escape, bytes that are not
/// UTF-8, NUL.
public struct ReadableAddressesOnly<Context: RequestContext>: RouterMiddleware {
    public init() {}

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard FormFields.decoded(request.uri.string.utf8) != nil else {
            throw WebError(.badRequest, "the address holds a character that is not allowed")
        }
        return try await next(request, context)
    }
}
