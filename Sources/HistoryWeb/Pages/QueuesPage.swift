import Hummingbird
import PerdureModel
import WebCommon

/// `/namespaces/{namespace}/queues`: what waits in each task queue, how fast it goes, and who polls it.
struct QueuesPage: Page {
    /// Tens of seconds that the picture of a queue's throughput shows.
    private static let shown = 30

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/queues",
            [
                .get: { request, context in
                    let namespace = try context.pathSegment("namespace")
                    return try await site.pages.response(to: request) {
                        let found = try await site.store.queues(namespace)
                        let queues = Self.queues(found.backlog, found.throughput, found.workers)
                        return site.page(
                            "queues", title: "Task queues", namespace: namespace, section: .queues,
                            [
                                "queues": queues, "isEmpty": queues.isEmpty, "ways": OtherWays.queues(namespace),
                                "mark": found.mark,
                                "changes": LiveView.queues(namespace: namespace).address,
                            ])
                    }
                }
            ])
        router.route("namespaces/:namespace/queues/changes", [.get: { request, _ in try await site.changes(request) }])
    }

    private static func queues(
        _ backlog: [JSON], _ throughput: [JSON], _ workers: [JSON]
    ) -> [[String: Any]] {
        func polls(_ worker: JSON, _ queue: String) -> Bool {
            (worker["task_queues"]?.elements ?? []).contains(.string(queue))
        }
        let names = Set(
            (backlog + throughput).compactMap { $0.text("task_queue") }
                + workers.flatMap { ($0["task_queues"]?.elements ?? []).compactMap(\.stringValue) })
        return names.sorted().map { name in
            let pollers = workers.filter { polls($0, name) }
            let kinds = [("workflow", "Workflow tasks"), ("activity", "Activity tasks")].map { kind, label in
                let waiting = backlog.first { $0.text("task_queue") == name && $0.text("kind") == kind }
                let rates = throughput.first { $0.text("task_queue") == name && $0.text("kind") == kind }
                return Self.kind(kind, label, waiting, rates, hasPollers: pollers.contains { $0.flag("alive") })
            }
            let builds = Set(pollers.filter { $0.flag("alive") }.compactMap { $0.text("build_id") }).sorted()
            return [
                "name": name, "key": name.mark, "kinds": kinds, "pollers": pollers.map(Self.poller),
                "hasPollers": !pollers.isEmpty,
                "alive": pollers.count { $0.flag("alive") },
                "builds": builds.map { $0.isEmpty ? "no build id" : $0 }, "hasTwoBuilds": builds.count > 1,
            ]
        }
    }

    private static func kind(
        _ kind: String, _ label: String, _ backlog: JSON?, _ rates: JSON?, hasPollers: Bool
    ) -> [String: Any] {
        let buckets = (rates?["buckets"]?.elements ?? []).map { Int($0.text) ?? 0 }
        // The last one is still being filled.
        let whole = buckets.dropLast()
        let minute = Double(whole.suffix(6).reduce(0, +)) / 60
        let oldest = backlog?.text("oldest_seconds").flatMap { Double($0) }
        return [
            "kind": kind, "label": label, "waiting": backlog?.integer("waiting") ?? 0,
            "running": backlog?.integer("running") ?? 0, "backingOff": backlog?.integer("backing_off") ?? 0,
            "oldest": oldest.map { Duration.seconds($0).readable } ?? false as Any,
            "isSlow": (oldest ?? 0) >= 10 || (backlog?.integer("waiting") ?? 0) > 0 && !hasPollers,
            "rate": rate(minute), "picture": picture(Array(whole.suffix(shown))),
            "most": rate(Double(whole.suffix(shown).max() ?? 0) / 10),
        ]
    }

    private static func rate(_ perSecond: Double) -> String {
        switch perSecond {
        case 0: "0"
        case ..<10: String(Double(Int(perSecond * 10 + 0.5)) / 10)
        default: String(Int(perSecond + 0.5))
        }
    }

    /// Bars, each of ten seconds, from left to right; false if there is nothing to show.
    private static func picture(_ counts: [Int]) -> Any {
        guard let most = counts.max(), most > 0 else { return false }
        let bars = counts.enumerated().compactMap { index, count -> [String: Any]? in
            guard count > 0 else { return nil }
            let height = max(1, count * 28 / most)
            return ["x": (shown - counts.count + index) * 6, "y": 28 - height, "height": height]
        }
        return ["bars": bars, "width": shown * 6] as [String: Any]
    }

    private static func poller(_ worker: JSON) -> [String: Any] {
        func slots(_ kind: String) -> Any {
            guard let limit = worker["details"]?["slots"]?.text(kind) else { return false }
            let used = worker["slots_in_use"]?.text(kind)
            return used.map { "\($0) of \(limit)" } ?? "\(limit)" as Any
        }
        return [
            "identity": worker.text("identity") ?? "",
            "build": worker.text("build_id").flatMap { $0.isEmpty ? nil : $0 } ?? false as Any,
            "status": worker.flag("alive")
                ? ["look": "completed", "label": worker.flag("waiting") ? "Alive, idle" : "Alive"]
                : ["look": "failed", "label": "Lease ran out"],
            "heard": View.time(worker.time("last_seen_at")),
            "workflowSlots": slots("workflow"), "activitySlots": slots("activity"),
        ]
    }
}
