import Foundation
import PerdureEngine

extension FusedActivity {
    /// What the run is told: the history that the engine will write.
    ///
    /// - Parameters:
    ///   - result: as the activity returned it, before any codec.
    ///   - historySize: how many bytes the history has before it.
    func events(result: [Payload], historySize: Int64) -> [HistoryEvent] {
        let activity: JSON = ["scheduledEventId": .number(scheduledEventID)]
        return [
            HistoryEvent(
                eventId: nextEventID, eventTime: startedAt, eventType: .activityTaskStarted, attributes: activity),
            HistoryEvent(
                eventId: nextEventID + 1, eventTime: startedAt, eventType: .activityTaskCompleted,
                attributes: ["scheduledEventId": .number(scheduledEventID), "result": result.json]),
            HistoryEvent(eventId: nextEventID + 2, eventTime: startedAt, eventType: .workflowTaskScheduled),
            HistoryEvent(
                eventId: nextEventID + 3, eventTime: startedAt, eventType: .workflowTaskStarted,
                attributes: Limits.historyTold(startedEventID: nextEventID + 3, bytes: historySize)),
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
    /// together. This is its beginning: where the activity's code ended, its run goes on, on a thread for workflow
    /// code; and what comes of that settles the activity's ending there.
    ///
    /// - Returns: whether the run goes on; else the result is to be reported alone.
    func advance(with result: ActivityReturn, of activity: RunningActivity) -> Bool {
        let task = activity.task
        guard options.fusesSteps, isWorking, activity.cancellation == nil,
            let run = cache.acquireIfCached(task.runID)
        else { return false }
        // Local activities belong to workflow tasks that the engine knows of, and may take as long as these.
        guard let nextEventID = run.nextEventID, !run.run.usesLocalActivities,
            activeRuns.withLock({ $0.insert(task.runID).inserted })
        else {
            for run in cache.release(task.runID, run) { threads.evictSoon(run.run) }
            return false
        }
        let start = ContinuousClock.now
        let fused = FusedActivity(
            nextEventID: nextEventID, startedAt: max(run.clock.now, task.startedAt),
            scheduledEventID: task.scheduledEventID, attempt: task.attempt, result: result.encoded)
        let events = run.ownEvents + fused.events(result: result.value, historySize: run.historySize)
        let live = run.run
        threads.run { [activeRuns] in
            defer { activeRuns.withLock { _ = $0.remove(task.runID) } }
            return try live.activate(events)
        } then: { [cache] commands in
            let step = FusedStep(fused: fused, run: run, start: start, commands: commands)
            if step.isStuck { live.interrupt() }
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
    func complete(_ step: FusedStep, of running: RunningActivity) async -> [ClaimedActivityTask]? {
        let activity = running.task
        guard !step.run.run.usesLocalActivities else {
            await forget(step, of: activity)
            return nil
        }
        // What stands in the way may be the commands, or how much they are: soon the result goes alone.
        let left = running.deadline.map { $0 - .now } ?? .seconds(6)
        let end = ContinuousClock.now + min(max(left / 3, .zero), .seconds(2))
        do {
            let commands = try await surroundings.converter.encoded(step.commands.get())
            var run = step.run
            run.lastEventID = step.fused.nextEventID + 3
            metrics.cacheHits.increment()
            metrics.workflow(activity.workflowType).taskLatency.record(step.start.duration(to: .now))
            var completion = WorkflowTaskCompletion(
                runID: activity.runID, fused: step.fused, commands: commands, sticky: keeps(commands),
                sdkMetadata: run.run.newMetadata)
            completion.hasRelatives = run.run.hasRelatives
            let (kept, started, state) = try await complete(
                completion, shard: activity.shard, run: run, freed: 1, until: end)
            await putBack(activity.runID, kept, run)
            if state == .stale || state == .refused { return nil }
            metrics.activity(activity).ended(.completed, age: running.age)
            return started
        } catch {
            // The engine took nothing, or knows: the result goes to it alone, and the workflow task fails as its own.
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
