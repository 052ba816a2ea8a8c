import Foundation
import PerdureEngine
import PerdureTesting
import Postgres
import Synchronization
import TestSupport
import Testing

@testable import Perdure

/// What a worker does when the database does not take what it reports: a success stays a success.
@Suite("Reports", .serialized)
struct ReportTests {
    /// A function of the engine, in whose place another one stands for a while.
    private enum Function: String, CaseIterable {
        case finish = "finish_activity_tasks"
        case complete = "complete_workflow_tasks"

        /// Puts a function in its place that counts its calls in the sequence `calls`.
        ///
        /// - Parameter refuses: SQL of what is refused, by `p_items` and `v_call`.
        func replace(_ sqlState: String, when refuses: String) -> String {
            """
            do $do$ begin
                execute format($format$
                    create function perdure.replaced(p_shard smallint, p_worker_id uuid, p_items jsonb)
                    returns %s language plpgsql as $$
                    #variable_conflict use_column
                    declare
                        v_call bigint := nextval('public.calls');
                    begin
                        if \(refuses.replacing("%", with: "%%")) then
                            raise exception 'refused by the test' using errcode = '\(sqlState)';
                        end if;
                        return query select * from perdure.real_\(rawValue)(p_shard, p_worker_id, p_items);
                    end $$
                    $format$, pg_get_function_result('perdure.\(rawValue)(smallint, uuid, jsonb)'::regprocedure));
                alter function perdure.\(rawValue)(smallint, uuid, jsonb) rename to real_\(rawValue);
                alter function perdure.replaced(smallint, uuid, jsonb) rename to \(rawValue);
            end $do$;
            """
        }

        var putBack: String {
            """
            drop function perdure.\(rawValue);
            alter function perdure.real_\(rawValue) rename to \(rawValue);
            """
        }
    }

    private func replace(_ pool: PostgresPool, _ sqlState: String, when refuses: String) async throws {
        try await pool.withConnection { connection in
            try await connection.simpleQuery(
                "drop sequence if exists public.calls; create sequence public.calls;"
                    + Function.allCases.map { $0.replace(sqlState, when: refuses) }.joined())
        }
    }

    private func putBack(_ pool: PostgresPool) async throws {
        try await pool.withConnection { connection in
            try await connection.simpleQuery(Function.allCases.map(\.putBack).joined())
        }
    }

    private func calls(_ pool: PostgresPool) async throws -> Int {
        try await pool.query("select last_value from public.calls")[0].decode(at: 0)
    }

    private func expectSucceededOnce(_ stage: Stage, _ handle: UntypedWorkflowHandle) async throws {
        let types = try await stage.types(handle)
        #expect(types.filter { $0 == "ActivityTaskCompleted" }.count == 1)
        #expect(types.filter { $0 == "ActivityTaskStarted" }.count == 1)
        #expect(!types.contains("ActivityTaskFailed") && !types.contains("WorkflowTaskFailed"), "\(types)")
    }

    @Test(
        "A success that the database does not take is told again until it does", .timeLimit(.minutes(5)),
        arguments: [true, false])
    func toldAgain(fuses: Bool) async throws {
        try await Stage.with { stage in
            let effects = Box(0)
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a", retry: RetryPolicy(maximumAttempts: 1))
            code.activity("a") { attempt in
                effects.add(1)
                return attempt.task.input
            }
            let pool = stage.database.pool
            try await stage.withWorker(code) {
                $0.fusesSteps = fuses
            } _: {
                let states = [
                    "57014", "55P03", "40001", "40P01", "53100", "53200", "53300", "57P03", "58030", "XX000", "XX001",
                    "25006", "42501", "42883", "42P01", "0A000", "P0001", "23505", "22012",
                ]
                for state in states {
                    effects.value = 0
                    try await replace(pool, state, when: "v_call <= 4")
                    let handle = try await stage.start("W", input: [Payload(encoding: 7)])
                    #expect(try await handle.result(as: Int.self) == 7, "\(state)")
                    #expect(try await calls(pool) > 4, "\(state)")
                    #expect(effects.value == 1, "\(state)")
                    try await putBack(pool)
                    try await expectSucceededOnce(stage, handle)
                }
            }
        }
    }

