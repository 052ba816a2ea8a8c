public import PerdureEngine

/// How an activity is run. One of ``startToCloseTimeout`` and ``scheduleToCloseTimeout`` is required.
public struct ActivityOptions: Sendable {
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
    /// 1 is claimed first, 5 last; the run's own if nil.
    public var priority: Int?

    /// What a workflow waits for when it cancels an activity.
    public enum CancellationType: Sendable {
        /// Asks the activity to stop, and goes on at once.
        case tryCancel
        /// Waits until the activity has stopped, or finished.
        case waitCancellationCompleted
        /// Leaves the activity alone, and goes on at once.
        case abandon
    }

    public init(
        startToCloseTimeout: Duration? = nil, scheduleToCloseTimeout: Duration? = nil,
        scheduleToStartTimeout: Duration? = nil, heartbeatTimeout: Duration? = nil, retryPolicy: RetryPolicy? = nil,
        taskQueue: String? = nil, activityID: String? = nil, cancellationType: CancellationType = .tryCancel,
        priority: Int? = nil
    ) {
        self.startToCloseTimeout = startToCloseTimeout
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.heartbeatTimeout = heartbeatTimeout
        self.retryPolicy = retryPolicy
        self.taskQueue = taskQueue
        self.activityID = activityID
        self.cancellationType = cancellationType
        self.priority = priority
    }
}
