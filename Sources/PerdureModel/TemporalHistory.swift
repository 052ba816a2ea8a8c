import Foundation

/// A history as Temporal's tools read and write it: the proto3 JSON of `temporal.api.history.v1.History`.
///
/// Their JSON differs from ours where protobuf does: 64-bit integers are strings, enum values carry their type's name,
/// a payload's data and metadata are base64, and lists and maps of payloads are messages of their own.
public enum TemporalHistory {
    // MARK: - To Temporal's

    /// One event; its place in a history's `events`.
    public static func json(_ event: HistoryEvent) -> JSON {
        let type = event.eventType.rawValue
        var json: JSON = [
            "eventId": .string(String(event.eventId)), "eventTime": .string(event.eventTime.description),
            "eventType": .string("EVENT_TYPE_" + screaming(type)),
            attributesName(type): .object(toTemporal(event.attributes.objectValue ?? [:], in: type)),
        ]
        for (name, value) in event.others.members {
            json[name] =
                name == "userMetadata"
                ? .object((value.objectValue ?? [:]).mapValues(toTemporal(payload:)))
                : toTemporal(name, value, in: type)
        }
        return json
    }

    private static func attributesName(_ eventType: String) -> String {
        eventType.prefix(1).lowercased() + eventType.dropFirst() + "EventAttributes"
    }

    private static func toTemporal(_ members: JSON.Members, in eventType: String) -> JSON.Members {
        var result: JSON.Members = [:]
        for (name, value) in members where name != typesName {
            // No value is no payload: Temporal's replayer takes a list without any for a mistake.
            if value == [], PayloadPlaces.lists.contains(name), name != "success" { continue }
            result[name] =
                name == attributesOfSearch
                ? toTemporal(searchAttributes: value, types: members[typesName])
                : toTemporal(name, value, in: eventType)
        }
        return result
    }

    private static func toTemporal(_ name: String, _ value: JSON, in eventType: String) -> JSON {
        switch value {
        case .number(let digits) where isInt64(name): return .string(digits)
        case .string(let text):
            return enumPrefix(name, in: eventType).map { .string($0 + screaming(text)) } ?? value
        case .array(let list):
            if PayloadPlaces.lists.contains(name) { return ["payloads": .array(list.map(toTemporal(payload:)))] }
            return .array(list.map { toTemporal(name, $0, in: eventType) })
        case .object(let members):
            if PayloadPlaces.maps.contains(name) {
                return members.isEmpty ? [:] : ["fields": .object(members.mapValues(toTemporal(payload:)))]
            }
            if PayloadPlaces.singles.contains(name) { return toTemporal(payload: value) }
            if name == "details", eventType == "MarkerRecorded" {
                return .object(members.mapValues { toTemporal("input", $0, in: eventType) })
            }
            return .object(toTemporal(members, in: eventType))
        default: return value
        }
    }

    private static func toTemporal(searchAttributes: JSON, types: JSON?) -> JSON {
        let fields = (searchAttributes.objectValue ?? [:]).map { name, value in
            var payload = toTemporal(payload: (value.isNull ? .null : Payload(plain: value)).json)
            if let type = types?[name]?.stringValue, var metadata = payload["metadata"] {
                metadata["type"] = .string(base64(type))
                payload["metadata"] = metadata
            }
            return (name, payload)
        }
        return fields.isEmpty ? [:] : ["indexedFields": .object(JSON.Members(fields) { $1 })]
    }

    static func toTemporal(payload value: JSON) -> JSON {
        guard let encoding = value["encoding"]?.stringValue else { return value }
        var result = value
        result["encoding"] = nil
        var metadata = (value["metadata"]?.objectValue ?? [:]).mapValues { value -> JSON in
            value["base64"] ?? .string(base64(value.stringValue ?? ""))
        }
        if !encoding.isEmpty {
            metadata["encoding"] = .string(base64(encoding == "json/base64" ? "json/plain" : encoding))
        }
        result["metadata"] = .object(metadata)
        if encoding == "json/plain" {
            result["data"] = .string(Data((value["data"] ?? .null).text.utf8).base64EncodedString())
        }
        return result
    }

    // MARK: - From Temporal's

    /// Reads the events of a history: `{"events": […]}`, as Temporal's tools export it.
    public static func events(_ history: JSON) throws(HistoryFormatError) -> [HistoryEvent] {
        guard let events = history["events"]?.arrayValue ?? history.arrayValue else {
            throw HistoryFormatError(reason: "Temporal's JSON has an array of events")
        }
        var result: [HistoryEvent] = []
        for event in events { result.append(try self.event(event)) }
        return result
    }

