public import PerdureEngine
public import Tracing

/// Makes spans of what clients ask for and what workflows and activities do, and connects them across processes, by
/// swift-distributed-tracing. Clients and workers have one each:
///
/// ```swift
/// let client = PerdureClient(pool: pool, interceptors: [TracingInterceptor()])
/// var options = WorkerOptions(taskQueue: "orders")
/// options.interceptors = [TracingInterceptor()]
/// ```
///
/// The spans have the names that Temporal's OpenTelemetry interceptors give them, such as `StartWorkflow:Order`,
/// `RunWorkflow:Order`, `StartActivity:Pay`, `RunActivity:Pay` and `SignalWorkflow:Confirm`, and the context travels
/// in the same header, `_tracer-data`: so traces go on through workers of Temporal's SDKs.
///
/// A workflow may wait for a year and go on in another process, so its spans have no length: each says when something
/// happened, and is made when the code gets there first, not when that is replayed. Spans of activities and calls have
/// their length.
public struct TracingInterceptor: ClientInterceptor, WorkerInterceptor {
    static let header = "_tracer-data"

    private let tracer: any Tracer
    private let alwaysCreatesWorkflowSpans: Bool

    /// - Parameters:
    ///   - tracer: where spans go; the one that the application has chosen by default.
    ///   - alwaysCreatesWorkflowSpans: whether workflows make spans also if whoever started them did not. Those are
    ///     then not connected.
    public init(tracer: any Tracer = InstrumentationSystem.tracer, alwaysCreatesWorkflowSpans: Bool = false) {
        self.tracer = tracer
        self.alwaysCreatesWorkflowSpans = alwaysCreatesWorkflowSpans
    }

    public var clientOutboundInterceptor: TracingInterceptor? { self }
    public var workflowInboundInterceptor: TracingInterceptor? { self }
    public var workflowOutboundInterceptor: TracingInterceptor? { self }
    public var activityInboundInterceptor: TracingInterceptor? { self }
}

// MARK: - The context in headers

extension TracingInterceptor {
    private struct Carrier: Injector, Extractor {
        func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
        func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
    }

    private func add(_ context: ServiceContext?, to headers: inout [String: Payload]) {
        guard let context else { return }
        var carrier: [String: String] = [:]
        tracer.inject(context, into: &carrier, using: Carrier())
        if !carrier.isEmpty { headers[Self.header] = Payload(plain: .object(carrier.mapValues(JSON.string))) }
    }

    /// - Returns: nil if whoever sent the headers has no trace.
    private func context(from headers: [String: Payload]) -> ServiceContext? {
        guard let carrier = headers[Self.header].flatMap({ try? $0.decode([String: String].self) }), !carrier.isEmpty
        else { return nil }
        var context = ServiceContext.topLevel
        tracer.extract(carrier, into: &context, using: Carrier())
        return context
    }
}

// MARK: - Spans of calls and activities

extension TracingInterceptor {
    /// Surrounds what takes a while.
    private func span<Value>(
        _ name: String, _ kind: SpanKind, in parent: ServiceContext?, _ attributes: KeyValuePairs<String, String>,
        _ body: (ServiceContext) async throws -> Value
    ) async throws -> Value {
        let span = tracer.startSpan(name, context: parent ?? .topLevel, ofKind: kind)
        for (key, value) in attributes { span.attributes[key] = value }
        defer { span.end() }
        do {
            return try await ServiceContext.withValue(span.context) { try await body(span.context) }
        } catch {
            span.recordError(error, attributes: [:])
            span.setStatus(SpanStatus(code: .error, message: "\(error)"))
            throw error
        }
    }

    private func call<Value>(
        _ name: String, _ workflowID: String, _ headers: [String: Payload],
        _ body: ([String: Payload]) async throws -> Value
    ) async throws -> Value {
        try await span(name, .client, in: .current, ["temporalWorkflowID": workflowID]) { context in
            var headers = headers
            add(context, to: &headers)
            return try await body(headers)
        }
    }
}

