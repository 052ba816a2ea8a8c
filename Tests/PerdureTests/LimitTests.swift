import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import TestSupport
import Testing

@testable import Perdure

private let large = String(repeating: "x", count: 3_000_000)

/// Sends what it is told to, and tells what it learns of it.
@Workflow
private struct Sender {
    enum What: String, Codable, CaseIterable {
        case activity, deepActivity, activityID, emptyActivityID, nulActivityID, taskQueue, memo, memos, memoName
    }

    static let options = ActivityOptions(startToCloseTimeout: .seconds(5))

    func run(context: WorkflowContext<Self>, input: What) async throws -> String {
        func options(_ id: String) -> ActivityOptions {
            .init(startToCloseTimeout: .seconds(5), activityID: id)
        }
        do {
            switch input {
            case .activity: try await context.executeActivity(name: "a", options: Self.options, input: large)
            case .deepActivity:
                let deep = (0..<300).reduce(JSON.null) { inner, _ in [inner] }
                try Limits.check([Payload(encoding: "json/plain", data: deep)], "input of activity a")
            case .activityID:
                try await context.executeActivity(name: "a", options: options(String(repeating: "i", count: 1001)))
            case .emptyActivityID: try await context.executeActivity(name: "a", options: options(""))
            case .nulActivityID: try await context.executeActivity(name: "a", options: options("a\u{0}"))
            case .taskQueue:
                try await context.executeActivity(
                    name: "a", options: .init(startToCloseTimeout: .seconds(5), taskQueue: ""))
            case .memo: try context.upsertMemo(["note": large])
            case .memos:
                let half = String(repeating: "x", count: 1_500_000)
                try context.upsertMemo(["one": half])
                try context.upsertMemo(["two": half])
            case .memoName: try context.upsertMemo(["a\u{0}": 1])
            }
            return "sent"
        } catch let error as EngineError {
            return "\(error.code.rawValue) \(error.message)"
        }
    }
}

@Workflow
private struct Careless {
    enum What: String, Codable, CaseIterable { case activity, result, searchAttributes }

    func run(context: WorkflowContext<Self>, input: What) async throws -> String {
        switch input {
        case .activity: try await context.executeActivity(name: "a", options: Sender.options, input: large)
        case .result: return large
        case .searchAttributes: context.upsertSearchAttributes(["k": .string(large)])
        }
        return "sent"
    }
}

/// Works until it is told to go on as another run.
@Workflow
private struct LongRun {
    struct Seen: Codable, Equatable {
        var length: Int
        var size: Int
        var isSuggested: Bool
    }

    func run(context: WorkflowContext<Self>, input: Int) async throws -> [Seen] {
        var seen: [Seen] = []
        func look() {
            seen.append(
                Seen(
                    length: context.currentHistoryLength, size: context.currentHistorySize,
                    isSuggested: context.isContinueAsNewSuggested))
        }
        look()
        while seen.count < 200, seen.last?.isSuggested == false {
            _ = try await context.executeActivity(
                Odd.Activities.Repeated.self, options: .init(startToCloseTimeout: .seconds(30)), input: input)
            look()
        }
        // What was suggested stays so, whichever way the workflow task comes.
        try await context.sleep(for: .milliseconds(10))
        look()
        return seen
    }
}

/// Hands on what it gets in every way that there is.
@Workflow
private struct Carrier {
    var signals: [JSON] = []

    func run(context: WorkflowContext<Self>, input: JSON) async throws -> JSON {
        try await context.condition { $0.signals.count == 1 }
        let echoed = try await context.executeActivity(
            Odd.Activities.Echo.self, options: .init(startToCloseTimeout: .seconds(30)), input: input)
        try context.upsertMemo(["value": input])
        var detail: JSON?
        do {
            try await context.executeActivity(
                Odd.Activities.Fail.self,
                options: .init(startToCloseTimeout: .seconds(30), retryPolicy: .init(maximumAttempts: 1)), input: input)
        } catch let error as ActivityError {
            detail = try (error.cause as? ApplicationError)?.details[0].decode(JSON.self)
            #expect((error.cause as? ApplicationError)?.message == "no\u{2400}")
        }
        let relay = try await context.startChildWorkflow(
            Relay.self, options: .init(id: context.info.workflowID + "-relay"), input: input)
        try await relay.signalWorkflow(signalType: Relay.Take.self, input: input)
        let relayed = try await relay.result()
        return .array([
            input, echoed, signals[0], try context.memoValue(for: "value") ?? .null, detail ?? .null, relayed,
        ])
    }

