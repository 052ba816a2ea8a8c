import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

/// A workflow as a function of its history: it says which commands history still lacks. What the worker does around it
/// can be tested without any workflow code.
final class ScriptedRun: LiveRun {
    private let decide: @Sendable (History) throws -> [Command]
    private let events = Mutex<[HistoryEvent]>([])
    private let onEvict: @Sendable () -> Void

    init(onEvict: @escaping @Sendable () -> Void = {}, _ decide: @escaping @Sendable (History) throws -> [Command]) {
        self.decide = decide
        self.onEvict = onEvict
    }

    var newMetadata: JSON? { nil }

    func activate(_ new: [HistoryEvent]) throws -> [Command] {
        let history = events.withLock { events in
            precondition(new.first?.eventId == Int64(events.count) + 1, "events come without gaps")
            events += new
            return History(events: events)
        }
        return try decide(history)
    }

    func query(_ name: String, headers: [String: Payload], input: [Payload]) throws -> [Payload] {
        guard name == "signals" else { throw Failure.application("no query \(name)", type: "NotFoundError") }
        let history = History(events: events.withLock { $0 })
        return [try Payload(encoding: history.signals.map(\.name))]
    }

    func interrupt() {}

    func evict() { onEvict() }
}

struct History {
    let events: [HistoryEvent]

    func all(_ type: EventType) -> [HistoryEvent] { events.filter { $0.eventType == type } }
    func has(_ type: EventType) -> Bool { events.contains { $0.eventType == type } }

    var signals: [(name: String, input: JSON)] {
        all(.workflowExecutionSignaled).map {
            ($0.attributes["signalName"]?.stringValue ?? "", $0.attributes["input"] ?? [])
        }
    }

    func scheduled(_ activityID: String) -> HistoryEvent? {
        all(.activityTaskScheduled).first { $0.attributes["activityId"]?.stringValue == activityID }
    }

    func end(of activityID: String) -> HistoryEvent? {
        guard let id = scheduled(activityID)?.eventId else { return nil }
        return events.first {
            [.activityTaskCompleted, .activityTaskFailed, .activityTaskTimedOut, .activityTaskCanceled]
                .contains($0.eventType) && $0.attributes["scheduledEventId"]?.int64Value == id
        }
    }

    func fired(_ timerID: String) -> Bool {
        all(.timerFired).contains { $0.attributes["timerId"]?.stringValue == timerID }
    }

    func started(timer timerID: String) -> Bool {
        all(.timerStarted).contains { $0.attributes["timerId"]?.stringValue == timerID }
    }
}

extension Command {
    static func activity(
        _ id: String, _ type: String, input: [Payload] = [], heartbeat: Duration? = nil,
        startToClose: Duration = .seconds(30), retry: RetryPolicy? = nil
    ) -> Command {
        Command(
            commandType: .scheduleActivityTask,
            attributes: .compact([
                "activityId": .string(id), "activityType": ["name": .string(type)], "input": input.json,
                "startToCloseTimeout": .string(startToClose.wire),
                "heartbeatTimeout": heartbeat.map { .string($0.wire) },
                "retryPolicy": retry?.json,
            ]))
    }

    static func timer(_ id: String, _ duration: Duration) -> Command {
        Command(
            commandType: .startTimer,
            attributes: ["timerId": .string(id), "startToFireTimeout": .string(duration.wire)])
    }

    static func complete(_ result: JSON = []) -> Command {
        Command(commandType: .completeWorkflowExecution, attributes: ["result": result])
    }

    static func fail(_ failure: Failure) -> Command {
        Command(commandType: .failWorkflowExecution, attributes: ["failure": failure.json])
    }

    static func cancelActivity(_ scheduledEventID: Int64) -> Command {
        Command(
            commandType: .requestCancelActivityTask, attributes: ["scheduledEventId": .number(scheduledEventID)])
    }

    static var canceled: Command { Command(commandType: .cancelWorkflowExecution, attributes: ["details": []]) }
}

extension WorkerCode {
    mutating func workflow(_ type: String, _ decide: @escaping @Sendable (History) throws -> [Command]) {
        workflows[type] = { _ in ScriptedRun(decide) }
    }

    mutating func activity(
        _ type: String, _ run: @escaping @Sendable (ActivityAttempt) async throws -> [Payload]
    ) {
        activities[type] = run
    }

