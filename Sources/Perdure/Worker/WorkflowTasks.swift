import Foundation
import Logging
import PerdureEngine
import Postgres

/// A run that is live in this process.
struct CachedRun: Sendable {
    let run: any LiveRun
    let workflowID: String
    let workflowType: String
    /// The last event that it was fed, which is the start of its last workflow task.
    var lastEventID: Int64
    /// The last event that holds nothing new to it: what came of its own commands.
    var upToDateThrough: Int64 = 0
    /// The id of the run's next event, if ``ownEvents`` is all that the run was not fed yet.
    var nextEventID: Int64?
    /// What the last workflow task's completion and commands became.
    var ownEvents: [HistoryEvent] = []
    /// The database's time, as this machine's clock goes on from the last answer.
    var clock = ServerClock(at: Timestamp(microseconds: 0))

    init(run: any LiveRun, workflowID: String, workflowType: String) {
        self.run = run
        self.workflowID = workflowID
        self.workflowType = workflowType
        lastEventID = 0
    }

    /// Remembers what the engine made of a workflow task, so that the next step needs no history from it.
    mutating func completed(_ completion: WorkflowTaskCompletion, nextEventID next: Int64, at time: Timestamp) {
        upToDateThrough = next - 1
        clock = ServerClock(at: time)
        ownEvents = [
            HistoryEvent(eventId: lastEventID + 1, eventTime: time, eventType: .workflowTaskCompleted)
        ]
        for command in completion.commands {
            // Events that hold more than their commands are read from the history.
            let type: EventType
            switch command.commandType {
            case .scheduleActivityTask: type = .activityTaskScheduled
            case .startTimer: type = .timerStarted
            default:
                nextEventID = nil
                return
            }
            ownEvents.append(
                HistoryEvent(
                    eventId: lastEventID + 1 + Int64(ownEvents.count), eventTime: time, eventType: type,
                    attributes: command.attributes))
        }
        nextEventID = ownEvents.last?.eventId == next - 1 ? next : nil
    }
}

/// The database's clock, by its last answer and the time that has passed here since: never ahead of it.
struct ServerClock: Sendable {
    private let time: Timestamp
    private let instant = ContinuousClock.now

    init(at time: Timestamp) { self.time = time }

    var now: Timestamp { time.advanced(by: instant.duration(to: .now)) }
}

extension FusedActivity {
    /// What the run is told: the history that the engine will write.
    var events: [HistoryEvent] {
        let activity: JSON = ["scheduledEventId": .number(scheduledEventID)]
        return [
            HistoryEvent(
                eventId: nextEventID, eventTime: startedAt, eventType: .activityTaskStarted, attributes: activity),
            HistoryEvent(
                eventId: nextEventID + 1, eventTime: startedAt, eventType: .activityTaskCompleted,
                attributes: ["scheduledEventId": .number(scheduledEventID), "result": result.json]),
            HistoryEvent(eventId: nextEventID + 2, eventTime: startedAt, eventType: .workflowTaskScheduled),
            HistoryEvent(eventId: nextEventID + 3, eventTime: startedAt, eventType: .workflowTaskStarted),
        ]
    }
}

/// A step that a run made with the result of an activity, and of which the engine is still to be told.
struct FusedStep: Sendable {
    let fused: FusedActivity
    /// As it was before.
    let run: CachedRun
    /// When the activity ended and the run went on.
    let start: ContinuousClock.Instant
    let commands: Result<[Command], any Error>

