import Foundation
import Logging
import PerdureEngine
import Postgres

/// What the worker tells the engine at the end of a workflow task.
enum WorkflowTaskEnd: Sendable {
    case completed(shard: Int16, WorkflowTaskCompletion)
    case failed(shard: Int16, WorkflowTaskFailure)

    var shard: Int16 {
        switch self {
        case .completed(let shard, _), .failed(let shard, _): shard
        }
    }

    var runID: UUID {
        switch self {
        case .completed(_, let completion): completion.runID
        case .failed(_, let failure): failure.runID
        }
    }
}

extension WorkerSession {
    /// Brings a run up to date with its history and reports what its code decided.
    ///
    /// - Returns: the activities that are started with it, for which slots are taken.
    func process(_ task: ClaimedWorkflowTask) async -> [ClaimedActivityTask] {
        let start = ContinuousClock.now
        let cached = await cache.acquire(task.runID)
        var kept: CachedRun?
        var started: [ClaimedActivityTask] = []
        var live: CachedRun?
        do {
            let (run, commands) = try await advance(task, cached: cached)
            live = run
            metrics.workflowTaskLatency.record(start.duration(to: .now))
            let completion = WorkflowTaskCompletion(
                runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt, commands: commands,
                sticky: keeps(commands))
            let (next, activities, _) = try await complete(completion, shard: task.shard, run: run, freed: 0)
            kept = next
            started = activities
        } catch let error where isOver(error) {
            // The engine was not told: the task is handed back, or taken back with the lease.
            _ = noteError(error, "A workflow task was given up")
        } catch {
            await fail(task, WorkflowTaskError(error), logger(of: task))
        }
        await putBack(task.runID, kept, live)
        return started
    }

    func keeps(_ commands: [Command]) -> Bool {
        isWorking && options.maxCachedWorkflows > 0 && !commands.contains { $0.commandType.closesRun }
    }

    /// Gives a run back to the cache, or frees it.
    func putBack(_ runID: UUID, _ kept: CachedRun?, _ live: CachedRun?) async {
        if kept == nil, let live { await threads.evict(live.run) }
        for run in cache.release(runID, kept) { await threads.evict(run.run) }
        metrics.cachedRuns.record(cache.count)
    }

    /// Tells the engine what a workflow decided.
    ///
    /// - Parameter freed: the slots of activities that end with it.
    /// - Returns: the run if it stays cached, and the activities that are started.
    func complete(
        _ completion: WorkflowTaskCompletion, shard: Int16, run: CachedRun, freed: Int
    ) async throws -> (kept: CachedRun?, started: [ClaimedActivityTask], state: WorkflowTaskOutcome.State) {
        var completion = completion
        let eager = makeEager(&completion, freed: freed)
        let outcome: WorkflowTaskOutcome
        do {
            outcome = try await submit(.completed(shard: shard, completion))
        } catch {
            activitySlots.give(max(0, eager.count - freed))
            throw error
        }
        metrics.workflowTaskEnded(outcome.state.rawValue)
        let granted = outcome.state == .completed ? min(eager.count, outcome.startedActivities.count) : 0
        activitySlots.give(max(0, eager.count - freed) - max(0, granted - freed))
        switch outcome.state {
        case .completed: break
        case .lost, .stale:
            logger.debug("A workflow task was not as this worker knew it", metadata: ["run_id": "\(completion.runID)"])
        case .failed:
            logger.warning(
                "The engine refused the commands of a workflow task; it runs again",
                metadata: [
                    "run_id": "\(completion.runID)", "workflow_type": "\(run.workflowType)",
                    "failure": "\(outcome.failure.map { "\($0)" } ?? "")",
                ])
        }
        guard outcome.state == .completed else {
            if outcome.state != .failed { await releaseUnknown(eager, of: completion, shard: shard, run: run) }
            return (nil, [], outcome.state)
        }
        if completion.commands.contains(where: { $0.commandType == .startTimer }) { upkeepDue.signal() }
        let started = try zip(eager, outcome.startedActivities).map { place, eventID in
            try ClaimedActivityTask(
                eager: completion.commands[place], shard: shard, runID: completion.runID, scheduledEventID: eventID,
                workflowID: run.workflowID, workflowType: run.workflowType, startedAt: outcome.startedAt)
        }
        guard completion.sticky else { return (nil, started, .completed) }
        var kept = run
        kept.completed(completion, nextEventID: outcome.nextEventID ?? 0, at: outcome.startedAt)
        return (kept, started, .completed)
    }

