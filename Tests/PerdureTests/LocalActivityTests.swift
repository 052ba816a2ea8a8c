import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Synchronization
import TestSupport
import Testing

@testable import Perdure

/// What the activities of a test did, and what lets them go on.
private final class Notes: Sendable {
    private let notes = Mutex<[String]>([])
    private let isOpen = Mutex(false)

    var all: [String] { notes.withLock { $0 } }
    func add(_ note: String) { notes.withLock { $0.append(note) } }
    func open() { isOpen.withLock { $0 = true } }
    func wait() async throws {
        while !isOpen.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
    }
}

@ActivityContainer
private struct Local {
    let notes: Notes

    @Activity
    func echo(_ text: String) -> String {
        notes.add(text)
        return text
    }

    @Activity
    func attempt(until attempt: Int) throws -> Int {
        let info = ActivityExecutionContext.current?.info
        notes.add("attempt \(info?.attempt ?? 0) \(info?.isLocal == true ? "local" : "")")
        guard let now = info?.attempt, now < attempt else { return info?.attempt ?? 0 }
        throw ApplicationError(message: "attempt \(now)", type: "NotYet")
    }

    @Activity
    func waitForIt() async throws -> String {
        notes.add("begins")
        do { try await notes.wait() } catch {
            notes.add("\(ActivityExecutionContext.current?.cancellationReason.map { "\($0)" } ?? "nothing")")
            throw error
        }
        return "waited"
    }
}

private let options = LocalActivityOptions(startToCloseTimeout: .seconds(30))

@Workflow
private struct LocalScript {
    var signals: [String] = []

    mutating func run(context: WorkflowContext<Self>, input: String) async throws -> [String] {
        func echo(_ text: String) async throws -> String {
            try await context.executeLocalActivity(Local.Activities.Echo.self, options: options, input: text)
        }
        switch input {
        case "four": return [try await echo("a"), try await echo("b"), try await echo("c"), try await echo("d")]
        case "retried", "fails", "backs off":
            let policy = RetryPolicy(
                initialInterval: .milliseconds(input == "backs off" ? 300 : 5), backoffCoefficient: 1,
                maximumAttempts: input == "fails" ? 2 : 0)
            let attempts = try await context.executeLocalActivity(
                Local.Activities.Attempt.self,
                options: LocalActivityOptions(
                    startToCloseTimeout: .seconds(5), retryPolicy: policy, localRetryThreshold: .milliseconds(100)),
                input: 3)
            return ["\(attempts)"]
        case "times out":
            return [
                try await context.executeLocalActivity(
                    Local.Activities.WaitForIt.self,
                    options: LocalActivityOptions(
                        startToCloseTimeout: .milliseconds(50), retryPolicy: RetryPolicy(maximumAttempts: 1)))
            ]
        case "canceled":
            let waited = try? await context.timeout(for: .milliseconds(20)) {
                try await context.executeLocalActivity(Local.Activities.WaitForIt.self, options: options)
            }
            return [waited ?? "canceled", try await echo("cleaned up")]
        case "mixed":
            let first = try await echo("a")
            async let ordinary = context.executeActivity(
                Local.Activities.Echo.self, options: ActivityOptions(startToCloseTimeout: .seconds(30)), input: "b")
            let second = try await echo("c")
            try await context.sleep(for: .milliseconds(10))
            return [first, try await ordinary, second, try await echo("d")]
        default:
            let waited = try await context.executeLocalActivity(Local.Activities.WaitForIt.self, options: options)
            return [waited, try await echo("after")] + signals
        }
    }

    @WorkflowSignal
    mutating func note(input: String) { signals.append(input) }
}

/// The same type, with code that has changed.
@Workflow(name: "LocalScript")
private struct ChangedScript {
    func run(context: WorkflowContext<Self>, input: String) async throws -> [String] {
        _ = try await context.executeLocalActivity(Local.Activities.WaitForIt.self, options: options)
        return []
    }
}

private struct Marking: WorkerInterceptor {
    let notes: Notes
    struct Outbound: WorkflowOutboundInterceptor {
        func executeLocalActivity<Input, Output: Sendable>(
            input: ScheduleLocalActivityInput<Input>,
            next: (ScheduleLocalActivityInput<Input>) async throws -> Output
        ) async throws -> Output {
            var input = input
            input.headers["marked"] = try Payload(encoding: input.name)
            return try await next(input)
        }
    }
    struct Inbound: ActivityInboundInterceptor {
        let notes: Notes
        func executeActivity<Activity: ActivityDefinition>(
            input: ExecuteActivityInput<Activity>,
            next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
        ) async throws -> Activity.Output {
            notes.add("header \(input.headers["marked"]?.data?.stringValue ?? "none")")
            return try await next(input)
        }
    }
    var workflowOutboundInterceptor: Outbound? { Outbound() }
    var activityInboundInterceptor: Inbound? { Inbound(notes: notes) }
}

