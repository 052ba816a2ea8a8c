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
    /// 1 is claimed first, 5 last; the run's own if nil.
    public var priority: Int?

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
        priority: Int? = nil, activityID: String? = nil
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
    }

    /// - Parameter scheduleToCloseTimeout: how long the activity may take with all its attempts; one attempt may take as
    ///   long.
    public init(
        scheduleToCloseTimeout: Duration, scheduleToStartTimeout: Duration? = nil,
        cancellationType: CancellationType = .tryCancel, heartbeatTimeout: Duration? = nil, taskQueue: String? = nil,
        retryPolicy: RetryPolicy? = nil, priority: Int? = nil, activityID: String? = nil
    ) {
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.cancellationType = cancellationType
        self.heartbeatTimeout = heartbeatTimeout
        self.taskQueue = taskQueue
        self.retryPolicy = retryPolicy
        self.priority = priority
        self.activityID = activityID
    }
}
