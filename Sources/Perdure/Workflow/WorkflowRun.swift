import Foundation
import Logging
import PerdureEngine

/// A live run of a workflow type: its state, its code under way, and how history drives it.
///
/// Unchecked because the worker calls it from one task at a time, and the workflow's code runs inside of those calls.
final class WorkflowRun<Workflow: WorkflowDefinition>: LiveRun, @unchecked Sendable {
    let core: WorkflowCore
    private var instance: Instance?
    private let signals: [String: any WorkflowSignalDefinition<Workflow>.Type]
    private let queries: [String: any WorkflowQueryDefinition<Workflow>.Type]
    /// What has happened since the last workflow task that ran.
    private var happened: [HistoryEvent] = []

    private struct Instance {
        let workflow: Workflow
        let context: WorkflowContext<Workflow>
    }

    init(_ info: LiveRunInfo) {
        core = WorkflowCore(info)
        signals = Dictionary(
            Workflow.signals.map { (Swift.type(of: $0).name, Swift.type(of: $0)) }, uniquingKeysWith: { $1 })
        queries = Dictionary(
            Workflow.queries.map { (Swift.type(of: $0).name, Swift.type(of: $0)) }, uniquingKeysWith: { $1 })
    }

    func activate(_ events: [HistoryEvent]) throws -> [Command] {
        do {
            try replay(events)
            return commands
        } catch let error as NonDeterminismError {
            throw WorkflowTaskError(
                cause: "NonDeterministicError",
                failure: .application("\(error)", type: "NonDeterminismError", nonRetryable: false))
        }
    }

    /// Goes through history as it was written. A `WorkflowTaskStarted` that was completed, or that is the last event,
    /// ran the code; one that failed or timed out did not, as far as history knows.
    func replay(_ events: [HistoryEvent]) throws {
        for (place, event) in events.enumerated() {
            switch event.eventType {
            case .workflowTaskStarted:
                let next = place + 1 < events.count ? events[place + 1] : nil
                guard next == nil || next?.eventType == .workflowTaskCompleted else { continue }
                let decided = events.dropFirst(place + 2).prefix { $0.isMadeByCommand }
                try runTask(
                    WorkflowCore.WorkflowTask(
                        started: event, isReplayed: next != nil, events: happened,
                        patches: Set(decided.compactMap { PatchMarker($0.attributes)?.id })))
            case .workflowTaskCompleted: core.noteCompleted(event)
            case .workflowTaskScheduled, .workflowTaskFailed, .workflowTaskTimedOut: break
            default:
                if event.isMadeByCommand { try core.match(event) } else { happened.append(event) }
            }
        }
    }

    /// What the code has decided and history does not hold.
    var commands: [Command] { core.commands }

    /// - Throws: ``NonDeterminismError`` if the code decided more than a history that is complete.
    func requireAllMatched() throws { try core.requireAllMatched() }

    private func runTask(_ task: WorkflowCore.WorkflowTask) throws {
        happened = []
        try core.runTask(task) { started in
            try start(started, signals: task.events.filter { $0.eventType == .workflowExecutionSignaled })
        } signal: {
            deliver($0)
        }
        // Signals may still come to code that waits for them in ways of its own. To code without handlers nothing can.
        if signals.isEmpty, core.waitsForNothing {
            throw NonDeterminismError(
                eventId: task.started.eventId, description: WorkflowExecutor.Misuse.waitedOutside.description)
        }
        if core.outcome != nil, !core.allHandlersFinished, unfinished.contains(where: { $0.value > 0 }) {
            let names = unfinished.filter { $0.value > 0 }.keys.sorted().joined(separator: ", ")
            core.logger.warning(
                "The workflow ended while signal handlers were under way; wait for context.allHandlersFinished",
                metadata: ["signals": "\(names)"])
        }
    }

    /// Handlers under way whose end the workflow should wait for, by signal.
    private var unfinished: [String: Int] = [:]

