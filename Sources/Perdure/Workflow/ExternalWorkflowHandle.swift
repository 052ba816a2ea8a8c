public import Foundation
import PerdureEngine

/// Another workflow, which need not be a child of the one that holds this. It belongs to the run's own code.
public struct ExternalWorkflowHandle<Workflow: WorkflowDefinition>: Sendable {
    /// The same without its type.
    public let untypedHandle: UntypedExternalWorkflowHandle

    public var id: String { untypedHandle.id }
    /// The run that is meant; nil for whichever is current.
    public var runID: UUID? { untypedHandle.runID }

    /// Sends the workflow a signal, and waits until it has it.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when no such workflow is open.
    public func signal<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type, input: Signal.Input, file: String = #fileID, line: Int = #line
    ) async throws where Signal.Workflow == Workflow {
        try await untypedHandle.signal(signalType.name, input, at: CallSite(file: file, line: line))
    }

    /// Sends the workflow a signal without input.
    public func signal<Signal: WorkflowSignalDefinition>(
        signalType: Signal.Type, file: String = #fileID, line: Int = #line
    ) async throws where Signal.Workflow == Workflow, Signal.Input == Void {
        try await signal(signalType: signalType, input: (), file: file, line: line)
    }

    /// Asks the workflow to cancel itself, and waits until it has been asked. One that has ended needs no cancellation.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when there is no such workflow.
    public func cancel(file: String = #fileID, line: Int = #line) async throws {
        try await untypedHandle.cancel(file: file, line: line)
    }
}

/// Another workflow, of a type that is not known.
public struct UntypedExternalWorkflowHandle: Sendable {
    public let id: String
    /// The run that is meant; nil for whichever is current.
    public let runID: UUID?
    let info: WorkflowInfo
    let core: WorkflowCore

    /// Sends the workflow a signal, and waits until it has it.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when no such workflow is open.
    public func signal(
        signalName: String, input: some Encodable & Sendable, file: String = #fileID, line: Int = #line
    ) async throws {
        try await signal(signalName, input, at: CallSite(file: file, line: line))
    }

    /// Sends the workflow a signal without input.
    public func signal(signalName: String, file: String = #fileID, line: Int = #line) async throws {
        try await signal(signalName, (), at: CallSite(file: file, line: line))
    }

    /// Asks the workflow to cancel itself, and waits until it has been asked. One that has ended needs no cancellation.
    ///
    /// - Throws: ``ApplicationError`` of type `ExternalWorkflowExecutionNotFound` when there is no such workflow.
    public func cancel(file: String = #fileID, line: Int = #line) async throws {
        let site = CallSite(file: file, line: line)
        try await intercept(
            by: core.run.surroundings.workflowOutbound, CancelExternalWorkflowInput(info: info, id: id, runID: runID),
            { try await $0.cancelExternalWorkflow(input: $1, next: $2) },
            around: { try await core.cancelExternal(workflowID: $0.id, runID: $0.runID, at: site) })
    }

    func signal<Input: Sendable>(_ name: String, _ input: Input, at site: CallSite) async throws {
        func send(_ input: SignalExternalWorkflowInput<Input>) async throws {
            try await core.signalExternal(
                input.name, headers: input.headers, input: core.converter.encode(input.input), workflowID: input.id,
                runID: input.runID, isChild: false, at: site)
        }
        try await intercept(
            by: core.run.surroundings.workflowOutbound,
            SignalExternalWorkflowInput(info: info, id: id, runID: runID, name: name, headers: [:], input: input),
            { try await $0.signalExternalWorkflow(input: $1, next: $2) }, around: send)
    }
}
