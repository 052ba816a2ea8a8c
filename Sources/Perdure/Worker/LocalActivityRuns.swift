import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// The local activities of one live run that are under way in this process.
final class LocalActivityRuns: Sendable {
    /// Runs one of them through its attempts.
    typealias Operation = @Sendable (LocalActivityRequest, LocalActivityState) async -> LocalActivityEnd

    private struct State {
        var running: [Int: (state: LocalActivityState, task: Task<Void, Never>)] = [:]
        var ended: [LocalActivityEnd] = []
        var isAbandoned = false
    }

    private let state = Mutex(State())
    private let news = Wakeup()
    private let operation: Operation

    init(_ operation: @escaping Operation) { self.operation = operation }

    /// Starts and cancels what the run's code asks for.
    func perform(_ work: LocalActivityWork) {
        for request in work.starts { start(request) }
        for number in work.cancels {
            let running = state.withLock { $0.running[number] }
            running?.state.cancel(.requested)
            running?.task.cancel()
        }
    }

    private func start(_ request: LocalActivityRequest) {
        let its = LocalActivityState()
        state.withLock { state in
            guard !state.isAbandoned else { return }
            let task = Task { [operation] in
                let end = await operation(request, its)
                self.finish(end)
            }
            state.running[request.number] = (its, task)
        }
    }

    private func finish(_ end: LocalActivityEnd) {
        state.withLock { state in
            state.running[end.number] = nil
            if !state.isAbandoned { state.ended.append(end) }
        }
        news.signal()
    }

    /// Those that have ended since it was asked before; waits for one until that time. Empty if there is none by then.
    func ends(until limit: ContinuousClock.Instant) async -> [LocalActivityEnd] {
        while true {
            let ended = state.withLock { state in
                defer { state.ended = [] }
                return state.ended
            }
            if !ended.isEmpty || limit <= .now || Task.isCancelled { return ended }
            await news.sleep(atMost: limit - .now)
        }
    }

    /// Cancels all of them; nobody waits for them any more.
    func abandon() {
        let running = state.withLock { state in
            defer { (state.running, state.ended, state.isAbandoned) = ([:], [], true) }
            return state.running.values.map { $0 }
        }
        for (state, task) in running {
            state.cancel(.lost)
            task.cancel()
        }
        news.signal()
    }
}

/// Which attempt of a local activity runs, and why it is to stop.
final class LocalActivityState: Sendable {
    private let state = Mutex((attempt: RunningActivity?.none, cancellation: ActivityCancellation?.none))

    var cancellation: ActivityCancellation? { state.withLock { $0.cancellation } }

    func begin(_ attempt: RunningActivity) {
        let cancellation = state.withLock { state in
            state.attempt = attempt
            return state.cancellation
        }
        if let cancellation { attempt.cancel(cancellation) }
    }

    func cancel(_ reason: ActivityCancellation) {
        let attempt = state.withLock { state in
            state.cancellation = state.cancellation ?? reason
            return state.attempt
        }
        attempt?.cancel(reason)
    }
}

extension WorkerSession {
    /// Runs a local activity through its attempts, until it succeeds, fails for good, is canceled, or has to wait for
    /// so long that a timer does that.
    func runLocally(
        _ request: LocalActivityRequest, _ state: LocalActivityState, workflowID: String, workflowType: String,
        runID: UUID, logger: Logger
    ) async -> LocalActivityEnd {
        let began = ContinuousClock.now
        var attempt = request.attempt
        func end(_ result: Result<[Payload], Failure>, backoff: Duration? = nil) -> LocalActivityEnd {
            LocalActivityEnd(number: request.number, attempt: attempt, result: result, backoff: backoff)
        }
        guard let operation = code.activities[request.type] else {
            let known = code.activityTypes.joined(separator: ", ")
            return end(
                .failure(
                    .application(
                        "this worker has no activity of type \(request.type); it has: \(known)",
                        type: "NotFoundError", nonRetryable: true)))
        }
        guard !code.transactionalActivities.contains(request.type) else {
            return end(
                .failure(
                    .application(
                        "\(request.type) is a transactional activity: execute it as an ordinary one",
                        type: "TransactionalActivity", nonRetryable: true)))
        }
        let isInTime = await localActivitySlots.take(for: request.options.scheduleToStartTimeout)
        guard isInTime else { return end(.failure(.timedOutLocally(.scheduleToStart))) }
        defer { localActivitySlots.give() }
        // An attempt that follows a timer has what is left of the time.
        let left = request.options.scheduleToCloseTimeout.map { timeout in
            timeout - max(.zero, Timestamp(Date()).duration(since: request.scheduledAt))
        }
        let limit = request.options.scheduleToCloseTimeout.map { timeout in
            began + (request.attempt > 1 ? left ?? timeout : timeout)
        }
        while true {
            let failure: Failure
            switch await run(attempt, of: request, operation, state, until: limit, workflowID, workflowType, runID) {
            case .success(let result): return end(.success(result))
            case .failure(let error): failure = error
            }
            let policy = request.options.retryPolicy ?? RetryPolicy()
            guard !Task.isCancelled, state.cancellation == nil, failure.isWorthAnotherAttempt(policy),
                policy.maximumAttempts <= 0 || attempt < policy.maximumAttempts
            else { return end(.failure(failure)) }
            let wait = failure.nextRetryDelay ?? policy.wait(after: attempt)
            if let limit, .now + wait > limit { return end(.failure(failure)) }
            guard wait <= request.options.localRetryThreshold else { return end(.failure(failure), backoff: wait) }
            try? await Task.sleep(for: wait)
            guard !Task.isCancelled, state.cancellation == nil else {
                return end(.failure(Failure(message: "Cancelled", kind: .canceled(details: []))))
            }
            attempt += 1
        }
    }

