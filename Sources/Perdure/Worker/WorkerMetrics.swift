import Metrics
import PerdureEngine
import Synchronization

/// What a worker counts and times, for whatever metrics backend the application has chosen. What Temporal's SDKs
/// measure too has their name (`temporal_…`) and tags; what only this worker has begins with `perdure_worker_`.
/// docs/guides/codecs-and-interceptors.md lists them.
final class WorkerMetrics: Sendable {
    let workflowPollsSucceeded: Counter
    let workflowPollsEmpty: Counter
    let activityPollsEmpty: Counter
    let activityTasksReceived: Counter
    let cacheHits: Counter
    let cacheMisses: Counter
    let cachedRuns: Gauge
    let cacheEvictions: Counter
    let workflowSlots: SlotMetrics
    let activitySlots: SlotMetrics
    let writtenOffThreads: Gauge
    let leasesLost: Counter
    let databaseErrors: Counter
    let tasksLost: Counter
    let activitiesReleased: Counter
    private let workerStarts: [Counter]

    private let dimensions: [(String, String)]
    private let factory: any MetricsFactory
    private let workflows = Mutex<[String: WorkflowMetrics]>([:])
    private let activities = Mutex<[ActivityTypes: ActivityMetrics]>([:])

    private struct ActivityTypes: Hashable {
        let activity: String
        let workflow: String
    }

    init(namespace: String, taskQueue: String, factory: any MetricsFactory = MetricsSystem.factory) {
        let dimensions = [("namespace", namespace), ("task_queue", taskQueue)]
        self.dimensions = dimensions
        self.factory = factory
        func counter(_ label: String) -> Counter { Counter(label: label, dimensions: dimensions, factory: factory) }
        func gauge(_ label: String) -> Gauge { Gauge(label: label, dimensions: dimensions, factory: factory) }
        func slots(_ type: String) -> SlotMetrics {
            SlotMetrics(dimensions: dimensions + [("worker_type", type)], factory: factory)
        }
        workflowPollsSucceeded = counter("temporal_workflow_task_queue_poll_succeed")
        workflowPollsEmpty = counter("temporal_workflow_task_queue_poll_empty")
        activityPollsEmpty = counter("temporal_activity_poll_no_task")
        activityTasksReceived = counter("temporal_activity_task_received")
        cacheHits = counter("temporal_sticky_cache_hit")
        cacheMisses = counter("temporal_sticky_cache_miss")
        cachedRuns = gauge("temporal_sticky_cache_size")
        cacheEvictions = counter("temporal_sticky_cache_total_forced_eviction")
        workflowSlots = slots("WorkflowWorker")
        activitySlots = slots("ActivityWorker")
        workerStarts = ["WorkflowWorker", "ActivityWorker"].map {
            Counter(
                label: "temporal_worker_start", dimensions: dimensions + [("worker_type", $0)], factory: factory)
        }
        writtenOffThreads = gauge("perdure_worker_written_off_threads")
        leasesLost = counter("perdure_worker_leases_lost")
        databaseErrors = counter("perdure_worker_database_errors")
        tasksLost = counter("perdure_worker_tasks_lost")
        activitiesReleased = counter("perdure_worker_activities_released")
    }

    func workerStarted() { for counter in workerStarts { counter.increment() } }

    func workflow(_ type: String) -> WorkflowMetrics {
        workflows.withLock { known in
            if let metrics = known[type] { return metrics }
            let metrics = WorkflowMetrics(dimensions: dimensions + [("workflow_type", type)], factory: factory)
            known[type] = metrics
            return metrics
        }
    }

    func activity(_ task: ClaimedActivityTask) -> ActivityMetrics { activity(task.activityType, of: task.workflowType) }

    func activity(_ type: String, of workflowType: String) -> ActivityMetrics {
        activities.withLock { known in
            let types = ActivityTypes(activity: type, workflow: workflowType)
            if let metrics = known[types] { return metrics }
            let metrics = ActivityMetrics(
                dimensions: dimensions + [("activity_type", type), ("workflow_type", workflowType)], factory: factory)
            known[types] = metrics
            return metrics
        }
    }
}

/// The slots for tasks of a kind.
final class SlotMetrics: Sendable {
    private let available: Gauge
    private let used: Gauge

