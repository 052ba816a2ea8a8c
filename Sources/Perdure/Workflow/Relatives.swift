import Foundation
import PerdureEngine

/// What a run waits for of other runs: its children, and signals and requests to cancel that are on their way. A part
/// of
/// ``WorkflowCore``, under its rules.
struct Relatives {
    struct Child {
        let id: String
        let type: String
        let namespace: String
        let cancellation: ChildWorkflowOptions.CancellationType
        var initiatedEventId: Int64?
        var startedEventId: Int64?
        var runID: String?
        /// It ended before this task, as history says, but its waiters do not know yet.
        var hasEnded = false
        var isCancelRequested = false
        var onStart: UnsafeContinuation<Void, any Error>?
        /// How it ended, once it has.
        var result: Result<[Payload], any Error>?
        var waiters: [Int: UnsafeContinuation<[Payload], any Error>] = [:]
    }

    /// A signal, or a request to cancel, which another run has got or not.
    struct Effect {
        /// The child that is asked to cancel itself.
        var child: Int?
        /// It arrived before this task, or did not, but its waiter does not know yet.
        var hasArrived = false
        var continuation: UnsafeContinuation<Void, any Error>?
    }

    var children: [Int: Child] = [:]
    var childOfEvent: [Int64: Int] = [:]
    var effects: [Int: Effect] = [:]
    var effectOfEvent: [Int64: Int] = [:]
    var lastWaiter = 0

    /// Whether nobody waits for any of it.
    var isQuiet: Bool { effects.isEmpty && children.values.allSatisfy { $0.result != nil } }
}

extension WorkflowCore {
    /// A child of which it is known which run it is.
    struct StartedChild {
        let number: Int
        let id: String
        let runID: String
    }

    // MARK: What workflow code asks for

