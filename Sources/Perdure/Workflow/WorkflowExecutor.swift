import Foundation
import Synchronization

// Only an executor that can schedule learns that its code calls Task.sleep, before the time is over.
#if os(Linux) && compiler(>=6.3)
    @_spi(ExperimentalScheduling) import _Concurrency
#endif

/// Runs the jobs of one run of a workflow: in the order in which they became ready, one at a time, on the thread that
/// activates the run.
///
/// The order depends on nothing but the code and the history: a job becomes ready because another job, or the
/// activation, made it so. Tasks that structured concurrency makes inherit the executor (SE-0417). A job that
/// comes from another thread was waiting for something outside of history.
final class WorkflowExecutor: TaskExecutor {
    /// What workflow code must not do, because history cannot repeat it.
    enum Misuse: Sendable {
        case slept, waitedOutside, calledFromOutside, changedStateInQuery

        var description: String {
            switch self {
            case .slept:
                "workflow code waited for a clock outside of the workflow (Task.sleep, or a clock's sleep): "
                    + "use try await context.sleep(for:), which the history can repeat"
            case .waitedOutside:
                "workflow code waited for something outside of the workflow (Task.sleep, MainActor or another actor, "
                    + "the network, a continuation or stream that another thread feeds): do that in an activity with "
                    + "context.executeActivity, and wait with context.sleep, context.condition or context.timeout"
            case .calledFromOutside:
                "workflow code used its context or its state outside of the workflow, as in a Task { }, a "
                    + "Task.detached { } or on another actor: use async let or a task group, whose tasks belong to the "
                    + "workflow"
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
        /// How many jobs have run since the run's eviction.
        var ranOut = 0
        /// Whether no more jobs are to run until the run is evicted.
        var isInterrupted = false
        var hasSlept = false
        var misuse: Misuse?
    }

    fileprivate struct Told {
        let misuse: Misuse
        let isIdle: Bool
    }

    /// How many jobs of an evicted run may run. Code that ends needs a few; code that waits again whatever its waits
    /// throw, as `while true { try? await Task.sleep(…) }` does, would keep a processor busy for ever.
    private static let mostRunOut = 1000

    private let state = Mutex(State())
    private let onEndlessCode: @Sendable () -> Void
    private let onMisuse: @Sendable (Misuse, Bool) -> Void
    private let runElsewhere: @Sendable (@escaping @Sendable () -> Void) -> Void

    /// The executor of the run whose instance is being made.
    @TaskLocal static var current: WorkflowExecutor?

    /// - Parameters:
    ///   - onMisuse: told of what the code will do again whenever it runs, and of what happens while nobody activates
    ///     the run, hence nobody sees it; and whether that is so.
    ///   - onEndlessCode: told when code of an evicted run is stopped because it does not end.
    ///   - runElsewhere: where code runs that comes back after the run's eviction.
    init(
        onMisuse: @escaping @Sendable (Misuse, _ isIdle: Bool) -> Void = { _, _ in },
        onEndlessCode: @escaping @Sendable () -> Void = {},
        runElsewhere: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void = { work in
            Task.detached { work() }
        }
    ) {
        self.onMisuse = onMisuse
        self.onEndlessCode = onEndlessCode
        self.runElsewhere = runElsewhere
    }

    func enqueue(_ job: consuming ExecutorJob) {
        add(UnownedJob(job)) { state in state.isOwnThread ? nil : .waitedOutside }
    }

    /// - Parameter misuse: what is wrong with the job's coming here, if anything is.
    private func add(_ job: UnownedJob, _ misuse: (State) -> Misuse?) {
        let (told, runsOut) = state.withLock { state -> (Told?, Bool) in
            state.jobs.append(job)
            guard let misuse = misuse(state) else { return (nil, false) }
            if misuse == .slept { state.hasSlept = true }
            if state.isAbandoned {
                guard !state.isRunningOut, !state.isOwnThread, state.ranOut < Self.mostRunOut else {
                    return (nil, false)
                }
                state.isRunningOut = true
                return (nil, true)
            }
            return (state.note(misuse), false)
        }
        if let told { onMisuse(told.misuse, told.isIdle) }
        // Nobody will activate an evicted run again. What it still waited for ends here, so that it can be freed.
        if runsOut { runElsewhere { self.runOut() } }
    }

    private func runOut() {
        state.withLock { $0.owner = pthread_self() }
        while let job = take(if: { $0.ranOut < Self.mostRunOut }) {
            job.runSynchronously(on: asUnownedTaskExecutor())
            state.withLock { $0.ranOut += 1 }
        }
        let isEndless = state.withLock { state in
            // Without jobs left, another thread may run out what has come since.
            guard state.isRunningOut, state.isOwnThread else { return false }
            (state.isRunningOut, state.owner) = (false, nil)
            return true
        }
        if isEndless { onEndlessCode() }
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

    /// Runs jobs until none is ready, or until the code has broken a rule or is interrupted: what it decides then
    /// counts for nothing.
    func drain() {
        own {
            while let job = take(if: { $0.misuse == nil && !$0.isInterrupted }) {
                job.runSynchronously(on: asUnownedTaskExecutor())
            }
        }
    }

    /// Runs the jobs of a run that leaves memory, at most `limit`.
    ///
    /// - Returns: whether none is left.
    func drainEvicted(limit: Int) -> Bool {
        own {
            var left = limit
            while left > 0, let job = take() {
                job.runSynchronously(on: asUnownedTaskExecutor())
                left -= 1
            }
            return left > 0
        }
    }

    /// Lets the code stop where it waits next, from any thread: it has taken too long.
    func interrupt() { state.withLock { $0.isInterrupted = true } }

    var isInterrupted: Bool { state.withLock { $0.isInterrupted } }

    /// Whether this is the run's own code. If not, the run's next activation fails.
    func check() -> Bool {
        let (isOwn, told) = state.withLock { state -> (Bool, Told?) in
            state.isOwnThread ? (true, nil) : (false, state.isAbandoned ? nil : state.note(.calledFromOutside))
        }
        if let told { onMisuse(told.misuse, told.isIdle) }
        return isOwn
    }

    /// Whether this is the run's own code, and may change something. If not, the run's activation or query fails.
    func checkMayChange() -> Bool {
        guard check() else { return false }
        return state.withLock { state in
            if state.isReadOnly { state.misuse = state.misuse ?? .changedStateInQuery }
            return !state.isReadOnly
        }
    }

    /// Whether the run's code has called Task.sleep.
    var hasSlept: Bool { state.withLock { $0.hasSlept } }

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

    private func take(if isWanted: (State) -> Bool = { _ in true }) -> UnownedJob? {
        state.withLock { state in
            guard isWanted(state) else { return nil }
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

    /// - Returns: what is to be told, if it is the first misuse.
    fileprivate mutating func note(_ misuse: WorkflowExecutor.Misuse) -> WorkflowExecutor.Told? {
        guard self.misuse == nil else { return nil }
        self.misuse = misuse
        let isIdle = owner == nil || isReadOnly
        return isIdle || misuse == .slept ? WorkflowExecutor.Told(misuse: misuse, isIdle: isIdle) : nil
    }
}

#if os(Linux) && compiler(>=6.3)
    /// What sleeps is ready at once, to end when its run is evicted; until then nothing of the run goes on.
    extension WorkflowExecutor: SchedulingExecutor {
        func enqueue<C: Clock>(
            _ job: consuming ExecutorJob, after delay: C.Duration, tolerance: C.Duration?, clock: C
        ) {
            add(UnownedJob(job)) { _ in .slept }
        }

        func enqueue<C: Clock>(
            _ job: consuming ExecutorJob, at instant: C.Instant, tolerance: C.Duration?, clock: C
        ) {
            add(UnownedJob(job)) { _ in .slept }
        }
    }
#endif
