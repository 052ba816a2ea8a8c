import Foundation
import Logging
import PerdureEngine
import Synchronization

/// The agents of all queues that are polled.
final class PollAgents: Sendable {
    private let database: FrontendDatabase
    private let claims: TaskClaims
    private let notices: Notices
    private let logger: Logger
    private let agents = Mutex<[PollQueue: PollAgent]>([:])
    /// Polls for tasks of a kind that is never there.
    let idle = IdlePolls()

    init(database: FrontendDatabase, claims: TaskClaims, notices: Notices, logger: Logger) {
        self.database = database
        self.claims = claims
        self.notices = notices
        self.logger = logger
    }

    subscript(queue: PollQueue) -> PollAgent {
        agents.withLock { agents in
            if let agent = agents[queue] { return agent }
            let agent = PollAgent(queue, database: database, claims: claims, notices: notices, logger: logger)
            agents[queue] = agent
            return agent
        }
    }

    /// The agent of a queue that has been polled here.
    private func known(_ queue: PollQueue) -> PollAgent? { agents.withLock { $0[queue] } }

    /// Takes a parked poll for a workflow task that may come of what is about to be written.
    func reserve(_ name: String, in namespace: String, for worker: UUID? = nil) -> PollReservation? {
        known(PollQueue(namespace: namespace, name: name, kind: .workflow))?.reserve(worker)
    }

    /// Something was written to a queue that nobody was handed.
    func nudge(_ name: String, _ kind: PollQueue.Kind, in namespace: String) {
        known(PollQueue(namespace: namespace, name: name, kind: kind))?.nudge()
    }

    /// Something may have been written to any queue.
    func nudgeAll(_ kind: PollQueue.Kind? = nil, in namespace: String? = nil) {
        for (queue, agent) in agents.withLock({ $0 })
        where (kind ?? queue.kind) == queue.kind && (namespace ?? queue.namespace) == queue.namespace {
            agent.nudge()
        }
    }

    func endPolls(of worker: UUID) {
        for agent in agents.withLock({ Array($0.values) }) { agent.endPolls(of: worker) }
        idle.endPolls(of: worker)
    }

    /// Answers all polls, and those that come: this process ends.
    func drain() {
        for agent in agents.withLock({ Array($0.values) }) { agent.drain() }
        idle.drain()
    }
}
