import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

/// Continues as new until it is at zero, in the ways that are named.
@Workflow
private struct Countdown {
    struct State: Codable, Equatable {
        var left: Int
        var notes: [String] = []
    }

    func run(context: WorkflowContext<Self>, input: State) async throws -> State {
        var state = input
        let memo: String = try context.memoValue(for: "note") ?? ""
        state.notes.append("\(context.info.continuedRunID != nil) \(memo)")
        guard state.left > 0 else { return state }
        state.left -= 1
        if state.left == 0 {
            throw try await context.makeContinueAsNewError(
                options: .init(
                    runTimeout: .seconds(90), memo: ["note": "last"], searchAttributes: ["stage": "last"]),
                input: state)
        }
        throw try await context.makeContinueAsNewError(input: state)
    }
}

@Workflow
private struct Handover {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        throw try await context.makeContinueAsNewError(workflowType: Heir.self, input: input + " and on")
    }
}

@Workflow
private struct Heir {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        "\(input) as \(context.info.workflowType)"
    }
}

/// Fails in its first attempts.
@Workflow
private struct Stubborn {
    func run(context: WorkflowContext<Self>, input attempts: Int) async throws -> String {
        guard context.info.attempt >= attempts else {
            throw ApplicationError(message: "attempt \(context.info.attempt)", type: "NotYet")
        }
        return "attempt \(context.info.attempt) after \(context.info.lastFailure.map { $0.failure.message } ?? "none")"
    }
}

@Workflow
private struct Tick {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> Int {
        try (context.info.lastCompletionResult(as: Int.self) ?? 0) + 1
    }
}

/// Ends at a signal whose handler goes on as new.
@Workflow
private struct Forwarding {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        if input > 0 { return input }
        try await context.condition { _ in false }
        return -1
    }

    @WorkflowSignal
    func forward(context: WorkflowContext<Self>, input: Int) async throws {
        throw try await context.makeContinueAsNewError(input: input)
    }
}

@Suite("Runs that follow each other")
struct ContinueAsNewTests {
    private func with(
        _ workflows: [any WorkflowDefinition.Type], cache: Int = 100,
        _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            // Runs that are to follow each other need not wait for a second.
            try await database.pool.query("update perdure.settings set value = '\"0s\"' where name = 'run_interval'")
            var options = WorkerOptions(taskQueue: "chain")
            options.maxCachedWorkflows = cache
            let worker = Worker(
                pool: database.pool, options: options, workflows: workflows,
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool), database)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    private func options(_ id: String) -> WorkflowOptions { WorkflowOptions(id: id, taskQueue: "chain") }

    @Test("A run continues as new; its handle follows, and each run replays", arguments: [100, 0])
    func continues(cache: Int) async throws {
        try await with([Countdown.self], cache: cache) { client, database in
            try await database.pool.query("select perdure.add_search_attribute('stage', 'Keyword')")
            var options = options("countdown")
            options.memo = ["note": "first"]
            options.searchAttributes = ["stage": "first"]
            let handle = try await client.startWorkflow(type: Countdown.self, options: options, input: .init(left: 2))
            #expect(
                try await handle.result()
                    == .init(left: 0, notes: ["false first", "true first", "true last"]))
            let first = try #require(handle.firstExecutionRunID)
            await #expect(throws: WorkflowContinuedAsNewError.self) { try await handle.result(followRuns: false) }
            var run: UUID? = first
            var count = 0
            while let id = run {
                let one = client.workflowHandle(type: Countdown.self, id: "countdown", runID: id)
                let history = try await one.fetchHistory()
                #expect(history[0].attributes["firstExecutionRunId"] == .string(first.uuidString.lowercased()))
                try await WorkflowReplayer(workflows: [Countdown.self]).replayWorkflow(history: history)
                count += 1
                run = history.last?.attributes["newExecutionRunId"]?.stringValue.flatMap(UUID.init(uuidString:))
                if run == nil { #expect(history[0].attributes["workflowRunTimeout"] == "90s") }
            }
            #expect(count == 3)
            let last = try #require(try await client.listWorkflows("stage = 'last'").first)
            #expect(last.runID != first)
        }
    }

    @Test("A run goes on as another type")
    func changesType() async throws {
        try await with([Handover.self, Heir.self]) { client, _ in
            let handle = try await client.startWorkflow(
                type: Handover.self, options: options("handover"), input: "here")
            #expect(try await handle.result() == "here and on as Heir")
        }
    }

