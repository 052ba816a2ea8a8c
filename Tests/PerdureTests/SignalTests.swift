import PerdureEngine
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

@Workflow
private struct Basket {
    var items: [String] = []
    var isClosed = false
    private var log: [String] = []

    mutating func run(context: WorkflowContext<Self>, input: Void) async throws -> [String] {
        try await context.condition { $0.isClosed }
        return items
    }

    @WorkflowSignal
    mutating func add(input: String) { items.append(input) }

    @WorkflowSignal(name: "close_basket")
    mutating func close() { isClosed = true }

    @WorkflowQuery
    func count() -> Int { items.count }
}

/// Its handler waits for an activity, so that two of them interleave.
@Workflow
private struct Pricing {
    var prices: [String] = []
    var asked: [String] = []

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [String] {
        try await context.condition { $0.prices.count == input }
        return prices
    }

    @WorkflowSignal
    func price(context: WorkflowContext<Self>, input: String) async throws {
        asked.append(input)
        let price: Int = try await context.executeActivity(name: "price", options: brief, input: input)
        prices.append("\(input) \(price)")
    }
}

@Workflow
private struct Ending {
    func run(context: WorkflowContext<Self>, input: Bool) async throws {
        if input { try await context.condition { context.allHandlersFinished } }
    }

    @WorkflowSignal
    func slow(context: WorkflowContext<Self>) async throws { try await context.sleep(for: .seconds(60)) }

    @WorkflowSignal(unfinishedPolicy: .abandon)
    func slowOnPurpose(context: WorkflowContext<Self>) async throws { try await context.sleep(for: .seconds(60)) }
}

@Workflow
private struct Fragile {
    struct Bug: Error {}

    func run(context: WorkflowContext<Self>, input: Void) async throws { try await context.sleep(for: .seconds(60)) }

    @WorkflowSignal
    func refuse() throws { throw ApplicationError(message: "refused", type: "Refused") }

    @WorkflowSignal
    func crash() throws { throw Bug() }
}

/// State that is fed by a stream of the standard library rather than by conditions.
@Workflow
private struct Streaming {
    let stream: AsyncStream<Int>
    let feed: AsyncStream<Int>.Continuation

    init(input: Void) { (stream, feed) = AsyncStream.makeStream() }

    func run(context: WorkflowContext<Self>, input: Void) async throws -> Int {
        var sum = 0
        for await value in stream { sum += value }
        return sum
    }

    @WorkflowSignal
    func number(input: Int) { feed.yield(input) }

    @WorkflowSignal
    func end() { feed.finish() }
}

@Suite("Signals")
struct SignalTests {
    @Test("Handlers and run share the workflow's state, also when the run comes from its history")
    func sharedState() async throws {
        for evicts in [false, true] {
            let run = try DrivenRun(Basket.self)
            #expect(try run.task().isEmpty)
            try run.signal("Add", "apple")
            if evicts { run.evict() }
            #expect(try run.task().isEmpty)
            #expect(try run.query("Count", as: Int.self) == 1)
            try run.signal("Add", "pear")
            try run.signal("close_basket")
            try run.signal("Add", "plum")
            if evicts { run.evict() }
            try run.task()
            // All signals of a task come before the code goes on.
            #expect(try run.result(as: [String].self) == ["apple", "pear", "plum"])
            try await run.replay()
        }
    }

    @Test("A signal that came before the first task is handled before run begins")
    func signalWithStart() throws {
        let run = try DrivenRun(Basket.self)
        try run.signal("Add", "apple")
        try run.signal("close_basket")
        try run.task()
        #expect(try run.result(as: [String].self) == ["apple"])
    }

    @Test("Handlers that wait run beside each other, and go on in the order of what they waited for")
    func interleaving() async throws {
        let run = try DrivenRun(Pricing.self, input: 2)
        try run.signal("Price", "apple")
        try run.signal("Price", "pear")
        #expect(
            try run.task().summaries == [
                "ScheduleActivityTask (price, id 1)", "ScheduleActivityTask (price, id 2)",
            ])
        try run.complete("2", 20)
        #expect(try run.task().isEmpty)
        run.evict()
        try run.complete("1", 10)
        #expect(try run.task().summaries == ["CompleteWorkflowExecution"])
        #expect(try run.result(as: [String].self) == ["pear 20", "apple 10"])
        try await run.replay()
    }

    @Test("A workflow that ends before its handlers is warned about, unless that was meant")
    func unfinished() throws {
        let run = try DrivenRun(Ending.self, input: false)
        try run.signal("SlowOnPurpose")
        #expect(try run.task().summaries == ["StartTimer (id 1)", "CompleteWorkflowExecution"])
        #expect(run.logs.all.isEmpty)

        let other = try DrivenRun(Ending.self, input: false)
        try other.signal("Slow")
        try other.task()
        #expect(other.logs.all.count == 1)
        #expect(other.logs.all.first?.hasPrefix("warning: The workflow ended while signal handlers") == true)

        let waiting = try DrivenRun(Ending.self, input: true)
        try waiting.signal("Slow")
        #expect(try waiting.task().summaries == ["StartTimer (id 1)"])
        waiting.fire("1")
        #expect(try waiting.task().summaries == ["CompleteWorkflowExecution"])
        #expect(waiting.logs.all.isEmpty)
    }

    @Test("A handler's declared failure fails the run; its bug fails the task")
    func failures() throws {
        let refused = try DrivenRun(Fragile.self)
        try refused.signal("Refuse")
        #expect(try refused.task().summaries == ["StartTimer (id 1)", "FailWorkflowExecution"])
        #expect(refused.failure?.message == "refused")

        let crashed = try DrivenRun(Fragile.self)
        try crashed.signal("Crash")
        #expect(throws: Fragile.Bug.self) { try crashed.task() }
    }

    @Test("A signal without a handler, or with an input of another type, is dropped and logged, once")
    func dropped() throws {
        let run = try DrivenRun(Basket.self)
        try run.signal("Nothing")
        try run.signal("Add", 7)
        try run.task()
        #expect(try run.query("Count", as: Int.self) == 0)
        #expect(run.logs.all.map { $0.prefix(8) } == ["warning:", "error: T"])
        run.evict()
        try run.signal("close_basket")
        try run.task()
        #expect(run.logs.all.count == 2)
    }

    @Test("A stream that handlers feed is as good as a condition")
    func stream() async throws {
        let run = try DrivenRun(Streaming.self)
        for number in 1...3 {
            try run.signal("Number", number)
            #expect(try run.task().isEmpty)
            if number == 2 { run.evict() }
        }
        try run.signal("End")
        try run.task()
        #expect(try run.result(as: Int.self) == 6)
        try await run.replay()
    }
}
