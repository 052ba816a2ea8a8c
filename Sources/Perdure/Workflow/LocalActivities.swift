import Foundation
import PerdureEngine

/// The marker by which a run remembers how a local activity ended. Its form is that of Temporal's core.
struct LocalActivityMarker: Sendable {
    let number: Int
    /// The last attempt; 0 of one that was given up before it ended.
    var attempt: Int
    let activityID: String
    let activityType: String
    /// When it ended; nil when it was given up.
    var completedAt: Timestamp?
    /// How long the run waits, by a timer, before it is tried again; nil if it is not.
    var backoff: Duration?
    let scheduledAt: Timestamp
    /// The how manieth end of a local activity it is in its workflow task.
    var activationIndex: Int
    var result: Result<[Payload], Failure>

    static let name = "core_local_activity"

    /// - Returns: nil for another marker, or no marker.
    init?(_ attributes: JSON) throws {
        guard attributes["markerName"]?.stringValue == Self.name,
            let data = attributes["details"]?["data"]?[0]?["data"], let number = data["seq"]?.intValue
        else { return nil }
        self.number = number
        attempt = data["attempt"]?.intValue ?? 1
        activityID = data["activity_id"]?.stringValue ?? ""
        activityType = data["activity_type"]?.stringValue ?? ""
        completedAt = data["complete_time"].flatMap(Self.time)
        backoff = data["backoff"].flatMap { Self.time($0).map { .microseconds($0.microseconds) } }
        scheduledAt = data["original_schedule_time"].flatMap(Self.time) ?? Timestamp(microseconds: 0)
        activationIndex = data["activation_index"]?.intValue ?? 0
        if let failure = attributes["failure"], !failure.isNull {
            result = .failure(try Failure(json: failure))
        } else {
            result = .success(try [Payload](json: attributes["details"]?["result"]))
        }
    }

    init(
        number: Int, attempt: Int, activityID: String, activityType: String, completedAt: Timestamp?,
        backoff: Duration? = nil, scheduledAt: Timestamp, activationIndex: Int, result: Result<[Payload], Failure>
    ) {
        self.number = number
        self.attempt = attempt
        self.activityID = activityID
        self.activityType = activityType
        self.completedAt = completedAt
        self.backoff = backoff
        self.scheduledAt = scheduledAt
        self.activationIndex = activationIndex
        self.result = result
    }

    var command: Command {
        let data: JSON = [
            "seq": .number(number), "attempt": .number(attempt), "activity_id": .string(activityID),
            "activity_type": .string(activityType), "complete_time": completedAt.map(Self.json) ?? .null,
            "backoff": backoff.map { Self.json(Timestamp(microseconds: $0.wholeMicroseconds)) } ?? .null,
            "original_schedule_time": Self.json(scheduledAt), "activation_index": .number(activationIndex),
        ]
        var details: JSON = ["data": [Payload(plain: data)].json]
        var attributes: JSON = ["markerName": .string(Self.name)]
        switch result {
        case .success(let payloads): details["result"] = payloads.json
        case .failure(let failure): attributes["failure"] = failure.json
        }
        attributes["details"] = details
        return Command(commandType: .recordMarker, attributes: attributes)
    }

    /// What must be the same when a history is replayed.
    static func identity(_ attributes: JSON) -> String? {
        guard attributes["markerName"]?.stringValue == name, let data = attributes["details"]?["data"]?[0]?["data"]
        else { return nil }
        return "\(data["seq"]?.intValue ?? 0) \(data["activity_type"]?.stringValue ?? "")"
    }

    private static func time(_ json: JSON) -> Timestamp? {
        guard let seconds = json["seconds"]?.int64Value else { return nil }
        return Timestamp(microseconds: seconds * 1_000_000 + (json["nanos"]?.int64Value ?? 0) / 1000)
    }

    private static func json(_ time: Timestamp) -> JSON {
        [
            "seconds": .number(time.microseconds / 1_000_000), "nanos": .number(time.microseconds % 1_000_000 * 1000),
        ]
    }
}

/// A local activity that a worker is to run.
struct LocalActivityRequest: Sendable {
    let number: Int
    let id: String
    let type: String
    let input: [Payload]
    let headers: [String: Payload]
    let options: LocalActivityOptions
    /// The attempt with which it begins: later ones follow a backoff that was a timer.
    let attempt: Int
    let scheduledAt: Timestamp
    /// The same on every attempt.
    let idempotencyKey: String
    let userMetadata: JSON?
}

/// What the run's worker is to do about local activities.
struct LocalActivityWork: Sendable {
    var starts: [LocalActivityRequest] = []
    var cancels: [Int] = []
}

/// How a local activity ended in its worker.
struct LocalActivityEnd: Sendable {
    let number: Int
    let attempt: Int
    let result: Result<[Payload], Failure>
    /// How long to wait, by a timer, until it is tried again.
    var backoff: Duration?
}

/// The local activities of a run that have not ended. A part of ``WorkflowCore``, under its rules.
struct LocalActivities {
    struct Pending {
        let request: LocalActivityRequest
        var isStarted = false
        var continuation: UnsafeContinuation<LocalActivityMarker, any Error>?
    }

    var pending: [Int: Pending] = [:]
    /// Those that the code gave up in this task: their markers stand in the history, but nothing waits for them.
    var givenUp: Set<Int> = []
    var cancels: [Int] = []
    /// How many have ended in this task.
    var ended = 0
    /// Whether the code has ever had one.
    var isUsed = false
    /// When the task began, by this machine's clock.
    var taskBegan = ContinuousClock.now
}

