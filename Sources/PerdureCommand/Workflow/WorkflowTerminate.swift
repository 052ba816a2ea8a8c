import ArgumentParser
import Perdure

struct WorkflowTerminate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "terminate", abstract: "End a workflow at once, without asking it.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Option(help: "Why; its history keeps it.")
    var reason: String?

    func run() async throws {
        try await options.withClient { client, _ in
            try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                .terminate(reason: reason)
        }
        if options.output == .text { print("terminated") }
    }
}
