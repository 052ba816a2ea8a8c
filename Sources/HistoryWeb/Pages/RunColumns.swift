import HTTPTypes
import PerdureModel
import WebCommon

/// The columns of the list of runs: which, in what order. The address says it, else a cookie remembers it.
struct RunColumns {
    private static let known = [
        ("status", "Status"), ("id", "Workflow id"), ("type", "Type"), ("now", "Now"), ("start", "Start"),
        ("duration", "Duration"), ("attributes", "Search attributes"), ("close", "Close"), ("queue", "Task queue"),
        ("run", "Run id"), ("events", "Events"),
    ]
    private static let standard = ["status", "id", "type", "now", "attributes", "start", "duration"]
    /// The longest id that is shown whole.
    private static let longestID = 40
    static let cookieName = "perdure-columns"

    let chosen: [String]
    private let attributes: [String]
    private let isNew: Bool

    /// - Parameters:
    ///   - names: from the address; none leaves it to the cookie. A search attribute's begins with a dot.
    ///   - kept: what the cookie remembers.
    ///   - attributes: the namespace's search attributes.
    init(_ names: [String], kept: String?, attributes: [String]) {
        self.attributes = attributes
        let allowed = Set(Self.known.map(\.0) + attributes.map { ".\($0)" })
        func usable(_ names: [String]) -> [String] {
            var seen: Set<String> = []
            return names.filter { allowed.contains($0) && seen.insert($0).inserted }
        }
        let asked = usable(names)
        isNew = !asked.isEmpty
        let remembered = usable((kept ?? "").split(separator: " ").map(String.init))
        let wanted = asked.isEmpty ? remembered : asked
        // Without the id there would be nothing to follow.
        chosen = wanted.isEmpty ? Self.standard : wanted.contains("id") ? wanted : ["id"] + wanted
    }

    /// Set when the address has chosen.
    var cookie: String? {
        guard isNew else { return nil }
        let value = chosen.joined(separator: " ").escapedForAddress
        return "\(Self.cookieName)=\(value); Path=/; Max-Age=31536000; SameSite=Lax"
    }

    /// Whether the lengths of histories are shown.
    var haveLengths: Bool { chosen.contains("events") }

    private func label(_ name: String) -> String {
        Self.known.first { $0.0 == name }?.1 ?? String(name.dropFirst())
    }

    /// All there are, the chosen ones first and in their order.
    var choices: [[String: Any]] {
        let rest = (Self.known.map(\.0) + attributes.map { ".\($0)" }).filter { !chosen.contains($0) }
        return (chosen + rest).map {
            ["name": $0, "label": label($0), "chosen": chosen.contains($0), "fixed": $0 == "id"] as [String: Any]
        }
    }

    /// - Parameter sorting: of a column that the list can be sorted by, whether it is now, as `ascending` or
    ///   `descending`, and where it is sorted next; nil for one that no index serves.
    func headers(sorting: (String) -> (now: String?, next: String)?) -> [[String: Any]] {
        chosen.map { name in
            let sort = sorting(name)
            return [
                "label": label(name), "column": name, "right": name == "duration" || name == "events",
                "sort": sort?.next ?? false as Any, "sorted": sort?.now ?? false as Any,
                "isDown": sort?.now == "descending", "isUp": sort?.now == "ascending",
            ] as [String: Any]
        }
    }

    /// Cut in the middle: ids differ at their ends.
    static func cut(_ id: String) -> String {
        id.count > longestID ? "\(id.prefix(22))…\(id.suffix(14))" : id
    }

    /// What stands in the columns of a run; every cell sets every name.
    func cells(of run: Run, now: Timestamp) -> [[String: Any]] {
        // Attributes with a column of their own are not told twice.
        let others = run.searchAttributes.filter { !chosen.contains(".\($0.key)") }
        return chosen.map { name in
            var cell: [String: Any] = [
                "name": label(name), "column": name, "isStatus": false, "isID": false, "isTime": false,
                "isDuration": false, "text": "",
                "isAgo": false, "isNow": false, "isAttributes": false, "isCode": false,
                "right": name == "duration" || name == "events", "attributes": [[String: Any]](),
            ]
            switch name {
            case "status": cell["isStatus"] = View.status(of: run, run.verdict)
            case "id":
                cell["isID"] = true
                cell["text"] = Self.cut(run.workflowID)
            case "attributes":
                cell["isAttributes"] = true
                cell["attributes"] = others.map { ["name": $0.key, "value": $0.value.stringValue ?? $0.value.text] }
            case "now":
                cell["isNow"] =
                    run.verdict?.shownReason.map { reason in
                        [
                            "reason": reason, "isBad": run.status == .failed || run.verdict?.condition != nil,
                            "failed": (run.verdict?.failedAttempts).flatMap { $0 > 0 ? $0 : nil } ?? false as Any,
                            "isLong": reason.count > 40,
                        ] as [String: Any]
                    } ?? false as Any
            case "type": cell["text"] = run.type
            case "start": cell["isAgo"] = View.ago(run.start, now: now)
            case "close":
                if let close = run.close { cell["isAgo"] = View.ago(close, now: now) } else { cell["text"] = "–" }
            case "duration":
                cell["text"] = ((run.close ?? now) - run.start).readable
                if run.close == nil { cell["isDuration"] = ["since": run.start.description] }
            case "queue": cell["text"] = run.taskQueue
            case "run":
                cell["text"] = run.runID
                cell["isCode"] = true
            case "events": cell["text"] = String(run.historyLength)
            default:
                let value = run.searchAttributes.first { ".\($0.key)" == name }?.value
                cell["text"] = value.map { $0.stringValue ?? $0.text } ?? "–"
            }
            return cell
        }
    }
}
