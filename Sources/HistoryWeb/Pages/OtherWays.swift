/// What a page shows or does, as a statement for psql and as a command for a shell, to copy.
enum OtherWays {
    /// - Parameters:
    ///   - psql: statements.
    ///   - command: the arguments of `perdure`; nil where there is no such command.
    static func values(psql: String, command: [String]? = nil) -> [String: Any] {
        [
            "psql": psql,
            "command": command.map { "perdure " + $0.map(\.quotedForShell).joined(separator: " ") } ?? false as Any,
        ]
    }

    static func run(_ run: Run) -> [String: Any] {
        values(
            psql: """
                select verdict, cause, since from perdure.workflow_verdicts
                where workflow_id = \(run.workflowID.quotedForSQL) and namespace = \(run.namespace.quotedForSQL)
                    and run_id = \(run.runID.quotedForSQL);
                select event_id, event_time, event_type, attributes from perdure.history_events
                where shard = perdure.shard_for(\(run.namespace.quotedForSQL), \(run.workflowID.quotedForSQL))
                    and run_id = \(run.runID.quotedForSQL) order by event_id;
                """,
            command: ["workflow", "describe"] + reference(run))
    }

    static func list(_ filter: ListFilter) -> [String: Any] {
        let expression = filter.expression
        let asked = expression.isEmpty ? [] : ["--query=\(expression)"]
        return values(
            psql: """
                select workflow_id, workflow_type, status, start_time
                from perdure.list_workflows(\(expression.quotedForSQL), \(filter.namespace.quotedForSQL));
                """,
            command: ["workflow", "list"] + asked + ["--namespace=\(filter.namespace)"])
    }

    static func attention(_ namespace: String) -> [String: Any] {
        values(
            psql: """
                select what, runs, since, message, hint from perdure.attention(\(namespace.quotedForSQL));
                select * from perdure.health_checks() where status <> 'well';
                """,
            command: ["doctor"])
    }

    static func queues(_ namespace: String) -> [String: Any] {
        values(
            psql: "select * from perdure.task_queue_backlog where namespace = \(namespace.quotedForSQL);",
            command: ["queue", "list", "--namespace=\(namespace)"])
    }

    static func workers(_ namespace: String) -> [String: Any] {
        values(
            psql: "select * from perdure.live_workers where namespace = \(namespace.quotedForSQL);",
            command: ["worker", "list", "--namespace=\(namespace)"])
    }

    static func act(_ action: RunActionPage.Action, on run: Run) -> [String: Any] {
        let named = "workflow_id => \(run.workflowID.quotedForSQL), run_id => \(run.runID.quotedForSQL)"
        let place = "namespace => \(run.namespace.quotedForSQL)"
        switch action {
        case .retry: return values(psql: "select perdure.retry_now(\(named), \(place));")
        case .cancel:
            return values(
                psql: "select perdure.cancel_workflow(\(named), reason => 'why', \(place));",
                command: ["workflow", "cancel"] + reference(run) + ["--reason", "why"])
        case .terminate:
            return values(
                psql: "select perdure.terminate_workflow(\(named), reason => 'why', \(place));",
                command: ["workflow", "terminate"] + reference(run) + ["--reason", "why"])
        case .signal:
            return values(
                psql: "select perdure.signal_workflow(\(named), signal_name => 'name', input => '1', \(place));",
                command: ["workflow", "signal"] + reference(run) + ["--name", "name", "--input", "1"])
        case .update:
            return values(
                psql: "select * from perdure.update_workflow(\(named), update_name => 'name', input => '1', \(place));",
                command: ["workflow", "update", "execute"] + reference(run) + ["--name", "name", "--input", "1"])
        }
    }

    static func act(
        _ action: ActivityActionPage.Action, on activity: PendingActivity, of run: Run
    ) -> [String: Any] {
        let named = """
            workflow_id => \(run.workflowID.quotedForSQL), activity_id => \(activity.activityID.quotedForSQL), \
            run_id => \(run.runID.quotedForSQL)
            """
        let place = "namespace => \(run.namespace.quotedForSQL)"
        let reason = action == .pause ? ", reason => 'why'" : ""
        return values(
            psql: "select perdure.\(action.rawValue)_activity(\(named)\(reason), \(place));",
            command: ["activity", action.rawValue] + reference(run) + ["--activity-id=\(activity.activityID)"]
                + (action == .pause ? ["--reason", "why"] : []))
    }

    private static func reference(_ run: Run) -> [String] {
        ["--workflow-id=\(run.workflowID)", "--run-id=\(run.runID)", "--namespace=\(run.namespace)"]
    }
}

extension String {
    /// As a string of SQL.
    fileprivate var quotedForSQL: String {
        let quoted = "'\(replacing("'", with: "''"))'"
        // A backslash is one whatever standard_conforming_strings says.
        return contains("\\") ? "E" + quoted.replacing("\\", with: "\\\\") : quoted
    }

    /// As a word of a shell.
    fileprivate var quotedForShell: String {
        wholeMatch(of: #/[A-Za-z0-9_@%+=:,.\/-]+/#) != nil ? self : "'\(replacing("'", with: "'\\''"))'"
    }
}