    /// One activity, whose result or failure is the workflow's.
    mutating func oneActivity(
        workflow: String, activity: String, heartbeat: Duration? = nil, retry: RetryPolicy? = nil
    ) {
        self.workflow(workflow) { history in
            guard history.scheduled("1") != nil else {
                let input = try [Payload](json: history.events[0].attributes["input"])
                return [.activity("1", activity, input: input, heartbeat: heartbeat, retry: retry)]
            }
            guard let end = history.end(of: "1") else { return [] }
            return end.eventType == .activityTaskCompleted
                ? [.complete(end.attributes["result"] ?? [])]
                : [.fail(try Failure(json: end.attributes["failure"] ?? ["message": "timed out"]))]
        }
    }
}

/// A database, a client and workers, all gone when the body is over.
struct Stage: Sendable {
    let database: TestDatabase
    let client: PerdureClient

    static let queue = "test"

    /// - Parameter isSound: whether the test leaves the tables as the engine wrote them.
    static func with<Value>(
        isSound: Bool = true, sourceLocation: SourceLocation = #_sourceLocation, _ body: (Stage) async throws -> Value
    ) async throws -> Value {
        try await TestDatabase.with(maximumConnections: 16) { database in
            let value = try await body(Stage(database: database, client: PerdureClient(pool: database.pool)))
            if isSound {
                #expect(try await violations(of: database) == [], sourceLocation: sourceLocation)
            }
            return value
        }
    }

    /// Asked by a session without time-outs, whatever a test has set for the sessions of its database.
    private static func violations(of database: TestDatabase) async throws -> [String] {
        var configuration = database.configuration
        configuration.sessionOptions = [
            "statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout",
        ].map { "-c \($0)=0" }.joined(separator: " ")
        let pool = PostgresPool(configuration, maximumConnections: 1, logger: quiet)
        let rows = try await pool.query("select to_jsonb(v)::text from perdure.violations() v")
        await pool.close()
        return try rows.map { try $0.decode(at: 0) }
    }

    func worker(_ code: WorkerCode, _ adjust: (inout WorkerOptions) -> Void = { _ in }) -> Worker {
        var options = WorkerOptions(taskQueue: Self.queue)
        options.gracefulShutdownTimeout = .milliseconds(500)
        adjust(&options)
        var logger = Logger(label: "worker")
        logger.logLevel = ProcessInfo.processInfo.environment["TEST_LOG"] == nil ? .critical : .debug
        return Worker(pool: database.pool, options: options, code: code, logger: logger)
    }

    /// Runs a body beside a worker, which is cancelled afterwards.
    func withWorker<Value: Sendable>(
        _ code: WorkerCode, _ adjust: (inout WorkerOptions) -> Void = { _ in },
        _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        let worker = worker(code, adjust)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run() }
            let value = try await body()
            group.cancelAll()
            try await group.waitForAll()
            return value
        }
    }

    /// Lends a worker's session, which is still to be run. Its lease is short, so that it learns soon.
    func withSession(_ body: (WorkerSession) async throws -> Void) async throws {
        var options = WorkerOptions(taskQueue: Self.queue)
        options.lease = .seconds(1)
        let metrics = WorkerMetrics(namespace: options.namespace, taskQueue: options.taskQueue)
        let threads = WorkflowThreads(
            deadlockTimeout: options.deadlockTimeout, logger: quiet, writtenOffThreads: metrics.writtenOffThreads)
        let session = WorkerSession(
            engine: client.engine, options: options, code: WorkerCode(), shards: [0], logger: quiet, metrics: metrics,
            threads: threads, transactions: database.pool)
        try await body(session)
        await threads.stop()
    }

    func start(_ name: String, id: String = UUID().uuidString, input: [Payload] = []) async throws
        -> UntypedWorkflowHandle
    {
        try await client.startWorkflow(
            name: name, options: WorkflowOptions(id: id, taskQueue: Self.queue), payloads: input)
    }

    func startMany(_ name: String, _ count: Int) async throws {
        try await database.pool.query(
            """
            select perdure.start_workflow(workflow_type => \(name), workflow_id => \(name) || '-' || n,
                task_queue => \(Self.queue))
            from generate_series(1, \(Int64(count))) n
            """)
    }

    func waitForAll() async throws {
        while try await database.pool.query(
            "select exists (select from perdure.workflows where status = 'Running')")[0].decode(Bool.self, at: 0)
        {
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// The types of a run's events.
    func types(_ handle: UntypedWorkflowHandle) async throws -> [String] {
        try await handle.fetchHistory().map(\.eventType.rawValue)
    }
}

/// A value that a test and what it tests share.
final class Box<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) { storage = Mutex(value) }

    var value: Value {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
    }

    func add(_ amount: Int) where Value == Int { storage.withLock { $0 += amount } }
}
