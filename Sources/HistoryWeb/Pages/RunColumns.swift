import HTTPTypes
import WebCommon

/// The columns of the list of runs: which, in what order. The address says it, else a cookie remembers it.
struct RunColumns {
    private static let known = [
        ("status", "Status"), ("id", "Workflow id"), ("type", "Type"), ("start", "Start"), ("close", "Close"),
        ("duration", "Duration"), ("queue", "Task queue"), ("run", "Run id"), ("events", "Events"),
    ]
    private static let standard = ["status", "id", "type", "start", "close", "duration", "queue", "run"]
    private static let cookieName = "perdure-columns"

    private let chosen: [String]
    private let attributes: [String]
    private let isNew: Bool

    /// - Parameters:
    ///   - names: from the address; none leaves it to the cookie. A search attribute's begins with a dot.
    ///   - attributes: the namespace's search attributes.
    init(_ names: [String], cookie: [String], attributes: [String]) {
        self.attributes = attributes
        let allowed = Set(Self.known.map(\.0) + attributes.map { ".\($0)" })
        func usable(_ names: [String]) -> [String] {
            var seen: Set<String> = []
            return names.filter { allowed.contains($0) && seen.insert($0).inserted }
        }
        let kept = cookie.flatMap { $0.split(separator: ";") }.map { $0.drop { $0 == " " } }
            .first { $0.hasPrefix(Self.cookieName + "=") }
            .flatMap { FormFields.text($0.dropFirst(Self.cookieName.count + 1)) }
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

    var headers: [[String: Any]] {
        chosen.map { ["label": label($0), "right": $0 == "duration" || $0 == "events"] as [String: Any] }
    }

    /// What stands in the columns of a run; every cell sets every name.
    func cells(of run: Run, now: Instant) -> [[String: Any]] {
        // Attributes with a column of their own are not told twice.
        let others = run.searchAttributes.filter { !chosen.contains(".\($0.name)") }
        return chosen.map { name in
            var cell: [String: Any] = [
                "name": label(name), "column": name, "isStatus": false, "isID": false, "isTime": false,
                "isDuration": false, "text": "",
                "isCode": false, "right": name == "duration" || name == "events", "attributes": [[String: Any]](),
            ]
            switch name {
            case "status": cell["isStatus"] = View.status(run.status)
            case "id":
                cell["isID"] = true
                cell["attributes"] = others.map { ["name": $0.name, "value": $0.value.string ?? $0.value.text] }
            case "type": cell["text"] = run.type
            case "start": cell["isTime"] = View.time(run.start)
            case "close": if let close = run.close { cell["isTime"] = View.time(close) } else { cell["text"] = "–" }
            case "duration":
                cell["text"] = ((run.close ?? now) - run.start).readable
                if run.close == nil { cell["isDuration"] = ["since": run.start.rfc3339] }
            case "queue": cell["text"] = run.taskQueue
            case "run":
                cell["text"] = run.runID
                cell["isCode"] = true
            case "events": cell["text"] = String(run.historyLength)
            default:
                let value = run.searchAttributes.first { ".\($0.name)" == name }?.value
                cell["text"] = value.map { $0.string ?? $0.text } ?? "–"
            }
            return cell
        }
    }
}
