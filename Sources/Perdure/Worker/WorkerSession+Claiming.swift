import Foundation
import PerdureEngine
import Postgres

/// Kinds of work that a worker claims.
struct WorkKinds: OptionSet {
    let rawValue: Int

    static let workflowTasks = WorkKinds(rawValue: 1)
    static let activityTasks = WorkKinds(rawValue: 2)
    static let queries = WorkKinds(rawValue: 4)
    static let all: WorkKinds = [.workflowTasks, .activityTasks, .queries]

    init(rawValue: Int) { self.rawValue = rawValue }

    /// What a notification tells of: all kinds, if it does not say.
    init(notified payload: String) {
        self =
            switch payload {
            case "workflow": .workflowTasks
            case "activity": .activityTasks
            case "query": .queries
            default: .all
            }
    }
}

extension WorkerSession {
    /// Claims work for free slots and processes it, until told to stop; then waits for what runs.
    func claimAndProcess() async {
        let (crowds, crowd) = AsyncStream<ClaimedWork>.makeStream()
        await withDiscardingTaskGroup { group in
            group.addTask(executorPreference: EventLoop.shared) {
                await self.claimAndProcess(handingOver: crowd)
                crowd.finish()
            }
            for await claimed in crowds { start(claimed, in: &group) }
        }
    }

    /// Few tasks are done soonest without a change of threads; a crowd needs all processors.
    static func isCrowd(_ count: Int) -> Bool { count > 8 }

    private func start(_ claimed: ClaimedWork, in group: inout DiscardingTaskGroup) {
        for task in claimed.workflowTasks {
            group.addTask {
                let started = await self.process(task)
                self.workflowSlots.give()
                self.slotCameFree()
                await self.processAll(started)
            }
        }
        for task in claimed.activityTasks {
            group.addTask {
                await self.processAll([task])
                self.fromQueue.give()
            }
        }
        for query in claimed.queries {
            group.addTask { await self.answer(query) }
        }
        for task in claimed.unreadable {
            group.addTask { await self.fail(task) }
        }
    }

    private func claimAndProcess(handingOver crowd: AsyncStream<ClaimedWork>.Continuation) async {
        await withDiscardingTaskGroup { group in
            var poll = Backoff(from: options.minimumPollInterval, to: options.maximumPollInterval)
            var failure = Backoff(from: .milliseconds(50), to: .seconds(2))
            var busySince: ContinuousClock.Instant?
            var lookbacks = ClaimLookbacks()
            var kinds = WorkKinds.all
            while isWorking {
                do {
                    let (found, mayBeMore) = try await claim(kinds, &lookbacks) { claimed in
                        if Self.isCrowd(claimed.workflowTasks.count + claimed.activityTasks.count) {
                            crowd.yield(claimed)
                        } else {
                            start(claimed, in: &group)
                        }
                    }
                    failure.reset()
                    hasClaimed.store(true, ordering: .relaxed)
                    metrics.workflowSlots.record(workflowSlots)
                    metrics.activitySlots.record(activitySlots)
                    kinds = .all
                    if found {
                        poll.reset()
                        // Notifications cost producers something, and to stop them costs a commit here: a single task
                        // is not worth it, a stream of them is.
                        let since = busySince ?? .now
                        busySince = since
                        if since + .milliseconds(50) < .now { try await tellProducers(waiting: false) }
                        // Whoever finds work finds more; but with few slots free it is better found together.
                        if workflowSlots.free == 0 || activitySlots.free <= options.maxConcurrentActivities / 8 {
                            try await Task.sleep(for: options.minimumPollInterval)
                        } else if !mayBeMore, isWaiting.withLock({ $0 }) {
                            // What comes after all that there was is notified.
                            let slept = ContinuousClock.now
                            if await work.sleep(atMost: Self.pauseWhenNotified) { kinds = takeNews() }
                            if slept.duration(to: .now) > .milliseconds(2) { busySince = nil }
                        }
                        continue
                    }
                    if !code.workflowTypes.isEmpty { metrics.workflowPollsEmpty.increment() }
                    if !code.activityTypes.isEmpty { metrics.activityPollsEmpty.increment() }
                    busySince = nil
                    // After that, look once more: what came before producers knew made no notification.
                    if poll.current >= .milliseconds(4), try await tellProducers(waiting: true) { continue }
                    isStarved.withLock {
                        $0 = activitySlots.free == 0 || !code.workflowTypes.isEmpty && freeWorkflowSlots == 0
                    }
                    // Who is notified need not look as often as who is not.
                    let pause = isWaiting.withLock({ $0 }) ? max(poll.next(), Self.pauseWhenNotified) : poll.next()
                    if await work.sleep(atMost: pause) {
                        poll.reset()
                        kinds = takeNews()
                    }
                } catch let error as EngineError
                    where error.code == .incompatibleDatabase && !hasClaimed.load(ordering: .relaxed)
                {
                    refuse(error)
                } catch {
                    guard noteError(error, "Claiming failed; the worker tries again") else { break }
                    await work.sleep(atMost: failure.nextSpread())
                }
            }
            if !hasLostLease { group.addTask { await self.drainActivities() } }
        }
    }

