import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

@ActivityContainer
private actor Shop {
    @Activity
    func price(item: String) async throws -> Int { item.count * 10 }

    @Activity(name: "pack_it")
    func pack() async throws -> String { ActivityExecutionContext.current?.info.activityType ?? "" }
}

@Workflow
private struct Purchase {
    struct Order: Codable {
        var items: [String]
    }

    struct Receipt: Codable, Equatable {
        var total: Int
        var label: String
        var note: String
        var priority: Int?
    }

    var total = 0
    var isConfirmed = false
    var note = ""

    func run(context: WorkflowContext<Self>, input: Order) async throws -> Receipt {
        total = try await withThrowingTaskGroup(of: Int.self) { group in
            for item in input.items {
                group.addTask {
                    try await context.executeActivity(
                        Shop.Activities.Price.self, options: .init(startToCloseTimeout: .seconds(30)), input: item)
                }
            }
            return try await group.reduce(0, +)
        }
        try await context.condition { $0.isConfirmed }
        let label = try await context.executeActivity(
            Shop.Activities.Pack.self, options: .init(startToCloseTimeout: .seconds(30)))
        return Receipt(total: total, label: label, note: note, priority: context.info.priority)
    }

    @WorkflowSignal
    func confirm() { isConfirmed = true }

    @WorkflowSignal(name: "set_note")
    func setNote(input: String) { note = input }

    @WorkflowQuery
    func totalSoFar() -> Int { total }

    @WorkflowQuery
    func totalTimes(input: Int) -> Int { total * input }
}

/// What the history says of time is what the code saw.
@Workflow
private struct Clock {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> [Date] {
        var times: [Date] = []
        for _ in 0..<3 {
            times.append(context.now)
            try await context.sleep(for: .milliseconds(20))
        }
        return times
    }
}

/// A bug is shipped, and then its fix, while runs are stuck.
@Workflow(name: "Shipped")
private struct Buggy {
    struct Bug: Error {}

    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        let ten: Int = try await context.executeActivity(
            name: "Price", options: .init(startToCloseTimeout: .seconds(30)), input: "x")
        guard ten == 0 else { throw Bug() }
        return input
    }
}

@Workflow(name: "Shipped")
private struct Fixed {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        let ten: Int = try await context.executeActivity(
            name: "Price", options: .init(startToCloseTimeout: .seconds(30)), input: "x")
        return input + ten
    }
}

