public import Foundation
public import Logging
public import Perdure
import PerdureEngine
import Postgres

/// Perdure on a database of its own, for tests of workflows: nothing needs to be set up.
///
/// ```swift
/// try await WorkflowEnvironment.withTimeSkipping { environment in
///     try await environment.withWorker(
///         taskQueue: "reminders", workflows: [Reminder.self],
///         activities: [MockedActivity(SendMail.self, returning: ())]
///     ) {
///         // It sleeps for a year, which the environment skips.
///         try await environment.client.executeWorkflow(
///             type: Reminder.self, options: .init(id: "reminder", taskQueue: "reminders"))
///     }
/// }
/// ```
///
/// The database is made on the server that `PERDURE_TEST_DATABASE_URL` names, or else on a server of this process's
/// own, made of the PostgreSQL that is installed on this machine. Each environment has a clock of its own, so that
/// tests run beside each other.
public struct WorkflowEnvironment: Sendable {
    /// Starts workflows and talks to them. While a result is waited for by it, time is skipped.
    public let client: PerdureClient
    /// The environment's database, for the rows of an application, or to look into.
    public let database: TestDatabase
    private let skipper: TimeSkipper?
    private let logger: Logger

    /// Whether time is skipped here.
    public var supportsTimeSkipping: Bool { skipper != nil }

    // MARK: - Life

    /// Makes an environment in which time is skipped, and ends it behind the body.
    @discardableResult
    public static func withTimeSkipping<Value: Sendable>(
        logger: Logger = silent, _ body: (WorkflowEnvironment) async throws -> Value
    ) async throws -> Value {
        try await with(startTimeSkipping(logger: logger), body)
    }

    /// Makes an environment in which time passes as everywhere, and ends it behind the body.
    @discardableResult
    public static func withRealTime<Value: Sendable>(
        logger: Logger = silent, _ body: (WorkflowEnvironment) async throws -> Value
    ) async throws -> Value {
        try await with(startRealTime(logger: logger), body)
    }

    /// Makes an environment in which time is skipped. End it by ``shutdown()``.
    public static func startTimeSkipping(logger: Logger = silent) async throws -> WorkflowEnvironment {
        let database = try await TestDatabase.create(
            on: TestDatabase.server(), maximumConnections, sessionOptions: "-c perdure.now=shared", logger)
        do {
            try await database.pool.query(
                """
                insert into perdure.settings (name, value, description)
                values ('test_settings', 'true', 'The sessions of this database may share a clock of tests')
                """)
            // The longest that there is: what years are skipped for stays.
            try await database.pool.query("update perdure.namespaces set retention = interval '876000 hours'")
        } catch {
            try? await database.drop()
            throw error
        }
        return WorkflowEnvironment(
            database: database, skipper: TimeSkipper(pool: database.pool, logger: logger), logger: logger)
    }

    /// Makes an environment in which time passes as everywhere. End it by ``shutdown()``.
    public static func startRealTime(logger: Logger = silent) async throws -> WorkflowEnvironment {
        let database = try await TestDatabase.create(on: TestDatabase.server(), maximumConnections, logger)
        return WorkflowEnvironment(database: database, skipper: nil, logger: logger)
    }

    /// Says nothing.
    public static let silent = Logger(label: "perdure.testing") { _ in SwiftLogNoOpLogHandler() }

    private static let maximumConnections = 16

    private init(database: TestDatabase, skipper: TimeSkipper?, logger: Logger) {
        self.database = database
        self.skipper = skipper
        self.logger = logger
        client = Self.client(database, skipper)
    }

