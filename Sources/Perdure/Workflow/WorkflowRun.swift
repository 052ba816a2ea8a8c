import Foundation
import Logging
import PerdureEngine

/// A live run of a workflow type: its state, its code under way, and how history drives it.
///
/// Unchecked because the worker calls it from one task at a time, and the workflow's code runs inside of those calls.
final class WorkflowRun<Workflow: WorkflowDefinition>: LiveRun, @unchecked Sendable {
    let core: WorkflowCore
    private var instance: WorkflowInstance<Workflow>?
    private let handlers: WorkflowHandlers<Workflow>
    /// What has happened since the last workflow task that ran.
    private var happened: [HistoryEvent] = []

    init(_ info: LiveRunInfo, handlers: WorkflowHandlers<Workflow> = WorkflowHandlers()) {
        core = WorkflowCore(info)
        self.handlers = handlers
    }

    func activate(_ events: [HistoryEvent]) throws -> [Command] { try activate(events, updates: []) }

    func activate(_ events: [HistoryEvent], updates: [UpdateRequest]) throws -> [Command] {
        try telling { try replay(events, updates: updates) }
    }

    var locals: LocalActivityRuns? { core.run.locals }
    var awaitsLocalActivities: Bool { !core.locals.pending.isEmpty }
    var usesLocalActivities: Bool { core.locals.isUsed }

    func takeLocalActivities() -> LocalActivityWork { core.takeLocalWork() }

    func endLocalActivity(_ end: LocalActivityEnd) throws -> [Command] {
        try telling {
            try core.runTask(with: end)
            warnOfUnfinishedHandlers()
        }
    }

