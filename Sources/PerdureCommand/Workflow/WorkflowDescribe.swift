import ArgumentParser
import Perdure
import PerdureEngine

struct WorkflowDescribe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show all that is known of a workflow, its pending work included.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference

    func run() async throws {
        let run = try await options.withClient { _, engine in
            try await engine.describeWorkflow(
                namespace: options.namespaceName, workflowID: workflow.workflowID, runID: workflow.runID)
        }
        guard options.output == .text else { return print(run) }
        func line(_ title: String, _ text: String) {
            if !text.isEmpty { print(title.padding(toLength: 20, withPad: " ", startingAt: 0) + text.withoutControls) }
        }
        func payloads(_ key: String) -> String {
            guard let json = run[key], let payloads = try? [Payload](json: json), !payloads.isEmpty else { return "" }
            return payloads.plain.description
        }
        func object(_ key: String) -> String { run[key]?.objectValue?.isEmpty == false ? run[key]!.description : "" }
        line("Workflow id", run["workflow_id"]?.shown ?? "")
        line("Run id", run["run_id"]?.shown ?? "")
        if run["first_run_id"] != run["run_id"] { line("First run", run["first_run_id"]?.shown ?? "") }
        line("Follows run", run["previous_run_id"]?.stringValue ?? "")
        line("Followed by run", run["next_run_id"]?.stringValue ?? "")
        if let base = run["reset_from_run_id"]?.stringValue {
            line("Reset from run", "\(base), at event \(run["reset_event_id"]?.shown ?? "")")
        }
        line("Reset to run", run["reset_run_id"]?.stringValue ?? "")
        if let attempt = run["attempt"]?.intValue, attempt > 1 { line("Attempt", "\(attempt)") }
        line("Cron schedule", run["cron_schedule"]?.stringValue ?? "")
        line("Type", run["workflow_type"]?.shown ?? "")
        line("Status", run["status"]?.shown ?? "")
        line("Namespace", run["namespace"]?.shown ?? "")
        line("Task queue", run["task_queue"]?.shown ?? "")
        func relative(_ kind: String) -> String {
            guard let id = run["\(kind)_workflow_id"], !id.isNull else { return "" }
            return "\(id.shown), run \(run["\(kind)_run_id"]?.shown ?? "")"
        }
        line("Parent", relative("parent"))
        if run["root_run_id"] != run["run_id"], run["root_run_id"] != run["parent_run_id"] {
            line("Root", relative("root"))
        }
        line("Started", run["start_time"]?.shownTime ?? "")
        line("Closed", run["close_time"].map { $0.isNull ? "" : $0.shownTime } ?? "")
        line("History length", run["history_length"]?.shown ?? "")
        line("Search attributes", object("search_attributes"))
        line("Memo", object("memo"))
        line("Input", payloads("input"))
        line("Result", payloads("result"))
        line("Failure", run["failure"]?["message"]?.shown ?? "")
        if let attempt = run["workflow_task_attempt"]?.intValue, attempt > 0 {
            line("Workflow task", "failed \(attempt) times: \(run["workflow_task_failure"]?["message"]?.shown ?? "")")
        }
        if let activities = run["pending_activities"]?.arrayValue, !activities.isEmpty {
            print("\nPending activities")
            var table = Table("ID", "TYPE", "STATE", "ATTEMPT", "NEXT ATTEMPT", "LAST FAILURE")
            for activity in activities {
                table.add(
                    activity["activity_id"]?.shown ?? "", activity["activity_type"]?.shown ?? "",
                    activity["state"]?.shown ?? "", activity["attempt"]?.shown ?? "",
                    activity["next_attempt_time"]?.shownTime ?? "-", activity["last_failure_message"]?.shown ?? "")
            }
            table.print()
        }
        if let children = run["pending_children"]?.arrayValue, !children.isEmpty {
            print("\nPending children")
            var table = Table("ID", "TYPE", "RUN", "WHEN ITS PARENT CLOSES")
            for child in children {
                table.add(
                    child["child_workflow_id"]?.shown ?? "", child["child_workflow_type"]?.shown ?? "",
                    child["child_run_id"].map { $0.isNull ? "not started" : $0.shown } ?? "",
                    child["parent_close_policy"]?.shown ?? "")
            }
            table.print()
        }
        if let timers = run["pending_timers"]?.arrayValue, !timers.isEmpty {
            print("\nPending timers")
            var table = Table("KIND", "ID", "FIRES")
            for timer in timers {
                table.add(
                    timer["kind"]?.shown ?? "", timer["timer_id"]?.shown ?? "", timer["fire_time"]?.shownTime ?? "-")
            }
            table.print()
        }
    }
}
