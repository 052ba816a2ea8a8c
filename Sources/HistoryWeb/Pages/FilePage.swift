import Hummingbird
import WebCommon

/// `/namespaces/{namespace}/open`: shows a history that was downloaded. The browser reads the file; nothing is sent
/// here.
struct FilePage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            "namespaces/:namespace/open",
            [
                .get: { _, context in
                    let namespace = try context.pathSegment("namespace")
                    return site.page(
                        "file", title: "Open a history", namespace: namespace, section: .open, ["timelineRun": false])
                }
            ])
    }
}
