import Foundation
import Perdure
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import PerdureTesting

private let year = Duration.seconds(365 * 86400)

@ActivityContainer
private struct Watch {
    @Activity
    func look(number: Int) async throws -> String { "looked at \(number)" }

    @Activity
    func copy(count: Int) async throws -> Int {
        let context = ActivityExecutionContext.current
        let first = try context?.info.heartbeatDetails(as: Int.self) ?? 0
        for number in first..<count {
            try Task.checkCancellation()
            try context?.heartbeat(details: number + 1)
        }
        return count - first
    }

    @Activity
    func wait() async throws -> String {
        do {
            try await Task.sleep(for: .seconds(3600))
        } catch is CancellationError {
            let reason = ActivityExecutionContext.current?.cancellationReason
            return reason.map { "\($0)" } ?? "for no reason"
        }
        return "an hour is over"
    }
}

private let attempt = ActivityOptions(startToCloseTimeout: .seconds(60))

/// A year of sleep, with an activity in between.
@Workflow
private struct Watchman {
    func run(context: WorkflowContext<Self>, input months: Int) async throws -> [String] {
        var seen: [String] = []
        for month in 0..<months {
            try await context.sleep(for: .seconds(30 * 86400))
            seen.append(try await context.executeActivity(Watch.Activities.Look.self, options: attempt, input: month))
        }
        return seen
    }
}

/// What comes of one activity with these options.
@Workflow
private struct OneLook {
    func run(context: WorkflowContext<Self>, input queue: String?) async throws -> String {
        do {
            return try await context.executeActivity(
                Watch.Activities.Look.self,
                options: ActivityOptions(
                    startToCloseTimeout: .seconds(3600), scheduleToStartTimeout: .seconds(86400),
                    heartbeatTimeout: .seconds(30), taskQueue: queue,
                    retryPolicy: RetryPolicy(initialInterval: .seconds(600), maximumAttempts: 3)),
                input: 1)
        } catch let error as ActivityError {
            return (error.cause as? TimeoutError).map { "\($0.type.rawValue)" } ?? "\(error)"
        }
    }
}

@Workflow
private struct Sleeper {
    var isAwake = false

    func run(context: WorkflowContext<Self>, input seconds: Double) async throws -> Double {
        let start = context.now
        try await context.sleep(for: .seconds(seconds))
        return context.now.timeIntervalSince(start)
    }
}

/// Decides otherwise.
@Workflow(name: "Watchman")
private struct OtherWatchman {
    func run(context: WorkflowContext<Self>, input months: Int) async throws -> [String] {
        try await context.executeActivity(Watch.Activities.Look.self, options: attempt, input: months)
        return []
    }
}

