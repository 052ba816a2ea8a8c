public import Foundation
import PerdureEngine
import Postgres

/// Thrown by an activity whose end comes from outside: its attempt goes on, and ``AsyncActivityHandle`` tells how it
/// ends.
public struct CompleteActivityOutsideError: Error, Sendable, Hashable {
    public init() {}
}

/// There is no such attempt of an activity any more: it has ended, timed out, or its worker has gone.
public struct AsyncActivityNotFoundError: Error, Sendable, Hashable, CustomStringConvertible {
    public let description: String
}

/// Whoever does the work of an activity is to stop.
public struct AsyncActivityCanceledError: Error, Sendable, Hashable {
    /// Whether the workflow asked for it.
    public let isCancelRequested: Bool
    /// Whether somebody has paused the activity.
    public let isPaused: Bool
    /// Whether somebody has reset it.
    public let isReset: Bool
}

/// An activity that is completed from outside of its worker: by the token of an attempt, or by its id.
///
/// The attempt is its worker's until it ends: when that worker stops, it is handed back, and runs again.
public struct AsyncActivityHandle: Sendable {
    enum Reference: Sendable {
        case token(ActivityTaskToken)
        case id(workflowID: String, runID: UUID?, activityID: String)
    }

    let client: PerdureClient
    let reference: Reference

    /// The activity has done its work.
    ///
    /// - Throws: ``AsyncActivityNotFoundError``, ``WorkflowNotFoundError``.
    public func complete(_ output: some Encodable & Sendable) async throws {
        try await finish(.completed(client.dataConverter.encoded(client.dataConverter.encode(output))))
    }

    /// The activity, which has no output, has done its work.
    public func complete() async throws { try await finish(.completed([])) }

    /// The attempt has failed; it is tried again by the activity's retry policy.
    ///
    /// - Parameter error: an ``ApplicationError`` that is not retryable fails the activity.
    public func fail(_ error: any Error) async throws {
        try await finish(.failed(await client.dataConverter.encoded(client.dataConverter.failure(error))))
    }

    /// The activity has stopped because its workflow asked for it.
    public func reportCancellation(details: any Encodable & Sendable...) async throws {
        try await finish(.canceled(details: try await payloads(details)))
    }

    /// Says that the activity lives, and leaves details for the next attempt.
    ///
    /// - Throws: ``AsyncActivityCanceledError`` when it is to stop; the heartbeat is taken all the same.
    public func heartbeat(details: any Encodable & Sendable...) async throws {
        let payloads = try await payloads(details)
        let task = try await task()
        while true {
            let outcomes = try await client.engine.heartbeatActivityTasks(
                shard: task.shard, workerID: task.workerID,
                heartbeats: [
                    ActivityHeartbeat(
                        runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
                        details: payloads)
                ])
            guard let outcome = outcomes.first, !outcome.lost else { throw lost }
            guard outcome.kept else {
                // Somebody had the activity at that moment.
                try await Task.sleep(for: .milliseconds(10))
                continue
            }
            if outcome.cancelRequested || outcome.isPaused || outcome.isReset {
                throw AsyncActivityCanceledError(
                    isCancelRequested: outcome.cancelRequested, isPaused: outcome.isPaused, isReset: outcome.isReset)
            }
            return
        }
    }

    private func payloads(_ details: [any Encodable & Sendable]) async throws -> [Payload] {
        let converter = client.dataConverter
        return try await converter.encoded(details.map { try converter.payloadConverter.convertValue($0) })
    }

    private func finish(_ outcome: ActivityTaskResult.Outcome) async throws {
        let task = try await task()
        let result = ActivityTaskResult(
            runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt, outcome: outcome)
        let state: ActivityTaskOutcome.State?
        do {
            state = try await client.engine.finishActivityTasks(
                shard: task.shard, workerID: task.workerID, results: [result]
            ).first?.state
        } catch let error as EngineError where error.code == .leaseLost {
            throw lost
        }
        if state == nil || state == .lost { throw lost }
    }

    private var lost: AsyncActivityNotFoundError {
        let what =
            switch reference {
            case .token: "this token"
            case .id(let workflowID, _, let activityID): "the id \(activityID) of workflow \(workflowID)"
            }
        return AsyncActivityNotFoundError(
            description: "no attempt of an activity with \(what) waits for its end: it has ended or timed out, or runs "
                + "again because its worker has gone")
    }

    private func task() async throws -> ActivityTaskToken {
        switch reference {
        case .token(let token): return token
        case .id(let workflowID, let runID, let activityID):
            let found = try await client.translating(workflowID, runID) {
                try await client.engine.findActivity(
                    namespace: client.namespace, workflowID: workflowID, runID: runID, activityID: activityID)
            }
            guard let found else { throw lost }
            return found
        }
    }
}

extension PerdureClient {
    /// An activity whose attempt has a token: ``ActivityExecutionContext/Info/taskToken``.
    ///
    /// - Throws: ``AsyncActivityNotFoundError`` for bytes that are no token.
    public func asyncActivityHandle(taskToken: [UInt8]) throws -> AsyncActivityHandle {
        guard let token = ActivityTaskToken(bytes: taskToken) else {
            throw AsyncActivityNotFoundError(description: "these bytes are not the token of an activity")
        }
        return AsyncActivityHandle(client: self, reference: .token(token))
    }

    /// An activity of a workflow by its id.
    public func asyncActivityHandle(
        workflowID: String, runID: UUID? = nil, activityID: String
    ) -> AsyncActivityHandle {
        AsyncActivityHandle(
            client: self, reference: .id(workflowID: workflowID, runID: runID, activityID: activityID))
    }
}
