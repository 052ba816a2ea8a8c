public import Foundation
public import PerdureEngine

/// Surrounds what workflows ask for. It is a part of the workflow's code: done again on replay, where it has to decide
/// the same.
public protocol WorkflowOutboundInterceptor: Sendable {
    func handleSleep(input: HandleSleepInput, next: (HandleSleepInput) async throws -> Void) async throws

    func executeActivity<Input, Output: Sendable>(
        input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
    ) async throws -> Output

    func executeLocalActivity<Input, Output: Sendable>(
        input: ScheduleLocalActivityInput<Input>, next: (ScheduleLocalActivityInput<Input>) async throws -> Output
    ) async throws -> Output

    func startChildWorkflow<Input>(
        input: StartChildWorkflowInput<Input>,
        next: (StartChildWorkflowInput<Input>) async throws -> UntypedChildWorkflowHandle
    ) async throws -> UntypedChildWorkflowHandle

    /// Surrounds a signal to a child.
    func signalWorkflow<Input>(
        input: SignalChildWorkflowInput<Input>, next: (SignalChildWorkflowInput<Input>) async throws -> Void
    ) async throws

    func signalExternalWorkflow<Input>(
        input: SignalExternalWorkflowInput<Input>, next: (SignalExternalWorkflowInput<Input>) async throws -> Void
    ) async throws

    func cancelExternalWorkflow(
        input: CancelExternalWorkflowInput, next: (CancelExternalWorkflowInput) async throws -> Void
    ) async throws

    func makeContinueAsNewError<Input>(
        input: MakeContinueAsNewErrorInput<Input>,
        next: (MakeContinueAsNewErrorInput<Input>) async throws -> ContinueAsNewError
    ) async throws -> ContinueAsNewError
}

extension WorkflowOutboundInterceptor {
    public func handleSleep(
        input: HandleSleepInput, next: (HandleSleepInput) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func executeActivity<Input, Output: Sendable>(
        input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
    ) async throws -> Output {
        try await next(input)
    }

    public func executeLocalActivity<Input, Output: Sendable>(
        input: ScheduleLocalActivityInput<Input>, next: (ScheduleLocalActivityInput<Input>) async throws -> Output
    ) async throws -> Output {
        try await next(input)
    }

    public func startChildWorkflow<Input>(
        input: StartChildWorkflowInput<Input>,
        next: (StartChildWorkflowInput<Input>) async throws -> UntypedChildWorkflowHandle
    ) async throws -> UntypedChildWorkflowHandle {
        try await next(input)
    }

    public func signalWorkflow<Input>(
        input: SignalChildWorkflowInput<Input>, next: (SignalChildWorkflowInput<Input>) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func signalExternalWorkflow<Input>(
        input: SignalExternalWorkflowInput<Input>, next: (SignalExternalWorkflowInput<Input>) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func cancelExternalWorkflow(
        input: CancelExternalWorkflowInput, next: (CancelExternalWorkflowInput) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func makeContinueAsNewError<Input>(
        input: MakeContinueAsNewErrorInput<Input>,
        next: (MakeContinueAsNewErrorInput<Input>) async throws -> ContinueAsNewError
    ) async throws -> ContinueAsNewError {
        try await next(input)
    }
}

/// A wait that is about to begin.
public struct HandleSleepInput: Sendable {
    public var info: WorkflowInfo
    public var duration: Duration
    public var summary: String?
}

/// An activity that is about to be scheduled.
public struct ScheduleActivityInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var name: String
    public var options: ActivityOptions
    public var headers: [String: Payload]
    public var input: Input
}

/// A local activity that is about to be started.
public struct ScheduleLocalActivityInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var name: String
    public var options: LocalActivityOptions
    public var headers: [String: Payload]
    public var input: Input
}

/// A child that is about to be started.
public struct StartChildWorkflowInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var name: String
    public var options: ChildWorkflowOptions
    public var headers: [String: Payload]
    public var input: Input
}

/// A signal that is about to be sent to a child.
public struct SignalChildWorkflowInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var id: String
    public var name: String
    public var headers: [String: Payload]
    public var input: Input
}

/// A signal that is about to be sent to another workflow.
public struct SignalExternalWorkflowInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var id: String
    public var runID: UUID?
    public var name: String
    public var headers: [String: Payload]
    public var input: Input
}

/// Another workflow that is about to be asked to cancel itself.
public struct CancelExternalWorkflowInput: Sendable {
    public var info: WorkflowInfo
    public var id: String
    public var runID: UUID?
}

/// A run that is about to go on as a new one.
public struct MakeContinueAsNewErrorInput<Input: Sendable>: Sendable {
    public var info: WorkflowInfo
    public var workflowName: String
    public var options: ContinueAsNewOptions
    public var headers: [String: Payload]
    public var input: Input
}