/// Runs a script beside a worker, and gives the handle once `during` is over.
private func run(
    _ script: String, notes: Notes = Notes(), cached: Int = 100, interceptors: [any WorkerInterceptor] = [],
    task: Duration? = nil, during: (WorkflowHandle<LocalScript>) async throws -> Void = { _ in },
    check: (WorkflowHandle<LocalScript>, [HistoryEvent]) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        var workerOptions = WorkerOptions(taskQueue: "q")
        workerOptions.maxCachedWorkflows = cached
        workerOptions.interceptors = interceptors
        let worker = Worker(
            pool: database.pool, options: workerOptions, workflows: [LocalScript.self],
            activityContainers: [Local(notes: notes)], logger: .silent)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run() }
            var started = WorkflowOptions(id: "w", taskQueue: "q")
            started.taskTimeout = task
            let handle = try await PerdureClient(pool: database.pool).startWorkflow(
                type: LocalScript.self, options: started, input: script)
            try await during(handle)
            _ = try? await handle.result()
            let history = try await handle.fetchHistory()
            try await check(handle, history)
            // What was decided is decided again.
            try await WorkflowReplayer(workflows: [LocalScript.self]).replayWorkflow(history: history)
            group.cancelAll()
            try? await group.waitForAll()
        }
    }
}

private func markers(_ history: [HistoryEvent]) throws -> [LocalActivityMarker] {
    try history.compactMap { $0.eventType == .markerRecorded ? try LocalActivityMarker($0.attributes) : nil }
}

