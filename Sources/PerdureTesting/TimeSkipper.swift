import Foundation
import Logging
import Perdure
import PerdureEngine
import Postgres
import Synchronization

/// Moves the clock of an environment on while somebody waits for a result, or sleeps:
/// docs/decisions/0044-skipped-time.md.
final class TimeSkipper: Sendable {
    private struct Sleep {
        let until: Date
        /// The attempt of an activity that sleeps.
        let attempt: JSON?
        let end: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var last: UInt64 = 0
        var waits: [UInt64: (workflowID: String, runID: UUID?)] = [:]
        var sleeps: [UInt64: Sleep] = [:]
        var isRunning = false
        var isStopped = false
    }

    private let engine: Engine
    private let logger: Logger
    private let state = Mutex(State())

    init(pool: PostgresPool, logger: Logger) {
        engine = Engine(pool: pool)
        self.logger = logger
    }

    /// Skips time until the closure that this returns is called, as long as the workflow, or this run of it, is open.
    func wait(for workflowID: String, _ runID: UUID?) -> @Sendable () -> Void {
        let number = state.withLock { state in
            state.last += 1
            state.waits[state.last] = (workflowID, runID)
            return state.last
        }
        runIfNeeded()
        return { [self] in state.withLock { $0.waits[number] = nil } }
    }

    /// - Parameter info: the attempt of an activity that sleeps.
    func sleep(for duration: Duration, in info: ActivityExecutionContext.Info?) async throws {
        let now = try await engine.pool.query("select perdure.clock()")[0].decode(Date.self, at: 0)
        let until = now.addingTimeInterval(duration / .seconds(1))
        let attempt = info.map { info -> JSON in
            [
                "runId": .string(info.workflowRunID.uuidString.lowercased()), "activityId": .string(info.activityID),
                "attempt": .number(info.attempt),
            ]
        }
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = state.withLock { state in
                    if Task.isCancelled || state.isStopped { return true }
                    state.sleeps[number] = Sleep(until: until, attempt: attempt, end: continuation)
                    return false
                }
                if isOver { continuation.resume(throwing: CancellationError()) } else { runIfNeeded() }
            }
        } onCancel: {
            end([number], with: .failure(CancellationError()))
        }
    }

    func stop() {
        let all = state.withLock { state in
            state.isStopped = true
            state.waits = [:]
            return Array(state.sleeps.keys)
        }
        end(all, with: .failure(CancellationError()))
    }

    private func end(_ sleeps: [UInt64], with result: Result<Void, any Error>) {
        let ended = state.withLock { state in sleeps.compactMap { state.sleeps.removeValue(forKey: $0) } }
        for sleep in ended { sleep.end.resume(with: result) }
    }

    // MARK: - Skipping

    private func runIfNeeded() {
        let starts = state.withLock { state in
            guard !state.isRunning, !state.isStopped else { return false }
            state.isRunning = true
            return true
        }
        if starts { Task { await run() } }
    }

    private func run() async {
        var pause = Duration.milliseconds(1)
        while let (waits, sleeps) = next() {
            do {
                if try await skip(waits, sleeps) {
                    pause = .milliseconds(1)
                    continue
                }
            } catch {
                logger.warning("Time could not be skipped", metadata: ["error": "\(error)"])
                end(Array(sleeps.keys), with: .failure(error))
            }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(16))
        }
    }

    private typealias Waits = [(workflowID: String, runID: UUID?)]

    private func next() -> (Waits, [UInt64: Sleep])? {
        state.withLock { state in
            if state.isStopped || (state.waits.isEmpty && state.sleeps.isEmpty) {
                state.isRunning = false
                return nil
            }
            return (Array(state.waits.values), state.sleeps)
        }
    }

    /// - Returns: whether the clock was moved.
    private func skip(_ waits: Waits, _ sleeps: [UInt64: Sleep]) async throws -> Bool {
        let sleeps = try await stillRunning(sleeps)
        let row = try await engine.pool.query(
            """
            select s.clock, s.skipped, s.waits_for from perdure.skip_time(\(sleeps.values.map(\.until).min()), \
            \(waits.map(\.workflowID)), \(waits.map(\.runID)), \(JSON.array(sleeps.values.compactMap(\.attempt)))) s
            """)[0]
        let (clock, isSkipped) = (try row.decode(Date.self, "clock"), try row.decode(Bool.self, "skipped"))
        if isSkipped {
            logger.debug("Time was skipped", metadata: ["clock": "\(clock)"])
        } else {
            let reason = try row.decode(String?.self, "waits_for") ?? ""
            logger.trace("Time is not skipped", metadata: ["waits_for": "\(reason)"])
        }
        if isSkipped { try await keepUp() }
        end(sleeps.filter { $0.value.until <= clock }.map(\.key), with: .success(()))
        return isSkipped
    }

    /// What is due now. Workers look only now and then, by the real clock.
    private func keepUp() async throws {
        for shard in try await engine.shards() {
            while try await engine.upkeep(shard: shard, limit: 1000).nextDue == .zero {}
            try await engine.drainTransfers(shard: shard, runIDs: nil)
        }
    }

    /// Ends the sleeps of attempts that are over, which would else hold the clock, or move it for nobody.
    private func stillRunning(_ sleeps: [UInt64: Sleep]) async throws -> [UInt64: Sleep] {
        let attempts = sleeps.values.compactMap(\.attempt)
        guard !attempts.isEmpty else { return sleeps }
        let running = try await engine.pool.query(
            """
            select jsonb_build_object('runId', a.run_id, 'activityId', a.activity_id, 'attempt', a.attempt)
            from perdure.activity_tasks a
            where a.state = 'started' and \(JSON.array(attempts)) @> jsonb_build_array(
                jsonb_build_object('runId', a.run_id, 'activityId', a.activity_id, 'attempt', a.attempt))
            """
        ).map { try $0.decode(JSON.self, at: 0) }
        let over = sleeps.filter { sleep in sleep.value.attempt.map { !running.contains($0) } ?? false }
        end(Array(over.keys), with: .failure(CancellationError()))
        return sleeps.filter { over[$0.key] == nil }
    }
}
