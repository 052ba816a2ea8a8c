import HTTPTypes
import Hummingbird

extension RouterMethods {
    public typealias Handler = @Sendable (Request, Context) async throws -> Response

    /// Everything that one address answers: the handlers by method, HEAD wherever there is GET, and 405 with `Allow`
    /// for the other methods.
    public func route(_ path: RouterPath, _ handlers: [HTTPRequest.Method: Handler]) {
        var handlers = handlers
        if let get = handlers[.get] {
            handlers[.head] = { request, context in try await get(request, context).createHeadResponse() }
        }
        for (method, handler) in handlers { on(path, method: method, use: handler) }

        let allowed = handlers.keys.map(\.rawValue).sorted().joined(separator: ", ")
        for method: HTTPRequest.Method in [.get, .head, .post, .put, .patch, .delete] where handlers[method] == nil {
            on(path, method: method) { _, _ -> Response in
                throw WebError(
                    .methodNotAllowed, "\(method.rawValue) is not possible here; what is: \(allowed)",
                    headers: [.allow: allowed])
            }
        }
        if handlers[.options] == nil {
            on(path, method: .options) { _, _ in Response(status: .noContent, headers: [.allow: allowed]) }
        }
    }
}