    /// A step whose answer was lost, and that was told again, may have started activities of which nobody knows here.
    private func releaseUnknown(
        _ eager: [Int], of completion: WorkflowTaskCompletion, shard: Int16, run: CachedRun
    ) async {
        let unknown = eager.map { run.lastEventID + 2 + Int64($0) }
            .filter { activities[ActivityKey(runID: completion.runID, scheduledEventID: $0)] == nil }
        guard !unknown.isEmpty else { return }
        try? await engine.releaseTasks(
            shard: shard, workerID: workerID,
            tasks: unknown.map { HeldTask(.activity, runID: completion.runID, scheduledEventID: $0) })
    }

    /// Marks the activities that this worker runs itself, as many as it has slots for.
    ///
    /// - Returns: the places of their commands.
    private func makeEager(_ completion: inout WorkflowTaskCompletion, freed: Int) -> [Int] {
        guard options.fusesSteps, completion.sticky else { return [] }
        var places = completion.commands.indices.filter { place in
            let command = completion.commands[place]
            guard command.commandType == .scheduleActivityTask,
                let type = command.attributes["activityType"]?["name"]?.stringValue
            else { return false }
            let queue = command.attributes["taskQueue"]?["name"]?.stringValue
            return code.activities[type] != nil && (queue == nil || queue == options.taskQueue)
        }
        guard !places.isEmpty else { return [] }
        let slots = freed + activitySlots.takeFree(atMost: places.count - min(freed, places.count))
        places = Array(places.prefix(slots))
        for place in places { completion.commands[place].attributes["requestEagerExecution"] = true }
        return places
    }

    private func submit(_ end: WorkflowTaskEnd) async throws -> WorkflowTaskOutcome {
        try await batcher(of: end.runID).submit(end)
    }

    /// What sends the end of a run's workflow task.
    func batcher(of runID: UUID) -> Batcher<WorkflowTaskEnd, WorkflowTaskOutcome> {
        let isAlone = busyWorkers.load(ordering: .relaxed) == 0
        return workflowTaskEnds[isAlone ? abs(runID.hashValue % workflowTaskEnds.count) : 0]
    }

    /// Whether an error is this session's end rather than the workflow's.
    func isOver(_ error: any Error) -> Bool {
        Task.isCancelled || hasLostLease || error is CancellationError
            || error is BatcherEnded
    }

    private func fail(_ task: ClaimedWorkflowTask, _ error: WorkflowTaskError, _ logger: Logger) async {
        logger.error(
            "A workflow task failed; it is tried again until fixed code comes",
            metadata: ["cause": "\(error.cause)", "failure": "\(error.failure)"])
        metrics.workflowTaskEnded("failed")
        do {
            _ = try await submit(
                .failed(
                    shard: task.shard,
                    WorkflowTaskFailure(
                        runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                        cause: error.cause, failure: error.failure)))
        } catch {
            logger.warning("The failure of a workflow task could not be reported", metadata: ["error": "\(error)"])
        }
    }

