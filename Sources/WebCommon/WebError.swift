import HTTPTypes
import Hummingbird
import Logging
public import PerdureModel

/// An answer that is not a success: a status and a JSON object whose `error` says what is wrong, for people.
public struct WebError: Error, HTTPResponseError {
    public var status: HTTPResponse.Status
    public var message: String
    /// What stands in the object beside `error`.
    public var members: JSON.Members
    public var headers: HTTPFields

    public init(
        _ status: HTTPResponse.Status, _ message: String, members: KeyValuePairs<String, JSON> = [:],
        headers: HTTPFields = [:]
    ) {
        self.status = status
        self.message = message
        self.members = JSON.Members(uniqueKeysWithValues: members.map { ($0.key, $0.value) })
        self.headers = headers
    }

    public func response(from request: Request, context: some RequestContext) -> Response {
        let body = JSON.Members(uniqueKeysWithValues: [("error", .string(message))]).merging(members) { error, _ in
            error
        }
        return Response(json: .object(body), status: status, headers: headers)
    }
}

extension Response {
    /// An answer in JSON that no cache keeps.
    public init(json: JSON, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        self.init(jsonText: json.text, status: status, headers: headers)
    }

    /// The same of a text that is JSON, as the database writes it.
    public init(jsonText: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        var headers = headers
        headers[.contentType] = "application/json; charset=utf-8"
        headers[.cacheControl] = "no-store"
        self.init(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(string: jsonText)))
    }
}

extension [String] {
    /// Texts that are JSON as one array.
    public var jsonArray: String { "[\(joined(separator: ","))]" }
}

/// Makes the page for an error. Where the server could not take a form, it gets what the form held, so that a person
/// need not type it again.
public typealias ErrorPage = @Sendable (WebError, FormFields?) -> String

/// Turns whatever a handler throws into an answer of the one documented shape.
///
/// What is the caller's fault is answered and not logged; what is ours is logged with its cause and answered without
/// it.
public struct ErrorMiddleware<Context: RequestContext>: RouterMiddleware {
    private let translate: @Sendable (any Error) -> WebError?
    private let page: ErrorPage?

    /// - Parameters:
    ///   - translate: what an error of another layer means to a caller (a lost database: 503, say); nil for a bug.
    ///   - page: the page for an error, for a browser that asked for a page; nil if all answers are JSON.
    public init(
        translate: @escaping @Sendable (any Error) -> WebError? = { _ in nil }, page: ErrorPage? = nil
    ) {
        self.translate = translate
        self.page = page
    }

    public func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        var request = request
        var sent: FormFields?
        do {
            if page != nil { sent = try await request.readForm() }
            return try await next(request, context)
        } catch let error as CancellationError {
            // The client has gone, or the server stops: nobody reads an answer.
            throw error
        } catch {
            let answer = answer(to: error, request, context.logger)
            guard let page, request.headers[.accept]?.contains("text/html") == true else {
                return answer.response(from: request, context: context)
            }
            let form = answer.status.kind == .serverError ? sent : nil
            return Response(page: page(answer, form), status: answer.status, headers: answer.headers)
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
            let known = translate(error)
            if let known, known.status != .internalServerError {
                if known.status.kind == .serverError {
                    logger.warning("\(request.method) \(request.uri.path): \(error)")
                }
                return known
            }
            return Self.numbered(
                known ?? WebError(.internalServerError, "something went wrong here"), error, request, logger)
        }
    }

    /// An answer by whose number its cause is found in the log.
    private static func numbered(
        _ answer: WebError, _ error: any Error, _ request: Request, _ logger: Logger
    ) -> WebError {
        let id = String(UInt32.random(in: .min ... .max), radix: 16)
        logger.error("\(request.method) \(request.uri.path) failed (error \(id)): \(error)")
        var answer = answer
        answer.message += "; the log of this server says what, beside error \(id)"
        answer.members["error_id"] = .string(id)
        return answer
    }

    private static func message(for status: HTTPResponse.Status) -> String {
        switch status {
        case .notFound: "there is nothing at this address"
        case .contentTooLarge: "the body is too large: at most 1 MiB"
        default: status.reasonPhrase.lowercased()
        }
    }
}
