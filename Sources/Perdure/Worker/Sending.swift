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
    func send(_ ends: [WorkflowTaskEnd]) async -> [Result<WorkflowTaskOutcome, any Error>] {
        await sendByShard(ends, shard: \.shard) { shard, ends in
            var completions: [WorkflowTaskCompletion] = []
            var failures: [WorkflowTaskFailure] = []
            for end in ends {
                switch end {
                case .completed(_, let completion): completions.append(completion)
                case .failed(_, let failure): failures.append(failure)
                }
            }
            var outcomes: [UUID: WorkflowTaskOutcome] = [:]
            if !completions.isEmpty {
                for outcome in try await self.engine.completeWorkflowTasks(
                    shard: shard, workerID: self.workerID, completions: completions)
                {
                    outcomes[outcome.runID] = outcome
                }
            }
            if !failures.isEmpty {
                for outcome in try await self.engine.failWorkflowTasks(
                    shard: shard, workerID: self.workerID, failures: failures)
                {
                    outcomes[outcome.runID] = outcome
                }
            }
            var finished = FinishedTasks()
            for end in ends {
                guard let state = outcomes[end.runID]?.state, state == .completed || state == .failed else { continue }
                finished.workflow += 1
                if case .completed(_, let completion) = end, completion.fused != nil { finished.activity += 1 }
            }
            self.finishedTasks.withLock { $0 += finished }
            return ends.map {
                outcomes[$0.runID] ?? WorkflowTaskOutcome(runID: $0.runID, state: .lost)
            }
        }
    }

    func send(_ answers: [ShardedQueryAnswer]) async -> [Result<Void, any Error>] {
        await sendByShard(answers, shard: \.shard) { shard, answers in
            try await self.engine.answerQueries(
                shard: shard, workerID: self.workerID, answers: answers.map(\.answer))
            return answers.map { _ in }
        }
    }

    /// Reads histories. Many are read at once when a crowd of runs wakes that are not cached any more.
    func send(_ requests: [ShardedHistoryRequest]) async -> [Result<[HistoryEvent], any Error>] {
        await sendByShard(requests, shard: \.shard, "Histories could not be read") { shard, requests in
            try await self.engine.histories(shard: shard, of: requests.map(\.request))
        }
    }

    /// Sends a set. While the database is away it tries again until the lease is lost; when the engine refuses the set,
    /// one member at a time, so that a bad one does not hold up the others.
    func sendByShard<Request: Sendable, Response: Sendable>(
        _ requests: [Request], shard: (Request) -> Int16,
        _ problem: Logger.Message = "The end of tasks could not be reported",
        _ call: (Int16, [Request]) async throws -> [Response]
    ) async -> [Result<Response, any Error>] {
        var answers: [Result<Response, any Error>?] = Array(repeating: nil, count: requests.count)
        for (shard, places) in Dictionary(grouping: requests.indices, by: { shard(requests[$0]) }) {
            await send(requests, places[...], &answers, problem) { try await call(shard, $0) }
        }
        return answers.map { $0 ?? .failure(CancellationError()) }
    }

    private func send<Request: Sendable, Response: Sendable>(
        _ requests: [Request], _ places: ArraySlice<Int>, _ answers: inout [Result<Response, any Error>?],
        _ problem: Logger.Message, _ call: ([Request]) async throws -> [Response]
    ) async {
        do {
            let responses = try await retrying(problem) {
                try await call(places.map { requests[$0] })
            }
            for (place, response) in zip(places, responses) { answers[place] = .success(response) }
        } catch {
            guard places.count > 1, !hasLostLease, !Task.isCancelled else {
                for place in places { answers[place] = .failure(error) }
                return
            }
            logger.notice(
                "A set was refused; its members are sent one at a time",
                metadata: ["members": "\(places.count)", "error": "\(error)"])
            for place in places { await send(requests, [place], &answers, problem, call) }
        }
    }

    /// Repeats what a lost connection or a conflict stopped, for as long as the lease holds.
    func retrying<Value>(
        _ problem: Logger.Message, _ operation: () async throws -> Value
    ) async throws -> Value {
        var retry = Backoff(from: .milliseconds(20), to: .seconds(1))
        while true {
            do {
                return try await operation()
            } catch let error as PostgresError where error.isRetryable && !hasLostLease {
                guard noteError(error, problem) else { throw error }
                try await Task.sleep(for: retry.nextSpread())
            } catch let error as EngineError where error.code == .leaseLost {
                loseLease()
                throw error
            }
        }
    }
}