    /// Whether the run's code did not come back.
    var isStuck: Bool {
        guard case .failure(let error) = commands else { return false }
        return error is DeadlineExceeded
    }
}

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

    /// The fused step: an activity's result, the workflow task that it makes and the commands of that go to the engine
    /// together. This is its beginning: where the activity's code ended, its run goes on, on a thread for workflow code; and
    /// what comes of that settles the activity's ending there.
    ///
    /// - Returns: whether the run goes on; else the result is to be reported alone.
    func advance(with result: [Payload], of activity: RunningActivity) -> Bool {
        let task = activity.task
        guard options.fusesSteps, isWorking, activity.cancellation == nil,
            let run = cache.acquireIfCached(task.runID)
        else { return false }
        guard let nextEventID = run.nextEventID, activeRuns.withLock({ $0.insert(task.runID).inserted }) else {
            for run in cache.release(task.runID, run) { threads.evictSoon(run.run) }
            return false
        }
        let start = ContinuousClock.now
        let fused = FusedActivity(
            nextEventID: nextEventID, startedAt: max(run.clock.now, task.startedAt),
            scheduledEventID: task.scheduledEventID, attempt: task.attempt, result: result)
        let events = run.ownEvents + fused.events
        let live = run.run
        threads.run { [activeRuns] in
            defer { activeRuns.withLock { _ = $0.remove(task.runID) } }
            return try live.activate(events)
        } then: { [cache] commands in
            let step = FusedStep(fused: fused, run: run, start: start, commands: commands)
            guard !activity.ending.settle(.advanced(step)) else { return }
            // The activity was given up meanwhile: nobody will hear of the step.
            _ = cache.release(task.runID, nil)
            if !step.isStuck { live.evict() }
        } late: {
            live.evict()
        }
        return true
    }

    /// Tells the engine of a fused step.
    ///
    /// - Returns: nil when it could not be done and the result is still to be reported; else the activities that are
    ///   started with it, one of them in the slot of the activity that has ended.
    func complete(_ step: FusedStep, of activity: ClaimedActivityTask) async -> [ClaimedActivityTask]? {
        do {
            let commands = try step.commands.get()
            var run = step.run
            run.lastEventID = step.fused.nextEventID + 3
            metrics.cacheHits.increment()
            metrics.workflowTaskLatency.record(step.start.duration(to: .now))
            let completion = WorkflowTaskCompletion(
                runID: activity.runID, fused: step.fused, commands: commands, sticky: keeps(commands))
            let (kept, started, state) = try await complete(completion, shard: activity.shard, run: run, freed: 1)
            await putBack(activity.runID, kept, run)
            if state == .stale { return nil }
            metrics.activityEnded(ActivityTaskOutcome.State.completed.rawValue)
            return started
        } catch {
            // The engine was told nothing: the result goes to it alone, and the workflow task fails as its own.
            await forget(step, of: activity)
            if isOver(error) { _ = noteError(error, "A workflow task was given up") }
            return nil
        }
    }

    /// Gives up a run that is ahead of its history.
    func forget(_ step: FusedStep, of activity: ClaimedActivityTask) async {
        if step.isStuck {
            // Its code still runs; it is evicted when that comes back.
            _ = cache.release(activity.runID, nil)
        } else {
            await putBack(activity.runID, nil, step.run)
        }
    }

    private func keeps(_ commands: [Command]) -> Bool {
        isWorking && options.maxCachedWorkflows > 0 && !commands.contains { $0.commandType.closesRun }
    }

    /// Gives a run back to the cache, or frees it.
    private func putBack(_ runID: UUID, _ kept: CachedRun?, _ live: CachedRun?) async {
        if kept == nil, let live { await threads.evict(live.run) }
        for run in cache.release(runID, kept) { await threads.evict(run.run) }
        metrics.cachedRuns.record(cache.count)
    }

    /// Tells the engine what a workflow decided.
    ///
    /// - Parameter freed: the slots of activities that end with it.
    /// - Returns: the run if it stays cached, and the activities that are started.
    private func complete(
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
        try await workflowTaskEnds[abs(end.runID.hashValue % workflowTaskEnds.count)].submit(end)
    }

    /// Whether an error is this session's end rather than the workflow's.
    private func isOver(_ error: any Error) -> Bool {
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

    private func makeRun(workflowType: String, workflowID: String, runID: UUID) throws -> CachedRun {
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

/// A part of a history and the shard of its run.
struct ShardedHistoryRequest: Sendable {
    let shard: Int16
    let request: HistoryRequest
}

// MARK: - Queries

/// An answer and the shard of its run.
struct ShardedQueryAnswer: Sendable {
    let shard: Int16
    let answer: QueryAnswer
}

extension WorkerSession {
    /// Answers a query from the cache when the run there has seen enough, else by replaying its history.
    func answer(_ query: ClaimedQuery) async {
        var cached = await cache.acquire(query.runID)
        let answer: Result<[Payload], Failure>
        do {
            if let run = cached, run.upToDateThrough >= query.lastEventID {
                do {
                    answer = .success(try await ask(run, query))
                } catch let error as DeadlineExceeded {
                    // Its code still runs; it is evicted when that comes back.
                    cached = nil
                    throw error
                }
            } else {
                let replayed = try await replay(query)
                do {
                    answer = .success(try await ask(replayed, query))
                    await threads.evict(replayed.run)
                } catch {
                    if !(error is DeadlineExceeded) { await threads.evict(replayed.run) }
                    throw error
                }
            }
        } catch let error as DeadlineExceeded {
            answer = .failure(WorkflowTaskError.stuck(for: error.limit).failure)
        } catch let error as WorkflowTaskError {
            answer = .failure(error.failure)
        } catch {
            answer = .failure(Failure(unexpected: error))
        }
        for run in cache.release(query.runID, cached) { await threads.evict(run.run) }
        if Task.isCancelled || hasLostLease { return }
        do {
            try await queryAnswers.submit(
                ShardedQueryAnswer(shard: query.shard, answer: QueryAnswer(queryID: query.queryID, answer: answer)))
        } catch {
            logger.debug("A query's answer could not be sent", metadata: ["error": "\(error)"])
        }
    }

    private func ask(_ run: CachedRun, _ query: ClaimedQuery) async throws -> [Payload] {
        try await threads.run {
            try run.run.query(query.queryType, input: query.input)
        } late: {
            run.run.evict()
        }
    }

    /// A run as it stood after its last workflow task.
    private func replay(_ query: ClaimedQuery) async throws -> CachedRun {
        var events: [HistoryEvent] = []
        while true {
            let from = (events.last?.eventId ?? 0) + 1
            let page = try await retrying("A history could not be read") {
                try await self.engine.history(shard: query.shard, runID: query.runID, from: from)
            }
            guard !page.isEmpty else { break }
            events += page
        }
        // What no workflow task has handled yet, the run has not seen.
        guard let last = events.lastIndex(where: { $0.eventType == .workflowTaskCompleted }) else {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application("the run has not completed a workflow task yet", type: "QueryRejected"))
        }
        // With the completion, so that all of it counts as replayed.
        let seen = Array(events[...last])
        var run = try makeRun(workflowType: query.workflowType, workflowID: query.workflowID, runID: query.runID)
        let live = run.run
        do {
            _ = try await threads.run {
                try live.activate(seen)
            } late: {
                live.evict()
            }
        } catch {
            if !(error is DeadlineExceeded) { await threads.evict(live) }
            throw error
        }
        run.lastEventID = seen.last?.eventId ?? 0
        return run
    }
}

// MARK: - Sending

extension WorkerSession {
    func send(_ ends: [WorkflowTaskEnd]) async -> [Result<WorkflowTaskOutcome, any Error>] {
        await sendByShard(ends, shard: \.shard) { shard, ends in
            var completions: [WorkflowTaskCompletion] = []
            var failures: [WorkflowTaskFailure] = []
            for end in ends {
                switch end {
                case .completed(_, let completion): completions.append(completion)
                case .failed(_, let failure): failures.append(failure)
                }
            }
            var outcomes: [UUID: WorkflowTaskOutcome] = [:]
            if !completions.isEmpty {
                for outcome in try await self.engine.completeWorkflowTasks(
                    shard: shard, workerID: self.workerID, completions: completions)
                {
                    outcomes[outcome.runID] = outcome
                }
            }
            if !failures.isEmpty {
                for outcome in try await self.engine.failWorkflowTasks(
                    shard: shard, workerID: self.workerID, failures: failures)
                {
                    outcomes[outcome.runID] = outcome
                }
            }
            var finished = FinishedTasks()
            for end in ends {
                guard let state = outcomes[end.runID]?.state, state == .completed || state == .failed else { continue }
                finished.workflow += 1
                if case .completed(_, let completion) = end, completion.fused != nil { finished.activity += 1 }
            }
            self.finishedTasks.withLock { $0 += finished }
            return ends.map {
                outcomes[$0.runID] ?? WorkflowTaskOutcome(runID: $0.runID, state: .lost)
            }
        }
    }

    func send(_ answers: [ShardedQueryAnswer]) async -> [Result<Void, any Error>] {
        await sendByShard(answers, shard: \.shard) { shard, answers in
            try await self.engine.answerQueries(
                shard: shard, workerID: self.workerID, answers: answers.map(\.answer))
            return answers.map { _ in }
        }
    }

    /// Reads histories. Many are read at once when a crowd of runs wakes that are not cached any more.
    func send(_ requests: [ShardedHistoryRequest]) async -> [Result<[HistoryEvent], any Error>] {
        await sendByShard(requests, shard: \.shard, "Histories could not be read") { shard, requests in
            try await self.engine.histories(shard: shard, of: requests.map(\.request))
        }
    }

    /// Sends a set. While the database is away it tries again until the lease is lost; when the engine refuses the set,
    /// one member at a time, so that a bad one does not hold up the others.
    func sendByShard<Request: Sendable, Response: Sendable>(
        _ requests: [Request], shard: (Request) -> Int16,
        _ problem: Logger.Message = "The end of tasks could not be reported",
        _ call: (Int16, [Request]) async throws -> [Response]
    ) async -> [Result<Response, any Error>] {
        var answers: [Result<Response, any Error>?] = Array(repeating: nil, count: requests.count)
        for (shard, places) in Dictionary(grouping: requests.indices, by: { shard(requests[$0]) }) {
            await send(requests, places[...], &answers, problem) { try await call(shard, $0) }
        }
        return answers.map { $0 ?? .failure(CancellationError()) }
    }

    private func send<Request: Sendable, Response: Sendable>(
        _ requests: [Request], _ places: ArraySlice<Int>, _ answers: inout [Result<Response, any Error>?],
        _ problem: Logger.Message, _ call: ([Request]) async throws -> [Response]
    ) async {
        do {
            let responses = try await retrying(problem) {
                try await call(places.map { requests[$0] })
            }
            for (place, response) in zip(places, responses) { answers[place] = .success(response) }
        } catch {
            guard places.count > 1, !hasLostLease, !Task.isCancelled else {
                for place in places { answers[place] = .failure(error) }
                return
            }
            logger.notice(
                "A set was refused; its members are sent one at a time",
                metadata: ["members": "\(places.count)", "error": "\(error)"])
            for place in places { await send(requests, [place], &answers, problem, call) }
        }
    }

    /// Repeats what a lost connection or a conflict stopped, for as long as the lease holds.
    func retrying<Value>(
        _ problem: Logger.Message, _ operation: () async throws -> Value
    ) async throws -> Value {
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        while true {
            do {
                return try await operation()
            } catch let error as PostgresError where error.isRetryable && !hasLostLease {
                guard noteError(error, problem) else { throw error }
                try await Task.sleep(for: retry.nextSpread())
            } catch let error as EngineError where error.code == .leaseLost {
                loseLease()
                throw error
            }
        }
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
