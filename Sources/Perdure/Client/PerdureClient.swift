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
    /// On the pool, whatever transaction the client is a part of.
    private let pooled: Engine
    private var connection: PostgresConnection?
    /// Shared by all copies.
    let notices: ResultNotices

    /// - Parameters:
    ///   - pool: may be shared with the application and with workers.
    ///   - identity: `pid@host` by default.
    public init(pool: PostgresPool, namespace: String = "default", identity: String? = nil) {
        pooled = Engine(pool: pool)
        notices = ResultNotices(engine: pooled, namespace: namespace)
        self.namespace = namespace
        self.identity = identity ?? WorkerOptions.defaultIdentity
    }

    /// A client whose calls are part of the transaction that is open on a connection: a workflow is started, signalled or
    /// canceled if and only if the application's own rows are committed.
    ///
    /// ```swift
    /// try await pool.transaction { connection in
    ///     try await connection.query("insert into orders (id) values (\(order.id))")
    ///     try await client.on(connection).startWorkflow(type: OrderWorkflow.self, options: options, input: order)
    /// }
    /// ```
    ///
    /// What it starts can be waited for only after the commit, and by the handle that the start returned. Nothing is repeated
    /// when the connection is lost, for the transaction is lost with it; and as always in PostgreSQL, an error such as
    /// ``WorkflowAlreadyStartedError`` aborts the transaction.
    public func on(_ connection: PostgresConnection) -> PerdureClient {
        var client = self
        client.connection = connection
        return client
    }

    /// The same client outside of any transaction.
    private var unbound: PerdureClient {
        var client = self
        client.connection = nil
        return client
    }

    var engine: Engine { connection.map { pooled.on($0) } ?? pooled }
}

// MARK: - By name

extension PerdureClient {
    /// Starts a workflow by the name of its type.
    ///
    /// A lost connection does not start it twice: the start is repeated under its request id.
    ///
    /// - Throws: ``WorkflowAlreadyStartedError``.
    @discardableResult
    public func startWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = []
    ) async throws -> UntypedWorkflowHandle {
        let wire = try options.json(identity: identity, requestID: UUID().uuidString)
        let run = try await translating(options.id, nil) {
            try await retrying {
                try await engine.startWorkflow(
                    namespace: namespace, workflowID: options.id, workflowType: name, taskQueue: options.taskQueue,
                    input: payloads, options: wire)
            }
        }
        return UntypedWorkflowHandle(client: unbound, id: options.id, runID: nil, resultRunID: run.runID)
    }

    /// Starts a workflow by the name of its type, with an input of one value.
    @discardableResult
    public func startWorkflow(
        name: String, options: WorkflowOptions, input: some Encodable & Sendable
    ) async throws -> UntypedWorkflowHandle {
        try await startWorkflow(name: name, options: options, payloads: [Payload(encoding: input)])
    }

    /// Signals a workflow, and starts it first if it does not run. A lost connection does neither twice.
    @discardableResult
    public func signalWithStartWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = [], signalName: String,
        signalPayloads: [Payload] = []
    ) async throws -> UntypedWorkflowHandle {
        var options = options
        // It exists to find the run.
        if options.idConflictPolicy == .fail { options.idConflictPolicy = .useExisting }
        let wire = try options.json(identity: identity, requestID: UUID().uuidString)
        let run = try await translating(options.id, nil) {
            try await retrying {
                try await engine.signalWithStartWorkflow(
                    namespace: namespace, workflowID: options.id, workflowType: name, taskQueue: options.taskQueue,
                    input: payloads, signalName: signalName, signalInput: signalPayloads, options: wire)
            }
        }
        return UntypedWorkflowHandle(client: unbound, id: options.id, runID: nil, resultRunID: run.runID)
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

    /// Repeats what may be repeated while the database comes back, for some seconds. In a transaction nothing may.
    func retrying<Value>(_ operation: () async throws -> Value) async throws -> Value {
        guard connection == nil else { return try await operation() }
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
