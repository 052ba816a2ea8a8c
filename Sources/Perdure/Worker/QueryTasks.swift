import Foundation
import PerdureEngine

/// An answer and the shard of its run.
struct ShardedQueryAnswer: Sendable {
    let shard: Int16
    let answer: QueryAnswer
}

extension WorkerSession {
    /// Answers a query from the cache when the run there has seen enough, else by replaying its history.
    func answer(_ query: ClaimedQuery) async {
        var cached = await cache.acquire(query.runID)
        let answer: Result<[Payload], Failure>
        do {
            if let run = cached, run.upToDateThrough >= query.lastEventID {
                do {
                    answer = .success(try await ask(run, query))
                } catch let error as DeadlineExceeded {
                    // Its code still runs; it is evicted when that comes back.
                    cached = nil
                    throw error
                }
            } else {
                let replayed = try await replay(query)
                do {
                    answer = .success(try await ask(replayed, query))
                    await threads.evict(replayed.run)
                } catch {
                    if !(error is DeadlineExceeded) { await threads.evict(replayed.run) }
                    throw error
                }
            }
        } catch let error as DeadlineExceeded {
            answer = .failure(WorkflowTaskError.stuck(for: error.limit).failure)
        } catch let error as WorkflowTaskError {
            answer = .failure(error.failure)
        } catch {
            answer = .failure(Failure(unexpected: error))
        }
        for run in cache.release(query.runID, cached) { await threads.evict(run.run) }
        if Task.isCancelled || hasLostLease { return }
        do {
            try await queryAnswers.submit(
                ShardedQueryAnswer(shard: query.shard, answer: QueryAnswer(queryID: query.queryID, answer: answer)))
        } catch {
            logger.debug("A query's answer could not be sent", metadata: ["error": "\(error)"])
        }
    }

    private func ask(_ run: CachedRun, _ query: ClaimedQuery) async throws -> [Payload] {
        try await threads.run {
            try run.run.query(query.queryType, input: query.input)
        } late: {
            run.run.evict()
        }
    }

    /// A run as it stood after its last workflow task.
    private func replay(_ query: ClaimedQuery) async throws -> CachedRun {
        var events: [HistoryEvent] = []
        while true {
            let from = (events.last?.eventId ?? 0) + 1
            let page = try await retrying("A history could not be read") {
                try await self.engine.history(shard: query.shard, runID: query.runID, from: from)
            }
            guard !page.isEmpty else { break }
            events += page
        }
        // What no workflow task has handled yet, the run has not seen.
        guard let last = events.lastIndex(where: { $0.eventType == .workflowTaskCompleted }) else {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application("the run has not completed a workflow task yet", type: "QueryRejected"))
        }
        // With the completion, so that all of it counts as replayed.
        let seen = Array(events[...last])
        var run = try makeRun(workflowType: query.workflowType, workflowID: query.workflowID, runID: query.runID)
        let live = run.run
        do {
            _ = try await threads.run {
                try live.activate(seen)
            } late: {
                live.evict()
            }
        } catch {
            if !(error is DeadlineExceeded) { await threads.evict(live) }
            throw error
        }
        run.lastEventID = seen.last?.eventId ?? 0
        return run
    }
}
