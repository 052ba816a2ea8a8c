import Foundation
import Logging
import PerdureEngine
import PerdureTesting
import Postgres
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Perdure

@Suite("Worker")
struct WorkerTests {
    @Test("A workflow runs its activity and completes with the result")
    func endToEnd() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "Greeting", activity: "greet")
            code.activity("greet") { attempt in
                let name = try attempt.task.input[0].decode(String.self)
                return [try Payload(encoding: "Hello, \(name)!")]
            }
            try await stage.withWorker(code) {
                let handle = try await stage.start("Greeting", input: [Payload(encoding: "Ada")])
                #expect(try await handle.result(as: String.self) == "Hello, Ada!")
                #expect(
                    try await stage.types(handle) == [
                        "WorkflowExecutionStarted", "WorkflowTaskScheduled", "WorkflowTaskStarted",
                        "WorkflowTaskCompleted", "ActivityTaskScheduled", "ActivityTaskStarted",
                        "ActivityTaskCompleted", "WorkflowTaskScheduled", "WorkflowTaskStarted",
                        "WorkflowTaskCompleted", "WorkflowExecutionCompleted",
                    ])
                #expect(try await handle.describe().status == .completed)
            }
        }
    }

    @Test(
        "A worker that finds a database older than itself says so and ends", .timeLimit(.minutes(5)),
        arguments: ["claim_workflow_tasks_as_stored", "busy_workers"])
    func olderDatabase(missing: String) async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "quick")
            try await stage.database.pool.query(PostgresQuery("drop function perdure." + missing))
            let error = await #expect(throws: EngineError.self) { try await stage.worker(code).run() }
            #expect(error?.code == .incompatibleDatabase)
            #expect("\(error!)".contains("run perdure migrate"))
        }
    }

    @Test("A worker sends two batches at a time, and one beside others that are busy", .timeLimit(.minutes(5)))
    func batchesBesideOthers() async throws {
        try await Stage.with { stage in
            let engine = stage.client.engine
            func register(workflowTypes: JSON) async throws -> UUID {
                let worker = UUID()
                try await engine.registerWorker(
                    workerID: worker, namespace: "default", identity: "other", buildID: "", taskQueues: ["other"],
                    lease: .seconds(60), details: ["workflowTypes": workflowTypes])
                return worker
            }
            _ = try await register(workflowTypes: [])
            let other = try await register(workflowTypes: ["W"])
            try await stage.withSession { session in
                @Sendable func batchers() -> Int {
                    Set((0..<64).map { _ in ObjectIdentifier(session.batcher(of: UUID())) }).count
                }
                try await session.register()
                #expect(batchers() == 1, "beside a busy worker")
                try await engine.setWaiting(workerID: other, waiting: true)
                try await session.register()
                #expect(batchers() == 2, "beside one that waits, and one that runs activities alone")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try await session.run() }
                    try await engine.setWaiting(workerID: other, waiting: false)
                    try await eventually("one batch again") { batchers() == 1 }
                    try await engine.setWaiting(workerID: other, waiting: true)
                    try await eventually("and two again, with the lease") { batchers() == 2 }
                    session.drain()
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test("A worker outlasts a migration that takes a function away for a while", .timeLimit(.minutes(5)))
    func migrationUnderWay() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "quick")
            code.activity("quick") { _ in [] }
            let pool = stage.database.pool
            @Sendable func rollbacks() async throws -> Int64 {
                try await pool.query(
                    "select pg_stat_get_db_xact_rollback(oid) from pg_database where datname = current_database()")[0]
                    .decode(at: 0)
            }
            try await stage.withWorker(code) {
                _ = try await stage.start("W").resultPayloads()
                let before = try await rollbacks()
                try await pool.query("alter function perdure.claim_workflow_tasks_as_stored rename to gone")
                let handle = try await stage.start("W")
                try await eventually("a claim fails") { try await rollbacks() > before }
                try await pool.query("alter function perdure.gone rename to claim_workflow_tasks_as_stored")
                _ = try await handle.resultPayloads()
            }
        }
    }

    @Test(
        "A backlog longer than a worker's slots is worked off without a way through the queue for its activities",
        .timeLimit(.minutes(5)))
    func backlogStaysWithTheWorker() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "quick")
            code.activity("quick") { _ in [] }
            try await stage.startMany("W", 200)
            try await stage.withWorker(code) {
                $0.maxConcurrentActivities = 16
                $0.maxConcurrentWorkflowTasks = 64
            } _: {
                try await stage.waitForAll()
            }
            // What the worker starts itself is started as it is scheduled.
            let queued = try await stage.database.pool.query(
                """
                select count(*) from perdure.history_events scheduled
                join perdure.history_events started on started.run_id = scheduled.run_id
                    and started.event_type = 'ActivityTaskStarted' and started.event_time > scheduled.event_time
                where scheduled.event_type = 'ActivityTaskScheduled'
                """)[0].decode(Int.self, at: 0)
            #expect(queued == 0)
        }
    }

    @Test(
        "Activities that take long, one for each slot, do not keep other workflows from going on",
        .timeLimit(.minutes(5)))
    func longActivitiesDoNotKeepWorkflows() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "Long", activity: "long")
            code.activity("long") { _ in
                try await Task.sleep(for: .seconds(3600))
                return []
            }
            code.workflow("Short") { _ in [.complete()] }
            try await stage.withWorker(code) {
                $0.maxConcurrentActivities = 16
                $0.gracefulShutdownTimeout = .zero
            } _: {
                try await stage.startMany("Long", 40)
                let handle = try await stage.start("Short")
                _ = try await handle.resultPayloads()
            }
        }
    }

    @Test("An activity whose code has returned is not overdue, however long its run takes to go on")
    func returnedInTime() async throws {
        func activity() throws -> RunningActivity {
            RunningActivity(
                try ClaimedActivityTask(
                    eager: .activity("1", "a", startToClose: .milliseconds(1)), shard: 0, runID: UUID(),
                    scheduledEventID: 5, workflowID: "w", workflowType: "W", startedAt: Timestamp(microseconds: 0)))
        }
        let running = RunningActivities()
        let returned = try activity()
        let working = try activity()
        running.insert(returned)
        running.insert(working)
        let goesOn = Settlement<Void>()
        returned.run {
            ActivityReturn(value: [], encoded: [])
        } advance: { _ in
            goesOn.settle(())
            return true
        }
        await goesOn.value
        for activity in [returned, working] { try await Task.sleep(until: #require(activity.deadline)) }
        #expect(running.takeOverdue().map(\.key) == [working.key])
    }

    @Test("A failing activity is tried again, by its policy, with its last heartbeat's details")
    func retries() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(
                workflow: "W", activity: "flaky", heartbeat: .seconds(30),
                retry: RetryPolicy(initialInterval: .milliseconds(10), maximumAttempts: 3))
            let seen = Mutex<[[Payload]]>([])
            let keys = Mutex<Set<String>>([])
            code.activity("flaky") { attempt in
                seen.withLock { $0.append(attempt.task.heartbeatDetails) }
                _ = keys.withLock { $0.insert(attempt.task.idempotencyKey) }
                attempt.heartbeat([try Payload(encoding: attempt.task.attempt)])
                guard attempt.task.attempt == 3 else { throw Failure.application("not yet", type: "Busy") }
                return [try Payload(encoding: attempt.task.attempt)]
            }
            try await stage.withWorker(code) {
                let handle = try await stage.start("W")
                #expect(try await handle.result(as: Int.self) == 3)
            }
            #expect(seen.withLock { $0 } == [[], [try Payload(encoding: 1)], [try Payload(encoding: 2)]])
            #expect(keys.withLock { $0.count } == 1)
        }
    }

    @Test("A failure that ends a workflow reaches the caller with its causes")
    func failure() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a")
            code.activity("a") { _ in throw Failure.application("no funds", type: "NoFunds", nonRetryable: true) }
            try await stage.withWorker(code) {
                let handle = try await stage.start("W")
                let error = await #expect(throws: WorkflowFailedError.self) { try await handle.resultPayloads() }
                #expect(error?.status == .failed)
                #expect(error?.failure.chain.contains { $0.message == "no funds" } == true)
            }
        }
    }

    @Test("Timers fire soon after they are due, signals wake the run, queries are answered from cache and by replay")
    func timersSignalsQueries() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { history in
                guard history.started(timer: "t") else { return [.timer("t", .milliseconds(300))] }
                guard history.fired("t"), history.signals.count == 2 else { return [] }
                return [.complete()]
            }
            let handle = try await stage.start("W")
            try await stage.withWorker(code) {
                try await handle.signal(signalName: "one", input: 1)
                try await eventually("the first signal is seen") {
                    try await handle.query(queryName: "signals")[0].decode([String].self) == ["one"]
                }
                try await eventually("the timer fires") { try await stage.types(handle).contains("TimerFired") }
                let history = try await handle.fetchHistory()
                let started = try #require(history.first { $0.eventType == .timerStarted })
                let fired = try #require(history.first { $0.eventType == .timerFired })
                #expect(fired.eventTime.duration(since: started.eventTime) >= .milliseconds(300))
                await #expect(throws: QueryFailedError.self) { try await handle.query(queryName: "nothing") }
            }
            // Another worker has nothing cached; and it answers for a closed run, too.
            try await stage.withWorker(code) {
                #expect(try await handle.query(queryName: "signals")[0].decode([String].self) == ["one"])
                try await handle.signal(signalName: "two", input: 2)
                _ = try await handle.resultPayloads()
                #expect(try await handle.query(queryName: "signals")[0].decode([String].self) == ["one", "two"])
                await #expect(throws: WorkflowClosedError.self) { try await handle.signal(signalName: "three") }
            }
            await #expect(throws: WorkflowNotFoundError.self) {
                try await stage.client.untypedWorkflowHandle(id: "nobody").signal(signalName: "x")
            }
        }
    }

    @Test("Cancelling a workflow reaches its heartbeating activity")
    func cancellation() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { history in
                guard let scheduled = history.scheduled("1") else {
                    return [.activity("1", "long", heartbeat: .seconds(6))]
                }
                if history.end(of: "1") != nil { return [.canceled] }
                if history.has(.workflowExecutionCancelRequested), !history.has(.activityTaskCancelRequested) {
                    return [.cancelActivity(scheduled.eventId)]
                }
                return []
            }
            code.activity("long") { attempt in
                while true {
                    attempt.heartbeat([])
                    // The activity's own work.
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
            try await stage.withWorker(code) {
                let handle = try await stage.start("W")
                try await eventually("the activity runs") {
                    try await handle.describe().pendingActivities.first?["state"]?.stringValue?.lowercased()
                        == "started"
                }
                try await handle.cancel(reason: "changed my mind")
                let error = await #expect(throws: WorkflowFailedError.self) { try await handle.resultPayloads() }
                #expect(error?.status == .canceled)
                let types = try await stage.types(handle)
                #expect(types.contains("ActivityTaskCanceled"), "\(types)")
            }
        }
    }

    @Test("An activity that heartbeats may run for longer than its heartbeat timeout")
    func longHeartbeatingActivity() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "long", heartbeat: .seconds(8))
            code.activity("long") { attempt in
                let end = ContinuousClock.now + .seconds(12)
                while ContinuousClock.now < end {
                    attempt.heartbeat([])
                    // The activity's own work.
                    try await Task.sleep(for: .milliseconds(50))
                }
                return [try Payload(encoding: attempt.task.attempt)]
            }
            try await stage.withWorker(code) {
                let handle = try await stage.start("W")
                #expect(try await handle.result(as: Int.self) == 1)
            }
        }
    }

    @Test("A bug in workflow code fails the task, not the run, and fixed code goes on")
    func bug() async throws {
        try await Stage.with { stage in
            var broken = WorkerCode()
            broken.workflow("W") { _ in throw Bug() }
            var fixed = WorkerCode()
            fixed.workflow("W") { _ in [.complete()] }
            let handle = try await stage.start("W")
            try await stage.withWorker(broken) {
                try await eventually("the task fails") { try await stage.types(handle).contains("WorkflowTaskFailed") }
            }
            let failed = try #require(try await handle.fetchHistory().first { $0.eventType == .workflowTaskFailed })
            #expect(failed.attributes["cause"] == "WorkflowWorkerUnhandledFailure")
            #expect(failed.attributes["failure"]?["applicationFailureInfo"]?["type"] == "Bug")
            try await stage.withWorker(fixed) { _ = try await handle.resultPayloads() }
            #expect(try await handle.describe().status == .completed)
        }
    }

    @Test("Workflow code that never waits fails its task and leaves the worker working")
    func deadlock() async throws {
        try await Stage.with { stage in
            let isStuck = Mutex(true)
            var code = WorkerCode()
            code.workflow("Stuck") { _ in
                while isStuck.withLock({ $0 }) { Thread.sleep(forTimeInterval: 0.01) }
                return [.complete()]
            }
            code.workflow("Fine") { _ in [.complete()] }
            defer { isStuck.withLock { $0 = false } }
            try await stage.withWorker(code) {
                $0.deadlockTimeout = .milliseconds(200)
            } _: {
                // More of them than there are cores.
                var stuck: [UntypedWorkflowHandle] = []
                for _ in 0..<2 * ProcessInfo.processInfo.activeProcessorCount {
                    stuck.append(try await stage.start("Stuck"))
                }
                for handle in stuck {
                    try await eventually("the task fails") {
                        try await stage.types(handle).contains("WorkflowTaskFailed")
                    }
                    let failed = try await handle.fetchHistory().first { $0.eventType == .workflowTaskFailed }
                    #expect(
                        failed?.attributes["failure"]?["applicationFailureInfo"]?["type"] == "PotentialDeadlock")
                }
                _ = try await stage.start("Fine").resultPayloads()
                isStuck.withLock { $0 = false }
                for handle in stuck { _ = try await handle.resultPayloads() }
            }
        }
    }

    @Test("A run evicted at every turn has the same history as one that stays cached")
    func stickyAndCold() async throws {
        try await Stage.with { stage in
            func histories(_ cached: Int) async throws -> [String] {
                let replays = Mutex(0)
                var code = WorkerCode()
                code.workflows["W"] = { _ in
                    replays.withLock { $0 += 1 }
                    return ScriptedRun { history in
                        for step in ["1", "2", "3"] {
                            guard history.scheduled(step) != nil else { return [.activity(step, "a")] }
                            guard history.end(of: step) != nil else { return [] }
                            guard history.started(timer: step) else { return [.timer(step, .milliseconds(1))] }
                            guard history.fired(step) else { return [] }
                        }
                        return [.complete()]
                    }
                }
                code.activity("a") { _ in [] }
                return try await stage.withWorker(code) {
                    $0.maxCachedWorkflows = cached
                } _: {
                    let handle = try await stage.start("W")
                    _ = try await handle.resultPayloads()
                    #expect(replays.withLock { $0 } == (cached == 0 ? 7 : 1))
                    return try await stage.types(handle)
                }
            }
            let cold = try await histories(0)
            #expect(try await histories(100) == cold)
        }
    }

    @Test("The cache holds no more runs than it may, and frees what leaves it")
    func cacheLimit() async throws {
        try await Stage.with { stage in
            let live = Mutex(0)
            let highest = Mutex(0)
            var code = WorkerCode()
            code.workflows["W"] = { _ in
                live.withLock { $0 += 1 }
                return ScriptedRun(onEvict: { live.withLock { $0 -= 1 } }) { history in
                    let now = live.withLock { $0 }
                    highest.withLock { $0 = max($0, now) }
                    return history.signals.isEmpty ? [] : [.complete()]
                }
            }
            try await stage.withWorker(code) {
                $0.maxCachedWorkflows = 3
                $0.maxConcurrentWorkflowTasks = 2
            } _: {
                var handles: [UntypedWorkflowHandle] = []
                for _ in 0..<20 { handles.append(try await stage.start("W")) }
                try await eventually("all have had a task") {
                    for handle in handles where try await !stage.types(handle).contains("WorkflowTaskCompleted") {
                        return false
                    }
                    return true
                }
                #expect(live.withLock { $0 } <= 3)
                for handle in handles { try await handle.signal(signalName: "go") }
                for handle in handles { _ = try await handle.resultPayloads() }
            }
            #expect(live.withLock { $0 } == 0)
            #expect(highest.withLock { $0 } <= 5)
        }
    }

    @Test("A worker whose lease was taken away cannot write; another finishes the run, once")
    func lostLease() async throws {
        try await Stage.with { stage in
            let isHeld = Box(true)
            let calls = Mutex(0)
            let heldCodeEnded = Mutex(false)
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a")
            code.activity("a") { _ in
                guard
                    calls.withLock({
                        $0 += 1
                        return $0
                    }) == 1
                else { return [try Payload(encoding: "second")] }
                // Does not stop when it is cancelled, as code that calls out may not.
                try await Task.detached { try await eventually("it is let go") { !isHeld.value } }.value
                heldCodeEnded.withLock { $0 = true }
                return [try Payload(encoding: "first")]
            }
            let handle = try await stage.start("W")
            try await stage.withWorker(code) { [code] in
                try await eventually("a worker has the activity") { calls.withLock { $0 } == 1 }
                // What the database does to a worker that it has not heard of for longer than its lease.
                _ = try await stage.database.pool.query(
                    "update perdure.workers set lease_until = now() - interval '1 hour'")
                try await stage.withWorker(code) {
                    #expect(try await handle.result(as: String.self) == "second")
                    isHeld.value = false
                    try await eventually("the held code ends") { heldCodeEnded.withLock { $0 } }
                }
            }
            let history = try await handle.fetchHistory()
            #expect(history.filter { $0.eventType == .activityTaskCompleted }.count == 1)
            #expect(history.filter { $0.eventType == .workflowExecutionCompleted }.count == 1)
        }
    }

    @Test("One result that the engine refuses does not hold up the others")
    func batchFallsBackToSingles() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a")
            code.activity("a") { attempt in
                // jsonb cannot hold this number, so the whole set is refused.
                if try attempt.task.input[0].decode(Int.self) == 0 {
                    return [Payload(encoding: "json/plain", data: .number("1e400000"))]
                }
                return attempt.task.input
            }
            try await stage.withWorker(code) {
                var handles: [UntypedWorkflowHandle] = []
                for number in 0..<20 { handles.append(try await stage.start("W", input: [Payload(encoding: number)])) }
                for (number, handle) in handles.enumerated().dropFirst() {
                    #expect(try await handle.result(as: Int.self) == number)
                }
                let error = await #expect(throws: WorkflowFailedError.self) { try await handles[0].resultPayloads() }
                #expect(
                    error?.failure.chain.contains { $0.message.contains("refused") } == true,
                    "\(String(describing: error))")
            }
        }
    }

    @Test("A graceful shutdown lets activities finish, and hands back those that take too long")
    func gracefulShutdown() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(workflow: "Short", activity: "short")
            code.oneActivity(workflow: "Long", activity: "long")
            let isShuttingDown = Box(false)
            code.activity("short") { _ in
                try await eventually("the worker shuts down") { isShuttingDown.value }
                return []
            }
            code.activity("long") { _ in
                // The activity's own work: longer than anybody waits.
                try await Task.sleep(for: .seconds(3600))
                return []
            }
            let short = try await stage.start("Short")
            let long = try await stage.start("Long")
            let worker = stage.worker(code)
            let group = ServiceGroup(services: [worker], logger: Logger(label: "group"))
            async let running: Void = group.run()
            try await eventually("both run") {
                let states = [
                    try await short.describe().pendingActivities.first?["state"],
                    try await long.describe().pendingActivities.first?["state"],
                ]
                return states.allSatisfy { $0?.stringValue?.lowercased() == "started" }
            }
            await group.triggerGracefulShutdown()
            isShuttingDown.value = true
            try await running
            #expect(try await stage.types(short).contains("ActivityTaskCompleted"))
            let pending = try #require(try await long.describe().pendingActivities.first)
            #expect(pending["state"]?.stringValue?.lowercased() == "scheduled")
            #expect(pending["attempt"] == 1)
            let workers = try await stage.database.pool.query("select count(*) from perdure.workers")
            #expect(try workers[0].decode(Int.self, at: 0) == 0)
        }
    }

    @Test(
        "An idle worker hears of work at once, and a worker that cannot listen finds it by polling",
        arguments: [true, false])
    func wakesUp(listens: Bool) async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { _ in [.complete()] }
            try await stage.withWorker(code) {
                $0.usesNotifications = listens
            } _: {
                if listens {
                    try await eventually("the worker waits") {
                        let rows = try await stage.database.pool.query("select bool_or(waiting) from perdure.workers")
                        return try rows[0].decode(Bool?.self, at: 0) == true
                    }
                }
                _ = try await stage.start("W").resultPayloads()
            }
        }
    }

    @Test("Many runs of many steps complete, each effect recorded once")
    func load() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { history in
                for step in 1...4 {
                    guard history.scheduled("\(step)") != nil else { return [.activity("\(step)", "a")] }
                    guard history.end(of: "\(step)") != nil else { return [] }
                }
                return [.complete()]
            }
            code.activity("a") { _ in [] }
            let start = ContinuousClock.now
            try await stage.withWorker(code) { [code] in
                try await stage.withWorker(code) {
                    let handles = try await withThrowingTaskGroup(of: UntypedWorkflowHandle.self) { group in
                        for _ in 0..<100 { group.addTask { try await stage.start("W") } }
                        return try await group.reduce(into: []) { $0.append($1) }
                    }
                    for handle in handles {
                        _ = try await handle.resultPayloads()
                        #expect(try await stage.types(handle).filter { $0 == "ActivityTaskCompleted" }.count == 4)
                    }
                }
            }
            print("100 runs of 4 activities: \(start.duration(to: .now))")
        }
    }

    struct Bug: Error {}
}

extension Stage {
    func withWorker<Value: Sendable>(
        _ code: WorkerCode, _ body: @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withWorker(code, { _ in }, body)
    }
}
