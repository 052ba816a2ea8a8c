import ArgumentParser
import Perdure
import PerdureEngine

struct WorkflowList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List workflows, newest first.",
        discussion: """
            A query is Temporal's list filter: WorkflowType = 'Transfer' AND ExecutionStatus = 'Running'. \
            docs/reference/list-filter.md tells all of it.
            """)
    @OptionGroup var options: ClientOptions
    @Option(name: [.customShort("q"), .long], help: ArgumentHelp("Which of them.", valueName: "filter"))
    var query = ""
    @Option(help: "At most so many.")
    var limit = 100

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit takes a number above zero") }
    }

    func run() async throws {
        let runs = try await options.withClient { client, _ in
            var runs: [WorkflowSummary] = []
            while runs.count < limit {
                let size = min(1000, limit - runs.count)
                let page = try await client.listWorkflows(query, after: runs.last, limit: size)
                runs += page
                if page.count < size { break }
            }
            return runs
        }
        switch options.output {
        case .json: JSON.printed(runs.map(\.json))
        case .text:
            var table = Table("STATUS", "WORKFLOW ID", "RUN ID", "TYPE", "STARTED", "CLOSED")
            for run in runs {
                table.add(
                    run.status.rawValue, run.workflowID, run.runID.uuidString.lowercased(), run.workflowType,
                    run.startTime.shown, run.closeTime?.shown ?? "-")
            }
            table.print()
        }
    }
}

extension WorkflowSummary {
    var json: JSON {
        .compact([
            "namespace": .string(namespace), "workflowId": .string(workflowID),
            "runId": .string(runID.uuidString.lowercased()), "type": .string(workflowType),
            "status": .string(status.rawValue), "taskQueue": .string(taskQueue),
            "startTime": .string(startTime.description), "closeTime": closeTime.map { .string($0.description) },
            "historyLength": historyLength.map { .number($0) }, "searchAttributes": searchAttributes, "memo": memo,
        ])
    }
}
