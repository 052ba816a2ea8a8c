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
    public var info: Info { Info(attempt) }

    init(_ attempt: ActivityAttempt) { self.attempt = attempt }

    /// Where a transactional activity's attempt works.
    var transaction: PostgresConnection? { attempt.transaction }

    /// Logs with the ids of the run, the activity and the attempt.
    public var logger: Logger { attempt.logger }

    /// Says that the activity lives, and leaves details for the next attempt. Cheap: the newest is sent now and then.
    ///
    /// An activity learns by its heartbeats that it is canceled: its Swift task is then.
    ///
    /// - Throws: what encoding a detail throws; ``EngineError`` if they have more than 2 MiB together.
    public func heartbeat(details: any Encodable & Sendable...) throws {
        try intercept(
            by: attempt.surroundings.activityOutbound, HeartbeatInput(details: details)
        ) {
            try $0.heartbeat(input: $1, next: $2)
        } around: { input in
            let converter = attempt.surroundings.converter.payloadConverter
            let payloads = try input.details.map { try converter.convertValue($0) }
            try Limits.check(payloads, "heartbeat details")
            attempt.heartbeat(payloads)
        }
    }

    /// Why the attempt's Swift task was canceled; nil while it was not.
    public var cancellationReason: ActivityCancellationReason? {
        attempt.cancellation().map { reason in
            switch reason {
            case .requested: .requested
            case .timedOut: .timeout
            case .lost, .leaseLost: .goneFromServer
            case .shutdown: .workerShutdown
            case .paused: .paused
            case .reset: .reset
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
    /// Somebody has paused the activity: once the attempt has failed, it waits until it is unpaused.
    case paused
    /// Somebody has reset the activity: what follows the attempt begins anew.
    case reset
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
        /// By which the attempt can be completed from outside: see ``PerdureClient/asyncActivityHandle(taskToken:)``.
        public var taskToken: [UInt8] { token.bytes }
        /// Whether it runs in the worker that has the workflow task, and does not heartbeat.
        public let isLocal: Bool
        /// What the last heartbeat of an earlier attempt left.
        public let heartbeatDetails: [Payload]
        /// What the workflow said beside the input; interceptors write and read it.
        public let headers: [String: Payload]
        private let converter: DataConverter
        private let token: ActivityTaskToken

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
            token = ActivityTaskToken(
                shard: task.shard, workerID: attempt.workerID, runID: task.runID,
                scheduledEventID: task.scheduledEventID, attempt: task.attempt)
            isLocal = attempt.isLocal
            heartbeatDetails = task.heartbeatDetails
            headers = task.headers
            converter = attempt.surroundings.converter
        }

        /// What the last heartbeat of an earlier attempt left; nil if it left nothing.
        ///
        /// - Throws: `DecodingError` if it is of other types.
        public func heartbeatDetails<each Detail: Decodable & Sendable>(
            as types: repeat (each Detail).Type
        ) throws -> (repeat each Detail)? {
            guard !heartbeatDetails.isEmpty else { return nil }
            var rest = heartbeatDetails[...]
            func next<Next: Decodable>(_ type: Next.Type) throws -> Next {
                try converter.decode(type, from: [rest.popFirst() ?? .null])
            }
            return (repeat try next(each types))
        }
    }
}

// MARK: - Without a worker

/// An attempt of an activity that no worker runs: what `PerdureTesting` runs activities in.
package struct ActivityTrial: Sendable {
    private let context: ActivityExecutionContext
    private let interceptors: ArraySlice<any ActivityInboundInterceptor>
    private let headers: [String: Payload]

    /// - Parameters:
    ///   - heartbeat: gets the details of each heartbeat.
    ///   - cancellation: why the attempt is canceled; nil while it is not.
    package init(
        task: ClaimedActivityTask, namespace: String, taskQueue: String, logger: Logger, converter: DataConverter,
        interceptors: [any WorkerInterceptor], transaction: ActivityTransaction?,
        heartbeat: @escaping @Sendable ([Payload]) -> Void,
        cancellation: @escaping @Sendable () -> ActivityCancellationReason?
    ) {
        let surroundings = Surroundings(converter: converter, interceptors: interceptors)
        context = ActivityExecutionContext(
            ActivityAttempt(
                task: task, namespace: namespace, taskQueue: taskQueue, baseLogger: logger, heartbeat: heartbeat,
                cancellation: { cancellation().map(ActivityCancellation.init) }, surroundings: surroundings,
                transaction: transaction))
        self.interceptors = surroundings.activityInbound
        headers = task.headers
    }

    package var info: ActivityExecutionContext.Info { context.info }

    /// Runs code as the attempt's.
    package func run<Value>(_ body: () async throws -> Value) async throws -> Value {
        try await ActivityExecutionContext.$taskLocal.withValue(context, operation: body)
    }

    /// Runs an activity, with what surrounds it.
    package func run<Activity: ActivityDefinition>(
        _ activity: Activity, input: Activity.Input
    ) async throws -> Activity.Output {
        try await run {
            try await intercept(
                by: interceptors, ExecuteActivityInput(definition: activity, headers: headers, input: input),
                { try await $0.executeActivity(input: $1, next: $2) },
                around: { try await $0.definition.run(input: $0.input) })
        }
    }
}

extension ActivityCancellation {
    fileprivate init(_ reason: ActivityCancellationReason) {
        self =
            switch reason {
            case .requested: .requested
            case .timeout: .timedOut
            case .goneFromServer: .lost
            case .workerShutdown: .shutdown
            case .paused: .paused
            case .reset: .reset
            }
    }
}