    /// The commands that `run` leaves, or why the workflow task fails.
    private func telling(_ run: () throws -> Void) throws -> [Command] {
        do {
            try run()
            return commands
        } catch let error as NonDeterminismError {
            throw WorkflowTaskError(
                cause: "NonDeterministicError",
                failure: .application("\(error)", type: "NonDeterminismError", nonRetryable: false))
        } catch is CancellationError {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application(
                    "workflow code threw CancellationError, but nobody asked the run to cancel itself: catch it where "
                        + "the code cancels its own tasks, or throw an ApplicationError or a CanceledError to fail the "
                        + "run",
                    type: "CancellationError"))
        } catch {
            // Told apart here from what ends the worker's session, which may throw the same.
            throw WorkflowTaskError(error)
        }
    }

    func interrupt() { core.executor.interrupt() }

    private(set) var startedAt: Timestamp?
    private(set) var replayTime: Duration?

    var hasRelatives: Bool { !core.relatives.children.isEmpty || instance?.context.info.parent != nil }

    /// Goes through history as it was written. A `WorkflowTaskStarted` that was completed, or that is the last event,
    /// ran the code; one that failed or timed out did not, as far as history knows.
    ///
    /// - Parameter updates: those that the last task delivers; of the others history tells.
    func replay(_ events: [HistoryEvent], updates: [UpdateRequest] = []) throws {
        let begin = ContinuousClock.now
        replayTime = nil
        var hasReplayed = false
        for place in events.indices {
            switch events[place].eventType {
            case .workflowTaskStarted where place == events.indices.last:
                if hasReplayed { replayTime = begin.duration(to: .now) }
                try runTask(
                    WorkflowCore.WorkflowTask(
                        started: events[place], isReplayed: false, events: happened, updates: updates))
            case .workflowTaskStarted:
                guard events[place + 1].eventType == .workflowTaskCompleted else { continue }
                hasReplayed = true
                try replayTask(startedBy: place, of: events)
            case .workflowTaskCompleted: core.noteCompleted(events[place])
            case .workflowTaskFailed: core.noteReset(events[place])
            case .workflowTaskScheduled, .workflowTaskTimedOut: break
            case .workflowExecutionUpdateAdmitted:
                if let update = try UpdateRequest(admitted: events[place]) { admitted[update.updateID] = update }
            default:
                if events[place].isMadeByCommand {
                    try core.match(events[place])
                } else {
                    happened.append(events[place])
                }
            }
        }
    }

    /// Runs a task that was completed, as the events that its commands made tell.
    private func replayTask(startedBy place: Int, of events: [HistoryEvent]) throws {
        let decided = events.dropFirst(place + 2).prefix { $0.isMadeByCommand }
        try runTask(
            WorkflowCore.WorkflowTask(
                started: events[place], isReplayed: true, events: happened,
                patches: Set(decided.compactMap { PatchMarker($0.attributes)?.id }),
                localActivities: try decided.compactMap {
                    $0.eventType == .markerRecorded ? try LocalActivityMarker($0.attributes) : nil
                },
                updates: try decided.compactMap { try UpdateRequest(accepted: $0, of: admitted) },
                sdkMetadata: events[place + 1].attributes["sdkMetadata"]))
    }

    /// Updates that a reset took over, by their ids.
    private var admitted: [String: UpdateRequest] = [:]

    /// What the code has decided and history does not hold.
    var commands: [Command] { core.commands }

    var newMetadata: JSON? { core.newMetadata }

    /// - Throws: ``NonDeterminismError`` if the code decided more than a history that is complete.
    func requireAllMatched() throws { try core.requireAllMatched() }

    private func runTask(_ task: WorkflowCore.WorkflowTask) throws {
        happened = []
        try core.runTask(task) { started in
            try start(
                started, signals: task.events.filter { $0.eventType == .workflowExecutionSignaled }, task)
        } signal: {
            deliver($0)
        } update: {
            try deliver($0, in: task)
        }
        // Signals may still come to code that waits for them in ways of its own. To code without handlers nothing can.
        if handlers.signals.isEmpty, handlers.updates.isEmpty, !handlers.dynamic.takesMessages, core.waitsForNothing {
            throw NonDeterminismError(
                eventId: task.started.eventId, description: WorkflowExecutor.Misuse.waitedOutside.description)
        }
        warnOfUnfinishedHandlers()
    }

    private func warnOfUnfinishedHandlers() {
        if core.outcome != nil, unfinished.contains(where: { $0.value > 0 }) {
            let names = unfinished.filter { $0.value > 0 }.keys.sorted().joined(separator: ", ")
            core.logger.warning(
                "The workflow ended while signal handlers were under way; wait for context.allHandlersFinished",
                metadata: ["signals": "\(names)"])
        }
        if core.outcome != nil, !unfinishedUpdates.isEmpty {
            let names = Set(unfinishedUpdates.values).sorted().joined(separator: ", ")
            core.logger.warning(
                """
                The workflow ended while update handlers were under way, and their updates fail; wait for \
                context.allHandlersFinished
                """,
                metadata: ["updates": "\(names)"])
        }
    }

    /// The names of signals that the workflow has no handler for.
    private var unhandledSignals: Set<String> = []
    /// Handlers under way whose end the workflow should wait for, by signal.
    private var unfinished: [String: Int] = [:]
    /// The same of updates: their names by their ids.
    private var unfinishedUpdates: [String: String] = [:]

    private func start(
        _ event: HistoryEvent, signals: [HistoryEvent], _ task: WorkflowCore.WorkflowTask
    ) throws {
        let input: Workflow.Input
        do {
            input = try core.converter.decode(from: [Payload](json: event.attributes["input"]))
        } catch {
            throw WorkflowTaskError(
                cause: "WorkflowWorkerUnhandledFailure",
                failure: .application(
                    "the input of workflow \(Workflow.name) cannot be read as \(Workflow.Input.self): \(error)",
                    type: "InvalidInput"))
        }
        let workflow = WorkflowExecutor.$current.withValue(core.executor) { Workflow(input: input) }
        let context = WorkflowContext<Workflow>(
            core: core, workflow: workflow, info: WorkflowInfo(core, started: event))
        let instance = WorkflowInstance(workflow: workflow, context: context)
        self.instance = instance
        startedAt = event.eventTime
        for signal in signals { deliver(signal) }
        for update in task.updates { try deliver(update, in: task) }
        core.spawn(isMain: true) { [core] in
            do {
                let output = try await instance.execute(input)
                core.finish(.success(try core.converter.encode(output)))
            } catch {
                core.finish(.failure(error))
            }
        }
    }

    private func deliver(_ event: HistoryEvent) {
        guard let name = event.attributes["signalName"]?.stringValue, let instance else { return }
        guard let signal = handlers.signals[name] ?? handlers.dynamic.signal else {
            // Once for each name: a thousand signals that nobody handles are one mistake.
            if unhandledSignals.insert(name).inserted {
                core.logger.warning("The workflow has no handler for a signal", metadata: ["signal": "\(name)"])
            }
            return
        }
        func open<Signal: WorkflowSignalDefinition>(_ signal: Signal.Type) where Signal.Workflow == Workflow {
            let input: Signal.Input
            do {
                input = try DynamicInput.input(
                    name, [Payload](json: event.attributes["input"]), core.converter)
            } catch {
                core.logger.error(
                    "The input of a signal cannot be read; the signal is dropped",
                    metadata: ["signal": "\(name)", "error": .cut(error)])
                return
            }
            let warns = signal.unfinishedPolicy == .warnAndAbandon
            if warns { unfinished[name, default: 0] += 1 }
            core.handle { [weak self] in
                defer { if warns { self?.unfinished[name, default: 0] -= 1 } }
                try await instance.handle(Signal(), name, event.attributes["header"], input)
            }
        }
        open(signal)
    }

    private func deliver(_ update: UpdateRequest, in task: WorkflowCore.WorkflowTask) throws {
        func refuse(_ error: any Error) throws {
            guard !task.isReplayed else {
                throw NonDeterminismError(
                    eventId: task.started.eventId,
                    description: "update \(update.updateID) was accepted, and now the code refuses it: \(error)")
            }
            let failure = error is any FailureError ? Failure(error) : Failure(unexpected: error)
            core.say(UpdateMessage(updateID: update.updateID, .rejection(core.converter.failure(failure))))
        }
        guard let instance else { return }
        guard let definition = handlers.updates[update.name] ?? handlers.dynamic.update else {
            let known = handlers.updates.keys.sorted().joined(separator: ", ")
            return try refuse(
                ApplicationError(
                    message: "workflow \(Workflow.name) has no update \(update.name); it has: \(known)",
                    type: "UpdateNotFound"))
        }
        func open<Update: WorkflowUpdateDefinition>(_: Update.Type) throws where Update.Workflow == Workflow {
            let input: Update.Input
            do {
                input = try DynamicInput.input(update.name, update.input, core.converter)
                // What was accepted once stays accepted.
                if !task.isReplayed {
                    try core.executor.own(isReadOnly: true) {
                        try instance.validate(Update(), update, input)
                    }
                    if let misuse = core.executor.takeQueryMisuse() {
                        throw ApplicationError(message: misuse.description, type: "UpdateRejected")
                    }
                }
            } catch {
                _ = core.executor.takeQueryMisuse()
                return try refuse(error)
            }
            let warns = Update.unfinishedPolicy == .warnAndAbandon
            if warns { unfinishedUpdates[update.updateID] = update.name }
            let info = WorkflowUpdateInfo(id: update.updateID, name: update.name)
            core.handle(update, behind: task.started.eventId - 1) { [weak self] in
                defer { self?.unfinishedUpdates[update.updateID] = nil }
                return try await WorkflowUpdateInfo.$current.withValue(info) {
                    try instance.context.core.converter.encode(try await instance.handle(Update(), update, input))
                }
            }
        }
        try open(definition)
    }

    func query(_ name: String, headers: [String: Payload] = [:], input: [Payload]) throws -> [Payload] {
        guard let instance else {
            throw ApplicationError(message: "the run has not begun", type: "QueryRejected")
        }
        switch name {
        case BuiltInQuery.metadata: return [try Payload(encoding: metadata)]
        case BuiltInQuery.stackTrace: return [try Payload(encoding: core.stackTrace)]
        default: break
        }
        guard let query = handlers.queries[name] ?? handlers.dynamic.query else {
            let known = handlers.queries.keys.sorted().joined(separator: ", ")
            throw ApplicationError(
                message: "workflow \(Workflow.name) has no query \(name); it has: \(known)", type: "QueryNotFound")
        }
        func open<Query: WorkflowQueryDefinition>(_ query: Query.Type) throws -> [Payload]
        where Query.Workflow == Workflow {
            let input: Query.Input = try DynamicInput.input(name, input, core.converter)
            let answer = try core.executor.own(isReadOnly: true) {
                try instance.answer(Query(), name, headers, input)
            }
            if let misuse = core.executor.takeQueryMisuse() {
                throw ApplicationError(message: misuse.description, type: "QueryRejected")
            }
            return try core.converter.encode(answer)
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
                "queryDefinitions": list(handlers.queries.map { ($0, $1.description) } + BuiltInQuery.all),
                "signalDefinitions": list(handlers.signals.map { ($0, $1.description) }),
                "updateDefinitions": list(handlers.updates.map { ($0, $1.description) }),
            ],
            "currentDetails": .string(core.toldDetails),
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
    func json(kind: String, type: String) -> JSON {
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
                let handlers = WorkflowHandlers<Workflow>()
                return { WorkflowRun<Workflow>($0, handlers: handlers) }
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
