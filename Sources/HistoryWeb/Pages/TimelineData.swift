import Hummingbird
import WebCommon

/// `…/{run id}/timeline.json`: what the timeline's script draws.
struct TimelineData: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/timeline.json"),
            [
                .get: { request, context in
                    let address = try RunAddress(context)
                    return try await site.pages.response(to: request) {
                        let run = try await site.run(address)
                        return Response(
                            status: .ok,
                            headers: [.contentType: "application/json; charset=utf-8", .cacheControl: "no-store"],
                            body: .init(byteBuffer: ByteBuffer(string: try await site.store.timeline(of: run))))
                    }
                }
            ])
    }
}
