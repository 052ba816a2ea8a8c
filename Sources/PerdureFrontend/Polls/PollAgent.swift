import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// What tasks a poll waits for.
struct PollQueue: Hashable, Sendable {
    enum Kind: String, Sendable { case workflow, activity }

    let namespace: String
    let name: String
    let kind: Kind
}

/// Holds the parked polls of one queue and kind, and claims for all of them: one look at the queue whenever there may
/// be something, and a slow sweep. Whoever writes a task that a parked poll can have takes that poll for it, and hands
/// the task over.
final class PollAgent: Sendable {
    private static let shortestPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(1)
    /// For so long after the last poll it listens on.
    private static let linger = Duration.seconds(30)

    let queue: PollQueue
    private let database: FrontendDatabase
    private let claims: TaskClaims
    private let notices: Notices
    private let logger: Logger
    private let polls = Mutex(ParkedPolls())
    private let looks = Mutex(Looks())
    private let wakeup = Wakeup()

    /// When the queue is looked at.
    private struct Looks {
        var isRunning = false
        /// Whether there may be something that nobody has seen.
        var isDue = true
        var next = ContinuousClock.now
        var pause = PollAgent.shortestPause
    }

    init(_ queue: PollQueue, database: FrontendDatabase, claims: TaskClaims, notices: Notices, logger: Logger) {
        self.queue = queue
        self.database = database
        self.claims = claims
        self.notices = notices
        self.logger = logger
    }

    // MARK: Polls

