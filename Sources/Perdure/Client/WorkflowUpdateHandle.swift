public import Foundation
public import PerdureEngine

/// How far an update has come.
public enum WorkflowUpdateStage: Sendable, Hashable {
    /// The workflow's code has taken it.
    case accepted
    /// It has its result.
    case completed
}

/// An update of a known type that a workflow was sent.
public struct WorkflowUpdateHandle<Update: WorkflowUpdateDefinition>: Sendable {
    /// The same without its types.
    public let untypedHandle: UntypedWorkflowUpdateHandle

    public var id: String { untypedHandle.id }
    public var workflowID: String { untypedHandle.workflowID }
    public var workflowRunID: UUID? { untypedHandle.workflowRunID }

    /// Waits for the update's result.
    ///
    /// - Throws: ``WorkflowUpdateFailedError``, ``WorkflowUpdateNotFoundError``, ``WorkflowClosedError`` when the
    ///   workflow ended before it saw the update.
    @discardableResult
    public func result() async throws -> Update.Output {
        try untypedHandle.client.dataConverter.decode(from: await untypedHandle.resultPayloads())
    }
}

/// An update that a workflow was sent, addressed by its id. Knows nothing of its types.
public struct UntypedWorkflowUpdateHandle: Sendable {
    let client: PerdureClient
    public let id: String
    public let workflowID: String
    /// The run that got it; nil for whichever is current.
    public let workflowRunID: UUID?

    /// Waits for the update's result.
    ///
    /// - Throws: ``WorkflowUpdateFailedError``, ``WorkflowUpdateNotFoundError``, ``WorkflowClosedError`` when the
    ///   workflow ended before it saw the update.
    public func resultPayloads() async throws -> [Payload] { try await wait(for: .completed) }

    /// Waits for the update's result, and decodes it.
    public func result<Output: Decodable & Sendable>(as type: Output.Type = Output.self) async throws -> Output {
        try client.dataConverter.decode(type, from: await resultPayloads())
    }

    /// - Returns: the result, or nothing if it was not waited for.
    @discardableResult
    func wait(for stage: WorkflowUpdateStage) async throws -> [Payload] {
        let news = Wakeup()
        return try await client.notices.of(workflowRunID, to: news) {
            var pause = Duration.milliseconds(2)
            while true {
                let state = try await look()
                switch state {
                case .accepted where stage == .accepted: return []
                case .admitted, .accepted: break
                case .completed(.success(let result)): return try await client.dataConverter.decoded(result)
                case .completed(.failure(let failure)):
                    throw WorkflowUpdateFailedError(
                        workflowID: workflowID, updateID: id, isRejected: false,
                        failure: try await client.dataConverter.shown(failure))
                case .rejected(let failure):
                    throw WorkflowUpdateFailedError(
                        workflowID: workflowID, updateID: id, isRejected: true,
                        failure: try await client.dataConverter.shown(failure))
                case .aborted: throw WorkflowClosedError(workflowID: workflowID, runID: workflowRunID)
                }
                await news.sleep(atMost: pause)
                try Task.checkCancellation()
                pause = min(pause * 2, .milliseconds(250))
            }
        }
    }

    private func look() async throws -> UpdateState {
        do {
            return try await client.translating(workflowID, workflowRunID) {
                try await client.retrying(.pollWorkflowExecutionUpdate) {
                    try await client.engine.updateState(
                        namespace: client.namespace, workflowID: workflowID, runID: workflowRunID, updateID: id)
                }
            }
        } catch let error as EngineError where error.code == .updateNotFound {
            throw WorkflowUpdateNotFoundError(workflowID: workflowID, updateID: id)
        }
    }
}

// MARK: - Sending

extension PerdureClient {
    func status(of workflowID: String, _ runID: UUID) async throws -> WorkflowStatus {
        try await retrying(.getWorkflowExecutionHistory) {
            try await engine.workflowResult(namespace: namespace, workflowID: workflowID, runID: runID).status
        }
    }
}

extension UntypedWorkflowHandle {
    /// Sends an update and waits until it has come so far. A lost connection does not send it twice.
    ///
    /// - Parameter updateID: a repeat with the same id finds the first.
    /// - Throws: ``WorkflowUpdateFailedError`` when the workflow's code rejects it, ``WorkflowNotFoundError``,
    ///   ``WorkflowClosedError``, ``EngineError`` when too many updates of the run are open.
    public func startUpdate(
        updateName: String, updateID: String = UUID().uuidString, waitForStage stage: WorkflowUpdateStage,
        payloads: [Payload] = []
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await send(updateName, updateID, stage, payloads)
    }

