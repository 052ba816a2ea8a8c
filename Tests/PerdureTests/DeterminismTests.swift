import Foundation
import PerdureEngine
import TestSupport
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

// Versions of one workflow, as they were shipped one after the other.

@Workflow(name: "Order")
private struct OrderV1 {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay", options: brief)
        try await context.sleep(for: .seconds(10))
        try await context.executeActivity(name: "ship", options: brief)
    }
}

@Workflow(name: "Order")
private struct WithoutPayment {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.sleep(for: .seconds(10))
        try await context.executeActivity(name: "ship", options: brief)
    }
}

@Workflow(name: "Order")
private struct EndingAfterPayment {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay", options: brief)
    }
}

@Workflow(name: "Order")
private struct WithCheck {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        async let check: Void = context.executeActivity(name: "check", options: brief)
        try await context.executeActivity(name: "pay", options: brief)
        try await check
        try await context.sleep(for: .seconds(10))
    }
}

@Workflow(name: "Order")
private struct WithCheckAfterPayment {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay", options: brief)
        async let nap: Void = context.sleep(for: .seconds(10))
        async let check: Void = context.executeActivity(name: "check", options: brief)
        _ = try await (nap, check)
    }
}

@Workflow(name: "Order")
private struct WithOtherPayment {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay_by_card", options: brief)
    }
}

@Workflow(name: "Order")
private struct WithReorderedTimer {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay", options: brief)
        try await context.executeActivity(name: "ship", options: brief)
        try await context.sleep(for: .seconds(10))
    }
}

@Workflow(name: "Order")
private struct WaitingForEver {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.executeActivity(name: "pay", options: brief)
        try await context.sleep(for: .seconds(10))
        try await context.executeActivity(name: "ship", options: brief)
        try await context.condition { _ in false }
    }
}

/// The same decisions in other words: what a refactoring may do.
@Workflow(name: "Order")
private struct Refactored {
    var isPaid = false

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        async let pay: Void = context.executeActivity(name: "pay", options: brief)
        try await pay
        isPaid = true
        try await context.condition { $0.isPaid }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await context.sleep(for: .seconds(20)) }
            try await group.waitForAll()
        }
        try await context.executeActivity(name: "ship", options: .init(scheduleToCloseTimeout: .seconds(9)))
    }
}

@globalActor private actor Elsewhere {
    static let shared = Elsewhere()
}

@Workflow
private struct Escaping {
    enum How: String, Codable, CaseIterable { case sleep, mainActor, task, taskState, detached, lateReturn }
    var value = 0

    @Elsewhere static func away() async { try? await Task.sleep(for: .milliseconds(1)) }

    func run(context: WorkflowContext<Self>, input: How) async throws -> Int {
        switch input {
        case .sleep: try await Task.sleep(for: .milliseconds(1))
        case .mainActor: await MainActor.run {}
        case .task:
            try await Task { try await context.executeActivity(name: "a", options: brief) }.value
        case .taskState: await Task { value += 1 }.value
        case .detached: await Task.detached { await Self.away() }.value
        case .lateReturn:
            async let late: Void = Task.detached { await Self.away() }.value
            try await context.sleep(for: .seconds(1))
            await late
        }
        return value
    }
}

@Suite("Determinism")
struct DeterminismTests {
    private func recorded() throws -> DrivenRun<OrderV1> {
        let run = try DrivenRun(OrderV1.self)
        try run.task()
        try run.complete("1")
        try run.task()
        run.fire("1")
        try run.task()
        try run.complete("2")
        try run.task()
        return run
    }

    private func error<W: WorkflowDefinition>(_: W.Type) async throws -> NonDeterminismError {
        let run = try recorded()
        let error = await #expect(throws: NonDeterminismError.self) { try await run.replay(with: W.self) }
        return try #require(error)
    }

