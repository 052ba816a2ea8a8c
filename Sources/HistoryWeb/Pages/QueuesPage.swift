import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/queues`: what waits in each task queue.
struct QueuesPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/queues",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    let rows = try await site.store.backlog(namespace)
                    let queues = rows.map { row in
                        [
                            "name": row.text("task_queue") ?? "",
                            "kind": row.text("kind") == "activity" ? "Activity tasks" : "Workflow tasks",
                            "waiting": row.integer("waiting") ?? 0, "running": row.integer("running") ?? 0,
                            "backingOff": row.integer("backing_off") ?? 0, "oldest": row.text("oldest") ?? false as Any,
                        ] as [String: Any]
                    }
                    return site.page(
                        "queues", title: "Queues", namespace: namespace, section: .queues,
                        ["queues": queues, "isEmpty": rows.isEmpty])
                }
            ])
    }
}
