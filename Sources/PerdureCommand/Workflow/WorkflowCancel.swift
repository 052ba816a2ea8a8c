import ArgumentParser
import Perdure

struct WorkflowCancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Ask a workflow to cancel itself; it may clean up first.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Option(help: "Why; its history keeps it.")
    var reason: String?

    func run() async throws {
        try await options.withClient { client, _ in
            try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID).cancel(
                reason: reason)
        }
        if options.output == .text { print("asked to cancel") }
    }
}
