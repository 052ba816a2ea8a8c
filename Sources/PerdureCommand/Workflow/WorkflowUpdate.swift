import ArgumentParser
import Foundation
import Perdure
import PerdureEngine

struct WorkflowUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Send an update to a workflow, or wait for one.",
        subcommands: [WorkflowUpdateExecute.self, WorkflowUpdateStart.self, WorkflowUpdateResult.self],
        defaultSubcommand: WorkflowUpdateExecute.self)
}

/// What the commands that send an update have in common.
struct UpdateOptions: ParsableArguments {
    @Option(help: "The update's name.")
    var name: String
    @Option(name: .customLong("update-id"), help: "The update's id: a repeat with the same one finds the first.")
    var updateID: String?
}

struct WorkflowUpdateExecute: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "execute", abstract: "Send an update and wait for its result.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @OptionGroup var update: UpdateOptions
    @OptionGroup var input: InputOptions

    func run() async throws {
        let payloads = try input.payloads()
        try await options.withClient { client, _ in
            print(
                try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                    .startUpdate(
                        updateName: update.name, updateID: update.updateID ?? UUID().uuidString,
                        waitForStage: .completed, payloads: payloads
                    ).resultPayloads().plain)
        }
    }
}

struct WorkflowUpdateStart: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Send an update and wait until the workflow has accepted it.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @OptionGroup var update: UpdateOptions
    @OptionGroup var input: InputOptions

    func run() async throws {
        let payloads = try input.payloads()
        try await options.withClient { client, _ in
            let handle = try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                .startUpdate(
                    updateName: update.name, updateID: update.updateID ?? UUID().uuidString, waitForStage: .accepted,
                    payloads: payloads)
            print(handle.id)
        }
    }
}

struct WorkflowUpdateResult: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "result", abstract: "Wait for the result of an update that was sent before.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Option(name: .customLong("update-id"), help: "The update's id.")
    var updateID: String

    func run() async throws {
        try await options.withClient { client, _ in
            print(
                try await client.untypedWorkflowHandle(id: workflow.workflowID, runID: workflow.runID)
                    .updateHandle(id: updateID).resultPayloads().plain)
        }
    }
}
