public import Foundation
public import PerdureEngine

/// A workflow of a known type, addressed by its id and perhaps a run of it.
public struct WorkflowHandle<Workflow: WorkflowDefinition>: Sendable {
    /// The same without its types.
    public let untypedHandle: UntypedWorkflowHandle

    public var id: String { untypedHandle.id }
    /// The run that signals, queries and the like go to; nil for whichever is current.
    public var runID: UUID? { untypedHandle.runID }
    /// The first run of the chain that is canceled and terminated; nil for whichever has the workflow id.
    public var firstExecutionRunID: UUID? { untypedHandle.firstExecutionRunID }
    /// The run whose result is waited for; nil for the latest.
    public var resultRunID: UUID? { untypedHandle.resultRunID }
}

extension WorkflowHandle {
    /// Waits for the workflow to end.
    ///
    /// - Parameter followRuns: whether to go on with the runs that follow, by continue-as-new, a retry or a cron
    ///   schedule.
    /// - Throws: ``WorkflowFailedError`` when it did not complete, ``WorkflowContinuedAsNewError`` when it is not
    ///   followed,
    ///   ``WorkflowNotFoundError``, `DecodingError` for a result of another type.
    @discardableResult
    public func result(followRuns: Bool = true) async throws -> Workflow.Output {
        try untypedHandle.converter.decode(from: await untypedHandle.resultPayloads(followRuns: followRuns))
    }

    /// Sends a signal; once this returns, the workflow will get it, whatever fails. A lost connection does not send it
    /// twice.
    ///
    /// - Throws: ``WorkflowNotFoundError``, ``WorkflowClosedError``.
    public func signal<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type = Signal.self, input: Signal.Input
    ) async throws where Signal.Workflow == Workflow {
        try await untypedHandle.send(signalType.name, input)
    }

    /// Sends a signal without input.
    public func signal<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type
    ) async throws where Signal.Workflow == Workflow, Signal.Input == Void {
        try await signal(signalType: signalType, input: ())
    }

    /// Asks the workflow a question, which a worker of its queue answers; also of a workflow that has ended.
    ///
    /// - Parameter timeout: how long to wait for a worker.
    /// - Throws: ``QueryFailedError`` when it cannot be answered, or not in time.
    public func query<Query: WorkflowQueryDefinition>(
        queryType: Query.Type = Query.self, input: Query.Input, timeout: Duration = .seconds(10)
    ) async throws -> Query.Output where Query.Workflow == Workflow {
        try untypedHandle.converter.decode(from: await untypedHandle.ask(queryType.name, input, timeout))
    }

    /// Asks a question without input.
    public func query<Query: WorkflowQueryDefinition>(
        queryType: Query.Type, timeout: Duration = .seconds(10)
    ) async throws -> Query.Output where Query.Workflow == Workflow, Query.Input == Void {
        try await query(queryType: queryType, input: (), timeout: timeout)
    }

    /// Asks the workflow to cancel itself; it may clean up first.
    public func cancel(reason: String? = nil) async throws { try await untypedHandle.cancel(reason: reason) }

    /// Ends the workflow at once, without asking it.
    public func terminate(reason: String? = nil, details: [Payload] = []) async throws {
        try await untypedHandle.terminate(reason: reason, details: details)
    }

    /// What is known of the run, its pending activities and timers included.
    public func describe() async throws -> WorkflowDescription { try await untypedHandle.describe() }

    /// The history of the run, as far as it goes: what ``WorkflowReplayer`` replays.
    public func fetchHistory() async throws -> [HistoryEvent] { try await untypedHandle.fetchHistory() }
}
