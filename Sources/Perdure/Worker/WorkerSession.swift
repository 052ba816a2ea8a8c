import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// One registration of a worker: from its lease's start until the worker stops or loses the lease. All that it holds,
/// cached runs and running activities, ends with it.
final class WorkerSession: Sendable {
    enum End: Sendable { case stopped, leaseLost }

    private enum Phase: Sendable, Comparable { case working, draining, stopped, leaseLost }

    let workerID = UUID()
    let engine: Engine
    let options: WorkerOptions
    let code: WorkerCode
    let surroundings: Surroundings
    let shards: [Int16]
    let logger: Logger
    let metrics: WorkerMetrics
    /// Where workflow code runs; they outlive the session.
    let threads: WorkflowThreads
    /// Where transactional activities run; it outlives the session.
    let transactions: PostgresPool
    /// Runs whose code runs at this moment, those included that were given up and do not come back.
    let activeRuns = Shared<Set<UUID>>([])
    let brokenRuns = Mutex<[UUID: BrokenRun]>([:])
    /// Runs for which the engine is still to be asked for a workflow task.
    let taskRequests = AsyncStream<(shard: Int16, runID: UUID)>.makeStream()

    let workflowSlots: Slots
    let activitySlots: Slots
    let localActivitySlots: WaitingSlots
    /// Those of them that were taken for activities from the queue.
    let fromQueue = Slots(limit: .max)
    /// Activities whose code runs.
    let runningCode = Slots(limit: .max)
    let cache: RunCache<CachedRun>
    let activities = RunningActivities()
    /// Two, so that one batch is made and run while the other commits. Beside other workers, whose batches fill that
    /// time, the first alone: then batches are fewer and larger (docs/decisions/0012-one-batch-beside-others.md).
    let workflowTaskEnds = [
        Batcher<WorkflowTaskEnd, WorkflowTaskOutcome>(limit: 500),
        Batcher<WorkflowTaskEnd, WorkflowTaskOutcome>(limit: 500),
    ]
    let activityEnds = Batcher<ActivityTaskEnd, ActivityTaskOutcome.State>(limit: 200)
    let queryAnswers = Batcher<ShardedQueryAnswer, Void>(limit: 200)
    let histories = Batcher<ShardedHistoryRequest, Result<[HistoryEvent], UnreadableHistory>>(limit: 100)
    let heartbeats: Heartbeats
    /// Lets what runs decide about others take effect once it is committed.
    let transfers: TransferDrain

    /// Signaled when there may be something to claim.
    let work = Wakeup()
    /// Of which kinds that is.
    let news = Mutex<WorkKinds>([])
    /// Signaled when what was not reported by now is left to the timeouts.
    let reportsAreOver = Wakeup()
    /// Whether a claim succeeded, so that the database is one for this worker.
    let hasClaimed = Atomic(false)
    /// Signaled when something may be due sooner than was foreseen.
    let upkeepDue = Wakeup()
    private let renewal = Wakeup()
    private let phase = Mutex(Phase.working)
    /// Why this worker can never work here.
    private let refusal = Mutex<EngineError?>(nil)
    /// Whether producers were told to notify, and whether the listener hears them.
    let isWaiting = Mutex(false)
    let isListening = Mutex(false)
    /// Whether work may wait for a slot.
    let isStarved = Mutex(false)
    /// Other workers that are busy with workflows, when last heard of.
    let busyWorkers = Atomic(0)
    /// Not reported yet.
    let finishedTasks = Mutex(FinishedTasks())

