import ArgumentParser
import Perdure
import PerdureEngine

struct WorkflowResult: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "result", abstract: "Wait for a workflow to close, and print its result.",
        discussion: "Exit code 1 if it did not complete.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference

    func run() async throws {
        try await options.withClient { client, _ in
            let handle = client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
            print(try await handle.resultPayloads().plain)
        }
    }
}