    /// Runs the workflow's code from where it stood, or from its beginning.
    ///
    /// A cached run that cannot go on is evicted; so is one whose code fails.
    private func advance(
        _ task: ClaimedWorkflowTask, cached: CachedRun?
    ) async throws -> (run: CachedRun, commands: [Command]) {
        // One stuck run costs one thread, however often its task is tried again.
        guard activeRuns.withLock({ $0.insert(task.runID).inserted }) else {
            throw WorkflowTaskError.stuck(for: options.deadlockTimeout)
        }
        var isRunning = false
        defer { if !isRunning { activeRuns.withLock { _ = $0.remove(task.runID) } } }
        var run: CachedRun
        if let cached, cached.lastEventID < task.startedEventID {
            metrics.cacheHits.increment()
            run = cached
        } else {
            if let cached { await threads.evict(cached.run) }
            metrics.cacheMisses.increment()
            run = try makeRun(workflowType: task.workflowType, workflowID: task.workflowID, runID: task.runID)
        }
        do {
            // Of its own commands the run knows what came.
            let events =
                if let next = run.nextEventID {
                    run.ownEvents + (try await history(of: task, from: next))
                } else {
                    try await history(of: task, from: run.lastEventID + 1)
                }
            if let scheduled = events.last(where: { $0.eventType == .workflowTaskScheduled }) {
                metrics.workflowTaskScheduleToStart.record(task.startedAt.duration(since: scheduled.eventTime))
            }
            let live = run.run
            isRunning = true
            let commands = try await threads.run { [activeRuns] in
                defer { activeRuns.withLock { _ = $0.remove(task.runID) } }
                return try live.activate(events)
            } late: {
                live.evict()
            }
            run.lastEventID = task.startedEventID
            return (run, commands)
        } catch let error as DeadlineExceeded {
            // Its code still runs, so it is evicted only when that comes back; what it does from here on goes nowhere.
            throw WorkflowTaskError.stuck(for: error.limit)
        } catch {
            await threads.evict(run.run)
            throw error
        }
    }

    func makeRun(workflowType: String, workflowID: String, runID: UUID) throws -> CachedRun {
        guard let make = code.workflows[workflowType] else {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application(
                    "this worker has no workflow of type \(workflowType); it has: "
                        + code.workflowTypes.joined(separator: ", "),
                    type: "NotFoundError"))
        }
        var logger = self.logger
        logger[metadataKey: "workflow_id"] = "\(workflowID)"
        logger[metadataKey: "run_id"] = "\(runID)"
        logger[metadataKey: "workflow_type"] = "\(workflowType)"
        let info = LiveRunInfo(
            namespace: options.namespace, taskQueue: options.taskQueue, workflowID: workflowID, runID: runID,
            workflowType: workflowType, logger: logger)
        return CachedRun(run: try make(info), workflowID: workflowID, workflowType: workflowType)
    }

    /// The events from one on to the task's start: what came with the task, and from the database what did not.
    private func history(of task: ClaimedWorkflowTask, from first: Int64) async throws -> [HistoryEvent] {
        var events: [HistoryEvent] = []
        var next = first
        var known = task.history[...].drop { $0.eventId < next }
        while next <= task.startedEventID {
            if let event = known.first, event.eventId == next {
                events.append(event)
                known = known.dropFirst()
                next += 1
                continue
            }
            let page = try await page(of: task, from: next).prefix { $0.eventId < known.first?.eventId ?? .max }
            guard page.first?.eventId == next, let last = page.last else {
                throw WorkflowTaskError(
                    cause: "WorkflowWorkerUnhandledFailure",
                    failure: .application("event \(next) is missing from the history", type: "HistoryGap"))
            }
            events += page
            next = last.eventId + 1
        }
        return events
    }

    private func page(of task: ClaimedWorkflowTask, from eventID: Int64) async throws -> [HistoryEvent] {
        try await histories.submit(
            ShardedHistoryRequest(shard: task.shard, request: HistoryRequest(runID: task.runID, from: eventID)))
    }

    private func logger(of task: ClaimedWorkflowTask) -> Logger {
        var logger = logger
        logger[metadataKey: "workflow_id"] = "\(task.workflowID)"
        logger[metadataKey: "run_id"] = "\(task.runID)"
        logger[metadataKey: "workflow_type"] = "\(task.workflowType)"
        logger[metadataKey: "attempt"] = "\(task.attempt)"
        return logger
    }
}

extension CommandType {
    var closesRun: Bool {
        switch self {
        case .completeWorkflowExecution, .failWorkflowExecution, .cancelWorkflowExecution,
            .continueAsNewWorkflowExecution:
            true
        default: false
        }
    }
}
