import ArgumentParser
import Perdure
import PerdureEngine

struct ActivityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "activity",
        abstract: "End, pause and reset activities that have not ended.",
        subcommands: [
            ActivityComplete.self, ActivityFail.self, ActivityPause.self, ActivityUnpause.self, ActivityReset.self,
        ]
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

    func change(_ change: ActivityChange, with options: ClientOptions, done: String) async throws {
        try await options.withClient { _, engine in
            try await engine.changeActivity(
                namespace: options.namespaceName, workflowID: workflow.workflowID, runID: workflow.runID,
                activityID: activityID, change)
        }
        if options.output == .text { print(done) }
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

struct ActivityPause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Let an activity wait until it is unpaused. One that runs is told with its next heartbeat.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var activity: ActivityReference
    @Option(help: "Why; who looks at the run sees it.")
    var reason: String?

    func run() async throws { try await activity.change(.pause(reason: reason), with: options, done: "paused") }
}

struct ActivityUnpause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unpause", abstract: "Let a paused activity go on, at once.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var activity: ActivityReference
    @Flag(help: "Count its attempts from 1.")
    var resetAttempts = false
    @Flag(help: "Forget the details of its last heartbeat.")
    var resetHeartbeats = false

    func run() async throws {
        try await activity.change(
            .unpause(resetAttempts: resetAttempts, resetHeartbeat: resetHeartbeats), with: options, done: "unpaused")
    }
}

struct ActivityReset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset", abstract: "Begin an activity anew, at attempt 1 and at once.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var activity: ActivityReference
    @Flag(help: "Leave a paused activity paused.")
    var keepPaused = false
    @Flag(help: "Forget the details of its last heartbeat.")
    var resetHeartbeats = false

    func run() async throws {
        try await activity.change(
            .reset(keepPaused: keepPaused, resetHeartbeat: resetHeartbeats), with: options, done: "reset")
    }
}
