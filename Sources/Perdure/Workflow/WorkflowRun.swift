import Foundation
import Logging
import PerdureEngine

/// A live run of a workflow type: its state, its code under way, and how history drives it.
///
/// Unchecked because the worker calls it from one task at a time, and the workflow's code runs inside of those calls.
final class WorkflowRun<Workflow: WorkflowDefinition>: LiveRun, @unchecked Sendable {
    private let core: WorkflowCore
    private var workflow: Workflow?
    private let signals: [String: any WorkflowSignalDefinition<Workflow>.Type]
    private let queries: [String: any WorkflowQueryDefinition<Workflow>.Type]
    /// What has happened since the last workflow task that ran.
    private var happened: [HistoryEvent] = []

    init(_ info: LiveRunInfo) {
        core = WorkflowCore(info: WorkflowInfo(info))
        signals = Dictionary(
            Workflow.signals.map { (Swift.type(of: $0).name, Swift.type(of: $0)) }, uniquingKeysWith: { $1 })
        queries = Dictionary(
            Workflow.queries.map { (Swift.type(of: $0).name, Swift.type(of: $0)) }, uniquingKeysWith: { $1 })
    }

    func activate(_ events: [HistoryEvent]) async throws -> [Command] {
        do {
            try replay(events)
            return core.commands
        } catch let error as NonDeterminismError {
            throw WorkflowTaskError(
                cause: "NonDeterministicError",
                failure: .application("\(error)", type: "NonDeterminismError", nonRetryable: false))
        }
    }

    /// Goes through history as it was written. A `WorkflowTaskStarted` that was completed, or that is the last event,
    /// ran the code; one that failed or timed out did not, as far as history knows.
    private func replay(_ events: [HistoryEvent]) throws {
        for (place, event) in events.enumerated() {
            switch event.eventType {
            case .workflowTaskStarted:
                let next = place + 1 < events.count ? events[place + 1] : nil
                guard next == nil || next?.eventType == .workflowTaskCompleted else { continue }
                try runTask(at: event.eventTime, replaying: next != nil)
            case .workflowTaskScheduled, .workflowTaskCompleted, .workflowTaskFailed, .workflowTaskTimedOut: break
            default:
                if event.isMadeByCommand { try core.match(event) } else { happened.append(event) }
            }
        }
    }

    private func runTask(at time: Timestamp, replaying: Bool) throws {
        let events = happened
        happened = []
        try core.runTask(at: time, replaying: replaying, events: events) { started in
            try start(started, signals: events.filter { $0.eventType == .workflowExecutionSignaled })
        } signal: {
            deliver($0)
        }
    }

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
        let made = Workflow(input: input)
        workflow = made
        for signal in signals { deliver(signal) }
        let context = WorkflowContext<Workflow>(core: core, workflow: made)
        core.root = Task(executorPreference: core.executor) { [core] in
            var workflow = made
            do {
                let output = try await workflow.run(context: context, input: input)
                core.finish(.success(try PayloadConversion.encode(output)))
            } catch {
                core.finish(.failure(error))
            }
        }
    }

    private func deliver(_ event: HistoryEvent) {
        guard let name = event.attributes["signalName"]?.stringValue, let workflow else { return }
        guard let signal = signals[name] else {
            core.info.logger.warning("The workflow has no handler for a signal", metadata: ["signal": "\(name)"])
            return
        }
        func open<Signal: WorkflowSignalDefinition>(_ signal: Signal.Type) where Signal.Workflow == Workflow {
            let input: Signal.Input
            do {
                input = try PayloadConversion.decode(from: [Payload](json: event.attributes["input"]))
            } catch {
                core.info.logger.error(
                    "The input of a signal cannot be read; the signal is dropped",
                    metadata: ["signal": "\(name)", "error": "\(error)"])
                return
            }
            _ = Task(executorPreference: core.executor) { [core] in
                var workflow = workflow
                do {
                    try await Signal().run(workflow: &workflow, input: input)
                } catch {
                    core.handlerFailed(error)
                }
            }
        }
        open(signal)
    }

    func query(_ name: String, input: [Payload]) async throws -> [Payload] {
        guard let workflow else {
            throw ApplicationError(message: "the run has not begun", type: "QueryRejected")
        }
        guard let query = queries[name] else {
            let known = queries.keys.sorted().joined(separator: ", ")
            throw ApplicationError(
                message: "workflow \(Workflow.name) has no query \(name); it has: \(known)", type: "QueryNotFound")
        }
        func open<Query: WorkflowQueryDefinition>(_ query: Query.Type) throws -> [Payload]
        where Query.Workflow == Workflow {
            try PayloadConversion.encode(
                Query().run(workflow: workflow, input: PayloadConversion.decode(from: input)))
        }
        return try open(query)
    }

    func evict() {
        core.evict()
        workflow = nil
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
        }
        for activity in activities { self.activities[Swift.type(of: activity).name] = activity.operation() }
    }
}