    private func start(_ event: HistoryEvent, signals: [HistoryEvent]) throws {
        let input: Workflow.Input
        do {
            input = try PayloadConversion.decode(from: [Payload](json: event.attributes["input"]))
        } catch {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application(
                    "the input of workflow \(Workflow.name) cannot be read as \(Workflow.Input.self): \(error)",
                    type: "InvalidInput"))
        }
        let workflow = WorkflowExecutor.$current.withValue(core.executor) { Workflow(input: input) }
        let context = WorkflowContext<Workflow>(
            core: core, workflow: workflow, info: WorkflowInfo(core.run, started: event))
        instance = Instance(workflow: workflow, context: context)
        for signal in signals { deliver(signal) }
        core.spawn(isMain: true) { [core] in
            var workflow = workflow
            do {
                let output = try await workflow.run(context: context, input: input)
                core.finish(.success(try PayloadConversion.encode(output)))
            } catch {
                core.finish(.failure(error))
            }
        }
    }

    private func deliver(_ event: HistoryEvent) {
        guard let name = event.attributes["signalName"]?.stringValue, let instance else { return }
        guard let signal = signals[name] else {
            core.logger.warning("The workflow has no handler for a signal", metadata: ["signal": "\(name)"])
            return
        }
        func open<Signal: WorkflowSignalDefinition>(_ signal: Signal.Type) where Signal.Workflow == Workflow {
            let input: Signal.Input
            do {
                input = try PayloadConversion.decode(from: [Payload](json: event.attributes["input"]))
            } catch {
                core.logger.error(
                    "The input of a signal cannot be read; the signal is dropped",
                    metadata: ["signal": "\(name)", "error": "\(error)"])
                return
            }
            let warns = signal.unfinishedPolicy == .warnAndAbandon
            if warns { unfinished[name, default: 0] += 1 }
            core.handle { [weak self] in
                defer { if warns { self?.unfinished[name, default: 0] -= 1 } }
                var workflow = instance.workflow
                try await Signal().run(workflow: &workflow, context: instance.context, input: input)
            }
        }
        open(signal)
    }

    func query(_ name: String, input: [Payload]) throws -> [Payload] {
        guard let instance else {
            throw ApplicationError(message: "the run has not begun", type: "QueryRejected")
        }
        switch name {
        case BuiltInQuery.metadata: return [try Payload(encoding: metadata)]
        case BuiltInQuery.stackTrace: return [try Payload(encoding: core.stackTrace)]
        default: break
        }
        guard let query = queries[name] else {
            let known = queries.keys.sorted().joined(separator: ", ")
            throw ApplicationError(
                message: "workflow \(Workflow.name) has no query \(name); it has: \(known)", type: "QueryNotFound")
        }
        func open<Query: WorkflowQueryDefinition>(_ query: Query.Type) throws -> [Payload]
        where Query.Workflow == Workflow {
            let input: Query.Input = try PayloadConversion.decode(from: input)
            let answer = try core.executor.own(isReadOnly: true) {
                try Query().run(workflow: instance.workflow, input: input)
            }
            if let misuse = core.executor.takeQueryMisuse() {
                throw ApplicationError(message: misuse.description, type: "QueryRejected")
            }
            return try PayloadConversion.encode(answer)
        }
        return try open(query)
    }

    /// `temporal.api.sdk.v1.WorkflowMetadata`: what the run can be sent and asked.
    private var metadata: JSON {
        func list(_ handlers: [(name: String, description: String?)]) -> JSON {
            .array(
                handlers.sorted { $0.name < $1.name }
                    .map { ["name": .string($0.name), "description": .string($0.description ?? "")] })
        }
        return [
            "definition": [
                "type": .string(Workflow.name),
                "queryDefinitions": list(queries.map { ($0, $1.description) } + BuiltInQuery.all),
                "signalDefinitions": list(signals.map { ($0, $1.description) }),
                "updateDefinitions": [],
            ],
            "currentDetails": "",
        ]
    }

    func evict() {
        core.evict()
        instance = nil
    }
}

/// The queries that every workflow answers, with Temporal's names.
enum BuiltInQuery {
    static let metadata = "__temporal_workflow_metadata"
    static let stackTrace = "__stack_trace"
    static let all: [(name: String, description: String?)] = [
        (metadata, "What the workflow can be sent and asked, with descriptions."),
        (stackTrace, "What the workflow's code waits for, and at which lines."),
    ]
}

extension SourceCode {
    /// As `perdure.register_sources` takes it.
    fileprivate func json(kind: String, type: String) -> JSON {
        [
            "kind": .string(kind), "type": .string(type), "file": .string(file), "firstLine": .number(firstLine),
            "line": .number(line), "text": .string(text),
        ]
    }
}

extension WorkerCode {
    /// What a worker runs, by the names of the types.
    init(workflows: [any WorkflowDefinition.Type], activities: [any ActivityDefinition]) {
        self.init()
        for workflow in workflows {
            func make<Workflow: WorkflowDefinition>(_: Workflow.Type) -> @Sendable (LiveRunInfo) throws -> any LiveRun {
                { WorkflowRun<Workflow>($0) }
            }
            self.workflows[workflow.name] = make(workflow)
            if let code = workflow.sourceCode { sources.append(code.json(kind: "workflow", type: workflow.name)) }
        }
        for activity in activities {
            let type = Swift.type(of: activity)
            self.activities[type.name] = activity.operation()
            if activity is any TransactionalActivityDefinition { transactionalActivities.insert(type.name) }
            if let code = type.sourceCode { sources.append(code.json(kind: "activity", type: type.name)) }
        }
    }
}
