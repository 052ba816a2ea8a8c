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

    /// What is sent together.
    var set: WorkflowTaskEndSet {
        switch self {
        case .completed(let shard, _): WorkflowTaskEndSet(shard: shard, isFailed: false)
        case .failed(let shard, _): WorkflowTaskEndSet(shard: shard, isFailed: true)
        }
    }

    var runID: UUID {
        switch self {
        case .completed(_, let completion): completion.runID
        case .failed(_, let failure): failure.runID
        }
    }
}

/// Ends of workflow tasks that one statement takes.
struct WorkflowTaskEndSet: Hashable, Sendable {
    let shard: Int16
    let isFailed: Bool
}

extension ClaimedWorkflowTask {
    /// How long it is this worker's, by this machine's clock: the engine gives it up then, by a timeout that stands in
    /// the history.
    fileprivate var timeLeft: Duration {
        let scheduled = history.lastPlace(of: .workflowTaskScheduled).map { history[$0].attributes }
        return scheduled?["startToCloseTimeout"]?.stringValue.flatMap { Duration(wire: $0) } ?? .seconds(10)
    }
}

extension [HistoryEvent] {
    /// Where the last event of a type stands. `last(where:)` would copy each event that it looks at.
    fileprivate func lastPlace(of type: EventType) -> Int? {
        var place = count
        while place > 0 {
            place -= 1
            if self[place].eventType == type { return place }
        }
        return nil
    }
}

extension WorkerSession {
    /// Brings a run up to date with its history and reports what its code decided.
    ///
    /// - Returns: the activities that are started with it, for which slots are taken.
    func process(_ task: ClaimedWorkflowTask) async -> [ClaimedActivityTask] {
        let start = ContinuousClock.now
        let timeLeft = task.timeLeft
        let limit = start + timeLeft
        let cached = await cache.acquire(task.runID)
        var kept: CachedRun?
        var started: [ClaimedActivityTask] = []
        var live: CachedRun?
        do {
            var (run, commands) = try await advance(task, cached: cached, until: limit)
            live = run
            // As in Temporal: what takes longer than four fifths of a task goes on in the next.
            let areOpen: Bool
            (commands, areOpen) = try await finishLocalActivities(
                of: run.run, task.runID, after: commands, until: start + timeLeft * 4 / 5)
            metrics.workflow(task.workflowType).taskLatency.record(start.duration(to: .now))
            var completion = WorkflowTaskCompletion(
                runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                commands: try await surroundings.converter.encoded(commands), sticky: keeps(commands),
                sdkMetadata: run.run.newMetadata)
            completion.hasRelatives = run.run.hasRelatives
            if areOpen {
                kept = try await completeAndGoOn(completion, shard: task.shard, run: run, until: limit)
            } else {
                let (next, activities, _) = try await complete(
                    completion, shard: task.shard, run: run, freed: 0, until: limit)
                kept = next
                started = activities
            }
        } catch let error where isOver(error) || error.isOfDatabase {
            // The engine was not told: the task is handed back, or taken back with the lease, or times out. It has not
            // failed: what the database was not able to do says nothing of the workflow.
            _ = noteError(error, "A workflow task was given up")
        } catch {
            await fail(task, WorkflowTaskError(error), until: limit, logger(of: task))
        }
        await putBack(task.runID, kept, live)
        return started
    }

