import Foundation

/// Holds the value of a workflow's stored variable, for every copy of the workflow alike: the home that `@Workflow`
/// gives it.
///
/// Unchecked because a lock guards the value. Code that is not the run's own, as in a `Task { }`, therefore cannot
/// break memory; it makes the workflow task fail.
public final class WorkflowVariable<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var stored: Value
    private let executor = WorkflowExecutor.current

    public init(_ value: Value) { stored = value }

    public var value: Value {
        get {
            _ = executor?.check()
            lock.lock()
            defer { lock.unlock() }
            return stored
        }
        set {
            guard executor?.checkMayChange() ?? true else { return }
            lock.lock()
            let old = stored
            stored = newValue
            lock.unlock()
            // The old value may run a deinit, which must not find the lock held.
            withExtendedLifetime(old) {}
        }
    }
}
