import Foundation
import Synchronization

/// Runs the jobs of one run of a workflow: in the order in which they became ready, one at a time, on the thread that
/// activates the run.
///
/// The order depends on nothing but the code and the history: a job becomes ready because another job, or the
/// activation, made it so. Tasks that structured concurrency makes inherit the executor (SE-0417). A job that
/// comes from another thread was waiting for something outside of history.
final class WorkflowExecutor: TaskExecutor {
    /// What workflow code must not do, because history cannot repeat it.
    enum Misuse: Sendable {
        case waitedOutside, calledFromOutside, changedStateInQuery

        var description: String {
            switch self {
            case .waitedOutside:
                "workflow code waited for something outside of the workflow (another actor, the network, Task.sleep): "
                    + "do that in an activity, and wait with the context's own methods"
            case .calledFromOutside:
                "workflow code used its context or its state outside of the workflow, as in a Task { } or on another "
                    + "actor: use async let or a task group, whose tasks belong to the workflow"
            case .changedStateInQuery:
                "a query handler changed the workflow's state or decided something: it may only read"
            }
        }
    }

    fileprivate struct State {
        var jobs: [UnownedJob] = []
        var next = 0
        /// The thread on which the run's code may run now.
        var owner: pthread_t?
        var isReadOnly = false
        var isAbandoned = false
        var isRunningOut = false
        var misuse: Misuse?
    }

    private let state = Mutex(State())
    private let onMisuseWhileIdle: @Sendable (Misuse) -> Void

    /// The executor of the run whose instance is being made.
    @TaskLocal static var current: WorkflowExecutor?

    /// - Parameter onMisuseWhileIdle: told of what happens while nobody activates the run, hence nobody sees it.
    init(onMisuseWhileIdle: @escaping @Sendable (Misuse) -> Void = { _ in }) {
        self.onMisuseWhileIdle = onMisuseWhileIdle
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let (isLate, runsOut) = state.withLock { state in
            state.jobs.append(job)
            guard !state.isOwnThread else { return (false, false) }
            if state.isAbandoned {
                guard !state.isRunningOut else { return (false, false) }
                state.isRunningOut = true
                return (false, true)
            }
            let isFirst = state.misuse == nil
            if isFirst { state.misuse = .waitedOutside }
            return (isFirst && state.owner == nil, false)
        }
        if isLate { onMisuseWhileIdle(.waitedOutside) }
        // Nobody will activate an evicted run again. What it still waited for ends here, so that it can be freed.
        if runsOut { Task.detached { self.runOut() } }
    }

    private func runOut() {
        state.withLock { $0.owner = pthread_self() }
        var left = 100_000
        while left > 0, let job = take() {
            job.runSynchronously(on: asUnownedTaskExecutor())
            left -= 1
        }
    }

    /// What `body` makes ready counts as the run's own.
    func own<T>(isReadOnly: Bool = false, _ body: () throws -> T) rethrows -> T {
        let outer = state.withLock { state in
            defer {
                state.owner = pthread_self()
                state.isReadOnly = isReadOnly
            }
            return (state.owner, state.isReadOnly)
        }
        defer { state.withLock { ($0.owner, $0.isReadOnly) = outer } }
        return try body()
    }

    /// Runs jobs until none is ready, at most `limit`.
    ///
    /// - Returns: whether none is left.
    @discardableResult
    func drain(limit: Int = .max) -> Bool {
        own {
            var left = limit
            while left > 0, let job = take() {
                job.runSynchronously(on: asUnownedTaskExecutor())
                left -= 1
            }
            return left > 0
        }
    }

    /// Whether this is the run's own code. If not, the run's next activation fails.
    func check() -> Bool {
        state.withLock { state in
            if state.isOwnThread { return true }
            if !state.isAbandoned, state.misuse == nil { state.misuse = .calledFromOutside }
            return false
        }
    }

    /// Whether this is the run's own code, and may change something. If not, the run's activation or query fails.
    func checkMayChange() -> Bool {
        state.withLock { state in
            guard state.isOwnThread else {
                if !state.isAbandoned, state.misuse == nil { state.misuse = .calledFromOutside }
                return false
            }
            if state.isReadOnly { state.misuse = state.misuse ?? .changedStateInQuery }
            return !state.isReadOnly
        }
    }

    var misuse: Misuse? { state.withLock { $0.misuse } }

    /// A query's misuse is the query's failure, not the run's.
    func takeQueryMisuse() -> Misuse? {
        state.withLock { state in
            guard state.misuse == .changedStateInQuery else { return nil }
            state.misuse = nil
            return .changedStateInQuery
        }
    }

    /// From now on nobody activates the run.
    func abandon() { state.withLock { $0.isAbandoned = true } }

    private func take() -> UnownedJob? {
        state.withLock { state in
            guard state.next < state.jobs.count else {
                state.jobs.removeAll(keepingCapacity: true)
                state.next = 0
                if state.isRunningOut { (state.isRunningOut, state.owner) = (false, nil) }
                return nil
            }
            defer { state.next += 1 }
            return state.jobs[state.next]
        }
    }
}

extension WorkflowExecutor.State {
    fileprivate var isOwnThread: Bool { owner.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
}
