import Logging
import Postgres

extension WebError {
    /// What an error of the database means to a caller: 503, with the advice to come back where waiting helps; 400 for
    /// what the caller sent; 500 where only the owner can help. Nil for any other error, and for those of the database
    /// that are a bug of ours.
    public init?(database error: any Error) {
        guard let error = error as? PostgresError else { return nil }
        let reason = error.hint.map { "\(error.message). \($0)" } ?? error.message
        func tryAgain(_ what: String) -> WebError {
            WebError(.serviceUnavailable, "\(what); try again", headers: [.retryAfter: "1"])
        }
        switch error.cause {
        case .unreachable: self = tryAgain("the database cannot be reached at the moment")
        case .timeout: self = tryAgain("the database took too long to answer (\(error.message))")
        case .conflict: self = tryAgain("the database was changing the same rows for somebody else")
        case .readOnly: self = tryAgain("the database takes no changes at the moment")
        case .cancelled where error.kind == .closed: self = tryAgain("this server is about to stop")
        case .serverFailure where error.sqlState?.hasPrefix("53") == true:
            self = tryAgain("the database is short of something (\(error.message))")
        case .missingObject: self.init(.serviceUnavailable, Self.notMigrated(error))
        case .permission:
            self.init(.internalServerError, "the database does not let this program do that: \(reason)")
        case .value: self.init(.badRequest, "the database cannot take that: \(reason)")
        case .rule where error.sqlState?.hasPrefix("BK") == true: self.init(.badRequest, reason)
        case .rule, .serverFailure, .cancelled: return nil
        }
    }

    fileprivate static func notMigrated(_ error: PostgresError) -> String {
        let remedy =
            error.message.contains("bank")
            ? "start_services.sh installs the example's part" : "run perdure migrate, or start_services.sh"
        return "the database is not migrated to what this program needs (\(error.message)): \(remedy)"
    }
}

extension StartupFailure {
    /// What to do about a database that a program cannot start with.
    public init(database error: PostgresError) {
        switch error.cause {
        case .missingObject: self.init(WebError.notMigrated(error))
        case .permission where error.kind != .configuration:
            self.init("the database refuses: \(error.message); set DATABASE_URL or the PG* variables")
        default:
            self.init("the database cannot be used: \(error.message); set DATABASE_URL or the PG* variables")
        }
    }
}

/// Asks a database until it is one that a program can work with. While it is not migrated, or starts, that is waited
/// for.
///
/// - Parameter ask: a question that a database of the right version answers.
/// - Throws: `StartupFailure` for what does not mend by itself.
public func waitForDatabase(_ logger: Logger, _ ask: () async throws -> Void) async throws {
    var said = ""
    while true {
        do {
            return try await ask()
        } catch let error as PostgresError {
            let failure = StartupFailure(database: error)
            switch error.cause {
            case .missingObject, .readOnly, .timeout, .conflict: break
            case .unreachable where error.sqlState != nil && error.sqlState?.hasPrefix("08") == false: break
            default: throw failure
            }
            if failure.description != said { logger.warning("\(failure); waiting for that") }
            said = failure.description
            try await Task.sleep(for: .seconds(1))
        }
    }
}
