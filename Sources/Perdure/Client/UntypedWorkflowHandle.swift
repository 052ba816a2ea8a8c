public import Foundation
public import PerdureEngine
import Postgres

/// A workflow, addressed by its id and perhaps a run of it. Knows nothing of its types.
public struct UntypedWorkflowHandle: Sendable {
    let client: PerdureClient
    public let id: String
    /// The run that signals, queries and the like go to; nil for whichever is current.
    public let runID: UUID?
    /// The run whose result is waited for; nil for the latest.
    public let resultRunID: UUID?
}

// MARK: - Result

extension UntypedWorkflowHandle {
    /// Waits for the workflow to end.
    ///
    /// - Throws: ``WorkflowFailedError`` when it did not complete, ``WorkflowNotFoundError``.
    public func resultPayloads() async throws -> [Payload] {
        // Where the answers are read: to look costs no change of threads.
        try await withTaskExecutorPreference(EventLoop.shared) { try await pollResult() }
    }

    private func pollResult() async throws -> [Payload] {
        let closed = Wakeup()
        return try await client.notices.of(resultRunID, to: closed) { try await pollResult(closed) }
    }

    private func pollResult(_ closed: Wakeup) async throws -> [Payload] {
        let start = ContinuousClock.now
        // Nothing ends sooner.
        var wait = Duration.milliseconds(2)
        while true {
            let outcome = try await client.translating(id, resultRunID) {
                try await client.retrying {
                    try await client.engine.workflowResult(
                        namespace: client.namespace, workflowID: id, runID: resultRunID)
                }
            }
            switch outcome.status {
            case .running:
                // A workflow that is done soon is one of few, and those give notice.
                let isNoticed = resultRunID != nil && client.notices.areComing
                if isNoticed { wait = max(wait, .milliseconds(25) - start.duration(to: .now)) }
                await closed.sleep(atMost: wait)
                try Task.checkCancellation()
                // A result is learnt late by a millisecond, or by a tenth of the time that it took.
                let waited = start.duration(to: .now)
                wait = min(max(waited / 10, .milliseconds(1)), .milliseconds(500))
                if waited > .milliseconds(25), resultRunID != nil { client.notices.listen() }
            case .completed: return outcome.result
            case .failed, .canceled, .terminated, .timedOut, .continuedAsNew:
                throw WorkflowFailedError(
                    workflowID: id, runID: outcome.runID, status: outcome.status,
                    failure: outcome.failure
                        ?? .application("the workflow ended as \(outcome.status.rawValue)"))
            }
        }
    }

    /// Waits for the workflow to end, and decodes its result.
    public func result<Output: Decodable & Sendable>(as type: Output.Type = Output.self) async throws -> Output {
        try await (resultPayloads().first ?? .null).decode(type)
    }
}

// MARK: - Messages

extension UntypedWorkflowHandle {
    /// Sends a signal; once this returns, the workflow will get it, whatever fails. A lost connection does not send it
    /// twice.
    ///
    /// - Throws: ``WorkflowNotFoundError``, ``WorkflowClosedError``.
    public func signal(signalName: String, payloads: [Payload] = []) async throws {
        let requestID = UUID().uuidString
        try await client.translating(id, runID) {
            _ = try await client.retrying {
                try await client.engine.signalWorkflow(
                    namespace: client.namespace, workflowID: id, runID: runID, signalName: signalName, input: payloads,
                    identity: client.identity, requestID: requestID)
            }
        }
    }

    public func signal(signalName: String, input: some Encodable & Sendable) async throws {
        try await signal(signalName: signalName, payloads: [Payload(encoding: input)])
    }

    /// Asks the workflow a question, which a worker of its queue answers; also of a workflow that has ended.
    ///
    /// - Parameter timeout: how long to wait for a worker.
    /// - Throws: ``QueryFailedError`` when it cannot be answered, or not in time.
    public func query(
        queryName: String, payloads: [Payload] = [], timeout: Duration = .seconds(10)
    ) async throws -> [Payload] {
        try await client.translating(id, runID) {
            let queryID = try await client.engine.startQuery(
                namespace: client.namespace, workflowID: id, runID: runID, queryType: queryName, input: payloads,
                timeout: timeout)
            var poll = Backoff(from: .milliseconds(2), to: .milliseconds(100))
            while true {
                switch try await client.engine.queryAnswer(
                    namespace: client.namespace, workflowID: id, queryID: queryID)
                {
                case .answered(let result): return result
                case .failed(let failure): throw QueryFailedError(queryName: queryName, failure: failure)
                case .waiting: try await Task.sleep(for: poll.next())
                }
            }
        }
    }

    /// Asks the workflow to cancel itself; it may clean up first.
    public func cancel(reason: String? = nil) async throws {
        let requestID = UUID().uuidString
        try await client.translating(id, runID) {
            _ = try await client.retrying {
                try await client.engine.requestCancelWorkflow(
                    namespace: client.namespace, workflowID: id, runID: runID, reason: reason,
                    identity: client.identity, requestID: requestID)
            }
        }
    }

    /// Ends the workflow at once, without asking it.
    public func terminate(reason: String? = nil, details: [Payload] = []) async throws {
        try await client.translating(id, runID) {
            _ = try await client.engine.terminateWorkflow(
                namespace: client.namespace, workflowID: id, runID: runID, reason: reason, details: details,
                identity: client.identity)
        }
    }
}

// MARK: - Reading

extension UntypedWorkflowHandle {
    /// What is known of the run, its pending activities and timers included, as the engine describes it.
    public func describe() async throws -> WorkflowDescription {
        try await client.translating(id, runID) {
            WorkflowDescription(
                json: try await client.engine.describeWorkflow(
                    namespace: client.namespace, workflowID: id, runID: runID))
        }
    }

    /// The history of the run, as far as it goes.
    public func fetchHistory() async throws -> [HistoryEvent] {
        try await client.translating(id, runID) {
            let runID: UUID
            if let known = resultRunID ?? self.runID {
                runID = known
            } else {
                runID = try await client.engine.workflowResult(namespace: client.namespace, workflowID: id).runID
            }
            var events: [HistoryEvent] = []
            while true {
                let page = try await client.engine.history(
                    namespace: client.namespace, workflowID: id, runID: runID, from: (events.last?.eventId ?? 0) + 1)
                guard !page.isEmpty else { return events }
                events += page
            }
        }
    }
}

/// What is known of a run.
public struct WorkflowDescription: Sendable, Hashable {
    /// All of it: the columns of the view `perdure.workflows`, `pending_activities` and `pending_timers`.
    public let json: JSON

    public var status: WorkflowStatus? { json["status"]?.stringValue.flatMap(WorkflowStatus.init(rawValue:)) }
    public var runID: UUID? { json["run_id"]?.stringValue.flatMap(UUID.init(uuidString:)) }
    public var workflowType: String? { json["workflow_type"]?.stringValue }
    public var historyLength: Int? { json["history_length"]?.intValue }
    public var pendingActivities: [JSON] { json["pending_activities"]?.arrayValue ?? [] }
    public var pendingTimers: [JSON] { json["pending_timers"]?.arrayValue ?? [] }
}