    init(
        engine: Engine, options: WorkerOptions, code: WorkerCode, shards: [Int16], logger: Logger,
        metrics: WorkerMetrics, threads: WorkflowThreads, transactions: PostgresPool
    ) {
        self.engine = engine
        self.options = options
        self.code = code
        surroundings = Surroundings(converter: options.dataConverter, interceptors: options.interceptors)
        self.shards = shards
        var logger = logger
        logger[metadataKey: "worker_id"] = "\(workerID)"
        self.logger = logger
        self.metrics = metrics
        self.threads = threads
        self.transactions = transactions
        workflowSlots = Slots(limit: options.maxConcurrentWorkflowTasks)
        activitySlots = Slots(limit: options.maxConcurrentActivities)
        localActivitySlots = WaitingSlots(limit: options.maxConcurrentLocalActivities)
        cache = RunCache(limit: options.maxCachedWorkflows)
        heartbeats = Heartbeats()
        transfers = TransferDrain(engine: engine, logger: logger)
        transfers.onDrained { [weak self] in self?.tellNews(.all) }
    }

    var isWorking: Bool { phase.withLock { $0 == .working } && !Task.isCancelled }
    var hasLostLease: Bool { phase.withLock { $0 == .leaseLost } }

    /// Claims no more; what runs may end.
    func drain() { enter(.draining) }

    /// Claims no more, because it cannot: when what runs has ended, so does the session, with this error.
    func refuse(_ error: EngineError) {
        refusal.withLock { $0 = error }
        drain()
    }

    /// The engine does not know this worker any more: nothing that it holds can be written.
    func loseLease() {
        guard enter(.leaseLost) else { return }
        logger.warning("The worker lost its lease; it drops what it held and registers again")
        metrics.leasesLost.increment()
        activities.abandonAll(.leaseLost)
    }

    @discardableResult
    private func enter(_ next: Phase) -> Bool {
        let entered = phase.withLock { phase in
            guard next > phase else { return false }
            phase = next
            return true
        }
        tellNews(.all)
        upkeepDue.signal()
        renewal.signal()
        return entered
    }

    /// Works until ``drain()``, a lost lease or cancellation.
    ///
    /// - Throws: ``EngineError`` when the engine refuses this worker for good.
    func run() async throws -> End {
        try await register()
        options.onRegistered()
        let sourcesAreKept = await registerSources()
        metrics.workerStarted()
        logger.info("The worker has registered", metadata: ["build_id": "\(options.buildID)"])
        await workUntilDrained(sourcesAreKept: sourcesAreKept)
        for run in cache.removeAll() { await threads.evict(run.run) }
        if hasLostLease { return .leaseLost }
        await stop()
        if let refusal = refusal.withLock({ $0 }) { throw refusal }
        return .stopped
    }

    /// Makes the session known to the engine.
    func register() async throws {
        let busy = try await engine.registerWorker(
            workerID: workerID, namespace: options.namespace, identity: options.identity, buildID: options.buildID,
            taskQueues: [options.taskQueue], lease: options.lease,
            details: [
                "workflowTypes": .array(code.workflowTypes.map(JSON.string)),
                "activityTypes": .array(code.activityTypes.map(JSON.string)),
                "slots": [
                    "workflow": .number(options.maxConcurrentWorkflowTasks),
                    "activity": .number(options.maxConcurrentActivities),
                ],
            ])
        busyWorkers.store(busy, ordering: .relaxed)
    }

    /// Keeps the code for people to read. The work does not wait for that.
    ///
    /// - Returns: whether nothing is left to do.
    private func registerSources() async -> Bool {
        guard options.registersSourceCode else { return true }
        do {
            if !code.sources.isEmpty {
                try await engine.registerSources(workerID: workerID, sources: .array(code.sources))
            }
            // A call takes 16 MiB, as JSON.
            for files in SourceCode.files(options.sourceFiles, batchBytes: 4 << 20) {
                let sources = files.map { $0.json(kind: "file", type: $0.file) }
                try await engine.registerSources(workerID: workerID, sources: .array(sources))
            }
            return true
        } catch {
            return !noteError(error, "The code for people to read could not be kept") || error.refusesTheValue
        }
    }

