public import Foundation
import Logging
public import PerdureEngine

/// Runs workflow code over histories, to see whether it still takes the same decisions: the test to run before code
/// that has runs under way is deployed.
public struct WorkflowReplayer: Sendable {
    private let replays: [String: @Sendable ([HistoryEvent], LiveRunInfo) throws -> Void]
    private let surroundings: Surroundings

    /// - Parameters:
    ///   - workflows: the types whose histories are replayed.
    ///   - interceptors: those of the worker, if they decide anything.
    ///   - dataConverter: that of the worker.
    public init(
        workflows: [any WorkflowDefinition.Type], interceptors: [any WorkerInterceptor] = [],
        dataConverter: DataConverter = .default
    ) {
        surroundings = Surroundings(converter: dataConverter, interceptors: interceptors)
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

    /// - Parameter historyJSON: the history of a run as Temporal's tools and the history pages export it:
    ///   `{"events": […]}`. Histories of other SDKs replay if the workflow takes the same decisions.
    /// - Throws: ``HistoryFormatError`` for text that is no history; else as ``replayWorkflow(history:runID:)``.
    public func replayWorkflow(historyJSON: String, runID: UUID? = nil) async throws {
        let json: JSON
        do {
            json = try JSON(parsing: historyJSON)
        } catch {
            throw HistoryFormatError(reason: error.description)
        }
        try await replayWorkflow(history: TemporalHistory.events(json), runID: runID)
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
            await surroundings.converter.decoded(history),
            LiveRunInfo(
                namespace: "default", taskQueue: attributes["taskQueue"]?["name"]?.stringValue ?? "",
                workflowID: attributes["workflowId"]?.stringValue ?? "",
                runID: runID ?? attributes["originalExecutionRunId"]?.stringValue.flatMap(UUID.init(uuidString:))
                    ?? UUID(),
                workflowType: type, logger: .silent, surroundings: surroundings))
    }
}
