public import Foundation
public import PerdureEngine
import Postgres

/// A workflow, addressed by its id and perhaps a run of it. Knows nothing of its types.
public struct UntypedWorkflowHandle: Sendable {
    let client: PerdureClient
    public let id: String
    /// The run that signals, queries and the like go to; nil for whichever is current.
    public let runID: UUID?
    /// The first run of the chain that is canceled and terminated; nil for whichever has the workflow id.
    public let firstExecutionRunID: UUID?
    /// The run whose result is waited for; nil for the latest.
    public let resultRunID: UUID?

    var converter: DataConverter { client.dataConverter }

    /// What a cancellation and a termination name.
    private var chain: UUID? { runID == nil ? firstExecutionRunID : nil }
}

// MARK: - Result

extension UntypedWorkflowHandle {
    /// Waits for the workflow to end.
    ///
    /// - Parameter followRuns: whether to go on with the runs that follow, by continue-as-new, a retry or a cron
    ///   schedule.
    /// - Throws: ``WorkflowFailedError`` when it did not complete, ``WorkflowContinuedAsNewError`` when it is not
    ///   followed,
    ///   ``WorkflowNotFoundError``.
    public func resultPayloads(followRuns: Bool = true) async throws -> [Payload] {
        // Where the answers are read: to look costs no change of threads.
        try await withTaskExecutorPreference(EventLoop.shared) {
            var run = resultRunID
            while true {
                let outcome = try await outcome(of: run)
                if followRuns, let next = outcome.nextRunID {
                    run = next
                    continue
                }
                return try await result(of: outcome)
            }
        }
    }

    private func result(of outcome: WorkflowOutcome) async throws -> [Payload] {
        switch outcome.status {
        case .completed: return try await converter.decoded(outcome.result)
        case .continuedAsNew:
            throw WorkflowContinuedAsNewError(workflowID: id, runID: outcome.runID, newRunID: outcome.nextRunID)
        case .running, .failed, .canceled, .terminated, .timedOut:
            let failure = outcome.failure ?? .application("the workflow ended as \(outcome.status.rawValue)")
            throw WorkflowFailedError(
                workflowID: id, runID: outcome.runID, status: outcome.status,
                failure: try await converter.shown(failure))
        }
    }

    private func outcome(of run: UUID?) async throws -> WorkflowOutcome {
        let endWait = client.onWait?(id, run)
        defer { endWait?() }
        let closed = Wakeup()
        return try await client.notices.of(run, to: closed) { try await outcome(of: run, closed) }
    }

    private func outcome(of run: UUID?, _ closed: Wakeup) async throws -> WorkflowOutcome {
        let start = ContinuousClock.now
        // Nothing ends sooner.
        var wait = Duration.milliseconds(2)
        while true {
            let outcome = try await client.translating(id, run) {
                try await client.retrying(.getWorkflowExecutionHistory) {
                    try await client.engine.workflowResult(namespace: client.namespace, workflowID: id, runID: run)
                }
            }
            guard outcome.status == .running else { return outcome }
            // A workflow that is done soon is one of few, and those give notice.
            let isNoticed = run != nil && client.notices.areComing
            if isNoticed { wait = max(wait, .milliseconds(25) - start.duration(to: .now)) }
            await closed.sleep(atMost: wait)
            try Task.checkCancellation()
            // A result is learnt late by a millisecond, or by a tenth of the time that it took.
            let waited = start.duration(to: .now)
            wait = min(max(waited / 10, .milliseconds(1)), .milliseconds(500))
            if waited > .milliseconds(25), run != nil { client.notices.listen() }
        }
    }

    /// Waits for the workflow to end, and decodes its result.
    public func result<Output: Decodable & Sendable>(
        as type: Output.Type = Output.self, followRuns: Bool = true
    ) async throws -> Output {
        try converter.decode(type, from: await resultPayloads(followRuns: followRuns))
    }
}

// MARK: - Messages

extension UntypedWorkflowHandle {
    /// Sends a signal; once this returns, the workflow will get it, whatever fails. A lost connection does not send it
    /// twice.
    ///
    /// - Throws: ``WorkflowNotFoundError``, ``WorkflowClosedError``.
    public func signal(signalName: String, payloads: [Payload] = []) async throws {
        try await send(signalName, payloads)
    }

    public func signal(signalName: String, input: some Encodable & Sendable) async throws {
        try await send(signalName, input)
    }

    func send<Input: Sendable>(_ signalName: String, _ input: Input) async throws {
        try await intercept(
            by: client.interceptors,
            SignalWorkflowInput(id: id, runID: runID, name: signalName, headers: [:], input: input)
        ) {
            try await $0.signalWorkflow(input: $1, next: $2)
        } around: { signal in
            let requestID = UUID().uuidString
            let input = try await converter.encoded(converter.encode(signal.input))
            try await client.translating(signal.id, signal.runID) {
                _ = try await client.retrying(.signalWorkflowExecution) {
                    try await client.engine.signalWorkflow(
                        namespace: client.namespace, workflowID: signal.id, runID: signal.runID,
                        signalName: signal.name, input: input, identity: client.identity, requestID: requestID,
                        headers: signal.headers)
                } hasTakenEffect: {
                    try await run {
                        $0.eventType == .workflowExecutionSignaled && $0.attributes["requestId"] == .string(requestID)
                    }
                }
            }
        }
    }

    /// Asks the workflow a question, which a worker of its queue answers; also of a workflow that has ended.
    ///
    /// - Parameter timeout: how long to wait for a worker.
    /// - Throws: ``QueryFailedError`` when it cannot be answered, or not in time.
    public func query(
        queryName: String, payloads: [Payload] = [], timeout: Duration = .seconds(10)
    ) async throws -> [Payload] {
        try await ask(queryName, payloads, timeout)
    }

