import Foundation
import Logging
import PerdureEngine
import Postgres

/// Does what is due in the database: where all workers are of other SDKs, nobody else would.
struct Upkeep: Sendable {
    private static let longestPause = Duration.seconds(1)
    private static let shortestPause = Duration.milliseconds(10)

    /// How often it is looked for what is kept no longer.
    private static let deletionPause = Duration.seconds(20)

    let database: FrontendDatabase
    let agents: PollAgents
    let logger: Logger

    /// Works until the task is cancelled.
    func run() async {
        var next = ContinuousClock.now
        while !Task.isCancelled {
            var pause = Self.longestPause
            do {
                for shard in try await database.shards() {
                    let row = try await database.row(
                        """
                        select fired_timers + timed_out_activities + retried_activities + timed_out_workflow_tasks \
                        + lost_workers as actions, next_due_at - perdure.clock() as wait \
                        from perdure.upkeep(\(shard), 1000)
                        """)
                    // What was due has given somebody something to do, most of the time.
                    if try row.decode(Int32.self, "actions") > 0 { agents.nudgeAll() }
                    if let wait = try row.decode(Duration?.self, "wait") { pause = min(pause, wait) }
                    try await database.transfers.pass(over: shard)
                }
                if next < .now, try await !deleteExpired() { next = .now + Self.deletionPause }
            } catch {
                logger.warning("Upkeep failed; it is tried again", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: max(pause, Self.shortestPause))
        }
    }

    /// - Returns: whether there is more.
    private func deleteExpired() async throws -> Bool {
        var isMore = false
        for shard in try await database.shards() {
            let row = try await database.row("select is_more from perdure.delete_expired(\(shard), 1000)")
            isMore = try row.decode(Bool.self, at: 0) || isMore
        }
        return isMore
    }
}
