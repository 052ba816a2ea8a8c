import WebCommon

/// One event of a history.
struct HistoryEvent: Sendable, Hashable {
    let id: Int
    let time: Instant
    /// Temporal's name without the prefix, `ActivityTaskScheduled` for example.
    let type: String
    let attributes: JSONValue

    /// Nil for what is not an event as the view `history_events` shows it.
    init?(_ row: JSONValue) {
        guard let id = row.integer("event_id"), let time = row.time("event_time"), let type = row.text("event_type")
        else {
            return nil
        }
        self.init(id: id, time: time, type: type, attributes: row.member("attributes") ?? .object([]))
    }

    init(id: Int, time: Instant, type: String, attributes: JSONValue) {
        self.id = id
        self.time = time
        self.type = type
        self.attributes = attributes
    }

    /// The name that people gave to what the event is about.
    var subject: String? {
        attributes.member("activityType")?.text("name") ?? attributes.text("timerId") ?? attributes.text("signalName")
            ?? attributes.text("markerName") ?? attributes.member("workflowType")?.text("name")
    }

    /// The event that began what this one goes on with; itself for one that begins something.
    var leader: Int {
        if let id = attributes.integer("scheduledEventId") ?? attributes.integer("initiatedEventId") { return id }
        if type == "TimerFired" || type == "TimerCanceled", let id = attributes.integer("startedEventId") { return id }
        return id
    }

    var failure: Failure? { attributes.member("failure").map { Failure($0) } }

    /// What the event table can be narrowed down to.
    var kind: EventKind { EventKind(eventType: type) }
}

/// What an event, or the events of one step, is about.
enum EventKind: String, CaseIterable, Sendable {
    case workflow, workflowTask, activity, timer, signal, childWorkflow, update, other

    init(eventType: String) {
        self =
            switch eventType {
            case _ where eventType.hasPrefix("WorkflowTask"): .workflowTask
            case _ where eventType.hasPrefix("ActivityTask"): .activity
            case _ where eventType.hasPrefix("Timer"): .timer
            case "WorkflowExecutionSignaled": .signal
            case _ where eventType.hasPrefix("WorkflowExecutionUpdate"): .update
            case _ where eventType.contains("ChildWorkflow"): .childWorkflow
            case _ where eventType.hasPrefix("WorkflowExecution"): .workflow
            default: .other
            }
    }

    /// The same in SQL, for rows of the view `history_events`.
    static let ofEventType = """
        case when event_type like 'WorkflowTask%' then 'workflowTask' when event_type like 'ActivityTask%' then 'activity'
            when event_type like 'Timer%' then 'timer' when event_type = 'WorkflowExecutionSignaled' then 'signal'
            when event_type like 'WorkflowExecutionUpdate%' then 'update' when event_type like '%ChildWorkflow%' then 'childWorkflow'
            when event_type like 'WorkflowExecution%' then 'workflow' else 'other' end
        """

    var label: String {
        switch self {
        case .workflow: "Workflow"
        case .workflowTask: "Workflow task"
        case .activity: "Activity"
        case .timer: "Timer"
        case .signal: "Signal"
        case .childWorkflow: "Child workflow"
        case .update: "Update"
        case .other: "Other"
        }
    }
}

/// A failure with its causes, outermost first.
struct Failure: Sendable, Hashable {
    struct Link: Sendable, Hashable {
        let message: String
        let type: String?
        let stackTrace: String?
        /// What else is known: retry state, timeout type, whether it may be retried.
        let facts: [String]
        let details: [Payload]
    }

    let chain: [Link]

    init(_ value: JSONValue) {
        var chain: [Link] = []
        var next: JSONValue? = value
        // A hostile or broken chain must not take the page down.
        while let failure = next, chain.count < 20 {
            chain.append(Link(failure))
            next = failure.member("cause")
        }
        self.chain = chain
    }

    var message: String { chain[0].message }

    /// What went wrong in the end: the innermost cause.
    var root: Link { chain[chain.count - 1] }
}

extension Failure.Link {
    fileprivate init(_ failure: JSONValue) {
        let info = failure.members.first { $0.name.hasSuffix("FailureInfo") }
        let kind = info.map { String($0.name.dropLast("FailureInfo".count)) }
        let attributes = info?.value ?? .object([])
        var facts: [String] = []
        if attributes.flag("nonRetryable") { facts.append("not retryable") }
        if let type = attributes.text("timeoutType") { facts.append("timeout: \(type)") }
        if let state = attributes.text("retryState") { facts.append("retry state: \(state)") }
        if let id = attributes.text("activityId") { facts.append("activity \(id)") }
        if let identity = attributes.text("identity") { facts.append("worker \(identity)") }
        let details = attributes.member("details") ?? attributes.member("lastHeartbeatDetails")
        self.init(
            message: failure.text("message") ?? "no message",
            type: attributes.text("type") ?? attributes.member("activityType")?.text("name") ?? kind,
            stackTrace: failure.text("stackTrace").flatMap { $0.isEmpty ? nil : $0 },
            facts: facts,
            details: Payload.list(details))
    }
}
