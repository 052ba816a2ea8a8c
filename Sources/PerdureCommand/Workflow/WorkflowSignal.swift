import ArgumentParser
import Perdure

struct WorkflowSignal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "signal", abstract: "Send a signal to a workflow.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Option(help: "The signal's name.")
    var name: String
    @OptionGroup var input: InputOptions

    func run() async throws {
        let payloads = try input.payloads()
        try await options.withClient { client, _ in
            try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                .signal(signalName: name, payloads: payloads)
        }
        if options.output == .text { print("sent") }
    }
}
