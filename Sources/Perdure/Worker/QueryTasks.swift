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
        var answer: Result<[Payload], Failure>
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
        } catch let error where error.isOfDatabase {
            // That the history cannot be read now is no answer.
            for run in cache.release(query.runID, cached) { await threads.evict(run.run) }
            if !isOver(error) { _ = noteError(error, "A query was given up") }
            return
        } catch {
            answer = .failure(Failure(unexpected: error))
        }
        for run in cache.release(query.runID, cached) { await threads.evict(run.run) }
        if Task.isCancelled || hasLostLease { return }
        if case .failure(let failure) = answer {
            answer = .failure(await surroundings.converter.encoded(surroundings.converter.failure(failure)))
        }
        func submit(_ answer: Result<[Payload], Failure>) async throws {
            try await queryAnswers.submit(
                ShardedQueryAnswer(shard: query.shard, answer: QueryAnswer(queryID: query.queryID, answer: answer)),
                until: .now + Self.queryPatience)
        }
        do {
            do {
                try await submit(answer)
            } catch let error where error.refusesTheValue && !isOver(error) {
                try await submit(
                    .failure(.application("the database refused the answer: \(error)", type: "ResultRefused")))
            }
        } catch {
            logger.debug("A query's answer could not be sent", metadata: ["error": "\(error)"])
        }
    }

    /// Whoever asks has gone by then.
    private static let queryPatience = Duration.seconds(10)

    private func ask(_ run: CachedRun, _ query: ClaimedQuery) async throws -> [Payload] {
        let converter = surroundings.converter
        let input = try await converter.decoded(query.input)
        let answer = try await threads.run {
            try run.run.query(query.queryType, headers: query.headers, input: input)
        } late: {
            run.run.evict()
        }
        return try await converter.encoded(answer)
    }

    /// A run as it stood after its last workflow task.
    private func replay(_ query: ClaimedQuery) async throws -> CachedRun {
        var events: [HistoryEvent] = []
        while true {
            let from = (events.last?.eventId ?? 0) + 1
            let page = try await historyPage(
                shard: query.shard, runID: query.runID, from: from, until: .now + Self.queryPatience)
            guard !page.isEmpty else { break }
            events += page
        }
        // What no workflow task has handled yet, the run has not seen.
        guard let last = events.lastIndex(where: { $0.eventType == .workflowTaskCompleted }) else {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application("the run has not completed a workflow task yet", type: "QueryRejected"))
        }
        // With the completion and what was decided, so that all of it counts as replayed: the patches and updates that
        // it recorded decide how the code goes on.
        let seen = Array(events[...last] + events[(last + 1)...].prefix { $0.isMadeByCommand })
        var run = try makeRun(
            workflowType: query.workflowType, workflowID: query.workflowID, runID: query.runID, shard: query.shard)
        let live = run.run
        do {
            let decoded = try await surroundings.converter.decoded(seen)
            _ = try await threads.run {
                try live.activate(decoded)
            } late: {
                live.evict()
            }
        } catch {
            if error is DeadlineExceeded { live.interrupt() } else { await threads.evict(live) }
            throw error
        }
        run.lastEventID = seen.last?.eventId ?? 0
        return run
    }
}
