import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Synchronization
import TestSupport
import Testing

@testable import Perdure

private let brief = ActivityOptions(startToCloseTimeout: .seconds(5))

/// What other threads of the program do, at the test's word.
private final class World: Sendable {
    static let shared = World()
    private let gates = Mutex<[UUID: @Sendable () -> Void]>([:])

    /// Has `body` called on another thread when the test opens the run's gate.
    func at(_ run: UUID, _ body: @escaping @Sendable () -> Void) { gates.withLock { $0[run] = body } }

    func open(_ run: UUID) async {
        guard let body = gates.withLock({ $0.removeValue(forKey: run) }) else { return }
        await withCheckedContinuation { done in
            Thread.detachNewThread {
                body()
                done.resume()
            }
        }
    }
}

@globalActor private actor Elsewhere {
    static let shared = Elsewhere()
    private final class Queue: SerialExecutor {
        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            Thread.detachNewThread { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
        }
    }
    private let queue = Queue()
    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }
}

/// Breaks the rule, though a signal may always come: so nothing tells it from a run that waits for one, but what it
/// does.
@Workflow
private struct Careless {
    enum How: String, Codable, CaseIterable {
        // What is seen when the code does it.
        case sleep, sleepNanoseconds, sleepUntil, suspendingClock, sleepInGroup, sleepBesideTimer, sleepOnOwnActor
        case sleepForEver, handlerSleeps, cancellation, handlerCancellation, yieldLoop
        // What is seen when it comes back.
        case continuation, stream, otherActor, mainActor, detached, unstructured, groupContinuation, handlerContinuation
        case fireAndForget

        var comesBack: Bool {
            switch self {
            case .continuation, .stream, .otherActor, .mainActor, .detached, .unstructured, .groupContinuation,
                .handlerContinuation, .fireAndForget:
                true
            default: false
            }
        }
    }

    var isDone = false
    let how: How

    init(input: How) { how = input }

    @Elsewhere static func away() {}

    private func outside(_ context: WorkflowContext<Self>) async {
        await withCheckedContinuation { continuation in
            World.shared.at(context.info.runID) { continuation.resume() }
        }
    }

    func run(context: WorkflowContext<Self>, input: How) async throws {
        switch input {
        case .sleep: try await Task.sleep(for: .seconds(3600))
        case .sleepNanoseconds: try await Task.sleep(nanoseconds: 3_600_000_000_000)
        case .sleepUntil: try await Task.sleep(until: .now + .seconds(3600), clock: .continuous)
        case .suspendingClock: try await SuspendingClock().sleep(until: .now + .seconds(3600))
        case .sleepInGroup:
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await context.condition { $0.isDone } }
                group.addTask {
                    try await Task.sleep(for: .seconds(3600))
                    isDone = true
                }
                try await group.waitForAll()
            }
        case .sleepBesideTimer:
            async let late: Void = Task.sleep(for: .seconds(3600))
            try await context.sleep(for: .seconds(3600))
            try await late
        case .sleepOnOwnActor:
            actor Own { func nap() async throws { try await Task.sleep(for: .seconds(3600)) } }
            try await Own().nap()
        case .sleepForEver: while !isDone { try? await Task.sleep(for: .seconds(1)) }
        case .cancellation: throw CancellationError()
        case .yieldLoop: while !isDone { await Task.yield() }
        case .continuation: await outside(context)
        case .stream:
            let (numbers, feed) = AsyncStream<Int>.makeStream()
            World.shared.at(context.info.runID) { feed.finish() }
            for await _ in numbers {}
        case .otherActor: await Self.away()
        case .mainActor: await MainActor.run {}
        case .detached: await Task.detached { await outside(context) }.value
        case .unstructured: _ = try await Task { try await context.executeActivity(name: "a", options: brief) }.value
        case .groupContinuation:
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await context.condition { $0.isDone } }
                group.addTask {
                    await outside(context)
                    isDone = true
                }
                try await group.waitForAll()
            }
        case .fireAndForget:
            World.shared.at(context.info.runID) { isDone = true }
            try await context.condition { $0.isDone }
        case .handlerSleeps, .handlerContinuation, .handlerCancellation: try await context.condition { $0.isDone }
        }
        try await context.executeActivity(name: "after", options: brief)
    }

    @WorkflowSignal
    func handle(context: WorkflowContext<Self>) async throws {
        switch how {
        case .handlerSleeps: try await Task.sleep(for: .seconds(3600))
        case .handlerContinuation: await outside(context)
        case .handlerCancellation: throw CancellationError()
        default: return
        }
        isDone = true
    }
}

