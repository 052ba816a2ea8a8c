public import Foundation
public import Logging
public import PerdureEngine

/// What an activity may know of the attempt that it is.
public struct ActivityExecutionContext: Sendable {
    /// The attempt that runs in this task; nil outside of activities.
    @TaskLocal public static var current: ActivityExecutionContext?

    private let attempt: ActivityAttempt

    init(_ attempt: ActivityAttempt) { self.attempt = attempt }

    public var workflowID: String { attempt.task.workflowID }
    public var runID: UUID { attempt.task.runID }
    public var workflowType: String { attempt.task.workflowType }
    public var activityID: String { attempt.task.activityID }
    public var activityType: String { attempt.task.activityType }
    /// 1 for the first.
    public var attemptNumber: Int { attempt.task.attempt }
    public var namespace: String { attempt.namespace }
    public var taskQueue: String { attempt.taskQueue }
    /// The same on every attempt of this activity, and of no other: hand it to whatever does the work.
    public var idempotencyKey: String { attempt.task.idempotencyKey }
    /// What the last heartbeat of this or an earlier attempt left.
    public var heartbeatDetails: [Payload] { attempt.task.heartbeatDetails }
    public var logger: Logger { attempt.logger }

    /// Says that the activity lives, and leaves details for the next attempt. Cheap: the newest is sent now and then.
    /// An activity learns by its heartbeats that it is cancelled: its Swift task is then.
    public func heartbeat(_ details: any Encodable & Sendable...) throws {
        attempt.heartbeat(try details.map { try Payload(encoding: $0) })
    }
}