extension WorkflowCore {
    func executeLocalActivity(
        type: String, options: LocalActivityOptions, headers: [String: Payload], input: [Payload], at site: CallSite
    ) async throws -> [Payload] {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        try Limits.check(name: type, "activity type")
        if let id = options.activityID { try Limits.check(name: id, "activity id") }
        try Limits.check(input, "input of local activity \(type)")
        locals.isUsed = true
        var attempt = 1
        var scheduledAt = now
        var key: String?
        while true {
            let number = next(.activity)
            let id = options.activityID ?? "\(number)"
            let idempotencyKey = key ?? "\(run.runID.uuidString.lowercased()):\(id)"
            key = idempotencyKey
            let request = LocalActivityRequest(
                number: number, id: id, type: type, input: input, headers: headers, options: options,
                attempt: attempt, scheduledAt: scheduledAt, idempotencyKey: idempotencyKey,
                userMetadata: try converter.encode(userMetadata: options.summary))
            let marker = try await end(of: request, at: site)
            switch marker.result {
            case .success(let result): return result
            case .failure(let failure):
                guard let backoff = marker.backoff else {
                    throw localError(request, failure, isGivenUp: marker.completedAt == nil)
                }
                do {
                    try await sleep(for: backoff, at: site)
                } catch is CanceledError {
                    throw localError(request, CanceledError().failure, isGivenUp: true)
                }
                attempt = marker.attempt + 1
                scheduledAt = marker.scheduledAt
            }
        }
    }

    private func end(of request: LocalActivityRequest, at site: CallSite) async throws -> LocalActivityMarker {
        let number = request.number
        locals.pending[number] = LocalActivities.Pending(request: request)
        let wait = beginWait("local activity \(request.type), id \(request.id)", at: site)
        defer { waits[wait] = nil }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { locals.pending[number]?.continuation = $0 }
        } onCancel: {
            cancelLocal(number)
        }
    }

    private func localError(_ request: LocalActivityRequest, _ cause: Failure, isGivenUp: Bool) -> any Error {
        let state: RetryState? = cause.isCancellation || isGivenUp ? .cancelRequested : nil
        let detail = Failure.Activity(
            scheduledEventId: 0, startedEventId: 0, activityType: request.type, activityId: request.id,
            retryState: state)
        let what = cause.isCancellation ? "canceled" : "failed"
        return converter.error(
            Failure(message: "local activity \(request.type) \(what)", cause: cause, kind: .activity(detail)))
    }

    private func cancelLocal(_ number: Int) {
        guard executor.check(), let pending = locals.pending[number], !isEvicted else { return }
        let cancellation = pending.request.options.cancellationType
        if cancellation != .abandon { locals.cancels.append(number) }
        if cancellation == .waitCancellationCompleted { return }
        // As Temporal's core marks what is not waited for.
        let request = pending.request
        let failure = Failure(message: "Activity cancelled", kind: .canceled(details: []))
        locals.givenUp.insert(number)
        locals.ended += 1
        endLocal(
            LocalActivityMarker(
                number: number, attempt: 0, activityID: request.id, activityType: request.type, completedAt: nil,
                scheduledAt: request.scheduledAt, activationIndex: locals.ended, result: .failure(failure)))
    }

    /// Remembers an end, and lets the code that waits for it go on once the executor comes to it.
    private func endLocal(_ marker: LocalActivityMarker) {
        let pending = locals.pending.removeValue(forKey: marker.number)
        var command = marker.command
        command.userMetadata = pending?.request.userMetadata
        outgoing.append(Outgoing(command: command))
        pending?.continuation?.resume(returning: marker)
    }

    /// What the worker is to start and to cancel: after the last task, when nothing is replayed any more.
    func takeLocalWork() -> LocalActivityWork {
        var work = LocalActivityWork(cancels: locals.cancels)
        locals.cancels = []
        for number in locals.pending.keys.sorted() where locals.pending[number]?.isStarted == false {
            locals.pending[number]?.isStarted = true
            if let request = locals.pending[number]?.request { work.starts.append(request) }
        }
        return work
    }

    /// Takes the end of a local activity in the workflow task that is under way.
    func endLocal(_ end: LocalActivityEnd) {
        guard let request = locals.pending[end.number]?.request else { return }
        locals.ended += 1
        let completedAt = moment.time.advanced(by: locals.taskBegan.duration(to: .now))
        locals.taskBegan = .now
        setTime(completedAt)
        endLocal(
            LocalActivityMarker(
                number: end.number, attempt: end.attempt, activityID: request.id, activityType: request.type,
                completedAt: completedAt, backoff: end.backoff, scheduledAt: request.scheduledAt,
                activationIndex: locals.ended, result: end.result))
    }

    /// Takes the end that history tells of.
    func replayLocal(_ marker: LocalActivityMarker) throws {
        if locals.givenUp.remove(marker.number) != nil { return }
        guard let pending = locals.pending[marker.number], pending.request.type == marker.activityType else {
            throw NonDeterminismError(
                eventId: nil,
                description: "the history has the end of local activity \(marker.activityType), id "
                    + "\(marker.activityID), but the code has no such local activity")
        }
        locals.ended += 1
        if let time = marker.completedAt, time > moment.time { setTime(time) }
        endLocal(marker)
    }

    func evictLocals() {
        for number in locals.pending.keys.sorted() {
            locals.pending.removeValue(forKey: number)?.continuation?.resume(throwing: Evicted())
        }
    }
}
