import ArgumentParser
import PerdureEngine

struct WorkflowDelete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete a closed run and its history.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference

    func run() async throws {
        let runID = try await options.withClient { _, engine in
            try await engine.deleteWorkflow(
                namespace: options.namespaceName, workflowID: workflow.workflowID, runID: workflow.runID)
        }
        if options.output == .text { print("deleted run \(runID.uuidString.lowercased())") }
    }
}