    @Test("A run that fails is tried again by its policy, and its handle waits for the last attempt")
    func retries() async throws {
        try await with([Stubborn.self]) { client, _ in
            var options = options("stubborn")
            options.retryPolicy = RetryPolicy(initialInterval: .milliseconds(10), maximumAttempts: 3)
            let handle = try await client.startWorkflow(type: Stubborn.self, options: options, input: 3)
            #expect(try await handle.result() == "attempt 3 after attempt 2")
            await #expect(throws: WorkflowFailedError.self) { try await handle.result(followRuns: false) }
            options.id = "in vain"
            let vain = try await client.startWorkflow(type: Stubborn.self, options: options, input: 4)
            let error = await #expect(throws: WorkflowFailedError.self) { try await vain.result() }
            #expect(error?.failure.message == "attempt 3")
            #expect(error?.runID != vain.firstExecutionRunID)
        }
    }

    @Test("Runs of a cron schedule know what the one before returned, and are terminated with their chain")
    func cron() async throws {
        try await with([Tick.self]) { client, database in
            var options = options("tick")
            options.cronSchedule = "@every 1s"
            let handle = try await client.startWorkflow(type: Tick.self, options: options)
            try await eventually("three runs have completed") {
                try await client.countWorkflows("WorkflowId = 'tick'")[.completed, default: 0] >= 3
            }
            let results = try await database.pool.query(
                """
                select perdure.plain(w.result)::int from perdure.workflows w
                where w.workflow_id = 'tick' and w.status = 'Completed' order by w.run_number limit 3
                """
            ).map { try $0.decode(Int32.self, at: 0) }
            #expect(results == [1, 2, 3])
            try await handle.terminate(reason: "enough")
            let error = await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            #expect(error?.status == .terminated)
            options.cronSchedule = "every day"
            let wrong = options
            await #expect(throws: EngineError.self) { try await client.startWorkflow(type: Tick.self, options: wrong) }
        }
    }

    @Test("A handler may end the run, and a handle of another chain leaves the new one alone")
    func handlers() async throws {
        try await with([Forwarding.self]) { client, _ in
            let handle = try await client.startWorkflow(
                type: Forwarding.self, options: options("forwarding"), input: 0)
            try await handle.signal(signalType: Forwarding.Forward.self, input: 7)
            #expect(try await handle.result() == 7)
            let other = try await client.startWorkflow(
                type: Forwarding.self, options: options("forwarding"), input: 0)
            await #expect(throws: WorkflowNotFoundError.self) { try await handle.terminate() }
            try await other.terminate()
        }
    }

    @Test("Code that continues with another type than it did is refused")
    func isHeldAgainstHistory() throws {
        let run = try DrivenRun(Handover.self, input: "x")
        #expect(try run.task().map(\.commandType) == [.continueAsNewWorkflowExecution])
        let events = run.events.map { event in
            var event = event
            if event.eventType == .workflowExecutionContinuedAsNew {
                event.attributes["workflowType"] = ["name": "Other"]
            }
            return event
        }
        #expect(throws: NonDeterminismError.self) {
            let again = WorkflowRun<Handover>(run.info)
            defer { again.evict() }
            try again.replay(events)
            try again.requireAllMatched()
        }
    }

    @Test("The guide's example is the code that is compiled here")
    func guide() throws {
        let guide = try String(contentsOf: checkout.appending(path: "docs/guides/workflows.md"), encoding: .utf8)
        let file = "Tests/PerdureTests/ContinueAsNewExample.swift"
        let example = try String(contentsOf: checkout.appending(path: file), encoding: .utf8)
        #expect(
            guide.contains("<!-- \(file) -->\n```swift\n\(example)```\n"),
            "Copy \(file) into docs/guides/workflows.md, below <!-- \(file) -->.")
    }

    @Test("The guide's example goes on over several runs and loses nothing")
    func example() async throws {
        try await with([Till.self]) { client, _ in
            let handle = try await client.startWorkflow(type: Till.self, options: options("till"), input: .init())
            for _ in 1...120 { try await handle.signal(signalType: Till.Pay.self, input: 5) }
            try await eventually("it goes on as another run") {
                try await client.countWorkflows("WorkflowId = 'till'")[.continuedAsNew, default: 0] >= 1
            }
            try await handle.signal(signalType: Till.Close.self)
            let sum = try await handle.result()
            #expect(sum.cents == 600)
            #expect(sum.payments == 120)
            #expect(try await client.countWorkflows("WorkflowId = 'till'")[.continuedAsNew, default: 0] >= 1)
        }
    }
}