    init(dimensions: [(String, String)], factory: any MetricsFactory) {
        available = Gauge(label: "temporal_worker_task_slots_available", dimensions: dimensions, factory: factory)
        used = Gauge(label: "temporal_worker_task_slots_used", dimensions: dimensions, factory: factory)
    }

    func record(_ slots: Slots) {
        available.record(slots.free)
        used.record(slots.inUse)
    }
}

/// What becomes of the runs of one workflow type, and of their workflow tasks.
final class WorkflowMetrics: Sendable {
    private let completed: Counter
    private let canceled: Counter
    private let failed: Counter
    private let continuedAsNew: Counter
    private let endToEndLatency: Metrics.Timer
    let taskLatency: Metrics.Timer
    let taskScheduleToStart: Metrics.Timer
    let taskReplayLatency: Metrics.Timer
    private let nonDeterministicTasks: Counter
    private let failedTasks: Counter

    init(dimensions: [(String, String)], factory: any MetricsFactory) {
        func counter(_ label: String, _ more: [(String, String)] = []) -> Counter {
            Counter(label: label, dimensions: dimensions + more, factory: factory)
        }
        func timer(_ label: String) -> Metrics.Timer {
            Timer(label: label, dimensions: dimensions, factory: factory)
        }
        completed = counter("temporal_workflow_completed")
        canceled = counter("temporal_workflow_canceled")
        failed = counter("temporal_workflow_failed")
        continuedAsNew = counter("temporal_workflow_continue_as_new")
        endToEndLatency = timer("temporal_workflow_endtoend_latency")
        taskLatency = timer("temporal_workflow_task_execution_latency")
        taskScheduleToStart = timer("temporal_workflow_task_schedule_to_start_latency")
        taskReplayLatency = timer("temporal_workflow_task_replay_latency")
        nonDeterministicTasks = counter(
            "temporal_workflow_task_execution_failed", [("failure_reason", "NonDeterminismError")])
        failedTasks = counter("temporal_workflow_task_execution_failed", [("failure_reason", "WorkflowError")])
    }

    /// - Parameter cause: Temporal's name for why, if the worker failed it.
    func taskFailed(_ cause: String? = nil) {
        (cause == "NonDeterministicError" ? nonDeterministicTasks : failedTasks).increment()
    }

    /// A workflow task was completed; it may have ended its run.
    ///
    /// - Parameter age: how long ago the run was started, if that is known.
    func taskCompleted(_ commands: [Command], age: Duration?) {
        switch commands.last?.commandType {
        case .completeWorkflowExecution: completed.increment()
        case .failWorkflowExecution: failed.increment()
        case .cancelWorkflowExecution: canceled.increment()
        case .continueAsNewWorkflowExecution: continuedAsNew.increment()
        default: return
        }
        if let age { endToEndLatency.record(age) }
    }
}

/// What becomes of the attempts of one type of activity in one type of workflow.
final class ActivityMetrics: Sendable {
    let executionLatency: Metrics.Timer
    let scheduleToStart: Metrics.Timer
    private let succeeded: Metrics.Timer
    private let failed: Counter
    private let canceled: Counter

    init(dimensions: [(String, String)], factory: any MetricsFactory) {
        func timer(_ label: String) -> Metrics.Timer {
            Timer(label: label, dimensions: dimensions, factory: factory)
        }
        executionLatency = timer("temporal_activity_execution_latency")
        scheduleToStart = timer("temporal_activity_schedule_to_start_latency")
        succeeded = timer("temporal_activity_succeed_endtoend_latency")
        failed = Counter(label: "temporal_activity_execution_failed", dimensions: dimensions, factory: factory)
        canceled = Counter(label: "temporal_activity_execution_cancelled", dimensions: dimensions, factory: factory)
    }

    /// - Parameter age: how long ago the activity was scheduled.
    func ended(_ state: ActivityTaskOutcome.State, age: Duration) {
        switch state {
        case .completed: succeeded.record(age)
        case .failed, .retrying: failed.increment()
        case .canceled: canceled.increment()
        case .lost, .refused: break
        }
    }
}

extension Metrics.Timer {
    func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