    /// Waits for a task for this worker.
    ///
    /// - Parameter hasEnded: whether the worker shuts down; asked once the poll stands where ``endPolls(of:)`` finds
    ///   it.
    /// - Returns: nil when there was none in time, or the client has gone.
    func poll(_ worker: UUID, atMost time: Duration, unless hasEnded: @Sendable () -> Bool) async -> ClaimedTask? {
        let id = polls.withLock { $0.nextID() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isParked = polls.withLock {
                    $0.park(id, worker: worker, until: .now + time, answer: continuation)
                }
                guard isParked else { return continuation.resume(returning: nil) }
                if Task.isCancelled || hasEnded() { return end(id) }
                let (starts, wakes) = looks.withLock { looks in
                    defer { looks.isRunning = true }
                    return (!looks.isRunning, looks.isDue || looks.next <= .now)
                }
                if starts {
                    Task { await self.run() }
                } else if wakes {
                    wakeup.signal()
                }
            }
        } onCancel: {
            end(id)
        }
    }

    /// A poll that nobody waits for any more.
    private func end(_ id: UInt64) { polls.withLock { $0.remove(id) }?.resume(returning: nil) }

    /// Answers the worker's polls: it shuts down.
    func endPolls(of worker: UUID) {
        for answer in polls.withLock({ $0.removeAll(of: worker) }) { answer.resume(returning: nil) }
    }

    /// Answers all polls, and those that come, with nothing.
    func drain() {
        for answer in polls.withLock({ $0.drain() }) { answer.resume(returning: nil) }
        wakeup.signal()
    }

    /// Takes a parked poll, of this worker or of any, for a task that may come of what is about to be written.
    func reserve(_ worker: UUID? = nil) -> PollReservation? {
        polls.withLock { $0.reserve(worker) }.map { PollReservation(agent: self, id: $0.id, worker: $0.worker) }
    }

    fileprivate func putBack(_ id: UInt64) {
        polls.withLock { $0.putBack(id) }?.resume(returning: nil)
        // What came meanwhile was not for it.
        if looks.withLock({ $0.isDue }) { wakeup.signal() }
    }

    fileprivate func deliver(_ task: ClaimedTask, to id: UInt64) {
        if let answer = polls.withLock({ $0.remove(id) }) {
            answer.resume(returning: task)
        } else {
            // The client went away while its task was claimed.
            Task { await claims.handBack(task) }
        }
    }

    // MARK: Claiming

    /// There may be something in the queue.
    func nudge() {
        looks.withLock { $0.isDue = true }
        wakeup.signal()
    }

    /// As long as there are polls, and for a while after.
    private func run() async {
        var channel: String?
        var listener: UInt64?
        var announced: UUID?
        var lastSeen = ContinuousClock.now
        while true {
            for answer in polls.withLock({ $0.removeExpired() }) { answer.resume(returning: nil) }
            let parked = polls.withLock { $0.parked }
            if !parked.isEmpty { lastSeen = .now }
            if parked.isEmpty, lastSeen + Self.linger < .now {
                let ends = looks.withLock { looks in
                    // A poll that comes now starts another run, or is seen here.
                    guard polls.withLock({ $0.parked.isEmpty }) else { return false }
                    looks = Looks()
                    return true
                }
                if ends { break }
                continue
            }
            let isDue = looks.withLock { looks in
                guard !parked.isEmpty, looks.isDue || looks.next <= .now else { return false }
                looks.isDue = false
                return true
            }
            if isDue {
                var hasClaimed = false
                do {
                    if channel == nil {
                        let name: String = try await database.row(
                            "select perdure.wake_channel(\(queue.namespace), \(queue.name))"
                        ).decode(at: 0)
                        channel = name
                        listener = notices.add(name) { _ in self.nudge() }
                    }
                    hasClaimed = try await claim(parked)
                    // Producers notify a queue only while one of its workers says that it waits.
                    if !hasClaimed, announced.map({ !claims.workers.isKnown($0) }) ?? true,
                        let worker = parked.keys.first
                    {
                        _ = try await database.rows("select perdure.set_waiting(\(worker), true)")
                        announced = worker
                        looks.withLock { $0.isDue = true }
                    }
                } catch {
                    logger.warning(
                        "Tasks could not be claimed", metadata: ["queue": "\(queue.name)", "error": "\(error)"])
                }
                looks.withLock { looks in
                    looks.pause = hasClaimed ? Self.shortestPause : min(looks.pause * 2, Self.longestPause)
                    looks.next = .now + looks.pause
                }
            }
            let pause = looks.withLock { looks in
                looks.isDue && polls.withLock { !$0.parked.isEmpty } ? Duration.zero : looks.next - .now
            }
            await wakeup.sleep(atMost: parked.isEmpty ? Self.longestPause : pause)
        }
        if let channel, let listener { notices.remove(listener, from: channel) }
        if let announced, claims.workers.isKnown(announced) {
            _ = try? await database.rows("select perdure.set_waiting(\(announced), false)")
        }
    }

    /// - Returns: whether anything was claimed.
    private func claim(_ parked: [UUID: Int]) async throws -> Bool {
        var hasClaimed = false
        for shard in try await database.shards() {
            let found = try await database.rows(
                """
                select * from perdure.claimable_tasks(\(shard), \(queue.namespace), \(queue.name), \
                \(queue.kind.rawValue), \(Array(parked.keys)), \(Int32(parked.values.reduce(0, +))))
                """)
            var left = 0
            var queries = 0
            var kept: [UUID: Int] = [:]
            for row in found {
                let tasks = Int(try row.decode(Int32.self, "tasks"))
                if let worker = try row.decode(UUID?.self, "sticky_worker") {
                    kept[worker] = tasks
                } else {
                    left = tasks
                    queries = Int(try row.decode(Int32.self, "queries"))
                }
            }
            guard left > 0 || queries > 0 || !kept.isEmpty else { continue }
            for worker in parked.keys {
                let wanted = left + (kept[worker] ?? 0)
                guard wanted > 0 || queries > 0 else { continue }
                let reserved = polls.withLock { polls in
                    var ids: [UInt64] = []
                    while ids.count < max(wanted, queries), let poll = polls.reserve(worker) { ids.append(poll.id) }
                    return ids
                }
                // There may be more than there are polls: the next poll looks again.
                if reserved.count <= max(wanted, queries) { looks.withLock { $0.isDue = true } }
                guard !reserved.isEmpty else { continue }
                var claimed: [ClaimedTask] = []
                do {
                    claimed = try await claims.claim(
                        queue, shard, worker, min(wanted, reserved.count), queries: queries > 0 ? reserved.count : 0)
                } catch {
                    for id in reserved { putBack(id) }
                    throw error
                }
                for (id, task) in zip(reserved, claimed) { deliver(task, to: id) }
                for id in reserved.dropFirst(claimed.count).reversed() { putBack(id) }
                left = max(0, left - claimed.count)
                hasClaimed = hasClaimed || !claimed.isEmpty
            }
        }
        return hasClaimed
    }
}

/// A parked poll that is taken for a task that may come: ``settle(_:)`` is called once, in any case.
struct PollReservation: Sendable {
    fileprivate let agent: PollAgent
    fileprivate let id: UInt64
    let worker: UUID

    var queue: PollQueue { agent.queue }

    /// As the engine's functions take it.
    var json: JSON { ["worker": .string(worker.uuidString), "taskQueue": .string(queue.name)] }

    /// - Parameter task: nil when none came; then the poll waits on.
    func settle(_ task: ClaimedTask?) {
        if let task { agent.deliver(task, to: id) } else { agent.putBack(id) }
    }
}
