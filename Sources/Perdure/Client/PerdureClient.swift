public import Foundation
public import PerdureEngine
public import Postgres

/// Starts workflows and talks to them.
///
/// Every method throws a typed error of this module for what can go wrong with a workflow, ``EngineError`` for what the
/// engine refuses otherwise, and `PostgresError` when the database cannot be reached.
public struct PerdureClient: Sendable {
    public let namespace: String
    /// Who did it, in histories.
    public let identity: String
    let engine: Engine

    /// - Parameters:
    ///   - pool: may be shared with the application and with workers.
    ///   - identity: `pid@host` by default.
    public init(pool: PostgresPool, namespace: String = "default", identity: String? = nil) {
        engine = Engine(pool: pool)
        self.namespace = namespace
        self.identity = identity ?? WorkerOptions.defaultIdentity
    }
}

// MARK: - By name

extension PerdureClient {
    /// Starts a workflow by the name of its type.
    ///
    /// A lost connection does not start it twice: the start is repeated under its request id.
    ///
    /// - Throws: ``WorkflowAlreadyStartedError``.
    public func startWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = []
    ) async throws -> UntypedWorkflowHandle {
        let wire = options.json(identity: identity, requestID: UUID().uuidString)
        let run = try await translating(options.id, nil) {
            try await retrying {
                try await engine.startWorkflow(
                    namespace: namespace, workflowID: options.id, workflowType: name, taskQueue: options.taskQueue,
                    input: payloads, options: wire)
            }
        }
        return UntypedWorkflowHandle(client: self, id: options.id, runID: nil, resultRunID: run.runID)
    }

    /// Starts a workflow by the name of its type, with an input of one value.
    public func startWorkflow(
        name: String, options: WorkflowOptions, input: some Encodable & Sendable
    ) async throws -> UntypedWorkflowHandle {
        try await startWorkflow(name: name, options: options, payloads: [Payload(encoding: input)])
    }

    /// Signals a workflow, and starts it first if it does not run.
    public func signalWithStartWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = [], signalName: String,
        signalPayloads: [Payload] = []
    ) async throws -> UntypedWorkflowHandle {
        let wire = options.json(identity: identity, requestID: UUID().uuidString)
        let run = try await translating(options.id, nil) {
            try await engine.signalWithStartWorkflow(
                namespace: namespace, workflowID: options.id, workflowType: name, taskQueue: options.taskQueue,
                input: payloads, signalName: signalName, signalInput: signalPayloads, options: wire)
        }
        return UntypedWorkflowHandle(client: self, id: options.id, runID: nil, resultRunID: run.runID)
    }

    /// A handle of a workflow that was started elsewhere; nothing is asked of the database yet.
    ///
    /// - Parameter runID: nil for whichever run is the latest.
    public func untypedWorkflowHandle(id: String, runID: UUID? = nil) -> UntypedWorkflowHandle {
        UntypedWorkflowHandle(client: self, id: id, runID: runID, resultRunID: runID)
    }
}

// MARK: - Lists

extension PerdureClient {
    /// The runs that a list filter chooses, newest first unless it says `ORDER BY`.
    ///
    /// - Parameters:
    ///   - filter: Temporal's list filter, such as `WorkflowType = 'Transfer' AND ExecutionStatus = 'Running'`; see
    ///     docs/reference/list-filter.md. Empty for all runs.
    ///   - last: the last run of the page before; nil for the first page.
    ///   - limit: at most 1000.
    public func listWorkflows(
        _ filter: String = "", after last: WorkflowSummary? = nil, limit: Int = 100
    ) async throws -> [WorkflowSummary] {
        try await engine.listWorkflows(namespace: namespace, filter: filter, after: last, limit: limit)
    }

    /// How many runs a list filter chooses, by status.
    ///
    /// - Parameter bound: how far each status is counted; nil counts all, which takes long when there are millions.
    public func countWorkflows(_ filter: String = "", upTo bound: Int? = nil) async throws -> [WorkflowStatus: Int] {
        try await engine.countWorkflows(namespace: namespace, filter: filter, upTo: bound)
    }
}

// MARK: - Errors

extension PerdureClient {
    /// Turns what the engine says of a workflow into the errors of this module.
    func translating<Value>(
        _ workflowID: String, _ runID: UUID?, _ operation: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await operation()
        } catch let error as EngineError {
            switch error.code {
            case .workflowNotFound: throw WorkflowNotFoundError(workflowID: workflowID, runID: runID)
            case .workflowAlreadyStarted:
                throw WorkflowAlreadyStartedError(
                    workflowID: workflowID, runID: error.runID, message: error.description)
            case .workflowClosed: throw WorkflowClosedError(workflowID: workflowID, runID: runID)
            default: throw error
            }
        }
    }

    /// Repeats what may be repeated while the database comes back, for some seconds.
    func retrying<Value>(_ operation: () async throws -> Value) async throws -> Value {
        var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
        let end = ContinuousClock.now + .seconds(10)
        while true {
            do {
                return try await operation()
            } catch let error as PostgresError where error.isRetryable && ContinuousClock.now < end {
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }
}
