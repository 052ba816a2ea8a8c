import Synchronization

/// A value that comes once; the first one counts. Unlike a task's value, it lets whoever waits go on without a task
/// that will not end.
///
/// Public and inlinable, since Swift specializes a generic of another module only then, and a worker settles several
/// for each step (docs/decisions/0049-costs-of-the-worker.md).
public final class Settlement<Value: Sendable>: Sendable {
    @usableFromInline enum State: Sendable {
        case open([CheckedContinuation<Value, Never>])
        case settled(Value)
    }

    @usableFromInline let state: Mutex<State>

    @inlinable public init() { state = Mutex(.open([])) }

    /// - Returns: false when it was settled before.
    @inlinable @discardableResult
    public func settle(_ value: Value) -> Bool {
        let waiters = state.withLock { state -> [CheckedContinuation<Value, Never>]? in
            guard case .open(let waiters) = state else { return nil }
            state = .settled(value)
            return waiters
        }
        for waiter in waiters ?? [] { waiter.resume(returning: value) }
        return waiters != nil
    }

    @inlinable public var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                let value = state.withLock { state -> Value? in
                    switch state {
                    case .settled(let value): return value
                    case .open(let waiters):
                        state = .open(waiters + [continuation])
                        return nil
                    }
                }
                if let value { continuation.resume(returning: value) }
            }
        }
    }
}

/// A value that several hold, and look at one at a time.
public final class Shared<Value: Sendable>: Sendable {
    @usableFromInline let value: Mutex<Value>
    @inlinable public init(_ value: Value) { self.value = Mutex(value) }
    @inlinable public func withLock<Result>(_ body: (inout sending Value) -> sending Result) -> sending Result {
        value.withLock(body)
    }
}