    private func run(
        _ attempt: Int, of request: LocalActivityRequest,
        _ operation: @escaping @Sendable (ActivityAttempt) async throws -> [Payload], _ state: LocalActivityState,
        until limit: ContinuousClock.Instant?, _ workflowID: String, _ workflowType: String, _ runID: UUID
    ) async -> Result<[Payload], Failure> {
        let now = Timestamp(Date())
        let task = ClaimedActivityTask(
            localAttempt: attempt, runID: runID, workflowID: workflowID, workflowType: workflowType,
            activityID: request.id, activityType: request.type, input: request.input, headers: request.headers,
            scheduledAt: request.scheduledAt, startedAt: now,
            startToCloseTimeout: request.options.startToCloseTimeout,
            scheduleToCloseTimeout: request.options.scheduleToCloseTimeout, idempotencyKey: request.idempotencyKey)
        let running = RunningActivity(task)
        let its = ActivityAttempt(
            task: task, namespace: options.namespace, taskQueue: options.taskQueue, baseLogger: logger,
            heartbeat: { _ in }, cancellation: { running.cancellation }, surroundings: surroundings, isLocal: true)
        running.run { [runningCode] in
            runningCode.take(1)
            defer { runningCode.give() }
            let result = try await operation(its)
            try task.check(result)
            return ActivityReturn(value: result, encoded: result)
        } advance: { _ in
            false
        }
        state.begin(running)
        let start = request.options.startToCloseTimeout.map { ContinuousClock.now + $0 }
        let deadline = [start, limit].compactMap { $0 }.min()
        let timer = deadline.map { EventLoop.shared.schedule(at: $0) { running.timeOut() } }
        defer { if let timer { EventLoop.shared.cancel(timer) } }
        let isStartToClose = start.map { start in limit.map { start <= $0 } ?? true } ?? false
        let timeout = Failure.timedOutLocally(isStartToClose ? .startToClose : .scheduleToClose)
        switch await running.ending.value {
        case .returned(.success(let result)): return .success(result)
        case .returned(.failure(let error)):
            if error is CompleteActivityOutsideError {
                return .failure(
                    .application(
                        "a local activity cannot be completed from outside: execute it as an ordinary one",
                        type: "CompleteActivityOutside", nonRetryable: true))
            }
            if running.cancellation == .timedOut { return .failure(timeout) }
            if error.isCancellation, running.cancellation != nil {
                return .failure(Failure(message: "Cancelled", kind: .canceled(details: [])))
            }
            return .failure(Failure(unexpected: error))
        case .abandoned, .advanced, .recorded: return .failure(timeout)
        }
    }

    /// Runs the local activities that a workflow's code waits for, and the code with their ends, until it waits for
    /// none.
    ///
    /// - Parameter limit: when the workflow task is to be completed though some of them run on.
    /// - Returns: the commands, and whether some run on.
    func finishLocalActivities(
        of run: any LiveRun, _ runID: UUID, after commands: [Command], until limit: ContinuousClock.Instant
    ) async throws -> (commands: [Command], areOpen: Bool) {
        guard let locals = run.locals else { return (commands, false) }
        var commands = commands
        while true {
            if commands.contains(where: { $0.commandType.closesRun }) {
                locals.abandon()
                return (commands, false)
            }
            guard run.awaitsLocalActivities else { return (commands, false) }
            locals.perform(run.takeLocalActivities())
            let ends = await locals.ends(until: limit)
            try Task.checkCancellation()
            if hasLostLease { throw CancellationError() }
            if ends.isEmpty { return (commands, true) }
            for end in ends where !commands.contains(where: { $0.commandType.closesRun }) {
                guard activeRuns.withLock({ $0.insert(runID).inserted }) else {
                    throw WorkflowTaskError.stuck(for: options.deadlockTimeout)
                }
                do {
                    commands = try await threads.run { [activeRuns] in
                        defer { activeRuns.withLock { _ = $0.remove(runID) } }
                        return try run.endLocalActivity(end)
                    } late: {
                        run.evict()
                    }
                } catch let error as DeadlineExceeded {
                    run.interrupt()
                    throw WorkflowTaskError.stuck(for: error.limit)
                }
            }
        }
    }
}

extension Failure {
    fileprivate static func timedOutLocally(_ type: TimeoutType) -> Failure {
        Failure(message: "Activity timed out", kind: .timeout(type, lastHeartbeatDetails: []))
    }

    fileprivate func isWorthAnotherAttempt(_ policy: RetryPolicy) -> Bool {
        switch kind {
        case .application(let type, let nonRetryable, _):
            !nonRetryable && !policy.nonRetryableErrorTypes.contains(type)
        case .timeout(let type, _): type == .startToClose
        case .canceled, .terminated: false
        case .server(let nonRetryable): !nonRetryable
        case .activity, .childWorkflow: true
        }
    }

    fileprivate var nextRetryDelay: Duration? {
        json["applicationFailureInfo"]?["nextRetryDelay"]?.stringValue.flatMap { Duration(wire: $0) }
    }
}

extension RetryPolicy {
    /// How long to wait after an attempt.
    fileprivate func wait(after attempt: Int) -> Duration {
        let longest = maximumInterval ?? initialInterval * 100
        let factor = pow(backoffCoefficient, Double(min(attempt - 1, 1000)))
        guard factor.isFinite else { return longest }
        let initial = Double(initialInterval.wholeMicroseconds)
        return min(longest, .microseconds(Int64(min(initial * factor, 1e15))))
    }
}
