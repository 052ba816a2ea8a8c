/// One event of a run's history.
public struct HistoryEvent: Sendable, Hashable {
    /// 1 for the first event of a run; without gaps.
    public var eventId: Int64
    public var eventTime: Timestamp
    public var eventType: EventType
    /// An object, with the names of Temporal's public API.
    public var attributes: JSON
    /// An object of what stands beside the attributes: `userMetadata`, `links`, `eventGroupMarkers`.
    public var others: JSON

    public init(
        eventId: Int64, eventTime: Timestamp, eventType: EventType, attributes: JSON = [:], others: JSON = [:]
    ) {
        self.eventId = eventId
        self.eventTime = eventTime
        self.eventType = eventType
        self.attributes = attributes
        self.others = others
    }
}

extension [HistoryEvent] {
    /// Reads the wire form of a history, which is an array of batches: an event's id is its batch's first id plus
    /// its place, its time the batch's unless it has its own. Of an event as it is stored, with `given` in place of
    /// `attributes`, what a run can see of the others is put back.
    public init(wire: JSON) throws(HistoryFormatError) {
        guard let batches = wire.arrayValue else {
            throw HistoryFormatError(reason: "a history is an array of batches")
        }
        self = []
        for batch in batches {
            guard let first = batch["firstEventId"]?.int64Value, let events = batch["events"]?.arrayValue,
                let time = batch["eventTime"]?.stringValue.flatMap({ Timestamp($0) })
            else { throw HistoryFormatError(reason: "a batch has firstEventId, eventTime and events") }
            for (place, event) in events.enumerated() {
                let id = first + Int64(place)
                guard let type = event["eventType"]?.stringValue.map(EventType.init(rawValue:)) else {
                    throw HistoryFormatError(reason: "event \(id) has no eventType")
                }
                let attributes =
                    event["attributes"] ?? .object(Self.whole(event["given"]?.members ?? [:], type, id))
                append(
                    HistoryEvent(
                        eventId: id, eventTime: event["eventTime"]?.stringValue.flatMap { Timestamp($0) } ?? time,
                        eventType: type, attributes: attributes,
                        others: Self.others(event.members)))
            }
        }
    }

    private static func others(_ members: JSON.Members) -> JSON {
        func isOwn(_ name: String) -> Bool {
            switch name {
            case "eventType", "given", "attributes", "eventTime", "eventId": true
            default: false
            }
        }
        return members.keys.allSatisfy(isOwn) ? [:] : .object(members.filter { !isOwn($0.key) })
    }

    /// Puts back attributes that are not stored because they follow from the rest, by the rules of
    /// `perdure.whole_event`: those that decide how a run goes on, or that its code can ask for.
    private static func whole(_ given: JSON.Members, _ type: EventType, _ id: Int64) -> JSON.Members {
        var attributes = given
        func add(_ name: String, _ value: JSON) {
            if attributes[name] == nil { attributes[name] = value }
        }
        switch type {
        case .workflowExecutionStarted: add("workflowTaskTimeout", "10s")
        case .activityTaskStarted: add("scheduledEventId", .number(id - 1))
        case .activityTaskCompleted:
            add("scheduledEventId", .number(id - 2))
            add("startedEventId", .number(id - 1))
        default: break
        }
        return attributes
    }

    /// The wire form, one batch an event.
    public var wire: JSON {
        .array(
            map { event in
                [
                    "firstEventId": .number(event.eventId), "eventTime": .string(event.eventTime.description),
                    "events": [
                        .object(
                            event.others.members.merging([
                                "eventType": .string(event.eventType.rawValue), "attributes": event.attributes,
                            ]) { $1 })
                    ],
                ]
            })
    }
}

/// JSON that is not a history.
public struct HistoryFormatError: Error, Sendable, Hashable, CustomStringConvertible {
    public let reason: String
    public init(reason: String) { self.reason = reason }
    public var description: String { "not a history: \(reason)" }
}

/// What a workflow task asks of the engine.
public struct Command: Sendable, Hashable {
    public var commandType: CommandType
    /// An object, with the names of Temporal's public API.
    public var attributes: JSON
    /// What it says of an update, if it is a `ProtocolMessage`.
    public var message: UpdateMessage?
    /// Notes for people, payloads by name: `temporal.api.sdk.v1.UserMetadata`.
    public var userMetadata: JSON?

    public init(commandType: CommandType, attributes: JSON = [:]) {
        self.commandType = commandType
        self.attributes = attributes
    }

    /// The wire form.
    public var json: JSON {
        var json: JSON = ["commandType": .string(commandType.rawValue), "attributes": attributes]
        json["userMetadata"] = userMetadata
        return json
    }
}
