import HTTPTypes
import Hummingbird

/// An answer that is not a success: a status and a JSON object whose `error` says what is wrong, for people.
public struct WebError: Error, HTTPResponseError {
    public var status: HTTPResponse.Status
    public var message: String
    /// What stands in the object beside `error`.
    public var members: [JSONValue.Member]
    public var headers: HTTPFields

    public init(
        _ status: HTTPResponse.Status, _ message: String, members: [JSONValue.Member] = [], headers: HTTPFields = [:]
    ) {
        self.status = status
        self.message = message
        self.members = members
        self.headers = headers
    }

    public func response(from request: Request, context: some RequestContext) -> Response {
        let body = JSONValue.object([.init(name: "error", value: .string(message))] + members)
        return Response(json: body, status: status, headers: headers)
    }
}

extension Response {
    /// An answer in JSON that no cache keeps.
    public init(json: JSONValue, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        headers[.cacheControl] = "no-store"
        self.init(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(string: json.text)))
    }
}

/// Turns whatever a handler throws into an answer of the one documented shape.
///
/// What is the caller's fault is answered and not logged; what is ours is logged with its cause and answered without it.
public struct ErrorMiddleware<Context: RequestContext>: RouterMiddleware {
    private let translate: @Sendable (any Error) -> WebError?

    /// - Parameter translate: what an error of another layer means to a caller (a lost database: 503, say); nil for a bug.
    public init(translate: @escaping @Sendable (any Error) -> WebError? = { _ in nil }) {
        self.translate = translate
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as WebError {
            return error.response(from: request, context: context)
        } catch let error as HTTPError {
            let message = error.body ?? Self.message(for: error.status)
            return WebError(error.status, message, headers: error.headers).response(from: request, context: context)
        } catch let error as any HTTPResponseError {
            return WebError(error.status, Self.message(for: error.status)).response(from: request, context: context)
        } catch let error as CancellationError {
            // The client has gone, or the server stops: nobody reads an answer.
            throw error
        } catch {
            if let known = translate(error) {
                context.logger.warning("\(request.method) \(request.uri.path): \(error)")
                return known.response(from: request, context: context)
            }
            context.logger.error("\(request.method) \(request.uri.path) failed: \(error)")
            return WebError(.internalServerError, "something went wrong here; the log of this server says what")
                .response(from: request, context: context)
        }
    }

    private static func message(for status: HTTPResponse.Status) -> String {
        switch status {
        case .notFound: "there is nothing at this address"
        case .contentTooLarge: "the body is too large: at most 1 MiB"
        default: status.reasonPhrase.lowercased()
        }
    }
}
