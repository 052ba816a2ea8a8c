import Foundation
import PerdureEngine

extension FusedActivity {
    /// What the run is told: the history that the engine will write.
    var events: [HistoryEvent] {
        let activity: JSON = ["scheduledEventId": .number(scheduledEventID)]
        return [
            HistoryEvent(
                eventId: nextEventID, eventTime: startedAt, eventType: .activityTaskStarted, attributes: activity),
            HistoryEvent(
                eventId: nextEventID + 1, eventTime: startedAt, eventType: .activityTaskCompleted,
                attributes: ["scheduledEventId": .number(scheduledEventID), "result": result.json]),
            HistoryEvent(eventId: nextEventID + 2, eventTime: startedAt, eventType: .workflowTaskScheduled),
            HistoryEvent(eventId: nextEventID + 3, eventTime: startedAt, eventType: .workflowTaskStarted),
        ]
    }
}

/// A step that a run made with the result of an activity, and of which the engine is still to be told.
struct FusedStep: Sendable {
    let fused: FusedActivity
    /// As it was before.
    let run: CachedRun
    /// When the activity ended and the run went on.
    let start: ContinuousClock.Instant
    let commands: Result<[Command], any Error>

    /// Whether the run's code did not come back.
    var isStuck: Bool {
        guard case .failure(let error) = commands else { return false }
        return error is DeadlineExceeded
    }
}

extension WorkerSession {
    /// The fused step: an activity's result, the workflow task that it makes and the commands of that go to the engine
    /// together. This is its beginning: where the activity's code ended, its run goes on, on a thread for workflow code; and
    /// what comes of that settles the activity's ending there.
    ///
    /// - Returns: whether the run goes on; else the result is to be reported alone.
    func advance(with result: [Payload], of activity: RunningActivity) -> Bool {
        let task = activity.task
        guard options.fusesSteps, isWorking, activity.cancellation == nil,
            let run = cache.acquireIfCached(task.runID)
        else { return false }
        guard let nextEventID = run.nextEventID, activeRuns.withLock({ $0.insert(task.runID).inserted }) else {
            for run in cache.release(task.runID, run) { threads.evictSoon(run.run) }
            return false
        }
        let start = ContinuousClock.now
        let fused = FusedActivity(
            nextEventID: nextEventID, startedAt: max(run.clock.now, task.startedAt),
            scheduledEventID: task.scheduledEventID, attempt: task.attempt, result: result)
        let events = run.ownEvents + fused.events
        let live = run.run
        threads.run { [activeRuns] in
            defer { activeRuns.withLock { _ = $0.remove(task.runID) } }
            return try live.activate(events)
        } then: { [cache] commands in
            let step = FusedStep(fused: fused, run: run, start: start, commands: commands)
            guard !activity.ending.settle(.advanced(step)) else { return }
            // The activity was given up meanwhile: nobody will hear of the step.
            _ = cache.release(task.runID, nil)
            if !step.isStuck { live.evict() }
        } late: {
            live.evict()
        }
        return true
    }

    /// Tells the engine of a fused step.
    ///
    /// - Returns: nil when it could not be done and the result is still to be reported; else the activities that are
    ///   started with it, one of them in the slot of the activity that has ended.
    func complete(_ step: FusedStep, of activity: ClaimedActivityTask) async -> [ClaimedActivityTask]? {
        do {
            let commands = try step.commands.get()
            var run = step.run
            run.lastEventID = step.fused.nextEventID + 3
            metrics.cacheHits.increment()
            metrics.workflowTaskLatency.record(step.start.duration(to: .now))
            let completion = WorkflowTaskCompletion(
                runID: activity.runID, fused: step.fused, commands: commands, sticky: keeps(commands))
            let (kept, started, state) = try await complete(completion, shard: activity.shard, run: run, freed: 1)
            await putBack(activity.runID, kept, run)
            if state == .stale { return nil }
            metrics.activityEnded(ActivityTaskOutcome.State.completed.rawValue)
            return started
        } catch {
            // The engine was told nothing: the result goes to it alone, and the workflow task fails as its own.
            await forget(step, of: activity)
            if isOver(error) { _ = noteError(error, "A workflow task was given up") }
            return nil
        }
    }

    /// Gives up a run that is ahead of its history.
    func forget(_ step: FusedStep, of activity: ClaimedActivityTask) async {
        if step.isStuck {
            // Its code still runs; it is evicted when that comes back.
            _ = cache.release(activity.runID, nil)
        } else {
            await putBack(activity.runID, nil, step.run)
        }
    }
}
