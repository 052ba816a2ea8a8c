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

    /// What made a statement fail, as far as it matters to whoever may send it again.
    public enum Cause: Sendable, Hashable, CaseIterable {
        /// A value that the statement was given: its type does not take it, or it is too large or too deep. Sent again,
        /// it is refused again.
        case value
        /// There is no connection, or it was lost. What was in flight may have taken effect.
        case unreachable
        /// It took too long, by a timeout of the session or because somebody cancelled it, or a lock did not become
        /// free.
        case timeout
        /// Another transaction was in the way.
        case conflict
        /// The server is out of something: memory, space on its disk; or it failed by itself.
        case serverFailure
        /// The server takes no writes, as a standby after a failover.
        case readOnly
        /// A schema, table, column, type or function is missing: the database is not migrated, or is being migrated.
        case missingObject
        /// The role may not log in or may not do this.
        case permission
        /// The Swift task was cancelled, or the connection or pool closed, here.
        case cancelled
        /// The statement, its values or the rows broke a rule that somebody wrote: a constraint, an exception of a
        /// function, a syntax error.
        case rule
    }

    /// The one place where SQLSTATEs are told apart; docs/decisions/0020-errors-of-the-database.md says what follows.
    public var cause: Cause {
        switch kind {
        case .cancelled, .closed: return .cancelled
        case .configuration: return .permission
        case .poolTimeout: return .unreachable
        case .connection, .server, .decoding: break
        }
        guard let sqlState else { return kind == .connection ? .unreachable : .rule }
        if isStalePlan { return .conflict }
        switch sqlState {
        case "57014", "55P03", "25P03", "25P04": return .timeout
        case "40001", "40P01", "40000", "40003", "55006": return .conflict
        case "53300", "57P01", "57P02", "57P03", "57P05": return .unreachable
        case "25006": return .readOnly
        case "3F000", "42P01", "42703", "42704", "42883": return .missingObject
        case "42501", "3D000", "57P04": return .permission
        // What a function computes, and not what it is given.
        case "22012", "22004", "2202E": return .rule
        default: break
        }
        switch sqlState.prefix(2) {
        case "08": return .unreachable
        case "22", "54": return .value
        case "28": return .permission
        case "53", "57", "58", "XX", "F0": return .serverFailure
        default: return kind == .connection ? .unreachable : .rule
        }
    }

    /// Whether the same statement may be taken in a while, by a database that is as it is now. Whether it was taken
    /// already is not known after a lost connection.
    public var mayPass: Bool {
        switch cause {
        case .unreachable, .timeout, .conflict, .serverFailure, .readOnly: true
        case .value, .missingObject, .permission, .cancelled, .rule: false
        }
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
        // The letters of PG_DIAG_*: libpq-fe.h takes them from postgres_ext.h as characters, which Swift does not
        // import.
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
