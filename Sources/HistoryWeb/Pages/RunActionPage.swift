import Hummingbird
import PerdureModel
import WebCommon

/// `…/{run id}/actions/{action}`: says what an action will do and, when that is confirmed, does it.
struct RunActionPage: Page {
    enum Action: String, CaseIterable {
        case signal, update, cancel, terminate, retry

        var label: String {
            switch self {
            case .signal: "Send a signal"
            case .update: "Send an update"
            case .cancel: "Request cancellation"
            case .terminate: "Terminate"
            case .retry: "Retry now"
            }
        }

        /// What will happen.
        var consequence: String {
            switch self {
            case .signal:
                "The signal is written to the history, and the workflow's handler of that name runs with the input."
            case .update:
                "The workflow's handler of that name runs with the input, and what it returns is written to the "
                    + "history. The workflow may reject the update: then nothing is written."
            case .cancel:
                "The workflow is told that it should stop. It can clean up, undo what it did, and decide when to end; "
                    + "it can also ignore the request."
            case .terminate:
                "The run ends at once. No code of the workflow runs any more, so nothing is cleaned up or undone. "
                    + "This cannot be taken back."
            case .retry:
                "What failed and waits for its next attempt is tried at once: activities, and the workflow's code. "
                    + "Attempts count on, so those that fail again wait as long as they would have. "
                    + "What runs is left alone."
            }
        }

        var done: String {
            switch self {
            case .signal: "The signal was sent."
            case .update: "The update was sent; the history tells what became of it."
            case .cancel: "Cancellation was requested."
            case .terminate: "The run was terminated."
            case .retry: "What waited for its next attempt is tried now."
            }
        }
    }

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/actions/:action"),
            [
                .get: { request, context in
                    try site.requireWrites()
                    let (run, action) = try await (site.run(context), Self.action(context))
                    return Self.form(action, run, site, try request.queryFields())
                },
                .post: { request, context in
                    let (run, action) = try await (site.run(context), Self.action(context))
                    let fields = try await request.formFields()
                    do { try await Self.act(action, run, fields, site) } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return Self.form(action, run, site, fields, problem)
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

    private static func act(_ action: Action, _ run: Run, _ fields: FormFields, _ site: Site) async throws {
        switch action {
        case .signal, .update:
            guard let name = fields["name"] else {
                throw WebError(
                    .badRequest,
                    "\(action == .signal ? "a signal" : "an update") needs a name: "
                        + "the one that the workflow's handler has"
                )
            }
            let input = try fields["input"].map { text in
                do {
                    return try JSON(parsing: text.utf8).text
                } catch {
                    throw WebError(.badRequest, "the input is not JSON: \(error)")
                }
            }
            if action == .signal {
                try await site.store.signal(run, name: name, input: input)
            } else {
                try await update(run, name, input, site)
            }
        case .cancel: try await site.store.cancel(run, reason: fields["reason"])
        case .terminate: try await site.store.terminate(run, reason: fields["reason"])
        case .retry:
            guard try await site.store.retryNow(run) > 0 else {
                throw WebError(.conflict, "nothing of this run waits for its next attempt any more")
            }
        }
    }

    /// How long the page waits for a worker to take an update. It stays sent.
    private static let updatePatience = Duration.seconds(5)

    /// Sends an update, and says if the workflow rejects it: the history would not.
    private static func update(_ run: Run, _ name: String, _ input: String?, _ site: Site) async throws {
        let id = try await site.store.update(run, name: name, input: input)
        let start = ContinuousClock.now
        var pause = Duration.milliseconds(10)
        while start.duration(to: .now) < updatePatience {
            let outcome = try await site.store.updateOutcome(run, id)
            switch outcome.text("state") {
            case "admitted":
                try await Task.sleep(for: pause)
                pause = min(pause * 2, .milliseconds(250))
            case "rejected":
                let failure = Failure(shown: outcome.member("failure") ?? [:])
                throw WebError(.conflict, "the workflow rejected the update: \(failure.root.message)")
            case "aborted": throw WebError(.conflict, "the run closed before it saw the update")
            default: return
            }
        }
    }

    private static func form(
        _ action: Action, _ run: Run, _ site: Site, _ fields: FormFields, _ problem: WebError? = nil
    ) -> Response {
        var values = RunPage.header(run, current: "")
        values["action"] =
            [
                "name": action.rawValue, "label": action.label, "consequence": action.consequence,
                "isMessage": action == .signal || action == .update, "isTerminate": action == .terminate,
                "hasReason": action == .cancel || action == .terminate,
                "signal": fields["name"] ?? "", "input": fields["input"] ?? "", "reason": fields["reason"] ?? "",
                "reasonLabel": "Reason, kept in the history",
                "href": "\(run.path)/actions/\(action.rawValue)", "isClosed": run.close != nil,
            ] as [String: Any]
        values["ways"] = OtherWays.act(action, on: run)
        values["problem"] = problem.map(Site.sentence) ?? false as Any
        return site.page(
            "action", title: "\(action.label) · \(run.workflowID)", namespace: run.namespace, section: .workflows,
            status: problem?.status ?? .ok, values)
    }
}
