import Foundation
import PerdureEngine
import Synchronization
import TestSupport
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

/// Lives as long as the workflow's state does.
private final class Canary: Sendable {
    static let alive = Mutex(0)
    init() { Self.alive.withLock { $0 += 1 } }
    deinit { Canary.alive.withLock { $0 -= 1 } }
}

@Workflow
private struct Holding {
    enum How: String, Codable, CaseIterable {
        case activity, sleep, condition, conditionWithTimeout, asyncLet, group, shield, timeout, stream, swallow
        case cleanup, compensation, loopUntilCancelled
    }

    private let canary = Canary()
    var numbers: AsyncStream<Int>?
    var feed: AsyncStream<Int>.Continuation?
    var never = false

    func run(context: WorkflowContext<Self>, input: How) async throws {
        let local = Canary()
        defer { withExtendedLifetime((local, canary)) {} }
        switch input {
        case .activity: try await context.executeActivity(name: "a", options: brief)
        case .sleep: try await context.sleep(for: .seconds(60))
        case .condition: try await context.condition { $0.never }
        case .conditionWithTimeout: _ = try await context.condition(timeout: .seconds(60)) { $0.never }
        case .asyncLet:
            async let one: Void = context.sleep(for: .seconds(60))
            async let two: Void = context.executeActivity(name: "a", options: brief)
            _ = try await (one, two)
        case .group:
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<10 { group.addTask { try await context.sleep(for: .seconds(60)) } }
                try await group.waitForAll()
            }
        case .shield: try await context.withCancellationShield { try await context.sleep(for: .seconds(60)) }
        case .timeout: try await context.timeout(for: .seconds(9)) { try await context.condition { $0.never } }
        case .stream:
            let (numbers, feed) = AsyncStream<Int>.makeStream()
            (self.numbers, self.feed) = (numbers, feed)
            for await _ in numbers {}
        case .swallow:
            for _ in 0..<100 { try? await context.sleep(for: .seconds(60)) }
        case .cleanup:
            defer {
                context.logger.info("cleaning up")
                context.upsertSearchAttributes(["cleaned": true])
                _ = context.uuid()
            }
            try await context.sleep(for: .seconds(60))
        case .compensation:
            do {
                try await context.sleep(for: .seconds(60))
            } catch {
                context.logger.info("compensating")
                try await context.withCancellationShield {
                    try await context.executeActivity(name: "undo", options: brief)
                }
                throw error
            }
        case .loopUntilCancelled:
            while !Task.isCancelled { try? await context.sleep(for: .seconds(60)) }
        }
    }

    @WorkflowSignal
    func wait(context: WorkflowContext<Self>) async throws {
        let local = Canary()
        try await context.sleep(for: .seconds(60))
        withExtendedLifetime(local) {}
    }
}

/// Comes back from outside after its run has left memory.
@Workflow
private struct Late {
    private let canary = Canary()

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        async let late: Void? = Task.detached { try? await Task.sleep(for: .milliseconds(200)) }.value
        _ = try? await context.sleep(for: .seconds(60))
        _ = await late
        withExtendedLifetime(canary) {}
    }
}

@Workflow
private struct Stubborn {
    func run(context: WorkflowContext<Self>, input: Void) async throws {
        while true { try? await context.sleep(for: .seconds(60)) }
    }
}

/// Waits outside of history without end, whatever its waits throw.
@Workflow
private struct Restless {
    static let turns = Mutex(0)

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        while true {
            Self.turns.withLock { $0 += 1 }
            try? await Task.sleep(for: .seconds(1))
        }
    }
}

@Suite("Eviction", .serialized)
struct EvictionTests {
    @Test(
        "A run that leaves memory frees its state, its tasks and itself, whatever it waits for",
        arguments: Holding.How.allCases)
    private func frees(how: Holding.How) throws {
        let before = Canary.alive.withLock { $0 }
        weak var core: WorkflowCore?
        weak var live: WorkflowRun<Holding>?
        weak var executor: WorkflowExecutor?
        let commands: [String]
        do {
            let run = try DrivenRun(Holding.self, input: how)
            try run.signal("Wait")
            try run.task()
            live = run.live
            core = run.live?.core
            executor = core?.executor
            #expect(core != nil && Canary.alive.withLock { $0 } >= before + 3)
            run.evict()
            commands = run.events.map(\.summary)
            #expect(run.logs.all.isEmpty, "nothing is logged on the way out")
        }
        #expect(live == nil && core == nil && executor == nil)
        #expect(Canary.alive.withLock { $0 } == before)
        #expect(!commands.contains { $0.contains("undo") || $0.contains("Upsert") })
    }

    @Test("A run that is evicted before its code has begun never begins")
    func neverBegun() throws {
        let run = try DrivenRun(Holding.self, input: 7)
        #expect(throws: WorkflowTaskError.self) { try run.task() }
        let other = WorkflowRun<Holding>(run.info)
        other.evict()
        other.evict()
    }

    @Test("What comes back from outside after the eviction ends, and frees the run")
    func lateReturn() async throws {
        let before = Canary.alive.withLock { $0 }
        do {
            let run = try DrivenRun(Late.self)
            try run.task()
            run.evict()
        }
        try await eventually("the run is freed") { Canary.alive.withLock { $0 } == before }
    }

    @Test("Code that never lets go is parked, and complained about")
    func stubborn() throws {
        let run = try DrivenRun(Stubborn.self)
        try run.task()
        run.evict()
        #expect(run.logs.all.count == 1)
        #expect(run.logs.all.first?.contains("catches every error") == true)
    }

    @Test("Code that never ends runs no more once its run has left memory")
    func restless() async throws {
        let run = try DrivenRun(Restless.self)
        #expect(throws: (any Error).self) { try run.task() }
        run.evict()
        // A turn takes microseconds, so code that goes on is seen after a moment.
        var before = -1
        try await eventually("its code stops") {
            let now = Restless.turns.withLock { $0 }
            defer { before = now }
            return now == before
        }
    }

    /// Each turn comes back from another thread, as the end of a Task.sleep does: the run had kept a processor busy.
    @Test("Code that waits outside without end is stopped once its run has left memory, and complained about")
    func endless() async throws {
        let turns = Shared(0)
        let complaints = Shared(0)
        let executor = WorkflowExecutor(onEndlessCode: { complaints.withLock { $0 += 1 } })
        executor.abandon()
        Task(executorPreference: executor) {
            while true {
                turns.withLock { $0 += 1 }
                await withUnsafeContinuation { continuation in
                    DispatchQueue.global().async { continuation.resume() }
                }
            }
        }
        try await eventually("it is told") { complaints.withLock { $0 } == 1 }
        // A turn whose wait is over before it begins takes no job, so there may be more turns than jobs. With the job
        // that ends the last wait, no more come.
        let stopped = turns.withLock { $0 }
        try await Task.sleep(for: .milliseconds(100))
        #expect(stopped > 0 && turns.withLock { $0 } == stopped)
    }
}