    private static func event(_ json: JSON) throws(HistoryFormatError) -> HistoryEvent {
        guard let id = json["eventId"].flatMap({ $0.stringValue.flatMap { Int64($0) } ?? $0.int64Value }) else {
            throw HistoryFormatError(reason: "an event has an eventId")
        }
        guard let type = json["eventType"]?.stringValue.map({ pascal($0, without: "EVENT_TYPE_") }) else {
            throw HistoryFormatError(reason: "event \(id) has no eventType")
        }
        guard let time = json["eventTime"]?.stringValue.flatMap({ Timestamp($0) }) else {
            throw HistoryFormatError(reason: "event \(id) has no eventTime")
        }
        let attributes = json[attributesName(type)]?.objectValue ?? [:]
        var others = json.objectValue ?? [:]
        for name in ["eventId", "eventTime", "eventType", attributesName(type)] { others[name] = nil }
        for (name, value) in others {
            others[name] =
                name == "userMetadata"
                ? .object((value.objectValue ?? [:]).mapValues(fromTemporal(payload:)))
                : fromTemporal(name, value, in: type)
        }
        return HistoryEvent(
            eventId: id, eventTime: time, eventType: EventType(rawValue: type),
            attributes: .object(fromTemporal(attributes, in: type)), others: .object(others))
    }

    private static func fromTemporal(_ members: JSON.Members, in eventType: String) -> JSON.Members {
        var result: JSON.Members = [:]
        for (name, value) in members {
            guard name == attributesOfSearch else {
                result[name] = fromTemporal(name, value, in: eventType)
                continue
            }
            let fields = (value["indexedFields"]?.objectValue ?? [:]).mapValues(fromTemporal(payload:))
            result[name] = .object(fields.mapValues { $0["data"] ?? .null })
            let types = fields.compactMapValues { $0["metadata"]?["type"] }
            if !types.isEmpty { result[typesName] = .object(types) }
        }
        return result
    }

    private static func fromTemporal(_ name: String, _ value: JSON, in eventType: String) -> JSON {
        switch value {
        case .string(let text):
            if isInt64(name), Int64(text) != nil { return .number(text) }
            return enumPrefix(name, in: eventType).map { .string(pascal(text, without: $0)) } ?? value
        case .array(let list): return .array(list.map { fromTemporal(name, $0, in: eventType) })
        case .object(let members):
            if name == "details", eventType == "MarkerRecorded" {
                return .object(members.mapValues { fromTemporal("input", $0, in: eventType) })
            }
            if PayloadPlaces.lists.contains(name), members.keys.allSatisfy({ $0 == "payloads" }) {
                return .array((members["payloads"]?.arrayValue ?? []).map(fromTemporal(payload:)))
            }
            if PayloadPlaces.maps.contains(name) {
                return .object((members["fields"]?.objectValue ?? [:]).mapValues(fromTemporal(payload:)))
            }
            if PayloadPlaces.singles.contains(name) { return fromTemporal(payload: value) }
            return .object(fromTemporal(members, in: eventType))
        default: return value
        }
    }

    static func fromTemporal(payload value: JSON) -> JSON {
        func bytes(_ value: JSON?) -> [UInt8] {
            value?.stringValue.flatMap { Data(base64Encoded: $0) }.map(Array.init) ?? []
        }
        var metadata = value["metadata"]?.objectValue ?? [:]
        let encoding = metadata.removeValue(forKey: "encoding").map { String(decoding: bytes($0), as: UTF8.self) } ?? ""
        var result = value
        if encoding == "json/plain" {
            let data = bytes(value["data"])
            let payload =
                (try? JSON(parsing: data)).map(Payload.init(plain:)) ?? Payload(encoding: "json/base64", bytes: data)
            result["encoding"] = .string(payload.encoding)
            result["data"] = payload.data
        } else {
            result["encoding"] = .string(encoding)
        }
        result["metadata"] =
            metadata.isEmpty
            ? nil
            : .object(
                metadata.mapValues { value in
                    String(validating: bytes(value), as: UTF8.self).map(JSON.string) ?? ["base64": value]
                })
        return result
    }

    private static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    // MARK: - Names

    private static let attributesOfSearch = "searchAttributes"
    /// The types of search attributes, beside their plain values.
    private static let typesName = "searchAttributeTypes"
    private static func isInt64(_ member: String) -> Bool {
        member.hasSuffix("EventId") || member == "historySizeBytes" || member == "eventId"
    }

    /// The enums of Temporal's public API that occur in events, by the name of the member that holds them.
    private static func enumPrefix(_ member: String, in eventType: String) -> String? {
        switch member {
        case "kind": "TASK_QUEUE_KIND_"
        case "retryState": "RETRY_STATE_"
        case "timeoutType": "TIMEOUT_TYPE_"
        case "category": "APPLICATION_ERROR_CATEGORY_"
        case "parentClosePolicy": "PARENT_CLOSE_POLICY_"
        case "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_"
        case "initiator": "CONTINUE_AS_NEW_INITIATOR_"
        case "suggestContinueAsNewReasons": "SUGGEST_CONTINUE_AS_NEW_REASON_"
        case "versioningBehavior": "VERSIONING_BEHAVIOR_"
        case "origin": "UPDATE_ADMITTED_EVENT_ORIGIN_"
        case "eventType": "EVENT_TYPE_"
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

    /// `TIMEOUT_TYPE_START_TO_CLOSE` as `StartToClose`. What is written so already, as older tools do, stays.
    private static func pascal(_ screaming: String, without prefix: String) -> String {
        guard screaming.hasPrefix(prefix) else { return screaming }
        return screaming.dropFirst(prefix.count).split(separator: "_")
            .map { $0.prefix(1) + $0.dropFirst().lowercased() }.joined()
    }
}
