import Foundation
import Logging
import PerdureEngine
import TestSupport

@testable import Perdure

/// A run whose history a test writes: it says what happens, and each workflow task runs the workflow's real code over
/// it and writes down what that decides, as the engine does.
final class DrivenRun<Workflow: WorkflowDefinition> {
    private(set) var events: [HistoryEvent] = []
    private(set) var live: WorkflowRun<Workflow>?
    private var fed = 0
    /// Updates by their ids, and those that the next task delivers.
    private var requests: [String: (name: String, input: JSON)] = [:]
    private var updates: [UpdateRequest] = []
    let info: LiveRunInfo
    let logs = LogLines()

    init(
        _: Workflow.Type = Workflow.self, input: some Encodable & Sendable, runID: UUID = UUID(),
        attributes: [String: JSON] = [:], surroundings: Surroundings = .none,
        onMisuse: @escaping @Sendable (NonDeterminismError, _ isIdle: Bool) -> Void = { _, _ in }
    ) throws {
        info = LiveRunInfo(
            namespace: "default", taskQueue: "queue", workflowID: "w", runID: runID, workflowType: Workflow.name,
            logger: logs.logger, surroundings: surroundings, onMisuse: onMisuse)
        var started: [String: JSON] = [
            "workflowType": ["name": .string(Workflow.name)], "taskQueue": ["name": "queue"], "workflowId": "w",
            "input": [try Payload(encoding: input)].json, "originalExecutionRunId": .string(runID.uuidString),
        ]
        started.merge(attributes) { $1 }
        add(.workflowExecutionStarted, .object(started))
    }

    convenience init(_ type: Workflow.Type = Workflow.self) throws where Workflow.Input == Void {
        try self.init(type, input: JSON.null)
    }

    deinit { live?.evict() }

    /// Events are a second apart.
    @discardableResult
    func add(_ type: EventType, _ attributes: JSON = [:]) -> HistoryEvent {
        let id = Int64(events.count + 1)
        let event = HistoryEvent(
            eventId: id, eventTime: Timestamp(microseconds: 1_700_000_000_000_000 + id * 1_000_000), eventType: type,
            attributes: attributes)
        events.append(event)
        return event
    }

    /// Gives an event other attributes, as if another version had written it.
    func rewrite(_ place: Int, _ attributes: JSON) { events[place].attributes = attributes }

    // MARK: What happens

    /// Runs a workflow task.
    ///
    /// - Parameters:
    ///   - started: what the event that starts it tells.
    ///   - isSpeculative: whether only updates made it, so that it leaves no event if all of them are rejected.
    /// - Returns: what the code decided.
    @discardableResult
    func task(started: JSON = [:], isSpeculative: Bool = false) throws -> [Command] {
        defer { updates = [] }
        add(.workflowTaskScheduled)
        add(.workflowTaskStarted, started)
        let run = live ?? WorkflowRun<Workflow>(info)
        if live == nil { fed = 0 }
        live = run
        do {
            try run.replay(Array(events[fed...]), updates: updates)
        } catch {
            evict()
            add(.workflowTaskFailed)
            throw error
        }
        let commands = run.commands
        if isSpeculative, commands.allSatisfy({ $0.message?.isRejection == true }) {
            events.removeLast(2)
            fed = events.count
            return commands
        }
        fed = events.count
        add(.workflowTaskCompleted, run.newMetadata.map { ["sdkMetadata": $0] } ?? [:])
        for command in commands where command.message?.isRejection != true { write(command) }
        return commands
    }

    /// Takes the run out of memory: the next task replays it all.
    func evict() {
        live?.evict()
        live = nil
    }

    /// Lets the next workflow task deliver an update.
    func update(_ id: String, _ name: String, _ input: (any Encodable & Sendable)? = nil) throws {
        let payloads = try input.map { [try Payload(encoding: $0)] } ?? []
        requests[id] = (name, payloads.json)
        updates.append(UpdateRequest(updateID: id, name: name, input: payloads))
    }

    private func write(_ message: UpdateMessage) {
        switch message.kind {
        case .acceptance(let event):
            add(
                .workflowExecutionUpdateAccepted,
                [
                    "protocolInstanceId": .string(message.updateID),
                    "acceptedRequestSequencingEventId": .number(event),
                    "acceptedRequest": [
                        "meta": ["updateId": .string(message.updateID)],
                        "input": [
                            "name": .string(requests[message.updateID]?.name ?? ""),
                            "args": requests[message.updateID]?.input ?? [],
                        ],
                    ],
                ])
        case .response(let result):
            let outcome: JSON =
                switch result {
                case .success(let payloads): ["success": payloads.json]
                case .failure(let failure): ["failure": failure.json]
                }
            add(
                .workflowExecutionUpdateCompleted,
                ["meta": ["updateId": .string(message.updateID)], "outcome": outcome])
        case .rejection: break
        }
    }

    /// The outcome of an update that was completed.
    func outcome(of id: String) -> JSON? {
        events.last {
            $0.eventType == .workflowExecutionUpdateCompleted && $0.attributes["meta"]?["updateId"] == .string(id)
        }?.attributes["outcome"]
    }

