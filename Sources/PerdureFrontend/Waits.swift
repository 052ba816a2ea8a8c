import Foundation
import Logging
import PerdureEngine
import Postgres
import Synchronization

/// Wakes those who wait for something to happen to a run, or for the answer to a query: when it happens through this
/// frontend, when the database tells of it, and by one look a second for all of them.
final class Waits: Sendable {
    enum Subject: Hashable, Sendable {
        /// That a run closes.
        case end
        /// That a run has an event with this id, or closes.
        case event(Int64)
        case answer
    }

    private struct Wait {
        let shard: Int16
        let subject: Subject
        let wakeup: Wakeup
    }

    private struct State {
        /// By the ids of runs and queries.
        var waits: [UUID: [UInt64: Wait]] = [:]
        var last: UInt64 = 0
        var namespaces: Set<String> = []
        var isDraining = false
    }

    private static let pause = Duration.seconds(1)

    private let database: FrontendDatabase
    private let notices: Notices
    private let logger: Logger
    private let state = Mutex(State())

    init(database: FrontendDatabase, notices: Notices, logger: Logger) {
        self.database = database
        self.notices = notices
        self.logger = logger
    }

    /// Whether nobody is to wait any more.
    var isDraining: Bool { state.withLock { $0.isDraining } }

    /// Ends all waits, and lets no other begin.
    func drain() {
        let wakeups = state.withLock { state in
            state.isDraining = true
            return state.waits.values.flatMap { $0.values.map(\.wakeup) }
        }
        for wakeup in wakeups { wakeup.signal() }
    }

    /// Looks, and looks again when there is news, until there is what was asked for or the time is over.
    ///
    /// - Returns: whether there is.
    func wait(
        for id: UUID, _ subject: Subject, _ shard: Int16, in namespace: String, atMost time: Duration,
        _ look: () async throws -> Bool
    ) async throws -> Bool {
        try await listen(in: namespace)
        let wakeup = Wakeup()
        let wait = state.withLock { state in
            state.last += 1
            state.waits[id, default: [:]][state.last] = Wait(shard: shard, subject: subject, wakeup: wakeup)
            return state.last
        }
        defer {
            state.withLock { state in
                state.waits[id]?[wait] = nil
                if state.waits[id]?.isEmpty ?? false { state.waits[id] = nil }
            }
        }
        let end = ContinuousClock.now + time
        while true {
            if try await look() { return true }
            let left = end - .now
            guard left > .zero, !isDraining else { return false }
            await wakeup.sleep(atMost: left)
            try Task.checkCancellation()
        }
    }

    /// Something happened to a run, or a query was answered.
    func tell(_ id: UUID) {
        let wakeups = state.withLock { $0.waits[id].map { $0.values.map(\.wakeup) } ?? [] }
        for wakeup in wakeups { wakeup.signal() }
    }

    /// Who closes a run or answers a query gives notice, if anybody in its namespace waits.
    private func listen(in namespace: String) async throws {
        guard state.withLock({ !$0.namespaces.contains(namespace) }) else { return }
        let channel: String = try await database.row("select perdure.result_channel(\(namespace))").decode(at: 0)
        guard state.withLock({ $0.namespaces.insert(namespace).inserted }) else { return }
        _ = notices.add(channel, preparation: "select perdure.await_results(\(namespace))") { payload in
            // Behind the id of a run that of an update may stand.
            if let id = UUID(uuidString: String(payload.prefix(36))) {
                self.tell(id)
            } else {
                // Some may have been missed.
                for id in self.state.withLock({ Array($0.waits.keys) }) { self.tell(id) }
            }
        }
    }

    /// Looks for news once a second, until the task is cancelled: notices are a hint.
    func run() async {
        while (try? await Task.sleep(for: Self.pause)) != nil {
            do {
                try await sweep()
            } catch {
                logger.debug("A look for those who wait failed", metadata: ["error": "\(error)"])
            }
        }
    }

    private func sweep() async throws {
        var runs: [Int16: [(id: UUID, next: Int64?)]] = [:]
        var queries: [Int16: [UUID]] = [:]
        for (id, waits) in state.withLock({ $0.waits }) {
            for wait in waits.values {
                switch wait.subject {
                case .end: runs[wait.shard, default: []].append((id, nil))
                case .event(let next): runs[wait.shard, default: []].append((id, next))
                case .answer: queries[wait.shard, default: []].append(id)
                }
            }
        }
        for (shard, asked) in runs {
            let found = try await database.rows(
                "select r from perdure.runs_with_news(\(shard), \(asked.map { $0.id }), \(asked.map { $0.next })) r")
            for row in found { tell(try row.decode(UUID.self, at: 0)) }
        }
        for (shard, asked) in queries {
            let found = try await database.rows("select q from perdure.answered_queries(\(shard), \(asked)) q")
            for row in found { tell(try row.decode(UUID.self, at: 0)) }
        }
    }
}
