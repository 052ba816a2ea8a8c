import Synchronization
public import Testing

/// Waits until the condition holds; fails the test when it does not in time. It looks every few milliseconds, which is
/// the only place where tests sleep in order to wait.
///
/// Once one wait has failed, the others are short: what stalls one test stalls them all, and its message is the one to
/// read.
public func eventually(
    _ what: Comment, within limit: Duration = .seconds(180), sourceLocation: SourceLocation = #_sourceLocation,
    isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
    let limit = aWaitHasFailed.load(ordering: .relaxed) ? min(limit, .seconds(3)) : limit
    let deadline = ContinuousClock.now + limit
    repeat {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    } while ContinuousClock.now < deadline
    aWaitHasFailed.store(true, ordering: .relaxed)
    Issue.record("in vain: \(what)", sourceLocation: sourceLocation)
    throw WaitedInVain()
}

private let aWaitHasFailed = Atomic(false)

/// The wait's issue is recorded already.
public struct WaitedInVain: Error {}
