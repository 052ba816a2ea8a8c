import Foundation
import Logging
import PerdureEngine

/// What a run waits for and what it has decided: the part of a live run that does not depend on the workflow's type.
///
/// Unchecked because it is touched only on the run's executor, which runs one job at a time, and by the activation,
/// query or eviction that the worker calls one at a time.
final class WorkflowCore: @unchecked Sendable {
    let info: WorkflowInfo
    let executor = WorkflowExecutor()

    private(set) var now = Timestamp(microseconds: 0)
    private(set) var isReplaying = false
    private(set) var isCancelRequested = false
    private(set) var isEvicted = false
    private var random: SplitMix64

    /// Decided in this activation.
    private var outgoing: [Outgoing] = []
    /// Decided before; history must hold an event of each, in this order.
    private var unmatched: [Outgoing] = []
    private var sequence = 0
    private var activities: [Int: PendingActivity] = [:]
    private var activityOfEvent: [Int64: Int] = [:]
    private var timers: [Int: (CheckedResult) -> Void] = [:]
    private var conditions: [PendingCondition] = []
    private var callsAfterEviction = 0

    /// How the run ended, once it has.
    private(set) var outcome: Result<[Payload], any Error>?
    /// A bug: what workflow code threw that no history can hold.
    private var bug: (any Error)?
    private var isClosed = false
    var root: Task<Void, Never>?

    typealias CheckedResult = Result<Void, any Error>

    private struct PendingActivity {
        let id: String
        let type: String
        let cancellation: ActivityOptions.CancellationType
        var scheduledEventId: Int64?
        var continuation: UnsafeContinuation<[Payload], any Error>?
    }

    private struct PendingCondition {
        let id: Int
        let predicate: () -> Bool
        let resume: (Result<Bool, any Error>) -> Void
    }

    private struct Outgoing {
        var command: Command
        /// The activity or timer that the command makes, by its sequence number.
        var makes: Int?
    }

    init(info: WorkflowInfo) {
        self.info = info
        random = SplitMix64(seed: info.runID)
    }

    // MARK: - What workflow code asks for

    /// Thrown into a run that leaves memory. Its code may clean up, but decides nothing any more.
    struct Evicted: Error {}