@Suite("Local activities", .timeLimit(.minutes(5)))
struct LocalActivityTests {
    @Test("Four of them cost one workflow task, and are kept by Temporal's markers")
    func four() async throws {
        let notes = Notes()
        try await run("four", notes: notes) { handle, history in
            let result = try await handle.result()
            #expect(result == ["a", "b", "c", "d"])
            #expect(notes.all == ["a", "b", "c", "d"])
            #expect(
                history.map(\.eventType) == [
                    .workflowExecutionStarted, .workflowTaskScheduled, .workflowTaskStarted, .workflowTaskCompleted,
                    .markerRecorded, .markerRecorded, .markerRecorded, .markerRecorded, .workflowExecutionCompleted,
                ])
            let marker = history[5].attributes
            #expect(marker["markerName"] == "core_local_activity")
            #expect(marker["details"]?["result"]?[0]?["data"] == "b")
            let data = try #require(marker["details"]?["data"]?[0]?["data"])
            #expect(data["seq"] == 2 && data["activity_id"] == "2" && data["attempt"] == 1)
            #expect(data["activity_type"] == "Echo" && data["backoff"] == .null)
            #expect(data["complete_time"]?["seconds"] != nil && data["original_schedule_time"]?["nanos"] != nil)
        }
    }

    @Test("It is tried again in its worker")
    func retried() async throws {
        let notes = Notes()
        try await run("retried", notes: notes) { handle, history in
            let result = try await handle.result()
            #expect(result == ["3"])
            #expect(notes.all == ["attempt 1 local", "attempt 2 local", "attempt 3 local"])
            let attempts = try markers(history).map(\.attempt)
            #expect(attempts == [3])
        }
    }

    @Test("It fails with its last failure once its attempts are used up")
    func fails() async throws {
        try await run("fails") { handle, history in
            let error = await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            #expect(error?.failure.cause?.message == "attempt 2" || error?.failure.message.contains("Attempt") == true)
            let attempts = try markers(history).map(\.attempt)
            #expect(attempts == [2])
        }
    }

    @Test("Its time-out is one that the code can see")
    func timesOut() async throws {
        try await run("times out") { handle, history in
            await #expect(throws: WorkflowFailedError.self) { try await handle.result() }
            let failure = history.last { $0.eventType == .markerRecorded }?.attributes["failure"]
            #expect(failure?["timeoutFailureInfo"]?["timeoutType"] == "StartToClose")
        }
    }

    @Test("A long wait between two attempts is a timer", arguments: [100, 0])
    func backsOff(cached: Int) async throws {
        let notes = Notes()
        try await run("backs off", notes: notes, cached: cached) { handle, history in
            let result = try await handle.result()
            #expect(result == ["3"])
            #expect(history.filter { $0.eventType == .timerFired }.count == 2)
            let markers = try markers(history)
            #expect(markers.map(\.attempt) == [1, 2, 3] && markers.map(\.activityID) == ["1", "2", "3"])
            #expect(markers.map { $0.backoff != nil } == [true, true, false])
            #expect(Set(markers.map(\.scheduledAt)).count == 1)
            #expect(notes.all == ["attempt 1 local", "attempt 2 local", "attempt 3 local"])
        }
    }

    @Test("It is canceled with the code that waits for it")
    func canceled() async throws {
        let notes = Notes()
        try await run("canceled", notes: notes, task: .seconds(2)) { handle, history in
            let result = try await handle.result()
            #expect(result == ["canceled", "cleaned up"])
            let marker = try #require(try markers(history).first)
            #expect(marker.attempt == 0 && marker.completedAt == nil)
        }
        #expect(notes.all.contains("requested"))
    }

    @Test("It works with others, with a cache and without", arguments: [100, 0])
    func mixed(cached: Int) async throws {
        let notes = Notes()
        try await run("mixed", notes: notes, cached: cached) { handle, _ in
            let result = try await handle.result()
            #expect(result == ["a", "b", "c", "d"])
            #expect(notes.all.sorted() == ["a", "b", "c", "d"], "nothing was done twice")
        }
    }

    @Test("One that is longer than a workflow task goes on in the next, and signals come meanwhile")
    func long() async throws {
        let notes = Notes()
        try await run("waits", notes: notes, task: .seconds(3)) { handle in
            try await eventually("it begins") { notes.all.contains("begins") }
            try await handle.signal(signalType: LocalScript.Note.self, input: "a signal")
            try await eventually("a second workflow task") {
                try await handle.fetchHistory().filter { $0.eventType == .workflowTaskCompleted }.count > 1
            }
            notes.open()
        } check: { handle, history in
            let result = try await handle.result()
            #expect(result == ["waited", "after", "a signal"])
            #expect(notes.all == ["begins", "after"], "it ran once")
            #expect(!history.contains { $0.eventType == .workflowTaskTimedOut })
        }
    }

    @Test("Another worker begins it again when its own dies")
    func workerDies() async throws {
        try await TestDatabase.with { database in
            let notes = Notes()
            func worker() -> Worker {
                var options = WorkerOptions(taskQueue: "q")
                options.lease = .seconds(2)
                options.gracefulShutdownTimeout = .zero
                return Worker(
                    pool: database.pool, options: options, workflows: [LocalScript.self],
                    activityContainers: [Local(notes: notes)], logger: .silent)
            }
            let first = Task { try await worker().run() }
            var started = WorkflowOptions(id: "w", taskQueue: "q")
            started.taskTimeout = .seconds(1)
            let handle = try await PerdureClient(pool: database.pool).startWorkflow(
                type: LocalScript.self, options: started, input: "waits")
            try await eventually("it begins") { notes.all.contains("begins") }
            first.cancel()
            _ = try? await first.value
            let second = Task { try await worker().run() }
            try await eventually("it begins again") { notes.all.filter { $0 == "begins" }.count == 2 }
            notes.open()
            let result = try await handle.result()
            #expect(result == ["waited", "after"])
            second.cancel()
            _ = try? await second.value
        }
    }

    @Test("Interceptors surround it, on both sides")
    func intercepted() async throws {
        let notes = Notes()
        try await run("four", notes: notes, interceptors: [Marking(notes: notes)]) { handle, _ in
            let result = try await handle.result()
            #expect(result == ["a", "b", "c", "d"])
            #expect(notes.all.filter { $0 == "header Echo" }.count == 4)
        }
    }

    @Test("Code that has changed is found out")
    func changedCode() async throws {
        try await run("four") { _, history in
            await #expect(throws: NonDeterminismError.self) {
                try await WorkflowReplayer(workflows: [ChangedScript.self]).replayWorkflow(history: history)
            }
        }
    }

    @Test("The guide's example is the code that is compiled here, and does what it says")
    func example() async throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        let guide = try String(contentsOf: folder.appending(path: "../../docs/guides/workflows.md"), encoding: .utf8)
        let code = try String(contentsOf: folder.appending(path: "LocalActivitiesExample.swift"), encoding: .utf8)
        #expect(
            guide.contains("<!-- local activities -->\n```swift\n\(code)```\n"),
            "Copy Tests/PerdureTests/LocalActivitiesExample.swift into the guide, below <!-- local activities -->.")
        try await TestDatabase.with { database in
            let worker = Worker(
                pool: database.pool, options: WorkerOptions(taskQueue: "q"), workflows: [Quote.self],
                activityContainers: [Prices()], logger: .silent)
            let running = Task { try await worker.run() }
            let total = try await PerdureClient(pool: database.pool).executeWorkflow(
                type: Quote.self, options: .init(id: "quote", taskQueue: "q"), input: ["pear", "plum"])
            #expect(total == 800)
            running.cancel()
            _ = try? await running.value
        }
    }
}
