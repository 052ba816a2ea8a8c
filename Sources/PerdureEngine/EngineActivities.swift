public import Foundation
import Postgres

/// What somebody does to an activity that has not ended. No event tells of it, as in Temporal.
public enum ActivityChange: Sendable, Hashable {
    /// What waits is not handed out, and no time-out of it comes. An attempt that runs goes on, is told with its next
    /// heartbeat, and is not followed by another.
    case pause(reason: String? = nil)
    /// A paused activity is tried at once.
    ///
    /// - resetAttempts: it is tried as attempt 1.
    /// - resetHeartbeat: the next attempt does not get the heartbeat details of the one before.
    case unpause(resetAttempts: Bool = false, resetHeartbeat: Bool = false)
    /// What waits is tried at once as attempt 1; an attempt that runs goes on and counts as the first.
    ///
    /// - keepPaused: a paused activity stays so.
    case reset(keepPaused: Bool = false, resetHeartbeat: Bool = false)
}

extension Engine {
    /// Changes an activity of an open run.
    ///
    /// - Parameter runID: the workflow's open run if it is nil.
    /// - Throws: ``EngineError`` with PD001 for a run that is not there, PD006 for a closed one, PD018 for an activity
    ///   that has ended or never was, PD019 for a pause of one that is paused.
    public func changeActivity(
        namespace: String, workflowID: String, runID: UUID? = nil, activityID: String, _ change: ActivityChange,
        identity: String? = nil
    ) async throws {
        let only = try await onlyShard()
        switch change {
        case .pause(let reason):
            _ = try await row(
                """
                select perdure.pause_activities(\(shard: only, of: workflowID, in: namespace), \
                \(namespace), \(workflowID), \(runID), \(activityID), null, \
                coalesce(\(identity?.withVisibleNul), session_user::text), \(reason?.withVisibleNul))
                """)
        case .unpause(let resetAttempts, let resetHeartbeat):
            _ = try await row(
                """
                select perdure.unpause_activities(\(shard: only, of: workflowID, in: namespace), \
                \(namespace), \(workflowID), \(runID), \(activityID), \
                null, false, \(resetAttempts), \(resetHeartbeat))
                """)
        case .reset(let keepPaused, let resetHeartbeat):
            _ = try await row(
                """
                select perdure.reset_activities(\(shard: only, of: workflowID, in: namespace), \
                \(namespace), \(workflowID), \(runID), \(activityID), \
                null, false, \(resetHeartbeat), \(keepPaused))
                """)
        }
    }
}
