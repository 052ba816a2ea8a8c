import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// An activity task, apart from the others by run and scheduled event.
struct ActivityKey: Sendable, Hashable {
    let runID: UUID
    let scheduledEventID: Int64
}

/// An attempt that runs in this process.
final class RunningActivity: Sendable {
    enum Ending: Sendable {
        case returned(Result<[Payload], any Error>)
        /// It completed, and its run has gone on with the result already.
        indirect case advanced(FusedStep)
        /// It completed in a transaction of its own, and the engine knows.
        case recorded
        /// Its code did not stop when it was cancelled and its result does not count any more.
        case abandoned
    }

    let task: ClaimedActivityTask
    let deadline: ContinuousClock.Instant?
    let ending = Settlement<Ending>()
    private struct State {
        var cancellation: ActivityCancellation?
        var work: Task<Void, Never>?
        var hasReturned = false
    }
    private let state = Mutex(State())

    init(_ task: ClaimedActivityTask) {
        self.task = task
        deadline = task.timeLeft.map { .now + $0 }
    }

    var key: ActivityKey { ActivityKey(runID: task.runID, scheduledEventID: task.scheduledEventID) }
    var cancellation: ActivityCancellation? { state.withLock { $0.cancellation } }
    /// Whether its code has ended, so that its time cannot be over any more.
    var hasReturned: Bool { state.withLock { $0.hasReturned } }

    /// - Parameter advance: says whether it settles the ending: because the run goes on with the result at once, or the engine has it
    ///   already. Else the result is still to be reported.
    func run(
        _ operation: @escaping @Sendable () async throws -> [Payload],
        advance: @escaping @Sendable ([Payload]) -> Bool
    ) {
        let work = Task {
            do {
                let result = try await operation()
                state.withLock { $0.hasReturned = true }
                if !advance(result) { ending.settle(.returned(.success(result))) }
            } catch {
                ending.settle(.returned(.failure(error)))
            }
        }
        let isCancelled = state.withLock { state in
            state.work = work
            return state.cancellation != nil
        }
        if isCancelled { work.cancel() }
    }

    /// Cancels the Swift task that runs the activity's code. The first reason counts.
    func cancel(_ reason: ActivityCancellation) {
        let work = state.withLock { state in
            state.cancellation = state.cancellation ?? reason
            return state.work
        }
        work?.cancel()
    }
}

/// The attempts that run in this process.
final class RunningActivities: Sendable {
    private let activities = Mutex<[ActivityKey: RunningActivity]>([:])
    private let nextLook = Mutex(ContinuousClock.now + .seconds(3600))
    private let deadlines = Wakeup()

    var all: [RunningActivity] { activities.withLock { Array($0.values) } }
    var isEmpty: Bool { activities.withLock { $0.isEmpty } }
    subscript(key: ActivityKey) -> RunningActivity? { activities.withLock { $0[key] } }

    func insert(_ activity: RunningActivity) {
        activities.withLock { $0[activity.key] = activity }
        guard let deadline = activity.deadline else { return }
        let isSooner = nextLook.withLock { next in
            guard deadline < next else { return false }
            next = deadline
            return true
        }
        if isSooner { deadlines.signal() }
    }

    /// Sleeps until an attempt's time may be over. Most end long before: one look at all of them, now and then, is cheaper
    /// than a timer for each.
    func sleepUntilNextDeadline() async { await deadlines.sleep(atMost: nextLook.withLock { $0 } - .now) }

    /// The attempts whose time is over.
    func takeOverdue() -> [RunningActivity] {
        let now = ContinuousClock.now
        // Before the look at them, so that an attempt that comes meanwhile is not forgotten.
        nextLook.withLock { $0 = now + .seconds(3600) }
        let all = all
        if let next = all.compactMap(\.deadline).filter({ $0 > now }).min() {
            nextLook.withLock { $0 = min($0, next) }
        }
        return all.filter { activity in activity.deadline.map { $0 <= now } ?? false && !activity.hasReturned }
    }

    func remove(_ activity: RunningActivity) {
        activities.withLock { activities in
            if activities[activity.key] === activity { activities[activity.key] = nil }
        }
    }

    func abandonAll(_ reason: ActivityCancellation) {
        for activity in all {
            activity.cancel(reason)
            activity.ending.settle(.abandoned)
        }
    }
}

extension ClaimedActivityTask {
    /// A logger that names the attempt. Made when something is logged, for most attempts log nothing.
    func logger(_ base: Logger) -> Logger {
        var logger = base
        logger[metadataKey: "workflow_id"] = "\(workflowID)"
        logger[metadataKey: "run_id"] = "\(runID)"
        logger[metadataKey: "activity_id"] = "\(activityID)"
        logger[metadataKey: "activity_type"] = "\(activityType)"
        logger[metadataKey: "attempt"] = "\(attempt)"
        return logger
    }

