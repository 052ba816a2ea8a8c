import Foundation
import Logging
import PerdureEngine
import Postgres

/// A run of a workflow that is live in this process. The worker calls it from one thread at a time.
protocol LiveRun: Sendable {
    /// Feeds new events, in order, the last a `WorkflowTaskStarted`, and runs the workflow's code until it waits.
    ///
    /// - Returns: the commands that history does not hold yet.
    func activate(_ events: [HistoryEvent]) throws -> [Command]

    /// The same of a task that delivers updates.
    func activate(_ events: [HistoryEvent], updates: [UpdateRequest]) throws -> [Command]

    /// What the completion of the last activation says of the SDK, if history does not say it yet. Asked between two
    /// calls.
    var newMetadata: JSON? { get }

    /// Answers a query from where the run stands; changes nothing.
    func query(_ name: String, headers: [String: Payload], input: [Payload]) throws -> [Payload]

    /// When the run was started, once it has begun. Asked between two calls.
    var startedAt: Timestamp? { get }

    /// How long the last activation took to repeat what the run had done before; nil if it repeated nothing.
    var replayTime: Duration? { get }

    /// Whether the run has a parent, or has started children.
    var hasRelatives: Bool { get }

    /// The local activities of it that run in this process.
    var locals: LocalActivityRuns? { get }

    /// Whether the run's code waits for a local activity. Asked between two calls, as the next two.
    var awaitsLocalActivities: Bool { get }

    /// Whether the run's code has ever executed a local activity.
    var usesLocalActivities: Bool { get }

    /// The local activities that are to be started, or canceled; each is told once.
    func takeLocalActivities() -> LocalActivityWork

    /// Takes the end of a local activity, and runs the workflow's code until it waits.
    ///
    /// - Returns: the commands of the workflow task that is under way, those from before included.
    func endLocalActivity(_ end: LocalActivityEnd) throws -> [Command]

    /// Ends a call that is under way as soon as the run's code waits for something. From any thread; the run can then
    /// only be evicted.
    func interrupt()

    /// Frees everything that the run holds. Not called while another call is under way.
    func evict()
}

extension LiveRun {
    var hasRelatives: Bool { false }
    var startedAt: Timestamp? { nil }
    var replayTime: Duration? { nil }
    var locals: LocalActivityRuns? { nil }
    var awaitsLocalActivities: Bool { false }
    var usesLocalActivities: Bool { false }

    func takeLocalActivities() -> LocalActivityWork { LocalActivityWork() }
    func endLocalActivity(_ end: LocalActivityEnd) throws -> [Command] { [] }

    func activate(_ events: [HistoryEvent], updates: [UpdateRequest]) throws -> [Command] { try activate(events) }
}

/// What a live run is told when it is made.
struct LiveRunInfo: Sendable {
    let namespace: String
    let taskQueue: String
    let workflowID: String
    let runID: UUID
    let workflowType: String
    let logger: Logger
    /// How its values are converted, and who intercepts what.
    var surroundings = Surroundings.none
    /// Told when the run's code breaks a rule, if it does so while no call is under way, for which the next activation
    /// fails, or if it will do so whenever it runs; and whether no call is under way.
    var onMisuse: @Sendable (NonDeterminismError, _ isIdle: Bool) -> Void = { _, _ in }
    /// What runs its local activities; nil where nothing does, as in a replay.
    var locals: LocalActivityRuns?
    /// Where code runs that comes back after the run's eviction.
    var runElsewhere: @Sendable (@escaping @Sendable () -> Void) -> Void = { work in Task.detached { work() } }
}

/// An attempt of an activity, as its code sees it. A class, because many closures hold it, and it is large.
final class ActivityAttempt: Sendable {
    let task: ClaimedActivityTask
    let namespace: String
    let taskQueue: String
    let baseLogger: Logger
    /// Keeps the attempt alive and leaves details for the next one. Cheap: heartbeats are sent together, now and then.
    let heartbeat: @Sendable ([Payload]) -> Void
    /// Why the attempt's task was cancelled; nil while it was not.
    let cancellation: @Sendable () -> ActivityCancellation?
    let surroundings: Surroundings
    /// Whether it runs as a part of its workflow's task.
    let isLocal: Bool
    /// The worker that has it.
    let workerID: UUID
    /// Where it works, if its completion belongs to a transaction of its own.
    let transaction: PostgresConnection?

