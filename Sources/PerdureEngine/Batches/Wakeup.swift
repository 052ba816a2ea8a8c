import Postgres
import Synchronization

/// Lets one task sleep until something happens or a time has passed. A signal that finds nobody asleep is kept for the
/// next sleeper, so that none is missed.
public final class Wakeup: Sendable {
    private struct State {
        var isSignaled = false
        var lastSleep: UInt64 = 0
        /// The last sleep that ended before its continuation was there.
        var ended: UInt64 = 0
        var sleeper: CheckedContinuation<Void, Never>?

        mutating func takeSleeper() -> CheckedContinuation<Void, Never>? {
            defer { sleeper = nil }
            return sleeper
        }
    }

    private let state = Mutex(State())

    package init() {}

    /// Wakes the sleeper, or the next one.
    public func signal() {
        let sleeper = state.withLock { state in
            state.isSignaled = true
            return state.takeSleeper()
        }
        sleeper?.resume()
    }

    /// Sleeps until a signal, at most for `duration`; a cancelled task does not sleep. One task at a time.
    ///
    /// - Returns: whether there was a signal.
    @discardableResult
    public func sleep(atMost duration: Duration) async -> Bool {
        let sleep = state.withLock { state -> UInt64? in
            guard !state.isSignaled, duration > .zero else { return nil }
            state.lastSleep += 1
            return state.lastSleep
        }
        if let sleep {
            let timer = EventLoop.shared.schedule(at: .now + duration) { self.end(sleep) }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isOver = state.withLock { state in
                        if state.isSignaled || state.ended == sleep { return true }
                        state.sleeper = continuation
                        return false
                    }
                    if isOver { continuation.resume() }
                }
            } onCancel: {
                end(sleep)
            }
            EventLoop.shared.cancel(timer)
        }
        return state.withLock { state in
            defer { state.isSignaled = false }
            return state.isSignaled
        }
    }

    private func end(_ sleep: UInt64) {
        let sleeper = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.lastSleep == sleep else { return nil }
            state.ended = sleep
            return state.takeSleeper()
        }
        sleeper?.resume()
    }
}
