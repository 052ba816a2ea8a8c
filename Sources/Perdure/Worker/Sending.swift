import Foundation
import Logging
import PerdureEngine
import Postgres

/// A part of a history and the shard of its run.
struct ShardedHistoryRequest: Sendable {
    let shard: Int16
    let request: HistoryRequest
}

extension WorkerSession {
    /// Sends what ends and what is asked for in batches, until the task is cancelled or ``reportsAreOver`` is
    /// signalled.
    func sendBatches() async {
        await withTaskGroup(of: Void.self) { group in
            let problem: Logger.Message = "The end of tasks could not be reported"
            for ends in workflowTaskEnds {
                group.addTask {
                    await ends.run(by: \.set, judge: { self.trouble($0, problem) }, self.send)
                }
            }
            group.addTask {
                await self.activityEnds.run(by: \.shard, judge: { self.trouble($0, problem) }, self.send)
            }
            group.addTask {
                await self.queryAnswers.run(
                    by: \.shard, judge: { self.trouble($0, "Queries' answers could not be sent") }, self.send)
            }
            group.addTask {
                await self.histories.run(
                    by: \.shard, judge: { self.trouble($0, "Histories could not be read") }, self.send)
            }
            group.addTask {
                while await !self.reportsAreOver.sleep(atMost: .seconds(3600)), !Task.isCancelled {}
            }
            await group.next()
            group.cancelAll()
        }
    }

    private func send(_ ends: [WorkflowTaskEnd]) async throws -> [WorkflowTaskOutcome] {
        guard let shard = ends.first?.shard else { return [] }
        var completions: [WorkflowTaskCompletion] = []
        var failures: [WorkflowTaskFailure] = []
        for end in ends {
            switch end {
            case .completed(_, let completion): completions.append(completion)
            case .failed(_, let failure): failures.append(failure)
            }
        }
        var outcomes: [UUID: WorkflowTaskOutcome] = [:]
        // Of one kind, so that one statement is all that was done or not.
        let answers =
            failures.isEmpty
            ? try await engine.completeWorkflowTasks(shard: shard, workerID: workerID, completions: completions)
            : try await engine.failWorkflowTasks(shard: shard, workerID: workerID, failures: failures)
        for outcome in answers { outcomes[outcome.runID] = outcome }
        let affecting = completions.filter { $0.affectsOthers }.map(\.runID)
        if !affecting.isEmpty { transfers.drain(affecting, of: shard) }
        var finished = FinishedTasks()
        for end in ends {
            guard let state = outcomes[end.runID]?.state, state == .completed || state == .failed else { continue }
            finished.workflow += 1
            if case .completed(_, let completion) = end, completion.fused != nil { finished.activity += 1 }
        }
        finishedTasks.withLock { $0 += finished }
        return ends.map { outcomes[$0.runID] ?? WorkflowTaskOutcome(runID: $0.runID, state: .lost) }
    }

    private func send(_ ends: [ActivityTaskEnd]) async throws -> [ActivityTaskOutcome.State] {
        guard let shard = ends.first?.shard else { return [] }
        var states: [ActivityKey: ActivityTaskOutcome.State] = [:]
        for outcome in try await engine.finishActivityTasks(
            shard: shard, workerID: workerID, results: ends.map(\.result))
        {
            states[ActivityKey(runID: outcome.runID, scheduledEventID: outcome.scheduledEventID)] = outcome.state
        }
        let finished = FinishedTasks(activity: states.values.count { $0 != .lost })
        finishedTasks.withLock { $0 += finished }
        return ends.map {
            states[ActivityKey(runID: $0.result.runID, scheduledEventID: $0.result.scheduledEventID)] ?? .lost
        }
    }

    private func send(_ answers: [ShardedQueryAnswer]) async throws -> [Void] {
        guard let shard = answers.first?.shard else { return [] }
        try await engine.answerQueries(shard: shard, workerID: workerID, answers: answers.map(\.answer))
        return answers.map { _ in }
    }

    /// Reads histories. Many are read at once when a crowd of runs wakes that are not cached any more.
    private func send(_ requests: [ShardedHistoryRequest]) async throws -> [Result<[HistoryEvent], UnreadableHistory>] {
        guard let shard = requests.first?.shard else { return [] }
        var pages: [Result<[HistoryEvent], UnreadableHistory>] = []
        while pages.count < requests.count {
            let more = try await engine.histories(shard: shard, of: requests.dropFirst(pages.count).map(\.request))
            guard !more.isEmpty else { throw UnreadableHistory(problem: "the database answered for no run") }
            pages += more
        }
        return pages
    }

    /// Logs an error of a set, and says what it means to the set.
    private func trouble(_ error: any Error, _ message: Logger.Message) -> SetTrouble {
        guard noteError(error, message), !hasLostLease else { return .over }
        if (error as? PostgresError)?.cause == .cancelled { return .over }
        if error.refusesTheValue { return .refusesOne }
        return error.meetsAllAlike ? .meetsAll : .meetsSome
    }

    /// Repeats what the database may take later, for as long as the lease holds.
    ///
    /// - Parameter end: when to give it up, if the database can be reached; nil for never.
    func retrying<Value>(
        _ problem: Logger.Message, until end: ContinuousClock.Instant? = nil, _ operation: () async throws -> Value
    ) async throws -> Value {
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        while true {
            do {
                return try await operation()
            } catch let error as EngineError where error.code == .leaseLost {
                loseLease()
                throw error
            } catch let error where (error.mayPass || error.meetsAllAlike) && !hasLostLease {
                guard noteError(error, problem) else { throw error }
                if let end, end <= .now, (error as? PostgresError)?.cause != .unreachable { throw error }
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }
}
