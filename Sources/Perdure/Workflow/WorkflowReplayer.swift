import Foundation
import Logging
public import PerdureEngine

/// Runs a workflow's code over a history, to see whether it still takes the same decisions.
public enum WorkflowReplayer {
    /// - Parameter history: all events of a run, open or closed.
    /// - Throws: ``NonDeterminismError`` at the first event that the code does not agree with, or what the code throws.
    public static func replay<Workflow: WorkflowDefinition>(
        _ history: [HistoryEvent], of workflow: Workflow.Type, runID: UUID? = nil
    ) async throws {
        let started = history.first { $0.eventType == .workflowExecutionStarted }?.attributes
        let id = runID ?? started?["originalExecutionRunId"]?.stringValue.flatMap(UUID.init(uuidString:)) ?? UUID()
        let run = WorkflowRun<Workflow>(
            LiveRunInfo(
                namespace: "default", taskQueue: started?["taskQueue"]?["name"]?.stringValue ?? "",
                workflowID: started?["workflowId"]?.stringValue ?? "", runID: id, workflowType: Workflow.name,
                logger: Logger(label: "perdure.replayer", factory: { _ in SwiftLogNoOpLogHandler() })))
        defer { run.evict() }
        do {
            _ = try await run.activate(history)
        } catch let error as WorkflowTaskError where error.cause == "NonDeterministicError" {
            throw NonDeterminismError(eventId: nil, description: error.failure.message)
        }
    }
}
