import PerdureEngine

// Which event is what came of which command: how a replay compares what code decides with what it decided before.

extension Command {
    /// Whether an event is what this command makes.
    func made(_ event: HistoryEvent) -> Bool {
        func same(_ key: String) -> Bool { attributes[key] == event.attributes[key] }
        func sameName(_ key: String) -> Bool { attributes[key]?["name"] == event.attributes[key]?["name"] }
        return switch (commandType, event.eventType) {
        case (.scheduleActivityTask, .activityTaskScheduled): same("activityId") && sameName("activityType")
        case (.requestCancelActivityTask, .activityTaskCancelRequested): same("scheduledEventId")
        case (.startTimer, .timerStarted), (.cancelTimer, .timerCanceled): same("timerId")
        case (.recordMarker, .markerRecorded):
            same("markerName") && PatchMarker(attributes)?.id == PatchMarker(event.attributes)?.id
        case (.upsertWorkflowSearchAttributes, .upsertWorkflowSearchAttributes),
            (.modifyWorkflowProperties, .workflowPropertiesModified),
            (.completeWorkflowExecution, .workflowExecutionCompleted),
            (.failWorkflowExecution, .workflowExecutionFailed),
            (.cancelWorkflowExecution, .workflowExecutionCanceled):
            true
        default: false
        }
    }

    /// For people: what was decided, as `ScheduleActivityTask (pay, id 1)`.
    var summary: String { summarize(commandType.rawValue, attributes) }
}

extension HistoryEvent {
    /// For people: what happened, as `ActivityTaskScheduled (pay, id 1)`.
    var summary: String { summarize(eventType.rawValue, attributes) }

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

    /// Whether this is how an activity ended.
    var endsActivity: Bool {
        switch eventType {
        case .activityTaskCompleted, .activityTaskFailed, .activityTaskTimedOut, .activityTaskCanceled: true
        default: false
        }
    }
}

private func summarize(_ name: String, _ attributes: JSON) -> String {
    let parts = [
        attributes["activityType"]?["name"]?.stringValue, attributes["activityId"]?.stringValue.map { "id \($0)" },
        attributes["timerId"]?.stringValue.map { "id \($0)" },
        PatchMarker(attributes).map { "patch \($0.id)" } ?? attributes["markerName"]?.stringValue,
        attributes["scheduledEventId"]?.int64Value.map { "of event \($0)" },
    ].compactMap { $0 }
    return parts.isEmpty ? name : "\(name) (\(parts.joined(separator: ", ")))"
}

/// The marker by which a run remembers that it took a patch. Its form is that of Temporal's core.
struct PatchMarker {
    let id: String
    let isDeprecated: Bool

    private static let name = "core_patch"

    init(id: String, isDeprecated: Bool) {
        self.id = id
        self.isDeprecated = isDeprecated
    }

    /// - Returns: nil for another marker, or no marker.
    init?(_ attributes: JSON) {
        guard attributes["markerName"]?.stringValue == Self.name,
            let data = attributes["details"]?["patch-data"]?[0]?["data"], let id = data["id"]?.stringValue
        else { return nil }
        self.init(id: id, isDeprecated: data["deprecated"]?.boolValue ?? false)
    }

    var command: Command {
        let data = Payload(plain: ["id": .string(id), "deprecated": .bool(isDeprecated)])
        return Command(
            commandType: .recordMarker,
            attributes: ["markerName": .string(Self.name), "details": ["patch-data": [data].json]])
    }
}
