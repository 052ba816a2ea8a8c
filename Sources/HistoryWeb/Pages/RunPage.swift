import Hummingbird
import PerdureModel
import WebCommon

/// `/namespaces/{namespace}/workflows/{workflow id}/{run id}`: one run, all of it.
struct RunPage: Page {
    static let route = "namespaces/:namespace/workflows/:workflow/:run"

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(Self.route),
            [
                .get: { request, context in
                    let address = try RunAddress(context)
                    return try await site.pages.response(to: request) { try await page(request, address, of: site) }
                }
            ])
        router.route(.init(Self.route + "/changes"), [.get: { request, _ in try await site.changes(request) }])
    }

    private func page(_ request: Request, _ address: RunAddress, of site: Site) async throws -> Response {
        // Read before what the page shows: what changes while that is read is told.
        let mark = try await site.store.mark(address.namespace, address.workflowID, address.runID.uuidString)
        let run = try await site.run(address)
        let fields = try request.queryFields()
        async let verdict = site.store.verdict(of: run)
        async let attempts = run.close == nil ? site.store.failedAttemptsOfPending(run) : []
        async let details = run.close == nil ? QueryPage.currentDetails(of: run, site) : nil
        async let timers = run.close == nil ? site.store.pendingTimers(of: run) : []
        let pending = run.close == nil ? try await site.store.pendingActivities(of: run) : []
        let table = try await EventTable(fields, path: run.path).values(for: run, pending: pending, store: site.store)
        let now = Timestamp.now

        let told = try await verdict
        var values = Self.header(run, current: "history", verdict: told)
        values.merge(table) { $1 }
        values["ways"] = OtherWays.run(run)
        values["notice"] =
            fields["done"].flatMap {
                $0 == "reset" ? ResetPage.done : RunActionPage.Action(rawValue: $0)?.done ?? ActivityActionPage.done($0)
            }
            ?? false as Any
        values["preload"] = "\(run.path)/timeline.json"
        values["timelineRun"] = ["path": run.path, "start": run.start.description]
        values["details"] = try await details ?? false as Any
        values["input"] = View.payloads(run.input)
        values["hasInput"] = !run.input.isEmpty
        let end = run.close == nil ? (result: nil, failure: nil) : try await site.store.end(of: run)
        let failing = pending.first { $0.scheduledEvent == told?.event }?.lastFailure ?? run.workflowTaskFailure
        values["verdict"] = View.verdict(
            told?.naming(run.close == nil ? failing : end.failure), of: run, now: now)
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
        let failed = Dictionary(grouping: try await attempts, by: \.event)
        values["pending"] = pending.map { activity in
            Self.row(activity, run: run, now: now).merging(
                ["repeats": View.repeats(failed[activity.scheduledEvent] ?? [], now: now)]) { $1 }
        }
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
        let children = try await site.store.children(of: run)
        values["children"] = children.prefix(100).map { child in
            [
                "href": child.path, "workflowID": child.workflowID, "type": child.type,
                "status": View.status(child.status), "key": child.runID,
                "duration": ((child.close ?? now) - child.start).readable,
            ] as [String: Any]
        }
        values["hasChildren"] = !children.isEmpty
        values["moreChildren"] =
            children.count > 100
            ? "/namespaces/\(run.namespace.segmentOfAddress)/workflows?query="
                + "ParentRunId = '\(run.runID)'".escapedForAddress : false as Any
        values["changes"] = run.close == nil ? "\(run.path)/changes" : false as Any
        values["mark"] = mark
        return site.page("run", title: run.workflowID, namespace: run.namespace, section: .workflows, values)
    }

    /// A number of events, in words.
    static func events(_ count: Int) -> String { count == 1 ? "1 event" : "\(count) events" }

    /// What stands above every page about a run.
    ///
    /// - Parameter verdict: how an open run is, where that is known.
    static func header(_ run: Run, current: String, verdict: Verdict? = nil) -> [String: Any] {
        let tabs = [
            ("history", "History", run.path), ("source", "Source", "\(run.path)/source"),
        ]
        return [
            "run": [
                "path": run.path, "workflowID": run.workflowID, "runID": run.runID, "type": run.type,
                "status": View.status(of: run, verdict), "taskQueue": run.taskQueue, "start": View.time(run.start),
                "close": View.time(run.close), "isOpen": run.close == nil,
                "duration": ((run.close ?? .now) - run.start).readable, "historyText": Self.events(run.historyLength),
                "startLike": "/namespaces/\(run.namespace.segmentOfAddress)/start?workflow="
                    + "\(run.workflowID.escapedForAddress)&run=\(run.runID)",
                "latest": Run.path(run.namespace, run.workflowID),
                "parent": relative(run.parent), "root": relative(run.root),
                "chain": [
                    ("Follows run", run.previousRunID), ("Followed by run", run.nextRunID),
                    ("First run", run.firstRunID == run.previousRunID ? nil : run.firstRunID),
                    ("Reset from run", run.resetFromRunID), ("Reset to run", run.resetRunID),
                ].compactMap { label, id in
                    id.map { ["label": label, "run": $0, "href": run.path(of: $0)] }
                },
                "attempt": run.attempt > 1 ? run.attempt : false as Any,
                "cronSchedule": run.cronSchedule ?? false as Any,
                "attributes": run.searchAttributes.map {
                    ["name": $0.key, "value": $0.value.stringValue ?? $0.value.text]
                },
                "memo": run.memo.map {
                    ["name": $0.key, "value": Payload(shown: $0.value).line(200)]
                },
            ] as [String: Any],
            "tabs": tabs.map { ["label": $1, "href": $2, "current": $0 == current] as [String: Any] },
            "queriesTab": ["label": "Queries", "href": "\(run.path)/queries", "current": current == "queries"]
                as [String: Any],
        ]
    }

    private static func relative(_ relative: Run.Relative?) -> Any {
        relative.map { ["href": $0.path, "label": $0.workflowID] as [String: Any] } ?? false as Any
    }

    private static func row(_ activity: PendingActivity, run: Run, now: Timestamp) -> [String: Any] {
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
            "paused": StepView.pause(activity), "actions": ActivityActionPage.links(activity, of: run),
            "hasActions": true,
        ]
    }
}
