import Foundation
import Logging
import Perdure
import PerdureEngine
import PerdureTesting
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

@Workflow
private struct Counter {
    struct Bug: Error {}
    struct Step: Codable, Sendable {
        var by: Int
    }

    var count = 0
    var isFinished = false
    var isReleased = false
    var seenUpdate: String?

    mutating func run(context: WorkflowContext<Self>, input: Bool) async throws -> Int {
        try await context.condition { $0.isFinished }
        if input { try await context.condition { context.allHandlersFinished } }
        return count
    }

    @WorkflowSignal
    mutating func finish() { isFinished = true }

    @WorkflowSignal
    mutating func release() { isReleased = true }

    @WorkflowQuery
    func value() -> Int { count }

    @WorkflowQuery
    func lastUpdate() -> String { seenUpdate ?? "" }

    /// Adds to the count.
    @WorkflowUpdate(validator: "checkAdd")
    mutating func add(context: WorkflowContext<Self>, input: Int) throws -> Int {
        seenUpdate = context.currentUpdateInfo.map { "\($0.name) \($0.id)" }
        count += input
        return count
    }

    func checkAdd(input: Int) throws {
        if input < 0 { throw ApplicationError(message: "no less", type: "Negative") }
    }

    @WorkflowUpdate(validator: "meddle")
    mutating func meddling() {}

    func meddle() throws { count += 1 }

    @WorkflowUpdate
    mutating func slowly(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await context.condition { $0.isReleased }
        count += input
        return count
    }

    @WorkflowUpdate
    mutating func priced(context: WorkflowContext<Self>, input: String) async throws -> Int {
        let price: Int = try await context.executeActivity(name: "price", options: brief, input: input)
        count += price
        return price
    }

    @WorkflowUpdate(name: "refuse")
    func fails() throws { throw ApplicationError(message: "refused", type: "Refused", isNonRetryable: true) }

    @WorkflowUpdate
    func crash() throws { throw Bug() }

    @WorkflowUpdate(unfinishedPolicy: .abandon)
    func abandoned(context: WorkflowContext<Self>) async throws { try await context.sleep(for: .seconds(60)) }
}

/// The same, later: without the updates.
@Workflow
private struct OtherCounter {
    var isFinished = false

    mutating func run(context: WorkflowContext<Self>, input: Bool) async throws -> Int {
        try await context.condition { $0.isFinished }
        return 0
    }

    @WorkflowSignal
    mutating func finish() { isFinished = true }
}

/// Takes whatever comes.
@Workflow
private struct Listener {
    var log: [String] = []

    init(input: String) { log = [input] }

    mutating func run(context: WorkflowContext<Self>, input: String) async throws -> [String] {
        try await context.condition { $0.log.contains("signal end") }
        return log
    }

    @WorkflowSignal
    mutating func anySignal(input: DynamicInput) { log.append("signal \(input.name)") }

    @WorkflowQuery
    func anyQuery(input: DynamicInput) -> String { "\(input.name) \(input.payloads.count)" }

    @WorkflowUpdate(validator: "check")
    mutating func anyUpdate(input: DynamicInput) throws -> String {
        log.append("update \(input.name)")
        return "\(input.name) \(try input.decode(Int.self))"
    }

    func check(input: DynamicInput) throws {
        if input.name == "no" { throw ApplicationError(message: "no") }
    }
}

