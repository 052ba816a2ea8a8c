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
    private let received = ContinuousClock.now
    private struct State {
        var cancellation: ActivityCancellation?
        var work: Task<Void, Never>?
        var hasReturned = false
        /// What it heartbeat last.
        var details: [Payload]?
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
    /// What a heartbeat says that is sent while its end is reported.
    var details: [Payload] { state.withLock { $0.details } ?? task.heartbeatDetails }
    /// How long ago the activity was scheduled.
    var age: Duration { task.startedAt.duration(since: task.scheduledAt) + received.duration(to: .now) }
    /// How long its end is reported. The engine may give it up a little later than this machine's clock says.
    var reportedUntil: ContinuousClock.Instant? { deadline.map { max($0, .now) + .seconds(2) } }

    func note(_ details: [Payload]) { state.withLock { $0.details = details } }

    /// - Parameter advance: says whether it settles the ending: because the run goes on with the result at once, or the
    ///   engine has it already. Else the result is still to be reported.
    func run(
        _ operation: @escaping @Sendable () async throws -> ActivityReturn,
        advance: @escaping @Sendable (ActivityReturn) -> Bool
    ) {
        let work = Task {
            do {
                let result = try await operation()
                state.withLock { $0.hasReturned = true }
                if !advance(result) { ending.settle(.returned(.success(result.encoded))) }
            } catch {
                state.withLock { $0.hasReturned = true }
                ending.settle(.returned(.failure(error)))
            }
        }
        let isCancelled = state.withLock { state in
            state.work = work
            return state.cancellation != nil
        }
        if isCancelled { work.cancel() }
    }

    /// Gives it up because its time is over, unless its code has returned by now: that end is for the engine to judge.
    func timeOut() {
        let (work, isOver) = state.withLock { state in
            if state.hasReturned { return (nil as Task<Void, Never>?, false) }
            state.cancellation = state.cancellation ?? .timedOut
            return (state.work, true)
        }
        guard isOver else { return }
        work?.cancel()
        ending.settle(.abandoned)
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

/// What an activity returned: as it is, and as histories hold it.
struct ActivityReturn: Sendable {
    let value: [Payload]
    let encoded: [Payload]
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

    /// Sleeps until an attempt's time may be over. Most end long before: one look at all of them, now and then, is
    /// cheaper than a timer for each.
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
    /// - Throws: a failure that says so if a result is larger than the database takes.
    func check(_ result: [Payload]) throws {
        do throws(EngineError) { try Limits.check(result, "result of activity \(activityType)") } catch {
            throw Failure.refusedResult(error)
        }
    }

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

    init(shard: Int16, result: ActivityTaskResult) {
        self.shard = shard
        self.result = result
    }

    init(_ task: ClaimedActivityTask, _ outcome: ActivityTaskResult.Outcome) {
        shard = task.shard
        result = ActivityTaskResult(
            runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt, outcome: outcome)
    }
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
        let measured = metrics.activity(task)
        metrics.activityTasksReceived.increment()
        measured.scheduleToStart.record(task.startedAt.duration(since: task.currentAttemptScheduledAt))

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
        measured.executionLatency.record(start.duration(to: end))

        let outcome: ActivityTaskResult.Outcome
        switch (ending, activity.cancellation) {
        case (.recorded, _):
            measured.ended(.completed, age: activity.age)
            finishedTasks.withLock { $0 += FinishedTasks(activity: 1) }
            return []
        case (.returned(.failure(let error as NoTransaction)), _):
            metrics.activitiesReleased.increment()
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
            metrics.tasksLost.increment()
            return []
        case (.abandoned, _):
            task.logger(logger).warning("An activity did not stop when it was cancelled; it is left to itself")
            metrics.activitiesReleased.increment()
            return []
        case (.returned(.failure(is CompleteActivityOutsideError)), _):
            // Its end is told by whoever does the work.
            return []
        case (.advanced(let step), _):
            if let started = await stayingAlive(activity, { await complete(step, of: activity) }) { return started }
            outcome = .completed(step.fused.result)
        case (.returned(.success(let result)), _):
            outcome = .completed(result)
        case (.returned(.failure(let error)), .shutdown) where error.isCancellation:
            metrics.activitiesReleased.increment()
            await release(task)
            return []
        case (.returned(.failure(let error)), .requested) where error.isCancellation:
            outcome = .canceled(details: (try? await surroundings.converter.encoded(error.canceledDetails)) ?? [])
        // As Temporal's core says it.
        case (.returned(.failure(let error)), .paused) where error.isCancellation:
            await flushHeartbeat(of: activity)
            outcome = .failed(
                .application(
                    "Unhandled activity cancel error produced by activity pause", type: "ActivityPause"))
        case (.returned(.failure(let error)), .reset) where error.isCancellation:
            await flushHeartbeat(of: activity)
            outcome = .failed(
                .application(
                    "Unhandled activity cancel error produced by activity reset", type: "ActivityReset"))
        case (.returned(.failure(let error)), _):
            task.logger(logger).info("An attempt of an activity failed", metadata: ["error": .cut(error)])
            await flushHeartbeat(of: activity)
            outcome = .failed(await surroundings.converter.encoded(Failure(unexpected: error)))
        }
        await stayingAlive(activity) { await report(outcome, of: activity) }
        return []
    }

    private func attempt(_ decoded: ClaimedActivityTask, of activity: RunningActivity) -> ActivityAttempt {
        ActivityAttempt(
            task: decoded, namespace: options.namespace, taskQueue: options.taskQueue, baseLogger: logger,
            heartbeat: { [heartbeats] details in
                activity.note(details)
                heartbeats.record(activity, details)
            },
            cancellation: { activity.cancellation }, surroundings: surroundings, workerID: workerID)
    }

    private func run(_ activity: RunningActivity) {
        let task = activity.task
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
            let attempt = self.attempt(
                try await self.surroundings.converter.decoded(task), of: activity)
            if !task.heartbeatDetails.isEmpty { activity.note(attempt.task.heartbeatDetails) }
            guard !isTransactional else {
                let result = try await self.completeInTransaction(attempt, until: activity.reportedUntil) {
                    try await self.encoded(operation($0), of: task)
                }
                return ActivityReturn(value: result, encoded: result)
            }
            let result = try await operation(attempt)
            let encoded = try await self.encoded(result, of: task)
            try task.check(encoded)
            return ActivityReturn(value: result, encoded: encoded)
        } advance: { result in
            guard isTransactional else { return self.advance(with: result, of: activity) }
            activity.ending.settle(.recorded)
            return true
        }
    }

    /// A result as histories hold it. A success is not lost to a codec that does not work at the moment: it is asked
    /// again for as long as the attempt lasts.
    private func encoded(_ result: [Payload], of task: ClaimedActivityTask) async throws -> [Payload] {
        var retry = Backoff(from: .milliseconds(50), to: .seconds(5))
        while true {
            do {
                return try await surroundings.converter.encoded(result)
            } catch {
                task.logger(logger).warning(
                    "The codec did not encode the result of an activity; it is asked again",
                    metadata: ["error": .cut(error)])
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }

    /// Stops the code of attempts whose time is over; the engine has then given them up by itself.
    func timeOutActivities() async {
        while !Task.isCancelled {
            await activities.sleepUntilNextDeadline()
            for activity in activities.takeOverdue() {
                activity.timeOut()
            }
        }
    }

    private func abandonSoon(_ activity: RunningActivity) {
        Task {
            try? await Task.sleep(for: .seconds(1))
            activity.ending.settle(.abandoned)
        }
    }

    /// Tells the engine how an attempt ended, for as long as the attempt lasts.
    ///
    /// A success fails only if the database refuses this result. After any other error it is told again, and then left
    /// to the timeouts (docs/decisions/0020-errors-of-the-database.md).
    private func report(_ outcome: ActivityTaskResult.Outcome, of activity: RunningActivity) async {
        let task = activity.task
        var logger: Logger { task.logger(self.logger) }
        var end = ActivityTaskEnd(task, outcome)
        let limit = activity.reportedUntil
        var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
        var isReplaced = false
        while true {
            do {
                let state = try await activityEnds.submit(end, until: limit)
                if state == .refused {
                    // It is left as it is, and may be taken later; sent alone, it is told why not.
                    guard limit.map({ $0 > .now }) ?? true, !Task.isCancelled, !hasLostLease else {
                        return logger.error("The end of an activity could not be written; perdure doctor shows why")
                    }
                    try? await Task.sleep(for: retry.nextSpread())
                    continue
                }
                metrics.activity(task).ended(state, age: activity.age)
                if state == .lost { metrics.tasksLost.increment() }
                if state == .retrying { upkeepDue.signal() }
                if state == .lost { logger.debug("The attempt was not this worker's any more") }
                return
            } catch let error where error.refusesTheValue && !isOver(error) {
                if await isRefused(end.result, error) {
                    guard !isReplaced else {
                        return logger.warning("\(Self.notReported)", metadata: ["error": .cut(error)])
                    }
                    logger.error("What an activity ended with was refused", metadata: ["error": .cut(error)])
                    end = ActivityTaskEnd(task, Self.replacement(of: end.result.outcome, refusedBy: error))
                    isReplaced = true
                } else if let limit, limit <= .now {
                    return logger.warning("\(Self.notReported)", metadata: ["error": .cut(error)])
                } else {
                    try? await Task.sleep(for: retry.nextSpread())
                }
            } catch {
                if !hasLostLease, Task.isCancelled || error is BatcherEnded, await reportAtLast(end) { return }
                return logger.warning("\(Self.notReported)", metadata: ["error": .cut(error)])
            }
        }
    }

    private static let notReported = "The end of an activity could not be reported; it is left to its timeouts"

    /// What is reported in place of an end that the database cannot keep.
    private static func replacement(
        of outcome: ActivityTaskResult.Outcome, refusedBy error: any Error
    ) -> ActivityTaskResult.Outcome {
        switch outcome {
        case .completed: return .failed(.refusedResult("\(error)"))
        case .canceled: return .canceled(details: [])
        case .failed(let failure):
            let message = "the activity failed, and the database refused its failure: \(error)"
            guard case .application(_, let nonRetryable, _) = failure.kind else {
                return .failed(.application(message, type: "FailureRefused"))
            }
            // Whether it is tried again stays as the activity said.
            return .failed(.application(message, type: "FailureRefused", nonRetryable: nonRetryable))
        }
    }

    /// Whether it is the value that the database refuses, and not something that the value met on its way into the
    /// tables.
    func isRefused(_ end: ActivityTaskResult, _ error: any Error) async -> Bool {
        if error is EngineError { return error.refusesTheValue }
        do {
            try await engine.read(end)
            return false
        } catch {
            return error.refusesTheValue
        }
    }

    /// Reports once more, in a task that is not cancelled, what ended while the worker is stopped; not for long.
    private func reportAtLast(_ end: ActivityTaskEnd) async -> Bool {
        guard case .completed = end.result.outcome else { return false }
        return await briefly {
            _ = try await self.engine.finishActivityTasks(
                shard: end.shard, workerID: self.workerID, results: [end.result])
        } == nil
    }

    /// Does a last thing in a task that is not cancelled, for three seconds at most.
    ///
    /// - Returns: the error that stands in its way, if any.
    func briefly(_ operation: @escaping @Sendable () async throws -> Void) async -> (any Error)? {
        let end = Settlement<(any Error)?>()
        let limit = ContinuousClock.now + .seconds(3)
        let call = Task {
            var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
            while true {
                do {
                    try await operation()
                    return end.settle(nil)
                } catch {
                    guard error.mayPass || error.meetsAllAlike, ContinuousClock.now < limit, !Task.isCancelled else {
                        return end.settle(error)
                    }
                    try? await Task.sleep(for: retry.nextSpread())
                }
            }
        }
        let timer = EventLoop.shared.schedule(at: limit) { end.settle(CancellationError()) }
        let error = await end.value
        EventLoop.shared.cancel(timer)
        call.cancel()
        return error
    }

    /// Lets an attempt that has a heartbeat timeout heartbeat while its end is reported, if that takes long: it has not
    /// gone silent.
    private func stayingAlive<Value: Sendable>(
        _ activity: RunningActivity, _ operation: () async -> Value
    ) async -> Value {
        guard let timeout = activity.task.heartbeatTimeout else { return await operation() }
        let beats = Task { [heartbeats] in
            while (try? await Task.sleep(for: timeout / 3)) != nil { heartbeats.record(activity, activity.details) }
        }
        let value = await operation()
        beats.cancel()
        await beats.value
        return value
    }

    private func release(_ task: ClaimedActivityTask) async {
        // In a cancelled task too: what is not handed back here waits for the worker's sign-off.
        let error = await briefly {
            try await self.engine.releaseTasks(
                shard: task.shard, workerID: self.workerID,
                tasks: [HeldTask(.activity, runID: task.runID, scheduledEventID: task.scheduledEventID)])
        }
        if let error {
            task.logger(logger).warning(
                "An activity could not be handed back; it is left to its timeouts", metadata: ["error": .cut(error)])
        }
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
        // What has ended by then is reported, but not for ever.
        let end = ContinuousClock.now + .seconds(4)
        while !activities.isEmpty, ContinuousClock.now < end, !Task.isCancelled, !hasLostLease {
            await work.sleep(atMost: min(end - .now, .milliseconds(200)))
        }
        if !activities.isEmpty { reportsAreOver.signal() }
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
