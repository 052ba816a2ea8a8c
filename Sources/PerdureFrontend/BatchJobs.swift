import Foundation
import Logging
import PerdureEngine

/// Changes the runs of open batch jobs, one run after the other, and the jobs in turn. Every frontend does so: each run
/// is taken by one of them, and another one goes on with what a frontend that is killed leaves.
struct BatchJobs: Sendable {
    private static let pause = Duration.seconds(1)

    /// How many runs of a job are changed before it is another job's turn.
    private static let turn = 100

    let engine: Engine
    let agents: PollAgents
    let logger: Logger

    /// Works until the task is cancelled.
    func run() async {
        /// When a job that may change only so many runs in a second has its next turn.
        var turns: [UUID: ContinuousClock.Instant] = [:]
        while !Task.isCancelled {
            var wake = ContinuousClock.now + Self.pause
            do {
                let jobs = try await engine.openBatchJobs()
                turns = turns.filter { turn in jobs.contains { $0.jobID == turn.key } }
                for job in jobs {
                    if let turn = turns[job.jobID], turn > .now {
                        wake = min(wake, turn)
                        continue
                    }
                    var limit = Self.turn
                    if let rate = job.operationsPerSecond {
                        limit = max(1, Int(min(rate, Double(limit))))
                        turns[job.jobID] = .now + .seconds(Double(limit) / rate)
                    }
                    if await change(limit, runsOf: job.jobID) { wake = min(wake, turns[job.jobID] ?? .now) }
                }
            } catch {
                logger.warning("Batch jobs cannot be read; they are read again", metadata: ["error": "\(error)"])
            }
            if wake > .now { try? await Task.sleep(until: wake) }
        }
    }

    /// What fails is logged and tried again in the job's next turn, so that the other jobs have theirs.
    ///
    /// - Returns: whether the job may have more.
    private func change(_ limit: Int, runsOf job: UUID) async -> Bool {
        var changed = 0
        do {
            while changed < limit, !Task.isCancelled, try await engine.runNext(ofBatchJob: job) != nil { changed += 1 }
        } catch {
            logger.warning(
                "A run of a batch job could not be changed; it is tried again",
                metadata: ["job": "\(job)", "error": .cut(error)])
        }
        if changed > 0 { agents.nudgeAll(.workflow) }
        return changed == limit
    }
}
