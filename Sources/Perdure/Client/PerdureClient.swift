public import Foundation
public import Logging
public import Metrics
public import PerdureEngine
public import Postgres

/// Starts workflows and talks to them.
///
/// Every method throws a typed error of this module for what can go wrong with a workflow, ``EngineError`` for what the
/// engine refuses otherwise, with the code ``EngineError/Code/incompatibleDatabase`` when the database is not migrated,
/// and `PostgresError` for everything else, as when it cannot be reached.
public struct PerdureClient: Sendable {
    public let namespace: String
    /// Who did it, in histories.
    public let identity: String
    /// On the pool, whatever transaction the client is a part of.
    private let pooled: Engine
    private var connection: PostgresConnection?
    /// How values and errors become what histories hold.
    public let dataConverter: DataConverter
    let interceptors: ArraySlice<any ClientOutboundInterceptor>
    /// Shared by all copies.
    let notices: ResultNotices
    private let metrics: ClientMetrics
    /// Told of each wait for the result of a workflow or of one run; returns what is to be called when it is over. Time
    /// of tests goes on meanwhile.
    package var onWait: (@Sendable (_ workflowID: String, _ runID: UUID?) -> @Sendable () -> Void)?

    /// - Parameters:
    ///   - pool: may be shared with the application and with workers.
    ///   - identity: `pid@host` by default.
    ///   - interceptors: what surrounds its calls, the first outermost.
    ///   - dataConverter: how values and errors become what histories hold. That of workers should be alike.
    ///   - metricsFactory: where the metrics of its requests go; nil for the backend of the application.
    public init(
        pool: PostgresPool, namespace: String = "default", identity: String? = nil,
        interceptors: [any ClientInterceptor] = [], dataConverter: DataConverter = .default,
        metricsFactory: (any MetricsFactory)? = nil
    ) {
        metrics = ClientMetrics(namespace: namespace, factory: metricsFactory ?? MetricsSystem.factory)
        pooled = Engine(pool: pool)
        notices = ResultNotices(engine: pooled, namespace: namespace)
        self.namespace = namespace
        self.identity = identity ?? WorkerOptions.defaultIdentity
        self.dataConverter = dataConverter
        func outbound(_ interceptor: some ClientInterceptor) -> (any ClientOutboundInterceptor)? {
            interceptor.clientOutboundInterceptor
        }
        self.interceptors = interceptors.compactMap { outbound($0) }[...]
    }

    /// A client whose calls are part of the transaction that is open on a connection: a workflow is started, signalled
    /// or canceled if and only if the application's own rows are committed.
    ///
    /// ```swift
    /// try await pool.transaction { connection in
    ///     try await connection.query("insert into orders (id) values (\(order.id))")
    ///     try await client.on(connection).startWorkflow(type: OrderWorkflow.self, options: options, input: order)
    /// }
    /// ```
    ///
    /// What it starts can be waited for only after the commit, and by the handle that the start returned. Nothing is
    /// repeated when the connection is lost, for the transaction is lost with it; and as always in PostgreSQL, an error
    /// such as ``WorkflowAlreadyStartedError`` aborts the transaction.
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

// MARK: - The schema

extension PerdureClient {
    /// Installs the engine in a database, or brings it to the state of this package. Safe to call at every start, from
    /// many processes at once; `perdure migrate` does the same.
    ///
    /// ```swift
    /// try await PerdureClient.migrate(.fromEnvironment())
    /// ```
    ///
    /// - Parameter configuration: connects as the owner of schema `perdure`, or as a role that may create schemas in
    ///   the database. Workers and clients need fewer rights: those of the role `perdure_worker`.
    /// - Returns: the files that were applied, in order; none when the database is up to date.
    /// - Throws: ``MigrationError``; `PostgresError` when the database cannot be reached.
    @discardableResult
    public static func migrate(
        _ configuration: PostgresConfiguration, logger: Logger = Logger(label: "perdure.migrator")
    ) async throws -> [String] {
        try await Migrator(configuration: configuration, logger: logger).migrate()
    }
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
        try await start(name, options, payloads)
    }

    func start<Input: Sendable>(
        _ name: String, _ options: WorkflowOptions, _ input: Input
    ) async throws -> UntypedWorkflowHandle {
        try await intercept(
            by: interceptors, StartWorkflowInput(name: name, options: options, headers: [:], input: input)
        ) {
            try await $0.startWorkflow(input: $1, next: $2)
        } around: { start in
            let options = start.options
            let input = try await dataConverter.encoded(dataConverter.encode(start.input))
            let wire = try await wire(options, start.headers)
            let run = try await translating(options.id, nil) {
                try await retrying(.startWorkflowExecution) {
                    try await engine.startWorkflow(
                        namespace: namespace, workflowID: options.id, workflowType: start.name,
                        taskQueue: options.taskQueue, input: input, options: wire)
                }
            }
            return handle(of: run, id: options.id)
        }
    }

    /// The contract's `p_options` of a start.
    func wire(_ options: WorkflowOptions, _ headers: [String: Payload]) async throws -> JSON {
        var wire = try options.json(identity: identity, requestID: UUID().uuidString)
        wire["memo"] = try await dataConverter.encoded(memo: dataConverter.encode(memo: options.memo))
        wire["userMetadata"] = try await dataConverter.encoded(
            memo: dataConverter.encode(userMetadata: options.staticSummary, options.staticDetails))
        if !headers.isEmpty { wire["header"] = headers.json }
        return wire
    }