@Suite("The test environment")
struct WorkflowEnvironmentTests {
    @Test("A workflow that works each month of ten years ends in moments", .timeLimit(.minutes(5)))
    func decade() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            let look = MockedActivity(Watch.Activities.Look.self) { "saw \($0)" }
            try await environment.withWorker(taskQueue: "q", workflows: [Watchman.self], activities: [look]) {
                let (begin, real) = (try await environment.currentTime(), ContinuousClock.now)
                let seen = try await environment.client.executeWorkflow(
                    type: Watchman.self, options: .init(id: "w", taskQueue: "q"), input: 120)
                let took = ContinuousClock.now - real
                print("ten years with 120 activities took \(took)")
                #expect(seen == (0..<120).map { "saw \($0)" })
                #expect(look.inputs == Array(0..<120))
                let passed = try await environment.currentTime().timeIntervalSince(begin)
                #expect(passed >= 120 * 30 * 86400 && passed < 120 * 30 * 86400 + 3600)
            }
            #expect(try await environment.violations().isEmpty)
        }
    }

    @Test("An activity that sleeps times out, and is tried again after its backoff")
    func timeouts() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            let ends = Mutex<[String]>([])
            let look = MockedActivity(Watch.Activities.Look.self) { _ in
                let attempt = ActivityExecutionContext.current?.info.attempt ?? 0
                // The first is silent for longer than it may be.
                guard attempt < 2 else { return "attempt \(attempt)" }
                do {
                    try await environment.sleep(for: year)
                } catch {
                    ends.withLock { $0.append("\(type(of: error))") }
                    throw error
                }
                return "impossible"
            }
            try await environment.withWorker(taskQueue: "q", workflows: [OneLook.self], activities: [look]) {
                let begin = try await environment.currentTime()
                let outcome = try await environment.client.executeWorkflow(
                    type: OneLook.self, options: .init(id: "w", taskQueue: "q"), input: nil)
                #expect(outcome == "attempt 2")
                let passed = try await environment.currentTime().timeIntervalSince(begin)
                // The heartbeat's time-out and one backoff, and not two.
                #expect(passed >= 630 && passed < 1200, "\(passed)")
                try await eventually("the sleep of the first attempt has ended") {
                    ends.withLock { $0 } == ["CancellationError"]
                }
            }
        }
    }

    @Test("An activity for which there is no worker times out")
    func noWorker() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            try await environment.withWorker(
                taskQueue: "q", workflows: [OneLook.self], activityContainers: [Watch()]
            ) {
                let outcome = try await environment.client.executeWorkflow(
                    type: OneLook.self, options: .init(id: "w", taskQueue: "q"), input: "nobody")
                #expect(outcome == "ScheduleToStart")
            }
        }
    }

    @Test("Time stands still until somebody waits or sleeps, and goes no further than that")
    func standsStill() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            try await environment.withWorker(taskQueue: "q", workflows: [Sleeper.self]) {
                let begin = try await environment.currentTime()
                func passed() async throws -> Double { try await environment.currentTime().timeIntervalSince(begin) }
                let handle = try await environment.client.startWorkflow(
                    type: Sleeper.self, options: .init(id: "w", taskQueue: "q"), input: 10_000)
                try await environment.sleep(for: .seconds(6000))
                #expect(try await passed() < 7000)
                #expect(try await handle.describe().status == .running)
                try await environment.withAutoTimeSkippingDisabled {
                    let waiting = Task { try await handle.result() }
                    try await Task.sleep(for: .milliseconds(100))
                    #expect(try await passed() < 7000)
                    waiting.cancel()
                    _ = await waiting.result
                }
                #expect(try await handle.result() >= 10_000)
                let end = try await passed()
                #expect(end < 11_000)
                // A sleep that is longer than what is due takes its time all the same.
                try await environment.sleep(for: year)
                #expect(try await passed() >= end + 365 * 86400)
            }
        }
    }

    @Test("Each environment has a clock of its own, and one of real time has the real one")
    func clocks() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            try await environment.sleep(for: year)
            let ahead = try await environment.currentTime().timeIntervalSinceNow
            #expect(ahead > 364 * 86400)
            try await WorkflowEnvironment.withTimeSkipping { other in
                let ahead = try await other.currentTime().timeIntervalSinceNow
                #expect(ahead < 3600)
            }
            try await WorkflowEnvironment.withRealTime { real in
                #expect(!real.supportsTimeSkipping)
                let begin = try await real.currentTime()
                try await real.sleep(for: .milliseconds(20))
                #expect(try await real.currentTime().timeIntervalSince(begin) >= 0.02)
                #expect(abs(begin.timeIntervalSinceNow) < 3600)
            }
        }
    }

    @Test("A worker that is refused ends the wait for it")
    func refused() async throws {
        try await WorkflowEnvironment.withTimeSkipping { environment in
            await #expect(throws: (any Error).self) {
                try await environment.withWorker(
                    options: .init(namespace: "nowhere", taskQueue: "q"), workflows: [Sleeper.self]
                ) {
                    try await environment.client.executeWorkflow(
                        type: Sleeper.self, options: .init(id: "w", taskQueue: "q"), input: 1)
                }
            }
        }
    }

    @Test("A server of the tests' own needs no set-up, and ends with what holds it")
    func privateCluster() async throws {
        let cluster = try await PrivateCluster.start()
        let database = try await TestDatabase.create(on: cluster.configuration, 2, quiet)
        let version = try await database.pool.query("select count(*) > 10 from perdure.applied_files")[0]
        #expect(try version.decode(Bool.self, at: 0))
        #expect(database.configuration.description.contains("dbname=\(database.name)"))
        try await database.drop()
        try cluster.stop()
        try await eventually("its folder is gone") { !FileManager.default.fileExists(atPath: cluster.folder.path) }
    }
}