    @WorkflowUpdate
    func change(input: JSON) -> JSON { input }

    @WorkflowSignal
    func take(input: JSON) { signals.append(input) }

    @WorkflowQuery
    func same(input: JSON) -> JSON { input }
}

/// Takes a signal, goes on as another run with what it got, and returns that.
@Workflow
private struct Relay {
    var signals: [JSON] = []

    func run(context: WorkflowContext<Self>, input: JSON) async throws -> JSON {
        if context.info.continuedRunID != nil { return input }
        try await context.condition { $0.signals.count == 1 }
        throw try await context.makeContinueAsNewError(input: signals[0])
    }

    @WorkflowSignal
    func take(input: JSON) { signals.append(input) }
}

@Workflow
private struct Asker {
    func run(context: WorkflowContext<Self>, input: Int) async throws -> Int {
        do {
            let result: String = try await context.executeActivity(
                Odd.Activities.Repeated.self,
                options: .init(
                    startToCloseTimeout: .seconds(30), retryPolicy: .init(initialInterval: .seconds(100_000_000))),
                input: input)
            return result.utf8.count
        } catch let error as ActivityError {
            #expect(error.description.contains("bytes, and at most 2097152 are taken"))
            return -1
        }
    }
}

@ActivityContainer
private struct Odd {
    @Activity
    func echo(input: JSON) async throws -> JSON {
        try ActivityExecutionContext.current?.heartbeat(details: input)
        return input
    }

    @Activity
    func fail(input: JSON) async throws {
        throw ApplicationError(message: "no\u{0}", details: [try Payload(encoding: input)])
    }

    @Activity
    func repeated(input: Int) async throws -> String {
        #expect(throws: EngineError.self) { try ActivityExecutionContext.current?.heartbeat(details: large) }
        return String(repeating: "x", count: input)
    }
}

@Suite("Limits")
struct LimitTests {
    @Test(
        "What is too large, too deep or misnamed fails at the author's call, which says so",
        arguments: Sender.What.allCases)
    fileprivate func atTheCall(what: Sender.What) async throws {
        let run = try DrivenRun(Sender.self, input: what)
        try run.task()
        let answer = try run.result(as: String.self)
        switch what {
        case .activity:
            #expect(answer.hasPrefix("PD004 the input of activity a has 30000"))
            #expect(answer.hasSuffix(" bytes, and at most 2097152 are taken"))
        case .deepActivity: #expect(answer == "PD004 the input of activity a is nested deeper than 256 levels")
        case .activityID, .emptyActivityID: #expect(answer == "PD003 the activity id must have 1 to 1000 bytes")
        case .nulActivityID: #expect(answer == "PD003 the activity id holds the character U+0000")
        case .taskQueue: #expect(answer == "PD003 the task queue must have 1 to 1000 bytes")
        case .memo, .memos: #expect(answer.hasPrefix("PD004 the memo has 3000"))
        case .memoName: #expect(answer == "PD003 the name in the memo holds the character U+0000")
        }
        try await run.replay()
    }

    @Test("Where nobody catches it the workflow task fails, and the run is not lost", arguments: Careless.What.allCases)
    fileprivate func uncaught(what: Careless.What) throws {
        let run = try DrivenRun(Careless.self, input: what)
        #expect { try run.task() } throws: { ($0 as? EngineError)?.code == .tooLarge }
    }

    @Test("Code is told how large its history is, and replays with the same")
    func told() async throws {
        let run = try DrivenRun(LongRun.self, input: 1)
        try run.task()
        try run.complete("1", "x")
        try run.task(started: ["historySizeBytes": 131_072])
        try run.complete("2", "x")
        try run.task(started: ["historySizeBytes": 196_608, "suggestContinueAsNew": true])
        run.fire("1")
        try run.task(started: ["historySizeBytes": 196_608, "suggestContinueAsNew": true])
        let seen = try run.result(as: [LongRun.Seen].self)
        #expect(seen.map(\.size) == [0, 131_072, 196_608, 196_608])
        #expect(seen.map(\.isSuggested) == [false, false, true, true])
        try await run.replay()
    }

