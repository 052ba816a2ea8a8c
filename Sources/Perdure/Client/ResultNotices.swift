import Foundation
import PerdureEngine
import Postgres
import Synchronization

/// Wakes those who wait for a result when its run has closed, or an update of it has come further.
///
/// Notices are a hint, and not all runs give one: whoever waits looks by itself too, but need not look as often. They
/// come over a connection of their own, which is opened when waiting proves to be worth it and closed a while after the
/// last one waits.
final class ResultNotices: Sendable {
    private struct State {
        var waiting: [UUID: [UInt64: Wakeup]] = [:]
        var lastWait: UInt64 = 0
        var listener: Task<Void, Never>?
        var isListening = false
        /// Until when it is not tried again.
        var pausesUntil: ContinuousClock.Instant?
        var closing: EventLoop.Timer?
    }

    private static let linger = Duration.seconds(2)
    private static let pauseAfterFailure = Duration.seconds(60)
    private static let patience = Duration.seconds(1)

    private let engine: Engine
    private let namespace: String
    private let state = Mutex(State())

    init(engine: Engine, namespace: String) {
        self.engine = engine
        self.namespace = namespace
    }

    deinit { state.withLock { $0.listener?.cancel() } }

    /// Whether most runs give notice when they close.
    var areComing: Bool { state.withLock { $0.isListening } }

    /// Whether none could be had, and it is not tried again for a while.
    var hasGivenUp: Bool { state.withLock { $0.listener == nil && $0.pausesUntil.map { $0 > .now } ?? false } }

    /// Has a wake-up signalled when a run closes, while `body` runs.
    func of<Value>(_ runID: UUID?, to wakeup: Wakeup, _ body: () async throws -> Value) async throws -> Value {
        guard let runID else { return try await body() }
        let (wait, timer) = state.withLock { state -> (UInt64, EventLoop.Timer?) in
            state.lastWait += 1
            state.waiting[runID, default: [:]][state.lastWait] = wakeup
            defer { state.closing = nil }
            return (state.lastWait, state.closing)
        }
        if let timer { EventLoop.shared.cancel(timer) }
        // One wait, as that of a command line, is not worth a connection.
        if wait > 1 { listen() }
        defer { end(wait, of: runID) }
        return try await body()
    }

    private func end(_ wait: UInt64, of runID: UUID) {
        state.withLock { state in
            state.waiting[runID]?[wait] = nil
            if state.waiting[runID]?.isEmpty ?? false { state.waiting[runID] = nil }
            guard state.waiting.isEmpty, state.listener != nil, state.closing == nil else { return }
            state.closing = EventLoop.shared.schedule(at: .now + Self.linger) { [weak self] in self?.closeIfIdle() }
        }
    }

    private func closeIfIdle() {
        state.withLock { state in
            state.closing = nil
            if state.waiting.isEmpty { state.listener?.cancel() }
        }
    }

    /// Opens the connection, unless there is one.
    func listen() {
        state.withLock { state in
            guard state.listener == nil, state.pausesUntil.map({ $0 < .now }) ?? true else { return }
            state.listener = Task(executorPreference: EventLoop.shared) { [weak self, engine, namespace] in
                var error: (any Error)?
                do {
                    try await Self.notices(engine, namespace) { self?.pass($0) }
                } catch let failure {
                    error = failure
                }
                self?.stopped(error)
            }
        }
    }

    /// - Parameter pass: gets the run of each notice, and nil when they begin to come.
    private static func notices(_ engine: Engine, _ namespace: String, pass: (UUID?) -> Void) async throws {
        let connection = try await PostgresConnection.connect(engine.pool.configuration, logger: engine.pool.logger)
        do {
            let own = engine.on(connection)
            let channel = try await own.resultChannel(namespace: namespace)
            let notifications = try await connection.listen(channel)
            // Through a pooler in transaction mode none arrive, and the lock would stay behind: so first one that is
            // sent by another.
            let patience = EventLoop.shared.schedule(at: .now + patience) { Task { await connection.close() } }
            defer { EventLoop.shared.cancel(patience) }
            try await engine.notify(channel)
            for try await notification in notifications {
                // The run's id, and behind it that of an update that has come further.
                if let runID = UUID(uuidString: String(notification.payload.prefix(36))) {
                    pass(runID)
                } else if EventLoop.shared.cancel(patience) {
                    try await own.awaitResults(namespace: namespace)
                    pass(nil)
                }
            }
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }

    private func pass(_ runID: UUID?) {
        let wakeups = state.withLock { state -> [Wakeup] in
            guard let runID else {
                state.isListening = true
                return []
            }
            return state.waiting[runID].map { Array($0.values) } ?? []
        }
        for wakeup in wakeups { wakeup.signal() }
    }

    private func stopped(_ error: (any Error)?) {
        state.withLock { state in
            state.listener = nil
            state.isListening = false
            if let error, !(error is CancellationError) { state.pausesUntil = .now + Self.pauseAfterFailure }
        }
        if let error {
            engine.pool.logger.debug("Not listening for results; polling goes on", metadata: ["error": "\(error)"])
        }
    }
}
