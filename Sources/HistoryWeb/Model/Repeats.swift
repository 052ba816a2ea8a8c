import PerdureModel

/// Failed attempts that are told in one line: "HTTP 500 × 10, time-out × 2".
struct Repeats: Sendable {
    /// What attempts failed of, and how often, in the order in which it came first.
    let causes: [(what: String, count: Int)]
    let first: Timestamp
    let last: Timestamp

    /// Nil for none.
    init?(_ attempts: [FailedAttempt]) {
        guard let first = attempts.first, let last = attempts.last else { return nil }
        self.first = first.ended
        self.last = last.ended
        var causes: [(what: String, count: Int)] = []
        for attempt in attempts {
            let what = Self.words(of: attempt)
            if let place = causes.firstIndex(where: { $0.what == what }) {
                causes[place].count += 1
            } else {
                causes.append((what, 1))
            }
        }
        self.causes = causes
    }

    var text: String {
        causes.prefix(5).map { $0.count == 1 ? $0.what : "\($0.what) × \($0.count)" }.joined(separator: ", ")
            + (causes.count > 5 ? " and \(causes.count - 5) more kinds" : "")
    }

    /// The message without what makes each of a thousand another one: long numbers and ids.
    private static func words(of attempt: FailedAttempt) -> String {
        if attempt.isWorkerLost { return "worker lost" }
        if case .timeout = attempt.failure.kind { return "time-out" }
        let message = attempt.failure.root.message.replacing(
            #/[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d{4,}/#, with: "…")
        return message.count > 120 ? message.prefix(120) + "…" : message
    }
}