extension TracingInterceptor: ClientOutboundInterceptor {
    public func startWorkflow<Input>(
        input: StartWorkflowInput<Input>,
        next: (StartWorkflowInput<Input>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle {
        try await call("StartWorkflow:\(input.name)", input.options.id, input.headers) { headers in
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }

    public func signalWithStartWorkflow<Input, SignalInput>(
        input: SignalWithStartWorkflowInput<Input, SignalInput>,
        next: (SignalWithStartWorkflowInput<Input, SignalInput>) async throws -> UntypedWorkflowHandle
    ) async throws -> UntypedWorkflowHandle {
        try await call("SignalWithStartWorkflow:\(input.name)", input.options.id, input.headers) { headers in
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }

    public func signalWorkflow<Input>(
        input: SignalWorkflowInput<Input>, next: (SignalWorkflowInput<Input>) async throws -> Void
    ) async throws {
        try await call("SignalWorkflow:\(input.name)", input.id, input.headers) { headers in
            var input = input
            input.headers = headers
            try await next(input)
        }
    }

    public func queryWorkflow<Input>(
        input: QueryWorkflowInput<Input>, next: (QueryWorkflowInput<Input>) async throws -> [Payload]
    ) async throws -> [Payload] {
        try await call("QueryWorkflow:\(input.queryName)", input.id, input.headers) { headers in
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }

    public func startWorkflowUpdate<Input>(
        input: StartWorkflowUpdateInput<Input>,
        next: (StartWorkflowUpdateInput<Input>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await call("StartWorkflowUpdate:\(input.updateName)", input.id, input.headers) { headers in
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }
}

extension TracingInterceptor {
    public func startUpdateWithStartWorkflow<Input, UpdateInput>(
        input: StartUpdateWithStartWorkflowInput<Input, UpdateInput>,
        next: (StartUpdateWithStartWorkflowInput<Input, UpdateInput>) async throws -> UntypedWorkflowUpdateHandle
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await call("StartUpdateWithStartWorkflow:\(input.name)", input.options.id, input.headers) { headers in
            var input = input
            input.headers = headers
            return try await next(input)
        }
    }
}

extension TracingInterceptor: ActivityInboundInterceptor {
    public func executeActivity<Activity: ActivityDefinition>(
        input: ExecuteActivityInput<Activity>,
        next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
    ) async throws -> Activity.Output {
        let info = ActivityExecutionContext.current?.info
        return try await span(
            "RunActivity:\(info?.activityType ?? Activity.name)", .server, in: context(from: input.headers),
            [
                "temporalWorkflowID": info?.workflowID ?? "", "temporalRunID": info?.workflowRunID.description ?? "",
                "temporalActivityID": info?.activityID ?? "",
            ]
        ) { _ in try await next(input) }
    }
}

// MARK: - Spans of workflows

/// A time that workflow code sees.
private struct WorkflowInstant: TracerInstant {
    let nanosecondsSinceEpoch: UInt64

    init(_ time: PerdureEngine.Timestamp) {
        nanosecondsSinceEpoch = UInt64(clamping: time.microseconds) * 1000
    }

    static func < (left: Self, right: Self) -> Bool { left.nanosecondsSinceEpoch < right.nanosecondsSinceEpoch }
}

extension TracingInterceptor {
    /// Makes a span of something that happens in a workflow, below the current one.
    ///
    /// - Parameter sender: the headers of a message that has a trace of its own, which is linked.
    /// - Returns: its context; nil if there is no span, as in a replay.
    @discardableResult
    private func happened(
        _ name: String, _ kind: SpanKind, _ info: WorkflowInfo, from sender: [String: Payload] = [:],
        error: (any Error)? = nil, evenOnReplay: Bool = false
    ) -> ServiceContext? {
        let parent = ServiceContext.current
        guard evenOnReplay || !info.isReplaying, parent != nil || alwaysCreatesWorkflowSpans else { return nil }
        let time = WorkflowInstant(info.now)
        let span = tracer.startSpan(name, context: parent ?? .topLevel, ofKind: kind, at: time)
        span.attributes["temporalWorkflowID"] = info.workflowID
        span.attributes["temporalRunID"] = info.runID.description
        if let linked = context(from: sender) { span.addLink(SpanLink(context: linked, attributes: [:])) }
        if let error {
            span.recordError(error, attributes: [:], at: time)
            span.setStatus(SpanStatus(code: .error, message: "\(error)"))
        }
        span.end(at: time)
        return span.context
    }

    /// Runs code of a workflow with the context of whoever started it: the same on replay.
    private func inWorkflow<Value>(_ info: WorkflowInfo, _ body: () async throws -> Value) async throws -> Value {
        try await ServiceContext.withValue(context(from: info.headers)) { try await body() }
    }

    private func completed(_ info: WorkflowInfo, _ error: (any Error)? = nil) {
        happened("CompleteWorkflow:\(info.workflowType)", .internal, info, error: error)
    }
}

extension TracingInterceptor: WorkflowInboundInterceptor {
    public func executeWorkflow<Workflow: WorkflowDefinition>(
        input: ExecuteWorkflowInput<Workflow>,
        next: (ExecuteWorkflowInput<Workflow>) async throws -> Workflow.Output
    ) async throws -> Workflow.Output {
        try await inWorkflow(input.info) {
            happened("RunWorkflow:\(input.info.workflowType)", .server, input.info)
            do {
                let output = try await next(input)
                completed(input.info)
                return output
            } catch let error as any FailureError {
                completed(input.info, error)
                throw error
            }
        }
    }

    public func handleSignal<Signal: WorkflowSignalDefinition>(
        input: HandleSignalInput<Signal>, next: (HandleSignalInput<Signal>) async throws -> Void
    ) async throws {
        try await inWorkflow(input.info) {
            happened("HandleSignal:\(input.name)", .server, input.info, from: input.headers)
            do {
                try await next(input)
            } catch let error as any FailureError {
                // It fails the run.
                completed(input.info, error)
                throw error
            }
        }
    }

    public func handleQuery<Query: WorkflowQueryDefinition>(
        input: HandleQueryInput<Query>, next: (HandleQueryInput<Query>) throws -> Query.Output
    ) throws -> Query.Output {
        // Below whoever asked, and only if that has a trace.
        guard let asker = context(from: input.headers) else { return try next(input) }
        return try ServiceContext.withValue(asker) {
            happened(
                "HandleQuery:\(input.name)", .server, input.info, from: input.info.headers, evenOnReplay: true)
            return try next(input)
        }
    }

    public func validateUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) throws -> Void
    ) throws {
        try ServiceContext.withValue(context(from: input.info.headers)) {
            happened("ValidateUpdate:\(input.name)", .server, input.info, from: input.headers)
            try next(input)
        }
    }

    public func handleUpdate<Update: WorkflowUpdateDefinition>(
        input: HandleUpdateInput<Update>, next: (HandleUpdateInput<Update>) async throws -> Update.Output
    ) async throws -> Update.Output {
        try await inWorkflow(input.info) {
            happened("HandleUpdate:\(input.name)", .server, input.info, from: input.headers)
            return try await next(input)
        }
    }
}

extension TracingInterceptor: WorkflowOutboundInterceptor {
    public func executeActivity<Input, Output: Sendable>(
        input: ScheduleActivityInput<Input>, next: (ScheduleActivityInput<Input>) async throws -> Output
    ) async throws -> Output {
        var input = input
        add(happened("StartActivity:\(input.name)", .client, input.info), to: &input.headers)
        return try await next(input)
    }

    public func startChildWorkflow<Input>(
        input: StartChildWorkflowInput<Input>,
        next: (StartChildWorkflowInput<Input>) async throws -> UntypedChildWorkflowHandle
    ) async throws -> UntypedChildWorkflowHandle {
        var input = input
        add(happened("StartChildWorkflow:\(input.name)", .client, input.info), to: &input.headers)
        return try await next(input)
    }

    public func signalWorkflow<Input>(
        input: SignalChildWorkflowInput<Input>, next: (SignalChildWorkflowInput<Input>) async throws -> Void
    ) async throws {
        var input = input
        add(happened("SignalChildWorkflow:\(input.name)", .client, input.info), to: &input.headers)
        try await next(input)
    }

    public func signalExternalWorkflow<Input>(
        input: SignalExternalWorkflowInput<Input>,
        next: (SignalExternalWorkflowInput<Input>) async throws -> Void
    ) async throws {
        var input = input
        add(happened("SignalExternalWorkflow:\(input.name)", .client, input.info), to: &input.headers)
        try await next(input)
    }

    public func makeContinueAsNewError<Input>(
        input: MakeContinueAsNewErrorInput<Input>,
        next: (MakeContinueAsNewErrorInput<Input>) async throws -> ContinueAsNewError
    ) async throws -> ContinueAsNewError {
        var input = input
        add(ServiceContext.current, to: &input.headers)
        return try await next(input)
    }
}
