public import Foundation
import Logging
public import PerdureEngine

/// Runs workflow code over histories, to see whether it still takes the same decisions: the test to run before code that
/// has runs under way is deployed.
public struct WorkflowReplayer: Sendable {
    private let replays: [String: @Sendable ([HistoryEvent], LiveRunInfo) throws -> Void]

    /// - Parameter workflows: the types whose histories are replayed.
    public init(workflows: [any WorkflowDefinition.Type]) {
        func replay<Workflow: WorkflowDefinition>(
            _: Workflow.Type
        ) -> @Sendable ([HistoryEvent], LiveRunInfo) throws -> Void {
            { history, info in
                let run = WorkflowRun<Workflow>(info)
                defer { run.evict() }
                try run.replay(history)
                if history.last?.eventType != .workflowTaskStarted { try run.requireAllMatched() }
            }
        }
        replays = Dictionary(workflows.map { ($0.name, replay($0)) }, uniquingKeysWith: { $1 })
    }

    /// - Parameters:
    ///   - history: all events of a run, open or closed, as ``UntypedWorkflowHandle/fetchHistory()`` gives them.
    ///   - runID: the run's id, if the history's first event does not tell; random numbers depend on it.
    /// - Throws: ``NonDeterminismError`` at the first event that the code does not agree with, or what the code throws
    ///   by a bug.
    public func replayWorkflow(history: [HistoryEvent], runID: UUID? = nil) async throws {
        guard let started = history.first, started.eventType == .workflowExecutionStarted else {
            throw HistoryFormatError(reason: "it begins with WorkflowExecutionStarted")
        }
        let attributes = started.attributes
        let type = attributes["workflowType"]?["name"]?.stringValue ?? ""
        guard let replay = replays[type] else {
            throw HistoryFormatError(
                reason: "it is of the workflow type \(type), and this replayer has only "
                    + replays.keys.sorted().joined(separator: ", "))
        }
        try replay(
            history,
            LiveRunInfo(
                namespace: "default", taskQueue: attributes["taskQueue"]?["name"]?.stringValue ?? "",
                workflowID: attributes["workflowId"]?.stringValue ?? "",
                runID: runID ?? attributes["originalExecutionRunId"]?.stringValue.flatMap(UUID.init(uuidString:))
                    ?? UUID(),
                workflowType: type, logger: .silent))
    }
}