    @Test("What history holds and code does not do is told by the event and by both names")
    func mismatches() async throws {
        try await recorded().replay()
        try await recorded().replay(with: Refactored.self)

        var error = try await error(WithoutPayment.self)
        #expect(error.eventId == 5)
        #expect(
            error.description
                == "event 5 is ActivityTaskScheduled (pay, id 1), but the code decided StartTimer (id 1)")

        error = try await self.error(WithOtherPayment.self)
        #expect(error.eventId == 5)
        #expect(error.description.contains("but the code decided ScheduleActivityTask (pay_by_card, id 1)"))

        error = try await self.error(EndingAfterPayment.self)
        #expect(error.eventId == 10)
        #expect(
            error.description == "event 10 is TimerStarted (id 1), but the code decided CompleteWorkflowExecution")

        error = try await self.error(WithReorderedTimer.self)
        #expect(error.eventId == 10)
        #expect(error.description.contains("but the code decided ScheduleActivityTask (ship, id 2)"))

        error = try await self.error(WithCheck.self)
        #expect(error.eventId == 4)
        #expect(
            error.description
                == "the code decided ScheduleActivityTask (check, id 2) after event 4, which the history does not hold")

        error = try await self.error(WithCheckAfterPayment.self)
        #expect(error.eventId == 9)
        #expect(
            error.description
                == "the code decided ScheduleActivityTask (check, id 2) after event 9, which the history does not hold")

        error = try await self.error(WaitingForEver.self)
        #expect(
            error.description
                == """
                event \(try recorded().events.count) is WorkflowExecutionCompleted, but the code decided nothing \
                there
                """
        )
    }

    @Test("A completion that nothing waits for is told, not ignored")
    func extraCompletion() async throws {
        let run = try DrivenRun(OrderV1.self)
        try run.task()
        run.add(.activityTaskCompleted, ["scheduledEventId": 3])
        let error = #expect(throws: NonDeterminismError.self) { try run.task() }
        #expect(error?.eventId == 6)
        #expect(error?.description.contains("the code has no such activity") == true)

        let other = try DrivenRun(OrderV1.self)
        try other.task()
        other.fire("1")
        #expect(throws: NonDeterminismError.self) { try other.task() }
    }

    @Test("A run that is stuck on changed code goes on once the code is repaired")
    func repaired() async throws {
        let run = try DrivenRun(OrderV1.self)
        try run.task()
        try run.complete("1")
        await #expect(throws: NonDeterminismError.self) { try await run.replay(with: WithOtherPayment.self) }
        run.evict()
        #expect(try run.task().summaries == ["StartTimer (id 1)"])
    }

    @Test("Failed and timed-out workflow tasks did nothing, as far as history knows")
    func failedTasks() async throws {
        let run = try DrivenRun(OrderV1.self)
        for end in [EventType.workflowTaskFailed, .workflowTaskTimedOut] {
            run.add(.workflowTaskScheduled)
            run.add(.workflowTaskStarted)
            run.add(end)
        }
        #expect(try run.task().summaries == ["ScheduleActivityTask (pay, id 1)"])
        try await run.replay()
    }

    @Test("Code that waits outside of the workflow fails its task, however soon or late that comes back")
    func escapes() async throws {
        for how in Escaping.How.allCases where how != .lateReturn {
            let run = try DrivenRun(Escaping.self, input: how)
            let error = #expect(throws: NonDeterminismError.self, "\(how)") { try run.task() }
            #expect(error?.description.contains("outside of the workflow") == true)
        }
    }

    @Test("A late return from outside is logged at once, and fails the next task")
    func lateEscape() async throws {
        let run = try DrivenRun(Escaping.self, input: Escaping.How.lateReturn)
        #expect(try run.task().summaries == ["StartTimer (id 1)"])
        try await eventually("it is logged") { !run.logs.all.isEmpty }
        #expect(run.logs.all.count == 1)
        #expect(run.logs.all[0].hasPrefix("error: The workflow's code is not deterministic"))
        #expect(run.logs.all[0].contains("waited for something outside of the workflow"))
        run.fire("1")
        #expect(throws: NonDeterminismError.self) { try run.task() }
    }
}
