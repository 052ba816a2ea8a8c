import Foundation
import Logging
import Postgres
import Synchronization

/// Listens on channels of the database over one connection, and tells whoever waits.
///
/// Notices are a hint: whoever waits looks by himself too. When the connection is lost everybody is told once it is
/// back, since notices may have been missed.
final class Notices: Sendable {
    private struct Channel {
        var listeners: [UInt64: @Sendable (String) -> Void] = [:]
        /// What the connection does beside listening.
        var preparation: PostgresQuery?
    }

    private struct State {
        var channels: [String: Channel] = [:]
        var last: UInt64 = 0
        var added: AsyncStream<String>.Continuation?
    }

    private let configuration: PostgresConfiguration
    private let logger: Logger
    private let state = Mutex(State())

    init(_ configuration: PostgresConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Calls `listener` with the payload of each notice, and with an empty one when some may have been missed, until
    /// ``remove(_:from:)``.
    ///
    /// - Parameter preparation: run on the connection when it begins to listen on this channel.
    func add(
        _ channel: String, preparation: PostgresQuery? = nil, _ listener: @escaping @Sendable (String) -> Void
    ) -> UInt64 {
        state.withLock { state in
            state.last += 1
            if state.channels[channel] == nil {
                state.channels[channel] = Channel(preparation: preparation)
                state.added?.yield(channel)
            }
            state.channels[channel]?.listeners[state.last] = listener
            return state.last
        }
    }

    /// The connection goes on listening: most channels are soon wanted again.
    func remove(_ listener: UInt64, from channel: String) {
        state.withLock { $0.channels[channel]?.listeners[listener] = nil }
    }

    /// Listens until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            do {
                let connection = try await PostgresConnection.connect(configuration, logger: logger)
                do {
                    try await listen(on: connection)
                } catch {
                    await connection.close()
                    throw error
                }
                await connection.close()
            } catch {
                if Task.isCancelled { return }
                logger.debug("Not listening; polling goes on", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: .milliseconds(500))
        }
    }

    private func listen(on connection: PostgresConnection) async throws {
        let (added, continuation) = AsyncStream<String>.makeStream()
        let known = state.withLock { state in
            state.added = continuation
            return Array(state.channels.keys)
        }
        for channel in known { continuation.yield(channel) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await withThrowingDiscardingTaskGroup { listeners in
                    for await channel in added {
                        let notifications = try await connection.listen(channel)
                        if let preparation = self.state.withLock({ $0.channels[channel]?.preparation }) {
                            try await connection.query(preparation)
                        }
                        self.tell(channel, "")
                        listeners.addTask {
                            for try await notification in notifications { self.tell(channel, notification.payload) }
                            throw PostgresError(.closed, "the connection that listens was closed")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func tell(_ channel: String, _ payload: String) {
        let listeners = state.withLock { state in state.channels[channel].map { Array($0.listeners.values) } ?? [] }
        for listener in listeners { listener(payload) }
    }
}
