import PerdureModel
import WebCommon

/// What templates show, made from the model. Every template finds `icons` and the like in the page's own values.
enum View {
    static func time(_ time: Timestamp?) -> Any {
        guard let time else { return false }
        return ["iso": time.description, "text": time.readable, "exact": exact(time)] as [String: Any]
    }

    /// How long ago a time was, with the exact one on demand.
    static func ago(_ time: Timestamp?, now: Timestamp) -> Any {
        guard let time else { return false }
        return [
            "iso": time.description, "text": time.readable, "exact": exact(time), "ago": time.ago(now),
        ] as [String: Any]
    }

    /// To the microsecond.
    private static func exact(_ time: Timestamp) -> String {
        time.description.replacing("T", with: " ").replacing("Z", with: "")
    }

    static func status(_ status: Run.Status) -> [String: Any] { ["look": status.look, "label": status.label] }

    /// The status, or what is wrong with an open run.
    static func status(of run: Run, _ verdict: Verdict?) -> [String: Any] {
        guard run.close == nil, let condition = verdict?.condition else { return status(run.status) }
        return ["look": condition.look, "label": condition.label]
    }

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
            case (false, _) where activity.paused != nil: "Paused"
            case (true, 1): "Running"
            case (false, 1): "Waiting"
            case (true, let attempt): "Running attempt \(attempt)"
            case (false, let attempt): "Waits for attempt \(attempt)"
            }
        let isPaused = activity.paused != nil && !activity.isStarted
        return [
            "look": isPaused
                ? "paused" : activity.attempt > 1 ? "retrying" : activity.isStarted ? "running" : "waiting",
            "label": label,
        ]
    }

    /// How a run is, as the first line of its page.
    static func verdict(_ verdict: Verdict?, of run: Run, now: Timestamp) -> Any {
        guard let verdict, !verdict.text.isEmpty else { return false }
        let isCountdown = verdict.before.hasSuffix("in ")
        let isElapsed = verdict.before.hasSuffix("for ")
        let look = verdict.condition?.look ?? (run.close == nil ? "running" : run.status.look)
        let list = "/namespaces/\(run.namespace.segmentOfAddress)/workflows"
        let cause = verdict.condition == nil ? nil : verdict.cause
        return [
            "look": look, "before": verdict.before, "after": verdict.after,
            "until": isCountdown
                ? verdict.time.map { ["iso": $0.description, "text": ($0 - now).readable] } ?? false as Any : false,
            "elapsed": isElapsed
                ? verdict.time.map { ["iso": $0.description, "text": (now - $0).readable] } ?? false as Any : false,
            "moment": isCountdown || isElapsed ? false : time(verdict.time),
            "since": verdict.condition == nil ? false : ago(verdict.since, now: now),
            "cause": cause ?? false as Any,
            "others": cause.map {
                "\(list)?query=\("PerdureCause = \($0.quotedForFilter)".escapedForAddress)"
            } ?? false as Any,
            "step": verdict.event.map { "\(run.path)/events/\($0)" } ?? false as Any,
            "queues": verdict.condition == .noWorker
                ? "/namespaces/\(run.namespace.segmentOfAddress)/queues" : false as Any,
            // What waits for a time behind a failure need not.
            "retry": verdict.failedAttempts > 0 && (verdict.due.map { $0 > now } ?? false)
                ? "\(run.path)/actions/retry" : false as Any,
        ] as [String: Any]
    }

    static func repeats(_ attempts: [FailedAttempt], now: Timestamp) -> Any {
        guard let repeats = Repeats(attempts) else { return false }
        return [
            "text": repeats.text, "first": ago(repeats.first, now: now), "last": ago(repeats.last, now: now),
            "isOne": attempts.count == 1,
        ] as [String: Any]
    }

    /// A failure with its causes; each says whether another one caused it.
    ///
    /// - Parameter isUnfolded: whether its stack traces are open from the start.
    static func failure(_ failure: Failure?, isUnfolded: Bool = false) -> Any {
        guard let failure else { return false }
        let links = failure.chain.prefix(20).enumerated().map { index, link in
            [
                "isCause": index > 0, "message": link.message, "type": link.shownType, "facts": link.facts,
                "stackTrace": link.stackTrace.isEmpty ? false : link.stackTrace as Any,
                "details": payloads(link.details),
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
        let isTree = payload.encoding == "json/plain" && !isLong && fits(payload.data ?? .null, &budget, depth: 0)
        return [
            "encoding": payload.isReadable ? false : payload.encoding, "codecNote": payload.codecNote ?? false as Any,
            "isCut": isLong, "size": text.utf8.count,
            "tree": isTree ? node(payload.data ?? .null, name: nil, depth: 0) : false as Any,
            "text": isTree ? false : String(text.prefix(longest)) as Any,
            // What the copy button takes.
            "raw": isLong || !payload.isReadable ? false : text as Any,
        ]
    }

    private static func fits(_ value: JSON, _ budget: inout Int, depth: Int) -> Bool {
        budget -= 1
        guard budget >= 0, depth < 50 else { return false }
        for element in value.elements where !fits(element, &budget, depth: depth + 1) { return false }
        for member in value.members.values where !fits(member, &budget, depth: depth + 1) { return false }
        return true
    }

    /// A value as a tree that folds. Every node sets every name: a template looks in the parent for what is missing.
    private static func node(_ value: JSON, name: String?, depth: Int) -> [String: Any] {
        var node: [String: Any] = [
            "hasName": name != nil, "name": name ?? "", "isContainer": false, "isOpen": depth < 2,
            "children": [[String: Any]](),
            "left": "", "right": "", "count": "", "value": value.text, "look": "",
        ]
        switch value {
        case .object(let members) where !members.isEmpty:
            node["children"] = members.map { self.node($0.value, name: $0.key, depth: depth + 1) }
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
