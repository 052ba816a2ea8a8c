import Foundation
import PerdureEngine
import Testing

@testable import Perdure

@Workflow
private struct Greeting {
    func run(context: WorkflowContext<Self>, input: String) async throws -> String {
        try await context.executeActivity(
            name: "greet", options: .init(startToCloseTimeout: .seconds(5)), input: input)
    }
}

@Workflow
private struct Facts {
    struct Answer: Codable, Equatable {
        var workflowID: String
        var runID: UUID
        var attempt: Int
        var startTime: Date
        var firstRun: UUID
        var runTimeout: String?
        var priority: Int?
        var times: [Date]
        var lengths: [Int]
        var ids: [UUID]
        var dice: [Int]
    }

    func run(context: WorkflowContext<Self>, input: Void) async throws -> Answer {
        var answer = Answer(
            workflowID: context.info.workflowID, runID: context.info.runID, attempt: context.info.attempt,
            startTime: context.info.startTime, firstRun: context.info.firstExecutionRunID,
            runTimeout: context.info.runTimeout?.wire, priority: context.info.priority, times: [], lengths: [], ids: [],
            dice: [])
        var generator = context.randomNumberGenerator
        for _ in 0..<3 {
            answer.times.append(context.now)
            answer.lengths.append(context.currentHistoryLength)
            answer.ids.append(context.uuid())
            answer.dice.append(.random(in: 1...6, using: &generator))
            try await context.sleep(for: .seconds(1))
        }
        return answer
    }
}

@Workflow
private struct Failing {
    enum How: String, Codable { case declared, bug, activity, cancellation }
    struct Bug: Error {}

    func run(context: WorkflowContext<Self>, input: How) async throws {
        switch input {
        case .declared:
            throw ApplicationError(
                message: "no funds", details: [try Payload(encoding: 7)], type: "NoFunds", isNonRetryable: true)
        case .bug: throw Bug()
        case .activity: try await context.executeActivity(name: "a", options: .init(startToCloseTimeout: .seconds(1)))
        case .cancellation: throw CancellationError()
        }
    }
}

@Workflow
private struct Notes {
    func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
        var seen = [context.searchAttributes["city"]?.stringValue ?? "", try context.memoValue(for: "note") ?? ""]
        context.upsertSearchAttributes(["city": "Bonn", "old": .null])
        try context.upsertMemo(["note": "two", "gone": nil])
        seen += [context.searchAttributes["city"]?.stringValue ?? "", try context.memoValue(for: "note") ?? ""]
        #expect(context.searchAttributes["old"] == nil)
        #expect(try context.memoValue(for: "gone", as: String.self) == nil)
        context.logger.info("noted")
        try await context.sleep(for: .seconds(1))
        context.logger.info("slept")
        return seen
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

    @Test("Time, randomness and facts are those of the history, the same on every replay")
    func facts() async throws {
        let id = UUID()
        let answer = try answer(id, evicting: false)
        #expect(answer.workflowID == "w")
        #expect(answer.runID == id)
        #expect(answer.attempt == 2)
        #expect(answer.runTimeout == "60s")
        #expect(answer.priority == 4)
        #expect(answer.firstRun.uuidString.hasSuffix("0001"))
        #expect(answer.lengths == [3, 8, 13])
        #expect(answer.times.map { $0.timeIntervalSince(answer.startTime) } == [2, 7, 12])
        #expect(Set(answer.ids).count == 3)
        #expect(answer.ids.allSatisfy { $0.uuidString.dropFirst(14).first == "4" })
        let replayed = try self.answer(id, evicting: true)
        #expect(replayed == answer)
    }

    private func answer(_ id: UUID, evicting: Bool) throws -> Facts.Answer {
        let run = try DrivenRun(
            Facts.self, input: JSON.null, runID: id,
            attributes: [
                "attempt": 2, "workflowRunTimeout": "60s", "priority": ["priorityKey": 4],
                "firstExecutionRunId": "00000000-0000-0000-0000-000000000001",
            ])
        for timer in 1...3 {
            #expect(try run.task().summaries == ["StartTimer (id \(timer))"])
            run.fire("\(timer)")
            if evicting { run.evict() }
        }
        try run.task()
        return try run.result()
    }