    private static let pauseWhenNotified = Duration.milliseconds(100)

    private struct ClaimLookbacks {
        var workflowTasks: [Int16: Lookback] = [:]
        var activityTasks: [Int16: Lookback] = [:]
    }

    /// Claims as much as there are slots for, workflow tasks first: what follows from them does not wait for the rest.
    ///
    /// - Parameters:
    ///   - kinds: what to look for.
    ///   - lookbacks: how far back to look.
    ///   - begin: gets what was claimed, as soon as it is.
    /// - Returns: whether there was any, and whether there may be more.
    private func claim(
        _ kinds: WorkKinds, _ lookbacks: inout ClaimLookbacks, _ begin: (ClaimedWork) -> Void
    ) async throws -> (found: Bool, mayBeMore: Bool) {
        var found = false
        var mayBeMore = false
        func note(_ count: Int, of wanted: Int) {
            if count > 0 { found = true }
            if wanted > 0, count >= wanted { mayBeMore = true }
        }
        // Another shard first each time, so that none starves.
        for shard in shards.count > 1 ? shards.shuffled() : shards {
            let workflowTasks = kinds.contains(.workflowTasks) ? freeWorkflowSlots : 0
            if workflowTasks > 0 {
                let since = lookbacks.workflowTasks[shard, default: Lookback()].since()
                let start = ContinuousClock.now
                let work = try await engine.claim(
                    shard: shard, workerID: workerID, taskQueue: options.taskQueue, workflowTasks: workflowTasks,
                    activityTasks: 0, queries: 0, workflowTasksSince: since)
                lookbacks.workflowTasks[shard, default: Lookback()].passed(
                    since: since, askedAt: work.workflowTasksAskedAt,
                    leftNothing: work.workflowTaskCount < workflowTasks, took: .now - start)
                workflowSlots.take(work.workflowTasks.count)
                if work.workflowTaskCount > 0 { metrics.workflowPollsSucceeded.increment(by: work.workflowTaskCount) }
                note(work.workflowTaskCount, of: workflowTasks)
                if !work.isEmpty { begin(work) }
            }
            let activityTasks = kinds.contains(.activityTasks) ? freeActivitySlots : 0
            let queries = code.workflowTypes.isEmpty || !kinds.contains(.queries) ? 0 : 16
            guard activityTasks + queries > 0 else { continue }
            let since = lookbacks.activityTasks[shard, default: Lookback()].since()
            let start = ContinuousClock.now
            let work = try await engine.claim(
                shard: shard, workerID: workerID, taskQueue: options.taskQueue, workflowTasks: 0,
                activityTasks: activityTasks, queries: queries, activityTasksSince: since)
            if activityTasks > 0 {
                lookbacks.activityTasks[shard, default: Lookback()].passed(
                    since: since, askedAt: work.activityTasksAskedAt,
                    leftNothing: work.activityTaskCount < activityTasks, took: .now - start)
            }
            activitySlots.take(work.activityTasks.count)
            fromQueue.take(work.activityTasks.count)
            note(work.activityTaskCount, of: activityTasks)
            note(work.queryCount, of: queries)
            if !work.isEmpty { begin(work) }
        }
        return (found, mayBeMore)
    }

    /// A workflow task is best done when there is a slot for the activity that it will schedule, as those in progress
    /// will: else that goes through the queue. But activities whose code takes long must not keep workflows from going
    /// on.
    private var freeWorkflowSlots: Int {
        guard !code.workflowTypes.isEmpty else { return 0 }
        guard options.fusesSteps, !code.activityTypes.isEmpty else { return workflowSlots.free }
        let taken = activitySlots.inUse + workflowSlots.inUse
        let free = options.maxConcurrentActivities - taken - slotsForQueue
        if free <= 0, runningCode.inUse * 8 >= taken * 7 { return workflowSlots.free }
        return max(0, min(workflowSlots.free, free))
    }

    /// What workflow tasks in progress will start needs no claim, but a slot; and some slots are for the queue in any
    /// case, for others' activities and for retries.
    private var freeActivitySlots: Int {
        guard !code.activityTypes.isEmpty else { return 0 }
        let free = activitySlots.free
        guard options.fusesSteps, !code.workflowTypes.isEmpty else { return free }
        return max(free - workflowSlots.inUse, min(free, slotsForQueue - fromQueue.inUse), 0)
    }

