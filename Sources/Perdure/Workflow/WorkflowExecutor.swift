import Foundation
import Synchronization

/// Runs the jobs of one run of a workflow: in the order in which they became ready, one at a time, on the thread that
/// activates the run.
///
/// The order depends on nothing but the code and the history: a job becomes ready because another job, or the
/// activation, made it so. Tasks that structured concurrency makes inherit the executor (SE-0417). A job that
/// comes from another thread was waiting for something outside of history.
final class WorkflowExecutor: TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var next = 0
        var thread: pthread_t?
        var hasForeignJob = false
    }

    private let state = Mutex(State())

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { state in
            if state.thread.map({ pthread_equal($0, pthread_self()) == 0 }) ?? true { state.hasForeignJob = true }
            state.jobs.append(job)
        }
    }

    /// What `body` makes ready counts as the run's own.
    func own<T>(_ body: () throws -> T) rethrows -> T {
        let outer = state.withLock { state in
            defer { state.thread = pthread_self() }
            return state.thread
        }
        defer { state.withLock { $0.thread = outer } }
        return try body()
    }

    /// Runs jobs until none is ready, at most `limit`.
    func drain(limit: Int = .max) {
        own {
            var left = limit
            while left > 0, let job = take() {
                job.runSynchronously(on: asUnownedTaskExecutor())
                left -= 1
            }
        }
    }

    /// Whether something other than the activation made a job ready.
    var hasForeignJob: Bool { state.withLock { $0.hasForeignJob } }

    private func take() -> UnownedJob? {
        state.withLock { state in
            guard state.next < state.jobs.count else {
                state.jobs.removeAll(keepingCapacity: true)
                state.next = 0
                return nil
            }
            defer { state.next += 1 }
            return state.jobs[state.next]
        }
    }
}
