import Foundation
import Logging
import PerdureEngine
import Synchronization

/// What a run waits for and what it has decided: the part of a live run that does not depend on the workflow's type.
///
/// Unchecked because of what is not in `facts`: that is touched only on the run's executor, which runs one job at a time
/// and which every method that workflow code reaches asks first (`executor.check()`), and by the activation, query or
/// eviction that the worker calls one at a time.
final class WorkflowCore: @unchecked Sendable {
    let run: LiveRunInfo
    let executor: WorkflowExecutor

    /// What code may ask at any time.
    private struct Facts {
        var now = Timestamp(microseconds: 0)
        var isReplaying = false
        var isCancelRequested = false
        var isEvicted = false
        var historyLength = 0
        var runningHandlers = 0
        var random: SplitMix64
        var memo: [String: JSON] = [:]
        var searchAttributes: [String: JSON] = [:]
    }

    private let facts: Mutex<Facts>

    /// Decided in this activation.
    private var outgoing: [Outgoing] = []
    /// Decided before; history must hold an event of each, in this order.
    private var unmatched: [Outgoing] = []
    private var lastCompletedTask: Int64?
    private var sequences: [Kind: Int] = [:]
    private var activities: [Int: PendingActivity] = [:]
    private var activityOfEvent: [Int64: Int] = [:]
    private var timers: [Int: (Result<Void, any Error>) -> Void] = [:]
    /// Timers that fired before this task, as history says, but whose waiters do not know yet.
    private var firedTimers: Set<Int> = []
    private var conditions: [PendingCondition] = []
    private var patches: [String: Bool] = [:]
    /// What code waits for, for people who ask; in the order in which it began to. Decides nothing.
    private var waits: [Int: Wait] = [:]
    private var lastWait = 0
    /// How to cancel the run's tasks: the code itself, its handlers, its shields.
    private var cancellations: [Int: () -> Void] = [:]
    private var main: Int?
    private var callsAfterEviction = 0

    /// How the run ended, once it has.
    private(set) var outcome: Result<[Payload], any Error>?
    /// A bug: what workflow code threw that no history can hold.
    private var bug: (any Error)?
    private var isClosed = false

    /// What is numbered, each on its own: so that code that waits for one more condition, say, keeps its activities' ids.
    private enum Kind { case activity, timer, condition, task }

    private struct PendingActivity {
        let id: String
        let type: String
        let cancellation: ActivityOptions.CancellationType
        var scheduledEventId: Int64?
        /// It ended before this task, as history says, but its waiter does not know yet.
        var hasEnded = false
        var continuation: UnsafeContinuation<[Payload], any Error>?
    }

    private struct Wait {
        let site: CallSite
        let what: String
    }

    private struct PendingCondition {
        let id: Int
        let predicate: () -> Bool
        let resume: (Result<Bool, any Error>) -> Void
    }

    private struct Outgoing {
        var command: Command
        var makes: Made?
    }

    private enum Made: Equatable {
        case activity(Int)
        case timer(Int)
    }

    init(_ run: LiveRunInfo) {
        self.run = run
        facts = Mutex(Facts(random: SplitMix64(seed: run.runID)))
        let logger = run.logger
        executor = WorkflowExecutor { misuse in
            logger.error("The workflow's code is not deterministic", metadata: ["problem": "\(misuse.description)"])
        }
    }

    private func next(_ kind: Kind) -> Int {
        sequences[kind, default: 0] += 1
        return sequences[kind, default: 0]
    }

    // MARK: - Facts

    private func fact<Value: Sendable>(_ read: (inout sending Facts) -> sending Value) -> Value {
        _ = executor.check()
        return facts.withLock(read)
    }

    var now: Timestamp { fact { $0.now } }
    var isReplaying: Bool { fact { $0.isReplaying } }
    var isCancelRequested: Bool { fact { $0.isCancelRequested } }
    var historyLength: Int { fact { $0.historyLength } }
    var allHandlersFinished: Bool { fact { $0.runningHandlers == 0 } }
    var memo: [String: JSON] { fact { $0.memo } }
    var searchAttributes: [String: JSON] { fact { $0.searchAttributes } }
    func nextRandom() -> UInt64 { fact { $0.random.next() } }

    /// Says nothing that has been said before, and nothing once the run has left memory.
    var logger: Logger {
        facts.withLock { $0.isReplaying || $0.isEvicted } ? .silent : run.logger
    }

    private var isEvicted: Bool { facts.withLock { $0.isEvicted } }

    // MARK: - What workflow code asks for

