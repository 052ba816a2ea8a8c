import Metrics
import PerdureEngine
import Postgres
import Synchronization

/// What a client asks of the database, by the name of the call that Temporal's clients make for it.
enum ClientRequest: String, Sendable {
    case startWorkflowExecution = "StartWorkflowExecution"
    case signalWithStartWorkflowExecution = "SignalWithStartWorkflowExecution"
    case executeMultiOperation = "ExecuteMultiOperation"
    case signalWorkflowExecution = "SignalWorkflowExecution"
    case queryWorkflow = "QueryWorkflow"
    case updateWorkflowExecution = "UpdateWorkflowExecution"
    case pollWorkflowExecutionUpdate = "PollWorkflowExecutionUpdate"
    case requestCancelWorkflowExecution = "RequestCancelWorkflowExecution"
    case terminateWorkflowExecution = "TerminateWorkflowExecution"
    case resetWorkflowExecution = "ResetWorkflowExecution"
    case describeWorkflowExecution = "DescribeWorkflowExecution"
    case getWorkflowExecutionHistory = "GetWorkflowExecutionHistory"
    case listWorkflowExecutions = "ListWorkflowExecutions"
    case countWorkflowExecutions = "CountWorkflowExecutions"
}

/// What a client counts and times of its requests, each try of them, under the names and tags of Temporal's SDKs.
/// docs/guides/codecs-and-interceptors.md lists them.
final class ClientMetrics: Sendable {
    private struct Operation {
        let requests: Counter
        let latency: Timer
    }

    private let namespace: String
    private let factory: any MetricsFactory
    private let operations = Mutex<[ClientRequest: Operation]>([:])

    init(namespace: String, factory: any MetricsFactory = MetricsSystem.factory) {
        self.namespace = namespace
        self.factory = factory
    }

    func measure<Value>(_ request: ClientRequest, _ body: () async throws -> Value) async throws -> Value {
        let operation = operation(request)
        operation.requests.increment()
        let start = ContinuousClock.now
        defer { operation.latency.record(duration: start.duration(to: .now)) }
        do {
            return try await body()
        } catch {
            Counter(
                label: "temporal_request_failure",
                dimensions: tags(request) + [("status_code", Self.statusCode(of: error))], factory: factory
            ).increment()
            throw error
        }
    }

    private func tags(_ request: ClientRequest) -> [(String, String)] {
        [("namespace", namespace), ("operation", request.rawValue)]
    }

    private func operation(_ request: ClientRequest) -> Operation {
        operations.withLock { operations in
            if let known = operations[request] { return known }
            let operation = Operation(
                requests: Counter(label: "temporal_request", dimensions: tags(request), factory: factory),
                latency: Timer(label: "temporal_request_latency", dimensions: tags(request), factory: factory))
            operations[request] = operation
            return operation
        }
    }

    /// The gRPC status that Temporal's server has for it.
    private static func statusCode(of error: any Error) -> String {
        switch error {
        case let error as EngineError:
            switch error.code {
            case .workflowNotFound, .workflowClosed, .leaseLost, .namespaceNotFound, .updateNotFound, .activityNotFound:
                "NOT_FOUND"
            case .workflowAlreadyStarted: "ALREADY_EXISTS"
            case .invalidArgument, .tooLarge, .searchAttribute, .queryFailed, .updateFailed: "INVALID_ARGUMENT"
            case .tooManyUpdates: "RESOURCE_EXHAUSTED"
            case .activityPaused, .updateRefused, .workflowTasksFail, .incompatibleDatabase: "FAILED_PRECONDITION"
            }
        case let error as PostgresError: error.isRetryable ? "UNAVAILABLE" : "INTERNAL"
        case is CancellationError: "CANCELLED"
        default: "INTERNAL"
        }
    }
}
