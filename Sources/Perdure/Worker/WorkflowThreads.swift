import Dispatch
import Foundation
import Logging
import Metrics
import PerdureEngine

/// Workflow code that did not come back in time.
struct DeadlineExceeded: Error {
    let limit: Duration
}

/// Threads of the worker's own, on which workflow code runs.
///
/// Workflow code computes and never waits, so a few threads run many activations back to back. Code that blocks or
/// loops holds up neither Swift's cooperative threads, which keep the lease and the heartbeats, nor for long the other
/// runs: its thread is written off after the deadlock timeout, and another takes its place.
///
/// Unchecked because all mutable state is touched only while `condition` is locked.
final class WorkflowThreads: @unchecked Sendable {
    /// Written-off threads that may be replaced: who has more stuck code than this needs a new process.
    static let maximumWrittenOff = 64

    private struct Job {
        let run: @Sendable () -> Void
        let giveUp: @Sendable () -> Void
    }

    /// What a thread does, and since when.
    private final class Place {
        var job: Job?
        var since = ContinuousClock.now
        var isWrittenOff = false
    }

    private let limit: Duration
    private let logger: Logger
    private let writtenOffThreads: Gauge
    private let condition = NSCondition()
    private var queue: [Job] = []
    private var queueStart = 0
    private var places: [Place] = []
    private var idle = 0
    private var writtenOff = 0
    private var isStopped = false
    private let stopped = Settlement<Void>()
    private let watchdog: any DispatchSourceTimer

    init(
        count: Int = ProcessInfo.processInfo.activeProcessorCount, deadlockTimeout: Duration, logger: Logger,
        writtenOffThreads: Gauge
    ) {
        limit = deadlockTimeout
        self.logger = logger
        self.writtenOffThreads = writtenOffThreads
        watchdog = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "perdure.workflow-watchdog"))
        let interval = max(5, Int(deadlockTimeout.wholeMicroseconds / 4000))
        watchdog.schedule(
            deadline: .now() + .milliseconds(interval), repeating: .milliseconds(interval),
            leeway: .milliseconds(interval / 4))
        watchdog.setEventHandler { [weak self] in self?.writeOffLateThreads() }
        watchdog.resume()
        condition.withLock { for _ in 0..<max(1, count) { startThread() } }
    }

    /// Runs code on one of the threads.
    ///
    /// - Parameter late: called on that thread when the code came back after all, and nobody waits for it any more.
    /// - Throws: ``DeadlineExceeded`` when the code has run for the deadlock timeout, or what it throws.
    func run<Value: Sendable>(
        _ code: @escaping @Sendable () throws -> Value, late: @escaping @Sendable () -> Void
    ) async throws -> Value {
        let result = Settlement<Result<Value, any Error>>()
        run(code, then: { result.settle($0) }, late: late)
        return try await result.value.get()
    }

    /// Runs code on one of the threads.
    ///
    /// - Parameters:
    ///   - then: gets, on that thread, what the code returned or threw; from another thread ``DeadlineExceeded`` when
    ///     the code has run for the deadlock timeout.
    ///   - late: called on that thread when the code came back after all.
    func run<Value: Sendable>(
        _ code: @escaping @Sendable () throws -> Value,
        then: @escaping @Sendable (Result<Value, any Error>) -> Void, late: @escaping @Sendable () -> Void
    ) {
        let isOver = Shared(false)
        @Sendable func takeEnd() -> Bool {
            isOver.withLock { isOver in
                defer { isOver = true }
                return !isOver
            }
        }
        let limit = limit
        enqueue(
            Job {
                let result = Result { try code() }
                if takeEnd() { then(result) } else { late() }
            } giveUp: {
                if takeEnd() { then(.failure(DeadlineExceeded(limit: limit))) }
            })
    }

    /// Frees a run, whose code may clean up when it learns that.
    func evict(_ run: any LiveRun) async {
        try? await self.run {
            run.evict()
        } late: {
        }
    }

    /// The same, for who does not wait for it.
    func evictSoon(_ run: any LiveRun) {
        self.run {
            run.evict()
        } then: { _ in
        } late: {
        }
    }

    /// Runs what nobody waits for. It runs also when the threads have ended.
    func runSoon(_ work: @escaping @Sendable () -> Void) {
        let hasEnded = condition.withLock { isStopped && places.isEmpty }
        if hasEnded {
            Thread.detachNewThread(work)
        } else {
            run(work) { _ in
            } late: {
            }
        }
    }

    /// Waits until the threads have run what is queued and ended; not for those that are written off.
    func stop() async {
        condition.withLock {
            isStopped = true
            condition.broadcast()
        }
        await stopped.value
        watchdog.cancel()
    }

    private func enqueue(_ job: Job) {
        let isAwaited = condition.withLock {
            queue.append(job)
            return idle > 0
        }
        // After the lock, for which the thread would have to wait else.
        if isAwaited { condition.signal() }
    }

    /// The caller holds the lock.
    private func startThread() {
        let place = Place()
        places.append(place)
        // The place is the thread's own but for what it shares under the lock.
        nonisolated(unsafe) let its = place
        let thread = Thread { [self] in
            Thread.current.name = "workflow-code"
            while let job = next(its) { job.run() }
        }
        thread.stackSize = 4 << 20
        thread.start()
    }

    /// Ends the thread's last job and waits for another; nil when the thread has to end.
    private func next(_ place: Place) -> Job? {
        condition.withLock {
            place.job = nil
            if place.isWrittenOff {
                writtenOff -= 1
                writtenOffThreads.record(writtenOff)
                return nil
            }
            while queueStart == queue.count {
                if isStopped {
                    places.removeAll { $0 === place }
                    if places.isEmpty { stopped.settle(()) }
                    return nil
                }
                idle += 1
                condition.wait()
                idle -= 1
            }
            let job = queue[queueStart]
            queueStart += 1
            if queueStart == queue.count {
                queue.removeAll(keepingCapacity: true)
                queueStart = 0
            } else if queueStart > 1024, queueStart * 2 > queue.count {
                queue.removeFirst(queueStart)
                queueStart = 0
            }
            place.job = job
            place.since = .now
            return job
        }
    }

    private func writeOffLateThreads() {
        let now = ContinuousClock.now
        let (late, replaced) = condition.withLock { () -> ([Job], Int) in
            var late: [Job] = []
            var replaced = 0
            for place in places where now - place.since > limit {
                guard let job = place.job else { continue }
                late.append(job)
                // Without a replacement the thread stays on, and goes on when its code comes back.
                guard writtenOff < Self.maximumWrittenOff else { continue }
                place.isWrittenOff = true
                writtenOff += 1
                replaced += 1
            }
            places.removeAll(where: \.isWrittenOff)
            guard !late.isEmpty else { return (late, replaced) }
            writtenOffThreads.record(writtenOff)
            for _ in 0..<replaced { startThread() }
            return (late, replaced)
        }
        guard !late.isEmpty else { return }
        for job in late { job.giveUp() }
        if replaced > 0 {
            logger.error(
                "Workflow code blocks a thread or loops; the thread was replaced",
                metadata: ["threads": "\(replaced)", "limit": "\(limit)"])
        }
        if replaced < late.count {
            logger.critical(
                "Too many threads are blocked by workflow code; no more are started, restart this process",
                metadata: ["threads": "\(Self.maximumWrittenOff)"])
        }
    }
}