    private static func with<Value: Sendable>(
        _ environment: WorkflowEnvironment, _ body: (WorkflowEnvironment) async throws -> Value
    ) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body(environment)) } catch { result = .failure(error) }
        do {
            try await environment.shutdown()
        } catch {
            // What the body threw tells more.
            _ = try result.get()
            throw error
        }
        return try result.get()
    }

    /// Drops the database. Whoever sleeps here gets a `CancellationError`.
    public func shutdown() async throws {
        skipper?.stop()
        try await database.drop()
    }

    // MARK: - Workers and clients

    /// Another client of the environment.
    public func makeClient(
        interceptors: [any ClientInterceptor] = [], dataConverter: DataConverter = .default
    ) -> PerdureClient {
        Self.client(database, skipper, interceptors, dataConverter)
    }

    private static func client(
        _ database: TestDatabase, _ skipper: TimeSkipper?, _ interceptors: [any ClientInterceptor] = [],
        _ dataConverter: DataConverter = .default
    ) -> PerdureClient {
        var client = PerdureClient(pool: database.pool, interceptors: interceptors, dataConverter: dataConverter)
        if let skipper {
            client.onWait = { workflowID, runID in
                guard AutoTimeSkipping.isOn else { return {} }
                return skipper.wait(for: workflowID, runID)
            }
        }
        return client
    }

    /// A worker of the environment, which the caller runs.
    public func makeWorker(
        options: WorkerOptions, workflows: [any WorkflowDefinition.Type] = [],
        activities: [any ActivityDefinition] = [], activityContainers: [any ActivityContainer] = []
    ) -> Worker {
        var options = options
        // One that slept in real time would be late by what is a year here.
        if supportsTimeSkipping { options.maximumPollInterval = min(options.maximumPollInterval, .milliseconds(20)) }
        return Worker(
            pool: database.pool, options: options, workflows: workflows, activities: activities,
            activityContainers: activityContainers, logger: logger)
    }

    /// Runs a worker beside the body, and ends it behind that.
    ///
    /// - Throws: what the body throws, or the worker.
    @discardableResult
    public func withWorker<Value: Sendable>(
        taskQueue: String, workflows: [any WorkflowDefinition.Type] = [], activities: [any ActivityDefinition] = [],
        activityContainers: [any ActivityContainer] = [],
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withWorker(
            options: WorkerOptions(taskQueue: taskQueue), workflows: workflows, activities: activities,
            activityContainers: activityContainers, body)
    }

    /// Runs a worker beside the body, and ends it behind that.
    ///
    /// - Throws: what the body throws, or the worker.
    @discardableResult
    public func withWorker<Value: Sendable>(
        options: WorkerOptions, workflows: [any WorkflowDefinition.Type] = [],
        activities: [any ActivityDefinition] = [], activityContainers: [any ActivityContainer] = [],
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        var options = options
        let registered = AsyncStream<Void>.makeStream()
        options.onRegistered = { registered.continuation.finish() }
        let worker = makeWorker(
            options: options, workflows: workflows, activities: activities, activityContainers: activityContainers)
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                try await worker.run()
                return nil
            }
            group.addTask {
                // Else time could be skipped as if there were no worker.
                for await _ in registered.stream {}
                try Task.checkCancellation()
                return try await body()
            }
            defer { group.cancelAll() }
            while let value = try await group.next() {
                if let value { return value }
            }
            throw CancellationError()
        }
    }

    // MARK: - Time

    /// The time of the environment, as workflows see it.
    public func currentTime() async throws -> Date {
        try await database.pool.query("select perdure.clock()")[0].decode(Date.self, at: 0)
    }

    /// Sleeps in the environment's time. Where that is skipped, it moves on as far, step by step, so that what is due
    /// before happens before; but not while a worker has something to do.
    ///
    /// An activity that sleeps so is one that takes as long: meanwhile time goes on, and it can time out. Then its
    /// sleep ends with a `CancellationError`.
    public func sleep(for duration: Duration) async throws {
        guard let skipper else { return try await Task.sleep(for: duration) }
        try await skipper.sleep(for: duration, in: ActivityExecutionContext.current?.info)
    }

    /// Runs a body in which no time is skipped while a result is waited for; a ``sleep(for:)`` still skips it.
    @discardableResult
    public func withAutoTimeSkippingDisabled<Value: Sendable>(
        _ body: () async throws -> Value
    ) async throws -> Value {
        try await AutoTimeSkipping.$isOn.withValue(false, operation: body)
    }

    // MARK: - The namespace

    /// The type of a search attribute.
    public enum SearchAttributeType: String, Sendable {
        case bool = "Bool"
        case datetime = "Datetime"
        case double = "Double"
        case int = "Int"
        case keyword = "Keyword"
        case keywordList = "KeywordList"
        case text = "Text"
    }

    /// Declares a search attribute, for workflows that set it.
    public func addSearchAttribute(_ name: String, type: SearchAttributeType) async throws {
        try await database.pool.query("select perdure.add_search_attribute(\(name), \(type.rawValue))")
    }

    // MARK: - Rules

    /// The rules of the engine that are broken in the database; empty unless there is a bug in Perdure.
    public func violations() async throws -> [String] {
        try await database.pool.query("select v::text from perdure.violations() v").map { try $0.decode(at: 0) }
    }
}

private enum AutoTimeSkipping {
    @TaskLocal static var isOn = true
}
