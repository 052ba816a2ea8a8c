import Hummingbird
import WebCommon

/// `…/{run id}/events/{event id}/actions/{action}`: says what an action will do to an activity that has not ended and,
/// when that is confirmed, does it.
struct ActivityActionPage: Page {
    enum Action: String, CaseIterable {
        case pause, unpause, reset

        var label: String {
            switch self {
            case .pause: "Pause"
            case .unpause: "Unpause"
            case .reset: "Reset"
            }
        }

        /// What will happen.
        var consequence: String {
            switch self {
            case .pause:
                "The activity is not tried again until somebody unpauses it, and does not time out meanwhile. An "
                    + "attempt that runs goes on; it is told with its next heartbeat."
            case .unpause: "The activity is tried at once, with the attempts that it has left."
            case .reset:
                "The activity begins anew: it is tried at once as attempt 1, and the failed attempts are forgotten. An "
                    + "attempt that runs goes on and counts as the first. A paused activity is unpaused."
            }
        }

        var done: String {
            switch self {
            case .pause: "The activity is paused."
            case .unpause: "The activity goes on."
            case .reset: "The activity begins anew."
            }
        }
    }

    /// What can be done to an activity, as links of its step.
    static func links(_ activity: PendingActivity, of run: Run) -> [[String: Any]] {
        let actions: [Action] = [activity.paused == nil ? .pause : .unpause, .reset]
        return actions.map { ["label": $0.label, "href": path($0, activity.scheduledEvent, of: run)] }
    }

    private static func path(_ action: Action, _ event: Int, of run: Run) -> String {
        "\(run.path)/events/\(event)/actions/\(action.rawValue)"
    }

    func addRoutes(to router: SiteRouter, of site: Site) {
        router.route(
            .init(RunPage.route + "/events/:event/actions/:action"),
            [
                .get: { request, context in
                    try site.requireWrites()
                    let run = try await site.run(context)
                    let (action, activity) = try await (Self.action(context), Self.activity(context, of: run, site))
                    return Self.form(action, activity, run, site, try request.queryFields())
                },
                .post: { request, context in
                    let run = try await site.run(context)
                    let (action, activity) = try await (Self.action(context), Self.activity(context, of: run, site))
                    let fields = try await request.formFields()
                    do {
                        try await site.store.change(activity.activityID, of: run, action, reason: fields["reason"])
                    } catch {
                        guard let problem = Site.problem(with: error) else { throw error }
                        return Self.form(action, activity, run, site, fields, problem)
                    }
                    return .redirect(to: "\(run.path)?done=\(Self.notice(action))", type: .normal)
                },
            ])
    }

    /// What the run's page says after an action; nil for a name that is none.
    static func done(_ notice: String) -> String? { Action.allCases.first { Self.notice($0) == notice }?.done }

    /// Not the action's name alone: a run can be reset, too.
    private static func notice(_ action: Action) -> String { "activity-\(action.rawValue)" }

    private static func action(_ context: BasicRequestContext) throws -> Action {
        let text = try context.pathSegment("action")
        guard let action = Action(rawValue: text) else { throw WebError(.notFound, "there is no action \"\(text)\"") }
        return action
    }

    private static func activity(
        _ context: BasicRequestContext, of run: Run, _ site: Site
    ) async throws -> PendingActivity {
        let event = Int(try context.pathSegment("event"))
        let pending = run.close == nil ? try await site.store.pendingActivities(of: run) : []
        guard let activity = pending.first(where: { $0.scheduledEvent == event }) else {
            throw WebError(.conflict, "this activity has ended; only one that has not can be paused, unpaused or reset")
        }
        return activity
    }

    private static func form(
        _ action: Action, _ activity: PendingActivity, _ run: Run, _ site: Site, _ fields: FormFields,
        _ problem: WebError? = nil
    ) -> Response {
        var values = RunPage.header(run, current: "")
        let label = "\(action.label) \(activity.type)"
        values["action"] =
            [
                "name": action.rawValue, "label": label, "consequence": action.consequence, "isMessage": false,
                "isTerminate": false, "hasReason": action == .pause, "reason": fields["reason"] ?? "",
                "reasonLabel": "Reason, shown with the activity", "isClosed": false,
                "href": path(action, activity.scheduledEvent, of: run),
            ] as [String: Any]
        values["ways"] = OtherWays.act(action, on: activity, of: run)
        values["problem"] = problem.map(Site.sentence) ?? false as Any
        return site.page(
            "action", title: "\(label) · \(run.workflowID)", namespace: run.namespace, section: .workflows,
            status: problem?.status ?? .ok, values)
    }
}
