import Logging
import Perdure
import PerdureEngine
import PerdureTesting
import Testing

@Workflow
private struct Annotated {
    func run(context: WorkflowContext<Self>, input: Bool) async throws -> Int {
        guard input else { return 1 }
        try await context.sleep(for: .milliseconds(10), summary: "until the bank opens")
        let once: Int = try await context.executeActivity(
            name: "count", options: ActivityOptions(startToCloseTimeout: .seconds(10), summary: "counts once"),
            input: "x")
        let twice: Int = try await context.executeLocalActivity(
            name: "count", options: LocalActivityOptions(startToCloseTimeout: .seconds(10), summary: "counts here"),
            input: "x")
        let child = try await context.executeChildWorkflow(
            Annotated.self,
            options: ChildWorkflowOptions(id: "annotated-child", staticSummary: "a child", staticDetails: "of *this*"),
            input: false)
        return once + twice + child
    }
}

@ActivityContainer
private struct Counts {
    @Activity(name: "count")
    func count(input: String) async throws -> Int { input.count }
}

@Suite("Summaries")
struct SummaryTests {
    @Test("What workflows, activities, timers and children are for stands beside their events", .timeLimit(.minutes(5)))
    func summaries() async throws {
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: [Annotated.self],
                activityContainers: [Counts()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let client = PerdureClient(pool: database.pool)
                let handle = try await client.startWorkflow(
                    type: Annotated.self,
                    options: WorkflowOptions(
                        id: "annotated", taskQueue: "q", staticSummary: "a test", staticDetails: "of **summaries**"),
                    input: true)
                #expect(try await handle.result() == 3)
                let child = client.workflowHandle(type: Annotated.self, id: "annotated-child")
                let history = try await handle.fetchHistory()
                let ofChild = try await child.fetchHistory()
                #expect(said(history, .workflowExecutionStarted) == ["a test", "of **summaries**"])
                #expect(said(history, .timerStarted) == ["until the bank opens"])
                #expect(said(history, .activityTaskScheduled) == ["counts once"])
                #expect(said(history, .markerRecorded) == ["counts here"])
                #expect(said(history, .startChildWorkflowExecutionInitiated) == ["a child", "of *this*"])
                #expect(said(ofChild, .workflowExecutionStarted) == ["a child", "of *this*"])
                try await WorkflowReplayer(workflows: [Annotated.self]).replayWorkflow(history: history)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    /// Summary and details of the first event of a type.
    private func said(_ history: [HistoryEvent], _ type: EventType) -> [String] {
        let metadata = history.first { $0.eventType == type }?.others["userMetadata"]
        return ["summary", "details"].compactMap { metadata?[$0]?["data"]?.stringValue }
    }
}
