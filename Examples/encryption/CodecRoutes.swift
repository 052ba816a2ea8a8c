public import Hummingbird
public import Perdure
import PerdureModel

/// The protocol of codec servers: `POST /encode` and `POST /decode` with `{"payloads": […]}`, as Temporal's web pages
/// and command line, and our history pages, ask it. The header `X-Namespace` tells whose payloads they are.
public struct CodecRoutes: Sendable {
    /// Of the pages that browsers may ask from, such as `http://localhost:8233`.
    private let origins: Set<String>
    private let codec: any PayloadCodec

    public init(codec: any PayloadCodec, origins: Set<String> = []) {
        self.codec = codec
        self.origins = origins
    }

    public func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.post("encode") { request, context in
            try await answer(request, context) { try await codec.encode(payloads: $0) }
        }
        router.post("decode") { request, context in
            try await answer(request, context) { try await codec.decode(payloads: $0) }
        }
        for path in ["encode", "decode"] as [RouterPath] {
            router.on(path, method: .options) { request, _ in
                Response(status: .noContent, headers: headers(for: request))
            }
        }
        return router
    }

    private func answer(
        _ request: Request, _ context: BasicRequestContext, _ change: ([Payload]) async throws -> [Payload]
    ) async throws -> Response {
        let body = try await request.body.collect(upTo: 16 << 20)
        let payloads: [Payload]
        do {
            let asked = try JSON(parsing: Array(body.readableBytesView))
            payloads = try (asked["payloads"]?.arrayValue ?? []).map { try Payload(temporalJSON: $0) }
        } catch {
            throw HTTPError(.badRequest, message: "the body is not {\"payloads\": […]}: \(error)")
        }
        let changed: [Payload]
        do {
            changed = try await change(payloads)
        } catch {
            throw HTTPError(.badRequest, message: "\(error)")
        }
        var headers = headers(for: request)
        headers[.contentType] = "application/json"
        let answer: JSON = ["payloads": .array(changed.map(\.temporalJSON))]
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(string: answer.text)))
    }

    /// What lets a browser hand the answer to a page from elsewhere.
    private func headers(for request: Request) -> HTTPFields {
        guard let origin = request.headers[.origin], origins.contains(origin) else { return [:] }
        return [
            .accessControlAllowOrigin: origin, .accessControlAllowMethods: "POST, OPTIONS",
            .accessControlAllowHeaders: "Content-Type, X-Namespace, Authorization", .vary: "Origin",
        ]
    }
}
