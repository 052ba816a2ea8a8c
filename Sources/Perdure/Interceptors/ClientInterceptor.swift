public import Foundation
public import PerdureEngine

/// Surrounds the calls of a client. Of several, the first is outermost.
public protocol ClientInterceptor: Sendable {
    associatedtype ClientOutboundInterceptorType: ClientOutboundInterceptor = Never

    var clientOutboundInterceptor: ClientOutboundInterceptorType? { get }
}

extension ClientInterceptor {
    public var clientOutboundInterceptor: ClientOutboundInterceptorType? { nil }
}

/// Surrounds what a client asks for. What it throws, the caller gets.
public protocol ClientOutboundInterceptor: Sendable {
    func startWorkflow<Input>(
        input: StartWorkflowInput<Input>,
        next: (StartWorkflowInput<Input>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle

    func signalWithStartWorkflow<Input, SignalInput>(
        input: SignalWithStartWorkflowInput<Input, SignalInput>,
        next: (SignalWithStartWorkflowInput<Input, SignalInput>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle

    func signalWorkflow<Input>(
        input: SignalWorkflowInput<Input>, next: (SignalWorkflowInput<Input>) async throws -> Void
    ) async throws

    func queryWorkflow<Input>(
        input: QueryWorkflowInput<Input>, next: (QueryWorkflowInput<Input>) async throws -> [Payload]
    ) async throws -> [Payload]

    func startWorkflowUpdate<Input>(
        input: StartWorkflowUpdateInput<Input>,
        next: (StartWorkflowUpdateInput<Input>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle

    func startUpdateWithStartWorkflow<Input, UpdateInput>(
        input: StartUpdateWithStartWorkflowInput<Input, UpdateInput>,
        next: (StartUpdateWithStartWorkflowInput<Input, UpdateInput>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle

    func describeWorkflow(
        input: DescribeWorkflowInput, next: (DescribeWorkflowInput) async throws -> WorkflowDescription
    ) async throws -> WorkflowDescription

    func cancelWorkflow(
        input: CancelWorkflowInput, next: (CancelWorkflowInput) async throws -> Void
    ) async throws

    func terminateWorkflow(
        input: TerminateWorkflowInput, next: (TerminateWorkflowInput) async throws -> Void
    ) async throws

    func resetWorkflow(
        input: ResetWorkflowInput, next: (ResetWorkflowInput) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle
}

extension ClientOutboundInterceptor {
    public func startWorkflow<Input>(
        input: StartWorkflowInput<Input>,
        next: (StartWorkflowInput<Input>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle {
        try await next(input)
    }

    public func signalWithStartWorkflow<Input, SignalInput>(
        input: SignalWithStartWorkflowInput<Input, SignalInput>,
        next: (SignalWithStartWorkflowInput<Input, SignalInput>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle {
        try await next(input)
    }

    public func signalWorkflow<Input>(
        input: SignalWorkflowInput<Input>, next: (SignalWorkflowInput<Input>) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func queryWorkflow<Input>(
        input: QueryWorkflowInput<Input>, next: (QueryWorkflowInput<Input>) async throws -> [Payload]
    ) async throws -> [Payload] {
        try await next(input)
    }

    public func startWorkflowUpdate<Input>(
        input: StartWorkflowUpdateInput<Input>,
        next: (StartWorkflowUpdateInput<Input>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await next(input)
    }

    public func startUpdateWithStartWorkflow<Input, UpdateInput>(
        input: StartUpdateWithStartWorkflowInput<Input, UpdateInput>,
        next: (StartUpdateWithStartWorkflowInput<Input, UpdateInput>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await next(input)
    }

    public func describeWorkflow(
        input: DescribeWorkflowInput, next: (DescribeWorkflowInput) async throws -> WorkflowDescription
    ) async throws -> WorkflowDescription {
        try await next(input)
    }

    public func cancelWorkflow(
        input: CancelWorkflowInput, next: (CancelWorkflowInput) async throws -> Void
    ) async throws {
        try await next(input)
    }

    public func terminateWorkflow(
        input: TerminateWorkflowInput, next: (TerminateWorkflowInput) async throws -> Void
    ) async throws {
        try await next(input)
    }
}

extension ClientOutboundInterceptor {
    public func resetWorkflow(
        input: ResetWorkflowInput, next: (ResetWorkflowInput) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle {
        try await next(input)
    }
}

/// A workflow that is about to be started. `Input` is `[Payload]` if the caller has made payloads itself.
public struct StartWorkflowInput<Input: Sendable>: Sendable {
    public var name: String
    public var options: WorkflowOptions
    public var headers: [String: Payload]
    public var input: Input
}

/// A workflow that is about to be signalled, and started if it does not run. Start and signal have the same headers.
public struct SignalWithStartWorkflowInput<Input: Sendable, SignalInput: Sendable>: Sendable {
    public var name: String
    public var options: WorkflowOptions
    public var headers: [String: Payload]
    public var input: Input
    public var signalName: String
    public var signalInput: SignalInput
}

/// A signal that is about to be sent.
public struct SignalWorkflowInput<Input: Sendable>: Sendable {
    public var id: String
    public var runID: UUID?
    public var name: String
    public var headers: [String: Payload]
    public var input: Input
}

/// A query that is about to be asked.
public struct QueryWorkflowInput<Input: Sendable>: Sendable {
    public var id: String
    public var runID: UUID?
    public var queryName: String
    public var headers: [String: Payload]
    public var input: Input
}

/// An update that is about to be sent.
public struct StartWorkflowUpdateInput<Input: Sendable>: Sendable {
    public var id: String
    public var runID: UUID?
    public var updateID: String
    public var updateName: String
    public var waitForStage: WorkflowUpdateStage
    public var headers: [String: Payload]
    public var input: Input
}

/// A workflow that is about to be sent an update, and started if it does not run. Start and update have the same
/// headers.
public struct StartUpdateWithStartWorkflowInput<Input: Sendable, UpdateInput: Sendable>: Sendable {
    public var name: String
    public var options: WorkflowOptions
    public var headers: [String: Payload]
    public var input: Input
    public var updateID: String
    public var updateName: String
    public var updateInput: UpdateInput
    public var waitForStage: WorkflowUpdateStage
}

/// A workflow that is about to be described.
public struct DescribeWorkflowInput: Sendable {
    public var id: String
    public var runID: UUID?
}

/// A workflow that is about to be asked to cancel itself.
public struct CancelWorkflowInput: Sendable {
    public var id: String
    public var runID: UUID?
    public var firstExecutionRunID: UUID?
    public var reason: String?
}

/// A workflow that is about to be ended.
public struct TerminateWorkflowInput: Sendable {
    public var id: String
    public var runID: UUID?
    public var firstExecutionRunID: UUID?
    public var reason: String?
    public var details: [Payload]
}
