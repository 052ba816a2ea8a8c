import Foundation
public import Metrics

/// How a ``Worker`` works. The defaults suit one process on a few cores.
public struct WorkerOptions: Sendable {
    public var namespace: String
    public var taskQueue: String
    /// Who did it, in histories: `pid@host` unless told otherwise.
    public var identity: String
    /// The version of the deployed code. Registering under it makes failed workflow tasks try again at once.
    public var buildID: String

    /// Workflow tasks in progress at a time. They compute and do not wait, so more than a few per core gain nothing.
    public var maxConcurrentWorkflowTasks: Int = 64
    public var maxConcurrentActivities: Int = 100
    /// Local activities that run at a time; others wait, as a part of their workflow's task.
    public var maxConcurrentLocalActivities: Int = 100
    /// Transactional activities that run at a time, one at least, each on a connection of its own beside the pool's,
    /// made when it is needed. An attempt that has waited for one as long as the lease lasts is handed back, and does
    /// not count.
    public var maxConcurrentTransactions: Int = 8
    /// Runs kept live in memory; one that does not fit is replayed from its history at its next workflow task.
    public var maxCachedWorkflows: Int = 1000
    /// What a worker that dies holds goes back to the queue after this. Renewed at a third of it.
    public var lease: Duration = .seconds(10)
    /// The wait after a poll that found nothing; doubles up to ``maximumPollInterval`` while there is nothing to do.
    public var minimumPollInterval: Duration = .milliseconds(2)
    public var maximumPollInterval: Duration = .seconds(1)
    /// How long running activities may take to finish once a graceful shutdown began. Then they are cancelled, and
    /// those that stop are handed back to run elsewhere.
    public var gracefulShutdownTimeout: Duration = .seconds(10)
    /// Whether an activity that this worker can run is started as its workflow task is completed, and its result
    /// reported together with the next workflow task. Histories are the same either way.
    public var fusesSteps: Bool = true
    /// Whether an idle worker listens for notifications, on a connection of its own. Polling finds everything anyway.
    public var usesNotifications: Bool = true
    /// Workflow code that runs longer than this without waiting fails its task: it blocks a thread.
    public var deadlockTimeout: Duration = .seconds(2)
    /// Whether the code of the worker's workflows and activities is kept in the database, for people who look at a run.
    public var registersSourceCode: Bool = true
    /// The texts of the files around them, by module and file (`Shop/Prices.swift`), registered with them: a failure
    /// often names a line of a function that stands elsewhere. A target that uses the plugin `EmbedSources` has its own
    /// as `moduleSources`. A file above 1 MiB is left out.
    public var sourceFiles: [String: String] = [:]

    /// How values and errors become what histories hold. That of clients should be alike.
    public var dataConverter: DataConverter = .default
    /// What surrounds workflows and activities, the first outermost.
    public var interceptors: [any WorkerInterceptor] = []

    /// Told each time that the worker has registered, so that what waits for it will be done.
    package var onRegistered: @Sendable () -> Void = {}

    /// Where metrics go; the backend that the application has chosen if nil.
    public var metricsFactory: (any MetricsFactory)?

    public init(
        namespace: String = "default", taskQueue: String, identity: String? = nil, buildID: String = ""
    ) {
        self.namespace = namespace
        self.taskQueue = taskQueue
        self.identity = identity ?? Self.defaultIdentity
        self.buildID = buildID
    }

    /// `pid@host`.
    static var defaultIdentity: String {
        let process = ProcessInfo.processInfo
        return "\(process.processIdentifier)@\(process.hostName)"
    }
}