    /// Completes a workflow task while local activities of its run go on, and asks for the next one in the same
    /// transaction.
    ///
    /// - Returns: the run, if it stays cached.
    private func completeAndGoOn(
        _ completion: WorkflowTaskCompletion, shard: Int16, run: CachedRun, until end: ContinuousClock.Instant
    ) async throws -> CachedRun? {
        var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
        while true {
            do {
                let state = try await engine.completeAndRequestWorkflowTask(
                    shard: shard, workerID: workerID, completion)
                tellNews(.all)
                guard state == .completed, completion.sticky else { return nil }
                var kept = run
                kept.nextEventID = nil
                kept.ownEvents = []
                return kept
            } catch let error where error.isOfDatabase && error.mayPass && .now < end && !isOver(error) {
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }

    func keeps(_ commands: [Command]) -> Bool {
        isWorking && options.maxCachedWorkflows > 0 && !commands.contains { $0.commandType.closesRun }
    }

    /// Gives a run back to the cache, or frees it.
    func putBack(_ runID: UUID, _ kept: CachedRun?, _ live: CachedRun?) async {
        if kept == nil, let live { await threads.evict(live.run) }
        for run in cache.release(runID, kept) {
            metrics.cacheEvictions.increment()
            await threads.evict(run.run)
        }
        metrics.cachedRuns.record(cache.count)
    }

    /// Tells the engine what a workflow decided.
    ///
    /// - Parameters:
    ///   - freed: the slots of activities that end with it.
    ///   - end: when to give it up, if the database can be reached and does not take it.
    /// - Returns: the run if it stays cached, and the activities that are started.
    func complete(
        _ completion: WorkflowTaskCompletion, shard: Int16, run: CachedRun, freed: Int,
        until end: ContinuousClock.Instant
    ) async throws -> (kept: CachedRun?, started: [ClaimedActivityTask], state: WorkflowTaskOutcome.State) {
        var completion = completion
        let eager = makeEager(&completion, freed: freed)
        let outcome: WorkflowTaskOutcome
        do {
            outcome = try await submit(.completed(shard: shard, completion), until: end)
        } catch {
            activitySlots.give(max(0, eager.count - freed))
            // An answer may have been lost before this error came.
            if error.isOfDatabase, !isOver(error) {
                await releaseUnknown(eager, of: completion, shard: shard, run: run)
            }
            throw error
        }
        let measured = metrics.workflow(run.workflowType)
        let granted = outcome.state == .completed ? min(eager.count, outcome.startedActivities.count) : 0
        activitySlots.give(max(0, eager.count - freed) - max(0, granted - freed))
        switch outcome.state {
        case .completed:
            measured.taskCompleted(
                completion.commands, age: run.run.startedAt.map { outcome.startedAt.duration(since: $0) })
        case .dropped: break
        case .lost, .stale, .refused:
            metrics.tasksLost.increment()
            logger.debug("A workflow task was not as this worker knew it", metadata: ["run_id": "\(completion.runID)"])
        case .failed:
            measured.taskFailed()
            logger.warning(
                "The engine refused the commands of a workflow task; it runs again",
                metadata: [
                    "run_id": "\(completion.runID)", "workflow_type": "\(run.workflowType)",
                    "failure": "\(outcome.failure.map { "\($0)" } ?? "")",
                ])
        }
        if outcome.state == .dropped {
            guard completion.sticky else { return (nil, [], .dropped) }
            var kept = run
            kept.forgotTask(
                nextEventID: outcome.nextEventID ?? 0, historySize: outcome.historySize, at: outcome.startedAt)
            return (kept, [], .dropped)
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
        requestTask(ofBroken: completion.runID, shard: shard)
        guard completion.sticky else { return (nil, started, .completed) }
        var kept = run
        kept.completed(
            completion, nextEventID: outcome.nextEventID ?? 0, historySize: outcome.historySize, at: outcome.startedAt)
        return (kept, started, .completed)
    }

    /// A step whose answer was lost, and that was told again, may have started activities of which nobody knows here.
    private func releaseUnknown(
        _ eager: [Int], of completion: WorkflowTaskCompletion, shard: Int16, run: CachedRun
    ) async {
        let unknown = eager.map { run.lastEventID + 2 + Int64($0) }
            .filter { activities[ActivityKey(runID: completion.runID, scheduledEventID: $0)] == nil }
        guard !unknown.isEmpty else { return }
        let error = await briefly {
            try await self.engine.releaseTasks(
                shard: shard, workerID: self.workerID,
                tasks: unknown.map { HeldTask(.activity, runID: completion.runID, scheduledEventID: $0) })
        }
        if let error {
            logger.warning(
                "Activities that may have been started could not be handed back", metadata: ["error": .cut(error)])
        }
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

    private func submit(
        _ end: WorkflowTaskEnd, until limit: ContinuousClock.Instant
    ) async throws -> WorkflowTaskOutcome {
        try await batcher(of: end.runID).submit(end, until: limit)
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

    private func fail(
        _ task: ClaimedWorkflowTask, _ error: WorkflowTaskError, until limit: ContinuousClock.Instant, _ logger: Logger
    ) async {
        logger.error(
            "A workflow task failed; it is tried again until fixed code comes",
            metadata: ["cause": "\(error.cause)", "failure": .cut(error.failure)])
        metrics.workflow(task.workflowType).taskFailed(error.cause)
        brokenRuns.withLock { $0[task.runID]?.isUntold = false }
        let converter = surroundings.converter
        let failure = await converter.encoded(converter.failure(error.failure))
        func end(_ failure: Failure) -> WorkflowTaskEnd {
            .failed(
                shard: task.shard,
                WorkflowTaskFailure(
                    runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                    cause: error.cause, failure: failure))
        }
        do {
            do {
                _ = try await submit(end(failure), until: limit)
            } catch let refusal where refusal.refusesTheValue && !isOver(refusal) {
                let message = "the workflow task failed, and the database refused its failure: \(refusal)"
                _ = try await submit(end(.application(message, type: "FailureRefused")), until: limit)
            }
        } catch {
            logger.warning("The failure of a workflow task could not be reported", metadata: ["error": .cut(error)])
        }
    }

    /// Runs the workflow's code from where it stood, or from its beginning.
    ///
    /// A cached run that cannot go on is evicted; so is one whose code fails.
    private func advance(
        _ task: ClaimedWorkflowTask, cached: CachedRun?, until limit: ContinuousClock.Instant
    ) async throws -> (run: CachedRun, commands: [Command]) {
        // One stuck run costs one thread, however often its task is tried again.
        guard activeRuns.withLock({ $0.insert(task.runID).inserted }) else {
            throw WorkflowTaskError.stuck(for: options.deadlockTimeout)
        }
        var isRunning = false
        var live: (any LiveRun)?
        defer { if !isRunning { activeRuns.withLock { _ = $0.remove(task.runID) } } }
        if let broken = brokenRuns.withLock({ $0[task.runID] }), broken.isCertain {
            if let cached { await threads.evict(cached.run) }
            throw broken.error
        }
        var run: CachedRun
        if let cached, cached.lastEventID < task.startedEventID {
            metrics.cacheHits.increment()
            run = cached
        } else {
            if let cached { await threads.evict(cached.run) }
            metrics.cacheMisses.increment()
            run = try makeRun(
                workflowType: task.workflowType, workflowID: task.workflowID, runID: task.runID, shard: task.shard)
        }
        do {
            // Of its own commands the run knows what came.
            let events =
                if let next = run.nextEventID {
                    run.ownEvents + (try await decodedHistory(of: task, from: next, until: limit))
                } else {
                    try await decodedHistory(of: task, from: run.lastEventID + 1, until: limit)
                }
            let updates = try await surroundings.converter.decoded(task.updates)
            if let scheduled = events.lastPlace(of: .workflowTaskScheduled) {
                metrics.workflow(task.workflowType).taskScheduleToStart.record(
                    task.startedAt.duration(since: events[scheduled].eventTime))
            }
            let active = run.run
            (live, isRunning) = (active, true)
            let commands = try await threads.run { [activeRuns] in
                defer { activeRuns.withLock { _ = $0.remove(task.runID) } }
                return try active.activate(events, updates: updates)
            } late: {
                active.evict()
            }
            if let replay = active.replayTime { metrics.workflow(task.workflowType).taskReplayLatency.record(replay) }
            run.lastEventID = task.startedEventID
            return (run, commands)
        } catch let error as DeadlineExceeded {
            // Its code still runs, so it is evicted only when that comes back; what it does from here on goes nowhere.
            live?.interrupt()
            throw WorkflowTaskError.stuck(for: error.limit)
        } catch {
            await threads.evict(run.run)
            throw error
        }
    }

    func makeRun(workflowType: String, workflowID: String, runID: UUID, shard: Int16) throws -> CachedRun {
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
        let locals = LocalActivityRuns { [weak self, logger] request, state in
            guard let self else {
                return LocalActivityEnd(
                    number: request.number, attempt: request.attempt,
                    result: .failure(Failure(message: "Cancelled", kind: .canceled(details: []))))
            }
            return await self.runLocally(
                request, state, workflowID: workflowID, workflowType: workflowType, runID: runID, logger: logger)
        }
        var info = LiveRunInfo(
            namespace: options.namespace, taskQueue: options.taskQueue, workflowID: workflowID, runID: runID,
            workflowType: workflowType, logger: logger, surroundings: surroundings,
            onMisuse: { [weak self] error, isIdle in
                self?.noteMisuse(error, isIdle: isIdle, runID: runID, shard: shard)
            },
            runElsewhere: { [threads] work in threads.runSoon(work) })
        info.locals = locals
        return CachedRun(run: try make(info), workflowID: workflowID, workflowType: workflowType)
    }

    /// A run's code broke a rule. Between two tasks nothing may come that would tell people: the engine is asked for a
    /// task, which fails. Code that does it again whenever it runs is not run any more, in this session.
    private func noteMisuse(_ error: NonDeterminismError, isIdle: Bool, runID: UUID, shard: Int16) {
        brokenRuns.withLock { runs in
            // Enough for what people can look at; a run that is forgotten is found again.
            if runs.count >= 10_000 { runs = [:] }
            let failure = WorkflowTaskError(
                cause: "NonDeterministicError",
                failure: .application("\(error)", type: "NonDeterminismError", nonRetryable: false))
            runs[runID, default: BrokenRun(error: failure)].times += isIdle ? 1 : 2
            if isIdle { runs[runID]?.isUntold = true }
        }
        if isIdle { taskRequests.continuation.yield((shard, runID)) }
    }

    /// A run whose code broke a rule after its last activation, but before the engine knew how that ended, had a task
    /// when another one was asked for.
    private func requestTask(ofBroken runID: UUID, shard: Int16) {
        let isUntold = brokenRuns.withLock { runs in
            guard runs[runID]?.isUntold == true else { return false }
            runs[runID]?.isUntold = false
            return true
        }
        if isUntold { taskRequests.continuation.yield((shard, runID)) }
    }

    /// Asks for the workflow tasks that tell of misuse, as long as the session lasts.
    func requestTasks() async {
        for await (shard, runID) in taskRequests.stream {
            do {
                try await retrying("A workflow task could not be asked for") {
                    try await self.engine.requestWorkflowTask(shard: shard, workerID: self.workerID, runID: runID)
                }
            } catch {
                // The session ends: whoever runs the code next finds out.
                guard !Task.isCancelled, !hasLostLease else { return }
                logger.warning("A workflow task could not be asked for", metadata: ["error": .cut(error)])
            }
        }
    }

    private func decodedHistory(
        of task: ClaimedWorkflowTask, from first: Int64, until limit: ContinuousClock.Instant
    ) async throws -> [HistoryEvent] {
        try await surroundings.converter.decoded(history(of: task, from: first, until: limit))
    }

    /// The events from one on to the task's start: what came with the task, and from the database what did not.
    private func history(
        of task: ClaimedWorkflowTask, from first: Int64, until limit: ContinuousClock.Instant
    ) async throws -> [HistoryEvent] {
        // As it comes for a run that is cached: all that is asked for, and nothing else.
        if task.history.first?.eventId == first, task.history.last?.eventId == task.startedEventID,
            Int64(task.history.count) == task.startedEventID - first + 1
        {
            return task.history
        }
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
            let page = try await page(of: task, from: next, until: limit).prefix {
                $0.eventId < known.first?.eventId ?? .max
            }
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

    private func page(
        of task: ClaimedWorkflowTask, from eventID: Int64, until limit: ContinuousClock.Instant
    ) async throws -> [HistoryEvent] {
        try await historyPage(shard: task.shard, runID: task.runID, from: eventID, until: limit)
    }

    /// Events of a run from one on, as many as fit into a page; empty when there is no more.
    ///
    /// - Throws: ``WorkflowTaskError`` for an event that cannot be read.
    func historyPage(
        shard: Int16, runID: UUID, from eventID: Int64, until limit: ContinuousClock.Instant
    ) async throws -> [HistoryEvent] {
        do {
            return try await histories.submit(
                ShardedHistoryRequest(shard: shard, request: HistoryRequest(runID: runID, from: eventID)), until: limit
            ).get()
        } catch let error as UnreadableHistory {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application(error.description, type: "UnreadableHistory"))
        }
    }

    /// Fails what was claimed and cannot be read: the others that were claimed with it go on.
    func fail(_ task: UnreadableTask) async {
        logger.error(
            "A claimed task cannot be read; it fails",
            metadata: ["id": "\(task.id)", "attempt": "\(task.attempt)", "problem": "\(task.problem)"])
        let limit = ContinuousClock.now + .seconds(10)
        do {
            switch task.kind {
            case .workflow:
                metrics.workflow("").taskFailed()
                _ = try await submit(
                    .failed(
                        shard: task.shard,
                        WorkflowTaskFailure(
                            runID: task.id, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                            cause: "WorkflowWorkerUnhandledFailure",
                            failure: .application(task.problem, type: "UnreadableHistory"))), until: limit)
            case .activity:
                let failure = Failure.application(task.problem, type: "UnreadableInput", nonRetryable: true)
                let state = try await activityEnds.submit(
                    ActivityTaskEnd(
                        shard: task.shard,
                        result: ActivityTaskResult(
                            runID: task.id, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                            outcome: .failed(failure))), until: limit)
                metrics.activity("", of: "").ended(state, age: .zero)
            case .query:
                try await queryAnswers.submit(
                    ShardedQueryAnswer(
                        shard: task.shard,
                        answer: QueryAnswer(
                            queryID: task.id,
                            answer: .failure(.application(task.problem, type: "UnreadableInput")))), until: limit)
            }
        } catch {
            logger.warning("That a task cannot be read could not be reported", metadata: ["error": .cut(error)])
        }
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