    /// Thrown into a run that leaves memory. Its code may clean up, but decides nothing any more.
    struct Evicted: Error {}

    /// Stands before everything that waits.
    private func requireLive() async throws {
        guard executor.checkMayChange() else {
            throw NonDeterminismError(
                eventId: nil, description: (executor.misuse ?? .calledFromOutside).description)
        }
        guard isEvicted else { return }
        callsAfterEviction += 1
        if callsAfterEviction == 1000 {
            run.logger.error(
                "The workflow's code catches every error and tries again, so that its run can never be freed: let errors through, or check Task.isCancelled"
            )
        }
        // Code that tries for ever would never end: it is parked.
        if callsAfterEviction > 1000 { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        throw Evicted()
    }

    func executeActivity(
        type: String, options: ActivityOptions, input: [Payload], at site: CallSite
    ) async throws -> [Payload] {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        let number = next(.activity)
        let id = options.activityID ?? "\(number)"
        let taskQueue: JSON = ["name": .string(options.taskQueue ?? run.taskQueue)]
        outgoing.append(
            Outgoing(
                command: Command(
                    commandType: .scheduleActivityTask,
                    attributes: .compact([
                        "activityId": .string(id), "activityType": ["name": .string(type)], "taskQueue": taskQueue,
                        "input": input.json,
                        "scheduleToCloseTimeout": options.scheduleToCloseTimeout.map { .string($0.wire) },
                        "scheduleToStartTimeout": options.scheduleToStartTimeout.map { .string($0.wire) },
                        "startToCloseTimeout": options.startToCloseTimeout.map { .string($0.wire) },
                        "heartbeatTimeout": options.heartbeatTimeout.map { .string($0.wire) },
                        "retryPolicy": options.retryPolicy?.json,
                        "priority": options.priority.map { ["priorityKey": .number($0)] },
                    ])),
                makes: .activity(number)))
        activities[number] = PendingActivity(id: id, type: type, cancellation: options.cancellationType)
        let wait = beginWait("activity \(type), id \(id)", at: site)
        defer { waits[wait] = nil }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { activities[number]?.continuation = $0 }
        } onCancel: {
            cancelActivity(number)
        }
    }

    private func cancelActivity(_ number: Int) {
        // What has happened has happened: its waiter is about to learn how it ended.
        guard executor.check(), let activity = activities[number], !activity.hasEnded, !isEvicted else { return }
        if let scheduled = activity.scheduledEventId {
            if activity.cancellation != .abandon {
                outgoing.append(
                    Outgoing(
                        command: Command(
                            commandType: .requestCancelActivityTask,
                            attributes: ["scheduledEventId": .number(scheduled)])))
            }
            if activity.cancellation == .waitCancellationCompleted { return }
        } else {
            withdraw(.activity(number))
        }
        resolveActivity(number, .failure(activityError(activity, cause: CanceledError().failure, attributes: [:])))
    }

    private func resolveActivity(_ number: Int, _ result: Result<[Payload], any Error>) {
        activities.removeValue(forKey: number)?.continuation?.resume(with: result)
    }

    private func activityError(_ activity: PendingActivity, cause: Failure?, attributes: JSON) -> any Error {
        let detail = Failure.Activity(
            scheduledEventId: activity.scheduledEventId ?? 0,
            startedEventId: attributes["startedEventId"]?.int64Value ?? 0,
            identity: attributes["identity"]?.stringValue ?? "", activityType: activity.type, activityId: activity.id,
            retryState: attributes["retryState"]?.stringValue.map(RetryState.init(rawValue:)))
        let what = cause?.isCancellation == true ? "canceled" : "failed"
        return Failure(message: "activity \(activity.type) \(what)", cause: cause, kind: .activity(detail)).error
    }

    /// What was decided and undone in one task never was.
    ///
    /// - Returns: whether it had not been sent.
    @discardableResult
    private func withdraw(_ made: Made) -> Bool {
        guard let place = outgoing.firstIndex(where: { $0.makes == made }) else { return false }
        outgoing.remove(at: place)
        return true
    }

