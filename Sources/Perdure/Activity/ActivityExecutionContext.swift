public import Foundation
public import Logging
public import PerdureEngine
import Postgres

/// What an activity may know of the attempt that it is, and say of itself.
public struct ActivityExecutionContext: Sendable {
    /// The attempt that runs in this task; nil outside of activities.
    public static var current: ActivityExecutionContext? { taskLocal }

    @TaskLocal static var taskLocal: ActivityExecutionContext?

    private let attempt: ActivityAttempt
    /// Facts about the attempt.
    public let info: Info

    init(_ attempt: ActivityAttempt) {
        self.attempt = attempt
        info = Info(attempt)
    }

    /// Where a transactional activity's attempt works.
    var transaction: PostgresConnection? { attempt.transaction }

    /// Logs with the ids of the run, the activity and the attempt.
    public var logger: Logger { attempt.logger }

    /// Says that the activity lives, and leaves details for the next attempt. Cheap: the newest is sent now and then.
    ///
    /// An activity learns by its heartbeats that it is canceled: its Swift task is then.
    ///
    /// - Throws: what encoding a detail throws.
    public func heartbeat(details: any Encodable & Sendable...) throws {
        attempt.heartbeat(try details.map { try Payload(encoding: $0) })
    }

    /// Why the attempt's Swift task was canceled; nil while it was not.
    public var cancellationReason: ActivityCancellationReason? {
        attempt.cancellation().map { reason in
            switch reason {
            case .requested: .requested
            case .timedOut: .timeout
            case .lost, .leaseLost: .goneFromServer
            case .shutdown: .workerShutdown
            }
        }
    }
}

/// Why an attempt of an activity is canceled.
public enum ActivityCancellationReason: Sendable, Hashable {
    /// The workflow asked for it, or ended.
    case requested
    /// The attempt took too long.
    case timeout
    /// The attempt is no longer this worker's: what it returns does not count.
    case goneFromServer
    /// The worker shuts down; another one begins again.
    case workerShutdown
}

extension ActivityExecutionContext {
    /// Facts about an attempt.
    public struct Info: Sendable {
        public let activityID: String
        public let activityType: String
        /// 1 for the first.
        public let attempt: Int
        /// The same on every attempt of this activity, and of no other: hand it to whatever does the work.
        public let idempotencyKey: String
        /// When the workflow decided on the activity.
        public let scheduledTime: Date
        /// When this attempt was due.
        public let currentAttemptScheduled: Date
        public let startedTime: Date
        public let startToCloseTimeout: Duration?
        public let scheduleToCloseTimeout: Duration?
        public let heartbeatTimeout: Duration?
        public let taskQueue: String
        public let workflowID: String
        public let workflowRunID: UUID
        public let workflowType: String
        public let workflowNamespace: String
        /// What the last heartbeat of an earlier attempt left.
        public let heartbeatDetails: [Payload]

        init(_ attempt: ActivityAttempt) {
            let task = attempt.task
            activityID = task.activityID
            activityType = task.activityType
            self.attempt = task.attempt
            idempotencyKey = task.idempotencyKey
            scheduledTime = task.scheduledAt.date
            currentAttemptScheduled = task.currentAttemptScheduledAt.date
            startedTime = task.startedAt.date
            startToCloseTimeout = task.startToCloseTimeout
            scheduleToCloseTimeout = task.scheduleToCloseTimeout
            heartbeatTimeout = task.heartbeatTimeout
            taskQueue = attempt.taskQueue
            workflowID = task.workflowID
            workflowRunID = task.runID
            workflowType = task.workflowType
            workflowNamespace = attempt.namespace
            heartbeatDetails = task.heartbeatDetails
        }

        /// What the last heartbeat of an earlier attempt left; nil if it left nothing.
        ///
        /// - Throws: `DecodingError` if it is of other types.
        public func heartbeatDetails<each Detail: Decodable & Sendable>(
            as types: repeat (each Detail).Type
        ) throws -> (repeat each Detail)? {
            guard !heartbeatDetails.isEmpty else { return nil }
            var rest = heartbeatDetails[...]
            func next<Next: Decodable>(_ type: Next.Type) throws -> Next { try (rest.popFirst() ?? .null).decode(type) }
            return (repeat try next(each types))
        }
    }
}
