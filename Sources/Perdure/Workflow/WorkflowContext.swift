public import Foundation
public import Logging
public import PerdureEngine

/// What a workflow has of the world: activities, time, randomness, and facts about its own run.
///
/// It belongs to the run's own code: `run`, handlers, and the tasks that `async let` and task groups make in them. Used
/// anywhere else, as in a `Task { }`, it makes the workflow task fail.
public struct WorkflowContext<Workflow: WorkflowDefinition>: Sendable {
    let core: WorkflowCore
    private let workflow: Workflow
    /// Facts about the run.
    public let info: WorkflowInfo

    init(core: WorkflowCore, workflow: Workflow, info: WorkflowInfo) {
        self.core = core
        self.workflow = workflow
        self.info = info
    }
}

// MARK: - Activities

extension WorkflowContext {
    /// Runs an activity and waits for its result, through all its attempts.
    ///
    /// - Throws: ``ActivityError`` when it failed for good or was canceled with the task that waits for it,
    ///   ``CanceledError`` when that task had been canceled before.
    @discardableResult
    public func executeActivity<Activity: ActivityDefinition>(
        _ activityType: Activity.Type = Activity.self, options: ActivityOptions, input: Activity.Input,
        file: String = #fileID, line: Int = #line
    ) async throws -> Activity.Output {
        try await executeActivity(Activity.name, options, input, at: CallSite(file: file, line: line))
    }

    /// Runs an activity without input.
    @discardableResult
    public func executeActivity<Activity: ActivityDefinition>(
        _ activityType: Activity.Type = Activity.self, options: ActivityOptions, file: String = #fileID,
        line: Int = #line
    ) async throws -> Activity.Output where Activity.Input == Void {
        try await executeActivity(activityType, options: options, input: (), file: file, line: line)
    }

    /// Runs an activity by the name of its type, which may be another program's.
    public func executeActivity<Output: Sendable>(
        name: String, options: ActivityOptions, input: some Encodable & Sendable,
        outputType: Output.Type = Output.self, file: String = #fileID, line: Int = #line
    ) async throws -> Output {
        try await executeActivity(name, options, input, at: CallSite(file: file, line: line))
    }

    /// Runs an activity without input by the name of its type.
    public func executeActivity<Output: Sendable>(
        name: String, options: ActivityOptions, outputType: Output.Type = Output.self, file: String = #fileID,
        line: Int = #line
    ) async throws -> Output {
        try await executeActivity(name, options, (), at: CallSite(file: file, line: line))
    }

    /// Runs an activity without output by the name of its type.
    public func executeActivity(
        name: String, options: ActivityOptions, input: some Encodable & Sendable, file: String = #fileID,
        line: Int = #line
    ) async throws {
        try await executeActivity(name, options, input, at: CallSite(file: file, line: line)) as Void
    }

    /// Runs an activity without input and output by the name of its type.
    public func executeActivity(
        name: String, options: ActivityOptions, file: String = #fileID, line: Int = #line
    ) async throws {
        try await executeActivity(name, options, (), at: CallSite(file: file, line: line)) as Void
    }

    private func executeActivity<Input: Sendable, Output: Sendable>(
        _ name: String, _ options: ActivityOptions, _ input: Input, at site: CallSite
    ) async throws -> Output {
        func execute(
            _ name: String, _ options: ActivityOptions, _ headers: [String: Payload], _ input: Input
        ) async throws -> Output {
            let result = try await core.executeActivity(
                type: name, options: options, headers: headers, input: core.converter.encode(input), at: site)
            return try core.converter.decode(from: result)
        }
        let interceptors = core.run.surroundings.workflowOutbound
        // What is called most is not wrapped for nobody.
        guard !interceptors.isEmpty else { return try await execute(name, options, [:], input) }
        return try await intercept(
            by: interceptors,
            ScheduleActivityInput(info: info, name: name, options: options, headers: [:], input: input),
            { try await $0.executeActivity(input: $1, next: $2) },
            around: { try await execute($0.name, $0.options, $0.headers, $0.input) })
    }
}

// MARK: - Waiting