/// Asks for what it may not have, when it is asked.
@Workflow
private struct Nosy {
    var isDone = false

    func run(context: WorkflowContext<Self>, input: Void) async throws {
        try await context.condition { $0.isDone }
    }

    @WorkflowQuery
    func later() -> Bool {
        Thread.detachNewThread { isDone = true }
        return isDone
    }

    @WorkflowQuery
    func cancelled() throws -> Bool { throw CancellationError() }

    @WorkflowSignal
    func nothing() {}
}

@Suite("Misuse", .serialized)
struct MisuseTests {
    private func driven(_ how: Careless.How) throws -> DrivenRun<Careless> {
        try DrivenRun(Careless.self, input: how)
    }

    @Test(
        "Code that sleeps by itself fails its task at once, whatever else the run waits for",
        arguments: [
            Careless.How.sleep, .sleepNanoseconds, .sleepUntil, .suspendingClock, .sleepInGroup, .sleepBesideTimer,
            .sleepOnOwnActor, .sleepForEver, .handlerSleeps,
        ])
    private func sleeps(how: Careless.How) throws {
        let run = try driven(how)
        if how == .handlerSleeps {
            #expect(try run.task().isEmpty)
            try run.signal("Handle")
        }
        // It would sleep for an hour.
        let error = #expect(throws: NonDeterminismError.self) { try run.task() }
        #expect(error?.description.contains("Task.sleep") == true)
        #expect(error?.description.contains("context.sleep(for:)") == true)
        // The task failed and evicted the run, which freed it: no code of it goes on.
        #expect(run.live == nil)
    }

    @Test(
        "Code that comes back from outside between two tasks is told at once, decides nothing, and fails the next task",
        arguments: Careless.How.allCases.filter(\.comesBack))
    private func comesBack(how: Careless.How) async throws {
        let told = Mutex<[NonDeterminismError]>([])
        let run = try driven(how) { error in told.withLock { $0.append(error) } }
        do {
            #expect(try run.task().isEmpty)
            try run.signal("Handle")
            #expect(try run.task().isEmpty)
            try await eventually("it is told") {
                await World.shared.open(run.info.runID)
                return told.withLock { !$0.isEmpty }
            }
            #expect(run.live?.commands.isEmpty == true)
        } catch is NonDeterminismError {
            // It came back so soon that the task failed for it.
            return
        }
        #expect(told.withLock { $0.count } == 1)
        #expect(told.withLock { $0[0].description.contains("outside of the workflow") })
        try run.signal("Handle")
        #expect(throws: NonDeterminismError.self) { try run.task() }
    }

    private func driven(
        _ how: Careless.How, _ told: @escaping @Sendable (NonDeterminismError) -> Void
    ) throws -> DrivenRun<Careless> {
        try DrivenRun(
            Careless.self, input: how,
            onMisuse: { error, isIdle in
                #expect(isIdle)
                told(error)
            }
        )
    }

    @Test("A cancellation that nobody asked for fails the task by its name; one that was asked for ends the run")
    func cancellation() throws {
        for how in [Careless.How.cancellation, .handlerCancellation] {
            for isAsked in [false, true] where !isAsked || how == .cancellation {
                let run = try driven(how)
                if how == .handlerCancellation {
                    try run.task()
                    try run.signal("Handle")
                }
                if isAsked {
                    run.requestCancel()
                    #expect(try run.task().summaries == ["CancelWorkflowExecution"])
                    continue
                }
                // What the worker tells the engine.
                let live = WorkflowRun<Careless>(run.info)
                defer { live.evict() }
                run.add(.workflowTaskScheduled)
                run.add(.workflowTaskStarted)
                let error = #expect(throws: WorkflowTaskError.self) { try live.activate(run.events) }
                #expect(error?.cause == "WorkflowWorkerUnhandledFailure")
                #expect(error?.failure.message.contains("CancellationError") == true)
                #expect(error?.failure.message.contains("nobody asked") == true)
            }
        }
    }

    @Test("What a query's code does afterwards fails the run's next task, and is told at once")
    func queries() async throws {
        let told = Mutex(0)
        let run = try DrivenRun(Nosy.self, input: JSON.null) { _, _ in told.withLock { $0 += 1 } }
        try run.task()
        #expect(throws: CancellationError.self) { try run.query("Cancelled", as: Bool.self) }
        #expect(try run.query("Later", as: Bool.self) == false)
        try await eventually("it is told") { told.withLock { $0 } == 1 }
        #expect(try run.query("Later", as: Bool.self) == false)
        try run.signal("Nothing")
        #expect(throws: NonDeterminismError.self) { try run.task() }
    }

