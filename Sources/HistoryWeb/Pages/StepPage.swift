import Hummingbird
import PerdureModel
import WebCommon

/// `…/{run id}/events/{event id}`: the step that an event belongs to, with everything that is known about it. Without
/// the rest of the page if a script asks for it (`?part`).
struct StepPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/events/:event"),
            [
                .get: { request, context in
                    let run = try await site.run(context)
                    let text = try context.pathSegment("event")
                    guard let id = Int(text), case let events = try await site.store.step(of: run, holding: id),
                        !events.isEmpty
                    else {
                        throw WebError(
                            .notFound,
                            "this run has no event \(text); its history has \(RunPage.events(run.historyLength))")
                    }
                    let pending = run.close == nil ? try await site.store.pendingActivities(of: run) : []
                    let step = Step.steps(of: events, pending: pending)[0]
                    let attempts =
                        step.failedAttempts > 0
                        ? try await site.store.failedAttempts(of: run, scheduledEvent: step.id) : []
                    var values = RunPage.header(run, current: "history")
                    var shown = StepView.values(step, run: run)
                    shown["attempts"] = attempts.map { StepView.attempt($0, of: step, run: run) }
                    shown["hasAttempts"] = !attempts.isEmpty
                    shown["hasManyAttempts"] = attempts.count > 3
                    shown["attemptTotal"] = attempts.count
                    shown["repeats"] = View.repeats(attempts, now: .now)
                    shown["forgotten"] =
                        step.failedAttempts > attempts.count ? step.failedAttempts - attempts.count : false as Any
                    values["step"] = shown
                    let part = try request.queryFields()["part"]
                    if part == "event", let event = events.first(where: { $0.id == id }) {
                        values.merge(StepView.event(event, run: run)) { $1 }
                    }
                    let template = ["events": "step_events", "event": "event"][part ?? ""]
                    return site.page(
                        template ?? (part == nil ? "step" : "step_part"),
                        title: "\(step.name) · \(run.workflowID)", namespace: run.namespace, section: .workflows, values
                    )
                }
            ])
    }
}

/// What templates show of steps and events.
enum StepView {
    /// - Parameter isRow: whether it is one of many, whose events are shown when they are asked for.
    static func values(_ step: Step, run: Run, isRow: Bool = false) -> [String: Any] {
        let events = step.events
        let input = events.lazy.compactMap { $0.attributes.member("input") }.first.map { [Payload](shown: $0) } ?? []
        let result = events.lazy.compactMap { $0.attributes.member("result") }.first.map { [Payload](shown: $0) } ?? []
        return [
            "id": step.id, "kind": step.kind.rawValue, "kindLabel": step.kind.label, "name": step.name,
            "outcome": View.outcome(step), "start": View.time(step.start), "offset": offset(step.start, run),
            "duration": step.outcome == .happened || step.kind == .workflow
                ? false : step.end.map { ($0 - step.start).readable } ?? "open" as Any,
            "attemptCount": step.attempts, "isRetried": step.failedAttempts > 0,
            "inputLine": line(input), "resultLine": line(result),
            "failureLine": step.failure?.root.message ?? false as Any, "showsKind": step.name != step.kind.label,
            "isLate": step.outcome == .completed && step.failedAttempts > 0,
            "failure": isRow ? false : View.failure(step.failure),
            "source": "\(run.path)/source?event=\(step.id)#failed-line",
            "hasSource": [.activity, .workflowTask, .workflow].contains(step.kind),
            "input": isRow ? [] : View.payloads(input), "hasInput": !input.isEmpty,
            "result": isRow ? [] : View.payloads(result), "hasResult": !result.isEmpty,
            "worker": step.started?.attributes.text("identity") ?? step.pending?.worker ?? false as Any,
            "events": isRow ? [] : events.map { event($0, run: run) },
            "ids": step.events.map { ["id": $0.id] },
            "version": step.events.map { "\($0.id)" }.joined(separator: " ") + " \(step.attempts)"
                + (step.pending?.paused == nil ? "" : " paused"),
            "paused": step.pending.map(pause) ?? false as Any,
            "actions": step.pending.map { ActivityActionPage.links($0, of: run) } ?? [],
            "hasActions": step.pending != nil, "type": step.name,
            "path": "\(run.path)/events/\(step.id)",
        ]
    }

    /// Who has paused an activity, when and why; false if nobody has.
    static func pause(_ activity: PendingActivity) -> Any {
        activity.paused.map {
            [
                "since": View.time($0), "by": activity.pausedBy ?? false as Any,
                "reason": activity.pauseReason ?? false as Any,
            ]
        } ?? false as Any
    }

    static func attempt(_ attempt: FailedAttempt, of step: Step, run: Run) -> [String: Any] {
        let outcome = attempt.isWorkerLost ? ("lost", "Worker lost") : ("failed", "Failed")
        return [
            "number": attempt.number,
            "source": "\(run.path)/source?event=\(step.id)&attempt=\(attempt.number)#failed-line",
            "offset": offset(attempt.started, run), "start": View.time(attempt.started),
            "waited": (attempt.started - attempt.scheduled).readable,
            "took": (attempt.ended - attempt.started).readable,
            "outcome": ["look": outcome.0, "label": outcome.1] as [String: Any],
            "worker": attempt.worker.isEmpty ? false : attempt.worker as Any, "failure": View.failure(attempt.failure),
        ]
    }

    static func event(_ event: HistoryEvent, run: Run, isRow: Bool = false) -> [String: Any] {
        // The failure is shown as such, with its causes.
        let attributes = event.attributes.members.filter { $0.key != "failure" }
        let payload = isRow ? nil : Payload(encoding: "json/plain", data: .object(attributes))
        return [
            "id": event.id, "type": event.type, "time": View.time(event.time), "offset": offset(event.time, run),
            "kind": event.kind.rawValue, "kindLabel": event.kind.label,
            "subject": event.subject ?? false as Any, "attributes": payload.map(View.payload) ?? false as Any,
            "failure": View.failure(event.failure),
            "source": event.failure != nil && [.activity, .workflowTask, .workflow].contains(event.kind)
                ? "\(run.path)/source?event=\(event.id)#failed-line" : false as Any,
            "failureLine": event.failure?.root.message ?? false as Any,
            "path": "\(run.path)/events/\(event.id)",
            "resetHref": event.endsWorkflowTask ? "\(run.path)/reset/\(event.id)" : false as Any,
        ]
    }

    private static func line(_ payloads: [Payload]) -> Any {
        payloads.isEmpty ? false : payloads.map { $0.line(120) }.joined(separator: ", ")
    }

    private static func offset(_ time: Timestamp, _ run: Run) -> String { "+" + (time - run.start).readable }
}
