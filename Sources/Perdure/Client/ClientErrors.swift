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

/// A run ended, and another goes on in its place, which was not to be waited for.
public struct WorkflowContinuedAsNewError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let runID: UUID
    /// The run that follows; nil if its name is lost.
    public let newRunID: UUID?

    public var description: String { "the run \(runID) of workflow \(workflowID) continued as new" }
}

/// A query that the workflow did not answer.
public struct QueryFailedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let queryName: String
    public let failure: Failure

    public var description: String { "the query \(queryName) failed: \(failure)" }
}

/// An update that failed, or that the workflow's code rejected.
public struct WorkflowUpdateFailedError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let updateID: String
    /// Whether the workflow's code did not take it, so that the history does not tell of it.
    public let isRejected: Bool
    public let failure: Failure

    public var description: String {
        "the update \(updateID) of workflow \(workflowID) \(isRejected ? "was rejected" : "failed"): \(failure)"
    }
}

/// There is no update with this id, or it was rejected more than a minute ago.
public struct WorkflowUpdateNotFoundError: Error, Sendable, Hashable, CustomStringConvertible {
    public let workflowID: String
    public let updateID: String

    public var description: String { "workflow \(workflowID) knows no update \(updateID)" }
}
