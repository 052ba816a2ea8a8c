import HTTPTypes
import Hummingbird
import Logging

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
    private let page: (@Sendable (WebError) -> String)?

    /// - Parameters:
    ///   - translate: what an error of another layer means to a caller (a lost database: 503, say); nil for a bug.
    ///   - page: the page for an error, for a browser that asked for a page; nil if all answers are JSON.
    public init(
        translate: @escaping @Sendable (any Error) -> WebError? = { _ in nil },
        page: (@Sendable (WebError) -> String)? = nil
    ) {
        self.translate = translate
        self.page = page
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as CancellationError {
            // The client has gone, or the server stops: nobody reads an answer.
            throw error
        } catch {
            let answer = answer(to: error, request, context.logger)
            guard let page, request.headers[.accept]?.contains("text/html") == true else {
                return answer.response(from: request, context: context)
            }
            return Response(page: page(answer), status: answer.status, headers: answer.headers)
        }
    }

    private func answer(to error: any Error, _ request: Request, _ logger: Logger) -> WebError {
        switch error {
        case let error as WebError:
            return error
        case let error as HTTPError:
            return WebError(error.status, error.body ?? Self.message(for: error.status), headers: error.headers)
        case let error as any HTTPResponseError:
            return WebError(error.status, Self.message(for: error.status))
        default:
            if let known = translate(error) {
                if known.status.kind == .serverError {
                    logger.warning("\(request.method) \(request.uri.path): \(error)")
                }
                return known
            }
            logger.error("\(request.method) \(request.uri.path) failed: \(error)")
            return WebError(.internalServerError, "something went wrong here; the log of this server says what")
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