    private func write(_ command: Command) {
        if let message = command.message { return write(message) }
        let type: EventType =
            switch command.commandType {
            case .scheduleActivityTask: .activityTaskScheduled
            case .requestCancelActivityTask: .activityTaskCancelRequested
            case .startTimer: .timerStarted
            case .cancelTimer: .timerCanceled
            case .recordMarker: .markerRecorded
            case .upsertWorkflowSearchAttributes: .upsertWorkflowSearchAttributes
            case .modifyWorkflowProperties: .workflowPropertiesModified
            case .completeWorkflowExecution: .workflowExecutionCompleted
            case .failWorkflowExecution: .workflowExecutionFailed
            case .cancelWorkflowExecution: .workflowExecutionCanceled
            case .continueAsNewWorkflowExecution: .workflowExecutionContinuedAsNew
            case .startChildWorkflowExecution: .startChildWorkflowExecutionInitiated
            case .signalExternalWorkflowExecution: .signalExternalWorkflowExecutionInitiated
            case .requestCancelExternalWorkflowExecution: .requestCancelExternalWorkflowExecutionInitiated
            default: fatalError("no event for \(command.commandType)")
            }
        var attributes = command.attributes
        // Where the event has another form than its command.
        if type == .signalExternalWorkflowExecutionInitiated {
            attributes["workflowExecution"] = attributes["execution"]
            attributes["execution"] = nil
        } else if type == .requestCancelExternalWorkflowExecutionInitiated {
            attributes["workflowExecution"] = .compact([
                "workflowId": attributes["workflowId"], "runId": attributes["runId"],
            ])
            attributes["workflowId"] = nil
            attributes["runId"] = nil
        }
        add(type, attributes)
    }

    // MARK: Other runs

    func initiated(_ type: EventType, _ workflowID: String) -> Int64 {
        guard
            let event = events.last(where: { event in
                event.eventType == type
                    && (event.attributes["workflowId"] ?? event.attributes["workflowExecution"]?["workflowId"])?
                        .stringValue == workflowID
            })
        else { fatalError("no \(type) of \(workflowID)") }
        return event.eventId
    }

    /// Something becomes of a child.
    func child(_ workflowID: String, _ type: EventType, _ more: JSON = [:]) {
        var attributes: JSON = [
            "initiatedEventId": .number(initiated(.startChildWorkflowExecutionInitiated, workflowID)),
            "workflowExecution": [
                "workflowId": .string(workflowID), "runId": "00000000-0000-4000-8000-000000000001",
            ],
        ]
        for (key, value) in more.objectValue ?? [:] { attributes[key] = value }
        add(type, attributes)
    }

    /// Something becomes of a signal to another workflow, or of a request to cancel one.
    func effect(_ initiatedType: EventType, on workflowID: String, _ type: EventType, _ more: JSON = [:]) {
        var attributes: JSON = ["initiatedEventId": .number(initiated(initiatedType, workflowID))]
        for (key, value) in more.objectValue ?? [:] { attributes[key] = value }
        add(type, attributes)
    }

    func scheduledEvent(_ activityID: String) -> Int64 {
        guard
            let event = events.last(where: {
                $0.eventType == .activityTaskScheduled && $0.attributes["activityId"]?.stringValue == activityID
            })
        else { fatalError("no activity \(activityID)") }
        return event.eventId
    }

    func complete(_ activityID: String, _ result: (any Encodable & Sendable)? = nil) throws {
        let payloads = try result.map { [try Payload(encoding: $0)] } ?? []
        add(
            .activityTaskCompleted,
            ["scheduledEventId": .number(scheduledEvent(activityID)), "result": payloads.json])
    }

    func fail(_ activityID: String, _ failure: Failure) {
        add(
            .activityTaskFailed,
            [
                "scheduledEventId": .number(scheduledEvent(activityID)), "failure": failure.json,
                "retryState": "MaximumAttemptsReached",
            ])
    }

    func canceled(_ activityID: String) {
        add(.activityTaskCanceled, ["scheduledEventId": .number(scheduledEvent(activityID))])
    }

    func fire(_ timerID: String) { add(.timerFired, ["timerId": .string(timerID)]) }

    func signal(
        _ name: String, _ input: (any Encodable & Sendable)? = nil, headers: [String: Payload] = [:]
    ) throws {
        let payloads = try input.map { [try Payload(encoding: $0)] } ?? []
        add(
            .workflowExecutionSignaled,
            ["signalName": .string(name), "input": payloads.json, "header": headers.json])
    }

    func requestCancel() { add(.workflowExecutionCancelRequested) }

    // MARK: What became of it

    func query<Output: Decodable>(_ name: String, as type: Output.Type = Output.self) throws -> Output {
        guard let live else { fatalError("the run is not live") }
        return try live.query(name, input: [])[0].decode(type)
    }

    /// The result of a completed run.
    func result<Output: Decodable>(as type: Output.Type = Output.self) throws -> Output {
        guard let last = events.last, last.eventType == .workflowExecutionCompleted else {
            throw Unexpected(what: "the run ended with \(events.last?.eventType.rawValue ?? "nothing")")
        }
        return try [Payload](json: last.attributes["result"])[0].decode(type)
    }

    var failure: Failure? {
        events.last.flatMap { $0.eventType == .workflowExecutionFailed ? $0.attributes["failure"] : nil }
            .flatMap { try? Failure(json: $0) }
    }

    /// Replays the whole history from its beginning.
    func replay() async throws { try await replay(with: Workflow.self) }

    /// Replays the whole history with other code.
    func replay<Other: WorkflowDefinition>(with _: Other.Type) async throws {
        var history = events
        history[0].attributes["workflowType"] = ["name": .string(Other.name)]
        try await WorkflowReplayer(workflows: [Other.self]).replayWorkflow(history: history)
    }
}

struct Unexpected: Error { let what: String }

extension [Command] {
    /// For people: `ScheduleActivityTask (pay, id 1)` and the like.
    var summaries: [String] { map(\.summary) }
}