    func send<Input: Sendable>(
        _ name: String, _ updateID: String, _ stage: WorkflowUpdateStage, _ input: Input
    ) async throws -> UntypedWorkflowUpdateHandle {
        try await intercept(
            by: client.interceptors,
            StartWorkflowUpdateInput(
                id: id, runID: runID, updateID: updateID, updateName: name, waitForStage: stage, headers: [:],
                input: input)
        ) {
            try await $0.startWorkflowUpdate(input: $1, next: $2)
        } around: { update in
            let input = try await converter.encoded(converter.encode(update.input))
            while true {
                let updated = try await client.translating(update.id, update.runID) {
                    try await client.retrying(.updateWorkflowExecution) {
                        try await client.engine.updateWorkflow(
                            namespace: client.namespace, workflowID: update.id, runID: update.runID,
                            updateID: update.updateID, name: update.updateName, input: input,
                            identity: client.identity, headers: update.headers)
                    }
                }
                let handle = UntypedWorkflowUpdateHandle(
                    client: client, id: update.updateID, workflowID: update.id, workflowRunID: updated)
                do {
                    try await handle.wait(for: update.waitForStage)
                } catch let error as WorkflowUpdateFailedError where !error.isRejected {
                    // Its result is that it failed.
                } catch let error as WorkflowClosedError {
                    // A run that goes on as another one hands on what it did not see.
                    guard update.runID == nil, try await client.status(of: update.id, updated) == .continuedAsNew
                    else { throw error }
                    continue
                }
                return handle
            }
        }
    }

    /// Sends an update and waits for its result.
    public func executeUpdate<Output: Decodable & Sendable>(
        updateName: String, updateID: String = UUID().uuidString, input: some Encodable & Sendable,
        resultType: Output.Type = Output.self
    ) async throws -> Output {
        try await send(updateName, updateID, .completed, input).result(as: resultType)
    }

    /// An update that was sent before.
    public func updateHandle(id updateID: String) -> UntypedWorkflowUpdateHandle {
        UntypedWorkflowUpdateHandle(
            client: client, id: updateID, workflowID: id, workflowRunID: runID ?? resultRunID)
    }
}

extension WorkflowHandle {
    /// Sends an update and waits until it has come so far. A lost connection does not send it twice.
    ///
    /// - Parameter updateID: a repeat with the same id finds the first.
    /// - Throws: ``WorkflowUpdateFailedError`` when the workflow's code rejects it, ``WorkflowNotFoundError``,
    ///   ``WorkflowClosedError``, ``EngineError`` when too many updates of the run are open.
    public func startUpdate<Update: WorkflowUpdateDefinition>(
        updateType: Update.Type = Update.self, updateID: String = UUID().uuidString,
        waitForStage stage: WorkflowUpdateStage, input: Update.Input
    ) async throws -> WorkflowUpdateHandle<Update> where Update.Workflow == Workflow {
        WorkflowUpdateHandle(
            untypedHandle: try await untypedHandle.send(updateType.name, updateID, stage, input))
    }

    /// Sends an update without input.
    public func startUpdate<Update: WorkflowUpdateDefinition>(
        updateType: Update.Type, updateID: String = UUID().uuidString, waitForStage stage: WorkflowUpdateStage
    ) async throws -> WorkflowUpdateHandle<Update> where Update.Workflow == Workflow, Update.Input == Void {
        try await startUpdate(updateType: updateType, updateID: updateID, waitForStage: stage, input: ())
    }

    /// Sends an update and waits for its result.
    ///
    /// - Throws: ``WorkflowUpdateFailedError`` when it fails or is rejected, and what
    ///   ``startUpdate(updateType:updateID:waitForStage:input:)`` throws.
    @discardableResult
    public func executeUpdate<Update: WorkflowUpdateDefinition>(
        updateType: Update.Type = Update.self, updateID: String = UUID().uuidString, input: Update.Input
    ) async throws -> Update.Output where Update.Workflow == Workflow {
        try await startUpdate(updateType: updateType, updateID: updateID, waitForStage: .completed, input: input)
            .result()
    }

    /// Sends an update without input and waits for its result.
    @discardableResult
    public func executeUpdate<Update: WorkflowUpdateDefinition>(
        updateType: Update.Type, updateID: String = UUID().uuidString
    ) async throws -> Update.Output where Update.Workflow == Workflow, Update.Input == Void {
        try await executeUpdate(updateType: updateType, updateID: updateID, input: ())
    }

    /// An update that was sent before.
    public func updateHandle<Update: WorkflowUpdateDefinition>(
        updateType: Update.Type = Update.self, id: String
    ) -> WorkflowUpdateHandle<Update> where Update.Workflow == Workflow {
        WorkflowUpdateHandle(untypedHandle: untypedHandle.updateHandle(id: id))
    }
}