    func startChild(
        type: String, options: ChildWorkflowOptions, id: String, headers: [String: Payload], input: [Payload],
        at site: CallSite
    ) async throws -> StartedChild {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        var attributes = try options.attributes(id: id, type: type, taskQueue: run.taskQueue, input: input)
        attributes["memo"] = try converter.encode(memo: options.memo)
        if !headers.isEmpty { attributes["header"] = headers.json }
        var command = Command(commandType: .startChildWorkflowExecution, attributes: attributes)
        command.userMetadata = try converter.encode(userMetadata: options.staticSummary, options.staticDetails)
        let number = next(.child)
        outgoing.append(Outgoing(command: command, makes: .child(number)))
        relatives.children[number] = Relatives.Child(
            id: id, type: type, namespace: run.namespace, cancellation: options.cancellationType)
        let wait = beginWait("the start of child workflow \(type), id \(id)", at: site)
        defer { waits[wait] = nil }
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { relatives.children[number]?.onStart = $0 }
        } onCancel: {
            cancelChild(number)
        }
        return StartedChild(number: number, id: id, runID: relatives.children[number]?.runID ?? "")
    }

    func childResult(_ number: Int, at site: CallSite) async throws -> [Payload] {
        try await requireLive()
        guard let child = relatives.children[number] else { throw CanceledError() }
        if let result = child.result { return try result.get() }
        relatives.lastWaiter += 1
        let waiter = relatives.lastWaiter
        let wait = beginWait("child workflow \(child.type), id \(child.id)", at: site)
        defer { waits[wait] = nil }
        if Task.isCancelled { cancelChild(number) }
        if let result = relatives.children[number]?.result { return try result.get() }
        return try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { relatives.children[number]?.waiters[waiter] = $0 }
        } onCancel: {
            cancelChild(number)
        }
    }

    /// - Parameter isChild: whether only a child of this run is meant.
    func signalExternal(
        _ name: String, headers: [String: Payload], input: [Payload], workflowID: String, runID: UUID?, isChild: Bool,
        at site: CallSite
    ) async throws {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        try Limits.check(name: name, "signal name")
        try Limits.check(name: workflowID, "workflow id")
        try Limits.check(input, "input of signal \(name)")
        let execution = JSON.compact(["workflowId": .string(workflowID), "runId": runID.map { .string($0.wire) }])
        let command = Command(
            commandType: .signalExternalWorkflowExecution,
            attributes: .compact([
                "execution": execution, "signalName": .string(name), "input": input.json,
                "header": headers.orLeftOut, "childWorkflowOnly": isChild ? true : nil,
            ]))
        try await effect(of: command, "signal \(name) to reach \(workflowID)", at: site)
    }

    func cancelExternal(workflowID: String, runID: UUID?, at site: CallSite) async throws {
        try await requireLive()
        if Task.isCancelled { throw CanceledError() }
        try Limits.check(name: workflowID, "workflow id")
        let command = Command(
            commandType: .requestCancelExternalWorkflowExecution,
            attributes: .compact(["workflowId": .string(workflowID), "runId": runID.map { .string($0.wire) }]))
        try await effect(of: command, "the request to cancel \(workflowID)", at: site)
    }

    private func effect(of command: Command, _ what: String, at site: CallSite) async throws {
        let number = next(.effect)
        outgoing.append(Outgoing(command: command, makes: .effect(number)))
        relatives.effects[number] = Relatives.Effect()
        let wait = beginWait(what, at: site)
        defer { waits[wait] = nil }
        try await withTaskCancellationHandler {
            try await withUnsafeThrowingContinuation { relatives.effects[number]?.continuation = $0 }
        } onCancel: {
            // What is on its way arrives; nobody waits for that any more.
            guard executor.check(), let effect = relatives.effects[number], !effect.hasArrived, !isEvicted else {
                return
            }
            if withdraw(.effect(number)) { relatives.effects[number] = nil }
            relatives.effects[number]?.continuation = nil
            effect.continuation?.resume(throwing: CanceledError())
        }
    }

    private func cancelChild(_ number: Int) {
        // What has happened has happened: its waiters are about to learn how it ended.
        guard executor.check(), let child = relatives.children[number], child.result == nil, !child.hasEnded, !isEvicted
        else { return }
        if child.initiatedEventId == nil {
            withdraw(.child(number))
        } else if child.cancellation != .abandon {
            if !child.isCancelRequested {
                relatives.children[number]?.isCancelRequested = true
                let request = next(.effect)
                relatives.effects[request] = Relatives.Effect(child: number)
                outgoing.append(
                    Outgoing(
                        command: Command(
                            commandType: .requestCancelExternalWorkflowExecution,
                            attributes: .compact([
                                "workflowId": .string(child.id), "runId": child.runID.map { .string($0) },
                                "childWorkflowOnly": true,
                            ])), makes: .effect(request)))
            }
            if child.cancellation != .tryCancel { return }
        }
        let what =
            child.initiatedEventId == nil
            ? "Child Workflow execution cancelled before it was started" : "Child Workflow execution cancelled"
        resolveChild(
            number,
            .failure(
                childError(child, what, cause: CanceledError(message: "Cancelled").failure, attributes: [:])))
    }

    private func resolveChild(_ number: Int, _ result: Result<[Payload], any Error>) {
        guard let child = relatives.children[number], child.result == nil else { return }
        relatives.children[number]?.result = result
        relatives.children[number]?.onStart = nil
        relatives.children[number]?.waiters = [:]
        child.onStart?.resume(with: result.map { _ in })
        for waiter in child.waiters.sorted(by: { $0.key < $1.key }) { waiter.value.resume(with: result) }
    }

    private func childError(
        _ child: Relatives.Child, _ message: String, cause: Failure?, attributes: JSON
    ) -> any Error {
        let detail = Failure.ChildWorkflow(
            namespace: child.namespace, workflowId: child.id,
            runId: attributes["workflowExecution"]?["runId"]?.stringValue ?? child.runID ?? "",
            workflowType: child.type, initiatedEventId: child.initiatedEventId ?? 0,
            startedEventId: child.startedEventId ?? 0,
            retryState: attributes["retryState"]?.stringValue.map(RetryState.init(rawValue:)))
        return converter.error(Failure(message: message, cause: cause, kind: .childWorkflow(detail)))
    }

    // MARK: What has happened

    /// As ``WorkflowCore/noteEnded(_:)``.
    func noteRelative(_ event: HistoryEvent) throws {
        if event.endsChild {
            relatives.children[try child(of: event)]?.hasEnded = true
        } else if event.endsEffect {
            relatives.effects[try effect(of: event)]?.hasArrived = true
        }
    }

    func resolveRelative(_ event: HistoryEvent) throws {
        let attributes = event.attributes
        switch event.eventType {
        case .childWorkflowExecutionStarted:
            let number = try child(of: event)
            relatives.children[number]?.startedEventId = event.eventId
            relatives.children[number]?.runID = attributes["workflowExecution"]?["runId"]?.stringValue
            let waiter = relatives.children[number]?.onStart
            relatives.children[number]?.onStart = nil
            waiter?.resume()
        case .childWorkflowExecutionCompleted:
            resolveChild(try child(of: event), .success(try [Payload](json: attributes["result"])))
        case .startChildWorkflowExecutionFailed, .childWorkflowExecutionFailed, .childWorkflowExecutionCanceled,
            .childWorkflowExecutionTimedOut, .childWorkflowExecutionTerminated:
            let number = try child(of: event)
            guard let child = relatives.children[number] else { return }
            let (message, cause) = try failure(of: event)
            resolveChild(number, .failure(childError(child, message, cause: cause, attributes: attributes)))
        case .externalWorkflowExecutionSignaled, .externalWorkflowExecutionCancelRequested:
            finishEffect(try effect(of: event), .success(()))
        case .signalExternalWorkflowExecutionFailed, .requestCancelExternalWorkflowExecutionFailed:
            let isSignal = event.eventType == .signalExternalWorkflowExecutionFailed
            finishEffect(
                try effect(of: event),
                .failure(
                    ApplicationError(
                        message: isSignal
                            ? "Unable to signal external workflow because it was not found"
                            : "Unable to cancel external workflow because not found",
                        type: attributes["cause"]?.stringValue ?? "ExternalWorkflowExecutionNotFound")))
        default: break
        }
    }

    private func failure(of event: HistoryEvent) throws -> (message: String, cause: Failure?) {
        let attributes = event.attributes
        switch event.eventType {
        case .childWorkflowExecutionCanceled:
            let details = try [Payload](json: attributes["details"])
            return ("Child Workflow execution cancelled", CanceledError(message: "Cancelled", details: details).failure)
        case .childWorkflowExecutionTimedOut:
            return (
                "Child Workflow execution timed out",
                Failure(message: "Timed out", kind: .timeout(.startToClose, lastHeartbeatDetails: []))
            )
        case .childWorkflowExecutionTerminated:
            return ("Child Workflow execution terminated", Failure(message: "Terminated", kind: .terminated))
        case .startChildWorkflowExecutionFailed:
            let cause = attributes["cause"]?.stringValue ?? ""
            let isTaken = cause == "WorkflowAlreadyExists"
            return (
                "Child Workflow execution could not be started",
                .application(
                    isTaken ? "Workflow execution already started" : cause,
                    type: isTaken ? "WorkflowExecutionAlreadyStarted" : cause, nonRetryable: true)
            )
        default:
            return ("Child Workflow execution failed", try attributes["failure"].map { try Failure(json: $0) })
        }
    }

    private func finishEffect(_ number: Int, _ result: Result<Void, any Error>) {
        guard let effect = relatives.effects.removeValue(forKey: number) else { return }
        effect.continuation?.resume(with: result)
        // A child that had been asked when it was not there any more has ended, and tells that itself.
        guard let number = effect.child, let child = relatives.children[number],
            child.cancellation == .waitCancellationRequested, !child.hasEnded, case .success = result
        else { return }
        resolveChild(
            number,
            .failure(
                childError(
                    child, "Child Workflow execution cancelled", cause: CanceledError(message: "Cancelled").failure,
                    attributes: [:])))
    }

    private func child(of event: HistoryEvent) throws -> Int {
        guard let number = event.attributes["initiatedEventId"]?.int64Value.flatMap({ relatives.childOfEvent[$0] })
        else { throw unknown(event, "child workflow") }
        return number
    }

    private func effect(of event: HistoryEvent) throws -> Int {
        guard let number = event.attributes["initiatedEventId"]?.int64Value.flatMap({ relatives.effectOfEvent[$0] })
        else { throw unknown(event, "signal or request to cancel") }
        return number
    }

    private func unknown(_ event: HistoryEvent, _ what: String) -> NonDeterminismError {
        NonDeterminismError(
            eventId: event.eventId,
            description: "event \(event.eventId) is \(event.summary), but the code has no such \(what)")
    }

    /// The event of a command that this part has made.
    func matchedRelative(_ made: Made, _ event: HistoryEvent) {
        switch made {
        case .child(let number):
            relatives.children[number]?.initiatedEventId = event.eventId
            relatives.childOfEvent[event.eventId] = number
        case .effect(let number): relatives.effectOfEvent[event.eventId] = number
        default: break
        }
    }

    func evictRelatives() {
        for number in relatives.children.keys.sorted() { resolveChild(number, .failure(Evicted())) }
        for number in relatives.effects.keys.sorted() {
            relatives.effects.removeValue(forKey: number)?.continuation?.resume(throwing: Evicted())
        }
    }
}

extension HistoryEvent {
    /// Whether this is how a child ended, or why it was not started.
    var endsChild: Bool {
        switch eventType {
        case .startChildWorkflowExecutionFailed, .childWorkflowExecutionCompleted, .childWorkflowExecutionFailed,
            .childWorkflowExecutionCanceled, .childWorkflowExecutionTimedOut, .childWorkflowExecutionTerminated:
            true
        default: false
        }
    }

    /// Whether this tells what became of a signal to another workflow, or of a request to cancel one.
    var endsEffect: Bool {
        switch eventType {
        case .externalWorkflowExecutionSignaled, .signalExternalWorkflowExecutionFailed,
            .externalWorkflowExecutionCancelRequested, .requestCancelExternalWorkflowExecutionFailed:
            true
        default: false
        }
    }
}

extension UUID {
    /// As histories write it.
    fileprivate var wire: String { uuidString.lowercased() }
}