    @Test("A lock that is held for longer than any statement may take fails nothing", .timeLimit(.minutes(5)))
    func locked() async throws {
        try await Stage.with { stage in
            let effects = Box(0)
            let isLocked = Settlement<Void>()
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a", retry: RetryPolicy(maximumAttempts: 1))
            code.activity("a") { attempt in
                effects.add(1)
                await isLocked.value
                return attempt.task.input
            }
            for setting in ["statement_timeout = 150", "lock_timeout = 50"] {
                try await administer("alter database \(stage.database.name) set \(setting)")
            }
            // Connections that know the settings.
            let worker = PostgresPool(stage.database.configuration, maximumConnections: 8, logger: quiet)
            try await withThrowingTaskGroup(of: Void.self) { group in
                let options = WorkerOptions(taskQueue: Stage.queue)
                group.addTask { [code] in
                    try await Worker(pool: worker, options: options, code: code, logger: quiet).run()
                }
                let locked = try await stage.start("W", id: "locked", input: [Payload(encoding: 0)])
                var others: [UntypedWorkflowHandle] = []
                for number in 1..<20 { others.append(try await stage.start("W", input: [Payload(encoding: number)])) }
                try await eventually("all run") { effects.value == 20 }
                try await stage.database.pool.transaction { connection in
                    try await connection.query(
                        """
                        select from perdure.run_states r join perdure.executions e using (shard, run_id)
                        where e.workflow_id = 'locked' for update of r
                        """)
                    isLocked.settle(())
                    for (number, handle) in others.enumerated() {
                        #expect(try await handle.result(as: Int.self) == number + 1)
                    }
                }
                #expect(try await locked.result(as: Int.self) == 0)
                for handle in others + [locked] { try await expectSucceededOnce(stage, handle) }
                group.cancelAll()
                try await group.waitForAll()
            }
            await worker.close()
            #expect(effects.value == 20)
        }
    }

    @Test("A set that is too large for a statement's time is sent in parts", .timeLimit(.minutes(5)))
    func tooManyForOneStatement() async throws {
        try await Stage.with { stage in
            try await endSixtyAtOnce(stage) { "jsonb_array_length(p_items) > 4" }
            let failed = try await stage.database.pool.query(
                "select 1 from perdure.history_events where event_type in ('ActivityTaskFailed', 'WorkflowTaskFailed')")
            #expect(failed.isEmpty)
        }
    }

    @Test(
        "A database that takes nothing for a while is not asked for each member all the time", .timeLimit(.minutes(5)))
    func pauses() async throws {
        try await Stage.with { stage in
            try await endSixtyAtOnce(stage) { "v_call < 100 and clock_timestamp() < '\(Date.now + 4)'" }
        }
    }

    /// Sixty activities run, the database begins to cancel reports for which a condition holds, and all activities end.
    private func endSixtyAtOnce(_ stage: Stage, cancelsWhen condition: @Sendable () -> String) async throws {
        let isReady = Settlement<Void>()
        let running = Box(0)
        var code = WorkerCode()
        code.oneActivity(workflow: "W", activity: "a", retry: RetryPolicy(maximumAttempts: 1))
        code.activity("a") { _ in
            running.add(1)
            await isReady.value
            return []
        }
        let pool = stage.database.pool
        try await stage.withWorker(code) {
            try await stage.startMany("W", 60)
            try await eventually("all run") { running.value == 60 }
            try await replace(pool, "57014", when: condition())
            isReady.settle(())
            try await stage.waitForAll()
            try await putBack(pool)
        }
        #expect(running.value == 60)
    }

