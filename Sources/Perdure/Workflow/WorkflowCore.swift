import Foundation
import Logging
import PerdureEngine
import Synchronization

/// What a run waits for and what it has decided: the part of a live run that does not depend on the workflow's type.
///
/// Unchecked because of what is not in `facts`: that is touched only on the run's executor, which runs one job at a
/// time and which every method that workflow code reaches asks first (`executor.check()`), and by the activation, query
/// or eviction that the worker calls one at a time.
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
        var historySize = 0
        var isContinueAsNewSuggested = false
        var runningHandlers = 0
        var currentDetails = ""
        var random: SplitMix64
        var memo: [String: JSON] = [:]
        var searchAttributes: [String: JSON] = [:]
    }

    private let facts: Mutex<Facts>

    /// How the values of the run's code become payloads.
    var converter: DataConverter { run.surroundings.converter }

    /// Decided in this activation.
    var outgoing: [Outgoing] = []
    /// Updates that were rejected in this activation, of which no history tells.
    private var rejections: [UpdateMessage] = []
    /// Decided before; history must hold an event of each, in this order.
    private var unmatched: [Outgoing] = []
    private var lastCompletedTask: Int64?
    private var sequences: [Kind: Int] = [:]
    private var activities: [Int: PendingActivity] = [:]
    private var activityOfEvent: [Int64: Int] = [:]
    private var timers: [Int: (Result<Void, any Error>) -> Void] = [:]
    /// Children and other workflows: Relatives.swift.
    var relatives = Relatives()
    /// Activities that run in the worker itself: LocalActivities.swift.
    var locals = LocalActivities()
    /// Timers that fired before this task, as history says, but whose waiters do not know yet.
    private var firedTimers: Set<Int> = []
    private var conditions: [PendingCondition] = []
    private var patches: [String: Bool] = [:]
    /// What history says of the SDK, and what the last task, if it was no replay, adds to that.
    private var sdk = SDKMetadata()
    private(set) var newMetadata: JSON?
    /// What code waits for, for people who ask; in the order in which it began to. Decides nothing.
    var waits: [Int: Wait] = [:]
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

    /// What is numbered, each on its own: so that code that waits for one more condition, say, keeps its activities'
    /// ids.
    enum Kind { case activity, timer, condition, task, child, effect }

    private struct PendingActivity {
        let id: String
        let type: String
        let cancellation: ActivityOptions.CancellationType
        var scheduledEventId: Int64?
        /// It ended before this task, as history says, but its waiter does not know yet.
        var hasEnded = false
        var continuation: UnsafeContinuation<[Payload], any Error>?
    }

    struct Wait {
        let site: CallSite
        let what: String
    }

    private struct PendingCondition {
        let id: Int
        let predicate: () -> Bool
        let resume: (Result<Bool, any Error>) -> Void
    }

    struct Outgoing {
        var command: Command
        var makes: Made?
    }

    enum Made: Equatable {
        case activity(Int)
        case timer(Int)
        case child(Int)
        case effect(Int)
    }

    init(_ run: LiveRunInfo) {
        self.run = run
        facts = Mutex(Facts(random: SplitMix64(seed: run.runID)))
        let logger = run.logger
        executor = WorkflowExecutor(
            onMisuse: { misuse, isIdle in
                if isIdle {
                    logger.error(
                        "The workflow's code is not deterministic", metadata: ["problem": "\(misuse.description)"])
                }
                run.onMisuse(NonDeterminismError(eventId: nil, description: misuse.description), isIdle)
            }, onEndlessCode: { logger.error("\(Self.endlessCode)") }, runElsewhere: run.runElsewhere)
    }

    private static let endlessCode = "The workflow's code goes on without end, so that its run cannot be freed"

    func next(_ kind: Kind) -> Int {
        sequences[kind, default: 0] += 1
        return sequences[kind, default: 0]
    }

    // MARK: - Facts

    private func fact<Value: Sendable>(_ read: (inout sending Facts) -> sending Value) -> Value {
        _ = executor.check()
        return facts.withLock(read)
    }

    var now: Timestamp { fact { $0.now } }
    // For who is not the run's own code.
    var moment: (time: Timestamp, isReplaying: Bool) { facts.withLock { ($0.now, $0.isReplaying) } }
    var toldDetails: String { facts.withLock { $0.currentDetails } }
    var isReplaying: Bool { fact { $0.isReplaying } }
    var isCancelRequested: Bool { fact { $0.isCancelRequested } }
    var historyLength: Int { fact { $0.historyLength } }
    var historySize: Int { fact { $0.historySize } }
    var isContinueAsNewSuggested: Bool { fact { $0.isContinueAsNewSuggested } }
    var allHandlersFinished: Bool { fact { $0.runningHandlers == 0 } }
    var currentDetails: String {
        get { fact { $0.currentDetails } }
        set { if executor.checkMayChange() { facts.withLock { $0.currentDetails = newValue } } }
    }
    var memo: [String: JSON] { fact { $0.memo } }
    var searchAttributes: [String: JSON] { fact { $0.searchAttributes } }
    func nextRandom() -> UInt64 { fact { $0.random.next() } }

    /// Says nothing that has been said before, and nothing once the run has left memory.
    var logger: Logger {
        facts.withLock { $0.isReplaying || $0.isEvicted } ? .silent : run.logger
    }

    var isEvicted: Bool { facts.withLock { $0.isEvicted } }

    // MARK: - What workflow code asks for

    /// Thrown into a run that leaves memory. Its code may clean up, but decides nothing any more.
    struct Evicted: Error {}
    /// Thrown to who activated a run that was interrupted.
    private struct Interrupted: Error {}

    /// Stands before everything that waits.
    func requireLive() async throws {
        guard executor.checkMayChange() else {
            throw NonDeterminismError(
                eventId: nil, description: (executor.misuse ?? .calledFromOutside).description)
        }
        guard isEvicted else { return }
        callsAfterEviction += 1
        if callsAfterEviction == 1000 {
            run.logger.error(
                """
                The workflow's code catches every error and tries again, so that its run can never be freed: let \
                errors through, or check Task.isCancelled
                """
            )
        }
        // Code that tries for ever would never end: it is parked.
        if callsAfterEviction > 1000 { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        throw Evicted()
    }

    func executeActivity(
        type: String, options: ActivityOptions, headers: [String: Payload], input: [Payload], at site: CallSite
    ) async throws -> [Payload] {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        try Limits.check(name: type, "activity type")
        if let id = options.activityID { try Limits.check(name: id, "activity id") }
        if let queue = options.taskQueue { try Limits.check(name: queue, "task queue") }
        try Limits.check(input, "input of activity \(type)")
        let number = next(.activity)
        let id = options.activityID ?? "\(number)"
        let taskQueue: JSON = ["name": .string(options.taskQueue ?? run.taskQueue)]
        let userMetadata = try converter.encode(userMetadata: options.summary)
        outgoing.append(
            Outgoing(
                command: Command(
                    commandType: .scheduleActivityTask,
                    attributes: .compact([
                        "activityId": .string(id), "activityType": ["name": .string(type)], "taskQueue": taskQueue,
                        "header": headers.orLeftOut, "input": input.json,
                        "scheduleToCloseTimeout": options.scheduleToCloseTimeout.map { .string($0.wire) },
                        "scheduleToStartTimeout": options.scheduleToStartTimeout.map { .string($0.wire) },
                        "startToCloseTimeout": options.startToCloseTimeout.map { .string($0.wire) },
                        "heartbeatTimeout": options.heartbeatTimeout.map { .string($0.wire) },
                        "retryPolicy": options.retryPolicy?.json,
                        "priority": options.priorityJSON,
                    ])),
                makes: .activity(number)))
        outgoing[outgoing.count - 1].command.userMetadata = userMetadata
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
        return converter.error(
            Failure(message: "activity \(activity.type) \(what)", cause: cause, kind: .activity(detail)))
    }

    /// What was decided and undone in one task never was.
    ///
    /// - Returns: whether it had not been sent.
    @discardableResult
    func withdraw(_ made: Made) -> Bool {
        guard let place = outgoing.firstIndex(where: { $0.makes == made }) else { return false }
        outgoing.remove(at: place)
        return true
    }

    func sleep(for duration: Duration, summary: String? = nil, at site: CallSite) async throws {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        guard duration > .zero else { return }
        let number = startTimer(duration, try converter.encode(userMetadata: summary))
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

    private func startTimer(_ duration: Duration, _ userMetadata: JSON? = nil) -> Int {
        let number = next(.timer)
        var command = Command(
            commandType: .startTimer,
            attributes: ["timerId": .string("\(number)"), "startToFireTimeout": .string(duration.wire)])
        command.userMetadata = userMetadata
        outgoing.append(Outgoing(command: command, makes: .timer(number)))
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

    func upsertMemo(_ memo: [String: JSON]) throws {
        for name in memo.keys { try Limits.check(name: name, "name in the memo") }
        try Limits.check(.object(self.memo.upserting(memo)), "memo")
        guard add(Command(commandType: .modifyWorkflowProperties, attributes: ["upsertedMemo": .object(memo)])) else {
            return
        }
        facts.withLock { $0.memo = $0.memo.upserting(memo) }
    }

    func upsertSearchAttributes(_ attributes: [String: JSON]) {
        do {
            try Limits.check(.object(attributes), atMost: Limits.searchAttributes, "search attributes")
        } catch {
            // The call throws nothing, so that the workflow task fails with it.
            bug = bug ?? error
            return
        }
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
    /// The marker of a deprecated patch that the code no longer asks for.
    private var forgottenMarker: Int64?

    /// Whether the run takes the patched path; the same answer for the run's whole life.
    func patch(_ id: String, isDeprecated: Bool) -> Bool {
        guard executor.checkMayChange() else { return false }
        let id = id.withVisibleNul
        if let known = patches[id] { return known }
        let isTaken = !isReplaying || recordedPatches.contains(id)
        patches[id] = isTaken
        guard isTaken else { return false }
        _ = add(PatchMarker(id: id, isDeprecated: isDeprecated).command)
        if sdk.has(.upsertsChangeVersion), let command = changeVersion { _ = add(command) }
        return true
    }

    /// Lets people find the run by the patches that it has taken. As in Temporal they are sorted, and a list that would
    /// be too long is not written.
    private var changeVersion: Command? {
        let taken = patches.filter(\.value).keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let list = JSON.array(taken.map(JSON.string))
        guard list.bytes.count < 2048 else { return nil }
        return Command(
            commandType: .upsertWorkflowSearchAttributes,
            attributes: ["searchAttributes": [PatchMarker.searchAttribute: list]])
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
                let ends = error is any FailureError || error is ContinueAsNewError
                if ends { finish(.failure(error)) } else { bug = bug ?? error }
            }
            facts.withLock { $0.runningHandlers -= 1 }
        }
    }

    /// Says of an update what the engine is to know.
    func say(_ message: UpdateMessage) {
        if message.isRejection {
            rejections.append(message)
        } else {
            _ = add(message.command)
        }
    }

    /// Accepts an update and starts its handler, whose end is the update's.
    ///
    /// - Parameter eventID: the event behind which it comes.
    func handle(
        _ update: UpdateRequest, behind eventID: Int64, _ body: @escaping @Sendable () async throws -> [Payload]
    ) {
        say(UpdateMessage(updateID: update.updateID, .acceptance(sequencingEventID: eventID)))
        facts.withLock { $0.runningHandlers += 1 }
        spawn { [self] in
            func respond(_ result: Result<[Payload], Failure>) {
                say(UpdateMessage(updateID: update.updateID, .response(result)))
            }
            do {
                let result = try await body()
                try Limits.check(result, "result of update \(update.name)")
                respond(.success(result))
            } catch {
                if error is any FailureError || isCancellation(error) {
                    respond(.failure(converter.failure(error)))
                } else {
                    bug = bug ?? error
                }
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
        var patches: Set<String> = []
        /// The ends of local activities that it recorded when it ran first.
        var localActivities: [LocalActivityMarker] = []
        /// The updates that it delivers; in a replay, those of them that were accepted.
        var updates: [UpdateRequest] = []
        /// What its completion said of the SDK.
        var sdkMetadata: JSON?
    }

    /// Applies what happened since the last task, runs the code until it waits, and keeps what it decided.
    ///
    /// Signals come first, in order, then updates, then everything else, in order, as in Temporal's SDKs.
    ///
    /// - Parameters:
    ///   - start: makes the instance, delivers the signals and updates that came before it, and begins `run`.
    ///   - signal: delivers a signal.
    ///   - update: delivers an update.
    func runTask(
        _ task: WorkflowTask, start: (HistoryEvent) throws -> Void, signal: (HistoryEvent) -> Void,
        update: (UpdateRequest) throws -> Void
    ) throws {
        try requireAllMatched()
        rejections = []
        facts.withLock {
            $0.now = task.started.eventTime
            $0.isReplaying = task.isReplayed
            $0.historyLength = Int(clamping: task.started.eventId)
            $0.historySize = task.started.attributes["historySizeBytes"]?.intValue ?? 0
            $0.isContinueAsNewSuggested = task.started.attributes["suggestContinueAsNew"]?.boolValue ?? false
        }
        locals.ended = 0
        locals.givenUp = []
        locals.taskBegan = .now
        recordedPatches.formUnion(task.patches)
        newMetadata = nil
        if task.isReplayed { sdk.beginReplayedTask(task.sdkMetadata) } else { newMetadata = sdk.beginTask() }
        try executor.own {
            try noteEnded(task.events)
            let first = task.events.first { $0.eventType == .workflowExecutionStarted }
            if let first {
                let original = first.attributes["originalExecutionRunId"]?.stringValue.flatMap(UUID.init(uuidString:))
                facts.withLock {
                    // What a run that a reset made shares with another one, it does with the same random numbers.
                    if !hasBeenReset { $0.random = SplitMix64(seed: original ?? run.runID) }
                    $0.memo = first.attributes["memo"]?.dictionary ?? [:]
                    $0.searchAttributes = first.attributes["searchAttributes"]?.dictionary ?? [:]
                }
                try start(first)
            } else {
                for event in task.events where event.eventType == .workflowExecutionSignaled { signal(event) }
                for request in task.updates { try update(request) }
            }
            settle()
            for event in task.events { try resolve(event) }
            firedTimers = []
            settle()
            for marker in task.localActivities {
                try replayLocal(marker)
                settle()
            }
        }
        try conclude()
    }

    /// Takes the end of a local activity in the task that is under way, and runs the code until it waits again.
    func runTask(with end: LocalActivityEnd) throws {
        executor.own {
            endLocal(end)
            settle()
        }
        try conclude()
    }

    /// What the code has come to, once it waits.
    private func conclude() throws {
        if let misuse = executor.misuse {
            throw NonDeterminismError(eventId: nil, description: misuse.description)
        }
        // It has run for too long, which its worker has told.
        if executor.isInterrupted { throw Interrupted() }
        if let bug { throw bug }
        if case .failure(let error) = outcome, !(error is any FailureError), !(error is ContinueAsNewError),
            !isCancellation(error)
        {
            throw error
        }
        if let outcome, !isClosed {
            isClosed = true
            outgoing.append(Outgoing(command: try closeCommand(outcome)))
        }
    }

    /// The task is over: what the code decided in it cannot be withdrawn any more.
    private func seal() {
        guard !outgoing.isEmpty else { return }
        unmatched += outgoing
        outgoing = []
    }

    /// The commands of the last task that history does not hold yet.
    var commands: [Command] { (unmatched + outgoing).map(\.command) + rejections.map(\.command) }

    func setTime(_ time: Timestamp) { facts.withLock { $0.now = time } }

    func beginWait(_ what: String, at site: CallSite) -> Int {
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
            && relatives.isQuiet && locals.pending.isEmpty
    }

    private func settle() {
        executor.drain()
        // One at a time, so that what a condition has waited for still holds when its code goes on.
        while outcome == nil, executor.misuse == nil, !executor.isInterrupted, let ready = readyCondition() {
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

    private static func completion(_ result: [Payload]) throws -> Command {
        try Limits.check(result, "result of the workflow")
        return Command(commandType: .completeWorkflowExecution, attributes: ["result": result.json])
    }

    private func closeCommand(_ outcome: Result<[Payload], any Error>) throws -> Command {
        switch outcome {
        case .success(let result):
            try Self.completion(result)
        case .failure(let error as ContinueAsNewError):
            Command(commandType: .continueAsNewWorkflowExecution, attributes: error.attributes)
        case .failure(let error) where isCancellation(error):
            Command(commandType: .cancelWorkflowExecution, attributes: [:])
        case .failure(let error):
            Command(commandType: .failWorkflowExecution, attributes: ["failure": converter.failure(error).json])
        }
    }

    /// What ended before this task cannot be cancelled in it, even by code that runs before it learns of the end.
    private func noteEnded(_ events: [HistoryEvent]) throws {
        for event in events {
            if event.endsActivity {
                activities[try activity(of: event)]?.hasEnded = true
            } else if event.eventType == .timerFired {
                firedTimers.insert(try timer(of: event))
            } else {
                try noteRelative(event)
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
        default: try resolveRelative(event)
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
        seal()
        // A patch that the code has deprecated, and then forgotten, with the search attribute that tells of it.
        if let marker = PatchMarker(event.attributes), marker.isDeprecated,
            unmatched.first?.command.made(event) != true
        {
            forgottenMarker = event.eventId
            return
        }
        if forgottenMarker == event.eventId - 1, event.upsertsChangeVersion { return }
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
        } else if let made = first.makes {
            matchedRelative(made, event)
        }
    }

    /// The run goes on from another one that was reset: from here on its random numbers are its own, as in Temporal.
    ///
    /// - Parameter event: a `WorkflowTaskFailed`, of whatever cause.
    func noteReset(_ event: HistoryEvent) {
        guard event.attributes["cause"] == "ResetWorkflow",
            let runID = event.attributes["newRunId"]?.stringValue.flatMap(UUID.init(uuidString:))
        else { return }
        hasBeenReset = true
        facts.withLock { $0.random = SplitMix64(seed: runID) }
    }

    private var hasBeenReset = false

    /// A workflow task was completed: what the code decided in it must follow.
    func noteCompleted(_ event: HistoryEvent) {
        seal()
        lastCompletedTask = event.eventId
        sdk.noteCompleted()
    }

    /// - Throws: ``NonDeterminismError`` if the code decided what the history does not hold.
    func requireAllMatched() throws {
        seal()
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
        run.locals?.abandon()
        executor.own {
            // Code that tries again when Task.sleep throws would never stop: there a canceled task waits no more. Its
            // sleeps end instead, as if their time had come.
            if !executor.hasSlept { for cancel in cancellations.values { cancel() } }
            for number in activities.keys.sorted() { resolveActivity(number, .failure(Evicted())) }
            evictRelatives()
            evictLocals()
            for condition in conditions { condition.resume(.failure(Evicted())) }
            conditions = []
            for number in timers.keys.sorted() { timers.removeValue(forKey: number)?(.failure(Evicted())) }
        }
        if !executor.drainEvicted(limit: executor.hasSlept ? 1000 : 100_000) {
            run.logger.error("\(Self.endlessCode)")
        }
        executor.abandon()
        outgoing = []
        unmatched = []
        cancellations = [:]
    }
}

extension [String: JSON] {
    /// These with others; null takes a member away.
    func upserting(_ others: [String: JSON]) -> [String: JSON] {
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
