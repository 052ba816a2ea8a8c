import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// The workers of other SDKs, which are workers of the engine: registered when they poll for the first time, their
/// leases renewed by one call for all while they poll or hold a task.
final class SDKWorkers: Sendable {
    private struct Worker {
        let namespace: String
        let identity: String
        var told = Told()
        /// What the database knows.
        var registered = Told()
        var lastSeen = ContinuousClock.now
        var polls: Bool
        /// Until when the tasks that it holds may run.
        var held: [TaskToken.Key: ContinuousClock.Instant] = [:]
    }

    /// What its polls have told.
    private struct Told: Equatable {
        var queues: Set<String> = []
        /// Empty until a poll names it.
        var buildID = ""
    }

    /// After so long without a poll a worker that holds nothing has gone. A poll lasts a minute.
    private static let patience = Duration.seconds(90)
    /// For so long a poll of a worker that has shut down is known as such.
    private static let memory = Duration.seconds(600)
    private static let lease = Duration.seconds(30)

    private let database: FrontendDatabase
    private let logger: Logger
    private let workers = Mutex<[UUID: Worker]>([:])
    /// Workers that shut down, and when. Polls that they sent before may come later.
    private let shutDown = Mutex<[UUID: ContinuousClock.Instant]>([:])

    init(database: FrontendDatabase, logger: Logger) {
        self.database = database
        self.logger = logger
    }

    /// The worker that polls, registered with all queues that it has polled.
    ///
    /// - Parameter key: what tells its process from others: the instance key of newer SDKs, or the identity.
    func worker(
        key: String, identity: String, buildID: String, queue: String, namespace: String
    ) async throws -> UUID {
        try await worker(key, identity, buildID, queue, namespace, polls: true)
    }

    /// Who takes a task that a client asks for, whose worker has not polled here: a worker of the client's name, which
    /// keeps no run.
    func standIn(for identity: String, on queue: String, in namespace: String) async throws -> UUID {
        try await worker(identity, identity, "", queue, namespace, polls: false)
    }

    /// Whether the next task of a run can wait for this worker.
    func keepsRuns(_ id: UUID) -> Bool { workers.withLock { $0[id]?.polls ?? true } }

    /// The build id that a worker's polls told; empty if none did.
    func buildID(of id: UUID) -> String { workers.withLock { $0[id]?.told.buildID ?? "" } }

    private func worker(
        _ key: String, _ identity: String, _ buildID: String, _ queue: String, _ namespace: String, polls: Bool
    ) async throws -> UUID {
        // The same for every frontend, so that a worker that reaches another one goes on.
        let id = Self.id(of: key, in: namespace)
        guard !isShuttingDown(id) else { return id }
        var told = workers.withLock { workers in
            var worker = workers[id] ?? Worker(namespace: namespace, identity: identity, polls: polls)
            worker.lastSeen = .now
            if polls { worker.polls = true }
            worker.told.queues.insert(queue)
            if !buildID.isEmpty { worker.told.buildID = buildID }
            workers[id] = worker
            return worker.told == worker.registered ? nil : worker.told
        }
        // Another poll may have told more meanwhile, and have been registered before this one.
        while let now = told {
            do {
                try await register(id, identity, now, namespace)
            } catch {
                // A name that is refused must not stop the polls of other queues.
                workers.withLock { workers in
                    guard let worker = workers[id], !worker.registered.queues.contains(queue) else { return }
                    workers[id]?.told.queues.remove(queue)
                }
                throw error
            }
            told = workers.withLock { workers in
                workers[id]?.registered = now
                guard let worker = workers[id], worker.told != now else { return nil }
                return worker.told
            }
        }
        return id
    }

    private func register(_ id: UUID, _ identity: String, _ told: Told, _ namespace: String) async throws {
        _ = try await database.rows(
            """
            select perdure.register_worker(\(id), \(namespace), \(identity), \(told.buildID), \(Array(told.queues)), \
            \(Self.lease), \(["sdk": true] as JSON))
            """)
    }

    static func id(of key: String, in namespace: String) -> UUID {
        // Two hashes of 64 bits, marked as a UUID of a kind of its own (RFC 9562, version 8).
        let text = Array("\(namespace)\u{1F}\(key)".utf8)
        var bytes: [UInt8] = []
        for hash in [TemporalSchema.hash(text), TemporalSchema.hash(text.reversed())] {
            withUnsafeBytes(of: hash.bigEndian) { bytes.append(contentsOf: $0) }
        }
        bytes[6] = bytes[6] & 0x0F | 0x80
        bytes[8] = bytes[8] & 0x3F | 0x80
        return bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(as: uuid_t.self)) }
    }

    func isShuttingDown(_ id: UUID) -> Bool { shutDown.withLock { $0[id] != nil } }

    /// Whether it polls, or did a while ago.
    func isKnown(_ id: UUID) -> Bool { !isShuttingDown(id) && workers.withLock { $0[id] != nil } }

    /// A worker of a client's process: one that polls a queue under the client's identity.
    func worker(of identity: String, polling queue: String, in namespace: String) -> UUID? {
        let ended = shutDown.withLock { Set($0.keys) }
        return workers.withLock { workers in
            workers.first { id, worker in
                worker.polls && worker.identity == identity && worker.namespace == namespace
                    && worker.told.queues.contains(queue) && !ended.contains(id)
            }?.key
        }
    }

    /// A task was handed out, which may run for a time.
    func hold(_ token: TaskToken, for time: Duration) {
        workers.withLock { $0[token.worker]?.held[token.key] = .now + time }
    }

    func release(_ token: TaskToken) {
        workers.withLock { _ = $0[token.worker]?.held.removeValue(forKey: token.key) }
    }

    /// The worker polls no more; what it holds it may still finish.
    ///
    /// - Parameter key: the instance key of a worker, which no other one has.
    func shutDown(key: String, in namespace: String) async -> UUID {
        let id = Self.id(of: key, in: namespace)
        let now = ContinuousClock.now
        shutDown.withLock { ended in
            ended = ended.filter { $0.value + Self.memory > now }
            ended[id] = now
        }
        await removeGone()
        return id
    }

    /// Renews leases until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            do {
                let ids = workers.withLock { $0.filter { !$0.value.registered.queues.isEmpty }.map(\.key) }
                if !ids.isEmpty {
                    let gone = try await database.rows(
                        "select w from perdure.renew_leases(\(ids), \(Self.lease)) w")
                    for row in gone {
                        let id = try row.decode(UUID.self, at: 0)
                        // Its next poll registers it anew.
                        workers.withLock { _ = $0.removeValue(forKey: id) }
                    }
                }
                await removeGone()
            } catch {
                logger.warning("The leases of workers could not be renewed", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: Self.lease / 3)
        }
    }

    private func removeGone() async {
        let now = ContinuousClock.now
        let ended = shutDown.withLock { Set($0.keys) }
        let gone = workers.withLock { workers in
            workers = workers.mapValues { worker in
                var worker = worker
                worker.held = worker.held.filter { $0.value > now }
                return worker
            }
            let gone = workers.filter { id, worker in
                worker.held.isEmpty && (ended.contains(id) || worker.lastSeen + Self.patience < now)
            }
            for id in gone.keys { workers[id] = nil }
            return Array(gone.keys)
        }
        for id in gone {
            do {
                _ = try await database.rows("select perdure.stop_worker(\(id))")
            } catch {
                // Its lease runs out.
                logger.debug("A worker could not be signed off", metadata: ["error": "\(error)"])
            }
        }
    }
}
