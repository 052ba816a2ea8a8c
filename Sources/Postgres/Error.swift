import CLibPQ

/// What went wrong, with all that the server said about it.
public struct PostgresError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The server refused a statement; `sqlState` says why. The connection is still good.
        case server
        /// The connection string cannot be read.
        case configuration
        /// The connection could not be made, or it was lost. Whether a statement in flight took effect is unknown.
        case connection
        /// A value is not what the caller asked to read.
        case decoding
        /// No connection of the pool became free in time.
        case poolTimeout
        /// The connection or the pool had been closed before.
        case closed
        /// The Swift task was cancelled, and the statement did not take effect.
        case cancelled
    }

    public var kind: Kind
    /// The five characters of SQLSTATE, if the server sent any.
    public var sqlState: String?
    public var message: String
    public var detail: String?
    public var hint: String?
    /// Where in the statement, in characters from 1.
    public var position: Int?
    /// The call stack of PL/pgSQL functions, one a line.
    public var context: String?
    public var schema: String?
    public var table: String?
    public var column: String?
    public var dataType: String?
    public var constraint: String?
    /// ERROR, FATAL, WARNING …, in English.
    var severity: String?
    /// The server function that raised it: tells stale plans apart in any language of messages.
    var routine: String?

    public init(_ kind: Kind, _ message: String, sqlState: String? = nil, detail: String? = nil, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.sqlState = sqlState
        self.detail = detail
        self.hint = hint
    }

    /// Whether the same transaction, begun anew, may succeed: lost connections, serialization failures,
    /// deadlocks, a server that starts, stops or is full, a lock that was not available, a stale prepared plan.
    ///
    /// After a lost connection the first attempt may have been committed; only the caller knows whether to repeat it.
    public var isRetryable: Bool {
        if isStalePlan || kind == .poolTimeout { return true }
        guard let sqlState else { return kind == .connection }
        let retryable: Set<String> = [
            "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "53300", "25006",
        ]
        return retryable.contains(sqlState) || sqlState.hasPrefix("08")
    }

    /// A prepared statement that the server forgot, or whose result type changed under it.
    var isStalePlan: Bool {
        sqlState == "26000" || (sqlState == "0A000" && routine == "RevalidateCachedQuery")
    }

    public var description: String {
        var text = sqlState.map { "\(message) (SQLSTATE \($0))" } ?? message
        if let detail { text += ". Detail: \(detail)" }
        if let hint { text += ". Hint: \(hint)" }
        if let position { text += ". At character \(position) of the statement" }
        if let context { text += ". Context: \(context)" }
        return text
    }
}

extension PostgresError {
    /// - Parameter result: a result of status `PGRES_FATAL_ERROR`.
    init(result: OpaquePointer) {
        // The letters of PG_DIAG_*: libpq-fe.h takes them from postgres_ext.h as characters, which Swift does not import.
        func field(_ code: Character) -> String? {
            PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) }
        }
        let severity = field("V")
        let sqlState = field("C")
        let lost = sqlState == nil || severity == "FATAL" || severity == "PANIC"
        self.init(
            lost ? .connection : .server,
            field("M") ?? Self.clean(String(cString: PQresultErrorMessage(result))),
            sqlState: sqlState, detail: field("D"), hint: field("H"))
        position = field("P").flatMap { Int($0) }
        context = field("W")
        schema = field("s")
        table = field("t")
        column = field("c")
        dataType = field("d")
        constraint = field("n")
        routine = field("R")
        self.severity = severity
    }

    /// What libpq says of a connection that could not be made or went away.
    init(connection: OpaquePointer?) {
        let text = String(cString: PQerrorMessage(connection))
        // While connecting, verbosity is "verbose", for only then libpq tells the SQLSTATE: "FATAL:  28P01: …".
        let state = text.split(separator: ":  ").dropFirst().lazy.map { $0.prefix(6) }
            .first { $0.count == 6 && $0.last == ":" && $0.dropLast().allSatisfy { $0.isNumber || $0.isUppercase } }
        let shown = state.map { text.replacing("\($0) ", with: "") } ?? text
        self.init(.connection, Self.clean(shown), sqlState: state.map { String($0.dropLast()) })
    }

    static let cancelled = PostgresError(.cancelled, "the task was cancelled")
    static let closed = PostgresError(.closed, "the connection is closed")

    /// One line, without the server's source locations.
    private static func clean(_ text: String) -> String {
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("LOCATION:") }
        let line = lines.map { $0.drop { $0.isWhitespace } }.joined(separator: " ")
        return line.isEmpty ? "the connection was lost" : line
    }
}
