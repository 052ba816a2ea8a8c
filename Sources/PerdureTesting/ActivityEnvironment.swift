public import Foundation
public import Logging
public import Perdure
import PerdureEngine
public import Postgres
import Synchronization

/// Runs the code of activities without a worker and without a database: as an attempt whose facts a test chooses, whose
/// heartbeats it reads, and which it can cancel.
///
/// ```swift
/// let environment = ActivityEnvironment(attempt: 2, heartbeatDetails: [7])
/// let count = try await environment.run { try await activities.copy(from: folder) }
/// #expect(try environment.heartbeats.last?[0].decode(Int.self) == 8)
/// ```
public final class ActivityEnvironment: Sendable {
    private struct State {
        var heartbeats: [[Payload]] = []
        var reason: ActivityCancellationReason?
        var last: UInt64 = 0
        var running: [UInt64: @Sendable () -> Void] = [:]
    }

    private let trial: ActivityTrial
    private let state: Shared

    /// - Parameters:
    ///   - attempt: 1 for the first.
    ///   - heartbeatDetails: what the attempt before has left.
    ///   - idempotencyKey: made of the run's id and the activity's by default.
    ///   - headers: what the workflow said beside the input.
    ///   - transaction: where a transactional activity works; the test begins and ends the transaction.
    ///   - interceptors: those of the worker, if they are to be tested.
    ///   - onHeartbeat: gets the details of each heartbeat.
    public init(
        activityID: String = "test", activityType: String = "unknown", attempt: Int = 1,
        heartbeatDetails: [any Encodable & Sendable] = [], idempotencyKey: String? = nil,
        heartbeatTimeout: Duration? = nil, startToCloseTimeout: Duration? = .seconds(10),
        scheduleToCloseTimeout: Duration? = nil, taskQueue: String = "test", workflowID: String = "test",
        workflowRunID: UUID = UUID(), workflowType: String = "test", namespace: String = "default",
        headers: [String: Payload] = [:], transaction: PostgresConnection? = nil,
        interceptors: [any WorkerInterceptor] = [], dataConverter: DataConverter = .default,
        logger: Logger = WorkflowEnvironment.silent, onHeartbeat: @escaping @Sendable ([Payload]) -> Void = { _ in }
    ) throws {
        let shared = Shared()
        state = shared
        trial = ActivityTrial(
            task: ClaimedActivityTask(
                runID: workflowRunID, workflowID: workflowID, workflowType: workflowType, activityID: activityID,
                activityType: activityType, attempt: attempt,
                heartbeatDetails: try heartbeatDetails.map { try dataConverter.payloadConverter.convertValue($0) },
                idempotencyKey: idempotencyKey, heartbeatTimeout: heartbeatTimeout,
                startToCloseTimeout: startToCloseTimeout, scheduleToCloseTimeout: scheduleToCloseTimeout,
                headers: headers),
            namespace: namespace, taskQueue: taskQueue, logger: logger, converter: dataConverter,
            interceptors: interceptors, transaction: transaction,
            heartbeat: { details in
                shared.value.withLock { $0.heartbeats.append(details) }
                onHeartbeat(details)
            },
            cancellation: { shared.value.withLock { $0.reason } })
    }

    private final class Shared: Sendable {
        let value = Mutex(State())
    }

    /// What the code gets by ``ActivityExecutionContext/current``.
    public var info: ActivityExecutionContext.Info { trial.info }

    /// The details of each heartbeat so far.
    public var heartbeats: [[Payload]] { state.value.withLock { $0.heartbeats } }

    /// Runs code as that of an activity.
    public func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        try await cancellable { [trial] in try await trial.run(body) }
    }

    /// Runs an activity, with the interceptors around it.
    public func run<Activity: ActivityDefinition>(
        _ activity: Activity, input: Activity.Input
    ) async throws -> Activity.Output {
        try await cancellable { [trial] in try await trial.run(activity, input: input) }
    }

    /// Runs an activity of a container, with the interceptors around it.
    public func run<Activity: ActivityDefinition>(
        _ type: Activity.Type, of container: some ActivityContainer, input: Activity.Input
    ) async throws -> Activity.Output {
        guard let activity = container.allActivities.lazy.compactMap({ $0 as? Activity }).first else {
            throw ApplicationError(
                message: "\(Swift.type(of: container)) has no activity \(Activity.name)", type: "NotFoundError")
        }
        return try await run(activity, input: input)
    }

    /// Cancels what runs, and what is run from now on, as a worker does: the Swift task is canceled, and
    /// ``ActivityExecutionContext/cancellationReason`` tells why. The first reason counts.
    public func cancel(_ reason: ActivityCancellationReason = .requested) {
        let running = state.value.withLock { state in
            state.reason = state.reason ?? reason
            return Array(state.running.values)
        }
        for cancel in running { cancel() }
    }

    private func cancellable<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let task = Task { try await body() }
        let (number, isCancelled) = state.value.withLock { state in
            state.last += 1
            state.running[state.last] = { task.cancel() }
            return (state.last, state.reason != nil)
        }
        defer { state.value.withLock { $0.running[number] = nil } }
        if isCancelled { task.cancel() }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
