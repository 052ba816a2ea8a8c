import Hummingbird
import WebCommon

/// `…/{run id}/actions/{action}`: says what an action will do and, when that is confirmed, does it.
struct RunActionPage: Page {
    enum Action: String, CaseIterable {
        case signal, cancel, terminate

        var label: String {
            switch self {
            case .signal: "Send a signal"
            case .cancel: "Request cancellation"
            case .terminate: "Terminate"
            }
        }

        /// What will happen.
        var consequence: String {
            switch self {
            case .signal:
                "The signal is written to the history, and the workflow's handler of that name runs with the input."
            case .cancel:
                "The workflow is told that it should stop. It can clean up, undo what it did, and decide when to end; "
                    + "it can also ignore the request."
            case .terminate:
                "The run ends at once. No code of the workflow runs any more, so nothing is cleaned up or undone. "
                    + "This cannot be taken back."
            }
        }

        var done: String {
            switch self {
            case .signal: "The signal was sent."
            case .cancel: "Cancellation was requested."
            case .terminate: "The run was terminated."
            }
        }
    }

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/actions/:action"),
            [
                .get: { request, context in
                    let (run, action) = try await (site.run(context), Self.action(context))
                    return Self.form(action, run, site, name: try request.queryFields()["name"])
                },
                .post: { request, context in
                    let (run, action) = try await (site.run(context), Self.action(context))
                    let fields = try await request.formFields()
                    switch action {
                    case .signal:
                        guard let name = fields["name"] else {
                            throw WebError(
                                .badRequest, "a signal needs a name: the one that the workflow's handler has")
                        }
                        let input = try fields["input"].map { text in
                            do {
                                return try JSONValue(parsing: text.utf8).text
                            } catch {
                                throw WebError(.badRequest, "the input is not JSON: \(error)")
                            }
                        }
                        try await site.store.signal(run, name: name, input: input)
                    case .cancel: try await site.store.cancel(run, reason: fields["reason"])
                    case .terminate: try await site.store.terminate(run, reason: fields["reason"])
                    }
                    return .redirect(to: "\(run.path)?done=\(action.rawValue)", type: .normal)
                },
            ])
    }

    private static func action(_ context: BasicRequestContext) throws -> Action {
        let text = try context.pathSegment("action")
        guard let action = Action(rawValue: text) else { throw WebError(.notFound, "there is no action \"\(text)\"") }
        return action
    }

    private static func form(_ action: Action, _ run: Run, _ site: Site, name: String?) -> Response {
        var values = RunPage.header(run, current: "")
        values["action"] =
            [
                "name": action.rawValue, "label": action.label, "consequence": action.consequence,
                "isSignal": action == .signal, "isTerminate": action == .terminate,
                "signal": name ?? "", "href": "\(run.path)/actions/\(action.rawValue)", "isClosed": run.close != nil,
            ] as [String: Any]
        return site.page(
            "action", title: "\(action.label) · \(run.workflowID)", namespace: run.namespace, section: .workflows,
            values)
    }
}
