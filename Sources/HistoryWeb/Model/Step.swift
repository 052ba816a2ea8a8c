import PerdureModel
import WebCommon

/// What belongs together in a history: an activity with its events, a timer, a signal, a workflow task.
struct Step: Sendable {
    enum Outcome: String, Sendable {
        /// Waits for a worker, or for its next attempt.
        case waiting
        /// Waits until somebody unpauses it.
        case paused
        case running
        case completed
        case failed
        case timedOut = "timed-out"
        case canceled
        /// Happened at one moment and has no end: a signal, a marker.
        case happened

        var isOpen: Bool { self == .waiting || self == .paused || self == .running }

        var label: String {
            switch self {
            case .waiting: "Waiting"
            case .paused: "Paused"
            case .running: "Running"
            case .completed: "Completed"
            case .failed: "Failed"
            case .timedOut: "Timed out"
            case .canceled: "Canceled"
            case .happened: "Happened"
            }
        }
    }

    let kind: EventKind
    let name: String
    private(set) var events: [HistoryEvent]
    /// Known only of an activity that is still open.
    fileprivate(set) var pending: PendingActivity?

    /// The id of its first event, by which it is addressed.
    var id: Int { events[0].id }
    var start: Timestamp { events[0].time }
    var started: HistoryEvent? { events.last { $0.type.hasSuffix("TaskStarted") } }
    var end: Timestamp? { outcome.isOpen ? nil : events[events.count - 1].time }

    /// How often it was tried, the attempt under way included.
    var attempts: Int { max(1, pending?.attempt ?? 0, started?.attributes.integer("attempt") ?? 1) }

    /// Attempts that came to nothing. Not the last one, which `outcome` tells of.
    var failedAttempts: Int { kind == .activity ? attempts - 1 : 0 }

    /// The failure that ended it or, while it is tried again and when it came out well after all, the last one before.
    var failure: Failure? {
        events.last { $0.failure != nil }?.failure ?? pending?.lastFailure
            ?? started?.attributes.member("lastFailure").map { Failure(shown: $0) }
    }

    var outcome: Outcome {
        let last = events.last { !$0.type.hasSuffix("CancelRequested") } ?? events[0]
        return switch last.type {
        case _ where kind == .update && last.failure != nil: .failed
        case _ where kind == .update && last.type.hasSuffix("Accepted"): .running
        case _ where last.type.hasSuffix("Completed") || last.type == "TimerFired": .completed
        case _ where last.type.hasSuffix("Failed") || last.type.hasSuffix("Rejected"): .failed
        case _ where last.type.hasSuffix("TimedOut"): .timedOut
        case _ where last.type.hasSuffix("Canceled") || last.type.hasSuffix("Terminated"): .canceled
        case "TimerStarted": .waiting
        case _ where last.type.hasSuffix("Scheduled") || last.type.hasSuffix("Initiated"):
            pending?.isStarted == true ? .running : pending?.paused != nil ? .paused : .waiting
        case _ where last.type.hasSuffix("Started") && kind != .workflow: .running
        default: .happened
        }
    }

    /// The outcome in words that tell a clean success from one that came late.
    var outcomeText: String {
        switch (outcome, failedAttempts) {
        case (.happened, _) where kind == .signal: "Received"
        case (.happened, _) where kind == .workflow: name
        case (let outcome, 0): outcome.label
        case (.completed, let failed): "Completed after \(failed) failed \(failed == 1 ? "attempt" : "attempts")"
        case (.paused, let failed): "Paused before attempt \(failed + 1)"
        case (.waiting, let failed): "Waits for attempt \(failed + 1)"
        case (.running, let failed): "Running attempt \(failed + 1)"
        case (let outcome, let failed): "\(outcome.label) at attempt \(failed + 1)"
        }
    }

    /// The steps of a history in the order of their first events.
    ///
    /// - Parameter pending: the run's open activities.
    static func steps(of events: [HistoryEvent], pending: [PendingActivity] = []) -> [Step] {
        var steps: [Step] = []
        var places: [Int: Int] = [:]
        for event in events {
            if let place = places[event.leader] {
                steps[place].events.append(event)
            } else {
                places[event.id] = steps.count
                steps.append(Step(kind: event.kind, name: name(of: event), events: [event]))
            }
        }
        let open = Dictionary(pending.map { ($0.activityID, $0) }) { first, _ in first }
        for place in steps.indices where steps[place].kind == .activity && !open.isEmpty {
            guard let id = steps[place].events[0].attributes.text("activityId"), let activity = open[id],
                steps[place].outcome.isOpen
            else { continue }
            steps[place].pending = activity
        }
        return steps
    }

    private static func name(of event: HistoryEvent) -> String {
        switch event.kind {
        case .workflow: String(event.type.dropFirst("WorkflowExecution".count))
        case .workflowTask: event.kind.label
        default: event.subject ?? event.type
        }
    }

    private init(kind: EventKind, name: String, events: [HistoryEvent]) {
        self.kind = kind
        self.name = name
        self.events = events
    }
}