    private func requireLive() async throws {
        guard isEvicted else { return }
        callsAfterEviction += 1
        // Code that swallows the error and tries for ever would never end: it is parked.
        if callsAfterEviction > 1000 { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        throw Evicted()
    }

    private func next() -> Int {
        sequence += 1
        return sequence
    }

    func executeActivity(type: String, options: ActivityOptions, input: [Payload]) async throws -> [Payload] {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        let number = next()
        let id = options.activityID ?? "\(number)"
        let taskQueue: JSON = ["name": .string(options.taskQueue ?? info.taskQueue)]
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
                makes: number))
        activities[number] = PendingActivity(id: id, type: type, cancellation: options.cancellationType)
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { activities[number]?.continuation = $0 }
        } onCancel: {
            cancelActivity(number)
        }
    }

    private func cancelActivity(_ number: Int) {
        guard let activity = activities[number], !isEvicted else { return }
        if let scheduled = activity.scheduledEventId {
            if activity.cancellation != .abandon {
                outgoing.append(
                    Outgoing(
                        command: Command(
                            commandType: .requestCancelActivityTask,
                            attributes: ["scheduledEventId": .number(scheduled)])))
            }
            if activity.cancellation == .waitCancellationCompleted { return }
        } else if let place = outgoing.firstIndex(where: { $0.makes == number }) {
            // Not yet sent: it never was.
            outgoing.remove(at: place)
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
        return Failure(message: "activity \(activity.type) failed", cause: cause, kind: .activity(detail)).error
    }

    func sleep(for duration: Duration) async throws {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        guard duration > .zero else { return }
        let number = startTimer(duration)
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Void, any Error>) in
                timers[number] = { continuation.resume(with: $0) }
            }
        } onCancel: {
            cancelTimer(number)
        }
    }

    private func startTimer(_ duration: Duration) -> Int {
        let number = next()
        outgoing.append(
            Outgoing(
                command: Command(
                    commandType: .startTimer,
                    attributes: ["timerId": .string("\(number)"), "startToFireTimeout": .string(duration.wire)]),
                makes: number))
        return number
    }

    private func cancelTimer(_ number: Int) {
        guard let resolve = timers.removeValue(forKey: number), !isEvicted else { return }
        if let place = outgoing.firstIndex(where: { $0.makes == number }) {
            outgoing.remove(at: place)
        } else {
            outgoing.append(
                Outgoing(command: Command(commandType: .cancelTimer, attributes: ["timerId": .string("\(number)")])))
        }
        resolve(.failure(CanceledError()))
    }

    /// - Returns: whether the predicate came true in time.
    func condition(timeout: Duration?, _ predicate: @escaping () -> Bool) async throws -> Bool {
        try await requireLive()
        if predicate() { return true }
        if Task.isCancelled { throw CanceledError() }
        let id = next()
        let timer = timeout.map { startTimer($0) }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { (continuation: UnsafeContinuation<Bool, any Error>) in
                conditions.append(
                    PendingCondition(id: id, predicate: predicate) { [self] result in
                        if case .success(true) = result, let timer { cancelTimer(timer) }
                        continuation.resume(with: result)
                    })
                if let timer {
                    timers[timer] = { [self] result in
                        // Canceled because the condition came true, or fired because it did not.
                        if case .success = result { resolveCondition(id, .success(false)) }
                    }
                }
            }
        } onCancel: {
            if let timer { cancelTimer(timer) }
            resolveCondition(id, .failure(CanceledError()))
        }
    }

    private func resolveCondition(_ id: Int, _ result: Result<Bool, any Error>) {
        guard let place = conditions.firstIndex(where: { $0.id == id }) else { return }
        conditions.remove(at: place).resume(result)
    }

    func add(_ command: Command) {
        guard !isEvicted else { return }
        outgoing.append(Outgoing(command: command))
    }

    func nextRandom() -> UInt64 { random.next() }

    // MARK: - Activation

    /// The run's code ended.
    func finish(_ result: Result<[Payload], any Error>) {
        if outcome == nil { outcome = result }
    }

    /// A signal handler failed.
    func handlerFailed(_ error: any Error) {
        if error is any FailureError { finish(.failure(error)) } else { bug = bug ?? error }
    }

    /// One workflow task: applies what happened since the last, runs the code until it waits, and keeps what it decided.
    ///
    /// Signals come first, in order, then everything else, in order, as in Temporal's SDKs.
    func runTask(
        at time: Timestamp, replaying: Bool, events: [HistoryEvent], start: (HistoryEvent) throws -> Void,
        signal: (HistoryEvent) -> Void
    ) throws {
        guard unmatched.isEmpty else {
            throw NonDeterminismError(
                eventId: nil,
                description: "the code decided \(unmatched[0].command.summary), which the history does not hold")
        }
        now = time
        isReplaying = replaying
        try executor.own {
            let first = events.first { $0.eventType == .workflowExecutionStarted }
            // The instance is made first, then signals are delivered, then `run` begins.
            for event in events where event.eventType == .workflowExecutionSignaled && first == nil { signal(event) }
            if let first { try start(first) }
            settle()
            for event in events { try resolve(event) }
            settle()
        }
        if executor.hasForeignJob {
            throw NonDeterminismError(
                eventId: nil,
                description:
                    "workflow code waited for something outside of the workflow (another actor, the network, Task.sleep): "
                    + "do that in an activity, and wait with the context's own methods")
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

    /// The commands of the last task.
    var commands: [Command] { unmatched.map(\.command) }

    private func settle() {
        executor.drain()
        while outcome == nil, let ready = conditions.first(where: { $0.predicate() }) {
            resolveCondition(ready.id, .success(true))
            executor.drain()
        }
    }

    private func isCancellation(_ error: any Error) -> Bool {
        isCancelRequested
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

    private func resolve(_ event: HistoryEvent) throws {
        let attributes = event.attributes
        switch event.eventType {
        case .activityTaskCompleted:
            if let number = activity(of: event) {
                resolveActivity(number, .success(try [Payload](json: attributes["result"])))
            }
        case .activityTaskFailed, .activityTaskTimedOut, .activityTaskCanceled:
            guard let number = activity(of: event), let activity = activities[number] else { return }
            var cause = try attributes["failure"].map { try Failure(json: $0) }
            if event.eventType == .activityTaskCanceled {
                cause = CanceledError(details: try [Payload](json: attributes["details"])).failure
            }
            resolveActivity(number, .failure(activityError(activity, cause: cause, attributes: attributes)))
        case .timerFired:
            guard let number = attributes["timerId"]?.stringValue.flatMap({ Int($0) }) else { return }
            timers.removeValue(forKey: number)?(.success(()))
        case .workflowExecutionCancelRequested:
            isCancelRequested = true
            root?.cancel()
        default: break
        }
    }

    private func activity(of event: HistoryEvent) -> Int? {
        event.attributes["scheduledEventId"]?.int64Value.flatMap { activityOfEvent[$0] }
    }

    // MARK: - Replay

    /// Holds an event that a command made against what the code decided.
    func match(_ event: HistoryEvent) throws {
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
        if let number = first.makes, event.eventType == .activityTaskScheduled {
            activities[number]?.scheduledEventId = event.eventId
            activityOfEvent[event.eventId] = number
        }
    }

    // MARK: - Eviction

    /// Lets go of everything. The code learns by an error, and what it decides then counts for nothing.
    func evict() {
        guard !isEvicted else { return }
        isEvicted = true
        executor.own {
            for number in activities.keys.sorted() { resolveActivity(number, .failure(Evicted())) }
            for number in timers.keys.sorted() { timers.removeValue(forKey: number)?(.failure(Evicted())) }
            for condition in conditions { condition.resume(.failure(Evicted())) }
            conditions = []
        }
        executor.drain(limit: 100_000)
        outgoing = []
        unmatched = []
        root = nil
    }
}

extension Command {
    /// Whether an event is what this command makes.
    fileprivate func made(_ event: HistoryEvent) -> Bool {
        func same(_ key: String) -> Bool { attributes[key] == event.attributes[key] }
        func sameName(_ key: String) -> Bool { attributes[key]?["name"] == event.attributes[key]?["name"] }
        return switch (commandType, event.eventType) {
        case (.scheduleActivityTask, .activityTaskScheduled): same("activityId") && sameName("activityType")
        case (.requestCancelActivityTask, .activityTaskCancelRequested): same("scheduledEventId")
        case (.startTimer, .timerStarted), (.cancelTimer, .timerCanceled): same("timerId")
        case (.recordMarker, .markerRecorded): same("markerName")
        case (.upsertWorkflowSearchAttributes, .upsertWorkflowSearchAttributes),
            (.modifyWorkflowProperties, .workflowPropertiesModified),
            (.completeWorkflowExecution, .workflowExecutionCompleted),
            (.failWorkflowExecution, .workflowExecutionFailed),
            (.cancelWorkflowExecution, .workflowExecutionCanceled):
            true
        default: false
        }
    }

    fileprivate var summary: String { summarize(commandType.rawValue, attributes) }
}

extension HistoryEvent {
    fileprivate var summary: String { summarize(eventType.rawValue, attributes) }

    /// Whether a command made this event.
    var isMadeByCommand: Bool {
        switch eventType {
        case .activityTaskScheduled, .activityTaskCancelRequested, .timerStarted, .timerCanceled, .markerRecorded,
            .upsertWorkflowSearchAttributes, .workflowPropertiesModified, .workflowExecutionCompleted,
            .workflowExecutionFailed, .workflowExecutionCanceled:
            true
        default: false
        }
    }
}

private func summarize(_ name: String, _ attributes: JSON) -> String {
    let parts = [
        attributes["activityType"]?["name"]?.stringValue, attributes["activityId"]?.stringValue.map { "id \($0)" },
        attributes["timerId"]?.stringValue.map { "id \($0)" }, attributes["markerName"]?.stringValue,
        attributes["scheduledEventId"]?.int64Value.map { "of event \($0)" },
    ].compactMap { $0 }
    return parts.isEmpty ? name : "\(name) (\(parts.joined(separator: ", ")))"
}

/// Sebastiano Vigna's SplitMix64: small, and the same on every machine.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UUID) {
        let bytes = seed.uuid
        let all = [
            bytes.0, bytes.1, bytes.2, bytes.3, bytes.4, bytes.5, bytes.6, bytes.7, bytes.8, bytes.9, bytes.10,
            bytes.11, bytes.12, bytes.13, bytes.14, bytes.15,
        ]
        // FNV-1a, so that every bit of the id counts.
        state = all.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
