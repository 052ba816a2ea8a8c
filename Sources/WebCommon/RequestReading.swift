import Hummingbird
public import PerdureModel

extension Request {
    /// The largest body that a page or an API of ours takes, in bytes.
    public static let maximumBodySize = 1 << 20

    /// The body in one piece. Throws 413 for more than 1 MiB, before reading it if its length is announced.
    public func wholeBody() async throws -> ByteBuffer {
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > Self.maximumBodySize {
            throw WebError(.contentTooLarge, "the body is too large: at most 1 MiB")
        }
        return try await body.collect(upTo: Self.maximumBodySize)
    }

    /// The body as a JSON object. Throws 413 for more than 1 MiB and 400 for anything else than an object.
    public func jsonObject() async throws -> JSON {
        let buffer = try await wholeBody()
        do {
            let value = try JSON(parsing: buffer.readableBytesView)
            guard case .object = value else { throw WebError(.badRequest, "the body must be a JSON object") }
            return value
        } catch let error as JSONParseError {
            throw WebError(.badRequest, "the body is not JSON: \(error)")
        }
    }

    /// A whole number among the query parameters. Throws 400 if it is there and not a number in `range`.
    public func queryInteger(_ name: String, default value: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = uri.queryParameters.get(name) else { return value }
        guard let number = Int(text), range.contains(number) else {
            throw WebError(.badRequest, "\(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}

extension RequestContext {
    /// A segment of the path as `String.segmentOfAddress` wrote it. Throws 400 for escapes that are not UTF-8 and for
    /// NUL, which PostgreSQL has no text for.
    public func pathSegment(_ name: String) throws -> String {
        guard let text = FormFields.segment(try parameters.require(name)) else {
            throw WebError(.badRequest, "the address holds a character that is not allowed")
        }
        return text
    }
}
