public import Foundation
public import PerdureEngine

/// There is no workflow, or no run, with this id.
public struct WorkflowNotFoundError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let runID: UUID?

    public var description: String {
        "there is no workflow \(workflowID)" + (runID.map { " with the run \($0)" } ?? "")
    }
}

/// A start found a run that the policies of the start do not allow beside it.
public struct WorkflowAlreadyStartedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    /// The run that stands in the way.
    public let runID: UUID?
    public let message: String

    public var description: String { message }
}

/// What cannot be done to a run that has ended, such as a signal.
public struct WorkflowClosedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let runID: UUID?

    public var description: String { "the workflow \(workflowID) has ended" }
}

/// A workflow did not end with a result: it failed, was canceled or terminated, or timed out.
public struct WorkflowFailedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let runID: UUID
    public let status: WorkflowStatus
    /// Why, with the chain of causes down to, say, the activity's error.
    public let failure: Failure

    public var description: String { "the workflow \(workflowID) ended as \(status.rawValue): \(failure)" }
}

/// A query that the workflow did not answer.
public struct QueryFailedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let queryName: String
    public let failure: Failure

    public var description: String { "the query \(queryName) failed: \(failure)" }
}