    init(
        task: ClaimedActivityTask, namespace: String, taskQueue: String, baseLogger: Logger,
        heartbeat: @escaping @Sendable ([Payload]) -> Void,
        cancellation: @escaping @Sendable () -> ActivityCancellation?, surroundings: Surroundings,
        isLocal: Bool = false, workerID: UUID = UUID(), transaction: PostgresConnection? = nil
    ) {
        self.task = task
        self.namespace = namespace
        self.taskQueue = taskQueue
        self.baseLogger = baseLogger
        self.heartbeat = heartbeat
        self.cancellation = cancellation
        self.surroundings = surroundings
        self.isLocal = isLocal
        self.workerID = workerID
        self.transaction = transaction
    }

    var logger: Logger { task.logger(baseLogger) }

    /// The same attempt in a transaction.
    func on(_ transaction: PostgresConnection) -> ActivityAttempt {
        ActivityAttempt(
            task: task, namespace: namespace, taskQueue: taskQueue, baseLogger: baseLogger, heartbeat: heartbeat,
            cancellation: cancellation, surroundings: surroundings, isLocal: isLocal, workerID: workerID,
            transaction: transaction)
    }
}

/// Why an attempt of an activity is cancelled.
enum ActivityCancellation: Sendable {
    /// The workflow asked for it, or it ended.
    case requested
    /// The attempt's time is over.
    case timedOut
    /// The engine gave the attempt up.
    case lost
    /// The worker lost its lease.
    case leaseLost
    /// The worker shuts down.
    case shutdown
    /// Somebody has paused the activity.
    case paused
    /// Somebody has reset the activity.
    case reset
}

/// The workflows and activities that a worker runs, by their types' names.
struct WorkerCode: Sendable {
    var workflows: [String: @Sendable (LiveRunInfo) throws -> any LiveRun] = [:]
    var activities: [String: @Sendable (ActivityAttempt) async throws -> [Payload]] = [:]
    /// Those of them that run inside the transaction that records their completion.
    var transactionalActivities: Set<String> = []

    /// What people read of them: an array for `perdure.register_sources`.
    var sources: [JSON] = []

    var workflowTypes: [String] { workflows.keys.sorted() }
    var activityTypes: [String] { activities.keys.sorted() }
}

/// A workflow task that fails, and Temporal's name for why.
struct WorkflowTaskError: Error, CustomStringConvertible {
    let cause: String
    let failure: Failure

    init(cause: String, failure: Failure) {
        self.cause = cause
        self.failure = failure
    }

    /// Whatever else workflow code throws is a bug to be fixed, not an outcome of the run.
    init(_ error: any Error) {
        if let error = error as? WorkflowTaskError {
            self = error
        } else {
            cause = "WorkflowWorkerUnhandledFailure"
            failure = Failure(unexpected: error)
        }
    }

    /// Its code does not come back.
    static func stuck(for limit: Duration) -> WorkflowTaskError {
        WorkflowTaskError(
            cause: "WorkflowWorkerUnhandledFailure",
            failure: .application(
                "the workflow's code ran for \(limit.wire) without waiting: it blocks a thread, or loops without end",
                type: "PotentialDeadlock"))
    }

    var description: String { "\(cause): \(failure)" }
}

extension Failure {
    /// Any error as an application failure, its Swift type as the type, with a stack trace if the error has brought
    /// one.
    init(unexpected error: any Error) {
        self =
            error as? Failure
            ?? .application(
                "\(error)", type: String(describing: Swift.type(of: error)),
                stackTrace: (error as? any TracedError)?.stackTrace ?? "")
    }
}
