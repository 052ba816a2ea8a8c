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

    /// Answers a query from where the run stands; changes nothing.
    func query(_ name: String, input: [Payload]) throws -> [Payload]

    /// Frees everything that the run holds. Not called while another call is under way.
    func evict()
}

/// What a live run is told when it is made.
struct LiveRunInfo: Sendable {
    let namespace: String
    let taskQueue: String
    let workflowID: String
    let runID: UUID
    let workflowType: String
    let logger: Logger
}

/// An attempt of an activity, as its code sees it.
struct ActivityAttempt: Sendable {
    let task: ClaimedActivityTask
    let namespace: String
    let taskQueue: String
    let baseLogger: Logger
    /// Keeps the attempt alive and leaves details for the next one. Cheap: heartbeats are sent together, now and then.
    let heartbeat: @Sendable ([Payload]) -> Void
    /// Why the attempt's task was cancelled; nil while it was not.
    let cancellation: @Sendable () -> ActivityCancellation?
    /// Where it works, if its completion belongs to a transaction of its own.
    var transaction: PostgresConnection?

    var logger: Logger { task.logger(baseLogger) }
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
    /// Any error as an application failure, its Swift type as the type, with a stack trace if the error has brought one.
    init(unexpected error: any Error) {
        self =
            error as? Failure
            ?? .application(
                "\(error)", type: String(describing: Swift.type(of: error)),
                stackTrace: (error as? any TracedError)?.stackTrace ?? "")
    }
}
