import Dispatch
import Logging
import Synchronization

/// Connections to share. Who asks first gets one first, and nobody waits longer than `acquireTimeout`.
///
/// While the server is away the pool tries to reconnect, with growing pauses, for as long as a caller may wait.
public final class PostgresPool: Sendable {
    private typealias Waiter = CheckedContinuation<PostgresConnection?, any Error>

    private struct State {
        var idle: [(connection: PostgresConnection, since: ContinuousClock.Instant)] = []
        /// Idle, lent and being made.
        var count = 0
        var waiters = WaitList<Waiter>()
        /// Callers that could not connect and will try again.
        var retrying = 0
        var isClosed = false
    }

    /// For connections beside the pool's, such as one that listens.
    public let configuration: PostgresConfiguration
    private let maximumConnections: Int
    private let acquireTimeout: Duration
    package let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximumConnections: how many connections there may be at once. They are made when they are needed.
    ///   - acquireTimeout: how long a caller waits for one before it gets an error of kind `.poolTimeout` or
    ///     `.connection`.
    public init(
        _ configuration: PostgresConfiguration, maximumConnections: Int = 8, acquireTimeout: Duration = .seconds(10),
        logger: Logger = Logger(label: "perdure.postgres")
    ) {
        precondition(maximumConnections > 0, "a pool needs at least one connection")
        self.configuration = configuration
        self.maximumConnections = maximumConnections
        self.acquireTimeout = acquireTimeout
        self.logger = logger
    }

    /// How many callers wait for a connection.
    var waiting: Int { state.withLock { $0.waiters.count + $0.retrying } }

    /// Lends a connection for the time of `body`.
    public func withConnection<T>(
        isolation: isolated (any Actor)? = #isolation, _ body: (PostgresConnection) async throws -> sending T
    ) async throws -> sending T {
        let connection = try await acquire()
        do {
            let value = try await body(connection)
            await release(connection)
            return value
        } catch {
            await release(connection)
            throw error
        }
    }

    /// Runs one statement on any connection.
    @discardableResult
    public func query(_ query: PostgresQuery) async throws -> PostgresRows {
        try await withConnection { try await $0.query(query) }
    }

    /// Runs `body` in a transaction on one connection.
    @discardableResult
    public func transaction<T>(
        isolation: PostgresIsolation = .readCommitted, isolationOf actor: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> sending T
    ) async throws -> sending T {
        try await withConnection { try await $0.transaction(isolation: isolation, body) }
    }

    /// Closes what is idle now and what is lent when it comes back. Whoever waits gets an error of kind `.closed`.
    public func close() async {
        let (idle, waiters) = state.withLock { state in
            state.isClosed = true
            defer { state.idle = [] }
            return (state.idle, state.waiters.removeAll())
        }
        for waiter in waiters { waiter.resume(throwing: Self.closedError) }
        for (connection, _) in idle { await connection.close() }
    }

    private static let closedError = PostgresError(.closed, "the pool is closed")

    // MARK: Lending

    /// For so long after its last use a connection counts as good without a look at it, which would cost two changes of
    /// threads.
    private static let freshness = Duration.milliseconds(500)

    private enum Turn {
        case use(PostgresConnection, since: ContinuousClock.Instant)
        case connect, wait
    }

    private func acquire() async throws -> PostgresConnection {
        let deadline = ContinuousClock.now + acquireTimeout
        var pause = Duration.milliseconds(20)
        while true {
            try Task.checkCancellation()
            let turn: Turn = try state.withLock { state in
                if state.isClosed { throw Self.closedError }
                if let (connection, since) = state.idle.popLast() { return .use(connection, since: since) }
                guard state.count < maximumConnections else { return .wait }
                state.count += 1
                return .connect
            }
            switch turn {
            case .use(let connection, let since):
                if connection.wire.isIdle, since + Self.freshness > .now { return connection }
                if await connection.wire.isReusable() { return connection }
                await discard(connection)
            case .connect:
                do {
                    var configuration = configuration
                    configuration.connectTimeout = min(
                        configuration.connectTimeout, max(deadline - .now, .milliseconds(1)))
                    return try await PostgresConnection.connect(configuration, logger: logger)
                } catch {
                    await discard(nil)
                    guard let error = error as? PostgresError, error.isRetryable, ContinuousClock.now + pause < deadline
                    else { throw error }
                    logger.debug("cannot connect, trying again", metadata: ["error": "\(error)", "pause": "\(pause)"])
                    state.withLock { $0.retrying += 1 }
                    defer { state.withLock { $0.retrying -= 1 } }
                    try await Task.sleep(for: pause * Double.random(in: 0.5...1))
                    pause = min(pause * 2, .seconds(2))
                }
            case .wait:
                if let connection = try await wait(until: deadline) { return connection }
            }
        }
    }

    /// nil: a place became free, try again.
    private func wait(until deadline: ContinuousClock.Instant) async throws -> PostgresConnection? {
        let ticket = state.withLock { $0.waiters.ticket() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: Waiter) in
                let refused: (any Error)? = state.withLock { state in
                    if state.isClosed { return Self.closedError }
                    if Task.isCancelled { return CancellationError() }
                    // Something may have come back since we looked.
                    if !state.idle.isEmpty || state.count < maximumConnections { return nil }
                    state.waiters.append(continuation, ticket: ticket)
                    return WaitingSign()
                }
                switch refused {
                case is WaitingSign: break
                case let error?: continuation.resume(throwing: error)
                case nil: continuation.resume(returning: nil)
                }
                let left = (deadline - ContinuousClock.now).components
                DispatchQueue.global().asyncAfter(
                    deadline: .now() + Double(left.seconds) + Double(left.attoseconds) / 1e18
                ) {
                    [weak self] in self?.timeOut(ticket)
                }
            }
        } onCancel: {
            state.withLock { $0.waiters.remove(ticket) }?.resume(throwing: CancellationError())
        }
    }

    private struct WaitingSign: Error {}

    private func timeOut(_ ticket: UInt64) {
        state.withLock { $0.waiters.remove(ticket) }?.resume(
            throwing: PostgresError(
                .poolTimeout, "all \(maximumConnections) connections were in use for \(acquireTimeout)",
                hint: "Give the pool more connections, or hold them for less time."))
    }

    private func release(_ connection: PostgresConnection) async {
        if !connection.wire.isIdle {
            // Left inside a transaction, perhaps: one rollback, in a task that is not cancelled.
            if !connection.isClosed { try? await Task { try await connection.simpleQuery("rollback") }.value }
            guard await connection.wire.isReusable() else { return await discard(connection) }
        }
        let (waiter, closed) = state.withLock { state -> (Waiter?, Bool) in
            if state.isClosed { return (nil, true) }
            if let waiter = state.waiters.popFirst()?.waiter { return (waiter, false) }
            state.idle.append((connection, .now))
            return (nil, false)
        }
        waiter?.resume(returning: connection)
        if closed { await discard(connection) }
    }

    /// Forgets a connection that is lost, and lets the next in line make another.
    private func discard(_ connection: PostgresConnection?) async {
        await connection?.close()
        let waiter = state.withLock { state in
            state.count -= 1
            return state.waiters.popFirst()?.waiter
        }
        waiter?.resume(returning: nil)
    }
}
