import PerdureModel

extension Run {
    /// What is wrong with an open run, the worst of it.
    enum Condition: String, CaseIterable, Sendable {
        case retrying = "Retrying"
        case codeFails = "CodeFails"
        case noWorker = "NoWorker"
        case paused = "Paused"

        var label: String {
            switch self {
            case .retrying: "Retrying"
            case .codeFails: "Code fails"
            case .noWorker: "No worker"
            case .paused: "Paused"
            }
        }

        /// The name of its picture and of its colour.
        var look: String {
            switch self {
            case .retrying: "retrying"
            case .codeFails: "code-fails"
            case .noWorker: "no-worker"
            case .paused: "paused"
            }
        }
    }
}

/// How a run is, in words: what it waits for or what fails, as `perdure.run_verdict` tells it.
struct Verdict: Sendable {
    /// Nil for nothing wrong, and for a closed run.
    let condition: Run.Condition?
    /// The sentence, up to a time that it says.
    private(set) var before: String
    /// Counts up or down, or stands as it is written; the text behind it follows.
    let time: Timestamp?
    private(set) var after: String
    /// The whole sentence as the database wrote it.
    let text: String
    /// The same in few words.
    let reason: String?
    let cause: String?
    let since: Timestamp?
    let failedAttempts: Int
    /// The event that began the step that is meant.
    let event: Int?
    let taskQueue: String?
    let due: Timestamp?

    init?(_ row: JSON) {
        guard let condition = row.text("condition") else { return nil }
        self.condition = Run.Condition(rawValue: condition)
        before = row.text("verdict_before") ?? ""
        time = row.time("verdict_time")
        after = row.text("verdict_after") ?? ""
        text = row.text("verdict") ?? ""
        reason = row.text("reason")
        cause = row.text("cause")
        since = row.time("since")
        failedAttempts = row.integer("failed_attempts") ?? 0
        event = row.integer("event_id")
        taskQueue = row.text("task_queue")
        due = row.time("due_at")
    }

    /// What stands in the place of a message that the database cannot read.
    private static let encoded = "Encoded failure"

    /// The reason in few words; of a failure whose message is encoded, what kind it is.
    var shownReason: String? {
        guard let reason, reason.hasSuffix(Self.encoded) else { return reason }
        return cause.map { "\($0), its message is encoded" } ?? "failed, its message is encoded"
    }

    /// The same with what a codec made of the failure that it names: the database cannot read an encoded one.
    func naming(_ failure: Failure?) -> Verdict {
        let message = failure?.root.message ?? Self.encoded
        let readable = message == Self.encoded ? shownReason ?? message : message
        var named = self
        named.before = before.replacing(Self.encoded, with: readable)
        named.after = after.replacing(Self.encoded, with: readable)
        return named
    }

    /// A text that is another one once a page would show something else. What only passes with time is left out.
    var mark: String {
        "\(condition?.rawValue ?? "") \(cause ?? "") \(failedAttempts) \(event ?? 0) "
            + "\(taskQueue ?? "") \(due?.description ?? "")"
    }
}
