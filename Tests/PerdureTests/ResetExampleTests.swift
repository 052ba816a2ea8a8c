import Foundation
import Logging
import Perdure
import PerdureTesting
import Synchronization
import Testing

/// The downstream service of the example: what it was asked for, by the key.
final class Charges: Sendable {
    private let amounts = Mutex<[String: Int]>([:])
    private let asked = Mutex(0)

    func charge(_ amount: Int, idempotencyKey: String) -> String {
        asked.withLock { $0 += 1 }
        return amounts.withLock { known in
            if let first = known[idempotencyKey] { return "charged \(first) before" }
            known[idempotencyKey] = amount
            return "charged \(amount)"
        }
    }

    var count: Int { amounts.withLock { $0.count } }
    var requests: Int { asked.withLock { $0 } }
}

@Suite("The guide's example of going back")
struct ResetExampleTests {
    @Test("It is the code that is compiled here")
    func isCompiled() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let guide = try String(
            contentsOf: folder.appending(path: "../../docs/guides/workflows.md"), encoding: .utf8)
        let example = try String(contentsOf: folder.appending(path: "ResetExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- going back -->\n```swift\n\(example)```\n"),
            "Copy Tests/PerdureTests/ResetExample.swift into docs/guides/workflows.md, below <!-- going back -->.")
    }

    private func withWorker<Value: Sendable>(
        _ charges: Charges, in database: TestDatabase, _ body: () async throws -> Value
    ) async throws -> Value {
        let worker = Worker(
            pool: database.pool, options: WorkerOptions(taskQueue: "bills", buildID: "bad"),
            workflows: [Invoice.self, Dice.self], activityContainers: [Billing(charges: charges)],
            logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
        let working = Task { try await worker.run() }
        defer { working.cancel() }
        return try await body()
    }

    @Test("A call that is made again has its key, a new one if that is asked for", .timeLimit(.minutes(5)))
    func keepsKeys() async throws {
        try await TestDatabase.with { database in
            let charges = Charges()
            try await withWorker(charges, in: database) {
                let client = PerdureClient(pool: database.pool)
                let invoice = try await client.startWorkflow(
                    type: Invoice.self, options: WorkflowOptions(id: "i-1", taskQueue: "bills"), input: 5)
                #expect(try await invoice.result() == "charged 5")
                #expect(try await correct(invoice, doneBy: "bad") == "charged 5 before")
                #expect(charges.count == 1 && charges.requests == 2)
                let again = try await client.workflowHandle(type: Invoice.self, id: "i-1").reset(
                    to: .firstWorkflowTask, options: WorkflowResetOptions(newIdempotencyKeys: true))
                #expect(try await again.result() == "charged 5")
                #expect(charges.count == 2)
                await #expect(throws: (any Error).self) { try await invoice.reset(to: .build("unknown")) }
                await #expect(throws: (any Error).self) { try await invoice.reset(to: .event(1)) }
            }
        }
    }

    @Test("What both runs share is decided by the same random numbers", .timeLimit(.minutes(5)))
    func keepsRandomNumbers() async throws {
        try await TestDatabase.with { database in
            try await withWorker(Charges(), in: database) {
                let client = PerdureClient(pool: database.pool)
                let base = try await client.startWorkflow(
                    type: Dice.self, options: WorkflowOptions(id: "d-1", taskQueue: "bills"))
                try await waitFor(base, 1)
                try await base.signal(signalType: Dice.Roll.self)
                try await waitFor(base, 2)
                let first = try await base.query(queryType: Dice.Rolled.self)
                // It goes back to the task that the signal made, and shares the first roll.
                let new = try await base.reset(to: .lastWorkflowTask, reason: "roll again")
                try await waitFor(new, 2)
                let second = try await new.query(queryType: Dice.Rolled.self)
                #expect(first.count == 2 && second.count == 2)
                #expect(first[0] == second[0], "the first roll stands before the place")
                #expect(first[1] != second[1], "the second is the new run's own")
                try await new.signal(signalType: Dice.Roll.self)
                #expect(try await new.result() == second + [try await new.result()[2]])
                // Replayed from its history alone, the run decides the same.
                try await WorkflowReplayer(workflows: [Dice.self]).replayWorkflow(
                    history: try await new.fetchHistory())
            }
        }
    }

    private func waitFor(_ handle: WorkflowHandle<Dice>, _ rolls: Int) async throws {
        while try await handle.query(queryType: Dice.Rolled.self).count < rolls {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    @Test("Updates that were accepted behind the place are handled again", .timeLimit(.minutes(5)))
    func appliesUpdates() async throws {
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "carts"), workflows: [Cart.self],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            let working = Task { try await worker.run() }
            defer { working.cancel() }
            let cart = try await PerdureClient(pool: database.pool).startWorkflow(
                type: Cart.self, options: WorkflowOptions(id: "cart", taskQueue: "carts"))
            try await cart.executeUpdate(updateType: Cart.Add.self, input: "pear")
            let again = try await cart.reset(to: .firstWorkflowTask)
            try await again.executeUpdate(updateType: Cart.Add.self, input: "plum")
            // From the history alone: what the reset took over stands in an event of its own.
            try await WorkflowReplayer(workflows: [Cart.self]).replayWorkflow(
                history: try await again.fetchHistory())
            try await again.executeUpdate(updateType: Cart.Pay.self)
            #expect(try await again.result() == ["pear", "plum"])
            try await WorkflowReplayer(workflows: [Cart.self]).replayWorkflow(
                history: try await again.fetchHistory())
            // Of the run that was reset first: in the other one the update stands before the place.
            let empty = try await PerdureClient(pool: database.pool).workflowHandle(
                type: Cart.self, id: "cart", runID: cart.resultRunID
            ).reset(
                to: .firstWorkflowTask, options: WorkflowResetOptions(reapplyExcludeTypes: [.update]))
            try await empty.executeUpdate(updateType: Cart.Pay.self)
            #expect(try await empty.result() == [])
        }
    }
}

@Workflow
struct Dice {
    var rolls: [UInt64] = []
    var asked = 0

    mutating func run(context: WorkflowContext<Self>, input: Void) async throws -> [UInt64] {
        var random = context.randomNumberGenerator
        rolls.append(random.next())
        try await context.condition { $0.asked >= 1 }
        rolls.append(random.next())
        try await context.condition { $0.asked >= 2 }
        rolls.append(random.next())
        return rolls
    }

    @WorkflowSignal
    mutating func roll() { asked += 1 }

    @WorkflowQuery
    func rolled() -> [UInt64] { rolls }
}
