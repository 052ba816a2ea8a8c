public import Foundation
public import Logging
public import PerdureEngine

/// What a workflow has of the world: activities, time, randomness, and facts about its own run.
public struct WorkflowContext<Workflow: WorkflowDefinition>: Sendable {
    private let core: WorkflowCore
    private let workflow: Workflow

    init(core: WorkflowCore, workflow: Workflow) {
        self.core = core
        self.workflow = workflow
    }

    // MARK: Activities

    /// Runs an activity and waits for its result, through all its attempts.
    ///
    /// - Throws: ``ActivityError`` when it failed for good, ``CanceledError`` when the run was cancelled before.
    public func executeActivity<Activity: ActivityDefinition>(
        _ activity: Activity.Type, options: ActivityOptions, input: Activity.Input
    ) async throws -> Activity.Output {
        let result = try await core.executeActivity(
            type: Activity.name, options: options, input: PayloadConversion.encode(input))
        return try PayloadConversion.decode(from: result)
    }

    /// Runs an activity without input.
    public func executeActivity<Activity: ActivityDefinition>(
        _ activity: Activity.Type, options: ActivityOptions
    ) async throws -> Activity.Output where Activity.Input == Void {
        try await executeActivity(activity, options: options, input: ())
    }

    /// Runs an activity by the name of its type, which may be another program's.
    public func executeActivity<Output: Sendable>(
        name: String, options: ActivityOptions, input: some Encodable & Sendable, as output: Output.Type = Output.self
    ) async throws -> Output {
        let result = try await core.executeActivity(
            type: name, options: options, input: PayloadConversion.encode(input))
        return try PayloadConversion.decode(from: result)
    }

    // MARK: Waiting

    /// Waits, for a second or a year; a worker holds nothing meanwhile but a cached run.
    ///
    /// - Throws: ``CanceledError``.
    public func sleep(for duration: Duration) async throws { try await core.sleep(for: duration) }

    /// Waits until the workflow's state, which signals change, fulfils `predicate`.
    ///
    /// - Throws: ``CanceledError``.
    public func condition(_ predicate: @escaping @Sendable (Workflow) -> Bool) async throws {
        let workflow = workflow
        _ = try await core.condition(timeout: nil) { predicate(workflow) }
    }

    /// Waits for `predicate`, but no longer than `timeout`.
    ///
    /// - Returns: whether it came true in time.
    /// - Throws: ``CanceledError``.
    public func condition(
        timeout: Duration, _ predicate: @escaping @Sendable (Workflow) -> Bool
    ) async throws -> Bool {
        let workflow = workflow
        return try await core.condition(timeout: timeout) { predicate(workflow) }
    }

    /// Runs `body` so that cancelling the run does not reach it: for what must be undone when a run is cancelled.
    public func withCancellationShield<Value: Sendable>(
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await Task(executorPreference: core.executor) { try await body() }.value
    }

    // MARK: Facts

    public var info: WorkflowInfo { core.info }
    /// The time of the current workflow task: the same on replay.
    public var now: Date { core.now.date }
    /// Whether the code repeats what it has decided before.
    public var isReplaying: Bool { core.isReplaying }
    /// Whether somebody asked the run to cancel itself.
    public var isCancelRequested: Bool { core.isCancelRequested }
    /// Random numbers that are the same on replay.
    public var randomNumberGenerator: WorkflowRandomNumberGenerator { WorkflowRandomNumberGenerator(core: core) }

    /// A random (version 4) UUID that is the same on replay.
    public func uuid() -> UUID {
        func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var all = bytes(core.nextRandom()) + bytes(core.nextRandom())
        all[6] = all[6] & 0x0f | 0x40
        all[8] = all[8] & 0x3f | 0x80
        return all.withUnsafeBytes { UUID(uuid: $0.load(as: uuid_t.self)) }
    }

    /// Logs with the run's ids; silent during replay.
    public var logger: Logger {
        core.isReplaying
            ? Logger(label: core.info.logger.label, factory: { _ in SwiftLogNoOpLogHandler() }) : core.info.logger
    }

    // MARK: What others see

    /// Changes search attributes, by which runs are listed; null takes one away.
    public func upsertSearchAttributes(_ attributes: [String: JSON]) {
        core.add(
            Command(
                commandType: .upsertWorkflowSearchAttributes, attributes: ["searchAttributes": .object(attributes)]))
    }

    /// Changes notes that lists show; nil takes one away.
    ///
    /// - Throws: what encoding a value throws.
    public func upsertMemo(_ memo: [String: (any Encodable & Sendable)?]) throws {
        let wire = try memo.mapValues { try $0.map { try Payload(encoding: $0).json } ?? .null }
        core.add(Command(commandType: .modifyWorkflowProperties, attributes: ["upsertedMemo": .object(wire)]))
    }
}

/// Facts about a run.
public struct WorkflowInfo: Sendable {
    public let namespace: String
    public let taskQueue: String
    public let workflowID: String
    public let runID: UUID
    public let workflowType: String
    let logger: Logger

    init(_ info: LiveRunInfo) {
        namespace = info.namespace
        taskQueue = info.taskQueue
        workflowID = info.workflowID
        runID = info.runID
        workflowType = info.workflowType
        logger = info.logger
    }
}

/// Random numbers that only the run's id and the order of the calls decide.
public struct WorkflowRandomNumberGenerator: RandomNumberGenerator, Sendable {
    let core: WorkflowCore
    public mutating func next() -> UInt64 { core.nextRandom() }
}
