import Dispatch
import Logging
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

/// Holds its thread, and so its workflow task, when it is told to.
@Workflow
private struct Held {
    static let gate = DispatchSemaphore(value: 0)
    var numbers: [Int] = []
    var wasHeld = false

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [Int] {
        try await context.condition { $0.wasHeld && $0.numbers.count == input }
        return numbers
    }

    @WorkflowSignal
    func hold() {
        // A later attempt finds the gate open.
        Self.gate.wait()
        Self.gate.signal()
        wasHeld = true
    }

    @WorkflowSignal
    func number(input: Int) { numbers.append(input) }
}

@Suite("Events that come while a workflow task is under way")
struct BufferedEventsTests {
    @Test("More than a hundred end the task; its worker goes on with the next, and each is seen once, in order")
    func forcedEnd() async throws {
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "held")
            // What is held here is not stuck.
            options.deadlockTimeout = .seconds(120)
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Held.self],
                logger: Logger(label: "worker") { _ in SwiftLogNoOpLogHandler() })
            let working = Task { try await worker.run() }
            let client = PerdureClient(pool: database.pool)
            let handle = try await client.startWorkflow(
                type: Held.self, options: .init(id: "held", taskQueue: "held"), input: 250)
            try await eventually("the first workflow task is done") { try await pending(database) == "none" }
            try await handle.signal(signalType: Held.Hold.self)
            try await eventually("the next one is held") { try await pending(database) == "Started 1 0" }
            for number in 1...250 { try await handle.signal(signalType: Held.Number.self, input: number) }
            let failed = try await database.pool.query(
                """
                select attributes ->> 'cause' from perdure.history_events where workflow_id = 'held'
                    and event_type = 'WorkflowTaskFailed'
                """)
            // The worker may have claimed the next one, which is held, too.
            #expect(Set(try failed.map { try $0.decode(String.self, at: 0) }) == ["ForceCloseCommand"])
            Held.gate.signal()
            #expect(try await handle.result() == Array(1...250))
            #expect(try await database.pool.query("select * from perdure.violations()").isEmpty)
            working.cancel()
            _ = await working.result
        }
    }

    private func pending(_ database: TestDatabase) async throws -> String {
        try await database.pool.query(
            """
            select coalesce((select concat_ws(' ', state, attempt, buffered_events)
                from perdure.pending_workflow_tasks where workflow_id = 'held'), 'none')
            """)[0].decode(String.self, at: 0)
    }
}