    /// How long the attempt may run, from its start on: by this machine's clock, since the database's may be another.
    /// Its ``deadline`` is no measure, for every heartbeat puts that off.
    var timeLeft: Duration? {
        let toClose = scheduleToCloseTimeout.map { scheduledAt.advanced(by: $0).duration(since: startedAt) }
        return [startToCloseTimeout, toClose].compactMap { $0 }.min()
    }
}

/// What the worker tells the engine at the end of an attempt.
struct ActivityTaskEnd: Sendable {
    let shard: Int16
    let result: ActivityTaskResult
}

extension WorkerSession {
    /// Runs activities, each in a slot that is taken, and whatever its end starts in its place.
    func processAll(_ tasks: [ClaimedActivityTask]) async {
        guard !tasks.isEmpty else { return }
        await withDiscardingTaskGroup { group in
            for task in tasks.dropFirst() { group.addTask { await self.processAll([task]) } }
            var next: ClaimedActivityTask? = tasks[0]
            while let task = next {
                let started = await process(task)
                for task in started.dropFirst() { group.addTask { await self.processAll([task]) } }
                next = started.first
            }
            activitySlots.give()
            slotCameFree()
        }
    }

    /// Runs an attempt of an activity and reports its end.
    ///
    /// - Returns: the activities that are started with that, of which the first has this one's slot.
    private func process(_ task: ClaimedActivityTask) async -> [ClaimedActivityTask] {
        let start = ContinuousClock.now
        metrics.activityScheduleToStart.record(task.startedAt.duration(since: task.currentAttemptScheduledAt))

        let activity = RunningActivity(task)
        activities.insert(activity)
        defer {
            activities.remove(activity)
            heartbeats.remove(activity.key)
        }
        run(activity)
        let ending = await withTaskCancellationHandler {
            await activity.ending.value
        } onCancel: {
            activity.cancel(.shutdown)
            abandonSoon(activity)
        }
        var end = ContinuousClock.now
        if case .advanced(let step) = ending { end = step.start }
        metrics.activityLatency.record(start.duration(to: end))

        let outcome: ActivityTaskResult.Outcome
        switch (ending, activity.cancellation) {
        case (.recorded, _):
            metrics.activityEnded(ActivityTaskOutcome.State.completed.rawValue)
            finishedTasks.withLock { $0 += FinishedTasks(activity: 1) }
            return []
        case (.returned(.failure(let error as NoTransaction)), _):
            metrics.activityEnded("released")
            task.logger(logger).warning(
                "No transaction for an activity; it is handed back", metadata: ["error": "\(error.reason)"])
            // Not at once, or it would come back at once.
            try? await Task.sleep(for: .seconds(1))
            await release(task)
            return []
        // What ended well just before its time was over is for the engine to judge.
        case (_, .leaseLost), (_, .lost), (.abandoned, .timedOut), (.returned(.failure), .timedOut),
            (.returned(.failure(is AttemptLost)), _):
            if case .advanced(let step) = ending { await forget(step, of: task) }
            task.logger(logger).info(
                "An attempt of an activity is not this worker's any more; its end is not reported")
            metrics.activityEnded("lost")
            return []
        case (.abandoned, _):
            task.logger(logger).warning("An activity did not stop when it was cancelled; it is left to itself")
            metrics.activityEnded("released")
            return []
        case (.advanced(let step), _):
            if let started = await complete(step, of: task) { return started }
            outcome = .completed(step.fused.result)
        case (.returned(.success(let result)), _):
            outcome = .completed(result)
        case (.returned(.failure(let error)), .shutdown) where error.isCancellation:
            metrics.activityEnded("released")
            await release(task)
            return []
        case (.returned(.failure(let error)), .requested) where error.isCancellation:
            outcome = .canceled(details: error.canceledDetails)
        case (.returned(.failure(let error)), _):
            task.logger(logger).info("An attempt of an activity failed", metadata: ["error": "\(error)"])
            await flushHeartbeat(of: activity)
            outcome = .failed(Failure(unexpected: error))
        }
        await report(outcome, of: task)
        return []
    }