    @Test(
        "A run that is evicted while its code is elsewhere is freed when that comes back, and decides nothing",
        arguments: Careless.How.allCases.filter(\.comesBack))
    private func evicted(how: Careless.How) async throws {
        let told = Mutex(0)
        weak var executor: WorkflowExecutor?
        var runID = UUID()
        do {
            let run = try driven(how) { _ in told.withLock { $0 += 1 } }
            do {
                try run.task()
                try run.signal("Handle")
                try run.task()
            } catch is NonDeterminismError {}
            executor = run.live?.core.executor
            let live = run.live
            run.evict()
            runID = run.info.runID
            #expect(live?.commands.isEmpty ?? true)
        }
        try await eventually("it is freed") {
            await World.shared.open(runID)
            return executor == nil
        }
    }

    // MARK: With a worker and the engine

    private func working(
        _ body: (TestDatabase, PerdureClient) async throws -> Void
    ) async throws {
        try await TestDatabase.with { database in
            var options = WorkerOptions(taskQueue: "misuse")
            options.deadlockTimeout = .milliseconds(500)
            let worker = Worker(
                pool: database.pool, options: options, workflows: [Careless.self, Nosy.self], logger: .silent)
            let running = Task { try await worker.run() }
            do {
                try await body(database, PerdureClient(pool: database.pool))
            } catch {
                running.cancel()
                _ = try? await running.value
                throw error
            }
            running.cancel()
            _ = try? await running.value
            let violations = try await database.pool.query("select * from perdure.violations()")
            #expect(violations.isEmpty)
        }
    }

    private struct Failed: Equatable, Sendable {
        var attempts: Int
        var message: String
    }

    /// What people see of a run whose workflow task keeps failing.
    private func failure(_ database: TestDatabase, _ id: String) async throws -> Failed? {
        let rows = try await database.pool.query(
            """
            select r.workflow_task_failed_attempts, coalesce(r.workflow_task_failure #>> '{failure,message}', '')
            from perdure.run_states r join perdure.executions e using (shard, run_id)
            where e.workflow_id = \(id) and r.workflow_task_failed_attempts > 0
            """)
        guard let row = rows.first else { return nil }
        return Failed(attempts: try row.decode(at: 0), message: try row.decode(at: 1))
    }

    @Test("The engine is told of every form within seconds, and goes on with runs that keep the rule")
    func engine() async throws {
        try await working { database, client in
            for how in Careless.How.allCases {
                let handle = try await client.startWorkflow(
                    name: "Careless", options: WorkflowOptions(id: how.rawValue, taskQueue: "misuse"), input: how)
                if how == .handlerSleeps || how == .handlerContinuation || how == .handlerCancellation {
                    try await handle.signal(signalName: "Handle")
                }
            }
            try await eventually("every run is under way") {
                let rows = try await database.pool.query(
                    """
                    select from perdure.executions e where not exists (
                        select from perdure.history_events h where h.run_id = e.run_id
                        and h.event_type in ('WorkflowTaskCompleted', 'WorkflowTaskFailed'))
                    """)
                return rows.isEmpty
            }
            let runs = try await database.pool.query("select workflow_id, run_id from perdure.executions")
            for row in runs {
                let runID: UUID = try row.decode(at: 1)
                let id: String = try row.decode(at: 0)
                try await eventually("\(id): what it waits for has come, and its task fails") {
                    await World.shared.open(runID)
                    return try await self.failure(database, id) != nil
                }
            }
            var last: [Careless.How: Failed] = [:]
            // It fails again and again without growing: one failure is written, the next attempts are transient.
            try await eventually("each is tried again") {
                for row in runs {
                    let runID: UUID = try row.decode(at: 1)
                    await World.shared.open(runID)
                }
                for how in Careless.How.allCases where last[how]?.attempts ?? 0 < 3 {
                    last[how] = try await self.failure(database, how.rawValue)
                }
                return last.values.count { $0.attempts >= 3 } == Careless.How.allCases.count
            }
            for (how, failed) in last {
                let cause =
                    switch how {
                    case .cancellation, .handlerCancellation: "CancellationError"
                    case .yieldLoop: "loops without end"
                    default: "outside of the workflow"
                    }
                #expect(failed.message.contains(cause), "\(how): \(failed.message)")
            }
            let long = try await database.pool.query(
                """
                select e.workflow_id from perdure.executions e join perdure.history_events h using (run_id)
                group by 1 having count(*) > 20
                """)
            #expect(long.isEmpty)
        }
    }
}