@Suite("The activity environment")
struct ActivityEnvironmentTests {
    @Test("It tells heartbeats, and gives what an attempt before has left")
    func heartbeats() async throws {
        let told = Mutex<[Int]>([])
        let environment = try ActivityEnvironment(attempt: 2, heartbeatDetails: [3]) { details in
            if let number = try? details[0].decode(Int.self) { told.withLock { $0.append(number) } }
        }
        #expect(try await environment.run { try await Watch().copy(count: 5) } == 2)
        let beats = try environment.heartbeats.map { try $0[0].decode(Int.self) }
        #expect(beats == [4, 5])
        #expect(told.withLock { $0 } == [4, 5])
        #expect(environment.info.attempt == 2)
        #expect(environment.info.idempotencyKey == "\(environment.info.workflowRunID.uuidString.lowercased()):test")
    }

    @Test(
        "It cancels what runs, and what is run afterwards",
        arguments: [
            (ActivityCancellationReason.requested, "requested"), (.workerShutdown, "workerShutdown"),
            (.timeout, "timeout"), (.goneFromServer, "goneFromServer"),
        ])
    func cancels(_ reason: ActivityCancellationReason, _ name: String) async throws {
        let environment = try ActivityEnvironment()
        async let waits = environment.run(Watch.Activities.Wait.self, of: Watch(), input: ())
        environment.cancel(reason)
        environment.cancel(reason == .timeout ? .requested : .timeout)
        #expect(try await waits == name)
        #expect(try await environment.run { try await Watch().wait() } == name)
    }

    @Test("Interceptors surround an activity that is run by its type")
    func interceptors() async throws {
        struct Twice: WorkerInterceptor {
            struct Inbound: ActivityInboundInterceptor {
                func executeActivity<Activity: ActivityDefinition>(
                    input: ExecuteActivityInput<Activity>,
                    next: (ExecuteActivityInput<Activity>) async throws -> Activity.Output
                ) async throws -> Activity.Output {
                    _ = try await next(input)
                    return try await next(input)
                }
            }
            var activityInboundInterceptor: Inbound? { Inbound() }
        }
        let environment = try ActivityEnvironment(interceptors: [Twice()])
        let look = MockedActivity(Watch.Activities.Look.self, returning: "seen")
        #expect(try await environment.run(look, input: 7) == "seen")
        #expect(look.inputs == [7, 7])
        let failing = MockedActivity(Watch.Activities.Look.self, throwing: ApplicationError(message: "no"))
        await #expect(throws: ApplicationError.self) { try await environment.run(failing, input: 7) }
        await #expect(throws: ApplicationError.self) {
            try await environment.run(MockedActivity<Watch.Activities.Wait>.self, of: Watch(), input: ())
        }
    }
}

@Suite("Histories in a folder")
struct HistoryFolderTests {
    @Test("Those that were exported are replayed, and each that differs is told")
    func folder() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "histories-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        await #expect(throws: CocoaError.self) {
            try await WorkflowReplayer(workflows: [Sleeper.self]).replayWorkflows(in: folder)
        }
        try await WorkflowEnvironment.withTimeSkipping { environment in
            try await environment.withWorker(
                taskQueue: "q", workflows: [Watchman.self, Sleeper.self], activityContainers: [Watch()]
            ) {
                for id in ["a/b", "c"] {
                    let handle = try await environment.client.startWorkflow(
                        type: Watchman.self, options: .init(id: id, taskQueue: "q"), input: 2)
                    try await handle.result()
                    try await handle.untypedHandle.exportHistory(to: folder)
                }
                let sleeper = try await environment.client.startWorkflow(
                    type: Sleeper.self, options: .init(id: "sleeper", taskQueue: "q"), input: 5)
                try await sleeper.result()
                try await sleeper.untypedHandle.exportHistory(to: folder)
            }
        }
        let results = try await WorkflowReplayer(workflows: [Watchman.self, Sleeper.self]).replayWorkflows(in: folder)
        #expect(results.map(\.file.lastPathComponent) == ["a%2Fb.json", "c.json", "sleeper.json"])

        let other = WorkflowReplayer(workflows: [OtherWatchman.self, Sleeper.self])
        let error = await #expect(throws: ReplayFailedError.self) { try await other.replayWorkflows(in: folder) }
        #expect(error?.results.map(\.file.lastPathComponent) == ["a%2Fb.json", "c.json"])
        #expect(error?.description.contains("TimerStarted") == true)
        let all = try await other.replayWorkflows(in: folder, throwsOnReplayFailure: false)
        #expect(all.map { $0.replayFailure is NonDeterminismError } == [true, true, false])
    }
}
