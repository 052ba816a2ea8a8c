import PerdureEngine
import Postgres

/// The attempt does not count any more, so what it did was rolled back.
struct AttemptLost: Error {}

/// No transaction could be begun: the attempt's code has not run.
struct NoTransaction: Error {
    let reason: any Error
}

/// The attempt's code has succeeded, and what the database said to its record or its commit is no reason to fail it.
private struct NotCommitted: Error {
    let reason: any Error
}

extension WorkerSession {
    /// Runs an attempt inside a transaction, and records its completion there before it is committed.
    ///
    /// The run is locked from the record to the commit only, not while the attempt's code runs. When the database does
    /// not take the record or the commit, and neither the result nor the attempt's own rows are to blame, all was
    /// rolled back, and the code runs again in another transaction, as the same attempt and for as long as that lasts.
    /// When the answer to a commit was lost, the engine is asked first whether the attempt is still under way.
    ///
    /// - Throws: ``AttemptLost``, ``NoTransaction``, or why the attempt has failed. Then nothing was committed.
    func completeInTransaction(
        _ attempt: ActivityAttempt, until end: ContinuousClock.Instant?,
        _ operation: (ActivityAttempt) async throws -> [Payload]
    ) async throws -> [Payload] {
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        while true {
            let result = Shared<[Payload]?>(nil)
            do {
                return try await completeInOneTransaction(attempt, result, operation)
            } catch let error as NotCommitted {
                guard noteError(error.reason, "The transaction of an activity could not be committed"), !hasLostLease
                else { throw AttemptLost() }
                if error.reason.leavesEffectUnknown, try await isRecorded(attempt.task, until: end),
                    let result = result.withLock({ $0 })
                {
                    return result
                }
                if let end, end <= .now { throw AttemptLost() }
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }

    private func completeInOneTransaction(
        _ attempt: ActivityAttempt, _ returned: Shared<[Payload]?>,
        _ operation: (ActivityAttempt) async throws -> [Payload]
    ) async throws -> [Payload] {
        var hasBegun = false
        var hasRecorded = false
        do {
            return try await transactions.transaction { connection in
                hasBegun = true
                let result = try await operation(attempt.on(connection))
                try check(connection.transactionStatus)
                try attempt.task.check(result)
                try await record(result, of: attempt.task, on: connection)
                returned.withLock { $0 = result }
                hasRecorded = true
                return result
            }
        } catch let error where !hasBegun && !error.isCancellation {
            throw NoTransaction(reason: error)
        } catch let error where hasRecorded && !error.isCancellation {
            // What breaks a rule only at the commit, as a deferred constraint, is the attempt's own.
            switch (error as? PostgresError)?.cause {
            case .rule, .value: throw error
            default: throw NotCommitted(reason: error)
            }
        }
    }

    /// Whether the transaction was committed whose commit was not answered: then the engine does not have the attempt
    /// any more. As long as the server still works at the commit, this waits for it.
    private func isRecorded(_ task: ClaimedActivityTask, until end: ContinuousClock.Instant?) async throws -> Bool {
        var retry = Backoff(from: .milliseconds(10), to: .seconds(1))
        while true {
            let isHeld = try await retrying("Whether an activity was recorded is not known yet", until: end) {
                try await self.engine.holdsActivity(
                    shard: task.shard, workerID: self.workerID, runID: task.runID,
                    scheduledEventID: task.scheduledEventID, attempt: task.attempt)
            }
            if let isHeld { return !isHeld }
            if let end, end <= .now { throw AttemptLost() }
            try await Task.sleep(for: retry.nextSpread())
        }
    }

    private func check(_ status: PostgresTransactionStatus) throws {
        switch status {
        case .open: return
        case .failed:
            throw Failure.application(
                "a statement of the activity failed and its error was not thrown, so that the transaction cannot be "
                    + "committed; throw it, or roll back to a savepoint",
                type: "TransactionFailed")
        case .none:
            throw Failure.application(
                "the activity ended the transaction that its completion belongs to; "
                    + "leave commit and rollback to the worker",
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
        } catch let error as EngineError where error.code == .leaseLost {
            loseLease()
            throw AttemptLost()
        } catch {
            if error.isCancellation { throw error }
            guard error.refusesTheValue, await isRefused(end, error) else {
                throw NotCommitted(reason: error)
            }
            throw Failure.refusedResult("\(error)")
        }
        switch state {
        case .completed: return
        case .lost, .refused, nil: throw AttemptLost()
        // It would be recorded without what the activity did: it is rolled back, and reported as what it is.
        case .failed, .retrying, .canceled: throw Failure.refusedResult("it is too large, or no payload")
        }
    }
}

extension Failure {
    /// The database does not take what an activity returned. Trying again would not help it.
    static func refusedResult(_ error: EngineError) -> Failure {
        .application("the activity's result is refused: \(error)", type: "ResultRefused", nonRetryable: true)
    }

    static func refusedResult(_ reason: String) -> Failure {
        .application(
            "the database refused the activity's result: \(reason)", type: "ResultRefused", nonRetryable: true)
    }
}
