import Hummingbird
import PerdureModel
import Postgres
import WebCommon

/// `…/{run id}/reset/{event id}`: says what happens again and what does not if the run goes back to that event and,
/// when that is confirmed, resets it.
struct ResetPage: Page {
    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/reset/:event"),
            [
                .get: { request, context in
                    try site.requireWrites()
                    let (run, event) = try await (site.run(context), Self.event(context))
                    return try await Self.form(run, event, site, try request.queryFields())
                },
                .post: { request, context in
                    let (run, event) = try await (site.run(context), Self.event(context))
                    let fields = try await request.formFields()
                    do {
                        let made = try await site.store.reset(
                            run, to: event, reason: fields["reason"], leavesOut: Self.leftOut(fields),
                            newKeys: fields["keys"] == "new")
                        return .redirect(to: "\(run.path(of: made))?done=reset", type: .normal)
                    } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return try await Self.form(run, event, site, fields, problem)
                    }
                },
            ])
    }

    /// What the page of the new run says first.
    static let done = "The workflow went back: this run goes on from there."

    private static func event(_ context: BasicRequestContext) throws -> Int64 {
        let text = try context.pathSegment("event")
        guard let event = Int64(text), event > 0 else {
            throw WebError(.notFound, "\"\(text)\" is no event id: event ids are numbers from 1")
        }
        return event
    }

    /// What is not applied again, by Temporal's names.
    private static func leftOut(_ fields: FormFields) -> [String] {
        [("signals", "Signal"), ("updates", "Update")].filter { fields[$0.0] == "no" }.map(\.1)
    }

    private static func form(
        _ run: Run, _ event: Int64, _ site: Site, _ fields: FormFields, _ problem: WebError? = nil
    ) async throws -> Response {
        let preview = try await site.store.resetPreview(of: run, event)
        func list(_ name: String) -> [String] { (preview[name]?.elements ?? []).compactMap(\.stringValue) }
        func count(_ name: String) -> Any { preview.integer(name).flatMap { $0 > 0 ? $0 : nil } ?? false as Any }
        func joined(_ name: String) -> Any {
            let names = list(name)
            guard !names.isEmpty else { return false }
            return names.prefix(20).joined(separator: ", ") + (names.count > 20 ? " and more" : "")
        }
        let again = (preview["again"]?.elements ?? []).map {
            ["type": $0.text("type") ?? "", "count": $0.integer("count") ?? 0] as [String: Any]
        }
        var values = RunPage.header(run, current: "")
        values["reset"] =
            [
                "event": event, "href": "\(run.path)/reset/\(event)", "isOpen": run.close == nil,
                "beforeText": event == 2 ? "the first event" : "the first \(event - 1) events", "again": again,
                "hasAgain": !again.isEmpty, "anew": joined("anew"),
                "signals": count("signals"), "updates": count("updates"), "cancelRequests": count("cancelRequests"),
                "children": joined("children"), "messages": count("messages"), "reason": fields["reason"] ?? "",
                "leavesSignals": fields["signals"] == "no", "leavesUpdates": fields["updates"] == "no",
                "hasNewKeys": fields["keys"] == "new",
            ] as [String: Any]
        values["problem"] = problem.map(Site.sentence) ?? false as Any
        return site.page(
            "reset", title: "Reset to event \(event) · \(run.workflowID)", namespace: run.namespace,
            section: .workflows, status: problem?.status ?? .ok, values)
    }
}
