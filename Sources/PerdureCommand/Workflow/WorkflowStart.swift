import ArgumentParser
import Foundation
import Perdure
import PerdureEngine

/// What a start takes.
struct StartOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The workflow's type.", valueName: "name"))
    var type: String
    @Option(name: [.customShort("t"), .long], help: "The task queue of its workers.")
    var taskQueue: String
    @Option(name: [.customShort("w"), .long], help: "The workflow's id; a random one unless it is given.")
    var workflowID: String?
    @OptionGroup var input: InputOptions
    @Option(help: "How long all its runs may take together: 90s, 5m, 1h30m, 30d.")
    var executionTimeout: TimeSpan?
    @Option(help: "How long one run may take.")
    var runTimeout: TimeSpan?
    @Option(help: "How long a worker may take over one workflow task.")
    var taskTimeout: TimeSpan?
    @Option(help: "How long until its first workflow task.")
    var startDelay: TimeSpan?
    @Option(help: ArgumentHelp("When runs start, one after the other.", valueName: "schedule"))
    var cron: String?
    @Option(help: ArgumentHelp("How often a run may be tried that fails; 0 is without limit.", valueName: "attempts"))
    var retryMaximumAttempts: Int?
    @Option(help: "How long after a failure it is tried again: 1s, and twice as long each time.")
    var retryInitialInterval: TimeSpan?
    @Option(help: "If a closed run has the id: AllowDuplicate, AllowDuplicateFailedOnly or RejectDuplicate.")
    var idReusePolicy: WorkflowOptions.IDReusePolicy = .allowDuplicate
    @Option(help: "If a running one has the id: Fail, UseExisting or TerminateExisting.")
    var idConflictPolicy: WorkflowOptions.IDConflictPolicy = .fail
    @Option(help: ArgumentHelp("A note about the run; once for each.", valueName: "name=json"))
    var memo: [NamedValue] = []
    @Option(help: ArgumentHelp("What it can be listed by; once for each.", valueName: "name=json"))
    var searchAttribute: [NamedValue] = []
    @Option(help: "1 is claimed first; 3 by default. A number above 5 counts as 5.")
    var priority: Int?

    func start(with client: PerdureClient) async throws -> UntypedWorkflowHandle {
        var options = WorkflowOptions(id: workflowID ?? UUID().uuidString.lowercased(), taskQueue: taskQueue)
        options.executionTimeout = executionTimeout?.duration
        options.runTimeout = runTimeout?.duration
        options.taskTimeout = taskTimeout?.duration
        options.startDelay = startDelay?.duration
        options.cronSchedule = cron
        if retryMaximumAttempts != nil || retryInitialInterval != nil {
            options.retryPolicy = RetryPolicy(
                initialInterval: retryInitialInterval?.duration ?? .seconds(1),
                maximumAttempts: retryMaximumAttempts ?? 0)
        }
        options.idReusePolicy = idReusePolicy
        options.idConflictPolicy = idConflictPolicy
        options.memo = memo.reduce(into: [:]) { $0[$1.name] = $1.value }
        options.searchAttributes = Dictionary(searchAttribute.map { ($0.name, $0.value) }) { $1 }
        options.priority = priority
        return try await client.startWorkflow(name: type, options: options, payloads: try input.payloads())
    }
}

extension WorkflowOptions.IDReusePolicy: ExpressibleByArgument {}
extension WorkflowOptions.IDConflictPolicy: ExpressibleByArgument {}

struct WorkflowStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "start", abstract: "Start a workflow.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var start: StartOptions

    func run() async throws {
        try await options.withClient { client, _ in
            let handle = try await start.start(with: client)
            let runID = handle.resultRunID?.uuidString.lowercased() ?? ""
            switch options.output {
            case .json: print(JSON.object(["workflowId": .string(handle.id), "runId": .string(runID)]))
            case .text: print("started \(handle.id.withoutControls), run \(runID)")
            }
        }
    }
}

struct WorkflowExecute: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "execute", abstract: "Start a workflow and wait for its result.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var start: StartOptions

    func run() async throws {
        try await options.withClient { client, _ in
            print(try await start.start(with: client).resultPayloads().plain)
        }
    }
}
