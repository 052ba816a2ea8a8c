import Hummingbird
import PerdureEngine
import PerdureModel
import Postgres
import WebCommon

/// `/namespaces/{namespace}/attention`: what is stuck, by cause, and what can be done; what `perdure doctor` knows; and
/// how the queues were over the last hours. The first page.
struct AttentionPage: Page {
    /// The checks look at much of the database, and the SQL files of a checkout are read for one of them: once in a
    /// while for all who look.
    private let checks = SharedAnswers<[JSON]>(kept: .seconds(10))
    private let files = SharedAnswers<[Migrator.File]?>(kept: .seconds(60))

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "attention", [.get: { _, _ in .redirect(to: Self.path(site.namespace), type: .found) }])
        router.route(
            "namespaces/:namespace/attention",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    let fields = try request.queryFields()
                    return try await site.pages.response(to: request) { try await page(fields, namespace, site) }
                }
            ])
        router.route(
            "namespaces/:namespace/attention/changes", [.get: { request, _ in try await site.changes(request) }])
    }

    static func path(_ namespace: String) -> String { "/namespaces/\(namespace.segmentOfAddress)/attention" }

    private func page(_ fields: FormFields, _ namespace: String, _ site: Site) async throws -> Response {
        let span = try Self.span(fields)
        async let found = site.store.troubles(namespace)
        async let checked = checks.answer("") { [store = site.store] in
            let files = try await files.answer("") { try await HealthPage.files(store) }.value
            return [HealthPage.check(files)] + (try await store.healthChecks())
        }.value
        let hours = try await site.store.queueHours(namespace, span)
        let troubles = try await found
        let report = Self.untold(try await checked, beside: troubles)
        let wrong = report.filter { $0.text("status") == "wrong" }
        let warnings = report.filter { $0.text("status") == "warning" }
        let now = Timestamp.now
        let isCalm = troubles.isEmpty && wrong.isEmpty
        return site.page(
            "attention", title: "Attention", namespace: namespace, section: .attention,
            [
                "isCalm": isCalm,
                "workers": try await checked.first { $0.text("name") == "Workers" }?.text("message") ?? "",
                "troubles": troubles.map { Self.row($0, namespace, now) }, "hasTroubles": !troubles.isEmpty,
                "summary": Self.summary(troubles), "wrong": HealthPage.rows(wrong), "hasWrong": !wrong.isEmpty,
                "warnings": HealthPage.rows(warnings), "hasWarnings": !warnings.isEmpty,
                "warningCount": warnings.count == 1 ? "1 warning" : "\(warnings.count) warnings",
                "spans": QueueHours.Span.allCases.map {
                    [
                        "label": $0.label, "current": $0 == span,
                        "href": "\(Self.path(namespace))?span=\($0.rawValue)",
                    ] as [String: Any]
                },
                "charts": Self.charts(hours), "hasCharts": !hours.all.isEmpty,
                "queues": Self.queues(hours, namespace), "hasQueues": !hours.queues.isEmpty,
                "ways": OtherWays.attention(namespace),
                "changes": LiveView.attention(namespace: namespace).address,
                "mark": troubles.map(\.mark).joined(separator: "\n").mark,
            ])
    }

    private static func span(_ fields: FormFields) throws -> QueueHours.Span {
        guard let text = fields["span"] else { return .sixHours }
        guard let span = QueueHours.Span(rawValue: text) else {
            let known = QueueHours.Span.allCases.map(\.rawValue).joined(separator: ", ")
            throw WebError(.badRequest, "span cannot be \"\(text.prefix(100))\"; it is one of \(known)")
        }
        return span
    }

    /// What the checks tell beyond the troubles: one thing is said once.
    static func untold(_ checks: [JSON], beside troubles: [Trouble]) -> [JSON] {
        let hasIdleQueue = troubles.contains { $0.kind == .queue && $0.cause != nil }
        let hasFailingCode = troubles.contains { $0.kind == .code }
        return checks.filter { check in
            switch check.text("name") {
            case "Task queues": !hasIdleQueue
            case "Workflow tasks": !hasFailingCode
            case "Workers": !(hasIdleQueue && check.text("message")?.hasPrefix("0 workers") == true)
            default: true
            }
        }
    }

    private static func summary(_ troubles: [Trouble]) -> String {
        let urgent = troubles.count { $0.isUrgent }
        let rest = troubles.count - urgent
        let parts = [
            urgent > 0 ? "\(urgent) \(urgent == 1 ? "needs" : "need") you" : nil,
            rest > 0 ? "\(rest) may pass by \(rest == 1 ? "itself" : "themselves")" : nil,
        ]
        return parts.compactMap(\.self).joined(separator: ", ")
    }

    private static func row(_ trouble: Trouble, _ namespace: String, _ now: Timestamp) -> [String: Any] {
        let list = "/namespaces/\(namespace.segmentOfAddress)/workflows"
        let batch = "/namespaces/\(namespace.segmentOfAddress)/batch"
        let query = trouble.filter.map(\.escapedForAddress)
        return [
            "key": "\(trouble.kind.rawValue)-\(trouble.what.prefix { $0 != "," })".mark, "what": trouble.what,
            "isUrgent": trouble.isUrgent,
            "status": trouble.isUrgent
                ? ["look": "failed", "label": "Needs you"] : ["look": "retrying", "label": "May pass"],
            "counted": trouble.counted, "runs": query.map { "\(list)?query=\($0)" } ?? false as Any,
            "retry": trouble.canBeRetried
                ? "\(batch)?action=retry&all=1&query=\(query ?? "")" : false as Any,
            "since": View.ago(trouble.since, now: now),
            "builds": trouble.builds, "queues": trouble.taskQueues,
            "queuesHref": "/namespaces/\(namespace.segmentOfAddress)/queues",
            "example": trouble.example.map { ["href": $0.path, "label": $0.workflowID] } ?? false as Any,
            "message": trouble.message.map { $0 == "Encoded failure" ? "Its message is encoded." : $0 } ?? false as Any,
            "hint": trouble.hint,
        ]
    }

    private static func charts(_ hours: QueueHours) -> [[String: Any]] {
        let starts = hours.all.map(\.start)
        let minutes = hours.span.bucket / .seconds(60)
        return [
            Chart.values(
                "Tasks finished a minute", look: "good", starts: starts,
                values: hours.all.map { $0.finished / minutes },
                text: Chart.number),
            Chart.values(
                "Tasks that failed and are tried again", look: "bad", starts: starts, values: hours.all.map(\.failing),
                text: Chart.number),
            Chart.values(
                "Age of the oldest task that waits", look: "warn", starts: starts,
                values: hours.all.map(\.oldestSeconds), text: Chart.duration),
        ]
    }

    /// The queues whose oldest task waits longest, then the busiest.
    private static func queues(_ hours: QueueHours, _ namespace: String) -> [[String: Any]] {
        let minutes = hours.span.bucket / .seconds(60)
        func latest(_ queue: QueueHours.Queue) -> (Double, Double) {
            (queue.slots.last?.oldestSeconds ?? 0, queue.slots.map(\.finished).reduce(0, +))
        }
        return hours.queues.sorted { latest($0) > latest($1) }.prefix(20).map { queue in
            [
                "name": queue.name, "kind": queue.kind == "workflow" ? "Workflow tasks" : "Activity tasks",
                "href": "/namespaces/\(namespace.segmentOfAddress)/queues", "waiting": queue.waiting,
                "finished": Chart.spark(
                    "Finished a minute", look: "good", values: queue.slots.map { $0.finished / minutes },
                    text: Chart.number),
                "oldest": Chart.spark(
                    "Age of the oldest", look: "warn", values: queue.slots.map(\.oldestSeconds),
                    text: Chart.duration),
            ]
        }
    }
}
