import Foundation
import WebCommon

/// A history as Temporal's tools read and write it: the proto3 JSON of `temporal.api.history.v1.History`.
///
/// Their JSON differs from ours where protobuf does: 64-bit integers are strings, enum values carry their type's name,
/// a payload's data and metadata are base64, and a list of payloads is a message of its own.
enum TemporalHistory {
    /// One event; its place in a history's `events`.
    static func json(_ event: HistoryEvent) -> JSONValue {
        let name = event.type.prefix(1).lowercased() + event.type.dropFirst() + "EventAttributes"
        return [
            "eventId": .string(String(event.id)),
            "eventTime": .string(event.time.rfc3339),
            "eventType": .string("EVENT_TYPE_" + screaming(event.type)),
            name: .object(event.attributes.members.map { convert($0, in: event.type) }),
        ]
    }

    private static func convert(_ member: JSONValue.Member, in eventType: String) -> JSONValue.Member {
        func with(_ value: JSONValue) -> JSONValue.Member { .init(name: member.name, value: value) }
        switch (member.name, member.value) {
        case (_, .number(let digits)) where member.name.hasSuffix("EventId"): return with(.string(digits))
        case (_, .string(let value)):
            guard let prefix = enumPrefix(member.name, in: eventType) else { return member }
            return with(.string(prefix + screaming(value)))
        case ("input", .array(let payloads)), ("result", .array(let payloads)), ("details", .array(let payloads)),
            ("lastHeartbeatDetails", .array(let payloads)), ("lastCompletionResult", .array(let payloads)):
            return with(["payloads": .array(payloads.map(payload))])
        case ("details", .object(let lists)) where eventType == "MarkerRecorded":
            return with(
                .object(lists.map { .init(name: $0.name, value: ["payloads": .array($0.value.elements.map(payload))]) })
            )
        case ("memo", .object(let fields)), ("upsertedMemo", .object(let fields)), ("header", .object(let fields)):
            return with(["fields": .object(fields.map { .init(name: $0.name, value: payload($0.value)) })])
        case ("searchAttributes", .object(let fields)):
            let payloads = fields.map { field in
                JSONValue.Member(name: field.name, value: payload(["encoding": "json/plain", "data": field.value]))
            }
            return with(["indexedFields": .object(payloads)])
        case (_, .object(let members)): return with(.object(members.map { convert($0, in: eventType) }))
        default: return member
        }
    }

    private static func payload(_ value: JSONValue) -> JSONValue {
        guard let payload = Payload(value) else { return value }
        let encoding = Data(payload.encoding.utf8).base64EncodedString()
        var members: [JSONValue.Member] = [.init(name: "metadata", value: ["encoding": .string(encoding)])]
        switch payload.encoding {
        case "binary/null": break
        case "json/plain":
            members.append(.init(name: "data", value: .string(Data(payload.data.text.utf8).base64EncodedString())))
        default: members.append(.init(name: "data", value: payload.data))
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
    static func screaming(_ pascal: String) -> String {
        var text = ""
        for character in pascal {
            if character.isUppercase, !text.isEmpty { text += "_" }
            text += character.uppercased()
        }
        return text
    }
}
