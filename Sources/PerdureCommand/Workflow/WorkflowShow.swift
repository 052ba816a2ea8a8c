import ArgumentParser
import Foundation
import Perdure
import PerdureEngine

struct WorkflowShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the history of a workflow.",
        discussion: "As JSON it is what Temporal's tools read.")
    @OptionGroup var options: ClientOptions
    @OptionGroup var workflow: WorkflowReference
    @Flag(name: [.customShort("f"), .long], help: "Go on until the run closes.")
    var follow = false
    @Flag(help: "The same as --output json.")
    var json = false

    func run() async throws {
        try await options.withClient { client, engine in
            let outcome = try await engine.workflowResult(
                namespace: options.namespaceName, workflowID: workflow.workflowID, runID: workflow.runID)
            let isJSON = json || options.output == .json
            var next: Int64 = 1
            print(isJSON ? "{\"events\":[" : Self.line("ID", "TIME", "TYPE", ""))
            while true {
                // The status first: once it is closed, what is read after is all.
                let status = try await engine.workflowResult(
                    namespace: options.namespaceName, workflowID: workflow.workflowID, runID: outcome.runID
                ).status
                while true {
                    let events = try await engine.history(
                        namespace: options.namespaceName, workflowID: workflow.workflowID, runID: outcome.runID,
                        from: next)
                    guard let last = events.last else { break }
                    for event in events {
                        if isJSON {
                            print((event.eventId > 1 ? "," : "") + TemporalHistory.json(event).description)
                        } else {
                            print(
                                Self.line(
                                    "\(event.eventId)", event.eventTime.description, event.eventType.rawValue,
                                    event.summary.withoutControls.cut(to: 120)))
                        }
                    }
                    next = last.eventId + 1
                }
                guard follow, status == .running else { break }
                try await Task.sleep(for: .milliseconds(300))
            }
            if isJSON { print("]}") }
        }
    }

    private static func line(_ id: String, _ time: String, _ type: String, _ summary: String) -> String {
        let cells =
            id.padding(toLength: 6, withPad: " ", startingAt: 0)
            + time.padding(toLength: 29, withPad: " ", startingAt: 0)
        return summary.isEmpty
            ? cells + type : cells + type.padding(toLength: 42, withPad: " ", startingAt: 0) + summary
    }
}

extension HistoryEvent {
    /// What it is about, in a few words.
    var summary: String {
        let names = [
            attributes["activityType"]?["name"], attributes["workflowType"]?["name"], attributes["signalName"],
            attributes["timerId"], attributes["markerName"], attributes["cause"], attributes["timeoutType"],
        ].compactMap { $0?.stringValue }
        let failure = attributes["failure"].map { ($0["cause"] ?? $0)["message"]?.shown ?? "" }
        let values = ["input", "result"].compactMap { key -> String? in
            guard let json = attributes[key], let payloads = try? [Payload](json: json), !payloads.isEmpty else {
                return nil
            }
            return payloads.plain.description
        }
        return (names + [failure].compactMap(\.self) + values).joined(separator: " ")
    }
}
