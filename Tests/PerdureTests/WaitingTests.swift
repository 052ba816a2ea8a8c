import PerdureEngine
import Testing

@testable import Perdure

/// Takes turns: each waits for a permit that a signal brings, and takes it away.
@Workflow
private struct Turns {
    var permits = 0
    var order: [Int] = []

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [Int] {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<input {
                group.addTask {
                    try await context.condition { $0.permits > 0 }
                    permits -= 1
                    order.append(number)
                }
            }
            try await group.waitForAll()
        }
        return order
    }

    @WorkflowSignal
    func permit(input: Int) { permits += input }
}

@Workflow
private struct Approval {
    var isApproved = false

    func run(context: WorkflowContext<Self>, input: Duration) async throws -> Bool {
        let isInTime = try await context.condition(timeout: input) { $0.isApproved }
        try await context.sleep(for: .seconds(3))
        return isInTime
    }

    @WorkflowSignal
    func approve() { isApproved = true }
}

@Workflow
private struct Naps {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> Int {
        try await context.sleep(for: .zero)
        try await context.sleep(for: .seconds(-1))
        try await context.condition { _ in true }
        let isTrue = try await context.condition(timeout: .zero) { _ in false }
        #expect(!isTrue)
        try await context.sleep(for: .milliseconds(250))
        return 1
    }
}

/// Sleeps in a task that a signal's handler cancels.
@Workflow
private struct Alarm {
    var isStopped = false

    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        try await withThrowingTaskGroup(of: String.self) { group in
            group.addTask {
                do {
                    try await context.sleep(for: .seconds(60))
                    return "rang"
                } catch is CanceledError {
                    return "stopped"
                }
            }
            group.addTask {
                try await context.condition { $0.isStopped }
                return "signal"
            }
            _ = try await group.next()
            group.cancelAll()
            return try await group.next() ?? ""
        }
    }

    @WorkflowSignal
    func stop() { isStopped = true }
}

@Workflow
private struct Hurried {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> String {
        do {
            return try await context.timeout(for: .seconds(10)) {
                try await context.executeActivity(name: "slow", options: .init(startToCloseTimeout: .seconds(60)))
            }
        } catch let error as ActivityError where error.failure.isCancellation {
            return "too late"
        }
    }
}

@Suite("Waiting")
struct WaitingTests {
    @Test("Of several that wait for one condition, one goes on at a time, and only while it holds")
    func conditionsTakeTurns() async throws {
        let run = try DrivenRun(Turns.self, input: 3)
        #expect(try run.task().isEmpty)
        try run.signal("Permit", 1)
        #expect(try run.task().isEmpty)
        run.evict()
        try run.signal("Permit", 2)
        try run.task()
        #expect(try run.result(as: [Int].self) == [0, 1, 2])
        try await run.replay()
    }

    @Test("A condition that comes true in time takes its timer away; one that does not says so")
    func conditionWithTimeout() async throws {
        let inTime = try DrivenRun(Approval.self, input: Duration.seconds(10))
        #expect(try inTime.task().summaries == ["StartTimer (id 1)"])
        try inTime.signal("Approve")
        #expect(try inTime.task().summaries == ["CancelTimer (id 1)", "StartTimer (id 2)"])
        inTime.fire("2")
        try inTime.task()
        #expect(try inTime.result(as: Bool.self))
        try await inTime.replay()

        let late = try DrivenRun(Approval.self, input: Duration.seconds(10))
        try late.task()
        late.fire("1")
        #expect(try late.task().summaries == ["StartTimer (id 2)"])
        try late.signal("Approve")
        late.fire("2")
        try late.task()
        #expect(try late.result(as: Bool.self) == false)
        try await late.replay()
    }

    @Test("A timer that has fired is not cancelled, though a signal of the same task comes first")
    func conditionAndTimerInOneTask() async throws {
        let run = try DrivenRun(Approval.self, input: Duration.seconds(10))
        try run.task()
        run.fire("1")
        try run.signal("Approve")
        #expect(try run.task().summaries == ["StartTimer (id 2)"])
        run.fire("2")
        try run.task()
        #expect(try run.result(as: Bool.self))
        try await run.replay()
    }

    @Test("Cancelling a sleep takes its timer away, unless it has fired: then it has slept")
    func cancelledSleep() async throws {
        let run = try DrivenRun(Alarm.self)
        #expect(try run.task().summaries == ["StartTimer (id 1)"])
        try run.signal("Stop")
        #expect(try run.task().summaries == ["CancelTimer (id 1)", "CompleteWorkflowExecution"])
        #expect(try run.result(as: String.self) == "stopped")
        try await run.replay()

        let both = try DrivenRun(Alarm.self)
        try both.task()
        try both.signal("Stop")
        both.fire("1")
        #expect(try both.task().summaries == ["CompleteWorkflowExecution"])
        #expect(try both.result(as: String.self) == "rang")
        try await both.replay()
    }

    @Test("Nothing to wait for needs no timer")
    func zero() async throws {
        let run = try DrivenRun(Naps.self)
        let commands = try run.task()
        #expect(commands.summaries == ["StartTimer (id 1)"])
        #expect(commands[0].attributes["startToFireTimeout"] == "0.25s")
        run.fire("1")
        #expect(try run.task().summaries == ["CompleteWorkflowExecution"])
    }

    @Test("A timeout cancels what takes longer, and takes its timer away when it does not")
    func timeout() async throws {
        let late = try DrivenRun(Hurried.self)
        #expect(try late.task().summaries == ["StartTimer (id 1)", "ScheduleActivityTask (slow, id 1)"])
        late.fire("1")
        #expect(
            try late.task().summaries == [
                "RequestCancelActivityTask (of event \(late.scheduledEvent("1")))", "CompleteWorkflowExecution",
            ])
        #expect(try late.result(as: String.self) == "too late")
        try await late.replay()

        let inTime = try DrivenRun(Hurried.self)
        try inTime.task()
        try inTime.complete("1", "done")
        #expect(try inTime.task().summaries == ["CancelTimer (id 1)", "CompleteWorkflowExecution"])
        #expect(try inTime.result(as: String.self) == "done")
        try await inTime.replay()
    }
}
