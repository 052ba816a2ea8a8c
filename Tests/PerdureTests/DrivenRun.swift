import Foundation
import Logging
import PerdureEngine
import Synchronization

@testable import Perdure

/// A run whose history a test writes: it says what happens, and each workflow task runs the workflow's real code over it
/// and writes down what that decides, as the engine does.
final class DrivenRun<Workflow: WorkflowDefinition> {
    private(set) var events: [HistoryEvent] = []
    private(set) var live: WorkflowRun<Workflow>?
    private var fed = 0
    let info: LiveRunInfo
    let logs = LogLines()

    init(
        _: Workflow.Type = Workflow.self, input: some Encodable & Sendable, runID: UUID = UUID(),
        attributes: [String: JSON] = [:]
    ) throws {
        info = LiveRunInfo(
            namespace: "default", taskQueue: "queue", workflowID: "w", runID: runID, workflowType: Workflow.name,
            logger: logs.logger)
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

    // MARK: What happens

    /// Runs a workflow task.
    ///
    /// - Returns: what the code decided.
    @discardableResult
    func task() throws -> [Command] {
        add(.workflowTaskScheduled)
        add(.workflowTaskStarted)
        let run = live ?? WorkflowRun<Workflow>(info)
        if live == nil { fed = 0 }
        live = run
        do {
            try run.replay(Array(events[fed...]))
        } catch {
            evict()
            add(.workflowTaskFailed)
            throw error
        }
        fed = events.count
        let commands = run.commands
        add(.workflowTaskCompleted)
        for command in commands { write(command) }
        return commands
    }

    /// Takes the run out of memory: the next task replays it all.
    func evict() {
        live?.evict()
        live = nil
    }

    private func write(_ command: Command) {
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
            default: fatalError("no event for \(command.commandType)")
            }
        add(type, command.attributes)
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

    func signal(_ name: String, _ input: (any Encodable & Sendable)? = nil) throws {
        let payloads = try input.map { [try Payload(encoding: $0)] } ?? []
        add(.workflowExecutionSignaled, ["signalName": .string(name), "input": payloads.json])
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

/// What was logged.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    var logger: Logger {
        Logger(label: "test") { [self] _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            lines.lines.withLock { $0.append("\(event.level): \(event.message)") }
        }
    }
}
