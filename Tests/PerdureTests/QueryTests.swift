import PerdureEngine
import Testing

@testable import Perdure

@Workflow
private struct Counter {
    var count = 0
    var asked = 0

    func run(context: WorkflowContext<Self>, input: Bool) async throws {
        while count < 3 {
            count += 1
            context.logger.info("counted")
            try await context.sleep(for: .seconds(1))
        }
        if input { throw ApplicationError(message: "three is too many") }
    }

    @WorkflowQuery
    func value() -> Int { count }

    @WorkflowQuery(name: "meddle")
    func meddling() -> Int {
        asked += 1
        return asked
    }

    @WorkflowQuery
    func refuse() throws -> Int { throw ApplicationError(message: "not for you", type: "Forbidden") }
}

@Suite("Queries")
struct QueryTests {
    @Test("A query is answered from where the run stands, also by replay, also after it has failed")
    func value() async throws {
        let run = try DrivenRun(Counter.self, input: true)
        for timer in 1...3 {
            try run.task()
            #expect(try run.query("Value", as: Int.self) == timer)
            run.fire("\(timer)")
        }
        try run.task()
        #expect(run.failure?.message == "three is too many")
        #expect(try run.query("Value", as: Int.self) == 3)

        let silent = WorkflowRun<Counter>(run.info)
        defer { silent.evict() }
        try silent.replay(run.events)
        #expect(try silent.query("Value", input: [])[0].decode(Int.self) == 3)
        #expect(run.logs.all.count == 3)
    }

    @Test("A query that changes state fails, and changes nothing; the run goes on")
    func meddling() throws {
        let run = try DrivenRun(Counter.self, input: false)
        try run.task()
        let error = #expect(throws: ApplicationError.self) { try run.query("meddle", as: Int.self) }
        #expect(error?.message.contains("may only read") == true)
        #expect(try run.query("Value", as: Int.self) == 1)
        run.fire("1")
        #expect(try run.task().summaries == ["StartTimer (id 2)"])
    }

    @Test("What a query throws is its answer; an unknown one names those there are")
    func failures() throws {
        let run = try DrivenRun(Counter.self, input: false)
        try run.task()
        let refused = #expect(throws: ApplicationError.self) { try run.query("Refuse", as: Int.self) }
        #expect(refused?.type == "Forbidden")
        let unknown = #expect(throws: ApplicationError.self) { try run.query("Nothing", as: Int.self) }
        #expect(unknown?.message == "workflow Counter has no query Nothing; it has: Refuse, Value, meddle")
    }

    @Test("What the run says of where it stands is told with what it can be asked, also when it comes from its history")
    func currentDetails() throws {
        let run = try DrivenRun(Standing.self)
        try run.task()
        for evicts in [false, true] {
            if evicts {
                run.evict()
                try run.signal("Say", "more")
                try run.task()
            }
            let metadata: JSON = try run.query("__temporal_workflow_metadata")
            #expect(metadata["currentDetails"]?.stringValue == (evicts ? "waits, more" : "waits"))
        }
    }
}

@Workflow
private struct Standing {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        context.setCurrentDetails("waits")
        try await context.sleep(for: .seconds(60))
    }

    @WorkflowSignal
    func say(context: WorkflowContext<Self>, input: String) {
        context.setCurrentDetails("\(context.currentDetails), \(input)")
    }
}