    /// Starts a workflow by the name of its type, with an input of one value.
    @discardableResult
    public func startWorkflow(
        name: String, options: WorkflowOptions, input: some Encodable & Sendable
    ) async throws -> UntypedWorkflowHandle {
        try await start(name, options, input)
    }

    /// Signals a workflow, and starts it first if it does not run. A lost connection does neither twice.
    @discardableResult
    public func signalWithStartWorkflow(
        name: String, options: WorkflowOptions, payloads: [Payload] = [], signalName: String,
        signalPayloads: [Payload] = []
    ) async throws -> UntypedWorkflowHandle {
        try await signalWithStart(name, options, payloads, signalName, signalPayloads)
    }

    func signalWithStart<Input: Sendable, SignalInput: Sendable>(
        _ name: String, _ options: WorkflowOptions, _ input: Input, _ signalName: String, _ signalInput: SignalInput
    ) async throws -> UntypedWorkflowHandle {
        try await intercept(
            by: interceptors,
            SignalWithStartWorkflowInput(
                name: name, options: options, headers: [:], input: input, signalName: signalName,
                signalInput: signalInput)
        ) {
            try await $0.signalWithStartWorkflow(input: $1, next: $2)
        } around: { start in
            var options = start.options
            // It exists to find the run.
            if options.idConflictPolicy == .fail { options.idConflictPolicy = .useExisting }
            let input = try await dataConverter.encoded(dataConverter.encode(start.input))
            let signalInput = try await dataConverter.encoded(dataConverter.encode(start.signalInput))
            let wire = try await wire(options, start.headers)
            let run = try await translating(options.id, nil) {
                try await retrying(.signalWithStartWorkflowExecution) {
                    try await engine.signalWithStartWorkflow(
                        namespace: namespace, workflowID: options.id, workflowType: start.name,
                        taskQueue: options.taskQueue, input: input, signalName: start.signalName,
                        signalInput: signalInput, options: wire)
                }
            }
            return handle(of: run, id: options.id)
        }
    }

    private func handle(of run: StartedRun, id: String) -> UntypedWorkflowHandle {
        // One that was found may be any of its chain.
        UntypedWorkflowHandle(
            client: unbound, id: id, runID: nil, firstExecutionRunID: run.started ? run.runID : nil,
            resultRunID: run.runID)
    }

    /// A handle of a workflow that was started elsewhere; nothing is asked of the database yet.
    ///
    /// - Parameters:
    ///   - runID: nil for whichever run is the latest.
    ///   - firstExecutionRunID: the first run of its chain, if only that chain is to be canceled or terminated.
    public func untypedWorkflowHandle(
        id: String, runID: UUID? = nil, firstExecutionRunID: UUID? = nil
    ) -> UntypedWorkflowHandle {
        UntypedWorkflowHandle(
            client: self, id: id, runID: runID, firstExecutionRunID: firstExecutionRunID, resultRunID: runID)
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
        var runs = try await metrics.measure(.listWorkflowExecutions) {
            try await engine.listWorkflows(namespace: namespace, filter: filter, after: last, limit: limit)
        }
        for place in runs.indices { runs[place].memo = try await dataConverter.decoded(memo: runs[place].memo) }
        return runs
    }

    /// How many runs a list filter chooses, by status.
    ///
    /// - Parameter bound: how far each status is counted; nil counts all, which takes long when there are millions.
    public func countWorkflows(_ filter: String = "", upTo bound: Int? = nil) async throws -> [WorkflowStatus: Int] {
        try await metrics.measure(.countWorkflowExecutions) {
            try await engine.countWorkflows(namespace: namespace, filter: filter, upTo: bound)
        }
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

    /// Repeats what may be repeated while the database comes back or recovers, for ten seconds, and twice at least: on
    /// a busy machine the first try alone may take as long. In a transaction nothing may be repeated.
    ///
    /// - Parameters:
    ///   - request: what it is counted as.
    ///   - hasTakenEffect: asked when a repeat finds the run closed, and an answer was lost before: the run may have
    ///     closed after the first try had been taken, or by it.
    func retrying<Value>(
        _ request: ClientRequest, _ operation: () async throws -> Value,
        hasTakenEffect: () async throws -> Value? = { nil }
    ) async throws -> Value {
        guard connection == nil else { return try await metrics.measure(request, operation) }
        var retry = Backoff(from: .milliseconds(50), to: .seconds(1))
        let end = ContinuousClock.now + .seconds(10)
        var isUnknown = false
        var tries = 0
        while true {
            do {
                tries += 1
                return try await metrics.measure(request, operation)
            } catch let error as EngineError where error.code == .workflowClosed && isUnknown {
                guard let value = try await hasTakenEffect() else { throw error }
                return value
            } catch let error where error.mayPass && (tries < 3 || ContinuousClock.now < end) {
                isUnknown = isUnknown || error.leavesEffectUnknown
                try await Task.sleep(for: retry.nextSpread())
            }
        }
    }
}