    private func withWorker(
        _ workflows: [any WorkflowDefinition.Type], _ body: @Sendable (PerdureClient, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: workflows,
                activityContainers: [Odd()],
                logger: Logger(label: "worker", factory: { _ in SwiftLogNoOpLogHandler() }))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await body(PerdureClient(pool: database.pool), database)
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    @Test(
        "A run whose history grows is told by the engine, in fused steps too; and it replays", .timeLimit(.minutes(5)))
    func suggested() async throws {
        try await withWorker([LongRun.self]) { client, database in
            let handle = try await client.startWorkflow(
                type: LongRun.self, options: WorkflowOptions(id: "long", taskQueue: "q"), input: 200_000)
            let seen = try await handle.result()
            #expect(seen[0] == LongRun.Seen(length: 3, size: 0, isSuggested: false))
            #expect((18...24).contains(seen.count), "4 MiB by steps of 200 kB: \(seen.count)")
            #expect(seen.last?.isSuggested == true)
            #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.size <= $1.size })
            let history = try await handle.fetchHistory()
            try await WorkflowReplayer(workflows: [LongRun.self]).replayWorkflow(history: history)
            let told = history.compactMap { $0.attributes["historySizeBytes"]?.intValue }
            #expect(told == seen.map(\.size).filter { $0 > 0 })
        }
    }

    @Test("What any JSON may hold comes back as it was, by every way", .timeLimit(.minutes(5)))
    func everyWay() async throws {
        let values: [JSON] = [
            .string("a\u{0}b\u{1}\u{FFFF}\u{10FFFF}"), .object(["k\u{0}": .string("\u{0}")]), .number("-0.0"),
            .number("1e400000"), .number("1e-400000"), .number("12345678901234567890.12345678901234567890"),
            (0..<400).reduce(JSON.null) { inner, _ in [inner] },
            (0..<400).reduce(JSON.null) { inner, _ in ["": inner] },
            .array([.null, .bool(true), "", [:], []]), .null,
        ]
        try await withWorker([Carrier.self, Relay.self]) { client, _ in
            for (place, value) in values.enumerated() {
                let handle = try await client.startWorkflow(
                    type: Carrier.self, options: WorkflowOptions(id: "w-\(place)", taskQueue: "q"), input: value)
                #expect(try await handle.query(queryType: Carrier.Same.self, input: value) == value)
                #expect(try await handle.executeUpdate(updateType: Carrier.Change.self, input: value) == value)
                try await handle.signal(signalType: Carrier.Take.self, input: value)
                #expect(try await handle.result() == .array(Array(repeating: value, count: 6)))
            }
        }
    }

    @Test("A result that is too large fails its activity with its size, and no other", .timeLimit(.minutes(5)))
    func largeResult() async throws {
        try await withWorker([Asker.self]) { client, _ in
            let sizes = [10, 3_000_000, 2_000_000, 20]
            var handles: [WorkflowHandle<Asker>] = []
            for size in sizes {
                handles.append(
                    try await client.startWorkflow(
                        type: Asker.self, options: WorkflowOptions(id: "\(size)", taskQueue: "q"), input: size))
            }
            for (size, handle) in zip(sizes, handles) {
                #expect(try await handle.result() == (size == 3_000_000 ? -1 : size))
            }
        }
    }

    @Test("Names with U+0000, empty ones and long ones are refused; in a reason a visible sign takes its place")
    func names() async throws {
        try await TestDatabase.with { database in
            let client = PerdureClient(pool: database.pool)
            func code(_ operation: () async throws -> Void) async throws -> EngineError.Code? {
                do { try await operation() } catch let error as EngineError { return error.code }
                return nil
            }
            for name in ["a\u{0}b", "", String(repeating: "n", count: 1001)] {
                #expect(
                    try await code {
                        try await client.startWorkflow(name: "W", options: WorkflowOptions(id: name, taskQueue: "q"))
                    } == .invalidArgument)
                #expect(
                    try await code {
                        try await client.startWorkflow(name: name, options: WorkflowOptions(id: "w", taskQueue: "q"))
                    } == .invalidArgument)
                #expect(
                    try await code {
                        try await client.startWorkflow(name: "W", options: WorkflowOptions(id: "w", taskQueue: name))
                    } == .invalidArgument)
            }
            let handle = try await client.startWorkflow(name: "W", options: WorkflowOptions(id: "w", taskQueue: "q"))
            try await handle.terminate(reason: "no\u{0}more")
            let last = try await handle.fetchHistory().last
            #expect(last?.attributes["reason"] == "no\u{2400}more")
        }
    }
}