    func ask<Input: Sendable>(_ queryName: String, _ input: Input, _ timeout: Duration) async throws -> [Payload] {
        try await intercept(
            by: client.interceptors,
            QueryWorkflowInput(id: id, runID: runID, queryName: queryName, headers: [:], input: input)
        ) {
            try await $0.queryWorkflow(input: $1, next: $2)
        } around: { query in
            let input = try await converter.encoded(converter.encode(query.input))
            return try await client.translating(query.id, query.runID) {
                // Asked twice, it is answered twice; a question changes nothing.
                let queryID = try await client.retrying(.queryWorkflow) {
                    try await client.engine.startQuery(
                        namespace: client.namespace, workflowID: query.id, runID: query.runID,
                        queryType: query.queryName, input: input, timeout: timeout, headers: query.headers)
                }
                var poll = Backoff(from: .milliseconds(2), to: .milliseconds(100))
                while true {
                    let state = try await client.retrying(.queryWorkflow) {
                        try await client.engine.queryAnswer(
                            namespace: client.namespace, workflowID: query.id, queryID: queryID)
                    }
                    switch state {
                    case .answered(let result): return try await converter.decoded(result)
                    case .failed(let failure):
                        throw QueryFailedError(
                            queryName: query.queryName, failure: try await converter.shown(failure))
                    case .waiting: try await Task.sleep(for: poll.next())
                    }
                }
            }
        }
    }

    /// Asks the workflow to cancel itself; it may clean up first.
    public func cancel(reason: String? = nil) async throws {
        try await intercept(
            by: client.interceptors,
            CancelWorkflowInput(id: id, runID: runID, firstExecutionRunID: chain, reason: reason)
        ) {
            try await $0.cancelWorkflow(input: $1, next: $2)
        } around: { cancel in
            let requestID = UUID().uuidString
            try await client.translating(cancel.id, cancel.runID) {
                _ = try await client.retrying(.requestCancelWorkflowExecution) {
                    try await client.engine.requestCancelWorkflow(
                        namespace: client.namespace, workflowID: cancel.id, runID: cancel.runID,
                        reason: cancel.reason, identity: client.identity, requestID: requestID,
                        firstRunID: cancel.firstExecutionRunID)
                } hasTakenEffect: {
                    try await run {
                        $0.eventType == .workflowExecutionCancelRequested
                            && $0.attributes["requestId"] == .string(requestID)
                    }
                }
            }
        }
    }

    /// Ends the workflow at once, without asking it.
    public func terminate(reason: String? = nil, details: [Payload] = []) async throws {
        try await intercept(
            by: client.interceptors,
            TerminateWorkflowInput(
                id: id, runID: runID, firstExecutionRunID: chain, reason: reason, details: details)
        ) {
            try await $0.terminateWorkflow(input: $1, next: $2)
        } around: { end in
            let details = try await converter.encoded(end.details)
            try await client.translating(end.id, end.runID) {
                _ = try await client.retrying(.terminateWorkflowExecution) {
                    try await client.engine.terminateWorkflow(
                        namespace: client.namespace, workflowID: end.id, runID: end.runID, reason: end.reason,
                        details: details, identity: client.identity, firstRunID: end.firstExecutionRunID)
                } hasTakenEffect: {
                    try await run {
                        $0.eventType == .workflowExecutionTerminated
                            && $0.attributes["identity"] == .string(client.identity)
                            && $0.attributes["reason"]?.stringValue == end.reason
                    }
                }
            }
        }
    }

    /// The run, if its history holds such an event.
    private func run(that holds: (HistoryEvent) -> Bool) async throws -> UUID? {
        let outcome = try await client.retrying(.getWorkflowExecutionHistory) {
            try await client.engine.workflowResult(namespace: client.namespace, workflowID: id, runID: runID)
        }
        let handle = UntypedWorkflowHandle(
            client: client, id: id, runID: outcome.runID, firstExecutionRunID: nil, resultRunID: outcome.runID)
        return try await handle.fetchHistory().contains(where: holds) ? outcome.runID : nil
    }
}

// MARK: - Reading

extension UntypedWorkflowHandle {
    /// What is known of the run, its pending activities and timers included, as the engine describes it.
    public func describe() async throws -> WorkflowDescription {
        try await intercept(
            by: client.interceptors, DescribeWorkflowInput(id: id, runID: runID)
        ) {
            try await $0.describeWorkflow(input: $1, next: $2)
        } around: { input in
            try await client.translating(input.id, input.runID) {
                try await client.retrying(.describeWorkflowExecution) {
                    var json = try await client.engine.describeWorkflow(
                        namespace: client.namespace, workflowID: input.id, runID: input.runID)
                    if let memo = json["memo"] { json["memo"] = try await converter.decoded(memo: memo) }
                    return WorkflowDescription(json: json)
                }
            }
        }
    }

    /// The history of the run, as far as it goes.
    public func fetchHistory() async throws -> [HistoryEvent] {
        try await client.translating(id, runID) {
            let runID: UUID
            if let known = resultRunID ?? self.runID {
                runID = known
            } else {
                runID = try await client.retrying(.getWorkflowExecutionHistory) {
                    try await client.engine.workflowResult(namespace: client.namespace, workflowID: id).runID
                }
            }
            var events: [HistoryEvent] = []
            while true {
                let page = try await client.retrying(.getWorkflowExecutionHistory) {
                    try await client.engine.history(
                        namespace: client.namespace, workflowID: id, runID: runID,
                        from: (events.last?.eventId ?? 0) + 1)
                }
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
