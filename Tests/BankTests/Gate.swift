import Hummingbird
import TestSupport
import Testing

/// Holds one call of a server in its middle, so that a test can do something just then.
actor Gate {
    /// On which side of the call's work it is held.
    enum Side: Sendable, CaseIterable { case before, after }

    private var pattern: (method: String, path: String, side: Side)?
    private var hasArrived = false
    private var isOpen = false
    private var held: [CheckedContinuation<Void, Never>] = []

    /// Holds the next call of that method and path.
    func hold(_ method: String, _ path: String, _ side: Side) {
        pattern = (method, path, side)
        (hasArrived, isOpen) = (false, false)
    }

    /// Returns once the call is held; fails the test if it does not come.
    func arrived(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually("the call comes that the gate waits for", sourceLocation: sourceLocation) {
            hasArrived
        }
    }

    /// Lets the call go on.
    func open() {
        isOpen = true
        for continuation in held { continuation.resume() }
        held = []
    }

    /// Lets the call go on, and holds the next one of that method and path, even if it comes of the first.
    func open(andHold method: String, _ path: String, _ side: Side) {
        open()
        hold(method, path, side)
    }

    /// Whether this is the call to hold; the next one like it is not.
    fileprivate func take(_ method: String, _ path: String) -> Side? {
        guard let pattern, pattern.method == method, pattern.path == path else { return nil }
        self.pattern = nil
        return pattern.side
    }

    fileprivate func pass() async {
        hasArrived = true
        if isOpen { return }
        await withCheckedContinuation { held.append($0) }
    }
}

struct GatedResponder<Inner: HTTPResponder>: HTTPResponder {
    let inner: Inner
    let gate: Gate

    func respond(to request: Request, context: Inner.Context) async throws -> Response {
        switch await gate.take(request.method.rawValue, request.uri.path) {
        case .before:
            // The body has to be here before the client is gone.
            var request = request
            _ = try await request.collectBody(upTo: 1 << 20)
            await gate.pass()
            return try await inner.respond(to: request, context: context)
        case .after:
            let response = try await inner.respond(to: request, context: context)
            await gate.pass()
            return response
        case nil:
            return try await inner.respond(to: request, context: context)
        }
    }
}
