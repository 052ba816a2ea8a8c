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
                    return site.page(
                        "queues", title: "Queues", namespace: namespace, section: .queues,
                        ["table": TableView.values(rows, without: ["namespace"]), "isEmpty": rows.isEmpty])
                }
            ])
    }
}
