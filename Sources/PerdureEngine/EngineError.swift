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

    /// - Returns: nil when the error is not of class PD.
    public init?(_ error: PostgresError) {
        guard let code = error.sqlState.flatMap(Code.init(rawValue:)) else { return nil }
        self.init(code, error.message, detail: error.detail, hint: error.hint)
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
