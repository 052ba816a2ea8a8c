import PerdureModel

/// Something that is stuck in a namespace, as `perdure.attention` tells of it: one cause with all that it holds up.
struct Trouble: Sendable {
    enum Kind: String, Sendable {
        case code, activity, queue
    }

    let kind: Kind
    /// By which list filters find it; nil for a queue that falls behind.
    let cause: String?
    let what: String
    /// Whether it does not pass by itself, as far as can be told.
    let isUrgent: Bool
    /// How many runs or, of a queue, tasks; counted to 1,001.
    let count: Int
    let since: Timestamp?
    let builds: [String]
    let taskQueues: [String]
    /// A run that it holds up.
    let example: Run.Relative?
    let message: String?
    /// The list filter that chooses its runs.
    let filter: String?
    let hint: String

    init?(_ row: JSON, in namespace: String) {
        guard let kind = row.text("kind").flatMap(Kind.init(rawValue:)), let what = row.text("what") else { return nil }
        func texts(_ name: String) -> [String] { (row[name]?.elements ?? []).compactMap(\.stringValue) }
        self.kind = kind
        self.what = what
        cause = row.text("cause")
        isUrgent = row.flag("is_urgent")
        count = row.integer("runs") ?? 0
        since = row.time("since")
        builds = texts("builds").filter { !$0.isEmpty }
        taskQueues = texts("task_queues")
        example = row.text("workflow_id").flatMap { id in
            row.text("run_id").map { Run.Relative(namespace: namespace, workflowID: id, runID: $0) }
        }
        message = row.text("message")
        filter = row.text("filter")
        hint = row.text("hint") ?? ""
    }

    /// `17 runs`, `more than 1,000 tasks`.
    var counted: String {
        let noun = kind == .queue ? "task" : "run"
        return count > 1000 ? "1,000+ \(noun)s" : count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
    }

    /// Whether what failed waits for its next attempt, which can be had at once.
    var canBeRetried: Bool { kind != .queue && filter != nil }

    /// A text that is another one once a page would show something else. Times pass by themselves.
    var mark: String {
        "\(kind) \(what.prefix { $0 != "," }) \(isUrgent) \(count) \(builds) "
            + "\(taskQueues) \(example?.runID ?? "") \(message ?? "")"
    }
}
