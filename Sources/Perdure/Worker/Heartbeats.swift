import Foundation
import PerdureEngine
import Postgres
import Synchronization

/// The heartbeats of running activities. An activity may record one as often as it likes: the newest is sent, together
/// with those of others, a few times in every heartbeat timeout.
final class Heartbeats: Sendable {
    private struct Entry {
        let activity: RunningActivity
        var details: [Payload]
        /// Whether the newest was taken to be sent, and whether the engine has it.
        var isSent: Bool
        var isAcknowledged = false
        /// When the next one may be sent.
        var due: ContinuousClock.Instant
    }

    private let entries = Mutex<[ActivityKey: Entry]>([:])
    private let wakeup = Wakeup()

    func record(_ activity: RunningActivity, _ details: [Payload]) {
        let wakes = entries.withLock { entries in
            let key = activity.key
            guard let entry = entries[key] else {
                entries[key] = Entry(activity: activity, details: details, isSent: false, due: .now)
                return true
            }
            entries[key]?.details = details
            entries[key]?.isSent = false
            entries[key]?.isAcknowledged = false
            return entry.isSent
        }
        if wakes { wakeup.signal() }
    }

    func remove(_ key: ActivityKey) { entries.withLock { $0[key] = nil } }

    /// Sleeps until there is something to send.
    func sleep() async {
        let due = entries.withLock { $0.values.filter { !$0.isSent }.map(\.due).min() }
        await wakeup.sleep(atMost: due.map { $0 - .now } ?? .seconds(60))
    }

    /// What is due to be sent now.
    func take() -> [(activity: RunningActivity, details: [Payload])] {
        let now = ContinuousClock.now
        return entries.withLock { entries in
            var taken: [(RunningActivity, [Payload])] = []
            for (key, entry) in entries where !entry.isSent && entry.due <= now {
                entries[key]?.isSent = true
                entries[key]?.due = now + Self.interval(entry.activity.task.heartbeatTimeout)
                taken.append((entry.activity, entry.details))
            }
            return taken
        }
    }

    /// An activity's newest heartbeat, if the engine may not have it; one that is on its way may come late.
    func takeUnacknowledged(_ key: ActivityKey) -> [Payload]? {
        entries.withLock { entries in
            guard let entry = entries[key], !entry.isAcknowledged else { return nil }
            entries[key]?.isSent = true
            return entry.details
        }
    }

    func acknowledge(_ key: ActivityKey) {
        entries.withLock { entries in
            if entries[key]?.isSent == true { entries[key]?.isAcknowledged = true }
        }
    }

    /// What could not be sent stays to be sent, unless a newer one has come.
    func putBack(_ key: ActivityKey) { entries.withLock { $0[key]?.isSent = false } }

    /// A third of the timeout leaves room for two that are lost. Without a timeout a heartbeat still carries details
    /// out and a cancellation in.
    private static func interval(_ timeout: Duration?) -> Duration {
        guard let timeout, timeout > .zero else { return .seconds(5) }
        return min(timeout / 3, .seconds(30))
    }
}

extension WorkerSession {
    /// Sends heartbeats as they fall due, and hands cancellations to the activities.
    func sendHeartbeats() async {
        var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
        while !Task.isCancelled {
            await heartbeats.sleep()
            let taken = heartbeats.take()
            guard !taken.isEmpty else { continue }
            do {
                try await send(taken)
                retry.reset()
            } catch {
                for heartbeat in taken { heartbeats.putBack(heartbeat.activity.key) }
                guard noteError(error, "Heartbeats could not be sent") else { return }
                try? await Task.sleep(for: retry.nextSpread())
            }
        }
    }

    /// Sends what an attempt heartbeat last, so that the next attempt can go on from there.
    func flushHeartbeat(of activity: RunningActivity) async {
        guard let details = heartbeats.takeUnacknowledged(activity.key) else { return }
        do {
            try await retrying("A last heartbeat could not be sent", until: activity.reportedUntil) {
                try await self.send([(activity, details)])
            }
        } catch {
            _ = noteError(error, "A last heartbeat was not sent")
        }
    }

    private func send(_ heartbeats: [(activity: RunningActivity, details: [Payload])]) async throws {
        for (shard, heartbeats) in Dictionary(grouping: heartbeats, by: \.activity.task.shard) {
            var encoded: [ActivityHeartbeat] = []
            for (activity, details) in heartbeats {
                encoded.append(
                    ActivityHeartbeat(
                        runID: activity.task.runID, scheduledEventID: activity.task.scheduledEventID,
                        attempt: activity.task.attempt,
                        details: try await surroundings.converter.encoded(details)))
            }
            let outcomes = try await engine.heartbeatActivityTasks(
                shard: shard, workerID: workerID, heartbeats: encoded)
            for outcome in outcomes {
                let key = ActivityKey(runID: outcome.runID, scheduledEventID: outcome.scheduledEventID)
                if outcome.kept || outcome.lost {
                    self.heartbeats.acknowledge(key)
                } else {
                    // Somebody had the activity at that moment.
                    self.heartbeats.putBack(key)
                }
                guard let activity = activities[key] else { continue }
                if outcome.lost { activity.cancel(.lost) }
                if outcome.cancelRequested { activity.cancel(.requested) }
                if outcome.isPaused { activity.cancel(.paused) }
                if outcome.isReset { activity.cancel(.reset) }
            }
        }
    }
}
