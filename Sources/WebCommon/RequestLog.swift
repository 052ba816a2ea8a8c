import Hummingbird
import Logging

/// One line for each request: method, path without its query, status, time until the answer began, and who asked.
/// Requests that only read and succeed are logged at the debug level, because a page makes a dozen of them.
public struct RequestLog<Context: RequestContext>: RouterMiddleware {
    public init() {}

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        let response = try await next(request, context)
        var metadata: Logger.Metadata = ["ms": "\((ContinuousClock.now - start) / .milliseconds(1))"]
        if let name = Visitor.current.name { metadata["user"] = "\(name)" }
        context.logger.log(
            level: (request.method == .get || request.method == .head) && response.status.code < 400 ? .debug : .info,
            "\(request.method) \(request.uri.path) \(response.status.code)",
            metadata: metadata)
        return response
    }
}

extension RouterMethods {
    /// Everything that stands before the handlers of a web server of ours, in the order that matters: each request is
    /// logged with its answer, each answer carries the safe headers, and each error has the documented shape.
    ///
    /// - Parameters:
    ///   - settings: which names the server answers to, and for whom it does what.
    ///   - errorPage: the page for an error, for a browser that asked for a page.
    ///   - translate: what an error of another layer means to a caller; nil for a bug.
    @discardableResult
    public func addStandardMiddleware(
        settings: WebSettings, errorPage: ErrorPage? = nil,
        translate: @escaping @Sendable (any Error) -> WebError? = { _ in nil }
    ) -> Self {
        add(middleware: VisitorMiddleware(settings: settings.visitors))
            .add(middleware: RequestLog())
            .add(middleware: SecurityHeaders())
            .add(middleware: ErrorMiddleware(translate: translate, page: errorPage))
            .add(middleware: KnownHostsOnly(names: settings.allowedHosts))
            .add(middleware: ReadableAddressesOnly())
            .add(middleware: SameOriginOnly())
            .add(middleware: AllowedWritesOnly(settings: settings.visitors))
    }
}