@Suite("Client and worker on PostgreSQL")
struct ClientTests {
    private func withDatabase(
        _ workflows: [any WorkflowDefinition.Type],
        _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            try await withWorker(workflows, database) { try await body(client, database) }
        }
    }

    private func withWorker(
        _ workflows: [any WorkflowDefinition.Type], _ database: TestDatabase,
        _ body: @Sendable () async throws -> Void
    ) async throws {
        let worker = Worker(
            pool: database.pool, options: WorkerOptions(taskQueue: "shop"), workflows: workflows,
            activityContainers: [Shop()],
            logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run() }
            try await body()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func options(_ id: String = UUID().uuidString) -> WorkflowOptions {
        WorkflowOptions(id: id, taskQueue: "shop")
    }

    @Test("A typed handle starts, signals, asks and waits; the history replays")
    func typedHandle() async throws {
        try await withDatabase([Purchase.self]) { client, _ in
            var options = options("p-1")
            options.priority = 2
            options.memo = ["origin": "web", "size": 3]
            options.runTimeout = .seconds(600)
            let handle = try await client.startWorkflow(
                type: Purchase.self, options: options, input: .init(items: ["nut", "bolt"]))
            #expect(handle.id == "p-1")
            try await eventually("the total is known") {
                try await handle.query(queryType: Purchase.TotalSoFar.self) == 70
            }
            #expect(try await handle.query(queryType: Purchase.TotalTimes.self, input: 2) == 140)
            try await handle.signal(signalType: Purchase.SetNote.self, input: "ring twice")
            let other = client.workflowHandle(type: Purchase.self, id: "p-1")
            try await other.signal(signalType: Purchase.Confirm.self)
            let receipt = Purchase.Receipt(total: 70, label: "pack_it", note: "ring twice", priority: 2)
            #expect(try await handle.result() == receipt)
            #expect(try await other.result() == receipt)
            let description = try await handle.describe()
            #expect(description.status == .completed)
            #expect(description.workflowType == "Purchase")
            let history = try await handle.fetchHistory()
            #expect(history[0].attributes["memo"]?["size"]?["data"] == 3)
            #expect(history[0].attributes["workflowRunTimeout"] == "600s")
            try await WorkflowReplayer(workflows: [Purchase.self]).replayWorkflow(history: history)
            await #expect(throws: WorkflowClosedError.self) {
                try await handle.signal(signalType: Purchase.Confirm.self)
            }
        }
    }

    @Test("Signal-with-start starts once, and the signal comes before run begins")
    func signalWithStart() async throws {
        try await withDatabase([Purchase.self]) { client, _ in
            let options = options()
            let first = try await client.signalWithStartWorkflow(
                type: Purchase.self, input: .init(items: []), options: options, signalType: Purchase.SetNote.self,
                signalInput: "first")
            let second = try await client.signalWithStartWorkflow(
                type: Purchase.self, input: .init(items: []), options: options, signalType: Purchase.Confirm.self)
            #expect(first.resultRunID == second.resultRunID)
            #expect(try await second.result().note == "first")
        }
    }

    @Test("Starting twice, cancelling, terminating and asking nobody get errors that say so")
    func errors() async throws {
        try await withDatabase([Purchase.self]) { client, _ in
            let options = options()
            let handle = try await client.startWorkflow(type: Purchase.self, options: options, input: .init(items: []))
            let error = await #expect(throws: WorkflowAlreadyStartedError.self) {
                try await client.startWorkflow(type: Purchase.self, options: options, input: .init(items: []))
            }
            #expect(error?.runID == handle.resultRunID)
            try await handle.cancel(reason: "changed my mind")
            let canceled = await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            #expect(canceled?.status == .canceled)

            var again = options
            again.idConflictPolicy = .useExisting
            let next = try await client.startWorkflow(type: Purchase.self, options: again, input: .init(items: []))
            try await next.terminate(reason: "enough")
            let terminated = await #expect(throws: WorkflowFailedError.self) { try await next.result() }
            #expect(terminated?.status == .terminated)
            await #expect(throws: WorkflowNotFoundError.self) {
                try await client.workflowHandle(type: Purchase.self, id: "nobody").cancel()
            }
        }
    }

    @Test("A start in the application's transaction happens with its rows or not at all")
    func transaction() async throws {
        struct Refusal: Error {}
        try await withDatabase([Purchase.self]) { client, database in
            try await database.pool.query("create table orders (id text primary key)")
            let (kept, lost) = (options(), options())
            await #expect(throws: Refusal.self) {
                try await database.pool.transaction { connection in
                    try await connection.query("insert into orders values (\(lost.id))")
                    try await client.on(connection).startWorkflow(
                        type: Purchase.self, options: lost, input: .init(items: []))
                    throw Refusal()
                }
            }
            let handle = try await database.pool.transaction { connection in
                try await connection.query("insert into orders values (\(kept.id))")
                let handle = try await client.on(connection).startWorkflow(
                    type: Purchase.self, options: kept, input: .init(items: ["nut"]))
                try await client.on(connection).workflowHandle(type: Purchase.self, id: kept.id)
                    .signal(signalType: Purchase.Confirm.self)
                // Nobody sees it before the commit.
                await #expect(throws: WorkflowNotFoundError.self) {
                    try await client.workflowHandle(type: Purchase.self, id: kept.id).describe()
                }
                return handle
            }
            #expect(try await handle.result().total == 30)
            await #expect(throws: WorkflowNotFoundError.self) {
                try await client.workflowHandle(type: Purchase.self, id: lost.id).describe()
            }
            let rows = try await database.pool.query("select id from orders")
            let ids = try rows.map { try $0.decode(String.self, at: 0) }
            #expect(ids == [kept.id])
        }
    }

    @Test("The time that code saw is the time that history keeps")
    func time() async throws {
        try await withDatabase([Clock.self]) { client, _ in
            let handle = try await client.startWorkflow(type: Clock.self, options: options())
            let seen = try await handle.result()
            let history = try await handle.fetchHistory()
            let started = history.filter { $0.eventType == .workflowTaskStarted }.map(\.eventTime.date)
            #expect(Array(started.prefix(3)) == seen)
        }
    }

    @Test("Runs that are stuck on a bug finish when a worker with the fix comes")
    func bugAndFix() async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            var handles: [WorkflowHandle<Fixed>] = []
            for number in 0..<20 {
                handles.append(try await client.startWorkflow(type: Fixed.self, options: options(), input: number))
            }
            let stuck = handles
            try await withWorker([Buggy.self], database) {
                for handle in stuck {
                    try await eventually("the bug is in the history") {
                        let failed = try await handle.fetchHistory().last { $0.eventType == .workflowTaskFailed }
                        return failed?.attributes["failure"]?["applicationFailureInfo"]?["type"] == "Bug"
                    }
                    #expect(try await handle.describe().status == .running)
                }
            }
            try await withWorker([Fixed.self], database) {
                for (number, handle) in stuck.enumerated() {
                    let result = try await handle.result()
                    #expect(result == number + 10)
                }
            }
        }
    }
}
