public import PerdureEngine

/// How an activity is run. One of ``startToCloseTimeout`` and ``scheduleToCloseTimeout`` is required.
public struct ActivityOptions: Hashable, Sendable {
    /// How long one attempt may take.
    public var startToCloseTimeout: Duration?
    /// How long the activity may take with all its attempts and waits.
    public var scheduleToCloseTimeout: Duration?
    /// How long it may wait for a worker. Not retried.
    public var scheduleToStartTimeout: Duration?
    /// How long it may be silent; see ``ActivityExecutionContext/heartbeat(_:)``.
    public var heartbeatTimeout: Duration?
    public var retryPolicy: RetryPolicy?
    /// The workflow's own task queue if nil.
    public var taskQueue: String?
    /// Shown in histories; the idempotency key is made of it. A number if nil. Unique among a run's open activities.
    public var activityID: String?
    public var cancellationType: CancellationType
    /// 1 is claimed first; the run's own if nil. A number above 5 counts as 5.
    public var priority: Int?
    /// By whom activities of a queue are to take turns. Kept and shown, and handed out; claims do not look at it.
    public var fairnessKey: String?
    /// How often the key's turn is to come; 1 if nil.
    public var fairnessWeight: Double?
    /// A few words for people, in Markdown, that histories show.
    public var summary: String?

    /// What a workflow waits for when it cancels an activity.
    public enum CancellationType: Hashable, Sendable {
        /// Asks the activity to stop, and goes on at once.
        case tryCancel
        /// Waits until the activity has stopped, or finished.
        case waitCancellationCompleted
        /// Leaves the activity alone, and goes on at once.
        case abandon
    }

    /// - Parameter startToCloseTimeout: how long one attempt may take.
    public init(
        startToCloseTimeout: Duration, scheduleToCloseTimeout: Duration? = nil,
        scheduleToStartTimeout: Duration? = nil, cancellationType: CancellationType = .tryCancel,
        heartbeatTimeout: Duration? = nil, taskQueue: String? = nil, retryPolicy: RetryPolicy? = nil,
        priority: Int? = nil, activityID: String? = nil, fairnessKey: String? = nil,
        fairnessWeight: Double? = nil, summary: String? = nil
    ) {
        self.startToCloseTimeout = startToCloseTimeout
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.cancellationType = cancellationType
        self.heartbeatTimeout = heartbeatTimeout
        self.taskQueue = taskQueue
        self.retryPolicy = retryPolicy
        self.priority = priority
        self.activityID = activityID
        self.fairnessKey = fairnessKey
        self.fairnessWeight = fairnessWeight
        self.summary = summary
    }

    /// - Parameter scheduleToCloseTimeout: how long the activity may take with all its attempts; one attempt may take
    ///   as long.
    public init(
        scheduleToCloseTimeout: Duration, scheduleToStartTimeout: Duration? = nil,
        cancellationType: CancellationType = .tryCancel, heartbeatTimeout: Duration? = nil, taskQueue: String? = nil,
        retryPolicy: RetryPolicy? = nil, priority: Int? = nil, activityID: String? = nil,
        fairnessKey: String? = nil, fairnessWeight: Double? = nil, summary: String? = nil
    ) {
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.cancellationType = cancellationType
        self.heartbeatTimeout = heartbeatTimeout
        self.taskQueue = taskQueue
        self.retryPolicy = retryPolicy
        self.priority = priority
        self.activityID = activityID
        self.fairnessKey = fairnessKey
        self.fairnessWeight = fairnessWeight
        self.summary = summary
    }

    /// `temporal.api.common.v1.Priority`; nil for that of the run.
    var priorityJSON: JSON? {
        guard priority != nil || fairnessKey != nil || fairnessWeight != nil else { return nil }
        return .compact([
            "priorityKey": priority.map { .number($0) }, "fairnessKey": fairnessKey.map { .string($0) },
            "fairnessWeight": fairnessWeight.map { .number("\($0)") },
        ])
    }
}