    func sleep(for duration: Duration, at site: CallSite) async throws {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        guard duration > .zero else { return }
        let number = startTimer(duration)
        let wait = beginWait("a timer of \(duration.wire)", at: site)
        defer { waits[wait] = nil }
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Void, any Error>) in
                timers[number] = { continuation.resume(with: $0) }
            }
        } onCancel: {
            guard executor.check(), !isEvicted, !firedTimers.contains(number) else { return }
            stopTimer(number)?(.failure(CanceledError()))
        }
    }

    private func startTimer(_ duration: Duration) -> Int {
        let number = next(.timer)
        outgoing.append(
            Outgoing(
                command: Command(
                    commandType: .startTimer,
                    attributes: ["timerId": .string("\(number)"), "startToFireTimeout": .string(duration.wire)]),
                makes: .timer(number)))
        return number
    }

    /// - Returns: what waited for it.
    private func stopTimer(_ number: Int) -> ((Result<Void, any Error>) -> Void)? {
        guard let waiter = timers.removeValue(forKey: number) else { return nil }
        // One that has fired cannot be cancelled.
        if !firedTimers.contains(number), !withdraw(.timer(number)) {
            outgoing.append(
                Outgoing(command: Command(commandType: .cancelTimer, attributes: ["timerId": .string("\(number)")])))
        }
        return waiter
    }

    /// - Parameter predicate: kept no longer than until this returns.
    /// - Returns: whether the predicate came true in time.
    func condition(
        timeout: Duration?, at site: CallSite, _ predicate: @escaping () -> Bool
    ) async throws -> Bool {
        try await requireLive()
        if predicate() { return true }
        if Task.isCancelled { throw CanceledError() }
        if let timeout, timeout <= .zero { return false }
        let id = next(.condition)
        let timer = timeout.map { startTimer($0) }
        let wait = beginWait("a condition" + (timeout.map { ", at most \($0.wire)" } ?? ""), at: site)
        defer { waits[wait] = nil }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Bool, any Error>) in
                conditions.append(
                    PendingCondition(id: id, predicate: predicate) { [self] result in
                        if let timer { _ = stopTimer(timer) }
                        continuation.resume(with: result)
                    })
                if let timer {
                    timers[timer] = { [self] result in resolveCondition(id, result.map { false }) }
                }
            }
        } onCancel: {
            guard executor.check(), !isEvicted else { return }
            resolveCondition(id, .failure(CanceledError()))
        }
    }

    private func resolveCondition(_ id: Int, _ result: Result<Bool, any Error>) {
        guard let place = conditions.firstIndex(where: { $0.id == id }) else { return }
        conditions.remove(at: place).resume(result)
    }

    func upsertMemo(_ memo: [String: JSON]) {
        guard add(Command(commandType: .modifyWorkflowProperties, attributes: ["upsertedMemo": .object(memo)])) else {
            return
        }
        facts.withLock { $0.memo = $0.memo.upserting(memo) }
    }

    func upsertSearchAttributes(_ attributes: [String: JSON]) {
        let command = Command(
            commandType: .upsertWorkflowSearchAttributes, attributes: ["searchAttributes": .object(attributes)])
        guard add(command) else { return }
        facts.withLock { $0.searchAttributes = $0.searchAttributes.upserting(attributes) }
    }

    private func add(_ command: Command) -> Bool {
        guard executor.checkMayChange(), !isEvicted else { return false }
        outgoing.append(Outgoing(command: command))
        return true
    }

    // MARK: - Patches

    /// Patches that the history of this task holds, or that of an earlier one.
    private var recordedPatches: Set<String> = []

    /// Whether the run takes the patched path; the same answer for the run's whole life.
    func patch(_ id: String, isDeprecated: Bool) -> Bool {
        guard executor.checkMayChange() else { return false }
        if let known = patches[id] { return known }
        let isTaken = !isReplaying || recordedPatches.contains(id)
        patches[id] = isTaken
        if isTaken { _ = add(PatchMarker(id: id, isDeprecated: isDeprecated).command) }
        return isTaken
    }

    // MARK: - Tasks

    /// Starts a task of the run. It is cancelled when the run leaves memory.
    func spawn(isMain: Bool = false, _ body: @escaping @Sendable () async -> Void) {
        let number = next(.task)
        if isMain { main = number }
        let task = Task(executorPreference: executor) { [self] in
            if !isEvicted { await body() }
            cancellations[number] = nil
        }
        cancellations[number] = { task.cancel() }
    }

    /// Starts a handler of a message.
    func handle(_ body: @escaping @Sendable () async throws -> Void) {
        facts.withLock { $0.runningHandlers += 1 }
        spawn { [self] in
            do {
                try await body()
            } catch {
                if error is any FailureError { finish(.failure(error)) } else { bug = bug ?? error }
            }
            facts.withLock { $0.runningHandlers -= 1 }
        }
    }

    func shielded<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        try await requireLive()
        let number = next(.task)
        let task = Task(executorPreference: executor) { try await body() }
        cancellations[number] = { task.cancel() }
        defer { cancellations[number] = nil }
        return try await task.value
    }

    /// The run's code ended.
    func finish(_ result: Result<[Payload], any Error>) {
        if outcome == nil { outcome = result }
    }

    // MARK: - Activation

    /// One workflow task, as history tells of it.
    struct WorkflowTask {
        /// The event `WorkflowTaskStarted`.
        let started: HistoryEvent
        let isReplayed: Bool
        /// What happened since the last one.
        let events: [HistoryEvent]
        /// The patches that it recorded when it ran first.
        let patches: Set<String>
    }

    /// Applies what happened since the last task, runs the code until it waits, and keeps what it decided.
    ///
    /// Signals come first, in order, then everything else, in order, as in Temporal's SDKs.
    ///
    /// - Parameters:
    ///   - start: makes the instance, delivers the signals that came before it, and begins `run`.
    ///   - signal: delivers a signal.
    func runTask(
        _ task: WorkflowTask, start: (HistoryEvent) throws -> Void, signal: (HistoryEvent) -> Void
    ) throws {
        try requireAllMatched()
        facts.withLock {
            $0.now = task.started.eventTime
            $0.isReplaying = task.isReplayed
            $0.historyLength = Int(clamping: task.started.eventId)
        }
        recordedPatches.formUnion(task.patches)
        try executor.own {
            try noteEnded(task.events)
            let first = task.events.first { $0.eventType == .workflowExecutionStarted }
            if let first {
                facts.withLock {
                    $0.memo = first.attributes["memo"]?.objectValue ?? [:]
                    $0.searchAttributes = first.attributes["searchAttributes"]?.objectValue ?? [:]
                }
                try start(first)
            } else {
                for event in task.events where event.eventType == .workflowExecutionSignaled { signal(event) }
            }
            settle()
            for event in task.events { try resolve(event) }
            firedTimers = []
            settle()
        }
        if let misuse = executor.misuse {
            throw NonDeterminismError(eventId: nil, description: misuse.description)
        }
        if let bug { throw bug }
        if case .failure(let error) = outcome, !(error is any FailureError), !isCancellation(error) { throw error }
        if let outcome, !isClosed {
            isClosed = true
            outgoing.append(Outgoing(command: try closeCommand(outcome)))
        }
        unmatched = outgoing
        outgoing = []
    }

    /// The commands of the last task that history does not hold yet.
    var commands: [Command] { unmatched.map(\.command) }

    private func beginWait(_ what: String, at site: CallSite) -> Int {
        lastWait += 1
        waits[lastWait] = Wait(site: site, what: what)
        return lastWait
    }

    /// Where the code waits, a line for each wait, the oldest first.
    var stackTrace: String {
        if outcome != nil { return "The workflow's code has ended." }
        if waits.isEmpty { return "The workflow's code waits for nothing that its context offers." }
        return waits.sorted { $0.key < $1.key }.map { "\($0.value.site): waits for \($0.value.what)" }
            .joined(separator: "\n")
    }

    /// Whether the code has begun, has not ended, and waits for nothing that the run could still learn of.
    var waitsForNothing: Bool {
        outcome == nil && main != nil && activities.isEmpty && timers.isEmpty && conditions.isEmpty
    }

    private func settle() {
        executor.drain()
        // One at a time, so that what a condition has waited for still holds when its code goes on.
        while outcome == nil, let ready = readyCondition() {
            resolveCondition(ready, .success(true))
            executor.drain()
        }
    }

    /// Of its id alone: a predicate must not be held while the code runs that it was lent by.
    private func readyCondition() -> Int? { conditions.first { $0.predicate() }?.id }

    private func isCancellation(_ error: any Error) -> Bool {
        facts.withLock { $0.isCancelRequested }
            && (error is CancellationError || (error as? any FailureError)?.failure.isCancellation == true)
    }

    private func closeCommand(_ outcome: Result<[Payload], any Error>) throws -> Command {
        switch outcome {
        case .success(let result):
            Command(commandType: .completeWorkflowExecution, attributes: ["result": result.json])
        case .failure(let error) where isCancellation(error):
            Command(commandType: .cancelWorkflowExecution, attributes: [:])
        case .failure(let error):
            Command(commandType: .failWorkflowExecution, attributes: ["failure": Failure(error).json])
        }
    }

    /// What ended before this task cannot be cancelled in it, even by code that runs before it learns of the end.
    private func noteEnded(_ events: [HistoryEvent]) throws {
        for event in events {
            if event.endsActivity {
                activities[try activity(of: event)]?.hasEnded = true
            } else if event.eventType == .timerFired {
                firedTimers.insert(try timer(of: event))
            }
        }
    }

    private func resolve(_ event: HistoryEvent) throws {
        let attributes = event.attributes
        switch event.eventType {
        case .activityTaskCompleted:
            resolveActivity(try activity(of: event), .success(try [Payload](json: attributes["result"])))
        case .activityTaskFailed, .activityTaskTimedOut, .activityTaskCanceled:
            let number = try activity(of: event)
            guard let activity = activities[number] else { return }
            var cause = try attributes["failure"].map { try Failure(json: $0) }
            if event.eventType == .activityTaskCanceled {
                cause = CanceledError(details: try [Payload](json: attributes["details"])).failure
            }
            resolveActivity(number, .failure(activityError(activity, cause: cause, attributes: attributes)))
        case .timerFired:
            timers.removeValue(forKey: try timer(of: event))?(.success(()))
        case .workflowExecutionCancelRequested:
            facts.withLock { $0.isCancelRequested = true }
            if let main { cancellations[main]?() }
        default: break
        }
    }

    private func activity(of event: HistoryEvent) throws -> Int {
        guard let number = event.attributes["scheduledEventId"]?.int64Value.flatMap({ activityOfEvent[$0] }) else {
            throw NonDeterminismError(
                eventId: event.eventId,
                description: "event \(event.eventId) is \(event.summary), but the code has no such activity")
        }
        return number
    }

    private func timer(of event: HistoryEvent) throws -> Int {
        guard let number = event.attributes["timerId"]?.stringValue.flatMap({ Int($0) }),
            number <= sequences[.timer, default: 0]
        else {
            throw NonDeterminismError(
                eventId: event.eventId,
                description: "event \(event.eventId) is \(event.summary), but the code has no such timer")
        }
        return number
    }

    // MARK: - Replay

    /// Holds an event that a command made against what the code decided.
    func match(_ event: HistoryEvent) throws {
        // A patch that the code has deprecated, and then forgotten.
        if let marker = PatchMarker(event.attributes), marker.isDeprecated,
            unmatched.first?.command.made(event) != true
        {
            return
        }
        guard let first = unmatched.first else {
            throw NonDeterminismError(
                eventId: event.eventId,
                description: "event \(event.eventId) is \(event.summary), but the code decided nothing there")
        }
        guard first.command.made(event) else {
            throw NonDeterminismError(
                eventId: event.eventId,
                description: "event \(event.eventId) is \(event.summary), but the code decided \(first.command.summary)"
            )
        }
        unmatched.removeFirst()
        if case .activity(let number) = first.makes {
            activities[number]?.scheduledEventId = event.eventId
            activityOfEvent[event.eventId] = number
        }
    }

    /// A workflow task was completed: what the code decided in it must follow.
    func noteCompleted(_ event: HistoryEvent) { lastCompletedTask = event.eventId }

    /// - Throws: ``NonDeterminismError`` if the code decided what the history does not hold.
    func requireAllMatched() throws {
        guard let first = unmatched.first else { return }
        let place = lastCompletedTask.map { " after event \($0)" } ?? ""
        throw NonDeterminismError(
            eventId: lastCompletedTask,
            description: "the code decided \(first.command.summary)\(place), which the history does not hold")
    }

    // MARK: - Eviction

    /// Lets go of everything. The code learns by an error, and what it decides then counts for nothing.
    func evict() {
        let wasEvicted = facts.withLock { facts in
            defer { facts.isEvicted = true }
            return facts.isEvicted
        }
        guard !wasEvicted else { return }
        executor.own {
            for cancel in cancellations.values { cancel() }
            for number in activities.keys.sorted() { resolveActivity(number, .failure(Evicted())) }
            for condition in conditions { condition.resume(.failure(Evicted())) }
            conditions = []
            for number in timers.keys.sorted() { timers.removeValue(forKey: number)?(.failure(Evicted())) }
        }
        if !executor.drain(limit: 100_000) {
            run.logger.error("The workflow's code goes on without end, so that its run cannot be freed")
        }
        executor.abandon()
        outgoing = []
        unmatched = []
        cancellations = [:]
    }
}

extension [String: JSON] {
    /// These with others; null takes a member away.
    fileprivate func upserting(_ others: [String: JSON]) -> [String: JSON] {
        merging(others) { $1 }.filter { !$0.value.isNull }
    }
}

extension Logger {
    static let silent = Logger(label: "perdure.silent", factory: { _ in SwiftLogNoOpLogHandler() })
}

/// A line of workflow code.
struct CallSite: Sendable, CustomStringConvertible {
    /// As `#fileID` has it.
    let file: String
    let line: Int
    var description: String { "\(file):\(line)" }
}
