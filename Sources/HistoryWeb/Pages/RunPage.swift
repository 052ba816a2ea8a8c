import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/workflows/{workflow id}/{run id}`: one run, all of it.
struct RunPage: Page {
    static let route = "namespaces/:namespace/workflows/:workflow/:run"

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(.init(Self.route), [.get: { request, context in try await page(request, context, of: site) }])
        router.route(
            .init(Self.route + "/changes"),
            [
                .get: { request, context in
                    let run = try await site.run(context)
                    return try await site.changes(request) { try await site.store.mark(of: run) }
                }
            ])
    }

    private func page(_ request: Request, _ context: BasicRequestContext, of site: Site) async throws -> Response {
        let run = try await site.run(context)
        let fields = try request.queryFields()
        async let timers = run.close == nil ? site.store.pendingTimers(of: run) : []
        let pending = run.close == nil ? try await site.store.pendingActivities(of: run) : []
        let table = try await EventTable(fields, path: run.path).values(for: run, pending: pending, store: site.store)
        let now = Instant.now

        var values = Self.header(run, current: "history")
        values.merge(table) { $1 }
        values["notice"] = fields["done"].flatMap { RunActionPage.Action(rawValue: $0)?.done } ?? false as Any
        values["preload"] = "\(run.path)/timeline.json"
        values["timelineRun"] = ["path": run.path, "start": run.start.rfc3339]
        values["input"] = View.payloads(run.input)
        values["hasInput"] = !run.input.isEmpty
        let end = run.close == nil ? (result: nil, failure: nil) : try await site.store.end(of: run)
        values["result"] = end.result.map(View.payloads) ?? false as Any
        values["failure"] = View.failure(end.failure)
        values["hasEnded"] = run.close != nil
        values["hasNoResult"] = end.failure == nil && (end.result ?? []).isEmpty
        values["taskFailure"] = run.close == nil ? View.failure(run.workflowTaskFailure, isUnfolded: true) : false
        values["taskSource"] = "\(run.path)/source?failure=task#failed-line"
        values["isNonDeterministic"] = run.workflowTaskCause == "NonDeterministicError"
        values["isOneAttempt"] = run.workflowTaskAttempt == 1
        values["taskCause"] = run.workflowTaskCause ?? false as Any
        values["taskAttempt"] = run.workflowTaskAttempt
        values["pending"] = pending.map { Self.row($0, run: run, now: now) }
        values["hasPending"] = !pending.isEmpty
        let waiting = try await timers
        values["timers"] = waiting.map { timer in
            [
                "name": timer.text("timer_id") ?? timer.text("kind") ?? "timer",
                "started": View.time(timer.time("start_time") ?? timer.time("started_time")),
                "due": View.time(timer.time("fire_time") ?? timer.time("due_time") ?? timer.time("due_at")),
            ] as [String: Any]
        }
        values["hasTimers"] = !waiting.isEmpty
        values["changes"] = run.close == nil ? "\(run.path)/changes" : false as Any
        return site.page("run", title: run.workflowID, namespace: run.namespace, section: .workflows, values)
    }

    /// What stands above every page about a run.
    static func header(_ run: Run, current: String) -> [String: Any] {
        let tabs = [
            ("history", "History", run.path), ("queries", "Queries", "\(run.path)/queries"),
            ("source", "Source", "\(run.path)/source"),
        ]
        return [
            "run": [
                "path": run.path, "workflowID": run.workflowID, "runID": run.runID, "type": run.type,
                "status": View.status(run.status), "taskQueue": run.taskQueue, "start": View.time(run.start),
                "close": View.time(run.close), "isOpen": run.close == nil,
                "duration": ((run.close ?? .now) - run.start).readable, "historyLength": run.historyLength,
                "startLike": "/namespaces/\(run.namespace.escapedForAddress)/start?workflow="
                    + "\(run.workflowID.escapedForAddress)&run=\(run.runID)",
                "latest": Run.path(run.namespace, run.workflowID),
                "attributes": run.searchAttributes.map {
                    ["name": $0.name, "value": $0.value.string ?? $0.value.text]
                },
                "memo": run.memo.map { ["name": $0.name, "value": Payload($0.value)?.line(200) ?? $0.value.text] },
            ] as [String: Any],
            "tabs": tabs.map { ["label": $1, "href": $2, "current": $0 == current] as [String: Any] },
        ]
    }

    private static func row(_ activity: PendingActivity, run: Run, now: Instant) -> [String: Any] {
        let event = activity.scheduledEvent
        let next = activity.isStarted ? nil : activity.nextAttempt.flatMap { $0 > now ? $0 : nil }
        return [
            "key": activity.activityID, "activityID": activity.activityID, "type": activity.type,
            "event": event, "eventHref": "\(run.path)?event=\(event)#event-\(event)", "state": View.state(activity),
            "attempt": activity.attempt,
            "maximum": activity.maximumAttempts > 0 ? "of \(activity.maximumAttempts)" : "of unlimited",
            "next": View.time(next), "nextIn": next.map { ($0 - now).readable } ?? false as Any,
            "lastStarted": View.time(activity.lastStarted), "worker": activity.worker ?? false as Any,
            "failure": View.failure(activity.lastFailure), "source": "\(run.path)/source?event=\(event)#failed-line",
            "failureMessage": activity.lastFailure?.root.message ?? false as Any,
            "heartbeat": View.payloads(activity.heartbeat), "hasHeartbeat": !activity.heartbeat.isEmpty,
            "lastHeartbeat": View.time(activity.lastHeartbeat), "cancelRequested": activity.cancelRequested,
        ]
    }
}