    private var slotsForQueue: Int { max(1, options.maxConcurrentActivities / 8) }

    /// Whoever waits for a slot to claim work, or for the last activity to end, goes on.
    func slotCameFree() {
        if isStarved.withLock({ $0 }) || !isWorking { tellNews(.all) }
    }

    /// Whoever sleeps until there is work looks for these kinds of it.
    func tellNews(_ kinds: WorkKinds) {
        news.withLock { $0.formUnion(kinds) }
        work.signal()
    }

    /// What there may be since the last look.
    private func takeNews() -> WorkKinds {
        news.withLock { news in
            defer { news = [] }
            return news.isEmpty ? .all : news
        }
    }

    /// - Returns: whether the engine was told something new.
    @discardableResult
    private func tellProducers(waiting: Bool) async throws -> Bool {
        let waiting = waiting && isListening.withLock { $0 }
        guard isWaiting.withLock({ $0 }) != waiting else { return false }
        try await engine.setWaiting(workerID: workerID, waiting: waiting)
        isWaiting.withLock { $0 = waiting }
        return true
    }

    /// Listens for notifications of work, as long as the session lasts. Without it the worker polls all the same.
    func listen() async {
        var retry = Backoff(from: .milliseconds(100), to: .seconds(10))
        while !Task.isCancelled {
            do {
                let channel = try await engine.wakeChannel(
                    namespace: options.namespace, taskQueue: options.taskQueue)
                let connection = try await PostgresConnection.connect(engine.pool.configuration, logger: logger)
                do {
                    let notifications = try await connection.listen(channel)
                    isListening.withLock { $0 = true }
                    retry.reset()
                    for try await notification in notifications { tellNews(WorkKinds(notified: notification.payload)) }
                } catch {
                    isListening.withLock { $0 = false }
                    await connection.close()
                    throw error
                }
                isListening.withLock { $0 = false }
                await connection.close()
            } catch {
                logger.debug("Not listening for work; polling goes on", metadata: ["error": "\(error)"])
            }
            guard !Task.isCancelled else { return }
            try? await Task.sleep(for: retry.nextSpread())
        }
    }

    /// Deletes what is kept no longer, a little at a time and apart from what is due: nothing waits for it.
    func deleteExpired() async {
        var retry = Backoff(from: .seconds(1), to: .seconds(30))
        var wait = Duration.seconds(1)
        while !Task.isCancelled, !hasLostLease {
            try? await Task.sleep(for: wait)
            guard !Task.isCancelled, !hasLostLease else { return }
            wait = .seconds(10)
            do {
                for shard in shards {
                    let start = ContinuousClock.now
                    // Half of the time, while there is more.
                    if try await engine.deleteExpired(shard: shard) {
                        wait = min(wait, max(start.duration(to: .now), .milliseconds(20)))
                    }
                }
                retry.reset()
            } catch {
                guard noteError(error, "What is kept no longer could not be deleted; the worker tries again")
                else { return }
                wait = retry.nextSpread()
            }
        }
    }

    /// Does a slice of what is due in the database, and sleeps until something is due again.
    func keepUp() async {
        // Much at once, so that a crowd of timers costs few calls; each run is locked for as long as one call takes.
        let limit = 1000
        var lookbacks: [Int16: Lookback] = [:]
        var retry = Backoff(from: .milliseconds(100), to: .seconds(5))
        while !Task.isCancelled, !hasLostLease {
            var wait = Duration.seconds(1)
            var isFull = false
            do {
                for shard in shards {
                    let since = lookbacks[shard, default: Lookback()].since()
                    let begin = ContinuousClock.now
                    let report = try await engine.upkeep(shard: shard, limit: limit, since: since)
                    lookbacks[shard, default: Lookback()].passed(
                        since: since, askedAt: report.askedAt, leftNothing: report.nextDue != .zero,
                        took: .now - begin)
                    if report.actions > 0 { tellNews(.all) }
                    isFull = isFull || report.actions >= limit
                    if report.lostWorkers > 0 {
                        logger.info(
                            "Took back the work of lost workers", metadata: ["workers": "\(report.lostWorkers)"])
                    }
                    if let due = report.nextDue { wait = min(wait, due) }
                    try await transfers.pass(over: shard)
                }
                retry.reset()
            } catch {
                guard noteError(error, "Upkeep failed; the worker tries again") else { return }
                wait = retry.nextSpread()
            }
            if isFull { continue }
            await upkeepDue.sleep(atMost: max(wait, .milliseconds(1)))
            // Whatever comes due meanwhile is done together.
            try? await Task.sleep(for: .milliseconds(4))
        }
    }
}