    private func run(_ activity: RunningActivity) {
        let task = activity.task
        let attempt = ActivityAttempt(
            task: task, namespace: options.namespace, taskQueue: options.taskQueue, baseLogger: logger,
            heartbeat: { [heartbeats] details in heartbeats.record(activity, details) },
            cancellation: { activity.cancellation })
        guard let operation = code.activities[task.activityType] else {
            let known = code.activityTypes.joined(separator: ", ")
            activity.ending.settle(
                .returned(
                    .failure(
                        Failure.application(
                            "this worker has no activity of type \(task.activityType); it has: \(known)",
                            type: "NotFoundError"))))
            return
        }
        let isTransactional = code.transactionalActivities.contains(task.activityType)
        activity.run { [runningCode] in
            runningCode.take(1)
            defer { runningCode.give() }
            return try await isTransactional
                ? self.completeInTransaction(attempt, operation) : operation(attempt)
        } advance: { result in
            guard isTransactional else { return self.advance(with: result, of: activity) }
            activity.ending.settle(.recorded)
            return true
        }
    }

    /// Stops the code of attempts whose time is over; the engine has then given them up by itself.
    func timeOutActivities() async {
        while !Task.isCancelled {
            await activities.sleepUntilNextDeadline()
            for activity in activities.takeOverdue() {
                activity.cancel(.timedOut)
                activity.ending.settle(.abandoned)
            }
        }
    }

    private func abandonSoon(_ activity: RunningActivity) {
        Task {
            try? await Task.sleep(for: .seconds(1))
            activity.ending.settle(.abandoned)
        }
    }

    private func report(_ outcome: ActivityTaskResult.Outcome, of task: ClaimedActivityTask) async {
        var logger: Logger { task.logger(self.logger) }
        func end(_ outcome: ActivityTaskResult.Outcome) -> ActivityTaskEnd {
            ActivityTaskEnd(
                shard: task.shard,
                result: ActivityTaskResult(
                    runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                    outcome: outcome))
        }
        do {
            let state: ActivityTaskOutcome.State
            do {
                state = try await activityEnds.submit(end(outcome))
            } catch let error where (error is EngineError || error is PostgresError) && !hasLostLease {
                // The result itself was refused: too large, say. Trying again would not help it.
                guard !Task.isCancelled else { throw error }
                logger.error("The result of an activity was refused", metadata: ["error": "\(error)"])
                state = try await activityEnds.submit(
                    end(
                        .failed(.refusedResult("\(error)"))))
            }
            metrics.activityEnded(state.rawValue)
            if state == .retrying { upkeepDue.signal() }
            if state == .lost { logger.debug("The attempt was not this worker's any more") }
        } catch {
            logger.warning("The end of an activity could not be reported", metadata: ["error": "\(error)"])
        }
    }

    private func release(_ task: ClaimedActivityTask) async {
        // In a cancelled task too: what is not handed back here waits for the worker's sign-off.
        await Task { [engine, workerID] in
            try? await engine.releaseTasks(
                shard: task.shard, workerID: workerID,
                tasks: [HeldTask(.activity, runID: task.runID, scheduledEventID: task.scheduledEventID)])
        }.value
    }

    /// Lets running activities finish, for as long as a shutdown may take; then cancels them.
    func drainActivities() async {
        let deadline = ContinuousClock.now + options.gracefulShutdownTimeout
        while !activities.isEmpty, ContinuousClock.now < deadline, !Task.isCancelled, !hasLostLease {
            await work.sleep(atMost: deadline - .now)
        }
        for activity in activities.all {
            activity.cancel(.shutdown)
            abandonSoon(activity)
        }
    }

    func send(_ ends: [ActivityTaskEnd]) async -> [Result<ActivityTaskOutcome.State, any Error>] {
        await sendByShard(ends, shard: \.shard) { shard, ends in
            var states: [ActivityKey: ActivityTaskOutcome.State] = [:]
            for outcome in try await self.engine.finishActivityTasks(
                shard: shard, workerID: self.workerID, results: ends.map(\.result))
            {
                states[ActivityKey(runID: outcome.runID, scheduledEventID: outcome.scheduledEventID)] = outcome.state
            }
            let finished = FinishedTasks(activity: states.values.count { $0 != .lost })
            self.finishedTasks.withLock { $0 += finished }
            return ends.map {
                states[ActivityKey(runID: $0.result.runID, scheduledEventID: $0.result.scheduledEventID)] ?? .lost
            }
        }
    }
}

extension Error {
    /// Whether it says that the activity stopped because it was told to.
    var isCancellation: Bool {
        self is CancellationError || (self as? Failure)?.isCancellation == true
            || (self as? PostgresError)?.kind == .cancelled
    }

    fileprivate var canceledDetails: [Payload] {
        guard case .canceled(let details) = (self as? Failure)?.kind else { return [] }
        return details
    }
}
