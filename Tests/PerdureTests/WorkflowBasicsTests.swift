import PerdureEngine
import Testing

@testable import Perdure

@Workflow
struct Greeting {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        try await context.executeActivity(
            name: "greet", options: .init(startToCloseTimeout: .seconds(5)), input: input)
    }
}

@Suite("A workflow's run")
struct WorkflowBasicsTests {
    @Test("It schedules an activity, waits, and returns what came of it")
    func activity() async throws {
        let run = try DrivenRun(Greeting.self, input: "Ada")
        let commands = try run.task()
        #expect(commands.summaries == ["ScheduleActivityTask (greet, id 1)"])
        #expect(commands[0].attributes["startToCloseTimeout"] == "5s")
        #expect(commands[0].attributes["taskQueue"]?["name"] == "queue")
        try run.complete("1", "Hello, Ada!")
        #expect(try run.task().summaries == ["CompleteWorkflowExecution"])
        #expect(try run.result(as: String.self) == "Hello, Ada!")
        try await run.replay()
    }
}
