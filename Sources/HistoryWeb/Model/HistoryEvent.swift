import PerdureModel

extension HistoryEvent {
    /// Nil for what is not an event as the view `history_events` shows it.
    init?(row: JSON) {
        guard let id = row.integer("event_id"), let time = row.time("event_time"), let type = row.text("event_type")
        else { return nil }
        self.init(
            eventId: Int64(id), eventTime: time, eventType: EventType(rawValue: type),
            attributes: row.member("attributes") ?? [:])
    }

    /// The events of a batch as `perdure.get_history` gives it.
    static func inBatch(_ batch: JSON) -> [HistoryEvent] {
        guard let first = batch.integer("firstEventId"), let time = batch.time("eventTime") else { return [] }
        return (batch.member("events")?.elements ?? []).enumerated().map { place, event in
            HistoryEvent(
                eventId: Int64(first + place), eventTime: event.time("eventTime") ?? time,
                eventType: EventType(rawValue: event.text("eventType") ?? "Unreadable"),
                attributes: event.member("attributes") ?? [:])
        }
    }

    var id: Int { Int(eventId) }
    var time: Timestamp { eventTime }
    var type: String { eventType.rawValue }

    /// The name that people gave to what the event is about.
    var subject: String? {
        attributes.member("activityType")?.text("name") ?? attributes.text("timerId") ?? attributes.text("signalName")
            ?? attributes.text("markerName")
            ?? (attributes.member("acceptedRequest") ?? attributes.member("request"))?.member("input")?.text("name")
            ?? attributes.member("meta")?.text("updateId") ?? attributes.member("workflowType")?.text("name")
    }

    /// The event that began what this one goes on with; itself for one that begins something.
    var leader: Int {
        if let id = attributes.integer("scheduledEventId") ?? attributes.integer("initiatedEventId")
            ?? attributes.integer("acceptedEventId")
        {
            return id
        }
        if type == "TimerFired" || type == "TimerCanceled", let id = attributes.integer("startedEventId") { return id }
        return id
    }

    /// Whether a run can go back to right before it.
    var endsWorkflowTask: Bool {
        eventType == .workflowTaskCompleted || eventType == .workflowTaskFailed || eventType == .workflowTaskTimedOut
    }

    var failure: Failure? {
        (attributes.member("failure") ?? attributes.member("outcome")?.member("failure")).map { Failure(shown: $0) }
    }

    /// What the event table can be narrowed down to.
    var kind: EventKind { EventKind(eventType: type) }

    /// The event as Temporal's tools read it.
    var temporalJSON: JSON { TemporalHistory.json(self) }
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
        case when event_type like 'WorkflowTask%' then 'workflowTask'
            when event_type like 'ActivityTask%' then 'activity'
            when event_type like 'Timer%' then 'timer' when event_type = 'WorkflowExecutionSignaled' then 'signal'
            when event_type like 'WorkflowExecutionUpdate%' then 'update'
            when event_type like '%ChildWorkflow%' then 'childWorkflow'
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
