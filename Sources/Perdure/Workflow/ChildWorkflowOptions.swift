public import PerdureEngine

/// How a child workflow is started, and what binds it to its parent.
public struct ChildWorkflowOptions: Sendable {
    /// What becomes of a child when its parent closes.
    public enum ParentClosePolicy: String, Sendable {
        case terminate = "Terminate"
        case abandon = "Abandon"
        case requestCancel = "RequestCancel"
    }

    /// What cancelling the task that waits for a child does.
    public enum CancellationType: Sendable, Hashable {
        /// Nothing to the child; the wait ends at once.
        case abandon
        /// Asks the child to cancel itself; the wait ends at once.
        case tryCancel
        /// Asks the child to cancel itself, and waits for its end.
        case waitCancellationCompleted
        /// Asks the child to cancel itself, and waits until it has been asked.
        case waitCancellationRequested
    }

    /// The child's workflow id; a random one by default, the same on replay.
    public var id: String?
    /// The parent's by default.
    public var taskQueue: String?
    /// When a run that failed is tried again; nil is never.
    public var retryPolicy: RetryPolicy?
    /// From the first run's start, over all runs.
    public var executionTimeout: Duration?
    /// For each run.
    public var runTimeout: Duration?
    /// How long a worker may take over one workflow task; 10 s by default.
    public var taskTimeout: Duration?
    /// 1 is claimed first; that of the parent by default. A number above 5 counts as 5.
    public var priority: Int?
    /// Notes about the run, shown with it.
    public var memo: [String: any Encodable & Sendable]
    /// Plain JSON, of the type that the namespace has declared for the name.
    public var searchAttributes: [String: JSON]
    /// What the run is for, in a line; shown with it and with the event that starts it.
    public var staticSummary: String?
    /// More of that, as Markdown.
    public var staticDetails: String?
    public var parentClosePolicy: ParentClosePolicy
    public var idReusePolicy: WorkflowOptions.IDReusePolicy
    public var cronSchedule: String?
    public var cancellationType: CancellationType

    public init(
        id: String? = nil, taskQueue: String? = nil, retryPolicy: RetryPolicy? = nil,
        executionTimeout: Duration? = nil, runTimeout: Duration? = nil, taskTimeout: Duration? = nil,
        priority: Int? = nil, memo: [String: any Encodable & Sendable] = [:], searchAttributes: [String: JSON] = [:],
        staticSummary: String? = nil, staticDetails: String? = nil, parentClosePolicy: ParentClosePolicy = .terminate,
        idReusePolicy: WorkflowOptions.IDReusePolicy = .allowDuplicate, cronSchedule: String? = nil,
        cancellationType: CancellationType = .waitCancellationCompleted
    ) {
        self.id = id
        self.taskQueue = taskQueue
        self.retryPolicy = retryPolicy
        self.executionTimeout = executionTimeout
        self.runTimeout = runTimeout
        self.taskTimeout = taskTimeout
        self.priority = priority
        self.memo = memo
        self.searchAttributes = searchAttributes
        self.staticSummary = staticSummary
        self.staticDetails = staticDetails
        self.parentClosePolicy = parentClosePolicy
        self.idReusePolicy = idReusePolicy
        self.cronSchedule = cronSchedule
        self.cancellationType = cancellationType
    }

    /// The attributes of the command that starts the child, but for the memo.
    func attributes(id: String, type: String, taskQueue parentsQueue: String, input: [Payload]) throws -> JSON {
        func wire(_ duration: Duration?) -> JSON? { duration.map { .string($0.wire) } }
        try Limits.check(name: type, "workflow type of the child")
        try Limits.check(name: id, "workflow id of the child")
        if let taskQueue { try Limits.check(name: taskQueue, "task queue") }
        try Limits.check(input, "input of child workflow \(type)")
        try Limits.check(.object(searchAttributes), atMost: Limits.searchAttributes, "search attributes")
        return .compact([
            "workflowId": .string(id), "workflowType": ["name": .string(type)],
            "taskQueue": ["name": .string(taskQueue ?? parentsQueue)], "input": input.json,
            "workflowExecutionTimeout": wire(executionTimeout), "workflowRunTimeout": wire(runTimeout),
            "workflowTaskTimeout": wire(taskTimeout), "retryPolicy": retryPolicy?.json,
            "priority": priority.map { ["priorityKey": .number($0)] },
            "searchAttributes": searchAttributes.isEmpty ? nil : .object(searchAttributes),
            "parentClosePolicy": .string(parentClosePolicy.rawValue),
            "workflowIdReusePolicy": .string(idReusePolicy.rawValue),
            "cronSchedule": cronSchedule.map { .string($0) },
        ])
    }
}
