public import PerdureEngine
import Postgres

/// An error that histories can hold: what a workflow or an activity may fail with.
///
/// An activity may throw anything; a workflow that throws any other error than these has a bug.
public protocol FailureError: Error, Sendable {
    var failure: Failure { get }
}

/// An error that tells where it comes from, for histories to show.
///
/// Swift's errors carry no stack: where one is caught, nobody knows any more where it was thrown. So a failure in a
/// history has a stack trace when the error has brought one, as ``ApplicationError`` does. Lines of the form
/// `Module/File.swift:29`, innermost first, are what the history pages find in the code.
public protocol TracedError: Error {
    var stackTrace: String { get }
}

/// Thrown by an activity or a workflow to fail with a type and details of its own.
public struct ApplicationError: FailureError, TracedError, CustomStringConvertible {
    public var message: String
    /// What retry policies and callers compare.
    public var type: String
    /// Whether trying again cannot help.
    public var isNonRetryable: Bool
    public var details: [Payload]
    public var stackTrace: String
    public var cause: Failure?

    /// - Parameters:
    ///   - details: kept in the history; read them with `details[0].decode(…)`.
    ///   - isNonRetryable: whether no retry policy may try again.
    public init(
        message: String, cause: (any Error)? = nil, details: [Payload] = [], type: String = "ApplicationError",
        isNonRetryable: Bool = false, file: String = #fileID, line: Int = #line
    ) {
        self.message = message
        self.cause = cause.map { Failure($0) }
        self.details = details
        self.type = type
        self.isNonRetryable = isNonRetryable
        stackTrace = "\(file):\(line)"
    }

    init?(_ failure: Failure) {
        guard case .application(let type, let nonRetryable, let details) = failure.kind else { return nil }
        message = failure.message
        self.type = type
        isNonRetryable = nonRetryable
        self.details = details
        stackTrace = failure.stackTrace
        cause = failure.cause
    }

    public var failure: Failure {
        .application(
            message, type: type, nonRetryable: isNonRetryable, details: details, stackTrace: stackTrace, cause: cause)
    }
    public var description: String { message }
}

/// An activity failed for good. The cause says why.
public struct ActivityError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public let activity: Failure.Activity

    /// What the activity threw, or that it timed out or was canceled.
    public var cause: (any FailureError)? { failure.cause?.error }
    public var description: String { failure.description }
}

/// A child workflow was not started, or did not complete. The cause says why.
public struct ChildWorkflowError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public let childWorkflow: Failure.ChildWorkflow

    /// What the child failed with, or that it timed out, was canceled or terminated, or that its id is taken.
    public var cause: (any FailureError)? { failure.cause?.error }
    public var description: String { failure.description }
}

/// Something took longer than its timeout allows.
public struct TimeoutError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public let type: TimeoutType
    public var description: String { failure.message }
}

/// Something was canceled.
public struct CanceledError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public init(message: String = "canceled", details: [Payload] = []) {
        failure = Failure(message: message, kind: .canceled(details: details))
    }
    init(_ failure: Failure) { self.failure = failure }
    public var description: String { failure.message }
}

/// A workflow was terminated.
public struct TerminatedError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public var description: String { failure.message }
}

/// A failure of another kind, as of the engine itself.
public struct OtherFailureError: FailureError, CustomStringConvertible {
    public let failure: Failure
    public var description: String { failure.description }
}

/// Workflow code took another decision than the history says it took. The task fails, never the run.
public struct NonDeterminismError: Error, Sendable, CustomStringConvertible {
    /// The event that the code does not agree with; nil if it did more than the history holds.
    public let eventId: Int64?
    public let description: String
}

/// Thrown as it is, a failure stands for itself.
extension Failure: FailureError {
    public var failure: Failure { self }
}

extension Failure {
    /// The error that code catches for this failure.
    public var error: any FailureError {
        switch kind {
        case .application: ApplicationError(self) ?? OtherFailureError(failure: self) as any FailureError
        case .activity(let activity): ActivityError(failure: self, activity: activity)
        case .timeout(let type, _): TimeoutError(failure: self, type: type)
        case .canceled: CanceledError(self)
        case .terminated: TerminatedError(failure: self)
        case .childWorkflow(let child): ChildWorkflowError(failure: self, childWorkflow: child)
        case .server: OtherFailureError(failure: self)
        }
    }

    /// The failure that stands for an error in a history. An error of no known kind is an application failure whose
    /// type is the error's Swift type; it has a stack trace if the error is a ``TracedError``.
    public init(_ error: any Error) {
        switch error {
        case let error as any FailureError: self = error.failure
        case is CancellationError: self = CanceledError().failure
        // A statement that ended because its Swift task was canceled.
        case let error as PostgresError where error.kind == .cancelled: self = CanceledError().failure
        default: self.init(unexpected: error)
        }
    }
}
