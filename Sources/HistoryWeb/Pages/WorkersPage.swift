import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/workers`: the worker processes and their leases.
struct WorkersPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/workers",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let rows = try await site.store.workers(namespace)
                    let workers = rows.map { row in
                        [
                            "identity": row.text("identity") ?? "", "id": row.text("worker_id") ?? "",
                            "build": row.text("build_id").flatMap { $0.isEmpty ? nil : $0 } ?? false as Any,
                            "queues": (row["task_queues"]?.elements ?? []).compactMap(\.stringValue),
                            "status": row.flag("alive")
                                ? ["look": "completed", "label": row.flag("waiting") ? "Alive, idle" : "Alive"]
                                : ["look": "failed", "label": "Lease ran out"],
                            "registered": View.time(row.time("registered_at")),
                            "lease": View.time(row.time("lease_until")),
                        ] as [String: Any]
                    }
                    return site.page(
                        "workers", title: "Workers", namespace: namespace, section: .workers,
                        ["workers": workers, "isEmpty": rows.isEmpty, "ways": OtherWays.workers(namespace)])
                }
            ])
    }
}
