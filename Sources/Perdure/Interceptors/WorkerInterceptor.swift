import PerdureEngine

/// Surrounds what a worker runs: workflows and activities, what comes in and what goes out. Each part is left out by
/// nil.
///
/// ```swift
/// struct Tenant: WorkerInterceptor {
///     struct Outbound: WorkflowOutboundInterceptor {
///         func executeActivity<Input, Output>(
///             input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
///         ) async throws -> Output {
///             var input = input
///             input.headers["tenant"] = input.info.headers["tenant"]
///             return try await next(input)
///         }
///     }
///     var workflowOutboundInterceptor: Outbound? { Outbound() }
/// }
/// ```
///
/// Of several, set as ``WorkerOptions/interceptors``, the first is outermost. What an interceptor of workflows does is
/// a part of the workflow: it is done again on replay, and has to decide the same.
public protocol WorkerInterceptor: Sendable {
    associatedtype WorkflowInboundInterceptorType: WorkflowInboundInterceptor = Never
    associatedtype WorkflowOutboundInterceptorType: WorkflowOutboundInterceptor = Never
    associatedtype ActivityInboundInterceptorType: ActivityInboundInterceptor = Never
    associatedtype ActivityOutboundInterceptorType: ActivityOutboundInterceptor = Never

    var workflowInboundInterceptor: WorkflowInboundInterceptorType? { get }
    var workflowOutboundInterceptor: WorkflowOutboundInterceptorType? { get }
    var activityInboundInterceptor: ActivityInboundInterceptorType? { get }
    var activityOutboundInterceptor: ActivityOutboundInterceptorType? { get }
}

extension WorkerInterceptor {
    public var workflowInboundInterceptor: WorkflowInboundInterceptorType? { nil }
    public var workflowOutboundInterceptor: WorkflowOutboundInterceptorType? { nil }
    public var activityInboundInterceptor: ActivityInboundInterceptorType? { nil }
    public var activityOutboundInterceptor: ActivityOutboundInterceptorType? { nil }
}

// What an interceptor leaves out.
extension Never: WorkflowInboundInterceptor, WorkflowOutboundInterceptor, ActivityInboundInterceptor,
    ActivityOutboundInterceptor, ClientOutboundInterceptor
{}

/// What surrounds the code of a worker: how values are converted, and who intercepts what.
final class Surroundings: Sendable {
    static let none = Surroundings()

    let converter: DataConverter
    let workflowInbound: ArraySlice<any WorkflowInboundInterceptor>
    let workflowOutbound: ArraySlice<any WorkflowOutboundInterceptor>
    let activityInbound: ArraySlice<any ActivityInboundInterceptor>
    let activityOutbound: ArraySlice<any ActivityOutboundInterceptor>

    init(converter: DataConverter = .default, interceptors: [any WorkerInterceptor] = []) {
        self.converter = converter
        func parts<Part>(_ part: (any WorkerInterceptor) -> Part?) -> ArraySlice<Part> {
            interceptors.compactMap(part)[...]
        }
        workflowInbound = parts { $0.workflowInboundInterceptor }
        workflowOutbound = parts { $0.workflowOutboundInterceptor }
        activityInbound = parts { $0.activityInboundInterceptor }
        activityOutbound = parts { $0.activityOutboundInterceptor }
    }
}
