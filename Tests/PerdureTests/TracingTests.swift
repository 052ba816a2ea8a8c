import Foundation
import InMemoryTracing
import Logging
import PerdureEngine
import PerdureTesting
import Testing
import Tracing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(30))

@ActivityContainer
private struct PayDesk {
    @Activity
    func pay(input: Int) async throws -> Int {
        if input == 0 { throw ApplicationError(message: "nothing to pay", type: "Nothing", isNonRetryable: true) }
        return input
    }
}

@Workflow
private struct Parcel {
    var isTaken = false

    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await context.condition { $0.isTaken }
        return try await context.executeActivity(PayDesk.Activities.Pay.self, options: brief, input: input)
    }

    @WorkflowSignal
    mutating func take() { isTaken = true }
}

@Workflow
private struct Purchase {
    var items: [Int] = []

    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        try await context.condition { !$0.items.isEmpty }
        let paid = try await context.executeActivity(PayDesk.Activities.Pay.self, options: brief, input: items[0])
        let parcel = try await context.startChildWorkflow(
            Parcel.self, options: .init(id: "\(context.info.workflowID)-parcel"), input: paid)
        try await parcel.signalWorkflow(signalType: Parcel.Take.self)
        return try await parcel.result()
    }

    @WorkflowSignal
    mutating func add(input: Int) { items.append(input) }

    @WorkflowQuery
    func count() -> Int { items.count }

    @WorkflowUpdate
    mutating func addNow(input: Int) -> Int {
        items.append(input)
        return items.count
    }
}

extension [FinishedInMemorySpan] {
    fileprivate var names: [String] { map(\.operationName) }
    fileprivate subscript(name: String) -> FinishedInMemorySpan? { first { $0.operationName == name } }
}

@Suite("Tracing")
struct TracingTests {
    @Test("One trace goes from the client through workflows, activities, children and signals, each span once")
    func wholeTrace() async throws {
        let tracer = InMemoryTracer()
        let tracing = TracingInterceptor(tracer: tracer)
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool, interceptors: [tracing])
            var options = WorkerOptions(taskQueue: "till")
            options.interceptors = [tracing]
            // Nothing is cached: each workflow task replays all that was before.
            options.maxCachedWorkflows = 0
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Purchase.self, Parcel.self],
                activityContainers: [PayDesk()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                let purchase = try await client.startWorkflow(
                    type: Purchase.self, options: .init(id: "p", taskQueue: "till"), input: 1)
                _ = try await purchase.query(queryType: Purchase.Count.self)
                try await purchase.executeUpdate(updateType: Purchase.AddNow.self, input: 7)
                #expect(try await purchase.result() == 7)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
        let spans = tracer.finishedSpans
        #expect(
            spans.names.sorted() == [
                "CompleteWorkflow:Parcel", "CompleteWorkflow:Purchase", "HandleQuery:Count", "HandleSignal:Take",
                "HandleUpdate:AddNow", "QueryWorkflow:Count", "RunActivity:Pay", "RunActivity:Pay",
                "RunWorkflow:Parcel", "RunWorkflow:Purchase", "SignalChildWorkflow:Take", "StartActivity:Pay",
                "StartActivity:Pay", "StartChildWorkflow:Parcel", "StartWorkflow:Purchase",
                "StartWorkflowUpdate:AddNow", "ValidateUpdate:AddNow",
            ])
        func parent(of name: String) -> String? {
            spans.first { $0.spanID == spans[name]?.parentSpanID }?.operationName
        }
        #expect(parent(of: "RunWorkflow:Purchase") == "StartWorkflow:Purchase")
        #expect(parent(of: "StartChildWorkflow:Parcel") == "StartWorkflow:Purchase")
        #expect(parent(of: "RunWorkflow:Parcel") == "StartChildWorkflow:Parcel")
        #expect(parent(of: "HandleSignal:Take") == "StartChildWorkflow:Parcel")
        #expect(parent(of: "HandleQuery:Count") == "QueryWorkflow:Count")
        #expect(
            Set(spans.filter { $0.operationName == "RunActivity:Pay" }.map(\.parentSpanID))
                == Set(spans.filter { $0.operationName == "StartActivity:Pay" }.map(\.spanID)))
        // A message with a trace of its own is linked.
        let linked = spans["HandleUpdate:AddNow"]?.links.map(\.context.inMemorySpanContext?.spanID)
        #expect(linked == [spans["StartWorkflowUpdate:AddNow"]?.spanID])
        #expect(spans["HandleSignal:Take"]?.links.count == 1)
        let purchase = Set(spans.filter { $0.operationName.hasSuffix("Purchase") }.map(\.traceID))
        let activities = Set(spans.filter { $0.operationName.hasSuffix("Pay") }.map(\.traceID))
        #expect(purchase.count == 1)
        #expect(activities == purchase)
        #expect(spans["RunWorkflow:Purchase"]?.attributes["temporalWorkflowID"]?.toSpanAttribute() == .string("p"))
        #expect(spans["RunActivity:Pay"]?.kind == .server)
    }

    @Test("A span of a workflow has no length, and its failure the error; replayed there is none")
    func replay() async throws {
        let tracer = InMemoryTracer()
        let tracing = TracingInterceptor(tracer: tracer)
        let root = tracer.startSpan("root", context: .topLevel)
        var carrier: [String: Payload] = [:]
        let context = try #require(root.context.inMemorySpanContext)
        carrier["_tracer-data"] = Payload(plain: [
            InMemoryTracer.traceIDKey: .string(context.traceID),
            InMemoryTracer.spanIDKey: .string(context.spanID),
        ])
        let run = try DrivenRun(
            Parcel.self, input: 0, attributes: ["header": carrier.json],
            surroundings: Surroundings(interceptors: [tracing]))
        try run.signal("Take")
        let command = try #require(try run.task().first)
        let sent = try #require(command.attributes["header"]?["_tracer-data"]?["data"])
        #expect(sent[InMemoryTracer.spanIDKey]?.stringValue == tracer.finishedSpans["StartActivity:Pay"]?.spanID)
        run.evict()
        run.fail("1", .application("nothing to pay", type: "Nothing"))
        try run.task()
        #expect(
            tracer.finishedSpans.names == [
                "HandleSignal:Take", "RunWorkflow:Parcel", "StartActivity:Pay", "CompleteWorkflow:Parcel",
            ])
        let end = try #require(tracer.finishedSpans["CompleteWorkflow:Parcel"])
        #expect(end.status?.code == .error)
        #expect(end.errors.count == 1)
        #expect(end.startInstant.nanosecondsSinceEpoch == end.endInstant.nanosecondsSinceEpoch)
        // The time that the code saw.
        #expect(end.startInstant.nanosecondsSinceEpoch == UInt64(1_700_000_000 + run.events.count - 2) * 1_000_000_000)
        try await WorkflowReplayer(workflows: [Parcel.self], interceptors: [tracing])
            .replayWorkflow(history: run.events)
        #expect(tracer.finishedSpans.count == 4)
    }

    @Test("A workflow that was started without a trace makes no spans, unless that is wanted")
    func withoutTrace() throws {
        for (isWanted, names) in [(false, []), (true, ["RunWorkflow:Parcel"])] {
            let tracer = InMemoryTracer()
            let run = try DrivenRun(
                Parcel.self, input: 0,
                surroundings: Surroundings(interceptors: [
                    TracingInterceptor(tracer: tracer, alwaysCreatesWorkflowSpans: isWanted)
                ]))
            try run.task()
            #expect(tracer.finishedSpans.names == names)
        }
    }
}
