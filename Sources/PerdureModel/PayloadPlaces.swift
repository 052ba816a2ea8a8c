/// Where payloads stand in the attributes of events and commands, and in failures.
package enum PayloadPlaces {
    /// Members that hold `Payloads`.
    static let lists: Set = [
        "input", "result", "details", "lastHeartbeatDetails", "lastCompletionResult", "args", "success",
    ]
    /// Members that hold payloads by name: `Memo` and `Header`.
    static let maps: Set = ["memo", "upsertedMemo", "header"]
    static let singles: Set = ["encodedAttributes"]

    /// Changes all payloads but those of headers, which are for whoever is on the way, and those by which a marker of
    /// an SDK's core says what it is.
    ///
    /// - Parameters:
    ///   - attributes: of an event or a command, or a failure.
    ///   - change: gets the payloads of one place, in their order, and gives back what is to stand there.
    package static func map(
        _ attributes: JSON, _ change: ([Payload]) async throws -> [Payload]
    ) async throws -> JSON {
        guard case .object(let members) = attributes else { return attributes }
        let isOfCore = members["markerName"]?.stringValue?.hasPrefix("core_") ?? false
        var changed = members
        for (name, value) in members where name != "header" {
            switch value {
            case .array(let list) where lists.contains(name) && list.allSatisfy({ $0["encoding"] != nil }):
                changed[name] = try await change([Payload](json: value)).json
            case .array(let list):
                var values: [JSON] = []
                for value in list { values.append(try await map(value, change)) }
                changed[name] = .array(values)
            case .object(let payloads) where maps.contains(name):
                changed[name] = .object(try await mapEach(payloads, change))
            case .object where singles.contains(name):
                changed[name] = try await mapEach(["": value], change)[""]
            case .object(let details) where members["markerName"] != nil && name == "details":
                var lists = details
                for (name, list) in details where !isOfCore || name == "result" {
                    lists[name] = try await change([Payload](json: list)).json
                }
                changed[name] = .object(lists)
            case .object: changed[name] = try await map(value, change)
            default: break
            }
        }
        return .object(changed)
    }

    /// Changes payloads that stand alone, each in a list of its own.
    private static func mapEach(
        _ payloads: JSON.Members, _ change: ([Payload]) async throws -> [Payload]
    ) async throws -> JSON.Members {
        var changed = payloads
        // null takes an entry away.
        for (name, value) in payloads where !value.isNull {
            let alone = try await change([Payload(json: value)])
            guard alone.count == 1, let payload = alone.first else {
                throw PayloadError(reason: "of a payload that stands alone the codec made \(alone.count)")
            }
            changed[name] = payload.json
        }
        return changed
    }
}
