import WebCommon

/// The picture of a run over time: a row for each activity, timer and signal, one row for all workflow tasks.
///
/// Only what the history and the pending activities say is drawn. A history keeps the last attempt of an activity, so the
/// attempts before it are one stretch whose number is known and whose times are not.
struct Timeline {
    struct Stretch {
        enum Part: String {
            /// Waits for a worker.
            case queued
            /// The attempts before the last one, and the waits between them.
            case retried
            /// Waits for its next attempt; lies below `retried`, which covers what of it has passed.
            case backoff
            case work
            /// A timer that has been set.
            case timer
            /// One moment.
            case moment
        }

        let part: Part
        let from: Instant
        /// Nil while it goes on.
        let to: Instant?
        /// How it ended, or goes on.
        let outcome: Step.Outcome
        /// The step that it belongs to.
        let step: Int
        let text: String
    }

    struct Row {
        let id: Int
        let kind: EventKind
        let name: String
        let outcome: Step.Outcome
        let failedAttempts: Int
        let text: String
        let stretches: [Stretch]
    }

    let rows: [Row]
    let start: Instant
    let close: Instant?

    init(run: Run, steps: [Step]) {
        start = run.start
        close = run.close
        var tasks: [Step] = []
        var rows: [Row] = []
        for step in steps {
            switch step.kind {
            case .workflowTask: tasks.append(step)
            case .workflow where step.outcome != .canceled: continue
            default: rows.append(Self.row(of: step, close: run.close))
            }
        }
        if let first = tasks.first {
            let failed = tasks.count { $0.outcome == .failed || $0.outcome == .timedOut }
            let row = Row(
                id: first.id, kind: .workflowTask, name: "Workflow tasks",
                outcome: tasks[tasks.count - 1].outcome, failedAttempts: 0,
                text: "\(tasks.count) workflow tasks" + (failed > 0 ? ", \(failed) failed" : ""),
                stretches: tasks.flatMap { Self.row(of: $0, close: run.close).stretches })
            rows.insert(row, at: 0)
        }
        self.rows = rows
    }

    private static func row(of step: Step, close: Instant?) -> Row {
        // Nothing goes on after the run has ended.
        let end = step.end ?? close
        func stretch(_ part: Stretch.Part, _ from: Instant, _ to: Instant?, _ text: String) -> Stretch {
            Stretch(part: part, from: from, to: to, outcome: step.outcome, step: step.id, text: text)
        }
        let length = end.map { ($0 - step.start).readable } ?? "since \(step.start.readable) UTC"
        var stretches: [Stretch] = []
        switch step.kind {
        case .activity, .workflowTask, .childWorkflow:
            let started = step.started?.time ?? step.pending?.lastStarted
            let earlier = "\(step.failedAttempts) failed \(step.failedAttempts == 1 ? "attempt" : "attempts")"
            if step.outcome == .waiting, let next = step.pending?.nextAttempt {
                stretches.append(stretch(.backoff, step.start, next, "waits for its next attempt"))
            }
            if step.failedAttempts > 0 {
                stretches.append(stretch(.retried, step.start, started ?? end, earlier))
            } else if started.map({ $0 > step.start }) ?? true {
                stretches.append(stretch(.queued, step.start, started ?? end, "waits for a worker"))
            }
            if let started, step.outcome != .waiting {
                stretches.append(stretch(.work, started, end, step.outcomeText))
            }
        case .timer:
            // Open ones are drawn up to the time at which they are due.
            let due = step.events[0].attributes.text("startToFireTimeout").flatMap { Duration(contract: $0) }
            let fires = due.map { step.start + $0 }
            stretches.append(stretch(.timer, step.start, end ?? fires, step.outcomeText))
        default: stretches.append(stretch(.moment, step.start, step.start, step.outcomeText))
        }
        return Row(
            id: step.id, kind: step.kind, name: step.name, outcome: step.outcome,
            failedAttempts: step.failedAttempts, text: "\(step.outcomeText), \(length)", stretches: stretches)
    }

    /// What the page's script draws; times are milliseconds since the start of the run.
    func json(now: Instant) -> JSONValue {
        func offset(_ time: Instant) -> JSONValue {
            let microseconds = time.microseconds - start.microseconds
            let fraction = String(abs(microseconds) % 1000)
            return .number(
                (microseconds < 0 ? "-" : "") + "\(abs(microseconds) / 1000)."
                    + String(repeating: "0", count: 3 - fraction.count) + fraction)
        }
        let rows = rows.map { row -> JSONValue in
            [
                "id": .number(String(row.id)), "kind": .string(row.kind.rawValue), "label": .string(row.kind.label),
                "name": .string(row.name), "outcome": .string(row.outcome.rawValue),
                "failed": .number(String(row.failedAttempts)), "text": .string(row.text),
                "stretches": .array(
                    row.stretches.map { stretch in
                        [
                            "part": .string(stretch.part.rawValue), "from": offset(stretch.from),
                            "to": stretch.to.map(offset) ?? .null, "outcome": .string(stretch.outcome.rawValue),
                            "step": .number(String(stretch.step)), "text": .string(stretch.text),
                        ]
                    }),
            ]
        }
        return [
            "start": .string(start.rfc3339), "close": close.map(offset) ?? .null, "now": offset(now),
            "rows": .array(rows),
        ]
    }
}
