import Logging
import MetricsTestKit
import PerdureEngine
import PerdureTesting
import Testing

@testable import Perdure

private let once = ActivityOptions(startToCloseTimeout: .seconds(30), retryPolicy: RetryPolicy(maximumAttempts: 1))

@ActivityContainer
private struct Scales {
    @Activity
    func weigh(input: Int) throws -> Int {
        guard input > 0 else { throw ApplicationError(message: "nothing there", type: "Empty") }
        return input
    }
}

@Workflow
private struct Weighing {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        if input > 100 { throw try await context.makeContinueAsNewError(input: input - 100) }
        if input == 50 { try await context.sleep(for: .seconds(3600)) }
        return try await context.executeActivity(Scales.Activities.Weigh.self, options: once, input: input)
    }
}

@Suite("Metrics")
struct MetricsTests {
    @Test("Workers count and time under the names and tags of Temporal's SDKs", .timeLimit(.minutes(5)))
    func names() async throws {
        let metrics = TestMetrics()
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "scales")
            options.metricsFactory = metrics
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Weighing.self], activityContainers: [Scales()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            let client = PerdureClient(pool: database.pool)
            func start(_ input: Int) async throws -> WorkflowHandle<Weighing> {
                try await client.startWorkflow(
                    type: Weighing.self, options: .init(id: "w-\(input)", taskQueue: "scales"), input: input)
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                #expect(try await start(107).result() == 7)
                await #expect(throws: WorkflowFailedError.self) { try await start(0).result() }
                let asleep = try await start(50)
                try await asleep.cancel()
                await #expect(throws: WorkflowFailedError.self) { try await asleep.result() }
                group.cancelAll()
                try await group.waitForAll()
            }
        }
        let queue = [("namespace", "default"), ("task_queue", "scales")]
        let workflow = queue + [("workflow_type", "Weighing")]
        let activity = queue + [("activity_type", "Weigh"), ("workflow_type", "Weighing")]
        func count(_ name: String, _ tags: [(String, String)]) -> Int64 {
            metrics.counterTotal(label: name, dimensions: tags)
        }
        func times(_ name: String, _ tags: [(String, String)]) -> Int {
            metrics.timers(label: name, dimensions: tags).reduce(0) { $0 + $1.values.count }
        }
        #expect(count("temporal_workflow_completed", workflow) == 1)
        #expect(count("temporal_workflow_continue_as_new", workflow) == 1)
        #expect(count("temporal_workflow_failed", workflow) == 1)
        #expect(count("temporal_workflow_canceled", workflow) == 1)
        #expect(times("temporal_workflow_endtoend_latency", workflow) == 4)
        #expect(times("temporal_workflow_task_execution_latency", workflow) >= 6)
        #expect(times("temporal_workflow_task_schedule_to_start_latency", workflow) >= 4)
        #expect(times("temporal_activity_execution_latency", activity) == 2)
        #expect(times("temporal_activity_schedule_to_start_latency", activity) == 2)
        #expect(times("temporal_activity_succeed_endtoend_latency", activity) == 1)
        #expect(count("temporal_activity_execution_failed", activity) == 1)
        #expect(count("temporal_activity_task_received", queue) == 2)
        #expect(count("temporal_workflow_task_queue_poll_succeed", queue) >= 4)
        #expect(count("temporal_sticky_cache_miss", queue) == 4)
        #expect(count("temporal_worker_start", queue + [("worker_type", "WorkflowWorker")]) == 1)
        #expect(
            !metrics.recorders(
                label: "temporal_worker_task_slots_available", dimensions: queue + [("worker_type", "ActivityWorker")]
            ).isEmpty)
    }

    @Test("Clients count and time their requests under the names and tags of Temporal's SDKs", .timeLimit(.minutes(5)))
    func requests() async throws {
        let metrics = TestMetrics()
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool, metricsFactory: metrics)
            let options = WorkflowOptions(id: "w", taskQueue: "nobody", idReusePolicy: .rejectDuplicate)
            let handle = try await client.startWorkflow(name: "Weighing", options: options)
            await #expect(throws: WorkflowAlreadyStartedError.self) {
                try await client.startWorkflow(name: "Weighing", options: options)
            }
            try await handle.signal(signalName: "s")
            _ = try await handle.describe()
            try await handle.terminate()
            await #expect(throws: WorkflowClosedError.self) { try await handle.signal(signalName: "s") }
            await #expect(throws: EngineError.self) { try await client.listWorkflows("nonsense") }
            _ = try await client.countWorkflows()
        }
        func tags(_ operation: String) -> [(String, String)] {
            [("namespace", "default"), ("operation", operation)]
        }
        for (operation, count) in [
            ("StartWorkflowExecution", 2), ("SignalWorkflowExecution", 2), ("DescribeWorkflowExecution", 1),
            ("TerminateWorkflowExecution", 1), ("ListWorkflowExecutions", 1), ("CountWorkflowExecutions", 1),
        ] {
            let requests = metrics.counterTotal(label: "temporal_request", dimensions: tags(operation))
            #expect(requests == count, "\(operation)")
            let times = metrics.timers(label: "temporal_request_latency", dimensions: tags(operation))
            #expect(times.reduce(0) { $0 + $1.values.count } == count, "\(operation)")
        }
        for (operation, status) in [
            ("StartWorkflowExecution", "ALREADY_EXISTS"), ("SignalWorkflowExecution", "NOT_FOUND"),
            ("ListWorkflowExecutions", "INVALID_ARGUMENT"),
        ] {
            let failed = tags(operation) + [("status_code", status)]
            #expect(metrics.counterTotal(label: "temporal_request_failure", dimensions: failed) == 1, "\(operation)")
        }
    }

    @Test("A workflow task that is not deterministic is told apart from one with another bug")
    func failureReasons() {
        let metrics = TestMetrics()
        let workflow = WorkerMetrics(namespace: "n", taskQueue: "q", factory: metrics).workflow("W")
        workflow.taskFailed("NonDeterministicError")
        workflow.taskFailed("WorkflowWorkerUnhandledFailure")
        workflow.taskFailed()
        let tags = [("namespace", "n"), ("task_queue", "q"), ("workflow_type", "W")]
        for (reason, count) in [("NonDeterminismError", 1), ("WorkflowError", 2)] {
            #expect(
                metrics.counterTotal(
                    label: "temporal_workflow_task_execution_failed", dimensions: tags + [("failure_reason", reason)])
                    == count)
        }
    }
}
