import HTTPTypes
import Hummingbird

/// One answer for all who ask for the same at the same time: the first makes it, and the others get it too.
public actor SharedAnswers<Value: Sendable> {
    private struct Entry {
        let making: Task<Value, any Error>
        let began: ContinuousClock.Instant
    }

    private let kept: Duration
    private var entries: [String: Entry] = [:]

    /// - Parameter kept: for how long an answer is given, from when its making began.
    public init(kept: Duration) { self.kept = kept }

    /// The answer and its age. It is made to the end even if who asked first has left.
    public func answer(
        _ key: String, _ make: @escaping @Sendable () async throws -> Value
    ) async throws -> (value: Value, age: Duration) {
        let now = ContinuousClock.now
        entries = entries.filter { $0.value.began.duration(to: now) < kept }
        let entry = entries[key] ?? Entry(making: Task { try await make() }, began: now)
        entries[key] = entry
        return (try await entry.making.value, entry.began.duration(to: .now))
    }
}

extension HTTPField.Name {
    /// Sent by a page that is fetched again because the server told of a change: which change that was.
    public static let perdureLook = HTTPField.Name("Perdure-Look")!
    /// How old such a page is, in milliseconds.
    public static let perdureAge = HTTPField.Name("Perdure-Age")!
}

extension SharedAnswers<Response> {
    /// A page that everybody fetches again for the same change is made once for all of them. Whoever asks without
    /// having been told of a change gets a page of their own.
    public func response(
        to request: Request, _ make: @escaping @Sendable () async throws -> Response
    ) async throws -> Response {
        guard let look = request.headers[.perdureLook] else { return try await make() }
        let cookies = request.headers[values: .cookie].joined(separator: ";")
        var (response, age) = try await answer("\(look)\n\(request.uri)\n\(cookies)", make)
        response.headers[.perdureAge] = "\(age.milliseconds)"
        return response
    }
}

extension Duration {
    /// Whole milliseconds.
    public var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
}