    @Test("An activity stays alive while its end is reported", .timeLimit(.minutes(5)))
    func heartbeats() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(
                workflow: "W", activity: "a", heartbeat: .milliseconds(600), retry: RetryPolicy(maximumAttempts: 1))
            code.activity("a") { attempt in
                attempt.heartbeat([try Payload(encoding: "half")])
                return attempt.task.input
            }
            let pool = stage.database.pool
            try await stage.withWorker(code) {
                try await replace(pool, "57014", when: "clock_timestamp() < '\(Date.now + 3)'")
                let handle = try await stage.start("W", input: [Payload(encoding: 7)])
                #expect(try await handle.result(as: Int.self) == 7)
                try await putBack(pool)
                try await expectSucceededOnce(stage, handle)
            }
        }
    }

    @Test("What cannot be reported until the attempt's time is over is left to the timeouts", .timeLimit(.minutes(5)))
    func leftToTimeouts() async throws {
        try await Stage.with { stage in
            let attempts = Box([Int]())
            var code = WorkerCode()
            code.workflow("W") { history in
                guard history.scheduled("1") != nil else {
                    return [
                        .activity(
                            "1", "a", startToClose: .seconds(1),
                            retry: RetryPolicy(initialInterval: .milliseconds(10), maximumAttempts: 9))
                    ]
                }
                return history.end(of: "1") == nil ? [] : [.complete()]
            }
            code.activity("a") { attempt in
                attempts.value.append(attempt.task.attempt)
                return []
            }
            let pool = stage.database.pool
            try await stage.withWorker(code) {
                try await pool.query("create sequence calls")
                try await pool.withConnection {
                    try await $0.simpleQuery(Function.finish.replace("XX000", when: "p_items @> '[{\"attempt\": 1}]'"))
                }
                let handle = try await stage.start("W")
                // The step with which the first attempt would end at once is refused for its result.
                try await pool.withConnection {
                    try await $0.simpleQuery(
                        Function.complete.replace("XX000", when: "p_items @> '[{\"activity\": {\"attempt\": 1}}]'"))
                }
                _ = try await handle.resultPayloads()
                let history = try await handle.fetchHistory()
                let started = history.first { $0.eventType == .activityTaskStarted }
                #expect(started?.attributes["lastFailure"]?["timeoutFailureInfo"]?["timeoutType"] == "StartToClose")
                #expect(attempts.value.count == 2, "\(attempts.value)")
            }
        }
    }

    @Test("A worker that is stopped reports what has returned", .timeLimit(.minutes(5)))
    func stopped() async throws {
        try await Stage.with { stage in
            let isLocked = Settlement<Void>()
            let running = Box(0)
            var code = WorkerCode()
            code.oneActivity(workflow: "W", activity: "a", retry: RetryPolicy(maximumAttempts: 1))
            code.activity("a") { attempt in
                running.add(1)
                await isLocked.value
                return attempt.task.input
            }
            let pool = stage.database.pool
            let worker = stage.worker(code)
            let handle = try await stage.start("W", input: [Payload(encoding: 7)])
            let work = Task { try await worker.run() }
            try await eventually("it runs") { running.value == 1 }
            @Sendable func waitingReport() async throws -> String? {
                try await pool.query(
                    """
                    select concat_ws(' ', pid, query_start) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'
                      and query ~ 'finish_activity_tasks|complete_workflow_tasks'
                    """
                ).first?.decode(String.self, at: 0)
            }
            try await pool.transaction { connection in
                try await connection.query("lock table perdure.run_states in exclusive mode")
                isLocked.settle(())
                try await eventually("the report waits") { try await waitingReport() != nil }
                let first = try await waitingReport()
                work.cancel()
                try await eventually("that was cancelled, and it is reported once more") {
                    let report = try await waitingReport()
                    return report != nil && report != first
                }
            }
            try await work.value
            #expect(try await stage.types(handle).contains("ActivityTaskCompleted"))
            let result = try await stage.withWorker(code) { try await handle.result(as: Int.self) }
            #expect(result == 7)
            #expect(running.value == 1)
            try await expectSucceededOnce(stage, handle)
        }
    }

    @Test("A database that fails fails no workflow task, whatever a worker reads or writes", .timeLimit(.minutes(5)))
    func workflowTasks() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.workflow("W") { $0.signals.count == 3 ? [.complete()] : [] }
            let pool = stage.database.pool
            try await stage.withWorker(code) {
                // So that every task reads its history.
                $0.maxCachedWorkflows = 0
            } _: {
                for state in ["57014", "XX000", "53200", "42501", "42P01"] {
                    try await replace(pool, state, when: "v_call <= 3")
                    let handle = try await stage.start("W", id: state)
                    for _ in 0..<3 { try await handle.signal(signalName: "s") }
                    _ = try await handle.resultPayloads()
                    try await putBack(pool)
                    #expect(try await !stage.types(handle).contains("WorkflowTaskFailed"), "\(state)")
                    #expect(try await !stage.types(handle).contains("WorkflowTaskTimedOut"), "\(state)")
                }
            }
        }
    }

    @Test("A failure that cannot be stored stays one that is tried again", .timeLimit(.minutes(5)))
    func refusedFailure() async throws {
        try await Stage.with { stage in
            var code = WorkerCode()
            code.oneActivity(
                workflow: "W", activity: "a",
                retry: RetryPolicy(initialInterval: .milliseconds(10), maximumAttempts: 3))
            code.activity("a") { attempt in
                guard attempt.task.attempt == 3 else {
                    throw Failure(
                        message: "no",
                        kind: .application(
                            type: "T", nonRetryable: false, details: [Payload(plain: "\u{0}")]))
                }
                return []
            }
            try await stage.withWorker(code) { _ = try await stage.start("W").resultPayloads() }
        }
    }
}