@Suite("Updates")
struct UpdateTests {
    @Test("An update is accepted, changes state and has a result, also when the run comes from its history")
    func completes() async throws {
        for evicts in [false, true] {
            let run = try DrivenRun(Counter.self, input: true)
            try run.task()
            try run.update("u1", "Add", 2)
            if evicts { run.evict() }
            #expect(
                try run.task(isSpeculative: true).summaries == [
                    "ProtocolMessage (u1/accept)", "ProtocolMessage (u1/complete)",
                ])
            #expect(run.outcome(of: "u1")?["success"]?[0]?["data"] == 2)
            #expect(try run.query("LastUpdate", as: String.self) == "Add u1")
            try run.update("u2", "Add", 3)
            if evicts { run.evict() }
            try run.task(isSpeculative: true)
            #expect(try run.query("Value", as: Int.self) == 5)
            try run.signal("Finish")
            if evicts { run.evict() }
            try run.task()
            #expect(try run.result(as: Int.self) == 5)
            try await run.replay()
        }
    }

    @Test("A validator rejects: nothing changes, no event tells of it, and the run goes on from where it was")
    func rejected() async throws {
        let run = try DrivenRun(Counter.self, input: true)
        try run.task()
        let length = run.events.count
        try run.update("bad", "Add", -1)
        let commands = try run.task(isSpeculative: true)
        #expect(commands.count == 1 && commands[0].message?.isRejection == true)
        #expect(run.events.count == length)
        // A task that is written rejects and accepts.
        try run.update("bad2", "Add", -2)
        try run.update("good", "Add", 1)
        try run.update("none", "Nothing", 1)
        try run.update("odd", "Add", "text")
        try run.update("meddling", "Meddling")
        #expect(
            try run.task(isSpeculative: true).map { $0.message?.updateID ?? "" } == [
                "good", "good", "bad2", "none", "odd", "meddling",
            ])
        #expect(try run.query("Value", as: Int.self) == 1)
        try run.signal("Finish")
        try run.task()
        #expect(try run.result(as: Int.self) == 1)
        try await run.replay()
    }

    @Test("Handlers wait as the workflow's code does; their ends are where they happened")
    func waits() async throws {
        for evicts in [false, true] {
            let run = try DrivenRun(Counter.self, input: true)
            try run.update("first", "Priced", "apple")
            // It came before the first task, so it is handled before run begins.
            #expect(
                try run.task().summaries == [
                    "ProtocolMessage (first/accept)", "ScheduleActivityTask (price, id 1)",
                ])
            try run.update("second", "Slowly", 10)
            if evicts { run.evict() }
            #expect(try run.task(isSpeculative: true).summaries == ["ProtocolMessage (second/accept)"])
            try run.signal("Finish")
            try run.complete("1", 5)
            if evicts { run.evict() }
            #expect(try run.task().summaries == ["ProtocolMessage (first/complete)"])
            try run.signal("Release")
            if evicts { run.evict() }
            #expect(
                try run.task().summaries == ["ProtocolMessage (second/complete)", "CompleteWorkflowExecution"])
            #expect(try run.result(as: Int.self) == 15)
            try await run.replay()
        }
    }

    @Test("A failure fails the update, a bug the workflow task")
    func failures() async throws {
        let run = try DrivenRun(Counter.self, input: false)
        try run.task()
        try run.update("u", "refuse")
        try run.task(isSpeculative: true)
        #expect(run.outcome(of: "u")?["failure"]?["message"] == "refused")
        try run.update("v", "Crash")
        #expect(throws: Counter.Bug.self) { try run.task(isSpeculative: true) }
    }

    @Test("A workflow that ends before its handlers is warned of, unless they are to be abandoned")
    func unfinished() throws {
        let run = try DrivenRun(Counter.self, input: false)
        try run.task()
        try run.update("u", "Abandoned")
        try run.task(isSpeculative: true)
        try run.signal("Finish")
        try run.task()
        #expect(!run.logs.all.contains { $0.contains("update handlers") })
        let other = try DrivenRun(Counter.self, input: false)
        try other.task()
        try other.update("u", "Slowly", 1)
        try other.task(isSpeculative: true)
        try other.signal("Finish")
        try other.task()
        #expect(other.logs.all.contains { $0.contains("update handlers were under way") })
    }

    @Test("Code that no longer takes an update that it has accepted is not deterministic")
    func forgotten() async throws {
        let run = try DrivenRun(Counter.self, input: true)
        try run.task()
        try run.update("u1", "Add", 2)
        try run.task(isSpeculative: true)
        let error = await #expect(throws: NonDeterminismError.self) { try await run.replay(with: OtherCounter.self) }
        #expect(error?.description.contains("update u1") == true)
    }

    @Test("Dynamic handlers take what no other has a name for")
    func dynamicHandlers() async throws {
        let run = try DrivenRun(Listener.self, input: "begun")
        try run.task()
        try run.update("u1", "whatever", 7)
        try run.update("u2", "no", 7)
        try run.task(isSpeculative: true)
        #expect(run.outcome(of: "u1")?["success"]?[0]?["data"] == "whatever 7")
        #expect(run.outcome(of: "u2") == nil)
        #expect(try run.query("which", as: String.self) == "which 0")
        try run.signal("end")
        try run.task()
        #expect(try run.result(as: [String].self) == ["begun", "update whatever", "signal end"])
        try await run.replay()
    }
}

