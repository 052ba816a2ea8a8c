import CLibPQ
import Logging

/// A connection to PostgreSQL.
///
/// Statements of concurrent callers run one after another, in the order of the calls. Cancelling the task that waits
/// for a statement cancels it in the server.
public final class PostgresConnection: Sendable {
    let wire: Wire

    private init(_ wire: Wire) { self.wire = wire }

    /// Connects within `configuration.connectTimeout`. Throws ``PostgresError`` of kind `.connection`.
    public static func connect(_ configuration: PostgresConfiguration, logger: Logger) async throws
        -> PostgresConnection
    {
        let wire = Wire(configuration, logger: logger)
        try await wire.connect()
        return PostgresConnection(wire)
    }

    deinit { wire.closeSoon() }

    /// Runs one statement with bound parameters. It is prepared on its first use.
    @discardableResult
    public func query(_ query: PostgresQuery) async throws -> PostgresRows {
        try query.check()
        let results = try await wire.run { QueryOperation(query) }
        guard let last = results.last else { throw PostgresError(.server, "the statement is empty") }
        return PostgresRows(last)
    }

    /// Runs several statements without parameters, as migration files hold them. What they return is dropped.
    public func simpleQuery(_ sql: String) async throws {
        try PostgresQuery(sql).check()
        _ = try await wire.run { SimpleOperation(sql) }
    }

    /// Runs statements in one round trip (libpq's pipeline mode), each in a transaction of its own: one that fails does
    /// not touch the others. Throws only if nothing was sent, or if the connection is lost, when it is unknown which
    /// took effect. Cancelling the task cancels the statement that runs at that moment; the others run.
    public func pipeline(_ queries: [PostgresQuery]) async throws -> [Result<PostgresRows, PostgresError>] {
        guard !queries.isEmpty else { return [] }
        for query in queries { try query.check() }
        let box = OutcomeBox()
        _ = try await wire.run { PipelineOperation(queries) { box.outcomes = $0 } }
        return box.outcomes.map { $0.map(PostgresRows.init) }
    }

    /// Runs `body` between `begin` and `commit`; rolls back and rethrows when it throws.
    ///
    /// Throws too if `body` went on after a statement had failed, for then the server rolls back instead of committing;
    /// and if a transaction is open already, for PostgreSQL has none inside of another: use `savepoint`.
    @discardableResult
    public func transaction<T>(
        isolation: PostgresIsolation = .readCommitted, isolationOf _: isolated (any Actor)? = #isolation,
        _ body: (PostgresConnection) async throws -> sending T
    ) async throws -> sending T {
        guard transactionStatus == .none else {
            throw PostgresError(
                .server, "a transaction is open on this connection already", sqlState: "25001",
                hint: "It is committed or not as a whole; use a savepoint to undo a part of it.")
        }
        try await simpleQuery("begin isolation level \(isolation.rawValue)")
        do {
            let value = try await body(self)
            let results = try await wire.run { SimpleOperation("commit") }
            if let last = results.last, String(cString: PQcmdStatus(last.pointer)) == "ROLLBACK" {
                throw PostgresError(
                    .server, "the transaction was rolled back, because a statement in it had failed",
                    sqlState: "25P02", hint: "Throw the error of that statement out of the transaction.")
            }
            return value
        } catch {
            // A cancelled task cannot talk to the server, so the rollback has a task of its own.
            try? await Task { try await simpleQuery("rollback") }.value
            throw error
        }
    }

    /// Runs `sql`, a `copy … from stdin`, with these rows in its format, each with its own end of line. Returns how
    /// many came in.
    @discardableResult
    public func copyIn(_ sql: String, rows: some Sequence<[UInt8]>) async throws -> Int {
        var chunks: [[UInt8]] = []
        var chunk: [UInt8] = []
        for row in rows {
            chunk += row
            if chunk.count >= 65_536 {
                chunks.append(chunk)
                chunk = []
            }
        }
        if !chunk.isEmpty { chunks.append(chunk) }
        try PostgresQuery(sql).check()
        let results = try await wire.run { [chunks] in CopyOperation(sql, chunks: chunks) }
        return results.last.map { PostgresRows($0).affected } ?? 0
    }

    /// Listens on a channel. The sequence ends with an error when the connection is lost.
    ///
    /// Does not work through a pooler in transaction mode: use a direct connection.
    public func listen(_ channel: String) async throws -> PostgresNotifications {
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: PostgresNotification.self, bufferingPolicy: .bufferingNewest(1024))
        wire.addListener(channel, continuation)
        do {
            try await simpleQuery("listen \(Self.quote(channel))")
        } catch {
            continuation.finish()
            throw error
        }
        return PostgresNotifications(stream: stream)
    }

    /// Stops listening; the channel's sequences end.
    public func unlisten(_ channel: String) async throws {
        try await simpleQuery("unlisten \(Self.quote(channel))")
        wire.removeListeners(channel)
    }

    /// Closes the connection. Whoever waits for it gets an error of kind `.closed`.
    public func close() async { await wire.close() }

    /// Whether it was closed or lost.
    public var isClosed: Bool { wire.isClosed }

    /// Whether a transaction is open, after the last statement that has ended.
    public var transactionStatus: PostgresTransactionStatus { wire.transactionStatus }

    private static func quote(_ identifier: String) -> String {
        "\"" + identifier.replacing("\"", with: "\"\"") + "\""
    }
}

/// How much transactions see of each other (SQL's names).
public enum PostgresIsolation: String, Sendable {
    case readCommitted = "read committed"
    case repeatableRead = "repeatable read"
    case serializable
}

/// What a connection's next statement is a part of.
public enum PostgresTransactionStatus: Sendable, Hashable {
    /// A transaction of its own.
    case none
    /// The transaction that is open.
    case open
    /// A transaction in which a statement has failed: until it is rolled back, or goes back to a savepoint, it takes no
    /// other.
    case failed
}

/// What `notify` said.
public struct PostgresNotification: Sendable, Hashable {
    public let channel: String
    public let payload: String
    /// The server process that notified.
    public let processID: Int32
}

/// The notifications of a channel, as they come.
public struct PostgresNotifications: AsyncSequence, Sendable {
    let stream: AsyncThrowingStream<PostgresNotification, any Error>
    public func makeAsyncIterator() -> AsyncThrowingStream<PostgresNotification, any Error>.AsyncIterator {
        stream.makeAsyncIterator()
    }
}

/// Carries a pipeline's outcomes from the event loop to the task that waits.
///
/// Unchecked because it is written before the continuation is resumed and read after: never at once.
private final class OutcomeBox: @unchecked Sendable {
    var outcomes: [Result<ResultHandle, PostgresError>] = []
}
