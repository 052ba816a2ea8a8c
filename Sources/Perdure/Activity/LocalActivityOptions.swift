public import PerdureEngine

/// How a local activity is run: an activity that is short, and runs in the worker that has the workflow task. One of
/// ``startToCloseTimeout`` and ``scheduleToCloseTimeout`` is required.
public struct LocalActivityOptions: Hashable, Sendable {
    /// How long one attempt may take.
    public var startToCloseTimeout: Duration?
    /// How long it may take with all its attempts and waits.
    public var scheduleToCloseTimeout: Duration?
    /// How long it may wait for a slot of the worker. Not retried.
    public var scheduleToStartTimeout: Duration?
    public var retryPolicy: RetryPolicy?
    /// The longest wait between two attempts that the worker waits out itself. A longer one is a timer in the history.
    public var localRetryThreshold: Duration
    public var cancellationType: ActivityOptions.CancellationType
    /// Shown in histories; the idempotency key is made of it. A number if nil. Unique among a run's open activities.
    public var activityID: String?
    /// What it is for, in a line; shown with it.
    public var summary: String?

    /// - Parameter startToCloseTimeout: how long one attempt may take.
    public init(
        startToCloseTimeout: Duration, scheduleToCloseTimeout: Duration? = nil,
        scheduleToStartTimeout: Duration? = nil, retryPolicy: RetryPolicy? = nil,
        localRetryThreshold: Duration = .seconds(60),
        cancellationType: ActivityOptions.CancellationType = .tryCancel, activityID: String? = nil,
        summary: String? = nil
    ) {
        self.startToCloseTimeout = startToCloseTimeout
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.retryPolicy = retryPolicy
        self.localRetryThreshold = localRetryThreshold
        self.cancellationType = cancellationType
        self.activityID = activityID
        self.summary = summary
    }

    /// - Parameter scheduleToCloseTimeout: how long it may take with all its attempts; one attempt may take as long.
    public init(
        scheduleToCloseTimeout: Duration, scheduleToStartTimeout: Duration? = nil, retryPolicy: RetryPolicy? = nil,
        localRetryThreshold: Duration = .seconds(60),
        cancellationType: ActivityOptions.CancellationType = .tryCancel, activityID: String? = nil,
        summary: String? = nil
    ) {
        self.scheduleToCloseTimeout = scheduleToCloseTimeout
        self.scheduleToStartTimeout = scheduleToStartTimeout
        self.retryPolicy = retryPolicy
        self.localRetryThreshold = localRetryThreshold
        self.cancellationType = cancellationType
        self.activityID = activityID
        self.summary = summary
    }
}
