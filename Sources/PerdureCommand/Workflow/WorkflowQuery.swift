import ArgumentParser
import Perdure

struct WorkflowQuery: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Ask a workflow, which a worker of its queue answers.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Option(name: [.customLong("type"), .customLong("name")], help: "The query's name.")
    var type: String
    @OptionGroup var input: InputOptions
    @Option(help: "How long to wait for the answer.")
    var timeout = TimeSpan(argument: "10s")!

    func run() async throws {
        let payloads = try input.payloads()
        try await options.withClient { client, _ in
            print(
                try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                    .query(queryName: type, payloads: payloads, timeout: timeout.duration).plain)
        }
    }
}
