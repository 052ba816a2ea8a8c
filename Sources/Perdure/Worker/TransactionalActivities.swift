import PerdureEngine
import Postgres

/// The attempt does not count any more, so what it did was rolled back.
struct AttemptLost: Error {}

/// No transaction could be begun: the attempt's code has not run.
struct NoTransaction: Error {
    let reason: any Error
}

extension WorkerSession {
    /// Runs an attempt inside a transaction, and records its completion there before it is committed.
    ///
    /// The run is locked from the record to the commit only, not while the attempt's code runs.
    ///
    /// - Throws: ``AttemptLost``, ``NoTransaction``, or why the attempt has failed. Then nothing was committed, unless the connection was lost
    ///   in the commit; if it was committed, the engine takes no other end of the attempt.
    func completeInTransaction(
        _ attempt: ActivityAttempt, _ operation: (ActivityAttempt) async throws -> [Payload]
    ) async throws -> [Payload] {
        var hasBegun = false
        do {
            return try await transactions.transaction { connection in
                hasBegun = true
                var attempt = attempt
                attempt.transaction = connection
                let result = try await operation(attempt)
                try check(connection.transactionStatus)
                try await record(result, of: attempt.task, on: connection)
                return result
            }
        } catch let error where !hasBegun && !error.isCancellation {
            throw NoTransaction(reason: error)
        }
    }

    private func check(_ status: PostgresTransactionStatus) throws {
        switch status {
        case .open: return
        case .failed:
            throw Failure.application(
                "a statement of the activity failed and its error was not thrown, so that the transaction cannot be committed; "
                    + "throw it, or roll back to a savepoint",
                type: "TransactionFailed")
        case .none:
            throw Failure.application(
                "the activity ended the transaction that its completion belongs to; leave commit and rollback to the worker",
                type: "TransactionEnded", nonRetryable: true)
        }
    }

    private func record(
        _ result: [Payload], of task: ClaimedActivityTask, on connection: PostgresConnection
    ) async throws {
        let end = ActivityTaskResult(
            runID: task.runID, scheduledEventID: task.scheduledEventID, attempt: task.attempt,
            outcome: .completed(result))
        let state: ActivityTaskOutcome.State?
        do {
            state = try await engine.on(connection).finishActivityTasks(
                shard: task.shard, workerID: workerID, results: [end]
            ).first?.state
        } catch let error as EngineError {
            if error.code == .leaseLost {
                loseLease()
                throw AttemptLost()
            }
            throw Failure.refusedResult("\(error)")
        }
        switch state {
        case .completed: return
        case .lost, nil: throw AttemptLost()
        // It would be recorded without what the activity did: it is rolled back, and reported as what it is.
        case .failed, .retrying, .canceled: throw Failure.refusedResult("it is too large, or no payload")
        }
    }
}

extension Failure {
    /// The database does not take what an activity returned. Trying again would not help it.
    static func refusedResult(_ reason: String) -> Failure {
        .application(
            "the database refused the activity's result: \(reason)", type: "ResultRefused", nonRetryable: true)
    }
}
