import WebCommon

/// What templates show, made from the model. Every template finds `icons` and the like in the page's own values.
enum View {
    static func time(_ time: Instant?) -> Any {
        guard let time else { return false }
        return ["iso": time.rfc3339, "text": time.readable] as [String: Any]
    }

    static func status(_ status: Run.Status) -> [String: Any] { ["look": status.look, "label": status.label] }

    static func outcome(_ step: Step) -> [String: Any] {
        let late = step.outcome == .completed && step.failedAttempts > 0
        let retrying = (step.outcome == .waiting || step.outcome == .running) && step.failedAttempts > 0
        return [
            "look": late ? "completed-late" : retrying ? "retrying" : step.outcome.rawValue, "label": step.outcomeText,
        ]
    }

    static func state(_ activity: PendingActivity) -> [String: Any] {
        let label =
            switch (activity.isStarted, activity.attempt) {
            case (true, 1): "Running"
            case (false, 1): "Waiting"
            case (true, let attempt): "Running attempt \(attempt)"
            case (false, let attempt): "Waits for attempt \(attempt)"
            }
        return ["look": activity.attempt > 1 ? "retrying" : activity.isStarted ? "running" : "waiting", "label": label]
    }

    /// A failure with its causes; each says whether another one caused it.
    ///
    /// - Parameter isUnfolded: whether its stack traces are open from the start.
    static func failure(_ failure: Failure?, isUnfolded: Bool = false) -> Any {
        guard let failure else { return false }
        let links = failure.chain.enumerated().map { index, link in
            [
                "isCause": index > 0, "message": link.message, "type": link.type ?? false, "facts": link.facts,
                "stackTrace": link.stackTrace ?? false, "details": payloads(link.details),
            ] as [String: Any]
        }
        return ["chain": links, "isUnfolded": isUnfolded] as [String: Any]
    }

    static func payloads(_ payloads: [Payload]) -> [[String: Any]] { payloads.map(payload) }

    /// The longest text of a payload that a page shows, in characters; a download has the rest.
    private static let longest = 64 * 1024

    static func payload(_ payload: Payload) -> [String: Any] {
        let text = payload.text
        let isLong = text.utf8.count > longest
        var budget = 2000
        let isTree = payload.encoding == "json/plain" && !isLong && fits(payload.data, &budget)
        return [
            "encoding": payload.isReadable ? false : payload.encoding, "isCut": isLong, "size": text.utf8.count,
            "tree": isTree ? node(payload.data, name: nil, depth: 0) : false as Any,
            "text": isTree ? false : String(text.prefix(longest)) as Any,
            // What the copy button takes.
            "raw": isLong || !payload.isReadable ? false : text as Any,
        ]
    }

    private static func fits(_ value: JSONValue, _ budget: inout Int) -> Bool {
        budget -= 1
        guard budget >= 0 else { return false }
        for element in value.elements where !fits(element, &budget) { return false }
        for member in value.members where !fits(member.value, &budget) { return false }
        return true
    }

    /// A value as a tree that folds. Every node sets every name: a template looks in the parent for what is missing.
    private static func node(_ value: JSONValue, name: String?, depth: Int) -> [String: Any] {
        var node: [String: Any] = [
            "hasName": name != nil, "name": name ?? "", "isContainer": false, "isOpen": depth < 2,
            "children": [[String: Any]](),
            "left": "", "right": "", "count": "", "value": value.text, "look": "",
        ]
        switch value {
        case .object(let members) where !members.isEmpty:
            node["children"] = members.map { self.node($0.value, name: $0.name, depth: depth + 1) }
            node["count"] = members.count == 1 ? "1 member" : "\(members.count) members"
            node["left"] = "{"
            node["right"] = "}"
            node["isContainer"] = true
        case .array(let values) where !values.isEmpty:
            node["children"] = values.map { self.node($0, name: nil, depth: depth + 1) }
            node["count"] = values.count == 1 ? "1 element" : "\(values.count) elements"
            node["left"] = "["
            node["right"] = "]"
            node["isContainer"] = true
        case .string: node["look"] = "string"
        case .number: node["look"] = "number"
        default: node["look"] = "word"
        }
        return node
    }
}
