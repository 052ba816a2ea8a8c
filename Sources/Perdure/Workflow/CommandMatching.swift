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
        case (.startChildWorkflowExecution, .startChildWorkflowExecutionInitiated):
            same("workflowId") && sameName("workflowType")
        case (.signalExternalWorkflowExecution, .signalExternalWorkflowExecutionInitiated):
            same("signalName")
                && attributes["execution"]?["workflowId"] == event.attributes["workflowExecution"]?["workflowId"]
        case (.requestCancelExternalWorkflowExecution, .requestCancelExternalWorkflowExecutionInitiated):
            attributes["workflowId"] == event.attributes["workflowExecution"]?["workflowId"]
        case (.recordMarker, .markerRecorded):
            same("markerName") && PatchMarker(attributes)?.id == PatchMarker(event.attributes)?.id
                && LocalActivityMarker.identity(attributes) == LocalActivityMarker.identity(event.attributes)
        case (.protocolMessage, .workflowExecutionUpdateAccepted):
            isMessage(of: event.attributes["protocolInstanceId"]) && message?.isResponse == false
        case (.protocolMessage, .workflowExecutionUpdateCompleted):
            isMessage(of: event.attributes["meta"]?["updateId"]) && message?.isResponse == true
        case (.upsertWorkflowSearchAttributes, .upsertWorkflowSearchAttributes),
            (.modifyWorkflowProperties, .workflowPropertiesModified),
            (.completeWorkflowExecution, .workflowExecutionCompleted),
            (.failWorkflowExecution, .workflowExecutionFailed),
            (.cancelWorkflowExecution, .workflowExecutionCanceled):
            true
        case (.continueAsNewWorkflowExecution, .workflowExecutionContinuedAsNew): sameName("workflowType")
        default: false
        }
    }

    private func isMessage(of updateID: JSON?) -> Bool { message.map { .string($0.updateID) == updateID } ?? false }

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
            .workflowExecutionUpdateAccepted, .workflowExecutionUpdateCompleted,
            .upsertWorkflowSearchAttributes, .workflowPropertiesModified, .workflowExecutionCompleted,
            .workflowExecutionFailed, .workflowExecutionCanceled, .workflowExecutionContinuedAsNew,
            .startChildWorkflowExecutionInitiated,
            .signalExternalWorkflowExecutionInitiated, .requestCancelExternalWorkflowExecutionInitiated:
            true
        default: false
        }
    }

    /// Whether this does no more than to tell of the patches that the run has taken.
    var upsertsChangeVersion: Bool {
        eventType == .upsertWorkflowSearchAttributes
            && attributes["searchAttributes"]?.objectValue?.keys.elementsEqual([PatchMarker.searchAttribute]) == true
    }

    /// Whether this is how an activity ended.
    var endsActivity: Bool {
        switch eventType {
        case .activityTaskCompleted, .activityTaskFailed, .activityTaskTimedOut, .activityTaskCanceled: true
        default: false
        }
    }
}

private func updateSummary(_ attributes: JSON) -> String? {
    let update = attributes["protocolInstanceId"] ?? attributes["meta"]?["updateId"]
    return attributes["messageId"]?.stringValue ?? update?.stringValue.map { "update \($0)" }
}

private func summarize(_ name: String, _ attributes: JSON) -> String {
    let parts = [
        attributes["activityType"]?["name"]?.stringValue, attributes["activityId"]?.stringValue.map { "id \($0)" },
        attributes["timerId"]?.stringValue.map { "id \($0)" }, attributes["signalName"]?.stringValue,
        attributes["workflowType"]?["name"]?.stringValue,
        (attributes["workflowId"] ?? attributes["workflowExecution"]?["workflowId"]
            ?? attributes["execution"]?["workflowId"])?.stringValue.map { "id \($0)" },
        updateSummary(attributes),
        PatchMarker(attributes).map { "patch \($0.id)" }
            ?? LocalActivityMarker.identity(attributes).map { "local activity \($0)" }
            ?? attributes["markerName"]?.stringValue,
        attributes["scheduledEventId"]?.int64Value.map { "of event \($0)" },
    ].compactMap { $0 }
    return parts.isEmpty ? name : "\(name) (\(parts.joined(separator: ", ")))"
}

/// The marker by which a run remembers that it took a patch. Its form is that of Temporal's core.
struct PatchMarker {
    let id: String
    let isDeprecated: Bool

    private static let name = "core_patch"
    static let searchAttribute = "TemporalChangeVersion"

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

extension UpdateMessage {
    fileprivate var isResponse: Bool {
        if case .response = kind { true } else { false }
    }
}
