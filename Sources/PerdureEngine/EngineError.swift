import Foundation
public import Postgres

/// What the engine refused, and why. Nothing has changed.
public struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    /// SQLSTATE class PD.
    public enum Code: String, Sendable, CaseIterable {
        case workflowNotFound = "PD001"
        case workflowAlreadyStarted = "PD002"
        case invalidArgument = "PD003"
        case tooLarge = "PD004"
        case namespaceNotFound = "PD005"
        case workflowClosed = "PD006"
        /// The worker is unknown or its lease ran out: it must register again and drop every cached run.
        case leaseLost = "PD007"
        case searchAttribute = "PD008"
        case queryFailed = "PD009"
        case incompatibleDatabase = "PD010"
        case updateNotFound = "PD012"
        /// So many updates of the run are open that it takes none now.
        case tooManyUpdates = "PD013"
        /// The run has taken as many updates as a run may.
        case updateRefused = "PD014"
        case updateFailed = "PD015"
        /// The run takes no update because its workflow tasks have failed twice in a row.
        case workflowTasksFail = "PD017"
        /// The run has no such activity that has not ended.
        case activityNotFound = "PD018"
        /// Another request has paused the activity.
        case activityPaused = "PD019"
    }

    public var code: Code
    public var message: String
    public var detail: String?
    public var hint: String?

    public init(_ code: Code, _ message: String, detail: String? = nil, hint: String? = nil) {
        self.code = code
        self.message = message
        self.detail = detail
        self.hint = hint
    }

    /// - Returns: nil when the error is not of class PD, nor says that a text holds U+0000.
    public init?(_ error: PostgresError) {
        if error.sqlState == "22021" || error.sqlState == "22P05" {
            self.init(
                .invalidArgument,
                "a text holds a character that PostgreSQL cannot: U+0000, or one that its encoding lacks",
                detail: error.message, hint: "Leave it out of names and ids; payloads made of values may hold it.")
            return
        }
        guard let code = error.sqlState.flatMap(Code.init(rawValue:)) else { return nil }
        self.init(code, error.message, detail: error.detail, hint: error.hint)
    }

    /// A database that lacks what a statement of ``Engine`` names; nil for any other error.
    init?(notMigrated error: PostgresError) {
        guard error.cause == .missingObject else { return nil }
        self.init(
            .incompatibleDatabase, "this database is not migrated, or is older than this program: \(error.message)",
            hint: "To install or upgrade what is missing, run perdure migrate.")
    }

    /// The run that stands in the way of a start.
    public var runID: UUID? {
        guard code == .workflowAlreadyStarted, let detail else { return nil }
        return UUID(uuidString: detail)
            ?? detail.split(whereSeparator: { !$0.isHexDigit && $0 != "-" }).lazy
            .compactMap { UUID(uuidString: String($0)) }.first
    }

    public var description: String {
        [message, detail, hint].compactMap(\.self).joined(separator: "; ") + " (\(code.rawValue))"
    }
}

extension Error {
    /// Whether the database refused a value that it was given, as too large, too deep or malformed. That is the only
    /// error by which something that succeeded may be recorded as failed: sent again, it would be refused again. After
    /// all others it may be taken later.
    package var refusesTheValue: Bool {
        switch self {
        case let error as EngineError: error.code == .invalidArgument || error.code == .tooLarge
        case let error as PostgresError: error.cause == .value
        default: false
        }
    }

    /// Whether it meets all statements alike, not one for what it holds: there is no use in sending them one at a time.
    package var meetsAllAlike: Bool {
        switch self {
        case let error as EngineError: error.code == .incompatibleDatabase || error.code == .namespaceNotFound
        case let error as PostgresError:
            switch error.cause {
            case .unreachable, .readOnly, .missingObject, .permission: true
            case .value, .timeout, .conflict, .serverFailure, .cancelled, .rule: false
            }
        default: false
        }
    }

    /// Whether the statement may have taken effect all the same: the connection was lost before its answer came.
    package var leavesEffectUnknown: Bool { (self as? PostgresError)?.kind == .connection }

    /// Whether the same statement may be taken in a while, by a database that is as it is now.
    package var mayPass: Bool { (self as? PostgresError)?.mayPass ?? false }
}
