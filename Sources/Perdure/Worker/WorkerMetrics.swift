import Metrics
import PerdureEngine

/// What a worker counts and times, for whatever metrics backend the application has chosen. Every metric carries the
/// namespace and the task queue.
struct WorkerMetrics: Sendable {
    let workflowTaskLatency: Metrics.Timer
    let workflowTaskScheduleToStart: Metrics.Timer
    let activityLatency: Metrics.Timer
    let activityScheduleToStart: Metrics.Timer
    let cacheHits: Counter
    let cacheMisses: Counter
    let cachedRuns: Gauge
    let workflowSlotsUsed: Gauge
    let activitySlotsUsed: Gauge
    let writtenOffThreads: Gauge
    let emptyPolls: Counter
    let leasesLost: Counter
    let databaseErrors: Counter

    private let workflowTaskEnds: [String: Counter]
    private let activityEnds: [String: Counter]

    init(namespace: String, taskQueue: String) {
        let dimensions = [("namespace", namespace), ("task_queue", taskQueue)]
        func counters(_ label: String, _ outcomes: [String]) -> [String: Counter] {
            Dictionary(
                uniqueKeysWithValues: outcomes.map {
                    ($0, Counter(label: label, dimensions: dimensions + [("outcome", $0)]))
                })
        }
        workflowTaskLatency = Timer(label: "perdure_worker_workflow_task_execution_latency", dimensions: dimensions)
        workflowTaskScheduleToStart = Timer(
            label: "perdure_worker_workflow_task_schedule_to_start_latency", dimensions: dimensions)
        activityLatency = Timer(label: "perdure_worker_activity_execution_latency", dimensions: dimensions)
        activityScheduleToStart = Timer(
            label: "perdure_worker_activity_schedule_to_start_latency", dimensions: dimensions)
        cacheHits = Counter(label: "perdure_worker_sticky_cache_hits", dimensions: dimensions)
        cacheMisses = Counter(label: "perdure_worker_sticky_cache_misses", dimensions: dimensions)
        cachedRuns = Gauge(label: "perdure_worker_sticky_cache_size", dimensions: dimensions)
        workflowSlotsUsed = Gauge(label: "perdure_worker_workflow_slots_used", dimensions: dimensions)
        activitySlotsUsed = Gauge(label: "perdure_worker_activity_slots_used", dimensions: dimensions)
        writtenOffThreads = Gauge(label: "perdure_worker_written_off_threads", dimensions: dimensions)
        emptyPolls = Counter(label: "perdure_worker_empty_polls", dimensions: dimensions)
        leasesLost = Counter(label: "perdure_worker_leases_lost", dimensions: dimensions)
        databaseErrors = Counter(label: "perdure_worker_database_errors", dimensions: dimensions)
        workflowTaskEnds = counters("perdure_worker_workflow_tasks", ["completed", "failed", "lost"])
        activityEnds = counters(
            "perdure_worker_activities", ["completed", "failed", "retrying", "canceled", "lost", "released"])
    }

    func workflowTaskEnded(_ outcome: String) { workflowTaskEnds[outcome]?.increment() }
    func activityEnded(_ outcome: String) { activityEnds[outcome]?.increment() }
}

extension Metrics.Timer {
    func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
