import ArgumentParser
import Perdure
import PerdureEngine

struct ActivityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "activity",
        abstract: "End activities from outside of their workers.",
        subcommands: [ActivityComplete.self, ActivityFail.self]
    )
}

/// An activity of a workflow.
struct ActivityReference: ParsableArguments {
    @OptionGroup var workflow: WorkflowReference
    @Option(name: [.customShort("a"), .long], help: "The activity's id.")
    var activityID: String

    func handle(_ client: PerdureClient) -> AsyncActivityHandle {
        client.asyncActivityHandle(
            workflowID: workflow.workflowID, runID: workflow.runID, activityID: activityID)
    }
}

struct ActivityComplete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "complete", abstract: "Complete an activity that a worker has begun, with a result.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var activity: ActivityReference
    @Option(help: ArgumentHelp("Its result, as JSON; none if left out.", valueName: "json"))
    var result: JSON?

    func run() async throws {
        try await options.withClient { client, _ in
            let handle = activity.handle(client)
            if let result { try await handle.complete(result) } else { try await handle.complete() }
        }
        if options.output == .text { print("completed") }
    }
}

struct ActivityFail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fail",
        abstract: "Let an attempt of an activity that a worker has begun fail; it is tried again by its policy.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var activity: ActivityReference
    @Option(help: "Why.")
    var reason = "failed from the command line"
    @Option(help: "The failure's type, which retry policies name.")
    var type = ""
    @Flag(help: "The activity is not to be tried again.")
    var nonRetryable = false

    func run() async throws {
        try await options.withClient { client, _ in
            try await activity.handle(client)
                .fail(ApplicationError(message: reason, type: type, isNonRetryable: nonRetryable))
        }
        if options.output == .text { print("failed") }
    }
}