// A condition on nothing, and one on the state, tell themselves apart by the closure.
// swift-format-ignore: AmbiguousTrailingClosureOverload
extension WorkflowContext {
    /// Waits, for a second or a year; a worker holds nothing meanwhile but a cached run. Nothing to wait for returns at
    /// once.
    ///
    /// - Parameter summary: what it waits for, in a line; shown with the timer.
    /// - Throws: ``CanceledError``.
    public func sleep(
        for duration: Duration, summary: String? = nil, file: String = #fileID, line: Int = #line
    ) async throws {
        let site = CallSite(file: file, line: line)
        let interceptors = core.run.surroundings.workflowOutbound
        guard !interceptors.isEmpty else {
            return try await core.sleep(for: duration, summary: summary, at: site)
        }
        try await intercept(
            by: interceptors, HandleSleepInput(info: info, duration: duration, summary: summary),
            { try await $0.handleSleep(input: $1, next: $2) },
            around: { try await core.sleep(for: $0.duration, summary: $0.summary, at: site) })
    }

    /// Waits until the workflow's state, which handlers change, fulfils a condition. When several wait for the same,
    /// they go on one at a time, and each only while its own condition still holds: so a condition can guard a section
    /// of code.
    ///
    /// - Parameter condition: asked whenever something has happened; it must change nothing.
    /// - Throws: ``CanceledError``.
    public func condition(
        _ condition: (Workflow) -> Bool, file: String = #fileID, line: Int = #line
    ) async throws {
        _ = try await wait(timeout: nil, at: CallSite(file: file, line: line)) { condition(workflow) }
    }

    /// Waits until something outside of the workflow's state holds, such as ``allHandlersFinished``.
    ///
    /// - Throws: ``CanceledError``.
    public func condition(_ condition: () -> Bool, file: String = #fileID, line: Int = #line) async throws {
        _ = try await wait(timeout: nil, at: CallSite(file: file, line: line), condition)
    }

    /// Waits for a condition, but no longer than `timeout`.
    ///
    /// - Returns: whether it came true in time.
    /// - Throws: ``CanceledError``.
    public func condition(
        timeout: Duration, _ condition: (Workflow) -> Bool, file: String = #fileID, line: Int = #line
    ) async throws -> Bool {
        try await wait(timeout: timeout, at: CallSite(file: file, line: line)) { condition(workflow) }
    }

    private func wait(timeout: Duration?, at site: CallSite, _ condition: () -> Bool) async throws -> Bool {
        try await withoutActuallyEscaping(condition) { condition in
            try await core.condition(timeout: timeout, at: site, condition)
        }
    }

    /// Runs `body` and cancels it once `duration` is over. What it then returns or throws is the result: most code
    /// throws ``CanceledError``.
    public func timeout<Return: Sendable>(
        for duration: Duration, file: String = #fileID, line: Int = #line, body: () async throws -> Return
    ) async throws -> Return {
        try await withoutActuallyEscaping(body) { body in
            // It runs on the run's executor, one job at a time, and ends before this returns.
            nonisolated(unsafe) let body = body
            return try await withThrowingTaskGroup(of: Return?.self) { group in
                group.addTask {
                    try? await core.sleep(for: duration, at: CallSite(file: file, line: line))
                    return nil
                }
                group.addTask { try await body() }
                while let value = try await group.next() {
                    group.cancelAll()
                    if let value { return value }
                }
                throw CanceledError()
            }
        }
    }

    /// Runs `operation` so that cancelling the run, or the task that calls this, does not reach it: for what must be
    /// undone when a run is canceled.
    public func withCancellationShield<Result: Sendable>(
        _ operation: () async throws -> Result
    ) async throws -> Result {
        try await withoutActuallyEscaping(operation) { operation in
            // It runs on the run's executor, one job at a time, and ends before this returns.
            nonisolated(unsafe) let operation = operation
            return try await core.shielded { try await operation() }
        }
    }
}

// MARK: - State

extension WorkflowContext {
    /// Reads and changes the workflow's state where `self` is out of reach, as in an `async let`.
    public func mutateState<Return>(_ mutator: (inout Workflow) -> Return) -> Return {
        var workflow = workflow
        return mutator(&workflow)
    }

    /// Whether no handler of a signal or an update is under way. Wait for it before the workflow ends, if handlers wait
    /// for anything:
    /// `try await context.condition { context.allHandlersFinished }`.
    public var allHandlersFinished: Bool { core.allHandlersFinished }
}

