import Hummingbird
import WebCommon

/// `…/{run id}/timeline.json`: what the timeline's script draws.
struct TimelineData: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/timeline.json"),
            [
                .get: { _, context in
                    let run = try await site.run(context)
                    let pending = run.close == nil ? try await site.store.pendingActivities(of: run) : []
                    let steps = Step.steps(of: try await site.store.outline(of: run), pending: pending)
                    return Response(json: Timeline(run: run, steps: steps).json(now: .now))
                }
            ])
    }
}
