import PerdureEngine
import Testing

@testable import Perdure

@Workflow
private struct OneActivity {
    struct Input: Codable {
        var type: String
        var isCaught = false
    }

    func run(context: WorkflowContext<Self>, input: Input) async throws -> String {
        var options = ActivityOptions(startToCloseTimeout: .seconds(60))
        options.cancellationType =
            switch input.type {
            case "abandon": .abandon
            case "wait": .waitCancellationCompleted
            default: .tryCancel
            }
        do {
            return try await context.executeActivity(name: "a", options: options)
        } catch let error as ActivityError where input.isCaught {
            #expect(error.cause is CanceledError)
            return "caught"
        }
    }
}

/// Reserves, then waits to be cancelled, and gives back what it has.
@Workflow
private struct Booking {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        let options = ActivityOptions(startToCloseTimeout: .seconds(5))
        try await context.executeActivity(name: "reserve", options: options)
        do {
            try await context.sleep(for: .seconds(3600))
            return "kept"
        } catch let error as CanceledError {
            #expect(context.isCancelRequested)
            await #expect(throws: CanceledError.self) {
                try await context.executeActivity(name: "never", options: options)
            }
            let left: Int = try await context.withCancellationShield {
                try await context.executeActivity(name: "release", options: options)
            }
            #expect(left == 1)
            throw error
        }
    }
}

/// Asks three for an answer, takes the first and cancels the others.
@Workflow
private struct Race {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        try await withThrowingTaskGroup(of: String.self) { group in
            for name in ["a", "b", "c"] {
                group.addTask {
                    try await context.executeActivity(
                        name: name, options: .init(startToCloseTimeout: .seconds(5), activityID: name))
                }
            }
            let first = try await group.next() ?? ""
            group.cancelAll()
            return first
        }
    }
}

/// Decides and changes its mind before anybody sees it.
@Workflow
private struct Fickle {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await context.sleep(for: .seconds(5)) }
            group.addTask {
                _ = try? await context.executeActivity(
                    name: "a", options: .init(startToCloseTimeout: .seconds(5)), outputType: Void.self)
            }
            group.addTask {}
            await group.next()
            group.cancelAll()
        }
        try await context.sleep(for: .seconds(1))
    }
}

@Suite("Cancellation")
struct CancellationTests {
    @Test("tryCancel asks the activity to stop and goes on at once")
    func tryCancel() async throws {
        let run = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "try", isCaught: true))
        try run.task()
        run.requestCancel()
        #expect(
            try run.task().summaries == ["RequestCancelActivityTask (of event 5)", "CompleteWorkflowExecution"])
        #expect(try run.result(as: String.self) == "caught")
        try await run.replay()
    }

    @Test("waitCancellationCompleted waits until the activity has stopped, or finished after all")
    func waitCancellationCompleted() async throws {
        let stopped = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "wait", isCaught: true))
        try stopped.task()
        stopped.requestCancel()
        #expect(try stopped.task().summaries == ["RequestCancelActivityTask (of event 5)"])
        stopped.canceled("1")
        try stopped.task()
        #expect(try stopped.result(as: String.self) == "caught")
        try await stopped.replay()

        let finished = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "wait"))
        try finished.task()
        finished.requestCancel()
        try finished.task()
        try finished.complete("1", "finished")
        try finished.task()
        #expect(try finished.result(as: String.self) == "finished")
        try await finished.replay()
    }

    @Test("abandon leaves the activity alone")
    func abandon() async throws {
        let run = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "abandon", isCaught: true))
        try run.task()
        run.requestCancel()
        #expect(try run.task().summaries == ["CompleteWorkflowExecution"])
        try await run.replay()
    }

    @Test("An uncaught cancellation cancels the run; without a request for it, it fails the run")
    func uncaught() async throws {
        let run = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "try"))
        try run.task()
        run.requestCancel()
        #expect(try run.task().summaries.last == "CancelWorkflowExecution")
        try await run.replay()

        let other = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "try"))
        try other.task()
        other.canceled("1")
        #expect(try other.task().summaries == ["FailWorkflowExecution"])
        #expect(other.failure?.isCancellation == true)
    }

    @Test("An activity that has ended cannot be cancelled in the same task: the code gets its result")
    func endedBeforeCancel() async throws {
        for order in [true, false] {
            let run = try DrivenRun(OneActivity.self, input: OneActivity.Input(type: "try"))
            try run.task()
            if order { run.requestCancel() }
            try run.complete("1", "done")
            if !order { run.requestCancel() }
            #expect(try run.task().summaries == ["CompleteWorkflowExecution"])
            #expect(try run.result(as: String.self) == "done")
            try await run.replay()
        }
    }

    @Test("A cancelled run waits for nothing but what is shielded")
    func shield() async throws {
        for evicts in [false, true] {
            let run = try DrivenRun(Booking.self)
            try run.task()
            try run.complete("1")
            #expect(try run.task().summaries == ["StartTimer (id 1)"])
            run.requestCancel()
            if evicts { run.evict() }
            #expect(try run.task().summaries == ["CancelTimer (id 1)", "ScheduleActivityTask (release, id 2)"])
            try run.complete("2", 1)
            if evicts { run.evict() }
            #expect(try run.task().summaries == ["CancelWorkflowExecution"])
            try await run.replay()
        }
    }

    @Test("Cancelling before the first task lets the code run up to where it waits")
    func beforeStart() async throws {
        let run = try DrivenRun(Booking.self)
        run.requestCancel()
        #expect(try run.task().summaries == ["CancelWorkflowExecution"])
        try await run.replay()
    }

    @Test("A task group cancels a part of a workflow")
    func group() async throws {
        let run = try DrivenRun(Race.self)
        try run.task()
        try run.complete("b", "b")
        let (a, c) = (run.scheduledEvent("a"), run.scheduledEvent("c"))
        #expect(
            try run.task().summaries == [
                "RequestCancelActivityTask (of event \(a))", "RequestCancelActivityTask (of event \(c))",
                "CompleteWorkflowExecution",
            ])
        #expect(try run.result(as: String.self) == "b")
        try await run.replay()
    }

    @Test("What is decided and undone in one task never was")
    func unsent() async throws {
        let run = try DrivenRun(Fickle.self)
        #expect(try run.task().summaries == ["StartTimer (id 2)"])
        run.fire("2")
        try run.task()
        try await run.replay()
    }
}
