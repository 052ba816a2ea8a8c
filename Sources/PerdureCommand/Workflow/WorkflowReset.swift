import ArgumentParser
import Foundation
import Perdure
import PerdureEngine

struct WorkflowReset: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reset",
        abstract: "Let workflows go back to the end of a workflow task, and on from there with the code of today.",
        discussion: """
            The open run is terminated, and a new one has the history before that event. Signals, updates and how \
            children ended are applied again; activities behind that place are made again, with the same idempotency \
            keys.

            With --query all workflows that a filter chooses are reset, one after the other. What is interrupted goes \
            on with --job.
            """)

    enum ResetType: String, ExpressibleByArgument, CaseIterable {
        case firstWorkflowTask = "FirstWorkflowTask"
        case lastWorkflowTask = "LastWorkflowTask"
    }

    @OptionGroup var options: ClientOptions
    @Option(name: [.customShort("w"), .long], help: "The workflow's id.")
    var workflowID: String?
    @Option(
        name: [.customShort("r"), .long], help: "One run of it; the latest unless it is given.",
        transform: { text in
            guard let id = UUID(uuidString: text) else { throw ValidationError("\(text) is no run id") }
            return id
        })
    var runID: UUID?
    @Option(
        name: [.customShort("q"), .long],
        help: ArgumentHelp("Reset all that this filter chooses, of each id the newest run.", valueName: "filter"))
    var query: String?
    @Option(
        help: ArgumentHelp("Go on with a reset of many that was interrupted.", valueName: "id"),
        transform: { text in
            guard let id = UUID(uuidString: text) else { throw ValidationError("\(text) is no job id") }
            return id
        })
    var job: UUID?
    @Flag(help: "Stop the reset of many that --job names; what it has not reset stays as it is.")
    var stop = false

    @Option(name: [.customShort("e"), .long], help: "The event that ends the workflow task to go back to.")
    var eventID: Int64?
    @Option(name: [.customShort("t"), .long], help: "FirstWorkflowTask or LastWorkflowTask.")
    var type: ResetType?
    @Option(help: "Go back to before the first workflow task that this build did.")
    var buildID: String?
    @Option(help: "Go back to before the first workflow task that took this patch.")
    var patch: String?

    @Option(help: "Why; the histories keep it.")
    var reason: String?
    @Option(
        help: ArgumentHelp("Do not apply these again: signal, update.", valueName: "kind"),
        transform: { text in
            guard let type = WorkflowResetOptions.ReapplyExcludeType(rawValue: text.capitalized) else {
                throw ValidationError("\(text) is neither signal nor update")
            }
            return type
        })
    var reapplyExclude: [WorkflowResetOptions.ReapplyExcludeType] = []
    @Flag(help: "Give activities that are made again new idempotency keys.")
    var newIdempotencyKeys = false

    func validate() throws {
        let targets = [workflowID != nil, query != nil, job != nil].filter(\.self).count
        guard targets == 1 else {
            throw ValidationError("Name one of --workflow-id, --query and --job.")
        }
        guard runID == nil || workflowID != nil else { throw ValidationError("--run-id needs --workflow-id.") }
        guard !stop || job != nil else { throw ValidationError("--stop needs --job.") }
        guard job != nil || points.count == 1 else {
            throw ValidationError("Name one of --event-id, --type, --build-id and --patch.")
        }
        guard query == nil || eventID == nil else {
            throw ValidationError("An event id is that of one run: name --type, --build-id or --patch for many.")
        }
    }

    private var points: [WorkflowResetPoint] {
        [
            eventID.map { .event($0) }, type.map { $0 == .firstWorkflowTask ? .firstWorkflowTask : .lastWorkflowTask },
            buildID.map { .build($0) }, patch.map { .patch($0) },
        ].compactMap(\.self)
    }

    private var resetOptions: WorkflowResetOptions {
        WorkflowResetOptions(
            reapplyExcludeTypes: Set(reapplyExclude), newIdempotencyKeys: newIdempotencyKeys)
    }

    func run() async throws {
        if let workflowID {
            let made = try await options.withClient { client, _ in
                try await client.untypedWorkflowHandle(id: workflowID, runID: runID)
                    .reset(to: points[0], reason: reason, options: resetOptions).runID
            }
            let run = made?.uuidString.lowercased() ?? ""
            switch options.output {
            case .text: print("reset to run \(run)")
            case .json: print(JSON.object(["run_id": .string(run)]))
            }
        } else {
            try await options.withClient { client, engine in try await resetMany(engine) }
        }
    }

    private func resetMany(_ engine: Engine) async throws {
        let job: UUID
        if let query {
            job = try await engine.startResetJob(
                namespace: options.namespaceName, filter: query, to: points[0], reason: reason,
                options: resetOptions)
        } else if let named = self.job {
            job = named
            if stop { _ = try await engine.stopBatchJob(job) }
        } else {
            return
        }
        let id = job.uuidString.lowercased()
        guard var progress = try await engine.batchJobProgress(job) else {
            throw Problem("there is no batch job \(id)")
        }
        // First of all, so that whoever interrupts this can go on with it.
        if options.output == .text { print("job \(id)") }
        var told = ContinuousClock.now
        while !progress.isStopped, let workflow = try await engine.runNext(ofBatchJob: job) {
            guard options.output == .text, told.duration(to: .now) > .seconds(1) else { continue }
            told = .now
            progress = try await engine.batchJobProgress(job) ?? progress
            print("\(progress.done) reset, \(progress.failed) failed, \(progress.waiting) left: \(workflow)")
        }
        progress = try await engine.batchJobProgress(job) ?? progress
        if let failure = progress.failure { throw Problem("job \(id) failed: \(failure)") }
        let failures = try await engine.failures(ofBatchJob: job)
        switch options.output {
        case .json:
            print(
                JSON.object([
                    "job_id": .string(id), "runs": .number(progress.runs), "waiting": .number(progress.waiting),
                    "reset": .number(progress.done), "failed": .number(progress.failed),
                    "stopped": .bool(progress.isStopped),
                    "failures": .array(
                        failures.map { ["workflow_id": .string($0.workflowID), "error": .string($0.error)] }),
                ]))
        case .text:
            print(
                "\(progress.done) reset, \(progress.failed) failed, \(progress.waiting) left"
                    + (progress.isStopped ? ": stopped" : ""))
            for failure in failures {
                print("\(failure.workflowID): \(failure.error)".withoutControls)
            }
        }
        if progress.failed > 0 { throw ExitCode.failure }
    }
}
