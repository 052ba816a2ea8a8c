import PerdureEngine

/// An update that a workflow handles: a message that its code may reject, and that has a result. `@WorkflowUpdate`
/// makes one of a method.
public protocol WorkflowUpdateDefinition<Workflow>: Sendable {
    associatedtype Workflow: WorkflowDefinition
    associatedtype Input: Sendable
    associatedtype Output: Sendable
    static var name: String { get }
    /// What it does, for people who look at a run.
    static var description: String? { get }
    static var unfinishedPolicy: HandlerUnfinishedPolicy { get }
    init()

    /// Looks at an update before it is accepted; changes nothing, and is not asked again on replay.
    ///
    /// - Throws: whatever is wrong with it: the update is rejected, and the history does not tell of it.
    func validateInput(workflow: Workflow, _ input: Input) throws

    /// The handler. It runs beside the workflow's code, and may wait as that does.
    ///
    /// - Returns: the update's result.
    /// - Throws: a ``FailureError`` fails the update; any other error is taken for a bug and fails the workflow task.
    func run(workflow: inout Workflow, context: WorkflowContext<Workflow>, input: Input) async throws -> Output
}

extension WorkflowUpdateDefinition {
    public static var name: String { String(describing: self) }
    public static var description: String? { nil }
    public static var unfinishedPolicy: HandlerUnfinishedPolicy { .warnAndAbandon }
    public func validateInput(workflow: Workflow, _ input: Input) throws {}
}

/// Which update a handler works on.
public struct WorkflowUpdateInfo: Sendable, Hashable {
    public let id: String
    public let name: String

    @TaskLocal static var current: WorkflowUpdateInfo?
}

extension WorkflowContext {
    /// The update that the code which asks handles; nil outside of an update's handler.
    public var currentUpdateInfo: WorkflowUpdateInfo? { WorkflowUpdateInfo.current }
}

extension UpdateRequest {
    /// What an event `WorkflowExecutionUpdateAccepted` accepted; nil for any other event.
    ///
    /// - Parameter admitted: updates that a reset took over, by their ids: an event has told of each before.
    init?(accepted event: HistoryEvent, of admitted: [String: UpdateRequest]) throws {
        guard event.eventType == .workflowExecutionUpdateAccepted else { return nil }
        if let request = event.attributes["acceptedRequest"] {
            try self.init(json: request)
        } else if let update = admitted[event.attributes["protocolInstanceId"]?.stringValue ?? ""] {
            self = update
        } else {
            return nil
        }
    }

    /// What an event `WorkflowExecutionUpdateAdmitted` tells of; nil for any other event.
    init?(admitted event: HistoryEvent) throws {
        guard event.eventType == .workflowExecutionUpdateAdmitted, let request = event.attributes["request"]
        else { return nil }
        try self.init(json: request)
    }
}
