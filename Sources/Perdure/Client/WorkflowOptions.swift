public import PerdureEngine

/// How a workflow is started.
public struct WorkflowOptions: Sendable {
    /// Whether a closed run with the same workflow id stands in the way.
    public enum IDReusePolicy: String, Sendable {
        case allowDuplicate = "AllowDuplicate"
        case allowDuplicateFailedOnly = "AllowDuplicateFailedOnly"
        case rejectDuplicate = "RejectDuplicate"
    }

    /// What to do about a running run with the same workflow id.
    public enum IDConflictPolicy: String, Sendable {
        case fail = "Fail"
        case useExisting = "UseExisting"
        case terminateExisting = "TerminateExisting"
    }

    public var id: String
    public var taskQueue: String
    /// When a run that failed is tried again; nil is never.
    public var retryPolicy: RetryPolicy?
    /// From the first run's start, over all runs.
    public var executionTimeout: Duration?
    /// For each run.
    public var runTimeout: Duration?
    /// How long a worker may take over one workflow task; 10 s by default.
    public var taskTimeout: Duration?
    /// How long until the first workflow task.
    public var startDelay: Duration?
    /// When runs start, one after the other: five fields in UTC, as `0 9 * * MON-FRI`, with `CRON_TZ=Europe/Berlin` in
    /// front for another time zone; `@daily`; `@every 90s`. A run starts when the one before it has ended.
    public var cronSchedule: String?
    /// 1 is claimed first; 3 by default. A number above 5 counts as 5.
    public var priority: Int?
    /// Notes about the run, shown with it.
    public var memo: [String: any Encodable & Sendable]
    /// Plain JSON, of the type that the namespace has declared for the name. Runs can be listed by them.
    public var searchAttributes: [String: JSON]
    /// What the run is for, in a line; shown with it.
    public var staticSummary: String?
    /// More of that, as Markdown.
    public var staticDetails: String?
    public var idReusePolicy: IDReusePolicy
    public var idConflictPolicy: IDConflictPolicy
    /// Two starts with one request id start one run. A random one unless set, which makes retries of this call safe.
    public var requestID: String?

    public init(
        id: String, taskQueue: String, retryPolicy: RetryPolicy? = nil, executionTimeout: Duration? = nil,
        runTimeout: Duration? = nil, taskTimeout: Duration? = nil, startDelay: Duration? = nil,
        cronSchedule: String? = nil, priority: Int? = nil,
        memo: [String: any Encodable & Sendable] = [:], searchAttributes: [String: JSON] = [:],
        staticSummary: String? = nil, staticDetails: String? = nil, idReusePolicy: IDReusePolicy = .allowDuplicate,
        idConflictPolicy: IDConflictPolicy = .fail,
        requestID: String? = nil
    ) {
        self.id = id
        self.taskQueue = taskQueue
        self.retryPolicy = retryPolicy
        self.executionTimeout = executionTimeout
        self.runTimeout = runTimeout
        self.taskTimeout = taskTimeout
        self.startDelay = startDelay
        self.cronSchedule = cronSchedule
        self.priority = priority
        self.memo = memo
        self.searchAttributes = searchAttributes
        self.staticSummary = staticSummary
        self.staticDetails = staticDetails
        self.idReusePolicy = idReusePolicy
        self.idConflictPolicy = idConflictPolicy
        self.requestID = requestID
    }

    /// The contract's `p_options`, but for memo and header.
    func json(identity: String, requestID: String) throws -> JSON {
        func wire(_ duration: Duration?) -> JSON? { duration.map { .string($0.wire) } }
        try Limits.check(.object(searchAttributes), atMost: Limits.searchAttributes, "search attributes")
        return .compact([
            "workflowIdReusePolicy": .string(idReusePolicy.rawValue),
            "workflowIdConflictPolicy": .string(idConflictPolicy.rawValue),
            "requestId": .string(self.requestID ?? requestID), "identity": .string(identity),
            "workflowExecutionTimeout": wire(executionTimeout), "workflowRunTimeout": wire(runTimeout),
            "workflowTaskTimeout": wire(taskTimeout), "workflowStartDelay": wire(startDelay),
            "retryPolicy": retryPolicy?.json, "cronSchedule": cronSchedule.map { .string($0) },
            "priority": priority.map { .number($0) },
            "searchAttributes": searchAttributes.isEmpty ? nil : .object(searchAttributes),
        ])
    }
}