// MARK: - Facts

extension WorkflowContext {
    /// The time at which the current workflow task started: the same on replay.
    public var now: Date { core.now.date }

    /// Whether the code repeats what it has decided before.
    public var isReplaying: Bool { core.isReplaying }

    /// Whether somebody asked the run to cancel itself.
    public var isCancelRequested: Bool { core.isCancelRequested }

    /// How many events the history had when the current workflow task started.
    public var currentHistoryLength: Int { core.historyLength }

    /// How many bytes the history had then, in steps of 64 KiB: 0 for a small one. A run is ended when it has more than
    /// 50 MiB.
    public var currentHistorySize: Int { core.historySize }

    /// Whether the history has become so long (4,096 events) or so large (4 MiB) that the run had better come to its
    /// end and go on as another one, by ``makeContinueAsNewError(options:input:)``. It is ended when it has more than
    /// 51,200 events.
    public var isContinueAsNewSuggested: Bool { core.isContinueAsNewSuggested }

    /// Random numbers that are the same on replay. They are no secret: the run's id tells them.
    public var randomNumberGenerator: WorkflowRandomNumberGenerator { WorkflowRandomNumberGenerator(core: core) }

    /// A random (version 4) UUID that is the same on replay.
    public func uuid() -> UUID {
        func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var all = bytes(core.nextRandom()) + bytes(core.nextRandom())
        all[6] = all[6] & 0x0f | 0x40
        all[8] = all[8] & 0x3f | 0x80
        return all.withUnsafeBytes { UUID(uuid: $0.load(as: uuid_t.self)) }
    }

    /// Logs with the run's ids; silent during replay, so that a line appears once.
    public var logger: Logger { core.logger }
}

// MARK: - What others see

extension WorkflowContext {
    /// The run's search attributes, with what ``upsertSearchAttributes(_:)`` has changed.
    public var searchAttributes: [String: JSON] { core.searchAttributes }

    /// Changes search attributes, by which runs are listed; null takes one away. With more than 40 KiB the workflow
    /// task fails.
    public func upsertSearchAttributes(_ searchAttributes: [String: JSON]) {
        core.upsertSearchAttributes(searchAttributes)
    }

    /// What people who look at the run read of where it stands, in Markdown: see ``setCurrentDetails(_:)``.
    public var currentDetails: String { core.currentDetails }

    /// Says where the run stands, for people who look at it. It is no part of the history: the worker tells it when it
    /// is asked, by the query `__temporal_workflow_metadata`, as that of any of Temporal's SDKs does.
    public func setCurrentDetails(_ details: String) { core.currentDetails = details }

    /// A note of the run, with what ``upsertMemo(_:)`` has changed; nil if there is none of this name.
    ///
    /// - Throws: `DecodingError` if it is of another type.
    public func memoValue<Value: Decodable>(for key: String, as type: Value.Type = Value.self) throws -> Value? {
        try core.memo[key].map { try core.converter.decode(type, from: [Payload(json: $0)]) }
    }

    /// Changes notes that lists show; nil takes one away.
    ///
    /// - Throws: what encoding a value throws; ``EngineError`` if the memo would have more than 2 MiB.
    public func upsertMemo(_ memo: [String: (any Encodable & Sendable)?]) throws {
        try core.upsertMemo(
            try memo.mapValues { try $0.map { try core.converter.payloadConverter.convertValue($0).json } ?? .null })
    }
}

// MARK: - Versions

extension WorkflowContext {
    /// Whether this run takes the new path of code that was changed while runs were under way: true for a run that
    /// comes here for the first time, false for one that came here before the patch was there. The history keeps the
    /// answer, which does not change while the run lasts.
    ///
    /// When no run is left that took the old path, remove it and call ``deprecatePatch(_:)``; when none is left that
    /// recorded the patch, remove that too.
    ///
    /// - Parameter id: any name, unique in the workflow type.
    public func patch(_ id: String) -> Bool { core.patch(id, isDeprecated: false) }

    /// Stands where ``patch(_:)`` was, once its old path is gone: runs that recorded the patch, and new ones, go on
    /// alike.
    public func deprecatePatch(_ id: String) { _ = core.patch(id, isDeprecated: true) }
}