    private func workUntilDrained(sourcesAreKept: Bool) async {
        await withTaskGroup(of: Void.self) { group in
            // Where statements are sent and answered, so that one follows the other without a change of threads.
            func add(_ operation: @escaping @Sendable () async -> Void) {
                group.addTask(executorPreference: EventLoop.shared) { await operation() }
            }
            add { await self.sendBatches() }
            add { await self.renewLease() }
            add { await self.sendHeartbeats() }
            add { await self.timeOutActivities() }
            add { await self.requestTasks() }
            add { await self.keepUp() }
            add { await self.deleteExpired() }
            if options.usesNotifications { add { await self.listen() } }
            if !sourcesAreKept {
                add {
                    while (try? await Task.sleep(for: .seconds(5))) != nil {
                        if await self.registerSources() { return }
                    }
                }
            }
            // Ends when nothing is claimed any more and all that was has ended.
            await claimAndProcess()
            group.cancelAll()
        }
    }

    /// Hands back what is left. Runs to its end even in a cancelled task, but not for long.
    private func stop() async {
        if let error = await briefly({ try await self.engine.stopWorker(workerID: self.workerID) }) {
            logger.warning("The worker could not sign off; its lease will run out", metadata: ["error": "\(error)"])
        } else {
            logger.info("The worker has stopped")
        }
    }

    private func renewLease() async {
        var retry = Backoff(from: .milliseconds(50), to: options.lease / 6)
        // Soon, for workers that were started together learn of each other with it.
        var wait = min(options.lease / 3, .seconds(1))
        while !Task.isCancelled, !hasLostLease {
            await renewal.sleep(atMost: wait)
            guard !Task.isCancelled, !hasLostLease else { return }
            let finished = finishedTasks.withLock { $0 }
            do {
                let busy = try await engine.renewLease(
                    workerID: workerID, waiting: isWaiting.withLock { $0 }, report: report(finished))
                busyWorkers.store(busy, ordering: .relaxed)
                finishedTasks.withLock { $0 -= finished }
                retry.reset()
                wait = options.lease / 3
            } catch {
                guard noteError(error, "The lease could not be renewed") else { return }
                wait = retry.nextSpread()
            }
        }
    }

    /// What people see of the worker, told with its lease.
    private func report(_ finished: FinishedTasks) -> JSON {
        let counts = [("workflow", finished.workflow), ("activity", finished.activity)].filter { $0.1 > 0 }
        return [
            "finished": .array(
                counts.map { kind, count in
                    ["taskQueue": .string(options.taskQueue), "kind": .string(kind), "count": .number(count)]
                }),
            "slotsInUse": ["workflow": .number(workflowSlots.inUse), "activity": .number(activitySlots.inUse)],
        ]
    }

    /// Logs an error of the database, and learns from it that the lease was lost.
    ///
    /// - Returns: whether to try again.
    func noteError(_ error: any Error, _ message: Logger.Message) -> Bool {
        if let error = error as? EngineError, error.code == .leaseLost {
            loseLease()
            return false
        }
        if Task.isCancelled || error is CancellationError { return false }
        if let error = error as? PostgresError, error.kind == .cancelled { return false }
        metrics.databaseErrors.increment()
        logger.warning(message, metadata: ["error": "\(error)"])
        return true
    }
}

/// A run whose code breaks a rule.
struct BrokenRun: Sendable {
    let error: WorkflowTaskError
    /// How often it was seen. What was seen once may have come of a query, of which the run knows nothing when it comes
    /// from its history.
    var times = 0
    /// Whether no workflow task has failed for it yet.
    var isUntold = false
    /// Whether the code will do it again.
    var isCertain: Bool { times > 1 }
}

/// How many tasks ended, well or not.
struct FinishedTasks: Sendable {
    var workflow = 0
    var activity = 0

    static func += (total: inout FinishedTasks, more: FinishedTasks) {
        total.workflow += more.workflow
        total.activity += more.activity
    }

    static func -= (total: inout FinishedTasks, less: FinishedTasks) {
        total.workflow -= less.workflow
        total.activity -= less.activity
    }
}

extension Error {
    /// Whether it says that the database did not do what it was asked, for another reason than what it was given.
    var isOfDatabase: Bool {
        if refusesTheValue { return false }
        if let error = self as? PostgresError { return error.kind != .decoding }
        return self is EngineError
    }
}