@Suite("Updates with a database", .serialized)
struct UpdateClientTests {
    private func withWorker(
        cached: Int = 100, _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "q")
            options.maxCachedWorkflows = cached
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Counter.self],
                activityContainers: [Prices()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool), database)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @ActivityContainer
    struct Prices {
        @Activity(name: "price")
        func price(input: String) async throws -> Int { input.count }
    }

    @Test(
        "Clients send updates and get results, failures and rejections; also to runs that are not cached",
        .timeLimit(.minutes(5)), arguments: [100, 0])
    func endToEnd(cached: Int) async throws {
        try await withWorker(cached: cached) { client, database in
            let handle = try await client.startWorkflow(
                type: Counter.self, options: WorkflowOptions(id: "counter", taskQueue: "q"), input: true)
            #expect(try await handle.executeUpdate(updateType: Counter.Add.self, input: 2) == 2)
            for attempt in 0..<3 {
                let error = await #expect(throws: WorkflowUpdateFailedError.self) {
                    try await handle.executeUpdate(updateType: Counter.Add.self, input: -1 - attempt)
                }
                #expect(error?.isRejected == true && error?.failure.message == "no less")
            }
            #expect(try await handle.executeUpdate(updateType: Counter.Priced.self, input: "apple") == 5)
            let failed = await #expect(throws: WorkflowUpdateFailedError.self) {
                try await handle.executeUpdate(updateType: Counter.Fails.self)
            }
            #expect(failed?.isRejected == false && failed?.failure.message == "refused")
            let slow = try await handle.startUpdate(
                updateType: Counter.Slowly.self, updateID: "slow", waitForStage: .accepted, input: 10)
            // A repeat finds the first.
            _ = try await handle.startUpdate(
                updateType: Counter.Slowly.self, updateID: "slow", waitForStage: .accepted, input: 99)
            #expect(try await handle.query(queryType: Counter.Value.self) == 7)
            try await handle.signal(signalType: Counter.Release.self)
            #expect(try await slow.result() == 17)
            try await handle.signal(signalType: Counter.Finish.self)
            #expect(try await handle.result() == 17)
            #expect(try await handle.updateHandle(updateType: Counter.Slowly.self, id: "slow").result() == 17)
            await #expect(throws: WorkflowClosedError.self) {
                try await handle.executeUpdate(updateType: Counter.Add.self, input: 1)
            }
            await #expect(throws: WorkflowUpdateNotFoundError.self) {
                try await handle.updateHandle(updateType: Counter.Add.self, id: "never").result()
            }
            try await WorkflowReplayer(workflows: [Counter.self]).replayWorkflow(history: handle.fetchHistory())
            let history = try await handle.fetchHistory()
            #expect(history.count { $0.eventType == .workflowExecutionUpdateAccepted } == 4)
            let wrong = try await database.pool.query("select kind, what from perdure.violations()")
            #expect(wrong.isEmpty, "\(wrong)")
        }
    }

    @Test("An update starts its workflow if it does not run, both or neither", .timeLimit(.minutes(5)))
    func updateWithStart() async throws {
        try await withWorker { client, database in
            let options = WorkflowOptions(id: "cart", taskQueue: "q")
            func add(_ number: Int, _ updateID: String, _ options: WorkflowOptions) async throws -> Int {
                try await client.executeUpdateWithStartWorkflow(
                    type: Counter.self, input: true, options: options, updateType: Counter.Add.self,
                    updateID: updateID, updateInput: number)
            }
            #expect(try await add(2, "first", options) == 2)
            #expect(try await add(3, "second", options) == 5)
            #expect(try await add(9, "first", options) == 2, "a repeat finds the first")
            let rejected = await #expect(throws: WorkflowUpdateFailedError.self) {
                _ = try await add(-1, "bad", options)
            }
            #expect(rejected?.isRejected == true)
            let untyped = try await client.startUpdateWithStartWorkflow(
                name: Counter.name, options: options, payloads: [Payload(plain: true)], updateName: "Add",
                updatePayloads: [Payload(plain: 10)], waitForStage: .completed)
            #expect(try await untyped.result(as: Int.self) == 15)
            let handle = client.workflowHandle(type: Counter.self, id: "cart")
            #expect(untyped.workflowRunID == (try await handle.describe()).runID)
            try await handle.signal(signalType: Counter.Finish.self)
            #expect(try await handle.result() == 15)

            // A closed run may stand in the way: nothing is started, and nothing updated.
            var strict = options
            strict.idReusePolicy = .rejectDuplicate
            await #expect(throws: WorkflowAlreadyStartedError.self) { _ = try await add(1, "late", strict) }
            await #expect(throws: EngineError.self) {
                _ = try await add(1, String(repeating: "x", count: 100_000), WorkflowOptions(id: "no", taskQueue: "q"))
            }
            await #expect(throws: WorkflowNotFoundError.self) {
                _ = try await client.workflowHandle(type: Counter.self, id: "no").describe()
            }
            #expect(try await add(4, "again", options) == 4)
            try await handle.signal(signalType: Counter.Finish.self)
            let wrong = try await database.pool.query("select kind, what from perdure.violations()")
            #expect(wrong.isEmpty, "\(wrong)")
        }
    }

    @Test(
        "Latency of an update to an idle cached run, beside a query and a signal with a query", .timeLimit(.minutes(5)))
    func latency() async throws {
        try await withWorker { client, _ in
            let handle = try await client.startWorkflow(
                type: Counter.self, options: WorkflowOptions(id: "counter", taskQueue: "q"), input: true)
            _ = try await handle.query(queryType: Counter.Value.self)
            func median(_ body: () async throws -> Void) async throws -> Double {
                var times: [Double] = []
                for _ in 0..<40 {
                    let start = ContinuousClock.now
                    try await body()
                    times.append(start.duration(to: .now) / .milliseconds(1))
                }
                return times.sorted()[20]
            }
            let update = try await median { _ = try await handle.executeUpdate(updateType: Counter.Add.self, input: 1) }
            let rejected = try await median {
                _ = try? await handle.executeUpdate(updateType: Counter.Add.self, input: -1)
            }
            let query = try await median { _ = try await handle.query(queryType: Counter.Value.self) }
            let signal = try await median {
                try await handle.signal(signalType: Counter.Release.self)
                _ = try await handle.query(queryType: Counter.Value.self)
            }
            print("idle cached run, median of 40: update \(update) ms, rejected update \(rejected) ms")
            print("beside it: query \(query) ms, signal and query \(signal) ms")
            #expect(try await handle.query(queryType: Counter.Value.self) == 40)
        }
    }
}
