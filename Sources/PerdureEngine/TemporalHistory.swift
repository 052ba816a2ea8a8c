import Foundation

/// A history as Temporal's tools read and write it: the proto3 JSON of `temporal.api.history.v1.History`.
///
/// Their JSON differs from ours where protobuf does: 64-bit integers are strings, enum values carry their type's name,
/// a payload's data and metadata are base64, and a list of payloads is a message of its own.
public enum TemporalHistory {
    /// One event; its place in a history's `events`.
    public static func json(_ event: HistoryEvent) -> JSON {
        let type = event.eventType.rawValue
        let name = type.prefix(1).lowercased() + type.dropFirst() + "EventAttributes"
        return [
            "eventId": .string(String(event.eventId)), "eventTime": .string(event.eventTime.description),
            "eventType": .string("EVENT_TYPE_" + screaming(type)),
            name: .object(convert(event.attributes.objectValue ?? [:], in: type)),
        ]
    }

    private static func convert(_ members: [String: JSON], in eventType: String) -> [String: JSON] {
        Dictionary(uniqueKeysWithValues: members.map { ($0.key, convert($0.key, $0.value, in: eventType)) })
    }

    private static func convert(_ name: String, _ value: JSON, in eventType: String) -> JSON {
        switch (name, value) {
        case (_, .number(let digits)) where name.hasSuffix("EventId"): .string(digits)
        case (_, .string(let text)): enumPrefix(name, in: eventType).map { .string($0 + screaming(text)) } ?? value
        case ("input", .array(let list)), ("result", .array(let list)), ("details", .array(let list)),
            ("lastHeartbeatDetails", .array(let list)), ("lastCompletionResult", .array(let list)):
            ["payloads": .array(list.map(payload))]
        case ("details", .object(let lists)) where eventType == "MarkerRecorded":
            .object(lists.mapValues { ["payloads": .array(($0.arrayValue ?? []).map(payload))] })
        case ("memo", .object(let fields)), ("upsertedMemo", .object(let fields)), ("header", .object(let fields)):
            ["fields": .object(fields.mapValues(payload))]
        case ("searchAttributes", .object(let fields)):
            ["indexedFields": .object(fields.mapValues { payload(Payload(plain: $0).json) })]
        case (_, .object(let members)): .object(convert(members, in: eventType))
        default: value
        }
    }

    private static func payload(_ value: JSON) -> JSON {
        guard let payload = try? Payload(json: value) else { return value }
        var members: [String: JSON] = [
            "metadata": ["encoding": .string(Data(payload.encoding.utf8).base64EncodedString())]
        ]
        switch payload.encoding {
        case "binary/null": break
        case "json/plain": members["data"] = .string(Data((payload.data ?? .null).bytes).base64EncodedString())
        default: members["data"] = payload.data
        }
        return .object(members)
    }

    /// The enums of Temporal's public API that occur in events, by the name of the member that holds them.
    private static func enumPrefix(_ member: String, in eventType: String) -> String? {
        switch member {
        case "kind": "TASK_QUEUE_KIND_"
        case "retryState": "RETRY_STATE_"
        case "timeoutType": "TIMEOUT_TYPE_"
        case "parentClosePolicy": "PARENT_CLOSE_POLICY_"
        case "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_"
        case "initiator": "CONTINUE_AS_NEW_INITIATOR_"
        case "cause" where eventType == "WorkflowTaskFailed": "WORKFLOW_TASK_FAILED_CAUSE_"
        case "cause" where eventType.hasPrefix("StartChildWorkflow"): "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_"
        case "cause" where eventType.contains("External"):
            eventType.hasPrefix("Signal")
                ? "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"
                : "CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"
        default: nil
        }
    }

    /// `StartToClose` as `START_TO_CLOSE`.
    private static func screaming(_ pascal: String) -> String {
        var text = ""
        for character in pascal {
            if character.isUppercase, !text.isEmpty { text += "_" }
            text += character.uppercased()
        }
        return text
    }
}
