import PerdureTesting
import TestSupport
import Testing

@testable import Perdure

@ActivityContainer
private struct Verbose {
    @Activity
    func complain(bytes: Int) throws { throw ApplicationError(message: String(repeating: "x", count: bytes)) }
}

@Workflow
private struct Complains {
    func run(context: WorkflowContext<Self>, input bytes: Int) async throws {
        let options = ActivityOptions(
            startToCloseTimeout: .seconds(30), retryPolicy: RetryPolicy(maximumAttempts: 1))
        try? await context.executeActivity(Verbose.Activities.Complain.self, options: options, input: bytes)
        struct Bug: Error { let text: String }
        throw Bug(text: String(repeating: "y", count: bytes))
    }
}

@Suite("What a worker logs", .timeLimit(.minutes(5)))
struct LogTests {
    /// A message of 16 MB that was logged whole, and once more with each retry, kept a worker from its other tasks.
    @Test("A long message is cut, and a signal without a handler is told of once for all that come")
    func cut() async throws {
        try await TestDatabase.with { database in
            let lines = LogLines()
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: [Complains.self],
                activityContainers: [Verbose()], logger: lines.logger)
            let client = PerdureClient(pool: database.pool)
            let handle = try await client.startWorkflow(
                type: Complains.self, options: WorkflowOptions(id: "w", taskQueue: "q"), input: 16 << 20)
            let untyped = client.untypedWorkflowHandle(id: handle.id)
            for _ in 0..<100 { try await untyped.signal(signalName: "nobody") }
            let running = Task { try await worker.run() }
            try await eventually("the workflow task has failed") { lines.count("A workflow task failed") > 0 }
            running.cancel()
            _ = try? await running.value
            let failed = lines.all.filter { $0.contains("An attempt of an activity failed") }
            #expect(failed.count == 1 && failed[0].contains("xxx"))
            #expect(lines.all.allSatisfy { $0.utf8.count < 6000 })
            // Once for each time that the run is made: the failed task is tried again from the beginning.
            let tasks = lines.count("A workflow task failed")
            let unhandled = lines.count("no handler for a signal")
            #expect((1...tasks + 1).contains(unhandled), "\(unhandled) lines, \(tasks) failed tasks")
        }
    }
}

extension LogLines {
    fileprivate func count(_ part: String) -> Int { all.filter { $0.contains(part) }.count }
}