    @Test("A declared failure fails the run, with its type and details")
    func declaredFailure() throws {
        let run = try DrivenRun(Failing.self, input: Failing.How.declared)
        #expect(try run.task().summaries == ["FailWorkflowExecution"])
        let failure = try #require(run.failure)
        #expect(failure.message == "no funds")
        #expect(failure.kind == .application(type: "NoFunds", nonRetryable: true, details: [try Payload(encoding: 7)]))
        #expect(failure.stackTrace.hasPrefix("PerdureTests/WorkflowBasicsTests.swift:"))
    }

    @Test("Any other error is a bug: it fails the workflow task and never the run")
    func bug() throws {
        for how in [Failing.How.bug, .cancellation] {
            let run = try DrivenRun(Failing.self, input: how)
            let error = #expect(throws: (any Error).self) { try run.task() }
            #expect(error is Failing.Bug || error is CancellationError)
            #expect(run.events.last?.eventType == .workflowTaskFailed)
        }
    }

    @Test("An activity's failure reaches the code with its cause, and the run's failure if it is not caught")
    func activityFailure() async throws {
        let run = try DrivenRun(Failing.self, input: Failing.How.activity)
        try run.task()
        run.fail("1", .application("boom", type: "Boom"))
        #expect(try run.task().summaries == ["FailWorkflowExecution"])
        let failure = try #require(run.failure)
        #expect(failure.chain.map(\.message) == ["activity a failed", "boom"])
        guard case .activity(let activity) = failure.kind else { throw Unexpected(what: "\(failure.kind)") }
        #expect(activity.activityId == "1")
        #expect(activity.retryState == .maximumAttemptsReached)
        try await run.replay()
    }

    @Test("Search attributes and memo read what was upserted; logs are silent during replay")
    func notesAndLogs() async throws {
        let run = try DrivenRun(
            Notes.self, input: JSON.null,
            attributes: [
                "searchAttributes": ["city": "Ulm", "old": 1], "memo": ["note": try Payload(encoding: "one").json],
            ])
        let commands = try run.task()
        #expect(
            commands.summaries == [
                "UpsertWorkflowSearchAttributes", "ModifyWorkflowProperties", "StartTimer (id 1)",
            ])
        #expect(commands[0].attributes["searchAttributes"] == ["city": "Bonn", "old": nil])
        #expect(commands[1].attributes["upsertedMemo"]?["gone"] == .null)
        run.evict()
        run.fire("1")
        try run.task()
        #expect(try run.result(as: [String].self) == ["Ulm", "one", "Bonn", "two"])
        #expect(run.logs.all == ["info: noted", "info: slept"])
    }

    @Test("An error brings its stack trace into the history, if it has one")
    func stackTraces() {
        struct Plain: Error {}
        struct Traced: TracedError { let stackTrace = "Orders/Refund.swift:29" }
        #expect(Failure(Plain()).stackTrace == "")
        let failure = Failure(Traced())
        #expect(failure.stackTrace == "Orders/Refund.swift:29" && failure.message.hasPrefix("Traced"))
        let declared = ApplicationError(message: "no funds", cause: Traced(), file: "Orders/Pay.swift", line: 7)
        #expect(declared.failure.stackTrace == "Orders/Pay.swift:7")
        #expect(declared.failure.cause?.stackTrace == "Orders/Refund.swift:29")
    }

    @Test("Input that cannot be read fails the task and says which type it should be")
    func badInput() throws {
        let run = try DrivenRun(Greeting.self, input: 7)
        let error = #expect(throws: WorkflowTaskError.self) { try run.task() }
        #expect(error?.failure.message.contains("cannot be read as String") == true)
    }
}
