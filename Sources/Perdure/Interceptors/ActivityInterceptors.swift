public import PerdureEngine

/// Surrounds the attempts of activities.
public protocol ActivityInboundInterceptor: Sendable {
    /// Surrounds one attempt. ``ActivityExecutionContext/current`` tells which.
    func executeActivity<Activity: ActivityDefinition>(
        input: ExecuteActivityInput<Activity>,
        next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
    ) async throws -> Activity.Output
}

extension ActivityInboundInterceptor {
    public func executeActivity<Activity: ActivityDefinition>(
        input: ExecuteActivityInput<Activity>,
        next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
    ) async throws -> Activity.Output {
        try await next(input)
    }
}

/// Surrounds what activities say of themselves.
public protocol ActivityOutboundInterceptor: Sendable {
    /// Surrounds a heartbeat.
    func heartbeat(input: HeartbeatInput, next: (HeartbeatInput) throws -> Void) throws
}

extension ActivityOutboundInterceptor {
    public func heartbeat(input: HeartbeatInput, next: (HeartbeatInput) throws -> Void) throws { try next(input) }
}

/// An attempt of an activity that is about to run.
public struct ExecuteActivityInput<Activity: ActivityDefinition>: Sendable {
    public var definition: Activity
    public var headers: [String: Payload]
    public var input: Activity.Input
}

/// A heartbeat that is about to be recorded.
public struct HeartbeatInput: Sendable {
    public var details: [any Encodable & Sendable]
}
